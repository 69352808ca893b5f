#include "portfolio/service.h"
#include "base/heap.h"

#include <stdlib.h>

// A sequence on its way:
//
//   add -> WAITING -- slot, KV room, a replica free to prefill --> PREFILL (heap, by its end)
//       -> JOINING -- the next step begins --> DECODING (a bit by id) -> one event a step -> FREE
//
// Nothing looks at all sequences but the end of a step, which has something to say for each.

enum state { FREE, WAITING, PREFILL, JOINING, DECODING };

struct sequence {
    struct heap_node due;  // of its prefill
    enum state state;
    int32_t prompt_tok, uncached_tok, output_tok;
    int32_t tokens;  // made so far
    int64_t came_us;
    int32_t next, prev;  // in the queue; `next` also in the list of free ids; -1: end
};

// BETWEEN two steps, or with nobody to step for; in one, until step_due_us; or at its end, while
// those from `teller` on are still to be told.
enum clock { BETWEEN, STEPPING, TELLING };

enum { WORD_BITS = 64 };

struct service_sim {
    struct service service;
    struct sequence *all;  // [max]
    int32_t max;
    int32_t free;        // first free id, -1: none
    int32_t head, tail;  // the queue
    int32_t waiting;
    struct heap prefills;
    uint64_t *joining, *decoding;  // [words], a bit for each id
    int32_t words;
    int32_t n_joining, n_decoding;
    double kv_tok;    // promised to those who hold a slot
    int64_t ctx_tok;  // context of those who decode
    double factor;
    int64_t now_us;  // of the last thing that happened
    enum clock clock;
    int32_t teller;
    int64_t step_due_us;
};

struct service_sim *service_sim_new(const struct service *s, int32_t max)
{
    CHECK(max > 0 && s->slots > 0 && s->replicas > 0);
    struct service_sim *sim = take(sizeof *sim);
    *sim = (struct service_sim){.service = *s,
                                .max = max,
                                .head = -1,
                                .tail = -1,
                                .words = (max + WORD_BITS - 1) / WORD_BITS,
                                .factor = 1,
                                .now_us = INT64_MIN};
    sim->all = take_n(sizeof *sim->all, (size_t)max);
    sim->joining = take_n(sizeof *sim->joining, (size_t)sim->words);
    sim->decoding = take_n(sizeof *sim->decoding, (size_t)sim->words);
    for (int32_t i = 0; i < max; i++)
        sim->all[i].next = i + 1 < max ? i + 1 : -1;
    heap_init(&sim->prefills);
    return sim;
}

void service_sim_free(struct service_sim *sim)
{
    if (!sim)
        return;
    heap_release(&sim->prefills);
    free(sim->all);
    free(sim->joining);
    free(sim->decoding);
    free(sim);
}

static void bit_set(uint64_t *bits, int32_t i)
{
    bits[i / WORD_BITS] |= (uint64_t)1 << (i % WORD_BITS);
}

static void bit_clear(uint64_t *bits, int32_t i)
{
    bits[i / WORD_BITS] &= ~((uint64_t)1 << (i % WORD_BITS));
}

// The first id from `from` on whose bit is set; -1: none.
static int32_t bit_next(const struct service_sim *sim, const uint64_t *bits, int32_t from)
{
    for (int32_t w = from / WORD_BITS; w < sim->words; w++) {
        uint64_t word = bits[w];
        if (w == from / WORD_BITS)
            word &= ~(uint64_t)0 << (from % WORD_BITS);
        if (word)
            return w * WORD_BITS + __builtin_ctzll(word);
    }
    return -1;
}

static void queue_add(struct service_sim *sim, int32_t id)
{
    struct sequence *q = &sim->all[id];
    q->state = WAITING;
    q->next = -1;
    q->prev = sim->tail;
    if (sim->tail >= 0)
        sim->all[sim->tail].next = id;
    else
        sim->head = id;
    sim->tail = id;
    sim->waiting++;
}

static void queue_remove(struct service_sim *sim, int32_t id)
{
    struct sequence *q = &sim->all[id];
    if (q->prev >= 0)
        sim->all[q->prev].next = q->next;
    else
        sim->head = q->next;
    if (q->next >= 0)
        sim->all[q->next].prev = q->prev;
    else
        sim->tail = q->prev;
    sim->waiting--;
}

