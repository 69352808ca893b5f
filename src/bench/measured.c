#include "bench/measured.h"

#include "bench/measured_json.h"
#include "wire/unpack.h"

#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 128, SETUP_BYTES = 1024, PIECE_BYTES = 1 << 16 };
#define TEXT_BYTES_MAX ((size_t)1 << 30)

enum column {
    MODEL,
    SYSTEM,
    PROMPT,
    OUTPUT,
    BATCH,
    DECODE_BATCH,
    TTFT,
    PER_TOKEN,
    TP,
    PP,
    DP,
    MOE_TP,
    MOE_EP,
    DECODE_TP,
    DECODE_DP,
    BACKEND,
    PRECISION,
    LEFT_OUT,
    USERS,
    KNOWN,
    SETUP,
    NOTHING
};
static const char *const names[KNOWN] = {
    "model_path",
    "system",
    "isl",
    "osl",
    "batch_size",
    "decode_batch_size",
    "silicon_ttft_ms",
    "silicon_tpot_ms",
    "tp_size",
    "pp_size",
    "attention_dp_size",
    "moe_tp_size",
    "moe_ep_size",
    "decode_tp_size",
    "decode_attention_dp_size",
    "backend",
    "precision",
    "left_out",
    "users",
};
static const char *const no_setup[] = {"id", "silicon_data_source", "prefill_batch_size"};

struct sheet {
    const char *name;
    int32_t line;
    int kind[COLUMNS];  // enum column
    struct str title[COLUMNS];
    int32_t n;
};

// --- cells ------------------------------------------------------------------------------------

// Cuts the next cell off a line; quoted ones lose their quotes, doubled ones inside stay doubled.
static struct str cut_cell(struct str *line)
{
    struct str cell;
    if (line->n && line->p[0] == '"') {
        size_t i = 1;
        while (i < line->n && (line->p[i] != '"' || (i + 1 < line->n && line->p[i + 1] == '"')))
            i += line->p[i] == '"' ? 2 : 1;
        size_t end = i < line->n ? i : line->n;
        cell = (struct str){line->p + 1, end - 1};
        *line = str_skip(*line, end + 2);
        return cell;
    }
    if (!str_cut(line, ',', &cell))
        cell = (struct str){0};
    return cell;
}

static int column_of(struct str title)
{
    for (int i = 0; i < KNOWN; i++)
        if (str_eq(title, str_of(names[i])))
            return i;
    for (size_t i = 0; i < COUNTOF(no_setup); i++)
        if (str_eq(title, str_of(no_setup[i])))
            return NOTHING;
    return SETUP;
}

static enum err read_titles(struct sheet *s, struct str line, struct diag *diag)
{
    bool seen[KNOWN] = {false};
    for (s->n = 0; line.n && s->n < COLUMNS; s->n++) {
        s->title[s->n] = cut_cell(&line);
        s->kind[s->n] = column_of(s->title[s->n]);
        if (s->kind[s->n] < KNOWN)
            seen[s->kind[s->n]] = true;
    }
    if (!seen[MODEL] && !seen[TTFT])
        return diag_set(diag, ERR_INVALID,
                        "%s: is neither CSV with the columns %s, %s ... nor JSON of caudal bench",
                        s->name, names[MODEL], names[SYSTEM]);
    for (int i = 0; i < KNOWN; i++)
        if (!seen[i] && i != DECODE_BATCH && i < TP)
            return diag_set(diag, ERR_INVALID, "%s:1: there is no column %s", s->name, names[i]);
    return ERR_NONE;
}

static enum err read_number(double *out, const struct sheet *s, int32_t column, struct str cell,
                            struct diag *diag)
{
    *out = 0;
    if (!cell.n || (str_to_double(cell, out) && *out >= 0))
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID,
                    "%s:%d: " STR_FMT " is \"" STR_FMT "\", expected a number from 0 on", s->name,
                    s->line, STR_ARG(s->title[column]), STR_ARG(cell));
}

// --- rows -------------------------------------------------------------------------------------

// tp=8 reads as what it is; empty cells say nothing.
static void add_setup(struct buf *setup, struct str title, struct str cell)
{
    if (!cell.n || str_eq(cell, STR("0")))
        return;
    if (buf_len(setup))
        buf_lit(setup, ", ");
    buf_add_str(setup, title);
    buf_lit(setup, " ");
    buf_add_str(setup, cell);
}

static double chips_of(const double v[KNOWN])
{
    double tp = v[TP] > 0 ? v[TP] : v[DECODE_TP], dp = v[TP] > 0 ? v[DP] : v[DECODE_DP];
    if (v[MOE_TP] > 1 && v[MOE_TP] == v[MOE_EP])
        return v[MOE_EP];
    return (tp > dp ? tp : tp > 0 ? dp : 0) * (v[PP] > 1 ? v[PP] : 1);
}

