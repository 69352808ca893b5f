#include "replay/routers.h"

#include "replay/reprice.h"

#include <stdlib.h>

// The first one, of the same size, has fitted into a run's arena.
static const size_t ROUTER_BYTES_MAX = (size_t)1 << 32;

enum err routers_begin(struct replay *rp, struct diag *diag)
{
    rp->routers = arena_new(rp->arena, struct router, rp->t->editions.n);
    if (!rp->routers)
        return ERR_LIMIT;
    const struct portfolio *p = rp->t->editions.all[0].p;
    return route_new(&rp->routers[0].route, rp->arena, p, rp->live, rp->c->policy, diag);
}

static void leave(struct router *r)
{
    if (!r->route)
        return;
    route_leave(r->route);
    arena_release(&r->arena);
    r->route = NULL;
}

void routers_release(struct replay *rp)
{
    for (int32_t i = rp->oldest; rp->routers && i <= rp->edition; i++)
        leave(&rp->routers[i]);
}

// Those before the newest that no request is of.
static void leave_unused(struct replay *rp)
{
    int32_t n = rp->edition - rp->oldest;
    bool *used = take_n(sizeof *used, (size_t)n + 1);
    for (int32_t i = 0; i < rp->n_flights; i++)
        if (rp->flights[i].state != FLIGHT_FREE)
            used[rp->flights[i].edition - rp->oldest] = true;
    for (int32_t i = 0; i < n; i++)
        if (!used[i])
            leave(&rp->routers[rp->oldest + i]);
    free(used);
    while (rp->oldest < rp->edition && !rp->routers[rp->oldest].route)
        rp->oldest++;
}

void routers_turn(struct replay *rp)
{
    struct diag diag = {0};
    const struct portfolio *p = rp->t->editions.all[++rp->edition].p;
    struct router *next = &rp->routers[rp->edition];
    arena_init(&next->arena, ROUTER_BYTES_MAX);
    // Bound, built and joined, as the gateway's core adopts a generation.
    enum err e = route_bind(&next->route, &next->arena, p, rp->live, rp->c->policy, &diag);
    if (!e)
        e = route_build(next->route, &next->arena, &diag);
    CHECK(!e);
    route_join(next->route);
    retry_budget_init(&rp->retries, p->serve.retry_budget);
    leave_unused(rp);
    reprice_turn(rp);
    flights_wake(rp);
}

int32_t routers_waiting_all(const struct replay *rp)
{
    int32_t n = 0;
    for (int32_t i = rp->oldest; i <= rp->edition; i++)
        n += rp->routers[i].route ? route_waiting(rp->routers[i].route) : 0;
    return n;
}

int64_t routers_due_all_us(const struct replay *rp)
{
    int64_t us = NEVER;
    for (int32_t i = rp->oldest; i <= rp->edition; i++) {
        struct route *r = rp->routers[i].route;
        if (r && route_waiting(r))
            us = min_i64(us, max_i64(route_due(r), rp->now_us));
    }
    return us;
}
