// auth.h - who asks: keys are known by their SHA-256 only.

#ifndef CAUDAL_AUTH_H
#define CAUDAL_AUTH_H

#include "gateway/keys.h"
#include "gateway/worker.h"
#include "wire/http1.h"

struct auth_slot {          // open addressing by the digest's first bytes
    const struct key *key;  // NULL: empty
    int32_t tenant;
};

// Fills g->keys and g->auth from the portfolio's tenants. ERR_INVALID: two tenants share a key.
MUST_USE enum err auth_build(struct generation *g, struct diag *diag);

// No tenant has a key, and none was ever made at run time: loopback only, everybody may.
bool auth_open(const struct worker *w);

// AUTH_NO_KEY: none that holds; whether it is missing or wrong makes no difference to anybody.
enum auth_verdict { AUTH_OK, AUTH_NO_KEY, AUTH_BAD_HOST, AUTH_BAD_ORIGIN };
struct auth {
    enum auth_verdict verdict;
    int32_t tenant;         // AUTH_OK; -1: no tenant is described
    const struct key *key;  // NULL: it came without one; as long as the worker's generation
};
// Reads Authorization: Bearer or x-api-key. A missing and a wrong key cost the same time. Without
// keys checks Host and Origin instead, since a web page can post to a loopback server.
struct auth auth_check(const struct worker *w, const struct http1_head *head);

// What it shows as its key, borrowed from the head; empty: none.
struct str auth_key(const struct http1_head *head);
// Which of these keys the request has; NULL: none of them. The same time for all.
const struct admin_key *auth_operator(const struct admin_key *keys, int32_t n_keys,
                                      const struct http1_head *head);

// A Host or an origin's authority that names this machine: "localhost:8080", "127.0.0.1".
bool auth_is_loopback(struct str authority);
bool auth_origin_allowed(const struct serve_config *c, struct str origin);

#endif
