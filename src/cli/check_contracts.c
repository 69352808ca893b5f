// What `caudal check` shows of contracts: a line of time each, what they say, their sums by year.

#include "cli/check_view.h"

#include "base/units.h"
#include "cli/columns.h"

#include <stdio.h>

static const char *date_text(const struct check_view *v, int64_t at_us)
{
    char date[UNIT_TEXT];
    return at_us == 0 || at_us == NEVER ? "" : check_words(v, str_of(unit_text_date(date, at_us)));
}

// Contracts: a line of time each, then what they say

struct line {  // of time, the same for all contracts
    int32_t first_year, n_years, per_year;
};

static struct line line_of(const struct check_view *v)
{
    enum { WIDEST = 64 };
    const struct committed *k = v->committed;
    struct line l = {k->first_year, k->n_years, 4};
    if (l.n_years * l.per_year > WIDEST)
        l.per_year = 1;
    return l;
}

static int64_t cell_us(const struct line *l, int32_t cell)
{
    return civil_us((struct civil){.year = l->first_year + cell / l->per_year,
                                   .month = 1 + cell % l->per_year * 12 / l->per_year,
                                   .day = 1});
}

// What a contract gives at a time, in whatever it is stated in.
static double size_at(const struct check_view *v, int32_t contract, int64_t at_us)
{
    const struct contract *c = &v->p->contracts[contract];
    double w = contract_power_w(v->p, contract, at_us), other = 0;
    for (int32_t i = 0; i < c->n_phases; i++) {
        const struct phase *ph = &c->phases[i];
        if (ph->from_us <= at_us && at_us < ph->until_us && at_us < c->until_us)
            other += ph->adds_accelerators + ph->adds_ptu + ph->adds_token_rate;
    }
    return w > 0 ? w : other;
}

// Blank outside the term, '-' inside, '1' to '9' and '#' for tenths of the contract's largest size.
static struct str drawing(const struct check_view *v, const struct line *l, int32_t contract)
{
    const struct contract *c = &v->p->contracts[contract];
    char cells[4 * COMMITTED_YEARS_MAX + 1];
    int32_t n = l->n_years * l->per_year;
    double largest = 0;
    for (int32_t i = 0; i < n; i++) {
        double size = size_at(v, contract, cell_us(l, i + 1) - 1);
        largest = size > largest ? size : largest;
    }
    for (int32_t i = 0; i < n; i++) {
        int64_t from = cell_us(l, i), until = cell_us(l, i + 1);
        double size = size_at(v, contract, until - 1);
        bool inside = c->from_us < until && c->until_us > from && (c->from_us || c->n_phases);
        int tenths = largest > 0 ? (int)(size / largest * 10 + 0.5) : 0;
        cells[i] = tenths >= 10 ? '#' : size > 0 ? (char)('0' + (tenths ? tenths : 1)) : '-';
        if (!inside)
            cells[i] = ' ';
    }
    while (n && cells[n - 1] == ' ')
        n--;
    return arena_str(v->a, (struct str){cells, (size_t)n});
}

static struct str years_text(const struct check_view *v, const struct line *l)
{
    struct str out = STR("");
    for (int32_t y = 0; y < l->n_years; y++)
        out = l->per_year == 4
                  ? arena_printf(v->a, STR_FMT "'%02d ", STR_ARG(out),
                                 (int)((l->first_year + y) % 100))
                  : arena_printf(v->a, STR_FMT "%d", STR_ARG(out), (int)(l->first_year + y) % 10);
    return out;
}

static const char *value_text(const struct check_view *v, const struct contract *c)
{
    char money[UNIT_TEXT];
    if (!c->value_uusd)
        return "";
    return check_z(arena_printf(v->a, STR_FMT "%s%s", STR_ARG(c->value_note),
                                c->value_note.n ? " " : "", unit_text_uusd(money, c->value_uusd)));
}

static void time_lines(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    struct line l = line_of(v);
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "", "", "", check_z(years_text(v, &l)), NULL);
    for (int32_t i = 0; i < p->n_contracts; i++)
        columns_row(&c, check_words(v, p->contracts[i].name), status_name(p->contracts[i].status),
                    value_text(v, &p->contracts[i]), check_z(drawing(v, &l, i)), NULL);
    check_heading(out, "contracts");
    buf_printf(
        out, "  (a character is a %s: - no capacity stated, 1 to 9 tenths of its largest, # all)\n",
        l.per_year == 4 ? "quarter" : "year");
    columns_print(&c, out, 2, 0);
}

