// serve.traces: where spans of sampled requests go.

#include "wire/config_read.h"

#define AT(type, member) offsetof(struct type, member)

enum { TRACE_HEADERS_MAX = 32 };

static bool is_header_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c | 32) >= 'a' && (c | 32) <= 'z') && !(c >= '0' && c <= '9') && c != '-' &&
            c != '_')
            return false;
    }
    return s.n > 0;
}

static void read_headers(struct reader *r, const struct yaml_node *node, void *object)
{
    static const struct field value = {
        .key = "header", .kind = KIND_SECRET, .at = AT(trace_header, value)};
    struct traces_config *t = &((struct serve_config *)object)->traces;
    if (!is_map(r, node, "a map such as {authorization: \"${TRACES_KEY}\"}"))
        return;
    t->headers = read_new(r, struct trace_header, node->n);
    if (!t->headers)
        return;
    for (const struct yaml_node *c = node->first; c; c = c->next) {
        FIRST_STEP(r, entry, c->key, 0);
        if (!is_header_name(c->key))
            bad(r, c->key_place, "is not the name of a header");
        else if (t->n_headers == TRACE_HEADERS_MAX)
            bad(r, c->key_place, "is one header too many, expected at most %d", TRACE_HEADERS_MAX);
        else if (!c->broken) {
            struct trace_header *h = &t->headers[t->n_headers++];
            h->name = c->key;
            read_field(r, c, &value, h);
        }
        LAST_STEP(r, entry);
    }
}

const struct field traces_fields[] = {
    {"to", KIND_URL, AT(serve_config, traces.to),
     .meaning = "the whole URL of an OTLP receiver over HTTP, with its path"},
    {"sample", KIND_UNIT, AT(serve_config, traces.sample), .unit = UNIT_SHARE, .hi = 1,
     .fallback = "1 %",
     .meaning = "share of the requests without a trace of their own; a `traceparent` of the client "
                "decides for its request"},
    {"headers", KIND_CUSTOM, .read = read_headers, .shape = "map NAME: a text",
     .meaning = "what the receiver wants to be told, such as a key; never shown"},
    {.key = NULL},
};

void read_traces(struct reader *r, const struct yaml_node *node, void *object)
{
    const struct serve_config *c = object;
    if (!is_map(r, node, "{to: URL, sample: 1 %}"))
        return;
    read_fields(r, node, traces_fields, object);
    if (!c->traces.to.n && !yaml_get(node, STR("to")))
        bad(r, node->place, "does not say `to`, expected the URL of an OTLP receiver");
}
