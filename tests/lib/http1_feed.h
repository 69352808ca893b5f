// http1_feed.h - feeds bytes to a reader of http1 in pieces and writes down what it said.
//
// The log is the same for every cut of the same bytes: pieces of a body are joined. Shared by the
// unit tests and the fuzz targets.

#ifndef CAUDAL_TESTS_HTTP1_FEED_H
#define CAUDAL_TESTS_HTTP1_FEED_H

#include "wire/http1.h"

#include <inttypes.h>
#include <stdlib.h>

struct http1_log {
    struct buf text;  // a line an event
    int32_t heads, ends;
    struct buf bodies;  // of all messages, joined
    enum err e;
    int32_t status;  // of the error
    bool eof_ends;   // http1_eof() at the end
    struct diag diag;
};

static inline void http1_log_release(struct http1_log *log)
{
    buf_release(&log->text);
    buf_release(&log->bodies);
}

static inline void http1_log_head(struct http1_log *log, const struct http1_head *h)
{
    struct buf *t = &log->text;
    log->heads++;
    buf_printf(t, "HEAD " STR_FMT " " STR_FMT " path " STR_FMT " query " STR_FMT " host " STR_FMT,
               STR_ARG(h->method), STR_ARG(h->target), STR_ARG(h->path), STR_ARG(h->query),
               STR_ARG(h->host));
    buf_printf(t, " status %d 1.%d length %" PRId64 "%s%s%s%s\n", h->status, h->version_minor,
               h->content_length, h->chunked ? " chunked" : "", h->keep_alive ? " keep" : "",
               h->expect_continue ? " expect" : "", h->upgrade ? " upgrade" : "");
    for (int32_t i = 0; i < h->n_headers; i++) {
        buf_add_str(t, h->headers[i].name);
        buf_lit(t, "=");
        buf_add_str(t, h->headers[i].value);
        buf_lit(t, "\n");
    }
}

// Takes all that `piece` gives. False after an error.
static inline bool http1_log_piece(struct http1_log *log, struct http1 *h, struct str piece)
{
    for (;;) {
        struct http1_event ev;
        const char *before = piece.p;
        size_t before_n = piece.n;
        log->e = http1_next(h, &piece, &ev, &log->diag);
        if (log->e) {
            log->status = http1_status(h);
            buf_printf(&log->text, "ERR %s %d\n", err_name(log->e), log->status);
            return false;
        }
        CHECK(piece.n <= before_n && piece.p == before + (before_n - piece.n));
        switch (ev.kind) {
        case HTTP1_MORE: CHECK(piece.n == 0); return true;
        case HTTP1_HEAD: http1_log_head(log, http1_head(h)); break;
        case HTTP1_BODY:
            CHECK(ev.body.n > 0 && ev.body.p >= before && ev.body.p + ev.body.n <= piece.p);
            buf_add_str(&log->bodies, ev.body);
            break;
        case HTTP1_END:
            log->ends++;
            buf_printf(&log->text, "END after %zu\n", buf_len(&log->bodies));
            break;
        }
    }
}

// Feeds `bytes` in pieces of cut(arg) bytes, each in its own allocation, so that a sanitizer sees a
// slice that outlives its piece. NULL: all at once. The caller releases the log.
static inline struct http1_log http1_feed(enum http1_side side, struct http1_limits limits,
                                          bool no_body, struct str bytes, size_t (*cut)(void *arg),
                                          void *arg)
{
    struct http1_log log = {.e = ERR_NONE};
    buf_init(&log.text, SIZE_MAX / 2);
    buf_init(&log.bodies, SIZE_MAX / 2);
    struct http1 *h = http1_new(side, limits);
    if (no_body)
        http1_expect_no_body(h);
    bool going = true;
    while (bytes.n && going) {
        size_t n = cut ? cut(arg) : bytes.n;
        n = n < 1 ? 1 : n > bytes.n ? bytes.n : n;
        char *copy = malloc(n);
        CHECK(copy);
        memcpy(copy, bytes.p, n);
        going = http1_log_piece(&log, h, (struct str){copy, n});
        free(copy);
        bytes = str_skip(bytes, n);
    }
    log.eof_ends = going && http1_eof(h);
    buf_printf(&log.text, "eof %s idle %s\n", log.eof_ends ? "ends" : "-",
               http1_idle(h) ? "yes" : "no");
    http1_free(h);
    return log;
}

#endif
