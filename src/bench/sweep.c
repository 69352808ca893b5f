#include "bench/sweep.h"

#include "base/arena.h"

#include <stdlib.h>

// Long enough that a token more or less is little, short enough to cost nothing.
enum { SCALE_SHORT_TOK = 100, SCALE_LONG_TOK = 1000 };
enum { SIDES_MAX = 2, TURNS_MAX = 2, RUNS_MAX = SWEEP_REPEATS * TURNS_MAX, REQUESTS_A_USER = 2 };

// A supplier while it is measured.
struct side {
    struct sweep *s;
    struct load_result *runs;  // [RUNS_MAX] of the level that it is at
    int32_t n_runs;
    double asked_s, ended_s;  // of these together
    int32_t below;            // row of the level before; -1: none
    bool resting;             // saturated, for the rest of these levels
    bool over;                // for good
};

struct work {
    const struct sweep_config *c;
    struct side sides[SIDES_MAX];
    int32_t n_sides;
    uint64_t n_levels;
};

static bool stopped(const struct sweep_config *c)
{
    return c->stop && *c->stop;
}

// --- how long a token is ----------------------------------------------------------------------

// Mean length of a prompt as the supplier counts it; 0: it does not. ERR_PROTOCOL: no answer.
static enum err count_prompt(int32_t *tok, size_t *bytes, const struct sweep_config *c,
                             struct sweep *s, int32_t asked, struct diag *diag)
{
    struct prompt_scale guess;
    struct load_result r;
    prompt_scale_guess(&guess);
    struct load_plan plan = {.users = 1,
                             .prompt_tok = asked,
                             .output_tok = 2,
                             .requests = 1,
                             .time_us = c->time_us,
                             .seed = c->seed,
                             .stop = c->stop};
    bool answered = load_run(&r, &s->target, &guess, &plan, &s->purse);
    enum err e = ERR_NONE;
    if (answered)
        *tok = r.counted[0].counted ? r.counted[0].prompt_tok : 0;
    else if (s->purse.stopped)
        e = diag_set(diag, ERR_LIMIT, "what may be spent is too little for a first question");
    else
        e = diag_set(diag, ERR_PROTOCOL, "the supplier does not answer: %s",
                     r.why[0]     ? r.why
                     : stopped(c) ? "it was stopped before"
                                  : "nothing came in time");
    *bytes = prompt_bytes(&guess, asked);
    load_release(&r);
    return e;
}

static enum err find_scale(const struct sweep_config *c, struct sweep *s, struct diag *diag)
{
    int32_t tok_a = 0, tok_b = 0;
    size_t bytes_a, bytes_b;
    enum err e = count_prompt(&tok_a, &bytes_a, c, s, SCALE_SHORT_TOK, diag);
    if (!e)
        e = count_prompt(&tok_b, &bytes_b, c, s, SCALE_LONG_TOK, diag);
    if (!e)
        prompt_scale_fit(&s->scale, bytes_a, tok_a, bytes_b, tok_b);
    return e;
}

// --- one level --------------------------------------------------------------------------------

static void run_once(struct side *side, struct load_plan *plan, uint64_t seed)
{
    struct load_result *run = &side->runs[side->n_runs++];
    plan->seed = mix64(seed + (uint64_t)side->n_runs);
    struct power *power = side->s->power;
    if (power)
        power_mark(power);
    load_run(run, &side->s->target, &side->s->scale, plan, &side->s->purse);
    if (power) {
        power_mark(power);
        run->joules = power_joules(power, run->from_us, run->to_us);
    }
    side->asked_s += run->asked_s;
    side->ended_s += run->ended_s;
}

// All turns of a level: A, or A B B A, as often as it is repeated.
static void run_turns(struct work *w, struct load_plan *plan)
{
    static const int32_t order[] = {0, 1, 1, 0};
    int32_t turns = w->n_sides == 1 ? 1 : (int32_t)COUNTOF(order);
    uint64_t seed = w->c->seed + w->n_levels++ * RUNS_MAX;
    for (int32_t k = 0; k < w->c->repeats * turns; k++) {
        struct side *side = &w->sides[order[k % turns]];
        if (!side->over && !side->resting && !side->s->purse.stopped && !stopped(w->c))
            run_once(side, plan, seed);
    }
}

