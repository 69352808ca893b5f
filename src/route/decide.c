#include "route/route_internal.h"

#include "base/rng.h"

#include <math.h>

// Send, wait or refuse.
//
//   score_list()   every candidate's total; INFINITY where state, length or time bar it
//   strike_*()     INFINITY too where it is this request that may not: its rights, what it has
//                  tried, who stands before it, shares that it is outside of
//   choose()       the least, within the band by the weights and the draw
//
// Only when nobody is left does survey() ask admit() why, one by one: that says whether to wait,
// until when, or what to tell the client; and whether all that is left is to try what is known to
// fail.

static const int64_t DEADLINE_US_MAX = S(1000000);  // 11 days: longer is no deadline, as in learn.c

// Why none of the candidates of one ask may have it.
struct tally {
    int32_t usable;
    int32_t open, closed;    // breakers, of those that nothing lasting bars
    enum route_bar mildest;  // of those barred
    bool shared;             // some are barred by their share only
    int64_t wait_us;         // when the first that is worth waiting for may have room; NEVER: none
    int64_t until_us, timed_us;
};

static void tally_bar(struct tally *t, const struct look *l, const struct verdict *v)
{
    if (t->mildest == ROUTE_MAY || v->bar < t->mildest)
        t->mildest = v->bar;
    t->shared = t->shared || v->bar == ROUTE_BAR_SHARE;
    t->until_us = min_i64(t->until_us, v->until_us);
    if (v->timed)
        t->timed_us = min_i64(t->timed_us, v->until_us);
    if ((v->bar == ROUTE_BAR_WAIT || v->bar == ROUTE_BAR_COOLING) &&
        v->until_us <= l->ask->deadline_us)
        t->wait_us = min_i64(t->wait_us, v->until_us);
}

static void scoring_of(struct scoring *s, const struct route *r, const struct look *l,
                       const struct list *list)
{
    const struct route_ask *ask = l->ask;
    double prompt = ask->prompt_tok > 0 ? ask->prompt_tok : 0;
    s->prompt = prompt;
    s->answer = ask->output_tok > 1 ? ask->output_tok : 1;
    s->need_tok = prompt + (ask->output_tok > 0 ? ask->output_tok : 0);
    s->context = (double)(l->context_tok + l->larger);
    // admit() asks whether now and the whole microseconds of the least TTFT are past the deadline.
    int64_t left_us = ask->deadline_us - l->now_us;
    bool bounded = ask->deadline_us != NEVER && left_us < DEADLINE_US_MAX;
    s->ttft_most_us = bounded ? (double)(left_us + 1) : INFINITY;
    s->now_us = (double)l->now_us;
    s->bucket_now = (double)((l->now_us - list->fresh_us) * 1024);
    s->warm = l->warm ? r->memo->warm : NULL;
    s->ttft = &r->worths[2 * (ask->class >= 0 ? ask->class : r->p->n_classes)];
    s->per_token = s->ttft + 1;
    s->bends = list->bends;
    s->bars = list->buckets || s->context > list->context_min;
    if (bounded && !s->bars) {
        double slope = list->least_us_per_tok + list->least_us_per_tok2 * prompt;
        s->bars = !(list->least_us + slope * prompt < s->ttft_most_us);
    }
}

static const double *trips_of(const struct look *l, const struct list *list)
{
    return &list->round_trip_us[(size_t)l->users * (size_t)whole_lanes(list->all)];
}

static void strike_tried(const struct route *r, const struct look *l, const struct list *list,
                         int32_t n)
{
    for (int32_t k = 0; k < l->ask->n_tried; k++) {
        for (int32_t i = 0; i < n; i++) {
            if (r->offers[list->entries[i].offer].pool == l->ask->tried[k])
                r->memo->room.scores[i] = INFINITY;
        }
    }
}

static void strike_rights(const struct route *r, const struct look *l, const struct list *list,
                          int32_t n)
{
    const uint64_t *allowed = &list->allowed[l->rights * words_of(list->all)];
    for (int32_t i = 0; i < n; i++) {
        if (!(allowed[i / 64] >> (i % 64) & 1))
            r->memo->room.scores[i] = INFINITY;
    }
}

static void strike_claimed(const struct route *r, const struct look *l, const struct list *list,
                           int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        double claim = r->claimed[r->offers[list->entries[i].offer].pool];
        if (claim > 0 && claim >= l->strength)
            r->memo->room.scores[i] = INFINITY;
    }
}

