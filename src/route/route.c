#include "route/route_internal.h"

#include "base/rng.h"

enum {
    COOL_US = 1000 * 1000,
    EMPTY_US = 300 * 1000 * 1000,
    // An attempt that is left without content has cost its user all of that time. If nobody else
    // got anything from there meanwhile it counts as so many: with the default the breaker opens at
    // once.
    STALL_COUNTS = 5,
};

const char *route_bar_text(enum route_bar bar)
{
    switch (bar) {
    case ROUTE_MAY: return "may have it";
    case ROUTE_BAR_DEFERRED: return "it can wait for paid capacity that is not needed otherwise";
    case ROUTE_BAR_WAIT: return "its limits are spent for the moment";
    case ROUTE_BAR_SHARE: return "it enters in steps, and this one is outside its share";
    case ROUTE_BAR_COOLING: return "it said that it is busy, until its retry-after";
    case ROUTE_BAR_BREAKER: return "it is failing";
    case ROUTE_BAR_PRICE: return "it costs more than not answering";
    case ROUTE_BAR_DEADLINE: return "it cannot answer in time";
    case ROUTE_BAR_TRIED: return "it has failed this request";
    case ROUTE_BAR_SPENT: return "money or quota is spent there";
    case ROUTE_BAR_ABSENT: return "its engine is being started and is not ready yet";
    case ROUTE_BAR_INACTIVE:
        return "it is not active: phase, maintenance, purpose, drained or disabled";
    case ROUTE_BAR_CONTEXT: return "the request is longer than its context";
    case ROUTE_BAR_REGION: return "the tenant's data may not go there";
    case ROUTE_BAR_SURFACE: return "it does not answer this kind of call";
    case ROUTE_BAR_MODEL: return "nobody serves the model to this tenant";
    }
    return "unknown";
}

const struct offer *route_offer_find(const struct route *r, int32_t pool, int32_t model)
{
    CHECK(pool >= 0 && pool < r->p->n_pools);
    int32_t i = r->pool_offers[pool], end = r->pool_offers[pool + 1];
    while (i < end && r->offers[i].model != model)
        i++;
    CHECK(i < end);
    return &r->offers[i];
}

void route_see_shares(struct route *r)
{
    r->some_shared = false;
    for (int32_t i = 0; i < r->n_offers; i++) {
        const struct offer *o = &r->offers[i];
        bool by_hand = r->live->pools[o->place].lever.share > 0;
        r->some_shared = r->some_shared || by_hand || r->p->pools[o->pool].share.n_steps > 0;
    }
}

double route_share(const struct route *r, const struct offer *o, int64_t now_us)
{
    const struct live_pool *lp = &r->live->pools[o->place];
    return lp->lever.share > 0 ? lp->lever.share
                               : share_now(&lp->share, &r->p->pools[o->pool].share, now_us);
}

static void note_step(struct route *r, int32_t pool, const struct share_step *step)
{
    r->steps[r->stepped++ % ROUTE_STEPS_MAX] = (struct route_step){pool, *step};
}

bool route_stepped(struct route *r, struct route_step *out)
{
    if (r->stepped - r->steps_told > ROUTE_STEPS_MAX)
        r->steps_told = r->stepped - ROUTE_STEPS_MAX;
    if (r->steps_told == r->stepped)
        return false;
    *out = r->steps[r->steps_told++ % ROUTE_STEPS_MAX];
    return true;
}

// A prompt is to be read.
static void read_more(struct live_pair *pair, const struct route_decision *d, int64_t now_us)
{
    double from_us = (double)now_us;
    from_us = pair->prefill_until_us > from_us ? pair->prefill_until_us : from_us;
    pair->prefill_until_us = from_us + d->terms.prefill_us;
    pair->unread_us += d->terms.prefill_us;
}

// A prompt is read, or is no longer to be; true: that was known to be so by now.
static bool read_less(struct live_pair *pair, const struct route_decision *d, int64_t now_us)
{
    enum { NEAR_US = 1000 };
    double unread_us = pair->unread_us - d->terms.prefill_us;
    pair->unread_us = unread_us > 0 ? unread_us : 0;
    double most_us = (double)now_us + pair->unread_us;
    if (pair->prefill_until_us <= most_us + NEAR_US)
        return true;
    pair->prefill_until_us = most_us;
    return false;
}

void route_took(struct route *r, const struct route_ask *ask, const struct route_decision *d,
                int64_t now_us)
{
    CHECK(d->verdict == ROUTE_SEND);
    const struct offer *o = route_offer(r, d);
    struct live_pair *pair = &r->live->pairs[o->pair];
    admit_took(r, ask, o, now_us);
    struct live_pool *lp = &r->live->pools[o->place];
    struct share_step step;
    pair->last_turn = ++r->live->turns;
    read_more(pair, d, now_us);
    warm_took(r, ask, d, o, now_us);
    if (!(lp->lever.share > 0) &&
        share_took(&lp->share, &r->p->pools[d->pool].share, now_us, &step))
        note_step(r, d->pool, &step);
    if (d->probe_number)
        breaker_probe_sent(&pair->breaker);
    if (o->commit >= 0)
        commit_used(r, o, 0, now_us, ask->wall_us + (now_us - ask->arrived_us));
    live_changed(r->live, o->place, LIVE_LOAD);
}

