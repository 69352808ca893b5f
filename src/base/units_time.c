// Instants and the civil calendar.

#include "base/units_parts.h"

#include <stdio.h>

// Days since 1970-01-01 of a civil date, and back: Howard Hinnant, "chrono-compatible low-level
// date algorithms". A year begins in March there, so the leap day is its last.
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2)
        year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static const int64_t DAY_S = 86400;

struct civil civil_of(int64_t at_us)
{
    int64_t seconds = at_us / 1000000 - (at_us % 1000000 < 0);
    int64_t days = seconds / DAY_S - (seconds % DAY_S < 0);
    int64_t second_of_day = seconds - days * DAY_S;
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;  // 0 is March
    struct civil c = {
        .year = (int32_t)(year_of_era + era * 400 + (month >= 10)),
        .month = (int32_t)(month < 10 ? month + 3 : month - 9),
        .day = (int32_t)(day_of_year - (153 * month + 2) / 5 + 1),
        .hour = (int32_t)(second_of_day / 3600),
        .minute = (int32_t)(second_of_day / 60 % 60),
        .second = (int32_t)(second_of_day % 60),
    };
    return c;
}

int64_t civil_us(struct civil c)
{
    int64_t months = (int64_t)c.year * 12 + c.month - 1;
    int64_t year = months / 12 - (months % 12 < 0);
    int64_t days = days_of(year, months - year * 12 + 1, c.day);
    // Past the ends of int64_t, the ends.
    if (days > INT64_MAX / S(DAY_S) - 100000)
        return INT64_MAX;
    if (days < INT64_MIN / S(DAY_S) + 100000)
        return INT64_MIN;
    return S(days * DAY_S + (int64_t)c.hour * 3600 + (int64_t)c.minute * 60 + c.second);
}

// Reads `n` digits off the front of `*s`.
static bool take_digits(struct str *s, size_t n, int32_t *out)
{
    if (s->n < n)
        return false;
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s->p[i]))
            return false;
        *out = *out * 10 + (s->p[i] - '0');
    }
    *s = str_skip(*s, n);
    return true;
}

static bool take_char(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = str_skip(*s, 1);
    return true;
}

static bool take_date(struct str *s, struct civil *c)
{
    return take_digits(s, 4, &c->year) && take_char(s, '-') && take_digits(s, 2, &c->month) &&
           take_char(s, '-') && take_digits(s, 2, &c->day);
}

static bool take_time(struct str *s, struct civil *c)
{
    return take_digits(s, 2, &c->hour) && take_char(s, ':') && take_digits(s, 2, &c->minute) &&
           take_char(s, ':') && take_digits(s, 2, &c->second);
}

static bool take_zone(struct str *s, int64_t *offset_s)
{
    *offset_s = 0;
    if (take_char(s, 'Z'))
        return true;
    int64_t sign = take_char(s, '+') ? 1 : take_char(s, '-') ? -1 : 0;
    int32_t hours, minutes;
    if (!sign || !take_digits(s, 2, &hours) || !take_char(s, ':') || !take_digits(s, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *offset_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

enum err unit_instant(int64_t *out_us, struct str text, struct diag *diag)
{
    static const char expected[] = "a date such as 2026-12-31 or 2026-12-31T08:30:00Z";
    struct str s = str_trim(text);
    struct quoted value = unit_quote(s);
    struct civil c = {0};
    int64_t offset_s = 0;
    bool ok = take_date(&s, &c);
    if (ok && s.n)
        ok = take_char(&s, 'T') && take_time(&s, &c) && take_zone(&s, &offset_s) && s.n == 0;
    if (!ok)
        return diag_set(diag, ERR_INVALID, "got %s, expected %s", value.text, expected);
    // A date exists when it comes back from the calendar as it went in.
    struct civil back = civil_of(civil_us(c));
    if (c.month < 1 || c.month > 12 || back.month != c.month || back.day != c.day)
        return diag_set(diag, ERR_INVALID, "got %s, which is not in the calendar; expected %s",
                        value.text, expected);
    if (c.hour > 23 || c.minute > 59 || c.second > 59)
        return diag_set(diag, ERR_INVALID, "got %s, which is no time of day; expected %s",
                        value.text, expected);
    *out_us = civil_us(c) - S(offset_s);
    return ERR_NONE;
}

const char *unit_text_date(char buf[UNIT_TEXT], int64_t at_us)
{
    struct civil c = civil_of(at_us);
    if (at_us == NEVER)
        snprintf(buf, UNIT_TEXT, "never");
    else
        snprintf(buf, UNIT_TEXT, "%04d-%02d-%02d", c.year, c.month, c.day);
    return buf;
}

const char *unit_text_instant(char buf[UNIT_TEXT], int64_t at_us)
{
    struct civil c = civil_of(at_us);
    if (at_us == NEVER)
        snprintf(buf, UNIT_TEXT, "never");
    else
        snprintf(buf, UNIT_TEXT, "%04d-%02d-%02dT%02d:%02d:%02dZ", c.year, c.month, c.day, c.hour,
                 c.minute, c.second);
    return buf;
}
