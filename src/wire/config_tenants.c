// Who may ask, how much, and what they are charged: tenants and their keys.

#include "wire/config.h"
#include "wire/config_read.h"

#include <arpa/inet.h>
#include <stdio.h>

#define AT(type, member) offsetof(struct type, member)

// --- what one may use -------------------------------------------------------------------------

static const char *kind_word(int i)
{
    static const char *const words[] = {"forecast", "hard"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

static void read_budget_kind(struct reader *r, const struct yaml_node *node, void *object)
{
    int hard;
    if (read_word(r, node, kind_word, &hard))
        ((struct allowance *)object)->budget_hard = hard;
}

// "+05:30", "UTC". Names of zones would need a table of them that changes every year.
static void read_zone(struct reader *r, const struct yaml_node *node, void *object)
{
    static const char expected[] = "UTC, or an offset from it such as +02:00";
    if (!is_scalar(r, node, expected))
        return;
    struct str s = node->text;
    int64_t hours, minutes;
    if (str_eq(s, STR("UTC")) || str_eq(s, STR("Z")))
        return;
    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':' ||
        !str_to_i64((struct str){s.p + 1, 2}, &hours) ||
        !str_to_i64((struct str){s.p + 4, 2}, &minutes) || hours < 0 || hours > 14 || minutes < 0 ||
        minutes > 59) {
        bad_value(r, node, "is no time zone", expected);
        return;
    }
    int64_t ahead = S(hours * 3600 + minutes * 60);
    ((struct allowance *)object)->zone_us = s.p[0] == '-' ? -ahead : ahead;
}

static const struct field budget_fields[] = {
    {"day", KIND_UNIT_I64, AT(allowance, budget_day_nusd), .unit = UNIT_MONEY, .scale = 1000,
     .fallback = "none", .meaning = "what it may be charged in a day"},
    {"month", KIND_UNIT_I64, AT(allowance, budget_month_uusd), .unit = UNIT_MONEY,
     .fallback = "none", .meaning = "what it may be charged in a month"},
    {"kind", KIND_CUSTOM, .read = read_budget_kind, .shape = "`forecast` or `hard`",
     .fallback = "forecast",
     .meaning = "hard: the largest possible answer is reserved, so it is never overrun"},
    {"mode", KIND_CUSTOM, .read = read_budget_kind, .shape = "`forecast` or `hard`",
     .meaning = "older word for `kind`"},
    {"time_zone", KIND_CUSTOM, .read = read_zone, .shape = "`UTC` or an offset such as `+02:00`",
     .fallback = "UTC", .meaning = "where its days and months begin"},
    {.key = NULL},
};

// "500 USD/day", or a map.
static void read_budget(struct reader *r, const struct yaml_node *node, struct allowance *a)
{
    static const char expected[] = "money per time such as 500 USD/day, or a map of day, month, "
                                   "kind and time_zone";
    if (node->kind == YAML_MAP) {
        read_fields(r, node, budget_fields, a);
        return;
    }
    if (!is_scalar(r, node, expected))
        return;
    struct yaml_node money = *node;
    struct str rest = node->text;
    bool day = false, month = false;
    if (str_cut(&rest, '/', &money.text)) {
        rest = str_trim(rest);
        day = str_eq(rest, STR("day")) || str_eq(rest, STR("d"));
        month = str_eq(rest, STR("month"));
    }
    if (day || month)
        read_field(r, &money, &budget_fields[month ? 1 : 0], a);
    else
        bad_value(r, node, "is not a budget", expected);
}

// "10.0.0.0/8", "::1". Bits behind the range's would mean that one of the two is a mistake.
static bool parse_net(struct str text, struct net *out)
{
    char address[64];
    struct str rest = text, host;
    int64_t bits = -1;
    bool ranged = str_cut(&rest, '/', &host) && rest.p;
    if (ranged && (!str_to_i64(rest, &bits) || bits < 0))
        return false;
    if (host.n >= sizeof address)
        return false;
    memcpy(address, host.p, host.n);
    address[host.n] = 0;
    *out = (struct net){.bits = 128};
    if (inet_pton(AF_INET, address, out->address + 12) == 1) {
        memset(out->address + 10, 0xff, 2);
        bits = bits < 0 ? 128 : bits + 96;
    } else if (inet_pton(AF_INET6, address, out->address) != 1) {
        return false;
    }
    out->bits = bits < 0 ? 128 : (int32_t)min_i64(bits, 129);
    if (out->bits > 128)
        return false;
    for (int32_t i = out->bits; i < 128; i++)
        if (out->address[i / 8] & 0x80 >> i % 8)
            return false;
    return true;
}

static void read_addresses(struct reader *r, const struct yaml_node *node, struct allowance *a)
{
    static const char expected[] = "an address or a range such as 10.0.0.0/8 or ::1";
    int32_t i = 0;
    a->addresses = read_new(r, struct net, list_len(node));
    if (!a->addresses)
        return;
    a->n_addresses = 0;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        if (c->broken)
            ;
        else if (c->kind != YAML_SCALAR || !parse_net(c->text, &a->addresses[a->n_addresses]))
            bad_value(r, c, "is no range of addresses", expected);
        else
            a->n_addresses++;
        LAST_STEP(r, entry);
    }
}

