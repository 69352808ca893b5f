#include "replay/bound.h"

#include "replay/bound_inside.h"
#include "route/forecast.h"

enum { ASK_EVERY = 4096 };
static const int64_t BUCKET_US_MIN = S(1);

// As long as its answer would have been thought to be; what is learnt of it comes behind at once.
static void expect(struct forecast *f, struct arrival *r)
{
    const struct forecast_who who = {r->tenant, r->model, r->user, r->prompt_tok};
    int32_t tok = r->output_tok;
    r->output_tok = forecast_output_tok(f, &who, 0);
    forecast_learn(f, &who, 0, r->prompt_tok, tok);
}

// Calls `each` for every request of the trace that is for a model of the portfolio.
static enum err read_all(struct bounding *b,
                         void (*each)(struct bounding *, const struct arrival *), struct diag *diag)
{
    struct arrivals *in;
    struct forecast *f = NULL;
    const struct portfolio *p = b->c->p;
    enum err e = b->c->prices ? forecast_new(&f, b->arena, p->n_tenants, p->n_models) : ERR_NONE;
    if (!e)
        e = arrivals_new(&in, &b->c->arrivals, diag);
    if (e)
        return e;
    struct replay_progress at = {0};
    for (bool more = true;;) {
        struct arrival r;
        e = arrivals_next(in, &r, &more, diag);
        if (e || !more)
            break;
        if (at.requests++ % ASK_EVERY == 0) {
            at.now_us = r.at_us;
            b->out->partial = b->c->go_on && !b->c->go_on(b->c->ctx, &at);
            if (b->out->partial)
                break;
        }
        if (r.model < 0)
            continue;
        b->output_tok = r.output_tok;
        if (f)
            expect(f, &r);
        each(b, &r);
    }
    arrivals_free(in);
    return e;
}

static void gather(struct bounding *b, const struct arrival *r)
{
    int32_t tok = r->prompt_tok + r->output_tok;
    b->context_most = tok > b->context_most ? tok : b->context_most;
    groups_add(&b->groups, r);
    tune_keep(b, r, b->output_tok);
}

// --- each request at its least ----------------------------------------------------------------

static double drawing_nusd(const struct bounding *b, const struct least_unit *u,
                           const struct arrival *r, struct choice *x)
{
    const struct least_cost *c = &x->cost;
    if (u->contract < 0)
        return (double)c->list_nusd;
    x->inside = prepaid_at(b, u->contract, r->at_us)->price * c->units;
    x->beyond = u->beyond_nusd > 0 ? u->beyond_nusd * c->units : (double)c->list_nusd;
    return x->inside < x->beyond ? x->inside : x->beyond;
}

// The work of a request is done between its coming and the latest that its last token can come: its
// content begins before its patience ends, and no step takes longer than the longest.
static int32_t last_bucket(const struct bounding *b, const struct unit_series *u,
                           const struct arrival *r, int64_t patience_us)
{
    double end_us = (double)r->at_us + (double)patience_us + r->output_tok * u->step_us_most + 1;
    double bucket = end_us / (double)b->bucket_us;
    return bucket < b->n_buckets ? (int32_t)bucket : b->n_buckets;
}

// Where power costs less than nothing, holding a slot longer is cheaper: then for as long as can
// be, with the slowest prefill and one step more than there are tokens, for the one it waits for.
static double power_nusd(const struct least_unit *u, const struct unit_series *us,
                         const struct arrival *r, const struct least_cost *c)
{
    double nusd_per_us = u->power_nusd_per_us + u->carbon_nusd_per_us;
    if (nusd_per_us >= 0)
        return c->power_nusd;
    double prefill_us = service_prefill_us(&u->service, r->prompt_tok, u->service.slots);
    return nusd_per_us *
           ((prefill_us + 1) * us->slow_most + (r->output_tok + 1) * us->step_us_most);
}

