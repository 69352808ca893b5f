#include "base/buf.h"
#include "base/rng.h"
#include "base/spare.h"
#include "lib/test.h"

#include <inttypes.h>

// Against a plain array that does the same, whatever the order of calls.
static void a_buffer_is_its_model(void)
{
    enum { LIMIT = 700 };
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        struct buf b;
        buf_init(&b, LIMIT);
        char model[LIMIT * 2];
        size_t n = 0;
        bool over = false;
        for (int i = 0; i < 300; i++) {
            char piece[200];
            size_t k = rng_below(&r, sizeof piece);
            memset(piece, (int)('a' + i % 26), sizeof piece);
            bool fits = n + k <= LIMIT;
            switch (rng_below(&r, 5)) {
            case 0:
                EXPECT(buf_add(&b, piece, k) == fits, "add");
                if (fits) {
                    memcpy(model + n, piece, k);
                    n += k;
                }
                over |= !fits;
                break;
            case 1:
                EXPECT(buf_printf(&b, "%.*s", (int)k, piece) == fits, "printf");
                if (fits) {
                    memcpy(model + n, piece, k);
                    n += k;
                }
                over |= !fits;
                break;
            case 2:
                k = k < n ? k : n;
                buf_eat(&b, k);
                memmove(model, model + k, n - k);
                n -= k;
                break;
            case 3: {
                size_t at = rng_below(&r, n + 1), drop = rng_below(&r, n - at + 1);
                fits = n - drop + k <= LIMIT;
                EXPECT(buf_splice(&b, at, drop, (struct str){piece, k}) == fits, "splice");
                if (fits) {
                    memmove(model + at + k, model + at + drop, n - at - drop);
                    memcpy(model + at, piece, k);
                    n = n - drop + k;
                }
                over |= !fits;
                break;
            }
            default: {
                char *at;
                EXPECT(buf_reserve(&b, k, &at) == fits, "reserve");
                if (fits && k) {
                    memcpy(at, piece, k / 2);
                    buf_grown(&b, k / 2);
                    memcpy(model + n, piece, k / 2);
                    n += k / 2;
                }
                over |= !fits;
            }
            }
            EXPECT(str_eq(buf_str(&b), (struct str){model, n}), "seed %" PRIu64 " step %d", seed,
                   i);
            EXPECT(b.overflow == over, "seed %" PRIu64 ": overflow is sticky", seed);
        }
        buf_clear(&b);
        EXPECT(buf_len(&b) == 0 && !b.overflow, "cleared");
        buf_release(&b);
        EXPECT(!b.p && b.limit == LIMIT, "released");
        buf_release(&b);
    }
}

static void the_limit_is_exact(void)
{
    struct buf b;
    buf_init(&b, 5);
    EXPECT(buf_printf(&b, "%s", "12345") && !b.overflow, "5 of 5, the 0 behind it is not counted");
    EXPECT(!buf_lit(&b, "6") && b.overflow, "6 of 5");
    EXPECT(str_eq(buf_str(&b), STR("12345")), "unchanged");
    EXPECT(!buf_printf(&b, "%d", 1), "6 of 5");
    EXPECT(buf_splice(&b, 0, 1, STR("x")) && str_eq(buf_str(&b), STR("x2345")), "same length");
    EXPECT(!buf_splice(&b, 0, 1, STR("xy")), "longer");
    buf_release(&b);
    buf_init(&b, 0);
    EXPECT(!buf_lit(&b, "x") && buf_add(&b, NULL, 0) && buf_splice(&b, 0, 0, STR("")), "none");
    EXPECT(buf_str(&b).n == 0, "empty");
    buf_release(&b);
}

// A buffer nearly full that is eaten and filled by small pieces does not copy all for each.
static void a_long_stream_is_not_copied_again_and_again(void)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    char piece[100] = {0};
    while (buf_len(&b) < 500000)
        NEED(buf_add(&b, piece, sizeof piece));
    for (int i = 0; i < 2000000; i++) {  // seconds if each were a copy of 500 kB
        buf_eat(&b, sizeof piece);
        NEED(buf_add(&b, piece, sizeof piece));
    }
    EXPECT(b.size <= 4 << 20, "%zu", b.size);
    buf_release(&b);
}

