// replay_rows.h - rows of the replay's tables, their cells filled one after the other.
//
//   struct cells r = {.n = 0};
//   cells_add_text(&r, name);
//   cells_add_count(&r, 12);
//   cells_row(&columns, &r);

#ifndef CAUDAL_REPLAY_ROWS_H
#define CAUDAL_REPLAY_ROWS_H

#include "base/buf.h"
#include "cli/columns.h"

enum { CELL_BYTES = 96 };

struct cells {
    char text[COLUMNS_MAX][CELL_BYTES];
    int32_t n;
};

char *cells_next(struct cells *r);  // room for the next one, CELL_BYTES
void cells_add_text(struct cells *r, struct str s);
void cells_add_count(struct cells *r, int64_t v);  // "-" for none
void cells_add_us(struct cells *r, int64_t us, bool known);
void cells_add_share(struct cells *r, int64_t part, int64_t whole);
void cells_add_usd(struct cells *r, double nusd);
void cells_add_si(struct cells *r, double v, const char *unit);
void cells_row(struct columns *c, const struct cells *r);
// All columns right-aligned but those in the bit set `left`; an empty line behind.
void table_print(struct buf *out, const struct columns *c, uint32_t left);

#endif
