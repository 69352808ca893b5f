#include "lib/fleet.h"
#include "route/share.h"

#include <math.h>

static const struct pool_share rules = {.steps = {0.01, 0.1, 1},
                                        .n_steps = 3,
                                        .every_us = S(60),
                                        .errors = 0.02,
                                        .ttft = 1.2,
                                        .per_token = 1.2,
                                        .at_least = 50};

static const struct share_answer good = {.ttft = 1, .per_token = 1}, bad = {.error = true};

// True: one of `n` answers was a step, which `*step` is.
static bool answer(struct share *s, int32_t n, struct share_answer a, int64_t now_us,
                   struct share_step *step)
{
    bool stepped = false;
    for (int32_t i = 0; i < n; i++)
        stepped = share_done(s, &rules, &a, now_us, step) || stepped;
    return stepped;
}

static struct share begun(int64_t now_us)
{
    struct share s = {0};
    struct share_step step;
    EXPECT(!share_took(&s, &rules, now_us, &step), "its first request is no step");
    return s;
}

// n draws of a share p are within four standard deviations, and say nothing about who wins ties.
static void a_share_is_drawn_by_chance_and_the_same_every_time(void)
{
    static const double shares[] = {0.01, 0.1, 0.5, 0.9};
    enum { DRAWS = 100 * 1000 };
    for (size_t k = 0; k < COUNTOF(shares); k++) {
        struct rng r;
        rng_seed(&r, 20261122);
        double p = shares[k], tie_sum = 0;
        int32_t n = 0, above = 0;
        for (int32_t i = 0; i < DRAWS; i++) {
            uint64_t draw = rng_u64(&r);
            bool in = share_draws(p, draw, 7);
            n += in;
            above += in && !share_draws(p + 0.05, draw, 7);
            tie_sum += in ? (double)(mix64(draw) >> 11) * 0x1p-53 : 0;
            EXPECT(in == share_draws(p, draw, 7), "the same draw at the same share");
        }
        double off = fabs(n - DRAWS * p), bound = 4 * sqrt(DRAWS * p * (1 - p));
        EXPECT(off < bound, "%d of %d at %g", n, DRAWS, p);
        EXPECT(above == 0, "%d are lost when the share grows", above);
        double tie = tie_sum / n;
        EXPECT(fabs(tie - 0.5) < 4 * sqrt(1 / 12.0 / n), "ties of those at %g: mean %g", p, tie);
    }
    EXPECT(!share_draws(0, 1, 7) && share_draws(1, 1, 7), "nothing and all");
}

// Pools that enter at the same time get requests of their own, not both the same.
static void two_pools_draw_apart(void)
{
    struct rng r;
    int32_t both = 0;
    rng_seed(&r, 5);
    for (int32_t i = 0; i < 100000; i++) {
        uint64_t draw = rng_u64(&r);
        both += share_draws(0.1, draw, 7) && share_draws(0.1, draw, 8);
    }
    EXPECT(both > 850 && both < 1150, "%d", both);
}

static void it_goes_forward_after_the_time_with_enough_answers(void)
{
    struct share s = begun(S(1));
    struct share_step step;
    EXPECT(!answer(&s, 200, good, S(60), &step), "too early");
    EXPECT(answer(&s, 1, good, S(61), &step), "after the time");
    EXPECT(step.from == 0.01 && step.to == 0.1 && step.answers == 201, "%g %g %d", step.from,
           step.to, step.answers);
    EXPECT(!answer(&s, 49, good, S(200), &step), "too few answers");
    EXPECT(answer(&s, 1, good, S(200), &step) && step.to == 1, "enough");
    EXPECT(!answer(&s, 1000, good, S(9999), &step), "nothing is above all of it");
    EXPECT(share_now(&s, &rules, S(9999)) == 1 && s.forward == 2 && s.back == 0, "forward");
}

