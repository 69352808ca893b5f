// The decoder of events, whole and in pieces (the first byte says how long), against a plain
// reading of the standard.

#include "wire/sse.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_event(struct buf *out, struct str name, struct str data)
{
    buf_add_str(out, name);
    buf_lit(out, "\1");
    buf_add_str(out, data);
    buf_lit(out, "\2");
}

// True when it was read without an error.
static bool decode(struct str bytes, size_t piece, size_t limit, struct buf *out)
{
    struct sse s;
    sse_init(&s, limit);
    enum err e = ERR_NONE;
    while (bytes.n && !e) {
        size_t n = piece < bytes.n ? piece : bytes.n;
        char *copy = malloc(n);
        CHECK(copy);
        memcpy(copy, bytes.p, n);
        struct str in = {copy, n};
        struct sse_event ev;
        for (bool got = true; got && !e;) {
            e = sse_next(&s, &in, &ev, &got);
            if (!e && got)
                add_event(out, ev.name, ev.data);
        }
        CHECK(e || in.n == 0);
        free(copy);
        bytes = str_skip(bytes, n);
    }
    struct sse_event ev;
    if (!e && sse_end(&s, &ev))
        (void)ev;
    sse_release(&s);
    return !e;
}

// WHATWG HTML 9.2.6, byte by byte, slowly.
static void decode_plainly(struct str bytes, struct buf *out)
{
    struct buf name, data, line;
    buf_init(&name, SIZE_MAX / 2);
    buf_init(&data, SIZE_MAX / 2);
    buf_init(&line, SIZE_MAX / 2);
    bool has_data = false;
    if (str_starts(bytes, STR("\xef\xbb\xbf")))
        bytes = str_skip(bytes, 3);
    for (size_t i = 0; i < bytes.n; i++) {
        if (bytes.p[i] != '\r' && bytes.p[i] != '\n') {
            buf_add(&line, bytes.p + i, 1);
            continue;
        }
        i += bytes.p[i] == '\r' && i + 1 < bytes.n && bytes.p[i + 1] == '\n';
        struct str field = buf_str(&line), value = {NULL, 0};
        if (field.n == 0) {
            if (has_data)
                add_event(out, buf_str(&name), buf_str(&data));
            has_data = false;
            buf_clear(&name);
            buf_clear(&data);
            continue;
        }
        size_t colon;
        if (str_find(field, STR(":"), &colon)) {
            value = str_skip(field, colon + 1);
            field.n = colon;
            if (str_starts(value, STR(" ")))
                value = str_skip(value, 1);
        }
        if (str_eq(field, STR("event"))) {
            buf_clear(&name);
            buf_add_str(&name, value);
        } else if (str_eq(field, STR("data"))) {
            if (has_data)
                buf_lit(&data, "\n");
            buf_add_str(&data, value);
            has_data = true;
        }
        buf_clear(&line);
    }
    buf_release(&name);
    buf_release(&data);
    buf_release(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t piece = (size_t)data[0] % 64 + 1, small = (size_t)data[1] + 1;
    struct str bytes = {(const char *)data + 2, size - 2};
    struct buf whole, cut, plain;
    buf_init(&whole, SIZE_MAX / 2);
    buf_init(&cut, SIZE_MAX / 2);
    buf_init(&plain, SIZE_MAX / 2);
    decode_plainly(bytes, &plain);
    CHECK(decode(bytes, SIZE_MAX, size, &whole) && decode(bytes, piece, size, &cut));
    CHECK(str_eq(buf_str(&whole), buf_str(&plain)) && str_eq(buf_str(&cut), buf_str(&plain)));
    buf_clear(&whole);
    buf_clear(&cut);
    bool whole_ok = decode(bytes, SIZE_MAX, small, &whole);
    bool cut_ok = decode(bytes, piece, small, &cut);
    CHECK(whole_ok == cut_ok && str_eq(buf_str(&whole), buf_str(&cut)));
    buf_release(&whole);
    buf_release(&cut);
    buf_release(&plain);
    return 0;
}
