// least.h - the least that a request can take and cost at each pool, however empty that pool is.
//
// Every figure here is at most what fleet.h and settle.c come to for the same request, whatever
// else is going on: an empty pool, its fastest speed under the events, the shortest round trip it
// has. The hindsight bound rests on that, and tests/unit/test_bound.c tries it.

#ifndef CAUDAL_LEAST_H
#define CAUDAL_LEAST_H

#include "portfolio/service.h"
#include "replay/arrivals.h"
#include "replay/editions.h"

struct least_unit {  // one (pool, model), in the order of the pools and of what they serve
    int32_t pool, model;
    const struct serving *serving;
    struct service service;
    double speed;               // factor of all times when it is fastest, at most 1
    double power_nusd_per_us;   // of a slot in use, at the site's rate
    double carbon_nusd_per_us;  // and at the price of its carbon
    bool may;                   // enabled, no shadow, bought for inference, and it answers chats
    int32_t context_tok;        // 0: not said
    bool keeps;                 // beginnings of prompts
    // Of the commitment that it draws: contract -1, none.
    int32_t contract;
    enum commitment_unit unit;
    double units_per_us;  // of a slot, for commitments of capacity
    double beyond_nusd;   // of a unit beyond the amount; 0: the list price of the tokens
};

struct least {
    const struct portfolio *p;
    struct least_unit *units;  // [n_units]
    int32_t *first;            // [n_pools + 1]: of each pool
    int32_t n_units;
    int64_t *trip_us;  // [n_tenants + 1][n_pools]; the last row: no tenant
};

// What a slot of `pool` draws of its contract's commitment in a us, in its unit; 0 where tokens or
// money count.
double least_units_per_us(const struct portfolio *p, const struct pool *pool, int32_t contract,
                          const struct service *s);

// One for each edition, [editions->n], with the same units at the same places. All from `a`, which
// borrows the editions. ERR_LIMIT: it is full.
MUST_USE enum err least_new(const struct least **out, struct arena *a,
                            const struct editions *editions, const struct events *events);

struct least_cost {
    int64_t ttft_us;                // round trip included
    int64_t hold_us;                // of a slot
    int64_t prefill_us, beside_us;  // beside_us of it before the step that it joins
    int64_t list_nusd;
    double power_nusd, waiting_nusd;  // power with its carbon
    double units;                     // of the commitment
};

// At some time or other `u` may have the request: model or stand-in, region, context, purpose.
bool least_may(const struct least *l, const struct least_unit *u, const struct arrival *r);
void least_of(const struct least *l, const struct least_unit *u, const struct arrival *r,
              struct least_cost *out);
// What is added to the cost of an answer by a stand-in: as much as the cheapest pool of the model
// that was asked for would cost more, so that another model's answer never looks like saving. 0
// where nobody of that model may have it, and for the model itself.
double least_stand_in(const struct least *l, const struct least_unit *u, const struct arrival *r);
// What not answering costs: as the class states it, else what the dearest pool that may have it
// would cost when empty (`*imputed`), so that leaving work undone never looks like saving.
double least_unserved(const struct least *l, const struct arrival *r, bool *imputed);

#endif
