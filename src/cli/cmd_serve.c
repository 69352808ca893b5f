// caudal serve - one OpenAI-compatible endpoint over a portfolio. What it does is in
// gateway/gateway.h; here are its files, its options and its environment.

#include "cli/cmd_serve.h"

#include "cli/load.h"
#include "cli/options.h"
#include "gateway/gateway.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 256, FILES_MAX = 1000, LINE_BYTES_MAX = 64 << 10, PORT_MAX = 65535 };

struct listen_at {
    struct str host;  // empty: the portfolio's
    int32_t port;     // -1: not said
};

struct serve_options {
    char **files;
    int32_t n_files;
    struct listen_at listen;
    int32_t threads;                   // -1: not said
    struct str log_format, log_level;  // empty: not said
    struct str port_file;
    struct str events;  // empty: not said
    bool take_over;
};

// --- options -----------------------------------------------------------------------------------

static enum err read_listen(void *to, struct str value, struct diag *diag)
{
    struct str host = value;
    int64_t port;
    size_t colon;
    while (host.n && host.p[host.n - 1] != ':')
        host.n--;
    bool ok = str_to_i64(str_skip(value, host.n), &port) && port >= 0 && port <= PORT_MAX;
    bool only_port = host.n == 0;
    host.n -= only_port ? 0 : 1;
    bool bracketed = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (bracketed)
        host = (struct str){host.p + 1, host.n - 2};
    bool v6 = str_find(host, STR(":"), &colon);
    if (!ok || (!host.n && !only_port) || v6 != bracketed)
        return diag_set(diag, ERR_INVALID,
                        "HOST:PORT is expected, such as 127.0.0.1:8080 or [::1]:8080, got '" STR_FMT
                        "'",
                        STR_ARG(value));
    *(struct listen_at *)to = (struct listen_at){host, (int32_t)port};
    return ERR_NONE;
}

static enum err read_log_format(void *to, struct str value, struct diag *diag)
{
    if (!str_eq(value, STR("text")) && !str_eq(value, STR("json")))
        return diag_set(diag, ERR_INVALID, "text or json is expected, got '" STR_FMT "'",
                        STR_ARG(value));
    *(struct str *)to = value;
    return ERR_NONE;
}

static enum err read_log_level(void *to, struct str value, struct diag *diag)
{
    enum log_level level;
    if (!log_level_read(&level, value))
        return diag_set(diag, ERR_INVALID,
                        "error, warn, info or debug is expected, got '" STR_FMT "'",
                        STR_ARG(value));
    *(struct str *)to = value;
    return ERR_NONE;
}

static int read_options(struct serve_options *o, int argc, char **argv)
{
    *o = (struct serve_options){.files = argv + 1, .listen = {.port = -1}, .threads = -1};
    const struct option_row rows[] = {
        option_custom("--listen", "HOST:PORT", &o->listen, read_listen,
                      "where clients come in, instead of serve.listen;\nport 0: any that is free"),
        option_count("--threads", "N", &o->threads, 0, THREADS_MAX, "loops; 0: one per core"),
        option_custom("--log-format", "FORMAT", &o->log_format, read_log_format, "text or json"),
        option_custom("--log-level", "LEVEL", &o->log_level, read_log_level,
                      "error, warn, info or debug"),
        option_text("--port-file", "FILE", &o->port_file,
                    "written when requests are taken, with the port in it"),
        option_text("--events", "FILE", &o->events,
                    "all that the routing core is told and what it answers goes\nthere, for caudal "
                    "replay --decisions"),
        option_flag("--take-over", &o->take_over,
                    "from the process that serves with the same serve.state, which ends when\n"
                    "this one is ready"),
    };
    const struct command command = {
        .name = "serve",
        .usage = "[OPTIONS] FILE...",
        .about =
            "Serves the models of a portfolio at one OpenAI-compatible address: every request "
            "goes\n"
            "where it is answered fast enough at the least cost, and elsewhere when that fails.\n"
            "Several files are merged. FILE may be - for standard input.",
        .more = "SIGTERM and SIGINT let the requests in progress end (serve.drain says how long); "
                "a second\n"
                "one ends at once. Suppliers are called through HTTPS_PROXY, where it is set, "
                "except those\n"
                "in NO_PROXY. What options do not say is the portfolio's to say.\n"
                "Exit status: 0 stopped by a signal, 1 could not serve, 2 wrong usage.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_min = 1,
        .operands_max = FILES_MAX,
        .operand = "a portfolio file",
    };
    int n;
    int status = options_begin(&command, argc, argv, &n);
    o->n_files = status == OPTIONS_GO ? n : 0;
    return status;
}

static void apply(const struct serve_options *o, struct serve_config *s)
{
    if (o->listen.host.n)
        s->host = o->listen.host;
    if (o->listen.port >= 0) {
        s->port = o->listen.port;
        s->place = (struct place){0};  // no line of a file is to blame
    }
    if (o->threads >= 0)
        s->threads = o->threads;
    if (o->events.n)
        s->events = o->events;
    if (o->log_format.n)
        s->log_format = o->log_format;
    if (o->log_level.n)
        s->log_level = o->log_level;
}

