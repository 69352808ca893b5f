// No routing costs less than the hindsight bound: every policy on random portfolios, small cases
// whose least is known or can be tried out, and what each part of a request costs at the least.
//
//   BOUND_SEEDS=5000 build/tests/unit/test_bound      more portfolios than the 100 of `make test`

#include "base/units.h"
#include "lib/fleet.h"
#include "replay/bound.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

enum { RUN_BYTES = 512 << 20 };

static char path[256];

static void write_trace(struct str text)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/bound-%d.csv", folder ? folder : "/tmp", (int)getpid());
    FILE *f = fopen(path, "w");
    NEED(f && fwrite(text.p, 1, text.n, f) == text.n && fclose(f) == 0);
}

static struct arrivals_config arrivals_of(const struct portfolio *p)
{
    return (struct arrivals_config){.p = p,
                                    .path = path,
                                    .model = -1,
                                    .class = -1,
                                    .rate = 1,
                                    .until_us = NEVER,
                                    .repeat = 1,
                                    .wall_us = S(40),
                                    .cv = 1,
                                    .spread = 1};
}

struct outcome {
    enum err e;
    double cost;  // of the policy, nano-dollars
    struct bound bound;
    struct diag diag;
};

struct scene {
    const struct portfolio *p;
    struct events events;
    int32_t buckets;
    bool told;
};

static void play(struct outcome *o, const struct scene *s, const char *policy, bool with_bound)
{
    struct arena a;
    struct tally t;
    arena_init(&a, RUN_BYTES);
    const struct replay_config c = {.p = s->p,
                                    .policy = policy,
                                    .seed = 1,
                                    .arrivals = arrivals_of(s->p),
                                    .events = s->events,
                                    .whole = true,
                                    .told = s->told};
    o->e = replay_run(&t, &a, &c, &o->diag);
    if (!o->e)
        o->cost = account_total(&t.account.cost);
    const struct bound_config b = {.p = s->p,
                                   .arrivals = c.arrivals,
                                   .events = s->events,
                                   .wall_us = t.wall_us,
                                   .span_us = t.arrivals_us,
                                   .buckets_max = s->buckets};
    if (!o->e && with_bound)
        o->e = bound_run(&o->bound, &a, &b, &o->diag);
    arena_release(&a);
}

// --- every policy on anything -----------------------------------------------------------------

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

static void try_portfolio(uint64_t seed, int *tried, int *tight)
{
    struct fleet f;
    struct buf text;
    struct diag diag = {0};
    random_fleet(&f, seed);
    buf_init(&text, 1 << 20);
    random_trace(&text, &f, seed, 250);
    write_trace(buf_str(&text));
    struct scene s = {.p = &f.p, .buckets = 1 + (int32_t)(seed % 40)};
    f.p.serve.carbon_nusd_per_g = seed % 5 == 0 ? 80e3 : 0;
    for (int32_t i = 0; i < f.p.n_sites; i++)
        f.sites[i].carbon_g_per_joule = (1 + i % 3) * 300 / 3.6e6;
    for (int32_t i = 0; seed % 3 == 0 && i < f.p.n_pools; i++) {
        f.pools[i].prefix_cache = (struct prefix_cache){true, i % 4 ? 100000 : 0, -1};
        for (int32_t k = 0; k < f.pools[i].n_serves; k++) {
            struct token_price *price = &f.pools[i].serves[k].price;
            price->cached_input = i % 2 ? price->input / 10 : -1;
        }
    }
    if (seed % 2) {
        struct str events = arena_printf(
            &f.arena, "2 s pool0 dies\n6 s pool0 heals\n7 s pool0 slow 3\n9 s pool0 slow 0.5\n"
                      "11 s pool0 stalls\n15 s pool0 heals\n16 s pool0 derate 10%%\n");
        NEED(!events_read(&s.events, &f.arena, &f.p, "events", events, &diag));
    }
    double bound = 0, best = INFINITY;
    for (size_t i = 0; i < COUNTOF(policies); i++) {
        struct outcome o = {.diag = {0}};
        s.told = (seed + i) % 2;
        play(&o, &s, policies[i], i == 0);
        if (o.e == ERR_INVALID && strstr(o.diag.text, "nobody serves"))
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
        ++*tried;
    }
    *tight += best < INFINITY && bound > 0.8 * best;
    buf_release(&text);
    fleet_release(&f);
}

