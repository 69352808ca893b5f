// Rows of what is due, against looking through all of it.

#include "base/rng.h"
#include "lib/test.h"
#include "replay/watch.h"

#include <string.h>

enum { ROWS = 3, ENTRIES = 64, MORE = 256, TURNS = 20000 };

struct seen {
    int32_t row;  // -1: in none
    int64_t due_us, turn;
};

// The entry that `row` should hand out next; -1: none.
static int32_t first_of(const struct seen *all, int32_t row)
{
    int32_t first = -1;
    for (int32_t i = 0; i < MORE; i++)
        if (all[i].row == row && (first < 0 || all[i].turn < all[first].turn))
            first = i;
    return first;
}

static void entries_come_in_the_order_in_which_they_were_added(void)
{
    static const int64_t length_us[ROWS] = {10, 1000, 0};
    struct seen all[MORE];
    struct watch w = {0};
    struct rng r;
    rng_seed(&r, 11);
    for (int32_t i = 0; i < MORE; i++)
        all[i] = (struct seen){.row = -1};
    watch_room(&w, ROWS, 0, ENTRIES);
    int32_t n = ENTRIES;
    for (int64_t turn = 0; turn < TURNS; turn++) {
        if (turn == TURNS / 2) {  // those under way stay where they are
            watch_room(&w, ROWS, ENTRIES, MORE);
            n = MORE;
        }
        int32_t i = (int32_t)rng_below(&r, (uint64_t)n), row = (int32_t)rng_below(&r, ROWS);
        watch_drop(&w, i);
        all[i].row = -1;
        if (rng_below(&r, 3)) {
            all[i] = (struct seen){row, turn + length_us[row], turn};
            watch_add(&w, row, i, all[i].due_us);
        }
        for (row = 0; row < ROWS; row++) {
            int64_t due_us;
            int32_t first = first_of(all, row), got = watch_first(&w, row, &due_us);
            EXPECT(got == first, "turn %d, row %d: %d, not %d", (int)turn, row, got, first);
            EXPECT(due_us == (first < 0 ? NEVER : all[first].due_us), "turn %d", (int)turn);
        }
    }
    watch_release(&w);
}

int main(void)
{
    TEST(entries_come_in_the_order_in_which_they_were_added);
    return test_end();
}
