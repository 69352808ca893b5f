// pick - what one decision of the routing core costs, in nanoseconds.
//
//   pick [policy]
//
// A fleet of 1 to 1,024 pools that serve one model, all different in price, speed, load and
// distance, a class whose waiting costs money, a deadline. Three columns: the pick alone, a pick
// whose pool is taken and given back (what a request costs under the lock of the process), and the
// same with 8 of 10 pools out of reach.

#include "base/rng.h"
#include "lib/test.h"
#include "route/live.h"
#include "route/route.h"

#include <time.h>

enum { POOLS_MAX = 1024, ROUNDS = 101, ASKS = 256 };

struct bench {
    struct arena arena;
    struct portfolio p;
    struct pool *pools;
    struct serving *serves;
    struct supplier supplier;
    struct model model;
    struct class class;
    struct value_step steps[2];
    struct chip chips[4];
    struct point points[4];
    struct site sites[4];
    struct round_trip trips[4];
    struct live *live;
    struct route *route;
    struct route_ask asks[ASKS];
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void build(struct bench *b, int32_t n, const char *policy)
{
    memset(b, 0, sizeof *b);
    arena_init(&b->arena, (size_t)256 << 20);
    struct rng rng;
    rng_seed(&rng, 7);
    b->pools = arena_new(&b->arena, struct pool, n);
    b->serves = arena_new(&b->arena, struct serving, n);
    NEED(b->pools && b->serves);
    serve_config_defaults(&b->p.serve);
    b->p.serve.region = STR("us");
    supplier_defaults(&b->supplier);
    b->supplier.name = STR("s");
    b->model = (struct model){.name = STR("m"), .context_tok = 131072};
    class_defaults(&b->class);
    b->class.name = STR("chat");
    b->steps[0] = b->steps[1] = (struct value_step){0, 8 * 1e9 / 3.6e9};
    b->class.ttft_value = (struct value_curve){&b->steps[0], 1};
    b->class.per_token_value = (struct value_curve){&b->steps[1], 1};
    for (int32_t i = 0; i < 4; i++) {
        b->points[i] = (struct point){.model = -1,
                                      .per_user_tok_s = 60 + 300 * i,
                                      .batch = 32 >> i,
                                      .prefill_tok_s = 8000 * (i + 1),
                                      .slots = 64,
                                      .kv_tok = 500000,
                                      .power_w = 10000,
                                      .basis = BASIS_MEASURED};
        b->chips[i] = (struct chip){
            .name = arena_printf(&b->arena, "chip%d", i), .points = &b->points[i], .n_points = 1};
        b->trips[i] = (struct round_trip){STR("us"), MS(10 + 40 * i)};
        b->sites[i] = (struct site){.name = arena_printf(&b->arena, "site%d", i),
                                    .region = STR("us"),
                                    .pue = 1.2,
                                    .energy_nusd_per_joule = 17 + i,
                                    .round_trips = &b->trips[i],
                                    .n_round_trips = 1};
    }
    for (int32_t i = 0; i < n; i++) {
        struct pool *pool = &b->pools[i];
        pool_defaults(pool);
        pool->name = arena_printf(&b->arena, "pool%d", i);
        pool->supplier = 0;
        pool->chip = i % 4;
        pool->site = (i / 4) % 4;
        pool->replicas = 4;
        pool->limits.in_flight = 200;
        pool->serves = &b->serves[i];
        pool->n_serves = 1;
        b->serves[i] =
            (struct serving){.model = 0,
                             .price = {.said = true,
                                       .cached_input = -1,
                                       .input = 200000000 + (int64_t)rng_below(&rng, 100000000),
                                       .output = 600000000 + (int64_t)rng_below(&rng, 300000000)}};
    }
    b->p.arena = &b->arena;
    b->p.suppliers = &b->supplier, b->p.n_suppliers = 1;
    b->p.models = &b->model, b->p.n_models = 1;
    b->p.classes = &b->class, b->p.n_classes = 1;
    b->p.chips = b->chips, b->p.n_chips = 4;
    b->p.sites = b->sites, b->p.n_sites = 4;
    b->p.pools = b->pools, b->p.n_pools = n;
    struct diag diag = {0};
    enum err e = portfolio_seal(&b->p, &diag);
    if (!e)
        e = live_new(&b->live, &b->arena, n, n);
    if (!e)
        e = route_new(&b->route, &b->arena, &b->p, b->live, policy, &diag);
    if (e)
        printf("%s: %s\n", err_name(e), diag.text);
    NEED(!e);
    for (int32_t i = 0; i < ASKS; i++)
        b->asks[i] = (struct route_ask){.class = 0,
                                        .tenant = -1,
                                        .surface = SURFACE_CHAT,
                                        .prompt_tok = 200 + (int32_t)rng_below(&rng, 4000),
                                        .output_tok = 50 + (int32_t)rng_below(&rng, 800),
                                        .deadline_us = S(600),
                                        .draw = rng_u64(&rng)};
}

static int64_t sink;

// Best of some rounds: what else runs on the machine only ever adds.
static double pick_only(struct bench *b, int32_t per_round)
{
    double best = 1e300;
    int64_t now_us = S(1);
    for (int32_t round = 0; round < ROUNDS; round++) {
        double from = now_ns();
        for (int32_t i = 0; i < per_round; i++) {
            struct route_decision d = route_pick(b->route, &b->asks[i % ASKS], now_us++);
            sink += d.pool;
        }
        double ns = (now_ns() - from) / per_round;
        best = ns < best ? ns : best;
    }
    return best;
}

enum { FLIGHTS = 64 };

static double whole(struct bench *b, int32_t per_round)
{
    static struct route_decision flying[FLIGHTS];
    static struct route_ask asks[FLIGHTS];
    double best = 1e300;
    int64_t now_us = S(60), n = 0;
    for (int32_t round = 0; round < ROUNDS; round++) {
        double from = now_ns();
        for (int32_t i = 0; i < per_round; i++, n++) {
            now_us += 100;
            int64_t k = n % FLIGHTS;
            if (n >= FLIGHTS) {
                struct route_seen seen = {.outcome = ROUTE_OK,
                                          .ttft_us = flying[k].terms.ttft_us,
                                          .per_token_us = flying[k].terms.per_token_us,
                                          .prompt_tok = asks[k].prompt_tok,
                                          .output_tok = asks[k].output_tok};
                route_done(b->route, &asks[k], &flying[k], &seen, now_us);
            }
            asks[k] = b->asks[i % ASKS];
            flying[k] = route_pick(b->route, &asks[k], now_us);
            NEED(flying[k].verdict == ROUTE_SEND);
            route_took(b->route, &asks[k], &flying[k], now_us);
        }
        double ns = (now_ns() - from) / per_round;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    static const int32_t sizes[] = {1, 4, 16, 64, 256, 1024};
    const char *policy = argc > 1 ? argv[1] : "least-cost";
    printf("%s\n%10s %10s %16s\n", policy, "candidates", "pick ns", "pick+took+done ns");
    for (size_t i = 0; i < COUNTOF(sizes); i++) {
        static struct bench b;
        build(&b, sizes[i], policy);
        int32_t per_round = 100000 / (16 + sizes[i]);
        double pick = pick_only(&b, per_round), all = whole(&b, per_round);
        printf("%10d %10.1f %16.1f\n", (int)sizes[i], pick, all);
        arena_release(&b.arena);
    }
    return sink == 1;
}
