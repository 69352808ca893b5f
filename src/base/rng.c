#include "base/rng.h"

#include <math.h>
#include <string.h>

__extension__ typedef unsigned __int128 u128;

uint64_t mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void rng_seed(struct rng *r, uint64_t seed)
{
    for (size_t i = 0; i < COUNTOF(r->s); i++) {
        seed += 0x9e3779b97f4a7c15u;
        r->s[i] = mix64(seed);
    }
}

static uint64_t rotate(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

uint64_t rng_u64(struct rng *r)
{
    uint64_t *s = r->s;
    uint64_t out = rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return out;
}

// Lemire, "Fast random integer generation in an interval", 2019: a product's high word, with the
// few low words that would favour some results drawn again.
uint64_t rng_below(struct rng *r, uint64_t n)
{
    CHECK(n > 0);
    u128 product = (u128)rng_u64(r) * n;
    if ((uint64_t)product < n) {
        uint64_t unfair = (0 - n) % n;
        while ((uint64_t)product < unfair)
            product = (u128)rng_u64(r) * n;
    }
    return (uint64_t)(product >> 64);
}

double rng_unit(struct rng *r)
{
    return (double)(rng_u64(r) >> 11) * 0x1p-53;
}

double rng_exponential(struct rng *r, double mean)
{
    return mean * -det_log(1 - rng_unit(r));
}

// Marsaglia's polar method. Its second value is thrown away, so that a generator has no memory but
// its four words.
double rng_normal(struct rng *r)
{
    for (;;) {
        double x = 2 * rng_unit(r) - 1, y = 2 * rng_unit(r) - 1;
        double q = x * x + y * y;
        if (q > 0 && q < 1)
            return x * sqrt(-2 * det_log(q) / q);
    }
}

static double power(double x, double exponent)
{
    return x > 0 ? det_exp(det_log(x) * exponent) : 0;
}

// Marsaglia and Tsang, "A simple method for generating gamma variables", 2000. Below shape 1, the
// variable of shape + 1 times u^(1 / shape).
double rng_gamma(struct rng *r, double shape, double scale)
{
    CHECK(shape > 0 && scale >= 0);
    double boost = 1;
    if (shape < 1) {
        boost = power(1 - rng_unit(r), 1 / shape);
        shape += 1;
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = rng_normal(r), v = 1 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        double u = 1 - rng_unit(r);
        if (det_log(u) < 0.5 * x * x + d - d * v + d * det_log(v))
            return boost * d * v * scale;
    }
}

double rng_weibull(struct rng *r, double shape, double scale)
{
    CHECK(shape > 0 && scale >= 0);
    return scale * power(rng_exponential(r, 1), 1 / shape);
}

// ln 2 in two parts: the first has zeros in its low 20 bits, so that k times it is exact for every
// exponent k (fdlibm, Sun 1993).
static const double LN2_HIGH = 6.93147180369123816490e-01;
static const double LN2_LOW = 1.90821492927058770002e-10;

static double power_of_two(int k)
{
    uint64_t bits = (uint64_t)(k + 1023) << 52;
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// exp(x) = 2^k exp(r) with |r| <= ln 2 / 2; there the series to r^14 is exact to 1e-18.
double det_exp(double x)
{
    if (!(x > -746))
        return x != x ? x : 0;
    if (x > 710)
        return INFINITY;
    double turns = x / (LN2_HIGH + LN2_LOW);
    int k = (int)(turns < 0 ? turns - 0.5 : turns + 0.5);
    double r = (x - k * LN2_HIGH) - k * LN2_LOW;
    double sum = 1;
    for (int i = 14; i >= 1; i--)
        sum = 1 + r * sum / i;
    // Two factors: 2^1024 is no double, and below 2^-1022 the result loses bits only once.
    return sum * power_of_two(k / 2) * power_of_two(k - k / 2);
}

// log(x) = e ln 2 + log(m) with m between sqrt(1/2) and sqrt(2), and log(m) = 2 artanh(s) with
// s = (m - 1) / (m + 1): |s| < 0.172, so the series to s^23 is exact to 1e-18.
double det_log(double x)
{
    CHECK(x > 0);
    if (x > 0x1.fffffffffffffp1023)
        return x;
    int e = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        e = -54;
    }
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    e += (int)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, series = 0;
    for (int i = 23; i >= 3; i -= 2)
        series = s2 * (series + 1.0 / i);
    return e * LN2_HIGH + (2 * s + (2 * s * series + e * LN2_LOW));
}
