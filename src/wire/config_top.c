// The sections of the file: names first, so that references may point forward, then their entries.

#include "wire/config_read.h"

// The top of the file. Sections are read in an order of their own, see read_sections().

static void read_elsewhere(struct reader *r, const struct yaml_node *node, void *object)
{
    (void)r, (void)node, (void)object;
}

static const struct field top_fields[] = {
    {"caudal", KIND_CUSTOM, .read = read_elsewhere, .shape = "`1`",
     .meaning = "version of the format"},
#define SECTION(name, table, text)                                               \
    {                                                                            \
        name, KIND_CUSTOM, .read = read_elsewhere, .sub = table, .meaning = text \
    }
    SECTION("serve", serve_fields, "How this process listens and works."),
    SECTION("classes", class_fields, "How requests are to be answered, by the name of the class."),
    SECTION("suppliers", supplier_fields,
            "Who sells: an account, a dialect, credentials. A pool may have these keys itself."),
    SECTION("sites", site_fields, "Where it stands, and what power costs there."),
    SECTION("chips", chip_fields, "What it runs on, and how fast that is."),
    SECTION("contracts", contract_fields, "What was agreed, and what comes when."),
    SECTION("models", model_fields,
            "What is asked for. A model needs no entry here; a pool that serves it is enough."),
    SECTION("groups", NULL,
            "Models that may stand in for each other, the first preferred: `NAME: [models]`."),
    SECTION("pools", pool_fields, "What can be called. The only section that must be there."),
    SECTION("tenants", tenant_fields, "Who asks. Without tenants, anyone on this machine may."),
    SECTION("demand", demand_fields, "Forecast of what is asked, one stream by name."),
#undef SECTION
    {.key = NULL},
};

static struct yaml_node *section_of(struct reader *r, const struct yaml_node *root,
                                    const char *name)
{
    struct yaml_node *node = yaml_get(root, str_of(name));
    if (!node || yaml_is_null(node) || node->broken)
        return NULL;
    FIRST_STEP(r, entry, node->key, 0);
    bool ok = is_map(r, node, "a map of names");
    LAST_STEP(r, entry);
    return ok ? node : NULL;
}

static bool name_ok(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if ((unsigned char)name.p[i] <= ' ' || name.p[i] == 0x7f)
            return false;
    return name.n > 0 && name.n <= 128;
}

static void add_name(struct reader *r, enum section section, struct str name, struct place place,
                     int32_t index)
{
    if (!name_ok(name))
        bad(r, place, "is not a name, expected 1 to 128 characters without blanks");
    if (table_add(r->names[section], name, index) == ERR_LIMIT)
        out_of_memory(r);
}

// The names of one section, so that references may point forward. Returns how many there are.
static int32_t name_section(struct reader *r, const struct yaml_node *node, enum section section,
                            int32_t more)
{
    int32_t n = 0;
    if (table_new(&r->names[section], r->a, (node ? node->n : 0) + more, 0)) {
        out_of_memory(r);
        return 0;
    }
    FIRST_STEP(r, top, node ? node->key : STR(""), 0);
    for (const struct yaml_node *c = node ? node->first : NULL; c; c = c->next) {
        FIRST_STEP(r, entry, c->key, 0);
        add_name(r, section, c->key, c->key_place, n++);
        LAST_STEP(r, entry);
    }
    LAST_STEP(r, top);
    return n;
}

static bool says(const struct yaml_node *map, const char *key)
{
    const struct yaml_node *node = map->kind == YAML_MAP ? yaml_get(map, str_of(key)) : NULL;
    return node && !yaml_is_null(node);
}

// Does a pool bring a supplier of its own?
static bool has_own_supplier(const struct yaml_node *pool)
{
    return !says(pool, "supplier") && (says(pool, "api") || says(pool, "run") ||
                                       (says(pool, "url") && !says(pool, "contract")));
}

struct sections {
    struct yaml_node *node[SECTION_COUNT];
    int32_t *own;  // [n_pools], index of the pool's own supplier or -1
};

