// tls.h - TLS to suppliers, digests and random bytes. The only file that sees OpenSSL is tls.c.
//
// Works on memory: bytes from the socket go in, bytes for the socket come out, so that one loop
// drives plain and TLS connections alike. Verification is on: chain, host name, TLS 1.2 or later.

#ifndef CAUDAL_TLS_H
#define CAUDAL_TLS_H

#include "base/buf.h"
#include "base/err.h"

struct tls_client;  // settings and sessions of one supplier; shared by the loops of a process
struct tls;         // one connection

struct tls_config {
    struct str ca_file;      // PEM; empty: the system's authorities
    bool insecure;           // no verification: tests on loopback
    struct str certificate;  // PEM file: what we show a server that asks; empty: nothing
    struct str key;          // PEM file: its key
    struct str server_name;  // SNI and the name to verify; usually the host
};
// ERR_MISSING: the CA file cannot be read; `diag` names it and says why.
MUST_USE enum err tls_client_new(struct tls_client **out, const struct tls_config *c,
                                 struct diag *diag);
void tls_client_free(struct tls_client *c);  // its connections may outlive the call

MUST_USE enum err tls_new(struct tls **out, struct tls_client *c, struct diag *diag);
void tls_free(struct tls *t);
// Bytes came from the socket. Plain bytes are appended to `plain`, bytes for the socket to `wire`.
// `*ready` becomes true when the handshake is done; `*eof` when the peer has said close-notify.
MUST_USE enum err tls_feed(struct tls *t, struct str in, struct buf *plain, struct buf *wire,
                           bool *ready, bool *eof, struct diag *diag);
MUST_USE enum err tls_start(struct tls *t, struct buf *wire, struct diag *diag);
MUST_USE enum err tls_send(struct tls *t, struct str plain, struct buf *wire, struct diag *diag);
void tls_close(struct tls *t, struct buf *wire);  // close-notify
bool tls_resumed(const struct tls *t);            // the handshake was a resumption

void sha256(unsigned char out[32], struct str in);
void hex_of(char *out, const unsigned char *in, size_t n);  // 2 n characters and a 0
bool hex_read(unsigned char *out, size_t n, struct str hex);
bool equal_in_constant_time(const void *a, const void *b, size_t n);
void random_bytes(void *out, size_t n);  // from the system; stops the program if it has none
uint64_t random_u64(void);
void wipe(void *p, size_t n);  // a secret that is no longer needed; no compiler leaves it out

#endif
