// watch.h - things that are due a fixed time after they began, of which nearly none comes to it.
//
// One ring per length of time: entries are due in the order in which they were added, so nothing is
// sorted; those that are over are dropped when the ring is full.

#ifndef CAUDAL_WATCH_H
#define CAUDAL_WATCH_H

#include "base/base.h"

struct watch_entry {
    int64_t due_us;
    int32_t id;
    uint32_t turn;  // of the id: an id used again is another thing
};

struct watch {
    int64_t length_us;
    struct watch_entry *ring;
    uint32_t from, n, size;
};

// Is the thing of this entry still waiting?
typedef bool (*watch_live)(void *ctx, const struct watch_entry *e);

void watch_release(struct watch *w);
// Drops what is over, and makes room for at least one.
void watch_tidy(struct watch *w, watch_live live, void *ctx);
static inline void watch_add(struct watch *w, const struct watch_entry *e, watch_live live,
                             void *ctx)
{
    if (w->n == w->size)
        watch_tidy(w, live, ctx);
    w->ring[(w->from + w->n++) & (w->size - 1)] = *e;
}
// The first that is still waiting; NULL: none.
const struct watch_entry *watch_first(struct watch *w, watch_live live, void *ctx);

#endif
