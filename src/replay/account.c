#include "replay/account.h"

#include "route/pace.h"

enum err account_init(struct account *acc, struct arena *a, const struct editions *editions,
                      const struct least *least, bool whole)
{
    *acc = (struct account){.editions = editions, .least = least, .arena = a, .whole = whole};
    acc->latest = arena_new(a, struct account_period *, least->p->n_contracts + 1);
    return acc->latest ? ERR_NONE : ERR_LIMIT;
}

struct account_period account_period_of(const struct portfolio *p, int32_t contract,
                                        int64_t wall_us)
{
    struct pace pace = {0};
    struct pace_terms terms = pace_terms_of(&p->contracts[contract]);
    pace_see(&pace, &terms, wall_us);
    // A term that does not say when it begins has no pace.
    int64_t from_us = pace.from_us ? pace.from_us : INT64_MIN;
    return (struct account_period){
        .from_us = from_us, .until_us = pace.until_us, .amount = pace.amount};
}

static struct account_period *period_at(struct account *acc, int32_t contract, int64_t wall_us)
{
    struct account_period **latest = &acc->latest[contract];
    for (struct account_period *c = *latest; c; c = c->before)
        if (wall_us >= c->from_us && wall_us < c->until_us)
            return c;
    struct account_period *c = arena_new(acc->arena, struct account_period, 1);
    CHECK(c);
    *c = account_period_of(acc->least->p, contract, wall_us);
    c->before = *latest;
    *latest = c;
    return c;
}

static const struct least *least_at(const struct account *acc, int64_t at_us)
{
    return &acc->least[edition_at(acc->editions, at_us)];
}

static void draw(struct account *acc, const struct least_unit *u, const struct arrival *r,
                 const struct account_answer *seen)
{
    struct account_period *c = period_at(acc, u->contract, acc->editions->wall_us + r->at_us);
    double list_nusd = (double)seen->list_nusd, units;
    if (u->unit == COMMIT_USD)
        units = list_nusd / 1e9;
    else if (u->unit == COMMIT_TOKENS)
        units = (double)r->prompt_tok + r->output_tok;
    else
        units = u->units_per_us * (double)seen->hold_us;
    c->units += units;
    c->list_nusd += list_nusd;
    c->beyond_nusd += u->beyond_nusd > 0 ? units * u->beyond_nusd : list_nusd;
}

void account_answered(struct account *acc, int32_t unit, const struct arrival *r,
                      const struct account_answer *seen)
{
    const struct least *l = least_at(acc, r->at_us);
    const struct least_unit *u = &l->units[unit];
    acc->cost.power += u->power_nusd_per_us * (double)seen->hold_us;
    acc->cost.carbon += u->carbon_nusd_per_us * (double)seen->hold_us;
    acc->cost.waiting += seen->waiting_nusd;
    if (u->contract < 0)
        acc->cost.list += (double)seen->list_nusd;
    else
        draw(acc, u, r, seen);
    if (acc->whole) {
        struct least_cost least;
        least_of(l, u, r, &least);
        acc->cost.least += least.power_nusd + least.waiting_nusd;
        acc->cost.stand_in += least_stand_in(l, u, r);
    }
}

void account_lost(struct account *acc, const struct arrival *r)
{
    bool imputed;
    bool stated = r->class >= 0 && acc->least->p->classes[r->class].unserved_nusd >= 0;
    if (!stated && !acc->whole)
        return;
    double nusd = least_unserved(least_at(acc, r->at_us), r, &imputed);
    acc->cost.unserved += nusd;
    acc->cost.imputed += imputed ? nusd : 0;
}

// --- commitments ------------------------------------------------------------------------------

static bool is_dated(const struct account_period *c)
{
    return c->from_us != INT64_MIN && c->until_us != NEVER;
}

double account_amount(const struct account_period *c, int64_t from_us, int64_t until_us,
                      double used)
{
    bool within = used >= 0 && c->from_us <= from_us;
    double left = within ? c->amount * (used < 1 ? 1 - used : 0) : c->amount;
    if (!is_dated(c))
        return left;
    int64_t from = max_i64(from_us, c->from_us), until = min_i64(until_us, c->until_us);
    if (until <= from)
        return 0;
    return left * ((double)(until - from) / (double)(c->until_us - (within ? from : c->from_us)));
}

struct account_begun account_begun(const struct portfolio *p, int32_t contract, int64_t wall_us,
                                   double used)
{
    struct account_period c = account_period_of(p, contract, wall_us);
    struct account_begun out = {c.from_us, c.until_us, 0, used, used >= 0};
    if (is_dated(&c) && wall_us > c.from_us)
        out.gone = (double)(wall_us - c.from_us) / (double)(c.until_us - c.from_us);
    if (!(c.amount > 0))  // nothing is prepaid then
        return (struct account_begun){c.from_us, c.until_us, 0, 0, false};
    out.used = out.said ? used : out.gone;
    return out;
}

static void add_period(struct account_drawn *out, const struct account_period *c, double amount)
{
    double over = c->units > amount ? c->units - amount : 0;
    out->amount += amount;
    out->used += c->units - over;
    out->stranded += c->units < amount ? amount - c->units : 0;
    out->beyond += over;
    out->list_nusd += c->list_nusd;
    if (over > 0)
        out->beyond_nusd += c->beyond_nusd * (over / c->units);
}

struct account_drawn account_drawn(const struct account *acc, int32_t contract, int64_t from_us,
                                   int64_t until_us)
{
    struct account_drawn out = {0};
    const struct portfolio *p = acc->least->p;
    if (!(p->contracts[contract].commitment.amount > 0))
        return out;
    for (int64_t at_us = from_us;;) {
        struct account_period now = account_period_of(p, contract, at_us);
        for (const struct account_period *c = acc->latest[contract]; c; c = c->before)
            if (c->from_us == now.from_us)
                now = *c;
        double used = at_us == from_us ? account_used(acc->used, contract) : -1;
        add_period(&out, &now, account_amount(&now, from_us, until_us, used));
        if (now.until_us >= until_us || now.until_us <= at_us)
            return out;
        at_us = now.until_us;
    }
}

void account_close(struct account *acc, int64_t from_us, int64_t until_us)
{
    acc->cost.beyond = 0;
    for (int32_t i = 0; i < acc->least->p->n_contracts; i++)
        acc->cost.beyond += account_drawn(acc, i, from_us, until_us).beyond_nusd;
}

double account_total(const struct account_cost *c)
{
    return c->list + c->beyond + c->power + c->carbon + c->waiting + c->unserved + c->stand_in;
}
