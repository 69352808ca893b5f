// failover.h - what to do when an attempt has failed before its first content (design section 9).
//
// Pure and the same for `serve` and `replay`. The same model first: another pool of it at once, or
// the same pool once more after a single 500 or reset; a stand-in of the group only when no pool of
// the model could answer within `stand_in_after`. A short retry-after is waited for. Retries have a
// budget over the whole process, so that a failing fleet is not hit with a multiple of its load.
//
// An attempt that shows no content is left before its supplier's `first_byte` when another pool
// could take the request: failover_patience_us() says when to look, failover_may_leave() whether to
// leave.

#ifndef CAUDAL_FAILOVER_H
#define CAUDAL_FAILOVER_H

#include "route/route.h"

enum fault {  // what an attempt died of; classes of suppliers.md section 2.12
    FAULT_NONE,
    FAULT_CONNECT,   // DNS, TCP, TLS: nothing was sent, safe elsewhere
    FAULT_RESET,     // lost after sending, before any content
    FAULT_TIMEOUT,   // no first content in time
    FAULT_SERVER,    // 408, 409, 425, 500, 502 to 504, 529
    FAULT_GARBAGE,   // not HTTP, not JSON, an empty stream, an error event without a code
    FAULT_BUSY,      // 429 that will pass
    FAULT_SPENT,     // money or hard quota
    FAULT_DENIED,    // 401, 403: our key there is wrong
    FAULT_NO_MODEL,  // 404: this mapping is wrong
    FAULT_CONTEXT,   // too long for this context: a larger one may take it
    FAULT_CONTENT,   // refused by a content policy: goes to nobody else
    FAULT_CLIENT,    // 400, 413, 422: the client's own mistake
    FAULT_GONE,      // the client went away
    FAULT_COUNT
};
const char *fault_name(enum fault f);  // "connect", for logs and metrics
enum route_outcome fault_outcome(enum fault f);
int64_t fault_cool_us(enum fault f,
                      int64_t retry_after_us);  // how long the pool is to be left alone

struct retry_budget {  // as a bucket: each request adds `share`, each retry takes 1
    double share, level, most;
};
void retry_budget_init(struct retry_budget *b, double share);
void retry_budget_request(struct retry_budget *b);
bool retry_budget_take(struct retry_budget *b);

struct failover {  // of one request
    int32_t attempts, attempts_max;
    int64_t began_us, deadline_us, stand_in_after_us, patience_us;
    int32_t last_pool;
    bool same_again_used;
    bool same_again_may;  // the last fault was a 500 or a reset
    int32_t context_tok;  // of the last pool, as the decision said; 0: not known
};

enum failover_step {
    FAILOVER_AGAIN,    // pick again now (`ask` has been changed: tried pools, stand_in, context)
    FAILOVER_LATER,    // pick again at `at_us`
    FAILOVER_GIVE_UP,  // tell the client
};
struct failover_decision {
    enum failover_step step;
    int64_t at_us;
    int64_t leave_us;  // FAILOVER_LATER of failover_stuck(): the time may be spent in the waiting
                       // line, to be left and picked for again then; 0: not there, only until at_us
    const char *why;   // static text
};
void failover_init(struct failover *f, const struct serve_config *c, int64_t now_us,
                   int64_t deadline_us);
// An attempt at `pool` was sent.
void failover_sent(struct failover *f, int32_t pool);
// It failed: call route_done() first, so that the next pick knows. Changes `ask` for that pick. Set
// `context_tok` from the decision after failover_sent(), so that FAULT_CONTEXT knows what was too
// small.
struct failover_decision failover_next(struct failover *f, struct route_ask *ask, enum fault fault,
                                       int64_t retry_after_us, struct retry_budget *budget,
                                       int64_t now_us);
// No pool may have it now (the pick said wait or refuse, at first or after a failure): wait for
// one, try the last one once more after a 500 or a reset, let stand-ins in, or give up.
struct failover_decision failover_stuck(struct failover *f, struct route_ask *ask,
                                        const struct route_decision *d, int64_t now_us);

// How long the attempt that `d` sent may go without content before it is asked whether to leave it:
// PATIENCE times what is expected of (pool, model) or what its class aims at, whichever is more,
// and never less than the portfolio's `attempts.patience`. `whole`: nothing of the answer shows
// before its end. `k` may be NULL.
int64_t failover_patience_us(const struct failover *f, const struct route_ask *ask,
                             const struct route_decision *d, const struct class *k, bool whole);
// May the attempt that is on be left for want of content? Only when another pool that is not
// failing could take the request now (a stand-in too, once it is its time), and another attempt is
// allowed.
bool failover_may_leave(const struct failover *f, const struct retry_budget *budget,
                        const struct route *r, const struct route_ask *ask, int64_t now_us);

#endif
