#include "gateway/answered.h"
#include "gateway/ask_head.h"
#include "gateway/exchange_parts.h"
#include "gateway/prompt_blocks.h"
#include "gateway/shadow.h"

#include <inttypes.h>

enum { ERROR_BYTES_MAX = 64 * 1024, EVENT_BYTES_MAX = 4 * 1024 * 1024 };

// --- sending ----------------------------------------------------------------------------------

static bool build_wire(struct exchange *x, struct endpoint *ep, const struct serving *s)
{
    spare_lend(loop_spares(x->worker->loop), &x->wire_head);
    spare_lend(loop_spares(x->worker->loop), &x->wire_body);
    buf_clear(&x->wire_head);
    buf_clear(&x->wire_body);
    if (openai_write(&x->wire_body, x->rq, x->surface, s->as))
        return false;
    struct buf *h = &x->wire_head;
    const struct ask_head head = {.surface = x->surface,
                                  .stream = x->stream,
                                  .id = x->id,
                                  .body_bytes = buf_len(&x->wire_body)};
    ask_head_write(x->generation, ep, &head, h);
    span_write_parent(&x->span, x->n_sends, h);
    buf_add_str(h, x->passed_headers);
    return buf_lit(h, "\r\n") && !h->overflow;
}

static const struct attempt_calls attempt_calls;

static void send_now(void *ctx)
{
    struct exchange *x = ctx;
    attempt_start(&x->attempt, x->worker->upstream, x->attempt.ep, x->fresh, buf_str(&x->wire_head),
                  buf_str(&x->wire_body), &attempt_calls, x);
}

static void refuse_unrecorded(struct exchange *x)
{
    exchange_stop(x, FAULT_CLIENT);
    struct answer a = {.status = 503,
                       .type = "server_error",
                       .code = "ledger_full",
                       .message = "The ledger has no room, and what it cannot record is not sent.",
                       .retry_after_us = S(5)};
    exchange_fail(x, &a);
}

static void start_attempt(struct exchange *x, bool fresh)
{
    int64_t now = exchange_now(x);
    struct endpoint *ep = generation_pool(x->generation, x->decision.pool);
    if (!exchange_reserve(x)) {
        refuse_unrecorded(x);
        return;
    }
    if (x->n_sends < EXCHANGE_SENDS_MAX)
        x->sends[x->n_sends] = (struct sent){.pool = x->decision.pool, .at_us = now};
    x->n_sends++;
    x->state = EXCHANGE_TRYING;
    x->sent_us = x->last_us = now;
    const struct class *k = x->ask.class < 0 ? NULL : &exchange_portfolio(x)->classes[x->ask.class];
    x->patience_us = now + failover_patience_us(&x->failover, &x->ask, &x->decision, k, !x->stream);
    x->answer_status = 0;
    x->retry_after_us = -1;
    buf_clear(&x->answer);
    buf_clear(&x->out);
    relay_release(&x->relay);
    relay_init(&x->relay, x->surface, exchange_portfolio(x)->models[x->decision.model].name,
               !x->usage_wanted, EVENT_BYTES_MAX);
    x->attempt = (struct attempt){.ep = ep};
    x->fresh = fresh;
    if (!ledger_must_wait(x->worker->pen, &x->call, send_now, x))
        send_now(x);
}

static void send_to(struct exchange *x, const struct route_decision *d)
{
    x->decision = *d;
    x->taken = true;
    struct endpoint *ep = generation_pool(x->generation, d->pool);
    const struct serving *s = pool_serving(&exchange_portfolio(x)->pools[d->pool], d->model);
    failover_sent(&x->failover, d->pool);
    x->failover.context_tok = d->context_tok;
    if (!atomic_load(&ep->port)) {  // an engine that stopped this very moment
        exchange_attempt_failed(x, FAULT_CONNECT, "the engine is not running");
        return;
    }
    if (!build_wire(x, ep, s)) {
        exchange_stop(x, FAULT_CLIENT);
        struct answer a = {.status = 413,
                           .type = "invalid_request_error",
                           .code = "request_too_large",
                           .message = "The request does not fit serve.limits.body.",
                           .retry_after_us = -1};
        exchange_fail(x, &a);
        return;
    }
    start_attempt(x, false);
    exchange_arm(x);
}

