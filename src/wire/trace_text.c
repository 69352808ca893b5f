#include "wire/trace_inside.h"

#include "base/units.h"
#include "wire/json.h"

#include <stdio.h>

// Each field has the names under which it is known; letters of either case are the same, except
// that TIMESTAMP is a date and Timestamp are seconds: so the text of the value decides.

enum { USER_SEED = 0x75736572 };

static const struct {
    const char *name;
    enum trace_field field;
} known[] = {
    {"t_us", FIELD_US},
    {"t_ms", FIELD_MS},
    {"t_s", FIELD_S},
    {"timestamp", FIELD_DATE},
    {"arrival_timestamp", FIELD_DATE},
    {"prompt_tokens", FIELD_PROMPT},
    {"ContextTokens", FIELD_PROMPT},
    {"input_length", FIELD_PROMPT},
    {"Request tokens", FIELD_PROMPT},
    {"output_tokens", FIELD_OUTPUT},
    {"GeneratedTokens", FIELD_OUTPUT},
    {"output_length", FIELD_OUTPUT},
    {"Response tokens", FIELD_OUTPUT},
    {"model", FIELD_MODEL},
    {"class", FIELD_CLASS},
    {"tenant", FIELD_TENANT},
    {"user", FIELD_USER},
    {"block_hashes", FIELD_BLOCKS},
    {"hash_ids", FIELD_BLOCKS},
};

static const char *const what_of[FIELD_COUNT] = {
    [FIELD_US] = "the time",
    [FIELD_MS] = "the time",
    [FIELD_S] = "the time",
    [FIELD_DATE] = "the time",
    [FIELD_PROMPT] = "the prompt's length",
    [FIELD_OUTPUT] = "the answer's length",
    [FIELD_BLOCKS] = "a block",
};

static enum trace_field field_of(struct str name)
{
    for (size_t i = 0; i < COUNTOF(known); i++) {
        if (str_eq_nocase(name, str_of(known[i].name)))
            return known[i].field;
    }
    return FIELD_NONE;
}

static bool is_time(enum trace_field f)
{
    return f >= FIELD_US && f <= FIELD_DATE;
}

// Text of a strange file, fit for a message.
static struct str shown(struct str s)
{
    return (struct str){s.p, s.n < 60 ? s.n : 60};
}

static enum err not_right(const struct trace *t, enum trace_field f, struct str text,
                          const char *expected, struct diag *diag)
{
    struct str s = shown(text);
    return trace_fault(t, diag, "%s is \"" STR_FMT "\", expected %s", what_of[f], STR_ARG(s),
                       expected);
}

// --- values -----------------------------------------------------------------------------------

// "2023-11-16 18:15:46.6805900", with 'T' between and a zone behind as well.
static bool date_us(struct str s, int64_t *out)
{
    char clean[32];
    size_t n = 19;
    if (s.n < n)
        return false;
    memcpy(clean, s.p, n);
    clean[10] = 'T';
    clean[n] = 'Z';
    int64_t us;
    if (s.p[10] != ' ' && s.p[10] != 'T')
        return false;
    if (unit_instant(&us, (struct str){clean, n + 1}, NULL))
        return false;
    struct str rest = str_skip(s, n);
    int64_t part = 100000;
    if (rest.n > 1 && rest.p[0] == '.') {
        rest = str_skip(rest, 1);
        for (; rest.n && rest.p[0] >= '0' && rest.p[0] <= '9'; rest = str_skip(rest, 1)) {
            us += (rest.p[0] - '0') * part;
            part /= 10;
        }
    }
    *out = us;
    return rest.n == 0 || str_eq(rest, STR("Z")) || str_eq(rest, STR("+00:00"));
}

