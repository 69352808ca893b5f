// exchange_parts.h - what the files of an exchange share. Private to exchange*.c.
//
//   exchange.c       begin, read, recognise, timers, the end
//   exchange_try.c   pick, send, hear the supplier, fail over
//   exchange_out.c   what the client gets: head, events, errors
//   exchange_admit.c  its tenant's limits: taken, charged, given back
//   exchange_settle.c  what it came to: tokens, money, energy, receipt, log line, metrics
//   exchange_ledger.c  its rows in the ledger
//   exchange_trace.c  its spans, when it is sampled

#ifndef CAUDAL_EXCHANGE_PARTS_H
#define CAUDAL_EXCHANGE_PARTS_H

#include "gateway/answer.h"
#include "gateway/attempt.h"
#include "gateway/exchange.h"
#include "gateway/limits.h"
#include "gateway/relay.h"

enum { EXCHANGE_SENDS_MAX = 16 };

enum exchange_state {
    EXCHANGE_READING,   // the body is coming
    EXCHANGE_WAITING,   // in the router's line, or until it is time to try again
    EXCHANGE_TRYING,    // an attempt is on, the client has had no content
    EXCHANGE_RELAYING,  // content has gone out
    EXCHANGE_CLOSING,   // the client has all of it; the supplier's last bytes are awaited
    EXCHANGE_OVER,
};

struct sent {  // one physical send, for the receipt
    int32_t pool;
    enum fault fault;
    bool stale;
    int64_t at_us, ended_us;
};

struct exchange {
    struct worker *worker;
    struct client *client;           // NULL: it has gone, or has its answer
    struct generation *generation;   // held
    struct exchange *newer, *older;  // of its worker
    struct arena arena;              // as long as nothing has been relayed: request and its headers
    struct buf body;                 // the client's bytes; given back with the first content
    struct buf wire_head, wire_body;  // as sent to the supplier; likewise
    struct openai_request *rq;        // in the arena
    struct str passed_headers;        // in the arena: what of the client's head goes on
    struct str path, class_said;      // in the arena
    // In the arena, where the tenant has a passthrough: as it came, for a body without a model.
    struct str target, all_headers;
    enum exchange_state state;
    enum surface surface;
    bool stream, usage_wanted, receipt_wanted, head_sent, settled;
    bool explain;  // an operator only wants to know where it would go
    char id[REQUEST_ID_BYTES];
    struct str origin;  // owned copy, freed at the end
    struct span_context span;

    const struct key *key;  // NULL: it came without one
    struct admission admission;
    struct route_ask ask;
    struct failover failover;
    struct route_decision decision;  // of the attempt that is on, or was last
    bool taken;                      // core_done() is owed for it
    struct waiter *waiter;
    struct attempt attempt;
    struct ledger_call call;  // the ledger's row of it
    bool fresh;               // it may not use a kept connection
    struct relay relay;
    struct buf out;     // for the client, not sent yet
    struct buf answer;  // a whole answer, or an error's body, being collected
    int32_t answer_status;
    bool answer_stream, paused;
    int64_t retry_after_us;  // of the last answer; -1: not said

    int64_t arrived_us, sent_us, first_us, last_us, wrote_us, ended_us;
    int64_t retry_at_us;  // EXCHANGE_WAITING: when to try again; NEVER
    enum route_bar
        waited_for;  // why it is, or was last, in the line, and until when that was said to be
    int64_t waited_until_us;
    int64_t patience_us;  // EXCHANGE_TRYING: when to ask whether to leave the attempt
    int64_t linger_until_us;
    int64_t prompt_bytes;
    struct timer timer;

    int32_t n_sends;
    enum fault last_fault;
    struct str error;                 // the code of the error that it ended with, for the log
    struct openai_fault *last_error;  // in the arena: what the last supplier said; NULL: nothing
    int32_t last_status;

    // what it came to
    int32_t status;
    struct openai_usage usage;
    bool tokens_estimated, cut, counted;
    int64_t list_nusd, charged_nusd;
    struct route_drawn draw;  // of the attempt that is on, or was last
    bool drawn;               // and core_done() is to know it
    double joules;
    const char *energy_basis;

    struct sent sends[EXCHANGE_SENDS_MAX];  // [n_sends]; the last member: never zeroed
};

const struct portfolio *exchange_portfolio(const struct exchange *x);
const struct tenant *exchange_tenant(const struct exchange *x);  // NULL: none described
int64_t exchange_now(const struct exchange *x);
void exchange_arm(struct exchange *x);  // sets the timer to what is due first

// exchange_try.c
void exchange_try(struct exchange *x);  // picks and sends, waits, or gives up
void exchange_attempt_failed(struct exchange *x, enum fault fault, const char *why);
// Ends the attempt or the waiting, and gives back to the core what was taken.
void exchange_stop(struct exchange *x, enum fault fault);
void exchange_attempt_done(struct exchange *x);  // the supplier has answered in full

// exchange_out.c
void exchange_flush(struct exchange *x);  // sends what is in x->out, as a chunk of the stream
void exchange_lend(struct exchange *x);   // lends x->out memory until it is flushed, if it has none
void exchange_stream_begin(struct exchange *x);
void exchange_stream_end(struct exchange *x);
void exchange_stream_cut(struct exchange *x, const char *why);
void exchange_whole(struct exchange *x);  // x->out is the whole answer, of a call without a stream
// Tells the client, before or after the head.
void exchange_fail(struct exchange *x, const struct answer *a);
void exchange_explain(struct exchange *x);  // instead of trying: nothing is sent, taken or counted
void exchange_give_up(struct exchange *x);  // no attempt is left: says why
void exchange_keepalive(struct exchange *x);

// exchange_admit.c
bool exchange_admit(struct exchange *x);   // false: refused, and the client has its answer
void exchange_charge(struct exchange *x);  // what it is charged; its limits have what it used

// exchange_settle.c
void exchange_settle(struct exchange *x);  // once, before the last bytes go out
struct str exchange_receipt(struct exchange *x, struct buf *out);
void exchange_decision_line(struct exchange *x, struct buf *out);

void exchange_count(struct exchange *x);  // tokens and money of what was relayed, once
// What the attempt that is on draws of a commitment, by what is known of it.
void exchange_draw(struct exchange *x, const struct openai_usage *u, int64_t list_nusd);

// exchange_ledger.c
// False: the ledger has no room, and nothing may go.
MUST_USE bool exchange_reserve(struct exchange *x);
void exchange_ledger_attempt(struct exchange *x, enum fault fault, bool stale);
void exchange_ledger_request(struct exchange *x);

// exchange_trace.c
void exchange_trace(struct exchange *x);  // its spans, when it is over

// exchange.c
void exchange_client_done(struct exchange *x, bool keep);  // the client has its answer
void exchange_end(struct exchange *x);  // nothing is on any more: frees it at the end of the turn

#endif