// What one rank of attention holds, times the ranks: the silicon's own concurrency, where it is
// told.
static double batch_of(const double v[KNOWN])
{
    bool whole = v[BATCH] > 0;
    double ranks = whole ? v[DP] : v[DECODE_DP];
    return (whole ? v[BATCH] : v[DECODE_BATCH]) * (ranks > 1 ? ranks : 1);
}

// With the scales of blocks.
static double bytes_of(struct str precision)
{
    if (str_eq(precision, STR("fp4")) || str_eq(precision, STR("int4")))
        return 0.56;
    if (str_eq(precision, STR("fp8")))
        return 1;
    return str_eq(precision, STR("bf16")) ? 2 : 0;
}

static enum roofline_engine engine_of(struct str backend)
{
    if (str_eq(backend, STR("sglang")))
        return ENGINE_SGLANG;
    return str_eq(backend, STR("trtllm")) ? ENGINE_TENSORRT_LLM : ENGINE_VLLM;
}

static enum err read_left_out(enum measured_out *out, const struct sheet *s, struct str cell,
                              struct diag *diag)
{
    for (int i = 0; i < MEASURED_OUTS; i++)
        if (str_eq(cell, str_of(measured_out_name((enum measured_out)i)))) {
            *out = (enum measured_out)i;
            return ERR_NONE;
        }
    return diag_set(diag, ERR_INVALID,
                    "%s:%d: left_out is \"" STR_FMT "\", expected nothing, saturated, cut off or "
                    "warm prefix",
                    s->name, s->line, STR_ARG(cell));
}

static enum err read_row(struct measured *m, enum measured_out *said, const struct sheet *s,
                         struct str line, struct buf *setup, struct diag *diag)
{
    double v[KNOWN] = {[USERS] = -1};
    struct str text[KNOWN] = {{0}};
    buf_clear(setup);
    for (int32_t i = 0; i < s->n; i++) {
        struct str cell = cut_cell(&line);
        int kind = s->kind[i];
        enum err e = ERR_NONE;
        if (kind == SETUP || (kind >= TP && kind < LEFT_OUT))
            add_setup(setup, s->title[i], cell);
        if (kind == MODEL || kind == SYSTEM || kind == BACKEND || kind == PRECISION)
            text[kind] = cell;
        else if (kind == LEFT_OUT)
            e = read_left_out(said, s, cell, diag);
        else if (kind < KNOWN)
            e = read_number(&v[kind], s, i, cell, diag);
        if (e)
            return e;
    }
    double chips = chips_of(v);
    bool users_said = v[USERS] >= 0;
    double users = users_said ? v[USERS] : 0;
    *m = (struct measured){.model = text[MODEL],
                           .system = text[SYSTEM],
                           .setup = buf_str(setup),
                           .prompt = v[PROMPT],
                           .output = v[OUTPUT],
                           .batch = batch_of(v),
                           .ttft_us = v[TTFT] * 1e3,
                           .per_token_us = v[PER_TOKEN] * 1e3,
                           .chips = chips < 1e6 ? (int32_t)chips : 0,
                           .bytes_per_parameter = bytes_of(text[PRECISION]),
                           .users = users,
                           .queued = users_said && users != 1,
                           .engine = engine_of(text[BACKEND])};
    return ERR_NONE;
}

static enum err read_lines(struct measured_table *t, struct arena *a, const char *name,
                           struct str text, struct diag *diag)
{
    struct sheet s = {.name = name};
    struct str line;
    struct buf setup;
    enum err e = ERR_NONE;
    buf_init(&setup, SETUP_BYTES);
    while (!e && str_cut(&text, '\n', &line)) {
        struct measured m;
        enum measured_out said = MEASURED_UNSAID;
        s.line++;
        if (line.n && line.p[line.n - 1] == '\r')
            line.n--;
        if (s.line == 1)
            e = read_titles(&s, line, diag);
        else if (line.n && !(e = read_row(&m, &said, &s, line, &setup, diag)))
            e = measured_add(t, a, m, said);
    }
    buf_release(&setup);
    if (!e && s.line == 0)
        e = diag_set(diag, ERR_INVALID, "%s: is empty", name);
    return e;
}

static enum err read_plain(struct measured_table *t, struct arena *a, const char *name,
                           struct str text, struct diag *diag)
{
    bool json = str_starts(text, STR("{"));
    return json ? measured_read_json(t, a, name, text, diag) : read_lines(t, a, name, text, diag);
}

