// Replays of small traces: nobody is lost, the same is the same, and what happens to pools shows.

#include "base/units.h"
#include "lib/random_events.h"
#include "replay/prefix.h"
#include "replay/replay.h"

#include <stdio.h>
#include <unistd.h>

enum { RUN_BYTES = 256 << 20 };

struct played {
    struct arena arena;
    struct tally t;
    struct diag diag;
    enum err e;
    char path[256];
};

static void write_trace(struct played *r, struct str text)
{
    const char *folder = getenv("TMPDIR");
    snprintf(r->path, sizeof r->path, "%s/trace-%d.csv", folder ? folder : "/tmp", (int)getpid());
    FILE *f = fopen(r->path, "w");
    NEED(f && fwrite(text.p, 1, text.n, f) == text.n && fclose(f) == 0);
}

static struct replay_config config_of(const struct portfolio *p, const struct played *r)
{
    return (struct replay_config){.p = p,
                                  .policy = "least-cost",
                                  .seed = 1,
                                  .arrivals = {.p = p,
                                               .path = r->path,
                                               .model = -1,
                                               .class = -1,
                                               .rate = 1,
                                               .until_us = NEVER,
                                               .repeat = 1,
                                               .wall_us = 0,
                                               .cv = 1,
                                               .spread = 1}};
}

static void play(struct played *r, const struct replay_config *c)
{
    arena_init(&r->arena, RUN_BYTES);
    r->e = replay_run(&r->t, &r->arena, c, &r->diag);
}

static void end_play(struct played *r)
{
    arena_release(&r->arena);
    unlink(r->path);
}

static void events_of(struct replay_config *c, struct arena *a, const char *text)
{
    struct diag diag = {0};
    if (events_read(&c->events, a, c->p, "events", str_of(text), &diag))
        printf("  %s\n", diag.text);
    NEED(!diag.e);
}

static void random_trace(struct buf *out, const struct fleet *f, uint64_t seed, int n)
{
    struct rng r;
    rng_seed(&r, seed);
    int64_t at = 0;
    buf_lit(out, "t_us,prompt_tokens,output_tokens,model,class,tenant\n");
    for (int i = 0; i < n; i++) {
        at += rng_below(&r, 10) ? (int64_t)rng_below(&r, MS(200)) : 0;
        buf_printf(out, "%" PRId64 ",%d,%d,m%d,", at, (int)rng_below(&r, 3000),
                   (int)rng_below(&r, 300), (int)rng_below(&r, (uint64_t)f->p.n_models + 1));
        if (f->p.n_classes)
            buf_printf(out, "k%d", (int)rng_below(&r, (uint64_t)f->p.n_classes));
        buf_lit(out, ",");
        if (f->p.n_tenants)
            buf_printf(out, "t%d", (int)rng_below(&r, (uint64_t)f->p.n_tenants));
        buf_lit(out, "\n");
    }
}

static void random_fleet(struct fleet *f, uint64_t seed)
{
    fleet_random(f, seed);
    for (int32_t i = 0; i < f->p.n_classes; i++) {
        f->classes[i].ttft_us = S(1);
        if (i == 1)
            f->classes[i].deadline_us = S(3);
    }
    f->suppliers[0].first_byte_us = S(5);
    f->p.serve.deadline_us = S(20);
    fleet_start(f, "least-cost");
}

static const char *const policies[] = {"least-cost", "priority-spill", "round-robin",
                                       "least-in-flight"};

