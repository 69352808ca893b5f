#include "replay/inside.h"

#include <stdlib.h>

struct berth *berth_of(const struct replay *rp, int32_t pool, int32_t model)
{
    int32_t i = rp->first_berth[pool], end = rp->first_berth[pool + 1];
    while (i < end && rp->berths[i].model != model)
        i++;
    CHECK(i < end);
    return &rp->berths[i];
}

void flight_free(struct replay *rp, struct flight *x)
{
    if (x->n_blocks) {
        free(x->blocks);
        x->n_blocks = 0;
    }
    flight_state(rp, x, FLIGHT_FREE);
    x->next_free = rp->free_flight;
    rp->free_flight = flight_id(rp, x);
    rp->open--;
}

// What was observed of one that was answered.
struct seen {
    int64_t ttft_us, per_token_us, total_us, list_nusd, hold_us;
    double waiting_nusd, joules;
    bool has_target, good;
};

static struct seen look(const struct replay *rp, const struct flight *x, const struct berth *b)
{
    int64_t trip_us = flight_trip_us(rp, x);
    const struct token_price *price =
        &rp->t->least[x->edition].units[b - rp->berths].serving->price;
    struct seen s = {.ttft_us = x->first_us + trip_us - x->ask.arrived_us,
                     .total_us = rp->now_us + trip_us - x->ask.arrived_us,
                     .list_nusd = price_of(price, x->prompt_tok, x->cached_tok, x->output_tok)};
    if (x->output_tok > 1)
        s.per_token_us = (rp->now_us - x->first_us) / (x->output_tok - 1);
    s.hold_us = rp->now_us - fleet_began_us(rp->fleet, flight_id(rp, x));
    s.joules = b->joules_per_us * (double)s.hold_us;
    if (x->ask.class < 0)
        return s;
    const struct class *c = &rp->p->classes[x->ask.class];
    s.waiting_nusd = value_curve_cost(&c->ttft_value, s.ttft_us) +
                     x->output_tok * value_curve_cost(&c->per_token_value, s.per_token_us);
    s.has_target = c->ttft_us < NEVER || c->per_token_us < NEVER || c->deadline_us < NEVER;
    s.good = s.ttft_us <= c->ttft_us && s.per_token_us <= c->per_token_us &&
             s.total_us <= c->deadline_us;
    return s;
}

static void count_answer(struct tally_cell *c, const struct flight *x, const struct seen *s)
{
    c->requests++;
    c->answered++;
    c->with_target += s->has_target;
    c->good += s->has_target && s->good;
    c->prompt_tok += x->prompt_tok;
    c->cached_tok += x->cached_tok;
    c->output_tok += x->output_tok;
    c->list_nusd += s->list_nusd;
    c->waiting_nusd += s->waiting_nusd;
    c->joules += s->joules;
    hist_add(&c->times.ttft, s->ttft_us);
    hist_add(&c->times.total, s->total_us);
    if (x->output_tok > 1)
        hist_add(&c->times.per_token, s->per_token_us);
}

static void count_loss(struct tally_cell *c, enum flight_end end, bool has_target, double unserved)
{
    c->requests++;
    c->refused += end == END_REFUSED;
    c->expired += end == END_EXPIRED;
    c->failed += end == END_FAILED;
    c->with_target += has_target;
    c->unserved_nusd += unserved;
}

static bool has_target(const struct class *c)
{
    return c->ttft_us < NEVER || c->per_token_us < NEVER || c->deadline_us < NEVER;
}

static void lost(struct replay *rp, int32_t class, int32_t tenant, enum flight_end end)
{
    const struct class *k = class >= 0 ? &rp->p->classes[class] : NULL;
    double unserved = k && k->unserved_nusd > 0 ? (double)k->unserved_nusd : 0;
    struct tally_cell *c = &rp->t->classes[class >= 0 ? class : rp->p->n_classes];
    count_loss(c, end, k && has_target(k), unserved);
    c = &rp->t->tenants[tenant >= 0 ? tenant : rp->p->n_tenants];
    count_loss(c, end, k && has_target(k), unserved);
}

