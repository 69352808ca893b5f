// Stores of earlier versions.

#include "io/store_inside.h"

#include <inttypes.h>
#include <stdio.h>

enum { PACK_ROWS = 32768 };  // in one transaction

// What makes a store of version i + 1 out of one of version i. Never edited, only added to.
static const char *const migrations[STORE_VERSION] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE names(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, name TEXT NOT NULL);"
    "CREATE TABLE segments(name TEXT PRIMARY KEY, offset INTEGER NOT NULL) WITHOUT ROWID;"
    // 65536 records of one loop: a row's id is its block's and its place in it. Ids grow with time,
    // and a block knows of when its rows are, so that neither needs an index of its own.
    "CREATE TABLE blocks(id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, loop INTEGER NOT NULL,"
    " block INTEGER NOT NULL, min_us INTEGER NOT NULL, max_us INTEGER NOT NULL,"
    " UNIQUE(epoch, loop, block));"
    "CREATE TABLE attempts(id INTEGER PRIMARY KEY,"
    " request TEXT NOT NULL, ordinal INTEGER NOT NULL, surface INTEGER NOT NULL,"
    " tenant INTEGER NOT NULL, pool INTEGER NOT NULL, supplier INTEGER NOT NULL,"
    " contract INTEGER NOT NULL, model INTEGER NOT NULL,"
    " began_us INTEGER NOT NULL, bound_nusd INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0,"
    " flags INTEGER NOT NULL DEFAULT 0, fault INTEGER NOT NULL DEFAULT 0,"
    " status INTEGER NOT NULL DEFAULT 0, total_us INTEGER NOT NULL DEFAULT 0,"
    " ttft_us INTEGER NOT NULL DEFAULT -1, prompt_tok INTEGER NOT NULL DEFAULT 0,"
    " cached_tok INTEGER NOT NULL DEFAULT 0, output_tok INTEGER NOT NULL DEFAULT 0,"
    " reasoning_tok INTEGER NOT NULL DEFAULT 0, list_nusd INTEGER NOT NULL DEFAULT 0,"
    " marginal_nusd INTEGER NOT NULL DEFAULT 0, joules REAL NOT NULL DEFAULT 0,"
    " bytes_up INTEGER NOT NULL DEFAULT 0, bytes_down INTEGER NOT NULL DEFAULT 0);"
    "CREATE TABLE requests(id INTEGER PRIMARY KEY,"
    " request TEXT NOT NULL, surface INTEGER NOT NULL,"
    " tenant INTEGER NOT NULL, pool INTEGER NOT NULL, supplier INTEGER NOT NULL,"
    " contract INTEGER NOT NULL, model_asked INTEGER NOT NULL, model INTEGER NOT NULL,"
    " class INTEGER NOT NULL, began_us INTEGER NOT NULL, flags INTEGER NOT NULL,"
    " status INTEGER NOT NULL, fault INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " total_us INTEGER NOT NULL, ttft_us INTEGER NOT NULL, prompt_tok INTEGER NOT NULL,"
    " cached_tok INTEGER NOT NULL, output_tok INTEGER NOT NULL, reasoning_tok INTEGER NOT NULL,"
    " list_nusd INTEGER NOT NULL, charged_nusd INTEGER NOT NULL);"
    "CREATE TABLE gaps("
    " epoch INTEGER NOT NULL, loop INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " at_us INTEGER NOT NULL, attempts INTEGER NOT NULL, list_nusd INTEGER NOT NULL,"
    " PRIMARY KEY(epoch, loop, sequence)) WITHOUT ROWID;"
    "CREATE TABLE daily("
    " day TEXT NOT NULL, tenant INTEGER NOT NULL, pool INTEGER NOT NULL,"
    " supplier INTEGER NOT NULL, contract INTEGER NOT NULL, model INTEGER NOT NULL,"
    " fault INTEGER NOT NULL, attempts INTEGER NOT NULL, failed INTEGER NOT NULL,"
    " cancelled INTEGER NOT NULL, failed_over INTEGER NOT NULL, estimated INTEGER NOT NULL,"
    " prompt_tok INTEGER NOT NULL, cached_tok INTEGER NOT NULL, output_tok INTEGER NOT NULL,"
    " reasoning_tok INTEGER NOT NULL, list_nusd INTEGER NOT NULL, marginal_nusd INTEGER NOT NULL,"
    " charged_nusd INTEGER NOT NULL, estimated_nusd INTEGER NOT NULL, joules REAL NOT NULL,"
    " PRIMARY KEY(day, tenant, pool, supplier, contract, model, fault)) WITHOUT ROWID;",
    // 2: the client's key, and what was drawn of commitments.
    "ALTER TABLE attempts ADD COLUMN key INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE attempts ADD COLUMN commitment INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE attempts ADD COLUMN unit INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE attempts ADD COLUMN drawn REAL NOT NULL DEFAULT 0;"
    "ALTER TABLE requests ADD COLUMN key INTEGER NOT NULL DEFAULT 0;"
    "CREATE TABLE daily_2("
    " day TEXT NOT NULL, tenant INTEGER NOT NULL, key INTEGER NOT NULL, pool INTEGER NOT NULL,"
    " supplier INTEGER NOT NULL, contract INTEGER NOT NULL, model INTEGER NOT NULL,"
    " fault INTEGER NOT NULL, attempts INTEGER NOT NULL, failed INTEGER NOT NULL,"
    " cancelled INTEGER NOT NULL, failed_over INTEGER NOT NULL, estimated INTEGER NOT NULL,"
    " prompt_tok INTEGER NOT NULL, cached_tok INTEGER NOT NULL, output_tok INTEGER NOT NULL,"
    " reasoning_tok INTEGER NOT NULL, list_nusd INTEGER NOT NULL, marginal_nusd INTEGER NOT NULL,"
    " charged_nusd INTEGER NOT NULL, estimated_nusd INTEGER NOT NULL, joules REAL NOT NULL,"
    " PRIMARY KEY(day, tenant, key, pool, supplier, contract, model, fault)) WITHOUT ROWID;"
    "INSERT INTO daily_2 SELECT day,tenant,0,pool,supplier,contract,model,fault,attempts,failed,"
    "cancelled,failed_over,estimated,prompt_tok,cached_tok,output_tok,reasoning_tok,list_nusd,"
    "marginal_nusd,charged_nusd,estimated_nusd,joules FROM daily;"
    "DROP TABLE daily;"
    "ALTER TABLE daily_2 RENAME TO daily;"
    "CREATE TABLE draws("
    " day TEXT NOT NULL, commitment INTEGER NOT NULL, unit INTEGER NOT NULL, drawn REAL NOT NULL,"
    " PRIMARY KEY(day, commitment, unit)) WITHOUT ROWID;",
    // 3: what operators changed.
    "CREATE TABLE audit(at_us INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,"
    " detail TEXT NOT NULL);"
    "CREATE INDEX audit_at ON audit(at_us);",
    // 4: keys of clients that were made at run time.
    "CREATE TABLE keys(sha256 BLOB PRIMARY KEY, tenant TEXT NOT NULL, said TEXT NOT NULL,"
    " made_us INTEGER NOT NULL, revoked_us INTEGER NOT NULL) WITHOUT ROWID;",
    // 5: rows packed, and sums of all days. pack_all() brings the rows over.
    "CREATE TABLE chunks(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, n INTEGER NOT NULL,"
    " min_us INTEGER NOT NULL, max_us INTEGER NOT NULL, rows BLOB NOT NULL);"
    "CREATE INDEX chunks_at ON chunks(kind, max_us);"
    "CREATE TABLE open(epoch INTEGER NOT NULL, loop INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " began_us INTEGER NOT NULL, row BLOB NOT NULL,"
    " PRIMARY KEY(epoch, loop, sequence)) WITHOUT ROWID;"
    "CREATE TABLE loops(epoch INTEGER NOT NULL, loop INTEGER NOT NULL, sequence INTEGER NOT NULL,"
    " PRIMARY KEY(epoch, loop)) WITHOUT ROWID;"
    "INSERT INTO loops SELECT epoch,loop,max(block*65536+max("
    "coalesce((SELECT max(id)%65536 FROM attempts WHERE id BETWEEN b.id*65536 AND b.id*65536+65535)"
    ",0),"
    "coalesce((SELECT max(id)%65536 FROM requests WHERE id BETWEEN b.id*65536 AND b.id*65536+65535)"
    ",0))) FROM blocks AS b GROUP BY epoch,loop;"
    "INSERT INTO meta SELECT 'retained_day',CAST(strftime('%s',max(day)) AS INTEGER)/86400+1"
    " FROM daily HAVING max(day) IS NOT NULL;",
};

