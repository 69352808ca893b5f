#include "gateway/client.h"
#include "gateway/answer.h"
#include "gateway/dispatch.h"
#include "gateway/shadow.h"
#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    AHEAD_BYTES = 32 * 1024,         // of pipelined requests, before the socket is read no more
    AHEAD_BYTES_MAX = 256 * 1024,    // with what one more read may bring
    LINGER_BYTES_MAX = 1024 * 1024,  // of a refused body, read only so that the answer is not lost
};
// Also of a body that is passed on as it comes.
static const int64_t body_bytes_most = (int64_t)1 << 40;
static const int64_t leaving_idle_us = S(5);

enum client_state {
    CLIENT_IDLE,    // between requests
    CLIENT_HEAD,    // part of a head has come
    CLIENT_BODY,    // a handler is there, its body is still coming
    CLIENT_ANSWER,  // the request is whole, its answer is not
};

struct client {
    struct worker *worker;
    struct conn *conn;
    struct http1 *http;
    struct client *newer, *older;
    const struct handler_calls *calls;  // NULL: no request
    void *handler;
    struct buf ahead;  // bytes that came behind the request being answered
    struct timer timer;
    int64_t due_us;  // of what the state waits for; NEVER: nothing
    size_t lingered;
    enum client_state state;
    int32_t version_minor;
    int32_t served;
    bool keep_alive, feeding, refused;
    bool answering;                   // bytes of an answer have gone out since the head was read
    bool is_head;                     // the method is HEAD: its answer has no body
    bool body_streamed, body_paused;  // its handler passes the body on as it comes
};

static void feed(struct client *c, struct str in);

static const struct serve_config *config_of(const struct client *c)
{
    return &c->worker->generation->portfolio->serve;
}

// Timers are set late and moved rarely: a state change writes `due_us`, and the timer, when it
// fires too early, goes on to the new time.
static void expect_by(struct client *c, int64_t after_us)
{
    int64_t now = loop_now_us(c->worker->loop);
    c->due_us = after_us == NEVER ? NEVER : now + after_us;
    if (c->due_us != NEVER && (!c->timer.node.slot || c->timer.node.due_us > c->due_us))
        timer_set(c->worker->loop, &c->timer, c->due_us);
}

static int64_t idle_us(const struct client *c)
{
    int64_t us = config_of(c)->idle_us;
    return c->worker->leaving && leaving_idle_us < us ? leaving_idle_us : us;
}

static void set_state(struct client *c, enum client_state s)
{
    c->state = s;
    switch (s) {
    case CLIENT_IDLE: expect_by(c, idle_us(c)); break;
    case CLIENT_HEAD: expect_by(c, config_of(c)->head_us); break;
    case CLIENT_BODY: expect_by(c, config_of(c)->body_us); break;
    case CLIENT_ANSWER: expect_by(c, NEVER); break;
    }
}

static void refuse(struct client *c, int32_t status, const char *message)
{
    if (c->refused)
        return;
    c->refused = true;
    metrics_bad_head(c->worker->metrics, c->worker->index);
    struct answer a = {.status = status, .message = message, .type = "invalid_request_error"};
    answer_refuse(c->worker, c, &a);
    conn_close(c->conn);
}

// The request cannot be read to its end. Where its answer has begun (a passthrough), only the end
// of the connection is left to tell it.
static void give_up(struct client *c, int32_t status, const char *message)
{
    bool answering = c->answering;
    if (c->calls) {
        const struct handler_calls *calls = c->calls;
        c->calls = NULL;
        calls->gone(c->handler);
    }
    if (answering)
        client_abort(c);
    else
        refuse(c, status, message);
}

static void on_timer(struct timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, timer);
    int64_t now = loop_now_us(c->worker->loop);
    if (c->due_us == NEVER)
        return;
    if (c->due_us > now) {
        timer_set(c->worker->loop, &c->timer, c->due_us);
        return;
    }
    switch (c->state) {
    case CLIENT_HEAD: refuse(c, 408, "the head of the request took too long"); break;
    case CLIENT_BODY:
        if (c->body_paused)
            expect_by(c, config_of(c)->body_us);  // it is we who are slow
        else
            give_up(c, 408, "the body of the request took too long");
        break;
    case CLIENT_ANSWER: client_abort(c); break;  // a reader that is stuck
    case CLIENT_IDLE: conn_close(c->conn); break;
    }
}

// What has come and cannot be read yet.
static void keep_ahead(struct client *c, struct str in)
{
    if (!buf_add_str(&c->ahead, in))
        client_abort(c);
    else if (buf_len(&c->ahead) >= AHEAD_BYTES)
        conn_pause(c->conn);
}

