#include "cli/replay_view.h"

#include "portfolio/check.h"

#include <stdio.h>

// Names are those of docs/simulation.md; times in us, money in nano-dollars, energy in joules.

struct json {
    struct buf *out;
    const struct replay_view *v;
    bool comma;
};

static void key(struct json *j, const char *name)
{
    buf_printf(j->out, "%s\"%s\":", j->comma ? "," : "", name);
    j->comma = false;
}

static void open(struct json *j, const char *name, const char *bracket)
{
    if (name)
        key(j, name);
    else if (j->comma)
        buf_lit(j->out, ",");
    buf_printf(j->out, "%s", bracket);
    j->comma = false;
}

static void close(struct json *j, const char *bracket)
{
    buf_printf(j->out, "%s", bracket);
    j->comma = true;
}

static void number(struct json *j, const char *name, int64_t v)
{
    key(j, name);
    buf_printf(j->out, "%lld", (long long)v);
    j->comma = true;
}

static void real(struct json *j, const char *name, double v)
{
    key(j, name);
    buf_printf(j->out, "%.12g", v);
    j->comma = true;
}

static void text(struct json *j, const char *name, struct str s)
{
    struct buf clean;
    buf_init(&clean, 1 << 20);
    key(j, name);
    if (secrets_hide(&clean, j->v->p, s))
        buf_add_json(j->out, buf_str(&clean));
    else
        buf_lit(j->out, "\"***\"");
    buf_release(&clean);
    j->comma = true;
}

static void truth(struct json *j, const char *name, bool v)
{
    key(j, name);
    buf_printf(j->out, "%s", v ? "true" : "false");
    j->comma = true;
}

static void times(struct json *j, const char *name, const struct hist *h)
{
    if (h->count == 0)
        return;
    open(j, name, "{");
    number(j, "count", (int64_t)h->count);
    real(j, "mean", hist_mean(h));
    number(j, "min", h->min);
    number(j, "p50", hist_quantile(h, 0.5));
    number(j, "p90", hist_quantile(h, 0.9));
    number(j, "p99", hist_quantile(h, 0.99));
    number(j, "p999", hist_quantile(h, 0.999));
    number(j, "max", h->max);
    close(j, "}");
}

static void cell(struct json *j, const struct tally_cell *c)
{
    number(j, "requests", c->requests);
    number(j, "answered", c->answered);
    number(j, "refused", c->refused);
    number(j, "expired", c->expired);
    number(j, "failed", c->failed);
    number(j, "with_target", c->with_target);
    number(j, "good", c->good);
    number(j, "prompt_tok", c->prompt_tok);
    number(j, "cached_tok", c->cached_tok);
    number(j, "output_tok", c->output_tok);
    number(j, "list_nusd", c->list_nusd);
    real(j, "waiting_nusd", c->waiting_nusd);
    real(j, "unserved_nusd", c->unserved_nusd);
    real(j, "joules", c->joules);
    times(j, "ttft_us", &c->times.ttft);
    times(j, "per_token_us", &c->times.per_token);
    times(j, "total_us", &c->times.total);
}

static void named_cell(struct json *j, struct str name, const struct tally_cell *c)
{
    if (c->requests == 0)
        return;
    open(j, NULL, "{");
    text(j, "name", name);
    cell(j, c);
    close(j, "}");
}

static void pool(struct json *j, const struct tally *t, int32_t i)
{
    const struct portfolio *p = j->v->p;
    const struct tally_pool *tp = &t->pool[i];
    open(j, NULL, "{");
    text(j, "name", p->pools[i].name);
    if (p->pools[i].contract >= 0)
        text(j, "contract", p->contracts[p->pools[i].contract].name);
    cell(j, &t->pools[i]);
    number(j, "attempts", t->pools[i].attempts);
    number(j, "faults", t->pools[i].faults);
    number(j, "slots", tp->slots);
    number(j, "slots_most", tp->most);
    number(j, "queue_most", tp->waiting_most);
    real(j, "busy", tp->span_us > 0 && tp->slots ? tp->held_us / tp->span_us / tp->slots : 0);
    if (tp->has_power)
        real(j, "idle_joules", tp->idle_joules);
    if (p->pools[i].site >= 0)
        real(j, "carbon_g",
             (t->pools[i].joules + tp->idle_joules) *
                 p->sites[p->pools[i].site].carbon_g_per_joule);
    text(j, "basis", tp->guessed ? STR("guess") : str_of(basis_name(tp->basis)));
    close(j, "}");
}

static void contract(struct json *j, const struct tally *t, int32_t i)
{
    static const char *const units[] = {"USD", "tokens", "accelerator-hours", "MW-months", "PTU"};
    const struct contract *c = &j->v->p->contracts[i];
    const struct account_drawn *d = &t->drawn[i];
    if (!(c->commitment.amount > 0))
        return;
    open(j, NULL, "{");
    text(j, "name", c->name);
    text(j, "unit", str_of(units[c->commitment.unit]));
    real(j, "prepaid", d->amount);
    real(j, "used", d->used);
    real(j, "stranded", d->stranded);
    real(j, "beyond", d->beyond);
    real(j, "beyond_nusd", d->beyond_nusd);
    real(j, "list_nusd", d->list_nusd);
    close(j, "}");
}

