// What can be called, and who may: pools, tenants.

#include "wire/config_read.h"

#define AT(type, member) offsetof(struct type, member)

// pools

const char *purpose_word(int i)
{
    static const char *const words[] = {"inference", "training"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

static void read_price(struct reader *r, const struct yaml_node *node, void *object);

static const struct field price_fields[] = {
    {"input", KIND_UNIT_I64, AT(serving, price.input), .unit = UNIT_TOKEN_PRICE,
     .meaning = "of a token of the prompt"},
    {"cached_input", KIND_UNIT_I64, AT(serving, price.cached_input), .unit = UNIT_TOKEN_PRICE,
     .fallback = "as input", .meaning = "of a token that the supplier had in its cache"},
    {"cache_write", KIND_UNIT_I64, AT(serving, price.cache_write), .unit = UNIT_TOKEN_PRICE,
     .fallback = "as input", .meaning = "of a token that the supplier puts into its cache"},
    {"output", KIND_UNIT_I64, AT(serving, price.output), .unit = UNIT_TOKEN_PRICE,
     .meaning = "of a token of the answer, thinking included"},
    {.key = NULL},
};

static const struct field serving_fields[] = {
    {"as", KIND_TEXT, AT(serving, as), .fallback = "the same name",
     .meaning = "what the supplier calls the model"},
    {"price", KIND_CUSTOM, .read = read_price, .sub = price_fields, .shape = "map",
     .meaning = "the list price"},
    {"context", KIND_COUNT, AT(serving, context_tok), .fallback = "the model's",
     .meaning = "tokens of prompt and answer together, at most"},
    {"output_max", KIND_COUNT, AT(serving, output_tok_max),
     .meaning = "tokens of an answer, at most"},
    {"surfaces", KIND_BITS, AT(serving, surfaces), .word = surface_word,
     .fallback = "the supplier's", .meaning = "the calls that are answered with this model here"},
    {.key = NULL},
};

static void read_price(struct reader *r, const struct yaml_node *node, void *object)
{
    struct serving *s = object;
    s->price.cached_input = s->price.cache_write = -1;
    s->price.said = true;
    read_fields(r, node, price_fields, s);
}

struct served *served_list(struct reader *r, const struct yaml_node *node, bool report, int32_t *n)
{
    static const char expected[] =
        "a list of models, or a map such as {gpt-5-mini: {as: NAME, price: {...}}}";
    int32_t count = 0;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c))
        count += c->kind == YAML_MAP ? c->n : 1;
    *n = 0;
    struct served *out = count ? read_new(r, struct served, count) : NULL;
    if (!out)
        return NULL;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        if (c->broken)
            continue;
        if (c->kind == YAML_SCALAR && c->text.n)
            out[(*n)++] = (struct served){c->text, c->place, NULL};
        else if (c->kind == YAML_MAP)
            for (const struct yaml_node *m = c->first; m; m = m->next)
                out[(*n)++] = (struct served){m->key, m->key_place, m};
        else if (report)
            bad_value(r, c, "does not say what is served", expected);
    }
    return out;
}

static void read_serving(struct reader *r, const struct served *s, struct serving *out)
{
    const struct yaml_node *detail = s->detail;
    *out = (struct serving){.model = -1, .place = s->place, .as = s->name};
    if (!table_get(r->names[SECTION_MODELS], s->name, &out->model))
        return;  // a name that was refused already
    if (detail && detail->kind == YAML_SCALAR && !yaml_is_null(detail) && !detail->broken)
        read_field(r, detail, &serving_fields[0], out);  // {gpt-5: gpt-5-2025-08-07}
    else if (detail)
        read_fields(r, detail, serving_fields, out);
}

static void read_serves(struct reader *r, const struct yaml_node *node, void *object)
{
    struct pool *pool = object;
    int32_t n;
    struct served *list = served_list(r, node, true, &n);
    pool->serves = list ? read_new(r, struct serving, n) : NULL;
    if (!pool->serves)
        return;
    for (int32_t i = 0; i < n; i++) {
        struct serving *s = &pool->serves[pool->n_serves];
        FIRST_STEP(r, entry, list[i].name, 0);
        read_serving(r, &list[i], s);
        bool twice = pool_serving(pool, s->model) != NULL;
        if (twice)
            bad(r, s->place, "is served twice by this pool");
        else if (s->model >= 0)
            pool->n_serves++;
        LAST_STEP(r, entry);
    }
}

