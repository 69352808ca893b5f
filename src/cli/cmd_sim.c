// caudal sim - a simulated supplier. What it does is in sim/sim.h; here are its options, its port
// and its end.

#include "cli/cmd_sim.h"

#include "cli/load.h"
#include "cli/sim_options.h"
#include "io/file.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1 << 20, MEMORY = PORTFOLIO_BYTES_MAX };

enum { DONE = 0, FAILED = 1, WRONG_USAGE = 2 };

static int complain(int code, const char *text)
{
    fprintf(stderr, "caudal sim: %s\n", text);
    if (code == WRONG_USAGE)
        fprintf(stderr, "try 'caudal sim --help'\n");
    return code;
}

static int print_help(void)
{
    struct buf b;
    buf_init(&b, FILE_BYTES_MAX);
    sim_options_help(&b);
    printf(STR_FMT, STR_ARG(buf_str(&b)));
    buf_release(&b);
    return DONE;
}

// Ten thousand streams need as many descriptors.
static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

// --- models -----------------------------------------------------------------------------------

static enum err print_problems(const struct portfolio *p, const struct problems *problems)
{
    struct buf line, shown;
    buf_init(&line, 64 << 10);
    buf_init(&shown, 64 << 10);
    for (const struct problem *at = problems->first; at; at = at->next) {
        if (at->severity != SEVERITY_ERROR)
            continue;
        buf_clear(&line);
        buf_clear(&shown);
        problem_print(&line, at);
        secrets_hide(&shown, p, buf_str(&line));
        fprintf(stderr, STR_FMT "\n", STR_ARG(buf_str(&shown)));
    }
    buf_release(&line);
    buf_release(&shown);
    return ERR_INVALID;
}

static enum err models_of_pool(struct sim_options *o, struct arena *a, struct diag *diag)
{
    struct portfolio *p = arena_new(a, struct portfolio, 1);
    struct problems problems;
    problems_init(&problems, a);
    char *path = (char *)(uintptr_t)o->portfolio;
    if (load_portfolio(p, a, &path, 1, &problems)) {
        enum err e = print_problems(p, &problems);
        return diag_set(diag, e, "%s cannot be used", o->portfolio);
    }
    int32_t index;
    if (!table_get(p->pool_names, str_of(o->pool), &index)) {
        struct str near;
        bool has_near = table_nearest(p->pool_names, str_of(o->pool), &near);
        return diag_set(diag, ERR_MISSING, "%s has no pool '%s'%s" STR_FMT "%s", o->portfolio,
                        o->pool, has_near ? " (did you mean " : "",
                        STR_ARG(has_near ? near : STR("")), has_near ? "?)" : "");
    }
    const struct pool *pool = &p->pools[index];
    int32_t n = pool->n_serves < SIM_MODELS_MAX ? pool->n_serves : SIM_MODELS_MAX;
    struct sim_model_config *models = arena_new(a, struct sim_model_config, n ? n : 1);
    if (!models || !n)
        return diag_set(diag, ERR_INVALID, "the pool '%s' serves no model", o->pool);
    for (int32_t i = 0; i < n; i++) {
        const struct serving *serving = &pool->serves[i];
        models[i].name = serving->as.n ? serving->as : p->models[serving->model].name;
        models[i].context_tok = serving_context(p, serving);
        service_of(&models[i].service, p, pool, serving->model);
    }
    o->config.models = models;
    o->config.n_models = n;
    return ERR_NONE;
}

static enum err models_of_options(struct sim_options *o, struct arena *a, struct diag *diag)
{
    if (!o->n_models)
        o->models[o->n_models++] = STR("sim");
    o->config.models = arena_new(a, struct sim_model_config, o->n_models);
    o->config.n_models = o->n_models;
    for (int32_t i = 0; i < o->n_models; i++) {
        enum err e = sim_options_model(o, o->models[i], &o->config.models[i], diag);
        if (e)
            return e;
    }
    return ERR_NONE;
}

// --- faults -----------------------------------------------------------------------------------

