// Rows into chunks. A chunk has rows of one kind and one day (UTC), so that a day goes whole when
// it is old; small ones are added to, so that a quiet gateway does not leave a chunk for each row.

#include "io/store_inside.h"

#include "base/units.h"

enum {
    CHUNK_BYTES = 32 * 1024,  // a chunk of more is written, and the next one begins
    CHUNK_BYTES_MAX = CHUNK_BYTES + PACKED_ROW_BYTES_MAX
};

static enum err write_chunk(struct store *s, struct store_chunk *c, struct diag *diag)
{
    struct store_binder b;
    enum err e = ERR_NONE;
    bool written = false;
    if (c->id) {
        e = store_begin(s, STORE_CHUNK_MORE, &b, diag);
        if (e)
            return e;
        store_put(&b, c->n);
        store_put(&b, c->min_us);
        store_put(&b, c->max_us);
        store_put_blob(&b, buf_str(&c->rows).p, buf_len(&c->rows));
        store_put(&b, c->id);
        store_put(&b, c->kind);
        store_put(&b, c->day);
        e = store_step(s, b.q, diag);
        // It may have become old, by the hand of another process.
        written = sqlite3_changes(s->db) == 1;
    }
    if (!e && !written) {
        e = store_begin(s, STORE_CHUNK_NEW, &b, diag);
        if (e)
            return e;
        store_put(&b, c->kind);
        store_put(&b, c->n);
        store_put(&b, c->min_us);
        store_put(&b, c->max_us);
        store_put_blob(&b, buf_str(&c->rows).p, buf_len(&c->rows));
        e = store_step(s, b.q, diag);
        c->id = sqlite3_last_insert_rowid(s->db);
    }
    c->changed = e != ERR_NONE;
    return e;
}

static void forget(struct store_chunk *c)
{
    buf_release(&c->rows);
    *c = (struct store_chunk){0};
}

void store_chunks_forget(struct store *s)
{
    for (int i = 0; i < STORE_CHUNKS; i++)
        forget(&s->chunks[i]);
}

enum err store_chunks_write(struct store *s, struct diag *diag)
{
    enum err e = ERR_NONE;
    for (int i = 0; i < STORE_CHUNKS && !e; i++) {
        struct store_chunk *c = &s->chunks[i];
        if (c->used && c->changed)
            e = write_chunk(s, c, diag);
        if (!e && buf_len(&c->rows) >= STORE_CHUNK_SMALL)
            forget(c);
    }
    return e;
}

// The one that a row belongs to; else the one that was used longest ago becomes it.
static enum err find(struct store *s, enum packed_kind kind, int64_t day, struct store_chunk **out,
                     struct diag *diag)
{
    struct store_chunk *oldest = &s->chunks[0];
    for (int i = 0; i < STORE_CHUNKS; i++) {
        struct store_chunk *c = &s->chunks[i];
        *out = c;
        if (c->used && c->kind == kind && c->day == day && buf_len(&c->rows) < CHUNK_BYTES)
            return ERR_NONE;
        if (c->used < oldest->used)
            oldest = c;
    }
    *out = oldest;
    if (oldest->used && oldest->changed) {
        enum err e = write_chunk(s, oldest, diag);
        if (e)
            return e;
    }
    forget(oldest);
    oldest->kind = kind;
    oldest->day = day;
    oldest->min_us = INT64_MAX;
    oldest->max_us = INT64_MIN;
    buf_init(&oldest->rows, CHUNK_BYTES_MAX);
    return ERR_NONE;
}

enum err store_chunk_add(struct store *s, enum packed_kind kind, const struct packed_row *row,
                         struct diag *diag)
{
    struct store_chunk *c;
    char *at;
    int64_t began_us = row->v[kind == PACKED_ATTEMPTS ? (int)ATTEMPT_BEGAN : (int)REQUEST_BEGAN];
    enum err e = find(s, kind, began_us / S(86400), &c, diag);
    if (e)
        return e;
    CHECK(buf_reserve(&c->rows, PACKED_ROW_BYTES_MAX, &at));
    buf_grown(&c->rows, packed_put((unsigned char *)at, kind, row, c->n ? &c->last : NULL));
    c->last = *row;
    c->n++;
    c->min_us = min_i64(c->min_us, began_us);
    c->max_us = max_i64(c->max_us, began_us);
    c->used = ++s->uses;
    c->changed = true;
    return ERR_NONE;
}
