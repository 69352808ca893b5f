// Records to rows.

#include "io/store_inside.h"

#include "base/arena.h"
#include "base/units.h"

#include <stdlib.h>

static const char *const statements[STORE_STATEMENTS] = {
    [STORE_OPEN] = "INSERT OR IGNORE INTO open VALUES(?,?,?,?,?)",
    [STORE_OPEN_GET] = "SELECT row FROM open WHERE epoch=? AND loop=? AND sequence=?",
    [STORE_OPEN_DROP] = "DELETE FROM open WHERE epoch=? AND loop=? AND sequence=?",
    [STORE_GAP] = "INSERT OR IGNORE INTO gaps VALUES(?,?,?,?,?,?)",
    [STORE_LOOP] = "SELECT sequence FROM loops WHERE epoch=? AND loop=?",
    [STORE_LOOP_MARK] = "INSERT INTO loops VALUES(?,?,?) ON CONFLICT(epoch,loop) DO UPDATE SET "
                        "sequence=max(sequence,excluded.sequence)",
    [STORE_MARK] = "INSERT INTO segments VALUES(?,?) ON CONFLICT(name) DO UPDATE SET "
                   "offset=excluded.offset",
    [STORE_DRAW] = "INSERT INTO draws VALUES(strftime('%Y-%m-%d',?*86400,'unixepoch'),?,?,?) "
                   "ON CONFLICT DO UPDATE SET drawn=drawn+excluded.drawn",
    [STORE_DAY] =
        "INSERT INTO daily(day,tenant,key,pool,supplier,contract,model,fault,attempts,failed,"
        "cancelled,failed_over,estimated,prompt_tok,cached_tok,output_tok,reasoning_tok,list_nusd,"
        "marginal_nusd,charged_nusd,estimated_nusd,joules) "
        "VALUES(strftime('%Y-%m-%d',?*86400,'unixepoch'),?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT DO UPDATE SET attempts=attempts+excluded.attempts,"
        "failed=failed+excluded.failed,cancelled=cancelled+excluded.cancelled,"
        "failed_over=failed_over+excluded.failed_over,estimated=estimated+excluded.estimated,"
        "prompt_tok=prompt_tok+excluded.prompt_tok,cached_tok=cached_tok+excluded.cached_tok,"
        "output_tok=output_tok+excluded.output_tok,"
        "reasoning_tok=reasoning_tok+excluded.reasoning_tok,list_nusd=list_nusd+excluded.list_nusd,"
        "marginal_nusd=marginal_nusd+excluded.marginal_nusd,"
        "charged_nusd=charged_nusd+excluded.charged_nusd,"
        "estimated_nusd=estimated_nusd+excluded.estimated_nusd,joules=joules+excluded.joules",
    [STORE_CHUNK_NEW] = "INSERT INTO chunks(kind,n,min_us,max_us,rows) VALUES(?,?,?,?,?)",
    [STORE_CHUNK_MORE] = "UPDATE chunks SET n=?,min_us=?,max_us=?,rows=? "
                         "WHERE id=? AND kind=? AND max_us/86400000000=?",
};

static enum err made(struct store *s, enum store_statement which, sqlite3_stmt **out,
                     struct diag *diag)
{
    if (!s->made[which]) {
        int status = sqlite3_prepare_v3(s->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                                        &s->made[which], NULL);
        if (status)
            return store_failure(s, "the ledger's store failed", status, diag);
    }
    *out = s->made[which];
    return ERR_NONE;
}

enum err store_begin(struct store *s, enum store_statement which, struct store_binder *b,
                     struct diag *diag)
{
    *b = (struct store_binder){.last = &s->bound[which]};
    return made(s, which, &b->q, diag);
}

void store_put(struct store_binder *b, int64_t v)
{
    int at = b->n++;
    uint64_t bit = (uint64_t)1 << at;
    if ((b->last->known & bit) && b->last->value[at] == v)
        return;
    b->last->known |= bit;
    b->last->value[at] = v;
    sqlite3_bind_int64(b->q, at + 1, v);
}

void store_put_id(struct store_binder *b, uint64_t v)
{
    store_put(b, (int64_t)v);
}

void store_put_real(struct store_binder *b, double v)
{
    sqlite3_bind_double(b->q, ++b->n, v);
}

void store_put_text(struct store_binder *b, const char *text, size_t max)
{
    sqlite3_bind_text(b->q, ++b->n, text, (int)strnlen(text, max), SQLITE_STATIC);
}

void store_put_blob(struct store_binder *b, const void *p, size_t n)
{
    sqlite3_bind_blob(b->q, ++b->n, p, (int)n, SQLITE_STATIC);
}

// --- what was drawn of commitments ------------------------------------------------------------

