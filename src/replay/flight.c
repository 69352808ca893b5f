#include "replay/reprice.h"

#include "base/arena.h"
#include "base/rng.h"
#include "replay/routers.h"

#include <stdlib.h>

enum { FLIGHTS_FIRST = 1024 };
static const int64_t RETRY_US_MIN = 5000;       // as gateway/exchange_try.c
static const int64_t LEAVE_AGAIN_US = 1000000;  // as gateway/exchange.c

// --- places -----------------------------------------------------------------------------------

static void grow(struct replay *rp)
{
    int32_t size = rp->flights_size ? 2 * rp->flights_size : FLIGHTS_FIRST;
    CHECK(size <= FLEET_IDS_MAX);
    // Nodes of the heap point into the flights: take them out, and put them back in their order.
    struct flight *old = rp->flights, *more = take_n(sizeof *more, (size_t)size);
    if (rp->n_flights)
        memcpy(more, old, (size_t)rp->n_flights * sizeof *more);
    for (size_t i = 0; i < rp->retry.n; i++) {
        struct flight *x = CONTAINER_OF(rp->retry.nodes[i], struct flight, retry);
        rp->retry.nodes[i] = &more[x - old].retry;
    }
    free(old);
    watch_room(&rp->watch, rp->n_rows, WATCHES * rp->flights_size, WATCHES * size);
    rp->flights = more;
    rp->flights_size = size;
    // An answer that goes as most do needs nothing behind the list of what was tried.
    fleet_keeps(rp->fleet, more, sizeof *more, offsetof(struct flight, ask.tried));
}

static struct flight *flight_new(struct replay *rp)
{
    int32_t id = rp->free_flight;
    if (id >= 0) {
        rp->free_flight = rp->flights[id].next_free;
    } else {
        if (rp->n_flights == rp->flights_size)
            grow(rp);
        id = rp->n_flights++;
    }
    rp->open++;
    if (rp->open > rp->t->in_flight_most)
        rp->t->in_flight_most = rp->open;
    return &rp->flights[id];
}

// --- watches ----------------------------------------------------------------------------------

static void watch(struct replay *rp, int32_t row, int64_t from_us, int32_t entry)
{
    if (rp->row_us[row] >= NEVER - from_us)
        return;
    int64_t due_us = from_us + rp->row_us[row];
    watch_add(&rp->watch, row, entry, due_us);
    rp->watch_due_us = min_i64(rp->watch_due_us, due_us);
}

void flights_watch(struct replay *rp)
{
    int64_t least_us = NEVER;
    for (int32_t row = 0; row < rp->n_rows; row++) {
        int64_t due_us;
        int32_t entry;
        while ((entry = watch_first(&rp->watch, row, &due_us)) >= 0 && due_us <= rp->now_us) {
            watch_drop(&rp->watch, entry);
            struct flight *x = &rp->flights[entry / WATCHES];
            if (row < rp->n_deadlines)
                flight_deadline(rp, x);
            else
                flight_silence(rp, x);
        }
        least_us = min_i64(least_us, due_us);
    }
    rp->watch_due_us = min_i64(least_us, rp->watch_due_us > rp->now_us ? rp->watch_due_us : NEVER);
}

// --- trying -----------------------------------------------------------------------------------

static void forget_retry(struct replay *rp, struct flight *x)
{
    if (x->retry.slot)
        heap_take(&rp->retry, &x->retry);
}

static void leave_line(struct replay *rp, struct flight *x)
{
    forget_retry(rp, x);
    if (x->ticket >= 0)
        route_cancel(flight_route(rp, x), x->ticket);
    x->ticket = -1;
}

static void retry_at(struct replay *rp, struct flight *x, int64_t at_us)
{
    flight_state(rp, x, FLIGHT_WAITING);
    x->retry.due_us = at_us;
    heap_put(&rp->retry, &x->retry);
}

static void give_up(struct replay *rp, struct flight *x, enum route_bar bar)
{
    if (rp->now_us >= x->ask.deadline_us) {
        settle(rp, x, END_EXPIRED);
        return;
    }
    if (x->f.attempts > 0) {
        settle(rp, x, END_FAILED);
        return;
    }
    rp->t->bars[bar]++;
    settle(rp, x, END_REFUSED);
}

