#include "bench/roofs.h"

#include "base/cholesky.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

enum { TERMS_MAX = ROOF_FIRST_TERMS };
_Static_assert((int)ROOF_STEP_TERMS <= (int)TERMS_MAX, "room for either");

// --- machines -----------------------------------------------------------------------------------

static const struct model *model_named(const struct portfolio *p, struct str name)
{
    for (int32_t i = 0; i < p->n_models; i++)
        if (str_eq(p->models[i].name, name))
            return &p->models[i];
    return NULL;
}

static const struct chip *chip_named(const struct portfolio *p, struct str name)
{
    for (int32_t i = 0; i < p->n_chips; i++)
        if (str_eq(p->chips[i].name, name))
            return &p->chips[i];
    return NULL;
}

void roofs_init(struct roofs *r, const struct measured_table *t, const struct portfolio *p)
{
    *r = (struct roofs){.t = t,
                        .machine = take_n(sizeof *r->machine, (size_t)t->n + 1),
                        .known = take_n(sizeof *r->known, (size_t)t->n + 1)};
    for (int32_t i = 0; i < t->n; i++) {
        const struct measured *m = &t->rows[i];
        struct roofline_machine *x = &r->machine[i];
        *x = (struct roofline_machine){.chip = chip_named(p, m->system),
                                       .model = model_named(p, m->model),
                                       .chips = m->chips > 0 ? m->chips : 1,
                                       .bytes_per_parameter = m->bytes_per_parameter,
                                       .engine = m->engine};
        if (x->model && !(x->bytes_per_parameter > 0))
            x->bytes_per_parameter = model_bytes_per_parameter(x->model);
        r->known[i] = m->chips > 0 && roofline_knows(x);
        r->n_known += r->known[i];
    }
}

void roofs_release(struct roofs *r)
{
    free(r->machine);
    free(r->known);
}

// --- weights ------------------------------------------------------------------------------------

struct row {
    double term[TERMS_MAX];
    double us, known_us;
};

// Weights that are not negative, by descent along one after the other: the normal equations are
// small, and their minimum is one.
static void descend(double *w, double a[TERMS_MAX][TERMS_MAX], const double *b, int32_t terms)
{
    enum { SWEEPS = 2000 };
    for (int32_t sweep = 0; sweep < SWEEPS; sweep++)
        for (int32_t i = 0; i < terms; i++) {
            double v = b[i];
            for (int32_t j = 0; j < terms; j++)
                v -= j == i ? 0 : a[i][j] * w[j];
            w[i] = a[i][i] > 0 && v > 0 ? v / a[i][i] : 0;
        }
}

// Nearest in the logarithm: by turns least squares around the middle of what was said last and what
// was measured, each row weighed by one over how far off it was. What is near by factors is asked
// for, where a prediction of nothing would be a mere 100 % off.
static void fit_rows(double *w, const struct row *rows, int32_t n, int32_t terms)
{
    enum { ROUNDS = 12 };
    double *near_us = take_n(sizeof *near_us, (size_t)n + 1);
    double *pull = take_n(sizeof *pull, (size_t)n + 1);
    double most[TERMS_MAX] = {0};
    for (int32_t k = 0; k < n; k++) {
        near_us[k] = rows[k].us;
        pull[k] = 1;
        for (int32_t i = 0; i < terms; i++)
            most[i] = rows[k].term[i] > most[i] ? rows[k].term[i] : most[i];
    }
    for (int32_t i = 0; i < terms; i++)
        w[i] = 0;
    for (int32_t round = 0; round < ROUNDS; round++) {
        double a[TERMS_MAX][TERMS_MAX] = {{0}}, b[TERMS_MAX] = {0};
        for (int32_t k = 0; k < n; k++) {
            double scale = pull[k] / (near_us[k] * near_us[k]);
            for (int32_t i = 0; i < terms; i++) {
                double x = most[i] > 0 ? rows[k].term[i] / most[i] : 0;
                for (int32_t j = 0; j < terms && x > 0; j++)
                    a[i][j] += most[j] > 0 ? scale * x * rows[k].term[j] / most[j] : 0;
                b[i] += scale * x * (rows[k].us - rows[k].known_us);
            }
        }
        descend(w, a, b, terms);
        for (int32_t k = 0; k < n; k++) {
            double us = rows[k].known_us;
            for (int32_t i = 0; i < terms; i++)
                us += most[i] > 0 ? w[i] * rows[k].term[i] / most[i] : 0;
            us = us > rows[k].us / 20 ? us : rows[k].us / 20;
            double off = fabs(det_log(us / rows[k].us));
            pull[k] = 1 / (off > 0.05 ? off : 0.05);
            near_us[k] = sqrt(us * rows[k].us);
        }
    }
    for (int32_t i = 0; i < terms; i++)
        w[i] = most[i] > 0 ? w[i] / most[i] : 0;
    free(near_us);
    free(pull);
}

