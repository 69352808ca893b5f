// arrivals.h - who comes when, in the words of the portfolio: from a trace or from its demand.
//
// One request at a time, in order of time, in memory that does not grow with their number (but for
// `sort`, which holds the trace). Nothing is dropped silently: what could not be read or is not
// known is counted.

#ifndef CAUDAL_ARRIVALS_H
#define CAUDAL_ARRIVALS_H

#include "portfolio/portfolio.h"
#include "wire/trace.h"

enum { ARRIVALS_MAPS = 64 };

struct arrivals_map {  // the trace's name of a model, and the portfolio's
    struct str from;
    int32_t model;
};

struct arrivals_config {
    const struct portfolio *p;
    const char *path;     // of the trace, "-": standard input; NULL: the portfolio's demand
    const char *lengths;  // `path` is ServeGen's table of rates, and this its lengths; NULL: not so
    int32_t model;        // of requests that name none; -1: the only model there is
    int32_t class;  // of all requests; -1: as the trace says, else the tenant's, else the default
    struct arrivals_map maps[ARRIVALS_MAPS];
    int32_t n_maps;
    double rate;                // 3: three times as many in the same time
    int64_t from_us, until_us;  // of the trace's time, before `rate`; until NEVER: to the end
    int32_t repeat;             // passes
    int64_t skip_bad;           // faulty lines to be passed over, in each pass
    bool sort;
    int64_t wall_us;  // since 1970, of time 0; -1: as the trace says, else ARRIVALS_WALL_US
    uint64_t seed;    // of demand and tables
    // of demand
    double cv;      // of the gaps between requests of a stream; 1: Poisson
    double spread;  // sigma of the logarithm of lengths
};

// 2026-01-05T00:00:00Z, a Monday: for traces without a date; where no pool is there yet, when the
// first one is.
#define ARRIVALS_WALL_US INT64_C(1767571200000000)

struct arrival {
    int64_t at_us;  // since the begin of the replay
    int32_t prompt_tok, output_tok;
    int32_t model;  // -1: not known, to be counted
    int32_t class, tenant;
    uint64_t user;  // one of the tenant's; 0: not said
    int32_t n_blocks;
    const uint64_t *blocks;  // borrowed until the next call
};

struct arrivals;

// Storage from the system, freed by arrivals_free(); `c` is copied, what it points to borrowed.
//   Errors  those of the trace; ERR_MISSING  the portfolio has no demand
//           ERR_INVALID  it cannot be read as often as asked; the requests name no model
MUST_USE enum err arrivals_new(struct arrivals **out, const struct arrivals_config *c,
                               struct diag *diag);
void arrivals_free(struct arrivals *a);
//   Errors  those of the trace; ERR_INVALID  times go back, too many faulty lines, nobody serves a
//           model, a class states no targets
MUST_USE enum err arrivals_next(struct arrivals *a, struct arrival *out, bool *more,
                                struct diag *diag);
int64_t arrivals_wall_us(const struct arrivals *a);

// What was met on the way.
struct arrivals_seen {
    int64_t skipped;                                           // faulty lines
    char first_fault[DIAG_BYTES];                              // the first of them
    int64_t outside;                                           // not in [from, until)
    int64_t unknown_models, unknown_classes, unknown_tenants;  // requests
};
const struct arrivals_seen *arrivals_seen(const struct arrivals *a);
// The i-th name of a model that the portfolio does not have, and how many asked for it. False: no
// more.
bool arrivals_unknown(const struct arrivals *a, int32_t i, struct str *name, int64_t *count);

#endif
