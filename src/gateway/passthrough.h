// passthrough.h - paths that no model decides (files, batches, responses by id) go to the tenant's
// supplier as they are: streamed both ways, counted, not routed.

#ifndef CAUDAL_PASSTHROUGH_H
#define CAUDAL_PASSTHROUGH_H

#include "gateway/dispatch.h"

void passthrough_begin(struct worker *w, struct client *c, const struct asked *q, int32_t supplier);

// The same for a request whose body has been read already (a model's path without a model).
void passthrough_whole(struct worker *w, struct client *c, const struct asked *q, int32_t supplier,
                       struct str body);

// Appends the headers of a client that a supplier may see: an allow-list, so that credentials,
// cookies and encodings never go through.
void passthrough_headers(const struct http1_head *head, struct buf *out);

#endif
