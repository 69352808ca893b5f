#include "lib/fleet.h"
#include "route/failover.h"

static struct failover_decision fails(struct failover *fo, struct route_ask *ask, enum fault fault,
                                      struct retry_budget *b, int64_t now_us)
{
    failover_sent(fo, 0);
    return failover_next(fo, ask, fault, 0, b, now_us);
}

struct fixture {
    struct serve_config c;
    struct failover fo;
    struct retry_budget budget;
    struct route_ask ask;
};

static void fixture_init(struct fixture *x)
{
    *x = (struct fixture){0};
    serve_config_defaults(&x->c);
    x->ask.draw = 7;
    x->ask.prompt_tok = 1000;
    x->ask.output_tok_max = 24;
    retry_budget_init(&x->budget, 0.2);
    failover_init(&x->fo, &x->c, 0, S(60));
}

static void each_fault_has_its_outcome(void)
{
    static const enum route_outcome want[FAULT_COUNT] = {
        [FAULT_NONE] = ROUTE_OK,        [FAULT_CONNECT] = ROUTE_FAILED,
        [FAULT_RESET] = ROUTE_FAILED,   [FAULT_TIMEOUT] = ROUTE_FAILED,
        [FAULT_SERVER] = ROUTE_FAILED,  [FAULT_GARBAGE] = ROUTE_FAILED,
        [FAULT_BUSY] = ROUTE_BUSY,      [FAULT_SPENT] = ROUTE_EMPTY,
        [FAULT_DENIED] = ROUTE_FAILED,  [FAULT_NO_MODEL] = ROUTE_FAILED,
        [FAULT_CONTEXT] = ROUTE_NO_SAY, [FAULT_CONTENT] = ROUTE_NO_SAY,
        [FAULT_CLIENT] = ROUTE_NO_SAY,  [FAULT_GONE] = ROUTE_NO_SAY,
    };
    for (int f = 0; f < FAULT_COUNT; f++) {
        EXPECT(fault_outcome((enum fault)f) == want[f], "%s", fault_name((enum fault)f));
        EXPECT(fault_name((enum fault)f)[0], "%d", f);
    }
    EXPECT(fault_cool_us(FAULT_BUSY, S(2)) == S(2), "as it said");
    EXPECT(fault_cool_us(FAULT_BUSY, 0) == S(1), "it did not say");
    EXPECT(fault_cool_us(FAULT_BUSY, S(86400)) == S(600), "a day is not believed");
    EXPECT(fault_cool_us(FAULT_SPENT, 0) == S(300), "minutes");
    EXPECT(fault_cool_us(FAULT_DENIED, 0) == S(60), "a minute");
    EXPECT(fault_cool_us(FAULT_NO_MODEL, 0) == S(300), "minutes");
    EXPECT(fault_cool_us(FAULT_SERVER, S(9)) == 0, "the breaker's business");
}

static void what_another_pool_cannot_mend_goes_to_nobody_else(void)
{
    static const enum fault final[] = {FAULT_CONTENT, FAULT_CLIENT, FAULT_GONE};
    for (size_t i = 0; i < COUNTOF(final); i++) {
        struct fixture x;
        fixture_init(&x);
        double before = x.budget.level;
        EXPECT(fails(&x.fo, &x.ask, final[i], &x.budget, S(1)).step == FAILOVER_GIVE_UP, "%s",
               fault_name(final[i]));
        EXPECT(x.budget.level == before, "and takes no retry");
    }
}

static void the_rest_goes_to_another_pool_at_once(void)
{
    static const enum fault on[] = {FAULT_CONNECT, FAULT_RESET, FAULT_TIMEOUT, FAULT_SERVER,
                                    FAULT_GARBAGE, FAULT_SPENT, FAULT_DENIED,  FAULT_NO_MODEL};
    for (size_t i = 0; i < COUNTOF(on); i++) {
        struct fixture x;
        fixture_init(&x);
        struct failover_decision d = fails(&x.fo, &x.ask, on[i], &x.budget, S(1));
        EXPECT(d.step == FAILOVER_AGAIN && d.at_us == S(1), "%s", fault_name(on[i]));
        EXPECT(x.ask.n_tried == 1 && x.ask.tried[0] == 0, "%s", fault_name(on[i]));
        EXPECT(!x.ask.stand_in, "the same model first: %s", fault_name(on[i]));
    }
}

