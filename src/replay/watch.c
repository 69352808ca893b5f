#include "replay/watch.h"

#include <stdlib.h>

enum { RING_FIRST = 256 };

void watch_release(struct watch *w)
{
    free(w->ring);
    w->ring = NULL;
    w->from = w->n = w->size = 0;
}

static void make_room(struct watch *w, watch_live live, void *ctx)
{
    uint32_t kept = 0;
    struct watch_entry *old = w->ring;
    uint32_t size = w->size ? w->size : RING_FIRST;
    for (uint32_t i = 0; i < w->n; i++)
        kept += live(ctx, &old[(w->from + i) & (w->size - 1)]);
    if (kept > size / 2)
        size *= 2;
    struct watch_entry *ring = malloc(size * sizeof *ring);
    CHECK(ring);
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n; i++) {
        const struct watch_entry *e = &old[(w->from + i) & (w->size - 1)];
        if (live(ctx, e))
            ring[n++] = *e;
    }
    free(old);
    *w = (struct watch){.length_us = w->length_us, .ring = ring, .n = n, .size = size};
}

const struct watch_entry *watch_first(struct watch *w, watch_live live, void *ctx)
{
    while (w->n && !live(ctx, &w->ring[w->from])) {
        w->from = (w->from + 1) & (w->size - 1);
        w->n--;
    }
    return w->n ? &w->ring[w->from] : NULL;
}

void watch_add(struct watch *w, const struct watch_entry *e, watch_live live, void *ctx)
{
    if (w->n == w->size && !(w->n && !live(ctx, &w->ring[w->from])))
        make_room(w, live, ctx);
    watch_first(w, live, ctx);
    w->ring[(w->from + w->n++) & (w->size - 1)] = *e;
}
