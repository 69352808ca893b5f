#include "wire/config.h"

#include "wire/config_read.h"

// Before values are read: ${NAME}, !file, duplicate keys, and merging of files.

struct expansion {
    struct reader *r;
    const struct config_env *env;
    const struct config_file *file;
};

static bool is_name_char(char c, bool first)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (!first && c >= '0' && c <= '9');
}

// A variable whose value nobody should see, by its name.
static bool is_secret_name(struct str name)
{
    static const char *const marks[] = {"KEY",    "TOKEN",  "SECRET", "PASSWORD",
                                        "PASSWD", "CREDEN", "PRIVATE"};
    char upper[128];
    size_t n = name.n < sizeof upper ? name.n : sizeof upper, at;
    for (size_t i = 0; i < n; i++)
        upper[i] = name.p[i] >= 'a' && name.p[i] <= 'z' ? (char)(name.p[i] - 32) : name.p[i];
    for (size_t i = 0; i < COUNTOF(marks); i++)
        if (str_find((struct str){upper, n}, str_of(marks[i]), &at))
            return true;
    return false;
}

// "${NAME}" or "${NAME:-default}" at the start of `text`; `*length` is how much of it that is.
static bool cut_reference(struct str text, struct str *name, struct str *fallback, size_t *length)
{
    size_t i = 2, end;
    while (i < text.n && is_name_char(text.p[i], i == 2))
        i++;
    *name = (struct str){text.p + 2, i - 2};
    *fallback = (struct str){NULL, 0};
    if (!name->n || !str_find(str_skip(text, i), STR("}"), &end))
        return false;
    if (end && !str_starts(str_skip(text, i), STR(":-")))
        return false;
    if (end)
        *fallback = (struct str){text.p + i + 2, end - 2};
    *length = i + end + 1;
    return true;
}

static void append(struct expansion *x, struct str *text, struct str more)
{
    if (!more.n)
        return;
    struct str joined = arena_printf(x->r->a, STR_FMT STR_FMT, STR_ARG(*text), STR_ARG(more));
    if (joined.p)
        *text = joined;
    else
        out_of_memory(x->r);
}

// The folder of the file, with its '/'; empty: where the program runs.
static struct str folder_of(struct str file)
{
    while (file.n && file.p[file.n - 1] != '/')
        file.n--;
    return file;
}

// ${HERE}, so that a portfolio finds what lies beside it from wherever it is read.
static struct str here(const struct expansion *x)
{
    struct str folder = folder_of(x->file->name);
    if (folder.n > 1)
        folder.n--;
    return folder.n ? folder : STR(".");
}

// The value that stands for one reference; false (and a problem) when there is none.
static bool look_up(struct expansion *x, struct yaml_node *node, struct str name,
                    struct str fallback, struct str *value)
{
    bool secret = is_secret_name(name);
    node->secret = node->secret || secret;
    bool set = str_eq(name, STR("HERE"));
    if (set)
        *value = here(x);
    else
        set = x->env->get(x->env->ctx, name, value);
    if (fallback.p && (!set || !value->n))
        *value = fallback;
    else if (!set) {
        bad(x->r, node->place,
            "${" STR_FMT "} is not set in the environment, expected it to be, or "
            "${" STR_FMT ":-DEFAULT}",
            STR_ARG(name), STR_ARG(name));
        return false;
    }
    if (value->n && memchr(value->p, 0, value->n)) {
        bad(x->r, node->place, "${" STR_FMT "} holds a NUL byte", STR_ARG(name));
        return false;
    }
    if (secret)
        add_secret(x->r, arena_str(x->r->a, *value));
    return true;
}

// Replaces the references of one scalar. "$${" stands for "${" itself; ${PORT} of an engine's
// command stays, since only the moment of its start knows it.
static void expand_text(struct expansion *x, struct yaml_node *node, bool in_run)
{
    struct str rest = node->text, text = STR("");
    size_t at;
    if (!str_find(rest, STR("${"), &at))
        return;
    for (; str_find(rest, STR("${"), &at) && !x->r->full;) {
        if (at && rest.p[at - 1] == '$') {
            append(x, &text, (struct str){rest.p, at - 1});
            append(x, &text, STR("${"));
            rest = str_skip(rest, at + 2);
            continue;
        }
        append(x, &text, (struct str){rest.p, at});
        rest = str_skip(rest, at);
        struct str name, fallback, value;
        size_t length;
        if (!cut_reference(rest, &name, &fallback, &length)) {
            bad(x->r, node->place,
                "has a ${ that is not ${NAME} or ${NAME:-DEFAULT} (write $${ for the text itself)");
            node->broken = true;
            return;
        }
        if (in_run && str_eq(name, STR("PORT")))
            value = (struct str){rest.p, length};
        else if (!look_up(x, node, name, fallback, &value)) {
            node->broken = true;
            return;
        }
        append(x, &text, value);
        rest = str_skip(rest, length);
    }
    append(x, &text, rest);
    node->text = text;
}

// `!file PATH`: the text becomes the content of the file, which is taken for a secret.
static void expand_file(struct expansion *x, struct yaml_node *node)
{
    struct str path = node->text, text, folder = folder_of(x->file->name);
    struct diag diag = {0};
    if (!path.n || memchr(path.p, 0, path.n)) {
        bad(x->r, node->place, "names no file, expected !file PATH");
        node->broken = true;
        return;
    }
    if (path.p[0] != '/' && folder.n)
        path = arena_printf(x->r->a, STR_FMT STR_FMT, STR_ARG(folder), STR_ARG(path));
    node->secret = true;
    node->tag = (struct str){NULL, 0};
    if (!path.p) {
        out_of_memory(x->r);
        return;
    }
    if (!x->env->read || x->env->read(x->env->ctx, x->r->a, path, &text, &diag)) {
        bad(x->r, node->place, "the file of a secret cannot be read: %s",
            diag.text[0] ? diag.text : "not here");
        node->broken = true;
        return;
    }
    if (str_ends(text, STR("\n")))
        text.n--;
    if (str_ends(text, STR("\r")))
        text.n--;
    node->plain = false;
    node->text = text;
    add_secret(x->r, text);
}

