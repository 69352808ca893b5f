#include "route/route_internal.h"

// The line of those that wait.
//
//   waiter  -> one of a *group*: same candidates (model, surface, tenant, what fits), same class
//   group   -> a heap of its waiters, earliest deadline first; only the first of each may go
//   line    -> the groups that have waiters, and one heap over all by deadline, for those too late
//
// Between classes and between tenants of a class it is weighted fair: whoever is served pays its
// tokens over its weight, and the one that has paid least goes first. So nobody starves: one that
// is not served pays nothing while others do. A group that cannot go claims the pools it waits for,
// so that neither groups behind it nor new arrivals of no greater worth take what it needs.

enum { GROUP_HASH = 8192 };                // a power of two
static const int64_t PATIENCE_US = S(60);  // stands for the deadline of one that has none
static const double STRONGER_US = 5e6;     // a claim doubles in this time
static const double TOKENS_PAID = 1e-3;

enum heap_kind { BY_DUE, BY_DEADLINE, HEAP_KINDS };

// A pairing heap (Fredman et al., 1986), whose nodes are the waiters: no memory of its own, and any
// one can leave. `prev` is the parent of a first child, otherwise the sibling before; -1: none.
struct heap_link {
    int32_t child, next, prev;
};

struct waiter {
    struct route_ask ask;
    uint64_t user, order;
    int64_t due_us;  // its deadline, or as if
    int32_t group;   // -1: this place is free
    int32_t next_free;
    struct heap_link link[HEAP_KINDS];
};

struct wait_group {
    int32_t model, class, tenant, fits;  // fits: how many candidates are large enough
    uint32_t surface;
    bool stand_in, alone;  // alone: has tried pools, so nobody shares its candidates
    int32_t root;          // of its heap; -1: free
    int32_t next;          // of its hash chain, or free
    int32_t at;            // in line->active
};

struct line {
    struct waiter *waiters;     // [ROUTE_WAITING_MAX]
    struct wait_group *groups;  // [ROUTE_WAITING_MAX]
    int32_t *active;            // groups with waiters
    int32_t *hash;              // [GROUP_HASH], place + 1; 0: empty
    int32_t n, n_active;
    int32_t free_waiter, fresh_waiter;  // first given back, -1: none; first never used
    int32_t free_group, fresh_group;
    int32_t late;  // root of the heap by deadline
    uint64_t orders;

    int32_t n_rows;       // tenants + 1
    double *class_paid;   // [n_classes + 1]
    double *tenant_paid;  // [n_classes + 1][n_rows]
    int32_t *class_n, *tenant_n;
    double class_floor;    // what the last one served had paid: who comes new starts there
    double *tenant_floor;  // [n_classes + 1]

    uint64_t scanned;     // live->version when nothing could go; 0: not looked at
    int64_t scan_due_us;  // until when that holds
};

enum err line_new(struct line **out, struct arena *a, const struct route *r)
{
    size_t classes = (size_t)r->p->n_classes + 1, rows = (size_t)r->p->n_tenants + 1;
    struct line *l = arena_new(a, struct line, 1);
    if (!l)
        return ERR_LIMIT;
    l->waiters = arena_new(a, struct waiter, ROUTE_WAITING_MAX);
    l->groups = arena_new(a, struct wait_group, ROUTE_WAITING_MAX);
    l->active = arena_new(a, int32_t, ROUTE_WAITING_MAX);
    l->hash = arena_new(a, int32_t, GROUP_HASH);
    l->class_paid = arena_new(a, double, classes);
    l->class_n = arena_new(a, int32_t, classes);
    l->tenant_floor = arena_new(a, double, classes);
    l->tenant_paid = arena_new(a, double, classes *rows);
    l->tenant_n = arena_new(a, int32_t, classes * rows);
    if (!l->waiters || !l->groups || !l->active || !l->hash || !l->class_paid || !l->class_n ||
        !l->tenant_floor || !l->tenant_paid || !l->tenant_n)
        return ERR_LIMIT;
    l->n_rows = r->p->n_tenants + 1;
    l->free_waiter = l->free_group = l->late = -1;
    *out = l;
    return ERR_NONE;
}

