// fold.h - from journals into the store: segment by segment, some batches in one transaction with
// the place they end at, and a segment's file goes when all of it is durable in the store.

#ifndef CAUDAL_FOLD_H
#define CAUDAL_FOLD_H

#include "io/journal.h"
#include "io/store.h"

struct fold {
    struct store *store;
    struct str folder;
    struct record *batch;  // FOLD_BATCH, made when first needed
    int64_t records;       // folded by this one
    int32_t alive;         // epochs that fold_folder() left to their process
    // Something a person should know: a torn end, a damaged file. NULL: nobody is told.
    void (*say)(void *ctx, const char *path, const char *what);
    void *ctx;
};
enum { FOLD_BATCH = 4096, FOLD_PARTS = 16 };  // batches in one transaction
void fold_release(struct fold *f);

// All segments in the folder whose epoch nobody has claimed (claim.h): what a crash left. Torn ends
// are told and dropped; a file that is damaged in its middle is kept as NAME.damaged.
//   Errors  ERR_INVALID  a journal of a newer version: nothing of it was touched
//           those of the store
MUST_USE enum err fold_folder(struct fold *f, uint32_t *epoch_max, struct diag *diag);

// A journal in use, from another thread: what is written of it. `*at` is where this left off; start
// with {1, JOURNAL_FIRST}.
MUST_USE enum err fold_live(struct fold *f, const struct journal *j, uint32_t epoch, uint16_t loop,
                            struct journal_place *at, struct diag *diag);

#endif
