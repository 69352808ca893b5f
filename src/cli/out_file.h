// out_file.h - a file that a command writes beside its report.

#ifndef CAUDAL_OUT_FILE_H
#define CAUDAL_OUT_FILE_H

#include "base/err.h"
#include "base/str.h"

// Whether `path` can be written: asked before work that takes long or costs money. Writes nothing;
// what changes before out_file_write() is found there. "" and "-" always can.
//   Errors  those of file_failure()
MUST_USE enum err out_file_check(struct str path, struct diag *diag);

// Puts `text` at `path`, in place of what is there; "-" is standard output.
//   Errors  those of file_failure()
MUST_USE enum err out_file_write(struct str path, struct str text, struct diag *diag);

#endif
