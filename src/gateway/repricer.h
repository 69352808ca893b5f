// repricer.h - what commitments are worth, found anew while serving (route/resolve.h).
//
//   a timer of the first worker's loop -> core_resolve_see()    a copy, under the core's lock
//        a thread beside the loops     -> resolve_solve()       milliseconds
//               the loop again         -> core_resolve_tell()   under the lock; in the event log
//
// One at a time. While none is found (no memory, a thread that is busy elsewhere) prices hold for
// RESOLVE_HOLDS_US, and then the pace decides as if there were no such thing.

#ifndef CAUDAL_REPRICER_H
#define CAUDAL_REPRICER_H

#include "base/buf.h"

struct gateway;
struct repricer;

// Begins to look, on the first worker's loop.
struct repricer *repricer_new(struct gateway *g);
void repricer_free(struct repricer *x);  // after that loop is freed
// The part of /metrics about it: any thread.
void repricer_metrics(const struct repricer *x, struct buf *out);

#endif
