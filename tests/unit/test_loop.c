// Timers, calls between threads, and TCP on 127.0.0.1. Each story ends by itself or by a watchdog.

#include "io/loop.h"
#include "base/arena.h"
#include "base/rng.h"
#include "lib/test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static struct timer watchdog;
static bool bitten;

static void on_bite(struct timer *t)
{
    (void)t;
    bitten = true;
    loop_stop(loop);
}

static void begin(void)
{
    struct diag diag = {0};
    NEED(loop_new(&loop, &diag) == ERR_NONE);
    bitten = false;
    watchdog = (struct timer){.fire = on_bite};
}

static void run(void)
{
    timer_set(loop, &watchdog, clock_now_us() + S(20));
    loop_run(loop);
    timer_stop(loop, &watchdog);
    EXPECT(!bitten, "stopped by the watchdog");
}

static void end(void)
{
    loop_free(loop);
    loop = NULL;
}

// --- timers, turns, threads -------------------------------------------------------------------

static int fired[8], n_fired;
static int64_t fired_us[8];
static struct timer timers[5];

static void on_fire(struct timer *t)
{
    fired_us[n_fired] = loop_now_us(loop);
    fired[n_fired++] = (int)(t - timers);
    if (n_fired == 4)
        loop_stop(loop);
}

static void timers_fire_in_order_and_never_early(void)
{
    begin();
    int64_t start = loop_now_us(loop);
    const int64_t due[5] = {MS(20), MS(5), MS(5), MS(30), MS(10)};
    n_fired = 0;
    for (int i = 0; i < 5; i++) {
        timers[i] = (struct timer){.fire = on_fire};
        timer_set(loop, &timers[i], start + due[i]);
    }
    timer_set(loop, &timers[3], start + MS(1));  // moved
    timer_stop(loop, &timers[4]);
    timer_stop(loop, &timers[4]);
    run();
    const int order[4] = {3, 1, 2, 0};
    for (int i = 0; i < 4; i++) {
        EXPECT(fired[i] == order[i], "place %d: timer %d", i, fired[i]);
        int64_t due_us = start + (order[i] == 3 ? MS(1) : due[order[i]]);
        EXPECT(fired_us[i] >= due_us, "timer %d is %ld us early", order[i],
               (long)(due_us - fired_us[i]));
        EXPECT(fired_us[i] < due_us + MS(500), "timer %d late", order[i]);
    }
    end();
}

static int turns, again_in_turn;
static struct timer always;

static void on_always(struct timer *t)
{
    if (++turns < 1000)
        timer_set(loop, t, loop_now_us(loop));
}

static void second_call(void *arg)
{
    (void)arg;
    again_in_turn = turns;
    loop_stop(loop);
}

static void first_call(void *arg)
{
    loop_after_turn(loop, second_call, arg);
}

// A timer that is always due leaves room for others, and what loop_after_turn() adds does not
// sleep.
static void nothing_starves_and_after_turn_follows(void)
{
    begin();
    turns = again_in_turn = 0;
    always = (struct timer){.fire = on_always};
    timer_set(loop, &always, loop_now_us(loop));
    loop_after_turn(loop, first_call, NULL);
    run();
    EXPECT(again_in_turn == 2, "the second call came after %d fires", again_in_turn);
    end();
}

enum { POSTERS = 4, POSTS = 5000 };
static int posts_seen[POSTERS], posts_out_of_order;

struct post {
    int from, number;
};

static void on_post(void *arg)
{
    struct post *p = arg;
    if (posts_seen[p->from] != p->number)
        posts_out_of_order++;
    posts_seen[p->from]++;
    free(p);
    int all = 0;
    for (int i = 0; i < POSTERS; i++)
        all += posts_seen[i];
    if (all == POSTERS * POSTS)
        loop_stop(loop);
}

static void *poster(void *arg)
{
    for (int i = 0; i < POSTS; i++) {
        struct post *p = take(sizeof *p);
        *p = (struct post){.from = (int)(intptr_t)arg, .number = i};
        loop_post(loop, on_post, p);
    }
    return NULL;
}

static void calls_of_other_threads_all_come_in_order(void)
{
    begin();
    pthread_t threads[POSTERS];
    posts_out_of_order = 0;
    for (int i = 0; i < POSTERS; i++) {
        posts_seen[i] = 0;
        NEED(pthread_create(&threads[i], NULL, poster, (void *)(intptr_t)i) == 0);
    }
    run();
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < POSTERS; i++)
        EXPECT(posts_seen[i] == POSTS, "thread %d: %d", i, posts_seen[i]);
    EXPECT(posts_out_of_order == 0, "%d out of order", posts_out_of_order);
    end();
}

