// Questions as they stand in their file.

#include "base/units.h"
#include "bench/agree.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { LINE_BYTES_MAX = 16 << 20, REGEX_WHY_BYTES = 128 };

struct reading {  // of one file
    struct agree_questions *out;
    struct arena *arena;
    struct diag *diag;
    const char *name;
    int32_t line;
};

static enum err wrong(const struct reading *r, const char *what)
{
    return diag_set(r->diag, ERR_INVALID, "%s:%d: %s", r->name, r->line, what);
}

// The text of a string, in the arena. False: it is no string.
static enum err take_text(const struct reading *r, struct str *out, struct str text,
                          struct json_span v, const char *what)
{
    size_t n;
    if (v.kind != JSON_STRING)
        return wrong(r, what);
    size_t room = json_string_bytes(text, v) + 1;
    char *to = arena_new(r->arena, char, room);
    if (!to)
        return ERR_LIMIT;
    CHECK(json_string(text, v, to, room, &n));
    *out = (struct str){to, n};
    return ERR_NONE;
}

static enum err take_normal(const struct reading *r, struct str *out, struct str text,
                            struct json_span v)
{
    struct buf normal;
    enum err e = take_text(r, out, text, v, "check: a text is expected here, in quotes");
    if (e)
        return e;
    buf_init(&normal, LINE_BYTES_MAX);
    agree_normal(&normal, *out);
    *out = arena_str(r->arena, buf_str(&normal));
    buf_release(&normal);
    if (!out->p)
        return ERR_LIMIT;
    return out->n ? ERR_NONE : wrong(r, "check: a text has no letter and no number in it");
}

// --- a check ----------------------------------------------------------------------------------

static enum err read_texts(const struct reading *r, struct answer_check *check, struct str text,
                           struct json_span v)
{
    struct json_walk w;
    bool list = check->kind == CHECK_ONE_OF;
    if (list && v.kind != JSON_ARRAY)
        return wrong(r, "check: one_of is a list of texts");
    check->texts = arena_new(r->arena, struct str, v.n / 2 + 1);  // no more than that in a list
    if (!check->texts)
        return ERR_LIMIT;
    if (!list)
        return take_normal(r, &check->texts[check->n_texts++], text, v);
    struct str items = json_slice(text, v);
    enum err e = ERR_NONE;
    for (json_walk(&w, items); !e && json_step(&w);)
        e = take_normal(r, &check->texts[check->n_texts++], items, w.value);
    return !e && !check->n_texts ? wrong(r, "check: one_of is empty") : e;
}

static enum err read_regex(const struct reading *r, struct answer_check *check, struct str text,
                           struct json_span v)
{
    struct str pattern = STR("");
    char why[REGEX_WHY_BYTES], what[DIAG_BYTES];
    enum err e = take_text(r, &pattern, text, v, "check: regex is a text");
    if (e)
        return e;
    if (memchr(pattern.p, 0, pattern.n))
        return wrong(r, "check: regex holds a NUL");
    regex_t *regex = take(sizeof *regex);
    int failed = regcomp(regex, pattern.p, REG_EXTENDED);
    if (!failed) {
        check->regex = regex;
        return ERR_NONE;
    }
    regerror(failed, regex, why, sizeof why);
    free(regex);
    snprintf(what, sizeof what, "check: regex \"%.100s\": %s", pattern.p, why);
    return wrong(r, what);
}

