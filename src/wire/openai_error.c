// Errors: what a supplier's means, and how ours is written.

#include "wire/openai.h"

#include <stdlib.h>

// --- what the body says -----------------------------------------------------------------------

struct said {
    struct openai_fault *out;
    struct str body;
    int32_t status;  // in the body: llama.cpp's code, Google's code, Cerebras' status_code; 0
    char inner[64];  // Azure's innererror.code
};

static void read_status(struct said *s, struct json_span v)
{
    int64_t n;
    if (json_i64(s->body, v, &n) && n >= 100 && n <= 599)
        s->status = (int32_t)n;
}

// A code is text or a number; a number below 600 is a status.
static void read_code(struct said *s, struct json_span v)
{
    char *code = s->out->code;
    size_t size = sizeof s->out->code;
    if (v.kind == JSON_NUMBER && v.n < size) {
        memcpy(code, s->body.p + v.at, v.n);
        code[v.n] = 0;
        read_status(s, v);
    } else {
        json_string_cut(s->body, v, code, size);
    }
}

static void read_inner(struct said *s, struct json_span v)
{
    struct json_span code;
    if (v.kind != JSON_OBJECT || !json_get(json_slice(s->body, v), STR("code"), &code))
        return;
    code.at += v.at;
    json_string_cut(s->body, code, s->inner, sizeof s->inner);
}

static void read_message(struct said *s, struct json_span v)
{
    if (v.kind == JSON_STRING)
        json_string_cut(s->body, v, s->out->message, sizeof s->out->message);
}

// The object that holds code and message; wrappers first say what only they know.
static void read_object(struct said *s, struct json_span object, int depth)
{
    struct json_walk w;
    struct json_span within = {.n = 0};
    if (!json_walk(&w, json_slice(s->body, object)))
        return;
    while (json_step(&w)) {
        struct json_span v = w.value;
        v.at += object.at;
        bool object_or_list = v.kind == JSON_OBJECT || v.kind == JSON_ARRAY;
        if (w.array) {  // Google's list of one
            within = v;
            break;
        }
        if (json_key_is(&w, STR("error")) || json_key_is(&w, STR("response"))) {
            if (object_or_list)
                within = v;
            else
                read_message(s, v);
        } else if (json_key_is(&w, STR("code"))) {
            read_code(s, v);
        } else if (json_key_is(&w, STR("type")) || json_key_is(&w, STR("__type"))) {
            json_string_cut(s->body, v, s->out->type, sizeof s->out->type);
        } else if (json_key_is(&w, STR("param"))) {
            json_string_cut(s->body, v, s->out->param, sizeof s->out->param);
        } else if (json_key_is(&w, STR("message")) || json_key_is(&w, STR("detail"))) {
            read_message(s, v);
        } else if (json_key_is(&w, STR("status"))) {  // Azure: a number, Google: a name
            if (v.kind == JSON_STRING && !s->out->type[0])
                json_string_cut(s->body, v, s->out->type, sizeof s->out->type);
            else
                read_status(s, v);
        } else if (json_key_is(&w, STR("status_code"))) {
            read_status(s, v);
        } else if (json_key_is(&w, STR("innererror"))) {
            read_inner(s, v);
        }
    }
    if (within.n > 0 && depth > 0) {
        // What stands around the error ("type":"error", the status of a response) is not about it.
        s->out->type[0] = 0;
        read_object(s, within, depth - 1);
    }
}

// --- what it means ----------------------------------------------------------------------------

// Codes and types that say more than the status they come with. A '*' at the end stands for the
// rest.
static const struct meaning {
    const char *name;
    enum fault fault;
} strong[] = {
    {"context_length_exceeded", FAULT_CONTEXT},
    {"context_window_exceeded", FAULT_CONTEXT},
    {"exceed_context_size_error", FAULT_CONTEXT},
    {"content_filter", FAULT_CONTENT},
    {"content_policy_violation", FAULT_CONTENT},
    {"ResponsibleAIPolicyViolation", FAULT_CONTENT},
    {"moderation_blocked", FAULT_CONTENT},
    {"invalid_prompt", FAULT_CONTENT},
    {"insufficient_quota", FAULT_SPENT},
    {"credit_balance_exhausted", FAULT_SPENT},
    {"enforced_spend_limit_reached", FAULT_SPENT},
    {"payment_required*", FAULT_SPENT},
    {"billing*", FAULT_SPENT},
    {"model_not_found", FAULT_NO_MODEL},
    {"DeploymentNotFound", FAULT_NO_MODEL},
    {"invalid_api_key", FAULT_DENIED},
    {"slow_down", FAULT_BUSY},
    {"server_is_overloaded", FAULT_BUSY},
    {"overloaded_error", FAULT_BUSY},
};

// Those that count only where the status says nothing: an error inside an answer that began with
// 200.
static const struct meaning weak[] = {
    {"rate_limit*", FAULT_BUSY},
    {"RateLimit*", FAULT_BUSY},
    {"too_many_*", FAULT_BUSY},
    {"RESOURCE_EXHAUSTED", FAULT_BUSY},
    {"authentication_error", FAULT_DENIED},
    {"permission_error", FAULT_DENIED},
    {"UNAUTHENTICATED", FAULT_DENIED},
    {"PERMISSION_DENIED", FAULT_DENIED},
    {"not_found_error", FAULT_NO_MODEL},
    {"NOT_FOUND", FAULT_NO_MODEL},
    {"invalid_request_error", FAULT_CLIENT},
    {"request_too_large", FAULT_CLIENT},
    {"BadRequestError", FAULT_CLIENT},
    {"INVALID_ARGUMENT", FAULT_CLIENT},
};

