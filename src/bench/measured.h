// measured.h - tables of measurements: comma-separated, also gzip, a header and a row for each run;
// or what `caudal bench --json` says.
//
// The columns of AIConfigurator's silicon data: model_path, system, isl, osl, batch_size (of split
// machines decode_batch_size), silicon_ttft_ms, silicon_tpot_ms. Rows that agree in all others but
// id, silicon_data_source and prefill_batch_size are of one configuration: one machine that was set
// up in one way. Where tp_size x attention_dp_size counts the ranks of attention and of the experts
// alike (moe_tp_size = moe_ep_size > 1, or attention_dp_size beside tp_size), the chips are counted
// once. A batch is that of one rank of attention; all attention_dp_size of them are one machine's.
// left_out says why a row is not to be fitted, in the words of measured_out_name(), or nothing:
// `caudal bench --table` writes all of its levels. users, where it is there and not 1, says that a
// time to the first token holds a wait for the prompts of others: it is no measure of the prefill,
// and whoever computes with that adds the wait by himself.

#ifndef CAUDAL_BENCH_MEASURED_H
#define CAUDAL_BENCH_MEASURED_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "portfolio/roofline.h"

// Why a row is left out.
enum measured_out {
    MEASURED_UNSAID = -1,  // the row says nothing
    MEASURED_KEPT,
    MEASURED_NO_TIME,    // no time to the first token, or none per token
    MEASURED_SATURATED,  // as it says, or unsaid with a time to the first token above the bound
    MEASURED_CUT_OFF,    // the level was stopped before its end
    MEASURED_WARM,       // its prompts began in the cache
    MEASURED_NO_BATCH,
    MEASURED_OUTS
};
const char *measured_out_name(enum measured_out why);  // "saturated"; static

struct measured {
    struct str model, system;
    struct str setup;  // the cells of its configuration, for people
    int32_t config;    // index; -1: not sorted yet
    double prompt, output, batch;
    double ttft_us, per_token_us;
    double users;                // of a closed loop; 0: not said
    bool queued;                 // prompts of other users may have been in front of its own
    int32_t chips;               // of one replica; 0: not said
    double bytes_per_parameter;  // by its precision; 0: not said
    enum roofline_engine engine;
};

struct measured_table {
    struct measured *rows;  // [n], by configuration
    int32_t n, n_configs;
    int32_t left_out[MEASURED_OUTS];  // of each reason
    size_t room;                      // of rows
};

// Above this time to the first token a row that says nothing of itself is left out: what is
// measured is then the queue in front of a machine that cannot keep up, and no longer the machine.
#define MEASURED_TTFT_MAX_US 5e6

// Adds the rows of `text` (as it is in the file). Borrows nothing. Of JSON the supplier's URL is
// the system, as in a table of bench's.
//   Errors  ERR_INVALID  `diag` says line and column, or what is no output of bench
//           ERR_LIMIT    `a` is full
MUST_USE enum err measured_read(struct measured_table *t, struct arena *a, const char *name,
                                struct str text, struct diag *diag);
// Adds one row, whose texts are copied, or counts it under what it says of itself or else under the
// first reason that holds for it.
//   Errors  ERR_LIMIT  `a` is full
MUST_USE enum err measured_add(struct measured_table *t, struct arena *a, struct measured m,
                               enum measured_out said);
// "369 saturated, 578 without a batch"; "none".
void measured_outs_text(struct buf *out, const struct measured_table *t);
// After the last table: sorts the rows by configuration and numbers these.
void measured_sort(struct measured_table *t);

#endif
