// Sums by day of the rows of a transaction, in memory until its end: most rows of a moment are of
// few tenants, keys and pools.

#include "io/store_inside.h"

#include "base/arena.h"
#include "base/rng.h"
#include "base/units.h"

#include <stdlib.h>

static size_t slot_of(const int64_t key[8])
{
    uint64_t h = 0;
    for (int i = 0; i < 8; i++)
        h = (h ^ (uint64_t)key[i]) * 0x9e3779b97f4a7c15u;
    return mix64(h) % (2 * STORE_DAYS);
}

void store_days_forget(struct store *s)
{
    memset(s->day_at, 0, s->n_days ? sizeof s->day_at : 0);
    s->n_days = 0;
    free(s->days);
    s->days = NULL;
}

static enum err write_day(struct store *s, const struct store_day *d, struct diag *diag)
{
    struct store_binder b;
    enum err e = store_begin(s, STORE_DAY, &b, diag);
    if (e)
        return e;
    for (size_t i = 0; i < COUNTOF(d->key); i++)
        store_put(&b, d->key[i]);
    for (int i = 0; i < DAY_SUMS; i++)
        store_put(&b, d->sum[i]);
    store_put_real(&b, d->joules);
    return store_step(s, b.q, diag);
}

enum err store_days_write(struct store *s, struct diag *diag)
{
    enum err e = ERR_NONE;
    for (int32_t i = 0; i < s->n_days && !e; i++)
        e = write_day(s, &s->days[i], diag);
    if (s->n_days)
        memset(s->day_at, 0, sizeof s->day_at);
    s->n_days = 0;
    return e;
}

// Where `key` is summed up, from zeros when it was not yet.
static enum err find(struct store *s, const int64_t key[8], struct store_day **out,
                     struct diag *diag)
{
    enum err e = ERR_NONE;
    if (!s->days)
        s->days = take_n(sizeof *s->days, STORE_DAYS);
    if (s->n_days == STORE_DAYS)
        e = store_days_write(s, diag);
    size_t at = slot_of(key);
    for (; s->day_at[at]; at = (at + 1) % COUNTOF(s->day_at)) {
        *out = &s->days[s->day_at[at] - 1];
        if (memcmp((*out)->key, key, sizeof(*out)->key) == 0)
            return e;
    }
    *out = &s->days[s->n_days++];
    s->day_at[at] = s->n_days;
    **out = (struct store_day){0};
    memcpy((*out)->key, key, sizeof(*out)->key);
    return e;
}

static enum err add_attempt(struct store *s, const int64_t *v, struct diag *diag)
{
    const int64_t key[8] = {
        v[ATTEMPT_BEGAN] / S(86400), v[ATTEMPT_TENANT],   v[ATTEMPT_KEY],   v[ATTEMPT_POOL],
        v[ATTEMPT_SUPPLIER],         v[ATTEMPT_CONTRACT], v[ATTEMPT_MODEL], v[ATTEMPT_FAULT]};
    struct store_day *d;
    enum err e = find(s, key, &d, diag);
    int64_t flags = v[ATTEMPT_FLAGS];
    bool estimated = flags & RECORD_ESTIMATED, cancelled = flags & RECORD_CANCELLED;
    d->sum[DAY_ATTEMPTS]++;
    d->sum[DAY_FAILED] += v[ATTEMPT_FAULT] != 0 && !cancelled;
    d->sum[DAY_CANCELLED] += cancelled;
    d->sum[DAY_FAILED_OVER] += (flags & RECORD_FAILED_OVER) != 0;
    d->sum[DAY_ESTIMATED] += estimated;
    d->sum[DAY_PROMPT] += v[ATTEMPT_PROMPT];
    d->sum[DAY_CACHED] += v[ATTEMPT_CACHED];
    d->sum[DAY_OUTPUT] += v[ATTEMPT_OUTPUT];
    d->sum[DAY_REASONING] += v[ATTEMPT_REASONING];
    d->sum[DAY_LIST] += v[ATTEMPT_LIST];
    d->sum[DAY_MARGINAL] += v[ATTEMPT_MARGINAL];
    d->sum[DAY_ESTIMATED_NUSD] += estimated ? v[ATTEMPT_LIST] : 0;
    d->joules += packed_real(v[ATTEMPT_JOULES]);
    return e;
}

// What it was charged, under the names of the pool that answered it.
static enum err add_request(struct store *s, const int64_t *v, struct diag *diag)
{
    const int64_t key[8] = {
        v[REQUEST_BEGAN] / S(86400), v[REQUEST_TENANT],   v[REQUEST_KEY],   v[REQUEST_POOL],
        v[REQUEST_SUPPLIER],         v[REQUEST_CONTRACT], v[REQUEST_MODEL], 0};
    struct store_day *d;
    enum err e = find(s, key, &d, diag);
    d->sum[DAY_CHARGED] += v[REQUEST_CHARGED];
    return e;
}

enum err store_day_add(struct store *s, enum packed_kind kind, const struct packed_row *row,
                       struct diag *diag)
{
    return kind == PACKED_ATTEMPTS ? add_attempt(s, row->v, diag) : add_request(s, row->v, diag);
}
