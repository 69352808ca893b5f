// route.h - choose the pool that serves a request.
//
// Pure: no I/O, no clock, no globals, no allocation after route_new(). Time comes in as `now_us`
// (monotonic) and chance as `ask->draw`, so the same calls in the same order give the same answers
// in `serve` and in `replay`. Each attempt goes route_pick() -> route_took() -> route_done(); one
// told to wait goes route_wait() -> route_next() or route_cancel().
//
// Choosing and counting are two calls: a pick that is never sent leaves nothing to undo. What a
// reload must not lose (in flight, buckets, breakers, learnt rates, shares) is in `struct live`, by
// name; the router itself belongs to one portfolio and dies with it.

#ifndef CAUDAL_ROUTE_H
#define CAUDAL_ROUTE_H

#include "portfolio/portfolio.h"
#include "route/share.h"

struct route;  // opaque; one thread at a time: its owner holds the lock
struct live;   // live.h

enum { ROUTE_TRIED_MAX = 16, ROUTE_WAITING_MAX = 16384 };

struct route_ask {
    int32_t model;       // index into the portfolio's models
    int32_t class;       // -1: none
    int32_t tenant;      // -1: none (no keys in the portfolio)
    uint64_t user;       // which of the tenant's end users, for forecasts of length; 0: not said
    uint32_t surface;    // one bit of enum surface
    int32_t prompt_tok;  // tokens, estimated from bytes
    int32_t output_tok;  // tokens, forecast, at most output_tok_max
    int32_t output_tok_max;  // what the client allows; 0: not said
    int32_t context_tok;     // the pool's context must exceed this; 0: prompt_tok + output_tok_max
                             // as far as known
    int64_t arrived_us, deadline_us;  // on the clock of `now_us`; NEVER: no deadline
    int64_t wall_us;                  // since 1970, at arrival, for phases and maintenance
    uint64_t draw;                    // 64 uniform random bits, to break ties
    bool stand_in;                    // other models of the group may answer
    bool same_model;  // whatever stand_in says, they may not: who asks may use no other
    // Blocks of the prompt from its begin, of `block_tok` tokens each, known by the hash of
    // everything up to their end; borrowed until route_took() and route_done() have seen them, in
    // the line too. The same blocks of another tenant count as others.
    const uint64_t *blocks;
    int32_t n_blocks, block_tok;
    int32_t n_tried;
    int32_t tried[ROUTE_TRIED_MAX];  // pools that have failed this request already
};

enum route_verdict { ROUTE_SEND, ROUTE_WAIT, ROUTE_REFUSE };

// Why a pool may not have a request now; ROUTE_MAY is 0. Also why a request is refused: the mildest
// bar over its candidates (the one that passes soonest).
enum route_bar {
    ROUTE_MAY,
    ROUTE_BAR_DEFERRED,  // it can wait, and capacity that is paid for may come free
    ROUTE_BAR_WAIT,      // in flight, requests or tokens are spent for the moment
    ROUTE_BAR_COOLING,   // it said 429: until its retry-after
    ROUTE_BAR_SHARE,     // the request is outside the share of a pool that enters in steps
    ROUTE_BAR_BREAKER,   // failing
    ROUTE_BAR_PRICE,     // the least cost exceeds what not answering costs
    ROUTE_BAR_DEADLINE,  // it cannot answer in time
    ROUTE_BAR_TRIED,     // has failed this very request
    ROUTE_BAR_SPENT,     // money or quota at the supplier: out for minutes
    ROUTE_BAR_ABSENT,    // an engine that is being started, or started again
    ROUTE_BAR_INACTIVE,  // no phase is active, maintenance, or not enabled
    ROUTE_BAR_CONTEXT,   // the request is longer than its context
    ROUTE_BAR_REGION,    // the tenant's data may not go there
    ROUTE_BAR_SURFACE,   // it does not answer this kind of call
    ROUTE_BAR_MODEL,     // nobody serves the model
};
const char *route_bar_text(enum route_bar bar);

