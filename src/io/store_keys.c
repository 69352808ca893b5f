#include "io/store_keys.h"

#include "io/store_inside.h"

static enum err change(struct store *s, sqlite3_stmt *q, enum err nothing, const char *why,
                       struct diag *diag)
{
    enum err e = store_step(s, q, diag);
    if (!e && sqlite3_changes(s->db) == 0)
        e = diag_set(diag, nothing, "%s", why);
    sqlite3_finalize(q);
    return e;
}

enum err store_key_add(struct store *s, const struct store_key *key, struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s, "INSERT OR IGNORE INTO keys VALUES(?,?,?,?,0)", &q, diag);
    if (e)
        return e;
    sqlite3_bind_blob(q, 1, key->sha256, sizeof key->sha256, SQLITE_STATIC);
    sqlite3_bind_text(q, 2, key->tenant.p, (int)key->tenant.n, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, key->said.p, (int)key->said.n, SQLITE_STATIC);
    sqlite3_bind_int64(q, 4, key->made_us);
    return change(s, q, ERR_EXISTS, "there is a key with this hash", diag);
}

enum err store_key_revoke(struct store *s, const unsigned char sha256[32], int64_t at_us,
                          struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e =
        store_prepare(s, "UPDATE keys SET revoked_us=? WHERE sha256=? AND revoked_us=0", &q, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 1, at_us);
    sqlite3_bind_blob(q, 2, sha256, 32, SQLITE_STATIC);
    return change(s, q, ERR_MISSING, "no such key holds", diag);
}

enum err store_keys(struct store *s, bool (*row)(void *ctx, const struct store_key *key), void *ctx,
                    struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(
        s, "SELECT sha256,tenant,said,made_us,revoked_us FROM keys ORDER BY made_us,sha256", &q,
        diag);
    if (e)
        return e;
    int status;
    while ((status = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_key key = {.tenant = store_text(q, 1),
                                .said = store_text(q, 2),
                                .made_us = sqlite3_column_int64(q, 3),
                                .revoked_us = sqlite3_column_int64(q, 4)};
        if (sqlite3_column_bytes(q, 0) != (int)sizeof key.sha256)
            continue;  // no hash of ours: a person has been at the table
        memcpy(key.sha256, sqlite3_column_blob(q, 0), sizeof key.sha256);
        if (!row(ctx, &key))
            break;
    }
    return store_read_end(s, q, status, diag);
}
