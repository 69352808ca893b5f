#include "route/line.h"

#include <math.h>

// Who waits, and who goes when something comes free.
//
// The groups are looked at in the order of line_goes_first(), and the first that can goes. One that
// cannot claims the pools it waits for, so that neither groups behind it nor new arrivals of no
// greater worth take what it needs.
//
// In an overload most groups wait for the same full pools. Where all candidates of a list are
// barred whoever asks, one of its groups is decided on and the others are told the same, so that a
// look costs a few nanoseconds for each group, and a decision for each list.

static const int64_t PATIENCE_US = S(60);  // stands for the deadline of one that has none
static const double STRONGER_US = 5e6;     // a claim doubles in this time

static double claim_strength(const struct route *r, const struct route_ask *ask, int64_t now_us)
{
    double waited = now_us > ask->arrived_us ? (double)(now_us - ask->arrived_us) : 0;
    return r->class_weight[line_class_row(r, ask->class)] * (1 + waited / STRONGER_US);
}

// Marks the pools that `ask` waits for.
static void claim(struct route *r, const struct route_ask *ask, double strength, int64_t now_us)
{
    struct list *list = route_list(r, ask);
    struct look l;
    look_at(&l, r, ask, now_us);
    if (defer_may(r, &l))  // it stands before nobody
        return;
    int32_t n = list_n(list, ask);
    for (int32_t i = 0; i < n; i++) {
        const struct offer *o = &r->offers[list->entries[i].offer];
        if (r->claimed[o->pool] < strength && admit(r, &l, o).bar == ROUTE_BAR_WAIT) {
            r->claimed[o->pool] = strength;
            r->some_claimed = true;
        }
    }
}

// A newcomer at the head of its group: does it go at once after all, or does it claim what it waits
// for? What is known of the others stays known.
static void look_first(struct route *r, int32_t i, int64_t now_us)
{
    struct line *l = r->line;
    const struct route_ask *ask = &l->waiters[i].ask;
    int64_t timed_us;
    struct route_decision d = route_decide(r, ask, 0, now_us, &timed_us);
    if (d.verdict != ROUTE_WAIT) {
        l->scanned = 0;
        return;
    }
    claim(r, ask, claim_strength(r, ask, now_us), now_us);
    if (l->n == 1) {
        l->scanned = r->live->version;
        l->scan_due_us = timed_us;
    }
    l->scan_due_us = min_i64(l->scan_due_us, timed_us);
}

// A tenant may hold as many places of a class as are still free (Choudhury and Hahne, 1998): alone
// it gets half the line, and however many it sends, the others find a place.
static bool has_place(const struct route *r, const struct route_ask *ask)
{
    int32_t left = ROUTE_WAITING_MAX - r->line->n;
    if (left == 0 || r->p->n_tenants < 2)
        return left > 0;
    return r->line->tenant_n[line_tenant_cell(r, ask->class, ask->tenant)] < left;
}

// The pool against whose limits.waiting it counts: of those that it waits for, the one with most
// places left; -1 where one of them has no such limit. False: no place is left at any.
static bool find_home(const struct route *r, const struct route_ask *ask, int64_t now_us,
                      int32_t *home)
{
    struct list *list = route_list(r, ask);
    struct look l;
    look_at(&l, r, ask, now_us);
    int32_t n = list_n(list, ask), most = 0;
    bool limited = false;
    *home = -1;
    lanes_see_wall(r, l.wall_us);
    for (int32_t i = 0; i < n; i++) {
        const struct offer *o = &r->offers[list->entries[i].offer];
        enum route_bar bar = admit(r, &l, o).bar;
        if (bar > ROUTE_BAR_COOLING)
            continue;
        int32_t left = r->limits[o->pool].waiting - r->line->at_pool[o->pool];
        if (bar == ROUTE_MAY || r->limits[o->pool].waiting == 0) {
            *home = -1;
            return true;
        }
        limited = true;
        if (left > most) {
            most = left;
            *home = o->pool;
        }
    }
    return !limited || *home >= 0;
}

