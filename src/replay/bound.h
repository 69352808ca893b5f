// bound.h - the hindsight bound: what answering a trace must cost at the very least, whoever
// routes it and whatever he knows.
//
// A linear program over coarse groups of arrivals finds prices for what is scarce: each pool's time
// in each span of time, and each commitment. The bound itself is not the program's value, which
// groups make coarse, but what those prices promise, request by request (weak duality):
//
//   bound = sum over requests of  least(unserved, least over pools of  cost + prices x use)
//           - prices x what there is of each
//
// For any prices that are not negative this is at most what any routing costs, since whatever a
// routing uses of a thing is at most what there is of it. So neither coarse groups nor a solver
// that stops early can make it untrue; they only make it lower. docs/simulation.md says for each
// term why what is reckoned is at most what is paid.
//
//   pass 1: arrivals -> groups (groups.h) -> the program (bound_program.c) -> prices
//   then: prices of commitments, found anew on a sample (bound_tune.c)
//   pass 2: arrivals -> each at its least (bound.c) -> who is where then, and when: what the
//           prices of the program say to routing (bound_prices.c, portfolio/prices.h)

#ifndef CAUDAL_BOUND_H
#define CAUDAL_BOUND_H

#include "replay/replay.h"

struct bound_config {
    const struct portfolio *p;
    struct arrivals_config arrivals;
    struct events events;
    const double *used;        // as in replay.h
    int64_t wall_us, span_us;  // of the trace: time 0, and the last arrival (tally.h)
    int32_t buckets_max;       // spans of time; 0: BOUND_BUCKETS
    const char *write_path;    // the program, as MPS; NULL: not written
    // What bound.prices says to routing is wanted, and so the answers are as long as they would
    // have been forecast when they came, as routing knows them no better. The rest is no bound
    // then.
    bool prices;
    bool (*go_on)(void *ctx, const struct replay_progress *at);  // as in replay.h
    void *ctx;
};

enum { BOUND_BUCKETS = 96 };

struct bound {
    double nusd;            // no routing costs less
    double program_nusd;    // the program's value: near it when the groups are fine enough
    double program_scaled;  // and as the program has it
    int64_t requests;
    int64_t bucket_us;
    int32_t groups, rows, columns, steps;
    const char *status;  // of the program; prices are 0 when it is not "optimal"
    const struct planned_prices
        *prices;   // what the program's prices say to routing; NULL: not wanted
    bool partial;  // `go_on` stopped it: no bound
};

// Reads the trace twice. All memory from `a`, or returned.
//   Errors  those of arrivals.h; ERR_LIMIT  `a` is full
MUST_USE enum err bound_run(struct bound *out, struct arena *a, const struct bound_config *c,
                            struct diag *diag);

#endif
