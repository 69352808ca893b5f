#include "cli/json_out.h"
#include "cli/replay_seeds.h"
#include "cli/replay_view.h"

#include "portfolio/check.h"

#include <stdio.h>

// Names are those of docs/simulation.md; times in us, money in nano-dollars, energy in joules.

enum { DIGITS = 12 };

struct json {
    struct json_out to;
    const struct replay_view *v;
};

static void times(struct json *j, const char *name, const struct hist *h)
{
    if (h->count == 0)
        return;
    json_out_open(&j->to, name, "{");
    json_out_count(&j->to, "count", (int64_t)h->count);
    json_out_number(&j->to, "mean", hist_mean(h), DIGITS);
    json_out_count(&j->to, "min", h->min);
    json_out_count(&j->to, "p50", hist_quantile(h, 0.5));
    json_out_count(&j->to, "p90", hist_quantile(h, 0.9));
    json_out_count(&j->to, "p99", hist_quantile(h, 0.99));
    json_out_count(&j->to, "p999", hist_quantile(h, 0.999));
    json_out_count(&j->to, "max", h->max);
    json_out_close(&j->to, "}");
}

static void cell(struct json *j, const struct tally_cell *c)
{
    json_out_count(&j->to, "requests", c->requests);
    json_out_count(&j->to, "answered", c->answered);
    json_out_count(&j->to, "refused", c->refused);
    json_out_count(&j->to, "expired", c->expired);
    json_out_count(&j->to, "failed", c->failed);
    json_out_count(&j->to, "with_target", c->with_target);
    json_out_count(&j->to, "good", c->good);
    json_out_count(&j->to, "prompt_tok", c->prompt_tok);
    json_out_count(&j->to, "cached_tok", c->cached_tok);
    json_out_count(&j->to, "output_tok", c->output_tok);
    json_out_count(&j->to, "list_nusd", c->list_nusd);
    json_out_number(&j->to, "waiting_nusd", c->waiting_nusd, DIGITS);
    json_out_number(&j->to, "unserved_nusd", c->unserved_nusd, DIGITS);
    json_out_number(&j->to, "joules", c->joules, DIGITS);
    times(j, "ttft_us", &c->times.ttft);
    times(j, "per_token_us", &c->times.per_token);
    times(j, "total_us", &c->times.total);
}

static void named_cell(struct json *j, struct str name, const struct tally_cell *c)
{
    if (c->requests == 0)
        return;
    json_out_open(&j->to, NULL, "{");
    json_out_text(&j->to, "name", name);
    cell(j, c);
    json_out_close(&j->to, "}");
}

static void pool(struct json *j, const struct tally *t, int32_t i)
{
    const struct portfolio *p = j->v->p;
    const struct tally_pool *tp = &t->pool[i];
    json_out_open(&j->to, NULL, "{");
    json_out_text(&j->to, "name", p->pools[i].name);
    if (p->pools[i].contract >= 0)
        json_out_text(&j->to, "contract", p->contracts[p->pools[i].contract].name);
    cell(j, &t->pools[i]);
    json_out_count(&j->to, "attempts", t->pools[i].attempts);
    json_out_count(&j->to, "faults", t->pools[i].faults);
    json_out_count(&j->to, "slots", tp->slots);
    json_out_count(&j->to, "slots_most", tp->most);
    json_out_count(&j->to, "queue_most", tp->waiting_most);
    json_out_number(&j->to, "busy",
                    tp->span_us > 0 && tp->slots ? tp->held_us / tp->span_us / tp->slots : 0,
                    DIGITS);
    if (tp->has_power)
        json_out_number(&j->to, "idle_joules", tp->idle_joules, DIGITS);
    if (p->pools[i].site >= 0)
        json_out_number(&j->to, "carbon_g", tp->carbon_g, DIGITS);
    json_out_text(&j->to, "basis", tp->guessed ? STR("guess") : str_of(basis_name(tp->basis)));
    if (tp->long_prompts) {
        json_out_count(&j->to, "prompts_beyond_measured", tp->long_prompts);
        json_out_count(&j->to, "measured_prompt", tp->seen_prompt_tok);
    }
    if (tp->seen_batch)
        json_out_count(&j->to, "measured_batch", tp->seen_batch);
    json_out_close(&j->to, "}");
}

