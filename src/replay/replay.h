// replay.h - a trace through the routing code that serves, in virtual time.
//
// The same skeleton as `serve`, with a fleet of computed pools where that has sockets: pick, took,
// first, done, wait and next of route.h and the rules of failover.h, called with the time of the
// trace. A run is a function of (trace, portfolio, policy, seed, events) and of nothing else.

#ifndef CAUDAL_REPLAY_H
#define CAUDAL_REPLAY_H

#include "replay/arrivals.h"
#include "replay/events.h"
#include "replay/tally.h"

struct replay_progress {
    int64_t requests;  // that have come so far
    int64_t now_us;    // virtual
};

struct replay_config {
    const struct portfolio *p;
    const char *policy;
    uint64_t seed;
    struct arrivals_config arrivals;
    struct events events;
    const double *used;  // [n_contracts], of a commitment's amount when the trace begins within its
                         // period; below 0, or NULL: as an even pace would have
    bool whole;          // the tally's account is whole: for the hindsight bound
    bool told;           // the router is told how long each answer will be
    int64_t learn_us;    // of so long before the trace's `from_us` it is learnt what was asked for
                         // and how long answers were, as by a gateway that was there; not played
    // Asked every few thousand requests; false stops the run, and the tally is partial. May be
    // NULL.
    bool (*go_on)(void *ctx, const struct replay_progress *at);
    void *ctx;
};

// Runs until the last request has ended. All of `*out` lives in `a`, and is summed.
//   Errors  those of arrivals.h and of route_new()
MUST_USE enum err replay_run(struct tally *out, struct arena *a, const struct replay_config *c,
                             struct diag *diag);

#endif