// A fleet that fails at random and a trace that asks for everything.
static void every_request_ends_in_one_way(void)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct fleet f;
        struct played r = {0};
        struct buf text;
        random_fleet(&f, seed);
        buf_init(&text, 1 << 20);
        random_trace(&text, &f, seed, 400);
        write_trace(&r, buf_str(&text));
        struct replay_config c = config_of(&f.p, &r);
        c.policy = policies[seed % COUNTOF(policies)];
        random_events(&c.events, &f, seed, 30, SOME_OF_ALL);
        play(&r, &c);
        const struct tally_cell *a = &r.t.all;
        if (r.e == ERR_INVALID && strstr(r.diag.text, "nobody serves")) {
            end_play(&r);
        } else {
            EXPECT(!r.e, "seed %" PRIu64 ": %s", seed, r.diag.text);
            EXPECT(a->requests == 400 && r.t.open == 0, "seed %" PRIu64 ": %" PRId64, seed,
                   a->requests);
            EXPECT(a->answered + a->refused + a->expired + a->failed == 400, "seed %" PRIu64, seed);
            int64_t bars = r.t.line_full, tenants = 0;
            for (size_t i = 0; i < COUNTOF(r.t.bars); i++)
                bars += r.t.bars[i];
            EXPECT(bars == a->refused, "seed %" PRIu64 ": %" PRId64 " bars, %" PRId64 " refused",
                   seed, bars, a->refused);
            for (int32_t i = 0; i <= f.p.n_tenants && f.p.n_tenants; i++)
                tenants += r.t.tenants[i].requests;
            EXPECT(!f.p.n_tenants || tenants == 400, "seed %" PRIu64 ": %" PRId64, seed, tenants);
            end_play(&r);
        }
        buf_release(&text);
        fleet_release(&f);
    }
}

static void the_same_seed_gives_the_same_tally(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fleet f;
        struct played r[2] = {{.diag = {0}}, {.diag = {0}}};
        struct buf text;
        random_fleet(&f, seed);
        buf_init(&text, 1 << 20);
        random_trace(&text, &f, seed, 300);
        for (int i = 0; i < 2; i++) {
            write_trace(&r[i], buf_str(&text));
            struct replay_config c = config_of(&f.p, &r[i]);
            for (int32_t k = 0; k < f.p.n_pools; k++)
                f.pools[k].prefix_cache =
                    (struct prefix_cache){true, k % 2 ? 100000 : -1, S(20 + k)};
            play(&r[i], &c);
        }
        EXPECT(r[0].e == r[1].e, "seed %" PRIu64, seed);
        if (!r[0].e) {
            EXPECT(memcmp(&r[0].t.all, &r[1].t.all, sizeof r[0].t.all) == 0, "seed %" PRIu64, seed);
            EXPECT(memcmp(r[0].t.pools, r[1].t.pools, sizeof *r[0].t.pools * (size_t)f.p.n_pools) ==
                       0,
                   "seed %" PRIu64, seed);
        }
        end_play(&r[0]);
        end_play(&r[1]);
        buf_release(&text);
        fleet_release(&f);
    }
}

// Caches are by (pool, model), and pools may be there that serve nothing.
static void caches_of_pools_with_no_model_and_with_two_are_released(void)
{
    struct fleet f;
    struct played r = {0};
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m"), n = fleet_model(&f, "n");
    fleet_pool(&f, "none", m)->n_serves = 0;
    fleet_pool(&f, "nothing", m)->n_serves = 0;
    struct pool *two = fleet_pool(&f, "two", m);
    fleet_serve(&f, two, n);
    two->prefix_cache = (struct prefix_cache){true, 4096, NEVER};
    write_trace(&r, STR("t_s,prompt_tokens,output_tokens\n0,10,2\n1,10,2\n"));
    struct replay_config c = config_of(&f.p, &r);
    c.arrivals.model = n;
    play(&r, &c);
    EXPECT(!r.e && r.t.all.answered == 2, "%s", r.diag.text);
    end_play(&r);
    fleet_release(&f);
}

// One pool whose times are round figures: prefill 1 ms a token, 10 ms a step, 2 slots.
static void simple_fleet(struct fleet *f, int pools)
{
    static const char *const names[] = {"a", "b", "c"};
    fleet_init(f);
    int32_t m = fleet_model(f, "m");
    f->points[0][0] = (struct point){.model = -1,
                                     .prefill_tok_s = 1000,
                                     .step_us = 10000,
                                     .slots = 2,
                                     .power_w = 1000,
                                     .basis = BASIS_MEASURED};
    f->chips[0] = (struct chip){.name = STR("chip"), .points = f->points[0], .n_points = 1};
    f->p.n_chips = 1;
    struct class *k = fleet_class(f, "chat", 10);
    k->ttft_us = S(1);
    f->p.serve.default_class = 0;
    for (int i = 0; i < pools; i++) {
        struct pool *pool = fleet_pool(f, names[i], m);
        pool->chip = 0;
        fleet_price(pool, 1);
    }
    fleet_start(f, "least-cost");
}