// The row that the runs of a level make. The supplier is over when its purse is empty.
static void end_level(struct work *w, struct side *side, const struct load_plan *plan)
{
    struct sweep *s = side->s;
    struct row *row = &s->rows[s->n];
    struct rng rng;
    rng_seed(&rng, w->c->seed);
    row_fill(row, plan, side->runs, side->n_runs, &rng);
    row->energy.idle_w = s->idle_w;
    for (int32_t i = 0; i < side->n_runs; i++)
        load_release(&side->runs[i]);
    bool empty = row->n == 0 && row->errors == 0;  // nothing was asked: there is no row
    side->over = empty || s->purse.stopped || s->n + 1 == SWEEP_ROWS;
    if (empty) {
        row_release(row);
    } else {
        const struct row *below = side->below >= 0 ? &s->rows[side->below] : NULL;
        row->partial = stopped(w->c);
        row->saturated =
            !row->partial && row_is_saturated(row, below, side->asked_s, side->ended_s);
        side->resting = row->saturated && !w->c->whole;
        side->below = s->n++;
        if (w->c->told)
            w->c->told(w->c->ctx, (int32_t)(side - w->sides), row);
    }
    side->n_runs = 0;
    side->asked_s = side->ended_s = 0;
}

// False: no supplier has anything more to do at levels like this.
static bool run_level(struct work *w, struct load_plan *plan)
{
    bool more = false;
    run_turns(w, plan);
    for (int32_t i = 0; i < w->n_sides; i++) {
        struct side *side = &w->sides[i];
        if (!side->over && !side->resting)
            end_level(w, side, plan);
        more = more || (!side->over && !side->resting);
    }
    return more && !stopped(w->c);
}

// --- all levels -------------------------------------------------------------------------------

static bool begin_levels(struct work *w)
{
    bool any = false;
    for (int32_t i = 0; i < w->n_sides; i++) {
        w->sides[i].resting = false;
        w->sides[i].below = -1;
        any = any || !w->sides[i].over;
    }
    return any && !stopped(w->c);
}

// Half of the requests in each of two turns, but enough of each user.
static int32_t requests_of(const struct work *w, int32_t users)
{
    int32_t least = users * REQUESTS_A_USER, share = (w->c->requests + w->n_sides - 1) / w->n_sides;
    return share > least ? share : least;
}

// Levels of one length, closed loop first; each kind until all are saturated.
static void run_levels(struct work *w, struct load_plan plan)
{
    const struct sweep_config *c = w->c;
    bool more = begin_levels(w);
    for (int32_t i = 0; i < c->n_users && more; i++) {
        plan.users = c->users[i];
        plan.requests = requests_of(w, plan.users);
        more = run_level(w, &plan);
    }
    plan.users = 0;
    plan.requests = requests_of(w, 0);
    more = begin_levels(w);
    for (int32_t i = 0; i < c->n_rates && more; i++) {
        plan.rate_per_s = c->rates[i];
        more = run_level(w, &plan);
    }
}

static void run_lengths(struct work *w)
{
    const struct sweep_config *c = w->c;
    for (int32_t warm = 0; warm < 2; warm++)
        for (int32_t i = 0; i < c->n_prompts; i++)
            for (int32_t k = 0; k < c->n_outputs; k++) {
                if (!(warm ? c->warm : c->cold))
                    continue;
                run_levels(w, (struct load_plan){.prompt_tok = c->prompts[i],
                                                 .output_tok = c->outputs[k],
                                                 .warm = warm,
                                                 .vary = c->vary,
                                                 .warm_up = c->warm_up,
                                                 .time_us = c->time_us,
                                                 .stop = c->stop});
            }
}

static enum err begin(struct work *w, struct sweep *sides, struct diag *diag)
{
    enum err e = ERR_NONE;
    for (int32_t i = 0; i < w->n_sides; i++) {
        sides[i].rows = take_n(sizeof(struct row), SWEEP_ROWS);
        w->sides[i] = (struct side){
            .s = &sides[i], .runs = take_n(sizeof(struct load_result), RUNS_MAX), .below = -1};
    }
    for (int32_t i = 0; i < w->n_sides && !e; i++) {
        e = find_scale(w->c, &sides[i], diag);
        sides[i].scale = sides[0].scale;
    }
    return e;
}

enum err sweep_run(struct sweep *sides, int32_t n_sides, const struct sweep_config *c,
                   struct diag *diag)
{
    CHECK(n_sides >= 1 && n_sides <= SIDES_MAX && c->repeats <= SWEEP_REPEATS);
    struct work w = {.c = c, .n_sides = n_sides};
    enum err e = begin(&w, sides, diag);
    if (!e)
        run_lengths(&w);
    for (int32_t i = 0; i < n_sides; i++) {
        sides[i].out_of_tokens = sides[i].purse.stopped;
        free(w.sides[i].runs);
        if (!e && sides[i].n == 0)
            e = diag_set(diag, ERR_LIMIT, "not one level could be measured: %s",
                         sides[i].out_of_tokens ? "what may be spent is too little"
                         : stopped(c)           ? "it was stopped before"
                                                : "nothing was answered in time");
    }
    return e;
}

void sweep_release(struct sweep *s)
{
    for (int32_t i = 0; i < s->n; i++)
        row_release(&s->rows[i]);
    free(s->rows);
    *s = (struct sweep){0};
}
