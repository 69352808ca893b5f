#include "route/quota.h"

#include "base/rng.h"
#include "base/units.h"
#include "lib/test.h"

#include <inttypes.h>

enum { WHO = 8, OPEN = 24, STEPS = 220, SEEDS = 3000, NOTES = 8 };
#define USD INT64_C(1000000000)

static const int64_t day_us = S(86400);

static int64_t noon(int32_t year, int32_t month, int32_t dom)
{
    return civil_us((struct civil){.year = year, .month = month, .day = dom, .hour = 12});
}

// --- one level --------------------------------------------------------------------------------

struct single {
    struct arena a;
    struct quota *q;
    struct allowance allowance;
    struct quota_level level;
    struct quota_ask ask;
    struct quota_refusal why;
};

static void single_init(struct single *s)
{
    *s = (struct single){.ask = {.now_us = S(1000), .wall_us = noon(2026, 11, 22)}};
    arena_init(&s->a, 1 << 20);
    NEED(!quota_new(&s->q, &s->a, 16));
    allowance_defaults(&s->allowance);
    s->level = (struct quota_level){quota_place(s->q, 7), &s->allowance};
    NEED(s->level.place >= 0);
}

static bool take_one(struct single *s, struct quota_ticket *t)
{
    *t = (struct quota_ticket){0};
    return quota_take(s->q, &s->level, 1, &s->ask, t, &s->why);
}

static struct quota_view look(const struct single *s)
{
    return quota_look(s->q, &s->level, s->ask.now_us, s->ask.wall_us);
}

static void a_minute_of_requests_passes_at_once_and_then_at_its_rate(void)
{
    struct single s;
    struct quota_ticket t;
    single_init(&s);
    s.allowance.requests_per_s = 100 / 60.0;
    for (int i = 0; i < 100; i++)
        EXPECT(take_one(&s, &t) && quota_settle(s.q, &t, 1, 0, s.ask.now_us) == 0, "request %d", i);
    EXPECT(!take_one(&s, &t), "the 101st");
    EXPECT(s.why.what == QUOTA_REQUESTS && s.why.limit == 100 && s.why.used == 100, "%d %g %g",
           (int)s.why.what, s.why.limit, s.why.used);
    EXPECT(s.why.again_us > MS(599) && s.why.again_us < MS(601), "%" PRId64, s.why.again_us);
    s.ask.now_us += s.why.again_us;
    EXPECT(take_one(&s, &t), "when it said");
    EXPECT(look(&s).requests_reset_us > MS(59998), "%" PRId64, look(&s).requests_reset_us);
    arena_release(&s.a);
}

static void less_than_one_a_minute_is_still_one(void)
{
    struct single s;
    struct quota_ticket t;
    single_init(&s);
    s.allowance.requests_per_s = 2 / 86400.0;
    EXPECT(take_one(&s, &t) && !take_one(&s, &(struct quota_ticket){0}), "one of two a day");
    EXPECT(s.why.again_us > S(43199) && s.why.again_us < S(43201), "%" PRId64, s.why.again_us);
    quota_settle(s.q, &t, 0, 0, s.ask.now_us);
    arena_release(&s.a);
}

static void tokens_are_set_right_at_the_end(void)
{
    struct single s;
    struct quota_ticket t;
    single_init(&s);
    s.allowance.tokens_per_s = 1000 / 60.0;
    s.ask.prompt_tok = 100;
    s.ask.output_tok = 500;
    EXPECT(take_one(&s, &t) && look(&s).tokens == 600, "%g", look(&s).tokens);
    EXPECT(!take_one(&s, &(struct quota_ticket){0}) && s.why.what == QUOTA_TOKENS, "600 and 600");
    quota_settle(s.q, &t, 150, 0, s.ask.now_us);
    EXPECT(look(&s).tokens == 150, "%g", look(&s).tokens);
    EXPECT(take_one(&s, &t), "150 and 600");
    quota_give_back(s.q, &t, s.ask.now_us);
    EXPECT(look(&s).tokens == 150, "%g", look(&s).tokens);
    s.ask.output_tok = 5000;
    s.ask.now_us += S(60);
    EXPECT(take_one(&s, &t), "a forecast larger than the limit waits for a full bucket only");
    quota_settle(s.q, &t, 100, 0, s.ask.now_us);
    s.ask.prompt_tok = 1001;
    s.ask.now_us += S(600);
    EXPECT(!take_one(&s, &t) && s.why.again_us == NEVER, "a prompt larger than the limit");
    arena_release(&s.a);
}