static enum err time_value(struct trace *t, enum trace_field f, struct str text,
                           struct trace_item *out, struct diag *diag)
{
    static const double us_of[] = {
        [FIELD_US] = 1, [FIELD_MS] = 1e3, [FIELD_S] = 1e6, [FIELD_DATE] = 1e6};
    double v;
    int64_t us;
    if (f == FIELD_DATE && date_us(text, &us)) {
        if (t->wall_us < 0)
            t->wall_us = us;
        out->at_us = us - t->wall_us;
        if (out->at_us < 0)
            return not_right(t, f, text, "no time before the first one", diag);
        return ERR_NONE;
    }
    if (f == FIELD_US && str_to_i64(text, &us) && us >= 0) {
        out->at_us = us;
        return ERR_NONE;
    }
    if (!str_to_double(text, &v) || !(v >= 0) || !(v * us_of[f] < 4e15))
        return not_right(t, f, text,
                         f == FIELD_DATE ? "seconds or a date such as 2023-11-16 18:15:46.68"
                                         : "a number that is not below 0",
                         diag);
    out->at_us = (int64_t)(v * us_of[f] + 0.5);
    return ERR_NONE;
}

static enum err tok_value(struct trace *t, enum trace_field f, struct str text, int32_t *out,
                          struct diag *diag)
{
    int64_t v;
    if (str_to_i64(text, &v) && v >= 0 && v <= TRACE_TOK_MAX) {
        *out = (int32_t)v;
        return ERR_NONE;
    }
    char expected[64];
    snprintf(expected, sizeof expected, "a whole number from 0 to %d", TRACE_TOK_MAX);
    return not_right(t, f, text, expected, diag);
}

static enum err block_value(struct trace *t, struct str text, struct diag *diag)
{
    int64_t v;
    if (!str_to_i64(text, &v) || v < 0)
        return not_right(t, FIELD_BLOCKS, text, "a whole number that is not below 0", diag);
    if (t->n_blocks == TRACE_BLOCKS_MAX)
        return trace_fault(t, diag, "it has more than %d blocks", TRACE_BLOCKS_MAX);
    t->blocks[t->n_blocks++] = (uint64_t)v;
    return ERR_NONE;
}

// Users have no bound, so only what stands for one is kept.
static uint64_t trace_user(struct str name)
{
    uint64_t user = str_hash(name, USER_SEED);
    return user ? user : 1;
}

static enum err value(struct trace *t, enum trace_field f, struct str text, struct trace_item *out,
                      struct diag *diag)
{
    switch (f) {
    case FIELD_US:
    case FIELD_MS:
    case FIELD_S:
    case FIELD_DATE: return time_value(t, f, text, out, diag);
    case FIELD_PROMPT: return tok_value(t, f, text, &out->prompt_tok, diag);
    case FIELD_OUTPUT: return tok_value(t, f, text, &out->output_tok, diag);
    case FIELD_MODEL:
    case FIELD_CLASS:
    case FIELD_TENANT: {
        enum trace_kind kind = (enum trace_kind)(f - FIELD_MODEL);
        return text.n ? trace_name_add(t, kind, text, &out->name[kind], diag) : ERR_NONE;
    }
    case FIELD_USER: out->user = text.n ? trace_user(text) : 0; return ERR_NONE;
    case FIELD_BLOCKS:
        for (struct str one; str_cut(&text, ' ', &one);) {
            enum err e = one.n ? block_value(t, one, diag) : ERR_NONE;
            if (e)
                return e;
        }
        return ERR_NONE;
    case FIELD_NONE:
    case FIELD_COUNT: break;
    }
    return ERR_NONE;
}

static enum err complete(const struct trace *t, const struct trace_item *item, struct diag *diag)
{
    if (item->at_us < 0)
        return trace_fault(t, diag, "the time is missing");
    if (item->prompt_tok < 0)
        return trace_fault(t, diag, "the prompt's length is missing");
    if (item->output_tok < 0)
        return trace_fault(t, diag, "the answer's length is missing");
    return ERR_NONE;
}

// --- CSV --------------------------------------------------------------------------------------