static enum err set_version(struct store *s, int64_t version, struct diag *diag)
{
    char sql[96];
    snprintf(sql, sizeof sql, "PRAGMA application_id=%d; PRAGMA user_version=%" PRId64,
             STORE_APPLICATION, version);
    return store_run(s, sql, diag);
}

// --- rows of version 4 ------------------------------------------------------------------------

#define ROW_KEY "b.epoch,b.loop,b.block*65536+t.id%65536"
static const struct {
    enum packed_kind kind;
    const char *rows, *drop;
} old_rows[] = {
    // Columns in the order of packed_fields(); then the request's id, the row's, and whether it is
    // settled.
    {PACKED_ATTEMPTS,
     "SELECT " ROW_KEY ",ordinal,surface,tenant,key,pool,supplier,contract,model,began_us,"
     "bound_nusd,flags,fault,status,total_us,ttft_us,prompt_tok,cached_tok,output_tok,"
     "reasoning_tok,list_nusd,marginal_nusd,joules,bytes_up,bytes_down,unit,commitment,drawn,"
     "request,t.id,settled FROM attempts AS t JOIN blocks AS b ON b.id=t.id/65536"
     " ORDER BY t.id LIMIT ?",
     "DELETE FROM attempts WHERE id<=?"},
    {PACKED_REQUESTS,
     "SELECT " ROW_KEY ",surface,tenant,key,pool,supplier,contract,model_asked,model,class,"
     "began_us,flags,status,fault,attempts,total_us,ttft_us,prompt_tok,cached_tok,output_tok,"
     "reasoning_tok,list_nusd,charged_nusd,request,t.id,1"
     " FROM requests AS t JOIN blocks AS b ON b.id=t.id/65536 ORDER BY t.id LIMIT ?",
     "DELETE FROM requests WHERE id<=?"},
};