static void read_ahead(struct client *c)
{
    if (buf_len(&c->ahead) == 0 || c->feeding)
        return;
    struct buf ahead = c->ahead;
    buf_init(&c->ahead, AHEAD_BYTES_MAX);
    feed(c, buf_str(&ahead));
    buf_release(&ahead);
    if (!conn_closing(c->conn) && buf_len(&c->ahead) < AHEAD_BYTES && !c->body_paused)
        conn_resume(c->conn);
}

static void read_next(struct client *c)
{
    set_state(c, CLIENT_IDLE);
    if (c->worker->draining && !c->worker->leaving)
        conn_close(c->conn);
    else
        read_ahead(c);
}

static void begin_request(struct client *c)
{
    const struct http1_head *head = http1_head(c->http);
    c->keep_alive = head->keep_alive && !c->worker->draining;
    c->version_minor = head->version_minor;
    c->served++;
    c->body_streamed = c->answering = false;
    c->is_head = str_eq(head->method, STR("HEAD"));
    set_state(c, CLIENT_BODY);
    dispatch(c->worker, c, head);
    if (c->calls && head->expect_continue && !conn_closing(c->conn))
        conn_send(c->conn, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void take_body(struct client *c, struct str bytes)
{
    if (c->body_streamed)
        expect_by(c, config_of(c)->body_us);  // a long upload has its time from piece to piece
    if (c->calls)
        c->calls->body(c->handler, bytes);
    else if ((c->lingered += bytes.n) > LINGER_BYTES_MAX)
        conn_close(c->conn);
}

static void end_body(struct client *c)
{
    if (c->state == CLIENT_BODY && c->calls) {
        set_state(c, CLIENT_ANSWER);
        c->calls->body_end(c->handler);
    } else if (c->state == CLIENT_BODY) {
        read_next(c);  // answered before its body had come, and the connection goes on
    }
}

// Reads until a request is whole; what follows it waits in `ahead` until it has been answered.
static void feed(struct client *c, struct str in)
{
    struct diag diag = {0};
    struct http1_event ev;
    c->feeding = true;
    while (!c->refused && !conn_closing(c->conn)) {
        // One that asks on and on and reads no answers is not asked what more it wants.
        if (c->state == CLIENT_ANSWER || (c->state == CLIENT_IDLE && client_full(c))) {
            keep_ahead(c, in);
            break;
        }
        if (http1_next(c->http, &in, &ev, &diag)) {
            give_up(c, http1_status(c->http), diag.text);
            break;
        }
        if (ev.kind == HTTP1_MORE) {
            if (c->state == CLIENT_IDLE && !http1_idle(c->http))
                set_state(c, CLIENT_HEAD);
            break;
        }
        if (ev.kind == HTTP1_HEAD)
            begin_request(c);
        else if (ev.kind == HTTP1_BODY)
            take_body(c, ev.body);
        else
            end_body(c);
    }
    c->feeding = false;
}

static void on_data(void *ctx, struct str bytes)
{
    struct client *c = ctx;
    if (c->state == CLIENT_ANSWER || buf_len(&c->ahead))
        keep_ahead(c, bytes);
    else
        feed(c, bytes);
}

static void on_eof(void *ctx)
{
    struct client *c = ctx;
    // A half-closed client of ours has never been seen to wait for its answer; treating the end as
    // gone frees the supplier at once.
    if (c->state == CLIENT_IDLE)
        conn_close(c->conn);
    else
        client_abort(c);
}

static void on_drain(void *ctx)
{
    struct client *c = ctx;
    if (c->state == CLIENT_ANSWER)
        expect_by(c, NEVER);
    if (c->calls)
        c->calls->drain(c->handler);
    else if (c->state == CLIENT_IDLE)
        read_ahead(c);
}

static void on_opened(void *ctx, enum err e, const struct diag *diag)
{
    (void)ctx, (void)e, (void)diag;
}

void worker_look_idle(struct worker *w)
{
    if (w->draining && !w->n_clients && !w->shadows && w->idle)
        w->idle(w);
}

static void on_closed(void *ctx, enum err why)
{
    struct client *c = ctx;
    struct worker *w = c->worker;
    (void)why;
    timer_stop(w->loop, &c->timer);
    if (c->calls) {
        const struct handler_calls *calls = c->calls;
        c->calls = NULL;
        calls->gone(c->handler);
    }
    *(c->newer ? &c->newer->older : &w->clients) = c->older;
    if (c->older)
        c->older->newer = c->newer;
    w->n_clients--;
    metrics_add(w->metrics, w->index, METRICS_CLIENTS, -1);
    http1_free(c->http);
    buf_release(&c->ahead);
    free(c);
    seats_give(w->seats);
    worker_look_idle(w);
}

static const struct conn_calls client_conn_calls = {
    .data = on_data, .eof = on_eof, .drain = on_drain, .opened = on_opened, .closed = on_closed};

struct client *client_new(struct worker *w, struct conn *conn)
{
    const struct serve_config *s = &w->generation->portfolio->serve;
    struct client *c = take(sizeof *c);
    c->worker = w;
    c->conn = conn;
    c->http = http1_new(HTTP1_REQUESTS, (struct http1_limits){.head_bytes = (size_t)s->head_bytes,
                                                              .body_bytes = body_bytes_most,
                                                              .headers = s->headers});
    c->timer.fire = on_timer;
    buf_init(&c->ahead, AHEAD_BYTES_MAX);
    conn_set(conn, &client_conn_calls, c);
    conn_marks(conn, (size_t)s->stream_buffer_bytes, (size_t)s->stream_buffer_bytes / 4);
    c->older = w->clients;
    if (w->clients)
        w->clients->newer = c;
    w->clients = c;
    w->n_clients++;
    metrics_add(w->metrics, w->index, METRICS_CLIENTS, 1);
    set_state(c, CLIENT_IDLE);
    return c;
}

struct worker *client_worker(struct client *c)
{
    return c->worker;
}

void client_handle(struct client *c, const struct handler_calls *calls, void *ctx)
{
    c->calls = calls;
    c->handler = ctx;
}

void client_send(struct client *c, struct str bytes)
{
    c->answering = true;
    conn_send(c->conn, bytes);
}

void client_send2(struct client *c, struct str head, struct str body)
{
    c->answering = true;
    conn_send2(c->conn, head, body);
}

bool client_full(const struct client *c)
{
    struct client *self = (struct client *)c;
    if (conn_pending(c->conn) <= (size_t)config_of(c)->stream_buffer_bytes)
        return false;
    if (c->due_us == NEVER)
        expect_by(self, config_of(c)->write_us);
    return true;
}

void client_done(struct client *c, bool keep)
{
    c->calls = NULL;
    c->handler = NULL;
    bool whole = c->state == CLIENT_ANSWER;
    if (c->body_paused)
        client_resume_body(c);
    if (keep && c->keep_alive && whole) {
        read_next(c);
    } else if (whole) {
        conn_close(c->conn);
    } else if (keep && c->keep_alive && c->state == CLIENT_BODY) {
        c->lingered =
            0;  // the body that is still coming is thrown away, then the next request is read
    } else {
        conn_close(c->conn);
    }
}

void client_abort(struct client *c)
{
    conn_abort(c->conn);
}

bool client_keep_alive(const struct client *c)
{
    return c->keep_alive;
}

bool client_is_head(const struct client *c)
{
    return c->is_head;
}

bool client_body_read(const struct client *c)
{
    return c->state == CLIENT_ANSWER;
}

int32_t client_version_minor(const struct client *c)
{
    return c->version_minor;
}

struct str client_peer(const struct client *c)
{
    return conn_peer(c->conn);
}

bool client_is_loopback(const struct client *c)
{
    struct str peer = conn_peer(c->conn);
    return str_starts(peer, STR("127.")) || str_starts(peer, STR("[::1]"));
}

void client_stream_body(struct client *c)
{
    c->body_streamed = true;
}

void client_pause_body(struct client *c)
{
    c->body_paused = true;
    conn_pause(c->conn);
}

void client_resume_body(struct client *c)
{
    if (!c->body_paused)
        return;
    c->body_paused = false;
    conn_resume(c->conn);
}

const char *worker_date(struct worker *w)
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t s = loop_wall_us(w->loop) / S(1);
    if (s == w->date_s)
        return w->date;
    struct civil d = civil_of(s * S(1));
    w->date_s = s;
    snprintf(w->date, sizeof w->date, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT",
             days + 3 * ((s / 86400 + 4) % 7), d.day, months + 3 * (d.month - 1), d.year, d.hour,
             d.minute, d.second);
    return w->date;
}

void worker_drain(struct worker *w)
{
    w->draining = true;
    w->leaving = false;
    struct client *older;
    for (struct client *c = w->clients; c; c = older) {
        older = c->older;
        c->keep_alive = false;
        if (c->state == CLIENT_IDLE)
            conn_close(c->conn);
    }
    shadows_drain(w);
    worker_look_idle(w);
}

void worker_leave(struct worker *w)
{
    w->draining = w->leaving = true;
    for (struct client *c = w->clients; c; c = c->older)
        if (c->state == CLIENT_IDLE)
            set_state(c, CLIENT_IDLE);
    shadows_drain(w);
    worker_look_idle(w);
}

void worker_cut(struct worker *w)
{
    struct client *older;
    for (struct client *c = w->clients; c; c = older) {
        older = c->older;
        conn_abort(c->conn);
    }
    shadows_cut(w);
}