// Suppliers that pools bring, after those under suppliers.
static void name_own_suppliers(struct reader *r, struct sections *s)
{
    struct portfolio *p = r->p;
    const struct yaml_node *pools = s->node[SECTION_POOLS];
    int32_t i = 0, taken;
    s->own = read_new(r, int32_t, p->n_pools);
    FIRST_STEP(r, top, STR("pools"), 0);
    for (const struct yaml_node *c = pools ? pools->first : NULL; c && s->own; c = c->next, i++) {
        s->own[i] = -1;
        if (!has_own_supplier(c))
            continue;
        FIRST_STEP(r, entry, c->key, 0);
        s->own[i] = p->n_suppliers++;
        if (table_get(r->names[SECTION_SUPPLIERS], c->key, &taken))
            bad(r, c->key_place,
                "brings a supplier of its own, but one of that name stands under suppliers, "
                "expected supplier: " STR_FMT " or another name",
                STR_ARG(c->key));
        else
            add_name(r, SECTION_SUPPLIERS, c->key, c->key_place, s->own[i]);
        LAST_STEP(r, entry);
    }
    LAST_STEP(r, top);
}

static int32_t count_served(const struct yaml_node *pools)
{
    int32_t n = 0;
    for (const struct yaml_node *c = pools ? pools->first : NULL; c; c = c->next) {
        const struct yaml_node *serves = c->kind == YAML_MAP ? yaml_get(c, STR("serves")) : NULL;
        if (serves)
            for (const struct yaml_node *e = list_first(serves); e; e = list_next(serves, e))
                n += e->kind == YAML_MAP ? e->n : 1;
    }
    return n;
}

// Models that are only served, after those under models.
static void name_served_models(struct reader *r, const struct yaml_node *pools)
{
    struct portfolio *p = r->p;
    for (const struct yaml_node *c = pools ? pools->first : NULL; c && !r->full; c = c->next) {
        const struct yaml_node *serves = c->kind == YAML_MAP ? yaml_get(c, STR("serves")) : NULL;
        if (!serves || serves->broken)
            continue;
        int32_t n, have;
        struct served *list = served_list(r, serves, false, &n);
        FIRST_STEP(r, pool, c->key, 0);
        for (int32_t i = 0; list && i < n; i++) {
            if (table_get(r->names[SECTION_MODELS], list[i].name, &have))
                continue;
            FIRST_STEP(r, entry, list[i].name, 0);
            p->models[p->n_models] = (struct model){.name = list[i].name, .place = list[i].place};
            add_name(r, SECTION_MODELS, list[i].name, list[i].place, p->n_models++);
            LAST_STEP(r, entry);
        }
        LAST_STEP(r, pool);
    }
}

static void name_all(struct reader *r, struct sections *s)
{
    struct portfolio *p = r->p;
    const struct yaml_node *pools = s->node[SECTION_POOLS];
    int32_t n_served = count_served(pools);
    p->n_pools = name_section(r, pools, SECTION_POOLS, 0);
    p->n_classes = name_section(r, s->node[SECTION_CLASSES], SECTION_CLASSES, 0);
    p->n_suppliers = name_section(r, s->node[SECTION_SUPPLIERS], SECTION_SUPPLIERS, p->n_pools);
    p->n_sites = name_section(r, s->node[SECTION_SITES], SECTION_SITES, 0);
    p->n_chips = name_section(r, s->node[SECTION_CHIPS], SECTION_CHIPS, 0);
    p->n_contracts = name_section(r, s->node[SECTION_CONTRACTS], SECTION_CONTRACTS, 0);
    p->n_models = name_section(r, s->node[SECTION_MODELS], SECTION_MODELS, n_served);
    p->n_groups = name_section(r, s->node[SECTION_GROUPS], SECTION_GROUPS, 0);
    p->n_tenants = name_section(r, s->node[SECTION_TENANTS], SECTION_TENANTS, 0);
    p->n_demands = name_section(r, s->node[SECTION_DEMAND], SECTION_DEMAND, 0);
    if (r->full)
        return;
    p->pools = read_new(r, struct pool, p->n_pools);
    p->classes = read_new(r, struct class, p->n_classes);
    p->suppliers = read_new(r, struct supplier, p->n_suppliers + p->n_pools);
    p->sites = read_new(r, struct site, p->n_sites);
    p->chips = read_new(r, struct chip, p->n_chips);
    p->contracts = read_new(r, struct contract, p->n_contracts);
    p->models = read_new(r, struct model, p->n_models + n_served);
    p->groups = read_new(r, struct group, p->n_groups);
    p->tenants = read_new(r, struct tenant, p->n_tenants);
    p->demands = read_new(r, struct demand, p->n_demands);
    if (r->full)
        return;
    name_own_suppliers(r, s);
    int32_t listed = p->n_models;
    FIRST_STEP(r, entry, STR("pools"), 0);
    name_served_models(r, pools);
    LAST_STEP(r, entry);
    p->n_models = r->full ? listed : p->n_models;
}

