// Validation: one pass over the text, the strings in it 16 bytes at a time.

#include "wire/json_scan.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

// Four hexadecimal digits at p, or -1.
static int32_t hex4(const char *p, const char *end)
{
    int32_t v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex(p[i]);
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

bool json_escape_read(const char **p, const char *end, uint32_t *c)
{
    const char *at = *p + 1;
    if (at == end)
        return false;
    switch (*at++) {
    case '"': *c = '"'; break;
    case '\\': *c = '\\'; break;
    case '/': *c = '/'; break;
    case 'b': *c = '\b'; break;
    case 'f': *c = '\f'; break;
    case 'n': *c = '\n'; break;
    case 'r': *c = '\r'; break;
    case 't': *c = '\t'; break;
    case 'u': {
        int32_t unit = hex4(at, end), low;
        if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
            return false;
        at += 4;
        if (unit >= 0xd800 && unit <= 0xdbff) {
            if (end - at < 6 || at[0] != '\\' || at[1] != 'u')
                return false;
            low = hex4(at + 2, end);
            if (low < 0xdc00 || low > 0xdfff)
                return false;
            at += 6;
            unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        }
        *c = (uint32_t)unit;
        break;
    }
    default: return false;
    }
    *p = at;
    return true;
}

size_t json_unicode_n(const char *p, const char *end, size_t *saved)
{
    const char *at = p;
    uint32_t c;
    if (!json_escape_read(&at, end, &c))
        return 0;
    size_t n = (size_t)(at - p);
    *saved += n - (c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
    return n;
}

#if defined(__x86_64__)
// As string_marks(), 32 bytes at a time.
static inline __attribute__((target("avx2"))) __m256i string_marks_32(const char *p)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)p);
    __m256i turned = _mm256_xor_si256(v, _mm256_set1_epi8(2));
    __m256i quote = _mm256_cmpeq_epi8(_mm256_min_epu8(turned, _mm256_set1_epi8(0x20)), turned);
    return _mm256_or_si256(quote, _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\')));
}

// Behind the blocks of 64 bytes in which nothing ends the plain part of a string.
static __attribute__((target("avx2"))) const char *plain_blocks(const char *p, const char *end)
{
    for (; end - p >= 64; p += 64)
        if (_mm256_movemask_epi8(_mm256_or_si256(string_marks_32(p), string_marks_32(p + 32))))
            break;
    return p;
}
#endif

const char *json_string_far(const char *p, const char *end, size_t *saved)
{
    size_t n;
#if defined(__SSE2__)
    for (const char *from = p; p - from < 48 && end - p >= 16; p += 16)
        if (_mm_movemask_epi8(string_marks(p)))
            break;
    while (end - p >= 64) {
        uint64_t marks = string_marks_64(p);
        size_t at = 0;
        for (; marks; marks = at < 64 ? marks & (~(uint64_t)0 << at) : 0) {
            at = (size_t)__builtin_ctzll(marks);
            if (p[at] != '\\' || !(n = escape_n(p + at, end, saved)))
                return p + at;
            at += n;
        }
        p += at > 64 ? at : 64;
#if defined(__x86_64__)
        if (at == 0 && __builtin_cpu_supports("avx2"))
            p = plain_blocks(p, end);
#endif
    }
#endif
    while ((p = string_stop(p, end)) < end && *p == '\\' && (n = escape_n(p, end, saved)))
        p += n;
    return p;
}

