// config_read.h - inside of config: one node of the tree to one value of a struct, by table.
//
// A `struct field` says key, kind, place in the struct, unit, bounds, default and meaning. Reading
// and the reference in docs/portfolio.md come from the same row. Every fault becomes a problem with
// its place and path, and reading goes on.

#ifndef CAUDAL_CONFIG_READ_H
#define CAUDAL_CONFIG_READ_H

#include "base/units.h"
#include "portfolio/check.h"
#include "wire/yaml.h"

enum section {
    SECTION_SERVE,
    SECTION_CLASSES,
    SECTION_SUPPLIERS,
    SECTION_SITES,
    SECTION_CHIPS,
    SECTION_CONTRACTS,
    SECTION_MODELS,
    SECTION_GROUPS,
    SECTION_POOLS,
    SECTION_TENANTS,
    SECTION_DEMAND,
    SECTION_COUNT
};

struct step {  // one key on the way from the top of the file; lives on the stack
    const struct step *up;
    struct str name;
    int32_t index;  // 1-based entry of a list when `name` is empty
};

struct reader {
    struct portfolio *p;
    struct arena *a;
    struct problems *problems;
    const struct step *path;
    struct table *names[SECTION_COUNT];  // what a reference may name; the value is its index
    int32_t secrets_size;
    bool full;  // the arena is; said once
};

enum kind {
    KIND_TEXT,      // struct str
    KIND_SECRET,    // struct str that no output may hold
    KIND_URL,       // struct str, http:// or https://, without a slash at its end
    KIND_BOOL,      // bool
    KIND_COUNT,     // int32_t; k, M, G allowed, and "tok" for tokens
    KIND_NUMBER,    // double; k, M, G, T, P allowed
    KIND_UNIT,      // double = unit_parse() * scale
    KIND_UNIT_I64,  // int64_t, the same, rounded
    KIND_TOKENS,    // double; a count or UNIT_TOKENS
    KIND_INSTANT,   // int64_t us
    KIND_WORD,      // int (an enum), one of `word`
    KIND_CHOICE,    // struct str, one of `word`
    KIND_BITS,      // uint32_t, bit i is word(i); a list or one
    KIND_TEXTS,     // struct str * and an int32_t at `n_at`; a list or one
    KIND_REF,       // int32_t index of a name in section `unit`
    KIND_REFS,      // int32_t * and an int32_t at `n_at`; a list or one
    KIND_SOURCE,    // struct source
    KIND_SUB,       // a map whose keys are `sub`, in the same struct
    KIND_CUSTOM,    // whatever `read` does; `sub` may document its keys
};

struct field {
    const char *key;
    enum kind kind;
    size_t at, n_at;             // offsets into the struct
    int unit;                    // enum unit_kind, or the enum section of a reference
    double scale;                // of KIND_UNIT*; 0: 1
    double lo, hi;               // bounds, in the struct's unit; both 0: not negative
    const char *(*word)(int i);  // the i-th word; NULL: there is no such word
    const struct field *sub;     // up to the row without a key
    void (*read)(struct reader *r, const struct yaml_node *node, void *object);
    const char *shape;     // how a person writes it, for the reference; NULL: from the kind
    const char *fallback;  // what holds when it is not said, for the reference
    const char *meaning;
};

// A map is read by one or more tables. A table without an object lists keys that would be known
// elsewhere; `instead` then says what to do about them.
struct fields {
    const struct field *rows;
    void *object;
    const char *instead;
};

void read_map(struct reader *r, const struct yaml_node *node, const struct fields *tables,
              int32_t n_tables);
void read_fields(struct reader *r, const struct yaml_node *node, const struct field *rows,
                 void *object);
void read_field(struct reader *r, const struct yaml_node *node, const struct field *f, void *owner);
const struct field *field_of(const struct field *rows, const char *key);

// Problems. `what` and `expected` hold no secrets; the value is shown only if it is none.
void bad_value(struct reader *r, const struct yaml_node *node, const char *what,
               const char *expected);
void bad(struct reader *r, struct place place, const char *fmt, ...) PRINTF_LIKE(3, 4);
void out_of_memory(struct reader *r);
struct str shown(struct reader *r, const struct yaml_node *node);  // a value for a person
struct str path_text(struct arena *a, const struct step *path);

