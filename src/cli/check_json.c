#include "cli/check_view.h"

#include "base/units.h"

#include <stdio.h>

struct json {
    struct buf *out;
    const struct check_view *v;
    bool comma;  // before the next value or key
};

static void punctuate(struct json *j)
{
    if (j->comma)
        buf_lit(j->out, ",");
    j->comma = false;
}

static void key(struct json *j, const char *name)
{
    punctuate(j);
    buf_printf(j->out, "\"%s\":", name);
}

static void open(struct json *j, const char *bracket)
{
    punctuate(j);
    buf_printf(j->out, "%s", bracket);
}

static void close(struct json *j, const char *bracket)
{
    buf_printf(j->out, "%s", bracket);
    j->comma = true;
}

// Every text goes through here, and so leaves without a secret.
static void value_text(struct json *j, struct str s)
{
    struct buf clean;
    buf_init(&clean, 1 << 20);
    punctuate(j);
    if (secrets_hide(&clean, j->v->p, s))
        buf_add_json(j->out, buf_str(&clean));
    else
        buf_lit(j->out, "\"***\"");
    buf_release(&clean);
    j->comma = true;
}

static void text(struct json *j, const char *name, struct str s)
{
    key(j, name);
    value_text(j, s);
}

static void number(struct json *j, const char *name, double v)
{
    key(j, name);
    buf_printf(j->out, "%.15g", v);
    j->comma = true;
}

static void boolean(struct json *j, const char *name, bool v)
{
    key(j, name);
    buf_printf(j->out, "%s", v ? "true" : "false");
    j->comma = true;
}

static void null(struct json *j, const char *name)
{
    key(j, name);
    buf_lit(j->out, "null");
    j->comma = true;
}

static void instant(struct json *j, const char *name, int64_t at_us)
{
    char t[UNIT_TEXT];
    if (at_us == 0 || at_us == NEVER)
        null(j, name);
    else
        text(j, name, str_of(unit_text_instant(t, at_us)));
}

static void amount(struct json *j, const char *name, double v, bool said)
{
    if (said)
        number(j, name, v);
    else
        null(j, name);
}

static void reference(struct json *j, const char *name, int32_t index, const struct str *of)
{
    if (index < 0)
        null(j, name);
    else
        text(j, name, *of);
}

#define REFERENCE(j, label, index, array) \
    reference((j), (label), (index), (index) < 0 ? NULL : &(j)->v->p->array[index].name)

static void purposes(struct json *j, uint32_t bits)
{
    key(j, "purpose");
    open(j, "[");
    if (bits & PURPOSE_INFERENCE)
        value_text(j, STR("inference"));
    if (bits & PURPOSE_TRAINING)
        value_text(j, STR("training"));
    close(j, "]");
}

static void suppliers(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_suppliers; i++) {
        const struct supplier *s = &p->suppliers[i];
        open(j, "{");
        text(j, "name", s->name);
        text(j, "api", str_of(api_name(s->api)));
        text(j, "url", url_shown(j->v->a, s->url));
        boolean(j, "has_key", s->key.n > 0);
        if (s->run.n_argv)
            text(j, "runs", s->run.argv[0]);
        close(j, "}");
    }
}

static void share(struct json *j, const struct pool_share *s)
{
    key(j, "share");
    open(j, "{");
    key(j, "steps");
    open(j, "[");
    for (int32_t i = 0; i < s->n_steps; i++) {
        punctuate(j);
        buf_printf(j->out, "%.9g", s->steps[i]);
        j->comma = true;
    }
    close(j, "]");
    number(j, "every_s", (double)s->every_us / 1e6);
    number(j, "errors", s->errors);
    number(j, "ttft", s->ttft);
    number(j, "per_token", s->per_token);
    number(j, "at_least", s->at_least);
    close(j, "}");
}

static void shadow(struct json *j, const struct pool_shadow *s)
{
    key(j, "shadow");
    open(j, "{");
    text(j, "of", j->v->p->pools[s->of].name);
    number(j, "share", s->share);
    amount(j, "at_most_usd_day", (double)s->at_most_nusd / 1e9, s->at_most_nusd >= 0);
    close(j, "}");
}

