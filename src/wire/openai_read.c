// Requests: what routing needs of a body. (How it goes on: openai_write.c.)

#include "wire/openai.h"

#include <stdio.h>

enum { TOKEN_BYTES = 4 };  // a token given as a number stands for about so much text

struct reader {
    struct openai_request *rq;
    enum surface surface;
    struct diag *diag;
    uint32_t seen;  // bit i: keys[i] has been there
    int user_rank;  // of rq->user
};

// --- refusing ---------------------------------------------------------------------------------

static enum err refuse(struct reader *r, const char *param, const char *why)
{
    snprintf(r->rq->param, sizeof r->rq->param, "%s", param);
    return diag_set(r->diag, ERR_INVALID, "%s", why);
}

static const char *kind_text(struct str body, struct json_span v)
{
    static const char *const text[] = {
        [JSON_NULL] = "null",       [JSON_FALSE] = "a boolean", [JSON_TRUE] = "a boolean",
        [JSON_NUMBER] = "a number", [JSON_STRING] = "a string", [JSON_ARRAY] = "an array",
        [JSON_OBJECT] = "an object"};
    int64_t whole;
    return json_i64(body, v, &whole) ? "an integer" : text[v.kind];
}

static enum err wrong_type(struct reader *r, const char *param, const char *expected,
                           struct json_span v)
{
    snprintf(r->rq->param, sizeof r->rq->param, "%s", param);
    return diag_set(r->diag, ERR_INVALID, "Invalid type for '%s': expected %s, but got %s instead.",
                    param, expected, kind_text(r->rq->body, v));
}

static enum err missing(struct reader *r, const char *param)
{
    snprintf(r->rq->param, sizeof r->rq->param, "%s", param);
    return diag_set(r->diag, ERR_INVALID, "Missing required parameter: '%s'.", param);
}

static enum err empty_array(struct reader *r, const char *param)
{
    snprintf(r->rq->param, sizeof r->rq->param, "%s", param);
    return diag_set(r->diag, ERR_INVALID,
                    "Invalid '%s': empty array. Expected an array with minimum length 1.", param);
}

static enum err twice(struct reader *r, const char *param)
{
    snprintf(r->rq->param, sizeof r->rq->param, "%s", param);
    return diag_set(r->diag, ERR_INVALID, "Duplicate parameter: '%s' is there more than once.",
                    param);
}

// --- how much text there is -------------------------------------------------------------------

static int64_t string_bytes(const struct json_walk *at)
{
    return (int64_t)at->value.n - 2 - (int64_t)at->value_saved;
}

// Members of a message, a part or an item that hold text for the model, and members that hold more
// such things. Others (image_url, input_audio, file, role, id) cost no text.
static bool holds_text(const struct json_walk *w)
{
    return json_key_is(w, STR("text")) || json_key_is(w, STR("content")) ||
           json_key_is(w, STR("refusal")) || json_key_is(w, STR("thinking")) ||
           json_key_is(w, STR("reasoning")) || json_key_is(w, STR("reasoning_content")) ||
           json_key_is(w, STR("arguments")) || json_key_is(w, STR("output")) ||
           json_key_is(w, STR("summary")) || json_key_is(w, STR("name"));
}

// Members that are for the model as they stand, JSON and all.
static bool holds_json(const struct json_walk *w)
{
    return json_key_is(w, STR("tool_calls")) || json_key_is(w, STR("function_call")) ||
           json_key_is(w, STR("input"));
}

// One pass; as deep as the text nests, which json_validate() has bounded.
static int64_t text_bytes(struct json_walk *at)
{
    struct json_walk w;
    int64_t sum = 0;
    if (at->value.kind == JSON_STRING)
        return string_bytes(at);
    if (at->value.kind == JSON_NUMBER)
        return TOKEN_BYTES;
    if (!json_walk_in(&w, at))
        return 0;
    while (json_step(&w)) {
        if (w.array || holds_text(&w))
            sum += text_bytes(&w);
        else if (holds_json(&w))
            sum += w.value.kind == JSON_STRING ? string_bytes(&w) : (int64_t)json_value(&w).n;
    }
    return sum;
}

// Without its end: a longer list, or text, begins with the same bytes.
static void note_part(struct reader *r, int part, struct json_walk *at)
{
    struct str s = json_slice(at->text, json_value(at));
    s.n -= s.n > 0;
    while (s.n && s.p[s.n - 1] <= ' ')
        s.n--;
    r->rq->parts[part] = s;
}

