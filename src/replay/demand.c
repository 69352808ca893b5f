#include "replay/demand.h"

#include "base/arena.h"

#include <stdlib.h>

static const double HOUR_US = 3600e6, YEAR_US = 365.25 * 24 * 3600e6;
static const double END_US = 9e15;  // 285 years: a stream that is so slow has ended
enum { TOK_MAX = 1 << 20, WEEK_DAYS = 7, THURSDAY = 4 };

// Requests per us of the stream in the hour that begins at `wall_us`, a whole hour.
static double rate_at(const struct demand_source *d, const struct demand *s, int64_t wall_us)
{
    if (wall_us >= s->until_us || (s->from_us > 0 && wall_us + (int64_t)HOUR_US <= s->from_us))
        return 0;
    int64_t hour = wall_us / (int64_t)HOUR_US, day = hour / STREAM_HOURS;
    int64_t weekday = (day + THURSDAY) % WEEK_DAYS;  // 0 is Sunday; 1970-01-01 was a Thursday
    double rate = s->rate_per_s * 1e-6 * s->hours[hour % STREAM_HOURS] * d->c.rate;
    if (weekday == 0 || weekday == WEEK_DAYS - 1)
        rate *= s->weekend;
    if (s->growth_per_year > 0 && s->growth_per_year != 1 && s->from_us > 0) {
        double years = (double)(wall_us - s->from_us) / YEAR_US;
        rate *= det_exp(years * det_log(s->growth_per_year));
    }
    return rate;
}

// The stream's own time passes by one for each request that it makes on average.
static void advance(struct demand_source *d, int32_t i)
{
    struct demand_stream *st = &d->streams[i];
    const struct demand *s = &d->c.p->demands[i];
    double shape = 1 / (d->c.cv * d->c.cv);
    double left = d->c.cv > 0 ? rng_gamma(&st->rng, shape, 1 / shape) : 1;
    while (!st->ended) {
        int64_t wall_us = d->c.wall_us + (int64_t)st->at_us;
        int64_t hour_us = wall_us - wall_us % (int64_t)HOUR_US;
        double rate = rate_at(d, s, hour_us);
        double to_end_us = (double)(hour_us - d->c.wall_us) + HOUR_US - st->at_us;
        if (rate * to_end_us > left) {
            st->at_us += left / rate;
            return;
        }
        left -= rate * to_end_us;
        st->at_us += to_end_us;
        st->ended = st->at_us > END_US || wall_us >= s->until_us || !(s->rate_per_s > 0);
    }
}

static int32_t length(struct demand_source *d, struct rng *r, double mean)
{
    if (!(mean > 0))
        return 0;
    double v = mean * (d->c.spread > 0 ? det_exp(d->mu + d->c.spread * rng_normal(r)) : 1) + 0.5;
    return v < 1 ? 1 : v > TOK_MAX ? TOK_MAX : (int32_t)v;
}

void demand_init(struct demand_source *d, const struct demand_config *c)
{
    *d = (struct demand_source){.c = *c, .mu = -c->spread * c->spread / 2};
    d->streams = take_n(sizeof *d->streams, (size_t)c->p->n_demands + 1);
    for (int32_t i = 0; i < c->p->n_demands; i++) {
        rng_seed(&d->streams[i].rng, mix64(c->seed ^ ((uint64_t)i + 1) * 0x9e3779b97f4a7c15u));
        advance(d, i);
    }
}

void demand_release(struct demand_source *d)
{
    free(d->streams);
    *d = (struct demand_source){0};
}

bool demand_next(struct demand_source *d, struct demand_request *out)
{
    int32_t first = -1;
    for (int32_t i = 0; i < d->c.p->n_demands; i++) {
        if (!d->streams[i].ended && (first < 0 || d->streams[i].at_us < d->streams[first].at_us))
            first = i;
    }
    if (first < 0)
        return false;
    struct demand_stream *st = &d->streams[first];
    const struct demand *s = &d->c.p->demands[first];
    out->at_us = (int64_t)st->at_us;
    out->stream = first;
    out->prompt_tok = length(d, &st->rng, s->prompt_tok);
    out->output_tok = length(d, &st->rng, s->output_tok);
    advance(d, first);
    return true;
}