static void strike_shared(const struct route *r, const struct look *l, const struct list *list,
                          int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        if (admit_outside_share(r, l, &r->offers[list->entries[i].offer]))
            r->memo->room.scores[i] = INFINITY;
    }
}

static void see(const struct route *r, struct look *l, struct list *list)
{
    lanes_see_wall(r, l->wall_us);
    lanes_see(r, list, l->now_us);
    if (l->ask->n_blocks > 0)
        warm_find(r, l, list);
}

// Within which share of the least scores count as equal.
static double band_of(const struct route *r)
{
    return r->policy->is_money ? r->p->serve.band : 0;
}

// Totals of the first `n` of `list`, and the best of them.
static void score(const struct route *r, const struct look *l, struct list *list,
                  const struct scoring *s, int32_t n, struct score_best *best)
{
    struct memo *m = r->memo;
    bool strikes = l->ask->n_tried > 0 || l->rights >= 0 || r->some_claimed || r->some_shared;
    m->n_kept = 0;
    best->usable = 0;
    if (l->now_us >= l->ask->deadline_us)
        return;
    score_list(list->lanes, list->more, trips_of(l, list), s, n, &m->room, band_of(r),
               strikes ? NULL : best);
    m->n_kept = n <= TERMS_KEPT ? n : 0;
    if (!strikes)
        return;
    if (l->ask->n_tried > 0)
        strike_tried(r, l, list, n);
    if (l->rights >= 0)
        strike_rights(r, l, list, n);
    if (r->some_claimed)
        strike_claimed(r, l, list, n);
    if (r->some_shared)
        strike_shared(r, l, list, n);
    score_best(&m->room, n, band_of(r), best);
}

static int64_t whole_us(double us)
{
    return us < 1e12 ? (int64_t)(us + 0.5) : (int64_t)1e12;
}

// The row of memo->room.kept that holds all terms of candidate `i`: score() left them there, or
// they are worked out now.
static int32_t kept_at(const struct route *r, const struct look *l, const struct list *list,
                       const struct scoring *s, int32_t i)
{
    if (i < r->memo->n_kept)
        return i;
    score_terms(list->lanes, list->more, trips_of(l, list), s, i, r->memo->room.kept);
    return 0;
}

// Of the candidate in `lane`, whose terms are in `row`.
static inline struct route_terms terms_at(const struct route *r, const struct look *l,
                                          const struct list *list, const struct offer *o,
                                          int32_t lane, int32_t row, double score)
{
    const struct candidates *c = &list->lanes[lane / LANES];
    const struct candidates_more *m = &list->more[lane / LANES];
    int k = lane % LANES;
    double fresh = l->ask->prompt_tok > 0 ? l->ask->prompt_tok : 0;
    fresh -= l->warm ? r->memo->warm[lane] : 0;
    const struct terms_kept *t = r->memo->room.kept;
    const struct warm *warm = l->warm ? warm_at(r, lane) : NULL;
    double carbon = t->energy[row] * o->carbon_share;
    return (struct route_terms){
        .list = t->list[row],
        .energy = t->energy[row] - carbon,
        .carbon = carbon,
        .wait_ttft = t->wait_ttft[row],
        .wait_tokens = t->wait_tokens[row],
        .total = t->total[row],
        .score = score,
        .ttft_us = whole_us(t->ttft[row]),
        .per_token_us = whole_us(t->per_token[row]),
        .model_ttft_us = t->model_ttft[row],
        .model_per_token_us = t->model_per_token[row],
        .observed = r->live->pairs[o->pair].ttft_ratio > 0,
        .prefill_us = (c->prefill[k] + (c->prefill_tok[k] + m->prefill_tok2[k] * fresh) * fresh) *
                      o->each_replica,
        .warm_tok = warm ? warm->tok : 0,
        .cached_tok = warm ? (int32_t)r->memo->warm[lane] : 0};
}

static double policy_score(const struct route *r, const struct look *l, const struct list *list,
                           int32_t i, int32_t row)
{
    if (!r->policy->score)
        return r->memo->room.kept->total[row];
    const struct offer *o = &r->offers[list->entries[i].offer];
    const struct live_pair *pair = &r->live->pairs[o->pair];
    struct route_terms terms = terms_at(r, l, list, o, i, row, r->memo->room.kept->total[row]);
    struct policy_view view = {.pool = &r->p->pools[o->pool],
                               .index = o->pool,
                               .n_pools = r->p->n_pools,
                               .in_flight = r->live->pools[o->place].in_flight,
                               .slots = o->service.slots,
                               .stand_in_rank = list->entries[i].rank,
                               .turns = r->live->turns,
                               .last_turn = pair->last_turn,
                               .fail_load = learn_fail_load(pair, l->now_us),
                               .terms = &terms};
    return r->policy->score(&view, l->ask);
}