// --- the portfolio -----------------------------------------------------------------------------

static int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return S(t.tv_sec) + t.tv_nsec / 1000;
}

// A line for each problem of this severity, with no secret in it.
static void write_problems(struct buf *out, const struct portfolio *p,
                           const struct problems *problems, enum severity severity)
{
    struct buf line;
    buf_init(&line, LINE_BYTES_MAX);
    for (const struct problem *x = problems->first; x; x = x->next) {
        if (x->severity != severity)
            continue;
        buf_clear(&line);
        problem_print(&line, x);
        secrets_hide(out, p, buf_str(&line));
        buf_lit(out, "\n");
    }
    buf_release(&line);
}

static void print_errors(const struct portfolio *p, const struct problems *problems,
                         const char *file)
{
    struct buf line, shown;
    buf_init(&line, LINE_BYTES_MAX);
    buf_init(&shown, LINE_BYTES_MAX);
    for (const struct problem *x = problems->first; x; x = x->next) {
        if (x->severity != SEVERITY_ERROR)
            continue;
        buf_clear(&line);
        buf_clear(&shown);
        problem_print(&line, x);
        secrets_hide(&shown, p, buf_str(&line));
        fprintf(stderr, "error: " STR_FMT "\n", STR_ARG(buf_str(&shown)));
    }
    fprintf(stderr, "caudal serve: %s is not right: %d error%s\n", file, problems->errors,
            problems->errors == 1 ? "" : "s");
    buf_release(&line);
    buf_release(&shown);
}

static void log_warnings(struct log *log, const struct portfolio *p,
                         const struct problems *problems)
{
    struct buf line, shown;
    buf_init(&line, LINE_BYTES_MAX);
    buf_init(&shown, LINE_BYTES_MAX);
    for (const struct problem *x = problems->first; x; x = x->next) {
        buf_clear(&line);
        buf_clear(&shown);
        problem_print(&line, x);
        secrets_hide(&shown, p, buf_str(&line));
        log_line(log, LOG_WARN, "portfolio", log_str("what", buf_str(&shown)));
    }
    buf_release(&line);
    buf_release(&shown);
}

// False: it has errors, which have been printed.
static bool load(struct portfolio *p, const struct serve_options *o, struct arena *a,
                 struct problems *problems)
{
    problems_init(problems, a);
    enum err e = load_portfolio(p, a, o->files, o->n_files, problems);
    if (!e) {
        apply(o, &p->serve);
        check_portfolio(p, wall_us(), problems);
        load_check_policy(p, a, problems);
    } else if (!problems->errors) {
        problems_add(problems, SEVERITY_ERROR, (struct place){0}, STR(""), "%s", err_text(e));
    }
    if (problems->errors)
        print_errors(p, problems, o->files[0]);
    return !problems->errors;
}

// --- serving -----------------------------------------------------------------------------------

struct serving_now {
    const struct portfolio *portfolio;
    const struct serve_options *options;
};

static int32_t models_served(const struct portfolio *p)
{
    int32_t n = 0;
    for (int32_t m = 0; m < p->n_models; m++) {
        bool served = false;
        for (int32_t i = 0; i < p->n_pools && !served; i++)
            served = p->pools[i].enabled && pool_answers(&p->pools[i], m);
        n += served;
    }
    return n;
}

static int32_t pools_enabled(const struct portfolio *p)
{
    int32_t n = 0;
    for (int32_t i = 0; i < p->n_pools; i++)
        n += p->pools[i].enabled;
    return n;
}

// Whoever waits for the file never reads half of it.
static enum err write_port(struct str path, struct str port, struct diag *diag)
{
    char line[32];
    int n = snprintf(line, sizeof line, STR_FMT "\n", STR_ARG(port));
    return file_replace(path, (struct str){line, (size_t)n}, false, diag);
}

// "http://[::1]:8080/v1" -> "8080"
static struct str port_of(struct str url)
{
    struct str part, last = {0};
    while (str_cut(&url, ':', &part))
        last = part;
    str_cut(&last, '/', &part);
    return part;
}

static void on_listening(void *ctx, struct str url)
{
    const struct serving_now *now = ctx;
    const struct portfolio *p = now->portfolio;
    int32_t models = models_served(p), pools = pools_enabled(p);
    struct str file = now->options->port_file;
    struct diag diag = {0};
    if (file.n && write_port(file, port_of(url), &diag))
        fprintf(stderr, "caudal serve: --port-file %s\n", diag.text);
    printf("caudal " CAUDAL_VERSION " serving %d model%s from %d pool%s on " STR_FMT "\n", models,
           models == 1 ? "" : "s", pools, pools == 1 ? "" : "s", STR_ARG(url));
    fflush(stdout);
}

