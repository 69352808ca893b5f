// quota.h - what tenants and keys may use, counted exactly: requests and tokens a minute, requests
// in flight, charged money a day and a month.
//
// Pure like route.h, and under the same lock: time comes in, nothing is allocated after
// quota_new(). A request is let in once, by all its levels (key, tenant, those above) or by none:
// quota_take() -> quota_settle() or quota_give_back(). The limits are the caller's, of the
// portfolio that the request holds; what is used is kept here by a stable id, so that a reload may
// reorder, change and remove.
//
// Money is of the day and month in which the request came. A level whose budget is hard reserves
// `most_nusd` and is never overrun; one that forecasts reserves `expected_nusd`, and is overrun by
// no more than what its requests in flight cost above that.

#ifndef CAUDAL_QUOTA_H
#define CAUDAL_QUOTA_H

#include "portfolio/portfolio.h"

struct quota;  // opaque; one thread at a time: its owner holds the lock

enum { QUOTA_LEVELS_MAX = 2 + TENANT_ABOVE_MAX, QUOTA_PLACES_MAX = 32768 };

// Room for `max_places` ids over its whole life, those that have gone included: they keep their
// counts for when they come back. About 270 bytes each.
//   Errors  ERR_LIMIT  `a` is full
MUST_USE enum err quota_new(struct quota **out, struct arena *a, int32_t max_places);

// The place of an id (never 0), which is made when it is new. -1: no room.
int32_t quota_place(struct quota *q, uint64_t id);

struct quota_level {
    int32_t place;
    const struct allowance *allowance;
};

struct quota_ask {
    int64_t now_us, wall_us;           // monotonic; since 1970
    int32_t prompt_tok, output_tok;    // expected
    int64_t expected_nusd, most_nusd;  // charged money
};

enum quota_what {
    QUOTA_NOTHING,
    QUOTA_REQUESTS,
    QUOTA_TOKENS,
    QUOTA_IN_FLIGHT,
    QUOTA_DAY,
    QUOTA_MONTH,
    QUOTA_WHATS
};

struct quota_refusal {
    enum quota_what what;
    int32_t level;       // index into the levels
    double limit, used;  // requests, tokens (both of a minute); nano-dollars, reserved ones too
    double wanted;       // what the request would have added
    int64_t again_us;    // from now; NEVER: a request of this size never fits
};

// What a request holds; plain data of the caller, zeroed: nothing.
struct quota_ticket {
    int32_t n;
    int64_t most_nusd;  // it is charged no more; INT64_MAX: no level is hard
    int64_t taken_us;
    struct quota_hold {
        int32_t place, day, month;  // the day and month in which money is reserved
        int32_t tokens;             // taken, as expected
        double mark;                // of the bucket behind them, to tell what has flowed off
        int64_t nusd;               // reserved
    } hold[QUOTA_LEVELS_MAX];
};

// Lets the request in at all levels, or at none: then `*why` is the limit that lasts longest. O(n).
bool quota_take(struct quota *q, const struct quota_level *levels, int32_t n,
                const struct quota_ask *ask, struct quota_ticket *t, struct quota_refusal *why);
// It was answered, in part or whole. Returns what is charged: `charged_nusd`, or less where a hard
// budget had reserved less. The ticket is empty afterwards; an empty one does nothing. Tokens that
// were expected and did not come are given back as far as they have not flowed off meanwhile: what
// has may have let another in.
int64_t quota_settle(struct quota *q, struct quota_ticket *t, int32_t tokens, int64_t charged_nusd,
                     int64_t now_us);
// Nobody answered: as if it had not come, but for what has flowed off.
void quota_give_back(struct quota *q, struct quota_ticket *t, int64_t now_us);
int64_t quota_charge(const struct quota_ticket *t, int64_t charged_nusd);  // as settling would say

// What the ledger knows of a place that nobody counted for a time: what was charged in the day and
// the month of `wall_us`, and the requests and tokens of the last minute. What is counted becomes
// at least that; what is reserved stays.
struct quota_past {
    int64_t day_nusd, month_nusd;
    double requests, tokens;
};
void quota_remember(struct quota *q, const struct quota_level *level, const struct quota_past *past,
                    int64_t now_us, int64_t wall_us);

// Another process has charged so much for a request that came at `wall_us`; its days are those of
// `zone_us`.
void quota_charged(struct quota *q, int32_t place, int64_t zone_us, int64_t wall_us, int64_t nusd);

// What is used of a level now; limits as the level says them, negative: none.
struct quota_view {
    double requests, requests_limit, tokens, tokens_limit;  // of a minute
    int64_t requests_reset_us, tokens_reset_us;             // until nothing of it is used
    int32_t in_flight, in_flight_limit;
    int64_t day_nusd, day_reserved_nusd, day_limit_nusd;
    int64_t month_nusd, month_reserved_nusd, month_limit_nusd;
};
// Without what the budgets say: rates and what is in flight, for the lines that every answer has.
struct quota_view quota_rates(const struct quota *q, const struct quota_level *level,
                              int64_t now_us);
struct quota_view quota_look(const struct quota *q, const struct quota_level *level, int64_t now_us,
                             int64_t wall_us);
// The level with the least left of it, of requests (`tokens` false) or tokens; -1: none limits it.
int32_t quota_tightest(const struct quota *q, const struct quota_level *levels, int32_t n,
                       bool tokens, int64_t now_us);

#endif
