// What is asked of the ledger: sums, rows, a copy, and forgetting.

#include "io/store_inside.h"

#include "base/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SQL_BYTES_MAX = 16 * 1024, CELLS_MAX = 48 };

// Blocks come in the order of time, more or less: what is between is a little more than was asked
// for.
static const char *const within =
    " WHERE id>=(SELECT coalesce(min(id),0)*65536 FROM blocks WHERE max_us>=?1)"
    " AND id<(SELECT (coalesce(max(id),-1)+1)*65536 FROM blocks WHERE min_us<?2)";
_Static_assert(STORE_BLOCK_ROWS == 65536, "as the statements say");

// Attempts, requests and old days in one shape. An attempt says what it cost; a request what it was
// charged, under the names of the pool that answered it.
static const char *const attempt_columns =
    "SELECT strftime('%Y-%m-%d',began_us/1000000,'unixepoch') AS day,tenant,pool,supplier,contract,"
    "model,fault,1 AS attempts,1-settled AS open,"
    "settled AND fault!=0 AND NOT flags&2 AS failed,flags&2!=0 AS cancelled,"
    "flags&4!=0 AS failed_over,flags&1!=0 AS estimated,prompt_tok*settled AS prompt_tok,cached_tok,"
    "output_tok,reasoning_tok,list_nusd,marginal_nusd,0 AS charged_nusd,"
    "list_nusd*(flags&1!=0) AS estimated_nusd,bound_nusd*(1-settled) AS open_nusd,"
    "(flags&128!=0)*(1-settled) AS open_unbounded,joules,key,began_us "
    "FROM attempts";
static const char *const request_columns =
    "SELECT strftime('%Y-%m-%d',began_us/1000000,'unixepoch'),tenant,pool,supplier,contract,model,"
    "0,0,0,0,0,0,0,0,0,0,0,0,0,charged_nusd,0,0,0,0.0,key,began_us FROM requests";
static const char *const daily_columns =
    "SELECT day,tenant,pool,supplier,contract,model,fault,attempts,0,failed,cancelled,failed_over,"
    "estimated,prompt_tok,cached_tok,output_tok,reasoning_tok,list_nusd,marginal_nusd,charged_nusd,"
    "estimated_nusd,0,0,joules,key,"
    "CAST(strftime('%s',day) AS INTEGER)*1000000 FROM daily";

static const struct {
    const char *name, *column;
} bys[STORE_BYS] = {
    [STORE_BY_DAY] = {"day", "day"},
    [STORE_BY_POOL] = {"pool", "pool"},
    [STORE_BY_TENANT] = {"tenant", "tenant"},
    [STORE_BY_MODEL] = {"model", "model"},
    [STORE_BY_CONTRACT] = {"contract", "contract"},
    [STORE_BY_SUPPLIER] = {"supplier", "supplier"},
    [STORE_BY_FAULT] = {"fault", "fault"},
    [STORE_BY_KEY] = {"key", "key"},
};

const char *store_by_name(enum store_by by)
{
    return bys[by].name;
}

static bool is_name(enum store_by by)
{
    return by != STORE_BY_DAY && by != STORE_BY_FAULT;
}

static void filter(struct buf *sql, const char *first, const struct store_ask *ask)
{
    buf_printf(sql, "%s began_us>=?1 AND began_us<?2", first);
    if (ask->tenant.n)
        buf_lit(sql, " AND tenant=?3");
    if (ask->pool.n)
        buf_lit(sql, " AND pool=?4");
    if (ask->supplier.n)
        buf_lit(sql, " AND supplier=?5");
}

static void bind_filter(sqlite3_stmt *q, const struct store_ask *ask)
{
    sqlite3_bind_int64(q, 1, ask->since_us);
    sqlite3_bind_int64(q, 2, ask->until_us);
    sqlite3_bind_int64(q, 3, (int64_t)record_id(RECORD_TENANT, ask->tenant));
    sqlite3_bind_int64(q, 4, (int64_t)record_id(RECORD_POOL, ask->pool));
    sqlite3_bind_int64(q, 5, (int64_t)record_id(RECORD_SUPPLIER, ask->supplier));
}

