// model_list: each entry is one deployment, which becomes a pool or a part of one.

#include "cli/import.h"

#include <stdio.h>

struct reading {
    struct import_deployment d;
    const struct yaml_node *model, *custom, *base, *key, *region, *mode;
};

#define TAKE_NODE(member)                                                                    \
    static void take_##member(struct import *im, const struct yaml_node *node, void *object) \
    {                                                                                        \
        (void)im;                                                                            \
        ((struct reading *)object)->member = node;                                           \
    }
#define TAKE_NUMBER(name, member)                                                          \
    static void take_##name(struct import *im, const struct yaml_node *node, void *object) \
    {                                                                                      \
        import_number(im, node, &((struct reading *)object)->d.member);                    \
    }

TAKE_NODE(model)
TAKE_NODE(custom)
TAKE_NODE(base)
TAKE_NODE(key)
TAKE_NODE(region)
TAKE_NODE(mode)
TAKE_NUMBER(requests, requests_per_min)
TAKE_NUMBER(tokens, tokens_per_min)
TAKE_NUMBER(in_flight, in_flight)
TAKE_NUMBER(weight, weight)
TAKE_NUMBER(order, order)
TAKE_NUMBER(first_byte, first_byte_s)
TAKE_NUMBER(idle, idle_s)
TAKE_NUMBER(context, context)
TAKE_NUMBER(output_max, output_max)
TAKE_NUMBER(price_input, prices.input)
TAKE_NUMBER(price_output, prices.output)
TAKE_NUMBER(price_cached, prices.cached_input)
TAKE_NUMBER(price_cache_write, prices.cache_write)

static void take_credential(struct import *im, const struct yaml_node *node, void *object)
{
    static const struct import_key keys[] = {
        {"api_base", take_base, NULL},
        {"base_url", take_base, NULL},
        {"api_key", take_key, NULL},
        {"aws_region_name", take_region, NULL},
        {NULL, NULL, "is a part of the credential that caudal has no place for"},
    };
    const struct yaml_node *c = im->credentials ? im->credentials->first : NULL;
    for (; c; c = c->next) {
        const struct yaml_node *name = yaml_get(c, STR("credential_name"));
        const struct yaml_node *values = yaml_get(c, STR("credential_values"));
        if (name && values && str_eq(name->text, node->text)) {
            import_keys(im, values, "credential_values", keys, object);
            return;
        }
    }
    import_note(im, node, "litellm_credential_name", "is not in credential_list");
}

#define PRICE_KEYS                                                         \
    {"input_cost_per_token", take_price_input, NULL},                      \
        {"output_cost_per_token", take_price_output, NULL},                \
        {"cache_read_input_token_cost", take_price_cached, NULL},          \
        {"cache_creation_input_token_cost", take_price_cache_write, NULL}, \
        {"input_cost_per_second", NULL, no_price_by_time},                 \
    {                                                                      \
        "output_cost_per_second", NULL, no_price_by_time                   \
    }

static const char no_price_by_time[] =
    "is a price by time: caudal has that as a contract's commitment in accelerator-hours";
static const char no_aws[] = "caudal calls Bedrock with a Bedrock API key "
                             "(AWS_BEARER_TOKEN_BEDROCK), not with AWS credentials";
static const char no_vertex[] = "belongs to a dialect that caudal cannot call yet";
static const char no_tags[] =
    "caudal does not route by tags: give those clients a tenant with `models` of its own";
static const char no_budget[] = "budgets belong to tenants, and commitments to contracts";
static const char no_retries[] =
    "is one number for all models: serve.attempts.max, from num_retries of router_settings";

