#include "io/spawn.h"
#include "io/loop_uv.h"

#include "base/arena.h"

#include <stdlib.h>
#include <unistd.h>

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

enum err process_start(struct process **out, struct loop *l, char *const *argv,
                       void (*exited)(void *ctx, int status, int signal), void *ctx,
                       struct diag *diag)
{
    struct process *p = take(sizeof *p);
    *p = (struct process){.loop = l, .exited = exited, .ctx = ctx};
    p->handle.data = p;
    uv_process_options_t o = {
        .file = argv[0], .args = (char **)(uintptr_t)argv, .exit_cb = on_exit_status};
    int status = uv_spawn(&l->uv, &p->handle, &o);
    if (status) {
        process_drop(p);
        return diag_set(diag, uv_err(status), "cannot start %s: %s", argv[0], uv_strerror(status));
    }
    *out = p;
    return ERR_NONE;
}

int32_t process_pid(const struct process *p)
{
    return uv_process_get_pid(&p->handle);
}

void process_forget(struct process *p)
{
    p->exited = NULL;
}
