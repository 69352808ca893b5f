// power.h - watts beside a measurement: read by a thread of its own, and their sum over any while.
//
// A reader gives watts, or joules that only ever grow. Of watts the mean of two neighbours holds in
// between. All of what the meter sees counts, whoever uses it.

#ifndef CAUDAL_BENCH_POWER_H
#define CAUDAL_BENCH_POWER_H

#include "base/err.h"

struct power;

struct power_config {
    enum err (*read)(void *ctx, double *value, struct diag *diag);  // from any one thread at a time
    void *ctx;
    bool counts_joules;
    int64_t every_us;
};

// Reads a first time, and from then on in its own thread.
//   Errors  those of the first reading; ERR_SYSTEM: there is no thread
MUST_USE enum err power_start(struct power **out, const struct power_config *c, struct diag *diag);
void power_stop(struct power *p);  // and free it; NULL is fine

// One more reading, now. Returns when: the moment to ask power_joules() about.
int64_t power_mark(struct power *p);
// Between two times of clock_now_us(); before the first and behind the last reading its watts hold.
double power_joules(struct power *p, int64_t from_us, int64_t to_us);
int32_t power_readings(struct power *p);
int32_t power_failures(struct power *p);  // readings that gave nothing

#endif