static const char *adds_text(const struct check_view *v, const struct phase *ph)
{
    char a[UNIT_TEXT], b[UNIT_TEXT];
    struct str out = STR("");
    if (ph->adds_w > 0)
        out = arena_printf(v->a, "+%s%s", unit_text_si(a, ph->adds_w, "W"),
                           ph->load_is_it ? " of IT load" : "");
    if (ph->max_w > 0)
        out = arena_printf(v->a, STR_FMT "%sbetween %s and %s", STR_ARG(out), out.n ? ", " : "",
                           unit_text_si(a, ph->min_w, "W"), unit_text_si(b, ph->max_w, "W"));
    if (ph->adds_accelerators > 0)
        out = arena_printf(v->a, STR_FMT "%s+%s accelerators", STR_ARG(out), out.n ? ", " : "",
                           unit_text_si(a, ph->adds_accelerators, ""));
    if (ph->adds_ptu > 0)
        out = arena_printf(v->a, STR_FMT "%s+%s PTU", STR_ARG(out), out.n ? ", " : "",
                           unit_text_si(a, ph->adds_ptu, ""));
    if (ph->adds_token_rate > 0)
        out = arena_printf(v->a, STR_FMT "%s+%s", STR_ARG(out), out.n ? ", " : "",
                           unit_text_si(a, ph->adds_token_rate, "tok/s"));
    return out.n ? check_z(out) : "size not stated";
}

static void commitment(struct buf *out, const struct commitment *m)
{
    char amount[UNIT_TEXT], price[UNIT_TEXT];
    if (!(m->amount > 0))
        return;
    bool scaled = m->unit == COMMIT_USD || m->unit == COMMIT_TOKENS;
    if (scaled)
        unit_text_si(amount, m->amount, commitment_unit_text(m->unit));
    else
        snprintf(amount, sizeof amount, "%.6g %s", m->amount, commitment_unit_text(m->unit));
    buf_printf(out, "    committed: %s per %s, beyond: ", amount, period_text(m->per));
    if (m->beyond_never)
        buf_lit(out, "never");
    else if (m->beyond_nusd_per_unit > 0)
        buf_printf(out, "%s each", unit_text_nusd(price, (int64_t)m->beyond_nusd_per_unit));
    else
        buf_lit(out, "list price");
    if (m->make_up.n)
        buf_printf(out, ", make-up: " STR_FMT, STR_ARG(m->make_up));
    buf_lit(out, "\n");
}

static void contract_head(struct buf *out, const struct check_view *v, const struct contract *c)
{
    const struct portfolio *p = v->p;
    char watts[UNIT_TEXT];
    buf_printf(out, "  " STR_FMT ": %s", STR_ARG(c->name), status_name(c->status));
    if (c->supplier >= 0)
        buf_printf(out, " with " STR_FMT, STR_ARG(p->suppliers[c->supplier].name));
    if (c->part_of >= 0)
        buf_printf(out, ", part of " STR_FMT, STR_ARG(p->contracts[c->part_of].name));
    if (c->value_uusd)
        buf_printf(out, ", %s", value_text(v, c));
    if (c->from_us)
        buf_printf(out, ", from %s", date_text(v, c->from_us));
    if (c->until_us != NEVER)
        buf_printf(out, ", until %s", date_text(v, c->until_us));
    if (c->purpose == PURPOSE_INFERENCE)
        buf_lit(out, ", for inference");
    if (c->purpose == PURPOSE_TRAINING)
        buf_lit(out, ", for training");
    if (c->power_ceiling_w > 0)
        buf_printf(out, ", at most %s", unit_text_si(watts, c->power_ceiling_w, "W"));
    if (c->exclusive)
        buf_lit(out, ", exclusive");
    if (c->first_refusal)
        buf_lit(out, ", first refusal");
    if (c->n_chips)
        buf_printf(out, ", on %s", check_list(v, c->chips, c->n_chips));
    buf_lit(out, "\n");
}

