#include "gateway/metrics_grid.h"

#include <inttypes.h>

static void write_head(struct buf *out, const char *name, const char *help, const char *type)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_label(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, "%s=\"", name);
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\n')
            buf_lit(out, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else
            buf_add(out, &c, 1);
    }
    buf_lit(out, "\"");
}

// What stands between the braces of a series, without a histogram's `le`.
static void write_labels(const struct metrics *m, struct buf *out, const struct grid *g,
                         int32_t series)
{
    for (int32_t i = 0; i < g->n_labels; i++) {
        enum axis axis = g->axis[i];
        char number[SLOT_NAME_BYTES];
        if (i)
            buf_lit(out, ",");
        write_label(out, metrics_label_name(g->family->labels[i]),
                    metrics_slot_name(m, axis, series / g->stride[i] % m->size[axis], number));
    }
    if (g->family->fixed)
        buf_printf(out, "%s%s", g->n_labels ? "," : "", g->family->fixed);
}

static void write_amount(struct buf *out, enum measure measure, uint64_t n)
{
    switch (measure) {
    case MEASURE_EACH: buf_printf(out, "%" PRIu64, n); break;
    case MEASURE_US: buf_printf(out, "%" PRIu64 ".%06" PRIu64, n / 1000000, n % 1000000); break;
    case MEASURE_NUSD:
        buf_printf(out, "%" PRIu64 ".%09" PRIu64, n / 1000000000, n % 1000000000);
        break;
    case MEASURE_JOULES: buf_printf(out, "%.9g", cell_double(n)); break;
    }
}

// A bucket's bound as OpenMetrics wants it: "0.0025", "10.0".
static void write_bound(struct buf *out, enum measure measure, int64_t most)
{
    int64_t unit = measure == MEASURE_US ? S(1) : 1, rest = most % unit;
    buf_printf(out, "%" PRId64 ".", most / unit);
    do {
        unit = unit > 1 ? unit / 10 : 1;
        buf_printf(out, "%" PRId64, rest / unit);
        rest %= unit;
    } while (rest);
}

static uint64_t sum_of(const struct metrics *m, const struct grid *g, size_t at)
{
    bool joules = g->family->measure == MEASURE_JOULES;
    uint64_t sum = 0;
    double sum_j = 0;
    for (int32_t i = 0; i < m->workers; i++) {
        uint64_t n = cell_get(&m->shards[i][g->first + at]);
        if (joules)
            sum_j += cell_double(n);
        else
            sum += n;
    }
    return joules ? cell_bits(sum_j) : sum;
}

// A series with labels begins when it is first counted in: the grid of all is mostly empty.
static void write_counter(const struct metrics *m, struct buf *out, const struct grid *g)
{
    for (int32_t i = 0; i < g->n_series; i++) {
        uint64_t n = sum_of(m, g, (size_t)i);
        if (!n && g->n_labels)
            continue;
        buf_printf(out, "%s%s", g->family->name, g->n_labels ? "{" : "");
        write_labels(m, out, g, i);
        buf_printf(out, "%s ", g->n_labels ? "}" : "");
        write_amount(out, g->family->measure, n);
        buf_lit(out, "\n");
    }
}

static void write_row(struct buf *out, const struct family *f, struct str labels,
                      const uint64_t *row)
{
    const struct ladder *l = f->ladder;
    uint64_t count = 0;
    for (int32_t i = 0; i < l->n; i++) {
        count += row[i];
        buf_printf(out, "%s_bucket{" STR_FMT ",le=\"", f->name, STR_ARG(labels));
        write_bound(out, f->measure, l->most[i]);
        buf_printf(out, "\"} %" PRIu64 "\n", count);
    }
    count += row[l->n];
    buf_printf(out, "%s_bucket{" STR_FMT ",le=\"+Inf\"} %" PRIu64 "\n", f->name, STR_ARG(labels),
               count);
    buf_printf(out, "%s_sum{" STR_FMT "} ", f->name, STR_ARG(labels));
    write_amount(out, f->measure, row[l->n + 1]);
    buf_printf(out, "\n%s_count{" STR_FMT "} %" PRIu64 "\n", f->name, STR_ARG(labels), count);
}

static void write_histogram(const struct metrics *m, struct buf *out, const struct grid *g)
{
    struct buf labels;
    buf_init(&labels, SIZE_MAX / 2);
    for (int32_t i = 0; i < g->n_series; i++) {
        uint64_t row[STEPS_MAX + 2] = {0}, any = 0;
        for (int32_t k = 0; k < g->width; k++) {
            row[k] = sum_of(m, g, (size_t)i * (size_t)g->width + (size_t)k);
            any |= row[k];
        }
        if (!any)
            continue;
        buf_clear(&labels);
        write_labels(m, &labels, g, i);
        write_row(out, g->family, buf_str(&labels), row);
    }
    buf_release(&labels);
}

static void write_gauge(struct buf *out, const char *name, const char *help, int64_t value)
{
    write_head(out, name, help, "gauge");
    buf_printf(out, "%s %" PRId64 "\n", name, value);
}

