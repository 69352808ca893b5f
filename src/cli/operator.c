#include "cli/operator.h"

#include "wire/json.h"

#include <stdlib.h>

enum { MESSAGE_BYTES = 512 };

struct answer_read {
    struct buf *out;
    int32_t status;
};

struct operator operator_default(void)
{
    const char *url = getenv("CAUDAL_ADMIN_URL"), *key = getenv("CAUDAL_ADMIN_KEY");
    return (struct operator){.url = url && *url ? str_of(url) : STR("http://127.0.0.1:8081"),
                             .key = key ? str_of(key) : (struct str){0}};
}

static enum err on_head(void *ctx, const struct http1_head *head, struct diag *diag)
{
    (void)diag;
    ((struct answer_read *)ctx)->status = head->status;
    return ERR_NONE;
}

static enum err on_data(void *ctx, struct str bytes, struct diag *diag)
{
    struct answer_read *r = ctx;
    return buf_add_str(r->out, bytes) ? ERR_NONE
                                      : diag_set(diag, ERR_LIMIT, "the answer is too long");
}

// {"error":{"message":...}}
static enum err refused(int32_t status, struct str body, struct diag *diag)
{
    struct json_span error, message;
    char text[MESSAGE_BYTES];
    size_t n;
    if (!json_validate(body, NULL) && json_get(body, STR("error"), &error)) {
        struct str inside = {body.p + error.at, error.n};
        if (json_get(inside, STR("message"), &message) &&
            json_string(inside, message, text, sizeof text, &n))
            return diag_set(diag, ERR_PROTOCOL, "%s", text);
    }
    return diag_set(diag, ERR_PROTOCOL, "the gateway answered %d", status);
}

enum err operator_call(const struct operator* o, const char *method, struct str path,
                       struct str body, struct buf *out, struct diag *diag)
{
    struct answer_read r = {.out = out};
    struct web_call call = {.url = o->url,
                            .trust = o->trust,
                            .path = path,
                            .method = method,
                            .key = o->key,
                            .body = body,
                            .idle_us = o->idle_us ? o->idle_us : S(30),
                            .head = on_head,
                            .data = on_data,
                            .ctx = &r};
    struct diag why = {0};
    enum err e = web_run(&call, &why);
    if (e == ERR_REFUSED)
        return diag_set(
            diag, e,
            "%s: does a gateway run with serve.admin.listen in its portfolio, at " STR_FMT
            "? --url or CAUDAL_ADMIN_URL says another address",
            why.text, STR_ARG(o->url));
    if (e)
        return diag_set(diag, e, "%s", why.text);
    return r.status < 300 ? ERR_NONE : refused(r.status, buf_str(out), diag);
}
