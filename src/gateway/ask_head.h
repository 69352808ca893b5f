// ask_head.h - the head of a call to a supplier, up to what differs from one to the next.

#ifndef CAUDAL_ASK_HEAD_H
#define CAUDAL_ASK_HEAD_H

#include "gateway/generation.h"

struct ask_head {
    enum surface surface;
    bool stream;
    const char *id;  // of the request
    size_t body_bytes;
};

// Appends it to `out`, without the empty line at its end.
void ask_head_write(const struct generation *g, const struct endpoint *ep, const struct ask_head *a,
                    struct buf *out);

#endif
