#include "cli/replay_view.h"

#include "base/units.h"
#include "cli/replay_rows.h"
#include "cli/replay_seeds.h"

#include <stdio.h>

// First all policies side by side, then each for itself: by class, by pool, by contract, by tenant.

double replay_joules(const struct tally *t)
{
    double joules = t->all.joules;
    for (int32_t i = 0; i < t->p->n_pools; i++)
        joules += t->pool[i].idle_joules;
    return joules;
}

// --- side by side -----------------------------------------------------------------------------

static void overview(struct buf *out, const struct replay_view *v)
{
    struct columns c;
    columns_init(&c, v->arena);
    columns_row(&c, "policy", "requests", "answered", "good", "refused", "expired", "failed",
                "waited", "ttft p50", "p99", "total p50", "p99", NULL);
    for (int32_t i = 0; i < v->n_runs; i++) {
        const struct tally *t = v->runs[i];
        const struct tally_cell *a = &t->all;
        struct cells r = {.n = 0};
        bool any = a->answered > 0;
        cells_add_text(&r, str_of(t->policy));
        cells_add_count(&r, a->requests);
        cells_add_share(&r, a->answered, a->requests);
        cells_add_share(&r, a->good, a->with_target);
        cells_add_count(&r, a->refused);
        cells_add_count(&r, a->expired);
        cells_add_count(&r, a->failed);
        cells_add_count(&r, t->waited);
        cells_add_us(&r, hist_quantile(&a->times.ttft, 0.5), any);
        cells_add_us(&r, hist_quantile(&a->times.ttft, 0.99), any);
        cells_add_us(&r, hist_quantile(&a->times.total, 0.5), any);
        cells_add_us(&r, hist_quantile(&a->times.total, 0.99), any);
        cells_row(&c, &r);
    }
    table_print(out, &c, 1);
}

static void costs(struct buf *out, const struct replay_view *v)
{
    struct columns c;
    columns_init(&c, v->arena);
    bool carbon = v->p->serve.carbon_nusd_per_g > 0;
    columns_row(&c, "policy", "list", carbon ? "power, carbon" : "power bill", "waiting",
                "unserved", "all four", "stranded", "beyond", "energy", "of it idle", "carbon",
                "peak", NULL);
    for (int32_t i = 0; i < v->n_runs; i++) {
        const struct tally *t = v->runs[i];
        const struct tally_cell *a = &t->all;
        struct cells r = {.n = 0};
        double joules = replay_joules(t), power_nusd = t->energy_nusd + t->carbon_nusd;
        struct replay_commitments paid = replay_commitments(t);
        cells_add_text(&r, str_of(t->policy));
        cells_add_usd(&r, (double)a->list_nusd);
        cells_add_usd(&r, power_nusd);
        cells_add_usd(&r, a->waiting_nusd);
        cells_add_usd(&r, a->unserved_nusd);
        cells_add_usd(&r, (double)a->list_nusd + power_nusd + a->waiting_nusd + a->unserved_nusd);
        cells_add_usd(&r, paid.stranded_nusd);
        cells_add_usd(&r, paid.beyond_nusd);
        cells_add_si(&r, joules / 3600, "Wh");
        cells_add_si(&r, (joules - a->joules) / 3600, "Wh");
        cells_add_si(&r, t->carbon_g, "g");
        cells_add_si(&r, t->peak_w, "W");
        cells_row(&c, &r);
    }
    table_print(out, &c, 1);
}

// --- one policy -------------------------------------------------------------------------------

struct named {
    struct str name;
    const struct tally_cell *cell;
};

