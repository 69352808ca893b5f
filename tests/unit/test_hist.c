#include "base/hist.h"
#include "base/rng.h"
#include "lib/test.h"

#include <inttypes.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void a_quantile_is_off_by_a_64th_at_most(void)
{
    enum { N = 3000 };
    static int64_t values[N];
    static struct hist h;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        h = (struct hist){0};
        for (int i = 0; i < N; i++) {
            values[i] = (int64_t)(rng_u64(&r) >> (1 + rng_below(&r, 62)));
            hist_add(&h, values[i]);
        }
        qsort(values, N, sizeof *values, by_value);
        for (double q = 0; q <= 1; q += 0.01) {
            int i = (int)(q * N);
            double exact = q * N;
            int rank = (double)i < exact || i == 0 ? i + 1 : i;
            int64_t got = hist_quantile(&h, q), want = values[rank - 1];
            double off = (double)got - (double)want;
            EXPECT((off < 0 ? -off : off) <= (double)want / 64 + 1e-9,
                   "seed %" PRIu64 " q %g: %" PRId64 ", is %" PRId64, seed, q, got, want);
        }
        EXPECT(hist_quantile(&h, 0) == values[0] && hist_quantile(&h, 1) == values[N - 1], "ends");
    }
}

static void extremes_do_not_break_it(void)
{
    static struct hist h;
    EXPECT(hist_quantile(&h, 0.5) == 0 && hist_mean(&h) == 0, "empty");
    hist_add(&h, -5);
    EXPECT(h.min == 0 && h.max == 0 && h.count == 1, "below 0 counts as 0");
    for (int i = 0; i < 3; i++)
        hist_add(&h, INT64_MAX);
    EXPECT(hist_quantile(&h, 1) == INT64_MAX && h.sum == INT64_MAX, "the sum stays at its end");
    EXPECT(hist_quantile(&h, 0.0 / 1 - 1) == 0 && hist_quantile(&h, 7) == INT64_MAX, "q outside");
    for (int64_t v = 0; v < 64; v++) {
        h = (struct hist){0};
        hist_add(&h, 0);
        hist_add(&h, v);
        hist_add(&h, 1000000);
        EXPECT(hist_quantile(&h, 0.5) == v, "small values are exact: %" PRId64, v);
    }
    h = (struct hist){0};
    h.bucket[3] = UINT32_MAX - 1;
    h.count = UINT32_MAX - 1;
    for (int i = 0; i < 5; i++)
        hist_add(&h, 3);
    EXPECT(h.bucket[3] == UINT32_MAX, "a bucket stays full");
}

static void merged_is_as_added_together(void)
{
    static struct hist a, b, all;
    struct rng r;
    rng_seed(&r, 3);
    for (int i = 0; i < 5000; i++) {
        int64_t v = (int64_t)rng_below(&r, 1000000);
        hist_add(i % 3 ? &a : &b, v);
        hist_add(&all, v);
    }
    static struct hist none;
    hist_merge(&a, &none);
    hist_merge(&none, &a);
    hist_merge(&none, &b);
    EXPECT(memcmp(&none, &all, sizeof all) == 0, "same bytes");
    EXPECT(hist_mean(&all) > 490000 && hist_mean(&all) < 510000, "%g", hist_mean(&all));
}

int main(void)
{
    TEST(a_quantile_is_off_by_a_64th_at_most);
    TEST(extremes_do_not_break_it);
    TEST(merged_is_as_added_together);
    return test_end();
}
