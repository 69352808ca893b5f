// route_internal.h - the inside of route.h, for route's own files.
//
//   bind.c    names -> their places in `live`; the router's three steps
//   build.c   portfolio -> offers and lists, once
//   commit.c  contracts with a commitment: what a request uses of one, what that costs now
//   resolve.c what a unit of a commitment is worth, from what was asked (wanted.c)
//   lanes.c   what a list's candidates cost and when they are free, as score.h reads it
//   score.c   candidates -> totals, many at once
//   admit.c   may this offer have this request now, and why not?   limits, health, region, context
//   defer.c   what may wait for hours: which pools it may have now
//   learn.c   times and failures: what is learnt of them, and how it fades
//   share.c   of a pool that enters in steps: which requests, when more
//   warm.c    who has the begin of the prompt in its cache     affinity.c the table behind it
//   decide.c  send, wait or refuse; explain
//   route.c   took, done, first, view: what changes the state
//   wait.c    the line of those that wait; line.c its heaps and groups
//
// An *offer* is one pool answering one model. A *list* holds the offers for one (model, surface):
// first the model's own, then its stand-ins in the order of the group. Its candidates stand in the
// arrays of score.h, worked out of the state in `live`, and are worked out again only when that
// state changes (live->changed says which pool's), when FADE_US pass, or when a phase begins or
// ends. They say nothing that `live`, the portfolio and the time do not: a decision does not depend
// on when they were looked at last, and route_pick() changes nothing.

#ifndef CAUDAL_ROUTE_INTERNAL_H
#define CAUDAL_ROUTE_INTERNAL_H

#include "portfolio/service.h"
#include "route/live_internal.h"
#include "route/policy.h"
#include "route/route.h"
#include "route/score.h"

struct offer {
    int32_t pool, model;
    int32_t place;                        // of the pool in live->pools
    int32_t pair;                         // place in live->pairs
    int32_t commit;                       // contract whose commitment it uses; -1: none
    int32_t context_tok, output_tok_max;  // 0: not said
    uint32_t surfaces;
    enum route_bar fixed;  // ROUTE_BAR_INACTIVE: disabled, or bought for other work
    double input_nusd, cached_nusd, output_nusd;  // list price of a token
    double energy_nusd_per_joule;                 // carbon included
    double carbon_share;                          // of that
    // Of the commitment's unit, for a token in, one of those that was cached, one out, and a us of
    // a slot; and what they cost beyond it.
    double use_input, use_cached, use_output, use_hold;
    double beyond_input_nusd, beyond_cached_nusd, beyond_output_nusd, beyond_hold_nusd;
    // Lifetimes of what is in its prefix cache, for a token that is put in and for a us.
    double cache_per_tok, cache_per_us;
    bool caches;
    struct service service;
    double each_replica;  // 1 / replicas
    double derate;        // share of its slots and KV room that may be used
    int32_t from, n;      // its lanes: r->lane_of[from, from + n)
    int32_t shadow_list;  // where it stands alone; -1: its pool is no shadow
};

struct entry {
    int32_t offer;
    int32_t rank;  // 0: the model asked for; else its place in the group
};

struct dirty {
    uint64_t load, times;  // a bit for each lane: LIVE_LOAD, LIVE_TIMES
};

enum { LIST_SURFACES = 5, LIST_ANY = LIST_SURFACES, LIST_KINDS };
struct list {
    int32_t own, all;             // entries[0, own) are the model's, up to `all` with stand-ins
    const struct entry *entries;  // [all]
    struct candidates *lanes;     // [lanes_blocks(all)]
    struct candidates_more *more;
    const double *round_trip_us;  // [n_user_regions][blocks * LANES]
    double *weight;               // [all], at least 0
    const uint64_t *allowed;      // [n_rights][dirty_words]: lanes that tenants with these may have
    bool even;                    // all weights are equal, and above 0
    bool bends;                   // some lane needs what scoring.bends is for
    bool buckets;                 // some lane has a token bucket
    double context_min;           // no lane's context is smaller
    double least_us, least_us_per_tok, least_us_per_tok2;  // bounds of every lane's least TTFT
    // Which lanes are to be worked out again, and what of them.
    struct dirty *dirty;  // [words_of(all)]
    uint64_t summary;     // bit w % 64: dirty[w] is not 0
    int64_t fresh_us;     // all was worked out for this time, a multiple of FADE_US
};

struct lane_at {
    int32_t list, lane;
};