// One entry of each section: defaults, name and place, then its keys.

static void one_class(struct reader *r, const struct yaml_node *node, int32_t i)
{
    struct class *c = &r->p->classes[i];
    class_defaults(c);
    c->name = node->key;
    c->place = node->key_place;
    read_fields(r, node, class_fields, c);
    if (c->deferred && c->deadline_us == NEVER)
        bad(r, c->place, "is deferred without an end, expected deadline: beside it, such as 24 h");
}

static void one_supplier(struct reader *r, const struct yaml_node *node, int32_t i)
{
    struct supplier *s = &r->p->suppliers[i];
    supplier_defaults(s);
    s->name = node->key;
    s->place = node->key_place;
    read_supplier(r, node, s);
}

static void one_site(struct reader *r, const struct yaml_node *node, int32_t i)
{
    struct site *s = &r->p->sites[i];
    *s = (struct site){.name = node->key, .place = node->key_place, .pue = 1};
    read_fields(r, node, site_fields, s);
}

static void one_chip(struct reader *r, const struct yaml_node *node, int32_t i)
{
    struct chip *c = &r->p->chips[i];
    *c = (struct chip){.name = node->key, .place = node->key_place};
    read_fields(r, node, chip_fields, c);
}

static void one_contract(struct reader *r, const struct yaml_node *node, int32_t i)
{
    struct contract *c = &r->p->contracts[i];
    *c = (struct contract){.name = node->key,
                           .place = node->key_place,
                           .supplier = -1,
                           .part_of = -1,
                           .status = STATUS_ASSUMED,
                           .until_us = NEVER,
                           .purpose = PURPOSE_INFERENCE | PURPOSE_TRAINING};
    read_contract(r, node, c);
}

static void one_model(struct reader *r, const struct yaml_node *node, int32_t i)
{
    struct model *m = &r->p->models[i];
    *m = (struct model){.name = node->key, .place = node->key_place, .listed = true};
    read_fields(r, node, model_fields, m);
}

static void one_group(struct reader *r, const struct yaml_node *node, int32_t i)
{
    struct group *g = &r->p->groups[i];
    *g = (struct group){.name = node->key, .place = node->key_place};
    if (node->broken || yaml_is_null(node))
        return;
    if (node->kind == YAML_MAP)
        bad_value(r, node, "is not a list", "models that may stand in for each other");
    else
        read_group(r, node, g);
}

static void one_tenant(struct reader *r, const struct yaml_node *node, int32_t i)
{
    struct tenant *t = &r->p->tenants[i];
    tenant_defaults(t);
    t->name = node->key;
    t->place = node->key_place;
    read_fields(r, node, tenant_fields, t);
}

static void one_demand(struct reader *r, const struct yaml_node *node, int32_t i)
{
    struct demand *d = &r->p->demands[i];
    *d = (struct demand){.name = node->key,
                         .place = node->key_place,
                         .tenant = -1,
                         .model = -1,
                         .class = -1,
                         .growth_per_year = 1,
                         .weekend = 1,
                         .until_us = NEVER};
    for (int32_t h = 0; h < STREAM_HOURS; h++)
        d->hours[h] = 1;
    read_demand(r, node, d);
}

// The supplier of a pool that has none of its own: what it names, else its contract's.
static void find_supplier(struct reader *r, const struct yaml_node *node, struct pool *pool)
{
    const struct portfolio *p = r->p;
    if (pool->supplier < 0 && pool->contract >= 0)
        pool->supplier = p->contracts[pool->contract].supplier;
    bool told = says(node, "supplier") || (says(node, "contract") && pool->contract < 0);
    if (pool->supplier < 0 && node->kind == YAML_MAP && !told)
        bad(r, node->key_place,
            pool->contract < 0 ? "has no supplier, expected supplier:, or api: and url: of its own"
                               : "has no supplier, and its contract has none either");
}

