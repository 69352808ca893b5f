// yaml.h - YAML text to a tree that remembers where everything stood.
//
// The only module that sees libyaml. Bounded in every direction: bytes, depth, nodes (also those
// that aliases copy), children of one node. Scalars stay text; what they mean is their reader's
// business. Several documents in one text are allowed.

#ifndef CAUDAL_YAML_H
#define CAUDAL_YAML_H

#include "base/arena.h"
#include "base/err.h"
#include "portfolio/portfolio.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    struct place place;  // of the value
    struct str text;     // of a scalar
    struct str tag;      // "!file"; empty: none, or one of YAML's own
    bool plain;          // a scalar without quotes
    bool secret;         // its text must never be shown; set by whoever expands it
    bool broken;         // reported already: readers pass over it
    struct str key;      // of a child of a map
    struct place key_place;
    bool again;  // the same key stands earlier in the map, at `earlier`
    struct place earlier;
    struct yaml_node *first, *last, *next;  // children in the order of the text; next sibling
    int32_t n;                              // children
};

enum {
    YAML_BYTES_MAX = 8 << 20,
    YAML_DEPTH_MAX = 32,
    YAML_NODES_MAX = 100000,
    YAML_CHILDREN_MAX = 4096,
};

// Parses `text`; `*out` becomes a list with one child for each document. All
// places name `file`, which is borrowed as long as the tree; the rest is copied into `a`.
//   Errors  ERR_LIMIT    a bound above or the arena
//           ERR_INVALID  not YAML, an unknown anchor, a key that is not a scalar
// On failure `*at` is where, and the diag says what, without quoting the text.
MUST_USE enum err yaml_parse(struct yaml_node **out, struct arena *a, struct str file,
                             struct str text, struct place *at, struct diag *diag);

struct yaml_node *yaml_get(const struct yaml_node *map, struct str key);  // NULL: not there
bool yaml_is_null(const struct yaml_node *node);  // a plain scalar with nothing, "~" or "null"
void yaml_append(struct yaml_node *parent, struct yaml_node *child);
bool yaml_equal(const struct yaml_node *a, const struct yaml_node *b);  // apart from places

#endif
