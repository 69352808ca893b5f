// caudal replay - yesterday's requests through the routing code, in virtual time.

#include "cli/cmd_replay.h"

#include "base/units.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/replay_decisions.h"
#include "cli/replay_options.h"
#include "cli/replay_view.h"
#include "io/file.h"
#include "io/stream.h"
#include "route/policy.h"
#include "wire/prices.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_STOPPED = 130, OUTPUT_MAX = 64 << 20, EVENTS_BYTES = 1 << 20, EVERY_MS = 200 };
static const size_t RUN_BYTES_MAX = (size_t)4
                                    << 30;  // of one run's arena, of which it takes what it needs

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
    (void)sig;
    stopped = 1;
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct run {
    struct replay_config config;
    struct arena arena;
    struct tally *tally;
    struct diag diag;
    enum err e;
    struct work *work;
    double began_s, took_s, cpu_s, shown_s;
    _Atomic int64_t requests;
};

struct work {
    struct run *runs;
    int32_t n_runs;   // those named; with --bound the same told all lengths; and list-cheapest
    int32_t n_named;  // by --policy
    int32_t naive;    // the run of list-cheapest
    _Atomic int32_t next;
    bool show;  // progress, on a terminal
};

static bool go_on(void *ctx, const struct replay_progress *at)
{
    struct run *r = ctx;
    atomic_store_explicit(&r->requests, at->requests, memory_order_relaxed);
    if (r->work->show) {
        double now_s = seconds(CLOCK_MONOTONIC);
        if (now_s - r->shown_s > EVERY_MS / 1e3) {
            char text[UNIT_TEXT];
            r->shown_s = now_s;
            fprintf(stderr, "\r%s: %lld requests, %s of the trace, %.0f/s \x1b[K", r->config.policy,
                    (long long)at->requests, unit_text_us(text, at->now_us),
                    (double)at->requests / (now_s - r->began_s));
        }
    }
    return !stopped;
}

static void *run_some(void *arg)
{
    struct work *w = arg;
    int32_t i;
    while ((i = atomic_fetch_add(&w->next, 1)) < w->n_runs) {
        struct run *r = &w->runs[i];
        double cpu_s = seconds(CLOCK_THREAD_CPUTIME_ID);
        r->began_s = r->shown_s = seconds(CLOCK_MONOTONIC);
        r->tally = arena_new(&r->arena, struct tally, 1);
        r->e = r->tally ? replay_run(r->tally, &r->arena, &r->config, &r->diag) : ERR_LIMIT;
        r->took_s = seconds(CLOCK_MONOTONIC) - r->began_s;
        r->cpu_s = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_s;
    }
    return NULL;
}

