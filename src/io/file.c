#include "io/file.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, STEP = 64 * 1024 };

static enum err path_text(char out[PATH_BYTES], struct str path, struct diag *diag)
{
    if (path.n == 0)
        return diag_set(diag, ERR_INVALID, "the name of the file is empty");
    if (path.n >= PATH_BYTES || memchr(path.p, 0, path.n))
        return diag_set(diag, ERR_INVALID, "this cannot be the name of a file: %.80s", path.p);
    memcpy(out, path.p, path.n);
    out[path.n] = 0;
    return ERR_NONE;
}

enum err file_failure(struct diag *diag, const char *name, int why)
{
    enum err e = ERR_SYSTEM;
    if (why == ENOENT || why == ENOTDIR || why == EISDIR)
        e = ERR_MISSING;
    else if (why == EACCES || why == EPERM || why == EROFS)
        e = ERR_DENIED;
    return diag_set(diag, e, "%s: %s", name, strerror(why));
}

// By reading until the end, not by the size the file claims: pipes and /proc have none.
static enum err read_all(struct buf *b, int fd, const char *name, struct diag *diag)
{
    for (;;) {
        size_t room = b->limit - buf_len(b);
        if (room > STEP)
            room = STEP;
        char *at, one;
        if (room && !buf_reserve(b, room, &at))
            room = 0;
        // At the limit one byte more tells whether the file ends there.
        ssize_t n = read(fd, room ? at : &one, room ? room : 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return file_failure(diag, name, errno);
        if (n == 0)
            return ERR_NONE;
        if (room == 0)
            return diag_set(diag, ERR_LIMIT, "%s has more than %zu bytes", name, b->limit);
        buf_grown(b, (size_t)n);
    }
}

static enum err read_fd(struct str *out, struct arena *a, int fd, const char *name, size_t limit,
                        struct diag *diag)
{
    struct buf b;
    buf_init(&b, limit);
    enum err e = read_all(&b, fd, name, diag);
    if (!e) {
        struct str copy = arena_str(a, buf_str(&b));
        if (copy.p)
            *out = copy;
        else
            e = diag_set(diag, ERR_LIMIT, "%s: no room for its %zu bytes", name, buf_len(&b));
    }
    buf_release(&b);
    return e;
}

enum err file_read(struct str *out, struct arena *a, struct str path, size_t limit,
                   struct diag *diag)
{
    char name[PATH_BYTES];
    enum err e = path_text(name, path, diag);
    if (e)
        return e;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return file_failure(diag, name, errno);
    e = read_fd(out, a, fd, name, limit, diag);
    close(fd);
    return e;
}

enum err file_read_stdin(struct str *out, struct arena *a, size_t limit, struct diag *diag)
{
    return read_fd(out, a, STDIN_FILENO, "standard input", limit, diag);
}

static bool write_all(int fd, struct str text)
{
    while (text.n) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            return false;
        text = str_skip(text, n > 0 ? (size_t)n : 0);
    }
    return true;
}

// A new name is on the disk when its folder is.
static bool sync_folder(const char *path)
{
    char folder[PATH_BYTES];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder] = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    int why = errno;
    close(fd);
    errno = why;
    return ok;
}

enum err file_replace(struct str path, struct str text, bool sync, struct diag *diag)
{
    char name[PATH_BYTES], next[PATH_BYTES + 8];
    enum err e = path_text(name, path, diag);
    if (e)
        return e;
    snprintf(next, sizeof next, "%s.new", name);
    int fd = open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return file_failure(diag, next, errno);
    bool ok = write_all(fd, text) && (!sync || fsync(fd) == 0);
    int why = ok ? 0 : errno;
    if (close(fd) && ok) {
        ok = false;
        why = errno;
    }
    if (!ok) {
        unlink(next);
        return file_failure(diag, next, why);
    }
    if (rename(next, name)) {
        why = errno;
        unlink(next);
        return file_failure(diag, name, why);
    }
    return !sync || sync_folder(name) ? ERR_NONE : file_failure(diag, name, errno);
}

DIR *file_open_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    return d;
}

enum err file_make_dir(struct str path, struct diag *diag)
{
    char name[PATH_BYTES] = "";
    enum err e = path_text(name, path, diag);
    if (e)
        return e;
    for (size_t i = 1; i <= path.n; i++) {
        if (name[i] != '/' && i < path.n)
            continue;
        char was = name[i];
        name[i] = 0;
        int why = mkdir(name, 0700) == 0 ? 0 : errno;
        struct stat st;
        if (why == EEXIST && stat(name, &st) == 0)
            why = S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
        if (why)
            return file_failure(diag, name, why);
        name[i] = was;
    }
    return ERR_NONE;
}