static enum err write_draws(struct store *s, struct diag *diag)
{
    enum err e = ERR_NONE;
    for (int32_t i = 0; !e && i < s->n_draws; i++) {
        struct store_binder b;
        e = store_begin(s, STORE_DRAW, &b, diag);
        if (e)
            return e;
        store_put(&b, s->draws[i].day);
        store_put_id(&b, s->draws[i].commitment);
        store_put(&b, s->draws[i].unit);
        store_put_real(&b, s->draws[i].drawn);
        e = store_step(s, b.q, diag);
    }
    s->n_draws = 0;
    return e;
}

// The row of this SETTLE was written now and not before: so it is counted once.
static enum err add_draw(struct store *s, const struct record *r, struct diag *diag)
{
    const struct record_settle *t = &r->settle;
    int64_t day = r->at_us / S(86400);
    if (!t->commitment || !(t->drawn > 0))
        return ERR_NONE;
    for (int32_t i = 0; i < s->n_draws; i++) {
        struct store_draw *d = &s->draws[i];
        if (d->day == day && d->commitment == t->commitment && d->unit == t->unit) {
            d->drawn += t->drawn;
            return ERR_NONE;
        }
    }
    enum err e = s->n_draws == STORE_DRAWS ? write_draws(s, diag) : ERR_NONE;
    if (!e)
        s->draws[s->n_draws++] = (struct store_draw){day, t->commitment, t->unit, t->drawn};
    return e;
}

// --- rows -------------------------------------------------------------------------------------

// A row that is written for good, with its sums.
static enum err add(struct store *s, enum packed_kind kind, const struct packed_row *row,
                    struct diag *diag)
{
    enum err e = store_chunk_add(s, kind, row, diag);
    return e ? e : store_day_add(s, kind, row, diag);
}

enum err store_open_add(struct store *s, const struct packed_row *row, struct diag *diag)
{
    unsigned char bytes[PACKED_ROW_BYTES_MAX];
    struct store_binder b;
    enum err e = store_begin(s, STORE_OPEN, &b, diag);
    if (e)
        return e;
    store_put(&b, row->v[ATTEMPT_EPOCH]);
    store_put(&b, row->v[ATTEMPT_LOOP]);
    store_put(&b, row->v[ATTEMPT_SEQUENCE]);
    store_put(&b, row->v[ATTEMPT_BEGAN]);
    store_put_blob(&b, bytes, packed_put(bytes, PACKED_ATTEMPTS, row, NULL));
    return store_step(s, b.q, diag);
}

static enum err settle(struct store *s, struct packed_row *row, const struct record *r,
                       struct diag *diag)
{
    const struct record_settle *t = &r->settle;
    int64_t *v = row->v;
    v[ATTEMPT_FLAGS] |= r->flags;
    v[ATTEMPT_FAULT] = t->fault;
    v[ATTEMPT_STATUS] = t->status;
    v[ATTEMPT_TOTAL] = t->total_us;
    v[ATTEMPT_TTFT] = t->ttft_us;
    v[ATTEMPT_PROMPT] = t->prompt_tok;
    v[ATTEMPT_CACHED] = t->cached_tok;
    v[ATTEMPT_OUTPUT] = t->output_tok;
    v[ATTEMPT_REASONING] = t->reasoning_tok;
    v[ATTEMPT_LIST] = t->list_nusd;
    v[ATTEMPT_MARGINAL] = t->marginal_nusd;
    v[ATTEMPT_JOULES] = packed_bits(t->joules);
    v[ATTEMPT_UP] = t->bytes_up;
    v[ATTEMPT_DOWN] = t->bytes_down;
    v[ATTEMPT_UNIT] = t->commitment ? t->unit : 0;
    v[ATTEMPT_COMMITMENT] = (int64_t)t->commitment;
    v[ATTEMPT_DRAWN] = packed_bits(t->commitment ? t->drawn : 0);
    enum err e = add(s, PACKED_ATTEMPTS, row, diag);
    return e ? e : add_draw(s, r, diag);
}

// `end` NULL: its SETTLE is not in this part.
static enum err fold_reserve(struct store *s, const struct record *r, const struct record *end,
                             struct diag *diag)
{
    const struct record_reserve *t = &r->reserve;
    struct packed_row row = {.v = {[ATTEMPT_EPOCH] = r->epoch,
                                   [ATTEMPT_LOOP] = r->loop,
                                   [ATTEMPT_SEQUENCE] = (int64_t)r->sequence,
                                   [ATTEMPT_ORDINAL] = t->ordinal,
                                   [ATTEMPT_SURFACE] = t->surface,
                                   [ATTEMPT_TENANT] = (int64_t)t->tenant,
                                   [ATTEMPT_KEY] = (int64_t)t->key,
                                   [ATTEMPT_POOL] = (int64_t)t->pool,
                                   [ATTEMPT_SUPPLIER] = (int64_t)t->supplier,
                                   [ATTEMPT_CONTRACT] = (int64_t)t->contract,
                                   [ATTEMPT_MODEL] = (int64_t)t->model,
                                   [ATTEMPT_BEGAN] = r->at_us,
                                   [ATTEMPT_BOUND] = t->bound_nusd,
                                   [ATTEMPT_FLAGS] = r->flags,
                                   [ATTEMPT_TTFT] = -1,
                                   [ATTEMPT_PROMPT] = t->prompt_tok}};
    memcpy(row.request, t->request, sizeof row.request);
    return end ? settle(s, &row, end, diag) : store_open_add(s, &row, diag);
}

