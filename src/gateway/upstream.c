#include "gateway/upstream.h"

#include <stdlib.h>

enum {
    IDLE_MAX = 1024,  // links kept for one endpoint by one worker
    LISTS_MIN = 16,
    HEADERS_MAX = 100,
    HEAD_BYTES_MAX = 64 * 1024,
};
// Shorter than what common servers allow (nginx 75 s, uvicorn 5 s is beaten by the stale retry).
static const int64_t idle_keep_us = S(55);

struct link {
    struct upstream *owner;
    struct endpoint_id id;  // of what it leads to: outlives the generation it was made in
    int32_t port;
    struct conn *conn;
    struct http1 *http;
    const struct link_calls *calls;  // NULL: idle or dropped
    void *ctx;
    struct link *newer, *older;  // in the idle list of its endpoint
    int64_t kept_at_us;
    bool idle, dropped;
};

struct idle_list {
    struct endpoint_id id;
    struct link *newest, *oldest;
    int32_t n;
    bool used;  // of the table; stays until the table is made anew
};

struct upstream {
    struct loop *loop;
    struct idle_list *lists;  // [n_lists], open addressing by id
    int32_t n_lists;          // a power of two
    int32_t n_used;           // at most half
    int32_t n_idle;
    int32_t n_links;
    struct timer sweep;
    bool freed;
};

static bool is_same(struct endpoint_id x, struct endpoint_id y)
{
    return x.a == y.a && x.b == y.b;
}

static struct idle_list *slot_of(const struct upstream *u, struct endpoint_id id)
{
    uint32_t mask = (uint32_t)u->n_lists - 1, at = (uint32_t)id.a & mask;
    while (u->lists[at].used && !is_same(u->lists[at].id, id))
        at = (at + 1) & mask;
    return &u->lists[at];
}

// Twice as many places as there are lists with a link: those of endpoints that reloads took away
// go.
static void rebuild(struct upstream *u)
{
    struct idle_list *old = u->lists;
    int32_t n_old = u->n_lists, full = 0;
    for (int32_t i = 0; i < n_old; i++)
        full += old[i].n > 0;
    u->n_lists = LISTS_MIN;
    while (u->n_lists < 4 * (full + 1))
        u->n_lists *= 2;
    u->lists = take_n(sizeof *u->lists, (size_t)u->n_lists);
    u->n_used = full;
    for (int32_t i = 0; i < n_old; i++)
        if (old[i].n)
            *slot_of(u, old[i].id) = old[i];
    free(old);
}

static struct idle_list *list_of(struct upstream *u, struct endpoint_id id)
{
    struct idle_list *list = slot_of(u, id);
    if (list->used)
        return list;
    if (2 * (u->n_used + 1) > u->n_lists) {
        rebuild(u);
        list = slot_of(u, id);
    }
    u->n_used++;
    *list = (struct idle_list){.id = id, .used = true};
    return list;
}

static void idle_remove(struct upstream *u, struct link *k)
{
    struct idle_list *list = slot_of(u, k->id);
    *(k->newer ? &k->newer->older : &list->newest) = k->older;
    *(k->older ? &k->older->newer : &list->oldest) = k->newer;
    k->newer = k->older = NULL;
    k->idle = false;
    list->n--;
    u->n_idle--;
}

static void idle_sweep(struct timer *t)
{
    struct upstream *u = CONTAINER_OF(t, struct upstream, sweep);
    int64_t now = loop_now_us(u->loop);
    for (int32_t i = 0; i < u->n_lists; i++)
        while (u->lists[i].oldest && u->lists[i].oldest->kept_at_us + idle_keep_us <= now)
            upstream_drop(u, u->lists[i].oldest);
    if (u->n_idle)
        timer_set(u->loop, &u->sweep, now + S(5));
}

struct upstream *upstream_new(struct loop *l)
{
    struct upstream *u = take(sizeof *u);
    u->loop = l;
    rebuild(u);
    u->sweep.fire = idle_sweep;
    return u;
}

static void upstream_end(struct upstream *u)
{
    if (!u->freed || u->n_links)
        return;
    free(u->lists);
    free(u);
}

