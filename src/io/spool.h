// spool.h - records on their way to a file, without a system call where they are made.
//
//   any thread, one at a time: spool_put() -> a ring -> our thread, every 10 ms -> frames -> the
//   file spool_open_read() -> spool_next(), a frame at a time
//
// What the records say is not known here. A frame is their bytes behind a length and a CRC, both of
// 32 bits, little endian, and holds whole records only; the file begins with the caller's head. So
// a file whose writer was killed ends with a whole frame, or with a piece of one, which is noticed.

#ifndef CAUDAL_SPOOL_H
#define CAUDAL_SPOOL_H

#include "base/arena.h"
#include "base/err.h"

enum { SPOOL_RING_BYTES = 4 << 20, SPOOL_KEPT = 3, SPOOL_FRAME_BYTES = 8 };

struct spool;

// Makes `path`, readable by this user alone, writes `head` and starts the thread. What was there
// becomes PATH.1, that one PATH.2, and so on; SPOOL_KEPT of them are kept. `ring_bytes` is at
// most SPOOL_RING_BYTES. With `followed` the writer of what was there may go on with it, under its
// new name; without, one that still writes keeps its file.
//   Errors  ERR_EXISTS                           another process writes to it
//           ERR_MISSING, ERR_DENIED, ERR_SYSTEM  it cannot be made, or is there and no file; `diag`
//                                                says why
MUST_USE enum err spool_new(struct spool **out, struct str path, struct str head, size_t ring_bytes,
                            bool followed, struct diag *diag);
// A record, copied. False: the ring has no room for it now. Who calls holds a lock.
bool spool_put(struct spool *s, const void *record, size_t n);
void spool_wait(struct spool *s);  // until the ring is empty
// Writes what is in the ring and ends the thread. NULL: nothing happens. `*diag` gets what writing
// failed of, ERR_NONE if nothing did.
enum err spool_free(struct spool *s, struct diag *diag);

struct spool_reader;
//   Errors  ERR_MISSING, ERR_DENIED, ERR_SYSTEM  it cannot be read; `diag` says why
MUST_USE enum err spool_open_read(struct spool_reader **out, struct str path, size_t head_bytes,
                                  struct diag *diag);
struct str spool_head(const struct spool_reader *r);  // shorter than asked for: the file is
// The records of the next frame, borrowed until the next call; empty at the end of the file.
//   Errors  ERR_INVALID  the file ends in the middle of a frame, or a frame is damaged; `diag` says
//                        where
MUST_USE enum err spool_next(struct spool_reader *r, struct str *records, struct diag *diag);
void spool_close(struct spool_reader *r);  // NULL: nothing happens

#endif
