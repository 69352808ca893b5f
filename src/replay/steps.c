#include "replay/steps.h"

#include <math.h>

int64_t steps_fine(double us)
{
    double fine = us * (1 << FINE_BITS) + 0.5;
    double most = (double)(FAR_US << FINE_BITS);
    return fine < most ? (int64_t)fine : (int64_t)most;
}

int64_t steps_end_at_most(const struct steps *s, int64_t i)
{
    // So near and so short that nothing overflows: all but a sick unit's.
    if (i < (int64_t)1 << 22 && s->a < (int64_t)1 << 38 && s->b < 1 << 16 &&
        s->extra < (int64_t)1 << 60)
        return min_i64(steps_end_us(s, i), FAR_US);
    double fine = (double)s->from + (double)s->extra + (double)i * (double)s->a +
                  (double)s->b * (double)i * (double)i;
    return fine < (double)(FAR_US << FINE_BITS) ? steps_end_us(s, i) : FAR_US;
}

int64_t steps_at(const struct steps *s, int64_t at_us)
{
    if (steps_end_us(s, 1) >= at_us)
        return 1;
    double left = (double)((at_us << FINE_BITS) - s->from - s->extra), a = (double)s->a;
    double guess = left / a;
    if (s->b > 0) {  // a i + b i (i - 1) / 2 = left
        double b = (double)s->b, half = a - b / 2;
        guess = (sqrt(half * half + 2 * b * left) - half) / b;
    }
    int64_t i = guess > 1 ? (int64_t)guess : 1;
    while (i > 1 && steps_end_us(s, i - 1) >= at_us)
        i--;
    while (steps_end_us(s, i) < at_us)
        i++;
    return i;
}
