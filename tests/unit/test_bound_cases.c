// The hindsight bound of cases whose least is known by hand, of small ones that can be tried out,
// and of coarser and finer programs.

#include "lib/bound_scene.h"

// --- cases whose least is known ---------------------------------------------------------------

// `n` requests of 1,000 tokens in and none out, one a second; all with these blocks.
static void even_trace_of(int n, const char *blocks)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_lit(&text, "t_us,prompt_tokens,output_tokens,model,block_hashes\n");
    for (int i = 0; i < n; i++)
        buf_printf(&text, "%d,1000,0,m,%s\n", i * 1000000, blocks);
    write_trace(buf_str(&text));
    buf_release(&text);
}

static void even_trace(int n)
{
    even_trace_of(n, "");
}

static double bound_of(struct fleet *f, const char *policy)
{
    struct outcome o = {.diag = {0}};
    const struct scene s = {.p = &f->p, .seed = 1};
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

// A prepaid pool at 3 USD/Mtok beside one without a commitment at 2.
static struct contract *paid_and_spot(struct fleet *f, enum commitment_unit unit, double amount)
{
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    struct pool *paid = fleet_pool(f, "paid", m);
    fleet_price(paid, 3);
    fleet_price(fleet_pool(f, "spot", m), 2);
    return commit(f, paid, unit, amount);
}

static void what_is_prepaid_is_free_and_no_more_of_it_than_there_is(void)
{
    struct fleet f;
    paid_and_spot(&f, COMMIT_USD, 0.12);  // 40 requests at 0.003 USD
    even_trace(100);
    double v = bound_of(&f, "caudal");
    EXPECT(is(v, 60 * 2), "%.9f", v);
    fleet_release(&f);
}

static void beyond_a_commitment_its_own_price_counts(void)
{
    struct fleet f;
    struct contract *c = paid_and_spot(&f, COMMIT_TOKENS, 30000);
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
    struct contract *c = paid_and_spot(&f, COMMIT_USD, 1.2);
    c->from_us = S(40);
    c->until_us = S(40) + 10 * (S(99) + 1);
    even_trace(100);
    double v = bound_of(&f, "caudal");
    EXPECT(is(v, 60 * 2), "%.9f", v);
    fleet_release(&f);
}

// The trace has the second fifth of a term, of which an even pace would have used a fifth. Of what
// is left by then, a quarter falls to it.
static void what_was_used_before_the_trace_is_as_said(void)
{
    static const struct {
        double used;
        int inside;  // requests
    } cases[] = {{-1, 40}, {0.2, 40}, {0, 50}, {0.6, 20}, {1, 0}};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct fleet f;
        struct contract *c = paid_and_spot(&f, COMMIT_USD, 0.6);  // 200 requests at 0.003 USD
        int64_t trace_us = S(99) + 1;
        c->from_us = S(40) - trace_us;
        c->until_us = c->from_us + 5 * trace_us;
        even_trace(100);
        struct outcome o = {.diag = {0}};
        const struct scene s = {.p = &f.p, .seed = 1, .used = &cases[i].used};
        fleet_start(&f, "least-cost");
        play(&o, &s, "caudal", true);
        EXPECT(!o.e && is(o.bound.nusd / 1e6, (100 - cases[i].inside) * 2), "%g: %.9f",
               cases[i].used, o.bound.nusd / 1e6);
        EXPECT(o.cost >= o.bound.nusd * (1 - 1e-12), "%g: %g", cases[i].used, o.cost);
        fleet_release(&f);
    }
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

// 0.2 s of a slot of 1 kW: 0.2 g where the power is dirty, which here cost as much as the prompt.
static void carbon_counts_at_its_price(void)
{
    for (int priced = 0; priced < 2; priced++) {
        struct fleet f;
        fleet_init(&f);
        int32_t m = fleet_model(&f, "m");
        f.p.n_chips = 1;
        f.points[0][0] = (struct point){
            .model = -1, .step_us = 1, .prefill_tok_s = 5000, .slots = 10, .power_w = 10000};
        f.chips[0] = (struct chip){.name = STR("chip"), .points = f.points[0], .n_points = 1};
        f.p.n_sites = 2;
        for (int32_t i = 0; i < 2; i++) {
            f.sites[i] = (struct site){.name = i ? STR("south") : STR("north"), .pue = 1};
            struct pool *pool = fleet_pool(&f, i ? "clean" : "dirty", m);
            fleet_price(pool, i ? 1.5 : 1);
            pool->site = i, pool->chip = 0;
        }
        f.sites[0].carbon_g_per_joule = 1e-3;
        f.p.serve.carbon_nusd_per_g = priced ? 5e6 : 0;
        even_trace(100);
        double v = bound_of(&f, "caudal");
        EXPECT(is(v, priced ? 150 : 100), "%.9f", v);
        fleet_release(&f);
    }
}

// 512 of 1,000 tokens at a tenth of the price; that somebody must have read them first is relaxed.
static void what_may_be_in_a_cache_is_reckoned_so(void)
{
    struct fleet f;
    fleet_init(&f);
    struct pool *pool = fleet_pool(&f, "keeps", fleet_model(&f, "m"));
    fleet_price(pool, 2);
    pool->serves[0].price.cached_input = 200000000;
    pool->prefix_cache = (struct prefix_cache){true, 100000, -1};
    even_trace_of(100, "7");
    double v = bound_of(&f, "caudal");
    EXPECT(is(v, 100 * (488 * 2 + 512 * 0.2) / 1000), "%.9f", v);
    fleet_release(&f);
}

// --- trying everything out --------------------------------------------------------------------

enum { SMALL = 7, SMALL_POOLS = 3 };

static double cost_of_choice(const struct editions *e, const struct least *l, struct arena *a,
                             const struct arrival *all, uint32_t choice, int64_t until_us)
{
    struct account acc;
    NEED(!account_init(&acc, a, e, l, true));
    for (int i = 0; i < SMALL; i++, choice /= SMALL_POOLS + 1) {
        int pool = (int)(choice % (SMALL_POOLS + 1));
        if (pool == SMALL_POOLS) {
            account_lost(&acc, &all[i]);
            continue;
        }
        struct least_cost c;
        least_of(l, &l->units[pool], &all[i], &c);
        const struct account_answer seen = {c.list_nusd, c.hold_us, c.waiting_nusd};
        account_answered(&acc, pool, &all[i], &seen);
    }
    account_close(&acc, S(40), S(40) + until_us + 1);
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
        const struct scene s = {.p = &f.p, .seed = seed};
        play(&o, &s, "caudal", true);
        EXPECT(!o.e, "seed %" PRIu64 ": %s", seed, o.diag.text);
        const struct least *l;
        struct editions editions;
        const struct events none = {0};
        NEED(!editions_new(&editions, &f.arena, &f.p, &none, S(40)));
        NEED(!least_new(&l, &f.arena, &editions, &none));
        double best = INFINITY, edge = 0;
        for (uint32_t choice = 0; choice < 1u << (2 * SMALL); choice++) {
            double cost = cost_of_choice(&editions, l, &f.arena, all, choice, all[SMALL - 1].at_us);
            best = cost < best ? cost : best;
        }
        for (int i = 0; i < SMALL; i++) {
            bool imputed;
            edge = fmax(edge, least_unserved(l, &all[i], &imputed));
        }
        EXPECT(o.bound.nusd <= best + 1e-3, "seed %" PRIu64 ": %g, and %g is possible", seed,
               o.bound.nusd, best);
        EXPECT(o.bound.nusd >= best - edge * (f.p.n_contracts + 0.2), "seed %" PRIu64 ": %g, %g",
               seed, o.bound.nusd, best);
        buf_release(&text);
        fleet_release(&f);
    }
}