struct lanes_of {     // a pool's: r->lane_of[from, from + n)
    int32_t from, n;  // 0: it is not of this portfolio
};

enum { FADE_US = 1 << 20 };  // what fades is worked out at multiples of this
static inline int64_t fade_step_us(int64_t now_us)
{
    return now_us & ~(int64_t)(FADE_US - 1);
}

// Limits of a pool as they are tested, with its derate in them.
struct route_limits {
    int32_t in_flight;            // INT32_MAX: none
    double request_us, token_us;  // of the bucket, for one; 0: no limit
    int32_t tokens_most;          // what a full bucket holds
    int32_t region;               // of its site; 0: not said
    int32_t waiting;              // how many may wait for it; 0: not said
    double derate;                // what route_set_derate() had said
};

struct commit {     // of a contract
    int32_t place;  // in live->contracts; -1: it commits to nothing
    bool never;     // nothing may be used beyond it
    struct pace_terms terms;
};

// What is only kept so as not to be worked out again, and room to work in.
struct memo {
    uint64_t seen, levers;  // of live->changes and live->levers
    // Which pools are active, as long as the wall clock is in [wall_from_us, wall_until_us).
    int64_t wall_from_us, wall_until_us;
    bool *active;            // [n_pools]
    int32_t hour;            // typical hour of the plan then; -1: no plan holds
    struct score_room room;  // for the longest list
    int32_t n_kept;          // of room.kept, of what was scored last
    // Of the prompt that was looked for last: who was sent how much of it, and in `warm`, by lane,
    // what is expected to be cached; 0 but for those.
    struct warm {
        int32_t lane, offer, tok;
    } warms[AFFINITY_FOUND];
    int32_t n_warms;
    double *warm;  // [longest list, whole blocks of LANES]
};

struct line;

struct route {
    const struct portfolio *p;
    struct live *live;
    const struct policy *policy;
    struct breaker_rules rules;
    uint64_t lead;  // it leads while it is live->lead

    struct offer *offers;  // by pool, then as the pool serves them
    int32_t n_offers;
    int32_t *pool_offers;         // [n_pools + 1]: first offer of each
    struct route_limits *limits;  // [n_pools]
    struct commit *commits;       // [n_contracts]

    struct list *lists;  // [n_lists]; two surfaces with the same candidates share one
    int32_t *list_of;    // [n_models][LIST_KINDS]
    int32_t n_lists, longest;
    struct lane_at *lane_of;    // by offer, so those of a pool stand together
    struct lanes_of *place_of;  // [live->max_pools]: the pool with this state
    int32_t *offer_at;          // [live->max_pairs]: offer with this state; -1: none
    struct memo *memo;

    int32_t n_regions, n_user_regions, n_rights;
    bool *tenant_region;      // [n_tenants][n_regions]: its data may be there
    uint64_t *tenant_models;  // [n_tenants][model_words]: bits of the models it may use
    int32_t model_words;
    int32_t *tenant_rights;  // [n_tenants]: tenants with the same regions and models; -1: may all
    int32_t *tenant_users;   // [n_tenants + 1]: row of round_trips; the last for no tenant
    uint64_t *tenant_salts;  // [n_tenants + 1]: keeps their prompts apart; likewise
    double *round_trip_us;   // [n_user_regions][n_pools]
    struct worth *worths;    // [n_classes + 1][2]: of ttft and per_token; the last: no class

    // Pools that a waiting request is to have before one that comes now, unless the worth of that
    // one's class exceeds this strength. 0: nobody waits for it.
    double *claimed;  // [n_pools]
    bool some_claimed;
    bool some_shared;                          // pools have steps, or an operator set a share
    struct route_step steps[ROUTE_STEPS_MAX];  // number i at steps[i % ROUTE_STEPS_MAX]
    uint64_t stepped, steps_told;              // how many there were, and were asked for
    double *class_weight;  // [n_classes + 1]: 1 to 16 by the worth of waiting; the last: no class
    struct line *line;
};

// Everything about one ask that does not depend on the candidate.
struct look {
    const struct route_ask *ask;
    int64_t now_us, wall_us;
    int64_t context_tok;  // needed
    bool larger;          // and the context must be larger than that
    bool panic;
    bool unshared;    // nobody else may have it: shares do not count
    bool warm;        // some candidate has the begin of the prompt: memo->warms
    int32_t users;    // row of round trips
    int32_t rights;   // -1: may all
    double strength;  // against claims; 0: stands behind every one
    const bool *tenant_region;
    const uint64_t *tenant_models;
    const double *round_trip_us;
};