struct scan {
    const char *p, *end;
    const char *why;  // set where something is wrong, which is at `p`
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool wrong(struct scan *s, const char *why)
{
    s->why = why;
    return false;
}

static bool scan_string(struct scan *s)
{
    size_t saved;
    s->p = string_end(s->p + 1, s->end, &saved);
    if (s->p == s->end)
        return wrong(s, "a string does not end");
    if (*s->p != '"')
        return wrong(s, *s->p == '\\' ? "not an escape" : "a control character in a string");
    s->p++;
    return true;
}

const char *json_text_end(const char *p, const char *end, size_t *bytes)
{
    size_t saved;
    if (p == end || *p != '"')
        return NULL;
    const char *at = string_end(p + 1, end, &saved);
    if (at == end || *at != '"')
        return NULL;
    struct str text = {p + 1, (size_t)(at - p) - 1};
    char any = 0;
    for (size_t i = 0; i < text.n; i++)
        any |= text.p[i];
    if ((any & 0x80) && !json_utf8_valid(text))
        return NULL;
    *bytes = text.n - saved;
    return at + 1;
}

static bool scan_digits(struct scan *s)
{
    const char *from = s->p;
    while (s->p < s->end && is_digit(*s->p))
        s->p++;
    return s->p > from || wrong(s, "a digit is missing");
}

static bool scan_number(struct scan *s)
{
    if (*s->p == '-')
        s->p++;
    const char *digits = s->p;
    if (!scan_digits(s))
        return false;
    if (*digits == '0' && s->p - digits > 1)
        return wrong(s, "a number with a leading zero");
    if (s->p < s->end && *s->p == '.') {
        s->p++;
        if (!scan_digits(s))
            return false;
    }
    if (s->p < s->end && (*s->p | 0x20) == 'e') {
        s->p++;
        if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
            s->p++;
        return scan_digits(s);
    }
    return true;
}

static bool scan_word(struct scan *s, const char *word, size_t n)
{
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
        return wrong(s, "not a value");
    s->p += n;
    return true;
}

static bool scan_scalar(struct scan *s)
{
    switch (*s->p) {
    case '"': return scan_string(s);
    case 't': return scan_word(s, "true", 4);
    case 'f': return scan_word(s, "false", 5);
    case 'n': return scan_word(s, "null", 4);
    default: return *s->p == '-' || is_digit(*s->p) ? scan_number(s) : wrong(s, "not a value");
    }
}

// "key" and the colon behind it.
static bool scan_key(struct scan *s)
{
    if (s->p == s->end || *s->p != '"')
        return wrong(s, "a key is missing");
    if (!scan_string(s))
        return false;
    s->p = blank_skip(s->p, s->end);
    if (s->p == s->end || *s->p != ':')
        return wrong(s, "a colon is missing");
    s->p = blank_skip(s->p + 1, s->end);
    return true;
}

// One value, with all that is in it; the open brackets are kept in an array instead of on the
// stack.
static bool scan_value(struct scan *s, int around)
{
    char closes[JSON_DEPTH_MAX];
    int depth = 0;
    for (;;) {
        // A value begins here.
        if (s->p == s->end)
            return wrong(s, "a value is missing");
        if (*s->p == '{' || *s->p == '[') {
            if (around + depth >= JSON_DEPTH_MAX)
                return wrong(s, "nested too deeply");
            char close = *s->p == '{' ? '}' : ']';
            s->p = blank_skip(s->p + 1, s->end);
            if (s->p == s->end || *s->p != close) {
                closes[depth++] = close;
                if (close == '}' && !scan_key(s))
                    return false;
                continue;
            }
            s->p++;
        } else if (!scan_scalar(s)) {
            return false;
        }
        // It has ended; what it is in may end with it.
        for (;;) {
            if (depth == 0)
                return true;
            s->p = blank_skip(s->p, s->end);
            if (s->p < s->end && *s->p == closes[depth - 1]) {
                s->p++;
                depth--;
                continue;
            }
            break;
        }
        if (s->p == s->end || *s->p != ',')
            return wrong(s, "a comma or a closing bracket is missing");
        s->p = blank_skip(s->p + 1, s->end);
        if (closes[depth - 1] == '}' && !scan_key(s))
            return false;
    }
}

const char *json_value_end(const char *p, const char *end, int depth)
{
    struct scan s = {.p = p, .end = end};
    return scan_value(&s, depth) ? s.p : NULL;
}

const char *json_scalar_end(const char *p, const char *end)
{
    struct scan s = {.p = p, .end = end};
    return scan_scalar(&s) ? s.p : NULL;
}

enum err json_validate(struct str text, struct diag *diag)
{
    if (text.n == 0)
        return diag_set(diag, ERR_INVALID, "the text is empty");
    if (!json_utf8_valid(text))
        return diag_set(diag, ERR_INVALID, "the text is not valid UTF-8");
    const char *end = text.p + text.n;
    struct scan s = {.p = blank_skip(text.p, end), .end = end};
    if (scan_value(&s, 0)) {
        s.p = blank_skip(s.p, end);
        if (s.p == end)
            return ERR_NONE;
        s.why = "something follows the value";
    }
    return diag_set(diag, ERR_INVALID, "byte %zu: %s", (size_t)(s.p - text.p), s.why);
}
