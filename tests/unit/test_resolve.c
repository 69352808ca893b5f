// What commitments are worth, from what was asked: beside the linear program, and as routing uses
// it.

#include "io/lp.h"
#include "lib/fleet.h"
#include "route/resolve.h"

#include <math.h>

static const int64_t HOUR_US = S(3600);
static const int64_t MONDAY_US = INT64_C(1767571200000000);  // 2026-01-05
enum { ANSWERS = 300 };

// CLP's presolve forgets a little of what it took where a program has no answer: not ours to mend.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libCoinUtils";
}

// A prepaid pool, of which `amount` USD of list price are committed for a day, and `n` others.
static void paid_and(struct fleet *f, int32_t n, double amount)
{
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    struct pool *paid = fleet_pool(f, "paid", m);
    paid->contract = 0;
    fleet_price(paid, 3);
    f->p.n_contracts = 1;
    f->contracts[0] =
        (struct contract){.name = STR("c"),
                          .supplier = -1,
                          .part_of = -1,
                          .from_us = MONDAY_US,
                          .until_us = MONDAY_US + 24 * HOUR_US,
                          .commitment = {.amount = amount, .unit = COMMIT_USD, .per = PERIOD_TERM}};
    for (int32_t i = 0; i < n; i++)
        fleet_price(fleet_pool(f, (const char *[]){"x", "y", "z"}[i], m), 1 + i);
}

// `n` requests in the first hour, each answered with what was expected.
static void ask(struct wanted *a, struct rng *r, int32_t n)
{
    wanted_init(a);
    wanted_see(a, MONDAY_US);
    for (int32_t i = 0; i < n; i++) {
        struct wanted_one one = {.tenant = -1, .prompt_tok = (int32_t)rng_below(r, 2000)};
        one.expected_tok = one.output_tok = 1 + (int32_t)rng_below(r, 400);
        wanted_came(a, 0, -1, MONDAY_US + i * (HOUR_US / n));
        wanted_learn(a, 0, -1, &one, rng_u64(r));
    }
    wanted_see(a, MONDAY_US + HOUR_US);
}

static struct resolve *solve(struct fleet *f, const struct wanted *a)
{
    struct resolve *x;
    fleet_start(f, "caudal");
    NEED(resolve_is_wanted(f->route));
    NEED(!resolve_new(&x, &f->arena, f->route));
    route_commitment_used(f->route, 0, 0, HOUR_US, MONDAY_US + HOUR_US);
    NEED(resolve_is_due(x, f->route, a, HOUR_US, MONDAY_US + HOUR_US));
    resolve_see(x, f->route, a, HOUR_US, MONDAY_US + HOUR_US);
    resolve_solve(x);
    return x;
}

static double price_of_list(const struct pool *p, const struct wanted_one *one)
{
    const struct token_price *t = &p->serves[0].price;
    return (one->prompt_tok * (double)t->input + one->output_tok * (double)t->output) / 1e15;
}

// The dual of what is left of the commitment, by CLP: `n` requests like those of the sample come.
static double dual(const struct fleet *f, const struct wanted *a, double n, double left)
{
    struct lp *lp = lp_new();
    int32_t commitment = lp_row(lp, -LP_FREE, left);
    double each = n / a->n_sample;
    for (int32_t i = 0; i < a->n_sample; i++)
        lp_row(lp, each, each);
    for (int32_t i = 0; i < a->n_sample; i++) {
        double paid = price_of_list(&f->pools[0], &a->sample[i]);
        lp_column(lp, 0, 0, LP_FREE);
        lp_put(lp, 1 + i, 1);
        lp_put(lp, commitment, paid);
        for (int32_t k = 0; k < f->p.n_pools; k++) {
            lp_column(lp, price_of_list(&f->pools[k], &a->sample[i]), 0, LP_FREE);
            lp_put(lp, 1 + i, 1);
        }
    }
    NEED(lp_solve(lp, 0) == LP_OPTIMAL);
    double v = -lp_dual(lp, commitment);
    lp_free(lp);
    return v;
}

