#include "route/route_internal.h"

// Times are the service model's, at the load of this moment, times what was observed over what the
// model said. A ratio of observed to expected carries over to other lengths and loads where a plain
// mean would not. Without observation the ratio drifts back to 1: a pool once slow is tried again,
// one once fast is not believed for ever. Recent failures count as load, and teach no times: a fast
// failure is not a fast server.
//
// What fades is read at multiples of FADE_US, so that it changes once a second and not with every
// decision.

static const double LEARN = 0.2;  // weight of the newest observation
static const double RATIO_MIN = 0.02, RATIO_MAX = 50;
static const double STALE_US = 300e6;     // at this age an observation counts for half
static const double FAIL_FADE_US = 10e6;  // and a failure
static const double TIME_US_MAX = 1e12;   // 11 days: more is not a time

static double faded(double ratio, int64_t seen_us, int64_t now_us)
{
    if (ratio <= 0)
        return 1;
    double age = now_us > seen_us ? (double)(now_us - seen_us) : 0;
    return 1 + (ratio - 1) * (STALE_US / (STALE_US + age));
}

double learn_ratio_ttft(const struct live_pair *pair, int64_t now_us)
{
    return faded(pair->ttft_ratio, pair->ttft_seen_us, fade_step_us(now_us));
}

double learn_ratio_per_token(const struct live_pair *pair, int64_t now_us)
{
    return faded(pair->per_token_ratio, pair->per_token_seen_us, fade_step_us(now_us));
}

static double fail_load(const struct live_pair *pair, int64_t now_us)
{
    double age = now_us > pair->fail_us ? (double)(now_us - pair->fail_us) : 0;
    return pair->fail_load * (FAIL_FADE_US / (FAIL_FADE_US + age));
}

double learn_fail_load(const struct live_pair *pair, int64_t now_us)
{
    return pair->fail_load > 0 ? fail_load(pair, fade_step_us(now_us)) : 0;
}

static double at_most(double us)
{
    return us < TIME_US_MAX ? us : TIME_US_MAX;
}

double learn_hold_us(const struct offer *o, const struct route_ask *ask, double n)
{
    int32_t tok = ask->output_tok < 1 ? 1 : ask->output_tok;
    double out = o->output_tok_max > 0 && tok > o->output_tok_max ? o->output_tok_max : tok;
    double each = ask->prompt_tok + out;
    return at_most(service_prefill_us(&o->service, ask->prompt_tok, n - 1) +
                   out * service_step_us(&o->service, n, n * each));
}

double learn_ttft_least_us(const struct route *r, const struct look *l, const struct offer *o)
{
    if (o->service.basis == BASIS_NONE || l->ask->deadline_us == NEVER)
        return 0;
    double ratio = learn_ratio_ttft(&r->live->pairs[o->pair], l->now_us);
    double fresh = l->ask->prompt_tok - warm_cached_tok(r, l, o);
    double n = r->live->pools[o->place].in_flight;
    double us = service_prefill_us(&o->service, fresh, n) + l->round_trip_us[o->pool];
    // Observed slowness is no proof that the next one is slow too; observed speed is one.
    return at_most(ratio < 1 ? us * ratio : us);
}

static double ratio_of(double seen, double model)
{
    double ratio = seen / model;
    if (ratio < RATIO_MIN)
        return RATIO_MIN;
    return ratio > RATIO_MAX ? RATIO_MAX : ratio;
}

static void learn(double *ratio, int64_t *when_us, double *shown_us, double model_us,
                  int64_t seen_us, int64_t now_us)
{
    if (seen_us <= 0)
        return;
    double seen = (double)seen_us;
    *shown_us = *shown_us > 0 ? *shown_us + LEARN * (seen - *shown_us) : seen;
    if (!(model_us > 0))
        return;
    double sample = ratio_of(seen, model_us);
    if (*ratio > 0) {
        double old = faded(*ratio, *when_us, now_us);
        sample = old + LEARN * (sample - old);
    }
    *ratio = sample;
    *when_us = now_us;
}

void learn_ttft(struct live_pair *pair, struct live_pool *pool, double model_us, int64_t seen_us,
                int64_t now_us)
{
    learn(&pair->ttft_ratio, &pair->ttft_seen_us, &pool->ttft_us, model_us, seen_us, now_us);
}

void learn_ttft_late(struct live_pair *pair, struct live_pool *pool, double model_us,
                     int64_t waited_us, int64_t now_us)
{
    // It would have taken longer than that, and nobody knows how much: what was believed already is
    // no news.
    if ((double)waited_us > model_us * learn_ratio_ttft(pair, now_us))
        learn_ttft(pair, pool, model_us, waited_us, now_us);
}

void learn_per_token(struct live_pair *pair, struct live_pool *pool, double model_us,
                     int64_t seen_us, int64_t now_us)
{
    learn(&pair->per_token_ratio, &pair->per_token_seen_us, &pool->per_token_us, model_us, seen_us,
          now_us);
}

void learn_failure(struct live_pair *pair, int64_t now_us)
{
    double load = fail_load(pair, now_us) + 1;
    pair->fail_load = load < 1000 ? load : 1000;
    pair->fail_us = now_us;
}
