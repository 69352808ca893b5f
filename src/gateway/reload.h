// reload.h - another portfolio while requests go on.
//
//   SIGHUP, POST /admin/reload
//      -> read, checked and adopted by the core on a thread of its own
//      -> engines whose command changed become ready
//      -> each worker takes the new generation in a call of its own loop
//
// Requests keep the generation they began with, and the old one goes with the last of them. A
// portfolio that is not right is refused with its errors, and nothing has changed. What is read at
// the start only (addresses, threads, the state folder, the ledger's settings, the log's format)
// stays as it is until a restart: the answer and the log name each key that differs.

#ifndef CAUDAL_RELOAD_H
#define CAUDAL_RELOAD_H

#include "gateway/gateway_inside.h"

struct reload;

struct reload *reload_new(struct gateway *g);
void reload_stop(
    struct reload *r);  // waits for a reading that is under way; before loops are freed
void reload_free(struct reload *r);

// Begins one. `call` gets its outcome; NULL: the log alone does, and a reload that is under way is
// followed by another.
void reload_begin(struct gateway *g, struct admin_call *call);

// Makes the first generation, or a reload's, the gateway's own: when nobody uses it any more, it is
// freed on the main thread.
void reload_own(struct gateway *g, struct generation *next);
// After the loops are freed: all that are left.
void reload_release(struct gateway *g);

// The part of /metrics about generations; any thread.
void reload_metrics(const struct gateway *g, struct buf *out);

#endif
