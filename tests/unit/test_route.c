#include "lib/fleet.h"
#include "route/policy.h"

enum { SEEDS = 2000, FLIGHTS = 64, CANDIDATES = 128 };

struct flight {
    struct route_ask ask;
    struct route_decision d;
};

// Traffic over a fleet: what is in flight, and what each pool was charged.
struct traffic {
    struct fleet *f;
    struct flight flights[FLIGHTS];
    int32_t n;
    int64_t now_us;
};

static void take_off(struct traffic *t, const struct route_ask *ask, const struct route_decision *d)
{
    route_took(t->f->route, ask, d, t->now_us);
    t->flights[t->n++] = (struct flight){*ask, *d};
}

static void land(struct traffic *t, int32_t i)
{
    struct rng *r = &t->f->rng;
    struct flight fl = t->flights[i];
    struct route_seen seen = {.outcome = ROUTE_OK, .ttft_us = 1 + (int64_t)rng_below(r, S(1))};
    seen.per_token_us = 1 + (int64_t)rng_below(r, MS(40));
    seen.prompt_tok = fl.ask.prompt_tok;
    seen.output_tok = 1 + (int32_t)rng_below(r, (uint64_t)fl.ask.output_tok);
    if (fleet_chance(r, 0.3))
        seen = (struct route_seen){.outcome = (enum route_outcome)rng_below(r, 5)};
    if (seen.outcome == ROUTE_OK && fleet_chance(r, 0.5))
        route_first(t->f->route, &fl.d, seen.ttft_us, t->now_us);
    route_done(t->f->route, &fl.ask, &fl.d, &seen, t->now_us);
    t->flights[i] = t->flights[--t->n];
}

static void land_all(struct traffic *t)
{
    while (t->n > 0)
        land(t, 0);
}

// Whether the portfolio allows it at all, found the slow way.
static bool portfolio_allows(const struct fleet *f, const struct route_ask *ask, int32_t pool,
                             int32_t model, int64_t now_us)
{
    const struct pool *p = &f->pools[pool];
    const struct serving *s = pool_serving(p, model);
    if (!s || !p->enabled || !(p->purpose & PURPOSE_INFERENCE))
        return false;
    if (!(serving_surfaces(&f->p, p, s) & ask->surface))
        return false;
    int32_t context = serving_context(&f->p, s);
    if (context && ask->prompt_tok + ask->output_tok_max > context)
        return false;
    int64_t wall_us = ask->wall_us + now_us - ask->arrived_us;
    if (!pool_active(&f->p, p, wall_us))
        return false;
    for (int32_t i = 0; i < p->n_maintenance; i++) {
        if (wall_us >= p->maintenance[i].from_us && wall_us < p->maintenance[i].until_us)
            return false;
    }
    for (int32_t i = 0; i < ask->n_tried; i++) {
        if (ask->tried[i] == pool)
            return false;
    }
    if (model != ask->model && !(ask->stand_in && f->p.n_groups))
        return false;
    if (ask->tenant < 0)
        return true;
    const struct tenant *t = &f->tenants[ask->tenant];
    bool region = t->n_regions < 0, may = t->n_models < 0;
    for (int32_t i = 0; i < t->n_regions && p->site >= 0; i++)
        region = region || str_eq(t->regions[i], f->sites[p->site].region);
    for (int32_t i = 0; i < t->n_models; i++)
        may = may || t->models[i] == model;
    return region && may;
}

