#include "wire/trace_inside.h"

// Our own form: a head of 16 bytes, then records of 16 bytes, little endian.
//
//   word 0   word 1                       word 2                     word 3
//   gap us   prompt (22) | class (10)     output (22) | kind (10)    model (16) | tenant (16)
//
// `gap` is the time since the request before; names are numbered from 1, 0 is none. What a request
// needs beyond that stands in front of it: REC_GAP adds to its gap, REC_BLOCKS is a run of blocks
// that count up from words 0 and 3 (word 1 says how many), REC_NAME introduces the next name of the
// kind in word 1, whose word 0 bytes fill the records behind it, REC_WALL (words 0 and 3) is when
// time 0 was, REC_USER (likewise; from version 2 on) who asks. REC_END closes the file with the
// count, so that one cut off is noticed.

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are copied as they are");

enum { LOW_BITS = 22, NAME_BYTES_MAX = 1024, VERSION_AT = 15, VERSION = 2 };
enum record_kind { REC_REQUEST, REC_GAP, REC_BLOCKS, REC_NAME, REC_WALL, REC_END, REC_USER };
static const uint32_t LOW = ((uint32_t)1 << LOW_BITS) - 1;

const char trace_magic[16] = "\x89"
                             "caudal-trace\r\n\x02";

struct record {
    uint32_t w[4];
};
_Static_assert(sizeof(struct record) == 16, "a record is 16 bytes");

static bool put(struct buf *out, uint64_t v, uint32_t w1, enum record_kind kind)
{
    struct record r = {{(uint32_t)v, w1, (uint32_t)kind << LOW_BITS, (uint32_t)(v >> 32)}};
    return buf_add(out, &r, sizeof r);
}

static uint64_t wide(const struct record *r)
{
    return r->w[0] | (uint64_t)r->w[3] << 32;
}

void trace_write_begin(struct trace_writer *w, struct buf *out, int64_t wall_us)
{
    *w = (struct trace_writer){0};
    buf_add(out, trace_magic, sizeof trace_magic);
    if (wall_us >= 0)
        put(out, (uint64_t)wall_us, 0, REC_WALL);
}

static bool write_names(struct trace_writer *w, struct buf *out, const struct trace *t)
{
    static const char zeros[16];
    for (int k = 0; k < TRACE_KINDS; k++) {
        for (; w->named[k] < trace_names(t, (enum trace_kind)k); w->named[k]++) {
            struct str name = trace_name(t, (enum trace_kind)k, w->named[k]);
            if (name.n > NAME_BYTES_MAX)
                name.n = NAME_BYTES_MAX;
            if (!put(out, name.n, (uint32_t)k, REC_NAME) || !buf_add_str(out, name) ||
                !buf_add(out, zeros, (16 - name.n % 16) % 16))
                return false;
        }
    }
    return true;
}

static bool write_blocks(struct buf *out, const struct trace_item *item)
{
    for (int32_t i = 0, n; i < item->n_blocks; i += n) {
        n = 1;
        while (i + n < item->n_blocks && item->blocks[i + n] == item->blocks[i] + (uint64_t)n)
            n++;
        if (!put(out, item->blocks[i], (uint32_t)n, REC_BLOCKS))
            return false;
    }
    return true;
}

bool trace_write(struct trace_writer *w, struct buf *out, const struct trace *names,
                 const struct trace_item *item)
{
    CHECK(item->at_us >= w->last_us);
    uint64_t gap = (uint64_t)(item->at_us - w->last_us);
    if (!write_names(w, out, names) || !write_blocks(out, item))
        return false;
    if (gap > UINT32_MAX) {
        if (!put(out, gap, 0, REC_GAP))
            return false;
        gap = 0;
    }
    if (item->user && !put(out, item->user, 0, REC_USER))
        return false;
    w->last_us = item->at_us;
    w->count++;
    struct record r = {
        {(uint32_t)gap,
         (uint32_t)item->prompt_tok | (uint32_t)(item->name[TRACE_CLASS] + 1) << LOW_BITS,
         (uint32_t)item->output_tok,
         (uint32_t)(item->name[TRACE_MODEL] + 1) | (uint32_t)(item->name[TRACE_TENANT] + 1) << 16}};
    return buf_add(out, &r, sizeof r);
}

bool trace_write_end(struct trace_writer *w, struct buf *out)
{
    return put(out, w->count, 0, REC_END);
}

// --- reading ----------------------------------------------------------------------------------

static enum err damaged(struct trace *t, struct diag *diag, const char *what)
{
    t->broken = true;
    return diag_set(diag, ERR_INVALID, STR_FMT ": behind request %lld: %s", STR_ARG(t->name),
                    (long long)t->count, what);
}

// `n` bytes, in one piece; borrowed until the next call. `*more` false: the file ends here.
static enum err take_bytes(struct trace *t, size_t n, struct str *out, bool *more,
                           struct diag *diag)
{
    *more = true;
    if (t->bytes.n >= n) {
        *out = (struct str){t->bytes.p, n};
        t->bytes = str_skip(t->bytes, n);
        return ERR_NONE;
    }
    buf_clear(&t->carry);
    while (buf_len(&t->carry) < n) {
        if (t->bytes.n == 0) {
            enum err e = trace_more(t, diag);
            if (e)
                return e;
            if (t->ended) {
                *more = false;
                return ERR_NONE;
            }
        }
        size_t left = n - buf_len(&t->carry), got = t->bytes.n < left ? t->bytes.n : left;
        CHECK(buf_add(&t->carry, t->bytes.p, got));
        t->bytes = str_skip(t->bytes, got);
    }
    *out = buf_str(&t->carry);
    return ERR_NONE;
}

