// load.h - one measurement: so many users at once (a closed loop), or so many requests a second
// whenever the answers come (an open one), for one length of prompt and answer.
//
// Closed: each user asks anew as soon as it has its answer. Open: the times of all requests are
// drawn beforehand (Poisson) and latency counts from them, so that a supplier which stalls cannot
// make us ask less and look better for it (coordinated omission).
//
// What counts was asked after everybody had its warm-up and answered before the last that was
// wanted; the load goes on until then, and what is still being answered is waited for.

#ifndef CAUDAL_BENCH_LOAD_H
#define CAUDAL_BENCH_LOAD_H

#include "bench/caller.h"
#include "bench/prompt.h"
#include "bench/purse.h"

#include <signal.h>

struct load_plan {
    int32_t users;      // closed; 0: open
    double rate_per_s;  // open
    int32_t prompt_tok, output_tok;
    bool warm;
    bool vary;         // answers of half to one and a half times output_tok, the same for a seed
    int32_t requests;  // that are to count
    int32_t warm_up;   // answers of each user before that; in an open loop, of all
    int64_t time_us;   // no new request after so long
    uint64_t seed;
    const volatile sig_atomic_t *stop;  // once it is set, all is dropped; NULL: never
};

enum { LOAD_WHY_BYTES = 160 };

struct load_result {
    struct sample *counted;  // [n_counted], freed by load_release
    struct sample *all;      // [n_all] answered, whenever
    int32_t n_counted, n_all;
    int32_t errors;
    char why[LOAD_WHY_BYTES];  // the first of them
    struct hist gaps;          // between pieces of content, us
    double asked_s, ended_s;   // from the first to the last that counts: intended, and ended
    int64_t from_us, to_us;    // in which what counts was asked and answered, of clock_now_us()
    double joules;             // in that time; for the caller to fill in
};

// Blocks until it is done. False: not one request counts.
bool load_run(struct load_result *out, const struct bench_target *t,
              const struct prompt_scale *scale, const struct load_plan *plan, struct purse *a);
void load_release(struct load_result *r);

#endif
