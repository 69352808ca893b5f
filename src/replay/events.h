// events.h - what befalls the fleet while a trace is replayed, and what its owner then says
// otherwise: a small file, one event a line.
//
//   # AT      WHO         WHAT
//   10 min    gpu-eu      dies                 all it holds is lost, nobody can connect
//   40 min    gpu-eu      heals                as bought: alive, at its speed, with all its slots
//   1 h       wafer       slow 2.5             prefills and steps take so many times as long
//   2 h       wafer       derate 50%           so much of its slots may be used
//   3 h       wafer       stalls               takes requests and says nothing until it heals
//   4 h       us-east     maintenance 2 h      nothing new goes to the pool, or to any of the site,
//                                              for so long; what is there finishes
//   0 s       wafer-2026  phase 2 slips 90 d   its second phase begins so much later (advances:
//                                              sooner; begins 2027-03-01: then)
//   6 h       gpu-eu      price llama x1.2     so many times the portfolio's list price, or
//                                              input 0.3 USD/Mtok output 0.9 USD/Mtok; * is all it
//                                              serves; of a contract: at all its pools
//   6 h       wafer-2026  beyond x1.5          likewise what more than its commitment costs
//   6 h       us-east     energy 90 USD/MWh    likewise the site's, x2 too
//   6 h       us-east     carbon 300 g/kWh     likewise
//
// The first five are the world's, and a router finds out. The others are known: maintenance from
// the start, the rest from AT on, when they make a new portfolio (editions.h).

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

enum change_kind {
    CHANGE_MAINTENANCE,
    CHANGE_PHASE_BY,
    CHANGE_PHASE_AT,
    CHANGE_PRICE,
    CHANGE_BEYOND,
    CHANGE_ENERGY,
    CHANGE_CARBON
};

struct change {  // of the portfolio
    int64_t at_us;
    enum change_kind kind;
    int32_t pool, site, contract;  // whose; -1: not one of these
    int32_t phase;                 // CHANGE_PHASE_*: index into the contract's
    int64_t us;     // CHANGE_MAINTENANCE: how long; CHANGE_PHASE_BY: later; CHANGE_PHASE_AT: when,
                    // since 1970
    int32_t model;  // CHANGE_PRICE; -1: all that it serves
    bool times;     // `value` is a factor of what the portfolio says
    double value;   // in the portfolio's unit, of CHANGE_PRICE only with `times`
    struct token_price price;  // CHANGE_PRICE without `times`; -1: stays
};

struct events {  // each by time, equal times in the order of the file
    struct event *all;
    struct change *changes;
    int32_t n, n_changes;
};

enum { EVENTS_MAX = 10000 };

// `name` is what messages call `text`. Memory from `a`.
//   Errors  ERR_INVALID  a line is not right; `diag`: FILE:LINE: what
//           ERR_LIMIT    there are more than EVENTS_MAX
MUST_USE enum err events_read(struct events *out, struct arena *a, const struct portfolio *p,
                              const char *name, struct str text, struct diag *diag);

#endif
