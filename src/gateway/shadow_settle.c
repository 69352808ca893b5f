#include "gateway/shadow_parts.h"

#include "gateway/answered.h"
#include "gateway/client.h"

#include <stdlib.h>

// --- the end ----------------------------------------------------------------------------------

static void release(void *arg)
{
    struct shadow *s = arg;
    relay_release(&s->relay);
    buf_release(&s->body);
    buf_release(&s->headers);
    buf_release(&s->head);
    buf_release(&s->wire);
    buf_release(&s->answer);
    buf_release(&s->out);
    free(s->blocks);
    generation_drop(s->generation);
    free(s);
}

static void leave(struct shadow *s)
{
    struct worker *w = s->worker;
    s->over = true;
    timer_stop(w->loop, &s->timer);
    *(s->newer ? &s->newer->older : &w->shadows) = s->older;
    if (s->older)
        s->older->newer = s->newer;
    atomic_fetch_sub(&w->owner->shadows, 1);
    metrics_add(w->metrics, w->index, METRICS_SHADOWS, -1);
    // Not now: its attempt may be in the middle of a call to us.
    loop_after_turn(w->loop, release, s);
    worker_look_idle(w);
}

void shadow_skip(struct shadow *s, enum metrics_skip why)
{
    struct worker *w = s->worker;
    limits_give_back(w->limits, &s->money, shadow_now(s));
    metrics_shadow_skipped(w->metrics, w->index, &s->generation->names, s->pool, why);
    leave(s);
}

// --- what it came to --------------------------------------------------------------------------

struct cost {
    struct openai_usage usage;
    bool estimated;
    int64_t list_nusd;
    double joules;
};

static struct cost cost_of(const struct shadow *s, enum fault fault)
{
    struct cost c = {.list_nusd = 0};
    struct core *core = s->worker->core;
    if (s->first_us) {
        c.estimated = answered_tokens(core, s->generation, s->decision.model, &s->relay.said,
                                      s->answer_stream, s->ask.prompt_tok, &c.usage);
        c.joules = answered_joules(core, s->generation, &s->decision, &c.usage, shadow_now(s));
    } else if (attempt_connected(&s->attempt) && s->status < 300 &&
               (fault == FAULT_GONE || fault == FAULT_TIMEOUT)) {
        // Left while the supplier was at work: it has read the prompt, and will ask for it.
        c.usage.prompt_tok = s->ask.prompt_tok;
        c.estimated = true;
    }
    c.list_nusd =
        price_of(&s->serving->price, c.usage.prompt_tok, c.usage.cached_tok, c.usage.output_tok);
    return c;
}

static int64_t per_token_of(const struct shadow *s, const struct cost *c)
{
    int32_t n = c->usage.output_tok;
    return s->answer_stream && s->first_us && n > 1 ? (s->last_us - s->first_us) / (n - 1) : 0;
}

static struct route_seen seen_of(const struct shadow *s, enum fault fault, const struct cost *c)
{
    struct route_seen seen = {.outcome = fault_outcome(fault),
                              .cool_us = fault_cool_us(fault, s->retry_after_us),
                              .drawn = true};
    if (fault == FAULT_TIMEOUT && !attempt_started(&s->attempt))
        seen.outcome = ROUTE_NO_SAY;  // the ledger held it
    if (fault)
        return seen;
    seen.prompt_tok = c->usage.prompt_tok;
    seen.cached_tok = c->usage.cached_tok;
    seen.cached_told = s->relay.said.usage.said;
    seen.output_tok = c->usage.output_tok;
    if (s->answer_stream) {
        seen.ttft_us = s->first_us - s->sent_us;
        seen.first_told = true;
        seen.per_token_us = per_token_of(s, c);
        return seen;
    }
    answered_split(&seen, &s->decision.terms, shadow_now(s) - s->sent_us, c->usage.output_tok);
    return seen;
}

static struct route_drawn draw(struct shadow *s, const struct cost *c)
{
    int64_t now = shadow_now(s);
    struct route_seen seen = {.prompt_tok = c->usage.prompt_tok,
                              .cached_tok = c->usage.cached_tok,
                              .output_tok = c->usage.output_tok,
                              .list_nusd = c->list_nusd,
                              .hold_us = now - s->sent_us};
    return core_draw(s->worker->core, s->generation, &s->ask, &s->decision, &seen, now);
}

