#include "wire/config_read.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

enum { SHOWN_MAX = 60, TEXT_MAX = 400 };

void out_of_memory(struct reader *r)
{
    if (!r->full)
        problems_add(r->problems, SEVERITY_ERROR, (struct place){0}, STR(""),
                     "the portfolio needs more memory than it may have");
    r->full = true;
}

void *read_take(struct reader *r, size_t size, int32_t n)
{
    void *p = arena_take_n(r->a, size, n > 0 ? (size_t)n : 1);
    if (!p)
        out_of_memory(r);
    return p;
}

// Path and problems

struct str path_text(struct arena *a, const struct step *path)
{
    if (!path)
        return STR("");
    struct str up = path_text(a, path->up);
    if (!path->name.p)
        return arena_printf(a, STR_FMT "[%d]", STR_ARG(up), (int)path->index);
    return arena_printf(a, STR_FMT "%s" STR_FMT, STR_ARG(up), up.n ? "." : "", STR_ARG(path->name));
}

void bad(struct reader *r, struct place place, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    problems_add(r->problems, SEVERITY_ERROR, place, path_text(r->a, r->path), "%s", text);
}

struct str shown(struct reader *r, const struct yaml_node *node)
{
    if (node->kind == YAML_LIST)
        return STR("a list");
    if (node->kind == YAML_MAP)
        return STR("a map");
    if (node->secret)
        return STR("***");
    if (yaml_is_null(node))
        return STR("nothing");
    struct str text = url_shown(r->a, node->text);
    bool cut = text.n > SHOWN_MAX;
    if (cut)
        text.n = SHOWN_MAX;
    while (cut && text.n && ((unsigned char)text.p[text.n] & 0xc0) == 0x80)
        text.n--;  // not in the middle of a character
    struct str out = arena_printf(r->a, "\"" STR_FMT "%s\"", STR_ARG(text), cut ? "..." : "");
    if (!out.p)
        return STR("a value");
    char *p = (char *)(uintptr_t)out.p;  // fresh memory of ours
    for (size_t i = 0; i < out.n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f)
            p[i] = '?';
    return out;
}

void bad_value(struct reader *r, const struct yaml_node *node, const char *what,
               const char *expected)
{
    bad(r, node->place, "%s, got " STR_FMT ", expected %s", what, STR_ARG(shown(r, node)),
        expected);
}

bool is_map(struct reader *r, const struct yaml_node *node, const char *expected)
{
    if (node->kind == YAML_MAP)
        return true;
    bad_value(r, node, "is not a map", expected);
    return false;
}

bool is_scalar(struct reader *r, const struct yaml_node *node, const char *expected)
{
    if (node->kind == YAML_SCALAR && !yaml_is_null(node))
        return true;
    bad_value(r, node, "is not a single value", expected);
    return false;
}

const struct yaml_node *list_first(const struct yaml_node *node)
{
    if (yaml_is_null(node))
        return NULL;
    return node->kind == YAML_LIST ? node->first : node;
}

int32_t list_len(const struct yaml_node *node)
{
    if (yaml_is_null(node))
        return 0;
    return node->kind == YAML_LIST ? node->n : 1;
}

const struct yaml_node *list_next(const struct yaml_node *node, const struct yaml_node *at)
{
    return node->kind == YAML_LIST ? at->next : NULL;
}

void add_secret(struct reader *r, struct str secret)
{
    struct portfolio *p = r->p;
    if (!secret.n)
        return;
    for (int32_t i = 0; i < p->n_secrets; i++)
        if (str_eq(p->secrets[i], secret))
            return;
    if (p->n_secrets == r->secrets_size) {
        int32_t size = r->secrets_size ? r->secrets_size * 2 : 16;
        struct str *more = read_new(r, struct str, size);
        if (!more)
            return;
        if (p->n_secrets)
            memcpy(more, p->secrets, (size_t)p->n_secrets * sizeof *more);
        p->secrets = more;
        r->secrets_size = size;
    }
    p->secrets[p->n_secrets++] = secret;
}

// One field

static bool in_bounds(struct reader *r, const struct yaml_node *node, const struct field *f,
                      double v)
{
    if (!(v < f->lo) && (f->hi == 0 || !(v > f->hi)))
        return true;
    if (f->lo == 0 && f->hi == 0)
        bad_value(r, node, "is negative", "0 or more");
    else if (f->hi == 0)
        bad(r, node->place, "is too small, got " STR_FMT ", expected at least %g",
            STR_ARG(shown(r, node)), f->lo);
    else
        bad(r, node->place, "is out of bounds, got " STR_FMT ", expected %g to %g",
            STR_ARG(shown(r, node)), f->lo, f->hi);
    return false;
}

static struct str strip_slashes(struct str url)
{
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    return url;
}

