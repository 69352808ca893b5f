// No routing costs less than the hindsight bound: every policy on random portfolios.
//
//   BOUND_SEEDS=5000 build/tests/unit/test_bound      more portfolios than the 100 of `make test`

#include "lib/bound_scene.h"
#include "lib/random_events.h"

static void random_commitments(struct fleet *f, struct rng *r)
{
    static const double amounts[] = {[COMMIT_USD] = 0.02,
                                     [COMMIT_TOKENS] = 20000,
                                     [COMMIT_ACCELERATOR_HOURS] = 0.02,
                                     [COMMIT_MW_MONTHS] = 1e-7,
                                     [COMMIT_PTU] = 10};
    for (int32_t i = 0; i < f->p.n_pools; i++) {
        struct pool *pool = &f->pools[i];
        if (pool->contract >= 0 || !fleet_chance(r, 0.5))
            continue;
        int32_t c = f->p.n_contracts++;
        enum commitment_unit unit = (enum commitment_unit)rng_below(r, 5);
        bool dated = fleet_chance(r, 0.5);
        f->contracts[c] = (struct contract){
            .name = arena_printf(&f->arena, "paid%d", c),
            .supplier = -1,
            .part_of = -1,
            .from_us = dated ? S(10) : 0,
            .until_us = dated ? S(10) + (int64_t)rng_below(r, S(120)) : NEVER,
            .purpose = PURPOSE_INFERENCE,
            .commitment = {.amount = amounts[unit] * fleet_between(r, 0, 3),
                           .unit = unit,
                           .per = fleet_chance(r, 0.5) ? PERIOD_TERM : PERIOD_MONTH,
                           .beyond_never = fleet_chance(r, 0.2)}};
        if (fleet_chance(r, 0.4))
            f->contracts[c].commitment.beyond_nusd_per_unit = 1e6 / amounts[unit];
        pool->contract = c;
    }
}

// Speeds with every term that service.h has: a chip as it was measured, and one of which only the
// data sheet is known.
static void random_speeds(struct fleet *f, struct rng *r)
{
    struct point *pt = &f->points[0][0];
    pt->step_us = 4000;
    pt->step_per_sequence_us = 20;
    pt->step_per_root_us = 900;
    pt->step_per_context_us = fleet_chance(r, 0.5) ? 0.2 : 0;
    pt->step_per_prompt_us = 30;
    pt->prefill_start_us = 2000;
    pt->prefill_per_token2_us = 0.002;
    pt->prefill_per_sequence_us = 300;
    pt->prefill_per_token_sequence_us = 3;
    struct chip *sheet = &f->chips[1];
    sheet->n_points = 0;
    sheet->bandwidth_bytes_s = 3e12;
    sheet->compute_flop_s = 1e15;
    sheet->memory_bytes = 80e9;
    sheet->power_w = 1000;
    sheet->idle_w = 200;
    for (int32_t i = 0; i < f->p.n_models; i++) {
        struct model *m = &f->models[i];
        m->parameters = 30e9;
        m->active_parameters = i % 2 ? 3e9 : 0;
        m->experts = i % 2 ? 128 : 0;
        m->experts_active = i % 2 ? 8 : 0;
        m->layers = 48;
        m->bytes_per_parameter = 1;
        m->kv_bytes_per_tok = 1e5;
    }
}

// Prices of a plan that knows nothing of the trace, and ends within it.
static void random_plan(struct fleet *f, struct rng *r)
{
    struct planned_prices *plan = arena_new(&f->arena, struct planned_prices, 1);
    plan->until_us = S(40) + (int64_t)rng_below(r, S(60));
    plan->contracts = arena_new(&f->arena, struct planned_contract, FLEET_POOLS);
    plan->pools = arena_new(&f->arena, struct planned_pool, FLEET_POOLS);
    for (int32_t i = 0; i < FLEET_POOLS; i++) {
        struct planned_contract *c = &plan->contracts[i];
        struct planned_pool *pool = &plan->pools[i];
        c->said = fleet_chance(r, 0.5);
        c->worth = fleet_between(r, 0, 1);
        pool->share = fleet_chance(r, 0.5) ? fleet_between(r, 0, 1) : -1;
        pool->scarce = fleet_chance(r, 0.5);
        for (int32_t h = 0; h < TYPICAL_HOURS; h++) {
            c->pace[h] = fleet_between(r, 0.1, 1);
            pool->slot_nusd_per_us[h] = pool->scarce ? fleet_between(r, 0, 2) : 0;
        }
    }
    f->p.prices = plan;
}

