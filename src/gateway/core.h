// core.h - the one routing core that all loops of the process share (design section 5): a lock, a
// sequence number, the forecasts, the retry budget, and the waking of those that wait.
//
// Every call is short and takes the lock once. Time comes from the calling loop.

#ifndef CAUDAL_CORE_H
#define CAUDAL_CORE_H

#include "gateway/generation.h"
#include "io/log.h"
#include "io/loop.h"
#include "route/failover.h"
#include "route/forecast.h"
#include "route/resolve.h"

struct core;
enum { CORE_GENERATIONS_MAX = 64 };

MUST_USE enum err core_new(struct core **out, struct diag *diag);
void core_free(struct core *c);
// Keeps an event log (core_log.h) from here on; before the first generation. `log` gets its last
// words when the core is freed. `followed`: the process that this one takes over from may write one
// at that path still.
//   Errors  those of core_log_new()
MUST_USE enum err core_keep_log(struct core *c, struct str path, int64_t bytes, bool followed,
                                struct log *log, struct diag *diag);
// Gives a generation its names and its router, which the lock guards from then on, and makes room
// for what is new in it. The retry budget is this portfolio's now. One thread at a time, and none
// that calls core_forget() meanwhile: the event log tells of one after the other.
//   Errors  ERR_INVALID  no such policy
//           ERR_LIMIT    too large, or CORE_GENERATIONS_MAX are still in use
MUST_USE enum err core_adopt(struct core *c, struct generation *g, struct names *names,
                             struct diag *diag);
// Its last user has gone; nobody waits in it.
void core_forget(struct core *c, struct generation *g);

// Of the process, for what may be nobody else's; never shown.
uint64_t core_secret(const struct core *c);

// Fills ask->prompt_tok, output_tok and draw from what was learnt.
void core_estimate(struct core *c, const struct generation *g, struct route_ask *ask,
                   int64_t prompt_bytes);

// Picks and, when the verdict is send, takes: one step under the lock, so that limits are exact.
struct route_decision core_pick(struct core *c, struct generation *g, const struct route_ask *ask,
                                int64_t now_us);
// route_shadow(), taken likewise.
struct route_decision core_shadow(struct core *c, struct generation *g, const struct route_ask *ask,
                                  int32_t shadow, int64_t now_us);
void core_first(struct core *c, struct generation *g, const struct route_decision *d,
                int64_t ttft_us, int64_t now_us);
// The attempt ended; wakes those that its slot was waited for by, of whatever generation, the
// oldest first.
void core_done(struct core *c, struct generation *g, const struct route_ask *ask,
               const struct route_decision *d, const struct route_seen *seen, int64_t now_us);
// What was seen of a whole request, for the forecasts.
void core_learn(struct core *c, const struct generation *g, const struct route_ask *ask,
                int64_t prompt_bytes, int32_t prompt_tok, int32_t output_tok);

// A request came: the retry budget grows, and what is asked is counted.
void core_request(struct core *c, const struct generation *g, const struct route_ask *ask);
struct failover_decision core_failover(struct core *c, struct failover *f, struct route_ask *ask,
                                       enum fault fault, int64_t retry_after_us, int64_t now_us);
// failover_may_leave() for an attempt that has shown no content in its time.
bool core_may_leave(struct core *c, struct generation *g, const struct failover *f,
                    const struct route_ask *ask, int64_t now_us);

// Whose timer looks at those that wait when time may let one go. Once, before any waits; as long as
// the core is used.
void core_look_on(struct core *c, struct loop *loop);
// Who is told, on that loop, of each step of a pool that enters in steps. Once, before the first.
typedef void (*core_step_call)(void *ctx, struct str pool, const struct share_step *step);
void core_tell_steps(struct core *c, core_step_call call, void *ctx);
// One that waits for a slot. `woken` is called on `loop` with the decision (already taken when it
// says send), at most once, and never after core_wait_cancel().
struct waiter;
typedef void (*waiter_call)(void *ctx, const struct route_decision *d);
// NULL: the waiting line is full.
struct waiter *core_wait(struct core *c, struct generation *g, const struct route_ask *ask,
                         struct loop *loop, waiter_call woken, void *ctx, int64_t now_us);
void core_wait_cancel(struct core *c, struct waiter *w, int64_t now_us);
// Time has passed: lets those go who can go now, in their order. True: `w` is one of them, and its
// call is on its way.
bool core_wait_look(struct core *c, struct waiter *w, int64_t now_us);
void core_poke(struct core *c, int64_t now_us);  // something has changed: wake who can go

// What an operator says of the pool of this name, in every generation that has it.
void core_set_lever(struct core *c, struct str pool, const struct route_lever *lever,
                    int64_t now_us);
void core_ready(struct core *c, struct generation *g, int32_t pool, bool ready);
struct route_pool_view core_view(struct core *c, struct generation *g, int32_t pool,
                                 int64_t now_us);
// What core_pick() would say, and route_explain() at that moment. Takes nothing.
int32_t core_explain(struct core *c, struct generation *g, const struct route_ask *ask,
                     int64_t now_us, struct route_decision *d, struct route_candidate *out,
                     int32_t max);
// forecast_answer_bytes_per_tok() and what it learns from.
double core_answer_bytes_per_tok(struct core *c, const struct generation *g, int32_t model);
void core_learn_answer(struct core *c, const struct generation *g, int32_t model, int64_t bytes,
                       int32_t tok);
int32_t core_waiting(struct core *c);  // of all generations

// An attempt is ending: what it draws of a commitment (route_draw). Then core_done(), its `drawn`
// set.
struct route_drawn core_draw(struct core *c, struct generation *g, const struct route_ask *ask,
                             const struct route_decision *d, const struct route_seen *seen,
                             int64_t now_us);
// Prices of commitments (route/resolve.h) for the router of `g`. True: they are to be found now,
// and `x` has seen what is needed, by the numbers of names.h; what was found is then told.
bool core_resolve_see(struct core *c, struct generation *g, struct resolve *x, int64_t now_us,
                      int64_t wall_us);
void core_resolve_tell(struct core *c, struct generation *g, const struct resolve *x,
                       int64_t now_us);
struct route_commitment core_commitment(struct core *c, struct generation *g, int32_t contract);
void core_commitment_used(struct core *c, struct generation *g, int32_t contract, double used,
                          int64_t now_us, int64_t wall_us);

#endif
