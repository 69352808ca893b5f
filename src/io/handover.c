#include "io/handover.h"
#include "io/loop_uv.h"

#include "base/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME "take-over.sock"

static const char all_given[] = "end", have_taken[] = "taken", turned_away[] = "busy";
static const int64_t patience_s = 10;

// What the two say is a message each (SOCK_SEQPACKET), so that words and descriptors stay together.
struct handover {
    struct loop *loop;
    const struct handover_calls *calls;
    void *ctx;
    uv_poll_t door, guest;  // `guest`: who asked; open while `guest_fd` >= 0
    int door_fd, guest_fd;
    int32_t guest_pid;
    int handles;  // that libuv holds
    bool closed;
};

struct heir {
    int fd;
};

// --- the place --------------------------------------------------------------------------------

// A path through the folder's descriptor: sun_path has room for 108 bytes only.
static enum err place_of(struct sockaddr_un *out, int *folder_fd, struct str folder,
                         const char *name, struct diag *diag)
{
    char path[4096];
    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(path, sizeof path, STR_FMT, STR_ARG(folder));
    *folder_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*folder_fd < 0)
        return diag_set(diag, errno == ENOENT ? ERR_MISSING : ERR_DENIED, "%s: %s", path,
                        strerror(errno));
    snprintf(out->sun_path, sizeof out->sun_path, "/proc/self/fd/%d/%s", *folder_fd, name);
    return ERR_NONE;
}

static bool same_user(int fd, int32_t *pid)
{
    struct ucred who;
    socklen_t n = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n))
        return false;
    *pid = who.pid;
    return who.uid == geteuid() || who.uid == 0;
}

// Made under another name and renamed, so that the one before is replaced without a gap.
static enum err make_door(int *out, struct str folder, struct diag *diag)
{
    struct sockaddr_un fresh, final;
    char name[64];
    int folder_fd = -1, other_fd = -1;
    snprintf(name, sizeof name, SOCKET_NAME ".%d", getpid());
    enum err e = place_of(&fresh, &folder_fd, folder, name, diag);
    if (!e)
        e = place_of(&final, &other_fd, folder, SOCKET_NAME, diag);
    int fd = e ? -1 : socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (!e) {
        unlink(fresh.sun_path);
        if (fd < 0 || bind(fd, (struct sockaddr *)&fresh, sizeof fresh) ||
            chmod(fresh.sun_path, 0600) || listen(fd, 4) ||
            rename(fresh.sun_path, final.sun_path)) {
            e = diag_set(diag, errno == EACCES ? ERR_DENIED : ERR_SYSTEM, STR_FMT "/%s: %s",
                         STR_ARG(folder), SOCKET_NAME, strerror(errno));
            unlink(fresh.sun_path);
        }
    }
    if (folder_fd >= 0)
        close(folder_fd);
    if (other_fd >= 0)
        close(other_fd);
    if (e && fd >= 0)
        close(fd);
    *out = fd;
    return e;
}

// --- messages ---------------------------------------------------------------------------------

static bool message_send(int fd, struct str text, const int *fds, int32_t n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * HANDOVER_FDS)];
    } control = {0};
    struct iovec part = {(void *)(uintptr_t)text.p, text.n};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    if (n) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)n);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &m, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)text.n;
}

// Bytes of text, 0 at the end; -1: none, see errno.
static ssize_t message_take(int fd, struct handover_message *out)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * HANDOVER_FDS)];
    } control;
    struct iovec part = {out->text, sizeof out->text - 1};
    struct msghdr m = {.msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    ssize_t n;
    do
        n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return n;
    out->text[n] = 0;
    out->n = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        out->n = (int32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(out->fds, CMSG_DATA(c), sizeof(int) * (size_t)out->n);
    }
    return n;
}

// --- the one that serves ----------------------------------------------------------------------

static void on_handle_closed(uv_handle_t *handle)
{
    struct handover *h = handle->data;
    if (--h->handles == 0 && h->closed)
        free(h);
}

static void guest_end(struct handover *h)
{
    if (h->guest_fd < 0)
        return;
    uv_close((uv_handle_t *)&h->guest, on_handle_closed);
    close(h->guest_fd);
    h->guest_fd = -1;
}

static void on_guest(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct handover *h = poll->data;
    struct handover_message m;
    turn_begin(h->loop);
    ssize_t n = message_take(h->guest_fd, &m);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    for (int32_t i = 0; n > 0 && i < m.n; i++)
        close(m.fds[i]);  // nobody gives us any
    bool taken = n > 0 && strcmp(m.text, have_taken) == 0;
    guest_end(h);
    if (taken)
        h->calls->taken(h->ctx, h->guest_pid);
    else
        h->calls->left(h->ctx);
}