static void no_policy_costs_less_than_the_bound(void)
{
    const char *more = getenv("BOUND_SEEDS");
    uint64_t seeds = more ? strtoull(more, NULL, 10) : 100;
    int tried = 0, tight = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++)
        try_portfolio(seed, &tried, &tight);
    unlink(path);
    // A bound of nothing would hold as well.
    EXPECT(tried > (int)seeds * 4 && tight > (int)seeds / 8, "%d tried, %d bounds within 20%%",
           tried, tight);
}

// --- cases whose least is known ---------------------------------------------------------------

// `n` requests of 1,000 tokens in and none out, one a second.
static void even_trace(int n)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_lit(&text, "t_us,prompt_tokens,output_tokens,model\n");
    for (int i = 0; i < n; i++)
        buf_printf(&text, "%d,1000,0,m\n", i * 1000000);
    write_trace(buf_str(&text));
    buf_release(&text);
}

static double bound_of(struct fleet *f, const char *policy)
{
    struct outcome o = {.diag = {0}};
    const struct scene s = {.p = &f->p};
    fleet_start(f, "least-cost");
    play(&o, &s, policy, true);
    EXPECT(!o.e, "%s", o.diag.text);
    EXPECT(o.cost >= o.bound.nusd * (1 - 1e-12) - 1e-3, "%s: %g below %g", policy, o.cost,
           o.bound.nusd);
    return o.bound.nusd / 1e6;  // thousandths of a dollar: one request at 1 USD/Mtok
}

static bool is(double v, double expected)
{
    return fabs(v - expected) < 1e-6 * (1 + fabs(expected));
}

static struct contract *commit(struct fleet *f, struct pool *pool, enum commitment_unit unit,
                               double amount)
{
    int32_t c = f->p.n_contracts++;
    f->contracts[c] = (struct contract){.name = arena_printf(&f->arena, "c%d", c),
                                        .supplier = -1,
                                        .part_of = -1,
                                        .until_us = NEVER,
                                        .commitment = {.amount = amount, .unit = unit}};
    pool->contract = c;
    return &f->contracts[c];
}

static void all_goes_to_the_cheapest_where_nothing_is_scarce(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *dear = fleet_pool(&f, "dear", m), *shadow = fleet_pool(&f, "shadow", m);
    fleet_price(dear, 3);
    fleet_price(fleet_pool(&f, "cheap", m), 2);
    fleet_price(shadow, 1);
    shadow->shadow.on = true;  // it answers nobody
    shadow->shadow.of = 0;
    even_trace(100);
    double v = bound_of(&f, "caudal");
    EXPECT(is(v, 200), "%.9f", v);
    fleet_release(&f);
}

static void what_is_prepaid_is_free_and_no_more_of_it_than_there_is(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *paid = fleet_pool(&f, "paid", m);
    fleet_price(paid, 3);
    fleet_price(fleet_pool(&f, "spot", m), 2);
    commit(&f, paid, COMMIT_USD, 0.12);  // 40 requests at 0.003 USD
    even_trace(100);
    double v = bound_of(&f, "caudal");
    EXPECT(is(v, 60 * 2), "%.9f", v);
    fleet_release(&f);
}

static void beyond_a_commitment_its_own_price_counts(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *paid = fleet_pool(&f, "paid", m);
    fleet_price(paid, 3);
    fleet_price(fleet_pool(&f, "spot", m), 2);
    struct contract *c = commit(&f, paid, COMMIT_TOKENS, 30000);
    c->commitment.beyond_nusd_per_unit = 500;  // 0.5 USD/Mtok
    even_trace(100);
    double v = bound_of(&f, "caudal");
    EXPECT(is(v, 70 * 0.5), "%.9f", v);
    fleet_release(&f);
}

// A day of a term of ten days: a tenth of the amount falls to it.
static void a_commitment_longer_than_the_trace_counts_in_proportion(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *paid = fleet_pool(&f, "paid", m);
    fleet_price(paid, 3);
    fleet_price(fleet_pool(&f, "spot", m), 2);
    struct contract *c = commit(&f, paid, COMMIT_USD, 1.2);
    c->from_us = S(40);
    c->until_us = S(40) + 10 * (S(99) + 1);
    even_trace(100);
    double v = bound_of(&f, "caudal");
    EXPECT(is(v, 60 * 2), "%.9f", v);
    fleet_release(&f);
}