struct verdict {  // on one candidate
    enum route_bar bar;
    bool open;         // its breaker lets nothing through
    uint32_t probe;    // number of the probe it would be; 0: none
    int64_t until_us;  // when the bar may fall; NEVER: not by time
    bool timed;        // until_us is known, not an estimate
};

// build.c
void route_limits_of(const struct route *r, int32_t pool);  // limits of a pool, its derate in them

// commit.c
void commit_build(struct route *r);
// The amounts may be other ones now: the next request finds out.
void commit_join(struct route *r);
void commit_bind(const struct route *r, struct offer *o);
// A request of an offer with a commitment used so much of it; 0: time has passed. Returns how much
// of that is beyond it.
double commit_used(struct route *r, const struct offer *o, double units, int64_t now_us,
                   int64_t wall_us);
void commit_set(struct route *r, int32_t contract, double used, int64_t now_us, int64_t wall_us);
// Of the price beyond, inside its commitment; it moves at multiples of FADE_US and when it is used.
double commit_share(const struct route *r, const struct offer *o, int64_t now_us);
enum route_pricing commit_pricing(const struct route *r, const struct offer *o, int64_t now_us,
                                  int64_t *priced_us);
// Nothing may be used of its contract before; 0: not so.
int64_t commit_stop_us(const struct route *r, const struct offer *o);

// lanes.c
enum err lanes_build(struct route *r, struct arena *a);
void lanes_join(struct route *r);  // what levers say, from now on
// Brings what a decision reads up to this time and state.
void lanes_find_wall(const struct route *r, int64_t wall_us);
void lanes_find(const struct route *r, struct list *l, int64_t now_us);
static inline void lanes_see_wall(const struct route *r, int64_t wall_us)
{
    if (wall_us < r->memo->wall_from_us || wall_us >= r->memo->wall_until_us)
        lanes_find_wall(r, wall_us);
}
static inline void lanes_see(const struct route *r, struct list *l, int64_t now_us)
{
    if (r->memo->seen != r->live->changes || l->summary || l->fresh_us != fade_step_us(now_us))
        lanes_find(r, l, now_us);
}
void lanes_weigh(struct route *r, int32_t pool);  // its lever's weight has changed
// All of `list`'s first `n` are barred, whoever asks; `*until_us` is when time alone changes that.
bool lanes_all_barred(const struct list *l, int32_t n, int64_t now_us, int64_t *until_us);

static inline int32_t words_of(int32_t lanes)
{
    return (lanes + 63) / 64;
}

