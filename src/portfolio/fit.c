#include "portfolio/fit.h"

#include "base/arena.h"
#include "base/cholesky.h"
#include "base/rng.h"
#include "portfolio/squares.h"

#include <math.h>
#include <stdlib.h>

// How far a sample is felt, in units of the logarithm of each coordinate, and how much of what it
// says is taken for noise: of the values tried on perf/aic_silicon_sample those with the least
// median error by cross-validation (0.7 to 2; 0.03 to 0.3).
static const double REACH = 0.7, NOISE = 0.1;

_Static_assert((int)FIT_TERMS == (int)SQUARES_TERMS, "the solver's");

struct fit {
    enum fit_kind kind;
    double weight[FIT_TERMS];
    int32_t n;           // of neighbours; 0: not corrected
    double (*place)[3];  // [n] logarithms of batch, prompt, output
    double *pull;        // [n]
};

static void terms_at(double out[FIT_TERMS], enum fit_kind kind, double n, double p, double o)
{
    double context = p + o / 2;  // in the middle of its answer
    double others = n > 1 ? n - 1 : 0;
    out[0] = 1;
    if (kind == FIT_TTFT) {
        out[1] = p;
        out[2] = p * p;
        out[3] = others * p;
        out[4] = others;
        return;
    }
    out[1] = n;
    out[2] = n * context;
    out[3] = o > 0 ? others * p / o : 0;
    out[4] = sqrt(n);
}

// --- the sum ----------------------------------------------------------------------------------

// The least sum of distances by least squares, each sample weighed by one over how far off it was
// the last time (Lawson's way; Daubechies et al., 2010), and all within NEAR alike.
enum { ROUNDS = 8 };
static const double NEAR = 0.02;

static void row_of(double out[FIT_TERMS], const struct fit *f, const struct fit_sample *s)
{
    terms_at(out, f->kind, s->batch, s->prompt, s->output);
}

static void round_of(double weight[FIT_TERMS], const struct fit *f, const double most[FIT_TERMS],
                     const struct fit_sample *s, int32_t n)
{
    struct squares q = {.b = {0}};
    double row[FIT_TERMS];
    for (int32_t k = 0; k < n; k++) {
        double rest = 1 - s[k].known_us / s[k].us, off = -rest;
        row_of(row, f, &s[k]);
        for (int32_t i = 0; i < FIT_TERMS; i++) {
            row[i] = most[i] > 0 ? row[i] / most[i] / s[k].us : 0;
            off += row[i] * weight[i];
        }
        double pull = 1 / (fabs(off) > NEAR ? fabs(off) : NEAR);
        squares_add(&q, row, rest, pull);
    }
    squares_solve(weight, &q);
}

static void fit_sum(struct fit *f, const struct fit_sample *s, int32_t n)
{
    double row[FIT_TERMS], most[FIT_TERMS] = {0};
    for (int32_t k = 0; k < n; k++) {
        row_of(row, f, &s[k]);
        for (int32_t i = 0; i < FIT_TERMS; i++)
            most[i] = row[i] > most[i] ? row[i] : most[i];
    }
    for (int32_t k = 0; k <= ROUNDS; k++)
        round_of(f->weight, f, most, s, n);
    for (int32_t i = 0; i < FIT_TERMS; i++)
        f->weight[i] = most[i] > 0 ? f->weight[i] / most[i] : 0;
}

static double sum_at(const struct fit *f, double batch, double prompt, double output)
{
    double row[FIT_TERMS], us = 0;
    terms_at(row, f->kind, batch, prompt, output);
    for (int32_t i = 0; i < FIT_TERMS; i++)
        us += f->weight[i] * row[i];
    return us;
}

// --- the neighbours ---------------------------------------------------------------------------

static double log_of(double v)
{
    return det_log(v > 1 ? v : 1);
}

static void place_of(double out[3], double batch, double prompt, double output)
{
    out[0] = log_of(batch);
    out[1] = log_of(prompt);
    out[2] = log_of(output);
}

static double near(const double a[3], const double b[3])
{
    double d = 0;
    for (int32_t i = 0; i < 3; i++)
        d += (a[i] - b[i]) * (a[i] - b[i]);
    return det_exp(-d / (2 * REACH * REACH));
}

