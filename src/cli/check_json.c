#include "cli/check_view.h"
#include "cli/json_out.h"

#include "base/units.h"

#include <stdio.h>

enum { DIGITS = 15 };

struct json {
    struct json_out to;
    const struct check_view *v;
};

static void instant(struct json *j, const char *name, int64_t at_us)
{
    char t[UNIT_TEXT];
    if (at_us == 0 || at_us == NEVER)
        json_out_null(&j->to, name);
    else
        json_out_text(&j->to, name, str_of(unit_text_instant(t, at_us)));
}

static void amount(struct json *j, const char *name, double v, bool said)
{
    if (said)
        json_out_number(&j->to, name, v, DIGITS);
    else
        json_out_null(&j->to, name);
}

static void reference(struct json *j, const char *name, int32_t index, const struct str *of)
{
    if (index < 0)
        json_out_null(&j->to, name);
    else
        json_out_text(&j->to, name, *of);
}

#define REFERENCE(j, label, index, array) \
    reference((j), (label), (index), (index) < 0 ? NULL : &(j)->v->p->array[index].name)

static void purposes(struct json *j, uint32_t bits)
{
    json_out_open(&j->to, "purpose", "[");
    if (bits & PURPOSE_INFERENCE)
        json_out_text(&j->to, NULL, STR("inference"));
    if (bits & PURPOSE_TRAINING)
        json_out_text(&j->to, NULL, STR("training"));
    json_out_close(&j->to, "]");
}

static void suppliers(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_suppliers; i++) {
        const struct supplier *s = &p->suppliers[i];
        json_out_open(&j->to, NULL, "{");
        json_out_text(&j->to, "name", s->name);
        json_out_text(&j->to, "api", str_of(api_name(s->api)));
        json_out_text(&j->to, "url", url_shown(j->v->a, s->url));
        json_out_bool(&j->to, "has_key", s->key.n > 0);
        if (s->run.n_argv)
            json_out_text(&j->to, "runs", s->run.argv[0]);
        json_out_close(&j->to, "}");
    }
}

static void share(struct json *j, const struct pool_share *s)
{
    json_out_open(&j->to, "share", "{");
    json_out_open(&j->to, "steps", "[");
    for (int32_t i = 0; i < s->n_steps; i++)
        json_out_number(&j->to, NULL, s->steps[i], 9);
    json_out_close(&j->to, "]");
    json_out_number(&j->to, "every_s", (double)s->every_us / 1e6, DIGITS);
    json_out_number(&j->to, "errors", s->errors, DIGITS);
    json_out_number(&j->to, "ttft", s->ttft, DIGITS);
    json_out_number(&j->to, "per_token", s->per_token, DIGITS);
    json_out_number(&j->to, "at_least", s->at_least, DIGITS);
    json_out_close(&j->to, "}");
}

static void shadow(struct json *j, const struct pool_shadow *s)
{
    json_out_open(&j->to, "shadow", "{");
    json_out_text(&j->to, "of", j->v->p->pools[s->of].name);
    json_out_number(&j->to, "share", s->share, DIGITS);
    amount(j, "at_most_usd_day", (double)s->at_most_nusd / 1e9, s->at_most_nusd >= 0);
    json_out_close(&j->to, "}");
}

static void pools(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct pool *x = &p->pools[i];
        bool callable;
        struct str now = pool_now(j->v->a, p, x, j->v->now_us, &callable);
        json_out_open(&j->to, NULL, "{");
        json_out_text(&j->to, "name", x->name);
        REFERENCE(j, "supplier", x->supplier, suppliers);
        REFERENCE(j, "contract", x->contract, contracts);
        REFERENCE(j, "site", x->site, sites);
        REFERENCE(j, "chip", x->chip, chips);
        json_out_bool(&j->to, "callable", callable);
        json_out_text(&j->to, "now", now);
        purposes(j, x->purpose);
        amount(j, "in_flight", x->limits.in_flight, x->limits.in_flight > 0);
        amount(j, "requests_per_s", x->limits.requests_per_s, x->limits.requests_per_s > 0);
        amount(j, "tokens_per_s", x->limits.tokens_per_s, x->limits.tokens_per_s > 0);
        if (x->share.n_steps)
            share(j, &x->share);
        if (x->shadow.on)
            shadow(j, &x->shadow);
        json_out_close(&j->to, "}");
    }
}

