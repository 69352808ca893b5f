// check.h - what is wrong or odd about a portfolio, collected rather than stopped at.
//
// The list of problems is shared by the parser (wire/config.h), which adds what cannot be read, and
// by check_portfolio(), which adds what can be read but should be looked at. Pure: no clock.

#ifndef CAUDAL_CHECK_H
#define CAUDAL_CHECK_H

#include "base/buf.h"
#include "portfolio/portfolio.h"

enum severity { SEVERITY_ERROR, SEVERITY_WARNING };

struct problem {
    enum severity severity;
    struct place place;
    struct str path;  // "pools.openai.url"; empty: the file as a whole
    struct str text;  // what is wrong, what was given, what was expected; holds no secret
    struct problem *next;
};

enum { PROBLEMS_MAX = 200 };

struct problems {
    struct arena *arena;  // where texts are kept; not owned
    struct problem *first, *last;
    int32_t errors,
        warnings;  // found, also those past PROBLEMS_MAX, which are counted and not kept
};

void problems_init(struct problems *list, struct arena *a);
void problems_add(struct problems *list, enum severity severity, struct place place,
                  struct str path, const char *fmt, ...) PRINTF_LIKE(5, 6);
// One line without its end: "fleet.yaml:7:12: pools.openai.url: what is wrong".
void problem_print(struct buf *out, const struct problem *problem);

// Adds what a person should know about a sealed portfolio. `wall_us` is the time "now" stands for.
// Problems are in the order of the portfolio's arrays. O(pools x models + contracts x pools).
void check_portfolio(const struct portfolio *p, int64_t wall_us, struct problems *list);

// May this pool be called at this time? "yes", or "no: " and why not; `*callable` says it for
// programs.
struct str pool_now(struct arena *a, const struct portfolio *p, const struct pool *pool,
                    int64_t wall_us, bool *callable);

bool host_is_loopback(struct str host);  // 127.0.0.0/8, ::1 and localhost, with or without brackets
// The host of "scheme://user@host:port/path", borrowed from `url`; empty when there is none.
struct str url_host(struct str url);

// Text without secrets: every value of p->secrets of at least SECRET_MIN bytes is replaced by
// "***". Shorter ones are left, since they would blot out half the text; callers never print those.
enum { SECRET_MIN = 6 };
// False: `out` is full.
bool secrets_hide(struct buf *out, const struct portfolio *p, struct str text);
// A URL as a person may see it: without user, password and query. Borrowed from `a`.
struct str url_shown(struct arena *a, struct str url);

#endif
