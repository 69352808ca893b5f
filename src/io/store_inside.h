// store_inside.h - what store.c and its neighbours share: SQLite, and how a statement is run.
//
//   store_fold.c --row--> store_chunks.c   rows, packed, in `chunks`
//        |        `-row--> store_days.c    their sums, in `daily`
//   store_scan.c  rows again, as tables of SQL; store_ask.c, store_sums.c, store_keep.c ask them

#ifndef CAUDAL_STORE_INSIDE_H
#define CAUDAL_STORE_INSIDE_H

#include "base/buf.h"
#include "io/packed.h"
#include "io/store.h"

#include <sqlite3.h>

enum store_statement {
    STORE_OPEN,
    STORE_OPEN_GET,
    STORE_OPEN_DROP,
    STORE_GAP,
    STORE_LOOP,
    STORE_LOOP_MARK,
    STORE_MARK,
    STORE_DRAW,
    STORE_DAY,
    STORE_CHUNK_NEW,
    STORE_CHUNK_MORE,
    STORE_STATEMENTS
};

enum { STORE_APPLICATION = 0x63617564, STORE_DRAWS = 32, STORE_CHUNKS = 4, STORE_DAYS = 4096 };
enum { STORE_CHUNK_SMALL = 3 * 1024 };  // bytes; a chunk of less is added to by later transactions

struct store_draw {  // of one day, commitment and unit, not written yet
    int64_t day;     // since 1970
    uint64_t commitment;
    uint16_t unit;
    double drawn;
};

struct store_chunk {  // rows of one kind that began on one day (UTC)
    int64_t id;       // of its row; 0: it has none yet
    int64_t day, n, min_us, max_us;
    int64_t used;  // when, as the store counts; 0: nothing is here
    enum packed_kind kind;
    bool changed;
    struct packed_row last;
    struct buf rows;
};

// What `daily` sums up, behind its key.
enum store_day_sum {
    DAY_ATTEMPTS,
    DAY_FAILED,
    DAY_CANCELLED,
    DAY_FAILED_OVER,
    DAY_ESTIMATED,
    DAY_PROMPT,
    DAY_CACHED,
    DAY_OUTPUT,
    DAY_REASONING,
    DAY_LIST,
    DAY_MARGINAL,
    DAY_CHARGED,
    DAY_ESTIMATED_NUSD,
    DAY_SUMS
};
struct store_day {   // sums of the transaction that is on, not written yet
    int64_t key[8];  // day since 1970, tenant, key, pool, supplier, contract, model, fault
    int64_t sum[DAY_SUMS];
    double joules;
};

enum { STORE_BOUND_MAX = 40 };
struct store_bound {  // whole numbers bound to a statement
    uint64_t known;   // bit i: value[i]
    int64_t value[STORE_BOUND_MAX];
};

struct store {
    sqlite3 *db;
    char *path;
    bool reads_only;
    sqlite3_stmt *made[STORE_STATEMENTS];  // prepared when first needed
    struct store_bound bound[STORE_STATEMENTS];
    bool within;                           // a transaction of store_fold() is on
    struct store_draw draws[STORE_DRAWS];  // of it
    int32_t n_draws;
    struct store_chunk chunks[STORE_CHUNKS];
    int64_t uses;            // of chunks
    struct store_day *days;  // [STORE_DAYS], made when first needed
    int32_t n_days;
    int32_t day_at[2 * STORE_DAYS];  // by hash of the key: 1 + its place; 0: none
};

// The last failure of `s` in our words.
enum err store_failure(const struct store *s, const char *what, int status, struct diag *diag);
enum err store_run(struct store *s, const char *sql, struct diag *diag);  // rows are not looked at
enum err store_step(const struct store *s, sqlite3_stmt *q, struct diag *diag);  // and resets it
enum err store_prepare(const struct store *s, const char *sql, sqlite3_stmt **out,
                       struct diag *diag);
// One number of a query without parameters; `*out` stays where it has no row.
enum err store_number(struct store *s, const char *sql, int64_t *out, struct diag *diag);
// Ends a reading whose last step said `status`; a row is no failure: no more was wanted.
enum err store_read_end(struct store *s, sqlite3_stmt *q, int status, struct diag *diag);
struct str store_text(sqlite3_stmt *q, int column);  // borrowed until the next step
// Brings a store of `version` up to date. store_migrate.c
enum err store_migrate(struct store *s, int64_t version, struct diag *diag);

// A statement keeps what is bound to it, and most columns of a row are those of the row before:
// only what differs is bound again.
struct store_binder {
    sqlite3_stmt *q;
    struct store_bound *last;
    int n;
};
enum err store_begin(struct store *s, enum store_statement which, struct store_binder *b,
                     struct diag *diag);
void store_put(struct store_binder *b, int64_t v);
void store_put_id(struct store_binder *b, uint64_t v);
void store_put_real(struct store_binder *b, double v);
void store_put_text(struct store_binder *b, const char *text, size_t max);
void store_put_blob(struct store_binder *b, const void *p, size_t n);

// Writing rows: each adds to memory, and _write() brings it into the transaction. store_chunks.c
enum err store_chunk_add(struct store *s, enum packed_kind kind, const struct packed_row *row,
                         struct diag *diag);
enum err store_chunks_write(struct store *s, struct diag *diag);
void store_chunks_forget(struct store *s);  // what was not written, or is no longer so
// store_days.c
enum err store_day_add(struct store *s, enum packed_kind kind, const struct packed_row *row,
                       struct diag *diag);
enum err store_days_write(struct store *s, struct diag *diag);
void store_days_forget(struct store *s);
// store_fold.c
enum err store_open_add(struct store *s, const struct packed_row *row, struct diag *diag);

// Tables of SQL over packed rows: attempt_rows(from, until) of those that are settled,
// open_rows(from, until), request_rows(from, until), by when they began. store_scan.c
enum err store_scan_tables(struct store *s, struct diag *diag);

// A span of time: the days (since 1970, UTC) that `daily` answers for, and the pieces of others,
// which rows answer for. Days whose rows have gone count whole, if they begin within. store_sums.c
struct store_span {
    int64_t day, day_end;
    struct {
        int64_t from_us, until_us;
    } piece[2];
};
enum err store_span(struct store *s, int64_t since_us, int64_t until_us, struct store_span *out,
                    struct diag *diag);
void store_bind_day(sqlite3_stmt *q, int at, int64_t day);  // as `daily` has it

#endif
