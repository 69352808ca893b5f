// routers.h - the router of each edition of the portfolio, as generations of `serve` have theirs.
//
// A request keeps the router that it came to. What waits in an older one is woken as the gateway's
// core wakes it: every router in use, the oldest first. One that nobody uses any more is released
// when the next edition begins.

#ifndef CAUDAL_ROUTERS_H
#define CAUDAL_ROUTERS_H

#include "replay/inside.h"

// The first edition's router, from the replay's arena.
//   Errors  those of route_new()
MUST_USE enum err routers_begin(struct replay *rp, struct diag *diag);
void routers_release(struct replay *rp);
// The next edition begins now: a router is built over it and joins. Whoever waits is looked at.
void routers_turn(struct replay *rp);

// Of several routers; the two below ask the one there mostly is.
int32_t routers_waiting_all(const struct replay *rp);
int64_t routers_due_all_us(const struct replay *rp);

static inline int32_t routers_waiting(const struct replay *rp)  // in all lines
{
    return rp->oldest == rp->edition ? route_waiting(rp->routers[rp->edition].route)
                                     : routers_waiting_all(rp);
}

// When a line may have something; NEVER.
static inline int64_t routers_due_us(const struct replay *rp)
{
    return routers_waiting(rp) ? routers_due_all_us(rp) : NEVER;
}

#endif
