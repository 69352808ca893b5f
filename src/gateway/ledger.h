// ledger.h - the record of every call: who asked, who was sent what, what it cost and was charged.
//
//   exchange, passthrough -> ledger_reserve ... ledger_settle, ledger_request   (a worker's pen)
//                               |  one write at the end of the turn, before its bytes leave
//                            journal of the worker  --fold thread-->  STATE/ledger/ledger.db
//
// A pen belongs to its worker's thread. Every physical send has one reserve row that is written
// before its first byte leaves, and is settled at its end; after kill -9 the rows left open are at
// most those that were in flight and those of one turn. Supplier connections must be corked
// (conn_cork) when they are written to, so that the write comes first.

#ifndef CAUDAL_LEDGER_H
#define CAUDAL_LEDGER_H

#include "base/buf.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/record.h"
#include "portfolio/portfolio.h"

struct ledger;
struct pen;

// Folds what an earlier process left, and starts the fold thread. `lock_fd` is ledger_lock() of the
// process that this one follows, which may still write (its rows are folded by it, or here once it
// has ended), or -1. A portfolio without serve.state
// has no ledger: `*out` is NULL, and a warning is logged.
//   Errors  ERR_EXISTS   another process has this ledger
//           ERR_INVALID  it is of a newer version, or damaged
//           ERR_LIMIT, ERR_DENIED, ERR_SYSTEM
MUST_USE enum err ledger_open(struct ledger **out, const struct portfolio *p, int32_t workers,
                              struct log *log, int lock_fd, struct diag *diag);
// To be handed to the process that takes over, as its `lock_fd`; -1 without a ledger.
int ledger_lock(const struct ledger *l);
// After all loops have ended and before they are freed: ends the threads that post to them.
void ledger_stop(struct ledger *l);
// After the loops are freed: writes and folds the rest.
void ledger_close(struct ledger *l);
// Makes the names of a portfolio known, of its first and of each that is loaded later.
MUST_USE enum err ledger_names(struct ledger *l, const struct portfolio *p, struct diag *diag);
// Before the worker's loop runs. NULL without a ledger; all calls below then do nothing and allow
// everything.
struct pen *ledger_pen(struct ledger *l, int32_t worker, struct loop *loop);

struct ledger_call {    // one physical send; zeroed: none
    uint64_t attempt;   // its RESERVE; 0: it was not written for want of room
    int64_t began_us;   // of the loop's clock
    bool open;          // ledger_settle() is owed
    bool request_owed;  // so is ledger_request(), and a place is kept for it
    struct ledger_wait {
        struct ledger_wait *next;
        uint64_t batch;
        bool waiting;
        void (*ready)(void *ctx);
        void *ctx;
    } wait;
};

// With RECORD_SHADOW no ledger_request() follows.
// False: there is no room and serve.ledger.on_full says refuse: nothing may be sent.
bool ledger_reserve(struct pen *pen, struct ledger_call *call, const struct record_reserve *v,
                    uint32_t flags);
// With durability `disk`, true: `ready` is called when the row is on the disk, and the send must
// wait for it. False: send now. ledger_settle() ends the waiting.
bool ledger_must_wait(struct pen *pen, struct ledger_call *call, void (*ready)(void *ctx),
                      void *ctx);
// Nothing happens if the call is not open. `s->attempt` and `total_us` are filled in.
void ledger_settle(struct pen *pen, struct ledger_call *call, struct record_settle *s,
                   uint32_t flags);
void ledger_request(struct pen *pen, struct ledger_call *call, const struct record_request *v,
                    uint32_t flags);

// What was drawn of a contract's commitment on the days that begin in [since_us, until_us); 0
// without a ledger. Waits for the disk.
MUST_USE enum err ledger_drawn(struct ledger *l, struct str contract, int32_t unit,
                               int64_t since_us, int64_t until_us, double *drawn,
                               struct diag *diag);
// Somebody changed something (admin.h): a row that the fold thread writes soon. Any thread may
// call. At most 1,024 wait for a store that takes none.
void ledger_audit(struct ledger *l, int64_t at_us, struct str who, struct str what,
                  struct str detail);

// The part of /metrics of the ledger that this is a pen of; nothing without one.
void ledger_metrics(const struct pen *pen, struct buf *out);

#endif
