#include "io/log.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { LINE_BYTES = 8 * 1024, VALUE_BYTES = 1024, TAIL_BYTES = 32 };

struct log {
    enum log_level level;
    bool json;
    int fd;
    char *path;            // NULL: stderr
    pthread_mutex_t lock;  // so that the two halves of a short write stay together
};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

bool log_level_read(enum log_level *out, struct str name)
{
    for (size_t i = 0; i < COUNTOF(level_names); i++)
        if (str_eq(name, str_of(level_names[i]))) {
            *out = (enum log_level)i;
            return true;
        }
    return false;
}

static enum err open_log(int *out, const char *path, struct diag *diag)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return diag_set(diag,
                        errno == ENOENT                     ? ERR_MISSING
                        : errno == EACCES || errno == EPERM ? ERR_DENIED
                                                            : ERR_SYSTEM,
                        "log file %s: %s", path, strerror(errno));
    *out = fd;
    return ERR_NONE;
}

enum err log_new(struct log **out, struct str path, bool json, enum log_level level,
                 struct diag *diag)
{
    struct log *log = take(sizeof *log);
    *log = (struct log){.level = level, .json = json, .fd = STDERR_FILENO};
    if (path.n) {
        log->path = take(path.n + 1);
        memcpy(log->path, path.p, path.n);
        enum err e = open_log(&log->fd, log->path, diag);
        if (e) {
            free(log->path);
            free(log);
            return e;
        }
    }
    CHECK(pthread_mutex_init(&log->lock, NULL) == 0);
    *out = log;
    return ERR_NONE;
}

void log_free(struct log *log)
{
    if (!log)
        return;
    if (log->path)
        close(log->fd);
    free(log->path);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

enum err log_reopen(struct log *log, struct diag *diag)
{
    int fd = -1;
    if (!log->path)
        return ERR_NONE;
    enum err e = open_log(&fd, log->path, diag);
    if (e)
        return e;
    pthread_mutex_lock(&log->lock);
    close(log->fd);
    log->fd = fd;
    pthread_mutex_unlock(&log->lock);
    return ERR_NONE;
}

bool log_on(const struct log *log, enum log_level level)
{
    return log && level <= log->level;
}

// --- one line ---------------------------------------------------------------------------------

static void add_time(struct buf *b)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    struct civil c = civil_of((int64_t)t.tv_sec * 1000000);
    buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", c.year, c.month, c.day, c.hour, c.minute,
               c.second, (int)(t.tv_nsec / 1000000));
}

// Bare in a text line: what cannot be taken for the end of the value or for another field.
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return s.n > 0;
}

static void add_text(struct buf *b, struct str s, bool json)
{
    static const char more[] = "...";
    char cut[VALUE_BYTES + sizeof more];
    if (s.n > VALUE_BYTES) {
        size_t n = VALUE_BYTES;
        while (n && ((unsigned char)s.p[n] & 0xc0) == 0x80)
            n--;  // not inside a character of UTF-8
        if (VALUE_BYTES - n > 3)
            n = VALUE_BYTES;  // it was none
        memcpy(cut, s.p, n);
        memcpy(cut + n, more, 3);
        s = (struct str){cut, n + 3};
    }
    if (!json && is_plain(s))
        buf_add_str(b, s);
    else
        buf_add_json(b, s);
}

static void add_value(struct buf *b, const struct log_field *f, bool json)
{
    switch (f->kind) {
    case LOG_STR: add_text(b, f->v.s, json); break;
    case LOG_INT: buf_printf(b, "%lld", (long long)f->v.i); break;
    case LOG_BOOL: buf_printf(b, "%s", f->v.i ? "true" : "false"); break;
    case LOG_NUM:
        if (isfinite(f->v.d))
            buf_printf(b, "%.6g", f->v.d);
        else
            buf_printf(b, json ? "null" : "none");
        break;
    }
}

// False: it does not fit, and nothing of it was written.
static bool add_field(struct buf *b, const struct log_field *f, bool json)
{
    size_t before = b->to;
    buf_printf(b, json ? ",\"%s\":" : " %s=", f->name);
    add_value(b, f, json);
    if (!b->overflow)
        return true;
    b->to = before;
    b->overflow = false;
    return false;
}

static void write_line(struct log *log, struct str line)
{
    pthread_mutex_lock(&log->lock);
    while (line.n) {
        ssize_t n = write(log->fd, line.p, line.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;  // a full disk or a closed pipe: there is nobody to tell
        line = str_skip(line, (size_t)n);
    }
    pthread_mutex_unlock(&log->lock);
}

void log_fields(struct log *log, enum log_level level, const char *event, const struct log_field *f,
                size_t n)
{
    if (!log_on(log, level))
        return;
    // A buffer over our own array: its size is never passed, so that it never allocates. One byte
    // is for the 0 of buf_printf().
    char array[LINE_BYTES];
    struct buf b = {.p = array, .size = sizeof array, .limit = sizeof array - 1 - TAIL_BYTES};
    bool cut = false;
    if (log->json)
        buf_lit(&b, "{\"time\":\"");
    add_time(&b);
    buf_printf(&b, log->json ? "\",\"level\":\"%s\",\"event\":\"%s\"" : " %-5s %s",
               level_names[level], event);
    for (size_t i = 0; i < n; i++)
        if (f[i].name && !add_field(&b, &f[i], log->json))
            cut = true;
    b.limit = sizeof array - 1;
    if (cut)
        buf_printf(&b, log->json ? ",\"cut\":true" : " cut=true");
    buf_printf(&b, log->json ? "}\n" : "\n");
    write_line(log, buf_str(&b));
}
