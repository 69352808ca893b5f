#include "gateway/levers.h"
#include "gateway/admin_calls.h"
#include "gateway/exchange_list.h"
#include "gateway/levers_inside.h"
#include "base/units.h"
#include "portfolio/service.h"

#include <inttypes.h>
#include <stdlib.h>

// --- the table --------------------------------------------------------------------------------

static struct str keep_name(struct str name)
{
    char *own = take(name.n + 1);
    if (name.n)
        memcpy(own, name.p, name.n);
    return (struct str){own, name.n};
}

struct lever_pool *levers_pool(struct levers *s, struct str name, bool make)
{
    for (int32_t i = 0; i < s->n_pools; i++)
        if (str_eq(s->pools[i].name, name))
            return &s->pools[i];
    if (!make || s->n_pools == LEVERS_MAX)
        return NULL;
    struct lever_pool *p = &s->pools[s->n_pools++];
    *p = (struct lever_pool){.name = keep_name(name), .weight = -1, .derate = 1};
    return p;
}

struct lever_site *levers_site(struct levers *s, struct str name, bool make)
{
    for (int32_t i = 0; i < s->n_sites; i++)
        if (str_eq(s->sites[i].name, name))
            return &s->sites[i];
    if (!make || s->n_sites == LEVERS_MAX)
        return NULL;
    struct lever_site *at = &s->sites[s->n_sites++];
    *at = (struct lever_site){.name = keep_name(name)};
    return at;
}

// --- power ------------------------------------------------------------------------------------

struct site_power {  // of its pools, at the wall
    double idle_w, busy_w;
    bool known;
};

static struct site_power power_of(const struct portfolio *p, int32_t site)
{
    struct site_power sum = {.known = true};
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct pool *pool = &p->pools[i];
        if (pool->site != site || !pool->n_serves)
            continue;
        struct service service;
        service_of(&service, p, pool, pool->serves[0].model);
        sum.known = sum.known && service.busy_w > 0;
        sum.idle_w += service.idle_w * service.pue;
        sum.busy_w += service.busy_w * service.pue;
    }
    sum.known = sum.known && sum.busy_w > 0;
    return sum;
}

// The share of its pools' capacity that fits under the cap; 0: not even what they draw idle. Every
// pool loses the same share. Where their power is not known, the site's stands for all of it.
static bool share_under(const struct portfolio *p, int32_t site, double cap_w, double *share)
{
    struct site_power w = power_of(p, site);
    double full = w.known ? w.busy_w : p->sites[site].power_w, idle = w.known ? w.idle_w : 0;
    if (!(full > 0))
        return false;
    *share = cap_w >= full ? 1 : cap_w <= idle ? 0 : (cap_w - idle) / (full - idle);
    return true;
}

static double site_share(const struct levers *s, const struct portfolio *p, int32_t site)
{
    double share;
    for (int32_t i = 0; i < s->n_sites; i++)
        if (s->sites[i].cap_w > 0 && str_eq(s->sites[i].name, p->sites[site].name) &&
            share_under(p, site, s->sites[i].cap_w, &share))
            return share;
    return 1;
}

// --- telling the core -------------------------------------------------------------------------

// `share`: of its site.
static void tell(struct levers *s, int32_t pool, double share)
{
    struct gateway *g = s->gateway;
    const struct portfolio *p = g->portfolio;
    const struct lever_pool *at = levers_pool(s, p->pools[pool].name, false);
    struct route_lever lever = {.weight = at ? at->weight : -1,
                                .derate = (at ? at->derate : 1) * share,
                                .share = at ? at->share : 0,
                                .stopped = (at && at->state != LEVER_ENABLED) || share <= 0};
    if (lever.derate <= 0)
        lever.derate = 1;  // stopped; a share of nothing is none
    int64_t wall_us = loop_wall_us(first_worker(g)->loop);
    for (int32_t i = 0; at && i < at->n_windows; i++)
        if (at->windows[i].until_us > wall_us)
            lever.windows[lever.n_windows++] = at->windows[i];
    core_set_lever(g->core, p->pools[pool].name, &lever, loop_now_us(first_worker(g)->loop));
}

void levers_apply(struct levers *s)
{
    const struct portfolio *p = s->gateway->portfolio;
    double *shares = take_n(sizeof *shares, (size_t)p->n_sites + 1);
    for (int32_t i = 0; i < p->n_sites; i++)
        shares[i] = site_share(s, p, i);
    for (int32_t i = 0; i < p->n_pools; i++)
        tell(s, i, p->pools[i].site < 0 ? 1 : shares[p->pools[i].site]);
    free(shares);
}

