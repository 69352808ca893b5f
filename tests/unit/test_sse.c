#include "wire/sse.h"
#include "base/arena.h"
#include "base/rng.h"
#include "lib/test.h"

#include <inttypes.h>

// What a decoder said: "name|data;" for each event, "!" after an error, "~name|data" at the end.
struct said {
    struct buf text;
    size_t kept_at_end;  // bytes of memory it still held
};

static void say(struct buf *text, struct sse_event ev)
{
    buf_add_str(text, ev.name);
    buf_lit(text, "|");
    buf_add_str(text, ev.data);
}

// Feeds in pieces of *cuts bytes (0-ended; the last piece takes the rest), each in its own
// allocation, so that a sanitizer sees a slice that outlives its piece.
static struct said feed(struct str bytes, const size_t *cuts, size_t limit)
{
    struct said said = {.kept_at_end = 0};
    struct sse s;
    buf_init(&said.text, SIZE_MAX / 2);
    sse_init(&s, limit);
    enum err e = ERR_NONE;
    while (bytes.n && !e) {
        size_t n = *cuts && *cuts < bytes.n ? *cuts : bytes.n;
        cuts += *cuts > 0;
        char *copy = malloc(n);
        NEED(copy);
        memcpy(copy, bytes.p, n);
        bytes = str_skip(bytes, n);
        struct str in = {copy, n};
        struct sse_event ev;
        bool got = true;
        while (!e && got) {
            e = sse_next(&s, &in, &ev, &got);
            if (!e && got) {
                NEED(ev.has_data);
                say(&said.text, ev);
                buf_lit(&said.text, ";");
            }
        }
        NEED(e || in.n == 0);
        free(copy);
    }
    struct sse_event ev;
    if (e) {
        buf_lit(&said.text, "!");
    } else if (sse_end(&s, &ev)) {
        buf_lit(&said.text, "~");
        say(&said.text, ev);
    } else {
        said.kept_at_end = s.kept.size + s.joined.size;
    }
    sse_release(&s);
    return said;
}

// clang-format off
static const struct {
    struct str raw, said;
} cases[] = {
#define CASE(raw, said) {{raw, sizeof(raw) - 1}, {said, sizeof(said) - 1}}
    // The table of the supplier notes, section 3.5.
    CASE("data: a\n\n", "|a;"),
    CASE("data: a\r\n\r\n", "|a;"),
    CASE("data: a\r\r", "|a;"),
    CASE("data: a\r\n\n", "|a;"),
    CASE("data: a\n\r\n", "|a;"),
    CASE("data: a\r\r\n", "|a;"),
    CASE("data: a\n\r", "|a;"),
    CASE("data: x\r\n\r\ndata: y\r\n\r\n", "|x;|y;"),
    CASE(": ping\n\ndata: x\n\n", "|x;"),
    CASE("data: {\"a\":\ndata: 1}\n\n", "|{\"a\":\n1};"),
    CASE("data:x\n\n", "|x;"),
    CASE("data:  x\n\n", "| x;"),
    CASE("data: \xe2\x82\xac\n\n", "|\xe2\x82\xac;"),
    CASE("data: x", "~|x"),
    CASE("data: x\n", "~|x"),
    CASE("data\n\n", "|;"),
    CASE("data:\n\n", "|;"),
    CASE("event: ping\n\n", ""),
    CASE("retry: 100\n\n", ""),
    CASE("id: 1\ndata: x\n\n\n\ndata: y\n\n", "|x;|y;"),
    CASE("\xef\xbb\xbf"
         "data: x\n\n",
         "|x;"),
    CASE("data: a\xe2\x80\xa8"
         "b\n\n",
         "|a\xe2\x80\xa8"
         "b;"),
    CASE("data: [DONE]", "~|[DONE]"),
    // More of the standard.
    CASE("", ""),
    CASE("\n\n\r\n\r\r", ""),
    CASE("event: message_start\ndata: {}\n\n", "message_start|{};"),
    CASE("event: a\nevent: b\ndata: 1\n\ndata: 2\n\n", "b|1;|2;"),
    CASE("event: a\n\ndata: 2\n\n", "|2;"),
    CASE("data: a\n: note\ndata: b\n\n", "|a\nb;"),
    CASE("data\ndata\n\n", "|\n;"),
    CASE("data\ndata: x\n\n", "|\nx;"),
    CASE("data: a\ndata: b\ndata: c\n\ndata: d\ndata: e\n\n", "|a\nb\nc;|d\ne;"),
    CASE("data: a:b: c\n\n", "|a:b: c;"),
    CASE("Data: a\ndat: b\ndatas: c\n data: d\n\n", ""),
    CASE(":\n:\n:\n", ""),
    CASE(": ping", ""),
    CASE(": ping\ndata: x\n\n", "|x;"),
    CASE("\xef\xbb\xbf: ping\ndata: x\n\n", "|x;"),
    CASE("\xef\xbb\xbf\ndata: x\n\n", "|x;"),
    CASE("\xef\xbb\xbf\xef\xbb\xbf"
         "data: x\n\n",
         ""),
    CASE("data: x\n\n\xef\xbb\xbf"
         "data: y\n\n",
         "|x;"),
    CASE("data: a\0b\n\n", "|a\0b;"),
    CASE("foo: 1\ndata: x\n", "~|x"),
#undef CASE
};
// clang-format on