static void errors_take_it_back_at_once_and_below_the_first_to_nothing(void)
{
    struct share s = begun(0);
    struct share_step step;
    answer(&s, 50, good, S(60), &step);
    EXPECT(s.at == 0.1, "%g", s.at);
    answer(&s, 47, good, S(61), &step);
    EXPECT(!answer(&s, 2, bad, S(61), &step), "49 answers are not enough");
    EXPECT(answer(&s, 1, bad, S(61), &step), "3 of 50 are too many");
    EXPECT(step.to == 0.01 && step.errors == 3, "%g %d", step.to, step.errors);
    EXPECT(!answer(&s, 49, bad, S(62), &step) && answer(&s, 1, bad, S(62), &step), "counted anew");
    EXPECT(step.to == 0 && share_now(&s, &rules, S(121)) == 0, "nothing for a while");
    EXPECT(!answer(&s, 100, bad, S(63), &step), "what was under way has been judged");
    EXPECT(!share_took(&s, &rules, S(100), &step), "still held, though nobody else was there");
    EXPECT(share_now(&s, &rules, S(122)) == 0.01, "and then the first step");
    EXPECT(share_took(&s, &rules, S(130), &step) && step.to == 0.01, "which begins with a request");
    EXPECT(!answer(&s, 100, good, S(189), &step) && answer(&s, 1, good, S(190), &step), "its time");
    EXPECT(s.forward == 3 && s.back == 2, "%d %d", (int)s.forward, (int)s.back);
}

static void slow_answers_take_it_back(void)
{
    static const struct share_answer slow[] = {{.ttft = 1.3, .per_token = 1},
                                               {.ttft = 1, .per_token = 1.3}};
    for (size_t i = 0; i < COUNTOF(slow); i++) {
        struct share s = begun(0);
        struct share_step step;
        EXPECT(answer(&s, 50, slow[i], S(1), &step) && step.to == 0, "%zu", i);
    }
    struct share s = begun(0);
    struct share_step step;
    EXPECT(!answer(&s, 49, (struct share_answer){0}, S(1), &step), "no target, no time");
    EXPECT(!answer(&s, 1, slow[0], S(60), &step), "one slow answer holds it, and takes nothing");
    EXPECT(s.at == 0.01 && s.answers == 0, "and is not held against it for ever");
}

// Rules with other steps go on from the share that it has.
static void other_steps_go_on_from_the_share(void)
{
    struct share s = begun(0);
    struct share_step step;
    answer(&s, 50, good, S(60), &step);
    struct pool_share other = rules;
    other.steps[1] = 0.25;
    EXPECT(share_now(&s, &other, S(60)) == 0.1, "as it was");
    for (int32_t i = 0; i < 50; i++)
        share_done(&s, &other, &good, S(120), &step);
    EXPECT(s.at == 0.25, "%g", s.at);
}

// --- with a router ----------------------------------------------------------------------------

// `fresh` is cheaper than `old`, so all that it may have goes there.
static void start(struct fleet *f)
{
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    fleet_price(fleet_pool(f, "old", m), 2);
    struct pool *fresh = fleet_pool(f, "fresh", m);
    fleet_price(fresh, 1);
    fresh->share = rules;
    fleet_start(f, "least-cost");
}

static struct route_ask ask_of(struct fleet *f, int64_t now_us)
{
    struct route_ask ask = fleet_ask(f, now_us);
    ask.draw = rng_u64(&f->rng);
    return ask;
}

static struct route_ask ask_outside(struct fleet *f)
{
    struct route_ask ask = ask_of(f, 0);
    while (route_pick(f->route, &ask, 0).pool == 1)
        ask.draw++;
    return ask;
}

static int32_t picks_of(struct fleet *f, int32_t pool, int32_t n, int64_t now_us)
{
    int32_t got = 0;
    for (int32_t i = 0; i < n; i++) {
        struct route_ask ask = ask_of(f, now_us);
        got += route_pick(f->route, &ask, now_us).pool == pool;
    }
    return got;
}

// Requests that the pool has, each over at once.
static void serve(struct fleet *f, int32_t pool, int32_t n, enum route_outcome outcome,
                  int64_t now_us)
{
    struct route_seen seen = {.outcome = outcome, .ttft_us = 1, .cool_us = 1};
    while (n > 0) {
        struct route_ask ask = ask_of(f, now_us);
        struct route_decision d = route_pick(f->route, &ask, now_us);
        NEED(d.verdict == ROUTE_SEND);
        route_took(f->route, &ask, &d, now_us);
        n -= d.pool == pool;
        route_done(f->route, &ask, &d,
                   d.pool == pool ? &seen : &(struct route_seen){.outcome = ROUTE_NO_SAY}, now_us);
    }
}

