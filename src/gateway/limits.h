// limits.h - who may ask, and how much: the quotas of all loops behind one lock.
//
//   dispatch: limits_bar() -> exchange, passthrough: limits_take()
//      -> limits_settle() or limits_give_back()
//
// A request is let in once, before a pool is looked for, by its key, its tenant and those above it
// together; one that none of them limits costs a comparison. The limits are those of the generation
// that the request holds; what is used is kept by stable ids over generations (route/quota.h).

#ifndef CAUDAL_LIMITS_H
#define CAUDAL_LIMITS_H

#include "gateway/keys.h"
#include "route/quota.h"

struct limits;
struct ledger;
struct client;

MUST_USE enum err limits_new(struct limits **out, struct diag *diag);
void limits_free(struct limits *l);

// Fills g->limits, and the places of its keys; for each generation before it is used, on any
// thread. `before` is the generation in use; NULL: none is yet. The counts of those whom that one
// does not limit become at least what the ledger knows (NULL: nothing), which takes as long as
// reading this month's rows.
//   Errors  ERR_LIMIT  more than QUOTA_PLACES_MAX, or the generation's arena is full
//           and those of the store
MUST_USE enum err limits_adopt(struct limits *l, struct generation *g,
                               const struct generation *before, struct ledger *ledger,
                               struct diag *diag);
// A place for a key made at run time, if something of it must be counted. ERR_LIMIT as above.
MUST_USE enum err limits_key(struct limits *l, struct key *k, struct diag *diag);
// The counts of such keys, when they are read at the start, become at least what the ledger knows.
//   Errors  those of the store
MUST_USE enum err limits_know_keys(struct limits *l, struct key *const *keys, int32_t n,
                                   struct ledger *ledger, struct diag *diag);

// Those that must let somebody in; NULL `key`: none. At most QUOTA_LEVELS_MAX.
int32_t limits_levels(const struct generation *g, int32_t tenant, const struct key *key,
                      struct quota_level levels[QUOTA_LEVELS_MAX]);

// What a pool that shadows another may cost in a day, at list price; NULL: nothing is said.
const struct quota_level *limits_shadow(const struct generation *g, int32_t pool);

// --- what is only compared ----------------------------------------------------------------------

enum limits_bar { LIMITS_MAY, LIMITS_KEY_ENDED, LIMITS_TENANT_ENDED, LIMITS_ADDRESS };
enum limits_bar limits_bar(const struct generation *g, int32_t tenant, const struct key *key,
                           const struct client *c, int64_t wall_us);
bool limits_may_model(const struct generation *g, int32_t tenant, const struct key *key,
                      int32_t model);
bool limits_may_class(const struct generation *g, int32_t tenant, const struct key *key,
                      int32_t class);
bool limits_alone(const struct key *key);  // no stand-in may answer for the model that it asks for

// --- what is counted ----------------------------------------------------------------------------

struct limits_shown {  // of the tightest level, as the headers say it; limit -1: none
    double requests_limit, requests_left, tokens_limit, tokens_left;
    int64_t requests_reset_us, tokens_reset_us;
};

struct admission {  // of one request, as long as it; zeroed: nothing is limited
    struct quota_ticket ticket;
    struct limits_shown shown;
    bool limited;  // `shown` says something
};

// False: `*why` says which limit. `a->shown` is filled either way.
bool limits_take(struct limits *l, const struct quota_level *levels, int32_t n,
                 const struct quota_ask *ask, struct admission *a, struct quota_refusal *why);
void limits_settle(struct limits *l, struct admission *a, int32_t tokens, int64_t charged_nusd,
                   int64_t now_us);
void limits_give_back(struct limits *l, struct admission *a, int64_t now_us);
struct quota_view limits_look(struct limits *l, const struct quota_level *level, int64_t now_us,
                              int64_t wall_us);

// What this tenant may be charged at most for a call, at the dearest pool of the model or of one
// that may stand in for it. `output_tok` -1: as long as a pool may answer, else
// LIMITS_OUTPUT_TOK_MAX.
enum { LIMITS_OUTPUT_TOK_MAX = 131072 };
int64_t limits_price(const struct generation *g, int32_t tenant, int32_t model, bool alone,
                     int64_t prompt_tok, int64_t output_tok, int32_t choices);

// --- what is said -------------------------------------------------------------------------------

const char *limits_what(enum quota_what what);  // "requests", "budget_day", for logs and metrics
struct answer;
// The error that a refused client gets; its message is in `text`.
struct answer limits_answer(const struct generation *g, int32_t tenant, const struct key *key,
                            const struct quota_refusal *why, struct buf *text);
// [{"who": "tenant app", "what": "requests", "used": 3, "limit": 60}, ...]: what is used of each
// limit now. Nothing where none limits it.
void limits_explain(struct limits *l, const struct generation *g, int32_t tenant,
                    const struct key *key, int64_t now_us, int64_t wall_us, struct buf *out);
// x-ratelimit-*, each with its CRLF.
void limits_headers(const struct admission *a, struct buf *out);
void limits_metrics(struct limits *l, const struct generation *g, int64_t now_us, int64_t wall_us,
                    struct buf *out);

#endif
