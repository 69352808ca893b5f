// keys.h - keys of clients: those of the portfolio, and those made at run time.
//
//   POST /admin/keys --thread of keys.c--> the store --> the table --keys_find()--> auth.c of any
//   loop
//
// The table only grows while the process runs: a revoked key keeps its place, so that loops look up
// without a lock and a request may hold on to its key. Only hashes are kept, here and in the store.

#ifndef CAUDAL_KEYS_H
#define CAUDAL_KEYS_H

#include "gateway/generation.h"

struct keys;
struct limits;
struct ledger;
struct loop;

enum {
    KEYS_MAX = 16384,  // made at run time, revoked ones included
    KEY_ID_BYTES = 24,
    KEY_SAID_BYTES_MAX = 8 * 1024,  // of JSON
};

struct key {
    struct tenant_key said;
    char id[KEY_ID_BYTES];       // "sha256:" and 16 digits: what it is called where it has no name
    uint64_t number;             // of that id, in the ledger's rows
    int32_t place;               // in the quota; -1: nothing of it is counted
    struct str tenant;           // a name, since a reload may move it
    int64_t made_us;             // since 1970; 0: of the portfolio
    _Atomic int64_t revoked_us;  // 0: it holds
};

void key_name(struct key *k);  // fills id and number from the hash; nothing of it is counted yet
struct str key_shown(const struct key *k);  // its name, or its id

// Reads the keys of the ledger's store. Without a ledger `*out` is NULL: there is no place to keep
// any.
//   Errors  those of the store; ERR_LIMIT more than KEYS_MAX
MUST_USE enum err keys_new(struct keys **out, struct limits *limits, struct ledger *ledger,
                           struct diag *diag);
void keys_stop(struct keys *ks);  // ends its thread: before the loops are freed
void keys_free(struct keys *ks);

// Lock-free, from any thread. NULL: unknown, or revoked.
const struct key *keys_find(const struct keys *ks, const unsigned char sha256[32]);
bool keys_any(const struct keys *ks);  // one was made once, though it may be revoked
// In the order in which they were made, revoked ones too. The i-th; NULL behind the last.
const struct key *keys_at(const struct keys *ks, int32_t i);

// One change: on the keys' own thread, since it waits for the disk; then `done` is called on
// `loop`, when all loops know the key, or know it no more. `job` is the caller's, as long as that.
struct keys_job {
    struct str tenant, said;    // to add: both borrowed; `said` is JSON that config_key() has read
    struct tenant_key key;      // and what it read there, copied
    const struct key *revoked;  // to revoke; NULL: add
    int64_t wall_us;
    struct loop *loop;
    void (*done)(struct keys_job *job);
    const struct key *added;
    enum err e;
    struct diag diag;
    struct keys *keys;
    struct keys_job *next;
};
void keys_change(struct keys *ks, struct keys_job *job);

#endif
