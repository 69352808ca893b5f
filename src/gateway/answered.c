#include "gateway/answered.h"

// An answer without usage has as many tokens as its bytes over the ratio learnt of the model's
// other answers. Before there are any, a delta of a stream is a token, and a whole answer is taken
// for text of four bytes a token. Reasoning that was not shown cannot be counted.
static int32_t output_tok(struct core *c, const struct generation *g, int32_t model,
                          const struct relay_said *said, bool stream)
{
    double ratio = core_answer_bytes_per_tok(c, g, model);
    if (!(ratio > 0) && said->pieces > 1)
        return said->pieces;
    double tok = (double)said->content_bytes / (ratio > 0 ? ratio : 4);
    int64_t least = stream ? said->pieces : 1;  // a delta holds a token at least
    return (int32_t)min_i64(INT32_MAX, max_i64(least, (int64_t)(tok + 0.5)));
}

bool answered_tokens(struct core *c, const struct generation *g, int32_t model,
                     const struct relay_said *said, bool stream, int32_t prompt_tok,
                     struct openai_usage *out)
{
    *out = said->usage;
    // Not every supplier's numbers agree with each other.
    out->cached_tok = (int32_t)min_i64(out->cached_tok, out->prompt_tok);
    if (said->usage.said)
        return false;
    if (!said->content && !said->content_bytes)
        return false;
    out->prompt_tok = prompt_tok;
    out->output_tok = output_tok(c, g, model, said, stream);
    return true;
}

double answered_joules(struct core *c, struct generation *g, const struct route_decision *d,
                       const struct openai_usage *u, int64_t now_us)
{
    const struct service *service = generation_service(g, d->pool, d->model);
    if (service->busy_w <= 0)
        return 0;
    struct route_pool_view v = core_view(c, g, d->pool, now_us);
    double n = v.in_flight > 1 ? v.in_flight : 1;
    return service_joules(service, u->prompt_tok - u->cached_tok, u->output_tok, n,
                          n * (u->prompt_tok + u->output_tok / 2.0));
}

void answered_split(struct route_seen *seen, const struct route_terms *t, int64_t total_us,
                    int32_t output_tok)
{
    double expected = (double)t->ttft_us + (double)t->per_token_us * output_tok;
    if (expected > 0) {
        seen->ttft_us = (int64_t)((double)total_us * (double)t->ttft_us / expected);
        seen->per_token_us = (int64_t)((double)total_us * (double)t->per_token_us / expected);
    }
}
