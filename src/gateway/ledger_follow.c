// After a take-over: what the process before charges until its last request ends, read from the rows
// that it, or its folder after it, brings into the store. A loop's rows come in the order of their
// sequence, so the last one seen of each loop says which are new.

#include "gateway/ledger_inside.h"
#include "gateway/ledger_spent.h"

#include <stdlib.h>

static const int64_t look_every_us = S(2);
// A request that began longer before the take-over and is charged after it is not seen.
static const int64_t longest_us = S(86400);

static struct follow_mark *mark_of(struct follow *f, const struct store_other *o)
{
    for (int32_t i = 0; i < f->n; i++)
        if (f->marks[i].epoch == o->epoch && f->marks[i].loop == o->loop)
            return &f->marks[i];
    f->marks = realloc(f->marks, (size_t)(f->n + 1) * sizeof *f->marks);
    CHECK(f->marks);
    f->marks[f->n] = (struct follow_mark){.epoch = o->epoch, .loop = o->loop};
    return &f->marks[f->n++];
}

static bool on_other(void *ctx, const struct store_other *o)
{
    struct follow *f = ctx;
    struct follow_mark *m = mark_of(f, o);
    if (o->sequence < m->next)
        return true;
    m->last = o->sequence > m->last ? o->sequence : m->last;
    if (f->marked)
        f->call(f->ctx, o);
    return true;
}

// Tells what is new; the first time nothing is, and what is there is known.
static enum err look(struct ledger *l, struct diag *diag)
{
    struct follow *f = &l->follow;
    for (int32_t i = 0; i < f->n; i++)
        f->marks[i].last = f->marks[i].next;
    enum err e = store_others(l->store, l->epoch, f->since_us, on_other, f, diag);
    for (int32_t i = 0; i < f->n; i++)
        f->marks[i].next = f->marks[i].last + 1;
    f->marked = f->marked || !e;
    f->looked_us = clock_now_us();
    return e;
}

void ledger_follow(struct ledger *l, ledger_other_call call, void *ctx, int64_t wall_us)
{
    if (!l || !atomic_load(&l->others) || l->follow.call)
        return;
    pthread_mutex_lock(&l->store_mutex);
    l->follow = (struct follow){.call = call, .ctx = ctx, .since_us = wall_us - longest_us};
    pthread_mutex_unlock(&l->store_mutex);
}

enum err ledger_past_begin(struct ledger *l, struct diag *diag)
{
    pthread_mutex_lock(&l->store_mutex);
    // One view for all that is asked: another process may be writing.
    enum err e = store_view(l->store, true, diag);
    if (!e && l->follow.call)
        e = look(l, diag);
    return e;
}

enum err ledger_past_end(struct ledger *l, struct diag *diag)
{
    enum err e = store_view(l->store, false, diag);
    pthread_mutex_unlock(&l->store_mutex);
    return e;
}

void ledger_follow_look(struct ledger *l)
{
    struct follow *f = &l->follow;
    struct diag diag = {0};
    bool last = !atomic_load(&l->others);  // before the rows are read
    pthread_mutex_lock(&l->store_mutex);
    bool due = f->call && f->marked && (last || clock_now_us() - f->looked_us >= look_every_us);
    enum err e = due ? look(l, &diag) : ERR_NONE;
    if (due && last && !e)
        ledger_follow_end(l);
    pthread_mutex_unlock(&l->store_mutex);
    if (e)
        ledger_complain(l, diag.text);
}

void ledger_follow_end(struct ledger *l)
{
    free(l->follow.marks);
    l->follow = (struct follow){0};
}