static void the_router_gives_a_pool_its_share_and_says_its_steps(void)
{
    struct fleet f;
    struct route_step step;
    start(&f);
    int32_t n = picks_of(&f, 1, 100000, 0);
    EXPECT(n > 870 && n < 1130, "1 %% of 100000: %d", n);
    serve(&f, 1, 50, ROUTE_OK, 0);
    serve(&f, 1, 1, ROUTE_OK, S(60));
    EXPECT(route_stepped(f.route, &step) && step.pool == 1 && step.step.to == 0.1, "said");
    EXPECT(!route_stepped(f.route, &step), "once");
    n = picks_of(&f, 1, 100000, S(60));
    EXPECT(n > 9600 && n < 10400, "10 %% of 100000: %d", n);
    EXPECT(route_view(f.route, 1, S(60)).share == 0.1 && route_view(f.route, 0, S(60)).share == 1,
           "shown");
    fleet_release(&f);
}

// A supplier that answers 429 to a tenth of its requests is not ready for more.
static void turning_away_is_an_error_of_a_share(void)
{
    struct fleet f;
    struct route_step step;
    start(&f);
    for (int32_t i = 0; i < 5; i++) {
        serve(&f, 1, 9, ROUTE_OK, S(2 * i));
        serve(&f, 1, 1, ROUTE_BUSY, S(2 * i));
    }
    EXPECT(route_stepped(f.route, &step) && step.step.to == 0, "back");
    EXPECT(picks_of(&f, 1, 1000, S(20)) == 0, "and held");
    fleet_release(&f);
}

static void a_reload_keeps_the_share_by_name(void)
{
    struct fleet f;
    struct diag diag = {0};
    struct route *other;
    start(&f);
    serve(&f, 1, 50, ROUTE_OK, 0);
    serve(&f, 1, 1, ROUTE_OK, S(60));
    struct pool swapped = f.pools[0];
    f.pools[0] = f.pools[1];
    f.pools[1] = swapped;
    NEED(!portfolio_seal(&f.p, &diag));
    NEED(!route_new(&other, &f.arena, &f.p, f.live, "least-cost", &diag));
    f.route = other;
    EXPECT(route_view(other, 0, S(61)).share == 0.1, "%g", route_view(other, 0, S(61)).share);
    EXPECT(route_view(other, 0, S(61)).share_forward == 1, "its steps are counted on");
    int32_t n = picks_of(&f, 0, 10000, S(61));
    EXPECT(n > 880 && n < 1120, "10 %% of 10000: %d", n);
    fleet_release(&f);
}

static void it_may_have_what_nobody_else_may(void)
{
    struct fleet f;
    start(&f);
    struct route_ask ask = ask_outside(&f);
    struct route_lever stop = {.stopped = true, .weight = -1, .derate = 1};
    struct route_candidate all[2];
    route_explain(f.route, &ask, 0, all, 2);
    EXPECT(all[0].bar == ROUTE_MAY && all[1].bar == ROUTE_BAR_SHARE, "%d %d", all[0].bar,
           all[1].bar);
    route_set_lever(f.route, 0, &stop);
    struct route_decision d = route_pick(f.route, &ask, 0);
    EXPECT(d.verdict == ROUTE_SEND && d.pool == 1, "the other one is drained");
    EXPECT(strstr(d.why, "nobody else"), "%s", d.why);
    route_set_lever(f.route, 0, &(struct route_lever){.weight = -1, .derate = 1});
    EXPECT(route_pick(f.route, &ask, 0).pool == 0, "and back");
    ask.tried[ask.n_tried++] = 0;
    EXPECT(route_pick(f.route, &ask, 0).pool == 1, "the other one failed it");
    fleet_release(&f);
}

