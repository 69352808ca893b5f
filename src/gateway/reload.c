#include "gateway/reload.h"
#include "gateway/admin_calls.h"
#include "gateway/commitments.h"
#include "gateway/engines.h"
#include "gateway/levers.h"
#include "gateway/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SAID_BYTES_MAX = 256 * 1024 };

struct move {  // of one worker to the next generation
    struct reload *reload;
    struct worker *worker;
};

struct reload {
    struct gateway *gateway;
    bool busy, again;         // again: a signal came meanwhile
    bool reading;             // the thread has not been joined
    struct admin_call *call;  // NULL: nobody waits for its outcome, or has gone
    int64_t began_us, began_wall_us;
    pthread_t thread;
    // what the thread found
    enum err e;
    struct buf said;
    struct diag diag;
    struct generation *next;  // NULL: none was made
    bool adopted;             // by the core
    // moving
    struct metrics *grown;  // NULL: no new names
    struct move *moves;     // [n_workers]
    int32_t n_moved;
};

struct reload *reload_new(struct gateway *g)
{
    struct reload *r = take(sizeof *r);
    r->gateway = g;
    r->moves = take_n(sizeof *r->moves, (size_t)g->n_workers);
    buf_init(&r->said, SAID_BYTES_MAX);
    return r;
}

// --- generations ------------------------------------------------------------------------------

// Frees those that nobody uses any more.
static void sweep(void *arg)
{
    struct gateway *g = arg;
    int32_t n = 0;
    if (g->reload && g->reload->reading)
        return;  // when its thread has ended
    for (int32_t i = 0; i < g->n_generations; i++) {
        struct generation *at = g->generations[i];
        if (atomic_load(&at->users)) {
            g->generations[n++] = at;
            continue;
        }
        const struct portfolio *p = at->portfolio;
        core_forget(g->core, at);
        generation_free(at);
        if (p != g->config->portfolio)
            g->config->release(g->config->ctx, p);
    }
    g->n_generations = n;
    atomic_store(&g->generations_live, n);
    if (n && g->engines)
        engines_forget(g->engines, g->generations[0]->serial);
}

static void on_unused(void *owner)
{
    struct gateway *g = owner;
    if (!g->ending)
        loop_post(first_worker(g)->loop, sweep, g);
}

void reload_own(struct gateway *g, struct generation *next)
{
    CHECK(g->n_generations < CORE_GENERATIONS_MAX);
    next->owner = g;
    next->unused = on_unused;
    g->generations[g->n_generations++] = next;
    atomic_store(&g->generations_live, g->n_generations);
    atomic_store(&g->generation_serial, next->serial);
}

void reload_release(struct gateway *g)
{
    if (g->generation)
        generation_drop(g->generation);
    sweep(g);
}

// --- the outcome ------------------------------------------------------------------------------

static void begin(struct reload *r);

static void over(struct reload *r)
{
    r->busy = false;
    r->call = NULL;
    r->next = NULL;
    buf_release(&r->said);
    if (r->again && !r->gateway->draining) {
        r->again = false;
        begin(r);
    }
}

// Each line of what the portfolio's reader said.
static void log_said(struct reload *r, enum log_level level)
{
    struct str rest = buf_str(&r->said), line;
    while (str_cut(&rest, '\n', &line))
        if (line.n)
            log_line(r->gateway->config->log, level, "reload", log_str("what", line));
}

// What will not be used.
static void free_next(struct reload *r)
{
    const struct gateway_config *c = r->gateway->config;
    if (!r->next)
        return;
    const struct portfolio *p = r->next->portfolio;
    if (r->adopted)
        core_forget(r->gateway->core, r->next);
    generation_free(r->next);
    c->release(c->ctx, p);
    r->next = NULL;
}

static void refuse(struct reload *r, const char *why)
{
    struct gateway *g = r->gateway;
    log_said(r, LOG_ERROR);
    log_line(g->config->log, LOG_ERROR, "reload", log_text("outcome", "refused"),
             log_text("why", why), log_int("generation", g->generation->serial));
    atomic_fetch_add(&g->reloads_refused, 1);
    manager_reloaded(g->manager, "serving; the last reload was refused");
    struct str said = str_trim(buf_str(&r->said));
    if (r->call)
        admin_refuse(r->call, 422, "portfolio_refused", "The portfolio in use stays: %s%s" STR_FMT,
                     why, said.n ? "\n" : "", STR_ARG(said));
    free_next(r);
    over(r);
}

// What the files hold may change at any time; which files they are may not.
static bool same_tls(const struct listen_tls *x, const struct listen_tls *y)
{
    bool same = x->on == y->on && x->n_identities == y->n_identities &&
                str_eq(x->client_ca, y->client_ca) && str_eq(x->minimum, y->minimum);
    for (int32_t i = 0; same && i < x->n_identities; i++)
        same = str_eq(x->identities[i].certificate, y->identities[i].certificate) &&
               str_eq(x->identities[i].key, y->identities[i].key);
    return same;
}

