// fleet.h - all the batches of a portfolio in virtual time, with work per request and not per
// token.
//
// A *unit* is one pool answering one model, with the rules of service_sim (portfolio/service.h):
// first come, first served; a slot and KV room for prompt and answer before the prefill; one
// prefill at a time per replica; then one token a step for every sequence. So a sequence's last
// step is known when it joins, a change of how many there are changes the length of a step and
// never the order, and between two changes any number of steps is one multiplication:
//
//   add -> queue -- slot, KV room, replica --> prefills (heap, by time) -> joining
//       -> the next step begins -> finishing (heap, by step) -> SERVICE_LAST
//
// Without the term of service.h that grows with the context (K = 0) all times are those of
// service_sim; with it, steps are not rounded one by one and stay within a step of it.

#ifndef CAUDAL_FLEET_H
#define CAUDAL_FLEET_H

#include "portfolio/service.h"

struct fleet;  // storage from the system, freed by fleet_free()

enum { FLEET_IDS_MAX = 1 << 24 };

struct fleet_event {
    int64_t at_us;
    enum service_event_kind kind;  // SERVICE_FIRST or SERVICE_LAST; a single token is a LAST alone
    int32_t unit, id;
};

struct fleet *fleet_new(int32_t units_max, int32_t groups);
void fleet_free(struct fleet *f);
// Units are numbered from 0 in the order in which they are added.
int32_t fleet_unit(struct fleet *f, const struct service *s);

// What the caller keeps of id i lies at `all` + i `each`: the first `bytes` of it are fetched into
// the cache before an event of i is told. NULL: nothing is.
void fleet_keeps(struct fleet *f, const void *all, size_t each, size_t bytes);

// A request comes to `unit` at `now_us`; all events up to then have been taken. `id` is the
// caller's, below FLEET_IDS_MAX, and nobody else's until its SERVICE_LAST or fleet_cancel().
void fleet_add(struct fleet *f, int32_t unit, int32_t id, int32_t prompt_tok, int32_t cached_tok,
               int32_t output_tok, int64_t now_us);
// Wherever it is. O(sequences of the unit): for what fails, not for what ends.
void fleet_cancel(struct fleet *f, int32_t id, int64_t now_us);
// From the next step and the next prefill on everything takes `factor` times as long.
void fleet_slow(struct fleet *f, int32_t unit, double factor, int64_t now_us);
// At most this share of the slots is given from now on (at least one slot); those held are kept.
void fleet_derate(struct fleet *f, int32_t unit, double share, int64_t now_us);

int64_t
fleet_due(const struct fleet *f);  // when fleet_next() is to be called; NEVER: all idle. O(1)
// Takes the earliest event up to now_us, over all units, equal times in the order of units, firsts
// before lasts. False: there is none.
bool fleet_next(struct fleet *f, int64_t now_us, struct fleet_event *ev);

int32_t fleet_running(const struct fleet *f, int32_t unit);  // who hold a slot
int32_t fleet_waiting(const struct fleet *f, int32_t unit);
int32_t fleet_most(const struct fleet *f, int32_t unit);  // the most that held one at once
// Sequences times microseconds that slots were held, up to the last change.
double fleet_held_us(const struct fleet *f, int32_t unit);
// When `id` got its slot. It is running or has just ended.
int64_t fleet_began_us(const struct fleet *f, int32_t id);
// The most that the sum over units of `weight` x running ever came to: power. Of all units, and of
// those of a group (0 to `groups` of fleet_new()).
void fleet_weigh(struct fleet *f, int32_t unit, int64_t weight, int32_t group);
int64_t fleet_peak(const struct fleet *f);
int64_t fleet_peak_of(const struct fleet *f, int32_t group);

#endif
