// One value of a portfolio: numbers with their units, words, and names of other things.

#include "wire/config_read.h"

#include <math.h>
#include <stdio.h>

// Numbers

bool split_quantity(struct str text, double *number, struct str *unit)
{
    char digits[64];
    size_t n = 0, i = 0;
    text = str_trim(text);
    for (; i < text.n && n < sizeof digits - 1; i++) {
        char c = text.p[i];
        if ((c >= '0' && c <= '9') || c == '.' || (c == '-' && i == 0))
            digits[n++] = c;
        else if (c != '_' || !n)
            break;
    }
    double v;
    if (!str_to_double((struct str){digits, n}, &v))
        return false;
    *number = v;
    *unit = str_trim(str_skip(text, i));
    return true;
}

bool si_prefix(struct str unit, double *factor)
{
    static const struct {
        const char *prefix;
        double factor;
    } known[] = {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}, {"T", 1e12}, {"P", 1e15}};
    for (size_t i = 0; i < COUNTOF(known); i++)
        if (str_eq(unit, str_of(known[i].prefix))) {
            *factor = known[i].factor;
            return true;
        }
    return false;
}

bool read_number(struct reader *r, const struct yaml_node *node, double *out)
{
    static const char expected[] = "a number such as 12, 0.5 or 120G";
    struct str unit;
    double v, factor;
    if (!is_scalar(r, node, expected))
        return false;
    if (!split_quantity(node->text, &v, &unit) || !si_prefix(unit, &factor)) {
        if (!str_to_double(node->text, &v)) {  // "1.5e9"
            bad_value(r, node, "is not a number", expected);
            return false;
        }
        factor = 1;
    }
    *out = v * factor;
    return true;
}

bool read_scaled(struct reader *r, const struct yaml_node *node, const char *not_it,
                 const char *expected, double *out)
{
    struct str unit;
    double v, factor;
    if (!is_scalar(r, node, expected))
        return false;
    if (split_quantity(node->text, &v, &unit)) {
        if (str_ends(unit, STR("tokens")))
            unit.n -= 6;
        else if (str_ends(unit, STR("tok")))
            unit.n -= 3;
        if (si_prefix(str_trim(unit), &factor)) {
            *out = v * factor;
            return true;
        }
    }
    bad_value(r, node, not_it, expected);
    return false;
}

bool read_tokens(struct reader *r, const struct yaml_node *node, double *out)
{
    return read_scaled(r, node, "is not a number of tokens",
                       "a number of tokens such as 8192 or 128k tok", out);
}

bool read_unit(struct reader *r, const struct yaml_node *node, enum unit_kind kind, double *out)
{
    struct diag diag = {0};
    if (!is_scalar(r, node, unit_example(kind)))
        return false;
    if (!unit_parse(out, kind, node->text, &diag))
        return true;
    if (node->secret)
        bad_value(r, node, "is not a quantity", unit_example(kind));
    else
        bad(r, node->place, "%s", diag.text);
    return false;
}

bool read_i64(struct reader *r, const struct yaml_node *node, enum unit_kind kind, double scale,
              int64_t *out)
{
    double v;
    if (!read_unit(r, node, kind, &v))
        return false;
    v *= scale;
    if (!(v > -9.2e18 && v < 9.2e18)) {
        bad_value(r, node, "is too large", unit_example(kind));
        return false;
    }
    *out = llround(v);
    return true;
}

bool read_instant(struct reader *r, const struct yaml_node *node, int64_t *out)
{
    struct diag diag = {0};
    static const char expected[] = "a date such as 2026-12-31";
    if (!is_scalar(r, node, expected))
        return false;
    if (!unit_instant(out, node->text, &diag))
        return true;
    if (node->secret)
        bad_value(r, node, "is not a date", expected);
    else
        bad(r, node->place, "%s", diag.text);
    return false;
}

// Words and names

// "one of: a, b, c"
static struct str words_text(struct reader *r, const char *(*word)(int))
{
    struct str out = STR("one of");
    for (int i = 0; word(i); i++)
        out = arena_printf(r->a, STR_FMT "%s %s", STR_ARG(out), i ? "," : "", word(i));
    return out.p ? out : STR("another word");
}

bool read_word(struct reader *r, const struct yaml_node *node, const char *(*word)(int), int *out)
{
    struct str all = words_text(r, word);
    if (!is_scalar(r, node, all.p))
        return false;
    for (int i = 0; word(i); i++)
        if (str_eq(node->text, str_of(word(i)))) {
            *out = i;
            return true;
        }
    for (int i = 0; word(i) && !node->secret; i++)
        if (str_distance(node->text, str_of(word(i))) <= node->text.n / 3) {
            bad(r, node->place, "is not known, got " STR_FMT ", did you mean \"%s\"?",
                STR_ARG(shown(r, node)), word(i));
            return false;
        }
    bad_value(r, node, "is not known", all.p);
    return false;
}

static const char *const section_names[SECTION_COUNT] = {
    "serve",  "classes", "suppliers", "sites",   "chips", "contracts",
    "models", "groups",  "pools",     "tenants", "demand"};

bool read_ref(struct reader *r, const struct yaml_node *node, enum section section, int32_t *out)
{
    struct table *names = r->names[section];
    struct str nearest;
    struct str expected =
        arena_printf(r->a,
                     section == SECTION_MODELS ? "a name from models or from what a pool serves"
                                               : "a name from %s",
                     section_names[section]);
    if (!expected.p)
        expected = STR("a known name");
    if (!is_scalar(r, node, expected.p))
        return false;
    if (names && table_get(names, node->text, out))
        return true;
    if (!node->secret && names && table_nearest(names, node->text, &nearest))
        bad(r, node->place,
            "is not known, got " STR_FMT ", expected " STR_FMT " (did you mean \"" STR_FMT "\"?)",
            STR_ARG(shown(r, node)), STR_ARG(expected), STR_ARG(nearest));
    else
        bad_value(r, node, "is not known", expected.p);
    return false;
}