static void a_slot_that_is_taken_is_taken(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *small = fleet_pool(&f, "small", m);
    fleet_price(small, 1);
    fleet_price(fleet_pool(&f, "large", m), 5);
    f.p.n_chips = 1;  // 2 s for a prompt of 1,000 tokens, one at a time: 50 of 100 fit
    f.points[0][0] = (struct point){.model = -1, .step_us = 1, .prefill_tok_s = 500, .slots = 1};
    f.chips[0] = (struct chip){.name = STR("chip"), .points = f.points[0], .n_points = 1};
    small->chip = 0;
    f.p.serve.deadline_us = MS(1);
    even_trace(100);
    double v = bound_of(&f, "least-cost");
    // Time goes in spans, and the last of them ends behind the trace.
    EXPECT(v > 290 && v <= 50 * 1 + 50 * 5 + 1e-6, "%.9f", v);
    fleet_release(&f);
}

static void what_nobody_may_answer_costs_what_its_class_says(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *pool = fleet_pool(&f, "a", m);
    fleet_price(pool, 5);
    pool->serves[0].context_tok = 500;
    fleet_class(&f, "k", 0)->unserved_nusd = 3000000;
    f.classes[0].ttft_us = S(1);
    f.p.serve.default_class = 0;
    even_trace(100);
    EXPECT(is(bound_of(&f, "least-cost"), 300), "the prompts are too long for its context");
    fleet_release(&f);
    fleet_init(&f);
    fleet_price(fleet_pool(&f, "a", fleet_model(&f, "m")), 5);
    fleet_class(&f, "k", 0)->unserved_nusd = 3000000;
    f.classes[0].ttft_us = S(1);
    f.p.serve.default_class = 0;
    even_trace(100);
    EXPECT(is(bound_of(&f, "least-cost"), 300), "not answering is cheaper");
    fleet_release(&f);
}

static void a_stand_in_never_looks_like_saving(void)
{
    struct fleet f;
    fleet_init(&f);
    fleet_price(fleet_pool(&f, "a", fleet_model(&f, "m")), 5);
    fleet_price(fleet_pool(&f, "b", fleet_model(&f, "small")), 1);
    fleet_group(&f);
    even_trace(100);
    double v = bound_of(&f, "least-cost");
    EXPECT(is(v, 500), "%.9f", v);
    fleet_release(&f);
}

// --- trying everything out --------------------------------------------------------------------

enum { SMALL = 7, SMALL_POOLS = 3 };

static double cost_of_choice(const struct fleet *f, const struct least *l, struct arena *a,
                             const struct arrival *all, uint32_t choice, int64_t until_us)
{
    struct account acc;
    NEED(!account_init(&acc, a, l, true));
    for (int i = 0; i < SMALL; i++, choice /= SMALL_POOLS + 1) {
        int pool = (int)(choice % (SMALL_POOLS + 1));
        if (pool == SMALL_POOLS) {
            account_lost(&acc, &all[i]);
            continue;
        }
        struct least_cost c;
        least_of(l, &l->units[pool], &all[i], &c);
        const struct account_answer seen = {c.list_nusd, c.hold_us, c.waiting_nusd};
        account_answered(&acc, &l->units[pool], &all[i], S(40) + all[i].at_us, &seen);
    }
    account_close(&acc, S(40), S(40) + until_us + 1);
    (void)f;
    return account_total(&acc.cost);
}

static void small_fleet(struct fleet *f, struct rng *r)
{
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    fleet_class(f, "k", fleet_between(r, 0, 10));
    f->classes[0].ttft_us = S(1);
    f->p.serve.default_class = 0;
    if (fleet_chance(r, 0.5))
        f->classes[0].unserved_nusd = (int64_t)rng_below(r, 4000000);
    fleet_random_places(f);
    for (int i = 0; i < SMALL_POOLS; i++) {
        struct pool *pool = fleet_pool(f, (const char *[]){"a", "b", "c"}[i], m);
        pool->serves[0].price.input = (int64_t)rng_below(r, 3000000000);
        pool->serves[0].price.output = (int64_t)rng_below(r, 9000000000);
        pool->chip = (int32_t)rng_below(r, 3) - 1;
        pool->site = (int32_t)rng_below(r, (uint64_t)f->p.n_sites + 1) - 1;
        if (!fleet_chance(r, 0.7))
            continue;
        struct contract *c = commit(f, pool, fleet_chance(r, 0.5) ? COMMIT_USD : COMMIT_TOKENS, 0);
        c->commitment.amount = c->commitment.unit == COMMIT_USD ? fleet_between(r, 1e-4, 1e-2)
                                                                : fleet_between(r, 500, 5000);
        if (c->commitment.unit == COMMIT_TOKENS && fleet_chance(r, 0.5))
            c->commitment.beyond_nusd_per_unit = fleet_between(r, 0, 3000);
    }
    fleet_start(f, "least-cost");
}

