#include "cli/bench_view.h"

static void figure(struct buf *out, const char *name, struct figure f)
{
    buf_printf(out, ",\"%s\":{\"value\":%.10g,\"low\":%.10g,\"high\":%.10g}", name, f.value, f.low,
               f.high);
}

static void price_json(struct buf *out, const struct row *r, const struct tariff *t)
{
    double usd = row_usd_per_mtok(r, t);
    if (usd > 0)
        buf_printf(out, ",\"usd_per_mtok\":%.10g", usd);
}

static void row_json(struct buf *out, const struct row *r, const struct tariff *t)
{
    if (r->users)
        buf_printf(out, "{\"users\":%d", r->users);
    else
        buf_printf(out, "{\"rate_per_s\":%.10g", r->rate_per_s);
    buf_printf(out,
               ",\"prefix\":\"%s\",\"prompt_asked\":%d,\"output_asked\":%d,\"prompt_tok\":%.10g,"
               "\"cached_tok\":%.10g,\"output_tok\":%.10g,\"counted\":%s,\"requests\":%d,"
               "\"errors\":%d,\"saturated\":%s,\"partial\":%s,\"batch\":%.10g",
               r->warm ? "warm" : "cold", r->prompt_asked, r->output_asked, r->prompt_tok,
               r->cached_tok, r->output_tok, r->counted ? "true" : "false", r->n, r->errors,
               r->saturated ? "true" : "false", r->partial ? "true" : "false", r->batch);
    figure(out, "ttft_us", r->ttft_us);
    figure(out, "per_token_us", r->per_token_us);
    figure(out, "throughput_tok_s", r->throughput_tok_s);
    buf_printf(out,
               ",\"ttft_p90_us\":%.10g,\"ttft_p99_us\":%.10g,\"per_token_p99_us\":%.10g,"
               "\"total_p50_us\":%.10g,\"total_p99_us\":%.10g,\"gap_p50_us\":%.10g,"
               "\"gap_p99_us\":%.10g",
               r->ttft_p90_us, r->ttft_p99_us, r->per_token_p99_us, r->total_p50_us,
               r->total_p99_us, r->gap_p50_us, r->gap_p99_us);
    price_json(out, r, t);
    bench_energy_json(out, &r->energy);
    if (r->why[0]) {
        buf_lit(out, ",\"first_error\":");
        buf_add_json(out, str_of(r->why));
    }
    buf_lit(out, "}");
}

static void service_json(struct buf *out, const struct service *m)
{
    buf_printf(out,
               ",\"service\":{\"step_us\":%.10g,\"step_us_per_seq\":%.10g,\"prefill_us\":%.10g,"
               "\"prefill_us_per_tok\":%.10g,\"prefill_us_per_tok2\":%.10g,"
               "\"prefill_split_assumed\":%s,\"slots\":%d,\"why\":",
               m->step_us, m->step_us_per_seq, m->prefill_us, m->prefill_us_per_tok,
               m->prefill_us_per_tok2, m->prefill_split ? "true" : "false", m->slots);
    buf_add_json(out, str_of(m->why));
    buf_lit(out, "}");
}

static void side_json(struct buf *out, const struct bench_view *v, int32_t side_number)
{
    const struct bench_side *side = &v->options->sides[side_number];
    const struct bench_side_view *s = &v->sides[side_number];
    buf_lit(out, "{\"url\":");
    buf_add_json(out, side->url_text);
    buf_lit(out, ",\"model\":");
    buf_add_json(out, side->model);
    buf_printf(out,
               ",\"spent_tok\":%.10g,\"spent_nusd\":%.10g,\"stopped_by_bound\":%s,"
               "\"bytes_per_token\":%.10g,\"tokens_counted\":%s",
               s->sweep.purse.spent_tok, s->sweep.purse.spent_nusd,
               s->sweep.out_of_tokens ? "true" : "false", s->sweep.scale.bytes_per_tok,
               s->sweep.scale.known ? "true" : "false");
    buf_printf(out, ",\"accelerators\":%d", side->accelerators);
    bench_power_json(out, v, side_number);
    if (s->n_points)
        service_json(out, &s->service);
    buf_lit(out, ",\"rows\":[");
    for (int32_t i = 0; i < s->sweep.n; i++) {
        if (i)
            buf_lit(out, ",");
        row_json(out, &s->sweep.rows[i], &side->price);
    }
    buf_lit(out, "]}");
}

static void ratios_json(struct buf *out, const struct bench_view *v)
{
    bool any = false;
    buf_lit(out, ",\"second_is_faster\":[");
    for (int32_t i = 0; i < v->sides[0].sweep.n; i++) {
        struct bench_ratio x;
        const struct row *r = &v->sides[0].sweep.rows[i];
        if (!bench_ratio_of(&x, v, r))
            continue;
        buf_printf(out,
                   "%s{\"users\":%d,\"rate_per_s\":%.10g,\"prefix\":\"%s\",\"prompt_asked\":%d,"
                   "\"output_asked\":%d",
                   any ? "," : "", r->users, r->rate_per_s, r->warm ? "warm" : "cold",
                   r->prompt_asked, r->output_asked);
        figure(out, "ttft", x.ttft);
        figure(out, "speed", x.speed);
        if (x.price > 0)
            buf_printf(out, ",\"price\":%.10g,\"price_over_speed\":%.10g", x.price,
                       x.price / x.speed.value);
        buf_lit(out, "}");
        any = true;
    }
    buf_lit(out, "]");
}

struct equals {
    struct buf *out;
    bool any;
};

static void equal_json(void *ctx, const struct row *like, const struct equal *q)
{
    struct equals *e = ctx;
    buf_printf(
        e->out,
        "%s{\"prefix\":\"%s\",\"prompt_asked\":%d,\"output_asked\":%d,\"measured_tok_s\":[[%.10g,"
        "%.10g],[%.10g,%.10g]],\"speeds\":[",
        e->any ? "," : "", like->warm ? "warm" : "cold", like->prompt_asked, like->output_asked,
        q->from_tok_s[0], q->to_tok_s[0], q->from_tok_s[1], q->to_tok_s[1]);
    for (int32_t i = 0; i < q->n; i++)
        buf_printf(e->out,
                   "%s{\"tok_s\":%.10g,\"throughput_tok_s\":[%.10g,%.10g],\"usd_per_mtok\":[%.10g,"
                   "%.10g]}",
                   i ? "," : "", q->at[i].tok_s, q->at[i].throughput_tok_s[0],
                   q->at[i].throughput_tok_s[1], q->at[i].usd_per_mtok[0],
                   q->at[i].usd_per_mtok[1]);
    buf_lit(e->out, "]}");
    e->any = true;
}

static void comparison_json(struct buf *out, const struct bench_view *v)
{
    struct equals e = {.out = out};
    ratios_json(out, v);
    buf_lit(out, ",\"equal_speed\":[");
    bench_equals(v, equal_json, &e);
    buf_lit(out, "]");
}

void bench_json(struct buf *out, const struct bench_view *v)
{
    buf_printf(out, "{\"measured_at_us\":%lld,\"stopped\":%s,\"suppliers\":[",
               (long long)v->wall_us, v->stopped ? "true" : "false");
    for (int32_t i = 0; i < v->options->n_sides; i++) {
        if (i)
            buf_lit(out, ",");
        side_json(out, v, i);
    }
    buf_lit(out, "]");
    if (v->options->n_sides == 2)
        comparison_json(out, v);
    buf_lit(out, "}\n");
}
