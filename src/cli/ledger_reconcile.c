// An invoice beside the ledger, by day and model: who says what, and the likeliest reason where the
// two differ.

#include "base/units.h"
#include "cli/columns.h"
#include "cli/ledger_view.h"

#include <inttypes.h>
#include <stdlib.h>

enum { LINES_BYTES_MAX = 512 << 20, CELLS_MAX = 64, TOLERANCE_NUSD = 5000000 };  // half a cent

struct seen {  // a line of the invoice, as it stands there
    struct seen *next;
    struct str text;
};

struct line {  // one day and model, of either side
    struct str day, model;
    bool theirs, ours, tokens_said;
    int64_t their_nusd, their_prompt, their_output;
    int64_t twice_nusd;  // part of their_nusd: of lines that stand there before, to the letter
    struct seen *seen;
    struct store_sum sum;
};

struct reconcile {
    const struct ledger_view *view;
    struct arena arena;
    struct line *lines;
    int32_t n, size;
};

static struct line *line_of(struct reconcile *r, struct str day, struct str model)
{
    for (int32_t i = r->n - 1; i >= 0; i--)
        if (str_eq(r->lines[i].day, day) && str_eq(r->lines[i].model, model))
            return &r->lines[i];
    if (r->n == r->size) {
        r->size = r->size ? r->size * 2 : 64;
        r->lines = realloc(r->lines, (size_t)r->size * sizeof *r->lines);
        CHECK(r->lines);
    }
    struct line *l = &r->lines[r->n++];
    *l = (struct line){.day = arena_str(&r->arena, day), .model = arena_str(&r->arena, model)};
    return l;
}

// --- the invoice ------------------------------------------------------------------------------

// Cells of one line; quotes may hold commas and doubled quotes, not line ends. -1: not CSV.
static int32_t cells_of(struct arena *a, struct str line, struct str out[CELLS_MAX])
{
    int32_t n = 0;
    size_t i = 0;
    while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
        line.n--;
    for (;;) {
        if (n == CELLS_MAX)
            return -1;
        char *cell = arena_take(a, line.n - i + 1);
        size_t len = 0;
        bool quoted = i < line.n && line.p[i] == '"';
        if (!cell)
            return -1;
        i += quoted;
        for (; i < line.n; i++) {
            bool quote = line.p[i] == '"';
            if (quoted && quote && i + 1 < line.n && line.p[i + 1] == '"')
                i++;
            else if (quoted ? quote : line.p[i] == ',')
                break;
            cell[len++] = line.p[i];
        }
        if (quoted && i == line.n)
            return -1;
        i += quoted;
        out[n++] = str_trim((struct str){cell, len});
        if (i >= line.n)
            return n;
        if (line.p[i++] != ',')
            return -1;
    }
}

enum column {
    COLUMN_DAY,
    COLUMN_MODEL,
    COLUMN_USD,
    COLUMN_CURRENCY,
    COLUMN_PROMPT,
    COLUMN_OUTPUT,
    COLUMNS
};
// As suppliers and their tables of costs call them; capitals, and '-' or ' ' for '_', do not
// matter.
static const char *const column_names[COLUMNS][12] = {
    [COLUMN_DAY] = {"date", "day", "usage_date", "start_time", "usage_date_utc", "usage_start",
                    "timestamp", "bucket_start_time"},
    [COLUMN_MODEL] = {"model", "model_name", "line_item", "model_id", "model_version"},
    [COLUMN_USD] = {"amount", "cost", "usd", "cost_usd", "amount_usd", "total", "total_cost",
                    "cost_in_usd", "spend", "amount_value"},
    [COLUMN_CURRENCY] = {"currency", "amount_currency", "currency_code"},
    [COLUMN_PROMPT] = {"prompt_tokens", "input_tokens", "n_context_tokens_total", "tokens_in",
                       "prompt", "input", "usage_input_tokens", "total_input_tokens"},
    [COLUMN_OUTPUT] = {"output_tokens", "completion_tokens", "n_generated_tokens_total",
                       "tokens_out", "output", "completion", "usage_output_tokens",
                       "total_output_tokens", "generated_tokens"},
};

static bool is_called(struct str head, const char *name)
{
    if (head.n != strlen(name))
        return false;
    for (size_t i = 0; i < head.n; i++) {
        char c = head.p[i];
        c = c == ' ' || c == '-' ? '_' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if (c != name[i])
            return false;
    }
    return true;
}

static enum err find_columns(const struct str *head, int32_t n, int32_t at[COLUMNS],
                             struct diag *diag)
{
    for (int32_t c = 0; c < COLUMNS; c++) {
        at[c] = -1;
        for (int32_t i = 0; i < n && at[c] < 0; i++)
            for (size_t k = 0; k < COUNTOF(column_names[c]) && column_names[c][k]; k++)
                if (is_called(head[i], column_names[c][k]))
                    at[c] = i;
    }
    for (int32_t c = COLUMN_DAY; c <= COLUMN_USD; c++)
        if (at[c] < 0)
            return diag_set(diag, ERR_INVALID,
                            "the invoice's first line names no column '%s' (date, model and amount "
                            "are needed; currency, prompt_tokens and output_tokens help)",
                            column_names[c][0]);
    return ERR_NONE;
}

