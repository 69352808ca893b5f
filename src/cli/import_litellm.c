// What every part of a LiteLLM configuration is read with: keys by table, values, notes.

#include "cli/import.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char from_environment[] = "os.environ/";

void import_init(struct import *im, struct arena *a, struct str file)
{
    *im = (struct import){.a = a,
                          .file = file,
                          .retries = -1,
                          .failures = -1,
                          .open_s = -1,
                          .timeout_s = -1,
                          .body_mb = -1};
    im->last = &im->first;
}

// A note is one line of a comment, whatever the file held.
static void plain_line(struct str copy)
{
    for (size_t i = 0; i < copy.n; i++)
        if ((unsigned char)copy.p[i] < ' ' || copy.p[i] == 0x7f)
            ((char *)copy.p)[i] = '?';
}

void import_note(struct import *im, const struct yaml_node *at, const char *what, const char *why,
                 ...)
{
    char text[1024];
    va_list args;
    va_start(args, why);
    vsnprintf(text, sizeof text, why, args);
    va_end(args);
    struct import_note *note = arena_new(im->a, struct import_note, 1);
    if (!note) {
        im->full = true;
        return;
    }
    *note = (struct import_note){.line = at->key_place.line ? at->key_place.line : at->place.line,
                                 .what = arena_str(im->a, str_of(what)),
                                 .why = arena_str(im->a, str_of(text))};
    plain_line(note->what);
    plain_line(note->why);
    struct import_note **to = &im->notes;
    while (*to && (*to)->line <= note->line)
        to = &(*to)->next;
    note->next = *to;
    *to = note;
}

static void one_key(struct import *im, const struct yaml_node *node, const char *path,
                    const struct import_key *keys, void *object)
{
    char what[256];
    const struct import_key *k = keys;
    snprintf(what, sizeof what, "%s%s" STR_FMT, path, path[0] ? "." : "", STR_ARG(node->key));
    while (k->key && !str_eq(node->key, str_of(k->key)))
        k++;
    if (yaml_is_null(node))
        return;  // as not said
    if (k->take)
        k->take(im, node, object);
    else if (k->why)
        import_note(im, node, what, "%s", k->why);
}

static bool is_merge(const struct yaml_node *node)
{
    return str_eq(node->key, STR("<<"));
}

// A later key counts, and one of the map itself counts more than one it merges.
static void merged_keys(struct import *im, const struct yaml_node *map, const struct yaml_node *top,
                        const char *path, const struct import_key *keys, void *object)
{
    for (const struct yaml_node *c = map->first; c; c = c->next)
        if (map == top || !yaml_get(top, c->key))
            one_key(im, c, path, keys, object);
}

void import_keys(struct import *im, const struct yaml_node *map, const char *path,
                 const struct import_key *keys, void *object)
{
    if (map->kind != YAML_MAP) {
        if (!yaml_is_null(map))
            import_note(im, map, path, "is not a map of keys, so it was passed over");
        return;
    }
    struct import_key with_merge[64];
    size_t n = 0;
    while (keys[n].key)
        n++;
    CHECK(n + 2 <= COUNTOF(with_merge));
    with_merge[0] = (struct import_key){"<<", NULL, NULL};
    memcpy(with_merge + 1, keys, (n + 1) * sizeof keys[0]);
    for (const struct yaml_node *c = map->first; c; c = c->next) {
        if (!is_merge(c))
            continue;
        const struct yaml_node *one = c->kind == YAML_LIST ? c->first : c;
        for (; one; one = c->kind == YAML_LIST ? one->next : NULL)
            if (one->kind == YAML_MAP)
                merged_keys(im, one, map, path, with_merge, object);
    }
    merged_keys(im, map, map, path, with_merge, object);
}

struct str import_text(struct import *im, const struct yaml_node *node)
{
    struct str t = node->kind == YAML_SCALAR ? node->text : (struct str){NULL, 0};
    if (str_starts(t, str_of(from_environment)))
        return arena_printf(im->a, "${" STR_FMT "}",
                            STR_ARG(str_skip(t, strlen(from_environment))));
    struct buf b;
    buf_init(&b, 64 << 10);
    for (size_t i = 0; i < t.n; i++) {
        if (t.p[i] == '$' && i + 1 < t.n && t.p[i + 1] == '{')
            buf_lit(&b, "$");  // "$${" is "${" in a portfolio
        buf_add(&b, t.p + i, 1);
    }
    struct str out = arena_str(im->a, buf_str(&b));
    buf_release(&b);
    return out;
}

// YAML writes numbers in more ways than JSON: 1_000, +5, .5, 5.
static bool number_of(struct str text, double *out)
{
    char z[64];
    size_t n = 0;
    for (size_t i = 0; i < text.n && n + 1 < sizeof z; i++)
        if (text.p[i] != '_')
            z[n++] = text.p[i];
    z[n] = 0;
    char *end;
    *out = strtod(z, &end);
    return n && !*end && *out == *out && *out < 1e300 && *out > -1e300;
}

bool import_number(struct import *im, const struct yaml_node *node, double *out)
{
    char what[128];
    double v;
    snprintf(what, sizeof what, STR_FMT, STR_ARG(node->key));
    if (node->kind == YAML_SCALAR && str_starts(node->text, str_of(from_environment)))
        import_note(im, node, what,
                    "stands in the environment: a portfolio has its numbers itself");
    else if (node->kind != YAML_SCALAR || !number_of(node->text, &v) || v < 0)
        import_note(im, node, what, "is not a number from 0 on, so it was passed over");
    else {
        *out = v;
        return true;
    }
    return false;
}

bool import_true(const struct yaml_node *node)
{
    return str_eq_nocase(node->text, STR("true")) || str_eq_nocase(node->text, STR("yes")) ||
           str_eq_nocase(node->text, STR("on"));
}

struct str import_secret(struct import *im, const struct yaml_node *node, const char *fallback,
                         bool may_be_empty)
{
    char what[128];
    if (node->kind == YAML_SCALAR && str_starts(node->text, str_of(from_environment)))
        return import_text(im, node);
    snprintf(what, sizeof what, STR_FMT, STR_ARG(node->key));
    import_note(im, node, what, "stands in the file itself and was not copied: export it as %s%s",
                fallback, may_be_empty ? ", unless that server asks for none" : "");
    return arena_printf(im->a, may_be_empty ? "${%s:-}" : "${%s}", fallback);
}
