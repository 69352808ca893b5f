#include "lib/fleet.h"
#include "route/pace.h"

// 2026-03-01 and 2026-04-01, UTC.
static const int64_t MARCH = S(1772323200), APRIL = S(1775001600);
static const int64_t DAY = S(86400);

static struct pace_terms monthly(double amount)
{
    return (struct pace_terms){.amount = amount, .per = PERIOD_MONTH, .until_us = NEVER};
}

static double share_at(const struct pace_terms *t, double used, int64_t wall_us)
{
    struct pace c = {0};
    pace_see(&c, t, wall_us);
    pace_use(&c, used);
    return pace_share(&c, t, wall_us);
}

static void periods_are_those_of_the_calendar(void)
{
    static const struct {
        enum period per;
        int64_t at_s, from_s, until_s;
    } rows[] = {
        {PERIOD_MONTH, 1772323200, 1772323200, 1775001600},    // 2026-03-01
        {PERIOD_MONTH, 1775001599, 1772323200, 1775001600},    // the last second of March
        {PERIOD_QUARTER, 1774000000, 1767225600, 1775001600},  // 2026-01-01 to 2026-04-01
        {PERIOD_YEAR, 1774000000, 1767225600, 1798761600},     // 2026 to 2027
        {PERIOD_MONTH, 1709200000, 1706745600, 1709251200},    // February of a leap year
        {PERIOD_MONTH, 0, 0, 2678400},                         // 1970-01
        {PERIOD_MONTH, -1, -2678400, 0},                       // 1969-12
        {PERIOD_YEAR, 951782400, 946684800, 978307200},        // 2000-02-29
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        struct pace_terms t = {
            .amount = 1, .per = rows[i].per, .from_us = -S(100000000), .until_us = NEVER};
        struct pace c = {0};
        pace_see(&c, &t, S(rows[i].at_s));
        EXPECT(c.from_us == S(rows[i].from_s) && c.until_us == S(rows[i].until_s),
               "row %d: %" PRId64 " to %" PRId64, (int)i, c.from_us / S(1), c.until_us / S(1));
    }
}

static void even_use_is_half_price_and_the_ends_are_reached(void)
{
    struct pace_terms t = monthly(1000);
    int64_t half = MARCH + (APRIL - MARCH) / 2;
    EXPECT(share_at(&t, 500, half) == 0.5, "even: %g", share_at(&t, 500, half));
    // Half the period is left: PACE_BAND of it is 125 units.
    EXPECT(share_at(&t, 625, half) == 1, "ahead: %g", share_at(&t, 625, half));
    EXPECT(share_at(&t, 375, half) == 0, "behind: %g", share_at(&t, 375, half));
    double between = share_at(&t, 562.5, half);
    EXPECT(between > 0.74 && between < 0.76, "%g", between);
    EXPECT(share_at(&t, 1000, MARCH + DAY) == 1, "used up");
    EXPECT(share_at(&t, 999, APRIL - 1) == 0, "what is left at the end is free");
}

// More use never makes it cheaper, more time never dearer.
static void the_share_is_monotone(void)
{
    struct rng r;
    rng_seed(&r, 5);
    for (int32_t i = 0; i < 20000; i++) {
        struct pace_terms t = monthly(fleet_between(&r, 1, 1e9));
        double x = fleet_between(&r, 0, 1.2), y = x + fleet_between(&r, 0, 0.1);
        int64_t at = MARCH + (int64_t)rng_below(&r, (uint64_t)(APRIL - MARCH));
        int64_t later = at + (int64_t)rng_below(&r, (uint64_t)(APRIL - at));
        double one = share_at(&t, x * t.amount, at);
        EXPECT(one >= 0 && one <= 1, "%g", one);
        EXPECT(share_at(&t, y * t.amount, at) >= one, "used %g then %g", x, y);
        EXPECT(share_at(&t, x * t.amount, later) <= one, "later");
    }
}

