// What is odd about those who ask: who cannot, and limits that contradict each other.

#include "portfolio/check_inside.h"

#include "base/units.h"

#include <stdio.h>

// Whose limits are looked at: a tenant, or one of its keys.
struct who {
    const struct check *c;
    struct place place;
    struct str name;
    const struct allowance *mine;
};

static void say(const struct who *w, const char *key, const char *text)
{
    check_say(w->c, SEVERITY_WARNING, w->place, "tenants", w->name, key, "%s", text);
}

static void exceeds(const struct who *w, const char *key, struct str above)
{
    check_say(w->c, SEVERITY_WARNING, w->place, "tenants", w->name, key,
              "is more than " STR_FMT " above it may use, so it is never reached", STR_ARG(above));
}

// `above` counts for both, so that a larger limit below it means nothing.
static void check_below(const struct who *w, const struct allowance *above, struct str name)
{
    const struct allowance *a = w->mine;
    if (above->requests_per_s > 0 && a->requests_per_s > above->requests_per_s)
        exceeds(w, "limits.requests", name);
    if (above->tokens_per_s > 0 && a->tokens_per_s > above->tokens_per_s)
        exceeds(w, "limits.tokens", name);
    if (above->in_flight > 0 && a->in_flight > above->in_flight)
        exceeds(w, "limits.in_flight", name);
    if (above->budget_day_nusd >= 0 && a->budget_day_nusd > above->budget_day_nusd)
        exceeds(w, "budget.day", name);
    if (above->budget_month_uusd >= 0 && a->budget_month_uusd > above->budget_month_uusd)
        exceeds(w, "budget.month", name);
    if (a->until_us != NEVER && a->until_us > above->until_us)
        exceeds(w, "until", name);
}

static void check_allowance(const struct who *w)
{
    const struct allowance *a = w->mine;
    if (a->budget_day_nusd == 0)
        say(w, "budget.day", "is nothing, so that every request is refused");
    if (a->budget_month_uusd == 0)
        say(w, "budget.month", "is nothing, so that every request is refused");
    if (a->budget_month_uusd > 0 && a->budget_day_nusd / 1000 > a->budget_month_uusd)
        say(w, "budget.day", "is more than the month's budget, so it is never reached");
    if (a->until_us <= w->c->wall_us)
        say(w, "until", "has passed");
    if (a->n_addresses == 0)
        say(w, "addresses", "names none, so nobody can ask from anywhere");
}

static bool has_index(const int32_t *all, int32_t n, int32_t one)
{
    for (int32_t i = 0; i < n; i++)
        if (all[i] == one)
            return true;
    return n < 0;
}

static void check_models(const struct who *w, const struct tenant *t)
{
    const struct portfolio *p = w->c->p;
    if (t->n_models == 0)
        say(w, "models", "may use none: of those said, none is left by the tenants above it");
    if (t->n_classes == 0)
        say(w, "classes", "may use none: of those said, none is left by the tenants above it");
    int32_t class = t->default_class >= 0 ? t->default_class : p->serve.default_class;
    if (class >= 0 && t->n_classes != 0 && !has_index(t->classes, t->n_classes, class))
        check_say(w->c, SEVERITY_WARNING, w->place, "tenants", w->name, "classes",
                  "is without the class of requests that name none (" STR_FMT
                  "), which they get all the same; expected a default_class of its own",
                  STR_ARG(p->classes[class].name));
}

static bool stands_above_another(const struct portfolio *p, int32_t tenant)
{
    for (int32_t i = 0; i < p->n_tenants; i++)
        if (p->tenants[i].of == tenant)
            return true;
    return false;
}

static void check_tenant(const struct check *c, int32_t index)
{
    const struct portfolio *p = c->p;
    const struct tenant *t = &p->tenants[index];
    struct who who = {c, t->place, t->name, &t->allowance};
    check_allowance(&who);
    check_models(&who, t);
    for (int32_t up = t->of; up >= 0; up = p->tenants[up].of)
        check_below(&who, &p->tenants[up].allowance, p->tenants[up].name);
    for (int32_t i = 0; i < t->n_keys; i++) {
        const struct tenant_key *k = &t->keys[i];
        char path[160];
        snprintf(path, sizeof path, STR_FMT ".keys[%d]", STR_ARG(t->name), (int)i + 1);
        struct who key = {c, k->place.line ? k->place : t->place, str_of(path), &k->allowance};
        check_allowance(&key);
        check_below(&key, &t->allowance, t->name);
    }
}

void check_tenants(const struct check *c)
{
    const struct portfolio *p = c->p;
    bool makes_keys = p->serve.state.n && p->serve.admin.on;
    int32_t keys = 0;
    for (int32_t i = 0; i < p->n_tenants; i++)
        keys += p->tenants[i].n_keys;
    for (int32_t i = 0; i < p->n_tenants; i++) {
        const struct tenant *t = &p->tenants[i];
        // Without any key the first tenant is everybody; the others are nobody, unless keys can be
        // made while it runs.
        if (!t->n_keys && (keys || i) && !stands_above_another(p, i) && !makes_keys)
            check_say(c, SEVERITY_WARNING, t->place, "tenants", t->name, "keys",
                      "has no key, so nobody can ask as this tenant");
        check_tenant(c, i);
    }
}
