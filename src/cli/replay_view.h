// replay_view.h - what `caudal replay` shows, for a person and for a program.

#ifndef CAUDAL_REPLAY_VIEW_H
#define CAUDAL_REPLAY_VIEW_H

#include "base/buf.h"
#include "replay/bound.h"
#include "replay/tally.h"

struct replay_view {
    const struct portfolio *p;
    struct tally *const *runs;  // [n_runs], one for each policy
    int32_t n_runs;
    struct str trace;  // its name, or "demand"
    uint64_t seed;     // of `runs`
    bool partial;      // some run was stopped, of whatever seed, or the bound
    // With --seeds, otherwise NULL.
    const struct replay_figures *figures;  // [n_seeds][n_runs]
    const int64_t *seeds;                  // [n_seeds], the first is `seed`
    int32_t n_seeds;
    struct arena *arena;          // for work; not owned
    const struct events *events;  // what --events says; maybe none
    // With --bound, otherwise NULL.
    const struct bound *bound;
    struct tally *const *told;  // [n_runs], of the same policies told the length of each answer
    const struct tally *naive;  // of list-cheapest
    bool naive_is_named;        // and it is among the runs
};

struct replay_regret {          // nano-dollars
    double cost, regret;        // regret: cost above the bound
    double of_bound, of_naive;  // regret over the bound; over what list-cheapest pays above it
    bool has_naive;             // list-cheapest pays more than the bound
    // Its parts: what knowing each answer's length would have saved; what queues and full batches
    // cost beyond empty pools, lengths known; and the rest.
    double forecast, queueing, online;
};
struct replay_regret replay_regret(const struct replay_view *v, int32_t run);

// What is left of a commitment is worth what it would cost beyond it, where that is known.
double replay_stranded_nusd(const struct contract *c, const struct account_drawn *d);
struct replay_commitments {
    double stranded_nusd, beyond_nusd;
};
struct replay_commitments replay_commitments(const struct tally *t);  // of all contracts
double replay_joules(const struct tally *t);                          // of what idles too

void replay_text(struct buf *out, const struct replay_view *v);
// What was not replayed as it stood, and what the figures rest on; a line each.
void replay_remarks_text(struct buf *out, const struct replay_view *v);
void replay_bound_text(struct buf *out, const struct replay_view *v);
void replay_begun_text(struct buf *out, const struct replay_view *v);
void replay_contracts_text(struct buf *out, const struct replay_view *v, const struct tally *t);
// One page that needs no other file.
void replay_html(struct buf *out, const struct replay_view *v);
void replay_json(struct buf *out, const struct replay_view *v);

#endif
