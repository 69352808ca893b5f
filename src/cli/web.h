// web.h - one HTTP request of a command, from its first byte to the last of the answer.

#ifndef CAUDAL_WEB_H
#define CAUDAL_WEB_H

#include "base/str.h"
#include "wire/http1.h"

struct web_trust {                // of an https server
    struct str ca;                // PEM file; empty: the system's authorities
    struct str certificate, key;  // PEM files: what we show; empty: nothing, the same file
};
// Its options, for the table of a command.
#define WEB_TRUST_OPTIONS(t)                                                     \
    option_text("--ca", "FILE", &(t)->ca,                                        \
                "PEM: authorities to trust for https, instead of the system's"), \
        option_text("--cert", "FILE", &(t)->certificate,                         \
                    "PEM: our certificate, for a server that asks for one"),     \
        option_text("--cert-key", "FILE", &(t)->key,                             \
                    "PEM: its key, if it is not in the same file")

struct web_call {
    struct str url;   // "http://127.0.0.1:8080/v1"
    struct str path;  // behind the URL's own: "/models"
    const char *method;
    struct str key;      // sent as a bearer token; empty: none
    struct str headers;  // more of them, each with its CRLF
    struct str body;     // of type application/json; empty: none
    struct web_trust trust;
    int64_t idle_us;  // how long the server may say nothing
    // The head of the answer, then its body in pieces, borrowed for the call. An error ends the
    // call.
    enum err (*head)(void *ctx, const struct http1_head *head, struct diag *diag);
    enum err (*data)(void *ctx, struct str bytes, struct diag *diag);
    void *ctx;
};

// Blocks until the answer has ended. Follows no redirects and asks no proxy.
//   Errors  ERR_INVALID   the URL or the key cannot be sent
//           ERR_MISSING, ERR_DENIED  a file of `trust` cannot be read
//           ERR_REFUSED, ERR_RESOLVE, ERR_TLS, ERR_TIMEOUT, ERR_RESET, ERR_PROTOCOL
//           and those of `head` and `data`; `diag` says why
MUST_USE enum err web_run(const struct web_call *w, struct diag *diag);

#endif
