// What the file of events says of phases, prices, energy and maintenance: small cases whose cost is
// known by hand, for the routing and for its bound; and the lines that are wrong.

#include "lib/bound_scene.h"

// A request a second for 100 s, of 1,000 tokens in and none out: at 1 USD/Mtok one costs a
// thousandth of a dollar.
static void even_trace(void)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_lit(&text, "t_us,prompt_tokens,output_tokens,model\n");
    for (int i = 0; i < 100; i++)
        buf_printf(&text, "%d,1000,0,m\n", i * 1000000);
    write_trace(buf_str(&text));
    buf_release(&text);
}

// "cheap" at 1 and "dear" at 3 USD/Mtok. Nobody waits for what happens a second later.
static void two_pools(struct fleet *f)
{
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    f->sites[f->p.n_sites++] = (struct site){.name = STR("east"), .pue = 1};
    fleet_price(fleet_pool(f, "cheap", m), 1);
    fleet_price(fleet_pool(f, "dear", m), 3);
    f->points[0][0] = (struct point){
        .model = -1, .step_us = 10000, .prefill_tok_s = 2000, .slots = 8, .power_w = 8000};
    f->chips[0] =
        (struct chip){.name = STR("chip"), .points = f->points[0], .n_points = 1, .efficiency = 1};
    f->p.n_chips = 1;
    f->pools[0].chip = f->pools[1].chip = 0;
    f->p.serve.deadline_us = MS(900);
}

static struct contract *contract(struct fleet *f, struct pool *pool, const char *name)
{
    int32_t c = f->p.n_contracts++;
    f->contracts[c] =
        (struct contract){.name = str_of(name), .supplier = -1, .part_of = -1, .until_us = NEVER};
    pool->contract = c;
    return &f->contracts[c];
}

// "cheap" is there from 50 s on: time 0 is 40 s after 1970 began.
static void two_pools_of_which_one_comes_later(struct fleet *f)
{
    two_pools(f);
    struct contract *c = contract(f, &f->pools[0], "later");
    f->phases[0][0] = (struct phase){
        .from_us = S(40 + 50), .until_us = NEVER, .adds_w = 1, .status = STATUS_SIGNED};
    c->phases = f->phases[0];
    c->n_phases = 1;
}

struct figures {
    double cost, bound;  // thousandths of a dollar
};

static struct figures figures_of(struct fleet *f, const char *text)
{
    struct diag diag = {0};
    struct scene s = {.p = &f->p, .seed = 1};
    struct outcome o = {.diag = {0}};
    fleet_start(f, "least-cost");
    enum err e = events_read(&s.events, &f->arena, &f->p, "events", str_of(text), &diag);
    EXPECT(!e, "%s", diag.text);
    NEED(!e);
    even_trace();
    play(&o, &s, "least-cost", true);
    EXPECT(!o.e, "%s", o.diag.text);
    unlink(scene_path);
    fleet_release(f);
    return (struct figures){o.cost / 1e6, o.bound.nusd / 1e6};
}

static bool is(double v, double expected)
{
    return fabs(v - expected) < 1e-6 * (1 + fabs(expected));
}

static void both_are(struct fleet *f, const char *text, double expected)
{
    struct figures v = figures_of(f, text);
    EXPECT(is(v.cost, expected), "%s: costs %.9f, not %.9f", text, v.cost, expected);
    EXPECT(is(v.bound, expected), "%s: its bound is %.9f, not %.9f", text, v.bound, expected);
}

