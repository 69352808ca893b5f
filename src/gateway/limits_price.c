// What a call may cost at most, before anybody knows who answers it.

#include "gateway/limits_inside.h"

static int64_t dearer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

// A pool that says nothing of its bounds leaves the model without one.
static void join_bound(int64_t *most, int64_t one, bool first)
{
    *most = first || (*most && one) ? max_i64(*most, one) : 0;
}

static void join(struct limits_model *m, const struct portfolio *p, const struct serving *s)
{
    bool first = !m->dearest.said;
    const struct token_price *price = &s->price;
    int64_t context = serving_context(p, s);
    join_bound(&m->context_tok, context, first);
    join_bound(&m->output_tok, s->output_tok_max ? s->output_tok_max : context, first);
    m->dearest.said = true;
    m->dearest.cached_input = m->dearest.cache_write = -1;
    if (!price->said)
        return;
    m->dearest.input = dearer(m->dearest.input, dearer(price->input, price->cached_input));
    m->dearest.output = dearer(m->dearest.output, price->output);
}

enum err limits_price_build(struct generation_limits *l, struct generation *g)
{
    const struct portfolio *p = g->portfolio;
    l->model = arena_new(&g->arena, struct limits_model, p->n_models + 1);
    if (!l->model)
        return ERR_LIMIT;
    for (int32_t i = 0; i < p->n_pools; i++)
        for (int32_t k = 0; !p->pools[i].shadow.on && k < p->pools[i].n_serves; k++)
            join(&l->model[p->pools[i].serves[k].model], p, &p->pools[i].serves[k]);
    return ERR_NONE;
}

static int64_t price_with(const struct generation *g, int32_t tenant, int32_t model,
                          int64_t prompt_tok, int64_t output_tok, int32_t choices)
{
    const struct limits_model *m = &g->limits->model[model];
    const struct tenant *t = tenant < 0 ? NULL : &g->portfolio->tenants[tenant];
    if (output_tok < 0)
        output_tok = m->output_tok ? m->output_tok : LIMITS_OUTPUT_TOK_MAX;
    output_tok *= choices > 1 ? choices : 1;
    if (m->context_tok)
        prompt_tok = min_i64(prompt_tok, m->context_tok);
    int64_t list = price_of(&m->dearest, prompt_tok, 0, output_tok);
    int64_t charged = charged_of(t, model, list, prompt_tok, 0, output_tok);
    // A tenant's own price may ask more for what was cached.
    return max_i64(charged, charged_of(t, model, list, prompt_tok, prompt_tok, output_tok));
}

static bool is_in(const struct group *group, int32_t model)
{
    for (int32_t i = 0; i < group->n_models; i++)
        if (group->models[i] == model)
            return true;
    return false;
}

int64_t limits_price(const struct generation *g, int32_t tenant, int32_t model, bool alone,
                     int64_t prompt_tok, int64_t output_tok, int32_t choices)
{
    const struct portfolio *p = g->portfolio;
    int64_t most = price_with(g, tenant, model, prompt_tok, output_tok, choices);
    for (int32_t i = 0; i < p->n_groups && !alone; i++) {
        if (!is_in(&p->groups[i], model))
            continue;
        for (int32_t k = 0; k < p->groups[i].n_models; k++)
            most = max_i64(most, price_with(g, tenant, p->groups[i].models[k], prompt_tok,
                                            output_tok, choices));
    }
    return most;
}
