#include "portfolio/check_inside.h"

#include "base/units.h"

#include <stdio.h>

// The list

void problems_init(struct problems *list, struct arena *a)
{
    *list = (struct problems){.arena = a};
}

void problems_add(struct problems *list, enum severity severity, struct place place,
                  struct str path, const char *fmt, ...)
{
    int32_t kept = list->errors + list->warnings;
    if (severity == SEVERITY_ERROR)
        list->errors++;
    else
        list->warnings++;
    if (kept >= PROBLEMS_MAX)
        return;
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    struct problem *problem = arena_new(list->arena, struct problem, 1);
    if (!problem)
        return;  // counted; the arena's owner is told otherwise
    *problem = (struct problem){severity, place, path, arena_str(list->arena, str_of(text)), NULL};
    if (list->last)
        list->last->next = problem;
    else
        list->first = problem;
    list->last = problem;
}

void problem_print(struct buf *out, const struct problem *problem)
{
    if (problem->place.line > 0)
        buf_printf(out, STR_FMT ":%d:%d: ", STR_ARG(problem->place.file), (int)problem->place.line,
                   (int)problem->place.column);
    if (problem->path.n)
        buf_printf(out, STR_FMT ": ", STR_ARG(problem->path));
    buf_add_str(out, problem->text);
}

// URLs and secrets

// Where the authority of a URL begins and ends, and where its host begins.
static bool split_url(struct str url, size_t *authority, size_t *host, size_t *end)
{
    size_t at;
    if (!str_find(url, STR("://"), &at))
        return false;
    *authority = *host = at + 3;
    for (*end = *authority; *end < url.n; ++*end) {
        char c = url.p[*end];
        if (c == '/' || c == '?' || c == '#')
            break;
        if (c == '@')
            *host = *end + 1;
    }
    return true;
}

struct str url_host(struct str url)
{
    size_t authority, host, end;
    if (!split_url(url, &authority, &host, &end))
        return (struct str){url.p, 0};
    struct str out = {url.p + host, end - host};
    const char *close = out.n && out.p[0] == '[' ? memchr(out.p, ']', out.n) : NULL;
    const char *colon = close ? NULL : (out.n ? memchr(out.p, ':', out.n) : NULL);
    if (close)
        out.n = (size_t)(close - out.p) + 1;
    else if (colon)
        out.n = (size_t)(colon - out.p);
    return out;
}

struct str url_shown(struct arena *a, struct str url)
{
    size_t authority, host, end, query;
    if (!split_url(url, &authority, &host, &end))
        return url;
    struct str rest = {url.p + host, url.n - host};
    bool has_query = str_find(rest, STR("?"), &query);
    if (host == authority && !has_query)
        return url;
    if (has_query)
        rest.n = query;
    struct str out =
        arena_printf(a, "%.*s%s" STR_FMT "%s", (int)authority, url.p,
                     host > authority ? "***@" : "", STR_ARG(rest), has_query ? "?***" : "");
    return out.p ? out : STR("***");
}

bool host_is_loopback(struct str host)
{
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct str){host.p + 1, host.n - 2};
    if (str_eq_nocase(host, STR("localhost")) || str_eq(host, STR("::1")))
        return true;
    if (!str_starts(host, STR("127.")))
        return false;
    for (size_t i = 0; i < host.n; i++)  // not 127.example.com
        if (host.p[i] != '.' && (host.p[i] < '0' || host.p[i] > '9'))
            return false;
    return true;
}

bool secrets_hide(struct buf *out, const struct portfolio *p, struct str text)
{
    while (text.n) {
        struct str secret = {NULL, 0};
        size_t first = text.n, at;
        for (int32_t i = 0; i < p->n_secrets; i++) {
            struct str s = p->secrets[i];
            if (s.n < SECRET_MIN || !str_find(text, s, &at))
                continue;
            if (at < first || (at == first && s.n > secret.n)) {
                first = at;
                secret = s;
            }
        }
        if (!buf_add(out, text.p, first))
            return false;
        text = str_skip(text, first);
        if (secret.n && !buf_lit(out, "***"))
            return false;
        text = str_skip(text, secret.n);
    }
    return true;
}

// What can be read but should be looked at

void check_say(const struct check *c, enum severity severity, struct place place,
               const char *section, struct str name, const char *key, const char *fmt, ...)
{
    char text[400];
    struct str path = arena_printf(c->list->arena, "%s%s" STR_FMT "%s%s", section,
                                   name.n ? "." : "", STR_ARG(name), *key ? "." : "", key);
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    problems_add(c->list, severity, place, path, "%s", text);
}

