#include "replay/arrivals_parts.h"

#include "base/arena.h"

#include <stdlib.h>

static enum err read_piece(void *ctx, struct str *bytes, struct diag *diag)
{
    return stream_in_read(ctx, bytes, diag);
}

static enum err open_pass(struct arrivals *a, struct diag *diag)
{
    enum err e = stream_in_open(&a->in, a->c.path, diag);
    if (e)
        return e;
    a->repeats = stream_in_repeats(&a->in);
    const struct trace_source source = {&a->in, read_piece};
    a->skipped = 0;
    a->first_us = -1;
    a->last_us = 0;
    a->in_pass = 0;
    for (int k = 0; k < TRACE_KINDS; k++)
        for (int32_t i = 0; i < TRACE_NAMES_MAX; i++)
            a->name[k][i] = UNSEEN;
    return trace_new(&a->trace, str_of(a->in.name), &source, diag);
}

static void close_pass(struct arrivals *a)
{
    trace_free(a->trace);
    a->trace = NULL;
    stream_in_close(&a->in);
}

// Who serves what, as far as names go: whether a pool is active is the router's to say.
static void look_at_models(struct arrivals *a)
{
    const struct portfolio *p = a->c.p;
    a->served = take_n(sizeof *a->served, (size_t)p->n_models + 1);
    a->class_looked = take_n(sizeof *a->class_looked, (size_t)p->n_classes + 1);
    for (int32_t i = 0; i < p->n_pools; i++)
        for (int32_t k = 0; k < p->pools[i].n_serves && !p->pools[i].shadow.on; k++)
            a->served[p->pools[i].serves[k].model] = true;
    a->only_model = -1;
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_models; i++) {
        if (a->served[i] && n++ == 0)
            a->only_model = i;
    }
    a->serves_any = n > 0;
    if (n != 1)
        a->only_model = -1;
}

// When a trace without a date begins.
static int64_t begin_wall(const struct portfolio *p)
{
    int64_t first = NEVER;
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct pool *pool = &p->pools[i];
        if (pool_active(p, pool, ARRIVALS_WALL_US))
            return ARRIVALS_WALL_US;
        const struct contract *c = &p->contracts[pool->contract];  // without one it is active
        for (int32_t k = 0; k < c->n_phases; k++) {
            int64_t from_us = c->phases[k].from_us;
            if (from_us > ARRIVALS_WALL_US && from_us < first && pool_active(p, pool, from_us))
                first = from_us;
        }
    }
    return first < NEVER ? first : ARRIVALS_WALL_US;
}

static enum err hold_all(struct arrivals *a, struct diag *diag);

enum err arrivals_new(struct arrivals **out, const struct arrivals_config *c, struct diag *diag)
{
    struct arrivals *a = take(sizeof *a);
    a->c = *c;
    a->in.fd = -1;
    a->wall_us = c->wall_us;
    look_at_models(a);
    a->undated_us = begin_wall(c->p);
    enum err e = ERR_NONE;
    if (!a->serves_any) {
        e = diag_set(diag, ERR_INVALID,
                     "no pool of the portfolio serves a model: nobody could answer any request");
    } else if (!c->path) {
        if (c->p->n_demands == 0)
            e = diag_set(diag, ERR_MISSING, "the portfolio has no demand: section to replay");
        if (a->wall_us < 0)
            a->wall_us = a->undated_us;
        const struct demand_config d = {c->p,   a->wall_us + c->from_us, c->seed, c->cv, c->spread,
                                        c->rate};
        demand_init(&a->demand, &d);
    } else if (c->lengths) {
        const struct renewal_config r = {c->path, c->lengths, c->seed, c->rate, c->from_us};
        e = renewal_open(&a->renewal, &r, diag);
    } else {
        e = open_pass(a, diag);
        if (!e && c->sort)
            e = hold_all(a, diag);
        else if (!e && c->repeat > 1 && !a->repeats)
            e = diag_set(diag, ERR_INVALID,
                         "%s cannot be read twice, as --repeat would: use a file", a->in.name);
    }
    if (e) {
        arrivals_free(a);
        return e;
    }
    *out = a;
    return ERR_NONE;
}

void arrivals_free(struct arrivals *a)
{
    if (!a)
        return;
    close_pass(a);
    demand_release(&a->demand);
    renewal_release(&a->renewal);
    free(a->served);
    free(a->class_looked);
    free(a->held);
    free(a->blocks);
    free(a);
}

