// sse.h - server-sent events, event by event (WHATWG HTML, section 9.2), fed with any cut of bytes.
//
// Events that lie whole in the bytes fed are borrowed from them; only an event that is cut by the
// end of a read is copied, and the copy is given back when the event is complete, so that an idle
// stream holds no memory.

#ifndef CAUDAL_SSE_H
#define CAUDAL_SSE_H

#include "base/buf.h"
#include "base/err.h"

struct sse_event {
    struct str name;  // "event:" line, empty when none
    struct str data;  // lines joined by LF; borrowed until the next call
    bool has_data;  // there was a data line (an event of comments or names only is not dispatched)
};

struct sse {
    struct buf kept;    // the part of an event seen so far, raw
    struct buf joined;  // an event of several data lines, joined
    size_t open_n;      // bytes of `kept` that are a line without its end
    bool after_cr;      // the last byte was CR: an LF now belongs to it
    bool bom_passed;
    bool eat_kept;  // `kept` was given out whole: empty it at the next call
};

void sse_init(struct sse *s, size_t event_bytes_max);
void sse_release(struct sse *s);

// Takes the next whole event from the front of `*in` (advancing it). `*got` is false when `*in` is
// used up without a whole event; the rest is then kept inside. Comments and empty events are passed
// over silently.
//   Errors  ERR_LIMIT  an event is longer than its limit
MUST_USE enum err sse_next(struct sse *s, struct str *in, struct sse_event *ev, bool *got);

// Nothing of the next event has come: what does may as well be read by somebody else, event by
// event.
static inline bool sse_is_between(const struct sse *s)
{
    return buf_len(&s->kept) == 0 && s->open_n == 0 && !s->after_cr && s->bom_passed;
}

// At the end of the stream: an event without its blank line. WHATWG discards it; for a supplier the
// data "[DONE]" counts and anything else is a truncation. True when there was one.
bool sse_end(struct sse *s, struct sse_event *ev);

#endif
