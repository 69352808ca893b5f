// replay_options.h - the command line of `caudal replay`.

#ifndef CAUDAL_REPLAY_OPTIONS_H
#define CAUDAL_REPLAY_OPTIONS_H

#include "base/err.h"
#include "portfolio/portfolio.h"
#include "replay/replay.h"

enum { REPLAY_POLICIES = 16, REPLAY_SEEDS = 64 };

struct replay_options {  // texts are those of the command line
    struct str trace;
    bool demand, sort, json, html, stats, bound;
    struct str decisions;  // an event log of serve, instead of a trace
    struct str policies, model, class, events, bound_write, lengths, prices, prices_write;
    struct str maps[ARRIVALS_MAPS], used[ARRIVALS_MAPS];
    int32_t n_maps, n_used;
    double rate, cv, spread;
    int64_t from_us, until_us, learn_us, at_us, cache_tok;
    int32_t repeat, skip_bad, jobs;
    int64_t seeds[REPLAY_SEEDS];  // [n_seeds]: of --seed or --seeds, else 1
    int32_t n_seeds;
    bool many_seeds;  // by --seeds, even if it names but one
    char **paths;
    int n_paths;
};

// The exit status, or OPTIONS_GO.
int replay_options_read(struct replay_options *o, int argc, char **argv);
// What pools keep of prompts, where --prefix-cache says it.
void replay_options_keep(const struct replay_options *o, struct portfolio *p);
// Names to numbers. `out->policy`, `events` and `go_on` are left to the caller. Memory from `a`.
MUST_USE enum err replay_options_apply(const struct replay_options *o, struct arena *a,
                                       const struct portfolio *p, struct replay_config *out,
                                       struct diag *diag);

#endif
