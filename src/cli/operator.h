// operator.h - one call of a running gateway's admin address, as the commands of operators make it.

#ifndef CAUDAL_OPERATOR_H
#define CAUDAL_OPERATOR_H

#include "base/buf.h"
#include "base/err.h"
#include "cli/web.h"

struct operator
{
    struct str url;  // "http://127.0.0.1:8081"
    struct str key;  // bearer; empty: none
    struct web_trust trust;
    int64_t idle_us;  // how long the gateway may say nothing; 0: half a minute
};
// Where there is nothing else to go by: CAUDAL_ADMIN_URL, CAUDAL_ADMIN_KEY, else the documented
// address.
struct operator operator_default(void);

// Appends the answer's JSON to `out`. `body` empty: none is sent.
//   Errors  ERR_REFUSED and others of web_run(): nobody answers there; `diag` says what to look at
//           ERR_PROTOCOL  the gateway refused; `diag` has its message
MUST_USE enum err operator_call(const struct operator* o, const char *method, struct str path,
                                struct str body, struct buf *out, struct diag *diag);

#endif
