// dues.h - when each of n things is due, and which is first: a tournament.
//
// Equal times go to the lowest number.

#ifndef CAUDAL_DUES_H
#define CAUDAL_DUES_H

#include "base/base.h"

struct dues {
    int64_t *at;  // at[leaves + i] is when i is due, each node the lesser of the two below it
    int32_t leaves;
};

void dues_init(struct dues *d, int32_t n);  // none is due
void dues_release(struct dues *d);

static inline int64_t dues_first_us(const struct dues *d)  // NEVER: none
{
    return d->at[1];
}

static inline int32_t dues_first(const struct dues *d)
{
    int32_t i = 1;
    while (i < d->leaves)
        i = 2 * i + (d->at[2 * i] != d->at[1]);
    return i - d->leaves;
}

static inline void dues_set(struct dues *d, int32_t i, int64_t at_us)
{
    i += d->leaves;
    d->at[i] = at_us;
    for (; i > 1; i /= 2) {
        int64_t least = min_i64(d->at[i], d->at[i ^ 1]);
        if (d->at[i / 2] == least)
            return;
        d->at[i / 2] = least;
    }
}

#endif
