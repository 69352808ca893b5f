#include "gateway/shadow_parts.h"

#include "gateway/ask_head.h"
#include "wire/openai.h"

#include <stdlib.h>

enum {
    ARENA_BYTES_MAX = 64 * 1024,
    HEAD_BYTES_MAX = 64 * 1024,
    EVENT_BYTES_MAX = 4 * 1024 * 1024,
    TEMPLATE_TOK = 256,  // what a supplier may put around a prompt
};

// --- sending ----------------------------------------------------------------------------------

static enum metrics_skip skip_of(enum route_bar bar)
{
    switch (bar) {
    case ROUTE_BAR_WAIT: return METRICS_SKIP_LIMITS;
    case ROUTE_BAR_COOLING:
    case ROUTE_BAR_SPENT:
    case ROUTE_BAR_BREAKER: return METRICS_SKIP_FAILING;
    case ROUTE_BAR_ABSENT:
    case ROUTE_BAR_INACTIVE: return METRICS_SKIP_INACTIVE;
    case ROUTE_MAY:
    case ROUTE_BAR_SHARE:
    case ROUTE_BAR_PRICE:
    case ROUTE_BAR_DEFERRED:
    case ROUTE_BAR_DEADLINE:
    case ROUTE_BAR_TRIED:
    case ROUTE_BAR_CONTEXT:
    case ROUTE_BAR_REGION:
    case ROUTE_BAR_SURFACE:
    case ROUTE_BAR_MODEL: break;
    }
    return METRICS_SKIP_UNABLE;
}

// What it may cost at most: a token has at least one byte, so the body bounds the prompt.
static int64_t bound_of(const struct shadow *s, int32_t choices, bool *unbounded)
{
    int64_t context = serving_context(shadow_portfolio(s), s->serving), output;
    int64_t prompt = (int64_t)buf_len(&s->wire) + TEMPLATE_TOK;
    if (context > 0)
        prompt = min_i64(prompt, context);
    if (s->ask.output_tok_max > 0)
        output = s->ask.output_tok_max;
    else if (s->serving->output_tok_max > 0)
        output = s->serving->output_tok_max;
    else
        output = context;
    *unbounded = output <= 0;
    output = output > 0 ? output : LIMITS_OUTPUT_TOK_MAX;
    return price_of(&s->serving->price, prompt, 0, output * (choices > 1 ? choices : 1));
}

static bool take_money(struct shadow *s)
{
    const struct quota_level *level = limits_shadow(s->generation, s->pool);
    struct quota_refusal why;
    struct quota_ask ask = {.now_us = shadow_now(s),
                            .wall_us = s->ask.wall_us,
                            .expected_nusd = s->bound_nusd,
                            .most_nusd = s->bound_nusd};
    return !level || limits_take(s->worker->limits, level, 1, &ask, &s->money, &why);
}

static bool build_wire(struct shadow *s, struct endpoint *ep, int32_t *choices)
{
    struct arena a;
    struct diag diag = {0};
    arena_init(&a, ARENA_BYTES_MAX);
    struct openai_request *rq = arena_new(&a, struct openai_request, 1);
    enum surface surface = (enum surface)s->ask.surface;
    bool ok = rq && !openai_read(rq, surface, buf_str(&s->body), &diag) &&
              !openai_write(&s->wire, rq, surface, s->serving->as);
    if (ok) {
        s->stream = rq->stream;
        *choices = rq->choices;
        const struct ask_head head = {
            .surface = surface, .stream = rq->stream, .id = s->id, .body_bytes = buf_len(&s->wire)};
        ask_head_write(s->generation, ep, &head, &s->head);
        buf_join(&s->head, buf_str(&s->headers), STR("\r\n"));
        ok = !s->head.overflow;
    }
    arena_release(&a);
    buf_release(&s->body);
    buf_release(&s->headers);
    return ok;
}

static bool reserve(struct shadow *s)
{
    const struct portfolio *p = shadow_portfolio(s);
    const struct pool *pool = &p->pools[s->pool];
    uint32_t flags = RECORD_SHADOW | (s->stream ? RECORD_STREAM : 0);
    flags |= s->unbounded ? RECORD_UNBOUNDED : 0;
    // Of no tenant and no key: nobody has asked for it, and nobody is charged.
    struct record_reserve r = {
        .pool = record_id(RECORD_POOL, pool->name),
        .supplier = record_id(RECORD_SUPPLIER, p->suppliers[pool->supplier].name),
        .contract =
            pool->contract < 0 ? 0 : record_id(RECORD_CONTRACT, p->contracts[pool->contract].name),
        .model = record_id(RECORD_MODEL, p->models[s->ask.model].name),
        .bound_nusd = s->bound_nusd,
        .prompt_tok = s->ask.prompt_tok,
        .surface = (uint16_t)s->ask.surface};
    strncpy(r.request, s->id, sizeof r.request);
    return ledger_reserve(s->worker->pen, &s->call, &r, flags);
}

static void send_now(void *ctx)
{
    struct shadow *s = ctx;
    attempt_start(&s->attempt, s->worker->upstream, s->attempt.ep, false, buf_str(&s->head),
                  buf_str(&s->wire), &shadow_calls, s);
}

// Nothing has been sent: the pool gets back what was taken of it.
static void untake(struct shadow *s)
{
    struct route_seen seen = {.outcome = ROUTE_NO_SAY, .drawn = true};
    core_done(s->worker->core, s->generation, &s->ask, &s->decision, &seen, shadow_now(s));
}

