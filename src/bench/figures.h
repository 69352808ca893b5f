// figures.h - what a set of measured requests says: quantiles with their intervals, and how full
// the supplier was meanwhile. Pure.

#ifndef CAUDAL_BENCH_FIGURES_H
#define CAUDAL_BENCH_FIGURES_H

#include "base/rng.h"
#include "bench/caller.h"

// A figure and its 95 % interval: the percentile bootstrap over requests (Efron, 1979), which knows
// nothing of what differs from one day to the next.
struct figure {
    double value, low, high;
};

enum { BOOTSTRAP_DRAWS = 500 };

// The quantile `q` of v[0, n), linear between neighbours; sorts `v`. 0 when n is 0.
double quantile_of(double *v, int32_t n, double q);
// The median of v[0, n) with its interval; sorts `v`.
struct figure median_of(double *v, int32_t n, struct rng *rng);
// median(a) / median(b) with its interval, drawing from each by itself; sorts both.
struct figure ratio_of(double *a, int32_t n_a, double *b, int32_t n_b, struct rng *rng);
// sum(a) / sum(b) of pairs, with its interval.
struct figure share_of(const double *a, const double *b, int32_t n, struct rng *rng);

// k of n as a share with its 95 % interval (Wilson, 1927), which is right for few and for none too.
// {0, 0, 1} when n is 0.
struct figure wilson_of(int32_t k, int32_t n);

double sample_ttft_us(const struct sample *s);       // from the intended time
double sample_per_token_us(const struct sample *s);  // 0: an answer of less than two tokens
double sample_total_us(const struct sample *s);      // from the intended time to the last content

// How many tokens of prompts were read, and of answers written, between two times. A prompt is read
// evenly until the first token, an answer written evenly from then to the last.
void tokens_within(double *prompt_tok, double *output_tok, const struct sample *all, int32_t n,
                   int64_t from_us, int64_t to_us);

// For each of `which`, the mean number of answers of `all` in the batch while it was written
// itself. An answer is in the batch from one step before its first token, since that step made the
// token, to its last. O(n log n).
void batch_seen(double *out, const struct sample *which, int32_t n_which, const struct sample *all,
                int32_t n_all);

#endif
