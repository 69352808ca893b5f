// The only file that sees CLP (https://github.com/coin-or/Clp), through its C interface.

#include "io/lp.h"

#include "base/arena.h"

#include <coin/Clp_C_Interface.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLP_DUAL_SIMPLEX = 0, CLP_CHOOSES = 5, CLP_PRESOLVE = 0, CLP_NO_PRESOLVE = 1 };
static const double SUPPORT = 1e-9;  // of the largest multiplier: less is rounding

struct doubles {
    double *v;
    size_t size;
};

struct lp {
    Clp_Simplex *clp;  // NULL: not loaded yet, or rows or columns were added since
    int32_t n_rows, n_columns;
    size_t n_values;
    struct doubles row_least, row_most, cost, least, most, value;
    int *index;  // [n_values], the row of each value
    size_t index_size;
    CoinBigIndex *start;  // [n_columns + 1]
    size_t start_size;
    bool solved;          // there is a basis to begin from
    bool certified;       // the last solve left a certificate of infeasibility
    unsigned char *kept;  // basis to begin from, when nothing is loaded yet; NULL: none
};

static void push(struct doubles *d, size_t at, double v)
{
    d->v = take_more(d->v, &d->size, at + 1, sizeof *d->v);
    d->v[at] = v;
}

const char *lp_status_text(enum lp_status s)
{
    switch (s) {
    case LP_OPTIMAL: return "optimal";
    case LP_INFEASIBLE: return "infeasible";
    case LP_UNBOUNDED: return "unbounded";
    case LP_STOPPED: return "stopped";
    }
    return "";
}

static void unload(struct lp *lp)
{
    if (lp->clp)
        Clp_deleteModel(lp->clp);
    lp->clp = NULL;
    lp->solved = lp->certified = false;
}

struct lp *lp_new(void)
{
    struct lp *lp = take(sizeof *lp);
    lp->start = take_more(NULL, &lp->start_size, 1, sizeof *lp->start);
    lp->start[0] = 0;
    return lp;
}

void lp_free(struct lp *lp)
{
    if (!lp)
        return;
    unload(lp);
    struct doubles *all[] = {&lp->row_least, &lp->row_most, &lp->cost,
                             &lp->least,     &lp->most,     &lp->value};
    for (size_t i = 0; i < COUNTOF(all); i++)
        free(all[i]->v);
    free(lp->index);
    free(lp->start);
    free(lp->kept);
    free(lp);
}

int32_t lp_row(struct lp *lp, double least, double most)
{
    unload(lp);
    push(&lp->row_least, (size_t)lp->n_rows, least);
    push(&lp->row_most, (size_t)lp->n_rows, most);
    return lp->n_rows++;
}

int32_t lp_column(struct lp *lp, double cost, double least, double most)
{
    unload(lp);
    size_t at = (size_t)lp->n_columns;
    push(&lp->cost, at, cost);
    push(&lp->least, at, least);
    push(&lp->most, at, most);
    lp->start = take_more(lp->start, &lp->start_size, at + 2, sizeof *lp->start);
    lp->start[at + 1] = (CoinBigIndex)lp->n_values;
    return lp->n_columns++;
}

void lp_put(struct lp *lp, int32_t row, double value)
{
    CHECK(lp->n_columns > 0 && row >= 0 && row < lp->n_rows && !lp->clp);
    size_t first = (size_t)lp->start[lp->n_columns - 1];
    for (size_t i = first; i < lp->n_values; i++) {
        if (lp->index[i] == row) {
            lp->value.v[i] += value;
            return;
        }
    }
    lp->index = take_more(lp->index, &lp->index_size, lp->n_values + 1, sizeof *lp->index);
    lp->index[lp->n_values] = row;
    push(&lp->value, lp->n_values, value);
    lp->n_values++;
    CHECK(lp->n_values < INT32_MAX);
    lp->start[lp->n_columns] = (CoinBigIndex)lp->n_values;
}

int32_t lp_rows(const struct lp *lp)
{
    return lp->n_rows;
}

int32_t lp_columns(const struct lp *lp)
{
    return lp->n_columns;
}

// --- changes ----------------------------------------------------------------------------------

