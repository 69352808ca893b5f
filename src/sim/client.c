// One connection: requests one after the other; what comes while an answer is under way waits.

#include "sim/inside.h"

#include "base/arena.h"

#include <stdlib.h>

static const struct {
    const char *path;
    enum surface surface;
} model_paths[] = {
    {"/v1/chat/completions", SURFACE_CHAT}, {"/v1/completions", SURFACE_COMPLETIONS},
    {"/v1/embeddings", SURFACE_EMBEDDINGS}, {"/v1/responses", SURFACE_RESPONSES},
    {"/v1/messages", SURFACE_MESSAGES},
};

static void forget(struct client *c)
{
    buf_release(&c->body);
    c->whole_body = (struct str){NULL, 0};
    c->effect = (struct sim_effect){.retry_after_us = -1};
    c->model = NULL;
    c->id = -1;
    c->ready = c->emitted = 0;
    c->opened = c->fault_done = c->hangs = c->turned_away = false;
    c->after_drip = REPLY_GOES_ON;
    c->keep_alive = false;
    c->http_1_0 = false;
    c->kind = ASK_PAGE;
    c->call = UINT64_MAX;
}

static bool bearer_is(const struct http1_head *head, struct str key)
{
    const struct str *said = http1_get(head, STR("authorization"));
    if (said && said->n > 7 && str_eq_nocase((struct str){said->p, 7}, STR("bearer ")) &&
        str_eq(str_trim(str_skip(*said, 7)), key))
        return true;
    const struct str *bare = http1_get(head, STR("x-api-key"));
    if (!bare)
        bare = http1_get(head, STR("api-key"));
    return bare && str_eq(*bare, key);
}

