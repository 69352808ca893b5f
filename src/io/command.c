#include "io/command.h"

#include "io/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READ_BYTES = 4096, SHELL_MISSING = 127 };

// Between fork and exec only calls that a thread may make there.
static pid_t start(const char *command, int to)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pid_t pid = null < 0 ? -1 : fork();
    if (pid == 0) {
        setpgid(0, 0);
        if (dup2(null, STDIN_FILENO) >= 0 && dup2(to, STDOUT_FILENO) >= 0)
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(SHELL_MISSING);
    }
    if (null >= 0)
        close(null);
    if (pid > 0)
        setpgid(pid, pid);  // whichever of the two comes first
    return pid;
}

// Reads to the end of what is written. What it starts may hold the pipe open: time ends that too.
static enum err read_all(struct buf *out, int from, int64_t end_us)
{
    char bytes[READ_BYTES];
    for (;;) {
        int64_t left_us = end_us - clock_now_us();
        struct pollfd p = {.fd = from, .events = POLLIN};
        int ready = left_us > 0 ? poll(&p, 1, (int)(left_us / 1000) + 1) : 0;
        if (ready == 0)
            return ERR_TIMEOUT;
        ssize_t n = ready < 0 ? -1 : read(from, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return ERR_SYSTEM;
        if (n == 0)
            return ERR_NONE;
        if (!buf_add(out, bytes, (size_t)n))
            return ERR_LIMIT;
    }
}

// What was read to its end may go on without its standard output.
static enum err see_end(pid_t pid, int64_t end_us)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ready;
    do {
        int64_t left_us = end_us - clock_now_us();
        ready = poll(&p, 1, left_us > 0 ? (int)(left_us / 1000) + 1 : 0);
    } while (ready < 0 && errno == EINTR);
    close(fd);
    return ready > 0 ? ERR_NONE : ERR_TIMEOUT;
}

enum err command_output(struct buf *out, const char *command, int64_t timeout_us, struct diag *diag)
{
    int ends[2], status = 0;
    if (pipe2(ends, O_CLOEXEC))
        return diag_set(diag, ERR_SYSTEM, "no pipe: error %d", errno);
    pid_t pid = start(command, ends[1]);
    int failed = errno;
    close(ends[1]);
    int64_t end_us = clock_now_us() + timeout_us;
    enum err e = pid < 0 ? ERR_SYSTEM : read_all(out, ends[0], end_us);
    if (!e)
        e = see_end(pid, end_us);
    close(ends[0]);
    if (pid < 0)
        return diag_set(diag, e, "\"%.200s\" could not be started: error %d", command, failed);
    if (e)
        kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (e == ERR_TIMEOUT)
        return diag_set(diag, e, "\"%.200s\" took more than %.3g s", command,
                        (double)timeout_us / 1e6);
    if (e)
        return diag_set(diag, e, "\"%.200s\": %s", command, err_text(e));
    if (!WIFEXITED(status) || WEXITSTATUS(status))
        return diag_set(diag, ERR_INVALID, "\"%.200s\" ended with status %d", command,
                        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    return ERR_NONE;
}
