#include "samples.h"

#include <stdlib.h>

void samples_add(struct samples *s, int64_t us)
{
    if (s->n == s->size) {
        s->size = s->size ? 2 * s->size : 1 << 16;
        s->us = realloc(s->us, s->size * sizeof *s->us);
        CHECK(s->us);
    }
    s->us[s->n++] = (int32_t)min_i64(us, INT32_MAX);
}

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

int32_t samples_quantile(struct samples *s, double q)
{
    if (!s->n)
        return 0;
    qsort(s->us, s->n, sizeof *s->us, by_value);
    return s->us[(size_t)(q * (double)(s->n - 1) + 0.5)];
}