// --- the keys ---------------------------------------------------------------------------------

static enum err read_model(struct reader *r, const char *name, struct json_walk *at)
{
    struct openai_request *rq = r->rq;
    struct json_span v = at->value;
    size_t n;
    if (v.kind != JSON_STRING)
        return wrong_type(r, name, "a string", v);
    if (!json_string(rq->body, v, rq->model, sizeof rq->model - 1, &n))
        return refuse(r, name, "Invalid 'model': string too long. Expected at most 255 bytes.");
    rq->model[n] = 0;
    if (n == 0)
        return refuse(r, name, "Invalid 'model': empty string. Expected the name of a model.");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)rq->model[i] < 0x20)
            return refuse(r, name, "Invalid 'model': a control character in it.");
    rq->model_at = v;
    return ERR_NONE;
}

static enum err read_bool(struct reader *r, const char *name, struct json_span v, bool *out)
{
    if (v.kind != JSON_TRUE && v.kind != JSON_FALSE && v.kind != JSON_NULL)
        return wrong_type(r, name, "a boolean", v);
    *out = v.kind == JSON_TRUE;
    return ERR_NONE;
}

static enum err read_stream(struct reader *r, const char *name, struct json_walk *at)
{
    r->rq->stream_said = true;
    return read_bool(r, name, at->value, &r->rq->stream);
}

static enum err read_stream_options(struct reader *r, const char *name, struct json_walk *at)
{
    struct json_walk w;
    bool seen = false;
    if (at->value.kind != JSON_OBJECT && at->value.kind != JSON_NULL)
        return wrong_type(r, name, "an object", at->value);
    r->rq->stream_options_at = json_value(at);
    json_walk_in(&w, at);
    while (json_step(&w)) {
        if (!json_key_is(&w, STR("include_usage")))
            continue;
        if (seen)
            return twice(r, "stream_options.include_usage");
        seen = true;
        enum err e = read_bool(r, "stream_options.include_usage", w.value, &r->rq->usage_wanted);
        if (e)
            return e;
    }
    return ERR_NONE;
}

// A whole number from `least` to `most`, or null, which leaves *out as it is.
static enum err read_count(struct reader *r, const char *name, struct json_span v, int32_t least,
                           int32_t most, int32_t *out)
{
    int64_t n;
    if (v.kind == JSON_NULL)
        return ERR_NONE;
    if (!json_i64(r->rq->body, v, &n)) {
        double x;
        if (v.kind != JSON_NUMBER || (json_double(r->rq->body, v, &x) && x > -1e15 && x < 1e15))
            return wrong_type(r, name, "an integer", v);
        n = *json_slice(r->rq->body, v).p == '-' ? INT64_MIN : INT64_MAX;
    }
    if (n < least || n > most)
        snprintf(r->rq->param, sizeof r->rq->param, "%s", name);
    if (n < least)
        return diag_set(r->diag, ERR_INVALID,
                        "Invalid '%s': integer below minimum value. Expected a value >= %d.", name,
                        least);
    if (n > most)
        return diag_set(r->diag, ERR_INVALID,
                        "Invalid '%s': integer above maximum value. Expected a value <= %d.", name,
                        most);
    *out = (int32_t)n;
    return ERR_NONE;
}

// Of several limits the largest is what an answer may cost; which one wins is the supplier's
// affair.
static enum err read_output_max(struct reader *r, const char *name, struct json_walk *at)
{
    int32_t most = 0;
    // Completions may ask for no token at all: `echo` with `logprobs` scores a text.
    int32_t least = r->surface == SURFACE_COMPLETIONS ? 0 : 1;
    enum err e = read_count(r, name, at->value, least, INT32_MAX, &most);
    if (most > r->rq->output_tok_max)
        r->rq->output_tok_max = most;
    return e;
}

static enum err read_choices(struct reader *r, const char *name, struct json_walk *at)
{
    int32_t n = 1;
    enum err e = read_count(r, name, at->value, strcmp(name, "n") == 0 ? 1 : 0, 128, &n);
    if (n > r->rq->choices)
        r->rq->choices = n;
    return e;
}

