// span.h - spans as OTLP's JSON has them, for otlp_add().
//
//   span_begin -> span_times -> span_attributes, span_text ..., span_attributes_end -> span_end
//
// One text may hold several, with a comma between them. Nothing in it is ever a prompt's or an
// answer's.

#ifndef CAUDAL_SPAN_H
#define CAUDAL_SPAN_H

#include "gateway/otlp.h"

enum { SPANS_BYTES_MAX = 128 << 10 };  // of one request

enum span_kind { SPAN_SERVER = 2, SPAN_CLIENT = 3 };

struct span_writer {
    struct buf *out;
    const struct span_context *of;
    int64_t wall_us;  // what to add to a time of the loop for one since 1970
    bool any;         // of the list that is being written
};

// `parent` 0: the trace begins here.
void span_begin(struct span_writer *w, uint64_t id, uint64_t parent, enum span_kind kind,
                struct str name);
void span_times(struct span_writer *w, int64_t from_us, int64_t to_us);
void span_instant(struct span_writer *w, const char *key, int64_t at_us);

// Begins a list of attributes, of the span or of an event in it; each call below adds one.
void span_attributes(struct span_writer *w);
void span_text(struct span_writer *w, const char *key, struct str value);  // nothing if empty
void span_whole(struct span_writer *w, const char *key, int64_t value);
void span_real(struct span_writer *w, const char *key, double value);
void span_truth(struct span_writer *w, const char *key, bool value);
void span_attributes_end(struct span_writer *w);

void span_end(struct span_writer *w, bool failed);

#endif
