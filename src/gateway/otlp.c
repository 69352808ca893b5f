#include "gateway/otlp.h"

#include "gateway/attempt.h"
#include "gateway/gateway_inside.h"
#include "wire/traceparent.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    WAITING_BYTES_MAX = 1 << 20,  // of one worker, and as much again on its way
    SEND_BYTES = 128 << 10,       // sent at once when so many wait
    HEAD_BYTES_MAX = 16 << 10,
    STATE_BYTES_MAX = 512,  // of a tracestate; a longer one goes on, and is not recorded
    TRIES_MAX = 5,
};
static const int64_t collect_us = S(1);
static const int64_t answer_us = S(10);     // how long the receiver may take
static const int64_t last_words_us = S(1);  // at the end of the process

struct batch {
    struct buf spans;
    int32_t n;
};

struct otlp {
    struct worker *worker;
    struct batch waiting, going;
    struct endpoint ep;  // of `to`
    struct tls_client *tls;
    struct arena arena;  // of the endpoint's texts
    struct str to;       // what `ep` was made from; in the arena
    struct buf head, body;
    struct attempt attempt;
    struct timer timer;
    int32_t status, tries;
    bool on, failing;
    void (*then)(struct worker *w);  // the worker ends
    int64_t then_us;
    // read by scrapes of other workers
    _Atomic uint64_t sent, dropped;
    _Atomic bool used;
};

static void step(struct otlp *o);

static const struct traces_config *config_of(const struct otlp *o)
{
    return &o->worker->generation->portfolio->serve.traces;
}

static void batch_clear(struct batch *b)
{
    buf_release(&b->spans);
    b->n = 0;
}

static void drop_batch(struct otlp *o, struct batch *b)
{
    atomic_fetch_add_explicit(&o->dropped, (uint64_t)b->n, memory_order_relaxed);
    batch_clear(b);
}

// --- the receiver -------------------------------------------------------------------------------

static void forget_receiver(struct otlp *o)
{
    tls_client_free(o->tls);
    o->tls = NULL;
    o->to = (struct str){0};
    arena_reset(&o->arena);
}

static enum err know_receiver(struct otlp *o, struct diag *diag)
{
    struct str to = config_of(o)->to;
    struct url u;
    if (o->to.n && str_eq(o->to, to))
        return ERR_NONE;
    forget_receiver(o);
    enum err e = url_parse(&u, to, diag);
    if (e)
        return e;
    o->ep = (struct endpoint){.index = -1,
                              .id = {str_hash(to, 0x6f746c70), str_hash(to, 0x73707a)},
                              .host = arena_str(&o->arena, u.host),
                              .base = arena_str(&o->arena, u.path),
                              .connect_us = answer_us};
    atomic_store(&o->ep.port, u.port);
    o->ep.host_header = arena_printf(&o->arena, "%s" STR_FMT "%s:%d", u.bracketed ? "[" : "",
                                     STR_ARG(u.host), u.bracketed ? "]" : "", (int)u.port);
    if (u.tls) {
        e = tls_client_new(&o->tls, &(struct tls_config){.server_name = o->ep.host}, diag);
        if (e)
            return e;
        o->ep.tls = o->tls;
        const struct gateway_config *g = o->worker->owner->config;
        e = endpoint_proxy(&o->ep, &o->arena, g->https_proxy, g->no_proxy, diag);
        if (e)
            return e;
    }
    o->to = arena_str(&o->arena, to);
    CHECK(o->to.p);
    return ERR_NONE;
}

static bool build(struct otlp *o)
{
    const struct traces_config *c = config_of(o);
    struct buf *b = &o->body, *h = &o->head;
    CHECK(o->going.spans.p);
    buf_clear(b);
    buf_clear(h);
    buf_lit(b, "{\"resourceSpans\":[{\"resource\":{\"attributes\":["
               "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"caudal\"}},"
               "{\"key\":\"service.version\",\"value\":{\"stringValue\":\"" CAUDAL_VERSION
               "\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"caudal\"},\"spans\":[");
    buf_add_str(b, buf_str(&o->going.spans));
    buf_lit(b, "]}]}]}");
    buf_join(h, STR("POST "), o->ep.base.n ? o->ep.base : STR("/"), STR(" HTTP/1.1\r\nHost: "),
             o->ep.host_header,
             STR("\r\nContent-Type: application/json\r\nUser-Agent: caudal/" CAUDAL_VERSION
                 "\r\nContent-Length: "));
    buf_int(h, (int64_t)buf_len(b));
    buf_lit(h, "\r\n");
    for (int32_t i = 0; i < c->n_headers; i++)
        buf_join(h, c->headers[i].name, STR(": "), c->headers[i].value, STR("\r\n"));
    buf_lit(h, "\r\n");
    return !b->overflow && !h->overflow;
}

// --- sending ------------------------------------------------------------------------------------

