// arrivals_parts.h - what arrivals.c and arrivals_names.c share. Private to them.

#ifndef CAUDAL_ARRIVALS_PARTS_H
#define CAUDAL_ARRIVALS_PARTS_H

#include "io/stream.h"
#include "replay/arrivals.h"
#include "replay/demand.h"
#include "replay/renewal.h"

enum { UNSEEN = -3, UNKNOWN = -2 };  // what a name of the trace may stand for, besides an index

struct held {  // one request of a trace that is sorted
    struct trace_item item;
    int64_t line;
    size_t block;  // its first in `blocks`
};

struct arrivals {
    struct arrivals_config c;
    struct stream_in in;
    struct trace *trace;
    bool repeats;
    int32_t pass;
    int64_t first_us, last_us;  // of this pass, in the trace's time; first -1: none yet
    int64_t in_pass, lines;
    int64_t offset_us;  // of this pass
    int64_t at_us;      // of the last arrival
    int64_t skipped;    // in this pass
    int64_t wall_us, undated_us;
    int32_t only_model;  // the one that the portfolio serves; -1: there are several
    int32_t name[TRACE_KINDS][TRACE_NAMES_MAX];
    int64_t unknown[TRACE_NAMES_MAX];
    bool *served, *class_looked, serves_any;
    struct arrivals_seen seen;
    struct demand_source demand;
    struct renewal renewal;
    struct held *held;  // sorted
    uint64_t *blocks;
    size_t n_held, next_held, n_blocks;
};

// arrivals_names.c
// ERR_INVALID: nobody serves it.
MUST_USE enum err arrivals_check_model(struct arrivals *a, int32_t model, struct diag *diag);
// ERR_INVALID: it states no target, when it is asked about first.
MUST_USE enum err arrivals_check_class(struct arrivals *a, int32_t class, struct diag *diag);
// Fills in the model (-1: counted as unknown), the tenant and the class of `out`.
MUST_USE enum err arrivals_find_names(struct arrivals *a, const struct trace_item *item,
                                      struct arrival *out, struct diag *diag);

#endif
