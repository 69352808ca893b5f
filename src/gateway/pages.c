#include "gateway/pages.h"
#include "gateway/answer.h"
#include "gateway/commitments.h"
#include "gateway/levers.h"
#include "gateway/limits.h"
#include "gateway/reload.h"
#include "gateway/repricer.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PAGE_BYTES_MAX = 16 * 1024 * 1024 };

static const struct str model_prefix = {"/v1/models/", 11};

enum page page_of(struct str path)
{
    if (str_eq(path, STR("/healthz")))
        return PAGE_HEALTHZ;
    if (str_eq(path, STR("/readyz")))
        return PAGE_READYZ;
    if (str_eq(path, STR("/metrics")))
        return PAGE_METRICS;
    if (str_eq(path, STR("/v1/models")) || str_eq(path, STR("/v1/models/")))
        return PAGE_MODELS;
    return str_starts(path, model_prefix) ? PAGE_MODEL : PAGE_NONE;
}

bool page_is_open(enum page page)
{
    return page == PAGE_HEALTHZ || page == PAGE_READYZ;
}

// Who serves it, as `owned_by`: the supplier when there is only one.
static struct str owner_of(const struct portfolio *p, int32_t model)
{
    int32_t owner = -1;
    for (int32_t i = 0; i < p->n_pools; i++) {
        if (!pool_answers(&p->pools[i], model))
            continue;
        if (owner >= 0 && owner != p->pools[i].supplier)
            return STR("caudal");
        owner = p->pools[i].supplier;
    }
    return owner >= 0 ? p->suppliers[owner].name : STR("caudal");
}

static bool is_served(const struct portfolio *p, int32_t model)
{
    for (int32_t i = 0; i < p->n_pools; i++)
        if (pool_answers(&p->pools[i], model))
            return true;
    return false;
}

static void write_model(const struct worker *w, int32_t model, struct buf *out)
{
    const struct portfolio *p = w->generation->portfolio;
    // Without a date of its own it is here since the gateway is: clients sort by it, and 0 is 1970.
    int64_t created_s = p->models[model].created_s ? p->models[model].created_s : w->began_s;
    buf_lit(out, "{\"id\":");
    buf_add_json(out, p->models[model].name);
    buf_printf(out, ",\"object\":\"model\",\"created\":%" PRId64 ",\"owned_by\":", created_s);
    buf_add_json(out, owner_of(p, model));
    buf_lit(out, "}");
}

static void write_models(const struct worker *w, const struct asked *q, struct buf *out)
{
    const struct portfolio *p = w->generation->portfolio;
    buf_lit(out, "{\"object\":\"list\",\"data\":[");
    bool first = true;
    for (int32_t i = 0; i < p->n_models; i++) {
        if (!is_served(p, i) || !limits_may_model(w->generation, q->tenant, q->key, i))
            continue;
        if (!first)
            buf_lit(out, ",");
        first = false;
        write_model(w, i, out);
    }
    buf_lit(out, "]}");
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

struct str percent_decoded(struct arena *a, struct str s)
{
    char *out = arena_take(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < s.n; i++) {
        int high = s.p[i] == '%' && i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.p[i + 2]) : -1;
        if (low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = s.p[i];
        }
    }
    return (struct str){out, n};
}

static void answer_model(struct worker *w, struct client *c, struct answer *a,
                         const struct asked *q, struct buf *body)
{
    const struct portfolio *p = w->generation->portfolio;
    struct arena arena;
    arena_init(&arena, 256 * 1024);
    struct str name = percent_decoded(&arena, str_skip(q->path, model_prefix.n));
    int32_t model;
    if (table_get(p->model_names, name, &model) && is_served(p, model) &&
        limits_may_model(w->generation, q->tenant, q->key, model)) {
        write_model(w, model, body);
        answer_whole(w, c, a, buf_str(body));
    } else {
        struct str message =
            arena_printf(&arena, "The model '" STR_FMT "' does not exist", STR_ARG(name));
        a->status = 404;
        a->message = message.p ? message.p : "no such model";
        a->type = "invalid_request_error";
        a->param = "model";
        a->code = "model_not_found";
        answer_error(w, c, a);
    }
    arena_release(&arena);
}

static bool is_ready(struct worker *w)
{
    const struct portfolio *p = w->generation->portfolio;
    if (w->draining)
        return false;
    for (int32_t i = 0; i < p->n_pools; i++) {
        if (!p->pools[i].enabled || p->pools[i].shadow.on ||
            !atomic_load(&w->generation->endpoints[i].port))
            continue;
        if (core_view(w->core, w->generation, i, loop_now_us(w->loop)).ready)
            return true;
    }
    return false;
}

static void write_metrics(struct worker *w, struct buf *out)
{
    const struct portfolio *p = w->generation->portfolio;
    struct metrics_pool *pools = take_n(sizeof *pools, (size_t)p->n_pools);
    for (int32_t i = 0; i < p->n_pools; i++) {
        struct route_pool_view v = core_view(w->core, w->generation, i, loop_now_us(w->loop));
        pools[i] = (struct metrics_pool){.in_flight = v.in_flight,
                                         .ready = v.ready &&
                                                  atomic_load(&w->generation->endpoints[i].port),
                                         .breaker_open = v.breaker_open,
                                         .cooling = v.cooling,
                                         .ttft_us = v.ttft_us,
                                         .per_token_us = v.per_token_us,
                                         .share = v.share,
                                         .share_forward = v.share_forward,
                                         .share_back = v.share_back};
    }
    metrics_write(w->metrics, out, p, pools, core_waiting(w->core),
                  loop_now_us(w->loop) - w->began_us);
    ledger_metrics(w->pen, out);
    otlp_metrics(w, out);
    reload_metrics(w->owner, out);
    limits_metrics(w->limits, w->generation, loop_now_us(w->loop), loop_wall_us(w->loop), out);
    commitments_metrics(w->core, w->generation, loop_wall_us(w->loop), out);
    if (w->owner->repricer)
        repricer_metrics(w->owner->repricer, out);
    levers_metrics(w->owner->levers, out);
    free(pools);
}

void page_send(struct worker *w, struct client *c, enum page page, const struct asked *q)
{
    char id[REQUEST_ID_BYTES];
    answer_new_id(w, id);
    struct answer a = {.status = 200,
                       .content_type = "application/json",
                       .request_id = str_of(id),
                       .origin = q->origin,
                       .keep = client_keep_alive(c),
                       .retry_after_us = -1};
    struct buf body;
    buf_init(&body, PAGE_BYTES_MAX);
    switch (page) {
    case PAGE_NONE: break;
    case PAGE_HEALTHZ:
        buf_lit(&body, "{\"status\":\"ok\"}\n");
        answer_whole(w, c, &a, buf_str(&body));
        break;
    case PAGE_READYZ:
        a.status = is_ready(w) ? 200 : 503;
        buf_printf(&body, "{\"status\":\"%s\"}\n",
                   a.status == 200 ? "ready"
                   : w->draining   ? "draining"
                                   : "no pool can be called yet");
        answer_whole(w, c, &a, buf_str(&body));
        break;
    case PAGE_METRICS:
        a.content_type = "text/plain; version=0.0.4; charset=utf-8";
        write_metrics(w, &body);
        answer_whole(w, c, &a, buf_str(&body));
        break;
    case PAGE_MODELS:
        write_models(w, q, &body);
        answer_whole(w, c, &a, buf_str(&body));
        break;
    case PAGE_MODEL: answer_model(w, c, &a, q, &body); break;
    }
    buf_release(&body);
    client_done(c, true);
}
