#include "base/units_parts.h"

#include <math.h>
#include <stdio.h>

// How units are looked up: the text behind the number is `name`, or for `prefix` units one of k, M,
// G, T, P and `name`, with optional blanks between. Kinds with `per` are written top/bottom; their
// `name` may be empty ("250/min").

struct unit {
    const char *name;  // NULL ends a list
    double factor;     // to the unit of the kind
    bool prefix;
};

struct kind {
    const char *noun;  // "400 W: W is a unit of power"
    const char *example;
    const struct unit *units;
    const struct unit *per;  // NULL: the unit has no denominator; factors in seconds
    double per_s;            // seconds in the denominator of the kind's unit
    double max;
    bool negative;
    bool bare;  // a bare number is right; what has the unit is in hundredths
};

static const struct unit duration_units[] = {{"us", 1, false},
                                             {"ms", 1e3, false},
                                             {"s", 1e6, false},
                                             {"min", 60e6, false},
                                             {"h", 3600e6, false},
                                             {"d", 86400e6, false},
                                             {"day", 86400e6, false},
                                             {"days", 86400e6, false},
                                             {"w", 604800e6, false},
                                             {"week", 604800e6, false},
                                             {"weeks", 604800e6, false},
                                             {"y", 31536000e6, false},
                                             {"year", 31536000e6, false},
                                             {"years", 31536000e6, false},
                                             {NULL, 0, false}};
static const struct unit times[] = {
    {"s", 1, false},        {"min", 60, false},        {"h", 3600, false},
    {"d", 86400, false},    {"day", 86400, false},     {"month", 2629800, false},
    {"y", 31536000, false}, {"year", 31536000, false}, {NULL, 0, false}};
static const struct unit money_units[] = {{"USD", 1e6, true}, {NULL, 0, false}};
static const struct unit money_rate_units[] = {{"USD", 1, true}, {NULL, 0, false}};
static const struct unit nano_money_units[] = {{"USD", 1e9, true}, {NULL, 0, false}};
static const struct unit token_price_units[] = {{"USD/tok", 1e15, false},
                                                {"USD/ktok", 1e12, false},
                                                {"USD/Mtok", 1e9, false},
                                                {"USD/Gtok", 1e6, false},
                                                {NULL, 0, false}};
static const struct unit energy_price_units[] = {
    {"USD/MWh", 1e9, false}, {"USD/kWh", 1e12, false}, {NULL, 0, false}};
static const struct unit token_units[] = {
    {"tok", 1, true}, {"token", 1, true}, {"tokens", 1, true}, {NULL, 0, false}};
static const struct unit token_rate_units[] = {
    {"tok", 1, true}, {"token", 1, true}, {"tokens", 1, true}, {"", 1, true}, {NULL, 0, false}};
static const struct unit rate_units[] = {{"", 1, true}, {NULL, 0, false}};
static const struct unit power_units[] = {{"W", 1, true}, {NULL, 0, false}};
static const struct unit energy_units[] = {{"J", 1, true}, {"Wh", 3600, true}, {NULL, 0, false}};
static const struct unit carbon_units[] = {{"g/kWh", 1, false},
                                           {"kg/kWh", 1e3, false},
                                           {"kg/MWh", 1, false},
                                           {"t/MWh", 1e3, false},
                                           {NULL, 0, false}};
static const struct unit byte_units[] = {{"B", 1, true},         {"KiB", 0x1p10, false},
                                         {"MiB", 0x1p20, false}, {"GiB", 0x1p30, false},
                                         {"TiB", 0x1p40, false}, {NULL, 0, false}};
static const struct unit bandwidth_units[] = {{"B/s", 1, true},         {"KiB/s", 0x1p10, false},
                                              {"MiB/s", 0x1p20, false}, {"GiB/s", 0x1p30, false},
                                              {"TiB/s", 0x1p40, false}, {NULL, 0, false}};
static const struct unit compute_units[] = {
    {"FLOPS", 1, true}, {"FLOP/s", 1, true}, {NULL, 0, false}};
