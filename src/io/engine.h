// engine.h - engines that caudal starts, watches, restarts and stops itself.
//
// An engine is a child in its own process group, started through a re-exec of our own binary
// (`caudal __engine`), which asks the kernel to be killed when its parent dies (PR_SET_PDEATHSIG,
// set and checked after exec, from the main thread) and then execs the engine: never orphaned, also
// by kill -9 of the gateway; what the engine itself has started dies with its group, but not with
// the gateway. Output goes to a log file, which is kept below 16 MiB (engine_log.h). The health
// path is asked until it says 200; an engine that dies or does not become ready is restarted with
// back-off and jitter. It is ready only when it is a process of its group that listens: another
// program may have taken the port first.

#ifndef CAUDAL_ENGINE_H
#define CAUDAL_ENGINE_H

#include "io/loop.h"
#include "portfolio/portfolio.h"

struct engine;

enum engine_state { ENGINE_STARTING, ENGINE_READY, ENGINE_FAILED, ENGINE_STOPPED };

struct engine_calls {
    // State changed: READY with its port, FAILED (it will be tried again after `again_us`),
    // STOPPED. `why` is a line for the log, borrowed for the call.
    void (*state)(void *ctx, struct engine *e, enum engine_state s, struct str why);
};

// Starts it on `l`, which must run on the main thread. `supplier` is borrowed. `state_dir` holds
// the log. ERR_MISSING: the program is not found or not executable; `diag` names it.
MUST_USE enum err engine_new(struct engine **out, struct loop *l, const struct supplier *supplier,
                             struct str state_dir, const struct engine_calls *calls, void *ctx,
                             struct diag *diag);
enum engine_state engine_state(const struct engine *e);
int32_t engine_port(const struct engine *e);
int32_t engine_pid(const struct engine *e);  // 0: not running
const struct supplier *engine_supplier(const struct engine *e);
uint64_t engine_restarts(const struct engine *e);
void engine_look_every(struct engine *e, int64_t us);  // at its health path, once ready; else 5 s
// SIGTERM to its group, SIGKILL after `grace_us`; STOPPED is called when it is gone.
void engine_stop(struct engine *e, int64_t grace_us);
void engine_free(struct engine *e);  // after STOPPED, or kills at once

// The other half of the start: `caudal __engine LOGFILE PARENT_PID argv...`. Returns only on
// failure, with the exit status.
int engine_exec_main(int argc, char **argv);

#endif
