#include "gateway/exchange_parts.h"
#include "gateway/explain.h"

#include <inttypes.h>
#include <stdio.h>

static const char event_stream[] = "text/event-stream; charset=utf-8";

// Room in front of the events of a stream, so that their chunk's head is written before them in
// place.
enum { CHUNK_HEAD_ROOM = 24, RECEIPT_BYTES_MAX = 8 * 1024, EXPLAIN_BYTES_MAX = 16 << 20 };

// Sends bytes of the stream: a chunk for HTTP/1.1, as they are for 1.0.
static void send_piece(struct exchange *x, struct str bytes)
{
    struct client *c = x->client;
    if (!c || !bytes.n)
        return;
    x->wrote_us = exchange_now(x);
    if (client_version_minor(c) == 0) {
        client_send(c, bytes);
        return;
    }
    struct buf *s = &x->worker->scratch;
    buf_clear(s);
    http1_write_chunk_head(s, bytes.n);
    buf_add_str(s, bytes);
    buf_lit(s, "\r\n");
    client_send(c, buf_str(s));
    buf_clear(s);
}

void exchange_lend(struct exchange *x)
{
    if (x->out.p)
        return;
    spare_lend(loop_spares(x->worker->loop), &x->out);
    x->out.from = x->out.to = CHUNK_HEAD_ROOM;
}

// x->out as a chunk, written around it where there is room.
static void send_out(struct exchange *x)
{
    struct buf *out = &x->out, *s = &x->worker->scratch;
    size_t n = buf_len(out);
    if (out->from < CHUNK_HEAD_ROOM || out->size - out->to < 2 || !x->client || !n ||
        client_version_minor(x->client) == 0) {
        send_piece(x, buf_str(out));
        return;
    }
    buf_clear(s);
    http1_write_chunk_head(s, n);
    size_t head_n = buf_len(s);
    memcpy(out->p + out->from - head_n, buf_str(s).p, head_n);
    memcpy(out->p + out->to, "\r\n", 2);
    buf_clear(s);
    x->wrote_us = exchange_now(x);
    client_send(x->client, (struct str){out->p + out->from - head_n, head_n + n + 2});
}

void exchange_flush(struct exchange *x)
{
    send_out(x);
    spare_take(loop_spares(x->worker->loop), &x->out);  // an idle stream holds no memory
    if (x->client && !x->paused && client_full(x->client)) {
        // A slow reader: its supplier's socket is read no more until it has caught up.
        x->paused = true;
        attempt_pause(&x->attempt);
    }
}

static void send_head(struct exchange *x, const struct answer *a, int64_t length)
{
    struct buf *s = &x->worker->scratch;
    buf_clear(s);
    answer_head(x->worker, x->client, a, length, s);
    x->wrote_us = exchange_now(x);
    client_send(x->client, buf_str(s));
    buf_clear(s);
    x->head_sent = true;
}

static struct answer answer_of(const struct exchange *x, int32_t status)
{
    return (struct answer){.status = status,
                           .request_id = str_of(x->id),
                           .origin = x->origin,
                           .keep = client_keep_alive(x->client),
                           .retry_after_us = -1};
}

void exchange_stream_begin(struct exchange *x)
{
    struct buf extra;
    buf_init(&extra, 4096);
    buf_lit(&extra, "Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\n");
    x->status = 200;
    exchange_decision_line(x, &extra);
    limits_headers(&x->admission, &extra);
    struct answer a = answer_of(x, 200);
    a.content_type = event_stream;
    a.extra = buf_str(&extra);
    if (client_version_minor(x->client) == 0)
        a.keep = false;
    send_head(x, &a, -1);
    buf_release(&extra);
}

void exchange_keepalive(struct exchange *x)
{
    if (!x->client)
        return;
    if (!x->head_sent)
        exchange_stream_begin(x);
    send_piece(x, STR(": keepalive\n\n"));
}

// Behind an error: the connection does not go on.
static void close_stream(struct exchange *x)
{
    struct client *c = x->client;
    if (client_version_minor(c) >= 1)
        client_send(c, STR("0\r\n\r\n"));
    exchange_client_done(x, false);
}

static void write_receipt(struct exchange *x)
{
    if (!x->receipt_wanted)
        return;
    struct buf receipt;
    buf_init(&receipt, RECEIPT_BYTES_MAX);
    relay_write_receipt(exchange_receipt(x, &receipt), &x->out);
    buf_release(&receipt);
}

