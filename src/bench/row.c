#include "bench/row.h"

#include "base/arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double GAIN_LEAST = 0.05, PACE_LEAST = 0.9, ERRORS_MOST = 0.05;

// The values that the figures of a row are made of, of all its repeats: [n].
struct values {
    double *ttft, *per_token, *total, *batch, *tokens, *lasted_s;
    int32_t n;
};

static struct values values_new(int32_t n)
{
    size_t room = (size_t)n + 1;
    return (struct values){.ttft = take_n(sizeof(double), room),
                           .per_token = take_n(sizeof(double), room),
                           .total = take_n(sizeof(double), room),
                           .batch = take_n(sizeof(double), room),
                           .tokens = take_n(sizeof(double), room),
                           .lasted_s = take_n(sizeof(double), room)};
}

static void values_free(struct values *v)
{
    free(v->total);
    free(v->batch);
    free(v->tokens);
    free(v->lasted_s);
}

static void add_run(struct values *v, struct row *out, const struct load_result *run)
{
    batch_seen(v->batch + v->n, run->counted, run->n_counted, run->all, run->n_all);
    for (int32_t i = 0; i < run->n_counted; i++) {
        const struct sample *s = &run->counted[i];
        v->ttft[v->n] = sample_ttft_us(s);
        v->per_token[v->n] = sample_per_token_us(s);
        v->total[v->n] = sample_total_us(s);
        v->tokens[v->n] = s->output_tok;
        v->lasted_s[v->n] = (double)(s->end_us - s->due_us) / 1e6;
        out->prompt_tok += s->prompt_tok;
        out->cached_tok += s->cached_tok;
        out->output_tok += s->output_tok;
        out->counted = out->counted && s->counted;
        v->n++;
    }
    out->errors += run->errors;
    if (run->why[0] && !out->why[0])
        snprintf(out->why, sizeof out->why, "%s", run->why);
}

static void means(struct row *out, int32_t n)
{
    out->n = n;
    if (n == 0)
        return;
    out->prompt_tok /= n;
    out->cached_tok /= n;
    out->output_tok /= n;
}

// Tokens a second of all users: each user alone gives sum(tokens) / sum(time), and a closed loop
// has as many of them all the time (Little, 1961). An open loop gives what it is asked for, until
// it cannot.
static struct figure throughput_of(const struct row *r, const struct values *v, double ended_s,
                                   struct rng *rng)
{
    struct figure f = share_of(v->tokens, v->lasted_s, v->n, rng);
    if (r->users) {
        f.value *= r->users;
        f.low *= r->users;
        f.high *= r->users;
        return f;
    }
    f.value = ended_s > 0 ? r->output_tok * v->n / ended_s : 0;
    f.low = f.high = f.value;
    return f;
}

static void add_energy(struct energy *e, const struct load_result *run)
{
    double prompt_tok, output_tok;
    if (!(run->joules > 0))
        return;
    tokens_within(&prompt_tok, &output_tok, run->all, run->n_all, run->from_us, run->to_us);
    e->s += (double)(run->to_us - run->from_us) / 1e6;
    e->joules += run->joules;
    e->prompt_tok += prompt_tok;
    e->output_tok += output_tok;
}

void row_fill(struct row *out, const struct load_plan *plan, const struct load_result *runs,
              int32_t n_runs, struct rng *rng)
{
    int32_t n = 0;
    double ended_s = 0;
    struct hist *gaps = take(sizeof *gaps);
    for (int32_t i = 0; i < n_runs; i++)
        n += runs[i].n_counted;
    *out = (struct row){.users = plan->users,
                        .rate_per_s = plan->rate_per_s,
                        .warm = plan->warm,
                        .prompt_asked = plan->prompt_tok,
                        .output_asked = plan->output_tok,
                        .counted = n > 0};
    struct values v = values_new(n);
    for (int32_t i = 0; i < n_runs; i++) {
        add_run(&v, out, &runs[i]);
        hist_merge(gaps, &runs[i].gaps);
        ended_s += runs[i].ended_s;
        add_energy(&out->energy, &runs[i]);
    }
    means(out, n);
    out->throughput_tok_s = throughput_of(out, &v, ended_s, rng);
    out->ttft_us = median_of(v.ttft, n, rng);
    out->ttft_p90_us = quantile_of(v.ttft, n, 0.9);
    out->ttft_p99_us = quantile_of(v.ttft, n, 0.99);
    out->per_token_us = median_of(v.per_token, n, rng);
    out->per_token_p99_us = quantile_of(v.per_token, n, 0.99);
    out->total_p50_us = quantile_of(v.total, n, 0.5);
    out->total_p99_us = quantile_of(v.total, n, 0.99);
    out->batch = quantile_of(v.batch, n, 0.5);
    out->gap_p50_us = (double)hist_quantile(gaps, 0.5);
    out->gap_p99_us = (double)hist_quantile(gaps, 0.99);
    out->ttft = v.ttft;
    out->per_token = v.per_token;
    values_free(&v);
    free(gaps);
}

void row_release(struct row *r)
{
    free(r->ttft);
    free(r->per_token);
    r->ttft = r->per_token = NULL;
}

enum measured_out row_out(const struct row *r)
{
    if (r->partial)
        return MEASURED_CUT_OFF;
    if (r->saturated)
        return MEASURED_SATURATED;
    if (r->warm)
        return MEASURED_WARM;
    return r->n > 0 && r->per_token_us.value > 0 ? MEASURED_KEPT : MEASURED_NO_TIME;
}

bool row_is_saturated(const struct row *r, const struct row *below, double asked_s, double ended_s)
{
    if (r->errors > ERRORS_MOST * (r->n + r->errors))
        return true;
    if (!r->users)
        return r->n > 2 && asked_s < PACE_LEAST * ended_s;
    if (!below || below->users >= r->users || below->throughput_tok_s.value <= 0)
        return false;
    double gain = r->throughput_tok_s.value / below->throughput_tok_s.value - 1;
    return gain < GAIN_LEAST * ((double)r->users / below->users - 1);
}
