#include "io/loop_uv.h"

#include "base/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

static void take_off(struct conn *c);
static void look_at_pending(struct conn *c);

void conn_uncork(struct conn *c)
{
    if (!c->corked)
        return;
    c->corked = false;
    if (c->corked_prev)
        c->corked_prev->corked_next = c->corked_next;
    else
        c->loop->corked = c->corked_next;
    if (c->corked_next)
        c->corked_next->corked_prev = c->corked_prev;
    c->corked_next = c->corked_prev = NULL;
}

static void on_written(uv_write_t *request, int status)
{
    struct flight *f = request->data;
    struct conn *c = CONTAINER_OF(request->handle, struct conn, tcp);
    turn_begin(c->loop);
    buf_release(&f->bytes);
    free(f);
    c->flight = NULL;
    if (c->phase == CONN_GONE)
        return;
    if (status) {
        conn_lost(c, uv_err(status), uv_strerror(status));
        return;
    }
    if (!c->corked)
        take_off(c);
    look_at_pending(c);
}

// What waits; the connection goes on with an empty buffer of its kind: what goes to a supplier has
// its key in it.
static struct buf take_out(struct conn *c)
{
    struct buf out = c->out;
    c->out = (struct buf){.limit = PENDING_MAX, .secret = out.secret};
    return out;
}

// Hands all that waits to libuv, which writes it when the socket has room.
static void take_off(struct conn *c)
{
    if (c->flight || buf_len(&c->out) == 0)
        return;
    struct flight *f = take(sizeof *f);
    f->bytes = take_out(c);
    f->request.data = f;
    uv_buf_t b = uv_buf_init(f->bytes.p + f->bytes.from, (unsigned)buf_len(&f->bytes));
    int status = uv_write(&f->request, (uv_stream_t *)&c->tcp, &b, 1, on_written);
    if (status) {
        buf_release(&f->bytes);
        free(f);
        conn_end(c, uv_err(status));
        return;
    }
    c->flight = f;
}

static void shut(struct conn *c)
{
    if (c->eof) {
        conn_end(c, ERR_NONE);
        return;
    }
    uv_os_fd_t fd;
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) || shutdown(fd, SHUT_WR)) {
        conn_end(c, ERR_NONE);
        return;
    }
    c->phase = CONN_LINGERING;
    int64_t until_us = c->loop->now_us + LINGER_US;
    timer_set(c->loop, &c->timer, min_i64(until_us, c->timer.node.due_us));
}

static void look_at_pending(struct conn *c)
{
    size_t pending = conn_pending(c);
    if (c->phase == CONN_CLOSING && pending == 0) {
        shut(c);
    } else if (c->above && pending < c->low) {
        c->above = false;
        if (c->phase == CONN_OPEN && c->calls && c->calls->drain)
            c->calls->drain(c->ctx);
    }
}

// What the socket takes of both at once; or libuv's code. Not uv_try_write(): send() is the shorter
// way through the kernel, and for small pieces shorter than sendmsg() by more than a copy costs.
static ssize_t send_some(struct conn *c, struct str a, struct str b)
{
    char joined[4096];
    uv_os_fd_t fd;
    ssize_t n;
    size_t secret_n = a.n;  // a head has the key in it, a body has none
    int status = uv_fileno((uv_handle_t *)&c->tcp, &fd);
    if (status)
        return status;
    if (a.n && b.n && a.n + b.n <= sizeof joined) {
        memcpy(joined, a.p, a.n);
        memcpy(joined + a.n, b.p, b.n);
        a = (struct str){joined, a.n + b.n};
        b.n = 0;
    }
    struct iovec parts[2] = {{(void *)(uintptr_t)a.p, a.n}, {(void *)(uintptr_t)b.p, b.n}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    do
        n = b.n ? sendmsg(fd, &message, MSG_NOSIGNAL) : send(fd, a.p, a.n, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (a.p == joined && c->out.secret)
        wipe(joined, secret_n);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
        return 0;
    return n < 0 ? uv_translate_sys_error(errno) : n;
}

// Errors of a write are told later, by `closed`: nothing is called from inside conn_send().
void conn_put(struct conn *c, struct str a, struct str b)
{
    size_t written = 0;
    if (a.n + b.n == 0 || c->phase >= CONN_LINGERING)
        return;
    if (!c->corked && !c->flight && buf_len(&c->out) == 0) {
        ssize_t n = send_some(c, a.n ? a : b, a.n ? b : (struct str){0});
        if (n < 0) {
            conn_lost(c, uv_err((int)n), uv_strerror((int)n));
            return;
        }
        written = (size_t)n;
    }
    if (c->corked && written == 0)
        spare_lend(&c->loop->spares, &c->out);
    size_t of_a = written < a.n ? written : a.n;
    if (!buf_add_str(&c->out, str_skip(a, of_a)) ||
        !buf_add_str(&c->out, str_skip(b, written - of_a))) {
        conn_end(c, ERR_LIMIT);
        return;
    }
    if (!c->corked)
        take_off(c);
    if (c->phase != CONN_GONE && conn_pending(c) > c->high)
        c->above = true;
}

void conn_secure(struct conn *c, struct str a, struct str b)
{
    struct buf *wire = &c->loop->wire;
    char joined[4096];
    size_t secret_n = a.n;                           // as in send_some()
    if (a.n && b.n && a.n + b.n <= sizeof joined) {  // a record costs more than a copy
        memcpy(joined, a.p, a.n);
        memcpy(joined + a.n, b.p, b.n);
        a = (struct str){joined, a.n + b.n};
        b.n = 0;
    }
    enum err e = a.n ? tls_send(c->tls, a, wire, NULL) : ERR_NONE;
    if (!e && b.n)
        e = tls_send(c->tls, b, wire, NULL);
    if (a.p == joined && c->out.secret)
        wipe(joined, secret_n);
    conn_put(c, buf_str(wire), STR(""));
    conn_scratch_clear(wire);
    if (e)
        conn_end(c, e);
}

void conn_send2(struct conn *c, struct str head, struct str body)
{
    if (c->phase > CONN_OPEN)
        return;
    if (conn_is_shaking(c))
        return;  // it has asked nothing yet
    if (c->phase < CONN_OPEN) {
        dial_early(c, head);
        dial_early(c, body);
    } else if (c->tls) {
        conn_secure(c, head, body);
    } else {
        conn_put(c, head, body);
    }
}

void conn_send(struct conn *c, struct str bytes)
{
    conn_send2(c, bytes, STR(""));
}

void conn_cork(struct conn *c)
{
    if (c->corked || c->phase != CONN_OPEN)
        return;
    c->corked = true;
    c->corked_next = c->loop->corked;
    if (c->corked_next)
        c->corked_next->corked_prev = c;
    c->loop->corked = c;
}

void conn_flush(struct conn *c)
{
    conn_uncork(c);
    if (c->flight)
        return;
    struct buf out = take_out(c);
    conn_put(c, buf_str(&out), STR(""));
    spare_take(&c->loop->spares, &out);
    look_at_pending(c);
}

size_t conn_pending(const struct conn *c)
{
    if (c->phase == CONN_GONE)
        return 0;
    size_t n = buf_len(&c->out) + uv_stream_get_write_queue_size((const uv_stream_t *)&c->tcp);
    return c->dial ? n + dial_pending(c) : n;
}