// What the supplier calls a model, to what we do.
static struct str our_model(const struct ledger_view *v, struct str theirs)
{
    const struct portfolio *p = v->portfolio;
    for (int32_t i = 0; p && i < p->n_pools; i++) {
        const struct pool *pool = &p->pools[i];
        if (v->ask.supplier.n && !str_eq(p->suppliers[pool->supplier].name, v->ask.supplier))
            continue;
        for (int32_t k = 0; k < pool->n_serves; k++)
            if (str_eq(pool->serves[k].as, theirs))
                return p->models[pool->serves[k].model].name;
    }
    return theirs;
}

// The invoice has this very line already; else it is kept. An invoice by the hour has a few for
// each day and model.
static bool stood_before(struct reconcile *r, struct line *l, struct str text)
{
    for (const struct seen *s = l->seen; s; s = s->next)
        if (str_eq(s->text, text))
            return true;
    struct seen *s = arena_new(&r->arena, struct seen, 1);
    if (s) {
        *s = (struct seen){l->seen, text};
        l->seen = s;
    }
    return false;
}

static enum err read_line(struct reconcile *r, struct str text, const struct str *cell,
                          const int32_t at[COLUMNS], int32_t number, struct diag *diag)
{
    int64_t day_us;
    double usd;
    struct str day = cell[at[COLUMN_DAY]];
    day.n = day.n > 10 ? 10 : day.n;
    struct diag why = {0};
    if (unit_instant(&day_us, day, &why))
        return diag_set(diag, ERR_INVALID, "line %d of the invoice: %s", number, why.text);
    struct str amount = cell[at[COLUMN_USD]];
    if (str_starts(amount, STR("$")))
        amount = str_skip(amount, 1);
    if (!str_to_double(amount, &usd) || usd < -1e9 || usd > 1e9)
        return diag_set(diag, ERR_INVALID,
                        "line %d of the invoice: an amount is expected, got '" STR_FMT "'", number,
                        STR_ARG(amount));
    if (at[COLUMN_CURRENCY] >= 0 && !str_eq_nocase(cell[at[COLUMN_CURRENCY]], STR("USD")))
        return diag_set(diag, ERR_INVALID,
                        "line %d of the invoice is in '" STR_FMT "': only USD can be compared",
                        number, STR_ARG(cell[at[COLUMN_CURRENCY]]));
    struct line *l = line_of(r, day, our_model(r->view, cell[at[COLUMN_MODEL]]));
    int64_t prompt = 0, output = 0;
    l->theirs = true;
    int64_t nusd = (int64_t)(usd * 1e9 + (usd < 0 ? -0.5 : 0.5));
    l->their_nusd += nusd;
    l->twice_nusd += stood_before(r, l, text) ? nusd : 0;
    if (at[COLUMN_PROMPT] >= 0 && at[COLUMN_OUTPUT] >= 0 &&
        str_to_i64(cell[at[COLUMN_PROMPT]], &prompt) &&
        str_to_i64(cell[at[COLUMN_OUTPUT]], &output)) {
        l->tokens_said = true;
        l->their_prompt += prompt;
        l->their_output += output;
    }
    return ERR_NONE;
}

static enum err read_invoice(struct reconcile *r, struct str text, struct diag *diag)
{
    struct str line, cell[CELLS_MAX];
    int32_t at[COLUMNS], number = 1, n_head;
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_skip(text, 3);
    if (!str_trim(text).n || !str_cut(&text, '\n', &line) ||
        (n_head = cells_of(&r->arena, line, cell)) < 0)
        return diag_set(diag, ERR_INVALID, "the invoice is empty, or no CSV");
    enum err e = find_columns(cell, n_head, at, diag);
    while (!e && str_cut(&text, '\n', &line)) {
        number++;
        if (!str_trim(line).n || str_eq(str_trim(line), STR("\r")))
            continue;
        int32_t n = cells_of(&r->arena, line, cell);
        if (n != n_head)
            return diag_set(diag, ERR_INVALID,
                            "line %d of the invoice has not the %d cells of its first line", number,
                            n_head);
        e = read_line(r, str_trim(line), cell, at, number, diag);
    }
    return e;
}

// --- the ledger -------------------------------------------------------------------------------

static bool on_sum(void *ctx, const struct store_sum *s)
{
    struct reconcile *r = ctx;
    if (!s->attempts)
        return true;
    struct line *l = line_of(r, s->key[0], s->key[1].n ? s->key[1] : STR("(no model)"));
    l->ours = true;
    l->sum = *s;
    return true;
}

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

