#include "replay/editions.h"

// --- making -----------------------------------------------------------------------------------

struct maker {
    struct arena *arena;
    const struct portfolio *said;              // by the files
    struct portfolio *now;                     // the edition that is being made
    bool own_pools, own_sites, own_contracts;  // its arrays are not those of the one before
    int64_t **phase_from_us;                   // [n_contracts][n_phases], in the order of `said`
};

static void *copy_of(struct arena *a, const void *from, size_t size, int32_t n)
{
    void *own = arena_take_n(a, size, (size_t)(n > 0 ? n : 1));
    if (own && n > 0)
        memcpy(own, from, size * (size_t)n);
    return own;
}

static bool make_own(struct maker *m, enum change_kind kind)
{
    struct portfolio *p = m->now;
    bool sites = kind == CHANGE_ENERGY || kind == CHANGE_CARBON;
    bool pools = kind == CHANGE_PRICE || kind == CHANGE_MAINTENANCE;
    if (sites && !m->own_sites)
        p->sites = copy_of(m->arena, p->sites, sizeof *p->sites, p->n_sites);
    else if (pools && !m->own_pools)
        p->pools = copy_of(m->arena, p->pools, sizeof *p->pools, p->n_pools);
    else if (!sites && !pools && !m->own_contracts)
        p->contracts = copy_of(m->arena, p->contracts, sizeof *p->contracts, p->n_contracts);
    m->own_sites = m->own_sites || sites;
    m->own_pools = m->own_pools || pools;
    m->own_contracts = m->own_contracts || (!sites && !pools);
    return p->sites && p->pools && p->contracts;
}

static int64_t times_i64(int64_t v, double factor)
{
    double x = (double)v * factor + 0.5;
    return v < 0 ? v : x < (double)(INT64_MAX / 2) ? (int64_t)x : INT64_MAX / 2;
}

static void price(struct token_price *now, const struct token_price *said, const struct change *c)
{
    if (c->times && said->said) {
        now->input = times_i64(said->input, c->value);
        now->cached_input = times_i64(said->cached_input, c->value);
        now->cache_write = times_i64(said->cache_write, c->value);
        now->output = times_i64(said->output, c->value);
    }
    if (c->times)
        return;
    if (!now->said)
        *now = (struct token_price){.said = true, .cached_input = -1, .cache_write = -1};
    now->input = c->price.input >= 0 ? c->price.input : now->input;
    now->cached_input = c->price.cached_input >= 0 ? c->price.cached_input : now->cached_input;
    now->cache_write = c->price.cache_write >= 0 ? c->price.cache_write : now->cache_write;
    now->output = c->price.output >= 0 ? c->price.output : now->output;
}

static bool change_price(struct maker *m, const struct change *c)
{
    for (int32_t i = 0; i < m->now->n_pools; i++) {
        struct pool *pool = &m->now->pools[i];
        if (i != c->pool && (c->contract < 0 || pool->contract != c->contract))
            continue;
        pool->serves = copy_of(m->arena, pool->serves, sizeof *pool->serves, pool->n_serves);
        if (!pool->serves)
            return false;
        for (int32_t k = 0; k < pool->n_serves; k++)
            if (c->model < 0 || pool->serves[k].model == c->model)
                price(&pool->serves[k].price, &m->said->pools[i].serves[k].price, c);
    }
    return true;
}

// Far enough away is for ever.
static int64_t moved(int64_t at_us, int64_t by_us)
{
    int64_t out;
    if (__builtin_add_overflow(at_us, by_us, &out))
        return by_us > 0 ? NEVER : INT64_MIN;
    return out;
}

static bool change_phase(struct maker *m, const struct change *c)
{
    const struct contract *said = &m->said->contracts[c->contract];
    struct contract *now = &m->now->contracts[c->contract];
    int64_t **from_us = &m->phase_from_us[c->contract];
    if (!*from_us) {
        *from_us = arena_new(m->arena, int64_t, said->n_phases);
        for (int32_t i = 0; *from_us && i < said->n_phases; i++)
            (*from_us)[i] = said->phases[i].from_us;
    }
    now->phases = arena_new(m->arena, struct phase, said->n_phases);
    if (!*from_us || !now->phases)
        return false;
    int64_t *at = &(*from_us)[c->phase];
    *at = c->kind == CHANGE_PHASE_AT ? c->us : moved(*at, c->us);
    for (int32_t i = 0; i < said->n_phases; i++) {
        struct phase ph = said->phases[i];
        ph.from_us = (*from_us)[i];
        int32_t k = i;
        for (; k > 0 && now->phases[k - 1].from_us > ph.from_us; k--)
            now->phases[k] = now->phases[k - 1];
        now->phases[k] = ph;
    }
    return true;
}

