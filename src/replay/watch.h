// watch.h - things that are due a fixed time after they began, of which nearly none comes to it.
//
// One row per length of time: entries are due in the order in which they were added, so nothing is
// sorted, and who is over leaves its row wherever it stands in it. Equal times go in the order in
// which they were added.

#ifndef CAUDAL_WATCH_H
#define CAUDAL_WATCH_H

#include "base/base.h"

struct watch_link {
    int64_t due_us;
    int32_t before, after;  // of its row, which is a ring through the row's own link; -1: in none
};

// The links of rows stand first, then those of entries.
struct watch {
    struct watch_link *links;  // [n_rows + n_entries]
    int32_t n_rows;
};

// Room for entries 0 to `n_entries`; `had` of them stay as they are.
void watch_room(struct watch *w, int32_t n_rows, int32_t had, int32_t n_entries);
void watch_release(struct watch *w);

static inline void watch_drop(struct watch *w, int32_t entry)  // if it is in a row
{
    struct watch_link *x = &w->links[w->n_rows + entry];
    if (x->before < 0)
        return;
    w->links[x->before].after = x->after;
    w->links[x->after].before = x->before;
    x->before = -1;
}

// `due_us` is no earlier than that of any other in `row`; `entry` is in none.
static inline void watch_add(struct watch *w, int32_t row, int32_t entry, int64_t due_us)
{
    int32_t i = w->n_rows + entry, last = w->links[row].before;
    w->links[i] = (struct watch_link){due_us, last, row};
    w->links[last].after = i;
    w->links[row].before = i;
}

// The first of `row`, and when it is due; -1: nobody.
static inline int32_t watch_first(const struct watch *w, int32_t row, int64_t *due_us)
{
    int32_t i = w->links[row].after;
    *due_us = i == row ? NEVER : w->links[i].due_us;
    return i == row ? -1 : i - w->n_rows;
}

#endif
