#include "gateway/passthrough.h"
#include "gateway/answer.h"
#include "gateway/attempt.h"
#include "gateway/limits.h"

#include <inttypes.h>
#include <stdlib.h>

enum { HEAD_BYTES_MAX = 64 * 1024 };

// A request that goes to one supplier as it is. Lives as long as the request; frees itself.
struct pass {
    struct worker *worker;
    struct client *client;  // NULL: gone, or answered
    struct generation *generation;
    struct attempt attempt;
    struct ledger_call call;
    enum fault fault;
    struct buf head;   // to the supplier
    struct buf early;  // body bytes that came before the connection stood
    struct timer timer;
    int64_t arrived_us, last_us;
    int32_t tenant, status;
    const struct key *key;
    struct admission admission;  // requests and requests in flight: what it costs nobody knows
    int64_t bytes_in, bytes_out;
    char id[REQUEST_ID_BYTES];
    struct buf origin;
    bool chunked_up, body_done, head_sent, chunked_down, paused, over;
    bool failed;   // by us or the supplier: it counts as no request
    bool keep;     // as the answer's head said
    bool is_head;  // HEAD: an answer without a body
};

static const struct str *const allowed[] = {
    &(const struct str){"content-type", 12},   &(const struct str){"accept", 6},
    &(const struct str){"openai-beta", 11},    &(const struct str){"anthropic-version", 17},
    &(const struct str){"anthropic-beta", 14}, &(const struct str){"idempotency-key", 15},
    &(const struct str){"traceparent", 11},    &(const struct str){"tracestate", 10},
};

static bool is_passed(struct str name)
{
    uint32_t lengths = 0;  // most names have another length than all of these
    for (size_t i = 0; i < COUNTOF(allowed); i++)
        lengths |= UINT32_C(1) << allowed[i]->n;
    if (name.n >= 32 || !(lengths >> name.n & 1))
        return false;
    for (size_t i = 0; i < COUNTOF(allowed); i++)
        if (str_eq_nocase(*allowed[i], name))
            return true;
    return false;
}

void passthrough_headers(const struct http1_head *head, bool as_it_is, struct buf *out)
{
    for (int32_t i = 0; i < head->n_headers; i++) {
        const struct http1_header *h = &head->headers[i];
        bool own =
            str_eq_nocase(h->name, STR("content-type")) || str_eq_nocase(h->name, STR("accept"));
        if (!is_passed(h->name) || (own && !as_it_is) || http1_is_hop(head, h->name))
            continue;
        buf_join(out, h->name, STR(": "), h->value, STR("\r\n"));
    }
}

