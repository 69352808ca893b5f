#include "lib/fleet.h"
#include "route/live_internal.h"

enum { RELOADS = 4000, KEPT = 2, NEW = 3, PLACES = 8 };

// The kept pools, of which "broken" has ever new models, and NEW that no portfolio had before; over
// the same `live`.
static struct route *reload(struct fleet *f, struct live *live, int32_t number)
{
    static const char *const kept[KEPT] = {"steady", "broken"};
    char name[32];
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    for (int32_t i = 0; i < KEPT + NEW; i++) {
        snprintf(name, sizeof name, "new-%" PRId32 "-%" PRId32, number, i);
        struct pool *pool = fleet_pool(f, i < KEPT ? kept[i] : name, m);
        if (i < KEPT)
            fleet_serve(f, pool,
                        fleet_model(f, i ? arena_str(&f->arena, str_of(name)).p : "other"));
        pool->limits.in_flight = 1;
        pool->limits.requests_per_s = 1 / 60.0;
    }
    struct diag diag = {0};
    NEED(!portfolio_seal(&f->p, &diag));
    enum err e = route_new(&f->route, &f->arena, &f->p, live, "priority-spill", &diag);
    if (e)
        printf("  reload %" PRId32 ": %s\n", number, diag.text);
    NEED(!e);
    return f->route;
}

static void send_to(struct fleet *f, int32_t pool, struct route_ask *ask, struct route_decision *d)
{
    *ask = fleet_ask(f, 0);
    for (int32_t i = 0; i < f->p.n_pools; i++)
        if (i != pool)
            ask->tried[ask->n_tried++] = i;
    *d = route_pick(f->route, ask, 0);
    NEED(d->verdict == ROUTE_SEND && d->pool == pool);
    route_took(f->route, ask, d, 0);
}

// Two portfolios are in use at a time, as while the requests of the one before end.
static void ever_new_names_need_no_more_room(void)
{
    static struct fleet fleets[2];
    struct arena arena;
    struct live *live;
    arena_init(&arena, (size_t)1 << 20);
    NEED(!live_new(&live, &arena, PLACES, 2 * PLACES));
    size_t used = arena.used;
    struct route_ask ask, other;
    struct route_decision d, failed;
    struct route_seen ok = {.outcome = ROUTE_OK}, bad = {.outcome = ROUTE_FAILED, .cool_us = S(60)};
    reload(&fleets[0], live, 0);
    send_to(&fleets[0], 0, &ask, &d);
    send_to(&fleets[0], 1, &other, &failed);
    route_done(fleets[0].route, &other, &failed, &bad, 0);
    for (int32_t i = 1; i <= RELOADS; i++) {
        struct fleet *f = &fleets[i % 2], *before = &fleets[(i + 1) % 2];
        reload(f, live, i);
        struct route_pool_view steady = route_view(f->route, 0, 0);
        struct route_pool_view broken = route_view(f->route, 1, 0);
        EXPECT(steady.in_flight == 1 && broken.breaker_open && broken.failed == 1, "reload %d", i);
        for (int32_t k = KEPT; k < KEPT + NEW; k++) {
            EXPECT(route_view(f->route, k, 0).took == 0, "reload %d: a new pool is known", i);
            send_to(f, k, &other, &failed);
            route_done(f->route, &other, &failed, &ok, 0);
        }
        if (i == RELOADS) {
            route_done(before->route, &ask, &d, &ok, 0);  // by the one that has its names still
            struct route_ask again = fleet_ask(f, 0);
            EXPECT(route_pick(f->route, &again, S(1)).verdict == ROUTE_WAIT,
                   "all buckets are empty");
        } else {  // the request goes on in this one
            route_done(before->route, &ask, &d, &ok, 0);
            route_took(f->route, &ask, &d, 0);
        }
        route_leave(before->route);
        fleet_release(before);
    }
    EXPECT(route_view(fleets[RELOADS % 2].route, 0, 0).in_flight == 0, "it ended");
    EXPECT(arena.used == used, "%zu bytes, and %zu before", arena.used, used);
    fleet_release(&fleets[RELOADS % 2]);
    arena_release(&arena);
}

