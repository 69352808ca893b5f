#include "io/loop_uv.h"

#include "base/arena.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

static int64_t clock_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

enum err uv_err(int status)
{
    switch (status) {
    case 0: return ERR_NONE;
    case UV_ECONNREFUSED: return ERR_REFUSED;
    case UV_ETIMEDOUT: return ERR_TIMEOUT;
    case UV_ECONNRESET:
    case UV_ECONNABORTED:
    case UV_EPIPE:
    case UV_ENOTCONN: return ERR_RESET;
    case UV_EACCES:
    case UV_EPERM: return ERR_DENIED;
    case UV_EADDRINUSE: return ERR_EXISTS;
    case UV_ENOENT: return ERR_MISSING;
    default: return ERR_SYSTEM;
    }
}

void calls_add(struct calls *c, void (*fn)(void *arg), void *arg)
{
    if (c->n == c->size) {
        c->size = c->size ? c->size * 2 : 16;
        c->at = realloc(c->at, c->size * sizeof *c->at);
        CHECK(c->at);
    }
    c->at[c->n++] = (struct call){fn, arg};
}

static void calls_run(struct calls *c)
{
    for (size_t i = 0; i < c->n; i++)
        c->at[i].fn(c->at[i].arg);
    free(c->at);
}

void turn_begin(struct loop *l)
{
    if (!l->asleep)
        return;
    l->asleep = false;
    l->now_us = clock_now_us();
    // A step of the wall clock is seen within a second.
    if (l->now_us - l->wall_read_us >= S(1)) {
        l->wall_read_us = l->now_us;
        l->wall_minus_now_us = clock_us(CLOCK_REALTIME) - l->now_us;
    }
}

// --- the end of a turn ------------------------------------------------------------------------

// Timers that a timer sets wait for the next turn, or one that is always due would starve the rest.
static void fire_timers(struct loop *l)
{
    uint64_t new_from = l->timers.puts;
    struct heap_node *node;
    while ((node = heap_first(&l->timers)) && node->due_us <= l->now_us && node->order < new_from) {
        struct timer *t = CONTAINER_OF(node, struct timer, node);
        heap_take(&l->timers, node);
        t->fire(t);
    }
}

static void on_wake(uv_timer_t *waker)
{
    struct loop *l = waker->data;
    l->armed_ms = UINT64_MAX;  // the timers themselves are fired by on_sleep()
}

static void arm(struct loop *l)
{
    const struct heap_node *first = heap_first(&l->timers);
    if (l->after.n == 0 && (!first || first->due_us == NEVER))
        return;
    // libuv counts the milliseconds of the same clock. Rounding up: never early, so never in vain.
    uint64_t due_ms = l->after.n || first->due_us <= 0 ? 0 : ((uint64_t)first->due_us + 999) / 1000;
    // Most timers are deadlines that are stopped again: waking once in vain is cheaper than setting
    // the waker each turn.
    if (l->armed_ms <= due_ms)
        return;
    uv_update_time(&l->uv);
    uint64_t now_ms = uv_now(&l->uv);
    uv_timer_start(&l->waker, on_wake, due_ms > now_ms ? due_ms - now_ms : 0, 0);
    l->armed_ms = due_ms;
}

static bool may_send(struct loop *l)
{
    return !l->before_sends || l->before_sends(l->before_sends_arg);
}

static void end_turn(struct loop *l)
{
    turn_begin(l);
    fire_timers(l);
    // What these add comes at the end of the next turn, which follows without sleep.
    struct calls after = l->after;
    l->after = (struct calls){0};
    calls_run(&after);
    // A connection that is written may fail, and its owner may send elsewhere: asked each time.
    while (may_send(l) && l->corked)
        conn_flush(l->corked);
    arm(l);
    l->asleep = true;
}

static void on_sleep(uv_prepare_t *prepare)
{
    end_turn(prepare->data);
}

void loop_after_turn(struct loop *l, void (*fn)(void *arg), void *arg)
{
    calls_add(&l->after, fn, arg);
}

void loop_before_sends(struct loop *l, bool (*fn)(void *arg), void *arg)
{
    l->before_sends = fn;
    l->before_sends_arg = arg;
}

bool loop_holds_sends(const struct loop *l)
{
    return l->before_sends != NULL;
}

// --- calls of other threads -------------------------------------------------------------------

static void run_posted(struct loop *l)
{
    uv_mutex_lock(&l->lock);
    struct calls posted = l->posted;
    l->posted = (struct calls){0};
    uv_mutex_unlock(&l->lock);
    calls_run(&posted);
}

static void on_async(uv_async_t *async)
{
    struct loop *l = async->data;
    turn_begin(l);
    run_posted(l);
}

void loop_post(struct loop *l, void (*fn)(void *arg), void *arg)
{
    uv_mutex_lock(&l->lock);
    bool first = l->posted.n == 0;
    calls_add(&l->posted, fn, arg);
    // Inside the lock, so that the loop cannot run the call, stop and be freed before the wake.
    if (first)
        uv_async_send(&l->async);
    uv_mutex_unlock(&l->lock);
}