static void give_up_for(struct exchange *x, enum route_bar bar, int64_t until_us)
{
    x->decision.bar = bar;
    x->decision.until_us = until_us;
    exchange_give_up(x);
}

static void wait_until(struct exchange *x, int64_t at_us)
{
    x->state = EXCHANGE_WAITING;
    x->retry_at_us = at_us;
    exchange_arm(x);
}

static void on_woken(void *ctx, const struct route_decision *d);

// What a pick comes to. True: the failover has changed the ask, pick again.
static bool follow(struct exchange *x, const struct route_decision *d)
{
    int64_t now = exchange_now(x);
    if (d->verdict == ROUTE_SEND) {
        send_to(x, d);
        return false;
    }
    struct failover_decision f = failover_stuck(&x->failover, &x->ask, d, now);
    if (f.step == FAILOVER_AGAIN)
        return true;
    if (f.step == FAILOVER_GIVE_UP) {
        if (x->waited_for && d->bar == ROUTE_BAR_DEADLINE)
            give_up_for(x, x->waited_for, x->waited_until_us);
        else
            give_up_for(x, d->bar, d->until_us);
        return false;
    }
    if (f.leave_us > 0) {
        x->waited_for = d->bar;
        x->waited_until_us = d->until_us;
        x->waiter =
            core_wait(x->worker->core, x->generation, &x->ask, x->worker->loop, on_woken, x, now);
        if (!x->waiter) {
            give_up_for(x, ROUTE_BAR_WAIT, now + S(1));
            return false;
        }
    }
    // In the line it is told when it may go: by then nothing else is to be done.
    wait_until(x, f.leave_us > 0 ? f.leave_us : f.at_us);
    return false;
}

static void on_woken(void *ctx, const struct route_decision *d)
{
    struct exchange *x = ctx;
    x->waiter = NULL;  // it frees itself
    x->retry_at_us = NEVER;
    if (follow(x, d))
        exchange_try(x);
}

void exchange_try(struct exchange *x)
{
    struct route_decision d;
    do {
        x->retry_at_us = NEVER;
        d = core_pick(x->worker->core, x->generation, &x->ask, exchange_now(x));
    } while (follow(x, &d));
}

// --- the end of an attempt ----------------------------------------------------------------------

static void note_sent(struct exchange *x, enum fault fault, bool stale)
{
    exchange_ledger_attempt(x, fault, stale);
    int32_t last = x->n_sends - 1;
    if (last >= 0 && last < EXCHANGE_SENDS_MAX && !x->sends[last].ended_us) {
        x->sends[last].fault = fault;
        x->sends[last].stale = stale;
        x->sends[last].ended_us = exchange_now(x);
    }
}

// How an attempt without an answer ended, as the router learns from it.
static struct route_seen seen_failing(const struct exchange *x, enum fault fault,
                                      int64_t retry_after_us)
{
    struct route_seen seen = {.outcome = fault_outcome(fault),
                              .cool_us = fault_cool_us(fault, retry_after_us)};
    if (fault != FAULT_TIMEOUT || x->first_us)
        return seen;
    if (!attempt_started(&x->attempt)) {  // the ledger held it: the pool has seen nothing of it
        seen.outcome = ROUTE_NO_SAY;
        return seen;
    }
    const struct route_terms *t = &x->decision.terms;
    double expected = (double)t->ttft_us;
    seen.silent_us = exchange_now(x) - x->sent_us;
    if (!x->stream)
        expected += (double)t->per_token_us * x->ask.output_tok;
    if (expected > 0)
        seen.ttft_us = (int64_t)((double)seen.silent_us * (double)t->ttft_us / expected);
    return seen;
}