static bool is_before(const struct line *l, enum heap_kind kind, int32_t x, int32_t y)
{
    const struct waiter *a = &l->waiters[x], *b = &l->waiters[y];
    int64_t at = kind == BY_DUE ? a->due_us : a->ask.deadline_us;
    int64_t bt = kind == BY_DUE ? b->due_us : b->ask.deadline_us;
    return at != bt ? at < bt : a->order < b->order;
}

static struct heap_link *link_of(struct line *l, enum heap_kind kind, int32_t i)
{
    return &l->waiters[i].link[kind];
}

static int32_t meld(struct line *l, enum heap_kind kind, int32_t x, int32_t y)
{
    if (x < 0 || y < 0)
        return x < 0 ? y : x;
    int32_t top = is_before(l, kind, x, y) ? x : y, low = top == x ? y : x;
    struct heap_link *t = link_of(l, kind, top), *w = link_of(l, kind, low);
    w->next = t->child;
    w->prev = top;
    if (t->child >= 0)
        link_of(l, kind, t->child)->prev = low;
    t->child = low;
    t->next = t->prev = -1;
    return top;
}

static int32_t meld_pairs(struct line *l, enum heap_kind kind, int32_t first)
{
    int32_t pairs = -1, root = -1;
    while (first >= 0) {
        int32_t x = first, y = link_of(l, kind, x)->next;
        first = y >= 0 ? link_of(l, kind, y)->next : -1;
        int32_t top = meld(l, kind, x, y);
        link_of(l, kind, top)->next = pairs;
        pairs = top;
    }
    while (pairs >= 0) {
        int32_t next = link_of(l, kind, pairs)->next;
        root = meld(l, kind, root, pairs);
        pairs = next;
    }
    if (root >= 0)
        link_of(l, kind, root)->next = link_of(l, kind, root)->prev = -1;
    return root;
}

static int32_t heap_add(struct line *l, enum heap_kind kind, int32_t root, int32_t i)
{
    *link_of(l, kind, i) = (struct heap_link){-1, -1, -1};
    return meld(l, kind, root, i);
}

// The root without `i`.
static int32_t heap_drop(struct line *l, enum heap_kind kind, int32_t root, int32_t i)
{
    struct heap_link *k = link_of(l, kind, i);
    int32_t below = meld_pairs(l, kind, k->child);
    if (i == root)
        return below;
    struct heap_link *before = link_of(l, kind, k->prev);
    if (before->child == i)
        before->child = k->next;
    else
        before->next = k->next;
    if (k->next >= 0)
        link_of(l, kind, k->next)->prev = k->prev;
    return meld(l, kind, root, below);
}

static int32_t class_row(const struct route *r, int32_t class)
{
    CHECK(class >= -1 && class < r->p->n_classes);
    return class >= 0 ? class : r->p->n_classes;
}

static int32_t tenant_cell(const struct route *r, int32_t class, int32_t tenant)
{
    int32_t row = tenant >= 0 ? tenant : r->p->n_tenants;
    return class_row(r, class) * r->line->n_rows + row;
}

static double most(double a, double b)
{
    return a > b ? a : b;
}

// Counted in, each class and tenant that was away starts level with the one served last.
static void count_in(struct route *r, const struct wait_group *g)
{
    struct line *l = r->line;
    int32_t c = class_row(r, g->class), t = tenant_cell(r, g->class, g->tenant);
    if (l->class_n[c]++ == 0)
        l->class_paid[c] = most(l->class_paid[c], l->class_floor);
    if (l->tenant_n[t]++ == 0)
        l->tenant_paid[t] = most(l->tenant_paid[t], l->tenant_floor[c]);
    l->n++;
}

static void count_out(struct route *r, const struct wait_group *g)
{
    r->line->class_n[class_row(r, g->class)]--;
    r->line->tenant_n[tenant_cell(r, g->class, g->tenant)]--;
    r->line->n--;
}

static void pay(struct route *r, const struct waiter *w)
{
    struct line *l = r->line;
    int32_t c = class_row(r, w->ask.class), t = tenant_cell(r, w->ask.class, w->ask.tenant);
    double cost = (1 + (double)w->ask.prompt_tok + w->ask.output_tok) * TOKENS_PAID;
    l->class_floor = most(l->class_floor, l->class_paid[c]);
    l->tenant_floor[c] = most(l->tenant_floor[c], l->tenant_paid[t]);
    l->class_paid[c] += cost / r->class_weight[c];
    l->tenant_paid[t] += cost;
}