static void check_pick(const struct fleet *f, const struct route_ask *ask,
                       const struct route_decision *d, int64_t now_us, uint64_t seed)
{
    struct route_candidate all[CANDIDATES];
    int32_t n = route_explain(f->route, ask, now_us, all, CANDIDATES), usable = 0;
    NEED(n <= CANDIDATES);
    for (int32_t i = 0; i < n; i++) {
        usable += all[i].bar == ROUTE_MAY;
        bool allowed = portfolio_allows(f, ask, all[i].pool, all[i].model, now_us);
        EXPECT(all[i].bar != ROUTE_MAY || allowed, "seed %" PRIu64 " pool %d", seed, all[i].pool);
        EXPECT(d->verdict != ROUTE_SEND || all[i].bar != ROUTE_MAY || d->panic ||
                   all[i].terms.score >= d->terms.score,
               "seed %" PRIu64 " pool %d scores %g, chosen %d %g", seed, all[i].pool,
               all[i].terms.score, d->pool, d->terms.score);
    }
    if (d->verdict == ROUTE_SEND) {
        EXPECT(portfolio_allows(f, ask, d->pool, d->model, now_us), "seed %" PRIu64, seed);
        EXPECT(d->panic || d->usable == usable, "seed %" PRIu64 " %d %d", seed, d->usable, usable);
        EXPECT(now_us < ask->deadline_us, "seed %" PRIu64, seed);
    } else {
        EXPECT(usable == 0, "seed %" PRIu64 " verdict %d with %d usable", seed, d->verdict, usable);
        EXPECT(d->pool == -1 && d->bar != ROUTE_MAY && d->why, "seed %" PRIu64, seed);
        EXPECT(d->verdict != ROUTE_WAIT ||
                   (d->until_us > now_us && d->until_us <= ask->deadline_us),
               "seed %" PRIu64, seed);
    }
}

// Whatever the fleet looks like and whatever has happened to it, the chosen pool is one that may
// have the request, and none that may scores below it.
static void pick_takes_the_best_that_may(void)
{
    static const char *const policies[] = {"least-cost", "priority-spill", "round-robin",
                                           "least-in-flight"};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct fleet f;
        fleet_random(&f, seed);
        fleet_start(&f, policies[seed % 4]);
        struct traffic t = {.f = &f};
        for (int32_t step = 0; step < 60; step++) {
            t.now_us += (int64_t)rng_below(&f.rng, S(4));
            struct route_ask ask = fleet_random_ask(&f, t.now_us);
            struct route_decision d = route_pick(f.route, &ask, t.now_us);
            check_pick(&f, &ask, &d, t.now_us, seed);
            if (d.verdict == ROUTE_SEND && t.n < FLIGHTS)
                take_off(&t, &ask, &d);
            if (t.n > 0 && fleet_chance(&f.rng, 0.6))
                land(&t, (int32_t)rng_below(&f.rng, (uint64_t)t.n));
        }
        land_all(&t);
        for (int32_t i = 0; i < f.p.n_pools; i++)
            EXPECT(route_view(f.route, i, t.now_us).in_flight == 0, "seed %" PRIu64, seed);
        fleet_release(&f);
    }
}

// A pool's price goes up: it never becomes the choice for that.
static void a_higher_price_never_makes_a_pool_win(void)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct fleet f;
        fleet_random(&f, seed);
        fleet_start(&f, "least-cost");
        struct route_ask ask = fleet_random_ask(&f, 0);
        int32_t before = route_pick(f.route, &ask, 0).pool;
        int32_t dearer = (int32_t)rng_below(&f.rng, (uint64_t)f.p.n_pools);
        for (int32_t i = 0; i < f.pools[dearer].n_serves; i++) {
            f.pools[dearer].serves[i].price.input += 1 + (int64_t)rng_below(&f.rng, 3000000000);
            f.pools[dearer].serves[i].price.output += (int64_t)rng_below(&f.rng, 3000000000);
        }
        struct route *again;
        NEED(!route_new(&again, &f.arena, &f.p, f.live, "least-cost", NULL));
        int32_t after = route_pick(again, &ask, 0).pool;
        EXPECT(after == before || (before == dearer && after != dearer),
               "seed %" PRIu64 ": %d dearer, chosen %d then %d", seed, dearer, before, after);
        fleet_release(&f);
    }
}

struct charge {
    int64_t at_us;
    int32_t tok;
};

