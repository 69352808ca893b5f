// Requests go where the begin of their prompt is: what is remembered of that, what it is worth, and
// who may not know of it.

#include "lib/fleet.h"
#include "route/route_internal.h"

enum { BLOCK_TOK = 512, TURNS = 12, LONGEST = 200 };

static uint64_t blocks[LONGEST];

// Two pools of a chip each, alike in all but their names, and a class whose users do not like to
// wait.
static void start(struct fleet *f, const char *policy)
{
    fleet_init(f);
    f->p.n_chips = 1;
    f->points[0][0] = (struct point){.model = -1,
                                     .per_user_tok_s = 60,
                                     .batch = 32,
                                     .prefill_tok_s = 8000,
                                     .slots = 64,
                                     .kv_tok = 1e6,
                                     .basis = BASIS_MEASURED};
    f->chips[0] = (struct chip){.name = STR("c"), .points = f->points[0], .n_points = 1};
    int32_t m = fleet_model(f, "m");
    fleet_class(f, "chat", 4);
    fleet_tenant(f, "t0");
    fleet_tenant(f, "t1");
    for (int32_t i = 0; i < 2; i++) {
        struct pool *pool = fleet_pool(f, i ? "b" : "a", m);
        pool->chip = 0;
        fleet_price(pool, 1);
    }
    fleet_start(f, policy);
    NEED(!live_remember(f->live, &f->arena));
    for (int32_t i = 0; i < LONGEST; i++)
        blocks[i] = mix64((uint64_t)i + 1);
}

static struct route_ask ask_of(const struct fleet *f, int32_t n, int64_t now_us)
{
    struct route_ask ask = fleet_ask(f, now_us);
    ask.tenant = 0;
    ask.prompt_tok = n * BLOCK_TOK;
    ask.blocks = blocks;
    ask.n_blocks = n;
    ask.block_tok = BLOCK_TOK;
    ask.draw = mix64((uint64_t)now_us);
    return ask;
}

static struct route_terms terms_of(const struct fleet *f, const struct route_ask *ask, int32_t pool,
                                   int64_t now_us)
{
    struct route_candidate all[FLEET_POOLS];
    int32_t n = route_explain(f->route, ask, now_us, all, FLEET_POOLS);
    NEED(pool < n && all[pool].pool == pool);
    return all[pool].terms;
}

static int32_t warm_tok(const struct fleet *f, const struct route_ask *ask, int32_t pool,
                        int64_t now_us)
{
    return terms_of(f, ask, pool, now_us).warm_tok;
}

// Sends it to `pool`, whatever it costs there.
static struct route_decision send(struct fleet *f, const struct route_ask *said, int32_t pool,
                                  int64_t now_us)
{
    struct route_ask ask = *said;
    ask.tried[ask.n_tried++] = !pool;
    struct route_decision d = route_pick(f->route, &ask, now_us);
    NEED(d.verdict == ROUTE_SEND && d.pool == pool);
    route_took(f->route, &ask, &d, now_us);
    return d;
}

static void answer(struct fleet *f, const struct route_ask *ask, const struct route_decision *d,
                   int32_t cached_tok, int64_t now_us)
{
    struct route_seen seen = {.outcome = ROUTE_OK,
                              .prompt_tok = ask->prompt_tok,
                              .output_tok = 50,
                              .cached_tok = cached_tok,
                              .cached_told = true};
    route_done(f->route, ask, d, &seen, now_us);
}

static void a_conversation_stays_where_it_began(void)
{
    static const char *const policies[] = {"caudal", "least-cost", "lmetric"};
    for (size_t k = 0; k < COUNTOF(policies); k++) {
        struct fleet f;
        start(&f, policies[k]);
        int32_t home = -1;
        for (int32_t turn = 1; turn <= TURNS; turn++) {
            int64_t now_us = S(20) * turn;
            struct route_ask ask = ask_of(&f, 4 * turn, now_us);
            struct route_decision d = route_pick(f.route, &ask, now_us);
            NEED(d.verdict == ROUTE_SEND);
            home = turn == 1 ? d.pool : home;
            EXPECT(d.pool == home, "%s turn %d: %d", policies[k], turn, d.pool);
            EXPECT(d.terms.warm_tok == 4 * (turn - 1) * BLOCK_TOK, "turn %d: %d", turn,
                   d.terms.warm_tok);
            route_took(f.route, &ask, &d, now_us);
            answer(&f, &ask, &d, d.terms.warm_tok, now_us + S(1));
        }
        fleet_release(&f);
    }
}

