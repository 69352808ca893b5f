#include "replay/bound_inside.h"

#include <math.h>

enum { TAIL_BUCKETS = 4, LEVELS = 32 };
static const double BURST_US = 60e6;  // a bucket of limits holds a minute of its rate

// --- when a pool is there ---------------------------------------------------------------------

// When `pool` answers next, at `at_us` or when it heals; NEVER: not again. Those who come to a dead
// one are refused, and one that stalls never answers what it took then. What is due together with
// an arrival comes before it; one that `waits` may go before it.
static int64_t next_well(const struct events *e, int32_t pool, int64_t at_us, bool waits)
{
    int64_t well_us = at_us;
    for (int32_t i = 0; i < e->n; i++) {
        const struct event *ev = &e->all[i];
        if (ev->at_us > at_us - waits && well_us < NEVER)
            break;
        if (ev->pool != pool)
            continue;
        if (ev->kind == EVENT_DIES || ev->kind == EVENT_STALLS)
            well_us = NEVER;
        else if (ev->kind == EVENT_HEALS)
            well_us = max_i64(ev->at_us, at_us);
    }
    return well_us;
}

bool series_is_there(const struct bounding *b, const struct least_unit *u, int64_t at_us,
                     int64_t patience_us)
{
    const struct pool *pool = &b->editions.all[0].p->pools[u->pool];
    if (b->c->events.n == 0 && pool->n_maintenance == 0 && pool->contract < 0)
        return true;
    int64_t last_us = patience_us < NEVER - at_us ? at_us + patience_us : NEVER - 1;
    for (int64_t from_us = at_us;;) {
        int64_t there_us = editions_first_there(&b->editions, u->pool, from_us, last_us);
        if (there_us == NEVER)
            return false;
        from_us = next_well(&b->c->events, u->pool, there_us, there_us > at_us);
        if (from_us == there_us || from_us > last_us)
            return from_us <= last_us;
    }
}

// Microseconds of [from, until) in which `pool` is dead: what it holds then is lost, so nothing
// that is answered is worked on. Stalls and derates leave the work of those under way: not counted.
static double dead_us(const struct bounding *b, int32_t pool, int64_t from_us, int64_t until_us)
{
    int64_t dead = -1, sum = 0;
    for (int32_t i = 0; i <= b->c->events.n; i++) {
        const struct event *ev = i < b->c->events.n ? &b->c->events.all[i] : NULL;
        int64_t at_us = ev ? ev->at_us : NEVER;
        if (ev && (ev->pool != pool || (ev->kind != EVENT_DIES) == (dead < 0)))
            continue;
        if (dead >= 0 && (!ev || ev->kind == EVENT_HEALS || ev->kind == EVENT_STALLS)) {
            int64_t lost = min_i64(at_us, until_us) - max_i64(dead, from_us);
            sum += lost > 0 ? lost : 0;
            dead = -1;
        } else if (ev && ev->kind == EVENT_DIES) {
            dead = at_us;
        }
    }
    return (double)sum;
}

// --- what there is ----------------------------------------------------------------------------

static enum err add(struct bounding *b, enum series_kind kind, int32_t unit, int32_t pool,
                    double each)
{
    struct series *s = &b->series[b->n_series];
    size_t n = (size_t)b->n_buckets;
    *s = (struct series){.kind = kind, .unit = unit, .pool = pool, .each = each};
    s->there = arena_new(b->arena, double, n);
    s->wanted = arena_new(b->arena, double, n);
    s->row = arena_new(b->arena, int32_t, n);
    s->price = arena_new(b->arena, double, n);
    if (!s->there || !s->wanted || !s->row || !s->price)
        return ERR_LIMIT;
    bool rate = kind == SERIES_REQUESTS || kind == SERIES_TOKENS;
    int64_t first_us = editions_first_there(&b->editions, pool, 0, NEVER - 1);
    for (int32_t i = 0; i < b->n_buckets; i++) {
        int64_t from_us = i * b->bucket_us, until_us = from_us + b->bucket_us;
        double us = (double)max_i64(0, until_us - max_i64(from_us, first_us));
        s->there[i] =
            rate ? each * (us + BURST_US) : each * (us - dead_us(b, pool, from_us, until_us));
        if (s->there[i] < 0)
            s->there[i] = 0;
        s->row[i] = -1;
    }
    if (unit >= 0)
        b->units[unit].of[kind] = b->n_series;
    else
        for (int32_t k = b->least->first[pool]; k < b->least->first[pool + 1]; k++)
            b->units[k].of[kind] = b->n_series;
    b->n_series++;
    return ERR_NONE;
}

