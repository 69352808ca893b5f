#include "route/quota.h"

#include "base/rng.h"
#include "base/units.h"

// What has been used of a minute's worth, flowing off at the rate of the limit.
struct used {
    double n, per_us;
    int64_t at_us;
    double returned;  // given back so far, over its whole life
};

// Money of one day or month. More than the current one is kept, since a clock may be set ahead and
// back again: a day that comes again finds its count.
struct tally {
    int32_t period;  // days or months, counted from 1970 and from 1; 0: unused
    int64_t spent, reserved;
};

enum { DAYS = 4, MONTHS = 2 };

struct spender {
    uint64_t id;
    int32_t in_flight;
    struct used requests, tokens;
    struct tally days[DAYS], months[MONTHS];
};

struct quota {
    int32_t n_spenders, n_spenders_max, n_slots;
    struct spender *spenders;  // [n_spenders_max]
    int32_t *slots;            // [n_slots], by hash of the id: a place and 1; 0: empty
    int32_t day, month;        // that were asked for last: the calendar is slow
};

static const double minute_s = 60;
static const double rounding = 1e-6;  // of a request or token, what sums of doubles may be off
static const int64_t soon_us = S(1);  // when somebody may have given back what he holds
static const int64_t day_us = S(86400);

// --- places -----------------------------------------------------------------------------------

enum err quota_new(struct quota **out, struct arena *a, int32_t max_places)
{
    struct quota *q = arena_new(a, struct quota, 1);
    if (!q)
        return ERR_LIMIT;
    q->n_spenders_max = max_places;
    q->n_slots = 2 * max_places + 1;
    q->spenders = arena_new(a, struct spender, max_places);
    q->slots = arena_new(a, int32_t, q->n_slots);
    if (!q->spenders || !q->slots)
        return ERR_LIMIT;
    *out = q;
    return ERR_NONE;
}

// The slot that has this id, or the empty one where it would be.
static int32_t slot_of(const struct quota *q, uint64_t id)
{
    int32_t at = (int32_t)(mix64(id) % (uint64_t)q->n_slots);
    while (q->slots[at] && q->spenders[q->slots[at] - 1].id != id)
        at = (at + 1) % q->n_slots;
    return at;
}

int32_t quota_place(struct quota *q, uint64_t id)
{
    CHECK(id != 0);
    int32_t at = slot_of(q, id);
    if (q->slots[at])
        return q->slots[at] - 1;
    if (q->n_spenders == q->n_spenders_max)
        return -1;
    int32_t place = q->n_spenders++;
    q->spenders[place] = (struct spender){.id = id};
    q->slots[at] = place + 1;
    return place;
}

// --- buckets ----------------------------------------------------------------------------------

static double used_now(const struct used *u, int64_t now_us)
{
    double left = u->n - u->per_us * (double)max_i64(0, now_us - u->at_us);
    return left > 0 ? left : 0;
}

// From here on the limit is `per_s`, as the level says now.
static void flow(struct used *u, double per_s, int64_t now_us)
{
    u->n = per_s > 0 ? used_now(u, now_us) : 0;
    u->per_us = per_s / 1e6;
    u->at_us = max_i64(u->at_us, now_us);
}

static void correct(struct used *u, double by)
{
    u->n = u->n + by > 0 ? u->n + by : 0;
}

// First in, first out: a request's own tokens are behind those that were there before it. What of
// them has flowed off may have let another in, so only what is still there can be given back.
static double still_there(const struct used *u, const struct quota_hold *h, int64_t taken_us,
                          int64_t now_us)
{
    double flowed = u->per_us * (double)max_i64(0, now_us - taken_us);
    double left = h->mark - flowed - u->returned;
    return left < 0 ? 0 : left < h->tokens ? left : h->tokens;
}

// A request that was reckoned with `h->tokens` came to `tokens`.
static void set_right(struct used *u, const struct quota_hold *h, double tokens, int64_t taken_us,
                      int64_t now_us)
{
    if (tokens >= h->tokens) {
        u->n += tokens - h->tokens;
        return;
    }
    double there = still_there(u, h, taken_us, now_us), spare = h->tokens - tokens;
    double back = spare < there ? spare : there;
    u->returned += back;
    correct(u, -back);
}

static double size_of(double per_s)
{
    double n = per_s * minute_s;
    return n > 1 ? n : 1;
}

// When `n` more fit; 0: now. `n` is at most the bucket's size.
static int64_t fits_in_us(const struct used *u, double per_s, double n, int64_t now_us)
{
    double over = used_now(u, now_us) + n - size_of(per_s);
    if (over <= rounding)
        return 0;
    double us = over / per_s * 1e6 + 1;
    return us < 1e15 ? (int64_t)us : (int64_t)1e15;
}

// --- periods ----------------------------------------------------------------------------------

