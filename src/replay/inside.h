// inside.h - what the files of replay.h share.
//
//   replay.c    the loop: whatever is due first: arrivals, fleet, watches, retries, events
//   flight.c    one request: try, wait, send, fail over, as gateway/exchange_try.c with sockets
//   routers.c   the router of each edition of the portfolio
//   settle.c    what it came to, into the tally

#ifndef CAUDAL_REPLAY_INSIDE_H
#define CAUDAL_REPLAY_INSIDE_H

#include "base/heap.h"
#include "replay/fleet.h"
#include "replay/prefix.h"
#include "replay/replay.h"
#include "replay/watch.h"
#include "route/failover.h"
#include "route/forecast.h"
#include "route/live.h"
#include "route/resolve.h"

enum flight_state { FLIGHT_FREE, FLIGHT_WAITING, FLIGHT_TRYING, FLIGHT_RELAYING };

struct flight {
    int64_t sent_us, first_us;
    int32_t prompt_tok, cached_tok, output_tok;  // true
    int32_t unit;     // where it is served; -1: a pool that stalls has it
    int32_t ticket;   // in the router's line; -1: not there
    int32_t edition;  // that it came in, and so its router
    enum flight_state state;
    bool has_waited;
    int32_t n_blocks;
    uint64_t *blocks;        // own copy, only with a prefix cache; NULL: none
    struct heap_node retry;  // WAITING: when to pick again
    struct route_decision d;
    struct route_ask ask;
    struct failover f;
    int32_t next_free;
};

enum { WATCH_DEADLINE, WATCH_SILENCE, WATCHES };  // of a flight

enum pool_state { POOL_WELL, POOL_DEAD, POOL_STALLS };

// Of one (pool, model), in the order of the pool's `serves`.
struct berth {
    int32_t unit;
    int32_t pool, model;
    double joules_per_us;     // of one sequence in its slot, at the wall
    int32_t seen_prompt_tok;  // the longest that its speed was measured with; INT32_MAX: not said
};

struct router {
    struct route *route;  // NULL: not yet, or no request is of it any more
    struct arena arena;   // its memory; the first one's is the run's
};

// What commitments are worth, found anew (reprice.h).
struct repricing {
    struct wanted wanted;
    struct arena arena;       // of `resolve`
    struct resolve *resolve;  // for the newest router; NULL: the policy has no use for it
    int64_t due_us;           // when it is to be looked at again; NEVER
};

struct replay {
    const struct replay_config *c;
    const struct portfolio *p;  // as the files say it
    struct arena *arena;
    struct tally *t;
    struct router *routers;   // [editions]
    int32_t edition, oldest;  // the newest, and the oldest that may be in use
    double *joules;           // [editions][n_pools], at the wall; NULL: there is one edition
    struct live *live;
    struct forecast *forecast;
    struct retry_budget retries;
    struct repricing repricing;
    struct fleet *fleet;
    struct berth *berths;    // by unit
    int32_t *first_berth;    // [n_pools + 1]
    enum pool_state *state;  // [n_pools]
    int64_t *round_trip_us;  // [n_tenants + 1][n_pools]; the last row: no tenant
    struct prefix *cache;    // by unit; NULL: none of the pools says that it keeps prompts
    struct arrivals *arrivals;
    int64_t now_us, wall_us;
    uint64_t n_asked;

    struct flight *flights;  // [n_flights]
    int32_t n_flights, flights_size, free_flight, open;
    struct heap retry;
    // Deadlines, a row for each length there is, then silence, likewise; both of flight i at
    // WATCHES i and what follows.
    struct watch watch;
    int64_t *row_us;       // [n_rows]: the length
    int32_t *deadline_of;  // [n_classes + 1]
    int32_t *silence_of;   // [n_pools]
    int32_t n_deadlines, n_rows;
    int64_t watch_due_us;  // none is due before
    int32_t next_event;
    int64_t event_due_us;  // or the next edition
    struct arrival first;  // the first to come, where there is one
    bool any;
};

// flight.c
// One comes. Everything up to now has been done.
void flight_begin(struct replay *rp, const struct arrival *a);
void flight_first(struct replay *rp, struct flight *x);
void flight_last(struct replay *rp, struct flight *x);
void flight_retry(struct replay *rp, struct flight *x);     // its time to pick again has come
void flight_deadline(struct replay *rp, struct flight *x);  // before any content
void flight_silence(struct replay *rp, struct flight *x);   // of its pool, before any content
void flight_lost(struct replay *rp, struct flight *x);      // its pool has died
void flights_wake(struct replay *rp);                       // those in the line who may go now
void flights_watch(struct replay *rp);                      // deadlines and silences that are due
bool flight_is_at(const struct replay *rp, const struct flight *x, int32_t pool);

static inline int32_t flight_id(const struct replay *rp, const struct flight *x)
{
    return (int32_t)(x - rp->flights);
}

static inline void flight_state(struct replay *rp, struct flight *x, enum flight_state state)
{
    int32_t entry = WATCHES * flight_id(rp, x);
    watch_drop(&rp->watch, entry + WATCH_SILENCE);
    if (state != FLIGHT_TRYING && state != FLIGHT_WAITING)
        watch_drop(&rp->watch, entry + WATCH_DEADLINE);
    x->state = state;
}

static inline struct route *flight_route(const struct replay *rp, const struct flight *x)
{
    return rp->routers[x->edition].route;
}

// From where the flight's user is to its pool and back.
static inline int64_t flight_trip_us(const struct replay *rp, const struct flight *x)
{
    int32_t row = x->ask.tenant >= 0 ? x->ask.tenant : rp->p->n_tenants;
    return rp->round_trip_us[(size_t)row * (size_t)rp->p->n_pools + (size_t)x->d.pool];
}

// settle.c
enum flight_end { END_ANSWERED, END_REFUSED, END_EXPIRED, END_FAILED };
// Counts it; the place is free afterwards.
void settle(struct replay *rp, struct flight *x, enum flight_end end);
void settle_unknown(struct replay *rp, const struct arrival *a);
void settle_all(struct replay *rp);  // what is known at the end of the run
void flight_free(struct replay *rp, struct flight *x);
struct berth *berth_of(const struct replay *rp, int32_t pool, int32_t model);

#endif
