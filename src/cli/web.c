#include "cli/web.h"

#include "gateway/generation.h"
#include "io/loop.h"
#include "io/tls.h"

enum { HEAD_BYTES_MAX = 64 << 10, HEADERS_MAX = 100 };
static const int64_t connect_us = S(10);

struct call {
    const struct web_call *web;
    struct url url;
    struct loop *loop;
    struct conn *conn;
    struct http1 *http;
    struct timer idle;
    struct diag *diag;
    enum err e;
    bool done;     // the answer ended well, or an error was found
    bool interim;  // a head of the kind 1xx is being read
};

static void finish(struct call *c, enum err e)
{
    if (c->done)
        return;
    c->done = true;
    c->e = e;
    if (c->conn)
        conn_abort(c->conn);
}

static void on_idle(struct timer *t)
{
    struct call *c = CONTAINER_OF(t, struct call, idle);
    finish(c, diag_set(c->diag, ERR_TIMEOUT, "the server said nothing for %d s",
                       (int)(c->web->idle_us / S(1))));
}

static void on_data(void *ctx, struct str bytes)
{
    struct call *c = ctx;
    timer_set(c->loop, &c->idle, loop_now_us(c->loop) + c->web->idle_us);
    while (!c->done) {
        struct http1_event ev;
        struct diag why = {0};
        enum err e = http1_next(c->http, &bytes, &ev, &why);
        if (e) {
            finish(c, diag_set(c->diag, ERR_PROTOCOL, "the answer is not HTTP/1.1: %s", why.text));
            return;
        }
        switch (ev.kind) {
        case HTTP1_MORE: return;
        case HTTP1_HEAD:
            c->interim = http1_head(c->http)->status < 200;
            if (!c->interim)
                e = c->web->head(c->web->ctx, http1_head(c->http), c->diag);
            break;
        case HTTP1_BODY: e = c->web->data(c->web->ctx, ev.body, c->diag); break;
        case HTTP1_END:
            if (!c->interim)
                finish(c, ERR_NONE);
            break;
        }
        if (e)
            finish(c, e);
    }
}

static void on_eof(void *ctx)
{
    struct call *c = ctx;
    if (!c->done && http1_eof(c->http))
        finish(c, ERR_NONE);
    else
        finish(c, diag_set(c->diag, ERR_RESET,
                           "the server closed the connection before its answer ended"));
}

static void send_request(struct call *c)
{
    const struct web_call *w = c->web;
    const struct url *u = &c->url;
    struct buf head;
    buf_init(&head, SIZE_MAX / 2);
    buf_printf(&head, "%s " STR_FMT STR_FMT " HTTP/1.1\r\n", w->method, STR_ARG(u->path),
               STR_ARG(w->path));
    buf_printf(&head, "Host: %s" STR_FMT "%s:%d\r\n", u->bracketed ? "[" : "", STR_ARG(u->host),
               u->bracketed ? "]" : "", u->port);
    buf_lit(&head, "User-Agent: caudal/" CAUDAL_VERSION "\r\nAccept-Encoding: identity\r\n");
    if (w->key.n)
        buf_printf(&head, "Authorization: Bearer " STR_FMT "\r\n", STR_ARG(w->key));
    buf_add_str(&head, w->headers);
    if (w->body.n)
        buf_printf(&head, "Content-Type: application/json\r\nContent-Length: %zu\r\n", w->body.n);
    buf_lit(&head, "Connection: close\r\n\r\n");
    conn_send2(c->conn, buf_str(&head), w->body);
    buf_release(&head);
}

static void on_opened(void *ctx, enum err e, const struct diag *diag)
{
    struct call *c = ctx;
    if (e) {
        c->done = true;  // it closes by itself
        c->e = diag_set(c->diag, e, "the server cannot be reached: %s",
                        diag && diag->text[0] ? diag->text : err_text(e));
        return;
    }
    timer_set(c->loop, &c->idle, loop_now_us(c->loop) + c->web->idle_us);
    send_request(c);
}

static void on_closed(void *ctx, enum err why)
{
    struct call *c = ctx;
    c->conn = NULL;
    if (!c->done)
        finish(c,
               diag_set(c->diag, why ? why : ERR_RESET, "the connection to the server was lost: %s",
                        err_text(why ? why : ERR_RESET)));
    timer_stop(c->loop, &c->idle);
    loop_stop(c->loop);
}

static const struct conn_calls calls = {
    .data = on_data, .eof = on_eof, .opened = on_opened, .closed = on_closed};

static enum err run(struct call *c, struct diag *diag)
{
    struct tls_client *tls = NULL;
    const struct web_trust *t = &c->web->trust;
    enum err e = ERR_NONE;
    if (c->url.tls)
        e = tls_client_new(&tls,
                           &(struct tls_config){.server_name = c->url.host,
                                                .ca_file = t->ca,
                                                .certificate = t->certificate,
                                                .key = t->key.n ? t->key : t->certificate},
                           diag);
    if (!e)
        e = loop_new(&c->loop, diag);
    if (!e) {
        c->http = http1_new(HTTP1_ANSWERS, (struct http1_limits){.head_bytes = HEAD_BYTES_MAX,
                                                                 .body_bytes = INT64_MAX,
                                                                 .headers = HEADERS_MAX});
        c->idle.fire = on_idle;
        c->conn = conn_connect(
            c->loop,
            &(struct conn_target){
                .host = c->url.host, .port = c->url.port, .tls = tls, .timeout_us = connect_us},
            &calls, c);
        loop_run(c->loop);
        http1_free(c->http);
        loop_free(c->loop);
        e = c->e;
    }
    tls_client_free(tls);
    return e;
}

enum err web_run(const struct web_call *w, struct diag *diag)
{
    struct call c = {.web = w, .diag = diag};
    struct diag why = {0};
    enum err e = url_parse(&c.url, w->url, &why);
    if (e)
        return diag_set(diag, e, "\"" STR_FMT "\": %s", STR_ARG(w->url), why.text);
    if (!http1_value_ok(w->key))
        return diag_set(diag, ERR_INVALID, "the key holds a character that no header may");
    return run(&c, diag);
}
