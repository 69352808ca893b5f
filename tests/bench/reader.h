// reader.h - reads answers of a proxy: HTTP/1.1 with a length or in chunks, and the mock supplier's
// events in it, which must come whole and in order.

#ifndef BENCH_READER_H
#define BENCH_READER_H

#include "base/buf.h"

struct reader {
    enum { READER_HEAD, READER_BODY, READER_CHUNK_HEAD, READER_CHUNK, READER_WHOLE } state;
    struct buf held;  // part of a head or of a chunk's first line
    struct buf line;  // part of an event
    int64_t left;     // of the body or the chunk
    bool stream;      // events are expected
    int32_t status;
    int32_t events;  // with content, of this answer
    bool done;       // data: [DONE] has come
};

struct reader_calls {
    void (*event)(void *ctx, int64_t sent_us);  // one with content; when the supplier sent it
};

void reader_init(struct reader *r);
void reader_release(struct reader *r);
void reader_expect(struct reader *r, bool stream);  // the next answer
// False, and `*why`, when the bytes are not what was expected. Whole: state is READER_WHOLE.
bool reader_feed(struct reader *r, struct str in, const struct reader_calls *calls, void *ctx,
                 const char **why);

#endif
