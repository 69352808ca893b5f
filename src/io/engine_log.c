#include "io/engine_log.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

// In the kernel: a few milliseconds for the 4 MiB of a full log, once in 16 MiB.
static bool copy_tail(int from, int to, off_t offset)
{
    for (;;) {
        ssize_t n = sendfile(to, from, &offset, 1 << 20);
        if (n <= 0)
            return n == 0;
    }
}

void engine_log_bound(const char *path, int64_t max)
{
    char kept[4096];
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode) || st.st_size <= max ||
        (size_t)snprintf(kept, sizeof kept, "%s.1", path) >= sizeof kept)
        return;
    int from = open(path, O_RDWR | O_CLOEXEC);
    int to = open(kept, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (from >= 0 && to >= 0 && copy_tail(from, to, st.st_size - max / 4) && ftruncate(from, 0))
        unlink(kept);  // it goes on growing: the next look tries again
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
}