// What was expected and did not come is given back only as far as it has not flowed off: else more
// than a full bucket would go through at once.
static void what_has_flowed_off_is_not_given_back(void)
{
    struct single s;
    struct quota_ticket t[3] = {{0}};
    single_init(&s);
    s.allowance.tokens_per_s = 1000 / 60.0;
    s.ask.prompt_tok = 100;
    s.ask.output_tok = 500;
    EXPECT(take_one(&s, &t[0]), "600 of 1000");
    s.ask.now_us += S(36);  // 600 have flowed off
    EXPECT(take_one(&s, &t[1]), "600 more");
    quota_settle(s.q, &t[0], 150, 0, s.ask.now_us);
    double level = look(&s).tokens;
    EXPECT(level > 599.9 && level < 600.1, "%g", level);
    s.ask.now_us += S(6);  // 100 of the second's 600
    quota_give_back(s.q, &t[1], s.ask.now_us);
    EXPECT(look(&s).tokens < 0.1, "%g", look(&s).tokens);
    s.ask.output_tok = 300;
    EXPECT(take_one(&s, &t[0]) && take_one(&s, &t[1]), "400 behind 400");
    quota_settle(s.q, &t[0], 100, 0, s.ask.now_us);
    s.ask.now_us += S(24);  // the 100 that were before it, and 300 of its own
    EXPECT(take_one(&s, &t[2]), "and 400 of another");
    quota_settle(s.q, &t[1], 100, 0, s.ask.now_us);
    level = look(&s).tokens;
    EXPECT(level > 399.9 && level < 400.1, "%g", level);
    quota_settle(s.q, &t[2], 500, 0, s.ask.now_us);
    level = look(&s).tokens;
    EXPECT(level > 499.9 && level < 500.1, "what was not expected is added: %g", level);
    arena_release(&s.a);
}

static void a_hard_budget_reserves_the_most_and_a_forecast_what_is_expected(void)
{
    struct single s;
    struct quota_ticket t[3];
    single_init(&s);
    s.allowance.budget_day_nusd = 5 * USD;
    s.allowance.budget_hard = true;
    s.ask.expected_nusd = USD;
    s.ask.most_nusd = 2 * USD;
    EXPECT(take_one(&s, &t[0]) && take_one(&s, &t[1]) && !take_one(&s, &t[2]), "2, 2, 2 of 5");
    EXPECT(s.why.what == QUOTA_DAY && s.why.used == 4e9 && s.why.again_us == S(1), "%g",
           s.why.used);
    EXPECT(quota_settle(s.q, &t[0], 0, 3 * USD, s.ask.now_us) == 2 * USD,
           "never more than was reserved");
    EXPECT(quota_settle(s.q, &t[1], 0, 2 * USD, s.ask.now_us) == 2 * USD, "as it came");
    EXPECT(!take_one(&s, &t[2]) && s.why.again_us == S(43200), "%" PRId64, s.why.again_us);
    s.allowance.zone_us = S(3600);
    EXPECT(!take_one(&s, &t[2]) && s.why.again_us == S(39600), "%" PRId64, s.why.again_us);
    s.allowance.budget_hard = false;
    EXPECT(take_one(&s, &t[2]), "the expected dollar fits");
    EXPECT(quota_settle(s.q, &t[2], 0, 2 * USD, s.ask.now_us) == 2 * USD, "a forecast is overrun");
    EXPECT(look(&s).day_nusd == 6 * USD && look(&s).day_reserved_nusd == 0, "%" PRId64,
           look(&s).day_nusd);
    s.ask.wall_us += S(43200);
    EXPECT(look(&s).day_nusd == 0 && take_one(&s, &t[0]), "the next day");
    quota_give_back(s.q, &t[0], s.ask.now_us);
    s.allowance.budget_hard = true;
    s.ask.most_nusd = 6 * USD;
    EXPECT(!take_one(&s, &t[0]) && s.why.again_us == NEVER, "larger than a day");
    arena_release(&s.a);
}

