#include "io/store_sums.h"

#include "base/units.h"
#include "io/store_inside.h"

#include <stdio.h>

static const int64_t day_us = S(86400);
static const int64_t days_max = 2932896;  // since 1970: to the end of the year 9999

static int64_t day_of(int64_t us)
{
    return min_i64(max_i64(us, 0) / day_us, days_max);
}

static int64_t day_not_before(int64_t us)
{
    int64_t day = day_of(us);
    return day < days_max && day * day_us < us ? day + 1 : day;
}

// The first day of which rows are there.
static enum err first_kept(struct store *s, int64_t *day, struct diag *diag)
{
    *day = 0;
    return store_number(s, "SELECT value FROM meta WHERE key='retained_day'", day, diag);
}

enum err store_span(struct store *s, int64_t since_us, int64_t until_us, struct store_span *out,
                    struct diag *diag)
{
    int64_t kept;
    enum err e = first_kept(s, &kept, diag);
    int64_t first = day_not_before(since_us), end = day_of(until_us);
    end = max_i64(end, min_i64(day_not_before(until_us), kept));
    end = max_i64(end, first);
    int64_t rows_us = max_i64(since_us, kept * day_us);
    *out = (struct store_span){.day = first,
                               .day_end = end,
                               .piece = {{rows_us, min_i64(first * day_us, until_us)},
                                         {max_i64(rows_us, end * day_us), until_us}}};
    return e;
}

void store_bind_day(sqlite3_stmt *q, int at, int64_t day)
{
    struct civil c = civil_of(day * day_us);
    char text[32];
    int n = snprintf(text, sizeof text, "%04d-%02d-%02d", c.year, c.month, c.day);
    sqlite3_bind_text(q, at, text, n, SQLITE_TRANSIENT);
}

// Charged in whole days, in the rest of the day that the day and the month begin in, where that is
// none of UTC; and what was asked in the last minute.
static const char *const spent_sql =
    "SELECT tenant,key,sum(today),sum(month),sum(requests),sum(tokens) FROM ("
    "SELECT tenant,key,charged_nusd*(day>=?1) AS today,charged_nusd*(day>=?2) AS month,"
    "0 AS requests,0 AS tokens FROM daily WHERE day>=min(?1,?2)"
    " UNION ALL SELECT tenant,key,charged_nusd,0,0,0 FROM request_rows(?3,?4)"
    " UNION ALL SELECT tenant,key,0,charged_nusd,0,0 FROM request_rows(?5,?6)"
    " UNION ALL SELECT tenant,key,0,0,1,prompt_tok+output_tok FROM request_rows(?7,?8))"
    " GROUP BY tenant,key";

// Since then, in whole days from the `at`-th value on, and a piece of one in two others.
static enum err bind_since(struct store *s, sqlite3_stmt *q, int at, int at_piece, int64_t since_us,
                           struct diag *diag)
{
    int64_t kept;
    struct store_span span;
    enum err e = first_kept(s, &kept, diag);
    // A day without rows is counted where it is nearer than the next.
    if (!e && day_of(since_us) < kept)
        since_us = (since_us + day_us / 2) / day_us * day_us;
    if (!e)
        e = store_span(s, since_us, INT64_MAX, &span, diag);
    if (e)
        return e;
    store_bind_day(q, at, span.day);
    sqlite3_bind_int64(q, at_piece, span.piece[0].from_us);
    sqlite3_bind_int64(q, at_piece + 1, span.piece[0].until_us);
    return ERR_NONE;
}

static enum err ask_spent(struct store *s, sqlite3_stmt *q, const struct store_spent_ask *ask,
                          bool (*row)(void *ctx, const struct store_spent *spent), void *ctx,
                          struct diag *diag)
{
    int status;
    enum err e = bind_since(s, q, 1, 3, ask->day_us, diag);
    if (!e)
        e = bind_since(s, q, 2, 5, ask->month_us, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 7, ask->minute_us);
    sqlite3_bind_int64(q, 8, INT64_MAX);
    while ((status = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_spent spent = {.tenant = (uint64_t)sqlite3_column_int64(q, 0),
                                    .key = (uint64_t)sqlite3_column_int64(q, 1),
                                    .zone_us = ask->zone_us,
                                    .day_nusd = sqlite3_column_int64(q, 2),
                                    .month_nusd = sqlite3_column_int64(q, 3),
                                    .requests = sqlite3_column_int64(q, 4),
                                    .tokens = sqlite3_column_int64(q, 5)};
        if (!row(ctx, &spent))
            return ERR_NONE;
    }
    return status == SQLITE_DONE ? ERR_NONE : store_failure(s, "cannot be read", status, diag);
}

enum err store_spent(struct store *s, const struct store_spent_ask *ask,
                     bool (*row)(void *ctx, const struct store_spent *spent), void *ctx,
                     struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s, spent_sql, &q, diag);
    if (e)
        return e;
    e = ask_spent(s, q, ask, row, ctx, diag);
    sqlite3_finalize(q);
    return e;
}

static const char *const shadow_sql =
    "SELECT pool,sum(nusd) FROM ("
    "SELECT pool,list_nusd AS nusd FROM attempt_rows(?1,?2) WHERE flags&1024 UNION ALL "
    "SELECT pool,bound_nusd FROM open_rows(?1,?2) WHERE flags&1024) GROUP BY pool";
_Static_assert(RECORD_SHADOW == 1024, "as the statement says");

enum err store_shadow_spent(struct store *s, int64_t since_us,
                            bool (*row)(void *ctx, uint64_t pool, int64_t list_nusd), void *ctx,
                            struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s, shadow_sql, &q, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 1, since_us);
    sqlite3_bind_int64(q, 2, INT64_MAX);
    int status;
    while ((status = sqlite3_step(q)) == SQLITE_ROW)
        if (!row(ctx, (uint64_t)sqlite3_column_int64(q, 0), sqlite3_column_int64(q, 1)))
            break;
    if (status != SQLITE_ROW && status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_finalize(q);
    return e;
}

enum err store_view(struct store *s, bool begin, struct diag *diag)
{
    return store_run(s, begin ? "BEGIN" : "END", diag);
}
