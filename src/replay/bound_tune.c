// The prices of commitments, found anew among requests themselves.
//
// The program knows groups, whose requests are all of one length; a commitment is worth to the last
// request that just gets it, and in a group nobody is the last. So its dual is off by what lengths
// within a group differ in, and the bound is lower than it need be. Here each commitment's price is
// halved towards where those that are inside it at that price draw its amount, over a sample of the
// requests, the others standing still; a few rounds of that. Any price makes a true bound
// (bound.h), so neither the sample nor the rounds can make it untrue.

#include "replay/bound_inside.h"

enum { ROUNDS = 3, HALVINGS = 20, PREPAID_MOST = 64 };
static const double PRICE_CLOSE = 1e-4;  // of a price: nearer need not be

// Every stride-th request is kept; when there is no room, every other of those goes.
void tune_keep(struct bounding *b, const struct arrival *r, int32_t output_tok)
{
    struct tuning *t = &b->tuning;
    if (t->seen++ % t->stride != 0)
        return;
    if (t->n == TUNE_MOST) {
        for (int32_t i = 0; i < t->n / 2; i++)
            t->kept[i] = t->kept[2 * i];
        t->n /= 2;
        t->stride *= 2;
        if ((t->seen - 1) % t->stride != 0)
            return;
    }
    t->kept[t->n] = (struct tuning_kept){*r, output_tok};
    t->kept[t->n++].r.blocks = NULL;
}

enum err tune_begin(struct bounding *b)
{
    b->tuning = (struct tuning){.stride = 1};
    b->tuning.kept = arena_new(b->arena, struct tuning_kept, TUNE_MOST);
    return b->tuning.kept ? ERR_NONE : ERR_LIMIT;
}

// What is drawn of `c` at the prices as they are, by those whose cheapest it is.
static double drawn(const struct bounding *b, const struct prepaid *c)
{
    const struct tuning *t = &b->tuning;
    double units = 0;
    for (int32_t i = 0; i < t->n; i++) {
        struct arrival r = t->kept[i].r;
        struct choice x;
        const struct least_unit *u = bound_choose(b, &r, &x);
        if (!u || u->contract < 0 || prepaid_at(b, u->contract, r.at_us) != c ||
            !(x.inside < x.beyond))
            continue;
        // Where the answer was only expected to be so long, it draws what it came to.
        if (r.output_tok != t->kept[i].output_tok) {
            r.output_tok = t->kept[i].output_tok;
            least_of(least_at(b, r.at_us), u, &r, &x.cost);
        }
        units += x.cost.units;
    }
    return units * (double)t->seen / t->n;
}

// What these prices promise, on the sample.
static double promised(const struct bounding *b)
{
    const struct tuning *t = &b->tuning;
    double nusd = 0;
    struct choice x;
    for (int32_t i = 0; i < t->n; i++) {
        bound_choose(b, &t->kept[i].r, &x);
        nusd += x.nusd;
    }
    nusd *= (double)t->seen / t->n;
    for (int32_t i = 0; i < b->n_prepaid; i++)
        nusd -= b->prepaid[i].price * b->prepaid[i].there;
    return nusd;
}

// Beyond this price nobody is inside: the dearest that a unit is for anyone.
static double most_of(const struct bounding *b, int32_t contract)
{
    double most = 0;
    for (int32_t k = 0; k < b->editions.n; k++) {
        for (int32_t i = 0; i < b->least[k].n_units; i++) {
            const struct least_unit *u = &b->least[k].units[i];
            if (u->contract == contract && u->beyond_nusd > most)
                most = u->beyond_nusd;
        }
    }
    return most;
}

static bool tune_one(struct bounding *b, struct prepaid *c)
{
    double lo = 0, hi = most_of(b, c->contract), before = c->price;
    if (!(hi > 0))  // beyond it list prices hold, which differ: as the program says
        return false;
    c->price = 0;
    if (drawn(b, c) <= c->there)
        return before > 0;
    for (int i = 0; i < HALVINGS && hi - lo > PRICE_CLOSE * hi; i++) {
        c->price = (lo + hi) / 2;
        if (drawn(b, c) > c->there)
            lo = c->price;
        else
            hi = c->price;
    }
    c->price = hi;
    double moved = hi > before ? hi - before : before - hi;
    return moved > PRICE_CLOSE * hi;
}

static void tune_all(struct bounding *b)
{
    for (int round = 0; round < ROUNDS; round++) {
        bool moved = false;
        for (int32_t i = 0; i < b->n_prepaid; i++)
            if (b->prepaid[i].row >= 0)
                moved = tune_one(b, &b->prepaid[i]) || moved;
        if (!moved)
            return;
    }
}

void tune(struct bounding *b)
{
    double before[PREPAID_MOST] = {0};
    if (b->tuning.n == 0 || b->n_prepaid > PREPAID_MOST)
        return;
    for (int32_t i = 0; i < b->n_prepaid; i++)
        before[i] = b->prepaid[i].price;
    double promise = promised(b);
    tune_all(b);
    // Where lengths are all alike the program's own are exact, and halving only comes near them.
    bool worse = !b->c->prices && promised(b) <= promise;
    for (int32_t i = 0; i < b->n_prepaid && worse; i++)
        b->prepaid[i].price = before[i];
}
