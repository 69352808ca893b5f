#include "cli/check_view.h"

#include "base/units.h"
#include "cli/columns.h"
#include "portfolio/committed.h"

#include <stdio.h>

// Small texts

const char *commitment_unit_text(enum commitment_unit unit)
{
    return commitment_unit_name(unit);
}

const char *period_text(enum period period)
{
    switch (period) {
    case PERIOD_NONE: return "none";
    case PERIOD_MONTH: return "month";
    case PERIOD_QUARTER: return "quarter";
    case PERIOD_YEAR: return "year";
    case PERIOD_TERM: return "term";
    }
    return "";
}

const char *check_z(struct str s)  // of texts that are terminated in their arena
{
    return s.p ? s.p : "";
}

const char *check_words(const struct check_view *v, struct str s)
{
    return check_z(arena_str(v->a, s));
}

static const char *name_or_dash(const struct check_view *v, int32_t index, struct str name)
{
    return index < 0 ? "-" : check_words(v, name);
}

// "a, b, c", and how many more when there are many.
const char *check_list(const struct check_view *v, const struct str *names, int32_t n)
{
    enum { SHOWN = 6 };
    struct str out = STR("");
    for (int32_t i = 0; i < n && i < SHOWN; i++)
        out = arena_printf(v->a, STR_FMT "%s" STR_FMT, STR_ARG(out), i ? ", " : "",
                           STR_ARG(names[i]));
    if (n > SHOWN)
        out = arena_printf(v->a, STR_FMT " and %d more", STR_ARG(out), (int)(n - SHOWN));
    return check_z(out);
}

void check_heading(struct buf *out, const char *what)
{
    buf_printf(out, "\n%s\n", what);
}

const char *check_name(const struct check_view *v)
{
    return strcmp(v->paths[0], "-") == 0 ? "<stdin>" : v->paths[0];
}

// Suppliers and pools

static const char *where(const struct check_view *v, const struct supplier *s)
{
    if (s->run.n_argv)
        return check_z(arena_printf(v->a, "started by caudal: " STR_FMT, STR_ARG(s->run.argv[0])));
    return s->url.n ? check_words(v, url_shown(v->a, s->url)) : "-";
}

static void suppliers(struct buf *out, const struct check_view *v)
{
    struct columns c;
    columns_init(&c, v->a);
    for (int32_t i = 0; i < v->p->n_suppliers; i++) {
        const struct supplier *s = &v->p->suppliers[i];
        columns_row(&c, check_words(v, s->name), api_name(s->api), where(v, s),
                    s->key.n ? "with a key" : "without a key", NULL);
    }
    if (v->p->n_suppliers)
        check_heading(out, "suppliers");
    columns_print(&c, out, 2, 0);
}

static void pools(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "pool", "supplier", "contract", "site", "chip", "can be called now", NULL);
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct pool *x = &p->pools[i];
        bool callable;
        struct str now = pool_now(v->a, p, x, v->now_us, &callable);
        columns_row(&c, check_words(v, x->name), check_words(v, p->suppliers[x->supplier].name),
                    name_or_dash(v, x->contract,
                                 x->contract < 0 ? STR("") : p->contracts[x->contract].name),
                    name_or_dash(v, x->site, x->site < 0 ? STR("") : p->sites[x->site].name),
                    name_or_dash(v, x->chip, x->chip < 0 ? STR("") : p->chips[x->chip].name),
                    check_words(v, now), NULL);
    }
    check_heading(out, "pools");
    columns_print(&c, out, 2, 0);
}

// "1 %, 10 %, 100 %"
static const char *steps_text(const struct check_view *v, const struct pool_share *s)
{
    struct str out = STR("");
    for (int32_t i = 0; i < s->n_steps; i++)
        out =
            arena_printf(v->a, STR_FMT "%s%.4g %%", STR_ARG(out), i ? ", " : "", 100 * s->steps[i]);
    return check_z(out);
}

static void shares(struct buf *out, const struct check_view *v)
{
    struct columns c;
    char every[UNIT_TEXT];
    int32_t n = 0;
    columns_init(&c, v->a);
    columns_row(&c, "pool", "steps", "every", "while errors", "ttft", "per token", "of at least",
                NULL);
    for (int32_t i = 0; i < v->p->n_pools; i++) {
        const struct pool_share *s = &v->p->pools[i].share;
        if (!s->n_steps)
            continue;
        n++;
        columns_row(&c, check_words(v, v->p->pools[i].name), steps_text(v, s),
                    unit_text_us(every, s->every_us),
                    check_z(arena_printf(v->a, "%.4g %%", 100 * s->errors)),
                    check_z(arena_printf(v->a, "%.4g", s->ttft)),
                    check_z(arena_printf(v->a, "%.4g", s->per_token)),
                    check_z(arena_printf(v->a, "%d", (int)s->at_least)), NULL);
    }
    if (!n)
        return;
    check_heading(out, "pools that enter in steps");
    columns_print(&c, out, 2, 0x78);
}