static void times_rows(struct columns *c, const struct named *n)
{
    static const char *const words[] = {"ttft", "per token", "total"};
    const struct hist *all[] = {&n->cell->times.ttft, &n->cell->times.per_token,
                                &n->cell->times.total};
    for (size_t i = 0; i < COUNTOF(all); i++) {
        const struct hist *h = all[i];
        struct cells r = {.n = 0};
        if (h->count == 0)
            continue;
        cells_add_text(&r, i ? STR("") : n->name);
        cells_add_text(&r, str_of(words[i]));
        cells_add_us(&r, (int64_t)(hist_mean(h) + 0.5), true);
        cells_add_us(&r, hist_quantile(h, 0.5), true);
        cells_add_us(&r, hist_quantile(h, 0.9), true);
        cells_add_us(&r, hist_quantile(h, 0.99), true);
        cells_add_us(&r, hist_quantile(h, 0.999), true);
        cells_add_us(&r, h->max, true);
        cells_row(c, &r);
    }
}

static void counts_row(struct columns *c, const struct named *n)
{
    const struct tally_cell *x = n->cell;
    struct cells r = {.n = 0};
    cells_add_text(&r, n->name);
    cells_add_count(&r, x->requests);
    cells_add_share(&r, x->answered, x->requests);
    cells_add_share(&r, x->good, x->with_target);
    cells_add_count(&r, x->refused);
    cells_add_count(&r, x->expired);
    cells_add_count(&r, x->failed);
    cells_add_count(&r, x->prompt_tok);
    cells_add_count(&r, x->cached_tok);
    cells_add_count(&r, x->output_tok);
    cells_add_usd(&r, (double)x->list_nusd);
    cells_add_usd(&r, x->waiting_nusd);
    cells_row(c, &r);
}

static void cells(struct buf *out, const struct replay_view *v, const char *what,
                  const struct named *all, int32_t n, bool with_counts)
{
    struct columns counts, times;
    columns_init(&counts, v->arena);
    columns_init(&times, v->arena);
    columns_row(&counts, what, "requests", "answered", "good", "refused", "expired", "failed",
                "prompt tok", "cached", "output tok", "list", "waiting", NULL);
    columns_row(&times, what, "", "mean", "p50", "p90", "p99", "p99.9", "most", NULL);
    int32_t shown = 0, timed = 0;
    for (int32_t i = 0; i < n; i++) {
        if (all[i].cell->requests == 0)
            continue;
        shown++;
        timed += all[i].cell->answered > 0;
        counts_row(&counts, &all[i]);
        times_rows(&times, &all[i]);
    }
    if (shown && with_counts)
        table_print(out, &counts, 1);
    if (timed)
        table_print(out, &times, 3);
}

static void pools(struct buf *out, const struct replay_view *v, const struct tally *t)
{
    struct columns c;
    columns_init(&c, v->arena);
    columns_row(&c, "pool", "answered", "of all", "faults", "prompt tok", "output tok", "list",
                "busy", "most", "queue", "energy", "carbon", "speed is", NULL);
    for (int32_t i = 0; i < v->p->n_pools; i++) {
        const struct tally_cell *x = &t->pools[i];
        const struct tally_pool *tp = &t->pool[i];
        struct cells r = {.n = 0};
        cells_add_text(&r, v->p->pools[i].name);
        cells_add_count(&r, x->answered);
        cells_add_share(&r, x->answered, t->all.answered);
        cells_add_count(&r, x->faults);
        cells_add_count(&r, x->prompt_tok);
        cells_add_count(&r, x->output_tok);
        cells_add_usd(&r, (double)x->list_nusd);
        snprintf(cells_next(&r), CELL_BYTES, "%.1f%%",
                 tp->span_us > 0 && tp->slots ? 100 * tp->held_us / tp->span_us / tp->slots : 0);
        snprintf(cells_next(&r), CELL_BYTES, "%d/%d", (int)tp->most, (int)tp->slots);
        cells_add_count(&r, tp->waiting_most);
        cells_add_si(&r, (x->joules + tp->idle_joules) / 3600, "Wh");
        cells_add_si(&r, tp->carbon_g, "g");
        cells_add_text(&r, str_of(tp->guessed ? "a guess" : basis_name(tp->basis)));
        cells_row(&c, &r);
    }
    table_print(out, &c, 1 | 1 << 12);
}