static void one_alone_takes_what_the_service_model_says(void)
{
    struct fleet f;
    struct played r = {0};
    simple_fleet(&f, 1);
    write_trace(&r, STR("t_us,prompt_tokens,output_tokens\n1000000,200,5\n"));
    struct replay_config c = config_of(&f.p, &r);
    play(&r, &c);
    const struct tally_times *t = &r.t.all.times;
    EXPECT(!r.e && r.t.all.answered == 1, "%s", r.diag.text);
    EXPECT(t->ttft.max == 210000, "%" PRId64, t->ttft.max);
    EXPECT(t->per_token.max == 10000, "%" PRId64, t->per_token.max);
    EXPECT(t->total.max == 250000, "%" PRId64, t->total.max);
    EXPECT(r.t.all.list_nusd == 205000, "%" PRId64, r.t.all.list_nusd);
    EXPECT(r.t.all.good == 1 && r.t.all.with_target == 1, "%" PRId64, r.t.all.good);
    // Half of the 2 slots for a quarter of a second, at 1 kW when both are busy.
    EXPECT(r.t.all.joules > 124.9 && r.t.all.joules < 125.1, "%g", r.t.all.joules);
    end_play(&r);
    fleet_release(&f);
}

static void a_pool_that_dies_loses_only_what_it_was_saying(void)
{
    struct fleet f;
    struct played r = {0};
    struct buf text;
    simple_fleet(&f, 2);
    buf_init(&text, 1 << 20);
    buf_lit(&text, "t_us,prompt_tokens,output_tokens\n");
    for (int i = 0; i < 400; i++)
        buf_printf(&text, "%d,50,20\n", i * 200000);
    write_trace(&r, buf_str(&text));
    struct replay_config c = config_of(&f.p, &r);
    events_of(&c, &f.arena, "20 s a dies  # a comment\n\n 50s a heals\n");
    play(&r, &c);
    EXPECT(!r.e, "%s", r.diag.text);
    EXPECT(r.t.all.answered + r.t.cut == 400 && r.t.cut <= 2,
           "%" PRId64 " answered, %" PRId64 " cut", r.t.all.answered, r.t.cut);
    EXPECT(r.t.pools[0].answered > 20 && r.t.pools[0].answered < 200, "%" PRId64,
           r.t.pools[0].answered);
    EXPECT(r.t.pools[0].faults > 0, "%" PRId64, r.t.pools[0].faults);
    end_play(&r);
    buf_release(&text);
    fleet_release(&f);
}

static void a_slow_pool_takes_longer(void)
{
    struct fleet f;
    struct played r = {0};
    simple_fleet(&f, 1);
    write_trace(&r, STR("t_us,prompt_tokens,output_tokens\n0,100,10\n10000000,100,10\n"));
    struct replay_config c = config_of(&f.p, &r);
    events_of(&c, &f.arena, "5 s a slow 3\n");
    play(&r, &c);
    EXPECT(r.t.all.times.total.min == 200000, "%" PRId64, r.t.all.times.total.min);
    EXPECT(r.t.all.times.total.max == 600000, "%" PRId64, r.t.all.times.total.max);
    end_play(&r);
    fleet_release(&f);
}

static void repeating_and_rate_scale_the_trace(void)
{
    struct fleet f;
    struct played r = {0};
    simple_fleet(&f, 3);
    write_trace(&r, STR("t_us,prompt_tokens,output_tokens\n0,10,2\n1000000,10,2\n3000000,10,2\n"));
    struct replay_config c = config_of(&f.p, &r);
    c.arrivals.repeat = 4;
    c.arrivals.rate = 2;
    play(&r, &c);
    // Passes lie 3 s and the mean gap of 1.5 s apart; the last begins at 13.5 s, ends at 16.5 s.
    EXPECT(r.t.all.requests == 12, "%" PRId64, r.t.all.requests);
    EXPECT(r.t.arrivals_us == 8250000, "%" PRId64, r.t.arrivals_us);
    end_play(&r);
    c.arrivals = config_of(&f.p, &r).arrivals;
    c.arrivals.from_us = 500000;
    c.arrivals.until_us = 2000000;
    write_trace(&r, STR("t_us,prompt_tokens,output_tokens\n0,10,2\n1000000,10,2\n3000000,10,2\n"));
    play(&r, &c);
    EXPECT(r.t.all.requests == 1 && r.t.outside == 1, "%" PRId64, r.t.all.requests);
    EXPECT(r.t.arrivals_us == 500000, "%" PRId64, r.t.arrivals_us);
    end_play(&r);
    fleet_release(&f);
}

