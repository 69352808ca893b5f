// upstream.c - a supplier without a model: answers every POST at once, with a whole chat completion
// of 1 KB, or, when the body says "stream":true, with a stream of events of about 180 bytes at a
// steady pace.
//
//   upstream [PORTS]     listens on so many free ports of 127.0.0.1, prints them, runs until killed
//
// How many events and how far apart the request says itself, anywhere in its body: "chunks=200
// gap_us=1000". Each event holds its number and the time it was sent, for the load to check.

#include "base/arena.h"
#include "base/buf.h"
#include "base/heap.h"
#include "net.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORTS_MAX = 16, EVENTS = 512, REQUEST_BYTES_MAX = 64 << 20, WHOLE_BYTES = 1024 };

struct conn {
    int fd;
    bool writing;  // the socket is full: the rest of the beats waits in `out`
    struct buf in, out;
    struct heap_node beat;  // of a stream
    int32_t sent, chunks;
    int64_t gap_us;
};

static int epoll;
static struct heap beats;
static char read_bytes[READ_BYTES];
static char whole[WHOLE_BYTES + 256];
static size_t whole_n;

static const char stream_head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n";
static const char event_head[] =
    "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\","
    "\"created\":1750000000,\"model\":\"bench\",\"choices\":[{\"index\":0,";

static void make_whole(void)
{
    char text[WHOLE_BYTES + 1];
    static const char head[] =
        "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1750000000,"
        "\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
        "\"content\":\"";
    static const char tail[] = "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":480,"
                               "\"completion_tokens\":160,\"total_tokens\":640}}";
    size_t fill = WHOLE_BYTES - (sizeof head - 1) - (sizeof tail - 1);
    memcpy(text, head, sizeof head - 1);
    for (size_t i = 0; i < fill; i++)
        text[sizeof head - 1 + i] = "seven plain words of an answer here "[i % 36];
    memcpy(text + sizeof head - 1 + fill, tail, sizeof tail);
    whole_n = (size_t)snprintf(whole, sizeof whole,
                               "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               "Content-Length: %d\r\n\r\n%s",
                               WHOLE_BYTES, text);
}

static void drop(struct conn *c)
{
    heap_take(&beats, &c->beat);
    close(c->fd);
    buf_release(&c->in);
    buf_release(&c->out);
    free(c);
}

// False: the connection is gone.
static bool flush(struct conn *c)
{
    struct str left = buf_str(&c->out);
    ssize_t n = send(c->fd, left.p, left.n, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        drop(c);
        return false;
    }
    buf_eat(&c->out, n < 0 ? 0 : (size_t)n);
    bool writing = buf_len(&c->out) > 0;
    if (writing != c->writing)
        net_watch(epoll, c->fd, writing ? EPOLLIN | EPOLLOUT : EPOLLIN, c);
    c->writing = writing;
    return true;
}

static void put_event(struct buf *out, const char *delta)
{
    buf_printf(out, "%zx\r\n%s%s}]}\n\n\r\n", sizeof event_head - 1 + strlen(delta) + 5, event_head,
               delta);
}

static void put_content(struct conn *c)
{
    char delta[128];
    snprintf(delta, sizeof delta,
             "\"delta\":{\"content\":\"#%06d t=%016lld \"},\"finish_reason\":null", (int)c->sent++,
             (long long)net_now_us());
    put_event(&c->out, delta);
}

static void put_end(struct conn *c)
{
    char last[512];
    put_event(&c->out, "\"delta\":{},\"finish_reason\":\"stop\"");
    int n = snprintf(last, sizeof last,
                     "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\","
                     "\"created\":1750000000,\"model\":\"bench\",\"choices\":[],\"usage\":"
                     "{\"prompt_tokens\":480,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n"
                     "data: [DONE]\n\n",
                     (int)c->chunks, (int)c->chunks + 480);
    buf_printf(&c->out, "%x\r\n%s\r\n0\r\n\r\n", (unsigned)n, last);
}

// The next event of a stream, or its end.
static void beat(struct conn *c)
{
    int64_t due_us = c->beat.due_us;
    heap_take(&beats, &c->beat);
    bool more = c->sent < c->chunks;
    if (more)
        put_content(c);
    else
        put_end(c);
    if (!flush(c) || !more)
        return;
    c->beat.due_us = due_us + c->gap_us;
    heap_put(&beats, &c->beat);
}

