#include "cli/columns.h"

#include <stdarg.h>

struct columns_row {
    struct columns_row *next;
    struct str cells[COLUMNS_MAX];
    int32_t n;
};

void columns_init(struct columns *c, struct arena *a)
{
    *c = (struct columns){.arena = a};
}

void columns_row_str(struct columns *c, const struct str *cells, int32_t n)
{
    CHECK(n <= COLUMNS_MAX);
    struct columns_row *row = arena_new(c->arena, struct columns_row, 1);
    if (!row)
        return;
    for (int32_t i = 0; i < n; i++)
        row->cells[i] = arena_str(c->arena, cells[i]);
    row->n = n;
    if (c->last)
        c->last->next = row;
    else
        c->first = row;
    c->last = row;
    if (n > c->n)
        c->n = n;
}

void columns_row(struct columns *c, const char *cell, ...)
{
    struct str cells[COLUMNS_MAX];
    int32_t n = 0;
    va_list args;
    va_start(args, cell);
    for (; cell && n < COLUMNS_MAX; cell = va_arg(args, const char *))
        cells[n++] = str_of(cell);
    va_end(args);
    columns_row_str(c, cells, n);
}

// Characters, not bytes: names may be in any script. Wide ones are not told apart.
static int width(struct str s)
{
    int n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    return n;
}

void columns_print(const struct columns *c, struct buf *out, int indent, uint32_t right)
{
    int widths[COLUMNS_MAX] = {0};
    for (const struct columns_row *row = c->first; row; row = row->next)
        for (int32_t i = 0; i < row->n; i++)
            if (width(row->cells[i]) > widths[i])
                widths[i] = width(row->cells[i]);
    for (const struct columns_row *row = c->first; row; row = row->next) {
        int pending = indent;  // blanks that are written only if something follows
        for (int32_t i = 0; i < row->n; i++) {
            int space = widths[i] - width(row->cells[i]);
            bool at_right = right >> i & 1;
            if (at_right)
                pending += space;
            if (row->cells[i].n) {
                buf_printf(out, "%*s", pending, "");
                buf_add_str(out, row->cells[i]);
                pending = 0;
            } else {
                space = at_right ? 0 : widths[i];
            }
            pending += (at_right ? 0 : space) + 2;
        }
        buf_lit(out, "\n");
    }
}