static void demand_comes_at_its_rate(void)
{
    struct fleet f;
    struct played r = {0};
    simple_fleet(&f, 2);
    struct demand d = {.name = STR("d"),
                       .tenant = -1,
                       .model = 0,
                       .class = 0,
                       .rate_per_s = 2,
                       .prompt_tok = 100,
                       .output_tok = 20,
                       .growth_per_year = 1,
                       .weekend = 1,
                       .until_us = NEVER};
    for (int h = 0; h < STREAM_HOURS; h++)
        d.hours[h] = h < 12 ? 0.5 : 1.5;
    f.p.demands = &d;
    f.p.n_demands = 1;
    for (int cv = 0; cv < 3; cv++) {
        struct replay_config c = config_of(&f.p, &r);
        c.arrivals.path = NULL;
        c.arrivals.cv = cv;
        c.arrivals.until_us = S(86400);
        play(&r, &c);
        EXPECT(!r.e, "%s", r.diag.text);
        double n = (double)r.t.all.requests, prompt = (double)r.t.all.prompt_tok / n;
        EXPECT(n > 0.98 * 172800 && n < 1.02 * 172800, "cv %d: %g", cv, n);
        EXPECT(prompt > 98 && prompt < 103, "cv %d: %g", cv, prompt);
        c.arrivals.until_us = S(43200);
        struct played half = {0};
        play(&half, &c);
        double share = (double)half.t.all.requests / n;
        EXPECT(share > 0.245 && share < 0.255, "cv %d: %g in the first half", cv, share);
        end_play(&half);
        end_play(&r);
    }
    fleet_release(&f);
}

static void expect_fault(const char *trace, bool map, const char *words)
{
    struct fleet f;
    struct played r = {0};
    fleet_init(&f);
    int32_t m = fleet_model(&f, "m");
    fleet_model(&f, "unserved");
    fleet_pool(&f, "a", m);
    fleet_class(&f, "aimless", 1);
    fleet_start(&f, "least-cost");
    write_trace(&r, str_of(trace));
    struct replay_config c = config_of(&f.p, &r);
    if (map) {
        c.arrivals.maps[0] = (struct arrivals_map){STR("x"), 0};
        c.arrivals.n_maps = 1;
    }
    play(&r, &c);
    EXPECT(r.e == ERR_INVALID && strstr(r.diag.text, words), "%s: %s", words, r.diag.text);
    end_play(&r);
    fleet_release(&f);
}

static void what_cannot_be_replayed_is_said(void)
{
    expect_fault("t_us,prompt_tokens,output_tokens\n5,1,1\n4,1,1\n", false,
                 ".csv:3: time goes back, from 0.000005 s to 0.000004 s; --sort puts it in order");
    expect_fault("t_us,prompt_tokens,output_tokens\n", false, "the trace is empty");
    expect_fault("t_us,prompt_tokens,output_tokens,model\n1,1,1,unserved\n", false,
                 "nobody serves the model unserved");
    expect_fault("t_us,prompt_tokens,output_tokens,class\n1,1,1,aimless\n", false,
                 "class aimless states no target");
    expect_fault("t_us,prompt_tokens,output_tokens,model\n1,1,1,x\n0,1,1,x\n", true,
                 "time goes back");
}

