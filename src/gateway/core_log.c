#include "gateway/core_log.h"

#include "io/spool.h"
#include "wire/decisions.h"

#include <stdlib.h>

struct core_log {
    struct spool *spool;
    struct log *log;
    uint64_t number;       // of the last record, kept or not
    uint64_t lost, waits;  // records lost in all; of those, not said in the log yet
    int64_t left;          // bytes of the file
    bool full, ended;      // ended: the file says so
    size_t n;              // bytes of `record`
    unsigned char record[DECISIONS_RECORD_BYTES_MAX];
};

enum { END_BYTES = 128 };  // room for what must stand at the end: a gap, and why it ends

enum err core_log_new(struct core_log **out, struct str path, int64_t bytes, size_t ring_bytes,
                      bool followed, struct log *log, struct diag *diag)
{
    struct core_log *l = take(sizeof *l);
    struct str head = {decisions_head, DECISIONS_HEAD_BYTES};
    l->log = log;
    l->left = bytes - DECISIONS_HEAD_BYTES;
    enum err e = spool_new(&l->spool, path, head, ring_bytes, followed, diag);
    if (e) {
        free(l);
        return e;
    }
    *out = l;
    return ERR_NONE;
}

// How many bytes of the file it needs at most.
static int64_t encode(struct core_log *l, const struct decisions_record *r)
{
    l->n = decisions_write(r, l->record, sizeof l->record);
    return (int64_t)l->n + SPOOL_FRAME_BYTES;
}

static bool put_encoded(struct core_log *l)
{
    if (l->n == 0 || !spool_put(l->spool, l->record, l->n))
        return false;
    l->left -= (int64_t)l->n + SPOOL_FRAME_BYTES;
    return true;
}

static bool put(struct core_log *l, const struct decisions_record *r)
{
    encode(l, r);
    return put_encoded(l);
}

// Says how many records are missing in front of number `next`.
static void say_gap(struct core_log *l, uint64_t next)
{
    struct decisions_record gap = {.kind = DECISIONS_GAP, .number = next, .lost = l->waits};
    if (l->waits && put(l, &gap))
        l->waits = 0;
}

static void end(struct core_log *l, bool full)
{
    struct decisions_record r = {.kind = DECISIONS_END, .number = l->number + 1, .yes = full};
    l->full = true;
    say_gap(l, r.number);
    l->ended = put(l, &r);
}

// Gives it its number. 0: there is no log.
static uint64_t add(struct core_log *l, const struct generation *g, struct decisions_record *r)
{
    r->number = ++l->number;
    r->generation = g ? g->adopted : 0;
    if (l->full)
        return r->number;
    if (encode(l, r) + END_BYTES > l->left) {
        l->number--;
        end(l, true);
        return ++l->number;
    }
    if (l->waits) {
        say_gap(l, r->number);
        encode(l, r);
    }
    if (l->waits || !put_encoded(l)) {
        l->waits++;
        l->lost++;
    }
    return r->number;
}

void core_log_free(struct core_log *l)
{
    struct diag diag = {0};
    if (!l)
        return;
    bool full = l->full;
    spool_wait(l->spool);
    if (!l->ended)
        end(l, full);
    enum err e = spool_free(l->spool, &diag);
    log_line(l->log, e || l->lost ? LOG_WARN : LOG_INFO, "events",
             log_int("records", (int64_t)l->number), log_int("lost", (int64_t)l->lost),
             log_int("full", full), log_text("error", e ? diag.text : ""));
    free(l);
}

// The writer changes nothing of what a record points to.
#define POINT(p) ((void *)(uintptr_t)(p))

void core_log_generation(struct core_log *l, const struct generation *g, int64_t now_us)
{
    struct decisions_record r = {.kind = DECISIONS_GENERATION,
                                 .now_us = now_us,
                                 .fingerprint = g->portfolio->fingerprint,
                                 .policy = g->portfolio->serve.policy};
    if (l)
        add(l, g, &r);
}

void core_log_forget(struct core_log *l, const struct generation *g)
{
    struct decisions_record r = {.kind = DECISIONS_FORGET};
    if (l)
        add(l, g, &r);
}

uint64_t core_log_pick(struct core_log *l, const struct generation *g, const struct route_ask *ask,
                       const struct route_decision *d, int64_t now_us)
{
    if (!l)
        return 0;
    struct decisions_record r = {
        .kind = DECISIONS_PICK, .now_us = now_us, .ask = POINT(ask), .decision = POINT(d)};
    return add(l, g, &r);
}

