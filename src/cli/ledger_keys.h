// ledger_keys.h - what people call the keys that rows know by "sha256:" and 16 digits.

#ifndef CAUDAL_LEDGER_KEYS_H
#define CAUDAL_LEDGER_KEYS_H

#include "base/arena.h"
#include "io/store.h"
#include "portfolio/portfolio.h"

struct ledger_keys {
    struct ledger_key {
        struct str id, name;
    } * keys;  // [n]
    int32_t n, size;
    struct arena *arena;
};

// Those made at run time, and the portfolio's (`p` NULL: none); all from `a`.
MUST_USE enum err ledger_keys_read(struct ledger_keys *k, struct arena *a, struct store *s,
                                   const struct portfolio *p, struct diag *diag);
void ledger_keys_release(struct ledger_keys *k);
// The name of the key `id`; `id` itself where it has none, or shares it with another.
struct str ledger_key_shown(const struct ledger_keys *k, struct str id);

#endif