// The keys that the new portfolio says otherwise than what this process was started with.
static void write_restart(const struct gateway *g, struct buf *out)
{
    const struct serve_config *was = &g->config->portfolio->serve, *is = &g->portfolio->serve;
    const struct {
        const char *key;
        bool same;
    } keys[] = {
        {"serve.listen", str_eq(was->host, is->host) && was->port == is->port},
        {"serve.admin.listen", was->admin.on == is->admin.on &&
                                   str_eq(was->admin.host, is->admin.host) &&
                                   was->admin.port == is->admin.port},
        {"serve.tls", same_tls(&was->tls, &is->tls)},
        {"serve.admin.tls", same_tls(&was->admin.tls, &is->admin.tls)},
        {"serve.threads", was->threads == is->threads},
        {"serve.state", str_eq(was->state, is->state)},
        {"serve.ledger", str_eq(was->ledger_durability, is->ledger_durability) &&
                             str_eq(was->ledger_on_full, is->ledger_on_full) &&
                             was->ledger_retain_us == is->ledger_retain_us},
        {"serve.log.format", str_eq(was->log_format, is->log_format)},
        {"serve.log.file", str_eq(was->log_file, is->log_file)},
        {"serve.events", str_eq(was->events, is->events) && was->events_bytes == is->events_bytes},
        {"serve.limits.connections", was->connections == is->connections},
    };
    for (size_t i = 0; i < COUNTOF(keys); i++)
        if (!keys[i].same)
            buf_printf(out, "%s%s", buf_len(out) ? "," : "", keys[i].key);
}

// "a,b" as a JSON list, and lines likewise.
static void write_list(struct buf *out, const char *name, struct str text, char between)
{
    struct str item;
    bool first = true;
    buf_printf(out, ",\"%s\":[", name);
    while (str_cut(&text, between, &item)) {
        if (!item.n)
            continue;
        if (!first)
            buf_lit(out, ",");
        first = false;
        buf_add_json(out, item);
    }
    buf_lit(out, "]");
}

static void done(struct reload *r)
{
    struct gateway *g = r->gateway;
    struct buf restart;
    buf_init(&restart, 1024);
    write_restart(g, &restart);
    int64_t took_us = loop_now_us(first_worker(g)->loop) - r->began_us;
    char text[32];
    snprintf(text, sizeof text, "generation %" PRId64, g->generation->serial);
    struct str detail = str_of(text);
    log_said(r, LOG_WARN);
    log_line(g->config->log, buf_len(&restart) ? LOG_WARN : LOG_INFO, "reload",
             log_text("outcome", "used"), log_int("generation", g->generation->serial),
             log_int("pools", g->portfolio->n_pools), log_ms("ms", took_us),
             log_str("needs_restart", buf_str(&restart)));
    atomic_fetch_add(&g->reloads_used, 1);
    manager_reloaded(g->manager, "serving; reloaded");
    if (r->call) {
        struct buf *out = &r->call->out;
        buf_printf(out,
                   "{\"outcome\":\"used\",\"generation\":%" PRId64
                   ",\"pools\":%d,\"models\":%d,\"tenants\":%d,\"ms\":%.1f",
                   g->generation->serial, g->portfolio->n_pools, g->portfolio->n_models,
                   g->portfolio->n_tenants, (double)took_us / 1000);
        write_list(out, "needs_restart", buf_str(&restart), ',');
        write_list(out, "warnings", buf_str(&r->said), '\n');
        buf_lit(out, "}");
        admin_audit(r->call, "reload", detail);
        admin_answer(r->call, 200);
    } else {
        ledger_audit(g->ledger, loop_wall_us(first_worker(g)->loop), STR("SIGHUP"), STR("reload"),
                     detail);
    }
    buf_release(&restart);
    over(r);
}

// --- putting into use -------------------------------------------------------------------------

static void on_moved(void *arg)
{
    struct reload *r = arg;
    if (++r->n_moved < r->gateway->n_workers)
        return;
    if (r->grown)
        metrics_settle(r->grown);
    done(r);
}

// On the worker's own loop.
static void move_worker(void *arg)
{
    struct move *m = arg;
    struct reload *r = m->reload;
    struct worker *w = m->worker;
    struct generation *old = w->generation;
    generation_hold(r->next);
    w->generation = r->next;
    if (r->grown) {
        metrics_move(r->grown, w->index);
        w->metrics = r->grown;
    }
    generation_drop(old);
    loop_post(first_worker(r->gateway)->loop, on_moved, r);
}

static void use(struct reload *r)
{
    struct gateway *g = r->gateway;
    struct generation *old = g->generation;
    enum log_level level = LOG_INFO;
    reload_own(g, r->next);
    g->generation = r->next;
    g->portfolio = r->next->portfolio;
    engines_use(g->engines, r->next);
    levers_apply(g->levers);
    r->grown = metrics_grown(g->metrics, g->names);
    if (r->grown)
        g->metrics = r->grown;
    if (log_level_read(&level, g->portfolio->serve.log_level))
        log_set_level(g->config->log, level);
    generation_drop(old);
    r->n_moved = 0;
    for (int32_t i = 0; i < g->n_workers; i++) {
        r->moves[i] = (struct move){r, &g->workers[i]};
        loop_post(g->workers[i].loop, move_worker, &r->moves[i]);
    }
}