static void shadows(struct buf *out, const struct check_view *v)
{
    struct columns c;
    char money[UNIT_TEXT];
    int32_t n = 0;
    columns_init(&c, v->a);
    columns_row(&c, "pool", "of", "share", "at most a day", NULL);
    for (int32_t i = 0; i < v->p->n_pools; i++) {
        const struct pool_shadow *s = &v->p->pools[i].shadow;
        if (!s->on)
            continue;
        n++;
        columns_row(
            &c, check_words(v, v->p->pools[i].name), check_words(v, v->p->pools[s->of].name),
            check_z(arena_printf(v->a, "%.4g %%", 100 * s->share)),
            s->at_most_nusd < 0 ? "-" : unit_text_uusd(money, s->at_most_nusd / 1000), NULL);
    }
    if (!n)
        return;
    check_heading(out, "pools that shadow another");
    columns_print(&c, out, 2, 0xc);
}

// Models

static const char *price_text(const struct check_view *v, int64_t nusd_per_mtok)
{
    char money[UNIT_TEXT];
    return nusd_per_mtok < 0 ? "as input"
                             : check_words(v, str_of(unit_text_nusd(money, nusd_per_mtok)));
}

static const char *as_text(const struct check_view *v, const struct serving *s)
{
    return str_eq(s->as, v->p->models[s->model].name) ? "" : check_words(v, s->as);
}

static void models(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "model", "served by", "context", "input", "cached", "output", "called", NULL);
    for (int32_t m = 0; m < p->n_models; m++) {
        const char *name = check_words(v, p->models[m].name);
        for (int32_t i = 0; i < p->n_pools; i++) {
            const struct serving *s = pool_serving(&p->pools[i], m);
            if (!s)
                continue;
            int32_t context = serving_context(p, s);
            const struct token_price *price = &s->price;
            columns_row(&c, name, check_words(v, p->pools[i].name),
                        context ? check_z(arena_printf(v->a, "%d", (int)context)) : "",
                        price->said ? price_text(v, price->input) : "no price",
                        price->said ? price_text(v, price->cached_input) : "",
                        price->said ? price_text(v, price->output) : "", as_text(v, s), NULL);
            name = "";
        }
        if (*name)
            columns_row(&c, name, "nobody", NULL);
    }
    if (!p->n_models)
        return;
    check_heading(out, "models, prices per million tokens");
    columns_print(&c, out, 2, 0x3c);
    for (int32_t i = 0; i < p->n_groups; i++) {
        const struct group *g = &p->groups[i];
        struct str *names = arena_new(v->a, struct str, g->n_models);
        for (int32_t j = 0; names && j < g->n_models; j++)
            names[j] = p->models[g->models[j]].name;
        if (names)
            buf_printf(out, "  group " STR_FMT ": %s\n", STR_ARG(g->name),
                       check_list(v, names, g->n_models));
    }
}

// Classes and tenants

static const char *span(const struct check_view *v, int64_t us)
{
    char t[UNIT_TEXT];
    return us == NEVER ? "-" : check_words(v, str_of(unit_text_us(t, us)));
}

static void classes(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    char money[UNIT_TEXT];
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "class", "first token", "per token", "deadline", "waiting", "unanswered", NULL);
    for (int32_t i = 0; i < p->n_classes; i++) {
        const struct class *x = &p->classes[i];
        columns_row(&c, check_words(v, x->name), span(v, x->ttft_us), span(v, x->per_token_us),
                    span(v, x->deadline_us),
                    x->deferred                               ? "may"
                    : x->ttft_value.n || x->per_token_value.n ? "costs"
                                                              : "free",
                    x->unserved_nusd < 0 ? "-" : unit_text_nusd(money, x->unserved_nusd), NULL);
    }
    if (!p->n_classes)
        return;
    check_heading(out, "classes");
    columns_print(&c, out, 2, 0);
}

