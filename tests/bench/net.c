#include "net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int64_t net_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct sockaddr_in loopback(int32_t port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int net_listen(int32_t *port)
{
    struct sockaddr_in at = loopback(0);
    socklen_t n = sizeof at;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    // What is accepted inherits TCP_NODELAY.
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
        bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 4096) ||
        getsockname(fd, (struct sockaddr *)&at, &n))
        DIE("cannot listen: %s", strerror(errno));
    *port = ntohs(at.sin_port);
    return fd;
}

int net_connect(int32_t port)
{
    struct sockaddr_in to = loopback(port);
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        DIE("no socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -1;
    }
    // A reset at the end leaves no port in TIME_WAIT: many thousands are opened again and again.
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

void net_watch(int epoll, int fd, uint32_t events, void *what)
{
    struct epoll_event ev = {.events = events, .data.ptr = what};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev) &&
        (errno != EEXIST || epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &ev)))
        DIE("epoll_ctl: %s", strerror(errno));
}

int net_wait(int epoll, struct epoll_event *events, int max, int64_t due_us)
{
    int64_t left = due_us == NEVER ? S(3600) : max_i64(0, due_us - net_now_us());
    struct timespec t = {.tv_sec = left / S(1), .tv_nsec = left % S(1) * 1000};
    int n = epoll_pwait2(epoll, events, max, &t, NULL);
    if (n < 0 && errno != EINTR)
        DIE("epoll_pwait2: %s", strerror(errno));
    return n < 0 ? 0 : n;
}

void net_prepare(void)
{
    struct rlimit r;
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

// The scheduler's own account in nanoseconds: /proc/PID/stat counts in ticks of 10 ms.
int64_t cpu_us_of(int32_t pid)
{
    clockid_t id;
    struct timespec t;
    if (clock_getcpuclockid(pid, &id) || clock_gettime(id, &t))
        return -1;
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t rss_kib_of(int32_t pid)
{
    char path[64], line[256];
    long long kib = -1;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return -1;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kib = strtoll(line + 6, NULL, 10);
    fclose(f);
    return kib;
}

int64_t idle_us_of_machine(void)
{
    long long user, nice, system, idle, iowait;
    FILE *f = fopen("/proc/stat", "r");
    if (!f || fscanf(f, "cpu %lld %lld %lld %lld %lld", &user, &nice, &system, &idle, &iowait) != 5)
        DIE("cannot read /proc/stat");
    fclose(f);
    return (idle + iowait) * (1000000 / sysconf(_SC_CLK_TCK));
}

int32_t cores_of_machine(void)
{
    return (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
}
