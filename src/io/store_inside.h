// store_inside.h - what store.c and store_ask.c share: SQLite, and how a statement is run.

#ifndef CAUDAL_STORE_INSIDE_H
#define CAUDAL_STORE_INSIDE_H

#include "io/store.h"

#include <sqlite3.h>

enum store_statement {
    STORE_RESERVE,
    STORE_SETTLE,
    STORE_REQUEST,
    STORE_GAP,
    STORE_BLOCK,
    STORE_BLOCK_NEW,
    STORE_BLOCK_SPAN,
    STORE_MARK,
    STORE_DRAW,
    STORE_STATEMENTS
};

enum { STORE_BLOCK_ROWS = 1 << 16, STORE_KNOWN = 256, STORE_DRAWS = 32 };

struct store_block {
    uint32_t epoch;
    uint16_t loop;
    uint64_t block;
    int64_t id;  // 0: none
};

struct store_draw {  // of one day, commitment and unit, not written yet
    int64_t day;     // since 1970
    uint64_t commitment;
    uint16_t unit;
    double drawn;
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
    struct store_block known[STORE_KNOWN];  // the last of each loop
    struct store_draw draws[STORE_DRAWS];   // of the transaction that is on
    int32_t n_draws;
};

// The last failure of `s` in our words.
enum err store_failure(const struct store *s, const char *what, int status, struct diag *diag);
enum err store_run(struct store *s, const char *sql, struct diag *diag);  // rows are not looked at
enum err store_step(const struct store *s, sqlite3_stmt *q, struct diag *diag);  // and resets it
enum err store_prepare(const struct store *s, const char *sql, sqlite3_stmt **out,
                       struct diag *diag);

#endif
