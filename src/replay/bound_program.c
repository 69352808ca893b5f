// The program: each group's work on pools, in fractions of the group.
//
//   least   sum x * cost + beyond commitments
//   so that all of a group is done or left unserved                     a row for each group
//           what is used of a series in a bucket, and came over from the bucket before,
//             less what goes over to the next, is at most what there is     a row where scarce
//           what goes over is at most what came in the window               a row where scarce
//           what is drawn of a commitment is at most its amount             a row where scarce
//
// A thing of which there is enough even if all that may use it does has no row, and costs nothing.

#include "replay/bound_inside.h"

#include "io/lp.h"

enum { WINDOW_MOST = 3 };  // beyond it, what goes over is not bounded

struct option {  // of a group
    int32_t unit;
    double stand_in_nusd;
    struct least_cost cost;
};

struct program {
    struct bounding *b;
    struct lp *lp;
    int32_t **over;     // [n_series][n_buckets]: row that bounds what goes over; -1: none
    double *demand_of;  // cost of the dearest choice of each group, to scale by
    double scale;       // of money
    struct option *options;
    int32_t n_options;
};

static void find_options(struct program *g, const struct arrival *r)
{
    const struct bounding *b = g->b;
    int64_t patience_us = class_patience_us(b->c->p, r->class) + b->bucket_us;
    const struct least *l = least_at(b, r->at_us);
    g->n_options = 0;
    for (int32_t i = 0; i < l->n_units; i++) {
        const struct least_unit *u = &l->units[i];
        if (!least_may(l, u, r) || !series_is_there(b, u, r->at_us, patience_us))
            continue;
        struct option *o = &g->options[g->n_options++];
        o->unit = i;
        least_of(l, u, r, &o->cost);
        o->stand_in_nusd = least_stand_in(l, u, r);
    }
}

static double priced(const struct bounding *b, const struct option *o)
{
    return o->cost.power_nusd + o->cost.waiting_nusd + o->stand_in_nusd +
           (b->least->units[o->unit].contract < 0 ? (double)o->cost.list_nusd : 0);
}

// --- what could be scarce ---------------------------------------------------------------------

static void want(struct program *g)
{
    struct bounding *b = g->b;
    double sum = 0;
    for (int32_t i = 0; i < b->groups.n; i++) {
        struct arrival r = group_mean(&b->groups, i);
        int32_t bucket = b->groups.all[i].key.bucket;
        double n = b->groups.all[i].n, most = 0;
        find_options(g, &r);
        for (int32_t k = 0; k < g->n_options; k++) {
            const struct option *o = &g->options[k];
            const struct least_unit *u = &b->least->units[o->unit];
            double nusd = priced(b, o) + (u->contract >= 0 ? (double)o->cost.list_nusd : 0);
            most = nusd > most ? nusd : most;
            for (int s = 0; s < SERIES_KINDS; s++) {
                int32_t at = b->units[o->unit].of[s];
                if (at >= 0)
                    b->series[at].wanted[bucket] +=
                        n * series_use(b, (enum series_kind)s, u, &r, &o->cost);
            }
            if (u->contract >= 0)
                prepaid_at(b, u->contract, r.at_us)->wanted += n * o->cost.units;
        }
        sum += n * most;
    }
    g->scale = sum > 0 ? b->groups.n / sum : 1;
}

static double unit_of(const struct bounding *b, const struct series *s)
{
    return s->each * (double)b->bucket_us;
}

static void add_rows(struct program *g)
{
    struct bounding *b = g->b;
    for (int32_t i = 0; i < b->groups.n; i++)
        lp_row(g->lp, 1, 1);
    for (int32_t i = 0; i < b->n_series; i++) {
        struct series *s = &b->series[i];
        for (int32_t k = 0; k < b->n_buckets; k++) {
            // What comes over is of the buckets before, at most of as many as the window is wide.
            double wanted = 0;
            for (int32_t w = k > b->window ? k - b->window : 0; w <= k; w++)
                wanted += s->wanted[w];
            if (s->wanted[k] > s->there[k] || (s->wanted[k] > 0 && wanted > s->there[k] * 1.5))
                s->row[k] = lp_row(g->lp, -LP_FREE, s->there[k] / unit_of(b, s));
        }
        for (int32_t k = 0; k < b->n_buckets && b->window <= WINDOW_MOST; k++)
            g->over[i][k] = s->row[k] >= 0 ? lp_row(g->lp, -LP_FREE, 0) : -1;
    }
    for (int32_t i = 0; i < b->n_prepaid; i++) {
        struct prepaid *c = &b->prepaid[i];
        if (c->wanted > c->there)
            c->row = lp_row(g->lp, -LP_FREE, c->there / c->wanted);
    }
}

// --- columns ----------------------------------------------------------------------------------

