#include "bench/load.h"

#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>

enum { CALLERS_MAX = 4096, ERRORS_IN_A_ROW = 20, PROMPT_BYTES_MAX = 64 << 20 };
static const int64_t look_us = MS(50);  // so often at `stop`

struct load {
    struct loop *loop;
    const struct bench_target *target;
    const struct prompt_scale *scale;
    const struct load_plan *plan;
    struct purse *purse;
    struct load_result *out;
    struct caller *callers[CALLERS_MAX];
    int32_t *answers;  // [callers] of each, warm-up and all
    int32_t n_callers, n_busy, n_warm, errors_in_a_row;
    uint64_t n_asked;
    size_t room_counted, room_all;
    struct rng rng;
    struct timer next, end, look;
    int64_t from_us;  // what was due from here on counts
    int64_t due_us;   // open: of the next request
    int64_t first_due_us, last_due_us, first_end_us, last_end_us;  // of those that count
    bool over;                                                     // nothing new is asked
    struct buf prompt;
};

// --- asking -----------------------------------------------------------------------------------

static void end_load(struct load *l)
{
    l->over = true;
    timer_stop(l->loop, &l->next);
    timer_stop(l->loop, &l->end);
    if (l->n_busy == 0)
        loop_stop(l->loop);
}

static void on_look(struct timer *t)
{
    struct load *l = CONTAINER_OF(t, struct load, look);
    if (!*l->plan->stop) {
        timer_set(l->loop, &l->look, loop_now_us(l->loop) + look_us);
        return;
    }
    for (int32_t i = 0; i < l->n_callers; i++)
        caller_drop(l->callers[i]);
    l->n_busy = 0;
    end_load(l);
}

// Users who all get as many tokens fall into step: their prompts are read together, when nobody is
// written an answer, and what a prompt costs the others is not to be seen.
static int32_t output_tok(const struct load_plan *plan, uint64_t number)
{
    int32_t tok = plan->output_tok;
    if (!plan->vary || tok < 2)
        return tok;
    return tok - tok / 2 +
           (int32_t)(mix64(plan->seed ^ mix64(number)) % (uint64_t)(tok / 2 * 2 + 1));
}

static int32_t output_tok_most(const struct load_plan *plan)
{
    return plan->vary ? plan->output_tok + plan->output_tok / 2 : plan->output_tok;
}

// What is under way counts as spent until its own count comes.
static bool ask(struct load *l, struct caller *c, int64_t due_us)
{
    if (!purse_affords(l->purse, l->n_busy + 1, l->plan->prompt_tok, output_tok_most(l->plan))) {
        end_load(l);
        return false;
    }
    buf_clear(&l->prompt);
    prompt_write(&l->prompt, prompt_bytes(l->scale, l->plan->prompt_tok), l->plan->seed, l->n_asked,
                 l->plan->warm);
    l->n_busy++;
    caller_ask(c, &(struct question){.prompt = buf_str(&l->prompt),
                                     .output_tok = output_tok(l->plan, l->n_asked++),
                                     .due_us = due_us,
                                     .gaps = l->from_us == NEVER ? NULL : &l->out->gaps});
    return true;
}

// --- answers ----------------------------------------------------------------------------------

static void keep(struct sample **list, int32_t *n, size_t *room, const struct sample *s)
{
    *list = take_more(*list, room, (size_t)*n + 1, sizeof **list);
    (*list)[(*n)++] = *s;
}

static void pay(struct purse *a, const struct load_plan *p, const struct sample *s)
{
    double prompt_tok = s->counted ? s->prompt_tok : p->prompt_tok;
    double output_tok = s->failed && !s->counted ? 0 : s->output_tok;
    if (s->failed && !s->first_us)
        return;
    purse_pay(a, prompt_tok, output_tok);
}

static void count(struct load *l, const struct sample *s)
{
    struct load_result *out = l->out;
    keep(&out->all, &out->n_all, &l->room_all, s);
    if (s->due_us < l->from_us || out->n_counted >= l->plan->requests)
        return;
    if (out->n_counted == 0) {
        l->first_due_us = s->due_us;
        l->first_end_us = s->end_us;
    }
    l->first_due_us = min_i64(l->first_due_us, s->due_us);
    l->last_due_us = max_i64(l->last_due_us, s->due_us);
    l->last_end_us = s->end_us;
    keep(&out->counted, &out->n_counted, &l->room_counted, s);
}

static void on_error(struct load *l, const char *why)
{
    l->out->errors++;
    if (!l->out->why[0])
        snprintf(l->out->why, sizeof l->out->why, "%s", why);
    if (++l->errors_in_a_row >= ERRORS_IN_A_ROW)
        end_load(l);
}

