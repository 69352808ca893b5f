// soon.h - numbers by time, few and mostly put in near their order: a sorted row.
//
// As queue.h, equal times by number. Putting in costs a move for each that is later.

#ifndef CAUDAL_SOON_H
#define CAUDAL_SOON_H

#include "replay/queue.h"

struct soon {  // zeroed is empty
    struct queue_entry *entries;
    int32_t from, n, size;  // entries[from, from + n)
};

void soon_release(struct soon *s);
void soon_room(struct soon *s);                // makes some at the end
void soon_remove(struct soon *s, int32_t id);  // O(n); it must be in

static inline void soon_put(struct soon *s, int64_t at, int32_t id)
{
    if (s->from + s->n == s->size)
        soon_room(s);
    struct queue_entry *first = s->entries + s->from, *e = first + s->n++;
    for (; e > first && (e[-1].at > at || (e[-1].at == at && e[-1].id > id)); e--)
        e[0] = e[-1];
    *e = (struct queue_entry){at, id};
}

static inline int64_t soon_first_us(const struct soon *s)  // NEVER: empty
{
    return s->n ? s->entries[s->from].at : NEVER;
}

static inline int32_t soon_pop(struct soon *s)  // n > 0
{
    s->n--;
    return s->entries[s->from++].id;
}

#endif
