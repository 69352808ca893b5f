// trace.h - requests that were, one after another: when, how long, for which model.
//
// Pure: bytes come through a function of the caller, names and requests go out. Whatever the length
// of the trace the memory is the same: one line, one block of bytes, the names met so far.
//
//   bytes -> unpack.c (gzip's and zstd's) -> trace.c (which form? lines)
//         -> trace_text.c (CSV by the names of its columns, JSON by line)
//         -> trace_binary.c (our own, 16 bytes a request and more only where there is more to say)
//
// CSV needs a header. Times: t_us, t_ms, t_s, Timestamp (seconds), or TIMESTAMP (date and time).
// Lengths: prompt_tokens, ContextTokens, input_length, "Request tokens"; output_tokens,
// GeneratedTokens, output_length, "Response tokens". May be there: model, class, tenant, user,
// block_hashes or hash_ids (numbers with blanks between). Other columns are passed over. JSON: the
// same names; `timestamp` is in milliseconds, as Mooncake writes it.

#ifndef CAUDAL_TRACE_H
#define CAUDAL_TRACE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum {
    TRACE_TOK_MAX = (1 << 22) - 1,  // a prompt or an answer of more is taken for a mistake
    TRACE_BLOCK_TOK = 512,          // tokens that one block stands for
    TRACE_BLOCKS_MAX = 16384,       // of one request
    TRACE_NAMES_MAX = 1000,         // of each kind
    TRACE_LINE_MAX = 4 << 20
};

enum trace_kind { TRACE_MODEL, TRACE_CLASS, TRACE_TENANT, TRACE_KINDS };

struct trace_item {
    int64_t at_us;  // not before 0; of dates: since the first
    int32_t prompt_tok, output_tok;
    int32_t name[TRACE_KINDS];  // places among the trace's names; -1: not said
    uint64_t user;              // stands for the end user; 0: not said
    const uint64_t *blocks;     // borrowed until the next call
    int32_t n_blocks;
};

struct trace_source {
    void *ctx;
    // The next bytes, borrowed until the next call; none at the end.
    enum err (*read)(void *ctx, struct str *bytes, struct diag *diag);
};

struct trace;

// `name` is what messages call it and is borrowed. Looks at the first bytes to know the form.
//   Errors  those of `source`; ERR_INVALID  it is empty, of no form that we know, or a column is
//           missing; `diag` says which. Nothing is to be freed then.
MUST_USE enum err trace_new(struct trace **out, struct str name, const struct trace_source *source,
                            struct diag *diag);
void trace_free(struct trace *t);
// The next request; `*more` is false at the end. Times may go back: see the caller.
//   Errors  those of the source; ERR_INVALID  a line is not right, diag: FILE:LINE: what
// A faulty line has been passed: whoever likes may go on, unless trace_is_broken().
MUST_USE enum err trace_next(struct trace *t, struct trace_item *out, bool *more,
                             struct diag *diag);
bool trace_is_broken(const struct trace *t);  // nothing can follow: damaged data, a failing source
int64_t trace_line(const struct trace *t);    // of the last item; in our form, its number
struct str trace_name(const struct trace *t, enum trace_kind kind, int32_t i);
int32_t trace_names(const struct trace *t, enum trace_kind kind);
int64_t trace_wall_us(const struct trace *t);  // when its time 0 was, since 1970; -1: not said

// Writing our own form. What is not yet there goes in front of the request: names, a long gap,
// runs of blocks.
struct trace_writer {
    int64_t last_us;
    uint64_t count;
    int32_t named[TRACE_KINDS];  // how many of the names have been written
};
// `wall_us` -1: not known.
void trace_write_begin(struct trace_writer *w, struct buf *out, int64_t wall_us);
// `names` is whose names the item's are. Its time must not be before the last one's. False: `out`
// is full.
bool trace_write(struct trace_writer *w, struct buf *out, const struct trace *names,
                 const struct trace_item *item);
bool trace_write_end(struct trace_writer *w, struct buf *out);

#endif
