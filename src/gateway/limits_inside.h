// limits_inside.h - what limits.c, limits_adopt.c, limits_price.c and limits_say.c share.

#ifndef CAUDAL_LIMITS_INSIDE_H
#define CAUDAL_LIMITS_INSIDE_H

#include "gateway/limits.h"

#include <pthread.h>

// Whose budgets a row of a tenant or a key counts in.
struct payer {
    uint64_t id;  // as rows say it
    bool made;    // a key of the store, which outlives the portfolio
    int32_t n;
    struct {
        int32_t place;
        int64_t zone_us;
    } level[1 + TENANT_ABOVE_MAX];
};

struct limits {
    pthread_mutex_t lock;  // for all below; held for moments
    struct arena arena;
    struct quota *quota;
    struct payer *payers;  // [n_payers]
    int32_t n_payers;
};

struct limits_of {  // one tenant, in generation.limits
    int32_t n;      // it and those above it, of whom something is counted
    struct quota_level level[1 + TENANT_ABOVE_MAX];
    int32_t who[1 + TENANT_ABOVE_MAX];  // their tenants
};

// The dearest price and the longest answer over the pools of a model.
struct limits_model {
    struct token_price dearest;
    int64_t context_tok, output_tok;  // 0: not said by some pool
};

struct generation_limits {
    struct limits_of *of;        // [n_tenants]
    struct limits_model *model;  // [n_models]
    struct quota_level *shadow;  // [n_pools], of shadow.at_most; place -1: it has none
};

MUST_USE enum err limits_price_build(struct generation_limits *l, struct generation *g);

#endif