void route_first(struct route *r, const struct route_decision *d, int64_t ttft_us, int64_t now_us)
{
    const struct offer *o = route_offer(r, d);
    struct live_pair *pair = &r->live->pairs[o->pair];
    bool closed = breaker_first(&pair->breaker, d->probe_number, d->panic, now_us);
    r->live->version += closed;
    pair->content_us = now_us;
    learn_ttft(pair, &r->live->pools[o->place], d->terms.model_ttft_us, ttft_us, now_us);
    bool known = read_less(pair, d, now_us);
    live_changed(r->live, o->place, closed ? LIVE_ALL : known ? LIVE_TIMES : LIVE_ALL);
}

// Up to a quarter later, by chance, so that a crowd does not come back at once.
static int64_t cool_until(int64_t now_us, int64_t cool_us, uint64_t draw)
{
    double share = (double)(mix64(draw ^ 0x636f6f6c) >> 11) * 0x1p-53;
    int64_t us = cool_us + (int64_t)(0.25 * share * (double)min_i64(cool_us, S(10)));
    return us > NEVER - now_us ? NEVER : now_us + us;
}

static void done_ok(struct route *r, const struct offer *o, const struct route_decision *d,
                    const struct route_seen *seen, int64_t now_us)
{
    struct live_pair *pair = &r->live->pairs[o->pair];
    struct live_pool *lp = &r->live->pools[o->place];
    lp->ok++;
    breaker_ok(&pair->breaker, d->probe_number, d->panic, now_us);
    pair->content_us = now_us;
    if (!seen->first_told)
        learn_ttft(pair, lp, d->terms.model_ttft_us, seen->ttft_us, now_us);
    learn_per_token(pair, lp, d->terms.model_per_token_us, seen->per_token_us, now_us);
}

static void done_failed(struct route *r, const struct offer *o, const struct route_ask *ask,
                        const struct route_decision *d, const struct route_seen *seen,
                        int64_t now_us)
{
    struct live_pair *pair = &r->live->pairs[o->pair];
    struct live_pool *lp = &r->live->pools[o->place];
    bool stalled = seen->silent_us > 0 && pair->content_us <= now_us - seen->silent_us;
    lp->failed++;
    learn_failure(pair, now_us);
    if (seen->ttft_us > 0)
        learn_ttft_late(pair, lp, d->terms.model_ttft_us, seen->ttft_us, now_us);
    breaker_failed(&pair->breaker, &r->rules, d->probe_number, stalled ? STALL_COUNTS : 1,
                   ask->draw, now_us);
    if (seen->cool_us > 0)
        breaker_hold(&pair->breaker, seen->cool_us, now_us);
}

static double over_target(int64_t us, int64_t target_us)
{
    return us > 0 && target_us > 0 && target_us < NEVER ? (double)us / (double)target_us : 0;
}

// A pool that turns a request away with 429 has not answered it: for its share that is an error.
static void count_share(struct route *r, const struct offer *o, const struct route_ask *ask,
                        const struct route_seen *seen, int64_t now_us)
{
    struct live_pool *lp = &r->live->pools[o->place];
    struct share_answer answer = {.error = seen->outcome != ROUTE_OK};
    struct share_step step;
    if (seen->outcome == ROUTE_NO_SAY || lp->lever.share > 0)
        return;
    if (ask->class >= 0 && seen->outcome == ROUTE_OK) {
        const struct class *k = &r->p->classes[ask->class];
        answer.ttft = over_target(seen->ttft_us, k->ttft_us);
        answer.per_token = over_target(seen->per_token_us, k->per_token_us);
    }
    if (share_done(&lp->share, &r->p->pools[o->pool].share, &answer, now_us, &step))
        note_step(r, o->pool, &step);
}

