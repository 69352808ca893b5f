// unpack.h - a file that may be compressed to its bytes, a piece at a time.
//
//   bytes -> unpack.c (by the first of them) -> gunzip.c (zlib) or unzstd.c (libzstd)

#ifndef CAUDAL_UNPACK_H
#define CAUDAL_UNPACK_H

#include "base/err.h"
#include "base/str.h"

struct unpack;

enum { UNPACK_FIRST_BYTES = 4 };  // are enough to know

// For a file that begins with `first`, which is borrowed for the call; NULL: it is not compressed.
struct unpack *unpack_new(struct str first);
void unpack_free(struct unpack *u);  // NULL is fine
// Takes bytes off the front of `*in` and fills `out`; `*n` is how many it wrote, 0 when it needs
// more input (it may still give some when `*in` is empty). Several compressed files behind one
// another are one.
//   Errors  ERR_INVALID  the bytes are damaged
MUST_USE enum err unpack_take(struct unpack *u, struct str *in, char *out, size_t size, size_t *n,
                              struct diag *diag);
// The input may end here: at the end of a compressed file. Otherwise it has been cut off.
bool unpack_may_end(const struct unpack *u);

#endif
