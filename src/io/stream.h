// stream.h - files too long to be held: read and written a piece at a time.

#ifndef CAUDAL_STREAM_H
#define CAUDAL_STREAM_H

#include "base/err.h"
#include "base/str.h"

struct stream_in {
    int fd;            // -1: not open
    const char *name;  // borrowed
    char *piece;
};

// Opens `name` ("-": standard input).
//   Errors  ERR_MISSING  it is not there, or is a folder
//           ERR_DENIED, ERR_SYSTEM
MUST_USE enum err stream_in_open(struct stream_in *s, const char *name, struct diag *diag);
// The next piece, borrowed until the next call; empty at the end. Errors  ERR_SYSTEM
MUST_USE enum err stream_in_read(struct stream_in *s, struct str *piece, struct diag *diag);
void stream_in_close(struct stream_in *s);
// It can be opened and read once more from its beginning: no pipe.
bool stream_in_repeats(const struct stream_in *s);

// Writing goes to `name`.part, which becomes `name` when all is there; "-" is standard output.
struct stream_out {
    int fd;  // -1: not open
    const char *name;
    char part[4096];
};
MUST_USE enum err stream_out_open(struct stream_out *s, const char *name, struct diag *diag);
MUST_USE enum err stream_out_write(struct stream_out *s, struct str bytes, struct diag *diag);
MUST_USE enum err stream_out_finish(struct stream_out *s, struct diag *diag);
void stream_out_drop(struct stream_out *s);  // as if nothing had been written

#endif
