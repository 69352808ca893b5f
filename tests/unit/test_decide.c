// What makes a decision fast must not change it: kept work, wide vectors, lists shared between
// surfaces.

#include "lib/fleet.h"
#include "route/route_internal.h"

enum { SEEDS = 150, FLIGHTS = 64, CANDIDATES = 128 };

static const char *const policies[] = {"least-cost",  "caudal",  "priority-spill",  "round-robin",
                                       "two-choices", "lmetric", "least-in-flight", "static-split"};

struct flight {
    struct route_ask ask;
    struct route_decision d;
};

// A random fleet with commitments of every kind, and what is in flight over it.
struct traffic {
    struct fleet f;
    struct flight flights[FLIGHTS];
    int32_t n;
    int64_t now_us;
};

static void commit_random(struct fleet *f)
{
    struct rng *r = &f->rng;
    for (int32_t i = 0; i < f->p.n_contracts; i++) {
        struct commitment *m = &f->contracts[i].commitment;
        m->unit = (enum commitment_unit)rng_below(r, 5);
        m->per = (enum period)(1 + rng_below(r, 4));
        m->amount = fleet_between(r, 1, 5000);
        if (m->unit != COMMIT_TOKENS)
            m->amount *= 1e-5;
        m->beyond_never = fleet_chance(r, 0.3);
        m->beyond_nusd_per_unit = fleet_chance(r, 0.5) ? fleet_between(r, 0, 1e6) : 0;
    }
}

#define UNSHARED "nobody else may have it, so shares do not count"

static void start(struct traffic *t, uint64_t seed, const char *policy)
{
    t->n = 0;
    t->now_us = 0;
    fleet_random(&t->f, seed);
    commit_random(&t->f);
    t->f.p.serve.band = seed % 3 ? 0.1 : 0;
    fleet_start(&t->f, policy);
    NEED(!live_remember(t->f.live, &t->f.arena));
}

// Some turn of some conversation; all have a system prompt in common.
static void give_blocks(struct traffic *t, struct route_ask *ask)
{
    enum { TALKS = 6, TURNS = 50, SYSTEM = 5 };
    static uint64_t blocks[TALKS][TURNS];
    struct rng *r = &t->f.rng;
    for (int32_t i = 0; !blocks[0][0] && i < TALKS * TURNS; i++)
        blocks[i / TURNS][i % TURNS] = mix64((uint64_t)(i % TURNS < SYSTEM ? i % TURNS : i) + 1);
    ask->blocks = blocks[rng_below(r, TALKS)];
    ask->n_blocks = (int32_t)rng_below(r, TURNS + 1);
    ask->block_tok = 16;
    ask->prompt_tok += ask->n_blocks * ask->block_tok;
}

static struct route_ask next_ask(struct traffic *t)
{
    struct rng *r = &t->f.rng;
    if (fleet_chance(r, 0.8))
        t->now_us += (int64_t)rng_below(r, fleet_chance(r, 0.05) ? S(20) : MS(300));
    struct route_ask ask = fleet_random_ask(&t->f, t->now_us);
    if (fleet_chance(r, 0.6))
        give_blocks(t, &ask);
    return ask;
}

// What an operator may say of a pool, with maintenance that begins or ends soon.
static void pull_lever(struct traffic *t)
{
    struct rng *r = &t->f.rng;
    struct route_lever lever = {.stopped = fleet_chance(r, 0.2),
                                .weight = fleet_chance(r, 0.5) ? -1 : fleet_between(r, 0, 3),
                                .derate = fleet_between(r, 0.1, 1),
                                .share = fleet_chance(r, 0.3) ? fleet_between(r, 0, 1) : 0};
    if (fleet_chance(r, 0.4)) {
        int64_t from_us = t->now_us - S(5) + (int64_t)rng_below(r, S(10));
        lever.windows[lever.n_windows++] =
            (struct route_window){from_us, from_us + (int64_t)rng_below(r, S(10))};
    }
    route_set_lever(t->f.route, (int32_t)rng_below(r, (uint64_t)t->f.p.n_pools), &lever);
}

