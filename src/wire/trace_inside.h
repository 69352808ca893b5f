// trace_inside.h - what the files of trace.h share.

#ifndef CAUDAL_TRACE_INSIDE_H
#define CAUDAL_TRACE_INSIDE_H

#include "base/table.h"

#include "wire/trace.h"
#include "wire/unpack.h"

enum trace_form { TRACE_CSV, TRACE_JSON, TRACE_OWN };

// What a column (or a member) says.
enum trace_field {
    FIELD_NONE,
    FIELD_US,
    FIELD_MS,
    FIELD_S,
    FIELD_DATE,
    FIELD_PROMPT,
    FIELD_OUTPUT,
    FIELD_MODEL,
    FIELD_CLASS,
    FIELD_TENANT,
    FIELD_USER,
    FIELD_BLOCKS,
    FIELD_COUNT
};
enum { TRACE_COLUMNS = 64 };

struct trace {
    struct str name;
    struct trace_source source;
    struct unpack *unpack;  // NULL: not compressed
    struct buf first;       // the first bytes, held until they are read
    struct str raw;         // of the source, not yet looked at
    struct str bytes;       // what is to be read, plain; in `raw`'s place when it is not compressed
    char *plain;            // unpacked bytes
    struct buf carry;       // the begin of a line or record whose rest comes with the next bytes
    bool ended, broken;
    enum trace_form form;
    int64_t line;  // read so far
    int64_t item;  // line of the last item
    int64_t wall_us;
    struct arena arena;  // of the names
    struct table *names[TRACE_KINDS];
    int32_t n_names[TRACE_KINDS];  // TRACE_OWN: introduced so far
    uint64_t *blocks;              // [TRACE_BLOCKS_MAX]
    int32_t n_blocks;
    enum trace_field columns[TRACE_COLUMNS];
    int32_t n_columns;
    int64_t at_us;  // TRACE_OWN: of the last request
    int64_t count;  // TRACE_OWN: requests so far
    int64_t gap_us;
    uint64_t user;  // TRACE_OWN: of the next request
    bool whole;     // TRACE_OWN: the record of the end has come
};

// trace.c
// More bytes behind t->bytes; at the end of the source t->ended. What is left in t->bytes is lost:
// put it into t->carry first.
enum err trace_more(struct trace *t, struct diag *diag);
enum err trace_fault(const struct trace *t, struct diag *diag, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
enum err trace_name_add(struct trace *t, enum trace_kind kind, struct str name, int32_t *at,
                        struct diag *diag);
enum err trace_line_take(struct trace *t, struct str *line, bool *more, struct diag *diag);

// trace_text.c
enum err trace_csv_begin(struct trace *t, struct str header, struct diag *diag);
enum err trace_csv(struct trace *t, struct str line, struct trace_item *out, struct diag *diag);
enum err trace_json(struct trace *t, struct str line, struct trace_item *out, struct diag *diag);

// trace_binary.c
extern const char trace_magic[16];  // its last byte is the version
enum err trace_own(struct trace *t, struct trace_item *out, bool *more, struct diag *diag);

#endif