static void phases(struct json *j, const struct contract *c)
{
    json_out_open(&j->to, "phases", "[");
    for (int32_t i = 0; i < c->n_phases; i++) {
        const struct phase *ph = &c->phases[i];
        json_out_open(&j->to, NULL, "{");
        instant(j, "from", ph->from_us);
        instant(j, "until", ph->until_us);
        json_out_text(&j->to, "status", str_of(status_name(ph->status)));
        json_out_number(&j->to, "adds_w", ph->adds_w, DIGITS);
        json_out_text(&j->to, "load", ph->load_is_it ? STR("it") : STR("facility"));
        json_out_number(&j->to, "adds_accelerators", ph->adds_accelerators, DIGITS);
        json_out_number(&j->to, "adds_ptu", ph->adds_ptu, DIGITS);
        json_out_number(&j->to, "adds_tokens_per_s", ph->adds_token_rate, DIGITS);
        json_out_number(&j->to, "min_w", ph->min_w, DIGITS);
        json_out_number(&j->to, "max_w", ph->max_w, DIGITS);
        json_out_text(&j->to, "source", ph->source.text);
        json_out_close(&j->to, "}");
    }
    json_out_close(&j->to, "]");
}

static void commitment(struct json *j, const struct commitment *m)
{
    if (!(m->amount > 0)) {
        json_out_null(&j->to, "commitment");
        return;
    }
    json_out_open(&j->to, "commitment", "{");
    json_out_number(&j->to, "amount", m->amount, DIGITS);
    json_out_text(&j->to, "unit", str_of(commitment_unit_text(m->unit)));
    json_out_text(&j->to, "per", str_of(period_text(m->per)));
    json_out_text(&j->to, "beyond",
                  m->beyond_never ? STR("never")
                                  : (m->beyond_nusd_per_unit > 0 ? STR("price") : STR("list")));
    amount(j, "beyond_usd_per_unit", m->beyond_nusd_per_unit / 1e9, m->beyond_nusd_per_unit > 0);
    json_out_text(&j->to, "make_up", m->make_up);
    json_out_close(&j->to, "}");
}

static void contracts(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_contracts; i++) {
        const struct contract *c = &p->contracts[i];
        json_out_open(&j->to, NULL, "{");
        json_out_text(&j->to, "name", c->name);
        REFERENCE(j, "supplier", c->supplier, suppliers);
        REFERENCE(j, "part_of", c->part_of, contracts);
        json_out_text(&j->to, "status", str_of(status_name(c->status)));
        amount(j, "value_usd", (double)c->value_uusd / 1e6, c->value_uusd > 0);
        json_out_text(&j->to, "value_bound", c->value_note);
        instant(j, "signed", c->signed_us);
        instant(j, "from", c->from_us);
        instant(j, "until", c->until_us);
        purposes(j, c->purpose);
        commitment(j, &c->commitment);
        phases(j, c);
        amount(j, "ceiling_w", c->power_ceiling_w, c->power_ceiling_w > 0);
        json_out_bool(&j->to, "exclusive", c->exclusive);
        json_out_bool(&j->to, "first_refusal", c->first_refusal);
        json_out_number(&j->to, "options", c->n_options, DIGITS);
        json_out_text(&j->to, "source", c->source.text);
        json_out_text(&j->to, "note", c->note);
        json_out_close(&j->to, "}");
    }
}

static void committed_cells(struct json *j, const struct committed_cell *cells, int32_t year)
{
    for (int s = 0; s < STATUS_COUNT; s++) {
        const struct committed_cell *cell = &cells[s];
        if (!(cell->usd > 0) && !(cell->w > 0))
            continue;
        json_out_open(&j->to, NULL, "{");
        amount(j, "year", year, year > 0);
        json_out_text(&j->to, "status", str_of(status_name((enum status)s)));
        json_out_number(&j->to, "usd", cell->usd, DIGITS);
        json_out_bool(&j->to, "at_least", cell->at_least);
        json_out_bool(&j->to, "up_to", cell->up_to);
        json_out_number(&j->to, "w_at_end", cell->w, DIGITS);
        json_out_close(&j->to, "}");
    }
}

static void committed(struct json *j)
{
    const struct committed *k = j->v->committed;
    for (int32_t y = 0; y < k->n_years; y++)
        committed_cells(j, &k->cells[y * STATUS_COUNT], k->first_year + y);
    committed_cells(j, k->undated, 0);
}

static void servings(struct json *j, int32_t model)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct serving *s = pool_serving(&p->pools[i], model);
        if (!s)
            continue;
        const struct token_price *price = &s->price;
        int64_t cached = price->cached_input < 0 ? price->input : price->cached_input;
        json_out_open(&j->to, NULL, "{");
        json_out_text(&j->to, "pool", p->pools[i].name);
        json_out_text(&j->to, "as", s->as);
        amount(j, "context", serving_context(p, s), serving_context(p, s) > 0);
        amount(j, "input_usd_per_mtok", (double)price->input / 1e9, price->said);
        amount(j, "cached_input_usd_per_mtok", (double)cached / 1e9, price->said);
        amount(j, "output_usd_per_mtok", (double)price->output / 1e9, price->said);
        json_out_close(&j->to, "}");
    }
}

static void models(struct json *j)
{
    for (int32_t i = 0; i < j->v->p->n_models; i++) {
        json_out_open(&j->to, NULL, "{");
        json_out_text(&j->to, "name", j->v->p->models[i].name);
        json_out_open(&j->to, "served_by", "[");
        servings(j, i);
        json_out_close(&j->to, "]");
        json_out_close(&j->to, "}");
    }
}

