// What holds of every decision, whatever the portfolio, over thousands of random ones. That no pool
// is chosen that may not, and none that may scores below the chosen, is test_route's and
// test_decide's.

#include "lib/fleet.h"

enum { SEEDS = 2000, CANDIDATES = 128, FLIGHTS = 128 };

// --- prices of resources ----------------------------------------------------------------------

enum resource { ENERGY_OF_A_SITE, CARBON, WAITING, A_COMMITMENT, A_SLOT, RESOURCES };

// A plan by which slots of the first pool are scarce at any time.
static void price_slots(struct fleet *f, double nusd_per_us)
{
    struct planned_prices *plan = arena_new(&f->arena, struct planned_prices, 1);
    plan->until_us = NEVER;
    plan->contracts = arena_new(&f->arena, struct planned_contract, FLEET_POOLS);
    plan->pools = arena_new(&f->arena, struct planned_pool, FLEET_POOLS);
    for (int32_t i = 0; i < FLEET_POOLS; i++)
        plan->pools[i].share = -1;
    plan->pools[0].scarce = true;
    for (int32_t i = 0; i < TYPICAL_HOURS; i++)
        plan->pools[0].slot_nusd_per_us[i] = nusd_per_us;
    f->p.prices = plan;
}

// The fleet of this seed with one resource dearer by `factor`: a site's energy, carbon, a user's
// waiting, a commitment, of which more is used, or a pool's slots.
static void start_at_price(struct fleet *f, uint64_t seed, enum resource what, double factor)
{
    fleet_random(f, seed);
    for (int32_t i = 0; i < f->p.n_sites; i++)
        f->sites[i].carbon_g_per_joule = fleet_between(&f->rng, 1e-6, 3e-4);
    f->p.serve.carbon_nusd_per_g = 8e4 * (what == CARBON ? factor : 1);
    if (what == ENERGY_OF_A_SITE && f->p.n_sites > 0)
        f->sites[0].energy_nusd_per_joule *= factor;
    for (int32_t i = 0; what == WAITING && i < f->p.n_classes; i++)
        f->steps[i][0].nusd_per_us *= factor, f->steps[i][1].nusd_per_us *= factor;
    if (what == A_COMMITMENT && f->p.n_contracts > 0)
        f->contracts[0].commitment =
            (struct commitment){.unit = COMMIT_USD, .amount = 1e6, .per = PERIOD_MONTH};
    for (int32_t i = 1; what == A_COMMITMENT && i < f->p.n_pools; i++)
        if (f->p.n_contracts > 0 && f->pools[i].contract < 0 && fleet_chance(&f->rng, 0.5))
            f->pools[i].contract = 0;
    if (what == A_SLOT)
        price_slots(f, 0.01 * factor);
    fleet_start(f, "caudal");
    if (what == A_COMMITMENT && f->p.n_contracts > 0)
        route_commitment_used(f->route, 0, 1e6 * 0.02 * factor, 0, S(80));
}

// How much of the resource a candidate uses, by what it cost at the lower price.
static double use_of(const struct fleet *f, const struct route_candidate *c,
                     const struct route_ask *ask, enum resource what)
{
    switch (what) {
    case ENERGY_OF_A_SITE: return f->pools[c->pool].site == 0 ? c->terms.energy : 0;
    case CARBON: return c->terms.carbon;
    case WAITING: return c->terms.wait_ttft + c->terms.wait_tokens;
    case A_COMMITMENT: return c->contract == 0 ? c->terms.list / c->pace : 0;
    case A_SLOT:  // no pool of fleet_random() has replicas or a bound on answers
        return c->pool == 0 ? c->terms.prefill_us + ask->output_tok * c->terms.model_per_token_us
                            : 0;
    case RESOURCES: break;
    }
    return 0;
}

// Its use by the pool that wins in `at`; -1: none may have it.
static double use_of_winner(const struct fleet *at, const struct fleet *cheap,
                            const struct route_ask *ask, enum resource what)
{
    struct route_candidate all[CANDIDATES];
    struct route_decision d = route_pick(at->route, ask, 0);
    int32_t n = route_explain(cheap->route, ask, 0, all, CANDIDATES);
    for (int32_t i = 0; d.verdict == ROUTE_SEND && i < n; i++)
        if (all[i].pool == d.pool && all[i].model == d.model)
            return use_of(cheap, &all[i], ask, what);
    return -1;
}

