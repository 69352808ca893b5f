// What a client and an operator hear of limits.

#include "gateway/answer.h"
#include "gateway/core.h"
#include "gateway/limits_inside.h"

#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const whats[QUOTA_WHATS] = {
    [QUOTA_NOTHING] = "nothing",     [QUOTA_REQUESTS] = "requests", [QUOTA_TOKENS] = "tokens",
    [QUOTA_IN_FLIGHT] = "in_flight", [QUOTA_DAY] = "budget_day",    [QUOTA_MONTH] = "budget_month",
};

const char *limits_what(enum quota_what what)
{
    return whats[what];
}

enum { DURATION_BYTES = 40, HEADERS_BYTES = 3 * 64 };

// "1h2m3s", "6m0s", "1.5s", "12ms", as the Go programs at OpenAI print durations.
static char *put_duration(char *at, int64_t us)
{
    int64_t ms = (max_i64(us, 0) + 999) / 1000;
    int64_t s = ms / 1000, h = s / 3600, m = s / 60 % 60;
    if (ms < 1000) {
        at = put_int(at, ms);
        return put_lit(at, "ms");
    }
    if (h) {
        at = put_int(at, h);
        at = put_lit(at, "h");
    }
    if (h || m) {
        at = put_int(at, m);
        at = put_lit(at, "m");
    }
    at = put_int(at, s % 60);
    if (ms % 1000)
        *at++ = '.';
    for (int64_t rest = ms % 1000, digit = 100; rest; rest %= digit, digit /= 10)
        *at++ = (char)('0' + rest / digit);
    return put_lit(at, "s");
}

static int64_t whole_of(double value)
{
    return value < 1e18 ? (int64_t)(value + 0.5) : (int64_t)1e18;
}

// Each answer says six of these, so they are written in place.
static void write_headers(struct buf *out, const struct str names[3], double limit, double left,
                          int64_t reset_us)
{
    char *at;
    if (limit < 0 || !buf_reserve(out, HEADERS_BYTES + DURATION_BYTES, &at))
        return;
    at = put_str(at, names[0]);
    at = put_int(at, whole_of(limit < 1 ? 1 : limit));
    at = put_str(at, names[1]);
    at = put_int(at, left > 0 ? whole_of((double)(int64_t)(left + 1e-6)) : 0);
    at = put_str(at, names[2]);
    at = put_duration(at, reset_us);
    buf_put(out, put_lit(at, "\r\n"));
}

void limits_headers(const struct admission *a, struct buf *out)
{
    static const struct str requests[] = {{"x-ratelimit-limit-requests: ", 28},
                                          {"\r\nx-ratelimit-remaining-requests: ", 34},
                                          {"\r\nx-ratelimit-reset-requests: ", 30}};
    static const struct str tokens[] = {{"x-ratelimit-limit-tokens: ", 26},
                                        {"\r\nx-ratelimit-remaining-tokens: ", 32},
                                        {"\r\nx-ratelimit-reset-tokens: ", 28}};
    const struct limits_shown *s = &a->shown;
    if (!a->limited)
        return;
    write_headers(out, requests, s->requests_limit, s->requests_left, s->requests_reset_us);
    write_headers(out, tokens, s->tokens_limit, s->tokens_left, s->tokens_reset_us);
}

// --- refusals -----------------------------------------------------------------------------------

// "key ci", "tenant app": whose limit it is.
static void write_who(struct buf *out, const struct generation *g, int32_t tenant,
                      const struct key *key, int32_t level)
{
    if (key && key->place >= 0 && level-- == 0) {
        buf_printf(out, "key " STR_FMT, STR_ARG(key_shown(key)));
        return;
    }
    int32_t who = g->limits->of[tenant].who[level];
    buf_printf(out, "tenant " STR_FMT, STR_ARG(g->portfolio->tenants[who].name));
}

