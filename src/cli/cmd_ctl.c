// caudal ctl - an operator's hand at a running gateway: a client of its admin address.
//
//   the table of words -> method, path, body -> operator.c -> the answer's JSON -> ctl_view.c -> a
//   table

#include "cli/cmd_ctl.h"

#include "cli/ctl_view.h"
#include "cli/operator.h"
#include "cli/options.h"
#include "base/units.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_BYTES_MAX = 16 << 20, BODY_BYTES_MAX = 16 << 10 };

// A number or a share may also be the word none; a share is a number or a percentage.
enum word_kind { WORD_TEXT, WORD_NUMBER, WORD_SHARE };

struct word {
    const char *member;  // of the body
    enum word_kind kind;
};

static const struct verb {
    const char *name, *words, *method, *path;
    struct word takes[3];
    int n, most;  // words that it takes: at least, at most; with fewer the last is still the last
    void (*view)(struct buf *out, struct str json);
} verbs[] = {
    {"status", "", "GET", "/admin/status", {{0}}, 0, 0, ctl_view_status},
    {"requests", "", "GET", "/admin/requests", {{0}}, 0, 0, ctl_view_requests},
    {"levers", "", "GET", "/admin/levers", {{0}}, 0, 0, ctl_view_levers},
    {"reload", "", "POST", "/admin/reload", {{0}}, 0, 0, ctl_view_reload},
    {"drain", "POOL", "POST", "/admin/drain", {{"pool", WORD_TEXT}}, 1, 1, ctl_view_levers},
    {"disable", "POOL", "POST", "/admin/disable", {{"pool", WORD_TEXT}}, 1, 1, ctl_view_levers},
    {"enable", "POOL", "POST", "/admin/enable", {{"pool", WORD_TEXT}}, 1, 1, ctl_view_levers},
    {"weigh",
     "POOL WEIGHT|none",
     "POST",
     "/admin/weigh",
     {{"pool", WORD_TEXT}, {"weight", WORD_NUMBER}},
     2,
     2,
     ctl_view_levers},
    {"derate",
     "POOL SHARE|none",
     "POST",
     "/admin/derate",
     {{"pool", WORD_TEXT}, {"share", WORD_SHARE}},
     2,
     2,
     ctl_view_levers},
    {"share",
     "POOL SHARE|none",
     "POST",
     "/admin/share",
     {{"pool", WORD_TEXT}, {"share", WORD_SHARE}},
     2,
     2,
     ctl_view_levers},
    {"cap",
     "SITE POWER|none",
     "POST",
     "/admin/cap",
     {{"site", WORD_TEXT}, {"power", WORD_TEXT}},
     2,
     2,
     ctl_view_levers},
    {"maintenance",
     "POOL [FROM|now] UNTIL|DURATION|none",
     "POST",
     "/admin/maintenance",
     {{"pool", WORD_TEXT}, {"from", WORD_TEXT}, {"until", WORD_TEXT}},
     2,
     3,
     ctl_view_levers},
};

static const struct verb *verb_of(const char *name)
{
    for (size_t i = 0; i < COUNTOF(verbs); i++)
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    return NULL;
}

static const char *nearest_verb(const char *word)
{
    const char *names[COUNTOF(verbs)];
    for (size_t i = 0; i < COUNTOF(verbs); i++)
        names[i] = verbs[i].name;
    return nearest_name(names, COUNTOF(verbs), word);
}

static bool is_number(const char *word, enum word_kind kind, double *out)
{
    struct diag diag;
    char *end;
    if (kind == WORD_SHARE)
        return unit_parse(out, UNIT_SHARE, str_of(word), &diag) == ERR_NONE;
    *out = strtod(word, &end);
    return *word && !*end;
}

// False: a word is no number where one is due.
static bool write_body(const struct verb *v, int n, char **words, struct buf *out)
{
    for (int i = 0; i < n; i++) {
        const struct word *at = &v->takes[i && i == n - 1 ? v->most - 1 : i];
        buf_printf(out, "%s\"%s\":", i ? "," : "{", at->member);
        double number;
        if (at->kind == WORD_TEXT || strcmp(words[i], "none") == 0)
            buf_add_json(out, str_of(words[i]));
        else if (is_number(words[i], at->kind, &number))
            buf_printf(out, "%.17g", number);
        else
            return false;
    }
    if (n)
        buf_lit(out, "}");
    return true;
}

