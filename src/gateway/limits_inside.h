// limits_inside.h - what limits.c, limits_price.c and limits_say.c share.

#ifndef CAUDAL_LIMITS_INSIDE_H
#define CAUDAL_LIMITS_INSIDE_H

#include "gateway/limits.h"

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