// "5.00 USD", "0.002 USD": small amounts as exact as they are counted, and no longer.
static void write_money(struct buf *out, double nusd)
{
    char digits[64];
    int n = snprintf(digits, sizeof digits, nusd < 1e7 ? "%.9f" : "%.2f", nusd / 1e9);
    for (const char *cents = strchr(digits, '.') + 2;
         digits + n - 1 > cents && digits[n - 1] == '0';)
        n--;
    buf_printf(out, "%.*s USD", n, digits);
}

static void write_rate(struct buf *out, double per_minute, const char *unit)
{
    if (per_minute >= 1)
        buf_printf(out, "%.0f %s a minute", per_minute, unit);
    else
        buf_printf(out, "%.3g %s a day", per_minute * 1440, unit);
}

static void write_budget(struct buf *out, const struct quota_refusal *why, const char *period)
{
    write_money(out, why->limit);
    buf_printf(out, " a %s, of which ", period);
    write_money(out, why->used);
    buf_lit(out, " are used or reserved, and this request may cost ");
    write_money(out, why->wanted);
}

static void write_limit(struct buf *out, const struct quota_refusal *why)
{
    switch (why->what) {
    case QUOTA_REQUESTS:
        write_rate(out, why->limit, "requests");
        buf_printf(out, ", %.0f used", why->used);
        break;
    case QUOTA_TOKENS:
        write_rate(out, why->limit, "tokens");
        buf_printf(out, ", %.0f used, this request needs about %.0f", why->used, why->wanted);
        break;
    case QUOTA_IN_FLIGHT:
        buf_printf(out, "%.0f requests at once, %.0f in flight", why->limit, why->used);
        break;
    case QUOTA_DAY: write_budget(out, why, "day"); break;
    case QUOTA_MONTH: write_budget(out, why, "month"); break;
    case QUOTA_NOTHING:
    case QUOTA_WHATS: break;
    }
}

struct answer limits_answer(const struct generation *g, int32_t tenant, const struct key *key,
                            const struct quota_refusal *why, struct buf *text)
{
    bool money = why->what == QUOTA_DAY || why->what == QUOTA_MONTH;
    if (money)
        buf_lit(text, "You exceeded the current quota of ");
    else
        buf_lit(text, "Rate limit reached for ");
    write_who(text, g, tenant, key, why->level);
    buf_lit(text, ": ");
    write_limit(text, why);
    if (why->again_us == NEVER) {
        buf_lit(text, ". A request of this size never fits.");
    } else {
        buf_lit(text, ". Try again in ");
        char again[DURATION_BYTES];
        buf_add(text, again, (size_t)(put_duration(again, why->again_us) - again));
        buf_lit(text, ".");
    }
    buf_lit(text, "\0");
    // The words that OpenAI's own answers have, which clients look at.
    struct answer a = {.status = 429,
                       .code = money ? "insufficient_quota" : "rate_limit_exceeded",
                       .type = money                       ? "insufficient_quota"
                               : why->what == QUOTA_TOKENS ? "tokens"
                                                           : "requests",
                       .message = text->p + text->from,
                       .retry_after_us = why->again_us == NEVER ? -1 : why->again_us};
    a.no_retry = a.retry_after_us < 0 || a.retry_after_us > S(60);
    return a;
}

// --- the operator's page ------------------------------------------------------------------------

static void write_value(struct buf *out, const char *name, struct str tenant, const char *limit,
                        double value)
{
    buf_printf(out, "caudal_tenant_%s{tenant=", name);
    buf_add_json(out, tenant);
    buf_printf(out, ",limit=\"%s\"} %.10g\n", limit, value);
}

struct gauge {  // one limit of one tenant
    enum quota_what what;
    double used, limit;
};