static void on_head(struct client *c)
{
    struct sim *s = c->sim;
    const struct http1_head *head = http1_head(c->http);
    c->keep_alive = head->keep_alive;
    c->http_1_0 = head->version_minor == 0;
    c->is_post = str_eq(head->method, STR("POST"));
    c->authorized = !buf_len(&s->key) || bearer_is(head, buf_str(&s->key));
    struct str path = head->path;
    if (path.n >= sizeof c->path)
        path.n = sizeof c->path - 1;  // no page has such a name
    memcpy(c->path, path.p, path.n);
    c->path[path.n] = 0;
    for (size_t i = 0; i < COUNTOF(model_paths); i++)
        if (c->is_post && str_eq(head->path, str_of(model_paths[i].path))) {
            c->kind = ASK_MODEL;
            c->surface = model_paths[i].surface;
        }
    if (!str_starts(head->path, STR("/sim/")))
        c->call = sim_record_head(&s->record, head, loop_wall_us(s->loop));
    if (!str_eq(head->method, STR("GET")) && !c->is_post)
        c->path[0] = 0;
    if (head->expect_continue)
        conn_send(c->conn, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    buf_init(&c->body, (size_t)s->config.body_bytes_max);
}

static void on_body(struct client *c, struct str piece)
{
    sim_record_body(&c->sim->record, c->call, piece);
    const struct http1_head *head = http1_head(c->http);
    if (head->content_length == (int64_t)piece.n)
        c->whole_body = piece;
    else
        buf_add_str(&c->body, piece);  // the reader keeps the limit
}

static void on_end(struct client *c)
{
    struct str body = c->whole_body.n ? c->whole_body : buf_str(&c->body);
    c->seq = c->kind == ASK_MODEL ? ++c->sim->seq : c->sim->seq;
    if (c->kind == ASK_MODEL)
        request_answer(c, body);
    else
        page_answer(c, body);
    if (c->state == CLIENT_ANSWERING) {
        buf_release(&c->body);
        c->whole_body = (struct str){NULL, 0};
    }
}

static void on_bad(struct client *c, const struct diag *diag)
{
    c->keep_alive = false;
    c->sim->record.rejected++;
    reply_error(c, http1_status(c->http), "bad_request", diag->text);
}

static void keep(struct client *c, struct str bytes)
{
    if (!bytes.n)
        return;
    if (!c->kept.limit)
        buf_init(&c->kept, SIM_KEPT_MAX + (64 << 10));  // and the read that passes the mark
    if (!buf_add_str(&c->kept, bytes)) {
        reply_gone(c);
        c->state = CLIENT_OVER;
        conn_abort(c->conn);
        return;
    }
    if (buf_len(&c->kept) >= SIM_KEPT_MAX && !c->paused) {
        c->paused = true;
        conn_pause(c->conn);
    }
}

static void client_read(struct client *c, struct str in)
{
    c->in_read = true;
    while (c->state == CLIENT_READING) {
        struct http1_event ev;
        struct diag diag = {.e = ERR_NONE};
        if (http1_next(c->http, &in, &ev, &diag)) {
            on_bad(c, &diag);
            break;
        }
        if (ev.kind == HTTP1_MORE)
            break;
        switch (ev.kind) {
        case HTTP1_HEAD: on_head(c); break;
        case HTTP1_BODY: on_body(c, ev.body); break;
        default: on_end(c); break;
        }
    }
    c->in_read = false;
    if (c->state == CLIENT_READING && c->whole_body.n) {  // its end has not come yet
        buf_add_str(&c->body, c->whole_body);
        c->whole_body = (struct str){NULL, 0};
    }
    if (c->state == CLIENT_ANSWERING)
        keep(c, in);
}

// A huge answer leaves its room to the system, not to the next.
static void trim(struct buf *scratch)
{
    if (scratch->size > SIM_SCRATCH_KEEP)
        buf_release(scratch);
}

void client_next(struct client *c, bool keep_alive)
{
    forget(c);
    trim(&c->sim->out);
    trim(&c->sim->event);
    if (!keep_alive) {
        c->state = CLIENT_OVER;
        conn_close(c->conn);
        return;
    }
    c->state = CLIENT_READING;
    if (c->in_read)
        return;
    struct buf early = c->kept;
    buf_init(&c->kept, early.limit);
    if (buf_len(&early))
        client_read(c, buf_str(&early));
    buf_release(&early);
    if (c->paused && buf_len(&c->kept) < SIM_KEPT_MAX) {
        c->paused = false;
        conn_resume(c->conn);
    }
}

// --- calls of the connection ------------------------------------------------------------------

static void on_data(void *ctx, struct str bytes)
{
    struct client *c = ctx;
    if (c->state == CLIENT_READING)
        client_read(c, bytes);
    else if (c->state == CLIENT_ANSWERING)
        keep(c, bytes);
}

// Whoever says that nothing more will come has gone away: clients that want their answer keep their
// side open.
static void on_eof(void *ctx)
{
    struct client *c = ctx;
    reply_gone(c);
    c->state = CLIENT_OVER;
    conn_close(c->conn);
}

static void on_drain(void *ctx)
{
    reply_drained(ctx);
}

static void release(struct client *c)
{
    struct sim *s = c->sim;
    reply_gone(c);
    if (c->prev)
        c->prev->next = c->next;
    else
        s->clients = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->record.connections--;
    http1_free(c->http);
    buf_release(&c->kept);
    buf_release(&c->body);
    free(c);
}

static void on_closed(void *ctx, enum err why)
{
    (void)why;
    release(ctx);
}

static const struct conn_calls calls = {
    .data = on_data, .eof = on_eof, .drain = on_drain, .closed = on_closed};
static const struct conn_calls no_calls = {.data = NULL};

void client_accept(void *ctx, struct conn *conn)
{
    struct sim *s = ctx;
    struct client *c = take(sizeof *c);
    struct http1_limits limits = {.head_bytes = 64 << 10,
                                  .body_bytes = s->config.body_bytes_max,
                                  .headers = HTTP1_HEADERS_MAX};
    c->sim = s;
    c->conn = conn;
    c->http = http1_new(HTTP1_REQUESTS, limits);
    c->next = s->clients;
    if (c->next)
        c->next->prev = c;
    s->clients = c;
    struct sim_record *r = &s->record;
    r->connections_total++;
    r->connections++;
    r->connections_most = max_i64(r->connections_most, r->connections);
    forget(c);
    conn_set(conn, &calls, c);
}

void client_drop(struct client *c)
{
    conn_set(c->conn, &no_calls, NULL);
    conn_abort(c->conn);
    release(c);
}
