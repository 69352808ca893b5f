// measured.h - tables of measurements: comma-separated, also gzip, a header and a row for each run.
//
// The columns of AIConfigurator's silicon data: model_path, system, isl, osl, batch_size (of split
// machines decode_batch_size), silicon_ttft_ms, silicon_tpot_ms. Rows that agree in all others but
// id, silicon_data_source and prefill_batch_size are of one configuration: one machine that was set
// up in one way. Where tp_size x attention_dp_size counts the ranks of attention and of the experts
// alike (moe_tp_size = moe_ep_size > 1, or attention_dp_size beside tp_size), the chips are counted
// once.

#ifndef CAUDAL_BENCH_MEASURED_H
#define CAUDAL_BENCH_MEASURED_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "portfolio/roofline.h"

struct measured {
    struct str model, system;
    struct str setup;  // the cells of its configuration, for people
    int32_t config;    // index; -1: not sorted yet
    double prompt, output, batch;
    double ttft_us, per_token_us;
    int32_t chips;               // of one replica; 0: not said
    double bytes_per_parameter;  // by its precision; 0: not said
    enum roofline_engine engine;
};

struct measured_table {
    struct measured *rows;  // [n], by configuration
    int32_t n, n_configs;
    int32_t saturated, no_batch, no_time;  // left out
};

// Above this time to the first token a row is left out: what is measured is then the queue in front
// of a machine that cannot keep up, and no longer the machine.
#define MEASURED_TTFT_MAX_US 5e6

// Adds the rows of `text` (as it is in the file). Borrows nothing.
//   Errors  ERR_INVALID  `diag` says line and column
//           ERR_LIMIT    `a` is full
MUST_USE enum err measured_read(struct measured_table *t, struct arena *a, const char *name,
                                struct str text, struct diag *diag);
// After the last table: sorts the rows by configuration and numbers these.
void measured_sort(struct measured_table *t);

#endif