// Over how much of it is left, from a tenth of what could be drawn to all.
static void the_price_is_the_dual_of_the_transport_problem(void)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct fleet f;
        static struct wanted a;
        struct rng r;
        rng_seed(&r, seed);
        double amount = 0.1 * (double)seed * 23 * ANSWERS * (1000 + 200) * 3e-6;
        paid_and(&f, 1 + (int32_t)(seed % 3), amount);
        for (int32_t i = 1; i < f.p.n_pools; i++)
            f.pools[i].serves[0].price.output = (int64_t)rng_below(&r, 8000000000);
        ask(&a, &r, ANSWERS);
        struct resolve_found found;
        struct resolve *x = solve(&f, &a);
        NEED(resolve_price(x, 0, &found));
        double n = 23 * ANSWERS;
        double want = (dual(&f, &a, n, amount / 4) + 2 * dual(&f, &a, n, amount) +
                       dual(&f, &a, n, amount * 4)) /
                      4;
        double is = (found.price.low + found.price.high) / 2;
        if (found.price.low > 0 && found.price.high < 1)
            EXPECT(fabs(is - want) < 2e-3, "seed %" PRIu64 ": %.4f, %.4f by CLP", seed, is, want);
        EXPECT(found.price.low <= want + 2e-3 && found.price.high >= want - 2e-3,
               "seed %" PRIu64 ": %.4f to %.4f, %.4f by CLP", seed, found.price.low,
               found.price.high, want);
        EXPECT(found.contract == 0 && !resolve_price(x, 1, &found), "one price");
        fleet_release(&f);
    }
}

static void what_nobody_can_use_up_is_free(void)
{
    struct fleet f;
    static struct wanted a;
    struct rng r;
    rng_seed(&r, 1);
    paid_and(&f, 2, 1e6);
    ask(&a, &r, ANSWERS);
    struct resolve_found found;
    NEED(resolve_price(solve(&f, &a), 0, &found));
    EXPECT(found.price.low == 0 && found.price.high == 0, "%g to %g", found.price.low,
           found.price.high);
    fleet_release(&f);
}

// Each of two pools draws a commitment, and the second's is used up: a unit of the first saves the
// list price of the second.
static void one_that_is_used_up_has_the_price_beyond(void)
{
    struct fleet f;
    static struct wanted a;
    struct rng r;
    rng_seed(&r, 3);
    paid_and(&f, 1, 1);
    f.pools[1].contract = 1;
    f.p.n_contracts = 2;
    f.contracts[1] = f.contracts[0];
    f.contracts[1].name = STR("d");
    ask(&a, &r, ANSWERS);
    fleet_start(&f, "caudal");
    struct resolve *x;
    struct resolve_found found;
    NEED(!resolve_new(&x, &f.arena, f.route));
    route_commitment_used(f.route, 0, 0, HOUR_US, MONDAY_US + HOUR_US);
    route_commitment_used(f.route, 1, 2, HOUR_US, MONDAY_US + HOUR_US);
    resolve_see(x, f.route, &a, HOUR_US, MONDAY_US + HOUR_US);
    resolve_solve(x);
    NEED(resolve_price(x, 0, &found));
    double price = (found.price.low + found.price.high) / 2;
    EXPECT(found.contract == 0 && fabs(price - 1.0 / 3) < 2e-3, "1 of its 3 USD: %g", price);
    EXPECT(!resolve_price(x, 1, &found), "nothing is to be said of the other");
    fleet_release(&f);
}