static void the_prompt_of_another_tenant_is_another_prompt(void)
{
    struct fleet f;
    start(&f, "caudal");
    struct rng r;
    rng_seed(&r, 1);
    for (int32_t i = 0; i < 200; i++) {
        struct route_ask ask = ask_of(&f, 1 + (int32_t)rng_below(&r, LONGEST), S(i));
        ask.tenant = 0;
        struct route_decision d = send(&f, &ask, (int32_t)rng_below(&r, 2), S(i));
        EXPECT(warm_tok(&f, &ask, d.pool, S(i)) == ask.prompt_tok - 1, "its own");
        for (int32_t tenant = -1; tenant < 2; tenant++) {
            ask.tenant = tenant;
            for (int32_t pool = 0; pool < 2 && tenant != 0; pool++)
                EXPECT(warm_tok(&f, &ask, pool, S(i)) == 0, "tenant %d at %d", tenant, pool);
        }
        ask.tenant = 0;
        answer(&f, &ask, &d, 0, S(i));
    }
    fleet_release(&f);
}

static void a_warmer_pool_never_costs_more(void)
{
    struct rng r;
    rng_seed(&r, 2);
    for (int32_t i = 0; i < 100; i++) {
        struct fleet f;
        start(&f, "least-cost");
        for (int32_t pool = 0; pool < 2; pool++)
            f.pools[pool].serves[0].price.cached_input = (int64_t)(i % 3 ? 1e8 : 1e9);
        NEED(!route_new(&f.route, &f.arena, &f.p, f.live, "least-cost", NULL));
        int32_t n = 2 + (int32_t)rng_below(&r, LONGEST - 1);
        struct route_ask more = ask_of(&f, 1 + (int32_t)rng_below(&r, (uint64_t)n), S(1));
        struct route_ask less =
            ask_of(&f, (int32_t)rng_below(&r, (uint64_t)more.n_blocks + 1), S(1));
        struct route_ask whole = ask_of(&f, n, S(1));
        // What they were sent is done with: no load is left.
        struct route_decision d = send(&f, &more, 0, S(1));
        answer(&f, &more, &d, 0, S(1));
        d = send(&f, &less, 1, S(1));
        answer(&f, &less, &d, 0, S(1));
        struct route_terms a = terms_of(&f, &whole, 0, S(2)), b = terms_of(&f, &whole, 1, S(2));
        EXPECT(a.warm_tok >= b.warm_tok && a.total <= b.total,
               "%d: %d of %d tokens and %d, %g and %g", i, a.warm_tok, n * BLOCK_TOK, b.warm_tok,
               a.total, b.total);
        EXPECT(a.warm_tok == b.warm_tok || a.total < b.total, "%g and %g", a.total, b.total);
        fleet_release(&f);
    }
}

// What is expected in the cache is paid at its price, and read in no time.
static void what_is_cached_costs_what_the_supplier_says(void)
{
    struct fleet f;
    start(&f, "least-cost");
    for (int32_t i = 0; i < 2; i++)
        f.pools[i].serves[0].price.cached_input = (int64_t)1e8;
    NEED(!route_new(&f.route, &f.arena, &f.p, f.live, "least-cost", NULL));
    struct route_ask ask = ask_of(&f, 20, S(1));
    struct route_decision d = send(&f, &ask, 0, S(1));
    answer(&f, &ask, &d, 0, S(1));
    ask = ask_of(&f, 40, S(2));
    struct route_terms warm = terms_of(&f, &ask, 0, S(2)), cold = terms_of(&f, &ask, 1, S(2));
    int64_t list = price_of(&f.pools[0].serves[0].price, ask.prompt_tok, 20 * BLOCK_TOK, 100);
    EXPECT(warm.cached_tok == 20 * BLOCK_TOK && cold.cached_tok == 0, "%d", warm.cached_tok);
    EXPECT((int64_t)(warm.list + 0.5) == list, "%g and %" PRId64, warm.list, list);
    double saved = cold.model_ttft_us - warm.model_ttft_us, read = 20 * BLOCK_TOK / 8000.0 * 1e6;
    EXPECT(saved > 0.99 * read && saved < 1.01 * read, "%g of %g us", saved, read);
    fleet_release(&f);
}

