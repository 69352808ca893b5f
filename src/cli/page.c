#include "cli/page.h"

#include "cli/charts.h"

static const char mark[] = "<script>";

static size_t behind_mark(struct str page)
{
    size_t at = 0;
    CHECK(str_find(page, STR(mark), &at));
    return at + sizeof mark - 1;
}

// No text of a strange file ends the script that it stands in.
static void add_script_json(struct buf *out, struct str json)
{
    for (size_t from = 0, i = 0; i <= json.n; i++) {
        if (i < json.n && json.p[i] != '<')
            continue;
        buf_add(out, json.p + from, i - from);
        if (i < json.n)
            buf_lit(out, "\\u003c");
        from = i + 1;
    }
}

void page_begin(struct buf *out, struct str page, struct str report)
{
    buf_add(out, page.p, behind_mark(page));
    buf_add(out, (const char *)chart_js, chart_js_size);
    buf_lit(out, "</script>\n<script>const R=");
    add_script_json(out, report);
}

void page_text(struct buf *out, struct str text)
{
    struct buf quoted;
    buf_init(&quoted, out->limit);
    buf_add_json(&quoted, text);
    add_script_json(out, buf_str(&quoted));
    buf_release(&quoted);
}

void page_end(struct buf *out, struct str page)
{
    buf_lit(out, ";</script>\n<script>");
    buf_add_str(out, str_skip(page, behind_mark(page)));
}
