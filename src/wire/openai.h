// openai.h - the OpenAI dialect: what a request says, what an answer says, and the few bytes in
// them that caudal changes. Pure: bytes to structs and back.

#ifndef CAUDAL_OPENAI_H
#define CAUDAL_OPENAI_H

#include "base/buf.h"
#include "portfolio/portfolio.h"
#include "route/failover.h"
#include "wire/json.h"

enum { OPENAI_NAME_MAX = 256 };

// What a model reads, in its order: tools, what stands before the messages, the messages.
enum { OPENAI_TOOLS, OPENAI_PREAMBLE, OPENAI_PROMPT, OPENAI_PARTS };

// --- requests ---------------------------------------------------------------------------------

struct openai_request {  // of chat/completions, completions, embeddings, responses, messages
    struct str body;     // borrowed: the caller's bytes
    char model[OPENAI_NAME_MAX];  // unescaped
    struct json_span model_at;    // its value in the body
    bool stream;
    bool stream_said;                    // the key is there
    bool usage_wanted;                   // stream_options.include_usage is true
    struct json_span stream_options_at;  // kind JSON_NULL and n 0 when absent
    int32_t output_tok_max;  // max_completion_tokens, max_tokens or max_output_tokens, the largest;
                             // 0: not said
    int32_t choices;         // the larger of n and best_of; 1
    int64_t prompt_bytes;  // text of messages, prompt or input, tools included; escapes count once,
                           // a token given as a number counts 4, images and sounds nothing
    char service_tier[32];           // empty: not said
    struct str parts[OPENAI_PARTS];  // as they stand in the body, without their closing ] or "
    uint64_t cache_key;              // stands for prompt_cache_key; 0: not said
    uint64_t user;   // stands for who is said to ask: safety_identifier, else user, else
                     // metadata.user_id (messages), else prompt_cache_key; 0: none is
                     // said, and one that is no text passes
    char param[64];  // on failure: the key that is wrong, for the error's `param`
};

// Reads what routing needs; everything else passes. Refuses what is not a JSON object, is too deep,
// holds one of the keys read here twice, or gives one of them a wrong type.
//   Errors  ERR_INVALID  out->param and `diag` say what
MUST_USE enum err openai_read(struct openai_request *out, enum surface surface, struct str body,
                              struct diag *diag);

// The body as it goes to the supplier: the model's name there, and for a stream of chat/completions
// or completions usage asked for. Every other byte is the client's. ERR_LIMIT: `out` is full, and
// as before.
MUST_USE enum err openai_write(struct buf *out, const struct openai_request *rq,
                               enum surface surface, struct str as);

// --- answers ----------------------------------------------------------------------------------

struct openai_usage {  // cached within prompt, reasoning within output
    bool said;
    int32_t prompt_tok, cached_tok, output_tok, reasoning_tok;
};
// The messages dialect says the prompt at the start and the output, growing, at the end: the larger
// of each is right, in every dialect.
void openai_usage_join(struct openai_usage *all, const struct openai_usage *one);

struct openai_event {  // what one event (or a whole unary answer) says
    bool content;      // text, a tool call, reasoning, a refusal: something a user waits for
    bool finish;       // a finish_reason, or the dialect's last event
    bool done;         // [DONE]
    bool error;        // an error object, at the top
    bool usage_only;   // choices empty and usage there: the extra chunk
    bool json;         // it is a JSON object
    int32_t pieces;    // deltas with content, as a count of tokens when no usage comes
    int32_t content_bytes;
    int32_t texts;                        // strings that content_bytes counts
    struct json_span text_at;             // the last of them
    struct json_span model_at, usage_at;  // n 0: absent; usage_at includes no comma; it is there
                                          // for "usage":null too (kind JSON_NULL, usage.said false)
    size_t usage_key_at;                  // the opening quote of its key
    struct openai_usage usage;
    struct json_span error_at;    // the error object, or the whole where it is flat
    struct json_span choices_at;  // n 0: absent
};

// Reads one event's data of a stream, or a whole answer (`whole`).
void openai_event_read(struct openai_event *out, enum surface surface, struct str event_name,
                       struct str data, bool whole);

// Writes `data` as the client gets it: the model's name `model` instead of the supplier's; usage
// taken out if `strip_usage` (then a usage-only chunk gives nothing: returns false, nothing
// written; false too when `out` is full, which shows in out->overflow). Appends plain JSON, without
// "data: ". `model` empty: the supplier's stays. Usage is for stripping in chunks of
// chat/completions and completions only; the other dialects always have it.
bool openai_event_write(struct buf *out, const struct openai_event *ev, struct str data,
                        struct str model, bool strip_usage);
// A chunk with finish_reason and usage together (Cerebras), where a client that wants usage expects
// it in a chunk of its own: write it with strip_usage, then this as the next event.
static inline bool openai_event_splits(const struct openai_event *ev)
{
    return ev->finish && ev->usage.said && !ev->usage_only && ev->choices_at.n > 0;
}
// The same chunk with `choices` empty. False: `out` is full.
bool openai_event_write_usage(struct buf *out, const struct openai_event *ev, struct str data,
                              struct str model);

// --- errors -----------------------------------------------------------------------------------

// What a failed answer means: the code first, then the status. `status` 200 with an error event is
// read by its code. Cerebras' flat shape, Azure's innererror, Google's status and llama.cpp's
// integer code are understood. `body` may be the whole answer, the whole event or what error_at
// spans.
struct openai_fault {
    enum fault fault;
    char code[64], type[64], param[64];
    char message[512];
};
void openai_fault_read(struct openai_fault *out, int32_t status, struct str body);

// {"error":{"message":...,"type":...,"param":...,"code":...}}; NULL for null.
bool openai_error_write(struct buf *out, const char *message, const char *type, const char *param,
                        const char *code);

#endif
