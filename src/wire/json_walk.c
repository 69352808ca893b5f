// Walking texts that are known to be right, and reading their values.

#include "wire/json_scan.h"

// --- walking ----------------------------------------------------------------------------------

// The first quote or bracket in [p, end), or `end`. '[' and '{', and ']' and '}', differ in one
// bit.
static const char *bracket_stop(const char *p, const char *end)
{
#if defined(__SSE2__)
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i w = _mm_or_si128(v, _mm_set1_epi8(0x20));
        __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
        __m128i open = _mm_cmpeq_epi8(w, _mm_set1_epi8('{'));
        __m128i close = _mm_cmpeq_epi8(w, _mm_set1_epi8('}'));
        int stop = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(open, close), quote));
        if (stop)
            return p + __builtin_ctz((unsigned)stop);
    }
#endif
    while (p < end && *p != '"' && (*p | 0x20) != '{' && (*p | 0x20) != '}')
        p++;
    return p;
}

// Behind the closing quote of the string whose first character is at p; NULL if it does not end.
// What is no JSON is passed over: only a text that was not validated has it.
static const char *string_skip(const char *p, const char *end, size_t *saved)
{
    size_t more;
    p = string_end(p, end, saved);
    while (p < end && *p != '"') {
        if (*p == '\\' && ++p == end)
            return NULL;
        p = string_end(p + 1, end, &more);
        *saved += more;
    }
    return p < end ? p + 1 : NULL;
}

// Behind the object or array that starts at p, which is known to be well formed; never past `end`.
static const char *nested_skip(const char *p, const char *end)
{
    size_t saved;
    for (size_t depth = 0; p < end;) {
        p = bracket_stop(p, end);
        if (p == end)
            break;
        char c = *p++;
        if (c == '"') {
            p = string_skip(p, end, &saved);
            if (!p)
                return end;
        } else if ((c | 0x20) == '{') {
            depth++;
        } else if (depth <= 1) {
            return p;
        } else {
            depth--;
        }
    }
    return end;
}

// A number where it is nothing else.
static enum json_kind kind_of(char first)
{
    enum { OTHER, KIND };  // what is not in the table is no kind, and JSON_NULL is 0
    static const uint8_t kinds[256] = {
        ['"'] = KIND + JSON_STRING, ['{'] = KIND + JSON_OBJECT, ['['] = KIND + JSON_ARRAY,
        ['t'] = KIND + JSON_TRUE,   ['f'] = KIND + JSON_FALSE,  ['n'] = KIND + JSON_NULL};
    uint8_t kind = kinds[(unsigned char)first];
    return kind == OTHER ? JSON_NUMBER : (enum json_kind)(kind - KIND);
}

static const char *word_skip(const char *p, const char *end)
{
    while (p < end && *p != ',' && *p != '}' && *p != ']' && !is_blank(*p))
        p++;
    return p;
}

bool json_walk(struct json_walk *w, struct str text)
{
    *w = (struct json_walk){.text = text, .done = true};
    const char *end = text.p + text.n;
    const char *p = text.n ? blank_skip(text.p, end) : end;
    if (p == end || (*p != '{' && *p != '['))
        return false;
    w->array = *p == '[';
    w->at = (size_t)(p - text.p) + 1;
    w->done = false;
    return true;
}

bool json_walk_once(struct json_walk *w, struct str text)
{
    bool ok = json_walk(w, text);
    w->once = true;
    return ok;
}

// Something is wrong in a text that is walked strictly: nobody walks on.
static bool fail(struct json_walk *w)
{
    for (; w; w = w->outer)
        w->wrong = w->done = true;
    return false;
}

bool json_walk_strict(struct json_walk *w, struct str text)
{
    bool ok = json_walk_once(w, text) && json_utf8_valid(text);
    w->depth = 1;
    w->wrong = w->done = !ok;
    return ok;
}

bool json_walk_ok(const struct json_walk *w)
{
    return w->done && !w->wrong;
}

bool json_walk_in(struct json_walk *inner, struct json_walk *outer)
{
    bool ok = outer->value.kind == JSON_OBJECT || outer->value.kind == JSON_ARRAY;
    *inner = (struct json_walk){.text = outer->text,
                                .at = outer->value.at + 1,
                                .array = outer->value.kind == JSON_ARRAY,
                                .done = !ok,
                                .once = true,
                                .depth = (int16_t)(outer->depth + (outer->depth > 0)),
                                .outer = outer};
    if (inner->depth > JSON_DEPTH_MAX)
        fail(inner);
    return ok;
}

// The object or array at hand ends before `at`.
static void value_ends(struct json_walk *w, size_t at)
{
    w->open = false;
    w->at = at;
    w->value.n = at - w->value.at;
}