static void contract(struct json *j, const struct tally *t, int32_t i)
{
    static const char *const units[] = {"USD", "tokens", "accelerator-hours", "MW-months", "PTU"};
    const struct contract *c = &j->v->p->contracts[i];
    const struct account_drawn *d = &t->drawn[i];
    if (!(c->commitment.amount > 0))
        return;
    json_out_open(&j->to, NULL, "{");
    json_out_text(&j->to, "name", c->name);
    json_out_text(&j->to, "unit", str_of(units[c->commitment.unit]));
    json_out_number(&j->to, "used_before", t->begun[i].used, DIGITS);
    json_out_text(&j->to, "used_before_is", t->begun[i].said ? STR("said") : STR("even pace"));
    json_out_number(&j->to, "gone_before", t->begun[i].gone, DIGITS);
    json_out_number(&j->to, "prepaid", d->amount, DIGITS);
    json_out_number(&j->to, "used", d->used, DIGITS);
    json_out_number(&j->to, "stranded", d->stranded, DIGITS);
    json_out_number(&j->to, "stranded_nusd", replay_stranded_nusd(c, d), DIGITS);
    json_out_number(&j->to, "beyond", d->beyond, DIGITS);
    json_out_number(&j->to, "beyond_nusd", d->beyond_nusd, DIGITS);
    json_out_number(&j->to, "list_nusd", d->list_nusd, DIGITS);
    json_out_close(&j->to, "}");
}

static void site(struct json *j, const struct tally *t, int32_t i)
{
    const struct tally_site *s = &t->sites[i];
    if (s->joules + s->idle_joules == 0)
        return;
    json_out_open(&j->to, NULL, "{");
    json_out_text(&j->to, "name", i < j->v->p->n_sites ? j->v->p->sites[i].name : STR("(none)"));
    json_out_number(&j->to, "joules", s->joules, DIGITS);
    json_out_number(&j->to, "idle_joules", s->idle_joules, DIGITS);
    json_out_number(&j->to, "energy_nusd", s->energy_nusd, DIGITS);
    json_out_number(&j->to, "carbon_g", s->carbon_g, DIGITS);
    json_out_number(&j->to, "peak_w", s->peak_w, DIGITS);
    json_out_close(&j->to, "}");
}

static void account(struct json *j, const char *name, const struct account_cost *c)
{
    json_out_open(&j->to, name, "{");
    json_out_number(&j->to, "list_nusd", c->list, DIGITS);
    json_out_number(&j->to, "beyond_nusd", c->beyond, DIGITS);
    json_out_number(&j->to, "power_nusd", c->power, DIGITS);
    json_out_number(&j->to, "carbon_nusd", c->carbon, DIGITS);
    json_out_number(&j->to, "waiting_nusd", c->waiting, DIGITS);
    json_out_number(&j->to, "unserved_nusd", c->unserved, DIGITS);
    json_out_number(&j->to, "imputed_nusd", c->imputed, DIGITS);
    json_out_number(&j->to, "stand_in_nusd", c->stand_in, DIGITS);
    json_out_number(&j->to, "all_nusd", account_total(c), DIGITS);
    json_out_close(&j->to, "}");
}

static void regret(struct json *j, int32_t i)
{
    struct replay_regret r = replay_regret(j->v, i);
    account(j, "cost", &j->v->runs[i]->account.cost);
    json_out_open(&j->to, "regret", "{");
    json_out_number(&j->to, "nusd", r.regret, DIGITS);
    json_out_number(&j->to, "of_bound", r.of_bound, DIGITS);
    if (r.has_naive)
        json_out_number(&j->to, "of_naive", r.of_naive, DIGITS);
    json_out_number(&j->to, "forecast_nusd", r.forecast, DIGITS);
    json_out_number(&j->to, "online_nusd", r.online, DIGITS);
    json_out_number(&j->to, "queueing_nusd", r.queueing, DIGITS);
    json_out_close(&j->to, "}");
}

static void bound(struct json *j)
{
    const struct bound *b = j->v->bound;
    json_out_open(&j->to, "bound", "{");
    json_out_number(&j->to, "nusd", b->nusd, DIGITS);
    json_out_number(&j->to, "program_nusd", b->program_nusd, DIGITS);
    json_out_number(&j->to, "program_scaled", b->program_scaled, DIGITS);
    json_out_text(&j->to, "status", str_of(b->status));
    json_out_count(&j->to, "bucket_us", b->bucket_us);
    json_out_count(&j->to, "groups", b->groups);
    json_out_count(&j->to, "rows", b->rows);
    json_out_count(&j->to, "columns", b->columns);
    json_out_count(&j->to, "requests", b->requests);
    account(j, "list_cheapest", &j->v->naive->account.cost);
    json_out_close(&j->to, "}");
}

