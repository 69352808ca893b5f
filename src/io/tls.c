#include "io/tls_ssl.h"

#include "base/arena.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum { PLAIN_STEP = 16 * 1024 };  // a TLS record holds no more

struct tls_client {
    _Atomic int32_t users;  // its owner and its connections
    SSL_CTX *context;
    char *server_name;     // NULL: none, an address
    pthread_mutex_t lock;  // guards `session`
    SSL_SESSION *session;  // the latest, for the next connection; NULL: none yet
};

// --- the wire: an OpenSSL BIO that reads from `in` and writes to `wire`, and holds nothing ----

static int wire_read(BIO *bio, char *out, size_t size, size_t *n)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (t->in.n == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    *n = size < t->in.n ? size : t->in.n;
    memcpy(out, t->in.p, *n);
    t->in = str_skip(t->in, *n);
    return 1;
}

static int wire_write(BIO *bio, const char *in, size_t size, size_t *n)
{
    const struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!t->wire || !buf_add(t->wire, in, size))
        return 0;
    *n = size;
    return 1;
}

static long wire_control(BIO *bio, int command, long number, void *p)
{
    (void)bio;
    (void)number;
    (void)p;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *wire_method;

static void make_wire_method(void)
{
    wire_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "caudal wire");
    CHECK(wire_method);
    CHECK(BIO_meth_set_read_ex(wire_method, wire_read));
    CHECK(BIO_meth_set_write_ex(wire_method, wire_write));
    CHECK(BIO_meth_set_ctrl(wire_method, wire_control));
}

// --- settings and sessions --------------------------------------------------------------------

const char *tls_last_error(void)
{
    unsigned long e = ERR_peek_last_error();
    const char *text = ERR_reason_error_string(e);
    return text ? text : "unknown error";
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    pthread_mutex_lock(&c->lock);
    SSL_SESSION_free(c->session);
    c->session = session;
    pthread_mutex_unlock(&c->lock);
    return 1;  // ours now
}

static bool is_address(const char *name)
{
    unsigned char any[16];
    return inet_pton(AF_INET, name, any) == 1 || inet_pton(AF_INET6, name, any) == 1;
}

static enum err load_authorities(SSL_CTX *context, struct str ca_file, struct diag *diag)
{
    if (ca_file.n == 0) {
        if (!SSL_CTX_set_default_verify_paths(context))
            return diag_set(diag, ERR_MISSING, "the system's certificate authorities: %s",
                            tls_last_error());
        return ERR_NONE;
    }
    char path[4096];
    if (ca_file.n >= sizeof path)
        return diag_set(diag, ERR_INVALID, "the name of the CA file is too long");
    snprintf(path, sizeof path, STR_FMT, STR_ARG(ca_file));
    if (access(path, R_OK))  // OpenSSL would only say "system lib"
        return diag_set(diag, ERR_MISSING, "CA file %s: %s", path, strerror(errno));
    if (!SSL_CTX_load_verify_file(context, path))
        return diag_set(diag, ERR_MISSING, "CA file %s: %s", path, tls_last_error());
    return ERR_NONE;
}

