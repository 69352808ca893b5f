// Two suppliers beside each other: how much faster, how much dearer.

#include "cli/bench_view.h"
#include "cli/columns.h"

bool bench_ratio_of(struct bench_ratio *out, const struct bench_view *v, const struct row *a)
{
    struct rng rng;
    const struct sweep *other = &v->sides[1].sweep;
    rng_seed(&rng, (uint64_t)v->options->seed);
    for (int32_t i = 0; i < other->n; i++) {
        const struct row *b = &other->rows[i];
        if (b->users != a->users || b->rate_per_s != a->rate_per_s || b->warm != a->warm ||
            b->prompt_asked != a->prompt_asked || b->output_asked != a->output_asked)
            continue;
        if (a->n == 0 || b->n == 0)
            return false;
        *out = (struct bench_ratio){.a = a, .b = b};
        out->ttft = ratio_of(a->ttft, a->n, b->ttft, b->n, &rng);
        out->speed = ratio_of(a->per_token, a->n, b->per_token, b->n, &rng);
        double first = row_usd_per_mtok(a, &v->options->sides[0].price);
        double second = row_usd_per_mtok(b, &v->options->sides[1].price);
        if (first > 0)
            out->price = second / first;
        return true;
    }
    return false;
}

static bool same_length(const struct row *a, const struct row *b)
{
    return a->warm == b->warm && a->prompt_asked == b->prompt_asked &&
           a->output_asked == b->output_asked;
}

void bench_equals(const struct bench_view *v,
                  void (*each)(void *ctx, const struct row *like, const struct equal *q), void *ctx)
{
    const struct sweep *first = &v->sides[0].sweep;
    struct equal_side sides[EQUAL_SIDES];
    for (int32_t i = 0; i < EQUAL_SIDES; i++)
        sides[i] = (struct equal_side){.rows = v->sides[i].sweep.rows,
                                       .n = v->sides[i].sweep.n,
                                       .tariff = v->options->sides[i].price};
    for (int32_t i = 0; i < first->n; i++) {
        struct equal q;
        int32_t before = 0;
        while (before < i && !same_length(&first->rows[before], &first->rows[i]))
            before++;
        if (before == i && equal_of(&q, sides, &first->rows[i]))
            each(ctx, &first->rows[i], &q);
    }
}

// --- text -------------------------------------------------------------------------------------

static struct str times_cell(struct arena *a, double v)
{
    return v > 0 ? arena_printf(a, "%.2fx", v) : STR("-");
}

static void ratio_row(struct columns *c, const struct row *r, const struct bench_ratio *x)
{
    struct arena *a = c->arena;
    const struct str cells[] = {
        r->users ? arena_printf(a, "%d", r->users) : arena_printf(a, "%.4g/s", r->rate_per_s),
        r->warm ? STR("warm") : STR("cold"),
        arena_printf(a, "%d", r->prompt_asked),
        arena_printf(a, "%d", r->output_asked),
        times_cell(a, x->ttft.value),
        arena_printf(a, "%.2f-%.2f", x->ttft.low, x->ttft.high),
        times_cell(a, x->speed.value),
        arena_printf(a, "%.2f-%.2f", x->speed.low, x->speed.high),
        times_cell(a, x->price),
        times_cell(a, x->speed.value > 0 ? x->price / x->speed.value : 0),
    };
    columns_row_str(c, cells, COUNTOF(cells));
}

struct prices {
    struct columns columns;
    struct buf *notes;
    bool any;
};

static void equal_rows(void *ctx, const struct row *like, const struct equal *q)
{
    struct prices *p = ctx;
    struct arena *a = p->columns.arena;
    if (q->n == 0)
        buf_printf(p->notes,
                   "  note          prompt %d, answer %d: no speed was measured of both: the first "
                   "has %.4g to %.4g tok/s a user, the second %.4g to %.4g\n",
                   like->prompt_asked, like->output_asked, q->from_tok_s[0], q->to_tok_s[0],
                   q->from_tok_s[1], q->to_tok_s[1]);
    for (int32_t i = 0; i < q->n; i++) {
        const double *usd = q->at[i].usd_per_mtok;
        if (!(usd[0] > 0 && usd[1] > 0))
            return;
        const struct str cells[] = {
            like->warm ? STR("warm") : STR("cold"),
            arena_printf(a, "%d", like->prompt_asked),
            arena_printf(a, "%d", like->output_asked),
            arena_printf(a, "%.4g", q->at[i].tok_s),
            arena_printf(a, "$%.4g", usd[0]),
            arena_printf(a, "$%.4g", usd[1]),
            times_cell(a, usd[1] / usd[0]),
        };
        columns_row_str(&p->columns, cells, COUNTOF(cells));
        p->any = true;
    }
}

static bool prices_known(const struct bench_view *v)
{
    for (int32_t i = 0; i < v->options->n_sides; i++) {
        const struct tariff *t = &v->options->sides[i].price;
        if (!t->listed && !(t->usd_per_h > 0))
            return false;
    }
    return true;
}

static void prices_at_equal_speed(struct buf *out, const struct bench_view *v)
{
    struct buf notes;
    struct prices p = {.notes = &notes};
    buf_init(&notes, SIZE_MAX / 2);
    columns_init(&p.columns, v->arena);
    columns_row(&p.columns, "prefix", "prompt", "answer", "tok/s a user", "the first", "the second",
                "second", NULL);
    bench_equals(v, equal_rows, &p);
    buf_lit(out, "\nprice of a million tokens, prompt and answer together, at equal speed\n");
    if (!p.any && !buf_len(&notes))
        buf_lit(&notes, "  note          one of the two has no level that is not saturated\n");
    if (p.any)
        columns_print(&p.columns, out, 2, 0x7e);
    buf_printf(out, STR_FMT, STR_ARG(buf_str(&notes)));
    buf_release(&notes);
}

void bench_comparison_text(struct buf *out, const struct bench_view *v)
{
    struct columns c;
    columns_init(&c, v->arena);
    columns_row(&c, "users", "prefix", "prompt", "answer", "ttft", "95 %", "tok/s a user", "95 %",
                "price", "price/speed", NULL);
    for (int32_t i = 0; i < v->sides[0].sweep.n; i++) {
        struct bench_ratio x;
        const struct row *r = &v->sides[0].sweep.rows[i];
        if (bench_ratio_of(&x, v, r))
            ratio_row(&c, r, &x);
    }
    buf_lit(out, "\nhow many times faster and dearer the second is\n");
    columns_print(&c, out, 2, 0x3fd);
    if (prices_known(v))
        prices_at_equal_speed(out, v);
}
