#include "cli/ledger_view.h"

#include "base/units.h"
#include "cli/columns.h"
#include "cli/ledger_keys.h"
#include "route/failover.h"

#include <inttypes.h>
#include <stdio.h>

enum { TABLE_BYTES_MAX = 256 << 20, TABLE_KEYS_MAX = 7 };

void ledger_usd(struct buf *out, int64_t nusd)
{
    uint64_t n = nusd < 0 ? 0 - (uint64_t)nusd : (uint64_t)nusd;
    buf_printf(out, "%s%" PRIu64 ".%09" PRIu64, nusd < 0 ? "-" : "", n / 1000000000,
               n % 1000000000);
}

void ledger_usd6(struct buf *out, int64_t nusd)
{
    uint64_t n = nusd < 0 ? 0 - (uint64_t)nusd : (uint64_t)nusd;
    n = (n + 500) / 1000;
    buf_printf(out, "%s%" PRIu64 ".%06" PRIu64, nusd < 0 ? "-" : "", n / 1000000, n % 1000000);
}

struct str ledger_usd6_text(struct arena *a, int64_t nusd)
{
    struct buf b;
    buf_init(&b, 64);
    ledger_usd6(&b, nusd);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

void ledger_csv_cell(struct buf *out, struct str s)
{
    bool plain = true;
    for (size_t i = 0; i < s.n && plain; i++)
        plain = s.p[i] != ',' && s.p[i] != '"' && s.p[i] != '\n' && s.p[i] != '\r';
    if (plain) {
        buf_add_str(out, s);
        return;
    }
    buf_lit(out, "\"");
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"')
            buf_lit(out, "\"");
        buf_add(out, &s.p[i], 1);
    }
    buf_lit(out, "\"");
}

// --- sums -------------------------------------------------------------------------------------

struct sums {
    const struct ledger_view *view;
    struct buf *out;
    struct arena arena;
    struct columns columns;
    struct store_sum total;
    int64_t rows;
    struct store_gaps gaps;
    struct ledger_keys keys;
};

static struct str key_text(const struct sums *t, const struct store_sum *sum, int32_t i)
{
    int64_t fault;
    if (t->view->ask.by[i] == STORE_BY_KEY)
        return ledger_key_shown(&t->keys, sum->key[i]);
    if (t->view->ask.by[i] != STORE_BY_FAULT || !str_to_i64(sum->key[i], &fault))
        return sum->key[i];
    return fault <= 0 || fault >= FAULT_COUNT ? STR("none") : str_of(fault_name((enum fault)fault));
}

static void add_up(struct store_sum *t, const struct store_sum *s)
{
    t->attempts += s->attempts;
    t->open += s->open;
    t->failed += s->failed;
    t->cancelled += s->cancelled;
    t->failed_over += s->failed_over;
    t->estimated += s->estimated;
    t->prompt_tok += s->prompt_tok;
    t->cached_tok += s->cached_tok;
    t->output_tok += s->output_tok;
    t->reasoning_tok += s->reasoning_tok;
    t->list_nusd += s->list_nusd;
    t->marginal_nusd += s->marginal_nusd;
    t->charged_nusd += s->charged_nusd;
    t->estimated_nusd += s->estimated_nusd;
    t->open_nusd += s->open_nusd;
    t->open_unbounded += s->open_unbounded;
    t->joules += s->joules;
}

static const struct {
    const char *name;
    size_t at;
    bool money;
} fields[] = {
    {"calls", offsetof(struct store_sum, attempts), false},
    {"open", offsetof(struct store_sum, open), false},
    {"failed", offsetof(struct store_sum, failed), false},
    {"cancelled", offsetof(struct store_sum, cancelled), false},
    {"failed_over", offsetof(struct store_sum, failed_over), false},
    {"estimated", offsetof(struct store_sum, estimated), false},
    {"prompt_tokens", offsetof(struct store_sum, prompt_tok), false},
    {"cached_tokens", offsetof(struct store_sum, cached_tok), false},
    {"output_tokens", offsetof(struct store_sum, output_tok), false},
    {"reasoning_tokens", offsetof(struct store_sum, reasoning_tok), false},
    {"list_usd", offsetof(struct store_sum, list_nusd), true},
    {"marginal_usd", offsetof(struct store_sum, marginal_nusd), true},
    {"charged_usd", offsetof(struct store_sum, charged_nusd), true},
    {"estimated_usd", offsetof(struct store_sum, estimated_nusd), true},
    {"open_usd_at_most", offsetof(struct store_sum, open_nusd), true},
    {"open_unbounded", offsetof(struct store_sum, open_unbounded), false},
};

