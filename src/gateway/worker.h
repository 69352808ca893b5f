// worker.h - one loop of the gateway on its own thread, and what its requests share.

#ifndef CAUDAL_WORKER_H
#define CAUDAL_WORKER_H

#include "base/rng.h"
#include "gateway/core.h"
#include "gateway/gateway.h"
#include "gateway/ledger.h"
#include "gateway/metrics.h"
#include "gateway/otlp.h"
#include "gateway/seats.h"
#include "gateway/upstream.h"

struct client;
struct exchange;
struct gateway;
struct keys;
struct limits;
struct shadow;

struct worker {
    int32_t index;
    struct loop *loop;
    struct listener *listener;
    struct core *core;              // shared
    struct limits *limits;          // shared
    struct keys *keys;              // shared; NULL: none can be made
    struct metrics *metrics;        // shared
    struct seats *seats;            // shared; each client has one
    struct log *log;                // of the loop
    struct pen *pen;                // of the shared ledger; NULL: there is none
    struct generation *generation;  // held; the one that new requests begin with
    struct upstream *upstream;
    struct otlp *otlp;           // spans on their way
    struct rng rng;              // draws and request ids; seeded from the system
    struct client *clients;      // all connections, newest first
    struct exchange *exchanges;  // requests in progress, newest first
    struct shadow *shadows;      // copies in progress, newest first
    int32_t n_clients;
    bool draining;
    bool leaving;        // draining, but those that are idle may ask once more
    int64_t began_us;    // when the gateway started
    int64_t began_s;     // the same since 1970, one for all workers
    struct buf scratch;  // for building a head; empty between calls
    int64_t date_s;      // what `date` says
    char date[40];       // "Sun, 06 Nov 1994 08:49:37 GMT"
    struct gateway *owner;
    // Called while draining, when the last client and the last shadow have gone.
    void (*idle)(struct worker *w);
};

const char *worker_date(struct worker *w);
void worker_look_idle(struct worker *w);  // a client or a shadow has gone: was it the last?
// Closes idle connections, lets the others end their request, takes no new ones.
void worker_drain(struct worker *w);
// As worker_drain(), for a process whose place another has taken: no request that is on its way is
// lost to a closing connection. The next answer of each says that it closes; who asks nothing for 5
// s is closed.
void worker_leave(struct worker *w);
void worker_cut(struct worker *w);  // closes all connections at once

#endif