static void a_phase_slips_or_comes_early(void)
{
    static const struct {
        const char *text;
        double costs;
    } cases[] = {
        {"", 50 * 3 + 50 * 1},
        {"0 s later phase 1 slips 20 s\n", 70 * 3 + 30 * 1},
        {"10 s cheap phase 1 slips 20 s\n", 70 * 3 + 30 * 1},  // of its contract
        {"10 s later phase 1 advances 30 s\n", 20 * 3 + 80 * 1},
        {"30 s later phase 1 advances 30 s\n", 30 * 3 + 70 * 1},  // no sooner than it is said
        {"60 s later phase 1 slips 30 s\n", 50 * 3 + 10 * 1 + 20 * 3 + 20 * 1},
        {"5 s later phase 1 slips 10 s\n6 s later phase 1 slips 10 s\n", 70 * 3 + 30 * 1},
        {"5 s later phase 1 begins 1970-01-01T00:01:10Z\n", 30 * 3 + 70 * 1},
        {"5 s later phase 1970-01-01T00:01:30Z begins 1970-01-01T00:01:10Z\n", 30 * 3 + 70 * 1},
        {"0 s later phase 1 slips 1 d\n", 100 * 3},
        {"0 s later phase 1 slips 100000000 d\n1 s later phase 1 slips 100000000 d\n", 100 * 3},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct fleet f;
        two_pools_of_which_one_comes_later(&f);
        both_are(&f, cases[i].text, cases[i].costs);
    }
}

static void prices_change(void)
{
    static const struct {
        const char *text;
        double costs;
    } cases[] = {
        {"", 100 * 1},
        {"50 s cheap price m x4\n", 50 * 1 + 50 * 3},
        {"50 s cheap price * x2\n", 50 * 1 + 50 * 2},
        {"50 s cheap price m x0.5\n80 s cheap price m x1\n", 50 * 1 + 30 * 0.5 + 20 * 1},
        {"50 s dear price m input 0.25 USD/Mtok\n", 50 * 1 + 50 * 0.25},
        {"50 s dear price m output 0.5 USD/Mtok input 0.25USD/Mtok\n", 50 * 1 + 50 * 0.25},
        {"0 s cheap price m input 2 USD/Mtok\n10 s cheap price m output 1.5 USD/Mtok\n", 100 * 2},
        {"100 s cheap price m x4\n", 100 * 1},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct fleet f;
        two_pools(&f);
        both_are(&f, cases[i].text, cases[i].costs);
    }
    struct fleet f;
    two_pools(&f);
    contract(&f, &f.pools[0], "of-two");
    f.pools[1].contract = f.pools[0].contract;
    both_are(&f, "50 s of-two price m x2\n", 50 * 1 + 50 * 2);
}

static void what_is_beyond_a_commitment_changes_its_price(void)
{
    static const struct {
        const char *text;
        double costs;
    } cases[] = {
        {"", 70 * 0.5},
        {"0 s paid beyond x2\n", 70 * 1},
        {"0 s cheap beyond 0.25 USD/Mtok\n", 70 * 0.25},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct fleet f;
        two_pools(&f);
        struct contract *c = contract(&f, &f.pools[0], "paid");
        c->commitment = (struct commitment){
            .amount = 30000, .unit = COMMIT_TOKENS, .beyond_nusd_per_unit = 500};
        both_are(&f, cases[i].text, cases[i].costs);
    }
}

// "cheap" has no list price; half a second in a slot of 1 kW costs as much.
static void a_fleet_on_energy(struct fleet *f)
{
    two_pools(f);
    fleet_price(&f->pools[0], 0);
    f->points[0][0].step_us = 1;  // of answers that are forecast and never come
    f->pools[0].site = 0;
    f->sites[0].energy_nusd_per_joule = 2000;
}

static void energy_and_carbon_change_their_price(void)
{
    static const struct {
        const char *text;
        double costs;
    } cases[] = {
        {"", 100 * 1},
        {"50 s east energy x4\n", 50 * 1 + 50 * 3},
        {"50 s east energy 3600 USD/MWh\n", 50 * 1 + 50 * 0.5},
        {"50 s east energy 1800 USD/MWh\n75 s east energy x1\n", 75 * 1 + 25 * 0.25},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct fleet f;
        a_fleet_on_energy(&f);
        both_are(&f, cases[i].text, cases[i].costs);
    }
    struct fleet f;
    a_fleet_on_energy(&f);
    f.sites[0].energy_nusd_per_joule = 0;
    f.sites[0].carbon_g_per_joule = 2;
    f.p.serve.carbon_nusd_per_g = 1000;
    both_are(&f, "50 s east carbon x0.5\n", 50 * 1 + 50 * 0.5);
}

