// The spans of an exchange: one of the request (a server's, by OpenTelemetry's HTTP conventions),
// and below it one for each send (a client's, by its GenAI conventions). No text of prompts or
// answers.

#include "gateway/exchange_parts.h"

#include <inttypes.h>
#include <stdio.h>

enum { SPANS_BYTES_MAX = 128 << 10, KIND_SERVER = 2, KIND_CLIENT = 3, STATUS_ERROR = 2 };

struct writer {
    struct exchange *x;
    struct buf *out;
    int64_t wall_us;  // what to add to a time of the loop for one since 1970
    bool any;         // of the list that is being written
};

static void begin_item(struct writer *w, const char *key)
{
    buf_printf(w->out, "%s{\"key\":\"%s\",\"value\":", w->any ? "," : "", key);
    w->any = true;
}

static void text(struct writer *w, const char *key, struct str value)
{
    if (!value.n)
        return;
    begin_item(w, key);
    buf_lit(w->out, "{\"stringValue\":");
    buf_add_json(w->out, value);
    buf_lit(w->out, "}}");
}

static void whole(struct writer *w, const char *key, int64_t value)
{
    begin_item(w, key);
    buf_printf(w->out, "{\"intValue\":\"%" PRId64 "\"}}", value);
}

static void real(struct writer *w, const char *key, double value)
{
    begin_item(w, key);
    buf_printf(w->out, "{\"doubleValue\":%.9g}}", value);
}

static void truth(struct writer *w, const char *key, bool value)
{
    begin_item(w, key);
    buf_printf(w->out, "{\"boolValue\":%s}}", value ? "true" : "false");
}

static void instant(struct writer *w, const char *key, int64_t at_us)
{
    buf_printf(w->out, "\"%s\":\"%" PRId64 "000\"", key, at_us + w->wall_us);
}

static const char *operation_of(enum surface s)
{
    switch (s) {
    case SURFACE_COMPLETIONS: return "text_completion";
    case SURFACE_EMBEDDINGS: return "embeddings";
    default: return "chat";
    }
}

static const char *route_of(enum surface s)
{
    switch (s) {
    case SURFACE_CHAT: return "/v1/chat/completions";
    case SURFACE_COMPLETIONS: return "/v1/completions";
    case SURFACE_EMBEDDINGS: return "/v1/embeddings";
    case SURFACE_RESPONSES: return "/v1/responses";
    case SURFACE_MESSAGES: return "/v1/messages";
    }
    return "/v1";
}

// The names that the conventions have; for others the supplier's own.
static struct str provider_of(const struct exchange *x, int32_t pool)
{
    const struct portfolio *p = exchange_portfolio(x);
    const struct supplier *s = &p->suppliers[p->pools[pool].supplier];
    switch (s->api) {
    case API_AZURE: return STR("azure.ai.openai");
    case API_BEDROCK: return STR("aws.bedrock");
    case API_GEMINI: return STR("gcp.gemini");
    case API_VERTEX: return STR("gcp.vertex_ai");
    case API_ANTHROPIC: return STR("anthropic");
    default: break;
    }
    struct str host = generation_pool(x->generation, pool)->host;
    return str_eq(host, STR("api.openai.com")) ? STR("openai") : s->name;
}

static void begin_span(struct writer *w, uint64_t id, uint64_t parent, int kind)
{
    char trace[2 * sizeof w->x->span.trace + 1];
    hex_of(trace, w->x->span.trace, sizeof w->x->span.trace);
    buf_printf(w->out, "{\"traceId\":\"%s\",\"spanId\":\"%016" PRIx64 "\",\"kind\":%d,\"flags\":1",
               trace, id, kind);
    if (parent)
        buf_printf(w->out, ",\"parentSpanId\":\"%016" PRIx64 "\"", parent);
    if (w->x->span.state.n) {
        buf_lit(w->out, ",\"traceState\":");
        buf_add_json(w->out, w->x->span.state);
    }
}

