#include "gateway/engines.h"

#include <stdlib.h>

static const int64_t grace_us = S(5);
enum { RUN_BYTES_MAX = 4 * 1024 * 1024 };

struct run {
    struct engines *owner;
    struct run *next;
    struct arena arena;
    struct supplier supplier;  // a copy in the arena: portfolios come and go
    struct engine *engine;
    int64_t first, last;  // serials of the generations that it works for
    bool awaited;         // the reload waits for it
    bool stopping, stopped;
};

struct engines {
    struct gateway *gateway;
    struct run *runs;
    struct generation *next;  // being prepared; NULL: none
    void (*ready)(struct gateway *g, const char *why);
    bool telling;  // a call of `ready` is on its way
    const char *failed;
    bool ending;
};

struct engines *engines_new(struct gateway *g)
{
    struct engines *s = take(sizeof *s);
    s->gateway = g;
    return s;
}

static void free_run(struct run *r)
{
    engine_free(r->engine);
    arena_release(&r->arena);
    free(r);
}

void engines_free(struct engines *s)
{
    while (s && s->runs) {
        struct run *r = s->runs;
        s->runs = r->next;
        free_run(r);
    }
    free(s);
}

// --- what a generation sees -------------------------------------------------------------------

static int32_t supplier_of(const struct generation *g, struct str name)
{
    const struct portfolio *p = g->portfolio;
    for (int32_t i = 0; i < p->n_suppliers; i++)
        if (p->suppliers[i].run.n_argv && str_eq(p->suppliers[i].name, name))
            return i;
    return -1;
}

static int32_t port_of(const struct run *r)
{
    return r->engine && engine_state(r->engine) == ENGINE_READY ? engine_port(r->engine) : 0;
}

// Its port into the endpoints of one generation; what may be chosen is for the newest run to say.
static void show(const struct run *r, struct generation *g, bool newest)
{
    const struct portfolio *p = g->portfolio;
    int32_t supplier = supplier_of(g, r->supplier.name), port = port_of(r);
    if (supplier < 0)
        return;
    atomic_store(&generation_supplier(g, supplier)->port, port);
    for (int32_t i = 0; i < p->n_pools; i++) {
        if (p->pools[i].supplier != supplier)
            continue;
        atomic_store(&generation_pool(g, i)->port, port);
        if (newest)
            core_ready(r->owner->gateway->core, g, i, port != 0);
    }
}

static void show_all(const struct run *r)
{
    struct gateway *g = r->owner->gateway;
    for (int32_t i = 0; i < g->n_generations; i++) {
        struct generation *at = g->generations[i];
        if (at->serial >= r->first && at->serial <= r->last)
            show(r, at, at == g->generation);
    }
    core_poke(g->core, loop_now_us(first_worker(g)->loop));
}

// --- a run ------------------------------------------------------------------------------------

static void sweep(void *arg)
{
    struct engines *s = arg;
    struct run **at = &s->runs;
    while (*at) {
        struct run *r = *at;
        if (!r->stopped) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        free_run(r);
    }
    if (s->ending && !s->runs)
        gateway_maybe_finish(s->gateway);
}

static void tell_ready(void *arg)
{
    struct engines *s = arg;
    s->telling = false;
    if (s->next)
        s->ready(s->gateway, s->failed);
}

static void look_ready(struct engines *s)
{
    if (!s->next || s->telling)
        return;
    for (const struct run *r = s->runs; r && !s->failed; r = r->next)
        if (r->awaited)
            return;
    s->telling = true;
    loop_post(first_worker(s->gateway)->loop, tell_ready, s);
}

static void on_engine(void *ctx, struct engine *e, enum engine_state state, struct str why)
{
    static const char *const names[] = {"starting", "ready", "failed", "stopped"};
    struct run *r = ctx;
    struct engines *s = r->owner;
    log_line(s->gateway->config->log, state == ENGINE_FAILED ? LOG_WARN : LOG_INFO, "engine",
             log_str("supplier", r->supplier.name), log_str("state", str_of(names[state])),
             log_str("why", why), log_int("pid", engine_pid(e)), log_int("port", engine_port(e)));
    if (r->awaited && state == ENGINE_FAILED && !s->failed)
        s->failed = "an engine whose command changed does not become ready; the log says why";
    if (r->awaited && state == ENGINE_READY)
        r->awaited = false;
    show_all(r);
    look_ready(s);
    if (state == ENGINE_STOPPED) {
        r->stopped = true;
        loop_post(first_worker(s->gateway)->loop, sweep, s);
    }
}

static void stop_run(struct run *r)
{
    if (r->stopping)
        return;
    r->stopping = true;
    engine_stop(r->engine, grace_us);
}

static struct str keep(struct run *r, struct str s)
{
    return arena_str(&r->arena, s);
}

// All that an engine looks at of its supplier.
static bool copy_supplier(struct run *r, const struct supplier *from)
{
    struct supplier *s = &r->supplier;
    *s = *from;
    s->name = keep(r, from->name);
    s->url = s->key = s->ca_file = s->proxy = (struct str){0};
    s->place = (struct place){0};
    s->run.health = keep(r, from->run.health);
    s->run.log = keep(r, from->run.log);
    s->run.argv = arena_new(&r->arena, struct str, from->run.n_argv);
    for (int32_t i = 0; s->run.argv && i < from->run.n_argv; i++)
        s->run.argv[i] = keep(r, from->run.argv[i]);
    return s->run.argv && s->run.argv[from->run.n_argv - 1].p;
}

