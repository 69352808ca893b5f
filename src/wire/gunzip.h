// gunzip.h - gzip's bytes to bytes, a piece at a time. The one place that sees zlib.

#ifndef CAUDAL_GUNZIP_H
#define CAUDAL_GUNZIP_H

#include "base/err.h"
#include "base/str.h"

struct gunzip;

bool gunzip_is(struct str first);  // the first two bytes are those of gzip

struct gunzip *gunzip_new(void);
void gunzip_free(struct gunzip *g);
// Takes bytes off the front of `*in` and fills `out`; `*n` is how many it wrote, 0 when it needs
// more input (it may still give some when `*in` is empty). Several compressed files behind one
// another are one.
//   Errors  ERR_INVALID  the bytes are not gzip's, or their checksum is wrong
MUST_USE enum err gunzip_take(struct gunzip *g, struct str *in, char *out, size_t size, size_t *n,
                              struct diag *diag);
// The input may end here: at the end of a compressed file. Otherwise it has been cut off.
bool gunzip_may_end(const struct gunzip *g);

#endif
