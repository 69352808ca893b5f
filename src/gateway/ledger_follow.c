// After a take-over: what the process before charges until its last request ends, read from the
// rows that it, or its folder after it, brings into the store.

#include "gateway/ledger_inside.h"
#include "gateway/ledger_spent.h"

static const int64_t look_every_us = S(2);
// A request that began longer before the take-over and is charged after it may not be seen.
static const int64_t longest_us = S(86400);

// Tells what is new; the first time nothing is, and what is there is known.
static enum err look(struct ledger *l, struct diag *diag)
{
    struct follow *f = &l->follow;
    f->looked_us = clock_now_us();
    if (!f->news)
        return store_news_new(&f->news, l->store, l->epoch, f->since_us, diag);
    return store_news_look(l->store, f->news, f->call, f->ctx, diag);
}

void ledger_follow(struct ledger *l, ledger_other_call call, void *ctx, int64_t wall_us)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->store_mutex);
    if (atomic_load(&l->others) && !l->follow.call)
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

// What comes into several chunks at once is seen in all of them, or in none.
static enum err look_at_one_moment(struct ledger *l, struct diag *diag)
{
    enum err e = store_view(l->store, true, diag);
    if (e)
        return e;
    e = look(l, diag);
    enum err ended = store_view(l->store, false, e ? NULL : diag);
    return e ? e : ended;
}

void ledger_follow_look(struct ledger *l)
{
    struct follow *f = &l->follow;
    struct diag diag = {0};
    bool last = !atomic_load(&l->others);  // before the rows are read
    pthread_mutex_lock(&l->store_mutex);
    bool due = f->news && (last || clock_now_us() - f->looked_us >= look_every_us);
    enum err e = due ? look_at_one_moment(l, &diag) : ERR_NONE;
    if (due && last && !e)
        ledger_follow_end(l);
    pthread_mutex_unlock(&l->store_mutex);
    if (e)
        ledger_complain(l, diag.text);
}

void ledger_follow_end(struct ledger *l)
{
    store_news_free(l->follow.news);
    l->follow = (struct follow){0};
}