struct route_terms {  // what a candidate costs, in nano-dollars; the sum is total
    double list, energy, carbon, wait_ttft, wait_tokens, total;
    double score;          // what the policy minimises; total for least-cost
    int64_t ttft_us;       // expected: queue, uncached prefill, round trip
    int64_t per_token_us;  // expected
    double model_ttft_us,
        model_per_token_us;  // before observation: what route_done() compares with
    bool observed;           // the times are from live observation, not only from the model
    double prefill_us;  // what of the prompt is not cached keeps the pool so long from the next one
    // Of the prompt: what was sent there lately, and what of it is expected in its cache.
    int32_t warm_tok, cached_tok;
};

struct route_decision {
    enum route_verdict verdict;
    int32_t pool;           // ROUTE_SEND: index into the portfolio; otherwise -1
    int32_t model;          // the model that will answer: ask's, or a stand-in
    enum route_bar bar;     // ROUTE_WAIT, ROUTE_REFUSE: why
    bool probe;             // ROUTE_SEND through a half-open breaker
    uint32_t probe_number;  // which one; 0: none
    bool panic;             // every breaker of the model was open, so none counted
    int64_t until_us;    // ROUTE_WAIT: worth asking again no later; ROUTE_REFUSE: when it may pass,
                         // NEVER if it will not
    int32_t candidates;  // pools that might have had it, and of these
    int32_t usable;      // those that could have it now
    int32_t context_tok;  // of `pool` with `model`; 0: not said
    int32_t place;  // the router's own mark of (pool, model), so that it need not look; 0: none
    struct route_terms terms;  // of `pool`
    uint64_t number;           // its owner's; 0 from route_pick()
    const char *why;           // static text, for the log line, the decision header and the report
};

enum route_outcome {
    ROUTE_OK,      // answered; its times are learnt
    ROUTE_FAILED,  // refused, broken, timed out, 5xx: counts against the breaker; with `cool_us`
                   // (a wrong key or model name) it opens at once, for that long
    ROUTE_BUSY,    // 429 and the like: cools until `cool_us` passes, not a health failure
    ROUTE_EMPTY,   // money or quota: out for `cool_us` (minutes)
    ROUTE_NO_SAY,  // the client's mistake, or the client went away
};

struct route_seen {  // what was observed of one attempt
    enum route_outcome outcome;
    int64_t cool_us;    // fault_cool_us(); 0: not said
    int64_t ttft_us;    // 0: nothing came; with `silent_us`, what it is at least
    int64_t silent_us;  // ROUTE_FAILED: it was left after so long without content; 0: not for that
    bool first_told;    // route_first() was called, so that TTFT is learnt already
    int64_t per_token_us;                        // 0: not known (fewer than two tokens)
    int32_t prompt_tok, cached_tok, output_tok;  // 0: not known
    bool cached_told;                            // cached_tok is what the supplier counted, 0 too
    int64_t list_nusd;  // of those tokens, for route_draw(); 0: reckoned from prompt and output
    int64_t hold_us;    // it held its slot so long, for route_draw(); 0: reckoned from its times
    bool drawn;         // route_draw() was called
};

// Builds a router over `p`, which it borrows and which must outlive it. `policy` is a name of
// policy.h. Binds each pool to its state in `live`, by name.
//   Memory  all from `a`: about 400 bytes for each (pool, model), 250 for each candidate of each
//           list (a model has one list, or more when its pools do not all answer the same calls;
//           its stand-ins are in it), 1 byte for each (tenant, region), and 5 MiB for the waiting
//           line, of which the system backs what is used
//   Errors  ERR_LIMIT    `a` or `live` is full
//           ERR_INVALID  no such policy; `diag` names it and the known ones
MUST_USE enum err route_new(struct route **out, struct arena *a, const struct portfolio *p,
                            struct live *live, const char *policy, struct diag *diag);

// The same in three steps, for an owner who holds the lock for moments only: nearly all of the time
// goes by in route_build(), which reads the portfolio and nothing that changes in `live`. What
// `live` gets to know meanwhile is seen from route_join() on; nothing may be asked before. One that
// is not to be joined ends with route_leave().
MUST_USE enum err route_bind(struct route **out, struct arena *a, const struct portfolio *p,
                             struct live *live, const char *policy, struct diag *diag);  // locked