// Answers of 64 to 90 tokens within a second are one group of the program, but each has its own
// worth inside.
static void a_commitment_is_priced_by_the_request_that_just_gets_it(void)
{
    struct fleet f;
    paid_and_spot(&f, COMMIT_USD, 0.03);  // 10 requests at 0.003 USD
    f.pools[0].serves[0].price.output = 0;
    f.pools[1].serves[0].price.output = 10000000000;  // 10 USD/Mtok
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_lit(&text, "t_us,prompt_tokens,output_tokens,model\n");
    double least = 0;
    int n_of[100];
    for (int i = 0; i < 100; i++) {
        n_of[i] = 64 + 11 * i % 27;
        buf_printf(&text, "%d,1000,%d,m\n", i * 1000, n_of[i]);
    }
    write_trace(buf_str(&text));
    buf_release(&text);
    // The 90 with the shortest answers are bought: in thousandths of a dollar.
    for (int n = 64, left = 90; left > 0; n++)
        for (int i = 0; i < 100 && left > 0; i++)
            if (n_of[i] == n) {
                least += 2 + n / 100.0;
                left--;
            }
    double v = bound_of(&f, "caudal");
    EXPECT(v > least * (1 - 1e-3) && v < least * (1 + 1e-9), "%.6f of %.6f", v, least);
    fleet_release(&f);
}

static void coarser_is_still_a_bound_and_finer_is_no_lower(void)
{
    struct fleet f;
    paid_and_spot(&f, COMMIT_USD, 0.1);
    fleet_start(&f, "least-cost");
    even_trace(100);
    double last = -1;
    for (int32_t buckets = 1; buckets <= 64; buckets *= 8) {
        struct outcome o = {.diag = {0}};
        const struct scene s = {.p = &f.p, .seed = 1, .buckets = buckets};
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
    TEST(what_was_used_before_the_trace_is_as_said);
    TEST(a_slot_that_is_taken_is_taken);
    TEST(what_nobody_may_answer_costs_what_its_class_says);
    TEST(a_stand_in_never_looks_like_saving);
    TEST(carbon_counts_at_its_price);
    TEST(what_may_be_in_a_cache_is_reckoned_so);
    TEST(a_commitment_is_priced_by_the_request_that_just_gets_it);
    TEST(coarser_is_still_a_bound_and_finer_is_no_lower);
    TEST(small_cases_are_as_good_as_trying_everything);
    unlink(scene_path);
    return test_end();
}
