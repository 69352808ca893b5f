#include "portfolio/portfolio.h"
#include "portfolio/tenants.h"

#include <stdio.h>

__extension__ typedef __int128 i128;

static const struct {
    const char *name;
    uint32_t surfaces;
    bool openai;  // chat/completions with a bearer key
} apis[] = {
    // Vertex wants tokens that a service account signs for, SageMaker a signature, Anthropic its
    // own
    // dialect; Azure (v1), Bedrock (/openai/v1), Gemini (/v1beta/openai) and OCI take a plain key.
    [API_OPENAI] = {"openai",
                    SURFACE_CHAT | SURFACE_COMPLETIONS | SURFACE_EMBEDDINGS | SURFACE_RESPONSES,
                    true},
    [API_CEREBRAS] = {"cerebras", SURFACE_CHAT | SURFACE_COMPLETIONS, true},
    [API_LLAMA_CPP] = {"llama.cpp",
                       SURFACE_CHAT | SURFACE_COMPLETIONS | SURFACE_EMBEDDINGS | SURFACE_RESPONSES |
                           SURFACE_MESSAGES,
                       true},
    [API_VLLM] = {"vllm",
                  SURFACE_CHAT | SURFACE_COMPLETIONS | SURFACE_EMBEDDINGS | SURFACE_RESPONSES |
                      SURFACE_MESSAGES,
                  true},
    [API_SGLANG] = {"sglang",
                    SURFACE_CHAT | SURFACE_COMPLETIONS | SURFACE_EMBEDDINGS | SURFACE_RESPONSES,
                    true},
    [API_TENSORRT_LLM] = {"tensorrt-llm", SURFACE_CHAT | SURFACE_COMPLETIONS | SURFACE_RESPONSES,
                          true},
    [API_NIM] = {"nim",
                 SURFACE_CHAT | SURFACE_COMPLETIONS | SURFACE_EMBEDDINGS | SURFACE_RESPONSES |
                     SURFACE_MESSAGES,
                 true},
    [API_COREWEAVE] = {"coreweave", SURFACE_CHAT | SURFACE_COMPLETIONS, true},
    [API_ANTHROPIC] = {"anthropic", SURFACE_MESSAGES, false},
    [API_AZURE] = {"azure",
                   SURFACE_CHAT | SURFACE_COMPLETIONS | SURFACE_EMBEDDINGS | SURFACE_RESPONSES,
                   true},
    [API_BEDROCK] = {"bedrock", SURFACE_CHAT | SURFACE_RESPONSES, true},
    [API_SAGEMAKER] = {"sagemaker", SURFACE_CHAT, false},
    [API_VERTEX] = {"vertex", SURFACE_CHAT, false},
    [API_GEMINI] = {"gemini", SURFACE_CHAT | SURFACE_EMBEDDINGS, true},
    [API_OCI] = {"oci", SURFACE_CHAT | SURFACE_RESPONSES, true},
    [API_SIM] = {"sim", SURFACE_CHAT | SURFACE_COMPLETIONS, true},
};
_Static_assert(COUNTOF(apis) == API_COUNT, "every dialect has a row");

const char *api_name(enum api api)
{
    CHECK((size_t)api < COUNTOF(apis));
    return apis[api].name;
}

bool api_speaks_openai(enum api api)
{
    CHECK((size_t)api < COUNTOF(apis));
    return apis[api].openai;
}

uint32_t api_surfaces(enum api api)
{
    CHECK((size_t)api < COUNTOF(apis));
    return apis[api].surfaces;
}

const char *status_name(enum status s)
{
    static const char *const names[] = {"talks", "letter", "assumed", "signed", "live", "ended"};
    _Static_assert(COUNTOF(names) == STATUS_COUNT, "every status has a name");
    CHECK((size_t)s < COUNTOF(names));
    return names[s];
}

const char *basis_name(enum basis b)
{
    static const char *const names[] = {"none", "measured", "claimed", "roofline", "assumed"};
    CHECK((size_t)b < COUNTOF(names));
    return names[b];
}