// Said when it changes, not for each batch.
static void tell(struct otlp *o, bool failing, const char *why)
{
    if (o->failing == failing)
        return;
    o->failing = failing;
    if (failing)
        log_line(o->worker->log, LOG_WARN, "traces", log_str("why", str_of(why)),
                 log_int("spans", o->going.n + o->waiting.n));
    else
        log_line(o->worker->log, LOG_INFO, "traces", log_str("why", STR("sent again")));
}

static void over(struct otlp *o, bool taken, bool again, const char *why)
{
    o->on = false;
    tell(o, !taken, why);
    if (taken) {
        atomic_fetch_add_explicit(&o->sent, (uint64_t)o->going.n, memory_order_relaxed);
        batch_clear(&o->going);
        o->tries = 0;
    } else if (!again || ++o->tries >= TRIES_MAX || o->then) {
        drop_batch(o, &o->going);
        o->tries = 0;
    }
    buf_release(&o->body);
    int64_t pause_us = o->tries ? S(1) << o->tries : o->waiting.n ? collect_us : 0;
    if (o->then)
        step(o);
    else if (pause_us)
        timer_set(o->worker->loop, &o->timer, loop_now_us(o->worker->loop) + pause_us);
    else
        timer_stop(o->worker->loop, &o->timer);
}

static void on_head(void *ctx, const struct http1_head *h)
{
    ((struct otlp *)ctx)->status = h->status;
}

static void on_body(void *ctx, struct str bytes)
{
    (void)ctx, (void)bytes;
}

static void on_drain(void *ctx)
{
    (void)ctx;
}

static void on_end(void *ctx)
{
    struct otlp *o = ctx;
    bool again = o->status == 429 || (o->status >= 502 && o->status <= 504);  // as OTLP says
    over(o, o->status >= 200 && o->status < 300, again, "the receiver refused them");
}

static void start(struct otlp *o, bool fresh);

static void on_failed(void *ctx, enum fault fault, bool stale, const char *why)
{
    struct otlp *o = ctx;
    (void)fault;
    if (stale)
        start(o, true);
    else
        over(o, false, true, why);
}

static const struct attempt_calls calls = {
    .head = on_head, .body = on_body, .end = on_end, .failed = on_failed, .drain = on_drain};

static void start(struct otlp *o, bool fresh)
{
    struct loop *l = o->worker->loop;
    o->on = true;
    o->status = 0;
    timer_set(l, &o->timer, o->then ? o->then_us : loop_now_us(l) + answer_us);
    attempt_start(&o->attempt, o->worker->upstream, &o->ep, fresh, buf_str(&o->head),
                  buf_str(&o->body), &calls, o);
}

static void send(struct otlp *o)
{
    struct diag diag = {0};
    if (!config_of(o)->to.n) {  // a reload has taken the receiver away
        drop_batch(o, &o->going);
        o->tries = 0;
        step(o);  // the worker may wait for this
        return;
    }
    enum err e = know_receiver(o, &diag);
    if (!e && !build(o))
        e = diag_set(&diag, ERR_LIMIT, "the headers are too long");
    if (e)
        over(o, false, false, diag.text);
    else
        start(o, false);
}

static void end_worker(struct otlp *o)
{
    void (*then)(struct worker * w) = o->then;
    o->then = NULL;
    timer_stop(o->worker->loop, &o->timer);
    drop_batch(o, &o->going);
    drop_batch(o, &o->waiting);
    then(o->worker);
}

// What is to be done now that nothing is on its way.
static void step(struct otlp *o)
{
    if (!o->going.n && o->waiting.n) {
        struct batch empty = o->going;
        o->going = o->waiting;
        o->waiting = empty;
    }
    if (o->then && (!o->going.n || o->then_us <= loop_now_us(o->worker->loop)))
        end_worker(o);
    else if (o->going.n)
        send(o);
}

static void on_timer(struct timer *t)
{
    struct otlp *o = CONTAINER_OF(t, struct otlp, timer);
    if (o->on) {
        attempt_cancel(&o->attempt);
        over(o, false, true, "the receiver does not answer");
    } else {
        step(o);
    }
}

// --- the exporter -------------------------------------------------------------------------------

struct otlp *otlp_new(struct worker *w)
{
    struct otlp *o = take(sizeof *o);
    o->worker = w;
    o->timer.fire = on_timer;
    arena_init(&o->arena, 64 << 10);
    buf_init(&o->waiting.spans, WAITING_BYTES_MAX);
    buf_init(&o->going.spans, WAITING_BYTES_MAX);
    buf_init_secret(&o->head, HEAD_BYTES_MAX);
    buf_init(&o->body, WAITING_BYTES_MAX + 4096);
    return o;
}

void otlp_free(struct otlp *o)
{
    if (!o)
        return;
    if (o->on)
        attempt_cancel(&o->attempt);
    timer_stop(o->worker->loop, &o->timer);
    batch_clear(&o->waiting);
    batch_clear(&o->going);
    buf_release(&o->head);
    buf_release(&o->body);
    forget_receiver(o);
    arena_release(&o->arena);
    free(o);
}