// The same keys for a tenant and for a key of it; both hold an `allowance`.
#define ALLOWANCE_READERS(type)                                                                \
    static void type##_budget(struct reader *r, const struct yaml_node *node, void *object)    \
    {                                                                                          \
        read_budget(r, node, &((struct type *)object)->allowance);                             \
    }                                                                                          \
    static void type##_addresses(struct reader *r, const struct yaml_node *node, void *object) \
    {                                                                                          \
        read_addresses(r, node, &((struct type *)object)->allowance);                          \
    }
ALLOWANCE_READERS(tenant)
ALLOWANCE_READERS(tenant_key)

#define RATE_FIELDS(type)                                                                     \
    {"requests",                                                                              \
     KIND_UNIT,                                                                               \
     AT(type, allowance.requests_per_s),                                                      \
     .unit = UNIT_RATE,                                                                       \
     .fallback = "none",                                                                      \
     .meaning = "requests in a time; a minute's worth at once"},                              \
        {"tokens",                                                                            \
         KIND_UNIT,                                                                           \
         AT(type, allowance.tokens_per_s),                                                    \
         .unit = UNIT_TOKEN_RATE,                                                             \
         .fallback = "none",                                                                  \
         .meaning = "tokens of prompts and answers in a time; likewise"},                     \
    {                                                                                         \
        "in_flight", KIND_COUNT, AT(type, allowance.in_flight), .fallback = "none",           \
                                                                .meaning = "requests at once" \
    }
#define ALLOWANCE_FIELDS(type)                                                        \
    RATE_FIELDS(type),                                                                \
        {"budget",                                                                    \
         KIND_CUSTOM,                                                                 \
         .read = type##_budget,                                                       \
         .sub = budget_fields,                                                        \
         .shape = "money per time, or a map",                                         \
         .fallback = "none",                                                          \
         .meaning = "what it may be charged"},                                        \
        {"until", KIND_INSTANT, AT(type, allowance.until_us), .fallback = "for ever", \
         .meaning = "from here on it is refused"},                                    \
    {                                                                                 \
        "addresses", KIND_CUSTOM,                                                     \
            .read = type##_addresses,                                                 \
            .shape = "list of addresses or ranges such as `10.0.0.0/8`, `::1`",       \
            .fallback = "anywhere", .meaning = "where it may ask from"                \
    }

