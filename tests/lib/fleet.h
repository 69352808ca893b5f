// fleet.h - small portfolios built in memory, by hand or by a seed, with a router over them.
//
//   struct fleet f;
//   fleet_init(&f);
//   struct pool *a = fleet_pool(&f, "a", fleet_model(&f, "m"));   // a->limits.in_flight = 2; ...
//   fleet_start(&f, "least-cost");
//   struct route_ask ask = fleet_ask(&f, 0);
//   ...
//   fleet_release(&f);

#ifndef CAUDAL_TESTS_FLEET_H
#define CAUDAL_TESTS_FLEET_H

#include "base/rng.h"
#include "lib/test.h"
#include "route/live.h"
#include "route/route.h"

#include <inttypes.h>

enum {
    FLEET_POOLS = 24,
    FLEET_MODELS = 6,
    FLEET_SERVES = 4,
    FLEET_SITES = 4,
    FLEET_CLASSES = 4,
    FLEET_TENANTS = 5,
    FLEET_PHASES = 2
};

struct fleet {
    struct arena arena;
    struct portfolio p;
    struct supplier suppliers[1];
    struct class classes[FLEET_CLASSES];
    struct value_step steps[FLEET_CLASSES][2];
    struct site sites[FLEET_SITES];
    struct round_trip round_trips[FLEET_SITES][2];
    struct model models[FLEET_MODELS];
    struct group groups[1];
    int32_t group_models[FLEET_MODELS];
    struct pool pools[FLEET_POOLS];
    struct serving serves[FLEET_POOLS][FLEET_SERVES];
    struct maintenance maintenance[FLEET_POOLS][1];
    struct contract contracts[FLEET_POOLS];
    struct phase phases[FLEET_POOLS][FLEET_PHASES];
    struct chip chips[2];
    struct point points[2][1];
    struct tenant tenants[FLEET_TENANTS];
    int32_t tenant_models[FLEET_TENANTS][FLEET_MODELS];
    struct str tenant_regions[FLEET_TENANTS][2];
    struct live *live;
    struct route *route;
    struct rng rng;
};

static inline void fleet_init(struct fleet *f)
{
    memset(f, 0, sizeof *f);
    rng_seed(&f->rng, 1);
    arena_init(&f->arena, (size_t)96 << 20);
    serve_config_defaults(&f->p.serve);
    f->p.serve.band = 0;
    f->p.arena = &f->arena;
    f->p.suppliers = f->suppliers;
    f->p.classes = f->classes;
    f->p.sites = f->sites;
    f->p.models = f->models;
    f->p.groups = f->groups;
    f->p.pools = f->pools;
    f->p.contracts = f->contracts;
    f->p.chips = f->chips;
    f->p.tenants = f->tenants;
    supplier_defaults(&f->suppliers[0]);
    f->suppliers[0].name = STR("supplier");
    f->suppliers[0].api = API_OPENAI;
    f->p.n_suppliers = 1;
}

static inline int32_t fleet_model(struct fleet *f, const char *name)
{
    NEED(f->p.n_models < FLEET_MODELS);
    f->models[f->p.n_models].name = str_of(name);
    return f->p.n_models++;
}

static inline struct serving *fleet_serve(struct fleet *f, struct pool *pool, int32_t model)
{
    NEED(pool->n_serves < FLEET_SERVES);
    pool->serves = f->serves[pool - f->pools];
    struct serving *s = &pool->serves[pool->n_serves++];
    *s = (struct serving){.model = model, .price = {.said = true, .cached_input = -1}};
    return s;
}

static inline struct pool *fleet_pool(struct fleet *f, const char *name, int32_t model)
{
    NEED(f->p.n_pools < FLEET_POOLS);
    struct pool *pool = &f->pools[f->p.n_pools++];
    pool_defaults(pool);
    pool->name = arena_str(&f->arena, str_of(name));
    pool->supplier = 0;
    fleet_serve(f, pool, model);
    return pool;
}

// Dollars per million tokens, in and out.
static inline void fleet_price(struct pool *pool, double usd_per_mtok)
{
    for (int32_t i = 0; i < pool->n_serves; i++)
        pool->serves[i].price.input = pool->serves[i].price.output = (int64_t)(usd_per_mtok * 1e9);
}

// A class whose users' waiting costs this much an hour, for the first content and for each token.
static inline struct class *fleet_class(struct fleet *f, const char *name, double usd_per_h)
{
    NEED(f->p.n_classes < FLEET_CLASSES);
    int32_t i = f->p.n_classes++;
    class_defaults(&f->classes[i]);
    f->classes[i].name = str_of(name);
    f->steps[i][0] = f->steps[i][1] = (struct value_step){0, usd_per_h * 1e9 / 3.6e9};
    f->classes[i].ttft_value = (struct value_curve){&f->steps[i][0], 1};
    f->classes[i].per_token_value = (struct value_curve){&f->steps[i][1], 1};
    return &f->classes[i];
}

