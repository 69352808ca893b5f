#include "replay/prefix.h"

#include "base/arena.h"
#include "base/rng.h"

#include <stdlib.h>
#include <string.h>

struct prefix_block {
    uint64_t key;
    int64_t used_us;
    int32_t newer, older;
};

void prefix_init(struct prefix *c, int32_t max, int64_t ttl_us)
{
    *c = (struct prefix){.max = max, .newest = -1, .oldest = -1, .ttl_us = ttl_us};
    if (max <= 0)
        return;
    uint32_t size = 16;
    while (size < 2 * (uint32_t)max)
        size *= 2;
    c->mask = size - 1;
    c->blocks = take_n(sizeof *c->blocks, (size_t)max);
    c->index = take_n(sizeof *c->index, size);
}

void prefix_clear(struct prefix *c)
{
    if (c->index)
        memset(c->index, 0, ((size_t)c->mask + 1) * sizeof *c->index);
    c->n = 0;
    c->newest = c->oldest = -1;
}

void prefix_release(struct prefix *c)
{
    free(c->blocks);
    free(c->index);
    *c = (struct prefix){0};
}

// Where the key is, or where it would go.
static uint32_t slot_of(const struct prefix *c, uint64_t key)
{
    uint32_t s = (uint32_t)key & c->mask;
    while (c->index[s] && c->blocks[c->index[s] - 1].key != key)
        s = (s + 1) & c->mask;
    return s;
}

static void unlink_block(struct prefix *c, int32_t i)
{
    struct prefix_block *b = &c->blocks[i];
    *(b->newer >= 0 ? &c->blocks[b->newer].older : &c->newest) = b->older;
    *(b->older >= 0 ? &c->blocks[b->older].newer : &c->oldest) = b->newer;
}

static void link_newest(struct prefix *c, int32_t i)
{
    c->blocks[i].newer = -1;
    c->blocks[i].older = c->newest;
    *(c->newest >= 0 ? &c->blocks[c->newest].newer : &c->oldest) = i;
    c->newest = i;
}

// Out of the index; those behind it move up, so that no gap hides them.
static void forget(struct prefix *c, uint64_t key)
{
    uint32_t hole = slot_of(c, key);
    for (uint32_t s = (hole + 1) & c->mask; c->index[s]; s = (s + 1) & c->mask) {
        uint32_t home = (uint32_t)c->blocks[c->index[s] - 1].key & c->mask;
        if (((s - home) & c->mask) >= ((s - hole) & c->mask)) {
            c->index[hole] = c->index[s];
            hole = s;
        }
    }
    c->index[hole] = 0;
}

static void put(struct prefix *c, uint64_t key)
{
    int32_t i;
    if (c->n < c->max) {
        i = c->n++;
    } else {
        i = c->oldest;
        forget(c, c->blocks[i].key);
        unlink_block(c, i);
    }
    c->blocks[i].key = key;
    c->index[slot_of(c, key)] = i + 1;
    link_newest(c, i);
}

static bool is_warm(const struct prefix *c, uint64_t key, int64_t now_us)
{
    int32_t at = c->index[slot_of(c, key)] - 1;
    return at >= 0 && now_us - c->blocks[at].used_us <= c->ttl_us;
}

int32_t prefix_use(struct prefix *c, const uint64_t *blocks, int32_t n, uint64_t salt,
                   int64_t now_us)
{
    if (c->max <= 0)
        return 0;
    int32_t warm = 0;
    // The last first, so that the begin of a prompt outlives its end.
    while (warm < n && is_warm(c, mix64(blocks[warm] ^ salt), now_us))
        warm++;
    for (int32_t i = n - 1; i >= 0; i--) {
        uint64_t key = mix64(blocks[i] ^ salt);
        int32_t at = c->index[slot_of(c, key)] - 1;
        if (at >= 0) {
            unlink_block(c, at);
            link_newest(c, at);
        } else {
            put(c, key);
        }
        c->blocks[c->newest].used_us = now_us;
    }
    return warm;
}
