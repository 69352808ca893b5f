#include "portfolio/commitment.h"

#include "base/units.h"

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

bool commitment_price_read(const struct commitment *m, struct str text, double *nusd_per_unit)
{
    struct diag diag = {0};
    struct str money, per = text;
    double v;
    switch (m->unit) {
    case COMMIT_TOKENS:
        if (unit_parse(&v, UNIT_TOKEN_PRICE, text, &diag))
            return false;
        *nusd_per_unit = v / 1e6;
        return true;
    case COMMIT_ACCELERATOR_HOURS:
        return !unit_parse(nusd_per_unit, UNIT_ACCELERATOR_PRICE, text, &diag);
    case COMMIT_MW_MONTHS:
    case COMMIT_PTU:
        if (!str_cut(&per, '/', &money) || unit_parse(&v, UNIT_MONEY, str_trim(money), &diag))
            return false;
        *nusd_per_unit = v * 1e3;
        return str_eq(str_trim(per), m->unit == COMMIT_PTU ? STR("PTU") : STR("MW-month"));
    case COMMIT_USD: return false;
    }
    return false;
}

const char *commitment_price_example(enum commitment_unit unit)
{
    switch (unit) {
    case COMMIT_TOKENS: return "a price such as 0.5 USD/Mtok";
    case COMMIT_ACCELERATOR_HOURS: return "a price such as 2 USD/h";
    case COMMIT_MW_MONTHS: return "a price such as 9 kUSD/MW-month";
    case COMMIT_PTU: return "a price such as 300 USD/PTU";
    case COMMIT_USD: break;
    }
    return "nothing";
}
