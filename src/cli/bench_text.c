#include "cli/bench_view.h"

#include "base/units.h"
#include "cli/columns.h"
#include "cli/receipt.h"

// --- cells ------------------------------------------------------------------------------------

static struct str time_cell(struct arena *a, double us)
{
    char text[UNIT_TEXT];
    return us > 0 ? arena_str(a, str_of(unit_text_us(text, (int64_t)(us + 0.5)))) : STR("-");
}

// Of a sum.
static struct str part_cell(struct arena *a, double us)
{
    return us > 0 ? time_cell(a, us) : STR("0");
}

// "12.1 ms +3 -2%": how far the interval goes to each side, in percent of the figure.
static struct str figure_cell(struct arena *a, struct figure f, struct str value)
{
    if (!(f.value > 0))
        return STR("-");
    return arena_printf(a, STR_FMT " -%.0f+%.0f%%", STR_ARG(value),
                        100 * (f.value - f.low) / f.value, 100 * (f.high - f.value) / f.value);
}

static struct str number_cell(struct arena *a, double v)
{
    return v > 0 ? arena_printf(a, v < 10 ? "%.2f" : v < 1000 ? "%.1f" : "%.0f", v) : STR("-");
}

static struct str load_cell(struct arena *a, const struct row *r)
{
    return r->users ? arena_printf(a, "%d", r->users) : arena_printf(a, "%.4g/s", r->rate_per_s);
}

static void table_row(struct columns *c, const struct row *r)
{
    struct arena *a = c->arena;
    double speed = r->per_token_us.value > 0 ? 1e6 / r->per_token_us.value : 0;
    const struct str cells[] = {
        load_cell(a, r),
        r->warm ? STR("warm") : STR("cold"),
        r->counted ? arena_printf(a, "%.0f", r->prompt_tok)
                   : arena_printf(a, "~%d", r->prompt_asked),
        arena_printf(a, r->counted ? "%.0f" : "~%.0f", r->output_tok),
        arena_printf(a, "%d", r->n),
        arena_printf(a, "%d", r->errors),
        figure_cell(a, r->ttft_us, time_cell(a, r->ttft_us.value)),
        time_cell(a, r->ttft_p99_us),
        figure_cell(a, r->per_token_us, time_cell(a, r->per_token_us.value)),
        time_cell(a, r->gap_p99_us),
        number_cell(a, speed),
        number_cell(a, r->throughput_tok_s.value),
        number_cell(a, r->batch),
        time_cell(a, r->total_p50_us),
        r->partial     ? STR("cut off")
        : r->saturated ? STR("saturated")
                       : STR(""),
    };
    columns_row_str(c, cells, COUNTOF(cells));
}

static void table(struct buf *out, struct arena *a, const struct sweep *s)
{
    struct columns c;
    columns_init(&c, a);
    columns_row(&c, "users", "prefix", "prompt", "answer", "n", "errors", "ttft", "p99",
                "per token", "gap p99", "tok/s", "tok/s all", "batch", "total", "", NULL);
    for (int32_t i = 0; i < s->n; i++)
        table_row(&c, &s->rows[i]);
    columns_print(&c, out, 2, 0x3ffd);
}

// --- below the table --------------------------------------------------------------------------

static void faults(struct buf *out, const struct sweep *s)
{
    for (int32_t i = 0; i < s->n; i++)
        if (s->rows[i].why[0]) {
            buf_lit(out, "  first error   ");
            add_shown(out, str_of(s->rows[i].why));
            buf_lit(out, "\n");
            return;
        }
}

static void notes(struct buf *out, struct arena *a, const struct bench_side_view *s)
{
    const struct service *m = &s->service;
    if (s->n_points) {
        buf_printf(out,
                   "  decode step   " STR_FMT " + " STR_FMT " for each sequence in the batch\n",
                   STR_ARG(part_cell(a, m->step_us)), STR_ARG(part_cell(a, m->step_us_per_seq)));
        double each_us = m->prefill_us_per_tok;  // often below one
        struct str each =
            each_us < 1000 ? arena_printf(a, "%.4g us", each_us) : time_cell(a, each_us);
        buf_printf(out, "  prefill       " STR_FMT " + " STR_FMT " for each token of prompt\n",
                   STR_ARG(part_cell(a, m->prefill_us)), STR_ARG(each));
        buf_printf(out, "  that is       %s, from %d point%s\n", m->why, s->n_points,
                   s->n_points == 1 ? "" : "s");
        if (m->prefill_split)
            buf_lit(out,
                    "  note          --prompt of two lengths would tell what a token of prompt "
                    "costs from what each prompt does\n");
    }
    buf_printf(out, "  spent         %.0f tokens", s->sweep.purse.spent_tok);
    if (s->sweep.purse.spent_nusd > 0) {
        char text[UNIT_TEXT];
        buf_printf(out, ", %s at list price",
                   unit_text_nusd(text, (int64_t)s->sweep.purse.spent_nusd));
    }
    buf_lit(out, "\n");
    faults(out, &s->sweep);
    if (!s->sweep.scale.known)
        buf_lit(
            out,
            "  note          the supplier counts no tokens: four bytes of a prompt, and a piece "
            "of the stream, are taken for one\n");
    if (s->sweep.out_of_tokens)
        buf_lit(out,
                "  note          ended by --tokens or --budget; what follows was not measured\n");
}

void bench_text(struct buf *out, const struct bench_view *v)
{
    for (int32_t i = 0; i < v->options->n_sides; i++) {
        const struct bench_side *side = &v->options->sides[i];
        buf_printf(out, "%s" STR_FMT " of " STR_FMT "\n", i ? "\n" : "", STR_ARG(side->model),
                   STR_ARG(side->url_text));
        table(out, v->arena, &v->sides[i].sweep);
        notes(out, v->arena, &v->sides[i]);
        bench_power_text(out, v, i);
    }
    if (v->options->n_sides == 2)
        bench_comparison_text(out, v);
    if (v->stopped)
        buf_lit(out, "\nstopped before the end: this is what was measured so far\n");
}