static void land_some(struct traffic *t)
{
    struct rng *r = &t->f.rng;
    while (t->n > 0 && (t->n == FLIGHTS || fleet_chance(r, 0.5))) {
        struct flight *fl = &t->flights[rng_below(r, (uint64_t)t->n)];
        struct route_seen seen = {.outcome = (enum route_outcome)rng_below(r, 5)};
        if (fleet_chance(r, 0.7)) {
            seen = (struct route_seen){.outcome = ROUTE_OK, .prompt_tok = fl->ask.prompt_tok};
            seen.ttft_us = 1 + (int64_t)rng_below(r, S(2));
            seen.per_token_us = 1 + (int64_t)rng_below(r, MS(60));
            seen.output_tok = 1 + (int32_t)rng_below(r, 500);
            seen.cached_told = fleet_chance(r, 0.5);
            seen.cached_tok = (int32_t)rng_below(r, (uint64_t)fl->ask.prompt_tok);
        }
        if (seen.outcome == ROUTE_OK && fleet_chance(r, 0.5)) {
            route_first(t->f.route, &fl->d, seen.ttft_us, t->now_us);
            seen.first_told = true;
        }
        route_done(t->f.route, &fl->ask, &fl->d, &seen, t->now_us);
        *fl = t->flights[--t->n];
    }
    if (fleet_chance(r, 0.02))
        route_set_ready(t->f.route, (int32_t)rng_below(r, (uint64_t)t->f.p.n_pools),
                        fleet_chance(r, 0.6));
    if (fleet_chance(r, 0.05))
        pull_lever(t);
}

static void follow(struct traffic *t, const struct route_ask *ask, const struct route_decision *d)
{
    if (d->verdict == ROUTE_SEND && t->n < FLIGHTS) {
        route_took(t->f.route, ask, d, t->now_us);
        t->flights[t->n++] = (struct flight){*ask, *d};
    }
    land_some(t);
}

static bool same(const struct route_decision *x, const struct route_decision *y)
{
    return x->verdict == y->verdict && x->pool == y->pool && x->model == y->model &&
           x->bar == y->bar && x->probe_number == y->probe_number && x->panic == y->panic &&
           x->until_us == y->until_us && x->usable == y->usable && x->why == y->why &&
           x->terms.warm_tok == y->terms.warm_tok && x->terms.cached_tok == y->terms.cached_tok &&
           (x->verdict != ROUTE_SEND || memcmp(&x->terms.total, &y->terms.total, 8) == 0);
}

// A router that was made just now, over the same state, decides as the one that has kept what it
// worked out since the start.
static void what_is_kept_is_what_would_be_worked_out(void)
{
    static struct traffic t;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start(&t, seed, policies[seed % COUNTOF(policies)]);
        for (int32_t step = 0; step < 60; step++) {
            struct route_ask ask = next_ask(&t);
            struct arena a;
            arena_init(&a, (size_t)64 << 20);
            struct route *fresh;
            NEED(
                !route_new(&fresh, &a, &t.f.p, t.f.live, policies[seed % COUNTOF(policies)], NULL));
            struct route_decision x = route_pick(t.f.route, &ask, t.now_us),
                                  y = route_pick(fresh, &ask, t.now_us);
            EXPECT(same(&x, &y), "seed %" PRIu64 " step %d: pool %d (%s) and %d (%s)", seed, step,
                   x.pool, x.why, y.pool, y.why);
            arena_release(&a);
            follow(&t, &ask, &x);
        }
        fleet_release(&t.f);
    }
}

