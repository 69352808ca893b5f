// caudal bench fit - parameters of service.h from tables of measurements, with their error.

#include "cli/cmd_bench.h"

#include "bench/roofs.h"
#include "bench/validate.h"
#include "cli/columns.h"
#include "cli/load.h"
#include "cli/options.h"
#include "cli/out_file.h"
#include "io/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARENA_MAX = 1 << 30, TABLE_BYTES_MAX = 512 << 20, OUTPUT_MAX = 256 << 20 };

struct fit_options {
    struct str out, shapes;
    int32_t seed;
    bool json;
};

static int fail(const char *why)
{
    fprintf(stderr, "caudal bench fit: %s\n", why);
    return EXIT_FAILED;
}

// --- how good it is -----------------------------------------------------------------------------

static const struct tried {
    const char *name, *what, *kind_of_row;
    struct trial trial;
    bool unseen;
} tried[] = {
    {"service model", "per token", "configuration seen", {FIT_STEP, FITTED_SERVICE, false}, false},
    {"service model", "ttft", "configuration seen", {FIT_TTFT, FITTED_SERVICE, false}, false},
    {"service model", "per token", "repeats apart", {FIT_STEP, FITTED_SERVICE, true}, false},
    {"service model", "ttft", "repeats apart", {FIT_TTFT, FITTED_SERVICE, true}, false},
    {"curve", "per token", "configuration seen", {FIT_STEP, FITTED_CURVE, false}, false},
    {"curve", "ttft", "configuration seen", {FIT_TTFT, FITTED_CURVE, false}, false},
    {"curve", "per token", "repeats apart", {FIT_STEP, FITTED_CURVE, true}, false},
    {"curve", "ttft", "repeats apart", {FIT_TTFT, FITTED_CURVE, true}, false},
    {"service model",
     "per token",
     "configuration not seen",
     {FIT_STEP, FITTED_SERVICE, false},
     true},
    {"service model", "ttft", "configuration not seen", {FIT_TTFT, FITTED_SERVICE, false}, true},
};

// What was tried, and how far off it was.
struct outcome {
    const char *name, *what, *kind_of_row;
    bool seen;
    struct error_summary off;
};

enum { OUTCOMES_MAX = COUNTOF(tried) + 6 };

struct outcomes {
    struct outcome all[OUTCOMES_MAX];
    int32_t n;
    struct roofline weights;  // fitted to all rows
    int32_t n_known;          // rows with a shape; 0: none were asked for
};

static void add(struct outcomes *o, const char *name, const char *what, const char *kind_of_row,
                bool seen, const double *errors, int32_t n)
{
    CHECK(o->n < OUTCOMES_MAX);
    o->all[o->n++] = (struct outcome){name, what, kind_of_row, seen, error_summary_of(errors, n)};
}

static void try_shapes(struct outcomes *o, const struct measured_table *t,
                       const struct portfolio *shapes)
{
    double *step = take_n(sizeof *step, (size_t)t->n + 1);
    double *first = take_n(sizeof *first, (size_t)t->n + 1);
    bool *all = take_n(sizeof *all, (size_t)t->n + 1);
    struct roofs r;
    roofs_init(&r, t, shapes);
    o->n_known = r.n_known;
    for (int32_t i = 0; i < t->n; i++)
        all[i] = true;
    roofs_fit(&o->weights, &r, all);
    roofs_validate_config(step, first, &r);
    add(o, "roofline and kin", "per token", "configuration not seen", false, step, t->n);
    add(o, "roofline and kin", "ttft", "configuration not seen", false, first, t->n);
    roofs_validate_system(step, first, &r);
    add(o, "roofline", "per token", "system not seen", false, step, t->n);
    add(o, "roofline", "ttft", "system not seen", false, first, t->n);
    roofs_release(&r);
    free(step);
    free(first);
    free(all);
}

static void try_all(struct outcomes *o, const struct measured_table *t,
                    const struct portfolio *shapes, uint64_t seed)
{
    double *errors = take_n(sizeof *errors, (size_t)t->n + 1);
    o->n = 0;
    for (size_t i = 0; i < COUNTOF(tried); i++) {
        const struct tried *x = &tried[i];
        if (x->unseen)
            validate_unseen(errors, t, &x->trial);
        else
            validate_seen(errors, t, &x->trial, seed);
        add(o, x->name, x->what, x->kind_of_row, !x->unseen, errors, t->n);
    }
    double *first = take_n(sizeof *first, (size_t)t->n + 1);
    validate_repeats(errors, first, t);
    add(o, "its repeats", "per token", "measured again", false, errors, t->n);
    add(o, "its repeats", "ttft", "measured again", false, first, t->n);
    free(first);
    free(errors);
    if (shapes)
        try_shapes(o, t, shapes);
}

