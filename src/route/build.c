#include "route/route_internal.h"

// From a portfolio to arrays that a decision can run through: no text is looked at after this.

static const double WEIGHT_SPAN = 15;   // the class whose waiting costs most weighs 16
static const int64_t WORTH_US = S(10);  // over the first seconds, where it is decided

static bool is_bought_for(uint32_t purpose)
{
    return purpose == 0 || (purpose & PURPOSE_INFERENCE);
}

static enum route_bar fixed_bar(const struct portfolio *p, const struct pool *pool)
{
    bool may = pool->enabled && is_bought_for(pool->purpose);
    if (pool->contract >= 0)
        may = may && is_bought_for(p->contracts[pool->contract].purpose);
    return may ? ROUTE_MAY : ROUTE_BAR_INACTIVE;
}

static void offer_fill(struct offer *o, const struct portfolio *p, int32_t pool,
                       const struct serving *s)
{
    const struct pool *pl = &p->pools[pool];
    o->pool = pool;
    o->model = s->model;
    o->context_tok = serving_context(p, s);
    o->output_tok_max = s->output_tok_max;
    o->surfaces = serving_surfaces(p, pl, s);
    o->fixed = fixed_bar(p, pl);
    if (s->price.said) {
        o->input_nusd = (double)s->price.input / 1e6;
        o->output_nusd = (double)s->price.output / 1e6;
        bool cached = s->price.cached_input >= 0;
        o->cached_nusd = cached ? (double)s->price.cached_input / 1e6 : o->input_nusd;
    }
    if (pl->site >= 0) {
        const struct site *site = &p->sites[pl->site];
        double carbon = site->carbon_g_per_joule * p->serve.carbon_nusd_per_g;
        o->energy_nusd_per_joule = site->energy_nusd_per_joule + carbon;
        if (o->energy_nusd_per_joule > 0)
            o->carbon_share = carbon / o->energy_nusd_per_joule;
    }
    service_of(&o->service, p, pl, s->model);
    o->each_replica = 1.0 / (o->service.replicas > 1 ? o->service.replicas : 1);
    warm_bind(p, s, o);
}

static void build_offers(struct route *r)
{
    const struct portfolio *p = r->p;
    for (int32_t i = 0; i < p->n_pools; i++) {
        for (int32_t j = 0; j < p->pools[i].n_serves; j++)
            offer_fill(&r->offers[r->pool_offers[i] + j], p, i, &p->pools[i].serves[j]);
    }
    for (int32_t i = 0; i < r->n_offers; i++)
        commit_bind(r, &r->offers[i]);
}

static bool answers(const struct offer *o, int kind)
{
    return kind == LIST_ANY || (o->surfaces & (1u << kind));
}

// The entries of one list after the other, of one (model, surface).
struct lister {
    struct route *r;
    struct entry *entries;
    int32_t n;
    int32_t *by_model, *from;  // offers sorted by model: by_model[from[m], from[m + 1])
    int32_t *stamp, stamps;    // [n_models]: already in this list
};

static void list_model(struct lister *b, int32_t model, int32_t rank, int kind)
{
    if (b->stamp[model] == b->stamps)
        return;
    b->stamp[model] = b->stamps;
    for (int32_t i = b->from[model]; i < b->from[model + 1]; i++) {
        const struct offer *o = &b->r->offers[b->by_model[i]];
        if (answers(o, kind) && !b->r->p->pools[o->pool].shadow.on)
            b->entries[b->n++] = (struct entry){b->by_model[i], rank};
    }
}

static void list_stand_ins(struct lister *b, int32_t model, int kind)
{
    const struct portfolio *p = b->r->p;
    for (int32_t g = 0; g < p->n_groups; g++) {
        const struct group *gr = &p->groups[g];
        bool in = false;
        for (int32_t i = 0; i < gr->n_models && !in; i++)
            in = gr->models[i] == model;
        for (int32_t i = 0; i < gr->n_models && in; i++)
            list_model(b, gr->models[i], i + 1, kind);
    }
}

static struct list list_one(struct lister *b, struct entry *entries, int32_t model, int kind)
{
    struct list l = {.entries = entries};
    b->entries = entries;
    b->n = 0;
    b->stamps++;
    list_model(b, model, 0, kind);
    l.own = b->n;
    list_stand_ins(b, model, kind);
    l.all = b->n;
    return l;
}

static bool list_eq(const struct list *x, const struct list *y)
{
    return x->own == y->own && x->all == y->all &&
           memcmp(x->entries, y->entries, (size_t)x->all * sizeof *x->entries) == 0;
}

