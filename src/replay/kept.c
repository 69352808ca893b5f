#include "replay/kept.h"

#include "base/rng.h"

#include <stdlib.h>

enum { SIZE_FIRST = 256 };

static size_t home_of(const struct kept *k, uint64_t number)
{
    return (size_t)mix64(number) & (k->size - 1);
}

static size_t place_of(const struct kept *k, uint64_t number)
{
    size_t i = home_of(k, number);
    while (k->rows[i].number && k->rows[i].number != number)
        i = (i + 1) & (k->size - 1);
    return i;
}

static void grow(struct kept *k)
{
    struct kept old = *k;
    k->size = old.size ? 2 * old.size : SIZE_FIRST;
    k->rows = take_n(sizeof *k->rows, k->size);
    for (size_t i = 0; i < old.size; i++)
        if (old.rows[i].number)
            k->rows[place_of(k, old.rows[i].number)] = old.rows[i];
    free(old.rows);
}

void kept_add(struct kept *k, const struct kept_row *row)
{
    if (4 * (k->n + 1) > 3 * k->size)
        grow(k);
    struct kept_row *to = &k->rows[place_of(k, row->number)];
    k->n += !to->number;
    *to = *row;
}

const struct kept_row *kept_find(const struct kept *k, uint64_t number)
{
    if (!k->size || !number)
        return NULL;
    const struct kept_row *row = &k->rows[place_of(k, number)];
    return row->number ? row : NULL;
}

// Those behind it move up, so that no search ends at the hole (Knuth, 6.4, algorithm R).
void kept_remove(struct kept *k, uint64_t number)
{
    if (!kept_find(k, number))
        return;
    size_t hole = place_of(k, number), mask = k->size - 1;
    free(k->rows[hole].blocks);
    for (size_t i = (hole + 1) & mask; k->rows[i].number; i = (i + 1) & mask) {
        size_t home = home_of(k, k->rows[i].number);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        k->rows[hole] = k->rows[i];
        hole = i;
    }
    k->rows[hole] = (struct kept_row){0};
    k->n--;
}

void kept_release(struct kept *k)
{
    for (size_t i = 0; i < k->size; i++)
        free(k->rows[i].blocks);
    free(k->rows);
    *k = (struct kept){0};
}
