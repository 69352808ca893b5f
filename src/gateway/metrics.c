#include "gateway/metrics_grid.h"

#include <stdlib.h>

// --- the grids ---------------------------------------------------------------------------------

// `n` things by their index, and one slot more for what is none of them.
static void set_axis(struct metrics *m, enum axis axis, int32_t n)
{
    char number[SLOT_NAME_BYTES];
    m->other[axis] = n;
    m->size[axis] = n + 1;
    for (int32_t i = 0; i < n; i++) {
        if (!str_eq(metrics_slot_name(m, axis, i, number), STR("other")))
            continue;
        // Something has this very name: the page must not have two series of it.
        m->other[axis] = i;
        m->size[axis] = n;
        return;
    }
}

static void set_axes(struct metrics *m)
{
    set_axis(m, AXIS_TENANT, m->n_names[NAMES_TENANT]);
    set_axis(m, AXIS_MODEL, m->n_names[NAMES_MODEL]);
    set_axis(m, AXIS_CLASS, m->n_names[NAMES_CLASS]);
    set_axis(m, AXIS_POOL, m->n_names[NAMES_POOL]);
    set_axis(m, AXIS_CODE, CODE_COUNT);
    set_axis(m, AXIS_OUTCOME, FAULT_COUNT);
    m->size[AXIS_OPERATION] = OPERATION_COUNT;
    m->size[AXIS_TYPE] = TYPE_COUNT;
    m->size[AXIS_SIDE] = SIDE_COUNT;
    m->size[AXIS_SKIP] = METRICS_SKIPS;
    m->other[AXIS_OPERATION] = m->other[AXIS_TYPE] = m->other[AXIS_SIDE] = -1;
    m->other[AXIS_SKIP] = -1;
}

static int32_t width_of(const struct family *f)
{
    return f->ladder ? f->ladder->n + 2 : 1;
}

static bool fits(const struct metrics *m, const struct family *f)
{
    int64_t n = width_of(f);
    for (int32_t i = 0; i < LABELS_MAX && f->labels[i] && n <= FAMILY_CELLS_MAX; i++)
        n *= m->size[metrics_label_axis(f->labels[i])];
    return n <= FAMILY_CELLS_MAX;
}

static uint32_t split_of(const struct metrics *m, enum what what)
{
    uint32_t known = 0, too_large = 0;
    for (int32_t i = 0; i < metrics_n_families; i++) {
        const struct family *f = &metrics_families[i];
        if (f->what != what)
            continue;
        known |= f->splits;
        if (!fits(m, f))
            too_large |= f->splits;
    }
    uint32_t split = SPLIT_NONE;
    while (split & too_large && known & split << 1)
        split <<= 1;
    return split;
}

static void add_grid(struct metrics *m, const struct family *f)
{
    CHECK(m->n_grids < FAMILIES_MAX && m->of[f->what].n < SPLIT_MAX);
    struct grid *g = &m->grids[m->n_grids++];
    *g = (struct grid){.family = f, .first = m->n_cells, .width = width_of(f)};
    while (g->n_labels < LABELS_MAX && f->labels[g->n_labels])
        g->n_labels++;
    int64_t n = 1;
    for (int32_t i = g->n_labels - 1; i >= 0; i--) {
        g->axis[i] = metrics_label_axis(f->labels[i]);
        g->stride[i] = (int32_t)n;
        n *= m->size[g->axis[i]];
        CHECK(n <= INT32_MAX / g->width);
    }
    g->n_series = (int32_t)n;
    m->n_cells += (size_t)n * (size_t)g->width;
    m->of[f->what].grids[m->of[f->what].n++] = g;
}

// The names' text stays where it is, their array does not.
static void keep_names(struct metrics *m, const struct names *names)
{
    for (int k = 0; k < NAMES_KINDS; k++) {
        enum names_kind kind = (enum names_kind)k;
        int32_t n = m->n_names[k] = names_n(names, kind);
        m->names[k] = take_n(sizeof *m->names[k], (size_t)n);
        for (int32_t i = 0; i < n; i++)
            m->names[k][i] = names_text(names, kind, i);
    }
}

