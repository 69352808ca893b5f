#include "route/line.h"

static const double TOKENS_PAID = 1e-3;

enum err line_new(struct line **out, struct arena *a, const struct route *r)
{
    size_t classes = (size_t)r->p->n_classes + 1, rows = (size_t)r->p->n_tenants + 1;
    struct line *l = arena_new(a, struct line, 1);
    if (!l)
        return ERR_LIMIT;
    l->waiters = arena_new(a, struct waiter, ROUTE_WAITING_MAX);
    l->groups = arena_new(a, struct wait_group, ROUTE_WAITING_MAX);
    l->active = arena_new(a, int32_t, ROUTE_WAITING_MAX);
    l->order = arena_new(a, int32_t, ROUTE_WAITING_MAX);
    l->hash = arena_new(a, int32_t, GROUP_HASH);
    l->cells = arena_new(a, struct wait_cell, 2 * r->n_lists);
    l->at_pool = arena_new(a, int32_t, r->p->n_pools);
    l->class_paid = arena_new(a, double, classes);
    l->class_n = arena_new(a, int32_t, classes);
    l->tenant_floor = arena_new(a, double, classes);
    l->tenant_paid = arena_new(a, double, classes *rows);
    l->tenant_n = arena_new(a, int32_t, classes * rows);
    if (!l->waiters || !l->groups || !l->active || !l->order || !l->hash || !l->cells ||
        !l->at_pool || !l->class_paid || !l->class_n || !l->tenant_floor || !l->tenant_paid ||
        !l->tenant_n)
        return ERR_LIMIT;
    for (int32_t i = 0; i < r->p->n_pools; i++)
        l->some_limited = l->some_limited || r->p->pools[i].limits.waiting > 0;
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

int32_t line_class_row(const struct route *r, int32_t class)
{
    CHECK(class >= -1 && class < r->p->n_classes);
    return class >= 0 ? class : r->p->n_classes;
}

int32_t line_tenant_cell(const struct route *r, int32_t class, int32_t tenant)
{
    int32_t row = tenant >= 0 ? tenant : r->p->n_tenants;
    return line_class_row(r, class) * r->line->n_rows + row;
}

static double most(double a, double b)
{
    return a > b ? a : b;
}

// Counted in, each class and tenant that was away starts level with the one served last.
static void count_in(struct route *r, const struct wait_group *g)
{
    struct line *l = r->line;
    int32_t c = line_class_row(r, g->class), t = line_tenant_cell(r, g->class, g->tenant);
    if (l->class_n[c]++ == 0)
        l->class_paid[c] = most(l->class_paid[c], l->class_floor);
    if (l->tenant_n[t]++ == 0)
        l->tenant_paid[t] = most(l->tenant_paid[t], l->tenant_floor[c]);
    l->n++;
}

static void count_out(struct route *r, const struct wait_group *g)
{
    r->line->class_n[line_class_row(r, g->class)]--;
    r->line->tenant_n[line_tenant_cell(r, g->class, g->tenant)]--;
    r->line->n--;
}

void line_pay(struct route *r, const struct waiter *w)
{
    struct line *l = r->line;
    int32_t c = line_class_row(r, w->ask.class),
            t = line_tenant_cell(r, w->ask.class, w->ask.tenant);
    double cost = (1 + (double)w->ask.prompt_tok + w->ask.output_tok) * TOKENS_PAID;
    l->class_floor = most(l->class_floor, l->class_paid[c]);
    l->tenant_floor[c] = most(l->tenant_floor[c], l->tenant_paid[t]);
    l->class_paid[c] += cost / r->class_weight[c];
    l->tenant_paid[t] += cost;
}

struct wait_group line_key(const struct route *r, const struct route_ask *ask, int64_t now_us)
{
    struct list *list = route_list(r, ask);
    struct look look;
    look_at(&look, r, ask, now_us);
    int32_t n = list_n(list, ask);
    bool stand_in = ask->stand_in && !ask->same_model;
    struct wait_group g = {.model = ask->model,
                           .class = ask->class,
                           .tenant = ask->tenant,
                           .surface = ask->surface,
                           .stand_in = stand_in,
                           .alone = ask->n_tried > 0,
                           .cell = list ? 2 * (int32_t)(list - r->lists) + stand_in : -1,
                           .root = -1,
                           .next = -1};
    for (int32_t i = 0; i < n; i++)
        g.fits += admit_fits(r, &look, &r->offers[list->entries[i].offer]);
    g.plain = n > 0 && g.fits == n && !g.alone && look.rights < 0;
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

// The place of the group with this key; -1: nobody waits there.
static int32_t group_find(struct line *l, const struct wait_group *key)
{
    if (key->alone)
        return -1;
    int32_t i = *group_bucket(l, key) - 1;
    while (i >= 0 && !group_eq(&l->groups[i], key))
        i = l->groups[i].next;
    return i;
}

static int32_t group_join(struct line *l, const struct wait_group *key)
{
    int32_t g = group_find(l, key);
    if (g >= 0)
        return g;
    int32_t *bucket = group_bucket(l, key);
    g = l->free_group;
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

int32_t line_place(struct line *l)
{
    int32_t i = l->free_waiter;
    if (i < 0)
        return l->fresh_waiter++;
    l->free_waiter = l->waiters[i].next_free;
    return i;
}

int32_t line_ahead(struct line *l, const struct wait_group *key, int64_t due_us)
{
    int32_t g = group_find(l, key);
    return g >= 0 && l->groups[g].last_due_us <= due_us ? l->groups[g].n : 0;
}

bool line_join(struct route *r, const struct wait_group *key, int32_t i)
{
    struct line *l = r->line;
    struct waiter *w = &l->waiters[i];
    w->order = ++l->orders;
    w->group = group_join(l, key);
    struct wait_group *g = &l->groups[w->group];
    count_in(r, g);
    g->n++;
    g->last_due_us = max_i64(g->last_due_us, w->due_us);
    if (w->home >= 0)
        l->at_pool[w->home]++;
    g->root = heap_add(l, BY_DUE, g->root, i);
    l->late = heap_add(l, BY_DEADLINE, l->late, i);
    return g->root == i;
}

void line_leave(struct route *r, int32_t i)
{
    struct line *l = r->line;
    struct waiter *w = &l->waiters[i];
    struct wait_group *g = &l->groups[w->group];
    count_out(r, g);
    g->n--;
    g->root = heap_drop(l, BY_DUE, g->root, i);
    l->late = heap_drop(l, BY_DEADLINE, l->late, i);
    if (g->root < 0)
        group_leave(l, w->group);
    w->group = -1;
    w->next_free = l->free_waiter;
    l->free_waiter = i;
    l->scanned = 0;
    if (w->home >= 0)
        l->at_pool[w->home]--;
    if (l->n == 0 && r->some_claimed) {
        memset(r->claimed, 0, (size_t)r->p->n_pools * sizeof *r->claimed);
        r->some_claimed = false;
    }
}

bool line_goes_first(const struct route *r, int32_t x, int32_t y)
{
    const struct line *l = r->line;
    const struct wait_group *a = &l->groups[x], *b = &l->groups[y];
    double ac = l->class_paid[line_class_row(r, a->class)],
           bc = l->class_paid[line_class_row(r, b->class)];
    if (ac != bc)
        return ac < bc;
    if (a->class != b->class) {
        double aw = r->class_weight[line_class_row(r, a->class)];
        double bw = r->class_weight[line_class_row(r, b->class)];
        return aw != bw ? aw > bw : a->class < b->class;
    }
    double at = l->tenant_paid[line_tenant_cell(r, a->class, a->tenant)];
    double bt = l->tenant_paid[line_tenant_cell(r, b->class, b->tenant)];
    if (at != bt)
        return at < bt;
    return is_before(l, BY_DUE, a->root, b->root);
}