// Two of the usable by the draw; the others are left out.
static void keep_two(double *scores, int32_t n, int32_t usable, uint64_t draw)
{
    if (usable <= 2)
        return;
    uint64_t chance = mix64(draw ^ 0x74776f);
    int32_t x = (int32_t)((uint32_t)chance % (uint32_t)usable);
    int32_t y = (int32_t)((uint32_t)(chance >> 32) % (uint32_t)(usable - 1));
    y += y >= x;
    for (int32_t i = 0, k = 0; i < n; i++) {
        if (scores[i] < INFINITY && k++ != x && k - 1 != y)
            scores[i] = INFINITY;
    }
}

// Puts the policy's scores in the place of the totals.
static void rescore(const struct route *r, const struct look *l, const struct list *list,
                    const struct scoring *s, int32_t n, int32_t usable)
{
    double *scores = r->memo->room.scores;
    if (r->policy->of_two)
        keep_two(scores, n, usable, l->ask->draw);
    for (int32_t i = 0; i < n; i++) {
        if (!(scores[i] < INFINITY))
            continue;
        scores[i] = policy_score(r, l, list, i, kept_at(r, l, list, s, i));
    }
}

// Asks admit() of each of the first `n`; scores those that may have it, which is nobody unless the
// breakers do not count.
static struct tally survey(const struct route *r, const struct look *l, struct list *list,
                           const struct scoring *s, int32_t n)
{
    struct tally t = {.wait_us = NEVER, .until_us = NEVER, .timed_us = NEVER};
    for (int32_t i = 0; i < n; i++) {
        const struct offer *o = &r->offers[list->entries[i].offer];
        struct verdict v = admit(r, l, o);
        r->memo->room.scores[i] = INFINITY;
        if (v.bar < ROUTE_BAR_SPENT)
            *(v.open ? &t.open : &t.closed) += 1;
        if (v.bar) {
            tally_bar(&t, l, &v);
            continue;
        }
        r->memo->room.scores[i] = r->memo->room.kept->total[kept_at(r, l, list, s, i)];
        t.usable++;
    }
    return t;
}

// True when no breaker, of the model or of stand-ins that could take over, lets anything through.
static bool is_panic(const struct route *r, const struct look *l, const struct tally *t,
                     const struct list *list)
{
    if (t->open == 0 || t->closed > 0)
        return false;
    if (l->ask->stand_in || l->ask->same_model)
        return true;
    // Stand-ins are let in at once when the model's own pools are all failing (failover.h), which
    // is kinder than trying what is known to fail.
    for (int32_t i = list->own; i < list->all; i++) {
        if (admit(r, l, &r->offers[list->entries[i].offer]).bar < ROUTE_BAR_BREAKER)
            return false;
    }
    return true;
}

// The lanes of the best rank among the `count` of memo->room.within: the model asked for comes
// before stand-ins. Returns how many are left.
static int32_t best_rank(const struct route *r, const struct list *list, int32_t count)
{
    int32_t *within = r->memo->room.within, rank = INT32_MAX, best = 0;
    for (int32_t k = 0; k < count; k++) {
        int32_t its = list->entries[within[k]].rank;
        rank = its < rank ? its : rank;
    }
    for (int32_t k = 0; k < count; k++) {
        if (list->entries[within[k]].rank == rank)
            within[best++] = within[k];
    }
    return best;
}

// Of the `count` lanes within the band, all of a rank: by the draw, in proportion to the weights,
// which the first in order closes.
static int32_t draw_one(const struct route *r, const struct list *list, int32_t count,
                        uint64_t draw)
{
    const int32_t *within = r->memo->room.within;
    double at = (double)(mix64(draw) >> 11) * 0x1p-53, sum = 0;
    if (list->even)
        return within[(int32_t)(at * count)];
    for (int32_t k = 0; k < count; k++)
        sum += list->weight[within[k]];
    at *= sum;
    int32_t last = within[0];
    for (int32_t k = 0; k < count; k++) {
        double weight = list->weight[within[k]];
        if (!(weight > 0))
            continue;
        last = within[k];
        if (at < weight)
            break;
        at -= weight;
    }
    return last;
}

