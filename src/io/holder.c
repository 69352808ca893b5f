#include "io/holder.h"

#include "base/arena.h"
#include "base/str.h"
#include "io/file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOCKETS_MAX = 64, STATE_LISTEN = 10 };

// Where a socket may listen to get a connection to 127.0.0.1; the kernel takes the lowest there is.
enum place { EXACT, ANY_V4, ANY_V6, ELSEWHERE };

struct sockets {
    enum place place;
    uint64_t inodes[SOCKETS_MAX];
    bool held[SOCKETS_MAX];
    int n;  // SOCKETS_MAX + 1: more
};

// `hex` as the kernel writes an address: its 32 bit words, as numbers of this machine.
static enum place place_of(const char *hex)
{
    char loopback[9], mapped[25];
    snprintf(loopback, sizeof loopback, "%08X", htonl(INADDR_LOOPBACK));
    snprintf(mapped, sizeof mapped, "%016X%08X", 0, htonl(0xffff));
    size_t n = strlen(hex);
    if (n == 32 && strspn(hex, "0") == 32)
        return ANY_V6;
    if (n == 32 && strncmp(hex, mapped, 24) == 0)
        hex += 24;
    else if (n != 8)
        return ELSEWHERE;
    return strcmp(hex, loopback) == 0 ? EXACT : strspn(hex, "0") == 8 ? ANY_V4 : ELSEWHERE;
}

static void add_listeners(struct sockets *s, const char *table, int32_t port)
{
    FILE *f = fopen(table, "re");
    if (!f)
        return;
    char line[512], address[33];
    while (fgets(line, sizeof line, f)) {
        unsigned at, state;
        uint64_t inode;
        if (sscanf(line,
                   "%*d: %32[0-9A-F]:%x %*[0-9A-F]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %" SCNu64,
                   address, &at, &state, &inode) != 4)
            continue;
        enum place place = place_of(address);
        if (state != STATE_LISTEN || at != (unsigned)port || place > s->place || place == ELSEWHERE)
            continue;
        if (place < s->place)
            *s = (struct sockets){.place = place};
        if (s->n < SOCKETS_MAX)
            s->inodes[s->n] = inode;
        s->n += s->n <= SOCKETS_MAX;
    }
    fclose(f);
}

static bool is_of_group(const char *pid, int32_t group)
{
    char path[300], text[1024];
    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    // "7 (name) S parent group ...", and the name may hold anything.
    const char *end = strrchr(text, ')');
    int its;
    return end && sscanf(end, ") %*c %*d %d", &its) == 1 && its == group;
}

static void mark_held(struct sockets *s, const char *pid)
{
    char path[300], link[64];
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *d = file_open_folder(path);
    const struct dirent *entry;
    while (d && (entry = readdir(d))) {
        uint64_t inode;
        ssize_t n = readlinkat(dirfd(d), entry->d_name, link, sizeof link - 1);
        link[n > 0 ? n : 0] = 0;
        if (sscanf(link, "socket:[%" SCNu64 "]", &inode) != 1)
            continue;
        for (int i = 0; i < s->n; i++)
            if (s->inodes[i] == inode)
                s->held[i] = true;
    }
    if (d)
        closedir(d);
}

bool group_listens(int32_t group, int32_t port)
{
    struct sockets s = {.place = ELSEWHERE};
    add_listeners(&s, "/proc/net/tcp", port);
    add_listeners(&s, "/proc/net/tcp6", port);
    if (s.n == 0 || s.n > SOCKETS_MAX)
        return false;
    DIR *d = file_open_folder("/proc");
    const struct dirent *entry;
    while (d && (entry = readdir(d)))
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && is_of_group(entry->d_name, group))
            mark_held(&s, entry->d_name);
    if (d)
        closedir(d);
    for (int i = 0; i < s.n; i++)
        if (!s.held[i])
            return false;
    return true;
}

struct holder_look {
    int32_t group, port;
    bool listens;
    void (*told)(void *ctx, bool listens);  // NULL: nobody asks any more
    void *ctx;
};

static void look(void *arg)
{
    struct holder_look *h = arg;
    h->listens = group_listens(h->group, h->port);
}

static void on_looked(void *arg)
{
    struct holder_look *h = arg;
    if (h->told)
        h->told(h->ctx, h->listens);
    free(h);
}

struct holder_look *holder_look(struct loop *l, int32_t group, int32_t port,
                                void (*told)(void *ctx, bool listens), void *ctx)
{
    struct holder_look *h = take(sizeof *h);
    *h = (struct holder_look){.group = group, .port = port, .told = told, .ctx = ctx};
    loop_work(l, look, on_looked, h);
    return h;
}

void holder_forget(struct holder_look *h)
{
    if (h)
        h->told = NULL;
}
