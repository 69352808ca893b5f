#include "route/share.h"

#include "base/rng.h"

bool share_draws(double at, uint64_t draw, uint64_t name_hash)
{
    // Not the bits that break ties (mix64(draw)): whoever wins these would else never be drawn
    // here.
    uint64_t chance = mix64(mix64(draw ^ 0x7368617265) ^ name_hash);
    return (double)(chance >> 11) * 0x1p-53 < at;
}

bool share_shadows(double at, uint64_t draw, struct str name)
{
    return share_draws(at, mix64(draw ^ 0x736861646f77), str_hash(name, 0));
}

double share_now(const struct share *s, const struct pool_share *rules, int64_t now_us)
{
    if (rules->n_steps == 0)
        return 1;
    if (!s->begun || (s->at <= 0 && now_us >= s->hold_until_us))
        return rules->steps[0];
    return s->at;
}

static void count_anew(struct share *s, int64_t now_us)
{
    s->since_us = now_us;
    s->answers = s->errors = s->ttft_n = s->per_token_n = 0;
    s->ttft_sum = s->per_token_sum = 0;
}

static double mean_of(double sum, int32_t n)
{
    return n > 0 ? sum / n : 0;
}

static struct share_step step_to(struct share *s, double to, const char *why, int64_t now_us)
{
    struct share_step step = {.from = s->at,
                              .to = to,
                              .why = why,
                              .answers = s->answers,
                              .errors = s->errors,
                              .ttft = mean_of(s->ttft_sum, s->ttft_n),
                              .per_token = mean_of(s->per_token_sum, s->per_token_n)};
    *(to > s->at ? &s->forward : &s->back) += 1;
    s->at = to;
    count_anew(s, now_us);
    return step;
}

bool share_took(struct share *s, const struct pool_share *rules, int64_t now_us,
                struct share_step *out)
{
    if (rules->n_steps == 0)
        return false;
    if (!s->begun) {
        s->begun = true;
        s->at = rules->steps[0];
        count_anew(s, now_us);
    }
    s->since_us = min_i64(s->since_us, now_us);  // after share_set(): it begins here
    if (s->at > 0 || now_us < s->hold_until_us)
        return false;
    *out = step_to(s, rules->steps[0], "its hold is over", now_us);
    return true;
}

// Why the pool is not to have more: NULL when all that has at least `enough` answers is within.
static const char *why_outside(const struct share *s, const struct pool_share *rules,
                               int32_t enough)
{
    if (s->answers >= enough && s->errors > rules->errors * s->answers)
        return "too many errors";
    if (s->ttft_n >= enough && s->ttft_sum > rules->ttft * s->ttft_n)
        return "its time to first token is over the class's";
    if (s->per_token_n >= enough && s->per_token_sum > rules->per_token * s->per_token_n)
        return "its time per token is over the class's";
    return NULL;
}

static double next_up(const struct share *s, const struct pool_share *rules)
{
    for (int32_t i = 0; i < rules->n_steps; i++) {
        if (rules->steps[i] > s->at)
            return rules->steps[i];
    }
    return s->at;
}

static double next_down(const struct share *s, const struct pool_share *rules)
{
    for (int32_t i = rules->n_steps - 1; i >= 0; i--) {
        if (rules->steps[i] < s->at)
            return rules->steps[i];
    }
    return 0;
}

static void count(struct share *s, const struct share_answer *answer)
{
    s->answers++;
    s->errors += answer->error;
    if (answer->ttft > 0) {
        s->ttft_sum += answer->ttft;
        s->ttft_n++;
    }
    if (answer->per_token > 0) {
        s->per_token_sum += answer->per_token;
        s->per_token_n++;
    }
}

bool share_done(struct share *s, const struct pool_share *rules, const struct share_answer *answer,
                int64_t now_us, struct share_step *out)
{
    // What ends after the last step back was sent before it, and has been judged.
    if (rules->n_steps == 0 || !s->begun || s->at <= 0)
        return false;
    count(s, answer);
    const char *why = why_outside(s, rules, rules->at_least);
    if (why) {
        *out = step_to(s, next_down(s, rules), why, now_us);
        s->hold_until_us = s->at > 0 ? 0 : now_us + rules->every_us;
        return true;
    }
    if (s->answers < rules->at_least || now_us - s->since_us < rules->every_us)
        return false;
    double up = next_up(s, rules);
    if (!why_outside(s, rules, 1) && up > s->at) {
        *out = step_to(s, up, "its answers are within `while`", now_us);
        return true;
    }
    // What was long ago neither holds a pool back nor speaks for it.
    count_anew(s, now_us);
    return false;
}

void share_set(struct share *s, double at)
{
    s->begun = true;
    s->at = at;
    s->hold_until_us = 0;
    count_anew(s, NEVER);
}
