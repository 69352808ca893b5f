#include "replay/tally.h"

enum err tally_init(struct tally *t, struct arena *a, const struct portfolio *p, const char *policy)
{
    size_t pools = (size_t)p->n_pools, classes = (size_t)p->n_classes + 1;
    *t = (struct tally){.p = p, .policy = policy};
    t->cells = arena_new(a, struct tally_cell, pools * classes);
    t->pools = arena_new(a, struct tally_cell, pools);
    t->classes = arena_new(a, struct tally_cell, classes);
    t->tenants = arena_new(a, struct tally_cell, (size_t)p->n_tenants + 1);
    t->pool = arena_new(a, struct tally_pool, pools);
    t->sites = arena_new(a, struct tally_site, (size_t)p->n_sites + 1);
    t->drawn = arena_new(a, struct account_drawn, (size_t)p->n_contracts + 1);
    t->begun = arena_new(a, struct account_begun, (size_t)p->n_contracts + 1);
    t->load = arena_new(a, double, pools *TALLY_SPANS + 1);
    t->load_span_us = S(1);
    return t->cells && t->pools && t->classes && t->tenants && t->pool && t->sites && t->drawn &&
                   t->begun && t->load
               ? ERR_NONE
               : ERR_LIMIT;
}

// Two spans become one.
static void widen(struct tally *t)
{
    t->load_span_us *= 2;
    for (int32_t i = 0; i < t->p->n_pools; i++) {
        double *load = &t->load[i * TALLY_SPANS];
        for (int32_t k = 0; k < TALLY_SPANS; k++)
            load[k] = k < TALLY_SPANS / 2 ? load[2 * k] + load[2 * k + 1] : 0;
    }
}

void tally_held(struct tally *t, int32_t pool, int64_t at_us, int64_t hold_us)
{
    if (at_us < t->load_from_us || at_us - t->load_from_us >= t->load_span_us) {
        while (at_us / t->load_span_us >= TALLY_SPANS)
            widen(t);
        t->load_span = (int32_t)(at_us / t->load_span_us);
        t->load_from_us = t->load_span * t->load_span_us;
    }
    t->load[pool * TALLY_SPANS + t->load_span] += (double)hold_us;
}

static void add(struct tally_cell *to, const struct tally_cell *from)
{
    to->requests += from->requests;
    to->answered += from->answered;
    to->refused += from->refused;
    to->expired += from->expired;
    to->failed += from->failed;
    to->with_target += from->with_target;
    to->good += from->good;
    to->attempts += from->attempts;
    to->faults += from->faults;
    to->prompt_tok += from->prompt_tok;
    to->cached_tok += from->cached_tok;
    to->output_tok += from->output_tok;
    to->list_nusd += from->list_nusd;
    to->waiting_nusd += from->waiting_nusd;
    to->unserved_nusd += from->unserved_nusd;
    to->joules += from->joules;
    if (from->answered == 0)
        return;
    hist_merge(&to->times.ttft, &from->times.ttft);
    hist_merge(&to->times.per_token, &from->times.per_token);
    hist_merge(&to->times.total, &from->times.total);
}

void tally_sum(struct tally *t)
{
    int32_t n_classes = t->p->n_classes;
    for (int32_t i = 0; i < t->p->n_pools; i++) {
        for (int32_t k = 0; k <= n_classes; k++) {
            const struct tally_cell *c = tally_cell(t, i, k < n_classes ? k : -1);
            add(&t->pools[i], c);
            add(&t->classes[k], c);
        }
    }
    for (int32_t k = 0; k <= n_classes; k++)
        add(&t->all, &t->classes[k]);
}
