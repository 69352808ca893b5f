#include "route/route_internal.h"

#include "base/rng.h"

enum { COOL_US = 1000 * 1000, EMPTY_US = 300 * 1000 * 1000 };

const char *route_bar_text(enum route_bar bar)
{
    switch (bar) {
    case ROUTE_MAY: return "may have it";
    case ROUTE_BAR_WAIT: return "its limits are spent for the moment";
    case ROUTE_BAR_COOLING: return "it said that it is busy, until its retry-after";
    case ROUTE_BAR_BREAKER: return "it is failing";
    case ROUTE_BAR_PRICE: return "it costs more than not answering";
    case ROUTE_BAR_DEADLINE: return "it cannot answer in time";
    case ROUTE_BAR_TRIED: return "it has failed this request";
    case ROUTE_BAR_SPENT: return "money or quota is spent there";
    case ROUTE_BAR_INACTIVE: return "it is not active: phase, maintenance, purpose or disabled";
    case ROUTE_BAR_CONTEXT: return "the request is longer than its context";
    case ROUTE_BAR_REGION: return "the tenant's data may not go there";
    case ROUTE_BAR_SURFACE: return "it does not answer this kind of call";
    case ROUTE_BAR_MODEL: return "nobody serves the model to this tenant";
    }
    return "unknown";
}

enum err route_new(struct route **out, struct arena *a, const struct portfolio *p,
                   struct live *live, const char *policy, struct diag *diag)
{
    const struct policy *po = policy_find(policy);
    if (!po)
        return diag_set(diag, ERR_INVALID, "no policy \"%s\": expected one of %s", policy,
                        policy_names());
    struct route *r = arena_new(a, struct route, 1);
    if (!r)
        return diag_set(diag, ERR_LIMIT, "the router does not fit its memory");
    r->p = p;
    r->live = live;
    r->policy = po;
    r->rules = (struct breaker_rules){p->serve.breaker_failures > 0 ? p->serve.breaker_failures : 1,
                                      p->serve.breaker_open_us, p->serve.breaker_open_us_max};
    enum err e = route_build(r, a, diag);
    if (e)
        return diag_set(diag, e, "the router does not fit its memory");
    *out = r;
    return ERR_NONE;
}

const struct offer *route_offer(const struct route *r, int32_t pool, int32_t model)
{
    CHECK(pool >= 0 && pool < r->p->n_pools);
    int32_t i = r->pool_offers[pool], end = r->pool_offers[pool + 1];
    while (i < end && r->offers[i].model != model)
        i++;
    CHECK(i < end);
    return &r->offers[i];
}

struct list route_list(const struct route *r, const struct route_ask *ask)
{
    if (ask->model < 0 || ask->model >= r->p->n_models)
        return (struct list){0, 0, 0};
    int kind = ask->surface ? __builtin_ctz(ask->surface) : LIST_ANY;
    return r->lists[ask->model * LIST_KINDS + (kind < LIST_SURFACES ? kind : LIST_ANY)];
}

// What was found over the candidates of one ask.
struct tally {
    int32_t candidates, usable;
    int32_t open, closed;    // breakers, of those that nothing lasting bars
    enum route_bar mildest;  // of those barred
    int64_t wait_us;         // when the first that is worth waiting for may have room; NEVER: none
    int64_t until_us, timed_us;
    double least_total;
};

static void tally_bar(struct tally *t, const struct look *l, const struct verdict *v)
{
    if (t->mildest == ROUTE_MAY || v->bar < t->mildest)
        t->mildest = v->bar;
    t->until_us = min_i64(t->until_us, v->until_us);
    if (v->timed)
        t->timed_us = min_i64(t->timed_us, v->until_us);
    if ((v->bar == ROUTE_BAR_WAIT || v->bar == ROUTE_BAR_COOLING) &&
        v->until_us <= l->ask->deadline_us)
        t->wait_us = min_i64(t->wait_us, v->until_us);
}

