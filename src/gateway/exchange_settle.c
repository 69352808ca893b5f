#include "gateway/answered.h"
#include "gateway/exchange_parts.h"

#include <inttypes.h>
#include <stdio.h>

static const char *basis_text(enum basis b)
{
    switch (b) {
    case BASIS_MEASURED: return "estimated from measured operating points, PUE included";
    case BASIS_CLAIMED: return "estimated from the vendor's figures, PUE included";
    case BASIS_ROOFLINE: return "estimated from the chip's roofline, PUE included";
    case BASIS_ASSUMED: return "estimated from assumed figures, PUE included";
    case BASIS_NONE: break;
    }
    return "nothing is known of the chip";
}

static void count_cost(struct exchange *x)
{
    const struct portfolio *p = exchange_portfolio(x);
    const struct serving *s = pool_serving(&p->pools[x->decision.pool], x->decision.model);
    const struct service *service =
        generation_service(x->generation, x->decision.pool, x->decision.model);
    const struct openai_usage *u = &x->usage;
    x->list_nusd = price_of(&s->price, u->prompt_tok, u->cached_tok, u->output_tok);
    x->energy_basis = basis_text(service->basis);
    x->joules = answered_joules(x->worker->core, x->generation, &x->decision, u, exchange_now(x));
}

void exchange_draw(struct exchange *x, const struct openai_usage *u, int64_t list_nusd)
{
    int64_t now = exchange_now(x);
    struct route_seen seen = {.prompt_tok = u->prompt_tok,
                              .cached_tok = u->cached_tok,
                              .output_tok = u->output_tok,
                              .list_nusd = list_nusd,
                              .hold_us = now - x->sent_us};
    x->draw = core_draw(x->worker->core, x->generation, &x->ask, &x->decision, &seen, now);
    x->drawn = true;
}

void exchange_count(struct exchange *x)
{
    if (x->counted || !x->first_us)
        return;
    x->counted = true;
    x->tokens_estimated =
        answered_tokens(x->worker->core, x->generation, x->decision.model, &x->relay.said,
                        x->answer_stream, x->ask.prompt_tok, &x->usage);
    count_cost(x);
    exchange_draw(x, &x->usage, x->list_nusd);
}

static int64_t per_token_of(const struct exchange *x)
{
    int32_t n = x->usage.output_tok;
    return x->answer_stream && n > 1 ? (x->last_us - x->first_us) / (n - 1) : 0;
}

// Why this pool; or, of a request that went to nobody, why not.
static const char *why_of(const struct exchange *x, bool answered)
{
    if (answered)
        return x->decision.why;
    return x->n_sends || !x->decision.bar ? "" : route_bar_text(x->decision.bar);
}

static void log_request(struct exchange *x, bool answered)
{
    const struct portfolio *p = exchange_portfolio(x);
    const struct tenant *t = exchange_tenant(x);
    struct str none = {0};
    log_line(
        x->worker->log, LOG_INFO, "request", log_str("id", str_of(x->id)),
        log_str("tenant", t ? t->name : none),
        log_str("model", x->ask.model >= 0 ? p->models[x->ask.model].name : none),
        log_str("pool", answered ? p->pools[x->decision.pool].name : none),
        log_int("status", x->status),
        log_str("fault", x->last_fault && !answered ? str_of(fault_name(x->last_fault)) : none),
        log_str("error", x->error), log_str("why", str_of(why_of(x, answered))),
        log_int("cut", x->cut), log_int("attempts", x->n_sends),
        log_int("ttft_us", answered ? x->first_us - x->arrived_us : -1),
        log_int("total_us", x->ended_us - x->arrived_us),
        log_int("prompt_tok", x->usage.prompt_tok), log_int("cached_tok", x->usage.cached_tok),
        log_int("output_tok", x->usage.output_tok), log_int("estimated", x->tokens_estimated),
        log_int("list_nusd", x->list_nusd));
}

static void learn(struct exchange *x)
{
    struct core *c = x->worker->core;
    const struct openai_usage *u = &x->usage;
    core_learn(c, x->generation, &x->ask, x->prompt_bytes, u->prompt_tok, u->output_tok);
    if (u->reasoning_tok == 0)  // or not all that was paid for was relayed
        core_learn_answer(c, x->generation, x->decision.model, x->relay.said.content_bytes,
                          u->output_tok);
}

void exchange_settle(struct exchange *x)
{
    if (x->settled)
        return;
    x->settled = true;
    x->ended_us = exchange_now(x);
    bool answered = x->first_us != 0;
    exchange_count(x);
    if (answered) {
        if (x->usage.said && !x->cut)
            learn(x);
    }
    exchange_charge(x);
    struct metrics_request m = {.names = &x->generation->names,
                                .tenant = x->ask.tenant,
                                .model = x->ask.model,
                                .class = x->ask.class,
                                .pool = answered ? x->decision.pool : -1,
                                .status = x->status,
                                .surface = x->surface,
                                .stream = x->stream,
                                .cut = x->cut,
                                .ttft_us = answered ? x->first_us - x->arrived_us : -1,
                                .total_us = x->ended_us - x->arrived_us,
                                .per_token_us = per_token_of(x),
                                .prompt_tok = x->usage.prompt_tok,
                                .cached_tok = x->usage.cached_tok,
                                .output_tok = x->usage.output_tok,
                                .tokens_estimated = x->tokens_estimated,
                                .list_nusd = x->list_nusd,
                                .joules = x->joules,
                                .attempts = x->n_sends};
    metrics_request(x->worker->metrics, x->worker->index, &m);
    exchange_ledger_request(x);
    exchange_trace(x);
    log_request(x, answered);
}