static enum err add_faults(struct sim *s, const struct sim_options *o, struct loop *l,
                           struct arena *a, struct diag *diag)
{
    struct sim_faults *faults = sim_faults_of(s);
    struct str text;
    enum err e = ERR_NONE;
    for (int32_t i = 0; i < o->n_faults; i++) {
        struct diag why = {.e = ERR_NONE};
        if (sim_faults_add(faults, o->faults[i], &why))
            return diag_set(diag, ERR_INVALID, "--fault: %s", why.text);
    }
    if (o->schedule)
        e = file_read(&text, a, str_of(o->schedule), FILE_BYTES_MAX, diag);
    if (o->schedule && !e)
        e = sim_faults_schedule(faults, str_of(o->schedule), text, loop_now_us(l), diag);
    return e;
}

// --- running ----------------------------------------------------------------------------------

static void stop(void *arg)
{
    loop_stop(arg);
}

static void *wait_for_signal(void *arg)
{
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    int which;
    if (sigwait(&wanted, &which) == 0)
        loop_post(arg, stop, arg);
    return NULL;
}

// SIGINT and SIGTERM end the loop. False: nobody waits for them, and they end the process.
static bool stop_on_signals(struct loop *l, pthread_t *thread)
{
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &blocked, NULL))
        return false;
    if (pthread_create(thread, NULL, wait_for_signal, l) == 0)
        return true;
    pthread_sigmask(SIG_UNBLOCK, &blocked, NULL);
    return false;
}

// Under another name first: whoever waits for the file finds it whole.
static enum err write_port(const char *path, int32_t port, struct diag *diag)
{
    char next[4096];
    int n = snprintf(next, sizeof next, "%s.%ld", path, (long)getpid());
    FILE *f = n > 0 && (size_t)n < sizeof next ? fopen(next, "we") : NULL;
    if (!f)
        return diag_set(diag, ERR_SYSTEM, "--port-file %s: %s", path, strerror(errno));
    bool written = fprintf(f, "%d\n", port) > 0;
    written = fclose(f) == 0 && written;
    if (!written || rename(next, path)) {
        remove(next);
        return diag_set(diag, ERR_SYSTEM, "--port-file %s: %s", path, strerror(errno));
    }
    return ERR_NONE;
}

static enum err serve(const struct sim_options *o, struct loop *l, struct arena *a,
                      struct diag *diag)
{
    struct sim *s = sim_new(l, &o->config);
    enum err e = add_faults(s, o, l, a, diag);
    if (!e)
        e = sim_listen(s, o->host, o->port, diag);
    if (!e && o->port_file)
        e = write_port(o->port_file, sim_port(s), diag);
    if (!e) {
        pthread_t thread;
        bool waits = stop_on_signals(l, &thread);
        bool v6 = memchr(o->host.p, ':', o->host.n) != NULL;
        printf("listening on http://%s" STR_FMT "%s:%d/v1\n", v6 ? "[" : "", STR_ARG(o->host),
               v6 ? "]" : "", sim_port(s));
        fflush(stdout);
        loop_run(l);
        if (waits)
            pthread_join(thread, NULL);
    }
    sim_free(s);
    return e;
}

static int run(struct sim_options *o, struct arena *a)
{
    struct diag diag = {.e = ERR_NONE};
    enum err e = o->pool ? models_of_pool(o, a, &diag) : models_of_options(o, a, &diag);
    if (e)
        return complain(o->pool ? FAILED : WRONG_USAGE, diag.text);
    raise_descriptors();
    struct loop *l;
    e = loop_new(&l, &diag);
    if (e)
        return complain(FAILED, diag.text);
    e = serve(o, l, a, &diag);
    loop_free(l);
    if (e)
        return complain(e == ERR_INVALID ? WRONG_USAGE : FAILED, diag.text);
    return DONE;
}

int cmd_sim(int argc, char **argv)
{
    struct diag diag = {.e = ERR_NONE};
    struct arena a;
    arena_init(&a, MEMORY);
    struct sim_options *o = arena_new(&a, struct sim_options, 1);
    int code;
    if (sim_options_read(o, argc, argv, &diag))
        code = complain(WRONG_USAGE, diag.text);
    else if (o->help)
        code = print_help();
    else
        code = run(o, &a);
    arena_release(&a);
    return code;
}
