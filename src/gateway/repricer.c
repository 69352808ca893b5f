#include "gateway/repricer.h"

#include "gateway/gateway_inside.h"
#include "route/resolve.h"

#include <inttypes.h>
#include <stdlib.h>

static const size_t RESOLVE_BYTES_MAX = (size_t)256 << 20;

struct repricer {
    struct gateway *gateway;
    struct timer timer;
    struct generation *generation;  // that `resolve` is for; held while `working`
    int64_t serial;                 // of that generation; 0: none yet
    struct arena arena;
    struct resolve *resolve;  // NULL: its policy has no use for it, or no memory
    bool working;
    int64_t began_us;
    // Read by scrapes of any worker.
    _Atomic int64_t found_us, took_us;  // 0: never
    _Atomic uint64_t found, failed;
};

// --- numbers of the process to indices of the portfolio ---------------------------------------

static int32_t index_of(const struct names_map *m, enum names_kind kind, int32_t number)
{
    for (int32_t i = 0; number >= 0 && i < m->n[kind]; i++)
        if (m->of[kind][i] == number)
            return i;
    return -1;
}

static void translate(struct wanted *a, const struct names_map *m)
{
    for (int32_t i = 0; i < a->n_streams; i++) {
        a->streams[i].model = index_of(m, NAMES_MODEL, a->streams[i].model);
        a->streams[i].class = index_of(m, NAMES_CLASS, a->streams[i].class);
    }
    for (int32_t i = 0; i < a->n_sample; i++)
        a->sample[i].tenant = index_of(m, NAMES_TENANT, a->sample[i].tenant);
}

// --- the round --------------------------------------------------------------------------------

static void work(void *arg)
{
    struct repricer *x = arg;
    translate(resolve_wanted(x->resolve), &x->generation->names);
    resolve_solve(x->resolve);
}

static void done(void *arg)
{
    struct repricer *x = arg;
    int64_t now_us = clock_now_us();
    core_resolve_tell(x->gateway->core, x->generation, x->resolve, now_us);
    atomic_store(&x->took_us, now_us - x->began_us);
    atomic_store(&x->found_us, now_us);
    atomic_fetch_add(&x->found, 1);
    x->working = false;
    generation_drop(x->generation);
}

// Room for the generation in use, where that is another one than before.
static void renew(struct repricer *x)
{
    struct generation *g = x->gateway->generation;
    if (x->serial == g->serial)
        return;
    arena_release(&x->arena);
    arena_init(&x->arena, RESOLVE_BYTES_MAX);
    x->serial = g->serial;
    x->generation = g;
    x->resolve = NULL;
    if (resolve_is_wanted(g->route) && resolve_new(&x->resolve, &x->arena, g->route))
        atomic_fetch_add(&x->failed, 1);
}

static void on_time(struct timer *t)
{
    struct repricer *x = CONTAINER_OF(t, struct repricer, timer);
    struct loop *l = first_worker(x->gateway)->loop;
    timer_set(l, t, loop_now_us(l) + RESOLVE_LOOK_US);
    if (x->working || x->gateway->draining)
        return;
    renew(x);
    if (!x->resolve || !core_resolve_see(x->gateway->core, x->generation, x->resolve,
                                         loop_now_us(l), loop_wall_us(l)))
        return;
    generation_hold(x->generation);
    x->began_us = clock_now_us();
    x->working = true;
    loop_work(l, work, done, x);
}

struct repricer *repricer_new(struct gateway *g)
{
    struct repricer *x = take(sizeof *x);
    x->gateway = g;
    x->timer.fire = on_time;
    struct loop *l = first_worker(g)->loop;
    timer_set(l, &x->timer, loop_now_us(l) + RESOLVE_LOOK_US);
    return x;
}

void repricer_free(struct repricer *x)
{
    if (!x)
        return;
    arena_release(&x->arena);
    free(x);
}

void repricer_metrics(const struct repricer *x, struct buf *out)
{
    int64_t found_us = atomic_load(&x->found_us);
    buf_printf(out,
               "# HELP caudal_prices_found_total Times that prices of commitments were found.\n"
               "# TYPE caudal_prices_found_total counter\ncaudal_prices_found_total %" PRIu64 "\n"
               "# HELP caudal_prices_failures_total Times that they could not be sought.\n"
               "# TYPE caudal_prices_failures_total counter\n"
               "caudal_prices_failures_total %" PRIu64 "\n",
               atomic_load(&x->found), atomic_load(&x->failed));
    buf_printf(out,
               "# HELP caudal_prices_solve_seconds How long the last search took, its wait for a "
               "thread included.\n# TYPE caudal_prices_solve_seconds gauge\n"
               "caudal_prices_solve_seconds %.6f\n",
               (double)atomic_load(&x->took_us) / 1e6);
    buf_lit(out, "# HELP caudal_prices_age_seconds Since prices were found; absent before.\n"
                 "# TYPE caudal_prices_age_seconds gauge\n");
    if (found_us)
        buf_printf(out, "caudal_prices_age_seconds %.3f\n",
                   (double)(clock_now_us() - found_us) / 1e6);
}