static struct arrival arrival_of(const struct flight *x)
{
    return (struct arrival){.at_us = x->ask.arrived_us,
                            .prompt_tok = x->prompt_tok,
                            .output_tok = x->output_tok,
                            .model = x->ask.model,
                            .class = x->ask.class,
                            .tenant = x->ask.tenant,
                            .n_blocks = x->n_blocks};
}

static void account(struct replay *rp, const struct flight *x, const struct berth *b,
                    const struct seen *s)
{
    const struct account_answer seen = {s->list_nusd, s->hold_us, s->waiting_nusd};
    const struct arrival r = arrival_of(x);
    account_answered(&rp->t->account, (int32_t)(b - rp->berths), &r, &seen);
}

static double *joules_of(const struct replay *rp, int32_t edition, int32_t pool)
{
    return &rp->joules[(size_t)edition * (size_t)rp->p->n_pools + (size_t)pool];
}

void settle(struct replay *rp, struct flight *x, enum flight_end end)
{
    rp->t->ended_us = rp->now_us;
    if (end == END_ANSWERED) {
        const struct berth *b = &rp->berths[x->unit];
        struct seen s = look(rp, x, b);
        count_answer(tally_cell(rp->t, x->d.pool, x->ask.class), x, &s);
        account(rp, x, b, &s);
        if (rp->joules)
            *joules_of(rp, x->edition, x->d.pool) += s.joules;
        tally_held(rp->t, x->d.pool, rp->now_us, s.hold_us);
        // Without tenants their only row would say what is said already.
        if (rp->p->n_tenants)
            count_answer(&rp->t->tenants[x->ask.tenant >= 0 ? x->ask.tenant : rp->p->n_tenants], x,
                         &s);
    } else {
        const struct arrival r = arrival_of(x);
        lost(rp, x->ask.class, x->ask.tenant, end);
        account_lost(&rp->t->account, &r);
    }
    flight_free(rp, x);
}

void settle_unknown(struct replay *rp, const struct arrival *a)
{
    rp->t->unknown++;
    rp->t->bars[ROUTE_BAR_MODEL]++;
    lost(rp, a->class, a->tenant, END_REFUSED);
}

// The share of the trace in which a pool stands there in the i-th edition: its contract's phases
// may begin within it.
static double share_there(const struct replay *rp, int32_t pool, int32_t i, double span_us)
{
    const struct editions *e = &rp->t->editions;
    if (!(span_us > 0))
        return i == 0 && editions_active(e, pool, 0);
    int64_t from_us = max_i64(0, e->all[i].from_us);
    int64_t until_us = edition_until_us(e, i, (int64_t)span_us);
    return from_us < until_us ? (double)editions_active_us(e, pool, from_us, until_us) / span_us
                              : 0;
}

static double settle_pool(struct replay *rp, int32_t i, double span_us)
{
    struct tally_pool *tp = &rp->t->pool[i];
    const struct pool *pool = &rp->p->pools[i];
    double idle_w = 0, share = 0;
    for (int32_t k = 0; k < rp->t->editions.n; k++)
        share += share_there(rp, i, k, span_us);
    tp->span_us = span_us;
    tp->guessed = pool->n_serves > 0;
    for (int32_t k = rp->first_berth[i]; k < rp->first_berth[i + 1]; k++) {
        struct service s;
        service_of(&s, rp->p, pool, rp->berths[k].model);
        double w = s.idle_w * s.pue;
        idle_w = w > idle_w ? w : idle_w;
        tp->held_us += fleet_held_us(rp->fleet, rp->berths[k].unit);
        tp->slots += s.slots;
        tp->most += fleet_most(rp->fleet, rp->berths[k].unit);
        tp->has_power = tp->has_power || s.busy_w > 0;
        tp->guessed = tp->guessed && s.basis == BASIS_NONE;
        tp->basis = s.basis;
        if (rp->berths[k].seen_prompt_tok < INT32_MAX)
            tp->seen_prompt_tok = rp->berths[k].seen_prompt_tok;
        if (service_is_beyond(&s, fleet_most(rp->fleet, rp->berths[k].unit), 0))
            tp->seen_batch = (int32_t)s.seen_batch;
    }
    tp->idle_joules = idle_w * span_us / 1e6 * share;
    return share > 0 ? idle_w : 0;
}

