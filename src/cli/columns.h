// columns.h - rows of text printed so that their columns line up.

#ifndef CAUDAL_COLUMNS_H
#define CAUDAL_COLUMNS_H

#include "base/arena.h"
#include "base/buf.h"

enum { COLUMNS_MAX = 16 };

struct columns {
    struct arena *arena;  // where cells are kept; not owned
    struct columns_row *first, *last;
    int32_t n;  // columns, of the widest row
};

void columns_init(struct columns *c, struct arena *a);
// A row of up to COLUMNS_MAX cells, ended by NULL; cells are copied.
void columns_row(struct columns *c, const char *cell, ...) __attribute__((sentinel));
void columns_row_str(struct columns *c, const struct str *cells, int32_t n);
// Each row with `indent` blanks in front; columns in the bit set `right` are right-aligned.
void columns_print(const struct columns *c, struct buf *out, int indent, uint32_t right);

#endif