static void pools(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct pool *x = &p->pools[i];
        bool callable;
        struct str now = pool_now(j->v->a, p, x, j->v->now_us, &callable);
        open(j, "{");
        text(j, "name", x->name);
        REFERENCE(j, "supplier", x->supplier, suppliers);
        REFERENCE(j, "contract", x->contract, contracts);
        REFERENCE(j, "site", x->site, sites);
        REFERENCE(j, "chip", x->chip, chips);
        boolean(j, "callable", callable);
        text(j, "now", now);
        purposes(j, x->purpose);
        amount(j, "in_flight", x->limits.in_flight, x->limits.in_flight > 0);
        amount(j, "requests_per_s", x->limits.requests_per_s, x->limits.requests_per_s > 0);
        amount(j, "tokens_per_s", x->limits.tokens_per_s, x->limits.tokens_per_s > 0);
        if (x->share.n_steps)
            share(j, &x->share);
        if (x->shadow.on)
            shadow(j, &x->shadow);
        close(j, "}");
    }
}

static void phases(struct json *j, const struct contract *c)
{
    key(j, "phases");
    open(j, "[");
    for (int32_t i = 0; i < c->n_phases; i++) {
        const struct phase *ph = &c->phases[i];
        open(j, "{");
        instant(j, "from", ph->from_us);
        instant(j, "until", ph->until_us);
        text(j, "status", str_of(status_name(ph->status)));
        number(j, "adds_w", ph->adds_w);
        text(j, "load", ph->load_is_it ? STR("it") : STR("facility"));
        number(j, "adds_accelerators", ph->adds_accelerators);
        number(j, "adds_ptu", ph->adds_ptu);
        number(j, "adds_tokens_per_s", ph->adds_token_rate);
        number(j, "min_w", ph->min_w);
        number(j, "max_w", ph->max_w);
        text(j, "source", ph->source.text);
        close(j, "}");
    }
    close(j, "]");
}

static void commitment(struct json *j, const struct commitment *m)
{
    if (!(m->amount > 0)) {
        null(j, "commitment");
        return;
    }
    key(j, "commitment");
    open(j, "{");
    number(j, "amount", m->amount);
    text(j, "unit", str_of(commitment_unit_text(m->unit)));
    text(j, "per", str_of(period_text(m->per)));
    text(j, "beyond",
         m->beyond_never ? STR("never")
                         : (m->beyond_nusd_per_unit > 0 ? STR("price") : STR("list")));
    amount(j, "beyond_usd_per_unit", m->beyond_nusd_per_unit / 1e9, m->beyond_nusd_per_unit > 0);
    text(j, "make_up", m->make_up);
    close(j, "}");
}

static void contracts(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_contracts; i++) {
        const struct contract *c = &p->contracts[i];
        open(j, "{");
        text(j, "name", c->name);
        REFERENCE(j, "supplier", c->supplier, suppliers);
        REFERENCE(j, "part_of", c->part_of, contracts);
        text(j, "status", str_of(status_name(c->status)));
        amount(j, "value_usd", (double)c->value_uusd / 1e6, c->value_uusd > 0);
        text(j, "value_bound", c->value_note);
        instant(j, "signed", c->signed_us);
        instant(j, "from", c->from_us);
        instant(j, "until", c->until_us);
        purposes(j, c->purpose);
        commitment(j, &c->commitment);
        phases(j, c);
        amount(j, "ceiling_w", c->power_ceiling_w, c->power_ceiling_w > 0);
        boolean(j, "exclusive", c->exclusive);
        boolean(j, "first_refusal", c->first_refusal);
        number(j, "options", c->n_options);
        text(j, "source", c->source.text);
        text(j, "note", c->note);
        close(j, "}");
    }
}

static void committed_cells(struct json *j, const struct committed_cell *cells, int32_t year)
{
    for (int s = 0; s < STATUS_COUNT; s++) {
        const struct committed_cell *cell = &cells[s];
        if (!(cell->usd > 0) && !(cell->w > 0))
            continue;
        open(j, "{");
        amount(j, "year", year, year > 0);
        text(j, "status", str_of(status_name((enum status)s)));
        number(j, "usd", cell->usd);
        boolean(j, "at_least", cell->at_least);
        boolean(j, "up_to", cell->up_to);
        number(j, "w_at_end", cell->w);
        close(j, "}");
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
        open(j, "{");
        text(j, "pool", p->pools[i].name);
        text(j, "as", s->as);
        amount(j, "context", serving_context(p, s), serving_context(p, s) > 0);
        amount(j, "input_usd_per_mtok", (double)price->input / 1e9, price->said);
        amount(j, "cached_input_usd_per_mtok", (double)cached / 1e9, price->said);
        amount(j, "output_usd_per_mtok", (double)price->output / 1e9, price->said);
        close(j, "}");
    }
}

