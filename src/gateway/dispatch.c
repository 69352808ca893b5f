#include "gateway/dispatch.h"
#include "gateway/answer.h"
#include "gateway/auth.h"
#include "gateway/exchange.h"
#include "gateway/limits.h"
#include "gateway/pages.h"
#include "gateway/passthrough.h"

// The calls that a model answers, by path.
static const struct {
    struct str path;
    enum surface surface;
} surfaces[] = {
    {{"/v1/chat/completions", 20}, SURFACE_CHAT}, {{"/v1/completions", 15}, SURFACE_COMPLETIONS},
    {{"/v1/embeddings", 14}, SURFACE_EMBEDDINGS}, {{"/v1/responses", 13}, SURFACE_RESPONSES},
    {{"/v1/messages", 12}, SURFACE_MESSAGES},
};

static enum surface surface_of(struct str path)
{
    for (size_t i = 0; i < COUNTOF(surfaces); i++)
        if (str_eq(path, surfaces[i].path))
            return surfaces[i].surface;
    return 0;
}

// Would the supplier read this path as a model's call, though we do not ("/v1//chat/completions",
// "/v1/chat%2Fcompletions")? Passed on, it would get around the router, its limits and its counts.
static bool is_disguised(struct str path)
{
    struct arena a;
    arena_init(&a, 2 * path.n + 64 * 1024);
    struct str rest = percent_decoded(&a, path), part;
    char *plain = arena_take(&a, path.n + 1);
    size_t n = 0;
    while (plain && str_cut(&rest, '/', &part)) {
        if (!part.n || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR(".."))) {
            while (n && plain[--n] != '/')
                ;
            continue;
        }
        plain[n++] = '/';
        memcpy(plain + n, part.p, part.n);
        n += part.n;
    }
    bool found = surface_of((struct str){plain, n}) != 0;
    arena_release(&a);
    return found;
}

static void refuse(struct worker *w, struct client *c, const struct asked *q, struct answer a)
{
    char id[REQUEST_ID_BYTES];
    answer_new_id(w, id);
    a.request_id = str_of(id);
    a.origin = q->origin;
    a.surface = q->surface;
    // A refused head may have a body behind it: reading it all only to throw it away is the
    // sender's gain, so only short ones keep the connection.
    int64_t length = q->head->content_length;
    a.keep = client_keep_alive(c) && !q->head->chunked && length <= 64 * 1024 &&
             !(q->head->expect_continue && length > 0);
    a.retry_after_us = -1;
    if (!a.type)
        a.type = "invalid_request_error";
    answer_error(w, c, &a);
    struct metrics_request m = {.names = &w->generation->names,
                                .tenant = q->tenant,
                                .model = -1,
                                .class = -1,
                                .pool = -1,
                                .status = a.status,
                                .surface = q->surface,
                                .ttft_us = -1};
    metrics_request(w->metrics, w->index, &m);
    log_line(w->log, LOG_INFO, "refused", log_text("id", id), log_int("status", a.status),
             log_text("code", a.code), log_str("peer", client_peer(c)));
    client_done(c, a.keep);
}

static void refuse_auth(struct worker *w, struct client *c, const struct asked *q,
                        enum auth_verdict v)
{
    switch (v) {
    case AUTH_OK: break;
    case AUTH_NO_KEY:
        // The same words for both, and for a key that was right once: nobody learns which it was.
        refuse(w, c, q,
               (struct answer){.status = 401,
                               .code = "invalid_api_key",
                               .message = "No API key that holds here was provided. Send a key of "
                                          "this gateway as 'Authorization: Bearer KEY'.",
                               .extra = STR("WWW-Authenticate: Bearer\r\n")});
        break;
    case AUTH_BAD_HOST:
        refuse(w, c, q,
               (struct answer){.status = 403,
                               .code = "host_not_allowed",
                               .message = "This gateway has no keys and answers only to loopback "
                                          "names (localhost, 127.0.0.1, [::1]) in Host."});
        break;
    case AUTH_BAD_ORIGIN:
        refuse(w, c, q,
               (struct answer){.status = 403,
                               .code = "origin_not_allowed",
                               .message = "This gateway has no keys, and pages of this origin may "
                                          "not call it; serve.cors allows origins."});
        break;
    }
}