static void run(struct json *j, const struct tally *t, int32_t index)
{
    const struct portfolio *p = j->v->p;
    struct replay_commitments paid = replay_commitments(t);
    json_out_open(&j->to, NULL, "{");
    json_out_text(&j->to, "policy", str_of(t->policy));
    json_out_bool(&j->to, "partial", t->partial);
    cell(j, &t->all);
    json_out_count(&j->to, "unknown_model", t->unknown);
    json_out_count(&j->to, "open", t->open);
    json_out_count(&j->to, "waited", t->waited);
    json_out_count(&j->to, "line_full", t->line_full);
    json_out_count(&j->to, "cut", t->cut);
    json_out_count(&j->to, "under_way_most", t->in_flight_most);
    json_out_count(&j->to, "line_most", t->waiting_most);
    json_out_count(&j->to, "span_us", t->arrivals_us);
    json_out_count(&j->to, "ended_us", t->ended_us);
    json_out_number(&j->to, "peak_w", t->peak_w, DIGITS);
    json_out_number(&j->to, "carbon_g", t->carbon_g, DIGITS);
    json_out_number(&j->to, "carbon_nusd", t->carbon_nusd, DIGITS);
    json_out_number(&j->to, "energy_nusd", t->energy_nusd, DIGITS);
    json_out_number(&j->to, "stranded_nusd", paid.stranded_nusd, DIGITS);
    json_out_number(&j->to, "beyond_nusd", paid.beyond_nusd, DIGITS);
    json_out_open(&j->to, "refused_because", "{");
    for (int i = 1; i <= ROUTE_BAR_MODEL; i++)
        if (t->bars[i])
            json_out_count(&j->to, route_bar_text((enum route_bar)i), t->bars[i]);
    json_out_close(&j->to, "}");
    json_out_open(&j->to, "classes", "[");
    for (int32_t i = 0; i <= p->n_classes; i++)
        named_cell(j, i < p->n_classes ? p->classes[i].name : STR("(none)"), &t->classes[i]);
    json_out_close(&j->to, "]");
    json_out_open(&j->to, "pools", "[");
    for (int32_t i = 0; i < p->n_pools; i++)
        pool(j, t, i);
    json_out_close(&j->to, "]");
    json_out_open(&j->to, "contracts", "[");
    for (int32_t i = 0; i < p->n_contracts; i++)
        contract(j, t, i);
    json_out_close(&j->to, "]");
    json_out_open(&j->to, "sites", "[");
    for (int32_t i = 0; i <= p->n_sites; i++)
        site(j, t, i);
    json_out_close(&j->to, "]");
    if (j->v->bound)
        regret(j, index);
    if (p->n_tenants) {
        json_out_open(&j->to, "tenants", "[");
        for (int32_t i = 0; i <= p->n_tenants; i++)
            named_cell(j, i < p->n_tenants ? p->tenants[i].name : STR("(none)"), &t->tenants[i]);
        json_out_close(&j->to, "]");
    }
    json_out_close(&j->to, "}");
}

void replay_json(struct buf *out, const struct replay_view *v)
{
    struct json j = {.to = {.out = out, .p = v->p}, .v = v};
    const struct tally *t = v->runs[0];
    json_out_open(&j.to, NULL, "{");
    json_out_text(&j.to, "trace", v->trace);
    json_out_count(&j.to, "seed", (int64_t)v->seed);
    if (v->partial)
        json_out_bool(&j.to, "partial", true);
    json_out_count(&j.to, "begins_us", t->wall_us);
    json_out_count(&j.to, "faulty_lines", t->skipped);
    json_out_count(&j.to, "before_from", t->outside);
    json_out_count(&j.to, "unknown_classes", t->unknown_classes);
    json_out_count(&j.to, "unknown_tenants", t->unknown_tenants);
    json_out_open(&j.to, "unknown_models", "[");
    for (int32_t i = 0; i < t->n_unknowns; i++) {
        json_out_open(&j.to, NULL, "{");
        json_out_text(&j.to, "name", t->unknowns[i].name);
        json_out_count(&j.to, "requests", t->unknowns[i].count);
        json_out_close(&j.to, "}");
    }
    json_out_close(&j.to, "]");
    if (v->bound)
        bound(&j);
    if (v->figures)
        replay_seeds_json(&j.to, v);
    json_out_open(&j.to, "runs", "[");
    for (int32_t i = 0; i < v->n_runs; i++)
        run(&j, v->runs[i], i);
    json_out_close(&j.to, "]");
    json_out_close(&j.to, "}");
    buf_lit(out, "\n");
}
