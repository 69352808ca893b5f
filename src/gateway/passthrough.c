#include "gateway/passthrough_parts.h"

#include <inttypes.h>
#include <stdlib.h>

// Most names have another length than all of these.
static bool is_passed(struct str name, bool as_it_is)
{
    switch (name.n) {
    case 6: return as_it_is && str_eq_nocase(name, STR("accept"));
    case 10: return str_eq_nocase(name, STR("tracestate"));
    case 11:
        return str_eq_nocase(name, STR("openai-beta")) || str_eq_nocase(name, STR("traceparent"));
    case 12: return as_it_is && str_eq_nocase(name, STR("content-type"));
    case 14: return str_eq_nocase(name, STR("anthropic-beta"));
    case 15: return str_eq_nocase(name, STR("idempotency-key"));
    case 17: return str_eq_nocase(name, STR("anthropic-version"));
    default: return false;
    }
}

void passthrough_headers(const struct http1_head *head, bool as_it_is, struct buf *out)
{
    for (int32_t i = 0; i < head->n_headers; i++) {
        const struct http1_header *h = &head->headers[i];
        if (is_passed(h->name, as_it_is) && !http1_is_hop(head, h->name))
            buf_join(out, h->name, STR(": "), h->value, STR("\r\n"));
    }
}

// Rows without a model and without a price: what such a call costs, only the supplier knows.
static bool reserve(struct pass *p, int32_t supplier)
{
    const struct portfolio *f = p->generation->portfolio;
    struct record_reserve r = {
        .key = p->key ? p->key->number : 0,
        .tenant = p->tenant < 0 ? 0 : record_id(RECORD_TENANT, f->tenants[p->tenant].name),
        .supplier = record_id(RECORD_SUPPLIER, f->suppliers[supplier].name),
        .ordinal = 1};
    strncpy(r.request, p->id, sizeof r.request);
    return ledger_reserve(p->worker->pen, &p->call, &r, RECORD_PASSTHROUGH | RECORD_UNBOUNDED);
}

// False: a limit is met, and the client has been told.
static bool admit(struct pass *p)
{
    struct quota_level levels[QUOTA_LEVELS_MAX];
    struct quota_refusal why;
    struct loop *loop = p->worker->loop;
    struct quota_ask ask = {.now_us = loop_now_us(loop), .wall_us = loop_wall_us(loop)};
    int32_t n = limits_levels(p->generation, p->tenant, p->key, levels);
    if (!n || limits_take(p->worker->limits, levels, n, &ask, &p->admission, &why))
        return true;
    struct buf text, extra;
    buf_init(&text, 2048);
    buf_init(&extra, 2048);
    struct answer a = limits_answer(p->generation, p->tenant, p->key, &why, &text);
    limits_headers(&p->admission, &extra);
    a.extra = buf_str(&extra);
    a.request_id = str_of(p->id);
    a.origin = buf_str(&p->origin);
    a.keep = p->body_done && client_keep_alive(p->client);
    p->status = a.status;
    answer_error(p->worker, p->client, &a);
    pass_finish(p, a.keep);
    buf_release(&text);
    buf_release(&extra);
    return false;
}

// --- the request ------------------------------------------------------------------------------

static void send_up(struct pass *p, struct str wire)
{
    if (attempt_more(&p->attempt, wire) && p->client && !p->body_done)
        client_pause_body(p->client);
}

static void send_body(struct pass *p, struct str bytes)
{
    if (!attempt_connected(&p->attempt)) {
        if (!buf_add_str(&p->early, bytes))
            pass_fail(p, 503, "no_supplier_answered", "The supplier cannot be reached.");
        else if (p->client && !p->body_done && buf_len(&p->early) > HEAD_BYTES_MAX)
            client_pause_body(p->client);
        return;
    }
    send_up(p, bytes);
}

static void on_body(void *ctx, struct str bytes)
{
    struct pass *p = ctx;
    p->bytes_in += (int64_t)bytes.n;
    p->last_us = loop_now_us(p->worker->loop);
    if (!p->chunked_up) {
        send_body(p, bytes);
        return;
    }
    struct buf head;
    buf_init(&head, 64);
    http1_write_chunk_head(&head, bytes.n);
    send_body(p, buf_str(&head));
    send_body(p, bytes);
    send_body(p, STR("\r\n"));
    buf_release(&head);
}

static void on_body_end(void *ctx)
{
    struct pass *p = ctx;
    p->body_done = true;
    if (p->chunked_up)
        send_body(p, STR("0\r\n\r\n"));
    if (attempt_connected(&p->attempt))
        p->attempt.whole_sent = true;
}

void pass_up_drain(struct pass *p)
{
    bool full = false;
    if (buf_len(&p->early)) {
        full = attempt_more(&p->attempt, buf_str(&p->early));
        buf_release(&p->early);
    }
    if (p->body_done)
        p->attempt.whole_sent = true;
    if (p->client && !full)  // also behind its last byte: or we would not see the client leave
        client_resume_body(p->client);
}

