// caudal check - is this portfolio file right, and what does it say?

#include "cli/cmd_check.h"

#include "base/units.h"
#include "cli/check_view.h"
#include "cli/load.h"
#include "cli/options.h"

#include <stdio.h>
#include <time.h>

struct check_options {
    bool json;
    int64_t now_us;
    char **paths;
    int n_paths;
};

enum { OUTPUT_MAX = 256 << 20 };

static enum err read_at(void *to, struct str value, struct diag *diag)
{
    return unit_instant(to, value, diag);
}

// The exit status, or OPTIONS_GO.
static int read_options(struct check_options *o, int argc, char **argv)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *o = (struct check_options){.now_us = S(now.tv_sec) + now.tv_nsec / 1000, .paths = argv + 1};
    const struct option_row rows[] = {
        option_flag("--json", &o->json, "the same for programs, one JSON object"),
        option_custom("--at", "DATE", &o->now_us, read_at, "as if it were that day"),
    };
    const struct command command = {
        .name = "check",
        .usage = "[--json] [--at DATE] FILE...",
        .about =
            "Reads a portfolio, says everything that is wrong with it, and shows what it says:\n"
            "suppliers and the pools that can be called now, contracts with their phases, what\n"
            "is committed in each year, models and their prices, classes, tenants. Several\n"
            "files are merged; FILE may be - for standard input. Secrets are never shown.",
        .more =
            "Exit status: 0 the file is right (there may be warnings), 1 it is not, 2 wrong usage.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_min = 1,
        .operands_max = INT32_MAX,
        .operand = "a portfolio file",
    };
    return options_begin(&command, argc, argv, &o->n_paths);
}

static bool print(struct str text, FILE *to)
{
    return fwrite(text.p ? text.p : "", 1, text.n, to) == text.n && fflush(to) == 0;
}

// What is wrong, for a person, where it does not get lost in what a program may read.
static void print_errors(const struct check_view *v)
{
    struct buf raw, clean;
    buf_init(&raw, OUTPUT_MAX);
    buf_init(&clean, OUTPUT_MAX);
    for (const struct problem *x = v->problems->first; x; x = x->next)
        if (x->severity == SEVERITY_ERROR) {
            buf_lit(&raw, "error: ");
            problem_print(&raw, x);
            buf_lit(&raw, "\n");
        }
    int32_t n = v->problems->errors;
    buf_printf(&raw, "%s%s is not right: %d error%s\n", check_name(v),
               v->n_paths > 1 ? " (with others)" : "", (int)n, n == 1 ? "" : "s");
    secrets_hide(&clean, v->p, buf_str(&raw));
    print(buf_str(&clean), stderr);
    buf_release(&raw);
    buf_release(&clean);
}

// Returns whether all of it could be written.
static bool print_view(const struct check_view *v, bool json)
{
    struct buf raw, clean;
    buf_init(&raw, OUTPUT_MAX);
    buf_init(&clean, OUTPUT_MAX);
    bool ok = true;
    if (json) {
        check_json(&raw, v);
        ok = !raw.overflow && print(buf_str(&raw), stdout);
    } else if (v->committed) {
        check_text(&raw, v);
        ok = secrets_hide(&clean, v->p, buf_str(&raw)) && !raw.overflow &&
             print(buf_str(&clean), stdout);
    }
    buf_release(&raw);
    buf_release(&clean);
    return ok;
}

static int check(struct arena *a, const struct check_options *o)
{
    struct portfolio p;
    struct problems problems;
    struct committed committed;
    struct check_view v = {.p = &p,
                           .problems = &problems,
                           .a = a,
                           .now_us = o->now_us,
                           .paths = o->paths,
                           .n_paths = o->n_paths};
    problems_init(&problems, a);
    enum err e = load_portfolio(&p, a, o->paths, o->n_paths, &problems);
    if (!e) {
        check_portfolio(&p, o->now_us, &problems);
        check_certificates(&v, &problems);
        load_check_policy(&p, a, &problems);
        e = committed_of(&committed, a, &p);
        if (e)
            problems_add(&problems, SEVERITY_ERROR, (struct place){0}, STR(""), "%s", err_text(e));
        else
            v.committed = &committed;
    } else if (!problems.errors) {
        problems_add(&problems, SEVERITY_ERROR, (struct place){0}, STR(""), "%s", err_text(e));
    }
    bool written = print_view(&v, o->json);
    if (problems.errors && !o->json)
        print_errors(&v);
    if (!written)
        fputs("caudal check: the output could not be written\n", stderr);
    return problems.errors || !written ? EXIT_FAILED : EXIT_DONE;
}

int cmd_check(int argc, char **argv)
{
    struct check_options o;
    int status = read_options(&o, argc, argv);
    if (status != OPTIONS_GO)
        return status;
    struct arena a;
    arena_init(&a, PORTFOLIO_BYTES_MAX);
    status = check(&a, &o);
    arena_release(&a);
    return status;
}
