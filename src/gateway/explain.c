#include "gateway/explain.h"

#include "gateway/admin_calls.h"
#include "gateway/gateway_inside.h"
#include "gateway/limits.h"
#include "wire/explain.h"

#include <stdlib.h>

enum { LIMITS_BYTES_MAX = 64 * 1024 };

void explain_write(struct worker *w, struct generation *g, const struct key *key,
                   const struct route_ask *ask, struct buf *out)
{
    int64_t now_us = loop_now_us(w->loop);
    struct route_decision d;
    struct buf limits;
    int32_t most = core_explain(w->core, g, ask, now_us, &d, NULL, 0);
    struct route_candidate *all = take_n(sizeof *all, (size_t)most + 1);
    int32_t n = core_explain(w->core, g, ask, now_us, &d, all, most);
    buf_init(&limits, LIMITS_BYTES_MAX);
    limits_explain(w->limits, g, ask->tenant, key, now_us, loop_wall_us(w->loop), &limits);
    explain_json(out, &(struct explained){.p = g->portfolio,
                                          .ask = ask,
                                          .now_us = now_us,
                                          .decision = &d,
                                          .candidates = all,
                                          .n = n < most ? n : most,
                                          .limits = buf_str(&limits)});
    buf_release(&limits);
    free(all);
}

static bool count(struct admin_call *call, const char *name, int32_t least, int32_t *out)
{
    double v = *out;
    admin_number(call, name, &v);
    if (!(v >= least && v <= INT32_MAX) || v != (double)(int32_t)v)
        return false;
    *out = (int32_t)v;
    return true;
}

// {"model": M, "class": C, "tenant": T, "prompt_tok": N, "output_tok": N, "output_tok_max": N,
//  "stand_in": 0 or 1}
void admin_explain(struct admin_call *call)
{
    struct generation *g = call->gateway->generation;
    struct loop *loop = call->worker->loop;
    struct explain_asked asked = {.prompt_tok = 1000, .output_tok = 256};
    struct route_ask ask;
    struct diag diag = {0};
    int32_t stand_in = 0;
    if (!admin_text(call, "model", &asked.model) || !asked.model.n) {
        admin_refuse(call, 400, "invalid_request", "\"model\" is missing.");
        return;
    }
    admin_text(call, "class", &asked.class);
    admin_text(call, "tenant", &asked.tenant);
    if (!count(call, "prompt_tok", 0, &asked.prompt_tok) ||
        !count(call, "output_tok", 1, &asked.output_tok) ||
        !count(call, "output_tok_max", 0, &asked.output_tok_max) ||
        !count(call, "stand_in", 0, &stand_in)) {
        admin_refuse(call, 400, "invalid_request", "Numbers of tokens are whole ones from 0 on.");
        return;
    }
    asked.stand_in = stand_in > 0;
    if (explain_ask(&ask, g->portfolio, &asked, loop_now_us(loop), loop_wall_us(loop), &diag)) {
        admin_refuse(call, 404, "not_found", "There is %s.", diag.text);
        return;
    }
    explain_write(call->worker, g, NULL, &ask, &call->out);
    admin_answer(call, 200);
}