// The width of the machine's vectors changes no bit of a decision.
static void narrow_and_wide_agree(void)
{
    static struct traffic t;
    int32_t widest = score_width();
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start(&t, seed, policies[seed % 2]);
        for (int32_t step = 0; step < 60; step++) {
            struct route_ask ask = next_ask(&t);
            struct route_decision d[3];
            int32_t n = 0;
            for (int32_t width = 2; width <= widest; width *= 2) {
                t.f.route->memo->room.width = width;
                d[n++] = route_pick(t.f.route, &ask, t.now_us);
            }
            for (int32_t i = 1; i < n; i++)
                EXPECT(same(&d[0], &d[i]), "seed %" PRIu64 ": %d and %d", seed, d[0].pool,
                       d[i].pool);
            follow(&t, &ask, &d[0]);
        }
        fleet_release(&t.f);
    }
    printf("  vectors of up to %d\n", widest);
}

// Of those that may have it, the explained least is the pick, for every policy; and the pick's
// terms are the explained ones.
static void the_explained_least_is_the_pick(void)
{
    static struct traffic t;
    int32_t sent = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const char *policy = policies[seed % COUNTOF(policies)];
        start(&t, seed, policy);
        bool two = strcmp(policy, "two-choices") == 0;
        double band = t.f.route->policy->is_money ? t.f.p.serve.band : 0;
        for (int32_t step = 0; step < 60; step++) {
            struct route_ask ask = next_ask(&t);
            struct route_decision d = route_pick(t.f.route, &ask, t.now_us);
            struct route_candidate all[CANDIDATES];
            int32_t n = route_explain(t.f.route, &ask, t.now_us, all, CANDIDATES), better = 0,
                    usable = 0;
            bool passed_over = d.panic || strcmp(d.why, UNSHARED) == 0;  // breakers, or shares
            for (int32_t i = 0; i < n && d.verdict == ROUTE_SEND && !passed_over; i++) {
                if (all[i].pool == d.pool && all[i].model == d.model) {
                    EXPECT(all[i].bar == ROUTE_MAY, "%s", route_bar_text(all[i].bar));
                    EXPECT(memcmp(&all[i].terms.total, &d.terms.total, 8) == 0 &&
                               all[i].terms.score == d.terms.score &&
                               all[i].terms.ttft_us == d.terms.ttft_us,
                           "seed %" PRIu64 ": %.17g and %.17g", seed, all[i].terms.total,
                           d.terms.total);
                }
                usable += all[i].bar == ROUTE_MAY;
                better += all[i].bar == ROUTE_MAY &&
                          all[i].terms.score + all[i].terms.score * band < d.terms.score;
            }
            EXPECT(two ? better < usable || usable == 0 : better == 0,
                   "seed %" PRIu64 " %s: %d of %d score less", seed, policy, better, usable);
            EXPECT(d.verdict != ROUTE_SEND || passed_over || usable == d.usable,
                   "seed %" PRIu64 " %s: %d and %d", seed, policy, usable, d.usable);
            sent += d.verdict == ROUTE_SEND;
            follow(&t, &ask, &d);
        }
        fleet_release(&t.f);
    }
    EXPECT(sent > 2000, "%d", sent);
}