static bool expect_name(SSL_CTX *context, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(context);
    if (is_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

static enum err identify(SSL_CTX *context, const struct tls_config *config, struct diag *diag)
{
    char certificate[4096], key[4096];
    if (config->certificate.n >= sizeof certificate || config->key.n >= sizeof key)
        return diag_set(diag, ERR_INVALID, "the name of a certificate is too long");
    snprintf(certificate, sizeof certificate, STR_FMT, STR_ARG(config->certificate));
    snprintf(key, sizeof key, STR_FMT, STR_ARG(config->key));
    return tls_identify(context, certificate, key, diag);
}

enum err tls_client_new(struct tls_client **out, const struct tls_config *config, struct diag *diag)
{
    ERR_clear_error();
    if (config->server_name.n == 0 && !config->insecure)
        return diag_set(diag, ERR_INVALID, "TLS needs the name of the server it is to verify");
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    CHECK(context);
    struct tls_client *c = take(sizeof *c);
    atomic_store(&c->users, 1);
    c->context = context;
    CHECK(pthread_mutex_init(&c->lock, NULL) == 0);

    struct str name = config->server_name;
    if (str_ends(name, STR(".")))
        name.n--;
    char *text = take(name.n + 1);
    if (name.n)
        memcpy(text, name.p, name.n);

    enum err e = ERR_NONE;
    CHECK(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION));
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
    CHECK(SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x08http/1.1", 9) == 0);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, on_session);
    CHECK(SSL_CTX_set_app_data(context, c));
    if (!config->insecure) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        e = load_authorities(context, config->ca_file, diag);
        if (!e && !expect_name(context, text))
            e = diag_set(diag, ERR_INVALID, "\"%s\" is not a host name", text);
    }
    if (!e && config->certificate.n)
        e = identify(context, config, diag);
    if (text[0] && !is_address(text))
        c->server_name = text;
    else
        free(text);
    if (e) {
        tls_client_free(c);
        return e;
    }
    *out = c;
    return ERR_NONE;
}

void tls_client_free(struct tls_client *c)
{
    if (!c || atomic_fetch_sub(&c->users, 1) != 1)
        return;
    SSL_SESSION_free(c->session);
    SSL_CTX_free(c->context);
    pthread_mutex_destroy(&c->lock);
    free(c->server_name);
    free(c);
}

// --- one connection ---------------------------------------------------------------------------

enum err tls_make(struct tls **out, SSL_CTX *context, struct diag *diag)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_wire_method);
    ERR_clear_error();
    struct tls *t = take(sizeof *t);
    t->ssl = SSL_new(context);
    BIO *bio = BIO_new(wire_method);
    if (!t->ssl || !bio) {
        diag_set(diag, ERR_TLS, "%s", tls_last_error());
        BIO_free(bio);
        tls_free(t);
        return ERR_TLS;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    *out = t;
    return ERR_NONE;
}

enum err tls_new(struct tls **out, struct tls_client *c, struct diag *diag)
{
    enum err e = tls_make(out, c->context, diag);
    if (e)
        return e;
    SSL *ssl = (*out)->ssl;
    atomic_fetch_add(&c->users, 1);
    (*out)->client = c;
    SSL_set_connect_state(ssl);
    if (c->server_name && !SSL_set_tlsext_host_name(ssl, c->server_name)) {
        e = diag_set(diag, ERR_TLS, "%s", tls_last_error());
        tls_free(*out);
        return e;
    }
    pthread_mutex_lock(&c->lock);
    if (c->session)
        SSL_set_session(ssl, c->session);
    pthread_mutex_unlock(&c->lock);
    return ERR_NONE;
}

void tls_free(struct tls *t)
{
    if (!t)
        return;
    // Otherwise OpenSSL holds a connection that ended without close-notify against its session, and
    // the next one could not resume.
    if (t->ssl)
        SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(t->ssl);
    tls_client_free(t->client);
    free(t->peer);
    free(t);
}

static enum err failure(const struct tls *t, int ssl_error, struct diag *diag)
{
    if (t->wire && t->wire->overflow)
        return diag_set(diag, ERR_LIMIT, "more to send than a connection may keep");
    long verify = SSL_get_verify_result(t->ssl);
    if (!t->ready && verify != X509_V_OK)
        return diag_set(diag, ERR_TLS, "certificate verify failed: %s",
                        X509_verify_cert_error_string(verify));
    if (ssl_error == SSL_ERROR_ZERO_RETURN)
        return diag_set(diag, ERR_TLS, "the other side ended the handshake");
    return diag_set(diag, ERR_TLS, "%s", tls_last_error());
}

static bool wants_more(int ssl_error)
{
    return ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE;
}

