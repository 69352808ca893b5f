// What operators changed, and who.

#include "io/store_inside.h"

enum err store_audit(struct store *s, const struct store_change *change, struct diag *diag)
{
    sqlite3_stmt *add;
    enum err e = store_prepare(s, "INSERT INTO audit VALUES(?,?,?,?)", &add, diag);
    if (e)
        return e;
    sqlite3_bind_int64(add, 1, change->at_us);
    sqlite3_bind_text(add, 2, change->who.p, (int)change->who.n, SQLITE_STATIC);
    sqlite3_bind_text(add, 3, change->what.p, (int)change->what.n, SQLITE_STATIC);
    sqlite3_bind_text(add, 4, change->detail.p, (int)change->detail.n, SQLITE_STATIC);
    e = store_step(s, add, diag);
    sqlite3_finalize(add);
    return e;
}

enum err store_changes(struct store *s, int64_t since_us, int64_t until_us,
                       bool (*row)(void *ctx, const struct store_change *change), void *ctx,
                       struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s,
                               "SELECT at_us,who,what,detail FROM audit"
                               " WHERE at_us>=? AND at_us<? ORDER BY at_us,rowid",
                               &q, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 1, since_us);
    sqlite3_bind_int64(q, 2, until_us);
    int status;
    bool more = true;
    while (more && (status = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_change change = {sqlite3_column_int64(q, 0), store_text(q, 1),
                                      store_text(q, 2), store_text(q, 3)};
        more = row(ctx, &change);
    }
    return store_read_end(s, q, status, diag);
}
