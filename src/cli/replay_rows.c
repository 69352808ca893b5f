#include "cli/replay_rows.h"

#include "base/units.h"

#include <stdio.h>

char *cells_next(struct cells *r)
{
    CHECK(r->n < COLUMNS_MAX);
    return r->text[r->n++];
}

void cells_add_text(struct cells *r, struct str s)
{
    snprintf(cells_next(r), CELL_BYTES, STR_FMT, (int)(s.n < CELL_BYTES - 1 ? s.n : CELL_BYTES - 1),
             s.p ? s.p : "");
}

void cells_add_count(struct cells *r, int64_t v)
{
    if (v)
        snprintf(cells_next(r), CELL_BYTES, "%lld", (long long)v);
    else
        snprintf(cells_next(r), CELL_BYTES, "-");
}

void cells_add_us(struct cells *r, int64_t us, bool known)
{
    char text[UNIT_TEXT];
    snprintf(cells_next(r), CELL_BYTES, "%s", known ? unit_text_us(text, us) : "-");
}

void cells_add_share(struct cells *r, int64_t part, int64_t whole)
{
    if (whole > 0)
        snprintf(cells_next(r), CELL_BYTES, "%.2f%%", 100 * (double)part / (double)whole);
    else
        snprintf(cells_next(r), CELL_BYTES, "-");
}

void cells_add_usd(struct cells *r, double nusd)
{
    if (nusd == 0)
        snprintf(cells_next(r), CELL_BYTES, "-");
    else
        snprintf(cells_next(r), CELL_BYTES, "$%.*f", nusd < 1e10 && nusd > -1e10 ? 4 : 2,
                 nusd / 1e9);
}

void cells_add_si(struct cells *r, double v, const char *unit)
{
    char text[UNIT_TEXT];
    snprintf(cells_next(r), CELL_BYTES, "%s", v == 0 ? "-" : unit_text_si(text, v, unit));
}

void cells_row(struct columns *c, const struct cells *r)
{
    struct str cells[COLUMNS_MAX];
    for (int32_t i = 0; i < r->n; i++)
        cells[i] = str_of(r->text[i]);
    columns_row_str(c, cells, r->n);
}

void table_print(struct buf *out, const struct columns *c, uint32_t left)
{
    columns_print(c, out, 2, ~left);
    buf_lit(out, "\n");
}
