// row.h - one line of what was measured: a level of load, for one length of prompt and answer.

#ifndef CAUDAL_BENCH_ROW_H
#define CAUDAL_BENCH_ROW_H

#include "bench/energy.h"
#include "bench/figures.h"
#include "bench/load.h"
#include "bench/measured.h"

struct row {
    int32_t users;      // closed loop; 0: open
    double rate_per_s;  // open loop
    bool warm;
    int32_t prompt_asked, output_asked;         // tokens
    double prompt_tok, cached_tok, output_tok;  // as the supplier counted them, mean
    bool counted;  // it did; otherwise output_tok are pieces of the stream
    int32_t n, errors;
    char why[LOAD_WHY_BYTES];
    struct figure ttft_us, per_token_us;  // medians
    double ttft_p90_us, ttft_p99_us, per_token_p99_us, total_p50_us, total_p99_us;
    double gap_p50_us, gap_p99_us;   // between two pieces of content
    struct figure throughput_tok_s;  // decode, of all users together
    double batch;                    // answers written at once, as an answer saw it: median
    bool saturated;  // more load gives no more tokens: left out of the operating points
    bool partial;    // cut off: likewise
    struct energy energy;
    double *ttft, *per_token;  // [n] of each request; freed by row_release
};

// The figures of the repeats of one level.
void row_fill(struct row *out, const struct load_plan *plan, const struct load_result *runs,
              int32_t n_runs, struct rng *rng);
void row_release(struct row *r);

// Why no speed of the supplier's is to be learnt from it; MEASURED_KEPT: it is.
enum measured_out row_out(const struct row *r);

// Is `r` at its limit? Against the level below (NULL: there is none).
//   Closed  the tokens/s gained less than a twentieth of what the added users would have given at
//           the speed of before
//   Open    answers ended at less than nine tenths of the rate at which they were asked for
//   Both    more than one request in twenty failed
bool row_is_saturated(const struct row *r, const struct row *below, double asked_s, double ended_s);

#endif
