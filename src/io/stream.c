#include "io/stream.h"

#include "base/arena.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 256 << 10 };

static bool is_dash(const char *name)
{
    return strcmp(name, "-") == 0;
}

enum err stream_in_open(struct stream_in *s, const char *name, struct diag *diag)
{
    *s = (struct stream_in){.fd = -1, .name = is_dash(name) ? "<stdin>" : name};
    s->fd = is_dash(name) ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0)
        return file_failure(diag, name, errno);
    struct stat st;
    if (fstat(s->fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        stream_in_close(s);
        return file_failure(diag, name, EISDIR);
    }
    (void)!posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    s->piece = take(PIECE_BYTES);
    return ERR_NONE;
}

enum err stream_in_read(struct stream_in *s, struct str *piece, struct diag *diag)
{
    ssize_t n;
    do
        n = read(s->fd, s->piece, PIECE_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return file_failure(diag, s->name, errno);
    *piece = (struct str){s->piece, (size_t)n};
    return ERR_NONE;
}

void stream_in_close(struct stream_in *s)
{
    if (s->fd > STDIN_FILENO)
        close(s->fd);
    free(s->piece);
    *s = (struct stream_in){.fd = -1};
}

bool stream_in_repeats(const struct stream_in *s)
{
    struct stat st;
    return s->fd > STDIN_FILENO && fstat(s->fd, &st) == 0 && S_ISREG(st.st_mode);
}

enum err stream_out_open(struct stream_out *s, const char *name, struct diag *diag)
{
    *s = (struct stream_out){.fd = STDOUT_FILENO, .name = name};
    if (is_dash(name))
        return ERR_NONE;
    int n = snprintf(s->part, sizeof s->part, "%s.part", name);
    s->fd = -1;
    if (n < 0 || (size_t)n >= sizeof s->part)
        return file_failure(diag, name, ENAMETOOLONG);
    s->fd = open(s->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return s->fd < 0 ? file_failure(diag, name, errno) : ERR_NONE;
}

enum err stream_out_write(struct stream_out *s, struct str bytes, struct diag *diag)
{
    while (bytes.n) {
        ssize_t n = write(s->fd, bytes.p, bytes.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return file_failure(diag, s->name, errno);
        bytes = str_skip(bytes, (size_t)n);
    }
    return ERR_NONE;
}

enum err stream_out_finish(struct stream_out *s, struct diag *diag)
{
    if (is_dash(s->name))
        return ERR_NONE;
    bool closed = close(s->fd) == 0;
    s->fd = -1;
    if (closed && rename(s->part, s->name) == 0)
        return ERR_NONE;
    int why = errno;
    unlink(s->part);
    return file_failure(diag, s->name, why);
}

void stream_out_drop(struct stream_out *s)
{
    if (s->fd < 0 || is_dash(s->name))
        return;
    close(s->fd);
    unlink(s->part);
    s->fd = -1;
}