static bool change(struct maker *m, const struct change *c)
{
    if (!make_own(m, c->kind))
        return false;
    struct portfolio *now = m->now;
    switch (c->kind) {
    case CHANGE_MAINTENANCE: break;
    case CHANGE_PHASE_BY:
    case CHANGE_PHASE_AT: return change_phase(m, c);
    case CHANGE_PRICE: return change_price(m, c);
    case CHANGE_BEYOND: {
        double said = m->said->contracts[c->contract].commitment.beyond_nusd_per_unit;
        now->contracts[c->contract].commitment.beyond_nusd_per_unit =
            c->times ? said * c->value : c->value;
        break;
    }
    case CHANGE_ENERGY: {
        double said = m->said->sites[c->site].energy_nusd_per_joule;
        now->sites[c->site].energy_nusd_per_joule = c->times ? said * c->value : c->value;
        break;
    }
    case CHANGE_CARBON: {
        double said = m->said->sites[c->site].carbon_g_per_joule;
        now->sites[c->site].carbon_g_per_joule = c->times ? said * c->value : c->value;
        break;
    }
    }
    return true;
}

static bool maintain(struct maker *m, const struct change *c, int64_t wall_us)
{
    if (!make_own(m, CHANGE_MAINTENANCE))
        return false;
    for (int32_t i = 0; i < m->now->n_pools; i++) {
        struct pool *pool = &m->now->pools[i];
        if (i != c->pool && (c->site < 0 || pool->site != c->site))
            continue;
        struct maintenance *all = arena_new(m->arena, struct maintenance, pool->n_maintenance + 1);
        if (!all)
            return false;
        if (pool->n_maintenance)
            memcpy(all, pool->maintenance, (size_t)pool->n_maintenance * sizeof *all);
        int64_t from_us = wall_us + c->at_us;
        int64_t until_us = c->us < NEVER - from_us ? from_us + c->us : NEVER;
        all[pool->n_maintenance++] = (struct maintenance){.from_us = from_us, .until_us = until_us};
        pool->maintenance = all;
    }
    return true;
}

static bool begin_edition(struct maker *m, struct editions *out, int64_t from_us)
{
    m->now = copy_of(m->arena, out->n ? out->all[out->n - 1].p : m->said, sizeof *m->now, 1);
    m->own_pools = m->own_sites = m->own_contracts = false;
    out->all[out->n++] = (struct edition){from_us, m->now};
    return m->now;
}

enum err editions_new(struct editions *out, struct arena *a, const struct portfolio *p,
                      const struct events *events, int64_t wall_us)
{
    struct maker m = {.arena = a, .said = p};
    *out = (struct editions){.all = arena_new(a, struct edition, events->n_changes + 1),
                             .wall_us = wall_us};
    m.phase_from_us = arena_new(a, int64_t *, p->n_contracts + 1);
    if (!out->all || !m.phase_from_us)
        return ERR_LIMIT;
    if (events->n_changes == 0) {
        out->all[out->n++] = (struct edition){INT64_MIN, p};
        return ERR_NONE;
    }
    bool ok = begin_edition(&m, out, INT64_MIN);
    for (int32_t i = 0; i < events->n_changes && ok; i++)
        if (events->changes[i].kind == CHANGE_MAINTENANCE)
            ok = maintain(&m, &events->changes[i], wall_us);
    for (int32_t i = 0; i < events->n_changes && ok; i++) {
        const struct change *c = &events->changes[i];
        if (c->kind == CHANGE_MAINTENANCE)
            continue;
        if (c->at_us > 0 && c->at_us > out->all[out->n - 1].from_us)
            ok = begin_edition(&m, out, c->at_us);
        ok = ok && change(&m, c);
    }
    return ok ? ERR_NONE : ERR_LIMIT;
}