double value_curve_cost(const struct value_curve *c, int64_t us)
{
    double nusd = 0;
    for (int32_t i = 0; i < c->n && c->steps[i].from_us < us; i++) {
        int64_t from = max_i64(c->steps[i].from_us, 0);
        int64_t until = i + 1 < c->n ? min_i64(c->steps[i + 1].from_us, us) : us;
        if (until > from)
            nusd += (double)(until - from) * c->steps[i].nusd_per_us;
    }
    return nusd;
}

void serve_config_defaults(struct serve_config *c)
{
    *c = (struct serve_config){
        .host = STR("127.0.0.1"),
        .port = 8080,
        .policy = STR("caudal"),
        .default_class = -1,
        .ledger_durability = STR("process"),
        .ledger_on_full = STR("serve"),
        .log_format = STR("text"),
        .log_level = STR("info"),
        .traces = {.sample = 0.01},
        .events_bytes = (int64_t)1 << 30,
        .head_bytes = 32 << 10,
        .body_bytes = 20 << 20,
        .answer_bytes = 64 << 20,
        .head_us = S(15),
        .body_us = S(60),
        .idle_us = S(75),
        .write_us = S(60),
        .connections = 20000,
        .shadows = 32,
        .headers = 100,
        .pipelined = 16,
        .stream_buffer_bytes = 256 << 10,
        .attempts = 4,
        .retry_budget = 0.2,
        .stand_in_after_us = S(3),
        .silence_us = S(15),
        .patience_us = S(3),
        .deadline_us = S(600),
        .drain_us = S(30),
        .breaker_failures = 5,
        .breaker_open_us = S(5),
        .breaker_open_us_max = S(60),
        .band = 0.02,
    };
}

void class_defaults(struct class *c)
{
    *c = (struct class){
        .ttft_us = NEVER, .per_token_us = NEVER, .deadline_us = NEVER, .unserved_nusd = -1};
}

void supplier_defaults(struct supplier *s)
{
    *s = (struct supplier){
        .connect_us = S(5),
        .first_byte_us = S(60),
        .idle_us = S(60),
        .run = {.health = STR("/health"), .start_us = S(120)},
    };
}

void pool_defaults(struct pool *p)
{
    *p = (struct pool){
        .supplier = -1,
        .site = -1,
        .chip = -1,
        .contract = -1,
        .weight = 1,
        .derate = 1,
        .enabled = true,
        .purpose = PURPOSE_INFERENCE,
        .shadow = {.of = -1, .share = 0.01, .at_most_nusd = -1},
        .first_shadow = -1,
        .next_shadow = -1,
        .share =
            {.every_us = S(1800), .errors = 0.02, .ttft = 1.2, .per_token = 1.2, .at_least = 50},
    };
}

void tenant_defaults(struct tenant *t)
{
    *t = (struct tenant){
        .n_models = -1,
        .n_classes = -1,
        .default_class = -1,
        .of = -1,
        .passthrough = -1,
        .n_regions = -1,
        .markup = -1,
    };
    allowance_defaults(&t->allowance);
}

void allowance_defaults(struct allowance *a)
{
    *a = (struct allowance){
        .budget_day_nusd = -1,
        .budget_month_uusd = -1,
        .until_us = NEVER,
        .n_addresses = -1,
    };
}

// "fleet.yaml:12:5: ", or nothing when the place is not known.
struct prefix {
    char text[256];
};

static struct prefix prefix_of(const struct place *place)
{
    struct prefix out = {{0}};
    if (place->line > 0)
        snprintf(out.text, sizeof out.text,
                 "%.*s:%d:%d: ", (int)(place->file.n < 200 ? place->file.n : 200),
                 place->file.p ? place->file.p : "", place->line, place->column);
    return out;
}

// One thing of the portfolio while it is checked: what it is, its name, where it was said.
struct item {
    const char *what;
    struct str name;
    const struct place *place;
    struct diag *diag;
};

static enum err need_index(const struct item *it, const char *field, int32_t index, int32_t least,
                           int32_t n)
{
    if (index >= least && index < n)
        return ERR_NONE;
    return diag_set(it->diag, ERR_INVALID, "%s%s " STR_FMT ": %s is %d, expected %d to %d",
                    prefix_of(it->place).text, it->what, STR_ARG(it->name), field, index, least,
                    n - 1);
}