static void check_listen(const struct check *c)
{
    const struct portfolio *p = c->p;
    int32_t keys = 0;
    for (int32_t i = 0; i < p->n_tenants; i++)
        keys += p->tenants[i].n_keys;
    if (!keys && !host_is_loopback(p->serve.host))
        check_say(c, SEVERITY_ERROR, p->serve.place, "serve", STR(""), "listen",
                  "others can reach this address, but no tenant has a key: anyone could spend your "
                  "money; expected tenants with keys, or a loopback address");
    const struct admin_config *admin = &p->serve.admin;
    bool far = admin->on && !host_is_loopback(admin->host);
    if (far && !admin->n_keys && !admin->tls.client_ca.n)
        check_say(
            c, SEVERITY_ERROR, admin->place, "serve", STR("admin"), "listen",
            "others can reach this address, but there is no key: anyone could stop your pools; "
            "expected serve.admin.keys, serve.admin.tls.client_ca, or a loopback address");
    else if (far && !admin->tls.on)
        check_say(c, SEVERITY_WARNING, admin->place, "serve", STR("admin"), "listen",
                  "keys come here as anyone on the way can read them; serve.admin.tls hides them");
}

static bool is_http(struct str url)
{
    return str_starts(url, STR("http://"));
}

static void check_suppliers(const struct check *c)
{
    const struct portfolio *p = c->p;
    for (int32_t i = 0; i < p->n_suppliers; i++) {
        const struct supplier *s = &p->suppliers[i];
        bool used = false;
        for (int32_t j = 0; j < p->n_pools; j++)
            used = used || p->pools[j].supplier == i;
        if (used && !api_speaks_openai(s->api))
            check_say(c, SEVERITY_WARNING, s->place, "suppliers", s->name, "api",
                      "is a dialect that caudal cannot call yet: its pools count in plans only");
        if (is_http(s->url) && s->key.n && !host_is_loopback(url_host(s->url)))
            check_say(c, SEVERITY_WARNING, s->place, "suppliers", s->name, "url",
                      "is plain http to another machine: the key travels readable");
        if (s->insecure && !host_is_loopback(url_host(s->url)))
            check_say(c, SEVERITY_WARNING, s->place, "suppliers", s->name, "insecure",
                      "nobody verifies who answers there");
    }
}

static bool is_https(struct str url)
{
    return str_starts(url, STR("https://"));
}

// "https://api.example.com" and "https://api.example.com/": what follows /v1 comes right behind it.
static bool has_path(struct str url)
{
    size_t at;
    if (!str_find(url, STR("://"), &at))
        return true;
    struct str rest = str_skip(url, at + 3);
    return str_find(rest, STR("/"), &at) && at + 1 < rest.n;
}

// What a call of this pool would look like from outside.
static void check_call(const struct check *c, const struct pool *pool, const struct supplier *s)
{
    if (!pool->url.n || !api_speaks_openai(s->api) || !pool->enabled)
        return;
    if (is_https(pool->url) && !pool->key.n && !host_is_loopback(url_host(pool->url)))
        check_say(
            c, SEVERITY_WARNING, pool->place, "pools", pool->name, "key",
            "is empty: most suppliers will refuse its requests; is the variable that it comes "
            "from set?");
    if (has_path(pool->url))
        return;
    struct str shown = url_shown(c->list->arena, pool->url);
    while (str_ends(shown, STR("/")))
        shown.n--;
    check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "url",
              "has no path: \"" STR_FMT "/chat/completions\" will be called; most suppliers want "
              "\"" STR_FMT "/v1\"",
              STR_ARG(shown), STR_ARG(shown));
}

static bool is_own_url(const struct portfolio *p, const struct pool *pool)
{
    return pool->url.n && !str_eq(pool->url, p->suppliers[pool->supplier].url);
}

// A class of `p` states this target.
static bool has_target(const struct portfolio *p, bool per_token)
{
    for (int32_t i = 0; i < p->n_classes; i++)
        if ((per_token ? p->classes[i].per_token_us : p->classes[i].ttft_us) < NEVER)
            return true;
    return false;
}

// One that stands there twice was meant to be another.
static void check_maintenance(const struct check *c, const struct pool *pool)
{
    for (int32_t i = 1; i < pool->n_maintenance; i++) {
        const struct maintenance *m = &pool->maintenance[i];
        for (int32_t k = 0; k < i; k++) {
            const struct maintenance *other = &pool->maintenance[k];
            if (m->from_us != other->from_us || m->until_us != other->until_us)
                continue;
            check_say(c, SEVERITY_WARNING, m->place, "pools", pool->name, "maintenance",
                      "this window is listed twice, before in line %d", (int)other->place.line);
            break;
        }
    }
}

