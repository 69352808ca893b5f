#include "io/log.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/units.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

// SHORT_BYTES: holds any integer.
enum {
    LINE_BYTES = 8 * 1024,
    VALUE_BYTES = 1024,
    TAIL_BYTES = 32,
    KEPT_BYTES = 64 * 1024,
    SHORT_BYTES = 64
};

struct log {
    _Atomic int level;  // an enum log_level; of a loop's log: its parent's
    bool json;
    int fd;
    char *path;            // NULL: stderr
    pthread_mutex_t lock;  // so that the two halves of a short write stay together
    // of a loop's log, which is one thread's and whose lines go to `parent` at the end of a turn
    struct log *parent;
    struct loop *loop;
    struct buf kept;
    int64_t time_s;  // what `time` says; -1: nothing yet
    char time[sizeof "0000-00-00T00:00:00.000Z"];
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

static void write_text(struct log *log, struct str text)
{
    pthread_mutex_lock(&log->lock);
    while (text.n) {
        ssize_t n = write(log->fd, text.p, text.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;  // a full disk or a closed pipe: there is nobody to tell
        text = str_skip(text, (size_t)n);
    }
    pthread_mutex_unlock(&log->lock);
}

static void write_kept(void *arg)
{
    struct log *log = arg;
    write_text(log->parent, buf_str(&log->kept));
    buf_clear(&log->kept);
}

struct log *log_of_loop(struct log *parent, struct loop *l)
{
    if (!parent)
        return NULL;
    struct log *log = take(sizeof *log);
    *log = (struct log){.json = parent->json, .parent = parent, .loop = l, .time_s = -1};
    buf_init(&log->kept, KEPT_BYTES);
    return log;
}

void log_free(struct log *log)
{
    if (!log)
        return;
    if (log->parent) {
        write_kept(log);
        buf_release(&log->kept);
        free(log);
        return;
    }
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
    return log &&
           (int)level <= atomic_load_explicit(log->parent ? &log->parent->level : &log->level,
                                              memory_order_relaxed);
}

void log_set_level(struct log *log, enum log_level level)
{
    atomic_store_explicit(&log->level, level, memory_order_relaxed);
}

// --- one line ---------------------------------------------------------------------------------

// `n` digits with zeros in front.
static void put_digits(char *at, int32_t v, int32_t n)
{
    for (int32_t i = n; i-- > 0; v /= 10)
        at[i] = (char)('0' + v % 10);
}

static void write_second(char *text, int64_t second)
{
    struct civil c = civil_of(S(second));
    memcpy(text, "0000-00-00T00:00:00.000Z", 25);
    put_digits(text, c.year, 4);
    put_digits(text + 5, c.month, 2);
    put_digits(text + 8, c.day, 2);
    put_digits(text + 11, c.hour, 2);
    put_digits(text + 14, c.minute, 2);
    put_digits(text + 17, c.second, 2);
}

static void add_time(struct log *log, struct buf *b)
{
    struct timespec t;
    char text[sizeof log->time], *at = log->parent ? log->time : text;
    clock_gettime(CLOCK_REALTIME, &t);
    if (!log->parent) {  // any thread's: it keeps nothing
        write_second(at, t.tv_sec);
    } else if (log->time_s != t.tv_sec) {
        log->time_s = t.tv_sec;
        write_second(at, t.tv_sec);
    }
    put_digits(at + 20, (int32_t)(t.tv_nsec / 1000000), 3);
    buf_add(b, at, sizeof log->time - 1);
}

// Bare in a text line: what cannot be taken for the end of the value or for another field.
static bool is_plain(struct str s)
{
    static const bool plain[256] = {
        ['!'] = true, ['#' ... '<'] = true, ['>' ... '['] = true, [']' ... '~'] = true};
    bool all = s.n > 0;
    for (size_t i = 0; i < s.n; i++)
        all &= plain[(unsigned char)s.p[i]];
    return all;
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
    case LOG_INT: buf_int(b, f->v.i); break;
    case LOG_BOOL: buf_add_str(b, f->v.i ? STR("true") : STR("false")); break;
    case LOG_NUM:
        if (isfinite(f->v.d))
            buf_printf(b, "%.6g", f->v.d);
        else
            buf_add_str(b, json ? STR("null") : STR("none"));
        break;
    }
}

enum { QUOTED = 1, ESCAPED = 2 };  // what a byte needs around it, or more than that

static uint8_t needs_of(struct str s)
{
    static const uint8_t needs[256] = {
        [0 ... 0x1f] = ESCAPED, [' '] = QUOTED,   ['='] = QUOTED,
        ['"'] = ESCAPED,        ['\\'] = ESCAPED, [0x7f ... 0xff] = ESCAPED};
    uint8_t need = 0;
    for (; s.n >= 4; s = (struct str){s.p + 4, s.n - 4})
        need |= needs[(unsigned char)s.p[0]] | needs[(unsigned char)s.p[1]] |
                needs[(unsigned char)s.p[2]] | needs[(unsigned char)s.p[3]];
    for (size_t i = 0; i < s.n; i++)
        need |= needs[(unsigned char)s.p[i]];
    return need;
}

// What stands around a text where it is short and holds nothing that is escaped: a field of most
// lines is written in one go. NULL: it has to be looked at.
static const struct str *quote_of(struct str s, bool json)
{
    static const struct str bare = {"", 0}, quote = {"\"", 1};
    if (s.n > SHORT_BYTES)
        return NULL;
    uint8_t need = needs_of(s);
    return need & ESCAPED ? NULL : need || json || !s.n ? &quote : &bare;
}

// As add_field(), for what quote_of() knows and for numbers. False: not written.
static bool put_field(struct buf *b, const struct log_field *f, bool json)
{
    const struct str *quote = NULL;
    size_t n = f->name.n + SHORT_BYTES + 8;
    if (b->limit - buf_len(b) < n || (f->kind != LOG_INT && f->kind != LOG_STR))
        return false;
    if (f->kind == LOG_STR && !(quote = quote_of(f->v.s, json)))
        return false;
    char *at = b->p + b->to;
    at = json ? put_lit(at, ",\"") : put_lit(at, " ");
    at = put_str(at, f->name);
    at = json ? put_lit(at, "\":") : put_lit(at, "=");
    if (quote) {
        at = put_str(at, *quote);
        at = put_str(at, f->v.s);
        at = put_str(at, *quote);
    } else {
        at = put_int(at, f->v.i);
    }
    buf_put(b, at);
    return true;
}

// False: it does not fit, and nothing of it was written.
static bool add_field(struct buf *b, const struct log_field *f, bool json)
{
    size_t before = b->to;
    buf_add_str(b, json ? STR(",\"") : STR(" "));
    buf_add_str(b, f->name);
    buf_add_str(b, json ? STR("\":") : STR("="));
    add_value(b, f, json);
    if (!b->overflow)
        return true;
    b->to = before;
    b->overflow = false;
    return false;
}

static void write_line(struct log *log, enum log_level level, struct str line)
{
    if (!log->parent) {
        write_text(log, line);
        return;
    }
    if (buf_len(&log->kept) + line.n > KEPT_BYTES)
        write_kept(log);
    if (buf_len(&log->kept) == 0 && level > LOG_WARN)
        loop_after_turn(log->loop, write_kept, log);
    buf_add_str(&log->kept, line);
    if (level <= LOG_WARN)
        write_kept(log);
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
    struct str name = str_of(level_names[level]), blanks = str_skip(STR("      "), name.n);
    if (log->json)
        buf_lit(&b, "{\"time\":\"");
    add_time(log, &b);
    if (log->json)
        buf_join(&b, STR("\",\"level\":\""), name, STR("\",\"event\":\""), str_of(event),
                 STR("\""));
    else
        buf_join(&b, STR(" "), name, blanks, str_of(event));
    for (size_t i = 0; i < n; i++)
        if (f[i].name.n && !put_field(&b, &f[i], log->json) && !add_field(&b, &f[i], log->json))
            cut = true;
    b.limit = sizeof array - 1;
    if (cut)
        buf_add_str(&b, log->json ? STR(",\"cut\":true") : STR(" cut=true"));
    buf_add_str(&b, log->json ? STR("}\n") : STR("\n"));
    write_line(log, level, buf_str(&b));
}
