// caudal replay - yesterday's requests through the routing code, in virtual time.

#include "cli/cmd_replay.h"

#include "base/units.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/replay_decisions.h"
#include "cli/replay_options.h"
#include "cli/replay_seeds.h"
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

// A second one ends it: the program of the bound is not to be stopped in the middle.
static void on_signal(int sig)
{
    stopped = 1;
    signal(sig, SIG_DFL);
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
    struct replay_figures figures;
    struct tally left;  // of a run that is not kept whole, what is still asked for
    bool whole;         // it is kept
    double began_s, took_s, cpu_s, shown_s;
    int64_t requests;
};

struct work {
    struct run *runs;  // [n_seeds][n_runs]
    int32_t n_runs;    // those named; with --bound the same told all lengths; and list-cheapest
    int32_t n_named;   // by --policy
    int32_t naive;     // the run of list-cheapest
    int32_t n_seeds;
    _Atomic int32_t next;
    bool show;  // progress, on a terminal
};

static bool go_on(void *ctx, const struct replay_progress *at)
{
    struct run *r = ctx;
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

// Of all seeds but the first only figures are shown, so no more of them is kept.
static void let_go(struct run *r)
{
    const struct tally *t = r->tally;
    r->left = (struct tally){.p = t->p,
                             .policy = t->policy,
                             .account = {.cost = t->account.cost},
                             .wall_us = t->wall_us,
                             .arrivals_us = t->arrivals_us,
                             .partial = t->partial};
    r->tally = &r->left;
    arena_release(&r->arena);
}

static void *run_some(void *arg)
{
    struct work *w = arg;
    int32_t i;
    while ((i = atomic_fetch_add(&w->next, 1)) < w->n_seeds * w->n_runs) {
        struct run *r = &w->runs[i];
        double cpu_s = seconds(CLOCK_THREAD_CPUTIME_ID);
        r->began_s = r->shown_s = seconds(CLOCK_MONOTONIC);
        r->tally = arena_new(&r->arena, struct tally, 1);
        r->e = r->tally ? replay_run(r->tally, &r->arena, &r->config, &r->diag) : ERR_LIMIT;
        r->took_s = seconds(CLOCK_MONOTONIC) - r->began_s;
        r->cpu_s = seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_s;
        if (r->e)
            continue;
        r->requests = r->tally->all.requests + r->tally->open;
        replay_figures_of(&r->figures, r->tally);
        if (!r->whole)
            let_go(r);
    }
    return NULL;
}

// Each run has its own memory, so how many go at once changes nothing but the time it takes.
static void run_all(struct work *w, int32_t jobs)
{
    pthread_t threads[64];
    int32_t n = 0;
    jobs = jobs < w->n_seeds * w->n_runs ? jobs : w->n_seeds * w->n_runs;
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
    for (int32_t i = 0; i < w->n_seeds * w->n_runs; i++) {
        const struct run *r = &w->runs[i];
        int64_t n = r->requests;
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

// The bound of one seed, whose runs `v` gets. `*partial`: it was stopped.
static enum err find_bound_of(struct bound *out, const struct replay_options *o, struct run *first,
                              bool prices, bool *partial)
{
    if (!first->whole)
        arena_init(&first->arena, RUN_BYTES_MAX);
    enum err e = find_bound(out, o, first, false);
    *partial = *partial || (!e && out->partial);
    if (!e && !*partial && prices)
        e = write_prices(o, first->config.p, first);
    if (!first->whole)
        arena_release(&first->arena);
    return e;
}

// Where chance makes the trace each seed has its own bound.
static enum err find_bounds(struct bound *bound, const struct replay_options *o, struct work *w,
                            struct replay_view *v, struct tally **tallies, bool *partial)
{
    bool each = o->demand || o->lengths.n;
    struct bound other;
    for (int32_t s = 0; s < w->n_seeds && !*partial; s++) {
        struct run *runs = &w->runs[s * w->n_runs];
        struct tally **of = &tallies[s * w->n_runs];
        struct replay_view one = *v;
        one.bound = s && each ? &other : bound;
        if (s == 0 || each) {
            enum err e =
                find_bound_of(s ? &other : bound, o, runs, s == 0 && o->prices_write.n, partial);
            if (e)
                return diag_set(&w->runs[0].diag, e, "%s",
                                runs->diag.text[0] ? runs->diag.text : err_text(e));
        }
        one.runs = of;
        one.told = of + w->n_named;
        one.naive = of[w->naive];
        one.naive_is_named = w->naive < w->n_named;
        for (int32_t i = 0; i < w->n_named && !*partial; i++)
            replay_figures_bound(&runs[i].figures, &one, i);
        if (s == 0)
            *v = one;
    }
    return ERR_NONE;
}

static struct replay_figures *gather_figures(struct arena *a, const struct work *w)
{
    struct replay_figures *all = arena_new(a, struct replay_figures, w->n_seeds * w->n_named);
    for (int32_t s = 0; s < w->n_seeds && all; s++)
        for (int32_t i = 0; i < w->n_named; i++)
            all[s * w->n_named + i] = w->runs[s * w->n_runs + i].figures;
    return all;
}

static int finish(struct arena *a, const struct replay_options *o, const struct portfolio *p,
                  struct work *w)
{
    struct tally **tallies = arena_new(a, struct tally *, w->n_seeds * w->n_runs);
    struct bound bound;
    bool partial = false;
    if (!tallies)
        return fail(err_text(ERR_LIMIT));
    for (int32_t i = 0; i < w->n_seeds * w->n_runs; i++) {
        if (w->runs[i].e)
            return fail(w->runs[i].diag.text[0] ? w->runs[i].diag.text : err_text(w->runs[i].e));
        tallies[i] = w->runs[i].tally;
        partial = partial || tallies[i]->partial;
    }
    struct replay_view view = {.p = p,
                               .runs = tallies,
                               .n_runs = w->n_named,
                               .trace = o->trace.n ? o->trace : STR("demand"),
                               .seed = (uint64_t)o->seeds[0],
                               .partial = partial,
                               .arena = a,
                               .events = &w->runs[0].config.events};
    if (o->bound && !partial && find_bounds(&bound, o, w, &view, tallies, &partial))
        return fail(w->runs[0].diag.text);
    view.partial = partial;
    view.bound = partial ? NULL : view.bound;
    if (o->many_seeds) {
        view.figures = gather_figures(a, w);
        view.seeds = o->seeds;
        view.n_seeds = o->n_seeds;
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

// The runs of the first seed have their policies; the others' are the same.
static void set_up(struct work *w, const struct replay_options *o,
                   const struct replay_config *config)
{
    for (int32_t i = 0; i < w->n_seeds * w->n_runs; i++) {
        struct run *r = &w->runs[i];
        const struct replay_config *like = &w->runs[i % w->n_runs].config;
        const char *policy = like->policy;
        bool told = like->told;
        uint64_t seed = (uint64_t)o->seeds[i / w->n_runs];
        r->config = *config;
        r->config.policy = policy;
        r->config.told = told;
        r->config.seed = r->config.arrivals.seed = seed;
        r->config.go_on = go_on;
        r->config.ctx = r;
        r->work = w;
        r->whole = i < w->n_runs;
        arena_init(&r->arena, RUN_BYTES_MAX);
    }
}

static enum err read_work(struct work *w, struct replay_config *config, struct arena *a,
                          const struct replay_options *o, const struct portfolio *p,
                          struct diag *diag)
{
    struct str text, names = o->policies.n ? o->policies : p->serve.policy;
    enum err e = replay_options_apply(o, a, p, config, diag);
    if (!e && o->events.n)
        e = file_read(&text, a, o->events, EVENTS_BYTES, diag);
    if (!e && o->events.n)
        e = events_read(&config->events, a, p, o->events.p, text, diag);
    if (!e)
        e = cut_policies(a, names, w->runs, &w->n_runs, diag);
    if (!e && w->n_runs * w->n_seeds > 1 && str_eq(o->trace, STR("-")))
        e = diag_set(diag, ERR_INVALID, "several %s cannot read standard input: use a file",
                     w->n_runs > 1 ? "policies" : "seeds");
    if (!e && o->bound && str_eq(o->trace, STR("-")))
        e = diag_set(diag, ERR_INVALID, "--bound cannot read standard input twice: use a file");
    if (!e && o->learn_us && str_eq(o->trace, STR("-")))
        e = diag_set(diag, ERR_INVALID, "--learn cannot read standard input twice: use a file");
    return e;
}

static int replay(struct arena *a, const struct replay_options *o, const struct portfolio *p)
{
    struct diag diag = {0};
    struct replay_config config;
    struct work w = {.runs = take_n(sizeof *w.runs, (size_t)o->n_seeds * (2 * REPLAY_POLICIES + 1)),
                     .n_seeds = o->n_seeds,
                     .show = isatty(STDERR_FILENO) && !o->json && !o->html};
    if (read_work(&w, &config, a, o, p, &diag)) {
        free(w.runs);
        return fail(diag.text);
    }
    w.n_named = w.n_runs;
    if (o->bound)
        add_runs_of_bound(&w);
    set_up(&w, o, &config);
    signal(SIGINT, on_signal);
    run_all(&w, o->jobs);
    int status = finish(a, o, p, &w);
    signal(SIGINT, SIG_DFL);
    for (int32_t i = 0; i < w.n_seeds * w.n_runs; i++)
        arena_release(&w.runs[i].arena);
    free(w.runs);
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
