#include "route/failover.h"

#include "base/rng.h"

enum {
    COOL_BUSY_US = 1 * 1000 * 1000,
    COOL_BUSY_US_MAX = 600 * 1000 * 1000,
    COOL_DENIED_US = 60 * 1000 * 1000,
    COOL_MINUTES_US = 300 * 1000 * 1000,
    AGAIN_US = 20 * 1000,
    AGAIN_US_MAX = 80 * 1000,
    LATER_US_MIN = 1000,
    // Who is told to come back later than this is told at once: no official client waits longer for
    // a retry-after either, and the user can do something else meanwhile.
    COOLING_US_MAX = 60 * 1000 * 1000,
    // A first content that takes so many times what was expected is not coming, mostly.
    PATIENCE = 4,
    // Answers are longer than their forecast more often than they are slower.
    PATIENCE_TOK_MIN = 256,
    PATIENCE_LENGTHS = 4,
};
// A pool that dies takes all it had in flight with it, and each of those needs a retry at once: the
// budget bounds what a fleet that goes on failing is hit with, not that moment.
static const double BUDGET_MIN = 10, BUDGET_REQUESTS = 5000;

static const struct fault_row {
    const char *name;
    enum route_outcome outcome;
} faults[FAULT_COUNT] = {
    [FAULT_NONE] = {"none", ROUTE_OK},           [FAULT_CONNECT] = {"connect", ROUTE_FAILED},
    [FAULT_RESET] = {"reset", ROUTE_FAILED},     [FAULT_TIMEOUT] = {"timeout", ROUTE_FAILED},
    [FAULT_SERVER] = {"server", ROUTE_FAILED},   [FAULT_GARBAGE] = {"garbage", ROUTE_FAILED},
    [FAULT_BUSY] = {"busy", ROUTE_BUSY},         [FAULT_SPENT] = {"spent", ROUTE_EMPTY},
    [FAULT_DENIED] = {"denied", ROUTE_FAILED},   [FAULT_NO_MODEL] = {"no-model", ROUTE_FAILED},
    [FAULT_CONTEXT] = {"context", ROUTE_NO_SAY}, [FAULT_CONTENT] = {"content", ROUTE_NO_SAY},
    [FAULT_CLIENT] = {"client", ROUTE_NO_SAY},   [FAULT_GONE] = {"gone", ROUTE_NO_SAY},
};

const char *fault_name(enum fault f)
{
    return (unsigned)f < FAULT_COUNT ? faults[f].name : "unknown";
}

enum route_outcome fault_outcome(enum fault f)
{
    return (unsigned)f < FAULT_COUNT ? faults[f].outcome : ROUTE_FAILED;
}

int64_t fault_cool_us(enum fault f, int64_t retry_after_us)
{
    switch (f) {
    case FAULT_BUSY:
        // A supplier that says "tomorrow" is asked again after ten minutes all the same.
        return retry_after_us > 0 ? min_i64(retry_after_us, COOL_BUSY_US_MAX) : COOL_BUSY_US;
    case FAULT_DENIED: return COOL_DENIED_US;
    case FAULT_SPENT:
    case FAULT_NO_MODEL: return COOL_MINUTES_US;
    default: return 0;
    }
}

void retry_budget_init(struct retry_budget *b, double share)
{
    double most = share * BUDGET_REQUESTS;
    b->share = share > 0 ? share : 0;
    b->most = most > BUDGET_MIN ? most : BUDGET_MIN;
    b->level = b->most;
}

void retry_budget_request(struct retry_budget *b)
{
    b->level += b->share;
    if (b->level > b->most)
        b->level = b->most;
}

bool retry_budget_take(struct retry_budget *b)
{
    if (b->level < 1)
        return false;
    b->level -= 1;
    return true;
}

void failover_init(struct failover *f, const struct serve_config *c, int64_t now_us,
                   int64_t deadline_us)
{
    *f = (struct failover){.attempts_max = c->attempts > 0 ? c->attempts : 1,
                           .began_us = now_us,
                           .deadline_us = deadline_us,
                           .stand_in_after_us = c->stand_in_after_us,
                           .patience_us = c->patience_us,
                           .last_pool = -1};
}

