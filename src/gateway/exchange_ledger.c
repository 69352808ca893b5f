// What an exchange tells the ledger: each send before it, each end of one, and the whole of it
// once.

#include "gateway/exchange_parts.h"

enum {
    TEMPLATE_TOK = 256,           // what a supplier may put around a prompt
    OUTPUT_TOK_UNKNOWN = 131072,  // nothing says how long the answer may get
};

static void copy_id(char out[RECORD_REQUEST_BYTES], const char *id)
{
    strncpy(out, id, RECORD_REQUEST_BYTES);
}

// What the ledger calls a thing of the portfolio, by its index; 0 for -1.
static uint64_t id_of(const struct exchange *x, enum record_name kind, int32_t index)
{
    return index < 0 ? 0 : x->generation->ids[kind][index];
}

// What this send may cost at most: a token has at least one byte, so the body bounds the prompt;
// what the client allows, the pool or the context bound the answer.
static int64_t bound_nusd(const struct exchange *x, const struct serving *s, uint32_t *flags)
{
    int64_t context = serving_context(exchange_portfolio(x), s);
    int64_t prompt = (int64_t)buf_len(&x->wire_body) + TEMPLATE_TOK;
    if (context > 0)
        prompt = min_i64(prompt, context);
    int64_t output = x->ask.output_tok_max;
    int64_t choices = x->rq ? x->rq->choices : 1;
    if (output > 0)
        output *= max_i64(1, choices);
    else if (s->output_tok_max > 0)
        output = (int64_t)s->output_tok_max * max_i64(1, choices);
    else if (context > 0)
        output = context * max_i64(1, choices);
    else
        *flags |= RECORD_UNBOUNDED;
    return price_of(&s->price, prompt, 0, output > 0 ? output : OUTPUT_TOK_UNKNOWN);
}

bool exchange_reserve(struct exchange *x)
{
    struct pen *pen = x->worker->pen;
    if (!pen)
        return true;
    const struct portfolio *p = exchange_portfolio(x);
    const struct pool *pool = &p->pools[x->decision.pool];
    const struct serving *s = pool_serving(pool, x->decision.model);
    uint32_t flags = x->stream ? RECORD_STREAM : 0;
    flags |= x->n_sends > 0 ? RECORD_FAILED_OVER : 0;
    struct record_reserve r = {
        .tenant = id_of(x, RECORD_TENANT, x->ask.tenant),
        .pool = id_of(x, RECORD_POOL, x->decision.pool),
        .supplier = id_of(x, RECORD_SUPPLIER, pool->supplier),
        .contract = id_of(x, RECORD_CONTRACT, pool->contract),
        .model = id_of(x, RECORD_MODEL, x->decision.model),
        .bound_nusd = bound_nusd(x, s, &flags),
        .prompt_tok = x->ask.prompt_tok,
        .surface = (uint16_t)x->surface,
        .ordinal = (uint16_t)(x->n_sends + 1),
        .key = x->key ? x->key->number : 0,
    };
    copy_id(r.request, x->id);
    return ledger_reserve(pen, &x->call, &r, flags);
}

static void write_draw(const struct exchange *x, struct record_settle *s)
{
    const struct portfolio *p = exchange_portfolio(x);
    s->marginal_nusd = x->draw.marginal_nusd;
    if (x->draw.contract < 0)
        return;
    const struct contract *c = &p->contracts[x->draw.contract];
    s->commitment = id_of(x, RECORD_CONTRACT, x->draw.contract);
    s->unit = (uint16_t)c->commitment.unit;
    s->drawn = x->draw.units;
}

