#include "wire/yaml.h"

#include <yaml.h>

struct anchor {
    struct str name;
    const struct yaml_node *node;
    struct anchor *next;
};

struct parse {
    yaml_parser_t parser;
    struct arena *a;
    struct str file;
    struct diag *diag;
    struct place *at;
    struct anchor *anchors;  // newest first; of the document
    int32_t nodes;
    // The way down to the node being filled: stack[0] is the list of documents.
    struct yaml_node *stack[YAML_DEPTH_MAX];
    int32_t depth;
    struct str key;  // of the value to come, when the top of the stack is a map
    struct place key_place;
    bool have_key;
    struct str names[YAML_DEPTH_MAX];  // anchor of each open node; known once the node is complete
};

static struct place place_of(const struct parse *p, yaml_mark_t mark)
{
    return (struct place){p->file, (int32_t)mark.line + 1, (int32_t)mark.column + 1};
}

static enum err fail(struct parse *p, yaml_mark_t mark, enum err e, const char *what)
{
    *p->at = place_of(p, mark);
    return diag_set(p->diag, e, "%s", what);
}

static struct str bytes(const yaml_char_t *z)
{
    return str_of((const char *)z);
}

void yaml_append(struct yaml_node *parent, struct yaml_node *child)
{
    child->next = NULL;
    if (parent->last)
        parent->last->next = child;
    else
        parent->first = child;
    parent->last = child;
    parent->n++;
}

struct yaml_node *yaml_get(const struct yaml_node *map, struct str key)
{
    for (struct yaml_node *c = map->first; c; c = c->next)
        if (str_eq(c->key, key))
            return c;
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && node->plain && !node->tag.n &&
           (node->text.n == 0 || str_eq(node->text, STR("~")) || str_eq(node->text, STR("null")));
}

bool yaml_equal(const struct yaml_node *a, const struct yaml_node *b)
{
    if (a->kind != b->kind || a->n != b->n || !str_eq(a->text, b->text) || !str_eq(a->tag, b->tag))
        return false;
    const struct yaml_node *x = a->first;
    for (const struct yaml_node *y = b->first; x && y; x = x->next, y = y->next)
        if (!str_eq(x->key, y->key) || !yaml_equal(x, y))
            return false;
    return true;
}

static struct yaml_node *new_node(struct parse *p, yaml_mark_t mark)
{
    if (p->nodes >= YAML_NODES_MAX) {
        fail(p, mark, ERR_LIMIT, "too many values in one file (aliases count as often as used)");
        return NULL;
    }
    struct yaml_node *node = arena_new(p->a, struct yaml_node, 1);
    if (!node) {
        fail(p, mark, ERR_LIMIT, "the file needs more memory than a portfolio may have");
        return NULL;
    }
    p->nodes++;
    node->place = place_of(p, mark);
    return node;
}

// Hangs `node` under the open node. Quadratic in the children of one map, which are bounded.
static enum err attach(struct parse *p, struct yaml_node *node, yaml_mark_t mark)
{
    struct yaml_node *parent = p->stack[p->depth - 1];
    if (parent->n >= YAML_CHILDREN_MAX)
        return fail(p, mark, ERR_LIMIT, "too many entries in one map or list (at most 4096)");
    node->again = false;
    node->key = (struct str){NULL, 0};
    if (parent->kind == YAML_MAP) {
        const struct yaml_node *earlier = yaml_get(parent, p->key);
        node->again = earlier != NULL;
        if (earlier)
            node->earlier = earlier->key_place;
        node->key = p->key;
        node->key_place = p->key_place;
        p->have_key = false;
    }
    yaml_append(parent, node);
    return ERR_NONE;
}

static enum err copy_text(struct parse *p, struct str *out, struct str text, yaml_mark_t mark)
{
    *out = arena_str(p->a, text);
    return out->p
               ? ERR_NONE
               : fail(p, mark, ERR_LIMIT, "the file needs more memory than a portfolio may have");
}

