#include "reader.h"

#include <stdio.h>
#include <stdlib.h>

enum { HELD_MAX = 64 * 1024 };

void reader_init(struct reader *r)
{
    *r = (struct reader){.state = READER_WHOLE};
    buf_init(&r->held, HELD_MAX);
    buf_init(&r->line, HELD_MAX);
}

void reader_release(struct reader *r)
{
    buf_release(&r->held);
    buf_release(&r->line);
}

void reader_expect(struct reader *r, bool stream)
{
    r->state = READER_HEAD;
    r->stream = stream;
    r->events = 0;
    r->status = 0;
    r->done = false;
}

// Takes all up to `end`, and `end`, off the front of `*in`, the part held before included.
static bool take_until(struct reader *r, struct str *in, struct str end, struct str *out)
{
    size_t at;
    if (buf_len(&r->held) == 0 && str_find(*in, end, &at)) {
        *out = (struct str){in->p, at};
        *in = str_skip(*in, at + end.n);
        return true;
    }
    size_t held = buf_len(&r->held);
    buf_add_str(&r->held, *in);
    struct str all = buf_str(&r->held);
    if (!str_find(all, end, &at)) {
        *in = str_skip(*in, in->n);
        return false;
    }
    *out = (struct str){all.p, at};
    *in = str_skip(*in, at + end.n - held);
    return true;  // borrowed from `held`, which the caller clears
}

static bool read_head(struct reader *r, struct str head, const char **why)
{
    char text[8192];
    if (head.n >= sizeof text || head.n < 12) {
        *why = "no head of an answer";
        return false;
    }
    memcpy(text, head.p, head.n);
    text[head.n] = 0;
    r->status = atoi(text + 9);
    if (r->status != 200) {
        *why = "the status is not 200";
        return false;
    }
    const char *length = strcasestr(text, "\ncontent-length:");
    if (length) {
        r->left = strtoll(length + 16, NULL, 10);
        r->state = r->left ? READER_BODY : READER_WHOLE;
        return true;
    }
    r->state = READER_CHUNK_HEAD;
    *why = "an answer without length";
    return strcasestr(text, "\ntransfer-encoding: chunked") != NULL;
}

static bool read_event(struct reader *r, struct str line, const struct reader_calls *calls,
                       void *ctx, const char **why)
{
    size_t at;
    if (str_eq(line, STR("data: [DONE]"))) {
        r->done = true;
    } else if (str_find(line, STR("\"content\":\"#"), &at)) {
        // "#000017 t=0000000123456789 "
        const char *p = line.p + at + 12;
        if (line.n < at + 12 + 27 || atoi(p) != r->events) {
            *why = "an event is missing, or twice there";
            return false;
        }
        r->events++;
        calls->event(ctx, strtoll(p + 9, NULL, 10));
    }
    return true;
}

static bool read_events(struct reader *r, struct str in, const struct reader_calls *calls,
                        void *ctx, const char **why)
{
    while (in.n) {
        const char *end = memchr(in.p, '\n', in.n);
        if (!end)
            return buf_add_str(&r->line, in);
        struct str line = {in.p, (size_t)(end - in.p)};
        in = str_skip(in, line.n + 1);
        if (buf_len(&r->line)) {
            buf_add_str(&r->line, line);
            line = buf_str(&r->line);
        }
        if (line.n && !read_event(r, line, calls, ctx, why))
            return false;
        buf_release(&r->line);
    }
    return true;
}

bool reader_feed(struct reader *r, struct str in, const struct reader_calls *calls, void *ctx,
                 const char **why)
{
    struct str part;
    while (in.n) {
        switch (r->state) {
        case READER_HEAD:
            if (!take_until(r, &in, STR("\r\n\r\n"), &part))
                return true;
            if (!read_head(r, part, why))
                return false;
            buf_release(&r->held);
            break;
        case READER_CHUNK_HEAD:
            if (!take_until(r, &in, STR("\r\n"), &part))
                return true;
            // A chunk's bytes and their CRLF; of the last one the CRLF alone.
            r->left = strtoll(part.p, NULL, 16) + 2;
            buf_release(&r->held);
            r->state = r->left > 2 ? READER_CHUNK : READER_BODY;
            break;
        case READER_CHUNK:
        case READER_BODY: {
            size_t n = (size_t)min_i64(r->left, (int64_t)in.n), text = n;
            r->left -= (int64_t)n;
            if (r->state == READER_CHUNK && r->left < 2)
                text -= (size_t)min_i64((int64_t)n, 2 - r->left);
            if (r->state == READER_CHUNK && r->stream &&
                !read_events(r, (struct str){in.p, text}, calls, ctx, why))
                return false;
            in = str_skip(in, n);
            if (r->left == 0)
                r->state = r->state == READER_CHUNK ? READER_CHUNK_HEAD : READER_WHOLE;
            break;
        }
        case READER_WHOLE: *why = "bytes behind an answer"; return false;
        }
    }
    return true;
}
