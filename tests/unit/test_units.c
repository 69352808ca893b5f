#include "base/units.h"
#include "base/rng.h"
#include "lib/test.h"

#include <inttypes.h>
#include <math.h>

static void quantities_come_in_the_programs_units(void)
{
    static const struct {
        enum unit_kind kind;
        const char *text;
        double want;
    } cases[] = {
        {UNIT_DURATION, "400 ms", 400e3},
        {UNIT_DURATION, "400ms", 400e3},
        {UNIT_DURATION, "  15 us ", 15},
        {UNIT_DURATION, "2 min", 120e6},
        {UNIT_DURATION, "1.5 h", 5400e6},
        {UNIT_DURATION, "24 h", 86400e6},
        {UNIT_DURATION, "1 day", 86400e6},
        {UNIT_DURATION, "2 w", 1209600e6},
        {UNIT_DURATION, "7 y", 7 * 31536000e6},
        {UNIT_DURATION, "0 ms", 0},
        {UNIT_DURATION, "1e3 ms", 1e6},
        {UNIT_MONEY, "10 GUSD", 10e15},
        {UNIT_MONEY, "10 G USD", 10e15},
        {UNIT_MONEY, "11.9 GUSD", 11.9e15},
        {UNIT_MONEY, "500 USD", 500e6},
        {UNIT_MONEY, "1_000_000 USD", 1e12},
        {UNIT_MONEY, "-3 kUSD", -3e9},
        {UNIT_MONEY, "1.4 TUSD", 1.4e18},
        {UNIT_MONEY_RATE, "8 USD/h", 8},
        {UNIT_MONEY_RATE, "1 USD/min", 60},
        {UNIT_MONEY_RATE, "730.5 USD/month", 1},
        {UNIT_MONEY_RATE, "500 USD/day", 500.0 / 24},
        {UNIT_TOKEN_PRICE, "0.35 USD/Mtok", 0.35e9},
        {UNIT_TOKEN_PRICE, "0.35USD/Mtok", 0.35e9},
        {UNIT_TOKEN_PRICE, "0.001 USD/ktok", 1e9},
        {UNIT_ENERGY_PRICE, "62 USD/MWh", 62e9},
        {UNIT_ENERGY_PRICE, "0.062 USD/kWh", 62e9},
        {UNIT_ENERGY_PRICE, "-5 USD/MWh", -5e9},
        {UNIT_ACCELERATOR_PRICE, "1.69 USD/h", 1.69e9},
        {UNIT_TOKENS, "8192 tok", 8192},
        {UNIT_TOKENS, "128k tok", 128e3},
        {UNIT_TOKENS, "128 ktok", 128e3},
        {UNIT_TOKENS, "2M tok", 2e6},
        {UNIT_TOKEN_RATE, "3000 tok/s", 3000},
        {UNIT_TOKEN_RATE, "250k/min", 250e3 / 60},
        {UNIT_TOKEN_RATE, "250k tok/min", 250e3 / 60},
        {UNIT_TOKEN_RATE, "250 k/min", 250e3 / 60},
        {UNIT_RATE, "250/min", 250.0 / 60},
        {UNIT_RATE, "20/s", 20},
        {UNIT_RATE, "20 / s", 20},
        {UNIT_RATE, "1k/h", 1000.0 / 3600},
        {UNIT_RATE, "500/day", 500.0 / 86400},
        {UNIT_POWER, "250 MW", 250e6},
        {UNIT_POWER, "1.2 GW", 1.2e9},
        {UNIT_POWER, "700 W", 700},
        {UNIT_ENERGY, "1 kWh", 3.6e6},
        {UNIT_ENERGY, "12 J", 12},
        {UNIT_CARBON, "402 g/kWh", 402},
        {UNIT_CARBON, "402 kg/MWh", 402},
        {UNIT_BYTES, "64 MiB", 67108864},
        {UNIT_BYTES, "80 GB", 80e9},
        {UNIT_BYTES, "12 B", 12},
        {UNIT_BANDWIDTH, "3.35 TB/s", 3.35e12},
        {UNIT_COMPUTE, "989 TFLOPS", 989e12},
        {UNIT_COMPUTE, "125 PFLOPS", 125e15},
        {UNIT_COMPUTE, "1 TFLOP/s", 1e12},
        {UNIT_SHARE, "0.85", 0.85},
        {UNIT_SHARE, "85 %", 0.85},
        {UNIT_SHARE, "85%", 0.85},
        {UNIT_SHARE, "1", 1},
        {UNIT_CARBON_AMOUNT, "12 t", 12e6},
        {UNIT_CARBON_AMOUNT, "1 kt", 1e9},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        double v = -1;
        struct diag d = {0};
        enum err e = unit_parse(&v, cases[i].kind, str_of(cases[i].text), &d);
        EXPECT(e == ERR_NONE && fabs(v - cases[i].want) <= 1e-15 * fabs(cases[i].want),
               "'%s': %.17g, not %.17g; %s", cases[i].text, v, cases[i].want, d.text);
    }
}

