#include "replay/decisions.h"

#include "io/spool.h"
#include "replay/kept.h"
#include "route/live.h"

#include <inttypes.h>
#include <stdlib.h>

enum { GENERATIONS_MAX = 64, GENERATION_BYTES_MAX = 1 << 30 };

struct portfolio_in_use {
    int64_t serial;
    struct arena arena;
    struct route *route;
};

struct player {
    const struct portfolio *p;
    struct arena *arena;
    struct live *live;
    struct portfolio_in_use generations[GENERATIONS_MAX];  // oldest first
    int32_t n_generations;
    struct kept kept;
    struct woken {  // who went, and is not compared yet
        int64_t generation;
        struct route_woken woken;
    } * woken;  // [woken_size]
    size_t woken_at, n_woken, woken_size;
    uint64_t last;  // number of the record before
    struct decisions_result *out;
    bool over;
    struct diag *diag;
};

static enum err strange(struct player *l, const struct decisions_record *r, const char *what)
{
    return diag_set(l->diag, ERR_INVALID, "record %" PRIu64 " of the event log %s", r->number,
                    what);
}

static void stop(struct player *l, enum decisions_end why)
{
    l->out->end = why;
    l->over = true;
}

static struct route *route_of(const struct player *l, int64_t serial)
{
    for (int32_t i = 0; i < l->n_generations; i++)
        if (l->generations[i].serial == serial)
            return l->generations[i].route;
    return NULL;
}

// --- portfolios -------------------------------------------------------------------------------

static enum err begin_generation(struct player *l, const struct decisions_record *r)
{
    if (r->fingerprint != l->p->fingerprint && l->out->generations > 0) {
        stop(l, DECISIONS_RELOADED);
        return ERR_NONE;
    }
    if (r->fingerprint != l->p->fingerprint)
        return diag_set(l->diag, ERR_INVALID,
                        "the event log was written over other portfolio files than these");
    if (l->n_generations == GENERATIONS_MAX)
        return strange(l, r, "is one portfolio too many");
    struct portfolio_in_use *g = &l->generations[l->n_generations];
    arena_init(&g->arena, GENERATION_BYTES_MAX);
    struct str policy = arena_str(&g->arena, r->policy);
    enum err e = route_new(&g->route, &g->arena, l->p, l->live, policy.p ? policy.p : "", l->diag);
    if (e) {
        arena_release(&g->arena);
        return l->diag->text[0] ? e : diag_set(l->diag, e, "the portfolio is too large");
    }
    g->serial = r->generation;
    l->n_generations++;
    l->out->generations++;
    return ERR_NONE;
}

static void end_generation(struct player *l, int64_t serial)
{
    for (int32_t i = 0; i < l->n_generations; i++) {
        if (l->generations[i].serial != serial)
            continue;
        route_leave(l->generations[i].route);
        arena_release(&l->generations[i].arena);
        memmove(&l->generations[i], &l->generations[i + 1],
                (size_t)(--l->n_generations - i) * sizeof *l->generations);
        if (i == l->n_generations && i > 0)
            route_lead(l->generations[l->n_generations - 1].route);
        return;
    }
}

// --- comparing --------------------------------------------------------------------------------

// To the last bit of what it is expected to cost.
static bool is_same(const struct route_decision *x, const struct route_decision *y)
{
    bool alike = x->verdict == y->verdict && x->pool == y->pool && x->model == y->model &&
                 x->bar == y->bar && x->probe_number == y->probe_number && x->panic == y->panic &&
                 x->until_us == y->until_us && x->usable == y->usable;
    return alike &&
           (x->pool < 0 || (memcmp(&x->terms.total, &y->terms.total, sizeof(double)) == 0 &&
                            memcmp(&x->terms.score, &y->terms.score, sizeof(double)) == 0));
}

static void compare(struct player *l, const struct decisions_record *r, const struct route *route,
                    const struct route_decision *found)
{
    struct decisions_result *out = l->out;
    out->answers++;
    if (is_same(r->decision, found)) {
        out->equal++;
        return;
    }
    out->number = r->number;
    out->now_us = r->now_us;
    out->waited = r->kind == DECISIONS_WOKEN;
    out->said = *r->decision;
    out->found = *found;
    if (!out->waited) {
        out->ask = *r->ask;
        int32_t n = route_explain(route, r->ask, r->now_us, NULL, 0);
        out->candidates = arena_new(l->arena, struct route_candidate, n + 1);
        out->n = out->candidates ? n : 0;
        route_explain(route, r->ask, r->now_us, out->candidates, out->n);
    }
    stop(l, DECISIONS_DIFFERS);
}

// --- telling ----------------------------------------------------------------------------------