static void begin(struct timer *t)
{
    struct shadow *s = CONTAINER_OF(t, struct shadow, timer);
    struct worker *w = s->worker;
    struct endpoint *ep = generation_pool(s->generation, s->pool);
    int32_t choices = 1;
    t->fire = shadow_on_timer;
    if (w->draining) {
        shadow_skip(s, METRICS_SKIP_ENDING);
        return;
    }
    if (!build_wire(s, ep, &choices)) {
        shadow_skip(s, METRICS_SKIP_UNABLE);
        return;
    }
    s->bound_nusd = bound_of(s, choices, &s->unbounded);
    if (!take_money(s)) {
        shadow_skip(s, METRICS_SKIP_MONEY);
        return;
    }
    s->decision = core_shadow(w->core, s->generation, &s->ask, s->pool, shadow_now(s));
    if (s->decision.verdict != ROUTE_SEND) {
        shadow_skip(s, skip_of(s->decision.bar));
        return;
    }
    if (!atomic_load(&ep->port) || !reserve(s)) {
        untake(s);
        shadow_skip(s, atomic_load(&ep->port) ? METRICS_SKIP_LEDGER : METRICS_SKIP_INACTIVE);
        return;
    }
    s->taken = true;
    s->sent_us = s->last_us = shadow_now(s);
    relay_init(&s->relay, (enum surface)s->ask.surface,
               shadow_portfolio(s)->models[s->ask.model].name, false, EVENT_BYTES_MAX);
    s->attempt = (struct attempt){.ep = ep};
    if (!ledger_must_wait(w->pen, &s->call, send_now, s))
        send_now(s);
    shadow_arm(s);
}

// --- drawing ----------------------------------------------------------------------------------

static void take_body(struct buf *to, struct buf *from, bool last)
{
    if (last) {
        *to = *from;
        *from = (struct buf){.limit = to->limit};
    } else if (from->p) {
        buf_add_str(to, buf_str(from));
    }
}

// The exchange's go with its arena.
static void keep_blocks(struct shadow *s)
{
    size_t n = (size_t)s->ask.n_blocks;
    if (n) {
        s->blocks = take_n(sizeof *s->blocks, n);
        memcpy(s->blocks, s->ask.blocks, n * sizeof *s->blocks);
    }
    s->ask.blocks = s->blocks;
}

static void see(struct worker *w, const struct shadow_seen *seen, int32_t pool,
                const struct serving *serving, bool last)
{
    const struct serve_config *c = &seen->generation->portfolio->serve;
    int64_t now = loop_now_us(w->loop);
    struct shadow *s = take(sizeof *s);
    s->worker = w;
    s->generation = seen->generation;
    generation_hold(s->generation);
    s->pool = pool;
    s->serving = serving;
    memcpy(s->id, seen->id, sizeof s->id);
    s->ask = *seen->ask;
    s->ask.model = seen->model;
    s->ask.stand_in = false;
    s->ask.context_tok = s->ask.n_tried = 0;
    keep_blocks(s);
    s->ask.arrived_us = now;
    s->ask.wall_us = loop_wall_us(w->loop);
    s->ask.deadline_us = now + c->deadline_us;
    s->retry_after_us = -1;
    buf_init(&s->body, (size_t)c->body_bytes);
    take_body(&s->body, seen->body, last);
    buf_init(&s->headers, HEAD_BYTES_MAX);
    buf_add_str(&s->headers, seen->headers);
    buf_init_secret(&s->head, HEAD_BYTES_MAX);
    buf_init(&s->wire, (size_t)c->body_bytes + 64 * 1024);
    buf_init(&s->answer, (size_t)c->answer_bytes);
    buf_init(&s->out, (size_t)c->answer_bytes + EVENT_BYTES_MAX);
    s->older = w->shadows;
    if (w->shadows)
        w->shadows->newer = s;
    w->shadows = s;
    metrics_add(w->metrics, w->index, METRICS_SHADOWS, 1);
    s->timer.fire = begin;
    timer_set(w->loop, &s->timer, now);  // the client's bytes go first
}

// One more may be on in the process.
static bool has_room(struct worker *w, int32_t most)
{
    if (atomic_fetch_add(&w->owner->shadows, 1) < most)
        return true;
    atomic_fetch_sub(&w->owner->shadows, 1);
    return false;
}

void shadows_see(struct worker *w, const struct shadow_seen *seen)
{
    const struct portfolio *p = seen->generation->portfolio;
    for (int32_t i = p->pools[seen->pool].first_shadow; i >= 0; i = p->pools[i].next_shadow) {
        const struct pool *pool = &p->pools[i];
        const struct serving *serving = pool_serving(pool, seen->model);
        bool last = pool->next_shadow < 0;
        if (!share_shadows(pool->shadow.share, seen->ask->draw, pool->name))
            continue;
        if (!serving || !pool->enabled || w->draining || !has_room(w, p->serve.shadows))
            metrics_shadow_skipped(w->metrics, w->index, &seen->generation->names, i,
                                   !serving         ? METRICS_SKIP_UNABLE
                                   : !pool->enabled ? METRICS_SKIP_INACTIVE
                                   : w->draining    ? METRICS_SKIP_ENDING
                                                    : METRICS_SKIP_FULL);
        else
            see(w, seen, i, serving, last);
    }
}

void shadows_drain(struct worker *w)
{
    for (struct shadow *s = w->shadows; s; s = s->older) {
        s->ask.deadline_us =
            min_i64(s->ask.deadline_us, shadow_now(s) + s->generation->portfolio->serve.drain_us);
        if (s->taken)
            shadow_arm(s);
    }
}

void shadows_cut(struct worker *w)
{
    struct shadow *older;
    for (struct shadow *s = w->shadows; s; s = older) {
        older = s->older;
        if (s->taken)
            shadow_finish(s, FAULT_GONE, false, "the process ends");
        else
            shadow_skip(s, METRICS_SKIP_ENDING);
    }
}
