// The chunked body of a request whose head is given: whole and in pieces (the first byte says how
// long), and written again by our own writer, which must read as the same body.

#include "lib/http1_feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static size_t pieces_of(void *arg)
{
    return *(size_t *)arg;
}

static void check_written_again(struct http1_limits limits, struct str body)
{
    struct buf b;
    buf_init(&b, SIZE_MAX / 2);
    buf_lit(&b, HEAD);
    for (size_t n; body.n; body = str_skip(body, n)) {
        n = body.n < 100 ? body.n : 100;
        http1_write_chunk_head(&b, n);
        buf_add(&b, body.p, n);
        buf_lit(&b, "\r\n");
    }
    buf_lit(&b, "0\r\n\r\n");
    struct http1_log log = http1_feed(HTTP1_REQUESTS, limits, false, buf_str(&b), NULL, NULL);
    CHECK(!log.e && log.ends == 1);
    http1_log_release(&log);
    buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct http1_limits limits = {.head_bytes = 256, .body_bytes = 5000, .headers = 8};
    size_t piece = (size_t)data[0] % 64 + 1;
    struct buf b;
    buf_init(&b, SIZE_MAX / 2);
    buf_lit(&b, HEAD);
    buf_add(&b, data + 1, size - 1);
    struct http1_log whole = http1_feed(HTTP1_REQUESTS, limits, false, buf_str(&b), NULL, NULL);
    struct http1_log cut =
        http1_feed(HTTP1_REQUESTS, limits, false, buf_str(&b), pieces_of, &piece);
    CHECK(str_eq(buf_str(&whole.text), buf_str(&cut.text)));
    CHECK(str_eq(buf_str(&whole.bodies), buf_str(&cut.bodies)));
    CHECK(whole.heads >= 1);
    if (whole.ends == 1 && whole.heads == 1)
        check_written_again(limits, buf_str(&whole.bodies));
    http1_log_release(&whole);
    http1_log_release(&cut);
    buf_release(&b);
    return 0;
}
