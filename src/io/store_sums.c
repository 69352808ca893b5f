#include "io/store_sums.h"

#include "base/units.h"
#include "io/store_inside.h"

#include <stdio.h>

// Blocks come in the order of time, more or less, as in store_ask.c.
static const char *const spent_sql =
    "SELECT tenant,key,sum(day),sum(month),sum(requests),sum(tokens) FROM ("
    "SELECT tenant,key,charged_nusd*(began_us>=?1) AS day,charged_nusd*(began_us>=?2) AS month,"
    "began_us>=?3 AS requests,(prompt_tok+output_tok)*(began_us>=?3) AS tokens FROM requests"
    " WHERE id>=(SELECT coalesce(min(id),0)*65536 FROM blocks WHERE max_us>=?4) AND began_us>=?4"
    " UNION ALL "
    "SELECT tenant,key,charged_nusd*(day>=?5),charged_nusd*(day>=?6),0,0 FROM daily"
    " WHERE day>=min(?5,?6)) GROUP BY tenant,key";

// The day of UTC that is nearest to where a day of another zone begins.
static void bind_day(sqlite3_stmt *q, int at, int64_t since_us)
{
    struct civil c = civil_of(since_us + S(43200));
    char text[32];
    int n = snprintf(text, sizeof text, "%04d-%02d-%02d", c.year, c.month, c.day);
    sqlite3_bind_text(q, at, text, n, SQLITE_TRANSIENT);
}

enum err store_spent(struct store *s, const struct store_spent_ask *ask,
                     bool (*row)(void *ctx, const struct store_spent *spent), void *ctx,
                     struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s, spent_sql, &q, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 1, ask->day_us);
    sqlite3_bind_int64(q, 2, ask->month_us);
    sqlite3_bind_int64(q, 3, ask->minute_us);
    sqlite3_bind_int64(q, 4, min_i64(ask->minute_us, min_i64(ask->day_us, ask->month_us)));
    bind_day(q, 5, ask->day_us);
    bind_day(q, 6, ask->month_us);
    int status;
    while ((status = sqlite3_step(q)) == SQLITE_ROW) {
        struct store_spent spent = {.tenant = (uint64_t)sqlite3_column_int64(q, 0),
                                    .key = (uint64_t)sqlite3_column_int64(q, 1),
                                    .zone_us = ask->zone_us,
                                    .day_nusd = sqlite3_column_int64(q, 2),
                                    .month_nusd = sqlite3_column_int64(q, 3),
                                    .requests = sqlite3_column_int64(q, 4),
                                    .tokens = sqlite3_column_int64(q, 5)};
        if (!row(ctx, &spent))
            break;
    }
    if (status != SQLITE_ROW && status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_finalize(q);
    return e;
}
