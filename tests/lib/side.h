// side.h - sides of connections that count what happens to them, on a loop with a watchdog.
//
//   begin() -> listen_with(), dial() -> run(), until a story calls loop_stop() -> end()

#ifndef CAUDAL_TESTS_SIDE_H
#define CAUDAL_TESTS_SIDE_H

#include "io/loop.h"
#include "lib/test.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static struct loop *loop;
static struct timer watchdog;
static bool bitten;

static inline void on_bite(struct timer *t)
{
    (void)t;
    bitten = true;
    loop_stop(loop);
}

static inline void begin(void)
{
    struct diag diag = {0};
    NEED(loop_new(&loop, &diag) == ERR_NONE);
    bitten = false;
    watchdog = (struct timer){.fire = on_bite};
}

static inline void run(void)
{
    timer_set(loop, &watchdog, clock_now_us() + S(20));
    loop_run(loop);
    timer_stop(loop, &watchdog);
    EXPECT(!bitten, "stopped by the watchdog");
}

static inline void end(void)
{
    loop_free(loop);
    loop = NULL;
}

struct side {
    struct conn *c;
    size_t got;  // bytes
    int reads, eofs, opens, closes, drains;
    enum err opened, why;
    struct diag diag;
    void (*on_data)(struct side *s, struct str bytes);
    void (*on_open)(struct side *s);
    void (*on_eof)(struct side *s);
    void (*on_drain)(struct side *s);
    void (*on_closed)(struct side *s);
};

static inline void side_data(void *ctx, struct str bytes)
{
    struct side *s = ctx;
    s->got += bytes.n;
    s->reads++;
    if (s->on_data)
        s->on_data(s, bytes);
}

static inline void side_eof(void *ctx)
{
    struct side *s = ctx;
    s->eofs++;
    if (s->on_eof)
        s->on_eof(s);
}

static inline void side_drain(void *ctx)
{
    struct side *s = ctx;
    s->drains++;
    if (s->on_drain)
        s->on_drain(s);
}

static inline void side_opened(void *ctx, enum err e, const struct diag *diag)
{
    struct side *s = ctx;
    s->opens++;
    s->opened = e;
    s->diag = *diag;
    if (s->on_open)
        s->on_open(s);
}

static inline void side_closed(void *ctx, enum err why)
{
    struct side *s = ctx;
    s->closes++;
    s->why = why;
    s->c = NULL;
    if (s->on_closed)
        s->on_closed(s);
}

static const struct conn_calls side_calls = {side_data, side_eof, side_drain, side_opened,
                                             side_closed};

static struct listener *listener;
static struct side server;       // the last one accepted
static struct side server_like;  // what it is made from

static inline void on_accept_one(void *ctx, struct conn *c)
{
    (void)ctx;
    server = server_like;
    server.c = c;
    conn_set(c, &side_calls, &server);
}

static inline void listen_with(accept_call on_accept)
{
    struct diag diag = {0};
    enum err e = listener_new(&listener, loop, STR("127.0.0.1"), 0, true, on_accept, NULL, &diag);
    if (e)
        printf("  %s\n", diag.text);
    NEED(e == ERR_NONE);
}

static inline struct conn *dial(struct side *s, int32_t port)
{
    struct conn_target t = {.host = STR("127.0.0.1"), .port = port, .timeout_us = S(5)};
    s->c = conn_connect(loop, &t, &side_calls, s);
    return s->c;
}

static inline void stop_at_close(struct side *s)
{
    (void)s;
    loop_stop(loop);
}

static inline void close_at_eof(struct side *s)
{
    conn_close(s->c);
}

// A blocking socket of the test's own, for a thread.
static inline int raw_connect(int32_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    NEED(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    return fd;
}

#endif