// What is no URL may be a key in the wrong place, so it is not shown.
static void read_url(struct reader *r, const struct yaml_node *node, struct str *out)
{
    static const char expected[] = "a URL such as https://api.example.com/v1";
    struct str url = node->text;
    if (!is_scalar(r, node, expected))
        return;
    if (!str_starts(url, STR("http://")) && !str_starts(url, STR("https://"))) {
        bad(r, node->place, "does not start with http:// or https://, expected %s", expected);
        return;
    }
    for (size_t i = 0; i < url.n; i++)
        if ((unsigned char)url.p[i] <= ' ' || url.p[i] == 0x7f) {
            bad_value(r, node, "holds a blank or a control character", expected);
            return;
        }
    if (memchr(url.p, '?', url.n) || memchr(url.p, '#', url.n)) {
        bad_value(r, node, "has a query or a fragment, which would end up in front of the path",
                  expected);
        return;
    }
    if (!url_host(url).n) {
        bad_value(r, node, "has no host", expected);
        return;
    }
    struct str host = url_host(url);
    struct str rest = {host.p + host.n, (size_t)(url.p + url.n - (host.p + host.n))};
    if (rest.n && rest.p[0] == ':') {
        struct str port = str_skip(rest, 1);
        size_t slash;
        if (str_find(port, STR("/"), &slash))
            port.n = slash;
        int64_t number;
        if (!str_to_i64(port, &number) || number < 1 || number > 65535) {
            bad_value(r, node, "has a port that is none", "1 to 65535");
            return;
        }
    }
    *out = strip_slashes(url);
}

// It goes into a header as it is, where a line break would begin another.
static void read_secret(struct reader *r, const struct yaml_node *node, struct str *out)
{
    bool ok = is_scalar(r, node, "text");
    for (size_t i = 0; ok && i < node->text.n; i++)
        ok = (unsigned char)node->text.p[i] >= ' ' && node->text.p[i] != 0x7f;
    if (ok)
        add_secret(r, *out = node->text);
    else if (node->kind == YAML_SCALAR && !yaml_is_null(node))
        bad(r, node->place, "holds a line break or another control character, expected text");
}

static void read_texts(struct reader *r, const struct yaml_node *node, const struct field *f,
                       char *object)
{
    int32_t n = 0, i = 0;
    struct str *texts = read_new(r, struct str, list_len(node));
    if (!texts)
        return;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        if (!c->broken && is_scalar(r, c, "text"))
            texts[n++] = c->text;
        LAST_STEP(r, entry);
    }
    *(struct str **)(void *)(object + f->at) = texts;
    *(int32_t *)(void *)(object + f->n_at) = n;
}

static void read_refs(struct reader *r, const struct yaml_node *node, const struct field *f,
                      char *object)
{
    int32_t n = 0, i = 0, index;
    int32_t *refs = read_new(r, int32_t, list_len(node));
    if (!refs)
        return;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        if (!c->broken && read_ref(r, c, (enum section)f->unit, &index))
            refs[n++] = index;
        LAST_STEP(r, entry);
    }
    *(int32_t **)(void *)(object + f->at) = refs;
    *(int32_t *)(void *)(object + f->n_at) = n;
}

static void read_bits(struct reader *r, const struct yaml_node *node, const struct field *f,
                      char *object)
{
    uint32_t bits = 0;
    int32_t n = 0;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        int i;
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++n);
        if (!c->broken && read_word(r, c, f->word, &i))
            bits |= 1u << i;
        LAST_STEP(r, entry);
    }
    *(uint32_t *)(void *)(object + f->at) = bits;
}

static void read_bool(struct reader *r, const struct yaml_node *node, bool *out)
{
    static const char expected[] = "true or false";
    if (!is_scalar(r, node, expected))
        return;
    if (str_eq(node->text, STR("true")) || str_eq(node->text, STR("yes")))
        *out = true;
    else if (str_eq(node->text, STR("false")) || str_eq(node->text, STR("no")))
        *out = false;
    else
        bad_value(r, node, "is neither yes nor no", expected);
}

