#include "base/rng.h"
#include "lib/test.h"

#include <inttypes.h>
#include <math.h>

static double relative(double got, double want)
{
    return want == 0 ? fabs(got) : fabs(got - want) / fabs(want);
}

static void exp_and_log_agree_with_libm(void)
{
    struct rng r;
    rng_seed(&r, 1);
    double worst_exp = 0, worst_log = 0;
    for (int i = 0; i < 200000; i++) {
        double x = (rng_unit(&r) - 0.5) * (i % 2 ? 1400 : 4);
        double e = relative(det_exp(x), exp(x));
        worst_exp = e > worst_exp ? e : worst_exp;
        double y = i % 3 ? exp((rng_unit(&r) - 0.5) * 1400) : 1 + (rng_unit(&r) - 0.5) * 1e-3;
        double l = relative(det_log(y), log(y));
        worst_log = l > worst_log ? l : worst_log;
    }
    EXPECT(worst_exp < 1e-14, "exp is off by %g", worst_exp);
    EXPECT(worst_log < 1e-14, "log is off by %g", worst_log);
}

static void exp_and_log_have_ends(void)
{
    EXPECT(det_exp(0) == 1 && det_log(1) == 0, "exact where it matters");
    EXPECT(det_exp(800) == INFINITY && det_exp(INFINITY) == INFINITY, "above");
    EXPECT(det_exp(-800) == 0 && det_exp(-INFINITY) == 0, "below");
    EXPECT(isnan(det_exp(NAN)), "NaN");
    EXPECT(relative(det_exp(709.78), exp(709.78)) < 1e-14, "%g", det_exp(709.78));
    EXPECT(fabs(det_exp(-740) - exp(-740)) <= 1e-323, "%g", det_exp(-740));
    EXPECT(relative(det_log(5e-324), log(5e-324)) < 1e-14, "%g", det_log(5e-324));
    EXPECT(relative(det_log(1.7976931348623157e308), log(1.7976931348623157e308)) < 1e-14, "large");
    EXPECT(det_log(INFINITY) == INFINITY, "infinity");
}

// The first numbers of the reference programs (prng.di.unimi.it) seeded the same way.
static void the_stream_is_the_published_one(void)
{
    struct rng r = {{1, 2, 3, 4}};
    static const uint64_t want[] = {11520, 0, 1509978240, 1215971899390074240u};
    for (size_t i = 0; i < COUNTOF(want); i++) {
        uint64_t got = rng_u64(&r);
        EXPECT(got == want[i], "%zu: %" PRIu64, i, got);
    }
    rng_seed(&r, 1234567);
    EXPECT(r.s[0] == 6457827717110365317u && r.s[1] == 3203168211198807973u, "splitmix64 %" PRIu64,
           r.s[0]);
}

static void below_is_fair(void)
{
    struct rng r;
    rng_seed(&r, 9);
    int count[7] = {0};
    for (int i = 0; i < 70000; i++) {
        uint64_t v = rng_below(&r, 7);
        NEED(v < 7);
        count[v]++;
    }
    for (int i = 0; i < 7; i++)
        EXPECT(count[i] > 9600 && count[i] < 10400, "%d: %d", i, count[i]);
    EXPECT(rng_below(&r, 1) == 0, "one");
    for (int i = 0; i < 1000; i++)
        EXPECT(rng_below(&r, UINT64_MAX) < UINT64_MAX, "large");
}

enum { DRAWS = 200000 };

static void expect_moments(const char *name, double (*draw)(struct rng *), double mean,
                           double variance)
{
    struct rng r;
    rng_seed(&r, 77);
    double sum = 0, squares = 0;
    for (int i = 0; i < DRAWS; i++) {
        double v = draw(&r);
        EXPECT(isfinite(v), "%s: %g", name, v);
        sum += v;
        squares += (v - mean) * (v - mean);
    }
    double m = sum / DRAWS, v = squares / DRAWS;
    EXPECT(fabs(m - mean) < 5 * sqrt(variance / DRAWS), "%s: mean %g, not %g", name, m, mean);
    EXPECT(fabs(v - variance) < 0.06 * variance, "%s: variance %g, not %g", name, v, variance);
}

static double unit(struct rng *r)
{
    double v = rng_unit(r);
    NEED(v >= 0 && v < 1);
    return v;
}

static double exponential(struct rng *r)
{
    return rng_exponential(r, 3);
}

static double gamma_low(struct rng *r)
{
    return rng_gamma(r, 0.3, 2);
}

static double gamma_high(struct rng *r)
{
    return rng_gamma(r, 4, 0.5);
}

static double weibull(struct rng *r)
{
    return rng_weibull(r, 2, 3);
}

static void distributions_have_their_moments(void)
{
    expect_moments("unit", unit, 0.5, 1.0 / 12);
    expect_moments("exponential", exponential, 3, 9);
    expect_moments("normal", rng_normal, 0, 1);
    expect_moments("gamma 0.3", gamma_low, 0.6, 1.2);
    expect_moments("gamma 4", gamma_high, 2, 1);
    double pi = 3.14159265358979323846;
    expect_moments("weibull 2", weibull, 3 * sqrt(pi) / 2, 9 * (1 - pi / 4));
}

static void seeds_differ_and_repeat(void)
{
    struct rng a, b, c;
    rng_seed(&a, 5);
    rng_seed(&b, 5);
    rng_seed(&c, 6);
    for (int i = 0; i < 100; i++) {
        double x = rng_gamma(&a, 0.7, 1), y = rng_gamma(&b, 0.7, 1), z = rng_gamma(&c, 0.7, 1);
        EXPECT(x == y && x != z, "%g %g %g", x, y, z);
    }
    EXPECT(mix64(0) == 0 && mix64(1) != mix64(2), "mix64");
}

int main(void)
{
    TEST(exp_and_log_agree_with_libm);
    TEST(exp_and_log_have_ends);
    TEST(the_stream_is_the_published_one);
    TEST(below_is_fair);
    TEST(distributions_have_their_moments);
    TEST(seeds_differ_and_repeat);
    return test_end();
}
