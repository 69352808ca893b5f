#include "gateway/generation.h"
#include "gateway/auth.h"

#include <stdlib.h>

enum { GENERATION_BYTES_MAX = 64 * 1024 * 1024 };

enum err url_parse(struct url *out, struct str text, struct diag *diag)
{
    *out = (struct url){0};
    struct str rest = text;
    if (str_starts(rest, STR("https://"))) {
        out->tls = true;
        rest = str_skip(rest, 8);
    } else if (str_starts(rest, STR("http://"))) {
        rest = str_skip(rest, 7);
    } else {
        return diag_set(diag, ERR_INVALID, "a URL begins with http:// or https://");
    }
    for (size_t i = 0; i < rest.n; i++)
        if ((unsigned char)rest.p[i] <= ' ' || rest.p[i] == '?' || rest.p[i] == '#' ||
            rest.p[i] == 0x7f)
            return diag_set(diag, ERR_INVALID, "a supplier's URL has no query, fragment or blanks");
    size_t slash;
    struct str authority = rest;
    if (str_find(rest, STR("/"), &slash)) {
        authority.n = slash;
        out->path = str_skip(rest, slash);
    }
    while (out->path.n && out->path.p[out->path.n - 1] == '/')
        out->path.n--;
    size_t at;
    if (str_find(authority, STR("@"), &at)) {
        out->userinfo = (struct str){authority.p, at};
        authority = str_skip(authority, at + 1);
    }
    struct str port = {0};
    size_t end;
    if (authority.n && authority.p[0] == '[' && str_find(authority, STR("]"), &end)) {
        out->bracketed = true;
        out->host = (struct str){authority.p + 1, end - 1};
        port = str_skip(authority, end + 1);
        if (port.n && port.p[0] != ':')
            return diag_set(diag, ERR_INVALID, "after ']' of a URL's host comes ':' and a port");
        port = str_skip(port, 1);
    } else if (str_find(authority, STR(":"), &end)) {
        out->host = (struct str){authority.p, end};
        port = str_skip(authority, end + 1);
    } else {
        out->host = authority;
    }
    if (!out->host.n)
        return diag_set(diag, ERR_INVALID, "the URL has no host");
    int64_t n = out->tls ? 443 : 80;
    if (port.n && (!str_to_i64(port, &n) || n < 1 || n > 65535))
        return diag_set(diag, ERR_INVALID, "the URL's port is not between 1 and 65535");
    out->port = (int32_t)n;
    return ERR_NONE;
}

static bool is_loopback(struct str host)
{
    return str_eq(host, STR("localhost")) || str_eq(host, STR("::1")) ||
           str_starts(host, STR("127."));
}

// NO_PROXY as curl reads it: a list of host suffixes, or '*'.
static bool bypasses_proxy(struct str no_proxy, struct str host)
{
    struct str item;
    while (str_cut(&no_proxy, ',', &item)) {
        item = str_trim(item);
        if (item.n && item.p[0] == '.')
            item = str_skip(item, 1);
        if (!item.n)
            continue;
        if (str_eq(item, STR("*")) || str_eq_nocase(item, host))
            return true;
        if (host.n > item.n && host.p[host.n - item.n - 1] == '.' &&
            str_eq_nocase((struct str){host.p + host.n - item.n, item.n}, item))
            return true;
    }
    return false;
}

static struct str base64(struct arena *a, struct str in)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = arena_take(a, (in.n + 2) / 3 * 4 + 1);
    if (!out)
        return (struct str){0};
    size_t n = 0;
    for (size_t i = 0; i < in.n; i += 3) {
        uint32_t v = 0;
        for (size_t j = 0; j < 3; j++)
            v = v << 8 | (i + j < in.n ? (unsigned char)in.p[i + j] : 0);
        for (size_t j = 0; j < 4; j++)
            out[n++] = i + j > in.n ? '=' : digits[v >> (18 - 6 * j) & 63];
    }
    return (struct str){out, n};
}

static enum err set_proxy(struct arena *a, struct endpoint *ep, struct str proxy, struct diag *diag)
{
    struct url u;
    struct diag why = {0};
    enum err e = url_parse(&u, proxy, &why);
    if (!e && u.tls)
        e = diag_set(&why, ERR_INVALID, "a proxy is called over http://");
    if (e)
        return diag_set(diag, e, STR_FMT ": the proxy's URL: %s", STR_ARG(ep->name), why.text);
    ep->proxy_host = arena_str(a, u.host);
    ep->proxy_port = u.port;
    if (u.userinfo.n) {
        struct str b = base64(a, u.userinfo);
        ep->proxy_auth = arena_printf(a, "Basic " STR_FMT, STR_ARG(b));
    }
    return ERR_NONE;
}

