#include "lib/fleet.h"

#include <time.h>

enum { USERS = 4096 };

// One pool with room for `slots`, and a line in front of it.
static void one_pool(struct fleet *f, int32_t slots)
{
    fleet_init(f);
    fleet_pool(f, "p", fleet_model(f, "m"))->limits.in_flight = slots;
}

static struct route_decision send_now(struct fleet *f, const struct route_ask *ask, int64_t now_us)
{
    struct route_decision d = route_pick(f->route, ask, now_us);
    NEED(d.verdict == ROUTE_SEND);
    route_took(f->route, ask, &d, now_us);
    return d;
}

static void done(struct fleet *f, const struct route_ask *ask, const struct route_decision *d,
                 int64_t now_us)
{
    struct route_seen seen = {.outcome = ROUTE_NO_SAY};
    route_done(f->route, ask, d, &seen, now_us);
}

// Who is woken, one by one, as the single slot comes free again and again.
static int32_t wake_all(struct fleet *f, const struct route_ask *first,
                        const struct route_decision *d, uint64_t *users, int64_t now_us)
{
    struct route_decision busy = *d;
    struct route_woken w;
    int32_t n = 0;
    done(f, first, &busy, now_us);
    while (route_next(f->route, &w, now_us)) {
        EXPECT(w.decision.verdict == ROUTE_SEND, "user %" PRIu64, w.user);
        EXPECT(!route_next(f->route, &(struct route_woken){0}, now_us), "two in one slot");
        users[n++] = w.user;
        done(f, first, &w.decision, now_us);
    }
    return n;
}

static void the_earliest_deadline_goes_first(void)
{
    struct fleet f;
    one_pool(&f, 1);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0), waits = ask;
    struct route_decision d = send_now(&f, &ask, 0);
    static const int64_t deadline_s[] = {50, 20, 40, 10, 30};
    for (uint64_t i = 0; i < 5; i++) {
        waits.deadline_us = S(deadline_s[i]);
        EXPECT(route_wait(f.route, &waits, i, 0) >= 0, "ticket");
    }
    uint64_t users[8];
    EXPECT(wake_all(&f, &ask, &d, users, S(1)) == 5, "not all came");
    EXPECT(users[0] == 3 && users[1] == 1 && users[2] == 4 && users[3] == 2 && users[4] == 0,
           "%d %d %d %d %d", (int)users[0], (int)users[1], (int)users[2], (int)users[3],
           (int)users[4]);
    fleet_release(&f);
}

static void without_deadlines_the_first_come_goes_first(void)
{
    struct fleet f;
    one_pool(&f, 1);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_decision d = send_now(&f, &ask, 0);
    for (uint64_t i = 0; i < 100; i++)
        route_wait(f.route, &ask, i, 0);
    uint64_t users[128];
    EXPECT(wake_all(&f, &ask, &d, users, 0) == 100, "not all came");
    for (uint64_t i = 0; i < 100; i++)
        EXPECT(users[i] == i, "%d came as number %d", (int)users[i], (int)i);
    fleet_release(&f);
}

static void too_late_is_refused_in_time(void)
{
    struct fleet f;
    one_pool(&f, 1);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0), waits = ask;
    send_now(&f, &ask, 0);
    route_wait(f.route, &ask, 1, 0);
    waits.deadline_us = S(9);
    route_wait(f.route, &waits, 2, 0);
    struct route_woken w;
    EXPECT(!route_next(f.route, &w, S(1)), "nothing yet");
    EXPECT(route_due(f.route) == S(9), "due %" PRId64, route_due(f.route));
    EXPECT(!route_next(f.route, &w, S(9) - 1), "not yet");
    EXPECT(route_next(f.route, &w, S(9)) && w.user == 2, "user %" PRIu64, w.user);
    EXPECT(w.decision.verdict == ROUTE_REFUSE && w.decision.bar == ROUTE_BAR_DEADLINE, "verdict");
    EXPECT(!route_next(f.route, &w, S(9)) && route_waiting(f.route) == 1, "the other stays");
    EXPECT(route_due(f.route) == NEVER, "and nothing is due by time");
    fleet_release(&f);
}