static double slowest(const struct bounding *b, int32_t pool)
{
    double most = 1;
    for (int32_t i = 0; i < b->c->events.n; i++) {
        const struct event *ev = &b->c->events.all[i];
        if (ev->pool == pool && ev->kind == EVENT_SLOW && ev->value > most)
            most = ev->value;
    }
    return most;
}

static double step_us_most(const struct bounding *b, const struct least_unit *u, double slow_most)
{
    const struct service *s = &u->service;
    int32_t full = (s->slots + s->replicas - 1) / s->replicas * s->replicas;
    double n = full;
    double context = (double)s->slots * b->context_most;
    double us = service_step_us(s, n, context) + service_join_us(s, context);
    return (us + 1) * slow_most + 1;
}

static enum err add_unit(struct bounding *b, int32_t i)
{
    const struct least_unit *u = &b->least->units[i];
    const struct service *s = &u->service;
    b->units[i].slow_most = slowest(b, u->pool);
    b->units[i].step_us_most = step_us_most(b, u, b->units[i].slow_most);
    enum err e = add(b, SERIES_PREFILL, i, u->pool, s->replicas);
    if (!e)
        e = add(b, SERIES_DECODE, i, u->pool, 1);
    if (!e)
        e = add(b, SERIES_SLOTS, i, u->pool, s->slots);
    if (!e && s->kv_tok > 0)
        e = add(b, SERIES_KV, i, u->pool, s->kv_tok);
    return e;
}

static enum err add_pool(struct bounding *b, int32_t i)
{
    const struct pool *pool = &b->c->p->pools[i];
    double derate = pool->derate > 0 && pool->derate < 1 ? pool->derate : 1;
    enum err e = ERR_NONE;
    if (pool->limits.in_flight > 0) {
        double limit = ceil(pool->limits.in_flight * derate);
        e = add(b, SERIES_IN_FLIGHT, -1, i, limit > 1 ? limit : 1);
    }
    if (!e && pool->limits.requests_per_s > 0)
        e = add(b, SERIES_REQUESTS, -1, i, pool->limits.requests_per_s * derate / 1e6);
    if (!e && pool->limits.tokens_per_s > 0)
        e = add(b, SERIES_TOKENS, -1, i, pool->limits.tokens_per_s * derate / 1e6);
    return e;
}

static enum err add_prepaid(struct bounding *b, int32_t contract)
{
    const struct portfolio *p = b->c->p;
    int64_t begin_us = b->c->wall_us, end_us = begin_us + b->c->span_us + 1, at_us = begin_us;
    while (p->contracts[contract].commitment.amount > 0 && at_us < end_us) {
        struct account_period now = account_period_of(p, contract, at_us);
        struct prepaid *more = arena_new(b->arena, struct prepaid, b->n_prepaid + 1);
        if (!more)
            return ERR_LIMIT;
        if (b->n_prepaid)
            memcpy(more, b->prepaid, (size_t)b->n_prepaid * sizeof *more);
        b->prepaid = more;
        int64_t until_us = min_i64(now.until_us, end_us);
        double used = at_us == begin_us ? account_used(b->c->used, contract) : -1;
        b->prepaid[b->n_prepaid++] = (struct prepaid){contract,
                                                      at_us - begin_us,
                                                      until_us - begin_us,
                                                      account_amount(&now, begin_us, end_us, used),
                                                      0,
                                                      -1,
                                                      0};
        if (until_us <= at_us)
            break;
        at_us = until_us;
    }
    return ERR_NONE;
}

static void count_buckets(struct bounding *b)
{
    int64_t longest_us = 0;
    for (int32_t i = -1; i < b->c->p->n_classes; i++)
        longest_us = max_i64(longest_us, class_patience_us(b->c->p, i));
    b->bucket_us = b->groups.bucket_us;
    b->window = (int32_t)min_i64(longest_us / b->bucket_us + 1, TAIL_BUCKETS);
    b->n_buckets = (int32_t)(b->c->span_us / b->bucket_us) + 1 + TAIL_BUCKETS;
}

