#include "replay/replay.h"

#include "base/arena.h"
#include "replay/reprice.h"
#include "replay/routers.h"

#include <stdlib.h>

enum { ASK_EVERY = 4096 };
static const double CACHE_TOK = 64e6;  // of a pool that keeps prompts and does not say how much

// --- what it is made of -----------------------------------------------------------------------

static int32_t row_of(struct replay *rp, int32_t from, int64_t length_us)
{
    for (int32_t i = from; i < rp->n_rows; i++)
        if (rp->row_us[i] == length_us)
            return i;
    rp->row_us[rp->n_rows] = length_us;
    return rp->n_rows++;
}

static bool make_watch(struct replay *rp)
{
    const struct portfolio *p = rp->p;
    rp->row_us = arena_new(rp->arena, int64_t, p->n_classes + 1 + p->n_pools);
    rp->deadline_of = arena_new(rp->arena, int32_t, p->n_classes + 1);
    rp->silence_of = arena_new(rp->arena, int32_t, p->n_pools);
    if (!rp->row_us || !rp->deadline_of || !rp->silence_of)
        return false;
    for (int32_t i = 0; i <= p->n_classes; i++)
        rp->deadline_of[i] = row_of(rp, 0, class_patience_us(p, i < p->n_classes ? i : -1));
    rp->n_deadlines = rp->n_rows;
    for (int32_t i = 0; i < p->n_pools; i++) {
        int64_t us = p->suppliers[p->pools[i].supplier].first_byte_us;
        // Nobody's patience is shorter; few attempts come to it, and only those are looked at
        // closer.
        us = min_i64(us > 0 ? us : NEVER, p->serve.patience_us);
        rp->silence_of[i] = row_of(rp, rp->n_deadlines, us);
    }
    watch_room(&rp->watch, rp->n_rows, 0, 0);
    rp->watch_due_us = NEVER;
    return true;
}

static bool make_trips(struct replay *rp)
{
    const struct portfolio *p = rp->p;
    rp->round_trip_us =
        arena_new(rp->arena, int64_t, (size_t)(p->n_tenants + 1) * (size_t)p->n_pools);
    if (!rp->round_trip_us)
        return false;
    for (int32_t t = 0; t <= p->n_tenants; t++) {
        struct str region =
            t < p->n_tenants && p->tenants[t].region.n ? p->tenants[t].region : p->serve.region;
        for (int32_t i = 0; i < p->n_pools; i++)
            rp->round_trip_us[t * p->n_pools + i] = pool_round_trip_us(p, &p->pools[i], region);
    }
    return true;
}

static bool make_fleet(struct replay *rp)
{
    const struct portfolio *p = rp->p;
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_pools; i++)
        n += p->pools[i].n_serves;
    rp->berths = arena_new(rp->arena, struct berth, n);
    rp->first_berth = arena_new(rp->arena, int32_t, p->n_pools + 1);
    rp->state = arena_new(rp->arena, enum pool_state, p->n_pools);
    if (!rp->berths || !rp->first_berth || !rp->state)
        return false;
    rp->fleet = fleet_new(n > 0 ? n : 1, p->n_sites + 1);
    for (int32_t i = 0, at = 0; i < p->n_pools; i++) {
        rp->first_berth[i] = at;
        for (int32_t k = 0; k < p->pools[i].n_serves; k++) {
            const struct serving *serving = &p->pools[i].serves[k];
            struct service s;
            service_of(&s, p, &p->pools[i], serving->model);
            double each_w = (s.busy_w - s.idle_w) * s.pue / s.slots;
            int32_t unit = fleet_unit(rp->fleet, &s);
            int32_t site = p->pools[i].site >= 0 ? p->pools[i].site : p->n_sites;
            fleet_weigh(rp->fleet, unit, (int64_t)(each_w * 1e3 + 0.5), site);
            rp->berths[at++] = (struct berth){unit, i, serving->model, each_w / 1e6,
                                              s.seen_prompt_tok > 0 && s.seen_prompt_tok < INT32_MAX
                                                  ? (int32_t)s.seen_prompt_tok
                                                  : INT32_MAX};
        }
        rp->first_berth[i + 1] = at;
    }
    return true;
}

// Caches are there where the portfolio says so.
static bool make_caches(struct replay *rp)
{
    const struct portfolio *p = rp->p;
    struct prefix *caches =
        arena_new(rp->arena, struct prefix, p->n_pools ? rp->first_berth[p->n_pools] : 0);
    for (int32_t i = 0; caches && i < p->n_pools; i++) {
        for (int32_t k = rp->first_berth[i]; k < rp->first_berth[i + 1]; k++) {
            const struct serving *serving = &p->pools[i].serves[k - rp->first_berth[i]];
            struct service s;
            service_of(&s, p, &p->pools[i], serving->model);
            struct prefix_cache c = prefix_cache_of(&p->pools[i], serving, &s);
            double blocks = !c.said ? 0 : (c.tok < 0 ? CACHE_TOK : c.tok) / TRACE_BLOCK_TOK;
            if (blocks < 1)
                continue;
            prefix_init(&caches[k], (int32_t)(blocks < 1 << 28 ? blocks : 1 << 28), c.ttl_us);
            rp->cache = caches;
        }
    }
    return caches != NULL;
}

