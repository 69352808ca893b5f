// Who waits in the lines of the routers: woken when something is freed, and when time lets them go.

#include "gateway/core_log.h"
#include "gateway/core_parts.h"

#include <stdlib.h>

static const int64_t LOOK_US_MIN = 1000;  // between two looks of the timer

enum waiter_state { WAITER_WAITING, WAITER_WOKEN, WAITER_ABANDONED };

struct waiter {
    struct core *core;
    struct generation *generation;
    struct loop *loop;
    waiter_call woken;
    void *ctx;
    struct route_ask ask;
    struct route_decision decision;
    uint64_t number;  // of the wait, in the event log
    int32_t ticket;
    enum waiter_state state;
};

// Runs on the waiter's own loop.
static void deliver(void *arg)
{
    struct waiter *w = arg;
    struct core *c = w->core;
    pthread_mutex_lock(&c->lock);
    bool abandoned = w->state == WAITER_ABANDONED;
    pthread_mutex_unlock(&c->lock);
    if (!abandoned) {
        w->woken(w->ctx, &w->decision);
    } else if (w->decision.verdict == ROUTE_SEND) {
        struct route_seen seen = {.outcome = ROUTE_NO_SAY};
        core_done(c, w->generation, &w->ask, &w->decision, &seen, loop_now_us(w->loop));
    }
    generation_drop(w->generation);
    free(w);
}

static void wake_of(struct core *c, struct generation *g, int64_t now_us)
{
    struct route_woken woken;
    while (route_waiting(g->route) && route_next(g->route, &woken, now_us)) {
        struct waiter *w = (struct waiter *)(uintptr_t)woken.user;
        w->decision = woken.decision;
        w->decision.number = core_log_woken(c->log, g, w->number, &w->decision, now_us);
        w->state = WAITER_WOKEN;
        loop_post(w->loop, deliver, w);
    }
}

static void set_look(void *arg)
{
    struct core *c = arg;
    pthread_mutex_lock(&c->lock);
    int64_t due_us = c->look_us;
    pthread_mutex_unlock(&c->lock);
    if (due_us < NEVER)
        timer_set(c->loop, &c->look, due_us);
}

// Sees to it that somebody looks when time may let one of those go who wait. Only ever sooner: a
// look that comes too early asks again.
static void watch_locked(struct core *c, int64_t now_us)
{
    int64_t due_us = NEVER;
    for (int32_t i = 0; i < c->n_generations; i++)
        due_us = min_i64(due_us, route_due(c->generations[i]->route));
    due_us = due_us < NEVER ? max_i64(due_us, now_us + LOOK_US_MIN) : NEVER;
    if (!c->loop || due_us >= c->look_us)
        return;
    c->look_us = due_us;
    loop_post(c->loop, set_look, c);
}

// What one generation frees another may have waited for.
void core_wake_locked(struct core *c, int64_t now_us)
{
    for (int32_t i = 0; i < c->n_generations; i++)
        wake_of(c, c->generations[i], now_us);
    watch_locked(c, now_us);
}

int32_t core_waiting_locked(const struct core *c)
{
    int32_t n = 0;
    for (int32_t i = 0; i < c->n_generations; i++)
        n += route_waiting(c->generations[i]->route);
    return n;
}

// The same when nothing else was told.
void core_look_locked(struct core *c, int64_t now_us)
{
    if (c->log && core_waiting_locked(c))
        core_log_look(c->log, now_us);
    core_wake_locked(c, now_us);
}

static void on_look(struct timer *t)
{
    struct core *c = CONTAINER_OF(t, struct core, look);
    pthread_mutex_lock(&c->lock);
    c->look_us = NEVER;
    core_look_locked(c, loop_now_us(c->loop));
    pthread_mutex_unlock(&c->lock);
}

void core_look_on(struct core *c, struct loop *loop)
{
    pthread_mutex_lock(&c->lock);
    c->loop = loop;
    c->look_us = NEVER;
    c->look.fire = on_look;
    watch_locked(c, loop_now_us(loop));
    pthread_mutex_unlock(&c->lock);
}

struct waiter *core_wait(struct core *c, struct generation *g, const struct route_ask *ask,
                         struct loop *loop, waiter_call woken, void *ctx, int64_t now_us)
{
    struct waiter *w = take(sizeof *w);
    *w = (struct waiter){
        .core = c, .generation = g, .loop = loop, .woken = woken, .ctx = ctx, .ask = *ask};
    pthread_mutex_lock(&c->lock);
    w->ticket = route_wait(g->route, ask, (uint64_t)(uintptr_t)w, now_us);
    w->number = core_log_wait(c->log, g, ask, w->ticket >= 0, now_us);
    watch_locked(c, now_us);
    pthread_mutex_unlock(&c->lock);
    if (w->ticket < 0) {
        free(w);
        return NULL;
    }
    generation_hold(g);
    return w;
}

void core_wait_cancel(struct core *c, struct waiter *w, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    bool waiting = w->state == WAITER_WAITING;
    if (waiting) {
        core_log_cancel(c->log, w->generation, w->number, now_us);
        route_cancel(w->generation->route, w->ticket);
        core_wake_locked(c, now_us);
    } else {
        w->state = WAITER_ABANDONED;  // deliver() is on its way: it gives the slot back
        w->ask.blocks = NULL;         // the exchange's, which goes
        w->ask.n_blocks = 0;
    }
    pthread_mutex_unlock(&c->lock);
    if (waiting) {
        generation_drop(w->generation);
        free(w);
    }
}

bool core_wait_look(struct core *c, struct waiter *w, int64_t now_us)
{
    pthread_mutex_lock(&c->lock);
    core_look_locked(c, now_us);
    bool woken = w->state == WAITER_WOKEN;
    pthread_mutex_unlock(&c->lock);
    return woken;
}
