// load.c - asks a proxy (or the supplier itself) for answers, checks each, and says what they cost.
//
//   load unary  --port P --connections 64 --seconds 4          as fast as they come
//   load rate   --port P --connections 64 --rate 1500          at a fixed rate
//   load stream --port P --connections 40 --chunks 200 --gap-us 1000
//   load hold   --port P --connections 9900 --gap-us 1000000   all open at once, each once
//
// Prints one line of JSON. With --pid the CPU time and the memory of that process are in it;
// --others are the processes that belong to the measurement, so that `foreign` is what the rest of
// the machine did.
//
// The time of an answer counts from when its request was due, not from when a connection was free
// for it, so that a proxy which stops for a while is not asked less in that while.

#include "base/arena.h"
#include "net.h"
#include "reader.h"
#include "samples.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, REQUEST_BODY_BYTES = 2048, PIDS_MAX = 8 };
enum mode { UNARY, RATE, STREAM, HOLD };

static const char *const mode_names[] = {"unary", "rate", "stream", "hold"};

struct client {
    int fd;  // -1: not open
    bool busy, first_seen;
    int64_t due_us;  // when its request was to be sent
    struct reader reader;
    struct client *next_idle;
};

static struct {
    enum mode mode;
    int32_t port, connections, rate, chunks, ramp;
    int64_t gap_us, seconds_us, warm_us;
    const char *key, *model;
    int32_t pid, others[PIDS_MAX], n_others;
} opt = {.connections = 64,
         .rate = 1500,
         .chunks = 200,
         .gap_us = 1000,
         .ramp = 2000,
         .seconds_us = S(4),
         .warm_us = MS(500),
         .key = "bench",
         .model = "bench"};

struct mark {  // what was used up to a moment
    int64_t at_us, pid_us, ours_us, idle_us;
};

static struct {
    int epoll;
    struct client *clients, *idle;
    int32_t opened, in_flight, streams_open;
    struct buf request;
    int64_t next_due_us,
        waiting_due_us;        // RATE: the next request; the first that waits for a connection
    int64_t begin_us, end_us;  // of what counts; NEVER: not yet known
    bool counting, stopping;
    struct mark from, to;
    int64_t answers, events, failed;
    struct samples took, delay;
    int64_t rss_kib, rss_before_kib;
} run = {.begin_us = NEVER, .end_us = NEVER};

static char read_bytes[READ_BYTES];

static void make_request(void)
{
    struct buf body;
    buf_init(&body, REQUEST_BODY_BYTES * 2);
    bool stream = opt.mode == STREAM || opt.mode == HOLD;
    buf_printf(&body,
               "{\"model\":\"%s\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a "
               "load.\"},{\"role\":\"user\",\"content\":\"chunks=%d gap_us=%lld ",
               opt.model, (int)opt.chunks, (long long)opt.gap_us);
    struct str tail = stream ? STR("\"}],\"stream\":true,\"max_tokens\":1024}")
                             : STR("\"}],\"temperature\":0.7,\"max_tokens\":1024}");
    for (size_t i = 0; buf_len(&body) + tail.n < REQUEST_BODY_BYTES; i++)
        buf_add(&body, &"a prompt of several plain words, "[i % 33], 1);
    buf_add_str(&body, tail);
    buf_init(&run.request, 65536);
    buf_printf(&run.request,
               "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
               "Authorization: Bearer %s\r\nContent-Type: application/json\r\nAccept: */*\r\n"
               "User-Agent: caudal-bench\r\nContent-Length: %zu\r\n\r\n",
               (int)opt.port, opt.key, buf_len(&body));
    buf_add_str(&run.request, buf_str(&body));
    buf_release(&body);
}

// --- one client -------------------------------------------------------------------------------

static void failed(struct client *c, const char *why)
{
    if (run.failed++ < 3)
        fprintf(stderr, "load: failed: %s (status %d, %d events)\n", why, (int)c->reader.status,
                (int)c->reader.events);
    if (c->busy)
        run.in_flight--;
    if (c->first_seen)
        run.streams_open--;
    close(c->fd);
    reader_release(&c->reader);
    reader_init(&c->reader);
    c->fd = -1;
    c->busy = c->first_seen = false;
    if (opt.mode == HOLD)
        return;
    c->next_idle = run.idle;
    run.idle = c;
}

static void ask(struct client *c, int64_t due_us)
{
    if (c->fd < 0) {
        c->fd = net_connect(opt.port);
        if (c->fd < 0)
            DIE("load: nobody listens at port %d", (int)opt.port);
        net_watch(run.epoll, c->fd, EPOLLIN, c);
    }
    c->due_us = due_us;
    c->busy = true;
    run.in_flight++;
    reader_expect(&c->reader, opt.mode == STREAM || opt.mode == HOLD);
    struct str r = buf_str(&run.request);
    if (send(c->fd, r.p, r.n, MSG_NOSIGNAL) != (ssize_t)r.n)
        failed(c, "the request could not be sent");
}