enum err series_build(struct bounding *b)
{
    const struct portfolio *p = b->c->p;
    count_buckets(b);
    size_t most = (size_t)b->least->n_units * 4 + (size_t)p->n_pools * 3 + 1;
    b->series = arena_new(b->arena, struct series, most);
    b->units = arena_new(b->arena, struct unit_series, b->least->n_units + 1);
    b->first_prepaid = arena_new(b->arena, int32_t, p->n_contracts + 1);
    if (!b->series || !b->units || !b->first_prepaid)
        return ERR_LIMIT;
    for (int32_t i = 0; i < b->least->n_units; i++)
        for (int k = 0; k < SERIES_KINDS; k++)
            b->units[i].of[k] = -1;
    enum err e = ERR_NONE;
    for (int32_t i = 0; i < b->least->n_units && !e; i++)
        e = add_unit(b, i);
    for (int32_t i = 0; i < p->n_pools && !e; i++)
        e = add_pool(b, i);
    for (int32_t i = 0; i < p->n_contracts && !e; i++) {
        b->first_prepaid[i] = b->n_prepaid;
        e = add_prepaid(b, i);
    }
    b->first_prepaid[p->n_contracts] = b->n_prepaid;
    return e;
}

struct prepaid *prepaid_at(const struct bounding *b, int32_t contract, int64_t at_us)
{
    for (int32_t i = b->first_prepaid[contract]; i < b->first_prepaid[contract + 1]; i++)
        if (at_us < b->prepaid[i].until_us || i + 1 == b->first_prepaid[contract + 1])
            return &b->prepaid[i];
    return NULL;
}

// --- what a request uses ----------------------------------------------------------------------

// Without its context a step of n sequences grows slower than n, and n is at most the slots: so a
// token takes at least the share of a full step, and K c / replicas, of the clock. Steps are
// rounded to whole microseconds, so up to half of one may be missing.
static double decode_us(const struct least_unit *u, const struct arrival *r)
{
    const struct service *s = &u->service;
    double full_us = service_step_us(s, s->slots, 0) * u->speed - 0.6, n = r->output_tok;
    double context = n * r->prompt_tok + n * (n - 1) / 2;
    return n * (full_us > 0 ? full_us : 0) / s->slots +
           context * s->step_us_per_ctx * u->speed / s->replicas;
}

double series_use(const struct bounding *b, enum series_kind kind, const struct least_unit *u,
                  const struct arrival *r, const struct least_cost *c)
{
    (void)b;
    double tok = (double)r->prompt_tok + r->output_tok, kv = u->service.kv_tok;
    switch (kind) {
    case SERIES_PREFILL: return (double)c->beside_us;
    case SERIES_DECODE: return decode_us(u, r);
    case SERIES_SLOTS:
    case SERIES_IN_FLIGHT: return (double)c->hold_us;
    // One that is larger than the room has it for itself.
    case SERIES_KV: return (tok < kv ? tok : kv) * (double)c->hold_us;
    case SERIES_REQUESTS: return 1;
    case SERIES_TOKENS: return r->prompt_tok;
    case SERIES_KINDS: break;
    }
    return 0;
}

// --- the least of a window --------------------------------------------------------------------

void series_prepare_least(struct bounding *b)
{
    for (int32_t i = 0; i < b->n_series; i++) {
        struct series *s = &b->series[i];
        s->least[0] = s->price;
        for (int k = 1; k < LEVELS && (1 << k) <= b->n_buckets; k++) {
            s->least[k] = arena_new(b->arena, double, b->n_buckets);
            CHECK(s->least[k]);
            for (int32_t at = 0; at + (1 << k) <= b->n_buckets; at++)
                s->least[k][at] = fmin(s->least[k - 1][at], s->least[k - 1][at + (1 << (k - 1))]);
        }
    }
}

// Of the buckets from..last; behind those that are reckoned with nothing is scarce.
double series_least_price(const struct bounding *b, const struct series *s, int32_t from,
                          int32_t last)
{
    if (last >= b->n_buckets)
        return 0;
    int k = 31 - __builtin_clz((uint32_t)(last - from + 1));
    return fmin(s->least[k][from], s->least[k][last - (1 << k) + 1]);
}