static bool exposes(const struct exchange *x)
{
    const struct tenant *t = exchange_tenant(x);
    return t && t->expose_decision;
}

// "pool=local-a; model=smollm2-135m; attempts=1; cost=0.000000123; why=least cost"; or "pending",
// when the head goes before there is content, and another pool may yet have to answer.
void exchange_decision_line(struct exchange *x, struct buf *out)
{
    if (!exposes(x))
        return;
    if (x->stream && !x->first_us && x->status == 200) {  // who answers is in the receipt
        buf_printf(out, "x-caudal-decision: pending; attempts=%d\r\n", x->n_sends);
        return;
    }
    if (!x->n_sends)
        return;
    const struct portfolio *p = exchange_portfolio(x);
    const struct route_decision *d = &x->decision;
    // The cost in the head is the one it was chosen by; what it came to is in the receipt.
    buf_printf(out,
               "x-caudal-decision: pool=" STR_FMT "; model=" STR_FMT
               "; attempts=%d; candidates=%d; "
               "expected_cost_usd=%.9f; expected_ttft_ms=%.1f; why=%s\r\n",
               STR_ARG(p->pools[d->pool].name), STR_ARG(p->models[d->model].name), x->n_sends,
               d->usable, d->terms.total / 1e9, (double)d->terms.ttft_us / 1e3, d->why);
}

static void write_sends(const struct exchange *x, struct buf *out)
{
    const struct portfolio *p = exchange_portfolio(x);
    buf_lit(out, "[");
    int32_t n = x->n_sends < EXCHANGE_SENDS_MAX ? x->n_sends : EXCHANGE_SENDS_MAX;
    for (int32_t i = 0; i < n; i++) {
        const struct sent *s = &x->sends[i];
        int64_t end = s->ended_us ? s->ended_us : x->ended_us;
        buf_printf(out, "%s{\"pool\":", i ? "," : "");
        buf_add_json(out, p->pools[s->pool].name);
        buf_printf(out, ",\"outcome\":\"%s\",\"ms\":%.1f}",
                   s->stale   ? "stale connection"
                   : s->fault ? fault_name(s->fault)
                              : "answered",
                   (double)(end - s->at_us) / 1e3);
    }
    buf_lit(out, "]");
}

// A member with a text; null where there is none.
static void write_member(struct buf *out, const char *name, struct str text)
{
    buf_printf(out, ",\"%s\":", name);
    if (text.n)
        buf_add_json(out, text);
    else
        buf_lit(out, "null");
}

// Who answered, or was the last to be tried: nobody, where the request only waited.
static void write_who(const struct exchange *x, struct buf *out)
{
    const struct portfolio *p = exchange_portfolio(x);
    const struct route_decision *d = &x->decision;
    const struct pool *pool = x->n_sends ? &p->pools[d->pool] : NULL;
    write_member(out, "pool", pool ? pool->name : (struct str){0});
    write_member(out, "supplier", pool ? p->suppliers[pool->supplier].name : (struct str){0});
    write_member(out, "model", p->models[pool ? d->model : x->ask.model].name);
    write_member(out, "why", str_of(pool ? d->why : route_bar_text(d->bar)));
    write_member(out, "outcome",
                 !x->cut       ? STR("answered")
                 : x->first_us ? STR("cut")
                               : STR("failed"));
}

struct str exchange_receipt(struct exchange *x, struct buf *out)
{
    const struct pool *pool = &exchange_portfolio(x)->pools[x->decision.pool];
    const struct serving *s = x->n_sends ? pool_serving(pool, x->decision.model) : NULL;
    buf_lit(out, "{\"request\":");
    buf_add_json(out, str_of(x->id));
    write_who(x, out);
    buf_lit(out, ",\"attempts\":");
    write_sends(x, out);
    int64_t per_token = per_token_of(x);
    if (x->first_us)
        buf_printf(out, ",\"ttft_ms\":%.1f", (double)(x->first_us - x->arrived_us) / 1e3);
    else
        buf_lit(out, ",\"ttft_ms\":null");
    buf_printf(out, ",\"total_ms\":%.1f", (double)(x->ended_us - x->arrived_us) / 1e3);
    if (per_token)
        buf_printf(out, ",\"tokens_per_s\":%.1f", 1e6 / (double)per_token);
    buf_printf(out,
               ",\"prompt_tokens\":%d,\"cached_tokens\":%d,\"completion_tokens\":%d,\"reasoning_"
               "tokens\":%d,"
               "\"tokens\":\"%s\"",
               x->usage.prompt_tok, x->usage.cached_tok, x->usage.output_tok,
               x->usage.reasoning_tok, x->tokens_estimated ? "estimated" : "reported");
    if (s && s->price.said)
        buf_printf(out, ",\"list_usd\":%" PRId64 ".%09" PRId64, x->list_nusd / 1000000000,
                   x->list_nusd % 1000000000);
    else
        buf_lit(out, ",\"list_usd\":null");
    buf_printf(out, ",\"charged_usd\":%" PRId64 ".%09" PRId64, x->charged_nusd / 1000000000,
               x->charged_nusd % 1000000000);
    if (s && (s->price.said || (x->counted && x->draw.contract >= 0)))
        buf_printf(out, ",\"marginal_usd\":%" PRId64 ".%09" PRId64,
                   x->draw.marginal_nusd / 1000000000, x->draw.marginal_nusd % 1000000000);
    else
        buf_lit(out, ",\"marginal_usd\":null");
    if (x->joules > 0)
        buf_printf(out, ",\"energy_j\":%.4g", x->joules);
    else
        buf_lit(out, ",\"energy_j\":null");
    buf_printf(out, ",\"energy_basis\":\"%s\"}", x->energy_basis ? x->energy_basis : "");
    return buf_str(out);
}