static void random_extras(struct fleet *f, struct rng *r)
{
    if (fleet_chance(r, 0.4))
        random_speeds(f, r);
    if (fleet_chance(r, 0.4))
        random_plan(f, r);
    for (int32_t i = 0; i < f->p.n_classes; i++)
        f->classes[i].deferred = f->classes[i].deadline_us < NEVER && fleet_chance(r, 0.5);
    if (f->p.n_pools > 1 && fleet_chance(r, 0.3)) {
        struct pool_shadow *shadow = &f->pools[f->p.n_pools - 1].shadow;
        shadow->on = true;
        shadow->of = 0;
    }
}

static void random_fleet(struct fleet *f, uint64_t seed)
{
    struct rng r;
    rng_seed(&r, seed + 77);
    fleet_random(f, seed);
    for (int32_t i = 0; i < f->p.n_classes; i++) {
        f->classes[i].ttft_us = S(1);
        if (fleet_chance(&r, 0.5))
            f->classes[i].unserved_nusd = (int64_t)rng_below(&r, 20000000);
        if (fleet_chance(&r, 0.3))
            f->classes[i].deadline_us = S(3);
    }
    if (fleet_chance(&r, 0.3))  // a roofline: steps that grow with the context
        f->points[0][0].step_us = 9000, f->points[0][0].step_per_sequence_us = 150,
        f->points[0][0].step_per_context_us = 0.35, f->points[0][0].kv_tok = 9000;
    f->suppliers[0].first_byte_us = S(5);
    f->p.serve.deadline_us = fleet_chance(&r, 0.5) ? S(4) : S(20);
    random_commitments(f, &r);
    random_extras(f, &r);
    fleet_start(f, "least-cost");
}

static void random_trace(struct buf *out, const struct fleet *f, uint64_t seed, int n)
{
    struct rng r;
    rng_seed(&r, seed);
    int64_t at = 0, gap_us = fleet_chance(&r, 0.5) ? MS(400) : MS(60);
    buf_lit(out, "t_us,prompt_tokens,output_tokens,model,class,tenant,block_hashes\n");
    for (int i = 0; i < n; i++) {
        at += rng_below(&r, 8) ? (int64_t)rng_below(&r, (uint64_t)gap_us) : 0;
        int prompt = (int)rng_below(&r, 3000);
        buf_printf(out, "%" PRId64 ",%d,%d,m%d,", at, prompt, (int)rng_below(&r, 300),
                   (int)rng_below(&r, (uint64_t)f->p.n_models + 1));
        if (f->p.n_classes)
            buf_printf(out, "k%d", (int)rng_below(&r, (uint64_t)f->p.n_classes));
        buf_lit(out, ",");
        if (f->p.n_tenants)
            buf_printf(out, "t%d", (int)rng_below(&r, (uint64_t)f->p.n_tenants));
        buf_lit(out, ",");
        for (int k = 0; k < prompt / 600; k++)
            buf_printf(out, "%d ", (int)rng_below(&r, 3) + 10 * k);
        buf_lit(out, "\n");
    }
}

static const char *const policies[] = {"caudal",      "least-cost",      "priority-spill",
                                       "round-robin", "least-in-flight", "two-choices",
                                       "lmetric",     "static-split",    "list-cheapest"};

static void random_prices(struct fleet *f, uint64_t seed)
{
    f->p.serve.carbon_nusd_per_g = seed % 5 == 0 ? 80e3 : 0;
    for (int32_t i = 0; i < f->p.n_sites; i++)
        f->sites[i].carbon_g_per_joule = (1 + i % 3) * 300 / 3.6e6;
    for (int32_t i = 0; seed % 3 == 0 && i < f->p.n_pools; i++) {
        f->pools[i].prefix_cache = (struct prefix_cache){true, i % 4 ? 100000 : 0, -1};
        for (int32_t k = 0; k < f->pools[i].n_serves; k++) {
            struct token_price *price = &f->pools[i].serves[k].price;
            price->cached_input = i % 2 ? price->input / 10 : -1;
        }
    }
}

