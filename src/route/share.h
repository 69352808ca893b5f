// share.h - a pool that enters in steps: which requests it may have, and when its share grows; and
// which requests a pool sees that only shadows another.
//
// A `struct share` per pool, kept by name over reloads. It begins at the first step of the
// portfolio's rules, at its first request. After `every` in a step, with enough answers and all of
// them within `while`, the next step up follows; as soon as enough answers are outside, the next
// one down, below the first nothing at all for `every`. The share itself is kept, not the number of
// the step, so rules with other steps go on from where the old ones were.

#ifndef CAUDAL_SHARE_H
#define CAUDAL_SHARE_H

#include "portfolio/portfolio.h"

struct share {
    bool begun;
    double at;                // of the requests that the pool may have
    int64_t since_us;         // what is counted below is from here on
    int64_t hold_until_us;    // while `at` is 0: nothing before
    int32_t answers, errors;  // errors among the answers
    // Observed over the target of the request's class, of those whose class has one.
    double ttft_sum, per_token_sum;
    int32_t ttft_n, per_token_n;
    uint64_t forward, back;  // steps so far
};

struct share_answer {
    bool error;
    double ttft, per_token;  // over the target; 0: not known, or there is no target
};

struct share_step {
    double from, to;
    const char *why;  // static text
    int32_t answers, errors;
    double ttft, per_token;  // means over the targets; 0: not known
};

// True: this request is among the share `at`, the same ones for every share above.
bool share_draws(double at, uint64_t draw, uint64_t name_hash);
// True: a pool of this name that shadows another sees a copy of this request, which is among the
// share `at`. By other bits of the draw than those above and those that break ties.
bool share_shadows(double at, uint64_t draw, struct str name);
// Its share now, 0 to 1.
double share_now(const struct share *s, const struct pool_share *rules, int64_t now_us);
// A request was sent: begins the first step, and the one after a hold. True: that was a step.
bool share_took(struct share *s, const struct pool_share *rules, int64_t now_us,
                struct share_step *out);
// An answer ended. True: it was a step, forward or back.
bool share_done(struct share *s, const struct pool_share *rules, const struct share_answer *answer,
                int64_t now_us, struct share_step *out);
// Goes on from this share with its next request, with nothing counted: an operator had set it.
void share_set(struct share *s, double at);

#endif
