#include "bench/equal.h"

#include <math.h>
#include <stdlib.h>

double tariff_usd_per_mtok(const struct tariff *t, double prompt_tok, double output_tok,
                           double throughput_tok_s)
{
    double tok = prompt_tok + output_tok;
    if (!(t->listed || t->usd_per_h > 0) || !(tok > 0) || !(output_tok > 0) ||
        !(throughput_tok_s > 0))
        return 0;
    double list_nusd = t->input_nusd_per_tok * prompt_tok + t->output_nusd_per_tok * output_tok;
    double held_h = output_tok / throughput_tok_s / 3600;  // that one request takes of the supplier
    return (list_nusd / 1e9 + t->usd_per_h * held_h) / tok * 1e6;
}

static double prompt_tok(const struct row *r)
{
    return r->counted ? r->prompt_tok : r->prompt_asked;
}

double row_usd_per_mtok(const struct row *r, const struct tariff *t)
{
    return tariff_usd_per_mtok(t, prompt_tok(r), r->output_tok, r->throughput_tok_s.value);
}

// --- what was measured ------------------------------------------------------------------------

enum { LEVELS_MAX = 64 };  // of one length: --users takes no more

struct curve {
    const struct row *at[LEVELS_MAX];  // [n], by rising speed of a user
    int32_t n;
};

static double speed_of(const struct row *r)
{
    return 1e6 / r->per_token_us.value;
}

static int by_speed(const void *a, const void *b)
{
    double x = speed_of(*(const struct row *const *)a), y = speed_of(*(const struct row *const *)b);
    return (x > y) - (x < y);
}

static void curve_init(struct curve *c, const struct equal_side *side, const struct row *like)
{
    c->n = 0;
    for (int32_t i = 0; i < side->n && c->n < LEVELS_MAX; i++) {
        const struct row *r = &side->rows[i];
        if (r->users && r->n && r->warm == like->warm && r->prompt_asked == like->prompt_asked &&
            r->output_asked == like->output_asked && !r->saturated && !r->partial &&
            r->per_token_us.value > 0)
            c->at[c->n++] = r;
    }
    qsort(c->at, (size_t)c->n, sizeof *c->at, by_speed);
}

// At a speed that lies on the curve.
static void look_up(struct equal_speed *out, int32_t side, const struct curve *c,
                    const struct tariff *t)
{
    int32_t i = 0;
    while (i < c->n - 2 && speed_of(c->at[i + 1]) < out->tok_s)
        i++;
    const struct row *a = c->at[i], *b = c->at[c->n > 1 ? i + 1 : i];
    double wide = speed_of(b) - speed_of(a);
    double share = wide > 0 ? (out->tok_s - speed_of(a)) / wide : 0;
    double throughput =
        a->throughput_tok_s.value + share * (b->throughput_tok_s.value - a->throughput_tok_s.value);
    double prompt = prompt_tok(a) + share * (prompt_tok(b) - prompt_tok(a));
    double output = a->output_tok + share * (b->output_tok - a->output_tok);
    out->throughput_tok_s[side] = throughput;
    out->usd_per_mtok[side] = tariff_usd_per_mtok(t, prompt, output, throughput);
}

bool equal_of(struct equal *out, const struct equal_side sides[EQUAL_SIDES], const struct row *like)
{
    struct curve curves[EQUAL_SIDES];
    bool both = true;
    *out = (struct equal){.n = 0};
    for (int32_t i = 0; i < EQUAL_SIDES; i++) {
        struct curve *c = &curves[i];
        curve_init(c, &sides[i], like);
        both = both && c->n > 0;
        out->from_tok_s[i] = c->n ? speed_of(c->at[0]) : 0;
        out->to_tok_s[i] = c->n ? speed_of(c->at[c->n - 1]) : 0;
    }
    double from = fmax(out->from_tok_s[0], out->from_tok_s[1]);
    double to = fmin(out->to_tok_s[0], out->to_tok_s[1]);
    if (both && from <= to) {
        out->n = from < to ? EQUAL_SPEEDS : 1;
        for (int32_t k = 0; k < out->n; k++) {
            struct equal_speed *at = &out->at[k];
            at->tok_s =
                k == EQUAL_SPEEDS - 1 ? to : from * pow(to / from, (double)k / (EQUAL_SPEEDS - 1));
            for (int32_t i = 0; i < EQUAL_SIDES; i++)
                look_up(at, i, &curves[i], &sides[i].tariff);
        }
    }
    return both;
}
