// seats.h - how many connections of clients may be open at once, exactly, over all loops.
//
// A loop takes a seat before it accepts and gives it back when the connection is gone. A loop that
// found none is told, on its own thread, as soon as one is free; until then what comes stays in the
// kernel's backlog.

#ifndef CAUDAL_SEATS_H
#define CAUDAL_SEATS_H

#include "io/loop.h"

struct seats;  // shared by all loops; any thread may call

// `max` seats for `n_loops` loops.
struct seats *seats_new(int32_t max, int32_t n_loops);
void seats_close(struct seats *s);  // no loop runs any more: nobody is told from here on
void seats_free(struct seats *s);

// Loop `index`, whose seats_take() may fail, is told by `fn(arg)`, a call of loop_post(). Before
// the loops run.
void seats_tell(struct seats *s, int32_t index, struct loop *l, void (*fn)(void *arg), void *arg);

// False: all are taken, and the loop is told when to try again.
bool seats_take(struct seats *s, int32_t index);
void seats_give(struct seats *s);

#endif