static const struct unit share_units[] = {{"%", 1, false}, {NULL, 0, false}};
static const struct unit carbon_amount_units[] = {
    {"g", 1, false}, {"kg", 1e3, false}, {"t", 1e6, false}, {"kt", 1e9, false}, {NULL, 0, false}};

static const struct unit carbon_price_units[] = {
    {"USD/t", 1e3, false}, {"USD/kg", 1e6, false}, {NULL, 0, false}};

static const double FITS_INT64 = 9.2e18;               // and leaves room to round
static const double FITS_DOUBLE = 9007199254740992.0;  // 2^53: whole numbers are exact
static const double LARGE = 1e30;

static const struct kind kinds[] = {
    [UNIT_DURATION] = {"time", "a duration such as 400 ms", duration_units, NULL, 0, FITS_INT64,
                       false, false},
    [UNIT_MONEY] = {"money", "an amount of money such as 10 GUSD", money_units, NULL, 0, FITS_INT64,
                    true, false},
    [UNIT_MONEY_RATE] = {"money per time", "money per time such as 8 USD/h", money_rate_units,
                         times, 3600, LARGE, true, false},
    [UNIT_TOKEN_PRICE] = {"token price", "a price of tokens such as 0.35 USD/Mtok",
                          token_price_units, NULL, 0, FITS_INT64, false, false},
    [UNIT_ENERGY_PRICE] = {"energy price", "a price of energy such as 62 USD/MWh",
                           energy_price_units, NULL, 0, FITS_INT64, true, false},
    [UNIT_ACCELERATOR_PRICE] = {"money per time", "a price of an accelerator such as 1.69 USD/h",
                                nano_money_units, times, 3600, FITS_INT64, false, false},
    [UNIT_TOKENS] = {"tokens", "a number of tokens such as 128k tok", token_units, NULL, 0,
                     FITS_DOUBLE, false, false},
    [UNIT_TOKEN_RATE] = {"tokens per time", "tokens per time such as 250k/min", token_rate_units,
                         times, 1, LARGE, false, false},
    [UNIT_RATE] = {"rate", "a rate such as 250/min", rate_units, times, 1, LARGE, false, false},
    [UNIT_POWER] = {"power", "a power such as 250 MW", power_units, NULL, 0, LARGE, true, false},
    [UNIT_ENERGY] = {"energy", "an energy such as 12 MWh", energy_units, NULL, 0, LARGE, false,
                     false},
    [UNIT_CARBON] = {"carbon intensity", "a carbon intensity such as 402 g/kWh", carbon_units, NULL,
                     0, LARGE, false, false},
    [UNIT_BYTES] = {"bytes", "a size such as 64 MiB", byte_units, NULL, 0, FITS_INT64, false,
                    false},
    [UNIT_BANDWIDTH] = {"bandwidth", "a bandwidth such as 3.35 TB/s", bandwidth_units, NULL, 0,
                        LARGE, false, false},
    [UNIT_COMPUTE] = {"compute", "a speed of computing such as 989 TFLOPS", compute_units, NULL, 0,
                      LARGE, false, false},
    [UNIT_SHARE] = {"share", "a share such as 0.85 or 85 %", share_units, NULL, 0, LARGE, false,
                    true},
    [UNIT_CARBON_AMOUNT] = {"carbon", "an amount of carbon such as 12 t", carbon_amount_units, NULL,
                            0, LARGE, false, false},
    [UNIT_CARBON_PRICE] = {"carbon price", "a price of carbon such as 80 USD/t", carbon_price_units,
                           NULL, 0, LARGE, false, false},
};

static double prefix_factor(char c)
{
    switch (c) {
    case 'k': return 1e3;
    case 'M': return 1e6;
    case 'G': return 1e9;
    case 'T': return 1e12;
    case 'P': return 1e15;
    default: return 0;
    }
}

static bool unit_find(const struct unit *list, struct str name, double *factor)
{
    for (const struct unit *u = list; u->name; u++) {
        if (str_eq(name, str_of(u->name))) {
            *factor = u->factor;
            return true;
        }
    }
    double scale = name.n ? prefix_factor(name.p[0]) : 0;
    if (scale == 0)
        return false;
    struct str rest = str_trim(str_skip(name, 1));
    for (const struct unit *u = list; u->name; u++) {
        if (u->prefix && str_eq(rest, str_of(u->name))) {
            *factor = u->factor * scale;
            return true;
        }
    }
    return false;
}

