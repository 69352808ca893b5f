// prompt_blocks.h - hashes of what a prompt begins with, for routing (route/affinity.h).
//
// The bytes of a request's prompt as they came, cut every 2 KiB; each block is known by the hash of
// all up to its end. The same turns in the same words give the same blocks, and a conversation that
// goes on gives more. Seeded by a secret of the process and by who asks for what, so that they say
// nothing to anybody, and the same prompt of another tenant has nothing in common with it.

#ifndef CAUDAL_PROMPT_BLOCKS_H
#define CAUDAL_PROMPT_BLOCKS_H

#include "base/str.h"

enum { PROMPT_BLOCK_BYTES = 2048, PROMPT_BLOCKS_MAX = 256 };

// Of the parts one after the other, the whole blocks only, up to `max`. Returns how many.
int32_t prompt_blocks(uint64_t *out, int32_t max, const struct str *parts, int32_t n,
                      uint64_t seed);

struct exchange;
// Gives an exchange that is recognised, and whose tokens are estimated, its ask's blocks, in its
// arena.
void exchange_find_blocks(struct exchange *x);
// The arena goes, and they with it.
void exchange_forget_blocks(struct exchange *x);

#endif