static void models(struct json *j)
{
    for (int32_t i = 0; i < j->v->p->n_models; i++) {
        open(j, "{");
        text(j, "name", j->v->p->models[i].name);
        key(j, "served_by");
        open(j, "[");
        servings(j, i);
        close(j, "]");
        close(j, "}");
    }
}

static void groups(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_groups; i++) {
        open(j, "{");
        text(j, "name", p->groups[i].name);
        key(j, "models");
        open(j, "[");
        for (int32_t m = 0; m < p->groups[i].n_models; m++)
            value_text(j, p->models[p->groups[i].models[m]].name);
        close(j, "]");
        close(j, "}");
    }
}

static void classes(struct json *j)
{
    for (int32_t i = 0; i < j->v->p->n_classes; i++) {
        const struct class *c = &j->v->p->classes[i];
        open(j, "{");
        text(j, "name", c->name);
        amount(j, "ttft_s", (double)c->ttft_us / 1e6, c->ttft_us != NEVER);
        amount(j, "per_token_s", (double)c->per_token_us / 1e6, c->per_token_us != NEVER);
        amount(j, "deadline_s", (double)c->deadline_us / 1e6, c->deadline_us != NEVER);
        boolean(j, "deferred", c->deferred);
        amount(j, "unserved_usd", (double)c->unserved_nusd / 1e9, c->unserved_nusd >= 0);
        close(j, "}");
    }
}

static void tenants(struct json *j)
{
    const struct portfolio *p = j->v->p;
    for (int32_t i = 0; i < p->n_tenants; i++) {
        const struct tenant *t = &p->tenants[i];
        open(j, "{");
        text(j, "name", t->name);
        number(j, "keys", t->n_keys);
        const struct allowance *a = &t->allowance;
        amount(j, "budget_day_usd", (double)a->budget_day_nusd / 1e9, a->budget_day_nusd >= 0);
        amount(j, "budget_month_usd", (double)a->budget_month_uusd / 1e6,
               a->budget_month_uusd >= 0);
        text(j, "budget_kind", a->budget_hard ? STR("hard") : STR("forecast"));
        if (t->n_models < 0) {
            null(j, "models");
        } else {
            key(j, "models");
            open(j, "[");
            for (int32_t m = 0; m < t->n_models; m++)
                value_text(j, p->models[t->models[m]].name);
            close(j, "]");
        }
        if (t->n_classes < 0) {
            null(j, "classes");
        } else {
            key(j, "classes");
            open(j, "[");
            for (int32_t c = 0; c < t->n_classes; c++)
                value_text(j, p->classes[t->classes[c]].name);
            close(j, "]");
        }
        close(j, "}");
    }
}

static void problems(struct json *j)
{
    for (const struct problem *x = j->v->problems->first; x; x = x->next) {
        open(j, "{");
        text(j, "severity", x->severity == SEVERITY_ERROR ? STR("error") : STR("warning"));
        text(j, "file", x->place.file);
        amount(j, "line", x->place.line, x->place.line > 0);
        amount(j, "column", x->place.column, x->place.line > 0);
        text(j, "path", x->path);
        text(j, "text", x->text);
        close(j, "}");
    }
}

static void list(struct json *j, const char *name, void (*fill)(struct json *j))
{
    key(j, name);
    open(j, "[");
    fill(j);
    close(j, "]");
}

void check_json(struct buf *out, const struct check_view *v)
{
    struct json j = {out, v, false};
    open(&j, "{");
    number(&j, "caudal", 1);
    boolean(&j, "right", v->problems->errors == 0);
    number(&j, "errors", v->problems->errors);
    number(&j, "warnings", v->problems->warnings);
    list(&j, "problems", problems);
    if (v->committed) {
        instant(&j, "at", v->now_us);
        key(&j, "serve");
        open(&j, "{");
        text(&j, "host", v->p->serve.host);
        number(&j, "port", v->p->serve.port);
        text(&j, "policy", v->p->serve.policy);
        instant(&j, "certificate_until", v->clients_until_us);
        instant(&j, "admin_certificate_until", v->admin_until_us);
        close(&j, "}");
        list(&j, "suppliers", suppliers);
        list(&j, "pools", pools);
        list(&j, "contracts", contracts);
        list(&j, "committed", committed);
        list(&j, "models", models);
        list(&j, "groups", groups);
        list(&j, "classes", classes);
        list(&j, "tenants", tenants);
    }
    close(&j, "}");
    buf_lit(out, "\n");
}