static int32_t number_of(const struct load *l, const struct caller *c)
{
    int32_t i = 0;
    while (i < l->n_callers && l->callers[i] != c)
        i++;
    CHECK(i < l->n_callers);
    return i;
}

static void ask_due(struct load *l);

static void on_done(void *ctx, struct caller *c, const struct sample *s, const char *why)
{
    struct load *l = ctx;
    l->n_busy--;
    pay(l->purse, l->plan, s);
    if (s->failed) {
        on_error(l, why);
    } else {
        l->errors_in_a_row = 0;
        if (++l->answers[number_of(l, c)] == l->plan->warm_up && l->plan->users &&
            ++l->n_warm == l->plan->users)
            l->from_us = loop_now_us(l->loop);
        count(l, s);
    }
    if (!l->over && l->out->n_counted >= l->plan->requests)
        end_load(l);
    if (!l->over && l->plan->users)
        ask(l, c, loop_now_us(l->loop));
    else if (!l->over)
        ask_due(l);
    if (l->n_busy == 0 && (l->over || l->due_us == NEVER))
        end_load(l);
}

// --- closed and open --------------------------------------------------------------------------

static struct caller *idle_caller(struct load *l)
{
    for (int32_t i = 0; i < l->n_callers; i++)
        if (!caller_busy(l->callers[i]))
            return l->callers[i];
    if (l->n_callers == CALLERS_MAX)
        return NULL;
    l->callers[l->n_callers] = caller_new(l->loop, l->target, on_done, l);
    return l->callers[l->n_callers++];
}

// All that is due. Who finds no caller free is asked for later, and counts from when it was due.
static void ask_due(struct load *l)
{
    int64_t now_us = loop_now_us(l->loop);
    while (!l->over && l->due_us <= now_us) {
        struct caller *c = idle_caller(l);
        if (!c)
            return;
        if (l->n_asked == (uint64_t)l->plan->warm_up)
            l->from_us = l->due_us;
        if (!ask(l, c, l->due_us))
            return;
        if (l->n_asked == (uint64_t)l->plan->warm_up + (uint64_t)l->plan->requests)
            l->due_us = NEVER;
        else
            l->due_us += (int64_t)rng_exponential(&l->rng, 1e6 / l->plan->rate_per_s) + 1;
    }
    if (!l->over && l->due_us != NEVER)
        timer_set(l->loop, &l->next, l->due_us);
}

static void on_next(struct timer *t)
{
    ask_due(CONTAINER_OF(t, struct load, next));
}

static void on_end(struct timer *t)
{
    end_load(CONTAINER_OF(t, struct load, end));
}

static void start(void *arg)
{
    struct load *l = arg;
    int64_t now_us = loop_now_us(l->loop);
    timer_set(l->loop, &l->end, now_us + l->plan->time_us);
    if (l->plan->stop)
        timer_set(l->loop, &l->look, now_us);
    l->due_us = now_us;
    l->from_us = l->plan->warm_up == 0 ? now_us : NEVER;
    for (int32_t i = 0; i < l->plan->users && !l->over; i++)
        ask(l, idle_caller(l), now_us);
    if (!l->plan->users)
        ask_due(l);
}

static void drop_callers(struct load *l)
{
    for (int32_t i = 0; i < l->n_callers; i++)
        caller_free(l->callers[i]);
}

bool load_run(struct load_result *out, const struct bench_target *t,
              const struct prompt_scale *scale, const struct load_plan *plan, struct purse *a)
{
    struct load *l = take(sizeof *l);
    struct diag diag = {0};
    CHECK(plan->users <= CALLERS_MAX);
    *out = (struct load_result){0};
    *l = (struct load){.target = t, .scale = scale, .plan = plan, .purse = a, .out = out};
    l->answers = take_n(sizeof *l->answers, CALLERS_MAX);
    l->next.fire = on_next;
    l->end.fire = on_end;
    l->look.fire = on_look;
    buf_init(&l->prompt, PROMPT_BYTES_MAX);
    rng_seed(&l->rng, plan->seed);
    if (loop_new(&l->loop, &diag)) {
        snprintf(out->why, sizeof out->why, "%.*s", LOAD_WHY_BYTES - 1, diag.text);
    } else {
        loop_post(l->loop, start, l);
        loop_run(l->loop);
        loop_free(l->loop);
    }
    out->asked_s = (double)(l->last_due_us - l->first_due_us) / 1e6;
    out->ended_s = (double)(l->last_end_us - l->first_end_us) / 1e6;
    out->from_us = l->first_due_us;
    out->to_us = l->last_end_us;
    drop_callers(l);
    buf_release(&l->prompt);
    free(l->answers);
    free(l);
    return out->n_counted > 0;
}

void load_release(struct load_result *r)
{
    free(r->counted);
    free(r->all);
    *r = (struct load_result){0};
}