// What an attempt died of, told to the router.
static void tell_fault(struct replay *rp, struct flight *x, enum fault fault)
{
    struct route_seen seen = {.outcome = fault_outcome(fault),
                              .cool_us = fault_cool_us(fault, -1),
                              .first_told = x->first_us > 0};
    if (fault == FAULT_TIMEOUT && !x->first_us && rp->now_us < x->ask.deadline_us)
        seen.silent_us = seen.ttft_us = rp->now_us - x->sent_us;
    tally_cell(rp->t, x->d.pool, x->ask.class)->faults++;
    route_done(flight_route(rp, x), &x->ask, &x->d, &seen, rp->now_us);
}

// After a fault: true, pick again now.
static bool fail_over(struct replay *rp, struct flight *x, enum fault fault)
{
    struct failover_decision f = failover_next(&x->f, &x->ask, fault, -1, &rp->retries, rp->now_us);
    switch (f.step) {
    case FAILOVER_AGAIN: return true;
    case FAILOVER_LATER: retry_at(rp, x, max_i64(rp->now_us, f.at_us)); break;
    case FAILOVER_GIVE_UP: give_up(rp, x, ROUTE_BAR_BREAKER); break;
    }
    return false;
}

static int32_t warm_tok(struct replay *rp, const struct flight *x)
{
    if (!x->n_blocks)
        return 0;
    uint64_t salt = mix64((uint64_t)x->d.model + 1);
    struct prefix *cache = &rp->cache[berth_of(rp, x->d.pool, x->d.model)->unit];
    int32_t n = prefix_use(cache, x->blocks, x->n_blocks, salt, rp->now_us);
    // The last token is always computed: it gives the first of the answer.
    int64_t tok = min_i64((int64_t)n * TRACE_BLOCK_TOK, (int64_t)x->prompt_tok - 1);
    return (int32_t)max_i64(tok, 0);
}

// Its router believes in a phase that has slipped since.
static bool has_gone(const struct replay *rp, const struct flight *x)
{
    return x->edition < rp->edition && !editions_active(&rp->t->editions, x->d.pool, rp->now_us);
}

// It has been taken. True: the pool is dead, and another is to be picked.
static bool send_to(struct replay *rp, struct flight *x)
{
    failover_sent(&x->f, x->d.pool);
    x->f.context_tok = x->d.context_tok;
    tally_cell(rp->t, x->d.pool, x->ask.class)->attempts++;
    x->sent_us = rp->now_us;
    flight_state(rp, x, FLIGHT_TRYING);
    if (rp->state[x->d.pool] == POOL_DEAD || has_gone(rp, x)) {
        tell_fault(rp, x, FAULT_CONNECT);
        return fail_over(rp, x, FAULT_CONNECT);
    }
    watch(rp, rp->silence_of[x->d.pool], rp->now_us, WATCHES * flight_id(rp, x) + WATCH_SILENCE);
    x->unit = -1;
    if (rp->state[x->d.pool] == POOL_STALLS)
        return false;
    x->cached_tok = warm_tok(rp, x);
    const struct berth *berth = berth_of(rp, x->d.pool, x->d.model);
    x->unit = berth->unit;
    rp->t->pool[x->d.pool].long_prompts += x->prompt_tok > berth->seen_prompt_tok;
    fleet_add(rp->fleet, x->unit, flight_id(rp, x), x->prompt_tok, x->cached_tok, x->output_tok,
              rp->now_us);
    int32_t waiting = fleet_waiting(rp->fleet, x->unit);
    if (waiting > rp->t->pool[x->d.pool].waiting_most)
        rp->t->pool[x->d.pool].waiting_most = waiting;
    return false;
}

