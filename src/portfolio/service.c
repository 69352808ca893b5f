#include "portfolio/service.h"

#include "base/rng.h"
#include "portfolio/squares.h"
#include "portfolio/roofline.h"

#include <math.h>

// Where each number comes from, best first: what a point states outright, what its speeds and times
// say, the roofline of the chip, a guess. The decode step and the prefill find theirs separately.

static const double MEMORY_FOR_KV = 0.9;       // of what the weights leave, the rest is workspace
static const double GUESS_STEP_US = 1e6 / 50;  // 50 tokens/s for each user
static const double GUESS_PREFILL_US_PER_TOK = 1e6 / 2000;
static const int32_t GUESS_SLOTS = 64;
static const double US_PER_S = 1e6;

// What a fit is made of: at `x` the time was `us`.
struct sample {
    double x, us;
};

enum { SAMPLES = 64, TERMS = 3 };
struct samples {
    struct sample s[SAMPLES];
    int32_t n;
};

static void sample_add(struct samples *all, double x, double us)
{
    if (all->n < SAMPLES && us > 0)
        all->s[all->n++] = (struct sample){x, us};
}

// The polynomial of `n_terms` terms without negative coefficients that is nearest to the samples in
// relative error, because the steps of one chip span two orders of magnitude.
static void fit(double out[TERMS], const struct samples *all, int n_terms)
{
    struct squares q = {.b = {0}};
    double x_max = 0, terms[SQUARES_TERMS];
    for (int32_t i = 0; i < all->n; i++)
        x_max = all->s[i].x > x_max ? all->s[i].x : x_max;
    if (x_max <= 0)
        x_max = 1;
    for (int32_t i = 0; i < all->n; i++) {
        double x = all->s[i].x / x_max, row[SQUARES_TERMS] = {1 / all->s[i].us};
        for (int j = 1; j < n_terms; j++)
            row[j] = row[j - 1] * x;
        squares_add(&q, row, 1, 1);
    }
    squares_solve(terms, &q);
    out[0] = terms[0];
    out[1] = terms[1] / x_max;
    out[2] = terms[2] / (x_max * x_max);
}

// The points that count: of the model itself, else of any model; and of one size of replica, since
// points of 4 chips and of 8 describe two different machines.
struct points {
    const struct chip *chip;
    int32_t model, chips;
};

static int32_t chips_of(const struct point *pt)
{
    return pt->chips > 0 ? pt->chips : 1;
}

static bool counts(const struct points *ps, const struct point *pt)
{
    return pt->model == ps->model && chips_of(pt) == ps->chips;
}

// The first size that the pool has the chips for, or else the first of all; 0: no points.
static int32_t size_of_replica(const struct points *ps, double chips)
{
    int32_t first = 0;
    for (int32_t i = 0; i < ps->chip->n_points; i++) {
        const struct point *pt = &ps->chip->points[i];
        if (pt->model != ps->model)
            continue;
        if (chips <= 0 || chips_of(pt) <= chips)
            return chips_of(pt);
        if (!first)
            first = chips_of(pt);
    }
    return first;
}

static struct points points_of(const struct chip *chip, const struct pool *pool, int32_t model)
{
    struct points ps = {chip, model, 0};
    ps.chips = size_of_replica(&ps, pool->chips);
    if (ps.chips == 0) {
        ps.model = -1;
        ps.chips = size_of_replica(&ps, pool->chips);
    }
    return ps;
}

// How the decode step or the prefill was found. The order is that of preference.
enum how { HOW_STATED, HOW_FITTED, HOW_ROOFLINE, HOW_GUESS, HOW_SPLIT, HOW_HALVED };

#define SPLIT "prefill by their TTFT at one length of prompt, "
#define ROOFLINES "each token's part from the roofline"
#define HALVED "half of it taken for each token's part"

