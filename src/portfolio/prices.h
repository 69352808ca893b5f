// prices.h - what a plan says things are worth: the link from `plan` and `replay --bound` to
// routing.
//
// Of each commitment what one more unit is worth inside it, and when its use is planned; of each
// pool what its slots are worth where they are scarce, and its share. All by typical hours: 24 of a
// weekday and 24 of a day of the weekend, in UTC. Plain data, which nothing changes once it is
// read.

#ifndef CAUDAL_PRICES_H
#define CAUDAL_PRICES_H

#include "base/base.h"

enum { TYPICAL_DAY = 24, TYPICAL_HOURS = 2 * TYPICAL_DAY };

struct planned_contract {
    bool said;
    double worth;                // of the price beyond: 0 to 1
    double pace[TYPICAL_HOURS];  // use planned in each, beside the others; at least one above 0
};

struct planned_pool {
    double share;  // of the requests that it may have; -1: not said
    bool scarce;   // some price is above 0
    double slot_nusd_per_us[TYPICAL_HOURS];
};

struct planned_prices {
    int64_t until_us;                    // wall time at which they end
    struct planned_contract *contracts;  // [n_contracts]
    struct planned_pool *pools;          // [n_pools]
};

enum { WEEK_HOURS = 7 * TYPICAL_DAY };
int32_t week_hour(int64_t wall_us);  // since the Monday of its week, in UTC
int32_t typical_of_week(int32_t week_hour);
int32_t typical_hour(int64_t wall_us);
// Of the use that is planned for [from_us, until_us), the share that is planned before `wall_us`, 0
// to 1.
double planned_share(const struct planned_contract *c, int64_t from_us, int64_t until_us,
                     int64_t wall_us);

#endif
