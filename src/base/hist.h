// hist.h - a distribution in fixed memory: log-linear buckets with 32 steps to each power of two.
//
// Zeroed is empty. A quantile is off by at most 1/64 of its value. Values are non-negative integers
// of any unit.

#ifndef CAUDAL_HIST_H
#define CAUDAL_HIST_H

#include "base/base.h"

enum { HIST_STEPS = 32, HIST_BUCKETS = HIST_STEPS * 60 };

struct hist {
    uint64_t count;
    int64_t sum, min, max;
    uint32_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, int64_t value);  // below 0 counts as 0
void hist_merge(struct hist *h, const struct hist *other);
int64_t hist_quantile(const struct hist *h, double q);  // 0 when empty; q in [0, 1]
double hist_mean(const struct hist *h);                 // 0 when empty

#endif