// One that draws nothing is never left out, however many there are that draw.
static void many_pools_of_a_commitment_leave_room_for_another(void)
{
    struct fleet f;
    static struct wanted a;
    struct rng r;
    rng_seed(&r, 5);
    paid_and(&f, 0, 1);
    for (int32_t i = 0; i < 20; i++) {
        fleet_price(fleet_pool(&f, "more", 0), 4 + i);
        f.pools[1 + i].contract = 0;
        f.pools[1 + i].name = arena_printf(&f.arena, "more-%d", (int)i);
    }
    fleet_price(fleet_pool(&f, "spot", 0), 1);
    ask(&a, &r, ANSWERS);
    struct resolve_found found;
    NEED(resolve_price(solve(&f, &a), 0, &found));
    double price = (found.price.low + found.price.high) / 2;
    EXPECT(fabs(price - 1.0 / 3) < 2e-3, "1 of 3 USD: %g", price);
    fleet_release(&f);
}

static bool is(double v, double expected)
{
    return fabs(v - expected) < 1e-9 * (1 + expected);
}

// An hour's rate holds for hours like it; what comes again counts twice what was a week before.
static void demand_is_what_like_hours_brought(void)
{
    static struct wanted a;
    double rates[WEEK_HOURS];
    wanted_init(&a);
    wanted_see(&a, MONDAY_US);
    for (int32_t h = 0; h < 24; h++)
        for (int32_t i = 0; i < (h == 9 ? 600 : 60); i++)
            wanted_came(&a, 0, 0, MONDAY_US + h * HOUR_US + i * S(6));
    wanted_see(&a, MONDAY_US + 24 * HOUR_US);
    wanted_rates(&a, 0, rates);
    EXPECT(is(rates[9], 600) && is(rates[24 + 9], 600) && is(rates[24 + 8], 60), "%g %g %g",
           rates[9], rates[33], rates[32]);
    EXPECT(is(rates[5 * 24 + 9], 600), "the weekend was not seen: %g", rates[5 * 24 + 9]);
    double day = wanted_between(rates, MONDAY_US + 24 * HOUR_US, MONDAY_US + 48 * HOUR_US);
    EXPECT(is(day, 23 * 60 + 600), "%g", day);
    double weeks = wanted_between(rates, MONDAY_US, MONDAY_US + 21 * 24 * HOUR_US);
    EXPECT(is(weeks, 21 * day), "%g", weeks);
    for (int32_t i = 0; i < 7; i++)  // nobody asks on the other days
        wanted_see(&a, MONDAY_US + (i + 1) * 24 * HOUR_US);
    wanted_see(&a, MONDAY_US + (7 * 24 + 9) * HOUR_US);
    wanted_see(&a, MONDAY_US + (7 * 24 + 10) * HOUR_US);
    wanted_rates(&a, 0, rates);
    EXPECT(is(rates[9], 200), "600 a week ago, none now: %g", rates[9]);
    EXPECT(rates[24 + 9] == 0, "none on Tuesday: %g", rates[33]);
}

// Each loop has its own clock, and a long body is told of when it is read.
static void time_counts_once_though_requests_are_told_late(void)
{
    static struct wanted a;
    double rates[WEEK_HOURS];
    wanted_init(&a);
    wanted_see(&a, MONDAY_US);
    for (int32_t i = 0; i < 3600; i++) {
        wanted_came(&a, 0, 0, MONDAY_US + S(i));
        wanted_came(&a, 0, 0, MONDAY_US + S(i < 30 ? 0 : i - 30));
    }
    wanted_see(&a, MONDAY_US + HOUR_US);
    wanted_came(&a, 0, 0, MONDAY_US + HOUR_US - S(5));
    wanted_see(&a, MONDAY_US + HOUR_US + S(1));
    wanted_rates(&a, 0, rates);
    EXPECT(is(a.covered[0], 1) && is(rates[0], 7200), "%g of an hour, %g", a.covered[0], rates[0]);
    int64_t set_us = MONDAY_US - 24 * HOUR_US;
    wanted_see(&a, set_us);
    EXPECT(a.seen_us == set_us, "a clock that is set back by a day is believed");
}

