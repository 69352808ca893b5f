// caudal bench --agree: may one supplier's model stand in for the other's?
//
//   agree_read.c: questions -> agree_run.c: both answer -> agree.c: the same? -> text, JSON, --diff

#include "base/units.h"
#include "bench/agree_run.h"
#include "cli/bench_view.h"
#include "cli/columns.h"
#include "cli/options.h"
#include "cli/receipt.h"
#include "io/file.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

enum { ARENA_BYTES_MAX = 256 << 20, FILE_BYTES_MAX = 64 << 20, OUTPUT_MAX = 64 << 20 };

struct view {
    const struct bench_options *o;
    struct arena *arena;
    struct agree_questions questions;
    struct agree_side sides[AGREE_SIDES];
    struct agree_counts counts;
    bool stopped;
};

static int fail(const char *why)
{
    fprintf(stderr, "caudal bench: %s\n", why);
    return EXIT_FAILED;
}

static bool both_answered(const struct view *v, int32_t i)
{
    return v->sides[0].answers[i].answered && v->sides[1].answers[i].answered;
}

static struct agreement agreement_at(const struct view *v, int32_t i)
{
    return agreement_of(&v->questions.at[i], &v->sides[0].answers[i], &v->sides[1].answers[i]);
}

// --- text -------------------------------------------------------------------------------------

static void share_row(struct columns *c, const char *name, int32_t k, int32_t n)
{
    struct figure f = wilson_of(k, n);
    const struct str cells[] = {
        str_of(name),
        arena_printf(c->arena, "%d", k),
        arena_printf(c->arena, "%d", n),
        n ? arena_printf(c->arena, "%.1f %%", 100 * f.value) : STR("-"),
        n ? arena_printf(c->arena, "%.1f to %.1f %%", 100 * f.low, 100 * f.high) : STR("-"),
    };
    columns_row_str(c, cells, COUNTOF(cells));
}

static void add_table(struct buf *out, const struct view *v)
{
    const struct agree_counts *k = &v->counts;
    struct columns c;
    columns_init(&c, v->arena);
    columns_row(&c, "", "answers", "of", "share", "95 %", NULL);
    share_row(&c, "agree, to the letter", k->exact, k->n);
    share_row(&c, "agree, forms left aside", k->normal, k->n);
    if (v->questions.n_checked) {
        share_row(&c, "agree, by the checks", k->both + k->neither, k->checked);
        share_row(&c, "the first is right", k->both + k->only[0], k->checked);
        share_row(&c, "the second is right", k->both + k->only[1], k->checked);
        share_row(&c, "both are", k->both, k->checked);
        share_row(&c, "only the first is", k->only[0], k->checked);
        share_row(&c, "only the second is", k->only[1], k->checked);
    }
    columns_print(&c, out, 2, 0x1e);
}

static void add_faults(struct buf *out, const struct view *v)
{
    for (int32_t i = 0; i < AGREE_SIDES; i++) {
        if (!v->sides[i].n_failed)
            continue;
        buf_printf(out, "  note          the %s gave no answer to %d, which are left out: ",
                   i ? "second" : "first", v->sides[i].n_failed);
        int32_t k = 0;
        while (!v->sides[i].answers[k].why[0])
            k++;
        add_shown(out, str_of(v->sides[i].answers[k].why));
        buf_lit(out, "\n");
    }
    for (int32_t i = 0; i < AGREE_SIDES; i++)
        if (v->sides[i].purse.stopped)
            buf_lit(out, "  note          ended by --tokens or --budget\n");
    if (v->stopped)
        buf_lit(out, "  note          stopped before the end: this is what was answered so far\n");
}

// What a portfolio says of it. A comment: whether this is equal enough is for people to say.
static void add_stanza(struct buf *out, const struct view *v)
{
    const struct agree_counts *k = &v->counts;
    struct figure normal = wilson_of(k->normal, k->n);
    struct figure checks = wilson_of(k->both + k->neither, k->checked);
    struct timespec now;
    char date[UNIT_TEXT];
    clock_gettime(CLOCK_REALTIME, &now);
    buf_printf(out,
               "# groups:\n#   # %s, caudal bench --agree, %d questions: agree %.1f %% [%.1f to "
               "%.1f] forms left aside",
               unit_text_date(date, S(now.tv_sec)), k->n, 100 * normal.value, 100 * normal.low,
               100 * normal.high);
    if (k->checked)
        buf_printf(out, ", %.1f %% [%.1f to %.1f] by %d checks", 100 * checks.value,
                   100 * checks.low, 100 * checks.high, k->checked);
    buf_lit(out, "\n#   NAME: [");
    add_shown(out, v->o->sides[0].model);
    buf_lit(out, ", ");
    add_shown(out, v->o->sides[1].model);
    buf_lit(out, "]\n");
}

