#include "wire/explain.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdlib.h>

static enum err find(const struct table *names, const char *what, struct str name, int32_t *out,
                     struct diag *diag)
{
    struct str near;
    if (!name.n || table_get(names, name, out))
        return ERR_NONE;
    if (table_nearest(names, name, &near))
        return diag_set(diag, ERR_INVALID,
                        "no %s \"" STR_FMT "\" in the portfolio; did you mean \"" STR_FMT "\"?",
                        what, STR_ARG(name), STR_ARG(near));
    return diag_set(diag, ERR_INVALID, "no %s \"" STR_FMT "\" in the portfolio", what,
                    STR_ARG(name));
}

// A group's name asks for its first model, and any may stand in.
static bool find_group(const struct portfolio *p, struct str name, struct route_ask *ask)
{
    for (int32_t i = 0; i < p->n_groups; i++) {
        if (!str_eq(p->groups[i].name, name) || !p->groups[i].n_models)
            continue;
        ask->model = p->groups[i].models[0];
        ask->stand_in = true;
        return true;
    }
    return false;
}

enum err explain_ask(struct route_ask *out, const struct portfolio *p,
                     const struct explain_asked *asked, int64_t now_us, int64_t wall_us,
                     struct diag *diag)
{
    *out = (struct route_ask){.model = -1,
                              .class = p->serve.default_class,
                              .tenant = -1,
                              .prompt_tok = asked->prompt_tok,
                              .output_tok = asked->output_tok,
                              .output_tok_max = asked->output_tok_max,
                              .arrived_us = now_us,
                              .wall_us = wall_us,
                              .stand_in = asked->stand_in};
    if (out->output_tok_max && out->output_tok > out->output_tok_max)
        out->output_tok = out->output_tok_max;
    bool known = table_get(p->model_names, asked->model, &out->model);
    enum err e = known || find_group(p, asked->model, out)
                     ? ERR_NONE
                     : find(p->model_names, "model", asked->model, &out->model, diag);
    if (!e)
        e = find(p->tenant_names, "tenant", asked->tenant, &out->tenant, diag);
    if (out->tenant >= 0 && p->tenants[out->tenant].default_class >= 0)
        out->class = p->tenants[out->tenant].default_class;
    if (!e)
        e = find(p->class_names, "class", asked->class, &out->class, diag);
    int64_t patience_us = p->serve.deadline_us;
    if (out->class >= 0 && p->classes[out->class].deadline_us != NEVER)
        patience_us = p->classes[out->class].deadline_us;
    out->deadline_us = now_us + patience_us;
    return e;
}

static int by_score(const void *x, const void *y)
{
    const struct route_candidate *a = x, *b = y;
    if ((a->bar != ROUTE_MAY) != (b->bar != ROUTE_MAY))
        return a->bar ? 1 : -1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->terms.score != b->terms.score)
        return a->terms.score < b->terms.score ? -1 : 1;
    return (a->pool > b->pool) - (a->pool < b->pool);
}

static void name(struct buf *out, const char *member, struct str value)
{
    buf_printf(out, ",\"%s\":", member);
    if (value.n)
        buf_add_json(out, value);
    else
        buf_lit(out, "null");
}

// How long until then; null: not by time, or now.
static void until(struct buf *out, int64_t until_us, int64_t now_us)
{
    if (until_us != NEVER && until_us > now_us)
        buf_printf(out, ",\"until_ms\":%.3f", (double)(until_us - now_us) / 1e3);
    else
        buf_lit(out, ",\"until_ms\":null");
}

static void add_ask(struct buf *out, const struct explained *e)
{
    const struct portfolio *p = e->p;
    const struct route_ask *a = e->ask;
    char at[UNIT_TEXT];
    struct str none = {0};
    buf_printf(out, "\"at\":\"%s\"",
               unit_text_instant(at, a->wall_us + (e->now_us - a->arrived_us)));
    name(out, "policy", p->serve.policy);
    name(out, "model", a->model >= 0 ? p->models[a->model].name : none);
    name(out, "class", a->class >= 0 ? p->classes[a->class].name : none);
    name(out, "tenant", a->tenant >= 0 ? p->tenants[a->tenant].name : none);
    buf_printf(out, ",\"prompt_tok\":%d,\"output_tok\":%d,\"output_tok_max\":%d", a->prompt_tok,
               a->output_tok, a->output_tok_max);
    if (a->deadline_us == NEVER)
        buf_lit(out, ",\"deadline_ms\":null");
    else
        buf_printf(out, ",\"deadline_ms\":%.3f", (double)(a->deadline_us - e->now_us) / 1e3);
}

