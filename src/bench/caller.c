#include "bench/caller.h"

#include "base/arena.h"
#include "wire/http1.h"
#include "wire/openai.h"
#include "wire/sse.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    HEAD_BYTES_MAX = 64 << 10,
    HEADERS_MAX = 100,
    EVENT_BYTES_MAX = 4 << 20,
    FAULT_BYTES_MAX = 64 << 10,  // of the body of an answer that is no stream
    BODY_BYTES_MAX = 64 << 20,
};

struct caller {
    struct loop *loop;
    const struct bench_target *target;
    caller_done done;
    void *ctx;
    struct conn *conn;  // NULL: none
    struct http1 *http;
    struct sse sse;
    struct timer patience;
    struct buf body;   // of the request
    struct buf fault;  // of an answer that is no stream
    struct hist *gaps;
    struct buf *text;  // where the answer goes; NULL: nowhere
    struct openai_usage usage;
    struct sample sample;
    int32_t pieces;  // of content
    bool busy, sent, open;
    bool leaving;  // the connection is going: the next must wait until it is gone
    bool kept;     // the connection has carried an answer before
    bool heard;    // a byte of the answer came
    int32_t status;
    bool streams, interim, keep, ended;
};

bool caller_busy(const struct caller *c)
{
    return c->busy;
}

static void drop(struct caller *c)
{
    if (c->conn && !c->leaving) {
        c->leaving = true;
        conn_abort(c->conn);
    }
}

static void finish(struct caller *c, const char *why)
{
    if (!c->busy)
        return;
    c->busy = false;
    c->sent = false;
    timer_stop(c->loop, &c->patience);
    c->sample.end_us = loop_now_us(c->loop);
    c->sample.failed = why[0] != 0;
    if (!c->sample.counted)
        c->sample.output_tok = c->pieces;
    if (c->sample.failed)
        drop(c);
    struct sample s = c->sample;
    c->done(c->ctx, c, &s, why);
}

static void on_patience(struct timer *t)
{
    finish(CONTAINER_OF(t, struct caller, patience), "no whole answer in time");
}

// --- the answer -------------------------------------------------------------------------------

static void on_content(struct caller *c, int32_t pieces)
{
    int64_t now_us = loop_now_us(c->loop);
    if (!c->sample.first_us)
        c->sample.first_us = now_us;
    else if (c->gaps)
        hist_add(c->gaps, now_us - c->sample.last_us);
    c->sample.last_us = now_us;
    c->pieces += pieces > 0 ? pieces : 1;
}

static void on_fault(struct caller *c, int32_t status, struct str body)
{
    struct openai_fault fault;
    char why[DIAG_BYTES];
    openai_fault_read(&fault, status, body);
    snprintf(why, sizeof why, "status %d: %.400s", status,
             fault.message[0] ? fault.message : "without a word");
    finish(c, why);
}

static void on_usage(struct caller *c, const struct openai_usage *said)
{
    openai_usage_join(&c->usage, said);
    if (!c->usage.said)
        return;
    c->sample.counted = true;
    c->sample.prompt_tok = c->usage.prompt_tok;
    c->sample.cached_tok = c->usage.cached_tok;
    c->sample.output_tok = c->usage.output_tok;
}

static void on_event(struct caller *c, const struct sse_event *ev)
{
    struct openai_event what;
    enum surface surface = c->target->surface;
    bool typed = surface == SURFACE_RESPONSES || surface == SURFACE_MESSAGES;
    if (!ev->has_data)
        return;
    openai_event_read(&what, surface, ev->name, ev->data, false);
    if (what.error) {
        on_fault(c, 200, ev->data);
        return;
    }
    c->ended = c->ended || what.done || (typed && what.finish);
    if (what.content)
        on_content(c, what.pieces);
    if (what.content && c->text)
        question_text(c->text, surface, ev->data);
    on_usage(c, &what.usage);
}

static void on_stream(struct caller *c, struct str bytes)
{
    while (c->busy && !c->leaving) {
        struct sse_event ev;
        bool got;
        if (sse_next(&c->sse, &bytes, &ev, &got)) {
            finish(c, "an event of the stream is too long");
            return;
        }
        if (!got)
            return;
        on_event(c, &ev);
    }
}

static void on_head(struct caller *c)
{
    const struct http1_head *head = http1_head(c->http);
    const struct str *type = http1_get(head, STR("content-type"));
    c->interim = head->status < 200;
    c->status = head->status;
    c->keep = head->keep_alive;
    c->streams = head->status == 200 && type && str_starts(*type, STR("text/event-stream"));
}

static void on_end(struct caller *c)
{
    if (c->interim)
        return;
    c->kept = true;
    if (!c->keep)
        drop(c);
    if (!c->streams) {
        on_fault(c, c->status, buf_str(&c->fault));
        return;
    }
    struct sse_event last;
    if (sse_end(&c->sse, &last) && str_eq(last.data, STR("[DONE]")))
        c->ended = true;
    finish(c, !c->ended ? "the stream broke off" : c->sample.first_us ? "" : "an empty answer");
}