static enum err read_messages(struct reader *r, const char *name, struct json_walk *at)
{
    struct json_walk w;
    int32_t n = 0;
    if (at->value.kind != JSON_ARRAY)
        return wrong_type(r, name, "an array of objects", at->value);
    json_walk_in(&w, at);
    for (; json_step(&w); n++) {
        if (w.value.kind != JSON_OBJECT) {
            char param[32];
            snprintf(param, sizeof param, "messages[%d]", n);
            return wrong_type(r, param, "an object", w.value);
        }
        r->rq->prompt_bytes += text_bytes(&w);
    }
    note_part(r, OPENAI_PROMPT, at);
    return n ? ERR_NONE : empty_array(r, name);
}

// `prompt` and `input`: a text, or an array of texts, tokens, arrays of tokens or items.
static enum err read_text(struct reader *r, const char *name, struct json_walk *at)
{
    bool may_miss = r->surface != SURFACE_EMBEDDINGS;
    if (at->value.kind == JSON_NULL && may_miss)
        return ERR_NONE;
    if (at->value.kind == JSON_STRING) {
        r->rq->prompt_bytes += string_bytes(at);
        note_part(r, OPENAI_PROMPT, at);
        return ERR_NONE;
    }
    if (at->value.kind != JSON_ARRAY)
        return wrong_type(r, name, "a string or an array", at->value);
    struct json_walk w;
    bool empty = true;
    json_walk_in(&w, at);
    for (; json_step(&w); empty = false)
        r->rq->prompt_bytes += text_bytes(&w);
    note_part(r, OPENAI_PROMPT, at);
    return empty && r->surface != SURFACE_RESPONSES ? empty_array(r, name) : ERR_NONE;
}

// `system` and `instructions`: what is wrong with them is the supplier's to say.
static enum err read_preamble(struct reader *r, const char *name, struct json_walk *at)
{
    (void)name;
    if (at->value.kind == JSON_STRING || at->value.kind == JSON_ARRAY) {
        r->rq->prompt_bytes += text_bytes(at);
        note_part(r, OPENAI_PREAMBLE, at);
    }
    return ERR_NONE;
}

// The model reads them as they stand, or nearly so.
static enum err read_tools(struct reader *r, const char *name, struct json_walk *at)
{
    (void)name;
    if (at->value.kind == JSON_ARRAY) {
        r->rq->prompt_bytes += (int64_t)json_value(at).n - 2;
        note_part(r, OPENAI_TOOLS, at);
    }
    return ERR_NONE;
}

static enum err read_tier(struct reader *r, const char *name, struct json_walk *at)
{
    char *tier = r->rq->service_tier;
    size_t n, size = sizeof r->rq->service_tier - 1;
    if (at->value.kind == JSON_NULL)
        return ERR_NONE;
    if (at->value.kind != JSON_STRING)
        return wrong_type(r, name, "a string", at->value);
    bool fits = json_string(at->text, at->value, tier, size, &n);
    tier[fits ? n : 0] = 0;
    return fits ? ERR_NONE : refuse(r, name, "Invalid 'service_tier': string too long.");
}

// A name is better than another the less it says beside who asks.
enum { USER_NONE, USER_CACHE_KEY, USER_METADATA, USER_SAID, USER_SAFETY };
enum { USER_SEED = 0x75736572, CACHE_SEED = 0x63616368 };

static enum err user_of(struct reader *r, struct json_walk *at, int rank)
{
    if (at->value.kind != JSON_STRING || rank <= r->user_rank)
        return ERR_NONE;
    struct str text = json_slice(at->text, json_value(at));
    if (text.n <= 2)
        return ERR_NONE;
    r->rq->user = str_hash(text, USER_SEED);
    r->user_rank = rank;
    return ERR_NONE;
}

static enum err read_safety_identifier(struct reader *r, const char *name, struct json_walk *at)
{
    (void)name;
    return user_of(r, at, USER_SAFETY);
}

static enum err read_user(struct reader *r, const char *name, struct json_walk *at)
{
    (void)name;
    return user_of(r, at, USER_SAID);
}

static enum err read_metadata(struct reader *r, const char *name, struct json_walk *at)
{
    (void)name;
    struct json_walk w;
    if (at->value.kind != JSON_OBJECT || !json_walk_in(&w, at))
        return ERR_NONE;
    while (json_step(&w))
        if (json_key_is(&w, STR("user_id")))
            user_of(r, &w, USER_METADATA);
    return ERR_NONE;
}

static enum err read_cache_key(struct reader *r, const char *name, struct json_walk *at)
{
    (void)name;
    if (at->value.kind == JSON_STRING)
        r->rq->cache_key = str_hash(json_slice(at->text, json_value(at)), CACHE_SEED);
    return user_of(r, at, USER_CACHE_KEY);
}

