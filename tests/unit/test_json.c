#include "base/buf.h"
#include "base/rng.h"
#include "lib/json_gen.h"
#include "lib/test.h"
#include "wire/json.h"

#include <inttypes.h>

// A copy that ends where its allocation ends, so that a sanitizer sees the first byte read too far.
static struct str exact(struct str s)
{
    char *p = malloc(s.n ? s.n : 1);
    NEED(p);
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

static bool valid(struct str s, struct diag *diag)
{
    struct str copy = exact(s);
    *diag = (struct diag){0};
    bool ok = json_validate(copy, diag) == ERR_NONE;
    free((void *)(uintptr_t)copy.p);
    return ok;
}

static void right_texts_pass(void)
{
    static const char *const texts[] = {
        "{\"x\":123456789012345678901234567890,\"y\":1e999}",
        "0",
        "-0",
        "-0.0e-0",
        "1E+2",
        "null",
        "true",
        "false",
        "\"\"",
        "[]",
        "{}",
        " [ ] ",
        "\t{ }\n",
        "[1,2,[3,[]],{}]",
        "{\"a\":{\"b\":[null]}}",
        "\"\\u0000\\ud83d\\ude00\\/\\b\"",
        "\"\xf0\x9f\x98\x80\x7f\"",
        "{\"\":1,\"\":2}",
        "\r\n[\n1\r,\t2 ]\r\n",
        "\"\xef\xbb\xbf\"",
        "[\"0123456789abcdef0123456789abcdef0123456789\"]",
    };
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        struct diag d;
        EXPECT(valid(str_of(texts[i]), &d), "%s: %s", texts[i], d.text);
    }
}

static void wrong_texts_are_refused(void)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "{\"a\":1,}",
        "[,1]",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{a:1}",
        "{1:2}",
        "{'a':1}",
        "[1 2]",
        "1 2",
        "{}x",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "--1",
        "\"",
        "\"a",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\",
        "\"\\u",
        "[\"\\u123",
        "\"a\nb\"",
        "\"\x1f\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800x\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud83d\\ude0\"",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "\"\xe4\xb8\"",
        "\"\xf5\x80\x80\x80\"",
        "\xef\xbb\xbf{}",
        "[}",
        "{]",
        "{\"a\":1]",
        "/**/1",
        "\x0c[]",
        "[1]\xc2\xa0",
        "\"0123456789abcdef\n0123456789\"",
    };
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        struct diag d;
        EXPECT(!valid(str_of(texts[i]), &d), "%s", texts[i]);
        EXPECT(d.e == ERR_INVALID && d.text[0], "%s: %s", texts[i], d.text);
    }
    struct diag d;
    EXPECT(!valid((struct str){"[1]\0", 4}, &d), "a zero byte behind it");
    EXPECT(!valid((struct str){"\"a\0b\"", 5}, &d), "a zero byte in a string");
    EXPECT(!valid((struct str){NULL, 0}, &d), "nothing at all");
}

static void diag_says_where(void)
{
    struct diag d;
    EXPECT(!valid(STR("{\"a\":tru}"), &d), "tru");
    EXPECT(strcmp(d.text, "byte 5: not a value") == 0, "%s", d.text);
    EXPECT(!valid(STR("{} {}"), &d), "two values");
    EXPECT(strcmp(d.text, "byte 3: something follows the value") == 0, "%s", d.text);
}

static void depth_has_a_limit(void)
{
    char text[4 * (JSON_DEPTH_MAX + 1)];
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
        struct diag d;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        EXPECT(valid((struct str){text, 2 * depth}, &d) == (depth <= JSON_DEPTH_MAX), "%zu %s",
               depth, d.text);
        text[depth] = '1';
        memset(text + depth + 1, ']', depth);
        EXPECT(valid((struct str){text, 2 * depth + 1}, &d) == (depth <= JSON_DEPTH_MAX), "%zu %s",
               depth, d.text);
    }
}

static void generated_texts_pass_and_their_cuts_do_not(void)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct rng r;
        struct diag d;
        rng_seed(&r, seed);
        buf_clear(&b);
        buf_lit(&b, "[");
        gen_value(&b, &r, 5);
        buf_lit(&b, "]");
        struct str all = buf_str(&b);
        EXPECT(valid(all, &d), "seed %" PRIu64 ": %s in " STR_FMT, seed, d.text, STR_ARG(all));
        for (size_t n = 0; n < all.n && n < 300; n++)
            EXPECT(!valid((struct str){all.p, n}, &d), "seed %" PRIu64 " cut at %zu", seed, n);
    }
    buf_release(&b);
}