// Requests like `ask` that all it waits for can take in a us, at most: as if nobody else were
// served there, and each were alone. INFINITY: nothing is known that bounds it.
static double most_per_us(const struct route *r, const struct route_ask *ask, int64_t now_us)
{
    struct list *list = route_list(r, ask);
    struct look l;
    look_at(&l, r, ask, now_us);
    int32_t n = list_n(list, ask);
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        const struct offer *o = &r->offers[list->entries[i].offer];
        const struct route_limits *lim = &r->limits[o->pool];
        if (admit(r, &l, o).bar > ROUTE_BAR_BREAKER)
            continue;
        double by_slots = INFINITY, by_rate = lim->request_us > 0 ? 1 / lim->request_us : INFINITY;
        if (o->service.basis != BASIS_NONE && lim->in_flight < INT32_MAX)
            by_slots = lim->in_flight / learn_hold_us(o, ask, 1);
        sum += by_slots < by_rate ? by_slots : by_rate;
    }
    return sum;
}

// Its deadline does not pass before those that go before it have been taken, all going well.
static bool has_time(const struct route *r, const struct wait_group *key,
                     const struct route_ask *ask, int64_t now_us)
{
    if (ask->deadline_us == NEVER)
        return true;
    int32_t ahead = line_ahead(r->line, key, ask->deadline_us);
    if (ahead == 0)
        return true;
    return ahead <= most_per_us(r, ask, now_us) * (double)(ask->deadline_us - now_us);
}

int32_t route_wait(struct route *r, const struct route_ask *ask, uint64_t user, int64_t now_us)
{
    struct line *l = r->line;
    int32_t home = -1;
    int64_t due_us = ask->arrived_us > NEVER - PATIENCE_US ? NEVER : ask->arrived_us + PATIENCE_US;
    if (ask->deadline_us < NEVER)
        due_us = ask->deadline_us;
    if (!has_place(r, ask))
        return -1;
    struct wait_group key = line_key(r, ask, now_us);
    if (!has_time(r, &key, ask, now_us) || (l->some_limited && !find_home(r, ask, now_us, &home)))
        return -1;
    int32_t i = line_place(l);
    struct waiter *w = &l->waiters[i];
    *w = (struct waiter){.ask = *ask, .user = user, .due_us = due_us, .home = home};
    if (line_join(r, &key, i))
        look_first(r, i, now_us);
    return i;
}

void route_cancel(struct route *r, int32_t ticket)
{
    CHECK(ticket >= 0 && ticket < r->line->fresh_waiter);
    CHECK(r->line->waiters[ticket].group >= 0);
    line_leave(r, ticket);
}

int64_t route_due(const struct route *r)
{
    const struct line *l = r->line;
    if (l->n == 0)
        return NEVER;
    if (l->scanned != r->live->version)
        return 0;
    return min_i64(l->scan_due_us, l->waiters[l->late].ask.deadline_us);
}

int32_t route_waiting(const struct route *r)
{
    return r->line->n;
}

// line->order as a heap with the group that goes first on top: mostly it is the only one taken out.
static void sift_down(const struct route *r, int32_t *order, int32_t n, int32_t i)
{
    int32_t g = order[i];
    for (int32_t c = 2 * i + 1; c < n; c = 2 * i + 1) {
        if (c + 1 < n && line_goes_first(r, order[c + 1], order[c]))
            c++;
        if (!line_goes_first(r, order[c], g))
            break;
        order[i] = order[c];
        i = c;
    }
    order[i] = g;
}

static int32_t take_first(const struct route *r, int32_t *order, int32_t n)
{
    int32_t g = order[0];
    order[0] = order[n - 1];
    if (n > 1)
        sift_down(r, order, n - 1, 0);
    return g;
}

static bool next_too_late(struct route *r, struct route_woken *out, int64_t now_us)
{
    struct line *l = r->line;
    const struct waiter *w = &l->waiters[l->late];
    if (w->ask.deadline_us > now_us)
        return false;
    out->user = w->user;
    out->decision = (struct route_decision){.verdict = ROUTE_REFUSE,
                                            .pool = -1,
                                            .model = w->ask.model,
                                            .bar = ROUTE_BAR_DEADLINE,
                                            .until_us = NEVER,
                                            .why = "its deadline passed while it waited"};
    line_leave(r, l->late);
    return true;
}