static void the_month_and_its_end_are_the_calendars(void)
{
    struct single s;
    struct quota_ticket t;
    single_init(&s);
    s.allowance.budget_month_uusd = 1000000;
    s.ask.expected_nusd = USD;
    EXPECT(take_one(&s, &t), "a dollar of one");
    EXPECT(!take_one(&s, &(struct quota_ticket){0}) && s.why.what == QUOTA_MONTH, "the second");
    quota_settle(s.q, &t, 0, USD, s.ask.now_us);
    EXPECT(!take_one(&s, &t), "spent");
    EXPECT(s.why.again_us ==
               civil_us((struct civil){.year = 2026, .month = 12, .day = 1}) - s.ask.wall_us,
           "%" PRId64, s.why.again_us);
    s.ask.wall_us += s.why.again_us;
    EXPECT(take_one(&s, &t), "in December");
    quota_settle(s.q, &t, 0, USD, s.ask.now_us);
    arena_release(&s.a);
}

static void what_the_ledger_knows_is_counted(void)
{
    struct single s;
    struct quota_ticket t;
    single_init(&s);
    s.allowance.budget_day_nusd = 5 * USD;
    s.allowance.requests_per_s = 10 / 60.0;
    struct quota_past past = {.day_nusd = 5 * USD, .month_nusd = 9 * USD, .requests = 4};
    quota_remember(s.q, &s.level, &past, s.ask.now_us, s.ask.wall_us);
    struct quota_view v = look(&s);
    EXPECT(v.requests == 4 && v.day_nusd == 5 * USD && v.month_nusd == 9 * USD, "%g", v.requests);
    s.ask.expected_nusd = 1;
    EXPECT(!take_one(&s, &t) && s.why.what == QUOTA_DAY, "spent before the start");
    // Said once more, or when less is known than was counted, it changes nothing.
    quota_remember(s.q, &s.level, &past, s.ask.now_us, s.ask.wall_us);
    past = (struct quota_past){.day_nusd = USD, .month_nusd = 10 * USD, .requests = 1};
    quota_remember(s.q, &s.level, &past, s.ask.now_us, s.ask.wall_us);
    v = look(&s);
    EXPECT(v.requests == 4 && v.day_nusd == 5 * USD && v.month_nusd == 10 * USD, "%g", v.requests);
    arena_release(&s.a);
}

static void a_place_is_found_again_and_their_number_is_bounded(void)
{
    struct single s;
    int32_t place[15];
    single_init(&s);
    for (uint64_t id = 100; id < 115; id++) {
        place[id - 100] = quota_place(s.q, id);
        EXPECT(place[id - 100] == (int32_t)(id - 99), "%" PRIu64, id);
    }
    EXPECT(quota_place(s.q, 200) == -1, "sixteen are all");
    for (uint64_t id = 114; id >= 100; id--)
        EXPECT(quota_place(s.q, id) == place[id - 100], "%" PRIu64, id);
    arena_release(&s.a);
}

// --- many levels, at random --------------------------------------------------------------------

struct note {  // what one has spent of one period, counted here
    int32_t zone_period;
    int64_t spent, bound;  // bound: what a forecast may come to, since the last that was let in
};

