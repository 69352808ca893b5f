// What contracts commit to in a period, beside what the ledger knows to be used of it.

#include "base/units.h"
#include "cli/columns.h"
#include "cli/ledger_view.h"
#include "portfolio/committed.h"
#include "route/pace.h"

enum { TABLE_BYTES_MAX = 16 << 20 };

struct row {
    const struct contract *contract;
    struct pace pace;
    struct pace_outlook outlook;
    double stranded_usd;  // -1: what a unit is worth is not known
    double pace_ratio;    // of use to time: 1 is even; -1: the period has no end, or has just begun
};

static enum err row_of(struct row *out, struct store *s, const struct contract *c, int64_t at_us,
                       struct diag *diag)
{
    struct pace_terms terms = pace_terms_of(c);
    *out = (struct row){.contract = c, .stranded_usd = -1, .pace_ratio = -1};
    pace_see(&out->pace, &terms, at_us);
    enum err e = store_drawn(s, c->name, (int32_t)c->commitment.unit, out->pace.from_us,
                             min_i64(out->pace.until_us, at_us), &out->pace.used, diag);
    if (e)
        return e;
    out->outlook = pace_outlook(&out->pace, at_us);
    double unit_usd = commitment_unit_usd(c);
    if (unit_usd > 0)
        out->stranded_usd = out->outlook.stranded * unit_usd;
    if (out->outlook.gone > 0)
        out->pace_ratio = out->outlook.used / out->outlook.gone;
    return ERR_NONE;
}

static struct str units_text(struct arena *a, double units, enum commitment_unit unit)
{
    char text[UNIT_TEXT];
    const char *name = commitment_unit_name(unit);
    if (unit == COMMIT_USD || unit == COMMIT_TOKENS)
        return arena_str(a, str_of(unit_text_si(text, units, name)));
    return arena_printf(a, "%.6g %s", units, name);
}

static struct str share_text(struct arena *a, double share)
{
    return share < 0 ? STR("-") : arena_printf(a, "%.1f %%", share * 100);
}

static struct str date_text(struct arena *a, int64_t at_us)
{
    char text[UNIT_TEXT];
    return at_us == NEVER || at_us == INT64_MIN ? STR("-")
                                                : arena_str(a, str_of(unit_text_date(text, at_us)));
}

static void table_row(struct columns *c, struct arena *a, const struct row *r)
{
    enum commitment_unit unit = r->contract->commitment.unit;
    char usd[UNIT_TEXT];
    struct str cells[] = {
        r->contract->name,
        date_text(a, r->pace.from_us),
        date_text(a, r->pace.until_us),
        units_text(a, r->pace.amount, unit),
        units_text(a, r->pace.used, unit),
        units_text(a, r->outlook.left, unit),
        share_text(a, r->outlook.used),
        share_text(a, r->outlook.gone),
        r->pace_ratio < 0 ? STR("-") : arena_printf(a, "%.2f", r->pace_ratio),
        units_text(a, r->outlook.at_end, unit),
        units_text(a, r->outlook.stranded, unit),
        r->stranded_usd < 0 ? STR("-")
                            : arena_str(a, str_of(unit_text_si(usd, r->stranded_usd, "USD"))),
    };
    columns_row_str(c, cells, COUNTOF(cells));
}

static void write_table(const struct row *rows, int32_t n, struct arena *a, struct buf *out)
{
    struct columns c;
    if (!n) {
        buf_lit(out, "no contract of this portfolio commits to anything\n");
        return;
    }
    columns_init(&c, a);
    columns_row(&c, "contract", "from", "until", "amount", "used", "left", "of it", "of time",
                "pace", "at its end", "stranded", "worth", NULL);
    for (int32_t i = 0; i < n; i++)
        table_row(&c, a, &rows[i]);
    columns_print(&c, out, 0, ~7u);
    buf_lit(out, "pace 1: used evenly. What comes at the end is told from how it went so far.\n");
}

static void put_number(struct buf *out, double v, bool known, bool json)
{
    if (known)
        buf_printf(out, "%.12g", v);
    else if (json)
        buf_lit(out, "null");
}

static void put_date(struct buf *out, struct arena *a, int64_t at_us, bool json)
{
    struct str text = date_text(a, at_us);
    bool known = !str_eq(text, STR("-"));
    if (json && known)
        buf_add_json(out, text);
    else if (json)
        buf_lit(out, "null");
    else if (known)
        buf_add_str(out, text);
}

static const char *const numbers[] = {"amount",        "used",         "remaining",
                                      "elapsed_ratio", "pace",         "projected",
                                      "stranded",      "stranded_usd", "beyond"};

static void write_row(struct buf *out, struct arena *a, const struct row *r, bool json)
{
    const struct pace_outlook *o = &r->outlook;
    const double values[COUNTOF(numbers)] = {r->pace.amount, r->pace.used,    o->left,
                                             o->gone,        r->pace_ratio,   o->at_end,
                                             o->stranded,    r->stranded_usd, o->beyond};
    const char *unit = commitment_unit_name(r->contract->commitment.unit);
    if (json)
        buf_lit(out, "{\"contract\":");
    if (json)
        buf_add_json(out, r->contract->name);
    else
        ledger_csv_cell(out, r->contract->name);
    buf_printf(out, json ? ",\"unit\":\"%s\",\"from\":" : ",%s,", unit);
    put_date(out, a, r->pace.from_us, json);
    buf_add_str(out, json ? STR(",\"until\":") : STR(","));
    put_date(out, a, r->pace.until_us, json);
    for (size_t i = 0; i < COUNTOF(numbers); i++) {
        if (json)
            buf_printf(out, ",\"%s\":", numbers[i]);
        else
            buf_lit(out, ",");
        put_number(out, values[i], values[i] >= 0, json);
    }
    buf_add_str(out, json ? STR("}") : STR("\n"));
}

static void write_rows(const struct row *rows, int32_t n, struct arena *a, bool json,
                       struct buf *out)
{
    if (json) {
        buf_lit(out, "{\"rows\":[");
    } else {
        buf_lit(out, "contract,unit,from,until");
        for (size_t i = 0; i < COUNTOF(numbers); i++)
            buf_printf(out, ",%s", numbers[i]);
        buf_lit(out, "\n");
    }
    for (int32_t i = 0; i < n; i++) {
        if (json)
            buf_add_str(out, str_of(i ? ",\n " : "\n "));
        write_row(out, a, &rows[i], json);
    }
    if (json)
        buf_lit(out, "]}\n");
}

enum err ledger_commitments(struct store *s, const struct ledger_view *v, int64_t at_us,
                            struct buf *out, struct diag *diag)
{
    const struct portfolio *p = v->portfolio;
    struct arena a;
    arena_init(&a, TABLE_BYTES_MAX);
    struct row *rows = arena_new(&a, struct row, p->n_contracts + 1);
    int32_t n = 0;
    enum err e = rows ? ERR_NONE : ERR_LIMIT;
    for (int32_t i = 0; !e && i < p->n_contracts; i++)
        if (p->contracts[i].commitment.amount > 0)
            e = row_of(&rows[n++], s, &p->contracts[i], at_us, diag);
    if (!e && v->form == LEDGER_TABLE)
        write_table(rows, n, &a, out);
    else if (!e)
        write_rows(rows, n, &a, v->form == LEDGER_JSON, out);
    arena_release(&a);
    return e;
}