static void attempts_and_deadline_end_it(void)
{
    struct fixture x;
    fixture_init(&x);
    for (int32_t i = 1; i < x.c.attempts; i++)
        EXPECT(fails(&x.fo, &x.ask, FAULT_CONNECT, &x.budget, S(1)).step == FAILOVER_AGAIN, "%d",
               i);
    EXPECT(fails(&x.fo, &x.ask, FAULT_CONNECT, &x.budget, S(1)).step == FAILOVER_GIVE_UP, "spent");
    fixture_init(&x);
    EXPECT(fails(&x.fo, &x.ask, FAULT_CONNECT, &x.budget, S(60)).step == FAILOVER_GIVE_UP, "late");
}

static void a_larger_context_may_take_what_was_too_long(void)
{
    struct fixture x;
    fixture_init(&x);
    failover_sent(&x.fo, 3);
    x.fo.context_tok = 4096;
    struct failover_decision d = failover_next(&x.fo, &x.ask, FAULT_CONTEXT, 0, &x.budget, S(1));
    EXPECT(d.step == FAILOVER_AGAIN && x.ask.context_tok == 4096, "%d", x.ask.context_tok);
    EXPECT(x.ask.stand_in, "stand-ins at once");
    EXPECT(x.ask.n_tried == 0, "its own larger model may");
    failover_sent(&x.fo, 5);  // whose context is not known
    failover_next(&x.fo, &x.ask, FAULT_CONTEXT, 0, &x.budget, S(1));
    EXPECT(x.ask.context_tok == 4096 && x.ask.n_tried == 1, "%d", x.ask.context_tok);
}

// ---- with the router: from the first failure to the end ----

struct run {
    struct fleet f;
    struct failover fo;
    struct retry_budget budget;
    struct route_ask ask;
    int64_t now_us;
    int32_t pools[16], n;  // asked, in order
    int64_t at_us[16];
};

static void run_begin(struct run *x)
{
    fleet_start(&x->f, "priority-spill");
    x->ask = fleet_ask(&x->f, 0);
    x->ask.deadline_us = S(60);
    failover_init(&x->fo, &x->f.p.serve, 0, x->ask.deadline_us);
    retry_budget_init(&x->budget, 0.2);
    x->now_us = x->n = 0;
}

// Plays one request against faults by pool (FAULT_NONE answers) as serve would; the pool that
// answered, -1 when it was given up.
static int32_t play(struct run *x, enum fault (*fault_of)(int32_t pool, int32_t nth),
                    int64_t retry_after_us)
{
    for (int32_t turn = 0; turn < 100; turn++) {
        struct route_decision d = route_pick(x->f.route, &x->ask, x->now_us);
        struct failover_decision next;
        if (d.verdict == ROUTE_SEND) {
            route_took(x->f.route, &x->ask, &d, x->now_us);
            failover_sent(&x->fo, d.pool);
            x->fo.context_tok = d.context_tok;
            x->at_us[x->n] = x->now_us;
            x->pools[x->n++] = d.pool;
            enum fault fault = fault_of(d.pool, x->n);
            struct route_seen seen = {.outcome = fault_outcome(fault),
                                      .cool_us = fault_cool_us(fault, retry_after_us)};
            route_done(x->f.route, &x->ask, &d, &seen, x->now_us);
            if (fault == FAULT_NONE)
                return d.pool;
            next = failover_next(&x->fo, &x->ask, fault, retry_after_us, &x->budget, x->now_us);
        } else {
            next = failover_stuck(&x->fo, &x->ask, &d, x->now_us);
        }
        if (next.step == FAILOVER_GIVE_UP)
            return -1;
        if (next.step == FAILOVER_LATER) {
            EXPECT(next.at_us > x->now_us, "it must move on");
            EXPECT(next.leave_us == 0 || next.leave_us >= next.at_us, "leaves %" PRId64,
                   next.leave_us);
            x->now_us = next.at_us;
        }
    }
    EXPECT(false, "it did not end");
    return -1;
}

static void own_and_stand_in(struct run *x, int32_t own)
{
    static const char *const names[] = {"own0", "own1", "own2"};
    fleet_init(&x->f);
    int32_t m = fleet_model(&x->f, "m");
    for (int32_t i = 0; i < own; i++)
        fleet_pool(&x->f, names[i], m)->priority = i;
    fleet_pool(&x->f, "stand-in", fleet_model(&x->f, "other"));
    fleet_group(&x->f);
    run_begin(x);
}

