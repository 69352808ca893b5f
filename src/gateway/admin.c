#include "gateway/admin.h"
#include "gateway/admin_calls.h"
#include "gateway/auth.h"
#include "gateway/gateway_inside.h"
#include "io/tls.h"
#include "wire/json.h"
#include "wire/openai.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    CLIENTS_MAX = 64,
    HEAD_BYTES_MAX = 16 * 1024,
    HEADERS_MAX = 64,
    ANSWER_BYTES_MAX = 16 * 1024 * 1024,
    AUDIT_BYTES_MAX = 1024,
};
static const int64_t request_us = S(15);  // for a request to come whole

// The calls. A path that ends with '/' takes what stands behind it as call->rest.
static const struct {
    const char *method, *path;
    void (*run)(struct admin_call *call);
} rows[] = {
    {"GET", "/admin/status", admin_status},  {"GET", "/admin/requests", admin_requests},
    {"GET", "/admin/levers", admin_levers},  {"POST", "/admin/explain", admin_explain},
    {"POST", "/admin/reload", admin_reload}, {"GET", "/admin/keys", admin_keys_list},
    {"POST", "/admin/keys", admin_keys_add}, {"DELETE", "/admin/keys/", admin_keys_revoke},
    {"POST", "/admin/drain", admin_drain},   {"POST", "/admin/disable", admin_disable},
    {"POST", "/admin/enable", admin_enable}, {"POST", "/admin/weigh", admin_weigh},
    {"POST", "/admin/derate", admin_derate}, {"POST", "/admin/share", admin_share},
    {"POST", "/admin/cap", admin_cap},       {"POST", "/admin/maintenance", admin_maintenance},
};

struct admin_client {  // one connection
    struct admin *admin;
    struct conn *conn;
    struct http1 *http;
    struct timer timer;
    struct admin_client *newer, *older;
    struct admin_call *call;  // NULL: the head has not come, or it has its answer
    void (*run)(struct admin_call *call);
    struct buf body;
    bool running, answered;
};

struct admin {
    struct gateway *gateway;
    struct loop *loop;
    struct listener *listener;
    struct admin_client *clients;
    int32_t n_clients;
};

// --- answering --------------------------------------------------------------------------------

static void send_answer(struct admin_client *c, int32_t status, struct str body)
{
    struct buf head;
    buf_init(&head, 1024);
    buf_printf(&head,
               "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
               "Cache-Control: no-store\r\nConnection: close\r\n",
               status, http1_reason(status), body.n);
    if (status == 401)
        buf_lit(&head, "WWW-Authenticate: Bearer\r\n");
    buf_lit(&head, "\r\n");
    c->answered = true;
    timer_stop(c->admin->loop, &c->timer);
    conn_send2(c->conn, buf_str(&head), body);
    buf_release(&head);
    conn_close(c->conn);
}

static void refuse(struct admin_client *c, int32_t status, const char *code, const char *message)
{
    struct buf body;
    buf_init(&body, ANSWER_BYTES_MAX);
    openai_error_write(&body, message, "invalid_request_error", NULL, code);
    send_answer(c, status, buf_str(&body));
    buf_release(&body);
}

static void free_call(struct admin_call *call)
{
    if (call->client)
        call->client->call = NULL;
    arena_release(&call->arena);
    wipe(call->out.p, call->out.size);  // a key that was made, perhaps
    buf_release(&call->out);
    free(call);
}

void admin_answer(struct admin_call *call, int32_t status)
{
    if (call->client && !conn_closing(call->client->conn)) {
        if (!buf_len(&call->out))
            buf_lit(&call->out, "{}");
        buf_lit(&call->out, "\n");
        send_answer(call->client, status, buf_str(&call->out));
    }
    free_call(call);
}

void admin_refuse(struct admin_call *call, int32_t status, const char *code, const char *fmt, ...)
{
    char message[2048];
    va_list args;
    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    buf_clear(&call->out);
    openai_error_write(&call->out, message, status < 500 ? "invalid_request_error" : "server_error",
                       NULL, code);
    admin_answer(call, status);
}

bool admin_text(struct admin_call *call, const char *name, struct str *out)
{
    struct json_span span;
    size_t n;
    if (!call->body.n || !json_get(call->body, str_of(name), &span) || span.kind != JSON_STRING)
        return false;
    size_t size = json_string_bytes(call->body, span) + 1;
    char *text = arena_take(&call->arena, size);
    if (!text || !json_string(call->body, span, text, size, &n))
        return false;
    *out = (struct str){text, n};
    return true;
}

bool admin_number(struct admin_call *call, const char *name, double *out)
{
    struct json_span span;
    return call->body.n && json_get(call->body, str_of(name), &span) && span.kind == JSON_NUMBER &&
           json_double(call->body, span, out);
}