static inline struct tenant *fleet_tenant(struct fleet *f, const char *name)
{
    NEED(f->p.n_tenants < FLEET_TENANTS);
    struct tenant *t = &f->tenants[f->p.n_tenants++];
    tenant_defaults(t);
    t->name = str_of(name);
    return t;
}

// All models, in order, may stand in for each other.
static inline void fleet_group(struct fleet *f)
{
    for (int32_t i = 0; i < f->p.n_models; i++)
        f->group_models[i] = i;
    f->groups[0] = (struct group){STR("all"), {{0}, 0, 0}, f->group_models, f->p.n_models};
    f->p.n_groups = 1;
}

static inline void fleet_start(struct fleet *f, const char *policy)
{
    struct diag diag = {0};
    enum err e = portfolio_seal(&f->p, &diag);
    if (!e)
        e = live_new(&f->live, &f->arena, FLEET_POOLS, FLEET_POOLS * FLEET_SERVES);
    if (!e)
        e = route_new(&f->route, &f->arena, &f->p, f->live, policy, &diag);
    if (e)
        printf("  %s: %s\n", err_name(e), diag.text);
    NEED(!e);
}

static inline void fleet_release(struct fleet *f)
{
    arena_release(&f->arena);
}

static inline struct route_ask fleet_ask(const struct fleet *f, int64_t now_us)
{
    return (struct route_ask){.class = f->p.n_classes > 0 ? 0 : -1,
                              .tenant = -1,
                              .surface = SURFACE_CHAT,
                              .prompt_tok = 100,
                              .output_tok = 100,
                              .arrived_us = now_us,
                              .deadline_us = NEVER,
                              .wall_us = now_us,
                              .draw = 1};
}

static inline double fleet_between(struct rng *r, double least, double most)
{
    return least + (most - least) * rng_unit(r);
}

static inline bool fleet_chance(struct rng *r, double share)
{
    return rng_unit(r) < share;
}

static const char *const fleet_regions[] = {"us", "eu", "ap"};

static inline void fleet_random_places(struct fleet *f)
{
    struct rng *r = &f->rng;
    f->p.n_sites = (int32_t)rng_below(r, FLEET_SITES + 1);
    for (int32_t i = 0; i < f->p.n_sites; i++) {
        f->round_trips[i][0] = (struct round_trip){STR("eu"), (int64_t)rng_below(r, MS(200))};
        f->sites[i] = (struct site){.name = arena_printf(&f->arena, "site%d", i),
                                    .region = str_of(fleet_regions[rng_below(r, 3)]),
                                    .pue = 1.2,
                                    .energy_nusd_per_joule = fleet_between(r, 0, 40),
                                    .round_trips = f->round_trips[i],
                                    .n_round_trips = 1};
    }
    f->p.n_chips = 2;
    for (int32_t i = 0; i < 2; i++) {
        f->points[i][0] = (struct point){.model = -1,
                                         .per_user_tok_s = i ? 1500 : 60,
                                         .batch = i ? 4 : 32,
                                         .prefill_tok_s = i ? 40000 : 8000,
                                         .slots = i ? 4 : 32,
                                         .power_w = 10000,
                                         .basis = BASIS_MEASURED};
        f->chips[i] = (struct chip){
            .name = arena_printf(&f->arena, "chip%d", i), .points = f->points[i], .n_points = 1};
    }
}

static inline void fleet_random_tenants(struct fleet *f)
{
    struct rng *r = &f->rng;
    for (uint64_t n = rng_below(r, FLEET_TENANTS + 1); n > 0; n--) {
        int32_t i = f->p.n_tenants;
        struct tenant *t = fleet_tenant(f, (const char *[]){"t0", "t1", "t2", "t3", "t4"}[i]);
        if (fleet_chance(r, 0.4)) {
            t->regions = f->tenant_regions[i];
            t->n_regions = (int32_t)rng_below(r, 3);
            for (int32_t k = 0; k < t->n_regions; k++)
                t->regions[k] = str_of(fleet_regions[rng_below(r, 3)]);
        }
        if (fleet_chance(r, 0.4)) {
            t->models = f->tenant_models[i];
            for (t->n_models = 0; t->n_models < f->p.n_models; t->n_models++)
                t->models[t->n_models] = (int32_t)rng_below(r, (uint64_t)f->p.n_models);
        }
        if (fleet_chance(r, 0.5))
            t->region = STR("eu");
    }
}