static void check_share(const struct check *c, const struct pool *pool)
{
    const struct pool_share *s = &pool->share;
    if (!s->n_steps)
        return;
    if (!has_target(c->p, false) && !has_target(c->p, true))
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "share",
                  "no class has a target of ttft or per_token: only its errors count");
    if (s->steps[s->n_steps - 1] < 1)
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "share",
                  "its last step is not 100 %%: it never has all that it may have");
}

static void bad_shadow(const struct check *c, const struct pool *pool, const char *key,
                       const char *text)
{
    check_say(c, SEVERITY_ERROR, pool->place, "pools", pool->name, key, "%s", text);
}

// A copy costs money that nobody is charged: without a limit and a price there is no end to it.
static void check_shadow(const struct check *c, const struct pool *pool)
{
    const struct pool_shadow *s = &pool->shadow;
    if (!s->on)
        return;
    const struct pool *of = &c->p->pools[s->of];
    int32_t priced = 0, unpriced = 0;
    for (int32_t i = 0; i < pool->n_serves; i++)
        if (pool_serving(of, pool->serves[i].model))
            *(pool->serves[i].price.said ? &priced : &unpriced) += 1;
    if (of == pool)
        bad_shadow(c, pool, "shadow.of", "is itself: expected another pool");
    else if (of->shadow.on)
        bad_shadow(c, pool, "shadow.of",
                   "is a shadow itself, which answers nobody: expected a pool that answers");
    else if (!priced && !unpriced)
        bad_shadow(c, pool, "shadow.of", "serves none of its models: it would see nothing");
    if (pool->share.n_steps)
        bad_shadow(c, pool, "share", "is for pools that answer: a shadow has shadow.share");
    if (unpriced && s->at_most_nusd >= 0)
        bad_shadow(c, pool, "shadow.at_most",
                   "cannot hold: a model has no price, so its tokens count as free; expected a "
                   "price for each model that both serve");
    if (priced && s->at_most_nusd < 0)
        bad_shadow(c, pool, "shadow.at_most",
                   "is not said, and its copies cost money: expected money a day such as "
                   "5 USD/day");
    if (!(s->share > 0))
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "shadow.share",
                  "is 0: it sees nothing");
}

static void check_pool(const struct check *c, const struct pool *pool)
{
    const struct portfolio *p = c->p;
    const struct supplier *s = &p->suppliers[pool->supplier];
    int32_t unpriced = 0;
    if (!pool->n_serves)
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "serves",
                  "serves no model, so nothing is sent to it");
    for (int32_t i = 0; i < pool->n_serves; i++)
        unpriced += !pool->serves[i].price.said;
    if (unpriced && !s->run.n_argv)
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "serves",
                  unpriced == pool->n_serves
                      ? "has no price: its tokens count as free"
                      : "has no price for some of its models: their tokens count as free");
    if (!pool->url.n && !s->run.n_argv && api_speaks_openai(s->api))
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "url",
                  "nothing says where to call it, so it counts in plans only");
    check_call(c, pool, s);
    check_maintenance(c, pool);
    check_share(c, pool);
    check_shadow(c, pool);
    if (is_own_url(p, pool) && is_http(pool->url) && pool->key.n &&
        !host_is_loopback(url_host(pool->url)))
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "url",
                  "is plain http to another machine: the key travels readable");
    if (pool->contract < 0)
        return;
    const struct contract *k = &p->contracts[pool->contract];
    if (k->supplier >= 0 && k->supplier != pool->supplier)
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "contract",
                  "is with another supplier than the pool's");
    if (!(k->purpose & pool->purpose))
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "purpose",
                  "is not what its contract is for");
    if (k->until_us <= c->wall_us || k->status == STATUS_ENDED)
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "contract", "has ended");
    else if (!pool_active(p, pool, c->wall_us))
        check_say(c, SEVERITY_WARNING, pool->place, "pools", pool->name, "contract",
                  "has no phase that gives capacity today, so nothing is sent to it");
}

static void check_contract(const struct check *c, int32_t index)
{
    const struct portfolio *p = c->p;
    const struct contract *k = &p->contracts[index];
    bool used = false, past = false;
    for (int32_t i = 0; i < p->n_pools; i++)
        used = used || p->pools[i].contract == index;
    double w = 0;
    for (int32_t i = 0; i < k->n_phases; i++) {
        const struct phase *ph = &k->phases[i];
        past = past || (ph->from_us > 0 && ph->from_us <= c->wall_us && ph->until_us > c->wall_us);
        if (ph->until_us == NEVER)
            w += ph->adds_w > ph->max_w ? ph->adds_w : ph->max_w;
    }
    bool here = k->status == STATUS_SIGNED || k->status == STATUS_LIVE;
    if (past && !used && here && (k->purpose & PURPOSE_INFERENCE))
        check_say(c, SEVERITY_WARNING, k->place, "contracts", k->name, "phases",
                  "a phase has begun and no pool uses it: it is paid and stranded");
    if (k->power_ceiling_w > 0 && w > k->power_ceiling_w * 1.000001)
        check_say(c, SEVERITY_WARNING, k->place, "contracts", k->name, "ceiling",
                  "is less than the phases add up to");
    if (k->commitment.amount > 0 && !used && here)
        check_say(c, SEVERITY_WARNING, k->place, "contracts", k->name, "commitment",
                  "is paid whether used or not, and no pool uses it");
}

