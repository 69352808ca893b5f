#include "replay/arrivals.h"

#include "base/arena.h"
#include "io/stream.h"
#include "replay/demand.h"
#include "replay/renewal.h"

#include <stdlib.h>

enum { UNSEEN = -3, UNKNOWN = -2 };  // what a name of the trace may stand for, besides an index

struct held {  // one request of a trace that is sorted
    struct trace_item item;
    int64_t line;
    size_t block;  // its first in `blocks`
};

struct arrivals {
    struct arrivals_config c;
    struct stream_in in;
    struct trace *trace;
    bool repeats;
    int32_t pass;
    int64_t first_us, last_us;  // of this pass, in the trace's time; first -1: none yet
    int64_t in_pass, lines;
    int64_t offset_us;  // of this pass
    int64_t at_us;      // of the last arrival
    int64_t skipped;    // in this pass
    int64_t wall_us, undated_us;
    int32_t only_model;  // the one that the portfolio serves; -1: there are several
    int32_t name[TRACE_KINDS][TRACE_NAMES_MAX];
    int64_t unknown[TRACE_NAMES_MAX];
    bool *served, *class_looked;
    struct arrivals_seen seen;
    struct demand_source demand;
    struct renewal renewal;
    struct held *held;  // sorted
    uint64_t *blocks;
    size_t n_held, next_held, n_blocks;
};

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
    if (!c->path) {
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

// --- names ------------------------------------------------------------------------------------

static enum err check_model(struct arrivals *a, int32_t model, struct diag *diag)
{
    if (a->served[model])
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID, "nobody serves the model " STR_FMT,
                    STR_ARG(a->c.p->models[model].name));
}

static enum err check_class(struct arrivals *a, int32_t class, struct diag *diag)
{
    if (class < 0 || a->class_looked[class])
        return ERR_NONE;
    a->class_looked[class] = true;
    const struct class *c = &a->c.p->classes[class];
    if (c->ttft_us < NEVER || c->per_token_us < NEVER || c->deadline_us < NEVER)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID,
                    "class " STR_FMT
                    " states no target (ttft, per_token or deadline), so nobody can "
                    "say how many of its requests were answered well",
                    STR_ARG(c->name));
}

static enum err model_of_name(struct arrivals *a, struct str name, int32_t *out, struct diag *diag)
{
    *out = UNKNOWN;
    for (int32_t i = 0; i < a->c.n_maps; i++) {
        if (str_eq(a->c.maps[i].from, name)) {
            *out = a->c.maps[i].model;
            return check_model(a, *out, diag);
        }
    }
    int32_t at;
    if (!table_get(a->c.p->model_names, name, &at))
        return ERR_NONE;
    *out = at;
    return check_model(a, at, diag);
}

static int32_t tenant_of_name(const struct portfolio *p, struct str name)
{
    for (int32_t i = 0; i < p->n_tenants; i++)
        if (str_eq(p->tenants[i].name, name))
            return i;
    return UNKNOWN;
}

// What the trace's name stands for, looked up once.
static enum err look_up(struct arrivals *a, enum trace_kind kind, int32_t i, int32_t *out,
                        struct diag *diag)
{
    int32_t *slot = &a->name[kind][i];
    enum err e = ERR_NONE;
    if (*slot == UNSEEN) {
        struct str name = trace_name(a->trace, kind, i);
        *slot = UNKNOWN;
        if (kind == TRACE_MODEL)
            e = model_of_name(a, name, slot, diag);
        else if (kind == TRACE_TENANT)
            *slot = tenant_of_name(a->c.p, name);
        else
            table_get(a->c.p->class_names, name, slot);
    }
    *out = *slot;
    return e;
}

static enum err find_model(struct arrivals *a, const struct trace_item *item, struct arrival *out,
                           struct diag *diag)
{
    int32_t said = item->name[TRACE_MODEL];
    if (said < 0) {
        out->model = a->c.model >= 0 ? a->c.model : a->only_model;
        if (out->model < 0)
            return diag_set(
                diag, ERR_INVALID,
                "%s names no models, and the portfolio serves several: say --model NAME",
                a->c.path);
        return check_model(a, out->model, diag);
    }
    enum err e = look_up(a, TRACE_MODEL, said, &out->model, diag);
    if (out->model == UNKNOWN) {
        out->model = -1;
        a->unknown[said]++;
        a->seen.unknown_models++;
    }
    return e;
}

// All its names have been looked up before, and found.
static bool names_known(const struct arrivals *a, const struct trace_item *item,
                        struct arrival *out)
{
    int32_t model = item->name[TRACE_MODEL], class = item->name[TRACE_CLASS],
            tenant = item->name[TRACE_TENANT];
    if (model < 0 || class < 0 || a->c.class >= 0)
        return false;
    out->model = a->name[TRACE_MODEL][model];
    out->class = a->name[TRACE_CLASS][class];
    out->tenant = tenant < 0 ? -1 : a->name[TRACE_TENANT][tenant];
    return out->model >= 0 && out->class >= 0 && out->tenant >= -1 && a->class_looked[out->class];
}

static enum err find_names(struct arrivals *a, const struct trace_item *item, struct arrival *out,
                           struct diag *diag)
{
    if (names_known(a, item, out))
        return ERR_NONE;
    const struct portfolio *p = a->c.p;
    enum err e = find_model(a, item, out, diag);
    out->tenant = out->class = -1;
    if (!e && item->name[TRACE_TENANT] >= 0)
        e = look_up(a, TRACE_TENANT, item->name[TRACE_TENANT], &out->tenant, diag);
    if (!e && item->name[TRACE_CLASS] >= 0 && a->c.class < 0)
        e = look_up(a, TRACE_CLASS, item->name[TRACE_CLASS], &out->class, diag);
    if (e)
        return e;
    a->seen.unknown_tenants += out->tenant == UNKNOWN;
    a->seen.unknown_classes += out->class == UNKNOWN;
    out->tenant = out->tenant == UNKNOWN ? -1 : out->tenant;
    if (a->c.class >= 0)
        out->class = a->c.class;
    else if (out->class < 0 && out->tenant >= 0 && p->tenants[out->tenant].default_class >= 0)
        out->class = p->tenants[out->tenant].default_class;
    else if (out->class < 0)
        out->class = p->serve.default_class;
    return check_class(a, out->class, diag);
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
    return find_names(a, &item, out, diag);
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
    enum err e = check_model(a, out->model, diag);
    return e ? e : check_class(a, out->class, diag);
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
    return find_names(a, &item, out, diag);
}

enum err arrivals_next(struct arrivals *a, struct arrival *out, bool *more, struct diag *diag)
{
    if (a->c.lengths)
        return next_of_tables(a, out, more, diag);
    return a->c.path ? next_of_trace(a, out, more, diag) : next_of_demand(a, out, more, diag);
}