static void on_user_signal(void *arg)
{
    ++*(int *)arg;
    loop_stop(loop);
}

static void signals_come_as_calls(void)
{
    begin();
    int seen = 0;
    loop_on_signal(loop, SIGUSR1, on_user_signal, &seen);
    kill(getpid(), SIGUSR1);
    run();
    EXPECT(seen == 1, "%d", seen);
    end();
}

// --- a side of a connection that counts -------------------------------------------------------

struct side {
    struct conn *c;
    size_t got;  // bytes
    int reads, eofs, opens, closes, drains;
    enum err opened, why;
    struct diag diag;
    void (*on_data)(struct side *s, struct str bytes);
    void (*on_open)(struct side *s);
    void (*on_eof)(struct side *s);
    void (*on_drain)(struct side *s);
    void (*on_closed)(struct side *s);
};

static void side_data(void *ctx, struct str bytes)
{
    struct side *s = ctx;
    s->got += bytes.n;
    s->reads++;
    if (s->on_data)
        s->on_data(s, bytes);
}

static void side_eof(void *ctx)
{
    struct side *s = ctx;
    s->eofs++;
    if (s->on_eof)
        s->on_eof(s);
}

static void side_drain(void *ctx)
{
    struct side *s = ctx;
    s->drains++;
    if (s->on_drain)
        s->on_drain(s);
}

static void side_opened(void *ctx, enum err e, const struct diag *diag)
{
    struct side *s = ctx;
    s->opens++;
    s->opened = e;
    s->diag = *diag;
    if (s->on_open)
        s->on_open(s);
}

static void side_closed(void *ctx, enum err why)
{
    struct side *s = ctx;
    s->closes++;
    s->why = why;
    s->c = NULL;
    if (s->on_closed)
        s->on_closed(s);
}

static const struct conn_calls side_calls = {side_data, side_eof, side_drain, side_opened,
                                             side_closed};

static struct listener *listener;
static struct side server;       // the last one accepted
static struct side server_like;  // what it is made from

static void on_accept_one(void *ctx, struct conn *c)
{
    (void)ctx;
    server = server_like;
    server.c = c;
    conn_set(c, &side_calls, &server);
}

static void listen_with(accept_call on_accept)
{
    struct diag diag = {0};
    enum err e = listener_new(&listener, loop, STR("127.0.0.1"), 0, true, on_accept, NULL, &diag);
    if (e)
        printf("  %s\n", diag.text);
    NEED(e == ERR_NONE);
}

static struct conn *dial(struct side *s, int32_t port)
{
    struct conn_target t = {.host = STR("127.0.0.1"), .port = port, .timeout_us = S(5)};
    s->c = conn_connect(loop, &t, &side_calls, s);
    return s->c;
}

static void stop_at_close(struct side *s)
{
    (void)s;
    loop_stop(loop);
}

static void close_at_eof(struct side *s)
{
    conn_close(s->c);
}

