// samples.h - every time that was measured, so that a quantile is exact.

#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include "base/base.h"

struct samples {
    int32_t *us;
    size_t n, size;
};

void samples_add(struct samples *s, int64_t us);
int32_t samples_quantile(struct samples *s, double q);  // sorts; 0 when empty

#endif
