#include "route/wanted.h"

#include "base/rng.h"

static const int64_t HOUR_US = S(3600), WEEK_US = S(7 * 86400);
// Loops read their clocks at different moments, and a request says when it came, not when it was
// read: what is late by less than this is no clock that was set.
static const int64_t LATE_US = S(3600);
static const double FADE = 0.5;          // of an hour of the week, when it comes again
static const double ENOUGH = 0.25;       // of an hour, to say what it brings
static const uint64_t MEMORY = 1 << 20;  // answers that the sample is of

void wanted_init(struct wanted *a)
{
    memset(a, 0, sizeof *a);
}

static void begin_hour(struct wanted *a, int32_t hour)
{
    a->covered[hour] *= FADE;
    for (int32_t i = 0; i < a->n_streams; i++)
        a->streams[i].hours[hour] *= FADE;
}

void wanted_see(struct wanted *a, int64_t wall_us)
{
    if (a->seen_us == 0 || wall_us - a->seen_us > WEEK_US || wall_us < a->seen_us - LATE_US) {
        a->seen_us = wall_us;  // the first, or the clock was set
        return;
    }
    while (a->seen_us < wall_us) {
        int64_t end_us = a->seen_us - a->seen_us % HOUR_US + HOUR_US;
        int64_t until_us = min_i64(end_us, wall_us);
        a->covered[week_hour(a->seen_us)] += (double)(until_us - a->seen_us) / (double)HOUR_US;
        a->seen_us = until_us;
        if (until_us == end_us)
            begin_hour(a, week_hour(until_us));
    }
}

static int32_t stream_of(struct wanted *a, int32_t model, int32_t class)
{
    for (int32_t i = 0; i < a->n_streams; i++)
        if (a->streams[i].model == model && a->streams[i].class == class)
            return i;
    if (a->n_streams == WANTED_STREAMS)
        return -1;
    a->streams[a->n_streams] = (struct wanted_stream){.model = model, .class = class};
    return a->n_streams++;
}

void wanted_came(struct wanted *a, int32_t model, int32_t class, int64_t wall_us)
{
    wanted_see(a, wall_us);
    int32_t i = stream_of(a, model, class);
    if (i < 0) {
        a->strange++;
        return;
    }
    a->known++;
    a->streams[i].all++;
    a->streams[i].hours[week_hour(a->seen_us)]++;
}

void wanted_learn(struct wanted *a, int32_t model, int32_t class, const struct wanted_one *one,
                  uint64_t draw)
{
    int32_t stream = stream_of(a, model, class), at = a->n_sample;
    if (stream < 0)
        return;
    uint64_t of = ++a->learnt < MEMORY ? a->learnt : MEMORY;
    if (a->n_sample == WANTED_SAMPLE) {
        uint64_t place = mix64(draw ^ 0x61736b6564) % of;
        if (place >= WANTED_SAMPLE)
            return;
        at = (int32_t)place;
        a->streams[a->sample[at].stream].sampled--;
    } else {
        a->n_sample++;
    }
    a->sample[at] = *one;
    a->sample[at].stream = stream;
    a->streams[stream].sampled++;
}

struct part {  // of the hours that were seen
    double requests, hours;
};

static void add(struct part *p, const struct wanted *a, const struct wanted_stream *s, int32_t hour)
{
    p->requests += s->hours[hour];
    p->hours += a->covered[hour];
}

static bool is_weekend(int32_t hour)
{
    return hour >= 5 * TYPICAL_DAY;
}

// An hour that was not seen: as the same hour of days of its kind, of all days, as the mean.
static double rate_unseen(const struct wanted *a, const struct wanted_stream *s, int32_t hour,
                          double mean)
{
    struct part like = {0}, same = {0};
    for (int32_t h = hour % TYPICAL_DAY; h < WEEK_HOURS; h += TYPICAL_DAY) {
        add(&same, a, s, h);
        if (is_weekend(h) == is_weekend(hour))
            add(&like, a, s, h);
    }
    if (like.hours >= ENOUGH)
        return like.requests / like.hours;
    return same.hours >= ENOUGH ? same.requests / same.hours : mean;
}

void wanted_rates(const struct wanted *a, int32_t stream, double *per_hour)
{
    const struct wanted_stream *s = &a->streams[stream];
    struct part all = {0};
    for (int32_t h = 0; h < WEEK_HOURS; h++)
        add(&all, a, s, h);
    double mean = all.hours > 0 ? all.requests / all.hours : 0;
    double more = a->known > 0 ? 1 + a->strange / a->known : 1;
    for (int32_t h = 0; h < WEEK_HOURS; h++) {
        bool seen = a->covered[h] >= ENOUGH;
        per_hour[h] = more * (seen ? s->hours[h] / a->covered[h] : rate_unseen(a, s, h, mean));
    }
}

double wanted_between(const double *per_hour, int64_t from_us, int64_t until_us)
{
    if (until_us <= from_us)
        return 0;
    double week = 0, sum = 0;
    for (int32_t h = 0; h < WEEK_HOURS; h++)
        week += per_hour[h];
    int64_t weeks = (until_us - from_us) / WEEK_US;
    int64_t at_us = from_us + weeks * WEEK_US;
    while (at_us < until_us) {
        int64_t into_us = (at_us % HOUR_US + HOUR_US) % HOUR_US;
        int64_t next_us = min_i64(at_us - into_us + HOUR_US, until_us);
        sum += per_hour[week_hour(at_us)] * ((double)(next_us - at_us) / (double)HOUR_US);
        at_us = next_us;
    }
    return sum + (double)weeks * week;
}