struct seen {
    int portfolios, tight;  // those all policies have played; bounds within a fifth of the best
    int carbon, warm, deferred, events, changes;
};

static void count_portfolio(struct seen *seen, const struct fleet *f, const struct events *events)
{
    bool deferred = false;
    for (int32_t i = 0; i < f->p.n_classes; i++)
        deferred = deferred || f->classes[i].deferred;
    seen->portfolios++;
    seen->carbon += f->p.serve.carbon_nusd_per_g > 0 && f->p.n_sites > 0;
    seen->warm += f->pools[0].prefix_cache.said;
    seen->deferred += deferred;
    seen->events += events->n > 0;
    seen->changes += events->n_changes > 0;
}

static void try_portfolio(uint64_t seed, struct seen *seen)
{
    struct fleet f;
    struct buf text;
    random_fleet(&f, seed);
    buf_init(&text, 1 << 20);
    random_trace(&text, &f, seed, 250);
    write_trace(buf_str(&text));
    struct scene s = {.p = &f.p, .seed = seed, .buckets = 1 + (int32_t)(seed % 40)};
    random_prices(&f, seed);
    // Each kind by itself, and all at once.
    static const int kinds[] = {SOME_PHASES, SOME_PRICES,      SOME_BEYOND, SOME_ENERGY,
                                SOME_FAULTS, SOME_MAINTENANCE, SOME_OF_ALL};
    if (seed % 4)
        random_events(&s.events, &f, seed, 20, kinds[seed % COUNTOF(kinds)]);
    double bound = 0, best = INFINITY, used[FLEET_POOLS];
    for (int32_t i = 0; i < FLEET_POOLS; i++)
        used[i] = (double)((seed + (uint64_t)i) % 5) * 0.3 - 0.3;  // -0.3: not said; 0.9
    s.used = seed % 3 == 1 ? used : NULL;
    for (size_t i = 0; i < COUNTOF(policies); i++) {
        struct outcome o = {.diag = {0}};
        s.told = (seed + i) % 2;
        play(&o, &s, policies[i], i == 0);
        if (i == 0 && o.e == ERR_INVALID && strstr(o.diag.text, "nobody serves"))
            break;
        EXPECT(!o.e, "seed %" PRIu64 ": %s", seed, o.diag.text);
        if (i == 0)
            bound = o.bound.nusd;
        EXPECT(i > 0 || strcmp(o.bound.status, "optimal") == 0, "seed %" PRIu64 ": %s", seed,
               o.bound.status);
        double slack = 1e-9 * (fabs(bound) + fabs(o.cost)) + 1e-3;
        EXPECT(o.cost >= bound - slack, "seed %" PRIu64 ": %s costs %.6f USD, the bound is %.6f",
               seed, policies[i], o.cost / 1e9, bound / 1e9);
        best = o.cost < best ? o.cost : best;
    }
    if (best < INFINITY)
        count_portfolio(seen, &f, &s.events);
    seen->tight += best < INFINITY && bound > 0.8 * best;
    buf_release(&text);
    fleet_release(&f);
}

static void no_policy_costs_less_than_the_bound(void)
{
    const char *more = getenv("BOUND_SEEDS");
    int wanted = more ? atoi(more) : 100;
    struct seen seen = {0};
    for (uint64_t seed = 1; seen.portfolios < wanted && seed < 4 * (uint64_t)wanted; seed++)
        try_portfolio(seed, &seen);
    unlink(scene_path);
    EXPECT(seen.portfolios == wanted, "%d of %d", seen.portfolios, wanted);
    // A bound of nothing would hold as well.
    EXPECT(seen.tight > wanted / 8, "%d bounds of %d within 20%%", seen.tight, wanted);
    int least = wanted / 10;
    EXPECT(seen.carbon > least && seen.warm > least && seen.deferred > least &&
               seen.events > least && seen.changes > 3 * least,
           "of %d: %d price carbon, %d keep prompts, %d defer work, %d have events, %d change",
           wanted, seen.carbon, seen.warm, seen.deferred, seen.events, seen.changes);
}

int main(void)
{
    TEST(no_policy_costs_less_than_the_bound);
    return test_end();
}
