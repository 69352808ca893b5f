// spare.h - blocks of one size for buffers that live for a moment, kept from one to the next.
//
// A request fills half a dozen small buffers and is over. malloc() has no fast way for blocks of
// their size; a stack of them has, and the block used last is the one that is still in the cache.

#ifndef CAUDAL_SPARE_H
#define CAUDAL_SPARE_H

#include "base/buf.h"

enum { SPARE_BYTES = 4096, SPARES_MAX = 256 };

struct spares {  // zeroed: none; one thread's
    char *block[SPARES_MAX];
    int32_t n;
};

void spares_release(struct spares *s);
// Gives `b` a block, if it holds no memory. One that outgrows it goes on as any buffer.
void spare_lend(struct spares *s, struct buf *b);
// Like buf_release(): the block comes back, other memory is freed.
void spare_take(struct spares *s, struct buf *b);

#endif