// One more than there are places, until a portfolio leaves. What did not fit holds nothing.
static void what_a_portfolio_in_use_has_is_never_forgotten(void)
{
    static struct fleet a, b, c;
    struct arena arena;
    struct live *live;
    struct diag diag = {0};
    arena_init(&arena, (size_t)1 << 20);
    NEED(!live_new(&live, &arena, PLACES, 2 * PLACES));
    reload(&a, live, 1);
    reload(&b, live, 2);
    fleet_init(&c);
    fleet_pool(&c, "new-1-2", fleet_model(&c, "m"));  // of `a`
    fleet_pool(&c, "one-more", 0);
    NEED(!portfolio_seal(&c.p, &diag));
    for (int32_t i = 0; i < 3; i++) {
        diag = (struct diag){0};
        EXPECT(route_new(&c.route, &c.arena, &c.p, live, "least-cost", &diag) == ERR_LIMIT, "full");
        EXPECT(strstr(diag.text, "more than 8 pools"), "%s", diag.text);
    }
    struct route_ask ask;
    struct route_decision d;
    struct route_seen ok = {.outcome = ROUTE_OK};
    send_to(&a, 2, &ask, &d);
    route_done(a.route, &ask, &d, &ok, 0);
    route_leave(a.route);
    NEED(!route_new(&c.route, &c.arena, &c.p, live, "least-cost", &diag));
    EXPECT(route_view(c.route, 0, 0).took == 1, "known by its name, though nobody had it");
    EXPECT(route_view(c.route, 1, 0).took == 0, "in the place of another");
    fleet_release(&a);
    fleet_release(&b);
    fleet_release(&c);
    arena_release(&arena);
}

// The place of one that has gone says nothing of its cache.
static void a_new_pool_is_cold(void)
{
    static struct fleet f;
    struct arena arena;
    struct live *live;
    struct diag diag = {0};
    static const uint64_t blocks[] = {11, 12, 13, 14};
    char name[] = "pool-0";
    arena_init(&arena, (size_t)32 << 20);
    NEED(!live_new(&live, &arena, 1, 1) && !live_remember(live, &arena));
    for (int32_t i = 0; i < 8; i++) {
        name[5] = (char)('0' + i / 2);  // each for two portfolios
        fleet_init(&f);
        struct pool *pool = fleet_pool(&f, name, fleet_model(&f, "m"));
        pool->prefix_cache = (struct prefix_cache){.tok = 1e6, .ttl_us = S(3600)};
        NEED(!portfolio_seal(&f.p, &diag));
        NEED(!route_new(&f.route, &f.arena, &f.p, live, "caudal", &diag));
        struct route_ask ask = fleet_ask(&f, 0);
        ask.prompt_tok = 257;
        ask.blocks = blocks;
        ask.n_blocks = COUNTOF(blocks);
        ask.block_tok = 64;
        struct route_decision d = route_pick(f.route, &ask, 0);
        NEED(d.verdict == ROUTE_SEND);
        EXPECT((d.terms.warm_tok > 0) == (i % 2 > 0), "%s: %d tokens", name, d.terms.warm_tok);
        route_took(f.route, &ask, &d, 0);
        struct route_seen ok = {.outcome = ROUTE_OK, .prompt_tok = 257};
        route_done(f.route, &ask, &d, &ok, 0);
        route_leave(f.route);
        fleet_release(&f);
    }
    arena_release(&arena);
}