// What x->d comes to. True: pick again.
static bool follow(struct replay *rp, struct flight *x)
{
    if (x->d.verdict == ROUTE_SEND)
        return send_to(rp, x);
    struct failover_decision f = failover_stuck(&x->f, &x->ask, &x->d, rp->now_us);
    if (f.step == FAILOVER_AGAIN)
        return true;
    if (f.step == FAILOVER_GIVE_UP) {
        give_up(rp, x, x->d.bar);
        return false;
    }
    if (f.leave_us > 0) {
        x->ticket =
            route_wait(flight_route(rp, x), &x->ask, (uint64_t)flight_id(rp, x), rp->now_us);
        if (x->ticket < 0) {
            rp->t->line_full++;
            settle(rp, x, END_REFUSED);
            return false;
        }
        rp->t->waited += !x->has_waited;
        x->has_waited = true;
        rp->t->waiting_most = max_i64(rp->t->waiting_most, routers_waiting(rp));
    }
    // In the line it is found when anybody may have it; its deadline is watched anyhow.
    int64_t at_us = f.leave_us > 0 ? f.leave_us : f.at_us;
    if (x->ticket >= 0 && at_us >= x->ask.deadline_us)
        flight_state(rp, x, FLIGHT_WAITING);
    else
        retry_at(rp, x, max_i64(rp->now_us + RETRY_US_MIN, at_us));
    return false;
}

static void try_it(struct replay *rp, struct flight *x)
{
    struct route *route = flight_route(rp, x);
    do {
        x->d = route_pick(route, &x->ask, rp->now_us);
        if (x->d.verdict == ROUTE_SEND)
            route_took(route, &x->ask, &x->d, rp->now_us);
    } while (follow(rp, x));
}

static void wake_of(struct replay *rp, struct route *route)
{
    struct route_woken woken;
    while (route_waiting(route) && route_next(route, &woken, rp->now_us)) {
        struct flight *x = &rp->flights[woken.user];
        CHECK(x->state == FLIGHT_WAITING);
        x->ticket = -1;
        forget_retry(rp, x);
        x->d = woken.decision;
        if (follow(rp, x))
            try_it(rp, x);
    }
}

void flights_wake(struct replay *rp)
{
    for (int32_t i = rp->oldest; i <= rp->edition; i++)
        if (rp->routers[i].route)
            wake_of(rp, rp->routers[i].route);
}

// --- what happens to it -----------------------------------------------------------------------

void flight_begin(struct replay *rp, const struct arrival *a)
{
    struct flight *x = flight_new(rp);
    const struct serve_config *s = &rp->p->serve;
    int64_t patience_us = class_patience_us(rp->p, a->class);
    const struct forecast_who who = {a->tenant, a->model, a->user, a->prompt_tok};
    x->ask = (struct route_ask){
        .model = a->model,
        .class = a->class,
        .tenant = a->tenant,
        .user = a->user,
        .surface = SURFACE_CHAT,
        .prompt_tok = a->prompt_tok,
        .output_tok = rp->c->told ? a->output_tok : forecast_output_tok(rp->forecast, &who, 0),
        .arrived_us = rp->now_us,
        .deadline_us = patience_us < NEVER - rp->now_us ? rp->now_us + patience_us : NEVER,
        .wall_us = rp->wall_us + rp->now_us,
        .draw = mix64(rp->c->seed * 0x9e3779b97f4a7c15u + rp->n_asked),
    };
    x->first_us = 0;
    x->prompt_tok = a->prompt_tok;
    x->output_tok = a->output_tok;
    x->cached_tok = 0;
    x->edition = rp->edition;
    x->ticket = -1;
    x->n_blocks = 0;
    x->has_waited = false;
    if (rp->cache && a->n_blocks) {
        x->blocks = take_n(sizeof *x->blocks, (size_t)a->n_blocks);
        memcpy(x->blocks, a->blocks, (size_t)a->n_blocks * sizeof *x->blocks);
        x->n_blocks = a->n_blocks;
        x->ask.blocks = x->blocks;
        x->ask.n_blocks = x->n_blocks;
        x->ask.block_tok = TRACE_BLOCK_TOK;
    }
    reprice_came(rp, x);
    flight_state(rp, x, FLIGHT_WAITING);
    failover_init(&x->f, s, rp->now_us, x->ask.deadline_us);
    retry_budget_request(&rp->retries);
    int32_t row = a->class >= 0 ? a->class : rp->p->n_classes;
    watch(rp, rp->deadline_of[row], rp->now_us, WATCHES * flight_id(rp, x) + WATCH_DEADLINE);
    try_it(rp, x);
}