static void tell_core(struct exchange *x, struct route_seen seen)
{
    if (!x->taken)
        return;
    x->taken = false;
    seen.drawn = x->drawn;
    seen.first_told = x->first_us > 0 && x->answer_stream;  // on_first() told the core
    x->drawn = false;
    core_done(x->worker->core, x->generation, &x->ask, &x->decision, &seen, exchange_now(x));
}

void exchange_stop(struct exchange *x, enum fault fault)
{
    int64_t now = exchange_now(x);
    attempt_cancel(&x->attempt);
    if (x->waiter) {
        core_wait_cancel(x->worker->core, x->waiter, now);
        x->waiter = NULL;
    }
    if (x->taken) {
        note_sent(x, fault, false);
        metrics_attempt(x->worker->metrics, x->worker->index, &x->generation->names,
                        x->decision.pool, fault, x->first_us ? x->first_us - x->sent_us : -1);
    }
    tell_core(x, seen_failing(x, fault, -1));
}

// A key that is refused or a quota that is spent wants a person, once each time the pool is left
// alone for it; the requests meanwhile go elsewhere and say nothing new.
static void warn_of_supplier(struct exchange *x, enum fault fault, int64_t cool_us)
{
    int64_t now = exchange_now(x);
    struct endpoint *ep = generation_pool(x->generation, x->decision.pool);
    int64_t until = atomic_load(&ep->warned_until_us);
    if (now < until || !atomic_compare_exchange_strong(&ep->warned_until_us, &until, now + cool_us))
        return;
    log_line(x->worker->log, LOG_WARN, "supplier",
             log_str("supplier", exchange_portfolio(x)->suppliers[ep->supplier].name),
             log_str("pool", ep->name), log_str("fault", str_of(fault_name(fault))),
             log_int("status", x->answer_status),
             log_text("why", fault == FAULT_DENIED ? "it does not accept our key"
                                                   : "our quota or money there is spent"),
             log_int("left_alone_s", cool_us / S(1)));
}

void exchange_attempt_failed(struct exchange *x, enum fault fault, const char *why)
{
    int64_t now = exchange_now(x);
    int64_t retry_after = x->retry_after_us;
    if (x->state == EXCHANGE_RELAYING) {
        exchange_stop(x, fault);
        exchange_stream_cut(x, why);
        return;
    }
    note_sent(x, fault, false);
    metrics_attempt(x->worker->metrics, x->worker->index, &x->generation->names, x->decision.pool,
                    fault, -1);
    tell_core(x, seen_failing(x, fault, retry_after));
    log_line(x->worker->log, LOG_INFO, "attempt", log_str("id", str_of(x->id)),
             log_str("pool", exchange_portfolio(x)->pools[x->decision.pool].name),
             log_str("fault", str_of(fault_name(fault))), log_int("status", x->answer_status),
             log_str("why", str_of(why)));
    if (fault == FAULT_DENIED || fault == FAULT_SPENT)
        warn_of_supplier(x, fault, fault_cool_us(fault, retry_after));
    x->last_fault = fault;
    struct failover_decision f =
        core_failover(x->worker->core, &x->failover, &x->ask, fault, retry_after, now);
    switch (f.step) {
    case FAILOVER_AGAIN: exchange_try(x); break;
    case FAILOVER_LATER: wait_until(x, max_i64(now, f.at_us)); break;
    case FAILOVER_GIVE_UP: exchange_give_up(x); break;
    }
}

// --- hearing the supplier -----------------------------------------------------------------------

static void on_head(void *ctx, const struct http1_head *h)
{
    struct exchange *x = ctx;
    x->answer_status = h->status;
    x->answer_stream = x->stream && attempt_streams(h);
    x->retry_after_us = attempt_retry_after_us(h);
    x->last_us = exchange_now(x);
    attempt_forget_head(&x->attempt);
}

