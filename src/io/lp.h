// lp.h - linear programs: the least of a cost, each variable and each row between two bounds.
//
//   least   sum over columns of cost * x
//   so that least <= x <= most                            for each column
//           least <= sum of value * x <= most             for each row
//
// Rows are said first, then each column with its values. What changes between two solves is set in
// place, and lp_solve() then begins from the basis of the last one. Deterministic: the same calls
// give the same bits. Storage from the system; a broken promise (an index out of range) stops.
//
// The dual of a row is what the optimum changes by when the bound that holds it rises by one; the
// reduced cost of a column, when the bound that holds it does. Both are 0 where nothing is held.

#ifndef CAUDAL_LP_H
#define CAUDAL_LP_H

#include "base/err.h"
#include "base/str.h"

struct lp;  // opaque; one thread at a time

#define LP_FREE 1e300  // a bound of this size or more is none

enum lp_status {
    LP_OPTIMAL,
    LP_INFEASIBLE,  // lp_conflict() names rows that cannot hold together
    LP_UNBOUNDED,
    LP_STOPPED  // at the limit of steps, or the solver gave up
};
const char *lp_status_text(enum lp_status s);

struct lp *lp_new(void);
void lp_free(struct lp *lp);

// The index of the new row or column; they count from 0.
int32_t lp_row(struct lp *lp, double least, double most);
int32_t lp_column(struct lp *lp, double cost, double least, double most);
// `value` of the column that was added last in `row`; said twice, the values add up.
void lp_put(struct lp *lp, int32_t row, double value);
int32_t lp_rows(const struct lp *lp);
int32_t lp_columns(const struct lp *lp);

// Before the next solve.
void lp_set_cost(struct lp *lp, int32_t column, double cost);
void lp_set_column(struct lp *lp, int32_t column, double least, double most);
void lp_set_row(struct lp *lp, int32_t row, double least, double most);

// The first solve presolves and takes whichever simplex suits; a later one, with rows and columns
// as they were, is the dual simplex from the last basis, or from the one of lp_basis_set(). `steps`
// of the simplex at most; 0: as many as it takes.
enum lp_status lp_solve(struct lp *lp, int32_t steps);
// Of the last solve, which was LP_OPTIMAL.
double lp_objective(const struct lp *lp);
double lp_value(const struct lp *lp, int32_t column);
double lp_reduced_cost(const struct lp *lp, int32_t column);
double lp_activity(const struct lp *lp, int32_t row);
double lp_dual(const struct lp *lp, int32_t row);
int32_t lp_steps(const struct lp *lp);
// Of the last solve, which was LP_INFEASIBLE: writes up to `max` rows that cannot hold together
// within the bounds of the columns (the support of a Farkas certificate), returns how many there
// are; 0: the bounds of a row or a column contradict themselves, or the solver gives no
// certificate.
int32_t lp_conflict(const struct lp *lp, int32_t *rows, int32_t max);

// A basis is lp_rows() + lp_columns() bytes, of a program of the same shape.
void lp_basis(const struct lp *lp, unsigned char *out);
void lp_basis_set(struct lp *lp, const unsigned char *basis);

// As free MPS, for other solvers to judge. ERR_SYSTEM: the file cannot be written.
MUST_USE enum err lp_write(const struct lp *lp, const char *path, struct diag *diag);

#endif
