#include "gateway/ledger_spent.h"

#include "base/units.h"
#include "gateway/ledger_inside.h"

#include <stdlib.h>

enum err ledger_spent(struct ledger *l, int64_t zone_us, int64_t wall_us,
                      bool (*row)(void *ctx, const struct store_spent *spent), void *ctx,
                      struct diag *diag)
{
    struct civil c = civil_of(wall_us + zone_us);
    struct store_spent_ask ask = {
        .zone_us = zone_us,
        .day_us = wall_us - (wall_us + zone_us) % S(86400),
        .month_us = civil_us((struct civil){.year = c.year, .month = c.month, .day = 1}) - zone_us,
        .minute_us = wall_us - S(60)};
    return store_spent(l->store, &ask, row, ctx, diag);
}

enum err ledger_shadow_spent(struct ledger *l, int64_t wall_us,
                             bool (*row)(void *ctx, uint64_t pool, int64_t list_nusd), void *ctx,
                             struct diag *diag)
{
    return store_shadow_spent(l->store, wall_us - wall_us % S(86400), row, ctx, diag);
}

enum err ledger_key_add(struct ledger *l, const struct store_key *key, struct str name,
                        struct diag *diag)
{
    struct store_name names[] = {{RECORD_KEY, name}};
    pthread_mutex_lock(&l->store_mutex);
    enum err e = store_names(l->store, names, COUNTOF(names), diag);
    if (!e)
        e = store_key_add(l->store, key, diag);
    pthread_mutex_unlock(&l->store_mutex);
    return e;
}

enum err ledger_key_names(struct ledger *l, const struct key *keys, int32_t n, struct diag *diag)
{
    struct store_name *names = take_n(sizeof *names, (size_t)n + 1);
    for (int32_t i = 0; i < n; i++)
        names[i] = (struct store_name){RECORD_KEY, str_of(keys[i].id)};
    pthread_mutex_lock(&l->store_mutex);
    enum err e = store_names(l->store, names, n, diag);
    pthread_mutex_unlock(&l->store_mutex);
    free(names);
    return e;
}

enum err ledger_key_revoke(struct ledger *l, const unsigned char sha256[32], int64_t at_us,
                           struct diag *diag)
{
    pthread_mutex_lock(&l->store_mutex);
    enum err e = store_key_revoke(l->store, sha256, at_us, diag);
    pthread_mutex_unlock(&l->store_mutex);
    return e;
}

enum err ledger_keys(struct ledger *l, bool (*row)(void *ctx, const struct store_key *key),
                     void *ctx, struct diag *diag)
{
    pthread_mutex_lock(&l->store_mutex);
    enum err e = store_keys(l->store, row, ctx, diag);
    pthread_mutex_unlock(&l->store_mutex);
    return e;
}
