#include "lib/fleet.h"
#include "route/breaker.h"

static const struct breaker_rules rules = {.failures = 5, .open_us = S(5), .open_us_max = S(60)};

static void fail(struct breaker *b, int32_t n, int64_t now_us)
{
    for (int32_t i = 0; i < n; i++)
        breaker_failed(b, &rules, 0, 1, (uint64_t)now_us, now_us);
}

static void it_opens_after_failures_in_a_row(void)
{
    struct breaker b = {0};
    fail(&b, 4, S(1));
    EXPECT(breaker_look(&b, S(1)) == BREAKER_PASS, "after four");
    fail(&b, 1, S(1));
    EXPECT(breaker_look(&b, S(1)) == BREAKER_STOP, "after five");
}

static void a_success_between_starts_the_row_again(void)
{
    struct breaker b = {0};
    for (int32_t i = 0; i < 8; i++) {  // 16 failed and 16 answered: bad, but not over half
        breaker_ok(&b, 0, false, S(1));
        breaker_ok(&b, 0, false, S(1));
        fail(&b, 2, S(1));
        EXPECT(breaker_look(&b, S(1)) == BREAKER_PASS, "round %d", i);
    }
}

static void it_opens_when_over_half_of_a_window_failed(void)
{
    struct breaker b = {0};
    for (int32_t i = 0; i < 2; i++) {
        fail(&b, 2, S(1));
        breaker_ok(&b, 0, false, S(1));
    }
    EXPECT(!b.open, "four failed of six: not five yet");
    fail(&b, 1, S(2));
    EXPECT(b.open, "five of seven");
    struct breaker old = {0};
    for (int32_t i = 0; i < 2; i++) {
        fail(&old, 2, S(1));
        breaker_ok(&old, 0, false, S(1));
    }
    fail(&old, 1, S(60));
    EXPECT(!old.open, "those of a minute ago do not count");
}

static void it_lets_one_probe_through_and_closes_on_its_success(void)
{
    struct breaker b = {0};
    fail(&b, 5, 0);
    EXPECT(b.open_until_us > MS(3700) && b.open_until_us <= S(5), "%" PRId64, b.open_until_us);
    EXPECT(breaker_look(&b, b.open_until_us - 1) == BREAKER_STOP, "too early");
    EXPECT(breaker_look(&b, S(5)) == BREAKER_PROBE, "half-open");
    uint32_t probe = breaker_probe_number(&b);
    breaker_probe_sent(&b);
    EXPECT(breaker_look(&b, S(50)) == BREAKER_STOP, "one probe at a time");
    breaker_no_say(&b, probe);
    EXPECT(breaker_look(&b, S(50)) == BREAKER_PROBE, "it said nothing: another one");
    probe = breaker_probe_number(&b);
    breaker_probe_sent(&b);
    EXPECT(breaker_first(&b, probe, false, S(51)), "first content");
    EXPECT(breaker_look(&b, S(51)) == BREAKER_PASS, "closed");
    breaker_ok(&b, probe, false, S(99));
    EXPECT(!b.open, "its end changes nothing");
}

// What was sent before the breaker opened says nothing about now.
static void only_the_probe_counts_while_it_is_open(void)
{
    struct breaker b = {0};
    fail(&b, 5, 0);
    int64_t until_us = b.open_until_us;
    breaker_ok(&b, 0, false, S(1));
    fail(&b, 20, S(1));
    EXPECT(b.open && b.open_until_us == until_us, "an old one's end moved it");
    uint32_t first = breaker_probe_number(&b);
    breaker_probe_sent(&b);
    breaker_first(&b, first, false, S(6));  // and then it is cut, which is an ordinary failure
    fail(&b, 5, S(7));
    EXPECT(b.open, "again");
    breaker_probe_sent(&b);
    breaker_failed(&b, &rules, first, 1, 0, S(20));
    EXPECT(b.probing, "an older probe's end was taken for this one's");
}