static void unknown_models_are_counted_and_a_trace_can_be_sorted(void)
{
    struct fleet f;
    struct played r = {0};
    simple_fleet(&f, 1);
    write_trace(
        &r,
        STR("t_us,prompt_tokens,output_tokens,model\n9,1,1,x\n5,1,1,m\n1,1,1,y\nbad\n7,1,1,x\n"));
    struct replay_config c = config_of(&f.p, &r);
    c.arrivals.sort = true;
    c.arrivals.skip_bad = 1;
    play(&r, &c);
    EXPECT(!r.e && r.t.all.requests == 4 && r.t.all.answered == 1, "%s", r.diag.text);
    EXPECT(r.t.unknown == 3 && r.t.n_unknowns == 2, "%" PRId64, r.t.unknown);
    EXPECT(str_eq(r.t.unknowns[0].name, STR("x")) && r.t.unknowns[0].count == 2, "%" PRId64,
           r.t.unknowns[0].count);
    EXPECT(r.t.skipped == 1, "%" PRId64, r.t.skipped);
    end_play(&r);
    fleet_release(&f);
}

static void events_say_what_is_wrong_with_them(void)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"5 s\n", "events:1: expected when, who and what"},
        {"5 s a\n", "events:1: expected when, who and what"},
        {"soon a dies\n", "events:1: \"soon\" is no time"},
        {"\n5 s nobody dies\n", "events:2: there is no pool \"nobody\""},
        {"5 s a explodes\n",
         "events:1: \"explodes\": expected dies, heals, slow, derate, stalls, maint"},
        {"5 s a slow\n", "behind slow: expected a number"},
        {"5 s a derate 300%\n", "behind derate: expected a share"},
        {"5 s a dies today\n", "behind dies: expected nothing"},
    };
    struct fleet f;
    simple_fleet(&f, 1);
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct events e;
        struct diag diag = {0};
        enum err err = events_read(&e, &f.arena, &f.p, "events", str_of(cases[i].text), &diag);
        EXPECT(err == ERR_INVALID && strstr(diag.text, cases[i].words), "%s", diag.text);
    }
    fleet_release(&f);
}

// Against a list that is searched from end to end.
static void a_prefix_cache_keeps_the_newest(void)
{
    enum { ROOM = 40 };
    uint64_t kept[ROOM + 64];
    int32_t n = 0;
    struct prefix c;
    struct rng r;
    rng_seed(&r, 5);
    prefix_init(&c, ROOM, NEVER);
    for (int turn = 0; turn < 20000; turn++) {
        uint64_t blocks[12], chain = rng_below(&r, 9) * 100;
        int32_t len = (int32_t)rng_below(&r, 12), warm = 0, expected = 0;
        for (int32_t i = 0; i < len; i++)
            blocks[i] = chain += rng_below(&r, 10) ? 1 : 7;
        for (bool in = true; in && expected < len; expected += in) {
            in = false;
            for (int32_t k = 0; k < n; k++)
                in = in || kept[k] == blocks[expected];
        }
        warm = prefix_use(&c, blocks, len, 0, 0);
        EXPECT(warm == expected, "turn %d: %d, %d", turn, warm, expected);
        for (int32_t i = len - 1; i >= 0; i--) {  // kept[0] is the oldest
            int32_t k = 0;
            while (k < n && kept[k] != blocks[i])
                k++;
            if (k == n && n == ROOM)
                k = 0;
            if (k < n) {
                memmove(&kept[k], &kept[k + 1], (size_t)(n - k - 1) * sizeof *kept);
                n--;
            }
            kept[n++] = blocks[i];
        }
    }
    prefix_release(&c);
}

int main(void)
{
    TEST(every_request_ends_in_one_way);
    TEST(the_same_seed_gives_the_same_tally);
    TEST(caches_of_pools_with_no_model_and_with_two_are_released);
    TEST(one_alone_takes_what_the_service_model_says);
    TEST(a_pool_that_dies_loses_only_what_it_was_saying);
    TEST(a_slow_pool_takes_longer);
    TEST(repeating_and_rate_scale_the_trace);
    TEST(demand_comes_at_its_rate);
    TEST(what_cannot_be_replayed_is_said);
    TEST(unknown_models_are_counted_and_a_trace_can_be_sorted);
    TEST(events_say_what_is_wrong_with_them);
    TEST(a_prefix_cache_keeps_the_newest);
    return test_end();
}
