// commitments.h - what was committed to, as it is used: known again after a start, and shown.

#ifndef CAUDAL_COMMITMENTS_H
#define CAUDAL_COMMITMENTS_H

#include "gateway/core.h"
#include "gateway/ledger.h"

// Tells the core what the ledger knows to be used of each commitment in the period of `wall_us`.
// One that the core knows already, of an earlier portfolio, stays as it is. Reads the store: not on
// a loop.
MUST_USE enum err commitments_rebuild(struct ledger *l, struct core *c, struct generation *g,
                                      int64_t now_us, int64_t wall_us, struct diag *diag);
// The part of /metrics about them; nothing without any.
void commitments_metrics(struct core *c, struct generation *g, int64_t wall_us, struct buf *out);

#endif
