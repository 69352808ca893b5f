// TLS towards clients: a loop that listens, and OpenSSL as the client, in a thread of its own.

#include "base/arena.h"
#include "io/loop.h"
#include "io/tls_server.h"
#include "lib/identity.h"
#include "lib/test.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOTS = 20 * 1000 * 1000, SILENT = 80 };
static const int64_t shake_us = S(20);

static struct identity authority, stranger, ours, other, ana, eve;
static char folder[] = "/tmp/caudal-test-XXXXXX";

static const char *in_folder(const char *name)
{
    static char paths[8][200];
    static int at;
    char *p = paths[at++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

static void write_pem(const char *name, X509 *cert, EVP_PKEY *key)
{
    FILE *f = fopen(in_folder(name), "w");
    NEED(f);
    NEED(!cert || PEM_write_X509(f, cert) == 1);
    NEED(!key || PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) == 1);
    NEED(fclose(f) == 0);
}

// --- the server -------------------------------------------------------------------------------
// Echoes; what begins with 's' is answered with lots, slowly read.

static struct loop *loop;
static struct tls_server *tls;
static struct listener *listener;
static int accepted, closed;
static size_t pending_max;
static atomic_bool full;  // the server waits for the reader
static char subject[100];
static char much[64 * 1024];

struct guest {
    struct conn *c;
    size_t left;
};

static void send_on(struct guest *g)
{
    while (g->left && conn_pending(g->c) < 256 * 1024) {
        size_t n = g->left < sizeof much ? g->left : sizeof much;
        conn_send2(g->c, (struct str){much, n / 2}, (struct str){much + n / 2, n - n / 2});
        g->left -= n;
        pending_max = conn_pending(g->c) > pending_max ? conn_pending(g->c) : pending_max;
    }
    if (g->left)
        atomic_store(&full, true);
}

static void on_data(void *ctx, struct str bytes)
{
    struct guest *g = ctx;
    struct str who = conn_subject(g->c);
    snprintf(subject, sizeof subject, STR_FMT, STR_ARG(who));
    if (bytes.p[0] == 's') {
        g->left = LOTS;
        send_on(g);
    } else {
        conn_send2(g->c, STR("echo "), bytes);
    }
}

static void on_drain(void *ctx)
{
    send_on(ctx);
}

static void on_eof(void *ctx)
{
    conn_close(((struct guest *)ctx)->c);
}

static void on_closed(void *ctx, enum err why)
{
    (void)why;
    closed++;
    free(ctx);
}

static const struct conn_calls calls = {
    .data = on_data, .drain = on_drain, .eof = on_eof, .closed = on_closed};

static void on_accept(void *ctx, struct conn *c)
{
    (void)ctx;
    struct guest *g = take(sizeof *g);
    g->c = c;
    accepted++;
    conn_set(c, &calls, g);
    conn_send(c, STR("too early"));  // before the handshake: lost
}

static void server_start(const struct tls_server_config *c, int64_t within_us)
{
    struct diag diag = {0};
    NEED(loop_new(&loop, &diag) == ERR_NONE);
    enum err e = tls_server_new(&tls, c, &diag);
    EXPECT(!e, "%s", diag.text);
    NEED(!e);
    NEED(listener_new(&listener, loop, STR("127.0.0.1"), 0, true, on_accept, NULL, &diag) == 0);
    listener_secure(listener, tls, within_us);
    accepted = closed = 0;
    pending_max = 0;
}

static void server_stop(void)
{
    loop_free(loop);
    tls_server_free(tls);
}

static struct tls_server_config plain_config(void)
{
    static struct tls_identity one;
    static char cert[200], key[200];
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    one = (struct tls_identity){str_of(cert), str_of(key)};
    write_pem("cert.pem", ours.cert, NULL);
    write_pem("key.pem", NULL, ours.key);
    return (struct tls_server_config){.identities = &one, .n = 1};
}

// --- a client ---------------------------------------------------------------------------------

struct visit {
    const char *name, *alpn, *say;  // NULL: none
    const struct identity *shown;
    int version;
    SSL_SESSION *session;  // in and out
    bool open, resumed;
    char common_name[100], protocol[16], heard[64];
    size_t got;
    long alert;
};

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)listener_port(listener)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = 20};
    int small = 64 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    NEED(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct visit *v = SSL_get_app_data(ssl);
    SSL_SESSION_free(v->session);
    v->session = session;
    return 1;
}