static void put_use(struct program *g, int32_t group, const struct arrival *r,
                    const struct option *o)
{
    const struct bounding *b = g->b;
    int32_t bucket = b->groups.all[group].key.bucket;
    double n = b->groups.all[group].n;
    for (int kind = 0; kind < SERIES_KINDS; kind++) {
        int32_t at = b->units[o->unit].of[kind];
        if (at < 0)
            continue;
        const struct series *s = &b->series[at];
        double use = n *
                     series_use(b, (enum series_kind)kind, &b->least->units[o->unit], r, &o->cost) /
                     unit_of(b, s);
        if (s->row[bucket] >= 0)
            lp_put(g->lp, s->row[bucket], use);
        for (int32_t w = bucket; w < b->n_buckets && w < bucket + b->window; w++)
            if (b->window <= WINDOW_MOST && g->over[at][w] >= 0)
                lp_put(g->lp, g->over[at][w], -use);
    }
}

static void add_option(struct program *g, int32_t group, const struct arrival *r,
                       const struct option *o)
{
    const struct bounding *b = g->b;
    const struct least_unit *u = &least_at(b, r->at_us)->units[o->unit];
    double n = b->groups.all[group].n, nusd = n * priced(b, o) * g->scale;
    const struct prepaid *c = u->contract >= 0 ? prepaid_at(b, u->contract, r->at_us) : NULL;
    bool scarce = c && c->row >= 0;
    lp_column(g->lp, nusd, 0, LP_FREE);
    lp_put(g->lp, group, 1);
    put_use(g, group, r, o);
    if (!scarce)
        return;
    lp_put(g->lp, c->row, n * o->cost.units / c->wanted);
    double beyond = u->beyond_nusd > 0 ? u->beyond_nusd * o->cost.units : (double)o->cost.list_nusd;
    lp_column(g->lp, nusd + n * beyond * g->scale, 0, LP_FREE);
    lp_put(g->lp, group, 1);
    put_use(g, group, r, o);
}

static void add_columns(struct program *g)
{
    struct bounding *b = g->b;
    for (int32_t i = 0; i < b->groups.n; i++) {
        struct arrival r = group_mean(&b->groups, i);
        bool imputed;
        find_options(g, &r);
        for (int32_t k = 0; k < g->n_options; k++)
            add_option(g, i, &r, &g->options[k]);
        double unserved = least_unserved(least_at(b, r.at_us), &r, &imputed);
        lp_column(g->lp, b->groups.all[i].n * unserved * g->scale, 0, LP_FREE);
        lp_put(g->lp, i, 1);
    }
    for (int32_t i = 0; i < b->n_series; i++) {
        const struct series *s = &b->series[i];
        for (int32_t k = 0; k < b->n_buckets; k++) {
            if (s->row[k] < 0)
                continue;
            lp_column(g->lp, 0, 0, LP_FREE);  // goes over to the next bucket
            lp_put(g->lp, s->row[k], -1);
            if (k + 1 < b->n_buckets && s->row[k + 1] >= 0)
                lp_put(g->lp, s->row[k + 1], 1);
            if (b->window <= WINDOW_MOST && g->over[i][k] >= 0)
                lp_put(g->lp, g->over[i][k], 1);
        }
    }
}

// --- prices -----------------------------------------------------------------------------------

static double price(const struct program *g, int32_t row, double unit)
{
    double dual = row >= 0 ? -lp_dual(g->lp, row) : 0;
    return dual > 0 ? dual / g->scale / unit : 0;
}

static void take_prices(struct program *g)
{
    struct bounding *b = g->b;
    for (int32_t i = 0; i < b->n_series; i++)
        for (int32_t k = 0; k < b->n_buckets; k++)
            b->series[i].price[k] = price(g, b->series[i].row[k], unit_of(b, &b->series[i]));
    for (int32_t i = 0; i < b->n_prepaid; i++)
        b->prepaid[i].price = price(g, b->prepaid[i].row, b->prepaid[i].wanted);
    b->out->program_scaled = lp_objective(g->lp);
    b->out->program_nusd = lp_objective(g->lp) / g->scale;
}

static bool make_room(struct program *g)
{
    struct bounding *b = g->b;
    g->options = arena_new(b->arena, struct option, b->least->n_units + 1);
    g->over = arena_new(b->arena, int32_t *, b->n_series + 1);
    for (int32_t i = 0; g->over && i < b->n_series; i++) {
        g->over[i] = arena_new(b->arena, int32_t, b->n_buckets);
        if (!g->over[i])
            return false;
    }
    return g->options && g->over;
}

enum err bound_program(struct bounding *b, struct diag *diag)
{
    struct program g = {.b = b};
    if (!make_room(&g))
        return ERR_LIMIT;
    g.lp = lp_new();
    want(&g);
    add_rows(&g);
    add_columns(&g);
    enum err e = b->c->write_path ? lp_write(g.lp, b->c->write_path, diag) : ERR_NONE;
    if (!e) {
        enum lp_status s = lp_solve(g.lp, 0);
        b->out->status = lp_status_text(s);
        b->out->rows = lp_rows(g.lp);
        b->out->columns = lp_columns(g.lp);
        b->out->steps = lp_steps(g.lp);
        if (s == LP_OPTIMAL)
            take_prices(&g);
    }
    lp_free(g.lp);
    return e;
}
