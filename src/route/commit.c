#include "portfolio/commitment.h"
#include "route/resolve.h"
#include "route/route_internal.h"

// So much too much or too little, in time, moves a solved price all the way.
static const double AHEAD_US = 30e6;

// A commitment is counted in its own unit, from what each request was seen to use: USD by the list
// price of its tokens, tokens by their number, and what is capacity (accelerator-hours, MW-months,
// PTU) by the time it held a slot, times what a slot uses of it (portfolio/commitment.h).

void commit_build(struct route *r)
{
    const struct portfolio *p = r->p;
    for (int32_t i = 0; i < p->n_contracts; i++) {
        struct commit *m = &r->commits[i];
        m->never = p->contracts[i].commitment.beyond_never;
        m->terms = pace_terms_of(&p->contracts[i]);
        if (p->prices && p->prices->contracts[i].said) {
            m->terms.plan = &p->prices->contracts[i];
            m->terms.plan_until_us = p->prices->until_us;
        }
    }
}

void commit_join(struct route *r)
{
    for (int32_t i = 0; i < r->p->n_contracts; i++)
        if (r->commits[i].place >= 0)
            r->live->contracts[r->commits[i].place].stop_until_us = 0;
}

// Slots of all pools that share the contract's units.
static double slots_of_contract(const struct route *r, int32_t contract)
{
    double slots = 0;
    for (int32_t i = 0; i < r->p->n_pools; i++) {
        int32_t first = r->pool_offers[i];
        if (first < r->pool_offers[i + 1] && commitment_of(r->p, &r->p->pools[i]) == contract)
            slots += commitment_slots(&r->offers[first].service);
    }
    return slots;
}

void commit_bind(const struct route *r, struct offer *o)
{
    o->commit = commitment_of(r->p, &r->p->pools[o->pool]);
    o->beyond_input_nusd = o->input_nusd;
    o->beyond_cached_nusd = o->cached_nusd;
    o->beyond_output_nusd = o->output_nusd;
    if (o->commit < 0)
        return;
    const struct contract *c = &r->p->contracts[o->commit];
    const struct commitment *m = &c->commitment;
    double beyond = m->beyond_nusd_per_unit;
    if (m->unit == COMMIT_USD) {
        o->use_input = o->input_nusd / 1e9;
        o->use_cached = o->cached_nusd / 1e9;
        o->use_output = o->output_nusd / 1e9;
        return;
    }
    if (m->unit == COMMIT_TOKENS) {
        o->use_input = o->use_cached = o->use_output = 1;
    } else {
        bool spread = commitment_is_spread(c, &o->service);
        double all_slots = spread ? slots_of_contract(r, o->commit) : 0;
        o->use_hold = commitment_units_per_us(c, &r->p->pools[o->pool], &o->service, all_slots);
    }
    if (beyond > 0) {
        o->beyond_input_nusd = beyond * o->use_input;
        o->beyond_cached_nusd = beyond * o->use_cached;
        o->beyond_output_nusd = beyond * o->use_output;
        o->beyond_hold_nusd = beyond * o->use_hold;
    }
}

// As it is at this time, whether anything was used since then or not.
static struct pace pace_at(const struct route *r, const struct commit *m, int64_t step_us)
{
    struct pace pace = r->live->contracts[m->place].pace;
    pace_see(&pace, &m->terms, step_us + r->live->wall_us);
    return pace;
}

// The price of route_set_price(), while it holds: in its period, with something left of it.
static bool is_solved(const struct live_contract *c, const struct pace *pace, int64_t step_us)
{
    return step_us < c->price_until_us && c->price.period_from_us == pace->from_us &&
           pace->used < pace->amount;
}

static double solved_share(const struct live_contract *c, const struct pace *pace, int64_t step_us)
{
    const struct route_price *p = &c->price;
    double ahead = 0;
    if (p->per_us > 0) {
        double meant = c->priced_used + p->per_us * (double)(step_us - c->priced_us);
        ahead = (pace->used - meant) / (p->per_us * AHEAD_US);
        ahead = ahead < -1 ? -1 : ahead > 1 ? 1 : ahead;
    }
    double share = (p->low + p->high) / 2 + (p->high - p->low) / 2 * ahead;
    return (double)(int32_t)(share * PACE_STEPS + 0.5) / PACE_STEPS;
}

static double share_at(const struct route *r, const struct commit *m, int64_t now_us)
{
    const struct live *l = r->live;
    const struct live_contract *c = &l->contracts[m->place];
    int64_t step_us = fade_step_us(now_us);
    if (!l->wall_known)
        return 0;
    struct pace pace = pace_at(r, m, step_us);
    return is_solved(c, &pace, step_us) ? solved_share(c, &pace, step_us)
                                        : pace_share(&pace, &m->terms, step_us + l->wall_us);
}

double commit_share(const struct route *r, const struct offer *o, int64_t now_us)
{
    return share_at(r, &r->commits[o->commit], now_us);
}

enum route_pricing commit_pricing(const struct route *r, const struct offer *o, int64_t now_us,
                                  int64_t *priced_us)
{
    const struct commit *m = &r->commits[o->commit];
    const struct live_contract *c = &r->live->contracts[m->place];
    int64_t step_us = fade_step_us(now_us);
    struct pace pace = pace_at(r, m, step_us);
    *priced_us = 0;
    if (is_solved(c, &pace, step_us)) {
        *priced_us = c->priced_us;
        return ROUTE_PRICED_SOLVED;
    }
    if (pace_is_spent(&pace) || pace.until_us == NEVER)
        return ROUTE_PRICED_SPENT;
    bool planned = m->terms.plan && step_us + r->live->wall_us < m->terms.plan_until_us;
    return planned ? ROUTE_PRICED_PLAN : ROUTE_PRICED_CALENDAR;
}