static void what_is_wrong_is_said(void)
{
    static const struct {
        enum unit_kind kind;
        const char *text, *says;
    } cases[] = {
        {UNIT_DURATION, "400", "got 400, expected a duration such as 400 ms"},
        {UNIT_DURATION, "0", "got 0, expected"},
        {UNIT_DURATION, "", "got nothing, expected"},
        {UNIT_DURATION, "fast", "got fast, expected"},
        {UNIT_DURATION, "ms", "got ms, expected"},
        {UNIT_DURATION, "400 W", "got 400 W, a unit of power (W); expected a duration"},
        {UNIT_DURATION, "400 MS", "unknown unit (MS)"},
        {UNIT_DURATION, "400 fortnights", "unknown unit (fortnights)"},
        {UNIT_DURATION, "250/min", "a unit of rate (/min)"},
        {UNIT_DURATION, "-5 ms", "below 0"},
        {UNIT_DURATION, "nan ms", "got nan ms, expected"},
        {UNIT_DURATION, "inf", "got inf, expected"},
        {UNIT_DURATION, "1e999 ms", "too large"},
        {UNIT_DURATION, "1e30 y", "too large"},
        {UNIT_DURATION, "300000 y", "too large"},
        {UNIT_DURATION, "1__0 ms", "got 1__0 ms, expected"},
        {UNIT_DURATION, "_1 ms", "expected"},
        {UNIT_DURATION, "1_ ms", "expected"},
        {UNIT_DURATION, "1_.5 ms", "expected"},
        {UNIT_DURATION, "1.2.3 ms", "expected"},
        {UNIT_DURATION, "0x10 ms", "expected"},
        {UNIT_DURATION, "+5 ms", "expected"},
        {UNIT_DURATION, "5 5 ms", "unknown unit (5 ms)"},
        {UNIT_DURATION, "5 kms", "unknown unit"},
        {UNIT_MONEY, "10 G", "unknown unit"},
        {UNIT_MONEY, "10 EUR", "unknown unit"},
        {UNIT_MONEY, "10 TTUSD", "unknown unit"},
        {UNIT_MONEY, "10 PUSD", "too large"},
        {UNIT_MONEY, "8 USD/h", "money per time (USD/h)"},
        {UNIT_MONEY_RATE, "8 USD", "a unit of money (USD)"},
        {UNIT_MONEY_RATE, "8 USD/", "unknown unit"},
        {UNIT_MONEY_RATE, "8 /h", "a unit of rate"},
        {UNIT_MONEY_RATE, "8 USD/h/h", "unknown unit"},
        {UNIT_TOKEN_PRICE, "0.35", "expected a price of tokens such as 0.35 USD/Mtok"},
        {UNIT_TOKEN_PRICE, "-0.35 USD/Mtok", "below 0"},
        {UNIT_TOKENS, "8192", "got 8192, expected"},
        {UNIT_TOKENS, "1e300 tok", "too large"},
        {UNIT_RATE, "250", "got 250, expected a rate such as 250/min"},
        {UNIT_RATE, "250 tok/min", "tokens per time"},
        {UNIT_POWER, "250 mW", "unknown unit (mW)"},
        {UNIT_POWER, "250 MWh", "a unit of energy (MWh)"},
        {UNIT_SHARE, "85 ms", "a unit of time (ms)"},
        {UNIT_SHARE, "-1", "below 0"},
        {UNIT_SHARE, "nan", "got nan, expected"},
        {UNIT_DURATION, "5\x1b[2J\n", "got 5?[2J?"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        double v = 77;
        struct diag d = {0};
        enum err e = unit_parse(&v, cases[i].kind, str_of(cases[i].text), &d);
        size_t at;
        EXPECT(e == ERR_INVALID && d.e == ERR_INVALID && v == 77, "'%s': %g", cases[i].text, v);
        EXPECT(str_find(str_of(d.text), str_of(cases[i].says), &at), "'%s': %s", cases[i].text,
               d.text);
    }
    char endless[5000];
    memset(endless, '9', sizeof endless);
    double v;
    EXPECT(unit_parse(&v, UNIT_DURATION, (struct str){endless, sizeof endless}, NULL) ==
               ERR_INVALID,
           "endless");
    EXPECT(unit_parse(&v, UNIT_DURATION, (struct str){NULL, 0}, NULL) == ERR_INVALID, "nothing");
}

static void every_example_is_right(void)
{
    for (int k = 0; k <= UNIT_CARBON_AMOUNT; k++) {
        struct str s = str_of(unit_example((enum unit_kind)k));
        size_t at;
        NEED(str_find(s, STR("such as "), &at));
        struct str example = str_skip(s, at + 8);
        if (str_find(example, STR(" or "), &at))
            example.n = at;
        double v;
        struct diag d = {0};
        EXPECT(!unit_parse(&v, (enum unit_kind)k, example, &d), "%s", d.text);
    }
}

// No text makes it read outside the text or return what is not finite.
static void noise_is_refused_or_finite(void)
{
    static const char letters[] = "0123456789._-+eE kMGTPUSDtokWhJgB/%smindaylFOP\t";
    struct rng r;
    rng_seed(&r, 4);
    for (int i = 0; i < 100000; i++) {
        size_t n = rng_below(&r, 12);
        char *text = malloc(n ? n : 1);  // exactly, for the address sanitizer
        for (size_t j = 0; j < n; j++)
            text[j] = letters[rng_below(&r, sizeof letters - 1)];
        double v = 0;
        int64_t at;
        struct str s = {text, n};
        if (!unit_parse(&v, (enum unit_kind)rng_below(&r, UNIT_CARBON_AMOUNT + 1), s, NULL))
            EXPECT(isfinite(v), STR_FMT, STR_ARG(s));
        EXPECT(unit_instant(&at, s, NULL), STR_FMT, STR_ARG(s));
        free(text);
    }
}

static void instants_are_of_the_civil_calendar(void)
{
    static const struct {
        const char *text;
        int64_t s;
    } cases[] = {
        {"1970-01-01", 0},
        {"1969-12-31", -86400},
        {"2026-12-31", 1798675200},
        {"2000-02-29", 951782400},
        {"2026-12-31T08:30:00Z", 1798675200 + 30600},
        {"2026-12-31T08:30:00+02:00", 1798675200 + 30600 - 7200},
        {"2026-12-31T08:30:00-05:30", 1798675200 + 30600 + 19800},
        {"0000-03-01", -62162035200},
        {"9999-12-31T23:59:59Z", 253402300799},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        int64_t at = 1;
        struct diag d = {0};
        EXPECT(!unit_instant(&at, str_of(cases[i].text), &d) && at == S(cases[i].s),
               "%s: %" PRId64 " %s", cases[i].text, at, d.text);
    }
    static const char *const wrong[] = {"2026-02-30",
                                        "2025-02-29",
                                        "1900-02-29",
                                        "2026-13-01",
                                        "2026-00-01",
                                        "2026-04-31",
                                        "2026-01-00",
                                        "2026-01-32",
                                        "2026-1-1",
                                        "26-01-01",
                                        "2026-01-01T",
                                        "2026-01-01T00:00:00",
                                        "2026-01-01T24:00:00Z",
                                        "2026-01-01T00:60:00Z",
                                        "2026-01-01T00:00:60Z",
                                        "2026-01-01 00:00:00Z",
                                        "2026-01-01T00:00:00+0200",
                                        "2026-01-01T00:00:00+24:00",
                                        "2026-01-01Z",
                                        "2026-01-01T00:00:00Zx",
                                        "x2026-01-01",
                                        "",
                                        "tomorrow",
                                        "-026-01-01"};
    for (size_t i = 0; i < COUNTOF(wrong); i++) {
        int64_t at = 1;
        struct diag d = {0};
        EXPECT(unit_instant(&at, str_of(wrong[i]), &d) == ERR_INVALID && at == 1 && d.e, "%s",
               wrong[i]);
    }
}

static void every_day_comes_back(void)
{
    struct civil last = civil_of(S(86400) * -800000 - 1);
    for (int64_t day = -800000; day < 800000; day++) {
        struct civil c = civil_of(day * S(86400));
        bool next =
            c.day == last.day + 1 || (c.day == 1 && (c.month == last.month + 1 || c.month == 1));
        EXPECT(next && civil_us(c) == day * S(86400), "day %" PRId64, day);
        last = c;
    }
    struct civil c = civil_of(-1);
    EXPECT(c.year == 1969 && c.hour == 23 && c.second == 59, "before 1970 rounds down");
    EXPECT(civil_us((struct civil){2026, 14, 1, 0, 0, 0}) ==
               civil_us((struct civil){2027, 2, 1, 0, 0, 0}),
           "month 14 is February");
    EXPECT(civil_us((struct civil){2026, 0, 1, 0, 0, 0}) ==
               civil_us((struct civil){2025, 12, 1, 0, 0, 0}),
           "month 0 is December");
    civil_of(INT64_MAX);
    civil_of(INT64_MIN);
    EXPECT(civil_us((struct civil){INT32_MAX, 1, 1, 0, 0, 0}) == INT64_MAX, "the end");
    EXPECT(civil_us((struct civil){INT32_MIN, 1, 1, 0, 0, 0}) == INT64_MIN, "the other end");
}

static void amounts_read_well(void)
{
    char b[UNIT_TEXT];
#define SAYS(call, want) EXPECT(str_eq(str_of(call), STR(want)), "%s, not %s", call, want)
    SAYS(unit_text_us(b, 0), "0 us");
    SAYS(unit_text_us(b, 1250), "1.25 ms");
    SAYS(unit_text_us(b, 999), "999 us");
    SAYS(unit_text_us(b, 999999), "1 s");
    SAYS(unit_text_us(b, S(90)), "1.5 min");
    SAYS(unit_text_us(b, S(86400)), "1 d");
    SAYS(unit_text_us(b, -1250), "-1.25 ms");
    SAYS(unit_text_us(b, NEVER), "never");
    SAYS(unit_text_nusd(b, 123000), "$0.000123");
    SAYS(unit_text_nusd(b, 0), "$0.00");
    SAYS(unit_text_nusd(b, 1), "$0.000000001");
    SAYS(unit_text_nusd(b, 12500000000), "$12.50");
    SAYS(unit_text_nusd(b, -1000000000), "-$1.00");
    SAYS(unit_text_nusd(b, INT64_MIN), "-$9223372036.854775808");
    SAYS(unit_text_uusd(b, 10000000000000000), "10 GUSD");
    SAYS(unit_text_uusd(b, 22400000000000000), "22.4 GUSD");
    SAYS(unit_text_uusd(b, 500000000), "500 USD");
    SAYS(unit_text_uusd(b, 999960000), "1 kUSD");
    SAYS(unit_text_si(b, 250e6, "W"), "250 MW");
    SAYS(unit_text_si(b, 0, "W"), "0 W");
    SAYS(unit_text_si(b, -1.2e9, "W"), "-1.2 GW");
    SAYS(unit_text_si(b, 0.5, "W"), "0.5 W");
    SAYS(unit_text_si(b, 1500, ""), "1.5k");
    SAYS(unit_text_si(b, 9999.6, "tok/s"), "10 ktok/s");
    SAYS(unit_text_date(b, S(1798675200)), "2026-12-31");
    SAYS(unit_text_instant(b, S(1798675200 + 30600)), "2026-12-31T08:30:00Z");
    SAYS(unit_text_date(b, NEVER), "never");
    SAYS(unit_text_instant(b, -1), "1969-12-31T23:59:59Z");
    unit_text_si(b, NAN, "W");
    unit_text_si(b, INFINITY, "W");
    unit_text_si(b, 1e300, "W");
    unit_text_us(b, INT64_MIN);
}

int main(void)
{
    TEST(quantities_come_in_the_programs_units);
    TEST(what_is_wrong_is_said);
    TEST(every_example_is_right);
    TEST(noise_is_refused_or_finite);
    TEST(instants_are_of_the_civil_calendar);
    TEST(every_day_comes_back);
    TEST(amounts_read_well);
    return test_end();
}
