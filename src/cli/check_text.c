#include "cli/check_view.h"

#include "base/units.h"
#include "cli/columns.h"
#include "portfolio/committed.h"

#include <stdio.h>

// Small texts

const char *commitment_unit_text(enum commitment_unit unit)
{
    return commitment_unit_name(unit);
}

const char *period_text(enum period period)
{
    switch (period) {
    case PERIOD_NONE: return "none";
    case PERIOD_MONTH: return "month";
    case PERIOD_QUARTER: return "quarter";
    case PERIOD_YEAR: return "year";
    case PERIOD_TERM: return "term";
    }
    return "";
}

static const char *z(struct str s)  // of texts that are terminated in their arena
{
    return s.p ? s.p : "";
}

static const char *text(const struct check_view *v, struct str s)
{
    return z(arena_str(v->a, s));
}

static const char *name_or_dash(const struct check_view *v, int32_t index, struct str name)
{
    return index < 0 ? "-" : text(v, name);
}

// "a, b, c", and how many more when there are many.
static const char *joined(const struct check_view *v, const struct str *names, int32_t n)
{
    enum { SHOWN = 6 };
    struct str out = STR("");
    for (int32_t i = 0; i < n && i < SHOWN; i++)
        out = arena_printf(v->a, STR_FMT "%s" STR_FMT, STR_ARG(out), i ? ", " : "",
                           STR_ARG(names[i]));
    if (n > SHOWN)
        out = arena_printf(v->a, STR_FMT " and %d more", STR_ARG(out), (int)(n - SHOWN));
    return z(out);
}

static const char *date_text(const struct check_view *v, int64_t at_us)
{
    char date[UNIT_TEXT];
    return at_us == 0 || at_us == NEVER ? "" : text(v, str_of(unit_text_date(date, at_us)));
}

static void heading(struct buf *out, const char *what)
{
    buf_printf(out, "\n%s\n", what);
}

const char *check_name(const struct check_view *v)
{
    return strcmp(v->paths[0], "-") == 0 ? "<stdin>" : v->paths[0];
}

// Suppliers and pools

static const char *where(const struct check_view *v, const struct supplier *s)
{
    if (s->run.n_argv)
        return z(arena_printf(v->a, "started by caudal: " STR_FMT, STR_ARG(s->run.argv[0])));
    return s->url.n ? text(v, url_shown(v->a, s->url)) : "-";
}

static void suppliers(struct buf *out, const struct check_view *v)
{
    struct columns c;
    columns_init(&c, v->a);
    for (int32_t i = 0; i < v->p->n_suppliers; i++) {
        const struct supplier *s = &v->p->suppliers[i];
        columns_row(&c, text(v, s->name), api_name(s->api), where(v, s),
                    s->key.n ? "with a key" : "without a key", NULL);
    }
    if (v->p->n_suppliers)
        heading(out, "suppliers");
    columns_print(&c, out, 2, 0);
}

static void pools(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "pool", "supplier", "contract", "site", "chip", "can be called now", NULL);
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct pool *x = &p->pools[i];
        bool callable;
        struct str now = pool_now(v->a, p, x, v->now_us, &callable);
        columns_row(&c, text(v, x->name), text(v, p->suppliers[x->supplier].name),
                    name_or_dash(v, x->contract,
                                 x->contract < 0 ? STR("") : p->contracts[x->contract].name),
                    name_or_dash(v, x->site, x->site < 0 ? STR("") : p->sites[x->site].name),
                    name_or_dash(v, x->chip, x->chip < 0 ? STR("") : p->chips[x->chip].name),
                    text(v, now), NULL);
    }
    heading(out, "pools");
    columns_print(&c, out, 2, 0);
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
    return z(arena_printf(v->a, STR_FMT "%s%s", STR_ARG(c->value_note), c->value_note.n ? " " : "",
                          unit_text_uusd(money, c->value_uusd)));
}

static void time_lines(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    struct line l = line_of(v);
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "", "", "", z(years_text(v, &l)), NULL);
    for (int32_t i = 0; i < p->n_contracts; i++)
        columns_row(&c, text(v, p->contracts[i].name), status_name(p->contracts[i].status),
                    value_text(v, &p->contracts[i]), z(drawing(v, &l, i)), NULL);
    heading(out, "contracts");
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
    return out.n ? z(out) : "size not stated";
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
        buf_printf(out, ", on %s", joined(v, c->chips, c->n_chips));
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

static void contracts(struct buf *out, const struct check_view *v)
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

static void sums(struct buf *out, const struct check_view *v)
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
    heading(out, "committed, by how sure it is: never to be added together");
    buf_lit(out, "  (money spread evenly over each term, power at the end of the year, parts of a\n"
                 "  contract counted once; > and <= where a source gives a bound)\n");
    columns_print(&c, out, 2, ~1u);
}

// Models

static const char *price_text(const struct check_view *v, int64_t nusd_per_mtok)
{
    char money[UNIT_TEXT];
    return nusd_per_mtok < 0 ? "as input" : text(v, str_of(unit_text_nusd(money, nusd_per_mtok)));
}

static const char *as_text(const struct check_view *v, const struct serving *s)
{
    return str_eq(s->as, v->p->models[s->model].name) ? "" : text(v, s->as);
}