enum {
    TEXT_STREAM = SURFACE_CHAT | SURFACE_COMPLETIONS,
    STREAM = TEXT_STREAM | SURFACE_RESPONSES | SURFACE_MESSAGES,
    ALL = STREAM | SURFACE_EMBEDDINGS,
};

static const struct key {
    struct str name;
    uint32_t surfaces;  // where it is read; elsewhere it passes
    enum err (*read)(struct reader *r, const char *name, struct json_walk *at);
} keys[] = {
    {{"model", 5}, ALL, read_model},
    {{"messages", 8}, SURFACE_CHAT | SURFACE_MESSAGES, read_messages},
    {{"prompt", 6}, SURFACE_COMPLETIONS, read_text},
    {{"input", 5}, SURFACE_EMBEDDINGS | SURFACE_RESPONSES, read_text},
    {{"stream", 6}, STREAM, read_stream},
    {{"stream_options", 14}, TEXT_STREAM, read_stream_options},
    {{"max_tokens", 10}, TEXT_STREAM | SURFACE_MESSAGES, read_output_max},
    {{"max_completion_tokens", 21}, TEXT_STREAM, read_output_max},
    {{"max_output_tokens", 17}, SURFACE_RESPONSES, read_output_max},
    {{"n", 1}, TEXT_STREAM, read_choices},
    {{"best_of", 7}, SURFACE_COMPLETIONS, read_choices},
    {{"service_tier", 12}, ALL, read_tier},
    {{"system", 6}, SURFACE_MESSAGES, read_preamble},
    {{"instructions", 12}, SURFACE_RESPONSES, read_preamble},
    {{"tools", 5}, SURFACE_CHAT | SURFACE_RESPONSES | SURFACE_MESSAGES, read_tools},
    {{"functions", 9}, SURFACE_CHAT, read_tools},
    {{"safety_identifier", 17}, SURFACE_CHAT | SURFACE_RESPONSES, read_safety_identifier},
    {{"user", 4}, ALL, read_user},
    {{"metadata", 8}, SURFACE_MESSAGES, read_metadata},
    {{"prompt_cache_key", 16}, SURFACE_CHAT | SURFACE_RESPONSES, read_cache_key},
};
enum { KEY_MODEL, KEY_MESSAGES, KEY_PROMPT, KEY_INPUT };  // the first of them

static enum err read_key(struct reader *r, struct json_walk *w)
{
    for (size_t i = 0; i < COUNTOF(keys); i++) {
        if (!(keys[i].surfaces & r->surface) || !json_key_is(w, keys[i].name))
            continue;
        if (r->seen & (1u << i))
            return twice(r, keys[i].name.p);
        r->seen |= 1u << i;
        return keys[i].read(r, keys[i].name.p, w);
    }
    return ERR_NONE;
}

// The body is no JSON, and `diag` says where. For when something was wrong: reading it well is
// checking it too.
static bool not_json(struct reader *r)
{
    struct diag diag = {0};
    if (json_validate(r->rq->body, &diag) == ERR_NONE)
        return false;
    r->rq->param[0] = 0;
    if (r->diag)
        *r->diag = diag;
    return true;
}

enum err openai_read(struct openai_request *out, enum surface surface, struct str body,
                     struct diag *diag)
{
    *out = (struct openai_request){.body = body, .choices = 1};
    struct reader r = {.rq = out, .surface = surface, .diag = diag};
    struct json_walk w;
    enum err e = ERR_NONE;
    if (!json_walk_strict(&w, body) || w.array)
        return not_json(&r) ? ERR_INVALID
                            : refuse(&r, "", "The body of the request must be a JSON object.");
    while (!e && json_step(&w))
        e = read_key(&r, &w);
    // Of two faults the graver is told: what is not JSON has no keys.
    if ((e || !json_walk_ok(&w)) && not_json(&r))
        return ERR_INVALID;
    if (e)
        return e;
    if (!(r.seen & (1u << KEY_MODEL)))
        return missing(&r, "model");
    if ((keys[KEY_MESSAGES].surfaces & surface) && !(r.seen & (1u << KEY_MESSAGES)))
        return missing(&r, "messages");
    if (surface == SURFACE_EMBEDDINGS && !(r.seen & (1u << KEY_INPUT)))
        return missing(&r, "input");
    return ERR_NONE;
}
