// explain.h - why a request would go where, of the gateway as it is now. Nothing is sent, taken or
// counted.

#ifndef CAUDAL_GATEWAY_EXPLAIN_H
#define CAUDAL_GATEWAY_EXPLAIN_H

#include "gateway/worker.h"
#include "route/route.h"

struct key;

// Appends the JSON of wire/explain.h: the decision, its candidates, and what limits the tenant and
// the key (NULL: none) now.
void explain_write(struct worker *w, struct generation *g, const struct key *key,
                   const struct route_ask *ask, struct buf *out);

#endif
