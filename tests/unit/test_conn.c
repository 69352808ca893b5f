// TCP connections on 127.0.0.1. Each story ends by itself or by a watchdog.

#include "io/loop.h"
#include "base/rng.h"
#include "lib/side.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

// --- stories ----------------------------------------------------------------------------------

enum { MANY = 1000 };
static struct side many[MANY], many_served[MANY];
static int n_served, n_echoed, n_gone;

static void echo_back(struct side *s, struct str bytes)
{
    conn_send(s->c, bytes);
}

static void on_accept_many(void *ctx, struct conn *c)
{
    (void)ctx;
    struct side *s = &many_served[n_served++];
    *s = (struct side){.c = c, .on_data = echo_back, .on_eof = close_at_eof};
    conn_set(c, &side_calls, s);
}

static void say_hello(struct side *s)
{
    conn_send2(s->c, STR("hello "), STR("world"));
}

static void count_echo(struct side *s, struct str bytes)
{
    (void)bytes;
    if (s->got != 11)
        return;
    EXPECT(conn_bytes(s->c) < 1024, "an idle connection holds %zu bytes", conn_bytes(s->c));
    if (++n_echoed == MANY)
        for (int i = 0; i < MANY; i++)
            conn_close(many[i].c);
}

static void count_gone(struct side *s)
{
    (void)s;
    if (++n_gone == MANY)
        loop_stop(loop);
}

static void a_thousand_connections_echo(void)
{
    begin();
    listen_with(on_accept_many);
    n_served = n_echoed = n_gone = 0;
    for (int i = 0; i < MANY; i++) {
        many[i] =
            (struct side){.on_open = say_hello, .on_data = count_echo, .on_closed = count_gone};
        dial(&many[i], listener_port(listener));
    }
    run();
    EXPECT(n_echoed == MANY && n_gone == MANY, "%d echoed, %d gone", n_echoed, n_gone);
    for (int i = 0; i < MANY; i++) {
        EXPECT(many[i].opens == 1 && many[i].opened == ERR_NONE, "%d: %s", i, many[i].diag.text);
        EXPECT(many[i].closes == 1 && many[i].why == ERR_NONE, "%d closed %d", i, many[i].why);
    }
    end();
    for (int i = 0; i < MANY; i++)
        EXPECT(many_served[i].closes == 1, "%d closed %d times", i, many_served[i].closes);
}

enum { PIECE = 100 * 1000, BIG = 64 * 1000 * 1000 };
static char piece[PIECE];
static size_t sent, most_pending;
static struct timer resume;
static int pauses;

static void send_piece(struct side *s)
{
    memset(piece, (int)('a' + sent / PIECE % 26), PIECE);
    conn_send(s->c, (struct str){piece, PIECE});
    sent += PIECE;
    if (conn_pending(s->c) > most_pending)
        most_pending = conn_pending(s->c);
}

static void send_more(struct side *s)
{
    while (sent < BIG && conn_pending(s->c) < 200 * 1000)
        send_piece(s);
    if (sent < BIG)
        send_piece(s);  // above the high mark, so that drain will come
    else
        conn_close(s->c);
}

static struct side sink;

static void on_resume(struct timer *t)
{
    (void)t;
    conn_resume(sink.c);
}

static void take_slowly(struct side *s, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i += 997) {
        char want = (char)('a' + (s->got - bytes.n + i) / PIECE % 26);
        EXPECT(bytes.p[i] == want || s->got > BIG, "byte %zu", s->got - bytes.n + i);
    }
    if (s->got / (4 * 1000 * 1000) > (size_t)pauses) {
        pauses++;
        conn_pause(s->c);
        timer_set(loop, &resume, loop_now_us(loop) + MS(2));
    }
}

static void on_accept_source(void *ctx, struct conn *c)
{
    on_accept_one(ctx, c);
    send_more(&server);
}

static void a_slow_reader_bounds_what_is_kept(void)
{
    begin();
    sent = most_pending = 0;
    pauses = 0;
    resume = (struct timer){.fire = on_resume};
    server_like = (struct side){.on_drain = send_more};
    listen_with(on_accept_source);
    sink =
        (struct side){.on_data = take_slowly, .on_eof = close_at_eof, .on_closed = stop_at_close};
    dial(&sink, listener_port(listener));
    run();
    EXPECT(sink.got == sent, "got %zu of %zu", sink.got, sent);
    EXPECT(sink.eofs == 1 && sink.why == ERR_NONE, "%d eofs, why %d", sink.eofs, sink.why);
    EXPECT(pauses >= 15, "%d pauses", pauses);
    EXPECT(server.drains > 10, "%d drains", server.drains);
    EXPECT(most_pending < 700 * 1000, "%zu pending", most_pending);
    end();
    EXPECT(server.why == ERR_NONE, "%s", err_name(server.why));
}

static void answer_at_eof(struct side *s)
{
    conn_send(s->c, STR("answer"));
    conn_close(s->c);
}

static char raw_got[64];

