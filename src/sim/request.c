// What a request asks of which model: who may, how many tokens, how long the answer, which faults.

#include "sim/inside.h"

#include <stdio.h>

struct extras {  // what openai_read() leaves to the supplier; .p NULL: not there
    struct str messages, prompt, input, system, instructions, tools, tool_choice, dimensions,
        encoding_format, ignore_eos, min_tokens;
};

static void read_extras(struct extras *out, struct str body)
{
    *out = (struct extras){.messages = {NULL, 0}};
    const struct {
        struct str name;
        struct str *to;
    } wanted[] = {
        {STR("messages"), &out->messages},
        {STR("prompt"), &out->prompt},
        {STR("input"), &out->input},
        {STR("system"), &out->system},
        {STR("instructions"), &out->instructions},
        {STR("tools"), &out->tools},
        {STR("tool_choice"), &out->tool_choice},
        {STR("dimensions"), &out->dimensions},
        {STR("encoding_format"), &out->encoding_format},
        {STR("ignore_eos"), &out->ignore_eos},
        {STR("min_tokens"), &out->min_tokens},
    };
    struct json_walk w;
    for (json_walk(&w, body); json_step(&w);)
        for (size_t i = 0; i < COUNTOF(wanted); i++)
            if (json_key_is(&w, wanted[i].name))
                *wanted[i].to = json_slice(body, w.value);
}

// A member of the object `in`, or nothing.
static struct str member(struct str in, struct str name)
{
    struct json_span v;
    if (!in.n || in.p[0] != '{' || !json_get(in, name, &v))
        return (struct str){NULL, 0};
    return json_slice(in, v);
}

static bool text_of(struct str value, char *out, size_t size)
{
    struct json_span whole = {JSON_STRING, 0, value.n};
    size_t n;
    if (!value.n || value.p[0] != '"' || !json_string(value, whole, out, size - 1, &n))
        return false;
    out[n] = 0;
    return true;
}

static bool count_of(struct str value, int64_t *out)
{
    struct json_span whole = {JSON_NUMBER, 0, value.n};
    return value.n && json_i64(value, whole, out);
}

// The tool that must be called: the one that is named, or the first when any will do.
static void choose_tool(char out[SIM_TOOL_MAX], enum surface surface, const struct extras *x)
{
    out[0] = 0;
    bool nested = surface == SURFACE_CHAT;
    struct json_walk w;
    if (!x->tools.n || x->tools.p[0] != '[' || !json_walk(&w, x->tools) || !json_step(&w))
        return;
    struct str choice = x->tool_choice;
    struct str named =
        nested ? member(member(choice, STR("function")), STR("name")) : member(choice, STR("name"));
    if (text_of(named, out, SIM_TOOL_MAX))
        return;
    struct str type = member(choice, STR("type"));
    if (!str_eq(choice, STR("\"required\"")) && !str_eq(type, STR("\"any\"")))
        return;
    struct str first = json_slice(x->tools, w.value);
    text_of(nested ? member(member(first, STR("function")), STR("name"))
                   : member(first, STR("name")),
            out, SIM_TOOL_MAX);
}

static struct sim_model *model_of(struct sim *s, struct str name)
{
    for (int32_t i = 0; i < s->config.n_models; i++)
        if (str_eq(str_of(s->models[i].name), name))
            return &s->models[i];
    return s->config.any_model ? &s->models[0] : NULL;
}

// How many prompts /v1/completions was given: each has choices of its own.
static int32_t prompts_of(const struct extras *x)
{
    struct json_walk w;
    int32_t n = 0;
    if (!x->prompt.n || x->prompt.p[0] != '[')
        return 1;
    for (json_walk(&w, x->prompt); json_step(&w); n++)
        if (w.value.kind == JSON_NUMBER)
            return 1;
    return n > 0 ? n : 1;
}

// Tokens are told from bytes: four to one.
static int32_t tokens_of(int64_t bytes)
{
    int64_t tokens = (bytes + 3) / 4;
    return (int32_t)min_i64(max_i64(tokens, 1), INT32_MAX / 4);
}

static int32_t cached_tokens(const struct client *c, const struct extras *x, int32_t prompt_tok)
{
    const struct str parts[] = {x->tools,    x->system, x->instructions,
                                x->messages, x->prompt, x->input};
    size_t total = 0;
    for (size_t i = 0; i < COUNTOF(parts); i++)
        total += parts[i].n;
    size_t held = sim_cache_use(c->sim->cache, parts, COUNTOF(parts), c->model->salt);
    if (!held)
        return 0;
    int64_t tokens = (int64_t)((double)held / (double)total * prompt_tok);
    tokens -= tokens % SIM_CACHE_TOK;
    return (int32_t)min_i64(tokens, prompt_tok - 1);
}

// A draw with the mean of the config, from the seed and the number of the answer, so that the same
// requests in the same order get the same answers.
static int32_t wished_tokens(const struct client *c)
{
    const struct sim_config *config = &c->sim->config;
    if (config->output_exact)
        return config->output_tok;
    struct rng rng;
    rng_seed(&rng, c->answer.seed);
    double drawn = 1 + rng_exponential(&rng, config->output_tok - 0.5);
    return drawn < SIM_OUTPUT_MAX ? (int32_t)drawn : SIM_OUTPUT_MAX;
}

