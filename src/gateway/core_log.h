// core_log.h - the event log of the core: all that the router is told and what it answers, so that
// `caudal replay --decisions` can ask a fresh one the same.
//
//   core.c, under its lock -> core_log_*() -> wire/decisions.h -> a ring -> a thread of io/spool.h
//
// Each call costs an encoding and a copy, no system call; without a log a comparison. When the ring
// is full the log says later how many records it lacks; when the file has its size it ends. Serving
// goes on in either case. Forecasts, the retry budget and failing over are not in it: what they
// come to is in the next request's ask.

#ifndef CAUDAL_CORE_LOG_H
#define CAUDAL_CORE_LOG_H

#include "gateway/generation.h"
#include "io/log.h"

struct core_log;

// Appends to a new file at `path` until it holds `bytes`; `ring_bytes`, `followed` as spool_new().
//   Errors  those of spool_new()
MUST_USE enum err core_log_new(struct core_log **out, struct str path, int64_t bytes,
                               size_t ring_bytes, bool followed, struct log *log,
                               struct diag *diag);
// Ends the file, and says in `log` how many records it has. NULL: nothing happens.
void core_log_free(struct core_log *l);

// All below: under the core's lock; NULL `l` does nothing and gives 0. What was asked or told
// stands before what it woke. A number is what later records call the decision or the wait by.
void core_log_generation(struct core_log *l, const struct generation *g, int64_t now_us);
void core_log_forget(struct core_log *l, const struct generation *g);
uint64_t core_log_pick(struct core_log *l, const struct generation *g, const struct route_ask *ask,
                       const struct route_decision *d, int64_t now_us);
uint64_t core_log_shadow(struct core_log *l, const struct generation *g,
                         const struct route_ask *ask, int32_t pool, const struct route_decision *d,
                         int64_t now_us);
void core_log_first(struct core_log *l, const struct generation *g, const struct route_decision *d,
                    int64_t ttft_us, int64_t now_us);
void core_log_draw(struct core_log *l, const struct generation *g, const struct route_ask *ask,
                   const struct route_decision *d, const struct route_seen *seen, int64_t now_us);
void core_log_done(struct core_log *l, const struct generation *g, const struct route_ask *ask,
                   const struct route_decision *d, const struct route_seen *seen, int64_t now_us);
uint64_t core_log_wait(struct core_log *l, const struct generation *g, const struct route_ask *ask,
                       bool placed, int64_t now_us);
void core_log_cancel(struct core_log *l, const struct generation *g, uint64_t wait, int64_t now_us);
void core_log_look(struct core_log *l, int64_t now_us);
uint64_t core_log_woken(struct core_log *l, const struct generation *g, uint64_t wait,
                        const struct route_decision *d, int64_t now_us);
void core_log_ready(struct core_log *l, const struct generation *g, int32_t pool, bool ready);
void core_log_lever(struct core_log *l, const struct generation *g, int32_t pool,
                    const struct route_lever *lever, int64_t now_us);
void core_log_used(struct core_log *l, const struct generation *g, int32_t contract, double used,
                   int64_t now_us, int64_t wall_us);
void core_log_priced(struct core_log *l, const struct generation *g, int32_t contract,
                     const struct route_price *price, int64_t now_us);

#endif
