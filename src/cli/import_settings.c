// The rest of a LiteLLM configuration: router_settings, litellm_settings, general_settings.

#include "cli/import.h"
#include "io/tls.h"

#include <stdlib.h>

static void add(struct import *im, struct import_alias **list, const struct yaml_node *at,
                struct str from, struct str to)
{
    struct import_alias *alias = arena_new(im->a, struct import_alias, 1);
    if (!alias) {
        im->full = true;
        return;
    }
    *alias = (struct import_alias){.from = from, .to = to, .line = at->place.line};
    while (*list)
        list = &(*list)->next;
    *list = alias;
}

// A name, or a map with the name at `model`.
static struct str model_in(const struct yaml_node *node)
{
    const struct yaml_node *name = node->kind == YAML_MAP ? yaml_get(node, STR("model")) : node;
    return name && name->kind == YAML_SCALAR ? name->text : (struct str){NULL, 0};
}

static void take_aliases(struct import *im, const struct yaml_node *node, void *object)
{
    (void)object;
    for (const struct yaml_node *c = node->first; c; c = c->next)
        if (model_in(c).n)
            add(im, &im->aliases, c, c->key, model_in(c));
}

// fallbacks: [{a: [b, c]}, {"*": [d]}]
static void take_fallbacks(struct import *im, const struct yaml_node *node, void *object)
{
    (void)object;
    for (const struct yaml_node *entry = node->first; entry; entry = entry->next)
        for (const struct yaml_node *from = entry->first; from; from = from->next)
            for (const struct yaml_node *to = from->first; to; to = to->next)
                if (model_in(to).n)
                    add(im, &im->fallbacks, to, from->key, model_in(to));
}

static void take_default_fallbacks(struct import *im, const struct yaml_node *node, void *object)
{
    (void)object;
    for (const struct yaml_node *to = node->first; to; to = to->next)
        if (model_in(to).n)
            add(im, &im->fallbacks, to, STR("*"), model_in(to));
}

static void take_strategy(struct import *im, const struct yaml_node *node, void *object)
{
    static const struct {
        const char *strategy, *policy;
        bool speed;
        const char *note;
    } strategies[] = {
        {"simple-shuffle", "", false, NULL},
        {"cost-based-routing", "least-cost", false, NULL},
        {"least-busy", "least-in-flight", false, NULL},
        {"usage-based-routing", "least-in-flight", false,
         "chose by tokens of the minute; least-in-flight is the nearest, and limits.tokens holds"},
        {"usage-based-routing-v2", "least-in-flight", false,
         "chose by tokens of the minute; least-in-flight is the nearest, and limits.tokens holds"},
        {"latency-based-routing", "least-cost", true,
         "became least-cost with a price of waiting in the class `fast`: 100 USD an hour is an "
         "assumption, lower it to let prices count more"},
    };
    (void)object;
    for (size_t i = 0; i < COUNTOF(strategies); i++)
        if (str_eq(node->text, str_of(strategies[i].strategy))) {
            im->policy = str_of(strategies[i].policy);
            im->price_speed = strategies[i].speed;
            if (strategies[i].note)
                import_note(im, node, "routing_strategy", "%s", strategies[i].note);
            return;
        }
    import_note(im, node, "routing_strategy",
                "is not known: the default, caudal, is used (docs/routing.md has others)");
}

#define TAKE_NUMBER(name, member)                                                          \
    static void take_##name(struct import *im, const struct yaml_node *node, void *object) \
    {                                                                                      \
        (void)object;                                                                      \
        import_number(im, node, &im->member);                                              \
    }

TAKE_NUMBER(retries, retries)
TAKE_NUMBER(failures, failures)
TAKE_NUMBER(open, open_s)
TAKE_NUMBER(timeout, timeout_s)
TAKE_NUMBER(body, body_mb)

static const char no_redis[] = "limits are exact within one caudal; replicas do not share them";
static const char no_content_policy[] =
    "caudal gives what a supplier refused for its content to nobody else";
