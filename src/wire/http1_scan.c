#include "wire/http1_scan.h"

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

// all_are(s, HTTP1_VALUE), eight bytes at a time. In each lane's highest bit: is it below a blank,
// or DEL? Where one is, it may still be a tab, which belongs.
static bool is_value(struct str s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    for (; s.n >= 8; s = str_skip(s, 8)) {
        uint64_t x, del;
        memcpy(&x, s.p, 8);
        del = x ^ ones * 0x7f;
        bool odd = (((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) & tops;
        if (odd && !all_are((struct str){s.p, 8}, HTTP1_VALUE))
            return false;
    }
    return all_are(s, HTTP1_VALUE);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

// Takes a line and its CRLF off the front.
static bool take_line(struct str *rest, struct str *line, struct http1_fault *f)
{
    const char *lf = rest->n ? memchr(rest->p, '\n', rest->n) : NULL;
    if (!lf || lf == rest->p || lf[-1] != '\r')
        return refuse(f, 400, "a line that does not end with CRLF");
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
    for (size_t i = 0; i < target.n; i++)
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

static bool scan_request_line(struct str line, struct http1_fault *f)
{
    struct str method, target;
    if (!line.n || !str_cut(&line, ' ', &method) || !line.p || !str_cut(&line, ' ', &target) ||
        !line.p)
        return refuse(f, 400, "a request line that is not: method, target, version");
    if (!http1_token_ok(method))
        return refuse(f, 400, "a method that is not a token");
    return check_version(line, f) && check_target(method, target, f);
}

// "HTTP/1.1 200 OK"; the reason, and the blank before it, may be missing.
static bool scan_status_line(struct str line, struct http1_fault *f)
{
    if (!check_version((struct str){line.p, line.n < 8 ? line.n : 8}, f))
        return false;
    const char *p = line.p;
    if (line.n < 12 || p[8] != ' ' || p[9] < '1' || p[9] > '5' || !is_digit(p[10]) ||
        !is_digit(p[11]))
        return refuse(f, 400, "a status that is not a number from 100 to 599");
    if (line.n > 12 && (p[12] != ' ' || !is_value(str_skip(line, 12))))
        return refuse(f, 400, "a control character in the reason");
    return true;
}

static bool scan_header_line(struct str line, struct http1_fault *f)
{
    size_t i = 0;
    while (i < line.n && http1_is(line.p[i], HTTP1_TOKEN))
        i++;
    if (i == 0 && (line.p[0] == ' ' || line.p[0] == '\t'))
        return refuse(f, 400, "a folded header line");
    if (i == line.n)
        return refuse(f, 400, "a header line without a colon");
    if (line.p[i] != ':' || i == 0)
        return refuse(f, 400, "a header name that is not a token");
    if (!is_value(str_skip(line, i + 1)))
        return refuse(f, 400, "a control character in a header value");
    return true;
}

bool http1_scan(struct str raw, enum http1_side side, int32_t headers_max, int32_t *n_headers,
                struct http1_fault *f)
{
    struct str line;
    if (!take_line(&raw, &line, f))
        return false;
    if (!(side == HTTP1_REQUESTS ? scan_request_line(line, f) : scan_status_line(line, f)))
        return false;
    for (*n_headers = 0;; ++*n_headers) {
        if (!take_line(&raw, &line, f))
            return false;
        if (line.n == 0)
            break;
        if (*n_headers == headers_max)
            return refuse(f, 431, "too many headers");
        if (!scan_header_line(line, f))
            return false;
    }
    CHECK(raw.n == 0);  // the caller found the first empty line
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
    for (int32_t i = 0; i < h->n_headers; i++) {
        struct str name = h->headers[i].name, value = h->headers[i].value;
        bool ok = true;
        switch (name.n) {  // most names differ in length already
        case 4:
            if (str_eq_nocase(name, STR("Host"))) {
                h->host = value;
                n_hosts++;
            }
            break;
        case 6:
            if (request && str_eq_nocase(name, STR("Expect")))
                ok = judge_expect(h, value, f);
            break;
        case 7: upgrade |= str_eq_nocase(name, STR("Upgrade")); break;
        case 10:
            if (str_eq_nocase(name, STR("Connection")))
                judge_connection(value, &w);
            break;
        case 14:
            if (str_eq_nocase(name, STR("Content-Length")))
                ok = judge_length(h, value, f);
            break;
        case 17:
            if (str_eq_nocase(name, STR("Transfer-Encoding")))
                ok = judge_coding(h, value, f);
            break;
        default: break;
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
