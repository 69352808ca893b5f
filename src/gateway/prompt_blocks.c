#include "gateway/prompt_blocks.h"

#include "gateway/exchange_parts.h"
#include "wire/openai.h"

#include <string.h>

typedef unsigned __int128 u128;

static uint64_t word_at(const char *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof w);
    return w;
}

static uint64_t fold(uint64_t a, uint64_t b)
{
    u128 product = (u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// Sixteen bytes a multiplication, as wyhash (Wang Yi, public domain) does it: str_hash() takes a
// multiplication for each byte, and a long prompt has half a million.
static uint64_t hash(struct str s, uint64_t h)
{
    static const uint64_t K1 = 0xa0761d6478bd642f, K2 = 0xe7037ed1a0b428db;
    for (; s.n >= 16; s = str_skip(s, 16))
        h = fold(word_at(s.p) ^ h ^ K1, word_at(s.p + 8) ^ K2);
    char rest[16] = {0};
    if (s.n)
        memcpy(rest, s.p, s.n);
    return fold(word_at(rest) ^ h ^ K1, word_at(rest + 8) ^ K2 ^ s.n);
}

int32_t prompt_blocks(uint64_t *out, int32_t max, const struct str *parts, int32_t n, uint64_t seed)
{
    size_t room = PROMPT_BLOCK_BYTES;
    int32_t count = 0;
    uint64_t h = seed;
    for (int32_t i = 0; i < n && count < max; i++) {
        struct str left = parts[i];
        h = fold(h ^ (uint64_t)(i + 1), 0x9e3779b97f4a7c15u);  // where one part ends is part of it
        while (left.n && count < max) {
            size_t take = left.n < room ? left.n : room;
            h = hash((struct str){left.p, take}, h);
            left = str_skip(left, take);
            room -= take;
            if (room)
                continue;
            out[count++] = h;
            room = PROMPT_BLOCK_BYTES;
        }
    }
    return count;
}

static uint64_t seed_of(const struct exchange *x)
{
    const struct portfolio *p = exchange_portfolio(x);
    uint64_t seed = core_secret(x->worker->core);
    if (x->ask.tenant >= 0)
        seed = str_hash(p->tenants[x->ask.tenant].name, seed);
    seed = str_hash(p->models[x->ask.model].name, seed);
    return fold(seed ^ x->rq->cache_key, 0x9e3779b97f4a7c15u ^ x->ask.surface);
}

void exchange_find_blocks(struct exchange *x)
{
    uint64_t blocks[PROMPT_BLOCKS_MAX];
    double bytes = 0;
    for (int i = 0; i < OPENAI_PARTS; i++)
        bytes += (double)x->rq->parts[i].n;
    if (x->surface == SURFACE_EMBEDDINGS || bytes < PROMPT_BLOCK_BYTES)
        return;
    int32_t n = prompt_blocks(blocks, PROMPT_BLOCKS_MAX, x->rq->parts, OPENAI_PARTS, seed_of(x));
    uint64_t *kept = n ? arena_new(&x->arena, uint64_t, n) : NULL;
    if (!kept)
        return;
    memcpy(kept, blocks, (size_t)n * sizeof *kept);
    // What the whole is estimated at, each byte alike.
    double tok = x->ask.prompt_tok * (PROMPT_BLOCK_BYTES / bytes);
    x->ask.blocks = kept;
    x->ask.n_blocks = n;
    x->ask.block_tok = tok > 1 ? (int32_t)tok : 1;
}

void exchange_forget_blocks(struct exchange *x)
{
    x->ask.blocks = NULL;
    x->ask.n_blocks = 0;
}
