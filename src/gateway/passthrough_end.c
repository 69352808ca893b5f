#include "gateway/passthrough_parts.h"

#include "gateway/span.h"

#include <stdio.h>
#include <stdlib.h>

static void release(void *arg)
{
    struct pass *p = arg;
    buf_release(&p->head);
    buf_release(&p->early);
    buf_release(&p->origin);
    buf_release(&p->asked);
    span_release(&p->span);
    generation_drop(p->generation);
    free(p);
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

// --- its spans: of the request, and of what the supplier was sent ------------------------------

// Why the answer is none, as error.type has it: what we found, or the status.
static void error_type(struct span_writer *w, const struct pass *p)
{
    char status[16];
    snprintf(status, sizeof status, "%d", (int)p->status);
    if (p->fault)
        span_text(w, "error.type", str_of(fault_name(p->fault)));
    else if (p->status >= 400)
        span_text(w, "error.type", str_of(status));
}

static void request_span(struct span_writer *w, const struct pass *p, int64_t now)
{
    const struct tenant *t = p->tenant < 0 ? NULL : &p->generation->portfolio->tenants[p->tenant];
    struct str path = buf_str(&p->asked), method;
    char name[64];
    CHECK(str_cut(&path, ' ', &method));
    snprintf(name, sizeof name, STR_FMT " /v1/*", STR_ARG(method));
    span_begin(w, p->span.id, p->span.parent, SPAN_SERVER, str_of(name));
    span_times(w, p->arrived_us, now);
    span_attributes(w);
    span_text(w, "http.request.method", method);
    span_text(w, "http.route", STR("/v1/*"));
    span_text(w, "url.path", path);
    span_whole(w, "http.response.status_code", p->status);
    span_whole(w, "http.request.body.size", p->bytes_in);
    span_whole(w, "http.response.body.size", p->bytes_out);
    span_text(w, "caudal.request.id", str_of(p->id));
    if (t)
        span_text(w, "caudal.tenant", t->name);
    error_type(w, p);
    span_attributes_end(w);
    span_end(w, p->status >= 500 || p->failed);
}

static void send_span(struct span_writer *w, const struct pass *p, int64_t now)
{
    const struct endpoint *ep = p->attempt.ep;
    struct str rest = buf_str(&p->asked), method;
    CHECK(str_cut(&rest, ' ', &method));
    span_begin(w, span_of_send(&p->span, 0), p->span.id, SPAN_CLIENT, method);
    span_times(w, p->sent_us, now);
    span_attributes(w);
    span_text(w, "http.request.method", method);
    if (p->head_sent)
        span_whole(w, "http.response.status_code", p->status);
    span_text(w, "server.address", ep->host);
    span_whole(w, "server.port", atomic_load(&ep->port));
    span_text(w, "caudal.supplier", ep->name);
    error_type(w, p);
    span_attributes_end(w);
    span_end(w, p->fault || p->status >= 400);
}

static void trace(const struct pass *p, int64_t now)
{
    struct buf out;
    struct loop *l = p->worker->loop;
    if (!p->span.id)
        return;
    buf_init(&out, SPANS_BYTES_MAX);
    struct span_writer w = {.out = &out, .of = &p->span, .wall_us = loop_wall_us(l) - now};
    request_span(&w, p, now);
    if (p->sent_us) {
        buf_lit(&out, ",");
        send_span(&w, p, now);
    }
    otlp_add(p->worker, out.overflow ? (struct str){0} : buf_str(&out), p->sent_us ? 2 : 1);
    buf_release(&out);
}

// --- its end ------------------------------------------------------------------------------------

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
    trace(p, now);
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

void pass_finish(struct pass *p, bool keep)
{
    struct client *c = p->client;
    p->client = NULL;
    end(p);
    if (c)
        client_done(c, keep);
}

void pass_fail(struct pass *p, int32_t status, const char *code, const char *message)
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
    pass_finish(p, p->body_done);
}

void pass_gone(void *ctx)
{
    struct pass *p = ctx;
    p->client = NULL;
    p->status = p->status ? p->status : 499;
    p->fault = FAULT_GONE;
    attempt_cancel(&p->attempt);
    end(p);
}
