// http1_chunked.h - the chunked body, strictly; for http1.c only.
//
// llhttp reads no bodies here: its chunk lines are lenient in places (RFC 9112 section 7.1 leaves
// few), and its trailers come through the same door as headers. A prototype that joined them to the
// head lost Content-Length and turned a body into a second request. This reader has no such door:
// extensions and trailers are checked, counted and dropped.

#ifndef CAUDAL_HTTP1_CHUNKED_H
#define CAUDAL_HTTP1_CHUNKED_H

#include "wire/http1_scan.h"

struct http1_chunked {
    uint64_t left;       // of the chunk: its size as read so far, then the bytes to come
    size_t extra_bytes;  // extensions and trailers, all of the body's
    int32_t trailers;
    uint8_t state, digits;
};

enum http1_chunk_step { CHUNK_MORE, CHUNK_DATA, CHUNK_END, CHUNK_BAD };

void http1_chunked_init(struct http1_chunked *c);

// Takes the next piece of the body off the front of `*in`: CHUNK_DATA gives it, borrowed. A chunk
// over `room` bytes is refused when its size is read (413).
enum http1_chunk_step http1_chunked_next(struct http1_chunked *c, struct str *in, int64_t room,
                                         const struct http1_limits *limits, struct str *data,
                                         struct http1_fault *f);

#endif
