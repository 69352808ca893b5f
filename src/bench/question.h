// question.h - what a supplier is asked and what its answer says, in each dialect that `serve`
// speaks too: chat/completions, completions, responses, messages. Pure.

#ifndef CAUDAL_BENCH_QUESTION_H
#define CAUDAL_BENCH_QUESTION_H

#include "base/buf.h"
#include "base/hist.h"
#include "portfolio/portfolio.h"

struct question {
    struct str prompt;    // of one user; copied
    struct str messages;  // JSON, in place of the prompt: [{"role":...,"content":...}]; empty: none
    int32_t output_tok;  // so many, and no fewer where the supplier can be told; 0: nothing is said
    struct str more;     // members of the body, as they are: "\"min_tokens\":7"; empty: none
    int64_t due_us;
    struct hist *gaps;  // where times between two pieces of content go, in us; NULL: nowhere
    struct buf *text;   // where the answer goes, which may then end where it likes; NULL: nowhere
    int64_t seed;       // for the supplier, of an answer that is kept
};

// Reads "chat", "completions", "responses" or "messages". False: it is none of them.
bool surface_of_name(enum surface *out, struct str name);
// What stands behind the supplier's URL: "/chat/completions".
const char *surface_path(enum surface surface);

// The body of a request for a greedy answer as a stream. `plain`: nothing that the official
// interface lacks, so that an answer may be shorter than was asked for.
void question_write(struct buf *out, const struct question *q, enum surface surface,
                    struct str model, bool plain);
// Appends the text that one event of the answer holds; reasoning and calls of tools are none.
void question_text(struct buf *out, enum surface surface, struct str event_data);

#endif
