#include "bench/power.h"

#include "base/arena.h"
#include "io/loop.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct reading {
    int64_t at_us;
    double watts;   // at that time, or of a counter since the one before
    double joules;  // since the first reading
};

struct power {
    struct power_config c;
    pthread_t thread;
    pthread_mutex_t reading;  // held while the reader reads
    pthread_mutex_t lock;     // of all below
    pthread_cond_t stop;
    struct reading *at;  // [n]
    size_t room;
    int32_t n, failures;
    double counter;  // of the last reading
    bool stopping;
};

static void add(struct power *p, int64_t now_us, double value)
{
    struct reading r = {.at_us = now_us, .watts = p->c.counts_joules ? 0 : value};
    if (p->n) {
        const struct reading *last = &p->at[p->n - 1];
        double s = (double)(now_us - last->at_us) / 1e6;
        if (s <= 0)
            return;
        if (p->c.counts_joules)
            r.watts = (value - p->counter) / s;
        r.joules = last->joules + s * (p->c.counts_joules ? r.watts : (r.watts + last->watts) / 2);
    }
    p->counter = value;
    p->at = take_more(p->at, &p->room, (size_t)p->n + 1, sizeof *p->at);
    p->at[p->n++] = r;
}

// Of a gauge the middle of the reading is its time, since a command may take a while.
static enum err read_once(struct power *p, struct diag *diag)
{
    double value;
    pthread_mutex_lock(&p->reading);
    int64_t begin_us = clock_now_us();
    enum err e = p->c.read(p->c.ctx, &value, diag);
    int64_t at_us = begin_us + (clock_now_us() - begin_us) / 2;
    pthread_mutex_lock(&p->lock);
    if (e)
        p->failures++;
    else
        add(p, at_us, value);
    pthread_mutex_unlock(&p->lock);
    pthread_mutex_unlock(&p->reading);
    return e;
}

static bool wait_until(struct power *p, int64_t due_us)
{
    struct timespec due = {.tv_sec = due_us / S(1), .tv_nsec = due_us % S(1) * 1000};
    pthread_mutex_lock(&p->lock);
    while (!p->stopping && clock_now_us() < due_us)
        pthread_cond_timedwait(&p->stop, &p->lock, &due);
    bool stopping = p->stopping;
    pthread_mutex_unlock(&p->lock);
    return !stopping;
}

static void *run(void *arg)
{
    struct power *p = arg;
    int64_t due_us = clock_now_us() + p->c.every_us;
    while (wait_until(p, due_us)) {
        struct diag why = {0};
        enum err e = read_once(p, &why);  // a failure is counted
        (void)e;
        due_us = max_i64(due_us + p->c.every_us, clock_now_us());
    }
    return NULL;
}

enum err power_start(struct power **out, const struct power_config *c, struct diag *diag)
{
    struct power *p = take(sizeof *p);
    pthread_condattr_t clock;
    *p = (struct power){.c = *c};
    pthread_mutex_init(&p->reading, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&p->stop, &clock);
    pthread_condattr_destroy(&clock);
    enum err e = read_once(p, diag);
    if (!e && pthread_create(&p->thread, NULL, run, p))
        e = diag_set(diag, ERR_SYSTEM, "there is no thread to read the power");
    if (!e) {
        *out = p;
        return ERR_NONE;
    }
    free(p->at);
    free(p);
    return e;
}

void power_stop(struct power *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_signal(&p->stop);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    free(p->at);
    free(p);
}

int64_t power_mark(struct power *p)
{
    struct diag why = {0};
    enum err e = read_once(p, &why);
    (void)e;  // it is counted
    return clock_now_us();
}

// Joules from the first reading to `at_us`.
static double joules_until(const struct power *p, int64_t at_us)
{
    int32_t low = 0, high = p->n;  // readings before `low` are at or before `at_us`
    while (low < high) {
        int32_t mid = low + (high - low) / 2;
        if (p->at[mid].at_us <= at_us)
            low = mid + 1;
        else
            high = mid;
    }
    const struct reading *before = &p->at[low > 0 ? low - 1 : 0];
    const struct reading *behind = &p->at[low < p->n ? low : p->n - 1];
    double s = (double)(at_us - before->at_us) / 1e6,
           wide_s = (double)(behind->at_us - before->at_us) / 1e6;
    if (wide_s > 0)
        return before->joules + s * (behind->joules - before->joules) / wide_s;
    double watts = low == 0 && p->c.counts_joules && p->n > 1 ? p->at[1].watts : before->watts;
    return before->joules + s * watts;
}

double power_joules(struct power *p, int64_t from_us, int64_t to_us)
{
    pthread_mutex_lock(&p->lock);
    double joules = joules_until(p, to_us) - joules_until(p, from_us);
    pthread_mutex_unlock(&p->lock);
    return joules;
}

int32_t power_readings(struct power *p)
{
    pthread_mutex_lock(&p->lock);
    int32_t n = p->n;
    pthread_mutex_unlock(&p->lock);
    return n;
}

int32_t power_failures(struct power *p)
{
    pthread_mutex_lock(&p->lock);
    int32_t n = p->failures;
    pthread_mutex_unlock(&p->lock);
    return n;
}