static int32_t choose(const struct route *r, const struct list *list, int32_t n, int32_t count,
                      uint64_t draw)
{
    CHECK(count > 0);
    if (count > 1 && n > list->own)
        count = best_rank(r, list, count);
    return count == 1 ? r->memo->room.within[0] : draw_one(r, list, count, draw);
}

static struct route_decision refuse(const struct route *r, const struct route_ask *ask,
                                    const struct tally *t, int32_t n, int32_t usable)
{
    struct route_decision d = {.verdict = ROUTE_REFUSE,
                               .pool = -1,
                               .model = ask->model,
                               .bar = t->mildest,
                               .until_us = t->until_us,
                               .candidates = n,
                               .usable = usable};
    if (n == 0) {
        struct route_ask any = *ask;
        any.surface = 0;
        d.bar = list_n(route_list(r, &any), ask) > 0 ? ROUTE_BAR_SURFACE : ROUTE_BAR_MODEL;
    }
    d.why = route_bar_text(d.bar);
    if (t->wait_us < NEVER) {
        d.verdict = ROUTE_WAIT;
        d.until_us = t->wait_us;
    }
    return d;
}

// Returned as it is made: a copy of what has just been written in pieces waits for the pieces.
static struct route_decision send_to(const struct route *r, const struct look *l,
                                     const struct list *list, const struct scoring *s, int32_t i,
                                     int32_t n, const struct score_best *best)
{
    const struct offer *o = &r->offers[list->entries[i].offer];
    const struct live_pair *pair = &r->live->pairs[o->pair];
    const struct breaker *b = &pair->breaker;
    bool probe = b->open && breaker_look(b, l->now_us) == BREAKER_PROBE;
    int32_t row = kept_at(r, l, list, s, i);
    const char *why = best->usable == 1  ? "the only one that may have it now"
                      : best->within > 1 ? "as good as the best, by weight and chance"
                                         : r->policy->why;
    if (list->entries[i].rank > 0)
        why = "a stand-in of the model's group";
    if (probe)
        why = "a probe: it was failing";
    if (l->unshared)
        why = "nobody else may have it, so shares do not count";
    if (l->panic)
        why = "every breaker of the model is open, so none counts";
    return (struct route_decision){.verdict = ROUTE_SEND,
                                   .pool = o->pool,
                                   .model = o->model,
                                   .bar = ROUTE_MAY,
                                   .probe = probe,
                                   .probe_number = probe ? breaker_probe_number(b) : 0,
                                   .panic = l->panic,
                                   .until_us = l->now_us,
                                   .candidates = n,
                                   .usable = best->usable,
                                   .context_tok = o->context_tok,
                                   .place = list->entries[i].offer + 1,
                                   .terms =
                                       terms_at(r, l, list, o, i, row, r->memo->room.scores[i]),
                                   .why = why};
}

// Nobody may have it as things stand: why not, and must breakers or shares be passed over?
static struct tally look_closer(const struct route *r, struct look *l, struct list *list,
                                const struct scoring *s, int32_t n, int64_t *timed_us)
{
    struct tally t = survey(r, l, list, s, n);
    if (t.usable == 0 && is_panic(r, l, &t, list)) {
        l->panic = true;
        t = survey(r, l, list, s, n);
    }
    // A share is for choosing: better a pool on trial than no answer, or a stand-in's. Where
    // another pool has room soon, it is waited for.
    if (t.usable == 0 && t.shared && t.wait_us == NEVER) {
        l->unshared = true;
        t = survey(r, l, list, s, n);
    }
    *timed_us = t.timed_us;
    if (r->memo->wall_until_us < NEVER)
        *timed_us = min_i64(*timed_us, l->now_us + (r->memo->wall_until_us - l->wall_us));
    return t;
}