static enum fault server_on_zero(int32_t pool, int32_t nth)
{
    (void)nth;
    return pool == 0 ? FAULT_SERVER : FAULT_NONE;
}

static enum fault server_once(int32_t pool, int32_t nth)
{
    (void)pool;
    return nth == 1 ? FAULT_SERVER : FAULT_NONE;
}

static enum fault dead_on_zero(int32_t pool, int32_t nth)
{
    (void)nth;
    return pool == 0 ? FAULT_CONNECT : FAULT_NONE;
}

static enum fault busy_once(int32_t pool, int32_t nth)
{
    (void)pool;
    return nth == 1 ? FAULT_BUSY : FAULT_NONE;
}

static enum fault busy_on_zero(int32_t pool, int32_t nth)
{
    (void)nth;
    return pool == 0 ? FAULT_BUSY : FAULT_NONE;
}

static enum fault too_long_on_zero(int32_t pool, int32_t nth)
{
    (void)nth;
    return pool == 0 ? FAULT_CONTEXT : FAULT_NONE;
}

static enum fault all_down(int32_t pool, int32_t nth)
{
    (void)pool;
    (void)nth;
    return FAULT_CONNECT;
}

static void another_pool_of_the_model_at_once(void)
{
    struct run x;
    own_and_stand_in(&x, 2);
    EXPECT(play(&x, server_on_zero, 0) == 1 && x.now_us == 0, "after %" PRId64 " us", x.now_us);
    fleet_release(&x.f);
}

static void a_single_500_is_tried_again_when_there_is_no_other(void)
{
    struct run x;
    own_and_stand_in(&x, 1);
    EXPECT(play(&x, server_once, 0) == 0, "the stand-in got it");
    EXPECT(x.now_us >= MS(20) && x.now_us <= MS(80), "after %" PRId64 " us", x.now_us);
    fleet_release(&x.f);
}

static void only_once_and_then_a_stand_in(void)
{
    struct run x;
    own_and_stand_in(&x, 1);
    EXPECT(play(&x, server_on_zero, 0) == 1 && x.n == 3, "%d attempts", x.n);
    EXPECT(x.pools[0] == 0 && x.pools[1] == 0, "0, 0, then the stand-in");
    fleet_release(&x.f);
    own_and_stand_in(&x, 1);
    EXPECT(play(&x, dead_on_zero, 0) == 1 && x.n == 2 && x.now_us == 0,
           "a dead one is not tried again");
    fleet_release(&x.f);
}

static void a_short_retry_after_is_waited_for(void)
{
    struct run x;
    own_and_stand_in(&x, 1);
    EXPECT(play(&x, busy_once, S(2)) == 0, "the stand-in got it");
    EXPECT(x.now_us >= S(2) && x.now_us < MS(2600), "after %" PRId64 " us", x.now_us);
    fleet_release(&x.f);
}

static void a_long_one_lets_a_stand_in_in_at_once(void)
{
    struct run x;
    own_and_stand_in(&x, 1);
    EXPECT(play(&x, busy_on_zero, S(30)) == 1, "not the stand-in");
    EXPECT(x.now_us == 0, "after %" PRId64 " us", x.now_us);
    fleet_release(&x.f);
}

static void without_a_stand_in_it_waits_as_long_as_it_may(void)
{
    struct run x;
    fleet_init(&x.f);
    fleet_pool(&x.f, "only", fleet_model(&x.f, "m"));
    run_begin(&x);
    EXPECT(play(&x, busy_once, S(30)) == 0 && x.now_us >= S(30) && x.now_us < S(33),
           "after %" PRId64 " us", x.now_us);
    run_begin(&x);
    EXPECT(play(&x, busy_once, S(90)) == -1 && x.now_us == 0, "not past its deadline");
    fleet_release(&x.f);
}

// A client's SDK waits ten minutes by default, but nobody sits through five of them in silence.
static void a_very_long_one_is_told_at_once(void)
{
    struct run x;
    fleet_init(&x.f);
    fleet_pool(&x.f, "only", fleet_model(&x.f, "m"));
    for (int64_t s = 10; s <= 310; s += 20) {
        run_begin(&x);
        x.fo.deadline_us = x.ask.deadline_us = S(600);
        int32_t pool = play(&x, busy_once, S(s));
        EXPECT(s <= 50 ? pool == 0 && x.now_us >= S(s) : pool == -1 && x.now_us == 0,
               "retry-after %" PRId64 " s: pool %d after %" PRId64 " us", s, pool, x.now_us);
    }
    fleet_release(&x.f);
}