// Single values; false (and a problem) when the node is not one.
bool is_map(struct reader *r, const struct yaml_node *node, const char *expected);
bool is_scalar(struct reader *r, const struct yaml_node *node, const char *expected);
bool read_unit(struct reader *r, const struct yaml_node *node, enum unit_kind kind, double *out);
bool read_i64(struct reader *r, const struct yaml_node *node, enum unit_kind kind, double scale,
              int64_t *out);
bool read_number(struct reader *r, const struct yaml_node *node, double *out);
// A count with k, M or G; what is none is said as `not_it`.
bool read_scaled(struct reader *r, const struct yaml_node *node, const char *not_it,
                 const char *expected, double *out);
bool read_tokens(struct reader *r, const struct yaml_node *node, double *out);
bool read_instant(struct reader *r, const struct yaml_node *node, int64_t *out);
bool read_ref(struct reader *r, const struct yaml_node *node, enum section section, int32_t *out);
bool read_word(struct reader *r, const struct yaml_node *node, const char *(*word)(int), int *out);
void *read_take(struct reader *r, size_t size, int32_t n);  // NULL (and a problem): arena full
#define read_new(r, type, n) ((type *)read_take((r), sizeof(type), (n)))
void add_secret(struct reader *r, struct str secret);

// The number at the start of "250 MW-months" and what follows it, without the blank between.
bool split_quantity(struct str text, double *number, struct str *unit);
bool si_prefix(struct str unit, double *factor);  // "", k, M, G, T or P, nothing else

// A list's entries in order; a single value counts as a list of one, nothing as an empty one.
const struct yaml_node *list_first(const struct yaml_node *node);
const struct yaml_node *list_next(const struct yaml_node *node, const struct yaml_node *at);
int32_t list_len(const struct yaml_node *node);

#define FIRST_STEP(r, s, nm, ix)         \
    struct step s = {(r)->path, nm, ix}; \
    (r)->path = &s
#define LAST_STEP(r, s) (r)->path = (s).up

bool parse_key(struct str text, struct tenant_key *key);  // "sha256:" and 64 digits

// The tables, each up to a row without a key (config_*.c).
extern const struct field serve_fields[], admin_fields[], metrics_fields[], tls_fields[],
    class_fields[], supplier_fields[], model_fields[], pool_fields[], pool_override_fields[],
    tenant_fields[];
extern const struct field traces_fields[], site_fields[], chip_fields[], contract_fields[],
    demand_fields[];

// The words of the enums, for tables of several files.
const char *surface_word(int i);
const char *purpose_word(int i);

// An address to listen at; false (and a problem) when it is none. A port alone leaves `*host` as it
// was.
bool read_address(struct reader *r, const struct yaml_node *node, struct str *host, int32_t *port);

void read_serve_tls(struct reader *r, const struct yaml_node *node, void *object);
void read_admin_tls(struct reader *r, const struct yaml_node *node, void *object);
void read_traces(struct reader *r, const struct yaml_node *node, void *object);
// What has more shape than a table. `node` is the value under the name.
void read_sections(struct reader *r, const struct yaml_node *root);  // the whole file
void read_supplier(struct reader *r, const struct yaml_node *node, struct supplier *s);
void supplier_finish(struct reader *r, const struct yaml_node *node, struct supplier *s);
void read_group(struct reader *r, const struct yaml_node *node, struct group *group);
void read_contract(struct reader *r, const struct yaml_node *node, struct contract *contract);
void read_demand(struct reader *r, const struct yaml_node *node, struct demand *d);
// `own`: the supplier of the pool's name that its own keys fill; NULL: it has another one.
void read_pool(struct reader *r, const struct yaml_node *node, struct pool *pool,
               struct supplier *own);

// serve.metrics: a word, or a map of metrics_fields[].
void read_metrics(struct reader *r, const struct yaml_node *node, void *object);

struct served {  // one entry of `serves:`
    struct str name;
    struct place place;
    const struct yaml_node *detail;  // NULL: only the name was said
};
// The entries of `serves:` in all its forms; faults are said only if `report`. NULL when there are
// none.
struct served *served_list(struct reader *r, const struct yaml_node *node, bool report, int32_t *n);

#endif