static int32_t day_of(int64_t wall_us, int64_t zone_us)
{
    return (int32_t)((wall_us + zone_us) / day_us) + 1;
}

static int32_t month_of(int64_t wall_us, int64_t zone_us)
{
    struct civil c = civil_of(wall_us + zone_us);
    return (c.year - 1970) * 12 + c.month;
}

// The same, of one day after another.
static int32_t month_of_day(struct quota *q, int32_t day)
{
    if (q->day != day) {
        q->day = day;
        q->month = month_of((day - 1) * day_us, 0);
    }
    return q->month;
}

static int64_t day_ends_us(int64_t wall_us, int64_t zone_us)
{
    return day_us - (wall_us + zone_us) % day_us;
}

static int64_t month_ends_us(int64_t wall_us, int64_t zone_us)
{
    struct civil c = civil_of(wall_us + zone_us);
    return civil_us((struct civil){.year = c.year, .month = c.month + 1, .day = 1}) - wall_us -
           zone_us;
}

static const struct tally *find_tally(const struct tally *all, int32_t n, int32_t period)
{
    static const struct tally nothing;
    for (int32_t i = 0; i < n; i++)
        if (all[i].period == period)
            return &all[i];
    return &nothing;
}

// The tally of a period, in place of the oldest one when it is new.
static struct tally *open_tally(struct tally *all, int32_t n, int32_t period)
{
    struct tally *oldest = &all[0];
    for (int32_t i = 0; i < n; i++) {
        if (all[i].period == period)
            return &all[i];
        if (all[i].period < oldest->period)
            oldest = &all[i];
    }
    *oldest = (struct tally){.period = period};
    return oldest;
}

