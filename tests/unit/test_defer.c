// Deferred work: what may wait for hours, and which pools it may have meanwhile.

#include "lib/fleet.h"

static const int64_t MARCH = S(1772323200), APRIL = S(1775001600);  // 2026, UTC
static const int64_t DAY = S(86400), HOUR = S(3600);

enum { CHAT, BATCH };

// A prepaid pool of eight, and one that is paid by use, dearer than a slot of the first ever is.
static void paid_and_spot(struct fleet *f, const char *policy)
{
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    struct pool *paid = fleet_pool(f, "paid", m), *spot = fleet_pool(f, "spot", m);
    fleet_price(paid, 1);
    fleet_price(spot, 1);
    paid->limits.in_flight = 8;
    f->contracts[0] = (struct contract){
        .name = STR("c"),
        .supplier = -1,
        .part_of = -1,
        .until_us = NEVER,
        .commitment = {.amount = 1e6, .unit = COMMIT_TOKENS, .per = PERIOD_MONTH}};
    f->p.n_contracts = 1;
    paid->contract = 0;
    fleet_class(f, "chat", 1);
    struct class *batch = fleet_class(f, "batch", 0);
    batch->deadline_us = DAY;
    batch->deferred = true;
    fleet_start(f, policy);
}

// Of March, `gone` of which has passed, with `used` of the commitment.
static struct route_ask ask_of(const struct fleet *f, int32_t class, int64_t arrived_us)
{
    struct route_ask ask = fleet_ask(f, arrived_us);
    ask.class = class;
    ask.wall_us = MARCH + arrived_us;
    ask.deadline_us = class == BATCH ? arrived_us + DAY : NEVER;
    return ask;
}

static const int64_t HALF = (APRIL - MARCH) / 2;

static struct route_decision pick_with(struct fleet *f, double used, int64_t waited_us)
{
    route_commitment_used(f->route, 0, used * 1e6, HALF, MARCH + HALF);
    struct route_ask ask = ask_of(f, BATCH, HALF - waited_us);
    return route_pick(f->route, &ask, HALF);
}

// What would be lost is taken at once, what is needed otherwise is not; the longer it has waited,
// the more of the price it accepts; at its last call it goes anywhere.
static void the_price_it_accepts_rises_with_the_time_it_has_waited(void)
{
    struct fleet f;
    paid_and_spot(&f, "caudal");
    struct route_decision d = pick_with(&f, 0.2, 0);
    EXPECT(d.verdict == ROUTE_SEND && d.pool == 0, "behind the pace: %s", d.why);
    d = pick_with(&f, 0.5, 0);
    EXPECT(d.verdict == ROUTE_WAIT && d.bar == ROUTE_BAR_DEFERRED, "on the pace: %s", d.why);
    EXPECT(d.until_us > HALF && d.until_us <= HALF + S(60), "looks again at %" PRId64, d.until_us);
    d = pick_with(&f, 0.5, HOUR);
    EXPECT(d.verdict == ROUTE_WAIT, "after an hour: %s", d.why);
    d = pick_with(&f, 0.5, 12 * HOUR);
    EXPECT(d.verdict == ROUTE_SEND && d.pool == 0, "after half its time: %s", d.why);
    d = pick_with(&f, 0.9, 21 * HOUR);
    EXPECT(d.verdict == ROUTE_WAIT, "ahead of the pace: %s", d.why);
    d = pick_with(&f, 0.9, 22 * HOUR);
    EXPECT(d.verdict == ROUTE_SEND, "its last call: %s", d.why);
    // The same in small steps: once it may go, it may at any later time.
    for (int32_t k = 0; k <= 20; k++) {
        bool went = false;
        for (int64_t waited = 0; waited < DAY; waited += HOUR / 4) {
            bool goes = pick_with(&f, k / 20.0, waited).verdict == ROUTE_SEND;
            EXPECT(goes || !went, "used %d %%, %" PRId64 " s", 5 * k, waited / S(1));
            went = goes;
        }
        EXPECT(went, "used %d %%: never went", 5 * k);
    }
    fleet_release(&f);
}

static void others_are_not_deferred(void)
{
    struct fleet f;
    paid_and_spot(&f, "caudal");
    route_commitment_used(f.route, 0, 0.9e6, HALF, MARCH + HALF);
    struct route_ask ask = ask_of(&f, CHAT, HALF);
    EXPECT(route_pick(f.route, &ask, HALF).verdict == ROUTE_SEND, "chat");
    fleet_release(&f);
    paid_and_spot(&f, "least-cost");
    struct route_decision d = pick_with(&f, 0.9, 0);
    EXPECT(d.verdict == ROUTE_SEND, "a policy without a pace: %s", d.why);
    fleet_release(&f);
}

static void where_nothing_is_prepaid_there_is_nothing_to_wait_for(void)
{
    struct fleet f;
    paid_and_spot(&f, "caudal");
    f.pools[0].enabled = false;
    fleet_start(&f, "caudal");
    struct route_decision d = pick_with(&f, 0.9, 0);
    EXPECT(d.verdict == ROUTE_SEND && d.pool == 1, "%s", d.why);
    fleet_release(&f);
}

