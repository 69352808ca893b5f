#include "bench/agree_run.h"

#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_BYTES_MAX = 16 << 20, GUESS_BYTES_PER_TOK = 4 };
static const int64_t look_us = MS(50);  // so often at `stop`

struct run;

struct asker {  // one question at a time
    struct run *run;
    struct agree_side *side;
    struct caller *caller;
    int32_t question;
};

struct run {
    struct loop *loop;
    const struct agree_config *c;
    struct asker *askers;  // [AGREE_SIDES * users]
    int32_t n_askers, n_busy[AGREE_SIDES];
    int32_t next[AGREE_SIDES];  // question of each supplier
    struct agree_side *sides;
    struct timer look;
};

static void stop_if_idle(struct run *r)
{
    if (!r->n_busy[0] && !r->n_busy[1])
        loop_stop(r->loop);
}

static void ask_next(struct asker *k)
{
    struct run *r = k->run;
    ptrdiff_t number = k->side - r->sides;
    int32_t *next = &r->next[number], *n_busy = &r->n_busy[number];
    if (*next == r->c->questions->n)
        return;
    const struct agree_question *q = &r->c->questions->at[*next];
    double prompt_tok = (double)(q->prompt.n + q->messages.n) / GUESS_BYTES_PER_TOK;
    if (!purse_affords(&k->side->purse, *n_busy + 1, prompt_tok, r->c->output_tok))
        return;
    k->question = (*next)++;
    (*n_busy)++;
    caller_ask(k->caller, &(struct question){.prompt = q->prompt,
                                             .messages = q->messages,
                                             .output_tok = r->c->output_tok,
                                             .due_us = loop_now_us(r->loop),
                                             .text = &k->side->answers[k->question].text,
                                             .seed = r->c->seed});
}

static void on_done(void *ctx, struct caller *c, const struct sample *s, const char *why)
{
    struct asker *k = ctx;
    (void)c;
    struct agree_answer *answer = &k->side->answers[k->question];
    k->run->n_busy[k->side - k->run->sides]--;
    if (!s->failed || s->first_us)
        purse_pay(&k->side->purse, s->prompt_tok, s->output_tok);
    answer->answered = !s->failed;
    k->side->n_failed += s->failed;
    snprintf(answer->why, sizeof answer->why, "%.*s", LOAD_WHY_BYTES - 1, why);
    ask_next(k);
    stop_if_idle(k->run);
}

static void on_look(struct timer *t)
{
    struct run *r = CONTAINER_OF(t, struct run, look);
    if (!*r->c->stop) {
        timer_set(r->loop, t, loop_now_us(r->loop) + look_us);
        return;
    }
    for (int32_t i = 0; i < r->n_askers; i++)
        caller_drop(r->askers[i].caller);
    loop_stop(r->loop);
}

static void start(void *arg)
{
    struct run *r = arg;
    for (int32_t i = 0; i < r->n_askers; i++) {
        struct asker *k = &r->askers[i];
        k->caller = caller_new(r->loop, &k->side->target, on_done, k);
    }
    for (int32_t i = 0; i < r->n_askers; i++)
        ask_next(&r->askers[i]);
    timer_set(r->loop, &r->look, loop_now_us(r->loop) + look_us);
    stop_if_idle(r);
}

enum err agree_run(struct agree_side sides[AGREE_SIDES], const struct agree_config *c,
                   struct diag *diag)
{
    struct run r = {.c = c, .sides = sides, .n_askers = AGREE_SIDES * c->users};
    enum err e = loop_new(&r.loop, diag);
    if (e)
        return e;
    r.look.fire = on_look;
    r.askers = take_n(sizeof *r.askers, (size_t)r.n_askers);
    for (int32_t i = 0; i < r.n_askers; i++)
        r.askers[i] = (struct asker){.run = &r, .side = &sides[i % AGREE_SIDES]};
    for (int32_t i = 0; i < AGREE_SIDES; i++) {
        sides[i].answers = take_n(sizeof *sides[i].answers, (size_t)c->questions->n);
        for (int32_t k = 0; k < c->questions->n; k++)
            buf_init(&sides[i].answers[k].text, ANSWER_BYTES_MAX);
    }
    loop_post(r.loop, start, &r);
    loop_run(r.loop);
    loop_free(r.loop);
    for (int32_t i = 0; i < r.n_askers; i++)
        caller_free(r.askers[i].caller);
    free(r.askers);
    return ERR_NONE;
}

void agree_side_release(struct agree_side *s, int32_t n)
{
    for (int32_t i = 0; s->answers && i < n; i++)
        buf_release(&s->answers[i].text);
    free(s->answers);
    s->answers = NULL;
}

// --- agreement --------------------------------------------------------------------------------

static bool same_normal(struct str a, struct str b)
{
    struct buf x, y;
    buf_init(&x, ANSWER_BYTES_MAX * 2);
    buf_init(&y, ANSWER_BYTES_MAX * 2);
    agree_normal(&x, a);
    agree_normal(&y, b);
    bool same = str_cmp(buf_str(&x), buf_str(&y)) == 0;
    buf_release(&x);
    buf_release(&y);
    return same;
}

struct agreement agreement_of(const struct agree_question *q, const struct agree_answer *first,
                              const struct agree_answer *second)
{
    struct str a = buf_str(&first->text), b = buf_str(&second->text);
    struct agreement out = {.exact = str_cmp(a, b) == 0, .checked = q->check.kind != CHECK_NONE};
    out.normal = out.exact || same_normal(a, b);
    if (out.checked) {
        out.right[0] = agree_is_right(&q->check, a);
        out.right[1] = agree_is_right(&q->check, b);
    }
    return out;
}

void agree_count(struct agree_counts *c, const struct agreement *a)
{
    c->n++;
    c->exact += a->exact;
    c->normal += a->normal;
    if (!a->checked)
        return;
    c->checked++;
    c->both += a->right[0] && a->right[1];
    c->neither += !a->right[0] && !a->right[1];
    c->only[0] += a->right[0] && !a->right[1];
    c->only[1] += a->right[1] && !a->right[0];
}
