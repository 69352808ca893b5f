#include "gateway/prompt_blocks.h"

#include "base/arena.h"
#include "base/rng.h"
#include "lib/test.h"

enum { BYTES = 20 * PROMPT_BLOCK_BYTES };

static char text[2][BYTES];

static void start(void)
{
    struct rng r;
    rng_seed(&r, 1);
    for (int i = 0; i < BYTES; i++)
        text[0][i] = text[1][i] = (char)rng_u64(&r);
}

static int32_t blocks_of(uint64_t *out, const char *p, size_t n, uint64_t seed)
{
    return prompt_blocks(out, PROMPT_BLOCKS_MAX, &(struct str){p, n}, 1, seed);
}

static int32_t alike(const uint64_t *x, const uint64_t *y, int32_t n)
{
    int32_t i = 0;
    while (i < n && x[i] == y[i])
        i++;
    return i;
}

static void what_goes_on_begins_with_the_same_blocks(void)
{
    uint64_t whole[PROMPT_BLOCKS_MAX], part[PROMPT_BLOCKS_MAX];
    start();
    EXPECT(blocks_of(whole, text[0], BYTES, 1) == 20, "whole blocks");
    for (size_t n = 0; n < BYTES; n += 777) {
        int32_t count = blocks_of(part, text[1], n, 1);
        EXPECT(count == (int32_t)(n / PROMPT_BLOCK_BYTES), "%d of %zu bytes", count, n);
        EXPECT(alike(whole, part, count) == count, "%zu bytes", n);
    }
}

// A byte that differs changes its block and all behind it, and none before.
static void one_byte_changes_all_behind_it(void)
{
    uint64_t whole[PROMPT_BLOCKS_MAX], other[PROMPT_BLOCKS_MAX];
    start();
    blocks_of(whole, text[0], BYTES, 1);
    for (int at = 0; at < BYTES; at += 501) {
        text[1][at] ^= 1;
        blocks_of(other, text[1], BYTES, 1);
        text[1][at] ^= 1;
        int32_t same = at / PROMPT_BLOCK_BYTES;
        EXPECT(alike(whole, other, 20) == same, "byte %d", at);
        for (int32_t i = same; i < 20; i++)
            EXPECT(whole[i] != other[i], "byte %d, block %d", at, i);
    }
}

static void another_seed_has_nothing_in_common(void)
{
    uint64_t mine[PROMPT_BLOCKS_MAX], yours[PROMPT_BLOCKS_MAX];
    start();
    blocks_of(mine, text[0], BYTES, 1);
    for (uint64_t seed = 2; seed < 200; seed++) {
        blocks_of(yours, text[0], BYTES, seed);
        for (int32_t i = 0; i < 20; i++)
            for (int32_t k = 0; k < 20; k++)
                EXPECT(mine[i] != yours[k], "seed %d: %d and %d", (int)seed, i, k);
    }
}

static void parts_follow_one_another_and_do_not_run_together(void)
{
    uint64_t x[PROMPT_BLOCKS_MAX], y[PROMPT_BLOCKS_MAX];
    start();
    struct str tools = {text[0], 5000}, system = {text[0] + 5000, 3000}, none = {NULL, 0};
    struct str a[] = {tools, system, {text[0] + 8000, 9000}},
               b[] = {tools, system, {text[1] + 8000, 12000}};
    int32_t n = prompt_blocks(x, PROMPT_BLOCKS_MAX, a, 3, 1),
            m = prompt_blocks(y, PROMPT_BLOCKS_MAX, b, 3, 1);
    EXPECT(n == 8 && m == 9 && alike(x, y, n) == n, "%d and %d", n, m);
    struct str moved[] = {none, {text[0], 8000}, a[2]};
    prompt_blocks(y, PROMPT_BLOCKS_MAX, moved, 3, 1);
    EXPECT(alike(x, y, n) == 0, "the same bytes in other parts");
}

static void the_first_so_many_are_enough(void)
{
    uint64_t some[4], whole[PROMPT_BLOCKS_MAX];
    start();
    struct str all = {text[0], BYTES};
    EXPECT(prompt_blocks(some, 4, &all, 1, 1) == 4, "four");
    blocks_of(whole, text[0], BYTES, 1);
    EXPECT(alike(whole, some, 4) == 4, "the first");
}

int main(void)
{
    TEST(what_goes_on_begins_with_the_same_blocks);
    TEST(one_byte_changes_all_behind_it);
    TEST(another_seed_has_nothing_in_common);
    TEST(parts_follow_one_another_and_do_not_run_together);
    TEST(the_first_so_many_are_enough);
    return test_end();
}