static bool said_is(size_t i, struct said said)
{
    return str_eq(buf_str(&said.text), cases[i].said);
}

static void events_are_those_of_the_standard(void)
{
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct said said = feed(cases[i].raw, (size_t[]){0}, 1000);
        EXPECT(said_is(i, said), "case %zu " STR_FMT ": " STR_FMT, i, STR_ARG(cases[i].raw),
               STR_ARG(buf_str(&said.text)));
        EXPECT(said.kept_at_end == 0 || cases[i].raw.p[0] == ':', "case %zu keeps %zu bytes", i,
               said.kept_at_end);
        buf_release(&said.text);
    }
}

static void any_cut_gives_the_same_events(void)
{
    static const size_t ones[200] = {[0 ... 198] = 1};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct said said = feed(cases[i].raw, ones, 1000);
        EXPECT(said_is(i, said), "case %zu byte by byte: " STR_FMT, i,
               STR_ARG(buf_str(&said.text)));
        buf_release(&said.text);
        for (size_t a = 1; a < cases[i].raw.n; a++)
            for (size_t b = 1; b <= cases[i].raw.n - a; b++) {
                said = feed(cases[i].raw, (size_t[]){a, b, 0}, 1000);
                EXPECT(said_is(i, said), "case %zu cut %zu+%zu: " STR_FMT, i, a, b,
                       STR_ARG(buf_str(&said.text)));
                buf_release(&said.text);
            }
    }
}

// Streams made of the pieces that matter, at random cuts, under a limit that some events pass.
static void random_streams_read_the_same_at_random_cuts(void)
{
    static const char *const pieces[] = {"\n", "\r",       "\r\n",        "data", ": ",
                                         ":",  "data: x",  "event: e",    "\n\n", "\r\r",
                                         " ",  "abcdefgh", "\xef\xbb\xbf"};
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        char text[256];
        size_t n = 0, cuts[300] = {0};
        for (int i = 0; i < 24; i++) {
            struct str piece = str_of(pieces[rng_below(&rng, COUNTOF(pieces))]);
            memcpy(text + n, piece.p, piece.n);
            n += piece.n;
        }
        for (size_t i = 0; i < 299; i++)
            cuts[i] = 1 + (size_t)rng_below(&rng, 1 + seed % 9);
        size_t limit = seed % 2 ? 1000 : 8 + seed % 32;
        struct said whole = feed((struct str){text, n}, (size_t[]){0}, limit);
        struct said cut = feed((struct str){text, n}, cuts, limit);
        EXPECT(str_eq(buf_str(&whole.text), buf_str(&cut.text)),
               "seed %" PRIu64 ": whole " STR_FMT " cut " STR_FMT, seed,
               STR_ARG(buf_str(&whole.text)), STR_ARG(buf_str(&cut.text)));
        buf_release(&whole.text);
        buf_release(&cut.text);
    }
}

