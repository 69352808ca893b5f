#include "route/line.h"

#include <math.h>

// Deferred work: a class that may wait for hours fills capacity that is paid for and would be lost,
// and leaves room for those who cannot wait.
//
//   pressure   of a request: 0 when it comes, 1 at its last call, a tenth of its time before its
//              deadline. A line that is half full presses all that wait in it.
//   price      of a pool: the share of the price beyond its commitment that the pace asks (pace.h);
//              1 where tokens are paid for as they are used, 0 where they cost nothing
//
// A request may have a pool whose price is at most its pressure and that has room for others left.
// Where nothing is prepaid there is nothing to wait for but room. At its last call it is one like
// any other. Policies that know no pace defer nothing.

static const double LAST_CALL = 0.1, ROOM_TAKEN = 0.75;
static const int64_t LOOK_US_MIN = S(1), LOOK_US_MAX = S(60);
enum { LOOKS = 256 };  // while it waits, if nothing else happens

static int64_t span_us(const struct route_ask *ask)
{
    return ask->deadline_us < NEVER ? max_i64(ask->deadline_us - ask->arrived_us, 1) : NEVER;
}

static double pressure(const struct route *r, const struct look *l)
{
    double waited = (double)(l->now_us - l->ask->arrived_us) / (double)span_us(l->ask);
    double full = 2.0 * r->line->n / ROUTE_WAITING_MAX;
    double by_time = waited / (1 - LAST_CALL);
    return by_time > full ? by_time : full;
}

bool defer_may(const struct route *r, const struct look *l)
{
    int32_t class = l->ask->class;
    return class >= 0 && r->p->classes[class].deferred && r->policy->paced && pressure(r, l) < 1;
}

static bool is_prepaid(const struct route *r, const struct offer *o)
{
    bool costs = o->input_nusd > 0 || o->output_nusd > 0;
    bool there = r->memo->active[o->pool] && !r->live->pools[o->place].lever.stopped;
    return !o->fixed && there && (o->commit >= 0 || !costs);
}

static double price(const struct route *r, const struct offer *o, int64_t now_us)
{
    if (o->commit >= 0)
        return commit_share(r, o, now_us);
    return is_prepaid(r, o) ? 0 : 1;
}

// The request may have it at some time: what it may never have is nothing to wait for.
static bool is_for(const struct route *r, const struct look *l, const struct list *list, int32_t i)
{
    const struct offer *o = &r->offers[list->entries[i].offer];
    if (l->rights >= 0 &&
        !(list->allowed[l->rights * words_of(list->all) + i / 64] >> (i % 64) & 1))
        return false;
    for (int32_t k = 0; k < l->ask->n_tried; k++) {
        if (l->ask->tried[k] == o->pool)
            return false;
    }
    return admit_fits(r, l, o);
}

// Room is what its limit and its slots allow, as far as they are known.
static bool has_room(const struct route *r, const struct offer *o)
{
    double room = r->limits[o->pool].in_flight, slots = o->service.slots * o->derate;
    if (o->service.basis != BASIS_NONE && slots < room)
        room = slots;
    int32_t n = r->live->pools[o->place].in_flight;
    return n == 0 || n + 1 <= ROOM_TAKEN * room;
}

void defer_strike(const struct route *r, const struct look *l, const struct list *list, int32_t n)
{
    double most = pressure(r, l);
    bool prepaid = false;
    for (int32_t i = 0; i < n && !prepaid; i++)
        prepaid = is_prepaid(r, &r->offers[list->entries[i].offer]) && is_for(r, l, list, i);
    for (int32_t i = 0; i < n; i++) {
        const struct offer *o = &r->offers[list->entries[i].offer];
        if ((prepaid && price(r, o, l->now_us) > most) || !has_room(r, o))
            r->memo->room.scores[i] = INFINITY;
    }
}

int64_t defer_until_us(const struct look *l)
{
    int64_t span = span_us(l->ask);
    int64_t step = min_i64(max_i64(span / LOOKS, LOOK_US_MIN), LOOK_US_MAX);
    if (l->ask->deadline_us == NEVER)
        return l->now_us + step;
    int64_t last_us = l->ask->deadline_us - (int64_t)((double)span * LAST_CALL);
    return last_us > l->now_us ? min_i64(l->now_us + step, last_us) : l->now_us + LOOK_US_MIN;
}
