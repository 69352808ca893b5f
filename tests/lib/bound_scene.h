// bound_scene.h - a trace played by a policy over a small portfolio, beside its hindsight bound.
//
//   struct outcome o = {.diag = {0}};
//   const struct scene s = {.p = &f.p, .seed = 1};
//   write_trace(buf_str(&text));
//   play(&o, &s, "caudal", true);     // o.cost, o.bound.nusd
//   unlink(scene_path);
//
// With BOUND_LPS=FOLDER in the environment each linear program is written as FOLDER/N.mps, and its
// value as FOLDER/N.value, for another solver to judge.

#ifndef CAUDAL_TESTS_BOUND_SCENE_H
#define CAUDAL_TESTS_BOUND_SCENE_H

#include "base/units.h"
#include "lib/fleet.h"
#include "replay/bound.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

enum { RUN_BYTES = 512 << 20 };

static char scene_path[256];

static inline void write_trace(struct str text)
{
    const char *folder = getenv("TMPDIR");
    snprintf(scene_path, sizeof scene_path, "%s/bound-%d.csv", folder ? folder : "/tmp",
             (int)getpid());
    FILE *f = fopen(scene_path, "w");
    NEED(f && fwrite(text.p, 1, text.n, f) == text.n && fclose(f) == 0);
}

static inline struct arrivals_config arrivals_of(const struct portfolio *p)
{
    return (struct arrivals_config){.p = p,
                                    .path = scene_path,
                                    .model = -1,
                                    .class = -1,
                                    .rate = 1,
                                    .until_us = NEVER,
                                    .repeat = 1,
                                    .wall_us = S(40),
                                    .cv = 1,
                                    .spread = 1};
}

struct outcome {
    enum err e;
    double cost;  // of the policy, nano-dollars
    struct bound bound;
    struct diag diag;
};

struct scene {
    const struct portfolio *p;
    uint64_t seed;
    struct events events;
    const double *used;  // as in replay.h
    int32_t buckets;
    bool told;
};

// Where the next linear program is to be written; NULL: nowhere.
static inline const char *lp_path(char *out, size_t size, int n, const char *what)
{
    const char *folder = getenv("BOUND_LPS");
    if (!folder)
        return NULL;
    snprintf(out, size, "%s/%d.%s", folder, n, what);
    return out;
}

static inline void write_value(int n, double value)
{
    char name[512];
    if (!lp_path(name, sizeof name, n, "value"))
        return;
    FILE *f = fopen(name, "w");
    NEED(f && fprintf(f, "%.17g\n", value) > 0 && fclose(f) == 0);
}

static inline enum err find_bound(struct outcome *o, struct arena *a, struct bound_config c)
{
    static int n;
    char name[512];
    c.write_path = lp_path(name, sizeof name, ++n, "mps");
    enum err e = bound_run(&o->bound, a, &c, &o->diag);
    if (!e)
        write_value(n, o->bound.program_scaled);
    return e;
}

static inline void play(struct outcome *o, const struct scene *s, const char *policy,
                        bool with_bound)
{
    struct arena a;
    struct tally t;
    arena_init(&a, RUN_BYTES);
    const struct replay_config c = {.p = s->p,
                                    .policy = policy,
                                    .seed = s->seed,
                                    .arrivals = arrivals_of(s->p),
                                    .events = s->events,
                                    .used = s->used,
                                    .whole = true,
                                    .told = s->told};
    o->e = replay_run(&t, &a, &c, &o->diag);
    if (!o->e)
        o->cost = account_total(&t.account.cost);
    const struct bound_config b = {.p = s->p,
                                   .arrivals = c.arrivals,
                                   .events = s->events,
                                   .used = s->used,
                                   .wall_us = t.wall_us,
                                   .span_us = t.arrivals_us,
                                   .buckets_max = s->buckets};
    if (!o->e && with_bound)
        o->e = find_bound(o, &a, b);
    arena_release(&a);
}

#endif
