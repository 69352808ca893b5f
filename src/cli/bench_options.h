// bench_options.h - the command line of `caudal bench`.

#ifndef CAUDAL_BENCH_OPTIONS_H
#define CAUDAL_BENCH_OPTIONS_H

#include "bench/equal.h"
#include "bench/sweep.h"
#include "cli/web.h"
#include "gateway/generation.h"

enum { BENCH_SIDES = 2 };

struct bench_side {  // a supplier
    struct str url_text, model, key;
    struct url url;
    enum surface surface;  // 0: that of the first
    struct tariff price;
    struct str power;      // meter.h; empty: not measured
    int32_t accelerators;  // that its throughput and its power come from
};

struct bench_options {  // texts are those of the command line
    struct bench_side sides[BENCH_SIDES];
    int32_t n_sides;
    struct sweep_config sweep;
    struct web_trust trust;
    struct str table;             // file; empty: none
    struct str html;              // likewise
    struct str points;            // file; empty: none
    struct str agree, diff;       // files: of questions, and for where answers differ; empty: none
    double tok_max, budget_nusd;  // INFINITY: no bound
    int64_t timeout_us;
    int64_t power_every_us, power_idle_us;
    int64_t seed;
    bool json, plain;
};

// The exit status, or OPTIONS_GO.
int bench_options_read(struct bench_options *o, int argc, char **argv);

#endif
