// Answers: what one event of a stream or a whole answer says. (How it goes on: openai_write.c.)
//
// Read once per event of every stream: no allocation, one pass to validate and one to find the
// keys.

#include "wire/openai.h"

struct answer {
    struct openai_event *ev;
    enum surface surface;
    struct str type;  // of the event, in responses and messages
    bool whole;
};

#define KEY(w, literal) json_key_is((w), STR(literal))

// Something that may be more than nothing: null, numbers, false and "" are not.
static bool is_set(const struct json_walk *at)
{
    enum json_kind kind = at->value.kind;
    return kind == JSON_STRING ? at->value.n > 2 : kind == JSON_OBJECT || kind == JSON_ARRAY;
}

static struct str raw_text(struct str text, struct json_span v)
{
    return v.kind == JSON_STRING ? (struct str){text.p + v.at + 1, v.n - 2} : (struct str){NULL, 0};
}

// --- usage ------------------------------------------------------------------------------------

static int32_t at_most_i32(int64_t v)
{
    return v > INT32_MAX ? INT32_MAX : (int32_t)v;
}

// A count of tokens; false for null and nonsense.
static bool read_tokens(const struct json_walk *at, int32_t *out)
{
    int64_t n;
    if (!json_i64(at->text, at->value, &n) || n < 0)
        return false;
    *out = at_most_i32(n);
    return true;
}

static void read_details(struct answer *a, struct json_walk *at)
{
    struct json_walk w;
    json_walk_in(&w, at);
    while (json_step(&w)) {
        if (KEY(&w, "cached_tokens"))
            read_tokens(&w, &a->ev->usage.cached_tok);
        else if (KEY(&w, "reasoning_tokens") || KEY(&w, "thinking_tokens"))
            read_tokens(&w, &a->ev->usage.reasoning_tok);
    }
}

// Every dialect's names in one go. The messages dialect counts what was read from or written to the
// cache beside `input_tokens`, the others within.
static void read_counts(struct answer *a, struct json_walk *at)
{
    struct openai_usage *u = &a->ev->usage;
    struct json_walk w;
    int32_t read = 0, written = 0;
    json_walk_in(&w, at);
    while (json_step(&w)) {
        if (KEY(&w, "prompt_tokens") || KEY(&w, "input_tokens"))
            u->said |= read_tokens(&w, &u->prompt_tok);
        else if (KEY(&w, "completion_tokens") || KEY(&w, "output_tokens"))
            u->said |= read_tokens(&w, &u->output_tok);
        else if (KEY(&w, "prompt_tokens_details") || KEY(&w, "input_tokens_details") ||
                 KEY(&w, "completion_tokens_details") || KEY(&w, "output_tokens_details"))
            read_details(a, &w);
        else if (KEY(&w, "cache_read_input_tokens"))
            read_tokens(&w, &read);
        else if (KEY(&w, "cache_creation_input_tokens"))
            read_tokens(&w, &written);
    }
    if (a->surface == SURFACE_MESSAGES) {
        u->prompt_tok = at_most_i32((int64_t)u->prompt_tok + read + written);
        u->cached_tok = read;
    }
}

static void read_usage(struct answer *a, struct json_walk *at)
{
    if (at->value.kind != JSON_OBJECT && at->value.kind != JSON_NULL)
        return;
    a->ev->usage_key_at = at->key_at;
    if (at->value.kind == JSON_OBJECT)
        read_counts(a, at);
    a->ev->usage_at = json_value(at);
}

static int32_t larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

void openai_usage_join(struct openai_usage *all, const struct openai_usage *one)
{
    all->said |= one->said;
    all->prompt_tok = larger(all->prompt_tok, one->prompt_tok);
    all->cached_tok = larger(all->cached_tok, one->cached_tok);
    all->output_tok = larger(all->output_tok, one->output_tok);
    all->reasoning_tok = larger(all->reasoning_tok, one->reasoning_tok);
}

// --- content ----------------------------------------------------------------------------------

static bool add_text(struct answer *a, const struct json_walk *at)
{
    if (at->value.kind != JSON_STRING || at->value.n <= 2)
        return false;
    size_t n = at->value.n - 2 - at->value_saved;
    a->ev->content_bytes = at_most_i32((int64_t)a->ev->content_bytes + (int64_t)n);
    a->ev->texts++;
    a->ev->text_at = at->value;
    return true;
}

