#include "gateway/client.h"
#include "gateway/commitments.h"
#include "gateway/engines.h"
#include "gateway/levers.h"
#include "gateway/limits.h"
#include "gateway/reload.h"
#include "gateway/repricer.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { WORKERS_MAX = 256, MMAP_FROM_BYTES = 1 << 20, DESCRIPTORS_SPARE = 64 };

// --- ending -----------------------------------------------------------------------------------

static void stop_loop(void *arg)
{
    struct worker *w = arg;
    upstream_free(w->upstream);
    w->upstream = NULL;
    loop_stop(w->loop);
}

void gateway_maybe_finish(struct gateway *g)
{
    if (!g->draining || g->busy_workers || !engines_stop(g->engines))
        return;
    admin_stop(g->admin);
    stop_loop(first_worker(g));
}

// On the first worker: a worker has no clients left.
static void on_worker_idle(void *arg)
{
    struct worker *w = arg;
    struct gateway *g = w->owner;
    g->busy_workers--;
    if (w != first_worker(g))
        loop_post(w->loop, stop_loop, w);
    gateway_maybe_finish(g);
}

static void worker_idle(struct worker *w)
{
    struct gateway *g = w->owner;
    w->idle = NULL;  // once, also when the last spans take their time
    if (otlp_last_words(w->otlp, worker_idle))
        return;
    loop_post(first_worker(g)->loop, on_worker_idle, w);
}

static void drain_worker(void *arg)
{
    struct worker *w = arg;
    listener_close(w->listener);
    w->listener = NULL;
    worker_drain(w);
}

static void leave_worker(void *arg)
{
    struct worker *w = arg;
    listener_close(w->listener);
    w->listener = NULL;
    worker_leave(w);
}

static void cut_worker(void *arg)
{
    worker_cut(arg);
}

static void cut(struct gateway *g, const char *why)
{
    if (g->cutting)
        return;
    g->cutting = true;
    log_line(g->config->log, LOG_WARN, "cut", log_str("why", str_of(why)));
    for (int32_t i = 0; i < g->n_workers; i++)
        loop_post(g->workers[i].loop, cut_worker, &g->workers[i]);
}

static void on_drain_over(struct timer *t)
{
    cut(CONTAINER_OF(t, struct gateway, drain_timer), "serve.drain has passed");
}

static void begin_draining(struct gateway *g)
{
    if (g->draining)
        return;
    g->draining = true;
    g->busy_workers = g->n_workers;
    takeover_stop(g->takeover);
}

void gateway_leave(struct gateway *g, int32_t pid)
{
    manager_followed_by(g->manager, pid);
    begin_draining(g);
    for (int32_t i = 0; i < g->n_workers; i++)
        loop_post(g->workers[i].loop, leave_worker, &g->workers[i]);
}

void gateway_fail(struct gateway *g, const struct diag *why)
{
    g->failure = *why;
    begin_draining(g);
    for (int32_t i = 0; i < g->n_workers; i++)
        loop_post(g->workers[i].loop, drain_worker, &g->workers[i]);
}

static void on_signal(void *arg)
{
    struct gateway *g = arg;
    if (g->stopped) {
        cut(g, "a second signal");
        return;
    }
    g->stopped = true;
    if (!g->draining)
        manager_stopping(g->manager);
    struct loop *l = first_worker(g)->loop;
    log_line(g->config->log, LOG_INFO, "drain",
             log_int("requests", metrics_value(g->metrics, METRICS_REQUESTS)));
    begin_draining(g);
    g->drain_timer.fire = on_drain_over;
    timer_set(l, &g->drain_timer, loop_now_us(l) + g->portfolio->serve.drain_us);
    for (int32_t i = 0; i < g->n_workers; i++)
        loop_post(g->workers[i].loop, drain_worker, &g->workers[i]);
}

static void on_rotate(void *arg)
{
    const struct gateway *g = arg;
    struct diag diag = {0};
    if (log_reopen(g->config->log, &diag))
        log_line(g->config->log, LOG_ERROR, "log", log_text("what", diag.text));
}

// --- starting ---------------------------------------------------------------------------------

static void on_accept(void *ctx, struct conn *c)
{
    client_new(ctx, c);
}

static bool enter(void *ctx)
{
    struct worker *w = ctx;
    return seats_take(w->seats, w->index);
}

static void leave(void *ctx)
{
    seats_give(((struct worker *)ctx)->seats);
}

static void on_seat_free(void *arg)
{
    struct worker *w = arg;
    if (w->listener)
        listener_resume(w->listener);
}

static enum err worker_listen(struct worker *w, struct diag *diag)
{
    const struct gateway *g = w->owner;
    const struct serve_config *s = &g->config->portfolio->serve;
    const struct takeover_listen at = {.what = "clients",
                                       .host = s->host,
                                       .port = w->index ? listener_port(g->workers[0].listener)
                                                        : s->port,
                                       .index = w->index,
                                       .n = g->n_workers,
                                       .loop = w->loop,
                                       .on_accept = on_accept,
                                       .ctx = w};
    enum err e = takeover_listener(g->takeover, &w->listener, &at, diag);
    if (e || !w->listener)
        return e;
    listener_secure(w->listener, secure_clients(g->secure), s->head_us);
    listener_gate(w->listener, enter, leave);
    return ERR_NONE;
}

