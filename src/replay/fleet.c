#include "replay/fleet.h"

#include "base/arena.h"
#include "replay/finishing.h"

#include <math.h>
#include <stdlib.h>

// Time inside a unit counts in 1/1024 us, so that steps of a fraction of a microsecond add up.
enum { FINE_BITS = 10, SEQUENCES_FIRST = 1024, DUE_FIRST = 2 };
static const int64_t FAR_US = (int64_t)1 << 51;  // 71 years: no time of a unit is beyond it

enum state { FREE, WAITING, PREFILL, JOINING, DECODING };

struct sequence {
    int32_t prompt_tok, uncached_tok, output_tok;
    int32_t unit;
    enum state state;
    int64_t at_us;        // came; then got its slot
    int64_t finish_step;  // DECODING
};

struct list {
    int32_t head, tail;
};

// A *run* is a row of steps between two changes: its i-th step takes a + b i, the first `extra`
// more.
struct unit {
    struct service service;
    double factor;
    int32_t slots;  // those that may be given; derated
    struct list queue, joining;
    int32_t waiting, n_joining, n_decoding;
    struct queue prefills;       // by their end, us
    int32_t bare;                // of those, who want no token
    struct finishing finishing;  // by their last step
    int32_t *firsts;             // who have joined at the begin of this run; room for all slots
    int32_t n_firsts, firsts_size;
    int64_t kv_tok;   // promised to those who hold a slot
    int64_t ctx_tok;  // context of those who decode, at the begin of the run
    bool stepping;
    int64_t step;         // steps done when the run began
    int64_t from;         // when it began, fine
    int64_t a, b, extra;  // fine
    int64_t cut_step;     // where it must end for those who want to join; NEVER: nobody
    int32_t held, most;
    int64_t held_since_us;
    double held_us;
    int64_t weight;
    int32_t group;
};

struct load {
    int64_t sum, peak;
};

struct fleet {
    struct unit *units;  // [units_max]
    int32_t n_units, units_max;
    struct sequence *all;  // [size], by id
    int32_t *links;        // [size], by id: the next in whatever list it is in; -1: end
    int32_t size;
    // A tournament: due[leaves + u] is when unit u has something to do, each node the lesser of the
    // two below it.
    int64_t *due;
    int32_t leaves;
    // Events of the unit that was advanced last, not yet taken.
    struct fleet_event *events;
    int32_t n_events, told, events_size;
    struct load load;
    struct load *loads;  // [groups]
    int32_t n_loads;
};

