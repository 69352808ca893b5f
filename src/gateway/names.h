// names.h - stable numbers for the tenants, models, classes and pools of all portfolios of a
// process.
//
// What is counted (metrics) or learnt (forecasts) goes on under its name when a reload changes the
// order of a portfolio, takes something away and later brings it back. A number is never given
// twice; a portfolio's indices are translated by its generation's map. So what has gone keeps its
// memory, some 40 bytes a name and the cells that it was counted in, until there are NAMES_MAX of a
// kind; those that come then are `other` in metrics and have no forecast of their own.

#ifndef CAUDAL_NAMES_H
#define CAUDAL_NAMES_H

#include "portfolio/portfolio.h"

enum names_kind { NAMES_TENANT, NAMES_MODEL, NAMES_CLASS, NAMES_POOL, NAMES_KINDS };
enum { NAMES_MAX = 65536 };  // of one kind, over the life of the process

struct names;  // one thread at a time

struct names_map {                   // of one portfolio
    const int32_t *of[NAMES_KINDS];  // [n]; -1: more than NAMES_MAX
    int32_t n[NAMES_KINDS];
};

struct names *names_new(void);
void names_free(struct names *s);

// Gives every name of `p` its number, a new one where it has none. The map lives in `a`.
//   Errors  ERR_LIMIT  `a` is full
MUST_USE enum err names_map(struct names *s, const struct portfolio *p, struct arena *a,
                            struct names_map *out);
int32_t names_n(const struct names *s, enum names_kind kind);
struct str names_text(const struct names *s, enum names_kind kind, int32_t number);

// -1 for what is none. A NULL map stands for a process that has had one portfolio only.
static inline int32_t names_of(const struct names_map *m, enum names_kind kind, int32_t index)
{
    if (!m)
        return index;
    return index >= 0 && index < m->n[kind] ? m->of[kind][index] : -1;
}

#endif