// Opens the trace up to its first request, since with that it is known when time 0 was.
static enum err open_trace(struct replay *rp, struct diag *diag)
{
    enum err e = arrivals_new(&rp->arrivals, &rp->c->arrivals, diag);
    if (!e)
        e = arrivals_next(rp->arrivals, &rp->first, &rp->any, diag);
    if (!e)
        rp->wall_us = arrivals_wall_us(rp->arrivals);
    return e;
}

static enum err make_books(struct replay *rp)
{
    struct tally *t = rp->t;
    const struct events *events = &rp->c->events;
    enum err e = tally_init(t, rp->arena, rp->p, rp->c->policy);
    if (!e)
        e = editions_new(&t->editions, rp->arena, rp->p, events, rp->wall_us);
    if (!e)
        e = least_new(&t->least, rp->arena, &t->editions, events);
    if (!e)
        e = account_init(&t->account, rp->arena, &t->editions, t->least, rp->c->whole);
    t->account.used = rp->c->used;
    if (e || t->editions.n == 1)
        return e;
    rp->joules = arena_new(rp->arena, double, (size_t)t->editions.n *(size_t)rp->p->n_pools);
    return rp->joules ? ERR_NONE : ERR_LIMIT;
}

static enum err make(struct replay *rp, struct diag *diag)
{
    const struct portfolio *p = rp->p;
    int32_t pairs = 0;
    for (int32_t i = 0; i < p->n_pools; i++)
        pairs += p->pools[i].n_serves;
    if (make_books(rp) || !make_watch(rp) || !make_trips(rp) || !make_fleet(rp) || !make_caches(rp))
        return diag_set(diag, ERR_LIMIT, "the replay does not fit its memory");
    enum err e = live_new(&rp->live, rp->arena, p->n_pools, pairs);
    if (!e && rp->cache)
        e = live_remember(rp->live, rp->arena);
    if (!e)
        e = forecast_new(&rp->forecast, rp->arena, p->n_tenants, p->n_models);
    if (!e)
        e = routers_begin(rp, diag);
    if (!e)
        e = reprice_begin(rp, diag);
    retry_budget_init(&rp->retries, p->serve.retry_budget);
    return e ? diag_set(diag, e, "the replay does not fit its memory") : ERR_NONE;
}

static void release(struct replay *rp)
{
    for (int32_t i = 0; i < rp->n_flights; i++)
        if (rp->flights[i].n_blocks)
            free(rp->flights[i].blocks);
    routers_release(rp);
    reprice_release(rp);
    free(rp->flights);
    heap_release(&rp->retry);
    fleet_free(rp->fleet);
    arrivals_free(rp->arrivals);
    watch_release(&rp->watch);
    for (int32_t i = 0; rp->cache && i < rp->first_berth[rp->p->n_pools]; i++)
        prefix_release(&rp->cache[i]);
}

// --- the loop ---------------------------------------------------------------------------------

static void befall(struct replay *rp, const struct event *ev)
{
    int32_t from = rp->first_berth[ev->pool], end = rp->first_berth[ev->pool + 1];
    switch (ev->kind) {
    case EVENT_DIES:
        rp->state[ev->pool] = POOL_DEAD;
        for (int32_t i = from; i < end && rp->cache; i++)
            prefix_clear(&rp->cache[i]);
        for (int32_t i = 0; i < rp->n_flights; i++)
            if (flight_is_at(rp, &rp->flights[i], ev->pool))
                flight_lost(rp, &rp->flights[i]);
        break;
    case EVENT_STALLS: rp->state[ev->pool] = POOL_STALLS; break;
    case EVENT_HEALS:
        rp->state[ev->pool] = POOL_WELL;
        for (int32_t i = from; i < end; i++) {
            fleet_slow(rp->fleet, rp->berths[i].unit, 1, rp->now_us);
            fleet_derate(rp->fleet, rp->berths[i].unit, 1, rp->now_us);
        }
        break;
    case EVENT_SLOW:
        for (int32_t i = from; i < end; i++)
            fleet_slow(rp->fleet, rp->berths[i].unit, ev->value, rp->now_us);
        break;
    case EVENT_DERATE:
        for (int32_t i = from; i < end; i++)
            fleet_derate(rp->fleet, rp->berths[i].unit, ev->value, rp->now_us);
        break;
    }
}

static void on_fleet(struct replay *rp)
{
    struct fleet_event ev;
    if (!fleet_next(rp->fleet, rp->now_us, &ev))
        return;  // only a prefill has ended
    struct flight *x = &rp->flights[ev.id];
    if (ev.kind == SERVICE_FIRST)
        flight_first(rp, x);
    else
        flight_last(rp, x);
    if (routers_waiting(rp))
        flights_wake(rp);
}

