#include "replay/renewal.h"

#include "io/stream.h"

#include <math.h>
#include <stdlib.h>

enum { TABLES_BYTES_MAX = 1 << 30 };
static const double SHAPE_MIN = 0.1;  // of Weibull: with less one gap in 10^6 makes its mean

// Gamma(1 + x) for x >= 0, by Lanczos' series with g = 7 (Numerical Recipes, 6.1), in our own log
// and exp so that every compiler gives the same gaps.
static double gamma_of_1_and(double x)
{
    static const double c[] = {0.99999999999980993,  676.5203681218851,     -1259.1392167224028,
                               771.32342877765313,   -176.61502916214059,   12.507343278686905,
                               -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7};
    double sum = c[0], t = x + 7.5;
    for (int i = 1; i < (int)COUNTOF(c); i++)
        sum += c[i] / (x + i);
    return 2.5066282746310002 * sum * det_exp((x + 0.5) * det_log(t) - t);
}

// Of mean 1.
static double gap(struct rng *r, const struct servegen_window *w)
{
    if (!w->weibull)
        return rng_gamma(r, w->shape, 1 / w->shape);
    double shape = w->shape > SHAPE_MIN ? w->shape : SHAPE_MIN;
    return rng_weibull(r, shape, 1 / gamma_of_1_and(1 / shape));
}

static double length(struct rng *r, const double q[SERVEGEN_QUANTILES])
{
    double u = rng_unit(r);
    int i = 0;
    while (i + 1 < SERVEGEN_QUANTILES && u > servegen_shares[i])
        i++;
    double v = q[i];
    if (i > 0 && q[i - 1] > 0 && q[i] > q[i - 1]) {
        double share = (u - servegen_shares[i - 1]) / (servegen_shares[i] - servegen_shares[i - 1]);
        v = q[i - 1] * det_exp(share * det_log(q[i] / q[i - 1]));
    }
    return v < 1 ? 1 : v;
}

static void advance(struct renewal *r, struct renewal_client *c, double left)
{
    for (; c->window < c->last; c->window++) {
        const struct servegen_window *w = &r->tables.windows[c->window];
        double from_us = (double)w->from_us, until_us = from_us + (double)SERVEGEN_WINDOW_US;
        double per_us = w->rate_per_s * r->rate / 1e6;
        if (c->at_us < from_us)
            c->at_us = from_us;
        if (c->at_us >= until_us)
            continue;
        if (per_us * (until_us - c->at_us) > left) {
            c->at_us += left / per_us;
            return;
        }
        left -= per_us * (until_us - c->at_us);
        c->at_us = until_us;
    }
    c->at_us = (double)NEVER;
}

static void find_lengths(const struct servegen *t, int32_t client, struct renewal_client *c)
{
    while (c->lengths < t->n_lengths && t->lengths[c->lengths].client < client)
        c->lengths++;
    c->last_lengths = c->lengths;
    while (c->last_lengths < t->n_lengths && t->lengths[c->last_lengths].client == client)
        c->last_lengths++;
}

static void begin(struct renewal *r, uint64_t seed, int64_t from_us)
{
    const struct servegen *tables = &r->tables;
    int32_t n = 0;
    for (int32_t i = 0; i < tables->n_windows; i++)
        n += i == 0 || tables->windows[i].client != tables->windows[i - 1].client;
    r->clients = take_n(sizeof *r->clients, (size_t)n + 1);
    for (int32_t i = 0; i < tables->n_windows;) {
        int32_t client = tables->windows[i].client;
        struct renewal_client *c = &r->clients[r->n_clients++];
        c->window = i;
        while (i < tables->n_windows && tables->windows[i].client == client)
            i++;
        c->last = i;
        c->at_us = (double)from_us;
        find_lengths(tables, client, c);
        rng_seed(&c->rng, mix64(seed ^ ((uint64_t)client + 1) * 0x9e3779b97f4a7c15u));
        advance(r, c, gap(&c->rng, &tables->windows[c->window]));
    }
}

static enum err read_piece(void *ctx, struct str *bytes, struct diag *diag)
{
    return stream_in_read(ctx, bytes, diag);
}

typedef enum err (*read_table)(struct servegen *, struct arena *, struct str,
                               const struct trace_source *, struct diag *);

static enum err read_file(struct renewal *r, const char *path, read_table read, struct diag *diag)
{
    struct stream_in in;
    enum err e = stream_in_open(&in, path, diag);
    if (e)
        return e;
    const struct trace_source source = {&in, read_piece};
    e = read(&r->tables, &r->arena, str_of(path), &source, diag);
    stream_in_close(&in);
    return e;
}

enum err renewal_open(struct renewal *r, const struct renewal_config *c, struct diag *diag)
{
    *r = (struct renewal){.rate = c->rate};
    arena_init(&r->arena, TABLES_BYTES_MAX);
    enum err e = read_file(r, c->rates, servegen_rates, diag);
    if (!e)
        e = read_file(r, c->lengths, servegen_lengths, diag);
    if (!e)
        begin(r, c->seed, c->from_us);
    return e;
}

void renewal_release(struct renewal *r)
{
    arena_release(&r->arena);
    free(r->clients);
    *r = (struct renewal){0};
}

static const struct servegen_lengths *lengths_at(struct renewal *r, struct renewal_client *c)
{
    const struct servegen *t = &r->tables;
    if (c->lengths == c->last_lengths)
        return &t->lengths[rng_below(&c->rng, (uint64_t)t->n_lengths)];
    while (c->lengths + 1 < c->last_lengths &&
           (double)t->lengths[c->lengths + 1].from_us <= c->at_us)
        c->lengths++;
    return &t->lengths[c->lengths];
}

bool renewal_next(struct renewal *r, struct renewal_request *out)
{
    struct renewal_client *first = NULL;
    for (int32_t i = 0; i < r->n_clients; i++)
        if (!first || r->clients[i].at_us < first->at_us)
            first = &r->clients[i];
    if (!first || !(first->at_us < (double)NEVER))
        return false;
    const struct servegen_lengths *l = lengths_at(r, first);
    const struct servegen_window *w = &r->tables.windows[first->window];
    out->at_us = (int64_t)first->at_us;
    out->client = w->client;
    out->prompt_tok = (int32_t)(length(&first->rng, l->prompt) + 0.5);
    out->output_tok = (int32_t)(length(&first->rng, l->output) + 0.5);
    advance(r, first, gap(&first->rng, w));
    return true;
}