static void what_it_may_never_have_is_nothing_to_wait_for(void)
{
    struct fleet f;
    paid_and_spot(&f, "caudal");
    route_commitment_used(f.route, 0, 0.9e6, HALF, MARCH + HALF);
    struct route_ask ask = ask_of(&f, BATCH, HALF);
    ask.tried[ask.n_tried++] = 0;
    struct route_decision d = route_pick(f.route, &ask, HALF);
    EXPECT(d.verdict == ROUTE_SEND && d.pool == 1, "it failed there: %s", d.why);
    struct route_lever stop = {.stopped = true, .weight = -1, .derate = 1};
    struct route_lever go = {.weight = -1, .derate = 1};
    route_set_lever(f.route, 0, &stop);
    d = pick_with(&f, 0.9, 0);
    EXPECT(d.verdict == ROUTE_SEND && d.pool == 1, "an operator stopped it: %s", d.why);
    route_set_lever(f.route, 0, &go);
    f.serves[0][0].context_tok = 10;
    fleet_start(&f, "caudal");
    d = pick_with(&f, 0.9, 0);
    EXPECT(d.verdict == ROUTE_SEND && d.pool == 1, "it is too long for it: %s", d.why);
    f.serves[0][0].context_tok = 0;
    struct tenant *t = fleet_tenant(&f, "t");
    t->regions = f.tenant_regions[0];
    t->regions[0] = STR("eu");
    t->n_regions = 1;
    f.p.n_sites = 1;
    f.sites[0] = (struct site){.name = STR("here"), .region = STR("eu"), .pue = 1};
    f.pools[1].site = 0;
    fleet_start(&f, "caudal");
    route_commitment_used(f.route, 0, 0.9e6, HALF, MARCH + HALF);
    ask = ask_of(&f, BATCH, HALF);
    ask.tenant = 0;
    d = route_pick(f.route, &ask, HALF);
    EXPECT(d.verdict == ROUTE_SEND && d.pool == 1, "it may not be there: %s", d.why);
    fleet_release(&f);
}

// Three quarters of a pool are for it; the rest is left for those who cannot wait.
static void it_leaves_room_for_those_who_cannot_wait(void)
{
    struct fleet f;
    paid_and_spot(&f, "caudal");
    route_commitment_used(f.route, 0, 0, HALF, MARCH + HALF);
    int32_t sent = 0;
    struct route_ask ask = ask_of(&f, BATCH, HALF);
    for (struct route_decision d; sent < 8; sent++) {
        d = route_pick(f.route, &ask, HALF);
        if (d.verdict != ROUTE_SEND)
            break;
        EXPECT(d.pool == 0, "to the prepaid one: %d", d.pool);
        route_took(f.route, &ask, &d, HALF);
    }
    EXPECT(sent == 6, "%d of 8", sent);
    struct route_ask chat = ask_of(&f, CHAT, HALF);
    struct route_decision d = route_pick(f.route, &chat, HALF);
    EXPECT(d.verdict == ROUTE_SEND && d.pool == 0, "chat: %s", d.why);
    fleet_release(&f);
}

// One that waits, however long, stands before nobody; and it goes as soon as what it waits for is
// there: at its last call, in the order of the deadlines.
static void it_waits_in_the_line_behind_everybody(void)
{
    struct fleet f;
    paid_and_spot(&f, "caudal");
    route_commitment_used(f.route, 0, 0.9e6, 0, MARCH + HALF);
    struct route_woken woken;
    for (int32_t i = 0; i < 3; i++) {
        struct route_ask ask = ask_of(&f, BATCH, 0);
        ask.wall_us = MARCH + HALF;
        ask.deadline_us -= i * HOUR;
        EXPECT(route_wait(f.route, &ask, (uint64_t)i, 0) >= 0, "place %d", i);
    }
    int64_t now = 0;
    for (; now < 18 * HOUR; now += S(600)) {
        EXPECT(!route_next(f.route, &woken, now), "%d went after %" PRId64 " s", (int)woken.user,
               now / S(1));
        struct route_ask chat = ask_of(&f, CHAT, now);
        chat.wall_us += HALF;
        struct route_decision d = route_pick(f.route, &chat, now);
        EXPECT(d.verdict == ROUTE_SEND, "chat: %s", d.why);
    }
    for (int32_t expected = 2; expected >= 0; expected--) {
        while (!route_next(f.route, &woken, now) && now < DAY)
            now = route_due(f.route) > now ? route_due(f.route) : now + S(1);
        EXPECT((int32_t)woken.user == expected && woken.decision.verdict == ROUTE_SEND,
               "%d after %" PRId64 " s: %s", (int)woken.user, now / S(1), woken.decision.why);
    }
    EXPECT(now >= 21 * HOUR && now < 22 * HOUR, "the last after %" PRId64 " s", now / S(1));
    fleet_release(&f);
}

// A line that is half full presses: nobody is turned away because others could wait.
static void a_full_line_presses(void)
{
    struct fleet f;
    paid_and_spot(&f, "caudal");
    route_commitment_used(f.route, 0, 0.9e6, HALF, MARCH + HALF);
    struct route_ask ask = ask_of(&f, BATCH, HALF);
    int32_t waiting = 0;
    for (; waiting < ROUTE_WAITING_MAX; waiting++) {
        if (route_pick(f.route, &ask, HALF).verdict == ROUTE_SEND)
            break;
        EXPECT(route_wait(f.route, &ask, 0, HALF) >= 0, "place %d", waiting);
    }
    EXPECT(waiting == ROUTE_WAITING_MAX / 2, "%d", waiting);
    fleet_release(&f);
}

int main(void)
{
    TEST(the_price_it_accepts_rises_with_the_time_it_has_waited);
    TEST(others_are_not_deferred);
    TEST(where_nothing_is_prepaid_there_is_nothing_to_wait_for);
    TEST(what_it_may_never_have_is_nothing_to_wait_for);
    TEST(it_leaves_room_for_those_who_cannot_wait);
    TEST(it_waits_in_the_line_behind_everybody);
    TEST(a_full_line_presses);
    return test_end();
}
