// The event formats of /v1/responses (OpenAI) and /v1/messages (Anthropic): every event has a name.

#include "sim/answer.h"

// --- /v1/responses ----------------------------------------------------------------------------

static void responses_item(struct buf *out, const struct sim_answer *a, const char *status,
                           bool text)
{
    if (a->tool[0]) {
        buf_printf(out,
                   "{\"id\":\"fc_sim_%llu\",\"type\":\"function_call\",\"status\":\"%s\","
                   "\"call_id\":\"call_sim_%llu\",\"name\":",
                   (unsigned long long)a->seq, status, (unsigned long long)a->seq);
        buf_add_json(out, str_of(a->tool));
        buf_printf(out, ",\"arguments\":\"%s\"}", text ? "{}" : "");
        return;
    }
    buf_printf(
        out,
        "{\"id\":\"msg_sim_%llu\",\"type\":\"message\",\"status\":\"%s\",\"role\":\"assistant\","
        "\"content\":[",
        (unsigned long long)a->seq, status);
    if (text) {
        buf_lit(out, "{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"");
        sim_text_whole(out, a, 0);
        buf_lit(out, "\"}");
    }
    buf_lit(out, "]}");
}

// `status` "in_progress": without output and usage.
static void responses_object(struct buf *out, const struct sim_answer *a, bool ended)
{
    const char *status = !ended ? "in_progress" : a->limited ? "incomplete" : "completed";
    buf_printf(
        out,
        "{\"id\":\"resp_sim_%llu\",\"object\":\"response\",\"created_at\":%lld,\"status\":\"%s\","
        "\"error\":null,\"incomplete_details\":%s,\"instructions\":null,"
        "\"max_output_tokens\":null,\"model\":",
        (unsigned long long)a->seq, (long long)a->created_s, status,
        ended && a->limited ? "{\"reason\":\"max_output_tokens\"}" : "null");
    buf_add_json(out, str_of(a->model));
    buf_lit(out, ",\"system_fingerprint\":\"simulated\",\"output\":[");
    if (ended)
        responses_item(out, a, a->limited ? "incomplete" : "completed", true);
    buf_lit(out, "],\"parallel_tool_calls\":true,\"previous_response_id\":null,"
                 "\"reasoning\":{\"effort\":null,\"summary\":null},\"store\":false,"
                 "\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"}},"
                 "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"truncation\":\"disabled\","
                 "\"user\":null,\"metadata\":{},\"usage\":");
    if (ended && !a->no_usage)
        buf_printf(out,
                   "{\"input_tokens\":%d,\"input_tokens_details\":{\"cached_tokens\":%d},"
                   "\"output_tokens\":%d,\"output_tokens_details\":{\"reasoning_tokens\":0},"
                   "\"total_tokens\":%lld}}",
                   a->prompt_tok, a->cached_tok, a->output_tok,
                   (long long)a->prompt_tok + a->output_tok);
    else
        buf_lit(out, "null}");
}

static void responses_begin(struct sim_answer *a, struct sim_writer *w, const char *type)
{
    sim_event_begin(w, type);
    buf_printf(w->event, "{\"type\":\"%s\",\"sequence_number\":%d,", type, a->events++);
}

static void responses_status(struct sim_answer *a, struct sim_writer *w, const char *type,
                             bool ended)
{
    responses_begin(a, w, type);
    buf_lit(w->event, "\"response\":");
    responses_object(w->event, a, ended);
    buf_lit(w->event, "}");
    sim_event_end(w);
}

static void responses_place(struct sim_answer *a, struct sim_writer *w)
{
    buf_printf(w->event, "\"item_id\":\"%s_sim_%llu\",\"output_index\":0",
               a->tool[0] ? "fc" : "msg", (unsigned long long)a->seq);
    if (!a->tool[0])
        buf_lit(w->event, ",\"content_index\":0");
}

void sim_responses_open(struct sim_answer *a, struct sim_writer *w)
{
    responses_status(a, w, "response.created", false);
    responses_status(a, w, "response.in_progress", false);
    responses_begin(a, w, "response.output_item.added");
    buf_lit(w->event, "\"output_index\":0,\"item\":");
    responses_item(w->event, a, "in_progress", false);
    buf_lit(w->event, "}");
    sim_event_end(w);
    if (a->tool[0])
        return;
    responses_begin(a, w, "response.content_part.added");
    responses_place(a, w);
    buf_lit(
        w->event,
        ",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}}");
    sim_event_end(w);
}

void sim_responses_token(struct sim_answer *a, struct sim_writer *w, int32_t i)
{
    responses_begin(
        a, w, a->tool[0] ? "response.function_call_arguments.delta" : "response.output_text.delta");
    responses_place(a, w);
    if (a->tool[0]) {
        buf_lit(w->event, ",\"delta\":\"{}\"}");
    } else {
        buf_lit(w->event, ",\"logprobs\":[],\"delta\":\"");
        sim_text_token(w->event, a, 0, i);
        buf_lit(w->event, "\"}");
    }
    sim_event_end(w);
}

