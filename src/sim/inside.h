// inside.h - what the files of sim/ share and nobody else sees.

#ifndef CAUDAL_SIM_INSIDE_H
#define CAUDAL_SIM_INSIDE_H

#include "sim/answer.h"
#include "sim/cache.h"
#include "sim/record.h"
#include "sim/sim.h"
#include "wire/http1.h"
#include "wire/openai.h"

enum {
    SIM_PENDING_HIGH = 256 << 10,  // what may wait in front of a slow reader before tokens
                                   // pause: not below the mark of `drain` in loop.h
    SIM_PENDING_LOW = 64 << 10,
    SIM_FLUSH = 64 << 10,
    SIM_OUT_MAX = 64 << 20,  // of a whole answer
    SIM_SCRATCH_KEEP = 4 << 20,
    SIM_KEPT_MAX = 64 << 10,   // of a next request that came early
    SIM_OUTPUT_MAX = 1 << 20,  // tokens, over all choices
};

struct sim_model {
    struct sim *sim;
    char name[SIM_NAME_MAX];
    struct service service;
    int32_t context_tok;
    uint64_t salt;              // of its prefixes
    struct service_sim *steps;  // NULL: instant
    struct client **by_id;      // [queue], whose sequence it is
    struct timer timer;         // at service_sim_due()
    double slow;
};

struct sim {
    struct sim_config config;
    struct loop *loop;
    struct listener *listener;
    struct sim_model *models;  // [n_models]
    struct sim_faults faults;
    struct sim_cache *cache;
    struct sim_record record;
    struct client *clients;
    struct buf out, event;  // scratch
    struct buf key;
    char *filler;
    uint64_t seq;  // requests for models so far
};

enum client_state {
    CLIENT_READING,
    CLIENT_ANSWERING,
    CLIENT_OVER,  // it will be closed; nothing more is read
};

enum reply_end { REPLY_GOES_ON, REPLY_KEEP, REPLY_CLOSE, REPLY_HANG };

// What is asked; filled from the head while it is there.
enum ask_kind { ASK_PAGE, ASK_MODEL };

struct client {
    struct sim *sim;
    struct client *prev, *next;
    struct conn *conn;
    struct http1 *http;
    enum client_state state;
    bool in_read;  // client_read() is on the stack
    bool paused;
    struct buf kept;  // bytes of the next request

    // the request
    enum ask_kind kind;
    enum surface surface;
    bool keep_alive, http_1_0, authorized, is_post;
    char path[SIM_NAME_MAX];  // of a page
    uint64_t call;            // its number in the record
    uint64_t seq;             // its number among those for models, from 1
    struct buf body;
    struct str whole_body;  // the body where it came in one piece; valid until client_read() ends

    // the answer
    struct sim_answer answer;
    struct sim_effect effect;
    struct sim_model *model;
    int32_t id;              // of the sequence; -1: none
    int32_t ready, emitted;  // tokens that are due, and sent
    bool opened, fault_done;
    bool hangs;            // it is answered no further, until the client goes away
    bool turned_away;      // a well-made request that the sim itself could not take
    bool counted;          // as started in the record
    struct timer timer;    // of a delay, or of the pace
    struct buf embedding;  // its body, written when asked
    // drip
    struct timer drip_timer;
    struct buf dripping;
    enum reply_end after_drip;
};

// client.c
void client_accept(void *ctx, struct conn *conn);
void client_drop(struct client *c);  // at the end of the sim
// The answer is over; the next request may come, also at once.
void client_next(struct client *c, bool keep);

// request.c: a whole request has come; answers it or starts the answer.
void request_answer(struct client *c, struct str body);

// pages.c: everything that is no answer of a model.
void page_answer(struct client *c, struct str body);

// reply.c
void reply_start(struct client *c);                  // c->answer, effect and model are filled
void reply_ready(struct client *c, int32_t tokens);  // so many tokens are due
void reply_drained(struct client *c);
void reply_gone(struct client *c);  // the other side went away
// A whole response at once.
void reply_whole(struct client *c, int32_t status, const char *type, struct str body);
void reply_error(struct client *c, int32_t status, const char *code, const char *message);

// steps.c: sequences in the service model.
void steps_init(struct sim_model *m, int32_t queue);
void steps_release(struct sim_model *m);
bool steps_add(struct client *c);     // false: full
void steps_cancel(struct client *c);  // nothing if it has no sequence

#endif