static void one_that_caches_nothing_soon_counts_as_cold(void)
{
    struct fleet f;
    start(&f, "caudal");
    struct route_ask ask = ask_of(&f, 20, S(1));
    struct route_decision d = send(&f, &ask, 0, S(1));
    answer(&f, &ask, &d, 0, S(1));
    for (int32_t i = 2; i < 8; i++) {
        ask = ask_of(&f, 20, S(i));
        d = send(&f, &ask, 0, S(i));
        answer(&f, &ask, &d, 0, S(i));
    }
    struct route_terms t = terms_of(&f, &ask, 0, S(9));
    EXPECT(t.warm_tok > 0 && t.cached_tok < t.warm_tok / 50, "%d of %d", t.cached_tok, t.warm_tok);
    for (int32_t i = 10; i < 16; i++) {
        ask = ask_of(&f, 20, S(i));
        d = send(&f, &ask, 0, S(i));
        answer(&f, &ask, &d, d.terms.warm_tok, S(i));
    }
    t = terms_of(&f, &ask, 0, S(17));
    EXPECT(t.cached_tok > t.warm_tok - t.warm_tok / 50, "trusted again: %d of %d", t.cached_tok,
           t.warm_tok);
    // What no count came of says nothing.
    d = send(&f, &ask, 0, S(18));
    route_done(f.route, &ask, &d, &(struct route_seen){.outcome = ROUTE_OK, .prompt_tok = 9999},
               S(18));
    EXPECT(terms_of(&f, &ask, 0, S(19)).cached_tok == t.cached_tok, "as before");
    fleet_release(&f);
}

static void what_failed_is_taken_back(void)
{
    static const enum route_outcome bad[] = {ROUTE_FAILED, ROUTE_BUSY, ROUTE_EMPTY};
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        struct fleet f;
        start(&f, "caudal");
        struct route_ask part = ask_of(&f, 10, S(1)), ask = ask_of(&f, 30, S(1));
        struct route_decision d = send(&f, &part, 0, S(1));
        answer(&f, &part, &d, 0, S(1));
        d = send(&f, &ask, 0, S(2));
        EXPECT(warm_tok(&f, &ask, 0, S(2)) == ask.prompt_tok - 1,
               "it is being read: warm for the next");
        route_done(f.route, &ask, &d, &(struct route_seen){.outcome = bad[i]}, S(3));
        EXPECT(warm_tok(&f, &ask, 0, S(3)) == part.prompt_tok, "%d", warm_tok(&f, &ask, 0, S(3)));
        fleet_release(&f);
    }
}

static void what_is_kept_ages(void)
{
    struct fleet f;
    start(&f, "caudal");  // KV room of a million tokens, no end in time
    struct route_ask ask = ask_of(&f, 20, S(1)), other = ask_of(&f, 100, S(1));
    struct route_decision d = send(&f, &ask, 0, S(1));
    answer(&f, &ask, &d, 0, S(1));
    EXPECT(warm_tok(&f, &ask, 0, S(100000)) > 0, "time alone does nothing");
    for (int32_t i = 0; i < 18; i++) {
        for (int32_t k = 0; k < LONGEST; k++)
            blocks[k] = mix64(blocks[k]);
        d = send(&f, &other, 0, S(2));
        answer(&f, &other, &d, 0, S(2));
    }
    for (int32_t i = 0; i < LONGEST; i++)
        blocks[i] = mix64((uint64_t)i + 1);
    EXPECT(warm_tok(&f, &ask, 0, S(3)) > 0, "18 x 51,200 tokens later");
    for (int32_t i = 0; i < 3; i++) {
        blocks[0] = (uint64_t)i;
        d = send(&f, &other, 0, S(2));
        answer(&f, &other, &d, 0, S(2));
    }
    blocks[0] = mix64(1);
    EXPECT(warm_tok(&f, &ask, 0, S(3)) == 0, "more than a million");
    fleet_release(&f);
}