static int32_t gauges_of(const struct quota_view *v, struct gauge out[5])
{
    const struct gauge all[5] = {
        {QUOTA_REQUESTS, v->requests, v->requests_limit},
        {QUOTA_TOKENS, v->tokens, v->tokens_limit},
        {QUOTA_IN_FLIGHT, v->in_flight, v->in_flight_limit},
        {QUOTA_DAY, (double)v->day_nusd / 1e9, (double)v->day_limit_nusd / 1e9},
        {QUOTA_MONTH, (double)v->month_nusd / 1e9, (double)v->month_limit_nusd / 1e9}};
    int32_t n = 0;
    for (int32_t i = 0; i < 5; i++)
        if (all[i].limit >= 0)
            out[n++] = all[i];
    return n;
}

void limits_metrics(struct limits *l, const struct generation *g, int64_t now_us, int64_t wall_us,
                    struct buf *out)
{
    static const char *const heads[] = {
        "# HELP caudal_tenant_limit What a tenant may use: requests and tokens of a minute, "
        "requests "
        "in flight, US dollars.\n# TYPE caudal_tenant_limit gauge\n",
        "# HELP caudal_tenant_used What it uses of it now; of budgets, what was charged.\n"
        "# TYPE caudal_tenant_used gauge\n"};
    const struct portfolio *p = g->portfolio;
    for (int used = 0; used < 2; used++) {
        bool any = false;
        for (int32_t i = 0; i < p->n_tenants; i++) {
            const struct limits_of *of = &g->limits->of[i];
            if (!of->n || of->who[0] != i)
                continue;
            struct gauge gauges[5];
            struct quota_view v = limits_look(l, &of->level[0], now_us, wall_us);
            int32_t n = gauges_of(&v, gauges);
            if (!any)
                buf_add_str(out, str_of(heads[used]));
            any = true;
            for (int32_t k = 0; k < n; k++)
                write_value(out, used ? "used" : "limit", p->tenants[i].name,
                            limits_what(gauges[k].what), used ? gauges[k].used : gauges[k].limit);
        }
    }
}

static void explain_limit(struct buf *out, struct str who, enum quota_what what, double used,
                          double limit)
{
    if (limit < 0)
        return;
    buf_add_str(out, buf_len(out) ? STR(",{\"who\":") : STR("[{\"who\":"));
    buf_add_json(out, who);
    buf_printf(out, ",\"what\":\"%s\",\"used\":%.9g,\"limit\":%.9g}", whats[what], used, limit);
}

void limits_explain(struct limits *l, const struct generation *g, int32_t tenant,
                    const struct key *key, int64_t now_us, int64_t wall_us, struct buf *out)
{
    struct quota_level levels[QUOTA_LEVELS_MAX];
    int32_t n = limits_levels(g, tenant, key, levels), of_key = key && key->place >= 0;
    for (int32_t i = 0; i < n; i++) {
        char who[256];
        struct quota_view v = limits_look(l, &levels[i], now_us, wall_us);
        struct str name = i < of_key
                              ? key_shown(key)
                              : g->portfolio->tenants[g->limits->of[tenant].who[i - of_key]].name;
        snprintf(who, sizeof who, "%s " STR_FMT, i < of_key ? "key" : "tenant", STR_ARG(name));
        explain_limit(out, str_of(who), QUOTA_REQUESTS, v.requests, v.requests_limit);
        explain_limit(out, str_of(who), QUOTA_TOKENS, v.tokens, v.tokens_limit);
        explain_limit(out, str_of(who), QUOTA_IN_FLIGHT, v.in_flight, v.in_flight_limit);
        explain_limit(out, str_of(who), QUOTA_DAY, (double)v.day_nusd / 1e9,
                      v.day_limit_nusd < 0 ? -1 : (double)v.day_limit_nusd / 1e9);
        explain_limit(out, str_of(who), QUOTA_MONTH, (double)v.month_nusd / 1e9,
                      v.month_limit_nusd < 0 ? -1 : (double)v.month_limit_nusd / 1e9);
    }
    if (buf_len(out))
        buf_lit(out, "]");
}
