// Small programs with known answers, and random ones against every corner there is.

#include "base/rng.h"
#include "io/lp.h"
#include "lib/test.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

// CLP's presolve forgets a little of what it took where a program has no answer: not ours to mend.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libCoinUtils";
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-7 * (1 + fabs(a) + fabs(b));
}

// Two pools, 10 requests: the cheap one has room for 6 of them.
static struct lp *two_pools(double room)
{
    struct lp *lp = lp_new();
    int32_t demand = lp_row(lp, 10, 10), cap = lp_row(lp, -LP_FREE, room);
    lp_column(lp, 1, 0, LP_FREE);
    lp_put(lp, demand, 1);
    lp_put(lp, cap, 1);
    lp_column(lp, 4, 0, LP_FREE);
    lp_put(lp, demand, 1);
    return lp;
}

static void duals_are_what_one_more_unit_is_worth(void)
{
    struct lp *lp = two_pools(6);
    EXPECT(lp_solve(lp, 0) == LP_OPTIMAL, "not optimal");
    EXPECT(near(lp_objective(lp), 6 + 4 * 4), "objective %g", lp_objective(lp));
    EXPECT(near(lp_value(lp, 0), 6) && near(lp_value(lp, 1), 4), "x %g %g", lp_value(lp, 0),
           lp_value(lp, 1));
    EXPECT(near(lp_dual(lp, 0), 4), "one request more costs %g", lp_dual(lp, 0));
    EXPECT(near(lp_dual(lp, 1), -3), "one place more saves %g", lp_dual(lp, 1));
    EXPECT(near(lp_activity(lp, 1), 6), "activity %g", lp_activity(lp, 1));
    EXPECT(near(lp_reduced_cost(lp, 0), 0), "reduced cost %g", lp_reduced_cost(lp, 0));
    lp_free(lp);
}

static void a_change_is_solved_from_the_last_basis(void)
{
    struct lp *lp = two_pools(6);
    EXPECT(lp_solve(lp, 0) == LP_OPTIMAL, "first");
    lp_set_row(lp, 1, -LP_FREE, 8);
    EXPECT(lp_solve(lp, 0) == LP_OPTIMAL && near(lp_objective(lp), 8 + 2 * 4), "room: %g",
           lp_objective(lp));
    lp_set_cost(lp, 1, 2);
    EXPECT(lp_solve(lp, 0) == LP_OPTIMAL && near(lp_objective(lp), 8 + 2 * 2), "cost: %g",
           lp_objective(lp));
    lp_set_column(lp, 0, 0, 5);
    EXPECT(lp_solve(lp, 0) == LP_OPTIMAL && near(lp_objective(lp), 5 + 5 * 2), "bound: %g",
           lp_objective(lp));
    unsigned char basis[4];
    lp_basis(lp, basis);
    lp_free(lp);
    lp = two_pools(8);
    lp_set_cost(lp, 1, 2);
    lp_set_column(lp, 0, 0, 5);
    lp_basis_set(lp, basis);
    EXPECT(lp_solve(lp, 0) == LP_OPTIMAL && near(lp_objective(lp), 15), "%g", lp_objective(lp));
    EXPECT(lp_steps(lp) == 0, "the basis was optimal, and yet %d steps", (int)lp_steps(lp));
    lp_free(lp);
}

static void what_contradicts_itself_names_the_rows(void)
{
    struct lp *lp = two_pools(6);
    int32_t rows[8];
    lp_set_column(lp, 1, 0, 3);  // 6 and 3 are not 10
    EXPECT(lp_solve(lp, 0) == LP_INFEASIBLE, "it has an answer");
    int32_t n = lp_conflict(lp, rows, 8);
    EXPECT(n == 2 && rows[0] == 0 && rows[1] == 1, "%d rows", (int)n);
    EXPECT(lp_conflict(lp, rows, 1) == 2, "the count is that of all");
    lp_set_column(lp, 1, 0, 4);
    EXPECT(lp_solve(lp, 0) == LP_OPTIMAL && near(lp_objective(lp), 22), "%g", lp_objective(lp));
    EXPECT(lp_conflict(lp, rows, 8) == 0, "nothing contradicts itself now");
    lp_free(lp);
}

static void what_has_no_end_is_unbounded(void)
{
    struct lp *lp = lp_new();
    int32_t row = lp_row(lp, 0, LP_FREE);
    lp_column(lp, -1, 0, LP_FREE);
    lp_put(lp, row, 1);
    EXPECT(lp_solve(lp, 0) == LP_UNBOUNDED, "it has an answer");
    lp_free(lp);
}

static void values_said_twice_add_up(void)
{
    struct lp *lp = lp_new();
    int32_t row = lp_row(lp, 6, LP_FREE);
    lp_column(lp, 1, 0, LP_FREE);
    lp_put(lp, row, 1);
    lp_put(lp, row, 2);
    EXPECT(lp_solve(lp, 0) == LP_OPTIMAL && near(lp_objective(lp), 2), "%g", lp_objective(lp));
    lp_free(lp);
}

enum { VARIABLES = 3, ROWS = 4, PLANES = ROWS + 2 * VARIABLES };

struct program {  // rows and bounds alike are planes: values x <= most
    double cost[VARIABLES], values[PLANES][VARIABLES], most[PLANES];
};

static void random_program(struct program *g, struct rng *r)
{
    memset(g, 0, sizeof *g);
    for (int j = 0; j < VARIABLES; j++) {
        g->cost[j] = (double)rng_below(r, 21) - 10;
        g->values[ROWS + j][j] = 1;
        g->most[ROWS + j] = 1 + (double)rng_below(r, 9);
        g->values[ROWS + VARIABLES + j][j] = -1;  // x >= 0
    }
    for (int i = 0; i < ROWS; i++) {
        for (int j = 0; j < VARIABLES; j++)
            g->values[i][j] = (double)rng_below(r, 11) - 4;
        g->most[i] = (double)rng_below(r, 25) - 4;
    }
}

