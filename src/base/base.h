// base.h - what every file of caudal may rely on: promises, counts, and the units of time.
//
// Inside the program each quantity has one unit: time is int64_t microseconds, money int64_t
// nano-dollars for a request and micro-dollars for contracts, tokens int32_t, rates and shares
// double. Conversion happens where bytes come in (units.h).

#ifndef CAUDAL_BASE_H
#define CAUDAL_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define COUNTOF(a) (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define US(n) ((int64_t)(n))
#define MS(n) ((int64_t)(n)*1000)
#define S(n) ((int64_t)(n)*1000000)
#define NEVER INT64_MAX  // a time that does not come

// A promise between our own functions. Stays on in releases: a program that has broken one must
// not go on counting money.
#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

__attribute__((noreturn)) void check_failed(const char *what, const char *file, int line);

static inline int64_t min_i64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t max_i64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

#ifdef __cplusplus
}
#endif

#endif