static struct str trim_right(struct str s)
{
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

// What `number` times the unit `name` is in the kind's own unit.
static bool convert(const struct kind *k, struct str name, double number, double *out)
{
    double top, bottom;
    if (!k->per) {
        if (!unit_find(k->units, name, &top))
            return false;
        *out = k->bare ? number * top / 100 : number * top;
        return true;
    }
    size_t slash;
    if (!str_find(name, STR("/"), &slash))
        return false;
    struct str above = trim_right((struct str){name.p, slash});
    struct str below = str_trim(str_skip(name, slash + 1));
    if (!unit_find(k->units, above, &top) || !unit_find(k->per, below, &bottom))
        return false;
    *out = number * top * k->per_s / bottom;
    return true;
}

const char *unit_example(enum unit_kind kind)
{
    CHECK((size_t)kind < COUNTOF(kinds));
    return kinds[kind].example;
}

// How many bytes of `s` are its number: a sign, digits with '_' and '.', an exponent. "5 e" and
// "5eV" have no exponent.
static size_t number_span(struct str s)
{
    size_t i = s.n && s.p[0] == '-';
    while (i < s.n && (is_digit(s.p[i]) || s.p[i] == '_' || s.p[i] == '.'))
        i++;
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        size_t j = i + 1;
        if (j < s.n && (s.p[j] == '+' || s.p[j] == '-'))
            j++;
        if (j < s.n && is_digit(s.p[j])) {
            while (j < s.n && is_digit(s.p[j]))
                j++;
            i = j;
        }
    }
    return i;
}

enum number { NUMBER_OK, NUMBER_BAD, NUMBER_LARGE };

// A '_' stands between two digits, or the whole is no number.
static enum number number_read(struct str s, double *out)
{
    char plain[64];
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_') {
            if (i == 0 || i + 1 == s.n || !is_digit(s.p[i - 1]) || !is_digit(s.p[i + 1]))
                return NUMBER_BAD;
            continue;
        }
        if (n == sizeof plain - 1)
            return NUMBER_BAD;
        plain[n++] = s.p[i];
    }
    struct str digits = {plain, n};
    if (str_to_double(digits, out))
        return NUMBER_OK;
    // A number in form that is too large for a double ends in a large exponent or is very long.
    size_t e;
    if (str_find(digits, STR("e"), &e) || str_find(digits, STR("E"), &e)) {
        double mantissa;
        if (str_to_double((struct str){plain, e}, &mantissa))
            return NUMBER_LARGE;
    }
    return NUMBER_BAD;
}