static void on_event(void *ctx, int64_t sent_us)
{
    struct client *c = ctx;
    if (!c->first_seen) {
        c->first_seen = true;
        run.streams_open++;
    }
    if (run.counting) {
        run.events++;
        samples_add(&run.delay, net_now_us() - sent_us);
    }
}

static void on_whole(struct client *c)
{
    bool stream = c->reader.stream;
    if (stream && (!c->reader.done || c->reader.events != opt.chunks)) {
        failed(c, "a stream ended too early");
        return;
    }
    int64_t now = net_now_us();
    if (run.counting) {
        run.answers++;
        samples_add(&run.took, now - c->due_us);
    }
    run.in_flight--;
    run.streams_open -= c->first_seen;
    c->busy = c->first_seen = false;
    if (!run.stopping && opt.mode != RATE && opt.mode != HOLD) {
        ask(c, now);
    } else if (opt.mode == RATE && run.waiting_due_us < run.next_due_us) {
        int64_t due = run.waiting_due_us;
        run.waiting_due_us += S(1) / opt.rate;
        ask(c, due);
    } else {
        c->next_idle = run.idle;
        run.idle = c;
    }
}

static void on_readable(struct client *c)
{
    static const struct reader_calls calls = {.event = on_event};
    const char *why = "";
    ssize_t n = recv(c->fd, read_bytes, sizeof read_bytes, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        failed(c, n ? strerror(errno) : "the connection was closed");
    else if (!reader_feed(&c->reader, (struct str){read_bytes, (size_t)n}, &calls, c, &why))
        failed(c, why);
    else if (c->busy && c->reader.state == READER_WHOLE)
        on_whole(c);
}

// --- when -------------------------------------------------------------------------------------

static struct mark mark_now(void)
{
    struct mark m = {.at_us = net_now_us(), .idle_us = idle_us_of_machine()};
    m.ours_us = cpu_us_of((int32_t)getpid());
    for (int32_t i = 0; i < opt.n_others; i++)
        m.ours_us += cpu_us_of(opt.others[i]);
    if (opt.pid) {
        m.pid_us = cpu_us_of(opt.pid);
        m.ours_us += m.pid_us;
    }
    return m;
}

// Opens one connection after another, so that the first second is not the backlog's.
static int64_t ramp(int64_t now)
{
    static int64_t next_us;
    if (run.opened == opt.connections)
        return NEVER;
    if (!next_us)
        next_us = now;
    for (; run.opened < opt.connections && next_us <= now; next_us += S(1) / opt.ramp) {
        struct client *c = &run.clients[run.opened++];
        reader_init(&c->reader);
        c->fd = -1;
        if (opt.mode == RATE) {
            c->next_idle = run.idle;
            run.idle = c;
        } else {
            ask(c, now);
        }
    }
    if (run.opened == opt.connections && opt.mode != HOLD)
        run.begin_us = now + opt.warm_us;
    return run.opened == opt.connections ? NEVER : next_us;
}

static int64_t pace(int64_t now)
{
    if (opt.mode != RATE || run.opened < opt.connections)
        return NEVER;
    if (!run.next_due_us)
        run.next_due_us = run.waiting_due_us = now;
    for (; run.next_due_us <= now && !run.stopping; run.next_due_us += S(1) / opt.rate) {
        struct client *c = run.idle;
        if (!c)
            continue;  // it waits: the clients that become free come back for it
        run.idle = c->next_idle;
        ask(c, run.waiting_due_us);
        run.waiting_due_us += S(1) / opt.rate;
    }
    return run.stopping ? NEVER : run.next_due_us;
}

// Begins and ends what counts. Returns when to look again.
static int64_t count(int64_t now)
{
    if (opt.mode == HOLD && run.begin_us == NEVER && run.streams_open == opt.connections)
        run.begin_us = now + opt.warm_us;
    if (!run.counting && run.end_us == NEVER && run.begin_us <= now) {
        run.counting = true;
        run.from = mark_now();
        run.end_us = now + opt.seconds_us;
    } else if (run.counting && run.end_us <= now) {
        run.to = mark_now();
        run.rss_kib = opt.pid ? rss_kib_of(opt.pid) : 0;
        if (opt.mode == HOLD && run.streams_open < opt.connections)
            run.failed++;
        run.counting = false;
        run.stopping = true;
    }
    return run.counting ? run.end_us : run.stopping ? NEVER : run.begin_us;
}

static void work(void)
{
    struct epoll_event events[EVENTS];
    int64_t give_up_us = NEVER;
    while (!run.stopping || run.in_flight) {
        int64_t now = net_now_us();
        int64_t due_us = ramp(now);
        due_us = min_i64(due_us, pace(now));
        due_us = min_i64(due_us, count(now));
        // Streams may go on for as long as they last, and 10 s more.
        if (give_up_us == NEVER && (run.stopping || opt.mode == HOLD) &&
            run.opened == opt.connections)
            give_up_us = now + opt.warm_us + opt.seconds_us + opt.chunks * opt.gap_us + S(10);
        if (now >= give_up_us) {
            fprintf(stderr, "load: gave up: %d have no answer\n", (int)run.in_flight);
            run.failed += run.in_flight;
            return;
        }
        int n = net_wait(run.epoll, events, EVENTS, min_i64(due_us, give_up_us));
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr);
    }
}

