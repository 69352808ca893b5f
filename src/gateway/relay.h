// relay.h - a supplier's answer as the client gets it. Pure: bytes in, bytes out, and what was
// seen.
//
// A stream goes event by event; only what must change is changed (the model's name, usage the
// client did not ask for, framing that would break the official clients). A whole answer is
// collected and changed at its end.

#ifndef CAUDAL_RELAY_H
#define CAUDAL_RELAY_H

#include "gateway/alike.h"
#include "wire/openai.h"
#include "wire/sse.h"

struct relay_said {  // what has been seen so far of one answer
    bool content;    // something a user waits for has come
    bool finish;     // a finish_reason or the dialect's last event
    bool done;       // [DONE]
    bool error;      // an error event: `error` is its JSON, kept
    int32_t pieces;  // deltas with content: the tokens, when no usage comes
    int64_t content_bytes;
    int64_t events, bad_events;  // bad: not JSON, passed over
    struct openai_usage usage;
};

struct relay {
    enum surface surface;
    bool strip_usage;
    struct str model;  // as the portfolio calls it; borrowed
    struct sse sse;
    struct alike alike;
    struct buf work;   // one event being rewritten; empty between calls
    struct buf error;  // the error event's JSON
    struct relay_said said;
};

void relay_init(struct relay *r, enum surface surface, struct str model, bool strip_usage,
                size_t event_bytes_max);
void relay_release(struct relay *r);

// Takes bytes of an event stream and appends to `out` what the client gets. Stops at an error event
// and at [DONE] (which is not written: relay_end does); what follows is passed over.
//   Errors  ERR_LIMIT  an event, or `out`, is too long
MUST_USE enum err relay_stream(struct relay *r, struct str bytes, struct buf *out);
// The stream has ended. True: the answer is whole. False: it was cut, or held no answer at all.
bool relay_stream_end(struct relay *r, struct buf *out);
// What closes a whole stream on the client's side: [DONE], where the surface has it.
bool relay_write_end(const struct relay *r, struct buf *out);
// The receipt as a comment, before the last event of a stream.
bool relay_write_receipt(struct str receipt, struct buf *out);
// What an error looks like inside a stream of this surface. Never followed by [DONE].
bool relay_write_error(enum surface surface, const char *message, const char *type,
                       const char *code, struct buf *out);

// A whole answer: appends it to `out` as the client gets it, and fills r->said.
//   Errors  ERR_INVALID  it is not a JSON object
MUST_USE enum err relay_whole(struct relay *r, struct str body, struct buf *out);

#endif
