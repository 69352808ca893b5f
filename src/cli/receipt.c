#include "cli/receipt.h"

#include "wire/json.h"

enum { TEXT_BYTES_MAX = 512 };

void add_shown(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        bool c1 = c == 0xc2 && i + 1 < text.n && (unsigned char)text.p[i + 1] < 0xa0;
        if (c1)
            i++;
        else if (c == '\n' || c == '\t' || (c >= ' ' && c != 0x7f))
            buf_add(out, &c, 1);
    }
}

// The member's text as it is shown: a string unescaped, a number as it stands. False: absent or
// null.
static bool member(struct buf *out, struct str object, const char *name, const char *before)
{
    struct json_span s;
    char text[TEXT_BYTES_MAX];
    if (!json_get(object, str_of(name), &s) || s.kind == JSON_NULL)
        return false;
    buf_printf(out, "%s", before);
    if (s.kind == JSON_STRING)
        add_shown(out, (struct str){text, json_string_cut(object, s, text, sizeof text)});
    else
        add_shown(out, json_slice(object, s));
    return true;
}

// Money without the zeros at its end: "0.000063".
static bool amount(struct buf *out, struct str object, const char *name, const char *before)
{
    struct json_span s;
    if (!json_get(object, str_of(name), &s) || s.kind != JSON_NUMBER)
        return false;
    struct str text = json_slice(object, s);
    size_t point;
    if (str_find(text, STR("."), &point))
        while (text.n > point + 2 && text.p[text.n - 1] == '0')
            text.n--;
    buf_printf(out, "%s" STR_FMT, before, STR_ARG(text));
    return true;
}

static bool number(struct str object, const char *name, double *out)
{
    struct json_span s;
    return json_get(object, str_of(name), &s) && json_double(object, s, out);
}

static void add_ms(struct buf *out, const char *before, double ms)
{
    if (ms < 1000)
        buf_printf(out, "%s%.*f ms", before, ms < 10 ? 1 : 0, ms);
    else
        buf_printf(out, "%s%.1f s", before, ms / 1000);
}

static void attempts_line(struct buf *out, struct str json)
{
    struct json_span s;
    struct json_walk w;
    double ms;
    if (!json_get(json, STR("attempts"), &s) || !json_walk(&w, json_slice(json, s)))
        return;
    struct str list = json_slice(json, s);
    const char *before = "  attempts  ";
    while (json_step(&w)) {
        struct str attempt = json_slice(list, w.value);
        member(out, attempt, "pool", before);
        member(out, attempt, "outcome", " ");
        if (number(attempt, "ms", &ms))
            add_ms(out, " in ", ms);
        before = ", then ";
    }
    if (*before == ',')
        buf_lit(out, "\n");
}

static void time_line(struct buf *out, struct str json)
{
    double ttft, rate, total;
    if (!number(json, "ttft_ms", &ttft) || !number(json, "total_ms", &total))
        return;
    add_ms(out, "  time      first token after ", ttft);
    if (number(json, "tokens_per_s", &rate))
        buf_printf(out, ", then %.1f tokens/s", rate);
    add_ms(out, ", ", total);
    buf_lit(out, " in all\n");
}

static void tokens_line(struct buf *out, struct str json)
{
    double cached = 0, reasoning = 0;
    if (!member(out, json, "prompt_tokens", "  tokens    "))
        return;
    buf_lit(out, " in");
    if (number(json, "cached_tokens", &cached) && cached > 0)
        buf_printf(out, " (%.0f cached)", cached);
    if (member(out, json, "completion_tokens", ", "))
        buf_lit(out, " out");
    if (number(json, "reasoning_tokens", &reasoning) && reasoning > 0)
        buf_printf(out, " (%.0f reasoning)", reasoning);
    member(out, json, "tokens", ", ");
    buf_lit(out, "\n");
}

static bool differs(struct str json, const char *one, const char *other)
{
    double a, b = 0;
    (void)number(json, other, &b);
    return number(json, one, &a) && a != b;
}

bool receipt_text(struct buf *out, struct str json)
{
    json = str_trim(json);
    if (!json.n || json.p[0] != '{' || json_validate(json, NULL))
        return false;
    member(out, json, "pool", "  pool      ");
    member(out, json, "supplier", " of ");
    member(out, json, "model", ", model ");
    member(out, json, "why", "\n  why       ");
    buf_lit(out, "\n");
    attempts_line(out, json);
    time_line(out, json);
    tokens_line(out, json);
    bool priced = amount(out, json, "list_usd", "  money     ");
    buf_printf(out, "%s", priced ? " USD at list price" : "  money     no price is stated");
    if (differs(json, "charged_usd", "list_usd") && amount(out, json, "charged_usd", ", "))
        buf_lit(out, " USD charged");
    if (differs(json, "marginal_usd", "list_usd") && amount(out, json, "marginal_usd", ", "))
        buf_lit(out, " USD beyond what is prepaid");
    buf_lit(out, "\n");
    bool known = member(out, json, "energy_j", "  energy    ");
    if (!known)
        buf_lit(out, "  energy    not known");
    member(out, json, "energy_basis", known ? " J, " : ": ");
    member(out, json, "request", "\n  request   ");
    buf_lit(out, "\n");
    return true;
}
