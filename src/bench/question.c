#include "bench/question.h"

#include "wire/json.h"

struct dialect {
    enum surface surface;
    const char *name, *path;
    const char *prompt, *limit;  // the keys of what is asked and of how long the answer may be
    bool official;               // knows neither a seed nor usage on demand
};

static const struct dialect dialects[] = {
    {SURFACE_CHAT, "chat", "/chat/completions", "messages", "max_tokens", false},
    {SURFACE_COMPLETIONS, "completions", "/completions", "prompt", "max_tokens", false},
    {SURFACE_RESPONSES, "responses", "/responses", "input", "max_output_tokens", true},
    {SURFACE_MESSAGES, "messages", "/messages", "messages", "max_tokens", true},
};

static const struct dialect *dialect_of(enum surface surface)
{
    size_t i = 0;
    while (i < COUNTOF(dialects) && dialects[i].surface != surface)
        i++;
    CHECK(i < COUNTOF(dialects));
    return &dialects[i];
}

bool surface_of_name(enum surface *out, struct str name)
{
    for (size_t i = 0; i < COUNTOF(dialects); i++)
        if (str_eq(name, str_of(dialects[i].name))) {
            *out = dialects[i].surface;
            return true;
        }
    return false;
}

const char *surface_path(enum surface surface)
{
    return dialect_of(surface)->path;
}

// --- the question -----------------------------------------------------------------------------

static void write_prompt(struct buf *out, const struct question *q, const struct dialect *d)
{
    bool in_message = str_eq(str_of(d->prompt), STR("messages"));
    buf_add_json(out, str_of(d->prompt));
    buf_lit(out, ":");
    if (q->messages.n) {
        buf_add_str(out, q->messages);
        return;
    }
    if (in_message)
        buf_lit(out, "[{\"role\":\"user\",\"content\":");
    buf_add_json(out, q->prompt);
    if (in_message)
        buf_lit(out, "}]");
}

void question_write(struct buf *out, const struct question *q, enum surface surface,
                    struct str model, bool plain)
{
    const struct dialect *d = dialect_of(surface);
    buf_lit(out, "{\"model\":");
    buf_add_json(out, model);
    buf_lit(out, ",\"stream\":true,\"temperature\":0,");
    if (q->output_tok)
        buf_printf(out, "\"%s\":%d,", d->limit, q->output_tok);
    if (q->more.n)
        buf_join(out, q->more, STR(","));
    if (!d->official)
        buf_lit(out, "\"stream_options\":{\"include_usage\":true},");
    if (!d->official && q->text)
        buf_printf(out, "\"seed\":%lld,", (long long)q->seed);
    if (!plain && !q->text && q->output_tok)
        buf_lit(out, "\"ignore_eos\":true,");
    write_prompt(out, q, d);
    buf_lit(out, "}");
}

// --- the answer -------------------------------------------------------------------------------

static bool member(struct str *out, struct str object, struct str name)
{
    struct json_span v;
    if (!json_get(object, name, &v))
        return false;
    *out = json_slice(object, v);
    return true;
}

static void add_string(struct buf *out, struct str object, struct str name)
{
    struct json_span v;
    char *at;
    size_t n;
    if (!json_get(object, name, &v) || v.kind != JSON_STRING)
        return;
    size_t room = json_string_bytes(object, v) + 1;
    if (buf_reserve(out, room, &at) && json_string(object, v, at, room, &n))
        buf_grown(out, n);
}

static void add_choice(struct buf *out, struct str data)
{
    struct str choices, delta;
    struct json_walk w;
    if (!member(&choices, data, STR("choices")) || !json_walk(&w, choices) || !json_step(&w))
        return;
    struct str first = json_slice(choices, w.value);
    add_string(out, first, STR("text"));
    if (member(&delta, first, STR("delta")))
        add_string(out, delta, STR("content"));
}

static bool type_is(struct str data, struct str type)
{
    struct json_span v;
    char text[64];
    return json_get(data, STR("type"), &v) && json_string_cut(data, v, text, sizeof text) &&
           str_eq(str_of(text), type);
}

void question_text(struct buf *out, enum surface surface, struct str data)
{
    struct diag diag = {0};
    struct str delta;
    if (json_validate(data, &diag))
        return;
    if (surface == SURFACE_RESPONSES) {
        if (type_is(data, STR("response.output_text.delta")))
            add_string(out, data, STR("delta"));
    } else if (surface == SURFACE_MESSAGES) {
        if (type_is(data, STR("content_block_delta")) && member(&delta, data, STR("delta")))
            add_string(out, delta, STR("text"));
    } else {
        add_choice(out, data);
    }
}
