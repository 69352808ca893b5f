#include "gateway/takeover.h"
#include "gateway/engines.h"
#include "gateway/gateway_inside.h"
#include "io/engine.h"
#include "io/handover.h"
#include "io/spawn.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KINDS_MAX = 4, SOCKETS_MAX = 512, ENGINES_MAX = 256 };
static const int64_t look_us = MS(50);

struct given {  // sockets of one address
    char what[16], host[256];
    int32_t port;
    int fds[SOCKETS_MAX];  // [n]; -1: used
    int32_t n;
    int lock;  // on the address; -1: none, or used
};

struct takeover {
    struct gateway *gateway;
    // from the one before
    struct heir *heir;  // NULL: there is none, or it is over
    struct given given[KINDS_MAX];
    int32_t n_given;
    int ledger_lock;
    char *engines[ENGINES_MAX];  // [n_engines]: ready there
    int32_t n_engines;
    struct timer look;
    // for the next
    struct handover *offer;
    struct process *next;  // that SIGUSR2 started
};

// --- what came over ---------------------------------------------------------------------------

static struct given *find(struct takeover *t, const char *what, struct str host, int32_t port)
{
    for (int32_t i = 0; i < t->n_given; i++) {
        struct given *g = &t->given[i];
        if (strcmp(g->what, what) == 0 && str_eq(host, str_of(g->host)) &&
            (!port || g->port == port))
            return g;
    }
    return NULL;
}

static struct given *add_given(struct takeover *t, const char *what, struct str host, int32_t port)
{
    struct given *g = find(t, what, host, port);
    if (g || t->n_given == KINDS_MAX)
        return g;
    g = &t->given[t->n_given++];
    *g = (struct given){.port = port, .lock = -1};
    snprintf(g->what, sizeof g->what, "%s", what);
    snprintf(g->host, sizeof g->host, STR_FMT, STR_ARG(host));
    return g;
}

// "clients 127.0.0.1 8080" with sockets, "lock clients ..." with their lock, "ledger", "engine
// NAME".
static void take_message(struct takeover *t, struct handover_message *m)
{
    char word[16] = "", what[16], host[256];
    int32_t port = 0;
    bool lock = sscanf(m->text, "lock %15s %255s %d", what, host, &port) == 3;
    struct given *g = NULL;
    if (lock || sscanf(m->text, "%15s %255s %d", what, host, &port) == 3)
        g = add_given(t, what, str_of(host), port);
    else if (sscanf(m->text, "%15s %255s", word, host) == 2 && strcmp(word, "engine") == 0 &&
             t->n_engines < ENGINES_MAX)
        t->engines[t->n_engines++] = strdup(host);
    for (int32_t i = 0; i < m->n; i++) {
        if (g && lock && g->lock < 0)
            g->lock = m->fds[i];
        else if (g && !lock && g->n < SOCKETS_MAX)
            g->fds[g->n++] = m->fds[i];
        else if (strcmp(m->text, "ledger") == 0 && t->ledger_lock < 0)
            t->ledger_lock = m->fds[i];
        else
            close(m->fds[i]);  // of a newer version, which we cannot use
    }
}

static enum err ask(struct takeover *t, struct str folder, struct diag *diag)
{
    struct handover_message m = {0};
    enum err e = handover_ask(&t->heir, folder, diag);
    while (!e && !m.all) {
        e = handover_next(t->heir, &m, diag);
        if (!e && !m.all)
            take_message(t, &m);
    }
    return e;
}

int takeover_ledger_lock(struct takeover *t)
{
    int fd = t->ledger_lock;
    t->ledger_lock = -1;
    return fd;
}

enum err takeover_listener(struct takeover *t, struct listener **out,
                           const struct takeover_listen *l, struct diag *diag)
{
    struct given *g = find(t, l->what, l->host, l->port);
    *out = NULL;
    if (!g) {
        enum err e =
            listener_new(out, l->loop, l->host, l->port, l->index == 0, l->on_accept, l->ctx, diag);
        if (!e && t->heir)
            listener_pause(*out);
        return e;
    }
    int fds[SOCKETS_MAX];
    int32_t n = 0;
    for (int32_t i = l->index; i < g->n; i += l->n)
        fds[n++] = g->fds[i];
    if (!n && t->heir)
        return ERR_NONE;
    if (!n)  // more loops than the one before had: it has gone, and we hold the address
        return listener_new(out, l->loop, l->host, g->port, false, l->on_accept, l->ctx, diag);
    enum err e =
        listener_adopt(out, l->loop, fds, n, l->index ? -1 : g->lock, l->on_accept, l->ctx, diag);
    for (int32_t i = l->index; !e && i < g->n; i += l->n)
        g->fds[i] = -1;
    if (!e && !l->index)
        g->lock = -1;
    return e;
}

