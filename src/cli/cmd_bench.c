// caudal bench - a supplier, or two, measured from outside.
//
//   sweep.c: level after level -> load.c: users, arrivals -> caller.c: one answer and its times
//      \-> row.c: figures -> points.c: operating points -> table, JSON, YAML

#include "cli/cmd_bench.h"

#include "cli/bench_view.h"
#include "cli/options.h"
#include "cli/out_file.h"
#include "io/tls.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { VIEW_BYTES_MAX = 64 << 20, OUTPUT_MAX = 64 << 20, EXIT_STOPPED = 130 };

static int fail(const char *why)
{
    fprintf(stderr, "caudal bench: %s\n", why);
    return EXIT_FAILED;
}

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

// A line for each level on a terminal, since a level may take minutes.
static void on_row(void *ctx, int32_t side, const struct row *r)
{
    const struct bench_view *v = ctx;
    char load[32];
    if (r->users)
        snprintf(load, sizeof load, "%d users", r->users);
    else
        snprintf(load, sizeof load, "%.4g/s", r->rate_per_s);
    fprintf(stderr,
            "  %s%s, prompt %d, answer %d: ttft %.1f ms, %.1f tok/s a user, %.1f in all%s\n",
            v->options->n_sides == 1 ? ""
            : side                   ? "B: "
                                     : "A: ",
            load, r->prompt_asked, r->output_asked, r->ttft_us.value / 1e3,
            r->per_token_us.value > 0 ? 1e6 / r->per_token_us.value : 0, r->throughput_tok_s.value,
            r->saturated ? ", saturated" : "");
}

enum err bench_target_make(struct bench_target *out, const struct bench_options *o, int32_t i,
                           struct diag *diag)
{
    const struct bench_side *side = &o->sides[i];
    const struct web_trust *t = &o->trust;
    *out = (struct bench_target){.host = side->url.host,
                                 .port = side->url.port,
                                 .bracketed = side->url.bracketed,
                                 .path = side->url.path,
                                 .surface = side->surface,
                                 .model = side->model,
                                 .key = side->key,
                                 .plain = o->plain,
                                 .timeout_us = o->timeout_us};
    if (!side->url.tls)
        return ERR_NONE;
    return tls_client_new(&out->tls,
                          &(struct tls_config){.server_name = side->url.host,
                                               .ca_file = t->ca,
                                               .certificate = t->certificate,
                                               .key = t->key.n ? t->key : t->certificate},
                          diag);
}

void bench_target_release(struct bench_target *t)
{
    tls_client_free(t->tls);
    t->tls = NULL;
}

struct purse bench_purse(const struct bench_options *o, int32_t i)
{
    const struct tariff *price = &o->sides[i].price;
    return (struct purse){.tok_left = o->tok_max,
                          .nusd_left = o->budget_nusd,
                          .input_nusd_per_tok = price->input_nusd_per_tok,
                          .output_nusd_per_tok = price->output_nusd_per_tok};
}

static enum err measure(struct bench_view *v, struct diag *diag)
{
    const struct bench_options *o = v->options;
    struct sweep_config c = o->sweep;
    struct sweep sweeps[BENCH_SIDES];
    c.stop = &stopped;
    c.ctx = v;
    if (isatty(STDERR_FILENO) && !o->json)
        c.told = on_row;
    for (int32_t i = 0; i < o->n_sides; i++)
        sweeps[i] = v->sides[i].sweep;
    enum err e = sweep_run(sweeps, o->n_sides, &c, diag);
    for (int32_t i = 0; i < o->n_sides; i++) {
        struct bench_side_view *s = &v->sides[i];
        s->sweep = sweeps[i];
        if (!e)
            e = points_of_rows(&s->points, &s->n_points, v->arena, s->sweep.rows, s->sweep.n);
        if (!e && s->n_points)
            points_service(&s->service, s->points, s->n_points);
    }
    v->stopped = stopped;
    return e;
}

// What was measured is shown whatever becomes of the files: it may have cost money.
static int write_as(const struct bench_view *v, struct str file,
                    void (*write)(struct buf *out, const struct bench_view *v))
{
    struct buf out;
    struct diag diag = {0};
    if (!file.n)
        return EXIT_DONE;
    buf_init(&out, OUTPUT_MAX);
    write(&out, v);
    enum err e = out_file_write(file, buf_str(&out), &diag);
    buf_release(&out);
    return e ? fail(diag.text) : EXIT_DONE;
}

static int write_points(const struct bench_view *v)
{
    bool points = false;
    for (int32_t i = 0; i < v->options->n_sides; i++)
        points = points || v->sides[i].n_points > 0;
    if (v->options->points.n && !points)
        return fail("no level makes an operating point: nothing is written to --points");
    return write_as(v, v->options->points, bench_yaml);
}

static int show(const struct bench_view *v)
{
    const struct bench_options *o = v->options;
    int status = EXIT_DONE;
    if (!str_eq(o->points, STR("-")) && !str_eq(o->table, STR("-")) && !str_eq(o->html, STR("-")))
        status = write_as(v, STR("-"), o->json ? bench_json : bench_text);
    int points = write_points(v), table = write_as(v, o->table, bench_csv),
        html = write_as(v, o->html, bench_html);
    return status || points || table || html ? EXIT_FAILED : EXIT_DONE;
}

static int64_t wall_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return S(now.tv_sec) + now.tv_nsec / 1000;
}

static int bench_levels(const struct bench_options *o)
{
    struct arena a;
    struct diag diag = {0};
    enum err e = ERR_NONE;
    arena_init(&a, VIEW_BYTES_MAX);
    struct bench_view v = {.arena = &a, .options = o, .wall_us = wall_now_us()};
    for (int32_t i = 0; i < o->n_sides && !e; i++) {
        e = bench_target_make(&v.sides[i].sweep.target, o, i, &diag);
        v.sides[i].sweep.purse = bench_purse(o, i);
    }
    if (!e)
        e = bench_power_start(&v, &stopped, &diag);
    if (!e)
        e = measure(&v, &diag);
    int status = e ? fail(diag.text[0] ? diag.text : err_text(e)) : show(&v);
    bench_power_stop(&v);
    for (int32_t i = 0; i < o->n_sides; i++) {
        bench_target_release(&v.sides[i].sweep.target);
        sweep_release(&v.sides[i].sweep);
    }
    arena_release(&a);
    return status;
}

int cmd_bench(int argc, char **argv)
{
    if (argc > 1 && str_eq(str_of(argv[1]), STR("fit")))
        return bench_fit(argc - 1, argv + 1);
    struct bench_options o;
    struct diag diag = {0};
    int status = bench_options_read(&o, argc, argv);
    if (status != OPTIONS_GO)
        return status;
    if (out_file_check(o.points, &diag) || out_file_check(o.table, &diag) ||
        out_file_check(o.html, &diag) || out_file_check(o.diff, &diag))
        return fail(diag.text);
    signal(SIGINT, on_signal);
    status = o.agree.n ? bench_agree(&o, &stopped) : bench_levels(&o);
    signal(SIGINT, SIG_DFL);
    return status == EXIT_DONE && stopped ? EXIT_STOPPED : status;
}
