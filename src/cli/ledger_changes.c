// What operators changed: who, when, what.

#include "base/units.h"
#include "cli/columns.h"
#include "cli/ledger_view.h"

enum { TABLE_BYTES_MAX = 64 << 20 };

struct writing {
    enum ledger_form form;
    struct buf *out;
    struct columns *columns;
    int64_t n;
};

static void write_json(struct buf *out, const char *time, const struct store_change *c)
{
    buf_printf(out, "{\"time\":\"%s\",\"who\":", time);
    buf_add_json(out, c->who);
    buf_lit(out, ",\"what\":");
    buf_add_json(out, c->what);
    buf_lit(out, ",\"detail\":");
    buf_add_json(out, c->detail);
    buf_lit(out, "}");
}

static bool write_change(void *ctx, const struct store_change *c)
{
    struct writing *w = ctx;
    char time[UNIT_TEXT];
    unit_text_instant(time, c->at_us);
    w->n++;
    if (w->form == LEDGER_TABLE) {
        columns_row_str(w->columns, (struct str[]){str_of(time), c->who, c->what, c->detail}, 4);
    } else if (w->form == LEDGER_JSON) {
        buf_add_str(w->out, str_of(w->n == 1 ? "[" : ",\n "));
        write_json(w->out, time, c);
    } else {
        buf_printf(w->out, "%s,", time);
        ledger_csv_cell(w->out, c->who);
        buf_lit(w->out, ",");
        ledger_csv_cell(w->out, c->what);
        buf_lit(w->out, ",");
        ledger_csv_cell(w->out, c->detail);
        buf_lit(w->out, "\n");
    }
    return !w->out->overflow;
}

enum err ledger_changes(struct store *s, const struct ledger_view *v, struct buf *out,
                        struct diag *diag)
{
    struct arena a;
    struct columns columns;
    arena_init(&a, TABLE_BYTES_MAX);
    columns_init(&columns, &a);
    struct writing w = {.form = v->form, .out = out, .columns = &columns};
    columns_row(&columns, "time", "who", "what", "detail", NULL);
    if (v->form == LEDGER_CSV)
        buf_lit(out, "time,who,what,detail\n");
    enum err e = store_changes(s, v->ask.since_us, v->ask.until_us, write_change, &w, diag);
    if (!e && v->form == LEDGER_TABLE)
        columns_print(&columns, out, 0, 0);
    else if (!e && v->form == LEDGER_JSON)
        buf_add_str(out, str_of(w.n ? "]\n" : "[]\n"));
    arena_release(&a);
    return e;
}