struct ctl_options {
    struct operator gateway;
    bool json;
};

static enum err call(const struct ctl_options *o, const struct verb *v, struct str body,
                     struct buf *shown, struct diag *diag)
{
    struct buf answer;
    buf_init(&answer, ANSWER_BYTES_MAX);
    enum err e = operator_call(&o->gateway, v->method, str_of(v->path), body, &answer, diag);
    struct str json = str_trim(buf_str(&answer));
    struct diag why = {0};
    if (!e && json_validate(json, &why))
        e = diag_set(diag, ERR_PROTOCOL, "the answer is not JSON: %s", why.text);
    if (!e && o->json)
        buf_join(shown, json, STR("\n"));
    else if (!e)
        v->view(shown, json);
    buf_release(&answer);
    return e;
}

static int run(const struct ctl_options *o, const struct verb *v, int n, char **words)
{
    struct buf body, shown;
    struct diag diag = {0};
    buf_init(&body, BODY_BYTES_MAX);
    buf_init(&shown, ANSWER_BYTES_MAX);
    int status = EXIT_FAILED;
    if (!write_body(v, n, words, &body)) {
        status = options_wrong("ctl", "a number or none is expected");
    } else if (call(o, v, buf_str(&body), &shown, &diag)) {
        fprintf(stderr, "caudal ctl: %s\n", diag.text);
    } else {
        fwrite(buf_str(&shown).p, 1, buf_len(&shown), stdout);
        status = fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    buf_release(&body);
    buf_release(&shown);
    return status;
}

int cmd_ctl(int argc, char **argv)
{
    struct ctl_options o = {.gateway = operator_default()};
    o.gateway.idle_us = S(600);  // a reload waits for engines, which may take their time
    const struct option_row rows[] = {
        option_text("--url", "URL", &o.gateway.url,
                    "the gateway's admin address (http://127.0.0.1:8081),\nor CAUDAL_ADMIN_URL"),
        option_text("--key", "KEY", &o.gateway.key,
                    "of an operator; better in the environment, as CAUDAL_ADMIN_KEY"),
        option_flag("--json", &o.json, "the answer as it came"),
        WEB_TRUST_OPTIONS(&o.gateway.trust),
    };
    const struct command command = {
        .name = "ctl",
        .usage = "[OPTIONS] WORD ...",
        .about =
            "Asks and tells a running gateway, at the address that serve.admin.listen says.\n\n"
            "  status                        what it is doing, pool by pool\n"
            "  requests                      who is in flight (never what they say)\n"
            "  levers                        what operators changed\n"
            "  reload                        read the portfolio again\n"
            "  drain POOL                    nothing new goes there; what is in flight ends\n"
            "  disable POOL                  the same, and what has no content yet goes elsewhere\n"
            "  enable POOL                   undoes drain and disable\n"
            "  weigh POOL WEIGHT             in ties and splits, instead of the portfolio's\n"
            "  derate POOL SHARE             of its limits and slots, above 0 up to 1\n"
            "  share POOL SHARE              of the requests that it may have, its steps held: "
            "10%\n"
            "  cap SITE POWER                its pools are derated to fit: 50MW\n"
            "  maintenance POOL [FROM] UNTIL nothing goes there then, from now on unless said; 2h\n"
            "                                and times such as 2026-12-31T08:30:00Z\n\n"
            "'none' takes a weight, derate, share, cap or maintenance back.",
        .more = "Exit status: 0 done, 1 refused or failed, 2 wrong usage.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_min = 1,
        .operands_max = 4,
        .operand = "a word such as status",
    };
    int n;
    int status = options_begin(&command, argc, argv, &n);
    if (status != OPTIONS_GO)
        return status;
    const struct verb *v = verb_of(argv[1]);
    char wrong[160];
    const char *near = v ? NULL : nearest_verb(argv[1]);
    if (!v)
        snprintf(wrong, sizeof wrong, "'%.40s' is no word that it knows%s%s%s", argv[1],
                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    else if (n - 1 < v->n || n - 1 > v->most)
        snprintf(wrong, sizeof wrong, "expected: caudal ctl %s%s%s", v->name, *v->words ? " " : "",
                 v->words);
    else
        return run(&o, v, n - 1, argv + 2);
    return options_wrong("ctl", wrong);
}
