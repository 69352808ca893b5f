// journal.h - the ledger's append-only files: one writer a loop, one `write` a turn.
//
//   loop's thread:   journal_room? -> journal_append ... -> journal_write (end of turn)
//   another thread:  journal_prepare (makes the next file), journal_place, and reads what is
//   written
//
// A journal is a row of segments, FOLDER/EPOCH-LOOP-NUMBER.cj, each made at its full size before it
// is used, so that a full disk is met when a file is made, off the loop, and not in the middle of a
// request. What was appended and not yet written lies in memory; after kill -9 exactly that is
// lost. The format is in docs/formats.md.

#ifndef CAUDAL_JOURNAL_H
#define CAUDAL_JOURNAL_H

#include "base/arena.h"
#include "base/err.h"
#include "io/record.h"

enum { JOURNAL_PATH_BYTES = 4096, JOURNAL_SEGMENT_BYTES = 8 << 20 };

struct journal;

struct journal_config {
    struct str folder;  // is there; copied
    uint32_t epoch;     // greater than any used in this folder before
    uint16_t loop;
    int64_t segment_bytes;  // 0: JOURNAL_SEGMENT_BYTES
};

// Makes the first segment. ERR_LIMIT: the disk is full; ERR_DENIED, ERR_SYSTEM: `diag` says why.
MUST_USE enum err journal_new(struct journal **out, const struct journal_config *c,
                              struct diag *diag);
void journal_free(struct journal *j);  // writes nothing; gives an unused part of its file back

// How many more records can be appended for sure.
int64_t journal_room(const struct journal *j);
// Gives `r` its epoch, loop, sequence and CRC and keeps it for journal_write(). CHECKs for room.
// Returns the sequence.
uint64_t journal_append(struct journal *j, struct record *r);
int64_t journal_pending(const struct journal *j);  // records appended and not written
// Writes what is pending: one write, two where a file ends. On failure all that was not written
// stays pending and the next call tries again at the same place.
//   Errors  ERR_LIMIT   the disk is full, or the next file is not there yet
//           ERR_SYSTEM  the disk fails
MUST_USE enum err journal_write(struct journal *j, struct diag *diag);

// --- any one other thread ---------------------------------------------------------------------

// Makes the next segment when the one in use is half full; nothing otherwise.
MUST_USE enum err journal_prepare(struct journal *j, struct diag *diag);
struct journal_place {  // up to where it is written; earlier segments are complete
    uint32_t segment;
    int64_t offset;  // of the file
};
struct journal_place journal_place(const struct journal *j);
// Waits until all that journal_place() said is on the disk, power cut or not.
MUST_USE enum err journal_sync(struct journal *j, struct diag *diag);

// --- reading ----------------------------------------------------------------------------------

struct journal_file {
    int fd;
    char path[JOURNAL_PATH_BYTES];
    uint32_t epoch, segment;
    uint16_t loop;
    int64_t bytes;
};
enum { JOURNAL_FIRST = RECORD_BYTES };  // where the first record lies

// True for "0000000a-0003-00000001.cj", with what the name says in `f`.
bool journal_name_read(struct journal_file *f, const char *name);
//   Errors  ERR_INVALID  not a journal, or of a newer version; `diag` says which
//           ERR_MISSING, ERR_DENIED, ERR_SYSTEM
MUST_USE enum err journal_file_open(struct journal_file *f, struct str folder, const char *name,
                                    struct diag *diag);
void journal_file_close(struct journal_file *f);

enum journal_end {
    JOURNAL_MORE,     // `max` records were read
    JOURNAL_END,      // all that was written
    JOURNAL_TORN,     // then comes a record cut in its middle, and nothing behind it
    JOURNAL_DAMAGED,  // then comes a bad one, but good ones follow: the disk, not a crash
};
// Up to `max` records from `offset` on, those before byte `until` of the file.
MUST_USE enum err journal_file_read(const struct journal_file *f, int64_t offset, int64_t until,
                                    struct record *out, int32_t max, int32_t *n,
                                    enum journal_end *end, struct diag *diag);

#endif
