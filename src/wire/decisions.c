#include "wire/decisions.h"

// One function for each struct both writes and reads it, so that the two cannot differ. Integers
// are LEB128, signed ones zigzag; doubles are their eight bytes, little endian, to the last bit. A
// part stands behind its length: what a reader finds beyond the fields it knows is passed over,
// and fields that a shorter one does not have are 0.

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little endian");

const char decisions_head[DECISIONS_HEAD_BYTES] = "\x89"
                                                  "caudal-event\r\n\x02";

enum { LENGTH_BYTES = 2, VARINT_BYTES_MAX = 10 };

struct codec {
    unsigned char *at, *end;
    bool reads, bad;
    uint64_t *blocks;  // [DECISIONS_BLOCKS_MAX]: where those that are read go
};

enum err decisions_head_read(struct str head, struct diag *diag)
{
    size_t magic = DECISIONS_HEAD_BYTES - 1;
    if (head.n < DECISIONS_HEAD_BYTES || memcmp(head.p, decisions_head, magic) != 0)
        return diag_set(diag, ERR_INVALID, "this is no event log of caudal serve");
    int version = (unsigned char)head.p[magic];
    if (version < 1 || version > DECISIONS_VERSION)
        return diag_set(diag, ERR_INVALID,
                        "the event log is of version %d, and this caudal reads up to version %d",
                        version, DECISIONS_VERSION);
    return ERR_NONE;
}

static void code_u64(struct codec *c, uint64_t *v)
{
    if (!c->reads) {
        uint64_t rest = *v;
        if (c->end - c->at < VARINT_BYTES_MAX) {
            c->bad = true;
            return;
        }
        for (; rest >= 0x80; rest >>= 7)
            *c->at++ = (unsigned char)(rest | 0x80);
        *c->at++ = (unsigned char)rest;
        return;
    }
    *v = 0;
    for (int shift = 0; c->at < c->end && shift < 64; shift += 7) {
        unsigned char byte = *c->at++;
        *v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return;
        c->bad = c->bad || c->at == c->end || shift == 63;
    }
}

static void code_i64(struct codec *c, int64_t *v)
{
    uint64_t zigzag = (uint64_t)*v << 1 ^ (uint64_t)(*v < 0 ? -1 : 0);
    code_u64(c, &zigzag);
    if (c->reads)
        *v = (int64_t)(zigzag >> 1 ^ (zigzag & 1 ? UINT64_MAX : 0));
}

static void code_i32(struct codec *c, int32_t *v)
{
    int64_t wide = *v;
    code_i64(c, &wide);
    if (!c->reads)
        return;
    c->bad = c->bad || wide < INT32_MIN || wide > INT32_MAX;
    *v = c->bad ? 0 : (int32_t)wide;
}

static void code_u32(struct codec *c, uint32_t *v)
{
    uint64_t wide = *v;
    code_u64(c, &wide);
    c->bad = c->bad || wide > UINT32_MAX;
    *v = (uint32_t)wide;
}

static void code_bool(struct codec *c, bool *v)
{
    uint64_t wide = *v;
    code_u64(c, &wide);
    c->bad = c->bad || wide > 1;
    *v = wide == 1;
}

static void code_bytes(struct codec *c, void *v, size_t n)
{
    if (n == 0)
        return;
    if ((size_t)(c->end - c->at) < n) {
        c->bad = c->bad || !c->reads || c->at < c->end;
        if (c->reads)
            memset(v, 0, n);
        return;
    }
    if (c->reads)
        memcpy(v, c->at, n);
    else
        memcpy(c->at, v, n);
    c->at += n;
}

static void code_double(struct codec *c, double *v)
{
    code_bytes(c, v, sizeof *v);
}

// A part behind its length: its codec, and what is behind it.
static struct codec part_begin(struct codec *c)
{
    struct codec part = *c;
    uint16_t n = 0;
    code_bytes(c, &n, LENGTH_BYTES);
    part.at = c->at;
    part.bad = c->bad;
    if (c->reads && n > c->end - c->at)
        part.bad = true;
    else if (c->reads)
        part.end = c->at + n;
    return part;
}

static void part_end(struct codec *c, const struct codec *part)
{
    c->bad = c->bad || part->bad;
    if (c->bad)
        return;
    if (c->reads) {
        c->at = part->end;
        return;
    }
    uint16_t n = (uint16_t)(part->at - c->at);
    memcpy(c->at - LENGTH_BYTES, &n, sizeof n);
    c->at = part->at;
}

