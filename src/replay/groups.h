// groups.h - many arrivals as a few: those of like length, of one tenant, model and class, in one
// span of time.
//
// When there would be too many groups they become coarser: lengths first, then spans of time, then
// all lengths are one. What is left then, one for each tenant, model and class, may be more.

#ifndef CAUDAL_GROUPS_H
#define CAUDAL_GROUPS_H

#include "replay/arrivals.h"

enum { GROUPS_MAX = 6000 };

struct group_key {
    int32_t bucket, model, class, tenant;
    int32_t prompt, output;  // halvings of the length, coarser with every merge
};

struct group_of {
    struct group_key key;
    double n, prompt_tok, output_tok, blocks;  // how many, and sums
};

struct groups {
    struct group_of *all;  // [n]
    int32_t n, size;
    int32_t *slots;  // hash table of 1-based places
    int32_t n_slots;
    int32_t merged;     // how often lengths were merged
    int64_t bucket_us;  // doubled with every merge of spans
    bool coarsest;
};

// Storage from the system, freed by groups_release().
void groups_init(struct groups *g, int64_t bucket_us);
void groups_release(struct groups *g);
void groups_add(struct groups *g, const struct arrival *r);
// In an order that only the arrivals say. The mean of a group as a request.
struct arrival group_mean(const struct groups *g, int32_t i);

#endif
