// The fleet does with a multiplication what service_sim does token by token.

#include "base/rng.h"
#include "lib/test.h"
#include "portfolio/service.h"
#include "replay/fleet.h"

#include <inttypes.h>
#include <string.h>

enum { LOADS = 400, REQUESTS = 300 };

struct request {
    int64_t at_us, cancel_us;
    int32_t prompt, cached, output;
};

struct told {
    int64_t first_us[REQUESTS], last_us[REQUESTS];
};

struct load {
    struct service s;
    struct request all[REQUESTS];
    int64_t step_most_us;
};

static int64_t below(struct rng *r, int64_t n)
{
    return (int64_t)rng_below(r, (uint64_t)n);
}

static void random_load(struct load *l, uint64_t seed, bool context)
{
    struct rng r;
    rng_seed(&r, seed);
    l->s = (struct service){.prefill_us = (double)below(&r, 3000),
                            .prefill_us_per_tok = rng_unit(&r) * 30,
                            .prefill_us_per_tok2 = rng_unit(&r) * 1e-3,
                            .prefill_us_per_seq = rng_unit(&r) * 200,
                            .prefill_us_per_tok_seq = rng_unit(&r) * 0.3,
                            .join_us_per_tok = below(&r, 2) ? rng_unit(&r) * 30 : 0,
                            .step_us_per_root = below(&r, 2) ? rng_unit(&r) * 900 : 0,
                            .step_us = 1 + (double)below(&r, 20000),
                            .step_us_per_seq = rng_unit(&r) * 500,
                            .step_us_per_ctx = context ? rng_unit(&r) * 0.05 : 0,
                            .slots = 1 + (int32_t)below(&r, 40),
                            .replicas = 1 + (int32_t)below(&r, 3),
                            .pue = 1};
    if (l->s.slots < l->s.replicas)
        l->s.slots = l->s.replicas;
    if (below(&r, 2))
        l->s.kv_tok = 2000 + (double)below(&r, 40000);
    int64_t at_us = 0, gap_us = 1 + below(&r, 200000);
    for (int32_t i = 0; i < REQUESTS; i++) {
        at_us += below(&r, 4) ? below(&r, gap_us) : 0;
        l->all[i] = (struct request){.at_us = at_us,
                                     .cancel_us = NEVER,
                                     .prompt = (int32_t)below(&r, 3000),
                                     .cached = (int32_t)below(&r, 2) * (int32_t)below(&r, 1000),
                                     .output = (int32_t)below(&r, below(&r, 8) ? 200 : 3)};
    }
    l->step_most_us = (int64_t)service_step_us(&l->s, l->s.slots, (double)l->s.slots * 3200) + 2 +
                      (int64_t)service_join_us(&l->s, (double)l->s.slots * 3000);
}

static void play_tokens(const struct load *l, struct told *out)
{
    struct service_sim *sim = service_sim_new(&l->s, REQUESTS);
    int32_t of[REQUESTS];  // by the simulator's id
    for (int32_t i = 0; i <= REQUESTS; i++) {
        int64_t until = i < REQUESTS ? l->all[i].at_us : NEVER - 1;
        for (;;) {
            struct service_event ev = service_sim_next(sim, until);
            if (!ev.kind)
                break;
            if (ev.kind == SERVICE_FIRST)
                out->first_us[of[ev.id]] = ev.at_us;
            if (ev.kind == SERVICE_LAST)
                out->last_us[of[ev.id]] = ev.at_us;
        }
        if (i == REQUESTS)
            break;
        int32_t id =
            service_sim_add(sim, l->all[i].prompt, l->all[i].cached, l->all[i].output, until);
        NEED(id >= 0);
        of[id] = i;
    }
    service_sim_free(sim);
}

static void play_steps(const struct load *l, struct told *out)
{
    struct fleet *f = fleet_new(1, 1);
    int32_t unit = fleet_unit(f, &l->s);
    struct fleet_event ev;
    for (int32_t i = 0; i <= REQUESTS; i++) {
        int64_t until = i < REQUESTS ? l->all[i].at_us : NEVER - 1;
        while (fleet_next(f, until, &ev)) {
            NEED(ev.unit == unit);
            *(ev.kind == SERVICE_FIRST ? &out->first_us[ev.id] : &out->last_us[ev.id]) = ev.at_us;
        }
        if (i < REQUESTS)
            fleet_add(f, unit, i, l->all[i].prompt, l->all[i].cached, l->all[i].output, until);
    }
    EXPECT(fleet_running(f, unit) == 0 && fleet_waiting(f, unit) == 0, "%d",
           fleet_running(f, unit));
    EXPECT(fleet_due(f) == NEVER, "%" PRId64, fleet_due(f));
    EXPECT(fleet_most(f, unit) <= l->s.slots, "%d", fleet_most(f, unit));
    fleet_free(f);
}

static struct load load;
static struct told by_token, by_step;

