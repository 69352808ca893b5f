// A copy of the ledger, forgetting what is old, and a look for damage.

#include "io/store_inside.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum err store_backup(struct store *s, struct str path, struct diag *diag)
{
    char to[4096];
    if (path.n >= sizeof to)
        return diag_set(diag, ERR_INVALID, "the path of the backup is too long");
    memcpy(to, path.p, path.n);
    to[path.n] = 0;
    if (access(to, F_OK) == 0)
        return diag_set(diag, ERR_EXISTS, "%s is there already", to);
    sqlite3_stmt *q;
    enum err e = store_prepare(s, "VACUUM INTO ?", &q, diag);
    if (e)
        return e;
    sqlite3_bind_text(q, 1, to, -1, SQLITE_STATIC);
    int status = sqlite3_step(q);
    if (status != SQLITE_DONE)
        e = store_failure(s, "the backup failed", status, diag);
    sqlite3_finalize(q);
    if (e)
        unlink(to);
    return e;
}

// Their sums are there already: only rows go. What is open stays.
enum err store_retain(struct store *s, int64_t before_us, int64_t *rows, struct diag *diag)
{
    char sql[512];
    int64_t day = before_us / S(86400);
    *rows = 0;
    store_chunks_forget(s);  // one that later rows would be added to may be among them
    enum err e = store_run(s, "BEGIN IMMEDIATE", diag);
    snprintf(sql, sizeof sql, "SELECT sum(n) FROM chunks WHERE max_us<%" PRId64, day * S(86400));
    if (!e)
        e = store_number(s, sql, rows, diag);
    snprintf(sql, sizeof sql,
             "DELETE FROM chunks WHERE max_us<%" PRId64 ";"
             "INSERT INTO meta VALUES('retained_day',%" PRId64 ") ON CONFLICT(key) DO UPDATE SET "
             "value=max(value,excluded.value)",
             day * S(86400), day);
    if (!e)
        e = store_run(s, sql, diag);
    if (!e)
        e = store_run(s, "COMMIT", diag);
    if (e)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return e;
}

// Packed rows are more than SQLite can check: all of them must be there when they are unpacked.
static enum err check_rows(struct store *s, struct diag *diag)
{
    int64_t missing = 0;
    enum err e = store_number(s,
                              "SELECT (SELECT coalesce(sum(n),0) FROM chunks)"
                              "-(SELECT count(*) FROM attempt_rows(-1e18,4e18))"
                              "-(SELECT count(*) FROM request_rows(-1e18,4e18))",
                              &missing, diag);
    if (!e && missing)
        e = diag_set(diag, ERR_INVALID, "%s is damaged: %" PRId64 " rows are not what was packed",
                     s->path, missing);
    return e;
}

enum err store_check(struct store *s, int64_t *rows, struct diag *diag)
{
    *rows = 0;
    sqlite3_stmt *q;
    enum err e = store_prepare(s, "PRAGMA quick_check(1)", &q, diag);
    if (e)
        return e;
    int status = sqlite3_step(q);
    const char *said = status == SQLITE_ROW ? (const char *)sqlite3_column_text(q, 0) : NULL;
    if (!said)
        e = store_failure(s, "cannot be read", status, diag);
    else if (strcmp(said, "ok") != 0)
        e = diag_set(diag, ERR_INVALID, "%s is damaged: %s", s->path, said);
    sqlite3_finalize(q);
    if (!e)
        e = check_rows(s, diag);
    return e ? e : store_number(s, "SELECT coalesce(sum(n),0) FROM chunks", rows, diag);
}
