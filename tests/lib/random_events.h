// random_events.h - lines of replay/events.h for a random fleet: what befalls pools, and what its
// portfolio then says otherwise.

#ifndef CAUDAL_TESTS_RANDOM_EVENTS_H
#define CAUDAL_TESTS_RANDOM_EVENTS_H

#include "base/buf.h"
#include "lib/fleet.h"
#include "replay/events.h"

enum {
    SOME_PHASES = 1,
    SOME_PRICES = 2,
    SOME_BEYOND = 4,
    SOME_ENERGY = 8,
    SOME_MAINTENANCE = 16,
    SOME_FAULTS = 32,
    SOME_OF_ALL = 63
};

static inline void random_energy(struct buf *out, const struct fleet *f, struct rng *r, int at)
{
    if (f->p.n_sites == 0)
        return;
    int site = (int)rng_below(r, (uint64_t)f->p.n_sites);
    switch (rng_below(r, 4)) {
    case 0: buf_printf(out, "%d s site%d energy x%.3f\n", at, site, fleet_between(r, 0, 4)); break;
    case 1: buf_printf(out, "%d s site%d energy -%d000 USD/MWh\n", at, site, 1 + at * 3); break;
    case 2: buf_printf(out, "%d s site%d carbon %d g/kWh\n", at, site, at * 20); break;
    default: buf_printf(out, "%d s site%d energy %d000 USD/MWh\n", at, site, 1 + at); break;
    }
}

static inline void random_price(struct buf *out, const struct fleet *f, struct rng *r, int at)
{
    int i = (int)rng_below(r, (uint64_t)f->p.n_pools);
    const struct pool *pool = &f->p.pools[i];
    int32_t m = pool->serves[0].model;
    if (fleet_chance(r, 0.4))
        buf_printf(out, "%d s pool%d price * x%.3f\n", at, i, fleet_between(r, 0, 3));
    else if (fleet_chance(r, 0.5))
        buf_printf(out, "%d s pool%d price m%d input %.3f USD/Mtok\n", at, i, (int)m,
                   fleet_between(r, 0, 9));
    else
        buf_printf(out,
                   "%d s pool%d price m%d cached_input 0.01 USD/Mtok input 0.5USD/Mtok output %.3f "
                   "USD/Mtok\n",
                   at, i, (int)m, fleet_between(r, 0, 9));
}

static inline void random_contract(struct buf *out, const struct fleet *f, struct rng *r, int at,
                                   int kinds)
{
    int i = (int)rng_below(r, (uint64_t)f->p.n_pools);
    const struct pool *pool = &f->p.pools[i];
    const struct contract *c = pool->contract >= 0 ? &f->p.contracts[pool->contract] : NULL;
    if ((kinds & SOME_PHASES) && c && c->n_phases) {
        static const char *const how[] = {"slips", "advances"};
        buf_printf(out, "%d s pool%d phase 1 %s %d s\n", at, i, how[rng_below(r, 2)],
                   1 + (int)rng_below(r, 60));
        if (fleet_chance(r, 0.2))
            buf_printf(out, "%d s pool%d phase 1 begins 1970-01-01T00:00:%02dZ\n", at + 1, i,
                       (int)rng_below(r, 60));
    }
    if ((kinds & SOME_BEYOND) && c && c->commitment.amount > 0 &&
        c->commitment.unit != COMMIT_USD && c->commitment.beyond_nusd_per_unit > 0)
        buf_printf(out, "%d s pool%d beyond x%.3f\n", at, i, fleet_between(r, 0, 3));
}

static inline void random_fault(struct buf *out, const struct fleet *f, struct rng *r, int at)
{
    static const char *const what[] = {"dies",      "heals",      "heals",
                                       "slow 3",    "slow 0.4",   "stalls",
                                       "derate 8%", "derate 50%", "derate 100%"};
    buf_printf(out, "%d s pool%d %s\n", at, (int)rng_below(r, (uint64_t)f->p.n_pools),
               what[rng_below(r, COUNTOF(what))]);
}

// Of the `kinds` in the first `seconds`. The events live in the fleet's arena.
static inline void random_events(struct events *out, struct fleet *f, uint64_t seed, int seconds,
                                 int kinds)
{
    struct buf text;
    struct rng r;
    struct diag diag = {0};
    rng_seed(&r, seed + 4242);
    buf_init(&text, 1 << 16);
    for (int i = 0; i < 24; i++) {
        int at = (int)rng_below(&r, (uint64_t)seconds);
        random_contract(&text, f, &r, at, kinds);
        if ((kinds & SOME_PRICES) && fleet_chance(&r, 0.4))
            random_price(&text, f, &r, at);
        if ((kinds & SOME_ENERGY) && fleet_chance(&r, 0.4))
            random_energy(&text, f, &r, at);
        if ((kinds & SOME_FAULTS) && fleet_chance(&r, 0.4))
            random_fault(&text, f, &r, at);
        if (!(kinds & SOME_MAINTENANCE) || !fleet_chance(&r, 0.2))
            continue;
        bool site = f->p.n_sites > 0 && fleet_chance(&r, 0.4);
        buf_printf(&text, "%d s %s%d maintenance %d s\n", at, site ? "site" : "pool",
                   (int)rng_below(&r, (uint64_t)(site ? f->p.n_sites : f->p.n_pools)),
                   1 + (int)rng_below(&r, 9));
    }
    enum err e = events_read(out, &f->arena, &f->p, "events", buf_str(&text), &diag);
    EXPECT(!e, "seed %" PRIu64 ": %s", seed, diag.text);
    NEED(!e);
    buf_release(&text);
}

#endif
