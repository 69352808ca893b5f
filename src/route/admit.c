#include "route/route_internal.h"

// May this offer have this request now? The bars are tried from what lasts longest to what passes
// soonest, so the one that is reported is the one that matters.

enum { BUCKET_MINUTE_US = 60 * 1000 * 1000, BUCKET_UNIT = 1024 };  // a bucket counts in 1/1024 us

static int64_t bucket_time(int64_t us)
{
    return us > INT64_MAX / BUCKET_UNIT / 4 ? INT64_MAX / 4 : us * BUCKET_UNIT;
}

// Rounded up: a bucket never lets more through than its rate.
static int64_t bucket_cost(double each_us, int64_t n)
{
    double v = each_us * (double)n * BUCKET_UNIT;
    if (v >= (double)(INT64_MAX / 8))
        return INT64_MAX / 8;
    int64_t whole = (int64_t)v;
    return (double)whole < v ? whole + 1 : whole;
}

// A minute's worth, and at least one whole unit: 500 a day is 0.35 in a minute.
static int64_t bucket_size(double each_us)
{
    return max_i64(bucket_time(BUCKET_MINUTE_US), bucket_cost(each_us, 1));
}

// When `n` may be drawn, at the earliest.
static int64_t bucket_free_us(const struct bucket *b, double each_us, int64_t n)
{
    if (each_us <= 0)
        return INT64_MIN;
    int64_t at = b->full_at + bucket_cost(each_us, n) - bucket_size(each_us);
    return at <= 0 ? INT64_MIN : (at + BUCKET_UNIT - 1) / BUCKET_UNIT;
}

static void bucket_draw(struct bucket *b, double each_us, int64_t n, int64_t now_us)
{
    if (each_us <= 0)
        return;
    int64_t now = bucket_time(now_us);
    b->full_at = max_i64(b->full_at, now) + bucket_cost(each_us, n);
}

static void bucket_give_back(struct bucket *b, double each_us, int64_t n)
{
    if (each_us > 0)
        b->full_at -= bucket_cost(each_us, n);
}

// What a request draws from the token bucket when it is sent. A prompt that a full bucket could not
// hold never passes; a forecast that would not fit is no reason to wait for ever.
static int32_t need_tok(const struct route_limits *lim, const struct route_ask *ask)
{
    int64_t tok = (int64_t)max_i64(ask->prompt_tok, 0) + max_i64(ask->output_tok, 0);
    return (int32_t)min_i64(tok, lim->tokens_most);
}

int64_t admit_requests_free_us(const struct route_limits *lim, const struct live_pool *lp)
{
    return bucket_free_us(&lp->requests, lim->request_us, 1);
}

int64_t admit_tokens_from(const struct route_limits *lim, const struct live_pool *lp)
{
    return lp->tokens.full_at - bucket_size(lim->token_us);
}

static bool is_tried(const struct route_ask *ask, int32_t pool)
{
    for (int32_t i = 0; i < ask->n_tried; i++) {
        if (ask->tried[i] == pool)
            return true;
    }
    return false;
}

bool admit_fits(const struct route *r, const struct look *l, const struct offer *o)
{
    if (l->ask->prompt_tok > r->limits[o->pool].tokens_most)
        return false;
    if (o->context_tok == 0 || l->context_tok < o->context_tok)
        return true;
    return l->context_tok == o->context_tok && !l->larger;
}

// What does not change from one moment to the next.
static enum route_bar lasting(const struct route *r, const struct look *l, const struct offer *o)
{
    const struct route_limits *lim = &r->limits[o->pool];
    if (l->tenant_models &&
        !(l->tenant_models[o->model / 64] & (UINT64_C(1) << ((uint32_t)o->model % 64))))
        return ROUTE_BAR_MODEL;
    if (l->ask->surface && !(o->surfaces & l->ask->surface))
        return ROUTE_BAR_SURFACE;
    if (l->tenant_region && !l->tenant_region[lim->region])
        return ROUTE_BAR_REGION;
    if (!admit_fits(r, l, o))
        return ROUTE_BAR_CONTEXT;
    if (o->fixed)
        return o->fixed;
    if (r->live->pools[o->place].lever.stopped)
        return ROUTE_BAR_INACTIVE;
    if (r->live->pools[o->place].absent)
        return ROUTE_BAR_ABSENT;
    return r->memo->active[o->pool] ? ROUTE_MAY : ROUTE_BAR_INACTIVE;
}

// When a slot should come free: the one in flight that is nearest its end, if they are spread
// evenly.
static int64_t slot_free_us(const struct route *r, const struct look *l, const struct offer *o)
{
    double n = r->live->pools[o->place].in_flight;
    double us = learn_hold_us(o, l->ask, n) / (n > 1 ? n : 1);
    return l->now_us + (us < 1000 ? 1000 : us > 1e12 ? (int64_t)1e12 : (int64_t)us);
}

