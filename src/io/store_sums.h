// store_sums.h - what the limits of tenants and keys begin with after a start.

#ifndef CAUDAL_STORE_SUMS_H
#define CAUDAL_STORE_SUMS_H

#include "io/store.h"

struct store_spent {  // of one (tenant, key), by their numbers (record_id)
    uint64_t tenant, key;
    int64_t zone_us;               // as asked
    int64_t day_nusd, month_nusd;  // charged since the day and the month began
    int64_t requests, tokens;      // of the last minute
};

struct store_spent_ask {
    int64_t zone_us;                      // days begin so much before those of UTC
    int64_t day_us, month_us, minute_us;  // since when; all since 1970
};

// One call of `row` for each (tenant, key) that asked since the earliest of the three. Reads sums
// by day, and rows only of the last minute and, where a zone's day or month begins inside a day of
// UTC, of the rest of that day. Days whose rows have gone count as days of UTC.
MUST_USE enum err store_spent(struct store *s, const struct store_spent_ask *ask,
                              bool (*row)(void *ctx, const struct store_spent *spent), void *ctx,
                              struct diag *diag);

// One call of `row` for each pool that got copies of requests (RECORD_SHADOW) since `since_us`:
// their list price, of open ones what they may cost at most. Reads all attempts since then.
MUST_USE enum err store_shadow_spent(struct store *s, int64_t since_us,
                                     bool (*row)(void *ctx, uint64_t pool, int64_t list_nusd),
                                     void *ctx, struct diag *diag);

// Which requests the store has, so that those of other processes can be told as they come.
// store_news.c
struct store_news;
struct store_other {  // a request that another process has written
    uint64_t tenant, key;
    int64_t began_us, charged_nusd;
};
// What is there now is known; what comes from another epoch than `epoch` from here on is new, if it
// began after `since_us` or behind requests that did. Reads no rows.
MUST_USE enum err store_news_new(struct store_news **out, struct store *s, uint32_t epoch,
                                 int64_t since_us, struct diag *diag);
void store_news_free(struct store_news *w);
// One call of `row` for each request that came since the last look. Reads those that came since the
// beginning.
MUST_USE enum err store_news_look(struct store *s, struct store_news *w,
                                  void (*row)(void *ctx, const struct store_other *other),
                                  void *ctx, struct diag *diag);
// From `begin` until its end all reads see one moment, and nothing is written.
MUST_USE enum err store_view(struct store *s, bool begin, struct diag *diag);

#endif