// Never empty. The likeliest of: nothing, a line twice, open rows, estimates, prices, tokens.
static const char *cause_of(const struct line *l)
{
    int64_t more = l->their_nusd - l->sum.list_nusd;
    int64_t apart = more < 0 ? -more : more;
    if (!l->ours)
        return "not in the ledger: sent past the gateway, or another name";
    if (!l->theirs)
        return l->sum.list_nusd ? "not in the invoice" : "nothing to pay, so not in the invoice";
    if (apart <= TOLERANCE_NUSD)
        return "none: they agree";
    if (l->twice_nusd && distance(more, l->twice_nusd) <= TOLERANCE_NUSD)
        return "a line stands twice in the invoice";
    if (more > 0 && l->sum.open && more <= l->sum.open_nusd)
        return "open rows: calls whose end was not seen";
    if (l->sum.estimated && apart <= l->sum.estimated_nusd)
        return "estimated usage: the supplier did not say it";
    if (l->tokens_said) {
        bool same = distance(l->their_prompt, l->sum.prompt_tok) * 1000 <= l->sum.prompt_tok &&
                    distance(l->their_output, l->sum.output_tok) * 1000 <= l->sum.output_tok;
        return same ? "price: the tokens agree, the money does not" : "tokens differ";
    }
    return "price, or calls past the gateway";
}

static int by_day_and_model(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int c = str_cmp(x->day, y->day);
    return c ? c : str_cmp(x->model, y->model);
}

static void write_csv(const struct reconcile *r, struct buf *out)
{
    buf_lit(out, "day,model,ours_usd,theirs_usd,difference_usd,cause\n");
    for (int32_t i = 0; i < r->n; i++) {
        const struct line *l = &r->lines[i];
        ledger_csv_cell(out, l->day);
        buf_lit(out, ",");
        ledger_csv_cell(out, l->model);
        buf_lit(out, ",");
        ledger_usd(out, l->sum.list_nusd);
        buf_lit(out, ",");
        ledger_usd(out, l->their_nusd);
        buf_lit(out, ",");
        ledger_usd(out, l->their_nusd - l->sum.list_nusd);
        buf_lit(out, ",");
        ledger_csv_cell(out, str_of(cause_of(l)));
        buf_lit(out, "\n");
    }
}

static void write_table(struct reconcile *r, struct buf *out)
{
    struct columns c;
    int64_t ours = 0, theirs = 0;
    columns_init(&c, &r->arena);
    columns_row(&c, "day", "model", "ours USD", "theirs USD", "difference", "likely cause", NULL);
    for (int32_t i = 0; i < r->n; i++) {
        const struct line *l = &r->lines[i];
        struct str cells[] = {l->day,
                              l->model,
                              ledger_usd6_text(&r->arena, l->sum.list_nusd),
                              ledger_usd6_text(&r->arena, l->their_nusd),
                              ledger_usd6_text(&r->arena, l->their_nusd - l->sum.list_nusd),
                              str_of(cause_of(l))};
        columns_row_str(&c, cells, COUNTOF(cells));
        ours += l->sum.list_nusd;
        theirs += l->their_nusd;
    }
    struct str total[] = {STR("all"), STR(""), ledger_usd6_text(&r->arena, ours),
                          ledger_usd6_text(&r->arena, theirs),
                          ledger_usd6_text(&r->arena, theirs - ours)};
    columns_row_str(&c, total, COUNTOF(total));
    columns_print(&c, out, 0, 4 | 8 | 16);
}

static void write_json(const struct reconcile *r, struct buf *out)
{
    buf_lit(out, "{\"rows\":[");
    for (int32_t i = 0; i < r->n; i++) {
        const struct line *l = &r->lines[i];
        buf_printf(out, "%s\n {\"day\":", i ? "," : "");
        buf_add_json(out, l->day);
        buf_lit(out, ",\"model\":");
        buf_add_json(out, l->model);
        buf_lit(out, ",\"ours_usd\":");
        ledger_usd(out, l->sum.list_nusd);
        buf_lit(out, ",\"theirs_usd\":");
        ledger_usd(out, l->their_nusd);
        buf_lit(out, ",\"difference_usd\":");
        ledger_usd(out, l->their_nusd - l->sum.list_nusd);
        buf_lit(out, ",\"cause\":");
        buf_add_json(out, str_of(cause_of(l)));
        buf_lit(out, "}");
    }
    buf_lit(out, "]}\n");
}

enum err ledger_reconcile(struct store *s, const struct ledger_view *v, struct str invoice,
                          struct buf *out, struct diag *diag)
{
    struct reconcile r = {.view = v};
    arena_init(&r.arena, LINES_BYTES_MAX);
    enum err e = read_invoice(&r, invoice, diag);
    struct store_ask ask = v->ask;
    ask.by[0] = STORE_BY_DAY;
    ask.by[1] = STORE_BY_MODEL;
    ask.n_by = 2;
    if (!e)
        e = store_sums(s, &ask, on_sum, &r, diag);
    if (!e) {
        if (r.n)
            qsort(r.lines, (size_t)r.n, sizeof *r.lines, by_day_and_model);
        if (v->form == LEDGER_CSV)
            write_csv(&r, out);
        else if (v->form == LEDGER_JSON)
            write_json(&r, out);
        else
            write_table(&r, out);
    }
    free(r.lines);
    arena_release(&r.arena);
    return e;
}
