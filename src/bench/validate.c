#include "bench/validate.h"

#include "base/rng.h"
#include "bench/figures.h"

#include <math.h>
#include <stdlib.h>

static struct fit_sample sample_of(const struct measured *m, enum fit_kind kind)
{
    return (struct fit_sample){.batch = m->batch,
                               .prompt = m->prompt,
                               .output = m->output,
                               .us = kind == FIT_TTFT ? m->ttft_us : m->per_token_us};
}

int32_t validate_samples(struct fit_sample *out, const struct measured_table *t, int32_t from,
                         int32_t to, enum fit_kind kind)
{
    for (int32_t i = from; i < to; i++)
        out[i - from] = sample_of(&t->rows[i], kind);
    return to - from;
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

// Deals the rows of one (model, system) to the folds, as evenly as it goes.
static void deal(int32_t *fold, int32_t from, int32_t to, struct rng *rng)
{
    for (int32_t i = from; i < to; i++)
        fold[i] = (i - from) % FOLDS;
    for (int32_t i = to - 1; i > from; i--) {
        int32_t j = from + (int32_t)rng_below(rng, (uint64_t)(i - from + 1)), kept = fold[i];
        fold[i] = fold[j];
        fold[j] = kept;
    }
}

static void judge(double *out, const struct measured_table *t, const struct fit *f, int32_t i,
                  enum fit_kind kind)
{
    struct fit_sample s = sample_of(&t->rows[i], kind);
    out[i] = fabs(fit_us(f, s.batch, s.prompt, s.output) / s.us - 1);
}

void validate_seen(double *out, const struct measured_table *t, enum fit_kind kind, bool corrected,
                   uint64_t seed)
{
    struct rng rng;
    int32_t *fold = take_n(sizeof *fold, (size_t)t->n + 1);
    struct fit_sample *train = take_n(sizeof *train, (size_t)t->n + 1);
    rng_seed(&rng, seed);
    for (int32_t i = 0; i < t->n; i = end_of_machine(t, i))
        deal(fold, i, end_of_machine(t, i), &rng);
    for (int32_t from = 0; from < t->n; from = end_of_config(t, from)) {
        int32_t to = end_of_config(t, from);
        for (int32_t k = 0; k < FOLDS; k++) {
            int32_t n = 0;
            for (int32_t i = from; i < to; i++)
                if (fold[i] != k)
                    train[n++] = sample_of(&t->rows[i], kind);
            struct fit *f = n >= TRAIN_LEAST ? fit_new(kind, train, n, corrected) : NULL;
            for (int32_t i = from; i < to; i++) {
                if (fold[i] != k)
                    continue;
                out[i] = -1;
                if (f)
                    judge(out, t, f, i, kind);
            }
            fit_free(f);
        }
    }
    free(train);
    free(fold);
}

void validate_unseen(double *out, const struct measured_table *t, enum fit_kind kind)
{
    struct fit_sample *train = take_n(sizeof *train, (size_t)t->n + 1);
    int32_t machine = 0, machine_end = 0;
    for (int32_t from = 0; from < t->n; from = end_of_config(t, from)) {
        int32_t to = end_of_config(t, from), n = 0;
        if (from >= machine_end) {
            machine = from;
            machine_end = end_of_machine(t, from);
        }
        for (int32_t i = machine; i < machine_end; i++)
            if (i < from || i >= to)
                train[n++] = sample_of(&t->rows[i], kind);
        struct fit *f = n >= TRAIN_LEAST ? fit_new(kind, train, n, false) : NULL;
        for (int32_t i = from; i < to; i++) {
            out[i] = -1;
            if (f)
                judge(out, t, f, i, kind);
        }
        fit_free(f);
    }
    free(train);
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
