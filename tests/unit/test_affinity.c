#include "base/rng.h"
#include "lib/test.h"
#include "route/affinity.h"

#include <inttypes.h>

enum { PAIRS = 9, PROMPTS = 200, BLOCKS = 120 };

struct fixture {
    struct arena arena;
    struct affinity *f;
    double age[PAIRS];  // now
    uint64_t blocks[PROMPTS][BLOCKS];
    int32_t n[PROMPTS];
    // What was put, by the book: of a prompt, how many blocks each pair was sent, at which age.
    double sent[PROMPTS][PAIRS];
    int32_t sent_n[PROMPTS][PAIRS];
};

static double age_now(const void *ctx, int32_t pair)
{
    return ((const struct fixture *)ctx)->age[pair];
}

static void start(struct fixture *x, uint32_t sets)
{
    memset(x, 0, sizeof *x);
    arena_init(&x->arena, (size_t)64 << 20);
    NEED(!affinity_new(&x->f, &x->arena, sets));
}

// Prompts that begin as one before them does, up to some block, as conversations and system prompts
// do.
static void random_prompts(struct fixture *x, struct rng *r)
{
    for (int32_t i = 0; i < PROMPTS; i++) {
        int32_t from = i ? (int32_t)rng_below(r, (uint64_t)i) : 0;
        int32_t same = i ? (int32_t)rng_below(r, (uint64_t)x->n[from] + 1) : 0;
        x->n[i] = 1 + (int32_t)rng_below(r, BLOCKS);
        if (same > x->n[i])
            same = x->n[i];
        memcpy(x->blocks[i], x->blocks[from], (size_t)same * sizeof x->blocks[i][0]);
        for (int32_t k = same; k < x->n[i]; k++)
            x->blocks[i][k] = rng_u64(r);
    }
}

static struct affinity_prompt prompt(const struct fixture *x, int32_t i)
{
    return (struct affinity_prompt){x->blocks[i], x->n[i], 7};
}

// Of prompt `i` so many blocks are known to `pair`: the longest that it has in common with one that
// was sent, less than a lifetime ago.
static int32_t by_the_book(const struct fixture *x, int32_t i, int32_t pair)
{
    int32_t most = 0;
    for (int32_t k = 0; k < PROMPTS; k++) {
        if (!x->sent_n[k][pair] || x->age[pair] - x->sent[k][pair] >= 1)
            continue;
        int32_t same = 0;
        while (same < x->n[i] && same < x->sent_n[k][pair] &&
               x->blocks[i][same] == x->blocks[k][same])
            same++;
        most = same > most ? same : most;
    }
    return most;
}

static void the_longest_beginning_is_found_as_if_all_were_looked_at(void)
{
    static struct fixture x;
    int64_t warm = 0, looked = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        start(&x, 4096);
        random_prompts(&x, &r);
        for (int32_t step = 0; step < 150; step++) {
            int32_t i = (int32_t)rng_below(&r, PROMPTS), pair = (int32_t)rng_below(&r, PAIRS);
            for (int32_t k = 0; k < PAIRS; k++)  // in steps that a double and a stamp both hold
                x.age[k] += (double)rng_below(&r, 64) / 1024;
            struct affinity_prompt p = prompt(&x, i);
            struct affinity_found found[AFFINITY_FOUND];
            int32_t n = affinity_find(x.f, &p, age_now, &x, found), all = 0;
            for (int32_t k = 0; k < PAIRS; k++) {
                int32_t expected = by_the_book(&x, i, k), got = 0;
                for (int32_t j = 0; j < n; j++)
                    got = found[j].pair == k ? found[j].blocks : got;
                EXPECT(got == expected, "seed %" PRIu64 " step %d: pair %d knows %d of %d, not %d",
                       seed, step, k, expected, x.n[i], got);
                all += expected > 0;
            }
            EXPECT(n == all, "seed %" PRIu64 ": %d pairs, not %d", seed, all, n);
            warm += all, looked++;
            affinity_put(x.f, &p, pair, x.age[pair]);
            x.sent[i][pair] = x.age[pair];
            x.sent_n[i][pair] = x.n[i];
        }
        arena_release(&x.arena);
    }
    EXPECT(warm > looked, "%" PRId64 " found in %" PRId64 " looks", warm, looked);
}

static int32_t known(const struct fixture *x, const struct affinity_prompt *p, int32_t pair)
{
    struct affinity_found found[AFFINITY_FOUND];
    int32_t n = affinity_find(x->f, p, age_now, x, found);
    for (int32_t i = 0; i < n; i++) {
        if (found[i].pair == pair)
            return found[i].blocks;
    }
    return 0;
}

