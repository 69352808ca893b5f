#include "base/rng.h"
#include "base/str.h"
#include "lib/test.h"

#include <inttypes.h>

static const struct str NOTHING = {NULL, 0};

static bool same_by_bytes(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char x = a[i] >= 'A' && a[i] <= 'Z' ? (char)(a[i] + 32) : a[i];
        char y = b[i] >= 'A' && b[i] <= 'Z' ? (char)(b[i] + 32) : b[i];
        if (x != y)
            return false;
    }
    return true;
}

static void letters_alone_have_a_case_at_any_length(void)
{
    char a[32], b[32];
    struct rng r;
    rng_seed(&r, 7);
    for (int i = 0; i < 200000; i++) {
        size_t n = rng_u64(&r) % sizeof a;
        for (size_t k = 0; k < n; k++) {
            a[k] = (char)rng_u64(&r);
            b[k] = a[k];
        }
        if (n && i % 4)
            b[rng_u64(&r) % n] ^= i % 4 == 1 ? 0x20 : i % 4 == 2 ? (char)0x80 : (char)i;
        bool same = str_eq_nocase((struct str){a, n}, (struct str){b, n});
        EXPECT(same == same_by_bytes(a, b, n), "%d: %zu bytes", i, n);
    }
}

static void equality_is_by_bytes(void)
{
    EXPECT(str_eq(STR("abc"), STR("abc")), "same");
    EXPECT(!str_eq(STR("abc"), STR("abC")), "case");
    EXPECT(!str_eq(STR("abc"), STR("ab")), "length");
    EXPECT(str_eq(NOTHING, STR("")), "empty");
    EXPECT(str_eq_nocase(STR("Content-Type"), STR("content-tYPE")), "case");
    EXPECT(!str_eq_nocase(STR("@"), STR("`")), "only letters have a case");
    EXPECT(!str_eq_nocase(STR("[x"), STR("{x")), "only letters have a case");
    EXPECT(str_eq(str_of(NULL), NOTHING), "NULL is the empty text");
}

static void order_is_by_bytes_then_length(void)
{
    EXPECT(str_cmp(STR("a"), STR("b")) < 0 && str_cmp(STR("b"), STR("a")) > 0, "bytes");
    EXPECT(str_cmp(STR("a"), STR("ab")) < 0 && str_cmp(STR("ab"), STR("a")) > 0, "length");
    EXPECT(str_cmp(STR("\xff"), STR("a")) > 0, "bytes are unsigned");
    EXPECT(str_cmp(NOTHING, STR("")) == 0, "empty");
}

static void starts_and_ends(void)
{
    EXPECT(str_starts(STR("data: x"), STR("data:")) && !str_starts(STR("da"), STR("data:")),
           "start");
    EXPECT(str_ends(STR("a.yaml"), STR(".yaml")) && !str_ends(STR("yaml"), STR(".yaml")), "end");
    EXPECT(str_starts(STR("a"), NOTHING) && str_ends(STR("a"), NOTHING), "empty affix");
    EXPECT(str_starts(NOTHING, NOTHING) && str_ends(NOTHING, NOTHING), "empty text");
    EXPECT(!str_starts(NOTHING, STR("a")) && !str_ends(NOTHING, STR("a")), "longer affix");
}

static void skip_and_trim_stay_inside(void)
{
    EXPECT(str_eq(str_skip(STR("abc"), 1), STR("bc")), "one");
    EXPECT(str_skip(STR("abc"), 99).n == 0, "past the end");
    EXPECT(str_skip(NOTHING, 99).n == 0, "nothing");
    EXPECT(str_eq(str_trim(STR(" \t a b \t")), STR("a b")), "both ends");
    EXPECT(str_trim(STR(" \t ")).n == 0 && str_trim(NOTHING).n == 0, "all blank");
    EXPECT(str_eq(str_trim(STR("\n")), STR("\n")), "a line end is no blank");
}

static void find_gives_the_first_place(void)
{
    size_t at = 99;
    EXPECT(str_find(STR("abcabc"), STR("bc"), &at) && at == 1, "at %zu", at);
    EXPECT(str_find(STR("abc"), NOTHING, &at) && at == 0, "at %zu", at);
    EXPECT(str_find(STR("abc"), STR("abc"), &at) && at == 0, "at %zu", at);
    EXPECT(!str_find(STR("ab"), STR("abc"), &at), "longer");
    EXPECT(!str_find(NOTHING, STR("a"), &at), "nothing");
}

static void cut_gives_each_part_once(void)
{
    struct str rest = STR("a,,b,"), part;
    EXPECT(str_cut(&rest, ',', &part) && str_eq(part, STR("a")), "a");
    EXPECT(str_cut(&rest, ',', &part) && part.n == 0, "empty");
    EXPECT(str_cut(&rest, ',', &part) && str_eq(part, STR("b")), "b");
    EXPECT(str_cut(&rest, ',', &part) && part.n == 0, "after the last separator");
    EXPECT(!str_cut(&rest, ',', &part), "end");
    rest = NOTHING;
    EXPECT(!str_cut(&rest, ',', &part), "nothing");
}