static void a_newcomer_does_not_overtake(void)
{
    struct fleet f;
    one_pool(&f, 1);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_decision d = send_now(&f, &ask, 0);
    int32_t ticket = route_wait(f.route, &ask, 1, 0);
    done(&f, &ask, &d, S(1));
    EXPECT(route_pick(f.route, &ask, S(1)).verdict == ROUTE_WAIT, "overtook");
    route_cancel(f.route, ticket);
    EXPECT(route_pick(f.route, &ask, S(1)).verdict == ROUTE_SEND, "nobody waits any more");
    fleet_release(&f);
}

// A token bucket trickles. Small requests would take every drop, and a large one would never go.
static void a_large_request_is_not_starved_by_small_ones(void)
{
    struct fleet f;
    fleet_init(&f);
    fleet_pool(&f, "p", fleet_model(&f, "m"))->limits.tokens_per_s = 100;  // 6000 at once
    fleet_tenant(&f, "large");
    fleet_tenant(&f, "small");
    fleet_start(&f, "least-cost");
    struct route_ask large = fleet_ask(&f, 0), small = large;
    large.tenant = 0;
    large.prompt_tok = 5000;
    small.tenant = 1;
    small.prompt_tok = 50;
    small.output_tok = 50;
    struct route_decision d = send_now(&f, &large, 0);
    done(&f, &large, &d, 0);
    route_wait(f.route, &large, 777, 0);
    int64_t went_us = 0;
    int32_t small_sent = 0;
    for (int64_t now_us = 0; now_us < S(200) && !went_us; now_us += MS(100)) {
        struct route_woken w;
        while (route_next(f.route, &w, now_us)) {
            NEED(w.decision.verdict == ROUTE_SEND);
            if (w.user == 777)
                went_us = now_us;
            else
                done(&f, &small, &w.decision, now_us), small_sent++;
        }
        small.arrived_us = now_us;
        d = route_pick(f.route, &small, now_us);
        if (d.verdict == ROUTE_SEND) {
            route_took(f.route, &small, &d, now_us);
            done(&f, &small, &d, now_us);
            small_sent++;
        } else {
            route_wait(f.route, &small, 1, now_us);
        }
    }
    EXPECT(went_us > 0 && went_us < S(60), "it went at %" PRId64, went_us);
    fleet_release(&f);
}

static void a_cancelled_one_never_comes(void)
{
    struct fleet f;
    one_pool(&f, 1);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_decision d = send_now(&f, &ask, 0);
    static int32_t tickets[ROUTE_WAITING_MAX];
    for (int32_t i = 0; i < ROUTE_WAITING_MAX; i++) {
        tickets[i] = route_wait(f.route, &ask, (uint64_t)i, 0);
        NEED(tickets[i] >= 0);
    }
    EXPECT(route_wait(f.route, &ask, 1, 0) == -1, "the line is full");
    for (int32_t i = 0; i < ROUTE_WAITING_MAX; i++) {
        if (i != 5000)
            route_cancel(f.route, tickets[i]);
    }
    EXPECT(route_waiting(f.route) == 1, "%d", route_waiting(f.route));
    uint64_t users[2];
    EXPECT(wake_all(&f, &ask, &d, users, 0) == 1 && users[0] == 5000, "user");
    EXPECT(route_due(f.route) == NEVER && route_waiting(f.route) == 0, "empty");
    fleet_release(&f);
}

// Two tenants ask ten to one for the same slots: each gets half, the one asking less all it asks.
static void tenants_share_alike(void)
{
    struct fleet f;
    one_pool(&f, 4);
    fleet_tenant(&f, "much");
    fleet_tenant(&f, "little");
    fleet_start(&f, "least-cost");
    struct route_decision flying[4];
    int32_t n = 0, got[2] = {0, 0};
    struct route_ask ask = fleet_ask(&f, 0);
    for (int32_t step = 0; step < 4000; step++) {
        for (int32_t i = 0; i < 11; i++) {
            ask.tenant = i == 10;
            ask.arrived_us = step;
            int32_t ticket = route_wait(f.route, &ask, (uint64_t)ask.tenant, step);
            EXPECT(ticket >= 0 || i < 10, "the flood of one left no place for the other");
        }
        struct route_woken w;
        while (route_next(f.route, &w, step)) {
            flying[n++] = w.decision;
            got[w.user]++;
        }
        NEED(n == 4);
        while (n > 2)
            done(&f, &ask, &flying[--n], step);
    }
    EXPECT(got[1] > 0.45 * got[0] && got[1] < 2 * got[0], "%d and %d", got[0], got[1]);
    fleet_release(&f);
}

