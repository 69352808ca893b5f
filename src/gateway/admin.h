// admin.h - what operators ask of a running gateway: an address of its own, JSON in and JSON out.
//
//   listener (serve.admin.listen) -> who asks -> the table of calls in admin.c -> admin_answer()
//
// All of it happens on the first worker's loop, beside its clients; what takes long goes to a
// thread and answers later. One request a connection. With keys (serve.admin.keys) a bearer key is
// asked for; without, only loopback may come in, and no page of another origin (a web page can post
// to a loopback server).

#ifndef CAUDAL_ADMIN_H
#define CAUDAL_ADMIN_H

#include "gateway/worker.h"

struct gateway;
struct admin;

// Listens where the portfolio of `g` says; `*out` is NULL where it says nothing.
//   Errors  those of listener_new()
MUST_USE enum err admin_new(struct admin **out, struct gateway *g, struct diag *diag);
void admin_stop(struct admin *a);  // takes no more connections; NULL: nothing happens
void admin_free(struct admin *a);  // stopped, and after its loop was freed
struct listener *admin_listener(const struct admin *a);  // NULL: not listening
int32_t admin_port(const struct admin *a);               // 0: not listening

enum { ADMIN_BODY_BYTES_MAX = 64 * 1024, ADMIN_WHO_BYTES = 80 };

struct admin_call {  // one request of an operator, as long as it is not answered
    struct gateway *gateway;
    struct worker *worker;      // the first: calls run on its loop
    char who[ADMIN_WHO_BYTES];  // the key's name, or "loopback"
    struct str path, query;
    struct str rest;              // of the path, behind a row of the table that ends with '/'
    struct str body;              // a JSON object; empty: none was sent
    struct arena arena;           // of the call
    struct buf out;               // the answer's JSON
    struct admin_client *client;  // NULL: it has gone, and the answer is for nobody
};

// Ends the call: sends call->out with this status, and frees it. May come later than the function
// of the table returned, on the same loop.
void admin_answer(struct admin_call *call, int32_t status);
// Ends the call with an error of the usual shape.
void admin_refuse(struct admin_call *call, int32_t status, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

// Members of the body. False: it is not there, or of another kind. Text lives as long as the call.
bool admin_text(struct admin_call *call, const char *name, struct str *out);
bool admin_number(struct admin_call *call, const char *name, double *out);

// Writes down that somebody changed something: a line of the log, and a row of the ledger when
// there is one. `what` is a word such as "drain", `detail` what exactly, without any secret.
void admin_audit(struct admin_call *call, const char *what, struct str detail);

#endif
