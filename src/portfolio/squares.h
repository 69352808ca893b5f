// squares.h - least squares with weights that are not negative, of a few terms. Pure.
//
// Every set of terms is tried (Lawson and Hanson's active sets, all of them: 31 of 5 terms) and the
// best without a negative weight taken, so that the answer is exact and the same everywhere.

#ifndef CAUDAL_SQUARES_H
#define CAUDAL_SQUARES_H

#include "base/base.h"

enum { SQUARES_TERMS = 5 };

// The normal equations of what was added; {0} is empty.
struct squares {
    double a[SQUARES_TERMS][SQUARES_TERMS], b[SQUARES_TERMS];
};

// That the terms `row` should come to `value`, which counts `weight` times. A term that is always 0
// gets the weight 0. Terms want to be of one size: what the others nearly determine is left out.
void squares_add(struct squares *q, const double row[SQUARES_TERMS], double value, double weight);
void squares_solve(double out[SQUARES_TERMS], const struct squares *q);

#endif