void read_field(struct reader *r, const struct yaml_node *node, const struct field *f, void *owner)
{
    char *object = owner;
    void *at = object + f->at;
    double v, scale = f->scale != 0 ? f->scale : 1;
    int64_t whole;
    int word;
    switch (f->kind) {
    case KIND_TEXT:
        if (is_scalar(r, node, f->shape ? f->shape : "text"))
            *(struct str *)at = node->text;
        break;
    case KIND_SOURCE:
        if (is_scalar(r, node, "text"))
            ((struct source *)at)->text = node->text;
        break;
    case KIND_SECRET: read_secret(r, node, at); break;
    case KIND_URL: read_url(r, node, at); break;
    case KIND_BOOL: read_bool(r, node, at); break;
    case KIND_COUNT:
        if (!read_scaled(r, node, "is not a whole number", "a whole number such as 16 or 64k",
                         &v) ||
            !in_bounds(r, node, f, v))
            break;
        if (v != floor(v) || v > INT32_MAX)
            bad_value(r, node, "is not a whole number below two thousand million", "a count");
        else
            *(int32_t *)at = (int32_t)v;
        break;
    case KIND_NUMBER:
        if (read_number(r, node, &v) && in_bounds(r, node, f, v))
            *(double *)at = v;
        break;
    case KIND_TOKENS:
        if (read_tokens(r, node, &v) && in_bounds(r, node, f, v))
            *(double *)at = v;
        break;
    case KIND_UNIT:
        if (read_unit(r, node, (enum unit_kind)f->unit, &v) && in_bounds(r, node, f, v * scale))
            *(double *)at = v * scale;
        break;
    case KIND_UNIT_I64:
        if (read_i64(r, node, (enum unit_kind)f->unit, scale, &whole) &&
            in_bounds(r, node, f, (double)whole))
            *(int64_t *)at = whole;
        break;
    case KIND_INSTANT:
        if (read_instant(r, node, &whole))
            *(int64_t *)at = whole;
        break;
    case KIND_WORD:
        if (read_word(r, node, f->word, &word))
            *(int *)at = word;
        break;
    case KIND_CHOICE:
        if (read_word(r, node, f->word, &word))
            *(struct str *)at = str_of(f->word(word));
        break;
    case KIND_BITS: read_bits(r, node, f, object); break;
    case KIND_TEXTS: read_texts(r, node, f, object); break;
    case KIND_REF: read_ref(r, node, (enum section)f->unit, at); break;
    case KIND_REFS: read_refs(r, node, f, object); break;
    case KIND_SUB: read_fields(r, node, f->sub, object); break;
    case KIND_CUSTOM: f->read(r, node, object); break;
    }
}

// Maps

const struct field *field_of(const struct field *rows, const char *key)
{
    for (; rows->key; rows++)
        if (strcmp(rows->key, key) == 0)
            return rows;
    return NULL;
}

static const char *nearest_row(struct str key, const struct fields *tables, int32_t n)
{
    const char *nearest = NULL;
    size_t least = (key.n / 3 > 1 ? key.n / 3 : 1) + 1;
    for (int32_t i = 0; i < n; i++)
        for (const struct field *f = tables[i].rows; f->key; f++) {
            size_t d = str_distance(key, str_of(f->key));
            if (d < least) {
                nearest = f->key;
                least = d;
            }
        }
    return nearest;
}

// The keys of one map, for a person who wrote another. Returns `text`.
static const char *rows_text(char text[TEXT_MAX], const struct fields *tables, int32_t n)
{
    int at = snprintf(text, TEXT_MAX, "a map of");
    bool first = true;
    for (int32_t i = 0; i < n; i++)
        for (const struct field *f = tables[i].rows; f->key && tables[i].object; f++) {
            if (at < TEXT_MAX)
                at +=
                    snprintf(text + at, (size_t)(TEXT_MAX - at), "%s %s", first ? "" : ",", f->key);
            first = false;
        }
    return text;
}

static void read_entry(struct reader *r, const struct yaml_node *node, const struct fields *tables,
                       int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        for (const struct field *f = tables[i].rows; f->key; f++) {
            if (!str_eq(node->key, str_of(f->key)))
                continue;
            if (!tables[i].object)
                bad(r, node->key_place, "%s", tables[i].instead);
            else if (!node->broken && !yaml_is_null(node))
                read_field(r, node, f, tables[i].object);
            return;
        }
    const char *nearest = nearest_row(node->key, tables, n);
    char text[TEXT_MAX];
    if (nearest)
        bad(r, node->key_place, "is not a known key here, did you mean \"%s\"?", nearest);
    else
        bad(r, node->key_place, "is not a known key here, expected %s", rows_text(text, tables, n));
}

void read_map(struct reader *r, const struct yaml_node *node, const struct fields *tables,
              int32_t n_tables)
{
    if (yaml_is_null(node) || node->broken)
        return;
    char text[TEXT_MAX];
    if (!is_map(r, node, node->kind == YAML_MAP ? "" : rows_text(text, tables, n_tables)))
        return;
    for (const struct yaml_node *c = node->first; c && !r->full; c = c->next) {
        FIRST_STEP(r, entry, c->key, 0);
        read_entry(r, c, tables, n_tables);
        LAST_STEP(r, entry);
    }
}

void read_fields(struct reader *r, const struct yaml_node *node, const struct field *rows,
                 void *object)
{
    read_map(r, node, &(struct fields){rows, object, NULL}, 1);
}
