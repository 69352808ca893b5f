// ledger_spent.h - what limits and keys ask of the ledger's store.

#ifndef CAUDAL_LEDGER_SPENT_H
#define CAUDAL_LEDGER_SPENT_H

#include "gateway/keys.h"
#include "gateway/ledger.h"
#include "io/store_keys.h"
#include "io/store_sums.h"

// What the ledger knows of the past is asked between _begin and _end, which see one moment. Any
// thread; as long as reading takes, nobody else uses the store. _end is owed after a failed _begin
// too.
MUST_USE enum err ledger_past_begin(struct ledger *l, struct diag *diag);
MUST_USE enum err ledger_past_end(struct ledger *l, struct diag *diag);

// After a take-over, what the process before still charges: `call` is called for each of its
// requests that comes into the store after the first ledger_past_begin(), once, within a few
// seconds and until it has ended. On any thread, the ledger's lock held. Nothing without a
// take-over, or a second time.
typedef void (*ledger_other_call)(void *ctx, const struct store_other *other);
void ledger_follow(struct ledger *l, ledger_other_call call, void *ctx, int64_t wall_us);

// What was charged in the day, the month and the minute of `wall_us`.
MUST_USE enum err ledger_spent(struct ledger *l, int64_t zone_us, int64_t wall_us,
                               bool (*row)(void *ctx, const struct store_spent *spent), void *ctx,
                               struct diag *diag);

// What the pools that shadow another came to in the UTC day of `wall_us`, at list price; those that
// are open count as what they may cost at most. By record_id().
MUST_USE enum err ledger_shadow_spent(struct ledger *l, int64_t wall_us,
                                      bool (*row)(void *ctx, uint64_t pool, int64_t list_nusd),
                                      void *ctx, struct diag *diag);

// store_keys.h under the ledger's lock; they wait for the disk, so not on a loop.
MUST_USE enum err ledger_key_add(struct ledger *l, const struct store_key *key, struct str name,
                                 struct diag *diag);
// Rows tell keys by numbers; makes the names of those of a portfolio known.
MUST_USE enum err ledger_key_names(struct ledger *l, const struct key *keys, int32_t n,
                                   struct diag *diag);
MUST_USE enum err ledger_key_revoke(struct ledger *l, const unsigned char sha256[32], int64_t at_us,
                                    struct diag *diag);
MUST_USE enum err ledger_keys(struct ledger *l, bool (*row)(void *ctx, const struct store_key *key),
                              void *ctx, struct diag *diag);

#endif
