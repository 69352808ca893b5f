// attempt.h - one physical send of a request to one supplier, and its answer as it comes.
//
// Knows nothing of the client. A second try, a hedge or a continuation is another attempt beside
// it. Every attempt ends in exactly one of `end` and `failed`, unless it was cancelled; after that,
// and after attempt_cancel(), the struct is its owner's again.

#ifndef CAUDAL_ATTEMPT_H
#define CAUDAL_ATTEMPT_H

#include "gateway/upstream.h"
#include "route/failover.h"

struct attempt_calls {
    void (*head)(void *ctx, const struct http1_head *head);  // borrowed for the call
    void (*body)(void *ctx, struct str bytes);               // borrowed for the call
    void (*rest)(void *ctx);  // of a body: all that came at once has been given; may be NULL
    void (*end)(void *ctx);   // the answer is whole
    // `stale`: a kept connection died before a byte of an answer came; the supplier may not have
    // seen the request, and the same pool may be tried again at once on a new connection.
    void (*failed)(void *ctx, enum fault fault, bool stale, const char *why);
    void (*drain)(void *ctx);  // of a streamed request body: more may be sent
};

struct attempt {
    struct upstream *upstream;
    struct endpoint *ep;
    struct link *link;  // NULL: over
    const struct attempt_calls *calls;
    void *ctx;
    struct str head, body;  // borrowed until the request has been sent
    bool reused, opened, head_seen, any_byte, keep;
    int64_t bytes_up, bytes_down;  // of the bodies: handed to the connection, and come from it
    bool whole_sent;  // the request body is all sent: set by the owner of a streamed one
};

// Starts sending. `head` ends with the empty line; `body` may be empty when it is streamed with
// attempt_more(). Both must stay until `head` is called or the attempt is over. No call comes from
// inside attempt_start().
void attempt_start(struct attempt *t, struct upstream *u, struct endpoint *ep, bool fresh,
                   struct str head, struct str body, const struct attempt_calls *calls, void *ctx);
void attempt_cancel(struct attempt *t);  // closes the connection; no call comes any more
bool attempt_over(const struct attempt *t);
bool attempt_started(const struct attempt *t);  // or it was held, and came to nothing
bool attempt_connected(const struct attempt *t);
void attempt_pause(struct attempt *t);  // read no more of the answer until attempt_resume()
void attempt_resume(struct attempt *t);
void attempt_no_body(struct attempt *t);  // the request is a HEAD: its answer has no body
// A streamed request body, as it goes on the wire (chunks included). True: wait for `drain`.
bool attempt_more(struct attempt *t, struct str wire);
// How long an answer's head asks to be left alone; -1: it does not say.
int64_t attempt_retry_after_us(const struct http1_head *h);
bool attempt_streams(const struct http1_head *h);  // what comes is an answer, event by event
// The answer's head is no longer needed: a long stream keeps none.
void attempt_forget_head(struct attempt *t);

#endif
