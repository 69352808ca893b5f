#include "replay/events.h"

#include "base/units.h"

#include <stdlib.h>

static const struct {
    const char *word;
    enum event_kind kind;
    bool has_value;
} words[] = {
    {"dies", EVENT_DIES, false},    {"heals", EVENT_HEALS, false},   {"slow", EVENT_SLOW, true},
    {"derate", EVENT_DERATE, true}, {"stalls", EVENT_STALLS, false},
};

static bool cut_word(struct str *rest, struct str *word)
{
    *rest = str_trim(*rest);
    size_t n = 0;
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
        n++;
    *word = (struct str){rest->p, n};
    *rest = str_skip(*rest, n);
    return n > 0;
}

struct reading {
    const struct portfolio *p;
    const char *name;
    int line;
    struct diag *diag;
};

static enum err read_when(const struct reading *r, struct str *rest, int64_t *out)
{
    // "10 min" is two words, "10min" one.
    struct str first, second, after;
    cut_word(rest, &first);
    after = *rest;
    cut_word(&after, &second);
    struct str both = {first.p, (size_t)(second.p + second.n - first.p)};
    double us;
    if (!unit_parse(&us, UNIT_DURATION, first, NULL)) {
        *out = (int64_t)us;
        return ERR_NONE;
    }
    if (second.n && !unit_parse(&us, UNIT_DURATION, both, NULL)) {
        *rest = after;
        *out = (int64_t)us;
        return ERR_NONE;
    }
    return diag_set(r->diag, ERR_INVALID,
                    "%s:%d: \"" STR_FMT "\" is no time: expected 10 min or 90 s", r->name, r->line,
                    STR_ARG(first));
}

static enum err read_line(const struct reading *r, struct str line, struct event *ev)
{
    struct str pool, word, near;
    enum err e = read_when(r, &line, &ev->at_us);
    if (e)
        return e;
    if (!cut_word(&line, &pool) || !table_get(r->p->pool_names, pool, &ev->pool)) {
        bool has = table_nearest(r->p->pool_names, pool, &near);
        return diag_set(r->diag, ERR_INVALID,
                        "%s:%d: there is no pool \"" STR_FMT "\"%s" STR_FMT "%s", r->name, r->line,
                        STR_ARG(pool), has ? "; did you mean \"" : "",
                        STR_ARG((has ? near : STR(""))), has ? "\"?" : "");
    }
    cut_word(&line, &word);
    line = str_trim(line);
    for (size_t i = 0; i < COUNTOF(words); i++) {
        if (!str_eq(word, str_of(words[i].word)))
            continue;
        ev->kind = words[i].kind;
        if (!words[i].has_value && line.n == 0)
            return ERR_NONE;
        if (words[i].has_value && !unit_parse(&ev->value, UNIT_SHARE, line, NULL) &&
            ev->value > 0 && ev->value <= (ev->kind == EVENT_DERATE ? 1 : 1e6))
            return ERR_NONE;
        return diag_set(r->diag, ERR_INVALID, "%s:%d: \"" STR_FMT "\" behind %s: expected %s",
                        r->name, r->line, STR_ARG(line), words[i].word,
                        !words[i].has_value        ? "nothing"
                        : ev->kind == EVENT_DERATE ? "a share such as 50%"
                                                   : "a number such as 2.5");
    }
    return diag_set(r->diag, ERR_INVALID,
                    "%s:%d: \"" STR_FMT "\": expected dies, heals, slow, derate or stalls", r->name,
                    r->line, STR_ARG(word));
}

enum err events_read(struct events *out, struct arena *a, const struct portfolio *p,
                     const char *name, struct str text, struct diag *diag)
{
    struct reading r = {p, name, 0, diag};
    int32_t lines = 1;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n' && lines <= EVENTS_MAX;
    *out = (struct events){.all = arena_new(a, struct event, lines)};
    if (!out->all || lines > EVENTS_MAX)
        return diag_set(diag, ERR_LIMIT, "%s has more than %d lines", name, EVENTS_MAX);
    for (struct str line; str_cut(&text, '\n', &line);) {
        size_t at;
        r.line++;
        if (str_find(line, STR("#"), &at))
            line.n = at;
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (str_trim(line).n == 0)
            continue;
        struct event ev = {0};
        enum err e = read_line(&r, line, &ev);
        if (e)
            return e;
        // Each to its place: files are short and mostly in order.
        int32_t i = out->n++;
        for (; i > 0 && out->all[i - 1].at_us > ev.at_us; i--)
            out->all[i] = out->all[i - 1];
        out->all[i] = ev;
    }
    return ERR_NONE;
}