// curl's order: the lower-case name first.
static struct str env_either(const char *lower, const char *upper)
{
    const char *value = getenv(lower);
    return str_of(value && *value ? value : getenv(upper));
}

// Where things that outlive the process go when the portfolio does not say: as the XDG base
// directory specification has it for a person, /var/lib for a service.
static struct str state_folder(struct arena *a)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state)
        return arena_printf(a, "%s/caudal", state);
    if (home && *home && geteuid() != 0)
        return arena_printf(a, "%s/.local/state/caudal", home);
    return STR("/var/lib/caudal");
}

// Engines inherit our environment, and what a portfolio took from it as a secret is not for them.
static void forget_secrets(const struct portfolio *p)
{
    for (int32_t i = 0; i < p->n_secrets; i++) {
        for (char **v = environ; *v;) {
            struct str value = str_of(*v), name;
            str_cut(&value, '=', &name);
            char z[256];
            if (!p->secrets[i].n || !str_eq(value, p->secrets[i]) || name.n >= sizeof z) {
                v++;
                continue;
            }
            memcpy(z, name.p, name.n);
            z[name.n] = 0;
            if (unsetenv(z))  // moves the rest down
                v++;
        }
    }
}

struct again {  // a portfolio that was read while another was in use
    struct arena arena;
    struct portfolio portfolio;
};

static enum err load_again(void *ctx, const struct portfolio **out, struct buf *said)
{
    const struct serving_now *now = ctx;
    const struct serve_options *o = now->options;
    struct again *again = take(sizeof *again);
    struct problems problems;
    arena_init(&again->arena, PORTFOLIO_BYTES_MAX);
    problems_init(&problems, &again->arena);
    struct portfolio *p = &again->portfolio;
    enum err e = load_portfolio(p, &again->arena, o->files, o->n_files, &problems);
    if (!e) {
        apply(o, &p->serve);
        check_portfolio(p, wall_us(), &problems);
        load_check_policy(p, &again->arena, &problems);
    }
    write_problems(said, p, &problems, problems.errors ? SEVERITY_ERROR : SEVERITY_WARNING);
    if (!e && !problems.errors) {
        *out = p;
        return ERR_NONE;
    }
    arena_release(&again->arena);
    free(again);
    return e ? e : ERR_INVALID;
}

static void release_again(void *ctx, const struct portfolio *p)
{
    struct again *again = CONTAINER_OF(p, struct again, portfolio);
    (void)ctx;
    arena_release(&again->arena);
    free(again);
}

// Standard input cannot be read a second time.
static bool can_load_again(const struct serve_options *o)
{
    bool can = true;
    for (int32_t i = 0; i < o->n_files; i++)
        can = can && strcmp(o->files[i], "-") != 0;
    return can;
}

static enum err run(const struct portfolio *p, struct arena *a, const struct serve_options *o,
                    const struct problems *problems, struct diag *diag)
{
    struct log *log;
    struct serving_now now = {p, o};
    enum log_level level = LOG_INFO;
    log_level_read(&level, p->serve.log_level);
    enum err e =
        log_new(&log, p->serve.log_file, str_eq(p->serve.log_format, STR("json")), level, diag);
    if (e)
        return e;
    log_warnings(log, p, problems);
    load_keep_environment();
    forget_secrets(p);
    struct gateway_config config = {.portfolio = p,
                                    .take_over = o->take_over,
                                    .log = log,
                                    .https_proxy = env_either("https_proxy", "HTTPS_PROXY"),
                                    .no_proxy = env_either("no_proxy", "NO_PROXY"),
                                    .state = state_folder(a),
                                    .listening = on_listening,
                                    .load = can_load_again(o) ? load_again : NULL,
                                    .release = release_again,
                                    .ctx = &now};
    e = gateway_run(&config, diag);
    log_free(log);
    return e;
}

static int serve(const struct serve_options *o, struct arena *a)
{
    struct portfolio p;
    struct problems problems;
    struct diag diag = {0};
    if (!load(&p, o, a, &problems))
        return EXIT_FAILED;
    enum err e = run(&p, a, o, &problems, &diag);
    if (!e)
        return EXIT_DONE;
    struct buf shown;
    buf_init(&shown, LINE_BYTES_MAX);
    secrets_hide(&shown, &p, str_of(diag.text[0] ? diag.text : err_text(e)));
    fprintf(stderr, "caudal serve: " STR_FMT "\n", STR_ARG(buf_str(&shown)));
    buf_release(&shown);
    return EXIT_FAILED;
}

int cmd_serve(int argc, char **argv)
{
    struct serve_options o;
    int status = read_options(&o, argc, argv);
    if (status != OPTIONS_GO)
        return status;
    struct arena a;
    arena_init(&a, PORTFOLIO_BYTES_MAX);
    status = serve(&o, &a);
    arena_release(&a);
    return status;
}
