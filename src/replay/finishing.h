// finishing.h - who ends at which step: a ring of lists for the near steps, a queue for the far
// ones.
//
// Putting in and taking out is O(1) for what ends within FINISHING_NEAR steps, as most does.

#ifndef CAUDAL_FINISHING_H
#define CAUDAL_FINISHING_H

#include "replay/queue.h"

enum { FINISHING_NEAR = 1024, FINISHING_WORDS = FINISHING_NEAR / 64 };

struct finishing {
    int32_t head[FINISHING_NEAR];    // of the list of a step, by step % FINISHING_NEAR; -1: nobody
    uint64_t some[FINISHING_WORDS];  // a bit for each list that is not empty
    int64_t near;                    // the earliest step with a list; NEVER: none
    struct queue far;
};

void finishing_init(struct finishing *s);
void finishing_release(struct finishing *s);

static inline int64_t finishing_first(const struct finishing *s)  // NEVER: nobody
{
    int64_t far = s->far.n ? queue_first(&s->far)->at : NEVER;
    return s->near < far ? s->near : far;
}

// The first of the list of the next near step; -1: none.
static inline int32_t finishing_soon(const struct finishing *s)
{
    return s->near < NEVER ? s->head[s->near & (FINISHING_NEAR - 1)] : -1;
}

// `now`: the last step that is over; `step` is later. `links` is the caller's, by id.
void finishing_put(struct finishing *s, int32_t *links, int64_t now, int64_t step, int32_t id);
// One of those that end at finishing_first(), the last that came first.
int32_t finishing_pop(struct finishing *s, const int32_t *links);
void finishing_remove(struct finishing *s, int32_t *links, int64_t step,
                      int32_t id);  // O(all of far)

#endif