enum err endpoint_proxy(struct endpoint *ep, struct arena *a, struct str https_proxy,
                        struct str no_proxy, struct diag *diag)
{
    if (!https_proxy.n || str_eq(https_proxy, STR("none")) || !ep->tls || is_loopback(ep->host) ||
        bypasses_proxy(no_proxy, ep->host))
        return ERR_NONE;
    return set_proxy(a, ep, https_proxy, diag);
}

struct endpoint_from {
    struct str name, url, key;
    int32_t supplier;
    struct str https_proxy, no_proxy;
};

static uint64_t hash_of(const struct endpoint *ep, const struct supplier *s, uint64_t seed)
{
    const struct str texts[] = {ep->name, ep->host, ep->proxy_host, ep->proxy_auth, s->ca_file};
    const int64_t numbers[] = {ep->tls ? 1 : 0, s->run.n_argv ? 0 : atomic_load(&ep->port),
                               ep->proxy_port, s->insecure};
    uint64_t h = seed;
    for (size_t i = 0; i < COUNTOF(texts); i++)
        h = str_hash(texts[i], h + i);
    return str_hash((struct str){(const char *)numbers, sizeof numbers}, h);
}

static enum err endpoint_init(struct generation *g, struct endpoint *ep,
                              const struct endpoint_from *from, struct diag *diag)
{
    const struct supplier *s = &g->portfolio->suppliers[from->supplier];
    ep->supplier = from->supplier;
    ep->name = from->name;
    ep->connect_us = s->connect_us;
    ep->first_byte_us = s->first_byte_us;
    ep->idle_us = s->idle_us;
    if (from->key.n)
        ep->authorization = arena_printf(&g->arena, "Bearer " STR_FMT, STR_ARG(from->key));
    if (s->run.n_argv) {  // its port is known when it is ready
        ep->host = STR("127.0.0.1");
        ep->host_header = STR("127.0.0.1");
        ep->base = STR("/v1");
        return ERR_NONE;
    }
    struct url u;
    struct diag why = {0};
    enum err e = url_parse(&u, from->url, &why);
    if (e)
        return diag_set(diag, e, STR_FMT ": url: %s", STR_ARG(from->name), why.text);
    ep->host = arena_str(&g->arena, u.host);
    ep->base = arena_str(&g->arena, u.path);
    atomic_store(&ep->port, u.port);
    const char *open = u.bracketed ? "[" : "", *close = u.bracketed ? "]" : "";
    ep->host_header =
        u.port == (u.tls ? 443 : 80)
            ? arena_printf(&g->arena, "%s" STR_FMT "%s", open, STR_ARG(u.host), close)
            : arena_printf(&g->arena, "%s" STR_FMT "%s:%d", open, STR_ARG(u.host), close, u.port);
    if (u.tls) {
        struct tls_config c = {
            .ca_file = s->ca_file, .insecure = s->insecure, .server_name = ep->host};
        e = tls_client_new(&ep->tls, &c, &why);
        if (e)
            return diag_set(diag, e, STR_FMT ": %s", STR_ARG(from->name), why.text);
        g->tls[g->n_tls++] = ep->tls;
    }
    if (!s->proxy.n)
        return endpoint_proxy(ep, &g->arena, from->https_proxy, from->no_proxy, diag);
    return str_eq(s->proxy, STR("none")) ? ERR_NONE : set_proxy(&g->arena, ep, s->proxy, diag);
}