static void on_data(void *ctx, struct str bytes)
{
    struct caller *c = ctx;
    c->heard = true;
    while (c->busy && c->sent) {
        struct http1_event ev;
        struct diag why = {0};
        if (http1_next(c->http, &bytes, &ev, &why)) {
            finish(c, why.text);
            return;
        }
        switch (ev.kind) {
        case HTTP1_MORE: return;
        case HTTP1_HEAD: on_head(c); break;
        case HTTP1_BODY:
            if (c->streams)
                on_stream(c, ev.body);
            else
                buf_add_str(&c->fault, ev.body);  // what is too long is cut
            break;
        case HTTP1_END:
            on_end(c);
            if (!c->interim)
                return;
            break;
        }
    }
}

// --- the connection ---------------------------------------------------------------------------

static void send_question(struct caller *c)
{
    const struct bench_target *t = c->target;
    struct buf head;
    buf_init(&head, SIZE_MAX / 2);
    buf_printf(&head,
               "POST " STR_FMT "%s HTTP/1.1\r\nHost: %s" STR_FMT "%s:%d\r\n"
               "User-Agent: caudal/" CAUDAL_VERSION "\r\nAccept: text/event-stream\r\n"
               "Accept-Encoding: identity\r\n",
               STR_ARG(t->path), surface_path(t->surface), t->bracketed ? "[" : "",
               STR_ARG(t->host), t->bracketed ? "]" : "", t->port);
    bool messages = t->surface == SURFACE_MESSAGES;
    if (messages)
        buf_lit(&head, "anthropic-version: 2023-06-01\r\n");
    if (t->key.n)
        buf_printf(&head, "%s" STR_FMT "\r\n", messages ? "x-api-key: " : "Authorization: Bearer ",
                   STR_ARG(t->key));
    buf_printf(&head, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
               buf_len(&c->body));
    c->sent = true;
    c->heard = false;
    conn_send2(c->conn, buf_str(&head), buf_str(&c->body));
    buf_release(&head);
}

static void on_opened(void *ctx, enum err e, const struct diag *diag)
{
    struct caller *c = ctx;
    if (e) {
        c->leaving = true;  // it closes by itself
        finish(c, diag && diag->text[0] ? diag->text : err_text(e));
        return;
    }
    c->open = true;
    if (c->busy && !c->leaving)
        send_question(c);
}

// Some suppliers close a connection behind an answer without saying so (llama.cpp does, behind each
// stream), when the next question is on its way already. It was not read: it is asked again, once,
// since the new connection has carried nothing yet.
static void ask_again_if_unread(struct caller *c)
{
    if (c->busy && c->sent && c->kept && !c->heard)
        c->sent = false;
}

static void on_eof(void *ctx)
{
    struct caller *c = ctx;
    ask_again_if_unread(c);
    if (c->busy && c->sent) {
        if (http1_eof(c->http))
            on_end(c);
        else
            finish(c, "the connection ended before the answer did");
    }
    drop(c);
}

static void connect_now(struct caller *c);

static void on_closed(void *ctx, enum err why)
{
    struct caller *c = ctx;
    ask_again_if_unread(c);
    bool asked_since = c->busy && !c->sent;
    c->conn = NULL;
    c->leaving = c->open = false;
    http1_free(c->http);
    c->http = NULL;
    if (asked_since)
        connect_now(c);
    else
        finish(c, err_text(why ? why : ERR_RESET));
}

static const struct conn_calls calls = {
    .data = on_data, .eof = on_eof, .opened = on_opened, .closed = on_closed};

static void connect_now(struct caller *c)
{
    const struct bench_target *t = c->target;
    c->kept = false;
    c->http = http1_new(HTTP1_ANSWERS, (struct http1_limits){.head_bytes = HEAD_BYTES_MAX,
                                                             .body_bytes = BODY_BYTES_MAX,
                                                             .headers = HEADERS_MAX});
    c->conn = conn_connect(
        c->loop,
        &(struct conn_target){
            .host = t->host, .port = t->port, .tls = t->tls, .timeout_us = t->timeout_us},
        &calls, c);
}

void caller_ask(struct caller *c, const struct question *q)
{
    CHECK(!c->busy);
    buf_clear(&c->body);
    question_write(&c->body, q, c->target->surface, c->target->model, c->target->plain);
    c->sample = (struct sample){.due_us = q->due_us};
    c->usage = (struct openai_usage){0};
    c->gaps = q->gaps;
    c->text = q->text;
    c->busy = true;
    c->sent = c->streams = c->interim = c->ended = false;
    c->pieces = 0;
    buf_clear(&c->fault);
    sse_release(&c->sse);
    sse_init(&c->sse, EVENT_BYTES_MAX);
    timer_set(c->loop, &c->patience, q->due_us + c->target->timeout_us);
    if (!c->conn)
        connect_now(c);
    else if (c->open && !c->leaving)
        send_question(c);
}

void caller_drop(struct caller *c)
{
    c->busy = c->sent = false;
    timer_stop(c->loop, &c->patience);
    drop(c);
}

struct caller *caller_new(struct loop *l, const struct bench_target *t, caller_done done, void *ctx)
{
    struct caller *c = take(sizeof *c);
    *c = (struct caller){.loop = l, .target = t, .done = done, .ctx = ctx};
    c->patience.fire = on_patience;
    buf_init(&c->body, SIZE_MAX / 2);
    buf_init(&c->fault, FAULT_BYTES_MAX);
    sse_init(&c->sse, EVENT_BYTES_MAX);
    return c;
}

void caller_free(struct caller *c)
{
    if (!c)
        return;
    http1_free(c->http);
    sse_release(&c->sse);
    buf_release(&c->body);
    buf_release(&c->fault);
    free(c);
}