static void add_text(struct buf *out, const struct view *v)
{
    for (int32_t i = 0; i < AGREE_SIDES; i++)
        buf_printf(out, "%s" STR_FMT " of " STR_FMT, i ? "\nand " : "",
                   STR_ARG(v->o->sides[i].model), STR_ARG(v->o->sides[i].url_text));
    buf_printf(out, "\n%d questions, greedy, answers of at most %d tokens\n\n", v->questions.n,
               v->o->sweep.outputs[0]);
    add_table(out, v);
    add_faults(out, v);
    if (v->counts.n) {
        buf_lit(out, "\n");
        add_stanza(out, v);
    }
}

// --- JSON -------------------------------------------------------------------------------------

static void add_share(struct buf *out, const char *name, int32_t k, int32_t n)
{
    struct figure f = wilson_of(k, n);
    buf_printf(out,
               ",\"%s\":{\"answers\":%d,\"of\":%d,\"share\":%.10g,\"low\":%.10g,\"high\":%.10g}",
               name, k, n, f.value, f.low, f.high);
}

static void add_json(struct buf *out, const struct view *v)
{
    const struct agree_counts *k = &v->counts;
    buf_printf(out, "{\"questions\":%d,\"answered_by_both\":%d,\"stopped\":%s,\"suppliers\":[",
               v->questions.n, k->n, v->stopped ? "true" : "false");
    for (int32_t i = 0; i < AGREE_SIDES; i++) {
        buf_printf(out, "%s{\"url\":", i ? "," : "");
        buf_add_json(out, v->o->sides[i].url_text);
        buf_lit(out, ",\"model\":");
        buf_add_json(out, v->o->sides[i].model);
        buf_printf(out, ",\"failed\":%d,\"spent_tok\":%.10g,\"stopped_by_bound\":%s",
                   v->sides[i].n_failed, v->sides[i].purse.spent_tok,
                   v->sides[i].purse.stopped ? "true" : "false");
        add_share(out, "right", k->both + k->only[i], k->checked);
        buf_lit(out, "}");
    }
    buf_lit(out, "]");
    add_share(out, "exact", k->exact, k->n);
    add_share(out, "normal", k->normal, k->n);
    add_share(out, "by_check", k->both + k->neither, k->checked);
    add_share(out, "both_right", k->both, k->checked);
    add_share(out, "only_first_right", k->only[0], k->checked);
    add_share(out, "only_second_right", k->only[1], k->checked);
    buf_lit(out, "}\n");
}

// --- where they differ ------------------------------------------------------------------------

static void add_answer(struct buf *out, const char *name, const struct agree_answer *answer)
{
    buf_printf(out, ",\"%s\":", name);
    if (answer->answered)
        buf_add_json(out, buf_str(&answer->text));
    else
        buf_lit(out, "null");
}

static void add_difference(struct buf *out, const struct view *v, int32_t i)
{
    const struct agree_question *q = &v->questions.at[i];
    struct agreement x = agreement_at(v, i);
    if (x.normal && (!x.checked || x.right[0] == x.right[1]))
        return;
    buf_printf(out, "{\"line\":%d", q->line);
    if (q->id.n) {
        buf_lit(out, ",\"id\":");
        buf_add_json(out, q->id);
    }
    if (q->prompt.n) {
        buf_lit(out, ",\"prompt\":");
        buf_add_json(out, q->prompt);
    }
    add_answer(out, "first", &v->sides[0].answers[i]);
    add_answer(out, "second", &v->sides[1].answers[i]);
    buf_printf(out, ",\"normal\":%s", x.normal ? "true" : "false");
    if (x.checked)
        buf_printf(out, ",\"right\":[%s,%s]", x.right[0] ? "true" : "false",
                   x.right[1] ? "true" : "false");
    buf_lit(out, "}\n");
}

