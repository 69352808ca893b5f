#include "route/resolve.h"

#include "route/route_internal.h"

#include <math.h>

enum { OPTIONS = 16, SWEEPS = 4, HALVINGS = 10, ANSWERS_FIRST = 4 };
static const int64_t FIRST_US = S(1);  // of looking, before anything is said
// How much will come is not known: the price is the mean of those for as much as is expected,
// counted double, and for so many times more and less.
static const double SPREAD = 4;
static const double PRICE_STEP = 1.0 / 16;  // beyond the band within which chance decides

struct at_offer {  // of an offer, as it was seen
    bool there;
    int32_t in_flight;
    float ttft_ratio, step_ratio;
};

struct option {          // of one request of the sample
    double base, value;  // cost without the commitment; and of what it draws, at the price beyond
    double units, hold_us;
    int32_t at;  // which commitment; -1: none
};

struct of_contract {
    int32_t contract;
    bool sought;  // it has an end, something is left, and it can be drawn
    double left;
    int64_t from_us, until_us;      // of its period, wall time
    double weight[WANTED_STREAMS];  // requests to come, for one of the sample
    double soon;                    // share of these until the next time
    double slot_us;                 // time of slots that could be held until its period ends
    double share;
    struct route_price price;
    bool found;
};

struct resolve {
    const struct route *r;
    struct wanted wanted;
    int64_t wall_us, solved_us;  // of the last copy; when it was made: 0, never
    uint64_t there;              // a hash of what was there then
    struct at_offer *offers;     // [n_offers]
    struct of_contract contracts[RESOLVE_CONTRACTS];
    int32_t n_contracts;
    struct option options[WANTED_SAMPLE][OPTIONS];
    int32_t n_options[WANTED_SAMPLE];
};

bool resolve_is_wanted(const struct route *r)
{
    for (int32_t i = 0; i < r->p->n_contracts; i++)
        if (r->commits[i].place >= 0)
            return r->policy->paced;
    return false;
}

enum err resolve_new(struct resolve **out, struct arena *a, const struct route *r)
{
    struct resolve *x = arena_new(a, struct resolve, 1);
    struct at_offer *offers = arena_new(a, struct at_offer, r->n_offers + 1);
    if (!x || !offers)
        return ERR_LIMIT;
    x->r = r;
    x->offers = offers;
    for (int32_t i = 0; i < r->p->n_contracts && x->n_contracts < RESOLVE_CONTRACTS; i++)
        if (r->commits[i].place >= 0)
            x->contracts[x->n_contracts++] = (struct of_contract){.contract = i, .share = 0.5};
    *out = x;
    return ERR_NONE;
}

// --- what changes -----------------------------------------------------------------------------

static bool is_there(const struct route *r, const struct offer *o)
{
    const struct live_pool *lp = &r->live->pools[o->place];
    return !o->fixed && r->memo->active[o->pool] && !lp->lever.stopped && !lp->absent &&
           !r->live->pairs[o->pair].breaker.open;
}

static uint64_t hash_there(const struct route *r, int64_t wall_us)
{
    uint64_t hash = 0;
    lanes_see_wall(r, wall_us);
    for (int32_t i = 0; i < r->n_offers; i++)
        hash = (hash ^ (uint64_t)is_there(r, &r->offers[i])) * 0x9e3779b97f4a7c15u;
    for (int32_t i = 0; i < r->p->n_contracts; i++) {
        if (r->commits[i].place < 0)
            continue;
        struct pace pace = r->live->contracts[r->commits[i].place].pace;
        pace_see(&pace, &r->commits[i].terms, wall_us);
        hash = (hash ^ (uint64_t)pace.from_us) * 0x9e3779b97f4a7c15u;
    }
    return hash;
}

static double hours_seen(const struct wanted *a)
{
    double hours = 0;
    for (int32_t h = 0; h < WEEK_HOURS; h++)
        hours += a->covered[h];
    return hours;
}