static const struct import_key params[] = {
    {"model", take_model, NULL},
    {"custom_llm_provider", take_custom, NULL},
    {"api_base", take_base, NULL},
    {"base_url", take_base, NULL},
    {"api_key", take_key, NULL},
    {"litellm_credential_name", take_credential, NULL},
    {"rpm", take_requests, NULL},
    {"tpm", take_tokens, NULL},
    {"max_parallel_requests", take_in_flight, NULL},
    {"weight", take_weight, NULL},
    {"order", take_order, NULL},
    {"timeout", take_first_byte, NULL},
    {"stream_timeout", take_idle, NULL},
    {"aws_region_name", take_region, NULL},
    {"region_name", NULL, "say where data may go with sites.NAME.region and tenants.NAME.regions"},
    {"api_version", NULL, NULL},
    {"use_in_pass_through", NULL, "tenants.NAME.passthrough names the supplier of other paths"},
    {"organization", NULL, "caudal passes on the client's OpenAI-Organization header only"},
    {"aws_access_key_id", NULL, no_aws},
    {"aws_secret_access_key", NULL, no_aws},
    {"aws_session_token", NULL, no_aws},
    {"aws_role_name", NULL, no_aws},
    {"aws_profile_name", NULL, no_aws},
    {"vertex_project", NULL, no_vertex},
    {"vertex_location", NULL, no_vertex},
    {"vertex_credentials", NULL, no_vertex},
    {"num_retries", NULL, no_retries},
    {"max_retries", NULL, no_retries},
    {"cooldown_time", NULL, "is one number for all pools: serve.breaker.open"},
    {"drop_params", NULL, "caudal sends what the client sent, and says what the supplier refused"},
    {"tags", NULL, no_tags},
    {"tag_regex", NULL, no_tags},
    {"max_budget", NULL, no_budget},
    {"budget_duration", NULL, no_budget},
    {"mock_response", NULL, "`caudal sim` is a supplier that is not there"},
    {"itpm", NULL, "caudal limits prompt and answer tokens together (limits.tokens)"},
    {"otpm", NULL, "caudal limits prompt and answer tokens together (limits.tokens)"},
    PRICE_KEYS,
    {NULL, NULL, "LiteLLM adds it to every request; caudal sends what the client sent"},
};

static const struct import_key model_info[] = {
    {"mode", take_mode, NULL},
    {"max_input_tokens", take_context, NULL},
    {"max_output_tokens", take_output_max, NULL},
    {"access_groups", NULL, "tenants.NAME.models says who may ask for what"},
    {"team_id", NULL, "tenants.NAME.models says who may ask for what"},
    PRICE_KEYS,
    {NULL, NULL, NULL},
};

static void take_params(struct import *im, const struct yaml_node *node, void *object)
{
    import_keys(im, node, "litellm_params", params, object);
}

static void take_info(struct import *im, const struct yaml_node *node, void *object)
{
    import_keys(im, node, "model_info", model_info, object);
}

// Names in a portfolio have no blanks.
static void take_name(struct import *im, const struct yaml_node *node, void *object)
{
    struct reading *r = object;
    struct str name = arena_str(im->a, node->text);
    bool changed = false;
    for (size_t i = 0; name.p && i < name.n; i++)
        if ((unsigned char)name.p[i] <= ' ') {
            ((char *)name.p)[i] = '-';  // the copy is ours
            changed = true;
        }
    if (changed)
        import_note(im, node, "model_name", "has blanks, which became '-'");
    r->d.model = name;
    r->d.line = node->place.line;
}

static const struct import_key entry_keys[] = {
    {"model_name", take_name, NULL},
    {"litellm_params", take_params, NULL},
    {"model_info", take_info, NULL},
    {NULL, NULL, "caudal has nothing of the kind"},
};

static bool surfaces_of(struct reading *r)
{
    static const struct {
        const char *mode, *surfaces;
    } modes[] = {{"chat", NULL},
                 {"completion", "completions"},
                 {"embedding", "embeddings"},
                 {"responses", "responses"}};
    r->d.surfaces = r->d.provider->surfaces;
    if (!r->mode)
        return true;
    for (size_t i = 0; i < COUNTOF(modes); i++)
        if (str_eq(r->mode->text, str_of(modes[i].mode))) {
            r->d.surfaces = modes[i].surfaces ? modes[i].surfaces : r->d.surfaces;
            return true;
        }
    return false;
}

