#include "io/store_inside.h"

#include "base/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, BUSY_MS = 5000 };

// --- the lock ---------------------------------------------------------------------------------

struct store_lock {
    int fd;
};

// Only for a message: the lock holds whatever becomes of this.
static void write_owner(int fd)
{
    char owner[32];
    int n = snprintf(owner, sizeof owner, "%d", (int)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, owner, (size_t)n, 0) != n)
        return;
}

enum err store_lock(struct store_lock **out, struct str folder, struct diag *diag)
{
    char path[PATH_BYTES], owner[32] = "";
    snprintf(path, sizeof path, STR_FMT "/lock", STR_ARG(folder));
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return diag_set(diag, errno == ENOENT ? ERR_MISSING : ERR_DENIED, "%s: %s", path,
                        strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int why = errno;
        ssize_t n = pread(fd, owner, sizeof owner - 1, 0);
        owner[n > 0 ? n : 0] = 0;
        close(fd);
        if (why != EWOULDBLOCK)
            return diag_set(diag, ERR_SYSTEM, "%s: %s", path, strerror(why));
        return diag_set(diag, ERR_EXISTS,
                        "the ledger in " STR_FMT " is in use by another caudal%s%s",
                        STR_ARG(folder), owner[0] ? ", process " : "", owner);
    }
    store_lock_adopt(out, fd);
    return ERR_NONE;
}

int store_lock_share(const struct store_lock *l)
{
    return l->fd;
}

void store_lock_adopt(struct store_lock **out, int fd)
{
    write_owner(fd);
    *out = take(sizeof **out);
    (*out)->fd = fd;
}

void store_unlock(struct store_lock *l)
{
    if (!l)
        return;
    close(l->fd);
    free(l);
}

// --- running statements -----------------------------------------------------------------------

enum err store_failure(const struct store *s, const char *what, int status, struct diag *diag)
{
    enum err e = ERR_SYSTEM;
    const char *more = "";
    switch (status & 0xff) {
    case SQLITE_FULL: e = ERR_LIMIT; break;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH: e = ERR_DENIED; break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: e = ERR_TIMEOUT; break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        e = ERR_INVALID;
        more = "; restore a backup: the journals beside it fill in what came since";
        break;
    default: break;
    }
    return diag_set(diag, e, "%s: %s: %s%s", s->path, what,
                    s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(status), more);
}

enum err store_run(struct store *s, const char *sql, struct diag *diag)
{
    int status = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return status ? store_failure(s, "the ledger's store failed", status, diag) : ERR_NONE;
}

enum err store_prepare(const struct store *s, const char *sql, sqlite3_stmt **out,
                       struct diag *diag)
{
    int status = sqlite3_prepare_v2(s->db, sql, -1, out, NULL);
    return status ? store_failure(s, "the ledger's store failed", status, diag) : ERR_NONE;
}

enum err store_step(const struct store *s, sqlite3_stmt *q, struct diag *diag)
{
    int status = sqlite3_step(q);
    enum err e = status == SQLITE_DONE || status == SQLITE_ROW
                     ? ERR_NONE
                     : store_failure(s, "a row cannot be written", status, diag);
    sqlite3_reset(q);
    return e;
}

enum err store_read_end(struct store *s, sqlite3_stmt *q, int status, struct diag *diag)
{
    bool ok = status == SQLITE_ROW || status == SQLITE_DONE;
    enum err e = ok ? ERR_NONE : store_failure(s, "cannot be read", status, diag);
    sqlite3_finalize(q);
    return e;
}

enum err store_number(struct store *s, const char *sql, int64_t *out, struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s, sql, &q, diag);
    if (e)
        return e;
    int status = sqlite3_step(q);
    if (status == SQLITE_ROW)
        *out = sqlite3_column_int64(q, 0);
    return store_read_end(s, q, status, diag);
}

struct str store_text(sqlite3_stmt *q, int column)
{
    const char *p = (const char *)(sqlite3_column_type(q, column) == SQLITE_BLOB
                                       ? sqlite3_column_blob(q, column)
                                       : sqlite3_column_text(q, column));
    return (struct str){p, (size_t)sqlite3_column_bytes(q, column)};
}

// --- opening ----------------------------------------------------------------------------------

static enum err check_version(struct store *s, struct diag *diag)
{
    int64_t version = 0, application = 0, tables = 0;
    enum err e = store_number(s, "PRAGMA user_version", &version, diag);
    if (!e)
        e = store_number(s, "PRAGMA application_id", &application, diag);
    if (!e)
        e = store_number(s, "SELECT count(*) FROM sqlite_master", &tables, diag);
    if (e)
        return e;
    if (tables && application != STORE_APPLICATION)
        return diag_set(diag, ERR_INVALID, "%s is a database, but not a ledger of caudal", s->path);
    if (version > STORE_VERSION)
        return diag_set(diag, ERR_INVALID,
                        "%s is of version %" PRId64 ", and this caudal knows up to %d: a newer "
                        "caudal must open it",
                        s->path, version, STORE_VERSION);
    if (version == STORE_VERSION)
        return ERR_NONE;
    if (s->reads_only)
        return diag_set(diag, ERR_INVALID,
                        "%s is of version %" PRId64 " and must first be opened by caudal serve",
                        s->path, version);
    return store_migrate(s, version, diag);
}