// Waiting that costs more goes first, and what costs nothing is still served.
static void worth_goes_first_and_nobody_starves(void)
{
    struct fleet f;
    one_pool(&f, 1);
    fleet_class(&f, "chat", 8);
    fleet_class(&f, "batch", 0);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_decision d = send_now(&f, &ask, 0);
    int32_t got[2] = {0, 0};
    for (int32_t step = 0; step < 2000; step++) {
        for (int32_t c = 0; c < 2; c++) {
            struct route_ask a = ask;
            a.class = c;
            if (step < 1000)
                route_wait(f.route, &a, (uint64_t)c, step);
        }
        done(&f, &ask, &d, step);
        struct route_woken w;
        NEED(route_next(f.route, &w, step) && w.decision.verdict == ROUTE_SEND);
        d = w.decision;
        if (step < 1000)
            got[w.user]++;
    }
    EXPECT(got[0] > 900 && got[1] > 30, "chat %d, batch %d of 1000", got[0], got[1]);
    EXPECT(route_waiting(f.route) == 0, "%d were left", route_waiting(f.route));
    fleet_release(&f);
}

struct waiting {
    int32_t ticket;
    bool waits;
    struct route_ask ask;
};

// Any fleet, any traffic: each one that waits comes out exactly once or is cancelled; nothing that
// is due is left when route_due() has not come; when all is quiet nobody is left behind.
static void nobody_is_lost_or_woken_twice(void)
{
    static struct waiting users[USERS];
    int64_t waited = 0, woken = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct fleet f;
        fleet_random(&f, seed);
        fleet_start(&f, seed % 2 ? "least-cost" : "round-robin");
        struct {
            struct route_ask ask;
            struct route_decision d;
        } flying[64];
        int32_t n_flying = 0, n_users = 0, n_waiting = 0;
        int64_t now_us = 0;
        for (int32_t step = 0; step < 400; step++) {
            bool drain = step > 300;
            now_us += (int64_t)rng_below(&f.rng, drain ? S(5) : MS(400));
            struct route_ask ask = fleet_random_ask(&f, now_us);
            struct route_decision d = route_pick(f.route, &ask, now_us);
            if (d.verdict == ROUTE_SEND && n_flying < 40 && !drain) {
                route_took(f.route, &ask, &d, now_us);
                flying[n_flying].ask = ask;
                flying[n_flying++].d = d;
            } else if (d.verdict == ROUTE_WAIT && !drain) {
                users[n_users] = (struct waiting){
                    route_wait(f.route, &ask, (uint64_t)n_users, now_us), true, ask};
                NEED(users[n_users++].ticket >= 0);
                n_waiting++;
                waited++;
            }
            int32_t some = n_users ? (int32_t)rng_below(&f.rng, (uint64_t)n_users) : 0;
            if (n_users && users[some].waits && fleet_chance(&f.rng, 0.05)) {
                route_cancel(f.route, users[some].ticket);
                users[some].waits = false;
                n_waiting--;
            }
            if (n_flying && fleet_chance(&f.rng, drain ? 1 : 0.7)) {
                struct route_seen seen = {.outcome = (enum route_outcome)rng_below(&f.rng, 5)};
                if (fleet_chance(&f.rng, 0.7))
                    seen.outcome = ROUTE_OK;
                int32_t i = (int32_t)rng_below(&f.rng, (uint64_t)n_flying);
                route_done(f.route, &flying[i].ask, &flying[i].d, &seen, now_us);
                flying[i] = flying[--n_flying];
            }
            struct route_woken w;
            bool due = route_due(f.route) <= now_us;
            while (n_flying < 60 && route_next(f.route, &w, now_us)) {
                EXPECT(due, "seed %" PRIu64 ": came without being due", seed);
                NEED(w.user < (uint64_t)n_users);
                EXPECT(users[w.user].waits, "seed %" PRIu64 ": user %d twice", seed, (int)w.user);
                users[w.user].waits = false;
                n_waiting--;
                woken++;
                if (w.decision.verdict == ROUTE_SEND) {
                    flying[n_flying].ask = users[w.user].ask;
                    flying[n_flying++].d = w.decision;
                } else {
                    EXPECT(w.decision.verdict == ROUTE_REFUSE && w.decision.bar, "verdict");
                }
            }
            EXPECT(route_waiting(f.route) == n_waiting, "seed %" PRIu64, seed);
        }
        // Quiet now, and all in flight have ended: time alone brings everyone out.
        while (n_flying > 0) {
            n_flying--;
            done(&f, &flying[n_flying].ask, &flying[n_flying].d, now_us);
        }
        for (int32_t i = 0; i < 10000 && n_waiting > 0; i++) {
            struct route_woken w;
            int64_t due_us = route_due(f.route);
            if (due_us == NEVER)
                break;
            now_us = max_i64(now_us, due_us);
            while (route_next(f.route, &w, now_us)) {
                n_waiting--;
                if (w.decision.verdict == ROUTE_SEND)
                    done(&f, &users[w.user].ask, &w.decision, now_us);
            }
        }
        EXPECT(n_waiting == 0 && route_waiting(f.route) == 0, "seed %" PRIu64 ": %d left", seed,
               n_waiting);
        fleet_release(&f);
    }
    EXPECT(waited > 5000 && woken > 4000, "%d waited, %d came", (int)waited, (int)woken);
}

