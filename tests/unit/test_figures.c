// What is computed from measured requests: figures.h, prompt.h, row.h, points.h.

#include "bench/points.h"
#include "lib/test.h"

#include <math.h>

static void quantiles_lie_between_neighbours(void)
{
    double v[] = {4, 1, 3, 2};
    EXPECT(quantile_of(v, 4, 0.5) == 2.5, "%g", quantile_of(v, 4, 0.5));
    EXPECT(quantile_of(v, 4, 1) == 4, "the last");
    EXPECT(quantile_of(v, 4, 0) == 1, "the first");
    EXPECT(quantile_of(v, 0, 0.5) == 0, "of nothing");
}

// Of 400 samples of 60 values, about 95 % of the intervals hold the true median.
static void intervals_hold_the_median(void)
{
    struct rng rng;
    int32_t held = 0;
    rng_seed(&rng, 3);
    for (int32_t i = 0; i < 400; i++) {
        double v[60];
        for (int32_t k = 0; k < 60; k++)
            v[k] = 10 + rng_normal(&rng);
        struct figure f = median_of(v, 60, &rng);
        EXPECT(f.low <= f.value && f.value <= f.high, "%g in [%g, %g]", f.value, f.low, f.high);
        held += f.low <= 10 && 10 <= f.high;
    }
    EXPECT(held >= 365 && held <= 396, "%d of 400", held);
}

static void ratios_are_of_medians(void)
{
    struct rng rng;
    double a[] = {2, 2, 2}, b[] = {4, 4, 4};
    rng_seed(&rng, 1);
    struct figure f = ratio_of(a, 3, b, 3, &rng);
    EXPECT(f.value == 0.5 && f.low == 0.5 && f.high == 0.5, "%g [%g, %g]", f.value, f.low, f.high);
}

// An answer of 11 tokens, one each ms, whose first comes at `first_us`.
static struct sample answer(int64_t first_us)
{
    return (struct sample){.first_us = first_us,
                           .last_us = first_us + MS(10),
                           .end_us = first_us + MS(10),
                           .output_tok = 11};
}

static void the_batch_is_who_is_written_at_once(void)
{
    double seen[3];
    // The second begins half way through the first, one step before its first token; the third is
    // alone.
    struct sample all[] = {answer(S(1)), answer(S(1) + MS(6)), answer(S(2))};
    batch_seen(seen, all, 3, all, 3);
    EXPECT(fabs(seen[0] - 1.5) < 1e-9, "%g", seen[0]);
    EXPECT(fabs(seen[1] - 1.4) < 1e-9, "%g", seen[1]);
    EXPECT(fabs(seen[2] - 1) < 1e-9, "%g", seen[2]);
}

static void a_scale_is_a_line_through_two_counts(void)
{
    struct prompt_scale s;
    prompt_scale_fit(&s, 400, 110, 4000, 1010);  // 4 bytes a token, a template of 10
    EXPECT(s.known && fabs(s.bytes_per_tok - 4) < 1e-9, "%g", s.bytes_per_tok);
    EXPECT(fabs(s.fixed_tok - 10) < 1e-9, "%g", s.fixed_tok);
    EXPECT(prompt_bytes(&s, 510) == 2000, "%zu", prompt_bytes(&s, 510));
    prompt_scale_fit(&s, 400, 0, 4000, 0);
    EXPECT(!s.known && s.bytes_per_tok == 4, "a guess where nothing is counted");
}

static void cold_prompts_differ_at_once_and_warm_ones_at_the_end(void)
{
    for (int32_t warm = 0; warm < 2; warm++) {
        struct buf a, b;
        buf_init(&a, 10000);
        buf_init(&b, 10000);
        prompt_write(&a, 500, 7, 1, warm);
        prompt_write(&b, 500, 7, 2, warm);
        EXPECT(buf_len(&a) == 500 && buf_len(&b) == 500, "%zu %zu", buf_len(&a), buf_len(&b));
        size_t same = 0;
        while (same < 500 && buf_str(&a).p[same] == buf_str(&b).p[same])
            same++;
        EXPECT(warm ? same >= 480 && same < 500 : same < 8, "warm %d: %zu bytes", warm, same);
        buf_release(&a);
        buf_release(&b);
    }
}

static struct row closed(int32_t users, double tok_s)
{
    return (struct row){.users = users, .n = 10, .throughput_tok_s = {tok_s, tok_s, tok_s}};
}

static void saturation_is_when_users_add_no_tokens(void)
{
    struct row one = closed(1, 100), two = closed(2, 150), four = closed(4, 155),
               many = closed(4, 400);
    EXPECT(!row_is_saturated(&one, NULL, 1, 1), "there is nothing to compare with");
    EXPECT(!row_is_saturated(&two, &one, 1, 1), "half more");
    EXPECT(row_is_saturated(&four, &two, 1, 1), "3 percent more of twice the users");
    many.errors = 1;
    EXPECT(row_is_saturated(&many, &two, 1, 1), "one in eleven fails");
    struct row open = {.rate_per_s = 5, .n = 10};
    EXPECT(!row_is_saturated(&open, NULL, 10, 10.5), "it keeps up");
    EXPECT(row_is_saturated(&open, NULL, 10, 12), "it falls behind");
}

// Rows that a chip with W 20 ms, H 2 ms, P0 100 ms and P1 0.2 ms would give, and what is made of
// them.
static void points_give_the_parameters_back(void)
{
    struct row rows[5];
    struct point *points;
    struct service s;
    struct arena a;
    int32_t n;
    arena_init(&a, 1 << 20);
    for (int32_t i = 0; i < 5; i++) {
        double batch = i < 2 ? 1 : 1 << i, prompt = i ? 1000 : 100;
        rows[i] = (struct row){.users = (int32_t)batch,
                               .n = 4,
                               .counted = true,
                               .prompt_tok = prompt,
                               .batch = batch,
                               .per_token_us = {20000 + 2000 * batch, 0, 0},
                               .ttft_us = {100000 + 200 * prompt + 22000, 0, 0}};
    }
    rows[4].saturated = true;
    rows[4].per_token_us.value = 1;
    EXPECT(points_of_rows(&points, &n, &a, rows, 5) == ERR_NONE, "room");
    EXPECT(n == 4, "%d: the saturated row is left out", n);
    points_service(&s, points, n);
    EXPECT(fabs(s.step_us / 20000 - 1) < 1e-3, "W %g", s.step_us);
    EXPECT(fabs(s.step_us_per_seq / 2000 - 1) < 1e-3, "H %g", s.step_us_per_seq);
    EXPECT(fabs(s.prefill_us / 100000 - 1) < 1e-3, "P0 %g", s.prefill_us);
    EXPECT(fabs(s.prefill_us_per_tok / 200 - 1) < 1e-3, "P1 %g", s.prefill_us_per_tok);
    arena_release(&a);  // empty and full
    EXPECT(points_of_rows(&points, &n, &a, rows, 5) == ERR_LIMIT, "no room");
}

int main(void)
{
    TEST(quantiles_lie_between_neighbours);
    TEST(intervals_hold_the_median);
    TEST(ratios_are_of_medians);
    TEST(the_batch_is_who_is_written_at_once);
    TEST(a_scale_is_a_line_through_two_counts);
    TEST(cold_prompts_differ_at_once_and_warm_ones_at_the_end);
    TEST(saturation_is_when_users_add_no_tokens);
    TEST(points_give_the_parameters_back);
    return test_end();
}
