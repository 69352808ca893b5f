#include "gateway/core_log.h"
#include "gateway/core_parts.h"
#include "io/spool.h"
#include "io/tls.h"

#include <stdlib.h>

enum { CORE_BYTES_MAX = 256 * 1024 * 1024 };

enum err core_new(struct core **out, struct diag *diag)
{
    struct core *c = take(sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    arena_init(&c->arena, CORE_BYTES_MAX);
    random_bytes(&c->secret, sizeof c->secret);
    wanted_init(&c->wanted);
    enum err e = live_new(&c->live, &c->arena, LIVE_POOLS_MAX, LIVE_PAIRS_MAX);
    if (!e)
        e = live_remember(c->live, &c->arena);
    if (e) {
        core_free(c);
        return diag_set(diag, e, "the routers' state does not fit its memory");
    }
    *out = c;
    return ERR_NONE;
}

void core_free(struct core *c)
{
    if (!c)
        return;
    core_log_free(c->log);
    pthread_mutex_destroy(&c->lock);
    arena_release(&c->forecast_arena);
    arena_release(&c->arena);
    free(c);
}

enum err core_keep_log(struct core *c, struct str path, int64_t bytes, bool followed,
                       struct log *log, struct diag *diag)
{
    return core_log_new(&c->log, path, bytes, SPOOL_RING_BYTES, followed, log, diag);
}

// Room for tenants and models that were not known before; `*grown` is NULL when there is enough.
static enum err forecast_room(const struct core *c, const struct names *names, struct arena *arena,
                              struct forecast **grown)
{
    int32_t tenants = names_n(names, NAMES_TENANT), models = names_n(names, NAMES_MODEL);
    *grown = NULL;
    if (c->forecast && forecast_holds(c->forecast, tenants, models))
        return ERR_NONE;
    return forecast_new(grown, arena, tenants, models);
}

// What was learnt until now goes on in `grown`; its arena is then the old one's, to be released.
static void grow_forecast_locked(struct core *c, struct forecast *grown, struct arena *arena)
{
    if (c->forecast)
        forecast_move(grown, c->forecast);
    struct arena old = c->forecast_arena;
    c->forecast_arena = *arena;
    c->forecast = grown;
    *arena = old;
}

static enum err bind_locked(struct core *c, struct generation *g, struct str policy,
                            struct route **out, struct diag *diag)
{
    if (c->n_generations == CORE_GENERATIONS_MAX)
        return diag_set(diag, ERR_LIMIT, "requests of %d earlier portfolios are still in progress",
                        CORE_GENERATIONS_MAX);
    return route_bind(out, &g->arena, g->portfolio, c->live, policy.p, diag);
}

static void join_locked(struct core *c, struct generation *g)
{
    route_join(g->route);
    c->generations[c->n_generations++] = g;
    g->adopted = ++c->adopted;
    int64_t now_us = clock_now_us();
    core_log_generation(c->log, g, now_us);
    retry_budget_init(&c->retries, g->portfolio->serve.retry_budget);
    core_look_locked(c, now_us);  // its limits are everybody's now
}

// Whoever serves waits for the lock: a router over a thousand pools takes a millisecond to build,
// so that is done beside them.
static enum err adopt(struct core *c, struct generation *g, struct forecast *grown,
                      struct arena *arena, struct diag *diag)
{
    struct str policy = arena_str(&g->arena, g->portfolio->serve.policy);
    struct route *r;
    pthread_mutex_lock(&c->lock);
    enum err e = bind_locked(c, g, policy, &r, diag);
    pthread_mutex_unlock(&c->lock);
    if (e)
        return e;
    e = route_build(r, &g->arena, diag);
    pthread_mutex_lock(&c->lock);
    if (e) {
        route_leave(r);
    } else {
        g->route = r;
        if (grown)
            grow_forecast_locked(c, grown, arena);
        join_locked(c, g);
    }
    pthread_mutex_unlock(&c->lock);
    return e;
}

enum err core_adopt(struct core *c, struct generation *g, struct names *names, struct diag *diag)
{
    struct forecast *grown;
    struct arena arena;
    arena_init(&arena, CORE_BYTES_MAX);
    enum err e = names_map(names, g->portfolio, &g->arena, &g->names);
    if (!e)
        e = forecast_room(c, names, &arena, &grown);
    e = e ? diag_set(diag, e, "the portfolio is too large") : adopt(c, g, grown, &arena, diag);
    arena_release(&arena);
    return e;
}

void core_forget(struct core *c, struct generation *g)
{
    pthread_mutex_lock(&c->lock);
    int32_t n = 0;
    bool newest = c->n_generations && c->generations[c->n_generations - 1] == g;
    for (int32_t i = 0; i < c->n_generations; i++)
        if (c->generations[i] != g)
            c->generations[n++] = c->generations[i];
    c->n_generations = n;
    route_leave(g->route);
    if (newest && n)  // it was refused after all
        route_lead(c->generations[n - 1]->route);
    core_log_forget(c->log, g);
    pthread_mutex_unlock(&c->lock);
}

uint64_t core_secret(const struct core *c)
{
    return c->secret;
}

void core_estimate(struct core *c, const struct generation *g, struct route_ask *ask,
                   int64_t prompt_bytes)
{
    int32_t tenant = names_of(&g->names, NAMES_TENANT, ask->tenant);
    int32_t model = names_of(&g->names, NAMES_MODEL, ask->model);
    pthread_mutex_lock(&c->lock);
    ask->prompt_tok = forecast_prompt_tok(c->forecast, model, prompt_bytes);
    const struct forecast_who who = {tenant, model, ask->user, ask->prompt_tok};
    ask->output_tok = forecast_output_tok(c->forecast, &who, ask->output_tok_max);
    pthread_mutex_unlock(&c->lock);
}

struct told_step {
    struct core *core;
    struct share_step step;
    size_t n;
    char pool[];  // the generation that it belongs to may be gone when it is told
};

static void tell_step(void *arg)
{
    struct told_step *t = arg;
    t->core->stepped(t->core->stepped_ctx, (struct str){t->pool, t->n}, &t->step);
    free(t);
}

// After whatever may have been a step.
static void tell_steps_locked(struct core *c, struct generation *g)
{
    struct route_step s;
    while (route_stepped(g->route, &s)) {
        struct str name = g->portfolio->pools[s.pool].name;
        if (!c->stepped)
            continue;
        struct told_step *t = take(sizeof *t + name.n);
        *t = (struct told_step){.core = c, .step = s.step, .n = name.n};
        memcpy(t->pool, name.p, name.n);
        loop_post(c->loop, tell_step, t);
    }
}

struct route_decision core_pick(struct core *c, struct generation *g, const struct route_ask *ask,
                                int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    struct route_decision d = route_pick(g->route, ask, now_us);
    if (d.verdict == ROUTE_SEND)
        route_took(g->route, ask, &d, now_us);
    d.number = core_log_pick(c->log, g, ask, &d, now_us);
    tell_steps_locked(c, g);
    pthread_mutex_unlock(&c->lock);
    return d;
}

struct route_decision core_shadow(struct core *c, struct generation *g, const struct route_ask *ask,
                                  int32_t shadow, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    struct route_decision d = route_shadow(g->route, ask, shadow, now_us);
    if (d.verdict == ROUTE_SEND)
        route_took(g->route, ask, &d, now_us);
    d.number = core_log_shadow(c->log, g, ask, shadow, &d, now_us);
    pthread_mutex_unlock(&c->lock);
    return d;
}

void core_tell_steps(struct core *c, core_step_call call, void *ctx)
{
    CHECK(c->loop);
    c->stepped_ctx = ctx;
    c->stepped = call;
}

void core_first(struct core *c, struct generation *g, const struct route_decision *d,
                int64_t ttft_us, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    core_log_first(c->log, g, d, ttft_us, now_us);
    route_first(g->route, d, ttft_us, now_us);
    core_wake_locked(c, now_us);  // a breaker may have closed
    pthread_mutex_unlock(&c->lock);
}

void core_done(struct core *c, struct generation *g, const struct route_ask *ask,
               const struct route_decision *d, const struct route_seen *seen, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    core_log_done(c->log, g, ask, d, seen, now_us);
    route_done(g->route, ask, d, seen, now_us);
    core_wake_locked(c, now_us);
    tell_steps_locked(c, g);
    pthread_mutex_unlock(&c->lock);
}

void core_poke(struct core *c, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    core_look_locked(c, now_us);
    pthread_mutex_unlock(&c->lock);
}

void core_learn(struct core *c, const struct generation *g, const struct route_ask *ask,
                int64_t prompt_bytes, int32_t prompt_tok, int32_t output_tok)
{
    int32_t tenant = names_of(&g->names, NAMES_TENANT, ask->tenant);
    int32_t model = names_of(&g->names, NAMES_MODEL, ask->model);
    pthread_mutex_lock(&c->lock);
    const struct forecast_who who = {tenant, model, ask->user, prompt_tok};
    forecast_learn(c->forecast, &who, prompt_bytes, prompt_tok, output_tok);
    const struct wanted_one one = {.tenant = tenant,
                                   .prompt_tok = prompt_tok,
                                   .expected_tok = ask->output_tok,
                                   .output_tok = output_tok};
    wanted_learn(&c->wanted, model, names_of(&g->names, NAMES_CLASS, ask->class), &one, ask->draw);
    pthread_mutex_unlock(&c->lock);
}

void core_learn_answer(struct core *c, const struct generation *g, int32_t model, int64_t bytes,
                       int32_t tok)
{
    pthread_mutex_lock(&c->lock);
    forecast_learn_answer(c->forecast, names_of(&g->names, NAMES_MODEL, model), bytes, tok);
    pthread_mutex_unlock(&c->lock);
}

void core_request(struct core *c, const struct generation *g, const struct route_ask *ask)
{
    int32_t model = names_of(&g->names, NAMES_MODEL, ask->model);
    int32_t class = names_of(&g->names, NAMES_CLASS, ask->class);
    pthread_mutex_lock(&c->lock);
    retry_budget_request(&c->retries);
    if (model >= 0)
        wanted_came(&c->wanted, model, class, ask->wall_us);
    pthread_mutex_unlock(&c->lock);
}

bool core_resolve_see(struct core *c, struct generation *g, struct resolve *x, int64_t now_us,
                      int64_t wall_us)
{
    pthread_mutex_lock(&c->lock);
    wanted_see(&c->wanted, wall_us);
    bool due = resolve_is_due(x, g->route, &c->wanted, now_us, wall_us);
    if (due)
        resolve_see(x, g->route, &c->wanted, now_us, wall_us);
    pthread_mutex_unlock(&c->lock);
    return due;
}

void core_resolve_tell(struct core *c, struct generation *g, const struct resolve *x,
                       int64_t now_us)
{
    struct resolve_found found;
    pthread_mutex_lock(&c->lock);
    for (int32_t i = 0; resolve_price(x, i, &found); i++) {
        core_log_priced(c->log, g, found.contract, &found.price, now_us);
        route_set_price(g->route, found.contract, &found.price, now_us);
    }
    pthread_mutex_unlock(&c->lock);
}

struct failover_decision core_failover(struct core *c, struct failover *f, struct route_ask *ask,
                                       enum fault fault, int64_t retry_after_us, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    struct failover_decision d = failover_next(f, ask, fault, retry_after_us, &c->retries, now_us);
    pthread_mutex_unlock(&c->lock);
    return d;
}

bool core_may_leave(struct core *c, struct generation *g, const struct failover *f,
                    const struct route_ask *ask, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    bool may = failover_may_leave(f, &c->retries, g->route, ask, now_us);
    pthread_mutex_unlock(&c->lock);
    return may;
}

void core_set_lever(struct core *c, struct str pool, const struct route_lever *lever,
                    int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    for (int32_t i = 0; i < c->n_generations; i++) {
        const struct portfolio *p = c->generations[i]->portfolio;
        int32_t at;
        if (!table_get(p->pool_names, pool, &at))
            continue;
        core_log_lever(c->log, c->generations[i], at, lever, now_us);
        route_set_lever(c->generations[i]->route, at, lever);
    }
    core_look_locked(c, now_us);
    pthread_mutex_unlock(&c->lock);
}

void core_ready(struct core *c, struct generation *g, int32_t pool, bool ready)
{
    pthread_mutex_lock(&c->lock);
    core_log_ready(c->log, g, pool, ready);
    route_set_ready(g->route, pool, ready);
    pthread_mutex_unlock(&c->lock);
}

struct route_pool_view core_view(struct core *c, struct generation *g, int32_t pool, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    struct route_pool_view v = route_view(g->route, pool, now_us);
    pthread_mutex_unlock(&c->lock);
    return v;
}

int32_t core_explain(struct core *c, struct generation *g, const struct route_ask *ask,
                     int64_t now_us, struct route_decision *d, struct route_candidate *out,
                     int32_t max)
{
    pthread_mutex_lock(&c->lock);
    *d = route_pick(g->route, ask, now_us);
    int32_t n = route_explain(g->route, ask, now_us, out, max);
    pthread_mutex_unlock(&c->lock);
    return n;
}

double core_answer_bytes_per_tok(struct core *c, const struct generation *g, int32_t model)
{
    pthread_mutex_lock(&c->lock);
    double v = forecast_answer_bytes_per_tok(c->forecast, names_of(&g->names, NAMES_MODEL, model));
    pthread_mutex_unlock(&c->lock);
    return v;
}

int32_t core_waiting(struct core *c)
{
    pthread_mutex_lock(&c->lock);
    int32_t n = core_waiting_locked(c);
    pthread_mutex_unlock(&c->lock);
    return n;
}

struct route_drawn core_draw(struct core *c, struct generation *g, const struct route_ask *ask,
                             const struct route_decision *d, const struct route_seen *seen,
                             int64_t now_us)
{
    if (g->portfolio->pools[d->pool].contract < 0)
        return (struct route_drawn){.contract = -1, .marginal_nusd = seen->list_nusd};
    pthread_mutex_lock(&c->lock);
    core_log_draw(c->log, g, ask, d, seen, now_us);
    struct route_drawn drawn = route_draw(g->route, ask, d, seen, now_us);
    pthread_mutex_unlock(&c->lock);
    return drawn;
}

struct route_commitment core_commitment(struct core *c, struct generation *g, int32_t contract)
{
    pthread_mutex_lock(&c->lock);
    struct route_commitment v = route_commitment(g->route, contract);
    pthread_mutex_unlock(&c->lock);
    return v;
}

void core_commitment_used(struct core *c, struct generation *g, int32_t contract, double used,
                          int64_t now_us, int64_t wall_us)
{
    pthread_mutex_lock(&c->lock);
    core_log_used(c->log, g, contract, used, now_us, wall_us);
    route_commitment_used(g->route, contract, used, now_us, wall_us);
    pthread_mutex_unlock(&c->lock);
}
