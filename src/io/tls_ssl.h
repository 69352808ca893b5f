// tls_ssl.h - what tls.c (connections, suppliers, digests) and tls_server.c (clients) share. They
// alone see OpenSSL.

#ifndef CAUDAL_TLS_SSL_H
#define CAUDAL_TLS_SSL_H

#include "io/tls.h"

#include <openssl/ssl.h>

struct tls {
    SSL *ssl;
    struct tls_client *client;  // held; NULL: a client of ours is on the other side
    struct str in;              // bytes of the socket that OpenSSL has not read; only during a call
    struct buf *wire;           // where its bytes for the socket go; only during a call
    char *peer;                 // tls_peer(); made when asked for
    bool ready;
};

// A connection without a side yet.
MUST_USE enum err tls_make(struct tls **out, SSL_CTX *context, struct diag *diag);
const char *tls_last_error(void);
// Our certificate (with its chain) and its key, from PEM files. Errors as of tls_server_new().
MUST_USE enum err tls_identify(SSL_CTX *context, const char *certificate, const char *key,
                               struct diag *diag);

#endif
