// live_internal.h - the inside of live.h, for route's own files.

#ifndef CAUDAL_LIVE_INTERNAL_H
#define CAUDAL_LIVE_INTERNAL_H

#include "base/str.h"
#include "route/affinity.h"
#include "route/breaker.h"
#include "route/live.h"
#include "route/pace.h"
#include "route/route.h"
#include "route/share.h"

// Two hashes instead of the text: names have no bound, the state does.
struct live_key {
    uint64_t a, b;
};

// A leaky bucket of one minute. All it remembers is the time at which it will be full again, in
// 1/1024 us, so looking at it changes nothing and nothing is lost to rounding.
struct bucket {
    int64_t full_at;
};

// Of a pool, as the router that leads says them: others have the same, whatever their portfolios
// say.
struct live_limits {
    uint64_t lead;  // the one that said so; they hold while it is live->lead
    int32_t in_flight, tokens_most;
    double request_us, token_us;
};

struct live_pool {
    struct live_key key;
    int32_t held;  // routers that are bound to it
    int32_t next;  // that is free, when it is; -1: none
    int32_t in_flight;
    int64_t context_tok;  // of those in flight: prompt and forecast answer
    struct bucket requests, tokens;
    int64_t empty_until_us;  // money or quota
    double derate;           // the lever's share; 0: not said
    struct live_limits limits;
    double ttft_us, per_token_us;  // learnt over all its models, to be shown
    uint64_t took, ok, failed, busy;
    bool absent;               // being started, or known to be gone: route_set_ready()
    int32_t first_pair;        // of its pairs, linked by `next`; -1: none
    struct route_lever lever;  // route_set_lever(); `said` false: nothing was
    struct share share;
};

struct live_pair {
    struct live_key key;  // of the model
    int32_t held;         // as a pool's
    int32_t pool, next;   // the next of the pool, or that is free
    struct breaker breaker;
    int64_t cool_until_us;
    // Observed over expected, so that what was seen at one load and length holds at another.
    double ttft_ratio, per_token_ratio;
    int64_t ttft_seen_us, per_token_seen_us;  // when; 0 with ratio 0: never
    int64_t content_us;                       // when a first content or a whole answer last came
    double fail_load;                         // recent failures, as requests in flight
    int64_t fail_us;
    uint64_t last_turn;  // when it was chosen, in turns; 0: never
    // When what it was sent is read, as far as the service model knows; and how long it would take
    // to read all of which no content has come: it cannot be behind by more.
    double prefill_until_us, unread_us;
    // Of its prefix cache: its age in lifetimes at `cache_us` (affinity.h), and the share of the
    // tokens expected in it that were not.
    double cache_age, cache_doubt;
    int64_t cache_us;
};

struct live_contract {
    struct live_key key;
    int32_t held;
    struct pace pace;
    struct route_price price;           // route_set_price(); holds until price_until_us
    int64_t priced_us, price_until_us;  // 0: none was said
    double priced_used;                 // what was used then
    int64_t stop_until_us;  // nothing may be used beyond it, and it is used up; 0: not so
};

enum { LIVE_CHANGES = 1024 };  // a power of two

// What of a pool has changed: what it holds and when it is free, or the times that are learnt.
enum { LIVE_LOAD = 1, LIVE_TIMES = 2, LIVE_ALL = LIVE_LOAD | LIVE_TIMES, LIVE_BITS = 2 };

struct live {
    struct live_pool *pools;
    struct live_pair *pairs;
    struct live_contract *contracts;
    struct affinity *affinity;  // NULL: nothing is remembered of prompts
    int32_t n_pools, n_pairs, n_contracts, max_pools, max_pairs;
    int32_t free_pool, free_pair;  // below n_pools and n_pairs; -1: none
    int32_t *index;       // [index_size] of pools by key, open addressing; 0: empty, else place + 1
    uint32_t index_size;  // a power of two, at least twice max_pools
    uint64_t turns;       // requests sent so far
    uint64_t lead;        // number of the router whose limits hold
    int64_t wall_us;      // what to add to the time of a call for wall time, as a request said
    bool wall_known;
    uint64_t version;  // changes whenever a waiting request might go that could not before

    // What has changed, for routers that keep what they worked out of it: the newest of `changes`
    // at changed[(changes - 1) % LIVE_CHANGES], a pool's place and the LIVE_* of it, or -1 - a
    // contract's.
    uint64_t changes;
    uint64_t levers;  // how often a lever was set
    int32_t changed[LIVE_CHANGES];
};

// The place of this name's state; -1: it is not known.
int32_t live_pool_find(const struct live *l, struct str pool);
int32_t live_pair_find(const struct live *l, int32_t pool, struct str model);
int32_t live_contract_find(const struct live *l, struct str contract);
// For a name that is not known; -1: no room. What nobody holds then is forgotten, when there is no
// room: who needs it holds it before.
int32_t live_pool_add(struct live *l, struct str pool);
int32_t live_pair_add(struct live *l, int32_t pool, struct str model);
int32_t live_contract_add(struct live *l, struct str contract);

// To be called after everything that changes a pool or its pairs.
static inline void live_changed(struct live *l, int32_t pool, int32_t what)
{
    l->changed[l->changes++ % LIVE_CHANGES] = pool << LIVE_BITS | what;
}

static inline void live_contract_changed(struct live *l, int32_t contract)
{
    l->changed[l->changes++ % LIVE_CHANGES] = -1 - contract;
}

#endif