void failover_sent(struct failover *f, int32_t pool)
{
    f->attempts++;
    f->last_pool = pool;
    f->same_again_may = false;
    f->context_tok = 0;
}

static struct failover_decision give_up(const char *why)
{
    return (struct failover_decision){FAILOVER_GIVE_UP, NEVER, 0, why};
}

static struct failover_decision again(int64_t now_us, const char *why)
{
    return (struct failover_decision){FAILOVER_AGAIN, now_us, 0, why};
}

static struct failover_decision later(int64_t at_us, int64_t leave_us, const char *why)
{
    return (struct failover_decision){FAILOVER_LATER, at_us, leave_us, why};
}

static void tried_add(struct route_ask *ask, int32_t pool)
{
    for (int32_t i = 0; i < ask->n_tried; i++) {
        if (ask->tried[i] == pool)
            return;
    }
    if (pool >= 0 && ask->n_tried < ROUTE_TRIED_MAX)
        ask->tried[ask->n_tried++] = pool;
}

static void tried_remove(struct route_ask *ask, int32_t pool)
{
    int32_t n = 0;
    for (int32_t i = 0; i < ask->n_tried; i++) {
        if (ask->tried[i] != pool)
            ask->tried[n++] = ask->tried[i];
    }
    ask->n_tried = n;
}

// Only what is larger may have it now. A pool whose context is known is ruled out by that, and may
// still answer with a stand-in that has more; one whose context is not known has had its turn.
static void needs_larger(const struct failover *f, struct route_ask *ask)
{
    int64_t said = (int64_t)ask->prompt_tok + ask->output_tok_max;
    int64_t tok = f->context_tok > 0 ? f->context_tok : said;
    tok = max_i64(tok, ask->context_tok);
    ask->context_tok = (int32_t)min_i64(tok, INT32_MAX);
    ask->stand_in = true;
    if (f->context_tok == 0)
        tried_add(ask, f->last_pool);
}

struct failover_decision failover_next(struct failover *f, struct route_ask *ask, enum fault fault,
                                       int64_t retry_after_us, struct retry_budget *budget,
                                       int64_t now_us)
{
    (void)retry_after_us;  // route_done() was told: the pool cools, and the next pick knows
    f->same_again_may = false;
    switch (fault) {
    case FAULT_CONTENT: return give_up("a content policy refused it: it goes to nobody else");
    case FAULT_CLIENT: return give_up("the request itself is wrong");
    case FAULT_GONE: return give_up("the client went away");
    default: break;
    }
    if (now_us >= f->deadline_us)
        return give_up("the deadline passed");
    if (f->attempts >= f->attempts_max || ask->n_tried >= ROUTE_TRIED_MAX)
        return give_up("no attempts are left");
    if (!retry_budget_take(budget))
        return give_up("the retry budget of the process is spent");
    switch (fault) {
    case FAULT_CONTEXT:
        needs_larger(f, ask);
        return again(now_us, "too long for this context: a larger one may take it");
    case FAULT_BUSY:
        // It cools, so the pick goes elsewhere; when its time comes it may have this request again.
        return again(now_us, "busy: another pool of the model, or this one after its retry-after");
    case FAULT_SERVER:
    case FAULT_RESET: f->same_again_may = !f->same_again_used; break;
    default: break;
    }
    tried_add(ask, f->last_pool);
    return again(now_us, "another pool of the model");
}

// 20 to 80 ms, by the request's own chance.
static int64_t again_us(const struct failover *f, const struct route_ask *ask)
{
    uint64_t chance = mix64(ask->draw + (uint64_t)f->attempts * 0x9e3779b97f4a7c15u);
    return AGAIN_US + (int64_t)(chance % (AGAIN_US_MAX - AGAIN_US + 1));
}

