#include "base/cholesky.h"

#include <math.h>

void cholesky_decompose(double *m, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j <= i; j++) {
            double v = m[i * n + j];
            for (int32_t k = 0; k < j; k++)
                v -= m[i * n + k] * m[j * n + k];
            m[i * n + j] = i == j ? sqrt(v) : v / m[j * n + j];
        }
}

void cholesky_solve(double *v, const double *m, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        for (int32_t k = 0; k < i; k++)
            v[i] -= m[i * n + k] * v[k];
        v[i] /= m[i * n + i];
    }
    for (int32_t i = n - 1; i >= 0; i--) {
        for (int32_t k = i + 1; k < n; k++)
            v[i] -= m[k * n + i] * v[k];
        v[i] /= m[i * n + i];
    }
}