static int64_t round_us(const struct service_sim *sim, double us, int64_t least)
{
    us = us * sim->factor + 0.5;
    if (!(us < 9e18))
        return (int64_t)9e18;
    return max_i64((int64_t)us, least);
}

// A time far away stays in int64_t.
static int64_t later(int64_t from_us, int64_t by_us)
{
    return from_us > NEVER - 1 - by_us ? NEVER - 1 : from_us + by_us;
}

static int32_t held(const struct service_sim *sim)
{
    return (int32_t)sim->prefills.n + sim->n_joining + sim->n_decoding;
}

// All the context that it can come to: a sequence once admitted never has to make room again.
static double kv_need(const struct sequence *q)
{
    return (double)q->prompt_tok + q->output_tok;
}

static bool has_room(const struct service_sim *sim, const struct sequence *q)
{
    if ((int32_t)sim->prefills.n >= sim->service.replicas || held(sim) >= sim->service.slots)
        return false;
    // One that is larger than the pool gets the pool for itself rather than wait for ever.
    bool fits = sim->service.kv_tok <= 0 || sim->kv_tok + kv_need(q) <= sim->service.kv_tok;
    return fits || held(sim) == 0;
}

// Begins the prefill of as many at the head of the queue as have room: first come, first served.
static void admit(struct service_sim *sim)
{
    while (sim->head >= 0 && has_room(sim, &sim->all[sim->head])) {
        int32_t id = sim->head;
        struct sequence *q = &sim->all[id];
        queue_remove(sim, id);
        q->state = PREFILL;
        sim->kv_tok += kv_need(q);
        double prefill_us = service_beside_us(&sim->service, q->uncached_tok, held(sim));
        int64_t us = round_us(sim, prefill_us, 0);
        q->due.due_us = later(max_i64(sim->now_us, q->came_us), us);
        heap_put(&sim->prefills, &q->due);
    }
}

static void begin_step(struct service_sim *sim)
{
    double prompts = 0;
    for (int32_t id = 0; sim->n_joining > 0; id++) {
        id = bit_next(sim, sim->joining, id);
        bit_clear(sim->joining, id);
        bit_set(sim->decoding, id);
        sim->all[id].state = DECODING;
        sim->ctx_tok += sim->all[id].prompt_tok;
        prompts += sim->all[id].uncached_tok;
        sim->n_joining--;
        sim->n_decoding++;
    }
    // The fullest replica sets the pace of all.
    int32_t replicas = sim->service.replicas;
    int64_t n = sim->n_decoding > replicas
                    ? ((int64_t)sim->n_decoding + replicas - 1) / replicas * replicas
                    : sim->n_decoding;
    double us = service_step_us(&sim->service, (double)n, (double)sim->ctx_tok);
    int64_t length_us = round_us(sim, us, 1);
    if (prompts > 0)
        length_us = later(length_us, round_us(sim, service_join_us(&sim->service, prompts), 0));
    sim->step_due_us = later(sim->now_us, length_us);
    sim->clock = STEPPING;
}

// Steps wait to begin, at now_us.
static bool can_step(const struct service_sim *sim)
{
    return sim->clock == BETWEEN && sim->n_decoding + sim->n_joining > 0;
}

// The next end of a prefill or of a step.
static int64_t next_change_us(const struct service_sim *sim)
{
    int64_t prefill_us = sim->prefills.n ? heap_first(&sim->prefills)->due_us : NEVER;
    return sim->clock == BETWEEN ? prefill_us : min_i64(prefill_us, sim->step_due_us);
}

// A place may have come free, or somebody who wants one, from outside. A caller who has not taken
// all events up to now gets it done in their order.
static void admit_from(struct service_sim *sim, int64_t now_us)
{
    if (sim->clock == TELLING || next_change_us(sim) <= now_us)
        return;
    sim->now_us = max_i64(sim->now_us, now_us);
    admit(sim);
}

// Out of whatever it is in; the id is free again.
static void leave(struct service_sim *sim, int32_t id)
{
    struct sequence *q = &sim->all[id];
    switch (q->state) {
    case FREE: CHECK(q->state != FREE); break;
    case WAITING: queue_remove(sim, id); break;
    case PREFILL: heap_take(&sim->prefills, &q->due); break;
    case JOINING:
        bit_clear(sim->joining, id);
        sim->n_joining--;
        break;
    case DECODING:
        bit_clear(sim->decoding, id);
        sim->n_decoding--;
        sim->ctx_tok -= q->prompt_tok + (int64_t)q->tokens;
        break;
    }
    if (q->state != WAITING)
        sim->kv_tok -= kv_need(q);
    q->state = FREE;
    q->next = sim->free;
    sim->free = id;
}