static void talk(SSL *ssl, struct visit *v)
{
    char piece[10000];
    size_t n, want = v->say[0] == 's' ? LOTS : strlen(v->say) + 5;
    SSL_write(ssl, v->say, (int)strlen(v->say));
    while (v->say[0] == 's' && !atomic_load(&full))
        sched_yield();
    while (v->got < want && SSL_read_ex(ssl, piece, sizeof piece, &n)) {
        if (v->got + n < sizeof v->heard)
            memcpy(v->heard + v->got, piece, n);
        v->got += n;
    }
    v->alert = ERR_GET_REASON(ERR_peek_error());
}

static void *visit_run(void *arg)
{
    struct visit *v = arg;
    int fd = dial();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    if (v->version)
        SSL_CTX_set_max_proto_version(context, v->version);
    if (v->shown)
        NEED(SSL_CTX_use_certificate(context, v->shown->cert) == 1 &&
             SSL_CTX_use_PrivateKey(context, v->shown->key) == 1);
    SSL *ssl = SSL_new(context);
    SSL_set_app_data(ssl, v);
    SSL_set_fd(ssl, fd);
    if (v->name)
        SSL_set_tlsext_host_name(ssl, v->name);
    if (v->alpn)
        SSL_set_alpn_protos(ssl, (const unsigned char *)v->alpn, (unsigned)strlen(v->alpn));
    if (v->session)
        SSL_set_session(ssl, v->session);
    ERR_clear_error();
    v->open = SSL_connect(ssl) == 1;
    v->alert = ERR_GET_REASON(ERR_peek_error());
    if (v->open) {
        const unsigned char *p;
        unsigned n;
        X509_NAME *name = X509_get_subject_name(SSL_get0_peer_certificate(ssl));
        X509_NAME_get_text_by_NID(name, NID_commonName, v->common_name, sizeof v->common_name);
        SSL_get0_alpn_selected(ssl, &p, &n);
        snprintf(v->protocol, sizeof v->protocol, "%.*s", (int)n, (const char *)p);
        v->resumed = SSL_session_reused(ssl);
        if (v->say)
            talk(ssl, v);
        SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    loop_post(loop, (void (*)(void *))loop_stop, loop);
    return NULL;
}

static void visit(struct visit *v)
{
    pthread_t t;
    v->got = 0;
    memset(v->heard, 0, sizeof v->heard);
    NEED(pthread_create(&t, NULL, visit_run, v) == 0);
    loop_run(loop);
    pthread_join(t, NULL);
}

// --- facts ------------------------------------------------------------------------------------

static void a_client_is_answered_in_both_versions(void)
{
    struct tls_server_config c = plain_config();
    server_start(&c, shake_us);
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < COUNTOF(versions); i++) {
        struct visit v = {.version = versions[i], .say = "hello", .alpn = "\x02h2\x08http/1.1"};
        visit(&v);
        EXPECT(v.open && strcmp(v.heard, "echo hello") == 0, "heard \"%s\"", v.heard);
        EXPECT(strcmp(v.protocol, "http/1.1") == 0, "protocol \"%s\"", v.protocol);
        EXPECT(!subject[0], "no certificate was shown, but \"%s\"", subject);
        SSL_SESSION_free(v.session);
    }
    struct visit http2 = {.alpn = "\x02h2"};
    visit(&http2);
    EXPECT(!http2.open && http2.alert == SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, "%ld",
           http2.alert);
    server_stop();
}

static void tls_1_2_can_be_refused(void)
{
    struct tls_server_config c = plain_config();
    c.only_tls13 = true;
    server_start(&c, shake_us);
    struct visit old = {.version = TLS1_2_VERSION}, new = {.version = TLS1_3_VERSION};
    visit(&old);
    visit(&new);
    EXPECT(!old.open && old.alert == SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "%ld", old.alert);
    EXPECT(new.open, "alert %ld", new.alert);
    SSL_SESSION_free(new.session);
    server_stop();
}