static void changed(struct admin_call *call, const char *what, struct str detail)
{
    struct levers *s = call->gateway->levers;
    levers_apply(s);
    levers_save(s);
    admin_audit(call, what, detail);
    levers_write(s, &call->out);
    admin_answer(call, 200);
}

// --- the calls --------------------------------------------------------------------------------

// The pool that the call names; NULL: it has been refused.
static struct lever_pool *pool_of(struct admin_call *call, int32_t *index)
{
    const struct portfolio *p = call->gateway->portfolio;
    struct str name;
    if (!admin_text(call, "pool", &name)) {
        admin_refuse(call, 400, "missing_pool", "The body says no pool: {\"pool\": NAME}.");
        return NULL;
    }
    if (!table_get(p->pool_names, name, index)) {
        admin_refuse(call, 404, "no_such_pool", "There is no pool '" STR_FMT "'.", STR_ARG(name));
        return NULL;
    }
    struct lever_pool *at = levers_pool(call->gateway->levers, name, true);
    if (!at)
        admin_refuse(call, 409, "too_many", "More than %d pools have levers.", LEVERS_MAX);
    return at;
}

static void set_state(struct admin_call *call, enum lever_state state)
{
    struct levers *s = call->gateway->levers;
    int32_t index;
    struct lever_pool *at = pool_of(call, &index);
    if (!at)
        return;
    if (state == LEVER_ENABLED && !call->gateway->portfolio->pools[index].enabled) {
        admin_refuse(call, 409, "disabled_by_portfolio",
                     "The portfolio says enabled: false; change it there and reload.");
        return;
    }
    pthread_mutex_lock(&s->lock);
    at->state = state;
    pthread_mutex_unlock(&s->lock);
    changed(call, lever_state_name(state), at->name);
    if (state == LEVER_DISABLED)
        exchanges_leave(s->gateway, at->name);
}

void admin_drain(struct admin_call *call)
{
    set_state(call, LEVER_DRAINED);
}

void admin_disable(struct admin_call *call)
{
    set_state(call, LEVER_DISABLED);
}

void admin_enable(struct admin_call *call)
{
    set_state(call, LEVER_ENABLED);
}

struct number_lever {
    const char *verb, *member;  // for the audit; of the body
    double most, none;          // what the word none stands for
    bool zero_may;
    size_t at;  // in struct lever_pool
};

static void set_number(struct admin_call *call, const struct number_lever *lever)
{
    struct levers *s = call->gateway->levers;
    int32_t index;
    double value;
    struct lever_pool *at = pool_of(call, &index);
    if (!at)
        return;
    struct str none;
    if (admin_text(call, lever->member, &none) && str_eq(none, STR("none")))
        value = lever->none;  // as the portfolio says
    else if (!admin_number(call, lever->member, &value) ||
             !(value > 0 || (lever->zero_may && value == 0)) || value > lever->most) {
        admin_refuse(call, 400, "bad_value", "'%s' is to be none or a number %s 0 and at most %g.",
                     lever->member, lever->zero_may ? "of at least" : "above", lever->most);
        return;
    }
    pthread_mutex_lock(&s->lock);
    *(double *)(void *)((char *)at + lever->at) = value;
    pthread_mutex_unlock(&s->lock);
    bool shown = lever->zero_may ? value >= 0 : value > 0;
    changed(call, lever->verb,
            shown ? arena_printf(&call->arena, STR_FMT " %g", STR_ARG(at->name), value)
                  : arena_printf(&call->arena, STR_FMT " none", STR_ARG(at->name)));
}

void admin_weigh(struct admin_call *call)
{
    static const struct number_lever weigh = {.verb = "weigh",
                                              .member = "weight",
                                              .most = 1e6,
                                              .none = -1,
                                              .zero_may = true,
                                              .at = offsetof(struct lever_pool, weight)};
    set_number(call, &weigh);
}

void admin_derate(struct admin_call *call)
{
    static const struct number_lever derate = {.verb = "derate",
                                               .member = "share",
                                               .most = 1,
                                               .none = 1,
                                               .at = offsetof(struct lever_pool, derate)};
    set_number(call, &derate);
}

void admin_share(struct admin_call *call)
{
    static const struct number_lever share = {.verb = "share",
                                              .member = "share",
                                              .most = 1,
                                              .none = 0,
                                              .at = offsetof(struct lever_pool, share)};
    set_number(call, &share);
}

