// sweep.h - a supplier measured at level after level of load, until it is saturated or what may
// be spent is used up.

#ifndef CAUDAL_BENCH_SWEEP_H
#define CAUDAL_BENCH_SWEEP_H

#include "bench/row.h"

enum { SWEEP_LEVELS = 32, SWEEP_LENGTHS = 16, SWEEP_ROWS = 1024 };

struct sweep_config {
    struct bench_target target;
    int32_t users[SWEEP_LEVELS], n_users;  // rising; of a closed loop
    double rates[SWEEP_LEVELS];            // rising, per s; of an open loop, after the closed
    int32_t n_rates;
    int32_t prompts[SWEEP_LENGTHS], n_prompts;
    int32_t outputs[SWEEP_LENGTHS], n_outputs;
    bool cold, warm;   // prefixes
    int32_t requests;  // that count, of one repeat; at least two a user
    int32_t warm_up;   // answers of each user before they count
    int32_t repeats;
    int64_t time_us;  // of one repeat
    uint64_t seed;
    const struct prompt_scale *scale;  // of prompts; NULL: the supplier is asked
    bool whole;                        // go on behind saturation
    // After each row; NULL: nobody wants to know.
    void (*told)(void *ctx, const struct row *row);
    void *ctx;
};

struct sweep {
    struct row *rows;  // [n], freed by sweep_release
    int32_t n;
    struct prompt_scale scale;
    bool out_of_tokens;  // the purse ended it
};

// Blocks until it is done.
//   Errors  ERR_PROTOCOL  the supplier answers nothing; `diag` has its words
// What was measured before an error is in `out`.
MUST_USE enum err sweep_run(struct sweep *out, const struct sweep_config *c, struct purse *a,
                            struct diag *diag);
void sweep_release(struct sweep *s);

#endif
