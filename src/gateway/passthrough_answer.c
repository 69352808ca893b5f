#include "gateway/passthrough_parts.h"

static void timed_out(struct pass *p)
{
    p->fault = FAULT_TIMEOUT;
    pass_fail(p, 504, "timeout", "The supplier did not answer in time.");
}

void pass_on_timer(struct timer *t)
{
    struct pass *p = CONTAINER_OF(t, struct pass, timer);
    int64_t now = loop_now_us(p->worker->loop);
    int64_t limit =
        p->head_sent ? p->attempt.ep->idle_us : max_i64(p->attempt.ep->first_byte_us, S(600));
    if (!p->paused && p->last_us + limit <= now)
        timed_out(p);
    else
        timer_set(p->worker->loop, &p->timer, now + min_i64(limit, S(5)));
}

// --- the answer -------------------------------------------------------------------------------

static bool is_answer_header(const struct http1_head *h, struct str name)
{
    static const char *const ours[] = {"content-length",
                                       "transfer-encoding",
                                       "connection",
                                       "date",
                                       "server",
                                       "set-cookie",
                                       "x-request-id",
                                       "access-control-allow-origin",
                                       "access-control-expose-headers",
                                       "vary",
                                       "alt-svc",
                                       "strict-transport-security"};
    for (size_t i = 0; i < COUNTOF(ours); i++)
        if (str_eq_nocase(name, str_of(ours[i])))
            return false;
    return !http1_is_hop(h, name);
}

static void on_head(void *ctx, const struct http1_head *h)
{
    struct pass *p = ctx;
    struct buf extra;
    p->last_us = loop_now_us(p->worker->loop);
    p->status = h->status;
    if (!p->client)
        return;
    buf_init(&extra, HEAD_BYTES_MAX);
    for (int32_t i = 0; i < h->n_headers; i++)
        if (is_answer_header(h, h->headers[i].name) && http1_value_ok(h->headers[i].value))
            buf_printf(&extra, STR_FMT ": " STR_FMT "\r\n", STR_ARG(h->headers[i].name),
                       STR_ARG(h->headers[i].value));
    int64_t length = h->status == 204 || h->status == 304 ? 0 : h->content_length;
    bool is_head = client_is_head(p->client);  // its answer has a head only, whatever that says
    p->chunked_down = length < 0 && client_version_minor(p->client) >= 1 && !is_head;
    p->keep = client_keep_alive(p->client) && (length >= 0 || p->chunked_down || is_head);
    struct answer a = {.status = h->status,
                       .request_id = str_of(p->id),
                       .origin = buf_str(&p->origin),
                       .extra = buf_str(&extra),
                       .keep = p->keep};
    buf_clear(&p->worker->scratch);
    answer_head(p->worker, p->client, &a, length, &p->worker->scratch);
    client_send(p->client, buf_str(&p->worker->scratch));
    buf_clear(&p->worker->scratch);
    buf_release(&extra);
    p->head_sent = true;
}

static void on_answer(void *ctx, struct str bytes)
{
    struct pass *p = ctx;
    p->last_us = loop_now_us(p->worker->loop);
    p->bytes_out += (int64_t)bytes.n;
    if (!p->client)
        return;
    if (p->chunked_down) {
        struct buf head;
        buf_init(&head, 64);
        http1_write_chunk_head(&head, bytes.n);
        client_send2(p->client, buf_str(&head), bytes);
        client_send(p->client, STR("\r\n"));
        buf_release(&head);
    } else {
        client_send(p->client, bytes);
    }
    if (client_full(p->client)) {
        p->paused = true;
        attempt_pause(&p->attempt);
    }
}

static void on_answer_end(void *ctx)
{
    struct pass *p = ctx;
    if (p->client && p->chunked_down)
        client_send(p->client, STR("0\r\n\r\n"));
    pass_finish(p, p->keep);
}

static void on_drain(void *ctx)
{
    pass_up_drain(ctx);
}

static void on_failed(void *ctx, enum fault fault, bool stale, const char *why)
{
    struct pass *p = ctx;
    (void)stale;
    p->fault = fault;
    pass_fail(p, fault == FAULT_TIMEOUT ? 504 : 502, "no_supplier_answered", why);
}

void pass_down_drain(void *ctx)
{
    struct pass *p = ctx;
    if (!p->paused)
        return;
    p->paused = false;
    p->last_us = loop_now_us(p->worker->loop);
    attempt_resume(&p->attempt);
}

const struct attempt_calls pass_attempt_calls = {.head = on_head,
                                                 .body = on_answer,
                                                 .end = on_answer_end,
                                                 .failed = on_failed,
                                                 .drain = on_drain};