static void set_length(struct client *c, const struct openai_request *rq, const struct extras *x)
{
    struct sim_answer *a = &c->answer;
    if (c->surface == SURFACE_EMBEDDINGS) {
        a->output_tok = 0;
        return;
    }
    int64_t most = rq->output_tok_max ? rq->output_tok_max : SIM_OUTPUT_MAX;
    if (c->model->context_tok)
        most = min_i64(most, c->model->context_tok - a->prompt_tok);
    most = min_i64(most, SIM_OUTPUT_MAX / a->choices);
    int64_t wished = wished_tokens(c), least = 0;
    if (str_eq(x->ignore_eos, STR("true")) && rq->output_tok_max)
        wished = most + 1;
    if (count_of(x->min_tokens, &least))
        wished = max_i64(wished, least);
    a->output_tok = (int32_t)min_i64(wished, most);
    a->limited = wished > most;
    if (a->tool[0]) {
        a->output_tok = 1;
        a->limited = false;
    }
}

static void reject(struct client *c, int32_t status, const char *code, const char *message)
{
    c->sim->record.rejected++;
    reply_error(c, status, code, message);
}

static bool read_embedding(struct client *c, const struct extras *x)
{
    int64_t dimensions = c->sim->config.dimensions;
    if (x->dimensions.n && !str_eq(x->dimensions, STR("null")) &&
        (!count_of(x->dimensions, &dimensions) || dimensions < 1 ||
         dimensions > SIM_DIMENSIONS_MAX)) {
        reject(c, 400, NULL, "'dimensions' must be a whole number from 1 to 4096");
        return false;
    }
    bool base64 = str_eq(x->encoding_format, STR("\"base64\""));
    buf_init(&c->embedding, SIM_OUT_MAX);
    c->answer.no_usage = c->effect.no_usage;
    if (!sim_embeddings_write(&c->embedding, &c->answer, x->input, (int32_t)dimensions, base64))
        return true;
    buf_release(&c->embedding);
    reject(c, 400, NULL, "'input' must be a text, tokens, or a list of 1 to 2048 of them");
    return false;
}

static void begin_answer(struct client *c, const struct openai_request *rq)
{
    struct sim *s = c->sim;
    struct sim_answer *a = &c->answer;
    *a = (struct sim_answer){
        .surface = c->surface,
        .stream = rq->stream && c->surface != SURFACE_EMBEDDINGS,
        .usage_wanted = rq->usage_wanted,
        .cerebras = s->config.cerebras,
        .choices = c->surface & (SURFACE_CHAT | SURFACE_COMPLETIONS) ? rq->choices : 1,
        .prompt_tok = tokens_of(rq->prompt_bytes),
        .seq = c->seq,
        .seed = mix64(s->config.seed ^ mix64(c->seq)),
        .created_s = loop_wall_us(s->loop) / S(1),
        .filler = {s->filler, s->filler ? (size_t)s->config.chunk_bytes : 0},
    };
    memcpy(a->model, rq->model, sizeof a->model);
}

void request_answer(struct client *c, struct str body)
{
    struct openai_request rq;
    struct diag diag = {.e = ERR_NONE};
    if (!c->authorized) {
        reject(c, 401, "invalid_api_key", "the key is not the one that this supplier was given");
        return;
    }
    if (openai_read(&rq, c->surface, body, &diag)) {
        reject(c, 400, NULL, diag.text);
        return;
    }
    sim_record_model(&c->sim->record, c->call, str_of(rq.model));
    c->model = model_of(c->sim, str_of(rq.model));
    if (!c->model) {
        char message[SIM_NAME_MAX + 64];
        snprintf(message, sizeof message, "the model '%s' does not exist", rq.model);
        reject(c, 404, "model_not_found", message);
        return;
    }
    begin_answer(c, &rq);
    struct sim_answer *a = &c->answer;
    if (c->model->context_tok &&
        (int64_t)a->prompt_tok + max_i64(rq.output_tok_max, 1) > c->model->context_tok) {
        reject(c, 400, "context_length_exceeded",
               "the prompt and the tokens asked for are longer than the model's context");
        return;
    }
    struct extras x;
    read_extras(&x, body);
    choose_tool(a->tool, c->surface, &x);
    if (c->surface == SURFACE_COMPLETIONS)
        a->choices = (int32_t)min_i64((int64_t)a->choices * prompts_of(&x), 128);
    set_length(c, &rq, &x);
    c->effect = sim_faults_pick(&c->sim->faults, str_of(rq.model), loop_now_us(c->sim->loop));
    a->no_done = c->effect.no_done;
    a->no_usage = c->effect.no_usage;
    a->cached_tok = cached_tokens(c, &x, a->prompt_tok);
    if (c->surface != SURFACE_EMBEDDINGS || read_embedding(c, &x))
        reply_start(c);
}