void admin_cap(struct admin_call *call)
{
    struct levers *s = call->gateway->levers;
    const struct portfolio *p = call->gateway->portfolio;
    struct str name, power;
    struct diag diag = {0};
    double w = 0, share;
    if (!admin_text(call, "site", &name) || !admin_text(call, "power", &power)) {
        admin_refuse(call, 400, "missing_site",
                     "The body is to be {\"site\": NAME, \"power\": \"50 MW\" or \"none\"}.");
        return;
    }
    int32_t site = portfolio_site(p, name);
    if (site < 0) {
        admin_refuse(call, 404, "no_such_site", "There is no site '" STR_FMT "'.", STR_ARG(name));
        return;
    }
    if (!str_eq(power, STR("none")) && (unit_parse(&w, UNIT_POWER, power, &diag) || !(w > 0))) {
        admin_refuse(call, 400, "bad_value", "'power' is to be a power such as 50 MW, or none%s%s.",
                     diag.text[0] ? ": " : "", diag.text);
        return;
    }
    if (w > 0 && !share_under(p, site, w, &share)) {
        admin_refuse(call, 409, "power_not_known",
                     "Neither the power of the site nor that of its pools is known; derate its "
                     "pools.");
        return;
    }
    struct lever_site *at = levers_site(s, name, true);
    if (!at) {
        admin_refuse(call, 409, "too_many", "More than %d sites have caps.", LEVERS_MAX);
        return;
    }
    pthread_mutex_lock(&s->lock);
    at->cap_w = w;
    pthread_mutex_unlock(&s->lock);
    changed(call, "cap",
            arena_printf(&call->arena, STR_FMT " " STR_FMT, STR_ARG(name), STR_ARG(power)));
}

static bool read_window(struct admin_call *call, struct route_window *out, struct diag *diag)
{
    struct str from, until;
    int64_t now_us = loop_wall_us(call->worker->loop);
    if (!admin_text(call, "until", &until))
        return false;
    out->from_us = now_us;
    if (admin_text(call, "from", &from) && !str_eq(from, STR("now")) &&
        unit_instant(&out->from_us, from, diag))
        return false;
    double us;
    if (unit_instant(&out->until_us, until, diag)) {
        if (unit_parse(&us, UNIT_DURATION, until, diag))  // "2 h": from its start
            return false;
        out->until_us = out->from_us + (int64_t)us;
    }
    *diag = (struct diag){0};
    return out->until_us > out->from_us && out->until_us > now_us;
}

// Windows that are over make room; `until: "none"` takes all away.
void admin_maintenance(struct admin_call *call)
{
    struct levers *s = call->gateway->levers;
    int64_t now_us = loop_wall_us(call->worker->loop);
    struct route_window window;
    struct diag diag = {0};
    struct str until;
    int32_t index, n = 0;
    struct lever_pool *at = pool_of(call, &index);
    if (!at)
        return;
    bool none = admin_text(call, "until", &until) && str_eq(until, STR("none"));
    if (!none && !read_window(call, &window, &diag)) {
        admin_refuse(call, 400, "bad_value",
                     "'from' and 'until' are to be times such as 2026-12-31T08:30:00Z (from also "
                     "now, until also 2 h or none), until after from and after now%s%s.",
                     diag.text[0] ? ": " : "", diag.text);
        return;
    }
    pthread_mutex_lock(&s->lock);
    for (int32_t i = 0; i < at->n_windows && !none; i++)
        if (at->windows[i].until_us > now_us)
            at->windows[n++] = at->windows[i];
    at->n_windows = n;
    bool room = none || n < ROUTE_WINDOWS_MAX;
    if (!none && room)
        at->windows[at->n_windows++] = window;
    pthread_mutex_unlock(&s->lock);
    if (!room) {
        admin_refuse(call, 409, "too_many", "%d windows are already to come.", ROUTE_WINDOWS_MAX);
        return;
    }
    char from_text[UNIT_TEXT], until_text[UNIT_TEXT];
    changed(call, "maintenance",
            none ? arena_printf(&call->arena, STR_FMT " none", STR_ARG(at->name))
                 : arena_printf(&call->arena, STR_FMT " from %s until %s", STR_ARG(at->name),
                                unit_text_instant(from_text, window.from_us),
                                unit_text_instant(until_text, window.until_us)));
}

void admin_levers(struct admin_call *call)
{
    levers_write(call->gateway->levers, &call->out);
    admin_answer(call, 200);
}
