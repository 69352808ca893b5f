// soon.h - numbers by time, few and mostly put in near their order: a sorted row.
//
// As queue.h, equal times by number. Putting in moves all that is later, 16 bytes each.

#ifndef CAUDAL_SOON_H
#define CAUDAL_SOON_H

#include "replay/queue.h"

enum { SOON_NEAR = 8 };  // further from its end a place is not looked for one by one

struct soon {  // zeroed is empty
    struct queue_entry *entries;
    int32_t from, n, size;  // entries[from, from + n)
};

void soon_release(struct soon *s);
void soon_room(struct soon *s);                // makes some at the end
void soon_remove(struct soon *s, int32_t id);  // O(n); it must be in
// Where among the first `n` entries it belongs; all of them move up from there.
struct queue_entry *soon_open(struct queue_entry *first, int32_t n, int64_t at, int32_t id);

static inline bool soon_is_before(int64_t at, int32_t id, const struct queue_entry *e)
{
    return at != e->at ? at < e->at : id < e->id;
}

static inline void soon_put(struct soon *s, int64_t at, int32_t id)
{
    if (s->from + s->n == s->size)
        soon_room(s);
    struct queue_entry *first = s->entries + s->from, *e = first + s->n++;
    for (int32_t k = 0; e > first && soon_is_before(at, id, &e[-1]); e--, k++) {
        if (k == SOON_NEAR) {
            e = soon_open(first, (int32_t)(e - first), at, id);
            break;
        }
        e[0] = e[-1];
    }
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