static void times(struct writer *w, int64_t from_us, int64_t to_us)
{
    buf_lit(w->out, ",");
    instant(w, "startTimeUnixNano", from_us);
    buf_lit(w->out, ",");
    instant(w, "endTimeUnixNano", to_us);
}

static void begin_attributes(struct writer *w)
{
    buf_lit(w->out, ",\"attributes\":[");
    w->any = false;
}

static void usage(struct writer *w)
{
    const struct openai_usage *u = &w->x->usage;
    whole(w, "gen_ai.usage.input_tokens", u->prompt_tok);
    whole(w, "gen_ai.usage.output_tokens", u->output_tok);
    if (u->cached_tok)
        whole(w, "gen_ai.usage.cache_read.input_tokens", u->cached_tok);
    if (u->reasoning_tok)
        whole(w, "gen_ai.usage.reasoning.output_tokens", u->reasoning_tok);
}

static const char *outcome_of(const struct sent *s)
{
    return s->stale ? "stale_connection" : fault_name(s->fault);
}

static int32_t kept_sends(const struct exchange *x)
{
    return x->n_sends < EXCHANGE_SENDS_MAX ? x->n_sends : EXCHANGE_SENDS_MAX;
}

// A failing over is the end of a send that was not the last, or that nothing came of.
static void request_events(struct writer *w)
{
    const struct exchange *x = w->x;
    const struct portfolio *p = exchange_portfolio(x);
    bool any = false;
    buf_lit(w->out, ",\"events\":[");
    for (int32_t i = 0; i < kept_sends(x); i++) {
        const struct sent *s = &x->sends[i];
        if (!s->fault && !s->stale)
            continue;
        buf_add_str(w->out, any ? STR(",{") : STR("{"));
        instant(w, "timeUnixNano", s->ended_us ? s->ended_us : x->ended_us);
        buf_lit(w->out, ",\"name\":\"caudal.send_failed\",\"attributes\":[");
        w->any = false;
        text(w, "caudal.pool", p->pools[s->pool].name);
        text(w, "error.type", str_of(outcome_of(s)));
        buf_lit(w->out, "]}");
        any = true;
    }
    if (x->first_us) {
        buf_add_str(w->out, any ? STR(",{") : STR("{"));
        instant(w, "timeUnixNano", x->first_us);
        buf_lit(w->out, ",\"name\":\"caudal.first_content\"}");
    }
    buf_lit(w->out, "]");
}

static void answered_by(struct writer *w)
{
    const struct exchange *x = w->x;
    const struct portfolio *p = exchange_portfolio(x);
    text(w, "gen_ai.response.model", p->models[x->decision.model].name);
    text(w, "caudal.pool", p->pools[x->decision.pool].name);
    text(w, "caudal.why", str_of(x->decision.why));
    usage(w);
    truth(w, "caudal.usage.estimated", x->tokens_estimated);
    real(w, "caudal.list_usd", (double)x->list_nusd / 1e9);
    if (x->stream)
        real(w, "gen_ai.response.time_to_first_chunk", (double)(x->first_us - x->arrived_us) / 1e6);
}

static void request_span(struct writer *w)
{
    const struct exchange *x = w->x;
    const struct portfolio *p = exchange_portfolio(x);
    const struct tenant *t = exchange_tenant(x);
    char status[16];
    snprintf(status, sizeof status, "%d", (int)x->status);
    begin_span(w, x->span.id, x->span.parent, KIND_SERVER);
    buf_printf(w->out, ",\"name\":\"POST %s\"", route_of(x->surface));
    times(w, x->arrived_us, x->ended_us);
    begin_attributes(w);
    text(w, "http.request.method", STR("POST"));
    text(w, "http.route", str_of(route_of(x->surface)));
    whole(w, "http.response.status_code", x->status);
    text(w, "gen_ai.operation.name", str_of(operation_of(x->surface)));
    if (x->ask.model >= 0)
        text(w, "gen_ai.request.model", p->models[x->ask.model].name);
    truth(w, "gen_ai.request.stream", x->stream);
    text(w, "caudal.request.id", str_of(x->id));
    if (t)
        text(w, "caudal.tenant", t->name);
    if (x->ask.class >= 0)
        text(w, "caudal.class", p->classes[x->ask.class].name);
    whole(w, "caudal.sends", x->n_sends);
    if (x->first_us)
        answered_by(w);
    bool failed = x->status >= 500 || x->cut;
    if (x->status >= 400 || x->cut)
        text(w, "error.type", str_of(x->last_fault ? fault_name(x->last_fault) : status));
    buf_lit(w->out, "]");
    request_events(w);
    if (failed)
        buf_printf(w->out, ",\"status\":{\"code\":%d}", STATUS_ERROR);
    buf_lit(w->out, "}");
}

