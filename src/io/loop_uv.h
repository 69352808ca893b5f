// loop_uv.h - what loop.c, conn*.c, connect.c, resolve.c, listen.c and spawn.c share. They alone
// see libuv.
//
//     epoll -> conn.c        what comes on a connection; its end
//           -> conn_write.c  what goes, when the socket has room
//           -> connect.c     a connection until it is open: TCP, CONNECT, TLS
//           -> resolve.c     the addresses that it may go to
//           -> listen.c      new connections
//           -> spawn.c       children that exit
//           -> loop.c        calls of other threads; at the end of each turn timers, then what
//                            loop_after_turn() was given, then corked connections; then sleep
//
// A turn is all that happens between two sleeps. Whatever libuv calls first calls turn_begin(),
// which reads the clock once.

#ifndef CAUDAL_LOOP_UV_H
#define CAUDAL_LOOP_UV_H

#include "io/loop.h"
#include "io/spawn.h"
#include "io/tls_server.h"

#include <netinet/in.h>
#include <uv.h>

enum {
    READ_BYTES = 64 * 1024,           // one buffer a loop; what a single read may bring
    PENDING_HIGH = 256 * 1024,        // drain is called after pending was above this ...
    PENDING_LOW = 64 * 1024,          // ... and fell below this
    PENDING_MAX = 512 * 1024 * 1024,  // a caller that sends on in spite of conn_pending() ends here
    SCRATCH_KEEP = 1024 * 1024,       // a larger scratch buffer is given back after use
    CLOSE_BYTES = 64 * 1024,          // a reader that takes less of an answer's end is stuck
    HANDSHAKES_EASY = 64,  // of a loop's clients at once: more have a fifth of the time ...
    HANDSHAKES_MAX = 512,  // ... and here the others wait in the backlog
    ADDRESSES = 8,         // of one name
    NAMES = 16,            // in the DNS cache
};

#define CLOSE_US S(5)   // what is pending has this long to leave, and again after CLOSE_BYTES of it
#define LINGER_US S(2)  // then the other side has this long to close, so that no reset cuts the end
#define STAGGER_US MS(250)
#define NAME_US S(30)  // life of a cached DNS answer

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
};

struct call {
    void (*fn)(void *arg);
    void *arg;
};

struct calls {
    struct call *at;
    size_t n, size;
};

struct name {  // a cached DNS answer
    char *host;
    int64_t until_us;
    struct address addresses[ADDRESSES];
    int32_t n;
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_timer_t waker;
    uv_async_t async;
    bool asleep;  // the next thing that happens begins a turn
    bool stopped;
    int64_t now_us;
    int64_t wall_minus_now_us, wall_read_us;
    uint64_t armed_ms;  // the waker's time; UINT64_MAX: not set
    struct heap timers;
    struct calls after;               // loop_after_turn()
    bool (*before_sends)(void *arg);  // loop_before_sends(); NULL: none
    void *before_sends_arg;
    uv_mutex_t lock;      // guards `posted`
    struct calls posted;  // loop_post()
    struct conn *conns;   // all of them
    struct conn *corked;
    struct listener *listeners;
    int32_t handshakes;      // with clients, under way
    struct lookup *lookups;  // DNS questions under way
    struct name names[NAMES];
    struct spares spares;
    struct buf plain, wire;  // scratch of TLS, empty between events
    char read[READ_BYTES];
};

// In the order a connection goes through them; some are skipped.
enum conn_phase {
    CONN_DIALLING,  // DNS and TCP
    CONN_PROXY,     // waiting for the answer to CONNECT
    CONN_TLS,       // handshake
    CONN_OPEN,
    CONN_CLOSING,    // conn_close(): what is pending leaves
    CONN_LINGERING,  // we have said FIN and wait for theirs
    CONN_GONE,       // closed; on_closed() follows
};

struct flight {  // the one write that libuv holds for a connection whose socket is full
    uv_write_t request;
    struct buf bytes;
};

struct conn {
    uv_tcp_t tcp;
    struct loop *loop;
    struct conn *older, *newer;  // in loop->conns
    struct conn *corked_next, *corked_prev;
    const struct conn_calls *calls;
    void *ctx;
    struct flight *flight;
    struct buf out;      // what comes after the flight, or is corked
    struct tls *tls;     // NULL: plain
    struct dial *dial;   // until it is open; NULL: accepted, or open
    struct timer timer;  // of a client's handshake; of closing
    char *peer;          // made when asked for
    struct address address;
    enum err why;
    enum conn_phase phase;
    size_t high, low;  // marks of what is pending
    size_t unsent;     // closing: what was pending when it was looked at last
    bool paused, eof, above, corked;
};

void turn_begin(struct loop *l);
enum err uv_err(int status);  // libuv's code as ours
void calls_add(struct calls *c, void (*fn)(void *arg), void *arg);

struct conn *conn_make(struct loop *l, enum conn_phase phase);
// Takes the descriptor, which is closed on failure too; the connection is then gone or going.
bool conn_take_fd(struct conn *c, int fd, const struct address *a);
// What was just accepted speaks TLS. False: it could not be begun.
bool conn_shake(struct conn *c, struct tls_server *tls, int64_t within_us);
void conn_read_on(struct conn *c);                             // starts reading unless paused
void conn_put(struct conn *c, struct str a, struct str b);     // bytes as they go over the wire
void conn_secure(struct conn *c, struct str a, struct str b);  // bytes to be encrypted
void conn_end(struct conn *c, enum err why);                   // closes now; `closed` follows
void conn_flush(struct conn *c);                               // uncorks, and writes
void conn_uncork(struct conn *c);
void conn_lost(struct conn *c, enum err e, const char *how);  // it ends, open or not yet

// A client's handshake; a supplier's has a dial.
static inline bool conn_is_shaking(const struct conn *c)
{
    return c->phase == CONN_TLS && !c->dial;
}

static inline void conn_scratch_clear(struct buf *b)
{
    if (b->size > SCRATCH_KEEP)
        buf_release(b);
    else
        buf_clear(b);
}

// connect.c, for a connection whose `dial` is set.
void dial_bytes(struct conn *c, struct str bytes);  // the answer to CONNECT
void dial_done(struct conn *c);                     // open: tells, and forgets the dial
void dial_fail(struct conn *c, enum err e, const char *fmt, ...) PRINTF_LIKE(3, 4);
void dial_drop(struct conn *c);
void dial_early(struct conn *c, struct str bytes);  // sent before it was open
size_t dial_pending(const struct conn *c);
void names_release(struct loop *l);
void address_text(char *out, size_t size, const struct address *a);
socklen_t address_bytes(const struct address *a);
bool address_parse(struct address *out, const char *host, int32_t port);

void listener_drop_all(struct loop *l);
void process_drop(struct process *p);  // closes the handle and frees it; the child goes on

#endif