static const char *const why_text[4][6] = {
    [HOW_STATED] = {"decode and prefill as the operating points state them",
                    "decode as the operating points state it, prefill fitted to their TTFT",
                    "decode as the operating points state it, prefill from the roofline",
                    "decode as the operating points state it, prefill a plain guess",
                    "decode as the operating points state it, " SPLIT ROOFLINES,
                    "decode as the operating points state it, " SPLIT HALVED},
    [HOW_FITTED] = {"decode fitted to the operating points, prefill as they state it",
                    "decode and prefill fitted to the operating points",
                    "decode fitted to the operating points, prefill from the roofline",
                    "decode fitted to the operating points, prefill a plain guess",
                    "decode fitted to the operating points, " SPLIT ROOFLINES,
                    "decode fitted to the operating points, " SPLIT HALVED},
    [HOW_ROOFLINE] = {"decode from the roofline, prefill as the operating points state it",
                      "decode from the roofline, prefill fitted to the operating points' TTFT",
                      "decode and prefill from the roofline of the chip",
                      "decode from the roofline, prefill a plain guess",
                      "decode from the roofline, " SPLIT ROOFLINES,
                      "decode from the roofline, " SPLIT HALVED},
    [HOW_GUESS] = {"decode a plain guess, prefill as the operating points state it",
                   "decode a plain guess, prefill fitted to the operating points' TTFT",
                   "decode a plain guess, prefill from the roofline",
                   "nothing is known: a plain guess of 50 tok/s and 2000 tok/s of prefill",
                   "decode a plain guess, " SPLIT ROOFLINES, "decode a plain guess, " SPLIT HALVED},
};

// The weakest basis of what was used; a point that names none is an assumption.
static void weaken(enum basis *b, enum basis with)
{
    if (with == BASIS_NONE)
        with = BASIS_ASSUMED;
    if (with > *b)
        *b = with;
}

// What a point says about the length of its steps. With a speed, a throughput and a batch that do
// not multiply, the speed is that of one user alone and the throughput that of the batch.
static void step_samples(struct samples *all, const struct point *pt)
{
    double n = pt->batch, user_us = pt->per_user_tok_s > 0 ? US_PER_S / pt->per_user_tok_s : 0;
    if (pt->throughput_tok_s > 0 && n <= 0 && user_us > 0)
        n = pt->throughput_tok_s / pt->per_user_tok_s;
    double batch_us = pt->throughput_tok_s > 0 && n > 0 ? US_PER_S * n / pt->throughput_tok_s : 0;
    if (n < 1)
        n = 1;
    if (user_us > 0 && batch_us > user_us * 1.05 && n > 1) {
        sample_add(all, 1, user_us);
        sample_add(all, n, batch_us);
    } else {
        sample_add(all, n, user_us > 0 ? user_us : batch_us);
    }
}

static enum how decode_of(struct service *out, const struct points *ps, enum basis *basis)
{
    struct samples all = {.n = 0};
    enum basis fitted = BASIS_NONE;
    for (int32_t i = 0; i < ps->chip->n_points; i++) {
        const struct point *pt = &ps->chip->points[i];
        if (!counts(ps, pt))
            continue;
        if (pt->step_us > 0 || pt->step_per_sequence_us > 0 || pt->step_per_root_us > 0) {
            out->step_us = pt->step_us;
            out->step_us_per_seq = pt->step_per_sequence_us;
            out->step_us_per_root = pt->step_per_root_us;
            out->step_us_per_ctx = pt->step_per_context_us;
            out->join_us_per_tok = pt->step_per_prompt_us;
            weaken(basis, pt->basis);
            return HOW_STATED;
        }
        int32_t before = all.n;
        step_samples(&all, pt);
        if (all.n > before)
            weaken(&fitted, pt->basis);
    }
    if (all.n == 0)
        return HOW_GUESS;
    // K stays 0: the context that the points were measured with is in their times already.
    double terms[TERMS];
    fit(terms, &all, 2);
    out->step_us = terms[0];
    out->step_us_per_seq = terms[1];
    out->step_us_per_ctx = 0;
    *basis = fitted;
    return HOW_FITTED;
}

// A TTFT holds the prefill and the step that makes the first token.
static double prefill_part_us(const struct service *out, const struct point *pt)
{
    double n = pt->batch > 1 ? pt->batch : 1;
    double us = (double)pt->ttft_us -
                (out->step_us + out->step_us_per_seq * n + out->step_us_per_root * sqrt(n));
    return us > 1 ? us : 1;
}