static void a_dearer_resource_is_never_used_more(void)
{
    int32_t moved[RESOURCES] = {0};
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        struct fleet cheap, dear;
        enum resource what = (enum resource)(seed % RESOURCES);
        start_at_price(&cheap, seed, what, 1);
        start_at_price(&dear, seed, what, fleet_between(&cheap.rng, 2, 200));
        struct route_ask ask = fleet_random_ask(&cheap, 0);
        ask.wall_us = S(80);
        ask.n_tried = 0;
        double before = use_of_winner(&cheap, &cheap, &ask, what);
        double after = use_of_winner(&dear, &cheap, &ask, what);
        EXPECT((before < 0) == (after < 0) && (after < 0 || after <= before * (1 + 1e-9)),
               "seed %" PRIu64 ": resource %d, used %g then %g", seed, (int)what, before, after);
        moved[what] += after < before;
        fleet_release(&cheap);
        fleet_release(&dear);
    }
    for (int32_t i = 0; i < RESOURCES; i++)
        EXPECT(moved[i] > 10, "resource %d moved the choice %d times only", i, moved[i]);
}

// --- refusing ---------------------------------------------------------------------------------

static void only_too_dear_is_refused_for_its_price(void)
{
    int32_t refused = 0, sent = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct fleet f;
        struct route_candidate all[CANDIDATES];
        fleet_random(&f, seed);
        for (int32_t i = 0; i < f.p.n_classes; i++)
            f.classes[i].unserved_nusd = (int64_t)rng_below(&f.rng, 5000000);
        fleet_start(&f, "caudal");
        for (int32_t k = 0; k < 8; k++) {
            struct route_ask ask = fleet_random_ask(&f, 0);
            struct route_decision d = route_pick(f.route, &ask, 0);
            int32_t n = route_explain(f.route, &ask, 0, all, CANDIDATES);
            double least = -1,
                   worth = ask.class < 0 ? 1e30 : (double)f.classes[ask.class].unserved_nusd;
            for (int32_t i = 0; i < n; i++)
                if (all[i].bar == ROUTE_MAY && (least < 0 || all[i].terms.total < least))
                    least = all[i].terms.total;
            bool dear = d.verdict == ROUTE_REFUSE && d.bar == ROUTE_BAR_PRICE;
            EXPECT(dear == (least > worth), "seed %" PRIu64 ": %g of %g", seed, least, worth);
            EXPECT(least < 0 || dear || d.verdict == ROUTE_SEND, "seed %" PRIu64, seed);
            refused += dear;
            sent += d.verdict == ROUTE_SEND;
        }
        fleet_release(&f);
    }
    EXPECT(refused > 1000 && sent > 1000, "%d refused, %d sent", refused, sent);
}

// --- limits -----------------------------------------------------------------------------------

struct sent {
    int32_t pool;
    int64_t at_us, tok;
};

// In any span: what a full bucket holds, and what flows in meanwhile.
static void check_buckets(const struct fleet *f, const struct sent *sent, int32_t n, uint64_t seed)
{
    for (int32_t i = 0; i < n; i++) {
        const struct pool_limits *lim = &f->pools[sent[i].pool].limits;
        double derate = f->pools[sent[i].pool].derate, requests = 0, tokens = 0;
        for (int32_t k = i; k < n; k++) {
            if (sent[k].pool != sent[i].pool)
                continue;
            double span_s = (double)(sent[k].at_us - sent[i].at_us) / 1e6;
            double full = 60 * lim->requests_per_s * derate;
            requests++;
            // One that needs more than a full bucket has all of it.
            double most_tok = 60 * lim->tokens_per_s * derate;
            tokens += (double)sent[k].tok < most_tok ? (double)sent[k].tok : most_tok;
            EXPECT(lim->requests_per_s <= 0 ||
                       requests <=
                           (full < 1 ? 1 : full) + span_s * lim->requests_per_s * derate + 1e-6,
                   "seed %" PRIu64 " pool %d: %g requests in %g s", seed, sent[i].pool, requests,
                   span_s);
            EXPECT(
                lim->tokens_per_s <= 0 || tokens <= (60 + span_s) * lim->tokens_per_s * derate + 1,
                "seed %" PRIu64 " pool %d: %g tokens in %g s", seed, sent[i].pool, tokens, span_s);
        }
    }
}