static const struct handler_calls pass_calls = {
    .body = on_body, .body_end = on_body_end, .drain = pass_down_drain, .gone = pass_gone};

// --- the beginning ----------------------------------------------------------------------------

// `headers`: what goes on of the client's, as lines.
static void build_head(struct pass *p, const struct asked *q, struct str headers,
                       struct endpoint *ep, int64_t length)
{
    struct str after_v1 = str_skip(q->head->target, 3);  // "/v1/files?x=y" without "/v1"
    size_t at;
    if (!str_starts(q->head->target, STR("/v1")) && str_find(q->head->target, STR("/v1/"), &at))
        after_v1 = str_skip(q->head->target, at + 3);
    struct buf *h = &p->head;
    generation_write_head(p->generation, ep, q->head->method, after_v1, h);
    buf_add_str(h, headers);
    span_write_parent(&p->span, 0, h);
    if (p->chunked_up)
        buf_lit(h, "Transfer-Encoding: chunked\r\n");
    else if (length >= 0)
        buf_printf(h, "Content-Length: %" PRId64 "\r\n", length);
    buf_printf(h,
               "Accept-Encoding: identity\r\nUser-Agent: caudal/" CAUDAL_VERSION
               "\r\nx-client-request-id: %s\r\n\r\n",
               p->id);
}

static void send_now(void *ctx)
{
    struct pass *p = ctx;
    p->sent_us = loop_now_us(p->worker->loop);
    attempt_start(&p->attempt, p->worker->upstream, p->attempt.ep, true, buf_str(&p->head),
                  (struct str){0}, &pass_attempt_calls, p);
    p->attempt.whole_sent = false;
    if (p->is_head)
        attempt_no_body(&p->attempt);
}

static void take_span(struct pass *p, struct span_context *span, const struct asked *q)
{
    p->span = *span;
    *span = (struct span_context){0};
    buf_init(&p->asked, q->head->method.n + 1 + q->path.n);
    if (p->span.id)
        buf_join(&p->asked, q->head->method, STR(" "), q->path);
}

static struct pass *begin(struct worker *w, struct client *c, const struct asked *q,
                          struct str headers, struct span_context *span, int32_t supplier,
                          int64_t length)
{
    struct pass *p = take(sizeof *p);
    p->worker = w;
    p->client = c;
    p->generation = q->generation;  // a reload may have come while the body did
    generation_hold(p->generation);
    p->tenant = q->tenant;
    p->key = q->key;
    p->arrived_us = p->last_us = loop_now_us(w->loop);
    p->timer.fire = pass_on_timer;
    p->chunked_up = q->head->chunked;
    answer_new_id(w, p->id);
    buf_init_secret(&p->head, passthrough_head_room(p->generation->portfolio));
    buf_init(&p->early, (size_t)w->generation->portfolio->serve.body_bytes + HEAD_BYTES_MAX);
    buf_init(&p->origin, 1024);
    buf_add_str(&p->origin, q->origin);
    take_span(p, span, q);
    metrics_add(w->metrics, w->index, METRICS_REQUESTS, 1);
    client_handle(c, &pass_calls, p);
    struct endpoint *ep = generation_supplier(p->generation, supplier);
    p->body_done = length <= 0 && !p->chunked_up;
    if (!admit(p))
        return NULL;
    p->body_done = false;
    if (!atomic_load(&ep->port)) {
        p->body_done = length <= 0 && !p->chunked_up;
        pass_fail(p, 503, "no_supplier_answered",
                  "The tenant's passthrough supplier cannot be called now.");
        return NULL;
    }
    if (!reserve(p, supplier)) {
        p->body_done = length <= 0 && !p->chunked_up;
        pass_fail(p, 503, "ledger_full",
                  "The ledger has no room, and what it cannot record is not sent.");
        return NULL;
    }
    build_head(p, q, headers, ep, length);
    client_stream_body(c);
    p->attempt = (struct attempt){.ep = ep};
    p->is_head = str_eq(q->head->method, STR("HEAD"));
    if (!ledger_must_wait(w->pen, &p->call, send_now, p))
        send_now(p);
    timer_set(w->loop, &p->timer, p->arrived_us + S(5));
    return p;
}

void passthrough_begin(struct worker *w, struct client *c, const struct asked *q, int32_t supplier)
{
    struct buf headers;
    buf_init(&headers, passthrough_head_room(q->generation->portfolio));
    struct span_context span = {0};
    passthrough_headers(q->head, true, &headers);
    otlp_begin(w, &span, q->head);
    span_cut(&span, &headers);
    begin(w, c, q, buf_str(&headers), &span, supplier, q->head->content_length);
    buf_release(&headers);
}

void passthrough_whole(struct worker *w, struct client *c, const struct asked *q, int32_t supplier,
                       struct str headers, struct span_context *span, struct str body)
{
    struct pass *p = begin(w, c, q, headers, span, supplier, (int64_t)body.n);
    if (!p)
        return;
    on_body(p, body);
    on_body_end(p);
}
