// Rows as they are, one after another: CSV, JSON lines, and the trace that `caudal replay` reads.

#include "base/units.h"
#include "cli/ledger_view.h"
#include "portfolio/committed.h"
#include "route/failover.h"

#include <stdio.h>

enum { FLUSH_BYTES = 1 << 20 };

struct rows {
    const struct ledger_view *view;
    struct buf *out;
    bool begun, failed;
    int64_t left_out;  // requests without an answer, of a trace
};

static struct str text_or_none(const char *text)
{
    return text ? str_of(text) : (struct str){0};
}

static const char *surface_text(int64_t surface)
{
    switch (surface) {
    case SURFACE_CHAT: return "chat";
    case SURFACE_COMPLETIONS: return "completions";
    case SURFACE_EMBEDDINGS: return "embeddings";
    case SURFACE_RESPONSES: return "responses";
    case SURFACE_MESSAGES: return "messages";
    default: return NULL;
    }
}

struct cell {
    struct str text;  // p NULL: none
    bool number;
};

static int32_t find(const struct store_cells *c, const char *name)
{
    for (int32_t i = 0; i < c->n; i++)
        if (str_eq(c->name[i], str_of(name)))
            return i;
    CHECK(!"the store knows the column");
}

// What is a number on disk and a word to people.
static struct cell cell_of(const struct store_cells *c, int32_t i)
{
    int64_t n;
    struct cell as_is = {c->cell[i], c->number[i]};
    if (!c->number[i] || !str_to_i64(c->cell[i], &n))
        return as_is;
    if (str_eq(c->name[i], STR("fault")))
        return (struct cell){
            n > 0 && n < FAULT_COUNT ? str_of(fault_name((enum fault)n)) : (struct str){0}, false};
    if (str_eq(c->name[i], STR("surface")))
        return (struct cell){text_or_none(surface_text(n)), false};
    if (str_eq(c->name[i], STR("unit")))
        return (struct cell){c->cell[find(c, "commitment")].n
                                 ? str_of(commitment_unit_name((enum commitment_unit)n))
                                 : (struct str){0},
                             false};
    return as_is;
}

static void csv_row(struct rows *t, const struct store_cells *c)
{
    if (!t->begun)
        for (int32_t i = 0; i < c->n; i++) {
            buf_add_str(t->out, c->name[i]);
            buf_add_str(t->out, str_of(i + 1 < c->n ? "," : "\n"));
        }
    for (int32_t i = 0; i < c->n; i++) {
        ledger_csv_cell(t->out, cell_of(c, i).text);
        buf_add_str(t->out, str_of(i + 1 < c->n ? "," : "\n"));
    }
}

static void json_row(struct rows *t, const struct store_cells *c)
{
    for (int32_t i = 0; i < c->n; i++) {
        struct cell cell = cell_of(c, i);
        buf_add_str(t->out, str_of(i ? "," : "{"));
        buf_add_json(t->out, c->name[i]);
        buf_lit(t->out, ":");
        if (!cell.text.p)
            buf_lit(t->out, "null");
        else if (cell.number)
            buf_add_str(t->out, cell.text);
        else
            buf_add_json(t->out, cell.text);
    }
    buf_lit(t->out, "}\n");
}

static int64_t number_of(const struct store_cells *c, const char *name)
{
    int64_t n = 0;
    return str_to_i64(c->cell[find(c, name)], &n) ? n : 0;
}

// A request as it came: when, by whom, for what, how long it and its answer were. What nobody
// answered has no length, so it is left out and counted.
static void trace_row(struct rows *t, const struct store_cells *c)
{
    static const char *const names[] = {"model_asked", "class", "tenant"};
    if (number_of(c, "prompt_tok") <= 0 && number_of(c, "output_tok") <= 0) {
        t->left_out++;
        return;
    }
    int64_t at_us = number_of(c, "began_us");
    struct civil at = civil_of(at_us);
    buf_printf(t->out, "%04d-%02d-%02d %02d:%02d:%02d.%06d,%lld,%lld", at.year, at.month, at.day,
               at.hour, at.minute, at.second, (int)(at_us % S(1)),
               (long long)number_of(c, "prompt_tok"), (long long)number_of(c, "output_tok"));
    for (size_t i = 0; i < COUNTOF(names); i++) {
        buf_lit(t->out, ",");
        ledger_csv_cell(t->out, c->cell[find(c, names[i])]);
    }
    buf_lit(t->out, "\n");
}

static bool on_row(void *ctx, const struct store_cells *c)
{
    struct rows *t = ctx;
    switch (t->view->form) {
    case LEDGER_JSON: json_row(t, c); break;
    case LEDGER_TRACE: trace_row(t, c); break;
    default: csv_row(t, c); break;
    }
    t->begun = true;
    // An export may be longer than memory: it goes out as it comes.
    if (buf_len(t->out) > FLUSH_BYTES) {
        t->failed = fwrite(t->out->p, 1, buf_len(t->out), stdout) != buf_len(t->out);
        buf_clear(t->out);
    }
    return !t->failed;
}

enum err ledger_export(struct store *s, const struct ledger_view *v, struct buf *out,
                       struct diag *diag)
{
    struct rows t = {.view = v, .out = out};
    if (v->form == LEDGER_TRACE)
        buf_lit(out, "TIMESTAMP,prompt_tokens,output_tokens,model,class,tenant\n");
    enum err e = store_rows(s, v->table, &v->ask, on_row, &t, diag);
    if (!e && t.failed)
        return diag_set(diag, ERR_SYSTEM, "the output could not be written");
    if (t.left_out)
        fprintf(stderr,
                "caudal ledger: %lld request%s without an answer %s left out of the trace\n",
                (long long)t.left_out, t.left_out == 1 ? "" : "s", t.left_out == 1 ? "is" : "are");
    return e;
}
