#include "base/rng.h"
#include "io/packed.h"
#include "lib/test.h"

#include <inttypes.h>
#include <stdlib.h>

enum { ROWS = 60 };

// Most fields as in the row before, as rows are.
static struct packed_row random_row(struct rng *rng, const struct packed_row *before)
{
    struct packed_row row = *before;
    for (int i = 0; i < PACKED_FIELDS_MAX; i++)
        if (rng_u64(rng) % 3 == 0)
            row.v[i] = (int64_t)(rng_u64(rng) >> (rng_u64(rng) % 64));
    memset(row.request, 0, sizeof row.request);
    uint64_t kind = rng_u64(rng) % 3;
    if (kind == 0)
        snprintf(row.request, sizeof row.request, "req_%08x%016" PRIx64, (unsigned)rng_u64(rng),
                 rng_u64(rng));
    else
        memset(row.request, 'A', (size_t)(rng_u64(rng) % (sizeof row.request + 1)));
    if (kind == 2)
        memcpy(row.request, "req_", 4);
    return row;
}

static bool same(const struct packed_row *a, const struct packed_row *b, int n)
{
    return memcmp(a->v, b->v, (size_t)n * sizeof *a->v) == 0 &&
           memcmp(a->request, b->request, sizeof a->request) == 0;
}

static void rows_come_back_as_they_were(void)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        enum packed_kind kind = seed % 2 ? PACKED_ATTEMPTS : PACKED_REQUESTS;
        static unsigned char bytes[ROWS * PACKED_ROW_BYTES_MAX];
        struct packed_row rows[ROWS], zeros = {0}, got = {0};
        size_t used = 0;
        int n;
        packed_fields(kind, &n);
        for (int i = 0; i < ROWS; i++) {
            rows[i] = random_row(&rng, i ? &rows[i - 1] : &zeros);
            bool alone = i == 0 || rng_u64(&rng) % 8 == 0;
            size_t took = packed_put(bytes + used, kind, &rows[i], alone ? NULL : &rows[i - 1]);
            EXPECT(took <= PACKED_ROW_BYTES_MAX, "seed %" PRIu64 ": %zu bytes", seed, took);
            used += took;
        }
        struct str left = {(const char *)bytes, used};
        for (int i = 0; i < ROWS; i++)
            EXPECT(packed_next(&got, kind, &left) && same(&got, &rows[i], n),
                   "seed %" PRIu64 ", row %d", seed, i);
        EXPECT(left.n == 0, "seed %" PRIu64 ": %zu bytes left", seed, left.n);
    }
}

// Cut or changed bytes give rows or none; the sanitizers watch that nothing else is read.
static void any_bytes_are_survived(void)
{
    int refused = 0;
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        unsigned char bytes[2 * PACKED_ROW_BYTES_MAX];
        struct packed_row row = random_row(&rng, &(struct packed_row){0}), got = {0};
        size_t n = packed_put(bytes, PACKED_ATTEMPTS, &row, NULL);
        size_t keep = (size_t)(rng_u64(&rng) % n) + 1;
        char *copy = malloc(keep);
        memcpy(copy, bytes, keep);
        copy[rng_u64(&rng) % keep] ^= (char)rng_u64(&rng);
        struct str left = {copy, keep};
        while (left.n && packed_next(&got, PACKED_ATTEMPTS, &left))
            ;
        refused += left.n != 0;
        free(copy);
    }
    EXPECT(refused > 100, "%d refused", refused);
}

int main(void)
{
    TEST(rows_come_back_as_they_were);
    TEST(any_bytes_are_survived);
    return test_end();
}