static enum err shake(struct tls *t, struct diag *diag)
{
    int status = SSL_do_handshake(t->ssl);
    if (status == 1) {
        t->ready = true;
        return ERR_NONE;
    }
    int why = SSL_get_error(t->ssl, status);
    return wants_more(why) ? ERR_NONE : failure(t, why, diag);
}

static enum err read_plain(struct tls *t, struct buf *plain, bool *eof, struct diag *diag)
{
    for (;;) {
        char *at;
        size_t n = 0;
        if (!buf_reserve(plain, PLAIN_STEP, &at))
            return diag_set(diag, ERR_LIMIT, "more came at once than fits");
        if (SSL_read_ex(t->ssl, at, PLAIN_STEP, &n)) {
            buf_grown(plain, n);
            continue;
        }
        int why = SSL_get_error(t->ssl, 0);
        if (wants_more(why))
            return ERR_NONE;
        if (why == SSL_ERROR_ZERO_RETURN) {
            *eof = true;
            return ERR_NONE;
        }
        return failure(t, why, diag);
    }
}

enum err tls_feed(struct tls *t, struct str in, struct buf *plain, struct buf *wire, bool *ready,
                  bool *eof, struct diag *diag)
{
    ERR_clear_error();
    t->in = in;
    t->wire = wire;
    enum err e = t->ready ? ERR_NONE : shake(t, diag);
    if (!e && t->ready)
        e = read_plain(t, plain, eof, diag);
    t->in = STR("");
    t->wire = NULL;
    *ready = t->ready;
    return e;
}

enum err tls_start(struct tls *t, struct buf *wire, struct diag *diag)
{
    ERR_clear_error();
    t->wire = wire;
    enum err e = shake(t, diag);
    t->wire = NULL;
    return e;
}

enum err tls_send(struct tls *t, struct str plain, struct buf *wire, struct diag *diag)
{
    CHECK(t->ready);
    if (plain.n == 0)
        return ERR_NONE;
    ERR_clear_error();
    t->wire = wire;
    size_t n = 0;
    // The wire takes all there is, so a write is never partial.
    enum err e = SSL_write_ex(t->ssl, plain.p, plain.n, &n)
                     ? ERR_NONE
                     : failure(t, SSL_get_error(t->ssl, 0), diag);
    t->wire = NULL;
    return e;
}

void tls_close(struct tls *t, struct buf *wire)
{
    if (!t->ready)
        return;
    ERR_clear_error();
    t->wire = wire;
    SSL_shutdown(t->ssl);
    t->wire = NULL;
    ERR_clear_error();
}

bool tls_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl);
}

// --- digests and chance -----------------------------------------------------------------------

// OpenSSL's present way to a digest goes through a context and a provider, which takes several
// times what a key's one block does; its old way, which it would rather not see used, does not.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
void sha256(unsigned char out[32], struct str in)
{
    SHA256_CTX ctx;
    CHECK(SHA256_Init(&ctx) && SHA256_Update(&ctx, in.p ? in.p : "", in.n) &&
          SHA256_Final(out, &ctx));
}
#pragma GCC diagnostic pop

void hex_of(char *out, const unsigned char *in, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[in[i] >> 4];
        *out++ = digits[in[i] & 15];
    }
    *out = 0;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_read(unsigned char *out, size_t n, struct str hex)
{
    if (hex.n != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = digit_of(hex.p[2 * i]), low = digit_of(hex.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

bool equal_in_constant_time(const void *a, const void *b, size_t n)
{
    return CRYPTO_memcmp(a, b, n) == 0;
}

void random_bytes(void *out, size_t n)
{
    char *p = out;
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        CHECK(got > 0 || errno == EINTR);
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
    }
}

uint64_t random_u64(void)
{
    uint64_t u;
    random_bytes(&u, sizeof u);
    return u;
}

void wipe(void *p, size_t n)
{
    if (p)
        OPENSSL_cleanse(p, n);
}