bool resolve_is_due(const struct resolve *x, const struct route *r, const struct wanted *a,
                    int64_t now_us, int64_t wall_us)
{
    if (a->n_sample < ANSWERS_FIRST || hours_seen(a) * 3600e6 < (double)FIRST_US)
        return false;
    bool news = a->n_sample < WANTED_SAMPLE && a->n_sample >= 2 * x->wanted.n_sample;
    return x->solved_us == 0 || news || now_us - x->solved_us >= RESOLVE_EVERY_US ||
           hash_there(r, wall_us) != x->there;
}

// Slots of all pools that draw it, as far as they are there and known.
static double slots_of(const struct resolve *x, const struct route *r, int32_t contract)
{
    double slots = 0;
    for (int32_t i = 0; i < r->p->n_pools; i++) {
        const struct offer *o = &r->offers[r->pool_offers[i]];
        if (r->pool_offers[i] == r->pool_offers[i + 1] || o->commit != contract ||
            !x->offers[r->pool_offers[i]].there)
            continue;
        double most = o->service.basis != BASIS_NONE ? o->service.slots * o->derate : INFINITY;
        double limit = r->limits[i].in_flight;
        slots += most < limit ? most : limit;
    }
    return slots;
}

static void see_contract(struct resolve *x, const struct route *r, struct of_contract *c)
{
    const struct commit *m = &r->commits[c->contract];
    struct pace pace = r->live->contracts[m->place].pace;
    pace_see(&pace, &m->terms, x->wall_us);
    c->from_us = pace.from_us;
    c->until_us = pace.until_us;
    c->left = pace.amount - pace.used;
    c->slot_us = slots_of(x, r, c->contract) * (double)(c->until_us - x->wall_us);
    c->sought = c->left > 0 && c->until_us < NEVER && c->until_us > x->wall_us;
    if (!c->sought)  // the others are sought beside what routing goes by
        c->share = pace_share(&pace, &m->terms, x->wall_us);
}

void resolve_see(struct resolve *x, const struct route *r, const struct wanted *a, int64_t now_us,
                 int64_t wall_us)
{
    CHECK(r == x->r);
    x->wanted = *a;
    x->solved_us = now_us;
    x->wall_us = wall_us;
    x->there = hash_there(r, wall_us);
    for (int32_t i = 0; i < r->n_offers; i++) {
        const struct offer *o = &r->offers[i];
        const struct live_pair *pair = &r->live->pairs[o->pair];
        bool there = is_there(r, o) && commit_stop_us(r, o) <= now_us;
        x->offers[i] = (struct at_offer){there, r->live->pools[o->place].in_flight,
                                         (float)learn_ratio_ttft(pair, now_us),
                                         (float)learn_ratio_per_token(pair, now_us)};
    }
    for (int32_t i = 0; i < x->n_contracts; i++)
        see_contract(x, r, &x->contracts[i]);
}

struct wanted *resolve_wanted(struct resolve *x)
{
    return &x->wanted;
}

// --- what each could cost ---------------------------------------------------------------------

static double hold_us(const struct offer *o, const struct at_offer *at, double prompt, double tok,
                      double *ttft_us, double *per_us)
{
    double n = at->in_flight;
    struct service_prefill f = service_prefill_of(&o->service, n);
    double prefill = f.us + (f.per_tok + f.per_tok2 * prompt) * prompt;
    double step = service_step_us(&o->service, n + 1, 0);
    *ttft_us = (prefill + step) * (double)at->ttft_ratio;
    *per_us = step * (double)at->step_ratio;
    return prefill + tok * step;
}

