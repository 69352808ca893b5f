// Arrivals as groups: none is lost, and they become coarser until there are few enough, or no
// coarser.

#include "base/rng.h"
#include "lib/test.h"
#include "replay/groups.h"

enum { ARRIVALS = 60000 };

// Adds arrivals of so many tenants, over an hour, of all lengths; returns how many groups they
// make.
static int32_t add(struct groups *g, int32_t tenants)
{
    struct rng rng;
    rng_seed(&rng, 7);
    groups_init(g, S(1));
    for (int32_t i = 0; i < ARRIVALS; i++) {
        struct arrival r = {.at_us = (int64_t)(rng_u64(&rng) % (uint64_t)S(3600)),
                            .prompt_tok = (int32_t)(rng_u64(&rng) >> 34),
                            .output_tok = 1 + (int32_t)(rng_u64(&rng) % 4096),
                            .model = 0,
                            .class = -1,
                            .tenant = i % tenants};
        groups_add(g, &r);
    }
    double n = 0;
    for (int32_t i = 0; i < g->n; i++)
        n += g->all[i].n;
    EXPECT(n == ARRIVALS, "%g of %d", n, ARRIVALS);
    return g->n;
}

static void they_become_coarser_until_there_are_few_enough(void)
{
    for (int32_t tenants = 1; tenants <= 1000; tenants *= 10) {
        struct groups g;
        int32_t n = add(&g, tenants);
        EXPECT(n > 0 && n <= GROUPS_MAX && !g.coarsest, "%d tenants: %d", tenants, n);
        groups_release(&g);
    }
}

// Nothing can be merged any more, and it still ends.
static void one_for_each_tenant_is_as_coarse_as_they_get(void)
{
    struct groups g;
    int32_t n = add(&g, 2 * GROUPS_MAX);
    EXPECT(n == 2 * GROUPS_MAX && g.coarsest, "%d", n);
    groups_release(&g);
}

int main(void)
{
    TEST(they_become_coarser_until_there_are_few_enough);
    TEST(one_for_each_tenant_is_as_coarse_as_they_get);
    return test_end();
}
