#include "io/spawn.h"
#include "io/loop_uv.h"

#include "base/arena.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 4096, WORDS_BYTES_MAX = 4 << 20 };

struct process {
    uv_process_t handle;
    struct loop *loop;
    void (*exited)(void *ctx, int status, int signal);
    void *ctx;
};

static void on_process_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void process_drop(struct process *p)
{
    uv_close((uv_handle_t *)&p->handle, on_process_closed);
}

static void on_exit_status(uv_process_t *handle, int64_t status, int signal)
{
    struct process *p = handle->data;
    turn_begin(p->loop);
    process_drop(p);
    if (p->exited)
        p->exited(p->ctx, (int)status, signal);
}

static enum err spawn(struct process **out, struct loop *l, uv_process_options_t *o,
                      void (*exited)(void *ctx, int status, int signal), void *ctx,
                      struct diag *diag)
{
    struct process *p = take(sizeof *p);
    *p = (struct process){.loop = l, .exited = exited, .ctx = ctx};
    p->handle.data = p;
    o->exit_cb = on_exit_status;
    int status = uv_spawn(&l->uv, &p->handle, o);
    if (status) {
        process_drop(p);
        return diag_set(diag, uv_err(status), "cannot start %s: %s", o->file, uv_strerror(status));
    }
    *out = p;
    return ERR_NONE;
}

enum err process_start(struct process **out, struct loop *l, char *const *argv,
                       void (*exited)(void *ctx, int status, int signal), void *ctx,
                       struct diag *diag)
{
    uv_process_options_t o = {.file = argv[0], .args = (char **)(uintptr_t)argv};
    return spawn(out, l, &o, exited, ctx, diag);
}

// What /proc says of ourselves, as words that end with 0; `max` of them, and NULL.
static char **words_of(struct buf *text, const char *path, int32_t max)
{
    char piece[4096];
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0)
        buf_add(text, piece, (size_t)n);
    if (fd >= 0)
        close(fd);
    buf_add(text, "", 1);
    char **words = take_n(sizeof *words, (size_t)max + 2);  // one more, and NULL
    int32_t count = 0;
    for (char *p = text->p; p < text->p + buf_len(text) - 1 && count < max; p += strlen(p) + 1)
        words[count++] = p;
    return words;
}

// Where our program lies. When it was replaced, the kernel says so behind the name.
static bool own_path(char *out, size_t size)
{
    static const char gone[] = " (deleted)";
    ssize_t n = readlink("/proc/self/exe", out, size - 1);
    if (n <= 0)
        return false;
    out[n] = 0;
    size_t tail = sizeof gone - 1;
    if ((size_t)n > tail && strcmp(out + n - tail, gone) == 0)
        out[(size_t)n - tail] = 0;
    return true;
}

enum err process_start_again(struct process **out, struct loop *l, const char *command,
                             const char *option, void (*exited)(void *ctx, int status, int signal),
                             void *ctx, struct diag *diag)
{
    char path[4096];
    struct buf arguments, environment;
    buf_init(&arguments, WORDS_BYTES_MAX);
    buf_init(&environment, WORDS_BYTES_MAX);
    char **argv = words_of(&arguments, "/proc/self/cmdline", WORDS_MAX);
    char **env = words_of(&environment, "/proc/self/environ", WORDS_MAX);
    bool there = false;
    int32_t at = 0, n = 0;
    for (; argv[n]; n++) {
        there |= strcmp(argv[n], option) == 0;
        at = !at && n && strcmp(argv[n], command) == 0 ? n + 1 : at;
    }
    if (!there && at) {
        memmove(argv + at + 1, argv + at, (size_t)(n - at + 1) * sizeof *argv);
        argv[at] = (char *)(uintptr_t)option;
    }
    uv_stdio_container_t streams[3];
    for (int i = 0; i < 3; i++)
        streams[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = i};
    uv_process_options_t o = {
        .file = path, .args = argv, .env = env, .stdio = streams, .stdio_count = 3};
    enum err e =
        own_path(path, sizeof path) && at
            ? spawn(out, l, &o, exited, ctx, diag)
            : diag_set(diag, ERR_SYSTEM, "/proc does not say how this program was started");
    free(argv);
    free(env);
    buf_release(&arguments);
    buf_release(&environment);
    return e;
}

int32_t process_pid(const struct process *p)
{
    return uv_process_get_pid(&p->handle);
}

void process_forget(struct process *p)
{
    p->exited = NULL;
}
