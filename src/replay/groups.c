#include "replay/groups.h"

#include "base/rng.h"

#include <stdlib.h>

enum { SLOTS_FIRST = 1 << 12, LENGTH_MERGES = 2 };

void groups_init(struct groups *g, int64_t bucket_us)
{
    *g = (struct groups){.bucket_us = bucket_us, .n_slots = SLOTS_FIRST, .size = SLOTS_FIRST / 2};
    g->all = take_n(sizeof *g->all, (size_t)g->size);
    g->slots = take_n(sizeof *g->slots, (size_t)g->n_slots);
}

void groups_release(struct groups *g)
{
    free(g->all);
    free(g->slots);
    *g = (struct groups){0};
}

static bool same(const struct group_key *a, const struct group_key *b)
{
    return a->bucket == b->bucket && a->model == b->model && a->class == b->class &&
           a->tenant == b->tenant && a->prompt == b->prompt && a->output == b->output;
}

static int32_t *slot_of(const struct groups *g, const struct group_key *k)
{
    uint64_t h = mix64((uint64_t)(uint32_t)k->bucket << 32 | (uint32_t)k->model);
    h = mix64(h ^ ((uint64_t)(uint32_t)k->class << 32 | (uint32_t)k->tenant));
    h = mix64(h ^ ((uint64_t)(uint32_t)k->prompt << 32 | (uint32_t)k->output));
    uint32_t mask = (uint32_t)g->n_slots - 1, at = (uint32_t)h & mask;
    while (g->slots[at] && !same(&g->all[g->slots[at] - 1].key, k))
        at = (at + 1) & mask;
    return &g->slots[at];
}

static void put(struct groups *g, const struct group_of *x)
{
    int32_t *slot = slot_of(g, &x->key);
    if (!*slot) {
        CHECK(g->n < g->size);
        g->all[g->n] = *x;
        *slot = ++g->n;
        return;
    }
    struct group_of *to = &g->all[*slot - 1];
    to->n += x->n;
    to->prompt_tok += x->prompt_tok;
    to->output_tok += x->output_tok;
    to->blocks += x->blocks;
}

static void rebuild(struct groups *g, int32_t size)
{
    struct group_of *old = g->all;
    int32_t n = g->n;
    free(g->slots);
    g->size = size;
    g->n_slots = 2 * size;
    g->n = 0;
    g->all = take_n(sizeof *g->all, (size_t)g->size);
    g->slots = take_n(sizeof *g->slots, (size_t)g->n_slots);
    for (int32_t i = 0; i < n; i++)
        put(g, &old[i]);
    free(old);
}

// False: they are as coarse as they get, one for each tenant, model and class.
static bool coarsen(struct groups *g)
{
    bool one_span = true, one_length = true;
    for (int32_t i = 0; i < g->n; i++) {
        const struct group_key *k = &g->all[i].key;
        one_span = one_span && !k->bucket;
        one_length = one_length && !k->prompt && !k->output;
    }
    if (one_span && one_length)
        return false;
    bool lengths = one_span || (g->merged < LENGTH_MERGES && !one_length);
    g->merged += lengths;
    if (!lengths)
        g->bucket_us *= 2;
    for (int32_t i = 0; i < g->n; i++) {
        struct group_key *k = &g->all[i].key;
        k->prompt >>= lengths;
        k->output >>= lengths;
        k->bucket >>= !lengths;
    }
    rebuild(g, g->size);
    return true;
}

// Half powers of two: 0, 1, 2 (1.4 to 2), ...
static int32_t halvings(int32_t tok)
{
    int32_t n = 0;
    for (int64_t sq = (int64_t)tok * tok; sq > 0; sq >>= 1)
        n++;
    return n;
}

void groups_add(struct groups *g, const struct arrival *r)
{
    if (g->n == g->size)
        rebuild(g, 2 * g->size);
    while (g->n >= GROUPS_MAX && !g->coarsest)
        g->coarsest = !coarsen(g);
    struct group_of x = {.key = {(int32_t)(r->at_us / g->bucket_us), r->model, r->class, r->tenant,
                                 halvings(r->prompt_tok) >> g->merged,
                                 halvings(r->output_tok) >> g->merged},
                         .n = 1,
                         .prompt_tok = r->prompt_tok,
                         .output_tok = r->output_tok,
                         .blocks = r->n_blocks};
    put(g, &x);
}

struct arrival group_mean(const struct groups *g, int32_t i)
{
    const struct group_of *x = &g->all[i];
    return (struct arrival){.at_us = x->key.bucket * g->bucket_us,
                            .prompt_tok = (int32_t)(x->prompt_tok / x->n + 0.5),
                            .output_tok = (int32_t)(x->output_tok / x->n + 0.5),
                            .model = x->key.model,
                            .class = x->key.class,
                            .tenant = x->key.tenant,
                            .n_blocks = (int32_t)(x->blocks / x->n)};
}
