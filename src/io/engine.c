#include "io/engine.h"
#include "io/engine_log.h"

#include "base/buf.h"
#include "io/file.h"
#include "io/holder.h"
#include "io/spawn.h"
#include "io/tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROBE_STARTING_US MS(250)  // between two looks at the health path
#define PROBE_READY_US S(5)
#define PROBE_LIMIT_US S(5)    // for one look
#define START_LIMIT_US S(60)   // unless the portfolio says otherwise
#define BACK_OFF_US MS(500)    // before the first restart; doubles ...
#define BACK_OFF_MAX_US S(30)  // ... up to this ...
#define HEALTHY_US S(60)       // ... and begins again after so long a good time

enum { MISSES_MAX = 3, STATUS_LINE = 12, WHY_BYTES = 300 };  // "HTTP/1.1 200"

//     start ---> STARTING --200--> READY         Each arrow to FAILED kills the process group if it
//       ^           |                |           still runs. engine_stop() leads to STOPPED from
//       |    exit, too late    exit, 3 misses    anywhere.
//       |           v                v
//       +-back-off- FAILED <---------+
struct engine {
    struct loop *loop;
    const struct supplier *supplier;
    const struct engine_calls *calls;
    void *ctx;
    char *program, *log;  // paths
    enum engine_state state;
    bool stopping;
    struct process *process;  // NULL: not running
    int32_t port;
    struct timer next;         // the next look, or the next start
    struct timer limit;        // to become ready, or to stop
    struct probe *probe;       // a look under way
    struct holder_look *scan;  // whether it is the one that answered, under way
    int misses;
    char missed[100];  // what the last look saw
    int64_t back_off_us, ready_us, look_us;
    uint64_t starts;
};

struct probe {              // as long as its connection
    struct engine *engine;  // NULL: over
    struct conn *c;
    struct timer limit;
    char line[STATUS_LINE + 1];
    size_t n;
};