static void sums_sql(struct buf *sql, const struct store_ask *ask)
{
    struct buf keys;
    buf_init(&keys, SQL_BYTES_MAX);
    buf_lit(sql, "SELECT ");
    for (int32_t i = 0; i < ask->n_by; i++) {
        const char *column = bys[ask->by[i]].column;
        if (is_name(ask->by[i]))
            buf_printf(sql, "coalesce((SELECT name FROM names WHERE id=%s),''),", column);
        else
            buf_printf(sql, "%s,", column);
        buf_printf(&keys, "%s%s", i ? "," : "", column);
    }
    buf_lit(sql, "sum(attempts),sum(open),sum(failed),sum(cancelled),sum(failed_over),"
                 "sum(estimated),sum(prompt_tok),sum(cached_tok),sum(output_tok),"
                 "sum(reasoning_tok),sum(list_nusd),sum(marginal_nusd),sum(charged_nusd),"
                 "sum(estimated_nusd),sum(open_nusd),sum(open_unbounded),sum(joules) FROM (");
    buf_lit(sql, "SELECT * FROM (");
    buf_printf(sql, "%s%s UNION ALL %s%s UNION ALL %s", attempt_columns, within, request_columns,
               within, daily_columns);
    buf_lit(sql, ")");
    filter(sql, " WHERE", ask);
    buf_lit(sql, ")");
    if (ask->n_by) {
        buf_printf(sql, " GROUP BY " STR_FMT " ORDER BY ", STR_ARG(buf_str(&keys)));
        for (int32_t i = 0; i < ask->n_by; i++)
            buf_printf(sql, "%s%d", i ? "," : "", i + 1);
    }
    buf_lit(sql, "\0");
    buf_release(&keys);
}

static void read_sum(sqlite3_stmt *q, const struct store_ask *ask, struct store_sum *out)
{
    *out = (struct store_sum){0};
    int at = 0;
    for (int32_t i = 0; i < ask->n_by; i++, at++)
        out->key[i] = (struct str){(const char *)sqlite3_column_text(q, at),
                                   (size_t)sqlite3_column_bytes(q, at)};
    int64_t *const to[] = {
        &out->attempts,     &out->open,           &out->failed,     &out->cancelled,
        &out->failed_over,  &out->estimated,      &out->prompt_tok, &out->cached_tok,
        &out->output_tok,   &out->reasoning_tok,  &out->list_nusd,  &out->marginal_nusd,
        &out->charged_nusd, &out->estimated_nusd, &out->open_nusd,  &out->open_unbounded};
    for (size_t i = 0; i < COUNTOF(to); i++)
        *to[i] = sqlite3_column_int64(q, at++);
    out->joules = sqlite3_column_double(q, at);
}

