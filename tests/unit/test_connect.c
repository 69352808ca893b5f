// Connecting: names, refusals, proxies. Each story ends by itself or by a watchdog.

#include "io/loop.h"
#include "lib/side.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

// --- connecting -------------------------------------------------------------------------------

static int32_t free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    NEED(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
         getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    close(fd);
    return ntohs(a.sin_port);
}

static void a_refused_connection_says_so(void)
{
    begin();
    struct side s = {.on_closed = stop_at_close};
    int32_t port = free_port();
    dial(&s, port);
    EXPECT(s.opens == 0, "told from inside conn_connect()");
    run();
    char want[100];
    snprintf(want, sizeof want, "connect to 127.0.0.1:%d: Connection refused", port);
    EXPECT(s.opened == ERR_REFUSED && s.opens == 1 && s.closes == 1, "%s", err_name(s.opened));
    EXPECT(strcmp(s.diag.text, want) == 0, "%s", s.diag.text);
    end();
}

// A proxy that accepts and then says nothing.
static void a_silent_proxy_times_out(void)
{
    begin();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    NEED(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
    NEED(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    struct tls_client *unused = (struct tls_client *)&loop;  // never reached
    struct side s = {.on_closed = stop_at_close};
    struct conn_target t = {.host = STR("api.example"),
                            .port = 443,
                            .tls = unused,
                            .timeout_us = MS(60),
                            .proxy_host = STR("127.0.0.1"),
                            .proxy_port = ntohs(a.sin_port)};
    int64_t from = clock_now_us();
    s.c = conn_connect(loop, &t, &side_calls, &s);
    conn_send(s.c, STR("kept until it is open"));
    EXPECT(conn_pending(s.c) == 21, "%zu", conn_pending(s.c));
    run();
    int64_t took = clock_now_us() - from;
    EXPECT(s.opened == ERR_TIMEOUT && s.why == ERR_TIMEOUT, "%s", err_name(s.opened));
    EXPECT(strstr(s.diag.text, "CONNECT to api.example:443 through the proxy 127.0.0.1:"), "%s",
           s.diag.text);
    EXPECT(strstr(s.diag.text, "no answer within 0.06 s"), "%s", s.diag.text);
    EXPECT(took >= MS(60) && took < S(5), "%ld us", (long)took);
    close(fd);
    end();
}

static void an_unknown_name_says_so(void)
{
    begin();
    struct side s = {.on_closed = stop_at_close};
    struct conn_target t = {.host = STR("name.invalid"), .port = 80, .timeout_us = S(15)};
    s.c = conn_connect(loop, &t, &side_calls, &s);
    run();
    EXPECT(s.opened == ERR_RESOLVE, "%s", err_name(s.opened));
    EXPECT(strstr(s.diag.text, "DNS to name.invalid:80: ") || strstr(s.diag.text, "name.invalid"),
           "%s", s.diag.text);
    end();
}

static struct side named[3];
static int n_named;

static struct side named_served[8];
static int n_served;

static void on_accept_named(void *ctx, struct conn *c)
{
    (void)ctx;
    struct side *s = &named_served[n_served++];
    *s = (struct side){.c = c, .on_eof = close_at_eof};
    conn_set(c, &side_calls, s);
}

static void one_named_closed(struct side *s)
{
    (void)s;
    if (++n_named == 2) {  // the third comes from the cache
        struct conn_target t = {
            .host = STR("localhost"), .port = listener_port(listener), .timeout_us = S(5)};
        named[2].c = conn_connect(loop, &t, &side_calls, &named[2]);
    }
    if (n_named == 3)
        loop_stop(loop);
}

// localhost may be ::1 first, where nobody listens: the next address is tried.
static void names_are_resolved_together_and_kept(void)
{
    begin();
    n_served = 0;
    listen_with(on_accept_named);
    n_named = 0;
    for (int i = 0; i < 3; i++)
        named[i] = (struct side){.on_open = close_at_eof, .on_closed = one_named_closed};
    struct conn_target t = {
        .host = STR("localhost"), .port = listener_port(listener), .timeout_us = S(5)};
    for (int i = 0; i < 2; i++)
        named[i].c = conn_connect(loop, &t, &side_calls, &named[i]);
    run();
    for (int i = 0; i < 3; i++)
        EXPECT(named[i].opens == 1 && named[i].opened == ERR_NONE, "%d: %s", i, named[i].diag.text);
    end();
}

static void closing_while_connecting_is_quiet(void)
{
    begin();
    listen_with(on_accept_one);
    server_like = (struct side){0};
    struct side a = {0}, b = {.on_closed = stop_at_close};
    dial(&a, listener_port(listener));
    conn_close(a.c);
    struct conn_target t = {
        .host = STR("localhost"), .port = listener_port(listener), .timeout_us = S(5)};
    b.c = conn_connect(loop, &t, &side_calls, &b);
    conn_abort(b.c);
    EXPECT(a.closes == 0 && b.closes == 0, "closed from inside");
    run();
    EXPECT(a.opens == 0 && a.closes == 1 && b.opens == 0 && b.closes == 1, "%d %d", a.closes,
           b.closes);
    end();
}

int main(void)
{
    TEST(a_refused_connection_says_so);
    TEST(a_silent_proxy_times_out);
    TEST(an_unknown_name_says_so);
    TEST(names_are_resolved_together_and_kept);
    TEST(closing_while_connecting_is_quiet);
    return test_end();
}
