#include "cli/replay_view.h"

#include "base/units.h"
#include "cli/replay_rows.h"

#include <stdio.h>

// What each policy has cost beyond the hindsight bound, and what of.

struct replay_regret replay_regret(const struct replay_view *v, int32_t run)
{
    const struct account_cost *cost = &v->runs[run]->account.cost;
    const struct account_cost *told = &v->told[run]->account.cost;
    struct replay_regret r = {.cost = account_total(cost)};
    double bound = v->bound->nusd, naive = account_total(&v->naive->account.cost) - bound;
    r.regret = r.cost - bound;
    r.of_bound = bound > 0 ? r.regret / bound : 0;
    r.of_naive = naive > 0 ? r.regret / naive : 0;
    r.has_naive = naive > 0;
    r.forecast = r.cost - account_total(told);
    r.queueing = told->waiting + told->power + told->carbon - told->least;
    r.online = r.regret - r.forecast - r.queueing;
    return r;
}

static void add_percent(struct cells *r, double share, bool known)
{
    if (known)
        snprintf(cells_next(r), CELL_BYTES, "%.2f%%", 100 * share);
    else
        snprintf(cells_next(r), CELL_BYTES, "-");
}

static void costs(struct buf *out, const struct replay_view *v)
{
    struct columns c;
    columns_init(&c, v->arena);
    bool carbon = v->p->serve.carbon_nusd_per_g > 0;
    columns_row(&c, "policy", "list", "beyond", carbon ? "power, carbon" : "power", "waiting",
                "unserved", "of it imputed", "stand-ins", "cost", NULL);
    for (int32_t i = 0; i <= v->n_runs; i++) {
        const struct tally *t = i < v->n_runs ? v->runs[i] : v->naive;
        const struct account_cost *cost = &t->account.cost;
        struct cells r = {.n = 0};
        if (i == v->n_runs && v->naive_is_named)
            break;
        cells_add_text(&r, str_of(t->policy));
        cells_add_usd(&r, cost->list);
        cells_add_usd(&r, cost->beyond);
        cells_add_usd(&r, cost->power + cost->carbon);
        cells_add_usd(&r, cost->waiting);
        cells_add_usd(&r, cost->unserved);
        cells_add_usd(&r, cost->imputed);
        cells_add_usd(&r, cost->stand_in);
        cells_add_usd(&r, account_total(cost));
        cells_row(&c, &r);
    }
    table_print(out, &c, 1);
}

static void regrets(struct buf *out, const struct replay_view *v)
{
    struct columns c;
    columns_init(&c, v->arena);
    columns_row(&c, "policy", "cost", "above it", "of the bound", "of naive", "forecast", "online",
                "queueing", NULL);
    for (int32_t i = 0; i < v->n_runs; i++) {
        struct replay_regret g = replay_regret(v, i);
        struct cells r = {.n = 0};
        cells_add_text(&r, str_of(v->runs[i]->policy));
        cells_add_usd(&r, g.cost);
        cells_add_usd(&r, g.regret);
        add_percent(&r, g.of_bound, v->bound->nusd > 0);
        add_percent(&r, g.of_naive, g.has_naive);
        cells_add_usd(&r, g.forecast);
        cells_add_usd(&r, g.online);
        cells_add_usd(&r, g.queueing);
        cells_row(&c, &r);
    }
    table_print(out, &c, 1);
}

void replay_bound_text(struct buf *out, const struct replay_view *v)
{
    const struct bound *b = v->bound;
    struct cells r = {.n = 0};
    char span[UNIT_TEXT];
    double naive_more_nusd = account_total(&v->naive->account.cost) - b->nusd;
    cells_add_usd(&r, b->nusd);
    cells_add_usd(&r, naive_more_nusd);
    buf_printf(out,
               "hindsight bound: no routing costs less than %s; list-cheapest costs %s more\n"
               "  %d groups in spans of %s; %d rows, %d columns, %s after %d steps\n",
               b->nusd != 0 ? r.text[0] : "nothing", naive_more_nusd != 0 ? r.text[1] : "no",
               (int)b->groups, unit_text_us(span, b->bucket_us), (int)b->rows, (int)b->columns,
               b->status, (int)b->steps);
    buf_lit(out, "\n");
    costs(out, v);
    buf_lit(out,
            "  cost is beyond what is prepaid: list of pools without a commitment, paid beyond "
            "commitments, power of the work alone\n\n");
    regrets(out, v);
    buf_lit(out,
            "  naive: what list-cheapest pays above the bound; forecast: saved by knowing each "
            "answer's length; queueing: queues and\n  full batches, lengths known; online: "
            "the rest, deciding one request after the other\n\n");
}