static void option_of(const struct resolve *x, const struct offer *o, const struct wanted_one *one,
                      const struct wanted_stream *s, double trip_us, struct option *out)
{
    const struct at_offer *at = &x->offers[o - x->r->offers];
    double prompt = one->prompt_tok, tok = one->expected_tok, ttft, per;
    double hold = hold_us(o, at, prompt, tok, &ttft, &per);
    double list = prompt * o->beyond_input_nusd + tok * o->beyond_output_nusd;
    list += hold * o->beyond_hold_nusd;
    *out = (struct option){.at = -1};
    out->base = hold * o->energy_nusd_per_joule * service_more_watts(&o->service) / 1e6;
    if (s->class >= 0) {
        const struct class *k = &x->r->p->classes[s->class];
        out->base += value_curve_cost(&k->ttft_value, (int64_t)(ttft + trip_us));
        out->base += tok * value_curve_cost(&k->per_token_value, (int64_t)per);
    }
    for (int32_t i = 0; o->commit >= 0 && i < x->n_contracts; i++)
        if (x->contracts[i].contract == o->commit)
            out->at = i;
    if (out->at < 0) {
        out->base += o->commit >= 0 ? 0.5 * list : list;  // as it is paced without all of this
        return;
    }
    out->value = list;
    double came = one->output_tok;
    out->hold_us = hold_us(o, at, prompt, came, &ttft, &per);
    out->units = prompt * o->use_input + came * o->use_output + out->hold_us * o->use_hold;
}

static bool is_no_dearer(const struct option *a, const struct option *b)
{
    return a->base <= b->base && a->value <= b->value;
}

// Of those that draw nothing only the cheapest can win, and always has room; of the others those
// that no other is cheaper than at any price, as many as there is room for.
static void add_option(struct resolve *x, int32_t i, const struct option *o)
{
    struct option *all = x->options[i];
    int32_t *n = &x->n_options[i];
    for (int32_t k = 0; k < *n; k++) {
        bool better = is_no_dearer(o, &all[k]);
        if (all[k].at != o->at || !(better || is_no_dearer(&all[k], o)))
            continue;
        if (better)
            all[k] = *o;
        return;
    }
    if (*n < OPTIONS)
        all[(*n)++] = *o;
    else if (o->at < 0)
        all[OPTIONS - 1] = *o;
}

static void find_options(struct resolve *x, int32_t i)
{
    const struct route *r = x->r;
    const struct wanted_one *one = &x->wanted.sample[i];
    const struct wanted_stream *s = &x->wanted.streams[one->stream];
    x->n_options[i] = 0;
    if (s->model < 0 || one->tenant >= r->p->n_tenants)
        return;
    const struct route_ask ask = {.model = s->model};
    const struct list *list = route_list(r, &ask);
    int32_t tenant = one->tenant >= 0 ? one->tenant : r->p->n_tenants;
    int32_t rights = one->tenant >= 0 ? r->tenant_rights[one->tenant] : -1;
    const double *trips =
        &r->round_trip_us[(size_t)r->tenant_users[tenant] * (size_t)r->p->n_pools];
    for (int32_t k = 0; list && k < list->own; k++) {
        const struct offer *o = &r->offers[list->entries[k].offer];
        if (rights >= 0 && !(list->allowed[rights * words_of(list->all) + k / 64] >> (k % 64) & 1))
            continue;
        if (!x->offers[list->entries[k].offer].there ||
            (o->context_tok && one->prompt_tok > o->context_tok))
            continue;
        struct option option;
        option_of(x, o, one, s, trips[o->pool], &option);
        add_option(x, i, &option);
    }
}

// --- what they draw ---------------------------------------------------------------------------

static const struct option *cheapest(const struct resolve *x, int32_t i)
{
    const struct option *best = NULL;
    double least = 0;
    for (int32_t k = 0; k < x->n_options[i]; k++) {
        const struct option *o = &x->options[i][k];
        double nusd = o->base + (o->at >= 0 ? x->contracts[o->at].share * o->value : 0);
        if (best && nusd >= least)
            continue;
        best = o;
        least = nusd;
    }
    return best;
}

