#include "io/loop_uv.h"

#include "base/arena.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 1024, ACCEPTS_A_TURN = 64 };

#define NO_DESCRIPTORS_US MS(100)  // how long to leave connections alone when none can be accepted
#define CROWDED_US MS(20)          // ... and when too many shake hands

struct listening {  // one socket; a process that took over one with more threads has several a loop
    uv_poll_t poll;
    struct listener *ln;
    int fd;
};

struct listener {
    struct loop *loop;
    struct listener *older, *newer;
    accept_call on_accept;
    bool (*enter)(void *ctx);  // NULL: everybody is let in
    void (*leave)(void *ctx);
    void *ctx;
    struct timer again;
    struct tls_server *tls;  // NULL: plain
    int64_t shake_us;
    struct listening *sockets;  // [n]
    int32_t n, n_open;          // n_open: those that libuv still holds
    int lock;                   // held by the first one of a process; -1: not
    int32_t port;
    bool paused, closed;
};

static void start(struct listener *ln);

static void on_again(struct timer *t)
{
    struct listener *ln = CONTAINER_OF(t, struct listener, again);
    if (!ln->paused)
        start(ln);
}

static void stop(struct listener *ln)
{
    for (int32_t i = 0; i < ln->n; i++)
        uv_poll_stop(&ln->sockets[i].poll);
}

// The sockets stay readable, so that going on would spin.
static void leave_alone(struct listener *ln, int64_t us)
{
    stop(ln);
    timer_set(ln->loop, &ln->again, ln->loop->now_us + us);
}

// The next connection's socket; -1: there is none, or it cannot be had now.
static int accepted(struct listening *from, struct address *peer)
{
    for (;;) {
        socklen_t n = sizeof peer->u;
        int fd = accept4(from->fd, &peer->u.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)  // EMFILE, ENFILE, ENOBUFS
            leave_alone(from->ln, NO_DESCRIPTORS_US);
        return -1;
    }
}

// False: no more can be had now.
static bool accept_one(struct listening *from)
{
    struct listener *ln = from->ln;
    if (ln->tls && ln->loop->handshakes >= HANDSHAKES_MAX) {
        leave_alone(ln, CROWDED_US);
        return false;
    }
    if (ln->enter && !ln->enter(ln->ctx)) {
        listener_pause(ln);
        return false;
    }
    struct address a = {0};
    int fd = accepted(from, &a);
    struct conn *c = fd < 0 ? NULL : conn_make(ln->loop, CONN_OPEN);
    bool taken = c && conn_take_fd(c, fd, &a) && (!ln->tls || conn_shake(c, ln->tls, ln->shake_us));
    if (c && !taken)
        conn_end(c, ERR_SYSTEM);  // nobody has been told of it
    if (taken) {
        ln->on_accept(ln->ctx, c);
        conn_read_on(c);
    } else if (ln->leave) {
        ln->leave(ln->ctx);
    }
    return fd >= 0;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listening *from = poll->data;
    struct listener *ln = from->ln;
    turn_begin(ln->loop);
    for (int i = 0; i < ACCEPTS_A_TURN && !ln->paused && !ln->closed; i++)
        if (!accept_one(from))
            break;
}

static void start(struct listener *ln)
{
    for (int32_t i = 0; i < ln->n; i++)
        CHECK(uv_poll_start(&ln->sockets[i].poll, UV_READABLE, on_readable) == 0);
}

void listener_pause(struct listener *ln)
{
    ln->paused = true;
    stop(ln);
}

void listener_resume(struct listener *ln)
{
    if (!ln->paused)
        return;
    ln->paused = false;
    start(ln);
}

void listener_secure(struct listener *ln, struct tls_server *tls, int64_t shake_us)
{
    ln->tls = tls;
    ln->shake_us = shake_us;
}

void listener_gate(struct listener *ln, bool (*enter)(void *ctx), void (*leave)(void *ctx))
{
    ln->enter = enter;
    ln->leave = leave;
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listening *s = handle->data;
    struct listener *ln = s->ln;
    if (--ln->n_open > 0)
        return;
    free(ln->sockets);
    free(ln);
}

void listener_close(struct listener *ln)
{
    if (!ln || ln->closed)
        return;
    ln->closed = true;
    timer_stop(ln->loop, &ln->again);
    if (ln->newer)
        ln->newer->older = ln->older;
    else
        ln->loop->listeners = ln->older;
    if (ln->older)
        ln->older->newer = ln->newer;
    for (int32_t i = 0; i < ln->n; i++) {
        uv_close((uv_handle_t *)&ln->sockets[i].poll, on_listener_closed);
        close(ln->sockets[i].fd);
    }
    if (ln->lock >= 0)
        close(ln->lock);
}

void listener_drop_all(struct loop *l)
{
    while (l->listeners)
        listener_close(l->listeners);
}

int32_t listener_port(const struct listener *ln)
{
    return ln->port;
}

int listener_socket(const struct listener *ln, int32_t i)
{
    return i < ln->n ? ln->sockets[i].fd : -1;
}

int listener_lock(const struct listener *ln)
{
    return ln->lock;
}

// --- the socket -------------------------------------------------------------------------------