// --- keys -------------------------------------------------------------------------------------

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool parse_key(struct str text, struct tenant_key *key)
{
    if (!str_starts(text, STR("sha256:")) || text.n != 7 + 2 * sizeof key->sha256)
        return false;
    text = str_skip(text, 7);
    for (size_t i = 0; i < sizeof key->sha256; i++) {
        int high = hex_value(text.p[2 * i]), low = hex_value(text.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        key->sha256[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

static const char key_expected[] = "sha256: and 64 hexadecimal digits, as `caudal key` prints";

static void read_hash(struct reader *r, const struct yaml_node *node, void *object)
{
    if (is_scalar(r, node, key_expected) && !parse_key(node->text, object))
        bad_value(r, node, "is not the hash of a key", key_expected);
}

static const struct field key_fields[] = {
    {"sha256", KIND_CUSTOM, .read = read_hash, .shape = "`sha256:` and 64 digits",
     .meaning = "the key's hash"},
    {"name", KIND_TEXT, AT(tenant_key, name), .fallback = "the hash's first digits",
     .meaning = "what people call it, in messages and the ledger's pages"},
    {"models", KIND_TEXTS, AT(tenant_key, models), AT(tenant_key, n_models),
     .fallback = "its tenant's", .meaning = "of its tenant's, those that it may ask for"},
    {"classes", KIND_TEXTS, AT(tenant_key, classes), AT(tenant_key, n_classes),
     .fallback = "its tenant's", .meaning = "of its tenant's, those that it may use"},
    ALLOWANCE_FIELDS(tenant_key),
    {.key = NULL},
};

static void key_defaults(struct tenant_key *k)
{
    *k = (struct tenant_key){.n_models = -1, .n_classes = -1};
    allowance_defaults(&k->allowance);
}

// A hash alone, or a map with limits of its own.
static bool read_key(struct reader *r, const struct yaml_node *node, struct tenant_key *k)
{
    static const unsigned char nothing[sizeof k->sha256];
    key_defaults(k);
    k->place = node->place;
    if (node->broken)
        return false;
    if (node->kind == YAML_SCALAR && parse_key(node->text, k))
        return true;
    if (node->kind != YAML_MAP) {
        bad_value(r, node, "is not the hash of a key", key_expected);
        return false;
    }
    int32_t errors = r->problems->errors;
    read_fields(r, node, key_fields, k);
    if (r->problems->errors == errors && memcmp(k->sha256, nothing, sizeof nothing) == 0)
        bad(r, node->place, "has no sha256:, expected %s", key_expected);
    return r->problems->errors == errors;
}

static void read_keys(struct reader *r, const struct yaml_node *node, void *object)
{
    struct tenant *t = object;
    bool one = node->kind == YAML_MAP;
    int32_t i = 0;
    t->keys = read_new(r, struct tenant_key, one ? 1 : list_len(node));
    if (!t->keys)
        return;
    const struct yaml_node *c = one ? node : list_first(node);
    for (; c; c = one ? NULL : list_next(node, c)) {
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        if (read_key(r, c, &t->keys[t->n_keys]))
            t->n_keys++;
        LAST_STEP(r, entry);
    }
}

enum err config_key(struct tenant_key *out, struct arena *a, struct str text, struct diag *diag)
{
    struct problems problems;
    struct portfolio nothing = {.arena = a};
    struct reader r = {.p = &nothing, .a = a, .problems = &problems};
    struct place at;
    struct yaml_node *root;
    key_defaults(out);
    problems_init(&problems, a);
    enum err e = yaml_parse(&root, a, STR("key"), text, &at, diag);
    if (e)
        return e;
    if (root->n != 1 || root->first->kind != YAML_MAP)
        return diag_set(diag, ERR_INVALID, "a key is described by one object");
    for (const struct yaml_node *c = root->first->first; c; c = c->next)
        if (c->again)
            return diag_set(diag, ERR_INVALID, STR_FMT ": stands twice", STR_ARG(c->key));
    read_fields(&r, root->first, key_fields, out);
    const struct problem *p = problems.first;
    if (p)
        return diag_set(diag, ERR_INVALID, STR_FMT ": " STR_FMT, STR_ARG(p->path),
                        STR_ARG(p->text));
    return r.full ? diag_set(diag, ERR_LIMIT, "the key's description is too long") : ERR_NONE;
}

// --- tenants ----------------------------------------------------------------------------------

static void read_expose(struct reader *r, const struct yaml_node *node, void *object)
{
    struct tenant *t = object;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        if (c->kind == YAML_SCALAR && str_eq(c->text, STR("decision")))
            t->expose_decision = true;
        else if (!c->broken)
            bad_value(r, c, "is nothing that can be shown", "decision");
    }
}

static const struct field price_fields[] = {
    {"input", KIND_UNIT_I64, AT(tenant_price, price.input), .unit = UNIT_TOKEN_PRICE,
     .meaning = "of a token of the prompt"},
    {"cached_input", KIND_UNIT_I64, AT(tenant_price, price.cached_input), .unit = UNIT_TOKEN_PRICE,
     .fallback = "as input", .meaning = "of a token that the supplier had in its cache"},
    {"output", KIND_UNIT_I64, AT(tenant_price, price.output), .unit = UNIT_TOKEN_PRICE,
     .meaning = "of a token of the answer, thinking included"},
    {.key = NULL},
};

static void read_prices(struct reader *r, const struct yaml_node *node, void *object)
{
    static const char expected[] = "a map such as {gpt-5-mini: {input: 1 USD/Mtok, output: 4 "
                                   "USD/Mtok}}";
    struct tenant *t = object;
    if (yaml_is_null(node) || node->broken || !is_map(r, node, expected))
        return;
    t->prices = read_new(r, struct tenant_price, node->n);
    for (const struct yaml_node *c = node->first; c && t->prices; c = c->next) {
        struct tenant_price *price = &t->prices[t->n_prices];
        struct yaml_node name = {.kind = YAML_SCALAR, .text = c->key, .place = c->key_place};
        FIRST_STEP(r, entry, c->key, 0);
        *price = (struct tenant_price){
            .model = -1, .price = {.said = true, .cached_input = -1, .cache_write = -1}};
        if (read_ref(r, &name, SECTION_MODELS, &price->model)) {
            read_fields(r, c, price_fields, price);
            t->n_prices++;
        }
        LAST_STEP(r, entry);
    }
}

static const struct field rate_fields[] = {RATE_FIELDS(tenant), {.key = NULL}};

const struct field tenant_fields[] = {
    {"of", KIND_REF, AT(tenant, of), .unit = SECTION_TENANTS,
     .meaning =
         "the tenant above it, whose limits, models, classes, regions, end and addresses hold "
         "for it too"},
    {"keys", KIND_CUSTOM, .read = read_keys, .sub = key_fields,
     .shape = "list of `sha256:` and 64 digits, or of maps",
     .meaning = "the keys it may call with; `caudal key` makes one"},
    {"models", KIND_REFS, AT(tenant, models), AT(tenant, n_models), .unit = SECTION_MODELS,
     .fallback = "all", .meaning = "what it may ask for"},
    {"classes", KIND_REFS, AT(tenant, classes), AT(tenant, n_classes), .unit = SECTION_CLASSES,
     .fallback = "all", .meaning = "how it may ask to be answered"},
    {"default_class", KIND_REF, AT(tenant, default_class), .unit = SECTION_CLASSES,
     .fallback = "serve.default_class", .meaning = "class of a request that names none"},
    {"passthrough", KIND_REF, AT(tenant, passthrough), .unit = SECTION_SUPPLIERS,
     .meaning = "supplier that gets the calls which no model decides, such as files"},
    {"regions", KIND_TEXTS, AT(tenant, regions), AT(tenant, n_regions), .fallback = "anywhere",
     .meaning = "where its data may go"},
    {"region", KIND_TEXT, AT(tenant, region), .fallback = "serve.region",
     .meaning = "where its users are"},
    {"expose", KIND_CUSTOM, .read = read_expose, .shape = "`decision`",
     .meaning = "lets its answers carry the header `x-caudal-decision`"},
    ALLOWANCE_FIELDS(tenant),
    {"limits", KIND_SUB, .sub = rate_fields,
     .meaning =
         "`requests`, `tokens` and `in_flight` may stand in a map of their own, as a pool's"},
    {"markup", KIND_NUMBER, AT(tenant, markup), .fallback = "1",
     .meaning = "it is charged the list price times this"},
    {"prices", KIND_CUSTOM, .read = read_prices, .sub = price_fields,
     .shape = "map of names from `models`", .fallback = "list price times markup",
     .meaning = "what it is charged for these models instead"},
    {.key = NULL},
};