static struct failover_decision let_stand_ins(struct route_ask *ask, int64_t now_us)
{
    ask->stand_in = true;
    return again(now_us, "no pool of the model may answer in time: a stand-in of its group may");
}

static bool is_worth_waiting(const struct route_decision *d, int64_t now_us)
{
    return d->verdict == ROUTE_WAIT &&
           (d->bar != ROUTE_BAR_COOLING || d->until_us - now_us <= COOLING_US_MAX);
}

// When stand-ins are let in.
static int64_t stand_in_at_us(const struct failover *f)
{
    return f->stand_in_after_us < NEVER - f->began_us ? f->began_us + f->stand_in_after_us : NEVER;
}

// Who waits keeps its place in the line: that one is told when a pool is free. It leaves where time
// changes what it asks for (stand-ins), or whether waiting is worth it (a pool may cool for
// longer).
static struct failover_decision wait_in_line(const struct route_decision *d, int64_t latest_us,
                                             int64_t now_us, const char *why)
{
    int64_t at_us = min_i64(max_i64(d->until_us, now_us + LATER_US_MIN), latest_us);
    return later(at_us, d->bar == ROUTE_BAR_COOLING ? at_us : latest_us, why);
}

struct failover_decision failover_stuck(struct failover *f, struct route_ask *ask,
                                        const struct route_decision *d, int64_t now_us)
{
    if (now_us >= f->deadline_us)
        return give_up("the deadline passed");
    int64_t latest_us = f->deadline_us;
    // Pools of the model could answer: no reason for a stand-in.
    if (!ask->stand_in && d->bar != ROUTE_BAR_DEFERRED)
        latest_us = min_i64(latest_us, stand_in_at_us(f));
    bool waits = is_worth_waiting(d, now_us);
    if (waits && d->until_us <= latest_us && now_us < latest_us)
        return wait_in_line(d, latest_us, now_us, "a pool is free soon");
    int64_t again_at_us = now_us + again_us(f, ask);
    if (f->same_again_may && again_at_us < latest_us) {
        f->same_again_may = false;
        f->same_again_used = true;
        tried_remove(ask, f->last_pool);
        return later(again_at_us, 0, "the same pool once more: no other of the model may have it");
    }
    if (!ask->stand_in)
        return let_stand_ins(ask, now_us);
    if (waits)
        return wait_in_line(d, f->deadline_us, now_us, "waits for a pool until its deadline");
    return give_up(d->why ? d->why : "nobody may answer");
}

// --- patience ---------------------------------------------------------------------------------

int64_t failover_patience_us(const struct failover *f, const struct route_ask *ask,
                             const struct route_decision *d, const struct class *k, bool whole)
{
    double expected_us = (double)d->terms.ttft_us;
    if (k && k->ttft_us != NEVER && k->ttft_us > d->terms.ttft_us)
        expected_us = (double)k->ttft_us;
    if (whole) {
        int64_t tok = max_i64(PATIENCE_TOK_MIN, PATIENCE_LENGTHS * (int64_t)ask->output_tok);
        if (ask->output_tok_max > 0)
            tok = min_i64(tok, ask->output_tok_max);
        expected_us += (double)d->terms.per_token_us * (double)tok;
    }
    double us = PATIENCE * expected_us;
    return max_i64(us < 1e15 ? (int64_t)us : (int64_t)1e15, f->patience_us);
}

bool failover_may_leave(const struct failover *f, const struct retry_budget *budget,
                        const struct route *r, const struct route_ask *ask, int64_t now_us)
{
    if (now_us >= f->deadline_us || f->attempts >= f->attempts_max ||
        ask->n_tried >= ROUTE_TRIED_MAX || budget->level < 1)
        return false;
    struct route_ask other = *ask;
    tried_add(&other, f->last_pool);
    other.stand_in = other.stand_in || now_us >= stand_in_at_us(f);
    struct route_decision d = route_pick(r, &other, now_us);
    return d.verdict == ROUTE_SEND && !d.probe && !d.panic;
}
