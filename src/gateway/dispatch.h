// dispatch.h - what a request asks for: a page of ours, a model's answer, or a supplier's own path.

#ifndef CAUDAL_DISPATCH_H
#define CAUDAL_DISPATCH_H

#include "gateway/client.h"

// Reads the head, authenticates, and gives the client its handler (or its error).
void dispatch(struct worker *w, struct client *c, const struct http1_head *head);

struct key;

struct asked {  // what dispatch found, for whoever answers; borrowed for the call
    const struct http1_head *head;
    struct str path;                // decoded of nothing: as sent, without the query
    int32_t tenant;                 // -1: none described
    const struct key *key;          // NULL: it came without one
    struct generation *generation;  // that `tenant` and `key` are of; held by the caller
    struct str origin;              // allowed CORS origin, or empty
    enum surface surface;           // of a model's call
    bool explain;                   // it is only to be said where it would go
};

#endif
