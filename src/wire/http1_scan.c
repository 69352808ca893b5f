#include "wire/http1_scan.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// clang-format off
#define T HTTP1_TOKEN
#define V HTTP1_VALUE
#define G HTTP1_TARGET
#define H HTTP1_HOST
#define ALNUM (T | V | G | H)
const uint8_t http1_classes[256] = {
    ['\t'] = V, [' '] = V, ['"'] = V, ['#'] = V | T, ['<'] = V, ['>'] = V, ['\\'] = V, ['{'] = V, ['}'] = V,
    ['^'] = V | T, ['`'] = V | T, ['|'] = V | T,
    ['!'] = V | T | G, ['$'] = V | T | G, ['%'] = V | T | G, ['&'] = V | T | G, ['\''] = V | T | G,
    ['*'] = V | T | G, ['+'] = V | T | G,
    ['('] = V | G, [')'] = V | G, [','] = V | G, ['/'] = V | G, [':'] = V | G, [';'] = V | G, ['='] = V | G,
    ['?'] = V | G, ['@'] = V | G, ['['] = V | G, [']'] = V | G,
    ['-'] = ALNUM, ['.'] = ALNUM, ['_'] = ALNUM, ['~'] = ALNUM,
    ['0' ... '9'] = ALNUM, ['A' ... 'Z'] = ALNUM, ['a' ... 'z'] = ALNUM,
    [128 ... 255] = V,
};
#undef T
#undef V
#undef G
#undef H
#undef ALNUM
// clang-format on

static bool refuse(struct http1_fault *f, int32_t status, const char *why)
{
    *f = (struct http1_fault){status, why};
    return false;
}

static bool all_are(struct str s, enum http1_class class)
{
    for (size_t i = 0; i < s.n; i++)
        if (!http1_is(s.p[i], class))
            return false;
    return true;
}

// Behind the bytes of [p, end) that may stand in a value, 16 at a time where there are as many. A
// tab is the one control character among them.
static const char *value_end(const char *p, const char *end)
{
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v),
                                   _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
        int stop = _mm_movemask_epi8(_mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), odd));
        if (stop)
            return p + __builtin_ctz((unsigned)stop);
    }
#endif
    while (p < end && http1_is(*p, HTTP1_VALUE))
        p++;
    return p;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static const char bad_line_end[] = "a line that does not end with CRLF";

// Takes a line and its CRLF off the front.
static bool take_line(struct str *rest, struct str *line, struct http1_fault *f)
{
    const char *lf = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    if (!lf || lf == rest->p || lf[-1] != '\r')
        return refuse(f, 400, bad_line_end);
    *line = (struct str){rest->p, (size_t)(lf - rest->p) - 1};
    *rest = str_skip(*rest, line->n + 2);
    return true;
}

// "HTTP/1.1"
static bool check_version(struct str v, struct http1_fault *f)
{
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || !is_digit(v.p[5]) || v.p[6] != '.' ||
        !is_digit(v.p[7]))
        return refuse(f, 400, "the first line is not one of HTTP");
    if (v.p[5] != '1' || v.p[7] > '1')
        return refuse(f, 505, "a version of HTTP other than 1.0 and 1.1");
    return true;
}

static bool check_target(struct str method, struct str target, struct http1_fault *f)
{
    if (target.n == 0 || !all_are(target, HTTP1_TARGET))
        return refuse(f, 400, "a byte in the request target that does not belong there");
    const char *percent = memchr(target.p, '%', target.n);
    for (size_t i = percent ? (size_t)(percent - target.p) : target.n; i < target.n; i++)
        if (target.p[i] == '%' &&
            (target.n - i < 3 || !is_hex(target.p[i + 1]) || !is_hex(target.p[i + 2])))
            return refuse(f, 400, "a '%' in the request target without two hex digits");
    if (str_eq(method, STR("CONNECT")))
        return refuse(f, 501, "CONNECT is not offered");
    if (str_eq(target, STR("*")) && str_eq(method, STR("OPTIONS")))
        return true;
    if (target.p[0] == '/' || str_starts(target, STR("http://")) ||
        str_starts(target, STR("https://")))
        return true;
    return refuse(f, 400, "a request target that is neither a path nor a URL");
}

static bool scan_request_line(struct str line, struct http1_head *h, struct http1_fault *f)
{
    if (!line.n || !str_cut(&line, ' ', &h->method) || !line.p ||
        !str_cut(&line, ' ', &h->target) || !line.p)
        return refuse(f, 400, "a request line that is not: method, target, version");
    if (!http1_token_ok(h->method))
        return refuse(f, 400, "a method that is not a token");
    if (!check_version(line, f) || !check_target(h->method, h->target, f))
        return false;
    h->version_minor = line.p[7] - '0';
    return true;
}

