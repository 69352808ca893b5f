// events.h - what befalls the fleet while a trace is replayed: a small file, one event a line.
//
//   # AT      POOL     WHAT
//   10 min    gpu-eu   dies        all it holds is lost, nobody can connect
//   40 min    gpu-eu   heals       as bought: alive, at its speed, with all its slots
//   1 h       wafer    slow 2.5    prefills and steps take so many times as long
//   2 h       wafer    derate 50%  so much of its slots may be used
//   3 h       wafer    stalls      takes requests and says nothing until it heals

#ifndef CAUDAL_EVENTS_H
#define CAUDAL_EVENTS_H

#include "portfolio/portfolio.h"

enum event_kind { EVENT_DIES, EVENT_HEALS, EVENT_SLOW, EVENT_DERATE, EVENT_STALLS };

struct event {
    int64_t at_us;  // since the begin of the replay
    enum event_kind kind;
    int32_t pool;
    double value;  // EVENT_SLOW: times; EVENT_DERATE: share
};

struct events {
    struct event *all;  // by time, equal times in the order of the file
    int32_t n;
};

enum { EVENTS_MAX = 10000 };

// `name` is what messages call `text`. Memory from `a`.
//   Errors  ERR_INVALID  a line is not right; `diag`: FILE:LINE: what
//           ERR_LIMIT    there are more than EVENTS_MAX
MUST_USE enum err events_read(struct events *out, struct arena *a, const struct portfolio *p,
                              const char *name, struct str text, struct diag *diag);

#endif