static void sites(struct buf *out, const struct replay_view *v, const struct tally *t)
{
    struct columns c;
    columns_init(&c, v->arena);
    columns_row(&c, "site", "energy", "of it idle", "power bill", "carbon", "peak", NULL);
    for (int32_t i = 0; i <= v->p->n_sites; i++) {
        const struct tally_site *s = &t->sites[i];
        struct cells r = {.n = 0};
        if (s->joules + s->idle_joules == 0)
            continue;
        cells_add_text(&r, i < v->p->n_sites ? v->p->sites[i].name : STR("(none)"));
        cells_add_si(&r, (s->joules + s->idle_joules) / 3600, "Wh");
        cells_add_si(&r, s->idle_joules / 3600, "Wh");
        cells_add_usd(&r, s->energy_nusd);
        cells_add_si(&r, s->carbon_g, "g");
        cells_add_si(&r, s->peak_w, "W");
        cells_row(&c, &r);
    }
    if (c.first != c.last)
        table_print(out, &c, 1);
}

static void losses(struct buf *out, const struct tally *t)
{
    for (int i = 1; i <= ROUTE_BAR_MODEL; i++) {
        int64_t n = t->bars[i] - (i == ROUTE_BAR_MODEL ? t->unknown : 0);
        if (n)
            buf_printf(out, "  %lld refused: %s\n", (long long)n,
                       route_bar_text((enum route_bar)i));
    }
    if (t->line_full)
        buf_printf(out, "  %lld refused: the waiting line was full\n", (long long)t->line_full);
    if (t->cut)
        buf_printf(out, "  %lld failed: the answer broke off, its pool died\n", (long long)t->cut);
    if (t->open)
        buf_printf(out, "  %lld were under way when it was stopped\n", (long long)t->open);
}

// Nothing is extrapolated silently.
static void beyond(struct buf *out, const struct replay_view *v, const struct tally *t)
{
    for (int32_t i = 0; i < v->p->n_pools; i++) {
        const struct tally_pool *tp = &t->pool[i];
        if (tp->long_prompts)
            buf_printf(out,
                       "beyond what was measured: " STR_FMT " was sent %lld prompts longer than %d "
                       "tokens; their times are extrapolated\n",
                       STR_ARG(v->p->pools[i].name), (long long)tp->long_prompts,
                       (int)tp->seen_prompt_tok);
        if (tp->seen_batch)
            buf_printf(out,
                       "beyond what was measured: " STR_FMT " had up to %d at once, and points for "
                       "%d; times beyond are extrapolated\n",
                       STR_ARG(v->p->pools[i].name), (int)tp->most, (int)tp->seen_batch);
    }
}

static void one_policy(struct buf *out, const struct replay_view *v, const struct tally *t)
{
    const struct portfolio *p = v->p;
    int32_t most = p->n_classes > p->n_pools ? p->n_classes : p->n_pools;
    most = most > p->n_tenants ? most : p->n_tenants;
    struct named *all = arena_new(v->arena, struct named, most + 1);
    if (!all)
        return;
    buf_printf(out, "%s: at most %lld under way, %lld in the waiting line\n", t->policy,
               (long long)t->in_flight_most, (long long)t->waiting_most);
    losses(out, t);
    beyond(out, v, t);
    buf_lit(out, "\n");
    for (int32_t i = 0; i <= p->n_classes; i++)
        all[i] =
            (struct named){i < p->n_classes ? p->classes[i].name : STR("(none)"), &t->classes[i]};
    cells(out, v, "class", all, p->n_classes + 1, true);
    pools(out, v, t);
    for (int32_t i = 0; i < p->n_pools; i++)
        all[i] = (struct named){p->pools[i].name, &t->pools[i]};
    cells(out, v, "pool", all, p->n_pools, false);
    replay_contracts_text(out, v, t);
    sites(out, v, t);
    if (p->n_tenants == 0)
        return;
    for (int32_t i = 0; i <= p->n_tenants; i++)
        all[i] =
            (struct named){i < p->n_tenants ? p->tenants[i].name : STR("(none)"), &t->tenants[i]};
    cells(out, v, "tenant", all, p->n_tenants + 1, true);
}