// The pool answers: those that shadow it may see the request. It is needed no more here.
static void show_shadows(struct exchange *x)
{
    if (exchange_portfolio(x)->pools[x->decision.pool].first_shadow < 0)
        return;
    shadows_see(x->worker, &(struct shadow_seen){.generation = x->generation,
                                                 .ask = &x->ask,
                                                 .pool = x->decision.pool,
                                                 .model = x->decision.model,
                                                 .id = x->id,
                                                 .headers = x->passed_headers,
                                                 .body = &x->body});
}

// The first content: from here on there is no other attempt, so all that one would need goes.
static void on_first(struct exchange *x)
{
    int64_t now = exchange_now(x);
    x->first_us = now;
    x->state = EXCHANGE_RELAYING;
    core_first(x->worker->core, x->generation, &x->decision, now - x->sent_us, now);
    if (!x->head_sent)
        exchange_stream_begin(x);
    show_shadows(x);
    struct spares *spares = loop_spares(x->worker->loop);
    spare_take(spares, &x->body);
    spare_take(spares, &x->wire_head);
    spare_take(spares, &x->wire_body);
    x->rq = NULL;
    x->last_error = NULL;
    x->passed_headers = x->path = x->class_said = (struct str){0};
    exchange_forget_blocks(x);
    arena_reset(&x->arena);
    exchange_arm(x);  // for silence inside the answer, which may be due sooner
}

// The attempt failed by what the supplier said. It may quote the prompt, so that only its code goes
// into the log.
static void supplier_said_no(struct exchange *x, int32_t status, struct str body)
{
    if (!x->last_error)
        x->last_error = arena_new(&x->arena, struct openai_fault, 1);
    struct openai_fault *e = x->last_error;
    CHECK(e);  // the arena has room for it beside the largest request
    openai_fault_read(e, status, body);
    x->last_status = status;
    exchange_attempt_failed(x, e->fault, e->code[0] ? e->code : "the supplier answered an error");
}

static void stream_error(struct exchange *x)
{
    struct str error = buf_str(&x->relay.error);
    if (x->state == EXCHANGE_RELAYING) {
        struct openai_fault f;
        openai_fault_read(&f, 200, error);
        exchange_flush(x);
        exchange_stop(x, f.fault);
        exchange_stream_cut(x, f.message[0] ? f.message : "the supplier sent an error");
        return;
    }
    attempt_cancel(&x->attempt);
    supplier_said_no(x, 200, error);
}

static void stream_bytes(struct exchange *x, struct str bytes)
{
    if (x->state == EXCHANGE_RELAYING)
        exchange_lend(x);
    size_t before = buf_len(&x->out);
    enum err e = relay_stream(&x->relay, bytes, &x->out);
    if (e) {
        x->out.to = x->out.from + before;  // whole events only
        attempt_cancel(&x->attempt);
        exchange_attempt_failed(x, FAULT_GARBAGE, "an event is longer than its limit");
        return;
    }
    const struct relay_said *said = &x->relay.said;
    if (said->error) {
        stream_error(x);
        return;
    }
    if (x->state == EXCHANGE_TRYING && (said->content || said->finish))
        on_first(x);
    if (x->state == EXCHANGE_TRYING && said->done) {
        attempt_cancel(&x->attempt);
        exchange_attempt_failed(x, FAULT_GARBAGE, "the stream ended without an answer");
        return;
    }
    if (x->state == EXCHANGE_RELAYING && said->done)
        exchange_stream_end(x);
}

static void on_body(void *ctx, struct str bytes)
{
    struct exchange *x = ctx;
    if (x->state == EXCHANGE_CLOSING)
        return;
    x->last_us = exchange_now(x);
    if (!x->answer_stream)
        spare_lend(loop_spares(x->worker->loop), &x->answer);
    if (x->answer_stream) {
        stream_bytes(x, bytes);
    } else if (x->answer_status >= 300 && buf_len(&x->answer) + bytes.n > ERROR_BYTES_MAX) {
        return;  // enough of an error page
    } else if (!buf_add_str(&x->answer, bytes)) {
        attempt_cancel(&x->attempt);
        exchange_attempt_failed(x, FAULT_GARBAGE, "the answer is longer than serve.limits.answer");
    }
}