static void weights_text(struct buf *out, const struct outcomes *o)
{
    buf_printf(out, "\nroofline, fitted to the %d rows whose shape is known\n  step ", o->n_known);
    for (int i = 0; i < ROOF_STEP_TERMS; i++)
        buf_printf(out, " %.6g", o->weights.step[i]);
    buf_lit(out, "\n  first");
    for (int i = 0; i < ROOF_FIRST_TERMS; i++)
        buf_printf(out, " %.6g", o->weights.first[i]);
    buf_lit(out, "\n");
}

static struct str off_text(struct arena *a, const struct outcome *x, double off)
{
    return x->off.n ? arena_printf(a, "%.1f %%", 100 * off) : STR("-");
}

static void report_text(struct buf *out, struct arena *a, const struct measured_table *t,
                        const struct outcomes *o)
{
    struct columns c;
    buf_printf(out, "%d rows of %d configurations; left out: ", t->n, t->n_configs);
    measured_outs_text(out, t);
    buf_lit(out, "\n\noff on rows not seen\n");
    columns_init(&c, a);
    columns_row(&c, "fit", "of", "row's", "median", "p90", "rows", NULL);
    for (int32_t i = 0; i < o->n; i++) {
        const struct outcome *x = &o->all[i];
        const struct str cells[] = {str_of(x->name),
                                    str_of(x->what),
                                    str_of(x->kind_of_row),
                                    off_text(a, x, x->off.median),
                                    off_text(a, x, x->off.p90),
                                    arena_printf(a, "%d", x->off.n)};
        columns_row_str(&c, cells, COUNTOF(cells));
    }
    columns_print(&c, out, 2, 0x38);
    if (o->n_known)
        weights_text(out, o);
}

static void weights_json(struct buf *out, const char *name, const double *w, int n)
{
    buf_printf(out, ",\"%s\":[", name);
    for (int i = 0; i < n; i++)
        buf_printf(out, "%s%.10g", i ? "," : "", w[i]);
    buf_lit(out, "]");
}

static void report_json(struct buf *out, const struct measured_table *t, const struct outcomes *o)
{
    buf_printf(out,
               "{\"rows\":%d,\"configurations\":%d,\"saturated\":%d,\"without_batch\":%d,"
               "\"without_time\":%d,\"cut_off\":%d,\"warm_prefix\":%d,\"errors\":[",
               t->n, t->n_configs, t->left_out[MEASURED_SATURATED], t->left_out[MEASURED_NO_BATCH],
               t->left_out[MEASURED_NO_TIME], t->left_out[MEASURED_CUT_OFF],
               t->left_out[MEASURED_WARM]);
    for (int32_t i = 0; i < o->n; i++) {
        const struct outcome *x = &o->all[i];
        buf_printf(out,
                   "%s{\"fit\":\"%s\",\"of\":\"%s\",\"seen\":%s,\"row\":\"%s\",\"median\":%.10g,"
                   "\"p90\":%.10g,\"rows\":%d}",
                   i ? "," : "", x->name, x->what, x->seen ? "true" : "false", x->kind_of_row,
                   x->off.median, x->off.p90, x->off.n);
    }
    buf_lit(out, "]");
    if (o->n_known) {
        weights_json(out, "roofline_step", o->weights.step, ROOF_STEP_TERMS);
        weights_json(out, "roofline_first", o->weights.first, ROOF_FIRST_TERMS);
    }
    buf_lit(out, "}\n");
}

// --- the chips ----------------------------------------------------------------------------------

static void models(struct buf *out, const struct measured_table *t)
{
    buf_lit(out, "models:\n");
    for (int32_t i = 0; i < t->n; i++) {
        if (i && str_eq(t->rows[i].model, t->rows[i - 1].model))
            continue;
        buf_lit(out, "  ");
        buf_add_json(out, t->rows[i].model);
        buf_lit(out, ": {}\n");
    }
}

// A parameter that is 0 need not be said.
static void duration(struct buf *out, const char *key, double us)
{
    if (us > 0)
        buf_printf(out, ", %s: %.6g us", key, us);
}

