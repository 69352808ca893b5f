// command.h - what a short shell command prints, waited for.

#ifndef CAUDAL_COMMAND_H
#define CAUDAL_COMMAND_H

#include "base/buf.h"
#include "base/err.h"

// Runs `command` by /bin/sh, in a process group of its own (a Ctrl-C is not meant for it) and
// without input, and appends what it writes to standard output; standard error is ours. Blocks,
// `timeout_us` at most: then its group is killed. Any thread.
//   Errors  ERR_SYSTEM   it could not be started
//           ERR_TIMEOUT  it was killed
//           ERR_INVALID  it ended with another status than 0
//           ERR_LIMIT    `out` is full
MUST_USE enum err command_output(struct buf *out, const char *command, int64_t timeout_us,
                                 struct diag *diag);

#endif
