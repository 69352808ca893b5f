#include "io/claim.h"

#include "base/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

struct claim {
    int fd;
    char path[PATH_BYTES];
};

// Who dropped it as done has removed the file between our open() and flock(): then we hold nothing.
static bool is_still_there(const struct claim *c)
{
    struct stat named, held;
    return stat(c->path, &named) == 0 && fstat(c->fd, &held) == 0 && named.st_ino == held.st_ino &&
           named.st_dev == held.st_dev;
}

enum err claim_take(struct claim **out, struct str folder, uint32_t epoch, struct diag *diag)
{
    struct claim c;
    snprintf(c.path, sizeof c.path, STR_FMT "/%08" PRIx32 ".lock", STR_ARG(folder), epoch);
    for (;;) {
        c.fd = open(c.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (c.fd < 0)
            return diag_set(diag,
                            errno == ENOSPC                     ? ERR_LIMIT
                            : errno == EACCES || errno == EROFS ? ERR_DENIED
                                                                : ERR_SYSTEM,
                            "%s: %s", c.path, strerror(errno));
        int why = flock(c.fd, LOCK_EX | LOCK_NB) ? errno : 0;
        if (!why && is_still_there(&c))
            break;
        close(c.fd);
        if (why)
            return diag_set(diag, why == EWOULDBLOCK ? ERR_EXISTS : ERR_SYSTEM, "%s: %s", c.path,
                            why == EWOULDBLOCK ? "another process writes these" : strerror(why));
    }
    *out = take(sizeof **out);
    **out = c;
    return ERR_NONE;
}

void claim_drop(struct claim *c, bool done)
{
    if (!c)
        return;
    if (done)
        unlink(c->path);
    close(c->fd);
    free(c);
}