// One cell off the front: quotes around it go, a quote doubled inside is not for numbers or names.
static bool cell(struct str *rest, struct str *out)
{
    if (rest->n && rest->p[0] == '"') {
        const char *end = memchr(rest->p + 1, '"', rest->n - 1);
        if (end) {
            *out = (struct str){rest->p + 1, (size_t)(end - rest->p) - 1};
            *rest = str_skip(*rest, out->n + 2);
            if (rest->n && rest->p[0] == ',')
                *rest = str_skip(*rest, 1);
            return true;
        }
    }
    if (!str_cut(rest, ',', out))
        return false;
    *out = str_trim(*out);
    return true;
}

enum err trace_csv_begin(struct trace *t, struct str header, struct diag *diag)
{
    bool has[FIELD_COUNT] = {false}, time = false;
    if (str_starts(header, STR("\xef\xbb\xbf")))
        header = str_skip(header, 3);
    for (struct str name; cell(&header, &name);) {
        if (t->n_columns == TRACE_COLUMNS)
            return trace_fault(t, diag, "it has more than %d columns", TRACE_COLUMNS);
        enum trace_field f = field_of(name);
        if (f && (has[f] || (is_time(f) && time))) {
            struct str s = shown(name);
            return trace_fault(t, diag, "column \"" STR_FMT "\" says %s once more", STR_ARG(s),
                               f < FIELD_MODEL ? what_of[f] : "the same");
        }
        has[f] = f != FIELD_NONE;
        time = time || is_time(f);
        t->columns[t->n_columns++] = f;
    }
    if (!time)
        return trace_fault(t, diag,
                           "no column has the times: expected t_us, t_ms, t_s or timestamp");
    if (!has[FIELD_PROMPT])
        return trace_fault(t, diag,
                           "no column has the length of prompts: expected prompt_tokens, "
                           "ContextTokens or input_length");
    if (!has[FIELD_OUTPUT])
        return trace_fault(t, diag,
                           "no column has the length of answers: expected output_tokens, "
                           "GeneratedTokens or output_length");
    return ERR_NONE;
}

enum err trace_csv(struct trace *t, struct str line, struct trace_item *out, struct diag *diag)
{
    int32_t n = 0;
    for (struct str text; cell(&line, &text); n++) {
        if (n == t->n_columns)
            return trace_fault(t, diag, "it has more cells than the header's %d", (int)n);
        enum err e = value(t, t->columns[n], text, out, diag);
        if (e)
            return e;
    }
    return complete(t, out, diag);
}

// --- JSON -------------------------------------------------------------------------------------

static enum err blocks_of(struct trace *t, struct str array, struct diag *diag)
{
    struct json_walk w;
    if (!json_walk(&w, array) || !w.array)
        return trace_fault(t, diag, "its blocks are not a list of numbers");
    while (json_step(&w)) {
        enum err e = block_value(t, json_slice(array, w.value), diag);
        if (e)
            return e;
    }
    return ERR_NONE;
}

static enum err member(struct trace *t, struct str line, const struct json_walk *w,
                       struct trace_item *out, struct diag *diag)
{
    char text[256];
    size_t n;
    enum trace_field f = field_of(w->key);
    struct str v = json_slice(line, w->value);
    if (f == FIELD_NONE || w->value.kind == JSON_NULL)
        return ERR_NONE;
    if (f == FIELD_BLOCKS)
        return blocks_of(t, v, diag);
    if (f == FIELD_DATE && w->value.kind == JSON_NUMBER)
        f = FIELD_MS;
    if (w->value.kind == JSON_STRING) {
        if (!json_string(line, w->value, text, sizeof text, &n))
            return not_right(t, f, v, "a shorter text", diag);
        v = (struct str){text, n};
    }
    return value(t, f, v, out, diag);
}

enum err trace_json(struct trace *t, struct str line, struct trace_item *out, struct diag *diag)
{
    struct diag why = {0};
    struct json_walk w;
    if (json_validate(line, &why))
        return trace_fault(t, diag, "%s", why.text);
    if (!json_walk(&w, line) || w.array)
        return trace_fault(t, diag, "it is not a JSON object");
    while (json_step(&w)) {
        enum err e = member(t, line, &w, out, diag);
        if (e)
            return e;
    }
    return complete(t, out, diag);
}
