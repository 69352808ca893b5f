#include "bench/energy.h"

#include <math.h>

double energy_watts(const struct energy *e)
{
    return e->s > 0 ? e->joules / e->s : 0;
}

double energy_watts_above_idle(const struct energy *e)
{
    double watts = energy_watts(e), above = watts - e->idle_w;
    return above > 1e-9 * watts ? above : 0;
}

static double energy_over(const struct energy *e, bool above_idle, double tok)
{
    double watts = above_idle ? energy_watts_above_idle(e) : energy_watts(e);
    return tok > 0 ? watts * e->s / tok : 0;
}

double energy_per_output_tok(const struct energy *e, bool above_idle)
{
    return energy_over(e, above_idle, e->output_tok);
}

double energy_per_tok(const struct energy *e, bool above_idle)
{
    return energy_over(e, above_idle, e->prompt_tok + e->output_tok);
}

// What the equations x p + y o = 1 (a level each, over its joules) say: p and o.
static bool solve(double *p, double *o, double xx, double xy, double yy, double x, double y)
{
    const double alike = 0.99;  // cosine of two levels above which they are one
    double det = xx * yy - xy * xy;
    if (!(xx > 0 && yy > 0) || xy > alike * sqrt(xx * yy))
        return false;
    *p = (x * yy - y * xy) / det;
    *o = (y * xx - x * xy) / det;
    if (*p < 0) {
        *p = 0;
        *o = y / yy;
    } else if (*o < 0) {
        *o = 0;
        *p = x / xx;
    }
    return true;
}

bool energy_split(double *prompt_j, double *output_j, const struct energy *levels, int32_t n)
{
    double xx = 0, xy = 0, yy = 0, sum_x = 0, sum_y = 0;
    for (int32_t i = 0; i < n; i++) {
        double joules = energy_watts_above_idle(&levels[i]) * levels[i].s;
        if (!(joules > 0))
            return false;
        double x = levels[i].prompt_tok / joules, y = levels[i].output_tok / joules;
        xx += x * x;
        xy += x * y;
        yy += y * y;
        sum_x += x;
        sum_y += y;
    }
    return n > 1 && solve(prompt_j, output_j, xx, xy, yy, sum_x, sum_y);
}
