#include "replay/changes.h"

#include "base/units.h"
#include "portfolio/commitment.h"

#include <stdarg.h>
#include <stdio.h>

static const double JOULES_PER_MWH = 3.6e9, JOULES_PER_KWH = 3.6e6, FACTOR_MOST = 1e6;
const char change_words[] = "maintenance, phase, price, beyond, energy or carbon";

// --- words and complaints ---------------------------------------------------------------------

bool event_word(struct str *rest, struct str *word)
{
    *rest = str_trim(*rest);
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
        n++;
    *word = (struct str){rest->p, n};
    *rest = str_skip(*rest, n);
    return n > 0;
}

enum err event_wrong(const struct event_line *l, const char *fmt, ...)
{
    char what[DIAG_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return diag_set(l->diag, ERR_INVALID, "%s:%d: %s", l->name, l->line, what);
}

// `what` is not known by that name; `near` may be empty.
static enum err unknown(const struct event_line *l, const char *what, struct str who,
                        struct str near)
{
    return event_wrong(l, "there is no %s \"" STR_FMT "\"%s" STR_FMT "%s", what, STR_ARG(who),
                       near.n ? "; did you mean \"" : "", STR_ARG(near), near.n ? "\"?" : "");
}

enum err event_no_pool(const struct event_line *l, struct str who)
{
    struct str near = {0};
    if (!table_nearest(l->p->pool_names, who, &near))
        near = (struct str){0};
    return unknown(l, "pool", who, near);
}

// The nearer of two names, if it is near at all.
static void nearer(struct str who, struct str name, size_t *edits, struct str *near)
{
    size_t d = str_distance(who, name);
    if (d > 2 || d > who.n / 3 || d >= *edits)
        return;
    *edits = d;
    *near = name;
}

// --- who --------------------------------------------------------------------------------------

enum { OF_POOL = 1, OF_SITE = 2, OF_CONTRACT = 4 };

// Whose the line is, of the kinds that its word allows; a pool's name comes first.
static enum err read_who(struct change *c, const struct event_line *l, struct str who, int kinds)
{
    const struct portfolio *p = l->p;
    c->pool = c->site = c->contract = -1;
    if ((kinds & OF_POOL) && table_get(p->pool_names, who, &c->pool))
        return ERR_NONE;
    c->pool = -1;
    if (kinds & OF_SITE)
        c->site = portfolio_site(p, who);
    if (c->site < 0 && (kinds & OF_CONTRACT))
        c->contract = portfolio_contract(p, who);
    if (c->site >= 0 || c->contract >= 0)
        return ERR_NONE;
    struct str near = {0};
    size_t edits = SIZE_MAX;
    for (int32_t i = 0; (kinds & OF_POOL) && i < p->n_pools; i++)
        nearer(who, p->pools[i].name, &edits, &near);
    for (int32_t i = 0; (kinds & OF_SITE) && i < p->n_sites; i++)
        nearer(who, p->sites[i].name, &edits, &near);
    for (int32_t i = 0; (kinds & OF_CONTRACT) && i < p->n_contracts; i++)
        nearer(who, p->contracts[i].name, &edits, &near);
    return unknown(l,
                   kinds == OF_SITE                   ? "site"
                   : kinds == (OF_POOL | OF_SITE)     ? "pool or site"
                   : kinds == (OF_POOL | OF_CONTRACT) ? "pool or contract"
                                                      : "contract",
                   who, near);
}

// The contract that is meant by a pool or by itself.
static int32_t contract_meant(const struct change *c, const struct portfolio *p)
{
    return c->pool >= 0 ? p->pools[c->pool].contract : c->contract;
}

// --- values -----------------------------------------------------------------------------------

static bool read_times(struct change *c, struct str value)
{
    c->times = str_starts(value, STR("x")) && str_to_double(str_skip(value, 1), &c->value);
    return c->times && c->value >= 0 && c->value <= FACTOR_MOST;
}

static enum err read_maintenance(struct change *c, const struct event_line *l, struct str value)
{
    double us;
    if (unit_parse(&us, UNIT_DURATION, value, NULL) || !(us > 0))
        return event_wrong(l, "\"" STR_FMT "\" behind maintenance: expected how long, such as 2 h",
                           STR_ARG(value));
    c->us = (int64_t)us;
    return ERR_NONE;
}

// "2" is the second of the contract's phases by their begin, "2027-01-01" the one that begins then.
static bool find_phase(const struct contract *k, struct str word, int32_t *out)
{
    int64_t number, from_us;
    if (str_to_i64(word, &number)) {
        *out = (int32_t)(number >= 1 && number <= k->n_phases ? number - 1 : -1);
        return *out >= 0;
    }
    if (unit_instant(&from_us, word, NULL))
        return false;
    *out = k->n_phases - 1;
    while (*out >= 0 && k->phases[*out].from_us != from_us)
        --*out;
    return *out >= 0;
}

static enum err read_phase(struct change *c, const struct event_line *l, struct str value)
{
    c->contract = contract_meant(c, l->p);
    if (c->contract < 0)
        return event_wrong(l, "phase: the pool has no contract");
    if (l->p->contracts[c->contract].n_phases == 0)
        return event_wrong(l, "phase: the contract has none");
    const struct contract *k = &l->p->contracts[c->contract];
    struct str which, how;
    double us;
    event_word(&value, &which);
    event_word(&value, &how);
    value = str_trim(value);
    if (!find_phase(k, which, &c->phase))
        return event_wrong(l,
                           "\"" STR_FMT "\" is no phase of " STR_FMT
                           ": expected 1 to %d, or the day on which it begins",
                           STR_ARG(which), STR_ARG(k->name), (int)k->n_phases);
    bool sooner = str_eq(how, STR("advances"));
    if (str_eq(how, STR("begins"))) {
        c->kind = CHANGE_PHASE_AT;
        if (unit_instant(&c->us, value, NULL))
            return event_wrong(l,
                               "\"" STR_FMT "\" behind begins: expected a day such as 2027-03-01",
                               STR_ARG(value));
        if (c->us >= k->phases[c->phase].until_us)
            return event_wrong(l, "\"" STR_FMT "\" behind begins: the phase ends before",
                               STR_ARG(value));
        return ERR_NONE;
    }
    if (!sooner && !str_eq(how, STR("slips")))
        return event_wrong(l,
                           "\"" STR_FMT "\" behind phase " STR_FMT
                           ": expected slips 90 d, advances 30 d or begins 2027-03-01",
                           STR_ARG(how), STR_ARG(which));
    if (unit_parse(&us, UNIT_DURATION, value, NULL) || !(us > 0))
        return event_wrong(l, "\"" STR_FMT "\" behind " STR_FMT ": expected a time such as 90 d",
                           STR_ARG(value), STR_ARG(how));
    c->us = sooner ? -(int64_t)us : (int64_t)us;
    return ERR_NONE;
}

static enum err read_rate(struct change *c, const struct event_line *l, struct str word,
                          struct str value, enum unit_kind unit, double scale)
{
    if (read_times(c, value))
        return ERR_NONE;
    if (!c->times && !unit_parse(&c->value, unit, value, NULL)) {
        c->value /= scale;
        return ERR_NONE;
    }
    return event_wrong(l,
                       "\"" STR_FMT "\" behind " STR_FMT ": expected %s, or a factor such as x1.5",
                       STR_ARG(value), STR_ARG(word), unit_example(unit));
}

static enum err read_beyond(struct change *c, const struct event_line *l, struct str value)
{
    const struct portfolio *p = l->p;
    c->contract = c->pool >= 0 ? commitment_of(p, &p->pools[c->pool]) : c->contract;
    if (c->contract < 0 || !contract_commits(&p->contracts[c->contract]))
        return event_wrong(l, "beyond: the contract commits to nothing");
    const struct commitment *m = &p->contracts[c->contract].commitment;
    if (m->unit == COMMIT_USD)
        return event_wrong(l, "beyond: more than a commitment of money costs the list price");
    if (read_times(c, value)) {
        if (m->beyond_nusd_per_unit > 0)
            return ERR_NONE;
        return event_wrong(l,
                           "\"" STR_FMT "\" behind beyond: what is beyond costs the list price, "
                           "which price changes",
                           STR_ARG(value));
    }
    if (!c->times && commitment_price_read(m, value, &c->value) && c->value > 0)
        return ERR_NONE;
    return event_wrong(l, "\"" STR_FMT "\" behind beyond: expected %s, or a factor such as x1.5",
                       STR_ARG(value), commitment_price_example(m->unit));
}

// --- prices -----------------------------------------------------------------------------------

// "input 0.3 USD/Mtok output 0.9 USD/Mtok".
static enum err read_token_price(struct change *c, const struct event_line *l, struct str value)
{
    struct {
        const char *word;
        int64_t *to;
    } parts[] = {{"input", &c->price.input},
                 {"cached_input", &c->price.cached_input},
                 {"cache_write", &c->price.cache_write},
                 {"output", &c->price.output}};
    struct str word, amount, unit;
    c->price = (struct token_price){true, -1, -1, -1, -1};
    while (event_word(&value, &word)) {
        size_t i = 0;
        double v;
        while (i < COUNTOF(parts) && !str_eq(word, str_of(parts[i].word)))
            i++;
        if (i == COUNTOF(parts))
            return event_wrong(l,
                               "\"" STR_FMT "\" behind price: expected a factor such as x1.2, or "
                               "input, cached_input, cache_write or output",
                               STR_ARG(word));
        if (*parts[i].to >= 0)
            return event_wrong(l, "price: " STR_FMT " stands twice", STR_ARG(word));
        event_word(&value, &amount);
        if (unit_parse(&v, UNIT_TOKEN_PRICE, amount, NULL)) {  // "0.3 USD/Mtok" is two words
            event_word(&value, &unit);
            amount.n = (size_t)(unit.p + unit.n - amount.p);
            if (unit_parse(&v, UNIT_TOKEN_PRICE, amount, NULL))
                v = -1;
        }
        if (v < 0)
            return event_wrong(l, "\"" STR_FMT "\" behind " STR_FMT ": expected %s",
                               STR_ARG(amount), STR_ARG(word), unit_example(UNIT_TOKEN_PRICE));
        *parts[i].to = (int64_t)(v + 0.5);
    }
    return ERR_NONE;
}

// Somebody of those meant serves the model, and says a price that can be multiplied.
static enum err check_price(const struct change *c, const struct event_line *l, struct str model)
{
    const struct portfolio *p = l->p;
    bool serves = false, priced = false;
    for (int32_t i = 0; i < p->n_pools; i++) {
        if (i != c->pool && (c->contract < 0 || p->pools[i].contract != c->contract))
            continue;
        for (int32_t k = 0; k < p->pools[i].n_serves; k++) {
            const struct serving *s = &p->pools[i].serves[k];
            serves = serves || c->model < 0 || s->model == c->model;
            priced = priced || ((c->model < 0 || s->model == c->model) && s->price.said);
        }
    }
    if (!serves)
        return event_wrong(l, "price: it does not serve \"" STR_FMT "\"", STR_ARG(model));
    if (c->times && !priced)
        return event_wrong(l, "price: the portfolio says none that could be multiplied");
    return ERR_NONE;
}

static enum err read_price(struct change *c, const struct event_line *l, struct str value)
{
    struct str model, near = {0};
    event_word(&value, &model);
    value = str_trim(value);
    c->model = -1;
    if (!str_eq(model, STR("*")) && !table_get(l->p->model_names, model, &c->model)) {
        bool has = table_nearest(l->p->model_names, model, &near);
        return unknown(l, "model", model, has ? near : (struct str){0});
    }
    if (value.n == 0)
        return event_wrong(l, "price: expected a factor such as x1.2, or input 0.3 USD/Mtok");
    if (!read_times(c, value)) {
        c->times = false;
        enum err e = read_token_price(c, l, value);
        if (e)
            return e;
    }
    return check_price(c, l, model);
}

// --- a line -----------------------------------------------------------------------------------

static const struct {
    const char *word;
    enum change_kind kind;
    int of;
} words[] = {
    {"maintenance", CHANGE_MAINTENANCE, OF_POOL | OF_SITE},
    {"phase", CHANGE_PHASE_BY, OF_POOL | OF_CONTRACT},
    {"price", CHANGE_PRICE, OF_POOL | OF_CONTRACT},
    {"beyond", CHANGE_BEYOND, OF_POOL | OF_CONTRACT},
    {"energy", CHANGE_ENERGY, OF_SITE},
    {"carbon", CHANGE_CARBON, OF_SITE},
};

static size_t find_word(struct str word)
{
    size_t i = 0;
    while (i < COUNTOF(words) && !str_eq(word, str_of(words[i].word)))
        i++;
    return i;
}

bool change_is(struct str word)
{
    return find_word(word) < COUNTOF(words);
}

enum err change_read(struct change *out, const struct event_line *l, struct str who,
                     struct str word, struct str rest)
{
    size_t i = find_word(word);
    CHECK(i < COUNTOF(words));
    *out = (struct change){.kind = words[i].kind};
    enum err e = read_who(out, l, who, words[i].of);
    if (e)
        return e;
    switch (words[i].kind) {
    case CHANGE_MAINTENANCE: return read_maintenance(out, l, rest);
    case CHANGE_PHASE_BY:
    case CHANGE_PHASE_AT: return read_phase(out, l, rest);
    case CHANGE_PRICE: return read_price(out, l, rest);
    case CHANGE_BEYOND: return read_beyond(out, l, rest);
    case CHANGE_ENERGY: return read_rate(out, l, word, rest, UNIT_ENERGY_PRICE, JOULES_PER_MWH);
    case CHANGE_CARBON: return read_rate(out, l, word, rest, UNIT_CARBON, JOULES_PER_KWH);
    }
    return ERR_NONE;
}
