#include "cli/import_pools.h"

#include "portfolio/check.h"

static bool same_supplier(const struct import_deployment *a, const struct import_deployment *b)
{
    return str_eq(str_of(a->provider->prefix), str_of(b->provider->prefix)) &&
           str_eq(a->url, b->url) && str_eq(a->key, b->key) &&
           !(a->first_byte_s < b->first_byte_s) && !(a->first_byte_s > b->first_byte_s) &&
           !(a->idle_s < b->idle_s) && !(a->idle_s > b->idle_s);
}

// The most that a deployment of the model of `d` says; not above 0: none says it.
static double most_of_model(const struct import *im, const struct import_deployment *d,
                            size_t member)
{
    double most = 0;
    for (const struct import_deployment *x = im->first; x; x = x->next) {
        double v = *(const double *)(const void *)((const char *)x + member);
        if (str_eq(x->model, d->model) && v > most)
            most = v;
    }
    return most;
}

// LiteLLM's simple-shuffle goes by the weights, else by rpm, else by tpm; who says none of what
// another says has the weight 0.
static void weigh_all(struct import *im)
{
    for (struct import_deployment *d = im->first; d; d = d->next) {
        d->share = -1;
        if (most_of_model(im, d, offsetof(struct import_deployment, weight)) > 0)
            d->share = d->weight > 0 ? d->weight : 0;
        else if (im->policy.n)
            continue;  // other strategies go by weights only
        else if (most_of_model(im, d, offsetof(struct import_deployment, requests_per_min)) > 0)
            d->share = d->requests_per_min;
        else if (most_of_model(im, d, offsetof(struct import_deployment, tokens_per_min)) > 0)
            d->share = d->tokens_per_min;
    }
}

// A share says nothing where there is nobody to share with.
static void drop_lone_shares(struct import *im)
{
    for (struct import_deployment *d = im->first; d; d = d->next) {
        int32_t n = 0;
        for (const struct import_deployment *x = im->first; x; x = x->next)
            n += str_eq(x->model, d->model);
        if (n < 2)
            d->share = -1;
    }
}

static bool is_plain(const struct import_deployment *d)
{
    return !(d->requests_per_min > 0) && !(d->tokens_per_min > 0) && !(d->in_flight > 0) &&
           d->share < 0 && d->order < 0;
}

bool import_pool_serves(const struct import_pools *w, int32_t pool, struct str model)
{
    int32_t i = 0;
    for (const struct import_deployment *d = w->im->first; d; d = d->next, i++)
        if (w->pool_of[i] == pool && str_eq(d->model, model))
            return true;
    return false;
}

static void assign(struct import_pools *w)
{
    int32_t i = 0;
    for (int32_t k = 0; k < w->im->n; k++)
        w->pool_of[k] = -1;
    for (struct import_deployment *d = w->im->first; d; d = d->next, i++) {
        d->supplier = 0;
        while (d->supplier < w->n_suppliers && !same_supplier(w->of_supplier[d->supplier], d))
            d->supplier++;
        if (d->supplier == w->n_suppliers)
            w->of_supplier[w->n_suppliers++] = d;
        int32_t g = 0;
        while (g < w->n_pools &&
               !(w->pools[g].plain && is_plain(d) && w->pools[g].first->supplier == d->supplier &&
                 !import_pool_serves(w, g, d->model)))
            g++;
        if (g == w->n_pools)
            w->pools[w->n_pools++] = (struct import_pool){.first = d, .plain = is_plain(d)};
        w->pool_of[i] = g;
    }
}

// `base`, with a number behind it when another has that name.
static struct str unique(struct arena *a, struct str base,
                         struct str (*name)(struct import_pools *, int32_t), struct import_pools *w,
                         int32_t n)
{
    struct str out = base;
    bool taken = true;
    for (int32_t k = 2; taken; k++) {
        taken = false;
        for (int32_t i = 0; i < n && !taken; i++)
            taken = str_eq(name(w, i), out);
        if (taken)
            out = arena_printf(a, STR_FMT "-%d", STR_ARG(base), (int)k);
    }
    return out;
}

static struct str supplier_name(struct import_pools *w, int32_t i)
{
    return w->supplier_name[i];
}

static struct str pool_name(struct import_pools *w, int32_t i)
{
    return w->pools[i].name;
}

// "azure-eastus" of https://eastus.openai.azure.com, where one provider has several accounts.
static struct str account_name(struct import_pools *w, const struct import_deployment *d)
{
    struct str prefix = str_of(d->provider->prefix), host = url_host(d->url), label;
    int32_t alike = 0;
    for (int32_t i = 0; i < w->n_suppliers; i++)
        alike += w->of_supplier[i]->provider == d->provider;
    bool literal = d->url.n && !memchr(d->url.p, '$', d->url.n);
    if (alike < 2 || d->provider->url || !literal || !str_cut(&host, '.', &label) || !label.n ||
        (label.p[0] >= '0' && label.p[0] <= '9') || label.p[0] == '[')
        return prefix;
    return arena_printf(w->im->a, STR_FMT "-" STR_FMT, STR_ARG(prefix), STR_ARG(label));
}

static void name_all(struct import_pools *w)
{
    struct arena *a = w->im->a;
    for (int32_t i = 0; i < w->n_suppliers; i++)
        w->supplier_name[i] = unique(a, account_name(w, w->of_supplier[i]), supplier_name, w, i);
    for (int32_t g = 0; g < w->n_pools; g++) {
        int32_t of_supplier = 0, s = w->pools[g].first->supplier;
        for (int32_t k = 0; k < w->n_pools; k++)
            of_supplier += w->pools[k].first->supplier == s;
        struct str base = w->supplier_name[s];
        if (of_supplier > 1)
            base = arena_printf(a, STR_FMT "-" STR_FMT, STR_ARG(base),
                                STR_ARG(w->pools[g].first->model));
        if (base.n > 120)
            base.n = 120;
        w->pools[g].name = unique(a, base, pool_name, w, g);
    }
}

bool import_pools_make(struct import_pools *w, struct import *im)
{
    size_t n = (size_t)im->n + 1;
    *w = (struct import_pools){.im = im,
                               .of_supplier = arena_new(im->a, struct import_deployment *, n),
                               .supplier_name = arena_new(im->a, struct str, n),
                               .pools = arena_new(im->a, struct import_pool, n),
                               .pool_of = arena_new(im->a, int32_t, n)};
    if (!w->of_supplier || !w->supplier_name || !w->pools || !w->pool_of) {
        im->full = true;
        return false;
    }
    weigh_all(im);
    drop_lone_shares(im);
    assign(w);
    name_all(w);
    return true;
}