// Of commitment `at` until its period ends, at this price of it and the others' as they are; no
// more than its slots have time for.
static double drawn(struct resolve *x, int32_t at, double share)
{
    struct of_contract *c = &x->contracts[at];
    double units = 0, held_us = 0, before = c->share;
    c->share = share;
    for (int32_t i = 0; i < x->wanted.n_sample; i++) {
        const struct option *o = cheapest(x, i);
        if (!o || o->at != at)
            continue;
        double weight = c->weight[x->wanted.sample[i].stream];
        units += weight * o->units;
        held_us += weight * o->hold_us;
    }
    c->share = before;
    return held_us > c->slot_us ? units * (c->slot_us / held_us) : units;
}

// The least price at which no more is drawn than `left`.
static double seek(struct resolve *x, int32_t at, double left)
{
    double lo = 0, hi = 1;
    if (drawn(x, at, 0) <= left)
        return 0;
    if (drawn(x, at, 1) > left)
        return 1;
    for (int i = 0; i < HALVINGS; i++) {
        double mid = (lo + hi) / 2;
        if (drawn(x, at, mid) > left)
            lo = mid;
        else
            hi = mid;
    }
    return hi;
}

// More that comes is less that is left for each.
static double seek_mean(struct resolve *x, int32_t at)
{
    double left = x->contracts[at].left;
    return (seek(x, at, left / SPREAD) + 2 * seek(x, at, left) + seek(x, at, left * SPREAD)) / 4;
}

static void set_price(struct resolve *x, int32_t at)
{
    struct of_contract *c = &x->contracts[at];
    double low = c->share > PRICE_STEP ? c->share - PRICE_STEP : 0;
    double high = c->share < 1 - PRICE_STEP ? c->share + PRICE_STEP : 1;
    if (c->share <= 0 || c->share >= 1)
        low = high = c->share;
    double use = drawn(x, at, low);
    use = use < c->left ? use : c->left;
    c->price =
        (struct route_price){low, high, use * c->soon / (double)RESOLVE_EVERY_US, c->from_us};
    c->found = true;
}

static void weigh(struct resolve *x)
{
    double rates[WEEK_HOURS], all[RESOLVE_CONTRACTS] = {0}, soon = 0;
    int64_t soon_us = x->wall_us + RESOLVE_EVERY_US;
    for (int32_t s = 0; s < x->wanted.n_streams; s++) {
        int32_t sampled = x->wanted.streams[s].sampled;
        wanted_rates(&x->wanted, s, rates);
        soon += wanted_between(rates, x->wall_us, soon_us);
        for (int32_t i = 0; i < x->n_contracts; i++) {
            struct of_contract *c = &x->contracts[i];
            double n = c->sought ? wanted_between(rates, x->wall_us, c->until_us) : 0;
            c->weight[s] = sampled > 0 ? n / sampled : 0;
            all[i] += n;
        }
    }
    for (int32_t i = 0; i < x->n_contracts; i++)
        x->contracts[i].soon = all[i] > soon ? soon / all[i] : 1;
}

void resolve_solve(struct resolve *x)
{
    weigh(x);
    for (int32_t i = 0; i < x->wanted.n_sample; i++)
        find_options(x, i);
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        bool moved = false;
        for (int32_t i = 0; i < x->n_contracts; i++) {
            double before = x->contracts[i].share;
            if (!x->contracts[i].sought)
                continue;
            x->contracts[i].share = seek_mean(x, i);
            moved = moved || x->contracts[i].share != before;
        }
        if (!moved || x->n_contracts == 1)
            break;
    }
    for (int32_t i = 0; i < x->n_contracts; i++) {
        x->contracts[i].found = false;
        if (x->contracts[i].sought)
            set_price(x, i);
    }
}

bool resolve_price(const struct resolve *x, int32_t i, struct resolve_found *out)
{
    for (int32_t k = 0; k < x->n_contracts; k++) {
        if (!x->contracts[k].found || i-- > 0)
            continue;
        *out = (struct resolve_found){x->contracts[k].contract, x->contracts[k].price};
        return true;
    }
    return false;
}
