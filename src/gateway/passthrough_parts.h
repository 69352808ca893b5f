// passthrough_parts.h - what the files of a passthrough share. Private to passthrough*.c.
//
//   passthrough.c         what of a head goes on, the beginning, the client's body
//   passthrough_answer.c  the supplier's answer, and how long it may take
//   passthrough_end.c     failures, the ledger's rows, spans, and its end

#ifndef CAUDAL_PASSTHROUGH_PARTS_H
#define CAUDAL_PASSTHROUGH_PARTS_H

#include "gateway/answer.h"
#include "gateway/attempt.h"
#include "gateway/limits.h"
#include "gateway/passthrough.h"

enum { HEAD_BYTES_MAX = 64 * 1024 };

// A request that goes to one supplier as it is. Lives as long as the request; frees itself.
struct pass {
    struct worker *worker;
    struct client *client;  // NULL: gone, or answered
    struct generation *generation;
    struct attempt attempt;
    struct ledger_call call;
    enum fault fault;
    struct buf head;   // to the supplier
    struct buf early;  // body bytes that came before the connection stood
    struct timer timer;
    int64_t arrived_us, sent_us, last_us;  // `sent_us` 0: nothing was
    int32_t tenant, status;
    const struct key *key;
    struct admission admission;  // requests and requests in flight: what it costs nobody knows
    int64_t bytes_in, bytes_out;
    char id[REQUEST_ID_BYTES];
    struct buf origin;
    struct span_context span;
    struct buf asked;  // of a sampled one: "GET /v1/files"
    bool chunked_up, body_done, head_sent, chunked_down, paused, over;
    bool failed;   // by us or the supplier: it counts as no request
    bool keep;     // as the answer's head said
    bool is_head;  // HEAD: an answer without a body
};

// passthrough.c
void pass_up_drain(struct pass *p);  // the connection to the supplier takes more

// passthrough_answer.c
extern const struct attempt_calls pass_attempt_calls;
void pass_on_timer(struct timer *t);
void pass_down_drain(void *ctx);  // so does the client's

// passthrough_end.c
// Its answer is complete, and the client may ask again when `keep`.
void pass_finish(struct pass *p, bool keep);
// Answers with this error, or cuts an answer that has begun.
void pass_fail(struct pass *p, int32_t status, const char *code, const char *message);
void pass_gone(void *ctx);  // the client

#endif