static void refuse_bar(struct worker *w, struct client *c, const struct asked *q,
                       enum limits_bar bar)
{
    static const struct answer answers[] = {
        [LIMITS_KEY_ENDED] = {.status = 401,
                              .code = "key_expired",
                              .message = "This key has reached its end date.",
                              .extra = {"WWW-Authenticate: Bearer\r\n", 26}},
        [LIMITS_TENANT_ENDED] = {.status = 403,
                                 .code = "tenant_ended",
                                 .message = "This key's tenant, or one above it, has reached its "
                                            "end date."},
        [LIMITS_ADDRESS] = {.status = 403,
                            .code = "address_not_allowed",
                            .message = "This key may not be used from your address."},
    };
    refuse(w, c, q, answers[bar]);
}

static void answer_preflight(struct worker *w, struct client *c, const struct asked *q)
{
    const struct str *wanted = http1_get(q->head, STR("access-control-request-headers"));
    struct buf extra;
    buf_init(&extra, 4096);
    buf_lit(&extra, "Access-Control-Allow-Methods: GET, POST, DELETE, "
                    "OPTIONS\r\nAccess-Control-Max-Age: 600\r\n");
    if (wanted && http1_value_ok(*wanted))
        buf_printf(&extra, "Access-Control-Allow-Headers: " STR_FMT "\r\n", STR_ARG(*wanted));
    char id[REQUEST_ID_BYTES];
    answer_new_id(w, id);
    struct answer a = {.status = 204,
                       .request_id = str_of(id),
                       .origin = q->origin,
                       .extra = buf_str(&extra),
                       .keep = client_keep_alive(c)};
    buf_clear(&w->scratch);
    answer_head(w, c, &a, 0, &w->scratch);
    client_send(c, buf_str(&w->scratch));
    buf_release(&extra);
    client_done(c, true);
}

static void not_found(struct worker *w, struct client *c, const struct asked *q)
{
    refuse(w, c, q,
           (struct answer){.status = 404,
                           .code = "unknown_url",
                           .message =
                               "Unknown request URL. caudal answers /v1/chat/completions, "
                               "/v1/completions, /v1/embeddings, /v1/responses, /v1/messages "
                               "and /v1/models; other paths need the tenant's passthrough."});
}

static void bad_method(struct worker *w, struct client *c, const struct asked *q, const char *allow)
{
    struct buf extra;
    buf_init(&extra, 256);
    buf_printf(&extra, "Allow: %s\r\n", allow);
    refuse(w, c, q,
           (struct answer){.status = 405,
                           .code = "method_not_supported",
                           .extra = buf_str(&extra),
                           .message = "This path does not take this method."});
    buf_release(&extra);
}

static void model_call(struct worker *w, struct client *c, const struct asked *q)
{
    const struct str *encoding = http1_get(q->head, STR("content-encoding"));
    if (encoding && !str_eq_nocase(*encoding, STR("identity"))) {
        refuse(w, c, q,
               (struct answer){.status = 415,
                               .code = "unsupported_encoding",
                               .message = "A request's body is sent without Content-Encoding."});
    } else if (q->head->content_length > w->generation->portfolio->serve.body_bytes) {
        refuse(w, c, q,
               (struct answer){.status = 413,
                               .code = "request_too_large",
                               .message = "The request's body is longer than serve.limits.body."});
    } else {
        exchange_begin(w, c, q);
    }
}

// What the caller's key means for this page.
static enum auth_verdict verdict_for(const struct worker *w, enum page page,
                                     const struct http1_head *head, enum auth_verdict v)
{
    const struct metrics_config *m = &w->generation->portfolio->serve.metrics;
    if (v == AUTH_BAD_HOST || v == AUTH_BAD_ORIGIN)
        return v;
    if (page_is_open(page) || (page == PAGE_METRICS && m->access == METRICS_OPEN))
        return AUTH_OK;
    if (page != PAGE_METRICS || m->access != METRICS_OWN_KEY)
        return v;
    return auth_operator(m->keys, m->n_keys, head) ? AUTH_OK : AUTH_NO_KEY;
}

