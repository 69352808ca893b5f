#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

// The first chunk, with what stands before its bytes, is the largest piece that malloc() gives and
// takes back without looking around (glibc's tcache): most requests need no second.
enum { CHUNK_FIRST = 1000, CHUNK_LARGEST = 64 * 1024 };

struct arena_chunk {
    struct arena_chunk *older;
    size_t used, size;
    alignas(max_align_t) char bytes[];
};

void *take(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p) {
        fprintf(stderr, "caudal: out of memory (%zu bytes asked)\n", bytes);
        abort();
    }
    return p;
}

void *take_n(size_t size, size_t n)
{
    CHECK(n == 0 || size <= SIZE_MAX / n);
    return take(size * n);
}

void *take_more(void *p, size_t *room, size_t need, size_t size)
{
    if (need <= *room)
        return p;
    while (*room < need)
        *room = *room ? 2 * *room : 64;
    CHECK(*room <= SIZE_MAX / size);
    p = realloc(p, *room * size);
    CHECK(p);
    return p;
}

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit, .next_chunk = CHUNK_FIRST};
}

void arena_reset(struct arena *a)
{
    while (a->chunks) {
        struct arena_chunk *older = a->chunks->older;
        free(a->chunks);
        a->chunks = older;
    }
    a->used = 0;
    a->next_chunk = CHUNK_FIRST;
}

void arena_release(struct arena *a)
{
    arena_reset(a);
    a->limit = 0;
}

static struct arena_chunk *chunk_add(struct arena *a, size_t bytes)
{
    size_t size = a->next_chunk > bytes ? a->next_chunk : bytes;
    if (a->next_chunk < CHUNK_LARGEST)
        a->next_chunk *= 2;
    struct arena_chunk *c;
    if (size <= CHUNK_FIRST) {
        c = malloc(sizeof *c + size);
        CHECK(c);
        memset(c->bytes, 0, size);
        c->used = 0;
    } else {
        c = take(sizeof *c + size);  // calloc: what the system gives is zeroed and not yet touched
    }
    c->size = size;
    c->older = a->chunks;
    a->chunks = c;
    return c;
}

void *arena_take(struct arena *a, size_t bytes)
{
    size_t align = alignof(max_align_t);
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + align - 1) / align * align;
    if (bytes == 0)
        bytes = align;
    if (bytes > a->limit - a->used)
        return NULL;
    struct arena_chunk *c = a->chunks;
    if (!c || bytes > c->size - c->used)
        c = chunk_add(a, bytes);
    void *p = c->bytes + c->used;
    c->used += bytes;
    a->used += bytes;
    return p;
}

void *arena_take_n(struct arena *a, size_t size, size_t n)
{
    if (n && size > SIZE_MAX / n)
        return NULL;
    return arena_take(a, size * n);
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = s.n < SIZE_MAX ? arena_take(a, s.n + 1) : NULL;
    if (!p)
        return (struct str){NULL, 0};
    if (s.n)
        memcpy(p, s.p, s.n);
    return (struct str){p, s.n};
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    CHECK(n >= 0);
    char *p = arena_take(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (struct str){p, p ? (size_t)n : 0};
}
