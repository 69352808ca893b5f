#include "cli/bench_view.h"

#include "base/units.h"

static void models(struct buf *out, const struct bench_view *v)
{
    buf_lit(out, "models:\n");
    for (int32_t i = 0; i < v->options->n_sides; i++) {
        struct str model = v->options->sides[i].model;
        if (i && str_eq(model, v->options->sides[0].model))
            continue;
        buf_lit(out, "  ");
        buf_add_json(out, model);
        buf_lit(out, ": {}\n");
    }
}

static void point(struct buf *out, const struct bench_side *side, const struct point *pt)
{
    buf_lit(out, "      - {model: ");
    buf_add_json(out, side->model);
    if (side->accelerators > 1)
        buf_printf(out, ", chips: %d", side->accelerators);
    buf_printf(out, ", batch: %.4g, per_user: %.6g tok/s", pt->batch, pt->per_user_tok_s);
    if (pt->ttft_us > 0)
        buf_printf(out, ", prompt: %.0f tok, ttft: %lld us", pt->prompt_tok,
                   (long long)pt->ttft_us);
    if (pt->power_w > 0)
        buf_printf(out, ", power: %.6g W", pt->power_w);
    buf_printf(out, ", basis: %s}\n", basis_name(pt->basis));
}

static void chip(struct buf *out, const struct bench_view *v, int32_t i)
{
    char date[UNIT_TEXT];
    const struct bench_side *side = &v->options->sides[i];
    const struct bench_side_view *s = &v->sides[i];
    buf_printf(out, "  measured-%d:\n    source: ", i + 1);
    struct str source =
        arena_printf(v->arena, "caudal bench " STR_FMT ", %s%s%s", STR_ARG(side->url_text),
                     unit_text_date(date, v->wall_us), s->sweep.power ? "; power of " : "",
                     s->sweep.power ? s->meter.basis : "");
    buf_add_json(out, source);
    if (s->sweep.idle_w > 0)
        buf_printf(out, "\n    idle: %.6g W", s->sweep.idle_w / side->accelerators);
    buf_lit(out, "\n    points:");
    if (s->service.prefill_split)
        buf_lit(out, "  # one length of prompt: what each token of it costs is an assumption");
    buf_lit(out, "\n");
    for (int32_t k = 0; k < s->n_points; k++)
        point(out, side, &s->points[k]);
}

static void pool(struct buf *out, const struct bench_side *side, int32_t i)
{
    buf_printf(out, "  pool-%d:\n    api: openai\n    url: ", i + 1);
    buf_add_json(out, side->url_text);
    if (side->key.n)
        buf_lit(out, "\n    key: \"${CAUDAL_KEY}\"");
    buf_printf(out, "\n    chip: measured-%d", i + 1);
    if (side->accelerators > 1)
        buf_printf(out, "\n    chips: %d", side->accelerators);
    buf_lit(out, "\n    serves:\n      ");
    buf_add_json(out, side->model);
    if (side->price.listed)
        buf_printf(out, ": {price: {input: %.10g USD/Mtok, output: %.10g USD/Mtok}}\n",
                   side->price.input_nusd_per_tok / 1e3, side->price.output_nusd_per_tok / 1e3);
    else
        buf_lit(out, ": {}\n");
}

void bench_yaml(struct buf *out, const struct bench_view *v)
{
    buf_lit(
        out,
        "# Operating points measured by caudal bench. Saturated levels and warm prefixes are left "
        "out;\n# a ttft is told where one user was alone.\ncaudal: 1\n");
    models(out, v);
    buf_lit(out, "chips:\n");
    for (int32_t i = 0; i < v->options->n_sides; i++)
        if (v->sides[i].n_points)
            chip(out, v, i);
    buf_lit(out, "pools:\n");
    for (int32_t i = 0; i < v->options->n_sides; i++)
        if (v->sides[i].n_points)
            pool(out, &v->options->sides[i], i);
}

static void csv_cell(struct buf *out, struct str text)
{
    buf_lit(out, "\"");
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] != '"' && (unsigned char)text.p[i] >= ' ')
            buf_add(out, text.p + i, 1);
    buf_lit(out, "\",");
}

void bench_csv(struct buf *out, const struct bench_view *v)
{
    buf_lit(
        out,
        "model_path,system,isl,osl,batch_size,silicon_ttft_ms,silicon_tpot_ms,left_out,users\n");
    for (int32_t i = 0; i < v->options->n_sides; i++)
        for (int32_t k = 0; k < v->sides[i].sweep.n; k++) {
            const struct row *r = &v->sides[i].sweep.rows[k];
            csv_cell(out, v->options->sides[i].model);
            csv_cell(out, v->options->sides[i].url_text);
            buf_printf(out, "%.6g,%.6g,%.6g,%.6g,%.6g,%s,%d\n",
                       r->counted ? r->prompt_tok - r->cached_tok : r->prompt_asked, r->output_tok,
                       r->batch > 1 ? r->batch : 1, r->ttft_us.value / 1e3,
                       r->per_token_us.value / 1e3, measured_out_name(row_out(r)), r->users);
        }
}
