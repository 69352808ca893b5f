#include "route/policy.h"

#include <string.h>

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

// New prefill tokens times the batch that they join: what is expected in the pool's cache is not
// new.
static double lmetric(const struct policy_view *v, const struct route_ask *ask)
{
    int32_t fresh = ask->prompt_tok - v->terms->cached_tok;
    return (fresh > 0 ? fresh : 1) * (v->in_flight + v->fail_load + 1);
}

// All are equal, and ties go by the weights.
static double static_split(const struct policy_view *v, const struct route_ask *ask)
{
    (void)v, (void)ask;
    return 0;
}

// The habit of those who compare price lists: the cheapest tokens, whatever was prepaid, whatever
// waiting and power cost.
static double list_cheapest(const struct policy_view *v, const struct route_ask *ask)
{
    (void)ask;
    return v->terms->list;
}

const struct policy policy_least_cost = {
    .name = "least-cost", .why = "the least total cost", .is_money = true};
const struct policy policy_caudal = {.name = "caudal",
                                     .why = "the least total cost, commitments at their pace",
                                     .is_money = true,
                                     .paced = true};
const struct policy policy_priority_spill = {
    .name = "priority-spill", .why = "the first priority with room", .score = priority_spill};
const struct policy policy_round_robin = {
    .name = "round-robin", .why = "its turn is the longest ago", .score = round_robin};
const struct policy policy_least_in_flight = {.name = "least-in-flight",
                                              .why = "the least in flight for its weight",
                                              .score = least_in_flight};
const struct policy policy_two_choices = {.name = "two-choices",
                                          .why = "the less busy of two taken by chance",
                                          .score = least_in_flight,
                                          .of_two = true};
const struct policy policy_lmetric = {
    .name = "lmetric", .why = "the least new prefill times batch", .score = lmetric};
const struct policy policy_static_split = {
    .name = "static-split", .why = "by weight and chance alone", .score = static_split};
const struct policy policy_list_cheapest = {
    .name = "list-cheapest", .why = "the least list price", .score = list_cheapest};

const struct policy *policy_find(const char *name)
{
    static const struct policy *const all[] = {
        &policy_caudal,      &policy_least_cost,      &policy_priority_spill,
        &policy_round_robin, &policy_least_in_flight, &policy_two_choices,
        &policy_lmetric,     &policy_static_split,    &policy_list_cheapest};
    for (size_t i = 0; i < COUNTOF(all); i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}

const char *policy_names(void)
{
    return "caudal, least-cost, priority-spill, round-robin, least-in-flight, two-choices, "
           "lmetric, static-split, list-cheapest";
}