// Where it is called: what the file says in the form that the provider's clients give it.
static struct str url_of(struct import *im, const struct reading *r)
{
    const struct import_provider *p = r->d.provider;
    if (!r->base && str_eq(str_of(p->api), STR("bedrock")) && r->region)
        return arena_printf(im->a, "https://bedrock-runtime." STR_FMT ".amazonaws.com/openai/v1",
                            STR_ARG(import_text(im, r->region)));
    if (!r->base)
        return str_of(p->url);
    struct str url = import_text(im, r->base), path;
    struct str rest = url;
    if (str_cut(&rest, '?', &path))
        url = path;
    while (url.n && url.p[url.n - 1] == '/')
        url.n--;
    if (str_ends(url, STR("/chat/completions")))
        url.n -= sizeof "/chat/completions" - 1;
    size_t at;
    if (p->beneath && str_starts(str_of(p->beneath), STR("/openai"))) {
        if (str_find(url, STR("/openai"), &at))
            url.n = at;  // "/openai/deployments/NAME" is the other way to call Azure
        else if (str_ends(url, STR("/models")))
            url.n -= sizeof "/models" - 1;
    }
    if (p->beneath && !str_ends(url, str_of(p->beneath)))
        url = arena_printf(im->a, STR_FMT "%s", STR_ARG(url), p->beneath);
    return url;
}

static struct str key_of(struct import *im, const struct reading *r)
{
    const struct import_provider *p = r->d.provider;
    char name[128];
    size_t n = 0;
    if (!r->key || str_eq(str_of(p->api), STR("bedrock")))
        return p->key ? arena_printf(im->a, "${%s}", p->key) : (struct str){NULL, 0};
    for (const char *c = p->prefix; *c && n < 64; c++)
        name[n++] = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c == '-' ? '_' : *c;
    snprintf(name + n, sizeof name - n, "_API_KEY_LINE_%d", (int)r->key->place.line);
    return import_secret(im, r->key, name, !p->key);
}

// Whether `r` can be a part of a portfolio; else a note says why not.
static bool finish(struct import *im, const struct yaml_node *at, struct reading *r)
{
    struct str none = {NULL, 0};
    size_t star;
    const char *what = r->d.model.n ? r->d.model.p : "model_list";
    if (!r->d.model.n || !r->model || !r->model->text.n)
        import_note(im, at, what, "has no model_name or no litellm_params.model: left out");
    else if (str_find(r->d.model, STR("*"), &star) || str_find(r->model->text, STR("*"), &star))
        import_note(im, at, what,
                    "is a wildcard: a portfolio names its models, so write those you use under "
                    "pools.NAME.serves");
    else if (!(r->d.provider = import_provider_of(r->model->text,
                                                  r->custom ? r->custom->text : none, &r->d.as)))
        import_note(im, at, what, "comes from a provider that caudal does not know: left out");
    else if (!surfaces_of(r))
        import_note(im, at, what,
                    "is no model for chat, completions, embeddings or responses: left out");
    else {
        r->d.as = import_text(im, &(struct yaml_node){.text = r->d.as});
        r->d.url = url_of(im, r);
        r->d.key = key_of(im, r);
        if (r->d.provider->note)
            import_note(im, at, what, "%s", r->d.provider->note);
        else if (!r->d.url.n)
            import_note(im, at, what, "has no api_base: say its url under suppliers");
        return true;
    }
    return false;
}

void import_model_list(struct import *im, const struct yaml_node *list)
{
    for (const struct yaml_node *c = list->first; c; c = c->next) {
        struct reading r = {.d = {.weight = -1, .order = -1, .prices = {-1, -1, -1, -1}}};
        import_keys(im, c, "model_list", entry_keys, &r);
        if (c->kind != YAML_MAP || !finish(im, c, &r))
            continue;
        struct import_deployment *d = arena_new(im->a, struct import_deployment, 1);
        if (!d) {
            im->full = true;
            return;
        }
        *d = r.d;
        *im->last = d;
        im->last = &d->next;
        im->n++;
    }
}