// What came in one read leaves in one piece.
static void on_rest(void *ctx)
{
    struct exchange *x = ctx;
    if (x->state == EXCHANGE_RELAYING)
        exchange_flush(x);
}

// What was learnt of the pool from an answer that is whole.
static struct route_seen seen_of(const struct exchange *x)
{
    struct route_seen seen = {.outcome = ROUTE_OK,
                              .prompt_tok = x->usage.prompt_tok,
                              .cached_tok = x->usage.cached_tok,
                              .cached_told = x->relay.said.usage.said,
                              .output_tok = x->usage.output_tok};
    int32_t n = x->usage.output_tok;
    if (x->answer_stream) {
        seen.ttft_us = x->first_us - x->sent_us;
        seen.per_token_us = n > 1 ? (x->last_us - x->first_us) / (n - 1) : 0;
        return seen;
    }
    answered_split(&seen, &x->decision.terms, exchange_now(x) - x->sent_us, n);
    return seen;
}

void exchange_attempt_done(struct exchange *x)
{
    note_sent(x, FAULT_NONE, false);
    metrics_attempt(x->worker->metrics, x->worker->index, &x->generation->names, x->decision.pool,
                    FAULT_NONE, x->first_us ? x->first_us - x->sent_us : -1);
    tell_core(x, seen_of(x));
}

static void whole_end(struct exchange *x)
{
    buf_clear(&x->out);
    spare_lend(loop_spares(x->worker->loop), &x->out);
    enum err e = relay_whole(&x->relay, buf_str(&x->answer), &x->out);
    if (e) {
        exchange_attempt_failed(
            x, FAULT_GARBAGE, e == ERR_LIMIT ? "the answer is too long" : "the answer is not JSON");
        return;
    }
    if (x->relay.said.error) {
        supplier_said_no(x, x->answer_status, buf_str(&x->relay.error));
        return;
    }
    if (x->stream) {  // official clients find no event in it, and take that for an empty answer
        exchange_attempt_failed(x, FAULT_GARBAGE, "a stream was asked for, and one piece came");
        return;
    }
    x->first_us = exchange_now(x);
    show_shadows(x);
    // No other attempt comes: what is warm in the cache is lent again at once.
    struct spares *spares = loop_spares(x->worker->loop);
    spare_take(spares, &x->wire_head);
    spare_take(spares, &x->wire_body);
    exchange_whole(x);
}

static void on_end(void *ctx)
{
    struct exchange *x = ctx;
    if (x->state == EXCHANGE_CLOSING) {
        exchange_end(x);
        return;
    }
    if (x->answer_status >= 300) {
        supplier_said_no(x, x->answer_status, buf_str(&x->answer));
    } else if (!x->answer_stream) {
        whole_end(x);
    } else if (relay_stream_end(&x->relay, &x->out)) {
        if (x->state == EXCHANGE_TRYING)
            on_first(x);
        exchange_stream_end(x);
    } else if (x->relay.said.error) {
        stream_error(x);
    } else {
        exchange_attempt_failed(x, x->relay.said.events ? FAULT_RESET : FAULT_GARBAGE,
                                "the stream ended before its answer did");
    }
}

static void on_failed(void *ctx, enum fault fault, bool stale, const char *why)
{
    struct exchange *x = ctx;
    if (x->state == EXCHANGE_CLOSING) {
        exchange_end(x);
        return;
    }
    if (stale && x->state == EXCHANGE_TRYING) {
        note_sent(x, fault, true);
        start_attempt(x, true);
        return;
    }
    exchange_attempt_failed(x, fault, why);
}

static void on_drain(void *ctx)
{
    (void)ctx;  // the request went out in one piece
}

static const struct attempt_calls attempt_calls = {.head = on_head,
                                                   .body = on_body,
                                                   .rest = on_rest,
                                                   .end = on_end,
                                                   .failed = on_failed,
                                                   .drain = on_drain};