void route_done(struct route *r, const struct route_ask *ask, const struct route_decision *d,
                const struct route_seen *seen, int64_t now_us)
{
    const struct offer *o = route_offer(r, d);
    struct live_pair *pair = &r->live->pairs[o->pair];
    struct live_pool *lp = &r->live->pools[o->place];
    admit_done(r, ask, o, seen, now_us);
    if (lp->in_flight == 0)
        pair->prefill_until_us = pair->unread_us = 0;
    else if (!seen->first_told)
        read_less(pair, d, now_us);
    warm_done(r, ask, d, o, seen);
    switch (seen->outcome) {
    case ROUTE_OK: done_ok(r, o, d, seen, now_us); break;
    case ROUTE_FAILED: done_failed(r, o, ask, d, seen, now_us); break;
    case ROUTE_BUSY:
        lp->busy++;
        pair->cool_until_us =
            max_i64(pair->cool_until_us,
                    cool_until(now_us, seen->cool_us > 0 ? seen->cool_us : COOL_US, ask->draw));
        breaker_no_say(&pair->breaker, d->probe_number);
        break;
    case ROUTE_EMPTY:
        lp->busy++;
        lp->empty_until_us =
            max_i64(lp->empty_until_us,
                    cool_until(now_us, seen->cool_us > 0 ? seen->cool_us : EMPTY_US, ask->draw));
        breaker_no_say(&pair->breaker, d->probe_number);
        break;
    case ROUTE_NO_SAY: breaker_no_say(&pair->breaker, d->probe_number); break;
    }
    count_share(r, o, ask, seen, now_us);
    if (!seen->drawn)
        route_draw(r, ask, d, seen, now_us);
    r->live->version++;
    live_changed(r->live, o->place, LIVE_ALL);
}

static void pool_changed(struct route *r, int32_t pool)
{
    if (r->pool_offers[pool] < r->pool_offers[pool + 1])
        live_changed(r->live, r->offers[r->pool_offers[pool]].place, LIVE_ALL);
}

void route_set_ready(struct route *r, int32_t pool, bool ready)
{
    CHECK(pool >= 0 && pool < r->p->n_pools);
    for (int32_t i = r->pool_offers[pool]; i < r->pool_offers[pool + 1]; i++) {
        r->live->pools[r->offers[i].place].absent = !ready;
        if (!ready)
            warm_lost(r, &r->offers[i]);
    }
    r->live->version++;
    pool_changed(r, pool);
}

void route_set_lever(struct route *r, int32_t pool, const struct route_lever *lever)
{
    CHECK(pool >= 0 && pool < r->p->n_pools);
    CHECK(lever->n_windows >= 0 && lever->n_windows <= ROUTE_WINDOWS_MAX);
    if (r->pool_offers[pool] == r->pool_offers[pool + 1])
        return;  // it serves nothing
    struct live_pool *lp = &r->live->pools[r->offers[r->pool_offers[pool]].place];
    if (lp->lever.share > 0 && !(lever->share > 0))
        share_set(&lp->share, lp->lever.share);
    lp->lever = *lever;
    lp->lever.said = true;
    route_see_shares(r);
    lp->derate = lever->derate;
    r->live->levers++;
    route_limits_of(r, pool);
    lanes_weigh(r, pool);
    r->memo->wall_until_us = INT64_MIN;  // maintenance is looked at again
    r->live->version++;
    pool_changed(r, pool);
}

void route_set_derate(struct route *r, int32_t pool, double share)
{
    struct route_lever lever = {.weight = -1, .derate = share};
    route_set_lever(r, pool, &lever);
}

struct route_commitment route_commitment(const struct route *r, int32_t contract)
{
    CHECK(contract >= 0 && contract < r->p->n_contracts);
    int32_t place = r->commits[contract].place;
    if (place < 0)
        return (struct route_commitment){0};
    const struct pace *c = &r->live->contracts[place].pace;
    double share = pace_share(c, &r->commits[contract].terms, c->seen_us);
    return (struct route_commitment){c->amount, c->used, share, c->from_us, c->until_us};
}

void route_commitment_used(struct route *r, int32_t contract, double used, int64_t now_us,
                           int64_t wall_us)
{
    CHECK(contract >= 0 && contract < r->p->n_contracts);
    commit_set(r, contract, used, now_us, wall_us);
}

struct route_pool_view route_view(const struct route *r, int32_t pool, int64_t now_us)
{
    CHECK(pool >= 0 && pool < r->p->n_pools);
    struct route_pool_view v = {.share = 1};
    for (int32_t i = r->pool_offers[pool]; i < r->pool_offers[pool + 1]; i++) {
        const struct live_pair *pair = &r->live->pairs[r->offers[i].pair];
        const struct live_pool *lp = &r->live->pools[r->offers[i].place];
        v.breaker_open = v.breaker_open || pair->breaker.open;
        v.cooling = v.cooling || pair->cool_until_us > now_us || lp->empty_until_us > now_us;
        v.in_flight = lp->in_flight;
        v.ready = !lp->absent;
        v.ttft_us = (int64_t)(lp->ttft_us + 0.5);
        v.per_token_us = (int64_t)(lp->per_token_us + 0.5);
        v.took = lp->took;
        v.ok = lp->ok;
        v.failed = lp->failed;
        v.busy = lp->busy;
        v.share = route_share(r, &r->offers[i], now_us);
        v.share_by_hand = lp->lever.share > 0;
        v.share_forward = lp->share.forward;
        v.share_back = lp->share.back;
    }
    return v;
}
