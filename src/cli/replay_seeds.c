#include "cli/replay_seeds.h"

#include "base/units.h"
#include "cli/replay_rows.h"

#include <math.h>
#include <stdio.h>

enum figure_kind {
    FIGURE_SHARE,
    FIGURE_COUNT,
    FIGURE_US,
    FIGURE_USD,
    FIGURE_WH,
    FIGURE_G,
    FIGURE_W
};

static const struct {
    const char *title;  // as the tables of the policies have it
    const char *key;    // of the JSON
    enum figure_kind kind;
} figures[REPLAY_FIGURES] = {
    {"answered", "answered", FIGURE_SHARE},    {"good", "good", FIGURE_SHARE},
    {"refused", "refused", FIGURE_COUNT},      {"expired", "expired", FIGURE_COUNT},
    {"failed", "failed", FIGURE_COUNT},        {"waited", "waited", FIGURE_COUNT},
    {"ttft p50", "ttft_p50_us", FIGURE_US},    {"ttft p99", "ttft_p99_us", FIGURE_US},
    {"total p50", "total_p50_us", FIGURE_US},  {"total p99", "total_p99_us", FIGURE_US},
    {"list", "list_nusd", FIGURE_USD},         {"power bill", "power_nusd", FIGURE_USD},
    {"waiting", "waiting_nusd", FIGURE_USD},   {"unserved", "unserved_nusd", FIGURE_USD},
    {"all four", "all_four_nusd", FIGURE_USD}, {"stranded", "stranded_nusd", FIGURE_USD},
    {"beyond", "beyond_nusd", FIGURE_USD},     {"energy", "joules", FIGURE_WH},
    {"carbon", "carbon_g", FIGURE_G},          {"peak", "peak_w", FIGURE_W},
    {"cost", "cost_nusd", FIGURE_USD},         {"the bound", "bound_nusd", FIGURE_USD},
    {"above it", "regret_nusd", FIGURE_USD},   {"of the bound", "of_bound", FIGURE_SHARE},
    {"of naive", "of_naive", FIGURE_SHARE},
};
enum { FIRST_OF_BOUND = 20 };