struct quoted unit_quote(struct str s)
{
    struct quoted q;
    size_t n = s.n < sizeof q.text ? s.n : sizeof q.text - 4;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        q.text[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    if (n < s.n) {
        memcpy(q.text + n, "...", 3);
        n += 3;
    }
    q.text[n] = 0;
    return q;
}

static enum err wrong_unit(const struct kind *k, struct str text, struct str name,
                           struct diag *diag)
{
    struct quoted value = unit_quote(text), unit = unit_quote(name);
    // From the end: "/min" is a rate before it is a rate of tokens.
    for (size_t i = COUNTOF(kinds); i-- > 0;) {
        double ignored;
        if (convert(&kinds[i], name, 1, &ignored))
            return diag_set(diag, ERR_INVALID, "got %s, a unit of %s (%s); expected %s", value.text,
                            kinds[i].noun, unit.text, k->example);
    }
    return diag_set(diag, ERR_INVALID, "got %s with an unknown unit (%s); expected %s", value.text,
                    unit.text, k->example);
}

enum err unit_parse(double *out, enum unit_kind kind, struct str text, struct diag *diag)
{
    CHECK((size_t)kind < COUNTOF(kinds));
    const struct kind *k = &kinds[kind];
    struct str all = str_trim(text);
    size_t span = number_span(all);
    struct str name = str_trim(str_skip(all, span));
    double number = 0, value = 0;
    enum number read = number_read((struct str){all.p, span}, &number);
    if (all.n == 0)
        return diag_set(diag, ERR_INVALID, "got nothing, expected %s", k->example);
    if (read == NUMBER_BAD)
        return diag_set(diag, ERR_INVALID, "got %s, expected %s", unit_quote(all).text, k->example);
    if (name.n == 0 && !k->bare)
        return diag_set(diag, ERR_INVALID, "got %s, expected %s", unit_quote(all).text, k->example);
    if (name.n == 0)
        value = number;
    else if (!convert(k, name, number, &value))
        return wrong_unit(k, all, name, diag);
    if (read == NUMBER_LARGE || !(value <= k->max) || !(value >= -k->max))
        return diag_set(diag, ERR_INVALID, "got %s, which is too large; expected %s",
                        unit_quote(all).text, k->example);
    if (value < 0 && !k->negative)
        return diag_set(diag, ERR_INVALID, "got %s, which is below 0; expected %s",
                        unit_quote(all).text, k->example);
    *out = value == 0 ? 0 : value;  // no -0
    return ERR_NONE;
}

// Three digits, without the zeros that say nothing: "1.25", "12.4", "250".
static void three_digits(char out[32], double v)
{
    double size = v < 0 ? -v : v;
    if (size != 0 && size < 0.9995) {
        snprintf(out, 32, "%.3g", v);
        return;
    }
    int decimals = size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
    snprintf(out, 32, "%.*f", decimals, size < 1e15 ? v : 0);
    if (size >= 1e15)
        snprintf(out, 32, "%.3g", v);
    if (strchr(out, '.') && !strchr(out, 'e')) {
        size_t n = strlen(out);
        while (out[n - 1] == '0')
            out[--n] = 0;
        if (out[n - 1] == '.')
            out[n - 1] = 0;
    }
}

// A value that would round up to the next unit is written in the next unit.
static const double ROUNDS_UP = 0.9995;

const char *unit_text_us(char buf[UNIT_TEXT], int64_t us)
{
    static const struct {
        double us;
        const char *name;
    } steps[] = {{1, "us"}, {1e3, "ms"}, {1e6, "s"}, {60e6, "min"}, {3600e6, "h"}, {86400e6, "d"}};
    if (us == NEVER) {
        snprintf(buf, UNIT_TEXT, "never");
        return buf;
    }
    double v = (double)us, size = v < 0 ? -v : v;
    size_t i = 0;
    while (i + 1 < COUNTOF(steps) && size >= steps[i + 1].us * ROUNDS_UP)
        i++;
    char digits[32];
    three_digits(digits, v / steps[i].us);
    snprintf(buf, UNIT_TEXT, "%s %s", digits, steps[i].name);
    return buf;
}

const char *unit_text_nusd(char buf[UNIT_TEXT], int64_t nusd)
{
    uint64_t size = nusd < 0 ? 0 - (uint64_t)nusd : (uint64_t)nusd;
    int n =
        snprintf(buf, UNIT_TEXT, "%s$%llu.%09llu", nusd < 0 ? "-" : "",
                 (unsigned long long)(size / 1000000000), (unsigned long long)(size % 1000000000));
    // At least cents.
    for (int drop = 0; drop < 7 && buf[n - 1] == '0'; drop++)
        buf[--n] = 0;
    return buf;
}

const char *unit_text_si(char buf[UNIT_TEXT], double v, const char *unit)
{
    static const char prefixes[] = {0, 'k', 'M', 'G', 'T', 'P'};
    double size = v < 0 ? -v : v, factor = 1;
    size_t i = 0;
    while (i + 1 < COUNTOF(prefixes) && size >= factor * 1000 * ROUNDS_UP && isfinite(size)) {
        factor *= 1000;
        i++;
    }
    char digits[32], prefix[2] = {prefixes[i], 0};
    three_digits(digits, v / factor);
    snprintf(buf, UNIT_TEXT, "%s%s%s%s", digits, *unit ? " " : "", prefix, unit);
    return buf;
}

const char *unit_text_uusd(char buf[UNIT_TEXT], int64_t uusd)
{
    return unit_text_si(buf, (double)uusd / 1e6, "USD");
}
