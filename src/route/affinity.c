#include "route/affinity.h"

#include "base/rng.h"

#include <string.h>

// A set is a cache line of tags beside as many lines of pairs:
//
//   key = mix(block, salt)   low bits -> set   high bits -> tag -> way -> line
//
// Which way goes is the clock's say: a hand passes over those that were put since it came by last.

enum { LINE_BYTES = 64, PAIRS_MOST = 65536 };
static const double AGE_UNITS = 65536;  // of a stamp in a lifetime; it comes round after 65536

struct set {
    uint32_t tags[AFFINITY_WAYS];
    uint16_t used;  // bit of each way: put since the hand came by
    uint8_t n, hand;
};

struct line {  // the last to be sent the block comes first
    uint32_t stamps[AFFINITY_PAIRS];
    uint16_t pairs[AFFINITY_PAIRS];
    uint8_t n;
};

struct affinity {
    struct set *sets;
    struct line *lines;  // [sets][AFFINITY_WAYS]
    uint32_t mask;
};

_Static_assert(sizeof(struct set) == LINE_BYTES && sizeof(struct line) == LINE_BYTES,
               "one cache line each");

static void *take_lines(struct arena *a, size_t n)
{
    char *p = arena_take_n(a, LINE_BYTES, n + 1);
    return p ? p + (LINE_BYTES - (uintptr_t)p % LINE_BYTES) : NULL;
}

enum err affinity_new(struct affinity **out, struct arena *a, uint32_t sets)
{
    CHECK(sets > 0 && (sets & (sets - 1)) == 0);
    struct affinity *f = arena_new(a, struct affinity, 1);
    if (!f)
        return ERR_LIMIT;
    f->sets = take_lines(a, sets);
    f->lines = take_lines(a, (size_t)sets * AFFINITY_WAYS);
    if (!f->sets || !f->lines)
        return ERR_LIMIT;
    f->mask = sets - 1;
    *out = f;
    return ERR_NONE;
}

static uint64_t key_of(const struct affinity_prompt *p, int32_t i)
{
    return mix64(p->blocks[i] ^ p->salt);
}

static int32_t way_of(const struct set *s, uint32_t tag)
{
    for (int32_t i = 0; i < s->n; i++) {
        if (s->tags[i] == tag)
            return i;
    }
    return -1;
}

static struct line *line_at(const struct affinity *f, const struct set *s, int32_t way)
{
    return &f->lines[(s - f->sets) * AFFINITY_WAYS + way];
}

static struct line *line_of(const struct affinity *f, uint64_t key)
{
    const struct set *s = &f->sets[key & f->mask];
    int32_t way = way_of(s, (uint32_t)(key >> 32));
    return way < 0 ? NULL : line_at(f, s, way);
}

static int32_t victim_of(struct set *s)
{
    if (s->n < AFFINITY_WAYS)
        return s->n++;
    for (;;) {
        int32_t way = s->hand;
        s->hand = (uint8_t)((way + 1) % AFFINITY_WAYS);
        if (!(s->used & (1u << way)))
            return way;
        s->used &= (uint16_t) ~(1u << way);
    }
}

static struct line *line_made(struct affinity *f, uint64_t key)
{
    struct set *s = &f->sets[key & f->mask];
    uint32_t tag = (uint32_t)(key >> 32);
    int32_t way = way_of(s, tag);
    if (way < 0) {
        way = victim_of(s);
        s->tags[way] = tag;
        line_at(f, s, way)->n = 0;
    }
    s->used |= (uint16_t)(1u << way);
    return line_at(f, s, way);
}

static int32_t place_of(const struct line *l, int32_t pair)
{
    int32_t i = 0;
    while (i < l->n && l->pairs[i] != pair)
        i++;
    return i;
}

static int32_t looked_at(const struct affinity_prompt *p)
{
    return p->n < AFFINITY_BLOCKS ? p->n : AFFINITY_BLOCKS;
}

static uint32_t stamp_of(double age)
{
    return (uint32_t)(uint64_t)(age * AGE_UNITS);
}

void affinity_put(struct affinity *f, const struct affinity_prompt *p, int32_t pair, double age)
{
    if (pair < 0 || pair >= PAIRS_MOST)
        return;
    for (int32_t i = 0; i < looked_at(p); i++) {
        struct line *l = line_made(f, key_of(p, i));
        int32_t at = place_of(l, pair);
        if (at == l->n && l->n < AFFINITY_PAIRS)
            l->n++;
        else if (at == l->n)
            at--;
        memmove(&l->pairs[1], &l->pairs[0], (size_t)at * sizeof l->pairs[0]);
        memmove(&l->stamps[1], &l->stamps[0], (size_t)at * sizeof l->stamps[0]);
        l->pairs[0] = (uint16_t)pair;
        l->stamps[0] = stamp_of(age);
    }
}

void affinity_drop(struct affinity *f, const struct affinity_prompt *p, int32_t pair, int32_t keep)
{
    for (int32_t i = keep > 0 ? keep : 0; i < looked_at(p); i++) {
        struct line *l = line_of(f, key_of(p, i));
        int32_t at = l ? place_of(l, pair) : 0;
        if (!l || at == l->n)
            continue;
        size_t behind = (size_t)(--l->n - at);
        memmove(&l->pairs[at], &l->pairs[at + 1], behind * sizeof l->pairs[0]);
        memmove(&l->stamps[at], &l->stamps[at + 1], behind * sizeof l->stamps[0]);
    }
}

struct finder {
    const struct affinity *f;
    const struct affinity_prompt *p;
    affinity_age age;
    const void *ctx;
    struct affinity_found *out;
    int32_t n;
};

static bool is_found(const struct finder *s, int32_t pair)
{
    for (int32_t i = 0; i < s->n; i++) {
        if (s->out[i].pair == pair)
            return true;
    }
    return false;
}

static bool is_warm(const struct finder *s, const struct line *l, int32_t i)
{
    double age = s->age(s->ctx, l->pairs[i]);
    return age >= 0 && stamp_of(age) - l->stamps[i] < (uint32_t)AGE_UNITS;
}

// Some pair that is not found yet knows block `i`.
static bool is_known(const struct finder *s, int32_t i)
{
    const struct line *l = line_of(s->f, key_of(s->p, i));
    for (int32_t k = 0; l && k < l->n; k++) {
        if (is_warm(s, l, k) && !is_found(s, l->pairs[k]))
            return true;
    }
    return false;
}

static void take_known(struct finder *s, int32_t i)
{
    const struct line *l = line_of(s->f, key_of(s->p, i));
    for (int32_t k = 0; k < l->n && s->n < AFFINITY_FOUND; k++) {
        if (is_warm(s, l, k) && !is_found(s, l->pairs[k]))
            s->out[s->n++] = (struct affinity_found){l->pairs[k], i + 1};
    }
}

int32_t affinity_find(const struct affinity *f, const struct affinity_prompt *p, affinity_age age,
                      const void *ctx, struct affinity_found *out)
{
    struct finder s = {.f = f, .p = p, .age = age, .ctx = ctx, .out = out};
    // The longest first. What knows `hi` is found, so each round ends earlier in the prompt.
    for (int32_t hi = looked_at(p); hi > 0 && s.n < AFFINITY_FOUND && is_known(&s, 0);) {
        int32_t lo = 0;
        while (hi - lo > 1) {
            int32_t mid = lo + (hi - lo) / 2;
            *(is_known(&s, mid) ? &lo : &hi) = mid;
        }
        take_known(&s, lo);
        hi = lo;
    }
    return s.n;
}
