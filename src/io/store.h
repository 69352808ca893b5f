// store.h - the ledger's rows, in SQLite; the only file that sees it is store.c and its neighbours.
//
// Rows come from journals: store_fold() takes records of one segment and notes how far it got, in
// one transaction with their sums by day, so a crash between is repeated and changes nothing (a row
// is unique by epoch, loop and sequence). A commit is on the disk before store_commit() returns:
// only then may a segment go.
//
// One process writes at a time: it holds the lock of the folder (store_lock). Reading is open to
// all.

#ifndef CAUDAL_STORE_H
#define CAUDAL_STORE_H

#include "base/buf.h"
#include "base/err.h"
#include "io/record.h"

struct store;
struct store_lock;

enum { STORE_VERSION = 5 };

// ERR_EXISTS: another process has it; `diag` names it.
MUST_USE enum err store_lock(struct store_lock **out, struct str folder, struct diag *diag);
void store_unlock(struct store_lock *l);
// A lock is shared by handing its descriptor to another process, which adopts it: the folder stays
// locked until both have let go.
int store_lock_share(const struct store_lock *l);
void store_lock_adopt(struct store_lock **out, int fd);

enum store_mode { STORE_WRITE, STORE_READ };
// Opens FOLDER/ledger.db. STORE_WRITE makes it, or brings an older one up to date.
//   Errors  ERR_MISSING  STORE_READ and there is none
//           ERR_INVALID  it is of a newer version, or no database, or damaged
//           ERR_DENIED   it may not be read, or written
//           ERR_LIMIT    the disk is full
MUST_USE enum err store_open(struct store **out, struct str folder, enum store_mode mode,
                             struct diag *diag);
void store_close(struct store *s);

// A number greater than any given before, and than `at_least`; durable when it returns.
MUST_USE enum err store_epoch(struct store *s, uint32_t at_least, uint32_t *epoch,
                              struct diag *diag);

struct store_name {
    enum record_name kind;
    struct str name;
};
// ERR_INVALID: two names have one id.
MUST_USE enum err store_names(struct store *s, const struct store_name *names, int32_t n,
                              struct diag *diag);

// Every name of this kind that it knows, in their order, each borrowed for its call.
MUST_USE enum err store_known(struct store *s, enum record_name kind,
                              void (*call)(void *ctx, struct str name), void *ctx,
                              struct diag *diag);

// How far `segment` was folded; 0: not at all.
MUST_USE enum err store_offset(struct store *s, const char *segment, int64_t *offset,
                               struct diag *diag);
// Rows of one segment and loop, in their order, up to `offset`; `n` at least 1. The first call
// begins a transaction, store_commit() ends it; when one fails, nothing of the transaction is
// there.
MUST_USE enum err store_fold(struct store *s, const char *segment, int64_t offset,
                             const struct record *r, int32_t n, struct diag *diag);
MUST_USE enum err store_commit(struct store *s, struct diag *diag);
// The segment's file has gone.
MUST_USE enum err store_forget(struct store *s, const char *segment, struct diag *diag);

// A whole copy at `path`, consistent while others write. ERR_EXISTS: something is there.
MUST_USE enum err store_backup(struct store *s, struct str path, struct diag *diag);
// Forgets attempts and requests of the days before `before_us`, so that only their sums by day are
// there; open ones stay.
MUST_USE enum err store_retain(struct store *s, int64_t before_us, int64_t *rows,
                               struct diag *diag);
// PRAGMA quick_check, and all rows unpacked, for a doubt; `*rows` were there. ERR_INVALID: damaged.
MUST_USE enum err store_check(struct store *s, int64_t *rows, struct diag *diag);

// --- asking -----------------------------------------------------------------------------------

enum store_by {
    STORE_BY_DAY,
    STORE_BY_POOL,
    STORE_BY_TENANT,
    STORE_BY_MODEL,
    STORE_BY_CONTRACT,
    STORE_BY_SUPPLIER,
    STORE_BY_FAULT,
    STORE_BY_KEY,
    STORE_BYS
};
const char *store_by_name(enum store_by by);

struct store_ask {
    // A day whose rows have gone counts whole, if it begins within.
    int64_t since_us, until_us;         // by the start of the attempt; 0 and INT64_MAX: all
    struct str tenant, pool, supplier;  // names; empty: all
    enum store_by by[STORE_BYS];
    int32_t n_by;
};

struct store_sum {              // of attempts, one row of an answer
    struct str key[STORE_BYS];  // "2026-11-22", "local-a"; borrowed for the call
    int64_t attempts, open, failed, cancelled, failed_over, estimated;
    int64_t prompt_tok, cached_tok, output_tok, reasoning_tok;
    int64_t list_nusd, marginal_nusd, charged_nusd;
    int64_t estimated_nusd;  // part of list
    int64_t open_nusd;       // what the open ones cost at most
    int64_t open_unbounded;  // open ones that nothing limits
    double joules;
};
// Sums in the order of their keys; whole days cost nothing more for having many rows. `row` returns
// false to stop.
MUST_USE enum err store_sums(struct store *s, const struct store_ask *ask,
                             bool (*row)(void *ctx, const struct store_sum *sum), void *ctx,
                             struct diag *diag);

// Rows as they are, in the order of their beginning: column names, and each row's cells (borrowed;
// numbers as text, NULL for none). `surface`, `fault` and `unit` are the numbers of their enums.
struct store_cells {
    int32_t n;
    const struct str *name, *cell;
    const bool *number;
};
enum store_table { STORE_ATTEMPTS, STORE_REQUESTS };
MUST_USE enum err store_rows(struct store *s, enum store_table table, const struct store_ask *ask,
                             bool (*row)(void *ctx, const struct store_cells *cells), void *ctx,
                             struct diag *diag);

struct store_change {  // what an operator changed
    int64_t at_us;
    struct str who, what, detail;
};
MUST_USE enum err store_audit(struct store *s, const struct store_change *change,
                              struct diag *diag);
// In the order of their times; `row` returns false to stop.
MUST_USE enum err store_changes(struct store *s, int64_t since_us, int64_t until_us,
                                bool (*row)(void *ctx, const struct store_change *change),
                                void *ctx, struct diag *diag);

struct store_gaps {  // calls that were made while the journal had no room
    int64_t attempts, list_nusd;
};
MUST_USE enum err store_gaps(struct store *s, int64_t since_us, int64_t until_us,
                             struct store_gaps *out, struct diag *diag);

// What was drawn of a contract's commitment, in `unit`, on the days (UTC, by the end of each
// attempt) that begin in [since_us, until_us).
MUST_USE enum err store_drawn(struct store *s, struct str contract, int32_t unit, int64_t since_us,
                              int64_t until_us, double *drawn, struct diag *diag);

#endif
