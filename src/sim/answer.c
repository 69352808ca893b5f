#include "sim/answer.h"

#include "base/rng.h"
#include "wire/http1.h"

static const char *const opening[] = {"This",  " is",     " a",   " simulated", " answer",
                                      " from", " caudal", " sim", "."};
static const char *const words[] = {
    " river", " water", " stone",   " bridge", " slow",  " deep",  " runs",  " over",
    " under", " the",   " bank",    " and",    " light", " wide",  " still", " flow",
    " north", " rain",  " carries", " to",     " sea",   " a",     " quiet", " valley",
    " then",  " turns", " green",   " with",   " many",  " small", " boats", " again"};

void sim_answer_release(struct sim_answer *a)
{
    buf_release(&a->start);
}

// --- events -----------------------------------------------------------------------------------

void sim_event_begin(struct sim_writer *w, const char *name)
{
    buf_clear(w->event);
    if (name) {
        buf_lit(w->event, "event: ");
        buf_add_str(w->event, str_of(name));
        buf_lit(w->event, "\n");
    }
    buf_lit(w->event, "data: ");
}

void sim_event_end(struct sim_writer *w)
{
    buf_lit(w->event, "\n\n");
    if (w->chunked)
        http1_write_chunk_head(w->out, buf_len(w->event));
    buf_add_str(w->out, buf_str(w->event));
    if (w->chunked)
        buf_lit(w->out, "\r\n");
}

void sim_answer_garbage(struct sim_writer *w)
{
    sim_event_begin(w, NULL);
    buf_lit(w->event, "{\"id\":\"chatcmpl-sim-\",\"choices\":[{\"delta\":{\"conte");
    sim_event_end(w);
}

// --- text -------------------------------------------------------------------------------------

// Text that stands in JSON as it is: no quote, no backslash, no control character.
void sim_text_token(struct buf *out, const struct sim_answer *a, int32_t choice, int32_t i)
{
    if (a->filler.n)
        buf_add_str(out, a->filler);
    else if ((size_t)i < COUNTOF(opening))
        buf_add_str(out, str_of(opening[i]));
    else {
        uint64_t draw = mix64(a->seed + (uint64_t)i * 1024 + (uint64_t)choice);
        buf_add_str(out, str_of(words[draw % COUNTOF(words)]));
    }
}

void sim_text_whole(struct buf *out, const struct sim_answer *a, int32_t choice)
{
    for (int32_t i = 0; i < a->output_tok; i++)
        sim_text_token(out, a, choice, i);
}

static const char *finish_reason(const struct sim_answer *a)
{
    if (a->tool[0])
        return "tool_calls";
    return a->limited ? "length" : "stop";
}

static void write_usage(struct buf *out, const struct sim_answer *a)
{
    int64_t output_tok = (int64_t)a->output_tok * a->choices;
    buf_printf(out,
               "{\"prompt_tokens\":%d,\"completion_tokens\":%lld,\"total_tokens\":%lld,"
               "\"prompt_tokens_details\":{\"cached_tokens\":%d,\"audio_tokens\":0},"
               "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
               "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
               a->prompt_tok, (long long)output_tok, (long long)(a->prompt_tok + output_tok),
               a->cached_tok);
}

static void write_time_info(struct buf *out, const struct sim_answer *a)
{
    int64_t first_us = a->first_us ? a->first_us : a->now_us;
    buf_printf(out,
               "{\"queue_time\":0.0,\"prompt_time\":%.6f,\"completion_time\":%.6f,"
               "\"total_time\":%.6f,\"created\":%lld}",
               (double)(first_us - a->came_us) / 1e6, (double)(a->now_us - first_us) / 1e6,
               (double)(a->now_us - a->came_us) / 1e6, (long long)a->created_s);
}

static void write_top(struct buf *out, const struct sim_answer *a, const char *id,
                      const char *object)
{
    buf_printf(out, "{\"id\":\"%s-sim-%llu\",\"object\":\"%s\",\"created\":%lld,\"model\":", id,
               (unsigned long long)a->seq, object, (long long)a->created_s);
    buf_add_json(out, str_of(a->model));
    buf_lit(out, ",\"system_fingerprint\":\"simulated\",\"choices\":[");
}

// --- chat/completions and completions ---------------------------------------------------------

static bool is_chat(const struct sim_answer *a)
{
    return a->surface == SURFACE_CHAT;
}

static void chunk_begin(struct sim_answer *a, struct sim_writer *w)
{
    if (!a->start.limit) {
        buf_init(&a->start, 4096);
        write_top(&a->start, a, is_chat(a) ? "chatcmpl" : "cmpl",
                  is_chat(a) ? "chat.completion.chunk" : "text_completion");
    }
    sim_event_begin(w, NULL);
    buf_add_str(w->event, buf_str(&a->start));
}

static void chunk_end(struct sim_answer *a, struct sim_writer *w)
{
    if (a->usage_wanted && !a->cerebras && !a->no_usage)
        buf_lit(w->event, "],\"usage\":null}");
    else
        buf_lit(w->event, "]}");
    sim_event_end(w);
}