static void too_long_goes_to_a_larger_context_at_once(void)
{
    struct run x;
    fleet_init(&x.f);
    int32_t m = fleet_model(&x.f, "m"), other = fleet_model(&x.f, "other");
    fleet_pool(&x.f, "own", m)->serves[0].context_tok = 4000;
    fleet_pool(&x.f, "same", m)->serves[0].context_tok = 4000;
    fleet_pool(&x.f, "small", other)->serves[0].context_tok = 2000;
    fleet_pool(&x.f, "large", other)->serves[0].context_tok = 8000;
    fleet_group(&x.f);
    run_begin(&x);
    x.f.pools[1].priority = 1;
    EXPECT(play(&x, too_long_on_zero, 0) == 3 && x.n == 2 && x.now_us == 0, "%d attempts", x.n);
    fleet_release(&x.f);
}

static void when_all_are_down_it_ends(void)
{
    for (int32_t own = 1; own <= 3; own++) {
        struct run x;
        own_and_stand_in(&x, own);
        EXPECT(play(&x, all_down, 0) == -1 && x.n <= x.f.p.serve.attempts, "%d attempts", x.n);
        fleet_release(&x.f);
    }
}

// A fleet that goes on failing is hit with its load and a fifth, after the first burst.
static void the_budget_bounds_retries(void)
{
    struct retry_budget b;
    retry_budget_init(&b, 0.2);
    int32_t burst = 0, taken = 0;
    while (retry_budget_take(&b))
        burst++;
    EXPECT(burst >= 100 && burst <= 2000, "a pool that dies with %d in flight", burst);
    for (int32_t i = 0; i < 10000; i++) {
        retry_budget_request(&b);
        taken += retry_budget_take(&b);
    }
    EXPECT(taken >= 1995 && taken <= 2005, "%d of 10000", taken);
    retry_budget_init(&b, 0);
    for (burst = 0; retry_budget_take(&b); burst++)
        retry_budget_request(&b);
    EXPECT(burst == 10, "small traffic can fail over: %d", burst);
    struct fixture x;
    fixture_init(&x);
    x.budget.level = 0.5;
    EXPECT(fails(&x.fo, &x.ask, FAULT_CONNECT, &x.budget, S(1)).step == FAILOVER_GIVE_UP, "spent");
}

// --- the line ---

static void who_waits_stays_in_the_line(void)
{
    struct run x;
    own_and_stand_in(&x, 1);
    struct route_decision d = {
        .verdict = ROUTE_WAIT, .pool = -1, .bar = ROUTE_BAR_WAIT, .until_us = S(1)};
    struct failover_decision f = failover_stuck(&x.fo, &x.ask, &d, MS(10));
    EXPECT(f.step == FAILOVER_LATER && f.leave_us == S(3), "until stand-ins come in: %" PRId64,
           f.leave_us);
    d.bar = ROUTE_BAR_COOLING;
    f = failover_stuck(&x.fo, &x.ask, &d, MS(10));
    EXPECT(f.leave_us == S(1), "a pool may cool for longer then: %" PRId64, f.leave_us);
    x.ask.stand_in = true;
    d.bar = ROUTE_BAR_WAIT;
    f = failover_stuck(&x.fo, &x.ask, &d, MS(10));
    EXPECT(f.leave_us == x.fo.deadline_us, "until its deadline: %" PRId64, f.leave_us);
    failover_sent(&x.fo, 0);
    x.fo.same_again_may = true;
    d.verdict = ROUTE_REFUSE;
    f = failover_stuck(&x.fo, &x.ask, &d, MS(10));
    EXPECT(f.step == FAILOVER_LATER && f.leave_us == 0, "the same once more waits for no slot");
    fleet_release(&x.f);
}

// --- patience ---

static int64_t patience(const struct run *x, int64_t ttft_us, int64_t target_us, int32_t tok)
{
    struct class k;
    class_defaults(&k);
    k.ttft_us = target_us;
    struct route_decision d = {.terms = {.ttft_us = ttft_us, .per_token_us = MS(10)}};
    struct route_ask ask = x->ask;
    ask.output_tok = tok;
    return failover_patience_us(&x->fo, &ask, &d, &k, tok > 0);
}

