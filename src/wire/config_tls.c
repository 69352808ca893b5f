// serve.tls and serve.admin.tls: the certificates that we show, and those we ask for.

#include "wire/config_read.h"

#define AT(type, member) offsetof(struct type, member)

static const char *version_word(int i)
{
    static const char *const words[] = {"1.2", "1.3"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

static const struct field identity_fields[] = {
    {"certificate", KIND_TEXT, AT(listen_identity, certificate), .shape = "path of a file",
     .meaning = "PEM: ours, then those that lead to an authority"},
    {"key", KIND_TEXT, AT(listen_identity, key), .shape = "path of a file",
     .meaning = "PEM: its private key, without a passphrase"},
    {.key = NULL},
};

static void need_both(struct reader *r, const struct yaml_node *node,
                      const struct listen_identity *id)
{
    if (!id->certificate.n || !id->key.n)
        bad(r, node->key_place.line ? node->key_place : node->place,
            "has no %s, expected certificate: FILE and key: FILE",
            id->certificate.n ? "key" : "certificate");
}

static void read_named(struct reader *r, const struct yaml_node *node, void *object)
{
    struct listen_tls *t = object;
    int32_t i = 0;
    t->identities = read_new(r, struct listen_identity, list_len(node) + 1);
    for (const struct yaml_node *k = list_first(node); k && t->identities; k = list_next(node, k)) {
        struct listen_identity *id = &t->identities[t->n_identities + 1];
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        if (!k->broken && is_map(r, k, "{certificate: FILE, key: FILE}")) {
            read_fields(r, k, identity_fields, id);
            need_both(r, k, id);
            t->n_identities++;
        }
        LAST_STEP(r, entry);
    }
}

const struct field tls_fields[] = {
    {"certificate", KIND_TEXT, AT(listen_tls, first.certificate), .shape = "path of a file",
     .meaning = "PEM: ours, then those that lead to an authority; read again when it changes"},
    {"key", KIND_TEXT, AT(listen_tls, first.key), .shape = "path of a file",
     .meaning = "PEM: its private key, without a passphrase"},
    {"named", KIND_CUSTOM, .read = read_named, .sub = identity_fields, .shape = "list of maps",
     .meaning = "further certificates, for clients that ask for one of their names"},
    {"client_ca", KIND_TEXT, AT(listen_tls, client_ca), .shape = "path of a file",
     .meaning = "PEM: authorities; only clients with a certificate of theirs come in"},
    {"minimum", KIND_CHOICE, AT(listen_tls, minimum), .word = version_word, .fallback = "1.2",
     .meaning = "the oldest version of TLS"},
    {.key = NULL},
};

static void read_tls(struct reader *r, const struct yaml_node *node, struct listen_tls *t)
{
    if (!is_map(r, node, "{certificate: FILE, key: FILE}"))
        return;
    t->on = true;
    t->place = node->key_place;
    read_fields(r, node, tls_fields, t);
    need_both(r, node, &t->first);
    if (!t->identities)
        t->identities = read_new(r, struct listen_identity, 1);
    if (!t->identities)
        return;
    t->identities[0] = t->first;
    t->n_identities++;
}

void read_serve_tls(struct reader *r, const struct yaml_node *node, void *object)
{
    read_tls(r, node, &((struct serve_config *)object)->tls);
}

void read_admin_tls(struct reader *r, const struct yaml_node *node, void *object)
{
    read_tls(r, node, &((struct serve_config *)object)->admin.tls);
}
