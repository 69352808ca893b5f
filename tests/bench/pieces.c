// pieces.c - how long the pieces on the way of a request take, each by itself.

#include "gateway/relay.h"
#include "io/tls.h"
#include "stopwatch.h"
#include "wire/decisions.h"
#include "wire/http1.h"
#include "wire/openai.h"

static const char head[] =
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAuthorization: Bearer "
    "sk-bench-key-0123456789\r\n"
    "Content-Type: application/json\r\nAccept: application/json\r\nUser-Agent: OpenAI/Python "
    "2.8.1\r\n"
    "x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\nContent-Length: 0\r\n\r\n";
static const char event[] =
    "data: "
    "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,"
    "\"model\":\"bench\","
    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";
static const char other_event[] =  // the same, told in another order
    "data: "
    "{\"created\":1750000000,\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\","
    "\"model\":\"bench\","
    "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"},\"finish_reason\":null}]}\n\n";

static struct {
    struct buf small, large;  // requests of 2 and 40 KB
    struct openai_request rq;
    struct http1 *http;
    struct relay relay;
    struct buf out;
    int64_t sum;
} on;

static void make_request(struct buf *b, size_t bytes)
{
    buf_init(b, bytes * 2);
    buf_lit(
        b,
        "{\"model\":\"bench\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a load.\"},"
        "{\"role\":\"user\",\"content\":\"");
    while (buf_len(b) < bytes)
        buf_lit(b, "a prompt of several plain words,\\n");
    buf_lit(b, "\"}],\"temperature\":0.7,\"max_tokens\":1024,\"stream\":true}");
}

static void read_request(void *ctx, int64_t i)
{
    (void)i;
    if (openai_read(&on.rq, SURFACE_CHAT, buf_str(ctx), NULL))
        DIE("pieces: the request cannot be read");
    on.sum += on.rq.prompt_bytes;
}

static void read_head(void *ctx, int64_t i)
{
    struct str in = STR(head);
    struct http1_event ev;
    (void)ctx, (void)i;
    do
        if (http1_next(on.http, &in, &ev, NULL))
            DIE("pieces: the head cannot be read");
    while (ev.kind != HTTP1_END);
}

static void relay_one(struct str bytes)
{
    buf_clear(&on.out);
    if (relay_stream(&on.relay, bytes, &on.out))
        DIE("pieces: the event cannot be read");
    on.sum += (int64_t)buf_len(&on.out);
}

static void relay_alike(void *ctx, int64_t i)
{
    (void)ctx, (void)i;
    relay_one(STR(event));
}

static void relay_unlike(void *ctx, int64_t i)
{
    (void)ctx;
    relay_one(i & 1 ? STR(event) : STR(other_event));
}

static void hash_key(void *ctx, int64_t i)
{
    unsigned char digest[32];
    (void)ctx, (void)i;
    sha256(digest, STR("sk-bench-key-0123456789"));
    on.sum += digest[0];
}

// What serve.events adds to a request under the core's lock, but for a copy into the ring.
static void write_records(void *ctx, int64_t i)
{
    static unsigned char bytes[DECISIONS_RECORD_BYTES_MAX];
    struct route_seen seen = {
        .ttft_us = 200000, .per_token_us = 12000, .prompt_tok = 500, .output_tok = 200};
    struct route_ask ask = {.model = 1,
                            .prompt_tok = 500,
                            .output_tok = 200,
                            .wall_us = 1795337385000000,
                            .draw = 0x123456789abcdef};
    struct route_decision d = {.pool = 3, .terms = {.total = 316900.5, .ttft_us = 200000}};
    struct decisions_record r = {.kind = DECISIONS_PICK,
                                 .number = (uint64_t)i,
                                 .generation = 1,
                                 .now_us = 90000000000 + i,
                                 .ask = &ask,
                                 .decision = &d,
                                 .seen = &seen,
                                 .of = (uint64_t)i};
    (void)ctx;
    on.sum += (int64_t)decisions_write(&r, bytes, sizeof bytes);
    r.kind = DECISIONS_DONE;
    on.sum += (int64_t)decisions_write(&r, bytes, sizeof bytes);
}

static void report(const char *what, void (*call)(void *ctx, int64_t i), void *ctx)
{
    printf("%-52s %10.3f us\n", what, stopwatch_ns(call, ctx) / 1e3);
}

int main(void)
{
    make_request(&on.small, 2000);
    make_request(&on.large, 40000);
    on.http = http1_new(HTTP1_REQUESTS, (struct http1_limits){32768, 1 << 20, 100});
    relay_init(&on.relay, SURFACE_CHAT, STR("bench"), true, 1 << 20);
    buf_init(&on.out, 1 << 20);
    report("the head of a request", read_head, NULL);
    report("its key", hash_key, NULL);
    report("its body of 2 KB", read_request, &on.small);
    report("its body of 40 KB", read_request, &on.large);
    report("an event like the one before", relay_alike, NULL);
    report("an event unlike the one before", relay_unlike, NULL);
    report("its two records in the event log", write_records, NULL);
    buf_release(&on.small);
    buf_release(&on.large);
    buf_release(&on.out);
    relay_release(&on.relay);
    http1_free(on.http);
    return 0;
}
