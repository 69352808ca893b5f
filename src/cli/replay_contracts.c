// What each contract was used for, what of it is stranded and what was paid beyond it.

#include "base/units.h"
#include "cli/replay_rows.h"
#include "cli/replay_view.h"

#include <stdio.h>

// What is left over is worth what it would cost beyond the commitment, where that is known.
double replay_stranded_nusd(const struct contract *c, const struct account_drawn *d)
{
    double drawn = d->used + d->beyond;
    if (c->commitment.unit == COMMIT_USD)
        return d->stranded * 1e9;
    if (c->commitment.beyond_nusd_per_unit > 0)
        return d->stranded * c->commitment.beyond_nusd_per_unit;
    return drawn > 0 ? d->stranded * d->list_nusd / drawn : 0;
}

struct replay_commitments replay_commitments(const struct tally *t)
{
    struct replay_commitments all = {0};
    for (int32_t i = 0; i < t->p->n_contracts; i++) {
        const struct account_drawn *d = &t->drawn[i];
        all.stranded_nusd += replay_stranded_nusd(&t->p->contracts[i], d);
        all.beyond_nusd += d->beyond_nusd;
    }
    return all;
}

static const char *const unit_names[] = {[COMMIT_USD] = "USD",
                                         [COMMIT_TOKENS] = "tok",
                                         [COMMIT_ACCELERATOR_HOURS] = "accelerator-h",
                                         [COMMIT_MW_MONTHS] = "MW-months",
                                         [COMMIT_PTU] = "PTU"};

static void add_units(struct cells *r, double v)
{
    snprintf(cells_next(r), CELL_BYTES, v == 0 ? "-" : "%.6g", v);
}

static void contract_row(struct columns *c, const struct replay_view *v, const struct tally *t,
                         int32_t contract)
{
    const struct contract *k = &v->p->contracts[contract];
    const struct account_drawn *d = &t->drawn[contract];
    int64_t answered = 0, tok = 0, nusd = 0;
    for (int32_t i = 0; i < v->p->n_pools; i++) {
        if (v->p->pools[i].contract != contract)
            continue;
        answered += t->pools[i].answered;
        tok += t->pools[i].prompt_tok + t->pools[i].output_tok;
        nusd += t->pools[i].list_nusd;
    }
    if (!answered && !(k->commitment.amount > 0))
        return;
    struct cells r = {.n = 0};
    cells_add_text(&r, k->name);
    cells_add_count(&r, answered);
    cells_add_count(&r, tok);
    cells_add_usd(&r, (double)nusd);
    cells_add_text(&r,
                   k->commitment.amount > 0 ? str_of(unit_names[k->commitment.unit]) : STR("-"));
    add_units(&r, d->amount);
    add_units(&r, d->used);
    add_units(&r, d->stranded);
    add_units(&r, d->beyond);
    cells_add_usd(&r, replay_stranded_nusd(k, d));
    cells_add_usd(&r, d->beyond_nusd);
    cells_row(c, &r);
}

void replay_contracts_text(struct buf *out, const struct replay_view *v, const struct tally *t)
{
    struct columns c;
    columns_init(&c, v->arena);
    columns_row(&c, "contract", "answered", "tokens", "list", "unit", "prepaid", "used", "stranded",
                "beyond", "stranded $", "beyond $", NULL);
    for (int32_t k = 0; k < v->p->n_contracts; k++)
        contract_row(&c, v, t, k);
    if (c.first != c.last)
        table_print(out, &c, 1 | 1 << 4);
}

// Where the trace begins within a period: what is taken of the part before.
void replay_begun_text(struct buf *out, const struct replay_view *v)
{
    for (int32_t i = 0; i < v->p->n_contracts; i++) {
        const struct account_begun *b = &v->runs[0]->begun[i];
        char from[UNIT_TEXT], until[UNIT_TEXT];
        if (!b->said && !(b->gone > 0))
            continue;
        buf_printf(out, STR_FMT ": %.1f%% of its commitment is used when the trace begins",
                   STR_ARG(v->p->contracts[i].name), 100 * b->used);
        if (b->gone > 0)
            buf_printf(out, ", %.1f%% into its period of %s to %s", 100 * b->gone,
                       unit_text_date(from, b->from_us), unit_text_date(until, b->until_us));
        buf_printf(out, "%s\n", b->said ? ", as said" : ": an even pace; --used says otherwise");
    }
}
