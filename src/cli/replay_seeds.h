// replay_seeds.h - a few figures of each run, so that the runs of many seeds need not be kept
// whole, and their mean and spread over the seeds.

#ifndef CAUDAL_REPLAY_SEEDS_H
#define CAUDAL_REPLAY_SEEDS_H

#include "cli/json_out.h"
#include "cli/replay_view.h"

enum { REPLAY_FIGURES = 25 };

struct replay_figures {
    bool whole;                 // it was not stopped; else it counts for nothing
    double of[REPLAY_FIGURES];  // NAN: it has none
};

// What a run comes to without the bound. Only its tally is looked at.
void replay_figures_of(struct replay_figures *out, const struct tally *t);
// And with it: `v` has the runs of one seed, with their bound.
void replay_figures_bound(struct replay_figures *out, const struct replay_view *v, int32_t run);

void replay_seeds_text(struct buf *out, const struct replay_view *v);
void replay_seeds_json(struct json_out *to, const struct replay_view *v);

#endif