static const char by_fault[] = "caudal decides by the fault whether to try again (docs/routing.md)";
static const char no_cache[] = "caudal keeps no answers";
static const char no_callbacks[] =
    "caudal has /metrics for Prometheus, serve.traces for OpenTelemetry, and its ledger";

static const struct import_key router_keys[] = {
    {"routing_strategy", take_strategy, NULL},
    {"fallbacks", take_fallbacks, NULL},
    {"context_window_fallbacks", take_fallbacks, NULL},
    {"default_fallbacks", take_default_fallbacks, NULL},
    {"content_policy_fallbacks", NULL, no_content_policy},
    {"model_group_alias", take_aliases, NULL},
    {"num_retries", take_retries, NULL},
    {"allowed_fails", take_failures, NULL},
    {"cooldown_time", take_open, NULL},
    {"timeout", take_timeout, NULL},
    {"enable_pre_call_checks", NULL, NULL},  // caudal always looks at the context and the limits
    {"set_verbose", NULL, NULL},
    {"retry_after", NULL, by_fault},
    {"retry_policy", NULL, by_fault},
    {"model_group_retry_policy", NULL, by_fault},
    {"allowed_fails_policy", NULL, by_fault},
    {"disable_cooldowns", NULL, "breakers stay: when all are open, all pools are tried"},
    {"redis_host", NULL, no_redis},
    {"redis_port", NULL, NULL},  // said once, with the host
    {"redis_password", NULL, NULL},
    {"redis_url", NULL, no_redis},
    {"cache_responses", NULL, no_cache},
    {"routing_strategy_args", NULL, "docs/routing.md says what caudal learns from what it sees"},
    {"enable_tag_filtering", NULL, "caudal does not route by tags"},
    {"provider_budget_config", NULL, "budgets belong to tenants, and commitments to contracts"},
    {NULL, NULL, "caudal has nothing of the kind"},
};

static void take_json_logs(struct import *im, const struct yaml_node *node, void *object)
{
    (void)object;
    im->log_json = import_true(node);
}

static void take_verbose(struct import *im, const struct yaml_node *node, void *object)
{
    (void)object;
    im->log_debug = im->log_debug || import_true(node);
}

static const struct import_key litellm_keys[] = {
    {"fallbacks", take_fallbacks, NULL},
    {"context_window_fallbacks", take_fallbacks, NULL},
    {"default_fallbacks", take_default_fallbacks, NULL},
    {"content_policy_fallbacks", NULL, no_content_policy},
    {"model_alias_map", take_aliases, NULL},
    {"num_retries", take_retries, NULL},
    {"allowed_fails", take_failures, NULL},
    {"request_timeout", take_timeout, NULL},
    {"json_logs", take_json_logs, NULL},
    {"set_verbose", take_verbose, NULL},
    {"telemetry", NULL, NULL},
    {"turn_off_message_logging", NULL, NULL},  // caudal never writes prompts or answers
    {"redact_user_api_key_info", NULL, NULL},
    {"ssl_verify", NULL,
     "suppliers.NAME.ca_file names other authorities, insecure: true asks none"},
    {"drop_params", NULL, "caudal sends what the client sent, and says what the supplier refused"},
    {"modify_params", NULL, "caudal sends what the client sent"},
    {"cache", NULL, no_cache},
    {"cache_params", NULL, no_cache},
    {"callbacks", NULL, no_callbacks},
    {"success_callback", NULL, no_callbacks},
    {"failure_callback", NULL, no_callbacks},
    {"service_callback", NULL, no_callbacks},
    {"max_budget", NULL, "say a budget for each tenant: tenants.NAME.budget"},
    {"budget_duration", NULL, "say a budget for each tenant: tenants.NAME.budget"},
    {"default_internal_user_params", NULL, "caudal has tenants, not users"},
    {"default_team_settings", NULL, "caudal has tenants, not teams with callbacks"},
    {NULL, NULL, "caudal has nothing of the kind"},
};