// Of the prompt; what is beyond the most is of no use to the core either.
static void code_blocks(struct codec *c, struct route_ask *a)
{
    int32_t n = a->n_blocks < DECISIONS_BLOCKS_MAX ? a->n_blocks : DECISIONS_BLOCKS_MAX;
    code_i32(c, &a->block_tok);
    code_i32(c, &n);
    if (n < 0 || n > DECISIONS_BLOCKS_MAX || (n > 0 && a->block_tok <= 0))
        c->bad = true;
    if (c->bad)
        return;
    if (c->reads) {
        a->n_blocks = n;
        a->blocks = c->blocks;
    }
    code_bytes(c, (void *)(uintptr_t)a->blocks, (size_t)n * sizeof *a->blocks);
}

static void code_ask(struct codec *outer, struct route_ask *a)
{
    struct codec c = part_begin(outer);
    code_i32(&c, &a->model);
    code_i32(&c, &a->class);
    code_i32(&c, &a->tenant);
    code_u64(&c, &a->user);
    code_u32(&c, &a->surface);
    code_i32(&c, &a->prompt_tok);
    code_i32(&c, &a->output_tok);
    code_i32(&c, &a->output_tok_max);
    code_i32(&c, &a->context_tok);
    code_i64(&c, &a->arrived_us);
    code_i64(&c, &a->deadline_us);
    code_i64(&c, &a->wall_us);
    code_bytes(&c, &a->draw, sizeof a->draw);
    code_bool(&c, &a->stand_in);
    code_bool(&c, &a->same_model);
    code_i32(&c, &a->n_tried);
    if (a->n_tried < 0 || a->n_tried > ROUTE_TRIED_MAX)
        c.bad = true;
    for (int32_t i = 0; !c.bad && i < a->n_tried; i++)
        code_i32(&c, &a->tried[i]);
    code_blocks(&c, a);
    part_end(outer, &c);
}

static void code_decision(struct codec *outer, struct route_decision *d)
{
    struct codec c = part_begin(outer);
    struct route_terms *t = &d->terms;
    uint32_t verdict = d->verdict, bar = d->bar;
    code_u32(&c, &verdict);
    code_u32(&c, &bar);
    if (verdict > ROUTE_REFUSE || bar > ROUTE_BAR_MODEL)
        c.bad = true;
    d->verdict = (enum route_verdict)verdict;
    d->bar = (enum route_bar)bar;
    code_i32(&c, &d->pool);
    code_i32(&c, &d->model);
    code_u32(&c, &d->probe_number);
    code_bool(&c, &d->panic);
    code_i64(&c, &d->until_us);
    code_i32(&c, &d->candidates);
    code_i32(&c, &d->usable);
    double *const terms[] = {&t->total,  &t->score,     &t->list,       &t->energy,
                             &t->carbon, &t->wait_ttft, &t->wait_tokens};
    for (size_t i = 0; d->pool >= 0 && i < COUNTOF(terms); i++)
        code_double(&c, terms[i]);
    code_i64(&c, &t->ttft_us);
    code_i64(&c, &t->per_token_us);
    code_i32(&c, &t->warm_tok);
    code_i32(&c, &t->cached_tok);
    part_end(outer, &c);
}

static void code_seen(struct codec *outer, struct route_seen *s)
{
    struct codec c = part_begin(outer);
    uint32_t outcome = s->outcome;
    code_u32(&c, &outcome);
    c.bad = c.bad || outcome > ROUTE_NO_SAY;
    s->outcome = (enum route_outcome)outcome;
    code_i64(&c, &s->cool_us);
    code_i64(&c, &s->ttft_us);
    code_i64(&c, &s->silent_us);
    code_bool(&c, &s->first_told);
    code_i64(&c, &s->per_token_us);
    code_i32(&c, &s->prompt_tok);
    code_i32(&c, &s->cached_tok);
    code_i32(&c, &s->output_tok);
    code_bool(&c, &s->cached_told);
    code_i64(&c, &s->list_nusd);
    code_i64(&c, &s->hold_us);
    code_bool(&c, &s->drawn);
    part_end(outer, &c);
}

