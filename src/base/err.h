// err.h - failures of the world or the input, and where they were found.
//
// An outcome ("no pool has room") is data in a result; a broken promise is CHECK. What is left is
// `enum err`, which the caller must look at. Whoever finds the fault writes the diag, with the
// value and its place; the command prints it once.

#ifndef CAUDAL_ERR_H
#define CAUDAL_ERR_H

#include "base/base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ERR_TABLE(X) /* name, may the same call work later, what a person reads */ \
    X(ERR_LIMIT, false, "a limit on size or count was met")                        \
    X(ERR_INVALID, false, "the input is not valid")                                \
    X(ERR_MISSING, false, "something needed is not there")                         \
    X(ERR_EXISTS, false, "it is already there")                                    \
    X(ERR_DENIED, false, "not permitted")                                          \
    X(ERR_SYSTEM, true, "the operating system refused")                            \
    X(ERR_TIMEOUT, true, "the deadline passed")                                    \
    X(ERR_REFUSED, true, "the other side refused the connection")                  \
    X(ERR_RESET, true, "the connection was lost")                                  \
    X(ERR_RESOLVE, true, "the host name could not be resolved")                    \
    X(ERR_TLS, true, "the TLS handshake or verification failed")                   \
    X(ERR_PROTOCOL, true, "the other side broke the protocol")

enum err {
    ERR_NONE = 0,
#define X(name, again, text) name,
    ERR_TABLE(X)
#undef X
};

const char *err_text(enum err e);  // static text, for a person
const char *err_name(enum err e);  // "ERR_LIMIT", for logs
bool err_may_pass(enum err e);     // may the same call work later

enum { DIAG_BYTES = 512 };

// Where a failure's own words are kept. Plain data; zero it before use.
struct diag {
    enum err e;
    char text[DIAG_BYTES];
};

// Writes the first fault only (a second is a consequence of the first) and returns `e`, so that
// `return diag_set(diag, ERR_INVALID, ...)` is one line. `diag` may be NULL.
enum err diag_set(struct diag *diag, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);

#ifdef __cplusplus
}
#endif

#endif
