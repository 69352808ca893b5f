#include "bench/figures.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile_sorted(const double *v, int32_t n, double q)
{
    if (n == 0)
        return 0;
    double at = q * (n - 1);
    int32_t i = (int32_t)at;
    if (i + 1 >= n)
        return v[n - 1];
    return v[i] + (at - i) * (v[i + 1] - v[i]);
}

double quantile_of(double *v, int32_t n, double q)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return quantile_sorted(v, n, q);
}

// The median of n draws with replacement from a sorted v: only the middle indices count.
static double draw_median(const double *v, int32_t n, double *room, struct rng *rng)
{
    for (int32_t i = 0; i < n; i++)
        room[i] = v[rng_below(rng, (uint64_t)n)];
    return quantile_of(room, n, 0.5);
}

static void set_interval(struct figure *f, double draws[BOOTSTRAP_DRAWS])
{
    f->low = quantile_of(draws, BOOTSTRAP_DRAWS, 0.025);
    f->high = quantile_sorted(draws, BOOTSTRAP_DRAWS, 0.975);
}

struct figure median_of(double *v, int32_t n, struct rng *rng)
{
    struct figure f = {.value = quantile_of(v, n, 0.5)};
    if (n == 0)
        return f;
    double draws[BOOTSTRAP_DRAWS], *room = take_n(sizeof *room, (size_t)n);
    for (int32_t i = 0; i < BOOTSTRAP_DRAWS; i++)
        draws[i] = draw_median(v, n, room, rng);
    set_interval(&f, draws);
    free(room);
    return f;
}

static double over(double a, double b)
{
    return b > 0 ? a / b : 0;
}

struct figure ratio_of(double *a, int32_t n_a, double *b, int32_t n_b, struct rng *rng)
{
    struct figure f = {.value = over(quantile_of(a, n_a, 0.5), quantile_of(b, n_b, 0.5))};
    if (n_a == 0 || n_b == 0)
        return f;
    double draws[BOOTSTRAP_DRAWS], *room = take_n(sizeof *room, (size_t)(n_a > n_b ? n_a : n_b));
    for (int32_t i = 0; i < BOOTSTRAP_DRAWS; i++) {
        double top = draw_median(a, n_a, room, rng);
        draws[i] = over(top, draw_median(b, n_b, room, rng));
    }
    set_interval(&f, draws);
    free(room);
    return f;
}

struct figure share_of(const double *a, const double *b, int32_t n, struct rng *rng)
{
    double top = 0, bottom = 0, draws[BOOTSTRAP_DRAWS];
    for (int32_t i = 0; i < n; i++) {
        top += a[i];
        bottom += b[i];
    }
    struct figure f = {.value = over(top, bottom)};
    if (n == 0)
        return f;
    for (int32_t k = 0; k < BOOTSTRAP_DRAWS; k++) {
        top = bottom = 0;
        for (int32_t i = 0; i < n; i++) {
            uint64_t j = rng_below(rng, (uint64_t)n);
            top += a[j];
            bottom += b[j];
        }
        draws[k] = over(top, bottom);
    }
    set_interval(&f, draws);
    return f;
}

struct figure wilson_of(int32_t k, int32_t n)
{
    const double z = 1.959964;  // 97.5 % of the normal distribution lie below
    if (n == 0)
        return (struct figure){.high = 1};
    double p = (double)k / n, whole = 1 + z * z / n, mid = (p + z * z / (2.0 * n)) / whole;
    double wide = z * sqrt(p * (1 - p) / n + z * z / (4.0 * n * n)) / whole;
    return (struct figure){.value = p, .low = k ? mid - wide : 0, .high = k < n ? mid + wide : 1};
}

double sample_ttft_us(const struct sample *s)
{
    return (double)(s->first_us - s->due_us);
}

double sample_per_token_us(const struct sample *s)
{
    return s->output_tok > 1 ? (double)(s->last_us - s->first_us) / (s->output_tok - 1) : 0;
}

double sample_total_us(const struct sample *s)
{
    return (double)(s->last_us - s->due_us);
}

// The part of begin..end that lies in from..to; an instant is in it or not.
static double part_within(int64_t begin_us, int64_t end_us, int64_t from_us, int64_t to_us)
{
    if (end_us <= begin_us)
        return begin_us >= from_us && begin_us <= to_us;
    int64_t first_us = max_i64(begin_us, from_us), last_us = min_i64(end_us, to_us);
    return last_us > first_us ? (double)(last_us - first_us) / (double)(end_us - begin_us) : 0;
}

void tokens_within(double *prompt_tok, double *output_tok, const struct sample *all, int32_t n,
                   int64_t from_us, int64_t to_us)
{
    *prompt_tok = *output_tok = 0;
    for (int32_t i = 0; i < n; i++) {
        const struct sample *s = &all[i];
        *prompt_tok += s->prompt_tok * part_within(s->due_us, s->first_us, from_us, to_us);
        *output_tok += s->output_tok * part_within(s->first_us, s->last_us, from_us, to_us);
    }
}

// --- the batch --------------------------------------------------------------------------------

// The number in the batch is a staircase: at[i] the times of its edges, area[i] its integral there.
struct edge {
    double at;
    int32_t by;
};

struct staircase {
    struct edge *edges;
    double *area;
    int32_t *level;  // right of the edge
    int32_t n;
};

static int by_time(const void *a, const void *b)
{
    const struct edge *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

static double begins_us(const struct sample *s)
{
    return (double)s->first_us - sample_per_token_us(s);
}

static double area_until(const struct staircase *s, double at)
{
    int32_t low = 0, high = s->n;  // edges before `low` are at or before `at`
    while (low < high) {
        int32_t mid = low + (high - low) / 2;
        if (s->edges[mid].at <= at)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0)
        return 0;
    return s->area[low - 1] + s->level[low - 1] * (at - s->edges[low - 1].at);
}

static void climb(struct staircase *s, const struct sample *all, int32_t n_all)
{
    for (int32_t i = 0; i < n_all; i++) {
        if (all[i].last_us <= all[i].first_us)
            continue;
        s->edges[s->n++] = (struct edge){begins_us(&all[i]), 1};
        s->edges[s->n++] = (struct edge){(double)all[i].last_us, -1};
    }
    qsort(s->edges, (size_t)s->n, sizeof *s->edges, by_time);
    for (int32_t i = 0; i < s->n; i++) {
        double wide = i ? s->edges[i].at - s->edges[i - 1].at : 0;
        int32_t before = i ? s->level[i - 1] : 0;
        s->area[i] = (i ? s->area[i - 1] : 0) + wide * before;
        s->level[i] = before + s->edges[i].by;
    }
}

void batch_seen(double *out, const struct sample *which, int32_t n_which, const struct sample *all,
                int32_t n_all)
{
    size_t room = (size_t)n_all * 2 + 1;
    struct staircase s = {.edges = take_n(sizeof *s.edges, room),
                          .area = take_n(sizeof *s.area, room),
                          .level = take_n(sizeof *s.level, room)};
    climb(&s, all, n_all);
    for (int32_t i = 0; i < n_which; i++) {
        double from = (double)which[i].first_us, to = (double)which[i].last_us;
        out[i] = to > from ? (area_until(&s, to) - area_until(&s, from)) / (to - from) : 1;
    }
    free(s.edges);
    free(s.area);
    free(s.level);
}