static void write_tool_calls(struct buf *out, const struct sim_answer *a, bool delta)
{
    buf_printf(out, "[{%s\"id\":\"call_sim_%llu\",\"type\":\"function\",\"function\":{\"name\":",
               delta ? "\"index\":0," : "", (unsigned long long)a->seq);
    buf_add_json(out, str_of(a->tool));
    buf_lit(out, ",\"arguments\":\"{}\"}}]");
}

static void chat_token(struct sim_answer *a, struct sim_writer *w, int32_t choice, int32_t i)
{
    if (choice == 0)
        buf_lit(w->event, "{\"index\":0,\"delta\":{");
    else
        buf_printf(w->event, "{\"index\":%d,\"delta\":{", choice);
    if (a->tool[0]) {
        buf_lit(w->event, "\"tool_calls\":");
        write_tool_calls(w->event, a, true);
        buf_lit(w->event, "},\"logprobs\":null,\"finish_reason\":null}");
        return;
    }
    buf_lit(w->event, "\"content\":\"");
    sim_text_token(w->event, a, choice, i);
    buf_lit(w->event, "\"},\"logprobs\":null,\"finish_reason\":null}");
}

void sim_answer_open(struct sim_answer *a, struct sim_writer *w)
{
    if (a->surface == SURFACE_RESPONSES)
        sim_responses_open(a, w);
    if (a->surface == SURFACE_MESSAGES)
        sim_messages_open(a, w);
    for (int32_t k = 0; is_chat(a) && k < a->choices; k++) {
        chunk_begin(a, w);
        buf_printf(
            w->event,
            "{\"index\":%d,\"delta\":{\"role\":\"assistant\",\"content\":%s,\"refusal\":null},"
            "\"logprobs\":null,\"finish_reason\":null}",
            k, a->tool[0] ? "null" : "\"\"");
        chunk_end(a, w);
    }
}

void sim_answer_token(struct sim_answer *a, struct sim_writer *w, int32_t i)
{
    if (a->surface == SURFACE_RESPONSES) {
        sim_responses_token(a, w, i);
        return;
    }
    if (a->surface == SURFACE_MESSAGES) {
        sim_messages_token(a, w, i);
        return;
    }
    for (int32_t k = 0; k < a->choices; k++) {
        chunk_begin(a, w);
        if (is_chat(a)) {
            chat_token(a, w, k, i);
        } else {
            buf_lit(w->event, "{\"text\":\"");
            sim_text_token(w->event, a, k, i);
            buf_printf(w->event, "\",\"index\":%d,\"logprobs\":null,\"finish_reason\":null}", k);
        }
        chunk_end(a, w);
    }
}

static void chunk_finish(struct sim_answer *a, struct sim_writer *w, int32_t choice)
{
    chunk_begin(a, w);
    const char *reason = finish_reason(a);
    if (is_chat(a))
        buf_printf(w->event,
                   "{\"index\":%d,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"%s\"}", choice,
                   reason);
    else
        buf_printf(w->event,
                   "{\"text\":\"\",\"index\":%d,\"logprobs\":null,\"finish_reason\":\"%s\"}",
                   choice, reason);
    if (!a->cerebras || choice < a->choices - 1) {
        chunk_end(a, w);
        return;
    }
    buf_lit(w->event, "]");
    if (!a->no_usage) {
        buf_lit(w->event, ",\"usage\":");
        write_usage(w->event, a);
    }
    buf_lit(w->event, ",\"time_info\":");
    write_time_info(w->event, a);
    buf_lit(w->event, "}");
    sim_event_end(w);
}

void sim_answer_end(struct sim_answer *a, struct sim_writer *w)
{
    if (a->surface == SURFACE_RESPONSES) {
        sim_responses_end(a, w);
        return;
    }
    if (a->surface == SURFACE_MESSAGES) {
        sim_messages_end(a, w);
        return;
    }
    for (int32_t k = 0; k < a->choices; k++)
        chunk_finish(a, w, k);
    if (a->usage_wanted && !a->cerebras && !a->no_usage) {
        chunk_begin(a, w);
        buf_lit(w->event, "],\"usage\":");
        write_usage(w->event, a);
        buf_lit(w->event, "}");
        sim_event_end(w);
    }
    if (a->no_done)
        return;
    sim_event_begin(w, NULL);
    buf_lit(w->event, "[DONE]");
    sim_event_end(w);
}

static void write_choice(const struct sim_answer *a, struct buf *out, int32_t choice)
{
    if (!is_chat(a)) {
        buf_lit(out, "{\"text\":\"");
        sim_text_whole(out, a, choice);
        buf_printf(out, "\",\"index\":%d,\"logprobs\":null,\"finish_reason\":\"%s\"}", choice,
                   finish_reason(a));
        return;
    }
    buf_printf(out, "{\"index\":%d,\"message\":{\"role\":\"assistant\",\"content\":", choice);
    if (a->tool[0]) {
        buf_lit(out, "null,\"tool_calls\":");
        write_tool_calls(out, a, false);
    } else {
        buf_lit(out, "\"");
        sim_text_whole(out, a, choice);
        buf_lit(out, "\"");
    }
    buf_printf(out,
               ",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"%s\"}",
               finish_reason(a));
}