static void point(struct buf *out, const struct measured_table *t, int32_t from, int32_t to)
{
    const struct measured *row = &t->rows[from];
    struct service s;
    double batch = 1, prompt = 0, slots = 1;
    CHECK(validate_service(&s, t, from, to));
    if (s.prefill_split)
        buf_lit(out, "      # one length of prompt: half of a prefill is taken to be there however "
                     "short it is\n");
    for (int32_t i = from; i < to; i++) {
        batch = t->rows[i].batch > batch ? t->rows[i].batch : batch;
        prompt = t->rows[i].prompt > prompt ? t->rows[i].prompt : prompt;
        slots = t->rows[i].users > slots ? t->rows[i].users : slots;
    }
    buf_lit(out, "      - {model: ");
    buf_add_json(out, row->model);
    if (row->chips > 0)
        buf_printf(out, ", chips: %d", row->chips);
    buf_printf(out, ", step: %.6g us", s.step_us);
    duration(out, "step_per_sequence", s.step_us_per_seq);
    duration(out, "step_per_root", s.step_us_per_root);
    duration(out, "step_per_context", s.step_us_per_ctx);
    duration(out, "step_per_prompt", s.join_us_per_tok);
    if (s.prefill_us_per_tok > 0)
        buf_printf(out, ", prefill: %.6g tok/s", 1e6 / s.prefill_us_per_tok);
    duration(out, "prefill_start", s.prefill_us);
    duration(out, "prefill_per_token2", s.prefill_us_per_tok2);
    duration(out, "prefill_per_sequence", s.prefill_us_per_seq);
    duration(out, "prefill_per_token_sequence", s.prefill_us_per_tok_seq);
    buf_printf(out, ", batch: %.6g, prompt: %.0f tok, slots: %.0f, basis: measured}\n", batch,
               prompt, batch > slots ? ceil(batch) : slots);
}

// How far off it is, where there were rows enough to tell.
static struct str off_rows(struct arena *a, const double *step_off, const double *ttft_off,
                           int32_t n)
{
    struct error_summary step = error_summary_of(step_off, n);
    struct error_summary ttft = error_summary_of(ttft_off, n);
    if (!step.n)
        return STR("too few to say how far off");
    return arena_printf(a, "median error on rows not seen: per token %.1f %%%s", 100 * step.median,
                        ttft.n ? arena_printf(a, ", ttft %.1f %%", 100 * ttft.median).p
                               : "; too few to say of the ttft");
}

static void chip(struct buf *out, struct arena *a, const struct measured_table *t, int32_t from,
                 int32_t to, const double *step_off, const double *ttft_off)
{
    const struct measured *row = &t->rows[from];
    struct str off = off_rows(a, step_off + from, ttft_off + from, to - from);
    buf_lit(out, "  ");
    buf_add_json(out, arena_printf(a, STR_FMT "-%d", STR_ARG(row->system), row->config + 1));
    buf_lit(out, ":\n    source: ");
    buf_add_json(out, arena_printf(a, "caudal bench fit, %d rows; " STR_FMT "%s" STR_FMT, to - from,
                                   STR_ARG(off), row->setup.n ? "; " : "", STR_ARG(row->setup)));
    buf_lit(out, "\n    points:\n");
    point(out, t, from, to);
}

static void chips(struct buf *out, struct arena *a, const struct measured_table *t, uint64_t seed)
{
    double *step_off = take_n(sizeof *step_off, (size_t)t->n + 1);
    double *ttft_off = take_n(sizeof *ttft_off, (size_t)t->n + 1);
    validate_seen(step_off, t, &(struct trial){FIT_STEP, FITTED_SERVICE, false}, seed);
    validate_seen(ttft_off, t, &(struct trial){FIT_TTFT, FITTED_SERVICE, false}, seed);
    buf_lit(out, "# Fitted by caudal bench fit. Each chip is one configuration of one model, with "
                 "the error of its\n"
                 "# fit on rows that it had not seen. A batch beyond `slots` was not measured.\n"
                 "caudal: 1\npools: {}  # yours, in another file\n");
    models(out, t);
    buf_lit(out, "chips:\n");
    for (int32_t from = 0, to; from < t->n; from = to) {
        for (to = from; to < t->n && t->rows[to].config == t->rows[from].config;)
            to++;
        chip(out, a, t, from, to, step_off, ttft_off);
    }
    free(step_off);
    free(ttft_off);
}