void lp_set_cost(struct lp *lp, int32_t column, double cost)
{
    CHECK(column >= 0 && column < lp->n_columns);
    lp->cost.v[column] = cost;
    if (lp->clp)
        Clp_chgObjCoefficients(lp->clp, lp->cost.v);
}

void lp_set_column(struct lp *lp, int32_t column, double least, double most)
{
    CHECK(column >= 0 && column < lp->n_columns);
    lp->least.v[column] = least;
    lp->most.v[column] = most;
    if (lp->clp) {
        Clp_columnLower(lp->clp)[column] = least;
        Clp_columnUpper(lp->clp)[column] = most;
    }
}

void lp_set_row(struct lp *lp, int32_t row, double least, double most)
{
    CHECK(row >= 0 && row < lp->n_rows);
    lp->row_least.v[row] = least;
    lp->row_most.v[row] = most;
    if (lp->clp) {
        Clp_rowLower(lp->clp)[row] = least;
        Clp_rowUpper(lp->clp)[row] = most;
    }
}

// --- solving ----------------------------------------------------------------------------------

static void load(struct lp *lp)
{
    if (lp->clp)
        return;
    lp->clp = Clp_newModel();
    CHECK(lp->clp);
    Clp_setLogLevel(lp->clp, 0);
    Clp_loadProblem(lp->clp, lp->n_columns, lp->n_rows, lp->start, lp->index, lp->value.v,
                    lp->least.v, lp->most.v, lp->cost.v, lp->row_least.v, lp->row_most.v);
    if (lp->kept) {
        Clp_copyinStatus(lp->clp, lp->kept);
        lp->solved = true;
        free(lp->kept);
        lp->kept = NULL;
    }
}

static enum lp_status status_of(Clp_Simplex *clp)
{
    switch (Clp_status(clp)) {
    case 0: return LP_OPTIMAL;
    case 1: return LP_INFEASIBLE;
    case 2: return LP_UNBOUNDED;
    default: return LP_STOPPED;
    }
}

static void solve_with(Clp_Simplex *clp, int type, int presolve)
{
    Clp_Solve *how = ClpSolve_new();
    ClpSolve_setSolveType(how, type, -1);
    ClpSolve_setPresolveType(how, presolve, -1);
    Clp_initialSolveWithOptions(clp, how);
    ClpSolve_delete(how);
}

enum lp_status lp_solve(struct lp *lp, int32_t steps)
{
    load(lp);
    Clp_setNumberIterations(lp->clp, 0);
    Clp_setMaximumIterations(lp->clp, steps > 0 ? steps : INT32_MAX);
    lp->certified = false;
    if (lp->solved)
        Clp_dual(lp->clp, 0);
    else
        solve_with(lp->clp, CLP_CHOOSES, CLP_PRESOLVE);
    enum lp_status s = status_of(lp->clp);
    // Presolve finds infeasibility without a certificate, and takes unbounded for infeasible or the
    // other way round: the simplex on the whole program says which and why.
    if (s == LP_INFEASIBLE || s == LP_UNBOUNDED) {
        solve_with(lp->clp, CLP_DUAL_SIMPLEX, CLP_NO_PRESOLVE);
        s = status_of(lp->clp);
        lp->certified = s == LP_INFEASIBLE;
    }
    lp->solved = s == LP_OPTIMAL;
    return s;
}

double lp_objective(const struct lp *lp)
{
    return Clp_objectiveValue(lp->clp);
}

double lp_value(const struct lp *lp, int32_t column)
{
    return Clp_primalColumnSolution(lp->clp)[column];
}

double lp_reduced_cost(const struct lp *lp, int32_t column)
{
    return Clp_dualColumnSolution(lp->clp)[column];
}

double lp_activity(const struct lp *lp, int32_t row)
{
    return Clp_primalRowSolution(lp->clp)[row];
}

double lp_dual(const struct lp *lp, int32_t row)
{
    return Clp_dualRowSolution(lp->clp)[row];
}

int32_t lp_steps(const struct lp *lp)
{
    return Clp_numberIterations(lp->clp);
}