static struct wait_group group_key(const struct route *r, const struct route_ask *ask,
                                   int64_t now_us)
{
    struct list list = route_list(r, ask);
    struct look look = look_at(r, ask, now_us);
    int32_t n = ask->stand_in ? list.all : list.own;
    struct wait_group g = {.model = ask->model,
                           .class = ask->class,
                           .tenant = ask->tenant,
                           .surface = ask->surface,
                           .stand_in = ask->stand_in,
                           .alone = ask->n_tried > 0,
                           .root = -1,
                           .next = -1};
    for (int32_t i = list.from; i < list.from + n; i++)
        g.fits += admit_fits(r, &look, &r->offers[r->entries[i].offer]);
    return g;
}

static int32_t *group_bucket(struct line *l, const struct wait_group *g)
{
    uint64_t h = (uint64_t)(uint32_t)g->model * 0x9e3779b97f4a7c15u;
    h = (h ^ (uint32_t)g->class) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (uint32_t)g->tenant) * 0x94d049bb133111ebu;
    h = (h ^ (uint32_t)g->fits ^ (uint64_t)g->surface << 32 ^ (uint64_t)g->stand_in << 40) *
        0x9e3779b97f4a7c15u;
    return &l->hash[(h >> 40) & (GROUP_HASH - 1)];
}

static bool group_eq(const struct wait_group *x, const struct wait_group *y)
{
    return x->model == y->model && x->class == y->class && x->tenant == y->tenant &&
           x->surface == y->surface && x->stand_in == y->stand_in && x->fits == y->fits;
}

static int32_t group_join(struct line *l, const struct wait_group *key)
{
    int32_t *bucket = group_bucket(l, key);
    if (!key->alone) {
        for (int32_t i = *bucket - 1; i >= 0; i = l->groups[i].next) {
            if (group_eq(&l->groups[i], key))
                return i;
        }
    }
    int32_t g = l->free_group;
    if (g >= 0)
        l->free_group = l->groups[g].next;
    else
        g = l->fresh_group++;
    l->groups[g] = *key;
    if (!key->alone) {
        l->groups[g].next = *bucket - 1;
        *bucket = g + 1;
    }
    l->groups[g].at = l->n_active;
    l->active[l->n_active++] = g;
    return g;
}

static void group_leave(struct line *l, int32_t g)
{
    struct wait_group *gr = &l->groups[g];
    if (!gr->alone) {
        int32_t *bucket = group_bucket(l, gr), i = *bucket - 1;
        if (i == g) {
            *bucket = gr->next + 1;
        } else {
            while (l->groups[i].next != g)
                i = l->groups[i].next;
            l->groups[i].next = gr->next;
        }
    }
    int32_t last = l->active[--l->n_active];
    l->active[gr->at] = last;
    l->groups[last].at = gr->at;
    gr->next = l->free_group;
    l->free_group = g;
}

// Takes a waiter out of the line. What was found about the others no longer holds.
static void leave(struct route *r, int32_t i)
{
    struct line *l = r->line;
    struct waiter *w = &l->waiters[i];
    struct wait_group *g = &l->groups[w->group];
    count_out(r, g);
    g->root = heap_drop(l, BY_DUE, g->root, i);
    l->late = heap_drop(l, BY_DEADLINE, l->late, i);
    if (g->root < 0)
        group_leave(l, w->group);
    w->group = -1;
    w->next_free = l->free_waiter;
    l->free_waiter = i;
    l->scanned = 0;
    if (l->n == 0)
        memset(r->claimed, 0, (size_t)r->p->n_pools * sizeof *r->claimed);
}

static double claim_strength(const struct route *r, const struct route_ask *ask, int64_t now_us)
{
    double waited = now_us > ask->arrived_us ? (double)(now_us - ask->arrived_us) : 0;
    return r->class_weight[class_row(r, ask->class)] * (1 + waited / STRONGER_US);
}

// A newcomer at the head of its group: does it go at once after all, or does it claim what it waits
// for? What is known of the others stays known.
static void look_first(struct route *r, int32_t i, int64_t now_us)
{
    struct line *l = r->line;
    const struct route_ask *ask = &l->waiters[i].ask;
    int64_t timed_us;
    if (route_decide(r, ask, 0, now_us, &timed_us).verdict != ROUTE_WAIT) {
        l->scanned = 0;
        return;
    }
    route_claim(r, ask, claim_strength(r, ask, now_us), now_us);
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
    return r->line->tenant_n[tenant_cell(r, ask->class, ask->tenant)] < left;
}

