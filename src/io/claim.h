// claim.h - whose journals these are: an epoch of a ledger's folder belongs to the process that
// holds the lock on FOLDER/EPOCH.lock, and to nobody once that has ended, however it ended. While
// one gateway takes over from another, journals of both lie in one folder.

#ifndef CAUDAL_CLAIM_H
#define CAUDAL_CLAIM_H

#include "base/err.h"
#include "base/str.h"

struct claim;

// ERR_EXISTS: another process holds it, or this one does; ERR_LIMIT, ERR_DENIED, ERR_SYSTEM.
MUST_USE enum err claim_take(struct claim **out, struct str folder, uint32_t epoch,
                             struct diag *diag);
// `done`: no journal of the epoch is left, and the file goes too.
void claim_drop(struct claim *c, bool done);

#endif
