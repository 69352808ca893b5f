#include "route/route_internal.h"

#include <math.h>

// What a list's candidates cost and when they are free, kept beside the list.
//
//   took, done, first ...  -> live->changed   a ring of which pools changed
//   lanes_see()            -> list->dirty     their lanes, in every list that has them
//                          -> lane_load()     those of the list that is looked at now,
//                             lane_times()    as far as the change concerns them
//
// So a change costs a number in a ring, and a pool that changes ten times between two looks at a
// list is worked out once.

// Cache lines: a row of LANES doubles is one.
enum { LINE_BYTES = 64 };
static const int64_t HOUR_US = S(3600);
static const double STEP_US_MIN = 1e-6;  // so that a slot is held for more than nothing

static void *take_lines(struct arena *a, size_t bytes)
{
    char *p = arena_take_n(a, 1, bytes + LINE_BYTES);
    return p ? p + (LINE_BYTES - (uintptr_t)p % LINE_BYTES) : NULL;
}

static double or_infinite(double v)
{
    return v > 0 ? v : INFINITY;
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

// As exact as admit()'s whole numbers while times are below 2^53 us.
static double as_double(int64_t us)
{
    return us == NEVER ? INFINITY : us == INT64_MIN ? -INFINITY : (double)us;
}

// What an offer says for good. Lanes behind the last are never free.
static void lane_set(const struct list *l, int32_t i, const struct offer *o)
{
    struct candidates *c = &l->lanes[i / LANES];
    struct candidates_more *m = &l->more[i / LANES];
    int k = i % LANES;
    if (!o) {
        c->free_us[k] = INFINITY;
        c->step[k] = 1;
        return;
    }
    m->prefill_tok2[k] = o->service.prefill_us_per_tok2;
    c->input[k] = o->input_nusd;
    c->output[k] = o->output_nusd;
    c->energy[k] = o->energy_nusd_per_joule * service_more_watts(&o->service) / 1e6;
    m->cached_less[k] = o->input_nusd - o->cached_nusd;
    m->answer_max[k] = or_infinite(o->output_tok_max);
    m->context_max[k] = or_infinite(o->context_tok);
}

static void fill_price(const struct route *r, const struct offer *o, int64_t fresh_us,
                       struct candidates *c, struct candidates_more *m, int k)
{
    if (!r->policy->paced)
        return;  // as lane_set() left it
    int32_t hour = r->memo->hour;
    m->capacity[k] = hour >= 0 ? r->p->prices->pools[o->pool].slot_nusd_per_us[hour] : 0;
    if (o->commit < 0)
        return;
    double share = commit_share(r, o, fresh_us);
    c->input[k] = share * o->beyond_input_nusd;
    m->cached_less[k] = share * (o->beyond_input_nusd - o->beyond_cached_nusd);
    c->output[k] = share * o->beyond_output_nusd;
    m->capacity[k] += share * o->beyond_hold_nusd;
}

static void fill_load(const struct offer *o, const struct live_pool *lp,
                      const struct live_pair *pair, struct candidates *c, struct candidates_more *m,
                      int k)
{
    const struct service *s = &o->service;
    double n = lp->in_flight, ctx = (double)lp->context_tok;
    double base = service_step_us(s, n + 1, 0), per = 0;
    if (s->step_us_per_ctx > 0)
        per = (service_step_us(s, n + 1, 0x1p20) - base) * 0x1p-20;
    double step = base + per * ctx;
    struct service_prefill prefill = service_prefill_of(s, n);
    c->prefill[k] = prefill.us;
    c->prefill_tok[k] = prefill.per_tok;
    c->step[k] = step > STEP_US_MIN ? step : STEP_US_MIN;
    c->step_ctx[k] = per;
    if (s->basis == BASIS_NONE)  // the slots of a guess would queue what is not queued
        return;
    c->read_us[k] = pair->prefill_until_us;
    double slots = s->slots * o->derate, room = s->kv_tok * o->derate;
    c->full[k] = slots > 0 && n >= slots ? (n - slots + 1) / slots : 0;
    if (room > 0) {
        m->kv[k] = (ctx - room) / room;
        m->kv_tok[k] = 1 / room;
    }
}

// When nothing but what depends on the request bars it.
static int64_t free_us(const struct route *r, const struct offer *o, const struct live_pool *lp,
                       const struct live_pair *pair)
{
    const struct route_limits *lim = &r->limits[o->pool];
    if (o->fixed || lp->lever.stopped || lp->absent || !r->memo->active[o->pool] ||
        lp->in_flight >= lim->in_flight)
        return NEVER;
    if (pair->breaker.open && pair->breaker.probing)
        return NEVER;
    int64_t at = max_i64(pair->cool_until_us, lp->empty_until_us);
    if (o->commit >= 0)
        at = max_i64(at, commit_stop_us(r, o));
    if (pair->breaker.open)
        at = max_i64(at, pair->breaker.open_until_us);
    return lim->request_us > 0 ? max_i64(at, admit_requests_free_us(lim, lp)) : at;
}

// What a request that comes or goes changes.
static void lane_load(const struct route *r, const struct list *l, int32_t i)
{
    const struct offer *o = &r->offers[l->entries[i].offer];
    const struct live_pool *lp = &r->live->pools[o->place];
    const struct live_pair *pair = &r->live->pairs[o->pair];
    struct candidates *c = &l->lanes[i / LANES];
    struct candidates_more *m = &l->more[i / LANES];
    int k = i % LANES;
    fill_load(o, lp, pair, c, m, k);
    fill_price(r, o, l->fresh_us, c, m, k);
    c->free_us[k] = as_double(free_us(r, o, lp, pair));
    const struct route_limits *lim = &r->limits[o->pool];
    m->bucket_at[k] = -INFINITY;
    m->bucket_tok[k] = 0;
    m->tokens_most[k] = INFINITY;
    if (lim->token_us > 0) {
        m->bucket_at[k] = (double)(admit_tokens_from(lim, lp) - l->fresh_us * 1024);
        m->bucket_tok[k] = lim->token_us;
        m->tokens_most[k] = lim->tokens_most;
    }
}

// What an observation changes.
static void lane_times(const struct route *r, const struct list *l, int32_t i)
{
    const struct offer *o = &r->offers[l->entries[i].offer];
    const struct live_pair *pair = &r->live->pairs[o->pair];
    struct candidates *c = &l->lanes[i / LANES];
    int k = i % LANES;
    double ratio = learn_ratio_ttft(pair, l->fresh_us);
    c->ttft_ratio[k] = ratio * (1 + learn_fail_load(pair, l->fresh_us));
    c->step_ratio[k] = learn_ratio_per_token(pair, l->fresh_us);
    l->more[i / LANES].least_ratio[k] = o->service.basis == BASIS_NONE ? 0 : ratio < 1 ? ratio : 1;
}

// Lanes of a pool, `what` of LIVE_* of them.
static void mark(const struct route *r, const struct lanes_of *of, int32_t what)
{
    for (int32_t i = of->from; i < of->from + of->n; i++) {
        struct list *l = &r->lists[r->lane_of[i].list];
        int32_t lane = r->lane_of[i].lane, w = lane / 64;
        uint64_t bit = UINT64_C(1) << (lane % 64);
        l->dirty[w].load |= what & LIVE_LOAD ? bit : 0;
        l->dirty[w].times |= what & LIVE_TIMES ? bit : 0;
        l->summary |= UINT64_C(1) << (w % 64);
    }
}

static void mark_pool(const struct route *r, int32_t pool)
{
    int32_t first = r->pool_offers[pool];
    if (first < r->pool_offers[pool + 1])
        mark(r, &r->place_of[r->offers[first].place], LIVE_ALL);
}

static void mark_all(const struct route *r)
{
    for (int32_t i = 0; i < r->p->n_pools; i++)
        route_limits_of(r, i);
    for (int32_t i = 0; i < r->n_lists; i++)
        r->lists[i].fresh_us = NEVER;
    for (int32_t i = 0; i < r->n_offers; i++) {  // a bucket may be that of the router that leads
        const struct offer *o = &r->offers[i];
        for (int32_t k = o->from; k < o->from + o->n && r->limits[o->pool].token_us > 0; k++)
            r->lists[r->lane_of[k].list].buckets = true;
    }
}

static void mark_contract(const struct route *r, int32_t place)
{
    for (int32_t i = 0; i < r->n_offers; i++) {
        int32_t c = r->offers[i].commit;
        if (c >= 0 && r->commits[c].place == place)
            mark(r, &r->place_of[r->offers[i].place], LIVE_LOAD);
    }
}

static void catch_up(const struct route *r)
{
    struct memo *memo = r->memo;
    const struct live *live = r->live;
    // A lever may have been said to the router of another portfolio.
    if (live->changes - memo->seen > LIVE_CHANGES || live->levers != memo->levers) {
        mark_all(r);
        memo->seen = live->changes;
        memo->levers = live->levers;
    }
    for (; memo->seen != live->changes; memo->seen++) {
        int32_t what = live->changed[memo->seen % LIVE_CHANGES];
        if (what < 0)
            mark_contract(r, -1 - what);
        else
            mark(r, &r->place_of[what >> LIVE_BITS], what);
    }
}

static void fill_all(const struct route *r, struct list *l)
{
    memset(l->dirty, 0, (size_t)words_of(l->all) * sizeof *l->dirty);
    l->summary = 0;
    for (int32_t i = 0; i < l->all; i++) {
        lane_load(r, l, i);
        lane_times(r, l, i);
    }
}

void lanes_find(const struct route *r, struct list *l, int64_t now_us)
{
    if (r->memo->seen != r->live->changes)
        catch_up(r);
    int64_t step_us = fade_step_us(now_us);
    if (l->fresh_us != step_us) {
        l->fresh_us = step_us;
        fill_all(r, l);
        return;
    }
    for (; l->summary; l->summary &= l->summary - 1) {
        for (int32_t w = __builtin_ctzll(l->summary); w < words_of(l->all); w += 64) {
            struct dirty *d = &l->dirty[w];
            for (; d->load; d->load &= d->load - 1)
                lane_load(r, l, w * 64 + __builtin_ctzll(d->load));
            for (; d->times; d->times &= d->times - 1)
                lane_times(r, l, w * 64 + __builtin_ctzll(d->times));
        }
    }
}

bool lanes_all_barred(const struct list *l, int32_t n, int64_t now_us, int64_t *until_us)
{
    double now = (double)now_us, least = INFINITY;
    for (int32_t i = 0; i < n; i++) {
        double at = l->lanes[i / LANES].free_us[i % LANES];
        if (at <= now)
            return false;
        least = at < least ? at : least;
    }
    *until_us = least < INFINITY ? (int64_t)least : NEVER;
    return true;
}

// An operator's window counts as those of the portfolio.
static const struct route_lever *lever_of(const struct route *r, int32_t pool)
{
    static const struct route_lever none = {.weight = -1, .derate = 1};
    int32_t first = r->pool_offers[pool];
    if (first == r->pool_offers[pool + 1])
        return &none;
    const struct route_lever *lever = &r->live->pools[r->offers[first].place].lever;
    return lever->said ? lever : &none;
}

static bool is_maintained(const struct pool *pool, const struct route_lever *lever, int64_t wall_us)
{
    if (pool_maintenance(pool, wall_us))
        return true;
    for (int32_t i = 0; i < lever->n_windows; i++) {
        if (wall_us >= lever->windows[i].from_us && wall_us < lever->windows[i].until_us)
            return true;
    }
    return false;
}

// Narrows the span of wall time around `at` in which nothing changes.
static void boundary(struct memo *m, int64_t at_us, int64_t change_us)
{
    if (change_us <= at_us)
        m->wall_from_us = max_i64(m->wall_from_us, change_us);
    else
        m->wall_until_us = min_i64(m->wall_until_us, change_us);
}

// Unless an operator says another one. Shares of a plan count as long as it holds.
static double own_weight(const struct route *r, int32_t pool)
{
    double planned = r->memo->hour >= 0 ? r->p->prices->pools[pool].share : -1;
    double weight = planned >= 0 ? planned : r->p->pools[pool].weight;
    return weight > 0 ? weight : 0;
}

static double weight_of(const struct route *r, int32_t pool)
{
    double said = lever_of(r, pool)->weight;
    return said >= 0 ? said : own_weight(r, pool);
}

static void weigh_list(const struct route *r, struct list *l)
{
    l->even = true;
    for (int32_t i = 0; i < l->all; i++) {
        l->weight[i] = weight_of(r, r->offers[l->entries[i].offer].pool);
        l->even = l->even && l->weight[i] > 0 && l->weight[i] == l->weight[0];
    }
}

void lanes_weigh(struct route *r, int32_t pool)
{
    for (int32_t i = r->pool_offers[pool]; i < r->pool_offers[pool + 1]; i++) {
        const struct offer *o = &r->offers[i];
        for (int32_t j = o->from; j < o->from + o->n; j++)
            weigh_list(r, &r->lists[r->lane_of[j].list]);
    }
}

// Which prices of the plan hold: they change with the hour.
static void find_hour(const struct route *r, int64_t wall_us)
{
    struct memo *m = r->memo;
    const struct planned_prices *prices = r->p->prices;
    if (!prices)
        return;
    int64_t into_us = ((wall_us % HOUR_US) + HOUR_US) % HOUR_US;
    int32_t hour = wall_us < prices->until_us ? typical_hour(wall_us) : -1;
    boundary(m, wall_us, wall_us - into_us);
    boundary(m, wall_us, wall_us - into_us + HOUR_US);
    boundary(m, wall_us, prices->until_us);
    for (int32_t i = 0; hour != m->hour && i < r->p->n_pools; i++)
        if (prices->pools[i].scarce)
            mark_pool(r, i);
    bool turns = (hour < 0) != (m->hour < 0);
    m->hour = hour;
    for (int32_t i = 0; turns && i < r->n_lists; i++)
        weigh_list(r, &r->lists[i]);
}

void lanes_find_wall(const struct route *r, int64_t wall_us)
{
    struct memo *m = r->memo;
    const struct portfolio *p = r->p;
    m->wall_from_us = INT64_MIN;
    m->wall_until_us = NEVER;
    find_hour(r, wall_us);
    for (int32_t i = 0; i < p->n_contracts; i++) {
        const struct contract *c = &p->contracts[i];
        boundary(m, wall_us, c->from_us);
        boundary(m, wall_us, c->until_us);
        for (int32_t j = 0; j < c->n_phases; j++) {
            boundary(m, wall_us, c->phases[j].from_us);
            boundary(m, wall_us, c->phases[j].until_us);
        }
    }
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct pool *pool = &p->pools[i];
        const struct route_lever *lever = lever_of(r, i);
        bool active = pool_active(p, pool, wall_us) && !is_maintained(pool, lever, wall_us);
        for (int32_t j = 0; j < lever->n_windows; j++) {
            boundary(m, wall_us, lever->windows[j].from_us);
            boundary(m, wall_us, lever->windows[j].until_us);
        }
        for (int32_t j = 0; j < pool->n_maintenance; j++) {
            boundary(m, wall_us, pool->maintenance[j].from_us);
            boundary(m, wall_us, pool->maintenance[j].until_us);
        }
        if (m->active[i] != active)
            mark_pool(r, i);
        m->active[i] = active;
    }
}