static void contract_details(struct buf *out, const struct check_view *v, int32_t index)
{
    const struct contract *c = &v->p->contracts[index];
    char a[UNIT_TEXT];
    struct columns rows;
    columns_init(&rows, v->a);
    contract_head(out, v, c);
    commitment(out, &c->commitment);
    for (int32_t i = 0; i < c->n_phases; i++)
        columns_row(&rows, date_text(v, c->phases[i].from_us), adds_text(v, &c->phases[i]),
                    status_name(c->phases[i].status), NULL);
    columns_print(&rows, out, 4, 0);
    for (int32_t i = 0; i < c->n_options; i++) {
        const struct contract_option *o = &c->options[i];
        struct phase adds = {.adds_w = o->adds_w, .adds_accelerators = o->adds_accelerators};
        buf_printf(out, "    option " STR_FMT ": %s", STR_ARG(o->name), adds_text(v, &adds));
        if (o->from_us)
            buf_printf(out, " from %s", date_text(v, o->from_us));
        if (o->exercise_by_us != NEVER)
            buf_printf(out, ", to be taken by %s", date_text(v, o->exercise_by_us));
        if (o->price_uusd)
            buf_printf(out, ", for %s", unit_text_uusd(a, o->price_uusd));
        buf_lit(out, "\n");
    }
}

void check_contracts(struct buf *out, const struct check_view *v)
{
    if (!v->p->n_contracts)
        return;
    time_lines(out, v);
    buf_lit(out, "\n");
    for (int32_t i = 0; i < v->p->n_contracts; i++)
        contract_details(out, v, i);
}

// Sums by year

static struct str money_cell(const struct check_view *v, const struct committed_cell *cell)
{
    char money[UNIT_TEXT];
    if (!(cell->usd > 0))
        return STR("");
    const char *mark = cell->at_least && cell->up_to ? "~" : cell->at_least ? ">" : "";
    if (cell->up_to && !cell->at_least)
        mark = "<=";
    return arena_printf(v->a, "%s%s", mark, unit_text_si(money, cell->usd, "USD"));
}

static struct str power_cell(const struct check_view *v, const struct committed_cell *cell)
{
    char watts[UNIT_TEXT];
    return cell->w > 0 ? arena_printf(v->a, "%s", unit_text_si(watts, cell->w, "W")) : STR("");
}

static bool has_status(const struct committed *k, int status)
{
    bool any = k->undated[status].usd > 0;
    for (int32_t y = 0; y < k->n_years; y++) {
        const struct committed_cell *cell = &k->cells[y * STATUS_COUNT + status];
        any = any || cell->usd > 0 || cell->w > 0;
    }
    return any;
}

static void sums_row(struct columns *c, const struct check_view *v, struct str label,
                     const struct committed_cell *cells)
{
    struct str row[COLUMNS_MAX];
    int32_t n = 0;
    row[n++] = label;
    for (int s = 0; s < STATUS_ENDED; s++)  // what has ended commits nobody
        if (has_status(v->committed, s)) {
            row[n++] = money_cell(v, &cells[s]);
            row[n++] = power_cell(v, &cells[s]);
        }
    columns_row_str(c, row, n);
}

void check_sums(struct buf *out, const struct check_view *v)
{
    const struct committed *k = v->committed;
    struct columns c;
    struct str head[COLUMNS_MAX];
    int32_t n = 0;
    bool undated = false;
    columns_init(&c, v->a);
    head[n++] = STR("year");
    for (int s = 0; s < STATUS_ENDED; s++)
        if (has_status(k, s)) {
            head[n++] = str_of(status_name((enum status)s));
            head[n++] = STR("");
            undated = undated || k->undated[s].usd > 0;
        }
    if (n == 1)
        return;
    columns_row_str(&c, head, n);
    for (int32_t y = 0; y < k->n_years; y++)
        sums_row(&c, v, arena_printf(v->a, "%d", (int)(k->first_year + y)),
                 &k->cells[y * STATUS_COUNT]);
    if (undated)
        sums_row(&c, v, STR("no dates"), k->undated);
    check_heading(out, "committed, by how sure it is: never to be added together");
    buf_lit(out, "  (money spread evenly over each term, power at the end of the year, parts of a\n"
                 "  contract counted once; > and <= where a source gives a bound)\n");
    columns_print(&c, out, 2, ~1u);
}
