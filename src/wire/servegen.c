#include "wire/servegen.h"

#include "wire/unpack.h"

#include <stdlib.h>

enum { TABLE_BYTES_MAX = 256 << 20, PIECE_BYTES = 64 << 10, COLUMNS_MOST = 16 };

const double servegen_shares[SERVEGEN_QUANTILES] = {0.01, 0.05, 0.10, 0.25, 0.50,
                                                    0.75, 0.90, 0.95, 0.99, 1.00};
static const char *const quantile_names[SERVEGEN_QUANTILES] = {"p1",  "p5",  "p10", "p25", "p50",
                                                               "p75", "p90", "p95", "p99", "p100"};

struct table_in {
    struct str name;
    struct diag *diag;
    struct buf text;  // all of it, unpacked
    struct str rest, line;
    int64_t number;  // of the line
    struct str cells[COLUMNS_MOST];
    int32_t n_cells;
    struct str header[COLUMNS_MOST];
    int32_t n_header;
};

static enum err wrong(const struct table_in *t, const char *what, struct str value)
{
    struct str s = {value.p, value.n < 60 ? value.n : 60};
    return diag_set(t->diag, ERR_INVALID, STR_FMT ":%lld: %s is \"" STR_FMT "\"", STR_ARG(t->name),
                    (long long)t->number, what, STR_ARG(s));
}

static enum err take_packed(struct table_in *t, struct unpack *u, struct str in)
{
    char piece[PIECE_BYTES];
    size_t n;
    do {
        enum err e = unpack_take(u, &in, piece, sizeof piece, &n, t->diag);
        if (e)
            return e;
        if (!buf_add(&t->text, piece, n))
            return diag_set(t->diag, ERR_LIMIT, STR_FMT ": it is larger than %d MiB",
                            STR_ARG(t->name), TABLE_BYTES_MAX >> 20);
    } while (n || in.n);
    return ERR_NONE;
}

static enum err read_whole(struct table_in *t, const struct trace_source *source)
{
    struct unpack *u = NULL;
    struct str in;
    enum err e;
    for (bool first = true; !(e = source->read(source->ctx, &in, t->diag)) && in.n; first = false) {
        if (first)
            u = unpack_new(in);
        if (u)
            e = take_packed(t, u, in);
        else if (!buf_add_str(&t->text, in))
            e = diag_set(t->diag, ERR_LIMIT, STR_FMT ": it is larger than %d MiB", STR_ARG(t->name),
                         TABLE_BYTES_MAX >> 20);
        if (e)
            break;
    }
    if (!e && u && !unpack_may_end(u))
        e = diag_set(t->diag, ERR_INVALID, STR_FMT ": the compressed data is cut off",
                     STR_ARG(t->name));
    unpack_free(u);
    t->rest = buf_str(&t->text);
    return e;
}

static bool next_line(struct table_in *t)
{
    while (str_cut(&t->rest, '\n', &t->line)) {
        t->number++;
        if (t->line.n && t->line.p[t->line.n - 1] == '\r')
            t->line.n--;
        t->line = str_trim(t->line);
        struct str cells = t->line;
        t->n_cells = 0;
        while (t->n_cells < COLUMNS_MOST && str_cut(&cells, ',', &t->cells[t->n_cells]))
            t->n_cells++;
        if (t->line.n)
            return true;
    }
    return false;
}

static enum err begin(struct table_in *t, struct str name, const struct trace_source *source,
                      struct diag *diag)
{
    *t = (struct table_in){.name = name, .diag = diag};
    buf_init(&t->text, TABLE_BYTES_MAX);
    enum err e = read_whole(t, source);
    if (!e && !next_line(t))
        e = diag_set(diag, ERR_INVALID, STR_FMT ": it is empty", STR_ARG(name));
    if (e)
        return e;
    memcpy(t->header, t->cells, sizeof t->header);
    t->n_header = t->n_cells;
    return ERR_NONE;
}

static enum err column(const struct table_in *t, const char *name, int32_t *at)
{
    for (*at = 0; *at < t->n_header; ++*at)
        if (str_eq(t->header[*at], str_of(name)))
            return ERR_NONE;
    return diag_set(t->diag, ERR_INVALID, STR_FMT ": it has no column \"%s\"", STR_ARG(t->name),
                    name);
}

static enum err number(const struct table_in *t, int32_t at, const char *what, double *out)
{
    struct str cell = at < t->n_cells ? t->cells[at] : (struct str){0};
    if (str_to_double(cell, out) && *out >= 0 && *out < 1e12)
        return ERR_NONE;
    return wrong(t, what, cell);
}

static enum err who_and_when(const struct table_in *t, const int32_t at[2], int32_t *client,
                             int64_t *from_us)
{
    double c, s;
    enum err e = number(t, at[0], "the client", &c);
    if (!e)
        e = number(t, at[1], "the window", &s);
    if (e)
        return e;
    if (c >= SERVEGEN_CLIENTS_MAX)
        return wrong(t, "the client", t->cells[at[0]]);
    *client = (int32_t)c;
    *from_us = (int64_t)s * 1000000;
    return ERR_NONE;
}

