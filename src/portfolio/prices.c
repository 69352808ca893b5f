#include "portfolio/prices.h"

static const int64_t HOUR_US = S(3600), DAY_US = S(86400), WEEK_US = S(7 * 86400);
static const int64_t MONDAY_US = S(4 * 86400);  // 1970-01-05

// Since the Monday of its week.
static int64_t of_week(int64_t wall_us)
{
    int64_t us = (wall_us - MONDAY_US) % WEEK_US;
    return us < 0 ? us + WEEK_US : us;
}

int32_t week_hour(int64_t wall_us)
{
    return (int32_t)(of_week(wall_us) / HOUR_US);
}

int32_t typical_of_week(int32_t week_hour)
{
    return week_hour % TYPICAL_DAY + (week_hour >= 5 * TYPICAL_DAY ? TYPICAL_DAY : 0);
}

int32_t typical_hour(int64_t wall_us)
{
    return typical_of_week(week_hour(wall_us));
}

// Use planned from a Monday of long ago until `wall_us`, in whatever `pace` counts.
static double planned_until(const struct planned_contract *c, int64_t wall_us)
{
    double sum[2] = {0, 0}, part = 0;
    for (int32_t i = 0; i < TYPICAL_HOURS; i++)
        sum[i / TYPICAL_DAY] += c->pace[i];
    int64_t us = of_week(wall_us), day = us / DAY_US;
    int64_t weeks = (wall_us - MONDAY_US - us) / WEEK_US;
    const double *hours = &c->pace[day < 5 ? 0 : TYPICAL_DAY];
    int64_t hour = us % DAY_US / HOUR_US;
    for (int64_t i = 0; i < hour; i++)
        part += hours[i];
    part += hours[hour] * ((double)(us % HOUR_US) / (double)HOUR_US);
    double days = day < 5 ? (double)day * sum[0] : 5 * sum[0] + (double)(day - 5) * sum[1];
    return (double)weeks * (5 * sum[0] + 2 * sum[1]) + days + part;
}

double planned_share(const struct planned_contract *c, int64_t from_us, int64_t until_us,
                     int64_t wall_us)
{
    if (wall_us <= from_us)
        return 0;
    if (wall_us >= until_us)
        return 1;
    double from = planned_until(c, from_us), all = planned_until(c, until_us) - from;
    // Nothing is planned in any hour of it: then the calendar says.
    if (!(all > 0))
        return (double)(wall_us - from_us) / (double)(until_us - from_us);
    double gone = (planned_until(c, wall_us) - from) / all;
    return gone < 0 ? 0 : gone > 1 ? 1 : gone;
}
