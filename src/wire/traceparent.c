#include "wire/traceparent.h"

// Upper case is not allowed in these fields.
static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool bytes_of(unsigned char *out, size_t n, const char *hex)
{
    for (size_t i = 0; i < n; i++) {
        int high = digit_of(hex[2 * i]), low = digit_of(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static bool is_zero(const unsigned char *p, size_t n)
{
    unsigned char any = 0;
    for (size_t i = 0; i < n; i++)
        any |= p[i];
    return !any;
}

bool traceparent_read(struct traceparent *out, struct str value)
{
    unsigned char version, trace[16], span[8], flags;
    const char *p = value.p;
    if (value.n < TRACEPARENT_TEXT || p[2] != '-' || p[35] != '-' || p[52] != '-' ||
        !bytes_of(&version, 1, p) || !bytes_of(trace, 16, p + 3) || !bytes_of(span, 8, p + 36) ||
        !bytes_of(&flags, 1, p + 53))
        return false;
    if (version == 0xff || is_zero(trace, 16) || is_zero(span, 8))
        return false;
    if (value.n > TRACEPARENT_TEXT && (version == 0 || p[TRACEPARENT_TEXT] != '-'))
        return false;
    memcpy(out->trace, trace, 16);
    out->span = 0;
    for (size_t i = 0; i < 8; i++)
        out->span = out->span << 8 | span[i];
    out->sampled = flags & 1;
    return true;
}

void traceparent_write(char out[TRACEPARENT_TEXT + 1], const struct traceparent *t)
{
    static const char digits[] = "0123456789abcdef";
    char *p = out;
    *p++ = '0';
    *p++ = '0';
    *p++ = '-';
    for (size_t i = 0; i < 16; i++) {
        *p++ = digits[t->trace[i] >> 4];
        *p++ = digits[t->trace[i] & 15];
    }
    *p++ = '-';
    for (int shift = 60; shift >= 0; shift -= 4)
        *p++ = digits[t->span >> shift & 15];
    *p++ = '-';
    *p++ = '0';
    *p++ = t->sampled ? '1' : '0';
    *p = 0;
}