// The numbers that the ledger knows names by: each request needs a dozen. False: no room.
static bool number_names(struct generation *g)
{
    const struct portfolio *p = g->portfolio;
#define NUMBER(kind, list)                                                 \
    if (!(g->ids[kind] = arena_new(&g->arena, uint64_t, p->n_##list + 1))) \
        return false;                                                      \
    for (int32_t i = 0; i < p->n_##list; i++)                              \
        g->ids[kind][i] = record_id(kind, p->list[i].name);
    NUMBER(RECORD_TENANT, tenants)
    NUMBER(RECORD_POOL, pools)
    NUMBER(RECORD_SUPPLIER, suppliers)
    NUMBER(RECORD_CONTRACT, contracts)
    NUMBER(RECORD_MODEL, models)
    NUMBER(RECORD_CLASS, classes)
#undef NUMBER
    return true;
}

static enum err build(struct generation *g, struct str https_proxy, struct str no_proxy,
                      struct diag *diag)
{
    const struct portfolio *p = g->portfolio;
    struct arena *a = &g->arena;
    g->n_endpoints = p->n_pools + p->n_suppliers;
    g->endpoints = arena_new(a, struct endpoint, g->n_endpoints);
    g->tls = arena_new(a, struct tls_client *, g->n_endpoints);
    g->services = arena_new(a, struct service *, p->n_pools);
    if (!g->endpoints || !g->tls || !g->services)
        return diag_set(diag, ERR_LIMIT, "the portfolio is too large");
    for (int32_t i = 0; i < g->n_endpoints; i++) {
        struct endpoint *ep = &g->endpoints[i];
        ep->index = i;
        bool is_pool = i < p->n_pools;
        const struct pool *pool = is_pool ? &p->pools[i] : NULL;
        int32_t supplier = is_pool ? pool->supplier : i - p->n_pools;
        const struct supplier *s = &p->suppliers[supplier];
        struct endpoint_from from = {.supplier = supplier,
                                     .name = is_pool ? pool->name : s->name,
                                     .url = is_pool && pool->url.n ? pool->url : s->url,
                                     .key = is_pool && pool->key.n ? pool->key : s->key,
                                     .https_proxy = https_proxy,
                                     .no_proxy = no_proxy};
        if (!api_speaks_openai(s->api) || (!from.url.n && !s->run.n_argv))
            continue;  // it can be planned with, and not called
        enum err e = endpoint_init(g, ep, &from, diag);
        if (e)
            return e;
        ep->id = (struct endpoint_id){hash_of(ep, s, 0x6c696e6b), hash_of(ep, s, 0x6964)};
    }
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct pool *pool = &p->pools[i];
        g->services[i] = arena_new(a, struct service, pool->n_serves);
        if (!g->services[i])
            return diag_set(diag, ERR_LIMIT, "the portfolio is too large");
        for (int32_t k = 0; k < pool->n_serves; k++)
            service_of(&g->services[i][k], p, pool, pool->serves[k].model);
    }
    if (!number_names(g))
        return diag_set(diag, ERR_LIMIT, "the portfolio is too large");
    return auth_build(g, diag);
}

enum err generation_new(struct generation **out, const struct portfolio *p, struct str https_proxy,
                        struct str no_proxy, struct diag *diag)
{
    struct generation *g = take(sizeof *g);
    arena_init(&g->arena, GENERATION_BYTES_MAX);
    g->portfolio = p;
    atomic_store(&g->users, 1);
    enum err e = build(g, https_proxy, no_proxy, diag);
    if (e) {
        generation_drop(g);
        return e;
    }
    *out = g;
    return ERR_NONE;
}

void generation_hold(struct generation *g)
{
    atomic_fetch_add(&g->users, 1);
}

void generation_drop(struct generation *g)
{
    // Read before: once nobody holds it, its owner may free it at any time.
    void (*unused)(void *owner) = g->unused;
    void *owner = g->owner;
    if (atomic_fetch_sub(&g->users, 1) != 1)
        return;
    if (unused)
        unused(owner);
    else
        generation_free(g);
}

void generation_free(struct generation *g)
{
    for (int32_t i = 0; i < g->n_tls; i++)
        tls_client_free(g->tls[i]);
    arena_release(&g->arena);
    free(g);
}

struct endpoint *generation_pool(struct generation *g, int32_t pool)
{
    CHECK(pool >= 0 && pool < g->portfolio->n_pools);
    return &g->endpoints[pool];
}

struct endpoint *generation_supplier(struct generation *g, int32_t supplier)
{
    CHECK(supplier >= 0 && supplier < g->portfolio->n_suppliers);
    return &g->endpoints[g->portfolio->n_pools + supplier];
}

enum { HEAD_WORDS_BYTES = 128 };  // what is ours in it

void generation_write_head(const struct generation *g, const struct endpoint *ep, struct str method,
                           struct str path, struct buf *out)
{
    bool plain_proxy = ep->proxy_host.n && !ep->tls;  // it is told the whole address
    char *at;
    size_t n = method.n + 2 * ep->host_header.n + ep->base.n + path.n + ep->authorization.n +
               ep->proxy_auth.n + HEAD_WORDS_BYTES;
    if (!buf_reserve(out, n, &at))
        return;
    at = put_str(at, method);
    at = put_lit(at, " ");
    if (plain_proxy) {
        at = put_lit(at, "http://");
        at = put_str(at, ep->host_header);
    }
    at = put_str(at, ep->base);
    at = put_str(at, path);
    at = put_lit(at, " HTTP/1.1\r\nHost: ");
    at = put_str(at, ep->host_header);
    if (g->portfolio->suppliers[ep->supplier].run.n_argv) {
        at = put_lit(at, ":");
        at = put_int(at, atomic_load(&ep->port));
    }
    if (ep->authorization.n) {
        at = put_lit(at, "\r\nAuthorization: ");
        at = put_str(at, ep->authorization);
    }
    if (plain_proxy && ep->proxy_auth.n) {
        at = put_lit(at, "\r\nProxy-Authorization: ");
        at = put_str(at, ep->proxy_auth);
    }
    buf_put(out, put_lit(at, "\r\n"));
}

const struct service *generation_service(const struct generation *g, int32_t pool, int32_t model)
{
    const struct pool *p = &g->portfolio->pools[pool];
    for (int32_t k = 0; k < p->n_serves; k++)
        if (p->serves[k].model == model)
            return &g->services[pool][k];
    return NULL;
}