static void start(struct engine *e);
static void fail(struct engine *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

// The last thing its caller does: the owner may free the engine in here.
static void tell(struct engine *e, enum engine_state s, const char *why)
{
    e->state = s;
    if (e->calls && e->calls->state)
        e->calls->state(e->ctx, e, s, str_of(why));
}

static void after(struct engine *e, struct timer *t, int64_t us)
{
    timer_set(e->loop, t, loop_now_us(e->loop) + us);
}

// --- is it well? ------------------------------------------------------------------------------

static void scan_end(struct engine *e)
{
    holder_forget(e->scan);
    e->scan = NULL;
}

static void on_scanned(void *ctx, bool listens)
{
    struct engine *e = ctx;
    e->scan = NULL;
    if (!listens) {
        fail(e, "port %d answers, but it is not this engine that listens there", e->port);
        return;
    }
    e->ready_us = loop_now_us(e->loop);
    timer_stop(e->loop, &e->limit);
    after(e, &e->next, e->look_us);
    char why[WHY_BYTES];
    snprintf(why, sizeof why, "ready on port %d, process %d", e->port, engine_pid(e));
    tell(e, ENGINE_READY, why);
}

static void on_look(struct engine *e, bool good)
{
    if (good) {
        e->misses = 0;
        if (e->state == ENGINE_READY) {
            after(e, &e->next, e->look_us);
            return;
        }
        // Between our choice of the port and the engine's bind another program may have taken it:
        // what that one answers is no engine's health, and requests are not for it.
        e->scan = holder_look(e->loop, engine_pid(e), e->port, on_scanned, e);
    } else if (e->state == ENGINE_STARTING) {
        after(e, &e->next, PROBE_STARTING_US);
    } else if (++e->misses < MISSES_MAX) {
        after(e, &e->next, e->look_us);
    } else {
        fail(e, "its health path failed %d times (%s)", MISSES_MAX, e->missed);
    }
}

static void probe_end(struct probe *p)
{
    if (!p->engine)
        return;
    timer_stop(p->engine->loop, &p->limit);
    p->engine->probe = NULL;
    p->engine = NULL;
    conn_abort(p->c);
}

static void probe_says(struct probe *p, bool good, const char *seen)
{
    struct engine *e = p->engine;
    if (!e)
        return;
    snprintf(e->missed, sizeof e->missed, "%s", seen);
    probe_end(p);
    on_look(e, good);
}

static void on_probe_opened(void *ctx, enum err err, const struct diag *diag)
{
    struct probe *p = ctx;
    if (err) {
        probe_says(p, false, diag->text);
        return;
    }
    const struct engine *e = p->engine;
    struct buf ask;
    buf_init(&ask, 4096);
    struct str path = e->supplier->run.health;
    if (path.n == 0)
        path = STR("/health");
    buf_printf(&ask, "GET " STR_FMT " HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n",
               STR_ARG(path), e->port);
    conn_send(p->c, buf_str(&ask));
    buf_release(&ask);
}

static void on_probe_data(void *ctx, struct str bytes)
{
    struct probe *p = ctx;
    size_t n = bytes.n < STATUS_LINE - p->n ? bytes.n : STATUS_LINE - p->n;
    memcpy(p->line + p->n, bytes.p, n);
    p->n += n;
    if (p->n < STATUS_LINE)
        return;
    struct str line = {p->line, p->n};
    probe_says(p, str_starts(line, STR("HTTP/1.")) && str_ends(line, STR(" 200")), p->line);
}

static void on_probe_eof(void *ctx)
{
    probe_says(ctx, false, "it closed the connection");
}

static void on_probe_closed(void *ctx, enum err why)
{
    probe_says(ctx, false, err_text(why));
    free(ctx);
}

static void on_probe_limit(struct timer *t)
{
    probe_says(CONTAINER_OF(t, struct probe, limit), false, "no answer in time");
}

static const struct conn_calls probe_calls = {.opened = on_probe_opened,
                                              .data = on_probe_data,
                                              .eof = on_probe_eof,
                                              .closed = on_probe_closed};

static void look(struct engine *e)
{
    engine_log_bound(e->log, ENGINE_LOG_BYTES_MAX);
    struct probe *p = take(sizeof *p);
    p->engine = e;
    p->limit.fire = on_probe_limit;
    e->probe = p;
    after(e, &p->limit, PROBE_LIMIT_US);
    p->c =
        conn_connect(e->loop,
                     &(struct conn_target){
                         .host = STR("127.0.0.1"), .port = e->port, .timeout_us = PROBE_LIMIT_US},
                     &probe_calls, p);
}

// --- its life ---------------------------------------------------------------------------------

// To the whole group; to the child alone while it has not made the group yet.
static void signal_group(const struct engine *e, int number)
{
    pid_t pid = process_pid(e->process);
    if (kill(-pid, number))
        kill(pid, number);
}

static void fail(struct engine *e, const char *fmt, ...)
{
    char why[WHY_BYTES];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(why, sizeof why - 40, fmt, args);
    va_end(args);
    if (e->probe)
        probe_end(e->probe);
    scan_end(e);
    timer_stop(e->loop, &e->limit);
    if (e->process)
        signal_group(e, SIGKILL);
    if (e->state == ENGINE_READY && loop_now_us(e->loop) - e->ready_us >= HEALTHY_US)
        e->back_off_us = 0;
    e->back_off_us = e->back_off_us ? min_i64(e->back_off_us * 2, BACK_OFF_MAX_US) : BACK_OFF_US;
    // A quarter to either side, so that engines that fell together do not rise together.
    int64_t again_us =
        e->back_off_us * 3 / 4 + (int64_t)(random_u64() % (uint64_t)(e->back_off_us / 2));
    after(e, &e->next, again_us);
    if (n > (int)sizeof why - 41)
        n = (int)sizeof why - 41;
    snprintf(why + n, sizeof why - (size_t)n, "; again in %.1f s", (double)again_us / 1e6);
    tell(e, ENGINE_FAILED, why);
}

static void on_exited(void *ctx, int status, int number)
{
    struct engine *e = ctx;
    kill(-process_pid(e->process), SIGKILL);  // what it has left behind in its group
    e->process = NULL;
    if (e->stopping) {
        timer_stop(e->loop, &e->limit);
        tell(e, ENGINE_STOPPED, "stopped");
    } else if (e->state == ENGINE_FAILED) {
        return;  // killed by us; `next` starts it again
    } else if (number) {
        fail(e, "it was ended by signal %d (%s)", number, strsignal(number));
    } else {
        fail(e, "it exited with status %d, see %s", status, e->log);
    }
}

static int32_t free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0 &&
              getsockname(fd, (struct sockaddr *)&a, &n) == 0;
    if (fd >= 0)
        close(fd);
    return ok ? ntohs(a.sin_port) : 0;
}

// One argument with ${PORT} filled in.
static char *filled(struct str arg, int32_t port)
{
    struct buf b;
    size_t at;
    buf_init(&b, SIZE_MAX / 2);
    while (str_find(arg, STR("${PORT}"), &at)) {
        buf_add(&b, arg.p, at);
        buf_printf(&b, "%d", port);
        arg = str_skip(arg, at + strlen("${PORT}"));
    }
    buf_add_str(&b, arg);
    buf_add(&b, "", 1);
    return b.p;
}

static int64_t start_limit_us(const struct engine *e)
{
    return e->supplier->run.start_us > 0 ? e->supplier->run.start_us : START_LIMIT_US;
}

static void start(struct engine *e)
{
    const struct engine_config *run = &e->supplier->run;
    // PR_SET_PDEATHSIG follows the thread that forks: only the main one lives as long as we do.
    CHECK(gettid() == getpid());
    e->state = ENGINE_STARTING;
    e->starts++;
    e->misses = 0;
    e->port = run->port ? run->port : free_port();
    if (!e->port) {
        fail(e, "no free port: %s", strerror(errno));
        return;
    }
    enum { OWN = 5 };  // of the argv: ours, before the engine's arguments
    char parent[24], **argv = take_n(sizeof *argv, OWN + (size_t)run->n_argv);
    snprintf(parent, sizeof parent, "%d", getpid());
    argv[0] = (char[]){"/proc/self/exe"};
    argv[1] = (char[]){"__engine"};
    argv[2] = e->log;
    argv[3] = parent;
    argv[4] = e->program;
    for (int32_t i = 1; i < run->n_argv; i++)
        argv[OWN + i - 1] = filled(run->argv[i], e->port);
    struct diag diag = {0};
    enum err err = process_start(&e->process, e->loop, argv, on_exited, e, &diag);
    for (int32_t i = 1; i < run->n_argv; i++)
        free(argv[OWN + i - 1]);
    free(argv);
    if (err) {
        fail(e, "%s", diag.text);
        return;
    }
    after(e, &e->limit, start_limit_us(e));
    after(e, &e->next, PROBE_STARTING_US);
}