// An own copy of what an anchor named, since the readers of the tree may change it. Counted like
// written nodes, so that aliases of aliases run into the limit instead of out of memory.
static struct yaml_node *copy_tree(struct parse *p, const struct yaml_node *from, int32_t depth,
                                   yaml_mark_t mark)
{
    if (depth >= YAML_DEPTH_MAX) {
        fail(p, mark, ERR_LIMIT, "nested too deeply (at most 32)");
        return NULL;
    }
    struct yaml_node *node = new_node(p, mark);
    if (!node)
        return NULL;
    *node = *from;
    node->first = node->last = node->next = NULL;
    node->n = 0;
    for (const struct yaml_node *c = from->first; c; c = c->next) {
        struct yaml_node *child = copy_tree(p, c, depth + 1, mark);
        if (!child)
            return NULL;
        yaml_append(node, child);
    }
    return node;
}

static enum err remember(struct parse *p, struct str name, const struct yaml_node *node,
                         yaml_mark_t mark)
{
    struct anchor *anchor = arena_new(p->a, struct anchor, 1);
    if (!anchor)
        return fail(p, mark, ERR_LIMIT, "the file needs more memory than a portfolio may have");
    *anchor = (struct anchor){name, node, p->anchors};
    p->anchors = anchor;
    return ERR_NONE;
}

static enum err on_alias(struct parse *p, const yaml_event_t *ev)
{
    for (const struct anchor *x = p->anchors; x; x = x->next) {
        if (!str_eq(x->name, bytes(ev->data.alias.anchor)))
            continue;
        struct yaml_node *node = copy_tree(p, x->node, p->depth, ev->start_mark);
        if (!node)
            return ERR_LIMIT;
        return attach(p, node, ev->start_mark);
    }
    return fail(p, ev->start_mark, ERR_INVALID,
                "an alias (*name) of an anchor (&name) that does not stand before it");
}

static enum err set_tag(struct parse *p, struct yaml_node *node, const yaml_char_t *tag,
                        yaml_mark_t mark)
{
    struct str t = bytes(tag);
    if (!t.n || str_starts(t, STR("tag:yaml.org,2002:")) || str_eq(t, STR("!")))
        return ERR_NONE;
    return copy_text(p, &node->tag, t, mark);
}

static enum err on_scalar(struct parse *p, const yaml_event_t *ev)
{
    struct str text = {(const char *)ev->data.scalar.value, ev->data.scalar.length};
    if (text.n && memchr(text.p, 0, text.n))
        return fail(p, ev->start_mark, ERR_INVALID, "text must not hold a NUL byte");
    const struct yaml_node *parent = p->stack[p->depth - 1];
    if (parent->kind == YAML_MAP && !p->have_key) {
        if (ev->data.scalar.anchor)
            return fail(p, ev->start_mark, ERR_INVALID, "an anchor on a key is not supported");
        p->have_key = true;
        p->key_place = place_of(p, ev->start_mark);
        return copy_text(p, &p->key, text, ev->start_mark);
    }
    struct yaml_node *node = new_node(p, ev->start_mark);
    if (!node)
        return ERR_LIMIT;
    node->kind = YAML_SCALAR;
    node->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    enum err e = copy_text(p, &node->text, text, ev->start_mark);
    if (!e)
        e = set_tag(p, node, ev->data.scalar.tag, ev->start_mark);
    if (!e && ev->data.scalar.anchor) {
        struct str name;
        e = copy_text(p, &name, bytes(ev->data.scalar.anchor), ev->start_mark);
        if (!e)
            e = remember(p, name, node, ev->start_mark);
    }
    return e ? e : attach(p, node, ev->start_mark);
}

