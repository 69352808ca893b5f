#include "route/route_internal.h"

// Prompts that begin alike are cheapest where they have been: that part need not be computed again.
//
//   warm_find()   of the ask's blocks, who was sent how many (affinity.h)     -> lanes of the list
//   warm_took()   it is sent: from now on the next one finds it there, while it is being read too
//   warm_done()   what the supplier counted as cached, against what was expected
//
// A supplier says how much it found in its cache, not what is in it. So *warm* is what it was sent
// no longer ago than its cache keeps it, and *cached* is that times the share of such tokens that
// it was seen to find. One that caches nothing soon counts as cold.

static const double DOUBT_HALF_TOK = 8192;  // expected tokens that count as much as all before

void warm_bind(const struct portfolio *p, const struct serving *s, struct offer *o)
{
    struct prefix_cache c = prefix_cache_of(&p->pools[o->pool], s, &o->service);
    o->caches = c.tok != 0;
    o->cache_per_tok = c.tok > 0 ? 1 / c.tok : 0;
    o->cache_per_us = c.ttl_us < NEVER ? 1 / (double)c.ttl_us : 0;
}

enum err warm_build(struct route *r, struct arena *a)
{
    const struct portfolio *p = r->p;
    r->offer_at = arena_new(a, int32_t, r->live->max_pairs);
    r->tenant_salts = arena_new(a, uint64_t, p->n_tenants + 1);
    r->memo->warm = arena_new(a, double, whole_lanes(r->longest));
    if (!r->offer_at || !r->tenant_salts || !r->memo->warm)
        return ERR_LIMIT;
    for (int32_t i = 0; i < r->live->max_pairs; i++)
        r->offer_at[i] = -1;
    for (int32_t i = 0; i < r->n_offers; i++)
        r->offer_at[r->offers[i].pair] = i;
    for (int32_t i = 0; i < p->n_tenants; i++)  // by name, as everything that a reload keeps
        r->tenant_salts[i] = str_hash(p->tenants[i].name, 0x77617265);
    return ERR_NONE;
}

static struct affinity_prompt prompt_of(const struct route *r, const struct route_ask *ask)
{
    int32_t tenant = ask->tenant >= 0 ? ask->tenant : r->p->n_tenants;
    return (struct affinity_prompt){ask->blocks, ask->n_blocks, r->tenant_salts[tenant]};
}

static double age_at(const struct live_pair *pair, const struct offer *o, int64_t now_us)
{
    double us = now_us > pair->cache_us ? (double)(now_us - pair->cache_us) : 0;
    return pair->cache_age + us * o->cache_per_us;
}

struct asker {
    const struct route *r;
    int64_t now_us;
};

static double age_of(const void *ctx, int32_t pair)
{
    const struct asker *x = ctx;
    int32_t at = x->r->offer_at[pair];
    if (at < 0 || !x->r->offers[at].caches)
        return -1;
    return age_at(&x->r->live->pairs[pair], &x->r->offers[at], x->now_us);
}

static int32_t lane_in(const struct route *r, const struct list *list, const struct offer *o)
{
    for (int32_t i = o->from; i < o->from + o->n; i++) {
        if (r->lane_of[i].list == (int32_t)(list - r->lists))
            return r->lane_of[i].lane;
    }
    return -1;
}

void warm_find(const struct route *r, struct look *l, const struct list *list)
{
    struct memo *m = r->memo;
    const struct route_ask *ask = l->ask;
    struct affinity_found found[AFFINITY_FOUND];
    for (int32_t i = 0; i < m->n_warms; i++)
        m->warm[m->warms[i].lane] = 0;
    m->n_warms = 0;
    if (!r->live->affinity)
        return;
    const struct affinity_prompt prompt = prompt_of(r, ask);
    const struct asker asker = {r, l->now_us};
    int32_t n = affinity_find(r->live->affinity, &prompt, age_of, &asker, found);
    for (int32_t i = 0; i < n; i++) {
        int32_t at = r->offer_at[found[i].pair], lane = lane_in(r, list, &r->offers[at]);
        // The last token is always computed: it gives the first of the answer.
        int64_t tok = min_i64((int64_t)found[i].blocks * ask->block_tok, ask->prompt_tok - 1);
        if (lane < 0 || tok <= 0)
            continue;
        m->warms[m->n_warms++] = (struct warm){lane, at, (int32_t)tok};
        m->warm[lane] = (double)tok * (1 - r->live->pairs[found[i].pair].cache_doubt);
    }
    l->warm = m->n_warms > 0;
}

double warm_cached_tok(const struct route *r, const struct look *l, const struct offer *o)
{
    const struct memo *m = r->memo;
    for (int32_t i = 0; l->warm && i < m->n_warms; i++) {
        if (&r->offers[m->warms[i].offer] == o)
            return m->warm[m->warms[i].lane];
    }
    return 0;
}

const struct warm *warm_at(const struct route *r, int32_t lane)
{
    const struct memo *m = r->memo;
    for (int32_t i = 0; i < m->n_warms; i++) {
        if (m->warms[i].lane == lane)
            return &m->warms[i];
    }
    return NULL;
}

void warm_took(struct route *r, const struct route_ask *ask, const struct route_decision *d,
               const struct offer *o, int64_t now_us)
{
    struct live_pair *pair = &r->live->pairs[o->pair];
    if (!r->live->affinity || !o->caches)
        return;
    int32_t fresh = ask->prompt_tok - d->terms.cached_tok;
    pair->cache_age = age_at(pair, o, now_us) + (fresh > 0 ? fresh : 0) * o->cache_per_tok;
    pair->cache_us = now_us;
    const struct affinity_prompt prompt = prompt_of(r, ask);
    affinity_put(r->live->affinity, &prompt, o->pair, pair->cache_age);
}

static void learn_cached(struct live_pair *pair, double warm_tok, double cached_tok)
{
    double missed = cached_tok < warm_tok ? 1 - cached_tok / warm_tok : 0;
    pair->cache_doubt += (missed - pair->cache_doubt) * (warm_tok / (warm_tok + DOUBT_HALF_TOK));
}

void warm_done(struct route *r, const struct route_ask *ask, const struct route_decision *d,
               const struct offer *o, const struct route_seen *seen)
{
    if (!r->live->affinity)
        return;
    bool answered = seen->outcome == ROUTE_OK;
    bool unheard = !answered && (seen->ttft_us <= 0 || seen->silent_us > 0);
    if (answered && seen->cached_told && d->terms.warm_tok > 0)
        learn_cached(&r->live->pairs[o->pair], d->terms.warm_tok, seen->cached_tok);
    // Nobody knows how much of it was read. What it had before it has still.
    if (unheard && seen->outcome != ROUTE_NO_SAY && ask->n_blocks > 0) {
        const struct affinity_prompt prompt = prompt_of(r, ask);
        affinity_drop(r->live->affinity, &prompt, o->pair, d->terms.warm_tok / ask->block_tok);
    }
}

void warm_lost(struct route *r, const struct offer *o)
{
    r->live->pairs[o->pair].cache_age += 1;
}