// What no page and no model answers.
static void other_call(struct worker *w, struct client *c, const struct asked *q, enum page page,
                       const struct tenant *t)
{
    if (t && t->passthrough >= 0 && str_starts(q->path, STR("/v1/")))
        passthrough_begin(w, c, q, t->passthrough);
    else if (page || q->surface)
        bad_method(w, c, q, page ? "GET, HEAD" : "POST");
    else
        not_found(w, c, q);
}

// An operator asks where this request would go, as if a tenant of the name that it says had sent
// it. Without operators' keys and without clients' whoever is on this machine may. False: refused.
static bool let_explain(struct worker *w, struct client *c, struct asked *q)
{
    const struct portfolio *p = w->generation->portfolio;
    const struct admin_config *a = &p->serve.admin;
    const struct str *tenant = http1_get(q->head, STR("x-caudal-tenant"));
    enum auth_verdict v = AUTH_NO_KEY;
    if (a->n_keys ? auth_operator(a->keys, a->n_keys, q->head) != NULL : auth_open(w))
        v = a->n_keys ? AUTH_OK : auth_check(w, q->head).verdict;
    if (v == AUTH_NO_KEY) {
        refuse(w, c, q,
               (struct answer){.status = 403,
                               .code = "explain_not_allowed",
                               .message = "x-caudal-explain is for operators: send one of "
                                          "serve.admin.keys as 'Authorization: Bearer KEY', and "
                                          "in x-caudal-tenant whose request it would be."});
    } else if (v != AUTH_OK) {
        refuse_auth(w, c, q, v);
    } else if (tenant && !table_get(p->tenant_names, *tenant, &q->tenant)) {
        v = AUTH_NO_KEY;
        refuse(w, c, q,
               (struct answer){.status = 400,
                               .param = "x-caudal-tenant",
                               .message = "x-caudal-tenant: there is no tenant of this name."});
    }
    q->explain = true;
    return v == AUTH_OK;
}

static bool wants_explaining(const struct asked *q)
{
    const struct str *said = http1_get(q->head, STR("x-caudal-explain"));
    return said && q->surface && str_eq(*said, STR("1")) && str_eq(q->head->method, STR("POST"));
}

void dispatch(struct worker *w, struct client *c, const struct http1_head *head)
{
    struct asked q = {.head = head, .path = head->path, .tenant = -1, .generation = w->generation};
    const struct serve_config *s = &w->generation->portfolio->serve;
    const struct str *origin = http1_get(head, STR("origin"));
    if (origin && auth_origin_allowed(s, *origin) && http1_value_ok(*origin))
        q.origin = *origin;
    if (q.origin.n && str_eq(head->method, STR("OPTIONS"))) {
        answer_preflight(w, c, &q);
        return;
    }
    enum page page = page_of(q.path);
    q.surface = surface_of(q.path);
    if (wants_explaining(&q)) {
        if (let_explain(w, c, &q))
            model_call(w, c, &q);
        return;
    }
    struct auth auth = auth_check(w, head);
    enum auth_verdict verdict = verdict_for(w, page, head, auth.verdict);
    if (verdict != AUTH_OK) {
        refuse_auth(w, c, &q, verdict);
        return;
    }
    q.tenant = auth.tenant;
    q.key = auth.key;
    enum limits_bar bar = limits_bar(w->generation, q.tenant, q.key, c, loop_wall_us(w->loop));
    if (bar && !page_is_open(page) && page != PAGE_METRICS) {
        refuse_bar(w, c, &q, bar);
        return;
    }
    const struct tenant *t = q.tenant < 0 ? NULL : &w->generation->portfolio->tenants[q.tenant];
    bool get = str_eq(head->method, STR("GET")) || client_is_head(c);
    bool post = str_eq(head->method, STR("POST"));
    if (page && get)
        page_send(w, c, page, &q);
    else if (page && page != PAGE_MODEL)
        bad_method(w, c, &q, "GET, HEAD");
    else if (q.surface && post)
        model_call(w, c, &q);
    else if (post && is_disguised(q.path))
        not_found(w, c, &q);
    else
        other_call(w, c, &q, page, t);
}