struct fleet *fleet_new(int32_t units_max, int32_t groups)
{
    CHECK(units_max > 0 && groups > 0);
    struct fleet *f = take(sizeof *f);
    f->units_max = units_max;
    f->n_loads = groups;
    f->loads = take_n(sizeof *f->loads, (size_t)groups);
    f->units = take_n(sizeof *f->units, (size_t)units_max);
    f->leaves = DUE_FIRST;
    while (f->leaves < units_max)
        f->leaves *= 2;
    f->due = take_n(sizeof *f->due, (size_t)f->leaves * 2);
    for (int32_t i = 0; i < 2 * f->leaves; i++)
        f->due[i] = NEVER;
    return f;
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    for (int32_t i = 0; i < f->n_units; i++) {
        queue_release(&f->units[i].prefills);
        finishing_release(&f->units[i].finishing);
        free(f->units[i].firsts);
    }
    free(f->units);
    free(f->loads);
    free(f->all);
    free(f->links);
    free(f->due);
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

static void *grown(void *p, size_t size, int32_t had, int32_t n)
{
    char *more = realloc(p, size * (size_t)n);
    CHECK(more);
    memset(more + size * (size_t)had, 0, size * (size_t)(n - had));
    return more;
}

static void list_add(struct fleet *f, struct list *l, int32_t id)
{
    f->links[id] = -1;
    if (l->tail >= 0)
        f->links[l->tail] = id;
    else
        l->head = id;
    l->tail = id;
}

static void list_pop(struct fleet *f, struct list *l)
{
    l->head = f->links[l->head];
    if (l->head < 0)
        l->tail = -1;
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

static void tell(struct fleet *f, const struct unit *u, int64_t at_us, enum service_event_kind kind,
                 int32_t id)
{
    if (f->n_events == f->events_size) {
        int32_t size = f->events_size ? 2 * f->events_size : 64;
        f->events = grown(f->events, sizeof *f->events, f->events_size, size);
        f->events_size = size;
    }
    f->events[f->n_events++] = (struct fleet_event){at_us, kind, (int32_t)(u - f->units), id};
}

// --- steps ------------------------------------------------------------------------------------

// When the i-th step of the run ends.
static int64_t step_end_us(const struct unit *u, int64_t i)
{
    int64_t half = 1 << (FINE_BITS - 1);
    return (u->from + u->extra + i * u->a + u->b * (i * (i - 1) / 2) + half) >> FINE_BITS;
}

// A far step is not multiplied out: FAR_US stands for whatever is later.
static int64_t step_end_at_most(const struct unit *u, int64_t i)
{
    double fine = (double)u->from + (double)u->extra + (double)i * (double)u->a +
                  (double)u->b * (double)i * (double)i;
    return fine < (double)(FAR_US << FINE_BITS) ? step_end_us(u, i) : FAR_US;
}

// The first step of the run to end at `at_us` or later.
static int64_t step_at(const struct unit *u, int64_t at_us)
{
    if (step_end_us(u, 1) >= at_us)
        return 1;
    double left = (double)((at_us << FINE_BITS) - u->from - u->extra), a = (double)u->a;
    double guess = left / a;
    if (u->b > 0) {  // a i + b i (i - 1) / 2 = left
        double b = (double)u->b, half = a - b / 2;
        guess = (sqrt(half * half + 2 * b * left) - half) / b;
    }
    int64_t i = guess > 1 ? (int64_t)guess : 1;
    while (i > 1 && step_end_us(u, i - 1) >= at_us)
        i--;
    while (step_end_us(u, i) < at_us)
        i++;
    return i;
}

static int64_t whole_us(double us)
{
    us += 0.5;
    return us < (double)FAR_US ? max_i64((int64_t)us, 0) : FAR_US;
}

static int64_t fine_of(double us)
{
    double fine = us * (1 << FINE_BITS) + 0.5;
    double most = (double)(FAR_US << FINE_BITS);
    return fine < most ? (int64_t)fine : (int64_t)most;
}

// A new row of steps from where the clock stands: for as many as there are now.
static void begin_run(struct fleet *f, struct unit *u)
{
    u->n_firsts = 0;
    u->cut_step = NEVER;
    if (u->n_joining + u->n_decoding > u->firsts_size) {
        int32_t size = 2 * (u->n_joining + u->n_decoding);
        u->firsts = grown(u->firsts, sizeof *u->firsts, u->firsts_size, size);
        u->firsts_size = size;
    }
    bool alone = u->n_decoding == 0;  // they slow nobody
    double prompts = 0;
    while (u->joining.head >= 0) {
        int32_t id = u->joining.head;
        struct sequence *q = &f->all[id];
        list_pop(f, &u->joining);
        q->state = DECODING;
        q->finish_step = u->step + q->output_tok;
        finishing_put(&u->finishing, f->links, u->step, q->finish_step, id);
        if (q->output_tok > 1)
            u->firsts[u->n_firsts++] = id;
        u->ctx_tok += q->prompt_tok;
        prompts += alone ? 0 : q->uncached_tok;
        u->n_decoding++;
    }
    u->n_joining = 0;
    u->extra = 0;
    u->stepping = u->n_decoding > 0;
    if (!u->stepping)
        return;
    // The fullest replica sets the pace of all.
    int64_t n = u->n_decoding, replicas = u->service.replicas;
    if (n > replicas)
        n = (n + replicas - 1) / replicas * replicas;
    double us = service_step_us(&u->service, (double)n, (double)u->ctx_tok) * u->factor;
    double more_us = 0;
    if (u->service.step_us_per_ctx > 0) {
        double busy = n >= replicas ? (double)replicas : (double)n;
        more_us = u->service.step_us_per_ctx * ((double)u->n_decoding / busy) * u->factor;
    }
    u->b = fine_of(more_us);
    // Steps of one length are whole microseconds, as those of service_sim.
    bool alike = u->b == 0 && us + 0.5 < (double)FAR_US;
    u->a = alike ? (int64_t)(us + 0.5) << FINE_BITS : fine_of(us);
    if (u->a < 1 << FINE_BITS)
        u->a = 1 << FINE_BITS;
    if (prompts > 0)
        u->extra = fine_of((double)whole_us(service_join_us(&u->service, prompts) * u->factor));
}

// --- slots ------------------------------------------------------------------------------------

static void load_change(struct load *l, int64_t by)
{
    l->sum += by;
    if (l->sum > l->peak)
        l->peak = l->sum;
}

static void held_change(struct fleet *f, struct unit *u, int32_t by, int64_t now_us)
{
    u->held_us += (double)u->held * (double)(now_us - u->held_since_us);
    u->held_since_us = now_us;
    u->held += by;
    if (u->held > u->most)
        u->most = u->held;
    load_change(&f->load, by * u->weight);
    load_change(&f->loads[u->group], by * u->weight);
}

// All the context that it can come to: a sequence once admitted never has to make room again.
static int64_t kv_need(const struct sequence *q)
{
    return (int64_t)q->prompt_tok + q->output_tok;
}

static bool has_room(const struct unit *u, const struct sequence *q)
{
    if (u->prefills.n >= u->service.replicas || u->held >= u->slots)
        return false;
    // One that is larger than the pool gets the pool for itself rather than wait for ever.
    bool fits = u->service.kv_tok <= 0 || (double)(u->kv_tok + kv_need(q)) <= u->service.kv_tok;
    return fits || u->held == 0;
}

static void admit(struct fleet *f, struct unit *u, int64_t now_us)
{
    while (u->queue.head >= 0 && has_room(u, &f->all[u->queue.head])) {
        int32_t id = u->queue.head;
        struct sequence *q = &f->all[id];
        list_pop(f, &u->queue);
        u->waiting--;
        q->state = PREFILL;
        u->kv_tok += kv_need(q);
        int64_t from_us = max_i64(now_us, q->at_us);
        double us = service_prefill_us(&u->service, q->uncached_tok, u->held) * u->factor;
        held_change(f, u, 1, from_us);
        int64_t length_us = whole_us(us);
        q->at_us = from_us;
        queue_put(&u->prefills, min_i64(from_us + length_us, FAR_US), id);
        u->bare += q->output_tok == 0;
    }
}

static void leave(struct fleet *f, struct unit *u, struct sequence *q, int64_t now_us)
{
    u->kv_tok -= kv_need(q);
    held_change(f, u, -1, now_us);
    q->state = FREE;
}

// --- what happens in a unit -------------------------------------------------------------------

// The step at which the run is to be looked at, counted in it; 0: it may go on for ever.
static int64_t next_stop(const struct unit *u)
{
    int64_t stop = u->cut_step;
    if (u->n_firsts)
        stop = min_i64(stop, u->step + 1);
    stop = min_i64(stop, finishing_first(&u->finishing));
    return stop == NEVER ? 0 : stop - u->step;
}

static int64_t unit_due_us(const struct unit *u)
{
    int64_t at_us = u->prefills.n ? queue_first(&u->prefills)->at : NEVER;
    if (!u->stepping)
        return at_us;
    int64_t stop_us = step_end_at_most(u, next_stop(u));
    if (at_us >= stop_us)
        return stop_us;
    // Where nobody waits for the replica and it ends nothing, the end of a prefill matters when the
    // next step begins.
    return u->queue.head >= 0 || u->bare ? at_us : step_end_us(u, step_at(u, at_us));
}

static void set_due(struct fleet *f, const struct unit *u)
{
    int32_t i = f->leaves + (int32_t)(u - f->units);
    f->due[i] = unit_due_us(u);
    for (i /= 2; i > 0; i /= 2) {
        int64_t least = min_i64(f->due[2 * i], f->due[2 * i + 1]);
        if (f->due[i] == least)
            return;
        f->due[i] = least;
    }
}

// Those whose prefill has ended by now wait for the next step.
static void end_prefills(struct fleet *f, struct unit *u, int64_t now_us)
{
    while (u->prefills.n && queue_first(&u->prefills)->at <= now_us) {
        int64_t at_us = queue_first(&u->prefills)->at;
        int32_t id = queue_pop(&u->prefills);
        struct sequence *q = &f->all[id];
        if (q->output_tok == 0) {
            u->bare--;
            leave(f, u, q, at_us);
            tell(f, u, at_us, SERVICE_LAST, id);
        } else {
            q->state = JOINING;
            list_add(f, &u->joining, id);
            u->n_joining++;
        }
        admit(f, u, at_us);
    }
}

// Whose prefill has ended joins at the next step. Those that nobody had to look at are up to a step
// late here, and in time for that.
static void catch_up(struct fleet *f, struct unit *u, int64_t now_us)
{
    if (!u->prefills.n || queue_first(&u->prefills)->at > now_us)
        return;
    int64_t first_us = queue_first(&u->prefills)->at;
    end_prefills(f, u, now_us);
    if (u->stepping && u->n_joining && u->cut_step == NEVER)
        u->cut_step = u->step + step_at(u, first_us);
}

// The run has come to its i-th step's end.
static void run_to(struct fleet *f, struct unit *u, int64_t i)
{
    int64_t now_us = step_end_us(u, i);
    u->from += u->extra + i * u->a + u->b * (i * (i - 1) / 2);
    u->extra = 0;
    u->step += i;
    u->ctx_tok += i * u->n_decoding;
    for (int32_t k = 0; k < u->n_firsts; k++)
        tell(f, u, now_us, SERVICE_FIRST, u->firsts[k]);
    while (finishing_first(&u->finishing) <= u->step) {
        int32_t id = finishing_pop(&u->finishing, f->links);
        struct sequence *q = &f->all[id];
        u->ctx_tok -= kv_need(q);
        u->n_decoding--;
        leave(f, u, q, now_us);
        tell(f, u, now_us, SERVICE_LAST, id);
    }
    admit(f, u, now_us);
    end_prefills(f, u, now_us);
    begin_run(f, u);
}

// Does what is due first in this unit, at `at_us`.
static void advance(struct fleet *f, struct unit *u, int64_t at_us)
{
    f->n_events = f->told = 0;
    // Prefills that end at the time of a step's end take part in the next one: they go first.
    catch_up(f, u, at_us);
    if (!u->stepping && u->n_joining) {
        u->from = at_us << FINE_BITS;
        begin_run(f, u);
    }
    if (u->stepping) {
        int64_t i = next_stop(u);
        if (i && step_end_at_most(u, i) <= at_us)
            run_to(f, u, i);
    }
    set_due(f, u);
}

int64_t fleet_due(const struct fleet *f)
{
    return f->told < f->n_events ? f->events[f->told].at_us : f->due[1];
}

bool fleet_next(struct fleet *f, int64_t now_us, struct fleet_event *ev)
{
    while (f->told == f->n_events) {
        int64_t at_us = f->due[1];
        if (at_us > now_us || at_us >= FAR_US)
            return false;
        int32_t i = 1;
        while (i < f->leaves)
            i = f->due[2 * i] == at_us ? 2 * i : 2 * i + 1;
        advance(f, &f->units[i - f->leaves], at_us);
    }
    *ev = f->events[f->told++];
    return true;
}

void fleet_add(struct fleet *f, int32_t unit, int32_t id, int32_t prompt_tok, int32_t cached_tok,
               int32_t output_tok, int64_t now_us)
{
    CHECK(unit >= 0 && unit < f->n_units && id >= 0 && id < FLEET_IDS_MAX);
    if (id >= f->size) {
        int32_t size = f->size ? f->size : SEQUENCES_FIRST;
        while (size <= id)
            size *= 2;
        f->all = grown(f->all, sizeof *f->all, f->size, size);
        f->links = grown(f->links, sizeof *f->links, f->size, size);
        f->size = size;
    }
    struct unit *u = &f->units[unit];
    struct sequence *q = &f->all[id];
    CHECK(q->state == FREE);
    catch_up(f, u, now_us);
    int32_t prompt = prompt_tok > 0 ? prompt_tok : 0, cached = cached_tok > 0 ? cached_tok : 0;
    q->prompt_tok = prompt;
    q->uncached_tok = cached < prompt ? prompt - cached : 0;
    q->output_tok = output_tok > 0 ? output_tok : 0;
    q->unit = unit;
    q->state = WAITING;
    q->at_us = now_us;
    list_add(f, &u->queue, id);
    u->waiting++;
    admit(f, u, now_us);
    set_due(f, u);
}

void fleet_cancel(struct fleet *f, int32_t id, int64_t now_us)
{
    CHECK(id >= 0 && id < f->size && f->all[id].state != FREE);
    struct sequence *q = &f->all[id];
    struct unit *u = &f->units[q->unit];
    catch_up(f, u, now_us);
    switch (q->state) {
    case FREE: break;
    case WAITING:
        list_remove(f, &u->queue, id);
        u->waiting--;
        q->state = FREE;
        return;
    case PREFILL:
        queue_remove(&u->prefills, id);
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
        int64_t done = step_at(u, now_us + 1) - 1;
        int64_t made = q->output_tok - (q->finish_step - u->step) + done;
        if (done > 0) {
            u->from += u->extra;
            u->extra = 0;
        }
        u->from += done * u->a + u->b * (done * (done - 1) / 2);
        u->a += u->b * done;
        u->step += done;
        u->ctx_tok += done * u->n_decoding - (q->prompt_tok + made);
        u->n_decoding--;
        u->cut_step = u->step + 1;
        if (u->n_decoding == 0) {
            u->stepping = false;
            u->n_firsts = 0;
            u->cut_step = NEVER;
        }
        break;
    }
    }
    leave(f, u, q, now_us);
    admit(f, u, now_us);
    if (!u->stepping && u->n_joining) {
        u->from = now_us << FINE_BITS;
        begin_run(f, u);
    }
    set_due(f, u);
}

void fleet_slow(struct fleet *f, int32_t unit, double factor, int64_t now_us)
{
    CHECK(factor > 0);
    struct unit *u = &f->units[unit];
    catch_up(f, u, now_us);
    u->factor = factor;
    if (u->stepping)
        u->cut_step = min_i64(u->cut_step, u->step + step_at(u, now_us));
    set_due(f, u);
}

void fleet_derate(struct fleet *f, int32_t unit, double share, int64_t now_us)
{
    CHECK(share > 0);
    struct unit *u = &f->units[unit];
    catch_up(f, u, now_us);
    double slots = share * u->service.slots;
    u->slots = slots > 1 ? (int32_t)min_i64((int64_t)slots, u->service.slots) : 1;
    admit(f, u, now_us);
    set_due(f, u);
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
