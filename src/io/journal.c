#include "io/journal.h"

#include "base/buf.h"
#include "base/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FOLDER_BYTES = JOURNAL_PATH_BYTES - 64 };
static const char magic[8] = "caudalj\n";

struct header {  // the first RECORD_BYTES of a segment
    char magic[8];
    uint32_t version, record_bytes, epoch, segment;
    uint32_t loop, crc;  // CRC32C of this struct with crc 0
    int64_t made_us;
    uint64_t first_sequence_at_least;  // of when the file was made: a hint for people
};
_Static_assert(sizeof(struct header) <= RECORD_BYTES, "a header fits the place of a record");

struct segment {
    int fd;  // -1: none
    uint32_t number;
    int64_t bytes, offset;  // offset: where the next record goes
};

struct journal {
    char folder[FOLDER_BYTES];
    struct journal_config config;
    struct segment now;
    struct record *pending;  // [pending_size]
    int64_t n_pending, pending_size;
    uint64_t sequence;

    pthread_mutex_t lock;  // for `next`, which another thread makes, and for the place
    struct segment next;
    struct journal_place place;
    int sync_fd;  // of the segment `place` speaks of, for that other thread alone
    uint32_t sync_segment;
    _Atomic int64_t next_bytes;  // of `next`, 0 while there is none
};

// --- names and headers ------------------------------------------------------------------------

static bool path_of(char out[JOURNAL_PATH_BYTES], const char *folder, uint32_t epoch, uint16_t loop,
                    uint32_t segment, const char *ending)
{
    int n = snprintf(out, JOURNAL_PATH_BYTES, "%s/%08x-%04x-%08x.cj%s", folder, epoch, loop,
                     segment, ending);
    return n > 0 && n < JOURNAL_PATH_BYTES;
}

bool journal_name_read(struct journal_file *f, const char *name)
{
    unsigned epoch, loop, segment;
    char again[64];
    if (sscanf(name, "%8x-%4x-%8x", &epoch, &loop, &segment) != 3)
        return false;
    snprintf(again, sizeof again, "%08x-%04x-%08x.cj", epoch, loop, segment);
    if (strcmp(again, name) != 0)
        return false;
    f->epoch = epoch;
    f->loop = (uint16_t)loop;
    f->segment = segment;
    return true;
}

static enum err failure(struct diag *diag, const char *what, const char *path, int why)
{
    enum err e = ERR_SYSTEM;
    if (why == ENOSPC || why == EDQUOT || why == EFBIG)
        e = ERR_LIMIT;
    else if (why == EACCES || why == EPERM || why == EROFS)
        e = ERR_DENIED;
    else if (why == ENOENT || why == ENOTDIR)
        e = ERR_MISSING;
    return diag_set(diag, e, "%s: %s: %s", path, what, strerror(why));
}

static uint32_t header_crc(struct header h)
{
    h.crc = 0;
    return crc32c(&h, sizeof h);
}

// All of it, however many calls that takes. Returns how much went, with `*why` when not all.
static size_t write_at(int fd, const void *bytes, size_t n, int64_t at, int *why)
{
    size_t done = 0;
    *why = 0;
    while (done < n) {
        ssize_t got = pwrite(fd, (const char *)bytes + done, n - done, (off_t)(at + (int64_t)done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            *why = got < 0 ? errno : ENOSPC;
            break;
        }
        done += (size_t)got;  // a short write: the rest follows, or its failure says why
    }
    return done;
}

// --- making a segment -------------------------------------------------------------------------

static enum err fill_segment(const struct journal *j, struct segment *s, const char *path,
                             struct diag *diag)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    union {
        struct header h;
        char bytes[RECORD_BYTES];
    } head = {.h = {.version = RECORD_VERSION,
                    .record_bytes = RECORD_BYTES,
                    .epoch = j->config.epoch,
                    .segment = s->number,
                    .loop = j->config.loop,
                    .made_us = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000}};
    memcpy(head.h.magic, magic, sizeof magic);
    head.h.crc = header_crc(head.h);
    int why = posix_fallocate(s->fd, 0, (off_t)s->bytes);
    if (why)
        return failure(diag, "no room for a file of the journal", path, why);
    write_at(s->fd, head.bytes, sizeof head.bytes, 0, &why);
    if (!why && fsync(s->fd))
        why = errno;
    return why ? failure(diag, "cannot be written", path, why) : ERR_NONE;
}