static void score(const struct route *r, const struct look *l, struct usable *u)
{
    cost_terms(r, l, u->offer, &u->terms);
    const struct live_pair *pair = &r->live->pairs[u->offer->pair];
    const struct live_pool *lp = &r->live->pools[u->offer->place];
    struct policy_view view = {.pool = &r->p->pools[u->offer->pool],
                               .index = u->offer->pool,
                               .n_pools = r->p->n_pools,
                               .in_flight = lp->in_flight,
                               .slots = u->offer->service.slots,
                               .stand_in_rank = u->rank,
                               .turns = r->live->turns,
                               .last_turn = pair->last_turn,
                               .fail_load = cost_fail_load(pair, l->now_us),
                               .terms = &u->terms};
    u->terms.score = r->policy->score(&view, l->ask);
}

// Looks at entries [from, from + n); those that may have it are put into r->usable.
static void survey(const struct route *r, const struct look *l, struct tally *t, int32_t from,
                   int32_t n)
{
    for (int32_t i = from; i < from + n; i++) {
        const struct offer *o = &r->offers[r->entries[i].offer];
        struct verdict v = admit(r, l, o);
        t->candidates++;
        if (v.bar < ROUTE_BAR_SPENT)
            *(v.open ? &t->open : &t->closed) += 1;
        if (v.bar) {
            tally_bar(t, l, &v);
            continue;
        }
        struct usable *u = &r->usable[t->usable++];
        u->offer = o;
        u->rank = r->entries[i].rank;
        u->probe = v.probe;
        score(r, l, u);
        if (t->usable == 1 || u->terms.total < t->least_total)
            t->least_total = u->terms.total;
    }
}

static struct tally tally_empty(void)
{
    return (struct tally){.wait_us = NEVER, .until_us = NEVER, .timed_us = NEVER};
}

// True when no breaker, of the model or of stand-ins that could take over, lets anything through.
static bool is_panic(const struct route *r, const struct look *l, const struct tally *t,
                     const struct list *list)
{
    if (t->open == 0 || t->closed > 0)
        return false;
    if (l->ask->stand_in)
        return true;
    // Stand-ins are let in at once when the model's own pools are all failing (failover.h), which
    // is kinder than trying what is known to fail.
    for (int32_t i = list->from + list->own; i < list->from + list->all; i++) {
        if (admit(r, l, &r->offers[r->entries[i].offer]).bar < ROUTE_BAR_BREAKER)
            return false;
    }
    return true;
}

// Of those within the band of the least score: the model asked for before stand-ins, then by the
// draw in proportion to the weights, which the first in order closes.
static const struct usable *choose(const struct route *r, int32_t n, uint64_t draw)
{
    const struct usable *u = r->usable;
    double least = u[0].terms.score, sum = 0;
    int32_t rank = INT32_MAX;
    for (int32_t i = 1; i < n; i++)
        least = u[i].terms.score < least ? u[i].terms.score : least;
    double most = r->policy->is_money ? least + least * r->p->serve.band : least;
    for (int32_t i = 0; i < n; i++) {
        if (u[i].terms.score <= most && u[i].rank < rank)
            rank = u[i].rank;
    }
    const struct usable *first = NULL;
    for (int32_t i = 0; i < n; i++) {
        if (u[i].terms.score > most || u[i].rank != rank)
            continue;
        double weight = r->p->pools[u[i].offer->pool].weight;
        sum += weight > 0 ? weight : 0;
        if (!first)
            first = &u[i];
    }
    double at = (double)(mix64(draw) >> 11) * 0x1p-53 * sum;
    for (int32_t i = 0; i < n; i++) {
        double weight = r->p->pools[u[i].offer->pool].weight;
        if (u[i].terms.score > most || u[i].rank != rank || !(weight > 0))
            continue;
        first = &u[i];
        if (at < weight)
            break;
        at -= weight;
    }
    return first;
}

