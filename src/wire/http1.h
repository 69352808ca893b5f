// http1.h - HTTP/1.1 messages, both sides: a strict reader fed with any cut of bytes, and the few
// lines of writing.
//
// The raw head is collected, scanned by our own strict scan (network-stack of docs/architecture.md:
// what two servers could read differently is refused); what decides about framing is then read
// again by llhttp in strict mode. Bodies come out as spans borrowed from the bytes fed in; trailers
// are checked and dropped, never joined to the head. Pull style: the caller feeds bytes and takes
// events until ERR or "more".

#ifndef CAUDAL_HTTP1_H
#define CAUDAL_HTTP1_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { HTTP1_HEADERS_MAX = 128 };

struct http1_header {
    struct str name, value;  // value without blanks at its ends
    uint8_t meaning;         // for the http1 files only
};

struct http1_head {
    // a request's
    struct str method, target;  // target as sent
    struct str path, query;     // target cut at '?'; an absolute-form target's authority cut off
    struct str host;
    // an answer's
    int32_t status;
    // both
    int32_t version_minor;         // HTTP/1.x
    struct http1_header *headers;  // in order; [n_headers]
    int32_t n_headers;
    uint64_t name_lengths;   // bit n: a name of n bytes is among them (below 64)
    int64_t content_length;  // -1: not said
    bool chunked;
    bool keep_alive;  // what the sender wants
    bool expect_continue;
    bool upgrade;  // asked for; never granted
};

// The first header of that name (any case), or NULL.
const struct str *http1_get(const struct http1_head *h, struct str name);

enum http1_event_kind { HTTP1_MORE, HTTP1_HEAD, HTTP1_BODY, HTTP1_END };
struct http1_event {
    enum http1_event_kind kind;
    struct str body;  // HTTP1_BODY: a piece, borrowed from the bytes fed
};

enum http1_side { HTTP1_REQUESTS, HTTP1_ANSWERS };

struct http1;  // opaque: one direction of one connection

struct http1_limits {
    size_t head_bytes;   // of the head, also of the trailers and of all chunk extensions together
    int64_t body_bytes;  // decoded
    int32_t headers;     // at most HTTP1_HEADERS_MAX
};

struct http1 *http1_new(enum http1_side side, struct http1_limits limits);
void http1_free(struct http1 *h);
size_t http1_bytes(const struct http1 *h);  // memory it holds now

// Takes the next event from the front of `*in`, advancing it. HTTP1_MORE: `*in` is used up. After
// HTTP1_HEAD the head is http1_head() until http1_forget_head(), or HTTP1_END of the message. After
// HTTP1_END the next message may follow in `*in`.
//   Errors  ERR_INVALID  not HTTP/1.x as we accept it: answer 400 and close; `diag` says why
//           ERR_LIMIT    the head (431), the headers (431) or the body (413) is too long: see
//                        http1_status()
//   After an error nothing more can be read.
MUST_USE enum err http1_next(struct http1 *h, struct str *in, struct http1_event *ev,
                             struct diag *diag);
// The status that fits the last error of a request: 400, 413, 414, 417, 431, 501, 505.
int32_t http1_status(const struct http1 *h);
// The head of the message that is being read; borrowed.
const struct http1_head *http1_head(const struct http1 *h);
// Gives the memory of the head back while the body goes on (a long stream needs it no more).
void http1_forget_head(struct http1 *h);
// HTTP1_ANSWERS: the answer that comes next belongs to a HEAD request (it has no body).
void http1_expect_no_body(struct http1 *h);
// HTTP1_ANSWERS: the connection ended. True when that ends the answer well (no length, not
// chunked).
bool http1_eof(struct http1 *h);
// Between two messages: nothing of the next has come.
bool http1_idle(const struct http1 *h);

// Writing. A value with CR, LF or NUL is a broken promise of the caller: use http1_value_ok()
// first.
bool http1_value_ok(struct str value);
bool http1_token_ok(struct str name);                    // a header name or method
bool http1_write_chunk_head(struct buf *out, size_t n);  // "1f\r\n"
const char *http1_reason(int32_t status);

// Headers that belong to one connection and are never passed on (RFC 9110 section 7.6.1), and those
// that the message's own Connection header names.
bool http1_is_hop(const struct http1_head *h, struct str name);

#endif