void otlp_add(struct worker *w, struct str spans, int32_t n)
{
    struct otlp *o = w->otlp;
    struct buf *b = &o->waiting.spans;
    if (!spans.n || buf_len(b) + spans.n + 1 > b->limit) {
        atomic_fetch_add_explicit(&o->dropped, (uint64_t)n, memory_order_relaxed);
        return;
    }
    if (o->waiting.n)
        buf_lit(b, ",");
    buf_add_str(b, spans);
    o->waiting.n += n;
    bool many = buf_len(b) >= SEND_BYTES;
    if (!o->on && !o->tries && (many || o->waiting.n == n))
        timer_set(w->loop, &o->timer, loop_now_us(w->loop) + (many ? 0 : collect_us));
}

bool otlp_last_words(struct otlp *o, void (*then)(struct worker *w))
{
    if (!o || o->then || (!o->going.n && !o->waiting.n))
        return false;
    o->then = then;
    o->then_us = loop_now_us(o->worker->loop) + last_words_us;
    timer_set(o->worker->loop, &o->timer, o->on ? o->then_us : loop_now_us(o->worker->loop));
    return true;
}

void otlp_metrics(const struct worker *w, struct buf *out)
{
    const struct gateway *g = w->owner;
    uint64_t sent = 0, dropped = 0;
    bool used = false;
    for (int32_t i = 0; i < g->n_workers; i++) {
        struct otlp *o = g->workers[i].otlp;
        if (!o)
            continue;
        sent += atomic_load_explicit(&o->sent, memory_order_relaxed);
        dropped += atomic_load_explicit(&o->dropped, memory_order_relaxed);
        used = used || atomic_load_explicit(&o->used, memory_order_relaxed);
    }
    if (!used && !w->generation->portfolio->serve.traces.to.n)
        return;
    buf_lit(out, "# HELP caudal_spans_total Spans of sampled requests, by what became of them.\n"
                 "# TYPE caudal_spans_total counter\n");
    buf_printf(out,
               "caudal_spans_total{outcome=\"sent\"} %" PRIu64
               "\ncaudal_spans_total{outcome=\"dropped\"} %" PRIu64 "\n",
               sent, dropped);
}

// --- the context of a request -------------------------------------------------------------------

// Takes the line of this header out of lines that each end with CR LF.
static void cut_line(struct buf *lines, struct str name)
{
    size_t at = 0, length;
    while (at < buf_len(lines)) {
        struct str rest = str_skip(buf_str(lines), at);
        if (!str_find(rest, STR("\r\n"), &length))
            return;
        bool is_it = length > name.n && rest.p[name.n] == ':' &&
                     str_eq_nocase((struct str){rest.p, name.n}, name);
        if (is_it)
            buf_splice(lines, at, length + 2, (struct str){0});
        else
            at += length + 2;
    }
}

static uint64_t new_id(struct worker *w)
{
    uint64_t id = rng_u64(&w->rng);
    return id ? id : 1;
}

static void begin_trace(struct worker *w, struct span_context *s)
{
    for (size_t half = 0; half < 2; half++) {
        uint64_t v = new_id(w);
        memcpy(s->trace + 8 * half, &v, 8);
    }
}

void otlp_begin(struct worker *w, struct span_context *s, const struct http1_head *head)
{
    const struct traces_config *c = &w->generation->portfolio->serve.traces;
    struct traceparent parent;
    if (!c->to.n)
        return;
    const struct str *said = http1_get(head, STR("traceparent"));
    bool follows = said && traceparent_read(&parent, *said);
    if (follows ? !parent.sampled : !(rng_unit(&w->rng) < c->sample))
        return;
    s->id = new_id(w);
    if (follows) {
        memcpy(s->trace, parent.trace, sizeof s->trace);
        s->parent = parent.span;
        const struct str *state = http1_get(head, STR("tracestate"));
        if (state && state->n && state->n <= STATE_BYTES_MAX) {
            char *copy = take(state->n);
            memcpy(copy, state->p, state->n);
            s->state = (struct str){copy, state->n};
        }
    } else {
        begin_trace(w, s);
    }
    atomic_store_explicit(&w->otlp->used, true, memory_order_relaxed);
}

void span_cut(const struct span_context *s, struct buf *headers)
{
    if (!s->id)
        return;
    cut_line(headers, STR("traceparent"));
    if (!s->parent)  // of a trace that could not be read
        cut_line(headers, STR("tracestate"));
}

void span_release(struct span_context *s)
{
    free((void *)(uintptr_t)s->state.p);
    *s = (struct span_context){0};
}

uint64_t span_of_send(const struct span_context *s, int32_t send)
{
    uint64_t id = mix64(s->id + (uint64_t)send + 1);
    return id ? id : 1;
}

void span_write_parent(const struct span_context *s, int32_t send, struct buf *head)
{
    if (!s->id)
        return;
    struct traceparent t = {.span = span_of_send(s, send), .sampled = true};
    char text[TRACEPARENT_TEXT + 1];
    memcpy(t.trace, s->trace, sizeof t.trace);
    traceparent_write(text, &t);
    buf_join(head, STR("traceparent: "), str_of(text), STR("\r\n"));
}