// --- asking -----------------------------------------------------------------------------------

int32_t edition_at(const struct editions *e, int64_t at_us)
{
    int32_t lo = 0, hi = e->n - 1;
    while (lo < hi) {
        int32_t mid = (lo + hi + 1) / 2;
        if (e->all[mid].from_us <= at_us)
            lo = mid;
        else
            hi = mid - 1;
    }
    return lo;
}

int64_t edition_until_us(const struct editions *e, int32_t i, int64_t until_us)
{
    return i + 1 < e->n ? min_i64(e->all[i + 1].from_us, until_us) : until_us;
}

bool editions_active(const struct editions *e, int32_t pool, int64_t at_us)
{
    const struct portfolio *p = e->all[edition_at(e, at_us)].p;
    return pool_active(p, &p->pools[pool], e->wall_us + at_us);
}

static bool takes(const struct portfolio *p, const struct pool *pool, int64_t wall_us)
{
    return !pool_maintenance(pool, wall_us) && pool_active(p, pool, wall_us);
}

// It begins to take requests where a phase begins or ends, or maintenance ends. Wall time.
static int64_t first_of_edition(const struct portfolio *p, const struct pool *pool, int64_t from_us,
                                int64_t last_us)
{
    if (takes(p, pool, from_us))
        return from_us;
    int64_t first = NEVER;
    const struct contract *c = pool->contract >= 0 ? &p->contracts[pool->contract] : NULL;
    int32_t n_phases = c ? c->n_phases : 0;
    for (int32_t i = 0; i < 2 * n_phases + pool->n_maintenance; i++) {
        int64_t at = i < n_phases       ? c->phases[i].from_us
                     : i < 2 * n_phases ? c->phases[i - n_phases].until_us
                                        : pool->maintenance[i - 2 * n_phases].until_us;
        if (at > from_us && at <= last_us && at < first && takes(p, pool, at))
            first = at;
    }
    return first;
}

int64_t editions_first_there(const struct editions *e, int32_t pool, int64_t from_us,
                             int64_t last_us)
{
    for (int32_t i = edition_at(e, from_us); i < e->n && from_us <= last_us; i++) {
        const struct portfolio *p = e->all[i].p;
        int64_t begin_us = max_i64(from_us, e->all[i].from_us);
        int64_t end_us = min_i64(edition_until_us(e, i, NEVER - 1) - (i + 1 < e->n), last_us);
        if (begin_us > last_us)
            break;
        // Far enough ahead is for ever.
        int64_t room_us = NEVER - 1 - e->wall_us;
        int64_t first_us = first_of_edition(p, &p->pools[pool], e->wall_us + begin_us,
                                            e->wall_us + min_i64(end_us, room_us));
        if (first_us < NEVER)
            return first_us - e->wall_us;
    }
    return NEVER;
}

// Of one edition's [from, until), wall time.
static int64_t active_us(const struct portfolio *p, const struct pool *pool, int64_t from_us,
                         int64_t until_us)
{
    if (pool->contract < 0)
        return until_us - from_us;
    const struct contract *c = &p->contracts[pool->contract];
    int64_t sum_us = 0;
    for (int64_t at_us = from_us; at_us < until_us;) {
        int64_t next_us = until_us;
        for (int32_t i = 0; i < c->n_phases; i++) {
            if (c->phases[i].from_us > at_us)
                next_us = min_i64(next_us, c->phases[i].from_us);
            if (c->phases[i].until_us > at_us)
                next_us = min_i64(next_us, c->phases[i].until_us);
        }
        if (pool_active(p, pool, at_us))
            sum_us += next_us - at_us;
        at_us = next_us;
    }
    return sum_us;
}

int64_t editions_active_us(const struct editions *e, int32_t pool, int64_t from_us,
                           int64_t until_us)
{
    int64_t sum_us = 0;
    for (int32_t i = edition_at(e, from_us); i < e->n; i++) {
        int64_t begin_us = max_i64(from_us, e->all[i].from_us);
        int64_t end_us = edition_until_us(e, i, until_us);
        if (begin_us >= until_us)
            break;
        const struct portfolio *p = e->all[i].p;
        sum_us += active_us(p, &p->pools[pool], e->wall_us + begin_us, e->wall_us + end_us);
    }
    return sum_us;
}