// In any span of time, no more than a full bucket and its rate for that long; never more in flight.
static void limits_are_never_overrun(void)
{
    enum { STEPS = 3000 };
    static struct charge charges[STEPS];
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fleet f;
        fleet_init(&f);
        rng_seed(&f.rng, seed);
        struct pool *pool = fleet_pool(&f, "p", fleet_model(&f, "m"));
        double requests = fleet_between(&f.rng, 0.005, 5), tokens = fleet_between(&f.rng, 5, 2000);
        pool->limits.requests_per_s = requests;
        pool->limits.tokens_per_s = tokens;
        pool->limits.in_flight = 1 + (int32_t)rng_below(&f.rng, 20);
        fleet_start(&f, "least-cost");
        int32_t n = 0, in_flight = 0, prompts = 1 + (int32_t)(tokens * 20);
        struct flight flights[20];
        int64_t now_us = 0;
        for (int32_t step = 0; step < STEPS; step++) {
            now_us += (int64_t)rng_below(&f.rng, fleet_chance(&f.rng, 0.02) ? S(100) : MS(500));
            struct route_ask ask = fleet_ask(&f, now_us);
            ask.prompt_tok = 1 + (int32_t)rng_below(&f.rng, (uint64_t)prompts);
            ask.output_tok = 1 + (int32_t)rng_below(&f.rng, (uint64_t)prompts);
            struct route_decision d = route_pick(f.route, &ask, now_us);
            if (d.verdict == ROUTE_SEND) {
                route_took(f.route, &ask, &d, now_us);
                flights[in_flight++] = (struct flight){ask, d};
                charges[n++] = (struct charge){now_us, ask.prompt_tok + ask.output_tok};
                EXPECT(in_flight <= pool->limits.in_flight, "seed %" PRIu64, seed);
                if (in_flight > pool->limits.in_flight)
                    break;
            } else {
                EXPECT(d.verdict == ROUTE_WAIT && d.bar == ROUTE_BAR_WAIT, "seed %" PRIu64, seed);
            }
            if (in_flight > 0 && fleet_chance(&f.rng, 0.8)) {
                struct flight fl = flights[--in_flight];
                struct route_seen seen = {.outcome = ROUTE_OK};  // it used what was forecast
                seen.prompt_tok = fl.ask.prompt_tok;
                seen.output_tok = fl.ask.output_tok;
                route_done(f.route, &fl.ask, &fl.d, &seen, now_us);
            }
        }
        for (int32_t i = 0; i < n; i++) {
            double sum = 0;
            for (int32_t j = i; j < n && j < i + 300; j++) {
                double span_s = (double)(charges[j].at_us - charges[i].at_us) / 1e6;
                double most = requests * 60 < 1 ? 1 : requests * 60;
                sum += charges[j].tok;
                EXPECT(j - i + 1 <= most + requests * span_s + 1e-6, "seed %" PRIu64, seed);
                EXPECT(sum <= tokens * (60 + span_s) + 1 + 1e-3, "seed %" PRIu64 " %g in %g s",
                       seed, sum, span_s);
            }
        }
        // And they are not kept from what they may have: the buckets do come free again.
        EXPECT(n > 5, "seed %" PRIu64 " sent %d", seed, n);
        fleet_release(&f);
    }
}

// The answer used less than the forecast: the rest is given back.
static void what_was_not_used_is_given_back(void)
{
    struct fleet f;
    fleet_init(&f);
    fleet_pool(&f, "p", fleet_model(&f, "m"))->limits.tokens_per_s = 10;  // 600 at once
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    ask.output_tok = 500;
    struct route_decision d = route_pick(f.route, &ask, 0);
    route_took(f.route, &ask, &d, 0);
    EXPECT(route_pick(f.route, &ask, 0).verdict == ROUTE_WAIT, "the bucket is empty");
    EXPECT(route_pick(f.route, &ask, 0).until_us == S(60), "full again in a minute");
    struct route_seen seen = {.outcome = ROUTE_OK, .prompt_tok = 100, .output_tok = 50};
    route_done(f.route, &ask, &d, &seen, 0);
    EXPECT(route_pick(f.route, &ask, 0).until_us == S(15), "150 of 600 were used");
    EXPECT(route_pick(f.route, &ask, S(15)).verdict == ROUTE_SEND, "and that is when it may");
    fleet_release(&f);
}

