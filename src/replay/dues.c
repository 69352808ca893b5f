#include "replay/dues.h"

#include "base/arena.h"

#include <stdlib.h>

enum { LEAVES_MIN = 2 };

void dues_init(struct dues *d, int32_t n)
{
    d->leaves = LEAVES_MIN;
    while (d->leaves < n)
        d->leaves *= 2;
    d->at = take_n(sizeof *d->at, (size_t)d->leaves * 2);
    for (int32_t i = 0; i < 2 * d->leaves; i++)
        d->at[i] = NEVER;
}

void dues_release(struct dues *d)
{
    free(d->at);
    *d = (struct dues){0};
}
