// client.h - one connection of a client: requests in, answers out, one at a time and in order.
//
// Whoever answers a request (an exchange, a passthrough, a page) is its handler. It sends with
// client_send() and says client_done() when the answer is whole; after that the client is no longer
// its business. When the connection dies first, `gone` is the last call.

#ifndef CAUDAL_CLIENT_H
#define CAUDAL_CLIENT_H

#include "gateway/worker.h"

struct handler_calls {
    void (*body)(void *ctx, struct str bytes);  // a piece of the request's body
    void (*body_end)(void *ctx);                // the request is whole
    void (*drain)(void *ctx);                   // what was sent has gone: more may be
    void (*gone)(void *ctx);                    // the client is no more; the last call
};

struct client *client_new(struct worker *w, struct conn *conn);
struct worker *client_worker(struct client *c);

// The one who answers the request being read now.
void client_handle(struct client *c, const struct handler_calls *calls, void *ctx);
void client_send(struct client *c, struct str bytes);
void client_send2(struct client *c, struct str head, struct str body);
// True when so much waits for a slow reader that its source must stop; `drain` will come.
bool client_full(const struct client *c);
// The answer is whole. `keep`: the connection may carry another request.
void client_done(struct client *c, bool keep);
void client_abort(struct client *c);             // a cut answer that cannot be told otherwise
bool client_keep_alive(const struct client *c);  // what the request allows
bool client_is_head(const struct client *c);     // its method is HEAD: the answer has no body
bool client_body_read(const struct client *c);   // the request's body has been read to its end
int32_t client_version_minor(const struct client *c);
bool client_is_loopback(const struct client *c);
struct str client_peer(const struct client *c);
// The body is passed on as it comes: no limit on its whole.
void client_stream_body(struct client *c);
void client_pause_body(struct client *c);  // a streamed upload whose supplier is slow
void client_resume_body(struct client *c);

#endif