static void a_slow_reader_bounds_what_is_kept(void)
{
    struct tls_server_config c = plain_config();
    server_start(&c, shake_us);
    struct visit v = {.say = "s"};
    visit(&v);
    EXPECT(v.got == LOTS, "%zu bytes came", v.got);
    EXPECT(pending_max && pending_max < 512 * 1024, "%zu bytes were kept", pending_max);
    SSL_SESSION_free(v.session);
    server_stop();
}

static void sessions_are_resumed_also_after_a_renewal(void)
{
    struct tls_server_config c = plain_config();
    server_start(&c, shake_us);
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < COUNTOF(versions); i++) {
        struct diag diag = {0};
        bool changed;
        struct visit v = {.version = versions[i], .say = "hello"};
        visit(&v);
        EXPECT(v.open && !v.resumed && v.session, "the first is new");
        visit(&v);
        EXPECT(v.open && v.resumed, "version %d: the second is resumed", versions[i]);
        unlink(in_folder("cert.pem"));
        write_pem("cert.pem", ours.cert, NULL);
        EXPECT(tls_server_look(tls, &changed, &diag) == ERR_NONE && changed, "%s", diag.text);
        visit(&v);
        EXPECT(v.open && v.resumed, "version %d: resumed after a renewal", versions[i]);
        SSL_SESSION_free(v.session);
    }
    server_stop();
}

// Each look is later than a microsecond after the one before.
static void sessions_are_not_resumed_when_the_keys_of_tickets_have_had_their_time(void)
{
    struct tls_server_config c = plain_config();
    c.ticket_keys_us = 1;
    server_start(&c, shake_us);
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < COUNTOF(versions); i++) {
        struct diag diag = {0};
        bool changed;
        struct visit v = {.version = versions[i], .say = "hello"};
        visit(&v);
        visit(&v);
        EXPECT(v.open && v.resumed, "version %d: before", versions[i]);
        EXPECT(tls_server_look(tls, &changed, &diag) == ERR_NONE && !changed, "%s", diag.text);
        visit(&v);
        EXPECT(v.open && !v.resumed, "version %d: under other keys", versions[i]);
        visit(&v);
        EXPECT(v.open && v.resumed, "version %d: what was begun under these", versions[i]);
        SSL_SESSION_free(v.session);
    }
    server_stop();
}

static void a_renewed_certificate_is_shown_and_a_broken_one_is_not(void)
{
    struct tls_server_config c = plain_config();
    server_start(&c, shake_us);
    struct visit v = {0};
    struct diag diag = {0};
    bool changed;
    EXPECT(tls_server_look(tls, &changed, &diag) == ERR_NONE && !changed, "nothing changed");
    visit(&v);
    EXPECT(strcmp(v.common_name, "localhost") == 0, "shown: %s", v.common_name);

    write_pem("cert.pem", other.cert, NULL);  // whose key is not there yet
    EXPECT(tls_server_look(tls, &changed, &diag) == ERR_INVALID &&
               strstr(diag.text, "does not belong to the certificate"),
           "%s", diag.text);
    EXPECT(tls_server_look(tls, &changed, &diag) == ERR_NONE, "said twice: %s", diag.text);
    visit(&v);
    EXPECT(strcmp(v.common_name, "localhost") == 0, "shown: %s", v.common_name);

    write_pem("key.pem", NULL, other.key);
    EXPECT(tls_server_look(tls, &changed, &diag) == ERR_NONE && changed, "%s", diag.text);
    visit(&v);
    EXPECT(v.open && strcmp(v.common_name, "api.example.com") == 0, "shown: %s", v.common_name);

    unlink(in_folder("key.pem"));
    diag = (struct diag){0};
    EXPECT(tls_server_look(tls, &changed, &diag) == ERR_MISSING, "%s", diag.text);
    visit(&v);
    EXPECT(strcmp(v.common_name, "api.example.com") == 0, "shown: %s", v.common_name);
    SSL_SESSION_free(v.session);
    server_stop();
}

