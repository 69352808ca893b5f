// import_pools.h - inside of `caudal import`: which deployments share a supplier, and which a pool.
//
// A supplier is one account at one address with its timeouts. Deployments of one supplier share a
// pool as long as nothing holds for one of them alone (limits, weight, order) and no model is there
// twice.

#ifndef CAUDAL_IMPORT_POOLS_H
#define CAUDAL_IMPORT_POOLS_H

#include "cli/import.h"

struct import_pool {
    struct import_deployment *first;
    bool plain;  // nothing holds for it alone, so others of its supplier may join
    struct str name;
};

struct import_pools {
    struct import *im;
    struct import_deployment **of_supplier;  // [n_suppliers] the first of each
    struct str *supplier_name;               // [n_suppliers]
    int32_t n_suppliers;
    struct import_pool *pools;  // [n_pools]
    int32_t n_pools;
    int32_t *pool_of;  // [im->n] in the order of the deployments
};

// All memory is from the import's arena, whose fullness it notes. False: it is full.
bool import_pools_make(struct import_pools *w, struct import *im);
bool import_pool_serves(const struct import_pools *w, int32_t pool, struct str model);

#endif
