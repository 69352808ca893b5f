#include "replay/fleet_inside.h"

enum { CACHE_LINE = 64, FETCH_MOST = 8 };

static void tell(struct fleet *f, const struct unit *u, int64_t at_us, enum service_event_kind kind,
                 int32_t id)
{
    if (f->n_events == f->events_size) {
        int32_t size = f->events_size ? 2 * f->events_size : 64;
        f->events = fleet_grown(f->events, sizeof *f->events, f->events_size, size);
        f->events_size = size;
    }
    f->events[f->n_events++] = (struct fleet_event){at_us, kind, (int32_t)(u - f->units), id};
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

static int64_t whole_us(double us)
{
    us += 0.5;
    return us < (double)FAR_US ? max_i64((int64_t)us, 0) : FAR_US;
}

static void begin_prefill(struct fleet *f, struct unit *u, int32_t id, int64_t now_us)
{
    struct sequence *q = &f->all[id];
    q->state = PREFILL;
    u->kv_tok += kv_need(q);
    int64_t from_us = max_i64(now_us, q->at_us);
    double us = service_beside_us(&u->service, q->uncached_tok, u->held) * u->factor;
    held_change(f, u, 1, from_us);
    int64_t length_us = whole_us(us);
    q->at_us = from_us;
    soon_put(&u->prefills, min_i64(from_us + length_us, FAR_US), id);
    u->bare += q->output_tok == 0;
}

void batch_admit(struct fleet *f, struct unit *u, int64_t now_us)
{
    while (u->queue.head >= 0 && has_room(u, &f->all[u->queue.head])) {
        int32_t id = u->queue.head;
        list_pop(f, &u->queue);
        u->waiting--;
        begin_prefill(f, u, id, now_us);
    }
}

void batch_leave(struct fleet *f, struct unit *u, struct sequence *q, int64_t now_us)
{
    u->kv_tok -= kv_need(q);
    held_change(f, u, -1, now_us);
    q->state = FREE;
}

// --- steps ------------------------------------------------------------------------------------

// With ten thousand requests under way, what is kept of one that ends has left the near cache.
static void fetch(const struct fleet *f, int32_t id)
{
    const char *at = f->kept + (size_t)id * f->kept_each;
    for (size_t i = 0; i < f->kept_bytes; i += CACHE_LINE)
        __builtin_prefetch(at + i);
}

static void fetch_finishing(const struct fleet *f, const struct finishing *s)
{
    int32_t id = finishing_soon(s);
    for (int32_t n = 0; id >= 0 && n < FETCH_MOST; n++, id = f->links[id]) {
        __builtin_prefetch(&f->all[id]);
        fetch(f, id);
    }
}

// Returns the prompt tokens by which they lengthen the step.
static double join(struct fleet *f, struct unit *u)
{
    if (u->n_joining + u->n_decoding > u->firsts_size) {
        int32_t size = 2 * (u->n_joining + u->n_decoding);
        u->firsts = fleet_grown(u->firsts, sizeof *u->firsts, u->firsts_size, size);
        u->firsts_size = size;
    }
    double prompts = 0;
    while (u->joining.head >= 0) {
        int32_t id = u->joining.head;
        struct sequence *q = &f->all[id];
        list_pop(f, &u->joining);
        q->state = DECODING;
        q->finish_step = u->run.done + q->output_tok;
        finishing_put(&u->finishing, f->links, u->run.done, q->finish_step, id);
        if (q->output_tok > 1)
            u->firsts[u->n_firsts++] = id;
        fetch(f, id);
        u->ctx_tok += q->prompt_tok;
        prompts += q->uncached_tok;
        u->n_decoding++;
    }
    u->n_joining = 0;
    return prompts;
}

// A new row of steps from where the clock stands: for as many as there are now.
static void begin_run(struct fleet *f, struct unit *u)
{
    u->n_firsts = 0;
    u->cut_step = NEVER;
    u->run.extra = 0;
    double prompts = u->n_joining ? join(f, u) : 0;
    u->stepping = u->n_decoding > 0;
    if (!u->stepping)
        return;
    fetch_finishing(f, &u->finishing);
    // The fullest replica sets the pace of all.
    int64_t n = u->n_decoding, replicas = u->service.replicas;
    if (n > replicas)
        n = (int64_t)((int32_t)(n + replicas - 1) / (int32_t)replicas) * replicas;
    double us = service_step_us(&u->service, (double)n, (double)u->ctx_tok) * u->factor;
    double more_us = 0;
    if (u->service.step_us_per_ctx > 0) {
        double busy = n >= replicas ? (double)replicas : (double)n;
        more_us = u->service.step_us_per_ctx * ((double)u->n_decoding / busy) * u->factor;
    }
    u->run.b = steps_fine(more_us);
    // Steps of one length are whole microseconds, as those of service_sim.
    bool alike = u->run.b == 0 && us + 0.5 < (double)FAR_US;
    u->run.a = alike ? (int64_t)(us + 0.5) << FINE_BITS : steps_fine(us);
    if (u->run.a < 1 << FINE_BITS)
        u->run.a = 1 << FINE_BITS;
    if (prompts > 0) {
        double join_us = service_join_us(&u->service, prompts) * u->factor;
        u->run.extra = steps_fine((double)whole_us(join_us));
    }
}

void batch_begin(struct fleet *f, struct unit *u, int64_t now_us)
{
    if (u->stepping || !u->n_joining)
        return;
    u->run.from = now_us << FINE_BITS;
    begin_run(f, u);
}

// The step at which the run is to be looked at, counted in it; 0: it may go on for ever.
static int64_t next_stop(const struct unit *u)
{
    if (u->n_firsts)
        return 1;
    int64_t stop = min_i64(u->cut_step, finishing_first(&u->finishing));
    return stop == NEVER ? 0 : stop - u->run.done;
}

static int64_t unit_due_us(const struct unit *u)
{
    int64_t at_us = soon_first_us(&u->prefills);
    if (!u->stepping)
        return at_us;
    int64_t stop_us = steps_end_at_most(&u->run, next_stop(u));
    if (at_us >= stop_us)
        return stop_us;
    // Where nobody waits for the replica and it ends nothing, the end of a prefill matters when the
    // next step begins.
    return u->queue.head >= 0 || u->bare ? at_us : steps_end_us(&u->run, steps_at(&u->run, at_us));
}

void batch_set_due(struct fleet *f, const struct unit *u)
{
    dues_set(&f->dues, (int32_t)(u - f->units), unit_due_us(u));
}

// Those whose prefill has ended by now wait for the next step.
static void end_prefills(struct fleet *f, struct unit *u, int64_t now_us)
{
    for (int64_t at_us; (at_us = soon_first_us(&u->prefills)) <= now_us;) {
        int32_t id = soon_pop(&u->prefills);
        struct sequence *q = &f->all[id];
        if (q->output_tok == 0) {
            u->bare--;
            batch_leave(f, u, q, at_us);
            tell(f, u, at_us, SERVICE_LAST, id);
        } else {
            q->state = JOINING;
            list_add(f, &u->joining, id);
            u->n_joining++;
        }
        if (u->queue.head >= 0)
            batch_admit(f, u, at_us);
    }
}

void batch_catch_up(struct fleet *f, struct unit *u, int64_t now_us)
{
    int64_t first_us = soon_first_us(&u->prefills);
    if (first_us > now_us)
        return;
    end_prefills(f, u, now_us);
    if (u->stepping && u->n_joining && u->cut_step == NEVER)
        u->cut_step = u->run.done + steps_at(&u->run, first_us);
}

// The run has come to its i-th step's end.
static void run_to(struct fleet *f, struct unit *u, int64_t i)
{
    int64_t now_us = steps_end_us(&u->run, i);
    steps_pass(&u->run, i);
    u->ctx_tok += i * u->n_decoding;
    for (int32_t k = 0; k < u->n_firsts; k++)
        tell(f, u, now_us, SERVICE_FIRST, u->firsts[k]);
    while (finishing_first(&u->finishing) <= u->run.done) {
        int32_t id = finishing_pop(&u->finishing, f->links);
        struct sequence *q = &f->all[id];
        u->ctx_tok -= kv_need(q);
        u->n_decoding--;
        batch_leave(f, u, q, now_us);
        tell(f, u, now_us, SERVICE_LAST, id);
    }
    if (u->queue.head >= 0)
        batch_admit(f, u, now_us);
    end_prefills(f, u, now_us);
    begin_run(f, u);
}

void batch_advance(struct fleet *f, struct unit *u, int64_t at_us)
{
    // Prefills that end at the time of a step's end take part in the next one: they go first.
    batch_catch_up(f, u, at_us);
    batch_begin(f, u, at_us);
    if (u->stepping) {
        int64_t i = next_stop(u);
        if (i && steps_end_at_most(&u->run, i) <= at_us)
            run_to(f, u, i);
    }
    batch_set_due(f, u);
}