// A supplier of whose cache nothing is known keeps things for five minutes; one that says how long,
// so long; one that keeps nothing is cold.
static void suppliers_keep_for_a_time(void)
{
    static const struct {
        struct prefix_cache cache;
        int64_t kept_us, lost_us;
    } cases[] = {{{false, 0, 0}, S(299), S(301)},
                 {{true, -1, S(3600)}, S(3599), S(3601)},
                 {{true, 0, -1}, 0, S(2)}};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct fleet f;
        start(&f, "caudal");
        f.pools[0].chip = -1;
        f.pools[0].prefix_cache = cases[i].cache;
        NEED(!route_new(&f.route, &f.arena, &f.p, f.live, "caudal", NULL));
        struct route_ask ask = ask_of(&f, 20, S(1));
        struct route_decision d = send(&f, &ask, 0, S(1));
        answer(&f, &ask, &d, 0, S(1));
        if (cases[i].kept_us)
            EXPECT(warm_tok(&f, &ask, 0, S(1) + cases[i].kept_us) > 0, "case %zu", i);
        EXPECT(warm_tok(&f, &ask, 0, S(1) + cases[i].lost_us) == 0, "case %zu", i);
        fleet_release(&f);
    }
}

static void an_engine_that_is_gone_has_lost_it(void)
{
    struct fleet f;
    start(&f, "caudal");
    struct route_ask ask = ask_of(&f, 20, S(1));
    struct route_decision d = send(&f, &ask, 0, S(1));
    answer(&f, &ask, &d, 0, S(1));
    route_set_ready(f.route, 0, false);
    route_set_ready(f.route, 0, true);
    EXPECT(warm_tok(&f, &ask, 0, S(2)) == 0, "%d", warm_tok(&f, &ask, 0, S(2)));
    fleet_release(&f);
}

static void a_reload_keeps_it_by_name(void)
{
    struct fleet f;
    start(&f, "caudal");
    struct route_ask ask = ask_of(&f, 20, S(1));
    struct route_decision d = send(&f, &ask, 0, S(1));
    answer(&f, &ask, &d, 0, S(1));
    struct pool first = f.pools[0];
    f.pools[0] = f.pools[1];
    f.pools[1] = first;
    struct tenant t0 = f.tenants[0];
    f.tenants[0] = f.tenants[1];
    f.tenants[1] = t0;
    NEED(!route_new(&f.route, &f.arena, &f.p, f.live, "caudal", NULL));
    ask.tenant = 1;
    EXPECT(warm_tok(&f, &ask, 1, S(2)) > 0 && warm_tok(&f, &ask, 0, S(2)) == 0, "with its pool");
    ask.tenant = 0;
    EXPECT(warm_tok(&f, &ask, 1, S(2)) == 0, "and its tenant");
    fleet_release(&f);
}

static void memory_is_what_it_was_at_the_start(void)
{
    struct fleet f;
    start(&f, "caudal");
    size_t used = f.arena.used;
    for (int32_t i = 0; i < 3000; i++) {
        for (int32_t k = 0; k < LONGEST; k++)
            blocks[k] = mix64(blocks[k] + (uint64_t)i);
        struct route_ask ask = ask_of(&f, LONGEST, S(i));
        struct route_decision d = route_pick(f.route, &ask, S(i));
        NEED(d.verdict == ROUTE_SEND);
        route_took(f.route, &ask, &d, S(i));
        answer(&f, &ask, &d, 0, S(i));
    }
    EXPECT(f.arena.used == used, "%zu and %zu", f.arena.used, used);
    fleet_release(&f);
}

