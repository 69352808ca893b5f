// caller.h - one user of the supplier that is measured: a kept-alive connection, a request, and
// when each part of its answer came.
//
// Streams over HTTP/1.1, in any dialect of question.h. A caller asks one question at a time; the
// connection is made when it is needed, and the time that this takes counts.

#ifndef CAUDAL_BENCH_CALLER_H
#define CAUDAL_BENCH_CALLER_H

#include "bench/question.h"
#include "io/loop.h"

struct bench_target {
    struct str host;
    int32_t port;
    bool bracketed;          // the host is written in brackets
    struct tls_client *tls;  // NULL: plain; outlives the loop
    struct str path;         // what stands for "/v1"
    enum surface surface;
    struct str model, key;  // key empty: none
    bool plain;             // send nothing that the official interface lacks: no ignore_eos
    int64_t timeout_us;     // of one answer, from its intended time
};

// One request, as its user saw it. Times are of loop_now_us().
struct sample {
    int64_t due_us;             // when it was to be sent: latency counts from here
    int64_t first_us, last_us;  // of content; 0: none came
    int64_t end_us;
    int32_t prompt_tok, cached_tok, output_tok;
    bool counted;  // the supplier said how many tokens; otherwise they are pieces of the stream
    bool failed;
};

struct caller;  // opaque

// `done` is called once for each question, from the loop; `why` says what failed, else it is empty.
// The caller is idle then, and may be asked again from inside the call.
typedef void (*caller_done)(void *ctx, struct caller *c, const struct sample *s, const char *why);

struct caller *caller_new(struct loop *l, const struct bench_target *t, caller_done done,
                          void *ctx);
void caller_free(struct caller *c);  // when its loop is gone
void caller_ask(struct caller *c, const struct question *q);
// Forgets the question it is at, if any: `done` is not called.
void caller_drop(struct caller *c);
bool caller_busy(const struct caller *c);

#endif