static int64_t number_behind(struct str body, struct str word, int64_t otherwise)
{
    size_t at;
    return str_find(body, word, &at) ? strtoll(body.p + at + word.n, NULL, 10) : otherwise;
}

// The connection may be gone after it.
static void answer(struct conn *c, struct str body)
{
    size_t at;
    if (!str_find(body, STR("\"stream\":true"), &at)) {
        buf_add(&c->out, whole, whole_n);
        flush(c);
        return;
    }
    c->sent = 0;
    c->chunks = (int32_t)number_behind(body, STR("chunks="), 200);
    c->gap_us = number_behind(body, STR("gap_us="), 1000);
    buf_add_str(&c->out, STR(stream_head));
    put_event(&c->out,
              "\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null");
    c->beat.due_us = net_now_us();
    heap_put(&beats, &c->beat);
    beat(c);
}

// The bytes of the first request of `in`, its body in `*body`; 0: not all has come.
static size_t request_in(struct str in, struct str *body)
{
    size_t head;
    if (!str_find(in, STR("\r\n\r\n"), &head))
        return 0;
    struct str lines = {in.p, head + 2};
    int64_t length = 0;
    const char *at = strcasestr(in.p, "\ncontent-length:");
    if (at && at < lines.p + lines.n)
        length = strtoll(at + 16, NULL, 10);
    size_t n = head + 4 + (size_t)length;
    if (in.n < n)
        return 0;
    *body = (struct str){in.p + head + 4, (size_t)length};
    return n;
}

static void on_readable(struct conn *c)
{
    ssize_t n = recv(c->fd, read_bytes, sizeof read_bytes - 1, 0);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        drop(c);
        return;
    }
    struct str in = {read_bytes, (size_t)n}, body;
    read_bytes[n] = 0;  // for strcasestr
    if (buf_len(&c->in)) {
        char *end;
        if (!buf_add_str(&c->in, in) || !buf_reserve(&c->in, 1, &end))
            DIE("a request is too long");
        *end = 0;
        in = buf_str(&c->in);
    }
    size_t used = request_in(in, &body);
    if (used && used < in.n)
        DIE("two requests at once: the load does not pipeline");
    if (!used) {
        if (!buf_len(&c->in))
            buf_add_str(&c->in, in);
        return;
    }
    struct buf whole_request = c->in;  // `body` lies in it; the answer may end the connection
    buf_init(&c->in, REQUEST_BYTES_MAX);
    answer(c, body);
    buf_release(&whole_request);
}

static void on_connection(int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *c = take(sizeof *c);
        c->fd = fd;
        buf_init(&c->in, REQUEST_BYTES_MAX);
        buf_init(&c->out, REQUEST_BYTES_MAX);
        net_watch(epoll, fd, EPOLLIN, c);
    }
}

int main(int argc, char **argv)
{
    static int listeners[PORTS_MAX];
    struct epoll_event events[EVENTS];
    int32_t ports = argc > 1 ? atoi(argv[1]) : 1;
    if (ports < 1 || ports > PORTS_MAX)
        DIE("usage: upstream [PORTS]");
    net_prepare();
    make_whole();
    heap_init(&beats);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int32_t i = 0; i < ports; i++) {
        int32_t port;
        listeners[i] = net_listen(&port);
        net_watch(epoll, listeners[i], EPOLLIN, &listeners[i]);
        printf("%d%c", (int)port, i + 1 < ports ? ' ' : '\n');
    }
    fflush(stdout);
    for (;;) {
        struct heap_node *first = heap_first(&beats);
        int n = net_wait(epoll, events, EVENTS, first ? first->due_us : NEVER);
        for (int i = 0; i < n; i++) {
            int *listener = events[i].data.ptr;
            if (listener >= listeners && listener < listeners + PORTS_MAX)
                on_connection(*listener);
            else if (events[i].events & EPOLLOUT)
                flush(events[i].data.ptr);
            else
                on_readable(events[i].data.ptr);
        }
        int64_t now = net_now_us();
        while ((first = heap_first(&beats)) && first->due_us <= now)
            beat(CONTAINER_OF(first, struct conn, beat));
    }
}
