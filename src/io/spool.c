#include "io/spool.h"

#include "base/crc32c.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };
static const int64_t pause_us = MS(10);

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little endian");

struct spool {
    unsigned char *ring;   // [size]
    unsigned char *frame;  // [SPOOL_FRAME_BYTES + size]: being written
    size_t size;
    _Atomic uint64_t put, taken;  // bytes so far; put - taken are in the ring
    int fd;
    enum err failed;  // of a write, by errno `why`
    int why;
    pthread_t thread;
    pthread_mutex_t mutex;  // of `stopping`
    pthread_cond_t stop;
    bool stopping;
};

// --- writing ----------------------------------------------------------------------------------

bool spool_put(struct spool *s, const void *record, size_t n)
{
    uint64_t put = atomic_load_explicit(&s->put, memory_order_relaxed);
    uint64_t taken = atomic_load_explicit(&s->taken, memory_order_acquire);
    if (n > s->size - (size_t)(put - taken))
        return false;
    size_t at = (size_t)(put % s->size), left = s->size - at;
    size_t first = n < left ? n : left;
    memcpy(s->ring + at, record, first);
    memcpy(s->ring, (const unsigned char *)record + first, n - first);
    atomic_store_explicit(&s->put, put + n, memory_order_release);
    return true;
}

