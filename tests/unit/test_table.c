#include "base/table.h"
#include "lib/test.h"

#include <inttypes.h>

static struct str name_of(char text[32], int32_t i)
{
    return (struct str){text, (size_t)snprintf(text, 32, "model-%" PRId32, i)};
}

static void what_was_added_is_found(void)
{
    struct arena a;
    arena_init(&a, 1 << 22);
    struct table *t;
    char text[32];
    int32_t v;
    NEED(table_new(&t, &a, 5000, 42) == ERR_NONE);
    for (int32_t i = 0; i < 5000; i++) {
        EXPECT(!table_get(t, name_of(text, i), &v), "%d before", i);
        EXPECT(table_add(t, name_of(text, i), i * 3) == ERR_NONE, "%d", i);
        EXPECT(table_add(t, name_of(text, i), 7) == ERR_EXISTS, "%d twice", i);
    }
    EXPECT(table_add(t, STR("one more"), 1) == ERR_LIMIT, "full");
    EXPECT(table_add(t, STR("model-0"), 1) == ERR_EXISTS, "full, but there");
    EXPECT(table_len(t) == 5000, "%d", table_len(t));
    for (int32_t i = 0; i < 5000; i++) {
        v = -1;
        EXPECT(table_get(t, name_of(text, i), &v) && v == i * 3, "%d is %d", i, v);
        EXPECT(str_eq(table_name(t, i), name_of(text, i)), "order of insertion");
    }
    EXPECT(!table_get(t, STR("model-5000"), &v) && !table_get(t, STR(""), &v), "never added");
    arena_release(&a);
}

static void an_empty_name_is_a_name(void)
{
    struct arena a;
    arena_init(&a, 1 << 16);
    struct table *t;
    int32_t v = 0;
    NEED(table_new(&t, &a, 2, 0) == ERR_NONE);
    EXPECT(table_add(t, (struct str){NULL, 0}, 5) == ERR_NONE, "added");
    EXPECT(table_get(t, STR(""), &v) && v == 5, "%d", v);
    struct table *none;
    NEED(table_new(&none, &a, 0, 0) == ERR_NONE);
    EXPECT(table_add(none, STR("x"), 1) == ERR_LIMIT && !table_get(none, STR("x"), &v), "max 0");
    arena_release(&a);
}

static void a_full_arena_is_an_error_and_nothing_else(void)
{
    bool done = false;
    for (size_t limit = 0; !done && limit < 1 << 16; limit += 64) {
        struct arena a;
        arena_init(&a, limit);
        struct table *t = NULL;
        enum err e = table_new(&t, &a, 20, 1);
        EXPECT((e == ERR_NONE) == (t != NULL), "*out is written on success only");
        char text[32];
        int32_t added = 0;
        while (!e && added < 20 && !(e = table_add(t, name_of(text, added), added)))
            added++;
        EXPECT(e == ERR_NONE || e == ERR_LIMIT, "%d", (int)e);
        if (t)
            EXPECT(table_len(t) == added, "%d of %d", table_len(t), added);
        done = added == 20;
        arena_release(&a);
    }
    EXPECT(done, "it succeeds at last");
}

static void nearest_names_a_slip_and_no_stranger(void)
{
    struct arena a;
    arena_init(&a, 1 << 16);
    struct table *t;
    NEED(table_new(&t, &a, 8, 1) == ERR_NONE);
    NEED(!table_add(t, STR("suppliers"), 0) && !table_add(t, STR("sites"), 1));
    NEED(!table_add(t, STR("site"), 2) && !table_add(t, STR("url"), 3));
    struct str s;
    EXPECT(table_nearest(t, STR("suplier"), &s) && str_eq(s, STR("suppliers")), "two edits");
    EXPECT(table_nearest(t, STR("stie"), &s) && str_eq(s, STR("site")), "a swap");
    EXPECT(table_nearest(t, STR("ulr"), &s) && str_eq(s, STR("url")), "a short one, one edit");
    EXPECT(!table_nearest(t, STR("ab"), &s), "two letters are near to nothing");
    EXPECT(!table_nearest(t, STR("contracts"), &s), "a stranger");
    EXPECT(!table_nearest(t, STR(""), &s), "empty");
    arena_release(&a);
}

int main(void)
{
    TEST(what_was_added_is_found);
    TEST(an_empty_name_is_a_name);
    TEST(a_full_arena_is_an_error_and_nothing_else);
    TEST(nearest_names_a_slip_and_no_stranger);
    return test_end();
}