static void a_new_period_begins_empty_and_short_ones_are_smaller(void)
{
    struct pace_terms t = {.amount = 310,
                           .per = PERIOD_MONTH,
                           .from_us = MARCH + 21 * DAY,
                           .until_us = APRIL + 3 * DAY};
    struct pace c = {0};
    pace_see(&c, &t, MARCH + 22 * DAY);
    EXPECT(c.amount > 99.9 && c.amount < 100.1, "10 of 31 days: %g", c.amount);
    pace_use(&c, 200);
    EXPECT(pace_is_spent(&c) && pace_share(&c, &t, MARCH + 22 * DAY) == 1, "used up");
    EXPECT(pace_share(&c, &t, APRIL) == 0.5, "a new month is foreseen");
    EXPECT(c.used == 200, "and changes nothing");
    pace_see(&c, &t, APRIL);
    EXPECT(c.used == 0 && !pace_is_spent(&c), "April: %g", c.used);
    EXPECT(c.amount > 30.9 && c.amount < 31.1, "3 of 30 days: %g", c.amount);
    struct pace_terms open = {.amount = 100, .per = PERIOD_TERM, .from_us = 0, .until_us = NEVER};
    EXPECT(share_at(&open, 99, MARCH) == 0 && share_at(&open, 100, MARCH) == 1,
           "without dates: free until it is used up");
}

// ---- the policy `caudal`

// Before its contract begins and after it ends nothing is prepaid; what was used then is not
// counted inside it.
static void outside_its_dates_nothing_is_prepaid(void)
{
    static const enum period pers[] = {PERIOD_MONTH, PERIOD_QUARTER, PERIOD_YEAR, PERIOD_TERM};
    for (size_t i = 0; i < COUNTOF(pers); i++) {
        struct pace_terms t = {.amount = 100, .per = pers[i], .from_us = MARCH, .until_us = APRIL};
        struct pace c = {0};
        pace_see(&c, &t, MARCH - S(1));
        pace_use(&c, 7);
        EXPECT(c.amount == 0 && pace_share(&c, &t, MARCH - S(1)) == 1, "before, %zu", i);
        pace_see(&c, &t, MARCH + S(1));
        EXPECT(c.amount > 0 && c.used == 0, "in it, %zu: %g of %g", i, c.used, c.amount);
        pace_use(&c, 7);
        pace_see(&c, &t, APRIL + S(1));
        EXPECT(c.amount == 0 && c.used == 0 && !pace_is_spent(&c), "after, %zu", i);
    }
}

// A clock that is set back a little does not forget what was used; one that was wrong by months
// begins anew.
static void a_clock_set_back_gives_no_period_back(void)
{
    struct pace_terms t = monthly(100);
    struct pace c = {0};
    pace_see(&c, &t, APRIL + S(60));
    pace_use(&c, 30);
    pace_see(&c, &t, APRIL - S(3600));
    EXPECT(c.used == 30 && c.from_us == APRIL, "an hour back: %g", c.used);
    pace_see(&c, &t, APRIL + S(120));
    EXPECT(c.used == 30, "and on again: %g", c.used);
    pace_see(&c, &t, MARCH + S(60));
    EXPECT(c.used == 0 && c.from_us == MARCH, "a month back");
}

static void the_outlook_goes_on_as_it_went(void)
{
    struct pace_terms t = monthly(100);
    struct pace c = {0};
    int64_t half = MARCH + (APRIL - MARCH) / 2;
    pace_see(&c, &t, half);
    pace_use(&c, 30);
    struct pace_outlook o = pace_outlook(&c, half);
    EXPECT(o.gone == 0.5 && o.used == 0.3 && o.at_end == 60 && o.left == 70 && o.stranded == 40 &&
               o.beyond == 0,
           "%g %g %g %g", o.gone, o.at_end, o.left, o.stranded);
    pace_use(&c, 90);
    o = pace_outlook(&c, half);
    EXPECT(o.at_end == 240 && o.left == 0 && o.stranded == 0 && o.beyond == 140, "%g", o.at_end);
    struct pace_terms term = {.amount = 100, .per = PERIOD_TERM, .from_us = 0, .until_us = NEVER};
    struct pace open = {0};
    pace_see(&open, &term, half);
    pace_use(&open, 10);
    o = pace_outlook(&open, half);
    EXPECT(o.gone == -1 && o.at_end == 10 && o.stranded == 0 && o.left == 90, "no end");
}

