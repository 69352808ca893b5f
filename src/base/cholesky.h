// cholesky.h - systems of linear equations whose matrix is symmetric and positive definite.
//
// Only + - * / and sqrt in a fixed order, so that compilers agree to the last bit.

#ifndef CAUDAL_CHOLESKY_H
#define CAUDAL_CHOLESKY_H

#include <stdint.h>

// Cholesky's decomposition of `m`, [n][n], in place; only what is on and below the diagonal is read
// and written. O(n^3).
void cholesky_decompose(double *m, int32_t n);
// Of what `m` was before: the `v` of m v = b, where `v` holds b when called. O(n^2).
void cholesky_solve(double *v, const double *m, int32_t n);

#endif