// Ends a stream whose head has gone with an error event, and never with [DONE]. Behind the events
// that came with what broke it.
static void end_with_error(struct exchange *x, const char *message, const char *type,
                           const char *code)
{
    write_receipt(x);
    relay_write_error(x->surface, message, type, code, &x->out);
    send_piece(x, buf_str(&x->out));
    close_stream(x);
}

void exchange_stream_end(struct exchange *x)
{
    exchange_settle(x);
    exchange_attempt_done(x);
    write_receipt(x);
    relay_write_end(&x->relay, &x->out);
    // The last event, the last chunk and the end of the answer are one write.
    struct buf *s = &x->worker->scratch;
    buf_clear(s);
    struct client *c = x->client;
    bool chunked = client_version_minor(c) >= 1;
    struct str last = buf_str(&x->out);
    if (chunked && last.n)
        http1_write_chunk_head(s, last.n);
    buf_add_str(s, last);
    if (chunked)
        buf_add_str(s, last.n ? STR("\r\n0\r\n\r\n") : STR("0\r\n\r\n"));
    client_send(c, buf_str(s));
    buf_clear(s);
    spare_take(loop_spares(x->worker->loop), &x->out);
    exchange_client_done(x, chunked);
}

void exchange_stream_cut(struct exchange *x, const char *why)
{
    exchange_stop(x, FAULT_RESET);
    x->cut = true;
    x->error = STR("stream_cut");
    exchange_settle(x);
    if (x->client)
        end_with_error(x, why, "server_error", "stream_cut");
    else
        exchange_end(x);
}

void exchange_whole(struct exchange *x)
{
    struct spares *spares = loop_spares(x->worker->loop);
    struct buf extra, receipt;
    buf_init(&extra, 16 * 1024);
    spare_lend(spares, &extra);
    buf_init(&receipt, RECEIPT_BYTES_MAX);
    x->status = 200;
    exchange_settle(x);
    exchange_attempt_done(x);
    exchange_decision_line(x, &extra);
    limits_headers(&x->admission, &extra);
    if (x->receipt_wanted) {
        struct str said = exchange_receipt(x, &receipt);
        buf_printf(&extra, "x-caudal-receipt: " STR_FMT "\r\n", STR_ARG(said));
    }
    struct answer a = answer_of(x, 200);
    a.content_type = "application/json";
    a.extra = buf_str(&extra);
    answer_whole(x->worker, x->client, &a, buf_str(&x->out));
    exchange_client_done(x, true);
    spare_take(spares, &extra);
    buf_release(&receipt);
}

void exchange_fail(struct exchange *x, const struct answer *said)
{
    const char *code = said->code ? said->code : "error";
    x->error = str_of(said->code ? said->code : said->type);
    // Only comments have gone out, but with a head that said 200: the error is an event.
    x->cut = x->head_sent;
    if (!x->head_sent)
        x->status = said->status;
    exchange_settle(x);
    if (!x->client) {
        exchange_end(x);
        return;
    }
    if (x->head_sent) {
        buf_clear(&x->out);
        end_with_error(x, said->message, said->type, code);
        return;
    }
    struct answer a = *said;
    struct buf extra;
    buf_init(&extra, 4096);
    if (x->n_sends)
        exchange_decision_line(x, &extra);
    limits_headers(&x->admission, &extra);
    a.surface = x->surface;
    a.request_id = str_of(x->id);
    a.origin = x->origin;
    a.extra = buf_str(&extra);
    a.keep = client_keep_alive(x->client) && client_body_read(x->client);
    answer_error(x->worker, x->client, &a);
    buf_release(&extra);
    exchange_client_done(x, a.keep);
}

void exchange_explain(struct exchange *x)
{
    struct buf json;
    buf_init(&json, EXPLAIN_BYTES_MAX);
    explain_write(x->worker, x->generation, x->key, &x->ask, &json);
    struct answer a = answer_of(x, 200);
    a.content_type = "application/json";
    answer_whole(x->worker, x->client, &a, buf_str(&json));
    exchange_client_done(x, true);
    buf_release(&json);
}

