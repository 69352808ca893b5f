// GET /admin/status: what this process is doing.

#include "gateway/admin_calls.h"
#include "gateway/levers.h"

#include <inttypes.h>
#include <unistd.h>

static void write_pool(struct admin_call *call, int32_t i)
{
    struct gateway *g = call->gateway;
    struct buf *out = &call->out;
    int64_t now_us = loop_now_us(call->worker->loop);
    const struct pool *pool = &g->portfolio->pools[i];
    struct route_pool_view v = core_view(g->core, g->generation, i, now_us);
    bool ready = v.ready && atomic_load(&generation_pool(g->generation, i)->port);
    buf_lit(out, "{\"name\":");
    buf_add_json(out, pool->name);
    buf_printf(out,
               ",\"state\":\"%s\",\"ready\":%s,\"in_flight\":%d,\"breaker_open\":%s,\"cooling\":%s",
               pool->enabled ? levers_state(g->levers, pool->name) : "not enabled",
               ready ? "true" : "false", v.in_flight, v.breaker_open ? "true" : "false",
               v.cooling ? "true" : "false");
    buf_printf(out, ",\"sent\":%" PRIu64 ",\"ok\":%" PRIu64 ",\"failed\":%" PRIu64, v.took, v.ok,
               v.failed);
    if (v.ttft_us > 0)
        buf_printf(out, ",\"ttft_ms\":%.3f", (double)v.ttft_us / 1000);
    if (v.per_token_us > 0)
        buf_printf(out, ",\"per_token_ms\":%.3f", (double)v.per_token_us / 1000);
    buf_printf(out, ",\"share\":%.9g,\"share_by_hand\":%s", v.share,
               v.share_by_hand ? "true" : "false");
    buf_lit(out, "}");
}

void admin_status(struct admin_call *call)
{
    struct gateway *g = call->gateway;
    struct buf *out = &call->out;
    int64_t now_us = loop_now_us(call->worker->loop);
    buf_printf(out,
               "{\"version\":\"" CAUDAL_VERSION "\",\"pid\":%d,\"up_s\":%.3f,\"draining\":%s,"
               "\"generation\":%" PRId64 ",\"generations\":%d",
               (int)getpid(), (double)(now_us - call->worker->began_us) / 1e6,
               g->draining ? "true" : "false", g->generation->serial, g->n_generations);
    buf_printf(out,
               ",\"clients\":%" PRId64 ",\"requests\":%" PRId64 ",\"streams\":%" PRId64
               ",\"waiting\":%d,\"pools\":[",
               metrics_value(g->metrics, METRICS_CLIENTS),
               metrics_value(g->metrics, METRICS_REQUESTS),
               metrics_value(g->metrics, METRICS_STREAMS), core_waiting(g->core));
    for (int32_t i = 0; i < g->portfolio->n_pools; i++) {
        if (i)
            buf_lit(out, ",");
        write_pool(call, i);
    }
    buf_lit(out, "],\"levers\":");
    levers_write(g->levers, out);
    buf_lit(out, "}");
    admin_answer(call, 200);
}
