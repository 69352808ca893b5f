#include "cli/ledger_keys.h"

#include "gateway/keys.h"
#include "io/store_keys.h"
#include "wire/json.h"

#include <stdlib.h>

static void add(struct ledger_keys *k, const unsigned char sha256[32], struct str name)
{
    struct key key = {0};
    if (!name.n)
        return;
    memcpy(key.said.sha256, sha256, sizeof key.said.sha256);
    key_name(&key);
    if (k->n == k->size) {
        k->size = k->size ? 2 * k->size : 64;
        k->keys = realloc(k->keys, (size_t)k->size * sizeof *k->keys);
        CHECK(k->keys);
    }
    k->keys[k->n++] =
        (struct ledger_key){arena_str(k->arena, str_of(key.id)), arena_str(k->arena, name)};
}

static bool on_key(void *ctx, const struct store_key *key)
{
    struct ledger_keys *k = ctx;
    struct json_span span;
    char name[256];
    if (!json_validate(key->said, NULL) && json_get(key->said, STR("name"), &span) &&
        span.kind == JSON_STRING)
        add(k, key->sha256,
            (struct str){name, json_string_cut(key->said, span, name, sizeof name)});
    return true;
}

enum err ledger_keys_read(struct ledger_keys *k, struct arena *a, struct store *s,
                          const struct portfolio *p, struct diag *diag)
{
    *k = (struct ledger_keys){.arena = a};
    for (int32_t i = 0; p && i < p->n_tenants; i++)
        for (int32_t n = 0; n < p->tenants[i].n_keys; n++)
            add(k, p->tenants[i].keys[n].sha256, p->tenants[i].keys[n].name);
    return store_keys(s, on_key, k, diag);
}

void ledger_keys_release(struct ledger_keys *k)
{
    free(k->keys);
    *k = (struct ledger_keys){0};
}

struct str ledger_key_shown(const struct ledger_keys *k, struct str id)
{
    const struct ledger_key *found = NULL;
    for (int32_t i = 0; i < k->n && !found; i++)
        if (str_eq(k->keys[i].id, id))
            found = &k->keys[i];
    for (int32_t i = 0; found && i < k->n; i++)
        if (str_eq(k->keys[i].name, found->name) && !str_eq(k->keys[i].id, id))
            return id;
    return found ? found->name : id;
}