// Most pools answer all surfaces, so most surfaces of a model have the same list.
static enum err list_model_all(struct lister *b, struct arena *a, struct entry *work, int32_t model)
{
    struct route *r = b->r;
    int32_t first = r->n_lists;
    for (int kind = 0; kind < LIST_KINDS; kind++) {
        struct list l = list_one(b, work, model, kind);
        int32_t same = first;
        while (same < r->n_lists && !list_eq(&r->lists[same], &l))
            same++;
        r->list_of[model * LIST_KINDS + kind] = same;
        if (same < r->n_lists)
            continue;
        struct entry *own = arena_new(a, struct entry, l.all);
        if (!own)
            return ERR_LIMIT;
        if (l.all > 0)
            memcpy(own, work, (size_t)l.all * sizeof *own);
        l.entries = own;
        r->lists[r->n_lists++] = l;
        r->longest = l.all > r->longest ? l.all : r->longest;
    }
    return ERR_NONE;
}

// A shadow is nobody's candidate: each of its offers has a list of its own.
static enum err list_shadows(struct route *r, struct arena *a)
{
    for (int32_t i = 0; i < r->n_offers; i++) {
        r->offers[i].shadow_list = -1;
        if (!r->p->pools[r->offers[i].pool].shadow.on)
            continue;
        struct entry *entry = arena_new(a, struct entry, 1);
        if (!entry)
            return ERR_LIMIT;
        entry->offer = i;
        r->offers[i].shadow_list = r->n_lists;
        r->lists[r->n_lists++] = (struct list){.own = 1, .all = 1, .entries = entry};
        r->longest = r->longest > 1 ? r->longest : 1;
    }
    return ERR_NONE;
}

static enum err build_lists(struct route *r, struct arena *a)
{
    int32_t n_models = r->p->n_models;
    struct lister b = {.r = r};
    r->lists = arena_new(a, struct list, n_models * LIST_KINDS + r->n_offers);
    r->list_of = arena_new(a, int32_t, n_models * LIST_KINDS);
    b.by_model = arena_new(a, int32_t, r->n_offers);
    b.from = arena_new(a, int32_t, n_models + 2);
    b.stamp = arena_new(a, int32_t, n_models);
    struct entry *work = arena_new(a, struct entry, r->n_offers);
    if (!r->lists || !r->list_of || !b.by_model || !b.from || !b.stamp || !work)
        return ERR_LIMIT;
    // A counting sort, with `from` one ahead while it fills.
    for (int32_t i = 0; i < r->n_offers; i++)
        b.from[r->offers[i].model + 2]++;
    for (int32_t m = 1; m <= n_models; m++)
        b.from[m + 1] += b.from[m];
    for (int32_t i = 0; i < r->n_offers; i++)
        b.by_model[b.from[r->offers[i].model + 1]++] = i;
    for (int32_t m = 0; m < n_models; m++) {
        enum err e = list_model_all(&b, a, work, m);
        if (e)
            return e;
    }
    return list_shadows(r, a);
}

static int32_t share_of(int32_t n, double derate)
{
    double v = derate > 0 && derate < 1 ? n * derate : n;
    return v < 1 ? 1 : (int32_t)v;
}

static struct route_limits limits_of(const struct pool *pool, double derate, int32_t slots)
{
    const struct pool_limits *lim = &pool->limits;
    struct route_limits out = {
        .in_flight = INT32_MAX, .tokens_most = INT32_MAX, .waiting = lim->waiting};
    if (lim->in_flight > 0)
        out.in_flight = share_of(lim->in_flight, derate);
    else if (derate < 1 && slots > 0)
        out.in_flight = share_of(slots, derate);
    if (lim->requests_per_s > 0)
        out.request_us = 1e6 / (lim->requests_per_s * derate);
    if (lim->tokens_per_s > 0) {
        double most = lim->tokens_per_s * derate * 60;
        out.token_us = 1e6 / (lim->tokens_per_s * derate);
        out.tokens_most = most < 1 ? 1 : most < INT32_MAX ? (int32_t)most : INT32_MAX;
    }
    return out;
}

// They are one pool's, over however many portfolios: two that let in by limits of their own would
// have one's requests wait for ever behind the other's, or the lower limit overrun.
static void share_limits(const struct route *r, struct live_pool *lp, struct route_limits *l)
{
    struct live_limits *shared = &lp->limits;
    if (r->lead == r->live->lead) {
        *shared = (struct live_limits){.lead = r->lead,
                                       .in_flight = l->in_flight,
                                       .tokens_most = l->tokens_most,
                                       .request_us = l->request_us,
                                       .token_us = l->token_us};
    } else if (shared->lead == r->live->lead) {
        l->in_flight = shared->in_flight;
        l->tokens_most = shared->tokens_most;
        l->request_us = shared->request_us;
        l->token_us = shared->token_us;
    }
}