static void read_row(sqlite3_stmt *q, enum packed_kind kind, struct packed_row *row)
{
    int n;
    const struct packed_field *fields = packed_fields(kind, &n);
    *row = (struct packed_row){0};
    for (int i = 0; i < n; i++)
        row->v[i] = fields[i].how == 'R' ? packed_bits(sqlite3_column_double(q, i))
                                         : sqlite3_column_int64(q, i);
    struct str request = store_text(q, n);
    memcpy(row->request, request.p,
           request.n < sizeof row->request ? request.n : sizeof row->request);
}

// Some rows, in the transaction that is on. `*last` is the id of the last; 0: there are no more.
static enum err pack_some(struct store *s, size_t which, int64_t *last, struct diag *diag)
{
    sqlite3_stmt *q;
    enum packed_kind kind = old_rows[which].kind;
    int status, n;
    packed_fields(kind, &n);
    *last = 0;
    enum err e = store_prepare(s, old_rows[which].rows, &q, diag);
    if (e)
        return e;
    sqlite3_bind_int(q, 1, PACK_ROWS);
    while (!e && (status = sqlite3_step(q)) == SQLITE_ROW) {
        struct packed_row row;
        read_row(q, kind, &row);
        *last = sqlite3_column_int64(q, n + 1);
        if (!sqlite3_column_int(q, n + 2)) {
            e = store_open_add(s, &row, diag);
            continue;
        }
        e = store_chunk_add(s, kind, &row, diag);
        if (!e)
            e = store_day_add(s, kind, &row, diag);
    }
    if (!e && status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_finalize(q);
    return e;
}

static enum err drop_some(struct store *s, size_t which, int64_t last, struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s, old_rows[which].drop, &q, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 1, last);
    e = store_step(s, q, diag);
    sqlite3_finalize(q);
    return e;
}

// In the transaction that is on; what is packed goes in it too, so an end in between only leaves
// less to do.
static enum err pack_part(struct store *s, size_t which, bool *more, struct diag *diag)
{
    int64_t last = 0;
    enum err e = pack_some(s, which, &last, diag);
    if (!e)
        e = store_days_write(s, diag);
    if (!e)
        e = store_chunks_write(s, diag);
    if (!e && last)
        e = drop_some(s, which, last, diag);
    *more = last != 0;
    return e;
}

static enum err begin_packing(struct store *s, struct diag *diag)
{
    int64_t begun = 0;
    enum err e = store_number(
        s, "SELECT count(*) FROM sqlite_master WHERE type='table' AND name='chunks'", &begun, diag);
    if (!e && !begun)
        e = store_run(s, "BEGIN IMMEDIATE", diag);
    if (!e && !begun)
        e = store_run(s, migrations[4], diag);
    if (!e && !begun)
        e = store_run(s, "COMMIT", diag);
    return e;
}

// The last rows and the old tables in one transaction: a process of an earlier version, from which
// this one takes over, may still write some.
static enum err end_packing(struct store *s, struct diag *diag)
{
    enum err e = store_run(s, "BEGIN IMMEDIATE", diag);
    for (size_t i = 0; i < COUNTOF(old_rows); i++)
        for (bool more = true; !e && more;)
            e = pack_part(s, i, &more, diag);
    if (!e)
        e = store_run(s, "DROP TABLE attempts; DROP TABLE requests; DROP TABLE blocks", diag);
    if (!e)
        e = set_version(s, STORE_VERSION, diag);
    return e ? e : store_run(s, "COMMIT", diag);
}

// From tables of a row each. The store is of version 4 to everybody else until this is through.
static enum err pack_all(struct store *s, struct diag *diag)
{
    enum err e = begin_packing(s, diag);
    for (size_t i = 0; i < COUNTOF(old_rows); i++)
        for (bool more = true; !e && more;) {
            e = store_run(s, "BEGIN IMMEDIATE", diag);
            if (!e)
                e = pack_part(s, i, &more, diag);
            if (!e)
                e = store_run(s, "COMMIT", diag);
        }
    return e ? e : end_packing(s, diag);
}

enum err store_migrate(struct store *s, int64_t version, struct diag *diag)
{
    enum err e = ERR_NONE;
    if (version < 4)
        e = store_run(s, "BEGIN IMMEDIATE", diag);
    for (int64_t v = version; !e && v < 4; v++)
        e = store_run(s, migrations[v], diag);
    if (!e && version < 4)
        e = set_version(s, 4, diag);
    if (!e && version < 4)
        e = store_run(s, "COMMIT", diag);
    if (!e)
        e = pack_all(s, diag);
    if (e)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return e;
}
