#include "gateway/names.h"

#include <stdlib.h>

struct kind {
    struct str *text;  // [n], each its own memory
    int32_t n, room;
    int32_t *slots;   // [n_slots], open addressing by hash; number + 1, 0: empty
    int32_t n_slots;  // a power of two, at least twice n
};

struct names {
    struct kind kinds[NAMES_KINDS];
};

struct names *names_new(void)
{
    return take(sizeof(struct names));
}

void names_free(struct names *s)
{
    if (!s)
        return;
    for (int k = 0; k < NAMES_KINDS; k++) {
        for (int32_t i = 0; i < s->kinds[k].n; i++)
            free((char *)(uintptr_t)s->kinds[k].text[i].p);
        free(s->kinds[k].text);
        free(s->kinds[k].slots);
    }
    free(s);
}

static int32_t *slot_of(const struct kind *k, struct str name)
{
    uint32_t mask = (uint32_t)k->n_slots - 1, at = (uint32_t)str_hash(name, 0) & mask;
    while (k->slots[at] && !str_eq(k->text[k->slots[at] - 1], name))
        at = (at + 1) & mask;
    return &k->slots[at];
}

static void make_room(struct kind *k)
{
    if (2 * (k->n + 1) <= k->n_slots)
        return;
    k->room = k->room ? 2 * k->room : 32;
    struct str *text = take_n(sizeof *text, (size_t)k->room);
    if (k->n)
        memcpy(text, k->text, (size_t)k->n * sizeof *text);
    free(k->text);
    free(k->slots);
    k->text = text;
    k->n_slots = 2 * k->room;
    k->slots = take_n(sizeof *k->slots, (size_t)k->n_slots);
    for (int32_t i = 0; i < k->n; i++)
        *slot_of(k, k->text[i]) = i + 1;
}

static int32_t number_of(struct kind *k, struct str name)
{
    make_room(k);
    int32_t *slot = slot_of(k, name);
    if (*slot)
        return *slot - 1;
    if (k->n == NAMES_MAX)
        return -1;
    char *own = take(name.n + 1);
    if (name.n)
        memcpy(own, name.p, name.n);
    k->text[k->n] = (struct str){own, name.n};
    *slot = ++k->n;
    return k->n - 1;
}

static struct str name_of(const struct portfolio *p, enum names_kind kind, int32_t i)
{
    switch (kind) {
    case NAMES_TENANT: return p->tenants[i].name;
    case NAMES_MODEL: return p->models[i].name;
    case NAMES_CLASS: return p->classes[i].name;
    case NAMES_POOL: return p->pools[i].name;
    case NAMES_KINDS: break;
    }
    return STR("");
}

enum err names_map(struct names *s, const struct portfolio *p, struct arena *a,
                   struct names_map *out)
{
    const int32_t n[NAMES_KINDS] = {p->n_tenants, p->n_models, p->n_classes, p->n_pools};
    for (int k = 0; k < NAMES_KINDS; k++) {
        int32_t *of = arena_new(a, int32_t, n[k]);
        if (!of)
            return ERR_LIMIT;
        for (int32_t i = 0; i < n[k]; i++)
            of[i] = number_of(&s->kinds[k], name_of(p, (enum names_kind)k, i));
        out->of[k] = of;
        out->n[k] = n[k];
    }
    return ERR_NONE;
}

int32_t names_n(const struct names *s, enum names_kind kind)
{
    return s->kinds[kind].n;
}

struct str names_text(const struct names *s, enum names_kind kind, int32_t number)
{
    CHECK(number >= 0 && number < s->kinds[kind].n);
    return s->kinds[kind].text[number];
}