static void the_certificate_is_that_of_the_name_asked_for(void)
{
    struct tls_server_config c = plain_config();
    char cert[200], key[200];
    snprintf(cert, sizeof cert, "%s", in_folder("cert2.pem"));
    snprintf(key, sizeof key, "%s", in_folder("key2.pem"));
    write_pem("cert2.pem", other.cert, NULL);
    write_pem("key2.pem", NULL, other.key);
    const struct tls_identity two[] = {c.identities[0], {str_of(cert), str_of(key)}};
    c.identities = two;
    c.n = 2;
    server_start(&c, shake_us);
    const char *const asked[][2] = {{NULL, "localhost"},
                                    {"localhost", "localhost"},
                                    {"api.example.com", "api.example.com"},
                                    {"API.Example.com", "api.example.com"},
                                    {"nobody.example.com", "localhost"}};
    for (size_t i = 0; i < COUNTOF(asked); i++) {
        struct visit v = {.name = asked[i][0], .say = "x"};
        visit(&v);
        EXPECT(v.open && strcmp(v.common_name, asked[i][1]) == 0, "asked for %s, shown %s",
               asked[i][0] ? asked[i][0] : "none", v.common_name);
        SSL_SESSION_free(v.session);
    }
    server_stop();
}

static void who_has_no_certificate_of_ours_stays_out(void)
{
    struct tls_server_config c = plain_config();
    char ca[200];
    snprintf(ca, sizeof ca, "%s", in_folder("ca.pem"));
    write_pem("ca.pem", authority.cert, NULL);
    c.client_ca = str_of(ca);
    server_start(&c, shake_us);
    struct visit none = {.say = "x"}, wrong = {.say = "x", .shown = &eve};
    struct visit right = {.say = "x", .shown = &ana};
    visit(&none);
    EXPECT(!none.got && none.alert == SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "%ld", none.alert);
    visit(&wrong);
    EXPECT(!wrong.got && wrong.alert == SSL_R_TLSV1_ALERT_UNKNOWN_CA, "%ld", wrong.alert);
    for (int i = 0; i < 2; i++) {  // new, then resumed
        subject[0] = 0;
        visit(&right);
        EXPECT(right.got && right.resumed == (i == 1), "time %d", i);
        EXPECT(strcmp(subject, "CN=ana") == 0, "subject \"%s\"", subject);
    }
    // Other authorities: what was shown to the old ones counts no more.
    write_pem("ca.pem", stranger.cert, NULL);
    struct diag diag = {0};
    bool changed;
    EXPECT(!tls_server_look(tls, &changed, &diag) && changed, "%s", diag.text);
    visit(&right);
    EXPECT(!right.resumed && !right.got, "let in by %s", right.resumed ? "a ticket" : "nothing");
    SSL_SESSION_free(none.session);
    SSL_SESSION_free(wrong.session);
    SSL_SESSION_free(right.session);
    server_stop();
}

static void wrong_files_are_named(void)
{
    struct tls_server_config c = plain_config();
    struct tls_identity id = c.identities[0];
    const struct tls_identity *was = c.identities;
    char missing[200], text[200], locked[200], passphrase[] = "secret";
    snprintf(missing, sizeof missing, "%s", in_folder("nowhere.pem"));
    snprintf(text, sizeof text, "%s", in_folder("text.pem"));
    snprintf(locked, sizeof locked, "%s", in_folder("locked.pem"));
    FILE *f = fopen(text, "w");
    NEED(f && fputs("not a certificate\n", f) >= 0 && fclose(f) == 0);
    f = fopen(locked, "w");
    NEED(f &&
         PEM_write_PrivateKey(f, ours.key, EVP_aes_128_cbc(), NULL, 0, NULL, passphrase) == 1 &&
         fclose(f) == 0);
    const struct {
        struct str certificate, key, ca;
        enum err e;
        const char *says;
    } rows[] = {
        {str_of(missing), id.key, {0}, ERR_MISSING, "the certificate "},
        {id.certificate, str_of(missing), {0}, ERR_MISSING, "the key "},
        {str_of(text), id.key, {0}, ERR_INVALID, "the certificate "},
        {id.certificate, str_of(text), {0}, ERR_INVALID, "PEM file with a private key"},
        {id.certificate, str_of(locked), {0}, ERR_INVALID, "without a passphrase"},
        {id.certificate, id.key, str_of(missing), ERR_MISSING, "the authorities of clients "},
        {id.certificate, id.key, str_of(text), ERR_INVALID, "PEM file with certificates"},
    };
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        struct diag diag = {0};
        struct tls_server *s;
        id = (struct tls_identity){rows[i].certificate, rows[i].key};
        c.identities = &id;
        c.client_ca = rows[i].ca;
        EXPECT(tls_server_new(&s, &c, &diag) == rows[i].e && strstr(diag.text, rows[i].says),
               "row %zu: %s", i, diag.text);
        id = was[0];
    }
}

