// Sequences in the service model: one clock of steps for each model, driven by the loop's.

#include "sim/inside.h"

#include "base/arena.h"

#include <stdlib.h>

static void arm(struct sim_model *m)
{
    int64_t due_us = service_sim_due(m->steps);
    if (due_us == NEVER)
        timer_stop(m->sim->loop, &m->timer);
    else
        timer_set(m->sim->loop, &m->timer, due_us);
}

static void set_pace(struct sim_model *m)
{
    double slow = sim_faults_slow(&m->sim->faults, str_of(m->name), loop_now_us(m->sim->loop));
    if (slow < m->slow || slow > m->slow) {
        m->slow = slow;
        service_sim_slow(m->steps, slow);
    }
}

// An answer that gets its token may end, hang or begin the next one of its connection: all of that
// comes back into service_sim_add() and service_sim_cancel(), which may be called between events.
static void on_step(struct timer *t)
{
    struct sim_model *m = CONTAINER_OF(t, struct sim_model, timer);
    int64_t now_us = loop_now_us(m->sim->loop);
    set_pace(m);
    struct service_event ev;
    while ((ev = service_sim_next(m->steps, now_us)).kind != SERVICE_NONE) {
        struct client *c = m->by_id[ev.id];
        CHECK(c && c->id == ev.id);
        int32_t tokens = ev.token;
        if (ev.kind == SERVICE_LAST) {
            m->by_id[ev.id] = NULL;
            c->id = -1;
            tokens = c->answer.output_tok;
        }
        reply_ready(c, tokens);
    }
    arm(m);
}

void steps_init(struct sim_model *m, int32_t queue)
{
    m->steps = service_sim_new(&m->service, queue);
    m->by_id = take_n(sizeof *m->by_id, (size_t)queue);
    m->timer.fire = on_step;
}

void steps_release(struct sim_model *m)
{
    if (!m->steps)
        return;
    timer_stop(m->sim->loop, &m->timer);
    service_sim_free(m->steps);
    free(m->by_id);
}

bool steps_add(struct client *c)
{
    struct sim_model *m = c->model;
    const struct sim_answer *a = &c->answer;
    // Choices of one request share its prefill and take a place each; one sequence stands for them.
    set_pace(m);
    int32_t id = service_sim_add(m->steps, a->prompt_tok, a->cached_tok, a->output_tok,
                                 loop_now_us(m->sim->loop));
    if (id < 0)
        return false;
    m->by_id[id] = c;
    c->id = id;
    arm(m);
    return true;
}

void steps_cancel(struct client *c)
{
    if (c->id < 0)
        return;
    struct sim_model *m = c->model;
    m->by_id[c->id] = NULL;
    service_sim_cancel(m->steps, c->id, loop_now_us(m->sim->loop));
    c->id = -1;
    arm(m);
}