static enum err need_indices(const struct item *it, const char *field, const int32_t *index,
                             int32_t n_index, int32_t n)
{
    for (int32_t i = 0; i < n_index; i++) {
        enum err e = need_index(it, field, index[i], 0, n);
        if (e)
            return e;
    }
    return ERR_NONE;
}

// Adds the name of `it`, number `i` of its kind, to the names of that kind.
static enum err add_name(struct table *names, const struct item *it, int32_t i)
{
    enum err e = table_add(names, it->name, i);
    if (e == ERR_EXISTS)
        return diag_set(it->diag, ERR_INVALID, "%s%s " STR_FMT ": the name stands twice",
                        prefix_of(it->place).text, it->what, STR_ARG(it->name));
    if (e)
        return diag_set(it->diag, e, "the portfolio is larger than its limit of memory");
    return ERR_NONE;
}

static enum err check_point(const struct item *it, const struct portfolio *p, const struct chip *c)
{
    for (int32_t i = 0; i < c->n_points; i++) {
        enum err e = need_index(it, "model of a point", c->points[i].model, -1, p->n_models);
        if (e)
            return e;
    }
    return ERR_NONE;
}

static enum err check_contract(const struct item *it, const struct portfolio *p,
                               const struct contract *c)
{
    enum err e = need_index(it, "supplier", c->supplier, -1, p->n_suppliers);
    if (!e)
        e = need_index(it, "part_of", c->part_of, -1, p->n_contracts);
    return e;
}

static enum err check_pool(const struct item *it, const struct portfolio *p,
                           const struct pool *pool)
{
    enum err e = need_index(it, "supplier", pool->supplier, 0, p->n_suppliers);
    if (!e)
        e = need_index(it, "site", pool->site, -1, p->n_sites);
    if (!e)
        e = need_index(it, "chip", pool->chip, -1, p->n_chips);
    if (!e)
        e = need_index(it, "contract", pool->contract, -1, p->n_contracts);
    for (int32_t i = 0; !e && i < pool->n_serves; i++) {
        int32_t model = pool->serves[i].model;
        e = need_index(it, "model served", model, 0, p->n_models);
        for (int32_t j = 0; !e && j < i; j++)
            if (pool->serves[j].model == model)
                e = diag_set(it->diag, ERR_INVALID, "%spool " STR_FMT " serves " STR_FMT " twice",
                             prefix_of(it->place).text, STR_ARG(it->name),
                             STR_ARG(p->models[model].name));
    }
    return e;
}

static enum err check_tenant(const struct item *it, const struct portfolio *p,
                             const struct tenant *t)
{
    enum err e = need_indices(it, "model", t->models, t->n_models, p->n_models);
    if (!e)
        e = need_indices(it, "class", t->classes, t->n_classes, p->n_classes);
    if (!e)
        e = need_index(it, "default class", t->default_class, -1, p->n_classes);
    if (!e)
        e = need_index(it, "passthrough", t->passthrough, -1, p->n_suppliers);
    if (!e)
        e = need_index(it, "of", t->of, -1, p->n_tenants);
    for (int32_t i = 0; !e && i < t->n_prices; i++)
        e = need_index(it, "model of a price", t->prices[i].model, 0, p->n_models);
    return e;
}

static enum err check_demand(const struct item *it, const struct portfolio *p,
                             const struct demand *d)
{
    enum err e = need_index(it, "tenant", d->tenant, -1, p->n_tenants);
    if (!e)
        e = need_index(it, "model", d->model, -1, p->n_models);
    if (!e)
        e = need_index(it, "class", d->class, -1, p->n_classes);
    return e;
}

