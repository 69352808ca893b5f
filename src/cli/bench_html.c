// What was measured as one page with charts.

#include "cli/bench_view.h"
#include "cli/charts.h"
#include "cli/page.h"

enum { REPORT_MAX = 64 << 20 };

void bench_html(struct buf *out, const struct bench_view *v)
{
    struct str page = {(const char *)bench_page, bench_page_size};
    struct buf report;
    buf_init(&report, REPORT_MAX);
    bench_json(&report, v);
    page_begin(out, page, buf_str(&report));
    page_end(out, page);
    buf_release(&report);
}
