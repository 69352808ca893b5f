// ask.h - what the files of `caudal ask` share: the question, and the answer as it comes.

#ifndef CAUDAL_ASK_H
#define CAUDAL_ASK_H

#include "cli/web.h"
#include "wire/sse.h"

enum { ASK_EVENT_BYTES_MAX = 4 << 20, ASK_ANSWER_BYTES_MAX = 64 << 20 };

struct ask_options {
    struct str model, url, key, class, system;
    struct web_trust trust;
    int32_t max_tokens;
    bool json, no_receipt;
};

struct ask {
    const struct ask_options *options;
    struct arena *arena;
    struct str question;
    int32_t status;
    bool streams;        // the answer comes as events
    bool ended;          // [DONE] came
    bool at_line_start;  // what was printed ends a line
    bool terminal;       // stdout is one: a model's control characters must not reach it
    struct sse sse;
    struct buf line;    // of the stream, unfinished
    struct buf body;    // an answer that is no stream, or its error
    struct buf answer;  // --json: the words of it
    struct buf receipt;
    struct str request_id;  // empty: the server said none
    struct str model;       // that answered
    struct str finish;      // why it ended
};

// For web_run(), with a `struct ask`: the head, a body that is kept, a body as the head says.
enum err ask_head(void *ctx, const struct http1_head *head, struct diag *diag);
enum err ask_collect(void *ctx, struct str bytes, struct diag *diag);
enum err ask_data(void *ctx, struct str bytes, struct diag *diag);

// A chunk of a stream (`part` is "delta") or a whole answer ("message").
MUST_USE enum err ask_answer(struct ask *a, struct str json, const char *part, struct diag *diag);
// What the server says went wrong, always as an error.
enum err ask_server_error(struct str json, struct diag *diag);

// `*json` becomes the first entry of its list `name`. False: there is none.
bool ask_first_of(struct str *json, const char *name);
// A string member, in memory of the arena; empty when there is none.
struct str ask_text_of(struct arena *a, struct str json, const char *name);

#endif
