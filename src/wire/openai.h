// openai.h - the OpenAI dialect: what a request says, what an answer says, and the few bytes in them
// that caudal changes. Pure: bytes to structs and back.

#ifndef CAUDAL_OPENAI_H
#define CAUDAL_OPENAI_H

#include "base/buf.h"
#include "portfolio/portfolio.h"
#include "route/failover.h"
#include "wire/json.h"

enum { OPENAI_NAME_MAX = 256 };

// --- requests ---------------------------------------------------------------------------------

struct openai_request {   // of chat/completions, completions, embeddings, responses, messages
    struct str body;               // borrowed: the caller's bytes
    char model[OPENAI_NAME_MAX];   // unescaped
    struct json_span model_at;     // its value in the body
    bool stream;
    bool stream_said;              // the key is there
    bool usage_wanted;             // stream_options.include_usage is true
    struct json_span stream_options_at;  // kind JSON_NULL and n 0 when absent
    int32_t output_tok_max;        // max_completion_tokens, max_tokens or max_output_tokens; 0: not said
    int32_t choices;               // n; 1
    int64_t prompt_bytes;          // text of messages, prompt or input, tools included; escapes count once
    char service_tier[32];         // empty: not said
    char param[64];                // on failure: the key that is wrong, for the error's `param`
};

// Reads what routing needs; everything else passes. Refuses what is not a JSON object, is too deep,
// holds one of the keys read here twice, or gives one of them a wrong type.
//   Errors  ERR_INVALID  out->param and `diag` say what
MUST_USE enum err openai_read(struct openai_request *out, enum surface surface, struct str body,
                              struct diag *diag);

// The body as it goes to the supplier: the model's name there, and for a stream of chat/completions or
// completions usage asked for. Every other byte is the client's.
MUST_USE enum err openai_write(struct buf *out, const struct openai_request *rq, enum surface surface,
                               struct str as);

// --- answers ----------------------------------------------------------------------------------

struct openai_usage {
    bool said;
    int32_t prompt_tok, cached_tok, output_tok, reasoning_tok;
};

struct openai_event {     // what one event (or a whole unary answer) says
    bool content;         // text, a tool call, reasoning, a refusal: something a user waits for
    bool finish;          // a finish_reason, or the dialect's last event
    bool done;            // [DONE]
    bool error;           // an error object, at the top
    bool usage_only;      // choices empty and usage there: the extra chunk
    bool json;            // it is valid JSON
    int32_t pieces;       // deltas with content, as a count of tokens when no usage comes
    int32_t content_bytes;
    struct json_span model_at, usage_at;  // n 0: absent; usage_at includes no comma
    struct openai_usage usage;
    struct json_span error_at;
};

// Reads one event's data of a stream, or a whole answer (`whole`).
void openai_event_read(struct openai_event *out, enum surface surface, struct str event_name,
                       struct str data, bool whole);

// Writes `data` as the client gets it: the model's name `model` instead of the supplier's; usage
// taken out if `strip_usage` (then a usage-only chunk gives nothing: returns false, nothing written).
// A chunk with finish_reason and usage together (Cerebras) is split when usage is wanted and
// `split_usage`. Appends plain JSON, without "data: ".
bool openai_event_write(struct buf *out, const struct openai_event *ev, struct str data,
                        struct str model, bool strip_usage);

// --- errors -----------------------------------------------------------------------------------

// What a failed answer means. `status` 200 with an error event is read by its code. Cerebras' flat
// shape, Azure's innererror, Google's status and llama.cpp's integer code are understood.
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
