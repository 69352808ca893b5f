#include "io/tls_server.h"
#include "io/tls_ssl.h"

#include "base/arena.h"
#include "base/units.h"
#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TICKET_KEYS_BYTES = 256, CA_BYTES_MAX = 1 << 20 };
static const int64_t TICKET_KEYS_US = S(12 * 3600);

struct file {
    char *path;        // NULL: none
    struct stat seen;  // when it was last looked at; zeros: it was not there
};

struct identity {
    struct file certificate, key;
};

struct tls_server {
    struct identity *identities;
    int32_t n;
    struct file client_ca;
    bool only_tls13;
    int64_t ticket_keys_us, keys_made_us;  // clock_now_us()
    pthread_mutex_t lock;                  // guards `first` and `until_us`
    SSL_CTX *first;                        // the default identity's; owns those of the others
    int64_t until_us;
};

// --- the files --------------------------------------------------------------------------------

static struct file file_of(struct str path)
{
    struct file f = {0};
    if (path.n) {
        f.path = take(path.n + 1);
        memcpy(f.path, path.p, path.n);
    }
    return f;
}

// True: it is not the one that was seen before.
static bool file_changed(struct file *f)
{
    struct stat st = {0};
    if (!f->path)
        return false;
    if (stat(f->path, &st))
        st = (struct stat){0};
    bool same = st.st_dev == f->seen.st_dev && st.st_ino == f->seen.st_ino &&
                st.st_size == f->seen.st_size && st.st_mtim.tv_sec == f->seen.st_mtim.tv_sec &&
                st.st_mtim.tv_nsec == f->seen.st_mtim.tv_nsec;
    f->seen = st;
    return !same;
}

static bool any_changed(struct tls_server *s)
{
    bool changed = file_changed(&s->client_ca);
    for (int32_t i = 0; i < s->n; i++) {
        changed |= file_changed(&s->identities[i].certificate);
        changed |= file_changed(&s->identities[i].key);
    }
    return changed;
}

// OpenSSL would only say "system lib" where a file cannot be read.
static enum err readable(const char *what, const char *path, struct diag *diag)
{
    if (access(path, R_OK) == 0)
        return ERR_NONE;
    return diag_set(diag, errno == ENOENT ? ERR_MISSING : ERR_DENIED, "%s %s: %s", what, path,
                    strerror(errno));
}

// A key with a passphrase is refused, where OpenSSL would ask the terminal for it.
static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

enum err tls_identify(SSL_CTX *context, const char *certificate, const char *key, struct diag *diag)
{
    enum err e = readable("the certificate", certificate, diag);
    if (!e)
        e = readable("the key", key, diag);
    if (e)
        return e;
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        return diag_set(diag, ERR_INVALID, "the certificate %s cannot be used: %s", certificate,
                        tls_last_error());
    FILE *f = fopen(key, "re");
    EVP_PKEY *k = f ? PEM_read_PrivateKey(f, NULL, no_passphrase, NULL) : NULL;
    if (f)
        fclose(f);
    if (!k)
        return diag_set(diag, ERR_INVALID,
                        "the key %s cannot be used: a PEM file with a private key and without a "
                        "passphrase is expected",
                        key);
    if (X509_check_private_key(SSL_CTX_get0_certificate(context), k) != 1)
        e = diag_set(diag, ERR_INVALID, "the key %s does not belong to the certificate %s", key,
                     certificate);
    else if (SSL_CTX_use_PrivateKey(context, k) != 1)
        e = diag_set(diag, ERR_INVALID, "the key %s cannot be used: %s", key, tls_last_error());
    EVP_PKEY_free(k);
    return e;
}

// Also names the sessions: one that was made under other authorities is not resumed.
static enum err load_client_ca(SSL_CTX *context, const struct file *ca, struct diag *diag)
{
    unsigned char digest[32] = {0};
    if (ca->path) {
        enum err e = readable("the authorities of clients", ca->path, diag);
        if (e)
            return e;
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca->path);
        if (!names || SSL_CTX_load_verify_file(context, ca->path) != 1) {
            sk_X509_NAME_pop_free(names, X509_NAME_free);
            return diag_set(diag, ERR_INVALID,
                            "the authorities of clients %s cannot be used: a PEM file with "
                            "certificates is expected",
                            ca->path);
        }
        SSL_CTX_set_client_CA_list(context, names);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        char *text = take(CA_BYTES_MAX);
        int fd = open(ca->path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, text, CA_BYTES_MAX);
        if (fd >= 0)
            close(fd);
        sha256(digest, (struct str){text, n > 0 ? (size_t)n : 0});
        free(text);
    }
    CHECK(SSL_CTX_set_session_id_context(context, digest, sizeof digest));
    return ERR_NONE;
}

