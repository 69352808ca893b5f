#include "route/pace.h"

#include "base/units.h"

static const int64_t BACK_US = S(86400);

struct pace_terms pace_terms_of(const struct contract *c)
{
    return (struct pace_terms){.amount = c->commitment.amount,
                               .per = c->commitment.per,
                               .from_us = c->from_us,
                               .until_us = c->until_us > c->from_us ? c->until_us : NEVER};
}

// The first of a month, counted from January of year 0.
static int64_t start_of(int64_t month)
{
    return civil_us((struct civil){.month = (int32_t)month + 1, .day = 1});
}

static int32_t months_of(enum period per)
{
    return per == PERIOD_MONTH ? 1 : per == PERIOD_QUARTER ? 3 : per == PERIOD_YEAR ? 12 : 0;
}

static void period_of(struct pace *c, const struct pace_terms *t, int64_t wall_us)
{
    int64_t months = months_of(t->per);
    if (wall_us < t->from_us || wall_us >= t->until_us) {
        bool before = wall_us < t->from_us;
        c->from_us = before ? INT64_MIN : t->until_us;
        c->until_us = before ? t->from_us : NEVER;
        c->amount = 0;
        return;
    }
    if (months == 0) {
        c->from_us = t->from_us;
        c->until_us = t->until_us;
        c->amount = t->amount;
        return;
    }
    struct civil date = civil_of(wall_us);
    int64_t first = ((int64_t)date.year * 12 + date.month - 1) / months * months;
    int64_t from_us = start_of(first), until_us = start_of(first + months);
    c->from_us = max_i64(from_us, t->from_us);
    c->until_us = min_i64(until_us, t->until_us);
    c->amount = t->amount;
    if (c->until_us > c->from_us)
        c->amount *= (double)(c->until_us - c->from_us) / (double)(until_us - from_us);
}

void pace_see(struct pace *c, const struct pace_terms *t, int64_t wall_us)
{
    bool none = c->from_us == 0 && c->until_us == 0;
    int64_t from_us = c->from_us;
    c->seen_us = wall_us;
    int64_t least_us = c->from_us > INT64_MIN + BACK_US ? c->from_us - BACK_US : INT64_MIN;
    if (!none && wall_us >= least_us && wall_us < c->until_us)
        return;
    period_of(c, t, wall_us);
    if (!none && c->from_us != from_us)
        c->used = 0;
}

void pace_use(struct pace *c, double units)
{
    if (units > 0)
        c->used += units;
}

static double calendar_share(const struct pace *c, int64_t wall_us)
{
    double past = (double)(wall_us - c->from_us);
    return past < 0 ? 0 : past / (double)(c->until_us - c->from_us);
}

double pace_share(const struct pace *c, const struct pace_terms *t, int64_t wall_us)
{
    struct pace now = *c;
    pace_see(&now, t, wall_us);
    if (!(now.used < now.amount))
        return 1;
    const struct planned_contract *plan = wall_us < t->plan_until_us ? t->plan : NULL;
    double even = plan ? plan->worth : 0.5;
    if (now.until_us == NEVER || now.until_us <= now.from_us)
        return plan ? even : 0;
    double gone = plan ? planned_share(plan, now.from_us, now.until_us, wall_us)
                       : calendar_share(&now, wall_us);
    if (gone >= 1)
        return 0;
    double ahead = (now.used / now.amount - gone) / (1 - gone);  // 1 - q = (x - t) / (1 - t)
    ahead /= plan ? PACE_BAND_PLANNED : PACE_BAND;
    double share = even + (ahead > 0 ? 1 - even : even) * ahead;
    if (share <= 0)
        return 0;
    return share >= 1 ? 1 : (double)(int32_t)(share * PACE_STEPS + 0.5) / PACE_STEPS;
}

bool pace_is_spent(const struct pace *c)
{
    return c->amount > 0 && !(c->used < c->amount);
}

struct pace_outlook pace_outlook(const struct pace *c, int64_t wall_us)
{
    struct pace_outlook o = {.gone = -1, .at_end = c->used};
    if (c->until_us < NEVER && c->from_us > INT64_MIN && c->until_us > c->from_us) {
        double gone = (double)(wall_us - c->from_us) / (double)(c->until_us - c->from_us);
        o.gone = gone < 0 ? 0 : gone > 1 ? 1 : gone;
        if (o.gone > 0)
            o.at_end = c->used / o.gone;
    }
    o.used = c->amount > 0 ? c->used / c->amount : 0;
    o.left = c->used < c->amount ? c->amount - c->used : 0;
    // What has no end strands nothing.
    o.stranded = o.gone >= 0 && o.at_end < c->amount ? c->amount - o.at_end : 0;
    o.beyond = o.at_end > c->amount ? o.at_end - c->amount : 0;
    return o;
}