void exchange_ledger_attempt(struct exchange *x, enum fault fault, bool stale)
{
    struct record_settle s = {.fault = (uint16_t)fault,
                              .status = (uint16_t)x->answer_status,
                              .ttft_us = x->first_us ? x->first_us - x->sent_us : -1,
                              .bytes_up = x->attempt.bytes_up,
                              .bytes_down = x->attempt.bytes_down};
    uint32_t flags = x->stream ? RECORD_STREAM : 0;
    flags |= x->n_sends > 1 ? RECORD_FAILED_OVER : 0;
    flags |= stale ? RECORD_STALE : 0;
    flags |= fault == FAULT_GONE ? RECORD_CANCELLED : 0;
    if (!attempt_connected(&x->attempt))
        flags |= RECORD_UNSENT;
    else if (!x->attempt.any_byte)
        flags |= RECORD_UNHEARD;
    exchange_count(x);
    if (x->first_us) {
        s.prompt_tok = x->usage.prompt_tok;
        s.cached_tok = x->usage.cached_tok;
        s.output_tok = x->usage.output_tok;
        s.reasoning_tok = x->usage.reasoning_tok;
        s.list_nusd = x->list_nusd;
        s.joules = x->joules;
        flags |= x->tokens_estimated ? RECORD_ESTIMATED : 0;
        flags |= fault ? RECORD_CUT : 0;
    } else if (attempt_connected(&x->attempt) && !stale && x->answer_status < 300 &&
               (fault == FAULT_GONE || fault == FAULT_TIMEOUT)) {
        // Left while the supplier was at work: it has read the prompt, and will ask for it.
        const struct serving *serving =
            pool_serving(&exchange_portfolio(x)->pools[x->decision.pool], x->decision.model);
        s.prompt_tok = x->ask.prompt_tok;
        s.list_nusd = price_of(&serving->price, s.prompt_tok, 0, 0);
        flags |= RECORD_ESTIMATED;
        exchange_draw(x, &(struct openai_usage){.prompt_tok = s.prompt_tok}, s.list_nusd);
    }
    if (x->drawn)
        write_draw(x, &s);
    ledger_settle(x->worker->pen, &x->call, &s, flags);
}

void exchange_ledger_request(struct exchange *x)
{
    struct pen *pen = x->worker->pen;
    if (!pen || x->ask.model < 0)  // what was asked for is no model: nobody is charged
        return;
    const struct portfolio *p = exchange_portfolio(x);
    bool answered = x->first_us != 0;
    int32_t model = answered ? x->decision.model : x->ask.model;
    const struct pool *pool = answered ? &p->pools[x->decision.pool] : NULL;
    struct record_request r = {
        .tenant = id_of(x, RECORD_TENANT, x->ask.tenant),
        .pool = pool ? id_of(x, RECORD_POOL, x->decision.pool) : 0,
        .supplier = pool ? id_of(x, RECORD_SUPPLIER, pool->supplier) : 0,
        .contract = pool ? id_of(x, RECORD_CONTRACT, pool->contract) : 0,
        .model_asked = id_of(x, RECORD_MODEL, x->ask.model),
        .model = id_of(x, RECORD_MODEL, model),
        .class = id_of(x, RECORD_CLASS, x->ask.class),
        .list_nusd = x->list_nusd,
        .charged_nusd = x->charged_nusd,
        .key = x->key ? x->key->number : 0,
        .total_us = x->ended_us - x->arrived_us,
        .ttft_us = answered ? x->first_us - x->arrived_us : -1,
        .prompt_tok = x->usage.prompt_tok,
        .cached_tok = x->usage.cached_tok,
        .output_tok = x->usage.output_tok,
        .reasoning_tok = x->usage.reasoning_tok,
        .status = (uint16_t)x->status,
        .attempts = (uint16_t)x->n_sends,
        .surface = (uint16_t)x->surface,
        .fault = (uint16_t)(answered && !x->cut ? 0 : x->last_fault),
    };
    copy_id(r.request, x->id);
    uint32_t flags = x->stream ? RECORD_STREAM : 0;
    flags |= x->tokens_estimated ? RECORD_ESTIMATED : 0;
    flags |= x->cut ? RECORD_CUT : 0;
    flags |= x->status == 499 ? RECORD_CANCELLED : 0;
    flags |= x->n_sends > 1 ? RECORD_FAILED_OVER : 0;
    ledger_request(pen, &x->call, &r, flags);
}