// The error that tells the client best why nobody answered. Most faults are not its own.
static struct answer verdict_of(const struct exchange *x)
{
    static const struct openai_fault nothing;
    const struct openai_fault *e = x->last_error ? x->last_error : &nothing;
    struct answer a = {.type = "server_error", .retry_after_us = -1};
    switch (x->last_fault) {
    case FAULT_CLIENT:
        a.status = x->last_status >= 400 && x->last_status < 500 ? x->last_status : 400;
        a.type = e->type[0] ? e->type : "invalid_request_error";
        a.code = e->code[0] ? e->code : NULL;
        a.param = e->param[0] ? e->param : NULL;
        a.message = e->message[0] ? e->message : "the supplier refused the request";
        return a;
    case FAULT_CONTEXT:
        a.status = 400;
        a.type = "invalid_request_error";
        a.code = "context_length_exceeded";
        a.param = "messages";
        a.message = e->message[0] ? e->message : "the request is longer than any pool's context";
        return a;
    case FAULT_CONTENT:
        a.status = 400;
        a.type = "invalid_request_error";
        a.code = "content_filter";
        a.message =
            e->message[0] ? e->message : "the supplier's content policy refused the request";
        return a;
    case FAULT_BUSY:
        a.status = 429;
        a.type = "rate_limit_error";
        a.code = "rate_limit_exceeded";
        a.message = "Every supplier of this model is at its limit.";
        a.retry_after_us = x->retry_after_us >= 0 ? x->retry_after_us : S(1);
        return a;
    case FAULT_TIMEOUT:
        a.status = 504;
        a.code = "timeout";
        a.message = "No supplier answered in time.";
        a.no_retry = x->ask.deadline_us <= exchange_now(x);
        return a;
    case FAULT_GARBAGE:
        a.status = 502;
        a.code = "bad_supplier_answer";
        a.message = "The suppliers that were tried sent answers that cannot be read.";
        return a;
    case FAULT_NONE:
    case FAULT_CONNECT:
    case FAULT_RESET:
    case FAULT_SERVER:
    case FAULT_SPENT:
    case FAULT_DENIED:
    case FAULT_NO_MODEL:
    case FAULT_GONE:
    case FAULT_COUNT: break;
    }
    a.status = x->last_fault == FAULT_CONNECT || x->last_fault == FAULT_RESET ||
                       x->last_fault == FAULT_SERVER
                   ? 502
                   : 503;
    a.code = "no_supplier_answered";
    a.message = "Every supplier of this model that could be tried failed.";
    return a;
}

// Nothing was sent at all: the router says why.
static struct answer bar_of(struct exchange *x)
{
    int64_t now = exchange_now(x), until = x->decision.until_us;
    struct str why = arena_printf(&x->arena, "No pool %s; the nearest: %s.",
                                  x->waited_for ? "was free for this request in time"
                                                : "can answer this request",
                                  route_bar_text(x->decision.bar));
    struct answer a = {.status = 503,
                       .type = "service_unavailable_error",
                       .code = "no_capacity",
                       .message = why.p ? why.p : "No pool can answer this request.",
                       .retry_after_us = until > now && until != NEVER ? until - now : -1};
    switch (x->decision.bar) {
    case ROUTE_BAR_DEFERRED:
    case ROUTE_BAR_WAIT:
    case ROUTE_BAR_COOLING:
        a.status = 429;
        a.type = "rate_limit_error";
        a.code = "rate_limit_exceeded";
        if (a.retry_after_us < 0)
            a.retry_after_us = S(1);
        break;
    case ROUTE_BAR_CONTEXT:
        a.status = 400;
        a.type = "invalid_request_error";
        a.code = "context_length_exceeded";
        break;
    case ROUTE_BAR_SURFACE:
        a.status = 404;
        a.type = "invalid_request_error";
        a.code = "unsupported_call";
        break;
    case ROUTE_BAR_DEADLINE:
        a.status = 504;
        a.code = "timeout";
        break;
    case ROUTE_BAR_ABSENT: a.retry_after_us = S(1); break;
    case ROUTE_BAR_REGION:
    case ROUTE_BAR_PRICE: a.no_retry = true; break;
    case ROUTE_MAY:
    case ROUTE_BAR_SHARE:
    case ROUTE_BAR_BREAKER:
    case ROUTE_BAR_TRIED:
    case ROUTE_BAR_SPENT:
    case ROUTE_BAR_INACTIVE:
    case ROUTE_BAR_MODEL: break;
    }
    return a;
}

void exchange_give_up(struct exchange *x)
{
    struct answer a = x->last_fault ? verdict_of(x) : bar_of(x);
    int64_t wait_us = x->decision.until_us - exchange_now(x);
    if (a.status >= 502 && a.status <= 503 && a.retry_after_us < 0 && !a.no_retry)
        a.retry_after_us = wait_us > 0 && x->decision.until_us != NEVER ? wait_us : S(1);
    // A wait longer than any SDK's patience is better told than slept through.
    if (a.retry_after_us > S(60))
        a.no_retry = true;
    exchange_fail(x, &a);
}