static enum err start_run(struct engines *s, const struct supplier *supplier, int64_t serial,
                          struct str state, struct run **out, struct diag *diag)
{
    static const struct engine_calls calls = {.state = on_engine};
    struct run *r = take(sizeof *r);
    r->owner = s;
    r->first = r->last = serial;
    arena_init(&r->arena, RUN_BYTES_MAX);
    enum err e = copy_supplier(r, supplier)
                     ? engine_new(&r->engine, first_worker(s->gateway)->loop, &r->supplier, state,
                                  &calls, r, diag)
                     : diag_set(diag, ERR_LIMIT, "the command of an engine is too long");
    if (e) {
        arena_release(&r->arena);
        free(r);
        return e;
    }
    r->next = s->runs;
    s->runs = r;
    *out = r;
    return ERR_NONE;
}

// --- reloads ----------------------------------------------------------------------------------

static bool same_command(const struct engine_config *x, const struct engine_config *y)
{
    bool same = x->n_argv == y->n_argv && str_eq(x->health, y->health) && str_eq(x->log, y->log) &&
                x->start_us == y->start_us && x->port == y->port;
    for (int32_t i = 0; same && i < x->n_argv; i++)
        same = str_eq(x->argv[i], y->argv[i]);
    return same;
}

// The newest run of this name that still works.
static struct run *run_of(struct engines *s, struct str name)
{
    struct run *found = NULL;
    for (struct run *r = s->runs; r; r = r->next)
        if (!r->stopping && str_eq(r->supplier.name, name) && (!found || r->first > found->first))
            found = r;
    return found;
}

static enum err prepare_one(struct engines *s, const struct supplier *supplier, struct str state,
                            struct diag *diag)
{
    struct run *old = run_of(s, supplier->name), *new;
    if (old && same_command(&old->supplier.run, &supplier->run)) {
        old->last = s->next->serial;
        return ERR_NONE;
    }
    if (old && supplier->run.port && old->supplier.run.port == supplier->run.port)
        return diag_set(diag, ERR_EXISTS,
                        "suppliers." STR_FMT
                        ".run: the command changed, but its port %d is the running engine's; "
                        "leave out run.port, or restart",
                        STR_ARG(supplier->name), supplier->run.port);
    enum err e = start_run(s, supplier, s->next->serial, state, &new, diag);
    if (!e)
        new->awaited = old != NULL;
    return e;
}

enum err engines_prepare(struct engines *s, struct generation *next,
                         void (*ready)(struct gateway *g, const char *why), struct diag *diag)
{
    const struct portfolio *p = next->portfolio;
    const struct gateway_config *c = s->gateway->config;
    struct str state = c->portfolio->serve.state.n ? c->portfolio->serve.state : c->state;
    s->next = next;
    s->ready = ready;
    s->failed = NULL;
    for (int32_t i = 0; i < p->n_suppliers; i++) {
        enum err e =
            p->suppliers[i].run.n_argv ? prepare_one(s, &p->suppliers[i], state, diag) : ERR_NONE;
        if (e) {
            engines_abandon(s);
            return e;
        }
    }
    look_ready(s);
    return ERR_NONE;
}

void engines_use(struct engines *s, struct generation *next)
{
    CHECK(s->next == next);
    s->next = NULL;
    const struct portfolio *p = next->portfolio;
    for (int32_t i = 0; i < p->n_pools; i++)  // one that was an engine's may be at a URL now
        if (!p->suppliers[p->pools[i].supplier].run.n_argv)
            core_ready(s->gateway->core, next, i, true);
    for (struct run *r = s->runs; r; r = r->next)
        if (r->last == next->serial)
            show(r, next, true);
}

void engines_abandon(struct engines *s)
{
    int64_t serial = s->next ? s->next->serial : 0;
    s->next = NULL;
    for (struct run *r = s->runs; r; r = r->next) {
        if (r->last != serial)
            continue;
        if (r->first == serial)
            stop_run(r);
        else
            r->last = s->gateway->generation->serial;
    }
}

void engines_forget(struct engines *s, int64_t oldest)
{
    for (struct run *r = s->runs; r; r = r->next)
        if (r->last < oldest)
            stop_run(r);
}

void engines_each(const struct engines *s,
                  void (*fn)(void *ctx, struct str supplier, enum engine_state state), void *ctx)
{
    for (const struct run *r = s->runs; r; r = r->next) {
        bool newest = !r->stopping;
        for (const struct run *o = s->runs; o; o = o->next)
            newest &=
                o->stopping || o->first <= r->first || !str_eq(o->supplier.name, r->supplier.name);
        if (newest)
            fn(ctx, r->supplier.name, engine_state(r->engine));
    }
}

bool engines_stop(struct engines *s)
{
    s->ending = true;
    for (struct run *r = s->runs; r; r = r->next)
        stop_run(r);
    return !s->runs;
}