static void choice_of(const struct bounding *b, const struct least *l, int32_t unit,
                      const struct arrival *r, struct choice *x)
{
    const struct least_unit *u = &l->units[unit];
    const struct unit_series *us = &b->units[unit];
    const struct least_cost *c = &x->cost;
    *x = (struct choice){0};
    least_of(l, u, r, &x->cost);
    x->nusd = power_nusd(u, us, r, c) + c->waiting_nusd + drawing_nusd(b, u, r, x) +
              least_stand_in(l, u, r);
    int32_t from = (int32_t)(r->at_us / b->bucket_us);
    int32_t last = last_bucket(b, us, r, class_patience_us(b->c->p, r->class));
    for (int k = 0; k < SERIES_KINDS; k++) {
        if (us->of[k] < 0)
            continue;
        double price = series_least_price(b, &b->series[us->of[k]], from, last);
        if (price > 0)
            x->scarce += price * series_use(b, (enum series_kind)k, u, r, c);
    }
    x->nusd += x->scarce;
}

const struct least_unit *bound_choose(const struct bounding *b, const struct arrival *r,
                                      struct choice *out)
{
    bool imputed;
    int64_t patience_us = class_patience_us(b->c->p, r->class);
    const struct least *l = least_at(b, r->at_us);
    const struct least_unit *best = NULL;
    *out = (struct choice){.nusd = least_unserved(l, r, &imputed)};
    for (int32_t i = 0; i < l->n_units; i++) {
        const struct least_unit *u = &l->units[i];
        if (!least_may(l, u, r) || !series_is_there(b, u, r->at_us, patience_us))
            continue;
        struct choice x;
        choice_of(b, l, i, r, &x);
        if (x.nusd >= out->nusd)
            continue;
        best = u;
        *out = x;
    }
    return best;
}

static void add_least(struct bounding *b, const struct arrival *r)
{
    struct choice chosen;
    const struct least_unit *u = bound_choose(b, r, &chosen);
    if (u && b->used)
        prices_add(b, u, r, &chosen);
    b->out->nusd += chosen.nusd;
    b->out->requests++;
}

static void take_off_what_there_is(struct bounding *b)
{
    for (int32_t i = 0; i < b->n_series; i++)
        for (int32_t k = 0; k < b->n_buckets; k++)
            b->out->nusd -= b->series[i].price[k] * b->series[i].there[k];
    for (int32_t i = 0; i < b->n_prepaid; i++)
        b->out->nusd -= b->prepaid[i].price * b->prepaid[i].there;
}

enum err bound_run(struct bound *out, struct arena *a, const struct bound_config *c,
                   struct diag *diag)
{
    struct bounding b = {.c = c, .out = out, .arena = a};
    int32_t buckets = c->buckets_max > 0 ? c->buckets_max : BOUND_BUCKETS;
    *out = (struct bound){.status = ""};
    groups_init(&b.groups, max_i64(c->span_us / buckets + 1, BUCKET_US_MIN));
    enum err e = editions_new(&b.editions, a, c->p, &c->events, c->wall_us);
    if (!e)
        e = least_new(&b.least, a, &b.editions, &c->events);
    if (!e)
        e = tune_begin(&b);
    if (!e)
        e = read_all(&b, gather, diag);
    if (!e && !out->partial)
        e = series_build(&b);
    if (!e && !out->partial)
        e = bound_program(&b, diag);
    if (!e && !out->partial && c->prices)
        e = prices_begin(&b);
    if (!e && !out->partial) {
        series_prepare_least(&b);
        tune(&b);
        e = read_all(&b, add_least, diag);
        take_off_what_there_is(&b);
    }
    if (!e && !out->partial && c->prices)
        e = prices_end(&b);
    out->bucket_us = b.groups.bucket_us;
    out->groups = b.groups.n;
    groups_release(&b.groups);
    return e == ERR_LIMIT ? diag_set(diag, e, "the bound does not fit its memory") : e;
}
