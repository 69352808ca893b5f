#include "replay/fleet_inside.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

enum { SEQUENCES_FIRST = 1024 };

struct fleet *fleet_new(int32_t units_max, int32_t groups)
{
    CHECK(units_max > 0 && groups > 0);
    struct fleet *f = take(sizeof *f);
    f->units_max = units_max;
    f->n_loads = groups;
    f->loads = take_n(sizeof *f->loads, (size_t)groups);
    f->units = take_n(sizeof *f->units, (size_t)units_max);
    dues_init(&f->dues, units_max);
    return f;
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    for (int32_t i = 0; i < f->n_units; i++) {
        soon_release(&f->units[i].prefills);
        finishing_release(&f->units[i].finishing);
        free(f->units[i].firsts);
    }
    free(f->units);
    free(f->loads);
    free(f->all);
    free(f->links);
    dues_release(&f->dues);
    free(f->events);
    free(f);
}

int32_t fleet_unit(struct fleet *f, const struct service *s)
{
    CHECK(f->n_units < f->units_max && s->slots > 0 && s->replicas > 0);
    f->units[f->n_units] = (struct unit){.service = *s,
                                         .factor = 1,
                                         .slots = s->slots,
                                         .queue = {-1, -1},
                                         .joining = {-1, -1},
                                         .cut_step = NEVER};
    finishing_init(&f->units[f->n_units].finishing);
    return f->n_units++;
}

void *fleet_grown(void *p, size_t size, int32_t had, int32_t n)
{
    char *more = realloc(p, size * (size_t)n);
    CHECK(more);
    memset(more + size * (size_t)had, 0, size * (size_t)(n - had));
    return more;
}

static void list_remove(struct fleet *f, struct list *l, int32_t id)
{
    int32_t before = -1;
    for (int32_t i = l->head; i != id; i = f->links[i])
        before = i;
    if (before < 0) {
        list_pop(f, l);
        return;
    }
    f->links[before] = f->links[id];
    if (l->tail == id)
        l->tail = before;
}

int64_t fleet_due(const struct fleet *f)
{
    return f->told < f->n_events ? f->events[f->told].at_us : dues_first_us(&f->dues);
}

bool fleet_next(struct fleet *f, int64_t now_us, struct fleet_event *ev)
{
    while (f->told == f->n_events) {
        int64_t at_us = dues_first_us(&f->dues);
        if (at_us > now_us || at_us >= FAR_US)
            return false;
        f->n_events = f->told = 0;
        batch_advance(f, &f->units[dues_first(&f->dues)], at_us);
    }
    *ev = f->events[f->told++];
    return true;
}

void fleet_keeps(struct fleet *f, const void *all, size_t each, size_t bytes)
{
    f->kept = all;
    f->kept_each = each;
    f->kept_bytes = bytes;
}

void fleet_add(struct fleet *f, int32_t unit, int32_t id, int32_t prompt_tok, int32_t cached_tok,
               int32_t output_tok, int64_t now_us)
{
    CHECK(unit >= 0 && unit < f->n_units && id >= 0 && id < FLEET_IDS_MAX);
    if (id >= f->size) {
        int32_t size = f->size ? f->size : SEQUENCES_FIRST;
        while (size <= id)
            size *= 2;
        f->all = fleet_grown(f->all, sizeof *f->all, f->size, size);
        f->links = fleet_grown(f->links, sizeof *f->links, f->size, size);
        f->size = size;
    }
    struct unit *u = &f->units[unit];
    struct sequence *q = &f->all[id];
    CHECK(q->state == FREE);
    batch_catch_up(f, u, now_us);
    int32_t prompt = prompt_tok > 0 ? prompt_tok : 0, cached = cached_tok > 0 ? cached_tok : 0;
    q->prompt_tok = prompt;
    q->uncached_tok = cached < prompt ? prompt - cached : 0;
    q->output_tok = output_tok > 0 ? output_tok : 0;
    q->unit = unit;
    q->state = WAITING;
    q->at_us = now_us;
    list_add(f, &u->queue, id);
    u->waiting++;
    batch_admit(f, u, now_us);
    batch_set_due(f, u);
}

void fleet_cancel(struct fleet *f, int32_t id, int64_t now_us)
{
    CHECK(id >= 0 && id < f->size && f->all[id].state != FREE);
    struct sequence *q = &f->all[id];
    struct unit *u = &f->units[q->unit];
    batch_catch_up(f, u, now_us);
    switch (q->state) {
    case FREE: break;
    case WAITING:
        list_remove(f, &u->queue, id);
        u->waiting--;
        q->state = FREE;
        return;
    case PREFILL:
        soon_remove(&u->prefills, id);
        u->bare -= q->output_tok == 0;
        break;
    case JOINING:
        list_remove(f, &u->joining, id);
        u->n_joining--;
        break;
    case DECODING: {
        // The step under way keeps its length; what is shorter begins behind it.
        finishing_remove(&u->finishing, f->links, q->finish_step, id);
        for (int32_t k = 0; k < u->n_firsts; k++) {
            if (u->firsts[k] == id)
                u->firsts[k] = u->firsts[--u->n_firsts];
        }
        int64_t done = steps_at(&u->run, now_us + 1) - 1;
        int64_t made = q->output_tok - (q->finish_step - u->run.done) + done;
        steps_pass(&u->run, done);
        u->ctx_tok += done * u->n_decoding - (q->prompt_tok + made);
        u->n_decoding--;
        u->cut_step = u->run.done + 1;
        if (u->n_decoding == 0) {
            u->stepping = false;
            u->n_firsts = 0;
            u->cut_step = NEVER;
        }
        break;
    }
    }
    batch_leave(f, u, q, now_us);
    batch_admit(f, u, now_us);
    batch_begin(f, u, now_us);
    batch_set_due(f, u);
}

void fleet_slow(struct fleet *f, int32_t unit, double factor, int64_t now_us)
{
    CHECK(factor > 0);
    struct unit *u = &f->units[unit];
    batch_catch_up(f, u, now_us);
    u->factor = factor;
    if (u->stepping)
        u->cut_step = min_i64(u->cut_step, u->run.done + steps_at(&u->run, now_us));
    batch_set_due(f, u);
}

void fleet_derate(struct fleet *f, int32_t unit, double share, int64_t now_us)
{
    CHECK(share > 0);
    struct unit *u = &f->units[unit];
    batch_catch_up(f, u, now_us);
    double slots = share * u->service.slots;
    u->slots = slots > 1 ? (int32_t)min_i64((int64_t)slots, u->service.slots) : 1;
    batch_admit(f, u, now_us);
    batch_set_due(f, u);
}

int32_t fleet_running(const struct fleet *f, int32_t unit)
{
    return f->units[unit].held;
}

int32_t fleet_waiting(const struct fleet *f, int32_t unit)
{
    return f->units[unit].waiting;
}

int32_t fleet_most(const struct fleet *f, int32_t unit)
{
    return f->units[unit].most;
}

double fleet_held_us(const struct fleet *f, int32_t unit)
{
    return f->units[unit].held_us;
}

int64_t fleet_began_us(const struct fleet *f, int32_t id)
{
    return f->all[id].at_us;
}

void fleet_weigh(struct fleet *f, int32_t unit, int64_t weight, int32_t group)
{
    CHECK(group >= 0 && group < f->n_loads);
    f->units[unit].weight = weight;
    f->units[unit].group = group;
}

int64_t fleet_peak(const struct fleet *f)
{
    return f->load.peak;
}

int64_t fleet_peak_of(const struct fleet *f, int32_t group)
{
    return f->loads[group].peak;
}