// Names of one kind: a table of them, each with `check` (an expression in `it` and `i`) applied.
#define SEAL(table, array, n_array, label, check)                                          \
    do {                                                                                   \
        enum err e_ = table_new(&(table), p->arena, p->n_array, 0);                        \
        if (e_)                                                                            \
            return diag_set(diag, e_, "the portfolio is larger than its limit of memory"); \
        for (int32_t i = 0; i < p->n_array; i++) {                                         \
            struct item it = {label, p->array[i].name, &p->array[i].place, diag};          \
            e_ = add_name((table), &it, i);                                                \
            if (!e_)                                                                       \
                e_ = (check);                                                              \
            if (e_)                                                                        \
                return e_;                                                                 \
        }                                                                                  \
    } while (0)

static void sort_steps(struct value_curve *c)
{
    for (int32_t i = 1; i < c->n; i++) {
        struct value_step s = c->steps[i];
        int32_t j = i;
        for (; j > 0 && c->steps[j - 1].from_us > s.from_us; j--)
            c->steps[j] = c->steps[j - 1];
        c->steps[j] = s;
    }
}

// Stable, so that phases of the same day stay as written; files have a dozen at most.
static void sort_phases(struct contract *c)
{
    for (int32_t i = 1; i < c->n_phases; i++) {
        struct phase ph = c->phases[i];
        int32_t j = i;
        for (; j > 0 && c->phases[j - 1].from_us > ph.from_us; j--)
            c->phases[j] = c->phases[j - 1];
        c->phases[j] = ph;
    }
}

// Each pool's shadows become a list through them, in the order of the file.
static void link_shadows(struct portfolio *p)
{
    for (int32_t i = 0; i < p->n_pools; i++)
        p->pools[i].first_shadow = p->pools[i].next_shadow = -1;
    for (int32_t i = p->n_pools; i-- > 0;) {
        struct pool *pool = &p->pools[i];
        if (!pool->shadow.on)
            continue;
        pool->next_shadow = p->pools[pool->shadow.of].first_shadow;
        p->pools[pool->shadow.of].first_shadow = i;
    }
}

enum err portfolio_seal(struct portfolio *p, struct diag *diag)
{
    struct table
        *names;  // of kinds that are not looked up later; the arena keeps them, they are small
    SEAL(p->class_names, classes, n_classes, "class", ERR_NONE);
    SEAL(p->model_names, models, n_models, "model", ERR_NONE);
    SEAL(names, suppliers, n_suppliers, "supplier", ERR_NONE);
    SEAL(names, sites, n_sites, "site", ERR_NONE);
    SEAL(names, chips, n_chips, "chip", check_point(&it, p, &p->chips[i]));
    SEAL(names, contracts, n_contracts, "contract", check_contract(&it, p, &p->contracts[i]));
    SEAL(names, groups, n_groups, "group",
         need_indices(&it, "model", p->groups[i].models, p->groups[i].n_models, p->n_models));
    SEAL(p->pool_names, pools, n_pools, "pool", check_pool(&it, p, &p->pools[i]));
    SEAL(p->tenant_names, tenants, n_tenants, "tenant", check_tenant(&it, p, &p->tenants[i]));
    SEAL(names, demands, n_demands, "demand", check_demand(&it, p, &p->demands[i]));
    enum err above = tenants_seal(p, diag);
    if (above)
        return above;
    struct place nowhere = {0};
    struct item serve = {"serve", STR(""), &nowhere, diag};
    enum err e = need_index(&serve, "default class", p->serve.default_class, -1, p->n_classes);
    if (e)
        return e;
    for (int32_t i = 0; i < p->n_classes; i++) {
        sort_steps(&p->classes[i].ttft_value);
        sort_steps(&p->classes[i].per_token_value);
    }
    for (int32_t i = 0; i < p->n_contracts; i++)
        sort_phases(&p->contracts[i]);
    link_shadows(p);
    return ERR_NONE;
}

const struct serving *pool_serving(const struct pool *p, int32_t model)
{
    for (int32_t i = 0; i < p->n_serves; i++)
        if (p->serves[i].model == model)
            return &p->serves[i];
    return NULL;
}

bool pool_answers(const struct pool *p, int32_t model)
{
    return !p->shadow.on && pool_serving(p, model);
}