// --- the command --------------------------------------------------------------------------------

static enum err read_tables(struct measured_table *t, struct arena *a, char **paths, int n,
                            struct diag *diag)
{
    enum err e = ERR_NONE;
    for (int i = 0; i < n && !e; i++) {
        struct str text;
        e = file_read(&text, a, str_of(paths[i]), TABLE_BYTES_MAX, diag);
        if (!e)
            e = measured_read(t, a, paths[i], text, diag);
    }
    if (!e && t->n == 0) {
        struct buf why;
        buf_init(&why, DIAG_BYTES);
        measured_outs_text(&why, t);
        e = diag_set(diag, ERR_INVALID, "no row is left to fit; left out: " STR_FMT,
                     STR_ARG(buf_str(&why)));
        buf_release(&why);
    }
    measured_sort(t);
    return e;
}

static bool read_shapes(struct portfolio *out, struct arena *a, struct str path)
{
    struct problems problems;
    char *paths[] = {(char *)arena_str(a, path).p};
    problems_init(&problems, a);
    bool read =
        paths[0] && load_portfolio(out, a, paths, 1, &problems) == ERR_NONE && !problems.errors;
    if (!read)
        load_print_errors(out, &problems);
    return read;
}

static int show(struct arena *a, const struct fit_options *o, const struct measured_table *t,
                const struct portfolio *shapes)
{
    struct buf out;
    struct diag diag = {0};
    struct outcomes outcomes = {.n = 0};
    uint64_t seed = (uint64_t)o->seed;
    int status = EXIT_DONE;
    buf_init(&out, OUTPUT_MAX);
    if (o->out.n) {
        chips(&out, a, t, seed);
        if (out.overflow)
            status = fail("the chips are too long to be written");
        else if (out_file_write(o->out, buf_str(&out), &diag))
            status = fail(diag.text);
        buf_clear(&out);
    }
    try_all(&outcomes, t, shapes, seed);
    if (o->json)
        report_json(&out, t, &outcomes);
    else
        report_text(&out, a, t, &outcomes);
    if (!str_eq(o->out, STR("-")) && out_file_write(STR("-"), buf_str(&out), &diag))
        status = fail(diag.text);
    buf_release(&out);
    return status;
}

int bench_fit(int argc, char **argv)
{
    struct fit_options o = {.seed = 1};
    const struct option_row rows[] = {
        option_text("--out", "FILE", &o.out,
                    "writes chips for the portfolio, as YAML;\n- is standard output, instead of "
                    "the errors"),
        option_text("--shapes", "FILE", &o.shapes,
                    "models and chips by the table's names: judges what has no points too"),
        option_count("--seed", "N", &o.seed, 0, INT32_MAX, "of the folds; 1"),
        option_flag("--json", &o.json, "the errors for programs, one JSON object"),
    };
    const struct command command = {
        .name = "bench fit",
        .usage = "[--out FILE] TABLE...",
        .about =
            "Fits the model of service time to tables of measurements, and says how far off it is\n"
            "on rows that it has not seen.",
        .more =
            "\nA table is what caudal bench --table or --json writes, or CSV, also gzip or zstd, "
            "with "
            "the columns\n"
            "model_path, system, isl, osl, batch_size, silicon_ttft_ms and silicon_tpot_ms; all "
            "others say\n"
            "the configuration. A row that does not say itself why it is left out is, as "
            "saturated, "
            "where its\n"
            "time to the first token is above 5 s.\n",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_min = 1,
        .operands_max = 64,
        .operand = "a table of measurements",
    };
    int n_operands;
    int status = options_begin(&command, argc, argv, &n_operands);
    struct diag diag = {0};
    if (status != OPTIONS_GO)
        return status;
    if (out_file_check(o.out, &diag))
        return fail(diag.text);
    struct arena a;
    struct measured_table t = {0};
    struct portfolio shapes;
    arena_init(&a, ARENA_MAX);
    enum err e = read_tables(&t, &a, argv + 1, n_operands, &diag);
    if (e)
        status = fail(diag.text[0] ? diag.text : err_text(e));
    else if (o.shapes.n && !read_shapes(&shapes, &a, o.shapes))
        status = EXIT_FAILED;
    else
        status = show(&a, &o, &t, o.shapes.n ? &shapes : NULL);
    free(t.rows);
    arena_release(&a);
    return status;
}
