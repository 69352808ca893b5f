#include "replay/watch.h"

#include <stdlib.h>

void watch_room(struct watch *w, int32_t n_rows, int32_t had, int32_t n_entries)
{
    CHECK(n_entries <= INT32_MAX - n_rows);
    int32_t from = w->links ? n_rows + had : 0, n = n_rows + n_entries;
    w->links = realloc(w->links, (size_t)n * sizeof *w->links);
    CHECK(w->links);
    w->n_rows = n_rows;
    for (int32_t i = from; i < n; i++)
        w->links[i] =
            i < n_rows ? (struct watch_link){NEVER, i, i} : (struct watch_link){NEVER, -1, -1};
}

void watch_release(struct watch *w)
{
    free(w->links);
    *w = (struct watch){0};
}
