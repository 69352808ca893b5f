// What a trace calls models, tenants and classes, to those of the portfolio.

#include "replay/arrivals_parts.h"

#include <stdio.h>

// "FILE:LINE: " of the request that was read last; of what is made up nothing.
static const char *where(const struct arrivals *a, char out[DIAG_BYTES])
{
    out[0] = 0;
    if (!a->trace)
        return out;
    int64_t line = a->c.sort ? a->held[a->next_held - 1].line : trace_line(a->trace);
    snprintf(out, DIAG_BYTES, "%s:%lld: ", a->in.name, (long long)line);
    return out;
}

enum err arrivals_check_model(struct arrivals *a, int32_t model, struct diag *diag)
{
    if (a->served[model])
        return ERR_NONE;
    char place[DIAG_BYTES];
    return diag_set(diag, ERR_INVALID, "%snobody serves the model " STR_FMT, where(a, place),
                    STR_ARG(a->c.p->models[model].name));
}

enum err arrivals_check_class(struct arrivals *a, int32_t class, struct diag *diag)
{
    if (class < 0 || a->class_looked[class])
        return ERR_NONE;
    a->class_looked[class] = true;
    const struct class *c = &a->c.p->classes[class];
    if (c->ttft_us < NEVER || c->per_token_us < NEVER || c->deadline_us < NEVER)
        return ERR_NONE;
    char place[DIAG_BYTES];
    return diag_set(diag, ERR_INVALID,
                    "%sclass " STR_FMT
                    " states no target (ttft, per_token or deadline), so nobody can "
                    "say how many of its requests were answered well",
                    where(a, place), STR_ARG(c->name));
}

static enum err model_of_name(struct arrivals *a, struct str name, int32_t *out, struct diag *diag)
{
    *out = UNKNOWN;
    for (int32_t i = 0; i < a->c.n_maps; i++) {
        if (str_eq(a->c.maps[i].from, name)) {
            *out = a->c.maps[i].model;
            return arrivals_check_model(a, *out, diag);
        }
    }
    int32_t at;
    if (!table_get(a->c.p->model_names, name, &at))
        return ERR_NONE;
    *out = at;
    return arrivals_check_model(a, at, diag);
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
        return arrivals_check_model(a, out->model, diag);
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

enum err arrivals_find_names(struct arrivals *a, const struct trace_item *item, struct arrival *out,
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
    return arrivals_check_class(a, out->class, diag);
}