// Writes the value again through the walk, blanks left out.
static void rewrite(struct buf *out, struct str text, struct json_span v)
{
    struct json_walk w;
    struct str value = json_slice(text, v);
    if (!json_walk(&w, value)) {
        buf_add_str(out, value);
        return;
    }
    buf_add_str(out, w.array ? STR("[") : STR("{"));
    for (int i = 0; json_step(&w); i++) {
        if (i > 0)
            buf_lit(out, ",");
        if (!w.array) {
            buf_add(out, value.p + w.key_at, w.key.n + 2);
            buf_lit(out, ":");
        }
        rewrite(out, value, w.value);
    }
    buf_add_str(out, w.array ? STR("]") : STR("}"));
}

// The same through json_walk_once(), which finds ends late; some values are left or skipped.
static void rewrite_once(struct buf *out, struct json_walk *at, struct rng *r)
{
    struct json_walk w;
    if (rng_below(r, 4) == 0 || !json_walk_in(&w, at)) {
        struct json_span v = json_value(at);
        rewrite(out, at->text, v);
        return;
    }
    buf_add_str(out, w.array ? STR("[") : STR("{"));
    for (int i = 0; json_step(&w); i++) {
        if (i > 0)
            buf_lit(out, ",");
        if (!w.array) {
            buf_add(out, w.text.p + w.key_at, w.key.n + 2);
            buf_lit(out, ":");
        }
        rewrite_once(out, &w, r);
    }
    buf_add_str(out, w.array ? STR("]") : STR("}"));
}

// Generated text without the blanks between its tokens.
static void squeeze(struct buf *out, struct str text)
{
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string && c == '\\') {
            buf_add(out, text.p + i++, 2);
            continue;
        }
        if (c == '"')
            in_string = !in_string;
        if (in_string || (c != ' ' && c != '\t' && c != '\r' && c != '\n'))
            buf_add(out, &c, 1);
    }
}

static void walks_see_every_value_once_and_in_order(void)
{
    struct buf b, flat, walked, once;
    buf_init(&b, 1 << 20);
    buf_init(&flat, 1 << 20);
    buf_init(&walked, 1 << 20);
    buf_init(&once, 1 << 20);
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        buf_clear(&b);
        buf_clear(&flat);
        buf_clear(&walked);
        buf_clear(&once);
        gen_blank(&b, &r);
        buf_lit(&b, "[");
        gen_value(&b, &r, 6);
        buf_lit(&b, "]");
        gen_blank(&b, &r);
        struct str text = exact(buf_str(&b));
        squeeze(&flat, text);
        rewrite(&walked, text, (struct json_span){.n = text.n});
        EXPECT(str_eq(buf_str(&flat), buf_str(&walked)), "seed %" PRIu64 ": " STR_FMT, seed,
               STR_ARG(text));
        struct json_walk w;
        NEED(json_walk_once(&w, text));
        buf_lit(&once, "[");
        while (json_step(&w))
            rewrite_once(&once, &w, &r);
        buf_lit(&once, "]");
        EXPECT(str_eq(buf_str(&flat), buf_str(&once)), "once, seed %" PRIu64 ": " STR_FMT, seed,
               STR_ARG(text));
        free((void *)(uintptr_t)text.p);
    }
    buf_release(&b);
    buf_release(&flat);
    buf_release(&walked);
    buf_release(&once);
}

// Walking what nobody validated gives nonsense, but ends and stays inside the text.
static void walking_rubbish_is_safe(void)
{
    static const char bytes[] = "{}[]\",:\\u0 a1tn\xc3";
    struct rng r;
    rng_seed(&r, 5);
    for (int i = 0; i < 20000; i++) {
        char text[40];
        size_t n = rng_below(&r, sizeof text);
        for (size_t k = 0; k < n; k++)
            text[k] = bytes[rng_below(&r, sizeof bytes - 1)];
        struct str copy = exact((struct str){text, n});
        struct json_walk w, inner;
        int steps = 0;
        for (json_walk(&w, copy); json_step(&w); steps++) {
            char out[16];
            EXPECT(w.value.at + w.value.n <= n, "a span inside");
            (void)json_string_cut(copy, w.value, out, sizeof out);
            (void)json_string_bytes(copy, w.value);
        }
        for (json_walk_once(&w, copy); json_step(&w); steps++)
            for (json_walk_in(&inner, &w); json_step(&inner); steps++)
                EXPECT(inner.value.at + inner.value.n <= n, "a span inside");
        EXPECT(steps <= 200, "it ends, after %d steps", steps);
        free((void *)(uintptr_t)copy.p);
    }
}