// A blocking socket of the test's own, for a thread.
static int raw_connect(int32_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    NEED(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

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

// --- connecting -------------------------------------------------------------------------------

static int32_t free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    NEED(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
         getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void a_refused_connection_says_so(void)
{
    begin();
    struct side s = {.on_closed = stop_at_close};
    int32_t port = free_port();
    dial(&s, port);
    EXPECT(s.opens == 0, "told from inside conn_connect()");
    run();
    char want[100];
    snprintf(want, sizeof want, "connect to 127.0.0.1:%d: Connection refused", port);
    EXPECT(s.opened == ERR_REFUSED && s.opens == 1 && s.closes == 1, "%s", err_name(s.opened));
    EXPECT(strcmp(s.diag.text, want) == 0, "%s", s.diag.text);
    end();
}

// A proxy that accepts and then says nothing.
static void a_silent_proxy_times_out(void)
{
    begin();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    NEED(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
    NEED(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    struct tls_client *unused = (struct tls_client *)&loop;  // never reached
    struct side s = {.on_closed = stop_at_close};
    struct conn_target t = {.host = STR("api.example"),
                            .port = 443,
                            .tls = unused,
                            .timeout_us = MS(60),
                            .proxy_host = STR("127.0.0.1"),
                            .proxy_port = ntohs(a.sin_port)};
    int64_t from = clock_now_us();
    s.c = conn_connect(loop, &t, &side_calls, &s);
    conn_send(s.c, STR("kept until it is open"));
    EXPECT(conn_pending(s.c) == 21, "%zu", conn_pending(s.c));
    run();
    int64_t took = clock_now_us() - from;
    EXPECT(s.opened == ERR_TIMEOUT && s.why == ERR_TIMEOUT, "%s", err_name(s.opened));
    EXPECT(strstr(s.diag.text, "CONNECT to api.example:443 through the proxy 127.0.0.1:"), "%s",
           s.diag.text);
    EXPECT(strstr(s.diag.text, "no answer within 0.06 s"), "%s", s.diag.text);
    EXPECT(took >= MS(60) && took < S(5), "%ld us", (long)took);
    close(fd);
    end();
}

static void an_unknown_name_says_so(void)
{
    begin();
    struct side s = {.on_closed = stop_at_close};
    struct conn_target t = {.host = STR("name.invalid"), .port = 80, .timeout_us = S(15)};
    s.c = conn_connect(loop, &t, &side_calls, &s);
    run();
    EXPECT(s.opened == ERR_RESOLVE, "%s", err_name(s.opened));
    EXPECT(strstr(s.diag.text, "DNS to name.invalid:80: ") || strstr(s.diag.text, "name.invalid"),
           "%s", s.diag.text);
    end();
}

static struct side named[3];
static int n_named;

static void one_named_closed(struct side *s)
{
    (void)s;
    if (++n_named == 2) {  // the third comes from the cache
        struct conn_target t = {
            .host = STR("localhost"), .port = listener_port(listener), .timeout_us = S(5)};
        named[2].c = conn_connect(loop, &t, &side_calls, &named[2]);
    }
    if (n_named == 3)
        loop_stop(loop);
}

// localhost may be ::1 first, where nobody listens: the next address is tried.
static void names_are_resolved_together_and_kept(void)
{
    begin();
    n_served = 0;
    listen_with(on_accept_many);
    n_named = 0;
    for (int i = 0; i < 3; i++)
        named[i] = (struct side){.on_open = close_at_eof, .on_closed = one_named_closed};
    struct conn_target t = {
        .host = STR("localhost"), .port = listener_port(listener), .timeout_us = S(5)};
    for (int i = 0; i < 2; i++)
        named[i].c = conn_connect(loop, &t, &side_calls, &named[i]);
    run();
    for (int i = 0; i < 3; i++)
        EXPECT(named[i].opens == 1 && named[i].opened == ERR_NONE, "%d: %s", i, named[i].diag.text);
    end();
}

static void closing_while_connecting_is_quiet(void)
{
    begin();
    listen_with(on_accept_one);
    server_like = (struct side){0};
    struct side a = {0}, b = {.on_closed = stop_at_close};
    dial(&a, listener_port(listener));
    conn_close(a.c);
    struct conn_target t = {
        .host = STR("localhost"), .port = listener_port(listener), .timeout_us = S(5)};
    b.c = conn_connect(loop, &t, &side_calls, &b);
    conn_abort(b.c);
    EXPECT(a.closes == 0 && b.closes == 0, "closed from inside");
    run();
    EXPECT(a.opens == 0 && a.closes == 1 && b.opens == 0 && b.closes == 1, "%d %d", a.closes,
           b.closes);
    end();
}

// --- listening --------------------------------------------------------------------------------

static void a_port_in_use_is_refused(void)
{
    begin();
    struct diag diag = {0};
    struct listener *other = NULL;
    listen_with(on_accept_one);
    int32_t port = listener_port(listener);
    enum err e =
        listener_new(&other, loop, STR("127.0.0.1"), port, true, on_accept_one, NULL, &diag);
    char want[100];
    snprintf(want, sizeof want, "port %d on 127.0.0.1 is in use by another program", port);
    EXPECT(e == ERR_EXISTS && strcmp(diag.text, want) == 0, "%s", diag.text);

    pid_t child = fork();
    if (child == 0) {
        struct loop *l;
        struct diag d = {0};
        if (loop_new(&l, &d))
            _exit(2);
        _exit(listener_new(&other, l, STR("127.0.0.1"), port, true, on_accept_one, NULL, &d) ==
                      ERR_EXISTS
                  ? 7
                  : 3);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x", (unsigned)status);

    // Another loop of this process shares it.
    diag = (struct diag){0};
    e = listener_new(&other, loop, STR("127.0.0.1"), port, false, on_accept_one, NULL, &diag);
    EXPECT(e == ERR_NONE, "%s", diag.text);
    listener_close(other);
    listener_close(listener);
    diag = (struct diag){0};
    e = listener_new(&other, loop, STR("127.0.0.1"), port, true, on_accept_one, NULL, &diag);
    EXPECT(e == ERR_NONE, "once it is free: %s", diag.text);
    end();
}

// One that knows nothing of our lock, but was careless enough to allow sharing.
static void a_foreign_listener_that_would_share_is_seen(void)
{
    begin();
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    NEED(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
    NEED(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    struct diag diag = {0};
    enum err e = listener_new(&listener, loop, STR("localhost"), ntohs(a.sin_port), true,
                              on_accept_one, NULL, &diag);
    if (e == ERR_NONE)  // localhost is ::1 here
        EXPECT(listener_port(listener) == ntohs(a.sin_port), "port");
    e = listener_new(&listener, loop, STR("127.0.0.1"), ntohs(a.sin_port), true, on_accept_one,
                     NULL, &diag);
    EXPECT(e == ERR_EXISTS, "%s", err_name(e));
    close(fd);
    end();
}

static void bad_addresses_are_refused(void)
{
    begin();
    struct diag diag = {0};
    EXPECT(listener_new(&listener, loop, STR(""), 0, true, on_accept_one, NULL, &diag) ==
               ERR_INVALID,
           "%s", diag.text);
    EXPECT(listener_new(&listener, loop, STR("::1"), 70000, true, on_accept_one, NULL, NULL) ==
               ERR_INVALID,
           "port");
    diag = (struct diag){0};
    EXPECT(listener_new(&listener, loop, STR("192.0.2.1"), 0, true, on_accept_one, NULL, &diag) ==
               ERR_SYSTEM,
           "%s", diag.text);
    end();
}

static struct timer later;
static struct rlimit limit_before;
static int turns_seen;
static int held[400], n_held;

static void on_later(struct timer *t)
{
    (void)t;
    setrlimit(RLIMIT_NOFILE, &limit_before);
}

static void count_turn(void *arg)
{
    (void)arg;
    turns_seen++;
}

static void accepted_when_there_is_room(void *ctx, struct conn *c)
{
    on_accept_one(ctx, c);
    loop_after_turn(loop, count_turn, NULL);
    loop_stop(loop);
}

// Out of descriptors: the connection waits in the backlog, the loop sleeps, and all ends well.
static void without_descriptors_it_waits(void)
{
    begin();
    server_like = (struct side){0};
    listen_with(accepted_when_there_is_room);
    int fd = raw_connect(listener_port(listener));
    getrlimit(RLIMIT_NOFILE, &limit_before);
    struct rlimit low = limit_before;
    low.rlim_cur = (rlim_t)fd + 1;
    setrlimit(RLIMIT_NOFILE, &low);
    n_held = 0;
    int more;
    while (n_held < 400 && (more = dup(0)) >= 0)
        held[n_held++] = more;
    later = (struct timer){.fire = on_later};
    timer_set(loop, &later, clock_now_us() + MS(250));
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    run();
    getrusage(RUSAGE_SELF, &after);
    setrlimit(RLIMIT_NOFILE, &limit_before);
    int64_t cpu_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
                      before.ru_stime.tv_sec) *
                         1000000 +
                     after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
                     before.ru_stime.tv_usec;
    EXPECT(cpu_us < 100 * 1000, "%ld us of CPU while waiting", (long)cpu_us);
    EXPECT(server.c && strstr(conn_peer(server.c).p, "127.0.0.1:"), "not accepted");
    for (int i = 0; i < n_held; i++)
        close(held[i]);
    close(fd);
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
    TEST(timers_fire_in_order_and_never_early);
    TEST(nothing_starves_and_after_turn_follows);
    TEST(calls_of_other_threads_all_come_in_order);
    TEST(signals_come_as_calls);
    TEST(a_thousand_connections_echo);
    TEST(a_slow_reader_bounds_what_is_kept);
    TEST(a_half_closed_client_gets_its_answer);
    TEST(an_early_refusal_arrives);
    TEST(close_sends_what_is_pending);
    TEST(abort_drops_what_is_pending);
    TEST(corked_pieces_leave_together);
    TEST(a_cork_above_the_high_mark_drains);
    TEST(a_refused_connection_says_so);
    TEST(a_silent_proxy_times_out);
    TEST(an_unknown_name_says_so);
    TEST(names_are_resolved_together_and_kept);
    TEST(closing_while_connecting_is_quiet);
    TEST(a_port_in_use_is_refused);
    TEST(a_foreign_listener_that_would_share_is_seen);
    TEST(bad_addresses_are_refused);
    TEST(without_descriptors_it_waits);
    TEST(any_order_of_calls_is_safe);
    return test_end();
}