static bool write_all(int fd, const unsigned char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

// All that is in the ring, as one frame. After a failure nothing more is written: a file with a
// hole in the middle would be of no use.
static void drain(struct spool *s)
{
    uint64_t taken = atomic_load_explicit(&s->taken, memory_order_relaxed);
    uint64_t put = atomic_load_explicit(&s->put, memory_order_acquire);
    uint32_t head[2] = {(uint32_t)(put - taken), 0};
    if (put == taken)
        return;
    size_t n = head[0], at = (size_t)(taken % s->size), left = s->size - at;
    size_t first = n < left ? n : left;
    unsigned char *records = s->frame + SPOOL_FRAME_BYTES;
    memcpy(records, s->ring + at, first);
    memcpy(records + first, s->ring, n - first);
    atomic_store_explicit(&s->taken, put, memory_order_release);
    head[1] = crc32c(records, n);
    memcpy(s->frame, head, sizeof head);
    if (s->failed || write_all(s->fd, s->frame, SPOOL_FRAME_BYTES + n))
        return;
    s->why = errno;
    s->failed = errno == ENOSPC ? ERR_LIMIT : ERR_SYSTEM;
}

static void *run(void *arg)
{
    struct spool *s = arg;
    pthread_mutex_lock(&s->mutex);
    while (!s->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        int64_t ns = until.tv_nsec + pause_us * 1000;
        until.tv_sec += ns / 1000000000;
        until.tv_nsec = ns % 1000000000;
        pthread_cond_timedwait(&s->stop, &s->mutex, &until);
        pthread_mutex_unlock(&s->mutex);
        drain(s);
        pthread_mutex_lock(&s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    drain(s);
    return NULL;
}

// A writer holds a lock on its file, whatever that is called by then.
static bool is_written(const char *name)
{
    struct stat st;
    int fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool held = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
                flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return held;
}

// PATH becomes PATH.1, that one PATH.2. One that is not there is no fault; one that is no file,
// such as /dev/null, stays what it is, and cannot be made.
static void keep_old(struct str path, const char *name)
{
    struct stat st;
    if (stat(name, &st) == 0 && !S_ISREG(st.st_mode))
        return;
    for (int i = SPOOL_KEPT; i > 0; i--) {
        char from[PATH_BYTES], to[PATH_BYTES];
        char number[16] = "";
        if (i > 1)
            snprintf(number, sizeof number, ".%d", i - 1);
        snprintf(from, sizeof from, STR_FMT "%s", STR_ARG(path), number);
        snprintf(to, sizeof to, STR_FMT ".%d", STR_ARG(path), i);
        rename(from, to);
    }
}

static enum err open_file(struct spool *s, struct str path, struct str head, bool followed,
                          struct diag *diag)
{
    char name[PATH_BYTES];
    if (path.n + 4 > sizeof name)
        return diag_set(diag, ERR_INVALID, "the path of the event log is too long");
    snprintf(name, sizeof name, STR_FMT, STR_ARG(path));
    if (!followed && is_written(name))
        return diag_set(diag, ERR_EXISTS, "%s: another process writes its event log there", name);
    keep_old(path, name);
    s->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (s->fd < 0 || flock(s->fd, LOCK_EX | LOCK_NB) ||
        !write_all(s->fd, (const unsigned char *)head.p, head.n))
        return file_failure(diag, name, errno);
    return ERR_NONE;
}

enum err spool_new(struct spool **out, struct str path, struct str head, size_t ring_bytes,
                   bool followed, struct diag *diag)
{
    CHECK(ring_bytes > 0 && ring_bytes <= SPOOL_RING_BYTES);
    struct spool *s = take(sizeof *s);
    pthread_condattr_t clock;
    s->fd = -1;
    enum err e = open_file(s, path, head, followed, diag);
    if (e) {
        if (s->fd >= 0)
            close(s->fd);
        free(s);
        return e;
    }
    s->size = ring_bytes;
    s->ring = take(ring_bytes);
    s->frame = take(SPOOL_FRAME_BYTES + ring_bytes);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&s->stop, &clock);
    pthread_condattr_destroy(&clock);
    int bad = pthread_create(&s->thread, NULL, run, s);
    CHECK(!bad);
    *out = s;
    return ERR_NONE;
}

void spool_wait(struct spool *s)
{
    while (atomic_load(&s->taken) != atomic_load(&s->put))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

enum err spool_free(struct spool *s, struct diag *diag)
{
    if (!s)
        return ERR_NONE;
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    pthread_cond_signal(&s->stop);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    enum err e = s->failed;
    if (e)
        diag_set(diag, e, "the event log could not be written: %s", strerror(s->why));
    close(s->fd);
    pthread_cond_destroy(&s->stop);
    pthread_mutex_destroy(&s->mutex);
    free(s->ring);
    free(s->frame);
    free(s);
    return e;
}

// --- reading ----------------------------------------------------------------------------------

struct spool_reader {
    FILE *file;
    char name[PATH_BYTES];
    struct str head;
    char *bytes;  // of a frame, or of the head
    int64_t at;   // in the file
};

enum err spool_open_read(struct spool_reader **out, struct str path, size_t head_bytes,
                         struct diag *diag)
{
    struct spool_reader *r = take(sizeof *r);
    struct stat st;
    snprintf(r->name, sizeof r->name, STR_FMT, STR_ARG(path));
    r->file = fopen(r->name, "re");
    bool folder = r->file && !fstat(fileno(r->file), &st) && S_ISDIR(st.st_mode);
    if (!r->file || folder) {
        enum err e = file_failure(diag, r->name, folder ? EISDIR : errno);
        spool_close(r);
        return e;
    }
    r->bytes = take(SPOOL_RING_BYTES + head_bytes);
    r->head = (struct str){r->bytes + SPOOL_RING_BYTES,
                           fread(r->bytes + SPOOL_RING_BYTES, 1, head_bytes, r->file)};
    r->at = (int64_t)r->head.n;
    *out = r;
    return ERR_NONE;
}

struct str spool_head(const struct spool_reader *r)
{
    return r->head;
}

enum err spool_next(struct spool_reader *r, struct str *records, struct diag *diag)
{
    uint32_t head[2];
    *records = (struct str){0};
    size_t n = fread(head, 1, sizeof head, r->file);
    if (n == 0 && !ferror(r->file))
        return ERR_NONE;
    // None is empty: a file system that has lost power may leave zeros where bytes were on their
    // way.
    if (n == sizeof head && (head[0] == 0 || head[0] > SPOOL_RING_BYTES))
        return diag_set(diag, ERR_INVALID, "%s: what begins at byte %lld is no frame", r->name,
                        (long long)r->at);
    if (n == sizeof head)
        n += fread(r->bytes, 1, head[0], r->file);
    if (n < sizeof head || n < sizeof head + head[0])
        return diag_set(diag, ERR_INVALID,
                        "%s: the file ends in the middle of the frame that begins at byte %lld",
                        r->name, (long long)r->at);
    if (crc32c(r->bytes, head[0]) != head[1])
        return diag_set(diag, ERR_INVALID, "%s: the frame that begins at byte %lld is damaged",
                        r->name, (long long)r->at);
    r->at += (int64_t)n;
    *records = (struct str){r->bytes, head[0]};
    return ERR_NONE;
}

void spool_close(struct spool_reader *r)
{
    if (!r)
        return;
    if (r->file)
        fclose(r->file);
    free(r->bytes);
    free(r);
}