// A pool that was forgotten has no pairs any more: they are others' by now.
static void no_place_is_given_twice(void)
{
    struct arena arena;
    struct live *l;
    arena_init(&arena, (size_t)1 << 20);
    NEED(!live_new(&l, &arena, 3, 3));
    for (int32_t i = 0; i < 3; i++)
        live_pair_add(l, live_pool_add(l, str_of((const char *[]){"a", "b", "c"}[i])), STR("m"));
    int32_t d = live_pool_add(l, STR("d"));  // all three are forgotten
    int32_t held = live_pair_add(l, d, STR("m"));
    l->pools[d].held = l->pairs[held].held = 1;
    int32_t e = live_pool_add(l, STR("e")), got[3] = {held};
    live_pair_add(l, e, STR("m"));
    live_pair_add(l, e, STR("n"));
    got[1] = live_pair_add(l, d, STR("n"));  // those of e are forgotten
    l->pairs[got[1]].held = 1;
    got[2] = live_pair_add(l, d, STR("o"));
    EXPECT(got[0] != got[1] && got[1] != got[2] && got[0] != got[2], "%d, %d, %d", got[0], got[1],
           got[2]);
    l->pairs[got[2]].held = 1;
    EXPECT(live_pair_add(l, e, STR("m")) < 0, "all are held");
    arena_release(&arena);
}

static void start_with(struct fleet *f, struct live *live, int32_t in_flight, double tokens_per_s)
{
    struct diag diag = {0};
    fleet_init(f);
    struct pool *pool = fleet_pool(f, "p", fleet_model(f, "m"));
    pool->limits.in_flight = in_flight;
    pool->limits.tokens_per_s = tokens_per_s;
    NEED(!portfolio_seal(&f->p, &diag) &&
         !route_new(&f->route, &f->arena, &f->p, live, "least-cost", &diag));
}

// Sends what `f` may now, `most` of it; the number.
static int32_t send_some(struct fleet *f, struct route_ask *ask, struct route_decision *d,
                         int32_t most)
{
    *ask = fleet_ask(f, 0);
    for (int32_t n = 0; n < most; n++) {
        struct route_decision next = route_pick(f->route, ask, 0);
        if (next.verdict != ROUTE_SEND)
            return n;
        *d = next;
        route_took(f->route, ask, d, 0);
    }
    return most;
}

// One waits in an older portfolio while a newer one has more room, or less.
static void who_waits_has_the_limits_of_the_newest_portfolio(void)
{
    static struct fleet old, new;
    struct arena arena;
    struct live *live;
    struct route_woken woken;
    struct route_ask ask;
    struct route_decision d;
    struct route_seen ok = {.outcome = ROUTE_OK};
    arena_init(&arena, (size_t)1 << 20);
    NEED(!live_new(&live, &arena, 4, 4));
    start_with(&old, live, 3, 0);
    EXPECT(send_some(&old, &ask, &d, 9) == 3, "its own limit");
    NEED(route_wait(old.route, &ask, 1, 0) >= 0 && route_wait(old.route, &ask, 2, 0) >= 0);
    start_with(&new, live, 4, 0);
    EXPECT(route_next(old.route, &woken, 0) && woken.decision.verdict == ROUTE_SEND, "more room");
    EXPECT(!route_next(old.route, &woken, 0), "but no more than that");
    route_leave(new.route);
    fleet_release(&new);
    start_with(&new, live, 1, 0);
    for (int32_t left = 4; left > 0; left--) {
        EXPECT(!route_next(old.route, &woken, 0), "%d are in flight, and 1 may be", left);
        route_done(old.route, &ask, &d, &ok, 0);
    }
    EXPECT(route_next(old.route, &woken, 0) && woken.decision.verdict == ROUTE_SEND, "its turn");
    EXPECT(send_some(&new, &ask, &d, 9) == 0, "one for both");
    route_leave(new.route);  // it was refused after all
    route_lead(old.route);
    EXPECT(send_some(&old, &ask, &d, 9) == 2, "its own limit again");
    fleet_release(&new);
    start_with(&new, live, 100, 10);  // 600 tokens a minute, of which the old one knows nothing
    int32_t n = send_some(&old, &ask, &d, 9);
    EXPECT(n == 3, "%d, of 200 tokens each", n);
    fleet_release(&new);
    fleet_release(&old);
    arena_release(&arena);
}

int main(void)
{
    TEST(ever_new_names_need_no_more_room);
    TEST(what_a_portfolio_in_use_has_is_never_forgotten);
    TEST(a_new_pool_is_cold);
    TEST(no_place_is_given_twice);
    TEST(who_waits_has_the_limits_of_the_newest_portfolio);
    return test_end();
}