// User and password of a URL are secrets wherever the URL stands.
static void note_userinfo(struct expansion *x, const struct yaml_node *node)
{
    size_t at, end;
    if (!str_find(node->text, STR("://"), &at))
        return;
    struct str user = str_skip(node->text, at + 3);
    for (end = 0; end < user.n && user.p[end] != '/' && user.p[end] != '?' && user.p[end] != '#';)
        end++;
    while (end && user.p[end - 1] != '@')
        end--;
    if (end < 2)
        return;
    user.n = end - 1;
    add_secret(x->r, user);
    if (str_find(user, STR(":"), &at))
        add_secret(x->r, str_skip(user, at + 1));
}

static void expand_scalar(struct expansion *x, struct yaml_node *node, bool in_run)
{
    expand_text(x, node, in_run);
    if (node->broken)
        return;
    if (str_eq(node->tag, STR("!file"))) {
        expand_file(x, node);
    } else if (node->tag.n) {
        bad(x->r, node->place, "has a tag that is not known, expected !file or none");
        node->broken = true;
    }
    note_userinfo(x, node);
}

static void report_again(struct reader *r, const struct yaml_node *node)
{
    bad(r, node->key_place, "stands twice, first at line %d, column %d", (int)node->earlier.line,
        (int)node->earlier.column);
}

// Depth is bounded by YAML_DEPTH_MAX.
static void expand(struct expansion *x, struct yaml_node *node, bool in_run, bool secret)
{
    node->secret = node->secret || secret;
    if (node->kind == YAML_SCALAR) {
        expand_scalar(x, node, in_run);
        return;
    }
    if (node->tag.n) {
        bad(x->r, node->place, "has a tag, expected none on a map or list");
        node->broken = true;
    }
    struct yaml_node **link = &node->first, *kept = NULL;
    int32_t index = 0;
    for (struct yaml_node *c = node->first; c && !x->r->full; c = c->next) {
        bool map = node->kind == YAML_MAP;
        FIRST_STEP(x->r, entry, map ? c->key : ((struct str){NULL, 0}), ++index);
        if (c->again) {
            report_again(x->r, c);
            node->n--;
            *link = c->next;
        } else {
            bool run = in_run || (map && str_eq(c->key, STR("run")));
            bool key =
                secret || (map && (str_eq(c->key, STR("key")) || str_eq(c->key, STR("keys"))));
            expand(x, c, run, key);
            link = &c->next;
            kept = c;
        }
        LAST_STEP(x->r, entry);
    }
    node->last = kept;
}

// Moves what `from` says into `into`. Both are maps.
static void merge(struct reader *r, struct yaml_node *into, struct yaml_node *from)
{
    for (struct yaml_node *c = from->first, *next; c; c = next) {
        next = c->next;
        struct yaml_node *have = yaml_get(into, c->key);
        FIRST_STEP(r, entry, c->key, 0);
        if (!have) {
            yaml_append(into, c);
        } else if (have->kind == YAML_MAP && c->kind == YAML_MAP) {
            merge(r, have, c);
        } else if (!have->broken && !c->broken && !yaml_equal(have, c)) {
            bad(r, c->place, "is said twice and differs, here and at " STR_FMT ":%d:%d",
                STR_ARG(have->place.file), (int)have->place.line, (int)have->place.column);
        }
        LAST_STEP(r, entry);
    }
}

static void load_file(struct reader *r, const struct config_env *env,
                      const struct config_file *file, struct yaml_node *root)
{
    struct yaml_node *docs;
    struct place at;
    struct diag diag = {0};
    if (yaml_parse(&docs, r->a, file->name, file->text, &at, &diag)) {
        bad(r, at, "%s", diag.text);
        return;
    }
    struct expansion x = {r, env, file};
    for (struct yaml_node *doc = docs->first, *next; doc && !r->full; doc = next) {
        next = doc->next;
        if (yaml_is_null(doc))
            continue;
        if (doc->kind != YAML_MAP) {
            bad(r, doc->place, "is not a portfolio, expected a map with `caudal: 1` and pools");
            continue;
        }
        expand(&x, doc, false, false);
        merge(r, root, doc);
    }
}

enum err config_load(struct portfolio *out, struct arena *a, const struct config_file *files,
                     int32_t n_files, const struct config_env *env, struct problems *problems)
{
    *out = (struct portfolio){.arena = a};
    serve_config_defaults(&out->serve);
    struct reader r = {.p = out, .a = a, .problems = problems};
    int32_t before = problems->errors;
    struct yaml_node root = {.kind = YAML_MAP};
    root.place = (struct place){n_files ? files[0].name : STR(""), 1, 1};
    for (int32_t i = 0; i < n_files; i++)
        load_file(&r, env, &files[i], &root);
    // What could not be read as YAML would only make everything else look missing.
    if (problems->errors == before || root.n)
        read_sections(&r, &root);
    struct diag diag = {0};
    if (problems->errors == before && portfolio_seal(out, &diag))
        problems_add(problems, SEVERITY_ERROR, (struct place){0}, STR(""), "%s", diag.text);
    if (r.full)
        return ERR_LIMIT;
    return problems->errors > before ? ERR_INVALID : ERR_NONE;
}