static void check_model(const struct check *c, int32_t model)
{
    const struct portfolio *p = c->p;
    int32_t supplier = -1, pools = 0;
    bool several = false;
    for (int32_t i = 0; i < p->n_pools; i++) {
        if (!p->pools[i].enabled || !pool_answers(&p->pools[i], model))
            continue;
        pools++;
        several = several || (supplier >= 0 && supplier != p->pools[i].supplier);
        supplier = p->pools[i].supplier;
    }
    const struct model *m = &p->models[model];
    if (!pools)
        check_say(c, SEVERITY_WARNING, m->place, "models", m->name, "", "is served by no pool");
    else if (!several)
        problems_add(c->list, SEVERITY_WARNING, m->place,
                     arena_printf(c->list->arena, "models." STR_FMT, STR_ARG(m->name)),
                     "is served by one supplier only (" STR_FMT
                     "): nobody takes over when it fails",
                     STR_ARG(p->suppliers[supplier].name));
}

static void check_prices(const struct check *c)
{
    const struct planned_prices *prices = c->p->prices;
    char date[UNIT_TEXT];
    if (prices && c->wall_us >= prices->until_us)
        problems_add(c->list, SEVERITY_WARNING, (struct place){0}, STR("serve.prices"),
                     STR_FMT " ended at %s, so it is not routed by: plan again",
                     STR_ARG(c->p->serve.prices), unit_text_instant(date, prices->until_us));
}

void check_portfolio(const struct portfolio *p, int64_t wall_us, struct problems *list)
{
    struct check c = {p, wall_us, list};
    check_listen(&c);
    check_prices(&c);
    check_tenants(&c);
    check_suppliers(&c);
    if (!p->n_pools)
        check_say(&c, SEVERITY_WARNING, (struct place){0}, "pools", STR(""), "",
                  "names none, so that every request is refused");
    for (int32_t i = 0; i < p->n_contracts; i++)
        check_contract(&c, i);
    for (int32_t i = 0; i < p->n_models; i++)
        check_model(&c, i);
    for (int32_t i = 0; i < p->n_pools; i++)
        check_pool(&c, &p->pools[i]);
}

static struct str no(struct arena *a, const char *why, int64_t at_us)
{
    char date[UNIT_TEXT];
    struct str out =
        arena_printf(a, "no: %s%s", why, at_us == NEVER ? "" : unit_text_instant(date, at_us));
    return out.p ? out : STR("no");
}

// The next phase that may begin to give capacity; NEVER: none.
static int64_t next_phase_us(const struct contract *c, int64_t wall_us)
{
    int64_t next_us = NEVER;
    for (int32_t i = 0; i < c->n_phases; i++)
        if (c->phases[i].from_us > wall_us && c->phases[i].status != STATUS_TALKS &&
            c->phases[i].status != STATUS_LETTER && c->phases[i].status != STATUS_ENDED)
            next_us = min_i64(next_us, c->phases[i].from_us);
    return next_us;
}

struct str pool_now(struct arena *a, const struct portfolio *p, const struct pool *pool,
                    int64_t wall_us, bool *callable)
{
    const struct supplier *s = &p->suppliers[pool->supplier];
    *callable = false;
    if (!pool->enabled)
        return no(a, "not enabled", NEVER);
    if (!(pool->purpose & PURPOSE_INFERENCE))
        return no(a, "for training only", NEVER);
    if (!pool->n_serves)
        return no(a, "serves no model", NEVER);
    if (!api_speaks_openai(s->api))
        return no(a, "in plans only, its dialect cannot be called yet", NEVER);
    if (!pool->url.n && !s->run.n_argv)
        return no(a, "in plans only, nothing says where", NEVER);
    const struct maintenance *m = pool_maintenance(pool, wall_us);
    if (m)
        return no(a, "maintenance until ", m->until_us);
    if (!pool_active(p, pool, wall_us)) {
        int64_t next_us = next_phase_us(&p->contracts[pool->contract], wall_us);
        return next_us == NEVER ? no(a, "no phase of its contract", NEVER)
                                : no(a, "from ", next_us);
    }
    *callable = true;
    return STR("yes");
}
