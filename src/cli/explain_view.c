#include "cli/explain_view.h"

#include "base/units.h"
#include "cli/columns.h"
#include "cli/receipt.h"
#include "wire/json.h"

enum { VIEW_BYTES_MAX = 16 << 20, CELL_BYTES = 256 };

// The text of a member: unescaped, or as it stands; empty where it is absent or null.
static struct str text_of(struct arena *a, struct str object, const char *name)
{
    struct json_span s;
    struct buf shown;
    char raw[CELL_BYTES];
    if (!json_get(object, str_of(name), &s) || s.kind == JSON_NULL)
        return (struct str){0};
    buf_init(&shown, 4 * CELL_BYTES);
    if (s.kind == JSON_STRING)
        add_shown(&shown, (struct str){raw, json_string_cut(object, s, raw, sizeof raw)});
    else
        add_shown(&shown, json_slice(object, s));
    struct str copy = arena_str(a, buf_str(&shown));
    buf_release(&shown);
    return copy;
}

static double number_of(struct str object, const char *name)
{
    struct json_span s;
    double v;
    return json_get(object, str_of(name), &s) && json_double(object, s, &v) ? v : -1;
}

static struct str part_of(struct str object, const char *name)
{
    struct json_span s;
    return json_get(object, str_of(name), &s) ? json_slice(object, s) : STR("{}");
}

static struct str or_none(struct str text)
{
    return text.n ? text : STR("-");
}

// Money of one call in millionths of a dollar: 0.26, 260.2, 15300.
static struct str micro_usd(struct arena *a, struct str object, const char *name)
{
    double v = 1e6 * number_of(object, name);
    return v == 0 ? STR("0") : arena_printf(a, "%.*f", v < 1 ? 3 : v < 1000 ? 1 : 0, v);
}

static struct str ms(struct arena *a, struct str object, const char *name)
{
    double v = number_of(object, name);
    return arena_printf(a, "%.*f", v < 10 ? 2 : 0, v);
}

// "its breaker is open, for 3.2 s"
static struct str bar(struct arena *a, struct str candidate)
{
    struct str why = text_of(a, candidate, "bar");
    double until_ms = number_of(candidate, "until_ms");
    char time[UNIT_TEXT];
    if (!why.n)
        return STR("yes");
    if (until_ms < 0)
        return why;
    return arena_printf(a, STR_FMT ", for %s", STR_ARG(why),
                        unit_text_us(time, (int64_t)(until_ms * 1e3)));
}

static struct str contract(struct arena *a, struct str candidate)
{
    struct str name = text_of(a, candidate, "contract");
    if (!name.n)
        return STR("-");
    struct str by = text_of(a, candidate, "priced_by");
    double share = 100 * number_of(candidate, "pace");
    if (!str_eq(by, STR("demand")))
        return arena_printf(a, STR_FMT " at %.0f %%, by " STR_FMT, STR_ARG(name), share,
                            STR_ARG(by));
    char age[UNIT_TEXT];
    return arena_printf(a, STR_FMT " at %.0f %%, by demand %s ago", STR_ARG(name), share,
                        unit_text_us(age, (int64_t)(number_of(candidate, "priced_age_ms") * 1e3)));
}

// What is a column only where some candidate has any of it.
struct seldom {
    bool carbon, cached;
};

static struct seldom seldom_of(struct str json)
{
    struct seldom s = {false, false};
    struct json_walk w;
    json_walk(&w, part_of(json, "candidates"));
    while (json_step(&w)) {
        struct str one = json_slice(w.text, w.value);
        s.carbon = s.carbon || number_of(part_of(one, "usd"), "carbon") > 0;
        s.cached = s.cached || number_of(one, "cached_tok") > 0;
    }
    return s;
}

static void add_header(struct columns *c, struct seldom s)
{
    columns_row(c, "", "pool", "model", "total", "list", s.carbon ? "energy+carbon" : "energy",
                "first", "tokens", "ttft ms", "token ms", "times", "speed", "in flight",
                "commitment", s.cached ? "cached tok" : "may have it",
                s.cached ? "may have it" : NULL, NULL);
}

static struct str energy(struct arena *a, struct str usd, struct seldom s)
{
    struct str energy = micro_usd(a, usd, "energy"), carbon = micro_usd(a, usd, "carbon");
    return s.carbon ? arena_printf(a, STR_FMT "+" STR_FMT, STR_ARG(energy), STR_ARG(carbon))
                    : energy;
}