int32_t service_sim_add(struct service_sim *sim, int32_t prompt_tok, int32_t cached_tok,
                        int32_t output_tok, int64_t now_us)
{
    int32_t id = sim->free;
    if (id < 0)
        return -1;
    struct sequence *q = &sim->all[id];
    sim->free = q->next;
    q->prompt_tok = prompt_tok > 0 ? prompt_tok : 0;
    cached_tok = cached_tok > 0 ? cached_tok : 0;
    q->uncached_tok = cached_tok < q->prompt_tok ? q->prompt_tok - cached_tok : 0;
    q->output_tok = output_tok > 0 ? output_tok : 0;
    q->tokens = 0;
    q->came_us = now_us;
    queue_add(sim, id);
    admit_from(sim, now_us);
    return id;
}

void service_sim_cancel(struct service_sim *sim, int32_t id, int64_t now_us)
{
    CHECK(id >= 0 && id < sim->max && sim->all[id].state != FREE);
    leave(sim, id);
    // A step for nobody ends at once, so that the next to come need not wait for it.
    if (sim->clock == STEPPING && sim->n_decoding == 0)
        sim->clock = BETWEEN;
    admit_from(sim, now_us);
}

int64_t service_sim_due(const struct service_sim *sim)
{
    if (sim->clock == TELLING)
        return sim->step_due_us;
    return can_step(sim) ? sim->now_us : next_change_us(sim);
}

// A prefill has ended. A sequence that wants no token is done with it (an embedding, say).
static struct service_event end_prefill(struct service_sim *sim, struct heap_node *node)
{
    struct sequence *q = CONTAINER_OF(node, struct sequence, due);
    struct service_event ev = {.at_us = node->due_us, .id = (int32_t)(q - sim->all)};
    sim->now_us = node->due_us;
    if (q->output_tok == 0) {
        ev.kind = SERVICE_LAST;
        leave(sim, ev.id);
    } else {
        heap_take(&sim->prefills, node);
        q->state = JOINING;
        bit_set(sim->joining, ev.id);
        sim->n_joining++;
    }
    admit(sim);
    return ev;
}

// The next token of the step that has ended; SERVICE_NONE when all are told.
static struct service_event tell(struct service_sim *sim)
{
    struct service_event ev = {.kind = SERVICE_NONE};
    int32_t id = bit_next(sim, sim->decoding, sim->teller);
    if (id < 0)
        return ev;
    struct sequence *q = &sim->all[id];
    sim->teller = id + 1;
    sim->ctx_tok++;
    ev = (struct service_event){sim->step_due_us, SERVICE_TOKEN, id, ++q->tokens};
    if (q->tokens == q->output_tok) {
        ev.kind = SERVICE_LAST;
        leave(sim, id);
    } else if (q->tokens == 1) {
        ev.kind = SERVICE_FIRST;
    }
    return ev;
}

struct service_event service_sim_next(struct service_sim *sim, int64_t now_us)
{
    struct service_event none = {.at_us = now_us, .kind = SERVICE_NONE, .id = -1};
    for (;;) {
        if (sim->clock == TELLING) {
            struct service_event ev = tell(sim);
            if (ev.kind)
                return ev;
            sim->clock = BETWEEN;
            admit(sim);
        }
        // Prefills that end at the time of a step's end take part in the next one: they go first.
        struct heap_node *prefill = heap_first(&sim->prefills);
        if (can_step(sim) && !(prefill && prefill->due_us <= sim->now_us))
            begin_step(sim);
        int64_t change_us = next_change_us(sim);
        if (change_us > now_us || change_us == NEVER)
            return none;
        if (prefill && prefill->due_us == change_us) {
            struct service_event ev = end_prefill(sim, prefill);
            if (ev.kind)
                return ev;
        } else {
            sim->now_us = change_us;
            sim->clock = TELLING;
            sim->teller = 0;
        }
    }
}

int32_t service_sim_running(const struct service_sim *sim)
{
    return held(sim);
}

int32_t service_sim_waiting(const struct service_sim *sim)
{
    return sim->waiting;
}

void service_sim_slow(struct service_sim *sim, double factor)
{
    CHECK(factor > 0);
    sim->factor = factor;
}
