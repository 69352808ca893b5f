#include "gateway/auth.h"

static size_t slot_of(const struct generation *g, const unsigned char *digest)
{
    uint64_t h;
    memcpy(&h, digest, sizeof h);
    return (size_t)(h % (uint64_t)g->n_auth);
}

enum err auth_build(struct generation *g, struct diag *diag)
{
    const struct portfolio *p = g->portfolio;
    int32_t keys = 0;
    for (int32_t i = 0; i < p->n_tenants; i++)
        keys += p->tenants[i].n_keys;
    if (!keys)
        return ERR_NONE;
    g->n_auth = keys * 2 + 1;
    g->auth = arena_new(&g->arena, struct auth_slot, g->n_auth);
    if (!g->auth)
        return diag_set(diag, ERR_LIMIT, "too many keys");
    for (int32_t i = 0; i < g->n_auth; i++)
        g->auth[i].tenant = -1;
    for (int32_t i = 0; i < p->n_tenants; i++) {
        for (int32_t k = 0; k < p->tenants[i].n_keys; k++) {
            const unsigned char *digest = p->tenants[i].keys[k].sha256;
            size_t at = slot_of(g, digest);
            while (g->auth[at].tenant >= 0) {
                if (memcmp(g->auth[at].sha256, digest, 32) == 0)
                    return diag_set(
                        diag, ERR_INVALID, "tenants " STR_FMT " and " STR_FMT " share a key",
                        STR_ARG(p->tenants[g->auth[at].tenant].name), STR_ARG(p->tenants[i].name));
                at = (at + 1) % (size_t)g->n_auth;
            }
            memcpy(g->auth[at].sha256, digest, 32);
            g->auth[at].tenant = i;
        }
    }
    return ERR_NONE;
}

bool auth_open(const struct generation *g)
{
    return g->n_auth == 0;
}

static int32_t tenant_of_key(const struct generation *g, struct str key)
{
    unsigned char digest[32];
    sha256(digest, key);
    size_t at = slot_of(g, digest);
    for (; g->auth[at].tenant >= 0; at = (at + 1) % (size_t)g->n_auth)
        if (equal_in_constant_time(g->auth[at].sha256, digest, 32))
            return g->auth[at].tenant;
    return -1;
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
        return (struct auth){AUTH_BAD_HOST, -1};
    if (origin && !auth_origin_allowed(&g->portfolio->serve, *origin)) {
        struct str rest = *origin;
        rest = str_starts(rest, STR("http://"))    ? str_skip(rest, 7)
               : str_starts(rest, STR("https://")) ? str_skip(rest, 8)
                                                   : (struct str){0};
        if (!auth_is_loopback(rest))
            return (struct auth){AUTH_BAD_ORIGIN, -1};
    }
    // Without keys the first tenant described is everybody: it is where a lone user says what it
    // wants.
    return (struct auth){AUTH_OK, g->portfolio->n_tenants ? 0 : -1};
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

struct auth auth_check(const struct generation *g, const struct http1_head *head)
{
    if (auth_open(g))
        return check_open(g, head);
    struct str key = auth_key(head);
    int32_t tenant = tenant_of_key(g, key);  // hashed even when empty: the same time for both
    if (tenant >= 0)
        return (struct auth){AUTH_OK, tenant};
    return (struct auth){key.n ? AUTH_WRONG_KEY : AUTH_NO_KEY, -1};
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
