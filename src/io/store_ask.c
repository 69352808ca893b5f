// What is asked of the ledger: sums, rows, a copy, and forgetting.

#include "io/store_inside.h"

#include "base/units.h"

#include <inttypes.h>

enum { SQL_BYTES_MAX = 16 * 1024, CELLS_MAX = 48, PIECES = 2 };

// Days, attempts and requests in one shape. An attempt says what it cost; a request what it was
// charged, under the names of the pool that answered it.
static const char *const daily_columns =
    "SELECT day,tenant,pool,supplier,contract,model,fault,attempts,0 AS open,failed,cancelled,"
    "failed_over,estimated,prompt_tok,cached_tok,output_tok,reasoning_tok,list_nusd,marginal_nusd,"
    "charged_nusd,estimated_nusd,0 AS open_nusd,0 AS open_unbounded,joules,key"
    " FROM daily WHERE day>=?6 AND day<?7";
static const char *const attempt_columns =
    "SELECT strftime('%Y-%m-%d',began_us/1000000,'unixepoch'),tenant,pool,supplier,contract,"
    "model,fault,1,0,fault!=0 AND NOT flags&2,flags&2!=0,flags&4!=0,flags&1!=0,prompt_tok,"
    "cached_tok,output_tok,reasoning_tok,list_nusd,marginal_nusd,0,list_nusd*(flags&1!=0),0,0,"
    "joules,key FROM attempt_rows";
static const char *const open_columns =
    "SELECT strftime('%Y-%m-%d',began_us/1000000,'unixepoch'),tenant,pool,supplier,contract,"
    "model,0,1,1,0,0,flags&4!=0,0,0,0,0,0,0,0,0,0,bound_nusd,flags&128!=0,0.0,key"
    " FROM open_rows(?1,?2)";
static const char *const request_columns =
    "SELECT strftime('%Y-%m-%d',began_us/1000000,'unixepoch'),tenant,pool,supplier,contract,model,"
    "0,0,0,0,0,0,0,0,0,0,0,0,0,charged_nusd,0,0,0,0.0,key FROM request_rows";

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

static void filter(struct buf *sql, const struct store_ask *ask)
{
    const char *const tests[] = {ask->tenant.n ? "tenant=?3" : NULL, ask->pool.n ? "pool=?4" : NULL,
                                 ask->supplier.n ? "supplier=?5" : NULL};
    const char *before = " WHERE ";
    for (size_t i = 0; i < COUNTOF(tests); i++) {
        if (!tests[i])
            continue;
        buf_printf(sql, "%s%s", before, tests[i]);
        before = " AND ";
    }
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
    buf_printf(sql, "%s UNION ALL %s", daily_columns, open_columns);
    for (int i = 0; i < PIECES; i++)
        buf_printf(sql, " UNION ALL %s(?%d,?%d) UNION ALL %s(?%d,?%d)", attempt_columns, 8 + 2 * i,
                   9 + 2 * i, request_columns, 8 + 2 * i, 9 + 2 * i);
    buf_lit(sql, ")");
    filter(sql, ask);
    if (ask->n_by) {
        buf_printf(sql, " GROUP BY " STR_FMT " ORDER BY ", STR_ARG(buf_str(&keys)));
        for (int32_t i = 0; i < ask->n_by; i++)
            buf_printf(sql, "%s%d", i ? "," : "", i + 1);
    }
    buf_lit(sql, "\0");
    buf_release(&keys);
}

// A span of time as whole days, whose sums are there, and what it has of the days at its ends, of
// which rows are read.
static void bind_span(sqlite3_stmt *q, const struct store_span *span)
{
    store_bind_day(q, 6, span->day);
    store_bind_day(q, 7, span->day_end);
    for (int i = 0; i < PIECES; i++) {
        sqlite3_bind_int64(q, 8 + 2 * i, span->piece[i].from_us);
        sqlite3_bind_int64(q, 9 + 2 * i, span->piece[i].until_us);
    }
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
    struct store_span span;
    enum err e = store_span(s, ask->since_us, ask->until_us, &span, diag);
    if (e)
        return e;
    buf_init(&sql, SQL_BYTES_MAX);
    sums_sql(&sql, ask);
    e = store_prepare(s, sql.p, &q, diag);
    buf_release(&sql);
    if (e)
        return e;
    bind_filter(q, ask);
    bind_span(q, &span);
    int status;
    while ((status = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_sum sum;
        read_sum(q, ask, &sum);
        if (!row(ctx, &sum))
            break;
    }
    return store_read_end(s, q, status, diag);
}

// --- rows -------------------------------------------------------------------------------------

// clang-format off
#define KEY "epoch,loop,sequence,"
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
        FLAG("256", "stream") FLAG("512", "passthrough") FLAG("1024", "shadow")
        "total_us,ttft_us,prompt_tok,cached_tok,output_tok,reasoning_tok,"
        "list_nusd,marginal_nusd,bound_nusd," NAME_OF("commitment") "unit,drawn,"
        "joules,bytes_up,bytes_down FROM (SELECT *,1 AS settled FROM attempt_rows(?1,?2) UNION ALL"
        " SELECT *,0 FROM open_rows(?1,?2)) AS t",
    [STORE_REQUESTS] =
        "SELECT " KEY "request,surface,began_us,"
        NAME_OF("tenant") NAME_OF("key") NAME_OF("pool") NAME_OF("supplier") NAME_OF("contract")
        NAME_OF("model_asked") NAME_OF("model") NAME_OF("class")
        "status,fault,attempts,"
        FLAG("1", "estimated") FLAG("2", "cancelled") FLAG("4", "failed_over") FLAG("8", "cut")
        FLAG("256", "stream")
        "total_us,ttft_us,prompt_tok,cached_tok,output_tok,reasoning_tok,"
        "list_nusd,charged_nusd FROM (SELECT * FROM request_rows(?1,?2)) AS t",
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
    filter(&sql, ask);
    buf_lit(&sql, " ORDER BY began_us,epoch,loop,sequence\0");
    enum err e = store_prepare(s, sql.p, &q, diag);
    buf_release(&sql);
    if (e)
        return e;
    bind_filter(q, ask);
    int status;
    while ((status = sqlite3_step(q)) == SQLITE_ROW)
        if (!give_row(q, row, ctx))
            break;
    return store_read_end(s, q, status, diag);
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
    return store_read_end(s, q, status, diag);
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
    return store_read_end(s, q, status, diag);
}