// As core.c wakes: every portfolio in use, the oldest first.
static void wake(struct player *l, int64_t now_us)
{
    for (int32_t i = 0; i < l->n_generations; i++) {
        struct woken w = {.generation = l->generations[i].serial};
        struct route *route = l->generations[i].route;
        while (route_waiting(route) && route_next(route, &w.woken, now_us)) {
            if (l->n_woken == l->woken_size) {
                l->woken_size = l->woken_size ? 2 * l->woken_size : 256;
                l->woken = realloc(l->woken, l->woken_size * sizeof *l->woken);
                CHECK(l->woken);
            }
            l->woken[l->n_woken++] = w;
        }
    }
}

static void on_pick(struct player *l, struct route *route, const struct decisions_record *r)
{
    struct kept_row row = {.number = r->number, .ticket = -1};
    row.decision = r->kind == DECISIONS_PICK ? route_pick(route, r->ask, r->now_us)
                                             : route_shadow(route, r->ask, r->place, r->now_us);
    compare(l, r, route, &row.decision);
    if (l->over || row.decision.verdict != ROUTE_SEND)
        return;
    route_took(route, r->ask, &row.decision, r->now_us);
    kept_add(&l->kept, &row);
}

static enum err on_woken(struct player *l, struct route *route, const struct decisions_record *r)
{
    const struct woken *w = l->woken_at < l->n_woken ? &l->woken[l->woken_at] : NULL;
    static const struct route_decision nobody = {
        .verdict = ROUTE_WAIT, .pool = -1, .why = "nobody who waits may go"};
    bool its = w && w->woken.user == r->of && w->generation == r->generation;
    compare(l, r, route, its ? &w->woken.decision : &nobody);
    if (l->over)
        return ERR_NONE;
    struct kept_row row = {.number = r->number, .decision = w->woken.decision, .ticket = -1};
    l->woken_at++;
    kept_remove(&l->kept, r->of);
    if (row.decision.verdict == ROUTE_SEND)
        kept_add(&l->kept, &row);
    return ERR_NONE;
}

static void on_wait(struct player *l, struct route *route, const struct decisions_record *r)
{
    struct kept_row row = {.number = r->number};
    size_t bytes = (size_t)r->ask->n_blocks * sizeof *row.blocks;
    if (bytes) {  // the line borrows them
        row.blocks = take(bytes);
        memcpy(row.blocks, r->ask->blocks, bytes);
        r->ask->blocks = row.blocks;
    }
    row.ticket = route_wait(route, r->ask, r->number, r->now_us);
    l->out->answers++;
    if ((row.ticket >= 0) == r->yes) {
        l->out->equal++;
    } else {
        l->out->number = r->number;
        l->out->now_us = r->now_us;
        l->out->waited = true;
        l->out->said.why = r->yes ? "it had a place in the line" : "it had no place in the line";
        l->out->found.why = r->yes ? "it has no place in the line" : "it has a place in the line";
        stop(l, DECISIONS_DIFFERS);
    }
    if (row.ticket >= 0)
        kept_add(&l->kept, &row);
    else
        free(row.blocks);
}

// What is told of a decision or a wait before.
static enum err on_later(struct player *l, struct route *route, const struct decisions_record *r)
{
    const struct kept_row *row = kept_find(&l->kept, r->of);
    if (!row || (row->ticket >= 0) != (r->kind == DECISIONS_CANCEL))
        return strange(l, r, "is about a record that is not before it");
    const struct route_decision d = row->decision;
    switch (r->kind) {
    case DECISIONS_FIRST: route_first(route, &d, r->ttft_us, r->now_us); break;
    case DECISIONS_DRAW: route_draw(route, r->ask, &d, r->seen, r->now_us); return ERR_NONE;
    case DECISIONS_DONE:
        route_done(route, r->ask, &d, r->seen, r->now_us);
        kept_remove(&l->kept, r->of);
        break;
    default:
        route_cancel(route, row->ticket);
        kept_remove(&l->kept, r->of);
        break;
    }
    wake(l, r->now_us);
    return ERR_NONE;
}

static enum err tell(struct player *l, const struct decisions_record *r)
{
    struct route *route = route_of(l, r->generation);
    switch (r->kind) {
    case DECISIONS_GENERATION: return begin_generation(l, r);
    case DECISIONS_FORGET: end_generation(l, r->generation); return ERR_NONE;
    case DECISIONS_LOOK: wake(l, r->now_us); return ERR_NONE;
    case DECISIONS_GAP:
        l->out->lost = r->lost;
        stop(l, DECISIONS_LACKS);
        return ERR_NONE;
    case DECISIONS_END: stop(l, r->yes ? DECISIONS_FULL : DECISIONS_WHOLE); return ERR_NONE;
    default: break;
    }
    if (!route)
        return strange(l, r, "is of a portfolio that is not in use");
    switch (r->kind) {
    case DECISIONS_PICK:
    case DECISIONS_SHADOW: on_pick(l, route, r); break;
    case DECISIONS_WAIT: on_wait(l, route, r); break;
    case DECISIONS_WOKEN: return on_woken(l, route, r);
    case DECISIONS_READY: route_set_ready(route, r->place, r->yes); break;
    case DECISIONS_LEVER: route_set_lever(route, r->place, r->lever); break;
    case DECISIONS_USED:
        route_commitment_used(route, r->place, r->used, r->now_us, r->wall_us);
        break;
    case DECISIONS_PRICED: route_set_price(route, r->place, &r->price, r->now_us); break;
    default: return on_later(l, route, r);
    }
    return ERR_NONE;
}

