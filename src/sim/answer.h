// answer.h - what a simulated supplier says: bodies and streams in the OpenAI dialect, and in those
// of /v1/responses and /v1/messages.
//
// Pure: nothing but bytes into buffers. An answer's text is a function of its seed, so that it can
// be written piece by piece and again as a whole without being kept.
//
//   stream:  sim_answer_open -> sim_answer_token(0, 1, ...) -> sim_answer_end
//   unary:   sim_answer_whole

#ifndef CAUDAL_SIM_ANSWER_H
#define CAUDAL_SIM_ANSWER_H

#include "base/buf.h"
#include "portfolio/portfolio.h"

enum { SIM_NAME_MAX = 256, SIM_TOOL_MAX = 128 };

struct sim_answer {
    enum surface surface;
    bool stream;
    bool usage_wanted;  // stream_options.include_usage
    bool cerebras;      // usage and time_info on the finish chunk
    bool limited;       // ended by the request's limit: finish_reason "length"
    bool no_done, no_usage;
    int32_t choices;
    int32_t prompt_tok, cached_tok, output_tok;  // output: of each choice
    uint64_t seq;                                // number of the answer, in its id
    uint64_t seed;                               // of its text
    int64_t created_s;
    int64_t came_us, first_us, now_us;  // for time_info
    struct str filler;                  // text of every token; empty: words
    char model[SIM_NAME_MAX];
    char tool[SIM_TOOL_MAX];  // answers with a call of this tool; empty: text
    struct buf start;         // what every chunk of the stream begins with
    int32_t events;           // sent so far, for sequence_number
};

// Gives back what a stream holds.
void sim_answer_release(struct sim_answer *a);

// Where events go: each as one HTTP chunk if `chunked`.
struct sim_writer {
    struct buf *out;
    struct buf *event;  // scratch
    bool chunked;
};

// What comes before the first token (a chunk with the role).
void sim_answer_open(struct sim_answer *a, struct sim_writer *w);
// Token `i` (from 0) of every choice.
void sim_answer_token(struct sim_answer *a, struct sim_writer *w, int32_t i);
// The finish reason, usage, [DONE]; not the end of the HTTP body.
void sim_answer_end(struct sim_answer *a, struct sim_writer *w);
// Faults in a stream.
void sim_answer_error(struct sim_answer *a, struct sim_writer *w, const char *code);
void sim_answer_garbage(struct sim_writer *w);

// The whole of a unary answer.
void sim_answer_whole(struct sim_answer *a, struct buf *out);

// The body of an error in the dialect of `surface`. An empty `code` gives the status' usual one.
void sim_error_write(struct buf *out, enum surface surface, bool cerebras, int32_t status,
                     const char *code, const char *message);

// The parts that answer.c and events.c share.
void sim_event_begin(struct sim_writer *w, const char *name);  // NULL: without an event line
void sim_event_end(struct sim_writer *w);
void sim_text_token(struct buf *out, const struct sim_answer *a, int32_t choice, int32_t i);
void sim_text_whole(struct buf *out, const struct sim_answer *a, int32_t choice);

// events.c: /v1/responses and /v1/messages.
void sim_responses_open(struct sim_answer *a, struct sim_writer *w);
void sim_responses_token(struct sim_answer *a, struct sim_writer *w, int32_t i);
void sim_responses_end(struct sim_answer *a, struct sim_writer *w);
void sim_responses_whole(struct sim_answer *a, struct buf *out);
void sim_messages_open(struct sim_answer *a, struct sim_writer *w);
void sim_messages_token(struct sim_answer *a, struct sim_writer *w, int32_t i);
void sim_messages_end(struct sim_answer *a, struct sim_writer *w);
void sim_messages_whole(struct sim_answer *a, struct buf *out);

// embed.c: the answer of /v1/embeddings to `input`, the raw JSON of what was asked. Vectors of
// `dimensions` numbers with length 1, a function of the item's text alone.
//   Errors  ERR_INVALID  not a text, tokens, or a list of up to 2048 of them
//           ERR_LIMIT    `out` is full
enum { SIM_EMBEDDINGS_MAX = 2048, SIM_DIMENSIONS_MAX = 4096 };
MUST_USE enum err sim_embeddings_write(struct buf *out, const struct sim_answer *a,
                                       struct str input, int32_t dimensions, bool base64);

#endif