// One sample for each pool; a negative value is not known, and left out.
static void write_pools(const struct portfolio *p, struct buf *out, const char *name,
                        const char *help, double (*value)(const struct metrics_pool *),
                        const struct metrics_pool *pools)
{
    write_head(out, name, help, "gauge");
    for (int32_t i = 0; i < p->n_pools; i++) {
        double v = value(&pools[i]);
        if (v < 0)
            continue;
        buf_printf(out, "%s{", name);
        write_label(out, "pool", p->pools[i].name);
        buf_printf(out, "} %.9g\n", v);
    }
}

static int64_t gauge_of(const struct metrics *m, enum metrics_gauge g)
{
    return (int64_t)metrics_sum(m, (size_t)g);
}

static double in_flight(const struct metrics_pool *p)
{
    return p->in_flight;
}

static double ready(const struct metrics_pool *p)
{
    return p->ready;
}

static double breaker_open(const struct metrics_pool *p)
{
    return p->breaker_open;
}

static double cooling(const struct metrics_pool *p)
{
    return p->cooling;
}

static double ttft_s(const struct metrics_pool *p)
{
    return p->ttft_us > 0 ? (double)p->ttft_us / 1e6 : -1;
}

static double per_token_s(const struct metrics_pool *p)
{
    return p->per_token_us > 0 ? (double)p->per_token_us / 1e6 : -1;
}

static double share(const struct metrics_pool *p)
{
    return p->share;
}

static void write_step(const struct portfolio *p, struct buf *out, int32_t pool,
                       const char *direction, uint64_t n)
{
    buf_lit(out, "caudal_pool_share_steps_total{");
    write_label(out, "pool", p->pools[pool].name);
    buf_printf(out, ",direction=\"%s\"} %" PRIu64 "\n", direction, n);
}

// Only of pools that enter in steps.
static void write_steps(const struct portfolio *p, struct buf *out,
                        const struct metrics_pool *pools)
{
    write_head(out, "caudal_pool_share_steps_total",
               "Steps that a pool with `share` went, forward and back.", "counter");
    for (int32_t i = 0; i < p->n_pools; i++) {
        if (!p->pools[i].share.n_steps)
            continue;
        write_step(p, out, i, "forward", pools[i].share_forward);
        write_step(p, out, i, "back", pools[i].share_back);
    }
}

static void write_all(const struct metrics *m, struct buf *out, const struct portfolio *p,
                      const struct metrics_pool *pools, int32_t waiting, int64_t up_us)
{
    write_head(out, "caudal_build_info", "Which caudal this is.", "gauge");
    buf_lit(out, "caudal_build_info{version=\"" CAUDAL_VERSION "\"} 1\n");
    write_head(out, "caudal_up_seconds", "Time since the start.", "gauge");
    buf_printf(out, "caudal_up_seconds %.3f\n", (double)up_us / 1e6);
    write_gauge(out, "caudal_clients", "Connections of clients.", gauge_of(m, METRICS_CLIENTS));
    write_gauge(out, "caudal_requests_in_progress", "Requests that have come and are not over.",
                gauge_of(m, METRICS_REQUESTS));
    write_gauge(out, "caudal_streams_open", "Streams being relayed.", gauge_of(m, METRICS_STREAMS));
    write_gauge(out, "caudal_shadows_in_progress", "Copies for pools that shadow another.",
                gauge_of(m, METRICS_SHADOWS));
    write_gauge(out, "caudal_waiting", "Requests that wait for a pool with room.", waiting);
    write_pools(p, out, "caudal_pool_in_flight", "Requests that the pool is busy with.", in_flight,
                pools);
    write_pools(p, out, "caudal_pool_ready", "1: the pool can be called.", ready, pools);
    write_pools(p, out, "caudal_pool_breaker_open",
                "1: calls failed, so that the pool is left alone.", breaker_open, pools);
    write_pools(p, out, "caudal_pool_cooling", "1: the supplier asked to be left alone for a time.",
                cooling, pools);
    write_pools(p, out, "caudal_pool_ttft_seconds", "Time to first token, as learnt.", ttft_s,
                pools);
    write_pools(p, out, "caudal_pool_per_token_seconds", "Time per token, as learnt.", per_token_s,
                pools);
    write_pools(p, out, "caudal_pool_share_ratio",
                "Share of the requests it may have that the pool gets; below 1 it enters in steps.",
                share, pools);
    write_steps(p, out, pools);
    for (int32_t i = 0; i < m->n_grids; i++) {
        const struct grid *g = &m->grids[i];
        write_head(out, g->family->name, g->family->help,
                   g->family->ladder ? "histogram" : "counter");
        if (g->family->ladder)
            write_histogram(m, out, g);
        else
            write_counter(m, out, g);
    }
}

bool metrics_write(struct metrics *m, struct buf *out, const struct portfolio *p,
                   const struct metrics_pool *pools, int32_t waiting, int64_t up_us)
{
    pthread_mutex_lock(&m->moving);
    write_all(metrics_shown(m), out, p, pools, waiting, up_us);
    pthread_mutex_unlock(&m->moving);
    return !out->overflow;
}
