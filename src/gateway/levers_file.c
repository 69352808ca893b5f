// What the levers say, as JSON: for the pages, and for the file that a restart reads.

#include "gateway/levers_inside.h"
#include "base/units.h"
#include "io/file.h"
#include "wire/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 1024 * 1024 };

static const char *const states[] = {"enabled", "drained", "disabled"};

const char *lever_state_name(enum lever_state state)
{
    static const char *const verbs[] = {"enable", "drain", "disable"};
    return verbs[state];
}

const char *levers_state(struct levers *s, struct str pool)
{
    const struct lever_pool *p = levers_pool(s, pool, false);
    return states[p ? p->state : LEVER_ENABLED];
}

static bool says_nothing(const struct lever_pool *p)
{
    return p->state == LEVER_ENABLED && p->weight < 0 && p->derate >= 1 && !(p->share > 0) &&
           !p->n_windows;
}

static void write_pool(struct buf *out, const struct lever_pool *p)
{
    char from[UNIT_TEXT], until[UNIT_TEXT];
    buf_lit(out, "{\"pool\":");
    buf_add_json(out, p->name);
    buf_printf(out, ",\"state\":\"%s\"", states[p->state]);
    if (p->weight >= 0)
        buf_printf(out, ",\"weight\":%.9g", p->weight);
    if (p->derate < 1)
        buf_printf(out, ",\"derate\":%.9g", p->derate);
    if (p->share > 0)
        buf_printf(out, ",\"share\":%.9g", p->share);
    for (int32_t i = 0; i < p->n_windows; i++)
        buf_printf(out, "%s{\"from\":\"%s\",\"until\":\"%s\"}", i ? "," : ",\"maintenance\":[",
                   unit_text_instant(from, p->windows[i].from_us),
                   unit_text_instant(until, p->windows[i].until_us));
    buf_printf(out, "%s}", p->n_windows ? "]" : "");
}

void levers_write(struct levers *s, struct buf *out)
{
    bool first = true;
    pthread_mutex_lock(&s->lock);
    buf_lit(out, "{\"pools\":[");
    for (int32_t i = 0; i < s->n_pools; i++) {
        if (says_nothing(&s->pools[i]))
            continue;
        if (!first)
            buf_lit(out, ",");
        first = false;
        write_pool(out, &s->pools[i]);
    }
    buf_lit(out, "],\"sites\":[");
    first = true;
    for (int32_t i = 0; i < s->n_sites; i++) {
        if (!(s->sites[i].cap_w > 0))
            continue;
        buf_printf(out, "%s{\"site\":", first ? "" : ",");
        first = false;
        buf_add_json(out, s->sites[i].name);
        buf_printf(out, ",\"cap_w\":%.17g}", s->sites[i].cap_w);
    }
    buf_lit(out, "]}");
    pthread_mutex_unlock(&s->lock);
}

// --- the file ---------------------------------------------------------------------------------

static enum err write_file(const char *path, const struct buf *text, struct diag *diag)
{
    if (text->overflow)
        return diag_set(diag, ERR_LIMIT, "%s: what operators said does not fit %d bytes", path,
                        (int)FILE_BYTES_MAX);
    return file_replace(str_of(path), buf_str(text), true, diag);
}

static void complain(const struct levers *s, const char *why)
{
    log_line(s->gateway->config->log, LOG_ERROR, "levers", log_text("why", why),
             log_text("what", "they hold, and a restart will not know of the last change"));
}

static void on_written(void *arg)
{
    struct levers *s = arg;
    pthread_join(s->writer, NULL);
    s->writing = false;
    if (s->again)
        levers_save(s);
}

static void *run_writer(void *arg)
{
    struct levers *s = arg;
    struct diag diag = {0};
    if (write_file(s->path, &s->text, &diag))
        complain(s, diag.text);
    loop_post(first_worker(s->gateway)->loop, on_written, s);
    return NULL;
}

void levers_save(struct levers *s)
{
    if (!s->path)
        return;
    s->again = s->writing;
    if (s->writing)
        return;
    buf_clear(&s->text);
    levers_write(s, &s->text);
    int bad = pthread_create(&s->writer, NULL, run_writer, s);
    s->writing = !bad;
    if (bad)
        complain(s, strerror(bad));
}

struct file_text {
    struct arena arena;
    struct str text;
};

static struct str text_of(struct file_text *f, struct str object, const char *name)
{
    struct json_span span;
    size_t n;
    if (!json_get(object, str_of(name), &span) || span.kind != JSON_STRING)
        return (struct str){0};
    size_t size = json_string_bytes(object, span) + 1;
    char *out = arena_take(&f->arena, size);
    return out && json_string(object, span, out, size, &n) ? (struct str){out, n} : (struct str){0};
}

static double number_of(struct str object, const char *name, double otherwise)
{
    struct json_span span;
    double v;
    return json_get(object, str_of(name), &span) && json_double(object, span, &v) ? v : otherwise;
}

static void read_windows(struct file_text *f, struct lever_pool *p, struct str object)
{
    struct json_span span;
    struct json_walk w;
    struct diag diag = {0};
    if (!json_get(object, STR("maintenance"), &span) || !json_walk(&w, json_slice(object, span)))
        return;
    while (json_step(&w) && p->n_windows < ROUTE_WINDOWS_MAX) {
        struct str window = json_slice(w.text, w.value);
        struct route_window *to = &p->windows[p->n_windows];
        if (w.value.kind == JSON_OBJECT &&
            !unit_instant(&to->from_us, text_of(f, window, "from"), &diag) &&
            !unit_instant(&to->until_us, text_of(f, window, "until"), &diag))
            p->n_windows++;
    }
}

