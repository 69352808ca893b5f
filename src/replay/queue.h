// queue.h - numbers by time: a heap of plain entries, the earliest first, equal times by number.
//
// Smaller and faster than base/heap.h, whose nodes live in their owners and know their places.

#ifndef CAUDAL_QUEUE_H
#define CAUDAL_QUEUE_H

#include "base/base.h"

struct queue_entry {
    int64_t at;
    int32_t id;
};

struct queue {  // zeroed is empty
    struct queue_entry *entries;
    int32_t n, size;
};

void queue_release(struct queue *q);
void queue_put(struct queue *q, int64_t at, int32_t id);
static inline const struct queue_entry *queue_first(const struct queue *q)  // n > 0
{
    return q->entries;
}
int32_t queue_pop(struct queue *q);              // the id of the first; n > 0
void queue_remove(struct queue *q, int32_t id);  // O(n); it must be in

#endif
