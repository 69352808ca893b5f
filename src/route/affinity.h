// affinity.h - which pools were sent the beginning of a prompt, and how long ago.
//
// One table for all pools and models: a block of a prompt, known by the hash of everything up to
// its end, has a line with the pairs (a pool answering a model) that were sent it last, each with
// its *age* then. So looking for a prompt costs the same for two pools and for a thousand, and as a
// pair that was sent a block was sent all before it, the longest beginning that it knows is found
// by halving, not block by block.
//
// An age is counted in lifetimes of a block in the pair's cache: it grows with time and with the
// tokens that are put in. Who asks keeps the ages and says what they are now.
//
//   affinity_put()   a prompt was sent           affinity_drop()   nothing came of that
//   affinity_find()  who knows how much of it    changes nothing
//
// Memory is fixed: what was looked for least lately in its set goes first, and of a line the pair
// that got the block longest ago.

#ifndef CAUDAL_AFFINITY_H
#define CAUDAL_AFFINITY_H

#include "base/arena.h"
#include "base/err.h"

struct affinity;  // opaque; lives as long as its arena

enum {
    AFFINITY_WAYS = 15,    // blocks in a set
    AFFINITY_PAIRS = 10,   // in a line: the last that were sent the block
    AFFINITY_FOUND = 64,   // pairs that affinity_find() gives, at most
    AFFINITY_BLOCKS = 256  // of a prompt are looked at, the first
};

// Room for `sets` times AFFINITY_WAYS blocks, 1 KiB a set, of which the system backs what is used.
// `sets` is a power of two. Pairs are numbered below 65536; others are never remembered.
//   Errors  ERR_LIMIT  `a` is full
MUST_USE enum err affinity_new(struct affinity **out, struct arena *a, uint32_t sets);

// `salt` keeps those apart who may not know of each other: blocks put with one are never found with
// another.
struct affinity_prompt {
    const uint64_t *blocks;
    int32_t n;
    uint64_t salt;
};

// `pair` was sent all of it, and is `age` old now.
void affinity_put(struct affinity *f, const struct affinity_prompt *p, int32_t pair, double age);
// It no longer has the blocks behind the first `keep`.
void affinity_drop(struct affinity *f, const struct affinity_prompt *p, int32_t pair, int32_t keep);

struct affinity_found {
    int32_t pair;
    int32_t blocks;  // that it was sent less than a lifetime ago
};
// How old `pair` is now; below 0: nobody asks for that one.
typedef double (*affinity_age)(const void *ctx, int32_t pair);
// Into out[AFFINITY_FOUND]; returns how many. Two cache lines for each block looked at, about log2
// n of them for each different length found.
int32_t affinity_find(const struct affinity *f, const struct affinity_prompt *p, affinity_age age,
                      const void *ctx, struct affinity_found *out);

#endif
