// measured_json.h - rows of a table out of what `caudal bench --json` says.

#ifndef CAUDAL_BENCH_MEASURED_JSON_H
#define CAUDAL_BENCH_MEASURED_JSON_H

#include "bench/measured.h"

// Adds all levels of all suppliers in `text`. Borrows nothing.
//   Errors  ERR_INVALID  it is no output of bench; `diag` says what is missing, or what is wrong
//           ERR_LIMIT    `a` is full
MUST_USE enum err measured_read_json(struct measured_table *t, struct arena *a, const char *name,
                                     struct str text, struct diag *diag);

#endif