static void json_text_is_valid_whatever_goes_in(void)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", "\"\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\n\t\x01\x7f", "\"\\u000a\\u0009\\u0001\\u007f\""},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f",
         "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                  // overlong
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},  // a surrogate
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},  // cut short
        {"\xe2\x82x", "\"\xef\xbf\xbd\xef\xbf\xbdx\""},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct buf b;
        buf_init(&b, 1000);
        EXPECT(buf_add_json(&b, str_of(cases[i].in)), "fits");
        EXPECT(str_eq(buf_str(&b), str_of(cases[i].out)), "case %zu: " STR_FMT, i,
               STR_ARG(buf_str(&b)));
        buf_release(&b);
    }
    struct buf b;
    buf_init(&b, 100);
    EXPECT(buf_add_json(&b, (struct str){"a\0b", 3}), "fits");
    EXPECT(str_eq(buf_str(&b), STR("\"a\\u0000b\"")), STR_FMT, STR_ARG(buf_str(&b)));
    buf_release(&b);
}

static void json_text_that_does_not_fit_leaves_nothing(void)
{
    for (size_t limit = 0; limit < 14; limit++) {
        struct buf b;
        buf_init(&b, limit);
        buf_lit(&b, "x");
        size_t before = buf_len(&b);
        bool fits = buf_add_json(&b, STR("ab\"\ncd"));  // 1 + 2 + 2 + 6 + 2 + 1 = 14
        EXPECT(!fits && buf_len(&b) == before && b.overflow, "limit %zu: %zu", limit, buf_len(&b));
        buf_release(&b);
    }
}

static bool is_clean(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] == 's')
            return false;
    return true;
}

// Where its memory can still be seen: in what it keeps, and in a block that others get next.
static void a_secret_is_gone_when_its_buffer_is_empty(void)
{
    struct spares spares = {0};
    struct buf b;
    buf_init_secret(&b, 1 << 20);
    spare_lend(&spares, &b);
    buf_lit(&b, "a key: ssssssssssss");
    buf_clear(&b);
    EXPECT(is_clean(b.p, 19), "cleared");
    buf_lit(&b, "a key: ssssssssssss");
    buf_eat(&b, 8);
    buf_eat(&b, 11);
    EXPECT(is_clean(b.p, 19), "eaten");
    buf_lit(&b, "a key: ssssssssssss");
    spare_take(&spares, &b);
    EXPECT(spares.n == 1 && is_clean(spares.block[0], 19), "given back");
    EXPECT(b.secret && b.limit == 1 << 20, "it is one still");
    spare_lend(&spares, &b);
    buf_lit(&b, "sss");
    buf_eat(&b, 2);
    char filler[SPARE_BYTES] = {0};
    buf_add(&b, filler, SPARE_BYTES - 3);
    buf_eat(&b, SPARE_BYTES - 3);
    buf_add(&b, filler, 8);  // the rest goes to the front
    EXPECT(b.size == SPARE_BYTES && b.from == 0 && is_clean(b.p, SPARE_BYTES), "moved");
    buf_release(&b);
    spares_release(&spares);
}

static void integers_are_as_printf_writes_them(void)
{
    struct rng r;
    rng_seed(&r, 7);
    for (int i = 0; i < 20000; i++) {
        int64_t v = (int64_t)(rng_u64(&r) >> (i % 64));
        v = i == 0 ? 0 : i == 1 ? INT64_MIN : i == 2 ? INT64_MAX : i % 2 ? v : -v;
        char expected[32], seen[32];
        int n = snprintf(expected, sizeof expected, "%" PRId64, v);
        *put_int(seen, v) = 0;
        EXPECT(strcmp(seen, expected) == 0, "%s, not %s", seen, expected);
        struct buf b;
        buf_init(&b, (size_t)n - (i & 4 ? 1 : 0));
        EXPECT(buf_int(&b, v) == !(i & 4), "%s of %zu", expected, b.limit);
        EXPECT(buf_len(&b) == (i & 4 ? 0 : (size_t)n), "%zu", buf_len(&b));
        buf_release(&b);
    }
}

int main(void)
{
    TEST(a_buffer_is_its_model);
    TEST(the_limit_is_exact);
    TEST(a_long_stream_is_not_copied_again_and_again);
    TEST(json_text_is_valid_whatever_goes_in);
    TEST(json_text_that_does_not_fit_leaves_nothing);
    TEST(a_secret_is_gone_when_its_buffer_is_empty);
    TEST(integers_are_as_printf_writes_them);
    return test_end();
}
