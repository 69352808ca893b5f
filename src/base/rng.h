// rng.h - chance that repeats: xoshiro256** seeded by splitmix64 (Blackman and Vigna, 2018), and
// the distributions the generators need, made from + - * / and our own log and exp, so that every
// compiler gives the same bits.

#ifndef CAUDAL_RNG_H
#define CAUDAL_RNG_H

#include "base/base.h"

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);  // uniform in [0, n), n > 0, without bias
double rng_unit(struct rng *r);                 // uniform in [0, 1)
double rng_exponential(struct rng *r, double mean);
double rng_normal(struct rng *r);  // mean 0, variance 1
double rng_gamma(struct rng *r, double shape, double scale);
double rng_weibull(struct rng *r, double shape, double scale);
uint64_t mix64(uint64_t x);  // splitmix64's finaliser: a good hash of an integer

double det_exp(double x);  // the same bits from gcc and clang; relative error below 1e-14
double det_log(double x);  // x > 0

#endif
