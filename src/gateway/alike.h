// alike.h - an event that is like the one before it but for its text, taken without being read
// again.
//
// Nearly all events of an answer differ in one JSON string alone. What stands before and behind
// that string is kept, as it came and as it went to the client. An event that begins and ends with
// the same bytes and has a valid string between them is as valid, says the same, and goes the same
// way; so reading it is two comparisons and a look at its text. Pure; about 400 bytes a stream.

#ifndef CAUDAL_ALIKE_H
#define CAUDAL_ALIKE_H

#include "base/buf.h"

struct alike {
    char *bytes;                     // what stands around the text; NULL: nothing is known yet
    uint16_t in_before, in_after;    // lengths: as it came,
    uint16_t out_before, out_after;  // and as it went, behind it unless that is the same
    bool same;                       // both are
    uint8_t learnt_in_vain;
};

void alike_release(struct alike *a);

// An event that was read: all of its bytes as they came and as they went, and its one text in them,
// a JSON string of `text_n` bytes with its quotes. Learns no more from a stream where that was in
// vain.
void alike_learn(struct alike *a, struct str in, size_t in_at, struct str out, size_t out_at,
                 size_t text_n);
// Takes an event off the front of `*in` and appends it to `out`; `*text_bytes` is the length of its
// text, escapes undone. False, and nothing changed: it is not there whole, is another kind of
// event, or has no text.
bool alike_take(struct alike *a, struct str *in, struct buf *out, size_t *text_bytes);

#endif
