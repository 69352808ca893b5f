// Packed rows as tables of SQL: SQLite calls these functions for its eponymous virtual tables. So
// what asks for rows says it in SQL, and unpacks only what it reads.
//
//   SELECT pool, list_nusd FROM attempt_rows(FROM_US, UNTIL_US)

#include "io/store_inside.h"

#include "base/units.h"

#include <stdio.h>
#include <stdlib.h>

struct scan_kind {
    const char *name;
    enum packed_kind kind;
    const char *rows;  // packed, in the order of time, more or less
};
static const struct scan_kind kinds[] = {
    // A chunk is of one day.
    {"attempt_rows", PACKED_ATTEMPTS,
     "SELECT rows FROM chunks WHERE kind=1 AND max_us>=?1 AND min_us<?2"
     " AND max_us<(?2+86399999999)/86400000000*86400000000 ORDER BY max_us"},
    {"open_rows", PACKED_ATTEMPTS, "SELECT row FROM open WHERE began_us>=?1 AND began_us<?2"},
    {"request_rows", PACKED_REQUESTS,
     "SELECT rows FROM chunks WHERE kind=2 AND max_us>=?1 AND min_us<?2"
     " AND max_us<(?2+86399999999)/86400000000*86400000000 ORDER BY max_us"},
};
_Static_assert(PACKED_ATTEMPTS == 1 && PACKED_REQUESTS == 2, "as the statements say");

struct table {
    sqlite3_vtab base;
    sqlite3 *db;
    const struct scan_kind *of;
    const struct packed_field *fields;
    int n_fields;
};

struct cursor {
    sqlite3_vtab_cursor base;
    sqlite3_stmt *q;
    struct str left;  // of the chunk, borrowed from `q`
    struct packed_row row;
    int64_t from_us, until_us, n;
    bool ended;
};

// Columns: the fields, the request's id, and the two arguments.
static int on_connect(sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out,
                      char **error)
{
    struct table *t = calloc(1, sizeof *t);
    struct buf sql;
    (void)argc, (void)argv, (void)error;
    if (!t)
        return SQLITE_NOMEM;
    t->db = db;
    t->of = aux;
    t->fields = packed_fields(t->of->kind, &t->n_fields);
    buf_init(&sql, 4096);
    buf_lit(&sql, "CREATE TABLE x(");
    for (int i = 0; i < t->n_fields; i++)
        buf_printf(&sql, "%s,", t->fields[i].name);
    buf_lit(&sql, "request,from_us HIDDEN,until_us HIDDEN)\0");
    int status = sqlite3_declare_vtab(db, sql.p);
    buf_release(&sql);
    if (status)
        free(t);
    else
        *out = &t->base;
    return status;
}

static int on_disconnect(sqlite3_vtab *base)
{
    free(CONTAINER_OF(base, struct table, base));
    return SQLITE_OK;
}

static int on_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
    const struct table *t = CONTAINER_OF(base, struct table, base);
    int found = 0;
    for (int i = 0; i < info->nConstraint; i++) {
        int arg = info->aConstraint[i].iColumn - t->n_fields - 1;
        if (arg < 0 || info->aConstraint[i].op != SQLITE_INDEX_CONSTRAINT_EQ ||
            !info->aConstraint[i].usable)
            continue;
        info->aConstraintUsage[i].argvIndex = arg + 1;
        info->aConstraintUsage[i].omit = 1;
        found |= 1 << arg;
    }
    return found == 3 ? SQLITE_OK : SQLITE_CONSTRAINT;
}

static int on_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out)
{
    struct cursor *c = calloc(1, sizeof *c);
    const struct table *t = CONTAINER_OF(base, struct table, base);
    if (!c)
        return SQLITE_NOMEM;
    int status = sqlite3_prepare_v2(t->db, t->of->rows, -1, &c->q, NULL);
    if (status)
        free(c);
    else
        *out = &c->base;
    return status;
}

static int on_close(sqlite3_vtab_cursor *base)
{
    struct cursor *c = CONTAINER_OF(base, struct cursor, base);
    sqlite3_finalize(c->q);
    free(c);
    return SQLITE_OK;
}

static int on_next(sqlite3_vtab_cursor *base)
{
    struct cursor *c = CONTAINER_OF(base, struct cursor, base);
    const struct table *t = CONTAINER_OF(base->pVtab, struct table, base);
    int began = t->of->kind == PACKED_ATTEMPTS ? (int)ATTEMPT_BEGAN : (int)REQUEST_BEGAN;
    for (c->n++;;) {
        while (!c->left.n) {
            int status = sqlite3_step(c->q);
            c->ended = status != SQLITE_ROW;
            if (c->ended)
                return status == SQLITE_DONE ? SQLITE_OK : status;
            c->left = store_text(c->q, 0);
        }
        if (!packed_next(&c->row, t->of->kind, &c->left))
            return SQLITE_CORRUPT_VTAB;
        if (c->row.v[began] >= c->from_us && c->row.v[began] < c->until_us)
            return SQLITE_OK;
    }
}

static int on_filter(sqlite3_vtab_cursor *base, int index, const char *text, int argc,
                     sqlite3_value **argv)
{
    struct cursor *c = CONTAINER_OF(base, struct cursor, base);
    (void)index, (void)text;
    sqlite3_reset(c->q);
    c->left = (struct str){0};
    c->ended = true;
    if (argc != 2)
        return SQLITE_OK;
    c->from_us = sqlite3_value_int64(argv[0]);
    // The day that the last moment is in must have an end.
    c->until_us = min_i64(sqlite3_value_int64(argv[1]), INT64_MAX / 2);
    if (c->from_us >= c->until_us)
        return SQLITE_OK;
    sqlite3_bind_int64(c->q, 1, c->from_us);
    sqlite3_bind_int64(c->q, 2, c->until_us);
    c->ended = false;
    return on_next(base);
}

static int on_eof(sqlite3_vtab_cursor *base)
{
    return CONTAINER_OF(base, struct cursor, base)->ended;
}

static int on_column(sqlite3_vtab_cursor *base, sqlite3_context *out, int i)
{
    const struct cursor *c = CONTAINER_OF(base, struct cursor, base);
    const struct table *t = CONTAINER_OF(base->pVtab, struct table, base);
    if (i < t->n_fields && t->fields[i].how == 'R')
        sqlite3_result_double(out, packed_real(c->row.v[i]));
    else if (i < t->n_fields)
        sqlite3_result_int64(out, c->row.v[i]);
    else if (i == t->n_fields)
        sqlite3_result_text(out, c->row.request,
                            (int)strnlen(c->row.request, sizeof c->row.request), SQLITE_TRANSIENT);
    else
        sqlite3_result_null(out);
    return SQLITE_OK;
}

static int on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    *out = CONTAINER_OF(base, struct cursor, base)->n;
    return SQLITE_OK;
}

enum err store_scan_tables(struct store *s, struct diag *diag)
{
    static const sqlite3_module module = {.xConnect = on_connect,
                                          .xBestIndex = on_best_index,
                                          .xDisconnect = on_disconnect,
                                          .xOpen = on_open,
                                          .xClose = on_close,
                                          .xFilter = on_filter,
                                          .xNext = on_next,
                                          .xEof = on_eof,
                                          .xColumn = on_column,
                                          .xRowid = on_rowid};
    for (size_t i = 0; i < COUNTOF(kinds); i++) {
        int status = sqlite3_create_module_v2(s->db, kinds[i].name, &module,
                                              (void *)(uintptr_t)&kinds[i], NULL);
        if (status)
            return store_failure(s, "the ledger's store failed", status, diag);
    }
    return ERR_NONE;
}