static void patience_follows_from_what_is_expected(void)
{
    struct run x;
    own_and_stand_in(&x, 2);
    EXPECT(patience(&x, MS(50), NEVER, 0) == S(3), "never below the portfolio's");
    EXPECT(patience(&x, S(10), NEVER, 0) == S(40), "four times what is expected");
    EXPECT(patience(&x, S(1), S(2), 0) == S(8), "or of the class's target, if that is more");
    EXPECT(patience(&x, S(1), NEVER, 1) == S(4) + 4 * 256 * MS(10), "a whole answer: all of it");
    EXPECT(patience(&x, S(1), NEVER, 100) == S(4) + 16 * S(1), "of four times the forecast length");
    x.ask.output_tok_max = 50;
    EXPECT(patience(&x, S(1), NEVER, 100) == S(6), "or what the client allows");
    struct route_decision huge = {.terms = {.ttft_us = INT64_MAX}};
    EXPECT(failover_patience_us(&x.fo, &x.ask, &huge, NULL, true) < NEVER / 2, "can be added to");
    fleet_release(&x.f);
}

// One request at pool 0, which shows nothing.
static void stuck_at_zero(struct run *x, int32_t own)
{
    own_and_stand_in(x, own);
    struct route_decision d = route_pick(x->f.route, &x->ask, 0);
    NEED(d.verdict == ROUTE_SEND && d.pool == 0);
    route_took(x->f.route, &x->ask, &d, 0);
    failover_sent(&x->fo, 0);
}

static bool may_leave(struct run *x, int64_t now_us)
{
    return failover_may_leave(&x->fo, &x->budget, x->f.route, &x->ask, now_us);
}

static void an_attempt_is_left_only_for_another_pool(void)
{
    struct run x;
    stuck_at_zero(&x, 2);
    EXPECT(may_leave(&x, S(1)), "the other one is free");
    EXPECT(x.ask.n_tried == 0 && !x.ask.stand_in && x.budget.level == x.budget.most,
           "asking changes nothing");
    route_set_ready(x.f.route, 1, false);
    EXPECT(!may_leave(&x, S(2)), "nobody else of the model, and stand-ins not yet");
    EXPECT(may_leave(&x, S(3)), "a stand-in, when its time has come");
    x.budget.level = 0.9;
    EXPECT(!may_leave(&x, S(3)), "no retry is left");
    x.budget.level = 5;
    x.fo.attempts = x.fo.attempts_max;
    EXPECT(!may_leave(&x, S(3)), "no attempt is left");
    fleet_release(&x.f);
}

static void a_pool_that_is_failing_is_nobody_to_leave_for(void)
{
    struct run x;
    stuck_at_zero(&x, 2);
    struct route_ask ask = fleet_ask(&x.f, 0);
    ask.tried[ask.n_tried++] = 0;
    for (int32_t i = 0; i < 5; i++) {
        struct route_decision d = route_pick(x.f.route, &ask, 0);
        NEED(d.verdict == ROUTE_SEND && d.pool == 1);
        route_took(x.f.route, &ask, &d, 0);
        route_done(x.f.route, &ask, &d, &(struct route_seen){.outcome = ROUTE_FAILED}, 0);
    }
    x.fo.stand_in_after_us = NEVER;
    EXPECT(!may_leave(&x, S(1)), "its breaker is open");
    EXPECT(!may_leave(&x, S(30)), "and a probe is no answer");
    fleet_release(&x.f);
}

int main(void)
{
    TEST(each_fault_has_its_outcome);
    TEST(what_another_pool_cannot_mend_goes_to_nobody_else);
    TEST(the_rest_goes_to_another_pool_at_once);
    TEST(attempts_and_deadline_end_it);
    TEST(a_larger_context_may_take_what_was_too_long);
    TEST(another_pool_of_the_model_at_once);
    TEST(a_single_500_is_tried_again_when_there_is_no_other);
    TEST(only_once_and_then_a_stand_in);
    TEST(a_short_retry_after_is_waited_for);
    TEST(a_long_one_lets_a_stand_in_in_at_once);
    TEST(without_a_stand_in_it_waits_as_long_as_it_may);
    TEST(a_very_long_one_is_told_at_once);
    TEST(too_long_goes_to_a_larger_context_at_once);
    TEST(when_all_are_down_it_ends);
    TEST(the_budget_bounds_retries);
    TEST(who_waits_stays_in_the_line);
    TEST(patience_follows_from_what_is_expected);
    TEST(an_attempt_is_left_only_for_another_pool);
    TEST(a_pool_that_is_failing_is_nobody_to_leave_for);
    return test_end();
}
