// pick.c - how long one routing decision takes, by the number of pools that may have the request.
//
// The pools differ in price, site, chip and load, some have a commitment, and the requests differ
// in length, so that neither the branches nor the winner are always the same.

#include "base/rng.h"
#include "route/live.h"
#include "route/route.h"
#include "stopwatch.h"
#include "wire/config.h"

#include <string.h>

enum { ASKS = 256, BLOCKS = 200, TEXT_BYTES_MAX = 1 << 20 };

struct fixture {
    struct arena arena;
    struct portfolio portfolio;
    struct live *live;
    struct route *route;
    struct route_ask asks[ASKS];
    uint64_t blocks[BLOCKS];
    int64_t sum;  // of the answers, so that they are needed
};

static void describe(struct buf *b, int32_t pools)
{
    static const char head[] =
        "caudal: 1\n"
        "classes:\n"
        "  chat: {ttft: 400 ms, per_token: 15 ms, time_value: {ttft: [[0 ms, 1 USD/h], [400 ms, 8 "
        "USD/h]],"
        " per_token: [[0 ms, 0.5 USD/h], [15 ms, 6 USD/h]]}}\n"
        "sites:\n"
        "  s0: {region: us, pue: 1.2, energy: 61 USD/MWh, round_trip: {us: 30 ms, eu: 120 ms}}\n"
        "  s1: {region: us, pue: 1.1, energy: 48 USD/MWh, round_trip: {us: 45 ms, eu: 130 ms}}\n"
        "  s2: {region: eu, pue: 1.3, energy: 93 USD/MWh, round_trip: {us: 110 ms, eu: 15 ms}}\n"
        "models:\n"
        "  m: {parameters: 117G, active: 5.1G, bytes_per_parameter: 0.53, kv: 72 KiB, layers: 36,"
        " context: 131072}\n"
        "chips:\n"
        "  c0: {memory: 80 GB, bandwidth: 3.35 TB/s, compute: 989 TFLOPS, power: 700 W, points: "
        "[{model: m,"
        " batch: 1, per_user: 200 tok/s, prefill: 20k tok/s, slots: 64, kv: 1M tok, basis: "
        "assumed}]}\n"
        "  c1: {memory: 192 GB, bandwidth: 8 TB/s, compute: 2500 TFLOPS, power: 1000 W, points: "
        "[{model: m,"
        " batch: 1, per_user: 400 tok/s, prefill: 60k tok/s, slots: 128, kv: 4M tok, basis: "
        "assumed}]}\n"
        "suppliers: {x: {api: openai, url: \"http://127.0.0.1:1/v1\", key: none-at-all}}\n"
        "contracts:\n"
        "  k: {supplier: x, status: live, from: 2020-01-01, until: 2040-01-01,"
        " commitment: {amount: 100 kUSD, per: month, beyond: list}}\n"
        "pools:\n";
    struct rng r;
    rng_seed(&r, (uint64_t)pools);
    buf_add_str(b, STR(head));
    for (int32_t i = 0; i < pools; i++)
        buf_printf(b,
                   "  p%d: {supplier: x, site: s%d, chip: c%d, chips: 8, replicas: 8, %sserves: "
                   "{m: {price: {input: "
                   "%.2f USD/Mtok, output: %.2f USD/Mtok}}}, limits: {in_flight: 128, requests: "
                   "100k/min}}\n",
                   (int)i, (int)rng_below(&r, 3), (int)rng_below(&r, 2),
                   rng_below(&r, 4) ? "" : "contract: k, ", 0.1 + 0.2 * rng_unit(&r),
                   0.4 + 0.6 * rng_unit(&r));
}

static bool no_variable(void *ctx, struct str name, struct str *value)
{
    (void)ctx, (void)name, (void)value;
    return false;
}

static void start(struct fixture *f, int32_t pools, const char *policy)
{
    struct buf text;
    struct problems problems;
    struct diag diag = {0};
    struct rng r;
    buf_init(&text, TEXT_BYTES_MAX);
    describe(&text, pools);
    arena_init(&f->arena, (size_t)256 << 20);
    problems_init(&problems, &f->arena);
    struct config_file file = {STR("bench"), buf_str(&text)};
    struct config_env env = {.get = no_variable};
    if (config_load(&f->portfolio, &f->arena, &file, 1, &env, &problems))
        DIE("pick: " STR_FMT ": " STR_FMT, STR_ARG(problems.first->path),
            STR_ARG(problems.first->text));
    if (live_new(&f->live, &f->arena, pools, pools) ||
        route_new(&f->route, &f->arena, &f->portfolio, f->live, policy, &diag))
        DIE("pick: %s", diag.text);
    rng_seed(&r, 7);
    for (int32_t i = 0; i < ASKS; i++)
        f->asks[i] = (struct route_ask){.tenant = -1,
                                        .surface = SURFACE_CHAT,
                                        .prompt_tok = 50 + (int32_t)rng_below(&r, 4000),
                                        .output_tok = 20 + (int32_t)rng_below(&r, 1000),
                                        .deadline_us = NEVER,
                                        .wall_us = S(1750000000),
                                        .draw = rng_u64(&r)};
    for (int32_t i = 0; i < 8 * pools; i++) {  // a load of eight requests a pool
        const struct route_ask *ask = &f->asks[i % ASKS];
        struct route_decision d = route_pick(f->route, ask, S(1));
        if (d.verdict == ROUTE_SEND)
            route_took(f->route, ask, &d, S(1));
    }
    buf_release(&text);
}