void lanes_join(struct route *r)
{
    for (int32_t i = 0; i < r->p->n_pools; i++) {
        route_limits_of(r, i);
        if (lever_of(r, i)->weight >= 0)
            lanes_weigh(r, i);
    }
}

// Room for a list's lanes, and what holds for all of them.
static enum err list_build(struct route *r, struct arena *a, struct list *l)
{
    int32_t blocks = whole_lanes(l->all) / LANES, users = r->n_user_regions;
    l->lanes = take_lines(a, (size_t)blocks * sizeof *l->lanes);
    l->more = take_lines(a, (size_t)blocks * sizeof *l->more);
    double *trips = take_lines(a, (size_t)users * (size_t)blocks * LANES * sizeof(double));
    l->weight = arena_new(a, double, l->all);
    l->dirty = arena_new(a, struct dirty, words_of(l->all));
    if (!l->lanes || !l->more || !trips || !l->weight || !l->dirty)
        return ERR_LIMIT;
    l->round_trip_us = trips;
    l->fresh_us = NEVER;
    l->even = true;
    l->context_min = INFINITY;
    for (int32_t i = 0; i < blocks * LANES; i++) {
        const struct offer *o = i < l->all ? &r->offers[l->entries[i].offer] : NULL;
        lane_set(l, i, o);
        if (!o)
            continue;
        const struct service *s = &o->service;
        double far_us = 0;
        l->weight[i] = own_weight(r, o->pool);
        l->even = l->even && l->weight[i] > 0 && l->weight[i] == l->weight[0];
        for (int32_t u = 0; u < users; u++) {
            double us = r->round_trip_us[u * r->p->n_pools + o->pool];
            trips[(size_t)u * (size_t)blocks * LANES + (size_t)i] = us;
            far_us = us > far_us ? us : far_us;
        }
        double context = or_infinite(o->context_tok);
        l->context_min = context < l->context_min ? context : l->context_min;
        l->buckets = l->buckets || r->p->pools[o->pool].limits.tokens_per_s > 0;
        l->bends = l->bends || s->prefill_us_per_tok2 > 0 || s->kv_tok > 0 ||
                   o->beyond_hold_nusd > 0 || (r->p->prices && r->p->prices->pools[o->pool].scarce);
        struct service_prefill full = service_prefill_of(s, s->slots);
        l->least_us = larger(l->least_us, full.us + far_us);
        l->least_us_per_tok = larger(l->least_us_per_tok, full.per_tok);
        l->least_us_per_tok2 = larger(l->least_us_per_tok2, s->prefill_us_per_tok2);
    }
    return ERR_NONE;
}

