// connect_parts.h - a connection on its way. Private to connect.c and resolve.c.

#ifndef CAUDAL_CONNECT_PARTS_H
#define CAUDAL_CONNECT_PARTS_H

#include "io/loop_uv.h"

struct attempt {  // one address being tried
    uv_poll_t poll;
    struct dial *dial;
    struct address address;
    int fd;  // -1: over
};

// A connection on its way. It outlives its connection only until libuv has let go of the attempts.
struct dial {
    struct conn *conn;  // NULL: dropped
    struct loop *loop;
    char *host, *via;  // who is meant, and whom we connect to: it or the proxy
    int32_t port, via_port;
    char *auth;
    struct tls_client *tls;
    int64_t timeout_us;
    struct timer deadline, next;
    struct lookup *lookup;  // waits for this question ...
    struct dial *waiting;   // ... together with these
    struct address addresses[ADDRESSES];
    struct attempt attempts[ADDRESSES];
    int32_t n, tried, active;  // addresses; begun; begun and not over
    int32_t handles;           // that libuv still holds
    struct buf early;          // sent before it was open
    struct buf head;           // the proxy's answer
    struct diag diag;          // of the last address that failed
};

// resolve.c: asks for the addresses of d->via, unless they are remembered or it is one itself.
void dial_resolve(struct dial *d);
void dial_resolve_stop(struct dial *d);  // it wants no answer any more

// connect.c: they are these, at least one.
void dial_addresses(struct dial *d, const struct address *a, int32_t n);

#endif
