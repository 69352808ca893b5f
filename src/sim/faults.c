#include "sim/faults.h"

#include "base/arena.h"

#include <stdlib.h>

void sim_faults_init(struct sim_faults *f, uint64_t seed)
{
    *f = (struct sim_faults){.faults = NULL};
    f->faults = take_n(sizeof *f->faults, SIM_FAULTS_MAX);
    rng_seed(&f->rng, mix64(seed ^ 0x6661756c74u));
}

void sim_faults_release(struct sim_faults *f)
{
    free(f->faults);
    *f = (struct sim_faults){.faults = NULL};
}

void sim_faults_clear(struct sim_faults *f)
{
    f->n = 0;
}

// --- lists and schedules -----------------------------------------------------------------------

static enum err add(struct sim_faults *f, const struct sim_fault *fault, struct diag *diag)
{
    if (f->n == SIM_FAULTS_MAX)
        return diag_set(diag, ERR_LIMIT, "there are %d faults already", SIM_FAULTS_MAX);
    f->faults[f->n++] = *fault;
    return ERR_NONE;
}

enum err sim_faults_add(struct sim_faults *f, struct str spec, struct diag *diag)
{
    struct sim_fault fault;
    enum err e = sim_fault_parse(&fault, spec, diag);
    return e ? e : add(f, &fault, diag);
}

static bool next_line(struct str *text, struct str *line)
{
    while (str_cut(text, '\n', line)) {
        if (line->n && line->p[line->n - 1] == '\r')
            line->n--;
        *line = str_trim(*line);
        if (line->n && line->p[0] != '#')
            return true;
    }
    return false;
}

enum err sim_faults_add_lines(struct sim_faults *f, struct str text, struct diag *diag)
{
    int32_t before = f->n;
    struct str line;
    while (next_line(&text, &line)) {
        enum err e = sim_faults_add(f, line, diag);
        if (e) {
            f->n = before;
            return e;
        }
    }
    return ERR_NONE;
}

enum err sim_faults_replace(struct sim_faults *f, struct str text, struct diag *diag)
{
    struct sim_fault *before = f->faults;
    int32_t n_before = f->n;
    f->faults = take_n(sizeof *f->faults, SIM_FAULTS_MAX);
    f->n = 0;
    enum err e = sim_faults_add_lines(f, text, diag);
    if (e) {
        free(f->faults);
        f->faults = before;
        f->n = n_before;
        return e;
    }
    free(before);
    return ERR_NONE;
}

static struct str next_word(struct str *line)
{
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
        n++;
    struct str word = {line->p, n};
    *line = str_trim(str_skip(*line, n));
    return word;
}

static enum err read_scheduled(struct sim_faults *f, struct str line, int64_t start_us,
                               struct diag *diag)
{
    struct str at = next_word(&line), lasts = next_word(&line);
    int64_t at_us, lasts_us = 0;
    enum err e = sim_fault_duration(&at_us, at, diag);
    bool ends = !str_eq(lasts, STR("-"));
    if (!e && ends)
        e = sim_fault_duration(&lasts_us, lasts, diag);
    if (e)
        return e;
    struct sim_fault fault;
    e = sim_fault_parse(&fault, line, diag);
    if (e)
        return e;
    fault.from_us = start_us + at_us;
    fault.until_us = ends ? fault.from_us + lasts_us : NEVER;
    return add(f, &fault, diag);
}

enum err sim_faults_schedule(struct sim_faults *f, struct str name, struct str text,
                             int64_t start_us, struct diag *diag)
{
    int32_t before = f->n;
    struct str line;
    while (next_line(&text, &line)) {
        struct diag why = {.e = ERR_NONE};
        enum err e = read_scheduled(f, line, start_us, &why);
        if (e) {
            f->n = before;
            return diag_set(diag, e, STR_FMT ": line '" STR_FMT "': %s (expected AT DURATION SPEC)",
                            STR_ARG(name), STR_ARG(line), why.text);
        }
    }
    return ERR_NONE;
}

// --- deciding ---------------------------------------------------------------------------------

static bool holds(const struct sim_fault *fault, struct str model, int64_t now_us)
{
    return fault->count != 0 && now_us >= fault->from_us && now_us < fault->until_us &&
           (!fault->model[0] || str_eq(str_of(fault->model), model));
}

static void apply(struct sim_effect *out, const struct sim_fault *fault)
{
    out->any = true;
    switch (fault->kind) {
    case SIM_DRIP:
        out->drip_bytes = fault->drip_bytes;
        out->drip_us = fault->drip_us;
        return;
    case SIM_DELAY: out->delay_us += fault->delay_us; return;
    case SIM_NO_DONE: out->no_done = true; return;
    case SIM_NO_USAGE: out->no_usage = true; return;
    default: break;
    }
    out->kind = fault->kind;
    out->status = fault->status;
    out->after = fault->after;
    out->retry_after_us = fault->retry_after_us;
    memcpy(out->code, fault->code, sizeof out->code);
}

struct sim_effect sim_faults_pick(struct sim_faults *f, struct str model, int64_t now_us)
{
    struct sim_effect effect = {.retry_after_us = -1};
    for (int32_t i = 0; i < f->n; i++) {
        struct sim_fault *fault = &f->faults[i];
        bool adds = fault->kind > SIM_SLOW;
        if (fault->kind == SIM_SLOW || (!adds && effect.kind != SIM_OK) ||
            !holds(fault, model, now_us))
            continue;
        if (fault->share < 1 && rng_unit(&f->rng) >= fault->share)
            continue;
        if (fault->count > 0)
            fault->count--;
        apply(&effect, fault);
    }
    return effect;
}

double sim_faults_slow(const struct sim_faults *f, struct str model, int64_t now_us)
{
    double factor = 1;
    for (int32_t i = 0; i < f->n; i++)
        if (f->faults[i].kind == SIM_SLOW && holds(&f->faults[i], model, now_us))
            factor *= f->faults[i].factor;
    return factor;
}

void sim_faults_write(const struct sim_faults *f, struct buf *out, int64_t now_us)
{
    buf_lit(out, "[");
    for (int32_t i = 0; i < f->n; i++) {
        const struct sim_fault *fault = &f->faults[i];
        buf_printf(out, "%s{\"spec\":", i ? "," : "");
        buf_add_json(out, str_of(fault->text));
        bool on = fault->count != 0 && now_us >= fault->from_us && now_us < fault->until_us;
        buf_printf(out, ",\"active\":%s,\"left\":", on ? "true" : "false");
        if (fault->count < 0)
            buf_lit(out, "null}");
        else
            buf_printf(out, "%d}", fault->count);
    }
    buf_lit(out, "]");
}
