// fit.h - curves through measurements of one machine: time per token, and time to the first token,
// over how full it was and how long prompt and answer were. Pure.
//
// A curve is a sum of terms of physics with weights that are not negative, nearest to the samples
// in relative error; one far off pulls no more than its distance, not by its square. Its corrected
// form also follows what the samples next to a place say over the sum (a Gaussian process on the
// logarithm of their ratio; Rasmussen and Williams, 2006, chapter 2), and falls back to the sum far
// from all of them.

#ifndef CAUDAL_FIT_H
#define CAUDAL_FIT_H

#include "portfolio/service.h"

enum { FIT_TERMS = 5, FIT_SAMPLES_MAX = 512 };

struct fit_sample {
    double batch;           // sequences at once
    double prompt, output;  // tokens
    double us;              // the time that is fitted, above 0
    double known_us;  // of it, what is known already: the sum is fitted to the rest; 0 if corrected
};

enum fit_kind {
    FIT_STEP,  // W + H n + K n c + M (n - 1) prompt/output + S sqrt(n), as in service.h
    FIT_TTFT,  // P0 + P1 p + P2 p^2 + Q m p + R m, m = n - 1
};

struct fit;  // opaque

// From samples[0, n), the first FIT_SAMPLES_MAX of which count for the correction. `corrected`:
// with what the neighbours say; O(n^3), else O(n). NULL: there is no sample. The caller frees it.
struct fit *fit_new(enum fit_kind kind, const struct fit_sample *samples, int32_t n,
                    bool corrected);
void fit_free(struct fit *f);
double fit_us(const struct fit *f, double batch, double prompt, double output);
double fit_weight(const struct fit *f, int32_t term);  // in us, in the order above

// Parameters of service.h from times per token and, where there are any, times to the first token
// of one replica; fills the times of `out` and `prefill_split` only. False: no time per token is
// there.
bool fit_service(struct service *out, const struct fit_sample *steps, int32_t n_steps,
                 const struct fit_sample *firsts, int32_t n_firsts);

#endif