// --- contexts ---------------------------------------------------------------------------------

struct others {  // what a first context owns: the identities that are asked for by name
    SSL_CTX **of;
    int32_t n;
};

static int others_index;

static void free_others(void *parent, void *p, CRYPTO_EX_DATA *data, int index, long number,
                        void *arg)
{
    (void)parent, (void)data, (void)index, (void)number, (void)arg;
    struct others *o = p;
    for (int32_t i = 0; o && i < o->n; i++)
        SSL_CTX_free(o->of[i]);
    if (o)
        free(o->of);
    free(o);
}

static void make_index(void)
{
    others_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_others);
    CHECK(others_index >= 0);
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                           const unsigned char *in, unsigned in_n, void *arg)
{
    (void)ssl, (void)arg;
    unsigned char *found;
    int e =
        SSL_select_next_proto(&found, out_n, (const unsigned char *)"\x08http/1.1", 9, in, in_n);
    *out = found;
    return e == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static bool is_named(const SSL_CTX *context, const char *name)
{
    return X509_check_host(SSL_CTX_get0_certificate(context), name, 0, 0, NULL) == 1;
}

// Nobody's name gets the first identity: clients say themselves whom they trust.
static int choose_identity(SSL *ssl, int *alert, void *arg)
{
    (void)alert, (void)arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const SSL_CTX *first = SSL_get_SSL_CTX(ssl);
    const struct others *o = SSL_CTX_get_ex_data(first, others_index);
    if (!name || !o || is_named(first, name))
        return SSL_TLSEXT_ERR_OK;
    for (int32_t i = 0; i < o->n; i++)
        if (is_named(o->of[i], name)) {
            SSL_set_SSL_CTX(ssl, o->of[i]);
            break;
        }
    return SSL_TLSEXT_ERR_OK;
}

static enum err context_new(SSL_CTX **out, const struct tls_server *s, int32_t identity,
                            struct diag *diag)
{
    SSL_CTX *c = SSL_CTX_new(TLS_server_method());
    CHECK(c);
    CHECK(SSL_CTX_set_min_proto_version(c, s->only_tls13 ? TLS1_3_VERSION : TLS1_2_VERSION));
    SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA | SSL_OP_NO_COMPRESSION);
    // Sessions live with the client, in a ticket: nothing to keep here, nothing to bound. One is
    // enough, since connections are kept.
    SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
    CHECK(SSL_CTX_set_num_tickets(c, 1));
    SSL_CTX_set_alpn_select_cb(c, choose_protocol, NULL);
    SSL_CTX_set_tlsext_servername_callback(c, choose_identity);
    ERR_clear_error();
    const struct identity *id = &s->identities[identity];
    enum err e = tls_identify(c, id->certificate.path, id->key.path, diag);
    if (!e)
        e = load_client_ca(c, &s->client_ca, diag);
    if (e) {
        SSL_CTX_free(c);
        return e;
    }
    *out = c;
    return ERR_NONE;
}

static int64_t expiry_us(const SSL_CTX *context)
{
    struct tm t;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(context)), &t) != 1)
        return NEVER;
    return S((int64_t)timegm(&t));
}

// Or everybody would have to shake hands anew at once when a certificate is renewed.
static void keep_ticket_keys(const struct tls_server *s, SSL_CTX *next)
{
    unsigned char keys[TICKET_KEYS_BYTES];
    long n = s->first ? SSL_CTX_get_tlsext_ticket_keys(s->first, NULL, 0) : 0;
    if (n > 0 && n <= (long)sizeof keys && SSL_CTX_get_tlsext_ticket_keys(s->first, keys, n) == 1)
        SSL_CTX_set_tlsext_ticket_keys(next, keys, n);
    OPENSSL_cleanse(keys, sizeof keys);
}