static int32_t count_lines(const struct table_in *t)
{
    int32_t n = 1;
    for (size_t i = 0; i < t->rest.n; i++)
        n += t->rest.p[i] == '\n';
    return n;
}

// --- rates ------------------------------------------------------------------------------------

static enum err read_window(const struct table_in *t, const int32_t at[5], struct servegen *out)
{
    struct servegen_window *w = &out->windows[out->n_windows];
    struct str dist = at[3] < t->n_cells ? t->cells[at[3]] : (struct str){0};
    enum err e = who_and_when(t, at, &w->client, &w->from_us);
    if (!e)
        e = number(t, at[2], "the rate", &w->rate_per_s);
    if (!e)
        e = number(t, at[4], "the shape", &w->shape);
    if (e)
        return e;
    w->weibull = str_eq(dist, STR("Weibull"));
    if (!w->weibull && !str_eq(dist, STR("Gamma")))
        return wrong(t, "the distribution, Gamma or Weibull,", dist);
    if (!(w->shape > 0))
        return wrong(t, "the shape", t->cells[at[4]]);
    const struct servegen_window *before = out->n_windows ? w - 1 : NULL;
    if (before && (w->client < before->client ||
                   (w->client == before->client && w->from_us <= before->from_us)))
        return wrong(t, "the window, which goes back,", t->cells[at[1]]);
    out->n_windows++;
    return ERR_NONE;
}

enum err servegen_rates(struct servegen *out, struct arena *a, struct str name,
                        const struct trace_source *source, struct diag *diag)
{
    static const char *const names[] = {"client", "window_s", "rate_rps", "dist", "shape"};
    struct table_in t;
    int32_t at[COUNTOF(names)];
    enum err e = begin(&t, name, source, diag);
    for (size_t i = 0; i < COUNTOF(names) && !e; i++)
        e = column(&t, names[i], &at[i]);
    if (!e) {
        out->n_windows = 0;
        out->windows = arena_new(a, struct servegen_window, count_lines(&t));
        e = out->windows ? ERR_NONE
                         : diag_set(diag, ERR_LIMIT, STR_FMT ": too long", STR_ARG(name));
    }
    while (!e && next_line(&t))
        e = read_window(&t, at, out);
    buf_release(&t.text);
    if (!e && out->n_windows == 0)
        e = diag_set(diag, ERR_INVALID, STR_FMT ": it has no windows", STR_ARG(name));
    return e;
}

// --- lengths ----------------------------------------------------------------------------------

// A row for prompts, and one for answers; what is counted otherwise (reason_ratio) is passed over.
static enum err read_lengths(const struct table_in *t, const int32_t at[3],
                             const int32_t quantiles[SERVEGEN_QUANTILES], struct servegen *out)
{
    int32_t client;
    int64_t from_us;
    struct str field = at[2] < t->n_cells ? t->cells[at[2]] : (struct str){0};
    bool prompt = str_eq(field, STR("input_tokens")), output = str_eq(field, STR("output_tokens"));
    enum err e = who_and_when(t, at, &client, &from_us);
    if (e || (!prompt && !output))
        return e;
    struct servegen_lengths *l = out->n_lengths ? &out->lengths[out->n_lengths - 1] : NULL;
    if (!l || l->client != client || l->from_us != from_us) {
        if (l && (client < l->client || (client == l->client && from_us < l->from_us)))
            return wrong(t, "the window, which goes back,", t->cells[at[1]]);
        l = &out->lengths[out->n_lengths++];
        *l = (struct servegen_lengths){.client = client, .from_us = from_us};
    }
    double *to = prompt ? l->prompt : l->output;
    for (int i = 0; i < SERVEGEN_QUANTILES && !e; i++) {
        e = number(t, quantiles[i], quantile_names[i], &to[i]);
        if (!e && ((i > 0 && to[i] < to[i - 1]) || to[i] > TRACE_TOK_MAX))
            e = wrong(t, quantile_names[i], t->cells[quantiles[i]]);
    }
    return e;
}

enum err servegen_lengths(struct servegen *out, struct arena *a, struct str name,
                          const struct trace_source *source, struct diag *diag)
{
    static const char *const names[3] = {"client", "window_s", "field"};
    struct table_in t;
    int32_t at[3], quantiles[SERVEGEN_QUANTILES];
    enum err e = begin(&t, name, source, diag);
    for (int i = 0; i < 3 && !e; i++)
        e = column(&t, names[i], &at[i]);
    for (int i = 0; i < SERVEGEN_QUANTILES && !e; i++)
        e = column(&t, quantile_names[i], &quantiles[i]);
    if (!e) {
        out->n_lengths = 0;
        out->lengths = arena_new(a, struct servegen_lengths, count_lines(&t));
        e = out->lengths ? ERR_NONE
                         : diag_set(diag, ERR_LIMIT, STR_FMT ": too long", STR_ARG(name));
    }
    while (!e && next_line(&t))
        e = read_lengths(&t, at, quantiles, out);
    buf_release(&t.text);
    if (!e && out->n_lengths == 0)
        e = diag_set(diag, ERR_INVALID, STR_FMT ": it has no lengths", STR_ARG(name));
    return e;
}
