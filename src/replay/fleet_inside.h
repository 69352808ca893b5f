// fleet_inside.h - what the files of fleet.h share.
//
//   fleet.c   units and ids: who comes, who is taken out, which unit is due first
//   batch.c   what happens in one unit: slots, prefills, runs of steps
//   steps.h   when a step of a run ends; finishing.h who ends with it

#ifndef CAUDAL_FLEET_INSIDE_H
#define CAUDAL_FLEET_INSIDE_H

#include "replay/dues.h"
#include "replay/finishing.h"
#include "replay/fleet.h"
#include "replay/soon.h"
#include "replay/steps.h"

enum state { FREE, WAITING, PREFILL, JOINING, DECODING };

struct sequence {
    int32_t prompt_tok, uncached_tok, output_tok;
    int32_t unit;
    enum state state;
    int64_t at_us;        // came; then got its slot
    int64_t finish_step;  // DECODING
};

struct list {
    int32_t head, tail;
};

// A *run* is a row of steps between two changes.
struct unit {
    bool stepping;
    struct steps run;
    int64_t cut_step;  // where it must end for those who want to join; NEVER: nobody
    int32_t waiting, n_joining, n_decoding;
    int32_t bare;  // of those in prefill, who want no token
    struct soon prefills;
    struct list queue, joining;
    int32_t *firsts;  // who have joined at the begin of this run; room for all slots
    int32_t n_firsts, firsts_size;
    int32_t slots;  // those that may be given; derated
    int32_t held, most;
    int64_t held_since_us;
    double held_us;
    int64_t weight;
    int32_t group;
    int64_t kv_tok;   // promised to those who hold a slot
    int64_t ctx_tok;  // context of those who decode, at the begin of the run
    double factor;
    struct service service;
    struct finishing finishing;  // by their last step
};

struct load {
    int64_t sum, peak;
};

struct fleet {
    struct unit *units;  // [units_max]
    int32_t n_units, units_max;
    struct sequence *all;  // [size], by id
    int32_t *links;        // [size], by id: the next in whatever list it is in; -1: end
    int32_t size;
    struct dues dues;  // of the units
    // Events of the unit that was advanced last, not yet taken.
    struct fleet_event *events;
    int32_t n_events, told, events_size;
    const char *kept;  // fleet_keeps()
    size_t kept_each, kept_bytes;
    struct load load;
    struct load *loads;  // [groups]
    int32_t n_loads;
};

void *fleet_grown(void *p, size_t size, int32_t had, int32_t n);  // what is new is zeroed

static inline void list_add(struct fleet *f, struct list *l, int32_t id)
{
    f->links[id] = -1;
    if (l->tail >= 0)
        f->links[l->tail] = id;
    else
        l->head = id;
    l->tail = id;
}

static inline void list_pop(struct fleet *f, struct list *l)
{
    l->head = f->links[l->head];
    if (l->head < 0)
        l->tail = -1;
}

// batch.c
// Gives slots to those who wait, as far as there is room.
void batch_admit(struct fleet *f, struct unit *u, int64_t now_us);
// Prefills that have ended by now. Whose prefill has ended joins at the next step; those that
// nobody had to look at are up to a step late here, and in time for that.
void batch_catch_up(struct fleet *f, struct unit *u, int64_t now_us);
// Who joined begin with a new run; where nobody decodes, at `now_us`.
void batch_begin(struct fleet *f, struct unit *u, int64_t now_us);
// Does what is due first in this unit, at `at_us`.
void batch_advance(struct fleet *f, struct unit *u, int64_t at_us);
void batch_set_due(struct fleet *f, const struct unit *u);
// It holds its slot no more.
void batch_leave(struct fleet *f, struct unit *u, struct sequence *q, int64_t now_us);

#endif