static uint64_t replay(uint64_t seed)
{
    struct fleet f;
    fleet_random(&f, seed);
    f.p.serve.band = 0.3;
    fleet_start(&f, "least-cost");
    struct traffic t = {.f = &f};
    uint64_t hash = 0;
    for (int32_t step = 0; step < 200; step++) {
        t.now_us += (int64_t)rng_below(&f.rng, MS(900));
        struct route_ask ask = fleet_random_ask(&f, t.now_us);
        struct route_decision d = route_pick(f.route, &ask, t.now_us);
        uint64_t bits;
        memcpy(&bits, &d.terms.total, sizeof bits);
        hash =
            mix64(hash ^ bits ^ (uint64_t)d.pool << 8 ^ (uint64_t)d.bar << 4 ^ (uint64_t)d.verdict);
        hash = mix64(hash + (uint64_t)d.until_us);
        if (d.verdict == ROUTE_SEND && t.n < FLIGHTS)
            take_off(&t, &ask, &d);
        else if (d.verdict == ROUTE_WAIT)
            route_wait(f.route, &ask, (uint64_t)step, t.now_us);
        struct route_woken w;
        while (t.n < FLIGHTS && route_next(f.route, &w, t.now_us))
            hash = mix64(hash ^ w.user ^ (uint64_t)w.decision.pool << 8);
        if (t.n > 0 && fleet_chance(&f.rng, 0.6))
            land(&t, (int32_t)rng_below(&f.rng, (uint64_t)t.n));
    }
    fleet_release(&f);
    return hash;
}

static void the_same_calls_give_the_same_answers(void)
{
    uint64_t all = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        uint64_t one = replay(seed);
        EXPECT(one == replay(seed), "seed %" PRIu64, seed);
        all = mix64(all ^ one);
    }
    printf("  all decisions: %016" PRIx64 "\n", all);
}

static void nothing_is_allocated_after_the_start(void)
{
    struct fleet f;
    fleet_random(&f, 3);
    fleet_start(&f, "least-cost");
    size_t used = f.arena.used;
    struct traffic t = {.f = &f};
    for (int32_t step = 0; step < 20000; step++) {
        t.now_us += (int64_t)rng_below(&f.rng, MS(300));
        struct route_ask ask = fleet_random_ask(&f, t.now_us);
        struct route_decision d = route_pick(f.route, &ask, t.now_us);
        if (d.verdict == ROUTE_SEND && t.n < FLIGHTS)
            take_off(&t, &ask, &d);
        else if (d.verdict == ROUTE_WAIT)
            route_cancel(f.route, route_wait(f.route, &ask, 1, t.now_us));
        if (t.n > 0 && fleet_chance(&f.rng, 0.5))
            land(&t, 0);
    }
    EXPECT(f.arena.used == used, "%zu then %zu", used, f.arena.used);
    fleet_release(&f);
}

static void without_memory_it_says_so(void)
{
    struct fleet f;
    fleet_random(&f, 5);
    struct diag diag = {0};
    NEED(!portfolio_seal(&f.p, &diag));
    int32_t failed = 0;
    for (size_t limit = 0;; limit += limit < 65536 ? 64 : 65536) {
        struct arena a;
        arena_init(&a, limit);
        struct live *live = NULL;
        struct route *r = NULL;
        enum err e = live_new(&live, &a, 32, 128);
        if (!e)
            e = route_new(&r, &a, &f.p, live, "least-cost", NULL);
        EXPECT(!e || (e == ERR_LIMIT && !r), "limit %zu: %s", limit, err_name(e));
        EXPECT(a.used <= limit, "used %zu", a.used);
        arena_release(&a);
        if (!e)
            break;
        failed++;
    }
    EXPECT(failed > 10, "%d", failed);
    struct live *small;
    NEED(!live_new(&small, &f.arena, 1, 1));
    struct route *r = NULL;
    EXPECT(route_new(&r, &f.arena, &f.p, small, "least-cost", &diag) == ERR_LIMIT, "live is full");
    fleet_release(&f);
}

static void an_unknown_policy_is_named(void)
{
    struct fleet f;
    fleet_init(&f);
    fleet_pool(&f, "p", fleet_model(&f, "m"));
    fleet_start(&f, "least-cost");
    struct diag diag = {0};
    struct route *r = NULL;
    EXPECT(route_new(&r, &f.arena, &f.p, f.live, "cheapest", &diag) == ERR_INVALID, "accepted");
    EXPECT(strstr(diag.text, "cheapest") && strstr(diag.text, "least-cost"), "%s", diag.text);
    EXPECT(!r, "written");
    fleet_release(&f);
}

