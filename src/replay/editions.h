// editions.h - the portfolio as it stands from each moment of a replay on.
//
// What the file of events says of phases, prices and energy makes a new portfolio, as a reload does
// in `serve`: all indices stay what they are. A request belongs to the edition that it came in: its
// prices are those, and its router is the one that was made over it (routers.h). Maintenance is
// announced, and so in all of them.

#ifndef CAUDAL_EDITIONS_H
#define CAUDAL_EDITIONS_H

#include "replay/events.h"

struct edition {
    int64_t from_us;  // since the begin of the replay; of the first: INT64_MIN
    const struct portfolio *p;
};

struct editions {
    struct edition *all;  // by from_us
    int32_t n;            // at least 1
    int64_t wall_us;      // since 1970, of time 0
};

// All from `a`; `p` is borrowed, and is the only one where nothing changes it.
//   Errors  ERR_LIMIT  `a` is full
MUST_USE enum err editions_new(struct editions *out, struct arena *a, const struct portfolio *p,
                               const struct events *events, int64_t wall_us);

int32_t edition_at(const struct editions *e, int64_t at_us);
// When the edition ends, at most `until_us`.
int64_t edition_until_us(const struct editions *e, int32_t i, int64_t until_us);
// A phase of its contract gives `pool` capacity at `at_us`, as is known by then.
bool editions_active(const struct editions *e, int32_t pool, int64_t at_us);
// The first time in [from, last] at which `pool` takes requests; NEVER: none.
int64_t editions_first_there(const struct editions *e, int32_t pool, int64_t from_us,
                             int64_t last_us);
// Microseconds of [from, until) in which `pool` is active.
int64_t editions_active_us(const struct editions *e, int32_t pool, int64_t from_us,
                           int64_t until_us);

#endif
