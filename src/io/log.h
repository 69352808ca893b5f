// log.h - lines for people and machines: one event, one line.
//
//     log_line(log, LOG_WARN, "supplier failed", log_str("supplier", s->name), log_int("status",
//     503));
//
//     2026-11-21T08:30:00.123Z warn  supplier failed supplier=groq status=503
//     {"time":"2026-11-21T08:30:00.123Z","level":"warn","event":"supplier
//     failed","supplier":"groq","status":503}
//
// Any thread may log, and a line is one write; a loop may have a log of its own, whose lines are
// written together at the end of each turn. Only `gateway` and the commands do; what lies below
// returns a diag. Whatever a stranger sent stays within its value: control characters and quotes
// are escaped, a value is cut after 1 KiB, and a line has at most 8 KiB (fields past that are left
// out, and "cut" says so).

#ifndef CAUDAL_LOG_H
#define CAUDAL_LOG_H

#include "base/err.h"
#include "base/str.h"
#include "io/loop.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
bool log_level_read(enum log_level *out, struct str name);  // "error", "warn", "info", "debug"

struct log;

// `path` empty: stderr. ERR_MISSING, ERR_DENIED, ERR_SYSTEM: the file cannot be opened; `diag` says
// why.
MUST_USE enum err log_new(struct log **out, struct str path, bool json, enum log_level level,
                          struct diag *diag);
void log_free(struct log *log);
// The same log for one loop and its thread: what is logged in a turn is written at its end, a
// warning or an error at once with all before it. Freed behind the loop and before `log`.
struct log *log_of_loop(struct log *log, struct loop *l);
// Opens the file again by its name, after it was moved away. On failure the old one is kept.
MUST_USE enum err log_reopen(struct log *log, struct diag *diag);
bool log_on(const struct log *log, enum log_level level);  // NULL logs nothing
void log_set_level(struct log *log,
                   enum log_level level);  // and of the logs of its loops; any thread

struct log_field {
    struct str name;
    enum { LOG_STR, LOG_INT, LOG_NUM, LOG_BOOL } kind;
    union {
        struct str s;
        int64_t i;
        double d;
    } v;
};
static inline struct log_field log_str(const char *name, struct str s)
{
    return (struct log_field){str_of(name), LOG_STR, {.s = s}};
}
static inline struct log_field log_text(const char *name, const char *z)  // NULL: ""
{
    return (struct log_field){str_of(name), LOG_STR, {.s = str_of(z)}};
}
static inline struct log_field log_int(const char *name, int64_t i)
{
    return (struct log_field){str_of(name), LOG_INT, {.i = i}};
}
static inline struct log_field log_num(const char *name, double d)  // six digits
{
    return (struct log_field){str_of(name), LOG_NUM, {.d = d}};
}
static inline struct log_field log_ms(const char *name, int64_t us)  // microseconds, shown in ms
{
    return (struct log_field){str_of(name), LOG_NUM, {.d = (double)us / 1000}};
}
static inline struct log_field log_bool(const char *name, bool b)
{
    return (struct log_field){str_of(name), LOG_BOOL, {.i = b}};
}

// `event` and the names are ours, plain words. A field without a name is left out.
void log_fields(struct log *log, enum log_level level, const char *event, const struct log_field *f,
                size_t n);

#define log_line(log, level, event, ...)                                               \
    (log_on((log), (level))                                                            \
         ? log_fields((log), (level), (event),                                         \
                      (struct log_field[]){{.kind = LOG_STR}, ##__VA_ARGS__},          \
                      sizeof((struct log_field[]){{.kind = LOG_STR}, ##__VA_ARGS__}) / \
                          sizeof(struct log_field))                                    \
         : (void)0)

#endif