void sim_answer_whole(struct sim_answer *a, struct buf *out)
{
    if (a->surface == SURFACE_RESPONSES) {
        sim_responses_whole(a, out);
        return;
    }
    if (a->surface == SURFACE_MESSAGES) {
        sim_messages_whole(a, out);
        return;
    }
    write_top(out, a, is_chat(a) ? "chatcmpl" : "cmpl",
              is_chat(a) ? "chat.completion" : "text_completion");
    for (int32_t k = 0; k < a->choices; k++) {
        if (k)
            buf_lit(out, ",");
        write_choice(a, out, k);
    }
    buf_lit(out, "]");
    if (!a->no_usage) {
        buf_lit(out, ",\"usage\":");
        write_usage(out, a);
    }
    if (a->cerebras) {
        buf_lit(out, ",\"time_info\":");
        write_time_info(out, a);
    }
    buf_lit(out, "}");
}

// --- errors -----------------------------------------------------------------------------------

struct error_name {
    int32_t status;
    const char *type, *code;   // OpenAI's
    const char *message_type;  // Anthropic's
};

static const struct error_name error_names[] = {
    {400, "invalid_request_error", NULL, "invalid_request_error"},
    {401, "invalid_request_error", "invalid_api_key", "authentication_error"},
    {402, "insufficient_quota", "credit_balance_exhausted", "billing_error"},
    {403, "invalid_request_error", "permission_denied", "permission_error"},
    {404, "invalid_request_error", "model_not_found", "not_found_error"},
    {405, "invalid_request_error", "method_not_allowed", "invalid_request_error"},
    {413, "invalid_request_error", "request_too_large", "request_too_large"},
    {422, "invalid_request_error", NULL, "invalid_request_error"},
    {429, "requests", "rate_limit_exceeded", "rate_limit_error"},
    {503, "service_unavailable_error", "server_is_overloaded", "overloaded_error"},
    {504, "server_error", "timeout", "timeout_error"},
    {529, "overloaded_error", "server_is_overloaded", "overloaded_error"},
};

static struct error_name error_name_of(int32_t status)
{
    for (size_t i = 0; i < COUNTOF(error_names); i++)
        if (error_names[i].status == status)
            return error_names[i];
    if (status < 500)
        return (struct error_name){status, "invalid_request_error", NULL, "invalid_request_error"};
    return (struct error_name){status, "server_error", "server_error", "api_error"};
}

static void write_or_null(struct buf *out, const char *text)
{
    if (text && text[0])
        buf_add_json(out, str_of(text));
    else
        buf_lit(out, "null");
}

void sim_error_write(struct buf *out, enum surface surface, bool cerebras, int32_t status,
                     const char *code, const char *message)
{
    struct error_name name = error_name_of(status);
    if (code && code[0])
        name.code = code;
    if (surface == SURFACE_MESSAGES) {
        buf_lit(out, "{\"type\":\"error\",\"error\":{\"type\":");
        buf_add_json(out, str_of(name.message_type));
        buf_lit(out, ",\"message\":");
        buf_add_json(out, str_of(message));
        buf_lit(out, "}}");
        return;
    }
    buf_add_str(out, cerebras ? STR("{\"message\":") : STR("{\"error\":{\"message\":"));
    buf_add_json(out, str_of(message));
    buf_lit(out, ",\"type\":");
    bool quota = name.code && str_eq(str_of(name.code), STR("insufficient_quota"));
    buf_add_json(out, str_of(quota ? name.code : name.type));
    buf_lit(out, ",\"param\":null,\"code\":");
    write_or_null(out, name.code);
    buf_add_str(out, cerebras ? STR("}") : STR("}}"));
}

void sim_answer_error(struct sim_answer *a, struct sim_writer *w, const char *code)
{
    const char *said = code && code[0] ? code : "server_error";
    const char *message = "a simulated error in the stream";
    if (a->surface == SURFACE_RESPONSES) {
        sim_event_begin(w, "error");
        buf_lit(w->event, "{\"type\":\"error\",\"code\":");
        buf_add_json(w->event, str_of(said));
        buf_printf(w->event, ",\"message\":\"%s\",\"param\":null,\"sequence_number\":%d}", message,
                   a->events++);
    } else if (a->surface == SURFACE_MESSAGES) {
        sim_event_begin(w, "error");
        buf_lit(w->event, "{\"type\":\"error\",\"error\":{\"type\":");
        buf_add_json(w->event, str_of(code && code[0] ? code : "api_error"));
        buf_printf(w->event, ",\"message\":\"%s\"}}", message);
    } else {
        sim_event_begin(w, NULL);
        buf_printf(
            w->event,
            "{\"error\":{\"message\":\"%s\",\"type\":\"server_error\",\"param\":null,\"code\":",
            message);
        buf_add_json(w->event, str_of(said));
        buf_add_str(w->event, a->cerebras ? STR("},\"status_code\":500}") : STR("}}"));
    }
    sim_event_end(w);
}
