// str.h - text that somebody else owns: a pointer and a length, by value.

#ifndef CAUDAL_STR_H
#define CAUDAL_STR_H

#include "base/base.h"

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct str {
    const char *p;  // not terminated, may be NULL when n is 0
    size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_FMT "%.*s"  // printf("... " STR_FMT, STR_ARG(s))
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_of(const char *z)  // NULL gives the empty text
{
    struct str s = {z, z ? strlen(z) : 0};
    return s;
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_same_nocase(const char *a, const char *b, size_t n);
static inline bool str_eq_nocase(struct str a, struct str b)  // ASCII only
{
    return a.n == b.n && str_same_nocase(a.p, b.p, a.n);
}
int str_cmp(struct str a, struct str b);  // by bytes, then by length
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
struct str str_skip(struct str s, size_t n);               // without its first n bytes, at most all
struct str str_trim(struct str s);                         // without blanks and tabs at both ends
bool str_find(struct str s, struct str what, size_t *at);  // first place of `what`

// Takes the part up to `sep` off the front of `*rest` (and the separator with it); the last part is
// all that is left. False when nothing is left.
bool str_cut(struct str *rest, char sep, struct str *part);

// A whole decimal number, nothing else: no sign but '-', no blanks. False past int64_t.
bool str_to_i64(struct str s, int64_t *out);
// A decimal number as JSON writes one, and nothing else; inf and nan are refused.
bool str_to_double(struct str s, double *out);

// Edits (insert, drop, replace, swap neighbours) from a to b, for "did you mean"; O(a.n * b.n),
// texts over 64 bytes count as far apart (SIZE_MAX).
size_t str_distance(struct str a, struct str b);

uint64_t str_hash(struct str s, uint64_t seed);  // not for adversaries without a secret seed

#ifdef __cplusplus
}
#endif

#endif