static void without_context_every_time_is_that_of_service_sim(void)
{
    for (uint64_t seed = 1; seed <= LOADS; seed++) {
        random_load(&load, seed, false);
        memset(&by_token, 0, sizeof by_token);
        memset(&by_step, 0, sizeof by_step);
        play_tokens(&load, &by_token);
        play_steps(&load, &by_step);
        for (int32_t i = 0; i < REQUESTS; i++) {
            EXPECT(by_token.first_us[i] == by_step.first_us[i],
                   "seed %" PRIu64 ", %d: %" PRId64 ", %" PRId64, seed, i, by_token.first_us[i],
                   by_step.first_us[i]);
            EXPECT(by_token.last_us[i] == by_step.last_us[i],
                   "seed %" PRIu64 ", %d: %" PRId64 ", %" PRId64, seed, i, by_token.last_us[i],
                   by_step.last_us[i]);
        }
    }
}

// A rounded step more or less may let one in a step earlier, and what comes behind it with it.
static void with_context_it_is_within_a_step(void)
{
    int64_t n = 0, beyond = 0;
    for (uint64_t seed = 1; seed <= LOADS; seed++) {
        random_load(&load, seed, true);
        memset(&by_token, 0, sizeof by_token);
        memset(&by_step, 0, sizeof by_step);
        play_tokens(&load, &by_token);
        play_steps(&load, &by_step);
        for (int32_t i = 0; i < REQUESTS; i++) {
            int64_t off = llabs(by_token.last_us[i] - by_step.last_us[i]);
            int64_t first = llabs(by_token.first_us[i] - by_step.first_us[i]);
            n++;
            beyond += off > load.step_most_us || first > load.step_most_us;
        }
    }
    EXPECT(beyond * 1000 <= n, "%" PRId64 " of %" PRId64 " are more than a step apart", beyond, n);
    printf("  %" PRId64 " of %" PRId64 " are more than a step apart\n", beyond, n);
}

// Nothing depends on when it is looked at.
static void looking_changes_nothing(void)
{
    static struct told often;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        random_load(&load, seed, seed % 2);
        memset(&by_step, 0, sizeof by_step);
        memset(&often, 0, sizeof often);
        play_steps(&load, &by_step);
        struct fleet *f = fleet_new(2, 1);
        fleet_unit(f, &load.s);
        int32_t unit = fleet_unit(f, &load.s);
        struct fleet_event ev;
        int32_t next = 0;
        for (int64_t t = 0; next < REQUESTS || fleet_due(f) < NEVER; t += 997) {
            while (next < REQUESTS && load.all[next].at_us <= t) {
                while (fleet_next(f, load.all[next].at_us, &ev))
                    *(ev.kind == SERVICE_FIRST ? &often.first_us[ev.id] : &often.last_us[ev.id]) =
                        ev.at_us;
                struct request *q = &load.all[next];
                fleet_add(f, unit, next++, q->prompt, q->cached, q->output, q->at_us);
            }
            while (fleet_next(f, t, &ev))
                *(ev.kind == SERVICE_FIRST ? &often.first_us[ev.id] : &often.last_us[ev.id]) =
                    ev.at_us;
        }
        EXPECT(memcmp(&often, &by_step, sizeof often) == 0, "seed %" PRIu64, seed);
        fleet_free(f);
    }
}

// Whoever is cancelled leaves room, and the rest still ends.
static void what_is_cancelled_leaves_nothing(void)
{
    for (uint64_t seed = 1; seed <= LOADS; seed++) {
        random_load(&load, seed, seed % 2);
        struct rng r;
        rng_seed(&r, seed);
        struct fleet *f = fleet_new(1, 1);
        fleet_unit(f, &load.s);
        struct fleet_event ev;
        bool in[REQUESTS] = {false};
        int32_t ended = 0, cancelled = 0;
        for (int32_t i = 0; i < REQUESTS; i++) {
            int64_t now = load.all[i].at_us;
            while (fleet_next(f, now, &ev)) {
                EXPECT(in[ev.id] && ev.at_us <= now, "seed %" PRIu64, seed);
                in[ev.id] = ev.kind != SERVICE_LAST;
                ended += ev.kind == SERVICE_LAST;
            }
            fleet_add(f, 0, i, load.all[i].prompt, 0, load.all[i].output, now);
            in[i] = true;
            int32_t k = (int32_t)below(&r, REQUESTS);
            if (in[k]) {
                fleet_cancel(f, k, now);
                in[k] = false;
                cancelled++;
            }
        }
        while (fleet_next(f, NEVER - 1, &ev))
            ended += ev.kind == SERVICE_LAST;
        EXPECT(ended + cancelled == REQUESTS, "seed %" PRIu64 ": %d + %d", seed, ended, cancelled);
        EXPECT(fleet_running(f, 0) == 0 && fleet_waiting(f, 0) == 0, "seed %" PRIu64, seed);
        EXPECT(cancelled > 0, "seed %" PRIu64, seed);
        fleet_free(f);
    }
}

int main(void)
{
    TEST(without_context_every_time_is_that_of_service_sim);
    TEST(with_context_it_is_within_a_step);
    TEST(looking_changes_nothing);
    TEST(what_is_cancelled_leaves_nothing);
    return test_end();
}