int32_t lp_conflict(const struct lp *lp, int32_t *rows, int32_t max)
{
    double *ray = lp->certified ? Clp_infeasibilityRay(lp->clp) : NULL;
    if (!ray)
        return 0;
    double most = 0;
    int32_t n = 0;
    for (int32_t i = 0; i < lp->n_rows; i++) {
        double size = ray[i] < 0 ? -ray[i] : ray[i];
        most = size > most ? size : most;
    }
    for (int32_t i = 0; i < lp->n_rows; i++) {
        if ((ray[i] < 0 ? -ray[i] : ray[i]) <= most * SUPPORT)
            continue;
        if (n < max)
            rows[n] = i;
        n++;
    }
    Clp_freeRay(lp->clp, ray);
    return n;
}

// --- bases and files --------------------------------------------------------------------------

void lp_basis(const struct lp *lp, unsigned char *out)
{
    CHECK(lp->clp && lp->solved);
    memcpy(out, Clp_statusArray(lp->clp), (size_t)lp->n_rows + (size_t)lp->n_columns);
}

void lp_basis_set(struct lp *lp, const unsigned char *basis)
{
    if (lp->clp) {
        Clp_copyinStatus(lp->clp, basis);
        lp->solved = true;
        return;
    }
    size_t n = (size_t)lp->n_rows + (size_t)lp->n_columns;
    free(lp->kept);
    lp->kept = take(n + 1);
    memcpy(lp->kept, basis, n);
}

static void write_bound(FILE *f, int32_t column, double least, double most)
{
    if (least <= -LP_FREE && most >= LP_FREE) {
        fprintf(f, " FR B C%d\n", (int)column);
    } else if (least == most) {
        fprintf(f, " FX B C%d %.17g\n", (int)column, least);
    } else {
        if (least <= -LP_FREE)
            fprintf(f, " MI B C%d\n", (int)column);
        else if (least != 0)
            fprintf(f, " LO B C%d %.17g\n", (int)column, least);
        if (most < LP_FREE)
            fprintf(f, " UP B C%d %.17g\n", (int)column, most);
    }
}

static char row_kind(const struct lp *lp, int32_t i)
{
    double least = lp->row_least.v[i], most = lp->row_most.v[i];
    if (least <= -LP_FREE)
        return most >= LP_FREE ? 'N' : 'L';
    return least == most ? 'E' : 'G';
}

static void write_rows(const struct lp *lp, FILE *f)
{
    fprintf(f, "NAME caudal\nROWS\n N COST\n");
    for (int32_t i = 0; i < lp->n_rows; i++)
        fprintf(f, " %c R%d\n", row_kind(lp, i), (int)i);
    fprintf(f, "COLUMNS\n");
    for (int32_t j = 0; j < lp->n_columns; j++) {
        fprintf(f, " C%d COST %.17g\n", (int)j, lp->cost.v[j]);
        for (size_t k = (size_t)lp->start[j]; k < (size_t)lp->start[j + 1]; k++)
            fprintf(f, " C%d R%d %.17g\n", (int)j, lp->index[k], lp->value.v[k]);
    }
}

// CLP's own writer drops digits of long numbers; these are the program's bits.
enum err lp_write(const struct lp *lp, const char *path, struct diag *diag)
{
    FILE *f = fopen(path, "w");
    if (!f)
        return diag_set(diag, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    write_rows(lp, f);
    fprintf(f, "RHS\n");
    for (int32_t i = 0; i < lp->n_rows; i++) {
        char kind = row_kind(lp, i);
        double v = kind == 'L' ? lp->row_most.v[i] : lp->row_least.v[i];
        if (kind != 'N' && v != 0)
            fprintf(f, " RHS R%d %.17g\n", (int)i, v);
    }
    fprintf(f, "RANGES\n");
    for (int32_t i = 0; i < lp->n_rows; i++)
        if (row_kind(lp, i) == 'G' && lp->row_most.v[i] < LP_FREE)
            fprintf(f, " RANGE R%d %.17g\n", (int)i, lp->row_most.v[i] - lp->row_least.v[i]);
    fprintf(f, "BOUNDS\n");
    for (int32_t j = 0; j < lp->n_columns; j++)
        write_bound(f, j, lp->least.v[j], lp->most.v[j]);
    fprintf(f, "ENDATA\n");
    bool ok = !ferror(f);
    ok = fclose(f) == 0 && ok;
    return ok ? ERR_NONE : diag_set(diag, ERR_SYSTEM, "%s: %s", path, strerror(errno));
}
