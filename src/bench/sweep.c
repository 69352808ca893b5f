#include "bench/sweep.h"

#include "base/arena.h"

#include <stdlib.h>

// Long enough that a token more or less is little, short enough to cost nothing.
enum { SCALE_SHORT_TOK = 100, SCALE_LONG_TOK = 1000, REPEATS_MAX = 100, REQUESTS_A_USER = 2 };

// Mean length of a prompt as the supplier counts it; 0: it does not. ERR_PROTOCOL: no answer.
static enum err count_prompt(int32_t *tok, size_t *bytes, const struct sweep_config *c,
                             struct purse *a, int32_t asked, struct diag *diag)
{
    struct prompt_scale guess;
    struct load_result r;
    prompt_scale_guess(&guess);
    struct load_plan plan = {.users = 1,
                             .prompt_tok = asked,
                             .output_tok = 2,
                             .requests = 1,
                             .time_us = c->time_us,
                             .seed = c->seed};
    bool answered = load_run(&r, &c->target, &guess, &plan, a);
    enum err e = ERR_NONE;
    if (answered)
        *tok = r.counted[0].counted ? r.counted[0].prompt_tok : 0;
    else if (a->stopped)
        e = diag_set(diag, ERR_LIMIT, "what may be spent is too little for a first question");
    else
        e = diag_set(diag, ERR_PROTOCOL, "the supplier does not answer: %s",
                     r.why[0] ? r.why : "nothing came in time");
    *bytes = prompt_bytes(&guess, asked);
    load_release(&r);
    return e;
}

static enum err find_scale(struct prompt_scale *out, const struct sweep_config *c, struct purse *a,
                           struct diag *diag)
{
    int32_t tok_a = 0, tok_b = 0;
    size_t bytes_a, bytes_b;
    enum err e = count_prompt(&tok_a, &bytes_a, c, a, SCALE_SHORT_TOK, diag);
    if (!e)
        e = count_prompt(&tok_b, &bytes_b, c, a, SCALE_LONG_TOK, diag);
    if (!e)
        prompt_scale_fit(out, bytes_a, tok_a, bytes_b, tok_b);
    return e;
}

static int32_t requests_of(const struct sweep_config *c, int32_t users)
{
    int32_t least = users * REQUESTS_A_USER;
    return c->requests > least ? c->requests : least;
}

// One level: all its repeats, and the row they make. False: the sweep is over.
static bool run_level(struct sweep *s, const struct sweep_config *c, struct purse *a,
                      struct load_plan *plan, const struct row *below)
{
    struct load_result *runs = take_n(sizeof *runs, REPEATS_MAX);
    struct rng rng;
    double asked_s = 0, ended_s = 0;
    int32_t n = 0, repeats = c->repeats < REPEATS_MAX ? c->repeats : REPEATS_MAX;
    while (n < repeats && !a->stopped) {
        plan->seed = mix64(c->seed + (uint64_t)s->n * REPEATS_MAX + (uint64_t)n);
        load_run(&runs[n], &c->target, &s->scale, plan, a);
        asked_s += runs[n].asked_s;
        ended_s += runs[n++].ended_s;
    }
    struct row *row = &s->rows[s->n];
    rng_seed(&rng, c->seed);
    row_fill(row, plan, runs, n, &rng);
    for (int32_t i = 0; i < n; i++)
        load_release(&runs[i]);
    free(runs);
    if (row->n == 0 && row->errors == 0) {  // nothing was asked: there is no row
        row_release(row);
        return false;
    }
    row->saturated = row_is_saturated(row, below, asked_s, ended_s);
    s->n++;
    if (c->told)
        c->told(c->ctx, row);
    return !a->stopped && s->n < SWEEP_ROWS;
}

// Levels of one length, closed loop first; each kind until it is saturated. False: all is over.
static bool run_levels(struct sweep *s, const struct sweep_config *c, struct purse *a,
                       struct load_plan plan)
{
    const struct row *below = NULL;
    for (int32_t i = 0; i < c->n_users; i++) {
        plan.users = c->users[i];
        plan.requests = requests_of(c, plan.users);
        plan.warm_up = c->warm_up;
        if (!run_level(s, c, a, &plan, below))
            return false;
        below = &s->rows[s->n - 1];
        if (below->saturated && !c->whole)
            break;
    }
    plan.users = 0;
    for (int32_t i = 0; i < c->n_rates; i++) {
        plan.rate_per_s = c->rates[i];
        plan.requests = c->requests;
        plan.warm_up = c->warm_up;
        if (!run_level(s, c, a, &plan, NULL))
            return false;
        if (s->rows[s->n - 1].saturated && !c->whole)
            break;
    }
    return true;
}

static void run_lengths(struct sweep *s, const struct sweep_config *c, struct purse *a)
{
    for (int32_t warm = 0; warm < 2; warm++)
        for (int32_t i = 0; i < c->n_prompts; i++)
            for (int32_t k = 0; k < c->n_outputs; k++) {
                if (!(warm ? c->warm : c->cold))
                    continue;
                struct load_plan plan = {.prompt_tok = c->prompts[i],
                                         .output_tok = c->outputs[k],
                                         .warm = warm,
                                         .time_us = c->time_us};
                if (!run_levels(s, c, a, plan))
                    return;
            }
}

enum err sweep_run(struct sweep *out, const struct sweep_config *c, struct purse *a,
                   struct diag *diag)
{
    *out = (struct sweep){.rows = take_n(sizeof(struct row), SWEEP_ROWS)};
    enum err e = find_scale(&out->scale, c, a, diag);
    if (c->scale)
        out->scale = *c->scale;
    if (!e)
        run_lengths(out, c, a);
    out->out_of_tokens = a->stopped;
    if (!e && out->n == 0)
        e = diag_set(diag, ERR_LIMIT, "not one level could be measured: %s",
                     a->stopped ? "what may be spent is too little"
                                : "nothing was answered in time");
    return e;
}

void sweep_release(struct sweep *s)
{
    for (int32_t i = 0; i < s->n; i++)
        row_release(&s->rows[i]);
    free(s->rows);
    *s = (struct sweep){0};
}