static void read_maintenance(struct reader *r, const struct yaml_node *node, void *object);

static const struct field maintenance_fields[] = {
    {"from", KIND_INSTANT, AT(maintenance, from_us), .meaning = "nothing new is sent from here on"},
    {"until", KIND_INSTANT, AT(maintenance, until_us), .meaning = "and again from here on"},
    {.key = NULL},
};

static void read_maintenance(struct reader *r, const struct yaml_node *node, void *object)
{
    struct pool *pool = object;
    int32_t i = 0;
    pool->maintenance = read_new(r, struct maintenance, list_len(node));
    if (!pool->maintenance)
        return;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        struct maintenance *m = &pool->maintenance[pool->n_maintenance];
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        m->until_us = NEVER;
        read_fields(r, c, maintenance_fields, m);
        if (m->until_us <= m->from_us)
            bad(r, c->place, "ends before it begins");
        else
            pool->n_maintenance++;
        LAST_STEP(r, entry);
    }
}

static const struct field pool_limit_fields[] = {
    {"in_flight", KIND_COUNT, AT(pool, limits.in_flight), .fallback = "none",
     .meaning = "requests at once"},
    {"requests", KIND_UNIT, AT(pool, limits.requests_per_s), .unit = UNIT_RATE, .fallback = "none",
     .meaning = "requests in a time"},
    {"tokens", KIND_UNIT, AT(pool, limits.tokens_per_s), .unit = UNIT_TOKEN_RATE,
     .fallback = "none", .meaning = "tokens of prompts and answers in a time"},
    {"waiting", KIND_COUNT, AT(pool, limits.waiting), .meaning = "requests that may wait for it"},
    {.key = NULL},
};

const struct field pool_fields[] = {
    {"supplier", KIND_REF, AT(pool, supplier), .unit = SECTION_SUPPLIERS,
     .fallback = "the contract's, or the pool's own",
     .meaning = "who answers; without it the pool may have a supplier's keys itself"},
    {"contract", KIND_REF, AT(pool, contract), .unit = SECTION_CONTRACTS,
     .meaning = "what was agreed about it; its phases say when the pool can be used"},
    {"site", KIND_REF, AT(pool, site), .unit = SECTION_SITES, .meaning = "where it stands"},
    {"chip", KIND_REF, AT(pool, chip), .unit = SECTION_CHIPS, .meaning = "what it runs on"},
    {"serves", KIND_CUSTOM, .read = read_serves, .sub = serving_fields,
     .shape = "list of models, or a map of them", .meaning = "the models it answers with"},
    {"limits", KIND_SUB, .sub = pool_limit_fields, .meaning = "what may be asked of it"},
    {"chips", KIND_NUMBER, AT(pool, chips), .meaning = "accelerators behind it"},
    {"replicas", KIND_COUNT, AT(pool, replicas), .fallback = "1",
     .meaning = "how often the chip's operating point stands there"},
    {"priority", KIND_COUNT, AT(pool, priority), .fallback = "0",
     .meaning = "lower is first, for the policy priority-spill"},
    {"weight", KIND_NUMBER, AT(pool, weight), .fallback = "1",
     .meaning = "its part in ties and splits"},
    {"derate", KIND_UNIT, AT(pool, derate), .unit = UNIT_SHARE, .hi = 1, .fallback = "1",
     .meaning = "share of its capacity that may be used"},
    {"enabled", KIND_BOOL, AT(pool, enabled), .fallback = "true",
     .meaning = "false: nothing is sent to it"},
    {"purpose", KIND_BITS, AT(pool, purpose), .word = purpose_word, .fallback = "inference",
     .meaning = "what it may be used for"},
    {"maintenance", KIND_CUSTOM, .read = read_maintenance, .sub = maintenance_fields,
     .shape = "list of maps", .meaning = "times at which nothing is sent to it"},
    {.key = NULL},
};

const struct field pool_override_fields[] = {
    {"url", KIND_URL, AT(pool, url), .fallback = "the supplier's",
     .meaning = "where this pool is called"},
    {"key", KIND_SECRET, AT(pool, key), .fallback = "the supplier's",
     .meaning = "its credentials; never shown"},
    {.key = NULL},
};

