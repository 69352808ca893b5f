// Who listens on a port.

#include "io/holder.h"

#include "base/base.h"
#include "lib/test.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// A socket that listens at `address`, an IPv4 one or "::"; `*port` 0: any.
static int listening(const char *address, int *port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)*port)};
    bool is_v4 = inet_pton(AF_INET, address, &v4.sin_addr) == 1;
    struct sockaddr *a = is_v4 ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6;
    socklen_t n = is_v4 ? sizeof v4 : sizeof v6;
    int fd = socket(a->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (fd < 0 || bind(fd, a, n) || listen(fd, 4) || getsockname(fd, a, &n))
        return -1;
    *port = ntohs(is_v4 ? v4.sin_port : v6.sin6_port);
    return fd;
}

// A process in a group of its own that has what we have open, until it is ended.
static pid_t other_group(void)
{
    int ready[2];
    NEED(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        close(ready[0]);
        close(ready[1]);
        for (;;)
            pause();
    }
    close(ready[1]);
    char byte;
    NEED(read(ready[0], &byte, 1) == 0);  // the group is made
    close(ready[0]);
    return pid;
}

static void end(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void our_own_listener_is_ours_alone(void)
{
    static const char *const places[] = {"127.0.0.1", "0.0.0.0", "::"};
    pid_t other = other_group();
    for (size_t i = 0; i < COUNTOF(places); i++) {
        int port = 0, fd = listening(places[i], &port);
        if (fd < 0 && i == 2)
            continue;  // a machine without IPv6
        NEED(fd >= 0);
        EXPECT(group_listens(getpgrp(), port), "%s: ours", places[i]);
        EXPECT(!group_listens(other, port), "%s: theirs", places[i]);
        close(fd);
        EXPECT(!group_listens(getpgrp(), port), "%s: nobody's", places[i]);
    }
    end(other);
}

static void a_listener_elsewhere_gets_no_connection(void)
{
    int port = 0, fd = listening("127.0.0.2", &port);
    NEED(fd >= 0);
    EXPECT(!group_listens(getpgrp(), port), "127.0.0.2 is not 127.0.0.1");
    close(fd);
}

// Two that share a port share its connections: one of them being ours is not enough.
static void a_shared_port_is_nobodys(void)
{
    int port = 0, theirs = listening("127.0.0.1", &port);
    NEED(theirs >= 0);
    pid_t other = other_group();
    close(theirs);
    int ours = listening("127.0.0.1", &port);
    NEED(ours >= 0);
    EXPECT(!group_listens(getpgrp(), port), "shared");
    end(other);
    EXPECT(group_listens(getpgrp(), port), "alone");
    close(ours);
}

struct asked {
    struct loop *loop;
    int told;
    bool listens;
};

static void on_told(void *ctx, bool listens)
{
    struct asked *a = ctx;
    a->told++;
    a->listens = listens;
    loop_stop(a->loop);
}

static void a_look_beside_the_loop_says_the_same_unless_it_is_forgotten(void)
{
    struct asked a = {0}, b = {0};
    int port = 0, fd = listening("127.0.0.1", &port);
    NEED(fd >= 0 && !loop_new(&a.loop, NULL));
    b.loop = a.loop;
    holder_forget(holder_look(a.loop, getpgrp(), port, on_told, &b));
    holder_look(a.loop, getpgrp(), port, on_told, &a);
    loop_run(a.loop);
    EXPECT(a.told == 1 && a.listens == group_listens(getpgrp(), port) && a.listens, "%d", a.told);
    loop_free(a.loop);
    EXPECT(b.told == 0, "told though it is forgotten");
    close(fd);
}

int main(void)
{
    TEST(our_own_listener_is_ours_alone);
    TEST(a_listener_elsewhere_gets_no_connection);
    TEST(a_shared_port_is_nobodys);
    TEST(a_look_beside_the_loop_says_the_same_unless_it_is_forgotten);
    return test_end();
}
