// prefix.h - which blocks of prompts a pool still has: the least recently used go first.

#ifndef CAUDAL_PREFIX_H
#define CAUDAL_PREFIX_H

#include "base/base.h"

struct prefix {                   // zeroed holds nothing and keeps nothing
    struct prefix_block *blocks;  // [max]
    int32_t *index;               // open addressing; place + 1
    int32_t n, max;
    uint32_t mask;
    int32_t newest, oldest;  // -1: none
    int64_t ttl_us;
};

// Room for `max` blocks, about 40 bytes each, from the system; what was not used for `ttl_us` is
// gone.
void prefix_init(struct prefix *c, int32_t max, int64_t ttl_us);
void prefix_clear(struct prefix *c);  // it holds nothing
void prefix_release(struct prefix *c);
// How many of the first blocks are there; afterwards all are, as far as there is room. `salt` keeps
// the blocks of different models apart.
int32_t prefix_use(struct prefix *c, const uint64_t *blocks, int32_t n, uint64_t salt,
                   int64_t now_us);

#endif