// The terms are what service.h says of this load, not another model of it.
static void times_and_energy_are_those_of_the_service_model(void)
{
    static struct traffic t;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start(&t, seed, "least-cost");
        for (int32_t step = 0; step < 40; step++) {
            struct route_ask ask = next_ask(&t);
            struct route_decision d = route_pick(t.f.route, &ask, t.now_us);
            if (d.verdict == ROUTE_SEND) {
                const struct offer *o = route_offer_find(t.f.route, d.pool, d.model);
                const struct live_pool *lp = &t.f.live->pools[o->place];
                double n = lp->in_flight + 1.0, answer = ask.output_tok;
                double ctx = (double)lp->context_tok + ask.prompt_tok + answer;
                double step_us = service_step_us(&o->service, n, ctx);
                // What is cached is a part of a token more than terms say.
                double fresh = ask.prompt_tok - d.terms.cached_tok, per = o->energy_nusd_per_joule;
                double least = fresh < ask.prompt_tok ? fresh - 1 : fresh;
                double each = per * service_more_watts(&o->service) / 1e6;
                double energy =
                    each * (service_prefill_us(&o->service, fresh, n - 1) + answer * step_us);
                double energy_least =
                    each * (service_prefill_us(&o->service, least, n - 1) + answer * step_us);
                EXPECT(d.terms.model_per_token_us > step_us * (1 - 1e-9) &&
                           d.terms.model_per_token_us < step_us * (1 + 1e-9),
                       "seed %" PRIu64 ": %g and %g", seed, d.terms.model_per_token_us, step_us);
                EXPECT(d.terms.energy < energy * (1 + 1e-9) + 1e-9 &&
                           d.terms.energy > energy_least * (1 - 1e-9) - 1e-9,
                       "seed %" PRIu64 ": %g and %g", seed, d.terms.energy, energy);
                double alone = service_prefill_us(&o->service, least, n - 1) + step_us;
                EXPECT(d.terms.model_ttft_us >= alone * (1 - 1e-9), "seed %" PRIu64, seed);
            }
            follow(&t, &ask, &d);
        }
        fleet_release(&t.f);
    }
}

// Long lists too: more than a word of dirty lanes, more than what is kept of terms.
static void a_thousand_candidates_are_one_list(void)
{
    enum { MANY = 700 };
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *pools = arena_new(&f.arena, struct pool, MANY);
    struct serving *serves = arena_new(&f.arena, struct serving, MANY);
    struct pool *first = fleet_pool(&f, "p", m);
    NEED(pools && serves);
    for (int32_t i = 0; i < MANY; i++) {
        pools[i] = *first;
        pools[i].name = arena_printf(&f.arena, "p%d", i);
        pools[i].serves = &serves[i];
        serves[i] = first->serves[0];
        serves[i].price.input = serves[i].price.output = 1000000000 + (i * 7919) % MANY;
        pools[i].limits.in_flight = 1;
    }
    f.p.pools = pools;
    f.p.n_pools = MANY;
    struct diag diag = {0};
    NEED(!portfolio_seal(&f.p, &diag) && !live_new(&f.live, &f.arena, MANY, MANY) &&
         !route_new(&f.route, &f.arena, &f.p, f.live, "least-cost", &diag));
    struct route_ask ask = fleet_ask(&f, 0);
    int64_t before = 0;
    for (int32_t i = 0; i < MANY; i++) {
        struct route_decision d = route_pick(f.route, &ask, 0);
        NEED(d.verdict == ROUTE_SEND);
        EXPECT(d.usable == MANY - i, "%d", d.usable);
        EXPECT(serves[d.pool].price.input > before, "in the order of their price: %d", i);
        before = serves[d.pool].price.input;
        route_took(f.route, &ask, &d, 0);
    }
    EXPECT(route_pick(f.route, &ask, 0).verdict == ROUTE_WAIT, "all are full");
    fleet_release(&f);
}

// Half of a pool: half its limits; and where it has none of its own, half the slots of its chips.
static void a_derated_pool_is_a_smaller_one(void)
{
    struct fleet f;
    fleet_init(&f);
    fleet_random_places(&f);
    int32_t m = fleet_model(&f, "m");
    struct pool *limited = fleet_pool(&f, "limited", m), *slots = fleet_pool(&f, "slots", m);
    limited->limits.in_flight = 8;
    limited->derate = 0.5;
    slots->chip = 0;  // 32 slots
    slots->site = limited->site = -1;
    fleet_start(&f, "priority-spill");
    static const int32_t room[][2] = {{4, 1000}, {2, 8}};
    for (int32_t k = 0; k < 2; k++) {
        if (k == 1)
            route_set_derate(f.route, 0, 0.5), route_set_derate(f.route, 1, 0.25);
        for (int32_t pool = 0; pool < 2; pool++) {
            struct route_ask ask = fleet_ask(&f, 0);
            ask.tried[ask.n_tried++] = !pool;
            struct route_decision d[64];
            int32_t n = 0;
            while (n < 64 && (d[n] = route_pick(f.route, &ask, 0)).verdict == ROUTE_SEND)
                route_took(f.route, &ask, &d[n], 0), n++;
            int32_t most = room[k][pool] < 64 ? room[k][pool] : 64;
            EXPECT(n == most, "pool %d has room for %d", pool, n);
            while (n > 0)
                route_done(f.route, &ask, &d[--n], &(struct route_seen){.outcome = ROUTE_NO_SAY},
                           0);
        }
    }
    fleet_release(&f);
}