static void models(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "model", "served by", "context", "input", "cached", "output", "called", NULL);
    for (int32_t m = 0; m < p->n_models; m++) {
        const char *name = text(v, p->models[m].name);
        for (int32_t i = 0; i < p->n_pools; i++) {
            const struct serving *s = pool_serving(&p->pools[i], m);
            if (!s)
                continue;
            int32_t context = serving_context(p, s);
            const struct token_price *price = &s->price;
            columns_row(&c, name, text(v, p->pools[i].name),
                        context ? z(arena_printf(v->a, "%d", (int)context)) : "",
                        price->said ? price_text(v, price->input) : "no price",
                        price->said ? price_text(v, price->cached_input) : "",
                        price->said ? price_text(v, price->output) : "", as_text(v, s), NULL);
            name = "";
        }
        if (*name)
            columns_row(&c, name, "nobody", NULL);
    }
    if (!p->n_models)
        return;
    heading(out, "models, prices per million tokens");
    columns_print(&c, out, 2, 0x3c);
    for (int32_t i = 0; i < p->n_groups; i++) {
        const struct group *g = &p->groups[i];
        struct str *names = arena_new(v->a, struct str, g->n_models);
        for (int32_t j = 0; names && j < g->n_models; j++)
            names[j] = p->models[g->models[j]].name;
        if (names)
            buf_printf(out, "  group " STR_FMT ": %s\n", STR_ARG(g->name),
                       joined(v, names, g->n_models));
    }
}

// Classes and tenants

static const char *span(const struct check_view *v, int64_t us)
{
    char t[UNIT_TEXT];
    return us == NEVER ? "-" : text(v, str_of(unit_text_us(t, us)));
}

static void classes(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    char money[UNIT_TEXT];
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "class", "first token", "per token", "deadline", "waiting", "unanswered", NULL);
    for (int32_t i = 0; i < p->n_classes; i++) {
        const struct class *x = &p->classes[i];
        columns_row(&c, text(v, x->name), span(v, x->ttft_us), span(v, x->per_token_us),
                    span(v, x->deadline_us),
                    x->ttft_value.n || x->per_token_value.n ? "costs" : "free",
                    x->unserved_nusd < 0 ? "-" : unit_text_nusd(money, x->unserved_nusd), NULL);
    }
    if (!p->n_classes)
        return;
    heading(out, "classes");
    columns_print(&c, out, 2, 0);
}

static const char *budget_text(const struct check_view *v, const struct allowance *t)
{
    char money[UNIT_TEXT];
    struct str out = STR("");
    if (t->budget_day_nusd >= 0)
        out = arena_printf(v->a, "%s a day", unit_text_uusd(money, t->budget_day_nusd / 1000));
    if (t->budget_month_uusd >= 0)
        out = arena_printf(v->a, STR_FMT "%s%s a month", STR_ARG(out), out.n ? ", " : "",
                           unit_text_uusd(money, t->budget_month_uusd));
    if (out.n && t->budget_hard)
        out = arena_printf(v->a, STR_FMT ", hard", STR_ARG(out));
    return out.n ? z(out) : "-";
}

static void tenants(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "tenant", "keys", "budget", "models", "classes", "data may go", NULL);
    for (int32_t i = 0; i < p->n_tenants; i++) {
        const struct tenant *t = &p->tenants[i];
        struct str *names = arena_new(v->a, struct str, max_i64(t->n_models, t->n_classes));
        if (!names)
            return;
        for (int32_t j = 0; j < t->n_models; j++)
            names[j] = p->models[t->models[j]].name;
        const char *may_ask = t->n_models < 0 ? "all" : joined(v, names, t->n_models);
        for (int32_t j = 0; j < t->n_classes; j++)
            names[j] = p->classes[t->classes[j]].name;
        columns_row(&c, text(v, t->name), z(arena_printf(v->a, "%d", (int)t->n_keys)),
                    budget_text(v, &t->allowance), may_ask,
                    t->n_classes < 0 ? "all" : joined(v, names, t->n_classes),
                    t->n_regions < 0 ? "anywhere" : joined(v, t->regions, t->n_regions), NULL);
    }
    if (!p->n_tenants)
        return;
    heading(out, "tenants");
    columns_print(&c, out, 2, 0);
}

static void warnings(struct buf *out, const struct check_view *v)
{
    if (v->problems->warnings)
        heading(out, "warnings");
    for (const struct problem *x = v->problems->first; x; x = x->next)
        if (x->severity == SEVERITY_WARNING) {
            buf_lit(out, "  ");
            problem_print(out, x);
            buf_lit(out, "\n");
        }
    int32_t kept = 0;
    for (const struct problem *x = v->problems->first; x; x = x->next)
        kept++;
    if (v->problems->warnings + v->problems->errors > kept)
        buf_printf(out, "  and %d more\n",
                   (int)(v->problems->warnings + v->problems->errors - kept));
}

static void verdict(struct buf *out, const struct check_view *v)
{
    int32_t callable = 0, n = v->problems->warnings;
    for (int32_t i = 0; i < v->p->n_pools; i++) {
        bool now;
        pool_now(v->a, v->p, &v->p->pools[i], v->now_us, &now);
        callable += now;
    }
    buf_printf(out, "\n%s%s%s: %d of %d pool%s can be called now, %d warning%s\n", check_name(v),
               v->n_paths > 1 ? " (with others)" : "",
               v->problems->errors ? " can be read, but not used" : " is right", (int)callable,
               (int)v->p->n_pools, v->p->n_pools == 1 ? "" : "s", (int)n, n == 1 ? "" : "s");
}

void check_text(struct buf *out, const struct check_view *v)
{
    const struct serve_config *s = &v->p->serve;
    bool ipv6 = s->host.n && memchr(s->host.p, ':', s->host.n);
    buf_printf(out, "listens at %s" STR_FMT "%s:%d, policy " STR_FMT "\n", ipv6 ? "[" : "",
               STR_ARG(s->host), ipv6 ? "]" : "", (int)s->port, STR_ARG(s->policy));
    suppliers(out, v);
    pools(out, v);
    contracts(out, v);
    sums(out, v);
    models(out, v);
    classes(out, v);
    tenants(out, v);
    warnings(out, v);
    verdict(out, v);
}