// --- what a log may say -----------------------------------------------------------------------

static bool is_index(int32_t i, int32_t least, int32_t n)
{
    return i >= least && i < n;
}

static bool asks_right(const struct portfolio *p, const struct route_ask *a)
{
    for (int32_t i = 0; i < a->n_tried; i++)
        if (!is_index(a->tried[i], 0, p->n_pools))
            return false;
    return is_index(a->model, -1, p->n_models) && is_index(a->class, -1, p->n_classes) &&
           is_index(a->tenant, -1, p->n_tenants);
}

// The core trusts its caller; a file is not to be trusted.
static bool makes_sense(const struct portfolio *p, const struct decisions_record *r)
{
    switch (r->kind) {
    case DECISIONS_SHADOW:
        if (!is_index(r->place, 0, p->n_pools) || !is_index(r->ask->model, 0, p->n_models) ||
            !p->pools[r->place].shadow.on || !pool_serving(&p->pools[r->place], r->ask->model))
            return false;
        return asks_right(p, r->ask);
    case DECISIONS_PICK:
    case DECISIONS_DRAW:
    case DECISIONS_DONE:
    case DECISIONS_WAIT: return asks_right(p, r->ask);
    case DECISIONS_READY: return is_index(r->place, 0, p->n_pools);
    case DECISIONS_LEVER: return is_index(r->place, 0, p->n_pools);
    case DECISIONS_USED:
    case DECISIONS_PRICED: return is_index(r->place, 0, p->n_contracts);
    default: return true;
    }
}

static enum err play(struct player *l, const struct decisions_record *r)
{
    // What was woken stands behind what woke it.
    if (r->kind != DECISIONS_WOKEN && l->woken_at < l->n_woken) {
        l->out->answers++;
        l->out->number = r->number;
        l->out->now_us = r->now_us;
        l->out->waited = true;
        l->out->said = (struct route_decision){
            .verdict = ROUTE_WAIT, .pool = -1, .why = "nobody who waits may go"};
        l->out->found = l->woken[l->woken_at].woken.decision;
        stop(l, DECISIONS_DIFFERS);
        return ERR_NONE;
    }
    if (r->kind != DECISIONS_WOKEN)
        l->woken_at = l->n_woken = 0;
    if (r->kind != DECISIONS_GAP && r->number != l->last + 1) {
        l->out->lost = r->number > l->last ? r->number - l->last - 1 : 0;
        stop(l, DECISIONS_LACKS);
        return ERR_NONE;
    }
    l->last = r->number;
    l->out->records++;
    if (!makes_sense(l->p, r))
        return strange(l, r, "names what the portfolio does not have");
    return tell(l, r);
}

static enum err play_all(struct player *l, struct spool_reader *file, struct str path)
{
    struct diag why = {0};
    enum err e = decisions_head_read(spool_head(file), &why);
    if (e)
        return diag_set(l->diag, e, STR_FMT ": %s", STR_ARG(path), why.text);
    for (struct str records; !e && !l->over;) {
        e = spool_next(file, &records, l->diag);
        if (!e && !records.n)
            break;
        while (!e && !l->over && records.n) {
            struct decisions_record r;
            struct decisions_reader room;
            if (decisions_read(&r, &room, &records))
                e = diag_set(l->diag, ERR_INVALID,
                             "the record behind number %" PRIu64 " of the event log is damaged",
                             l->last);
            else
                e = play(l, &r);
        }
    }
    return e;
}

enum err decisions_run(struct decisions_result *out, struct arena *a, const struct portfolio *p,
                       struct str path, struct diag *diag)
{
    struct player l = {.p = p, .arena = a, .out = out, .diag = diag};
    struct spool_reader *file;
    *out = (struct decisions_result){.end = DECISIONS_CUT_SHORT};
    enum err e = spool_open_read(&file, path, DECISIONS_HEAD_BYTES, diag);
    if (e)
        return e;
    e = live_new(&l.live, a, LIVE_POOLS_MAX, LIVE_PAIRS_MAX);
    if (!e)
        e = live_remember(l.live, a);
    e = e ? diag_set(diag, e, "the portfolio is too large") : play_all(&l, file, path);
    spool_close(file);
    while (l.n_generations)
        end_generation(&l, l.generations[0].serial);
    kept_release(&l.kept);
    free(l.woken);
    return e;
}