static void it_stays_open_twice_as_long_each_time(void)
{
    struct breaker b = {0};
    fail(&b, 5, 0);
    int64_t now_us = 0, want_us = S(5);
    for (int32_t i = 0; i < 8; i++) {
        int64_t us = b.open_until_us - now_us;
        EXPECT(us > want_us * 3 / 4 - 2 && us <= want_us, "opening %d: %" PRId64, i, us);
        now_us = b.open_until_us;
        uint32_t probe = breaker_probe_number(&b);
        breaker_probe_sent(&b);
        breaker_failed(&b, &rules, probe, 1, (uint64_t)i, now_us);
        want_us = min_i64(want_us * 2, S(60));
    }
    uint32_t probe = breaker_probe_number(&b);
    breaker_probe_sent(&b);
    breaker_ok(&b, probe, false, now_us);
    fail(&b, 5, now_us + S(1));
    EXPECT(b.length_us == S(60), "it fell ill again at once: %" PRId64, b.length_us);
    b.open = false;
    b.closed_us = S(1000);
    fail(&b, 5, S(2000));
    EXPECT(b.length_us == S(5), "it was well for long: %" PRId64, b.length_us);
}

static void jitter_spreads_the_probes(void)
{
    int64_t least = NEVER, most = 0;
    for (uint64_t draw = 0; draw < 200; draw++) {
        struct breaker b = {0};
        for (int32_t i = 0; i < 5; i++)
            breaker_failed(&b, &rules, 0, 1, draw, 0);
        least = min_i64(least, b.open_until_us);
        most = max_i64(most, b.open_until_us);
    }
    EXPECT(most - least > S(1), "%" PRId64 " to %" PRId64, least, most);
}

// ---- and now in the router ----

static struct route_decision send_one(struct fleet *f, const struct route_ask *ask,
                                      enum route_outcome outcome, int64_t cool_us, int64_t now_us)
{
    struct route_decision d = route_pick(f->route, ask, now_us);
    NEED(d.verdict == ROUTE_SEND);
    route_took(f->route, ask, &d, now_us);
    struct route_seen seen = {.outcome = outcome, .cool_us = cool_us};
    route_done(f->route, ask, &d, &seen, now_us);
    return d;
}

static void two_pools(struct fleet *f)
{
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    fleet_pool(f, "first", m);
    fleet_pool(f, "second", m)->priority = 1;
    fleet_start(f, "priority-spill");
}

// A pool that fails loses its traffic, gets one probe when its time comes, and is back when it
// heals.
static void a_failing_pool_loses_its_traffic_and_gets_it_back(void)
{
    struct fleet f;
    two_pools(&f);
    struct route_ask ask = fleet_ask(&f, 0);
    for (int32_t i = 0; i < 5; i++)
        EXPECT(send_one(&f, &ask, ROUTE_FAILED, 0, 0).pool == 0, "failure %d", i);
    EXPECT(send_one(&f, &ask, ROUTE_OK, 0, S(1)).pool == 1, "spilled");
    struct route_decision probe = route_pick(f.route, &ask, S(6));
    EXPECT(probe.pool == 0 && probe.probe, "pool %d", probe.pool);
    EXPECT(route_pick(f.route, &ask, S(6)).probe, "a pick that is not sent is no probe");
    route_took(f.route, &ask, &probe, S(6));
    EXPECT(route_pick(f.route, &ask, S(6)).pool == 1, "one probe at a time");
    route_first(f.route, &probe, MS(100), S(7));
    struct route_decision d = route_pick(f.route, &ask, S(7));
    EXPECT(d.pool == 0 && !d.probe, "healed at the first content");
    fleet_release(&f);
}

static void the_clients_mistakes_open_nothing(void)
{
    struct fleet f;
    two_pools(&f);
    struct route_ask ask = fleet_ask(&f, 0);
    for (int32_t i = 0; i < 1000; i++)
        EXPECT(send_one(&f, &ask, ROUTE_NO_SAY, 0, i).pool == 0, "%d", i);
    EXPECT(!route_view(f.route, 0, 0).breaker_open, "open");
    fleet_release(&f);
}

static void busy_cools_and_is_no_failure(void)
{
    struct fleet f;
    two_pools(&f);
    struct route_ask ask = fleet_ask(&f, 0);
    send_one(&f, &ask, ROUTE_BUSY, S(2), 0);
    EXPECT(route_view(f.route, 0, 0).cooling && !route_view(f.route, 0, 0).breaker_open, "view");
    EXPECT(route_pick(f.route, &ask, S(1)).pool == 1, "cooling");
    EXPECT(route_pick(f.route, &ask, S(3)).pool == 0, "cooled");
    ask.tried[ask.n_tried++] = 1;
    struct route_decision d = route_pick(f.route, &ask, S(1));
    EXPECT(d.verdict == ROUTE_WAIT && d.bar == ROUTE_BAR_COOLING && d.until_us >= S(2) &&
               d.until_us < S(3),
           "%d until %" PRId64, d.verdict, d.until_us);
    ask.deadline_us = MS(1500);
    d = route_pick(f.route, &ask, S(1));
    EXPECT(d.verdict == ROUTE_REFUSE && d.until_us >= S(2), "not within its deadline");
    fleet_release(&f);
}