// The attempt that `r` settles, if it is open.
static enum err get_open(struct store *s, const struct record *r, struct packed_row *row,
                         bool *found, struct diag *diag)
{
    struct store_binder b;
    enum err e = store_begin(s, STORE_OPEN_GET, &b, diag);
    if (e)
        return e;
    store_put(&b, r->epoch);
    store_put(&b, r->loop);
    store_put_id(&b, r->settle.attempt);
    int status = sqlite3_step(b.q);
    *found = status == SQLITE_ROW;
    struct str bytes = *found ? store_text(b.q, 0) : (struct str){0};
    if (!*found && status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    else if (*found && !packed_next(row, PACKED_ATTEMPTS, &bytes))
        e = diag_set(diag, ERR_INVALID, "%s: an open row is damaged", s->path);
    sqlite3_reset(b.q);
    return e;
}

// One whose RESERVE came with an earlier part.
static enum err fold_settle(struct store *s, const struct record *r, struct diag *diag)
{
    struct store_binder b;
    struct packed_row row = {0};
    bool found;
    enum err e = get_open(s, r, &row, &found, diag);
    if (e || !found)
        return e;
    e = store_begin(s, STORE_OPEN_DROP, &b, diag);
    if (e)
        return e;
    store_put(&b, r->epoch);
    store_put(&b, r->loop);
    store_put_id(&b, r->settle.attempt);
    e = store_step(s, b.q, diag);
    return e ? e : settle(s, &row, r, diag);
}

static enum err fold_request(struct store *s, const struct record *r, struct diag *diag)
{
    const struct record_request *t = &r->request;
    struct packed_row row = {.v = {[REQUEST_EPOCH] = r->epoch,
                                   [REQUEST_LOOP] = r->loop,
                                   [REQUEST_SEQUENCE] = (int64_t)r->sequence,
                                   [REQUEST_SURFACE] = t->surface,
                                   [REQUEST_TENANT] = (int64_t)t->tenant,
                                   [REQUEST_KEY] = (int64_t)t->key,
                                   [REQUEST_POOL] = (int64_t)t->pool,
                                   [REQUEST_SUPPLIER] = (int64_t)t->supplier,
                                   [REQUEST_CONTRACT] = (int64_t)t->contract,
                                   [REQUEST_MODEL_ASKED] = (int64_t)t->model_asked,
                                   [REQUEST_MODEL] = (int64_t)t->model,
                                   [REQUEST_CLASS] = (int64_t)t->class,
                                   [REQUEST_BEGAN] = r->at_us - t->total_us,
                                   [REQUEST_FLAGS] = r->flags,
                                   [REQUEST_STATUS] = t->status,
                                   [REQUEST_FAULT] = t->fault,
                                   [REQUEST_ATTEMPTS] = t->attempts,
                                   [REQUEST_TOTAL] = t->total_us,
                                   [REQUEST_TTFT] = t->ttft_us,
                                   [REQUEST_PROMPT] = t->prompt_tok,
                                   [REQUEST_CACHED] = t->cached_tok,
                                   [REQUEST_OUTPUT] = t->output_tok,
                                   [REQUEST_REASONING] = t->reasoning_tok,
                                   [REQUEST_LIST] = t->list_nusd,
                                   [REQUEST_CHARGED] = t->charged_nusd}};
    memcpy(row.request, t->request, sizeof row.request);
    return add(s, PACKED_REQUESTS, &row, diag);
}

static enum err fold_gap(struct store *s, const struct record *r, struct diag *diag)
{
    struct store_binder b;
    enum err e = store_begin(s, STORE_GAP, &b, diag);
    if (e)
        return e;
    store_put(&b, r->epoch);
    store_put(&b, r->loop);
    store_put_id(&b, r->sequence);
    store_put(&b, r->at_us);
    store_put_id(&b, r->gap.attempts);
    store_put(&b, r->gap.list_nusd);
    return store_step(s, b.q, diag);
}

static enum err fold_all(struct store *s, const struct record *r, int32_t n, struct diag *diag)
{
    // A loop's sequence has no holes, so the RESERVE of a SETTLE is at a known place of the part:
    // most attempts are one row written once.
    int32_t *settle_of = take_n(sizeof *settle_of, (size_t)n + 1);
    for (int32_t i = 0; i < n; i++) {
        if (r[i].kind != RECORD_SETTLE)
            continue;
        uint64_t at = r[i].settle.attempt - r[0].sequence;
        if (at < (uint64_t)i && r[at].sequence == r[i].settle.attempt &&
            r[at].kind == RECORD_RESERVE)
            settle_of[at] = i + 1, settle_of[i] = -1;
    }
    enum err e = ERR_NONE;
    for (int32_t i = 0; i < n && !e; i++) {
        switch (r[i].kind) {
        case RECORD_RESERVE:
            e = fold_reserve(s, &r[i], settle_of[i] > 0 ? &r[settle_of[i] - 1] : NULL, diag);
            break;
        case RECORD_SETTLE:
            if (settle_of[i] == 0)
                e = fold_settle(s, &r[i], diag);
            break;
        case RECORD_REQUEST: e = fold_request(s, &r[i], diag); break;
        case RECORD_GAP: e = fold_gap(s, &r[i], diag); break;
        default: break;
        }
    }
    free(settle_of);
    return e;
}

// --- transactions -----------------------------------------------------------------------------

// The last record of this loop that the store has: what comes again changes nothing.
static enum err folded_to(struct store *s, const struct record *r, uint64_t *sequence,
                          struct diag *diag)
{
    struct store_binder b;
    enum err e = store_begin(s, STORE_LOOP, &b, diag);
    if (e)
        return e;
    store_put(&b, r->epoch);
    store_put(&b, r->loop);
    int status = sqlite3_step(b.q);
    *sequence = status == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(b.q, 0) : 0;
    if (status != SQLITE_ROW && status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_reset(b.q);
    return e;
}

static enum err mark(struct store *s, const char *segment, int64_t offset,
                     const struct record *last, struct diag *diag)
{
    struct store_binder b;
    enum err e = store_begin(s, STORE_LOOP_MARK, &b, diag);
    if (e)
        return e;
    store_put(&b, last->epoch);
    store_put(&b, last->loop);
    store_put_id(&b, last->sequence);
    e = store_step(s, b.q, diag);
    if (!e)
        e = store_begin(s, STORE_MARK, &b, diag);
    if (e)
        return e;
    store_put_text(&b, segment, SIZE_MAX / 2);
    store_put(&b, offset);
    return store_step(s, b.q, diag);
}

static void roll_back(struct store *s)
{
    s->within = false;
    s->n_draws = 0;
    store_days_forget(s);
    store_chunks_forget(s);  // some of them were never written
    sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

enum err store_fold(struct store *s, const char *segment, int64_t offset, const struct record *r,
                    int32_t n, struct diag *diag)
{
    uint64_t before = 0;
    enum err e = s->within ? ERR_NONE : store_run(s, "BEGIN IMMEDIATE", diag);
    if (e)
        return e;
    s->within = true;
    e = folded_to(s, r, &before, diag);
    int32_t known = 0;
    while (known < n && r[known].sequence <= before)
        known++;
    if (!e)
        e = fold_all(s, r + known, n - known, diag);
    if (!e)
        e = mark(s, segment, offset, &r[n - 1], diag);
    if (e)
        roll_back(s);
    return e;
}

enum err store_commit(struct store *s, struct diag *diag)
{
    if (!s->within)
        return ERR_NONE;
    enum err e = write_draws(s, diag);
    if (!e)
        e = store_days_write(s, diag);
    if (!e)
        e = store_chunks_write(s, diag);
    if (!e)
        e = store_run(s, "COMMIT", diag);
    if (e)
        roll_back(s);
    s->within = false;
    return e;
}

enum err store_offset(struct store *s, const char *segment, int64_t *offset, struct diag *diag)
{
    sqlite3_stmt *q;
    *offset = 0;
    enum err e = store_prepare(s, "SELECT offset FROM segments WHERE name=?", &q, diag);
    if (e)
        return e;
    sqlite3_bind_text(q, 1, segment, -1, SQLITE_STATIC);
    int status = sqlite3_step(q);
    if (status == SQLITE_ROW)
        *offset = sqlite3_column_int64(q, 0);
    return store_read_end(s, q, status, diag);
}

enum err store_forget(struct store *s, const char *segment, struct diag *diag)
{
    sqlite3_stmt *q;
    enum err e = store_prepare(s, "DELETE FROM segments WHERE name=?", &q, diag);
    if (e)
        return e;
    sqlite3_bind_text(q, 1, segment, -1, SQLITE_STATIC);
    e = store_step(s, q, diag);
    sqlite3_finalize(q);
    return e;
}
