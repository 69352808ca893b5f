// gateway_inside.h - the process as its own files see it: gateway.c (start and end), reload.c,
// engines.c, levers.c and the calls of admin.h. All but what says otherwise belongs to the main
// thread, which runs the first worker's loop.

#ifndef CAUDAL_GATEWAY_INSIDE_H
#define CAUDAL_GATEWAY_INSIDE_H

#include "gateway/admin.h"
#include "gateway/gateway.h"
#include "gateway/manager.h"
#include "gateway/secure.h"
#include "gateway/takeover.h"
#include "gateway/worker.h"

struct engines;
struct reload;
struct repricer;

#include <pthread.h>

struct gateway {
    const struct gateway_config *config;
    const struct portfolio *portfolio;  // in use
    struct names *names;
    struct core *core;
    struct limits *limits;
    struct keys *keys;  // NULL: there is no place to keep any
    struct metrics *metrics;
    struct ledger *ledger;  // NULL: none is kept
    struct seats *seats;
    struct secure *secure;  // certificates
    struct takeover *takeover;
    struct manager *manager;
    struct diag failure;                                   // of gateway_fail()
    struct generation *generation;                         // in use; held
    struct generation *generations[CORE_GENERATIONS_MAX];  // that somebody uses, oldest first
    int32_t n_generations;
    int64_t serials;  // generations made so far, refused ones too
    struct reload *reload;
    struct engines *engines;
    struct levers *levers;
    struct repricer *repricer;
    struct worker *workers;  // [n_workers]; the first runs on the main thread
    pthread_t *threads;      // [n_workers]; the first is not used
    int32_t n_workers, n_threads;
    struct admin *admin;  // NULL: the portfolio says no address
    struct timer drain_timer;
    int32_t busy_workers;     // while draining: those that still have clients
    _Atomic int32_t shadows;  // copies in progress, of all workers
    bool draining, cutting, ending, leaving, stopped;  // stopped: was asked to by a signal
    // read by scrapes of any worker
    _Atomic int32_t generations_live;
    _Atomic int64_t generation_serial;
    _Atomic uint64_t reloads_used, reloads_refused;
};

static inline struct worker *first_worker(struct gateway *g)
{
    return &g->workers[0];
}

// The listeners of all workers accept, and whoever waits is told the address.
void gateway_open(struct gateway *g);
// Another process has taken over: ends what is under way, however long it takes, and then the
// process. Connections that are idle may ask once more for a while.
void gateway_leave(struct gateway *g, int32_t pid);
void gateway_fail(struct gateway *g, const struct diag *why);  // could not take over: ends
// Ends the process once it drains and nothing is left to wait for.
void gateway_maybe_finish(struct gateway *g);

#endif