// A committed pool at the higher list price, and one that is paid by use.
static void two_pools(struct fleet *f, enum commitment_unit unit, double amount)
{
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    struct pool *ours = fleet_pool(f, "ours", m), *other = fleet_pool(f, "other", m);
    fleet_price(ours, 2);
    fleet_price(other, 1);
    f->contracts[0] =
        (struct contract){.name = STR("c"),
                          .supplier = -1,
                          .part_of = -1,
                          .until_us = NEVER,
                          .commitment = {.amount = amount, .unit = unit, .per = PERIOD_MONTH}};
    f->p.n_contracts = 1;
    ours->contract = 0;
}

static struct route_ask ask_at(const struct fleet *f, int64_t now_us)
{
    struct route_ask ask = fleet_ask(f, now_us);
    ask.wall_us = MARCH + now_us;
    return ask;
}

static int32_t send_one(struct fleet *f, int64_t now_us)
{
    struct route_ask ask = ask_at(f, now_us);
    struct route_decision d = route_pick(f->route, &ask, now_us);
    if (d.verdict != ROUTE_SEND)
        return -1;
    struct route_seen seen = {.outcome = ROUTE_OK, .prompt_tok = 100, .output_tok = 100};
    route_took(f->route, &ask, &d, now_us);
    route_done(f->route, &ask, &d, &seen, now_us);
    return d.pool;
}

// A month of even traffic, of which the commitment covers `covers`. Least-cost leaves it stranded;
// caudal uses it up, and no more than that of the dearer pool.
static void a_commitment_is_used_and_not_burnt(void)
{
    enum { REQUESTS = 20000 };
    static const double covers[] = {0.2, 0.5, 0.9};
    for (size_t k = 0; k < COUNTOF(covers); k++) {
        for (int unit = COMMIT_USD; unit <= COMMIT_TOKENS; unit++) {
            double each = unit == COMMIT_USD ? 200 * 2e-6 : 200;
            double used[2] = {0}, half_way = 0;
            for (int paced = 0; paced < 2; paced++) {
                struct fleet f;
                two_pools(&f, (enum commitment_unit)unit, REQUESTS * each * covers[k]);
                fleet_start(&f, paced ? "caudal" : "least-cost");
                for (int32_t i = 0; i < REQUESTS; i++) {
                    used[paced] += send_one(&f, (APRIL - MARCH) / REQUESTS * i) == 0;
                    if (i == REQUESTS / 2)
                        half_way = used[paced];
                }
                struct route_commitment c = route_commitment(f.route, 0);
                EXPECT(c.used >= used[paced] * each * 0.999 && c.used <= used[paced] * each * 1.001,
                       "counted %g of %g", c.used, used[paced] * each);
                fleet_release(&f);
            }
            double share = used[1] / (REQUESTS * covers[k]);
            printf("  covers %.1f, unit %d: %.4f of it used, %.3f at half the month\n", covers[k],
                   unit, share, half_way / used[1]);
            EXPECT(used[0] == 0, "least-cost sent %g there", used[0]);
            EXPECT(share > 0.99 && share < 1.002, "%g", share);
            EXPECT(half_way / used[1] > 0.45 && half_way / used[1] < 0.58, "%g", half_way);
        }
    }
}