static void read_pool(struct levers *s, struct file_text *f, struct str object)
{
    struct str name = text_of(f, object, "pool"), state = text_of(f, object, "state");
    struct lever_pool *p = name.n ? levers_pool(s, name, true) : NULL;
    if (!p)
        return;
    for (size_t i = 0; i < COUNTOF(states); i++)
        if (str_eq(state, str_of(states[i])))
            p->state = (enum lever_state)i;
    p->weight = number_of(object, "weight", -1);
    p->derate = number_of(object, "derate", 1);
    if (!(p->derate > 0 && p->derate <= 1))
        p->derate = 1;
    p->share = number_of(object, "share", 0);
    if (!(p->share > 0 && p->share <= 1))
        p->share = 0;
    read_windows(f, p, object);
}

static void read_site(struct levers *s, struct file_text *f, struct str object)
{
    struct str name = text_of(f, object, "site");
    struct lever_site *at = name.n ? levers_site(s, name, true) : NULL;
    if (at)
        at->cap_w = number_of(object, "cap_w", 0);
}

static void read_list(struct levers *s, struct file_text *f, const char *name,
                      void (*one)(struct levers *s, struct file_text *f, struct str object))
{
    struct json_span span;
    struct json_walk w;
    if (!json_get(f->text, str_of(name), &span) || !json_walk(&w, json_slice(f->text, span)))
        return;
    while (json_step(&w))
        if (w.value.kind == JSON_OBJECT)
            one(s, f, json_slice(w.text, w.value));
}

static enum err read_file(struct levers *s, struct diag *diag)
{
    struct file_text f;
    struct diag why = {0};
    if (!s->path || access(s->path, F_OK))
        return ERR_NONE;
    arena_init(&f.arena, 4 * FILE_BYTES_MAX);
    enum err e = file_read(&f.text, &f.arena, str_of(s->path), FILE_BYTES_MAX, diag);
    if (!e && json_validate(f.text, &why))
        e = diag_set(diag, ERR_INVALID,
                     "%s: %s: what operators said is in it; mend it, or remove it to forget that",
                     s->path, why.text);
    if (!e) {
        read_list(s, &f, "pools", read_pool);
        read_list(s, &f, "sites", read_site);
    }
    arena_release(&f.arena);
    return e;
}

enum err levers_new(struct levers **out, struct gateway *g, struct diag *diag)
{
    struct str state = g->portfolio->serve.state;
    struct levers *s = take(sizeof *s);
    s->gateway = g;
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    buf_init(&s->text, FILE_BYTES_MAX);
    if (state.n) {
        s->path = take(state.n + sizeof "/levers.json");
        sprintf(s->path, STR_FMT "/levers.json", STR_ARG(state));
    }
    enum err e = read_file(s, diag);
    if (e) {
        levers_free(s);
        return e;
    }
    if (s->n_pools || s->n_sites)
        log_line(g->config->log, LOG_WARN, "levers", log_text("file", s->path),
                 log_int("pools", s->n_pools), log_int("sites", s->n_sites),
                 log_text("what", "as operators left them; GET /admin/levers shows them"));
    *out = s;
    return ERR_NONE;
}

void levers_stop(struct levers *s)
{
    if (!s || !s->writing)
        return;
    pthread_join(s->writer, NULL);
    s->writing = false;
    if (s->again) {
        buf_clear(&s->text);
        levers_write(s, &s->text);
        struct diag diag = {0};
        if (write_file(s->path, &s->text, &diag))
            complain(s, diag.text);
    }
}

void levers_free(struct levers *s)
{
    if (!s)
        return;
    for (int32_t i = 0; i < s->n_pools; i++)
        free((char *)(uintptr_t)s->pools[i].name.p);
    for (int32_t i = 0; i < s->n_sites; i++)
        free((char *)(uintptr_t)s->sites[i].name.p);
    pthread_mutex_destroy(&s->lock);
    buf_release(&s->text);
    free(s->path);
    free(s);
}

// --- metrics ----------------------------------------------------------------------------------

static void write_label(struct buf *out, const char *metric, const char *label, struct str name)
{
    buf_printf(out, "%s{%s=", metric, label);
    buf_add_json(out, name);  // its escapes are Prometheus' too, for names of a portfolio
    buf_lit(out, "} ");
}

void levers_metrics(struct levers *s, struct buf *out)
{
    pthread_mutex_lock(&s->lock);
    buf_lit(out, "# HELP caudal_pool_stopped 1: an operator drained or disabled the pool.\n"
                 "# TYPE caudal_pool_stopped gauge\n");
    for (int32_t i = 0; i < s->n_pools; i++) {
        write_label(out, "caudal_pool_stopped", "pool", s->pools[i].name);
        buf_printf(out, "%d\n", s->pools[i].state != LEVER_ENABLED);
    }
    buf_lit(out, "# HELP caudal_pool_derate Share of the pool that an operator left; 1: all.\n"
                 "# TYPE caudal_pool_derate gauge\n");
    for (int32_t i = 0; i < s->n_pools; i++) {
        write_label(out, "caudal_pool_derate", "pool", s->pools[i].name);
        buf_printf(out, "%.9g\n", s->pools[i].derate);
    }
    buf_lit(out, "# HELP caudal_site_cap_watts Power that an operator capped the site to.\n"
                 "# TYPE caudal_site_cap_watts gauge\n");
    for (int32_t i = 0; i < s->n_sites; i++) {
        if (!(s->sites[i].cap_w > 0))
            continue;
        write_label(out, "caudal_site_cap_watts", "site", s->sites[i].name);
        buf_printf(out, "%.9g\n", s->sites[i].cap_w);
    }
    pthread_mutex_unlock(&s->lock);
}