static void groups(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_groups; i++) {
        json_out_open(&j->to, NULL, "{");
        json_out_text(&j->to, "name", p->groups[i].name);
        json_out_open(&j->to, "models", "[");
        for (int32_t m = 0; m < p->groups[i].n_models; m++)
            json_out_text(&j->to, NULL, p->models[p->groups[i].models[m]].name);
        json_out_close(&j->to, "]");
        json_out_close(&j->to, "}");
    }
}

static void classes(struct json *j)
{
    for (int32_t i = 0; i < j->v->p->n_classes; i++) {
        const struct class *c = &j->v->p->classes[i];
        json_out_open(&j->to, NULL, "{");
        json_out_text(&j->to, "name", c->name);
        amount(j, "ttft_s", (double)c->ttft_us / 1e6, c->ttft_us != NEVER);
        amount(j, "per_token_s", (double)c->per_token_us / 1e6, c->per_token_us != NEVER);
        amount(j, "deadline_s", (double)c->deadline_us / 1e6, c->deadline_us != NEVER);
        json_out_bool(&j->to, "deferred", c->deferred);
        amount(j, "unserved_usd", (double)c->unserved_nusd / 1e9, c->unserved_nusd >= 0);
        json_out_close(&j->to, "}");
    }
}

static void tenants(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_tenants; i++) {
        const struct tenant *t = &p->tenants[i];
        json_out_open(&j->to, NULL, "{");
        json_out_text(&j->to, "name", t->name);
        json_out_number(&j->to, "keys", t->n_keys, DIGITS);
        const struct allowance *a = &t->allowance;
        amount(j, "budget_day_usd", (double)a->budget_day_nusd / 1e9, a->budget_day_nusd >= 0);
        amount(j, "budget_month_usd", (double)a->budget_month_uusd / 1e6,
               a->budget_month_uusd >= 0);
        json_out_text(&j->to, "budget_kind", a->budget_hard ? STR("hard") : STR("forecast"));
        if (t->n_models < 0) {
            json_out_null(&j->to, "models");
        } else {
            json_out_open(&j->to, "models", "[");
            for (int32_t m = 0; m < t->n_models; m++)
                json_out_text(&j->to, NULL, p->models[t->models[m]].name);
            json_out_close(&j->to, "]");
        }
        if (t->n_classes < 0) {
            json_out_null(&j->to, "classes");
        } else {
            json_out_open(&j->to, "classes", "[");
            for (int32_t c = 0; c < t->n_classes; c++)
                json_out_text(&j->to, NULL, p->classes[t->classes[c]].name);
            json_out_close(&j->to, "]");
        }
        json_out_close(&j->to, "}");
    }
}

static void problems(struct json *j)
{
    for (const struct problem *x = j->v->problems->first; x; x = x->next) {
        json_out_open(&j->to, NULL, "{");
        json_out_text(&j->to, "severity",
                      x->severity == SEVERITY_ERROR ? STR("error") : STR("warning"));
        json_out_text(&j->to, "file", x->place.file);
        amount(j, "line", x->place.line, x->place.line > 0);
        amount(j, "column", x->place.column, x->place.line > 0);
        json_out_text(&j->to, "path", x->path);
        json_out_text(&j->to, "text", x->text);
        json_out_close(&j->to, "}");
    }
}

static void list(struct json *j, const char *name, void (*fill)(struct json *j))
{
    json_out_open(&j->to, name, "[");
    fill(j);
    json_out_close(&j->to, "]");
}

void check_json(struct buf *out, const struct check_view *v)
{
    struct json j = {.to = {.out = out, .p = v->p}, .v = v};
    json_out_open(&j.to, NULL, "{");
    json_out_number(&j.to, "caudal", 1, DIGITS);
    json_out_bool(&j.to, "right", v->problems->errors == 0);
    json_out_number(&j.to, "errors", v->problems->errors, DIGITS);
    json_out_number(&j.to, "warnings", v->problems->warnings, DIGITS);
    list(&j, "problems", problems);
    if (v->committed) {
        instant(&j, "at", v->now_us);
        json_out_open(&j.to, "serve", "{");
        json_out_text(&j.to, "host", v->p->serve.host);
        json_out_number(&j.to, "port", v->p->serve.port, DIGITS);
        json_out_text(&j.to, "policy", v->p->serve.policy);
        instant(&j, "certificate_until", v->clients_until_us);
        instant(&j, "admin_certificate_until", v->admin_until_us);
        json_out_close(&j.to, "}");
        list(&j, "suppliers", suppliers);
        list(&j, "pools", pools);
        list(&j, "contracts", contracts);
        list(&j, "committed", committed);
        list(&j, "models", models);
        list(&j, "groups", groups);
        list(&j, "classes", classes);
        list(&j, "tenants", tenants);
    }
    json_out_close(&j.to, "}");
    buf_lit(out, "\n");
}