void flight_first(struct replay *rp, struct flight *x)
{
    forget_retry(rp, x);
    x->first_us = rp->now_us;
    flight_state(rp, x, FLIGHT_RELAYING);
    route_first(flight_route(rp, x), &x->d, rp->now_us - x->sent_us + flight_trip_us(rp, x),
                rp->now_us);
}

void flight_last(struct replay *rp, struct flight *x)
{
    if (x->state == FLIGHT_TRYING)
        flight_first(rp, x);
    struct route_seen seen = {.outcome = ROUTE_OK,
                              .first_told = true,
                              .ttft_us = x->first_us - x->sent_us + flight_trip_us(rp, x),
                              .prompt_tok = x->prompt_tok,
                              .cached_tok = x->cached_tok,
                              .cached_told = true,
                              .output_tok = x->output_tok};
    if (x->output_tok > 1)
        seen.per_token_us = (rp->now_us - x->first_us) / (x->output_tok - 1);
    route_done(flight_route(rp, x), &x->ask, &x->d, &seen, rp->now_us);
    const struct forecast_who who = {x->ask.tenant, x->ask.model, x->ask.user, x->prompt_tok};
    forecast_learn(rp->forecast, &who, 0, x->prompt_tok, x->output_tok);
    reprice_answered(rp, x);
    settle(rp, x, END_ANSWERED);
}

void flight_retry(struct replay *rp, struct flight *x)
{
    if (x->state == FLIGHT_TRYING) {
        heap_take(&rp->retry, &x->retry);
        flight_silence(rp, x);
        return;
    }
    leave_line(rp, x);
    try_it(rp, x);
}

static void stop(struct replay *rp, struct flight *x, enum fault fault)
{
    leave_line(rp, x);
    if (x->state != FLIGHT_TRYING && x->state != FLIGHT_RELAYING)
        return;
    if (x->unit >= 0)
        fleet_cancel(rp->fleet, flight_id(rp, x), rp->now_us);
    tell_fault(rp, x, fault);
}

void flight_deadline(struct replay *rp, struct flight *x)
{
    stop(rp, x, FAULT_TIMEOUT);
    settle(rp, x, END_EXPIRED);
    flights_wake(rp);
}

static void failed(struct replay *rp, struct flight *x, enum fault fault)
{
    stop(rp, x, fault);
    if (fail_over(rp, x, fault))
        try_it(rp, x);
    flights_wake(rp);
}

void flight_silence(struct replay *rp, struct flight *x)
{
    const struct class *k = x->ask.class >= 0 ? &rp->p->classes[x->ask.class] : NULL;
    int64_t longest_us = rp->p->suppliers[rp->p->pools[x->d.pool].supplier].first_byte_us;
    int64_t due_us = x->sent_us + failover_patience_us(&x->f, &x->ask, &x->d, k, false);
    int64_t last_us = longest_us > 0 ? x->sent_us + longest_us : NEVER;
    if (rp->now_us >= last_us ||
        (rp->now_us >= due_us &&
         failover_may_leave(&x->f, &rp->retries, flight_route(rp, x), &x->ask, rp->now_us))) {
        failed(rp, x, FAULT_TIMEOUT);
        return;
    }
    if (rp->now_us >= due_us)
        due_us = rp->now_us + LEAVE_AGAIN_US;
    x->retry.due_us = min_i64(due_us, last_us);
    heap_put(&rp->retry, &x->retry);
}

void flight_lost(struct replay *rp, struct flight *x)
{
    if (x->state == FLIGHT_TRYING) {
        failed(rp, x, FAULT_RESET);
        return;
    }
    // Content has gone out: there is no other attempt.
    stop(rp, x, FAULT_RESET);
    rp->t->cut++;
    settle(rp, x, END_FAILED);
    flights_wake(rp);
}

bool flight_is_at(const struct replay *rp, const struct flight *x, int32_t pool)
{
    (void)rp;
    return (x->state == FLIGHT_TRYING || x->state == FLIGHT_RELAYING) && x->d.pool == pool;
}