struct metrics *metrics_new(const struct names *names, int32_t workers)
{
    struct metrics *m = take(sizeof *m);
    CHECK(pthread_mutex_init(&m->moving, NULL) == 0);
    keep_names(m, names);
    m->workers = workers;
    m->n_cells = METRICS_GAUGES;
    for (int32_t i = 0; i < AXIS_COUNT; i++)
        m->other[i] = -1;
    set_axes(m);
    for (int32_t i = 0; i < metrics_n_families; i++)
        if (metrics_families[i].splits & split_of(m, metrics_families[i].what))
            add_grid(m, &metrics_families[i]);
    m->shards = take_n(sizeof *m->shards, (size_t)workers);
    for (int32_t i = 0; i < workers; i++)
        m->shards[i] = take_n(sizeof **m->shards, m->n_cells);
    return m;
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    metrics_free(m->from);
    for (int32_t i = 0; i < m->workers; i++)
        free(m->shards[i]);
    for (int k = 0; k < NAMES_KINDS; k++)
        free(m->names[k]);
    pthread_mutex_destroy(&m->moving);
    free(m->shards);
    free(m);
}

// --- growing -----------------------------------------------------------------------------------

struct metrics *metrics_grown(struct metrics *m, const struct names *names)
{
    bool same = true;
    for (int k = 0; k < NAMES_KINDS; k++)
        same = same && m->n_names[k] == names_n(names, (enum names_kind)k);
    if (same)
        return NULL;
    struct metrics *grown = metrics_new(names, m->workers);
    grown->from = m;
    return grown;
}

// Where in `to` the series of `from` goes on; numbers of names are the same in both.
static size_t place_in(const struct metrics *to, const struct grid *g, const struct metrics *from,
                       const struct grid *old, int32_t series)
{
    int32_t there = 0;
    for (int32_t i = 0; i < g->n_labels; i++) {
        enum axis axis = g->axis[i];
        int32_t slot = series / old->stride[i] % from->size[axis];
        there += (slot == from->other[axis] ? to->other[axis] : slot) * g->stride[i];
    }
    return g->first + (size_t)there * (size_t)g->width;
}

static void move_grid(struct metrics *to, const struct grid *g, const struct grid *old,
                      int32_t worker)
{
    const struct metrics *from = to->from;
    for (int32_t s = 0; s < old->n_series; s++) {
        const cell *row = from->shards[worker] + old->first + (size_t)s * (size_t)old->width;
        cell *into = NULL;  // most series were never counted in
        for (int32_t i = 0; i < old->width; i++) {
            uint64_t n = cell_get(&row[i]);
            if (n && !into)
                into = to->shards[worker] + place_in(to, g, from, old, s);
            if (n)
                cell_put(&into[i], n);
        }
    }
}

void metrics_move(struct metrics *grown, int32_t worker)
{
    const struct metrics *from = grown->from;
    for (int32_t i = 0; i < METRICS_GAUGES; i++)
        cell_put(&grown->shards[worker][i], cell_get(&from->shards[worker][i]));
    // What was split because it was large is not together again, and the other way about: a family
    // that only one of the two has begins anew.
    for (int32_t i = 0; i < grown->n_grids; i++)
        for (int32_t k = 0; k < from->n_grids; k++)
            if (grown->grids[i].family == from->grids[k].family)
                move_grid(grown, &grown->grids[i], &from->grids[k], worker);
    atomic_fetch_add(&grown->moved, 1);
}

void metrics_settle(struct metrics *grown)
{
    pthread_mutex_lock(&grown->moving);
    CHECK(atomic_load(&grown->moved) == grown->workers);
    metrics_free(grown->from);
    grown->from = NULL;
    pthread_mutex_unlock(&grown->moving);
}

const struct metrics *metrics_shown(const struct metrics *m)
{
    while (m->from && atomic_load(&m->moved) < m->workers)
        m = m->from;
    return m;
}

// --- counting ----------------------------------------------------------------------------------

struct spot {
    int32_t slot[AXIS_COUNT];
};

static int32_t slot_of(const struct metrics *m, enum axis axis, int32_t i)
{
    return i >= 0 && i < m->size[axis] ? i : m->other[axis];
}