static void open_worker(void *arg)
{
    struct worker *w = arg;
    struct diag diag = {0};
    if (w->draining)
        return;
    if (w->listener)
        listener_resume(w->listener);
    else if (worker_listen(w, &diag))
        log_line(w->log, LOG_ERROR, "take-over", log_text("what", diag.text),
                 log_int("loop", w->index));
}

static enum err worker_init(struct gateway *g, struct worker *w, int32_t index, struct diag *diag)
{
    uint64_t seed = random_u64();
    *w = (struct worker){.index = index,
                         .core = g->core,
                         .limits = g->limits,
                         .keys = g->keys,
                         .metrics = g->metrics,
                         .generation = g->generation,
                         .owner = g,
                         .seats = g->seats,
                         .idle = worker_idle};
    generation_hold(g->generation);
    rng_seed(&w->rng, seed);
    buf_init(&w->scratch, SIZE_MAX / 2);
    enum err e = loop_new(&w->loop, diag);
    if (e)
        return e;
    w->log = log_of_loop(g->config->log, w->loop);
    w->began_us = loop_now_us(w->loop);
    w->began_s = index ? g->workers[0].began_s : loop_wall_us(w->loop) / S(1);
    w->pen = ledger_pen(g->ledger, index, w->loop);
    w->upstream = upstream_new(w->loop);
    w->otlp = otlp_new(w);
    seats_tell(w->seats, index, w->loop, on_seat_free, w);
    return worker_listen(w, diag);
}

static void worker_release(struct worker *w)
{
    if (w->listener)
        listener_close(w->listener);
    otlp_free(w->otlp);
    upstream_free(w->upstream);
    if (w->loop)
        loop_free(w->loop);
    log_free(w->log);
    buf_release(&w->scratch);
    if (w->generation)
        generation_drop(w->generation);
}

static void *run_worker(void *arg)
{
    struct worker *w = arg;
    loop_run(w->loop);
    return NULL;
}

static enum err first_generation(struct gateway *g, struct diag *diag)
{
    const struct gateway_config *c = g->config;
    struct generation *first;
    g->names = names_new();
    enum err e = generation_new(&first, g->portfolio, c->https_proxy, c->no_proxy, diag);
    if (e)
        return e;
    first->serial = ++g->serials;
    e = core_adopt(g->core, first, g->names, diag);
    if (e) {
        generation_free(first);
        return e;
    }
    reload_own(g, first);
    g->generation = first;
    return ERR_NONE;
}

static void on_first_engines(struct gateway *g, const char *why)
{
    (void)g, (void)why;  // the first portfolio is in use whatever becomes of its engines
}

static enum err start_engines(struct gateway *g, struct diag *diag)
{
    g->engines = engines_new(g);
    enum err e = engines_prepare(g->engines, g->generation, on_first_engines, diag);
    if (!e)
        engines_use(g->engines, g->generation);
    return e;
}

static void on_hangup(void *arg)
{
    struct gateway *g = arg;
    manager_reloading(g->manager);
    reload_begin(g, NULL);
}

static void on_step(void *ctx, struct str pool, const struct share_step *s)
{
    struct gateway *g = ctx;
    log_line(g->config->log, s->to > s->from ? LOG_INFO : LOG_WARN, "share", log_str("pool", pool),
             log_num("from", s->from), log_num("to", s->to), log_text("why", s->why),
             log_int("answers", s->answers), log_int("errors", s->errors), log_num("ttft", s->ttft),
             log_num("per_token", s->per_token));
}

// What all workers share, up to the first generation.
static enum err start_shared(struct gateway *g, struct diag *diag)
{
    const struct gateway_config *c = g->config;
    enum err e = secure_new(&g->secure, &g->portfolio->serve, c->log, diag);
    if (!e)
        e = takeover_new(&g->takeover, g, c->take_over, diag);
    if (e)
        return e;
    // First of all on disk: whoever starts beside a gateway ends here, and has moved nothing.
    e = ledger_open(&g->ledger, g->portfolio, g->n_workers, c->log,
                    takeover_ledger_lock(g->takeover), diag);
    if (!e)
        e = core_new(&g->core, diag);
    if (e)
        return e;
    const struct serve_config *s = &g->portfolio->serve;
    if (s->events.n)
        e = core_keep_log(g->core, s->events, s->events_bytes, c->take_over, c->log, diag);
    if (!e)
        e = first_generation(g, diag);
    if (e)
        return e;
    g->metrics = metrics_new(g->names, g->n_workers);
    e = limits_new(&g->limits, diag);
    if (!e)
        e = limits_adopt(g->limits, g->generation, NULL, g->ledger, diag);
    return e ? e : keys_new(&g->keys, g->limits, g->ledger, diag);
}

