// json_scan.h - what json_scan.c and json_walk.c share: how strings and blanks are passed over. For
// those two only; the rest of caudal sees json.h.

#ifndef CAUDAL_JSON_SCAN_H
#define CAUDAL_JSON_SCAN_H

#include "wire/json.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__SSE2__)
// 0xff where a byte ends the plain part of a string. With its bit 1 turned over, a quote is the
// first above the control characters.
static inline __m128i string_marks(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i turned = _mm_xor_si128(v, _mm_set1_epi8(2));
    __m128i quote = _mm_cmpeq_epi8(_mm_min_epu8(turned, _mm_set1_epi8(0x20)), turned);
    return _mm_or_si128(quote, _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
}

// The same for 64 bytes, a bit for each.
static inline uint64_t string_marks_64(const char *p)
{
    __m128i a = string_marks(p), b = string_marks(p + 16), c = string_marks(p + 32),
            d = string_marks(p + 48);
    if (!_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))))
        return 0;
    uint64_t low = (uint32_t)_mm_movemask_epi8(a) | (uint64_t)_mm_movemask_epi8(b) << 16;
    uint64_t high = (uint32_t)_mm_movemask_epi8(c) | (uint64_t)_mm_movemask_epi8(d) << 16;
    return low | high << 32;
}
#endif

// The first quote, backslash or control character in [p, end), or `end`.
static inline const char *string_stop(const char *p, const char *end)
{
#if defined(__SSE2__)
    int stop;
    for (; end - p >= 16; p += 16)
        if ((stop = _mm_movemask_epi8(string_marks(p))))
            return p + __builtin_ctz((unsigned)stop);
#endif
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

// Reads the escape at **p, a backslash: its character goes to *c and *p behind it. False: no escape
// of JSON, or half a surrogate pair.
bool json_escape_read(const char **p, const char *end, uint32_t *c);
// The bytes of the escape at p; 0: it is none. *saved grows by how many more these are than those
// of what it stands for.
size_t json_unicode_n(const char *p, const char *end, size_t *saved);
static inline size_t escape_n(const char *p, const char *end, size_t *saved)
{
    static const bool simple[256] = {['"'] = true, ['\\'] = true, ['/'] = true, ['b'] = true,
                                     ['f'] = true, ['n'] = true,  ['r'] = true, ['t'] = true};
    if (end - p < 2 || !simple[(unsigned char)p[1]])
        return json_unicode_n(p, end, saved);
    ++*saved;
    return 2;
}

// string_end() beyond the first bytes.
const char *json_string_far(const char *p, const char *end, size_t *saved);

// The closing quote of the string whose text begins at p, or where what is no JSON stands, or
// `end`.
// `*saved`: how many bytes longer the text is than what it stands for.
static inline const char *string_end(const char *p, const char *end, size_t *saved)
{
    *saved = 0;
#if defined(__SSE2__)
    int first = end - p >= 16 ? _mm_movemask_epi8(string_marks(p)) : 0;
    if (first && p[__builtin_ctz((unsigned)first)] == '"')
        return p + __builtin_ctz((unsigned)first);  // most keys and many values are as short
#endif
    return json_string_far(p, end, saved);
}

// Behind the value that begins at p, all of it valid JSON but for its UTF-8, `depth` objects and
// arrays being open around it; NULL: it is not.
const char *json_value_end(const char *p, const char *end, int depth);
// The same for a number or a word.
const char *json_scalar_end(const char *p, const char *end);

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const char *blank_skip(const char *p, const char *end)
{
    if (p != end && *p > ' ')  // most are none
        return p;
    while (p < end && is_blank(*p))
        p++;
    return p;
}

#endif