static uint32_t flags_of(const struct shadow *s, enum fault fault, bool stale, bool estimated)
{
    uint32_t flags = RECORD_SHADOW | (s->stream ? RECORD_STREAM : 0);
    flags |= stale ? RECORD_STALE : 0;
    flags |= estimated ? RECORD_ESTIMATED : 0;
    flags |= fault == FAULT_GONE ? RECORD_CANCELLED : 0;
    flags |= fault && s->first_us ? RECORD_CUT : 0;
    if (!attempt_connected(&s->attempt))
        flags |= RECORD_UNSENT;
    else if (!s->attempt.any_byte)
        flags |= RECORD_UNHEARD;
    return flags;
}

static void settle(struct shadow *s, enum fault fault, bool stale, const struct cost *c,
                   const struct route_drawn *drawn)
{
    const struct portfolio *p = shadow_portfolio(s);
    struct record_settle r = {.fault = (uint16_t)fault,
                              .status = (uint16_t)s->status,
                              .ttft_us = s->first_us ? s->first_us - s->sent_us : -1,
                              .prompt_tok = c->usage.prompt_tok,
                              .cached_tok = c->usage.cached_tok,
                              .output_tok = c->usage.output_tok,
                              .reasoning_tok = c->usage.reasoning_tok,
                              .list_nusd = c->list_nusd,
                              .marginal_nusd = drawn->marginal_nusd,
                              .joules = c->joules,
                              .bytes_up = s->attempt.bytes_up,
                              .bytes_down = s->attempt.bytes_down};
    if (drawn->contract >= 0) {
        const struct contract *k = &p->contracts[drawn->contract];
        r.commitment = record_id(RECORD_CONTRACT, k->name);
        r.unit = (uint16_t)k->commitment.unit;
        r.drawn = drawn->units;
    }
    ledger_settle(s->worker->pen, &s->call, &r, flags_of(s, fault, stale, c->estimated));
}

static void tell(const struct shadow *s, enum fault fault, const char *why, const struct cost *c)
{
    struct worker *w = s->worker;
    int64_t ttft_us = s->first_us ? s->first_us - s->sent_us : -1;
    struct metrics_shadow m = {.names = &s->generation->names,
                               .pool = s->pool,
                               .fault = fault,
                               .ttft_us = s->answer_stream ? ttft_us : -1,
                               .per_token_us = per_token_of(s, c),
                               .prompt_tok = c->usage.prompt_tok,
                               .cached_tok = c->usage.cached_tok,
                               .output_tok = c->usage.output_tok,
                               .list_nusd = c->list_nusd};
    metrics_shadow(w->metrics, w->index, &m);
    log_line(w->log, LOG_INFO, "shadow", log_str("id", str_of(s->id)),
             log_str("pool", shadow_portfolio(s)->pools[s->pool].name),
             log_str("fault", fault ? str_of(fault_name(fault)) : (struct str){0}),
             log_str("why", str_of(why)), log_int("status", s->status), log_int("ttft_us", ttft_us),
             log_int("total_us", shadow_now(s) - s->sent_us),
             log_int("prompt_tok", c->usage.prompt_tok), log_int("output_tok", c->usage.output_tok),
             log_int("estimated", c->estimated), log_int("list_nusd", c->list_nusd));
}

void shadow_finish(struct shadow *s, enum fault fault, bool stale, const char *why)
{
    attempt_cancel(&s->attempt);
    struct cost c = cost_of(s, fault);
    struct route_drawn drawn = draw(s, &c);
    struct route_seen seen = seen_of(s, fault, &c);
    if (stale)  // a kept connection had died: that says nothing of the pool
        seen.outcome = ROUTE_NO_SAY;
    settle(s, fault, stale, &c, &drawn);
    limits_settle(s->worker->limits, &s->money, 0, c.list_nusd, shadow_now(s));
    core_done(s->worker->core, s->generation, &s->ask, &s->decision, &seen, shadow_now(s));
    tell(s, fault, why, &c);
    leave(s);
}
