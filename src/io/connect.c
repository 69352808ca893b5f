#include "io/loop_uv.h"

#include "base/arena.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROXY_HEAD_MAX = 8 * 1024 };

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

// --- addresses --------------------------------------------------------------------------------

socklen_t address_bytes(const struct address *a)
{
    return a->u.any.sa_family == AF_INET6 ? sizeof a->u.v6 : sizeof a->u.v4;
}

void address_text(char *out, size_t size, const struct address *a)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (a->u.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->u.v6.sin6_addr, ip, sizeof ip);
        snprintf(out, size, "[%s]:%d", ip, ntohs(a->u.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a->u.v4.sin_addr, ip, sizeof ip);
        snprintf(out, size, "%s:%d", ip, ntohs(a->u.v4.sin_port));
    }
}

bool address_parse(struct address *out, const char *host, int32_t port)
{
    memset(out, 0, sizeof *out);
    if (uv_ip4_addr(host, port, &out->u.v4) == 0)
        return true;
    memset(out, 0, sizeof *out);
    return uv_ip6_addr(host, port, &out->u.v6) == 0;
}

// --- DNS --------------------------------------------------------------------------------------

static void dial_addresses(struct dial *d, const struct address *a, int32_t n);

struct lookup {  // one question to the resolver; all who ask the same meanwhile wait for it
    uv_getaddrinfo_t request;
    struct loop *loop;
    struct lookup *next;
    struct dial *dials;
    char *host;
};

// The resolver's order, with the two families taking turns from the first on (RFC 8305 section 4).
static int32_t addresses_of(struct address *out, const struct addrinfo *found)
{
    int32_t n = 0;
    const struct addrinfo *same = found, *other = found;
    int family = found ? found->ai_family : 0;
    while (n < ADDRESSES) {
        while (same && same->ai_family != family)
            same = same->ai_next;
        while (other && other->ai_family == family)
            other = other->ai_next;
        if (!same && !other)
            break;
        const struct addrinfo **from = same && (n % 2 == 0 || !other) ? &same : &other;
        memset(&out[n], 0, sizeof out[n]);
        memcpy(&out[n].u, (*from)->ai_addr, (*from)->ai_addrlen);
        n++;
        *from = (*from)->ai_next;
    }
    return n;
}

static void remember(struct loop *l, const char *host, const struct address *a, int32_t n)
{
    struct name *place = &l->names[0];
    for (size_t i = 0; i < NAMES; i++)
        if (l->names[i].until_us < place->until_us)
            place = &l->names[i];
    free(place->host);
    place->host = strdup(host);
    CHECK(place->host);
    place->until_us = l->now_us + NAME_US;
    place->n = n;
    memcpy(place->addresses, a, (size_t)n * sizeof *a);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *q = request->data;
    struct loop *l = q->loop;
    turn_begin(l);
    struct lookup **at = &l->lookups;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;

    struct address a[ADDRESSES];
    int32_t n = status == 0 ? addresses_of(a, found) : 0;
    uv_freeaddrinfo(found);
    if (n)
        remember(l, q->host, a, n);
    while (q->dials) {
        struct dial *d = q->dials;
        q->dials = d->waiting;
        d->lookup = NULL;
        if (n)
            dial_addresses(d, a, n);
        else
            dial_fail(d->conn, ERR_RESOLVE, "%s", status ? uv_strerror(status) : "no address");
    }
    free(q->host);
    free(q);
}

static void ask_resolver(struct dial *d)
{
    struct loop *l = d->loop;
    struct lookup *q = l->lookups;
    while (q && strcmp(q->host, d->via) != 0)
        q = q->next;
    if (!q) {
        q = take(sizeof *q);
        q->loop = l;
        q->host = strdup(d->via);
        CHECK(q->host);
        q->request.data = q;
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
        int status = uv_getaddrinfo(&l->uv, &q->request, on_resolved, q->host, NULL, &hints);
        if (status) {  // a name that IDNA refuses; told later
            diag_set(&d->diag, ERR_RESOLVE, "%s", uv_strerror(status));
            timer_set(l, &d->next, l->now_us);
            free(q->host);
            free(q);
            return;
        }
        q->next = l->lookups;
        l->lookups = q;
    }
    d->lookup = q;
    d->waiting = q->dials;
    q->dials = d;
}

static void stop_waiting(struct dial *d)
{
    if (!d->lookup)
        return;
    struct dial **at = &d->lookup->dials;
    while (*at != d)
        at = &(*at)->waiting;
    *at = d->waiting;
    d->lookup = NULL;
}

void names_release(struct loop *l)
{
    for (size_t i = 0; i < NAMES; i++) {
        free(l->names[i].host);
        l->names[i].host = NULL;
    }
    for (struct lookup *q = l->lookups; q; q = q->next)
        uv_cancel((uv_req_t *)&q->request);
}

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

static void dial_addresses(struct dial *d, const struct address *a, int32_t n)
{
    memcpy(d->addresses, a, (size_t)n * sizeof *a);
    for (int32_t i = 0; i < n; i++)
        d->addresses[i].u.v4.sin_port =
            htons((uint16_t)d->via_port);  // the same place in both kinds
    d->n = n;
    try_one(d);
}

static void resolve(struct dial *d)
{
    struct loop *l = d->loop;
    struct address literal;
    if (address_parse(&literal, d->via, d->via_port)) {
        dial_addresses(d, &literal, 1);
        return;
    }
    for (size_t i = 0; i < NAMES; i++) {
        const struct name *known = &l->names[i];
        if (known->host && known->until_us > l->now_us && strcmp(known->host, d->via) == 0) {
            dial_addresses(d, known->addresses, known->n);
            return;
        }
    }
    ask_resolver(d);
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
    stop_waiting(d);
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
    resolve(d);
    return c;
}
