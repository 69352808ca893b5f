// What the program's prices say to routing, by typical hours (portfolio/prices.h).
//
// Each request is looked at where it is cheapest at those prices. Who is inside a commitment then
// says when it is used, and what it pays there over what it would pay beyond, the commitment's
// worth. A pool's scarce things (prefill, the clock of steps, slots, KV room, limits) become one
// price of a slot's time: what is paid for them by those who are there in a typical hour, over the
// time that they hold slots.

#include "replay/bound_inside.h"

static const int64_t WEEK_US = S(7 * 86400);

struct used_contract {
    double inside, beyond;  // money, summed over requests
    double units[TYPICAL_HOURS];
};

struct used_pool {
    double requests;
    double scarce[TYPICAL_HOURS], hold_us[TYPICAL_HOURS];
};

struct used {
    struct used_contract *contracts;  // [n_contracts]
    struct used_pool *pools;          // [n_pools]
    double requests;
};

enum err prices_begin(struct bounding *b)
{
    const struct portfolio *p = b->c->p;
    struct used *used = arena_new(b->arena, struct used, 1);
    if (!used)
        return ERR_LIMIT;
    used->contracts = arena_new(b->arena, struct used_contract, p->n_contracts + 1);
    used->pools = arena_new(b->arena, struct used_pool, p->n_pools + 1);
    if (!used->contracts || !used->pools)
        return ERR_LIMIT;
    b->used = used;
    return ERR_NONE;
}

void prices_add(struct bounding *b, const struct least_unit *u, const struct arrival *r,
                const struct choice *x)
{
    int32_t hour = typical_hour(b->c->wall_us + r->at_us);
    struct used_pool *pool = &b->used->pools[u->pool];
    b->used->requests++;
    pool->requests++;
    pool->scarce[hour] += x->scarce;
    pool->hold_us[hour] += (double)x->cost.hold_us;
    if (u->contract < 0)
        return;
    struct used_contract *c = &b->used->contracts[u->contract];
    c->inside += x->inside < x->beyond ? x->inside : x->beyond;
    c->beyond += x->beyond;
    c->units[hour] += x->cost.units;
}

// How much of the trace's time falls into each typical hour.
static void count_hours(const struct bounding *b, double *us)
{
    int64_t at_us = b->c->wall_us, end_us = at_us + b->c->span_us + 1;
    while (at_us < end_us) {
        int64_t next_us = min_i64(at_us - at_us % S(3600) + S(3600), end_us);
        us[typical_hour(at_us)] += (double)(next_us - at_us);
        at_us = next_us;
    }
}

// Hours that the trace did not see are as its others of that kind of day; days of a kind that it
// did not see, as the other kind.
static void fill_hours(const double *seen_us, double *hours)
{
    double mean[2];
    for (int k = 0; k < 2; k++) {
        double sum = 0, n = 0;
        for (int32_t i = k * TYPICAL_DAY; i < (k + 1) * TYPICAL_DAY; i++) {
            sum += seen_us[i] > 0 ? hours[i] : 0;
            n += seen_us[i] > 0;
        }
        mean[k] = n > 0 ? sum / n : -1;
    }
    for (int32_t i = 0; i < TYPICAL_HOURS; i++)
        if (!(seen_us[i] > 0) && mean[i / TYPICAL_DAY] >= 0)
            hours[i] = mean[i / TYPICAL_DAY];
    for (int k = 0; k < 2; k++)
        if (mean[k] < 0)
            memcpy(&hours[k * TYPICAL_DAY], &hours[(1 - k) * TYPICAL_DAY],
                   TYPICAL_DAY * sizeof *hours);
}

static void price_contract(const struct bounding *b, int32_t i, const double *seen_us,
                           struct planned_contract *out)
{
    const struct used_contract *c = &b->used->contracts[i];
    double sum = 0;
    for (int32_t h = 0; h < TYPICAL_HOURS; h++) {
        sum += c->units[h];
        out->pace[h] = seen_us[h] > 0 ? c->units[h] / seen_us[h] * 3600e6 : 0;
    }
    if (!(sum > 0))  // nobody is there at any price: it goes on as without a plan
        return;
    out->said = true;
    out->worth = c->beyond > 0 ? c->inside / c->beyond : 0;
    fill_hours(seen_us, out->pace);
}

static void price_pool(const struct bounding *b, int32_t i, const double *seen_us,
                       struct planned_pool *out)
{
    const struct used_pool *pool = &b->used->pools[i];
    out->share = b->used->requests > 0 ? pool->requests / b->used->requests : -1;
    for (int32_t h = 0; h < TYPICAL_HOURS; h++) {
        out->scarce = out->scarce || pool->scarce[h] > 0;
        out->slot_nusd_per_us[h] = pool->hold_us[h] > 0 ? pool->scarce[h] / pool->hold_us[h] : 0;
    }
    fill_hours(seen_us, out->slot_nusd_per_us);
}

enum err prices_end(struct bounding *b)
{
    const struct portfolio *p = b->c->p;
    double seen_us[TYPICAL_HOURS] = {0};
    struct planned_prices *out = arena_new(b->arena, struct planned_prices, 1);
    if (!out)
        return ERR_LIMIT;
    out->contracts = arena_new(b->arena, struct planned_contract, p->n_contracts + 1);
    out->pools = arena_new(b->arena, struct planned_pool, p->n_pools + 1);
    if (!out->contracts || !out->pools)
        return ERR_LIMIT;
    count_hours(b, seen_us);
    for (int32_t i = 0; i < p->n_contracts; i++)
        if (p->contracts[i].commitment.amount > 0)
            price_contract(b, i, seen_us, &out->contracts[i]);
    for (int32_t i = 0; i < p->n_pools; i++)
        price_pool(b, i, seen_us, &out->pools[i]);
    // As long again as what they were found in, and at least a week.
    out->until_us = b->c->wall_us + b->c->span_us + max_i64(b->c->span_us, WEEK_US);
    b->out->prices = out;
    return ERR_NONE;
}