static enum err take_packed(struct buf *out, struct unpack *u, struct str text, const char *name,
                            struct diag *diag)
{
    enum err e = ERR_NONE;
    size_t n = 1;
    while (!e && (text.n || n)) {
        char *at;
        if (!buf_reserve(out, PIECE_BYTES, &at))
            e = diag_set(diag, ERR_LIMIT, "%s: is larger than 1 GiB", name);
        else if (!(e = unpack_take(u, &text, at, PIECE_BYTES, &n, diag)))
            buf_grown(out, n);
    }
    if (!e && !unpack_may_end(u))
        e = diag_set(diag, ERR_INVALID, "%s: is cut off", name);
    return e;
}

enum err measured_read(struct measured_table *t, struct arena *a, const char *name, struct str text,
                       struct diag *diag)
{
    struct unpack *u = unpack_new(text);
    if (!u)
        return read_plain(t, a, name, text, diag);
    struct buf plain;
    buf_init(&plain, TEXT_BYTES_MAX);
    enum err e = take_packed(&plain, u, text, name, diag);
    if (!e)
        e = read_plain(t, a, name, buf_str(&plain), diag);
    buf_release(&plain);
    unpack_free(u);
    return e;
}

// --- those that are left out --------------------------------------------------------------------

const char *measured_out_name(enum measured_out why)
{
    static const char *const name[MEASURED_OUTS] = {[MEASURED_KEPT] = "",
                                                    [MEASURED_NO_TIME] = "without a time",
                                                    [MEASURED_SATURATED] = "saturated",
                                                    [MEASURED_CUT_OFF] = "cut off",
                                                    [MEASURED_WARM] = "warm prefix",
                                                    [MEASURED_NO_BATCH] = "without a batch"};
    return name[why];
}

void measured_outs_text(struct buf *out, const struct measured_table *t)
{
    bool any = false;
    for (int i = MEASURED_KEPT + 1; i < MEASURED_OUTS; i++) {
        if (t->left_out[i] == 0)
            continue;
        buf_printf(out, "%s%d %s", any ? ", " : "", t->left_out[i],
                   measured_out_name((enum measured_out)i));
        any = true;
    }
    if (!any)
        buf_lit(out, "none");
}

static enum measured_out out_of(const struct measured *m, enum measured_out said)
{
    if (said > MEASURED_KEPT)
        return said;
    if (!(m->ttft_us > 0) || !(m->per_token_us > 0))
        return MEASURED_NO_TIME;
    if (said == MEASURED_UNSAID && m->ttft_us > MEASURED_TTFT_MAX_US)
        return MEASURED_SATURATED;
    return m->batch > 0 ? MEASURED_KEPT : MEASURED_NO_BATCH;
}

enum err measured_add(struct measured_table *t, struct arena *a, struct measured m,
                      enum measured_out said)
{
    enum measured_out why = out_of(&m, said);
    t->left_out[why]++;
    if (why)
        return ERR_NONE;
    m.config = -1;
    m.model = arena_str(a, m.model);
    m.system = arena_str(a, m.system);
    m.setup = arena_str(a, m.setup);
    if (!m.model.p || !m.system.p || !m.setup.p)
        return ERR_LIMIT;
    t->rows = take_more(t->rows, &t->room, (size_t)t->n + 1, sizeof *t->rows);
    t->rows[t->n++] = m;
    return ERR_NONE;
}

static int same_config(const struct measured *x, const struct measured *y)
{
    int c = str_cmp(x->model, y->model);
    c = c ? c : str_cmp(x->system, y->system);
    return c ? c : str_cmp(x->setup, y->setup);
}

// Whole, so that the order is the same whatever the library's sort does with equals.
static int by_config(const void *a, const void *b)
{
    const struct measured *x = a, *y = b;
    int c = same_config(x, y);
    const double u[] = {x->prompt, x->output, x->batch, x->ttft_us, x->per_token_us};
    const double v[] = {y->prompt, y->output, y->batch, y->ttft_us, y->per_token_us};
    for (size_t i = 0; !c && i < COUNTOF(u); i++)
        c = (u[i] > v[i]) - (u[i] < v[i]);
    return c;
}

void measured_sort(struct measured_table *t)
{
    if (t->n)
        qsort(t->rows, (size_t)t->n, sizeof *t->rows, by_config);
    t->n_configs = 0;
    for (int32_t i = 0; i < t->n; i++) {
        if (i == 0 || same_config(&t->rows[i - 1], &t->rows[i]))
            t->n_configs++;
        t->rows[i].config = t->n_configs - 1;
    }
}
