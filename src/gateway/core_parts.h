// core_parts.h - what core.c and core_wait.c share. Private to them.

#ifndef CAUDAL_CORE_PARTS_H
#define CAUDAL_CORE_PARTS_H

#include "gateway/core.h"

#include <pthread.h>

struct core {
    pthread_mutex_t lock;
    uint64_t secret;
    struct arena arena;
    struct live *live;
    struct core_log *log;       // NULL: none is kept
    struct forecast *forecast;  // by the numbers of names.h
    struct arena forecast_arena;
    struct retry_budget retries;
    struct wanted wanted;                                  // by the numbers of names.h
    struct generation *generations[CORE_GENERATIONS_MAX];  // in use, oldest first
    int32_t n_generations;
    int64_t adopted;  // generations so far
    // Who waits is looked at when something changes, and when time lets somebody go: by this timer.
    struct loop *loop;  // of `look`; NULL: nobody looks yet
    struct timer look;
    int64_t look_us;  // when it is to come, or is on its way to be set for; NEVER
    core_step_call stepped;
    void *stepped_ctx;
};

// core_wait.c, under the lock.
// Something was freed, and the event log has been told of what: who may go now goes.
void core_wake_locked(struct core *c, int64_t now_us);
void core_look_locked(struct core *c, int64_t now_us);  // the same when the log was told nothing
int32_t core_waiting_locked(const struct core *c);

#endif
