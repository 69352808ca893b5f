// Prices of two suppliers at the same speed of a user: equal.h.

#include "bench/equal.h"
#include "lib/test.h"

#include <math.h>

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

static struct row row_of(int32_t users, double tok_s, double throughput_tok_s)
{
    return (struct row){.users = users,
                        .n = 1,
                        .counted = true,
                        .prompt_asked = 300,
                        .output_asked = 100,
                        .prompt_tok = 300,
                        .output_tok = 100,
                        .per_token_us = {1e6 / tok_s, 0, 0},
                        .throughput_tok_s = {throughput_tok_s, 0, 0}};
}

static void a_price_is_list_and_time(void)
{
    struct tariff list = {.listed = true, .input_nusd_per_tok = 1000, .output_nusd_per_tok = 3000};
    struct tariff rent = {.usd_per_h = 36};
    // 300 + 100 tokens at 1 and 3 USD/Mtok are 600 uUSD; at 50 tok/s the supplier is held for 2 s,
    // 20 mUSD.
    EXPECT(near(tariff_usd_per_mtok(&list, 300, 100, 50), 1.5), "list");
    EXPECT(near(tariff_usd_per_mtok(&rent, 300, 100, 50), 50), "rent");
    list.usd_per_h = 36;
    EXPECT(near(tariff_usd_per_mtok(&list, 300, 100, 50), 51.5), "both add up");
    EXPECT(tariff_usd_per_mtok(&(struct tariff){0}, 300, 100, 50) == 0, "nothing is said");
    EXPECT(tariff_usd_per_mtok(&rent, 300, 0, 50) == 0, "no answers");
    EXPECT(tariff_usd_per_mtok(&rent, 300, 100, 0) == 0, "no throughput");
}

// The first is fast alone and slow when full, the second lies within its range.
static void between_levels_throughput_is_linear_in_speed(void)
{
    const struct row first[] = {row_of(1, 100, 100), row_of(4, 60, 200), row_of(8, 20, 240)};
    const struct row second[] = {row_of(1, 80, 80), row_of(2, 40, 160)};
    const struct equal_side sides[] = {{first, 3, {.usd_per_h = 1}}, {second, 2, {.usd_per_h = 1}}};
    struct equal q;
    EXPECT(equal_of(&q, sides, &first[0]), "both have levels");
    EXPECT(q.n == EQUAL_SPEEDS && near(q.at[0].tok_s, 40) && near(q.at[EQUAL_SPEEDS - 1].tok_s, 80),
           "%d, %g to %g", q.n, q.at[0].tok_s, q.at[EQUAL_SPEEDS - 1].tok_s);
    EXPECT(near(q.at[0].throughput_tok_s[0], 220) && near(q.at[0].throughput_tok_s[1], 160),
           "at 40");
    EXPECT(near(q.at[4].throughput_tok_s[0], 150) && near(q.at[4].throughput_tok_s[1], 80),
           "at 80");
    EXPECT(near(q.at[0].usd_per_mtok[1] / q.at[0].usd_per_mtok[0], 220.0 / 160), "dearer by that");
    for (int32_t i = 1; i < q.n; i++)
        EXPECT(q.at[i].tok_s > q.at[i - 1].tok_s, "rising");
}

static void nothing_is_said_beyond_what_was_measured(void)
{
    const struct row slow[] = {row_of(1, 30, 30), row_of(2, 20, 40)};
    const struct row fast[] = {row_of(1, 100, 100), row_of(2, 80, 160)};
    struct row left_out[] = {row_of(1, 30, 30), row_of(2, 25, 50), row_of(4, 25, 100)};
    const struct equal_side apart[] = {{slow, 2, {.usd_per_h = 1}}, {fast, 2, {.usd_per_h = 1}}};
    const struct equal_side none[] = {{slow, 2, {.usd_per_h = 1}}, {left_out, 3, {.usd_per_h = 1}}};
    struct equal q;
    EXPECT(equal_of(&q, apart, &slow[0]) && q.n == 0, "%d speeds", q.n);
    EXPECT(near(q.to_tok_s[0], 30) && near(q.from_tok_s[1], 80), "what each was measured at");
    left_out[0].saturated = left_out[1].partial = left_out[2].warm = true;
    EXPECT(!equal_of(&q, none, &slow[0]), "saturated, cut off, of another prefix");
    left_out[1].partial = false;
    EXPECT(equal_of(&q, none, &slow[0]) && q.n == 1 && near(q.at[0].tok_s, 25),
           "one level is one speed");
}

int main(void)
{
    TEST(a_price_is_list_and_time);
    TEST(between_levels_throughput_is_linear_in_speed);
    TEST(nothing_is_said_beyond_what_was_measured);
    return test_end();
}