static void the_sample_is_of_fixed_size_and_of_all_that_came(void)
{
    static struct wanted a;
    struct rng r;
    rng_seed(&r, 7);
    wanted_init(&a);
    wanted_see(&a, MONDAY_US);
    double sum = 0;
    for (int32_t i = 0; i < 20000; i++) {
        const struct wanted_one one = {.tenant = -1, .prompt_tok = i, .output_tok = 1};
        wanted_learn(&a, i % 100, 0, &one, rng_u64(&r));
    }
    int32_t sampled = 0;
    for (int32_t i = 0; i < a.n_sample; i++)
        sum += a.sample[i].prompt_tok;
    for (int32_t i = 0; i < a.n_streams; i++)
        sampled += a.streams[i].sampled;
    EXPECT(a.n_sample == WANTED_SAMPLE && sampled == WANTED_SAMPLE, "%d %d", (int)a.n_sample,
           (int)sampled);
    EXPECT(a.n_streams == WANTED_STREAMS, "%d", (int)a.n_streams);
    EXPECT(fabs(sum / WANTED_SAMPLE - 10000) < 700, "mean %g", sum / WANTED_SAMPLE);
}

static int32_t goes_to(struct fleet *f, int64_t now_us)
{
    struct route_ask q = fleet_ask(f, now_us);
    q.wall_us = MONDAY_US + now_us;
    return route_pick(f->route, &q, now_us).pool;
}

static enum route_pricing pricing(struct fleet *f, int64_t now_us)
{
    struct route_candidate all[FLEET_POOLS];
    struct route_ask q = fleet_ask(f, now_us);
    q.wall_us = MONDAY_US + now_us;
    NEED(route_explain(f->route, &q, now_us, all, FLEET_POOLS) == 2);
    return all[0].pricing;
}

// At 3 USD/Mtok beside 1: worth drawing below a third of the price beyond.
static void a_price_holds_for_its_time_and_its_period(void)
{
    struct fleet f;
    paid_and(&f, 1, 100);
    fleet_start(&f, "caudal");
    route_commitment_used(f.route, 0, 50, 0, MONDAY_US + S(10));
    const int64_t noon_us = 12 * HOUR_US;
    EXPECT(goes_to(&f, noon_us) == 1 && pricing(&f, noon_us) == ROUTE_PRICED_CALENDAR,
           "used evenly it is at half its price");
    struct route_price price = {.low = 0.3, .high = 0.3, .period_from_us = MONDAY_US};
    route_set_price(f.route, 0, &price, noon_us);
    EXPECT(goes_to(&f, noon_us + S(2)) == 0 && pricing(&f, noon_us + S(2)) == ROUTE_PRICED_SOLVED,
           "solved");
    price.low = price.high = 0.4;
    route_set_price(f.route, 0, &price, noon_us + S(3));
    EXPECT(goes_to(&f, noon_us + S(5)) == 1, "dearer");
    price.low = price.high = 0.3;
    route_set_price(f.route, 0, &price, noon_us + S(6));
    EXPECT(goes_to(&f, noon_us + S(8)) == 0, "cheaper again");
    int64_t stale_us = noon_us + S(10) + RESOLVE_HOLDS_US;
    EXPECT(goes_to(&f, stale_us) == 1 && pricing(&f, stale_us) == ROUTE_PRICED_CALENDAR, "stale");
    route_set_price(f.route, 0, &price, stale_us);
    route_commitment_used(f.route, 0, 100, stale_us, MONDAY_US + stale_us);
    EXPECT(goes_to(&f, stale_us + S(2)) == 1 && pricing(&f, stale_us + S(2)) == ROUTE_PRICED_SPENT,
           "nothing is left");
    price.period_from_us = MONDAY_US - 1;
    route_commitment_used(f.route, 0, 50, stale_us, MONDAY_US + stale_us);
    route_set_price(f.route, 0, &price, stale_us);
    EXPECT(pricing(&f, stale_us + S(4)) == ROUTE_PRICED_CALENDAR, "of another period");
    fleet_release(&f);
}