// Prompts that are before it are waited for, and no longer once their first content has come,
// however long the service model takes them to be read.
static void the_queue_is_what_is_not_read_yet(void)
{
    struct fleet f;
    start(&f, "caudal");
    struct route_ask ask = ask_of(&f, 20, S(1));
    double alone = terms_of(&f, &ask, 0, S(1)).model_ttft_us,
           prefill = 20 * BLOCK_TOK / 8000.0 * 1e6;
    ask.blocks = NULL;
    ask.n_blocks = 0;
    struct route_decision first = send(&f, &ask, 0, S(1)), d = send(&f, &ask, 0, S(1));
    double queue = terms_of(&f, &ask, 0, S(1)).model_ttft_us - alone;
    EXPECT(queue > 1.9 * prefill && queue < 2.1 * prefill, "%g of %g us", queue, prefill);
    queue = terms_of(&f, &ask, 0, S(1) + (int64_t)prefill).model_ttft_us - alone;
    EXPECT(queue > 0.9 * prefill && queue < 1.1 * prefill, "one is read: %g us", queue);
    for (int32_t i = 0; i < 50; i++) {  // they come twice as fast as the model reads
        int64_t now_us = S(2) + i * (int64_t)(prefill / 2);
        route_first(f.route, &d, MS(300), now_us);
        struct route_seen seen = {.outcome = ROUTE_OK, .ttft_us = MS(300), .first_told = true};
        struct route_decision next = send(&f, &ask, 0, now_us);
        route_done(f.route, &ask, &d, &seen, now_us);
        d = next;
    }
    double most = f.live->pairs[0].prefill_until_us - 1e6 * (2 + 49 * prefill / 2e6);
    EXPECT(most < 2.1 * prefill, "behind by %g us and not by what came", most);
    route_done(f.route, &ask, &first, &(struct route_seen){.outcome = ROUTE_OK}, S(30));
    route_done(f.route, &ask, &d, &(struct route_seen){.outcome = ROUTE_OK}, S(30));
    EXPECT(f.live->pairs[0].unread_us == 0 && f.live->pairs[0].prefill_until_us == 0,
           "nothing is left");
    fleet_release(&f);
}

static void carbon_costs_what_it_is_said_to(void)
{
    for (int32_t price = 0; price < 2; price++) {
        struct fleet f;
        start(&f, "least-cost");
        f.points[0][0].power_w = 10000;
        f.p.n_sites = 2;
        f.sites[0] = (struct site){.name = STR("dirty"),
                                   .pue = 1,
                                   .energy_nusd_per_joule = 17,
                                   .carbon_g_per_joule = 700 / 3.6e6};
        f.sites[1] = (struct site){.name = STR("clean"),
                                   .pue = 1,
                                   .energy_nusd_per_joule = 19,
                                   .carbon_g_per_joule = 20 / 3.6e6};
        f.pools[0].site = 0;
        f.pools[1].site = 1;
        f.p.serve.carbon_nusd_per_g = price ? 80e3 : 0;
        NEED(!route_new(&f.route, &f.arena, &f.p, f.live, "least-cost", NULL));
        struct route_ask ask = ask_of(&f, 20, S(1));
        struct route_decision d = route_pick(f.route, &ask, S(1));
        struct route_terms dirty = terms_of(&f, &ask, 0, S(1));
        double joules = dirty.energy / 17, carbon = price ? joules * 700 / 3.6e6 * 80e3 : 0;
        double sum = dirty.list + dirty.energy + dirty.carbon + dirty.wait_ttft + dirty.wait_tokens;
        EXPECT(d.pool == price, "%d at %d", d.pool, price);
        EXPECT(joules > 0 && dirty.carbon >= carbon * (1 - 1e-9) &&
                   dirty.carbon <= carbon * (1 + 1e-9),
               "%g and %g", dirty.carbon, carbon);
        EXPECT(sum > dirty.total * (1 - 1e-12) && sum < dirty.total * (1 + 1e-12), "%g and %g", sum,
               dirty.total);
        fleet_release(&f);
    }
}

int main(void)
{
    TEST(a_conversation_stays_where_it_began);
    TEST(the_prompt_of_another_tenant_is_another_prompt);
    TEST(a_warmer_pool_never_costs_more);
    TEST(what_is_cached_costs_what_the_supplier_says);
    TEST(one_that_caches_nothing_soon_counts_as_cold);
    TEST(what_failed_is_taken_back);
    TEST(what_is_kept_ages);
    TEST(suppliers_keep_for_a_time);
    TEST(an_engine_that_is_gone_has_lost_it);
    TEST(a_reload_keeps_it_by_name);
    TEST(memory_is_what_it_was_at_the_start);
    TEST(the_queue_is_what_is_not_read_yet);
    TEST(carbon_costs_what_it_is_said_to);
    return test_end();
}