static int64_t edition_due_us(const struct replay *rp)
{
    return edition_until_us(&rp->t->editions, rp->edition, NEVER);
}

static int64_t event_due_us(const struct replay *rp)
{
    const struct events *e = &rp->c->events;
    return min_i64(rp->next_event < e->n ? e->all[rp->next_event].at_us : NEVER,
                   edition_due_us(rp));
}

static int64_t retry_due_us(const struct replay *rp)
{
    return rp->retry.n ? heap_first(&rp->retry)->due_us : NEVER;
}

// When something but the fleet is due.
static int64_t other_due_us(const struct replay *rp)
{
    int64_t us = min_i64(rp->watch_due_us, rp->event_due_us);
    us = min_i64(us, rp->repricing.due_us);
    return min_i64(us, min_i64(retry_due_us(rp), routers_due_us(rp)));
}

static void on_event(struct replay *rp)
{
    if (edition_due_us(rp) == rp->now_us)
        routers_turn(rp);
    else
        befall(rp, &rp->c->events.all[rp->next_event++]);
    rp->event_due_us = event_due_us(rp);
}

static void on_other(struct replay *rp)
{
    if (rp->event_due_us == rp->now_us) {
        on_event(rp);
    } else if (rp->watch_due_us == rp->now_us) {
        flights_watch(rp);
    } else if (rp->repricing.due_us == rp->now_us) {
        reprice_now(rp);
    } else if (retry_due_us(rp) == rp->now_us) {
        flight_retry(rp, CONTAINER_OF(heap_first(&rp->retry), struct flight, retry));
    } else {
        flights_wake(rp);
    }
}

// Does what is due up to `until_us`, in the order of time; what is due together in the order of
// fleet, editions, events, watches, prices, retries, line.
static void run_until(struct replay *rp, int64_t until_us)
{
    for (;;) {
        int64_t fleet_us = fleet_due(rp->fleet), other_us = other_due_us(rp);
        int64_t due_us = min_i64(fleet_us, other_us);
        if (due_us > until_us || due_us == NEVER)
            return;
        CHECK(due_us >= rp->now_us);
        rp->now_us = due_us;
        if (fleet_us == due_us)
            on_fleet(rp);
        else
            on_other(rp);
    }
}

static bool may_go_on(const struct replay *rp)
{
    const struct replay_progress at = {(int64_t)rp->n_asked, rp->now_us};
    return !rp->c->go_on || rp->c->go_on(rp->c->ctx, &at);
}

// A trace that begins within a period finds as much of its commitment used as is said, or as an
// even pace would have used: the policy then paces what is left, and not all of it.
static void begin_commitments(struct replay *rp)
{
    for (int32_t i = 0; i < rp->p->n_contracts; i++) {
        double said = account_used(rp->c->used, i);
        struct account_period c = account_period_of(rp->p, i, rp->wall_us);
        struct account_begun begun = account_begun(rp->p, i, rp->wall_us, said);
        rp->t->begun[i] = begun;
        bool dated = c.from_us != INT64_MIN && c.until_us < NEVER;
        if (c.amount > 0 && (dated || begun.said))
            route_commitment_used(rp->routers[0].route, i, c.amount * begun.used, rp->now_us,
                                  rp->wall_us);
    }
}

static enum err play(struct replay *rp, struct diag *diag)
{
    struct arrival a = rp->first;
    if (rp->any)
        begin_commitments(rp);
    for (bool more = rp->any; more;) {
        if (rp->n_asked % ASK_EVERY == 0 && !may_go_on(rp)) {
            rp->t->partial = true;
            return ERR_NONE;
        }
        run_until(rp, a.at_us);
        rp->now_us = a.at_us;
        rp->n_asked++;
        rp->t->arrivals_us = a.at_us;
        if (a.model < 0)
            settle_unknown(rp, &a);
        else
            flight_begin(rp, &a);
        enum err e = arrivals_next(rp->arrivals, &a, &more, diag);
        if (e)
            return e;
    }
    // Events and the like of a fleet without work are of no interest.
    for (int64_t step = 0; rp->open > 0; step++) {
        if (step % ASK_EVERY == 0 && !may_go_on(rp)) {
            rp->t->partial = true;
            return ERR_NONE;
        }
        int64_t next_us = min_i64(fleet_due(rp->fleet), other_due_us(rp));
        CHECK(next_us < NEVER);
        run_until(rp, next_us);
    }
    return ERR_NONE;
}

enum err replay_run(struct tally *out, struct arena *a, const struct replay_config *c,
                    struct diag *diag)
{
    struct replay rp = {.c = c, .p = c->p, .arena = a, .t = out, .free_flight = -1};
    heap_init(&rp.retry);
    enum err e = open_trace(&rp, diag);
    if (!e)
        e = make(&rp, diag);
    if (!e) {
        rp.event_due_us = event_due_us(&rp);
        e = play(&rp, diag);
    }
    if (!e) {
        out->wall_us = rp.wall_us;
        settle_all(&rp);
    }
    release(&rp);
    return e;
}
