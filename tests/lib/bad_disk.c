// bad_disk.c - loaded with LD_PRELOAD by tests: a disk that fails and a clock that jumps.
//
// BAD_DISK_FOLDER holds two files, looked at with every call: `fail` (pwrite to a journal gives EIO
// while it is there, or writes half when it says "short"; fdatasync does when it says "sync"), and
// `clock` (seconds added to the time of day). BAD_DISK_LOG: a file that gets a line for each write
// to a journal, each fdatasync and each send, so that their order can be looked at.

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static long read_number(const char *name, char *text, size_t size)
{
    char path[4096];
    const char *folder = getenv("BAD_DISK_FOLDER");
    if (!folder)
        return 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return n > 0 ? atol(text) : 0;
}

static int is_journal(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 3 && strcmp(path + n - 3, ".cj") == 0;
}

static void note(const char *what, int fd)
{
    const char *path = getenv("BAD_DISK_LOG");
    char line[64];
    int saved = errno;
    int log = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (log >= 0) {
        int n = snprintf(line, sizeof line, "%s %d\n", what, fd);
        (void)!write(log, line, (size_t)n);
        close(log);
    }
    errno = saved;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    char text[32] = "";
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pwrite64");
    if (is_journal(fd)) {
        read_number("fail", text, sizeof text);
        if (strncmp(text, "short", 5) == 0 && n > 100)
            n = n / 2 + 7;
        else if (text[0] && strncmp(text, "short", 5) != 0 && strncmp(text, "sync", 4) != 0) {
            errno = EIO;
            return -1;
        }
        note("journal", fd);
    }
    return real(fd, p, n, at);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return pwrite64(fd, p, n, at);
}

int fdatasync(int fd)
{
    static int (*real)(int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
    char text[32] = "";
    if (is_journal(fd)) {
        read_number("fail", text, sizeof text);
        if (strncmp(text, "sync", 4) == 0) {
            errno = EIO;
            return -1;
        }
    }
    int status = real(fd);
    if (is_journal(fd))
        note("synced", fd);
    return status;
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
    static ssize_t (*real)(int, const void *, size_t, int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "send");
    if (n > 5 && memcmp(p, "POST ", 5) == 0)
        note("sent", fd);
    return real(fd, p, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    static ssize_t (*real)(int, const struct msghdr *, int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "sendmsg");
    if (m->msg_iovlen && m->msg_iov[0].iov_len > 5 &&
        memcmp(m->msg_iov[0].iov_base, "POST ", 5) == 0)
        note("sent", fd);
    return real(fd, m, flags);
}

ssize_t write(int fd, const void *p, size_t n)
{
    static ssize_t (*real)(int, const void *, size_t);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "write");
    if (n > 5 && memcmp(p, "POST ", 5) == 0)
        note("sent", fd);
    return real(fd, p, n);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
    static ssize_t (*real)(int, const struct iovec *, int);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "writev");
    if (n && v[0].iov_len > 5 && memcmp(v[0].iov_base, "POST ", 5) == 0)
        note("sent", fd);
    return real(fd, v, n);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    static int (*real)(clockid_t, struct timespec *);
    char text[32];
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(id, t);
    if (id == CLOCK_REALTIME)
        t->tv_sec += read_number("clock", text, sizeof text);
    return status;
}