static void an_event_is_limited_but_a_stream_is_not(void)
{
    struct said said = feed(STR("data: 12\n\ndata: 34\n\n"), (size_t[]){0}, 10);
    EXPECT(str_eq(buf_str(&said.text), STR("|12;|34;")), STR_FMT, STR_ARG(buf_str(&said.text)));
    buf_release(&said.text);
    said = feed(STR("data: 12\n\ndata: 345\n\n"), (size_t[]){0}, 10);
    EXPECT(str_eq(buf_str(&said.text), STR("|12;!")), STR_FMT, STR_ARG(buf_str(&said.text)));
    buf_release(&said.text);
    said = feed(STR("data: 123456789012345"), (size_t[]){3, 3, 3, 0}, 10);
    EXPECT(str_eq(buf_str(&said.text), STR("!")), STR_FMT, STR_ARG(buf_str(&said.text)));
    buf_release(&said.text);
    // A BOM cut in two is still no part of an event.
    said = feed(STR("\xef\xbb\xbf\ndatax\n\n\n"), (size_t[]){2, 2, 2, 2, 2, 0}, 8);
    EXPECT(str_eq(buf_str(&said.text), STR("")), STR_FMT, STR_ARG(buf_str(&said.text)));
    buf_release(&said.text);
    said = feed(STR(": a\n: b\n: c\n: d\n: e\n: f\ndata: 1\n\n"), (size_t[]){2, 2, 2, 2, 2, 0}, 10);
    EXPECT(str_eq(buf_str(&said.text), STR("|1;")), STR_FMT, STR_ARG(buf_str(&said.text)));
    buf_release(&said.text);
}

static void a_line_of_a_mebibyte_is_one_event(void)
{
    size_t n = 1 << 20;
    char *text = take(n + 8);
    memset(text, 'x', n + 8);
    memcpy(text, "data: ", 6);
    memcpy(text + n + 6, "\n\n", 2);
    struct sse s;
    sse_init(&s, 2 << 20);
    bool got = false;
    for (size_t from = 0; from < n + 8; from += 1000) {
        struct str in = {text + from, from + 1000 < n + 8 ? 1000 : n + 8 - from};
        struct sse_event ev;
        EXPECT(!got && !sse_next(&s, &in, &ev, &got), "at %zu", from);
        EXPECT(!got || ev.data.n == n, "%zu bytes", ev.data.n);
    }
    EXPECT(got, "no event");
    sse_release(&s);
    free(text);
}

static void a_whole_event_is_borrowed_and_an_idle_stream_holds_nothing(void)
{
    struct sse s;
    sse_init(&s, 1000);
    struct str text = STR("data: hello\n\ndata: wo"), in = text;
    struct sse_event ev;
    bool got;
    EXPECT(!sse_next(&s, &in, &ev, &got) && got && ev.data.p == text.p + 6, "copied");
    EXPECT(s.kept.size == 0 && s.joined.size == 0, "%zu bytes", s.kept.size);
    EXPECT(!sse_next(&s, &in, &ev, &got) && !got && s.kept.size > 0, "not kept");
    in = STR("rld\n\n");
    EXPECT(!sse_next(&s, &in, &ev, &got) && got && str_eq(ev.data, STR("world")), STR_FMT,
           STR_ARG(ev.data));
    EXPECT(!sse_next(&s, &in, &ev, &got) && !got, "more");
    EXPECT(s.kept.size == 0, "%zu bytes kept", s.kept.size);
    sse_release(&s);
}

int main(void)
{
    TEST(events_are_those_of_the_standard);
    TEST(any_cut_gives_the_same_events);
    TEST(random_streams_read_the_same_at_random_cuts);
    TEST(an_event_is_limited_but_a_stream_is_not);
    TEST(a_line_of_a_mebibyte_is_one_event);
    TEST(a_whole_event_is_borrowed_and_an_idle_stream_holds_nothing);
    return test_end();
}
