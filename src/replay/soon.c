#include "replay/soon.h"

#include <stdlib.h>
#include <string.h>

enum { SOON_FIRST = 16 };

void soon_release(struct soon *s)
{
    free(s->entries);
    *s = (struct soon){0};
}

void soon_room(struct soon *s)
{
    // Moved to the front when it is half empty: each entry is moved once on average.
    if (s->n > s->size / 2 || s->size == 0) {
        s->size = s->size ? 2 * s->size : SOON_FIRST;
        s->entries = realloc(s->entries, (size_t)s->size * sizeof *s->entries);
        CHECK(s->entries);
    }
    memmove(s->entries, s->entries + s->from, (size_t)s->n * sizeof *s->entries);
    s->from = 0;
}

struct queue_entry *soon_open(struct queue_entry *first, int32_t n, int64_t at, int32_t id)
{
    int32_t from = 0, until = n;
    while (from < until) {
        int32_t i = from + (until - from) / 2;
        if (soon_is_before(at, id, &first[i]))
            until = i;
        else
            from = i + 1;
    }
    memmove(first + from + 1, first + from, (size_t)(n - from) * sizeof *first);
    return first + from;
}

void soon_remove(struct soon *s, int32_t id)
{
    struct queue_entry *e = s->entries + s->from, *end = e + s->n;
    while (e < end && e->id != id)
        e++;
    CHECK(e < end);
    memmove(e, e + 1, (size_t)(end - e - 1) * sizeof *e);
    s->n--;
}
