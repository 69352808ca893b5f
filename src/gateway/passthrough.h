// passthrough.h - paths that no model decides (files, batches, responses by id) go to the tenant's
// supplier as they are: streamed both ways, counted, not routed.

#ifndef CAUDAL_PASSTHROUGH_H
#define CAUDAL_PASSTHROUGH_H

#include "gateway/dispatch.h"
#include "gateway/otlp.h"

void passthrough_begin(struct worker *w, struct client *c, const struct asked *q, int32_t supplier);

// The same for a request whose body has been read already (a model's path without a model);
// `headers` is what passthrough_headers() kept of it; `span` is moved.
void passthrough_whole(struct worker *w, struct client *c, const struct asked *q, int32_t supplier,
                       struct str headers, struct span_context *span, struct str body);

// What the head of a request may come to as it is sent on: the client's own, and what we say in it.
static inline size_t passthrough_head_room(const struct portfolio *p)
{
    return (size_t)p->serve.head_bytes + 64 * 1024;
}

// Appends the headers of a client that a supplier may see, as lines: an allow-list, so that
// credentials, cookies and encodings never go through. Without `as_it_is` those are left out that a
// model's call says itself: its type and what it accepts (exchange_try.c).
void passthrough_headers(const struct http1_head *head, bool as_it_is, struct buf *out);

#endif
