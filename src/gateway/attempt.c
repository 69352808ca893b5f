#include "gateway/attempt.h"

enum { REQUEST_PENDING_MAX = 256 * 1024 };

static void finish(struct attempt *t)
{
    struct link *k = t->link;
    t->link = NULL;
    if (t->keep)
        upstream_keep(t->upstream, k);
    else
        upstream_drop(t->upstream, k);
}

static void fail(struct attempt *t, enum fault fault, const char *why)
{
    bool stale = t->reused && !t->any_byte && fault == FAULT_RESET;
    t->keep = false;
    if (t->link)
        finish(t);
    t->calls->failed(t->ctx, fault, stale, why);
}

static void send_request(struct attempt *t)
{
    t->opened = true;
    // Written at the end of the turn, behind the turn's rows of the ledger. Without one at once:
    // what a whole turn sends together is answered together, and the other side sleeps in between.
    if (loop_holds_sends(conn_loop(link_conn(t->link))))
        conn_cork(link_conn(t->link));
    t->bytes_up = (int64_t)t->body.n;
    conn_send2(link_conn(t->link), t->head, t->body);
}

static void on_opened(void *ctx, enum err e, const char *why)
{
    struct attempt *t = ctx;
    if (!e) {
        send_request(t);
        if (!t->whole_sent)
            t->calls->drain(t->ctx);
        return;
    }
    // The connection closes by itself; `lost` must not speak a second time.
    struct link *k = t->link;
    t->link = NULL;
    upstream_drop(t->upstream, k);
    t->calls->failed(t->ctx, e == ERR_TIMEOUT ? FAULT_TIMEOUT : FAULT_CONNECT, false, why);
}

static void on_end(struct attempt *t)
{
    // A supplier that answers before it has read the whole request cannot take another on this
    // connection.
    t->keep = t->keep && t->whole_sent && conn_pending(link_conn(t->link)) == 0;
    finish(t);
    t->calls->end(t->ctx);
}

// True when the attempt is still on after the event.
static bool take_event(struct attempt *t, const struct http1_event *ev)
{
    struct link *k = t->link;
    switch (ev->kind) {
    case HTTP1_HEAD:
        t->head_seen = true;
        t->keep = http1_head(link_http(k))->keep_alive;
        t->calls->head(t->ctx, http1_head(link_http(k)));
        return t->link == k;
    case HTTP1_BODY:
        t->bytes_down += (int64_t)ev->body.n;
        t->calls->body(t->ctx, ev->body);
        return t->link == k;
    case HTTP1_END: on_end(t); return false;
    case HTTP1_MORE: break;
    }
    return false;
}

static void on_data(void *ctx, struct str bytes)
{
    struct attempt *t = ctx;
    struct diag diag = {0};
    struct http1_event ev;
    t->any_byte = true;
    const struct link *k = t->link;
    do {
        enum err e = http1_next(link_http(t->link), &bytes, &ev, &diag);
        if (e) {
            fail(t, FAULT_GARBAGE,
                 e == ERR_LIMIT ? "the answer's head is too long" : "the answer is not HTTP");
            return;
        }
        if (ev.kind == HTTP1_END && bytes.n)
            t->keep = false;  // something follows that nobody asked for
    } while (take_event(t, &ev));
    if (t->link == k && t->calls->rest)
        t->calls->rest(t->ctx);
}

static void on_eof(void *ctx)
{
    struct attempt *t = ctx;
    t->keep = false;
    if (t->head_seen && http1_eof(link_http(t->link)))
        on_end(t);
    else
        fail(t, FAULT_RESET, "the supplier closed the connection");
}

static void on_drain(void *ctx)
{
    struct attempt *t = ctx;
    t->calls->drain(t->ctx);
}

static void on_lost(void *ctx, enum err why)
{
    struct attempt *t = ctx;
    t->link = NULL;
    if (t->opened)
        fail(t, FAULT_RESET, why ? err_text(why) : "the connection was lost");
    else
        fail(t, FAULT_CONNECT, why ? err_text(why) : "no connection");
}

static const struct link_calls attempt_link_calls = {
    .opened = on_opened, .data = on_data, .eof = on_eof, .drain = on_drain, .lost = on_lost};

void attempt_start(struct attempt *t, struct upstream *u, struct endpoint *ep, bool fresh,
                   struct str head, struct str body, const struct attempt_calls *calls, void *ctx)
{
    *t = (struct attempt){.upstream = u,
                          .ep = ep,
                          .calls = calls,
                          .ctx = ctx,
                          .head = head,
                          .body = body,
                          .whole_sent = true};
    t->link = upstream_take(u, ep, fresh, &attempt_link_calls, t, &t->reused);
    if (t->reused)
        send_request(t);
}

void attempt_cancel(struct attempt *t)
{
    if (!t->link)
        return;
    t->keep = false;
    finish(t);
}

bool attempt_over(const struct attempt *t)
{
    return t->link == NULL;
}

bool attempt_started(const struct attempt *t)
{
    return t->upstream != NULL;
}

bool attempt_connected(const struct attempt *t)
{
    return t->opened;
}

void attempt_pause(struct attempt *t)
{
    if (t->link)
        conn_pause(link_conn(t->link));
}

void attempt_resume(struct attempt *t)
{
    if (t->link)
        conn_resume(link_conn(t->link));
}

void attempt_no_body(struct attempt *t)
{
    http1_expect_no_body(link_http(t->link));
}

bool attempt_more(struct attempt *t, struct str wire)
{
    if (!t->link)
        return false;
    conn_send(link_conn(t->link), wire);
    return conn_pending(link_conn(t->link)) > REQUEST_PENDING_MAX;
}

void attempt_forget_head(struct attempt *t)
{
    if (t->link)
        http1_forget_head(link_http(t->link));
}

int64_t attempt_retry_after_us(const struct http1_head *h)
{
    double v;
    const struct str *ms = http1_get(h, STR("retry-after-ms"));
    if (ms && str_to_double(*ms, &v) && v >= 0 && v < 1e9)
        return (int64_t)(v * 1000);
    const struct str *s = http1_get(h, STR("retry-after"));
    if (s && str_to_double(*s, &v) && v >= 0 && v < 1e7)
        return (int64_t)(v * 1e6);
    return s ? S(10) : -1;  // a date: a short wait is as good as any
}

bool attempt_streams(const struct http1_head *h)
{
    static const struct str stream = {"text/event-stream", 17};
    const struct str *type = http1_get(h, STR("content-type"));
    return h->status < 300 && type && type->n >= stream.n &&
           str_same_nocase(type->p, stream.p, stream.n);
}
