// route_internal.h - the inside of route.h, for route's own files.
//
//   build.c   portfolio -> offers and lists, once
//   admit.c   may this offer have this request now?       limits, health, region, context, phase
//   cost.c    what would it cost?                          times expected and learnt, money
//   route.c   send, wait or refuse; took, done, first; explain, view
//   wait.c    the line of those that wait
//
// An *offer* is one pool answering one model. A *list* holds the offers for one (model, surface):
// first the model's own, then its stand-ins in the order of the group.

#ifndef CAUDAL_ROUTE_INTERNAL_H
#define CAUDAL_ROUTE_INTERNAL_H

#include "portfolio/service.h"
#include "route/live_internal.h"
#include "route/policy.h"
#include "route/route.h"

struct offer {
    int32_t pool, model;
    int32_t place;                        // of the pool in live->pools
    int32_t pair;                         // place in live->pairs
    int32_t context_tok, output_tok_max;  // 0: not said
    uint32_t surfaces;
    enum route_bar fixed;            // ROUTE_BAR_INACTIVE: disabled, or bought for other work
    double input_nusd, output_nusd;  // list price of a token
    double energy_nusd_per_joule;
    struct service service;
};

struct entry {
    int32_t offer;
    int32_t rank;  // 0: the model asked for; else its place in the group
};

enum { LIST_SURFACES = 5, LIST_ANY = LIST_SURFACES, LIST_KINDS };
struct list {
    int32_t from, own,
        all;  // entries[from, from + own) are the model's, up to `all` with stand-ins
};

// Limits of a pool as they are tested, with its derate in them.
struct route_limits {
    int32_t in_flight;            // INT32_MAX: none
    double request_us, token_us;  // of the bucket, for one; 0: no limit
    int32_t tokens_most;          // what a full bucket holds
    int32_t region;               // of its site; 0: not said
};

struct usable {
    const struct offer *offer;
    int32_t rank;
    uint32_t probe;
    struct route_terms terms;
};

struct line;

struct route {
    const struct portfolio *p;
    struct live *live;
    const struct policy *policy;
    struct breaker_rules rules;

    struct offer *offers;  // by pool, then as the pool serves them
    int32_t n_offers;
    int32_t *pool_offers;         // [n_pools + 1]: first offer of each
    struct route_limits *limits;  // [n_pools]
    struct entry *entries;
    struct list *lists;  // [n_models][LIST_KINDS]

    int32_t n_regions, n_user_regions;
    bool *tenant_region;      // [n_tenants][n_regions]: its data may be there
    uint64_t *tenant_models;  // [n_tenants][model_words]: bits of the models it may use
    int32_t model_words;
    int32_t *tenant_users;  // [n_tenants + 1]: row of round_trips; the last for no tenant
    double *round_trip_us;  // [n_user_regions][n_pools]

    // Which pools are active, as long as the wall clock is in [wall_from_us, wall_until_us).
    bool *active;  // [n_pools]
    int64_t wall_from_us, wall_until_us;

    // Pools that a waiting request is to have before one that comes now, unless the worth of that
    // one's class exceeds this strength. 0: nobody waits for it.
    double *claimed;       // [n_pools]
    double *class_weight;  // [n_classes + 1]: 1 to 16 by the worth of waiting; the last: no class
    struct line *line;

    // Work space of one pick, written and forgotten.
    struct usable *usable;  // [longest list]
};

// Everything about one ask that does not depend on the candidate.
struct look {
    const struct route_ask *ask;
    int64_t now_us, wall_us;
    int64_t context_tok;  // needed
    bool larger;          // and the context must be larger than that
    int32_t need_tok;     // of the token bucket
    bool active_known;    // r->active holds at wall_us
    bool panic;
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
enum err route_build(struct route *r, struct arena *a, struct diag *diag);
void route_see_wall(struct route *r, int64_t wall_us);  // brings `active` up to date

// admit.c
struct look look_at(const struct route *r, const struct route_ask *ask, int64_t now_us);
// Neither its context nor its token bucket is too small for ever.
bool admit_fits(const struct route *r, const struct look *l, const struct offer *o);
struct verdict admit(const struct route *r, const struct look *l, const struct offer *o);
void admit_took(struct route *r, const struct route_ask *ask, const struct offer *o,
                int64_t now_us);
void admit_done(struct route *r, const struct route_ask *ask, const struct offer *o,
                const struct route_seen *seen, int64_t now_us);

// cost.c
void cost_terms(const struct route *r, const struct look *l, const struct offer *o,
                struct route_terms *out);
// The least time in which this offer could have the first content out, an empty pool and luck
// given.
double cost_ttft_least_us(const struct route *r, const struct look *l, const struct offer *o);
double cost_hold_us(const struct offer *o, const struct route_ask *ask, double n);  // of a slot
double cost_fail_load(const struct live_pair *pair, int64_t now_us);
void cost_learn_ttft(struct live_pair *pair, struct live_pool *pool, double model_us,
                     int64_t seen_us, int64_t now_us);
void cost_learn_per_token(struct live_pair *pair, struct live_pool *pool, double model_us,
                          int64_t seen_us, int64_t now_us);
void cost_learn_failure(struct live_pair *pair, int64_t now_us);

// route.c
// As route_pick(), against claims of up to `strength`. `*timed_us` gets the earliest time at which
// the answer may change without an event.
struct route_decision route_decide(const struct route *r, const struct route_ask *ask,
                                   double strength, int64_t now_us, int64_t *timed_us);
// Marks the pools that `ask` waits for with at least this strength.
void route_claim(struct route *r, const struct route_ask *ask, double strength, int64_t now_us);
const struct offer *route_offer(const struct route *r, int32_t pool, int32_t model);
struct list route_list(const struct route *r, const struct route_ask *ask);

// wait.c
enum err line_new(struct line **out, struct arena *a, const struct route *r);

#endif
