// What comes into the store from other processes. Only they add to a loop's rows, in the order of
// its sequence, into new chunks or into small ones: so where each loop was, and which chunks were
// small, says without reading rows which ones are new.

#include "io/store_inside.h"
#include "io/store_sums.h"

#include "base/arena.h"

#include <stdlib.h>

struct loop_mark {
    uint32_t epoch;
    int32_t loop;
    int64_t told, last;  // sequences: up to the last look, and in this one
};

struct store_news {
    uint32_t epoch;  // our own
    int64_t last;    // chunk at the beginning
    int64_t *small;  // [n_small], chunks that may have grown since
    int32_t n_small;
    struct loop_mark *loops;  // [n_loops]
    int32_t n_loops;
};

void store_news_free(struct store_news *w)
{
    if (!w)
        return;
    free(w->small);
    free(w->loops);
    free(w);
}

// --- the beginning ----------------------------------------------------------------------------

static struct loop_mark *add_loop(struct store_news *w, uint32_t epoch, int32_t loop)
{
    w->loops = realloc(w->loops, (size_t)(w->n_loops + 1) * sizeof *w->loops);
    CHECK(w->loops);
    w->loops[w->n_loops] = (struct loop_mark){.epoch = epoch, .loop = loop};
    return &w->loops[w->n_loops++];
}

static void on_loop(struct store_news *w, sqlite3_stmt *q)
{
    struct loop_mark *m =
        add_loop(w, (uint32_t)sqlite3_column_int64(q, 0), sqlite3_column_int(q, 1));
    m->told = m->last = sqlite3_column_int64(q, 2);
}

static void on_small(struct store_news *w, sqlite3_stmt *q)
{
    w->small = realloc(w->small, (size_t)(w->n_small + 1) * sizeof *w->small);
    CHECK(w->small);
    w->small[w->n_small++] = sqlite3_column_int64(q, 0);
}

static enum err read_all(struct store *s, struct store_news *w, const char *sql, int64_t value,
                         void (*row)(struct store_news *w, sqlite3_stmt *q), struct diag *diag)
{
    sqlite3_stmt *q;
    int status;
    enum err e = store_prepare(s, sql, &q, diag);
    if (e)
        return e;
    sqlite3_bind_int64(q, 1, value);
    while ((status = sqlite3_step(q)) == SQLITE_ROW)
        row(w, q);
    return store_read_end(s, q, status, diag);
}

enum err store_news_new(struct store_news **out, struct store *s, uint32_t epoch, int64_t since_us,
                        struct diag *diag)
{
    struct store_news *w = take(sizeof *w);
    w->epoch = epoch;
    enum err e = store_number(s, "SELECT coalesce(max(id),0) FROM chunks", &w->last, diag);
    if (!e)
        e = read_all(s, w, "SELECT epoch,loop,sequence FROM loops WHERE epoch<>?", epoch, on_loop,
                     diag);
    if (!e)
        e = read_all(s, w, "SELECT id FROM chunks WHERE kind=2 AND max_us>=? AND length(rows)<3072",
                     since_us, on_small, diag);
    _Static_assert(PACKED_REQUESTS == 2 && STORE_CHUNK_SMALL == 3072, "as the statement says");
    if (e)
        store_news_free(w);
    else
        *out = w;
    return e;
}

// --- a look -----------------------------------------------------------------------------------

static struct loop_mark *mark_of(struct store_news *w, const int64_t *v)
{
    for (int32_t i = 0; i < w->n_loops; i++)
        if (w->loops[i].epoch == v[REQUEST_EPOCH] && w->loops[i].loop == v[REQUEST_LOOP])
            return &w->loops[i];
    return add_loop(w, (uint32_t)v[REQUEST_EPOCH], (int32_t)v[REQUEST_LOOP]);
}

static bool read_chunk(struct store_news *w, struct str bytes,
                       void (*row)(void *ctx, const struct store_other *other), void *ctx)
{
    struct packed_row r = {0};
    while (bytes.n) {
        if (!packed_next(&r, PACKED_REQUESTS, &bytes))
            return false;
        if (r.v[REQUEST_EPOCH] == w->epoch)
            continue;
        struct loop_mark *m = mark_of(w, r.v);
        if (r.v[REQUEST_SEQUENCE] <= m->told)
            continue;
        m->last = r.v[REQUEST_SEQUENCE] > m->last ? r.v[REQUEST_SEQUENCE] : m->last;
        row(ctx, &(struct store_other){.tenant = (uint64_t)r.v[REQUEST_TENANT],
                                       .key = (uint64_t)r.v[REQUEST_KEY],
                                       .began_us = r.v[REQUEST_BEGAN],
                                       .charged_nusd = r.v[REQUEST_CHARGED]});
    }
    return true;
}

// Of the chunks [from, to].
static enum err read_chunks(struct store *s, struct store_news *w, sqlite3_stmt *q, int64_t from,
                            int64_t to, void (*row)(void *ctx, const struct store_other *other),
                            void *ctx, struct diag *diag)
{
    int status;
    enum err e = ERR_NONE;
    sqlite3_bind_int64(q, 1, from);
    sqlite3_bind_int64(q, 2, to);
    while (!e && (status = sqlite3_step(q)) == SQLITE_ROW)
        if (!read_chunk(w, store_text(q, 0), row, ctx))
            e = diag_set(diag, ERR_INVALID, "%s is damaged: rows are not what was packed", s->path);
    if (!e && status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_reset(q);
    return e;
}

enum err store_news_look(struct store *s, struct store_news *w,
                         void (*row)(void *ctx, const struct store_other *other), void *ctx,
                         struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(
        s, "SELECT rows FROM chunks WHERE kind=2 AND id BETWEEN ? AND ? ORDER BY id", &q, diag);
    if (e)
        return e;
    for (int32_t i = 0; i < w->n_small && !e; i++)
        e = read_chunks(s, w, q, w->small[i], w->small[i], row, ctx, diag);
    if (!e)
        e = read_chunks(s, w, q, w->last + 1, INT64_MAX, row, ctx, diag);
    sqlite3_finalize(q);
    // Also after a failure: what was told is told once.
    for (int32_t i = 0; i < w->n_loops; i++)
        w->loops[i].told = w->loops[i].last;
    return e;
}
