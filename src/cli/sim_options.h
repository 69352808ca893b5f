// sim_options.h - the command line of `caudal sim`.

#ifndef CAUDAL_SIM_OPTIONS_H
#define CAUDAL_SIM_OPTIONS_H

#include "base/buf.h"
#include "base/err.h"
#include "sim/sim.h"

enum { SIM_OPTION_FAULTS = 64 };

struct sim_options {  // texts are those of the command line
    bool help;
    struct sim_config config;
    struct sim_speed speed;  // of models that say nothing else
    int32_t context_tok;
    struct str host;
    int32_t port;
    struct str models[SIM_MODELS_MAX];  // NAME[=KEY=VALUE,...]
    int32_t n_models;
    struct str faults[SIM_OPTION_FAULTS];
    int32_t n_faults;
    const char *schedule, *port_file, *portfolio, *pool;  // NULL: not said
};

// Reads the arguments behind the command's name. ERR_INVALID: the diag says which is wrong and why.
MUST_USE enum err sim_options_read(struct sim_options *out, int argc, char **argv,
                                   struct diag *diag);
// A model of the command line: its name, and its speed where it differs.
MUST_USE enum err sim_options_model(const struct sim_options *o, struct str text,
                                    struct sim_model_config *out, struct diag *diag);
void sim_options_help(struct buf *out);

#endif