static bool name_is(const char *name, const char *pattern)
{
    size_t n = strlen(pattern);
    return n > 0 && pattern[n - 1] == '*' ? strncmp(name, pattern, n - 1) == 0
                                          : strcmp(name, pattern) == 0;
}

static enum fault look_up(const struct meaning *m, size_t n, const char *name)
{
    for (size_t i = 0; i < n && name[0]; i++)
        if (name_is(name, m[i].name))
            return m[i].fault;
    return FAULT_NONE;
}

static enum fault by_names(const struct meaning *m, size_t n, const struct said *s)
{
    enum fault f = look_up(m, n, s->out->code);
    if (!f)
        f = look_up(m, n, s->inner);
    return f ? f : look_up(m, n, s->out->type);
}

// Engines and suppliers without a code for it say in words that a prompt is too long.
static bool says_too_long(const char *message)
{
    static const char *const words[] = {
        "maximum context length",            // OpenAI, vLLM
        "context size",                      // llama.cpp
        "context length",                    // SGLang: "longer than the model's context length"
        "context window",                    // Anthropic, Bedrock
        "prompt is too long",                // Anthropic
        "input is too long",                 // Bedrock
        "maximum number of tokens allowed",  // Google
        "max_input_len",                     // TensorRT-LLM
        "max_num_tokens",
    };
    for (size_t i = 0; i < COUNTOF(words); i++)
        if (strcasestr(message, words[i]))
            return true;
    return false;
}

static bool says_spent(const struct said *s)
{
    size_t at;
    if (strcasestr(s->out->message, "credit balance"))  // Anthropic, with a 400
        return true;
    // Google's daily quota: the identifier of the quota says so.
    return name_is(s->out->type, "RESOURCE_EXHAUSTED") && str_find(s->body, STR("PerDay"), &at);
}

static enum fault by_status(int32_t status)
{
    switch (status) {
    case 401:
    case 403: return FAULT_DENIED;
    case 402: return FAULT_SPENT;
    case 404: return FAULT_NO_MODEL;
    case 429: return FAULT_BUSY;
    case 408:
    case 409:
    case 424:
    case 425: return FAULT_SERVER;
    default: break;
    }
    if (status >= 500)
        return FAULT_SERVER;
    return status >= 400 ? FAULT_CLIENT : FAULT_NONE;
}

static enum fault fault_of(const struct said *s, int32_t status)
{
    enum fault f = by_names(strong, COUNTOF(strong), s);
    if (f)
        return f;
    if (status < 400)
        status = s->status;
    enum fault by = by_status(status);
    bool of_input = by == FAULT_CLIENT || by == FAULT_SERVER || by == FAULT_NONE;
    if (of_input && says_too_long(s->out->message))
        return FAULT_CONTEXT;
    if (says_spent(s))
        return FAULT_SPENT;
    if (!by)
        by = by_names(weak, COUNTOF(weak), s);
    if (!by)
        by = s->out->code[0] || s->out->type[0] ? FAULT_SERVER : FAULT_GARBAGE;
    return by;
}

// Words of a proxy in between, for the log: the first line, if it is not markup.
static void read_plain(struct openai_fault *out, struct str body)
{
    struct str rest = str_trim(body), line = {NULL, 0};
    size_t n = 0;
    str_cut(&rest, '\n', &line);
    if (str_starts(line, STR("<")))
        return;
    for (; n < line.n && n < 200; n++)
        out->message[n] = line.p[n] >= 0x20 && line.p[n] < 0x7f ? line.p[n] : '?';
    out->message[n] = 0;
}

void openai_fault_read(struct openai_fault *out, int32_t status, struct str body)
{
    memset(out, 0, sizeof *out);
    struct said s = {.out = out, .body = body};
    if (json_validate(body, NULL) == ERR_NONE) {
        read_object(&s, (struct json_span){.n = body.n}, 3);
        out->fault = fault_of(&s, status);
        return;
    }
    read_plain(out, body);
    out->fault = by_status(status);
    if (!out->fault)
        out->fault = FAULT_GARBAGE;
}

// --- ours -------------------------------------------------------------------------------------

static bool add_or_null(struct buf *out, const char *text)
{
    return text ? buf_add_json(out, str_of(text)) : buf_lit(out, "null");
}

bool openai_error_write(struct buf *out, const char *message, const char *type, const char *param,
                        const char *code)
{
    return buf_lit(out, "{\"error\":{\"message\":") &&
           buf_add_json(out, str_of(message ? message : "")) && buf_lit(out, ",\"type\":") &&
           add_or_null(out, type) && buf_lit(out, ",\"param\":") && add_or_null(out, param) &&
           buf_lit(out, ",\"code\":") && add_or_null(out, code) && buf_lit(out, "}}");
}