// With nothing scarce but commitments the bound is the least of all assignments, but for the one
// request at the edge of each commitment that a real assignment cannot cut in two.
static void small_cases_are_as_good_as_trying_everything(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng r;
        struct fleet f;
        struct arrival all[SMALL];
        struct buf text;
        rng_seed(&r, seed);
        small_fleet(&f, &r);
        buf_init(&text, 1 << 16);
        buf_lit(&text, "t_us,prompt_tokens,output_tokens,model\n");
        for (int i = 0; i < SMALL; i++) {
            all[i] = (struct arrival){.at_us = i * S(30),
                                      .prompt_tok = 1 + (int32_t)rng_below(&r, 2000),
                                      .output_tok = (int32_t)rng_below(&r, 200),
                                      .tenant = -1};
            buf_printf(&text, "%" PRId64 ",%d,%d,m\n", all[i].at_us, (int)all[i].prompt_tok,
                       (int)all[i].output_tok);
        }
        write_trace(buf_str(&text));
        struct outcome o = {.diag = {0}};
        const struct scene s = {.p = &f.p};
        play(&o, &s, "caudal", true);
        EXPECT(!o.e, "seed %" PRIu64 ": %s", seed, o.diag.text);
        struct least l;
        const struct events none = {0};
        NEED(!least_new(&l, &f.arena, &f.p, &none));
        double best = INFINITY, edge = 0;
        for (uint32_t choice = 0; choice < 1u << (2 * SMALL); choice++) {
            double cost = cost_of_choice(&f, &l, &f.arena, all, choice, all[SMALL - 1].at_us);
            best = cost < best ? cost : best;
        }
        for (int i = 0; i < SMALL; i++) {
            bool imputed;
            edge = fmax(edge, least_unserved(&l, &all[i], &imputed));
        }
        EXPECT(o.bound.nusd <= best + 1e-3, "seed %" PRIu64 ": %g, and %g is possible", seed,
               o.bound.nusd, best);
        EXPECT(o.bound.nusd >= best - edge * (f.p.n_contracts + 0.2), "seed %" PRIu64 ": %g, %g",
               seed, o.bound.nusd, best);
        buf_release(&text);
        fleet_release(&f);
    }
}

static void coarser_is_still_a_bound_and_finer_is_no_lower(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *paid = fleet_pool(&f, "paid", m);
    fleet_price(paid, 3);
    fleet_price(fleet_pool(&f, "spot", m), 2);
    commit(&f, paid, COMMIT_USD, 0.1);
    fleet_start(&f, "least-cost");
    even_trace(100);
    double last = -1;
    for (int32_t buckets = 1; buckets <= 64; buckets *= 8) {
        struct outcome o = {.diag = {0}};
        const struct scene s = {.p = &f.p, .buckets = buckets};
        play(&o, &s, "caudal", true);
        EXPECT(!o.e && o.cost >= o.bound.nusd - 1e-3, "%d: %g %g", (int)buckets, o.cost,
               o.bound.nusd);
        EXPECT(o.bound.nusd >= last - 1e-3, "%d: %g after %g", (int)buckets, o.bound.nusd, last);
        last = o.bound.nusd;
    }
    fleet_release(&f);
}

int main(void)
{
    TEST(all_goes_to_the_cheapest_where_nothing_is_scarce);
    TEST(what_is_prepaid_is_free_and_no_more_of_it_than_there_is);
    TEST(beyond_a_commitment_its_own_price_counts);
    TEST(a_commitment_longer_than_the_trace_counts_in_proportion);
    TEST(a_slot_that_is_taken_is_taken);
    TEST(what_nobody_may_answer_costs_what_its_class_says);
    TEST(a_stand_in_never_looks_like_saving);
    TEST(coarser_is_still_a_bound_and_finer_is_no_lower);
    TEST(small_cases_are_as_good_as_trying_everything);
    TEST(no_policy_costs_less_than_the_bound);
    unlink(path);
    return test_end();
}