// All identities anew; nothing of `s` changes but on success. Keys of tickets are set while nobody
// uses the context yet: on one that shakes hands it would be a race.
static enum err read_all(struct tls_server *s, bool keep_keys, struct diag *diag)
{
    SSL_CTX *first;
    enum err e = context_new(&first, s, 0, diag);
    if (e)
        return e;
    int64_t until_us = expiry_us(first);
    struct others *o = take(sizeof *o);
    o->of = take_n(sizeof(SSL_CTX *), (size_t)s->n);
    CHECK(SSL_CTX_set_ex_data(first, others_index, o));
    for (int32_t i = 1; i < s->n; i++) {
        e = context_new(&o->of[o->n], s, i, diag);
        if (e) {
            SSL_CTX_free(first);
            return e;
        }
        until_us = min_i64(until_us, expiry_us(o->of[o->n++]));
    }
    if (keep_keys)
        keep_ticket_keys(s, first);
    pthread_mutex_lock(&s->lock);
    SSL_CTX *before = s->first;
    s->first = first;
    s->until_us = until_us;
    pthread_mutex_unlock(&s->lock);
    SSL_CTX_free(before);  // or by its last connection
    return ERR_NONE;
}

enum err tls_server_new(struct tls_server **out, const struct tls_server_config *config,
                        struct diag *diag)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_index);
    CHECK(config->n > 0);
    struct tls_server *s = take(sizeof *s);
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    s->identities = take_n(sizeof *s->identities, (size_t)config->n);
    s->n = config->n;
    s->only_tls13 = config->only_tls13;
    s->ticket_keys_us = config->ticket_keys_us ? config->ticket_keys_us : TICKET_KEYS_US;
    s->keys_made_us = clock_now_us();
    s->client_ca = file_of(config->client_ca);
    for (int32_t i = 0; i < s->n; i++) {
        s->identities[i].certificate = file_of(config->identities[i].certificate);
        s->identities[i].key = file_of(config->identities[i].key);
    }
    any_changed(s);
    enum err e = read_all(s, false, diag);
    if (e) {
        tls_server_free(s);
        return e;
    }
    *out = s;
    return ERR_NONE;
}

void tls_server_free(struct tls_server *s)
{
    if (!s)
        return;
    SSL_CTX_free(s->first);
    pthread_mutex_destroy(&s->lock);
    for (int32_t i = 0; i < s->n; i++) {
        free(s->identities[i].certificate.path);
        free(s->identities[i].key.path);
    }
    free(s->identities);
    free(s->client_ca.path);
    free(s);
}

enum err tls_server_look(struct tls_server *s, bool *changed, struct diag *diag)
{
    int64_t now_us = clock_now_us();
    bool old_keys = now_us - s->keys_made_us >= s->ticket_keys_us;
    *changed = any_changed(s);
    // Also when a file cannot be read, or it would be complained about at each look.
    if (old_keys)
        s->keys_made_us = now_us;
    return *changed || old_keys ? read_all(s, !old_keys, diag) : ERR_NONE;
}

int64_t tls_server_until_us(struct tls_server *s)
{
    pthread_mutex_lock(&s->lock);
    int64_t until_us = s->until_us;
    pthread_mutex_unlock(&s->lock);
    return until_us;
}

// --- one connection ---------------------------------------------------------------------------

enum err tls_accept(struct tls **out, struct tls_server *s, struct diag *diag)
{
    pthread_mutex_lock(&s->lock);
    enum err e = tls_make(out, s->first, diag);
    pthread_mutex_unlock(&s->lock);
    if (!e)
        SSL_set_accept_state((*out)->ssl);
    return e;
}

struct str tls_peer(struct tls *t)
{
    if (!t->peer) {
        X509 *shown = SSL_get0_peer_certificate(t->ssl);
        BIO *text = shown ? BIO_new(BIO_s_mem()) : NULL;
        char *p;
        if (!text)
            return STR("");
        X509_NAME_print_ex(text, X509_get_subject_name(shown), 0, XN_FLAG_RFC2253);
        long n = BIO_get_mem_data(text, &p);
        t->peer = take((size_t)n + 1);
        memcpy(t->peer, p, (size_t)n);
        BIO_free(text);
    }
    return str_of(t->peer);
}