static void keys_with_escapes_are_the_same_keys(void)
{
    struct str text =
        STR("{\"mod\\u0065l\":1,\"\\u006d\\u006f\\u0064\\u0065\\u006c\":2,\"modelx\":3,"
            "\"mode\\n\":4,\"model\":5}");
    struct json_walk w;
    int seen = 0;
    NEED(json_walk(&w, text));
    while (json_step(&w))
        if (json_key_is(&w, STR("model")))
            seen = seen * 10 + (text.p[w.value.at] - '0');
    EXPECT(seen == 125, "%d", seen);
    struct json_span v;
    EXPECT(json_get(text, STR("model"), &v) && text.p[v.at] == '1', "the first");
    EXPECT(!json_get(text, STR("mod"), &v), "no such key");
    EXPECT(!json_get(STR("[1]"), STR(""), &v), "an array has no members");
    EXPECT(!json_get(STR("1"), STR(""), &v), "a number has none either");
}

static struct json_span whole(struct str text, enum json_kind kind)
{
    return (struct json_span){.kind = kind, .at = 0, .n = text.n};
}

static void strings_are_unescaped(void)
{
    static const struct {
        const char *text, *out;
    } cases[] = {
        {"\"\"", ""},
        {"\"abc\"", "abc"},
        {"\"a\\n\\t\\r\\b\\f\\/\\\\\\\"z\"", "a\n\t\r\b\f/\\\"z"},
        {"\"\\u0041\\u00e9\\u4e2d\\ud83d\\ude00\"", "A\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80"},
        {"\"\\uD83D\\uDE00\xc3\xa9\"", "\xf0\x9f\x98\x80\xc3\xa9"},
        {"\"0123456789abcdef0123456789abcdef\\n0\"", "0123456789abcdef0123456789abcdef\n0"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        char out[64];
        struct str text = str_of(cases[i].text);
        struct json_span v = whole(text, JSON_STRING);
        size_t n = 0, want = strlen(cases[i].out);
        EXPECT(json_string(text, v, out, sizeof out, &n), "%s", cases[i].text);
        EXPECT(n == want && memcmp(out, cases[i].out, n) == 0, "%s gave %zu", cases[i].text, n);
        EXPECT(json_string_bytes(text, v) == want, "%s", cases[i].text);
        EXPECT(json_string(text, v, out, want, &n), "just fits: %s", cases[i].text);
        for (size_t size = 0; size < want; size++) {
            char *small = malloc(size + 1);
            NEED(small);
            EXPECT(!json_string(text, v, small, size, &n), "%s in %zu", cases[i].text, size);
            size_t cut = json_string_cut(text, v, small, size + 1);
            EXPECT(cut <= size && small[cut] == 0 && memcmp(small, cases[i].out, cut) == 0,
                   "%s in %zu: %s", cases[i].text, size, small);
            EXPECT(json_utf8_valid((struct str){small, cut}), "%s cut to %zu", cases[i].text, size);
            free(small);
        }
    }
    char out[8];
    size_t n;
    EXPECT(!json_string(STR("12"), whole(STR("12"), JSON_NUMBER), out, sizeof out, &n), "a number");
    EXPECT(json_string_cut(STR("12"), whole(STR("12"), JSON_NUMBER), out, sizeof out) == 0 &&
               !out[0],
           "nothing of a number");
}

static void whole_numbers_are_read_when_they_fit(void)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t v;
    } cases[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"-7", true, -7},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"123456789012345678901234567890", false, 0},
        {"1e999", false, 0},
        {"4096.0", true, 4096},
        {"1e3", true, 1000},
        {"1.5", false, 0},
        {"1e-1", false, 0},
        {"-2.50e1", true, -25},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        int64_t v = 0;
        struct str text = str_of(cases[i].text);
        bool ok = json_i64(text, whole(text, JSON_NUMBER), &v);
        EXPECT(ok == cases[i].ok && (!ok || v == cases[i].v), "%s: %d %" PRId64, cases[i].text, ok,
               v);
    }
    double x;
    EXPECT(json_double(STR("-1.5e2"), whole(STR("-1.5e2"), JSON_NUMBER), &x) && x >= -150 &&
               x <= -150,
           "%g", x);
    EXPECT(!json_double(STR("1e999"), whole(STR("1e999"), JSON_NUMBER), &x), "out of range");
    EXPECT(!json_double(STR("\"1\""), whole(STR("\"1\""), JSON_STRING), &x), "text");
}

int main(void)
{
    TEST(right_texts_pass);
    TEST(wrong_texts_are_refused);
    TEST(diag_says_where);
    TEST(depth_has_a_limit);
    TEST(generated_texts_pass_and_their_cuts_do_not);
    TEST(walks_see_every_value_once_and_in_order);
    TEST(walking_rubbish_is_safe);
    TEST(keys_with_escapes_are_the_same_keys);
    TEST(strings_are_unescaped);
    TEST(whole_numbers_are_read_when_they_fit);
    return test_end();
}
