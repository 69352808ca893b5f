// tls_server.h - TLS for those who connect to us: our certificates, their renewal, and what clients
// show. A connection of it is a `struct tls` as any other (tls.h).

#ifndef CAUDAL_TLS_SERVER_H
#define CAUDAL_TLS_SERVER_H

#include "io/tls.h"

struct tls_server;  // of one listening address; any thread may accept with it

struct tls_identity {
    struct str certificate;  // PEM file: ours, then those that lead to an authority
    struct str key;          // PEM file, without a passphrase
};

struct tls_server_config {
    const struct tls_identity *identities;  // [n]; the first is for those who ask for none by name
    int32_t n;
    struct str client_ca;    // PEM file; set: only who has a certificate of these comes in
    bool only_tls13;         // else TLS 1.2 too
    int64_t ticket_keys_us;  // how long the keys of session tickets are used; 0: 12 h
};

// Reads all files; `c` is copied.
//   Errors  ERR_MISSING, ERR_DENIED  a file cannot be read
//           ERR_INVALID  it is not what it should be, or a key is not of its certificate
//   `diag` names the file.
MUST_USE enum err tls_server_new(struct tls_server **out, const struct tls_server_config *c,
                                 struct diag *diag);
void tls_server_free(struct tls_server *s);  // connections may outlive it

// Looks whether a file has changed (inode, size or time) since it was last looked at, and then
// reads all of them anew: `*changed` says so. Connections that are open keep what they began with,
// and sessions go on to be resumed unless `client_ca` changed. When the keys of tickets have had
// their time there are new ones, and what was begun under the old ones is not resumed: who has a
// key cannot read what was said long before. One thread at a time.
//   Errors  as above; what was there stays in use, and the same files are not complained about
//   again
MUST_USE enum err tls_server_look(struct tls_server *s, bool *changed, struct diag *diag);
int64_t tls_server_until_us(struct tls_server *s);  // when the first of the certificates expires

// A connection that somebody has opened. tls_feed() is its first call.
MUST_USE enum err tls_accept(struct tls **out, struct tls_server *s, struct diag *diag);
// Whose certificate the other side has shown, as "CN=ana,O=Example"; empty: none. Borrowed from
// `t`.
struct str tls_peer(struct tls *t);

#endif