static inline int32_t whole_lanes(int32_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

// admit.c
static inline void look_at(struct look *l, const struct route *r, const struct route_ask *ask,
                           int64_t now_us)
{
    int32_t n_tenants = r->p->n_tenants, tenant = ask->tenant;
    CHECK(tenant >= -1 && tenant < n_tenants);
    CHECK(ask->n_tried >= 0 && ask->n_tried <= ROUTE_TRIED_MAX);
    l->ask = ask;
    l->now_us = now_us;
    l->wall_us = ask->wall_us + (now_us - ask->arrived_us);
    l->larger = ask->context_tok > 0;
    l->context_tok = l->larger ? ask->context_tok : (int64_t)ask->prompt_tok + ask->output_tok_max;
    l->panic = false;
    l->unshared = false;
    l->warm = false;
    l->strength = 0;
    l->rights = -1;
    l->tenant_region = NULL;
    l->tenant_models = NULL;
    if (tenant >= 0) {
        l->tenant_region = &r->tenant_region[(size_t)tenant * (size_t)r->n_regions];
        l->tenant_models = &r->tenant_models[(size_t)tenant * (size_t)r->model_words];
        l->rights = r->tenant_rights[tenant];
    }
    l->users = r->tenant_users[tenant >= 0 ? tenant : n_tenants];
    l->round_trip_us = &r->round_trip_us[(size_t)l->users * (size_t)r->p->n_pools];
}
// Neither its context nor its token bucket is too small for ever.
bool admit_fits(const struct route *r, const struct look *l, const struct offer *o);
struct verdict admit(const struct route *r, const struct look *l, const struct offer *o);
// The request is outside the share of the offer's pool.
bool admit_outside_share(const struct route *r, const struct look *l, const struct offer *o);
void admit_took(struct route *r, const struct route_ask *ask, const struct offer *o,
                int64_t now_us);
void admit_done(struct route *r, const struct route_ask *ask, const struct offer *o,
                const struct route_seen *seen, int64_t now_us);
// What the lanes need: when a request may be drawn; when the token bucket is full, less its size.
int64_t admit_requests_free_us(const struct route_limits *lim, const struct live_pool *lp);
int64_t admit_tokens_from(const struct route_limits *lim, const struct live_pool *lp);

// learn.c
double learn_ratio_ttft(const struct live_pair *pair, int64_t now_us);  // observed over expected
double learn_ratio_per_token(const struct live_pair *pair, int64_t now_us);
double learn_fail_load(const struct live_pair *pair, int64_t now_us);
void learn_ttft(struct live_pair *pair, struct live_pool *pool, double model_us, int64_t seen_us,
                int64_t now_us);
// No content had come after `waited_us`, when the attempt was left.
void learn_ttft_late(struct live_pair *pair, struct live_pool *pool, double model_us,
                     int64_t waited_us, int64_t now_us);
void learn_per_token(struct live_pair *pair, struct live_pool *pool, double model_us,
                     int64_t seen_us, int64_t now_us);
void learn_failure(struct live_pair *pair, int64_t now_us);
// The least time in which this offer could have the first content out, an empty pool and luck
// given; and how long it holds a slot among `n`.
double learn_ttft_least_us(const struct route *r, const struct look *l, const struct offer *o);
double learn_hold_us(const struct offer *o, const struct route_ask *ask, double n);

// warm.c
enum err warm_build(struct route *r, struct arena *a);
void warm_bind(const struct portfolio *p, const struct serving *s, struct offer *o);
// Looks for the ask's prompt: fills memo->warms and l->warm. Before anything is scored.
void warm_find(const struct route *r, struct look *l, const struct list *list);
double warm_cached_tok(const struct route *r, const struct look *l, const struct offer *o);
const struct warm *warm_at(const struct route *r,
                           int32_t lane);  // of l->warm; NULL: has none of it
void warm_took(struct route *r, const struct route_ask *ask, const struct route_decision *d,
               const struct offer *o, int64_t now_us);
void warm_done(struct route *r, const struct route_ask *ask, const struct route_decision *d,
               const struct offer *o, const struct route_seen *seen);
void warm_lost(struct route *r, const struct offer *o);  // all that it kept

// decide.c
// As route_pick(), against claims of up to `strength`. `*timed_us` gets the earliest time at which
// ROUTE_WAIT may become something else without an event.
struct route_decision route_decide(const struct route *r, const struct route_ask *ask,
                                   double strength, int64_t now_us, int64_t *timed_us);
static inline struct list *route_list(const struct route *r, const struct route_ask *ask)
{
    if (ask->model < 0 || ask->model >= r->p->n_models)
        return NULL;  // no such model
    int kind = ask->surface ? __builtin_ctz(ask->surface) : LIST_ANY;
    kind = kind < LIST_SURFACES ? kind : LIST_ANY;
    return &r->lists[r->list_of[ask->model * LIST_KINDS + kind]];
}
static inline int32_t list_n(const struct list *l, const struct route_ask *ask)
{
    return !l ? 0 : ask->stand_in && !ask->same_model ? l->all : l->own;
}

// defer.c
// `l->ask` is deferred work whose last call has not come: defer_strike() says what it may have.
bool defer_may(const struct route *r, const struct look *l);
// Strikes from memo->room.scores the lanes that it may not have yet.
void defer_strike(const struct route *r, const struct look *l, const struct list *list, int32_t n);
int64_t defer_until_us(const struct look *l);  // when time alone may let it have more

// route.c
double route_share(const struct route *r, const struct offer *o, int64_t now_us);  // of its pool
void route_see_shares(struct route *r);                                            // some_shared
const struct offer *route_offer_find(const struct route *r, int32_t pool, int32_t model);
static inline const struct offer *route_offer(const struct route *r, const struct route_decision *d)
{
    const struct offer *o =
        d->place > 0 && d->place <= r->n_offers ? &r->offers[d->place - 1] : NULL;
    return o && o->pool == d->pool && o->model == d->model ? o
                                                           : route_offer_find(r, d->pool, d->model);
}

// wait.c
enum err line_new(struct line **out, struct arena *a, const struct route *r);

#endif