// Capacity is counted as the time that slots are held.
static void capacity_is_counted_in_time(void)
{
    struct fleet f;
    two_pools(&f, COMMIT_ACCELERATOR_HOURS, 1e6);
    f.pools[0].chips = 64;
    f.pools[0].limits.in_flight = 16;
    fleet_start(&f, "caudal");
    struct route_ask ask = ask_at(&f, 0);
    struct route_decision d = route_pick(f.route, &ask, 0);
    NEED(d.pool == 0);
    route_took(f.route, &ask, &d, 0);
    struct route_seen seen = {.outcome = ROUTE_OK, .ttft_us = S(26), .per_token_us = MS(100)};
    seen.output_tok = 100;
    route_done(f.route, &ask, &d, &seen, 0);
    double used = route_commitment(f.route, 0).used;  // 36 s of one slot of 16, of 64 accelerators
    EXPECT(used > 0.0399 && used < 0.0401, "%g", used);
    fleet_release(&f);
}

// Nothing beyond it: the pool is out until the next month, for every policy.
static void beyond_never_means_never(void)
{
    static const char *const policies[] = {"caudal", "priority-spill"};
    for (size_t k = 0; k < COUNTOF(policies); k++) {
        struct fleet f;
        two_pools(&f, COMMIT_TOKENS, 2000);  // ten requests
        f.contracts[0].commitment.beyond_never = true;
        f.pools[1].enabled = false;
        fleet_start(&f, policies[k]);
        for (int32_t i = 0; i < 10; i++)
            EXPECT(send_one(&f, i) == 0, "request %d", i);
        struct route_ask ask = ask_at(&f, S(60));
        struct route_decision d = route_pick(f.route, &ask, S(60));
        EXPECT(d.verdict == ROUTE_REFUSE && d.bar == ROUTE_BAR_SPENT, "%d %d", d.verdict, d.bar);
        EXPECT(d.until_us > APRIL - MARCH - S(1) && d.until_us <= APRIL - MARCH + S(1),
               "until %" PRId64, d.until_us);
        EXPECT(send_one(&f, d.until_us + S(1)) == 0, "in April");
        EXPECT(route_commitment(f.route, 0).used == 200, "%g", route_commitment(f.route, 0).used);
        fleet_release(&f);
    }
}

// One request of 200 tokens and `list_nusd` to pool 0, drawn and then ended.
static struct route_drawn draw_one(struct fleet *f, int64_t list_nusd)
{
    struct route_ask ask = ask_at(f, 0);
    struct route_decision d = route_pick(f->route, &ask, 0);
    NEED(d.verdict == ROUTE_SEND && d.pool == 0);
    struct route_seen seen = {
        .outcome = ROUTE_OK, .prompt_tok = 100, .output_tok = 100, .list_nusd = list_nusd};
    route_took(f->route, &ask, &d, 0);
    struct route_drawn drawn = route_draw(f->route, &ask, &d, &seen, 0);
    seen.drawn = true;
    route_done(f->route, &ask, &d, &seen, 0);
    return drawn;
}

// What is prepaid costs nothing more, what is past it the price beyond, and one over the end is
// split there. What is drawn is counted once.
static void marginal_money_begins_where_the_commitment_ends(void)
{
    static const struct {
        enum commitment_unit unit;
        double amount, each, beyond_nusd;
        int64_t list_nusd, marginal[3];
    } rows[] = {
        {COMMIT_TOKENS, 300, 200, 0, 1000, {0, 500, 1000}},  // no price beyond: list
        {COMMIT_TOKENS, 300, 200, 7, 1000, {0, 700, 1400}},
        {COMMIT_USD, 1.5e-6, 1e-6, 0, 1000, {0, 500, 1000}},
        {COMMIT_USD, 1.5e-6, 1e-6, 7, 1000, {0, 500, 1000}},  // a dollar is a dollar
    };
    for (size_t k = 0; k < COUNTOF(rows); k++) {
        struct fleet f;
        two_pools(&f, rows[k].unit, rows[k].amount);
        f.contracts[0].commitment.beyond_nusd_per_unit = rows[k].beyond_nusd;
        f.pools[1].enabled = false;
        fleet_start(&f, "caudal");
        for (int i = 0; i < 3; i++) {
            struct route_drawn d = draw_one(&f, rows[k].list_nusd);
            EXPECT(d.contract == 0 && d.units > rows[k].each * 0.999999 &&
                       d.units < rows[k].each * 1.000001,
                   "row %zu: %g units", k, d.units);
            EXPECT(d.marginal_nusd == rows[k].marginal[i], "row %zu, %d: %" PRId64, k, i,
                   d.marginal_nusd);
            double used = route_commitment(f.route, 0).used, want = rows[k].each * (i + 1);
            EXPECT(used > want * 0.999999 && used < want * 1.000001, "%g of %g", used, want);
        }
        fleet_release(&f);
    }
}

