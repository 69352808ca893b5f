#include "route/route_internal.h"

// Times are the service model's, at the load of this moment, times what was observed over what the
// model said. A ratio of observed to expected carries over to other lengths and loads where a plain
// mean would not. Without observation the ratio drifts back to 1: a pool once slow is tried again,
// one once fast is not believed for ever. Recent failures count as load, and teach no times: a fast
// failure is not a fast server.

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

double cost_fail_load(const struct live_pair *pair, int64_t now_us)
{
    double age = now_us > pair->fail_us ? (double)(now_us - pair->fail_us) : 0;
    return pair->fail_load * (FAIL_FADE_US / (FAIL_FADE_US + age));
}

static double output_tok(const struct offer *o, const struct route_ask *ask)
{
    int32_t tok = ask->output_tok < 1 ? 1 : ask->output_tok;
    return o->output_tok_max > 0 && tok > o->output_tok_max ? o->output_tok_max : tok;
}

static double at_most(double us)
{
    return us < TIME_US_MAX ? us : TIME_US_MAX;
}

double cost_hold_us(const struct offer *o, const struct route_ask *ask, double n)
{
    double out = output_tok(o, ask), each = ask->prompt_tok + out;
    return at_most(service_prefill_us(&o->service, ask->prompt_tok) +
                   out * service_step_us(&o->service, n, n * each));
}

double cost_ttft_least_us(const struct route *r, const struct look *l, const struct offer *o)
{
    if (o->service.basis == BASIS_NONE || l->ask->deadline_us == NEVER)
        return 0;
    const struct live_pair *pair = &r->live->pairs[o->pair];
    double ratio = faded(pair->ttft_ratio, pair->ttft_seen_us, l->now_us);
    double us = service_prefill_us(&o->service, l->ask->prompt_tok) + l->round_trip_us[o->pool];
    // Observed slowness is no proof that the next one is slow too; observed speed is one.
    return at_most(ratio < 1 ? us * ratio : us);
}

// Waiting for a slot or for room in the KV cache, and for the prefills that are under way.
static double queue_us(const struct service *s, const struct live_pool *lp, double n,
                       double prefill_us, double hold_us, double each_tok)
{
    double replicas = s->replicas > 1 ? s->replicas : 1;
    double wait = hold_us > 0 ? n * (prefill_us / hold_us) * prefill_us / replicas : 0;
    if (s->slots > 0 && n >= s->slots)
        wait += (n - s->slots + 1) * hold_us / s->slots;
    double ctx = (double)lp->context_tok + each_tok;
    if (s->kv_tok > 0 && ctx > s->kv_tok)
        wait += (ctx - s->kv_tok) / s->kv_tok * hold_us;
    return wait;
}

void cost_terms(const struct route *r, const struct look *l, const struct offer *o,
                struct route_terms *out)
{
    const struct service *s = &o->service;
    const struct live_pool *lp = &r->live->pools[o->place];
    const struct live_pair *pair = &r->live->pairs[o->pair];
    double prompt = l->ask->prompt_tok > 0 ? l->ask->prompt_tok : 0, answer = output_tok(o, l->ask);
    double fail_load = cost_fail_load(pair, l->now_us);
    double n = lp->in_flight, ctx = (double)lp->context_tok + prompt + answer;
    double step_us = service_step_us(s, n + 1, ctx);
    double prefill_us = service_prefill_us(s, prompt);
    double ttft_us = prefill_us + step_us + l->round_trip_us[o->pool];
    if (s->basis != BASIS_NONE)  // the slots of a guess would queue what is not queued
        ttft_us += queue_us(s, lp, n, prefill_us, prefill_us + answer * step_us, prompt + answer);
    out->model_ttft_us = at_most(ttft_us);
    out->model_per_token_us = at_most(step_us);
    out->observed = pair->ttft_ratio > 0;
    ttft_us *= faded(pair->ttft_ratio, pair->ttft_seen_us, l->now_us) * (1 + fail_load);
    step_us *= faded(pair->per_token_ratio, pair->per_token_seen_us, l->now_us);
    out->ttft_us = (int64_t)(at_most(ttft_us) + 0.5);
    out->per_token_us = (int64_t)(at_most(step_us) + 0.5);

    out->list = prompt * o->input_nusd + answer * o->output_nusd;
    out->energy = 0;
    if (o->energy_nusd_per_joule > 0)
        out->energy = o->energy_nusd_per_joule * service_joules(s, prompt, answer, n + 1, ctx);
    out->wait_ttft = out->wait_tokens = 0;
    if (l->ask->class >= 0) {
        const struct class *c = &r->p->classes[l->ask->class];
        out->wait_ttft = value_curve_cost(&c->ttft_value, out->ttft_us);
        out->wait_tokens = answer * value_curve_cost(&c->per_token_value, out->per_token_us);
    }
    out->total = out->list + out->energy + out->wait_ttft + out->wait_tokens;
    out->score = out->total;
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

void cost_learn_ttft(struct live_pair *pair, struct live_pool *pool, double model_us,
                     int64_t seen_us, int64_t now_us)
{
    learn(&pair->ttft_ratio, &pair->ttft_seen_us, &pool->ttft_us, model_us, seen_us, now_us);
}

void cost_learn_per_token(struct live_pair *pair, struct live_pool *pool, double model_us,
                          int64_t seen_us, int64_t now_us)
{
    learn(&pair->per_token_ratio, &pair->per_token_seen_us, &pool->per_token_us, model_us, seen_us,
          now_us);
}

void cost_learn_failure(struct live_pair *pair, int64_t now_us)
{
    double load = cost_fail_load(pair, now_us) + 1;
    pair->fail_load = load < 1000 ? load : 1000;
    pair->fail_us = now_us;
}
