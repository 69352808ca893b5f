#include "cli/ctl_view.h"

#include "cli/columns.h"
#include "wire/json.h"

enum { VIEW_BYTES_MAX = 64 << 20 };

static struct str text_of(struct arena *a, struct str object, struct json_span span)
{
    size_t n, size = json_string_bytes(object, span) + 1;
    char *text = arena_take(a, size);
    return text && json_string(object, span, text, size, &n) ? (struct str){text, n} : STR("?");
}

// A list of {"from", "until"} on one line.
static struct str windows(struct arena *a, struct str list)
{
    struct buf text;
    struct json_walk w;
    buf_init(&text, VIEW_BYTES_MAX);
    for (json_walk(&w, list); json_step(&w);) {
        struct json_span from, until;
        struct str window = json_slice(w.text, w.value);
        if (!json_get(window, STR("from"), &from) || !json_get(window, STR("until"), &until))
            continue;
        buf_join(&text, buf_len(&text) ? STR(", ") : STR(""), text_of(a, window, from), STR(" to "),
                 text_of(a, window, until));
    }
    struct str copy = arena_str(a, buf_str(&text));
    buf_release(&text);
    return copy;
}

// The member of an object as a person reads it: text without quotes, anything else as it stands;
// "-" where it is not said.
static struct str cell(struct arena *a, struct str object, const char *name)
{
    struct json_span span;
    if (!json_get(object, str_of(name), &span))
        return STR("-");
    if (span.kind == JSON_TRUE || span.kind == JSON_FALSE)
        return span.kind == JSON_TRUE ? STR("yes") : STR("no");
    if (strcmp(name, "maintenance") == 0)
        return windows(a, json_slice(object, span));
    if (span.kind != JSON_STRING)
        return json_slice(object, span);
    return text_of(a, object, span);
}

// The list under `name` as a table with these members as its columns.
static int32_t table(struct buf *out, struct str json, const char *name, const char *const *members,
                     int32_t n, uint32_t right)
{
    struct json_span span;
    struct json_walk w;
    struct arena a;
    struct columns c;
    struct str cells[COLUMNS_MAX];
    int32_t rows = 0;
    arena_init(&a, VIEW_BYTES_MAX);
    columns_init(&c, &a);
    for (int32_t i = 0; i < n; i++)
        cells[i] = str_of(members[i]);
    columns_row_str(&c, cells, n);
    bool there = json_get(json, str_of(name), &span) && json_walk(&w, json_slice(json, span));
    for (; there && json_step(&w); rows++) {
        struct str object = json_slice(w.text, w.value);
        for (int32_t i = 0; i < n; i++)
            cells[i] = cell(&a, object, members[i]);
        columns_row_str(&c, cells, n);
    }
    if (rows)
        columns_print(&c, out, 0, right);
    arena_release(&a);
    return rows;
}

static void line(struct buf *out, struct str json, const char *const *members, int32_t n)
{
    struct arena a;
    arena_init(&a, VIEW_BYTES_MAX);
    for (int32_t i = 0; i < n; i++)
        buf_join(out, i ? STR("  ") : STR(""), str_of(members[i]), STR(" "),
                 cell(&a, json, members[i]));
    buf_lit(out, "\n");
    arena_release(&a);
}

void ctl_view_status(struct buf *out, struct str json)
{
    static const char *const all[] = {"version", "pid",      "up_s",    "generation",
                                      "clients", "requests", "streams", "waiting"};
    static const char *const pools[] = {"name",         "state",        "ready", "in_flight",
                                        "breaker_open", "cooling",      "sent",  "failed",
                                        "ttft_ms",      "per_token_ms", "share"};
    line(out, json, all, COUNTOF(all));
    table(out, json, "pools", pools, COUNTOF(pools), 0x7c8);
}

void ctl_view_requests(struct buf *out, struct str json)
{
    static const char *const members[] = {"id",    "state", "age_s",  "tenant",  "model",
                                          "class", "pool",  "stream", "attempts"};
    if (!table(out, json, "requests", members, COUNTOF(members), 0x104))
        buf_lit(out, "none in flight\n");
}

void ctl_view_levers(struct buf *out, struct str json)
{
    static const char *const pools[] = {"pool",   "state", "weight",
                                        "derate", "share", "maintenance"};
    static const char *const sites[] = {"site", "cap_w"};
    int32_t n = table(out, json, "pools", pools, COUNTOF(pools), 0);
    n += table(out, json, "sites", sites, COUNTOF(sites), 0);
    if (!n)
        buf_lit(out, "all as the portfolio says\n");
}

void ctl_view_reload(struct buf *out, struct str json)
{
    static const char *const members[] = {"generation", "pools",         "models",  "tenants",
                                          "ms",         "needs_restart", "warnings"};
    line(out, json, members, COUNTOF(members));
}
