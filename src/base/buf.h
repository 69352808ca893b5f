// buf.h - bytes that grow at the end and are eaten at the front, with a limit.
//
// For what waits to be written and what has been read so far. An empty buffer holds no memory once
// buf_release() was called, so ten thousand idle streams cost nothing.

#ifndef CAUDAL_BUF_H
#define CAUDAL_BUF_H

#include "base/str.h"

struct buf {
    char *p;
    size_t from, to;  // what is in it: p[from, to)
    size_t size;      // of the allocation
    size_t limit;     // to - from never exceeds it
    bool overflow;  // something did not fit since the last clear; sticky, so that a writer of many
                    // pieces may look once at the end
    bool secret;    // see buf_init_secret()
};

enum { BUF_SECRET_BYTES = 64 * 1024 };

void buf_init(struct buf *b, size_t limit);
// For what has a secret within its first BUF_SECRET_BYTES, such as a head with a key: they are
// overwritten whenever the buffer is emptied or its memory goes. It may be moved by assignment; not
// for buf_splice().
void buf_init_secret(struct buf *b, size_t limit);
void buf_release(struct buf *b);  // gives the memory back; the limit stays, the buffer is empty
void buf_clear(struct buf *b);    // empties it, keeps the memory, forgets an overflow

static inline size_t buf_len(const struct buf *b)
{
    return b->to - b->from;
}

static inline struct str buf_str(const struct buf *b)  // borrowed until the next change of `b`
{
    struct str s = {b->p ? b->p + b->from : NULL, b->to - b->from};
    return s;
}

// Appending returns false, changes nothing and sets `overflow` when the limit would be passed.
bool buf_add_more(struct buf *b, const void *p, size_t n);  // buf_add() where room must be made
static inline bool buf_add(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return true;
    if (n > b->size - b->to || n > b->limit - buf_len(b))
        return buf_add_more(b, p, n);
    memcpy(b->p + b->to, p, n);
    b->to += n;
    return true;
}
static inline bool buf_add_str(struct buf *b, struct str s)
{
    return buf_add(b, s.p, s.n);
}
bool buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
// A literal alone compiles: `x ? "a" : "b"` has the size of a pointer.
#define buf_lit(b, literal) buf_add((b), "" literal, sizeof(literal) - 1)
// Several pieces at once, all or nothing. On the way of every request this and buf_int() stand for
// buf_printf(), which costs ten times as much.
#define buf_join(b, ...)                               \
    buf_join_n((b), (const struct str[]){__VA_ARGS__}, \
               sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str))
bool buf_join_n(struct buf *b, const struct str *parts, size_t n);
bool buf_int(struct buf *b, int64_t v);  // in decimal

// Writing in place, for lines that every request writes: buf_reserve() for the most that they take,
// then these, each of which returns the place behind what it wrote, then buf_put() of the last one.
enum { PUT_INT_BYTES = 20 };  // the most that put_int() writes
char *put_int(char *at, int64_t v);
static inline char *put_str(char *at, struct str s)
{
    if (s.n >= 8 && s.n <= 16) {  // most: two moves that overlap instead of a call
        uint64_t first, last;
        memcpy(&first, s.p, 8);
        memcpy(&last, s.p + s.n - 8, 8);
        memcpy(at, &first, 8);
        memcpy(at + s.n - 8, &last, 8);
    } else if (s.n >= 4 && s.n < 8) {
        uint32_t first, last;
        memcpy(&first, s.p, 4);
        memcpy(&last, s.p + s.n - 4, 4);
        memcpy(at, &first, 4);
        memcpy(at + s.n - 4, &last, 4);
    } else if (s.n) {
        memcpy(at, s.p, s.n);
    }
    return at + s.n;
}
#define put_lit(at, literal) \
    ((char *)memcpy((at), "" literal, sizeof(literal) - 1) + (sizeof(literal) - 1))

bool buf_reserve(struct buf *b, size_t n,
                 char **at);              // room for n more bytes, to be filled in place
void buf_grown(struct buf *b, size_t n);  // n bytes were filled at `*at`
static inline void buf_put(struct buf *b, const char *end)  // up to `end` they were
{
    buf_grown(b, (size_t)(end - (b->p + b->to)));
}
void buf_eat(struct buf *b, size_t n);  // forgets the first n bytes
bool buf_splice(struct buf *b, size_t at, size_t drop, struct str with);  // replaces a span

// JSON text of a string, with its quotes: control characters, quote and backslash escaped, the rest
// as it is. The caller says whether `s` is UTF-8; invalid bytes become U+FFFD.
bool buf_add_json(struct buf *b, struct str s);

#endif