struct who {
    uint64_t id;
    struct allowance a;
    int32_t up, place, in_flight;
    struct note days[NOTES], months[NOTES];
};

struct open {
    struct quota_ticket t;
    int32_t who[QUOTA_LEVELS_MAX], n;
    int64_t at_us, wall_us, most_nusd, expected_nusd;
    bool on;
};

struct world {
    struct arena a;
    struct quota *q;
    struct rng rng;
    struct who who[WHO];
    struct open open[OPEN];
    int64_t now_us, wall_us;
    uint64_t seed;
    int64_t let_in, refused;
};

static int64_t below(struct world *w, int64_t n)
{
    return (int64_t)(rng_u64(&w->rng) % (uint64_t)n);
}

static struct note *note_of(struct note *all, int64_t at_us, int64_t zone_us, bool month)
{
    struct civil c = civil_of(at_us + zone_us);
    int32_t period = month ? c.year * 12 + c.month : (int32_t)((at_us + zone_us) / day_us);
    for (int32_t i = 0; i < NOTES; i++) {
        if (all[i].zone_period == 0)
            all[i].zone_period = period;
        if (all[i].zone_period == period)
            return &all[i];
    }
    NEED(!"a period too many");
    return NULL;
}

static void limits_at_random(struct world *w, struct allowance *a)
{
    allowance_defaults(a);
    a->requests_per_s = below(w, 2) ? (double)(1 + below(w, 40)) / 60 : 0;
    a->tokens_per_s = below(w, 2) ? (double)(100 + below(w, 4000)) / 60 : 0;
    a->in_flight = below(w, 2) ? (int32_t)(1 + below(w, 6)) : 0;
    a->budget_day_nusd = below(w, 2) ? below(w, 40) * USD : -1;
    a->budget_month_uusd = below(w, 2) ? below(w, 90) * 1000000 : -1;
    a->budget_hard = below(w, 2);
    a->zone_us = below(w, 3) ? 0 : S(3600) * (below(w, 5) - 2);
}

static void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.seed = seed, .now_us = S(50), .wall_us = noon(2026, 11, 15)};
    arena_init(&w->a, 1 << 20);
    rng_seed(&w->rng, seed);
    NEED(!quota_new(&w->q, &w->a, 2 * WHO));
    for (int32_t i = 0; i < WHO; i++) {
        struct who *x = &w->who[i];
        *x = (struct who){.id = rng_u64(&w->rng) | 1, .up = i < 4 ? i - 1 : (int32_t)below(w, 4)};
        limits_at_random(w, &x->a);
        x->place = quota_place(w->q, x->id);
        NEED(x->place == i);
    }
}

// Another portfolio: everybody is looked up again, in another order, and finds his own place.
static void reload(struct world *w)
{
    for (int32_t k = 0, i = (int32_t)below(w, WHO); k < WHO; k++, i = (i + 3) % WHO) {
        int32_t place = quota_place(w->q, w->who[i].id);
        EXPECT(place == w->who[i].place, "seed %" PRIu64, w->seed);
    }
}

static void note_taken(struct world *w, const struct open *o)
{
    for (int32_t i = 0; i < o->n; i++) {
        struct who *x = &w->who[o->who[i]];
        x->in_flight++;
        for (int month = 0; month < 2; month++) {
            struct note *n =
                note_of(month ? x->months : x->days, w->wall_us, x->a.zone_us, month != 0);
            int64_t over = 0;
            for (int32_t k = 0; k < OPEN; k++) {
                const struct open *other = &w->open[k];
                for (int32_t j = 0; other->on && j < other->n; j++)
                    if (other->who[j] == o->who[i] &&
                        note_of(month ? x->months : x->days, other->wall_us, x->a.zone_us,
                                month != 0) == n)
                        over += other->most_nusd - other->expected_nusd;
            }
            n->bound = (month ? x->a.budget_month_uusd * 1000 : x->a.budget_day_nusd) + over;
        }
    }
}