// The common case of overload, nothing can go, costs the same however long the line is.
static void asking_a_long_line_costs_nothing(void)
{
    struct fleet f;
    one_pool(&f, 1);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    send_now(&f, &ask, 0);
    for (int32_t i = 0; i < ROUTE_WAITING_MAX; i++)
        route_wait(f.route, &ask, 1, 0);
    struct route_woken w;
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int32_t i = 0; i < 1000000; i++)
        NEED(!route_next(f.route, &w, 0));
    clock_gettime(CLOCK_MONOTONIC, &b);
    double ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / 1e6;
    printf("  %.1f ns each\n", ns);
    EXPECT(ns < 1000, "%g ns", ns);
    fleet_release(&f);
}

// limits.waiting: so many may wait for a pool, then no more are taken in.
static void a_pool_says_how_many_may_wait_for_it(void)
{
    struct fleet f;
    one_pool(&f, 1);
    f.pools[0].limits.waiting = 3;
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_decision d = send_now(&f, &ask, 0);
    int32_t tickets[3];
    for (uint64_t i = 0; i < 3; i++) {
        tickets[i] = route_wait(f.route, &ask, i, 0);
        EXPECT(tickets[i] >= 0, "number %d", (int)i);
    }
    EXPECT(route_wait(f.route, &ask, 3, 0) == -1, "a fourth");
    route_cancel(f.route, tickets[1]);
    EXPECT(route_wait(f.route, &ask, 4, 0) >= 0, "one has left");
    uint64_t users[8];
    EXPECT(wake_all(&f, &ask, &d, users, 0) == 3, "all come");
    send_now(&f, &ask, 0);
    EXPECT(route_wait(f.route, &ask, 5, 0) >= 0, "and leave their places");
    fleet_release(&f);

    // Two pools: each has its own places; one without a limit has as many as the line.
    one_pool(&f, 1);
    f.pools[0].limits.waiting = 3;
    struct pool *other = fleet_pool(&f, "q", 0);
    other->limits.in_flight = 1;
    other->limits.waiting = 2;
    for (int unlimited = 0; unlimited < 2; unlimited++) {
        other->limits.waiting = unlimited ? 0 : 2;
        fleet_start(&f, "least-cost");
        ask = fleet_ask(&f, 0);
        send_now(&f, &ask, 0);
        send_now(&f, &ask, 0);
        int32_t n = 0;
        while (n < 100 && route_wait(f.route, &ask, 1, 0) >= 0)
            n++;
        EXPECT(n == (unlimited ? 100 : 5), "%d wait", n);
    }
    fleet_release(&f);
}

