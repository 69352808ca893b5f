// faults.h - what a simulated supplier does wrong, when, to whom, and how often.
//
// A fault is written as one line, NAME[=VALUE][,KEY=VALUE]..., the same on the command line, in a
// schedule ("AT DURATION SPEC" a line) and in an admin call:
//
//   503,p=0.5          429:retry-after=2s,model=small,count=3          cut-after=5
//
// Pure: the time is told, the chance comes from the seed. Several faults may hold at once: for one
// request the first that fits decides how it ends, while delay, drip, no-done and no-usage add up.

#ifndef CAUDAL_SIM_FAULTS_H
#define CAUDAL_SIM_FAULTS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/rng.h"

enum { SIM_FAULTS_MAX = 256, SIM_FAULT_TEXT = 192 };

enum sim_fault_kind {
    SIM_OK,             // nothing decides: a right answer
    SIM_REFUSE,         // the connection is dropped without an answer
    SIM_STATUS,         // an HTTP error
    SIM_STALL_BEFORE,   // nothing is ever sent
    SIM_STALL_AFTER,    // nothing more after `after` tokens
    SIM_CUT_AFTER,      // the connection ends after `after` tokens
    SIM_GARBAGE,        // bytes that are not HTTP
    SIM_GARBAGE_EVENT,  // after `after` tokens an event that is not JSON; then on as usual
    SIM_ERROR_EVENT,    // after `after` tokens an error event, and the end
    SIM_ROLE_THEN_NOTHING,
    SIM_EMPTY,       // 200 and not a byte of body
    SIM_BAD_LENGTH,  // fewer bytes than announced
    // these add to the others
    SIM_SLOW,     // of the whole model, by `factor`
    SIM_DRIP,     // `drip_bytes` every `drip_us`
    SIM_DELAY,    // `delay_us` before anything
    SIM_NO_DONE,  // a clean end without [DONE]
    SIM_NO_USAGE,
};

struct sim_fault {
    enum sim_fault_kind kind;
    int32_t status, after;   // after: tokens
    int32_t count;           // so many requests more; -1: no end
    double share;            // of the requests that fit
    double factor;           // SIM_SLOW
    int64_t retry_after_us;  // -1: not said
    int64_t delay_us, drip_us;
    int32_t drip_bytes;
    int64_t from_us, until_us;  // when it holds
    char code[48];              // error.code; empty: the status' usual one
    char model[128];            // empty: every model
    char text[SIM_FAULT_TEXT];  // as written
};

// What one request gets.
struct sim_effect {
    enum sim_fault_kind kind;
    int32_t status, after;
    int64_t retry_after_us;  // -1: not said
    int64_t delay_us, drip_us;
    int32_t drip_bytes;  // 0: no drip
    bool no_done, no_usage;
    bool any;  // a fault had a hand in it
    char code[48];
};

struct sim_faults {
    struct sim_fault *faults;  // [n], at most SIM_FAULTS_MAX
    int32_t n;
    struct rng rng;
};

void sim_faults_init(struct sim_faults *f, uint64_t seed);
void sim_faults_release(struct sim_faults *f);
void sim_faults_clear(struct sim_faults *f);

// Reads one spec. ERR_INVALID: the diag says what is wrong with which part.
MUST_USE enum err sim_fault_parse(struct sim_fault *out, struct str spec, struct diag *diag);
// A duration of a fault or a schedule: "250ms", from 0 on.
MUST_USE enum err sim_fault_duration(int64_t *out, struct str text, struct diag *diag);
// Adds a fault that holds from now on. ERR_LIMIT: there are SIM_FAULTS_MAX.
MUST_USE enum err sim_faults_add(struct sim_faults *f, struct str spec, struct diag *diag);
// Adds the specs of `text`, one a line; blank lines and those that start with '#' are passed over.
// On failure none of them is added.
MUST_USE enum err sim_faults_add_lines(struct sim_faults *f, struct str text, struct diag *diag);
// The same, in place of all that were there; on failure nothing changes.
MUST_USE enum err sim_faults_replace(struct sim_faults *f, struct str text, struct diag *diag);
// Adds a schedule: lines "AT DURATION SPEC", AT counted from `start_us`; DURATION '-' has no end.
// `name` is what `diag` calls `text`.
MUST_USE enum err sim_faults_schedule(struct sim_faults *f, struct str name, struct str text,
                                      int64_t start_us, struct diag *diag);

// What the request for `model` that comes in now gets; uses up counts and chance. O(faults).
struct sim_effect sim_faults_pick(struct sim_faults *f, struct str model, int64_t now_us);
// How many times slower `model` is now.
double sim_faults_slow(const struct sim_faults *f, struct str model, int64_t now_us);
// JSON array of the faults that are there.
void sim_faults_write(const struct sim_faults *f, struct buf *out, int64_t now_us);

// One row for each kind of fault, for --help: returns false past the last.
bool sim_fault_help(int32_t i, const char **spec, const char **meaning);

#endif