static void on_next(struct timer *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, next);
    if (e->stopping)
        tell(e, ENGINE_STOPPED, "stopped");
    else if (!e->process)
        start(e);
    else if (e->state == ENGINE_FAILED)
        after(e, &e->next, PROBE_STARTING_US);  // killed, not gone yet
    else
        look(e);
}

static void on_limit(struct timer *t)
{
    struct engine *e = CONTAINER_OF(t, struct engine, limit);
    if (e->stopping)
        signal_group(e, SIGKILL);
    else
        fail(e, "not ready within %g s (%s), see %s", (double)start_limit_us(e) / 1e6, e->missed,
             e->log);
}

// --- making -----------------------------------------------------------------------------------

static bool is_program(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static char *text_of(struct str s)
{
    char *p = take(s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    return p;
}

static char *joined(struct str folder, struct str name, const char *suffix)
{
    if (folder.n == 0)
        folder = STR(".");
    size_t size = folder.n + name.n + strlen(suffix) + 2;
    char *p = take(size);
    snprintf(p, size, STR_FMT "/" STR_FMT "%s", STR_ARG(folder), STR_ARG(name), suffix);
    return p;
}

// Where the shell would find it; NULL: nowhere.
static char *find_program(struct str name)
{
    char *found = text_of(name);
    if (memchr(name.p, '/', name.n)) {
        if (is_program(found))
            return found;
        free(found);
        return NULL;
    }
    free(found);
    struct str path = str_of(getenv("PATH")), folder;
    if (path.n == 0)
        path = STR("/usr/local/bin:/usr/bin:/bin");
    while (str_cut(&path, ':', &folder)) {
        found = joined(folder, name, "");
        if (is_program(found))
            return found;
        free(found);
    }
    return NULL;
}

enum err engine_new(struct engine **out, struct loop *l, const struct supplier *supplier,
                    struct str state_dir, const struct engine_calls *calls, void *ctx,
                    struct diag *diag)
{
    const struct engine_config *run = &supplier->run;
    CHECK(run->n_argv > 0);
    char *program = run->argv[0].n ? find_program(run->argv[0]) : NULL;
    if (!program)
        return diag_set(diag, ERR_MISSING,
                        "supplier " STR_FMT ": the program \"" STR_FMT
                        "\" is not found or not executable",
                        STR_ARG(supplier->name), STR_ARG(run->argv[0]));
    if (run->log.n == 0) {
        enum err err = file_make_dir(state_dir, diag);
        if (err) {
            free(program);
            return err;
        }
    }
    struct engine *e = take(sizeof *e);
    e->loop = l;
    e->supplier = supplier;
    e->calls = calls;
    e->ctx = ctx;
    e->program = program;
    e->look_us = PROBE_READY_US;
    e->log = run->log.n ? text_of(run->log) : joined(state_dir, supplier->name, ".log");
    e->next.fire = on_next;
    e->limit.fire = on_limit;
    snprintf(e->missed, sizeof e->missed, "not asked yet");
    after(e, &e->next, 0);
    *out = e;
    return ERR_NONE;
}

enum engine_state engine_state(const struct engine *e)
{
    return e->state;
}

int32_t engine_port(const struct engine *e)
{
    return e->port;
}

int32_t engine_pid(const struct engine *e)
{
    return e->process ? process_pid(e->process) : 0;
}

const struct supplier *engine_supplier(const struct engine *e)
{
    return e->supplier;
}

uint64_t engine_restarts(const struct engine *e)
{
    return e->starts ? e->starts - 1 : 0;
}

void engine_look_every(struct engine *e, int64_t us)
{
    e->look_us = us;
}

void engine_stop(struct engine *e, int64_t grace_us)
{
    if (e->stopping)
        return;
    e->stopping = true;
    if (e->probe)
        probe_end(e->probe);
    scan_end(e);
    timer_stop(e->loop, &e->next);
    if (e->process) {
        signal_group(e, SIGTERM);
        after(e, &e->limit, grace_us);
    } else {
        after(e, &e->next, 0);
    }
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    if (e->probe)
        probe_end(e->probe);
    scan_end(e);
    timer_stop(e->loop, &e->next);
    timer_stop(e->loop, &e->limit);
    if (e->process) {
        signal_group(e, SIGKILL);
        process_forget(e->process);
    }
    free(e->program);
    free(e->log);
    free(e);
}
