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

int32_t live_pool_of(struct live *l, struct str pool)
{
    struct live_key key = key_of(pool);
    uint32_t at = (uint32_t)key.a & (l->index_size - 1);
    for (; l->index[at]; at = (at + 1) & (l->index_size - 1)) {
        if (key_eq(l->pools[l->index[at] - 1].key, key))
            return l->index[at] - 1;
    }
    if (l->n_pools == l->max_pools)
        return -1;
    int32_t i = l->n_pools++;
    l->pools[i] = (struct live_pool){.key = key, .first_pair = -1};
    l->index[at] = i + 1;
    return i;
}

int32_t live_pair_of(struct live *l, int32_t pool, struct str model)
{
    struct live_key key = key_of(model);
    struct live_pool *lp = &l->pools[pool];
    for (int32_t i = lp->first_pair; i >= 0; i = l->pairs[i].next) {
        if (key_eq(l->pairs[i].key, key))
            return i;
    }
    if (l->n_pairs == l->max_pairs)
        return -1;
    int32_t i = l->n_pairs++;
    l->pairs[i] = (struct live_pair){.key = key, .pool = pool, .next = lp->first_pair};
    lp->first_pair = i;
    return i;
}

int32_t live_contract_of(struct live *l, struct str contract)
{
    struct live_key key = key_of(contract);
    for (int32_t i = 0; i < l->n_contracts; i++) {
        if (key_eq(l->contracts[i].key, key))
            return i;
    }
    if (l->n_contracts == l->max_pools)
        return -1;
    l->contracts[l->n_contracts] = (struct live_contract){.key = key};
    return l->n_contracts++;
}