// What route_first() was told is not learnt again when the answer ends.
static void a_first_token_teaches_once(void)
{
    double after[2];
    for (int told = 0; told < 2; told++) {
        struct fleet f;
        fleet_init(&f);
        fleet_pool(&f, "p", fleet_model(&f, "m"));
        fleet_start(&f, "least-cost");
        struct route_ask ask = fleet_ask(&f, 0);
        for (int32_t i = 0; i < 2; i++) {
            struct route_decision d = route_pick(f.route, &ask, 0);
            struct route_seen seen = {.outcome = ROUTE_OK, .ttft_us = i ? MS(2000) : MS(500)};
            route_took(f.route, &ask, &d, 0);
            if (told)
                route_first(f.route, &d, seen.ttft_us, 0);
            seen.first_told = told;
            route_done(f.route, &ask, &d, &seen, 0);
        }
        after[told] = route_pick(f.route, &ask, 0).terms.model_ttft_us;
        after[told] = (double)route_pick(f.route, &ask, 0).terms.ttft_us / after[told];
        fleet_release(&f);
    }
    EXPECT(after[0] == after[1], "%g and %g", after[0], after[1]);
}

static void shares_of(const char *policy, int32_t n, int32_t *got)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    for (int32_t i = 0; i < 4; i++) {
        struct pool *pool = fleet_pool(&f, (const char *[]){"a", "b", "c", "d"}[i], m);
        fleet_price(pool, 1 + 9.0 * i);
        pool->weight = i + 1;
    }
    fleet_start(&f, policy);
    for (int32_t i = 0; i < n; i++) {
        struct route_ask ask = fleet_ask(&f, i);
        ask.draw = rng_u64(&f.rng);
        struct route_decision d = route_pick(f.route, &ask, i);
        NEED(d.verdict == ROUTE_SEND);
        route_took(f.route, &ask, &d, i);
        got[d.pool]++;
    }
    fleet_release(&f);
}

static void policies_split_as_they_say(void)
{
    int32_t got[4] = {0};
    shares_of("static-split", 10000, got);
    for (int32_t i = 0; i < 4; i++)
        EXPECT(got[i] > 1000 * (i + 1) - 200 && got[i] < 1000 * (i + 1) + 200,
               "weight %d of 10 has %d of 10000", i + 1, got[i]);
    int32_t even[4] = {0};
    shares_of("lmetric", 4000, even);
    for (int32_t i = 0; i < 4; i++)
        EXPECT(even[i] >= 998 && even[i] <= 1002, "batches grow alike: %d", even[i]);
    int32_t two[4] = {0};
    shares_of("two-choices", 4000, two);
    for (int32_t i = 0; i < 4; i++)
        EXPECT(two[i] > 400 * (i + 1) - 250 && two[i] < 400 * (i + 1) + 250,
               "by load over weight: %d has %d", i, two[i]);
}

int main(void)
{
    TEST(what_is_kept_is_what_would_be_worked_out);
    TEST(narrow_and_wide_agree);
    TEST(the_explained_least_is_the_pick);
    TEST(times_and_energy_are_those_of_the_service_model);
    TEST(a_thousand_candidates_are_one_list);
    TEST(a_derated_pool_is_a_smaller_one);
    TEST(a_first_token_teaches_once);
    TEST(policies_split_as_they_say);
    return test_end();
}