static int64_t field_of(const struct store_sum *s, size_t i)
{
    int64_t v;
    memcpy(&v, (const char *)s + fields[i].at, sizeof v);
    return v;
}

static void json_sum(const struct sums *t, const struct store_sum *s, bool keys)
{
    struct buf *out = t->out;
    buf_lit(out, "{");
    for (int32_t i = 0; keys && i < t->view->ask.n_by; i++) {
        buf_printf(out, "\"%s\":", store_by_name(t->view->ask.by[i]));
        buf_add_json(out, key_text(t, s, i));
        buf_lit(out, ",");
    }
    for (size_t i = 0; i < COUNTOF(fields); i++) {
        buf_printf(out, "%s\"%s\":", i ? "," : "", fields[i].name);
        if (fields[i].money)
            ledger_usd(out, field_of(s, i));
        else
            buf_printf(out, "%" PRId64, field_of(s, i));
    }
    buf_printf(out, ",\"energy_j\":%.6g}", s->joules);
}

static void csv_sum(const struct sums *t, const struct store_sum *s)
{
    struct buf *out = t->out;
    for (int32_t i = 0; i < t->view->ask.n_by; i++) {
        ledger_csv_cell(out, key_text(t, s, i));
        buf_lit(out, ",");
    }
    for (size_t i = 0; i < COUNTOF(fields); i++) {
        if (i)
            buf_lit(out, ",");
        if (fields[i].money)
            ledger_usd(out, field_of(s, i));
        else
            buf_printf(out, "%" PRId64, field_of(s, i));
    }
    buf_lit(out, "\n");
}

static void csv_head(const struct sums *t)
{
    for (int32_t i = 0; i < t->view->ask.n_by; i++)
        buf_printf(t->out, "%s,", store_by_name(t->view->ask.by[i]));
    for (size_t i = 0; i < COUNTOF(fields); i++)
        buf_printf(t->out, "%s%s", i ? "," : "", fields[i].name);
    buf_lit(t->out, "\n");
}

static struct str cell_count(struct sums *t, int64_t n)
{
    return arena_printf(&t->arena, "%" PRId64, n);
}

static struct str cell_money(struct sums *t, int64_t nusd)
{
    return ledger_usd6_text(&t->arena, nusd);
}

static void table_row(struct sums *t, const struct store_sum *s, bool total)
{
    struct str cells[COLUMNS_MAX];
    int32_t n = 0;
    for (int32_t i = 0; i < t->view->ask.n_by; i++) {
        struct str key = total ? STR("") : key_text(t, s, i);
        cells[n++] = total && i == 0 ? STR("all") : !total && !key.n ? STR("-") : key;
    }
    if (!t->view->ask.n_by)
        cells[n++] = STR("all");
    cells[n++] = cell_count(t, s->attempts);
    cells[n++] = cell_count(t, s->open);
    cells[n++] = cell_count(t, s->failed);
    cells[n++] = cell_count(t, s->prompt_tok);
    cells[n++] = cell_count(t, s->cached_tok);
    cells[n++] = cell_count(t, s->output_tok);
    cells[n++] = cell_money(t, s->list_nusd);
    cells[n++] = cell_money(t, s->marginal_nusd);
    cells[n++] = cell_money(t, s->charged_nusd);
    columns_row_str(&t->columns, cells, n);
}

static void table_head(struct sums *t)
{
    static const char *const names[] = {"calls",    "open",         "failed",
                                        "prompt",   "cached",       "output",
                                        "list USD", "marginal USD", "charged USD"};
    struct str cells[COLUMNS_MAX];
    int32_t n = 0;
    for (int32_t i = 0; i < t->view->ask.n_by; i++)
        cells[n++] = str_of(store_by_name(t->view->ask.by[i]));
    if (!t->view->ask.n_by)
        cells[n++] = STR("");
    for (size_t i = 0; i < COUNTOF(names); i++)
        cells[n++] = str_of(names[i]);
    columns_row_str(&t->columns, cells, n);
}

