#include "base/buf.h"
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit};
}

void buf_init_secret(struct buf *b, size_t limit)
{
    *b = (struct buf){.limit = limit, .secret = true};
}

// What lies behind `to` has been wiped before.
static void wipe_from(struct buf *b, size_t at)
{
    size_t end = b->to < BUF_SECRET_BYTES ? b->to : BUF_SECRET_BYTES;
    if (b->secret && at < end)
        explicit_bzero(b->p + at, end - at);
}

void buf_release(struct buf *b)
{
    wipe_from(b, 0);
    free(b->p);
    *b = (struct buf){.limit = b->limit, .secret = b->secret};
}

void buf_clear(struct buf *b)
{
    wipe_from(b, 0);
    b->from = b->to = 0;
    b->overflow = false;
}

static void make_room(struct buf *b, size_t n)
{
    if (b->size - b->to >= n)
        return;
    CHECK(n <= SIZE_MAX / 4);
    size_t len = buf_len(b);
    if (b->from && b->size - len >= n && b->from >= b->size / 2) {
        memmove(b->p, b->p + b->from, len);
        wipe_from(b, len);
    } else {
        size_t size = b->size ? b->size : 256;
        // Never more than half full after a copy, or a buffer eaten and filled by small pieces
        // would be copied whole for each of them.
        while (size < len + n || len > size / 2)
            size *= 2;
        char *p = malloc(size);
        CHECK(p);
        if (len)
            memcpy(p, b->p + b->from, len);
        wipe_from(b, 0);
        free(b->p);
        b->p = p;
        b->size = size;
    }
    b->from = 0;
    b->to = len;
}

bool buf_reserve(struct buf *b, size_t n, char **at)
{
    if (n > b->limit - buf_len(b)) {
        b->overflow = true;
        return false;
    }
    make_room(b, n);
    *at = b->p ? b->p + b->to : NULL;
    return true;
}

void buf_grown(struct buf *b, size_t n)
{
    CHECK(n <= b->size - b->to);
    b->to += n;
}

bool buf_add_more(struct buf *b, const void *p, size_t n)
{
    char *at;
    if (!buf_reserve(b, n, &at))
        return false;
    memcpy(at, p, n);
    b->to += n;
    return true;
}

bool buf_join_n(struct buf *b, const struct str *parts, size_t n)
{
    size_t sum = 0;
    char *at;
    for (size_t i = 0; i < n; i++)
        sum += parts[i].n;
    if (!buf_reserve(b, sum, &at))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n)
            memcpy(at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    b->to += sum;
    return true;
}

static int digits_of(uint64_t u)
{
    static const uint64_t tens[] = {
        0,
        10,
        100,
        1000,
        10000,
        100000,
        1000000,
        10000000,
        100000000,
        1000000000,
        10000000000,
        100000000000,
        1000000000000,
        10000000000000,
        100000000000000,
        1000000000000000,
        10000000000000000,
        100000000000000000,
        1000000000000000000,
        UINT64_C(10000000000000000000),
    };
    int n = (64 - __builtin_clzll(u | 1)) * 1233 >> 12;  // bits times log10(2), or one less
    return n + (u >= tens[n]);
}

// Four digits to a division, two to a copy.
char *put_int(char *at, int64_t v)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    if (v < 0)
        *at++ = '-';
    char *end = at + digits_of(u), *p = end;
    for (; u >= 10000; u /= 10000) {
        uint32_t four = (uint32_t)(u % 10000);
        memcpy(p -= 2, pairs + 2 * (size_t)(four % 100), 2);
        memcpy(p -= 2, pairs + 2 * (size_t)(four / 100), 2);
    }
    uint32_t rest = (uint32_t)u;
    if (rest >= 100) {
        memcpy(p - 2, pairs + 2 * (size_t)(rest % 100), 2);
        rest /= 100;
    }
    if (rest >= 10)
        memcpy(at, pairs + 2 * (size_t)rest, 2);
    else
        *at = (char)('0' + rest);
    return end;
}

bool buf_int(struct buf *b, int64_t v)
{
    char text[PUT_INT_BYTES];
    if (b->size - b->to >= PUT_INT_BYTES && b->limit - buf_len(b) >= PUT_INT_BYTES) {
        b->to = (size_t)(put_int(b->p + b->to, v) - b->p);
        return true;
    }
    return buf_add(b, text, (size_t)(put_int(text, v) - text));
}

bool buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    // Mostly there is room already; otherwise this only says how much it takes. vsnprintf writes a
    // 0 behind the text: one byte more of room, not of content.
    size_t room = b->size - b->to;
    int n = vsnprintf(room ? b->p + b->to : NULL, room, fmt, args);
    va_end(args);
    CHECK(n >= 0);
    bool fits = (size_t)n <= b->limit - buf_len(b);
    if (fits && (size_t)n >= room) {
        make_room(b, (size_t)n + 1);
        vsnprintf(b->p + b->to, (size_t)n + 1, fmt, again);
    }
    va_end(again);
    if (fits)
        b->to += (size_t)n;
    else
        b->overflow = true;
    return fits;
}

void buf_eat(struct buf *b, size_t n)
{
    CHECK(n <= buf_len(b));
    b->from += n;
    if (b->from == b->to) {
        wipe_from(b, 0);
        b->from = b->to = 0;
    }
}

bool buf_splice(struct buf *b, size_t at, size_t drop, struct str with)
{
    CHECK(at <= buf_len(b) && drop <= buf_len(b) - at);
    if (with.n == 0 && drop == 0)
        return true;
    if (with.n > drop) {
        char *end;
        if (!buf_reserve(b, with.n - drop, &end))
            return false;
    }
    char *p = b->p + b->from + at;
    size_t tail = buf_len(b) - at - drop;
    if (tail)
        memmove(p + with.n, p + drop, tail);
    if (with.n)
        memcpy(p, with.p, with.n);
    b->to = b->to - drop + with.n;
    return true;
}

// Length of the valid UTF-8 sequence at s[0], or 0. Table 3-7 of the Unicode standard.
static size_t utf8_len(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xc2 && p[0] <= 0xdf   ? 2
               : (p[0] & 0xf0) == 0xe0        ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;
    if (n == 0 || s.n < n)
        return 0;
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

static size_t plain_n(struct str s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] >= ' ' && s.p[n] < 0x7f && s.p[n] != '"' && s.p[n] != '\\')
        n++;
    return n;
}

bool buf_add_json(struct buf *b, struct str s)
{
    size_t before = buf_len(b);
    bool ok = buf_lit(b, "\"");
    for (;;) {
        size_t plain = plain_n(s);
        ok = ok && buf_add(b, s.p, plain);
        s = str_skip(s, plain);
        if (!s.n || !ok)
            break;
        unsigned char c = (unsigned char)s.p[0];
        size_t n = utf8_len(s);
        if (n == 0) {
            ok = buf_lit(b, "\xef\xbf\xbd");
            n = 1;
        } else if (c == '"' || c == '\\') {
            ok = buf_printf(b, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            ok = buf_printf(b, "\\u%04x", c);
        } else {
            ok = buf_add(b, s.p, n);
        }
        s = str_skip(s, n);
    }
    ok = ok && buf_lit(b, "\"");
    if (!ok)
        b->to = b->from + before;
    return ok;
}