static enum err write_diff(const struct view *v, struct diag *diag)
{
    struct buf out;
    struct str name = arena_str(v->arena, v->o->diff);
    if (!name.p)
        return diag_set(diag, ERR_LIMIT, "%s", err_text(ERR_LIMIT));
    FILE *f = fopen(name.p, "w");
    if (!f)
        return file_failure(diag, name.p, errno);
    buf_init(&out, OUTPUT_MAX);
    bool written = true;
    for (int32_t i = 0; i < v->questions.n && written; i++) {
        buf_clear(&out);
        if (both_answered(v, i))
            add_difference(&out, v, i);
        size_t n = buf_len(&out);
        written = n == 0 || fwrite(buf_str(&out).p, 1, n, f) == n;
    }
    buf_release(&out);
    return fclose(f) == 0 && written ? ERR_NONE : file_failure(diag, name.p, errno);
}

// --- all of it --------------------------------------------------------------------------------

static enum err read_questions(struct view *v, struct diag *diag)
{
    struct str text, file = v->o->agree;
    bool from_stdin = str_eq(file, STR("-"));
    enum err e = from_stdin ? file_read_stdin(&text, v->arena, FILE_BYTES_MAX, diag)
                            : file_read(&text, v->arena, file, FILE_BYTES_MAX, diag);
    if (!e)
        e = agree_questions_read(&v->questions, v->arena,
                                 from_stdin ? "standard input" : arena_str(v->arena, file).p, text,
                                 diag);
    for (int32_t i = 0; !e && i < v->questions.n; i++)
        if (v->questions.at[i].messages.n && (v->o->sides[0].surface == SURFACE_COMPLETIONS ||
                                              v->o->sides[1].surface == SURFACE_COMPLETIONS))
            e = diag_set(diag, ERR_INVALID, "line %d has messages, which completions do not take",
                         v->questions.at[i].line);
    return e;
}

static enum err ask(struct view *v, const volatile sig_atomic_t *stop, struct diag *diag)
{
    const struct bench_options *o = v->o;
    enum err e = ERR_NONE;
    for (int32_t i = 0; i < AGREE_SIDES && !e; i++) {
        e = bench_target_make(&v->sides[i].target, o, i, diag);
        v->sides[i].purse = bench_purse(o, i);
    }
    if (!e)
        e = agree_run(v->sides,
                      &(struct agree_config){.questions = &v->questions,
                                             .users = o->sweep.users[0],
                                             .output_tok = o->sweep.outputs[0],
                                             .seed = o->seed,
                                             .stop = stop},
                      diag);
    v->stopped = *stop;
    for (int32_t i = 0; !e && i < v->questions.n; i++)
        if (both_answered(v, i)) {
            struct agreement x = agreement_at(v, i);
            agree_count(&v->counts, &x);
        }
    return e;
}

static int show(const struct view *v)
{
    struct buf out;
    struct diag diag = {0};
    buf_init(&out, OUTPUT_MAX);
    if (v->o->json)
        add_json(&out, v);
    else
        add_text(&out, v);
    size_t n = buf_len(&out);
    bool written = fwrite(buf_str(&out).p, 1, n, stdout) == n && fflush(stdout) == 0;
    buf_release(&out);
    if (!written)
        return fail("the output could not be written");
    if (v->o->diff.n && write_diff(v, &diag))
        return fail(diag.text);
    return v->counts.n ? EXIT_DONE : fail("not one question was answered by both");
}

int bench_agree(const struct bench_options *o, const volatile sig_atomic_t *stop)
{
    struct arena a;
    struct diag diag = {0};
    arena_init(&a, ARENA_BYTES_MAX);
    struct view v = {.o = o, .arena = &a};
    enum err e = read_questions(&v, &diag);
    if (!e)
        e = ask(&v, stop, &diag);
    int status = e ? fail(diag.text[0] ? diag.text : err_text(e)) : show(&v);
    for (int32_t i = 0; i < AGREE_SIDES; i++) {
        bench_target_release(&v.sides[i].target);
        agree_side_release(&v.sides[i], v.questions.n);
    }
    agree_questions_release(&v.questions);
    arena_release(&a);
    return status;
}
