// serve.admin and serve.metrics: where operators come in, who reads the metrics, and with which
// keys.

#include "wire/config_read.h"

#define AT(type, member) offsetof(struct type, member)

static void read_admin_listen(struct reader *r, const struct yaml_node *node, void *object)
{
    struct admin_config *c = &((struct serve_config *)object)->admin;
    struct str host = STR("127.0.0.1");
    if (!read_address(r, node, &host, &c->port))
        return;
    c->host = host;
    c->place = node->place;
    c->on = true;
}

static void read_keys(struct reader *r, const struct yaml_node *node, struct admin_key **keys,
                      int32_t *n_keys)
{
    static const char expected[] = "sha256: and 64 hexadecimal digits, as `caudal key` prints";
    int32_t i = 0;
    bool named = node->kind == YAML_MAP;
    *keys = read_new(r, struct admin_key, named ? node->n : list_len(node));
    if (!*keys)
        return;
    const struct yaml_node *k = named ? node->first : list_first(node);
    for (; k; k = named ? k->next : list_next(node, k)) {
        struct tenant_key key;
        FIRST_STEP(r, entry, named ? k->key : ((struct str){NULL, 0}), named ? 0 : ++i);
        if (k->broken)
            ;
        else if (k->kind != YAML_SCALAR || !parse_key(k->text, &key))
            bad_value(r, k, "is not the hash of a key", expected);
        else {
            struct admin_key *to = &(*keys)[(*n_keys)++];
            to->name = named ? k->key : (struct str){0};
            memcpy(to->sha256, key.sha256, sizeof to->sha256);
        }
        LAST_STEP(r, entry);
    }
}

static void read_admin_keys(struct reader *r, const struct yaml_node *node, void *object)
{
    struct admin_config *c = &((struct serve_config *)object)->admin;
    read_keys(r, node, &c->keys, &c->n_keys);
}

const struct field admin_fields[] = {
    {"listen", KIND_CUSTOM, .read = read_admin_listen, .shape = "`HOST:PORT`",
     .fallback = "nowhere",
     .meaning = "an address of its own; one that is not loopback needs keys"},
    {"keys", KIND_CUSTOM, .read = read_admin_keys,
     .shape = "map of names to `sha256:` and 64 digits, or a list",
     .fallback = "none: whoever is on this machine",
     .meaning = "hashes of the operators' keys; `caudal key` makes one, and its name stands in the "
                "audit"},
    {"tls", KIND_CUSTOM, .read = read_admin_tls, .sub = tls_fields, .shape = "map",
     .meaning = "as serve.tls; with `client_ca` a certificate stands for a key, and its subject in "
                "the audit"},
    {.key = NULL},
};

static void read_metrics_keys(struct reader *r, const struct yaml_node *node, void *object)
{
    struct metrics_config *c = &((struct serve_config *)object)->metrics;
    c->access = METRICS_OWN_KEY;  // also when there is none, so that nobody is let in by mistake
    read_keys(r, node, &c->keys, &c->n_keys);
}

const struct field metrics_fields[] = {
    {"keys", KIND_CUSTOM, .read = read_metrics_keys,
     .shape = "map of names to `sha256:` and 64 digits, or a list",
     .meaning = "hashes of keys that read `/metrics` and nothing else; `caudal key` makes one"},
    {.key = NULL},
};

void read_metrics(struct reader *r, const struct yaml_node *node, void *object)
{
    struct metrics_config *c = &((struct serve_config *)object)->metrics;
    if (node->kind == YAML_MAP)
        read_fields(r, node, metrics_fields, object);
    else if (node->kind == YAML_SCALAR && str_eq(node->text, STR("open")))
        c->access = METRICS_OPEN;
    else if (node->kind == YAML_SCALAR && str_eq(node->text, STR("clients")))
        c->access = METRICS_CLIENTS_KEY;
    else
        bad_value(r, node, "does not say who may read the metrics",
                  "`clients`, `open`, or {keys: [...]}");
}