static struct verdict barred(enum route_bar bar, int64_t until_us, bool timed)
{
    return (struct verdict){.bar = bar, .until_us = until_us, .timed = timed};
}

// In flight, requests, tokens.
static struct verdict admit_limits(const struct route *r, const struct look *l,
                                   const struct offer *o)
{
    const struct route_limits *lim = &r->limits[o->pool];
    const struct live_pool *lp = &r->live->pools[o->place];
    int64_t free_us = max_i64(bucket_free_us(&lp->requests, lim->request_us, 1),
                              bucket_free_us(&lp->tokens, lim->token_us, need_tok(lim, l->ask)));
    if (free_us > l->now_us)
        return barred(ROUTE_BAR_WAIT, free_us, true);
    double claim = r->claimed[o->pool];
    if (lp->in_flight >= lim->in_flight || (claim > 0 && claim >= l->strength))
        return barred(ROUTE_BAR_WAIT, slot_free_us(r, l, o), false);
    return barred(ROUTE_MAY, l->now_us, true);
}

bool admit_outside_share(const struct route *r, const struct look *l, const struct offer *o)
{
    if (l->unshared)
        return false;
    double share = route_share(r, o, l->now_us);
    return share < 1 && !share_draws(share, l->ask->draw, r->live->pools[o->place].key.a);
}

struct verdict admit(const struct route *r, const struct look *l, const struct offer *o)
{
    enum route_bar bar = lasting(r, l, o);
    if (bar)
        return barred(bar, NEVER, false);
    const struct live_pair *pair = &r->live->pairs[o->pair];
    const struct live_pool *lp = &r->live->pools[o->place];
    int64_t spent_us = max_i64(lp->empty_until_us, commit_stop_us(r, o));
    if (spent_us > l->now_us)
        return barred(ROUTE_BAR_SPENT, spent_us, spent_us < NEVER);
    struct verdict v;
    enum breaker_says says = breaker_look(&pair->breaker, l->now_us);
    bool stop = says == BREAKER_STOP && !(l->panic && !pair->breaker.held);
    if (is_tried(l->ask, o->pool)) {
        v = barred(ROUTE_BAR_TRIED, NEVER, false);
    } else if (l->now_us + (int64_t)learn_ttft_least_us(r, l, o) > l->ask->deadline_us ||
               l->now_us >= l->ask->deadline_us) {
        v = barred(ROUTE_BAR_DEADLINE, NEVER, false);
    } else if (stop) {
        // Behind a probe nobody knows when: its first content is an event.
        bool timed = pair->breaker.open_until_us > l->now_us;
        v = barred(ROUTE_BAR_BREAKER, timed ? pair->breaker.open_until_us : NEVER, timed);
    } else if (r->some_shared && admit_outside_share(r, l, o)) {
        v = barred(ROUTE_BAR_SHARE, NEVER, false);
    } else if (pair->cool_until_us > l->now_us) {
        v = barred(ROUTE_BAR_COOLING, pair->cool_until_us, true);
    } else {
        v = admit_limits(r, l, o);
    }
    v.open = says == BREAKER_STOP;
    if (says == BREAKER_PROBE)
        v.probe = breaker_probe_number(&pair->breaker);
    return v;
}

void admit_took(struct route *r, const struct route_ask *ask, const struct offer *o, int64_t now_us)
{
    const struct route_limits *lim = &r->limits[o->pool];
    struct live_pool *lp = &r->live->pools[o->place];
    lp->in_flight++;
    lp->context_tok += (int64_t)ask->prompt_tok + ask->output_tok;
    lp->took++;
    bucket_draw(&lp->requests, lim->request_us, 1, now_us);
    bucket_draw(&lp->tokens, lim->token_us, need_tok(lim, ask), now_us);
}

void admit_done(struct route *r, const struct route_ask *ask, const struct offer *o,
                const struct route_seen *seen, int64_t now_us)
{
    const struct route_limits *lim = &r->limits[o->pool];
    struct live_pool *lp = &r->live->pools[o->place];
    CHECK(lp->in_flight > 0);
    lp->in_flight--;
    lp->context_tok -= (int64_t)ask->prompt_tok + ask->output_tok;
    // The forecast becomes the count. What failed keeps the forecast: the supplier may have
    // counted.
    if (seen->output_tok <= 0 && seen->prompt_tok <= 0)
        return;
    int64_t drawn = need_tok(lim, ask);
    int64_t prompt = seen->prompt_tok > 0 ? seen->prompt_tok : ask->prompt_tok;
    int64_t output =
        seen->output_tok > 0 || seen->outcome == ROUTE_OK ? seen->output_tok : ask->output_tok;
    if (prompt + output > drawn)
        bucket_draw(&lp->tokens, lim->token_us, prompt + output - drawn, now_us);
    else
        bucket_give_back(&lp->tokens, lim->token_us, drawn - prompt - output);
}