static void on_door(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct handover *h = poll->data;
    turn_begin(h->loop);
    int fd = accept4(h->door_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int32_t pid = 0;
    // The handle of one that has just gone may not be closed yet.
    if (!same_user(fd, &pid) || h->guest_fd >= 0 || h->handles > 1) {
        message_send(fd, str_of(turned_away), NULL, 0);
        close(fd);
        return;
    }
    h->guest_fd = fd;
    h->guest_pid = pid;
    h->guest.data = h;
    CHECK(uv_poll_init(&h->loop->uv, &h->guest, fd) == 0);
    h->handles++;
    CHECK(uv_poll_start(&h->guest, UV_READABLE, on_guest) == 0);
    h->calls->asked(h->ctx);
}

enum err handover_offer(struct handover **out, struct loop *l, struct str folder,
                        const struct handover_calls *calls, void *ctx, struct diag *diag)
{
    int fd;
    enum err e = make_door(&fd, folder, diag);
    if (e)
        return e;
    struct handover *h = take(sizeof *h);
    *h = (struct handover){
        .loop = l, .calls = calls, .ctx = ctx, .door_fd = fd, .guest_fd = -1, .handles = 1};
    h->door.data = h;
    CHECK(uv_poll_init(&l->uv, &h->door, fd) == 0);
    CHECK(uv_poll_start(&h->door, UV_READABLE, on_door) == 0);
    *out = h;
    return ERR_NONE;
}

void handover_give(struct handover *h, struct str text, const int *fds, int32_t n)
{
    CHECK(n <= HANDOVER_FDS && text.n && text.n < HANDOVER_TEXT_BYTES);
    // One that reads nothing is cut off, and then heard of as gone.
    if (h->guest_fd >= 0 && !message_send(h->guest_fd, text, fds, n))
        shutdown(h->guest_fd, SHUT_RDWR);
}

void handover_end(struct handover *h)
{
    handover_give(h, str_of(all_given), NULL, 0);
}

void handover_close(struct handover *h)
{
    if (!h)
        return;
    h->closed = true;
    guest_end(h);
    uv_close((uv_handle_t *)&h->door, on_handle_closed);
    close(h->door_fd);
}

// --- the one that follows ---------------------------------------------------------------------

enum err handover_ask(struct heir **out, struct str folder, struct diag *diag)
{
    struct sockaddr_un place;
    int folder_fd;
    enum err e = place_of(&place, &folder_fd, folder, SOCKET_NAME, diag);
    if (e)
        return e;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool open = fd >= 0 && connect(fd, (struct sockaddr *)&place, sizeof place) == 0;
    int why = errno;
    int32_t pid;
    close(folder_fd);
    if (!open && (why == ENOENT || why == ECONNREFUSED))
        e = diag_set(diag, ERR_MISSING,
                     "nobody who serves with the state folder " STR_FMT
                     " can be asked for a take-over",
                     STR_ARG(folder));
    else if (!open)
        e = diag_set(diag, why == EACCES ? ERR_DENIED : ERR_SYSTEM, STR_FMT "/%s: %s",
                     STR_ARG(folder), SOCKET_NAME, strerror(why));
    else if (!same_user(fd, &pid))
        e = diag_set(diag, ERR_DENIED, "another user serves with the state folder " STR_FMT,
                     STR_ARG(folder));
    if (e) {
        if (fd >= 0)
            close(fd);
        return e;
    }
    struct timeval patience = {.tv_sec = patience_s};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    *out = take(sizeof **out);
    (*out)->fd = fd;
    return ERR_NONE;
}

enum err handover_next(struct heir *h, struct handover_message *m, struct diag *diag)
{
    ssize_t n = message_take(h->fd, m);
    if (n < 0)
        return diag_set(diag, errno == EAGAIN ? ERR_TIMEOUT : ERR_RESET,
                        "the process that serves does not answer: %s", strerror(errno));
    if (n == 0)
        return diag_set(diag, ERR_RESET, "the process that serves has ended meanwhile");
    if (strcmp(m->text, turned_away) == 0)
        return diag_set(diag, ERR_EXISTS, "another process is taking over already");
    m->all = strcmp(m->text, all_given) == 0;
    return ERR_NONE;
}

enum err handover_taken(struct heir *h, struct diag *diag)
{
    if (message_send(h->fd, str_of(have_taken), NULL, 0))
        return ERR_NONE;
    return diag_set(diag, ERR_RESET, "the process that served has ended meanwhile");
}

void heir_free(struct heir *h)
{
    if (!h)
        return;
    close(h->fd);
    free(h);
}
