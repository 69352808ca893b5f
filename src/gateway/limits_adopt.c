// Who is counted in a generation, and what the ledger knows of those who were not counted before.

#include "gateway/limits_inside.h"

#include "gateway/ledger.h"
#include "gateway/ledger_spent.h"

#include <stdlib.h>
#include <time.h>

static enum err find_place(struct limits *l, uint64_t id, int32_t *place, struct diag *diag)
{
    pthread_mutex_lock(&l->lock);
    *place = quota_place(l->quota, id);
    pthread_mutex_unlock(&l->lock);
    if (*place < 0)
        return diag_set(diag, ERR_LIMIT,
                        "more than %d tenants and keys with limits since the process began",
                        QUOTA_PLACES_MAX);
    return ERR_NONE;
}

// Whose counts begin with what the ledger knows.
struct fresh {
    struct quota_level level;
    int32_t tenant;  // of the portfolio; -1: it is a key
    uint64_t key;    // of rows
    uint64_t pool;   // of rows; 0: it is no pool that shadows another
    struct quota_past past;
};

struct recall {
    const struct portfolio *p;  // NULL: keys alone
    const struct generation *generation;
    struct key *const *keys;  // [n_keys], made at run time
    int32_t n_keys;
    struct fresh *fresh;  // [n]
    int32_t n;
    uint64_t *ids;     // [p->n_tenants], as rows say them
    int32_t *of;       // [p->n_tenants], index into `fresh`; -1: not among them
    bool *is_counted;  // [QUOTA_PLACES_MAX], by the portfolio in use or among `fresh`
    int64_t now_us, wall_us;
};

static int64_t wall_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return S(t.tv_sec) + t.tv_nsec / 1000;
}

static void add_past(struct fresh *f, const struct store_spent *s)
{
    if (f->level.allowance->zone_us != s->zone_us)
        return;
    f->past.day_nusd += s->day_nusd;
    f->past.month_nusd += s->month_nusd;
    f->past.requests += (double)s->requests;
    f->past.tokens += (double)s->tokens;
}

static bool on_spent(void *ctx, const struct store_spent *s)
{
    struct recall *r = ctx;
    for (int32_t i = 0; i < r->n; i++)
        if (r->fresh[i].tenant < 0 && !r->fresh[i].pool && r->fresh[i].key == s->key)
            add_past(&r->fresh[i], s);
    int32_t tenant = 0, n = r->p ? r->p->n_tenants : 0;
    while (tenant < n && r->ids[tenant] != s->tenant)
        tenant++;
    for (int32_t up = tenant < n ? tenant : -1; up >= 0; up = r->p->tenants[up].of)
        if (r->of[up] >= 0)
            add_past(&r->fresh[r->of[up]], s);
    return true;
}

static bool on_shadow_spent(void *ctx, uint64_t pool, int64_t list_nusd)
{
    struct recall *r = ctx;
    for (int32_t i = 0; i < r->n; i++)
        if (r->fresh[i].pool == pool)
            r->fresh[i].past.day_nusd += list_nusd;
    return true;
}

// One reading of the ledger for each time zone that is said, and one for pools that shadow others.
static enum err read_past(struct recall *r, struct ledger *ledger, struct diag *diag)
{
    enum err e = ERR_NONE;
    bool shadows = false;
    for (int32_t i = 0; !e && i < r->n; i++) {
        int64_t zone = r->fresh[i].level.allowance->zone_us;
        bool first = !r->fresh[i].pool;
        shadows = shadows || r->fresh[i].pool;
        for (int32_t k = 0; first && k < i; k++)
            first = r->fresh[k].pool || r->fresh[k].level.allowance->zone_us != zone;
        if (first)
            e = ledger_spent(ledger, zone, r->wall_us, on_spent, r, diag);
    }
    return !e && shadows ? ledger_shadow_spent(ledger, r->wall_us, on_shadow_spent, r, diag) : e;
}

// --- what another process charges ---------------------------------------------------------------

static void add_payer(struct limits *l, const struct payer *p)
{
    l->payers = realloc(l->payers, (size_t)(l->n_payers + 1) * sizeof *l->payers);
    CHECK(l->payers);
    l->payers[l->n_payers++] = *p;
}

static void add_key_payer(struct limits *l, const struct key *k, bool made)
{
    struct payer p = {.id = k->number, .made = made, .n = 1};
    p.level[0].place = k->place;
    p.level[0].zone_us = k->said.allowance.zone_us;
    if (k->place >= 0)
        add_payer(l, &p);
}

