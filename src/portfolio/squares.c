#include "portfolio/squares.h"

// What of a term is left when those before it are taken out must be more than this part of it.
static const double DETERMINED = 1e-10;

void squares_add(struct squares *q, const double row[SQUARES_TERMS], double value, double weight)
{
    for (int32_t i = 0; i < SQUARES_TERMS; i++) {
        for (int32_t j = 0; j < SQUARES_TERMS; j++)
            q->a[i][j] += weight * row[i] * row[j];
        q->b[i] += weight * row[i] * value;
    }
}

// Solves for the terms in `set` (a bit each), the others are 0. False: they are not determined.
// Symmetric and positive when determined: elimination needs no pivoting.
static bool solve(double out[SQUARES_TERMS], const struct squares *q, unsigned set)
{
    double m[SQUARES_TERMS][SQUARES_TERMS + 1];
    int32_t which[SQUARES_TERMS], n = 0;
    for (int32_t i = 0; i < SQUARES_TERMS; i++) {
        out[i] = 0;
        if (set & (1u << i))
            which[n++] = i;
    }
    for (int32_t i = 0; i < n; i++) {
        for (int32_t j = 0; j < n; j++)
            m[i][j] = q->a[which[i]][which[j]];
        m[i][n] = q->b[which[i]];
    }
    for (int32_t i = 0; i < n; i++) {
        if (m[i][i] <= DETERMINED * q->a[which[i]][which[i]])
            return false;
        for (int32_t k = i + 1; k < n; k++) {
            double f = m[k][i] / m[i][i];
            for (int32_t j = i; j <= n; j++)
                m[k][j] -= f * m[i][j];
        }
    }
    for (int32_t i = n - 1; i >= 0; i--) {
        double v = m[i][n];
        for (int32_t j = i + 1; j < n; j++)
            v -= m[i][j] * out[which[j]];
        out[which[i]] = v / m[i][i];
    }
    return true;
}

static bool none_negative(const double *v)
{
    for (int32_t i = 0; i < SQUARES_TERMS; i++)
        if (v[i] < 0)
            return false;
    return true;
}

void squares_solve(double out[SQUARES_TERMS], const struct squares *q)
{
    double best = -1, w[SQUARES_TERMS];
    for (int32_t i = 0; i < SQUARES_TERMS; i++)
        out[i] = 0;
    for (unsigned set = 1; set < 1u << SQUARES_TERMS; set++) {
        if (!solve(w, q, set) || !none_negative(w))
            continue;
        double gain = 0;  // the samples less the residual
        for (int32_t i = 0; i < SQUARES_TERMS; i++)
            gain += w[i] * q->b[i];
        if (gain > best * (1 + 1e-12)) {
            best = gain;
            for (int32_t i = 0; i < SQUARES_TERMS; i++)
                out[i] = w[i];
        }
    }
}