static void prefill_stated(struct service *out, const struct point *pt)
{
    out->prefill_us_per_tok = pt->prefill_tok_s > 0 ? US_PER_S / pt->prefill_tok_s : 0;
    out->prefill_us_per_tok2 = pt->prefill_per_token2_us;
    out->prefill_us_per_seq = pt->prefill_per_sequence_us;
    out->prefill_us_per_tok_seq = pt->prefill_per_token_sequence_us;
    out->prefill_us = pt->prefill_start_us;
    if (pt->prefill_start_us > 0 || !(pt->ttft_us > 0) || !(pt->prompt_tok > 0))
        return;
    double u = pt->prompt_tok;
    double rest =
        prefill_part_us(out, pt) - (out->prefill_us_per_tok + out->prefill_us_per_tok2 * u) * u;
    out->prefill_us = rest > 0 ? rest : 0;
}

bool service_lengths_tell(double least, double most)
{
    return most > 1.25 * least;
}

// With one length nothing says how much of the time is there however short a prompt is.
static enum how prefill_split(struct service *out, const struct samples *all,
                              const struct roofline_machine *r)
{
    struct service roof = *out;
    double terms[TERMS], x = 0;
    fit(terms, all, 1);
    for (int32_t i = 0; i < all->n; i++)
        x += all->s[i].x / all->n;
    bool roofed = roofline_prefill(&roof, r);
    double per_tok = roofed ? roof.prefill_us_per_tok : terms[0] / 2 / x;
    out->prefill_us_per_tok = per_tok * x < terms[0] ? per_tok : terms[0] / x;
    out->prefill_us = terms[0] - out->prefill_us_per_tok * x;
    out->prefill_split = true;
    return roofed ? HOW_SPLIT : HOW_HALVED;
}

// Needs the decode step in `out`.
static enum how prefill_of(struct service *out, const struct points *ps,
                           const struct roofline_machine *r)
{
    struct samples all = {.n = 0};
    double least = INFINITY, most = 0;
    for (int32_t i = 0; i < ps->chip->n_points; i++) {
        const struct point *pt = &ps->chip->points[i];
        if (!counts(ps, pt))
            continue;
        if (pt->prefill_tok_s > 0 || pt->prefill_start_us > 0) {
            prefill_stated(out, pt);
            return HOW_STATED;
        }
        if (!(pt->ttft_us > 0) || !(pt->prompt_tok > 0))
            continue;
        sample_add(&all, pt->prompt_tok, prefill_part_us(out, pt));
        least = pt->prompt_tok < least ? pt->prompt_tok : least;
        most = pt->prompt_tok > most ? pt->prompt_tok : most;
    }
    if (all.n == 0)
        return HOW_GUESS;
    if (!service_lengths_tell(least, most))
        return prefill_split(out, &all, r);
    // From four points on the curve of attention can be told from a line.
    double terms[TERMS];
    fit(terms, &all, all.n >= 4 ? 3 : 2);
    out->prefill_us = terms[0];
    out->prefill_us_per_tok = terms[1];
    out->prefill_us_per_tok2 = terms[2];
    return HOW_FITTED;
}

static int32_t whole(double v)
{
    return v >= INT32_MAX ? INT32_MAX : v < 1 ? 1 : (int32_t)v;
}

// Slots and KV room: as stated, else the fullest batch that was observed, else the pool's own
// limit.
static void room_of(struct service *out, const struct points *ps, const struct pool *pool)
{
    double slots = 0, batch = 0, kv = 0, seen = 0;
    for (int32_t i = 0; ps->chip && i < ps->chip->n_points; i++) {
        const struct point *pt = &ps->chip->points[i];
        if (!counts(ps, pt))
            continue;
        double n = pt->batch;
        if (n <= 0 && pt->per_user_tok_s > 0)
            n = pt->throughput_tok_s / pt->per_user_tok_s;
        batch = n > batch ? n : batch;
        seen = pt->basis == BASIS_MEASURED && n > seen ? n : seen;
        if (pt->basis == BASIS_MEASURED && pt->prompt_tok > out->seen_prompt_tok)
            out->seen_prompt_tok = pt->prompt_tok;
        slots = pt->slots > slots ? pt->slots : slots;
        kv = pt->kv_tok > kv ? pt->kv_tok : kv;
    }
    if (kv > 0)
        out->kv_tok = kv * out->replicas;
    out->seen_batch = seen * out->replicas;
    int32_t limit = pool->limits.in_flight;
    if (slots > 0)
        out->slots = whole(slots * out->replicas);
    else if (batch > 0)
        out->slots = whole((double)whole(batch + 0.5) * out->replicas);
    else
        out->slots = limit > 0 ? limit : whole((double)GUESS_SLOTS * out->replicas);
    if (slots <= 0 && limit > 0 && limit < out->slots)
        out->slots = limit;
}

