// servegen.h - demand as ServeGen publishes it: who asks how often, how unevenly, and how long.
//
// Two tables, CSV, plain or packed by gzip. Rates: client, window_s, rate_rps, dist (Gamma or
// Weibull) and shape of the gaps, for each client and window of ten minutes; where a client has no
// window it asks nothing. Lengths: client, window_s, field (input_tokens, output_tokens), and
// quantiles p1 to p100, in windows of six hours. Pure: bytes come through a function of the caller.

#ifndef CAUDAL_SERVEGEN_H
#define CAUDAL_SERVEGEN_H

#include "wire/trace.h"

enum { SERVEGEN_QUANTILES = 10, SERVEGEN_CLIENTS_MAX = 100000 };
#define SERVEGEN_WINDOW_US S(600)
extern const double servegen_shares[SERVEGEN_QUANTILES];  // 0.01, 0.05, ... 1

struct servegen_window {
    int32_t client;
    int64_t from_us;
    double rate_per_s, shape;
    bool weibull;  // else Gamma
};

struct servegen_lengths {
    int32_t client;
    int64_t from_us;
    double prompt[SERVEGEN_QUANTILES], output[SERVEGEN_QUANTILES];
};

struct servegen {
    struct servegen_window *windows;  // [n_windows], by client, then time
    int32_t n_windows;
    struct servegen_lengths *lengths;  // [n_lengths], by client, then time
    int32_t n_lengths;
};

// `name` is what messages call the bytes of `source`. Memory from `a`.
//   Errors  those of `source`; ERR_INVALID  a line is not right, times or clients go back, a column
//           is missing, nothing is there; `diag`: FILE:LINE: what
//           ERR_LIMIT  `a` is full
MUST_USE enum err servegen_rates(struct servegen *out, struct arena *a, struct str name,
                                 const struct trace_source *source, struct diag *diag);
MUST_USE enum err servegen_lengths(struct servegen *out, struct arena *a, struct str name,
                                   const struct trace_source *source, struct diag *diag);

#endif