static void it_gets_no_more_because_others_are_full(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    fleet_pool(&f, "old", m)->limits.in_flight = 1;
    fleet_pool(&f, "fresh", m)->share = rules;
    fleet_start(&f, "least-cost");
    struct route_ask ask = ask_outside(&f);
    struct route_decision first = route_pick(f.route, &ask, 0);
    route_took(f.route, &ask, &first, 0);
    struct route_decision d = route_pick(f.route, &ask, 0);
    EXPECT(d.verdict == ROUTE_WAIT && d.bar == ROUTE_BAR_WAIT, "%d %d", d.verdict, d.bar);
    NEED(route_wait(f.route, &ask, 1, 0) >= 0);
    struct route_woken woken;
    EXPECT(!route_next(f.route, &woken, 0), "it waits");
    route_done(f.route, &ask, &first, &(struct route_seen){.outcome = ROUTE_OK}, S(1));
    EXPECT(route_next(f.route, &woken, S(1)) && woken.decision.pool == 0, "for the other one");
    fleet_release(&f);
}

// When every breaker is open and none counts, shares still do.
static void a_panic_does_not_pass_over_shares(void)
{
    struct fleet f;
    start(&f);
    struct route_ask ask = ask_outside(&f), inside = ask;
    while (route_pick(f.route, &inside, 0).pool == 0)
        inside.draw++;
    for (int32_t pool = 0; pool < 2; pool++) {
        for (int32_t i = 0; i < 5; i++) {
            struct route_ask *a = pool ? &inside : &ask;
            struct route_decision d = route_pick(f.route, a, 0);
            EXPECT(d.pool == pool, "%d", d.pool);
            route_took(f.route, a, &d, 0);
            route_done(f.route, a, &d, &(struct route_seen){.outcome = ROUTE_FAILED}, 0);
        }
    }
    struct route_decision d = route_pick(f.route, &ask, 0);
    EXPECT(d.panic && d.pool == 0, "%d %d", d.panic, d.pool);
    route_set_ready(f.route, 0, false);
    d = route_pick(f.route, &ask, 0);
    EXPECT(d.panic && d.pool == 1, "%d %d", d.panic, d.pool);
    fleet_release(&f);
}

static void an_operator_sets_it_and_the_steps_go_on_from_there(void)
{
    struct fleet f;
    struct route_lever lever = {.weight = -1, .derate = 1, .share = 0.5};
    start(&f);
    route_set_lever(f.route, 1, &lever);
    serve(&f, 1, 200, ROUTE_OK, S(100));
    for (int32_t i = 0; i < 60; i++)  // each when it has cooled down from the last
        serve(&f, 1, 1, ROUTE_BUSY, S(110 + 2 * i));
    struct route_pool_view v = route_view(f.route, 1, S(300));
    EXPECT(v.share == 0.5 && v.share_by_hand && v.share_forward == 0 && v.share_back == 0, "held");
    lever.share = 0;
    route_set_lever(f.route, 1, &lever);
    v = route_view(f.route, 1, S(300));
    EXPECT(v.share == 0.5 && !v.share_by_hand, "%g", v.share);
    serve(&f, 1, 50, ROUTE_OK, S(300));
    serve(&f, 1, 1, ROUTE_OK, S(360));
    EXPECT(route_view(f.route, 1, S(360)).share == 1, "its next step");
    lever.share = 0.2;
    route_set_lever(f.route, 0, &lever);
    EXPECT(route_view(f.route, 0, S(360)).share == 0.2, "also of a pool without steps");
    lever.share = 0;
    route_set_lever(f.route, 0, &lever);
    EXPECT(route_view(f.route, 0, S(360)).share == 1, "which then has all again");
    fleet_release(&f);
}

int main(void)
{
    TEST(a_share_is_drawn_by_chance_and_the_same_every_time);
    TEST(two_pools_draw_apart);
    TEST(it_goes_forward_after_the_time_with_enough_answers);
    TEST(errors_take_it_back_at_once_and_below_the_first_to_nothing);
    TEST(slow_answers_take_it_back);
    TEST(other_steps_go_on_from_the_share);
    TEST(the_router_gives_a_pool_its_share_and_says_its_steps);
    TEST(turning_away_is_an_error_of_a_share);
    TEST(a_reload_keeps_the_share_by_name);
    TEST(it_may_have_what_nobody_else_may);
    TEST(it_gets_no_more_because_others_are_full);
    TEST(a_panic_does_not_pass_over_shares);
    TEST(an_operator_sets_it_and_the_steps_go_on_from_there);
    return test_end();
}