// 2,000 requests through two pools by the policy; how many each had.
struct split {
    int32_t a, b;
};

static struct split split_of(const char *policy, double band, double price_b, double weight_b)
{
    struct fleet f;
    fleet_init(&f);
    f.p.serve.band = band;
    int32_t m = fleet_model(&f, "m");
    fleet_price(fleet_pool(&f, "a", m), 1);
    struct pool *b = fleet_pool(&f, "b", m);
    fleet_price(b, price_b);
    b->weight = weight_b;
    fleet_start(&f, policy);
    struct split out = {0, 0};
    rng_seed(&f.rng, 1);
    for (int32_t i = 0; i < 2000; i++) {
        struct route_ask ask = fleet_ask(&f, i);
        ask.draw = rng_u64(&f.rng);
        struct route_decision d = route_pick(f.route, &ask, i);
        NEED(d.verdict == ROUTE_SEND);
        route_took(f.route, &ask, &d, i);
        struct route_seen seen = {.outcome = ROUTE_NO_SAY};
        route_done(f.route, &ask, &d, &seen, i);
        *(d.pool ? &out.b : &out.a) += 1;
    }
    fleet_release(&f);
    return out;
}

static void within_the_band_the_weights_decide(void)
{
    struct split s = split_of("least-cost", 0.02, 1.01, 3);
    EXPECT(s.b > 1400 && s.b < 1600, "3 to 1 gave %d and %d", s.a, s.b);
    s = split_of("least-cost", 0.02, 1.03, 3);
    EXPECT(s.b == 0, "beyond the band: %d", s.b);
    s = split_of("least-cost", 0, 1, 1);
    EXPECT(s.a > 900 && s.a < 1100, "a tie: %d", s.a);
}

static void round_robin_takes_turns(void)
{
    struct split s = split_of("round-robin", 0.02, 50, 1);
    EXPECT(s.a == 1000 && s.b == 1000, "%d and %d", s.a, s.b);
}

static void priority_spills_when_the_first_is_full(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *first = fleet_pool(&f, "first", m);
    fleet_pool(&f, "second", m)->priority = 1;
    first->limits.in_flight = 1;
    fleet_price(first, 100);
    fleet_start(&f, "priority-spill");
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_decision d = route_pick(f.route, &ask, 0);
    EXPECT(d.pool == 0, "pool %d", d.pool);
    route_took(f.route, &ask, &d, 0);
    EXPECT(route_pick(f.route, &ask, 0).pool == 1, "did not spill");
    fleet_release(&f);
}

// The model asked for wins a tie; a cheaper stand-in wins by its price, and only when let in.
static void a_stand_in_needs_leave_and_a_better_price(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m"), other = fleet_model(&f, "other");
    struct pool *stand_in = fleet_pool(&f, "stand-in", other), *own = fleet_pool(&f, "own", m);
    fleet_price(own, 1);
    fleet_price(stand_in, 1);
    fleet_group(&f);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    ask.stand_in = true;
    for (uint64_t draw = 0; draw < 50; draw++) {
        ask.draw = draw;
        EXPECT(route_pick(f.route, &ask, 0).model == m, "draw %" PRIu64, draw);
    }
    fleet_price(stand_in, 0.5);
    NEED(!route_new(&f.route, &f.arena, &f.p, f.live, "least-cost", NULL));
    EXPECT(route_pick(f.route, &ask, 0).model == other, "the cheaper one");
    ask.stand_in = false;
    EXPECT(route_pick(f.route, &ask, 0).model == m, "not let in");
    fleet_release(&f);
}

