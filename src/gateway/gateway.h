// gateway.h - `caudal serve`: one OpenAI-compatible endpoint over a portfolio.
//
//   accept -> authenticate -> read -> recognise -> pick -> attempt(s) -> relay -> settle
//   client.c   auth.c      exchange.c             core.c   attempt.c     relay.c  receipt.c
//
// One worker (a loop on its own thread) per core around one shared core; the first runs on the
// calling thread, which must be the main one, since engines are its children.

#ifndef CAUDAL_GATEWAY_H
#define CAUDAL_GATEWAY_H

#include "base/buf.h"
#include "base/err.h"
#include "io/log.h"
#include "portfolio/portfolio.h"

struct gateway_config {
    const struct portfolio *portfolio;  // the first; sealed; borrowed until gateway_run() returns
    struct log *log;
    struct str https_proxy, no_proxy;  // of the environment
    bool take_over;                    // from the process that serves with the same state folder
    struct str state;                  // folder for engine logs where serve.state says none
    void (*listening)(void *ctx, struct str url);  // called once when requests are taken
    // Reads the portfolio again, on a thread of its own: for a reload. What is wrong, and what
    // should be looked at, goes to `said`, a line each. NULL: it cannot be reloaded.
    //   Errors  ERR_INVALID and others: it is not right, and `said` has lines
    enum err (*load)(void *ctx, const struct portfolio **out, struct buf *said);
    void (*release)(void *ctx, const struct portfolio *p);  // of what `load` gave; any thread
    void *ctx;
};

// Serves until SIGTERM or SIGINT has drained it; SIGHUP reads the portfolio again (reload.h).
// Returns what kept it from starting, or ERR_NONE.
MUST_USE enum err gateway_run(const struct gateway_config *c, struct diag *diag);

#endif