static void *half_closer(void *arg)
{
    int fd = raw_connect((int32_t)(intptr_t)arg);
    NEED(send(fd, "question", 8, 0) == 8);
    shutdown(fd, SHUT_WR);
    ssize_t n = recv(fd, raw_got, sizeof raw_got - 1, MSG_WAITALL);
    raw_got[n < 0 ? 0 : n] = 0;
    close(fd);
    return NULL;
}

static void a_half_closed_client_gets_its_answer(void)
{
    begin();
    server_like = (struct side){.on_eof = answer_at_eof, .on_closed = stop_at_close};
    listen_with(on_accept_one);
    pthread_t t;
    NEED(pthread_create(&t, NULL, half_closer, (void *)(intptr_t)listener_port(listener)) == 0);
    run();
    pthread_join(t, NULL);
    EXPECT(strcmp(raw_got, "answer") == 0, "got \"%s\"", raw_got);
    EXPECT(server.got == 8 && server.eofs == 1, "got %zu, %d eofs", server.got, server.eofs);
    end();
}

// A server that refuses early, while the client is still sending: the refusal must arrive.
static void refuse(struct side *s, struct str bytes)
{
    (void)bytes;
    conn_send(s->c, STR("too large"));
    conn_close(s->c);
    EXPECT(conn_closing(s->c), "not closing");
    conn_send(s->c, STR("nothing"));
}

static void *stubborn_sender(void *arg)
{
    static char body[4 * 1000 * 1000];
    int fd = raw_connect((int32_t)(intptr_t)arg);
    for (size_t at = 0; at < sizeof body;) {
        ssize_t n = send(fd, body + at, sizeof body - at, MSG_NOSIGNAL);
        NEED(n > 0);
        at += (size_t)n;
    }
    ssize_t n = recv(fd, raw_got, sizeof raw_got - 1, MSG_WAITALL);
    raw_got[n < 0 ? 0 : n] = 0;
    close(fd);
    return NULL;
}

static void an_early_refusal_arrives(void)
{
    begin();
    server_like = (struct side){.on_data = refuse, .on_closed = stop_at_close};
    listen_with(on_accept_one);
    pthread_t t;
    NEED(pthread_create(&t, NULL, stubborn_sender, (void *)(intptr_t)listener_port(listener)) == 0);
    run();
    pthread_join(t, NULL);
    EXPECT(strcmp(raw_got, "too large") == 0, "got \"%s\"", raw_got);
    EXPECT(server.reads == 1, "%d reads after close", server.reads - 1);
    end();
}

static char lots[8 * 1000 * 1000];

static void on_accept_farewell(void *ctx, struct conn *c)
{
    on_accept_one(ctx, c);
    conn_send(c, (struct str){lots, sizeof lots});
    EXPECT(conn_pending(c) > 0, "the socket took it all");
    conn_close(c);
}

static void close_sends_what_is_pending(void)
{
    begin();
    server_like = (struct side){0};
    listen_with(on_accept_farewell);
    struct side s = {.on_eof = close_at_eof, .on_closed = stop_at_close};
    dial(&s, listener_port(listener));
    run();
    EXPECT(s.got == sizeof lots && s.eofs == 1, "got %zu", s.got);
    end();
    EXPECT(server.why == ERR_NONE && server.closes == 1, "%s", err_name(server.why));
}

static void abort_now(struct side *s, struct str bytes)
{
    (void)bytes;
    conn_send(s->c, (struct str){lots, sizeof lots});
    conn_abort(s->c);
    conn_abort(s->c);
    conn_close(s->c);
}

static void abort_drops_what_is_pending(void)
{
    begin();
    server_like = (struct side){.on_data = abort_now};
    listen_with(on_accept_one);
    struct side s = {.on_open = say_hello, .on_eof = close_at_eof, .on_closed = stop_at_close};
    dial(&s, listener_port(listener));
    run();
    EXPECT(s.got < sizeof lots && s.closes == 1, "got %zu", s.got);
    EXPECT(server.closes == 1 && server.why == ERR_NONE, "%d closes", server.closes);
    end();
}

static void send_in_pieces(struct side *s)
{
    conn_cork(s->c);
    for (int i = 0; i < 50; i++)
        conn_send(s->c, STR("piece "));
    EXPECT(conn_pending(s->c) == 300, "%zu pending", conn_pending(s->c));
}

static void close_at_300(struct side *s, struct str bytes)
{
    (void)bytes;
    if (s->got >= 300)
        conn_close(s->c);
}

static void corked_pieces_leave_together(void)
{
    begin();
    server_like = (struct side){.on_data = close_at_300};
    listen_with(on_accept_one);
    struct side s = {.on_open = send_in_pieces, .on_eof = close_at_eof, .on_closed = stop_at_close};
    dial(&s, listener_port(listener));
    run();
    EXPECT(server.got == 300 && server.reads == 1, "%zu bytes in %d reads", server.got,
           server.reads);
    end();
}

static void send_much_corked(struct side *s)
{
    conn_cork(s->c);
    for (int i = 0; i < 10; i++)
        conn_send(s->c, (struct str){lots, 50 * 1000});
}

static void drained_then_close(struct side *s)
{
    conn_close(s->c);
}