static int bound_socket(const struct address *a, bool share)
{
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1, idle_s = 60;
    // SO_REUSEADDR: connections of an earlier process that still time out do not hold the port.
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (share)
        ok = ok && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0;
    // Linux lets accepted sockets inherit these.
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    if (ok && bind(fd, &a->u.any, address_bytes(a)) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

static int32_t port_of(const struct address *a)
{
    return ntohs(a->u.any.sa_family == AF_INET6 ? a->u.v6.sin6_port : a->u.v4.sin_port);
}

// An abstract Unix socket is a lock that the kernel drops with its holder. It closes the gap
// between probing a port and listening on it, in which two of us would both find it free.
static int lock_address(const struct address *a)
{
    char text[INET6_ADDRSTRLEN + 16];
    address_text(text, sizeof text, a);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int n = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "caudal:%s", text);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if (bind(fd, (struct sockaddr *)&name, size) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

// Between processes SO_REUSEPORT would let two servers share a port in silence. A socket without it
// cannot be bound where another listens.
static bool nobody_listens(const struct address *a)
{
    int probe = bound_socket(a, false);
    if (probe < 0)
        return false;
    close(probe);
    return true;
}

static enum err resolve_now(struct address *out, struct str host, int32_t port, struct diag *diag)
{
    char name[256];
    if (host.n == 0 || host.n >= sizeof name)
        return diag_set(diag, ERR_INVALID, "the host to listen on must have 1 to 255 characters");
    if (port < 0 || port > 65535)
        return diag_set(diag, ERR_INVALID, "port %d is not from 0 to 65535", port);
    snprintf(name, sizeof name, STR_FMT, STR_ARG(host));
    if (address_parse(out, name, port))
        return ERR_NONE;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found;
    int status = getaddrinfo(name, NULL, &hints, &found);
    if (status)
        return diag_set(diag, ERR_RESOLVE, "cannot listen on %s: %s", name, gai_strerror(status));
    memset(out, 0, sizeof *out);
    memcpy(&out->u, found->ai_addr, found->ai_addrlen);
    out->u.v4.sin_port = htons((uint16_t)port);  // the same place in both kinds
    freeaddrinfo(found);
    return ERR_NONE;
}

static enum err refused(struct diag *diag, struct str host, int32_t port)
{
    int why = errno;
    if (why == EADDRINUSE)
        return diag_set(diag, ERR_EXISTS, "port %d on " STR_FMT " is in use by another program",
                        port, STR_ARG(host));
    return diag_set(diag, why == EACCES || why == EPERM ? ERR_DENIED : ERR_SYSTEM,
                    "cannot listen on port %d of " STR_FMT ": %s", port, STR_ARG(host),
                    strerror(why));
}

// Owns the descriptors on success; paused until start().
static bool listener_make(struct listener **out, struct loop *l, const int *fds, int32_t n,
                          int lock, accept_call on_accept, void *ctx)
{
    struct address a = {0};
    socklen_t size = sizeof a.u;
    if (getsockname(fds[0], &a.u.any, &size))
        return false;
    struct listener *ln = take(sizeof *ln);
    *ln = (struct listener){.loop = l,
                            .on_accept = on_accept,
                            .ctx = ctx,
                            .sockets = take_n(sizeof *ln->sockets, (size_t)n),
                            .n = n,
                            .n_open = n,
                            .lock = lock,
                            .port = port_of(&a),
                            .again = {.fire = on_again}};
    for (int32_t i = 0; i < n; i++) {
        struct listening *s = &ln->sockets[i];
        s->ln = ln;
        s->fd = fds[i];
        s->poll.data = s;
        CHECK(uv_poll_init(&l->uv, &s->poll, fds[i]) == 0);
    }
    ln->older = l->listeners;
    if (ln->older)
        ln->older->newer = ln;
    l->listeners = ln;
    *out = ln;
    return true;
}

enum err listener_adopt(struct listener **out, struct loop *l, const int *fds, int32_t n, int lock,
                        accept_call on_accept, void *ctx, struct diag *diag)
{
    if (!listener_make(out, l, fds, n, lock, on_accept, ctx))
        return diag_set(diag, ERR_SYSTEM, "a socket that was handed over cannot be used: %s",
                        strerror(errno));
    (*out)->paused = true;
    return ERR_NONE;
}

enum err listener_new(struct listener **out, struct loop *l, struct str host, int32_t port,
                      bool first, accept_call on_accept, void *ctx, struct diag *diag)
{
    struct address a = {0};
    enum err e = resolve_now(&a, host, port, diag);
    if (e)
        return e;
    int fd = -1, lock = -1;
    if (first && port) {
        lock = lock_address(&a);
        if (lock < 0 || !nobody_listens(&a))
            goto failed;
    }
    fd = bound_socket(&a, true);
    if (fd < 0)
        goto failed;
    socklen_t n = sizeof a.u;
    if (getsockname(fd, &a.u.any, &n))
        goto failed;
    if (first && !port)
        lock = lock_address(&a);
    if ((first && lock < 0) || listen(fd, BACKLOG))
        goto failed;

    if (!listener_make(out, l, &fd, 1, lock, on_accept, ctx))
        goto failed;
    start(*out);
    return ERR_NONE;

failed:
    e = refused(diag, host, port);
    if (fd >= 0)
        close(fd);
    if (lock >= 0)
        close(lock);
    return e;
}
