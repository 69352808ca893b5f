// sweep.h - a supplier, or two in turns, measured at level after level of load, until it is
// saturated or what may be spent is used up.
//
// Two suppliers get the same prompts, each level in the order A B B A: what drifts evenly over time
// is the same for both.

#ifndef CAUDAL_BENCH_SWEEP_H
#define CAUDAL_BENCH_SWEEP_H

#include "bench/power.h"
#include "bench/row.h"

enum { SWEEP_LEVELS = 32, SWEEP_LENGTHS = 16, SWEEP_REPEATS = 100, SWEEP_ROWS = 1024 };

struct sweep_config {
    int32_t users[SWEEP_LEVELS], n_users;  // rising; of a closed loop
    double rates[SWEEP_LEVELS];            // rising, per s; of an open loop, after the closed
    int32_t n_rates;
    int32_t prompts[SWEEP_LENGTHS], n_prompts;
    int32_t outputs[SWEEP_LENGTHS], n_outputs;
    bool cold, warm;   // prefixes
    int32_t requests;  // that count, of one repeat; at least two a user and turn
    int32_t warm_up;   // answers of each user before they count
    int32_t repeats;
    int64_t time_us;  // of one repeat
    uint64_t seed;
    bool whole;                         // go on behind saturation
    bool vary;                          // lengths of answers, around the stated ones
    const volatile sig_atomic_t *stop;  // once it is set, no more is measured; NULL: never
    // After each row of a supplier; NULL: nobody wants to know.
    void (*told)(void *ctx, int32_t side, const struct row *row);
    void *ctx;
};

struct sweep {  // of one supplier
    // Given:
    struct bench_target target;
    struct purse purse;
    struct power *power;  // NULL: not measured
    double idle_w;        // of it, with nobody asking
    // Measured:
    struct row *rows;  // [n], freed by sweep_release
    int32_t n;
    struct prompt_scale scale;  // of the first, for both
    bool out_of_tokens;         // the purse ended it
};

// Blocks until it is done.
//   Errors  ERR_PROTOCOL  a supplier answers nothing; `diag` has its words
// What was measured before an error is in `sides`.
MUST_USE enum err sweep_run(struct sweep *sides, int32_t n_sides, const struct sweep_config *c,
                            struct diag *diag);
void sweep_release(struct sweep *s);

#endif
