#include "lib/hostile.h"
#include "lib/http1_feed.h"
#include "lib/test.h"

static const struct http1_limits limits = {
    .head_bytes = 16 * 1024, .body_bytes = 1 << 20, .headers = HTTP1_HEADERS_MAX};

static size_t by_byte(void *arg)
{
    (void)arg;
    return 1;
}

// The first piece is *arg bytes, the second the rest.
static size_t at(void *arg)
{
    size_t *n = arg, first = *n;
    *n = SIZE_MAX;
    return first;
}

static struct http1_log feed(enum http1_side side, struct str bytes)
{
    return http1_feed(side, limits, false, bytes, NULL, NULL);
}

static bool same(const struct http1_log *a, const struct http1_log *b)
{
    return str_eq(buf_str(&a->text), buf_str(&b->text)) &&
           str_eq(buf_str(&a->bodies), buf_str(&b->bodies));
}

// Feeds byte by byte and at every cut (at some cuts of a long one) and compares with the whole.
static void check_cuts(const char *name, enum http1_side side, bool no_body, struct str bytes)
{
    struct http1_log whole = http1_feed(side, limits, no_body, bytes, NULL, NULL);
    struct http1_log bytewise = http1_feed(side, limits, no_body, bytes, by_byte, NULL);
    EXPECT(same(&whole, &bytewise), "%s byte by byte:\n" STR_FMT "but whole:\n" STR_FMT, name,
           STR_ARG(buf_str(&bytewise.text)), STR_ARG(buf_str(&whole.text)));
    http1_log_release(&bytewise);
    for (size_t cut = 1; cut < bytes.n; cut += cut < 2000 ? 1 : 4999) {
        size_t n = cut;
        struct http1_log log = http1_feed(side, limits, no_body, bytes, at, &n);
        EXPECT(same(&whole, &log), "%s cut at %zu:\n" STR_FMT "but whole:\n" STR_FMT, name, cut,
               STR_ARG(buf_str(&log.text)), STR_ARG(buf_str(&whole.text)));
        http1_log_release(&log);
    }
    http1_log_release(&whole);
}

static void hostile_requests_are_refused(void)
{
    for (size_t i = 0; i < COUNTOF(hostile_requests); i++) {
        const struct hostile *t = &hostile_requests[i];
        struct http1_log log = feed(HTTP1_REQUESTS, t->raw);
        EXPECT(log.status == t->status, "%s: %d, not %d (%s)", t->name, log.status, t->status,
               log.diag.text);
        EXPECT(log.heads == t->heads && log.ends == 0, "%s: %d heads, %d ends", t->name, log.heads,
               log.ends);
        EXPECT(log.e == (t->status == 413 || t->status == 414 || t->status == 431 ? ERR_LIMIT
                                                                                  : ERR_INVALID),
               "%s: %s", t->name, err_name(log.e));
        http1_log_release(&log);
    }
}

static void odd_but_legal_requests_are_read(void)
{
    for (size_t i = 0; i < COUNTOF(legal_requests); i++) {
        const struct hostile *t = &legal_requests[i];
        struct http1_log log = feed(HTTP1_REQUESTS, t->raw);
        EXPECT(!log.e, "%s: %d %s", t->name, log.status, log.diag.text);
        EXPECT(log.heads == t->heads && log.ends == t->heads, "%s: %d heads, %d ends", t->name,
               log.heads, log.ends);
        EXPECT(str_eq(buf_str(&log.bodies), str_of(t->body)), "%s: " STR_FMT, t->name,
               STR_ARG(buf_str(&log.bodies)));
        http1_log_release(&log);
    }
}

static void any_cut_of_a_request_reads_the_same(void)
{
    for (size_t i = 0; i < COUNTOF(hostile_requests); i++)
        check_cuts(hostile_requests[i].name, HTTP1_REQUESTS, false, hostile_requests[i].raw);
    for (size_t i = 0; i < COUNTOF(legal_requests); i++)
        check_cuts(legal_requests[i].name, HTTP1_REQUESTS, false, legal_requests[i].raw);
}

struct answer {
    const char *name;
    struct str raw;
    bool no_body;
    enum err e;
    int32_t heads, ends;
    bool eof_ends;
    const char *body;
};

#define OK "HTTP/1.1 200 OK\r\n"
#define RAW(raw)             \
    {                        \
        raw, sizeof(raw) - 1 \
    }