static void site(struct json *j, const struct tally *t, int32_t i)
{
    const struct tally_site *s = &t->sites[i];
    if (s->joules + s->idle_joules == 0)
        return;
    open(j, NULL, "{");
    text(j, "name", i < j->v->p->n_sites ? j->v->p->sites[i].name : STR("(none)"));
    real(j, "joules", s->joules);
    real(j, "idle_joules", s->idle_joules);
    real(j, "energy_nusd", s->energy_nusd);
    real(j, "carbon_g", s->carbon_g);
    real(j, "peak_w", s->peak_w);
    close(j, "}");
}

static void account(struct json *j, const char *name, const struct account_cost *c)
{
    open(j, name, "{");
    real(j, "list_nusd", c->list);
    real(j, "beyond_nusd", c->beyond);
    real(j, "power_nusd", c->power);
    real(j, "carbon_nusd", c->carbon);
    real(j, "waiting_nusd", c->waiting);
    real(j, "unserved_nusd", c->unserved);
    real(j, "imputed_nusd", c->imputed);
    real(j, "stand_in_nusd", c->stand_in);
    real(j, "all_nusd", account_total(c));
    close(j, "}");
}

static void regret(struct json *j, int32_t i)
{
    struct replay_regret r = replay_regret(j->v, i);
    account(j, "cost", &j->v->runs[i]->account.cost);
    open(j, "regret", "{");
    real(j, "nusd", r.regret);
    real(j, "of_bound", r.of_bound);
    if (r.has_naive)
        real(j, "of_naive", r.of_naive);
    real(j, "forecast_nusd", r.forecast);
    real(j, "online_nusd", r.online);
    real(j, "queueing_nusd", r.queueing);
    close(j, "}");
}

static void bound(struct json *j)
{
    const struct bound *b = j->v->bound;
    open(j, "bound", "{");
    real(j, "nusd", b->nusd);
    real(j, "program_nusd", b->program_nusd);
    real(j, "program_scaled", b->program_scaled);
    text(j, "status", str_of(b->status));
    number(j, "bucket_us", b->bucket_us);
    number(j, "groups", b->groups);
    number(j, "rows", b->rows);
    number(j, "columns", b->columns);
    number(j, "requests", b->requests);
    account(j, "list_cheapest", &j->v->naive->account.cost);
    close(j, "}");
}

static void run(struct json *j, const struct tally *t, int32_t index)
{
    const struct portfolio *p = j->v->p;
    open(j, NULL, "{");
    text(j, "policy", str_of(t->policy));
    truth(j, "partial", t->partial);
    cell(j, &t->all);
    number(j, "unknown_model", t->unknown);
    number(j, "open", t->open);
    number(j, "waited", t->waited);
    number(j, "line_full", t->line_full);
    number(j, "cut", t->cut);
    number(j, "under_way_most", t->in_flight_most);
    number(j, "line_most", t->waiting_most);
    number(j, "span_us", t->arrivals_us);
    number(j, "ended_us", t->ended_us);
    real(j, "peak_w", t->peak_w);
    real(j, "carbon_g", t->carbon_g);
    real(j, "carbon_nusd", t->carbon_nusd);
    real(j, "energy_nusd", t->energy_nusd);
    open(j, "refused_because", "{");
    for (int i = 1; i <= ROUTE_BAR_MODEL; i++)
        if (t->bars[i])
            number(j, route_bar_text((enum route_bar)i), t->bars[i]);
    close(j, "}");
    open(j, "classes", "[");
    for (int32_t i = 0; i <= p->n_classes; i++)
        named_cell(j, i < p->n_classes ? p->classes[i].name : STR("(none)"), &t->classes[i]);
    close(j, "]");
    open(j, "pools", "[");
    for (int32_t i = 0; i < p->n_pools; i++)
        pool(j, t, i);
    close(j, "]");
    open(j, "contracts", "[");
    for (int32_t i = 0; i < p->n_contracts; i++)
        contract(j, t, i);
    close(j, "]");
    open(j, "sites", "[");
    for (int32_t i = 0; i <= p->n_sites; i++)
        site(j, t, i);
    close(j, "]");
    if (j->v->bound)
        regret(j, index);
    if (p->n_tenants) {
        open(j, "tenants", "[");
        for (int32_t i = 0; i <= p->n_tenants; i++)
            named_cell(j, i < p->n_tenants ? p->tenants[i].name : STR("(none)"), &t->tenants[i]);
        close(j, "]");
    }
    close(j, "}");
}

void replay_json(struct buf *out, const struct replay_view *v)
{
    struct json j = {.out = out, .v = v};
    const struct tally *t = v->runs[0];
    open(&j, NULL, "{");
    text(&j, "trace", v->trace);
    number(&j, "seed", (int64_t)v->seed);
    number(&j, "begins_us", t->wall_us);
    number(&j, "faulty_lines", t->skipped);
    number(&j, "before_from", t->outside);
    number(&j, "unknown_classes", t->unknown_classes);
    number(&j, "unknown_tenants", t->unknown_tenants);
    open(&j, "unknown_models", "[");
    for (int32_t i = 0; i < t->n_unknowns; i++) {
        open(&j, NULL, "{");
        text(&j, "name", t->unknowns[i].name);
        number(&j, "requests", t->unknowns[i].count);
        close(&j, "}");
    }
    close(&j, "]");
    if (v->bound)
        bound(&j);
    open(&j, "runs", "[");
    for (int32_t i = 0; i < v->n_runs; i++)
        run(&j, v->runs[i], i);
    close(&j, "]");
    close(&j, "}");
    buf_lit(out, "\n");
}