static void come(struct world *w)
{
    struct quota_level levels[QUOTA_LEVELS_MAX];
    struct quota_refusal why;
    struct open *o = &w->open[below(w, OPEN)];
    if (o->on)
        return;
    *o = (struct open){.at_us = w->now_us, .wall_us = w->wall_us};
    for (int32_t i = (int32_t)below(w, WHO); i >= 0; i = w->who[i].up) {
        levels[o->n] = (struct quota_level){w->who[i].place, &w->who[i].a};
        o->who[o->n++] = i;
    }
    o->expected_nusd = below(w, 3 * USD);
    o->most_nusd = o->expected_nusd + below(w, 3 * USD);
    struct quota_ask ask = {.now_us = w->now_us,
                            .wall_us = w->wall_us,
                            .prompt_tok = (int32_t)below(w, 300),
                            .output_tok = (int32_t)below(w, 300),
                            .expected_nusd = o->expected_nusd,
                            .most_nusd = o->most_nusd};
    o->on = quota_take(w->q, levels, o->n, &ask, &o->t, &why);
    w->let_in += o->on;
    w->refused += !o->on;
    if (o->on)
        note_taken(w, o);
    else
        EXPECT(why.what != QUOTA_NOTHING && why.again_us > 0 && why.level < o->n, "seed %" PRIu64,
               w->seed);
}

static void go(struct world *w, struct open *o)
{
    bool nobody = below(w, 4) == 0;  // failed over, and over, and given up; or cancelled early
    int64_t cost = below(w, 3) ? below(w, o->most_nusd + 1) : o->most_nusd + below(w, USD);
    int64_t charged = 0;
    o->on = false;
    bool is_hard = o->t.most_nusd != INT64_MAX;
    if (nobody)
        quota_give_back(w->q, &o->t, w->now_us);
    else
        charged = quota_settle(w->q, &o->t, (int32_t)below(w, 700),
                               is_hard ? cost : min_i64(cost, o->most_nusd), w->now_us);
    for (int32_t i = 0; i < o->n; i++) {
        struct who *x = &w->who[o->who[i]];
        x->in_flight--;
        note_of(x->days, o->wall_us, x->a.zone_us, false)->spent += charged;
        note_of(x->months, o->wall_us, x->a.zone_us, true)->spent += charged;
    }
    o->on = false;
}

static void check_periods(const struct world *w, const struct who *x, const struct note *n,
                          int64_t limit)
{
    for (int32_t i = 0; i < NOTES && limit >= 0; i++) {
        if (x->a.budget_hard)
            EXPECT(n[i].spent <= limit, "seed %" PRIu64 ": %" PRId64 " of %" PRId64, w->seed,
                   n[i].spent, limit);
        else
            EXPECT(n[i].spent <= max_i64(0, n[i].bound),
                   "seed %" PRIu64 ": %" PRId64 ", bound %" PRId64, w->seed, n[i].spent,
                   n[i].bound);
    }
}

static void check(const struct world *w)
{
    for (int32_t i = 0; i < WHO; i++) {
        const struct who *x = &w->who[i];
        struct quota_view v =
            quota_look(w->q, &(struct quota_level){x->place, &x->a}, w->now_us, w->wall_us);
        EXPECT(v.in_flight == x->in_flight, "seed %" PRIu64, w->seed);
        EXPECT(!x->a.in_flight || x->in_flight <= x->a.in_flight, "seed %" PRIu64, w->seed);
        check_periods(w, x, x->days, x->a.budget_day_nusd);
        check_periods(w, x, x->months,
                      x->a.budget_month_uusd < 0 ? -1 : x->a.budget_month_uusd * 1000);
    }
}

