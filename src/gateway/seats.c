#include "gateway/seats.h"

#include "base/arena.h"

#include <stdatomic.h>
#include <stdlib.h>

struct waiter {
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
    atomic_bool waits;
};

struct seats {
    atomic_int free;
    atomic_int n_waiting;  // so that giving back looks at no waiter while there is none
    int32_t n_loops;
    struct waiter *waiters;  // [n_loops]
};

struct seats *seats_new(int32_t max, int32_t n_loops)
{
    struct seats *s = take(sizeof *s);
    atomic_init(&s->free, max);
    s->n_loops = n_loops;
    s->waiters = take_n(sizeof *s->waiters, (size_t)n_loops);
    return s;
}

void seats_close(struct seats *s)
{
    s->n_loops = 0;
}

void seats_free(struct seats *s)
{
    if (!s)
        return;
    free(s->waiters);
    free(s);
}

void seats_tell(struct seats *s, int32_t index, struct loop *l, void (*fn)(void *arg), void *arg)
{
    s->waiters[index].loop = l;
    s->waiters[index].fn = fn;
    s->waiters[index].arg = arg;
}

static bool take_one(struct seats *s)
{
    int left = atomic_load(&s->free);
    while (left > 0)
        if (atomic_compare_exchange_weak(&s->free, &left, left - 1))
            return true;
    return false;
}

bool seats_take(struct seats *s, int32_t index)
{
    if (take_one(s))
        return true;
    struct waiter *w = &s->waiters[index];
    if (!atomic_exchange(&w->waits, true))
        atomic_fetch_add(&s->n_waiting, 1);
    // One given back before it was seen that we wait told nobody.
    if (!take_one(s))
        return false;
    if (atomic_exchange(&w->waits, false))
        atomic_fetch_sub(&s->n_waiting, 1);
    return true;
}

void seats_give(struct seats *s)
{
    atomic_fetch_add(&s->free, 1);
    if (atomic_load(&s->n_waiting) == 0)
        return;
    // All of them: which loop has somebody in its backlog, only that loop can find out.
    for (int32_t i = 0; i < s->n_loops; i++) {
        struct waiter *w = &s->waiters[i];
        if (atomic_exchange(&w->waits, false)) {
            atomic_fetch_sub(&s->n_waiting, 1);
            loop_post(w->loop, w->fn, w->arg);
        }
    }
}