static void power_of(struct service *out, const struct points *ps, int32_t chips)
{
    double point_w = 0, n = (double)chips * out->replicas;
    for (int32_t i = 0; i < ps->chip->n_points; i++)
        if (counts(ps, &ps->chip->points[i]) && ps->chip->points[i].power_w > point_w)
            point_w = ps->chip->points[i].power_w;
    out->idle_w = ps->chip->idle_w * n;
    out->busy_w = point_w > 0 ? point_w * out->replicas : ps->chip->power_w * n;
    if (out->busy_w < out->idle_w)
        out->busy_w = out->idle_w;
}

static int32_t replicas_of(const struct pool *pool, int32_t chips)
{
    if (pool->replicas > 0)
        return pool->replicas;
    return pool->chips > 0 ? whole(pool->chips / chips) : 1;
}

static struct roofline_machine machine_of(const struct portfolio *p, const struct pool *pool,
                                          const struct model *m, int32_t chips)
{
    bool sold = pool->supplier >= 0 && pool->supplier < p->n_suppliers;
    enum api api = sold ? p->suppliers[pool->supplier].api : API_OPENAI;
    return (struct roofline_machine){.chip = &p->chips[pool->chip],
                                     .model = m,
                                     .chips = chips,
                                     .bytes_per_parameter = m ? model_bytes_per_parameter(m) : 0,
                                     .engine = roofline_engine_of(api)};
}

static void with_chip(struct service *out, const struct portfolio *p, const struct pool *pool,
                      int32_t model)
{
    const struct chip *chip = &p->chips[pool->chip];
    const struct model *m = model >= 0 ? &p->models[model] : NULL;
    struct points ps = points_of(chip, pool, model);
    int32_t chips = ps.chips ? ps.chips : m ? roofline_chips(chip, m) : 1;
    out->replicas = replicas_of(pool, chips);

    struct roofline_machine r = machine_of(p, pool, m, chips);
    enum basis basis = BASIS_NONE;
    enum how decode = decode_of(out, &ps, &basis);
    if (decode == HOW_GUESS && roofline_decode(out, &r)) {
        decode = HOW_ROOFLINE;
        basis = BASIS_ROOFLINE;
        // Without points, memory that the weights leave bounds the contexts held at once.
        double left = chip->memory_bytes * chips * MEMORY_FOR_KV - roofline_weights(&r);
        if (left > 0 && m->kv_bytes_per_tok > 0)
            out->kv_tok = left / m->kv_bytes_per_tok * out->replicas;
    }
    if (decode == HOW_GUESS)
        out->step_us = GUESS_STEP_US;
    enum how prefill = prefill_of(out, &ps, &r);
    if (prefill == HOW_GUESS && roofline_prefill(out, &r))
        prefill = HOW_ROOFLINE;
    if (prefill == HOW_GUESS)
        out->prefill_us_per_tok = GUESS_PREFILL_US_PER_TOK;
    // What others lose to a prompt is no more than it takes, however far the roofline is off.
    if (decode == HOW_ROOFLINE && out->join_us_per_tok > out->prefill_us_per_tok)
        out->join_us_per_tok = out->prefill_us_per_tok;
    out->basis = basis;
    out->why = why_text[decode][prefill];
    room_of(out, &ps, pool);
    power_of(out, &ps, chips);
}

void service_of(struct service *out, const struct portfolio *p, const struct pool *pool,
                int32_t model)
{
    *out = (struct service){.replicas = 1, .pue = 1};
    if (pool->site >= 0 && p->sites[pool->site].pue >= 1)
        out->pue = p->sites[pool->site].pue;
    if (pool->chip >= 0) {
        with_chip(out, p, pool, model);
        return;
    }
    out->replicas = replicas_of(pool, 1);
    out->step_us = GUESS_STEP_US;
    out->prefill_us_per_tok = GUESS_PREFILL_US_PER_TOK;
    out->basis = BASIS_NONE;
    out->why = why_text[HOW_GUESS][HOW_GUESS];
    struct points none = {NULL, -1, 0};
    room_of(out, &none, pool);
}