// Text, or parts of it, or calls of tools: names, arguments and texts wherever they stand in it.
// False: there is nothing in it.
static bool add_parts(struct answer *a, struct json_walk *at)
{
    struct json_walk w;
    bool there = false;
    if (!json_walk_in(&w, at))
        return add_text(a, at);
    for (; json_step(&w); there = true) {
        bool nests = w.array || w.value.kind == JSON_ARRAY || KEY(&w, "function") ||
                     KEY(&w, "custom") || KEY(&w, "input");
        if (nests || KEY(&w, "name") || KEY(&w, "arguments") || KEY(&w, "text") ||
            KEY(&w, "thinking") || KEY(&w, "refusal"))
            add_parts(a, &w);
    }
    return there;
}

static void add_piece(struct answer *a, bool there)
{
    a->ev->content |= there;
    a->ev->pieces += there;
}

// --- chat/completions, completions, embeddings ------------------------------------------------

// `delta` of a chunk, `message` of a whole answer. A role alone is nothing a user waits for.
static bool read_delta(struct answer *a, struct json_walk *at)
{
    struct json_walk w;
    bool there = false;
    json_walk_in(&w, at);
    while (json_step(&w)) {
        if (!is_set(&w))
            continue;
        if (KEY(&w, "content") || KEY(&w, "reasoning_content") || KEY(&w, "reasoning") ||
            KEY(&w, "refusal") || KEY(&w, "tool_calls") || KEY(&w, "function_call"))
            there |= add_parts(a, &w);
        else if (KEY(&w, "audio"))
            there |= w.value.kind == JSON_OBJECT;
    }
    return there;
}

static void read_choice(struct answer *a, struct json_walk *at)
{
    struct json_walk w;
    bool there = false;
    json_walk_in(&w, at);
    while (json_step(&w)) {
        if (KEY(&w, "delta") || KEY(&w, "message"))
            there |= read_delta(a, &w);
        else if (KEY(&w, "text"))
            there |= add_text(a, &w);
        else if (KEY(&w, "finish_reason"))
            a->ev->finish |= is_set(&w);
    }
    add_piece(a, there);
}

static void read_choices(struct answer *a, struct json_walk *at)
{
    struct json_walk w;
    if (at->value.kind != JSON_ARRAY)
        return;
    a->ev->usage_only = true;  // until a choice is seen; without usage it is taken back
    json_walk_in(&w, at);
    while (json_step(&w)) {
        a->ev->usage_only = false;
        read_choice(a, &w);
    }
    a->ev->choices_at = json_value(at);
}

static void read_embeddings(struct answer *a, struct json_walk *at)
{
    struct json_walk w;
    bool there = at->value.kind == JSON_ARRAY && json_walk_in(&w, at) && json_step(&w);
    a->ev->finish |= there;
    add_piece(a, there);
}

static void read_error(struct answer *a, struct json_walk *at)
{
    if (at->value.kind != JSON_OBJECT && !(at->value.kind == JSON_STRING && at->value.n > 2))
        return;
    a->ev->error = true;
    a->ev->error_at = json_value(at);
}

static void read_chunk(struct answer *a, struct json_walk *w)
{
    if (KEY(w, "choices"))
        read_choices(a, w);
    else if (KEY(w, "model") && w->value.kind == JSON_STRING)
        a->ev->model_at = w->value;
    else if (KEY(w, "usage"))
        read_usage(a, w);
    else if (KEY(w, "error"))
        read_error(a, w);
    else if (KEY(w, "data") && a->surface == SURFACE_EMBEDDINGS)
        read_embeddings(a, w);
    else if (KEY(w, "object"))  // vLLM's error without a wrapper around it
        a->ev->error |= str_eq(raw_text(w->text, w->value), STR("error"));
}

// --- responses --------------------------------------------------------------------------------

static void read_status(struct answer *a, struct str status)
{
    bool failed = str_eq(status, STR("failed"));
    a->ev->error |= failed;
    a->ev->finish |=
        failed || str_eq(status, STR("completed")) || str_eq(status, STR("incomplete"));
}

// The response object: a whole answer, or `response` in an event, where what it holds was streamed.
static void read_response(struct answer *a, struct json_walk *w)
{
    if (KEY(w, "model") && w->value.kind == JSON_STRING)
        a->ev->model_at = w->value;
    else if (KEY(w, "usage"))
        read_usage(a, w);
    else if (KEY(w, "error"))
        read_error(a, w);
    else if (a->whole && KEY(w, "output") && w->value.kind == JSON_ARRAY)
        add_piece(a, add_parts(a, w));
    else if (a->whole && KEY(w, "status"))
        read_status(a, raw_text(w->text, w->value));
}