// Thirty groups wait for the same sixteen full pools: what one that ends costs is next to nothing
// for each of them.
static void a_long_line_is_looked_through_at_once(void)
{
    enum { ROUNDS = 2000 };
    struct fleet f;
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    for (int32_t i = 0; i < 16; i++)
        fleet_pool(&f, arena_printf(&f.arena, "p%d", i).p, m)->limits.in_flight = 1;
    for (int32_t i = 0; i < 5; i++)
        fleet_tenant(&f, (const char *[]){"a", "b", "c", "d", "e"}[i]);
    for (int32_t i = 0; i < 4; i++)
        fleet_class(&f, (const char *[]){"k", "l", "m", "n"}[i], i + 1);
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    struct route_decision flying[16];
    for (int32_t i = 0; i < 16; i++)
        flying[i] = send_now(&f, &ask, 0);
    for (int32_t i = 0; i < 30 * 80; i++) {
        struct route_ask waits = ask;
        waits.tenant = i % 6 - 1;
        waits.class = i / 6 % 5 - 1;
        NEED(route_wait(f.route, &waits, 0, 0) >= 0);
    }
    struct route_woken w;
    NEED(!route_next(f.route, &w, 0));
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int32_t i = 0; i < ROUNDS; i++) {
        done(&f, &ask, &flying[i % 16], 0);
        NEED(route_next(f.route, &w, 0) && w.decision.verdict == ROUTE_SEND);
        flying[i % 16] = w.decision;
        NEED(!route_next(f.route, &w, 0));
    }
    clock_gettime(CLOCK_MONOTONIC, &b);
    double ns = ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec)) / ROUNDS;
    printf("  %.0f ns for each that ends\n", ns);
    fleet_release(&f);
}

// A pool of one request a second, its bucket spent: of those with ten seconds left the eleventh
// cannot be taken in time. One that is due before the others, or has longer, may wait.
static void one_that_cannot_come_in_time_does_not_wait(void)
{
    struct fleet f;
    fleet_init(&f);
    fleet_pool(&f, "p", fleet_model(&f, "m"))->limits.requests_per_s = 1;
    fleet_start(&f, "least-cost");
    struct route_ask ask = fleet_ask(&f, 0);
    for (int32_t i = 0; i < 60; i++)
        send_now(&f, &ask, 0);
    EXPECT(route_pick(f.route, &ask, 0).verdict == ROUTE_WAIT, "the bucket is spent");
    ask.deadline_us = S(10);
    int32_t waiting = 0;
    while (waiting < 100 && route_wait(f.route, &ask, (uint64_t)waiting, 0) >= 0)
        waiting++;
    EXPECT(waiting >= 10 && waiting <= 11, "%d wait", waiting);
    struct route_ask sooner = ask, later = ask, patient = ask;
    sooner.deadline_us = S(9);
    EXPECT(route_wait(f.route, &sooner, 100, 0) >= 0, "goes before them");
    later.deadline_us = S(30);
    EXPECT(route_wait(f.route, &later, 101, 0) >= 0, "has longer");
    patient.deadline_us = NEVER;
    EXPECT(route_wait(f.route, &patient, 102, 0) >= 0, "has no deadline");
    fleet_release(&f);
}

int main(void)
{
    TEST(the_earliest_deadline_goes_first);
    TEST(without_deadlines_the_first_come_goes_first);
    TEST(too_late_is_refused_in_time);
    TEST(a_newcomer_does_not_overtake);
    TEST(a_large_request_is_not_starved_by_small_ones);
    TEST(a_cancelled_one_never_comes);
    TEST(tenants_share_alike);
    TEST(worth_goes_first_and_nobody_starves);
    TEST(nobody_is_lost_or_woken_twice);
    TEST(asking_a_long_line_costs_nothing);
    TEST(a_pool_says_how_many_may_wait_for_it);
    TEST(one_that_cannot_come_in_time_does_not_wait);
    TEST(a_long_line_is_looked_through_at_once);
    return test_end();
}