// Picked or woken, no pool has more in flight, in a minute or in tokens than it may.
static void no_limit_is_overrun_in_any_fleet(void)
{
    static struct sent sent[4096];
    int64_t all = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct fleet f;
        struct route_ask asks[FLIGHTS];
        struct route_woken flying[FLIGHTS];
        int32_t n = 0, n_sent = 0;
        int64_t now_us = 0;
        fleet_random(&f, seed);
        fleet_start(&f, seed % 2 ? "caudal" : "two-choices");
        for (int32_t step = 0; step < 60; step++) {
            now_us += (int64_t)rng_below(&f.rng, MS(800));
            int32_t from = n;
            struct route_ask ask = fleet_random_ask(&f, now_us);
            asks[n] = ask;
            flying[n].decision = route_pick(f.route, &ask, now_us);
            if (flying[n].decision.verdict == ROUTE_SEND) {
                route_took(f.route, &ask, &flying[n].decision, now_us);
                n++;
            } else if (flying[n].decision.verdict == ROUTE_WAIT) {
                static struct route_ask waiting[60];
                waiting[step] = ask;
                route_wait(f.route, &ask, (uint64_t)(uintptr_t)&waiting[step], now_us);
            }
            while (n < FLIGHTS - 1 && route_next(f.route, &flying[n], now_us)) {
                asks[n] = *(struct route_ask *)(uintptr_t)flying[n].user;
                n += flying[n].decision.verdict == ROUTE_SEND;
            }
            for (int32_t i = from; i < n; i++)
                sent[n_sent++] = (struct sent){flying[i].decision.pool, now_us,
                                               asks[i].prompt_tok + asks[i].output_tok};
            for (int32_t i = 0; i < f.p.n_pools; i++) {
                int32_t most = f.pools[i].limits.in_flight;
                int32_t has = route_view(f.route, i, now_us).in_flight;
                EXPECT(most == 0 || has <= most, "seed %" PRIu64 " pool %d: %d of %d", seed, i, has,
                       most);
            }
            if (n > 0 && fleet_chance(&f.rng, 0.6)) {
                int32_t i = (int32_t)rng_below(&f.rng, (uint64_t)n--);
                struct route_seen seen = {.outcome = ROUTE_OK,
                                          .prompt_tok = asks[i].prompt_tok,
                                          .output_tok = asks[i].output_tok};
                route_done(f.route, &asks[i], &flying[i].decision, &seen, now_us);
                flying[i] = flying[n];
                asks[i] = asks[n];
            }
        }
        check_buckets(&f, sent, n_sent, seed);
        all += n_sent;
        fleet_release(&f);
    }
    EXPECT(all > 10 * SEEDS, "%lld were sent", (long long)all);
}

// --- waiting ----------------------------------------------------------------------------------

// One slot, and more of every class and tenant all the time: each has its turn before long. Classes
// weigh 1 to 16, so that the least of `groups` waits for some 16 turns of each other.
static void who_waits_has_a_turn_before_long(void)
{
    enum { TURNS = 1200 };
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct fleet f;
        int32_t last[FLEET_CLASSES * FLEET_TENANTS] = {0}, longest = 0;
        fleet_init(&f);
        rng_seed(&f.rng, seed);
        fleet_pool(&f, "p", fleet_model(&f, "m"))->limits.in_flight = 1;
        int32_t classes = 1 + (int32_t)rng_below(&f.rng, FLEET_CLASSES);
        int32_t tenants = 2 + (int32_t)rng_below(&f.rng, FLEET_TENANTS - 1);
        for (int32_t i = 0; i < classes; i++)
            fleet_class(&f, (const char *[]){"k0", "k1", "k2", "k3"}[i],
                        fleet_between(&f.rng, 0, 50));
        for (int32_t i = 0; i < tenants; i++)
            fleet_tenant(&f, (const char *[]){"t0", "t1", "t2", "t3", "t4"}[i]);
        fleet_start(&f, "caudal");
        int32_t groups = classes * tenants;
        struct route_ask ask = fleet_ask(&f, 0);
        struct route_decision d = route_pick(f.route, &ask, 0);
        route_took(f.route, &ask, &d, 0);
        for (int32_t turn = 0; turn < TURNS; turn++) {
            for (int32_t g = 0; g < groups; g++) {
                struct route_ask next = fleet_ask(&f, turn);
                next.class = g / tenants;
                next.tenant = g % tenants;
                if (turn < TURNS / 2 || g > 0)  // the first stops asking, and still gets its own
                    route_wait(f.route, &next, (uint64_t)g, turn);
            }
            struct route_seen seen = {.outcome = ROUTE_OK, .ttft_us = 1000, .per_token_us = 100};
            struct route_woken w;
            route_done(f.route, &ask, &d, &seen, turn);
            NEED(route_next(f.route, &w, turn) && w.decision.verdict == ROUTE_SEND);
            d = w.decision;
            int32_t since = turn - last[w.user];
            longest = since > longest ? since : longest;
            last[w.user] = turn;
        }
        for (int32_t g = 0; g < groups; g++)
            longest = TURNS - last[g] > longest ? TURNS - last[g] : longest;
        EXPECT(longest <= 17 * groups + 17, "seed %" PRIu64 ": one of %d groups waited %d turns",
               seed, groups, longest);
        fleet_release(&f);
    }
}

int main(void)
{
    TEST(a_dearer_resource_is_never_used_more);
    TEST(only_too_dear_is_refused_for_its_price);
    TEST(no_limit_is_overrun_in_any_fleet);
    TEST(who_waits_has_a_turn_before_long);
    return test_end();
}
