#include "replay/events.h"

#include "base/units.h"
#include "replay/changes.h"

#include <stdlib.h>

static const struct {
    const char *word;
    enum event_kind kind;
    bool has_value;
} words[] = {
    {"dies", EVENT_DIES, false},    {"heals", EVENT_HEALS, false},   {"slow", EVENT_SLOW, true},
    {"derate", EVENT_DERATE, true}, {"stalls", EVENT_STALLS, false},
};

static enum err read_when(const struct event_line *l, struct str *rest, int64_t *out)
{
    // "10 min" is two words, "10min" one.
    struct str first, second, after;
    event_word(rest, &first);
    after = *rest;
    event_word(&after, &second);
    struct str both = {first.p, (size_t)(second.p + second.n - first.p)};
    double us;
    if (!unit_parse(&us, UNIT_DURATION, first, NULL)) {
        *out = (int64_t)us;
    } else if (second.n && !unit_parse(&us, UNIT_DURATION, both, NULL)) {
        *rest = after;
        *out = (int64_t)us;
    } else {
        return event_wrong(l, "\"" STR_FMT "\" is no time: expected 10 min or 90 s",
                           STR_ARG(first));
    }
    return *out >= 0 ? ERR_NONE
                     : event_wrong(l, "\"" STR_FMT "\" is before the begin: expected 0 s or later",
                                   STR_ARG(both));
}

static enum err read_value(const struct event_line *l, size_t word, struct str value,
                           struct event *ev)
{
    const bool derate = words[word].kind == EVENT_DERATE;
    ev->kind = words[word].kind;
    if (!words[word].has_value && value.n == 0)
        return ERR_NONE;
    if (words[word].has_value && !unit_parse(&ev->value, UNIT_SHARE, value, NULL) &&
        ev->value > 0 && ev->value <= (derate ? 1 : 1e6))
        return ERR_NONE;
    return event_wrong(l, "\"" STR_FMT "\" behind %s: expected %s", STR_ARG(value),
                       words[word].word,
                       !words[word].has_value ? "nothing"
                       : derate               ? "a share such as 50%"
                                              : "a number such as 2.5");
}

// A line is either: `*changes` says which.
static enum err read_line(const struct event_line *l, struct str line, struct event *ev,
                          struct change *change, bool *changes)
{
    struct str who, word;
    enum err e = read_when(l, &line, &ev->at_us);
    if (e)
        return e;
    if (!event_word(&line, &who) || !event_word(&line, &word))
        return event_wrong(l, "expected when, who and what, such as 10 min gpu-eu dies");
    line = str_trim(line);
    *changes = change_is(word);
    if (*changes) {
        e = change_read(change, l, who, word, line);
        change->at_us = ev->at_us;
        return e;
    }
    size_t i = 0;
    while (i < COUNTOF(words) && !str_eq(word, str_of(words[i].word)))
        i++;
    if (!table_get(l->p->pool_names, who, &ev->pool))
        return event_no_pool(l, who);
    if (i < COUNTOF(words))
        return read_value(l, i, line, ev);
    return event_wrong(l, "\"" STR_FMT "\": expected dies, heals, slow, derate, stalls, %s",
                       STR_ARG(word), change_words);
}

// Each to its place: files are short and mostly in order.
static void put_event(struct events *out, const struct event *ev)
{
    int32_t i = out->n++;
    for (; i > 0 && out->all[i - 1].at_us > ev->at_us; i--)
        out->all[i] = out->all[i - 1];
    out->all[i] = *ev;
}

static void put_change(struct events *out, const struct change *c)
{
    int32_t i = out->n_changes++;
    for (; i > 0 && out->changes[i - 1].at_us > c->at_us; i--)
        out->changes[i] = out->changes[i - 1];
    out->changes[i] = *c;
}

enum err events_read(struct events *out, struct arena *a, const struct portfolio *p,
                     const char *name, struct str text, struct diag *diag)
{
    struct event_line l = {p, name, 0, diag};
    int32_t lines = 1;
    for (size_t i = 0; i < text.n; i++)
        lines += text.p[i] == '\n' && lines <= EVENTS_MAX;
    *out = (struct events){.all = arena_new(a, struct event, lines),
                           .changes = arena_new(a, struct change, lines)};
    if (!out->all || !out->changes || lines > EVENTS_MAX)
        return diag_set(diag, ERR_LIMIT, "%s has more than %d lines", name, EVENTS_MAX);
    for (struct str line; str_cut(&text, '\n', &line);) {
        size_t at;
        l.line++;
        if (str_find(line, STR("#"), &at))
            line.n = at;
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (str_trim(line).n == 0)
            continue;
        struct event ev = {0};
        struct change change = {0};
        bool changes = false;
        enum err e = read_line(&l, line, &ev, &change, &changes);
        if (e)
            return e;
        if (changes)
            put_change(out, &change);
        else
            put_event(out, &ev);
    }
    return ERR_NONE;
}
