#include "gateway/auth.h"

static size_t slot_of(const struct generation *g, const unsigned char *digest)
{
    uint64_t h;
    memcpy(&h, digest, sizeof h);
    return (size_t)(h % (uint64_t)g->n_auth);
}

static enum err add_key(struct generation *g, int32_t tenant, const struct tenant_key *said,
                        struct diag *diag)
{
    const struct portfolio *p = g->portfolio;
    size_t at = slot_of(g, said->sha256);
    while (g->auth[at].key) {
        if (memcmp(g->auth[at].key->said.sha256, said->sha256, sizeof said->sha256) == 0)
            return diag_set(diag, ERR_INVALID, "tenants " STR_FMT " and " STR_FMT " share a key",
                            STR_ARG(p->tenants[g->auth[at].tenant].name),
                            STR_ARG(p->tenants[tenant].name));
        at = (at + 1) % (size_t)g->n_auth;
    }
    struct key *k = &g->keys[g->n_keys++];
    k->said = *said;
    k->tenant = p->tenants[tenant].name;
    key_name(k);
    g->auth[at] = (struct auth_slot){k, tenant};
    return ERR_NONE;
}

enum err auth_build(struct generation *g, struct diag *diag)
{
    const struct portfolio *p = g->portfolio;
    int32_t keys = 0;
    for (int32_t i = 0; i < p->n_tenants; i++)
        keys += p->tenants[i].n_keys;
    g->n_auth = keys * 2 + 1;
    g->auth = arena_new(&g->arena, struct auth_slot, g->n_auth);
    g->keys = arena_new(&g->arena, struct key, keys + 1);
    if (!g->auth || !g->keys)
        return diag_set(diag, ERR_LIMIT, "too many keys");
    for (int32_t i = 0; i < p->n_tenants; i++) {
        for (int32_t k = 0; k < p->tenants[i].n_keys; k++) {
            enum err e = add_key(g, i, &p->tenants[i].keys[k], diag);
            if (e)
                return e;
        }
    }
    return ERR_NONE;
}

bool auth_open(const struct worker *w)
{
    return w->generation->n_keys == 0 && !keys_any(w->keys);
}

// A key made at run time names its tenant, who may have gone with a reload.
static struct auth made_key(const struct worker *w, const unsigned char *digest)
{
    const struct key *k = keys_find(w->keys, digest);
    int32_t tenant;
    if (!k || !table_get(w->generation->portfolio->tenant_names, k->tenant, &tenant))
        return (struct auth){AUTH_NO_KEY, -1, NULL};
    return (struct auth){AUTH_OK, tenant, k};
}

static struct auth key_owner(const struct worker *w, struct str key)
{
    const struct generation *g = w->generation;
    unsigned char digest[32];
    sha256(digest, key);
    size_t at = slot_of(g, digest);
    for (; g->auth[at].key; at = (at + 1) % (size_t)g->n_auth)
        if (equal_in_constant_time(g->auth[at].key->said.sha256, digest, 32))
            return (struct auth){AUTH_OK, g->auth[at].tenant, g->auth[at].key};
    return made_key(w, digest);
}

// "localhost:8080", "127.0.0.1", "[::1]:8080": names that no stranger's DNS can point here.
bool auth_is_loopback(struct str a)
{
    if (str_starts(a, STR("[::1]")))
        return a.n == 5 || a.p[5] == ':';
    size_t colon;
    if (str_find(a, STR(":"), &colon))
        a.n = colon;
    if (str_eq_nocase(a, STR("localhost")))
        return true;
    if (!str_starts(a, STR("127.")))
        return false;
    for (size_t i = 0; i < a.n; i++)  // a name such as 127.0.0.1.example.com is a stranger's
        if (a.p[i] != '.' && (a.p[i] < '0' || a.p[i] > '9'))
            return false;
    return true;
}

bool auth_origin_allowed(const struct serve_config *c, struct str origin)
{
    for (int32_t i = 0; i < c->n_cors_origins; i++)
        if (str_eq(c->cors_origins[i], STR("*")) || str_eq_nocase(c->cors_origins[i], origin))
            return true;
    return false;
}

static struct auth check_open(const struct generation *g, const struct http1_head *head)
{
    const struct str *origin = http1_get(head, STR("origin"));
    if (!auth_is_loopback(head->host))
        return (struct auth){AUTH_BAD_HOST, -1, NULL};
    if (origin && !auth_origin_allowed(&g->portfolio->serve, *origin)) {
        struct str rest = *origin;
        rest = str_starts(rest, STR("http://"))    ? str_skip(rest, 7)
               : str_starts(rest, STR("https://")) ? str_skip(rest, 8)
                                                   : (struct str){0};
        if (!auth_is_loopback(rest))
            return (struct auth){AUTH_BAD_ORIGIN, -1, NULL};
    }
    // Without keys the first tenant described is everybody: it is where a lone user says what it
    // wants.
    return (struct auth){AUTH_OK, g->portfolio->n_tenants ? 0 : -1, NULL};
}

struct str auth_key(const struct http1_head *head)
{
    const struct str *authorization = http1_get(head, STR("authorization"));
    const struct str *api_key = http1_get(head, STR("x-api-key"));
    if (authorization && authorization->n > 7 &&
        str_eq_nocase((struct str){authorization->p, 7}, STR("bearer ")))
        return str_trim(str_skip(*authorization, 7));
    return api_key ? *api_key : (struct str){0};
}

struct auth auth_check(const struct worker *w, const struct http1_head *head)
{
    if (auth_open(w))
        return check_open(w->generation, head);
    return key_owner(w, auth_key(head));  // hashed even when empty: the same time for both
}

const struct admin_key *auth_operator(const struct admin_key *keys, int32_t n_keys,
                                      const struct http1_head *head)
{
    unsigned char digest[32];
    sha256(digest, auth_key(head));
    const struct admin_key *found = NULL;
    for (int32_t i = 0; i < n_keys; i++)
        if (equal_in_constant_time(keys[i].sha256, digest, sizeof digest))
            found = &keys[i];
    return found;
}
