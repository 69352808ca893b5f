#include "gateway/commitments.h"

#include "portfolio/committed.h"
#include "route/pace.h"

#include <stdlib.h>

enum err commitments_rebuild(struct ledger *l, struct core *c, struct generation *g, int64_t now_us,
                             int64_t wall_us, struct diag *diag)
{
    const struct portfolio *p = g->portfolio;
    enum err e = ERR_NONE;
    for (int32_t i = 0; !e && i < p->n_contracts; i++) {
        const struct contract *contract = &p->contracts[i];
        struct route_commitment known = core_commitment(c, g, i);
        if (!(contract->commitment.amount > 0) || known.from_us || known.until_us)
            continue;
        double used = 0;
        core_commitment_used(c, g, i, 0, now_us, wall_us);
        known = core_commitment(c, g, i);
        e = ledger_drawn(l, contract->name, (int32_t)contract->commitment.unit, known.from_us,
                         known.until_us, &used, diag);
        if (!e)
            core_commitment_used(c, g, i, used, now_us, wall_us);
    }
    return e;
}

struct view {  // of one commitment, now
    const struct contract *contract;
    struct pace pace;
    struct pace_outlook outlook;
    double unit_usd;
};

static double amount_of(const struct view *v)
{
    return v->pace.amount;
}

static double used_of(const struct view *v)
{
    return v->pace.used;
}

static double left_of(const struct view *v)
{
    return v->outlook.left;
}

static double gone_of(const struct view *v)
{
    return v->outlook.gone < 0 ? 0 : v->outlook.gone;
}

static double at_end_of(const struct view *v)
{
    return v->outlook.at_end;
}

static double stranded_of(const struct view *v)
{
    return v->outlook.stranded;
}

static double stranded_usd_of(const struct view *v)
{
    return v->outlook.stranded * v->unit_usd;
}

static double beyond_of(const struct view *v)
{
    return v->outlook.beyond;
}

static const struct {
    const char *name, *help;
    double (*value)(const struct view *v);
} gauges[] = {
    {"amount", "Units committed to in the period that is on.", amount_of},
    {"used", "Units used in it.", used_of},
    {"remaining", "Units of it not used yet.", left_of},
    {"elapsed_ratio", "Share of the period that is past; 0 where it has no end.", gone_of},
    {"projected", "Units used at its end, if it goes on as so far.", at_end_of},
    {"stranded", "Units paid for and not used at its end, if it goes on as so far.", stranded_of},
    {"stranded_usd", "The same in USD, at what a unit was bought for.", stranded_usd_of},
    {"beyond", "Units beyond the amount at its end, if it goes on as so far.", beyond_of},
};

// As route sees it, brought to this time: no request may have come since a period ended.
static struct view view_of(struct core *c, struct generation *g, int32_t contract, int64_t wall_us)
{
    struct view v = {.contract = &g->portfolio->contracts[contract]};
    struct route_commitment known = core_commitment(c, g, contract);
    struct pace_terms terms = pace_terms_of(v.contract);
    v.pace = (struct pace){.from_us = known.from_us,
                           .until_us = known.until_us,
                           .amount = known.amount,
                           .used = known.used};
    pace_see(&v.pace, &terms, wall_us);
    v.outlook = pace_outlook(&v.pace, wall_us);
    v.unit_usd = commitment_unit_usd(v.contract);
    return v;
}

void commitments_metrics(struct core *c, struct generation *g, int64_t wall_us, struct buf *out)
{
    const struct portfolio *p = g->portfolio;
    struct view *views = take_n(sizeof *views, (size_t)p->n_contracts + 1);
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_contracts; i++)
        if (p->contracts[i].commitment.amount > 0)
            views[n++] = view_of(c, g, i, wall_us);
    for (size_t k = 0; n && k < COUNTOF(gauges); k++) {
        buf_printf(out, "# HELP caudal_commitment_%s %s\n# TYPE caudal_commitment_%s gauge\n",
                   gauges[k].name, gauges[k].help, gauges[k].name);
        for (int32_t i = 0; i < n; i++) {
            buf_printf(out, "caudal_commitment_%s{contract=", gauges[k].name);
            buf_add_json(out, views[i].contract->name);
            buf_printf(out, ",unit=\"%s\"} %.9g\n",
                       commitment_unit_name(views[i].contract->commitment.unit),
                       gauges[k].value(&views[i]));
        }
    }
    free(views);
}