MUST_USE enum err route_build(struct route *r, struct arena *a, struct diag *diag);
void route_join(struct route *r);  // locked
// Its limits of pools are those of all routers over the same `live` from now on, as when it was
// made: what the others still have is of the same pools. Should it leave, the one before it leads
// again.
void route_lead(struct route *r);
// It is used no more, though its memory is still there: what only it has names of may be forgotten.
void route_leave(struct route *r);

// Says where `ask` should go now. Changes nothing that another call could tell. O(pools of the
// model and its group), a few nanoseconds each; nobody being free costs more, since the bar is
// looked for.
struct route_decision route_pick(const struct route *r, const struct route_ask *ask,
                                 int64_t now_us);

// The attempt was sent: `d->pool` is busy with it until route_done(). Draws the limits.
void route_took(struct route *r, const struct route_ask *ask, const struct route_decision *d,
                int64_t now_us);
// The attempt ended. Exactly once for each route_took() (and each send of route_next()).
void route_done(struct route *r, const struct route_ask *ask, const struct route_decision *d,
                const struct route_seen *seen, int64_t now_us);
// What an attempt that is ending has used of a commitment is counted by route_done(), or by this
// before it, when its caller writes down how much. Counted is what its tokens or its time are known
// to be, whether it failed or not.
struct route_drawn {
    int32_t contract;      // whose commitment; -1: the pool's contract commits to nothing
    double units, beyond;  // in its unit; `beyond` of them are more than was left of its amount
    int64_t
        marginal_nusd;  // what they cost now: nothing inside the commitment, the price beyond it
};
struct route_drawn route_draw(struct route *r, const struct route_ask *ask,
                              const struct route_decision *d, const struct route_seen *seen,
                              int64_t now_us);
// The first content of an attempt came: a half-open breaker closes now, not when a long answer
// ends.
void route_first(struct route *r, const struct route_decision *d, int64_t ttft_us, int64_t now_us);

// May the pool `shadow`, which shadows another, have a copy of `ask` now? ROUTE_SEND: then
// route_took() and route_done() as for any other. ROUTE_WAIT, ROUTE_REFUSE: `bar` says why not. It
// serves ask->model; no other call here sends anything to it.
struct route_decision route_shadow(const struct route *r, const struct route_ask *ask,
                                   int32_t shadow, int64_t now_us);

// Puts `ask` (copied) into the waiting line: earliest deadline first within a class, classes by the
// worth of their waiting, and nobody starves. `user` comes back from route_next(). Returns a
// ticket, or -1 when the line is full, full enough of this tenant's while others come, or so long
// that the deadline passes first, whatever comes free.
int32_t route_wait(struct route *r, const struct route_ask *ask, uint64_t user, int64_t now_us);
struct route_woken {
    uint64_t user;
    struct route_decision decision;  // ROUTE_SEND: already taken, route_done() is owed.
                                     // ROUTE_REFUSE: its time is over, or nothing it waits for
                                     // can come any more (the bar says what)
};
// Which waiting request should go now; false when none can. Call until false after route_done() and
// when route_due() has come. A ticket ends when its request comes out here.
bool route_next(struct route *r, struct route_woken *out, int64_t now_us);
void route_cancel(struct route *r, int32_t ticket);  // its ticket is free; `user` never comes back
int64_t
route_due(const struct route *r);  // when route_next() may have something; NEVER: not by time
int32_t route_waiting(const struct route *r);

// Who says what a unit of a commitment is worth.
enum route_pricing {
    ROUTE_PRICED_NOT,
    ROUTE_PRICED_SPENT,     // nothing is left, or it has no end: the price beyond, or nothing
    ROUTE_PRICED_CALENDAR,  // its pace against the calendar
    ROUTE_PRICED_PLAN,      // its pace against a plan
    ROUTE_PRICED_SOLVED,    // route_set_price()
};

