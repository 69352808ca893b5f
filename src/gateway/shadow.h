// shadow.h - copies of answered requests, for pools that only shadow another one.
//
//   exchange: a pool answers --shadows_see()--> drawn, and there is room: the body is taken over
//   next turn, when the client's bytes are on their way:
//      its money (limits.h) -> core_shadow() -> reserve row -> attempt --bytes--> relay: counted,
//      dropped
//
// A shadow knows nothing of the client and of the exchange that it is of, and neither waits for it:
// it is one attempt, without another after it, and lives until it ends. At most
// serve.limits.shadows are on in the process, each with a body and an answer within their limits.

#ifndef CAUDAL_SHADOW_H
#define CAUDAL_SHADOW_H

#include "gateway/worker.h"

struct shadow_seen {  // a request at its first content
    struct generation *generation;
    const struct route_ask *ask;
    int32_t pool, model;  // that answer
    const char *id;
    struct str headers;  // what of the client's head goes on
    struct buf *body;    // the client's; taken over, and empty then, or left alone
};

// Begins the copies that it is drawn for. Only memory is moved before the turn is over.
void shadows_see(struct worker *w, const struct shadow_seen *seen);

// The worker is draining: nothing new begins, and what is on has serve.drain at most.
void shadows_drain(struct worker *w);
void shadows_cut(struct worker *w);  // ends them all

#endif
