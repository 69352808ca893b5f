// equal.h - what a million tokens cost at two suppliers when a user of each sees the same speed.
// Pure.
//
// Between two measured levels throughput is taken as linear in the speed of one user; beyond what
// was measured nothing is said.

#ifndef CAUDAL_BENCH_EQUAL_H
#define CAUDAL_BENCH_EQUAL_H

#include "bench/row.h"

struct tariff {  // all that is said adds up
    bool listed;
    double input_nusd_per_tok, output_nusd_per_tok;
    double usd_per_h;  // of the whole supplier, however much of it is used; 0: not said
};

// USD for a million tokens, prompt and answer together, of requests of that shape at a throughput
// of so many tokens of answers a second. 0: it cannot be told.
double tariff_usd_per_mtok(const struct tariff *t, double prompt_tok, double output_tok,
                           double throughput_tok_s);
double row_usd_per_mtok(const struct row *r, const struct tariff *t);

struct equal_side {
    const struct row *rows;  // [n]
    int32_t n;
    struct tariff tariff;
};

enum { EQUAL_SIDES = 2, EQUAL_SPEEDS = 5 };

struct equal_speed {
    double tok_s;  // of one user
    double throughput_tok_s[EQUAL_SIDES], usd_per_mtok[EQUAL_SIDES];
};

struct equal {
    struct equal_speed at[EQUAL_SPEEDS];  // [n], rising, over what both have been measured at
    int32_t n;                            // 0: their ranges do not meet
    double from_tok_s[EQUAL_SIDES], to_tok_s[EQUAL_SIDES];  // what each was measured at
};

// Of the levels of a closed loop that have the lengths and the prefix of `like`, and are neither
// saturated nor cut off. False: one of the two has none.
bool equal_of(struct equal *out, const struct equal_side sides[EQUAL_SIDES],
              const struct row *like);

#endif