static int64_t add_money(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

static int64_t month_limit(const struct allowance *a)
{
    return a->budget_month_uusd > INT64_MAX / 1000 ? INT64_MAX : a->budget_month_uusd * 1000;
}

// --- letting in -------------------------------------------------------------------------------

struct door {  // one level while it is asked
    struct quota *q;
    const struct allowance *a;
    const struct spender *s;
    const struct quota_ask *ask;
    int32_t level;
    struct quota_refusal *why;
    bool shut;
};

static void refuse(struct door *d, enum quota_what what, double limit, double used, double wanted,
                   int64_t again_us)
{
    if (!d->shut || again_us > d->why->again_us)
        *d->why = (struct quota_refusal){what, d->level, limit, used, wanted, again_us};
    d->shut = true;
}

// A prompt that a full bucket could not hold never passes; a forecast that would not fit is no
// reason to wait for ever.
static double tokens_wanted(const struct allowance *a, const struct quota_ask *ask)
{
    double most = size_of(a->tokens_per_s);
    double wanted = (double)ask->prompt_tok + ask->output_tok;
    return wanted < most || ask->prompt_tok > most ? wanted : most;
}

static void ask_rates(struct door *d)
{
    const struct allowance *a = d->a;
    const struct quota_ask *ask = d->ask;
    if (a->in_flight > 0 && d->s->in_flight >= a->in_flight)
        refuse(d, QUOTA_IN_FLIGHT, a->in_flight, d->s->in_flight, 1, soon_us);
    if (a->requests_per_s > 0) {
        int64_t us = fits_in_us(&d->s->requests, a->requests_per_s, 1, ask->now_us);
        if (us)
            refuse(d, QUOTA_REQUESTS, a->requests_per_s * minute_s,
                   used_now(&d->s->requests, ask->now_us), 1, us);
    }
    if (a->tokens_per_s > 0) {
        double wanted = tokens_wanted(a, ask), limit = size_of(a->tokens_per_s);
        int64_t us = wanted > limit
                         ? NEVER
                         : fits_in_us(&d->s->tokens, a->tokens_per_s, wanted, ask->now_us);
        if (us)
            refuse(d, QUOTA_TOKENS, a->tokens_per_s * minute_s,
                   used_now(&d->s->tokens, ask->now_us), wanted, us);
    }
}

static void ask_budget(struct door *d, enum quota_what what, const struct tally *t, int64_t limit)
{
    int64_t wall = d->ask->wall_us, zone = d->a->zone_us;
    int64_t wanted = d->a->budget_hard ? d->ask->most_nusd : d->ask->expected_nusd;
    int64_t taken = add_money(t->spent, t->reserved);
    if (add_money(taken, wanted) <= limit)
        return;
    int64_t ends_us = what == QUOTA_DAY ? day_ends_us(wall, zone) : month_ends_us(wall, zone);
    int64_t again_us = wanted > limit                         ? NEVER
                       : add_money(t->spent, wanted) <= limit ? min_i64(soon_us, ends_us)
                                                              : ends_us;
    refuse(d, what, (double)limit, (double)taken, (double)wanted, again_us);
}

static void ask_budgets(struct door *d)
{
    const struct allowance *a = d->a;
    int32_t day = day_of(d->ask->wall_us, a->zone_us);
    if (a->budget_day_nusd >= 0)
        ask_budget(d, QUOTA_DAY, find_tally(d->s->days, DAYS, day), a->budget_day_nusd);
    if (a->budget_month_uusd >= 0)
        ask_budget(d, QUOTA_MONTH, find_tally(d->s->months, MONTHS, month_of_day(d->q, day)),
                   month_limit(a));
}

static void reserve(struct tally *t, int64_t nusd)
{
    t->reserved = add_money(t->reserved, nusd);
}

static void take_level(struct quota *q, const struct allowance *a, const struct quota_ask *ask,
                       struct quota_hold *h)
{
    struct spender *s = &q->spenders[h->place];
    s->in_flight++;
    flow(&s->requests, a->requests_per_s, ask->now_us);
    flow(&s->tokens, a->tokens_per_s, ask->now_us);
    if (a->requests_per_s > 0)
        s->requests.n += 1;
    if (a->tokens_per_s > 0) {
        h->tokens = (int32_t)tokens_wanted(a, ask);
        s->tokens.n += h->tokens;
        h->mark = s->tokens.n + s->tokens.returned;
    }
    // Money is counted where no budget is said, too: a reload may say one.
    h->nusd = a->budget_hard ? ask->most_nusd : ask->expected_nusd;
    h->day = day_of(ask->wall_us, a->zone_us);
    h->month = month_of_day(q, h->day);
    reserve(open_tally(s->days, DAYS, h->day), h->nusd);
    reserve(open_tally(s->months, MONTHS, h->month), h->nusd);
}

static bool is_hard(const struct allowance *a)
{
    return a->budget_hard && (a->budget_day_nusd >= 0 || a->budget_month_uusd >= 0);
}

bool quota_take(struct quota *q, const struct quota_level *levels, int32_t n,
                const struct quota_ask *ask, struct quota_ticket *t, struct quota_refusal *why)
{
    CHECK(n <= QUOTA_LEVELS_MAX && t->n == 0);
    struct door d = {.q = q, .ask = ask, .why = why};
    for (int32_t i = 0; i < n; i++) {
        d.level = i;
        d.a = levels[i].allowance;
        d.s = &q->spenders[levels[i].place];
        ask_rates(&d);
        ask_budgets(&d);
    }
    if (d.shut)
        return false;
    *t = (struct quota_ticket){.n = n, .most_nusd = INT64_MAX, .taken_us = ask->now_us};
    for (int32_t i = 0; i < n; i++) {
        t->hold[i] = (struct quota_hold){.place = levels[i].place};
        take_level(q, levels[i].allowance, ask, &t->hold[i]);
        if (is_hard(levels[i].allowance))
            t->most_nusd = ask->most_nusd;
    }
    return true;
}

// --- the end ----------------------------------------------------------------------------------

static struct tally *held(struct tally *all, int32_t n, int32_t period)
{
    for (int32_t i = 0; i < n; i++)
        if (all[i].period == period)
            return &all[i];
    return NULL;  // none, or so long ago that it made room for another
}

static void spend(struct tally *t, int64_t reserved, int64_t spent)
{
    if (!t)
        return;
    t->reserved = max_i64(0, t->reserved - reserved);
    t->spent = add_money(t->spent, spent);
}

static void leave(struct quota *q, const struct quota_hold *h, int64_t spent)
{
    struct spender *s = &q->spenders[h->place];
    CHECK(s->in_flight > 0);
    s->in_flight--;
    spend(held(s->days, DAYS, h->day), h->nusd, spent);
    spend(held(s->months, MONTHS, h->month), h->nusd, spent);
}

int64_t quota_charge(const struct quota_ticket *t, int64_t charged_nusd)
{
    return t->n ? min_i64(charged_nusd, t->most_nusd) : charged_nusd;
}

int64_t quota_settle(struct quota *q, struct quota_ticket *t, int32_t tokens, int64_t charged_nusd,
                     int64_t now_us)
{
    int64_t charged = quota_charge(t, charged_nusd);
    for (int32_t i = 0; i < t->n; i++) {
        const struct quota_hold *h = &t->hold[i];
        if (h->tokens)
            set_right(&q->spenders[h->place].tokens, h, tokens, t->taken_us, now_us);
        leave(q, h, charged);
    }
    *t = (struct quota_ticket){0};
    return charged;
}

void quota_give_back(struct quota *q, struct quota_ticket *t, int64_t now_us)
{
    for (int32_t i = 0; i < t->n; i++) {
        const struct quota_hold *h = &t->hold[i];
        struct spender *s = &q->spenders[h->place];
        // Only as much of the request as has not flowed off: what has may have let another in, and
        // would let in a second one.
        double flowed = s->requests.per_us * (double)max_i64(0, now_us - t->taken_us);
        if (s->requests.per_us > 0 && flowed < 1)
            correct(&s->requests, flowed - 1);
        if (h->tokens)
            set_right(&s->tokens, h, 0, t->taken_us, now_us);
        leave(q, h, 0);
    }
    *t = (struct quota_ticket){0};
}

// --- looking ----------------------------------------------------------------------------------

// Used of a bucket: at least what is known, at most all of it.
static double used_at_least(double used, double known, double size)
{
    double n = known < size ? known : size;
    return used > n ? used : n;
}

void quota_remember(struct quota *q, const struct quota_level *level, const struct quota_past *past,
                    int64_t now_us, int64_t wall_us)
{
    struct spender *s = &q->spenders[level->place];
    const struct allowance *a = level->allowance;
    struct tally *day = open_tally(s->days, DAYS, day_of(wall_us, a->zone_us));
    struct tally *month = open_tally(s->months, MONTHS, month_of(wall_us, a->zone_us));
    day->spent = max_i64(day->spent, past->day_nusd);
    month->spent = max_i64(month->spent, past->month_nusd);
    flow(&s->requests, a->requests_per_s, now_us);
    flow(&s->tokens, a->tokens_per_s, now_us);
    if (a->requests_per_s > 0)
        s->requests.n = used_at_least(s->requests.n, past->requests, size_of(a->requests_per_s));
    if (a->tokens_per_s > 0)
        s->tokens.n = used_at_least(s->tokens.n, past->tokens, size_of(a->tokens_per_s));
}

void quota_charged(struct quota *q, int32_t place, int64_t zone_us, int64_t wall_us, int64_t nusd)
{
    struct spender *s = &q->spenders[place];
    struct tally *day = open_tally(s->days, DAYS, day_of(wall_us, zone_us));
    struct tally *month = open_tally(s->months, MONTHS, month_of(wall_us, zone_us));
    day->spent = add_money(day->spent, nusd);
    month->spent = add_money(month->spent, nusd);
}

static int64_t empty_in_us(double used, double per_s)
{
    double us = per_s > 0 ? used / per_s * 1e6 : 0;
    return us < 1e15 ? (int64_t)us : (int64_t)1e15;
}

struct quota_view quota_rates(const struct quota *q, const struct quota_level *level,
                              int64_t now_us)
{
    const struct spender *s = &q->spenders[level->place];
    const struct allowance *a = level->allowance;
    struct quota_view v = {
        .requests_limit = a->requests_per_s > 0 ? a->requests_per_s * minute_s : -1,
        .tokens_limit = a->tokens_per_s > 0 ? a->tokens_per_s * minute_s : -1,
        .in_flight = s->in_flight,
        .in_flight_limit = a->in_flight > 0 ? a->in_flight : -1,
    };
    if (a->requests_per_s > 0)
        v.requests = used_now(&s->requests, now_us);
    if (a->tokens_per_s > 0)
        v.tokens = used_now(&s->tokens, now_us);
    v.requests_reset_us = empty_in_us(v.requests, a->requests_per_s);
    v.tokens_reset_us = empty_in_us(v.tokens, a->tokens_per_s);
    return v;
}

struct quota_view quota_look(const struct quota *q, const struct quota_level *level, int64_t now_us,
                             int64_t wall_us)
{
    const struct spender *s = &q->spenders[level->place];
    const struct allowance *a = level->allowance;
    const struct tally *day = find_tally(s->days, DAYS, day_of(wall_us, a->zone_us));
    const struct tally *month = find_tally(s->months, MONTHS, month_of(wall_us, a->zone_us));
    struct quota_view v = quota_rates(q, level, now_us);
    v.day_nusd = day->spent;
    v.day_reserved_nusd = day->reserved;
    v.day_limit_nusd = a->budget_day_nusd;
    v.month_nusd = month->spent;
    v.month_reserved_nusd = month->reserved;
    v.month_limit_nusd = a->budget_month_uusd < 0 ? -1 : month_limit(a);
    return v;
}

int32_t quota_tightest(const struct quota *q, const struct quota_level *levels, int32_t n,
                       bool tokens, int64_t now_us)
{
    int32_t tightest = -1;
    double least_left = 0;
    for (int32_t i = 0; i < n; i++) {
        const struct spender *s = &q->spenders[levels[i].place];
        const struct allowance *a = levels[i].allowance;
        double per_s = tokens ? a->tokens_per_s : a->requests_per_s;
        if (per_s <= 0)
            continue;
        double left = per_s * minute_s - used_now(tokens ? &s->tokens : &s->requests, now_us);
        if (tightest < 0 || left < least_left) {
            tightest = i;
            least_left = left;
        }
    }
    return tightest;
}
