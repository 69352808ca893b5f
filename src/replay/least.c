#include "replay/least.h"

#include "portfolio/commitment.h"

// --- commitments ------------------------------------------------------------------------------

static double slots_of_contract(const struct portfolio *p, int32_t contract)
{
    double slots = 0;
    for (int32_t i = 0; i < p->n_pools; i++) {
        struct service s;
        if (p->pools[i].n_serves == 0 || commitment_of(p, &p->pools[i]) != contract)
            continue;
        service_of(&s, p, &p->pools[i], p->pools[i].serves[0].model);
        slots += commitment_slots(&s);
    }
    return slots;
}

double least_units_per_us(const struct portfolio *p, const struct pool *pool, int32_t contract,
                          const struct service *s)
{
    const struct contract *c = &p->contracts[contract];
    if (c->commitment.unit == COMMIT_USD || c->commitment.unit == COMMIT_TOKENS)
        return 0;
    double all_slots = commitment_is_spread(c, s) ? slots_of_contract(p, contract) : 0;
    return commitment_units_per_us(c, pool, s, all_slots);
}

// --- units ------------------------------------------------------------------------------------

static bool is_bought_for(uint32_t purpose)
{
    return purpose == 0 || (purpose & PURPOSE_INFERENCE);
}

// What an edition may have changed.
static void price(struct least_unit *u, const struct portfolio *p, const struct serving *s)
{
    const struct pool *pl = &p->pools[u->pool];
    double slot_w = (u->service.busy_w - u->service.idle_w) * u->service.pue / u->service.slots;
    u->serving = s;
    if (pl->site >= 0) {
        const struct site *site = &p->sites[pl->site];
        u->power_nusd_per_us = slot_w / 1e6 * site->energy_nusd_per_joule;
        u->carbon_nusd_per_us =
            slot_w / 1e6 * site->carbon_g_per_joule * p->serve.carbon_nusd_per_g;
    }
    if (u->contract < 0)
        return;
    const struct commitment *m = &p->contracts[u->contract].commitment;
    u->beyond_nusd = m->unit == COMMIT_USD ? 1e9 : m->beyond_nusd_per_unit;
}

static void fill(struct least_unit *u, const struct portfolio *p, int32_t pool,
                 const struct serving *s)
{
    const struct pool *pl = &p->pools[pool];
    *u = (struct least_unit){.pool = pool, .model = s->model, .speed = 1};
    u->may = pl->enabled && !pl->shadow.on && is_bought_for(pl->purpose) &&
             (pl->contract < 0 || is_bought_for(p->contracts[pl->contract].purpose)) &&
             (serving_surfaces(p, pl, s) & SURFACE_CHAT);
    u->context_tok = serving_context(p, s);
    service_of(&u->service, p, pl, s->model);
    struct prefix_cache cache = prefix_cache_of(pl, s, &u->service);
    u->keeps = cache.said && cache.tok != 0;
    u->contract = commitment_of(p, pl);
    if (u->contract >= 0) {
        u->unit = p->contracts[u->contract].commitment.unit;
        u->units_per_us = least_units_per_us(p, pl, u->contract, &u->service);
    }
    price(u, p, s);
}

static bool make_units(struct least *out, struct arena *a)
{
    const struct portfolio *p = out->p;
    out->units = arena_new(a, struct least_unit, out->n_units + 1);
    out->first = arena_new(a, int32_t, p->n_pools + 1);
    out->trip_us = arena_new(a, int64_t, (size_t)(p->n_tenants + 1) * (size_t)p->n_pools + 1);
    if (!out->units || !out->first || !out->trip_us)
        return false;
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_pools; i++) {
        out->first[i] = n;
        for (int32_t k = 0; k < p->pools[i].n_serves; k++)
            fill(&out->units[n++], p, i, &p->pools[i].serves[k]);
    }
    out->first[p->n_pools] = n;
    for (int32_t t = 0; t <= p->n_tenants; t++) {
        bool own = t < p->n_tenants && p->tenants[t].region.n;
        struct str region = own ? p->tenants[t].region : p->serve.region;
        for (int32_t i = 0; i < p->n_pools; i++)
            out->trip_us[(size_t)t * (size_t)p->n_pools + (size_t)i] =
                pool_round_trip_us(p, &p->pools[i], region);
    }
    return true;
}