int64_t arrivals_wall_us(const struct arrivals *a)
{
    if (a->wall_us >= 0)
        return a->wall_us;
    int64_t said = a->trace ? trace_wall_us(a->trace) : -1;
    return (said >= 0 ? said : a->undated_us) + a->c.from_us;
}

const struct arrivals_seen *arrivals_seen(const struct arrivals *a)
{
    return &a->seen;
}

bool arrivals_unknown(const struct arrivals *a, int32_t i, struct str *name, int64_t *count)
{
    for (int32_t k = 0; a->trace && k < trace_names(a->trace, TRACE_MODEL); k++) {
        if (a->unknown[k] && i-- == 0) {
            *name = trace_name(a->trace, TRACE_MODEL, k);
            *count = a->unknown[k];
            return true;
        }
    }
    return false;
}

// --- the trace --------------------------------------------------------------------------------

// The next line that can be read.
static enum err read_item(struct arrivals *a, struct trace_item *item, bool *more,
                          struct diag *diag)
{
    for (;;) {
        struct diag why;
        why.e = ERR_NONE;  // all that must be zero, in a loop that runs for every request
        enum err e = trace_next(a->trace, item, more, &why);
        if (!e)
            return ERR_NONE;
        if (trace_is_broken(a->trace) || a->skipped >= a->c.skip_bad)
            return diag_set(diag, e, "%s%s", why.text,
                            a->c.skip_bad && !trace_is_broken(a->trace)
                                ? "; that is one more than --skip-bad allows"
                                : "");
        if (a->seen.skipped++ == 0)
            memcpy(a->seen.first_fault, why.text, sizeof why.text);
        a->skipped++;
    }
}