// A pool's derate is the file's; what route_set_derate() said comes on top.
void route_limits_of(const struct route *r, int32_t pool)
{
    const struct pool *pl = &r->p->pools[pool];
    double derate = pl->derate > 0 && pl->derate < 1 ? pl->derate : 1, said = 0;
    int32_t slots = 0, first = r->pool_offers[pool], region = r->limits[pool].region;
    for (int32_t i = first; i < r->pool_offers[pool + 1]; i++) {
        struct offer *o = &r->offers[i];
        if (i == first)
            said = r->live->pools[o->place].derate;
        if (i == first && said > 0 && said < 1)
            derate *= said;
        o->derate = derate;
        // Slots that are only a guess, or the pool's own limit, are no capacity to have a share of.
        if (o->service.basis != BASIS_NONE && o->service.slots > slots)
            slots = o->service.slots;
    }
    r->limits[pool] = limits_of(pl, derate, slots);
    r->limits[pool].region = region;
    r->limits[pool].derate = said;
    if (first < r->pool_offers[pool + 1])
        share_limits(r, &r->live->pools[r->offers[first].place], &r->limits[pool]);
}

// The place of `text` among the distinct ones, which it joins when new.
static int32_t distinct(struct str *all, int32_t *n, struct str text)
{
    for (int32_t i = 0; i < *n; i++) {
        if (str_eq(all[i], text))
            return i;
    }
    all[*n] = text;
    return (*n)++;
}

static bool tenant_may_be_in(const struct tenant *t, struct str region)
{
    if (t->n_regions < 0)
        return true;
    for (int32_t i = 0; i < t->n_regions; i++) {
        if (region.n && str_eq(t->regions[i], region))
            return true;
    }
    return false;
}

static enum err build_regions(struct route *r, struct arena *a)
{
    const struct portfolio *p = r->p;
    struct str *regions = arena_new(a, struct str, p->n_sites + 1);
    r->limits = arena_new(a, struct route_limits, p->n_pools);
    if (!regions || !r->limits)
        return ERR_LIMIT;
    r->n_regions = 1;  // the first is "not said"
    for (int32_t i = 0; i < p->n_pools; i++) {
        int32_t site = p->pools[i].site;
        if (site >= 0)
            r->limits[i].region = distinct(regions, &r->n_regions, p->sites[site].region);
    }
    r->tenant_region = arena_new(a, bool, (size_t)p->n_tenants *(size_t)r->n_regions);
    if (!r->tenant_region)
        return ERR_LIMIT;
    for (int32_t t = 0; t < p->n_tenants; t++) {
        for (int32_t i = 0; i < r->n_regions; i++)
            r->tenant_region[t * r->n_regions + i] = tenant_may_be_in(&p->tenants[t], regions[i]);
    }
    return ERR_NONE;
}

static enum err build_tenants(struct route *r, struct arena *a)
{
    const struct portfolio *p = r->p;
    r->model_words = p->n_models / 64 + 1;
    r->tenant_models = arena_new(a, uint64_t, (size_t)p->n_tenants * (size_t)r->model_words);
    r->tenant_users = arena_new(a, int32_t, p->n_tenants + 1);
    r->tenant_rights = arena_new(a, int32_t, p->n_tenants);
    struct str *users = arena_new(a, struct str, p->n_tenants + 1);
    if (!r->tenant_models || !r->tenant_users || !r->tenant_rights || !users)
        return ERR_LIMIT;
    r->tenant_users[p->n_tenants] = distinct(users, &r->n_user_regions, p->serve.region);
    for (int32_t t = 0; t < p->n_tenants; t++) {
        const struct tenant *te = &p->tenants[t];
        uint64_t *bits = &r->tenant_models[t * r->model_words];
        for (int32_t i = 0; i < te->n_models; i++)
            bits[te->models[i] / 64] |= UINT64_C(1) << ((uint32_t)te->models[i] % 64);
        if (te->n_models < 0)
            memset(bits, 0xff, (size_t)r->model_words * sizeof *bits);
        struct str region = te->region.n ? te->region : p->serve.region;
        r->tenant_users[t] = distinct(users, &r->n_user_regions, region);
    }
    r->round_trip_us = arena_new(a, double, (size_t)r->n_user_regions *(size_t)p->n_pools);
    if (!r->round_trip_us)
        return ERR_LIMIT;
    for (int32_t u = 0; u < r->n_user_regions; u++) {
        for (int32_t i = 0; i < p->n_pools; i++)
            r->round_trip_us[u * p->n_pools + i] =
                (double)pool_round_trip_us(p, &p->pools[i], users[u]);
    }
    return ERR_NONE;
}