// "HTTP/1.1 200 OK"; the reason, and the blank before it, may be missing.
static bool scan_status_line(struct str line, struct http1_head *h, struct http1_fault *f)
{
    if (!check_version((struct str){line.p, line.n < 8 ? line.n : 8}, f))
        return false;
    const char *p = line.p;
    if (line.n < 12 || p[8] != ' ' || p[9] < '1' || p[9] > '5' || !is_digit(p[10]) ||
        !is_digit(p[11]))
        return refuse(f, 400, "a status that is not a number from 100 to 599");
    if (line.n > 12 && (p[12] != ' ' || value_end(p + 12, p + line.n) != p + line.n))
        return refuse(f, 400, "a control character in the reason");
    h->version_minor = p[7] - '0';
    h->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    return true;
}

// Behind the token that begins at p: 16 bytes at once where it holds letters, digits and dashes
// alone, as names do.
static const char *token_end(const char *p, const char *end)
{
#if defined(__SSE2__)
    if (end - p >= 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i letter = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
        letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
        digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
        __m128i dash = _mm_cmpeq_epi8(v, _mm_set1_epi8('-'));
        int other = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letter, digit), dash)) ^ 0xffff;
        p += other ? __builtin_ctz((unsigned)other) : 16;
    }
#endif
    while (p < end && http1_is(*p, HTTP1_TOKEN))
        p++;
    return p;
}

// What stands at `p` instead of the colon behind a name that began at `from`.
static bool refuse_name(const char *from, const char *p, const char *end, struct http1_fault *f)
{
    if (p == from && (*p == ' ' || *p == '\t'))
        return refuse(f, 400, "a folded header line");
    if (p < end && *p == '\n')
        return refuse(f, 400, bad_line_end);
    if (end - p >= 2 && p[0] == '\r' && p[1] == '\n')
        return refuse(f, 400, "a header line without a colon");
    return refuse(f, 400, "a header name that is not a token");
}

static enum http1_meaning meaning_of(struct str name)
{
    switch (name.n) {  // most names differ in length already
    case 4: return str_eq_nocase(name, STR("Host")) ? HTTP1_HOST_NAME : HTTP1_PLAIN;
    case 6: return str_eq_nocase(name, STR("Expect")) ? HTTP1_EXPECT : HTTP1_PLAIN;
    case 7: return str_eq_nocase(name, STR("Upgrade")) ? HTTP1_UPGRADE : HTTP1_PLAIN;
    case 10: return str_eq_nocase(name, STR("Connection")) ? HTTP1_CONNECTION : HTTP1_PLAIN;
    case 14: return str_eq_nocase(name, STR("Content-Length")) ? HTTP1_LENGTH : HTTP1_PLAIN;
    case 16:
        return str_eq_nocase(name, STR("Proxy-Connection")) ? HTTP1_PROXY_CONNECTION : HTTP1_PLAIN;
    case 17: return str_eq_nocase(name, STR("Transfer-Encoding")) ? HTTP1_CODING : HTTP1_PLAIN;
    default: return HTTP1_PLAIN;
    }
}

// One header line, in one pass. `*rest` goes behind it.
static bool scan_header_line(struct str *rest, struct http1_header *h, struct http1_fault *f)
{
    const char *from = rest->p, *end = rest->p + rest->n, *p = token_end(from, end);
    if (p == from || p == end || *p != ':')
        return refuse_name(from, p, end, f);
    h->name = (struct str){from, (size_t)(p - from)};
    h->meaning = meaning_of(h->name);
    const char *value = ++p;
    p = value_end(p, end);
    if (end - p < 2 || *p == '\n')
        return refuse(f, 400, bad_line_end);
    if (p[0] != '\r' || p[1] != '\n')
        return refuse(f, 400, "a control character in a header value");
    h->value = str_trim((struct str){value, (size_t)(p - value)});
    *rest = (struct str){p + 2, (size_t)(end - p) - 2};
    return true;
}

bool http1_scan(struct str raw, enum http1_side side, int32_t headers_max, struct http1_head *h,
                struct http1_fault *f)
{
    struct str line;
    if (!take_line(&raw, &line, f))
        return false;
    if (!(side == HTTP1_REQUESTS ? scan_request_line(line, h, f) : scan_status_line(line, h, f)))
        return false;
    for (h->n_headers = 0; raw.n < 2 || raw.p[0] != '\r' || raw.p[1] != '\n'; h->n_headers++) {
        if (!raw.n)
            return refuse(f, 400, bad_line_end);
        if (h->n_headers == headers_max)
            return refuse(f, 431, "too many headers");
        if (!scan_header_line(&raw, &h->headers[h->n_headers], f))
            return false;
    }
    CHECK(raw.n == 2);  // the caller found the first empty line
    return true;
}

