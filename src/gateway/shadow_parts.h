// shadow_parts.h - what the files of a shadow share. Private to shadow*.c.
//
//   shadow.c         drawn, sent
//   shadow_hear.c    its time, and what the supplier says
//   shadow_settle.c  what it came to, and its end

#ifndef CAUDAL_SHADOW_PARTS_H
#define CAUDAL_SHADOW_PARTS_H

#include "gateway/answer.h"
#include "gateway/attempt.h"
#include "gateway/gateway_inside.h"
#include "gateway/limits.h"
#include "gateway/relay.h"
#include "gateway/shadow.h"

struct shadow {
    struct worker *worker;
    struct generation *generation;  // held
    struct shadow *newer, *older;   // of its worker
    struct route_ask ask;           // for its own pool; `blocks` are its own
    uint64_t *blocks;               // what they are in; NULL: none
    struct route_decision decision;
    int32_t pool;
    const struct serving *serving;
    char id[REQUEST_ID_BYTES];  // of the request that it copies
    struct buf body, headers;   // the client's; given back when they are sent
    struct buf head, wire;      // as sent to the supplier
    bool stream;
    struct attempt attempt;
    struct ledger_call call;
    struct admission money;
    struct relay relay;
    struct buf answer;  // a whole answer, or an error's body, being collected
    struct buf out;     // what a client would get: dropped
    int32_t status;
    bool answer_stream, taken, over;
    int64_t retry_after_us;  // of the answer; -1: not said
    int64_t bound_nusd;
    bool unbounded;
    int64_t sent_us, first_us, last_us, done_us;  // 0: not yet
    struct timer timer;
};

static inline int64_t shadow_now(const struct shadow *s)
{
    return loop_now_us(s->worker->loop);
}

static inline const struct portfolio *shadow_portfolio(const struct shadow *s)
{
    return s->generation->portfolio;
}

// shadow_hear.c
extern const struct attempt_calls shadow_calls;
void shadow_arm(struct shadow *s);  // sets the timer to what is due first
void shadow_on_timer(struct timer *t);

// shadow_settle.c
// It was drawn, and nothing is sent.
void shadow_skip(struct shadow *s, enum metrics_skip why);
// The attempt is over, or is left.
void shadow_finish(struct shadow *s, enum fault fault, bool stale, const char *why);

#endif
