// takeover.h - a new process takes the place of one that serves, without a dropped connection.
//
//   caudal serve --take-over P, or SIGUSR2 to the one that serves, which then starts it
//     -> reads its portfolio, gets the listening sockets and the lock of the ledger (handover.h)
//     -> its engines become ready, as many as the other has ready
//     -> it accepts; the other closes its listeners, ends what it has begun, and goes
//
// If it ends before that, nothing has happened to the other. The first worker's loop does all of
// it.

#ifndef CAUDAL_TAKEOVER_H
#define CAUDAL_TAKEOVER_H

#include "io/loop.h"
#include "portfolio/portfolio.h"

struct gateway;
struct takeover;

// With `take_over` set: asks the one that serves for all it has.
//   Errors  ERR_INVALID  the portfolio says no state folder, where the two would meet
//           ERR_MISSING, ERR_EXISTS, ERR_RESET, ERR_TIMEOUT, ERR_DENIED  of handover.h
MUST_USE enum err takeover_new(struct takeover **out, struct gateway *g, bool take_over,
                               struct diag *diag);
void takeover_free(struct takeover *t);        // before its loop
int takeover_ledger_lock(struct takeover *t);  // for ledger_open(), once; -1: none came

struct takeover_listen {
    const char *what;  // "clients", "admin"
    struct str host;
    int32_t port, index, n;  // the index-th of n loops that listen there
    struct loop *loop;
    accept_call on_accept;
    void *ctx;
};
// As listener_new(), with the sockets that came over for this address, when some did; it is then
// paused until the other one stops. NULL in `*out`: there were fewer than loops; again, later.
MUST_USE enum err takeover_listener(struct takeover *t, struct listener **out,
                                    const struct takeover_listen *l, struct diag *diag);

// All loops run. Calls gateway_open() when this process may accept, or gateway_fail(); from then on
// offers itself to the next.
void takeover_begin(struct takeover *t);
void takeover_stop(struct takeover *t);  // draining: no longer offered

#endif