enum err lanes_build(struct route *r, struct arena *a)
{
    struct memo *m = arena_new(a, struct memo, 1);
    r->lane_of = NULL;
    int32_t n = 0;
    for (int32_t i = 0; i < r->n_lists; i++) {
        for (int32_t j = 0; j < r->lists[i].all; j++, n++)
            r->offers[r->lists[i].entries[j].offer].n++;
    }
    r->lane_of = arena_new(a, struct lane_at, n);
    r->place_of = arena_new(a, struct lanes_of, r->live->max_pools);
    if (!m || !r->lane_of || !r->place_of)
        return ERR_LIMIT;
    r->memo = m;
    m->wall_from_us = NEVER;
    m->wall_until_us = INT64_MIN;
    m->hour = -1;
    m->active = arena_new(a, bool, r->p->n_pools);
    m->room.width = score_width();
    m->room.scores = take_lines(a, (size_t)whole_lanes(r->longest) * sizeof(double));
    m->room.within = arena_new(a, int32_t, whole_lanes(r->longest));
    m->room.kept = take_lines(a, sizeof *m->room.kept);
    if (!m->active || !m->room.scores || !m->room.within || !m->room.kept)
        return ERR_LIMIT;
    int32_t from = 0;
    for (int32_t i = 0; i < r->n_offers; i++) {
        struct offer *o = &r->offers[i];
        struct lanes_of *of = &r->place_of[o->place];
        if (of->n == 0)
            of->from = from;
        of->n += o->n;
        o->from = from;
        from += o->n;
        o->n = 0;
    }
    for (int32_t i = 0; i < r->n_lists; i++) {
        for (int32_t j = 0; j < r->lists[i].all; j++) {
            struct offer *o = &r->offers[r->lists[i].entries[j].offer];
            r->lane_of[o->from + o->n++] = (struct lane_at){i, j};
        }
        enum err e = list_build(r, a, &r->lists[i]);
        if (e)
            return e;
    }
    return ERR_NONE;
}
