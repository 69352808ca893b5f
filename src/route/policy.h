// policy.h - a policy is a name and a score: the least score wins. Who is usable, ties, waiting and
// refusal are decided once, in decide.c.
//
//   least-cost       money: list price, energy, and what the user's waiting is worth
//   caudal           the same, with the paced price of a commitment (pace.h) for the list price
//                    inside it
//   priority-spill   the first tier as long as it has room, then the next
//   round-robin      the one that has not had a turn for longest
//   least-in-flight  requests in flight and recent failures, over the weight
//   two-choices      the same between two taken by chance (Azar et al., 1994; Mitzenmacher, 2001)
//   lmetric          new prefill tokens x batch
//   static-split     by the weights alone, whatever it costs
//   list-cheapest    the list price of the tokens

#ifndef CAUDAL_POLICY_H
#define CAUDAL_POLICY_H

#include "route/route.h"

struct policy_view {  // what a policy may look at
    const struct pool *pool;
    int32_t index, n_pools;
    int32_t in_flight, slots;
    int32_t stand_in_rank;  // 0: the model asked for; else its place in the group
    uint64_t turns;         // requests routed so far
    uint64_t last_turn;     // the one that this pool had last, for round-robin; 0: none yet
    double fail_load;       // recent failures, which fade: a fast failure is not a fast server
    const struct route_terms *terms;
};

struct policy {
    const char *name;
    const char *why;  // what the winner had least of, as a person reads it
    // NULL: terms->total, for which many candidates are scored at once (score.h).
    double (*score)(const struct policy_view *v, const struct route_ask *ask);
    bool is_money;  // scores within `serve.band` of the least count as equal
    bool paced;     // inside a commitment its paced price replaces the list price
    bool of_two;    // only two of the usable, by the draw, are compared
};

const struct policy *policy_find(const char *name);  // NULL: no such policy
const char *policy_names(void);                      // "least-cost, priority-spill, ..."

extern const struct policy policy_least_cost, policy_caudal, policy_priority_spill,
    policy_round_robin, policy_least_in_flight, policy_two_choices, policy_lmetric,
    policy_static_split, policy_list_cheapest;

#endif