void admin_audit(struct admin_call *call, const char *what, struct str detail)
{
    if (detail.n > AUDIT_BYTES_MAX)
        detail.n = AUDIT_BYTES_MAX;
    log_line(call->gateway->config->log, LOG_INFO, "admin", log_text("who", call->who),
             log_text("what", what), log_str("detail", detail));
    ledger_audit(call->gateway->ledger, loop_wall_us(call->worker->loop), str_of(call->who),
                 str_of(what), detail);
}

// --- who asks ---------------------------------------------------------------------------------

// The key's name, or enough of its hash to tell it from others.
static void name_key(struct admin_call *call, const struct admin_key *key)
{
    char hex[9];
    hex_of(hex, key->sha256, 4);
    if (key->name.n)
        snprintf(call->who, sizeof call->who, STR_FMT, STR_ARG(key->name));
    else
        snprintf(call->who, sizeof call->who, "key %s", hex);
}

static bool key_is_right(struct admin_call *call, const struct admin_config *config,
                         const struct http1_head *head)
{
    const struct admin_key *found = auth_operator(config->keys, config->n_keys, head);
    if (found)
        name_key(call, found);
    return found != NULL;
}

// True: a certificate was shown, of an authority we trust (or the handshake would have failed).
static bool name_subject(const struct admin_client *c, struct admin_call *call)
{
    struct str subject = conn_subject(c->conn);
    if (subject.n)
        snprintf(call->who, sizeof call->who, STR_FMT, STR_ARG(subject));
    return subject.n > 0;
}

// False: it has been refused.
static bool let_in(struct admin_client *c, struct admin_call *call, const struct http1_head *head)
{
    const struct admin_config *config = &c->admin->gateway->portfolio->serve.admin;
    if (config->n_keys) {
        if (key_is_right(call, config, head)) {
            name_subject(c, call);
            return true;
        }
        refuse(c, 401, "invalid_api_key",
               "Incorrect admin key provided. Send one of serve.admin.keys as 'Authorization: "
               "Bearer KEY'.");
        return false;
    }
    snprintf(call->who, sizeof call->who, "loopback");
    bool certified = name_subject(c, call);
    const struct str *origin = http1_get(head, STR("origin"));
    struct str page = origin ? *origin : (struct str){0};
    size_t scheme;
    if (str_find(page, STR("://"), &scheme))
        page = str_skip(page, scheme + 3);
    if (!certified && !auth_is_loopback(head->host))
        refuse(c, 403, "host_not_allowed",
               "The admin address has no keys and answers only to loopback names (localhost, "
               "127.0.0.1, [::1]) in Host.");
    else if (origin && !str_eq(page, head->host))
        refuse(c, 403, "origin_not_allowed",
               "The admin address has no keys, and pages of another origin may not call it.");
    else
        return true;
    return false;
}

// --- a connection -----------------------------------------------------------------------------

static void find_call(struct admin_client *c, const struct http1_head *head)
{
    struct admin_call *call = c->call;
    bool known = false;
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        struct str path = str_of(rows[i].path);
        bool open = str_ends(path, STR("/"));
        if (open ? !str_starts(head->path, path) || head->path.n == path.n
                 : !str_eq(head->path, path))
            continue;
        known = true;
        if (!str_eq(head->method, str_of(rows[i].method)))
            continue;
        call->rest = arena_str(&call->arena, str_skip(head->path, path.n));
        c->run = rows[i].run;
        return;
    }
    if (known)
        refuse(c, 405, "method_not_supported", "This path does not take this method.");
    else
        refuse(c, 404, "unknown_url",
               "Unknown path of the admin address; 'man caudal-ctl' lists them.");
}

