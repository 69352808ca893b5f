// units.h - quantities as people write them ("0.35 USD/Mtok", "250 MW", "15 ms") to the one unit
// each has inside the program.
//
// A number and a unit with an optional blank between: "400 ms", "400ms", "250k/min". Digits may be
// grouped by '_'. A bare number where a unit is due is refused; so is a unit of another kind, NaN,
// infinity, and what does not fit. k, M, G, T, P scale where a unit takes them ("10 GUSD", "2k
// tok").

#ifndef CAUDAL_UNITS_H
#define CAUDAL_UNITS_H

#include "base/err.h"
#include "base/str.h"

enum unit_kind {
    UNIT_DURATION,           // us       us, ms, s, min, h, d ("day"), w ("week"), y ("year", 365 d)
    UNIT_MONEY,              // uUSD     USD with k, M, G, T ("10 GUSD")
    UNIT_MONEY_RATE,         // USD/h    "8 USD/h", per s, min, h, day, month (30.4375 d), year
    UNIT_TOKEN_PRICE,        // nUSD/Mtok   "0.35 USD/Mtok", per tok, ktok, Mtok, Gtok
    UNIT_ENERGY_PRICE,       // nUSD/MWh    "62 USD/MWh", per kWh, MWh
    UNIT_ACCELERATOR_PRICE,  // nUSD/h  "1.69 USD/h" of an accelerator
    UNIT_TOKENS,             // tok      "8192 tok", "128k tok", "2M tok"
    UNIT_TOKEN_RATE,         // tok/s    "3000 tok/s", "250k/min" (also "250k tok/min")
    UNIT_RATE,               // 1/s      "250/min", "20/s", "1k/h", "500/day"
    UNIT_POWER,              // W        W, kW, MW, GW
    UNIT_ENERGY,             // J        J, kJ, Wh, kWh, MWh
    UNIT_CARBON,             // g/kWh    "402 g/kWh", kg/MWh
    UNIT_BYTES,              // B        B, kB, KiB, MB, MiB, GB, GiB, TB, TiB
    UNIT_BANDWIDTH,          // B/s      "3.35 TB/s"
    UNIT_COMPUTE,            // FLOP/s   "989 TFLOPS", "125 PFLOPS"
    UNIT_SHARE,              // 1        "0.85", "85 %": the one kind whose bare number is right
    UNIT_CARBON_AMOUNT,      // g        g, kg, t, kt
    UNIT_CARBON_PRICE,       // nUSD/g   "80 USD/t", per kg, t
};

// Reads `text` as a quantity of `kind` in the unit listed above. On failure `*out` is untouched and
// the diag says what is wrong, the value as given, and an example of what was expected.
MUST_USE enum err unit_parse(double *out, enum unit_kind kind, struct str text, struct diag *diag);

const char *unit_example(enum unit_kind kind);  // "a duration such as 400 ms"

// Instants: ISO 8601 "2026-12-31" (00:00 UTC) or "2026-12-31T08:30:00Z" (or +hh:mm), as us since
// 1970. The civil calendar is proleptic Gregorian, computed here: no time zone of the machine.
MUST_USE enum err unit_instant(int64_t *out_us, struct str text, struct diag *diag);
struct civil {
    int32_t year, month, day, hour, minute, second;
};
struct civil civil_of(int64_t at_us);
// Months past the year's ends are months of the years beside it (month 13 is January), days, hours,
// minutes and seconds likewise; past the ends of int64_t, those ends.
int64_t civil_us(struct civil c);

// How a person reads an amount: "1.25 ms", "$0.000123", "12.4 GUSD", "250 MW". Returns `buf`.
enum { UNIT_TEXT = 48 };
const char *unit_text_us(char buf[UNIT_TEXT], int64_t us);
const char *unit_text_nusd(char buf[UNIT_TEXT], int64_t nusd);  // "$0.000123"
const char *unit_text_uusd(char buf[UNIT_TEXT], int64_t uusd);  // "10 GUSD"
const char *unit_text_si(char buf[UNIT_TEXT], double v,
                         const char *unit);                         // "250 MW" of 250e6, "W"
const char *unit_text_date(char buf[UNIT_TEXT], int64_t at_us);     // "2026-12-31"
const char *unit_text_instant(char buf[UNIT_TEXT], int64_t at_us);  // "2026-12-31T08:30:00Z"

#endif