// Those of this generation, in place of those of the one before.
static void add_generation(struct limits *l, const struct generation *g)
{
    const struct portfolio *p = g->portfolio;
    int32_t n = 0;
    for (int32_t i = 0; i < l->n_payers; i++)
        if (l->payers[i].made)
            l->payers[n++] = l->payers[i];
    l->n_payers = n;
    for (int32_t i = 0; i < p->n_tenants; i++) {
        const struct limits_of *of = &g->limits->of[i];
        struct payer payer = {.id = record_id(RECORD_TENANT, p->tenants[i].name), .n = of->n};
        for (int32_t k = 0; k < of->n; k++) {
            payer.level[k].place = of->level[k].place;
            payer.level[k].zone_us = of->level[k].allowance->zone_us;
        }
        if (of->n)
            add_payer(l, &payer);
    }
    for (int32_t i = 0; i < g->n_keys; i++)
        add_key_payer(l, &g->keys[i], false);
}

static void know_payers(struct limits *l, const struct recall *r)
{
    pthread_mutex_lock(&l->lock);
    if (r->generation)
        add_generation(l, r->generation);
    for (int32_t i = 0; i < r->n_keys; i++)
        add_key_payer(l, r->keys[i], true);
    pthread_mutex_unlock(&l->lock);
}

static void on_charged(void *ctx, const struct store_other *o)
{
    struct limits *l = ctx;
    pthread_mutex_lock(&l->lock);
    for (int32_t i = 0; i < l->n_payers; i++) {
        const struct payer *p = &l->payers[i];
        for (int32_t k = 0; (p->id == o->tenant || p->id == o->key) && k < p->n; k++)
            quota_charged(l->quota, p->level[k].place, p->level[k].zone_us, o->began_us,
                          o->charged_nusd);
    }
    pthread_mutex_unlock(&l->lock);
}

// --- what the ledger knows ----------------------------------------------------------------------

static void remember(struct recall *r, struct limits *l)
{
    for (int32_t i = 0; i < r->n; i++) {
        struct fresh *f = &r->fresh[i];
        pthread_mutex_lock(&l->lock);
        quota_remember(l->quota, &f->level, &f->past, r->now_us, r->wall_us);
        pthread_mutex_unlock(&l->lock);
    }
}

// Within one hold of the ledger: what another process charges is either in the past that is
// remembered, or comes to those who are known by then.
static enum err recall(struct recall *r, struct limits *l, struct ledger *ledger, struct diag *diag)
{
    struct diag end = {0};
    if (!ledger)
        return ERR_NONE;
    enum err e = ledger_past_begin(ledger, diag);
    if (!e)
        e = read_past(r, ledger, diag);
    if (!e) {
        remember(r, l);
        know_payers(l, r);
    }
    enum err ended = ledger_past_end(ledger, &end);
    return e || !ended ? e : diag_set(diag, ended, "%s", end.text);
}

static void recall_init(struct recall *r, const struct generation *g,
                        const struct generation *before)
{
    const struct portfolio *p = g->portfolio;
    *r = (struct recall){
        .p = p,
        .generation = g,
        .fresh = take_n(sizeof *r->fresh, (size_t)(p->n_tenants + g->n_keys + p->n_pools) + 1),
        .ids = take_n(sizeof *r->ids, (size_t)p->n_tenants + 1),
        .of = take_n(sizeof *r->of, (size_t)p->n_tenants + 1),
        .is_counted = take_n(sizeof *r->is_counted, QUOTA_PLACES_MAX),
        .now_us = clock_now_us(),
        .wall_us = wall_now_us()};
    for (int32_t i = 0; i < p->n_tenants; i++) {
        r->ids[i] = record_id(RECORD_TENANT, p->tenants[i].name);
        r->of[i] = -1;
    }
    for (int32_t i = 0; before && i < before->portfolio->n_tenants; i++)
        for (int32_t k = 0; k < before->limits->of[i].n; k++)
            r->is_counted[before->limits->of[i].level[k].place] = true;
    for (int32_t i = 0; before && i < before->n_keys; i++)
        if (before->keys[i].place >= 0)
            r->is_counted[before->keys[i].place] = true;
    for (int32_t i = 0; before && i < before->portfolio->n_pools; i++)
        if (before->limits->shadow[i].place >= 0)
            r->is_counted[before->limits->shadow[i].place] = true;
}

static void recall_release(struct recall *r)
{
    free(r->fresh);
    free(r->ids);
    free(r->of);
    free(r->is_counted);
}

// One that the portfolio in use does not count, new or not: what it used meanwhile is in the
// ledger.
static void see(struct recall *r, struct fresh f)
{
    bool *is_counted = &r->is_counted[f.level.place];
    if (*is_counted)
        return;
    *is_counted = true;
    if (f.tenant >= 0)
        r->of[f.tenant] = r->n;
    r->fresh[r->n++] = f;
}