static void code_lever(struct codec *outer, struct route_lever *l)
{
    struct codec c = part_begin(outer);
    code_bool(&c, &l->said);
    code_bool(&c, &l->stopped);
    code_double(&c, &l->weight);
    code_double(&c, &l->share);
    code_double(&c, &l->derate);
    code_i32(&c, &l->n_windows);
    c.bad = c.bad || l->n_windows < 0 || l->n_windows > ROUTE_WINDOWS_MAX;
    for (int32_t i = 0; !c.bad && i < l->n_windows; i++) {
        code_i64(&c, &l->windows[i].from_us);
        code_i64(&c, &l->windows[i].until_us);
    }
    part_end(outer, &c);
}

static void code_text(struct codec *outer, struct str *text)
{
    struct codec c = part_begin(outer);
    if (!c.reads) {
        code_bytes(&c, (void *)(uintptr_t)text->p, text->n);
    } else if (!c.bad) {
        *text = (struct str){(const char *)c.at, (size_t)(c.end - c.at)};
    }
    part_end(outer, &c);
}

static void code_rest(struct codec *c, struct decisions_record *r)
{
    switch (r->kind) {
    case DECISIONS_GENERATION:
        code_bytes(c, &r->fingerprint, sizeof r->fingerprint);
        code_text(c, &r->policy);
        break;
    case DECISIONS_PICK:
    case DECISIONS_SHADOW:
        code_ask(c, r->ask);
        code_decision(c, r->decision);
        if (r->kind == DECISIONS_SHADOW)
            code_i32(c, &r->place);
        break;
    case DECISIONS_FIRST:
        code_u64(c, &r->of);
        code_i64(c, &r->ttft_us);
        break;
    case DECISIONS_DRAW:
    case DECISIONS_DONE:
        code_u64(c, &r->of);
        code_ask(c, r->ask);
        code_seen(c, r->seen);
        break;
    case DECISIONS_WAIT:
        code_bool(c, &r->yes);
        code_ask(c, r->ask);
        break;
    case DECISIONS_CANCEL: code_u64(c, &r->of); break;
    case DECISIONS_WOKEN:
        code_u64(c, &r->of);
        code_decision(c, r->decision);
        break;
    case DECISIONS_READY:
        code_i32(c, &r->place);
        code_bool(c, &r->yes);
        break;
    case DECISIONS_LEVER:
        code_i32(c, &r->place);
        code_lever(c, r->lever);
        break;
    case DECISIONS_USED:
        code_i32(c, &r->place);
        code_i64(c, &r->wall_us);
        code_double(c, &r->used);
        break;
    case DECISIONS_PRICED:
        code_i32(c, &r->place);
        code_double(c, &r->price.low);
        code_double(c, &r->price.high);
        code_double(c, &r->price.per_us);
        code_i64(c, &r->price.period_from_us);
        break;
    case DECISIONS_GAP: code_u64(c, &r->lost); break;
    case DECISIONS_END: code_bool(c, &r->yes); break;
    case DECISIONS_FORGET:
    case DECISIONS_LOOK: break;
    case DECISIONS_KINDS: c->bad = true; break;
    }
}

static void code_record(struct codec *outer, struct decisions_record *r)
{
    struct codec c = part_begin(outer);
    uint32_t kind = r->kind;
    code_u32(&c, &kind);
    if (kind == 0 || kind >= DECISIONS_KINDS)
        c.bad = true;
    r->kind = (enum decisions_kind)kind;
    code_u64(&c, &r->number);
    code_i64(&c, &r->generation);
    code_i64(&c, &r->now_us);
    if (!c.bad)
        code_rest(&c, r);
    part_end(outer, &c);
}

size_t decisions_write(const struct decisions_record *r, unsigned char *out, size_t size)
{
    struct decisions_record copy = *r;
    struct codec c = {.at = out, .end = out + size};
    code_record(&c, &copy);
    return c.bad ? 0 : (size_t)(c.at - out);
}

enum err decisions_read(struct decisions_record *out, struct decisions_reader *reader,
                        struct str *bytes)
{
    unsigned char *at = (unsigned char *)(uintptr_t)bytes->p;
    struct codec c = {.at = at, .end = at + bytes->n, .reads = true, .blocks = reader->blocks};
    reader->ask = (struct route_ask){0};
    reader->decision = (struct route_decision){.pool = -1};
    reader->seen = (struct route_seen){0};
    reader->lever = (struct route_lever){0};
    *out = (struct decisions_record){.ask = &reader->ask,
                                     .decision = &reader->decision,
                                     .seen = &reader->seen,
                                     .lever = &reader->lever};
    code_record(&c, out);
    if (c.bad)
        return ERR_INVALID;
    *bytes = str_skip(*bytes, (size_t)(c.at - at));
    return ERR_NONE;
}
