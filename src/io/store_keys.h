// store_keys.h - keys of clients that were made at run time: hashes, never the keys themselves.

#ifndef CAUDAL_STORE_KEYS_H
#define CAUDAL_STORE_KEYS_H

#include "io/store.h"

struct store_key {
    unsigned char sha256[32];
    struct str tenant;  // its name
    struct str said;    // what config_key() reads: the key's name and limits
    int64_t made_us;
    int64_t revoked_us;  // 0: it holds
};

// Durable when they return.
//   Errors  ERR_EXISTS  the hash is there, revoked or not
MUST_USE enum err store_key_add(struct store *s, const struct store_key *key, struct diag *diag);
//   Errors  ERR_MISSING  there is none, or it was revoked before
MUST_USE enum err store_key_revoke(struct store *s, const unsigned char sha256[32], int64_t at_us,
                                   struct diag *diag);
// All of them, the oldest first; texts borrowed for the call. `row` returns false to stop.
MUST_USE enum err store_keys(struct store *s, bool (*row)(void *ctx, const struct store_key *key),
                             void *ctx, struct diag *diag);

#endif
