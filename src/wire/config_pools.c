// What can be called: pools.

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

static const struct field cache_fields[] = {
    {"tokens", KIND_TOKENS, AT(prefix_cache, tok),
     .fallback = "KV tokens of the chip, else no bound",
     .meaning = "of prompts, at most; 0: nothing is kept"},
    {"ttl", KIND_UNIT_I64, AT(prefix_cache, ttl_us), .unit = UNIT_DURATION, .lo = 1,
     .fallback = "5 min where tokens have no bound, else none",
     .meaning = "since it was used last"},
    {.key = NULL},
};

static void read_cache(struct reader *r, const struct yaml_node *node, struct prefix_cache *cache)
{
    *cache = (struct prefix_cache){true, -1, -1};
    read_fields(r, node, cache_fields, cache);
}

static void read_serving_cache(struct reader *r, const struct yaml_node *node, void *object)
{
    read_cache(r, node, &((struct serving *)object)->prefix_cache);
}

static void read_pool_cache(struct reader *r, const struct yaml_node *node, void *object)
{
    read_cache(r, node, &((struct pool *)object)->prefix_cache);
}

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
    {"prefix_cache", KIND_CUSTOM, .read = read_serving_cache, .sub = cache_fields, .shape = "map",
     .fallback = "the pool's", .meaning = "beginnings of prompts that are kept with this model"},
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
        m->place = c->place;
        read_fields(r, c, maintenance_fields, m);
        if (m->until_us <= m->from_us)
            bad(r, c->place, "ends before it begins");
        else
            pool->n_maintenance++;
        LAST_STEP(r, entry);
    }
}

static void read_steps(struct reader *r, const struct yaml_node *node, void *object)
{
    struct pool_share *share = &((struct pool *)object)->share;
    double last = 0, step;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        if (!read_unit(r, c, UNIT_SHARE, &step))
            continue;
        if (!(step > last && step <= 1))
            bad_value(r, c, "is no step up from the one before",
                      "rising shares above 0, at most 100 %");
        else if (share->n_steps == POOL_STEPS_MAX)
            bad(r, c->place, "is one step too many: there may be %d", POOL_STEPS_MAX);
        else
            share->steps[share->n_steps++] = last = step;
    }
}

static const struct field while_fields[] = {
    {"errors", KIND_UNIT, AT(pool, share.errors), .unit = UNIT_SHARE, .hi = 1, .fallback = "2 %",
     .meaning = "of its answers, at most; a 429 is an error here"},
    {"ttft", KIND_NUMBER, AT(pool, share.ttft), .lo = 0.01, .fallback = "1.2",
     .meaning = "mean time to first token over the `ttft` of the request's class, at most"},
    {"per_token", KIND_NUMBER, AT(pool, share.per_token), .lo = 0.01, .fallback = "1.2",
     .meaning = "mean time per token over the `per_token` of the request's class, at most"},
    {.key = NULL},
};

static const struct field share_fields[] = {
    {"steps", KIND_CUSTOM, .read = read_steps, .shape = "list of shares",
     .meaning = "of the requests that it may have, one step after the other, rising; 16 at most"},
    {"every", KIND_UNIT_I64, AT(pool, share.every_us), .unit = UNIT_DURATION, .lo = 1,
     .fallback = "30 min",
     .meaning = "in a step, at least; and with nothing after the first failed"},
    {"while", KIND_SUB, .sub = while_fields,
     .meaning = "what must hold for the next step; else it goes one back"},
    {"at_least", KIND_COUNT, AT(pool, share.at_least), .lo = 1, .fallback = "50",
     .meaning = "answers in a step before anything is concluded from them"},
    {.key = NULL},
};

static void read_share(struct reader *r, const struct yaml_node *node, void *object)
{
    struct pool *pool = object;
    int32_t errors = r->problems->errors;
    read_fields(r, node, share_fields, pool);
    if (!pool->share.n_steps && r->problems->errors == errors)
        bad_value(r, node, "says no steps", "steps such as [1%, 10%, 50%, 100%]");
}

// "5 USD/day".
static void read_at_most(struct reader *r, const struct yaml_node *node, void *object)
{
    static const char expected[] = "money a day such as 5 USD/day";
    struct yaml_node money = *node;
    struct str rest = node->text;
    if (!is_scalar(r, node, expected))
        return;
    int64_t nusd = -1;
    bool timed = str_cut(&rest, '/', &money.text);
    rest = str_trim(rest);
    if (!timed || !(str_eq(rest, STR("day")) || str_eq(rest, STR("d"))))
        bad_value(r, node, "is not money a day", expected);
    else if (read_i64(r, &money, UNIT_MONEY, 1000, &nusd) && nusd < 0)
        bad_value(r, node, "is below nothing", expected);
    ((struct pool *)object)->shadow.at_most_nusd = nusd;
}

static const struct field shadow_fields[] = {
    {"of", KIND_REF, AT(pool, shadow.of), .unit = SECTION_POOLS,
     .meaning = "the pool whose requests it sees; that one answers them"},
    {"share", KIND_UNIT, AT(pool, shadow.share), .unit = UNIT_SHARE, .hi = 1, .fallback = "1 %",
     .meaning = "of the requests that `of` answers"},
    {"at_most", KIND_CUSTOM, .read = read_at_most, .shape = "money a day such as 5 USD/day",
     .fallback = "none; needed where it has a price",
     .meaning = "what they may cost in a day of UTC, at list price; the largest possible answer is "
                "reserved, so only one that is longer than it may be overruns it"},
    {.key = NULL},
};

static void read_shadow(struct reader *r, const struct yaml_node *node, void *object)
{
    struct pool *pool = object;
    int32_t errors = r->problems->errors;
    read_fields(r, node, shadow_fields, pool);
    pool->shadow.on = pool->shadow.of >= 0;
    if (!pool->shadow.on && r->problems->errors == errors)
        bad_value(r, node, "says no pool", "of: the pool whose requests it is to see");
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
    {"share", KIND_CUSTOM, .read = read_share, .sub = share_fields, .shape = "map",
     .fallback = "all that it may have",
     .meaning = "it enters in steps, each a share of the requests that it may have"},
    {"prefix_cache", KIND_CUSTOM, .read = read_pool_cache, .sub = cache_fields, .shape = "map",
     .meaning = "beginnings of prompts that are kept, with each model: routing sends what begins "
                "alike to where it is kept"},
    {"shadow", KIND_CUSTOM, .read = read_shadow, .sub = shadow_fields, .shape = "map",
     .fallback = "none",
     .meaning = "it answers nobody: it gets copies of requests that another pool answers, and what "
                "it says is counted and dropped"},
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