static bool same_rights(const struct route *r, int32_t x, int32_t y)
{
    size_t regions = (size_t)r->n_regions, words = (size_t)r->model_words;
    return memcmp(&r->tenant_region[(size_t)x * regions], &r->tenant_region[(size_t)y * regions],
                  regions * sizeof *r->tenant_region) == 0 &&
           memcmp(&r->tenant_models[(size_t)x * words], &r->tenant_models[(size_t)y * words],
                  words * sizeof *r->tenant_models) == 0;
}

static bool has_right(const struct route *r, int32_t tenant, const struct offer *o)
{
    const uint64_t *models = &r->tenant_models[(size_t)tenant * (size_t)r->model_words];
    return (models[o->model / 64] & (UINT64_C(1) << ((uint32_t)o->model % 64))) &&
           r->tenant_region[tenant * r->n_regions + r->limits[o->pool].region];
}

// Tenants that may use the same regions and models share their rights; for each of these, the lanes
// of every list that they open.
static enum err build_rights(struct route *r, struct arena *a)
{
    const struct portfolio *p = r->p;
    int32_t *first = arena_new(a, int32_t, p->n_tenants);  // a tenant with these rights
    if (!first)
        return ERR_LIMIT;
    for (int32_t t = 0; t < p->n_tenants; t++) {
        r->tenant_rights[t] = -1;
        if (p->tenants[t].n_regions < 0 && p->tenants[t].n_models < 0)
            continue;
        int32_t i = 0;
        while (i < r->n_rights && !same_rights(r, first[i], t))
            i++;
        if (i == r->n_rights)
            first[r->n_rights++] = t;
        r->tenant_rights[t] = i;
    }
    for (int32_t i = 0; i < r->n_lists; i++) {
        struct list *l = &r->lists[i];
        int32_t words = words_of(l->all);
        uint64_t *bits = arena_new(a, uint64_t, (size_t)r->n_rights * (size_t)words);
        if (!bits)
            return ERR_LIMIT;
        for (int32_t k = 0; k < r->n_rights; k++) {
            for (int32_t j = 0; j < l->all; j++) {
                if (has_right(r, first[k], &r->offers[l->entries[j].offer]))
                    bits[k * words + j / 64] |= UINT64_C(1) << (j % 64);
            }
        }
        l->allowed = bits;
    }
    return ERR_NONE;
}

static enum err build_worths(struct route *r, struct arena *a)
{
    enum err e = ERR_NONE;
    r->worths = arena_new(a, struct worth, 2 * (r->p->n_classes + 1));
    if (!r->worths)
        return ERR_LIMIT;
    for (int32_t i = 0; i < r->p->n_classes && !e; i++) {
        e = worth_of(&r->worths[2 * i], a, &r->p->classes[i].ttft_value);
        if (!e)
            e = worth_of(&r->worths[2 * i + 1], a, &r->p->classes[i].per_token_value);
    }
    return e;
}

static void weigh_classes(struct route *r)
{
    const struct portfolio *p = r->p;
    double most = 0;
    for (int32_t i = 0; i < p->n_classes; i++) {
        double worth = value_curve_cost(&p->classes[i].ttft_value, WORTH_US);
        r->class_weight[i] = worth;
        most = worth > most ? worth : most;
    }
    r->class_weight[p->n_classes] = 0;
    for (int32_t i = 0; i <= p->n_classes; i++)
        r->class_weight[i] = 1 + (most > 0 ? WEIGHT_SPAN * r->class_weight[i] / most : 0);
}

enum err route_build(struct route *r, struct arena *a, struct diag *diag)
{
    commit_build(r);
    build_offers(r);
    enum err e = build_lists(r, a);
    if (!e)
        e = build_regions(r, a);
    if (!e)
        e = build_tenants(r, a);
    if (!e)
        e = build_rights(r, a);
    if (!e)
        e = build_worths(r, a);
    if (!e)
        e = lanes_build(r, a);
    if (!e)
        e = warm_build(r, a);
    if (e)
        return diag_set(diag, e, "the router does not fit its memory");
    r->claimed = arena_new(a, double, r->p->n_pools);
    r->class_weight = arena_new(a, double, r->p->n_classes + 1);
    if (!r->claimed || !r->class_weight || line_new(&r->line, a, r))
        return diag_set(diag, ERR_LIMIT, "the router does not fit its memory");
    weigh_classes(r);
    return ERR_NONE;
}