static struct route_decision refuse(const struct route *r, const struct route_ask *ask,
                                    const struct tally *t)
{
    struct route_decision d = {.verdict = ROUTE_REFUSE,
                               .pool = -1,
                               .model = ask->model,
                               .bar = t->mildest,
                               .until_us = t->until_us,
                               .candidates = t->candidates};
    if (t->candidates == 0) {
        struct route_ask any = *ask;
        any.surface = 0;
        struct list list = route_list(r, &any);
        d.bar = (ask->stand_in ? list.all : list.own) > 0 ? ROUTE_BAR_SURFACE : ROUTE_BAR_MODEL;
    }
    d.why = route_bar_text(d.bar);
    return d;
}

static struct route_decision send_to(const struct route *r, const struct look *l,
                                     const struct tally *t)
{
    const struct usable *u = choose(r, t->usable, l->ask->draw);
    struct route_decision d = {.verdict = ROUTE_SEND,
                               .pool = u->offer->pool,
                               .model = u->offer->model,
                               .probe = u->probe != 0,
                               .probe_number = u->probe,
                               .panic = l->panic,
                               .until_us = l->now_us,
                               .candidates = t->candidates,
                               .usable = t->usable,
                               .context_tok = u->offer->context_tok,
                               .terms = u->terms};
    if (l->panic)
        d.why = "every breaker of the model is open, so none counts";
    else if (d.probe)
        d.why = "a probe: it was failing";
    else if (u->rank > 0)
        d.why = "a stand-in of the model's group";
    else
        d.why = t->usable == 1 ? "the only one that may have it now" : r->policy->name;
    return d;
}

struct route_decision route_decide(const struct route *r, const struct route_ask *ask,
                                   double strength, int64_t now_us, int64_t *timed_us)
{
    struct list list = route_list(r, ask);
    struct look l = look_at(r, ask, now_us);
    l.strength = strength;
    int32_t n = ask->stand_in ? list.all : list.own;
    struct tally t = tally_empty();
    survey(r, &l, &t, list.from, n);
    if (t.usable == 0 && is_panic(r, &l, &t, &list)) {
        l.panic = true;
        t = tally_empty();
        survey(r, &l, &t, list.from, n);
    }
    *timed_us = t.timed_us;
    if (r->wall_until_us < NEVER && l.active_known)
        *timed_us = min_i64(*timed_us, now_us + (r->wall_until_us - l.wall_us));
    if (t.usable > 0) {
        int64_t unserved = ask->class >= 0 ? r->p->classes[ask->class].unserved_nusd : -1;
        if (unserved < 0 || !(t.least_total > (double)unserved))
            return send_to(r, &l, &t);
        t.mildest = ROUTE_BAR_PRICE;
        t.until_us = NEVER;
        struct route_decision d = refuse(r, ask, &t);
        d.usable = t.usable;
        return d;
    }
    struct route_decision d = refuse(r, ask, &t);
    if (t.wait_us < NEVER) {
        d.verdict = ROUTE_WAIT;
        d.until_us = t.wait_us;
    }
    return d;
}

static double strength_of(const struct route *r, const struct route_ask *ask)
{
    return r->class_weight[ask->class >= 0 ? ask->class : r->p->n_classes];
}

struct route_decision route_pick(const struct route *r, const struct route_ask *ask, int64_t now_us)
{
    int64_t timed_us;
    CHECK(ask->class >= -1 && ask->class < r->p->n_classes);
    return route_decide(r, ask, strength_of(r, ask), now_us, &timed_us);
}

void route_claim(struct route *r, const struct route_ask *ask, double strength, int64_t now_us)
{
    struct list list = route_list(r, ask);
    struct look l = look_at(r, ask, now_us);
    int32_t n = ask->stand_in ? list.all : list.own;
    for (int32_t i = list.from; i < list.from + n; i++) {
        const struct offer *o = &r->offers[r->entries[i].offer];
        if (admit(r, &l, o).bar == ROUTE_BAR_WAIT && r->claimed[o->pool] < strength)
            r->claimed[o->pool] = strength;
    }
}