struct json_span json_value_open(struct json_walk *w)
{
    const char *begin = w->text.p, *end = begin + w->text.n, *stop;
    stop = w->depth ? json_value_end(begin + w->value.at, end, w->depth)
                    : nested_skip(begin + w->value.at, end);
    value_ends(w, stop ? (size_t)(stop - begin) : w->text.n);
    if (!stop)
        fail(w);
    return w->value;
}

// Reads the key and the colon at p; NULL if they are not there.
static const char *step_key(struct json_walk *w, const char *p, const char *end)
{
    if (*p != '"')
        return NULL;
    w->key_at = (size_t)(p - w->text.p);
    const char *key = p + 1;
    size_t saved;
    p = string_skip(key, end, &saved);
    if (!p)
        return NULL;
    w->key_escaped = saved > 0;
    w->key = (struct str){key, (size_t)(p - 1 - key)};
    p = blank_skip(p, end);
    return p < end && *p == ':' ? blank_skip(p + 1, end) : NULL;
}

// Reads the value at p as far as this walk wants it. False: there is none.
static bool step_value(struct json_walk *w, const char *p, const char *end)
{
    const char *stop;
    w->value.kind = kind_of(*p);
    w->value.at = (size_t)(p - w->text.p);
    w->value_saved = 0;
    if (w->value.kind == JSON_OBJECT || w->value.kind == JSON_ARRAY) {
        w->open = true;
        w->value.n = 0;
        if (!w->once)
            json_value(w);
        return true;
    }
    if (w->value.kind == JSON_STRING)
        stop = string_skip(p + 1, end, &w->value_saved);
    else
        stop = word_skip(p, end);
    if (!stop || stop == p)
        return false;
    value_ends(w, (size_t)(stop - w->text.p));
    return true;
}

// Behind the last member: its closing bracket, or the wrong one.
static bool strict_end(struct json_walk *w, const char *p, const char *end)
{
    if (*p != (w->array ? ']' : '}'))
        return fail(w);
    if (w->outer)
        value_ends(w->outer, (size_t)(p + 1 - w->text.p));
    else if (blank_skip(p + 1, end) != end)
        return fail(w);
    return false;
}

// The key at p and the colon behind it, of a text that was not validated. NULL: they are not there.
static const char *strict_key(struct json_walk *w, const char *p, const char *end)
{
    size_t saved;
    if (p == end || *p != '"')
        return NULL;
    w->key_at = (size_t)(p - w->text.p);
    const char *stop = string_end(p + 1, end, &saved);
    if (stop == end || *stop != '"')
        return NULL;
    w->key = (struct str){p + 1, (size_t)(stop - p) - 1};
    w->key_escaped = saved > 0;
    p = blank_skip(stop + 1, end);
    return p < end && *p == ':' ? blank_skip(p + 1, end) : NULL;
}

// Behind a whole number of at most 18 digits; NULL: it is another one, or none.
static const char *plain_number_end(const char *p, const char *end)
{
    const char *from = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    bool plain = p > from && p - from <= 18 && (*from != '0' || p - from == 1) && p < end;
    return plain && (*p == ',' || *p == '}' || *p == ']') ? p : NULL;
}

// A step through a text that was not validated: takes nothing for granted.
static bool strict_step(struct json_walk *w)
{
    if (w->open) {
        json_value_open(w);
        if (w->wrong)
            return false;
    }
    const char *end = w->text.p + w->text.n, *stop;
    const char *p = blank_skip(w->text.p + w->at, end);
    if (p == end)
        return fail(w);
    if (*p == ']' || *p == '}')
        return strict_end(w, p, end);
    if (w->begun && *p++ != ',')
        return fail(w);
    w->begun = true;
    p = blank_skip(p, end);
    if (!w->array)
        p = strict_key(w, p, end);
    if (!p || p == end)
        return fail(w);
    enum json_kind kind = kind_of(*p);
    w->value = (struct json_span){.kind = kind, .at = (size_t)(p - w->text.p)};
    w->value_saved = 0;
    w->done = false;
    if (kind == JSON_OBJECT || kind == JSON_ARRAY) {
        w->open = true;
        return true;
    }
    if (kind == JSON_STRING) {
        stop = string_end(p + 1, end, &w->value_saved);
        stop = stop < end && *stop == '"' ? stop + 1 : NULL;
    } else if (kind != JSON_NUMBER || !(stop = plain_number_end(p, end))) {
        stop = json_scalar_end(p, end);
    }
    if (!stop)
        return fail(w);
    value_ends(w, (size_t)(stop - w->text.p));
    return true;
}

