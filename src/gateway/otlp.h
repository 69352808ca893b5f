// otlp.h - spans of sampled requests, to an OpenTelemetry receiver: OTLP over HTTP, in JSON.
//
//   exchange.c, passthrough.c --otlp_begin()--> is it sampled, and under which trace
//   exchange_trace.c, passthrough_end.c --otlp_add()--> waiting spans --a second later--> one POST
//                                                                             --> serve.traces.to
//
// One exporter a worker, on its loop. What waits is bounded; what does not fit, or is not taken
// after a few tries, is dropped and counted. Serving never waits for the receiver, nor does the end
// of the process for longer than a second.

#ifndef CAUDAL_OTLP_H
#define CAUDAL_OTLP_H

#include "base/buf.h"
#include "wire/http1.h"

struct otlp;
struct worker;

struct span_context {  // of a request; zero: it is not sampled
    unsigned char trace[16];
    uint64_t parent;   // the caller's span; 0: the trace begins here
    uint64_t id;       // of the request's span; never 0 when it is sampled
    struct str state;  // the caller's tracestate; owned
};

struct otlp *otlp_new(struct worker *w);
void otlp_free(struct otlp *o);  // `o` may be NULL; its worker's upstream must still be there

// Decides about a request with this head: the caller's traceparent says it, else
// serve.traces.sample.
void otlp_begin(struct worker *w, struct span_context *s, const struct http1_head *head);
// Takes out of the lines that go on to the supplier those that are ours to say when it is sampled.
void span_cut(const struct span_context *s, struct buf *headers);
void span_release(struct span_context *s);

// The span of the request's n-th send, from 0; and its line in a head to the supplier, if any.
uint64_t span_of_send(const struct span_context *s, int32_t send);
void span_write_parent(const struct span_context *s, int32_t send, struct buf *head);

// Takes finished spans: JSON objects of OTLP with a comma between them. Copied, or dropped and
// counted; an empty text is `n` spans that did not fit where they were written.
void otlp_add(struct worker *w, struct str spans, int32_t n);

// The worker is about to end. True: spans wait, and `then` is called when they are sent, or a
// second later.
bool otlp_last_words(struct otlp *o, void (*then)(struct worker *w));

// The families of all workers, for /metrics; nothing while no portfolio asks for traces.
void otlp_metrics(const struct worker *w, struct buf *out);

#endif