static void speed_up(struct least *l, const struct events *events)
{
    for (int32_t i = 0; i < events->n; i++) {
        const struct event *ev = &events->all[i];
        for (int32_t k = l->first[ev->pool]; k < l->first[ev->pool + 1]; k++)
            if (ev->kind == EVENT_SLOW && ev->value < l->units[k].speed)
                l->units[k].speed = ev->value;
    }
}

// As in the first edition, but for what things cost.
static bool make_again(struct least *out, struct arena *a, const struct least *first)
{
    const struct portfolio *p = out->p;
    out->first = first->first;
    out->trip_us = first->trip_us;
    out->units = arena_new(a, struct least_unit, out->n_units + 1);
    if (!out->units)
        return false;
    memcpy(out->units, first->units, (size_t)out->n_units * sizeof *out->units);
    for (int32_t i = 0; i < out->n_units; i++) {
        int32_t pool = out->units[i].pool;
        price(&out->units[i], p, &p->pools[pool].serves[i - out->first[pool]]);
    }
    return true;
}

enum err least_new(const struct least **out, struct arena *a, const struct editions *editions,
                   const struct events *events)
{
    struct least *all = arena_new(a, struct least, editions->n);
    const struct portfolio *p = editions->all[0].p;
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_pools; i++)
        n += p->pools[i].n_serves;
    for (int32_t i = 0; all && i < editions->n; i++) {
        all[i] = (struct least){.p = editions->all[i].p, .n_units = n};
        if (i == 0 ? !make_units(&all[0], a) : !make_again(&all[i], a, &all[0]))
            return ERR_LIMIT;
        if (i == 0)
            speed_up(&all[0], events);
    }
    *out = all;
    return all ? ERR_NONE : ERR_LIMIT;
}

// --- a request --------------------------------------------------------------------------------

static bool stands_in(const struct portfolio *p, int32_t model, int32_t asked)
{
    for (int32_t i = 0; i < p->n_groups; i++) {
        bool has_model = false, has_asked = false;
        for (int32_t k = 0; k < p->groups[i].n_models; k++) {
            has_model = has_model || p->groups[i].models[k] == model;
            has_asked = has_asked || p->groups[i].models[k] == asked;
        }
        if (has_model && has_asked)
            return true;
    }
    return false;
}

static bool tenant_may(const struct portfolio *p, const struct tenant *t, const struct pool *pool,
                       int32_t model)
{
    bool named = t->n_models < 0, there = t->n_regions < 0;
    for (int32_t i = 0; i < t->n_models; i++)
        named = named || t->models[i] == model;
    struct str region = pool->site >= 0 ? p->sites[pool->site].region : (struct str){0};
    for (int32_t i = 0; i < t->n_regions; i++)
        there = there || (region.n && str_eq(t->regions[i], region));
    return named && there;
}

bool least_may(const struct least *l, const struct least_unit *u, const struct arrival *r)
{
    if (!u->may || (u->context_tok && r->prompt_tok > u->context_tok))
        return false;
    if (u->model != r->model && !stands_in(l->p, u->model, r->model))
        return false;
    return r->tenant < 0 ||
           tenant_may(l->p, &l->p->tenants[r->tenant], &l->p->pools[u->pool], u->model);
}

struct steps {  // of a request that is alone with its replica
    double all_us, first_us;
    double each_us;  // from the first token to the last, of one
};

// Without a term for the context each step is a whole number of microseconds; with it they are not,
// and where the first begins and the last ends is rounded.
static struct steps steps_of(const struct least_unit *u, const struct arrival *r)
{
    const struct service *s = &u->service;
    double alone_us = service_step_us(s, 1, 0) * u->speed, n = r->output_tok;
    if (!(s->step_us_per_ctx > 0)) {
        double whole = (double)(int64_t)(alone_us + 0.5);
        if (whole < 1)
            whole = 1;
        return (struct steps){n * whole, whole, whole};
    }
    // Context is shared out over the replicas that have work, so at least this much is its own.
    double ctx_us = s->step_us_per_ctx / s->replicas * u->speed;
    double all_us = n * alone_us + ctx_us * (n * r->prompt_tok + n * (n - 1) / 2) - n / 512 - 1;
    struct steps out = {all_us, alone_us + ctx_us * r->prompt_tok - 2, n > 0 ? all_us / n - 2 : 0};
    out.all_us = out.all_us > 0 ? out.all_us : 0;
    out.first_us = out.first_us > 0 ? out.first_us : 0;
    out.each_us = out.each_us > 0 ? out.each_us : 0;
    return out;
}

