#include "io/notify.h"

#include "base/arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct notify {
    int fd;  // -1: nobody listens
    struct sockaddr_un to;
    socklen_t n_to;
    int64_t watchdog_us;
};

struct notify *notify_new(void)
{
    struct notify *n = take(sizeof *n);
    struct str path = str_of(getenv("NOTIFY_SOCKET"));
    n->fd = -1;
    n->to.sun_family = AF_UNIX;
    // A path, or a name without one, which is written with '@' and begins with 0.
    if (path.n > 1 && path.n < sizeof n->to.sun_path && (path.p[0] == '/' || path.p[0] == '@')) {
        memcpy(n->to.sun_path, path.p, path.n);
        if (path.p[0] == '@')
            n->to.sun_path[0] = 0;
        n->n_to = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n);
        n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    }
    // WATCHDOG_PID is not looked at: a process that takes over inherits the words of the one
    // before.
    if (!str_to_i64(str_of(getenv("WATCHDOG_USEC")), &n->watchdog_us) || n->fd < 0)
        n->watchdog_us = 0;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return n;
}

void notify_free(struct notify *n)
{
    if (!n)
        return;
    if (n->fd >= 0)
        close(n->fd);
    free(n);
}

bool notify_say(const struct notify *n, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    if (!n || n->fd < 0)
        return false;
    va_start(args, fmt);
    int bytes = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t size = (size_t)bytes < sizeof text ? (size_t)bytes : sizeof text - 1;
    return sendto(n->fd, text, size, MSG_NOSIGNAL, (const struct sockaddr *)&n->to, n->n_to) ==
           (ssize_t)size;
}

int64_t notify_watchdog_us(const struct notify *n)
{
    return n ? n->watchdog_us : 0;
}