// A stale connection's request goes out again with the head that was made for it, so that the
// supplier has heard of the first of them only.
static uint64_t id_of_send(const struct exchange *x, int32_t i)
{
    int32_t first = i;
    while (first > 0 && x->sends[first - 1].stale)
        first--;
    bool is_last = !x->sends[i].stale;
    return span_of_send(&x->span, is_last ? first : EXCHANGE_SENDS_MAX + i);
}

static void send_span(struct writer *w, int32_t i)
{
    const struct exchange *x = w->x;
    const struct portfolio *p = exchange_portfolio(x);
    const struct sent *s = &x->sends[i];
    const struct pool *pool = &p->pools[s->pool];
    const struct serving *serving = pool_serving(pool, x->ask.model);
    const struct endpoint *ep = generation_pool(x->generation, s->pool);
    bool answered = x->first_us && i == x->n_sends - 1;
    if (!serving || answered)
        serving = pool_serving(pool, x->decision.model);
    struct str as = serving ? serving->as : (struct str){0};
    begin_span(w, id_of_send(x, i), x->span.id, KIND_CLIENT);
    buf_lit(w->out, ",\"name\":");
    char name[256];
    snprintf(name, sizeof name, "%s " STR_FMT, operation_of(x->surface), STR_ARG(as));
    buf_add_json(w->out, str_of(name));
    times(w, s->at_us, s->ended_us ? s->ended_us : x->ended_us);
    begin_attributes(w);
    text(w, "gen_ai.operation.name", str_of(operation_of(x->surface)));
    text(w, "gen_ai.provider.name", provider_of(x, s->pool));
    text(w, "gen_ai.request.model", as);
    truth(w, "gen_ai.request.stream", x->stream);
    text(w, "server.address", ep->host);
    whole(w, "server.port", atomic_load(&ep->port));
    text(w, "caudal.pool", pool->name);
    if (answered)
        usage(w);
    if (s->fault || s->stale)
        text(w, "error.type", str_of(outcome_of(s)));
    buf_lit(w->out, "]");
    if (answered) {
        buf_lit(w->out, ",\"events\":[{");
        instant(w, "timeUnixNano", x->first_us);
        buf_lit(w->out, ",\"name\":\"caudal.first_content\"}]");
    }
    if (s->fault || s->stale)
        buf_printf(w->out, ",\"status\":{\"code\":%d}", STATUS_ERROR);
    buf_lit(w->out, "}");
}

void exchange_trace(struct exchange *x)
{
    struct buf out;
    struct loop *l = x->worker->loop;
    if (!x->span.id)
        return;
    buf_init(&out, SPANS_BYTES_MAX);
    struct writer w = {.x = x, .out = &out, .wall_us = loop_wall_us(l) - loop_now_us(l)};
    request_span(&w);
    for (int32_t i = 0; i < kept_sends(x); i++) {
        buf_lit(&out, ",");
        send_span(&w, i);
    }
    // What does not fit, with names of a size that nobody has, counts as dropped.
    otlp_add(x->worker, out.overflow ? (struct str){0} : buf_str(&out), 1 + kept_sends(x));
    buf_release(&out);
    span_release(&x->span);
}