struct route_decision route_decide(const struct route *r, const struct route_ask *ask,
                                   double strength, int64_t now_us, int64_t *timed_us)
{
    struct list *list = route_list(r, ask);
    struct tally t = {.until_us = NEVER, .wait_us = NEVER};
    int32_t n = list_n(list, ask);
    *timed_us = NEVER;
    if (n == 0)
        return refuse(r, ask, &t, 0, 0);
    struct look l;
    struct scoring s;
    struct score_best best;
    look_at(&l, r, ask, now_us);
    l.strength = strength;
    see(r, &l, list);
    scoring_of(&s, r, &l, list);
    score(r, &l, list, &s, n, &best);
    if (best.usable == 0) {
        t = look_closer(r, &l, list, &s, n, timed_us);
        if (t.wait_us < NEVER && defer_may(r, &l))
            t.mildest = ROUTE_BAR_DEFERRED;
        if (t.usable == 0)
            return refuse(r, ask, &t, n, 0);
        score_best(&r->memo->room, n, band_of(r), &best);
    }
    if (defer_may(r, &l)) {
        int32_t usable = best.usable;
        defer_strike(r, &l, list, n);
        score_best(&r->memo->room, n, band_of(r), &best);
        if (best.usable == 0) {
            *timed_us = defer_until_us(&l);
            t = (struct tally){
                .mildest = ROUTE_BAR_DEFERRED, .until_us = *timed_us, .wait_us = *timed_us};
            return refuse(r, ask, &t, n, usable);
        }
    }
    int64_t unserved = ask->class >= 0 ? r->p->classes[ask->class].unserved_nusd : -1;
    if (unserved >= 0 && best.least > (double)unserved) {
        t = (struct tally){.mildest = ROUTE_BAR_PRICE, .until_us = NEVER, .wait_us = NEVER};
        return refuse(r, ask, &t, n, best.usable);
    }
    if (r->policy->score) {
        int32_t usable = best.usable;
        rescore(r, &l, list, &s, n, usable);
        score_best(&r->memo->room, n, band_of(r), &best);
        best.usable = usable;
    }
    return send_to(r, &l, list, &s, choose(r, list, n, best.within, ask->draw), n, &best);
}

static double strength_of(const struct route *r, const struct route_ask *ask)
{
    return r->class_weight[ask->class >= 0 ? ask->class : r->p->n_classes];
}

struct route_decision route_pick(const struct route *r, const struct route_ask *ask, int64_t now_us)
{
    int64_t timed_us;
    CHECK(ask->class >= -1 && ask->class < r->p->n_classes);
    return route_decide(r, ask, strength_of(r, ask), now_us, &timed_us);
}

struct route_decision route_shadow(const struct route *r, const struct route_ask *ask,
                                   int32_t shadow, int64_t now_us)
{
    const struct offer *o = route_offer_find(r, shadow, ask->model);
    CHECK(o->shadow_list >= 0);
    struct list *list = &r->lists[o->shadow_list];
    struct look l;
    struct scoring s;
    look_at(&l, r, ask, now_us);
    l.unshared = true;
    l.strength = strength_of(r, ask);
    see(r, &l, list);
    scoring_of(&s, r, &l, list);
    r->memo->n_kept = 0;
    struct verdict v = admit(r, &l, o);
    if (!v.bar) {
        r->memo->room.scores[0] = r->memo->room.kept->total[kept_at(r, &l, list, &s, 0)];
        struct score_best alone = {.usable = 1, .within = 1};
        return send_to(r, &l, list, &s, 0, 1, &alone);
    }
    struct tally t = {.mildest = v.bar, .until_us = v.until_us, .wait_us = NEVER};
    return refuse(r, ask, &t, 1, 0);
}

int32_t route_explain(const struct route *r, const struct route_ask *ask, int64_t now_us,
                      struct route_candidate *out, int32_t max)
{
    struct route_ask any = *ask;
    any.surface = 0;
    struct list *list = route_list(r, &any);
    struct look l;
    look_at(&l, r, ask, now_us);
    l.strength = strength_of(r, ask);
    int32_t n = list_n(list, ask);
    if (n == 0)
        return 0;
    see(r, &l, list);
    struct scoring s;
    scoring_of(&s, r, &l, list);
    r->memo->n_kept = 0;
    for (int32_t i = 0; i < n && i < max; i++) {
        const struct offer *o = &r->offers[list->entries[i].offer];
        int32_t row = kept_at(r, &l, list, &s, i);
        double its = policy_score(r, &l, list, i, row);
        struct verdict v = admit(r, &l, o);
        out[i] = (struct route_candidate){
            .pool = o->pool,
            .model = o->model,
            .rank = list->entries[i].rank,
            .bar = v.bar,
            .until_us = v.bar ? v.until_us : now_us,
            .basis = o->service.basis,
            .beyond = service_is_beyond(&o->service, r->live->pools[o->place].in_flight + 1,
                                        ask->prompt_tok),
            .in_flight = r->live->pools[o->place].in_flight,
            .contract = o->commit,
            .pace = o->commit >= 0 ? commit_share(r, o, now_us) : 0,
            .terms = terms_at(r, &l, list, o, i, row, its)};
        if (o->commit >= 0)
            out[i].pricing = commit_pricing(r, o, now_us, &out[i].priced_us);
    }
    return n;
}