static int32_t code_slot(const struct metrics *m, int32_t status)
{
    for (int32_t i = 0; i < CODE_COUNT; i++)
        if (metrics_codes[i] == status)
            return i;
    return m->other[AXIS_CODE];
}

static int32_t operation_of(enum surface surface)
{
    switch (surface) {
    case SURFACE_CHAT:
    case SURFACE_RESPONSES:
    case SURFACE_MESSAGES: return OPERATION_CHAT;
    case SURFACE_COMPLETIONS: return OPERATION_COMPLETION;
    case SURFACE_EMBEDDINGS: return OPERATION_EMBEDDINGS;
    }
    return -1;
}

static cell *cells_at(const struct metrics *m, int32_t worker, const struct grid *g,
                      const struct spot *at)
{
    int32_t series = 0;
    for (int32_t i = 0; i < g->n_labels; i++)
        series += at->slot[g->axis[i]] * g->stride[i];
    return m->shards[worker] + g->first + (size_t)series * (size_t)g->width;
}

static void add(struct metrics *m, int32_t worker, enum what what, const struct spot *at, int64_t n)
{
    for (int32_t i = 0; n > 0 && i < m->of[what].n; i++) {
        cell *c = cells_at(m, worker, m->of[what].grids[i], at);
        cell_put(c, cell_get(c) + (uint64_t)n);
    }
}

static void add_joules(struct metrics *m, int32_t worker, const struct spot *at, double joules)
{
    for (int32_t i = 0; joules > 0 && i < m->of[WHAT_ENERGY].n; i++) {
        cell *c = cells_at(m, worker, m->of[WHAT_ENERGY].grids[i], at);
        cell_put(c, cell_bits(cell_double(cell_get(c)) + joules));
    }
}

static void observe(struct metrics *m, int32_t worker, enum what what, const struct spot *at,
                    int64_t value)
{
    for (int32_t i = 0; i < m->of[what].n; i++) {
        const struct grid *g = m->of[what].grids[i];
        const struct ladder *l = g->family->ladder;
        cell *row = cells_at(m, worker, g, at), *sum = &row[l->n + 1];
        int32_t step = 0;
        while (step < l->n && value > l->most[step])
            step++;
        cell_put(&row[step], cell_get(&row[step]) + 1);
        cell_put(sum, cell_get(sum) + (uint64_t)max_i64(value, 0));
    }
}

static void add_tokens(struct metrics *m, int32_t worker, enum what what, struct spot *at,
                       int64_t prompt_tok, int64_t cached_tok, int64_t output_tok)
{
    at->slot[AXIS_TYPE] = TYPE_INPUT;
    add(m, worker, what, at, prompt_tok - cached_tok);
    at->slot[AXIS_TYPE] = TYPE_CACHED;
    add(m, worker, what, at, cached_tok);
    at->slot[AXIS_TYPE] = TYPE_OUTPUT;
    add(m, worker, what, at, output_tok);
}

static void count_answer(struct metrics *m, int32_t worker, struct spot *at,
                         const struct metrics_request *r)
{
    add_tokens(m, worker, WHAT_TOKENS, at, r->prompt_tok, r->cached_tok, r->output_tok);
    add(m, worker, WHAT_ESTIMATED, at, r->tokens_estimated);
    add(m, worker, WHAT_LIST_USD, at, r->list_nusd);
    add_joules(m, worker, at, r->joules);
    if (at->slot[AXIS_OPERATION] < 0)
        return;
    if (r->ttft_us >= 0)
        observe(m, worker, WHAT_TTFT, at, r->ttft_us);
    if (r->per_token_us > 0)
        observe(m, worker, WHAT_PER_TOKEN, at, r->per_token_us);
    observe(m, worker, WHAT_DURATION, at, r->total_us);
    at->slot[AXIS_SIDE] = TYPE_INPUT;
    observe(m, worker, WHAT_USAGE, at, r->prompt_tok);
    at->slot[AXIS_SIDE] = TYPE_OUTPUT;
    observe(m, worker, WHAT_USAGE, at, r->output_tok);
}

