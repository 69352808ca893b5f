// What an exchange takes of its tenant's and key's limits, and gives back.

#include "gateway/exchange_parts.h"

enum { TEMPLATE_TOK = 256 };  // what a supplier may put around a prompt

static struct quota_ask ask_of(const struct exchange *x)
{
    const struct route_ask *r = &x->ask;
    const struct generation *g = x->generation;
    bool alone = limits_alone(x->key);
    bool answers = x->surface != SURFACE_EMBEDDINGS;
    int32_t choices = x->rq->choices > 1 ? x->rq->choices : 1;
    int64_t expected = answers ? r->output_tok : 0;
    int64_t longest = !answers ? 0 : r->output_tok_max > 0 ? r->output_tok_max : -1;
    // A token has at least one byte.
    int64_t prompt = (int64_t)buf_len(&x->body) + TEMPLATE_TOK;
    return (struct quota_ask){
        .now_us = exchange_now(x),
        .wall_us = r->wall_us,
        .prompt_tok = r->prompt_tok,
        .output_tok = (int32_t)min_i64(INT32_MAX, expected * choices),
        .expected_nusd =
            limits_price(g, r->tenant, r->model, alone, r->prompt_tok, expected, choices),
        .most_nusd = limits_price(g, r->tenant, r->model, alone, prompt, longest, choices),
    };
}

static void refuse(struct exchange *x, const struct quota_refusal *why)
{
    struct buf text;
    buf_init(&text, 2048);
    struct answer a = limits_answer(x->generation, x->ask.tenant, x->key, why, &text);
    log_line(x->worker->log, LOG_INFO, "limit", log_str("id", str_of(x->id)),
             log_str("tenant", exchange_portfolio(x)->tenants[x->ask.tenant].name),
             log_str("key", x->key ? key_shown(x->key) : STR("")),
             log_text("limit", limits_what(why->what)), log_int("again_us", why->again_us));
    exchange_fail(x, &a);
    buf_release(&text);
}

bool exchange_admit(struct exchange *x)
{
    struct quota_level levels[QUOTA_LEVELS_MAX];
    struct quota_refusal why;
    int32_t n = limits_levels(x->generation, x->ask.tenant, x->key, levels);
    if (!n)
        return true;
    struct quota_ask ask = ask_of(x);
    if (limits_take(x->worker->limits, levels, n, &ask, &x->admission, &why))
        return true;
    refuse(x, &why);
    return false;
}

// A mistake of the client's was a request; one that we failed was none.
static bool is_clients(enum fault f)
{
    return f == FAULT_CLIENT || f == FAULT_CONTEXT || f == FAULT_CONTENT || f == FAULT_GONE;
}

void exchange_charge(struct exchange *x)
{
    const struct openai_usage *u = &x->usage;
    int32_t model = x->first_us ? x->decision.model : x->ask.model;
    if (x->first_us)
        x->charged_nusd = quota_charge(&x->admission.ticket,
                                       charged_of(exchange_tenant(x), model, x->list_nusd,
                                                  u->prompt_tok, u->cached_tok, u->output_tok));
    if (!x->admission.ticket.n)
        return;
    int64_t tokens = (int64_t)u->prompt_tok + u->output_tok;
    if (x->first_us)
        limits_settle(x->worker->limits, &x->admission, (int32_t)min_i64(INT32_MAX, tokens),
                      x->charged_nusd, exchange_now(x));
    else if (x->n_sends && (x->status == 499 || is_clients(x->last_fault)))
        limits_settle(x->worker->limits, &x->admission, x->ask.prompt_tok, 0, exchange_now(x));
    else
        limits_give_back(x->worker->limits, &x->admission, exchange_now(x));
}
