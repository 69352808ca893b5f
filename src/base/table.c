#include "base/table.h"

// Open addressing over indices; at most half full, so a probe is short and always ends.
struct table {
    struct arena *arena;
    struct str *names;  // [max], in order of insertion
    int32_t *values;    // [max]
    int32_t *slots;     // [mask + 1], index into names + 1; 0: free
    uint64_t seed;
    size_t mask;
    int32_t n, max;
};

enum err table_new(struct table **out, struct arena *a, int32_t max, uint64_t seed)
{
    CHECK(max >= 0);
    size_t n_slots = 4;
    while (n_slots < (size_t)max * 2)
        n_slots *= 2;
    struct table *t = arena_new(a, struct table, 1);
    if (!t)
        return ERR_LIMIT;
    *t = (struct table){.arena = a, .seed = seed, .mask = n_slots - 1, .max = max};
    t->names = arena_new(a, struct str, max);
    t->values = arena_new(a, int32_t, max);
    t->slots = arena_new(a, int32_t, n_slots);
    if (!t->names || !t->values || !t->slots)
        return ERR_LIMIT;
    *out = t;
    return ERR_NONE;
}

// The slot that holds `name`, or the free one where it would go.
static size_t slot_of(const struct table *t, struct str name)
{
    size_t i = str_hash(name, t->seed) & t->mask;
    while (t->slots[i] && !str_eq(t->names[t->slots[i] - 1], name))
        i = (i + 1) & t->mask;
    return i;
}

enum err table_add(struct table *t, struct str name, int32_t value)
{
    size_t i = slot_of(t, name);
    if (t->slots[i])
        return ERR_EXISTS;
    if (t->n == t->max)
        return ERR_LIMIT;
    struct str copy = arena_str(t->arena, name);
    if (!copy.p)
        return ERR_LIMIT;
    t->names[t->n] = copy;
    t->values[t->n] = value;
    t->slots[i] = ++t->n;
    return ERR_NONE;
}

bool table_get(const struct table *t, struct str name, int32_t *value)
{
    int32_t at = t->slots[slot_of(t, name)];
    if (!at)
        return false;
    *value = t->values[at - 1];
    return true;
}

int32_t table_len(const struct table *t)
{
    return t->n;
}

struct str table_name(const struct table *t, int32_t i)
{
    CHECK(i >= 0 && i < t->n);
    return t->names[i];
}

bool table_nearest(const struct table *t, struct str name, struct str *nearest)
{
    size_t edits = name.n / 3 < 2 ? name.n / 3 : 2;
    size_t best = edits + 1;
    for (int32_t i = 0; i < t->n; i++) {
        size_t d = str_distance(name, t->names[i]);
        if (d < best) {  // the first of equals
            best = d;
            *nearest = t->names[i];
        }
    }
    return best <= edits;
}