// The faster pool costs ten times as much: it wins exactly where waiting is worth the difference.
static void waiting_is_paid_for_in_money(void)
{
    for (int dear = 0; dear < 2; dear++) {
        struct fleet f;
        fleet_init(&f);
        int32_t m = fleet_model(&f, "m");
        fleet_class(&f, "k", dear ? 50 : 0.01);
        fleet_random_places(&f);
        struct pool *slow = fleet_pool(&f, "slow", m), *fast = fleet_pool(&f, "fast", m);
        slow->chip = 0;
        fast->chip = 1;
        slow->site = fast->site = -1;
        fleet_price(slow, 0.1);
        fleet_price(fast, 1);
        fleet_start(&f, "least-cost");
        struct route_ask ask = fleet_ask(&f, 0);
        struct route_decision d = route_pick(f.route, &ask, 0);
        EXPECT(d.pool == dear, "pool %d, total %g of it list %g", d.pool, d.terms.total,
               d.terms.list);
        double sum = d.terms.list + d.terms.energy + d.terms.wait_ttft + d.terms.wait_tokens;
        EXPECT(sum == d.terms.total && d.terms.score == sum, "%g", sum);
        fleet_release(&f);
    }
}

static void it_refuses_only_above_what_not_answering_costs(void)
{
    struct fleet f;
    fleet_init(&f);
    fleet_price(fleet_pool(&f, "p", fleet_model(&f, "m")), 10);  // 2,000,000 nUSD for 200 tokens
    struct class *k = fleet_class(&f, "k", 0);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    EXPECT(route_pick(f.route, &ask, 0).verdict == ROUTE_SEND, "without a price of refusing");
    k->unserved_nusd = 2000000;
    EXPECT(route_pick(f.route, &ask, 0).verdict == ROUTE_SEND, "exactly worth it");
    k->unserved_nusd = 1999999;
    struct route_decision d = route_pick(f.route, &ask, 0);
    EXPECT(d.verdict == ROUTE_REFUSE && d.bar == ROUTE_BAR_PRICE, "%d %d", d.verdict, d.bar);
    fleet_release(&f);
}

// One after another: `seen` of a pool's answers changes what is expected of it.
static void drive(struct fleet *f, int32_t pool, const struct route_seen *seen, int32_t n,
                  int64_t now_us)
{
    for (int32_t i = 0; i < n; i++) {
        struct route_ask ask = fleet_ask(f, now_us);
        for (int32_t k = 0; k < f->p.n_pools; k++) {
            if (k != pool)
                ask.tried[ask.n_tried++] = k;
        }
        struct route_decision d = route_pick(f->route, &ask, now_us);
        NEED(d.verdict == ROUTE_SEND && d.pool == pool);
        route_took(f->route, &ask, &d, now_us);
        route_done(f->route, &ask, &d, seen, now_us);
    }
}

static void what_is_seen_is_expected_and_forgotten(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    fleet_pool(&f, "a", m);
    fleet_class(&f, "k", 5);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_terms before = route_pick(f.route, &ask, 0).terms;
    EXPECT(!before.observed, "nothing was seen yet");
    struct route_seen seen = {.outcome = ROUTE_OK, .ttft_us = before.ttft_us * 5, .output_tok = 9};
    seen.per_token_us = before.per_token_us / 4;
    drive(&f, 0, &seen, 30, S(1));
    struct route_terms after = route_pick(f.route, &ask, S(1)).terms;
    EXPECT(after.observed && after.ttft_us > before.ttft_us * 9 / 2 &&
               after.ttft_us < before.ttft_us * 11 / 2,
           "ttft %" PRId64 " of %" PRId64, after.ttft_us, before.ttft_us);
    EXPECT(after.per_token_us < before.per_token_us * 3 / 10, "per token %" PRId64,
           after.per_token_us);
    EXPECT(route_view(f.route, 0, S(1)).ttft_us == seen.ttft_us, "shown as seen");
    struct route_terms late = route_pick(f.route, &ask, S(36000)).terms;
    EXPECT(late.ttft_us < before.ttft_us * 11 / 10, "after hours: %" PRId64, late.ttft_us);
    fleet_release(&f);
}

// Two equal pools; one answers errors in no time. It must not look like the faster one.
static void a_fast_failure_is_not_a_fast_server(void)
{
    static const char *const policies[] = {"least-cost", "least-in-flight"};
    for (size_t k = 0; k < COUNTOF(policies); k++) {
        struct fleet f;
        fleet_init(&f);
        int32_t m = fleet_model(&f, "m");
        fleet_pool(&f, "bad", m);
        fleet_pool(&f, "good", m);
        fleet_class(&f, "k", 5);
        fleet_start(&f, policies[k]);
        struct route_seen failed = {.outcome = ROUTE_FAILED, .ttft_us = 10};
        drive(&f, 0, &failed, 2, S(1));
        struct route_ask ask = fleet_ask(&f, S(1));
        for (uint64_t draw = 0; draw < 20; draw++) {
            ask.draw = draw;
            EXPECT(route_pick(f.route, &ask, S(1)).pool == 1, "%s, draw %" PRIu64, policies[k],
                   draw);
        }
        fleet_release(&f);
    }
}

