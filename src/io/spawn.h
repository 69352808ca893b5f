// spawn.h - child processes on a loop: started, waited for. engine.c is the caller.

#ifndef CAUDAL_SPAWN_H
#define CAUDAL_SPAWN_H

#include "base/err.h"
#include "io/loop.h"

struct process;

// Starts `argv` (NULL-terminated; argv[0] is a path) with our environment, /dev/null for input and
// output. `exited` comes once from the loop, with the exit status or the signal that ended it; the
// process is then forgotten.
//   Errors  ERR_SYSTEM  it could not be started; `diag` says why
MUST_USE enum err process_start(struct process **out, struct loop *l, char *const *argv,
                                void (*exited)(void *ctx, int status, int signal), void *ctx,
                                struct diag *diag);
// Starts our own program anew, from the file that has its name by now: with the arguments and the
// environment that this process began with, and `option` behind the word `command` unless it stands
// there already. It shares our standard streams.
MUST_USE enum err process_start_again(struct process **out, struct loop *l, const char *command,
                                      const char *option,
                                      void (*exited)(void *ctx, int status, int signal), void *ctx,
                                      struct diag *diag);
int32_t process_pid(const struct process *p);
void process_forget(struct process *p);  // no `exited` any more; it goes on and is waited for

#endif