uint32_t serving_surfaces(const struct portfolio *p, const struct pool *pool,
                          const struct serving *s)
{
    if (s->surfaces)
        return s->surfaces;
    const struct supplier *supplier = &p->suppliers[pool->supplier];
    return supplier->surfaces ? supplier->surfaces : api_surfaces(supplier->api);
}

int32_t serving_context(const struct portfolio *p, const struct serving *s)
{
    return s->context_tok ? s->context_tok : p->models[s->model].context_tok;
}

// What is only talked about gives nothing yet; an assumption of the file's author is taken as said.
static bool phase_counts(const struct phase *ph, int64_t wall_us)
{
    bool firm =
        ph->status == STATUS_ASSUMED || ph->status == STATUS_SIGNED || ph->status == STATUS_LIVE;
    return firm && ph->from_us <= wall_us && wall_us < ph->until_us;
}

int64_t class_patience_us(const struct portfolio *p, int32_t class)
{
    int64_t us = class >= 0 ? p->classes[class].deadline_us : NEVER;
    return us < NEVER ? us : p->serve.deadline_us;
}

int32_t portfolio_site(const struct portfolio *p, struct str name)
{
    for (int32_t i = 0; i < p->n_sites; i++)
        if (str_eq(p->sites[i].name, name))
            return i;
    return -1;
}

int32_t portfolio_contract(const struct portfolio *p, struct str name)
{
    for (int32_t i = 0; i < p->n_contracts; i++)
        if (str_eq(p->contracts[i].name, name))
            return i;
    return -1;
}

bool pool_active(const struct portfolio *p, const struct pool *pool, int64_t wall_us)
{
    if (pool->contract < 0 || p->contracts[pool->contract].n_phases == 0)
        return true;
    const struct contract *c = &p->contracts[pool->contract];
    double w = 0, accelerators = 0, ptu = 0, token_rate = 0;
    for (int32_t i = 0; i < c->n_phases; i++) {
        const struct phase *ph = &c->phases[i];
        if (!phase_counts(ph, wall_us))
            continue;
        if (ph->adds_w == 0 && ph->adds_accelerators == 0 && ph->adds_ptu == 0 &&
            ph->adds_token_rate == 0)
            return true;  // a phase whose size nobody has said, or an adjustable one
        w += ph->adds_w;
        accelerators += ph->adds_accelerators;
        ptu += ph->adds_ptu;
        token_rate += ph->adds_token_rate;
    }
    return w > 0 || accelerators > 0 || ptu > 0 || token_rate > 0;
}

int64_t pool_round_trip_us(const struct portfolio *p, const struct pool *pool, struct str region)
{
    if (pool->site < 0)
        return 0;
    const struct site *site = &p->sites[pool->site];
    for (int32_t i = 0; i < site->n_round_trips; i++)
        if (str_eq(site->round_trips[i].region, region))
            return site->round_trips[i].us;
    return 0;
}

int64_t price_of(const struct token_price *price, int64_t prompt_tok, int64_t cached_tok,
                 int64_t output_tok)
{
    if (!price->said)
        return 0;
    prompt_tok = max_i64(prompt_tok, 0);
    cached_tok = min_i64(max_i64(cached_tok, 0), prompt_tok);
    output_tok = max_i64(output_tok, 0);
    int64_t cached_price = price->cached_input < 0 ? price->input : price->cached_input;
    // Up to 275 USD/Mtok and 8 million tokens no sum needs more than 64 bits.
    const int64_t dear = (int64_t)1 << 38, many = 1 << 23;
    if (prompt_tok < many && output_tok < many && price->input < dear && cached_price < dear &&
        price->output < dear && price->input >= 0 && price->output >= 0) {
        int64_t nusd = (prompt_tok - cached_tok) * price->input + cached_tok * cached_price +
                       output_tok * price->output;
        return (nusd + 500000) / 1000000;
    }
    const i128 per = 1000000;
    i128 sum = (i128)(prompt_tok - cached_tok) * price->input + (i128)cached_tok * cached_price +
               (i128)output_tok * price->output;
    i128 nusd = (sum + per / 2) / per;
    return nusd > INT64_MAX ? INT64_MAX : (int64_t)nusd;
}
