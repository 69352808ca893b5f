#include "wire/trace.h"

#include "wire/trace_inside.h"

#include <stdio.h>
#include <stdlib.h>

enum { PLAIN_BYTES = 256 << 10, NAMES_BYTES = 16 << 20, TABLE_SEED = 0x7472616365 };

enum err trace_fault(const struct trace *t, struct diag *diag, const char *fmt, ...)
{
    char what[DIAG_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return diag_set(diag, ERR_INVALID, STR_FMT ":%lld: %s", STR_ARG(t->name), (long long)t->line,
                    what);
}

static enum err broken(struct trace *t, struct diag *diag, const char *why)
{
    t->broken = true;
    return diag_set(diag, ERR_INVALID, STR_FMT ": %s", STR_ARG(t->name), why);
}

enum err trace_more(struct trace *t, struct diag *diag)
{
    t->bytes = (struct str){0};
    while (!t->ended) {
        if (t->unpack) {
            size_t n;
            struct diag why = {0};
            if (unpack_take(t->unpack, &t->raw, t->plain, PLAIN_BYTES, &n, &why))
                return broken(t, diag, why.text);
            t->bytes = (struct str){t->plain, n};
        } else {
            t->bytes = t->raw;
            t->raw = (struct str){0};
        }
        if (t->bytes.n)
            return ERR_NONE;
        enum err e = t->source.read(t->source.ctx, &t->raw, diag);
        if (e) {
            t->broken = true;
            return e;
        }
        t->ended = t->raw.n == 0;
    }
    if (t->unpack && !unpack_may_end(t->unpack))
        return broken(t, diag, "the compressed data is cut off");
    return ERR_NONE;
}

enum err trace_name_add(struct trace *t, enum trace_kind kind, struct str name, int32_t *at,
                        struct diag *diag)
{
    static const char *const words[TRACE_KINDS] = {"models", "classes", "tenants"};
    if (table_get(t->names[kind], name, at))
        return ERR_NONE;
    *at = table_len(t->names[kind]);
    if (table_add(t->names[kind], name, *at))
        return trace_fault(t, diag, "it names more than %d %s", TRACE_NAMES_MAX, words[kind]);
    return ERR_NONE;
}

// A line without its end; one that does not end where the bytes do is put together in `carry`.
enum err trace_line_take(struct trace *t, struct str *line, bool *more, struct diag *diag)
{
    buf_clear(&t->carry);
    t->line++;
    for (;;) {
        const char *end = t->bytes.n ? memchr(t->bytes.p, '\n', t->bytes.n) : NULL;
        size_t n = end ? (size_t)(end - t->bytes.p) : t->bytes.n;
        *line = (struct str){t->bytes.p, n};
        bool joined = buf_len(&t->carry) > 0;
        if (end && !joined) {
            t->bytes = str_skip(t->bytes, n + 1);
            break;
        }
        if (n && !buf_add(&t->carry, t->bytes.p, n)) {
            t->broken = true;
            return trace_fault(t, diag, "the line is longer than %d bytes", TRACE_LINE_MAX);
        }
        t->bytes = str_skip(t->bytes, n + (end ? 1 : 0));
        *line = buf_str(&t->carry);
        if (end)
            break;
        enum err e = trace_more(t, diag);
        if (e)
            return e;
        if (t->ended) {
            *line = buf_str(&t->carry);
            *more = line->n > 0;
            return ERR_NONE;
        }
    }
    if (line->n && line->p[line->n - 1] == '\r')
        line->n--;
    *more = true;
    return ERR_NONE;
}

// The first bytes, enough of them to tell the forms apart.
static enum err read_first(struct trace *t, struct diag *diag)
{
    struct str piece;
    do {
        enum err e = t->source.read(t->source.ctx, &piece, diag);
        if (e)
            return e;
        CHECK(buf_add_str(&t->first, piece));
    } while (piece.n && buf_len(&t->first) < UNPACK_FIRST_BYTES);
    t->raw = buf_str(&t->first);
    t->unpack = unpack_new(t->raw);
    if (t->unpack)
        t->plain = take(PLAIN_BYTES);
    return trace_more(t, diag);
}

static enum err begin_form(struct trace *t, struct diag *diag)
{
    enum err e = read_first(t, diag);
    if (e)
        return e;
    if (t->bytes.n == 0)
        return diag_set(diag, ERR_INVALID, STR_FMT ": the trace is empty", STR_ARG(t->name));
    if (t->bytes.p[0] == trace_magic[0]) {
        t->form = TRACE_OWN;
        return ERR_NONE;
    }
    if (t->bytes.p[0] == '{') {
        t->form = TRACE_JSON;
        return ERR_NONE;
    }
    t->form = TRACE_CSV;
    struct str header;
    bool more;
    e = trace_line_take(t, &header, &more, diag);
    return e ? e : trace_csv_begin(t, header, diag);
}

enum err trace_new(struct trace **out, struct str name, const struct trace_source *source,
                   struct diag *diag)
{
    struct trace *t = take(sizeof *t);
    *t = (struct trace){.name = name, .source = *source, .wall_us = -1};
    buf_init(&t->carry, TRACE_LINE_MAX);
    buf_init(&t->first, SIZE_MAX);
    arena_init(&t->arena, NAMES_BYTES);
    t->blocks = take_n(sizeof *t->blocks, TRACE_BLOCKS_MAX);
    enum err e = ERR_NONE;
    for (int k = 0; k < TRACE_KINDS && !e; k++)
        e = table_new(&t->names[k], &t->arena, TRACE_NAMES_MAX, TABLE_SEED);
    if (!e)
        e = begin_form(t, diag);
    if (e) {
        trace_free(t);
        return e;
    }
    *out = t;
    return ERR_NONE;
}

void trace_free(struct trace *t)
{
    if (!t)
        return;
    unpack_free(t->unpack);
    buf_release(&t->carry);
    buf_release(&t->first);
    arena_release(&t->arena);
    free(t->plain);
    free(t->blocks);
    free(t);
}

enum err trace_next(struct trace *t, struct trace_item *out, bool *more, struct diag *diag)
{
    if (t->form == TRACE_OWN)
        return trace_own(t, out, more, diag);
    struct str line;
    do {
        enum err e = trace_line_take(t, &line, more, diag);
        if (e || !*more)
            return e;
    } while (str_trim(line).n == 0);
    t->item = t->line;
    t->n_blocks = 0;
    *out = (struct trace_item){
        .at_us = -1, .prompt_tok = -1, .output_tok = -1, .name = {-1, -1, -1}, .blocks = t->blocks};
    enum err e =
        t->form == TRACE_CSV ? trace_csv(t, line, out, diag) : trace_json(t, line, out, diag);
    out->n_blocks = t->n_blocks;
    return e;
}

bool trace_is_broken(const struct trace *t)
{
    return t->broken;
}

int64_t trace_line(const struct trace *t)
{
    return t->item;
}

struct str trace_name(const struct trace *t, enum trace_kind kind, int32_t i)
{
    return table_name(t->names[kind], i);
}

int32_t trace_names(const struct trace *t, enum trace_kind kind)
{
    return table_len(t->names[kind]);
}

int64_t trace_wall_us(const struct trace *t)
{
    return t->wall_us;
}