void route_set_price(struct route *r, int32_t contract, const struct route_price *price,
                     int64_t now_us)
{
    CHECK(contract >= 0 && contract < r->p->n_contracts);
    const struct commit *m = &r->commits[contract];
    if (m->place < 0)
        return;
    struct live_contract *c = &r->live->contracts[m->place];
    c->price = *price;
    c->priced_used = pace_at(r, m, now_us).used;
    c->priced_us = now_us;
    c->price_until_us = now_us + RESOLVE_HOLDS_US;
    live_contract_changed(r->live, m->place);
}

// Nothing more may be used, or may again.
static void see_stop(struct route *r, const struct commit *m, int64_t now_us, int64_t wall_us)
{
    struct live_contract *c = &r->live->contracts[m->place];
    bool stops = m->never && pace_is_spent(&c->pace), stopped = c->stop_until_us > now_us;
    if (stops == stopped)
        return;
    bool ends = c->pace.until_us < NEVER && c->pace.until_us > wall_us;
    c->stop_until_us = !stops ? 0 : ends ? now_us + (c->pace.until_us - wall_us) : NEVER;
    r->live->version += !stops;
    live_contract_changed(r->live, m->place);
}

// Requests say how far the clocks are apart. A wall clock that is set changes all shares.
static void see_wall(struct route *r, int64_t wall_us)
{
    struct live *l = r->live;
    int64_t off_us = wall_us - l->wall_us;
    if (l->wall_known && off_us < S(1) && off_us > -S(1))
        return;
    l->wall_known = true;
    l->wall_us = wall_us;
    for (int32_t i = 0; i < l->n_contracts; i++)
        live_contract_changed(l, i);
}

double commit_used(struct route *r, const struct offer *o, double units, int64_t now_us,
                   int64_t wall_us)
{
    const struct commit *m = &r->commits[o->commit];
    struct live_contract *c = &r->live->contracts[m->place];
    see_wall(r, wall_us - now_us);
    double before = share_at(r, m, now_us);
    pace_see(&c->pace, &m->terms, wall_us);  // a new period may have begun
    double left = c->pace.amount > c->pace.used ? c->pace.amount - c->pace.used : 0;
    pace_use(&c->pace, units);
    if (share_at(r, m, now_us) != before)
        live_contract_changed(r->live, m->place);
    see_stop(r, m, now_us, wall_us);
    return units > left ? units - left : 0;
}

// One that failed or was broken off counts as far as its tokens are known.
static double used_units(const struct route *r, const struct offer *o,
                         const struct route_decision *d, const struct route_seen *seen)
{
    double ttft_us = (double)(seen->ttft_us > 0 ? seen->ttft_us : d->terms.ttft_us);
    double per_us = (double)(seen->per_token_us > 0 ? seen->per_token_us : d->terms.per_token_us);
    if (seen->list_nusd > 0 && r->p->contracts[o->commit].commitment.unit == COMMIT_USD)
        return (double)seen->list_nusd / 1e9;
    double units = seen->prompt_tok * o->use_input + seen->output_tok * o->use_output;
    units += seen->cached_tok * (o->use_cached - o->use_input);
    if (o->use_hold > 0 && seen->hold_us > 0)
        units += (double)seen->hold_us * o->use_hold;
    else if (o->use_hold > 0 && (seen->output_tok > 0 || seen->ttft_us > 0))
        units += (ttft_us + seen->output_tok * per_us) * o->use_hold;
    return units;
}

struct route_drawn route_draw(struct route *r, const struct route_ask *ask,
                              const struct route_decision *d, const struct route_seen *seen,
                              int64_t now_us)
{
    const struct offer *o = route_offer(r, d);
    struct route_drawn out = {.contract = o->commit, .marginal_nusd = seen->list_nusd};
    if (o->commit < 0)
        return out;
    const struct commitment *m = &r->p->contracts[o->commit].commitment;
    int64_t wall_us = ask->wall_us + (now_us - ask->arrived_us);
    out.units = used_units(r, o, d, seen);
    out.beyond = commit_used(r, o, out.units, now_us, wall_us);
    bool by_list = m->unit == COMMIT_USD || !(m->beyond_nusd_per_unit > 0);
    double share = out.units > 0 ? out.beyond / out.units : 0;
    double nusd = by_list ? share * (double)seen->list_nusd : out.beyond * m->beyond_nusd_per_unit;
    out.marginal_nusd = (int64_t)(nusd + 0.5);
    return out;
}

void commit_set(struct route *r, int32_t contract, double used, int64_t now_us, int64_t wall_us)
{
    const struct commit *m = &r->commits[contract];
    if (m->place < 0)
        return;
    see_wall(r, wall_us - now_us);
    pace_see(&r->live->contracts[m->place].pace, &m->terms, wall_us);
    r->live->contracts[m->place].pace.used = used > 0 ? used : 0;
    live_contract_changed(r->live, m->place);
    see_stop(r, m, now_us, wall_us);
}

int64_t commit_stop_us(const struct route *r, const struct offer *o)
{
    return o->commit < 0 ? 0 : r->live->contracts[r->commits[o->commit].place].stop_until_us;
}
