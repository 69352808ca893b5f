// stopwatch.h - how long a short call takes: enough of them for 20 ms, eleven times, the median.

#ifndef BENCH_STOPWATCH_H
#define BENCH_STOPWATCH_H

#include "net.h"

#include <stdlib.h>

static inline int stopwatch_by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Nanoseconds of one `call(ctx, i)`, i counting up.
static inline double stopwatch_ns(void (*call)(void *ctx, int64_t i), void *ctx)
{
    enum { TIMES = 11 };
    double ns[TIMES];
    int64_t n = 1, took = 0;
    for (; took < MS(20); n *= 2) {
        int64_t from = net_now_us();
        for (int64_t i = 0; i < n; i++)
            call(ctx, i);
        took = net_now_us() - from;
    }
    n /= 2;
    for (int t = 0; t < TIMES; t++) {
        int64_t from = net_now_us();
        for (int64_t i = 0; i < n; i++)
            call(ctx, i);
        ns[t] = 1e3 * (double)(net_now_us() - from) / (double)n;
    }
    qsort(ns, TIMES, sizeof *ns, stopwatch_by_value);
    return ns[TIMES / 2];
}

#endif
