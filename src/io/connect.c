#include "io/connect_parts.h"

#include "base/arena.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROXY_HEAD_MAX = 8 * 1024 };

// --- TCP --------------------------------------------------------------------------------------

static void try_next(struct dial *d);

static void dial_free_if_done(struct dial *d)
{
    if (d->conn || d->handles)
        return;
    free(d->host);
    if (d->via != d->host)
        free(d->via);
    free(d->auth);
    buf_release(&d->early);
    buf_release(&d->head);
    free(d);
}

static void on_attempt_closed(uv_handle_t *handle)
{
    struct attempt *t = handle->data;
    t->dial->handles--;
    dial_free_if_done(t->dial);
}

static int attempt_end(struct attempt *t)  // returns its descriptor
{
    int fd = t->fd;
    t->fd = -1;
    t->dial->active--;
    uv_close((uv_handle_t *)&t->poll, on_attempt_closed);
    return fd;
}

static void attempts_end(struct dial *d)
{
    for (int32_t i = 0; i < d->tried; i++)
        if (d->attempts[i].fd >= 0)
            close(attempt_end(&d->attempts[i]));
}

static void note_failure(struct dial *d, int why)
{
    d->diag.e = ERR_NONE;  // the last one is the one to tell
    diag_set(&d->diag, uv_err(-why), "%s", strerror(why));
}

static void on_connected(struct dial *d, int fd, const struct address *a)
{
    struct conn *c = d->conn;
    attempts_end(d);
    timer_stop(d->loop, &d->next);
    if (!conn_take_fd(c, fd, a)) {
        dial_fail(c, ERR_SYSTEM, "no memory for another socket");
        return;
    }
    if (d->auth) {
        c->phase = CONN_PROXY;
        conn_read_on(c);
        struct buf ask;
        buf_init_secret(&ask, PROXY_HEAD_MAX);
        bool v6 = strchr(d->host, ':') != NULL;
        const char *open = v6 ? "[" : "", *shut = v6 ? "]" : "";
        buf_printf(&ask, "CONNECT %s%s%s:%d HTTP/1.1\r\nHost: %s%s%s:%d\r\n", open, d->host, shut,
                   d->port, open, d->host, shut, d->port);
        if (d->auth[0])
            buf_printf(&ask, "Proxy-Authorization: %s\r\n", d->auth);
        buf_lit(&ask, "\r\n");
        if (ask.overflow)
            dial_fail(c, ERR_LIMIT, "the request to the proxy is too long");
        else
            conn_put(c, buf_str(&ask), STR(""));
        buf_release(&ask);
    } else {
        dial_done(c);
    }
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;  // libuv reports EBADF for any error; the socket knows the real one
    (void)events;
    struct attempt *t = poll->data;
    struct dial *d = t->dial;
    turn_begin(d->loop);
    int why = 0;
    socklen_t n = sizeof why;
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &why, &n))
        why = errno;
    int fd = attempt_end(t);
    if (why == 0) {
        on_connected(d, fd, &t->address);
        return;
    }
    close(fd);
    note_failure(d, why);
    try_next(d);
}

// 0, or why not.
static int attempt_start(struct dial *d, struct attempt *t)
{
    const struct address *a = &t->address;
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int on = 1, idle_s = 60;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    int why = connect(fd, &a->u.any, address_bytes(a)) && errno != EINPROGRESS ? errno : 0;
    if (!why && uv_poll_init(&d->loop->uv, &t->poll, fd))
        why = ENOMEM;
    if (why) {
        close(fd);
        return why;
    }
    t->fd = fd;
    t->poll.data = t;
    d->active++;
    d->handles++;
    CHECK(uv_poll_start(&t->poll, UV_WRITABLE, on_poll) == 0);
    return 0;
}

// Begins with the next address. Tells nobody: what fails at once is seen by on_next().
static void try_one(struct dial *d)
{
    struct attempt *t = &d->attempts[d->tried];
    t->dial = d;
    t->fd = -1;
    t->address = d->addresses[d->tried++];
    int why = attempt_start(d, t);
    if (why)
        note_failure(d, why);
    if (why || d->tried < d->n)
        timer_set(d->loop, &d->next, d->loop->now_us + (why ? 0 : STAGGER_US));
}

static void try_next(struct dial *d)
{
    if (d->tried < d->n)
        try_one(d);
    else if (d->active == 0)
        dial_fail(d->conn, d->diag.e, "%s", d->diag.text);
}

static void on_next(struct timer *t)
{
    try_next(CONTAINER_OF(t, struct dial, next));
}

void dial_addresses(struct dial *d, const struct address *a, int32_t n)
{
    memcpy(d->addresses, a, (size_t)n * sizeof *a);
    for (int32_t i = 0; i < n; i++)
        d->addresses[i].u.v4.sin_port =
            htons((uint16_t)d->via_port);  // the same place in both kinds
    d->n = n;
    try_one(d);
}

// --- through the proxy, and the end of it -----------------------------------------------------