static void spent_money_takes_a_pool_out_for_minutes(void)
{
    struct fleet f;
    two_pools(&f);
    struct route_ask ask = fleet_ask(&f, 0);
    send_one(&f, &ask, ROUTE_EMPTY, S(300), 0);
    EXPECT(route_pick(f.route, &ask, S(299)).pool == 1, "out");
    EXPECT(route_pick(f.route, &ask, S(303)).pool == 0, "back");
    fleet_release(&f);
}

// Every breaker is open: all are tried rather than none, and a success closes what it went through.
static void when_all_are_open_all_are_tried(void)
{
    struct fleet f;
    two_pools(&f);
    struct route_ask ask = fleet_ask(&f, 0);
    for (int32_t i = 0; i < 10; i++)
        send_one(&f, &ask, ROUTE_FAILED, 0, i);
    struct route_decision d = route_pick(f.route, &ask, S(1));
    EXPECT(d.verdict == ROUTE_SEND && d.panic, "verdict %d", d.verdict);
    send_one(&f, &ask, ROUTE_OK, 0, S(1));
    EXPECT(!route_view(f.route, 0, S(1)).breaker_open, "closed by a success");
    EXPECT(!route_pick(f.route, &ask, S(1)).panic, "over");
    fleet_release(&f);
}

// A stand-in that could answer is better than what is known to fail: no panic, but a refusal that
// the failover rules turn into letting stand-ins in.
static void no_panic_while_a_stand_in_could_answer(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    fleet_pool(&f, "own", m);
    fleet_pool(&f, "other", fleet_model(&f, "other"));
    fleet_group(&f);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    for (int32_t i = 0; i < 5; i++)
        send_one(&f, &ask, ROUTE_FAILED, 0, 0);
    struct route_decision d = route_pick(f.route, &ask, S(1));
    EXPECT(d.verdict == ROUTE_REFUSE && d.bar == ROUTE_BAR_BREAKER, "%d %d", d.verdict, d.bar);
    ask.stand_in = true;
    EXPECT(route_pick(f.route, &ask, S(1)).pool == 1, "the stand-in");
    fleet_release(&f);
}

// A wrong key or a wrong model name does not pass with a panic; the other models of a pool stay.
static void a_wrong_name_is_held_out(void)
{
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m"), n = fleet_model(&f, "n");
    fleet_serve(&f, fleet_pool(&f, "p", m), n);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0), other = ask;
    other.model = n;
    send_one(&f, &ask, ROUTE_FAILED, S(300), 0);
    struct route_decision d = route_pick(f.route, &ask, S(299));
    EXPECT(d.verdict == ROUTE_REFUSE && d.until_us == S(300), "%d %" PRId64, d.verdict, d.until_us);
    EXPECT(route_pick(f.route, &other, S(1)).verdict == ROUTE_SEND, "the other model");
    EXPECT(route_pick(f.route, &ask, S(300)).probe, "after five minutes: a probe");
    fleet_release(&f);
}

static void one_failure_may_count_as_more(void)
{
    struct breaker b = {0};
    breaker_failed(&b, &rules, 0, rules.failures - 1, 0, 0);
    EXPECT(!b.open, "one fewer than the rule");
    breaker_failed(&b, &rules, 0, INT32_MAX, 0, 0);
    EXPECT(b.open, "and no overflow");
}

int main(void)
{
    TEST(it_opens_after_failures_in_a_row);
    TEST(a_success_between_starts_the_row_again);
    TEST(it_opens_when_over_half_of_a_window_failed);
    TEST(it_lets_one_probe_through_and_closes_on_its_success);
    TEST(only_the_probe_counts_while_it_is_open);
    TEST(it_stays_open_twice_as_long_each_time);
    TEST(jitter_spreads_the_probes);
    TEST(a_failing_pool_loses_its_traffic_and_gets_it_back);
    TEST(the_clients_mistakes_open_nothing);
    TEST(busy_cools_and_is_no_failure);
    TEST(spent_money_takes_a_pool_out_for_minutes);
    TEST(when_all_are_open_all_are_tried);
    TEST(no_panic_while_a_stand_in_could_answer);
    TEST(a_wrong_name_is_held_out);
    TEST(one_failure_may_count_as_more);
    return test_end();
}
