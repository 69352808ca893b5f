// answer.h - the heads and errors that clients get.

#ifndef CAUDAL_ANSWER_H
#define CAUDAL_ANSWER_H

#include "gateway/client.h"

enum { REQUEST_ID_BYTES = 32 };

struct answer {  // what a head says beside its status; unset fields are left out
    int32_t status;
    enum surface surface;  // SURFACE_MESSAGES: errors in that dialect
    const char *content_type;
    struct str request_id;
    struct str origin;  // allowed CORS origin; empty: none
    struct str extra;   // whole header lines, each with its CRLF
    bool keep;          // the connection stays
    // of an error
    const char *message, *type, *param, *code;
    int64_t retry_after_us;  // -1: not said (retry as you like); 0 is "at once"
    bool no_retry;           // x-should-retry: false
};

// Writes a head. `length` -1: chunked (or until the connection ends, for HTTP/1.0).
void answer_head(struct worker *w, struct client *c, const struct answer *a, int64_t length,
                 struct buf *out);
// Sends a whole answer: the head and `body`. The caller says client_done().
void answer_whole(struct worker *w, struct client *c, const struct answer *a, struct str body);
// Sends {"error":{...}} with its status, and what a client's retry logic reads.
void answer_error(struct worker *w, struct client *c, const struct answer *a);
// An error for a request that could not be read: closes after it.
void answer_refuse(struct worker *w, struct client *c, const struct answer *a);
void answer_new_id(struct worker *w, char id[REQUEST_ID_BYTES]);

#endif
