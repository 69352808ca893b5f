#include "portfolio/commitment.h"

static const double HOUR_US = 3.6e9, MONTH_HOURS = 730.5;

bool contract_commits(const struct contract *c)
{
    return c->commitment.amount > 0;
}

int32_t commitment_of(const struct portfolio *p, const struct pool *pool)
{
    int32_t c = pool->contract;
    for (int32_t i = 0; c >= 0 && !contract_commits(&p->contracts[c]); i++)
        c = i < p->n_contracts ? p->contracts[c].part_of : -1;
    return c;
}

double commitment_slots(const struct service *s)
{
    return s->slots > 1 ? s->slots : 1;
}

static double period_us(const struct contract *c)
{
    switch (c->commitment.per) {
    case PERIOD_MONTH: return MONTH_HOURS * HOUR_US;
    case PERIOD_QUARTER: return 3 * MONTH_HOURS * HOUR_US;
    case PERIOD_YEAR: return 12 * MONTH_HOURS * HOUR_US;
    case PERIOD_NONE:
    case PERIOD_TERM: break;
    }
    bool dated = c->until_us > c->from_us && c->until_us < NEVER;
    return dated ? (double)(c->until_us - c->from_us) : 12 * MONTH_HOURS * HOUR_US;
}

bool commitment_is_spread(const struct contract *c, const struct service *s)
{
    enum commitment_unit unit = c->commitment.unit;
    return unit != COMMIT_ACCELERATOR_HOURS && !(unit == COMMIT_MW_MONTHS && s->busy_w > 0);
}

double commitment_units_per_us(const struct contract *c, const struct pool *pool,
                               const struct service *s, double all_slots)
{
    if (commitment_is_spread(c, s))
        return c->commitment.amount / (all_slots > 0 ? all_slots : 1) / period_us(c);
    double slots = commitment_slots(s), chips = pool->chips > 0 ? pool->chips : s->replicas;
    if (c->commitment.unit == COMMIT_ACCELERATOR_HOURS)
        return chips / slots / HOUR_US;
    return s->busy_w * s->pue / 1e6 / slots / (MONTH_HOURS * HOUR_US);
}
