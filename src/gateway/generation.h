// generation.h - one portfolio in use: the data, the router over it, and what is needed to call its
// pools. A request holds the generation it began with, so that a reload changes nothing under it.

#ifndef CAUDAL_GENERATION_H
#define CAUDAL_GENERATION_H

#include "base/buf.h"
#include "gateway/names.h"
#include "io/record.h"
#include "io/tls.h"
#include "portfolio/portfolio.h"
#include "portfolio/service.h"
#include "route/live.h"
#include "route/route.h"

#include <stdatomic.h>

// Where and how a pool (or, for passthrough, a supplier) is called.
struct endpoint_id {  // the same for the same pool at the same address, in every generation
    uint64_t a, b;
};

struct endpoint {
    int32_t index;  // in generation.endpoints
    struct endpoint_id id;
    int32_t supplier;
    struct str name;  // of the pool or supplier, for messages
    struct str host;
    _Atomic int32_t port;      // 0: an engine of ours that is not ready
    struct str base;           // path before what follows /v1: "/v1", "/openai/v1"
    struct str host_header;    // "api.openai.com", "127.0.0.1:8081"; engines: made when called
    struct str authorization;  // value of the header; empty: none. A secret
    struct tls_client *tls;    // NULL: plain
    struct str proxy_host;
    int32_t proxy_port;
    struct str proxy_auth;
    int64_t connect_us, first_byte_us, idle_us;
    _Atomic int64_t
        warned_until_us;  // that its key or its money is refused: once while it is left alone
};

struct generation {
    struct arena arena;
    const struct portfolio *portfolio;
    struct names_map names;      // of the portfolio's indices
    struct route *route;         // made by core_adopt()
    int64_t serial;              // 1 for the first of the process
    int64_t adopted;             // by core_adopt(): 1 for the first; the event log calls it so
    struct endpoint *endpoints;  // [n_pools + n_suppliers]: pools first
    int32_t n_endpoints;
    struct service **services;  // [n_pools][n_serves of the pool]
    struct tls_client **tls;    // [n_tls], owned
    int32_t n_tls;
    struct auth_slot *auth;  // keys by digest, see auth.h
    int32_t n_auth;
    struct key *keys;  // [n_keys], of the portfolio
    int32_t n_keys;
    uint64_t *ids[RECORD_KEY];         // by kind and index: record_id() of the portfolio's names
    struct generation_limits *limits;  // made by limits_adopt()
    struct str *tenant_regions;
    _Atomic int32_t users;  // requests and workers that hold it
    // Called by whoever drops it last, on any thread: the owner looks at `users`, and calls
    // generation_free() where that is 0. NULL: it is freed at once.
    void (*unused)(void *owner);
    void *owner;
};

// Builds it over a sealed portfolio that outlives it, but for its router and its names, which what
// the generations share has a say in: core_adopt(), names_map(). `getenv_proxy` style settings are
// read by the caller and given.
//   Errors  ERR_INVALID  a URL that cannot be used; ERR_MISSING a CA file; `diag` says
MUST_USE enum err generation_new(struct generation **out, const struct portfolio *p,
                                 struct str https_proxy, struct str no_proxy, struct diag *diag);
void generation_hold(struct generation *g);
void generation_drop(struct generation *g);  // its last user ends it
void generation_free(struct generation *g);  // which nobody uses

// The proxy of the environment, for an endpoint over TLS that is not on this machine and not among
// `no_proxy`. Texts are kept in `a`.
//   Errors  ERR_INVALID  the proxy's URL cannot be used
MUST_USE enum err endpoint_proxy(struct endpoint *ep, struct arena *a, struct str https_proxy,
                                 struct str no_proxy, struct diag *diag);
struct endpoint *generation_pool(struct generation *g, int32_t pool);
struct endpoint *generation_supplier(struct generation *g, int32_t supplier);
// Appends to `out` what each request to `ep` begins with: its first line, Host and credentials.
// `path` follows what stands for "/v1".
void generation_write_head(const struct generation *g, const struct endpoint *ep, struct str method,
                           struct str path, struct buf *out);
const struct service *generation_service(const struct generation *g, int32_t pool, int32_t model);

// Splits "https://user:pw@host:8443/openai/v1" into its parts. ERR_INVALID says what is wrong.
struct url {
    bool tls;
    struct str userinfo, host;  // host without brackets
    bool bracketed;
    int32_t port;
    struct str path;  // without a trailing '/'; may be empty
};
MUST_USE enum err url_parse(struct url *out, struct str text, struct diag *diag);

#endif