static void take_master_key(struct import *im, const struct yaml_node *node, void *object)
{
    (void)object;
    struct str key = node->text;
    if (str_starts(key, STR("os.environ/"))) {
        const char *name = arena_str(im->a, str_skip(key, sizeof "os.environ/" - 1)).p;
        key = str_of(name ? getenv(name) : NULL);
        if (!key.n) {
            import_note(im, node, "master_key",
                        "is not in this environment, so nobody needs a key: printf %%s \"$%s\" | "
                        "caudal key hash, and put it under tenants",
                        name ? name : "");
            return;
        }
    }
    unsigned char digest[32];
    sha256(digest, key);
    memcpy(im->master, "sha256:", 7);
    hex_of(im->master + 7, digest, sizeof digest);
}

static const char no_database[] =
    "virtual keys, teams and their budgets are in that database. It holds the SHA-256 of each key: "
    "`SELECT key_alias, token FROM \"LiteLLM_VerificationToken\"` gives what belongs, after "
    "sha256:, in tenants.NAME.keys, and clients keep their keys";

static const struct import_key general_keys[] = {
    {"master_key", take_master_key, NULL},
    {"max_request_size_mb", take_body, NULL},
    {"database_url", NULL, no_database},
    {"store_model_in_db", NULL, "models that were added in the web page are not in this file"},
    {"max_parallel_requests", NULL, "say it for each tenant: tenants.NAME.limits.in_flight"},
    {"global_max_parallel_requests", NULL, "say it for each pool: pools.NAME.limits.in_flight"},
    {"custom_auth", NULL, "tenants.NAME.keys is the only way in"},
    {"pass_through_endpoints", NULL, "tenants.NAME.passthrough names a supplier for other paths"},
    {"alerting", NULL, "dist/alerts.yaml has rules for Prometheus"},
    {"alerting_threshold", NULL, NULL},
    {"background_health_checks", NULL, "breakers watch the requests themselves"},
    {"health_check_interval", NULL, NULL},
    {"salt_key", NULL, NULL},
    {"disable_spend_logs", NULL, NULL},
    {"proxy_batch_write_at", NULL, NULL},  // the ledger loses nothing between writes
    {"database_connection_pool_limit", NULL, NULL},
    {"database_connection_timeout", NULL, NULL},
    {NULL, NULL, "caudal has nothing of the kind"},
};

static void router_settings(struct import *im, const struct yaml_node *node, void *object)
{
    import_keys(im, node, "router_settings", router_keys, object);
}

static void litellm_settings(struct import *im, const struct yaml_node *node, void *object)
{
    import_keys(im, node, "litellm_settings", litellm_keys, object);
}

static void general_settings(struct import *im, const struct yaml_node *node, void *object)
{
    import_keys(im, node, "general_settings", general_keys, object);
}

static void model_list(struct import *im, const struct yaml_node *node, void *object)
{
    (void)object;
    import_model_list(im, node);
}

static void credential_list(struct import *im, const struct yaml_node *node, void *object)
{
    (void)im, (void)node, (void)object;  // looked up by the models
}

void import_litellm(struct import *im, const struct yaml_node *top)
{
    static const struct import_key top_keys[] = {
        {"model_list", model_list, NULL},
        {"router_settings", router_settings, NULL},
        {"litellm_settings", litellm_settings, NULL},
        {"general_settings", general_settings, NULL},
        {"credential_list", credential_list, NULL},
        {"include", NULL, "import each of these files, and give caudal both: it merges its files"},
        {"environment_variables", NULL, "set them in caudal's own environment"},
        {"guardrails", NULL, "caudal does not look into prompts and answers"},
        {"mcp_servers", NULL, "caudal serves models only"},
        {"vector_store_registry", NULL, "caudal serves models only"},
        {NULL, NULL, "caudal has nothing of the kind"},
    };
    im->credentials = yaml_get(top, STR("credential_list"));
    import_keys(im, top, "", top_keys, NULL);
}