int32_t route_wait(struct route *r, const struct route_ask *ask, uint64_t user, int64_t now_us)
{
    struct line *l = r->line;
    if (!has_place(r, ask))
        return -1;
    int32_t i = l->free_waiter;
    if (i >= 0)
        l->free_waiter = l->waiters[i].next_free;
    else
        i = l->fresh_waiter++;
    struct waiter *w = &l->waiters[i];
    *w = (struct waiter){.ask = *ask, .user = user, .order = ++l->orders};
    int64_t due_us = ask->arrived_us > NEVER - PATIENCE_US ? NEVER : ask->arrived_us + PATIENCE_US;
    w->due_us = ask->deadline_us < NEVER ? ask->deadline_us : due_us;
    struct wait_group key = group_key(r, ask, now_us);
    w->group = group_join(l, &key);
    struct wait_group *g = &l->groups[w->group];
    count_in(r, g);
    g->root = heap_add(l, BY_DUE, g->root, i);
    l->late = heap_add(l, BY_DEADLINE, l->late, i);
    if (g->root == i)
        look_first(r, i, now_us);
    return i;
}

void route_cancel(struct route *r, int32_t ticket)
{
    CHECK(ticket >= 0 && ticket < r->line->fresh_waiter);
    CHECK(r->line->waiters[ticket].group >= 0);
    leave(r, ticket);
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

static bool goes_first(const struct route *r, int32_t x, int32_t y)
{
    const struct line *l = r->line;
    const struct wait_group *a = &l->groups[x], *b = &l->groups[y];
    double ac = l->class_paid[class_row(r, a->class)], bc = l->class_paid[class_row(r, b->class)];
    if (ac != bc)
        return ac < bc;
    if (a->class != b->class) {
        double aw = r->class_weight[class_row(r, a->class)];
        double bw = r->class_weight[class_row(r, b->class)];
        return aw != bw ? aw > bw : a->class < b->class;
    }
    double at = l->tenant_paid[tenant_cell(r, a->class, a->tenant)];
    double bt = l->tenant_paid[tenant_cell(r, b->class, b->tenant)];
    if (at != bt)
        return at < bt;
    return is_before(l, BY_DUE, a->root, b->root);
}

// Shell's sort with Ciura's gaps: no memory, no recursion, and nearly sorted is nearly free.
static void sort_groups(struct route *r)
{
    static const int32_t gaps[] = {8858, 3937, 1750, 701, 301, 132, 57, 23, 10, 4, 1};
    struct line *l = r->line;
    for (size_t k = 0; k < COUNTOF(gaps); k++) {
        int32_t gap = gaps[k];
        for (int32_t i = gap; i < l->n_active; i++) {
            int32_t g = l->active[i], j = i;
            for (; j >= gap && goes_first(r, g, l->active[j - gap]); j -= gap)
                l->active[j] = l->active[j - gap];
            l->active[j] = g;
        }
    }
    for (int32_t i = 0; i < l->n_active; i++)
        l->groups[l->active[i]].at = i;
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
    leave(r, l->late);
    return true;
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
    sort_groups(r);
    l->scan_due_us = NEVER;
    const struct route_ask *some = &l->waiters[l->late].ask;
    route_see_wall(r, some->wall_us + (now_us - some->arrived_us));
    for (int32_t k = 0; k < l->n_active; k++) {
        int32_t i = l->groups[l->active[k]].root;
        struct waiter *w = &l->waiters[i];
        int64_t timed_us;
        struct route_decision d = route_decide(r, &w->ask, 0, now_us, &timed_us);
        l->scan_due_us = min_i64(l->scan_due_us, timed_us);
        if (d.verdict == ROUTE_WAIT) {
            route_claim(r, &w->ask, claim_strength(r, &w->ask, now_us), now_us);
            continue;
        }
        if (d.verdict == ROUTE_SEND) {
            route_took(r, &w->ask, &d, now_us);
            pay(r, w);
        }
        *out = (struct route_woken){.user = w->user, .decision = d};
        leave(r, i);
        return true;
    }
    l->scanned = r->live->version;
    return false;
}