// What this look finds of the list of `g`, whose first is `ask`.
static struct wait_cell *look_cell(struct route *r, const struct wait_group *g,
                                   const struct route_ask *ask, int64_t now_us)
{
    struct line *l = r->line;
    struct wait_cell *c = &l->cells[g->cell];
    if (c->look == l->looks)
        return c;
    struct list *list = &r->lists[g->cell / 2];
    *c = (struct wait_cell){.look = l->looks, .strongest = -1};
    lanes_see(r, list, now_us);
    int64_t until_us;
    if (!lanes_all_barred(list, list_n(list, ask), now_us, &until_us))
        return c;
    struct route_decision d = route_decide(r, ask, 0, now_us, &c->timed_us);
    c->timed_us = min_i64(c->timed_us, until_us);
    c->until_us = d.until_us;
    c->closed = d.verdict == ROUTE_WAIT;
    return c;
}

// Could this one still be answered in time when what its list waits for comes?
static bool is_in_time(const struct wait_cell *c, const struct list *list,
                       const struct route_ask *ask, int64_t now_us)
{
    if (ask->deadline_us == NEVER)
        return true;
    double prompt = ask->prompt_tok > 0 ? ask->prompt_tok : 0;
    double slope = list->least_us_per_tok + list->least_us_per_tok2 * prompt;
    return c->until_us <= ask->deadline_us &&
           list->least_us + slope * prompt < (double)(ask->deadline_us - now_us);
}

// Groups that are to be looked at one by one into line->order; the others wait on, by one decision
// for all of a list, and claim together. Returns how many there are.
static int32_t look_together(struct route *r, int64_t now_us)
{
    struct line *l = r->line;
    int32_t n = 0;
    l->looks++;
    for (int32_t k = 0; k < l->n_active; k++) {
        const struct wait_group *g = &l->groups[l->active[k]];
        const struct route_ask *ask = &l->waiters[g->root].ask;
        struct wait_cell *c = g->plain ? look_cell(r, g, ask, now_us) : NULL;
        if (!c || !c->closed || !is_in_time(c, &r->lists[g->cell / 2], ask, now_us)) {
            l->order[n++] = l->active[k];
            continue;
        }
        double strength = claim_strength(r, ask, now_us);
        if (c->strongest < 0 || strength > c->strength) {
            c->strongest = g->root;
            c->strength = strength;
        }
    }
    for (int32_t i = 0; i < 2 * r->n_lists; i++) {
        struct wait_cell *c = &l->cells[i];
        if (c->look != l->looks || c->strongest < 0)
            continue;
        claim(r, &l->waiters[c->strongest].ask, c->strength, now_us);
        l->scan_due_us = min_i64(l->scan_due_us, c->timed_us);
    }
    return n;
}

bool route_next(struct route *r, struct route_woken *out, int64_t now_us)
{
    struct line *l = r->line;
    if (l->n == 0)
        return false;
    if (next_too_late(r, out, now_us))
        return true;
    if (l->scanned == r->live->version && now_us < l->scan_due_us)
        return false;
    memset(r->claimed, 0, (size_t)r->p->n_pools * sizeof *r->claimed);
    r->some_claimed = false;
    l->scan_due_us = NEVER;
    const struct route_ask *some = &l->waiters[l->late].ask;
    lanes_see_wall(r, some->wall_us + (now_us - some->arrived_us));
    int32_t n = look_together(r, now_us);
    for (int32_t i = n / 2 - 1; i >= 0; i--)
        sift_down(r, l->order, n, i);
    for (; n > 0; n--) {
        int32_t i = l->groups[take_first(r, l->order, n)].root;
        struct waiter *w = &l->waiters[i];
        int64_t timed_us;
        struct route_decision d = route_decide(r, &w->ask, 0, now_us, &timed_us);
        l->scan_due_us = min_i64(l->scan_due_us, timed_us);
        if (d.verdict == ROUTE_WAIT) {
            claim(r, &w->ask, claim_strength(r, &w->ask, now_us), now_us);
            continue;
        }
        if (d.verdict == ROUTE_SEND) {
            route_took(r, &w->ask, &d, now_us);
            line_pay(r, w);
        }
        *out = (struct route_woken){.user = w->user, .decision = d};
        line_leave(r, i);
        return true;
    }
    l->scanned = r->live->version;
    return false;
}
