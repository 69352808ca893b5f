#include "replay/reprice.h"

#include "base/rng.h"

static const size_t RESOLVE_BYTES_MAX = (size_t)256 << 20;

static struct route *newest(const struct replay *rp)
{
    return rp->routers[rp->edition].route;
}

static void learn_one(struct replay *rp, const struct arrival *a, int64_t wall_us)
{
    struct wanted *wanted = &rp->repricing.wanted;
    const struct forecast_who who = {a->tenant, a->model, a->user, a->prompt_tok};
    const struct wanted_one one = {
        .tenant = a->tenant,
        .prompt_tok = a->prompt_tok,
        .expected_tok = rp->c->told ? a->output_tok : forecast_output_tok(rp->forecast, &who, 0),
        .output_tok = a->output_tok};
    forecast_learn(rp->forecast, &who, 0, a->prompt_tok, a->output_tok);
    wanted_came(wanted, a->model, a->class, wall_us + a->at_us);
    wanted_learn(wanted, a->model, a->class, &one, mix64(rp->c->seed ^ (uint64_t)a->at_us));
}

// What came before the trace begins teaches, as it would have taught a gateway that was there.
static enum err learn(struct replay *rp, struct diag *diag)
{
    struct arrivals_config c = rp->c->arrivals;
    struct arrivals *in;
    c.until_us = c.from_us;
    c.from_us -= rp->c->learn_us;
    c.repeat = 1;
    enum err e = arrivals_new(&in, &c, diag);
    if (e)
        return e;
    // Tables stay as long as they are at any rate, traces do not.
    double rate = c.lengths ? 1 : c.rate;
    int64_t wall_us = rp->wall_us - (int64_t)((double)rp->c->learn_us / rate);
    for (bool more = true; !e && more;) {
        struct arrival a;
        e = arrivals_next(in, &a, &more, diag);
        if (!e && more && a.model >= 0)
            learn_one(rp, &a, wall_us);
    }
    arrivals_free(in);
    return e;
}

static enum err renew(struct replay *rp)
{
    struct repricing *x = &rp->repricing;
    arena_release(&x->arena);
    arena_init(&x->arena, RESOLVE_BYTES_MAX);
    x->resolve = NULL;
    x->due_us = NEVER;
    if (!resolve_is_wanted(newest(rp)))
        return ERR_NONE;
    x->due_us = rp->now_us + RESOLVE_LOOK_US;
    return resolve_new(&x->resolve, &x->arena, newest(rp));
}

enum err reprice_begin(struct replay *rp, struct diag *diag)
{
    wanted_init(&rp->repricing.wanted);
    enum err e = rp->c->learn_us > 0 ? learn(rp, diag) : ERR_NONE;
    wanted_see(&rp->repricing.wanted, rp->wall_us);
    return e ? e : renew(rp);
}

void reprice_release(struct replay *rp)
{
    arena_release(&rp->repricing.arena);
}

void reprice_turn(struct replay *rp)
{
    enum err e = renew(rp);
    CHECK(!e);  // the first, of the same size, has fitted
}

void reprice_now(struct replay *rp)
{
    struct repricing *x = &rp->repricing;
    struct route *r = newest(rp);
    int64_t wall_us = rp->wall_us + rp->now_us;
    struct resolve_found found;
    x->due_us = rp->now_us + RESOLVE_LOOK_US;
    wanted_see(&x->wanted, wall_us);
    if (!resolve_is_due(x->resolve, r, &x->wanted, rp->now_us, wall_us))
        return;
    resolve_see(x->resolve, r, &x->wanted, rp->now_us, wall_us);
    resolve_solve(x->resolve);
    for (int32_t i = 0; resolve_price(x->resolve, i, &found); i++)
        route_set_price(r, found.contract, &found.price, rp->now_us);
}

void reprice_came(struct replay *rp, const struct flight *x)
{
    if (rp->repricing.resolve)
        wanted_came(&rp->repricing.wanted, x->ask.model, x->ask.class, x->ask.wall_us);
}

void reprice_answered(struct replay *rp, const struct flight *x)
{
    const struct wanted_one one = {.tenant = x->ask.tenant,
                                   .prompt_tok = x->prompt_tok,
                                   .expected_tok = x->ask.output_tok,
                                   .output_tok = x->output_tok};
    if (rp->repricing.resolve)
        wanted_learn(&rp->repricing.wanted, x->ask.model, x->ask.class, &one, x->ask.draw);
}