bool json_step(struct json_walk *w)
{
    if (w->done)
        return false;
    w->done = true;  // until the next member has been seen
    if (w->depth)
        return strict_step(w);
    json_value(w);
    const char *end = w->text.p + w->text.n;
    const char *p = blank_skip(w->text.p + w->at, end);
    if (p < end && *p == ',')
        p = blank_skip(p + 1, end);
    if (p < end && (*p == '}' || *p == ']')) {
        if (w->outer)
            value_ends(w->outer, (size_t)(p + 1 - w->text.p));
        return false;
    }
    if (p < end && !w->array)
        p = step_key(w, p, end);
    if (!p || p == end)
        return false;
    w->done = !step_value(w, p, end);
    return !w->done;
}

// --- values -----------------------------------------------------------------------------------

static size_t utf8_write(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n; --i > 0; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

// Unescapes `raw`, what stands between the quotes, while it fits in `size` bytes. False: it does
// not, or an escape is wrong; *n is what was written, whole characters only.
static bool unescape(struct str raw, char *out, size_t size, size_t *n)
{
    const char *p = raw.p, *end = p + raw.n;
    *n = 0;
    while (p < end) {
        const char *stop = string_stop(p, end);
        size_t plain = (size_t)(stop - p);
        if (plain > size - *n) {
            plain = size - *n;
            while (plain > 0 && ((unsigned char)p[plain] & 0xc0) == 0x80)
                plain--;
            memcpy(out + *n, p, plain);
            *n += plain;
            return false;
        }
        memcpy(out + *n, p, plain);
        *n += plain;
        p = stop;
        if (p == end)
            break;
        uint32_t c;
        char utf8[4];
        if (*p != '\\' || !json_escape_read(&p, end, &c))
            return false;
        size_t wide = utf8_write(c, utf8);
        if (wide > size - *n)
            return false;
        memcpy(out + *n, utf8, wide);
        *n += wide;
    }
    return true;
}

static struct str between_quotes(struct str text, struct json_span s)
{
    return s.n >= 2 ? (struct str){text.p + s.at + 1, s.n - 2} : (struct str){"", 0};
}

bool json_string(struct str text, struct json_span s, char *out, size_t size, size_t *n)
{
    if (s.kind != JSON_STRING || !unescape(between_quotes(text, s), out, size, n))
        return false;
    if (*n < size)
        out[*n] = 0;
    return true;
}

size_t json_string_cut(struct str text, struct json_span s, char *out, size_t size)
{
    size_t n = 0;
    if (size == 0)
        return 0;
    if (s.kind == JSON_STRING && !unescape(between_quotes(text, s), out, size - 1, &n))
        n = n < size ? n : size - 1;
    out[n] = 0;
    return n;
}

size_t json_string_bytes(struct str text, struct json_span s)
{
    if (s.kind != JSON_STRING)
        return 0;
    struct str raw = between_quotes(text, s);
    const char *p = raw.p, *end = p + raw.n;
    size_t n = 0;
    while (p < end) {
        const char *stop = string_stop(p, end);
        n += (size_t)(stop - p);
        p = stop;
        if (p == end)
            break;
        uint32_t c;
        char utf8[4];
        if (*p == '\\' && json_escape_read(&p, end, &c)) {
            n += utf8_write(c, utf8);
        } else {
            p++;
            n++;
        }
    }
    return n;
}

bool json_key_is_escaped(const struct json_walk *w, struct str name)
{
    char key[64];
    size_t n;
    return name.n <= sizeof key && unescape(w->key, key, sizeof key, &n) &&
           str_eq((struct str){key, n}, name);
}

bool json_get(struct str object, struct str name, struct json_span *out)
{
    struct json_walk w;
    if (!json_walk(&w, object) || w.array)
        return false;
    while (json_step(&w)) {
        if (json_key_is(&w, name)) {
            *out = w.value;
            return true;
        }
    }
    return false;
}

struct str json_slice(struct str text, struct json_span s)
{
    return (struct str){text.p + s.at, s.n};
}

bool json_i64(struct str text, struct json_span s, int64_t *out)
{
    if (s.kind != JSON_NUMBER)
        return false;
    if (str_to_i64(json_slice(text, s), out))
        return true;
    // 4096.0 and 1e3 are whole too; a double says so exactly below 2^53.
    double v;
    if (!json_double(text, s, &v) || v < -9007199254740992.0 || v > 9007199254740992.0 ||
        v != (double)(int64_t)v)
        return false;
    *out = (int64_t)v;
    return true;
}

bool json_double(struct str text, struct json_span s, double *out)
{
    return s.kind == JSON_NUMBER && str_to_double(json_slice(text, s), out);
}
