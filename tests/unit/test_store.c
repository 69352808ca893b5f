#include "io/fold.h"
#include "io/store_sums.h"
#include "lib/test.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/test_store.XXXXXX";
static const int64_t day_us = S(86400), noon_us = S(86400) * 20000 + S(43200);

static struct store *open_store(void)
{
    struct store *s;
    struct diag diag = {0};
    if (store_open(&s, str_of(folder), STORE_WRITE, &diag)) {
        printf("%s\n", diag.text);
        NEED(false);
    }
    return s;
}

static void remove_all(void)
{
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

static enum err fold(struct store *s, const struct record *r, int32_t n, int64_t offset)
{
    enum err e = store_fold(s, "seg", offset, r, n, NULL);
    return e ? e : store_commit(s, NULL);
}

static struct record reserve(uint64_t sequence, int64_t at_us)
{
    return (struct record){.kind = RECORD_RESERVE,
                           .epoch = 1,
                           .loop = 0,
                           .sequence = sequence,
                           .at_us = at_us,
                           .reserve = {.request = "req",
                                       .tenant = record_id(RECORD_TENANT, STR("app")),
                                       .pool = record_id(RECORD_POOL, STR("p")),
                                       .bound_nusd = 1000,
                                       .ordinal = 1}};
}

static struct record settle(uint64_t sequence, uint64_t attempt, int64_t nusd)
{
    return (struct record){.kind = RECORD_SETTLE,
                           .epoch = 1,
                           .sequence = sequence,
                           .at_us = noon_us,
                           .settle = {.attempt = attempt,
                                      .list_nusd = nusd,
                                      .marginal_nusd = nusd,
                                      .prompt_tok = 3,
                                      .output_tok = 4,
                                      .status = 200}};
}

static bool keep(void *ctx, const struct store_sum *sum)
{
    *(struct store_sum *)ctx = *sum;
    return true;
}

static struct store_sum total(struct store *s)
{
    struct store_sum sum = {0};
    struct store_ask ask = {.until_us = INT64_MAX};
    struct diag diag = {0};
    EXPECT(!store_sums(s, &ask, keep, &sum, &diag), "%s", diag.text);
    return sum;
}

static void folding_again_changes_nothing(void)
{
    struct store *s = open_store();
    struct record r[] = {reserve(1, noon_us), reserve(2, noon_us), settle(3, 1, 70),
                         reserve(4, noon_us), settle(5, 4, 30)};
    for (int i = 0; i < 3; i++) {
        EXPECT(!fold(s, r, COUNTOF(r), 6 * RECORD_BYTES), "fold");
        struct store_sum sum = total(s);
        EXPECT(sum.attempts == 3 && sum.open == 1 && sum.list_nusd == 100 && sum.open_nusd == 1000,
               "%" PRId64 " %" PRId64 " %" PRId64, sum.attempts, sum.open, sum.list_nusd);
    }
    struct record late = settle(6, 2, 5);
    EXPECT(!fold(s, &late, 1, 7 * RECORD_BYTES), "fold");
    EXPECT(total(s).open == 0 && total(s).list_nusd == 105, "settled in a later part");
    EXPECT(!fold(s, &late, 1, 7 * RECORD_BYTES), "fold");
    EXPECT(total(s).list_nusd == 105, "settled once");
    int64_t offset = 0;
    EXPECT(!store_offset(s, "seg", &offset, NULL) && offset == 7 * RECORD_BYTES, "offset");
    store_close(s);
    s = open_store();
    EXPECT(total(s).list_nusd == 105, "kept");
    store_close(s);
    remove_all();
}

// However the rows are cut into parts, and whichever parts come twice, the sums are the same.
static void any_cut_gives_the_same_sums(void)
{
    enum { N = 60 };
    struct record r[N];
    for (uint64_t i = 0; i < N; i++)
        r[i] = i % 3 != 2 ? reserve(i + 1, noon_us) : settle(i + 1, i % 2 ? i : i - 1, (int64_t)i);
    struct store_sum want = {0};
    for (unsigned seed = 0; seed < 12; seed++) {
        struct store *s = open_store();
        srand(seed);
        for (int32_t at = 0; at < N;) {
            int32_t n = seed ? rand() % 7 + 1 : N;
            n = at + n > N ? N - at : n;
            EXPECT(!fold(s, r + at, n, 0), "fold");
            if (rand() % 2)
                EXPECT(!fold(s, r + at, n, 0), "again");
            at += n;
        }
        struct store_sum sum = total(s);
        if (!seed)
            want = sum;
        EXPECT(sum.attempts == want.attempts && sum.open == want.open &&
                   sum.list_nusd == want.list_nusd && sum.output_tok == want.output_tok,
               "seed %u", seed);
        store_close(s);
        remove_all();
    }
    EXPECT(want.open > 0 && want.list_nusd > 0, "something to see");
}

static void old_rows_become_sums_and_open_ones_stay(void)
{
    struct store *s = open_store();
    struct record r[] = {reserve(1, noon_us - 9 * day_us), settle(2, 1, 70),
                         reserve(3, noon_us - 9 * day_us), reserve(4, noon_us), settle(5, 4, 30)};
    EXPECT(!fold(s, r, COUNTOF(r), 0), "fold");
    struct store_sum before = total(s);
    int64_t rows = 0;
    for (int i = 0; i < 2; i++) {
        EXPECT(!store_retain(s, noon_us - day_us, &rows, NULL), "retain");
        EXPECT(rows == !i, "%" PRId64 " rows", rows);
        struct store_sum after = total(s);
        EXPECT(memcmp(&before.attempts, &after.attempts,
                      sizeof before - offsetof(struct store_sum, attempts)) == 0,
               "the sums are the same");
    }
    store_close(s);
    remove_all();
}

// What a span of time has, from the rows themselves; those before `kept_us` have become sums.
struct rows_of {
    int64_t since_us, until_us, kept_us;
    struct store_sum sum;
};

static void add_row(struct rows_of *all, int64_t at_us, int64_t nusd)
{
    int64_t day_begins_us = at_us / day_us * day_us;
    int64_t counts_us = at_us < all->kept_us ? day_begins_us : at_us;
    if (counts_us < all->since_us || counts_us >= all->until_us)
        return;
    all->sum.attempts++;
    all->sum.list_nusd += nusd;
}

// Sums by day and rows at the ends of a span of time together say what the rows say.
static void any_span_of_time_has_its_rows_sums(void)
{
    enum { CALLS = 40, DAYS = 4 };
    int64_t first_us = noon_us / day_us * day_us, rows;
    for (unsigned seed = 0; seed < 8; seed++) {
        struct store *s = open_store();
        int64_t at_us[CALLS], kept_us = seed % 2 ? first_us + day_us : 0;
        srand(seed);
        for (int i = 0; i < CALLS; i++) {
            at_us[i] = first_us + rand() % (DAYS * 8) * (day_us / 8);
            struct record r[] = {reserve((uint64_t)i * 2 + 1, at_us[i]),
                                 settle((uint64_t)i * 2 + 2, (uint64_t)i * 2 + 1, i + 1)};
            EXPECT(!fold(s, r, COUNTOF(r), 0), "fold");
        }
        if (kept_us)
            EXPECT(!store_retain(s, kept_us, &rows, NULL), "retain");
        for (int i = 0; i < 200; i++) {
            struct store_ask ask = {.since_us = first_us + rand() % (DAYS * 8) * (day_us / 8) - 1,
                                    .until_us = first_us + rand() % (DAYS * 8) * (day_us / 8)};
            struct rows_of want = {
                .since_us = ask.since_us, .until_us = ask.until_us, .kept_us = kept_us};
            struct store_sum got = {0};
            for (int k = 0; k < CALLS; k++)
                add_row(&want, at_us[k], k + 1);
            EXPECT(!store_sums(s, &ask, keep, &got, NULL), "sums");
            EXPECT(got.attempts == want.sum.attempts && got.list_nusd == want.sum.list_nusd,
                   "seed %u, %" PRId64 " to %" PRId64 ": %" PRId64 ", not %" PRId64 " calls", seed,
                   ask.since_us, ask.until_us, got.attempts, want.sum.attempts);
        }
        store_close(s);
        remove_all();
    }
}

static double drawn(struct store *s, int64_t since_us, int64_t until_us)
{
    double units = -1;
    struct diag diag = {0};
    EXPECT(!store_drawn(s, STR("c"), 1, since_us, until_us, &units, &diag), "%s", diag.text);
    return units;
}

static struct record draw(uint64_t sequence, uint64_t attempt, double units, int64_t at_us)
{
    struct record r = settle(sequence, attempt, 10);
    r.at_us = at_us;
    r.settle.commitment = record_id(RECORD_CONTRACT, STR("c"));
    r.settle.unit = 1;
    r.settle.drawn = units;
    return r;
}

// However rows are cut and repeated, and whether they became sums: what was drawn is counted once.
static void what_was_drawn_is_counted_once(void)
{
    struct store *s = open_store();
    struct record r[] = {reserve(1, noon_us), draw(2, 1, 2.5, noon_us), reserve(3, noon_us),
                         draw(4, 3, 4, noon_us + day_us)};
    EXPECT(!fold(s, r, 3, 0), "fold");
    EXPECT(!fold(s, r, COUNTOF(r), 0), "again, and more");
    EXPECT(!fold(s, r + 1, 3, 0), "a settle without its reserve, again");
    int64_t day = noon_us / day_us * day_us, rows;
    for (int i = 0; i < 2; i++) {
        EXPECT(drawn(s, 0, INT64_MAX) == 6.5, "all: %g", drawn(s, 0, INT64_MAX));
        EXPECT(drawn(s, day, day + day_us) == 2.5 && drawn(s, day + day_us, INT64_MAX) == 4,
               "by the day of their end");
        EXPECT(drawn(s, 0, day) == 0, "before");
        EXPECT(!store_retain(s, noon_us + 9 * day_us, &rows, NULL), "retain");
    }
    double other = -1;
    EXPECT(!store_drawn(s, STR("c"), 2, 0, INT64_MAX, &other, NULL) && other == 0, "another unit");
    store_close(s);
    remove_all();
}

struct told {
    int64_t n, nusd;
};

static void tell(void *ctx, const struct store_other *o)
{
    struct told *t = ctx;
    t->n++;
    t->nusd += o->charged_nusd;
}

// A part of one loop's requests, of this day and the one before.
static struct told fold_requests(struct store *s, uint32_t epoch, uint16_t loop, uint64_t *sequence)
{
    struct record r[400];
    struct told t = {.n = rand() % (rand() % 2 ? 400 : 5) + 1};
    for (int64_t i = 0; i < t.n; i++) {
        r[i] = (struct record){.kind = RECORD_REQUEST,
                               .epoch = epoch,
                               .loop = loop,
                               .sequence = ++*sequence,
                               .at_us = noon_us + i - (rand() % 4 ? 0 : day_us),
                               .request = {.charged_nusd = rand() % 1000}};
        snprintf(r[i].request.request, sizeof r[i].request.request, "r%d", rand());
        t.nusd += r[i].request.charged_nusd;
    }
    EXPECT(!fold(s, r, (int32_t)t.n, 0), "fold");
    return t;
}

// Whatever the parts are and whenever one looks, each request that came after the beginning from
// another process is told once, and nothing else.
static void what_comes_from_others_is_told_once(void)
{
    for (unsigned seed = 0; seed < 8; seed++) {
        struct store *theirs = open_store(), *ours = open_store();
        struct store_news *news = NULL;
        struct told want = {0}, told = {0};
        uint64_t sequence[3] = {0};
        srand(seed);
        for (int i = 0; i < 40; i++) {
            int who = rand() % 3;  // two loops of the other, and our own
            struct told t = fold_requests(who == 2 ? ours : theirs, who == 2 ? 2 : 1,
                                          (uint16_t)(who == 1), &sequence[who]);
            if (i == 9)
                EXPECT(!store_news_new(&news, ours, 2, noon_us - 2 * day_us, NULL), "begin");
            want.n += i > 9 && who != 2 ? t.n : 0;
            want.nusd += i > 9 && who != 2 ? t.nusd : 0;
            if (i > 9 && (rand() % 3 == 0 || i == 39))
                EXPECT(!store_news_look(ours, news, tell, &told, NULL), "look");
        }
        EXPECT(told.n == want.n && told.nusd == want.nusd, "seed %u: %" PRId64 " of %" PRId64, seed,
               told.n, want.n);
        store_news_free(news);
        store_close(theirs);
        store_close(ours);
        remove_all();
    }
}

static void epochs_only_grow(void)
{
    uint32_t a = 0, b = 0, c = 0;
    struct store *s = open_store();
    EXPECT(!store_epoch(s, 0, &a, NULL) && !store_epoch(s, 7, &b, NULL) &&
               !store_epoch(s, 3, &c, NULL),
           "epochs");
    EXPECT(a == 1 && b == 8 && c == 9, "%u %u %u", a, b, c);
    store_close(s);
    remove_all();
}

static void one_writer_at_a_time(void)
{
    struct store_lock *a = NULL, *b = NULL;
    struct diag diag = {0};
    EXPECT(!store_lock(&a, str_of(folder), NULL), "first");
    EXPECT(store_lock(&b, str_of(folder), &diag) == ERR_EXISTS, "second");
    EXPECT(strstr(diag.text, "in use by another caudal, process"), "%s", diag.text);
    store_unlock(a);
    EXPECT(!store_lock(&b, str_of(folder), NULL), "after the first");
    store_unlock(b);
    remove_all();
}

static void what_is_no_ledger_is_refused(void)
{
    struct store *s;
    struct diag diag = {0}, other = {0};
    EXPECT(store_open(&s, str_of(folder), STORE_READ, &diag) == ERR_MISSING, "none");
    char path[64];
    snprintf(path, sizeof path, "%s/ledger.db", folder);
    FILE *f = fopen(path, "w");
    for (int i = 0; f && i < 1000; i++)
        fputs("no database ", f);
    fclose(f);
    EXPECT(store_open(&s, str_of(folder), STORE_WRITE, &other) == ERR_INVALID, "%s", other.text);
    EXPECT(strstr(other.text, "restore a backup"), "%s", other.text);
    remove_all();
}

int main(void)
{
    NEED(mkdtemp(folder));
    TEST(folding_again_changes_nothing);
    TEST(any_cut_gives_the_same_sums);
    TEST(old_rows_become_sums_and_open_ones_stay);
    TEST(any_span_of_time_has_its_rows_sums);
    TEST(what_was_drawn_is_counted_once);
    TEST(what_comes_from_others_is_told_once);
    TEST(epochs_only_grow);
    TEST(one_writer_at_a_time);
    TEST(what_is_no_ledger_is_refused);
    rmdir(folder);
    return test_end();
}