// What this portfolio does not listen at any more: who connects there is refused, not left waiting.
static void close_rest(struct takeover *t)
{
    for (int32_t i = 0; i < t->n_given; i++) {
        struct given *g = &t->given[i];
        for (int32_t k = 0; k < g->n; k++)
            if (g->fds[k] >= 0)
                close(g->fds[k]);
        if (g->lock >= 0)
            close(g->lock);
        g->lock = -1;
        g->n = 0;
    }
    if (t->ledger_lock >= 0)
        close(t->ledger_lock);
    t->ledger_lock = -1;
}

// --- giving to the next -----------------------------------------------------------------------

static void give_listener(struct takeover *t, const char *words, const struct listener *from)
{
    int fds[HANDOVER_FDS], n = 0;
    for (int32_t k = 0; listener_socket(from, k) >= 0; k++) {
        fds[n++] = listener_socket(from, k);
        if (n == HANDOVER_FDS) {
            handover_give(t->offer, str_of(words), fds, n);
            n = 0;
        }
    }
    if (n)
        handover_give(t->offer, str_of(words), fds, n);
}

static void give_address(struct takeover *t, const char *what, struct str host,
                         const struct listener *first)
{
    char words[400], lock_words[408];
    int lock = listener_lock(first);
    snprintf(words, sizeof words, "%s " STR_FMT " %d", what, STR_ARG(host), listener_port(first));
    snprintf(lock_words, sizeof lock_words, "lock %s", words);
    if (lock >= 0)
        handover_give(t->offer, str_of(lock_words), &lock, 1);
    if (strcmp(what, "clients") != 0) {
        give_listener(t, words, first);
        return;
    }
    const struct gateway *g = t->gateway;
    for (int32_t i = 0; i < g->n_workers; i++)
        if (g->workers[i].listener)
            give_listener(t, words, g->workers[i].listener);
}

static void give_engine(void *ctx, struct str supplier, enum engine_state state)
{
    struct takeover *t = ctx;
    char words[200];
    snprintf(words, sizeof words, "engine " STR_FMT, STR_ARG(supplier));
    if (state == ENGINE_READY)
        handover_give(t->offer, str_of(words), NULL, 0);
}

static void on_asked(void *ctx)
{
    struct takeover *t = ctx;
    struct gateway *g = t->gateway;
    const struct serve_config *s = &g->config->portfolio->serve;  // as it listens, since its start
    int lock = ledger_lock(g->ledger);
    log_line(g->config->log, LOG_INFO, "take-over",
             log_text("what", "asked for by another process"));
    give_address(t, "clients", s->host, first_worker(g)->listener);
    if (g->admin && admin_listener(g->admin))
        give_address(t, "admin", s->admin.host, admin_listener(g->admin));
    if (lock >= 0)
        handover_give(t->offer, STR("ledger"), &lock, 1);
    engines_each(g->engines, give_engine, t);
    handover_end(t->offer);
}

static void on_taken(void *ctx, int32_t pid)
{
    struct takeover *t = ctx;
    log_line(t->gateway->config->log, LOG_INFO, "take-over",
             log_text("what", "another process serves; this one ends what it has begun"),
             log_int("pid", pid));
    gateway_leave(t->gateway, pid);
}

static void on_left(void *ctx)
{
    struct takeover *t = ctx;
    log_line(t->gateway->config->log, LOG_WARN, "take-over",
             log_text("what", "the other process gave up; this one goes on"));
}

static const struct handover_calls handover_calls = {
    .asked = on_asked, .taken = on_taken, .left = on_left};

static void on_next_exited(void *ctx, int status, int number)
{
    struct takeover *t = ctx;
    t->next = NULL;
    if (t->gateway->draining)
        return;  // it has taken over, and ended since
    log_line(t->gateway->config->log, LOG_WARN, "take-over",
             log_text("what", "the process that was started has ended; this one goes on"),
             log_int("status", status), log_int("signal", number));
}

