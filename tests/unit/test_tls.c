// TLS towards suppliers against an OpenSSL server in threads of its own, with authorities made
// here. This and test_tls_server.c alone see OpenSSL.

#include "io/loop.h"
#include "io/tls.h"
#include "lib/identity.h"
#include "lib/test.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

// --- a server -----------------------------------------------------------------------------------
// Greets with "new" or "resumed", the name it was asked for and the protocol, then does what a
// letter tells it.

enum { LOTS = 5 * 1000 * 1000 };

struct server {
    SSL_CTX *context;
    int fd;
    int32_t port;
    pthread_t thread;
};

static int listen_raw(int32_t *port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    NEED(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 16) == 0);
    NEED(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static void set_limits(int fd)
{
    struct timeval limit = {.tv_sec = 10};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

static void talk(SSL *ssl)
{
    char text[200], letter;
    const unsigned char *alpn = NULL;
    unsigned alpn_n = 0;
    SSL_get0_alpn_selected(ssl, &alpn, &alpn_n);
    const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    int n = snprintf(text, sizeof text, "%s %s %.*s\n", SSL_session_reused(ssl) ? "resumed" : "new",
                     sni ? sni : "-", (int)alpn_n, alpn ? (const char *)alpn : "");
    SSL_write(ssl, text, n);
    static char piece[50 * 1000];
    while (SSL_read(ssl, &letter, 1) == 1) {
        size_t left = LOTS, got;
        switch (letter) {
        case 's':  // send lots
            for (; left; left -= sizeof piece)
                SSL_write(ssl, piece, sizeof piece);
            break;
        case 'r':  // receive lots, and say so
            while (left && SSL_read_ex(ssl, piece, left < sizeof piece ? left : sizeof piece, &got))
                left -= got;
            SSL_write(ssl, "all", left ? 0 : 3);
            break;
        case 'c': return;  // cut
        case 'b': SSL_shutdown(ssl); return;
        default: break;
        }
    }
    SSL_shutdown(ssl);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        set_limits(fd);
        SSL *ssl = SSL_new(s->context);
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1)
            talk(ssl);
        ERR_clear_error();
        SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(ssl);
        // Read what is left, so that closing does not reset what we have just sent.
        shutdown(fd, SHUT_WR);
        char rest[1000];
        while (recv(fd, rest, sizeof rest, 0) > 0)
            ;
        close(fd);
    }
}