static enum err prepare_to_write(struct store *s, struct diag *diag)
{
    // FULL: a commit is on the disk before its segment goes.
    enum err e = store_run(s,
                           "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                           "PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY",
                           diag);
    if (e)
        return e;
    if (sqlite3_db_readonly(s->db, "main") == 1)
        return diag_set(diag, ERR_DENIED, "%s may not be written", s->path);
    return ERR_NONE;
}

// On a read-only file system, without a log that would have to be looked at, nobody changes the
// file.
static bool cannot_change(const char *path)
{
    char log[PATH_BYTES];
    struct stat st;
    struct statvfs fs;
    return statvfs(path, &fs) == 0 && (fs.f_flag & ST_RDONLY) &&
           (size_t)snprintf(log, sizeof log, "%s-wal", path) < sizeof log &&
           (stat(log, &st) || st.st_size == 0);
}

static int open_as_it_is(const char *path, sqlite3 **db)
{
    struct buf uri;
    buf_init(&uri, 4 * PATH_BYTES);
    buf_lit(&uri, "file:");
    for (const char *c = path; *c; c++)
        buf_printf(&uri, strchr("?#%", *c) ? "%%%02x" : "%c", *c);
    buf_lit(&uri, "?immutable=1\0");
    int status = sqlite3_open_v2(
        uri.p + uri.from, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    buf_release(&uri);
    return status;
}

// A reader of a database in WAL mode writes too (its index in shared memory), where it may.
static int open_file(struct store *s, enum store_mode mode)
{
    if (mode == STORE_READ && cannot_change(s->path))
        return open_as_it_is(s->path, &s->db);
    int flags = SQLITE_OPEN_READWRITE | (mode == STORE_WRITE ? SQLITE_OPEN_CREATE : 0);
    return sqlite3_open_v2(s->path, &s->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
}

enum err store_open(struct store **out, struct str folder, enum store_mode mode, struct diag *diag)
{
    struct store *s = take(sizeof *s);
    s->path = take(folder.n + sizeof "/ledger.db");
    sprintf(s->path, STR_FMT "/ledger.db", STR_ARG(folder));
    s->reads_only = mode == STORE_READ;
    enum err e = ERR_NONE;
    if (mode == STORE_READ && access(s->path, F_OK))
        e = diag_set(diag, ERR_MISSING, "%s: there is no ledger here", s->path);
    int status = e ? 0 : open_file(s, mode);
    if (!e && status)
        e = store_failure(s, "cannot be opened", status, diag);
    if (!e) {
        sqlite3_busy_timeout(s->db, BUSY_MS);
        sqlite3_extended_result_codes(s->db, 1);
    }
    if (!e && mode == STORE_WRITE)
        e = prepare_to_write(s, diag);
    if (!e)
        e = check_version(s, diag);
    if (!e)
        e = store_scan_tables(s, diag);
    if (e) {
        store_close(s);
        return e;
    }
    *out = s;
    return ERR_NONE;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    store_days_forget(s);
    store_chunks_forget(s);
    for (int i = 0; i < STORE_STATEMENTS; i++)
        sqlite3_finalize(s->made[i]);
    sqlite3_close(s->db);
    free(s->path);
    free(s);
}

enum err store_epoch(struct store *s, uint32_t at_least, uint32_t *epoch, struct diag *diag)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "INSERT INTO meta VALUES('epoch',%u) ON CONFLICT(key) DO UPDATE SET "
             "value=max(value+1,excluded.value)",
             at_least + 1);
    int64_t n = 0;
    enum err e = store_run(s, sql, diag);
    if (!e)
        e = store_number(s, "SELECT value FROM meta WHERE key='epoch'", &n, diag);
    *epoch = (uint32_t)n;
    return e;
}

static enum err add_name(struct store *s, sqlite3_stmt *add, const struct store_name *name,
                         struct diag *diag)
{
    sqlite3_bind_int64(add, 1, (int64_t)record_id(name->kind, name->name));
    sqlite3_bind_int(add, 2, (int)name->kind);
    sqlite3_bind_text(add, 3, name->name.p, (int)name->name.n, SQLITE_STATIC);
    enum err e = store_step(s, add, diag);
    if (!e && sqlite3_changes(s->db) == 0)
        e = diag_set(diag, ERR_INVALID,
                     "%s: the name " STR_FMT
                     " has the same number as another one; rename it (chance below 1 in 1e12)",
                     s->path, STR_ARG(name->name));
    return e;
}

enum err store_names(struct store *s, const struct store_name *names, int32_t n, struct diag *diag)
{
    sqlite3_stmt *add;
    enum err e = store_prepare(s,
                               "INSERT INTO names VALUES(?,?,?) ON CONFLICT(id) DO UPDATE SET "
                               "name=excluded.name WHERE kind=excluded.kind AND name=excluded.name",
                               &add, diag);
    if (e)
        return e;
    e = store_run(s, "BEGIN IMMEDIATE", diag);
    for (int32_t i = 0; !e && i < n; i++)
        if (names[i].name.n)
            e = add_name(s, add, &names[i], diag);
    sqlite3_finalize(add);
    if (!e)
        e = store_run(s, "COMMIT", diag);
    if (e)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return e;
}

enum err store_known(struct store *s, enum record_name kind,
                     void (*call)(void *ctx, struct str name), void *ctx, struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s, "SELECT name FROM names WHERE kind=? ORDER BY name", &q, diag);
    if (e)
        return e;
    sqlite3_bind_int(q, 1, (int)kind);
    int status;
    while ((status = sqlite3_step(q)) == SQLITE_ROW)
        call(ctx, store_text(q, 0));
    return store_read_end(s, q, status, diag);
}
