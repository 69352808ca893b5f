#include "io/loop_uv.h"

#include "base/arena.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

// --- making and ending ------------------------------------------------------------------------

struct conn *conn_make(struct loop *l, enum conn_phase phase)
{
    struct conn *c = take(sizeof *c);
    c->loop = l;
    c->phase = phase;
    c->high = PENDING_HIGH;
    c->low = PENDING_LOW;
    buf_init(&c->out, PENDING_MAX);
    CHECK(uv_tcp_init(&l->uv, &c->tcp) == 0);
    c->tcp.data = c;
    c->older = l->conns;
    if (c->older)
        c->older->newer = c;
    l->conns = c;
    return c;
}

bool conn_take_fd(struct conn *c, int fd, const struct address *a)
{
    c->address = *a;
    int status = uv_tcp_open(&c->tcp, fd);
    if (status)
        close(fd);
    return status == 0;
}

// libuv calls this in the closing phase of a turn, never inside another callback: a connection may
// be closed from anywhere and stays valid until that callback has returned.
static void on_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    turn_begin(c->loop);
    if (c->calls && c->calls->closed)
        c->calls->closed(c->ctx, c->why);
    if (c->newer)
        c->newer->older = c->older;
    else
        c->loop->conns = c->older;
    if (c->older)
        c->older->newer = c->newer;
    tls_free(c->tls);
    free(c->peer);
    free(c);
}

void conn_end(struct conn *c, enum err why)
{
    if (c->phase == CONN_GONE)
        return;
    if (conn_is_shaking(c))
        c->loop->handshakes--;
    c->phase = CONN_GONE;
    c->why = why;
    timer_stop(c->loop, &c->timer);
    conn_uncork(c);
    if (c->dial)
        dial_drop(c);
    buf_release(&c->out);
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

// --- reading ----------------------------------------------------------------------------------

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *room)
{
    (void)suggested;
    const struct conn *c = handle->data;
    *room = uv_buf_init(c->loop->read, READ_BYTES);
}

static void tell_eof(struct conn *c)
{
    if (c->eof)
        return;
    c->eof = true;
    if (c->phase == CONN_OPEN && c->calls && c->calls->eof)
        c->calls->eof(c->ctx);
}

static void tell_data(struct conn *c, struct str bytes)
{
    if (bytes.n && c->phase == CONN_OPEN && c->calls && c->calls->data)
        c->calls->data(c->ctx, bytes);
}

// --- a client's handshake ---------------------------------------------------------------------

static void on_shake_timer(struct timer *t)
{
    conn_end(CONTAINER_OF(t, struct conn, timer), ERR_TIMEOUT);
}

bool conn_shake(struct conn *c, struct tls_server *tls, int64_t within_us)
{
    struct diag diag = {0};
    if (tls_accept(&c->tls, tls, &diag))
        return false;
    bool crowd = ++c->loop->handshakes > HANDSHAKES_EASY;
    c->phase = CONN_TLS;
    c->timer.fire = on_shake_timer;
    timer_set(c->loop, &c->timer, c->loop->now_us + (crowd ? within_us / 5 : within_us));
    return true;
}

static void shaken(struct conn *c)
{
    c->loop->handshakes--;
    timer_stop(c->loop, &c->timer);
    c->phase = CONN_OPEN;
    if (c->paused)
        conn_pause(c);
}

static void on_handshake(struct conn *c, enum err e, bool ready, const struct diag *diag)
{
    if (c->dial && e)
        dial_fail(c, e, "%s", diag->text);
    else if (c->dial && ready)
        dial_done(c);
    else if (!c->dial && (e || ready))
        shaken(c);
}

// --- reading TLS ------------------------------------------------------------------------------

// Bytes of a TLS peer. What TLS has to say to it (handshake, alerts, keys) leaves first.
static void decrypt(struct conn *c, struct str bytes)
{
    struct loop *l = c->loop;
    struct diag diag = {0};
    bool ready = false, eof = false;
    enum err e = tls_feed(c->tls, bytes, &l->plain, &l->wire, &ready, &eof, &diag);
    conn_put(c, buf_str(&l->wire), STR(""));
    conn_scratch_clear(&l->wire);
    bool client_failed = e && conn_is_shaking(c);
    if (c->phase == CONN_TLS)
        on_handshake(c, e, ready, &diag);
    // What came before a fault is authentic.
    tell_data(c, buf_str(&l->plain));
    conn_scratch_clear(&l->plain);
    if (client_failed)
        conn_close(c);  // slowly, so that no reset overtakes the alert that says why
    else if (e)
        conn_end(c, e);
    else if (eof)
        tell_eof(c);
}

void conn_lost(struct conn *c, enum err e, const char *how)
{
    if (c->dial && c->phase < CONN_OPEN)
        dial_fail(c, e, "%s", how);
    else
        conn_end(c, e);
}

