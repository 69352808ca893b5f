// cache.h - which beginnings of prompts a simulated supplier still holds.
//
// Prompts are cut into blocks of 512 bytes; each block is known by the hash of everything up to its
// end. A set of 8 ways forgets what was used least recently in it, so memory is fixed at the start.

#ifndef CAUDAL_SIM_CACHE_H
#define CAUDAL_SIM_CACHE_H

#include "base/str.h"

enum { SIM_CACHE_BLOCK = 512, SIM_CACHE_TOK = 128 };  // bytes and tokens of a block

struct sim_cache;

// Room for `tokens` tokens, at least one set. 0: holds nothing.
struct sim_cache *sim_cache_new(double tokens);
void sim_cache_free(struct sim_cache *c);
void sim_cache_clear(struct sim_cache *c);

// How many bytes of the beginning of the joined `parts` are held, whole blocks only; holds all
// whole blocks from now on. `salt` keeps models apart.
size_t sim_cache_use(struct sim_cache *c, const struct str *parts, int32_t n, uint64_t salt);

#endif