// Each run has its own memory, so how many go at once changes nothing but the time it takes.
static void run_all(struct work *w, int32_t jobs)
{
    pthread_t threads[64];
    int32_t n = 0;
    jobs = jobs < w->n_runs ? jobs : w->n_runs;
    while (n + 1 < jobs && pthread_create(&threads[n], NULL, run_some, w) == 0)
        n++;
    run_some(w);
    for (int32_t i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (w->show)
        fputs("\r\x1b[K", stderr);
}

static int fail(const char *what)
{
    return options_complain("replay", what);
}

static bool print(struct str text)
{
    return fwrite(text.p ? text.p : "", 1, text.n, stdout) == text.n && fflush(stdout) == 0;
}

static bool print_report(const struct replay_options *o, const struct replay_view *v)
{
    struct buf raw, clean;
    buf_init(&raw, OUTPUT_MAX);
    buf_init(&clean, OUTPUT_MAX);
    if (o->html)
        replay_html(&raw, v);
    else if (o->json)
        replay_json(&raw, v);
    else
        replay_text(&raw, v);
    bool ok = secrets_hide(&clean, v->p, buf_str(&raw)) && !raw.overflow && print(buf_str(&clean));
    buf_release(&raw);
    buf_release(&clean);
    return ok;
}

static void print_stats(const struct work *w)
{
    for (int32_t i = 0; i < w->n_runs; i++) {
        const struct run *r = &w->runs[i];
        int64_t n = r->tally->all.requests + r->tally->open;
        fprintf(stderr, "%s: %lld requests in %.3f s, %.0f requests/s; %.0f a second of CPU\n",
                r->config.policy, (long long)n, r->took_s, (double)n / r->took_s,
                (double)n / r->cpu_s);
    }
}

// Progress of the bound, which reads the trace twice.
static bool bound_goes_on(void *ctx, const struct replay_progress *at)
{
    (void)ctx, (void)at;
    return !stopped;
}

static enum err find_bound(struct bound *out, const struct replay_options *o, struct run *first,
                           bool prices)
{
    const struct replay_config *r = &first->config;
    const struct bound_config c = {.p = r->p,
                                   .arrivals = r->arrivals,
                                   .events = r->events,
                                   .used = r->used,
                                   .wall_us = first->tally->wall_us,
                                   .span_us = first->tally->arrivals_us,
                                   .write_path =
                                       o->bound_write.n && !prices ? o->bound_write.p : NULL,
                                   .prices = prices,
                                   .go_on = bound_goes_on};
    return bound_run(out, &first->arena, &c, &first->diag);
}

static enum err write_prices(const struct replay_options *o, const struct portfolio *p,
                             struct run *first)
{
    struct diag *diag = &first->diag;
    const struct tally *t = first->tally;
    struct bound bound;
    char from[UNIT_TEXT], until[UNIT_TEXT], made[256];
    struct stream_out out = {.fd = -1};
    struct buf text;
    enum err e = find_bound(&bound, o, first, true);
    if (!e && bound.partial)
        e = diag_set(diag, ERR_INVALID, "%s: stopped before its prices were found",
                     o->prices_write.p);
    if (!e && strcmp(bound.status, "optimal") != 0)
        e = diag_set(diag, ERR_INVALID, "the program of the prices is %s: it has none to write",
                     bound.status);
    if (e)
        return e;
    snprintf(made, sizeof made, "of %lld requests from %s to %s, by caudal replay --bound",
             (long long)bound.requests, unit_text_instant(from, t->wall_us),
             unit_text_instant(until, t->wall_us + t->arrivals_us));
    buf_init(&text, OUTPUT_MAX);
    e = stream_out_open(&out, o->prices_write.p, diag);
    if (!e && !prices_write(&text, p, bound.prices, str_of(made)))
        e = diag_set(diag, ERR_LIMIT, "%s: the prices are too long", o->prices_write.p);
    else if (!e)
        e = stream_out_write(&out, buf_str(&text), diag);
    if (!e)
        e = stream_out_finish(&out, diag);
    else
        stream_out_drop(&out);
    buf_release(&text);
    return e;
}

// A plan that ended before the trace did was not routed by from then on.
static void say_stale(const struct portfolio *p, const struct tally *t)
{
    char date[UNIT_TEXT];
    if (p->prices && t->wall_us + t->arrivals_us >= p->prices->until_us)
        fprintf(stderr, "caudal replay: " STR_FMT " ended at %s, before the trace did\n",
                STR_ARG(p->serve.prices), unit_text_instant(date, p->prices->until_us));
}

static int finish(struct arena *a, const struct replay_options *o, const struct portfolio *p,
                  struct work *w)
{
    struct tally **tallies = arena_new(a, struct tally *, w->n_runs);
    struct bound bound;
    bool partial = false;
    for (int32_t i = 0; i < w->n_runs; i++) {
        if (w->runs[i].e)
            return fail(w->runs[i].diag.text[0] ? w->runs[i].diag.text : err_text(w->runs[i].e));
        tallies[i] = w->runs[i].tally;
        partial = partial || tallies[i]->partial;
    }
    struct replay_view view = {.p = p,
                               .runs = tallies,
                               .n_runs = w->n_named,
                               .trace = o->trace.n ? o->trace : STR("demand"),
                               .seed = (uint64_t)o->seed,
                               .arena = a};
    if (o->bound && !partial) {
        enum err e = find_bound(&bound, o, &w->runs[0], false);
        if (e)
            return fail(w->runs[0].diag.text[0] ? w->runs[0].diag.text : err_text(e));
        if (!bound.partial && o->prices_write.n)
            e = write_prices(o, p, &w->runs[0]);
        if (e)
            return fail(w->runs[0].diag.text);
        partial = bound.partial;
        view.bound = partial ? NULL : &bound;
        view.told = tallies + w->n_named;
        view.naive = tallies[w->naive];
        view.naive_is_named = w->naive < w->n_named;
    }
    if (!print_report(o, &view))
        return fail("the output could not be written");
    say_stale(p, w->runs[0].tally);
    if (o->stats)
        print_stats(w);
    return partial ? EXIT_STOPPED : EXIT_DONE;
}

// "a,b,c" to as many runs.
static enum err cut_policies(struct arena *a, struct str names, struct run *runs, int32_t *n,
                             struct diag *diag)
{
    for (struct str one; str_cut(&names, ',', &one); (*n)++) {
        struct str name = arena_str(a, str_trim(one));
        if (*n == REPLAY_POLICIES)
            return diag_set(diag, ERR_LIMIT, "--policy names more than %d", REPLAY_POLICIES);
        if (!policy_find(name.p))
            return diag_set(diag, ERR_INVALID, "no policy \"%s\": expected some of %s", name.p,
                            policy_names());
        runs[*n].config.policy = name.p;
    }
    return ERR_NONE;
}

static void add_runs_of_bound(struct work *w)
{
    w->naive = -1;
    for (int32_t i = 0; i < w->n_named; i++) {
        struct run *told = &w->runs[w->n_runs++];
        told->config.policy = w->runs[i].config.policy;
        told->config.told = true;
        if (str_eq(str_of(told->config.policy), STR("list-cheapest")))
            w->naive = i;
    }
    if (w->naive >= 0)
        return;
    w->naive = w->n_runs;
    w->runs[w->n_runs++].config.policy = "list-cheapest";
}

static int replay(struct arena *a, const struct replay_options *o, const struct portfolio *p)
{
    struct diag diag = {0};
    struct replay_config config;
    struct run *runs = arena_new(a, struct run, 2 * REPLAY_POLICIES + 1);
    struct work w = {.runs = runs, .show = isatty(STDERR_FILENO) && !o->json && !o->html};
    if (!runs)
        return fail(err_text(ERR_LIMIT));
    enum err e = replay_options_apply(o, a, p, &config, &diag);
    struct str text;
    if (!e && o->events.n)
        e = file_read(&text, a, o->events, EVENTS_BYTES, &diag);
    if (!e && o->events.n)
        e = events_read(&config.events, a, p, o->events.p, text, &diag);
    struct str names = o->policies.n ? o->policies : p->serve.policy;
    if (!e)
        e = cut_policies(a, names, runs, &w.n_runs, &diag);
    if (!e && w.n_runs > 1 && str_eq(o->trace, STR("-")))
        e = diag_set(&diag, ERR_INVALID, "several policies cannot read standard input: use a file");
    if (!e && o->bound && str_eq(o->trace, STR("-")))
        e = diag_set(&diag, ERR_INVALID, "--bound cannot read standard input twice: use a file");
    if (e)
        return fail(diag.text);
    w.n_named = w.n_runs;
    if (o->bound)
        add_runs_of_bound(&w);
    for (int32_t i = 0; i < w.n_runs; i++) {
        const char *policy = runs[i].config.policy;
        bool told = runs[i].config.told;
        runs[i].config = config;
        runs[i].config.policy = policy;
        runs[i].config.told = told;
        runs[i].config.go_on = go_on;
        runs[i].config.ctx = &runs[i];
        runs[i].work = &w;
        arena_init(&runs[i].arena, RUN_BYTES_MAX);
    }
    signal(SIGINT, on_signal);
    run_all(&w, o->jobs);
    signal(SIGINT, SIG_DFL);
    int status = finish(a, o, p, &w);
    for (int32_t i = 0; i < w.n_runs; i++)
        arena_release(&runs[i].arena);
    return status;
}

int cmd_replay(int argc, char **argv)
{
    if (argc > 1 && str_eq(str_of(argv[1]), STR("convert")))
        return replay_convert(argc - 1, argv + 1);
    struct replay_options o;
    int status = replay_options_read(&o, argc, argv);
    if (status != OPTIONS_GO)
        return status;
    struct arena a;
    arena_init(&a, PORTFOLIO_BYTES_MAX);
    struct portfolio p;
    struct problems problems;
    problems_init(&problems, &a);
    enum err e = load_portfolio(&p, &a, o.paths, o.n_paths, &problems);
    if (!e && o.prices.n)
        e = load_prices(&p, &a, o.prices, &problems);
    if (problems.errors)
        load_print_errors(&p, &problems);
    if (e) {
        status = problems.errors ? EXIT_FAILED : fail(err_text(e));
    } else if (o.decisions.n) {
        status = replay_decisions(&a, &o, &p);
    } else {
        replay_options_keep(&o, &p);
        status = replay(&a, &o, &p);
    }
    arena_release(&a);
    return status;
}