void read_pool(struct reader *r, const struct yaml_node *node, struct pool *pool,
               struct supplier *own)
{
    const struct fields with_own[] = {{pool_fields, pool, NULL}, {supplier_fields, own, NULL}};
    const struct fields without[] = {
        {pool_fields, pool, NULL},
        {pool_override_fields, pool, NULL},
        {supplier_fields, NULL,
         "belongs to the supplier: say it under suppliers, or drop supplier: and let the pool have "
         "its own"}};
    if (own) {
        read_map(r, node, with_own, COUNTOF(with_own));
        supplier_finish(r, node, own);
    } else {
        read_map(r, node, without, COUNTOF(without));
    }
}

// tenants

static const char *mode_word(int i)
{
    static const char *const words[] = {"forecast", "hard"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

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

static void read_keys(struct reader *r, const struct yaml_node *node, void *object)
{
    static const char expected[] = "sha256: and 64 hexadecimal digits, as `caudal key` prints";
    struct tenant *t = object;
    int32_t i = 0;
    t->keys = read_new(r, struct tenant_key, list_len(node));
    if (!t->keys)
        return;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        if (c->broken)
            ;
        else if (c->kind != YAML_SCALAR || !parse_key(c->text, &t->keys[t->n_keys]))
            bad_value(r, c, "is not the hash of a key", expected);
        else
            t->n_keys++;
        LAST_STEP(r, entry);
    }
}

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

static void read_budget(struct reader *r, const struct yaml_node *node, void *object);

static void read_budget_mode(struct reader *r, const struct yaml_node *node, void *object)
{
    int hard;
    if (read_word(r, node, mode_word, &hard))
        ((struct tenant *)object)->budget_hard = hard;
}

static const struct field budget_fields[] = {
    {"day", KIND_UNIT_I64, AT(tenant, budget_day_nusd), .unit = UNIT_MONEY, .scale = 1000,
     .fallback = "none", .meaning = "what a day (UTC) may cost"},
    {"month", KIND_UNIT_I64, AT(tenant, budget_month_uusd), .unit = UNIT_MONEY, .fallback = "none",
     .meaning = "what a month (UTC) may cost"},
    {"mode", KIND_CUSTOM, .read = read_budget_mode, .shape = "`forecast` or `hard`",
     .fallback = "forecast",
     .meaning = "hard: the largest possible answer is reserved, so it is never overrun"},
    {.key = NULL},
};

// "500 USD/day", or a map.
static void read_budget(struct reader *r, const struct yaml_node *node, void *object)
{
    static const char expected[] = "money per time such as 500 USD/day, or a map of day, month and "
                                   "mode";
    if (node->kind == YAML_MAP) {
        read_fields(r, node, budget_fields, object);
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
        read_field(r, &money, &budget_fields[month ? 1 : 0], object);
    else
        bad_value(r, node, "is not a budget", expected);
}

static const struct field tenant_limit_fields[] = {
    {"requests", KIND_UNIT, AT(tenant, requests_per_s), .unit = UNIT_RATE, .fallback = "none",
     .meaning = "requests in a time"},
    {"tokens", KIND_UNIT, AT(tenant, tokens_per_s), .unit = UNIT_TOKEN_RATE, .fallback = "none",
     .meaning = "tokens of prompts and answers in a time"},
    {"in_flight", KIND_COUNT, AT(tenant, in_flight), .fallback = "none",
     .meaning = "requests at once"},
    {.key = NULL},
};

const struct field tenant_fields[] = {
    {"keys", KIND_CUSTOM, .read = read_keys, .shape = "list of `sha256:` and 64 digits",
     .meaning = "hashes of the keys it may call with; `caudal key` makes one"},
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
    {"budget", KIND_CUSTOM, .read = read_budget, .sub = budget_fields,
     .shape = "money per time, or a map", .fallback = "none", .meaning = "what it may spend"},
    {"limits", KIND_SUB, .sub = tenant_limit_fields, .meaning = "what it may ask at once"},
    {"markup", KIND_NUMBER, AT(tenant, markup), .fallback = "1",
     .meaning = "it is charged the list price times this"},
    {.key = NULL},
};
