// json_scan.h - what json_scan.c and json_walk.c share: how strings and blanks are passed over. For
// those two only; the rest of caudal sees json.h.

#ifndef CAUDAL_JSON_SCAN_H
#define CAUDAL_JSON_SCAN_H

#include "wire/json.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__SSE2__)
// 0xff where a byte ends the plain part of a string.
static inline __m128i string_marks(const char *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    return _mm_or_si128(_mm_or_si128(quote, slash), control);
}
#endif

// The first quote, backslash or control character in [p, end), or `end`.
static inline const char *string_stop(const char *p, const char *end)
{
#if defined(__SSE2__)
    int stop;
    if (end - p >= 16 && (stop = _mm_movemask_epi8(string_marks(p))))
        return p + __builtin_ctz((unsigned)stop);  // most keys and many values are as short
    for (; end - p >= 64; p += 64) {
        __m128i low = _mm_or_si128(string_marks(p), string_marks(p + 16));
        __m128i high = _mm_or_si128(string_marks(p + 32), string_marks(p + 48));
        if (_mm_movemask_epi8(_mm_or_si128(low, high)))
            break;
    }
    for (; end - p >= 16; p += 16)
        if ((stop = _mm_movemask_epi8(string_marks(p))))
            return p + __builtin_ctz((unsigned)stop);
#endif
    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
        p++;
    return p;
}

static inline bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const char *blank_skip(const char *p, const char *end)
{
    while (p < end && is_blank(*p))
        p++;
    return p;
}

// Reads the escape at **p, a backslash: its character goes to *c and *p behind it. False: no escape
// of JSON, or half a surrogate pair.
bool json_escape_read(const char **p, const char *end, uint32_t *c);

#endif