// What the first worker's loop does for all.
static enum err start_first(struct gateway *g, struct loop *loop, struct diag *diag)
{
    core_look_on(g->core, loop);
    core_tell_steps(g->core, on_step, g);
    enum err e = commitments_rebuild(g->ledger, g->core, g->generation, loop_now_us(loop),
                                     loop_wall_us(loop), diag);
    if (!e)
        e = levers_new(&g->levers, g, diag);
    if (e)
        return e;
    levers_apply(g->levers);
    e = admin_new(&g->admin, g, diag);
    if (e)
        return e;
    secure_watch(g->secure, loop);
    loop_on_signal(loop, SIGTERM, on_signal, g);
    loop_on_signal(loop, SIGINT, on_signal, g);
    loop_on_signal(loop, SIGUSR1, on_rotate, g);
    g->reload = reload_new(g);
    g->repricer = repricer_new(g);
    loop_on_signal(loop, SIGHUP, on_hangup, g);
    return start_engines(g, diag);
}

static enum err start(struct gateway *g, struct diag *diag)
{
    enum err e = start_shared(g, diag);
    if (e)
        return e;
    g->seats = seats_new(g->portfolio->serve.connections, g->n_workers);
    for (int32_t i = 0; i < g->n_workers; i++) {
        e = worker_init(g, &g->workers[i], i, diag);
        if (e)
            return e;
    }
    e = start_first(g, first_worker(g)->loop, diag);
    if (e)
        return e;
    for (int32_t i = 1; i < g->n_workers; i++) {
        int bad = pthread_create(&g->threads[i], NULL, run_worker, &g->workers[i]);
        if (bad)
            return diag_set(diag, ERR_SYSTEM, "a thread cannot be started: %s", strerror(bad));
        g->n_threads++;
    }
    return ERR_NONE;
}

// Stops what a failed start has begun.
static void abandon(struct gateway *g)
{
    for (int32_t i = 1; i <= g->n_threads; i++)
        loop_post(g->workers[i].loop, stop_loop, &g->workers[i]);
}

void gateway_open(struct gateway *g)
{
    for (int32_t i = 0; i < g->n_workers; i++)
        loop_post(g->workers[i].loop, open_worker, &g->workers[i]);
    if (g->admin)
        listener_resume(admin_listener(g->admin));
    const struct serve_config *s = &g->portfolio->serve;
    size_t colon;
    bool v6 = str_find(s->host, STR(":"), &colon);
    char url[320];
    snprintf(url, sizeof url, "http%s://%s" STR_FMT "%s:%d/v1",
             secure_clients(g->secure) ? "s" : "", v6 ? "[" : "", STR_ARG(s->host), v6 ? "]" : "",
             listener_port(first_worker(g)->listener));
    if (g->config->listening)
        g->config->listening(g->config->ctx, str_of(url));
    manager_ready(g->manager, str_of(url));
}

enum err gateway_run(const struct gateway_config *c, struct diag *diag)
{
    struct gateway *g = take(sizeof *g);
    g->config = c;
    g->portfolio = c->portfolio;
    // A generation's waiting line is megabytes that are hardly touched: from mmap() they cost what
    // is used. glibc would take later ones from the heap, and clear them.
    mallopt(M_MMAP_THRESHOLD, MMAP_FROM_BYTES);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int32_t wanted = c->portfolio->serve.threads;
    g->n_workers = wanted > 0 ? wanted : cores > 0 ? (int32_t)cores : 1;
    g->n_workers = g->n_workers > WORKERS_MAX ? WORKERS_MAX : g->n_workers;
    g->workers = take_n(sizeof *g->workers, (size_t)g->n_workers);
    g->threads = take_n(sizeof *g->threads, (size_t)g->n_workers);
    g->manager = manager_new(g);
    enum err e = start(g, diag);
    if (e) {
        abandon(g);
    } else {
        takeover_begin(g->takeover);
        loop_run(first_worker(g)->loop);
    }
    for (int32_t i = 1; i <= g->n_threads; i++)
        pthread_join(g->threads[i], NULL);
    if (!e && g->failure.e)
        e = diag_set(diag, g->failure.e, "%s", g->failure.text);
    keys_stop(g->keys);
    ledger_stop(g->ledger);
    admin_stop(g->admin);
    takeover_free(g->takeover);
    reload_stop(g->reload);
    levers_stop(g->levers);
    engines_free(g->engines);
    g->engines = NULL;
    g->ending = true;
    if (g->seats)
        seats_close(g->seats);
    for (int32_t i = 0; i < g->n_workers; i++)
        worker_release(&g->workers[i]);
    repricer_free(g->repricer);
    seats_free(g->seats);
    manager_free(g->manager);
    admin_free(g->admin);
    secure_free(g->secure);
    ledger_close(g->ledger);
    reload_free(g->reload);
    levers_free(g->levers);
    reload_release(g);
    metrics_free(g->metrics);
    names_free(g->names);
    core_free(g->core);
    keys_free(g->keys);
    limits_free(g->limits);
    free(g->threads);
    free(g->workers);
    free(g);
    return e;
}