// Every candidate with its terms and its bar, for `x-caudal-explain` and the report. Returns how
// many there are; at most `max` are written.
struct route_candidate {
    int32_t pool, model;
    int32_t rank;  // 0: the model asked for; else its place in the group
    enum route_bar bar;
    int64_t until_us;  // when the bar may fall; NEVER: not by time
    enum basis basis;  // of the speed that is expected of it, before observation
    bool beyond;       // outside of what that was measured with
    int32_t in_flight;
    int32_t contract;            // whose commitment it draws; -1: none
    double pace;                 // share of the price beyond that the policy `caudal` reckons with
    enum route_pricing pricing;  // who says so
    int64_t priced_us;           // ROUTE_PRICED_SOLVED: when it was found
    struct route_terms terms;
};
int32_t route_explain(const struct route *r, const struct route_ask *ask, int64_t now_us,
                      struct route_candidate *out, int32_t max);

// A pool that is being started (an engine of ours) or is known to be gone is not a candidate until
// it is ready: bar ROUTE_BAR_ABSENT. Pools are ready when the router is made.
void route_set_ready(struct route *r, int32_t pool, bool ready);

// What an operator says of a pool from now on, on top of the portfolio. Kept in `live`; a router
// that was made before must be told too.
enum { ROUTE_WINDOWS_MAX = 4 };
struct route_lever {
    bool said;
    bool stopped;   // nothing new goes there: bar ROUTE_BAR_INACTIVE
    double weight;  // instead of the portfolio's; below 0: the portfolio's
    double share;   // of the requests it may have, instead of its steps; 0: as they say
    double derate;  // share (0 to 1] of its limits, slots and KV room, on top of the portfolio's:
                    // it has lost accelerators or power; 1: all of it
    struct route_window {
        int64_t from_us, until_us;  // wall time of maintenance
    } windows[ROUTE_WINDOWS_MAX];
    int32_t n_windows;
};
void route_set_lever(struct route *r, int32_t pool, const struct route_lever *lever);
// What the lever says of a share begins now; the steps go on from there when it says it no more.
// The same with a derate alone.
void route_set_derate(struct route *r, int32_t pool, double share);

// A pool that enters in steps went one, forward or back; the oldest of the last ROUTE_STEPS_MAX
// that nobody has asked for yet. False: there is none.
enum { ROUTE_STEPS_MAX = 16 };
struct route_step {
    int32_t pool;
    struct share_step step;
};
bool route_stepped(struct route *r, struct route_step *out);

// What is used of a contract's commitment, in the commitment's unit, in the period that the last
// request fell in; and the share of the price beyond that the policy `caudal` reckons with
// (pace.h). All 0 for a contract that commits to nothing or has seen no request.
struct route_commitment {
    double amount, used, share;
    int64_t from_us, until_us;  // of the period, wall time
};
struct route_commitment route_commitment(const struct route *r, int32_t contract);
// What the ledger knows to be used in the period of `wall_us`, after a start.
void route_commitment_used(struct route *r, int32_t contract, double used, int64_t now_us,
                           int64_t wall_us);

// What a unit of a contract's commitment is worth from now on, of the price beyond, as resolve.h
// found it: in place of its pace, in this period and as long as such a price holds. It stands in
// the middle, and moves to the lower or the higher as less or more is used meanwhile than is meant:
// one price cannot split requests that are alike.
struct route_price {
    double low, high;
    double per_us;           // of the commitment's unit, meant to be used
    int64_t period_from_us;  // wall time
};
void route_set_price(struct route *r, int32_t contract, const struct route_price *price,
                     int64_t now_us);

// What the operator's page and /metrics show of a pool.
struct route_pool_view {
    int32_t in_flight;
    bool breaker_open, cooling, ready;
    int64_t ttft_us, per_token_us;  // learnt; 0: nothing seen yet
    uint64_t took, ok, failed, busy;
    double share;  // of the requests it may have; 1: all
    bool share_by_hand;
    uint64_t share_forward, share_back;  // steps
};
struct route_pool_view route_view(const struct route *r, int32_t pool, int64_t now_us);

#endif