static void service_at(struct service *out, const struct roofs *r, const struct roofline *x,
                       int32_t i)
{
    *out = (struct service){.slots = INT32_MAX, .replicas = 1};
    roofline_service(out, &r->machine[i], x);
}

void roofs_fit(struct roofline *out, const struct roofs *r, const bool *use)
{
    struct row *rows = take_n(sizeof *rows, (size_t)r->t->n + 1);
    int32_t n = 0;
    *out = (struct roofline){.step = {0}};
    for (int32_t i = 0; i < r->t->n; i++) {
        const struct measured *m = &r->t->rows[i];
        if (!use[i] || !r->known[i])
            continue;
        rows[n] = (struct row){.us = m->per_token_us};
        roofline_step_terms(rows[n++].term, &r->machine[i], m->batch, m->prompt, m->output);
    }
    fit_rows(out->step, rows, n, ROOF_STEP_TERMS);
    n = 0;
    for (int32_t i = 0; i < r->t->n; i++) {
        const struct measured *m = &r->t->rows[i];
        struct service s;
        if (!use[i] || !r->known[i])
            continue;
        service_at(&s, r, out, i);
        struct row *row = &rows[n++];
        roofline_first_terms(row->term, &r->machine[i], &s, m->batch, m->prompt);
        row->us = m->ttft_us;
        row->known_us = service_ttft_us(&s, m->batch, m->prompt) + row->term[ROOF_PREFILL];
    }
    fit_rows(out->first, rows, n, ROOF_FIRST_TERMS);
    out->first[ROOF_PREFILL] += 1;  // no chip computes faster than its data sheet says
    free(rows);
}

// --- how far off --------------------------------------------------------------------------------

struct times {
    double step_us, first_us;
};

static struct times times_at(const struct roofs *r, const struct roofline *x, int32_t i)
{
    const struct measured *m = &r->t->rows[i];
    struct service s;
    service_at(&s, r, x, i);
    return (struct times){service_per_token_us(&s, m->batch, m->prompt, m->output),
                          service_ttft_us(&s, m->batch, m->prompt)};
}

void roofs_validate_system(double *step, double *first, const struct roofs *r)
{
    const struct measured *rows = r->t->rows;
    int32_t n = r->t->n;
    bool *use = take_n(sizeof *use, (size_t)n + 1), *done = take_n(sizeof *done, (size_t)n + 1);
    for (int32_t i = 0; i < n; i++) {
        if (done[i])
            continue;
        struct roofline x;
        for (int32_t k = 0; k < n; k++)
            use[k] = !str_eq(rows[k].system, rows[i].system);
        roofs_fit(&x, r, use);
        for (int32_t k = i; k < n; k++) {
            if (use[k])
                continue;
            done[k] = true;
            step[k] = first[k] = -1;
            if (!r->known[k])
                continue;
            struct times at = times_at(r, &x, k);
            step[k] = fabs(at.step_us / rows[k].per_token_us - 1);
            first[k] = fabs(at.first_us / rows[k].ttft_us - 1);
        }
    }
    free(use);
    free(done);
}

// How far an observation is felt, in doublings of batch and lengths and in cells of the setup that
// differ; what all of a machine have in common; and what is taken for noise.
static const double REACH = 3, CELL = 0.3, COMMON = 0.5, NOISE = 0.15, OFF_MOST = 1.2;

static bool has_cell(struct str setup, struct str cell)
{
    struct str each;
    while (str_cut(&setup, ',', &each)) {
        while (each.n && each.p[0] == ' ')
            each = str_skip(each, 1);
        if (str_eq(each, cell))
            return true;
    }
    return false;
}

static int32_t cells_only_in(struct str a, struct str b)
{
    int32_t n = 0;
    struct str each;
    while (str_cut(&a, ',', &each)) {
        while (each.n && each.p[0] == ' ')
            each = str_skip(each, 1);
        n += !has_cell(b, each);
    }
    return n;
}

static double doublings(double a, double b)
{
    return det_log((a > 1 ? a : 1) / (b > 1 ? b : 1)) / det_log(2) / REACH;
}

static double near(const struct measured *a, const struct measured *b, double cells)
{
    double n = doublings(a->batch, b->batch), p = doublings(a->prompt, b->prompt),
           o = doublings(a->output, b->output);
    return COMMON + det_exp(-(n * n + p * p + o * o) / 2 - CELL * cells);
}

// One machine: rows from..to. Of each pair of configurations, how many cells differ.
struct bench_machine {
    const struct roofs *r;
    int32_t from, to, first_config, n_configs;
    double *cells;      // [n_configs][n_configs]
    struct times *off;  // [to - from]: logarithm of measured over predicted
    int32_t *others;    // rows to learn from
    double *m, *pull, *pull_first;
};

static double cells_between(const struct bench_machine *x, int32_t i, int32_t j)
{
    const struct measured *rows = x->r->t->rows;
    return x->cells[(rows[i].config - x->first_config) * x->n_configs +
                    (rows[j].config - x->first_config)];
}

