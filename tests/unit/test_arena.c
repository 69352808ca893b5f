#include "base/arena.h"
#include "lib/test.h"

#include <stdlib.h>

#include <stdalign.h>

static void memory_is_zeroed_and_aligned(void)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t n = 1; n < 300; n++) {
        unsigned char *p = arena_take(&a, n);
        NEED(p);
        EXPECT((uintptr_t)p % alignof(max_align_t) == 0, "%zu", n);
        for (size_t i = 0; i < n; i++)
            EXPECT(p[i] == 0, "byte %zu of %zu", i, n);
        memset(p, 0xee, n);
    }
    arena_release(&a);
}

static void nothing_passes_the_limit(void)
{
    for (size_t limit = 0; limit < 3000; limit += 7) {
        struct arena a;
        arena_init(&a, limit);
        size_t got = 0, size = limit % 97 + 1;
        while (arena_take(&a, size))
            got += size;
        EXPECT(got <= limit && a.used <= limit, "%zu of %zu", got, limit);
        EXPECT(limit < 200 || got > limit / 20, "%zu of %zu by %zu", got, limit, size);
        arena_reset(&a);
        EXPECT(a.used == 0 && a.limit == limit, "reset keeps the limit");
        EXPECT(limit < 200 || arena_take(&a, size), "usable after a reset");
        arena_release(&a);
        EXPECT(!arena_take(&a, 1), "released is full");
        arena_release(&a);
    }
}

static void sizes_that_overflow_are_refused(void)
{
    struct arena a;
    arena_init(&a, SIZE_MAX);
    EXPECT(!arena_take(&a, SIZE_MAX), "all");
    EXPECT(!arena_take(&a, SIZE_MAX - 64), "nearly all");
    EXPECT(!arena_new(&a, uint64_t, SIZE_MAX / 4), "product");
    EXPECT(!arena_new(&a, uint64_t, -1), "a negative count");
    EXPECT(!arena_str(&a, (struct str){"", SIZE_MAX}).p, "text");
    EXPECT(a.used == 0, "%zu", a.used);
    EXPECT(arena_new(&a, uint64_t, 0), "nothing is something");
    arena_release(&a);
}

static void large_pieces_and_small_ones_mix(void)
{
    struct arena a;
    arena_init(&a, 10 << 20);
    char *small = arena_take(&a, 8);
    char *large = arena_take(&a, 3 << 20);
    char *after = arena_take(&a, 8);
    NEED(small && large && after);
    memset(small, 1, 8);
    memset(large, 2, 3 << 20);
    memset(after, 3, 8);
    EXPECT(small[7] == 1 && large[0] == 2 && large[(3 << 20) - 1] == 2, "no overlap");
    arena_release(&a);
}

static void text_is_copied_and_terminated(void)
{
    struct arena a;
    arena_init(&a, 1000);
    char text[] = "abc";
    struct str s = arena_str(&a, (struct str){text, 3});
    text[0] = 'x';
    EXPECT(str_eq(s, STR("abc")) && s.p[3] == 0, "copied");
    struct str empty = arena_str(&a, (struct str){NULL, 0});
    EXPECT(empty.p && empty.n == 0 && empty.p[0] == 0, "empty text is text");
    struct str f = arena_printf(&a, "%s-%d", "pool", 12);
    EXPECT(str_eq(f, STR("pool-12")) && f.p[7] == 0, "printed");
    EXPECT(!arena_printf(&a, "%2000d", 1).p, "past the limit");
    arena_release(&a);
}

static void what_grows_keeps_what_it_holds(void)
{
    size_t room = 0;
    int32_t *p = NULL;
    for (size_t n = 0; n < 1000; n++) {
        p = take_more(p, &room, n + 1, sizeof *p);
        p[n] = (int32_t)n;
    }
    EXPECT(room == 1024 && p[0] == 0 && p[999] == 999, "%zu", room);
    int32_t *same = take_more(p, &room, 1024, sizeof *p);
    EXPECT(same == p && room == 1024, "enough already");
    free(p);
}

int main(void)
{
    TEST(memory_is_zeroed_and_aligned);
    TEST(nothing_passes_the_limit);
    TEST(sizes_that_overflow_are_refused);
    TEST(large_pieces_and_small_ones_mix);
    TEST(text_is_copied_and_terminated);
    TEST(what_grows_keeps_what_it_holds);
    return test_end();
}
