#include "route/live_internal.h"

enum err live_new(struct live **out, struct arena *a, int32_t max_pools, int32_t max_pairs)
{
    CHECK(max_pools >= 0 && max_pools < INT32_MAX / 4 && max_pairs >= 0);
    uint32_t size = 16;
    while (size < 2 * (uint32_t)max_pools)
        size *= 2;
    struct live *l = arena_new(a, struct live, 1);
    if (!l)
        return ERR_LIMIT;
    l->pools = arena_new(a, struct live_pool, max_pools);
    l->pairs = arena_new(a, struct live_pair, max_pairs);
    l->contracts = arena_new(a, struct live_contract, max_pools);
    l->index = arena_new(a, int32_t, size);
    if (!l->pools || !l->pairs || !l->contracts || !l->index)
        return ERR_LIMIT;
    l->max_pools = max_pools;
    l->max_pairs = max_pairs;
    l->index_size = size;
    l->version = 1;
    l->free_pool = l->free_pair = -1;
    *out = l;
    return ERR_NONE;
}

enum err live_remember(struct live *live, struct arena *a)
{
    enum { SETS = 1 << 14 };
    return affinity_new(&live->affinity, a, SETS);
}

static struct live_key key_of(struct str name)
{
    return (struct live_key){str_hash(name, 0x706f6f6c), str_hash(name, 0x9e3779b97f4a7c15u)};
}

static bool key_eq(struct live_key x, struct live_key y)
{
    return x.a == y.a && x.b == y.b;
}

// Where the index has `key`, or would have it.
static uint32_t slot_of(const struct live *l, struct live_key key)
{
    uint32_t at = (uint32_t)key.a & (l->index_size - 1);
    while (l->index[at] && !key_eq(l->pools[l->index[at] - 1].key, key))
        at = (at + 1) & (l->index_size - 1);
    return at;
}

int32_t live_pool_find(const struct live *l, struct str pool)
{
    return l->index[slot_of(l, key_of(pool))] - 1;
}

// Its blocks in the affinity's table are nobody's: whoever gets the place is a lifetime older.
static void free_pair(struct live *l, int32_t i)
{
    struct live_pair *pair = &l->pairs[i];
    *pair = (struct live_pair){
        .cache_age = pair->cache_age + 1, .cache_us = pair->cache_us, .next = l->free_pair};
    l->free_pair = i;
}

// All that nobody holds, when every place has a name.
static void free_pools(struct live *l)
{
    memset(l->index, 0, l->index_size * sizeof *l->index);
    for (int32_t i = l->n_pools - 1; i >= 0; i--) {
        struct live_pool *lp = &l->pools[i];
        if (lp->held || lp->in_flight) {
            l->index[slot_of(l, lp->key)] = i + 1;
            continue;
        }
        for (int32_t k = lp->first_pair, next; k >= 0; k = next) {
            next = l->pairs[k].next;
            free_pair(l, k);
        }
        lp->first_pair = -1;
        lp->next = l->free_pool;
        l->free_pool = i;
    }
}

int32_t live_pool_add(struct live *l, struct str pool)
{
    if (l->n_pools == l->max_pools && l->free_pool < 0)
        free_pools(l);
    int32_t i = l->free_pool;
    if (i >= 0)
        l->free_pool = l->pools[i].next;
    else if (l->n_pools < l->max_pools)
        i = l->n_pools++;
    else
        return -1;
    l->pools[i] = (struct live_pool){.key = key_of(pool), .first_pair = -1};
    l->index[slot_of(l, l->pools[i].key)] = i + 1;
    return i;
}

int32_t live_pair_find(const struct live *l, int32_t pool, struct str model)
{
    struct live_key key = key_of(model);
    int32_t i = l->pools[pool].first_pair;
    while (i >= 0 && !key_eq(l->pairs[i].key, key))
        i = l->pairs[i].next;
    return i;
}

// All that nobody holds, of pools that stay too.
static void free_pairs(struct live *l)
{
    for (int32_t i = 0; i < l->n_pools; i++) {
        struct live_pool *lp = &l->pools[i];
        int32_t *at = &lp->first_pair;
        while (*at >= 0) {
            int32_t k = *at;
            if (l->pairs[k].held || lp->in_flight) {
                at = &l->pairs[k].next;
                continue;
            }
            *at = l->pairs[k].next;
            free_pair(l, k);
        }
    }
}

int32_t live_pair_add(struct live *l, int32_t pool, struct str model)
{
    if (l->n_pairs == l->max_pairs && l->free_pair < 0)
        free_pairs(l);
    int32_t i = l->free_pair;
    if (i >= 0)
        l->free_pair = l->pairs[i].next;
    else if (l->n_pairs < l->max_pairs)
        i = l->n_pairs++;
    else
        return -1;
    struct live_pair *pair = &l->pairs[i];
    *pair = (struct live_pair){.key = key_of(model),
                               .pool = pool,
                               .next = l->pools[pool].first_pair,
                               .cache_age = pair->cache_age,
                               .cache_us = pair->cache_us};
    l->pools[pool].first_pair = i;
    return i;
}

int32_t live_contract_find(const struct live *l, struct str contract)
{
    struct live_key key = key_of(contract);
    for (int32_t i = 0; i < l->n_contracts; i++) {
        if (key_eq(l->contracts[i].key, key))
            return i;
    }
    return -1;
}

int32_t live_contract_add(struct live *l, struct str contract)
{
    int32_t i = l->n_contracts;
    if (i == l->max_pools) {
        i = 0;
        while (i < l->n_contracts && l->contracts[i].held)
            i++;
    }
    if (i == l->max_pools)
        return -1;
    l->n_contracts += i == l->n_contracts;
    l->contracts[i] = (struct live_contract){.key = key_of(contract)};
    return i;
}