// A reload: another portfolio with the pools in another order. What is known of them stays theirs.
// One that is sent to pool 0 at `sent_us` and left without content at `left_us`.
static void stall(struct fleet *f, int64_t sent_us, int64_t left_us)
{
    struct route_ask ask = fleet_ask(f, 0);
    struct route_decision d = route_pick(f->route, &ask, sent_us);
    NEED(d.verdict == ROUTE_SEND && d.pool == 0);
    route_took(f->route, &ask, &d, sent_us);
    struct route_seen seen = {
        .outcome = ROUTE_FAILED, .silent_us = left_us - sent_us, .ttft_us = left_us - sent_us};
    route_done(f->route, &ask, &d, &seen, left_us);
}

static int32_t chosen(const struct fleet *f, int64_t now_us)
{
    struct route_ask ask = fleet_ask((struct fleet *)(uintptr_t)f, 0);
    return route_pick(f->route, &ask, now_us).pool;
}

// Its price is lower, so that only what was learnt can turn traffic away.
static void a_pool_that_stalls_is_not_chosen_again_at_once(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    fleet_price(fleet_pool(&f, "cheap", m), 1);
    fleet_price(fleet_pool(&f, "dear", m), 9);
    fleet_start(&f, "least-cost");
    EXPECT(chosen(&f, S(1)) == 0, "before");
    stall(&f, S(1), S(4));
    EXPECT(chosen(&f, S(4)) == 1 && chosen(&f, S(7)) == 1, "after one stall");
    EXPECT(chosen(&f, S(10)) == 0, "a probe, later");
    EXPECT(route_view(f.route, 0, S(4)).ttft_us == S(3), "the wait is its time to first content");
    fleet_release(&f);
}

static void one_slow_answer_among_others_is_no_stall(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    fleet_price(fleet_pool(&f, "cheap", m), 1);
    fleet_price(fleet_pool(&f, "dear", m), 9);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_decision d = route_pick(f.route, &ask, S(2));
    route_took(f.route, &ask, &d, S(2));
    route_first(f.route, &d, MS(500), S(3));
    stall(&f, S(1), S(4));
    EXPECT(chosen(&f, S(4)) == 0, "it gave another one content meanwhile");
    fleet_release(&f);
}

static void a_reload_keeps_what_is_known(void)
{
    struct fleet f, g;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    fleet_pool(&f, "a", m)->limits.in_flight = 1;
    fleet_pool(&f, "b", m);
    fleet_start(&f, "priority-spill");
    struct route_seen failed = {.outcome = ROUTE_FAILED};
    drive(&f, 1, &failed, f.p.serve.breaker_failures, 0);
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_decision d = route_pick(f.route, &ask, 0);
    EXPECT(d.pool == 0, "b is broken: %d", d.pool);
    route_took(f.route, &ask, &d, 0);

    fleet_init(&g);
    m = fleet_model(&g, "m");
    fleet_pool(&g, "new", m);
    fleet_pool(&g, "b", m);
    fleet_pool(&g, "a", m)->limits.in_flight = 1;
    struct diag diag = {0};
    NEED(!portfolio_seal(&g.p, &diag));
    NEED(!route_new(&g.route, &g.arena, &g.p, f.live, "least-cost", &diag));
    EXPECT(route_view(g.route, 1, 0).breaker_open, "b");
    EXPECT(route_view(g.route, 2, 0).in_flight == 1, "a");
    EXPECT(route_view(g.route, 0, 0).took == 0, "new");
    struct route_seen ok = {.outcome = ROUTE_OK};
    route_done(f.route, &ask, &d, &ok, 0);  // by the generation it began with
    EXPECT(route_view(g.route, 2, 0).in_flight == 0, "a, after");
    fleet_release(&g);
    fleet_release(&f);
}