static inline void fleet_random_pool(struct fleet *f)
{
    struct rng *r = &f->rng;
    int32_t i = f->p.n_pools;
    struct str name = arena_printf(&f->arena, "pool%d", i);
    struct pool *pool = fleet_pool(f, name.p, (int32_t)rng_below(r, (uint64_t)f->p.n_models));
    for (int32_t m = 0; m < f->p.n_models && pool->n_serves < FLEET_SERVES; m++) {
        if (m != pool->serves[0].model && fleet_chance(r, 0.3))
            fleet_serve(f, pool, m);
    }
    for (int32_t k = 0; k < pool->n_serves; k++) {
        struct serving *s = &pool->serves[k];
        s->price.input = (int64_t)rng_below(r, 5000000000);
        s->price.output = (int64_t)rng_below(r, 20000000000);
        if (fleet_chance(r, 0.3))
            s->context_tok = 1 + (int32_t)rng_below(r, 4000);
        if (fleet_chance(r, 0.2))
            s->surfaces = 1 + (uint32_t)rng_below(r, 31);
    }
    pool->site = (int32_t)rng_below(r, (uint64_t)f->p.n_sites + 1) - 1;
    pool->chip = (int32_t)rng_below(r, 3) - 1;
    pool->weight = fleet_between(r, 0.1, 4);
    pool->priority = (int32_t)rng_below(r, 3);
    pool->enabled = !fleet_chance(r, 0.05);
    if (fleet_chance(r, 0.05))
        pool->purpose = PURPOSE_TRAINING;
    if (fleet_chance(r, 0.5))
        pool->limits.in_flight = 1 + (int32_t)rng_below(r, 6);
    if (fleet_chance(r, 0.3))
        pool->limits.requests_per_s = fleet_between(r, 0.05, 3);
    if (fleet_chance(r, 0.3))
        pool->limits.tokens_per_s = fleet_between(r, 5, 500);
    if (fleet_chance(r, 0.1))
        pool->derate = fleet_between(r, 0.2, 1);
    if (fleet_chance(r, 0.2)) {
        int32_t c = f->p.n_contracts++;
        f->phases[c][0] = (struct phase){.from_us = (int64_t)rng_below(r, S(100)),
                                         .until_us = S(60) + (int64_t)rng_below(r, S(100)),
                                         .adds_w = 1,
                                         .status = STATUS_SIGNED};
        f->contracts[c] = (struct contract){.name = arena_printf(&f->arena, "c%d", c),
                                            .supplier = -1,
                                            .part_of = -1,
                                            .until_us = NEVER,
                                            .purpose = PURPOSE_INFERENCE,
                                            .phases = f->phases[c],
                                            .n_phases = 1};
        pool->contract = c;
    }
    if (fleet_chance(r, 0.15)) {
        int64_t from_us = (int64_t)rng_below(r, S(100));
        f->maintenance[i][0] =
            (struct maintenance){.from_us = from_us, .until_us = from_us + S(30)};
        pool->maintenance = f->maintenance[i];
        pool->n_maintenance = 1;
    }
}

// A fleet of up to FLEET_POOLS pools and anything else; the same for the same seed. Not started.
static inline void fleet_random(struct fleet *f, uint64_t seed)
{
    static const char *const models[] = {"m0", "m1", "m2", "m3", "m4", "m5"};
    static const char *const classes[] = {"k0", "k1", "k2", "k3"};
    fleet_init(f);
    rng_seed(&f->rng, seed);
    for (uint64_t n = 1 + rng_below(&f->rng, FLEET_MODELS); n > 0; n--)
        fleet_model(f, models[f->p.n_models]);
    for (uint64_t n = rng_below(&f->rng, FLEET_CLASSES + 1); n > 0; n--)
        fleet_class(f, classes[f->p.n_classes], fleet_between(&f->rng, 0, 20));
    if (fleet_chance(&f->rng, 0.7))
        fleet_group(f);
    fleet_random_places(f);
    fleet_random_tenants(f);
    for (uint64_t n = 1 + rng_below(&f->rng, FLEET_POOLS); n > 0; n--)
        fleet_random_pool(f);
}

static inline struct route_ask fleet_random_ask(struct fleet *f, int64_t now_us)
{
    struct rng *r = &f->rng;
    struct route_ask ask = fleet_ask(f, now_us);
    ask.model = (int32_t)rng_below(r, (uint64_t)f->p.n_models);
    ask.class = (int32_t)rng_below(r, (uint64_t)f->p.n_classes + 1) - 1;
    ask.tenant = (int32_t)rng_below(r, (uint64_t)f->p.n_tenants + 1) - 1;
    ask.surface = 1u << rng_below(r, 5);
    if (fleet_chance(r, 0.8))
        ask.surface = SURFACE_CHAT;
    ask.prompt_tok = 1 + (int32_t)rng_below(r, fleet_chance(r, 0.1) ? 40000 : 800);
    ask.output_tok = 1 + (int32_t)rng_below(r, 400);
    ask.stand_in = fleet_chance(r, 0.3);
    if (fleet_chance(r, 0.3))
        ask.deadline_us = now_us + (int64_t)rng_below(r, S(20));
    for (uint64_t n = fleet_chance(r, 0.2) ? rng_below(r, 3) : 0; n > 0; n--)
        ask.tried[ask.n_tried++] = (int32_t)rng_below(r, (uint64_t)f->p.n_pools);
    ask.draw = rng_u64(r);
    return ask;
}

#endif