static void on_head(struct admin_client *c)
{
    const struct http1_head *head = http1_head(c->http);
    struct admin_call *call = take(sizeof *call);
    call->gateway = c->admin->gateway;
    call->worker = first_worker(call->gateway);
    arena_init(&call->arena, ADMIN_BODY_BYTES_MAX * 4);
    buf_init(&call->out, ANSWER_BYTES_MAX);
    call->path = arena_str(&call->arena, head->path);
    call->query = arena_str(&call->arena, head->query);
    call->client = c;
    c->call = call;
    if (let_in(c, call, head))
        find_call(c, head);
    if (c->answered)
        free_call(call);
    else if (head->expect_continue)
        conn_send(c->conn, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

static void on_whole(struct admin_client *c)
{
    struct admin_call *call = c->call;
    struct diag diag = {0};
    struct str body = str_trim(buf_str(&c->body));
    timer_stop(c->admin->loop, &c->timer);
    if (body.n) {
        enum err e = json_validate(body, &diag);
        if (e || body.p[0] != '{') {
            admin_refuse(call, 400, "invalid_json", "The body is not a JSON object%s%s.",
                         e ? ": " : "", e ? diag.text : "");
            return;
        }
        call->body = arena_str(&call->arena, body);
    }
    c->running = true;
    c->run(call);
}

static void on_data(void *ctx, struct str bytes)
{
    struct admin_client *c = ctx;
    struct http1_event ev;
    struct diag diag = {0};
    while (!c->answered) {
        if (http1_next(c->http, &bytes, &ev, &diag)) {
            refuse(c, http1_status(c->http), "bad_request", diag.text);
            if (c->call)
                free_call(c->call);
            return;
        }
        if (ev.kind == HTTP1_MORE)
            return;
        if (ev.kind == HTTP1_HEAD)
            on_head(c);
        else if (ev.kind == HTTP1_BODY)
            buf_add_str(&c->body, ev.body);  // the reader keeps the limit
        if (ev.kind != HTTP1_END)
            continue;
        conn_pause(c->conn);  // one request a connection
        on_whole(c);
        return;
    }
}

static void on_eof(void *ctx)
{
    struct admin_client *c = ctx;
    if (!c->running)
        conn_close(c->conn);
}

static void on_closed(void *ctx, enum err why)
{
    struct admin_client *c = ctx;
    struct admin *a = c->admin;
    (void)why;
    timer_stop(a->loop, &c->timer);
    *(c->newer ? &c->newer->older : &a->clients) = c->older;
    if (c->older)
        c->older->newer = c->newer;
    if (c->call && c->running)
        c->call->client = NULL;  // it goes on, and answers to nobody
    else if (c->call)
        free_call(c->call);
    http1_free(c->http);
    buf_release(&c->body);
    free(c);
    if (a->n_clients-- == CLIENTS_MAX && a->listener)
        listener_resume(a->listener);
}

static void on_drain(void *ctx)
{
    (void)ctx;
}

static void on_opened(void *ctx, enum err e, const struct diag *diag)
{
    (void)ctx, (void)e, (void)diag;
}

static void on_late(struct timer *t)
{
    struct admin_client *c = CONTAINER_OF(t, struct admin_client, timer);
    refuse(c, 408, "timeout", "The request took too long to come.");
}

static void on_accept(void *ctx, struct conn *conn)
{
    static const struct conn_calls calls = {.data = on_data,
                                            .eof = on_eof,
                                            .drain = on_drain,
                                            .opened = on_opened,
                                            .closed = on_closed};
    struct admin *a = ctx;
    struct admin_client *c = take(sizeof *c);
    c->admin = a;
    c->conn = conn;
    c->http = http1_new(HTTP1_REQUESTS, (struct http1_limits){.head_bytes = HEAD_BYTES_MAX,
                                                              .body_bytes = ADMIN_BODY_BYTES_MAX,
                                                              .headers = HEADERS_MAX});
    buf_init(&c->body, ADMIN_BODY_BYTES_MAX);
    conn_set(conn, &calls, c);
    c->older = a->clients;
    if (a->clients)
        a->clients->newer = c;
    a->clients = c;
    c->timer.fire = on_late;
    timer_set(a->loop, &c->timer, loop_now_us(a->loop) + request_us);
    if (++a->n_clients >= CLIENTS_MAX)
        listener_pause(a->listener);
}

// --- the listener -----------------------------------------------------------------------------

enum err admin_new(struct admin **out, struct gateway *g, struct diag *diag)
{
    const struct admin_config *config = &g->portfolio->serve.admin;
    *out = NULL;
    if (!config->on)
        return ERR_NONE;
    struct admin *a = take(sizeof *a);
    a->gateway = g;
    a->loop = first_worker(g)->loop;
    enum err e = takeover_listener(g->takeover, &a->listener,
                                   &(struct takeover_listen){.what = "admin",
                                                             .host = config->host,
                                                             .port = config->port,
                                                             .n = 1,
                                                             .loop = a->loop,
                                                             .on_accept = on_accept,
                                                             .ctx = a},
                                   diag);
    if (e) {
        free(a);
        return e;
    }
    listener_secure(a->listener, secure_admin(g->secure), request_us);
    log_line(g->config->log, LOG_INFO, "admin", log_str("host", config->host),
             log_int("port", listener_port(a->listener)), log_int("keys", config->n_keys));
    *out = a;
    return ERR_NONE;
}

void admin_stop(struct admin *a)
{
    if (!a || !a->listener)
        return;
    listener_close(a->listener);
    a->listener = NULL;
}

void admin_free(struct admin *a)
{
    free(a);
}

struct listener *admin_listener(const struct admin *a)
{
    return a->listener;
}

int32_t admin_port(const struct admin *a)
{
    return a && a->listener ? listener_port(a->listener) : 0;
}