static int sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int why = fsync(fd) ? errno : 0;
    close(fd);
    return why == EINVAL ? 0 : why;  // some file systems cannot, and need not
}

static enum err make_segment(const struct journal *j, struct segment *s, uint32_t number,
                             struct diag *diag)
{
    char path[JOURNAL_PATH_BYTES], made[JOURNAL_PATH_BYTES];
    if (!path_of(path, j->folder, j->config.epoch, j->config.loop, number, "") ||
        !path_of(made, j->folder, j->config.epoch, j->config.loop, number, ".new"))
        return diag_set(diag, ERR_INVALID, "the path of the ledger's folder is too long");
    *s = (struct segment){.number = number,
                          .bytes = j->config.segment_bytes / RECORD_BYTES * RECORD_BYTES,
                          .offset = JOURNAL_FIRST};
    s->fd = open(made, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return failure(diag, "cannot be made", made, errno);
    enum err e = fill_segment(j, s, made, diag);
    int why = 0;
    if (!e && (rename(made, path) ? (why = errno) : (why = sync_folder(j->folder))))
        e = failure(diag, "cannot be made", path, why);
    if (e) {
        unlink(made);
        close(s->fd);
        s->fd = -1;
    }
    return e;
}

enum err journal_new(struct journal **out, const struct journal_config *c, struct diag *diag)
{
    if (c->folder.n >= FOLDER_BYTES)
        return diag_set(diag, ERR_INVALID, "the path of the ledger's folder is too long");
    struct journal *j = take(sizeof *j);
    memcpy(j->folder, c->folder.p, c->folder.n);
    j->config = *c;
    j->config.folder = str_of(j->folder);
    if (!j->config.segment_bytes)
        j->config.segment_bytes = JOURNAL_SEGMENT_BYTES;
    CHECK(j->config.segment_bytes >= 4 * RECORD_BYTES);
    j->next.fd = j->sync_fd = -1;
    j->sequence = 1;
    CHECK(pthread_mutex_init(&j->lock, NULL) == 0);
    enum err e = make_segment(j, &j->now, 1, diag);
    if (e) {
        pthread_mutex_destroy(&j->lock);
        free(j);
        return e;
    }
    j->place = (struct journal_place){1, JOURNAL_FIRST};
    *out = j;
    return ERR_NONE;
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    // What was never used is given back. Failing to is harmless: a reader stops at zeros too.
    if (j->now.fd >= 0 && ftruncate(j->now.fd, (off_t)j->now.offset) == 0)
        close(j->now.fd);
    if (j->next.fd >= 0) {
        char path[JOURNAL_PATH_BYTES];
        if (path_of(path, j->folder, j->config.epoch, j->config.loop, j->next.number, ""))
            unlink(path);
        close(j->next.fd);
    }
    if (j->sync_fd >= 0)
        close(j->sync_fd);
    pthread_mutex_destroy(&j->lock);
    free(j->pending);
    free(j);
}

// --- appending --------------------------------------------------------------------------------

int64_t journal_room(const struct journal *j)
{
    int64_t next = atomic_load_explicit(&j->next_bytes, memory_order_acquire);
    int64_t room = (j->now.bytes - j->now.offset) / RECORD_BYTES;
    if (next)
        room += (next - JOURNAL_FIRST) / RECORD_BYTES;
    return room - j->n_pending;
}

uint64_t journal_append(struct journal *j, struct record *r)
{
    CHECK(journal_room(j) > 0);
    if (j->n_pending == j->pending_size) {
        j->pending_size = j->pending_size ? j->pending_size * 2 : 64;
        j->pending = realloc(j->pending, (size_t)j->pending_size * sizeof *j->pending);
        CHECK(j->pending);
    }
    r->epoch = j->config.epoch;
    r->loop = j->config.loop;
    r->sequence = j->sequence++;
    record_seal(r);
    j->pending[j->n_pending++] = *r;
    return r->sequence;
}

int64_t journal_pending(const struct journal *j)
{
    return j->n_pending;
}

static bool turn_page(struct journal *j)
{
    pthread_mutex_lock(&j->lock);
    bool there = j->next.fd >= 0;
    if (there) {
        close(j->now.fd);
        j->now = j->next;
        j->next = (struct segment){.fd = -1};
        atomic_store_explicit(&j->next_bytes, 0, memory_order_release);
    }
    pthread_mutex_unlock(&j->lock);
    return there;
}

static enum err write_some(struct journal *j, int64_t *written, struct diag *diag)
{
    struct segment *s = &j->now;
    int64_t fit = min_i64(j->n_pending - *written, (s->bytes - s->offset) / RECORD_BYTES);
    int why;
    size_t done =
        write_at(s->fd, j->pending + *written, (size_t)fit * RECORD_BYTES, s->offset, &why);
    // A record that went only in part is written again as a whole, over the part.
    int64_t whole = (int64_t)(done / RECORD_BYTES);
    s->offset += whole * RECORD_BYTES;
    *written += whole;
    return why ? failure(diag, "the journal cannot be written", j->folder, why) : ERR_NONE;
}

enum err journal_write(struct journal *j, struct diag *diag)
{
    int64_t written = 0;
    enum err e = ERR_NONE;
    while (!e && written < j->n_pending) {
        if (j->now.offset + RECORD_BYTES > j->now.bytes && !turn_page(j))
            e = diag_set(diag, ERR_LIMIT, "%s: the journal has no next file", j->folder);
        else
            e = write_some(j, &written, diag);
    }
    if (!written)
        return e;
    j->n_pending -= written;
    if (j->n_pending)
        memmove(j->pending, j->pending + written, (size_t)j->n_pending * sizeof *j->pending);
    pthread_mutex_lock(&j->lock);
    j->place = (struct journal_place){j->now.number, j->now.offset};
    pthread_mutex_unlock(&j->lock);
    return e;
}

// --- the other thread -------------------------------------------------------------------------

enum err journal_prepare(struct journal *j, struct diag *diag)
{
    pthread_mutex_lock(&j->lock);
    bool wanted = j->next.fd < 0 && j->place.offset * 2 >= j->config.segment_bytes;
    uint32_t number = j->place.segment + 1;
    pthread_mutex_unlock(&j->lock);
    if (!wanted)
        return ERR_NONE;
    struct segment made;
    enum err e = make_segment(j, &made, number, diag);
    if (e)
        return e;
    pthread_mutex_lock(&j->lock);
    j->next = made;
    atomic_store_explicit(&j->next_bytes, made.bytes, memory_order_release);
    pthread_mutex_unlock(&j->lock);
    return ERR_NONE;
}

struct journal_place journal_place(const struct journal *j)
{
    struct journal *open = (struct journal *)(uintptr_t)j;
    pthread_mutex_lock(&open->lock);
    struct journal_place p = j->place;
    pthread_mutex_unlock(&open->lock);
    return p;
}

static enum err sync_one(struct journal *j, uint32_t segment, struct diag *diag)
{
    char path[JOURNAL_PATH_BYTES];
    if (j->sync_fd < 0 || j->sync_segment != segment) {
        if (j->sync_fd >= 0)
            close(j->sync_fd);
        path_of(path, j->folder, j->config.epoch, j->config.loop, segment, "");
        j->sync_fd = open(path, O_RDWR | O_CLOEXEC);
        j->sync_segment = segment;
        if (j->sync_fd < 0)
            return failure(diag, "cannot be synced", path, errno);
    }
    if (fdatasync(j->sync_fd))
        return failure(diag, "the journal cannot be synced", j->folder, errno);
    return ERR_NONE;
}

enum err journal_sync(struct journal *j, struct diag *diag)
{
    struct journal_place p = journal_place(j);
    enum err e = ERR_NONE;
    // What was written last may have ended the file before. One that has gone was folded durably.
    for (uint32_t s = j->sync_segment ? j->sync_segment : 1; !e && s <= p.segment; s++) {
        e = sync_one(j, s, diag);
        if (e == ERR_MISSING)
            e = ERR_NONE;
    }
    return e;
}

// --- reading ----------------------------------------------------------------------------------

static enum err check_header(struct journal_file *f, const struct header *h, struct diag *diag)
{
    if (memcmp(h->magic, magic, sizeof magic) != 0)
        return diag_set(diag, ERR_INVALID, "%s is not a journal of caudal", f->path);
    if (h->version > RECORD_VERSION)
        return diag_set(diag, ERR_INVALID,
                        "%s is of version %u, and this caudal knows up to %d: a newer caudal must "
                        "read it",
                        f->path, h->version, RECORD_VERSION);
    if (h->crc != header_crc(*h) || h->version == 0 || h->record_bytes != RECORD_BYTES)
        return diag_set(diag, ERR_INVALID, "%s: its head is damaged", f->path);
    f->epoch = h->epoch;
    f->loop = (uint16_t)h->loop;
    f->segment = h->segment;
    return ERR_NONE;
}

enum err journal_file_open(struct journal_file *f, struct str folder, const char *name,
                           struct diag *diag)
{
    union {
        struct header h;
        char bytes[RECORD_BYTES];
    } head = {0};
    f->fd = -1;
    int n = snprintf(f->path, sizeof f->path, STR_FMT "/%s", STR_ARG(folder), name);
    if (n < 0 || n >= (int)sizeof f->path)
        return diag_set(diag, ERR_INVALID, "the path of the ledger's folder is too long");
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (f->fd < 0 || fstat(f->fd, &st))
        return failure(diag, "cannot be read", f->path, errno);
    f->bytes = st.st_size;
    ssize_t got = pread(f->fd, head.bytes, sizeof head.bytes, 0);
    enum err e =
        got < 0 ? failure(diag, "cannot be read", f->path, errno) : check_header(f, &head.h, diag);
    if (e)
        journal_file_close(f);
    return e;
}

void journal_file_close(struct journal_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static ssize_t read_at(int fd, void *to, size_t n, int64_t at)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(fd, (char *)to + done, n - done, (off_t)(at + (int64_t)done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

// Behind a record that is none: only zeros (and parts), or whole ones that some crash cannot
// explain?
static enum journal_end look_behind(const struct journal_file *f, int64_t offset)
{
    struct record r;
    for (offset += RECORD_BYTES; read_at(f->fd, &r, sizeof r, offset) == RECORD_BYTES;
         offset += RECORD_BYTES)
        if (record_ok(&r) && r.epoch == f->epoch && r.loop == f->loop)
            return JOURNAL_DAMAGED;
    return JOURNAL_TORN;
}

enum err journal_file_read(const struct journal_file *f, int64_t offset, int64_t until,
                           struct record *out, int32_t max, int32_t *n, enum journal_end *end,
                           struct diag *diag)
{
    *n = 0;
    int64_t whole = min_i64((until - offset) / RECORD_BYTES, max);
    ssize_t got = whole > 0 ? read_at(f->fd, out, (size_t)whole * RECORD_BYTES, offset) : 0;
    if (got < 0)
        return failure(diag, "cannot be read", f->path, errno);
    int32_t records = (int32_t)(got / RECORD_BYTES);
    while (*n < records && record_ok(&out[*n]) && out[*n].epoch == f->epoch &&
           out[*n].loop == f->loop)
        ++*n;
    int64_t at = offset + (int64_t)*n * RECORD_BYTES;
    if (*n < records)
        *end = record_is_zero(&out[*n]) && look_behind(f, at) == JOURNAL_TORN ? JOURNAL_END
                                                                              : look_behind(f, at);
    else if (*n == max)
        *end = JOURNAL_MORE;
    else
        *end = until >= f->bytes && at < f->bytes ? JOURNAL_TORN : JOURNAL_END;
    return ERR_NONE;
}