static double share(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

static double quantile(const struct hist *h, double q)
{
    return h->count ? (double)hist_quantile(h, q) : NAN;
}

void replay_figures_of(struct replay_figures *out, const struct tally *t)
{
    const struct tally_cell *a = &t->all;
    struct replay_commitments paid = replay_commitments(t);
    double power_nusd = t->energy_nusd + t->carbon_nusd;
    const double of[FIRST_OF_BOUND] = {
        share(a->answered, a->requests),
        share(a->good, a->with_target),
        (double)a->refused,
        (double)a->expired,
        (double)a->failed,
        (double)t->waited,
        quantile(&a->times.ttft, 0.5),
        quantile(&a->times.ttft, 0.99),
        quantile(&a->times.total, 0.5),
        quantile(&a->times.total, 0.99),
        (double)a->list_nusd,
        power_nusd,
        a->waiting_nusd,
        a->unserved_nusd,
        (double)a->list_nusd + power_nusd + a->waiting_nusd + a->unserved_nusd,
        paid.stranded_nusd,
        paid.beyond_nusd,
        replay_joules(t),
        t->carbon_g,
        t->peak_w,
    };
    out->whole = !t->partial;
    for (int i = 0; i < REPLAY_FIGURES; i++)
        out->of[i] = i < FIRST_OF_BOUND ? of[i] : NAN;
}

void replay_figures_bound(struct replay_figures *out, const struct replay_view *v, int32_t run)
{
    struct replay_regret g = replay_regret(v, run);
    double *of = &out->of[FIRST_OF_BOUND];
    of[0] = g.cost;
    of[1] = v->bound->nusd;
    of[2] = g.regret;
    of[3] = v->bound->nusd > 0 ? g.of_bound : NAN;
    of[4] = g.has_naive ? g.of_naive : NAN;
}

// --- over the seeds ---------------------------------------------------------------------------

struct spread {
    int32_t n;
    double mean, least, most;
    double deviation;  // of the seeds, with n - 1; NAN: of one there is none
};

static struct spread spread_of(const struct replay_view *v, int32_t run, int figure)
{
    struct spread s = {0, 0, INFINITY, -INFINITY, NAN};
    double squares = 0;
    for (int32_t i = 0; i < v->n_seeds; i++) {
        const struct replay_figures *f = &v->figures[i * v->n_runs + run];
        double x = f->of[figure];
        if (!f->whole || isnan(x))
            continue;
        // Welford's, so that nothing is lost where all are nearly alike.
        double from_mean = x - s.mean;
        s.mean += from_mean / ++s.n;
        squares += from_mean * (x - s.mean);
        s.least = x < s.least ? x : s.least;
        s.most = x > s.most ? x : s.most;
    }
    if (s.n > 1)
        s.deviation = sqrt(squares / (s.n - 1));
    return s;
}

static int32_t whole_seeds(const struct replay_view *v, int32_t run)
{
    int32_t n = 0;
    for (int32_t i = 0; i < v->n_seeds; i++)
        n += v->figures[i * v->n_runs + run].whole;
    return n;
}

static void add(struct cells *r, enum figure_kind kind, double x)
{
    if (isnan(x)) {
        cells_add_text(r, STR("-"));
        return;
    }
    switch (kind) {
    case FIGURE_SHARE: snprintf(cells_next(r), CELL_BYTES, "%.2f%%", 100 * x); break;
    case FIGURE_COUNT:
        snprintf(cells_next(r), CELL_BYTES, x == floor(x) ? "%.0f" : "%.1f", x);
        break;
    case FIGURE_US: cells_add_us(r, (int64_t)(x + 0.5), true); break;
    case FIGURE_USD: cells_add_usd(r, x); break;
    case FIGURE_WH: cells_add_si(r, x / 3600, "Wh"); break;
    case FIGURE_G: cells_add_si(r, x, "g"); break;
    case FIGURE_W: cells_add_si(r, x, "W"); break;
    }
}

// Rows of one figure, a policy each; none where all of it is nothing.
static void add_figure(struct columns *c, const struct replay_view *v, int figure)
{
    bool any = false;
    for (int32_t i = 0; i < v->n_runs; i++) {
        struct spread s = spread_of(v, i, figure);
        any = any || (s.n > 0 && (s.least != 0 || s.most != 0));
    }
    for (int32_t i = 0; i < v->n_runs && any; i++) {
        struct spread s = spread_of(v, i, figure);
        struct cells r = {.n = 0};
        cells_add_text(&r, i ? STR("") : str_of(figures[figure].title));
        cells_add_text(&r, str_of(v->runs[i]->policy));
        add(&r, figures[figure].kind, s.n ? s.mean : NAN);
        add(&r, figures[figure].kind, s.n ? s.least : NAN);
        add(&r, figures[figure].kind, s.n ? s.most : NAN);
        add(&r, figures[figure].kind, s.deviation);
        cells_row(c, &r);
    }
}

void replay_seeds_text(struct buf *out, const struct replay_view *v)
{
    struct columns c;
    bool any = false;
    columns_init(&c, v->arena);
    columns_row(&c, "over the seeds", "policy", "mean", "least", "most", "deviation", NULL);
    for (int i = 0; i < REPLAY_FIGURES; i++)
        add_figure(&c, v, i);
    for (int32_t i = 0; i < v->n_runs; i++)
        any = any || whole_seeds(v, i);
    if (any)
        table_print(out, &c, 3);
    for (int32_t i = 0; i < v->n_runs; i++) {
        int32_t n = whole_seeds(v, i);
        if (n < v->n_seeds)
            buf_printf(out, "  %s: %d of %d seeds were finished, and count over the seeds\n",
                       v->runs[i]->policy, (int)n, (int)v->n_seeds);
    }
    buf_printf(out, "  What follows is of seed %lld.\n\n", (long long)v->seeds[0]);
}

// --- for programs -----------------------------------------------------------------------------

enum { DIGITS = 12 };

static void figure_json(struct json_out *to, const struct replay_view *v, int32_t run, int figure)
{
    struct spread s = spread_of(v, run, figure);
    if (!s.n)
        return;
    json_out_open(to, figures[figure].key, "{");
    json_out_number(to, "mean", s.mean, DIGITS);
    json_out_number(to, "min", s.least, DIGITS);
    json_out_number(to, "max", s.most, DIGITS);
    if (!isnan(s.deviation))
        json_out_number(to, "deviation", s.deviation, DIGITS);
    json_out_open(to, "each", "[");
    for (int32_t i = 0; i < v->n_seeds; i++) {
        const struct replay_figures *f = &v->figures[i * v->n_runs + run];
        if (f->whole && !isnan(f->of[figure]))
            json_out_number(to, NULL, f->of[figure], DIGITS);
        else
            json_out_null(to, NULL);
    }
    json_out_close(to, "]");
    json_out_close(to, "}");
}

void replay_seeds_json(struct json_out *to, const struct replay_view *v)
{
    json_out_open(to, "seeds", "[");
    for (int32_t i = 0; i < v->n_seeds; i++)
        json_out_count(to, NULL, v->seeds[i]);
    json_out_close(to, "]");
    json_out_open(to, "over_seeds", "[");
    for (int32_t i = 0; i < v->n_runs; i++) {
        json_out_open(to, NULL, "{");
        json_out_text(to, "policy", str_of(v->runs[i]->policy));
        json_out_count(to, "whole", whole_seeds(v, i));
        for (int k = 0; k < REPLAY_FIGURES; k++)
            figure_json(to, v, i, k);
        json_out_close(to, "}");
    }
    json_out_close(to, "]");
}