void upstream_free(struct upstream *u)
{
    if (!u)
        return;
    timer_stop(u->loop, &u->sweep);
    for (int32_t i = 0; i < u->n_lists; i++)
        while (u->lists[i].newest)
            upstream_drop(u, u->lists[i].newest);
    u->freed = true;
    upstream_end(u);
}

static void on_opened(void *ctx, enum err e, const struct diag *diag)
{
    struct link *k = ctx;
    if (k->calls)
        k->calls->opened(k->ctx, e, diag && diag->text[0] ? diag->text : err_text(e));
}

static void on_data(void *ctx, struct str bytes)
{
    struct link *k = ctx;
    if (k->calls)
        k->calls->data(k->ctx, bytes);
    else
        upstream_drop(k->owner, k);  // nobody asked: the supplier is out of step
}

static void on_eof(void *ctx)
{
    struct link *k = ctx;
    if (k->calls)
        k->calls->eof(k->ctx);
    else
        upstream_drop(k->owner, k);
}

static void on_drain(void *ctx)
{
    struct link *k = ctx;
    if (k->calls)
        k->calls->drain(k->ctx);
}

static void on_closed(void *ctx, enum err why)
{
    struct link *k = ctx;
    struct upstream *u = k->owner;
    if (k->idle)
        idle_remove(u, k);
    const struct link_calls *calls = k->calls;
    void *user = k->ctx;
    http1_free(k->http);
    free(k);
    if (calls)
        calls->lost(user, why);
    u->n_links--;
    upstream_end(u);
}

static const struct conn_calls link_conn_calls = {
    .data = on_data, .eof = on_eof, .drain = on_drain, .opened = on_opened, .closed = on_closed};

struct link *upstream_take(struct upstream *u, struct endpoint *ep, bool fresh,
                           const struct link_calls *calls, void *ctx, bool *reused)
{
    int32_t port = atomic_load(&ep->port);
    struct link *k = fresh ? NULL : list_of(u, ep->id)->newest;
    while (k && k->port != port) {  // to an engine that has gone, or has made way for another
        upstream_drop(u, k);
        k = list_of(u, ep->id)->newest;
    }
    *reused = k != NULL;
    if (k) {
        idle_remove(u, k);
        k->calls = calls;
        k->ctx = ctx;
        return k;
    }
    k = take(sizeof *k);
    k->owner = u;
    k->id = ep->id;
    k->port = port;
    k->calls = calls;
    k->ctx = ctx;
    k->http = http1_new(HTTP1_ANSWERS, (struct http1_limits){.head_bytes = HEAD_BYTES_MAX,
                                                             .body_bytes = INT64_MAX,
                                                             .headers = HEADERS_MAX});
    struct conn_target t = {.host = ep->host,
                            .port = port,
                            .tls = ep->tls,
                            .proxy_host = ep->proxy_host,
                            .proxy_port = ep->proxy_port,
                            .proxy_auth = ep->proxy_auth,
                            .timeout_us = ep->connect_us};
    u->n_links++;
    k->conn = conn_connect(u->loop, &t, &link_conn_calls, k);
    return k;
}

struct conn *link_conn(struct link *k)
{
    return k->conn;
}

struct http1 *link_http(struct link *k)
{
    return k->http;
}

void upstream_keep(struct upstream *u, struct link *k)
{
    struct idle_list *list = list_of(u, k->id);
    k->calls = NULL;
    k->ctx = NULL;
    if (u->freed || list->n >= IDLE_MAX || conn_closing(k->conn)) {
        upstream_drop(u, k);
        return;
    }
    conn_resume(k->conn);  // so that its end is seen
    k->idle = true;
    k->kept_at_us = loop_now_us(u->loop);
    k->older = list->newest;
    *(list->newest ? &list->newest->newer : &list->oldest) = k;
    list->newest = k;
    list->n++;
    if (u->n_idle++ == 0)
        timer_set(u->loop, &u->sweep, k->kept_at_us + S(5));
}

void upstream_drop(struct upstream *u, struct link *k)
{
    if (k->idle)
        idle_remove(u, k);
    k->calls = NULL;
    k->ctx = NULL;
    if (!k->dropped) {
        k->dropped = true;
        conn_abort(k->conn);
    }
}

int32_t upstream_idle(const struct upstream *u)
{
    return u->n_idle;
}
