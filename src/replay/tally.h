// tally.h - what a replay has counted, for its report.
//
// Cells add up: every request ends in exactly one of answered, refused, expired, failed and
// unknown, so `requests` is their sum (and what is open, where a run was stopped).
// docs/simulation.md says what each figure means.

#ifndef CAUDAL_TALLY_H
#define CAUDAL_TALLY_H

#include "base/hist.h"
#include "portfolio/portfolio.h"
#include "replay/account.h"
#include "route/route.h"

struct tally_times {  // us; only of answered requests
    struct hist ttft, per_token, total;
};

struct tally_cell {
    int64_t requests;
    int64_t answered, refused, expired, failed;
    int64_t with_target, good;  // answered ones whose class has targets; and those that met them
    int64_t attempts, faults;   // sends, and those that failed
    int64_t prompt_tok, cached_tok, output_tok;
    int64_t list_nusd;
    double waiting_nusd;   // time_value of the users' waiting
    double unserved_nusd;  // of what was not answered
    double joules;         // at the wall, without what stands idle
    struct tally_times times;
};

struct tally_pool {
    double span_us;           // of the replay
    double held_us;           // sequences times time
    int32_t slots, most;      // that there are; most in use at once
    int32_t waiting_most;     // at the pool itself
    double idle_joules;       // at the wall, of the time in which it is there
    double carbon_g;          // of that and of what it did
    bool has_power, guessed;  // watts are known; the speed is a plain guess
    enum basis basis;
    // Beyond what its points were measured with: requests with longer prompts, and more at once
    // than that (the most that was measured, 0: no more).
    int64_t long_prompts;
    int32_t seen_prompt_tok, seen_batch;
};

struct tally_site {
    double joules, idle_joules;  // at the wall
    double peak_w;
    double carbon_g, energy_nusd;  // of both
};

enum { TALLY_SPANS = 256 };

struct tally {
    const struct portfolio *p;
    const char *policy;
    struct tally_cell *cells;  // [n_pools][n_classes + 1], of what pools did; summed by tally_sum()
    struct tally_cell *pools;  // [n_pools], sums
    struct tally_cell *classes;  // [n_classes + 1]; the last: no class
    struct tally_cell *tenants;  // [n_tenants + 1]; the last: no tenant
    struct tally_cell all;
    struct tally_pool *pool;      // [n_pools]
    struct tally_site *sites;     // [n_sites + 1]; the last: pools that name no site
    struct account_drawn *drawn;  // [n_contracts]
    struct account_begun *begun;  // [n_contracts]
    double *load;          // [n_pools][TALLY_SPANS]: us that slots were held by what ended then
    int64_t load_span_us;  // length of each; doubles as the trace grows
    int64_t load_from_us;  // begin of the span that was added to last
    int32_t load_span;     // its number
    struct editions editions;
    const struct least *least;  // [editions.n]
    struct account account;
    int64_t bars[ROUTE_BAR_MODEL + 1];  // why requests were refused
    int64_t line_full;                  // refused since the waiting line was full
    int64_t unknown;                    // models that the portfolio does not have
    int64_t open;                       // not ended: the run was stopped
    int64_t waited;                     // that had to wait in the line
    int64_t waiting_most, in_flight_most;
    int64_t arrivals_us, ended_us;  // when the last one came, when the last one ended
    int64_t cut;                    // answers that broke off: counted as failed
    double peak_w;                  // at the wall, of all pools whose power is known
    double carbon_g;
    double energy_nusd;  // of all joules, at the sites' rates
    double carbon_nusd;  // of carbon_g, at serve.carbon_price
    int64_t wall_us;     // of time 0
    bool partial;
    // of the trace
    int64_t skipped, outside, unknown_classes, unknown_tenants;
    char first_fault[DIAG_BYTES];
    struct tally_unknown {
        struct str name;
        int64_t count;
    } * unknowns;  // [n_unknowns]
    int32_t n_unknowns;
};

// All cells from `a`. ERR_LIMIT: it is full.
MUST_USE enum err tally_init(struct tally *t, struct arena *a, const struct portfolio *p,
                             const char *policy);
static inline struct tally_cell *tally_cell(struct tally *t, int32_t pool, int32_t class)
{
    int32_t row = class >= 0 ? class : t->p->n_classes;
    return &t->cells[(size_t)pool * ((size_t)t->p->n_classes + 1) + (size_t)row];
}
// A slot of `pool` was held for so long by an answer that ended at `at_us`.
void tally_held(struct tally *t, int32_t pool, int64_t at_us, int64_t hold_us);
// Adds the cells up to pools, classes and all.
void tally_sum(struct tally *t);

#endif
