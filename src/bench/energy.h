// energy.h - what a token takes: joules of a while, shared by the tokens read and written in it.
// Pure.

#ifndef CAUDAL_BENCH_ENERGY_H
#define CAUDAL_BENCH_ENERGY_H

#include "base/base.h"

// Energy of the runs of a level. A token has its share of all that the meter sees, which others may
// use too; above idle it is what there would not be without the load.
struct energy {
    double s, joules;  // s 0: not measured
    double idle_w;
    double prompt_tok, output_tok;  // read and written meanwhile
};
double energy_watts(const struct energy *e);
double energy_watts_above_idle(const struct energy *e);  // 0: what is left is rounding
// Joules for each token of an answer, or for each of prompt and answer together; 0: none.
double energy_per_output_tok(const struct energy *e, bool above_idle);
double energy_per_tok(const struct energy *e, bool above_idle);

// A token of a prompt and a token of an answer by themselves, above idle: the least squares of
// relative errors over levels of as many users and different lengths; neither is below 0. False:
// the levels are fewer than two, or of much the same lengths, so that they do not tell the two
// apart.
bool energy_split(double *prompt_j, double *output_j, const struct energy *levels, int32_t n);

#endif