// The status line of a 200 is enough; what the head says beside is of no use to us.
void dial_bytes(struct conn *c, struct str bytes)
{
    struct dial *d = c->dial;
    if (!buf_add_str(&d->head, bytes)) {
        dial_fail(c, ERR_PROTOCOL, "its answer to CONNECT is too long");
        return;
    }
    struct str head = buf_str(&d->head);
    size_t end;
    if (!str_find(head, STR("\r\n\r\n"), &end))
        return;
    struct str line = head, version = {0};
    line.n = end;
    if (!str_cut(&line, ' ', &version) || !str_starts(version, STR("HTTP/1."))) {
        dial_fail(c, ERR_PROTOCOL, "it does not speak HTTP/1");
        return;
    }
    if (line.n < 3 || line.p[0] != '2') {
        struct str why = {0};
        str_cut(&line, '\r', &why);
        dial_fail(c, ERR_REFUSED, "it answered CONNECT with " STR_FMT, STR_ARG(why));
        return;
    }
    dial_done(c);
}

static void start_tls(struct conn *c, struct dial *d)
{
    struct loop *l = c->loop;
    struct diag diag = {0};
    c->phase = CONN_TLS;
    enum err e = tls_new(&c->tls, d->tls, &diag);
    if (!e)
        e = tls_start(c->tls, &l->wire, &diag);
    if (!e)
        conn_read_on(c);
    if (!e)
        conn_put(c, buf_str(&l->wire), STR(""));
    buf_clear(&l->wire);
    if (e)
        dial_fail(c, e, "%s", diag.text);
}

// One step further: after TCP (and CONNECT) comes TLS, if any, and then it is open.
void dial_done(struct conn *c)
{
    struct dial *d = c->dial;
    if (d->tls && c->phase != CONN_TLS) {
        start_tls(c, d);
        return;
    }
    struct buf early = d->early;
    buf_init(&d->early, 0);
    dial_drop(c);
    c->phase = CONN_OPEN;
    conn_read_on(c);
    if (c->paused)
        conn_pause(c);
    conn_send(c, buf_str(&early));
    buf_release(&early);
    struct diag none = {0};
    if (c->calls && c->calls->opened)
        c->calls->opened(c->ctx, ERR_NONE, &none);
}

static const char *step(const struct conn *c)
{
    switch (c->phase) {
    case CONN_PROXY: return "CONNECT";
    case CONN_TLS: return "TLS";
    default: return c->dial->lookup ? "DNS" : "connect";
    }
}

void dial_fail(struct conn *c, enum err e, const char *fmt, ...)
{
    const struct dial *d = c->dial;
    struct diag diag = {0};
    char why[DIAG_BYTES / 2];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    if (d->via == d->host || c->phase == CONN_TLS)
        diag_set(&diag, e, "%s to %s:%d: %s", step(c), d->host, d->port, why);
    else
        diag_set(&diag, e, "%s to %s:%d through the proxy %s:%d: %s", step(c), d->host, d->port,
                 d->via, d->via_port, why);
    const struct conn_calls *calls = c->calls;
    void *ctx = c->ctx;
    conn_end(c, e);  // `closed` comes later, so it is the last call even if `opened` closes
    if (calls && calls->opened)
        calls->opened(ctx, e, &diag);
}

void dial_drop(struct conn *c)
{
    struct dial *d = c->dial;
    c->dial = NULL;
    d->conn = NULL;
    timer_stop(d->loop, &d->deadline);
    timer_stop(d->loop, &d->next);
    dial_resolve_stop(d);
    attempts_end(d);
    dial_free_if_done(d);
}

void dial_early(struct conn *c, struct str bytes)
{
    if (!buf_add_str(&c->dial->early, bytes))
        conn_end(c, ERR_LIMIT);
}

size_t dial_pending(const struct conn *c)
{
    return buf_len(&c->dial->early);
}

static void on_deadline(struct timer *t)
{
    struct dial *d = CONTAINER_OF(t, struct dial, deadline);
    dial_fail(d->conn, ERR_TIMEOUT, "no answer within %g s", (double)d->timeout_us / 1e6);
}

static char *text_of(struct str s)
{
    char *p = take(s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

struct conn *conn_connect(struct loop *l, const struct conn_target *t,
                          const struct conn_calls *calls, void *ctx)
{
    struct conn *c = conn_make(l, CONN_DIALLING);
    conn_set(c, calls, ctx);
    struct dial *d = take(sizeof *d);
    c->dial = d;
    d->conn = c;
    d->loop = l;
    d->host = d->via = text_of(t->host);
    d->port = d->via_port = t->port;
    d->tls = t->tls;
    d->timeout_us = t->timeout_us;
    if (t->proxy_host.n) {
        d->via = text_of(t->proxy_host);
        d->via_port = t->proxy_port;
        if (t->tls)
            d->auth = text_of(t->proxy_auth);  // set, if empty: CONNECT is to be said
    }
    d->deadline.fire = on_deadline;
    d->next.fire = on_next;
    buf_init_secret(&d->early, PENDING_MAX);
    buf_init_secret(&c->out, PENDING_MAX);
    buf_init(&d->head, PROXY_HEAD_MAX);
    if (t->timeout_us > 0 && t->timeout_us < NEVER - l->now_us)
        timer_set(l, &d->deadline, l->now_us + t->timeout_us);
    dial_resolve(d);
    return c;
}