// Whether the period is another one does not depend on anybody's having drawn of it since.
static void a_period_that_nobody_drew_in_has_begun_all_the_same(void)
{
    struct fleet f;
    paid_and(&f, 1, 31);
    f.contracts[0].from_us = 0;
    f.contracts[0].until_us = 0;
    f.contracts[0].commitment.per = PERIOD_MONTH;
    fleet_start(&f, "caudal");
    const int64_t february_us = 27 * 24 * HOUR_US, before_us = february_us - S(60);
    route_commitment_used(f.route, 0, 30, before_us, MONDAY_US + before_us);
    const struct route_price price = {0.9, 0.9, 0, MONDAY_US - 4 * 24 * HOUR_US};
    route_set_price(f.route, 0, &price, before_us);
    EXPECT(pricing(&f, february_us - S(5)) == ROUTE_PRICED_SOLVED, "January's price in January");
    EXPECT(pricing(&f, february_us + S(5)) == ROUTE_PRICED_CALENDAR, "not in February");
    const struct route_price next = {0.2, 0.2, 0, MONDAY_US + february_us};
    route_set_price(f.route, 0, &next, february_us + S(10));
    EXPECT(pricing(&f, february_us + S(15)) == ROUTE_PRICED_SOLVED, "February's");
    EXPECT(goes_to(&f, february_us + S(15)) == 0, "and it is gone by");
    fleet_release(&f);
}

// At a third both cost the same: between 0.3 and 0.4, as much is drawn as is meant.
static void a_price_moves_as_use_is_ahead_or_behind(void)
{
    struct fleet f;
    paid_and(&f, 1, 100);
    fleet_start(&f, "caudal");
    route_commitment_used(f.route, 0, 0, 0, MONDAY_US + S(10));
    const double each = 100 * 3e-6;  // a request a second, of which three in ten are meant
    const struct route_price price = {0.3, 0.4, 0.3 * each / 1e6, MONDAY_US};
    route_set_price(f.route, 0, &price, HOUR_US);
    int32_t paid = 0;
    double used = 0;
    for (int32_t i = 0; i < 800; i++) {
        int64_t now_us = HOUR_US + i * S(1);
        if (goes_to(&f, now_us) != 0)
            continue;
        paid++;
        used += each;
        route_commitment_used(f.route, 0, used, now_us, MONDAY_US + now_us);
    }
    EXPECT(paid > 200 && paid < 280, "%d of 800, 240 were meant", (int)paid);
    fleet_release(&f);
}

static void out_of_memory_is_said(void)
{
    struct fleet f;
    paid_and(&f, 1, 100);
    fleet_start(&f, "caudal");
    struct resolve *x;
    enum err e = ERR_LIMIT;
    for (size_t bytes = 0; e && bytes < ((size_t)4 << 20); bytes += 65536) {
        struct arena a;
        arena_init(&a, bytes);
        e = resolve_new(&x, &a, f.route);
        EXPECT(!e || e == ERR_LIMIT, "%s", err_name(e));
        arena_release(&a);
    }
    EXPECT(!e, "never fits");
    fleet_release(&f);
}

int main(void)
{
    TEST(the_price_is_the_dual_of_the_transport_problem);
    TEST(what_nobody_can_use_up_is_free);
    TEST(one_that_is_used_up_has_the_price_beyond);
    TEST(many_pools_of_a_commitment_leave_room_for_another);
    TEST(demand_is_what_like_hours_brought);
    TEST(time_counts_once_though_requests_are_told_late);
    TEST(the_sample_is_of_fixed_size_and_of_all_that_came);
    TEST(a_price_holds_for_its_time_and_its_period);
    TEST(a_period_that_nobody_drew_in_has_begun_all_the_same);
    TEST(a_price_moves_as_use_is_ahead_or_behind);
    TEST(out_of_memory_is_said);
    return test_end();
}
