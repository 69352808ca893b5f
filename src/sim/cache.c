#include "sim/cache.h"

#include "base/arena.h"
#include "base/rng.h"

#include <stdlib.h>

enum { WAYS = 8 };

struct way {
    uint64_t hash;  // 0: empty
    uint64_t used;
};

struct sim_cache {
    struct way *ways;  // [sets][WAYS]
    uint64_t sets;     // 0: holds nothing
    uint64_t uses;
};

struct sim_cache *sim_cache_new(double tokens)
{
    struct sim_cache *c = take(sizeof *c);
    if (tokens > 0) {
        double blocks = tokens / SIM_CACHE_TOK;
        c->sets = blocks < WAYS ? 1 : (uint64_t)(blocks / WAYS);
        c->ways = take_n(sizeof *c->ways, (size_t)c->sets * WAYS);
    }
    return c;
}

void sim_cache_free(struct sim_cache *c)
{
    if (!c)
        return;
    free(c->ways);
    free(c);
}

void sim_cache_clear(struct sim_cache *c)
{
    if (c->sets)
        memset(c->ways, 0, sizeof *c->ways * (size_t)c->sets * WAYS);
}

// True when the block was held. It is held afterwards.
static bool use_block(struct sim_cache *c, uint64_t hash)
{
    struct way *set = c->ways + hash % c->sets * WAYS;
    struct way *oldest = set;
    c->uses++;
    for (int i = 0; i < WAYS; i++) {
        if (set[i].hash == hash) {
            set[i].used = c->uses;
            return true;
        }
        if (set[i].used < oldest->used)
            oldest = &set[i];
    }
    *oldest = (struct way){hash, c->uses};
    return false;
}

// The blocks run over the joints of the parts; a block that crosses one is hashed in pieces.
size_t sim_cache_use(struct sim_cache *c, const struct str *parts, int32_t n, uint64_t salt)
{
    if (!c->sets)
        return 0;
    uint64_t hash = mix64(salt + 1);
    size_t in_block = 0, held = 0;
    bool all_held = true;
    for (int32_t i = 0; i < n; i++) {
        struct str rest = parts[i];
        while (rest.n) {
            size_t piece = SIM_CACHE_BLOCK - in_block;
            if (piece > rest.n)
                piece = rest.n;
            hash = mix64(hash ^ str_hash((struct str){rest.p, piece}, in_block));
            in_block += piece;
            rest = str_skip(rest, piece);
            if (in_block < SIM_CACHE_BLOCK)
                continue;
            in_block = 0;
            all_held = use_block(c, hash | 1) && all_held;
            if (all_held)
                held += SIM_CACHE_BLOCK;
        }
    }
    return held;
}