static enum err adopt_tenant(struct limits *l, struct generation *g, int32_t tenant,
                             struct recall *r, struct diag *diag)
{
    const struct portfolio *p = g->portfolio;
    struct limits_of *of = &g->limits->of[tenant];
    for (int32_t up = tenant; up >= 0; up = p->tenants[up].of) {
        const struct allowance *a = &p->tenants[up].allowance;
        int32_t place;
        if (!allowance_counts(a))
            continue;
        enum err e = find_place(l, r->ids[up], &place, diag);
        if (e)
            return e;
        of->level[of->n] = (struct quota_level){place, a};
        of->who[of->n++] = up;
        see(r, (struct fresh){.level = {place, a}, .tenant = up});
    }
    return ERR_NONE;
}

// Of a pool that shadows another only the money is counted: all else its own limits say.
static enum err adopt_shadow(struct limits *l, struct generation *g, int32_t pool,
                             struct allowance *a, struct recall *r, struct diag *diag)
{
    const struct pool *p = &g->portfolio->pools[pool];
    struct quota_level *level = &g->limits->shadow[pool];
    uint64_t id = record_id(RECORD_POOL, p->name);
    *level = (struct quota_level){.place = -1, .allowance = a};
    if (!p->shadow.on || p->shadow.at_most_nusd < 0)
        return ERR_NONE;
    allowance_defaults(a);
    // Not a hard one: what a copy may cost is its forecast, and one that a supplier lets cost more
    // counts in full, since nobody else pays for it.
    a->budget_day_nusd = p->shadow.at_most_nusd;
    enum err e = find_place(l, id, &level->place, diag);
    if (!e)
        see(r, (struct fresh){.level = *level, .tenant = -1, .pool = id});
    return e;
}

static enum err adopt_all(struct limits *l, struct generation *g, struct recall *r,
                          struct diag *diag)
{
    enum err e = ERR_NONE;
    for (int32_t i = 0; i < g->portfolio->n_tenants && !e; i++)
        e = adopt_tenant(l, g, i, r, diag);
    for (int32_t i = 0; i < g->n_keys && !e; i++) {
        struct key *k = &g->keys[i];
        const struct allowance *a = &k->said.allowance;
        if (!allowance_counts(a))
            continue;
        e = find_place(l, k->number, &k->place, diag);
        if (!e)
            see(r, (struct fresh){.level = {k->place, a}, .tenant = -1, .key = k->number});
    }
    int32_t n_pools = g->portfolio->n_pools;
    struct allowance *money = arena_new(&g->arena, struct allowance, n_pools + 1);
    g->limits->shadow = arena_new(&g->arena, struct quota_level, n_pools + 1);
    if (!money || !g->limits->shadow)
        return diag_set(diag, ERR_LIMIT, "the portfolio is too large");
    for (int32_t i = 0; i < n_pools && !e; i++)
        e = adopt_shadow(l, g, i, &money[i], r, diag);
    return e;
}

enum err limits_adopt(struct limits *l, struct generation *g, const struct generation *before,
                      struct ledger *ledger, struct diag *diag)
{
    const struct portfolio *p = g->portfolio;
    g->limits = arena_new(&g->arena, struct generation_limits, 1);
    if (g->limits)
        g->limits->of = arena_new(&g->arena, struct limits_of, p->n_tenants + 1);
    if (!g->limits || !g->limits->of || limits_price_build(g->limits, g))
        return diag_set(diag, ERR_LIMIT, "the portfolio is too large");
    struct recall r;
    recall_init(&r, g, before);
    enum err e = adopt_all(l, g, &r, diag);
    if (!e && ledger)
        e = ledger_key_names(ledger, g->keys, g->n_keys, diag);
    ledger_follow(ledger, on_charged, l, r.wall_us);
    if (!e)
        e = recall(&r, l, ledger, diag);
    recall_release(&r);
    return e;
}

enum err limits_key(struct limits *l, struct key *k, struct diag *diag)
{
    k->place = -1;
    return allowance_counts(&k->said.allowance) ? find_place(l, k->number, &k->place, diag)
                                                : ERR_NONE;
}

enum err limits_know_keys(struct limits *l, struct key *const *keys, int32_t n,
                          struct ledger *ledger, struct diag *diag)
{
    struct recall r = {.keys = keys,
                       .n_keys = n,
                       .fresh = take_n(sizeof *r.fresh, (size_t)n + 1),
                       .now_us = clock_now_us(),
                       .wall_us = wall_now_us()};
    for (int32_t i = 0; i < n; i++)
        if (keys[i]->place >= 0)
            r.fresh[r.n++] = (struct fresh){.level = {keys[i]->place, &keys[i]->said.allowance},
                                            .tenant = -1,
                                            .key = keys[i]->number};
    enum err e = recall(&r, l, ledger, diag);
    free(r.fresh);
    return e;
}