static void one_pool(struct reader *r, const struct yaml_node *node, int32_t i, int32_t own)
{
    struct pool *pool = &r->p->pools[i];
    struct supplier *supplier = own >= 0 ? &r->p->suppliers[own] : NULL;
    pool_defaults(pool);
    pool->name = node->key;
    pool->place = node->key_place;
    if (supplier) {
        supplier_defaults(supplier);
        supplier->name = node->key;
        supplier->place = node->key_place;
        pool->supplier = own;
    }
    if (node->kind != YAML_MAP && !node->broken)
        bad_value(r, node, "is not a pool", "a map such as {api: openai, url: ..., serves: [...]}");
    else
        read_pool(r, node, pool, supplier);
    if (!supplier)
        find_supplier(r, node, pool);
    if (pool->supplier >= 0 && !pool->url.n)
        pool->url = r->p->suppliers[pool->supplier].url;
    if (pool->supplier >= 0 && !pool->key.n)
        pool->key = r->p->suppliers[pool->supplier].key;
}

static void each_of(struct reader *r, const struct yaml_node *section,
                    void (*one)(struct reader *r, const struct yaml_node *node, int32_t i))
{
    int32_t i = 0;
    if (!section)
        return;
    FIRST_STEP(r, top, section->key, 0);
    for (const struct yaml_node *c = section->first; c && !r->full; c = c->next) {
        FIRST_STEP(r, entry, c->key, 0);
        one(r, c, i++);
        LAST_STEP(r, entry);
    }
    LAST_STEP(r, top);
}

static void read_pools(struct reader *r, const struct sections *s)
{
    const struct yaml_node *pools = s->node[SECTION_POOLS];
    int32_t i = 0;
    FIRST_STEP(r, top, STR("pools"), 0);
    for (const struct yaml_node *c = pools->first; c && !r->full; c = c->next, i++) {
        FIRST_STEP(r, entry, c->key, 0);
        one_pool(r, c, i, s->own[i]);
        LAST_STEP(r, entry);
    }
    LAST_STEP(r, top);
}

// A contract that is part of itself, through however many others.
static void check_part_of(struct reader *r)
{
    const struct portfolio *p = r->p;
    for (int32_t i = 0; i < p->n_contracts; i++) {
        int32_t at = p->contracts[i].part_of, steps = 0;
        while (at >= 0 && at != i && steps++ < p->n_contracts)
            at = p->contracts[at].part_of;
        if (at == i) {
            FIRST_STEP(r, top, STR("contracts"), 0);
            FIRST_STEP(r, entry, p->contracts[i].name, 0);
            bad(r, p->contracts[i].place, "is part of itself");
            LAST_STEP(r, entry);
            LAST_STEP(r, top);
            return;
        }
    }
}

static void check_version(struct reader *r, const struct yaml_node *root)
{
    const struct yaml_node *version = yaml_get(root, STR("caudal"));
    FIRST_STEP(r, entry, STR("caudal"), 0);
    if (!version)
        bad(r, root->place, "is not said, expected `caudal: 1` at the top");
    else if (version->kind != YAML_SCALAR || !str_eq(version->text, STR("1")))
        bad_value(r, version, "is a version of the format that is not known", "1");
    LAST_STEP(r, entry);
}

void read_sections(struct reader *r, const struct yaml_node *root)
{
    struct sections s = {0};
    struct portfolio *p = r->p;
    check_version(r, root);
    read_fields(r, root, top_fields, p);
    for (int i = 0; i < SECTION_COUNT; i++)
        s.node[i] = section_of(r, root, top_fields[i + 1].key);
    if (!s.node[SECTION_POOLS])
        bad(r, root->place, "pools: is missing: it says what can be called");
    name_all(r, &s);
    if (r->full)
        return;
    if (s.node[SECTION_SERVE]) {
        FIRST_STEP(r, entry, STR("serve"), 0);
        read_fields(r, s.node[SECTION_SERVE], serve_fields, &p->serve);
        LAST_STEP(r, entry);
    }
    each_of(r, s.node[SECTION_CLASSES], one_class);
    each_of(r, s.node[SECTION_SUPPLIERS], one_supplier);
    each_of(r, s.node[SECTION_SITES], one_site);
    each_of(r, s.node[SECTION_MODELS], one_model);
    each_of(r, s.node[SECTION_CHIPS], one_chip);
    each_of(r, s.node[SECTION_CONTRACTS], one_contract);
    each_of(r, s.node[SECTION_GROUPS], one_group);
    if (s.node[SECTION_POOLS])
        read_pools(r, &s);
    each_of(r, s.node[SECTION_TENANTS], one_tenant);
    each_of(r, s.node[SECTION_DEMAND], one_demand);
    check_part_of(r);
}