static enum err read_check(const struct reading *r, struct answer_check *check, struct str text)
{
    static const struct {
        struct str key;
        enum check_kind kind;
    } kinds[] = {{STR("equals"), CHECK_EQUALS},
                 {STR("contains"), CHECK_CONTAINS},
                 {STR("one_of"), CHECK_ONE_OF},
                 {STR("regex"), CHECK_REGEX},
                 {STR("number"), CHECK_NUMBER}};
    struct json_walk w;
    enum err e = ERR_NONE;
    if (!json_walk(&w, text) || w.array)
        return wrong(r, "check is not an object");
    while (!e && json_step(&w)) {
        enum check_kind kind = CHECK_NONE;
        for (size_t i = 0; i < COUNTOF(kinds); i++)
            if (json_key_is(&w, kinds[i].key))
                kind = kinds[i].kind;
        if (kind && check->kind)
            return wrong(r, "check: more than one of equals, contains, one_of, regex, number");
        if (kind == CHECK_NONE) {
            if (!json_key_is(&w, STR("tolerance")) ||
                !json_double(text, w.value, &check->tolerance) || !(check->tolerance >= 0))
                e = wrong(r, "check: expected equals, contains, one_of, regex or number, and with "
                             "number a tolerance from 0 on");
            continue;
        }
        check->kind = kind;
        if (kind == CHECK_REGEX)
            e = read_regex(r, check, text, w.value);
        else if (kind == CHECK_NUMBER)
            e = json_double(text, w.value, &check->number) ? ERR_NONE
                                                           : wrong(r, "check: number is none");
        else
            e = read_texts(r, check, text, w.value);
    }
    if (!e && !check->kind)
        e = wrong(r, "check: one of equals, contains, one_of, regex, number is expected");
    if (!e && check->tolerance > 0 && check->kind != CHECK_NUMBER)
        e = wrong(r, "check: a tolerance goes with number");
    return e;
}

// --- a line -----------------------------------------------------------------------------------

static enum err read_members(const struct reading *r, struct agree_question *q, struct str text)
{
    struct json_walk w;
    enum err e = ERR_NONE;
    if (!json_walk(&w, text) || w.array)
        return wrong(r, "expected an object such as {\"prompt\": \"...\"}");
    while (!e && json_step(&w)) {
        struct str value = json_slice(text, w.value);
        if (json_key_is(&w, STR("prompt")))
            e = take_text(r, &q->prompt, text, w.value, "prompt is not a text");
        else if (json_key_is(&w, STR("messages")))
            q->messages = value;
        else if (json_key_is(&w, STR("id")) && w.value.kind == JSON_STRING)
            e = take_text(r, &q->id, text, w.value, "id is not a text");
        else if (json_key_is(&w, STR("id")))
            q->id = value;
        else if (json_key_is(&w, STR("check")))
            e = read_check(r, &q->check, value);
    }
    if (e)
        return e;
    if (q->messages.n && q->messages.p[0] != '[')
        return wrong(r, "messages is not a list");
    if (!q->prompt.n == !q->messages.n)
        return wrong(r, "expected a prompt, or messages, and not both");
    return ERR_NONE;
}

static enum err read_line(struct reading *r, struct str line)
{
    struct agree_question *q = &r->out->at[r->out->n];
    struct diag why = {0};
    char what[DIAG_BYTES];
    if (json_validate(line, &why)) {
        snprintf(what, sizeof what, "is not JSON: %.200s", why.text);
        return wrong(r, what);
    }
    *q = (struct agree_question){.line = r->line};
    r->out->n++;  // from here on its regex is released with the others
    enum err e = read_members(r, q, line);
    r->out->n_checked += q->check.kind != CHECK_NONE;
    return e;
}

enum err agree_questions_read(struct agree_questions *out, struct arena *a, const char *name,
                              struct str text, struct diag *diag)
{
    struct reading r = {.out = out, .arena = a, .diag = diag, .name = name};
    struct str line;
    int32_t lines = 1;
    enum err e = ERR_NONE;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n';
    *out = (struct agree_questions){.at = arena_new(a, struct agree_question, lines)};
    if (!out->at)
        return ERR_LIMIT;
    while (!e && str_cut(&text, '\n', &line)) {
        r.line++;
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (str_trim(line).n)
            e = read_line(&r, str_trim(line));
    }
    if (!e && !out->n)
        e = diag_set(diag, ERR_INVALID, "%s: there is no question in it", name);
    return e;
}

void agree_questions_release(struct agree_questions *q)
{
    for (int32_t i = 0; i < q->n; i++)
        if (q->at[i].check.regex) {
            regfree(q->at[i].check.regex);
            free(q->at[i].check.regex);
        }
    *q = (struct agree_questions){0};
}