static void add_candidate(struct columns *c, struct arena *a, struct str one, struct seldom s)
{
    struct str usd = part_of(one, "usd"), limit = text_of(a, one, "in_flight_limit");
    struct str may = bar(a, one);
    struct str cells[] = {
        str_eq(text_of(a, one, "chosen"), STR("true")) ? STR(">") : STR(""),
        text_of(a, one, "pool"),
        text_of(a, one, "model"),
        micro_usd(a, usd, "total"),
        micro_usd(a, usd, "list"),
        energy(a, usd, s),
        micro_usd(a, usd, "wait_ttft"),
        micro_usd(a, usd, "wait_tokens"),
        ms(a, one, "ttft_ms"),
        ms(a, one, "per_token_ms"),
        text_of(a, one, "times"),
        str_eq(text_of(a, one, "beyond_measured"), STR("true"))
            ? arena_printf(a, STR_FMT ", beyond", STR_ARG(text_of(a, one, "speed")))
            : text_of(a, one, "speed"),
        arena_printf(a, STR_FMT "%s" STR_FMT, STR_ARG(text_of(a, one, "in_flight")),
                     limit.n ? "/" : "", STR_ARG(limit)),
        contract(a, one),
        s.cached ? text_of(a, one, "cached_tok") : may,
        may,
    };
    columns_row_str(c, cells, COUNTOF(cells) - !s.cached);
}

static void add_head(struct buf *out, struct arena *a, struct str json)
{
    struct str d = part_of(json, "decision"), pool = text_of(a, d, "pool");
    struct str most = text_of(a, json, "output_tok_max");
    struct str to =
        pool.n ? arena_printf(a, "send to " STR_FMT, STR_ARG(pool)) : text_of(a, d, "verdict");
    double until_ms = number_of(d, "until_ms");
    char time[UNIT_TEXT];
    buf_join(out, STR("request   "), text_of(a, json, "model"), STR(", class "),
             or_none(text_of(a, json, "class")), STR(", tenant "),
             or_none(text_of(a, json, "tenant")), STR(", "), text_of(a, json, "prompt_tok"),
             STR(" tokens in, "), text_of(a, json, "output_tok"), STR(" out"));
    if (!str_eq(most, STR("0")))
        buf_join(out, STR(", at most "), most);
    buf_join(out, STR("\nat        "), text_of(a, json, "at"), STR(", policy "),
             text_of(a, json, "policy"), STR("\ndecision  "), to, STR(": "), text_of(a, d, "why"));
    if (until_ms >= 0)
        buf_printf(out, ", for %s", unit_text_us(time, (int64_t)(until_ms * 1e3)));
    buf_lit(out, "\n");
}

// "tenant app: 3 of 60 requests", a line for each limit.
static void add_limits(struct buf *out, struct arena *a, struct str json)
{
    struct json_walk w;
    json_walk(&w, part_of(json, "limits"));
    for (bool first = true; json_step(&w); first = false) {
        struct str one = json_slice(w.text, w.value);
        buf_join(out, first ? STR("limits    ") : STR("          "), text_of(a, one, "who"),
                 STR(": "), text_of(a, one, "used"), STR(" of "), text_of(a, one, "limit"),
                 STR(" "), text_of(a, one, "what"), STR("\n"));
    }
}

void explain_view(struct buf *out, struct str json)
{
    struct arena a;
    struct columns c;
    struct json_walk w;
    int32_t n = 0;
    arena_init(&a, VIEW_BYTES_MAX);
    columns_init(&c, &a);
    add_head(out, &a, json);
    add_limits(out, &a, json);
    const struct seldom s = seldom_of(json);
    add_header(&c, s);
    json_walk(&w, part_of(json, "candidates"));
    for (; json_step(&w); n++)
        add_candidate(&c, &a, json_slice(w.text, w.value), s);
    buf_lit(out, "\n");
    if (n) {
        columns_print(&c, out, 0, s.cached ? 0x53f8 : 0x13f8);
        buf_printf(out,
                   "\ntotal = list + energy%s + waiting for the first token and for the others, "
                   "in millionths of a USD;\na commitment stands at its share of the price beyond "
                   "it\n",
                   s.carbon ? " + carbon" : "");
    } else {
        buf_lit(out, "nobody serves it\n");
    }
    arena_release(&a);
}
