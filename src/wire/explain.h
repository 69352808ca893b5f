// explain.h - a decision of the router with all that it was chosen from, as JSON: what `caudal
// explain`, the admin address and `x-caudal-explain` say. docs/formats.md has the members.

#ifndef CAUDAL_EXPLAIN_H
#define CAUDAL_EXPLAIN_H

#include "base/buf.h"
#include "route/route.h"

struct explain_asked {  // what is to be explained; names may be empty, but the model's
    struct str model, class, tenant;
    int32_t prompt_tok, output_tok, output_tok_max;
    bool stand_in;
};
// The request that it stands for, arriving now: with the class and the deadline that it would get.
//   Errors  ERR_INVALID  no such model, group, class or tenant; `diag` names it
MUST_USE enum err explain_ask(struct route_ask *out, const struct portfolio *p,
                              const struct explain_asked *asked, int64_t now_us, int64_t wall_us,
                              struct diag *diag);

struct explained {
    const struct portfolio *p;
    const struct route_ask *ask;
    int64_t now_us;  // on the clock of `ask`
    const struct route_decision *decision;
    struct route_candidate *candidates;  // [n], of route_explain(); put in order
    int32_t n;
    struct str limits;  // JSON: what limits the tenant, or empty
};

// Appends an object: who may have it first, each the cheaper before the dearer.
void explain_json(struct buf *out, const struct explained *e);

#endif