static void at_eof(struct conn *c)
{
    switch (c->phase) {
    case CONN_OPEN:
        // Without close-notify anybody on the way may have cut the stream: not a clean end.
        if (c->tls && !c->eof)
            conn_end(c, ERR_RESET);
        else
            tell_eof(c);
        break;
    case CONN_CLOSING: c->eof = true; break;
    case CONN_LINGERING: conn_end(c, ERR_NONE); break;
    case CONN_GONE: break;
    default: conn_lost(c, ERR_RESET, "it closed the connection"); break;
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *room)
{
    struct conn *c = stream->data;
    turn_begin(c->loop);
    if (n == UV_EOF) {
        at_eof(c);
    } else if (n < 0) {
        // After conn_close() nobody waits for more.
        conn_lost(c, c->phase == CONN_LINGERING ? ERR_NONE : uv_err((int)n), uv_strerror((int)n));
    } else if (n > 0) {
        struct str bytes = {room->base, (size_t)n};
        if (c->phase == CONN_PROXY)
            dial_bytes(c, bytes);
        else if (c->phase > CONN_OPEN)
            return;  // closing: taken and forgotten, so that no reset overtakes our last bytes
        else if (c->tls)
            decrypt(c, bytes);
        else
            tell_data(c, bytes);
    }
}

void conn_read_on(struct conn *c)
{
    if (c->phase == CONN_GONE || (c->paused && c->phase == CONN_OPEN))
        return;
    int status = uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read);
    // After the other side's FIN there is nothing to start.
    if (status && status != UV_EALREADY && !c->eof)
        conn_end(c, uv_err(status));
}

void conn_marks(struct conn *c, size_t high, size_t low)
{
    c->high = high;
    c->low = low;
}

void conn_pause(struct conn *c)
{
    c->paused = true;
    if (c->phase == CONN_OPEN)
        uv_read_stop((uv_stream_t *)&c->tcp);
}

void conn_resume(struct conn *c)
{
    if (!c->paused)
        return;
    c->paused = false;
    if (c->phase == CONN_OPEN && !c->eof)
        conn_read_on(c);
}

// --- closing ----------------------------------------------------------------------------------

static void on_close_timer(struct timer *t)
{
    struct conn *c = CONTAINER_OF(t, struct conn, timer);
    size_t pending = conn_pending(c);
    if (c->phase == CONN_CLOSING && pending + CLOSE_BYTES <= c->unsent) {
        c->unsent = pending;
        timer_set(c->loop, &c->timer, c->loop->now_us + CLOSE_US);
        return;
    }
    conn_end(c, c->phase == CONN_LINGERING ? ERR_NONE : ERR_TIMEOUT);
}

void conn_close(struct conn *c)
{
    if (c->phase > CONN_OPEN)
        return;
    if (c->phase < CONN_OPEN) {
        conn_end(c, ERR_NONE);
        return;
    }
    if (c->tls) {
        tls_close(c->tls, &c->loop->wire);
        conn_put(c, buf_str(&c->loop->wire), STR(""));
        conn_scratch_clear(&c->loop->wire);
        if (c->phase == CONN_GONE)
            return;
    }
    c->phase = CONN_CLOSING;
    c->timer.fire = on_close_timer;
    timer_set(c->loop, &c->timer, c->loop->now_us + CLOSE_US);
    if (!c->eof)
        conn_read_on(c);
    conn_flush(c);  // and, when nothing is pending, says FIN
    c->unsent = conn_pending(c);
}

void conn_abort(struct conn *c)
{
    conn_end(c, ERR_NONE);
}

bool conn_closing(const struct conn *c)
{
    return c->phase > CONN_OPEN;
}

// --- the rest ---------------------------------------------------------------------------------

void conn_set(struct conn *c, const struct conn_calls *calls, void *ctx)
{
    c->calls = calls;
    c->ctx = ctx;
}

struct loop *conn_loop(const struct conn *c)
{
    return c->loop;
}

struct str conn_peer(const struct conn *c)
{
    struct conn *own = (struct conn *)(uintptr_t)c;  // the text is a cache, made when asked for
    if (!c->peer) {
        char text[INET6_ADDRSTRLEN + 16];
        address_text(text, sizeof text, &c->address);
        own->peer = take(strlen(text) + 1);
        strcpy(own->peer, text);
    }
    return str_of(c->peer);
}

struct str conn_subject(const struct conn *c)
{
    return c->tls ? tls_peer(c->tls) : STR("");
}

size_t conn_bytes(const struct conn *c)
{
    size_t n = sizeof *c + c->out.size;
    if (c->flight)
        n += sizeof *c->flight + c->flight->bytes.size;
    return c->dial ? n + dial_pending(c) : n;
}