static void fit_neighbours(struct fit *f, const struct fit_sample *s, int32_t n)
{
    double *m = take_n(sizeof *m, (size_t)n * (size_t)n);
    f->place = take_n(sizeof *f->place, (size_t)n);
    f->pull = take_n(sizeof *f->pull, (size_t)n);
    for (int32_t i = 0; i < n; i++) {
        double sum = sum_at(f, s[i].batch, s[i].prompt, s[i].output);
        place_of(f->place[i], s[i].batch, s[i].prompt, s[i].output);
        f->pull[i] = sum > 0 ? det_log(s[i].us / sum) : 0;
        for (int32_t j = 0; j <= i; j++)
            m[i * n + j] = near(f->place[i], f->place[j]) + (i == j ? NOISE * NOISE : 0);
    }
    cholesky_decompose(m, n);  // (near + noise) pull = residual
    cholesky_solve(f->pull, m, n);
    f->n = n;
    free(m);
}

struct fit *fit_new(enum fit_kind kind, const struct fit_sample *samples, int32_t n, bool corrected)
{
    if (n <= 0)
        return NULL;
    struct fit *f = take(sizeof *f);
    f->kind = kind;
    fit_sum(f, samples, n);
    if (corrected)
        fit_neighbours(f, samples, n < FIT_SAMPLES_MAX ? n : FIT_SAMPLES_MAX);
    return f;
}

void fit_free(struct fit *f)
{
    if (!f)
        return;
    free(f->place);
    free(f->pull);
    free(f);
}

double fit_us(const struct fit *f, double batch, double prompt, double output)
{
    double at[3], log_ratio = 0;
    place_of(at, batch, prompt, output);
    for (int32_t i = 0; i < f->n; i++)
        log_ratio += f->pull[i] * near(at, f->place[i]);
    return sum_at(f, batch, prompt, output) * det_exp(log_ratio);
}

// With one length of prompt nothing tells a fixed time from one for each token: half is taken.
static void split_first(struct service *out, const struct fit_sample *s, int32_t n)
{
    double least = INFINITY, most = 0, p = 0;
    for (int32_t i = 0; i < n; i++) {
        least = s[i].prompt < least ? s[i].prompt : least;
        most = s[i].prompt > most ? s[i].prompt : most;
        p += s[i].prompt / n;
    }
    if (!(p > 0) || service_lengths_tell(least, most))
        return;
    double alone = out->prefill_us + (out->prefill_us_per_tok + out->prefill_us_per_tok2 * p) * p;
    double others = out->prefill_us_per_seq + out->prefill_us_per_tok_seq * p;
    double per_tok = alone / 2 / p;  // what others lose to it is of its tokens in any case
    out->prefill_us_per_tok = per_tok > out->join_us_per_tok ? per_tok : out->join_us_per_tok;
    out->prefill_us = alone - out->prefill_us_per_tok * p;
    out->prefill_us_per_tok2 = 0;
    out->prefill_us_per_seq = others / 2;
    out->prefill_us_per_tok_seq = others / 2 / p;
    out->prefill_split = true;
}

static void fit_first(struct service *out, const struct fit_sample *firsts, int32_t n)
{
    struct fit_sample *s = take_n(sizeof *s, (size_t)n);
    for (int32_t i = 0; i < n; i++) {
        s[i] = firsts[i];
        s[i].known_us = service_ttft_us(out, s[i].batch, s[i].prompt);
    }
    struct fit *f = fit_new(FIT_TTFT, s, n, false);
    out->prefill_us = f->weight[0];
    out->prefill_us_per_tok = f->weight[1] + out->join_us_per_tok;  // which known_us holds
    out->prefill_us_per_tok2 = f->weight[2];
    out->prefill_us_per_tok_seq = f->weight[3];
    out->prefill_us_per_seq = f->weight[4];
    split_first(out, s, n);
    fit_free(f);
    free(s);
}

bool fit_service(struct service *out, const struct fit_sample *steps, int32_t n_steps,
                 const struct fit_sample *firsts, int32_t n_firsts)
{
    struct fit *f = fit_new(FIT_STEP, steps, n_steps, false);
    if (!f)
        return false;
    *out = (struct service){.step_us = f->weight[0],
                            .step_us_per_seq = f->weight[1],
                            .step_us_per_ctx = f->weight[2],
                            .join_us_per_tok = f->weight[3],
                            .step_us_per_root = f->weight[4],
                            .slots = INT32_MAX,
                            .replicas = 1};
    fit_free(f);
    if (n_firsts > 0)
        fit_first(out, firsts, n_firsts);
    return true;
}

double fit_weight(const struct fit *f, int32_t term)
{
    CHECK(term >= 0 && term < FIT_TERMS);
    return f->weight[term];
}
