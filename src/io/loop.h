// loop.h - one thread's world of sockets and timers. Behind it, and nowhere else, is libuv: loop.c,
// conn.c, connect.c, listen.c and spawn.c see it through loop_uv.h.
//
// A loop belongs to its thread: every call but loop_post() is made on it. The clock is read once a
// turn. Callbacks may close and free what they are called for: a connection is freed by the loop
// after `closed` was called, and nothing is called after that.

#ifndef CAUDAL_LOOP_H
#define CAUDAL_LOOP_H

#include "base/buf.h"
#include "base/err.h"
#include "base/heap.h"
#include "base/spare.h"

struct loop;

MUST_USE enum err loop_new(struct loop **out, struct diag *diag);
void loop_free(struct loop *l);             // after loop_run() has returned; closes what is left
void loop_run(struct loop *l);              // until loop_stop()
void loop_stop(struct loop *l);             // from its own thread; others: loop_post() a call of it
int64_t loop_now_us(const struct loop *l);  // monotonic, as of the start of this turn
int64_t loop_wall_us(const struct loop *l);  // since 1970, as of the start of this turn
struct spares *loop_spares(struct loop *l);  // memory for short-lived buffers of its thread
int64_t clock_now_us(void);                  // monotonic, read now: the clock of loop_now_us
// Calls `fn(arg)` on the loop's thread, soon. The one call that any thread may make.
void loop_post(struct loop *l, void (*fn)(void *arg), void *arg);
// Calls `work(arg)` on a thread beside the loops, then `done(arg)` on this one: for what may take
// milliseconds. Names are looked up by the same few threads, so nothing that takes long.
// loop_free() waits for it, and calls `done` too.
void loop_work(struct loop *l, void (*work)(void *arg), void (*done)(void *arg), void *arg);
// Calls `fn(arg)` once at the end of this turn, after all events and before sleeping.
// What `fn` adds comes at the end of the next turn, which then follows without sleep.
void loop_after_turn(struct loop *l, void (*fn)(void *arg), void *arg);
// Calls `fn(arg)` at the end of each turn, behind all other calls, before corked connections are
// written and again behind each of them. False: they stay corked until a later turn. One a loop.
void loop_before_sends(struct loop *l, bool (*fn)(void *arg), void *arg);
bool loop_holds_sends(const struct loop *l);  // somebody does that
// Calls `fn(arg)` on the loop each time the process gets this signal, until loop_free().
void loop_on_signal(struct loop *l, int number, void (*fn)(void *arg), void *arg);

struct timer {
    struct heap_node node;
    void (*fire)(struct timer *t);
};
// Sets (or moves) the timer; it fires once. `due_us` on loop_now_us()'s clock. The owner keeps the
// struct where it is until timer_stop() or `fire`.
void timer_set(struct loop *l, struct timer *t, int64_t due_us);
void timer_stop(struct loop *l, struct timer *t);  // nothing if it is not set

// --- connections ------------------------------------------------------------------------------

struct conn;  // a TCP connection, plain or TLS

struct conn_calls {
    // Bytes came; borrowed for the call. They must all be used or copied.
    void (*data)(void *ctx, struct str bytes);
    // The other side will send no more (half-closed, or closed).
    void (*eof)(void *ctx);
    // What was waiting to be sent has fallen below the low mark after having been above the high
    // one.
    void (*drain)(void *ctx);
    // A connection of conn_connect() is ready (TLS and proxy included), or will never be: then `e`
    // is set, `diag` says why, and the connection closes by itself.
    void (*opened)(void *ctx, enum err e, const struct diag *diag);
    // It is gone: closed by us, reset, or failed. The last call for this connection.
    void (*closed)(void *ctx, enum err why);
};

void conn_set(struct conn *c, const struct conn_calls *calls, void *ctx);
struct loop *conn_loop(const struct conn *c);
// Sends, or keeps what the socket does not take now. The bytes are copied. Nothing happens on a
// connection that is closing. Small writes of one turn are joined when conn_cork() was called.
void conn_send(struct conn *c, struct str bytes);
void conn_send2(struct conn *c, struct str head, struct str body);  // one writev
void conn_cork(
    struct conn *c);  // keeps what is sent until the end of this turn, then writes it at once
