// secure.h - the certificates of the addresses we listen at (serve.tls, serve.admin.tls): read at
// the start, looked at each minute and on SIGHUP, and replaced while serving when a file changed.
//
// Belongs to the main thread. A file that cannot be used is logged, and what was there goes on.

#ifndef CAUDAL_SECURE_H
#define CAUDAL_SECURE_H

#include "io/log.h"
#include "portfolio/portfolio.h"

struct secure;

// Without any `tls:` there is nothing to do, and all below works all the same.
//   Errors  those of tls_server_new(), with the key of the portfolio in `diag`
MUST_USE enum err secure_new(struct secure **out, const struct serve_config *c, struct log *log,
                             struct diag *diag);
// What one `tls:` says, read once; `key` names it in `diag`. For a look before a start, too.
MUST_USE enum err secure_read(struct tls_server **out, const struct listen_tls *t, const char *key,
                              struct diag *diag);
void secure_watch(struct secure *s, struct loop *l);  // from here on it looks by itself
void secure_free(struct secure *s);                   // behind the loops

struct tls_server *secure_clients(const struct secure *s);  // NULL: plain
struct tls_server *secure_admin(const struct secure *s);

#endif