enum err store_sums(struct store *s, const struct store_ask *ask,
                    bool (*row)(void *ctx, const struct store_sum *sum), void *ctx,
                    struct diag *diag)
{
    struct buf sql;
    sqlite3_stmt *q;
    buf_init(&sql, SQL_BYTES_MAX);
    sums_sql(&sql, ask);
    enum err e = store_prepare(s, sql.p, &q, diag);
    buf_release(&sql);
    if (e)
        return e;
    bind_filter(q, ask);
    int status;
    while ((status = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_sum sum;
        read_sum(q, ask, &sum);
        if (!row(ctx, &sum))
            break;
    }
    if (status != SQLITE_ROW && status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_finalize(q);
    return e;
}

// --- rows -------------------------------------------------------------------------------------

// clang-format off
#define KEY \
    "(SELECT epoch FROM blocks AS b WHERE b.id=t.id/65536) AS epoch," \
    "(SELECT loop FROM blocks AS b WHERE b.id=t.id/65536) AS loop," \
    "(SELECT block*65536+t.id%65536 FROM blocks AS b WHERE b.id=t.id/65536) AS sequence,"
#define NAME_OF(column) "(SELECT name FROM names WHERE id=t." column ") AS " column ","
#define FLAG(bit, name) "flags&" bit "!=0 AS " name ","

static const char *const row_columns[] = {
    [STORE_ATTEMPTS] =
        "SELECT " KEY "request,ordinal,surface,began_us,"
        NAME_OF("tenant") NAME_OF("key") NAME_OF("pool") NAME_OF("supplier") NAME_OF("contract")
        NAME_OF("model")
        "CASE settled WHEN 1 THEN 'settled' ELSE 'open' END AS state,fault,status,"
        FLAG("1", "estimated") FLAG("2", "cancelled") FLAG("4", "failed_over") FLAG("8", "cut")
        FLAG("16", "stale") FLAG("32", "unsent") FLAG("64", "unheard") FLAG("128", "unbounded")
        FLAG("256", "stream") FLAG("512", "passthrough")
        "total_us,ttft_us,prompt_tok,cached_tok,output_tok,reasoning_tok,"
        "list_nusd,marginal_nusd,bound_nusd," NAME_OF("commitment") "unit,drawn,"
        "joules,bytes_up,bytes_down FROM attempts AS t",
    [STORE_REQUESTS] =
        "SELECT " KEY "request,surface,began_us,"
        NAME_OF("tenant") NAME_OF("key") NAME_OF("pool") NAME_OF("supplier") NAME_OF("contract")
        NAME_OF("model_asked") NAME_OF("model") NAME_OF("class")
        "status,fault,attempts,"
        FLAG("1", "estimated") FLAG("2", "cancelled") FLAG("4", "failed_over") FLAG("8", "cut")
        FLAG("256", "stream")
        "total_us,ttft_us,prompt_tok,cached_tok,output_tok,reasoning_tok,"
        "list_nusd,charged_nusd FROM requests AS t",
};
// clang-format on

static bool give_row(sqlite3_stmt *q, bool (*row)(void *ctx, const struct store_cells *cells),
                     void *ctx)
{
    struct str name[CELLS_MAX], cell[CELLS_MAX];
    bool is_number[CELLS_MAX];
    int n = sqlite3_column_count(q);
    CHECK(n <= CELLS_MAX);
    for (int i = 0; i < n; i++) {
        int type = sqlite3_column_type(q, i);
        is_number[i] = type == SQLITE_INTEGER || type == SQLITE_FLOAT;
        name[i] = str_of(sqlite3_column_name(q, i));
        const char *text = (const char *)sqlite3_column_text(q, i);
        cell[i] = (struct str){text, (size_t)sqlite3_column_bytes(q, i)};
    }
    return row(ctx, &(struct store_cells){n, name, cell, is_number});
}

enum err store_rows(struct store *s, enum store_table table, const struct store_ask *ask,
                    bool (*row)(void *ctx, const struct store_cells *cells), void *ctx,
                    struct diag *diag)
{
    struct buf sql;
    sqlite3_stmt *q;
    buf_init(&sql, SQL_BYTES_MAX);
    buf_add_str(&sql, str_of(row_columns[table]));
    buf_add_str(&sql, str_of(within));
    filter(&sql, " AND", ask);
    buf_lit(&sql, " ORDER BY began_us,id\0");
    enum err e = store_prepare(s, sql.p, &q, diag);
    buf_release(&sql);
    if (e)
        return e;
    bind_filter(q, ask);
    int status;
    while ((status = sqlite3_step(q)) == SQLITE_ROW)
        if (!give_row(q, row, ctx))
            break;
    if (status != SQLITE_ROW && status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_finalize(q);
    return e;
}

enum err store_gaps(struct store *s, int64_t since_us, int64_t until_us, struct store_gaps *out,
                    struct diag *diag)
{
    sqlite3_stmt *q;
    *out = (struct store_gaps){0};
    enum err e = store_prepare(
        s, "SELECT sum(attempts),sum(list_nusd) FROM gaps WHERE at_us>=? AND at_us<?", &q, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 1, since_us);
    sqlite3_bind_int64(q, 2, until_us);
    int status = sqlite3_step(q);
    if (status == SQLITE_ROW)
        *out = (struct store_gaps){sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1)};
    else
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_finalize(q);
    return e;
}

enum err store_drawn(struct store *s, struct str contract, int32_t unit, int64_t since_us,
                     int64_t until_us, double *drawn, struct diag *diag)
{
    sqlite3_stmt *q;
    *drawn = 0;
    enum err e = store_prepare(
        s,
        "SELECT sum(drawn) FROM draws WHERE commitment=?1 AND unit=?2 AND"
        " CAST(strftime('%s',day) AS INTEGER)>=?3 AND CAST(strftime('%s',day) AS INTEGER)<?4",
        &q, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 1, (int64_t)record_id(RECORD_CONTRACT, contract));
    sqlite3_bind_int(q, 2, unit);
    sqlite3_bind_int64(q, 3, since_us / S(86400) * 86400);
    sqlite3_bind_int64(q, 4, until_us / S(1));
    int status = sqlite3_step(q);
    if (status == SQLITE_ROW)
        *drawn = sqlite3_column_double(q, 0);
    else
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_finalize(q);
    return e;
}

// --- keeping ----------------------------------------------------------------------------------

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

static enum err run_before(struct store *s, const char *sql, int64_t before_us, int64_t *changed,
                           struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s, sql, &q, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 1, before_us);
    int status = sqlite3_step(q);
    if (status != SQLITE_DONE)
        e = store_failure(s, "old rows cannot be summed", status, diag);
    *changed += sqlite3_changes(s->db);
    sqlite3_finalize(q);
    return e;
}

enum err store_retain(struct store *s, int64_t before_us, int64_t *rows, struct diag *diag)
{
    struct buf sql;
    int64_t day_us = S(86400), unused = 0;
    int64_t cut = before_us / day_us * day_us;
    *rows = 0;
    buf_init(&sql, SQL_BYTES_MAX);
    buf_lit(&sql, "INSERT INTO daily SELECT day,tenant,key,pool,supplier,contract,model,fault,"
                  "sum(attempts),sum(failed),sum(cancelled),sum(failed_over),sum(estimated),"
                  "sum(prompt_tok),sum(cached_tok),sum(output_tok),sum(reasoning_tok),"
                  "sum(list_nusd),sum(marginal_nusd),sum(charged_nusd),sum(estimated_nusd),"
                  "sum(joules) FROM (");
    buf_add_str(&sql, str_of(attempt_columns));
    buf_lit(&sql, " WHERE settled=1 UNION ALL ");
    buf_add_str(&sql, str_of(request_columns));
    buf_lit(&sql, ") WHERE began_us<?1 GROUP BY 1,2,3,4,5,6,7,8 ON CONFLICT DO UPDATE SET ");
    static const char *const sums[] = {
        "attempts",      "failed",       "cancelled",      "failed_over",   "estimated",
        "prompt_tok",    "cached_tok",   "output_tok",     "reasoning_tok", "list_nusd",
        "marginal_nusd", "charged_nusd", "estimated_nusd", "joules"};
    for (size_t i = 0; i < COUNTOF(sums); i++)
        buf_printf(&sql, "%s%s=%s+excluded.%s", i ? "," : "", sums[i], sums[i], sums[i]);
    buf_lit(&sql, "\0");
    enum err e = store_run(s, "BEGIN IMMEDIATE", diag);
    if (!e)
        e = run_before(s, sql.p, cut, &unused, diag);
    if (!e)
        e = run_before(s, "DELETE FROM attempts WHERE began_us<?1 AND settled=1", cut, rows, diag);
    if (!e)
        e = run_before(s, "DELETE FROM requests WHERE began_us<?1", cut, rows, diag);
    if (!e)
        e = store_run(s, "COMMIT", diag);
    if (e)
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    buf_release(&sql);
    return e;
}

enum err store_check(struct store *s, struct diag *diag)
{
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
    return e;
}