static const char *budget_text(const struct check_view *v, const struct allowance *t)
{
    char money[UNIT_TEXT];
    struct str out = STR("");
    if (t->budget_day_nusd >= 0)
        out = arena_printf(v->a, "%s a day", unit_text_uusd(money, t->budget_day_nusd / 1000));
    if (t->budget_month_uusd >= 0)
        out = arena_printf(v->a, STR_FMT "%s%s a month", STR_ARG(out), out.n ? ", " : "",
                           unit_text_uusd(money, t->budget_month_uusd));
    if (out.n && t->budget_hard)
        out = arena_printf(v->a, STR_FMT ", hard", STR_ARG(out));
    return out.n ? check_z(out) : "-";
}

static void tenants(struct buf *out, const struct check_view *v)
{
    const struct portfolio *p = v->p;
    struct columns c;
    columns_init(&c, v->a);
    columns_row(&c, "tenant", "keys", "budget", "models", "classes", "data may go", NULL);
    for (int32_t i = 0; i < p->n_tenants; i++) {
        const struct tenant *t = &p->tenants[i];
        struct str *names =
            arena_new(v->a, struct str, max_i64(max_i64(t->n_models, t->n_classes), 1));
        if (!names)
            return;
        for (int32_t j = 0; j < t->n_models; j++)
            names[j] = p->models[t->models[j]].name;
        const char *may_ask = t->n_models < 0 ? "all" : check_list(v, names, t->n_models);
        for (int32_t j = 0; j < t->n_classes; j++)
            names[j] = p->classes[t->classes[j]].name;
        columns_row(&c, check_words(v, t->name), check_z(arena_printf(v->a, "%d", (int)t->n_keys)),
                    budget_text(v, &t->allowance), may_ask,
                    t->n_classes < 0 ? "all" : check_list(v, names, t->n_classes),
                    t->n_regions < 0 ? "anywhere" : check_list(v, t->regions, t->n_regions), NULL);
    }
    if (!p->n_tenants)
        return;
    check_heading(out, "tenants");
    columns_print(&c, out, 2, 0);
}

static void warnings(struct buf *out, const struct check_view *v)
{
    if (v->problems->warnings)
        check_heading(out, "warnings");
    for (const struct problem *x = v->problems->first; x; x = x->next)
        if (x->severity == SEVERITY_WARNING) {
            buf_lit(out, "  ");
            problem_print(out, x);
            buf_lit(out, "\n");
        }
    int32_t kept = 0;
    for (const struct problem *x = v->problems->first; x; x = x->next)
        kept++;
    if (v->problems->warnings + v->problems->errors > kept)
        buf_printf(out, "  and %d more\n",
                   (int)(v->problems->warnings + v->problems->errors - kept));
}

static void verdict(struct buf *out, const struct check_view *v)
{
    int32_t callable = 0, n = v->problems->warnings;
    for (int32_t i = 0; i < v->p->n_pools; i++) {
        bool now;
        pool_now(v->a, v->p, &v->p->pools[i], v->now_us, &now);
        callable += now;
    }
    buf_printf(out, "\n%s%s%s: %d of %d pool%s can be called now, %d warning%s\n", check_name(v),
               v->n_paths > 1 ? " (with others)" : "",
               v->problems->errors ? " can be read, but not used" : " is right", (int)callable,
               (int)v->p->n_pools, v->p->n_pools == 1 ? "" : "s", (int)n, n == 1 ? "" : "s");
}

static void certificate(struct buf *out, const char *whose, int64_t until_us)
{
    char until[UNIT_TEXT];
    if (until_us)
        buf_printf(out, "its certificate for %s is good until %s\n", whose,
                   unit_text_instant(until, until_us));
}

void check_text(struct buf *out, const struct check_view *v)
{
    const struct serve_config *s = &v->p->serve;
    bool ipv6 = s->host.n && memchr(s->host.p, ':', s->host.n);
    buf_printf(out, "listens at %s" STR_FMT "%s:%d, policy " STR_FMT "\n", ipv6 ? "[" : "",
               STR_ARG(s->host), ipv6 ? "]" : "", (int)s->port, STR_ARG(s->policy));
    certificate(out, "clients", v->clients_until_us);
    certificate(out, "operators", v->admin_until_us);
    suppliers(out, v);
    pools(out, v);
    check_speeds(out, v);
    shares(out, v);
    shadows(out, v);
    check_contracts(out, v);
    check_sums(out, v);
    models(out, v);
    classes(out, v);
    tenants(out, v);
    warnings(out, v);
    verdict(out, v);
}