static int by_time(const void *x, const void *y)
{
    const struct held *a = x, *b = y;
    if (a->item.at_us != b->item.at_us)
        return a->item.at_us < b->item.at_us ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

static void *more_room(void *p, size_t *size, size_t need, size_t each)
{
    while (*size < need)
        *size = *size ? 2 * *size : 1024;
    p = realloc(p, *size * each);
    CHECK(p);
    return p;
}

static enum err hold_all(struct arrivals *a, struct diag *diag)
{
    size_t size = 0, blocks_size = 0;
    for (;;) {
        struct trace_item item;
        bool more;
        enum err e = read_item(a, &item, &more, diag);
        if (e || !more) {
            if (a->n_held)
                qsort(a->held, a->n_held, sizeof *a->held, by_time);
            return e;
        }
        if (a->n_held == size)
            a->held = more_room(a->held, &size, a->n_held + 1, sizeof *a->held);
        if (item.n_blocks) {
            size_t need = a->n_blocks + (size_t)item.n_blocks;
            if (need > blocks_size)
                a->blocks = more_room(a->blocks, &blocks_size, need, sizeof *a->blocks);
            memcpy(a->blocks + a->n_blocks, item.blocks, (size_t)item.n_blocks * sizeof *a->blocks);
        }
        a->held[a->n_held++] = (struct held){item, trace_line(a->trace), a->n_blocks};
        a->n_blocks += (size_t)item.n_blocks;
    }
}

static enum err next_item(struct arrivals *a, struct trace_item *item, bool *more,
                          struct diag *diag)
{
    if (!a->c.sort) {
        enum err e = read_item(a, item, more, diag);
        a->lines += !e && *more;
        if (e || !*more || item->at_us >= a->last_us)
            return e;
        return diag_set(diag, ERR_INVALID,
                        "%s:%lld: time goes back, from %.6f s to %.6f s; --sort puts it in order",
                        a->in.name, (long long)trace_line(a->trace), (double)a->last_us / 1e6,
                        (double)item->at_us / 1e6);
    }
    *more = a->next_held < a->n_held;
    if (*more) {
        const struct held *h = &a->held[a->next_held++];
        *item = h->item;
        item->blocks = h->item.n_blocks ? a->blocks + h->block : NULL;
        a->lines++;
    }
    return ERR_NONE;
}

// The next pass follows this one at the distance that requests have on average.
static enum err begin_pass(struct arrivals *a, struct diag *diag)
{
    int64_t span = a->last_us - a->first_us;
    if (a->c.until_us < NEVER)
        span = a->c.until_us - a->c.from_us;
    else if (a->in_pass > 1)
        span += span / (a->in_pass - 1);
    a->offset_us += (int64_t)((double)span / a->c.rate);
    a->pass++;
    if (a->c.sort) {
        a->next_held = 0;
        a->first_us = -1;
        a->last_us = a->in_pass = 0;
        return ERR_NONE;
    }
    close_pass(a);
    return open_pass(a, diag);
}

static enum err next_of_trace(struct arrivals *a, struct arrival *out, bool *more,
                              struct diag *diag)
{
    struct trace_item item;
    for (;;) {
        enum err e = next_item(a, &item, more, diag);
        if (e)
            return e;
        bool past = *more && item.at_us >= a->c.until_us;
        if (*more && !past) {
            a->last_us = item.at_us;
            if (item.at_us >= a->c.from_us)
                break;
            a->seen.outside++;
            continue;
        }
        *more = false;
        if (a->lines == 0)
            return diag_set(diag, ERR_INVALID, "%s: the trace is empty", a->in.name);
        if (a->in_pass == 0)
            return diag_set(diag, ERR_INVALID,
                            "%s: none of its %lld requests is between --from and --to", a->in.name,
                            (long long)a->lines);
        if (a->pass + 1 >= a->c.repeat)
            return ERR_NONE;
        e = begin_pass(a, diag);
        if (e)
            return e;
    }
    if (a->in_pass++ == 0)
        a->first_us = item.at_us;
    int64_t gone_us = item.at_us - a->c.from_us;
    if (a->c.rate != 1)
        gone_us = (int64_t)((double)gone_us / a->c.rate);
    out->at_us = a->offset_us + gone_us;
    out->at_us = a->at_us = max_i64(out->at_us, a->at_us);
    out->user = item.user;
    out->prompt_tok = item.prompt_tok;
    out->output_tok = item.output_tok;
    out->blocks = item.blocks;
    out->n_blocks = item.n_blocks;
    return arrivals_find_names(a, &item, out, diag);
}

static enum err next_of_demand(struct arrivals *a, struct arrival *out, bool *more,
                               struct diag *diag)
{
    struct demand_request r;
    int64_t until_us = a->c.until_us < NEVER ? a->c.until_us - a->c.from_us : NEVER;
    *more = demand_next(&a->demand, &r) && r.at_us < until_us;
    if (!*more)
        return a->in_pass ? ERR_NONE
                          : diag_set(diag, ERR_INVALID, "the demand makes no request in this time");
    a->in_pass++;
    const struct demand *d = &a->c.p->demands[r.stream];
    *out = (struct arrival){.at_us = r.at_us,
                            .prompt_tok = r.prompt_tok,
                            .output_tok = r.output_tok,
                            .model = d->model,
                            .class = a->c.class >= 0 ? a->c.class : d->class,
                            .tenant = d->tenant};
    if (out->model < 0)
        out->model = a->c.model >= 0 ? a->c.model : a->only_model;
    if (out->model < 0)
        return diag_set(diag, ERR_INVALID, "demand." STR_FMT " names no model: say --model NAME",
                        STR_ARG(d->name));
    if (out->class < 0)
        out->class = a->c.p->serve.default_class;
    enum err e = arrivals_check_model(a, out->model, diag);
    return e ? e : arrivals_check_class(a, out->class, diag);
}

static enum err next_of_tables(struct arrivals *a, struct arrival *out, bool *more,
                               struct diag *diag)
{
    struct renewal_request r;
    *more = renewal_next(&a->renewal, &r) && r.at_us < a->c.until_us;
    if (!*more)
        return a->in_pass ? ERR_NONE
                          : diag_set(diag, ERR_INVALID,
                                     "%s makes no request between --from and --to", a->c.path);
    a->in_pass++;
    const struct trace_item item = {.name = {-1, -1, -1}};
    *out = (struct arrival){.at_us = r.at_us - a->c.from_us,
                            .prompt_tok = r.prompt_tok,
                            .output_tok = r.output_tok,
                            .user = (uint64_t)r.client + 1};
    return arrivals_find_names(a, &item, out, diag);
}

enum err arrivals_next(struct arrivals *a, struct arrival *out, bool *more, struct diag *diag)
{
    if (a->c.lengths)
        return next_of_tables(a, out, more, diag);
    return a->c.path ? next_of_trace(a, out, more, diag) : next_of_demand(a, out, more, diag);
}