static enum err on_open(struct parse *p, const yaml_event_t *ev, enum yaml_kind kind,
                        const yaml_char_t *anchor, const yaml_char_t *tag)
{
    const struct yaml_node *parent = p->stack[p->depth - 1];
    if (parent->kind == YAML_MAP && !p->have_key)
        return fail(p, ev->start_mark, ERR_INVALID, "a key must be plain text");
    if (p->depth >= YAML_DEPTH_MAX)
        return fail(p, ev->start_mark, ERR_LIMIT, "nested too deeply (at most 32)");
    struct yaml_node *node = new_node(p, ev->start_mark);
    if (!node)
        return ERR_LIMIT;
    node->kind = kind;
    enum err e = set_tag(p, node, tag, ev->start_mark);
    if (!e)
        e = attach(p, node, ev->start_mark);
    struct str name = {NULL, 0};
    if (!e && anchor)
        e = copy_text(p, &name, bytes(anchor), ev->start_mark);
    if (e)
        return e;
    p->names[p->depth] = name;
    p->stack[p->depth++] = node;
    return ERR_NONE;
}

static enum err on_close(struct parse *p, const yaml_event_t *ev)
{
    p->depth--;
    struct str name = p->names[p->depth];
    return name.p ? remember(p, name, p->stack[p->depth], ev->start_mark) : ERR_NONE;
}

static enum err on_event(struct parse *p, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_DOCUMENT_START_EVENT: p->anchors = NULL; return ERR_NONE;
    case YAML_ALIAS_EVENT:
        if (p->stack[p->depth - 1]->kind == YAML_MAP && !p->have_key)
            return fail(p, ev->start_mark, ERR_INVALID, "an alias cannot be a key");
        return on_alias(p, ev);
    case YAML_SCALAR_EVENT: return on_scalar(p, ev);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(p, ev, YAML_LIST, ev->data.sequence_start.anchor,
                       ev->data.sequence_start.tag);
    case YAML_MAPPING_START_EVENT:
        return on_open(p, ev, YAML_MAP, ev->data.mapping_start.anchor, ev->data.mapping_start.tag);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: return on_close(p, ev);
    default: return ERR_NONE;
    }
}

static enum err on_parser_error(struct parse *p)
{
    const yaml_parser_t *y = &p->parser;
    // The reader's own faults (bad UTF-8, control characters) have an offset instead of a mark.
    yaml_mark_t mark = y->error == YAML_READER_ERROR ? y->mark : y->problem_mark;
    *p->at = place_of(p, mark);
    enum err e = y->error == YAML_MEMORY_ERROR ? ERR_LIMIT : ERR_INVALID;
    const char *problem = y->problem ? y->problem : "cannot be read";
    if (y->context)
        return diag_set(p->diag, e, "not YAML: %s, %s", problem, y->context);
    return diag_set(p->diag, e, "not YAML: %s", problem);
}

enum err yaml_parse(struct yaml_node **out, struct arena *a, struct str file, struct str text,
                    struct place *at, struct diag *diag)
{
    struct parse p = {.a = a, .file = file, .diag = diag, .at = at};
    *at = (struct place){file, 1, 1};
    if (text.n > YAML_BYTES_MAX)
        return diag_set(diag, ERR_LIMIT, "larger than 8 MiB");
    struct yaml_node *root = new_node(&p, (yaml_mark_t){0});
    if (!root)
        return ERR_LIMIT;
    root->kind = YAML_LIST;
    p.stack[p.depth++] = root;
    if (!yaml_parser_initialize(&p.parser))
        return diag_set(diag, ERR_LIMIT, "out of memory");
    // To libyaml a byte order mark is a column: the first key would stand deeper than the rest.
    if (str_starts(text, STR("\xef\xbb\xbf")))
        text = str_skip(text, 3);
    yaml_parser_set_input_string(&p.parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    yaml_parser_set_encoding(&p.parser, YAML_UTF8_ENCODING);

    enum err e = ERR_NONE;
    for (bool more = true; more && !e;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&p.parser, &ev)) {
            e = on_parser_error(&p);
            break;
        }
        e = on_event(&p, &ev);
        more = ev.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&p.parser);
    if (!e)
        *out = root;
    return e;
}
