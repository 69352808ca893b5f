#include "route/policy.h"

#include <string.h>

// The pool that costs least in all, waiting included.
static double least_cost(const struct policy_view *v, const struct route_ask *ask)
{
    (void)ask;
    return v->terms->total;
}

// The industry's habit: the first tier as long as it has room, then the next.
static double priority_spill(const struct policy_view *v, const struct route_ask *ask)
{
    (void)ask;
    return v->pool->priority;
}

// The one that has not had a turn for longest. Exact for whatever subset is usable, where counting
// modulo the number of pools gives the neighbour of an unusable pool two shares.
static double round_robin(const struct policy_view *v, const struct route_ask *ask)
{
    (void)ask;
    return (double)v->last_turn;
}

static double least_in_flight(const struct policy_view *v, const struct route_ask *ask)
{
    (void)ask;
    double weight = v->pool->weight > 0 ? v->pool->weight : 1;
    return (v->in_flight + v->fail_load + 1) / weight;
}

const struct policy policy_least_cost = {"least-cost", least_cost, true};
const struct policy policy_priority_spill = {"priority-spill", priority_spill, false};
const struct policy policy_round_robin = {"round-robin", round_robin, false};
const struct policy policy_least_in_flight = {"least-in-flight", least_in_flight, false};

const struct policy *policy_find(const char *name)
{
    static const struct policy *const all[] = {&policy_least_cost, &policy_priority_spill,
                                               &policy_round_robin, &policy_least_in_flight};
    for (size_t i = 0; i < COUNTOF(all); i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}

const char *policy_names(void)
{
    return "least-cost, priority-spill, round-robin, least-in-flight";
}
