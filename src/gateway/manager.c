#include "gateway/manager.h"
#include "gateway/gateway_inside.h"
#include "io/notify.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct pulse {  // of one loop
    struct manager *manager;
    _Atomic bool asked;  // and not answered yet
};

struct manager {
    struct gateway *gateway;
    struct notify *notify;
    struct timer timer;
    struct pulse *pulses;  // [n_workers]
    bool serving;          // said to be ready
};

static void on_pulse(void *arg)
{
    atomic_store(&((struct pulse *)arg)->asked, false);
}

// A loop that does not come to its calls is stuck: then the manager hears nothing, and acts.
static void on_watchdog(struct timer *t)
{
    struct manager *m = CONTAINER_OF(t, struct manager, timer);
    struct gateway *g = m->gateway;
    bool all = true;
    for (int32_t i = 0; i < g->n_workers && !g->draining; i++) {
        all &= !atomic_load(&m->pulses[i].asked);
        if (!atomic_exchange(&m->pulses[i].asked, true))
            loop_post(g->workers[i].loop, on_pulse, &m->pulses[i]);
    }
    if (all)
        notify_say(m->notify, "WATCHDOG=1");
    struct loop *l = first_worker(g)->loop;
    timer_set(l, t, loop_now_us(l) + notify_watchdog_us(m->notify) / 3);
}

struct manager *manager_new(struct gateway *g)
{
    struct manager *m = take(sizeof *m);
    m->gateway = g;
    m->notify = notify_new();
    m->timer.fire = on_watchdog;
    m->pulses = take_n(sizeof *m->pulses, (size_t)g->n_workers);
    return m;
}

void manager_free(struct manager *m)
{
    if (!m)
        return;
    notify_free(m->notify);
    free(m->pulses);
    free(m);
}

void manager_ready(struct manager *m, struct str url)
{
    m->serving = true;
    notify_say(m->notify, "READY=1\nMAINPID=%d\nSTATUS=serving at " STR_FMT, getpid(),
               STR_ARG(url));
    struct loop *l = first_worker(m->gateway)->loop;
    if (notify_watchdog_us(m->notify) > 0)
        timer_set(l, &m->timer, loop_now_us(l));
}

void manager_reloading(struct manager *m)
{
    if (m->serving)
        notify_say(m->notify, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_now_us());
}

void manager_reloaded(struct manager *m, const char *how)
{
    if (m->serving)
        notify_say(m->notify, "READY=1\nSTATUS=%s", how);
}

void manager_stopping(struct manager *m)
{
    notify_say(m->notify, "STOPPING=1\nSTATUS=ending what is under way");
}

// Not STOPPING: the service goes on, in another process.
void manager_followed_by(struct manager *m, int32_t pid)
{
    m->serving = false;
    timer_stop(first_worker(m->gateway)->loop, &m->timer);
    notify_say(m->notify, "MAINPID=%d", pid);
}