// A slip of the pen in a time would otherwise be an outage that did no harm.
static void late_events(struct buf *out, const struct replay_view *v)
{
    const struct events *ev = v->events;
    int64_t end_us = v->runs[0]->ended_us;
    int32_t late = 0;
    char end[UNIT_TEXT];
    for (int32_t i = 0; i < ev->n; i++)
        late += ev->all[i].at_us > end_us;
    for (int32_t i = 0; i < ev->n_changes; i++)
        late += ev->changes[i].at_us > end_us;
    if (late && !v->partial)
        buf_printf(out, "events after the last answer, at %s, which change nothing: %d of %d\n",
                   unit_text_us(end, end_us), (int)late, (int)(ev->n + ev->n_changes));
}

// What was not replayed as it stood, and what the figures rest on. The same for every policy.
void replay_remarks_text(struct buf *out, const struct replay_view *v)
{
    const struct tally *t = v->runs[0];
    for (int32_t i = 0; i < t->n_unknowns; i++)
        buf_printf(out,
                   "%lld requests for \"" STR_FMT "\", which the portfolio does not have: "
                   "counted as refused; --map gives them a model\n",
                   (long long)t->unknowns[i].count, STR_ARG(t->unknowns[i].name));
    if (t->unknown_classes)
        buf_printf(out,
                   "%lld requests of classes that the portfolio does not have: of the default\n",
                   (long long)t->unknown_classes);
    if (t->unknown_tenants)
        buf_printf(out, "%lld requests of tenants that the portfolio does not have: of none\n",
                   (long long)t->unknown_tenants);
    if (t->skipped)
        buf_printf(out, "%lld faulty lines passed over, the first: %s\n", (long long)t->skipped,
                   t->first_fault);
    if (t->outside)
        buf_printf(out, "%lld requests before --from left out\n", (long long)t->outside);
    int32_t guessed = 0, absent = 0;
    for (int32_t i = 0; i < v->p->n_pools; i++)
        absent += !editions_active(&t->editions, i, 0);
    if (absent)
        buf_printf(out, "%d of %d pools are not there at its beginning: --at says another date\n",
                   (int)absent, (int)v->p->n_pools);
    for (int32_t i = 0; i < v->p->n_pools; i++)
        guessed += t->pool[i].guessed && t->pool[i].slots > 0;
    if (guessed)
        buf_printf(
            out,
            "%d of %d pools state no chip, so their speed is a guess: see docs/simulation.md\n",
            (int)guessed, (int)v->p->n_pools);
    late_events(out, v);
}

void replay_text(struct buf *out, const struct replay_view *v)
{
    char from[UNIT_TEXT], span[UNIT_TEXT];
    const struct tally *t = v->runs[0];
    if (v->partial)
        buf_lit(out, "PARTIAL: stopped before the end; what follows is what was done so far.\n\n");
    buf_printf(out, STR_FMT ": %lld requests in %s from %s, seed %llu\n", STR_ARG(v->trace),
               (long long)(t->all.requests + t->open), unit_text_us(span, t->arrivals_us),
               unit_text_instant(from, t->wall_us), (unsigned long long)v->seed);
    replay_remarks_text(out, v);
    replay_begun_text(out, v);
    buf_lit(out, "\n");
    if (v->figures)
        replay_seeds_text(out, v);
    overview(out, v);
    costs(out, v);
    if (v->bound)
        replay_bound_text(out, v);
    for (int32_t i = 0; i < v->n_runs; i++)
        one_policy(out, v, v->runs[i]);
}
