#include "gateway/exchange_list.h"
#include "gateway/admin_calls.h"
#include "gateway/exchange_parts.h"

#include <inttypes.h>
#include <stdlib.h>

enum { SHOWN_MAX = 1000, SHOWN_BYTES_MAX = 4 * 1024 * 1024 };  // of all workers

void exchange_list_add(struct exchange *x)
{
    struct worker *w = x->worker;
    x->older = w->exchanges;
    if (w->exchanges)
        w->exchanges->newer = x;
    w->exchanges = x;
}

void exchange_list_remove(struct exchange *x)
{
    *(x->newer ? &x->newer->older : &x->worker->exchanges) = x->older;
    if (x->older)
        x->older->newer = x->newer;
}

// --- leaving a pool ---------------------------------------------------------------------------

struct leave {
    struct worker *worker;
    struct str pool;
    char name[];
};

static void leave_of_worker(void *arg)
{
    struct leave *l = arg;
    struct exchange *older;
    for (struct exchange *x = l->worker->exchanges; x; x = older) {
        older = x->older;
        if (x->state != EXCHANGE_TRYING || !x->taken || attempt_over(&x->attempt) ||
            !str_eq(exchange_portfolio(x)->pools[x->decision.pool].name, l->pool))
            continue;
        attempt_cancel(&x->attempt);
        exchange_attempt_failed(x, FAULT_RESET, "an operator disabled the pool");
        if (x->state != EXCHANGE_OVER)
            exchange_arm(x);
    }
    free(l);
}

void exchanges_leave(struct gateway *g, struct str pool)
{
    for (int32_t i = 0; i < g->n_workers; i++) {
        struct leave *l = take(sizeof *l + pool.n);
        memcpy(l->name, pool.p, pool.n);
        l->worker = &g->workers[i];
        l->pool = (struct str){l->name, pool.n};
        loop_post(l->worker->loop, leave_of_worker, l);
    }
}

// --- showing ----------------------------------------------------------------------------------

struct show {
    struct admin_call *call;
    int32_t pending, each;  // workers; how many of each are shown
    struct show_part {
        struct show *show;
        struct worker *worker;
        struct buf out;
        int32_t n, left_out;
    } parts[];
};

static const char *const states[] = {"reading", "waiting", "trying", "relaying", "closing", "over"};

static void write_name(struct buf *out, const char *key, struct str name)
{
    buf_printf(out, ",\"%s\":", key);
    buf_add_json(out, name);
}

static void write_exchange(struct buf *out, const struct exchange *x)
{
    const struct portfolio *p = exchange_portfolio(x);
    int64_t now_us = exchange_now(x);
    buf_printf(out, "{\"id\":\"%s\",\"state\":\"%s\",\"age_s\":%.3f,\"stream\":%s,\"attempts\":%d",
               x->id, states[x->state], (double)(now_us - x->arrived_us) / 1e6,
               x->stream ? "true" : "false", x->n_sends);
    if (x->ask.tenant >= 0)
        write_name(out, "tenant", p->tenants[x->ask.tenant].name);
    if (x->ask.model >= 0 && x->rq)
        write_name(out, "model", p->models[x->ask.model].name);
    if (x->ask.class >= 0 && x->rq)
        write_name(out, "class", p->classes[x->ask.class].name);
    if (x->taken)
        write_name(out, "pool", p->pools[x->decision.pool].name);
    if (x->first_us)
        buf_printf(out, ",\"content_since_s\":%.3f", (double)(now_us - x->first_us) / 1e6);
    buf_printf(out, ",\"generation\":%" PRId64 "}", x->generation->serial);
}

// On the main loop.
static void on_shown(void *arg)
{
    struct show *s = arg;
    if (--s->pending)
        return;
    struct admin_call *call = s->call;
    int32_t n_workers = call->gateway->n_workers, left_out = 0;
    bool first = true;
    buf_lit(&call->out, "{\"requests\":[");
    for (int32_t i = 0; i < n_workers; i++) {
        if (!first && buf_len(&s->parts[i].out))
            buf_lit(&call->out, ",");
        first = first && !buf_len(&s->parts[i].out);
        buf_add_str(&call->out, buf_str(&s->parts[i].out));
        left_out += s->parts[i].left_out;
        buf_release(&s->parts[i].out);
    }
    buf_printf(&call->out, "],\"not_shown\":%d}", left_out);
    admin_answer(call, 200);
    free(s);
}

static void show_worker(void *arg)
{
    struct show_part *part = arg;
    for (const struct exchange *x = part->worker->exchanges; x; x = x->older) {
        if (x->state == EXCHANGE_OVER)
            continue;
        if (part->n == part->show->each) {
            part->left_out++;
            continue;
        }
        if (part->n++)
            buf_lit(&part->out, ",");
        write_exchange(&part->out, x);
    }
    loop_post(first_worker(part->worker->owner)->loop, on_shown, part->show);
}

void admin_requests(struct admin_call *call)
{
    struct gateway *g = call->gateway;
    struct show *s = take(sizeof *s + (size_t)g->n_workers * sizeof s->parts[0]);
    s->call = call;
    s->pending = g->n_workers;
    s->each = SHOWN_MAX / g->n_workers + 1;
    for (int32_t i = 0; i < g->n_workers; i++) {
        s->parts[i] = (struct show_part){.show = s, .worker = &g->workers[i]};
        buf_init(&s->parts[i].out, SHOWN_BYTES_MAX);
        loop_post(g->workers[i].loop, show_worker, &s->parts[i]);
    }
}