// --- work beside it ---------------------------------------------------------------------------

struct work {
    uv_work_t request;
    struct loop *loop;
    void (*work)(void *arg), (*done)(void *arg);
    void *arg;
};

static void on_work(uv_work_t *request)
{
    struct work *w = request->data;
    w->work(w->arg);
}

static void on_work_done(uv_work_t *request, int status)
{
    struct work *w = request->data;
    CHECK(status == 0);  // nobody cancels it
    turn_begin(w->loop);
    w->done(w->arg);
    free(w);
}

void loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct work *w = take(sizeof *w);
    *w = (struct work){.loop = l, .work = work, .done = done, .arg = arg};
    w->request.data = w;
    CHECK(uv_queue_work(&l->uv, &w->request, on_work, on_work_done) == 0);
}

// --- signals ----------------------------------------------------------------------------------

struct signal_call {
    uv_signal_t handle;
    struct loop *loop;
    void (*fn)(void *arg);
    void *arg;
};

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    struct signal_call *s = handle->data;
    turn_begin(s->loop);
    s->fn(s->arg);
}

void loop_on_signal(struct loop *l, int number, void (*fn)(void *arg), void *arg)
{
    struct signal_call *s = take(sizeof *s);
    *s = (struct signal_call){.loop = l, .fn = fn, .arg = arg};
    CHECK(uv_signal_init(&l->uv, &s->handle) == 0);
    s->handle.data = s;
    CHECK(uv_signal_start(&s->handle, on_signal, number) == 0);
}

// --- its life ---------------------------------------------------------------------------------

static void once_a_process(void)
{
    // libuv's writes have no MSG_NOSIGNAL: a client that is gone must not end the program.
    signal(SIGPIPE, SIG_IGN);
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

enum err loop_new(struct loop **out, struct diag *diag)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, once_a_process);
    struct loop *l = take(sizeof *l);
    int status = uv_loop_init(&l->uv);
    if (status) {
        free(l);
        return diag_set(diag, ERR_SYSTEM, "cannot make an event loop: %s", uv_strerror(status));
    }
    status = uv_async_init(&l->uv, &l->async, on_async);
    if (status) {
        CHECK(uv_loop_close(&l->uv) == 0);
        free(l);
        return diag_set(diag, ERR_SYSTEM, "cannot make an event loop: %s", uv_strerror(status));
    }
    CHECK(uv_mutex_init(&l->lock) == 0);
    CHECK(uv_prepare_init(&l->uv, &l->prepare) == 0);
    CHECK(uv_timer_init(&l->uv, &l->waker) == 0);
    l->async.data = l->prepare.data = l->waker.data = l;
    CHECK(uv_prepare_start(&l->prepare, on_sleep) == 0);
    heap_init(&l->timers);
    buf_init(&l->plain, PENDING_MAX);
    buf_init(&l->wire, PENDING_MAX);
    l->armed_ms = UINT64_MAX;
    l->wall_read_us = INT64_MIN / 2;
    l->asleep = true;
    turn_begin(l);
    *out = l;
    return ERR_NONE;
}

void loop_run(struct loop *l)
{
    l->asleep = true;
    turn_begin(l);
    while (!l->stopped)
        uv_run(&l->uv, UV_RUN_DEFAULT);
    l->stopped = false;
    run_posted(l);
    end_turn(l);
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
    uv_stop(&l->uv);
}

static void on_signal_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void close_rest(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (uv_is_closing(handle))
        return;
    if (handle->type == UV_SIGNAL)
        uv_close(handle, on_signal_closed);
    else if (handle->type == UV_PROCESS)
        process_drop(handle->data);
    else
        uv_close(handle, NULL);  // prepare, waker, async: inside the loop
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    for (struct conn *c = l->conns; c; c = c->older)
        conn_end(c, ERR_NONE);
    listener_drop_all(l);
    uv_walk(&l->uv, close_rest, NULL);
    names_release(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);  // until all are closed, and no DNS question is under way
    calls_run(&l->after);            // what those put off who were told of their end
    l->after = (struct calls){0};
    names_release(l);  // an answer may still have come
    CHECK(uv_loop_close(&l->uv) == 0);
    CHECK(!l->conns);
    uv_mutex_destroy(&l->lock);
    free(l->after.at);
    free(l->posted.at);
    heap_release(&l->timers);
    buf_release(&l->plain);
    buf_release(&l->wire);
    spares_release(&l->spares);
    free(l);
}

struct spares *loop_spares(struct loop *l)
{
    return &l->spares;
}

int64_t loop_now_us(const struct loop *l)
{
    return l->now_us;
}

int64_t loop_wall_us(const struct loop *l)
{
    return l->now_us + l->wall_minus_now_us;
}

// --- timers -----------------------------------------------------------------------------------

void timer_set(struct loop *l, struct timer *t, int64_t due_us)
{
    heap_take(&l->timers, &t->node);
    t->node.due_us = due_us;
    heap_put(&l->timers, &t->node);
}

void timer_stop(struct loop *l, struct timer *t)
{
    heap_take(&l->timers, &t->node);
}
