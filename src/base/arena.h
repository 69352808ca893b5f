// arena.h - memory that lives and dies together: as long as the request, the plan, the portfolio.
//
// Created with its limit, so that a huge input costs its sender an error and not everyone the
// machine. The code between arena_init() and arena_release() has no `free`.

#ifndef CAUDAL_ARENA_H
#define CAUDAL_ARENA_H

#include "base/str.h"

#include <stdarg.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;  // newest first
    size_t used, limit;          // bytes given out, and how many may be
    size_t next_chunk;           // size of the next chunk; doubles up to 64 KiB
};

// Takes nothing from the system until the first allocation. A limit of 0 is an arena that is full.
void arena_init(struct arena *a, size_t limit);
void arena_release(struct arena *a);  // all of it; the arena is then empty and full
void arena_reset(struct arena *a);    // gives all memory back and keeps the limit

// Zeroed and aligned for any type; NULL past the limit. Running out of the machine's memory stops
// the program.
void *arena_take(struct arena *a, size_t bytes);
#define arena_new(a, type, n) ((type *)arena_take_n((a), sizeof(type), (size_t)(n)))
void *arena_take_n(struct arena *a, size_t size, size_t n);

// Copies of text, terminated with a 0 that is not counted; .p is NULL past the limit.
struct str arena_str(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

// For the owners of long-lived storage: malloc that stops the program instead of returning NULL.
void *take(size_t bytes);  // zeroed; the caller frees
void *take_n(size_t size, size_t n);
// Room for `need` things of `size` bytes at `p`, which holds `*room` of them (NULL: 0) and may
// move; doubled, so that growing by one each time costs little. What is new is not zeroed.
void *take_more(void *p, size_t *room, size_t need, size_t size);

#endif