static void what_is_maintained_gets_nothing_new(void)
{
    static const struct {
        const char *text;
        double costs;
    } cases[] = {
        {"50 s cheap maintenance 20 s\n", 80 * 1 + 20 * 3},
        {"50 s east maintenance 20 s\n", 80 * 1 + 20 * 3},
        {"50 s cheap maintenance 20 s\n60 s cheap maintenance 20 s\n", 70 * 1 + 30 * 3},
        {"90 s cheap maintenance 1 h\n60 s dear maintenance 1 h\n", 90 * 1 + 10 * 7},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct fleet f;
        two_pools(&f);
        f.pools[0].site = 0;
        fleet_price(fleet_pool(&f, "last", 0), 7);
        f.pools[2].chip = 0;
        both_are(&f, cases[i].text, cases[i].costs);
    }
}

// Those who come to it while it is dead or stalls are answered elsewhere, or not at all.
static void the_bound_knows_when_a_pool_is_dead(void)
{
    static const char *const cases[] = {"50 s cheap dies\n70 s cheap heals\n",
                                        "50 s cheap stalls\n70 s cheap heals\n",
                                        "50 s cheap dies\n60 s cheap stalls\n70 s cheap heals\n"};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct fleet f;
        two_pools(&f);
        struct figures v = figures_of(&f, cases[i]);
        EXPECT(is(v.bound, 80 * 1 + 20 * 3), "%s: %.9f", cases[i], v.bound);
        EXPECT(v.cost >= v.bound - 1e-9, "%s: %.9f below %.9f", cases[i], v.cost, v.bound);
    }
}

// "dear" answers one at a time, for 15 s each, and is drained while it has the last. Those in the
// line know only what they came with: one is sent to "later", which has slipped since, finds nobody
// there and is answered by "dear" after all; and each costs what it did when it came.
static void nobody_is_lost_when_the_portfolio_changes(void)
{
    struct fleet f;
    struct arena a;
    struct tally t;
    struct diag diag = {0};
    two_pools_of_which_one_comes_later(&f);
    f.p.serve.deadline_us = S(200);
    f.p.serve.patience_us = S(200);
    f.pools[1].limits.in_flight = 1;
    arena_init(&a, RUN_BYTES);
    fleet_start(&f, "least-cost");
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_lit(&text, "t_us,prompt_tokens,output_tokens,model\n");
    for (int i = 0; i < 6; i++)
        buf_printf(&text, "%d,0,1500,m\n", i * 500000);
    write_trace(buf_str(&text));
    struct replay_config c = {
        .p = &f.p, .policy = "least-cost", .seed = 1, .arrivals = arrivals_of(&f.p)};
    NEED(!events_read(&c.events, &f.arena, &f.p, "events",
                      STR("2250 ms later phase 1 slips 1 h\n2400 ms dear price m x2\n"
                          "80 s dear maintenance 20 s\n"),
                      &diag));
    enum err e = replay_run(&t, &a, &c, &diag);
    EXPECT(!e && t.editions.n == 3, "%s", diag.text);
    EXPECT(t.all.answered == 6 && t.all.failed == 0, "%" PRId64 " answered, %" PRId64 " failed",
           t.all.answered, t.all.failed);
    EXPECT(t.pools[0].answered == 0 && t.pools[0].faults > 0, "%" PRId64 " found nobody",
           t.pools[0].faults);
    // 1,500 tokens at 3 USD/Mtok, those of the last at 6.
    EXPECT(t.all.list_nusd == 5 * 4500000 + 9000000, "%" PRId64, t.all.list_nusd);
    buf_release(&text);
    arena_release(&a);
    unlink(scene_path);
    fleet_release(&f);
}