void metrics_request(struct metrics *m, int32_t worker, const struct metrics_request *r)
{
    struct spot at = {{0}};
    const struct names_map *n = r->names;
    at.slot[AXIS_TENANT] = slot_of(m, AXIS_TENANT, names_of(n, NAMES_TENANT, r->tenant));
    at.slot[AXIS_MODEL] = slot_of(m, AXIS_MODEL, names_of(n, NAMES_MODEL, r->model));
    at.slot[AXIS_CLASS] = slot_of(m, AXIS_CLASS, names_of(n, NAMES_CLASS, r->class));
    at.slot[AXIS_POOL] = slot_of(m, AXIS_POOL, names_of(n, NAMES_POOL, r->pool));
    at.slot[AXIS_CODE] = code_slot(m, r->status);
    at.slot[AXIS_OPERATION] = operation_of(r->surface);
    add(m, worker, WHAT_REQUESTS, &at, 1);
    add(m, worker, WHAT_CUT, &at, r->cut);
    if (r->pool >= 0)
        count_answer(m, worker, &at, r);
}

void metrics_attempt(struct metrics *m, int32_t worker, const struct names_map *names, int32_t pool,
                     enum fault fault, int64_t ttft_us)
{
    struct spot at = {{0}};
    at.slot[AXIS_POOL] = slot_of(m, AXIS_POOL, names_of(names, NAMES_POOL, pool));
    at.slot[AXIS_OUTCOME] = slot_of(m, AXIS_OUTCOME, (int32_t)fault);
    add(m, worker, WHAT_ATTEMPTS, &at, 1);
    if (ttft_us >= 0)
        observe(m, worker, WHAT_ATTEMPT_TTFT, &at, ttft_us);
}

void metrics_shadow(struct metrics *m, int32_t worker, const struct metrics_shadow *s)
{
    struct spot at = {{0}};
    at.slot[AXIS_POOL] = slot_of(m, AXIS_POOL, names_of(s->names, NAMES_POOL, s->pool));
    at.slot[AXIS_OUTCOME] = slot_of(m, AXIS_OUTCOME, (int32_t)s->fault);
    add(m, worker, WHAT_SHADOW, &at, 1);
    add_tokens(m, worker, WHAT_SHADOW_TOKENS, &at, s->prompt_tok, s->cached_tok, s->output_tok);
    add(m, worker, WHAT_SHADOW_USD, &at, s->list_nusd);
    if (s->ttft_us >= 0)
        observe(m, worker, WHAT_SHADOW_TTFT, &at, s->ttft_us);
    if (s->per_token_us > 0)
        observe(m, worker, WHAT_SHADOW_PER_TOKEN, &at, s->per_token_us);
}

void metrics_shadow_skipped(struct metrics *m, int32_t worker, const struct names_map *names,
                            int32_t pool, enum metrics_skip why)
{
    struct spot at = {{0}};
    at.slot[AXIS_POOL] = slot_of(m, AXIS_POOL, names_of(names, NAMES_POOL, pool));
    at.slot[AXIS_SKIP] = (int32_t)why;
    add(m, worker, WHAT_SHADOW_SKIPPED, &at, 1);
}

void metrics_add(struct metrics *m, int32_t worker, enum metrics_gauge g, int64_t change)
{
    cell *c = &m->shards[worker][g];
    cell_put(c, cell_get(c) + (uint64_t)change);
}

uint64_t metrics_sum(const struct metrics *m, size_t at)
{
    uint64_t sum = 0;
    for (int32_t i = 0; i < m->workers; i++)
        sum += cell_get(&m->shards[i][at]);
    return sum;
}

int64_t metrics_value(struct metrics *m, enum metrics_gauge g)
{
    pthread_mutex_lock(&m->moving);
    uint64_t sum = metrics_sum(metrics_shown(m), (size_t)g);
    pthread_mutex_unlock(&m->moving);
    return (int64_t)sum;
}

void metrics_bad_head(struct metrics *m, int32_t worker)
{
    struct spot at = {{0}};
    add(m, worker, WHAT_BAD, &at, 1);
}