static void on_user_signal(void *arg)
{
    struct takeover *t = arg;
    struct diag diag = {0};
    struct gateway *g = t->gateway;
    if (g->draining || t->next)
        log_line(g->config->log, LOG_WARN, "take-over",
                 log_text("what", t->next ? "one is under way already" : "this process ends"));
    else if (!t->offer)
        log_line(g->config->log, LOG_ERROR, "take-over",
                 log_text("what", "there is no state folder to meet in: serve.state"));
    else if (process_start_again(&t->next, first_worker(g)->loop, "serve", "--take-over",
                                 on_next_exited, t, &diag))
        log_line(g->config->log, LOG_ERROR, "take-over", log_text("what", diag.text));
    else
        log_line(g->config->log, LOG_INFO, "take-over", log_text("what", "the next was started"),
                 log_int("pid", process_pid(t->next)));
}

// --- becoming the one that serves -------------------------------------------------------------

static void offer(struct takeover *t)
{
    const struct gateway *g = t->gateway;
    struct str state = g->config->portfolio->serve.state;
    struct diag diag = {0};
    if (state.n &&
        handover_offer(&t->offer, first_worker(t->gateway)->loop, state, &handover_calls, t, &diag))
        log_line(g->config->log, LOG_WARN, "take-over", log_text("what", diag.text),
                 log_text("so", "no other process can take over from this one"));
}

struct count {
    const struct takeover *t;
    int32_t ready;
    bool failed;
};

static void count_engine(void *ctx, struct str supplier, enum engine_state state)
{
    struct count *c = ctx;
    for (int32_t i = 0; i < c->t->n_engines; i++)
        if (str_eq(supplier, str_of(c->t->engines[i]))) {
            c->ready += state == ENGINE_READY;
            c->failed |= state == ENGINE_FAILED;
        }
}

// Those that the portfolio does not have any more are not waited for.
static void forget_engines(struct takeover *t)
{
    const struct portfolio *p = t->gateway->portfolio;
    int32_t kept = 0;
    for (int32_t i = 0; i < t->n_engines; i++) {
        bool wanted = false;
        for (int32_t k = 0; k < p->n_suppliers; k++)
            wanted |=
                p->suppliers[k].run.n_argv && str_eq(p->suppliers[k].name, str_of(t->engines[i]));
        if (wanted)
            t->engines[kept++] = t->engines[i];
        else
            free(t->engines[i]);
    }
    t->n_engines = kept;
}

static void on_look(struct timer *timer)
{
    struct takeover *t = CONTAINER_OF(timer, struct takeover, look);
    struct gateway *g = t->gateway;
    struct count c = {.t = t};
    struct diag diag = {0};
    engines_each(g->engines, count_engine, &c);
    if (c.failed) {
        diag_set(&diag, ERR_SYSTEM,
                 "an engine that the other process has does not become ready; the log says why");
        gateway_fail(g, &diag);
        return;
    }
    if (c.ready < t->n_engines) {
        timer_set(first_worker(g)->loop, timer, loop_now_us(first_worker(g)->loop) + look_us);
        return;
    }
    if (handover_taken(t->heir, &diag))  // it ended meanwhile, and we hold all it had
        log_line(g->config->log, LOG_WARN, "take-over", log_text("what", diag.text));
    heir_free(t->heir);
    t->heir = NULL;
    close_rest(t);
    gateway_open(g);
    offer(t);
}

void takeover_begin(struct takeover *t)
{
    struct loop *l = first_worker(t->gateway)->loop;
    loop_on_signal(l, SIGUSR2, on_user_signal, t);
    if (t->heir) {
        forget_engines(t);
        timer_set(l, &t->look, loop_now_us(l));
        return;
    }
    gateway_open(t->gateway);
    offer(t);
}

void takeover_stop(struct takeover *t)
{
    timer_stop(first_worker(t->gateway)->loop, &t->look);
    handover_close(t->offer);
    t->offer = NULL;
    heir_free(t->heir);
    t->heir = NULL;
}

enum err takeover_new(struct takeover **out, struct gateway *g, bool take_over, struct diag *diag)
{
    struct str state = g->portfolio->serve.state;
    if (take_over && !state.n)
        return diag_set(diag, ERR_INVALID,
                        "--take-over needs serve.state, the folder where the two processes meet");
    struct takeover *t = take(sizeof *t);
    t->gateway = g;
    t->ledger_lock = -1;
    t->look.fire = on_look;
    enum err e = take_over ? ask(t, state, diag) : ERR_NONE;
    *out = t;
    return e;
}

void takeover_free(struct takeover *t)
{
    if (!t)
        return;
    close_rest(t);
    for (int32_t i = 0; i < t->n_engines; i++)
        free(t->engines[i]);
    if (t->next)
        process_forget(t->next);
    heir_free(t->heir);
    handover_close(t->offer);
    free(t);
}