static void wrong_lines_say_what_was_expected(void)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"5 s paid maintenance 2 h", "there is no pool or site \"paid\""},
        {"5 s eats maintenance 2 h", "no pool or site \"eats\"; did you mean \"east\"?"},
        {"5 s cheap maintenance soon",
         "\"soon\" behind maintenance: expected how long, such as 2 h"},
        {"5 s cheap maintenance 0 s", "behind maintenance: expected how long"},
        {"-5 s cheap dies", "\"-5\" is no time: expected 10 min or 90 s"},
        {"5 s east phase 1 slips 1 d", "there is no pool or contract \"east\""},
        {"5 s dear phase 1 slips 1 d", "phase: the pool has no contract"},
        {"5 s listed phase 1 slips 1 d", "phase: the contract has none"},
        {"5 s later phase 2 slips 1 d", "\"2\" is no phase of later: expected 1 to 1, or the day"},
        {"5 s later phase 1 moves 1 d", "\"moves\" behind phase 1: expected slips 90 d, advances"},
        {"5 s later phase 1 slips -1 d", "\"-1 d\" behind slips: expected a time such as 90 d"},
        {"5 s later phase 1 begins soon", "\"soon\" behind begins: expected a day such as 2027"},
        {"5 s later phase 1 begins 2030-01-01", "\"2030-01-01\" behind begins: the phase ends"},
        {"5 s cheap price n x2", "there is no model \"n\""},
        {"5 s cheap price m", "price: expected a factor such as x1.2, or input 0.3 USD/Mtok"},
        {"5 s cheap price m 2", "\"2\" behind price: expected a factor such as x1.2, or input"},
        {"5 s cheap price m x-2", "\"x-2\" behind price: expected a factor"},
        {"5 s cheap price m input 2",
         "\"2\" behind input: expected a price of tokens such as 0.35"},
        {"5 s cheap price m input 2 USD/Mtok input 3 USD/Mtok", "price: input stands twice"},
        {"5 s cheap price other x2", "price: it does not serve \"other\""},
        {"5 s east price m x2", "there is no pool or contract \"east\""},
        {"5 s later beyond x2", "beyond: the contract commits to nothing"},
        {"5 s paid beyond 2 USD/h", "behind beyond: expected a price such as 0.5 USD/Mtok"},
        {"5 s listed beyond x2", "what is beyond costs the list price, which price changes"},
        {"5 s money beyond x2", "more than a commitment of money costs the list price"},
        {"5 s cheap energy x2", "there is no site \"cheap\""},
        {"5 s east energy 2", "\"2\" behind energy: expected a price of energy such as 62 USD/MWh"},
        {"5 s east energy x-1", "\"x-1\" behind energy: expected a price of energy"},
        {"5 s east carbon 3 g", "\"3 g\" behind carbon: expected a carbon intensity such as 402"},
    };
    struct fleet f;
    two_pools_of_which_one_comes_later(&f);
    f.phases[0][0].until_us = S(86400);
    static const char *const names[] = {"paid", "listed", "money"};
    for (int i = 0; i < 3; i++) {
        struct contract *c = contract(&f, fleet_pool(&f, names[i], 0), names[i]);
        c->commitment.amount = 5;
        c->commitment.unit = i == 2 ? COMMIT_USD : COMMIT_TOKENS;
        c->commitment.beyond_nusd_per_unit = i == 0 ? 500 : 0;
    }
    fleet_model(&f, "other");
    f.p.pools[2].name = STR("paid-pool");
    fleet_start(&f, "least-cost");
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct events e;
        struct diag diag = {0};
        enum err err = events_read(&e, &f.arena, &f.p, "events", str_of(cases[i].text), &diag);
        EXPECT(err == ERR_INVALID && str_starts(str_of(diag.text), STR("events:1: ")) &&
                   strstr(diag.text, cases[i].words),
               "%s: %s", cases[i].text, diag.text);
    }
    fleet_release(&f);
}

int main(void)
{
    TEST(a_phase_slips_or_comes_early);
    TEST(prices_change);
    TEST(what_is_beyond_a_commitment_changes_its_price);
    TEST(energy_and_carbon_change_their_price);
    TEST(what_is_maintained_gets_nothing_new);
    TEST(the_bound_knows_when_a_pool_is_dead);
    TEST(nobody_is_lost_when_the_portfolio_changes);
    TEST(wrong_lines_say_what_was_expected);
    return test_end();
}
