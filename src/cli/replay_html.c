// One page that needs nothing else: Chart.js, the report as JSON, and what only charts show.

#include "cli/charts.h"
#include "cli/page.h"
#include "cli/replay_view.h"

enum { REPORT_MAX = 64 << 20 };

static const double shares[] = {0,   0.01, 0.02, 0.05, 0.1,  0.15, 0.2,   0.25,  0.3,   0.35,
                                0.4, 0.45, 0.5,  0.55, 0.6,  0.65, 0.7,   0.75,  0.8,   0.85,
                                0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999, 0.9999};

static void add_quantiles(struct buf *out, const struct replay_view *v, const char *name,
                          const struct hist *(*of)(const struct tally *))
{
    buf_printf(out, ",%s:[", name);
    for (int32_t i = 0; i < v->n_runs; i++) {
        const struct hist *h = of(v->runs[i]);
        buf_printf(out, "%s[", i ? "," : "");
        for (size_t k = 0; k < COUNTOF(shares) && h->count; k++)
            buf_printf(out, "%s%lld", k ? "," : "",
                       (long long)(k ? hist_quantile(h, shares[k]) : h->min));
        buf_lit(out, "]");
    }
    buf_lit(out, "]");
}

static const struct hist *ttft_of(const struct tally *t)
{
    return &t->all.times.ttft;
}

static const struct hist *total_of(const struct tally *t)
{
    return &t->all.times.total;
}

static void add_spans(struct buf *out, const struct tally *t)
{
    buf_printf(out, "{span_us:%lld,pools:[", (long long)t->load_span_us);
    for (int32_t i = 0; i < t->p->n_pools; i++) {
        buf_printf(out, "%s[", i ? "," : "");
        int32_t n = (int32_t)(t->ended_us / t->load_span_us) + 1;
        for (int32_t k = 0; k < n && k < TALLY_SPANS; k++)
            buf_printf(out, "%s%.6g", k ? "," : "",
                       t->load[i * TALLY_SPANS + k] / (double)t->load_span_us);
        buf_lit(out, "]");
    }
    buf_lit(out, "]}");
}

void replay_html(struct buf *out, const struct replay_view *v)
{
    struct str page = {(const char *)replay_page, replay_page_size};
    struct buf report;
    buf_init(&report, REPORT_MAX);
    replay_json(&report, v);
    page_begin(out, page, buf_str(&report));
    buf_release(&report);
    buf_lit(out, ";const X={shares:[");
    for (size_t k = 0; k < COUNTOF(shares); k++)
        buf_printf(out, "%s%g", k ? "," : "", shares[k]);
    buf_lit(out, "]");
    add_quantiles(out, v, "ttft", ttft_of);
    add_quantiles(out, v, "total", total_of);
    buf_lit(out, ",spans:[");
    for (int32_t i = 0; i < v->n_runs; i++) {
        buf_printf(out, "%s", i ? "," : "");
        add_spans(out, v->runs[i]);
    }
    buf_lit(out, "],remarks:");
    struct buf remarks;
    buf_init(&remarks, REPORT_MAX);
    replay_remarks_text(&remarks, v);
    page_text(out, buf_str(&remarks));
    buf_release(&remarks);
    buf_lit(out, "}");
    page_end(out, page);
}