static void a_cork_above_the_high_mark_drains(void)
{
    begin();
    server_like = (struct side){.on_eof = close_at_eof};
    listen_with(on_accept_one);
    struct side s = {
        .on_open = send_much_corked, .on_drain = drained_then_close, .on_closed = stop_at_close};
    dial(&s, listener_port(listener));
    run();
    EXPECT(s.drains == 1, "%d drains", s.drains);
    EXPECT(server.got == 500 * 1000, "%zu", server.got);
    end();
}

// --- whatever is called -----------------------------------------------------------------------

enum { WILD = 40 };
static struct wild {
    struct side side;
    struct timer timer;
    uint64_t sent, got;  // bytes; each is its place in the stream, so that loss and disorder show
    bool bad;
} wild[2 * WILD];
static int n_wild, wild_left;
static struct rng chance;

static void wild_send(struct wild *w)
{
    static char bytes[400 * 1000];
    size_t n = rng_below(&chance, 30) ? rng_below(&chance, 3000) : rng_below(&chance, sizeof bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)((w->sent + i) * 7 % 251);
    size_t head = rng_below(&chance, n + 1);
    conn_send2(w->side.c, (struct str){bytes, head}, (struct str){bytes + head, n - head});
    w->sent += n;
}

static void wild_act(struct wild *w)
{
    for (int i = (int)rng_below(&chance, 4); i > 0 && w->side.c; i--)
        switch (rng_below(&chance, 12)) {
        case 0: conn_pause(w->side.c); break;
        case 1:
        case 2: conn_resume(w->side.c); break;
        case 3: conn_cork(w->side.c); break;
        case 4:
            if (rng_below(&chance, 8) == 0)
                conn_close(w->side.c);
            break;
        case 5:
            if (rng_below(&chance, 16) == 0)
                conn_abort(w->side.c);
            break;
        default: wild_send(w); break;
        }
}

static void wild_timer(struct timer *t)
{
    struct wild *w = CONTAINER_OF(t, struct wild, timer);
    conn_resume(w->side.c);
    wild_act(w);
    timer_set(loop, t, loop_now_us(loop) + (int64_t)rng_below(&chance, 3000));
}

static void wild_data(struct side *s, struct str bytes)
{
    struct wild *w = CONTAINER_OF(s, struct wild, side);
    for (size_t i = 0; i < bytes.n; i++)
        w->bad |= bytes.p[i] != (char)((w->got + i) * 7 % 251);
    w->got += bytes.n;
    wild_act(w);
}

static void wild_other(struct side *s)
{
    wild_act(CONTAINER_OF(s, struct wild, side));
}

static void wild_eof(struct side *s)
{
    wild_act(CONTAINER_OF(s, struct wild, side));
    conn_close(s->c);
}

static void wild_closed(struct side *s)
{
    timer_stop(loop, &CONTAINER_OF(s, struct wild, side)->timer);
    if (--wild_left == 0)
        loop_stop(loop);
}

static struct wild *wild_new(void)
{
    struct wild *w = &wild[n_wild++];
    *w = (struct wild){.timer = {.fire = wild_timer},
                       .side = {.on_data = wild_data,
                                .on_open = wild_other,
                                .on_drain = wild_other,
                                .on_eof = wild_eof,
                                .on_closed = wild_closed}};
    timer_set(loop, &w->timer, loop_now_us(loop) + MS(5));
    wild_left++;
    return w;
}

static void wild_accept(void *ctx, struct conn *c)
{
    (void)ctx;
    struct wild *w = wild_new();
    w->side.c = c;
    conn_set(c, &side_calls, &w->side);
    wild_act(w);
}

// In any order, from any callback: what arrives is what was sent, and `closed` comes once.
static void any_order_of_calls_is_safe(void)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        begin();
        rng_seed(&chance, seed);
        n_wild = wild_left = 0;
        listen_with(wild_accept);
        for (int i = 0; i < WILD; i++) {
            struct wild *w = wild_new();
            dial(&w->side, listener_port(listener));
            wild_act(w);
        }
        run();
        end();
        for (int i = 0; i < n_wild; i++) {
            const struct wild *w = &wild[i];
            EXPECT(!w->bad, "seed %" PRIu64 ": %d got other bytes than were sent", seed, i);
            EXPECT(w->side.closes == 1, "seed %" PRIu64 ": %d closed %d times", seed, i,
                   w->side.closes);
            EXPECT(w->side.opens <= 1 && w->side.eofs <= 1,
                   "seed %" PRIu64 ": %d opened or ended twice", seed, i);
        }
    }
}

int main(void)
{
    TEST(a_thousand_connections_echo);
    TEST(a_slow_reader_bounds_what_is_kept);
    TEST(a_half_closed_client_gets_its_answer);
    TEST(an_early_refusal_arrives);
    TEST(close_sends_what_is_pending);
    TEST(abort_drops_what_is_pending);
    TEST(corked_pieces_leave_together);
    TEST(a_cork_above_the_high_mark_drains);
    TEST(any_order_of_calls_is_safe);
    return test_end();
}
