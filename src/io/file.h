// file.h - whole files, for what is read once: portfolios, traces, keys; and folders.

#ifndef CAUDAL_FILE_H
#define CAUDAL_FILE_H

#include "base/arena.h"
#include "base/err.h"

#include <dirent.h>

// Reads a whole file, or what it can give (a pipe, /dev/stdin), into `a`; a 0 follows that is not
// counted. The text lives as long as `a`.
//   Errors  ERR_MISSING  it is not there, or is a folder
//           ERR_DENIED   it may not be read
//           ERR_LIMIT    it has more than `limit` bytes, or `a` is full
//           ERR_SYSTEM   reading failed
// `diag` names the file and says why.
MUST_USE enum err file_read(struct str *out, struct arena *a, struct str path, size_t limit,
                            struct diag *diag);
MUST_USE enum err file_read_stdin(struct str *out, struct arena *a, size_t limit,
                                  struct diag *diag);

// What `why` (an errno) means for the file `name`: ERR_MISSING, ERR_DENIED or ERR_SYSTEM; `diag`
// says both.
enum err file_failure(struct diag *diag, const char *name, int why);

// Puts a file with `text` at `path`, in the place of what is there: whoever reads it sees the one
// or the other, never half. `sync`: it is on the disk, with its name, before this returns.
//   Errors  those of file_failure()
MUST_USE enum err file_replace(struct str path, struct str text, bool sync, struct diag *diag);

// As opendir(), in calls that the thread sanitizer sees: it would take the number of a socket that
// libuv has closed for that socket still. NULL: `errno` says why.
DIR *file_open_folder(const char *path);

// Makes a folder and those above it, for this user alone (0700), unless it is there.
MUST_USE enum err file_make_dir(struct str path, struct diag *diag);

#endif
