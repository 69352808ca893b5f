// caudal bench --power: the meters that run beside a measurement, and what they say of it.

#include "base/units.h"
#include "bench/meter.h"
#include "cli/bench_view.h"
#include "cli/columns.h"
#include "io/loop.h"

#include <time.h>

enum { LOOK_MS = 50 };
static const int64_t patience_us = S(10);

// --- a URL ------------------------------------------------------------------------------------

static enum err on_head(void *ctx, const struct http1_head *head, struct diag *diag)
{
    (void)ctx;
    if (head->status == 200)
        return ERR_NONE;
    return diag_set(diag, ERR_PROTOCOL, "the answer has status %d", head->status);
}

static enum err on_data(void *ctx, struct str bytes, struct diag *diag)
{
    if (buf_add_str(ctx, bytes))
        return ERR_NONE;
    return diag_set(diag, ERR_LIMIT, "the answer is too long");
}

static enum err fetch(void *ctx, struct str url, struct buf *out, struct diag *diag)
{
    const struct bench_options *o = ctx;
    return web_run(&(struct web_call){.url = url,
                                      .method = "GET",
                                      .trust = o->trust,
                                      .idle_us = patience_us,
                                      .head = on_head,
                                      .data = on_data,
                                      .ctx = out},
                   diag);
}

// --- start and end ----------------------------------------------------------------------------

static enum err start(struct bench_view *v, int32_t i, struct diag *diag)
{
    const struct bench_options *o = v->options;
    struct bench_side_view *s = &v->sides[i];
    struct diag why = {0};
    enum err e = meter_init(&s->meter, v->arena, o->sides[i].power, NULL, &why);
    s->meter.fetch = fetch;
    s->meter.ctx = (void *)(uintptr_t)o;
    if (!e)
        e = power_start(&s->sweep.power,
                        &(struct power_config){.read = meter_read,
                                               .ctx = &s->meter,
                                               .counts_joules = meter_counts_joules(&s->meter),
                                               .every_us = o->power_every_us},
                        &why);
    if (!e)
        return ERR_NONE;
    return diag_set(diag, e, "%s: %s", i ? "--against-power" : "--power",
                    why.text[0] ? why.text : err_text(e));
}

static void wait_for(int64_t us, const volatile sig_atomic_t *stop)
{
    int64_t end_us = clock_now_us() + us;
    while (!*stop && clock_now_us() < end_us) {
        int64_t step_us = min_i64(MS(LOOK_MS), max_i64(end_us - clock_now_us(), 0));
        nanosleep(&(struct timespec){.tv_nsec = step_us * 1000}, NULL);
    }
}

enum err bench_power_start(struct bench_view *v, const volatile sig_atomic_t *stop,
                           struct diag *diag)
{
    bool any = false;
    for (int32_t i = 0; i < v->options->n_sides; i++) {
        if (!v->options->sides[i].power.n)
            continue;
        enum err e = start(v, i, diag);
        if (e)
            return e;
        any = true;
    }
    int64_t from_us = clock_now_us();
    if (any)
        wait_for(v->options->power_idle_us, stop);
    for (int32_t i = 0; i < v->options->n_sides; i++) {
        struct sweep *s = &v->sides[i].sweep;
        if (!s->power)
            continue;
        int64_t to_us = power_mark(s->power);
        s->idle_w =
            power_joules(s->power, from_us, to_us) * 1e6 / (double)max_i64(to_us - from_us, 1);
    }
    return ERR_NONE;
}

void bench_power_stop(struct bench_view *v)
{
    for (int32_t i = 0; i < v->options->n_sides; i++) {
        power_stop(v->sides[i].sweep.power);
        v->sides[i].sweep.power = NULL;
    }
}

// --- text and JSON ----------------------------------------------------------------------------

static struct str si_cell(struct arena *a, double v, const char *unit)
{
    char text[UNIT_TEXT];
    return v > 0 ? arena_printf(a, "%s", unit_text_si(text, v, unit)) : STR("-");
}

static void energy_row(struct columns *c, const struct row *r)
{
    const struct energy *e = &r->energy;
    struct arena *a = c->arena;
    const struct str cells[] = {
        r->users ? arena_printf(a, "%d", r->users) : arena_printf(a, "%.4g/s", r->rate_per_s),
        r->warm ? STR("warm") : STR("cold"),
        arena_printf(a, "%.0f", r->counted ? r->prompt_tok : r->prompt_asked),
        arena_printf(a, "%.0f", r->output_tok),
        si_cell(a, energy_watts(e), "W"),
        si_cell(a, energy_watts_above_idle(e), "W"),
        si_cell(a, energy_per_output_tok(e, false), "J"),
        si_cell(a, energy_per_output_tok(e, true), "J"),
        si_cell(a, energy_per_tok(e, false), "J"),
        si_cell(a, energy_per_tok(e, true), "J"),
    };
    columns_row_str(c, cells, COUNTOF(cells));
}