// A name or an address, and perhaps a port. RFC 3986 allows more in names; nobody needs it.
static bool host_ok(struct str host)
{
    size_t i = 0;
    if (host.n && host.p[0] == '[') {
        for (i = 1; i < host.n && (is_hex(host.p[i]) || host.p[i] == ':' || host.p[i] == '.');)
            i++;
        if (i == 1 || i == host.n || host.p[i++] != ']')
            return false;
    } else {
        while (i < host.n && http1_is(host.p[i], HTTP1_HOST))
            i++;
        if (i == 0)
            return false;
    }
    if (i == host.n)
        return true;
    struct str port = str_skip(host, i + 1);
    int64_t number;
    return host.p[i] == ':' && port.n <= 5 && str_to_i64(port, &number) && number >= 0 &&
           number <= 65535;
}

// Cuts the target into path and query. An absolute form must name the host that Host names.
static bool judge_target(struct http1_head *h, struct http1_fault *f)
{
    struct str path = h->target;
    if (str_starts(path, STR("http://")) || str_starts(path, STR("https://"))) {
        path = str_skip(path, path.p[4] == 's' ? 8 : 7);
        size_t n = 0;
        while (n < path.n && path.p[n] != '/' && path.p[n] != '?')
            n++;
        if (!str_eq_nocase((struct str){path.p, n}, h->host))
            return refuse(f, 400, "the target names another host than Host");
        path = str_skip(path, n);
    }
    h->query = (struct str){NULL, 0};
    const char *mark = path.n ? memchr(path.p, '?', path.n) : NULL;
    if (mark) {
        h->query = str_skip(path, (size_t)(mark - path.p) + 1);
        path.n = (size_t)(mark - path.p);
    }
    h->path = path.n ? path : STR("/");
    return true;
}

// Digits and nothing else, once.
static bool judge_length(struct http1_head *h, struct str value, struct http1_fault *f)
{
    if (h->content_length >= 0)
        return refuse(f, 400, "Content-Length twice");
    if (value.n == 0 || !is_digit(value.p[0]) || !str_to_i64(value, &h->content_length))
        return refuse(f, 400, "a Content-Length that is not a number");
    return true;
}

static bool judge_coding(struct http1_head *h, struct str value, struct http1_fault *f)
{
    if (h->chunked)
        return refuse(f, 400, "Transfer-Encoding twice");
    if (h->version_minor == 0)
        return refuse(f, 400, "Transfer-Encoding in HTTP/1.0");
    if (!str_eq_nocase(value, STR("chunked")))
        return refuse(f, 501, "a Transfer-Encoding other than chunked");
    h->chunked = true;
    return true;
}

struct wishes {
    bool close, keep, upgrade;  // said in Connection
};

static void judge_connection(struct str value, struct wishes *w)
{
    struct str part;
    while (str_cut(&value, ',', &part)) {
        part = str_trim(part);
        w->close |= str_eq_nocase(part, STR("close"));
        w->keep |= str_eq_nocase(part, STR("keep-alive"));
        w->upgrade |= str_eq_nocase(part, STR("upgrade"));
    }
}

static bool judge_expect(struct http1_head *h, struct str value, struct http1_fault *f)
{
    if (!str_eq_nocase(value, STR("100-continue")))
        return refuse(f, 417, "an Expect other than 100-continue");
    h->expect_continue = h->version_minor > 0;
    return true;
}

bool http1_judge(struct http1_head *h, enum http1_side side, struct http1_fault *f)
{
    bool request = side == HTTP1_REQUESTS, upgrade = false;
    int n_hosts = 0;
    struct wishes w = {0};
    h->content_length = -1;
    h->chunked = h->expect_continue = false;
    h->name_lengths = 0;
    for (int32_t i = 0; i < h->n_headers; i++) {
        struct str value = h->headers[i].value;
        size_t name_n = h->headers[i].name.n;
        bool ok = true;
        h->name_lengths |= name_n < 64 ? UINT64_C(1) << name_n : 0;
        switch ((enum http1_meaning)h->headers[i].meaning) {
        case HTTP1_HOST_NAME:
            h->host = value;
            n_hosts++;
            break;
        case HTTP1_EXPECT: ok = !request || judge_expect(h, value, f); break;
        case HTTP1_UPGRADE: upgrade = true; break;
        case HTTP1_CONNECTION: judge_connection(value, &w); break;
        case HTTP1_LENGTH: ok = judge_length(h, value, f); break;
        case HTTP1_CODING: ok = judge_coding(h, value, f); break;
        case HTTP1_PLAIN:
        case HTTP1_PROXY_CONNECTION: break;
        }
        if (!ok)
            return false;
    }
    if (h->chunked && h->content_length >= 0)
        return refuse(f, 400, "Content-Length beside Transfer-Encoding");
    h->keep_alive = !w.close && (h->version_minor > 0 || w.keep);
    h->upgrade = upgrade && w.upgrade;
    if (!request)
        return true;
    if (n_hosts != 1)
        return refuse(f, 400, n_hosts ? "Host twice" : "no Host");
    if (!host_ok(h->host))
        return refuse(f, 400, "a Host that is not a name and a port");
    return judge_target(h, f);
}