static enum err read_name(struct trace *t, const struct record *r, struct diag *diag)
{
    size_t n = r->w[0];
    struct str text;
    bool more;
    int32_t at;
    if (n > NAME_BYTES_MAX || r->w[1] >= TRACE_KINDS)
        return damaged(t, diag, "a name is not right");
    enum err e = take_bytes(t, (n + 15) / 16 * 16, &text, &more, diag);
    if (e)
        return e;
    if (!more)
        return damaged(t, diag, "the file is cut off");
    enum trace_kind kind = (enum trace_kind)r->w[1];
    int32_t had = table_len(t->names[kind]);
    e = trace_name_add(t, kind, (struct str){text.p, n}, &at, diag);
    if (!e && at != had)
        return damaged(t, diag, "a name stands twice");
    t->n_names[kind] = table_len(t->names[kind]);
    return e;
}

static enum err read_blocks(struct trace *t, const struct record *r, struct diag *diag)
{
    if (r->w[1] > (uint32_t)(TRACE_BLOCKS_MAX - t->n_blocks))
        return damaged(t, diag, "a request has too many blocks");
    for (uint32_t i = 0; i < r->w[1]; i++)
        t->blocks[t->n_blocks++] = wide(r) + i;
    return ERR_NONE;
}

static enum err read_other(struct trace *t, const struct record *r, struct diag *diag)
{
    uint64_t v = wide(r);
    switch (r->w[2] >> LOW_BITS) {
    case REC_GAP:
        if (v > (uint64_t)(INT64_MAX / 4) || t->at_us > INT64_MAX / 4)
            return damaged(t, diag, "a time is not right");
        t->gap_us = (int64_t)v;
        return ERR_NONE;
    case REC_BLOCKS: return read_blocks(t, r, diag);
    case REC_NAME: return read_name(t, r, diag);
    case REC_WALL:
        if (v > (uint64_t)(INT64_MAX / 4))
            return damaged(t, diag, "its date is not right");
        t->wall_us = (int64_t)v;
        return ERR_NONE;
    case REC_USER: t->user = v; return ERR_NONE;
    case REC_END:
        if (v != (uint64_t)t->count)
            return damaged(t, diag, "the file says that it has another number of requests");
        t->whole = true;
        return ERR_NONE;
    default: return damaged(t, diag, "a record is of no kind that this program knows");
    }
}

static enum err read_request(struct trace *t, const struct record *r, struct trace_item *out,
                             struct diag *diag)
{
    t->count++;
    t->item = t->line = t->count;
    t->at_us += t->gap_us + r->w[0];
    t->gap_us = 0;
    out->at_us = t->at_us;
    out->prompt_tok = (int32_t)(r->w[1] & LOW);
    out->output_tok = (int32_t)(r->w[2] & LOW);
    out->name[TRACE_CLASS] = (int32_t)(r->w[1] >> LOW_BITS) - 1;
    out->name[TRACE_MODEL] = (int32_t)(r->w[3] & 0xffff) - 1;
    out->name[TRACE_TENANT] = (int32_t)(r->w[3] >> 16) - 1;
    out->user = t->user;
    t->user = 0;
    out->blocks = t->blocks;
    out->n_blocks = t->n_blocks;
    bool known = true;
    for (int k = 0; k < TRACE_KINDS; k++)
        known = known && out->name[k] < t->n_names[k];
    return known ? ERR_NONE : damaged(t, diag, "a request has a name that was not introduced");
}

static enum err read_head(struct trace *t, struct diag *diag)
{
    struct str head;
    bool more;
    enum err e = take_bytes(t, sizeof trace_magic, &head, &more, diag);
    if (e)
        return e;
    t->broken = !more || memcmp(head.p, trace_magic, VERSION_AT) != 0;
    if (t->broken)
        return diag_set(diag, ERR_INVALID, STR_FMT ": this is no trace", STR_ARG(t->name));
    int version = (unsigned char)head.p[VERSION_AT];
    t->broken = version < 1 || version > VERSION;
    if (t->broken)
        return diag_set(diag, ERR_INVALID, STR_FMT ": its version is %d, expected one up to %d",
                        STR_ARG(t->name), version, VERSION);
    return ERR_NONE;
}

enum err trace_own(struct trace *t, struct trace_item *out, bool *more, struct diag *diag)
{
    // Nearly always: a whole record lies there, and it is a request.
    struct record r;
    if (t->bytes.n >= sizeof r && t->count > 0 && !t->whole) {
        memcpy(&r, t->bytes.p, sizeof r);
        if (r.w[2] >> LOW_BITS == REC_REQUEST) {
            t->bytes = str_skip(t->bytes, sizeof r);
            t->n_blocks = 0;
            *more = true;
            return read_request(t, &r, out, diag);
        }
    }
    if (t->count == 0 && t->line == 0) {
        enum err e = read_head(t, diag);
        if (e)
            return e;
        t->line = 1;
    }
    t->n_blocks = 0;
    for (;;) {
        struct str text;
        enum err e = take_bytes(t, sizeof(struct record), &text, more, diag);
        if (e)
            return e;
        if (!*more)
            return t->whole ? ERR_NONE : damaged(t, diag, "the file is cut off");
        memcpy(&r, text.p, sizeof r);
        if (t->whole)
            return damaged(t, diag, "something follows the end");
        if (r.w[2] >> LOW_BITS == REC_REQUEST)
            return read_request(t, &r, out, diag);
        e = read_other(t, &r, diag);
        if (e)
            return e;
    }
}