// What the i-th pool used costs what its site's energy did when the work came, or stood idle.
static void settle_bill(struct replay *rp, int32_t i, double idle_w, double joules, double span_us)
{
    struct tally *t = rp->t;
    int32_t at = rp->p->pools[i].site;
    for (int32_t k = 0; k < t->editions.n && at >= 0; k++) {
        const struct site *site = &t->editions.all[k].p->sites[at];
        double all = rp->joules ? *joules_of(rp, k, i) : joules;
        all += idle_w * span_us / 1e6 * share_there(rp, i, k, span_us);
        double carbon_g = all * site->carbon_g_per_joule;
        double nusd = all * site->energy_nusd_per_joule;
        t->pool[i].carbon_g += carbon_g;
        t->sites[at].carbon_g += carbon_g;
        t->sites[at].energy_nusd += nusd;
        t->carbon_g += carbon_g;
        t->carbon_nusd += carbon_g * rp->p->serve.carbon_nusd_per_g;
        t->energy_nusd += nusd;
    }
}

// Power and energy of what stands there, whoever uses it.
static void settle_power(struct replay *rp)
{
    struct tally *t = rp->t;
    double idle_w = 0, span_us = (double)max_i64(t->ended_us, t->arrivals_us);
    for (int32_t i = 0; i < rp->p->n_pools; i++) {
        int32_t at = rp->p->pools[i].site;
        struct tally_site *site = &t->sites[at >= 0 ? at : rp->p->n_sites];
        double pool_idle_w = settle_pool(rp, i, span_us), joules = 0;
        idle_w += pool_idle_w;
        site->peak_w += pool_idle_w;
        for (int32_t k = 0; k <= rp->p->n_classes; k++)
            joules += tally_cell(t, i, k < rp->p->n_classes ? k : -1)->joules;
        site->joules += joules;
        site->idle_joules += t->pool[i].idle_joules;
        settle_bill(rp, i, pool_idle_w, joules, span_us);
    }
    t->peak_w = idle_w + (double)fleet_peak(rp->fleet) / 1e3;
    for (int32_t i = 0; i <= rp->p->n_sites; i++)
        t->sites[i].peak_w += (double)fleet_peak_of(rp->fleet, i) / 1e3;
}

static void settle_contracts(struct replay *rp)
{
    struct tally *t = rp->t;
    int64_t end_us = rp->wall_us + t->arrivals_us + 1;
    account_close(&t->account, rp->wall_us, end_us);
    for (int32_t i = 0; i < rp->p->n_contracts; i++)
        t->drawn[i] = account_drawn(&t->account, i, rp->wall_us, end_us);
}

void settle_all(struct replay *rp)
{
    struct tally *t = rp->t;
    const struct arrivals_seen *seen = arrivals_seen(rp->arrivals);
    t->open = rp->open;
    t->skipped = seen->skipped;
    t->outside = seen->outside;
    t->unknown_classes = seen->unknown_classes;
    t->unknown_tenants = seen->unknown_tenants;
    memcpy(t->first_fault, seen->first_fault, sizeof t->first_fault);
    struct str name;
    int64_t count;
    while (arrivals_unknown(rp->arrivals, t->n_unknowns, &name, &count))
        t->n_unknowns++;
    t->unknowns = arena_new(rp->arena, struct tally_unknown, t->n_unknowns + 1);
    CHECK(t->unknowns);
    for (int32_t i = 0; i < t->n_unknowns; i++) {
        arrivals_unknown(rp->arrivals, i, &name, &count);
        t->unknowns[i] = (struct tally_unknown){arena_str(rp->arena, name), count};
    }
    settle_power(rp);
    settle_contracts(rp);
    tally_sum(t);
}