// --- what it came to --------------------------------------------------------------------------

static void print(void)
{
    double s = (double)(run.to.at_us - run.from.at_us) / 1e6;
    double used = (double)(run.to.ours_us - run.from.ours_us) / 1e6;
    double idle = (double)(run.to.idle_us - run.from.idle_us) / 1e6;
    int64_t units = opt.mode == STREAM || opt.mode == HOLD ? run.events : run.answers;
    double cpu = (double)(run.to.pid_us - run.from.pid_us);
    printf("{\"mode\":\"%s\",\"seconds\":%.3f,\"answers\":%lld,\"events\":%lld,\"failed\":%lld",
           mode_names[opt.mode], s, (long long)run.answers, (long long)run.events,
           (long long)run.failed);
    printf(",\"per_second\":%.1f", s > 0 ? (double)units / s : 0);
    if (opt.pid && units)
        printf(",\"cpu_us\":%.3f,\"cores\":%.3f", cpu / (double)units, cpu / 1e6 / s);
    double foreign = s > 0 ? cores_of_machine() - (idle + used) / s : 0;
    printf(",\"foreign\":%.3f", foreign > 0 ? foreign : 0);
    if (run.took.n)
        printf(",\"p50_us\":%d,\"p99_us\":%d", samples_quantile(&run.took, 0.5),
               samples_quantile(&run.took, 0.99));
    if (run.delay.n)
        printf(",\"delay_p50_us\":%d,\"delay_p99_us\":%d", samples_quantile(&run.delay, 0.5),
               samples_quantile(&run.delay, 0.99));
    if (opt.pid)
        printf(",\"rss_before_kib\":%lld,\"rss_kib\":%lld", (long long)run.rss_before_kib,
               (long long)run.rss_kib);
    printf("}\n");
}

static void read_options(int argc, char **argv)
{
    static const struct option rows[] = {{"port", 1, NULL, 'p'},
                                         {"connections", 1, NULL, 'c'},
                                         {"rate", 1, NULL, 'r'},
                                         {"chunks", 1, NULL, 'n'},
                                         {"gap-us", 1, NULL, 'g'},
                                         {"seconds", 1, NULL, 's'},
                                         {"warm", 1, NULL, 'w'},
                                         {"key", 1, NULL, 'k'},
                                         {"model", 1, NULL, 'm'},
                                         {"pid", 1, NULL, 'i'},
                                         {"other", 1, NULL, 'o'},
                                         {"ramp", 1, NULL, 'R'},
                                         {0}};
    int o;
    size_t mode = 0;
    while (argc > 1 && mode < COUNTOF(mode_names) && strcmp(argv[1], mode_names[mode]) != 0)
        mode++;
    if (argc < 2 || mode == COUNTOF(mode_names))
        DIE("usage: load unary|rate|stream|hold --port P ...; load.c says more");
    opt.mode = (enum mode)mode;
    optind = 2;
    while ((o = getopt_long(argc, argv, "", rows, NULL)) >= 0) {
        switch (o) {
        case 'p': opt.port = atoi(optarg); break;
        case 'c': opt.connections = atoi(optarg); break;
        case 'r': opt.rate = atoi(optarg); break;
        case 'n': opt.chunks = atoi(optarg); break;
        case 'g': opt.gap_us = atoll(optarg); break;
        case 's': opt.seconds_us = (int64_t)(atof(optarg) * 1e6); break;
        case 'w': opt.warm_us = (int64_t)(atof(optarg) * 1e6); break;
        case 'k': opt.key = optarg; break;
        case 'm': opt.model = optarg; break;
        case 'i': opt.pid = atoi(optarg); break;
        case 'R': opt.ramp = atoi(optarg); break;
        case 'o':
            if (opt.n_others < PIDS_MAX)
                opt.others[opt.n_others++] = atoi(optarg);
            break;
        default: exit(2);
        }
    }
    if (opt.port < 1 || opt.connections < 1 || opt.rate < 1 || opt.ramp < 1)
        DIE("load: --port, --connections, --rate and --ramp must be above 0");
}

int main(int argc, char **argv)
{
    read_options(argc, argv);
    net_prepare();
    make_request();
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    run.clients = take_n(sizeof *run.clients, (size_t)opt.connections);
    run.rss_before_kib = opt.pid ? rss_kib_of(opt.pid) : 0;
    work();
    print();
    return run.failed ? 1 : 0;
}