// A prompt of 200 blocks of 512 tokens, of which some pools know 5 and some 160.
static void give_blocks(struct fixture *f)
{
    if (live_remember(f->live, &f->arena))
        DIE("pick: %s", "no room for blocks");
    for (int32_t i = 0; i < BLOCKS; i++)
        f->blocks[i] = mix64((uint64_t)i + 1);
    for (int32_t i = 0; i < ASKS; i++) {
        f->asks[i].blocks = f->blocks;
        f->asks[i].n_blocks = BLOCKS;
        f->asks[i].block_tok = 512;
        f->asks[i].prompt_tok = BLOCKS * 512;
    }
    for (int32_t i = 0; i < 20; i++) {  // some pools know some of it
        struct route_ask ask = f->asks[i];
        ask.n_blocks = i % 4 ? 5 : 160;
        struct route_decision d = route_pick(f->route, &ask, S(1));
        if (d.verdict == ROUTE_SEND)
            route_took(f->route, &ask, &d, S(1));
    }
}

static void pick(void *ctx, int64_t i)
{
    struct fixture *f = ctx;
    f->sum += route_pick(f->route, &f->asks[i % ASKS], S(2) + i).pool;
}

// As serve does it: picked, taken, and given back.
static void pick_took_done(void *ctx, int64_t i)
{
    struct fixture *f = ctx;
    const struct route_ask *ask = &f->asks[i % ASKS];
    struct route_seen seen = {
        .outcome = ROUTE_OK, .ttft_us = MS(80), .per_token_us = MS(5), .output_tok = 200};
    struct route_decision d = route_pick(f->route, ask, S(2) + i);
    if (d.verdict != ROUTE_SEND)
        return;
    route_took(f->route, ask, &d, S(2) + i);
    route_done(f->route, ask, &d, &seen, S(2) + i);
}

// A reload of what is served: the router's names are bound under the lock of those who serve, it is
// built beside them, and joins them under the lock. Each the median of eleven.
static void report_reload(int32_t pools)
{
    enum { TIMES = 11, STEPS = 3 };
    double us[STEPS][TIMES];
    struct fixture f = {.sum = 0};
    start(&f, pools, "caudal");
    for (int t = 0; t < TIMES; t++) {
        struct arena a;
        struct route *r;
        int64_t at_us[STEPS + 1];
        arena_init(&a, (size_t)256 << 20);
        at_us[0] = net_now_us();
        enum err e = route_bind(&r, &a, &f.portfolio, f.live, "caudal", NULL);
        at_us[1] = net_now_us();
        if (e || route_build(r, &a, NULL))
            DIE("pick: the router does not fit its memory");
        at_us[2] = net_now_us();
        route_join(r);
        at_us[3] = net_now_us();
        route_leave(r);
        arena_release(&a);
        for (int i = 0; i < STEPS; i++)
            us[i][t] = (double)(at_us[i + 1] - at_us[i]);
    }
    for (int i = 0; i < STEPS; i++)
        qsort(us[i], TIMES, sizeof **us, stopwatch_by_value);
    printf("\na reload over %d pools: bind %.0f us and join %.0f us under the lock, build %.0f us "
           "beside it\n",
           (int)pools, us[0][TIMES / 2], us[2][TIMES / 2], us[1][TIMES / 2]);
    arena_release(&f.arena);
}

int main(void)
{
    static const char *const policies[] = {"least-cost", "caudal"};
    static const int32_t sizes[] = {4, 16, 64, 1024};
    printf("%-12s %10s %14s %26s\n", "policy", "candidates", "pick, us", "pick + took + done, us");
    for (size_t p = 0; p < COUNTOF(policies); p++)
        for (size_t i = 0; i < COUNTOF(sizes); i++) {
            struct fixture f = {.sum = 0};
            start(&f, sizes[i], policies[p]);
            printf("%-12s %10d %14.3f", policies[p], (int)sizes[i], stopwatch_ns(pick, &f) / 1e3);
            printf(" %26.3f\n", stopwatch_ns(pick_took_done, &f) / 1e3);
            arena_release(&f.arena);
        }
    printf("with prompts of %d blocks\n", (int)BLOCKS);
    for (size_t i = 0; i < COUNTOF(sizes); i++) {
        struct fixture f = {.sum = 0};
        start(&f, sizes[i], "caudal");
        give_blocks(&f);
        printf("%-12s %10d %14.3f", "caudal", (int)sizes[i], stopwatch_ns(pick, &f) / 1e3);
        printf(" %26.3f\n", stopwatch_ns(pick_took_done, &f) / 1e3);
        arena_release(&f.arena);
    }
    report_reload(1000);
    return 0;
}