static bool on_sum(void *ctx, const struct store_sum *s)
{
    struct sums *t = ctx;
    if (!s->attempts && !s->charged_nusd)
        return true;  // requests that nobody was asked for
    add_up(&t->total, s);
    switch (t->view->form) {
    case LEDGER_TRACE:
    case LEDGER_CSV: csv_sum(t, s); break;
    case LEDGER_TABLE:
        if (t->view->ask.n_by)
            table_row(t, s, false);
        break;
    case LEDGER_JSON:
        buf_add_str(t->out, str_of(t->rows ? ",\n " : "\n "));
        json_sum(t, s, true);
        break;
    }
    t->rows++;
    return true;
}

static void table_notes(const struct sums *t)
{
    const struct store_sum *s = &t->total;
    struct buf *out = t->out;
    if (s->estimated) {
        buf_printf(out, "estimated: the tokens of %" PRId64 " call%s (", s->estimated,
                   s->estimated == 1 ? "" : "s");
        ledger_usd6(out, s->estimated_nusd);
        buf_lit(out, " USD), which their suppliers did not say\n");
    }
    if (s->open) {
        buf_printf(out, "open: %" PRId64 " call%s, at most ", s->open, s->open == 1 ? "" : "s");
        ledger_usd6(out, s->open_nusd);
        buf_lit(out, " USD");
        if (s->open_unbounded)
            buf_printf(out, " (%" PRId64 " of them without a stated limit)", s->open_unbounded);
        buf_lit(out, "\n");
    }
    if (t->gaps.attempts) {
        buf_printf(out, "not recorded: %" PRId64 " calls made while the disk was full, ",
                   t->gaps.attempts);
        ledger_usd6(out, t->gaps.list_nusd);
        buf_lit(out, " USD; they are in no row above\n");
    }
}

static void finish(struct sums *t)
{
    int32_t keys = t->view->ask.n_by > 1 ? t->view->ask.n_by : 1;
    switch (t->view->form) {
    case LEDGER_TRACE:
    case LEDGER_CSV: break;
    case LEDGER_JSON:
        buf_lit(t->out, "],\n\"total\":");
        json_sum(t, &t->total, false);
        buf_printf(t->out,
                   ",\n\"unrecorded\":{\"calls\":%" PRId64 ",\"list_usd\":", t->gaps.attempts);
        ledger_usd(t->out, t->gaps.list_nusd);
        buf_lit(t->out, "}}\n");
        break;
    case LEDGER_TABLE:
        if (t->rows != 1 || !t->view->ask.n_by)
            table_row(t, &t->total, true);
        columns_print(&t->columns, t->out, 0, ~0u << keys);
        table_notes(t);
        break;
    }
}

enum err ledger_sums(struct store *s, const struct ledger_view *v, struct buf *out,
                     struct diag *diag)
{
    struct sums t = {.view = v, .out = out};
    if (v->form == LEDGER_TABLE && v->ask.n_by > TABLE_KEYS_MAX)
        return diag_set(diag, ERR_LIMIT, "a table has room for %d keys; --csv and --json for all",
                        TABLE_KEYS_MAX);
    arena_init(&t.arena, TABLE_BYTES_MAX);
    columns_init(&t.columns, &t.arena);
    if (v->form == LEDGER_CSV)
        csv_head(&t);
    else if (v->form == LEDGER_TABLE)
        table_head(&t);
    else
        buf_lit(out, "{\"rows\":[");
    enum err e = ledger_keys_read(&t.keys, &t.arena, s, v->portfolio, diag);
    if (!e)
        e = store_sums(s, &v->ask, on_sum, &t, diag);
    if (!e)
        e = store_gaps(s, v->ask.since_us, v->ask.until_us, &t.gaps, diag);
    if (!e)
        finish(&t);
    ledger_keys_release(&t.keys);
    arena_release(&t.arena);
    return e;
}
