// Who stands above whom, and what somebody is charged.

#include "portfolio/tenants.h"

#include <math.h>

static enum err check_above(const struct portfolio *p, const struct tenant *t, struct diag *diag)
{
    int32_t depth = 0;
    for (int32_t up = t->of; up >= 0; up = p->tenants[up].of) {
        if (&p->tenants[up] == t)
            return diag_set(diag, ERR_INVALID, "tenants." STR_FMT ".of: it would be above itself",
                            STR_ARG(t->name));
        if (++depth > TENANT_ABOVE_MAX)
            return diag_set(diag, ERR_INVALID,
                            "tenants." STR_FMT ".of: more than %d tenants stand above it",
                            STR_ARG(t->name), TENANT_ABOVE_MAX);
    }
    return ERR_NONE;
}

static bool has_index(const int32_t *all, int32_t n, int32_t one)
{
    for (int32_t i = 0; i < n; i++)
        if (all[i] == one)
            return true;
    return false;
}

// Of `*mine` those that `theirs` has too; -1 is all of them.
static enum err narrow(struct arena *a, int32_t **mine, int32_t *n_mine, const int32_t *theirs,
                       int32_t n_theirs)
{
    if (n_theirs < 0)
        return ERR_NONE;
    int32_t *both = arena_new(a, int32_t, n_theirs + 1), n = 0;
    if (!both)
        return ERR_LIMIT;
    for (int32_t i = 0; i < n_theirs; i++)
        if (*n_mine < 0 || has_index(*mine, *n_mine, theirs[i]))
            both[n++] = theirs[i];
    *mine = both;
    *n_mine = n;
    return ERR_NONE;
}

static bool has_text(const struct str *all, int32_t n, struct str one)
{
    for (int32_t i = 0; i < n; i++)
        if (str_eq(all[i], one))
            return true;
    return false;
}

static enum err narrow_regions(struct arena *a, struct tenant *t, const struct tenant *up)
{
    if (up->n_regions < 0)
        return ERR_NONE;
    struct str *both = arena_new(a, struct str, up->n_regions + 1);
    int32_t n = 0;
    if (!both)
        return ERR_LIMIT;
    for (int32_t i = 0; i < up->n_regions; i++)
        if (t->n_regions < 0 || has_text(t->regions, t->n_regions, up->regions[i]))
            both[n++] = up->regions[i];
    t->regions = both;
    t->n_regions = n;
    return ERR_NONE;
}

static enum err take_from(struct portfolio *p, struct tenant *t, const struct tenant *up)
{
    enum err e = narrow(p->arena, &t->models, &t->n_models, up->models, up->n_models);
    if (!e)
        e = narrow(p->arena, &t->classes, &t->n_classes, up->classes, up->n_classes);
    if (!e)
        e = narrow_regions(p->arena, t, up);
    if (t->markup < 0 && !t->n_prices) {
        t->markup = up->markup;
        t->prices = up->prices;
        t->n_prices = up->n_prices;
    }
    return e;
}

enum err tenants_seal(struct portfolio *p, struct diag *diag)
{
    for (int32_t i = 0; i < p->n_tenants; i++) {
        enum err e = check_above(p, &p->tenants[i], diag);
        if (e)
            return e;
    }
    // In any order: what one above has taken from those above it, this one takes from them as well.
    for (int32_t i = 0; i < p->n_tenants; i++) {
        struct tenant *t = &p->tenants[i];
        for (int32_t up = t->of; up >= 0; up = p->tenants[up].of) {
            if (take_from(p, t, &p->tenants[up]))
                return diag_set(diag, ERR_LIMIT,
                                "the portfolio is larger than its limit of memory");
        }
    }
    for (int32_t i = 0; i < p->n_tenants; i++)
        if (p->tenants[i].markup < 0)
            p->tenants[i].markup = 1;
    return ERR_NONE;
}

int64_t charged_of(const struct tenant *t, int32_t model, int64_t list_nusd, int64_t prompt_tok,
                   int64_t cached_tok, int64_t output_tok)
{
    if (!t)
        return list_nusd;
    for (int32_t i = 0; i < t->n_prices; i++)
        if (t->prices[i].model == model)
            return price_of(&t->prices[i].price, prompt_tok, cached_tok, output_tok);
    if (t->markup == 1 || t->markup < 0)
        return list_nusd;
    double charged = floor((double)list_nusd * t->markup + 0.5);
    return charged < 9.2e18 ? (int64_t)charged : INT64_MAX;
}

bool allowance_counts(const struct allowance *a)
{
    return a->requests_per_s > 0 || a->tokens_per_s > 0 || a->in_flight > 0 ||
           a->budget_day_nusd >= 0 || a->budget_month_uusd >= 0;
}

bool net_holds(const struct net *net, const unsigned char address[16])
{
    int32_t whole = net->bits / 8, rest = net->bits % 8;
    if (memcmp(net->address, address, (size_t)whole) != 0)
        return false;
    return !rest || (net->address[whole] ^ address[whole]) >> (8 - rest) == 0;
}