static void whole_numbers_fill_int64(void)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t v;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"007", true, 7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"99999999999999999999999", false, 0},
        {"18446744073709551616", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {"--1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1.0", false, 0},
        {"0x10", false, 0},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        int64_t v = 0;
        bool ok = str_to_i64(str_of(cases[i].text), &v);
        EXPECT(ok == cases[i].ok && v == cases[i].v, "'%s': %d %" PRId64, cases[i].text, ok, v);
    }
    int64_t v;
    EXPECT(!str_to_i64(NOTHING, &v), "nothing");
}

static void decimals_are_those_of_json(void)
{
    static const struct {
        const char *text;
        bool ok;
        double v;
    } cases[] = {
        {"0", true, 0},
        {"-1.5", true, -1.5},
        {"1e3", true, 1000},
        {"1E+3", true, 1000},
        {"25e-1", true, 2.5},
        {"0.1", true, 0.1},
        {"1e308", true, 1e308},
        {"1e-400", true, 0},
        {"1e999", false, 0},
        {"-1e999", false, 0},
        {"inf", false, 0},
        {"nan", false, 0},
        {"NaN", false, 0},
        {"Infinity", false, 0},
        {"0x10", false, 0},
        {"", false, 0},
        {".", false, 0},
        {".5", false, 0},
        {"5.", false, 0},
        {"01", false, 0},
        {"-", false, 0},
        {"-.5", false, 0},
        {"+1", false, 0},
        {"1e", false, 0},
        {"1e+", false, 0},
        {"1.e3", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1,5", false, 0},
        {"1_000", false, 0},
        {"-0", true, 0},
        {"00", false, 0},
        {"0e0", true, 0},
        {"0.10000000000000000000000000000000000000000000000000000000000000000001", true, 0.1},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        double v = 0;
        bool ok = str_to_double(str_of(cases[i].text), &v);
        EXPECT(ok == cases[i].ok && v == cases[i].v, "'%s': %d %g", cases[i].text, ok, v);
    }
    double v;
    EXPECT(!str_to_double(NOTHING, &v), "nothing");
    EXPECT(!str_to_double((struct str){"1\0002", 3}, &v), "a zero byte");
}

static void distance_counts_edits(void)
{
    static const struct {
        const char *a, *b;
        size_t d;
    } cases[] = {
        {"", "", 0},      {"", "abc", 3},    {"abc", "abc", 0},        {"abc", "abd", 1},
        {"abc", "ab", 1}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"modles", "models", 1},
        {"ab", "ba", 1},  {"a", "b", 1},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        size_t d = str_distance(str_of(cases[i].a), str_of(cases[i].b));
        size_t back = str_distance(str_of(cases[i].b), str_of(cases[i].a));
        EXPECT(d == cases[i].d && back == d, "%s %s: %zu, %zu", cases[i].a, cases[i].b, d, back);
    }
    char x[65];
    memset(x, 'x', sizeof x);
    EXPECT(str_distance((struct str){x, 64}, (struct str){x, 64}) == 0, "64 bytes");
    EXPECT(str_distance((struct str){x, 65}, STR("x")) == SIZE_MAX, "65 bytes");
    EXPECT(str_distance(NOTHING, (struct str){x, 65}) == SIZE_MAX, "65 bytes");
}

static void hashes_spread(void)
{
    int buckets[64] = {0};
    for (int i = 0; i < 6400; i++) {
        char name[16];
        int n = snprintf(name, sizeof name, "pool-%d", i);
        buckets[str_hash((struct str){name, (size_t)n}, 1) % 64]++;
    }
    for (int i = 0; i < 64; i++)
        EXPECT(buckets[i] > 50 && buckets[i] < 160, "bucket %d has %d of 6400", i, buckets[i]);
    EXPECT(str_hash(STR("a"), 1) != str_hash(STR("a"), 2), "the seed counts");
    EXPECT(str_hash(NOTHING, 1) == str_hash(STR(""), 1), "nothing is empty");
}

int main(void)
{
    TEST(letters_alone_have_a_case_at_any_length);
    TEST(equality_is_by_bytes);
    TEST(order_is_by_bytes_then_length);
    TEST(starts_and_ends);
    TEST(skip_and_trim_stay_inside);
    TEST(find_gives_the_first_place);
    TEST(cut_gives_each_part_once);
    TEST(whole_numbers_fill_int64);
    TEST(decimals_are_those_of_json);
    TEST(distance_counts_edits);
    TEST(hashes_spread);
    return test_end();
}