uint64_t core_log_shadow(struct core_log *l, const struct generation *g,
                         const struct route_ask *ask, int32_t pool, const struct route_decision *d,
                         int64_t now_us)
{
    if (!l)
        return 0;
    struct decisions_record r = {.kind = DECISIONS_SHADOW,
                                 .now_us = now_us,
                                 .place = pool,
                                 .ask = POINT(ask),
                                 .decision = POINT(d)};
    return add(l, g, &r);
}

void core_log_first(struct core_log *l, const struct generation *g, const struct route_decision *d,
                    int64_t ttft_us, int64_t now_us)
{
    struct decisions_record r = {
        .kind = DECISIONS_FIRST, .now_us = now_us, .of = d->number, .ttft_us = ttft_us};
    if (l)
        add(l, g, &r);
}

static void add_seen(struct core_log *l, const struct generation *g, enum decisions_kind kind,
                     const struct route_ask *ask, const struct route_decision *d,
                     const struct route_seen *seen, int64_t now_us)
{
    struct decisions_record r = {
        .kind = kind, .now_us = now_us, .of = d->number, .ask = POINT(ask), .seen = POINT(seen)};
    if (l)
        add(l, g, &r);
}

void core_log_draw(struct core_log *l, const struct generation *g, const struct route_ask *ask,
                   const struct route_decision *d, const struct route_seen *seen, int64_t now_us)
{
    add_seen(l, g, DECISIONS_DRAW, ask, d, seen, now_us);
}

void core_log_done(struct core_log *l, const struct generation *g, const struct route_ask *ask,
                   const struct route_decision *d, const struct route_seen *seen, int64_t now_us)
{
    add_seen(l, g, DECISIONS_DONE, ask, d, seen, now_us);
}

uint64_t core_log_wait(struct core_log *l, const struct generation *g, const struct route_ask *ask,
                       bool placed, int64_t now_us)
{
    if (!l)
        return 0;
    struct decisions_record r = {
        .kind = DECISIONS_WAIT, .now_us = now_us, .ask = POINT(ask), .yes = placed};
    return add(l, g, &r);
}

void core_log_cancel(struct core_log *l, const struct generation *g, uint64_t wait, int64_t now_us)
{
    struct decisions_record r = {.kind = DECISIONS_CANCEL, .now_us = now_us, .of = wait};
    if (l)
        add(l, g, &r);
}

void core_log_look(struct core_log *l, int64_t now_us)
{
    struct decisions_record r = {.kind = DECISIONS_LOOK, .now_us = now_us};
    if (l)
        add(l, NULL, &r);
}

uint64_t core_log_woken(struct core_log *l, const struct generation *g, uint64_t wait,
                        const struct route_decision *d, int64_t now_us)
{
    if (!l)
        return 0;
    struct decisions_record r = {
        .kind = DECISIONS_WOKEN, .now_us = now_us, .of = wait, .decision = POINT(d)};
    return add(l, g, &r);
}

void core_log_ready(struct core_log *l, const struct generation *g, int32_t pool, bool ready)
{
    struct decisions_record r = {.kind = DECISIONS_READY, .place = pool, .yes = ready};
    if (l)
        add(l, g, &r);
}

void core_log_lever(struct core_log *l, const struct generation *g, int32_t pool,
                    const struct route_lever *lever, int64_t now_us)
{
    struct decisions_record r = {
        .kind = DECISIONS_LEVER, .now_us = now_us, .place = pool, .lever = POINT(lever)};
    if (l)
        add(l, g, &r);
}

void core_log_used(struct core_log *l, const struct generation *g, int32_t contract, double used,
                   int64_t now_us, int64_t wall_us)
{
    struct decisions_record r = {.kind = DECISIONS_USED,
                                 .now_us = now_us,
                                 .wall_us = wall_us,
                                 .place = contract,
                                 .used = used};
    if (l)
        add(l, g, &r);
}

void core_log_priced(struct core_log *l, const struct generation *g, int32_t contract,
                     const struct route_price *price, int64_t now_us)
{
    struct decisions_record r = {
        .kind = DECISIONS_PRICED, .now_us = now_us, .place = contract, .price = *price};
    if (l)
        add(l, g, &r);
}