static int choose_http1(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                        const unsigned char *in, unsigned in_n, void *arg)
{
    (void)ssl;
    (void)arg;
    unsigned char *found;
    int e =
        SSL_select_next_proto(&found, out_n, (const unsigned char *)"\x08http/1.1", 9, in, in_n);
    *out = found;
    return e == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void server_start(struct server *s, const struct identity *id, int version)
{
    s->context = SSL_CTX_new(TLS_server_method());
    NEED(SSL_CTX_use_certificate(s->context, id->cert) == 1);
    NEED(SSL_CTX_use_PrivateKey(s->context, id->key) == 1);
    SSL_CTX_set_max_proto_version(s->context, version);
    SSL_CTX_set_security_level(s->context, 0);
    SSL_CTX_set_alpn_select_cb(s->context, choose_http1, NULL);
    SSL_CTX_set_session_id_context(s->context, (const unsigned char *)"test", 4);
    s->fd = listen_raw(&s->port);
    NEED(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static void server_stop(struct server *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
    SSL_CTX_free(s->context);
}

// --- a proxy for one connection at a time -----------------------------------------------------

struct proxy {
    int fd;
    int32_t port;
    pthread_t thread;
    char head[1000];
};

static void relay(int a, int b)
{
    struct pollfd p[2] = {{a, POLLIN, 0}, {b, POLLIN, 0}};
    char bytes[16 * 1024];
    while (poll(p, 2, 10 * 1000) > 0)
        for (int i = 0; i < 2; i++) {
            if (!p[i].revents)
                continue;
            ssize_t n = recv(p[i].fd, bytes, sizeof bytes, 0);
            if (n <= 0)
                return;
            for (ssize_t at = 0; at < n;) {
                ssize_t done = send(p[1 - i].fd, bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
                if (done <= 0)
                    return;
                at += done;
            }
        }
}

static void *proxy_serve(void *arg)
{
    struct proxy *s = arg;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        set_limits(fd);
        size_t n = 0;
        memset(s->head, 0, sizeof s->head);
        while (n < sizeof s->head - 1 && !strstr(s->head, "\r\n\r\n")) {
            ssize_t got = recv(fd, s->head + n, sizeof s->head - 1 - n, 0);
            if (got <= 0)
                break;
            n += (size_t)got;
        }
        const char *colon = strchr(s->head, ':');
        if (strstr(s->head, "Proxy-Authorization: Basic eDp5\r\n") && colon) {
            int to = socket(AF_INET, SOCK_STREAM, 0);
            struct sockaddr_in a = {.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)atoi(colon + 1)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
            set_limits(to);
            if (connect(to, (struct sockaddr *)&a, sizeof a) == 0) {
                static const char ok[] = "HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n";
                send(fd, ok, 20, MSG_NOSIGNAL);  // in two pieces
                send(fd, ok + 20, sizeof ok - 21, MSG_NOSIGNAL);
                relay(fd, to);
            }
            close(to);
        } else {
            static const char no[] = "HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n";
            send(fd, no, sizeof no - 1, MSG_NOSIGNAL);
        }
        close(fd);
    }
}

static void proxy_start(struct proxy *s)
{
    s->fd = listen_raw(&s->port);
    NEED(pthread_create(&s->thread, NULL, proxy_serve, s) == 0);
}

static void proxy_stop(struct proxy *s)
{
    shutdown(s->fd, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->fd);
}

// --- one visit --------------------------------------------------------------------------------

static struct loop *loop;
static struct identity authority, localhost, lonely;
static struct server server;
static char ca_path[] = "/tmp/caudal-test-ca-XXXXXX";

struct visit {
    struct conn *c;
    const char *say;  // once it is open
    char greeting[200];
    size_t got;
    size_t close_at;  // close when so many bytes came after the greeting
    enum err opened, why;
    int opens, eofs, closes;
    struct diag diag;
};

static char much[LOTS];

static void on_opened(void *ctx, enum err e, const struct diag *diag)
{
    struct visit *v = ctx;
    v->opens++;
    v->opened = e;
    v->diag = *diag;
    if (e || !v->say)
        return;
    conn_send(v->c, str_of(v->say));
    if (v->say[0] == 'r')
        conn_send2(v->c, (struct str){much, LOTS / 2}, (struct str){much, LOTS / 2});
}

static void on_data(void *ctx, struct str bytes)
{
    struct visit *v = ctx;
    size_t n = strlen(v->greeting);
    while (bytes.n && (n == 0 || v->greeting[n - 1] != '\n')) {
        v->greeting[n++] = bytes.p[0];
        bytes = str_skip(bytes, 1);
    }
    v->got += bytes.n;
    if (v->close_at != SIZE_MAX && v->got >= v->close_at)
        conn_close(v->c);
}

static void on_eof(void *ctx)
{
    struct visit *v = ctx;
    v->eofs++;
    conn_close(v->c);
}

static void on_closed(void *ctx, enum err why)
{
    struct visit *v = ctx;
    v->closes++;
    v->why = why;
    loop_stop(loop);
}

static const struct conn_calls calls = {
    .opened = on_opened, .data = on_data, .eof = on_eof, .closed = on_closed};

static struct conn_target to_server(struct tls_client *client)
{
    return (struct conn_target){
        .host = STR("localhost"), .port = server.port, .tls = client, .timeout_us = S(10)};
}

static struct visit visit(const struct conn_target *t, const char *say, size_t close_at)
{
    struct visit v = {.say = say, .close_at = close_at};
    v.c = conn_connect(loop, t, &calls, &v);
    if (say && say[0] == 'e')  // early: before it is open
        conn_send(v.c, STR("s"));
    loop_run(loop);
    EXPECT(v.opens == 1 && v.closes == 1, "%d opens, %d closes", v.opens, v.closes);
    return v;
}

static struct tls_client *client_for(const char *name, const char *ca, bool insecure)
{
    struct tls_client *c = NULL;
    struct diag diag = {0};
    struct tls_config config = {
        .ca_file = str_of(ca), .server_name = str_of(name), .insecure = insecure};
    enum err e = tls_client_new(&c, &config, &diag);
    if (e)
        printf("  %s\n", diag.text);
    NEED(e == ERR_NONE);
    return c;
}

// --- the facts --------------------------------------------------------------------------------

static void a_known_authority_and_name_are_accepted(void)
{
    struct tls_client *c = client_for("localhost", ca_path, false);
    struct conn_target t = to_server(c);
    struct visit v = visit(&t, "b", SIZE_MAX);
    EXPECT(v.opened == ERR_NONE, "%s", v.diag.text);
    EXPECT(strcmp(v.greeting, "new localhost http/1.1\n") == 0, "%s", v.greeting);
    EXPECT(v.eofs == 1 && v.why == ERR_NONE, "%d eofs, %s", v.eofs, err_name(v.why));
    tls_client_free(c);
}

static void an_address_is_verified_and_not_sent_as_a_name(void)
{
    struct tls_client *c = client_for("127.0.0.1", ca_path, false);
    struct conn_target t = to_server(c);
    t.host = STR("127.0.0.1");
    struct visit v = visit(&t, NULL, 0);
    EXPECT(v.opened == ERR_NONE, "%s", v.diag.text);
    EXPECT(strcmp(v.greeting, "new - http/1.1\n") == 0, "%s", v.greeting);
    tls_client_free(c);
    c = client_for("127.0.0.2", ca_path, false);
    t.tls = c;
    v = visit(&t, NULL, 0);
    EXPECT(v.opened == ERR_TLS && strstr(v.diag.text, "IP address mismatch"), "%s", v.diag.text);
    tls_client_free(c);
}

static void another_name_is_refused(void)
{
    struct tls_client *c = client_for("api.example.com", ca_path, false);
    struct conn_target t = to_server(c);
    struct visit v = visit(&t, NULL, 0);
    char want[200];
    snprintf(want, sizeof want, "TLS to localhost:%d: certificate verify failed: hostname mismatch",
             server.port);
    EXPECT(v.opened == ERR_TLS && v.why == ERR_TLS, "%s", err_name(v.opened));
    EXPECT(strcmp(v.diag.text, want) == 0, "%s", v.diag.text);
    EXPECT(v.got == 0 && v.greeting[0] == 0, "got %zu", v.got);
    tls_client_free(c);
}

static void a_self_signed_certificate_is_refused(void)
{
    struct server other;
    server_start(&other, &lonely, TLS1_3_VERSION);
    struct tls_client *c = client_for("localhost", ca_path, false);
    struct conn_target t = to_server(c);
    t.port = other.port;
    struct visit v = visit(&t, NULL, 0);
    EXPECT(v.opened == ERR_TLS, "%s", err_name(v.opened));
    EXPECT(strstr(v.diag.text, "certificate verify failed: self-signed certificate"), "%s",
           v.diag.text);
    tls_client_free(c);
    c = client_for("localhost", "", false);  // the system's authorities do not know ours either
    t.tls = c;
    t.port = server.port;
    v = visit(&t, NULL, 0);
    EXPECT(v.opened == ERR_TLS &&
               strstr(v.diag.text, "certificate verify failed: unable to get local issuer"),
           "%s", v.diag.text);
    tls_client_free(c);
    c = client_for("localhost", "", true);  // unless told not to look
    t.tls = c;
    t.port = other.port;
    v = visit(&t, NULL, 0);
    EXPECT(v.opened == ERR_NONE, "%s", v.diag.text);
    tls_client_free(c);
    server_stop(&other);
}

static void old_protocols_are_refused(void)
{
    struct server old;
    server_start(&old, &localhost, TLS1_1_VERSION);
    struct tls_client *c = client_for("localhost", ca_path, false);
    struct conn_target t = to_server(c);
    t.port = old.port;
    struct visit v = visit(&t, NULL, 0);
    EXPECT(v.opened == ERR_TLS, "%s", err_name(v.opened));
    EXPECT(strstr(v.diag.text, "protocol version"), "%s", v.diag.text);
    tls_client_free(c);
    server_stop(&old);
}

static void a_second_connection_resumes(void)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct server s;
        server_start(&s, &localhost, version);
        struct tls_client *c = client_for("localhost", ca_path, false);
        struct conn_target t = to_server(c);
        t.port = s.port;
        struct visit first = visit(&t, "b", SIZE_MAX);
        EXPECT(strncmp(first.greeting, "new ", 4) == 0, "%s %s", first.greeting, first.diag.text);
        for (int i = 0; i < 3; i++) {
            // A connection that was cut does not spoil its session.
            struct visit next = visit(&t, i ? "b" : "c", SIZE_MAX);
            EXPECT(strncmp(next.greeting, "resumed ", 8) == 0, "%d: %s", i, next.greeting);
        }
        tls_client_free(c);
        server_stop(&s);
    }
}

static void much_data_goes_both_ways(void)
{
    struct tls_client *c = client_for("localhost", ca_path, false);
    struct conn_target t = to_server(c);
    struct visit v = visit(&t, "s", LOTS);
    EXPECT(v.got == LOTS && v.why == ERR_NONE, "got %zu", v.got);
    v = visit(&t, "r", 3);
    EXPECT(v.got == 3 && v.why == ERR_NONE, "got %zu, %s", v.got, err_name(v.why));
    v = visit(&t, "e", LOTS);
    EXPECT(v.got == LOTS, "sent early: got %zu", v.got);
    tls_client_free(c);
}

static void an_end_without_close_notify_is_a_loss(void)
{
    struct tls_client *c = client_for("localhost", ca_path, false);
    struct conn_target t = to_server(c);
    struct visit v = visit(&t, "c", SIZE_MAX);
    EXPECT(v.eofs == 0 && v.why == ERR_RESET, "%d eofs, %s", v.eofs, err_name(v.why));
    tls_client_free(c);
}

static void a_server_without_tls_is_told(void)
{
    struct proxy plain;  // answers 407 to what it does not understand
    proxy_start(&plain);
    struct tls_client *c = client_for("localhost", ca_path, false);
    struct conn_target t = to_server(c);
    t.port = plain.port;
    t.timeout_us = MS(200);  // it waits for the end of a head
    struct visit v = visit(&t, NULL, 0);
    EXPECT(v.opened == ERR_TIMEOUT && strstr(v.diag.text, "TLS to localhost"), "%s", v.diag.text);
    tls_client_free(c);
    proxy_stop(&plain);
}

static void a_proxy_is_gone_through(void)
{
    struct proxy p;
    proxy_start(&p);
    struct tls_client *c = client_for("localhost", ca_path, false);
    struct conn_target t = to_server(c);
    t.proxy_host = STR("127.0.0.1");
    t.proxy_port = p.port;
    t.proxy_auth = STR("Basic eDp5");
    struct visit v = visit(&t, "s", LOTS);
    EXPECT(v.opened == ERR_NONE && v.got == LOTS, "%s, got %zu", v.diag.text, v.got);
    char want[200];
    snprintf(want, sizeof want,
             "CONNECT localhost:%d HTTP/1.1\r\nHost: localhost:%d\r\nProxy-Authorization: Basic "
             "eDp5\r\n\r\n",
             server.port, server.port);
    EXPECT(strcmp(p.head, want) == 0, "%s", p.head);
    t.proxy_auth = STR("");
    v = visit(&t, NULL, 0);
    EXPECT(v.opened == ERR_REFUSED, "%s", err_name(v.opened));
    snprintf(want, sizeof want,
             "CONNECT to localhost:%d through the proxy 127.0.0.1:%d: it answered CONNECT with 407 "
             "Who are you",
             server.port, p.port);
    EXPECT(strcmp(v.diag.text, want) == 0, "%s", v.diag.text);
    tls_client_free(c);
    proxy_stop(&p);
}

static void a_missing_ca_file_is_named(void)
{
    struct tls_client *c = NULL;
    struct diag diag = {0};
    struct tls_config config = {.ca_file = STR("/nowhere/ca.pem"), .server_name = STR("localhost")};
    EXPECT(tls_client_new(&c, &config, &diag) == ERR_MISSING, "%s", err_name(diag.e));
    EXPECT(strcmp(diag.text, "CA file /nowhere/ca.pem: No such file or directory") == 0, "%s",
           diag.text);
    diag = (struct diag){0};
    config.ca_file = STR("/dev/null");
    EXPECT(tls_client_new(&c, &config, &diag) == ERR_MISSING, "%s", diag.text);
    diag = (struct diag){0};
    config = (struct tls_config){0};
    EXPECT(tls_client_new(&c, &config, &diag) == ERR_INVALID, "%s", diag.text);
}

static void digests_and_hex_are_right(void)
{
    unsigned char d[32], back[32];
    char hex[65];
    sha256(d, STR("abc"));
    hex_of(hex, d, 32);
    EXPECT(strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") == 0,
           "%s", hex);
    EXPECT(hex_read(back, 32, str_of(hex)) && equal_in_constant_time(d, back, 32), "round trip");
    sha256(d, STR(""));
    hex_of(hex, d, 4);
    EXPECT(strcmp(hex, "e3b0c442") == 0, "%s", hex);
    EXPECT(hex_read(back, 2, STR("FfA0")) && back[0] == 0xff && back[1] == 0xa0, "capitals");
    EXPECT(!hex_read(back, 2, STR("ffag")) && !hex_read(back, 2, STR("ffa")), "bad digits");
    EXPECT(!equal_in_constant_time("abcd", "abce", 4), "unequal");
    EXPECT(random_u64() != random_u64(), "chance");
}

int main(void)
{
    authority = identity_make("test authority", NULL, NULL);
    localhost = identity_make("localhost", "DNS:localhost,IP:127.0.0.1", &authority);
    lonely = identity_make("lonely", "DNS:localhost", NULL);
    int fd = mkstemp(ca_path);
    NEED(fd >= 0);
    FILE *f = fdopen(fd, "w");
    NEED(f && PEM_write_X509(f, authority.cert) && fclose(f) == 0);
    NEED(loop_new(&loop, NULL) == ERR_NONE);
    server_start(&server, &localhost, TLS1_3_VERSION);
    alarm(60);  // a story that hangs ends the program

    TEST(a_known_authority_and_name_are_accepted);
    TEST(an_address_is_verified_and_not_sent_as_a_name);
    TEST(another_name_is_refused);
    TEST(a_self_signed_certificate_is_refused);
    TEST(old_protocols_are_refused);
    TEST(a_second_connection_resumes);
    TEST(much_data_goes_both_ways);
    TEST(an_end_without_close_notify_is_a_loss);
    TEST(a_server_without_tls_is_told);
    TEST(a_proxy_is_gone_through);
    TEST(a_missing_ca_file_is_named);
    TEST(digests_and_hex_are_right);

    server_stop(&server);
    loop_free(loop);
    unlink(ca_path);
    identity_free(&authority);
    identity_free(&localhost);
    identity_free(&lonely);
    return test_end();
}
