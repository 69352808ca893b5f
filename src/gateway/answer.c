#include "gateway/answer.h"
#include "io/tls.h"
#include "wire/openai.h"

#include <inttypes.h>

enum { ERROR_BODY_BYTES_MAX = 8 * 1024, HEAD_WORDS_BYTES = 192 };  // the words that are ours

void answer_new_id(struct worker *w, char id[REQUEST_ID_BYTES])
{
    uint64_t chance[2] = {rng_u64(&w->rng), rng_u64(&w->rng)};
    memcpy(id, "req_", 4);
    hex_of(id + 4, (const unsigned char *)chance, 12);
}

static void write_retry(const struct answer *a, struct buf *out)
{
    if (a->no_retry)
        buf_lit(out, "x-should-retry: false\r\n");
    if (a->retry_after_us < 0)
        return;
    int64_t ms = (a->retry_after_us + 999) / 1000;
    int64_t s = max_i64(1, (ms + 999) / 1000);  // Retry-After is whole seconds, at least one
    buf_printf(out, "retry-after-ms: %" PRId64 "\r\nretry-after: %" PRId64 "\r\n", ms, s);
}

void answer_head(struct worker *w, struct client *c, const struct answer *a, int64_t length,
                 struct buf *out)
{
    struct str reason = str_of(http1_reason(a->status)), date = str_of(worker_date(w)),
               type = str_of(a->content_type);
    char *at;
    if (!buf_reserve(out, HEAD_WORDS_BYTES + reason.n + date.n + type.n + a->request_id.n, &at))
        return;
    at = put_lit(at, "HTTP/1.1 ");
    at = put_int(at, a->status);
    at = put_lit(at, " ");
    at = put_str(at, reason);
    at = put_lit(at, "\r\nDate: ");
    at = put_str(at, date);
    at = put_lit(at, "\r\n");
    if (a->content_type) {
        at = put_lit(at, "Content-Type: ");
        at = put_str(at, type);
        at = put_lit(at, "\r\n");
    }
    if (length >= 0 && a->status != 204) {
        at = put_lit(at, "Content-Length: ");
        at = put_int(at, length);
        at = put_lit(at, "\r\n");
    } else if (length < 0 && client_version_minor(c) >= 1) {
        at = put_lit(at, "Transfer-Encoding: chunked\r\n");
    }
    if (a->request_id.n) {
        at = put_lit(at, "x-request-id: ");
        at = put_str(at, a->request_id);
        at = put_lit(at, "\r\n");
    }
    buf_put(out, at);
    if (a->origin.n)
        buf_printf(
            out,
            "Access-Control-Allow-Origin: " STR_FMT "\r\nVary: Origin\r\n"
            "Access-Control-Expose-Headers: x-request-id, x-caudal-decision, x-caudal-receipt, "
            "retry-after, retry-after-ms, x-ratelimit-limit-requests, x-ratelimit-limit-tokens, "
            "x-ratelimit-remaining-requests, x-ratelimit-remaining-tokens, "
            "x-ratelimit-reset-requests, x-ratelimit-reset-tokens\r\n",
            STR_ARG(a->origin));
    buf_add_str(out, a->extra);
    if (!a->keep)
        buf_lit(out, "Connection: close\r\n");
    else if (client_version_minor(c) == 0)
        buf_lit(out, "Connection: keep-alive\r\n");
    buf_lit(out, "\r\n");
}

void answer_whole(struct worker *w, struct client *c, const struct answer *a, struct str body)
{
    buf_clear(&w->scratch);
    answer_head(w, c, a, (int64_t)body.n, &w->scratch);
    client_send2(c, buf_str(&w->scratch), client_is_head(c) ? (struct str){0} : body);
    buf_clear(&w->scratch);
}

// The messages dialect has error types of its own, by status.
static const char *messages_type(int32_t status)
{
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    case 504: return "timeout_error";
    default: return status < 500 ? "invalid_request_error" : "api_error";
    }
}

static void write_error_body(const struct answer *a, struct buf *out)
{
    if (a->surface != SURFACE_MESSAGES) {
        openai_error_write(out, a->message, a->type, a->param, a->code);
        return;
    }
    buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":",
               messages_type(a->status));
    buf_add_json(out, str_of(a->message));
    buf_lit(out, "},\"request_id\":");
    buf_add_json(out, a->request_id);
    buf_lit(out, "}");
}

void answer_error(struct worker *w, struct client *c, const struct answer *a)
{
    struct buf head, body;
    buf_init(&head, ERROR_BODY_BYTES_MAX);
    buf_init(&body, ERROR_BODY_BYTES_MAX);
    write_error_body(a, &body);
    struct answer whole = *a;
    if (!whole.content_type)
        whole.content_type = "application/json";
    buf_add_str(&head, a->extra);
    write_retry(a, &head);
    whole.extra = buf_str(&head);
    answer_whole(w, c, &whole, buf_str(&body));
    buf_release(&head);
    buf_release(&body);
}

void answer_refuse(struct worker *w, struct client *c, const struct answer *a)
{
    char id[REQUEST_ID_BYTES];
    answer_new_id(w, id);
    struct answer with_id = *a;
    with_id.request_id = str_of(id);
    with_id.retry_after_us = -1;
    with_id.keep = false;
    answer_error(w, c, &with_id);
}