static int32_t cached_most(const struct least_unit *u, const struct arrival *r)
{
    if (!u->keeps || r->prompt_tok < 1)
        return 0;
    return (int32_t)min_i64((int64_t)r->n_blocks * TRACE_BLOCK_TOK, (int64_t)r->prompt_tok - 1);
}

static double units_of(const struct least_unit *u, const struct arrival *r,
                       const struct least_cost *c)
{
    if (u->contract < 0)
        return 0;
    if (u->unit == COMMIT_USD)
        return (double)c->list_nusd / 1e9;
    if (u->unit == COMMIT_TOKENS)
        return (double)r->prompt_tok + r->output_tok;
    return u->units_per_us * (double)c->hold_us;
}

void least_of(const struct least *l, const struct least_unit *u, const struct arrival *r,
              struct least_cost *out)
{
    const struct portfolio *p = l->p;
    int32_t cached = cached_most(u, r);
    double fresh = r->prompt_tok - cached;
    double prefill_us = service_prefill_us(&u->service, fresh, 0) * u->speed;
    out->prefill_us = (int64_t)(prefill_us + 0.5);
    out->beside_us = (int64_t)(service_beside_us(&u->service, fresh, 0) * u->speed + 0.5);
    struct steps steps = steps_of(u, r);
    out->hold_us = out->prefill_us + (int64_t)steps.all_us;
    int32_t row = r->tenant >= 0 ? r->tenant : p->n_tenants;
    out->ttft_us = out->prefill_us + l->trip_us[(size_t)row * (size_t)p->n_pools + (size_t)u->pool];
    if (r->output_tok > 0)
        out->ttft_us += (int64_t)steps.first_us;
    const struct token_price *price = &u->serving->price;
    out->list_nusd = price_of(price, r->prompt_tok, 0, r->output_tok);
    if (cached)
        out->list_nusd =
            min_i64(out->list_nusd, price_of(price, r->prompt_tok, cached, r->output_tok));
    out->power_nusd = (u->power_nusd_per_us + u->carbon_nusd_per_us) * (double)out->hold_us;
    out->waiting_nusd = 0;
    if (r->class >= 0) {
        const struct class *k = &p->classes[r->class];
        int64_t each_us = r->output_tok > 1 ? (int64_t)steps.each_us : 0;
        out->waiting_nusd = value_curve_cost(&k->ttft_value, out->ttft_us) +
                            r->output_tok * value_curve_cost(&k->per_token_value, each_us);
    }
    out->units = units_of(u, r, out);
}

static double empty_nusd(const struct least *l, const struct least_unit *u, const struct arrival *r)
{
    struct least_cost c;
    least_of(l, u, r, &c);
    return (double)c.list_nusd + c.power_nusd + c.waiting_nusd;
}

double least_stand_in(const struct least *l, const struct least_unit *u, const struct arrival *r)
{
    double least = -1;
    for (int32_t i = 0; i < l->n_units && u->model != r->model; i++) {
        if (l->units[i].model != r->model || !least_may(l, &l->units[i], r))
            continue;
        double nusd = empty_nusd(l, &l->units[i], r);
        least = least < 0 || nusd < least ? nusd : least;
    }
    double more = least > 0 ? least - empty_nusd(l, u, r) : 0;
    return more > 0 ? more : 0;
}

double least_unserved(const struct least *l, const struct arrival *r, bool *imputed)
{
    *imputed = r->class < 0 || l->p->classes[r->class].unserved_nusd < 0;
    if (!*imputed)
        return (double)l->p->classes[r->class].unserved_nusd;
    double most = 0;
    for (int32_t i = 0; i < l->n_units; i++) {
        if (!least_may(l, &l->units[i], r))
            continue;
        double nusd = empty_nusd(l, &l->units[i], r);
        most = nusd > most ? nusd : most;
    }
    return most;
}
