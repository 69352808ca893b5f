#include "gateway/limits_inside.h"

#include "gateway/client.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum { LIMITS_BYTES_MAX = 64 * 1024 * 1024 };

enum err limits_new(struct limits **out, struct diag *diag)
{
    struct limits *l = take(sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    arena_init(&l->arena, LIMITS_BYTES_MAX);
    if (quota_new(&l->quota, &l->arena, QUOTA_PLACES_MAX)) {
        limits_free(l);
        return diag_set(diag, ERR_LIMIT, "the counts of limits do not fit their memory");
    }
    *out = l;
    return ERR_NONE;
}

void limits_free(struct limits *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    arena_release(&l->arena);
    free(l->payers);
    free(l);
}

// --- who must let somebody in -------------------------------------------------------------------

int32_t limits_levels(const struct generation *g, int32_t tenant, const struct key *key,
                      struct quota_level levels[QUOTA_LEVELS_MAX])
{
    int32_t n = 0;
    if (key && key->place >= 0)
        levels[n++] = (struct quota_level){key->place, &key->said.allowance};
    const struct limits_of *of = tenant < 0 ? NULL : &g->limits->of[tenant];
    for (int32_t i = 0; of && i < of->n; i++)
        levels[n++] = of->level[i];
    return n;
}

const struct quota_level *limits_shadow(const struct generation *g, int32_t pool)
{
    const struct quota_level *level = &g->limits->shadow[pool];
    return level->place >= 0 ? level : NULL;
}

// --- what is only compared ----------------------------------------------------------------------

// "10.0.0.7:50312", "[::1]:50312"
static bool read_peer(struct str peer, unsigned char address[16])
{
    char text[64];
    size_t colon = peer.n;
    while (colon && peer.p[colon - 1] != ':')
        colon--;
    struct str host = {peer.p, colon ? colon - 1 : peer.n};
    if (host.n > 1 && host.p[0] == '[')
        host = (struct str){host.p + 1, host.n - 2};
    if (!host.n || host.n >= sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = 0;
    memset(address, 0, 16);
    if (inet_pton(AF_INET, text, address + 12) == 1) {
        memset(address + 10, 0xff, 2);
        return true;
    }
    return inet_pton(AF_INET6, text, address) == 1;
}

static bool may_come_from(const struct allowance *a, const struct client *c)
{
    unsigned char address[16];
    if (a->n_addresses < 0)
        return true;
    if (!read_peer(client_peer(c), address))
        return false;
    for (int32_t i = 0; i < a->n_addresses; i++)
        if (net_holds(&a->addresses[i], address))
            return true;
    return false;
}

enum limits_bar limits_bar(const struct generation *g, int32_t tenant, const struct key *key,
                           const struct client *c, int64_t wall_us)
{
    const struct portfolio *p = g->portfolio;
    if (key && key->said.allowance.until_us <= wall_us)
        return LIMITS_KEY_ENDED;
    if (key && !may_come_from(&key->said.allowance, c))
        return LIMITS_ADDRESS;
    for (int32_t up = tenant; up >= 0; up = p->tenants[up].of) {
        const struct allowance *a = &p->tenants[up].allowance;
        if (a->until_us <= wall_us)
            return LIMITS_TENANT_ENDED;
        if (!may_come_from(a, c))
            return LIMITS_ADDRESS;
    }
    return LIMITS_MAY;
}

static bool has_name(const struct str *names, int32_t n, struct str name)
{
    for (int32_t i = 0; i < n; i++)
        if (str_eq(names[i], name))
            return true;
    return n < 0;
}

static bool has_index(const int32_t *all, int32_t n, int32_t one)
{
    for (int32_t i = 0; i < n; i++)
        if (all[i] == one)
            return true;
    return n < 0;
}

bool limits_may_model(const struct generation *g, int32_t tenant, const struct key *key,
                      int32_t model)
{
    const struct portfolio *p = g->portfolio;
    const struct tenant *t = tenant < 0 ? NULL : &p->tenants[tenant];
    if (t && !has_index(t->models, t->n_models, model))
        return false;
    return !key || has_name(key->said.models, key->said.n_models, p->models[model].name);
}

bool limits_may_class(const struct generation *g, int32_t tenant, const struct key *key,
                      int32_t class)
{
    const struct portfolio *p = g->portfolio;
    const struct tenant *t = tenant < 0 ? NULL : &p->tenants[tenant];
    if (t && !has_index(t->classes, t->n_classes, class))
        return false;
    return !key || has_name(key->said.classes, key->said.n_classes, p->classes[class].name);
}

bool limits_alone(const struct key *key)
{
    return key && key->said.n_models >= 0;
}

// --- what is counted ----------------------------------------------------------------------------

static void show(const struct quota *q, const struct quota_level *levels, int32_t n,
                 const struct quota_ask *ask, struct admission *a)
{
    struct limits_shown *s = &a->shown;
    *s = (struct limits_shown){.requests_limit = -1, .tokens_limit = -1};
    int32_t requests = quota_tightest(q, levels, n, false, ask->now_us);
    int32_t tokens = quota_tightest(q, levels, n, true, ask->now_us);
    if (requests >= 0) {
        struct quota_view v = quota_rates(q, &levels[requests], ask->now_us);
        s->requests_limit = v.requests_limit;
        s->requests_left = v.requests_limit - v.requests;
        s->requests_reset_us = v.requests_reset_us;
    }
    if (tokens >= 0) {
        struct quota_view v = quota_rates(q, &levels[tokens], ask->now_us);
        s->tokens_limit = v.tokens_limit;
        s->tokens_left = v.tokens_limit - v.tokens;
        s->tokens_reset_us = v.tokens_reset_us;
    }
    a->limited = requests >= 0 || tokens >= 0;
}

bool limits_take(struct limits *l, const struct quota_level *levels, int32_t n,
                 const struct quota_ask *ask, struct admission *a, struct quota_refusal *why)
{
    pthread_mutex_lock(&l->lock);
    bool in = quota_take(l->quota, levels, n, ask, &a->ticket, why);
    show(l->quota, levels, n, ask, a);
    pthread_mutex_unlock(&l->lock);
    return in;
}

void limits_settle(struct limits *l, struct admission *a, int32_t tokens, int64_t charged_nusd,
                   int64_t now_us)
{
    if (!a->ticket.n)
        return;
    pthread_mutex_lock(&l->lock);
    quota_settle(l->quota, &a->ticket, tokens, charged_nusd, now_us);
    pthread_mutex_unlock(&l->lock);
}

void limits_give_back(struct limits *l, struct admission *a, int64_t now_us)
{
    if (!a->ticket.n)
        return;
    pthread_mutex_lock(&l->lock);
    quota_give_back(l->quota, &a->ticket, now_us);
    pthread_mutex_unlock(&l->lock);
}

struct quota_view limits_look(struct limits *l, const struct quota_level *level, int64_t now_us,
                              int64_t wall_us)
{
    pthread_mutex_lock(&l->lock);
    struct quota_view v = quota_look(l->quota, level, now_us, wall_us);
    pthread_mutex_unlock(&l->lock);
    return v;
}