static void *be_silent(void *arg)
{
    (void)arg;
    struct pollfd p[SILENT];
    char byte;
    for (int i = 0; i < SILENT; i++)
        p[i] = (struct pollfd){dial(), POLLIN, 0};
    for (int i = 0; i < SILENT; i++) {
        EXPECT(recv(p[i].fd, &byte, 1, 0) <= 0, "connection %d was told something", i);
        close(p[i].fd);
    }
    loop_post(loop, (void (*)(void *))loop_stop, loop);
    return NULL;
}

// More than are easy at once, so that both patiences are met; a client that speaks gets its answer.
static void silence_is_cut_and_others_are_served(void)
{
    struct tls_server_config c = plain_config();
    server_start(&c, MS(300));
    pthread_t t;
    NEED(pthread_create(&t, NULL, be_silent, NULL) == 0);
    loop_run(loop);
    pthread_join(t, NULL);
    EXPECT(accepted == SILENT, "%d were accepted", accepted);
    struct visit v = {.say = "hello"};
    visit(&v);
    EXPECT(strcmp(v.heard, "echo hello") == 0, "heard \"%s\"", v.heard);
    SSL_SESSION_free(v.session);
    server_stop();
    EXPECT(closed == accepted, "%d of %d closed", closed, accepted);
}

static void *talk_plain(void *arg)
{
    (void)arg;
    char bytes[200];
    int fd = dial();
    send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL);
    while (recv(fd, bytes, sizeof bytes, 0) > 0)
        ;
    close(fd);
    loop_post(loop, (void (*)(void *))loop_stop, loop);
    return NULL;
}

static void who_speaks_no_tls_is_let_go(void)
{
    struct tls_server_config c = plain_config();
    server_start(&c, shake_us);
    pthread_t t;
    subject[0] = 'x';
    NEED(pthread_create(&t, NULL, talk_plain, NULL) == 0);
    loop_run(loop);
    pthread_join(t, NULL);
    EXPECT(accepted == 1 && subject[0] == 'x', "no data was told");
    server_stop();
    EXPECT(closed == 1, "%d closed", closed);
}

int main(void)
{
    NEED(mkdtemp(folder));
    authority = identity_make("test authority", NULL, NULL);
    stranger = identity_make("a stranger", NULL, NULL);
    ours = identity_make("localhost", "DNS:localhost,IP:127.0.0.1", &authority);
    other = identity_make("api.example.com", "DNS:api.example.com", &authority);
    ana = identity_make("ana", "DNS:ana", &authority);
    eve = identity_make("eve", "DNS:eve", &stranger);
    TEST(a_client_is_answered_in_both_versions);
    TEST(tls_1_2_can_be_refused);
    TEST(a_slow_reader_bounds_what_is_kept);
    TEST(sessions_are_resumed_also_after_a_renewal);
    TEST(sessions_are_not_resumed_when_the_keys_of_tickets_have_had_their_time);
    TEST(a_renewed_certificate_is_shown_and_a_broken_one_is_not);
    TEST(the_certificate_is_that_of_the_name_asked_for);
    TEST(who_has_no_certificate_of_ours_stays_out);
    TEST(wrong_files_are_named);
    TEST(silence_is_cut_and_others_are_served);
    TEST(who_speaks_no_tls_is_let_go);
    struct identity *all[] = {&authority, &stranger, &ours, &other, &ana, &eve};
    for (size_t i = 0; i < COUNTOF(all); i++)
        identity_free(all[i]);
    static const char *const files[] = {"cert.pem", "key.pem",  "cert2.pem", "key2.pem",
                                        "ca.pem",   "text.pem", "locked.pem"};
    for (size_t i = 0; i < COUNTOF(files); i++)
        unlink(in_folder(files[i]));
    rmdir(folder);
    return test_end();
}
