#include "bench/validate.h"

#include "base/rng.h"
#include "bench/figures.h"

#include <math.h>
#include <stdlib.h>

static double time_of(const struct measured *m, enum fit_kind kind)
{
    return kind == FIT_TTFT ? m->ttft_us : m->per_token_us;
}

static struct fit_sample sample_of(const struct measured *m, enum fit_kind kind)
{
    return (struct fit_sample){
        .batch = m->batch, .prompt = m->prompt, .output = m->output, .us = time_of(m, kind)};
}

// What is learnt from: both times of some rows.
struct learner {
    const struct measured_table *t;
    struct fit_sample *steps, *firsts;  // [n], [n_firsts]
    int32_t n, n_firsts;
};

static void learner_init(struct learner *l, const struct measured_table *t)
{
    *l = (struct learner){.t = t,
                          .steps = take_n(sizeof *l->steps, (size_t)t->n + 1),
                          .firsts = take_n(sizeof *l->firsts, (size_t)t->n + 1)};
}

static void learner_release(struct learner *l)
{
    free(l->steps);
    free(l->firsts);
}

static void learner_add(struct learner *l, int32_t i)
{
    const struct measured *m = &l->t->rows[i];
    l->steps[l->n++] = sample_of(m, FIT_STEP);
    if (!m->queued)
        l->firsts[l->n_firsts++] = sample_of(m, FIT_TTFT);
}

bool validate_service(struct service *out, const struct measured_table *t, int32_t from, int32_t to)
{
    struct learner l;
    learner_init(&l, t);
    for (int32_t i = from; i < to; i++)
        learner_add(&l, i);
    bool fitted = fit_service(out, l.steps, l.n, l.firsts, l.n_firsts);
    learner_release(&l);
    return fitted;
}

static bool same_machine(const struct measured *a, const struct measured *b)
{
    return str_eq(a->model, b->model) && str_eq(a->system, b->system);
}

static int32_t end_of_config(const struct measured_table *t, int32_t from)
{
    int32_t to = from;
    while (to < t->n && t->rows[to].config == t->rows[from].config)
        to++;
    return to;
}

static int32_t end_of_machine(const struct measured_table *t, int32_t from)
{
    int32_t to = from;
    while (to < t->n && same_machine(&t->rows[to], &t->rows[from]))
        to++;
    return to;
}

static bool is_repeat(const struct measured *a, const struct measured *b)
{
    return a->config == b->config && a->prompt == b->prompt && a->output == b->output &&
           a->batch == b->batch;
}

// Deals the rows of one (model, system) to the folds, as evenly as it goes.
static void deal(int32_t *fold, const struct measured_table *t, int32_t from, int32_t to,
                 bool apart, struct rng *rng)
{
    for (int32_t i = from; i < to; i++)
        fold[i] = (i - from) % FOLDS;
    for (int32_t i = to - 1; i > from; i--) {
        int32_t j = from + (int32_t)rng_below(rng, (uint64_t)(i - from + 1)), kept = fold[i];
        fold[i] = fold[j];
        fold[j] = kept;
    }
    for (int32_t i = from + 1; apart && i < to; i++)  // repeats are neighbours in the table
        if (is_repeat(&t->rows[i - 1], &t->rows[i]))
            fold[i] = fold[i - 1];
}

// Judges rows from..to that are in fold `k` by what was learnt.
static void judge(double *out, const struct learner *l, const struct trial *x, const int32_t *fold,
                  int32_t k, int32_t from, int32_t to)
{
    struct service service;
    struct fit *f = NULL;
    bool first = x->of == FIT_TTFT;
    bool known = (first ? l->n_firsts : l->n) >= TRAIN_LEAST;
    if (known && x->by == FITTED_SERVICE)
        known = fit_service(&service, l->steps, l->n, l->firsts, l->n_firsts);
    else if (known)
        f = fit_new(x->of, first ? l->firsts : l->steps, first ? l->n_firsts : l->n,
                    x->by == FITTED_CURVE);
    for (int32_t i = from; i < to; i++) {
        if (fold && fold[i] != k)
            continue;
        bool judged = known && !(first && l->t->rows[i].queued);
        struct fit_sample s = sample_of(&l->t->rows[i], x->of);
        double us = 0;
        if (f)
            us = fit_us(f, s.batch, s.prompt, s.output);
        else if (known)
            us = x->of == FIT_TTFT ? service_ttft_us(&service, s.batch, s.prompt)
                                   : service_per_token_us(&service, s.batch, s.prompt, s.output);
        out[i] = judged ? fabs(us / s.us - 1) : -1;
    }
    fit_free(f);
}

