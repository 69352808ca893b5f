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
    text(j, "basis", tp->guessed ? STR("guess") : str_of(basis_name(tp->basis)));
    close(j, "}");
}

static void run(struct json *j, const struct tally *t)
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
    open(&j, "runs", "[");
    for (int32_t i = 0; i < v->n_runs; i++)
        run(&j, v->runs[i]);
    close(&j, "]");
    close(&j, "}");
    buf_lit(out, "\n");
}
