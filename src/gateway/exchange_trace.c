// The spans of an exchange: one of the request (a server's, by OpenTelemetry's HTTP conventions),
// and below it one for each send (a client's, by its GenAI conventions). No text of prompts or
// answers.

#include "gateway/exchange_parts.h"
#include "gateway/span.h"

#include <stdio.h>

struct writer {
    struct exchange *x;
    struct span_writer span;
};

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

static void usage(struct writer *w)
{
    const struct openai_usage *u = &w->x->usage;
    span_whole(&w->span, "gen_ai.usage.input_tokens", u->prompt_tok);
    span_whole(&w->span, "gen_ai.usage.output_tokens", u->output_tok);
    if (u->cached_tok)
        span_whole(&w->span, "gen_ai.usage.cache_read.input_tokens", u->cached_tok);
    if (u->reasoning_tok)
        span_whole(&w->span, "gen_ai.usage.reasoning.output_tokens", u->reasoning_tok);
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
    buf_lit(w->span.out, ",\"events\":[");
    for (int32_t i = 0; i < kept_sends(x); i++) {
        const struct sent *s = &x->sends[i];
        if (!s->fault && !s->stale)
            continue;
        buf_add_str(w->span.out, any ? STR(",{") : STR("{"));
        span_instant(&w->span, "timeUnixNano", s->ended_us ? s->ended_us : x->ended_us);
        buf_lit(w->span.out, ",\"name\":\"caudal.send_failed\"");
        span_attributes(&w->span);
        span_text(&w->span, "caudal.pool", p->pools[s->pool].name);
        span_text(&w->span, "error.type", str_of(outcome_of(s)));
        span_attributes_end(&w->span);
        buf_lit(w->span.out, "}");
        any = true;
    }
    if (x->first_us) {
        buf_add_str(w->span.out, any ? STR(",{") : STR("{"));
        span_instant(&w->span, "timeUnixNano", x->first_us);
        buf_lit(w->span.out, ",\"name\":\"caudal.first_content\"}");
    }
    buf_lit(w->span.out, "]");
}

static void answered_by(struct writer *w)
{
    const struct exchange *x = w->x;
    const struct portfolio *p = exchange_portfolio(x);
    span_text(&w->span, "gen_ai.response.model", p->models[x->decision.model].name);
    span_text(&w->span, "caudal.pool", p->pools[x->decision.pool].name);
    span_text(&w->span, "caudal.why", str_of(x->decision.why));
    usage(w);
    span_truth(&w->span, "caudal.usage.estimated", x->tokens_estimated);
    span_real(&w->span, "caudal.list_usd", (double)x->list_nusd / 1e9);
    if (x->stream)
        span_real(&w->span, "gen_ai.response.time_to_first_chunk",
                  (double)(x->first_us - x->arrived_us) / 1e6);
}

static void request_span(struct writer *w)
{
    const struct exchange *x = w->x;
    const struct portfolio *p = exchange_portfolio(x);
    const struct tenant *t = exchange_tenant(x);
    char status[16], name[64];
    snprintf(status, sizeof status, "%d", (int)x->status);
    snprintf(name, sizeof name, "POST %s", route_of(x->surface));
    span_begin(&w->span, x->span.id, x->span.parent, SPAN_SERVER, str_of(name));
    span_times(&w->span, x->arrived_us, x->ended_us);
    span_attributes(&w->span);
    span_text(&w->span, "http.request.method", STR("POST"));
    span_text(&w->span, "http.route", str_of(route_of(x->surface)));
    span_whole(&w->span, "http.response.status_code", x->status);
    span_text(&w->span, "gen_ai.operation.name", str_of(operation_of(x->surface)));
    if (x->ask.model >= 0)
        span_text(&w->span, "gen_ai.request.model", p->models[x->ask.model].name);
    span_truth(&w->span, "gen_ai.request.stream", x->stream);
    span_text(&w->span, "caudal.request.id", str_of(x->id));
    if (t)
        span_text(&w->span, "caudal.tenant", t->name);
    if (x->ask.class >= 0)
        span_text(&w->span, "caudal.class", p->classes[x->ask.class].name);
    span_whole(&w->span, "caudal.sends", x->n_sends);
    if (x->first_us)
        answered_by(w);
    if (x->status >= 400 || x->cut)
        span_text(&w->span, "error.type",
                  str_of(x->last_fault ? fault_name(x->last_fault) : status));
    span_attributes_end(&w->span);
    request_events(w);
    span_end(&w->span, x->status >= 500 || x->cut);
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
    char name[256];
    snprintf(name, sizeof name, "%s " STR_FMT, operation_of(x->surface), STR_ARG(as));
    span_begin(&w->span, id_of_send(x, i), x->span.id, SPAN_CLIENT, str_of(name));
    span_times(&w->span, s->at_us, s->ended_us ? s->ended_us : x->ended_us);
    span_attributes(&w->span);
    span_text(&w->span, "gen_ai.operation.name", str_of(operation_of(x->surface)));
    span_text(&w->span, "gen_ai.provider.name", provider_of(x, s->pool));
    span_text(&w->span, "gen_ai.request.model", as);
    span_truth(&w->span, "gen_ai.request.stream", x->stream);
    span_text(&w->span, "server.address", ep->host);
    span_whole(&w->span, "server.port", atomic_load(&ep->port));
    span_text(&w->span, "caudal.pool", pool->name);
    if (answered)
        usage(w);
    if (s->fault || s->stale)
        span_text(&w->span, "error.type", str_of(outcome_of(s)));
    span_attributes_end(&w->span);
    if (answered) {
        buf_lit(w->span.out, ",\"events\":[{");
        span_instant(&w->span, "timeUnixNano", x->first_us);
        buf_lit(w->span.out, ",\"name\":\"caudal.first_content\"}]");
    }
    span_end(&w->span, s->fault || s->stale);
}

void exchange_trace(struct exchange *x)
{
    struct buf out;
    struct loop *l = x->worker->loop;
    if (!x->span.id)
        return;
    buf_init(&out, SPANS_BYTES_MAX);
    struct writer w = {
        .x = x, .span = {.out = &out, .of = &x->span, .wall_us = loop_wall_us(l) - loop_now_us(l)}};
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