static void without_a_commitment_list_is_marginal(void)
{
    struct fleet f;
    two_pools(&f, COMMIT_TOKENS, 0);
    f.pools[1].enabled = false;
    fleet_start(&f, "caudal");
    struct route_drawn d = draw_one(&f, 1000);
    EXPECT(d.contract == -1 && d.units == 0 && d.marginal_nusd == 1000, "%" PRId64,
           d.marginal_nusd);
    fleet_release(&f);
}

// What the ledger knows at a start is reckoned with; a reload keeps what is known.
static void use_outlives_the_router(void)
{
    struct fleet f;
    two_pools(&f, COMMIT_TOKENS, 1e6);
    fleet_start(&f, "caudal");
    EXPECT(send_one(&f, 0) == 0, "inside it");
    route_commitment_used(f.route, 0, 1e6, 0, MARCH);
    EXPECT(send_one(&f, S(2)) == 1, "used up: the list price is 2 against 1");
    NEED(!route_new(&f.route, &f.arena, &f.p, f.live, "caudal", NULL));
    EXPECT(route_commitment(f.route, 0).used == 1e6 && send_one(&f, S(3)) == 1, "after a reload");
    fleet_release(&f);
}

// With a plan an even pace is the planned one, at the plan's price; when the plan has ended the
// calendar counts again.
static void a_plan_says_what_is_even_and_what_it_is_worth(void)
{
    struct planned_contract plan = {.said = true, .worth = 0.25};
    for (int32_t i = 0; i < TYPICAL_HOURS; i++)
        plan.pace[i] = i % TYPICAL_DAY < 12 ? 3 : 1;
    struct pace_terms t = {.amount = 100,
                           .per = PERIOD_TERM,
                           .from_us = MARCH,
                           .until_us = MARCH + DAY,
                           .plan = &plan,
                           .plan_until_us = MARCH + DAY};
    int64_t noon = MARCH + DAY / 2;  // three quarters are planned to be used
    EXPECT(share_at(&t, 75, noon) == 0.25, "as planned: %g", share_at(&t, 75, noon));
    EXPECT(share_at(&t, 50, noon) < 0.25 && share_at(&t, 50, noon) > 0, "behind, softly");
    EXPECT(share_at(&t, 90, noon) > 0.25 && share_at(&t, 90, noon) < 1, "ahead, softly");
    EXPECT(share_at(&t, 100, noon) == 1, "used up");
    EXPECT(share_at(&t, 0, noon) == 0, "far behind");
    for (double used = 0; used < 100; used++)
        EXPECT(share_at(&t, used + 1, noon) >= share_at(&t, used, noon), "%g", used);
    t.plan_until_us = noon;
    EXPECT(share_at(&t, 50, noon) == 0.5, "the plan has ended: %g", share_at(&t, 50, noon));
    t.plan_until_us = NEVER;
    t.until_us = NEVER;
    EXPECT(share_at(&t, 50, noon) == 0.25, "without an end: %g", share_at(&t, 50, noon));
}

static int32_t sent_to(struct fleet *f, int32_t model, int64_t wall_us)
{
    struct route_ask ask = fleet_ask(f, 0);
    ask.model = model;
    ask.wall_us = wall_us;
    return route_pick(f->route, &ask, 0).pool;
}