static void read_responses_event(struct answer *a, struct json_walk *w)
{
    struct json_walk inner;
    if (KEY(w, "response")) {
        json_walk_in(&inner, w);
        while (json_step(&inner))
            read_response(a, &inner);
    } else if (KEY(w, "error")) {
        read_error(a, w);
    } else if (KEY(w, "delta") && str_ends(a->type, STR(".delta"))) {
        add_piece(a, add_text(a, w));
    }
}

// --- messages ---------------------------------------------------------------------------------

// `content_block` of content_block_start, `delta` of content_block_delta and message_delta.
static void read_block(struct answer *a, struct json_walk *at)
{
    struct json_walk w;
    bool there = false;
    json_walk_in(&w, at);
    while (json_step(&w)) {
        if (KEY(&w, "text") || KEY(&w, "partial_json") || KEY(&w, "thinking") || KEY(&w, "name") ||
            KEY(&w, "data"))
            there |= add_text(a, &w);
        else if (KEY(&w, "stop_reason"))
            a->ev->finish |= is_set(&w);
    }
    add_piece(a, there);
}

// The message object: a whole answer, or `message` in message_start.
static void read_message(struct answer *a, struct json_walk *w)
{
    if (KEY(w, "model") && w->value.kind == JSON_STRING)
        a->ev->model_at = w->value;
    else if (KEY(w, "usage"))
        read_usage(a, w);
    else if (KEY(w, "content") && w->value.kind == JSON_ARRAY)
        add_piece(a, add_parts(a, w));
    else if (KEY(w, "stop_reason"))
        a->ev->finish |= is_set(w);
    else if (KEY(w, "error"))
        read_error(a, w);
}

static void read_messages_event(struct answer *a, struct json_walk *w)
{
    struct json_walk inner;
    if (KEY(w, "message")) {
        json_walk_in(&inner, w);
        while (json_step(&inner))
            read_message(a, &inner);
    } else if (KEY(w, "delta") || KEY(w, "content_block")) {
        read_block(a, w);
    } else if (KEY(w, "usage")) {
        read_usage(a, w);
    } else if (KEY(w, "error")) {
        read_error(a, w);
    }
}

// --- an event ---------------------------------------------------------------------------------

// The type stands in the data too, and not every supplier sends the event's name.
static struct str type_of(struct str data, struct str event_name)
{
    struct json_span v;
    return json_get(data, STR("type"), &v) && v.kind == JSON_STRING ? raw_text(data, v)
                                                                    : event_name;
}

static void read_type(struct answer *a)
{
    struct openai_event *ev = a->ev;
    bool failed = str_eq(a->type, STR("response.failed"));
    ev->error |= failed || str_eq(a->type, STR("error"));
    ev->finish |= failed || str_eq(a->type, STR("response.completed")) ||
                  str_eq(a->type, STR("response.incomplete")) ||
                  str_eq(a->type, STR("message_stop"));
}

void openai_event_read(struct openai_event *out, enum surface surface, struct str event_name,
                       struct str data, bool whole)
{
    bool typed = surface == SURFACE_RESPONSES || surface == SURFACE_MESSAGES;
    struct answer a = {.ev = out, .surface = surface, .type = event_name, .whole = whole};
    struct json_walk w;
    memset(out, 0, sizeof *out);
    out->done = str_starts(data, STR("[DONE]"));
    if (out->done || !json_walk_strict(&w, data) || w.array)
        return;
    out->json = true;
    if (typed)
        a.type = type_of(data, event_name);
    while (json_step(&w)) {
        if (!typed)
            read_chunk(&a, &w);
        else if (surface == SURFACE_RESPONSES)
            whole ? read_response(&a, &w) : read_responses_event(&a, &w);
        else
            whole ? read_message(&a, &w) : read_messages_event(&a, &w);
    }
    if (!json_walk_ok(&w)) {
        memset(out, 0, sizeof *out);
        return;
    }
    read_type(&a);
    out->usage_only &= out->usage.said;
    if (out->error && out->error_at.n == 0)  // nothing around it: it is the whole
        out->error_at = (struct json_span){.kind = JSON_OBJECT, .n = data.n};
}
