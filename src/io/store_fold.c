// Records to rows.

#include "io/store_inside.h"

#include "base/arena.h"
#include "base/units.h"

#include <stdlib.h>

static const char *const statements[STORE_STATEMENTS] = {
    [STORE_RESERVE] =
        "INSERT OR IGNORE INTO attempts(id,request,ordinal,surface,tenant,pool,"
        "supplier,contract,model,began_us,bound_nusd,flags,prompt_tok,settled,fault,status,"
        "total_us,ttft_us,cached_tok,output_tok,reasoning_tok,list_nusd,marginal_nusd,joules,"
        "bytes_up,bytes_down,unit,commitment,drawn,key) "
        "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [STORE_SETTLE] =
        "UPDATE attempts SET "
        "settled=1,flags=flags|?,prompt_tok=?,fault=?,status=?,total_us=?,ttft_us=?,"
        "cached_tok=?,output_tok=?,reasoning_tok=?,list_nusd=?,marginal_nusd=?,joules=?,bytes_up=?,"
        "bytes_down=?,unit=?,commitment=?,drawn=? WHERE id=? AND settled=0",
    [STORE_REQUEST] =
        "INSERT OR IGNORE INTO requests(id,request,surface,tenant,pool,supplier,"
        "contract,model_asked,model,class,began_us,flags,status,fault,attempts,total_us,ttft_us,"
        "prompt_tok,cached_tok,output_tok,reasoning_tok,list_nusd,charged_nusd,key) "
        "VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [STORE_GAP] = "INSERT OR IGNORE INTO gaps VALUES(?,?,?,?,?,?)",
    [STORE_BLOCK] = "SELECT id FROM blocks WHERE epoch=? AND loop=? AND block=?",
    [STORE_BLOCK_NEW] = "INSERT INTO blocks(epoch,loop,block,min_us,max_us) VALUES(?,?,?,?,?)",
    [STORE_BLOCK_SPAN] = "UPDATE blocks SET min_us=min(min_us,?),max_us=max(max_us,?) WHERE id=?",
    [STORE_MARK] = "INSERT INTO segments VALUES(?,?) ON CONFLICT(name) DO UPDATE SET "
                   "offset=excluded.offset",
    [STORE_DRAW] = "INSERT INTO draws VALUES(strftime('%Y-%m-%d',?*86400,'unixepoch'),?,?,?) "
                   "ON CONFLICT DO UPDATE SET drawn=drawn+excluded.drawn",
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

// A statement keeps what is bound to it, and most columns of a row are those of the row before:
// only what differs is bound again.
struct binder {
    sqlite3_stmt *q;
    struct store_bound *last;
    int n;
};

static enum err begin(struct store *s, enum store_statement which, struct binder *b,
                      struct diag *diag)
{
    *b = (struct binder){.last = &s->bound[which]};
    return made(s, which, &b->q, diag);
}

static void put(struct binder *b, int64_t v)
{
    int at = b->n++;
    uint64_t bit = (uint64_t)1 << at;
    if ((b->last->known & bit) && b->last->value[at] == v)
        return;
    b->last->known |= bit;
    b->last->value[at] = v;
    sqlite3_bind_int64(b->q, at + 1, v);
}

static void put_id(struct binder *b, uint64_t v)
{
    put(b, (int64_t)v);
}

static void put_real(struct binder *b, double v)
{
    sqlite3_bind_double(b->q, ++b->n, v);
}

static void put_text(struct binder *b, const char *text, size_t max)
{
    sqlite3_bind_text(b->q, ++b->n, text, (int)strnlen(text, max), SQLITE_STATIC);
}

// The id of the block that a sequence is in; made when there is none.
static enum err block_id(struct store *s, const struct record *r, uint64_t sequence, int64_t *id,
                         struct diag *diag)
{
    struct store_block *known = &s->known[r->loop % STORE_KNOWN];
    uint64_t block = sequence / STORE_BLOCK_ROWS;
    *id = known->id;
    if (known->id && known->epoch == r->epoch && known->loop == r->loop && known->block == block)
        return ERR_NONE;
    struct binder b;
    enum err e = begin(s, STORE_BLOCK, &b, diag);
    if (e)
        return e;
    put(&b, r->epoch);
    put(&b, r->loop);
    put_id(&b, block);
    int status = sqlite3_step(b.q);
    *id = status == SQLITE_ROW ? sqlite3_column_int64(b.q, 0) : 0;
    if (status != SQLITE_ROW && status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_reset(b.q);
    if (!e && !*id) {
        e = begin(s, STORE_BLOCK_NEW, &b, diag);
        if (e)
            return e;
        put(&b, r->epoch);
        put(&b, r->loop);
        put_id(&b, block);
        put(&b, r->at_us);
        put(&b, r->at_us);
        e = store_step(s, b.q, diag);
        *id = sqlite3_last_insert_rowid(s->db);
    }
    if (!e)
        *known = (struct store_block){r->epoch, r->loop, block, *id};
    return e;
}

// Where a row is: unique by (epoch, loop, sequence), and the same whenever it is asked for.
static enum err row_id(struct store *s, const struct record *r, uint64_t sequence, int64_t *id,
                       struct diag *diag)
{
    int64_t block = 0;
    enum err e = block_id(s, r, sequence, &block, diag);
    *id = block * STORE_BLOCK_ROWS + (int64_t)(sequence % STORE_BLOCK_ROWS);
    return e;
}

// --- what was drawn of commitments ------------------------------------------------------------

static enum err write_draws(struct store *s, struct diag *diag)
{
    enum err e = ERR_NONE;
    for (int32_t i = 0; !e && i < s->n_draws; i++) {
        struct binder b;
        e = begin(s, STORE_DRAW, &b, diag);
        if (e)
            return e;
        put(&b, s->draws[i].day);
        put_id(&b, s->draws[i].commitment);
        put(&b, s->draws[i].unit);
        put_real(&b, s->draws[i].drawn);
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

// What a SETTLE says, in the order that both of its statements have behind their own columns.
static void put_settle(struct binder *b, const struct record_settle *t)
{
    put(b, t->fault);
    put(b, t->status);
    put(b, t->total_us);
    put(b, t->ttft_us);
    put(b, t->cached_tok);
    put(b, t->output_tok);
    put(b, t->reasoning_tok);
    put(b, t->list_nusd);
    put(b, t->marginal_nusd);
    put_real(b, t->joules);
    put(b, t->bytes_up);
    put(b, t->bytes_down);
    put(b, t->commitment ? t->unit : 0);
    put_id(b, t->commitment);
    put_real(b, t->commitment ? t->drawn : 0);
}

// `settle` NULL: it is not in this batch.
static enum err fold_reserve(struct store *s, const struct record *r, const struct record *settle,
                             struct diag *diag)
{
    static const struct record_settle open = {.ttft_us = -1};
    const struct record_reserve *v = &r->reserve;
    struct binder b;
    int64_t id;
    enum err e = row_id(s, r, r->sequence, &id, diag);
    if (!e)
        e = begin(s, STORE_RESERVE, &b, diag);
    if (e)
        return e;
    put(&b, id);
    put_text(&b, v->request, sizeof v->request);
    put(&b, v->ordinal);
    put(&b, v->surface);
    put_id(&b, v->tenant);
    put_id(&b, v->pool);
    put_id(&b, v->supplier);
    put_id(&b, v->contract);
    put_id(&b, v->model);
    put(&b, r->at_us);
    put(&b, v->bound_nusd);
    put(&b, settle ? settle->flags | r->flags : r->flags);
    put(&b, settle ? settle->settle.prompt_tok : v->prompt_tok);
    put(&b, settle != NULL);
    put_settle(&b, settle ? &settle->settle : &open);
    put_id(&b, v->key);
    e = store_step(s, b.q, diag);
    if (!e && settle && sqlite3_changes(s->db) > 0)
        e = add_draw(s, settle, diag);
    return e;
}

static enum err fold_settle(struct store *s, const struct record *r, struct diag *diag)
{
    struct binder b;
    int64_t id;
    enum err e = row_id(s, r, r->settle.attempt, &id, diag);
    if (!e)
        e = begin(s, STORE_SETTLE, &b, diag);
    if (e)
        return e;
    put(&b, r->flags);
    put(&b, r->settle.prompt_tok);
    put_settle(&b, &r->settle);
    put(&b, id);
    e = store_step(s, b.q, diag);
    if (!e && sqlite3_changes(s->db) > 0)
        e = add_draw(s, r, diag);
    return e;
}

static enum err fold_request(struct store *s, const struct record *r, struct diag *diag)
{
    const struct record_request *v = &r->request;
    struct binder b;
    int64_t id;
    enum err e = row_id(s, r, r->sequence, &id, diag);
    if (!e)
        e = begin(s, STORE_REQUEST, &b, diag);
    if (e)
        return e;
    put(&b, id);
    put_text(&b, v->request, sizeof v->request);
    put(&b, v->surface);
    put_id(&b, v->tenant);
    put_id(&b, v->pool);
    put_id(&b, v->supplier);
    put_id(&b, v->contract);
    put_id(&b, v->model_asked);
    put_id(&b, v->model);
    put_id(&b, v->class);
    put(&b, r->at_us - v->total_us);
    put(&b, r->flags);
    put(&b, v->status);
    put(&b, v->fault);
    put(&b, v->attempts);
    put(&b, v->total_us);
    put(&b, v->ttft_us);
    put(&b, v->prompt_tok);
    put(&b, v->cached_tok);
    put(&b, v->output_tok);
    put(&b, v->reasoning_tok);
    put(&b, v->list_nusd);
    put(&b, v->charged_nusd);
    put_id(&b, v->key);
    return store_step(s, b.q, diag);
}

static enum err fold_gap(struct store *s, const struct record *r, struct diag *diag)
{
    struct binder b;
    enum err e = begin(s, STORE_GAP, &b, diag);
    if (e)
        return e;
    put(&b, r->epoch);
    put(&b, r->loop);
    put_id(&b, r->sequence);
    put(&b, r->at_us);
    put_id(&b, r->gap.attempts);
    put(&b, r->gap.list_nusd);
    return store_step(s, b.q, diag);
}

static enum err fold_all(struct store *s, const struct record *r, int32_t n, struct diag *diag)
{
    // A loop's sequence has no holes, so the RESERVE of a SETTLE is at a known place of the batch:
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
        case RECORD_RESERVE: {
            const struct record *settle = settle_of[i] > 0 ? &r[settle_of[i] - 1] : NULL;
            e = fold_reserve(s, &r[i], settle, diag);
            // A row that was there already, open, of a store restored beside its journals.
            if (!e && settle && sqlite3_changes(s->db) == 0)
                e = fold_settle(s, settle, diag);
            break;
        }
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

static int64_t began(const struct record *r)
{
    return r->kind == RECORD_REQUEST ? r->at_us - r->request.total_us : r->at_us;
}

// A block knows from when to when its rows began. One part reaches into two blocks at most.
static enum err widen(struct store *s, const struct record *r, int32_t n, struct diag *diag)
{
    enum err e = ERR_NONE;
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (int32_t i = 0; i < n; i++) {
        least = min_i64(least, began(&r[i]));
        most = max_i64(most, began(&r[i]));
    }
    for (int32_t i = 0; !e && i<n; i += n> 1 ? n - 1 : 1) {
        struct binder b;
        int64_t id;
        e = block_id(s, &r[i], r[i].sequence, &id, diag);
        if (!e)
            e = begin(s, STORE_BLOCK_SPAN, &b, diag);
        if (e)
            return e;
        put(&b, least);
        put(&b, most);
        put(&b, id);
        e = store_step(s, b.q, diag);
    }
    return e;
}

static enum err mark(struct store *s, const char *segment, int64_t offset, struct diag *diag)
{
    struct binder b;
    enum err e = begin(s, STORE_MARK, &b, diag);
    if (e)
        return e;
    put_text(&b, segment, SIZE_MAX / 2);
    put(&b, offset);
    return store_step(s, b.q, diag);
}

enum err store_fold(struct store *s, const char *segment, int64_t offset, const struct record *r,
                    int32_t n, struct diag *diag)
{
    enum err e = store_run(s, "BEGIN IMMEDIATE", diag);
    if (e)
        return e;
    CHECK(n <= STORE_BLOCK_ROWS);
    s->n_draws = 0;
    e = fold_all(s, r, n, diag);
    if (!e)
        e = write_draws(s, diag);
    if (!e)
        e = widen(s, r, n, diag);
    if (!e)
        e = mark(s, segment, offset, diag);
    if (!e)
        e = store_run(s, "COMMIT", diag);
    if (e) {
        memset(s->known, 0, sizeof s->known);  // some of them were never made
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
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
    else if (status != SQLITE_DONE)
        e = store_failure(s, "cannot be read", status, diag);
    sqlite3_finalize(q);
    return e;
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