void validate_seen(double *out, const struct measured_table *t, const struct trial *x,
                   uint64_t seed)
{
    struct rng rng;
    struct learner l;
    int32_t *fold = take_n(sizeof *fold, (size_t)t->n + 1);
    learner_init(&l, t);
    rng_seed(&rng, seed);
    for (int32_t i = 0; i < t->n; i = end_of_machine(t, i))
        deal(fold, t, i, end_of_machine(t, i), x->apart, &rng);
    for (int32_t from = 0; from < t->n; from = end_of_config(t, from)) {
        int32_t to = end_of_config(t, from);
        for (int32_t k = 0; k < FOLDS; k++) {
            l.n = l.n_firsts = 0;
            for (int32_t i = from; i < to; i++)
                if (fold[i] != k)
                    learner_add(&l, i);
            judge(out, &l, x, fold, k, from, to);
        }
    }
    learner_release(&l);
    free(fold);
}

void validate_unseen(double *out, const struct measured_table *t, const struct trial *x)
{
    struct learner l;
    int32_t machine = 0, machine_end = 0;
    learner_init(&l, t);
    for (int32_t from = 0; from < t->n; from = end_of_config(t, from)) {
        int32_t to = end_of_config(t, from);
        if (from >= machine_end) {
            machine = from;
            machine_end = end_of_machine(t, from);
        }
        l.n = l.n_firsts = 0;
        for (int32_t i = machine; i < machine_end; i++)
            if (i < from || i >= to)
                learner_add(&l, i);
        judge(out, &l, x, NULL, 0, from, to);
    }
    learner_release(&l);
}

static bool is_copy(double a, double b)
{
    return fabs(a / b - 1) < 1e-3;
}

// Rows from..to are repeats of one measurement.
static void judge_repeats(double *out, const struct measured_table *t, enum fit_kind kind,
                          int32_t from, int32_t to)
{
    double sum = 0;
    int32_t n = 0;
    for (int32_t i = from; i < to; i++) {
        double us = time_of(&t->rows[i], kind);
        bool copied = false;
        for (int32_t j = from; j < i && !copied; j++)
            copied = is_copy(us, time_of(&t->rows[j], kind));
        out[i] = copied ? -1 : 0;
        sum += copied ? 0 : us;
        n += !copied;
    }
    for (int32_t i = from; i < to; i++) {
        double us = time_of(&t->rows[i], kind);
        if (out[i] == 0)
            out[i] = n > 1 ? fabs((sum - us) / (n - 1) / us - 1) : -1;
    }
}

void validate_repeats(double *step, double *first, const struct measured_table *t)
{
    for (int32_t from = 0, to; from < t->n; from = to) {
        for (to = from + 1; to < t->n && is_repeat(&t->rows[from], &t->rows[to]);)
            to++;
        judge_repeats(step, t, FIT_STEP, from, to);
        judge_repeats(first, t, FIT_TTFT, from, to);
    }
}

struct error_summary error_summary_of(const double *errors, int32_t n)
{
    struct error_summary s = {.n = 0};
    double *v = take_n(sizeof *v, (size_t)n + 1);
    for (int32_t i = 0; i < n; i++)
        if (errors[i] >= 0)
            v[s.n++] = errors[i];
    s.median = quantile_of(v, s.n, 0.5);
    s.p90 = quantile_of(v, s.n, 0.9);
    free(v);
    return s;
}