static void end_all(struct world *w)
{
    for (int32_t i = 0; i < OPEN; i++)
        if (w->open[i].on)
            go(w, &w->open[i]);
    check(w);
    for (int32_t i = 0; i < WHO; i++) {
        const struct who *x = &w->who[i];
        for (int32_t d = -1; d <= 32; d += d < 1 ? 1 : 31) {
            struct quota_view v = quota_look(w->q, &(struct quota_level){x->place, &x->a},
                                             w->now_us, w->wall_us + d * day_us);
            EXPECT(v.in_flight == 0 && v.day_reserved_nusd == 0 && v.month_reserved_nusd == 0,
                   "seed %" PRIu64, w->seed);
        }
    }
}

// Whatever comes, in whatever order, with clocks set back and portfolios reloaded: a hard budget is
// never overrun, a forecast one by no more than its bound, and nothing is left when all is over.
static void limits_hold_whatever_happens(void)
{
    static struct world w;
    int64_t let_in = 0, refused = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        world_init(&w, seed);
        int64_t base_us = w.wall_us;
        for (int32_t step = 0; step < STEPS; step++) {
            int64_t passed = below(&w, S(20));
            static const int64_t jumps[] = {0, 1, -1, 32};
            w.now_us += passed;
            base_us += passed;
            if (below(&w, 20) == 0)
                w.wall_us = base_us + jumps[below(&w, 4)] * day_us;
            struct open *o = &w.open[below(&w, OPEN)];
            if (below(&w, 3) == 0 && o->on)
                go(&w, o);
            else
                come(&w);
            if (below(&w, 30) == 0)
                reload(&w);
            check(&w);
        }
        end_all(&w);
        let_in += w.let_in;
        refused += w.refused;
        arena_release(&w.a);
    }
    printf("  %d sequences, %" PRId64 " let in, %" PRId64 " refused\n", SEEDS, let_in, refused);
    EXPECT(let_in > SEEDS * 20 && refused > SEEDS * 20, "both happen");
}

// Those that were answered never exceed a minute's worth and the rate, however many failed between.
static void what_is_given_back_lets_nobody_in_twice(void)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct single s;
        struct rng rng;
        struct quota_ticket t[16] = {0};
        double used = 0;
        int64_t at_us = 0;
        single_init(&s);
        rng_seed(&rng, seed);
        s.allowance.requests_per_s = (double)(1 + rng_u64(&rng) % 120) / 60;
        double size = s.allowance.requests_per_s * 60;
        bool failing[16];
        for (int i = 0; i < 400; i++) {
            size_t at = rng_u64(&rng) % COUNTOF(t);
            s.ask.now_us += (int64_t)(rng_u64(&rng) % (uint64_t)S(1));
            if (t[at].n && failing[at])
                quota_give_back(s.q, &t[at], s.ask.now_us);
            else if (t[at].n)
                quota_settle(s.q, &t[at], 1, 0, s.ask.now_us);
            if (!take_one(&s, &t[at]))
                continue;
            failing[at] = rng_u64(&rng) % 2;
            if (failing[at])
                continue;
            used -= s.allowance.requests_per_s * (double)(s.ask.now_us - at_us) / 1e6;
            used = (used > 0 ? used : 0) + 1;
            at_us = s.ask.now_us;
            EXPECT(used <= size + 1e-3, "seed %" PRIu64 ": %g of %g", seed, used, size);
        }
        arena_release(&s.a);
    }
}

int main(void)
{
    TEST(a_minute_of_requests_passes_at_once_and_then_at_its_rate);
    TEST(less_than_one_a_minute_is_still_one);
    TEST(tokens_are_set_right_at_the_end);
    TEST(what_has_flowed_off_is_not_given_back);
    TEST(a_hard_budget_reserves_the_most_and_a_forecast_what_is_expected);
    TEST(the_month_and_its_end_are_the_calendars);
    TEST(what_the_ledger_knows_is_counted);
    TEST(a_place_is_found_again_and_their_number_is_bounded);
    TEST(limits_hold_whatever_happens);
    TEST(what_is_given_back_lets_nobody_in_twice);
    return test_end();
}