static void another_salt_finds_nothing(void)
{
    static struct fixture x;
    struct rng r;
    rng_seed(&r, 3);
    start(&x, 1024);
    random_prompts(&x, &r);
    for (int32_t i = 0; i < PROMPTS; i++) {
        struct affinity_prompt mine = prompt(&x, i), yours = mine;
        yours.salt = 8;
        affinity_put(x.f, &mine, i % PAIRS, 0);
        EXPECT(known(&x, &mine, i % PAIRS) == x.n[i], "%d", i);
        for (int32_t k = 0; k < PAIRS; k++)
            EXPECT(known(&x, &yours, k) == 0, "prompt %d at %d", i, k);
    }
    arena_release(&x.arena);
}

static void what_came_to_nothing_is_taken_back(void)
{
    static struct fixture x;
    struct rng r;
    rng_seed(&r, 4);
    start(&x, 1024);
    random_prompts(&x, &r);
    x.n[0] = 40;
    struct affinity_prompt p = prompt(&x, 0), part = p;
    part.n = 10;
    affinity_put(x.f, &part, 1, 0);
    affinity_put(x.f, &p, 1, 0);
    affinity_put(x.f, &p, 2, 0);
    affinity_drop(x.f, &p, 1, 10);
    EXPECT(known(&x, &p, 1) == 10, "what it had before stays: %d", known(&x, &p, 1));
    EXPECT(known(&x, &p, 2) == 40, "and what another has: %d", known(&x, &p, 2));
    affinity_drop(x.f, &p, 1, 0);
    affinity_drop(x.f, &p, 1, 0);
    EXPECT(known(&x, &p, 1) == 0 && known(&x, &p, 2) == 40, "again");
    arena_release(&x.arena);
}

// Two sets and far more blocks, lines full of pairs: nothing is found that was not put, what was
// put last is found, and no memory is taken.
static void a_table_that_is_too_small_forgets_and_never_invents(void)
{
    static struct fixture x;
    struct rng r;
    int64_t found_some = 0, kept = 0;
    rng_seed(&r, 5);
    start(&x, 2);
    random_prompts(&x, &r);
    size_t used = x.arena.used;
    for (int32_t step = 0; step < 4000; step++) {
        int32_t i = (int32_t)rng_below(&r, PROMPTS), pair = (int32_t)rng_below(&r, PAIRS);
        struct affinity_prompt p = prompt(&x, i);
        for (int32_t k = 0; k < PAIRS; k++) {
            int32_t expected = by_the_book(&x, i, k), got = known(&x, &p, k);
            EXPECT(got <= expected, "step %d: %d of %d", step, got, expected);
            found_some += got > 0;
        }
        if (p.n > 5)
            p.n = 5;
        affinity_put(x.f, &p, pair, 0);
        kept += known(&x, &p, pair) == p.n;
        x.sent_n[i][pair] = p.n > x.sent_n[i][pair] ? p.n : x.sent_n[i][pair];
    }
    EXPECT(found_some > 0 && kept > 3900, "%" PRId64 ", %" PRId64 " of 4000", found_some, kept);
    EXPECT(x.arena.used == used, "%zu and %zu bytes", used, x.arena.used);
    arena_release(&x.arena);
}

static double always(const void *ctx, int32_t pair)
{
    (void)pair;
    return *(const double *)ctx;
}

static void a_line_keeps_the_last_that_got_it(void)
{
    static struct fixture x;
    start(&x, 1);
    uint64_t block = 1;
    struct affinity_prompt p = {&block, 1, 0};
    struct affinity_found found[AFFINITY_FOUND];
    double age = 1e-3;
    for (int32_t i = 0; i < 100; i++)
        affinity_put(x.f, &p, i, age);
    affinity_put(x.f, &p, 95, age);
    affinity_put(x.f, &p, 100, age);
    affinity_put(x.f, &p, 70000, age);  // a number too large
    int32_t n = affinity_find(x.f, &p, always, &age, found);
    EXPECT(n == AFFINITY_PAIRS, "%d", n);
    for (int32_t i = 0; i < n; i++)
        EXPECT(found[i].pair > 90 && found[i].pair <= 100, "%d", found[i].pair);
    age += 0.999;
    EXPECT(affinity_find(x.f, &p, always, &age, found) == AFFINITY_PAIRS, "not a lifetime yet");
    age += 0.002;
    EXPECT(affinity_find(x.f, &p, always, &age, found) == 0, "a lifetime later");
    arena_release(&x.arena);
}

static void too_little_memory_is_an_error(void)
{
    for (size_t limit = 0;; limit += 512) {
        struct arena a;
        struct affinity *f = NULL;
        arena_init(&a, limit);
        enum err e = affinity_new(&f, &a, 4);
        arena_release(&a);
        EXPECT(e == ERR_NONE || (e == ERR_LIMIT && !f), "%zu: %s", limit, err_name(e));
        if (!e)
            return;
    }
}

int main(void)
{
    TEST(the_longest_beginning_is_found_as_if_all_were_looked_at);
    TEST(another_salt_finds_nothing);
    TEST(what_came_to_nothing_is_taken_back);
    TEST(a_table_that_is_too_small_forgets_and_never_invents);
    TEST(a_line_keeps_the_last_that_got_it);
    TEST(too_little_memory_is_an_error);
    return test_end();
}
