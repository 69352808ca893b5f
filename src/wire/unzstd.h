// unzstd.h - zstd's bytes to bytes, a piece at a time. The one place that sees libzstd.

#ifndef CAUDAL_UNZSTD_H
#define CAUDAL_UNZSTD_H

#include "base/err.h"
#include "base/str.h"

struct unzstd;

bool unzstd_is(struct str first);  // the first four bytes are those of zstd

// What it holds grows with the window that the file states, up to libzstd's 128 MiB; a file with a
// larger one (zstd --long=28 and above) is refused.
struct unzstd *unzstd_new(void);
void unzstd_free(struct unzstd *z);
// As gunzip_take().
//   Errors  ERR_INVALID  the bytes are not zstd's, or their checksum is wrong
MUST_USE enum err unzstd_take(struct unzstd *z, struct str *in, char *out, size_t size, size_t *n,
                              struct diag *diag);
bool unzstd_may_end(const struct unzstd *z);

#endif
