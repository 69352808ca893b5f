#include "base/str.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

// Upper-case letters of eight bytes made lower. In each lane's highest bit: is it ASCII, at least
// 'A', beyond 'Z'?
static uint64_t lower_8(uint64_t x)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t low = x & ~tops;
    uint64_t upper = (low + ones * (0x80 - 'A')) & ~(low + ones * (0x7f - 'Z')) & ~x & tops;
    return x | upper >> 2;
}

static bool same_8(const char *a, const char *b)
{
    uint64_t x, y;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return x == y || lower_8(x) == lower_8(y);
}

// Eight at a time; the last eight overlap those before them.
bool str_same_nocase(const char *a, const char *b, size_t n)
{
    if (n < 8) {
        uint64_t x = 0, y = 0;
        for (size_t i = 0; i < n; i++) {
            x = x << 8 | (unsigned char)a[i];
            y = y << 8 | (unsigned char)b[i];
        }
        return lower_8(x) == lower_8(y);
    }
    for (size_t i = 0; i + 8 < n; i += 8)
        if (!same_8(a + i, b + i))
            return false;
    return same_8(a + n - 8, b + n - 8);
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.p, b.p, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq((struct str){s.p, prefix.n}, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_skip(s, s.n - suffix.n), suffix);
}

struct str str_skip(struct str s, size_t n)
{
    if (n > s.n)
        n = s.n;
    return n ? (struct str){s.p + n, s.n - n} : s;
}

struct str str_trim(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_skip(s, 1);
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

bool str_find(struct str s, struct str what, size_t *at)
{
    if (what.n == 0) {
        *at = 0;
        return true;
    }
    const char *hit = s.n ? memmem(s.p, s.n, what.p, what.n) : NULL;
    if (!hit)
        return false;
    *at = (size_t)(hit - s.p);
    return true;
}

bool str_cut(struct str *rest, char sep, struct str *part)
{
    if (!rest->p)
        return false;
    const char *hit = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
    if (!hit) {
        *part = *rest;
        *rest = (struct str){NULL, 0};
        return true;
    }
    *part = (struct str){rest->p, (size_t)(hit - rest->p)};
    *rest = str_skip(*rest, part->n + 1);
    return true;
}

bool str_to_i64(struct str s, int64_t *out)
{
    bool negative = s.n && s.p[0] == '-';
    size_t i = negative;
    if (i == s.n)
        return false;
    enum { SAFE_BYTES = 18 };  // so many digits always fit
    uint64_t limit = (uint64_t)INT64_MAX + negative, v = 0;
    for (; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (i >= SAFE_BYTES && v > (limit - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

static size_t digits_at(struct str s, size_t from)
{
    size_t i = from;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
        i++;
    return i - from;
}

// strtod also takes hexadecimal, "inf", "nan", ".5" and leading blanks; JSON does not.
static bool looks_decimal(struct str s)
{
    size_t i = s.n && s.p[0] == '-';
    size_t whole = digits_at(s, i);
    if (whole == 0 || (whole > 1 && s.p[i] == '0'))
        return false;
    i += whole;
    if (i < s.n && s.p[i] == '.') {
        size_t fraction = digits_at(s, i + 1);
        if (fraction == 0)
            return false;
        i += 1 + fraction;
    }
    if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
        i++;
        if (i < s.n && (s.p[i] == '+' || s.p[i] == '-'))
            i++;
        size_t exponent = digits_at(s, i);
        if (exponent == 0)
            return false;
        i += exponent;
    }
    return i == s.n;
}

bool str_to_double(struct str s, double *out)
{
    char text[512];  // longer than any double written out in full with its 17 digits
    if (s.n >= sizeof text || !looks_decimal(s))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    double v = strtod(text, NULL);
    if (!isfinite(v))
        return false;
    *out = v;
    return true;
}

size_t str_distance(struct str a, struct str b)
{
    enum { LONGEST = 64 };
    if (a.n > LONGEST || b.n > LONGEST)
        return SIZE_MAX;
    size_t row[3][LONGEST + 1];  // two rows back, one row back, this row
    for (size_t j = 0; j <= b.n; j++)
        row[1][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        row[2][0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t best = row[1][j - 1] + (a.p[i - 1] != b.p[j - 1]);
            if (row[1][j] + 1 < best)
                best = row[1][j] + 1;
            if (row[2][j - 1] + 1 < best)
                best = row[2][j - 1] + 1;
            bool swapped = i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1];
            if (swapped && row[0][j - 2] + 1 < best)
                best = row[0][j - 2] + 1;
            row[2][j] = best;
        }
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
    }
    return row[1][b.n];
}

// FNV-1a with a final mix (the finaliser of MurmurHash3), so that the low bits are usable as they
// are.
uint64_t str_hash(struct str s, uint64_t seed)
{
    uint64_t h = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    h ^= h >> 33;
    h *= 0xff51afd7ed558ccdu;
    h ^= h >> 33;
    return h;
}
