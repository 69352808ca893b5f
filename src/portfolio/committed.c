#include "portfolio/committed.h"

#include "base/units.h"

#define YEAR_US (365.2425 * 86400e6)

static int64_t year_start(int32_t year)
{
    return civil_us((struct civil){.year = year, .month = 1, .day = 1});
}

// How often the commitment's period comes in the contract's term; 0: not known.
static double periods_of(const struct contract *c)
{
    const struct commitment *m = &c->commitment;
    if (m->per == PERIOD_TERM || m->per == PERIOD_NONE)
        return 1;
    if (!c->from_us || c->until_us == NEVER)
        return 0;
    double years = (double)(c->until_us - c->from_us) / YEAR_US;
    return years * (m->per == PERIOD_MONTH ? 12 : m->per == PERIOD_QUARTER ? 4 : 1);
}

double contract_usd(const struct contract *c)
{
    const struct commitment *m = &c->commitment;
    if (c->value_uusd > 0)
        return (double)c->value_uusd / 1e6;
    if (m->unit != COMMIT_USD || !(m->amount > 0))
        return 0;
    return m->amount * periods_of(c);
}

const char *commitment_unit_name(enum commitment_unit unit)
{
    switch (unit) {
    case COMMIT_USD: return "USD";
    case COMMIT_TOKENS: return "tok";
    case COMMIT_ACCELERATOR_HOURS: return "accelerator-hours";
    case COMMIT_MW_MONTHS: return "MW-months";
    case COMMIT_PTU: return "PTU";
    }
    return "";
}

double commitment_unit_usd(const struct contract *c)
{
    const struct commitment *m = &c->commitment;
    double units = m->amount * periods_of(c);
    if (m->unit == COMMIT_USD)
        return 1;
    if (c->value_uusd > 0 && units > 0)
        return (double)c->value_uusd / 1e6 / units;
    return m->beyond_nusd_per_unit / 1e9;
}

// PUE of the place where the contract's pools stand; 1 when nothing says so.
static double pue_of(const struct portfolio *p, int32_t contract)
{
    for (int32_t i = 0; i < p->n_pools; i++)
        if (p->pools[i].contract == contract && p->pools[i].site >= 0)
            return p->sites[p->pools[i].site].pue;
    return 1;
}

// An adjustable phase is committed for its least only.
static double phase_w(const struct phase *ph, const struct contract *c, double pue, int64_t at_us)
{
    if (ph->from_us > at_us || ph->until_us <= at_us || c->until_us <= at_us)
        return 0;
    double w = ph->adds_w > 0 ? ph->adds_w : ph->min_w;
    return ph->load_is_it ? w * pue : w;
}

double contract_power_w(const struct portfolio *p, int32_t contract, int64_t at_us)
{
    const struct contract *c = &p->contracts[contract];
    double w = 0, pue = pue_of(p, contract);
    for (int32_t i = 0; i < c->n_phases; i++)
        w += phase_w(&c->phases[i], c, pue, at_us);
    return w;
}

// The share of a whole that its parts do not already stand for.
static double rest(double whole, double parts)
{
    if (!(whole > 0))
        return 1;
    return parts < whole ? 1 - parts / whole : 0;
}

static double money_rest(const struct portfolio *p, int32_t contract)
{
    double parts = 0;
    for (int32_t i = 0; i < p->n_contracts; i++)
        if (p->contracts[i].part_of == contract)
            parts += contract_usd(&p->contracts[i]);
    return rest(contract_usd(&p->contracts[contract]), parts);
}

static double power_rest(const struct portfolio *p, int32_t contract, int64_t at_us)
{
    double parts = 0;
    for (int32_t i = 0; i < p->n_contracts; i++)
        if (p->contracts[i].part_of == contract)
            parts += contract_power_w(p, i, at_us);
    return rest(contract_power_w(p, contract, at_us), parts);
}

static void add_money(struct committed_cell *cell, const struct contract *c, double usd)
{
    cell->usd += usd;
    if (c->value_is_bound && c->value_uusd > 0 && str_eq(c->value_note, STR("at least")))
        cell->at_least = true;
    if (c->value_is_bound && c->value_uusd > 0 && str_eq(c->value_note, STR("up to")))
        cell->up_to = true;
}

static void add_contract_money(struct committed *out, const struct portfolio *p, int32_t index)
{
    const struct contract *c = &p->contracts[index];
    double usd = contract_usd(c) * money_rest(p, index);
    if (!(usd > 0))
        return;
    if (!c->from_us || c->until_us == NEVER) {
        add_money(&out->undated[c->status], c, usd);
        return;
    }
    double term_us = (double)(c->until_us - c->from_us);
    for (int32_t y = 0; y < out->n_years; y++) {
        int64_t from = max_i64(c->from_us, year_start(out->first_year + y));
        int64_t until = min_i64(c->until_us, year_start(out->first_year + y + 1));
        if (until > from)
            add_money(&out->cells[y * STATUS_COUNT + (int)c->status], c,
                      usd * (double)(until - from) / term_us);
    }
}

static void add_contract_power(struct committed *out, const struct portfolio *p, int32_t index)
{
    const struct contract *c = &p->contracts[index];
    double pue = pue_of(p, index);
    for (int32_t y = 0; c->n_phases && y < out->n_years; y++) {
        int64_t at_us = year_start(out->first_year + y + 1) - 1;
        double share = power_rest(p, index, at_us);
        for (int32_t i = 0; i < c->n_phases; i++) {
            const struct phase *ph = &c->phases[i];
            out->cells[y * STATUS_COUNT + (int)ph->status].w += share * phase_w(ph, c, pue, at_us);
        }
    }
}

static void stretch(int32_t *first, int32_t *last, int64_t at_us)
{
    if (at_us == 0 || at_us == NEVER)
        return;
    int32_t year = civil_of(at_us).year;
    if (year < *first)
        *first = year;
    if (year > *last)
        *last = year;
}

enum err committed_of(struct committed *out, struct arena *a, const struct portfolio *p)
{
    *out = (struct committed){0};
    int32_t first = INT32_MAX, last = INT32_MIN;
    for (int32_t i = 0; i < p->n_contracts; i++) {
        const struct contract *c = &p->contracts[i];
        stretch(&first, &last, c->from_us);
        stretch(&first, &last, c->until_us == NEVER ? NEVER : c->until_us - 1);
        for (int32_t j = 0; j < c->n_phases; j++)
            stretch(&first, &last, c->phases[j].from_us);
    }
    if (first <= last) {
        out->first_year = first;
        out->n_years = last - first < COMMITTED_YEARS_MAX ? last - first + 1 : COMMITTED_YEARS_MAX;
    }
    out->cells = arena_new(a, struct committed_cell, out->n_years * STATUS_COUNT + 1);
    if (!out->cells)
        return ERR_LIMIT;
    for (int32_t i = 0; i < p->n_contracts; i++) {
        add_contract_money(out, p, i);
        add_contract_power(out, p, i);
    }
    return ERR_NONE;
}