static void refusals_say_why(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    int32_t nobody = fleet_model(&f, "nobody-serves-it");
    struct pool *p = fleet_pool(&f, "p", m);
    p->serves[0].context_tok = 200;
    f.sites[0] = (struct site){.name = STR("s"), .region = STR("us")};
    f.p.n_sites = 1;
    p->site = 0;
    struct tenant *t = fleet_tenant(&f, "t");
    f.tenant_regions[0][0] = STR("eu");
    t->regions = f.tenant_regions[0];
    t->n_regions = 1;
    f.maintenance[0][0] = (struct maintenance){.from_us = S(100), .until_us = S(200)};
    p->maintenance = f.maintenance[0];
    p->n_maintenance = 1;
    fleet_start(&f, "least-cost");
    struct route_ask fine = fleet_ask(&f, 0), ask = fine;
    EXPECT(route_pick(f.route, &fine, 0).verdict == ROUTE_SEND, "fine");
    ask.model = nobody;
    EXPECT(route_pick(f.route, &ask, 0).bar == ROUTE_BAR_MODEL, "model");
    ask.model = -1;
    EXPECT(route_pick(f.route, &ask, 0).bar == ROUTE_BAR_MODEL, "no model");
    ask = fine;
    ask.surface = SURFACE_MESSAGES;
    EXPECT(route_pick(f.route, &ask, 0).bar == ROUTE_BAR_SURFACE, "surface");
    ask = fine;
    ask.output_tok_max = 100;  // 100 + 100 just fits
    EXPECT(route_pick(f.route, &ask, 0).verdict == ROUTE_SEND, "context, just");
    ask.output_tok_max = 101;
    EXPECT(route_pick(f.route, &ask, 0).bar == ROUTE_BAR_CONTEXT, "context");
    ask = fine;
    ask.context_tok = 200;
    EXPECT(route_pick(f.route, &ask, 0).bar == ROUTE_BAR_CONTEXT, "must be larger than that");
    ask = fine;
    ask.tenant = 0;
    EXPECT(route_pick(f.route, &ask, 0).bar == ROUTE_BAR_REGION, "region");
    ask = fine;
    ask.wall_us = S(150);
    EXPECT(route_pick(f.route, &ask, 0).bar == ROUTE_BAR_INACTIVE, "maintenance");
    EXPECT(route_pick(f.route, &ask, S(50)).verdict == ROUTE_SEND, "later it is over");
    ask = fine;
    ask.deadline_us = S(1);
    EXPECT(route_pick(f.route, &ask, S(1)).bar == ROUTE_BAR_DEADLINE, "deadline");
    ask = fine;
    ask.n_tried = 1;
    EXPECT(route_pick(f.route, &ask, 0).bar == ROUTE_BAR_TRIED, "tried");
    for (int bar = ROUTE_MAY; bar <= ROUTE_BAR_MODEL; bar++)
        EXPECT(strcmp(route_bar_text((enum route_bar)bar), "unknown") != 0, "bar %d", bar);
    fleet_release(&f);
}

int main(void)
{
    TEST(pick_takes_the_best_that_may);
    TEST(a_higher_price_never_makes_a_pool_win);
    TEST(limits_are_never_overrun);
    TEST(what_was_not_used_is_given_back);
    TEST(the_same_calls_give_the_same_answers);
    TEST(nothing_is_allocated_after_the_start);
    TEST(without_memory_it_says_so);
    TEST(an_unknown_policy_is_named);
    TEST(within_the_band_the_weights_decide);
    TEST(round_robin_takes_turns);
    TEST(priority_spills_when_the_first_is_full);
    TEST(a_stand_in_needs_leave_and_a_better_price);
    TEST(waiting_is_paid_for_in_money);
    TEST(it_refuses_only_above_what_not_answering_costs);
    TEST(what_is_seen_is_expected_and_forgotten);
    TEST(a_fast_failure_is_not_a_fast_server);
    TEST(a_pool_that_stalls_is_not_chosen_again_at_once);
    TEST(one_slow_answer_among_others_is_no_stall);
    TEST(a_reload_keeps_what_is_known);
    TEST(refusals_say_why);
    return test_end();
}