static void release(void *arg)
{
    struct pass *p = arg;
    buf_release(&p->head);
    buf_release(&p->early);
    buf_release(&p->origin);
    generation_drop(p->generation);
    free(p);
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

static void settle(struct pass *p)
{
    struct record_settle s = {.status = (uint16_t)p->status,
                              .fault = (uint16_t)p->fault,
                              .ttft_us = -1,
                              .bytes_up = p->bytes_in,
                              .bytes_down = p->bytes_out};
    uint32_t flags = RECORD_PASSTHROUGH | (p->fault == FAULT_GONE ? RECORD_CANCELLED : 0);
    if (!attempt_connected(&p->attempt))
        flags |= RECORD_UNSENT;
    else if (!p->attempt.any_byte)
        flags |= RECORD_UNHEARD;
    ledger_settle(p->worker->pen, &p->call, &s, flags);
}

static void tell_ledger(struct pass *p)
{
    const struct tenant *t = p->tenant < 0 ? NULL : &p->generation->portfolio->tenants[p->tenant];
    settle(p);
    struct record_request r = {.tenant = t ? record_id(RECORD_TENANT, t->name) : 0,
                               .total_us = loop_now_us(p->worker->loop) - p->arrived_us,
                               .ttft_us = -1,
                               .status = (uint16_t)p->status,
                               .key = p->key ? p->key->number : 0,
                               .fault = (uint16_t)p->fault,
                               .attempts = p->attempt.ep != NULL};
    if (p->attempt.ep)
        r.supplier = record_id(RECORD_SUPPLIER,
                               p->generation->portfolio->suppliers[p->attempt.ep->supplier].name);
    strncpy(r.request, p->id, sizeof r.request);
    ledger_request(p->worker->pen, &p->call, &r, RECORD_PASSTHROUGH);
}

// What it was admitted with; nothing of that is left afterwards.
static void give_back(struct pass *p)
{
    limits_give_back(p->worker->limits, &p->admission, loop_now_us(p->worker->loop));
}

static void end(struct pass *p)
{
    if (p->over)
        return;
    p->over = true;
    tell_ledger(p);
    int64_t now = loop_now_us(p->worker->loop);
    if (p->failed || (p->fault && p->fault != FAULT_GONE))
        give_back(p);
    else
        limits_settle(p->worker->limits, &p->admission, 0, 0, now);
    timer_stop(p->worker->loop, &p->timer);
    struct metrics_request m = {.names = &p->generation->names,
                                .tenant = p->tenant,
                                .model = -1,
                                .class = -1,
                                .pool = -1,
                                .status = p->status,
                                .ttft_us = -1,
                                .total_us = now - p->arrived_us,
                                .attempts = 1};
    metrics_request(p->worker->metrics, p->worker->index, &m);
    metrics_add(p->worker->metrics, p->worker->index, METRICS_REQUESTS, -1);
    log_line(p->worker->log, LOG_INFO, "passthrough", log_str("id", str_of(p->id)),
             log_str("supplier", p->attempt.ep ? p->attempt.ep->name : (struct str){0}),
             log_int("status", p->status), log_int("bytes_in", p->bytes_in),
             log_int("bytes_out", p->bytes_out), log_int("total_us", now - p->arrived_us));
    loop_after_turn(p->worker->loop, release, p);
}

static void finish(struct pass *p, bool keep)
{
    struct client *c = p->client;
    p->client = NULL;
    end(p);
    if (c)
        client_done(c, keep);
}

static void fail(struct pass *p, int32_t status, const char *code, const char *message)
{
    p->status = p->status ? p->status : status;
    p->failed = true;
    attempt_cancel(&p->attempt);
    give_back(p);  // before the client knows, who may ask again at once, of another loop
    if (p->client && p->head_sent) {
        client_abort(p->client);  // a cut body must not look whole
        return;
    }
    if (p->client) {
        struct answer a = {.status = status,
                           .message = message,
                           .type = "server_error",
                           .code = code,
                           .request_id = str_of(p->id),
                           .origin = buf_str(&p->origin),
                           .retry_after_us = -1,
                           .keep = p->body_done && client_keep_alive(p->client)};
        answer_error(p->worker, p->client, &a);
    }
    finish(p, p->body_done);
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
    finish(p, a.keep);
    buf_release(&text);
    buf_release(&extra);
    return false;
}

static void timed_out(struct pass *p)
{
    p->fault = FAULT_TIMEOUT;
    fail(p, 504, "timeout", "The supplier did not answer in time.");
}

static void on_timer(struct timer *t)
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
            fail(p, 503, "no_supplier_answered", "The supplier cannot be reached.");
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

static void on_up_drain(void *ctx)
{
    struct pass *p = ctx;
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

static void on_gone(void *ctx)
{
    struct pass *p = ctx;
    p->client = NULL;
    p->status = p->status ? p->status : 499;
    p->fault = FAULT_GONE;
    attempt_cancel(&p->attempt);
    end(p);
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
    finish(p, p->keep);
}

static void on_failed(void *ctx, enum fault fault, bool stale, const char *why)
{
    struct pass *p = ctx;
    (void)stale;
    p->fault = fault;
    fail(p, fault == FAULT_TIMEOUT ? 504 : 502, "no_supplier_answered", why);
}

static void on_down_drain(void *ctx)
{
    struct pass *p = ctx;
    if (!p->paused)
        return;
    p->paused = false;
    p->last_us = loop_now_us(p->worker->loop);
    attempt_resume(&p->attempt);
}

static const struct handler_calls pass_calls = {
    .body = on_body, .body_end = on_body_end, .drain = on_down_drain, .gone = on_gone};
static const struct attempt_calls pass_attempt_calls = {.head = on_head,
                                                        .body = on_answer,
                                                        .end = on_answer_end,
                                                        .failed = on_failed,
                                                        .drain = on_up_drain};

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
    attempt_start(&p->attempt, p->worker->upstream, p->attempt.ep, true, buf_str(&p->head),
                  (struct str){0}, &pass_attempt_calls, p);
    p->attempt.whole_sent = false;
    if (p->is_head)
        attempt_no_body(&p->attempt);
}

static struct pass *begin(struct worker *w, struct client *c, const struct asked *q,
                          struct str headers, int32_t supplier, int64_t length)
{
    struct pass *p = take(sizeof *p);
    p->worker = w;
    p->client = c;
    p->generation = q->generation;  // a reload may have come while the body did
    generation_hold(p->generation);
    p->tenant = q->tenant;
    p->key = q->key;
    p->arrived_us = p->last_us = loop_now_us(w->loop);
    p->timer.fire = on_timer;
    p->chunked_up = q->head->chunked;
    answer_new_id(w, p->id);
    buf_init(&p->head, HEAD_BYTES_MAX * 2);
    buf_init(&p->early, (size_t)w->generation->portfolio->serve.body_bytes + HEAD_BYTES_MAX);
    buf_init(&p->origin, 1024);
    buf_add_str(&p->origin, q->origin);
    metrics_add(w->metrics, w->index, METRICS_REQUESTS, 1);
    client_handle(c, &pass_calls, p);
    struct endpoint *ep = generation_supplier(p->generation, supplier);
    p->body_done = length <= 0 && !p->chunked_up;
    if (!admit(p))
        return NULL;
    p->body_done = false;
    if (!atomic_load(&ep->port)) {
        p->body_done = length <= 0 && !p->chunked_up;
        fail(p, 503, "no_supplier_answered",
             "The tenant's passthrough supplier cannot be called now.");
        return NULL;
    }
    if (!reserve(p, supplier)) {
        p->body_done = length <= 0 && !p->chunked_up;
        fail(p, 503, "ledger_full",
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
    buf_init(&headers, HEAD_BYTES_MAX);
    passthrough_headers(q->head, true, &headers);
    begin(w, c, q, buf_str(&headers), supplier, q->head->content_length);
    buf_release(&headers);
}

void passthrough_whole(struct worker *w, struct client *c, const struct asked *q, int32_t supplier,
                       struct str headers, struct str body)
{
    struct pass *p = begin(w, c, q, headers, supplier, (int64_t)body.n);
    if (!p)
        return;
    on_body(p, body);
    on_body_end(p);
}