size_t conn_pending(const struct conn *c);  // bytes kept that the socket has not taken
// When conn_pending() counts as much and as little again, for `drain`; 256 and 64 KiB unless said.
void conn_marks(struct conn *c, size_t high, size_t low);
void conn_pause(struct conn *c);  // read no more from the socket until conn_resume()
void conn_resume(struct conn *c);
// Sends what is pending, then closes; cut when the other side takes less than 64 KiB of it in 5 s.
void conn_close(struct conn *c);
void conn_abort(struct conn *c);  // closes at once, with a reset if anything was unread
bool conn_closing(const struct conn *c);
struct str conn_peer(const struct conn *c);  // "127.0.0.1:50312", borrowed from it
// Whose certificate an accepted connection has shown: "CN=ana,O=Example"; empty: none. Borrowed.
struct str conn_subject(const struct conn *c);
size_t conn_bytes(const struct conn *c);  // memory it holds

// --- listening --------------------------------------------------------------------------------

struct listener;
struct tls_server;  // tls_server.h
// Called for each new connection; set its calls with conn_set() before returning.
typedef void (*accept_call)(void *ctx, struct conn *c);

// Listens with SO_REUSEPORT, so that each loop has its own; TCP_NODELAY is inherited. Port 0: any,
// see listener_port(). `first` is true for the first loop of a process: it then makes sure that no
// other process has the port (SO_REUSEPORT would let both have it) and says so with ERR_EXISTS.
MUST_USE enum err listener_new(struct listener **out, struct loop *l, struct str host, int32_t port,
                               bool first, accept_call on_accept, void *ctx, struct diag *diag);
int32_t listener_port(const struct listener *l);
void listener_pause(struct listener *l);  // leave new connections in the backlog
void listener_resume(struct listener *l);
void listener_close(struct listener *l);  // and free it
// Listens at sockets of the same address that listen already; they and `lock` (-1: none) are its
// own on success. Paused until listener_resume(). ERR_SYSTEM: one of them is no listening socket.
MUST_USE enum err listener_adopt(struct listener **out, struct loop *l, const int *fds, int32_t n,
                                 int lock, accept_call on_accept, void *ctx, struct diag *diag);
// What can be handed to listener_adopt() of another process: the i-th socket (-1: there are no
// more) and the lock on the address. Any thread, as long as it is not closed.
int listener_socket(const struct listener *l, int32_t i);
int listener_lock(const struct listener *l);
// From now on who comes in speaks TLS. on_accept() comes before the handshake; data only after it,
// and what is sent before is lost. A handshake has `shake_us`, a fifth of it in a crowd, and is
// then cut. `tls` outlives the listener.
void listener_secure(struct listener *l, struct tls_server *tls, int64_t shake_us);
// Asks `enter` before each accept; after a no the listener is paused, and `enter` knows who resumes
// it. `leave` undoes an `enter` after which no connection came.
void listener_gate(struct listener *l, bool (*enter)(void *ctx), void (*leave)(void *ctx));

// --- connecting -------------------------------------------------------------------------------

struct tls_client;  // tls.h

struct conn_target {
    struct str host;  // a name or an address; copied
    int32_t port;
    struct tls_client *tls;  // NULL: plain
    struct str proxy_host;   // HTTP proxy; empty: none. With TLS: CONNECT. Without: the caller
    int32_t proxy_port;      //   sends absolute-form targets and nothing is done here
    struct str proxy_auth;   // value of Proxy-Authorization; empty: none
    int64_t timeout_us;      // for all of it: DNS, TCP, CONNECT, TLS
};

// Starts connecting; `opened` comes later, never from inside this call. DNS does not block the
// loop; addresses are tried in turn, the next after 250 ms or a failure (RFC 8305 in short).
struct conn *conn_connect(struct loop *l, const struct conn_target *t,
                          const struct conn_calls *calls, void *ctx);

#endif