// How many replicas have work: a sequence is never spread over two.
static double replicas_busy(const struct service *s, double n)
{
    return n >= s->replicas ? s->replicas : n > 1 ? n : 1;
}

struct service_prefill service_prefill_of(const struct service *s, double others)
{
    double m = others < s->slots - 1 ? others : s->slots - 1;
    m = m > 0 ? m / s->replicas : 0;
    struct service_prefill p = {.us = s->prefill_us + s->prefill_us_per_seq * m,
                                .per_tok = s->prefill_us_per_tok + s->prefill_us_per_tok_seq * m,
                                .per_tok2 = s->prefill_us_per_tok2};
    if (s->prefill_steps > 0 || s->prefill_steps_per_tok > 0) {
        double step_us = service_step_us(s, (m + 1) * s->replicas, 0);
        p.us += s->prefill_steps * step_us;
        p.per_tok += s->prefill_steps_per_tok * step_us;
    }
    return p;
}

double service_prefill_us(const struct service *s, double uncached_tok, double others)
{
    struct service_prefill p = service_prefill_of(s, others);
    double u = uncached_tok > 0 ? uncached_tok : 0;
    return p.us + (p.per_tok + p.per_tok2 * u) * u;
}

double service_step_us(const struct service *s, double n, double ctx_tok)
{
    double busy = replicas_busy(s, n);
    double us =
        s->step_us + s->step_us_per_seq * (n / busy) + s->step_us_per_ctx * (ctx_tok / busy);
    if (s->step_us_per_root > 0)
        us += s->step_us_per_root * sqrt(n / busy);
    if (s->step_us_experts > 0)
        us += s->step_us_experts * (1 - det_exp(n / busy * s->log_asleep));
    return us;
}

bool service_is_beyond(const struct service *s, double n, double prompt_tok)
{
    return (s->seen_batch > 0 && n > s->seen_batch) ||
           (s->seen_prompt_tok > 0 && prompt_tok > s->seen_prompt_tok);
}

double service_join_us(const struct service *s, double uncached_tok)
{
    return s->join_us_per_tok * uncached_tok / s->replicas;
}

double service_beside_us(const struct service *s, double uncached_tok, double others)
{
    double us = service_prefill_us(s, uncached_tok, others) -
                service_join_us(s, uncached_tok > 0 ? uncached_tok : 0);
    return us > 0 ? us : 0;
}

double service_ttft_us(const struct service *s, double n, double prompt_tok)
{
    return service_beside_us(s, prompt_tok, n - 1) + service_join_us(s, prompt_tok) +
           service_step_us(s, n, n * prompt_tok);
}

// While one's own `output_tok` are made, each of the others ends once and is followed by a prompt.
double service_per_token_us(const struct service *s, double n, double prompt_tok, double output_tok)
{
    double us = service_step_us(s, n, n * (prompt_tok + output_tok / 2));
    return n > 1 && output_tok > 0 ? us + (n - 1) * service_join_us(s, prompt_tok) / output_tok
                                   : us;
}

double service_more_watts(const struct service *s)
{
    double more = s->busy_w - s->idle_w;
    return more > 0 && s->slots > 0 ? more * s->pue / s->slots : 0;
}

double service_joules(const struct service *s, double uncached_tok, double output_tok, double n,
                      double ctx_tok)
{
    if (n < 1)
        n = 1;
    double us =
        service_prefill_us(s, uncached_tok, n - 1) + output_tok * service_step_us(s, n, ctx_tok);
    double load = n < s->slots ? n / s->slots : 1;
    double on = replicas_busy(s, n) / s->replicas;  // replicas without work are nobody's share
    double watts = s->idle_w * on + (s->busy_w - s->idle_w) * load;
    return watts / n * us / US_PER_S * s->pue;
}

struct prefix_cache prefix_cache_of(const struct pool *pool, const struct serving *serving,
                                    const struct service *s)
{
    struct prefix_cache c = serving->prefix_cache.said ? serving->prefix_cache : pool->prefix_cache;
    if (!c.said)
        c.tok = -1, c.ttl_us = -1;
    if (c.tok < 0 && s->basis != BASIS_NONE && s->kv_tok > 0)
        c.tok = s->kv_tok;
    if (c.ttl_us < 0)
        c.ttl_us = c.tok < 0 ? S(300) : NEVER;
    return c;
}