static void on_engines_ready(struct gateway *g, const char *why)
{
    struct reload *r = g->reload;
    if (!why && g->draining)
        why = "the process is ending";
    if (why) {
        engines_abandon(g->engines);
        refuse(r, why);
    } else {
        use(r);
    }
}

static void on_read(void *arg)
{
    struct reload *r = arg;
    struct gateway *g = r->gateway;
    pthread_join(r->thread, NULL);
    r->reading = false;
    sweep(g);
    if (!r->e && g->draining)
        r->e = diag_set(&r->diag, ERR_REFUSED, "the process is ending");
    if (!r->e) {
        r->next->serial = ++g->serials;
        r->e = engines_prepare(g->engines, r->next, on_engines_ready, &r->diag);
    }
    if (r->e)
        refuse(r, r->diag.text[0] ? r->diag.text : "it is not right");
}

// --- reading ----------------------------------------------------------------------------------

static enum err read_next(struct reload *r)
{
    struct gateway *g = r->gateway;
    const struct gateway_config *c = g->config;
    const struct portfolio *p;
    enum err e = c->load(c->ctx, &p, &r->said);
    if (e)
        return e;
    e = generation_new(&r->next, p, c->https_proxy, c->no_proxy, &r->diag);
    if (e) {
        r->next = NULL;
        c->release(c->ctx, p);
        return e;
    }
    // Rows name tenants and pools by numbers that the store must know.
    e = ledger_names(g->ledger, p, &r->diag);
    if (!e)
        e = core_adopt(g->core, r->next, g->names, &r->diag);
    r->adopted = !e;
    if (!e)
        e = limits_adopt(g->limits, r->next, g->generation, g->ledger, &r->diag);
    if (!e)
        e = commitments_rebuild(g->ledger, g->core, r->next, r->began_us, r->began_wall_us,
                                &r->diag);
    return e;
}

static void *run_read(void *arg)
{
    struct reload *r = arg;
    r->e = read_next(r);
    loop_post(first_worker(r->gateway)->loop, on_read, r);
    return NULL;
}

static void begin(struct reload *r)
{
    struct gateway *g = r->gateway;
    r->busy = true;
    r->began_us = loop_now_us(first_worker(g)->loop);
    r->began_wall_us = loop_wall_us(first_worker(g)->loop);
    r->e = ERR_NONE;
    r->diag = (struct diag){0};
    r->next = NULL;
    r->adopted = false;
    r->grown = NULL;
    buf_clear(&r->said);
    int bad = pthread_create(&r->thread, NULL, run_read, r);
    r->reading = !bad;
    if (bad)
        refuse(r, "a thread cannot be started");
}

void reload_begin(struct gateway *g, struct admin_call *call)
{
    struct reload *r = g->reload;
    bool can = g->config->load && !g->draining;
    if (call && !can)
        admin_refuse(call, 409, "cannot_reload", "%s",
                     g->draining ? "The process is ending."
                                 : "What this process serves was not read from files.");
    else if (call && r->busy)
        admin_refuse(call, 409, "reload_under_way", "A reload is under way; try again.");
    else if (r->busy)
        r->again = true;
    else if (can) {
        r->call = call;
        begin(r);
    }
}

void admin_reload(struct admin_call *call)
{
    reload_begin(call->gateway, call);
}

// --- the end ----------------------------------------------------------------------------------

void reload_stop(struct reload *r)
{
    if (!r || !r->reading)
        return;
    pthread_join(r->thread, NULL);
    r->reading = false;
}

void reload_free(struct reload *r)
{
    if (!r)
        return;
    struct gateway *g = r->gateway;
    if (r->call)
        admin_answer(r->call, 503);  // to nobody: its connection has gone
    if (r->busy && r->next != g->generation)
        free_next(r);
    buf_release(&r->said);
    free(r->moves);
    free(r);
    g->reload = NULL;
}

void reload_metrics(const struct gateway *g, struct buf *out)
{
    buf_printf(out,
               "# HELP caudal_generations Portfolios that requests still use; 1: the one in use.\n"
               "# TYPE caudal_generations gauge\ncaudal_generations %d\n"
               "# HELP caudal_generation Number of the portfolio in use; 1 since the start.\n"
               "# TYPE caudal_generation gauge\ncaudal_generation %" PRId64 "\n"
               "# HELP caudal_reloads_total Reloads, by outcome.\n"
               "# TYPE caudal_reloads_total counter\n"
               "caudal_reloads_total{outcome=\"used\"} %" PRIu64 "\n"
               "caudal_reloads_total{outcome=\"refused\"} %" PRIu64 "\n",
               atomic_load(&g->generations_live), atomic_load(&g->generation_serial),
               atomic_load(&g->reloads_used), atomic_load(&g->reloads_refused));
}
