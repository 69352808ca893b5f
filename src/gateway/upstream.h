// upstream.h - connections to suppliers, kept alive between attempts and over reloads. One per
// worker.
//
// A link is one connection with its reader. Idle links wait in a list per endpoint (pool and
// address, not index), newest first, and are dropped when the supplier says a word or closes, or
// after some time.

#ifndef CAUDAL_UPSTREAM_H
#define CAUDAL_UPSTREAM_H

#include "gateway/generation.h"
#include "io/loop.h"
#include "wire/http1.h"

struct upstream;
struct link;

struct link_calls {
    void (*opened)(void *ctx, enum err e,
                   const char *why);  // for a new one, or at once for a kept one
    void (*data)(void *ctx, struct str bytes);
    void (*eof)(void *ctx);
    void (*drain)(void *ctx);
    void (*lost)(void *ctx, enum err why);  // the last call; the link is gone
};

struct upstream *upstream_new(struct loop *l);
void upstream_free(struct upstream *u);  // closes all idle links; none may be in use

// A link to `ep` for one attempt: a kept one unless `fresh`. For a kept one `*reused` is true and
// it may be written to at once; for a new one `opened` comes first.
struct link *upstream_take(struct upstream *u, struct endpoint *ep, bool fresh,
                           const struct link_calls *calls, void *ctx, bool *reused);
struct conn *link_conn(struct link *k);
struct http1 *link_http(struct link *k);
// The answer is whole and the link is clean: it waits for another attempt.
void upstream_keep(struct upstream *u, struct link *k);
void upstream_drop(struct upstream *u, struct link *k);  // closes it; no call comes any more
int32_t upstream_idle(const struct upstream *u);         // links kept now

#endif