static void count_cells(struct bench_machine *x)
{
    const struct measured *rows = x->r->t->rows;
    for (int32_t i = x->from; i < x->to; i++)
        for (int32_t j = x->from; j < x->to; j++) {
            bool first_i = i == x->from || rows[i - 1].config != rows[i].config;
            bool first_j = j == x->from || rows[j - 1].config != rows[j].config;
            if (!first_i || !first_j)
                continue;
            int32_t a = cells_only_in(rows[i].setup, rows[j].setup);
            int32_t b = cells_only_in(rows[j].setup, rows[i].setup);
            x->cells[(rows[i].config - x->first_config) * x->n_configs +
                     (rows[j].config - x->first_config)] = a > b ? a : b;
        }
}

static double clipped_log(double ratio)
{
    double off = det_log(ratio);
    return off > OFF_MOST ? OFF_MOST : off < -OFF_MOST ? -OFF_MOST : off;
}

// Rows from..to of one configuration from those in x->others.
static void judge_config(double *step, double *first, struct bench_machine *x,
                         const struct roofline *w, int32_t from, int32_t to)
{
    const struct measured *rows = x->r->t->rows;
    int32_t n = 0;
    for (int32_t i = x->from; i < x->to; i++)
        if ((i < from || i >= to) && x->r->known[i])
            x->others[n++] = i;
    for (int32_t i = 0; i < n; i++) {
        x->pull[i] = x->off[x->others[i] - x->from].step_us;
        x->pull_first[i] = x->off[x->others[i] - x->from].first_us;
        for (int32_t j = 0; j <= i; j++)
            x->m[i * n + j] = near(&rows[x->others[i]], &rows[x->others[j]],
                                   cells_between(x, x->others[i], x->others[j])) +
                              (i == j ? NOISE * NOISE : 0);
    }
    cholesky_decompose(x->m, n);
    cholesky_solve(x->pull, x->m, n);
    cholesky_solve(x->pull_first, x->m, n);
    for (int32_t i = from; i < to; i++) {
        step[i] = first[i] = -1;
        if (!x->r->known[i] || n == 0)
            continue;
        struct times at = times_at(x->r, w, i);
        double log_step = 0, log_first = 0;
        for (int32_t k = 0; k < n; k++) {
            double by = near(&rows[i], &rows[x->others[k]], cells_between(x, i, x->others[k]));
            log_step += by * x->pull[k];
            log_first += by * x->pull_first[k];
        }
        step[i] = fabs(at.step_us * det_exp(log_step) / rows[i].per_token_us - 1);
        first[i] = fabs(at.first_us * det_exp(log_first) / rows[i].ttft_us - 1);
    }
}

static void judge_machine(double *step, double *first, struct bench_machine *x)
{
    const struct measured *rows = x->r->t->rows;
    struct roofline w;
    bool *use = take_n(sizeof *use, (size_t)x->r->t->n + 1);
    for (int32_t i = 0; i < x->r->t->n; i++)
        use[i] = i < x->from || i >= x->to;
    roofs_fit(&w, x->r, use);
    free(use);
    count_cells(x);
    for (int32_t i = x->from; i < x->to; i++) {
        if (!x->r->known[i])
            continue;
        struct times at = times_at(x->r, &w, i);
        x->off[i - x->from] = (struct times){clipped_log(rows[i].per_token_us / at.step_us),
                                             clipped_log(rows[i].ttft_us / at.first_us)};
    }
    for (int32_t from = x->from, to; from < x->to; from = to) {
        for (to = from; to < x->to && rows[to].config == rows[from].config;)
            to++;
        judge_config(step, first, x, &w, from, to);
    }
}

void roofs_validate_config(double *step, double *first, const struct roofs *r)
{
    const struct measured *rows = r->t->rows;
    for (int32_t from = 0, to; from < r->t->n; from = to) {
        for (to = from; to < r->t->n && str_eq(rows[to].model, rows[from].model) &&
                        str_eq(rows[to].system, rows[from].system);)
            to++;
        int32_t configs = rows[to - 1].config - rows[from].config + 1;
        size_t n = (size_t)(to - from);
        struct bench_machine x = {.r = r,
                                  .from = from,
                                  .to = to,
                                  .first_config = rows[from].config,
                                  .n_configs = configs,
                                  .cells =
                                      take_n(sizeof(double), (size_t)configs * (size_t)configs),
                                  .off = take_n(sizeof(struct times), n),
                                  .others = take_n(sizeof(int32_t), n),
                                  .m = take_n(sizeof(double), n * n),
                                  .pull = take_n(sizeof(double), n),
                                  .pull_first = take_n(sizeof(double), n)};
        judge_machine(step, first, &x);
        free(x.cells);
        free(x.off);
        free(x.others);
        free(x.m);
        free(x.pull);
        free(x.pull_first);
    }
}
