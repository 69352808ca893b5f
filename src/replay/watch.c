#include "replay/watch.h"

#include "base/arena.h"

#include <stdlib.h>

enum { RING_FIRST = 1024 };

void watch_release(struct watch *w)
{
    free(w->ring);
    w->ring = NULL;
    w->from = w->n = w->size = 0;
}

void watch_tidy(struct watch *w, watch_live live, void *ctx)
{
    uint32_t kept = 0;
    struct watch_entry *old = w->ring;
    for (uint32_t i = 0; i < w->n; i++) {
        const struct watch_entry e = old[(w->from + i) & (w->size - 1)];
        if (live(ctx, &e))
            old[(w->from + kept++) & (w->size - 1)] = e;
    }
    w->n = kept;
    // With a quarter in use, each entry is looked at once and a third before it goes.
    if (kept < w->size / 4)
        return;
    uint32_t size = w->size ? 2 * w->size : RING_FIRST;
    struct watch_entry *ring = take_n(sizeof *ring, size);
    for (uint32_t i = 0; i < kept; i++)
        ring[i] = old[(w->from + i) & (w->size - 1)];
    free(old);
    *w = (struct watch){.length_us = w->length_us, .ring = ring, .n = kept, .size = size};
}

const struct watch_entry *watch_first(struct watch *w, watch_live live, void *ctx)
{
    while (w->n && !live(ctx, &w->ring[w->from])) {
        w->from = (w->from + 1) & (w->size - 1);
        w->n--;
    }
    return w->n ? &w->ring[w->from] : NULL;
}