// A slot that is scarce in one hour costs more then, and then only; not behind the plan's end, and
// to the policies that look at the plan.
static void a_scarce_slot_costs_in_its_hour(void)
{
    static const char *const policies[] = {"caudal", "least-cost"};
    for (size_t i = 0; i < COUNTOF(policies); i++) {
        struct fleet f;
        struct planned_pool planned[2] = {{.share = -1, .scarce = true}, {.share = -1}};
        const struct planned_prices prices = {MARCH + 2 * DAY, NULL, planned};
        fleet_init(&f);
        int32_t m = fleet_model(&f, "m");
        fleet_pool(&f, "near", m);
        fleet_pool(&f, "far", m)->serves[0].price.output = 1e6;
        // 2026-03-01 is a Sunday.
        planned[0].slot_nusd_per_us[TYPICAL_DAY + 9] = 1e6;
        f.p.prices = &prices;
        fleet_start(&f, policies[i]);
        int32_t in_hour = i == 0 ? 1 : 0;
        EXPECT(sent_to(&f, m, MARCH + 8 * S(3600)) == 0, "before its hour");
        EXPECT(sent_to(&f, m, MARCH + 9 * S(3600)) == in_hour, "%s, in it", policies[i]);
        EXPECT(sent_to(&f, m, MARCH + 10 * S(3600)) == 0, "behind it");
        EXPECT(sent_to(&f, m, MARCH + 33 * S(3600)) == 0, "on a Monday");
        EXPECT(sent_to(&f, m, MARCH + 7 * DAY + 9 * S(3600)) == 0, "behind the plan's end");
        fleet_release(&f);
    }
}

// Between pools that cost the same the plan's shares decide, and when it has ended the weights.
static void a_plans_shares_decide_until_it_ends(void)
{
    struct fleet f;
    struct planned_pool planned[2] = {{.share = 0}, {.share = 1}};
    const struct planned_prices prices = {MARCH + DAY, NULL, planned};
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    fleet_pool(&f, "a", m);
    fleet_pool(&f, "b", m)->weight = 0;
    f.p.prices = &prices;
    fleet_start(&f, "caudal");
    EXPECT(sent_to(&f, m, MARCH) == 1, "as planned");
    EXPECT(sent_to(&f, m, MARCH + DAY - 1) == 1, "to its end");
    EXPECT(sent_to(&f, m, MARCH + DAY) == 0, "by weight");
    EXPECT(sent_to(&f, m, MARCH) == 1, "a clock that is set back");
    struct route_lever lever = {.said = true, .weight = 1, .derate = 1};
    route_set_lever(f.route, 0, &lever);
    lever.weight = 0;
    route_set_lever(f.route, 1, &lever);
    EXPECT(sent_to(&f, m, MARCH) == 0, "what an operator said comes before both");
    fleet_release(&f);
}

int main(void)
{
    TEST(periods_are_those_of_the_calendar);
    TEST(even_use_is_half_price_and_the_ends_are_reached);
    TEST(the_share_is_monotone);
    TEST(a_new_period_begins_empty_and_short_ones_are_smaller);
    TEST(outside_its_dates_nothing_is_prepaid);
    TEST(a_clock_set_back_gives_no_period_back);
    TEST(the_outlook_goes_on_as_it_went);
    TEST(a_commitment_is_used_and_not_burnt);
    TEST(capacity_is_counted_in_time);
    TEST(beyond_never_means_never);
    TEST(marginal_money_begins_where_the_commitment_ends);
    TEST(without_a_commitment_list_is_marginal);
    TEST(use_outlives_the_router);
    TEST(a_plan_says_what_is_even_and_what_it_is_worth);
    TEST(a_scarce_slot_costs_in_its_hour);
    TEST(a_plans_shares_decide_until_it_ends);
    return test_end();
}
