#include "replay/queue.h"

#include <stdlib.h>

enum { WAYS = 4, QUEUE_FIRST = 16 };

void queue_release(struct queue *q)
{
    free(q->entries);
    *q = (struct queue){0};
}

static bool is_before(const struct queue_entry *a, const struct queue_entry *b)
{
    return a->at != b->at ? a->at < b->at : a->id < b->id;
}

static void rise(struct queue *q, int32_t i, struct queue_entry e)
{
    while (i > 0) {
        int32_t up = (i - 1) / WAYS;
        if (!is_before(&e, &q->entries[up]))
            break;
        q->entries[i] = q->entries[up];
        i = up;
    }
    q->entries[i] = e;
}

static void sink(struct queue *q, int32_t i, struct queue_entry e)
{
    for (;;) {
        int32_t first = i * WAYS + 1, last = first + WAYS;
        if (first >= q->n)
            break;
        if (last > q->n)
            last = q->n;
        int32_t least = first;
        for (int32_t k = first + 1; k < last; k++)
            least = is_before(&q->entries[k], &q->entries[least]) ? k : least;
        if (!is_before(&q->entries[least], &e))
            break;
        q->entries[i] = q->entries[least];
        i = least;
    }
    q->entries[i] = e;
}

void queue_put(struct queue *q, int64_t at, int32_t id)
{
    if (q->n == q->size) {
        q->size = q->size ? 2 * q->size : QUEUE_FIRST;
        struct queue_entry *more = realloc(q->entries, (size_t)q->size * sizeof *more);
        CHECK(more);
        q->entries = more;
    }
    rise(q, q->n++, (struct queue_entry){at, id});
}

int32_t queue_pop(struct queue *q)
{
    CHECK(q->n > 0);
    int32_t id = q->entries[0].id;
    q->n--;
    if (q->n)
        sink(q, 0, q->entries[q->n]);
    return id;
}

void queue_remove(struct queue *q, int32_t id)
{
    int32_t i = 0;
    while (i < q->n && q->entries[i].id != id)
        i++;
    CHECK(i < q->n);
    struct queue_entry last = q->entries[--q->n];
    if (i == q->n)
        return;
    if (i > 0 && is_before(&last, &q->entries[(i - 1) / WAYS]))
        rise(q, i, last);
    else
        sink(q, i, last);
}
