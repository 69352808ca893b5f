// live.h - what is known of the pools right now and outlives a portfolio: requests in flight, limit
// buckets, breakers, learnt times, shares of pools that enter in steps, what of each commitment is
// used. Kept by name, so that a reload may reorder, add and remove pools.
//
// Pure like route.h, and under the same lock. All memory is taken when it is made.

#ifndef CAUDAL_LIVE_H
#define CAUDAL_LIVE_H

#include "base/arena.h"
#include "base/err.h"

struct live;

// What serve has: room for names that have gone, since what is known of one is kept until its place
// is needed.
enum { LIVE_POOLS_MAX = 4096, LIVE_PAIRS_MAX = 16384 };

// State for at most `max_pools` pool names and `max_pairs` (pool, model) pairs of all routers at
// one time, and for as many contracts with a commitment as pools. About 200 bytes each. Names that
// no router has are forgotten when others need their places, all of them at once.
//   Errors  ERR_LIMIT  `a` is full
MUST_USE enum err live_new(struct live **out, struct arena *a, int32_t max_pools,
                           int32_t max_pairs);

// What was sent where is remembered from now on, for asks with blocks (affinity.h): 245,760 blocks,
// the first 256 of a prompt. 16 MiB, of which the system backs what is used.
//   Errors  ERR_LIMIT  `a` is full
MUST_USE enum err live_remember(struct live *live, struct arena *a);

#endif
