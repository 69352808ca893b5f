#include "base/heap.h"
#include "base/rng.h"
#include "lib/test.h"

#include <inttypes.h>

// Whatever is put in and taken out, the first is the earliest, and of equals the oldest.
static void first_is_the_least_of_those_inside(void)
{
    enum { N = 120 };
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        struct heap h;
        heap_init(&h);
        struct heap_node nodes[N] = {{0}};
        size_t inside = 0;
        for (int i = 0; i < 600; i++) {
            struct heap_node *node = &nodes[rng_below(&r, N)];
            if (node->slot) {
                heap_take(&h, node);
                inside--;
                EXPECT(node->slot == 0, "out");
            } else {
                node->due_us = (int64_t)rng_below(&r, 20);
                heap_put(&h, node);
                inside++;
            }
            struct heap_node *least = NULL;
            for (int j = 0; j < N; j++) {
                struct heap_node *x = &nodes[j];
                if (x->slot && (!least || x->due_us < least->due_us ||
                                (x->due_us == least->due_us && x->order < least->order)))
                    least = x;
            }
            EXPECT(h.n == inside && heap_first(&h) == least, "seed %" PRIu64 " step %d", seed, i);
        }
        heap_release(&h);
    }
}

static void equals_come_in_order(void)
{
    struct heap h;
    heap_init(&h);
    struct heap_node nodes[1000] = {{0}};
    for (size_t i = 0; i < COUNTOF(nodes); i++) {
        nodes[i].due_us = (int64_t)(i % 3);
        heap_put(&h, &nodes[i]);
    }
    int64_t due = -1;
    size_t last = 0, n = 0;
    for (struct heap_node *x; (x = heap_first(&h)); n++) {
        size_t i = (size_t)(x - nodes);
        EXPECT(x->due_us > due || (x->due_us == due && i > last), "%zu after %zu", i, last);
        due = x->due_us;
        last = i;
        heap_take(&h, x);
    }
    EXPECT(n == COUNTOF(nodes), "%zu", n);
    heap_take(&h, &nodes[0]);
    EXPECT(heap_first(&h) == NULL, "taking what is not in does nothing");
    heap_release(&h);
    heap_release(&h);
}

int main(void)
{
    TEST(first_is_the_least_of_those_inside);
    TEST(equals_come_in_order);
    return test_end();
}
