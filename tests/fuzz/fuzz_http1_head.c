// The head reader: requests or answers (the first byte says which), whole and in pieces (the second
// byte says how long). Both must say the same, and what is given out must be as the header
// promises.

#include "lib/http1_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t pieces_of(void *arg)
{
    return *(size_t *)arg;
}

static void check_heads(enum http1_side side, struct http1_limits limits, struct str bytes)
{
    struct http1 *h = http1_new(side, limits);
    struct http1_event ev = {.kind = HTTP1_END};
    while (!http1_next(h, &bytes, &ev, NULL) && ev.kind != HTTP1_MORE) {
        const struct http1_head *head = http1_head(h);
        if (ev.kind != HTTP1_HEAD)
            continue;
        CHECK(head->n_headers <= limits.headers);
        CHECK(!(head->chunked && head->content_length >= 0));
        CHECK(side == HTTP1_ANSWERS || (head->host.n > 0 && head->path.n > 0));
        for (int32_t i = 0; i < head->n_headers; i++) {
            CHECK(http1_token_ok(head->headers[i].name));
            CHECK(http1_value_ok(head->headers[i].value));
            (void)http1_is_hop(head, head->headers[i].name);
        }
    }
    http1_free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct http1_limits limits = {.head_bytes = 1024, .body_bytes = 1000, .headers = 8};
    enum http1_side side = data[0] & 1 ? HTTP1_ANSWERS : HTTP1_REQUESTS;
    bool no_body = side == HTTP1_ANSWERS && data[0] & 2;
    size_t piece = (size_t)data[1] % 64 + 1;
    struct str bytes = {(const char *)data + 2, size - 2};
    struct http1_log whole = http1_feed(side, limits, no_body, bytes, NULL, NULL);
    struct http1_log cut = http1_feed(side, limits, no_body, bytes, pieces_of, &piece);
    CHECK(str_eq(buf_str(&whole.text), buf_str(&cut.text)));
    CHECK(str_eq(buf_str(&whole.bodies), buf_str(&cut.bodies)));
    http1_log_release(&whole);
    http1_log_release(&cut);
    check_heads(side, limits, bytes);
    return 0;
}