// Where three planes meet. False: nowhere, or everywhere along a line.
static bool corner(const struct program *g, const int p[VARIABLES], double x[VARIABLES])
{
    double m[VARIABLES][VARIABLES + 1];
    for (int i = 0; i < VARIABLES; i++) {
        memcpy(m[i], g->values[p[i]], sizeof g->values[0]);
        m[i][VARIABLES] = g->most[p[i]];
    }
    for (int i = 0; i < VARIABLES; i++) {
        int best = i;
        for (int k = i + 1; k < VARIABLES; k++)
            best = fabs(m[k][i]) > fabs(m[best][i]) ? k : best;
        if (fabs(m[best][i]) < 1e-9)
            return false;
        for (int j = 0; j <= VARIABLES; j++) {
            double v = m[i][j];
            m[i][j] = m[best][j];
            m[best][j] = v;
        }
        for (int k = 0; k < VARIABLES; k++) {
            double f = k == i ? 0 : m[k][i] / m[i][i];
            for (int j = i; j <= VARIABLES; j++)
                m[k][j] -= f * m[i][j];
        }
    }
    for (int i = 0; i < VARIABLES; i++)
        x[i] = m[i][VARIABLES] / m[i][i];
    return true;
}

static double least_corner(const struct program *g)
{
    double best = INFINITY, x[VARIABLES];
    for (int a = 0; a < PLANES; a++)
        for (int b = a + 1; b < PLANES; b++)
            for (int c = b + 1; c < PLANES; c++) {
                if (!corner(g, (const int[]){a, b, c}, x))
                    continue;
                bool inside = true;
                double cost = 0;
                for (int i = 0; i < PLANES && inside; i++) {
                    double v = 0;
                    for (int j = 0; j < VARIABLES; j++)
                        v += g->values[i][j] * x[j];
                    inside = v <= g->most[i] + 1e-7;
                }
                for (int j = 0; j < VARIABLES; j++)
                    cost += g->cost[j] * x[j];
                if (inside && cost < best)
                    best = cost;
            }
    return best;
}

static struct lp *lp_of(const struct program *g)
{
    struct lp *lp = lp_new();
    for (int i = 0; i < ROWS; i++)
        lp_row(lp, -LP_FREE, g->most[i]);
    for (int j = 0; j < VARIABLES; j++) {
        lp_column(lp, g->cost[j], 0, g->most[ROWS + j]);
        for (int i = 0; i < ROWS; i++)
            lp_put(lp, i, g->values[i][j]);
    }
    return lp;
}

static void random_programs_have_the_value_of_their_best_corner(void)
{
    struct rng r;
    rng_seed(&r, 7);
    int infeasible = 0;
    for (int k = 0; k < 2000; k++) {
        struct program g;
        random_program(&g, &r);
        double best = least_corner(&g);
        struct lp *lp = lp_of(&g);
        enum lp_status s = lp_solve(lp, 0);
        infeasible += best == INFINITY;
        if (best == INFINITY)
            EXPECT(s == LP_INFEASIBLE, "program %d is %s", k, lp_status_text(s));
        else
            EXPECT(s == LP_OPTIMAL && near(lp_objective(lp), best), "program %d: %s %g, not %g", k,
                   lp_status_text(s), lp_objective(lp), best);
        // What the duals promise is the optimum too, and never more.
        double promise = 0;
        for (int i = 0; i < ROWS && s == LP_OPTIMAL; i++)
            promise += lp_dual(lp, i) * g.most[i];
        for (int j = 0; j < VARIABLES && s == LP_OPTIMAL; j++)
            promise += fmin(0, lp_reduced_cost(lp, j)) * g.most[ROWS + j];
        EXPECT(s != LP_OPTIMAL || near(promise, best), "program %d: %g, not %g", k, promise, best);
        lp_free(lp);
    }
    EXPECT(infeasible > 20 && infeasible < 1900, "%d of 2000 are infeasible", infeasible);
}

static void the_same_program_gives_the_same_bits(void)
{
    struct rng r;
    rng_seed(&r, 8);
    for (int k = 0; k < 50; k++) {
        struct program g;
        random_program(&g, &r);
        struct lp *one = lp_of(&g), *two = lp_of(&g);
        enum lp_status s = lp_solve(one, 0);
        EXPECT(lp_solve(two, 0) == s, "program %d", k);
        for (int i = 0; i < ROWS && s == LP_OPTIMAL; i++) {
            double a = lp_dual(one, i), b = lp_dual(two, i);
            EXPECT(memcmp(&a, &b, sizeof a) == 0, "program %d, row %d: %g and %g", k, i, a, b);
        }
        lp_free(one);
        lp_free(two);
    }
}

static void a_file_that_cannot_be_written_is_said(void)
{
    struct lp *lp = two_pools(6);
    struct diag diag = {0};
    EXPECT(lp_write(lp, "/nowhere/x.mps", &diag) == ERR_SYSTEM, "written");
    EXPECT(strstr(diag.text, "/nowhere/x.mps"), "%s", diag.text);
    lp_free(lp);
}

int main(void)
{
    TEST(duals_are_what_one_more_unit_is_worth);
    TEST(a_change_is_solved_from_the_last_basis);
    TEST(what_contradicts_itself_names_the_rows);
    TEST(what_has_no_end_is_unbounded);
    TEST(values_said_twice_add_up);
    TEST(random_programs_have_the_value_of_their_best_corner);
    TEST(the_same_program_gives_the_same_bits);
    TEST(a_file_that_cannot_be_written_is_said);
    return test_end();
}
