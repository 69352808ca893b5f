#include "base/spare.h"
#include "base/arena.h"

#include <stdlib.h>

void spares_release(struct spares *s)
{
    while (s->n)
        free(s->block[--s->n]);
}

void spare_lend(struct spares *s, struct buf *b)
{
    if (b->p)
        return;
    b->p = s->n ? s->block[--s->n] : malloc(SPARE_BYTES);
    CHECK(b->p);
    b->size = SPARE_BYTES;
}

void spare_take(struct spares *s, struct buf *b)
{
    if (b->size == SPARE_BYTES && s->n < SPARES_MAX) {
        buf_clear(b);  // wiped, if it is secret
        s->block[s->n++] = b->p;
        b->p = NULL;
    }
    buf_release(b);
}