// Levels of `users` and of that prefix: their energies. Returns how many.
static int32_t levels_of(struct energy *out, const struct sweep *s, const struct row *like)
{
    int32_t n = 0;
    for (int32_t i = 0; i < s->n && n < SWEEP_LENGTHS * SWEEP_LENGTHS; i++) {
        const struct row *r = &s->rows[i];
        if (r->users == like->users && r->warm == like->warm && r->energy.s > 0 && !r->partial)
            out[n++] = r->energy;
    }
    return n;
}

// A row tells its users' split if it is the first of as many users.
static bool split_of(double *prompt_j, double *output_j, const struct sweep *s, int32_t at)
{
    struct energy levels[SWEEP_LENGTHS * SWEEP_LENGTHS];
    const struct row *like = &s->rows[at];
    for (int32_t i = 0; i < at; i++)
        if (s->rows[i].users == like->users && s->rows[i].warm == like->warm)
            return false;
    return like->users && energy_split(prompt_j, output_j, levels, levels_of(levels, s, like));
}

static void splits_text(struct buf *out, const struct sweep *s)
{
    double prompt_j, output_j;
    for (int32_t i = 0; i < s->n; i++)
        if (split_of(&prompt_j, &output_j, s, i)) {
            char prompt[UNIT_TEXT], output[UNIT_TEXT];
            buf_printf(out, "  %d %s         a token of prompt %s, of answer %s, above idle%s\n",
                       s->rows[i].users, s->rows[i].users == 1 ? "user " : "users",
                       unit_text_si(prompt, prompt_j, "J"), unit_text_si(output, output_j, "J"),
                       s->rows[i].warm ? ", warm" : "");
        }
}

static void splits_json(struct buf *out, const struct sweep *s)
{
    double prompt_j, output_j;
    bool any = false;
    buf_lit(out, ",\"above_idle\":[");
    for (int32_t i = 0; i < s->n; i++)
        if (split_of(&prompt_j, &output_j, s, i)) {
            buf_printf(out,
                       "%s{\"users\":%d,\"prefix\":\"%s\",\"j_per_prompt_tok\":%.10g,"
                       "\"j_per_output_tok\":%.10g}",
                       any ? "," : "", s->rows[i].users, s->rows[i].warm ? "warm" : "cold",
                       prompt_j, output_j);
            any = true;
        }
    buf_lit(out, "]");
}

void bench_power_text(struct buf *out, const struct bench_view *v, int32_t side)
{
    const struct bench_side_view *s = &v->sides[side];
    struct columns c;
    char idle[UNIT_TEXT];
    if (!s->sweep.power)
        return;
    columns_init(&c, v->arena);
    columns_row(&c, "users", "prefix", "prompt", "answer", "power", "above idle",
                "a token of answer", "above idle", "a token of both", "above idle", NULL);
    for (int32_t i = 0; i < s->sweep.n; i++)
        if (s->sweep.rows[i].energy.s > 0)
            energy_row(&c, &s->sweep.rows[i]);
    buf_lit(out, "\n");
    columns_print(&c, out, 2, 0x3fd);
    buf_printf(out, "  power of      %s; %d readings, %d failed; idle %s\n", s->meter.basis,
               power_readings(s->sweep.power), power_failures(s->sweep.power),
               unit_text_si(idle, s->sweep.idle_w, "W"));
    splits_text(out, &s->sweep);
}

void bench_power_json(struct buf *out, const struct bench_view *v, int32_t side)
{
    const struct bench_side_view *s = &v->sides[side];
    if (!s->sweep.power)
        return;
    buf_lit(out, ",\"power\":{\"source\":");
    buf_add_json(out, v->options->sides[side].power);
    buf_lit(out, ",\"basis\":");
    buf_add_json(out, str_of(s->meter.basis));
    buf_printf(out, ",\"idle_w\":%.10g,\"readings\":%d,\"failed\":%d", s->sweep.idle_w,
               power_readings(s->sweep.power), power_failures(s->sweep.power));
    splits_json(out, &s->sweep);
    buf_lit(out, "}");
}

void bench_energy_json(struct buf *out, const struct energy *e)
{
    if (!(e->s > 0))
        return;
    buf_printf(out,
               ",\"energy\":{\"watts\":%.10g,\"idle_w\":%.10g,\"joules\":%.10g,\"s\":%.10g,"
               "\"prompt_tok\":%.10g,\"output_tok\":%.10g,\"j_per_output_tok\":%.10g,"
               "\"j_per_output_tok_above_idle\":%.10g,\"j_per_tok\":%.10g,"
               "\"j_per_tok_above_idle\":%.10g}",
               energy_watts(e), e->idle_w, e->joules, e->s, e->prompt_tok, e->output_tok,
               energy_per_output_tok(e, false), energy_per_output_tok(e, true),
               energy_per_tok(e, false), energy_per_tok(e, true));
}