void route_took(struct route *r, const struct route_ask *ask, const struct route_decision *d,
                int64_t now_us)
{
    CHECK(d->verdict == ROUTE_SEND);
    const struct offer *o = route_offer(r, d->pool, d->model);
    struct live_pair *pair = &r->live->pairs[o->pair];
    admit_took(r, ask, o, now_us);
    pair->last_turn = ++r->live->turns;
    if (d->probe_number)
        breaker_probe_sent(&pair->breaker);
    route_see_wall(r, ask->wall_us + (now_us - ask->arrived_us));
}

void route_first(struct route *r, const struct route_decision *d, int64_t ttft_us, int64_t now_us)
{
    const struct offer *o = route_offer(r, d->pool, d->model);
    struct live_pair *pair = &r->live->pairs[o->pair];
    if (breaker_first(&pair->breaker, d->probe_number, d->panic, now_us))
        r->live->version++;
    cost_learn_ttft(pair, &r->live->pools[o->place], d->terms.model_ttft_us, ttft_us, now_us);
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
    // route_first() has taught the TTFT of what streamed; hearing it twice does no harm, and a
    // whole answer may come here only.
    breaker_ok(&pair->breaker, d->probe_number, d->panic, now_us);
    cost_learn_ttft(pair, lp, d->terms.model_ttft_us, seen->ttft_us, now_us);
    cost_learn_per_token(pair, lp, d->terms.model_per_token_us, seen->per_token_us, now_us);
}

void route_done(struct route *r, const struct route_ask *ask, const struct route_decision *d,
                const struct route_seen *seen, int64_t now_us)
{
    const struct offer *o = route_offer(r, d->pool, d->model);
    struct live_pair *pair = &r->live->pairs[o->pair];
    struct live_pool *lp = &r->live->pools[o->place];
    admit_done(r, ask, o, seen, now_us);
    switch (seen->outcome) {
    case ROUTE_OK: done_ok(r, o, d, seen, now_us); break;
    case ROUTE_FAILED:
        lp->failed++;
        cost_learn_failure(pair, now_us);
        breaker_failed(&pair->breaker, &r->rules, d->probe_number, ask->draw, now_us);
        if (seen->cool_us > 0)
            breaker_hold(&pair->breaker, seen->cool_us, now_us);
        break;
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
    r->live->version++;
}

int32_t route_explain(const struct route *r, const struct route_ask *ask, int64_t now_us,
                      struct route_candidate *out, int32_t max)
{
    struct route_ask any = *ask;
    any.surface = 0;
    struct list list = route_list(r, &any);
    struct look l = look_at(r, ask, now_us);
    l.strength = strength_of(r, ask);
    int32_t n = ask->stand_in ? list.all : list.own;
    for (int32_t i = 0; i < n && i < max; i++) {
        struct usable u = {.offer = &r->offers[r->entries[list.from + i].offer],
                           .rank = r->entries[list.from + i].rank};
        score(r, &l, &u);
        out[i] = (struct route_candidate){.pool = u.offer->pool,
                                          .model = u.offer->model,
                                          .bar = admit(r, &l, u.offer).bar,
                                          .terms = u.terms};
    }
    return n;
}

void route_set_ready(struct route *r, int32_t pool, bool ready)
{
    CHECK(pool >= 0 && pool < r->p->n_pools);
    for (int32_t i = r->pool_offers[pool]; i < r->pool_offers[pool + 1]; i++)
        r->live->pools[r->offers[i].place].absent = !ready;
    r->live->version++;
}

struct route_pool_view route_view(const struct route *r, int32_t pool, int64_t now_us)
{
    CHECK(pool >= 0 && pool < r->p->n_pools);
    struct route_pool_view v = {0};
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
    }
    return v;
}