// clang-format off
static const struct answer answers[] = {
    {"by length", RAW(OK "Content-Length: 2\r\n\r\nhi"), false, 0, 1, 1, false, "hi"},
    {"two", RAW(OK "Content-Length: 2\r\n\r\nhi" OK "Content-Length: 0\r\n\r\n"), false, 0, 2, 2, false, "hi"},
    {"chunked", RAW(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"), false, 0, 1, 1, false, "hi"},
    {"chunked and cut", RAW(OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"), false, 0, 1, 0, false, "hi"},
    {"until the end", RAW(OK "\r\nhi there"), false, 0, 1, 0, true, "hi there"},
    {"length and cut", RAW(OK "Content-Length: 5\r\n\r\nhi"), false, 0, 1, 0, false, "hi"},
    {"to HEAD", RAW(OK "Content-Length: 5\r\n\r\n"), true, 0, 1, 1, false, ""},
    {"to HEAD, chunked", RAW(OK "Transfer-Encoding: chunked\r\n\r\n"), true, 0, 1, 1, false, ""},
    {"204", RAW("HTTP/1.1 204 No Content\r\n\r\n"), false, 0, 1, 1, false, ""},
    {"304 with a length", RAW("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"), false, 0, 1, 1, false, ""},
    {"no reason", RAW("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"), false, 0, 1, 1, false, ""},
    {"empty reason", RAW("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"), false, 0, 1, 1, false, ""},
    {"1.0 until the end", RAW("HTTP/1.0 200 OK\r\n\r\nhi"), false, 0, 1, 0, true, "hi"},
    {"100 first", RAW("HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 2\r\n\r\nhi"), false, 0, 1, 1, false, "hi"},
    {"103 and 100 first", RAW("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 2\r\n\r\nhi"), false, 0, 1, 1, false, "hi"},
    {"100 and nothing", RAW("HTTP/1.1 100 Continue\r\n\r\n"), false, 0, 0, 0, false, ""},
    {"500", RAW("HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nhi"), false, 0, 1, 1, false, "hi"},
    {"101", RAW("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"100 without end", RAW(HOSTILE_X16("HTTP/1.1 100 Continue\r\n\r\n")), false, ERR_INVALID, 0, 0, false, ""},
    {"100 with a body", RAW("HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nhi"), false, ERR_INVALID, 0, 0, false, ""},
    {"CL and TE", RAW(OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"CL twice", RAW(OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi"), false, ERR_INVALID, 0, 0, false, ""},
    {"TE gzip", RAW(OK "Transfer-Encoding: gzip\r\n\r\nhi"), false, ERR_INVALID, 0, 0, false, ""},
    {"TE in 1.0", RAW("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"folded", RAW(OK "X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"bare LF", RAW(OK "X-A: b\nContent-Length: 0\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"bare CR", RAW(OK "X-A: b\rContent-Length: 0\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"blank before the colon", RAW(OK "Content-Length : 2\r\n\r\nhi"), false, ERR_INVALID, 0, 0, false, ""},
    {"HTTP/2.0", RAW("HTTP/2.0 200 OK\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"status 99", RAW("HTTP/1.1 99 Low\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"status 2000", RAW("HTTP/1.1 2000 High\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"status 600", RAW("HTTP/1.1 600 High\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"control in the reason", RAW("HTTP/1.1 200 O\x01K\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"not HTTP", RAW("SSH-2.0-OpenSSH_9.2\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"empty line first", RAW("\r\n" OK "Content-Length: 0\r\n\r\n"), false, ERR_INVALID, 0, 0, false, ""},
    {"more than the HEAD answer", RAW(OK "Content-Length: 2\r\n\r\nhi"), true, ERR_INVALID, 1, 1, false, ""},
    {"bad chunk", RAW(OK "Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n"), false, ERR_INVALID, 1, 0, false, ""},
    {"head too long", RAW(OK "X-A: " HOSTILE_LONG "\r\n\r\n"), false, ERR_LIMIT, 0, 0, false, ""},
    {"too many headers", RAW(OK HOSTILE_X16(HOSTILE_X16("a: b\r\n")) "\r\n"), false, ERR_LIMIT, 0, 0, false, ""},
};
// clang-format on

static void answers_are_framed_strictly(void)
{
    for (size_t i = 0; i < COUNTOF(answers); i++) {
        const struct answer *t = &answers[i];
        struct http1_log log = http1_feed(HTTP1_ANSWERS, limits, t->no_body, t->raw, NULL, NULL);
        EXPECT(log.e == t->e, "%s: %d %s", t->name, log.e, log.diag.text);
        EXPECT(log.heads == t->heads && log.ends == t->ends && log.eof_ends == t->eof_ends,
               "%s: %d heads, %d ends, eof %d", t->name, log.heads, log.ends, log.eof_ends);
        EXPECT(str_eq(buf_str(&log.bodies), str_of(t->body)), "%s: " STR_FMT, t->name,
               STR_ARG(buf_str(&log.bodies)));
        http1_log_release(&log);
        check_cuts(t->name, HTTP1_ANSWERS, t->no_body, t->raw);
    }
}

// Network-stack study 6.4: a prototype joined the trailers to the head, lost Content-Length, and
// made a second request of the body.
static void trailers_never_reach_the_head(void)
{
    struct str in =
        STR("POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
            "2\r\nhi\r\n0\r\nContent-Length: 9\r\nX-A: c\r\nHost: evil\r\n\r\n");
    struct http1 *h = http1_new(HTTP1_REQUESTS, limits);
    struct http1_event ev;
    do {
        EXPECT(!http1_next(h, &in, &ev, NULL), "refused");
        const struct http1_head *head = http1_head(h);
        if (ev.kind == HTTP1_HEAD || ev.kind == HTTP1_BODY) {
            EXPECT(head->n_headers == 3 && head->content_length == -1, "%d headers",
                   head->n_headers);
            EXPECT(str_eq(head->host, STR("a")), STR_FMT, STR_ARG(head->host));
            EXPECT(str_eq(*http1_get(head, STR("x-a")), STR("b")), "x-a");
        }
    } while (ev.kind != HTTP1_END);
    EXPECT(http1_head(h)->n_headers == 0, "the head outlives its message");
    EXPECT(http1_idle(h), "not idle");
    http1_free(h);
}

static void a_head_says_what_was_sent(void)
{
    struct str in = STR("POST http://a:80/v1/chat?x=1&y HTTP/1.1\r\nhost: A:80\r\nContent-Length:  "
                        "7 \r\nConnection: x-drop, Keep-Alive\r\nX-Drop: 1\r\nX-Empty:\r\n\r\n");
    struct http1 *h = http1_new(HTTP1_REQUESTS, limits);
    struct http1_event ev;
    EXPECT(http1_idle(h), "idle before");
    NEED(!http1_next(h, &in, &ev, NULL) && ev.kind == HTTP1_HEAD);
    EXPECT(!http1_idle(h), "idle after a head");
    const struct http1_head *head = http1_head(h);
    EXPECT(str_eq(head->method, STR("POST")), STR_FMT, STR_ARG(head->method));
    EXPECT(str_eq(head->path, STR("/v1/chat")), STR_FMT, STR_ARG(head->path));
    EXPECT(str_eq(head->query, STR("x=1&y")), STR_FMT, STR_ARG(head->query));
    EXPECT(head->content_length == 7 && head->keep_alive && !head->upgrade, "framing");
    EXPECT(http1_is_hop(head, STR("X-DROP")) && http1_is_hop(head, STR("te")), "hop by hop");
    EXPECT(!http1_is_hop(head, STR("X-Empty")) && !http1_is_hop(head, STR("")), "end to end");
    EXPECT(http1_get(head, STR("X-Empty"))->n == 0, "an empty value");
    EXPECT(!http1_get(head, STR("X-None")), "a header that was not sent");
    http1_free(h);
}

static void keep_alive_follows_version_and_connection(void)
{
    static const struct {
        struct str raw;
        bool keep;
    } cases[] = {
        {RAW("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), true},
        {RAW("GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n"), false},
        {RAW("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"),
         false},
        {RAW("GET / HTTP/1.0\r\nHost: a\r\n\r\n"), false},
        {RAW("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"), true},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct http1 *h = http1_new(HTTP1_REQUESTS, limits);
        struct http1_event ev;
        struct str in = cases[i].raw;
        NEED(!http1_next(h, &in, &ev, NULL) && ev.kind == HTTP1_HEAD);
        EXPECT(http1_head(h)->keep_alive == cases[i].keep, "case %zu", i);
        http1_free(h);
    }
}

static void a_body_over_its_limit_is_refused_early(void)
{
    struct http1_limits small = {.head_bytes = 4096, .body_bytes = 10, .headers = 8};
    static const struct {
        struct str raw;
        enum http1_side side;
        int32_t status;
        size_t body;
    } cases[] = {
        {RAW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789"), HTTP1_REQUESTS,
         0, 10},
        {RAW("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"), HTTP1_REQUESTS, 413, 0},
        {RAW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
             "chunked\r\n\r\n6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n"),
         HTTP1_REQUESTS, 0, 10},
        {RAW("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
             "chunked\r\n\r\n6\r\n012345\r\n5\r\n"),
         HTTP1_REQUESTS, 413, 6},
        {RAW("HTTP/1.1 200 OK\r\n\r\n0123456789"), HTTP1_ANSWERS, 0, 10},
        {RAW("HTTP/1.1 200 OK\r\n\r\n0123456789a"), HTTP1_ANSWERS, 413, 10},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct http1_log log = http1_feed(cases[i].side, small, false, cases[i].raw, NULL, NULL);
        EXPECT(log.status == cases[i].status, "case %zu: %d", i, log.status);
        EXPECT(buf_len(&log.bodies) == cases[i].body, "case %zu: %zu", i, buf_len(&log.bodies));
        http1_log_release(&log);
    }
}

// A stream of an hour needs neither its head nor the bytes that are through.
static void a_forgotten_head_costs_nothing(void)
{
    struct str in = STR("GET /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi");
    struct http1 *h = http1_new(HTTP1_REQUESTS, limits);
    size_t empty = http1_bytes(h);
    EXPECT(empty < 400, "%zu bytes", empty);
    struct http1_event ev;
    NEED(!http1_next(h, &in, &ev, NULL) && ev.kind == HTTP1_HEAD);
    EXPECT(http1_bytes(h) > empty, "%zu bytes", http1_bytes(h));
    http1_forget_head(h);
    EXPECT(http1_bytes(h) == empty, "%zu bytes", http1_bytes(h));
    EXPECT(http1_head(h)->chunked && http1_head(h)->keep_alive, "numbers stay");
    NEED(!http1_next(h, &in, &ev, NULL) && ev.kind == HTTP1_BODY);
    EXPECT(str_eq(ev.body, STR("hi")), STR_FMT, STR_ARG(ev.body));
    http1_free(h);
    http1_free(NULL);
}

static void after_an_error_nothing_is_read(void)
{
    struct str in = STR("BAD\r\n\r\n"), good = STR("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http1 *h = http1_new(HTTP1_REQUESTS, limits);
    struct http1_event ev;
    struct diag diag = {0};
    EXPECT(http1_next(h, &in, &ev, NULL) == ERR_INVALID, "accepted");
    EXPECT(http1_next(h, &good, &ev, &diag) == ERR_INVALID && diag.text[0], "%s", diag.text);
    EXPECT(!http1_eof(h) && !http1_idle(h), "goes on");
    http1_free(h);
}

static void writing_keeps_lines_apart(void)
{
    EXPECT(http1_value_ok(STR("a b\tc\xc3\xa9")) && http1_value_ok(STR("")), "good values");
    EXPECT(!http1_value_ok(STR("a\rb")) && !http1_value_ok(STR("a\nb")), "line ends");
    EXPECT(!http1_value_ok(STR("a\0b")) && !http1_value_ok(STR("\x7f")), "controls");
    EXPECT(http1_token_ok(STR("X-A")) && !http1_token_ok(STR("")) && !http1_token_ok(STR("a b")),
           "tokens");
    struct buf b;
    buf_init(&b, 100);
    EXPECT(http1_write_chunk_head(&b, 31) && http1_write_chunk_head(&b, 0) &&
               http1_write_chunk_head(&b, SIZE_MAX),
           "room");
    EXPECT(str_eq(buf_str(&b), STR("1f\r\n0\r\nffffffffffffffff\r\n")), STR_FMT,
           STR_ARG(buf_str(&b)));
    buf_release(&b);
    EXPECT(str_eq(str_of(http1_reason(429)), STR("Too Many Requests")), "%s", http1_reason(429));
    EXPECT(http1_reason(799)[0], "a status without a name");
}

// Whatever stands around it, and wherever in the value it is.
static void a_value_may_have_these_bytes(void)
{
    for (int at = 0; at < 20; at++) {
        for (int c = 0; c < 256; c++) {
            char raw[64] = "GET / HTTP/1.1\r\nHost: a\r\nX:vvvvvvvvvvvvvvvvvvvv\r\n\r\n";
            struct str in = str_of(raw);
            raw[27 + at] = (char)c;
            struct http1 *h = http1_new(HTTP1_REQUESTS, limits);
            struct http1_event ev;
            struct diag diag = {0};
            bool taken = !http1_next(h, &in, &ev, &diag);
            bool may = c == '\t' || (c >= ' ' && c != 0x7f);
            EXPECT(taken == may, "byte %d at %d: %s", c, at, diag.text);
            http1_free(h);
        }
    }
}

int main(void)
{
    TEST(a_value_may_have_these_bytes);
    TEST(hostile_requests_are_refused);
    TEST(odd_but_legal_requests_are_read);
    TEST(any_cut_of_a_request_reads_the_same);
    TEST(answers_are_framed_strictly);
    TEST(trailers_never_reach_the_head);
    TEST(a_head_says_what_was_sent);
    TEST(keep_alive_follows_version_and_connection);
    TEST(a_body_over_its_limit_is_refused_early);
    TEST(a_forgotten_head_costs_nothing);
    TEST(after_an_error_nothing_is_read);
    TEST(writing_keeps_lines_apart);
    return test_end();
}
