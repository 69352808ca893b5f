#include "portfolio/commitment.h"
#include "route/route_internal.h"

// A router's places in `live`: held from route_bind() to route_leave(), so that nobody else gets
// them. What is known already is held before anything is added, since adding may forget what nobody
// holds.

// Room for all places, none of them known: -1.
static enum err take_places(struct route *r, struct arena *a)
{
    const struct portfolio *p = r->p;
    r->pool_offers = arena_new(a, int32_t, p->n_pools + 1);
    r->commits = arena_new(a, struct commit, p->n_contracts);
    for (int32_t i = 0; r->pool_offers && i < p->n_pools; i++) {
        r->pool_offers[i] = r->n_offers;
        r->n_offers += p->pools[i].n_serves;
    }
    r->offers = arena_new(a, struct offer, r->n_offers);
    if (!r->pool_offers || !r->commits || !r->offers)
        return ERR_LIMIT;
    r->pool_offers[p->n_pools] = r->n_offers;
    for (int32_t i = 0; i < r->n_offers; i++)
        r->offers[i].place = r->offers[i].pair = -1;
    for (int32_t i = 0; i < p->n_contracts; i++)
        r->commits[i].place = -1;
    return ERR_NONE;
}

static struct str model_of(const struct route *r, int32_t pool, int32_t offer)
{
    const struct pool *pl = &r->p->pools[pool];
    return r->p->models[pl->serves[offer - r->pool_offers[pool]].model].name;
}

// All offers of a pool have its place; the pool is held once.
static void hold_pool(struct route *r, int32_t pool, int32_t place)
{
    r->live->pools[place].held++;
    for (int32_t i = r->pool_offers[pool]; i < r->pool_offers[pool + 1]; i++)
        r->offers[i].place = place;
}

static void hold_pair(struct route *r, int32_t offer, int32_t pair)
{
    r->live->pairs[pair].held++;
    r->offers[offer].pair = pair;
}

static void hold_known(struct route *r)
{
    const struct portfolio *p = r->p;
    for (int32_t i = 0; i < p->n_pools; i++) {
        int32_t first = r->pool_offers[i], end = r->pool_offers[i + 1];
        int32_t place = first < end ? live_pool_find(r->live, p->pools[i].name) : -1;
        if (place < 0)
            continue;
        hold_pool(r, i, place);
        for (int32_t k = first; k < end; k++) {
            int32_t pair = live_pair_find(r->live, place, model_of(r, i, k));
            if (pair >= 0)
                hold_pair(r, k, pair);
        }
    }
    for (int32_t i = 0; i < p->n_contracts; i++) {
        struct commit *m = &r->commits[i];
        if (contract_commits(&p->contracts[i]))
            m->place = live_contract_find(r->live, p->contracts[i].name);
        if (m->place >= 0)
            r->live->contracts[m->place].held++;
    }
}

static enum err add_pool(struct route *r, int32_t pool, struct diag *diag)
{
    struct live *live = r->live;
    int32_t first = r->pool_offers[pool];
    if (first < r->pool_offers[pool + 1] && r->offers[first].place < 0) {
        int32_t place = live_pool_add(live, r->p->pools[pool].name);
        if (place < 0)
            return diag_set(diag, ERR_LIMIT, "more than %d pools, over all portfolios in use",
                            live->max_pools);
        hold_pool(r, pool, place);
    }
    for (int32_t i = first; i < r->pool_offers[pool + 1]; i++) {
        if (r->offers[i].pair >= 0)
            continue;
        int32_t pair = live_pair_add(live, r->offers[i].place, model_of(r, pool, i));
        if (pair < 0)
            return diag_set(diag, ERR_LIMIT,
                            "more than %d models of pools, over all portfolios in use",
                            live->max_pairs);
        hold_pair(r, i, pair);
    }
    return ERR_NONE;
}

static enum err add_contract(struct route *r, int32_t contract, struct diag *diag)
{
    const struct contract *c = &r->p->contracts[contract];
    struct commit *m = &r->commits[contract];
    if (m->place >= 0 || !contract_commits(c))
        return ERR_NONE;
    m->place = live_contract_add(r->live, c->name);
    if (m->place < 0)
        return diag_set(diag, ERR_LIMIT, "more than %d contracts, over all portfolios in use",
                        r->live->max_pools);
    r->live->contracts[m->place].held++;
    return ERR_NONE;
}

enum err route_bind(struct route **out, struct arena *a, const struct portfolio *p,
                    struct live *live, const char *policy, struct diag *diag)
{
    const struct policy *po = policy_find(policy);
    if (!po)
        return diag_set(diag, ERR_INVALID, "no policy \"%s\": expected one of %s", policy,
                        policy_names());
    struct route *r = arena_new(a, struct route, 1);
    if (!r)
        return diag_set(diag, ERR_LIMIT, "the router does not fit its memory");
    r->p = p;
    r->live = live;
    r->policy = po;
    r->rules = (struct breaker_rules){p->serve.breaker_failures > 0 ? p->serve.breaker_failures : 1,
                                      p->serve.breaker_open_us, p->serve.breaker_open_us_max};
    if (take_places(r, a))
        return diag_set(diag, ERR_LIMIT, "the router does not fit its memory");
    hold_known(r);
    enum err e = ERR_NONE;
    for (int32_t i = 0; i < p->n_pools && !e; i++)
        e = add_pool(r, i, diag);
    for (int32_t i = 0; i < p->n_contracts && !e; i++)
        e = add_contract(r, i, diag);
    if (e)
        route_leave(r);
    else
        *out = r;
    return e;
}

void route_lead(struct route *r)
{
    struct live *live = r->live;
    r->lead = ++live->lead;
    live->levers++;  // so that others work their limits out again
    live->version++;
    if (r->n_offers > 0)
        live_changed(live, r->offers[0].place, LIVE_ALL);
    lanes_join(r);
}

void route_join(struct route *r)
{
    commit_join(r);
    route_lead(r);
    r->memo->seen = r->live->changes;
    r->memo->levers = r->live->levers;
    route_see_shares(r);
}

void route_leave(struct route *r)
{
    struct live *live = r->live;
    for (int32_t i = 0; i < r->p->n_pools; i++) {
        int32_t first = r->pool_offers[i], end = r->pool_offers[i + 1];
        if (first < end && r->offers[first].place >= 0)
            live->pools[r->offers[first].place].held--;
        for (int32_t k = first; k < end; k++)
            if (r->offers[k].pair >= 0)
                live->pairs[r->offers[k].pair].held--;
    }
    for (int32_t i = 0; i < r->p->n_contracts; i++)
        if (r->commits[i].place >= 0)
            live->contracts[r->commits[i].place].held--;
}

enum err route_new(struct route **out, struct arena *a, const struct portfolio *p,
                   struct live *live, const char *policy, struct diag *diag)
{
    struct route *r;
    enum err e = route_bind(&r, a, p, live, policy, diag);
    if (e)
        return e;
    e = route_build(r, a, diag);
    if (e) {
        route_leave(r);
        return e;
    }
    route_join(r);
    *out = r;
    return ERR_NONE;
}