static void add_decision(struct buf *out, const struct explained *e)
{
    static const char *const verdicts[] = {
        [ROUTE_SEND] = "send", [ROUTE_WAIT] = "wait", [ROUTE_REFUSE] = "refuse"};
    const struct route_decision *d = e->decision;
    struct str none = {0};
    buf_printf(out, ",\"decision\":{\"verdict\":\"%s\"", verdicts[d->verdict]);
    name(out, "pool", d->pool >= 0 ? e->p->pools[d->pool].name : none);
    name(out, "model", d->pool >= 0 ? e->p->models[d->model].name : none);
    name(out, "why", str_of(d->why));
    until(out, d->until_us, e->now_us);
    buf_printf(out, ",\"candidates\":%d,\"usable\":%d}", d->candidates, d->usable);
}

// Who says what a unit of its commitment is worth.
static void add_pricing(struct buf *out, const struct route_candidate *c, int64_t now_us)
{
    static const char *const names[] = {[ROUTE_PRICED_NOT] = "not",
                                        [ROUTE_PRICED_SPENT] = "what is left",
                                        [ROUTE_PRICED_CALENDAR] = "the calendar",
                                        [ROUTE_PRICED_PLAN] = "a plan",
                                        [ROUTE_PRICED_SOLVED] = "demand"};
    buf_printf(out, ",\"pace\":%.9g,\"priced_by\":\"%s\"", c->pace, names[c->pricing]);
    if (c->pricing == ROUTE_PRICED_SOLVED)
        buf_printf(out, ",\"priced_age_ms\":%.3f", (double)(now_us - c->priced_us) / 1e3);
}

static void add_candidate(struct buf *out, const struct explained *e,
                          const struct route_candidate *c)
{
    const struct portfolio *p = e->p;
    const struct route_terms *t = &c->terms;
    bool chosen = c->pool == e->decision->pool && c->model == e->decision->model;
    buf_printf(out, "{\"chosen\":%s", chosen ? "true" : "false");
    name(out, "pool", p->pools[c->pool].name);
    name(out, "model", p->models[c->model].name);
    buf_printf(out, ",\"stand_in\":%s", c->rank ? "true" : "false");
    name(out, "bar", c->bar ? str_of(route_bar_text(c->bar)) : (struct str){0});
    until(out, c->until_us, e->now_us);
    buf_printf(out,
               ",\"usd\":{\"list\":%.12f,\"energy\":%.12f,\"carbon\":%.12f,\"wait_ttft\":%.12f,"
               "\"wait_tokens\":%.12f,\"total\":%.12f},\"score\":%.12g",
               t->list / 1e9, t->energy / 1e9, t->carbon / 1e9, t->wait_ttft / 1e9,
               t->wait_tokens / 1e9, t->total / 1e9, t->score);
    buf_printf(out, ",\"warm_tok\":%d,\"cached_tok\":%d", t->warm_tok, t->cached_tok);
    buf_printf(out, ",\"ttft_ms\":%.3f,\"per_token_ms\":%.3f,\"times\":\"%s\",\"speed\":\"%s\"",
               (double)t->ttft_us / 1e3, (double)t->per_token_us / 1e3,
               t->observed ? "observed" : "expected", c->basis ? basis_name(c->basis) : "a guess");
    buf_printf(out, ",\"beyond_measured\":%s", c->beyond ? "true" : "false");
    buf_printf(out, ",\"in_flight\":%d,\"in_flight_limit\":", c->in_flight);
    int32_t limit = p->pools[c->pool].limits.in_flight;
    if (limit > 0)
        buf_int(out, limit);
    else
        buf_lit(out, "null");
    name(out, "contract", c->contract >= 0 ? p->contracts[c->contract].name : (struct str){0});
    if (c->contract >= 0)
        add_pricing(out, c, e->now_us);
    buf_lit(out, "}");
}

void explain_json(struct buf *out, const struct explained *e)
{
    qsort(e->candidates, (size_t)e->n, sizeof *e->candidates, by_score);
    buf_lit(out, "{");
    add_ask(out, e);
    add_decision(out, e);
    buf_lit(out, ",\"candidates\":[");
    for (int32_t i = 0; i < e->n; i++) {
        buf_add_str(out, i ? STR(",") : STR(""));
        add_candidate(out, e, &e->candidates[i]);
    }
    buf_lit(out, "]");
    if (e->limits.n)
        buf_join(out, STR(",\"limits\":"), e->limits);
    buf_lit(out, "}");
}