static void responses_text_done(struct sim_answer *a, struct sim_writer *w)
{
    responses_begin(a, w, "response.output_text.done");
    responses_place(a, w);
    buf_lit(w->event, ",\"logprobs\":[],\"text\":\"");
    sim_text_whole(w->event, a, 0);
    buf_lit(w->event, "\"}");
    sim_event_end(w);
    responses_begin(a, w, "response.content_part.done");
    responses_place(a, w);
    buf_lit(w->event,
            ",\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"");
    sim_text_whole(w->event, a, 0);
    buf_lit(w->event, "\"}}");
    sim_event_end(w);
}

static void responses_call_done(struct sim_answer *a, struct sim_writer *w)
{
    responses_begin(a, w, "response.function_call_arguments.done");
    responses_place(a, w);
    buf_lit(w->event, ",\"name\":");
    buf_add_json(w->event, str_of(a->tool));
    buf_lit(w->event, ",\"arguments\":\"{}\"}");
    sim_event_end(w);
}

void sim_responses_end(struct sim_answer *a, struct sim_writer *w)
{
    if (a->tool[0])
        responses_call_done(a, w);
    else
        responses_text_done(a, w);
    responses_begin(a, w, "response.output_item.done");
    buf_lit(w->event, "\"output_index\":0,\"item\":");
    responses_item(w->event, a, a->limited ? "incomplete" : "completed", true);
    buf_lit(w->event, "}");
    sim_event_end(w);
    if (!a->no_done)
        responses_status(a, w, a->limited ? "response.incomplete" : "response.completed", true);
}

void sim_responses_whole(struct sim_answer *a, struct buf *out)
{
    responses_object(out, a, true);
}

// --- /v1/messages -----------------------------------------------------------------------------

static const char *stop_reason(const struct sim_answer *a)
{
    return a->tool[0] ? "tool_use" : a->limited ? "max_tokens" : "end_turn";
}

// Tokens that came out of the cache are not in input_tokens.
static void messages_usage(struct buf *out, const struct sim_answer *a, int32_t output_tok)
{
    buf_printf(
        out,
        "{\"input_tokens\":%d,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":%d,"
        "\"output_tokens\":%d,\"service_tier\":\"standard\"}",
        a->prompt_tok - a->cached_tok, a->cached_tok, output_tok);
}

static void messages_top(struct buf *out, const struct sim_answer *a)
{
    buf_printf(out,
               "{\"id\":\"msg_sim_%llu\",\"type\":\"message\",\"role\":\"assistant\",\"model\":",
               (unsigned long long)a->seq);
    buf_add_json(out, str_of(a->model));
    buf_lit(out, ",\"system_fingerprint\":\"simulated\",\"content\":[");
}

static void messages_tool(struct buf *out, const struct sim_answer *a)
{
    buf_printf(out, "{\"type\":\"tool_use\",\"id\":\"toolu_sim_%llu\",\"name\":",
               (unsigned long long)a->seq);
    buf_add_json(out, str_of(a->tool));
    buf_lit(out, ",\"input\":{}}");
}

void sim_messages_open(struct sim_answer *a, struct sim_writer *w)
{
    sim_event_begin(w, "message_start");
    buf_lit(w->event, "{\"type\":\"message_start\",\"message\":");
    messages_top(w->event, a);
    buf_lit(w->event, "],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":");
    messages_usage(w->event, a, 1);
    buf_lit(w->event, "}}");
    sim_event_end(w);
    sim_event_begin(w, "content_block_start");
    buf_lit(w->event, "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":");
    if (a->tool[0])
        messages_tool(w->event, a);
    else
        buf_lit(w->event, "{\"type\":\"text\",\"text\":\"\"}");
    buf_lit(w->event, "}");
    sim_event_end(w);
    sim_event_begin(w, "ping");
    buf_lit(w->event, "{\"type\":\"ping\"}");
    sim_event_end(w);
}

void sim_messages_token(struct sim_answer *a, struct sim_writer *w, int32_t i)
{
    sim_event_begin(w, "content_block_delta");
    buf_lit(w->event, "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":");
    if (a->tool[0]) {
        buf_lit(w->event, "{\"type\":\"input_json_delta\",\"partial_json\":\"{}\"}}");
    } else {
        buf_lit(w->event, "{\"type\":\"text_delta\",\"text\":\"");
        sim_text_token(w->event, a, 0, i);
        buf_lit(w->event, "\"}}");
    }
    sim_event_end(w);
}

void sim_messages_end(struct sim_answer *a, struct sim_writer *w)
{
    sim_event_begin(w, "content_block_stop");
    buf_lit(w->event, "{\"type\":\"content_block_stop\",\"index\":0}");
    sim_event_end(w);
    sim_event_begin(w, "message_delta");
    buf_printf(
        w->event,
        "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\",\"stop_sequence\":null}",
        stop_reason(a));
    if (!a->no_usage) {
        buf_lit(w->event, ",\"usage\":");
        messages_usage(w->event, a, a->output_tok);
    }
    buf_lit(w->event, "}");
    sim_event_end(w);
    if (a->no_done)
        return;
    sim_event_begin(w, "message_stop");
    buf_lit(w->event, "{\"type\":\"message_stop\"}");
    sim_event_end(w);
}

void sim_messages_whole(struct sim_answer *a, struct buf *out)
{
    messages_top(out, a);
    if (a->tool[0]) {
        messages_tool(out, a);
    } else {
        buf_lit(out, "{\"type\":\"text\",\"text\":\"");
        sim_text_whole(out, a, 0);
        buf_lit(out, "\"}");
    }
    buf_printf(out, "],\"stop_reason\":\"%s\",\"stop_sequence\":null", stop_reason(a));
    if (!a->no_usage) {
        buf_lit(out, ",\"usage\":");
        messages_usage(out, a, a->output_tok);
    }
    buf_lit(out, "}");
}
