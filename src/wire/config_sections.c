// Sections about answering: serve, classes, suppliers, models, groups.

#include "wire/config_read.h"

#define AT(type, member) offsetof(struct type, member)

// Words

static const char *api_word(int i)
{
    return i < API_COUNT ? api_name((enum api)i) : NULL;
}

const char *surface_word(int i)
{
    static const char *const words[] = {"chat", "completions", "embeddings", "responses",
                                        "messages"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

static const char *format_word(int i)
{
    static const char *const words[] = {"text", "json"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

static const char *level_word(int i)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

// serve

bool read_address(struct reader *r, const struct yaml_node *node, struct str *out_host,
                  int32_t *out_port)
{
    static const char expected[] = "HOST:PORT such as 127.0.0.1:8080 or [::1]:8080";
    if (!is_scalar(r, node, expected))
        return false;
    struct str host = node->text, port = node->text;
    size_t colon = host.n;
    while (colon && host.p[colon - 1] != ':')
        colon--;
    if (colon) {
        port = str_skip(port, colon);
        host.n = colon - 1;
    } else {
        host = *out_host;  // only a port
    }
    bool brackets = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
    if (brackets)
        host = (struct str){host.p + 1, host.n - 2};
    int64_t number;
    bool ipv6 = memchr(host.p ? host.p : "", ':', host.n) != NULL;
    if (!host.n || ipv6 != brackets || !str_to_i64(port, &number) || number < 0 || number > 65535) {
        bad_value(r, node, "is not an address to listen at", expected);
        return false;
    }
    *out_host = host;
    *out_port = (int32_t)number;
    return true;
}

static void read_listen(struct reader *r, const struct yaml_node *node, void *object)
{
    struct serve_config *c = object;
    if (read_address(r, node, &c->host, &c->port))
        c->place = node->place;
}

static void read_policy(struct reader *r, const struct yaml_node *node, void *object)
{
    struct serve_config *c = object;
    if (!is_scalar(r, node, "text"))
        return;
    c->policy = node->text;  // the names are known to route: load_check_policy() looks
    c->policy_place = node->place;
}

static const struct field log_fields[] = {
    {"format", KIND_CHOICE, AT(serve_config, log_format), .word = format_word, .fallback = "text",
     .meaning = "how a line of the log is written"},
    {"level", KIND_CHOICE, AT(serve_config, log_level), .word = level_word, .fallback = "info",
     .meaning = "the least important line that is written"},
    {"file", KIND_TEXT, AT(serve_config, log_file), .shape = "path of a file",
     .fallback = "standard error",
     .meaning =
         "where lines are added; SIGUSR1 opens it anew by its name, after it was moved away"},
    {.key = NULL},
};

static const char *durability_word(int i)
{
    static const char *const words[] = {"process", "disk"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

static const char *on_full_word(int i)
{
    static const char *const words[] = {"serve", "refuse"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

static const struct field ledger_fields[] = {
    {"durability", KIND_CHOICE, AT(serve_config, ledger_durability), .word = durability_word,
     .fallback = "process",
     .meaning = "what no row is lost by: `process` a crash of caudal, `disk` a power cut too, for "
                "which each call waits until its row is on the disk"},
    {"on_full", KIND_CHOICE, AT(serve_config, ledger_on_full), .word = on_full_word,
     .fallback = "serve",
     .meaning = "while the disk has no room: `serve` answers and counts what it could not write, "
                "`refuse` answers 503"},
    {"retain", KIND_UNIT_I64, AT(serve_config, ledger_retain_us), .unit = UNIT_DURATION,
     .fallback = "for ever", .meaning = "how long rows are kept before they become sums by day"},
    {.key = NULL},
};

static const struct field serve_limit_fields[] = {
    {"head", KIND_UNIT_I64, AT(serve_config, head_bytes), .unit = UNIT_BYTES, .lo = 1024, .hi = 1e9,
     .fallback = "32 KiB", .meaning = "size of a request's head"},
    {"body", KIND_UNIT_I64, AT(serve_config, body_bytes), .unit = UNIT_BYTES, .lo = 1024,
     .hi = 1e12, .fallback = "20 MiB", .meaning = "size of a request's body"},
    {"answer", KIND_UNIT_I64, AT(serve_config, answer_bytes), .unit = UNIT_BYTES, .lo = 1024,
     .hi = 1e12, .fallback = "64 MiB", .meaning = "size of an answer that is not streamed"},
    {"head_time", KIND_UNIT_I64, AT(serve_config, head_us), .unit = UNIT_DURATION,
     .fallback = "15 s", .meaning = "how long a client may take to send a head"},
    {"body_time", KIND_UNIT_I64, AT(serve_config, body_us), .unit = UNIT_DURATION,
     .fallback = "60 s", .meaning = "how long a client may take to send a body"},
    {"idle", KIND_UNIT_I64, AT(serve_config, idle_us), .unit = UNIT_DURATION, .fallback = "75 s",
     .meaning = "how long a connection may stay open between requests"},
    {"write_time", KIND_UNIT_I64, AT(serve_config, write_us), .unit = UNIT_DURATION,
     .fallback = "60 s",
     .meaning = "how long a client may read nothing of an answer that waits for it"},
    {"connections", KIND_COUNT, AT(serve_config, connections), .lo = 1, .hi = 1e7,
     .fallback = "20000", .meaning = "open connections of clients"},
    {"shadows", KIND_COUNT, AT(serve_config, shadows), .lo = 1, .hi = 100000, .fallback = "32",
     .meaning = "copies for shadow pools at once"},
    {"headers", KIND_COUNT, AT(serve_config, headers), .lo = 4, .hi = 10000, .fallback = "100",
     .meaning = "header lines of a request"},
    {"pipelined", KIND_COUNT, AT(serve_config, pipelined), .lo = 1, .hi = 10000, .fallback = "16",
     .meaning = "requests of one connection that may wait behind its first"},
    {"stream_buffer", KIND_UNIT_I64, AT(serve_config, stream_buffer_bytes), .unit = UNIT_BYTES,
     .lo = 1024, .hi = 1e12, .fallback = "256 KiB",
     .meaning = "what may wait in front of a slow reader of a stream"},
    {.key = NULL},
};

static const struct field attempt_fields[] = {
    {"max", KIND_COUNT, AT(serve_config, attempts), .lo = 1, .hi = 100, .fallback = "4",
     .meaning = "calls of suppliers for one request, the first included"},
    {"retry_budget", KIND_UNIT, AT(serve_config, retry_budget), .unit = UNIT_SHARE,
     .fallback = "20 %", .meaning = "further attempts over requests, of the whole process"},
    {"stand_in_after", KIND_UNIT_I64, AT(serve_config, stand_in_after_us), .unit = UNIT_DURATION,
     .fallback = "3 s",
     .meaning = "how long the model itself is waited for before a stand-in of its group is asked"},
    {"silence", KIND_UNIT_I64, AT(serve_config, silence_us), .unit = UNIT_DURATION,
     .fallback = "15 s",
     .meaning = "how long a stream's head is held back for its first content; then comments keep "
                "the client waiting"},
    {"patience", KIND_UNIT_I64, AT(serve_config, patience_us), .unit = UNIT_DURATION,
     .fallback = "3 s",
     .meaning = "how long an attempt may at least go without content, however fast its pool is "
                "known to be, before another pool that could take the request gets it; "
                "docs/routing.md has the rule"},
    {"deadline", KIND_UNIT_I64, AT(serve_config, deadline_us), .unit = UNIT_DURATION,
     .fallback = "10 min", .meaning = "of a request that states none and whose class has none"},
    {.key = NULL},
};

static const struct field breaker_fields[] = {
    {"failures", KIND_COUNT, AT(serve_config, breaker_failures), .lo = 1, .hi = 10000,
     .fallback = "5", .meaning = "failures in a row that open the breaker of a pool and model"},
    {"open", KIND_UNIT_I64, AT(serve_config, breaker_open_us), .unit = UNIT_DURATION,
     .fallback = "5 s",
     .meaning = "how long it stays open the first time; doubles each time after"},
    {"open_max", KIND_UNIT_I64, AT(serve_config, breaker_open_us_max), .unit = UNIT_DURATION,
     .fallback = "60 s", .meaning = "the longest it stays open"},
    {.key = NULL},
};

const struct field serve_fields[] = {
    {"listen", KIND_CUSTOM, .read = read_listen, .shape = "`HOST:PORT`",
     .fallback = "127.0.0.1:8080",
     .meaning = "where clients come in; an address that is not loopback needs tenants with keys"},
    {"tls", KIND_CUSTOM, .read = read_serve_tls, .sub = tls_fields, .shape = "map",
     .meaning = "HTTPS for clients; without it they speak HTTP"},
    {"policy", KIND_CUSTOM, .read = read_policy, .shape = "text", .fallback = "caudal",
     .meaning = "how a pool is chosen; docs/routing.md has the names"},
    {"threads", KIND_COUNT, AT(serve_config, threads), .hi = 1024, .fallback = "one per core",
     .meaning = "event loops"},
    {"region", KIND_TEXT, AT(serve_config, region),
     .meaning = "where users are unless their tenant says otherwise"},
    {"default_class", KIND_REF, AT(serve_config, default_class), .unit = SECTION_CLASSES,
     .meaning = "class of a request that names none"},
    {"cors", KIND_TEXTS, AT(serve_config, cors_origins), AT(serve_config, n_cors_origins),
     .meaning = "origins of web pages that may call"},
    {"state", KIND_TEXT, AT(serve_config, state), .shape = "path of a folder",
     .meaning = "folder for logs of engines and the ledger"},
    {"admin", KIND_SUB, .sub = admin_fields,
     .meaning = "where operators come in; without it nobody does"},
    {"metrics", KIND_CUSTOM, .read = read_metrics, .sub = metrics_fields,
     .shape = "`clients`, `open`, or a map", .fallback = "clients",
     .meaning = "who reads `/metrics`: whoever has a client's key (everybody where none has one), "
                "whoever reaches `listen`, or the holders of keys of its own"},
    {"ledger", KIND_SUB, .sub = ledger_fields,
     .meaning = "the record of every call, kept in the state folder when that is said"},
    {"log", KIND_SUB, .sub = log_fields, .meaning = "what is written about the work"},
    {"traces", KIND_CUSTOM, .read = read_traces, .sub = traces_fields, .shape = "map",
     .meaning = "spans of sampled requests, for OpenTelemetry; without it none are made"},
    {"events", KIND_TEXT, AT(serve_config, events), .shape = "path of a file",
     .meaning = "all that the routing core is told and what it answers, for "
                "`caudal replay --decisions`; without it nothing is written"},
    {"events_size", KIND_UNIT_I64, AT(serve_config, events_bytes), .unit = UNIT_BYTES, .lo = 4096,
     .fallback = "1 GiB", .meaning = "that file holds no more; then it ends, and serving goes on"},
    {"limits", KIND_SUB, .sub = serve_limit_fields,
     .meaning = "bounds on everything a client can make grow"},
    {"attempts", KIND_SUB, .sub = attempt_fields, .meaning = "how hard one request is tried"},
    {"drain", KIND_UNIT_I64, AT(serve_config, drain_us), .unit = UNIT_DURATION, .fallback = "30 s",
     .meaning = "how long a stop waits for requests in flight"},
    {"breaker", KIND_SUB, .sub = breaker_fields, .meaning = "when a failing pool is left alone"},
    {"carbon_price", KIND_UNIT, AT(serve_config, carbon_nusd_per_g), .unit = UNIT_CARBON_PRICE,
     .fallback = "none",
     .meaning = "what carbon counts for where routing weighs costs: the carbon of "
                "the sites' power at this price"},
    {"prices", KIND_TEXT, AT(serve_config, prices), .shape = "path of a file", .fallback = "none",
     .meaning =
         "what a plan says commitments, slots and shares are worth; the policy `caudal` routes "
         "by it until it ends, and a reload reads it again"},
    {"band", KIND_UNIT, AT(serve_config, band), .unit = UNIT_SHARE, .fallback = "2 %",
     .meaning = "within this share above the least cost, the plan's shares, else `weight`, and "
                "chance decide"},
    {.key = NULL},
};

// classes

// [[0 ms, 1 USD/h], [400 ms, 8 USD/h]], or one rate that holds from the start.
static void read_curve(struct reader *r, const struct yaml_node *node, struct value_curve *curve)
{
    static const char expected[] = "steps such as [[0 ms, 1 USD/h], [400 ms, 8 USD/h]]";
    double usd_per_hour;
    struct value_step *steps = read_new(r, struct value_step, node->n);
    if (!steps)
        return;
    int32_t n = 0, i = 0;
    if (node->kind == YAML_SCALAR) {
        if (!read_unit(r, node, UNIT_MONEY_RATE, &usd_per_hour))
            return;
        steps[n++] = (struct value_step){0, usd_per_hour * 1e9 / 3.6e9};
    } else if (node->kind == YAML_MAP) {
        bad_value(r, node, "is not a list of steps", expected);
        return;
    }
    for (const struct yaml_node *c = node->first; c; c = c->next) {
        struct value_step *step = &steps[n];
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        if (c->broken)
            ;
        else if (c->kind != YAML_LIST || c->n != 2)
            bad_value(r, c, "is not a step", expected);
        else if (!c->first->broken && !c->last->broken &&
                 read_i64(r, c->first, UNIT_DURATION, 1, &step->from_us) &&
                 read_unit(r, c->last, UNIT_MONEY_RATE, &usd_per_hour)) {
            step->nusd_per_us = usd_per_hour * 1e9 / 3.6e9;
            if (step->from_us < 0 || usd_per_hour < 0)
                bad_value(r, c, "is negative", expected);
            else if (n && step->from_us <= steps[n - 1].from_us)
                bad(r, c->place, "does not begin after the step before it, expected %s", expected);
            else
                n++;
        }
        LAST_STEP(r, entry);
    }
    *curve = (struct value_curve){steps, n};
}

static void read_ttft_value(struct reader *r, const struct yaml_node *node, void *object)
{
    read_curve(r, node, &((struct class *)object)->ttft_value);
}

static void read_per_token_value(struct reader *r, const struct yaml_node *node, void *object)
{
    read_curve(r, node, &((struct class *)object)->per_token_value);
}

static const struct field time_value_fields[] = {
    {"ttft", KIND_CUSTOM, .read = read_ttft_value, .shape = "list of [from, money per time]",
     .meaning = "of waiting for the first token"},
    {"per_token", KIND_CUSTOM, .read = read_per_token_value,
     .shape = "list of [from, money per time]", .meaning = "of waiting for each further token"},
    {.key = NULL},
};

const struct field class_fields[] = {
    {"ttft", KIND_UNIT_I64, AT(class, ttft_us), .unit = UNIT_DURATION,
     .meaning = "target for the time to the first token"},
    {"per_token", KIND_UNIT_I64, AT(class, per_token_us), .unit = UNIT_DURATION,
     .meaning = "target for the time of each further token"},
    {"deadline", KIND_UNIT_I64, AT(class, deadline_us), .unit = UNIT_DURATION,
     .meaning = "from arrival to the end of the answer"},
    {"deferred", KIND_BOOL, AT(class, deferred), .fallback = "false",
     .meaning = "may wait, until near its deadline, for capacity that is paid for and not needed "
                "otherwise"},
    {"time_value", KIND_SUB, .sub = time_value_fields,
     .meaning = "what an hour of a user's waiting is worth, from each point on"},
    {"unserved", KIND_UNIT_I64, AT(class, unserved_nusd), .unit = UNIT_MONEY, .scale = 1000,
     .fallback = "never refused for its price", .meaning = "what not answering one request costs"},
    {.key = NULL},
};

// suppliers

static const struct field run_fields[] = {
    {"argv", KIND_TEXTS, AT(supplier, run.argv), AT(supplier, run.n_argv),
     .meaning = "the command; `${PORT}` stands for the port it shall listen at"},
    {"health", KIND_TEXT, AT(supplier, run.health), .shape = "path of a URL", .fallback = "/health",
     .meaning = "answers 200 once the engine is ready"},
    {"log", KIND_TEXT, AT(supplier, run.log), .shape = "path of a file",
     .fallback = "NAME.log in the state folder", .meaning = "where its output goes"},
    {"start", KIND_UNIT_I64, AT(supplier, run.start_us), .unit = UNIT_DURATION, .fallback = "120 s",
     .meaning = "how long it may take to become ready"},
    {"port", KIND_COUNT, AT(supplier, run.port), .hi = 65535, .fallback = "any free one",
     .meaning = "the port it shall listen at, itself or in its process group: another program "
                "there is not taken for it"},
    {.key = NULL},
};

static void read_run(struct reader *r, const struct yaml_node *node, void *object)
{
    if (node->kind == YAML_MAP)
        read_fields(r, node, run_fields, object);
    else
        read_field(r, node, &run_fields[0], object);
}

const struct field supplier_fields[] = {
    {"api", KIND_WORD, AT(supplier, api), .word = api_word, .fallback = "openai",
     .meaning = "the dialect it speaks"},
    {"url", KIND_URL, AT(supplier, url), .meaning = "what comes before the path after `/v1`"},
    {"key", KIND_SECRET, AT(supplier, key), .meaning = "sent as its credentials; never shown"},
    {"run", KIND_CUSTOM, .read = read_run, .sub = run_fields, .shape = "list of words, or a map",
     .meaning = "an engine that caudal starts and watches itself, instead of `url`"},
    {"ca_file", KIND_TEXT, AT(supplier, ca_file), .shape = "path of a file",
     .meaning = "PEM of the authorities to trust instead of the system's"},
    {"proxy", KIND_TEXT, AT(supplier, proxy), .shape = "`http://HOST:PORT` or `none`",
     .fallback = "what HTTPS_PROXY says", .meaning = "the proxy to go through"},
    {"insecure", KIND_BOOL, AT(supplier, insecure), .fallback = "false",
     .meaning = "do not verify its certificate: for tests on this machine only"},
    {"connect", KIND_UNIT_I64, AT(supplier, connect_us), .unit = UNIT_DURATION, .fallback = "5 s",
     .meaning = "how long a connection may take"},
    {"first_byte", KIND_UNIT_I64, AT(supplier, first_byte_us), .unit = UNIT_DURATION,
     .fallback = "60 s", .meaning = "how long the first content may take"},
    {"idle", KIND_UNIT_I64, AT(supplier, idle_us), .unit = UNIT_DURATION, .fallback = "60 s",
     .meaning = "the longest silence inside an answer"},
    {"surfaces", KIND_BITS, AT(supplier, surfaces), .word = surface_word,
     .fallback = "what its api has", .meaning = "the calls it answers"},
    {.key = NULL},
};

void supplier_finish(struct reader *r, const struct yaml_node *node, struct supplier *s)
{
    const struct yaml_node *run = yaml_get(node, STR("run"));
    if (!run || yaml_is_null(run) || run->broken)
        return;
    FIRST_STEP(r, entry, STR("run"), 0);
    bool port = false;
    size_t at;
    for (int32_t i = 0; i < s->run.n_argv; i++)
        port = port || str_find(s->run.argv[i], STR("${PORT}"), &at);
    if (s->url.n)
        bad(r, run->place, "stands beside url: caudal gives the engines it runs their own");
    else if (!s->run.n_argv)
        bad(r, run->place,
            "has no command, expected a list such as [llama-server, --port, "
            "\"${PORT}\"]");
    else if (!port)
        bad(r, run->place,
            "does not say where the port goes, expected \"${PORT}\" as (part of) "
            "a word");
    LAST_STEP(r, entry);
}

void read_supplier(struct reader *r, const struct yaml_node *node, struct supplier *s)
{
    read_fields(r, node, supplier_fields, s);
    supplier_finish(r, node, s);
}

// models and groups

static void read_kv(struct reader *r, const struct yaml_node *node, void *object)
{
    struct model *m = object;
    double v;
    struct str unit;
    if (node->kind == YAML_SCALAR && split_quantity(node->text, &v, &unit) &&
        str_ends(unit, STR("B"))) {
        if (read_unit(r, node, UNIT_BYTES, &v))
            m->kv_bytes_per_tok = v;
    } else if (read_number(r, node, &v)) {
        m->kv_bytes_per_tok = v;
    }
    if (m->kv_bytes_per_tok < 0)
        bad_value(r, node, "is negative", "0 or more");
}

static void read_created(struct reader *r, const struct yaml_node *node, void *object)
{
    int64_t us;
    struct model *m = object;
    if (node->kind == YAML_SCALAR && str_to_i64(node->text, &m->created_s))
        return;
    if (read_instant(r, node, &us))
        m->created_s = us / S(1);
}

const struct field model_fields[] = {
    {"parameters", KIND_NUMBER, AT(model, parameters), .meaning = "weights in all"},
    {"active", KIND_NUMBER, AT(model, active_parameters), .fallback = "all",
     .meaning = "weights that one token uses (mixture of experts)"},
    {"bytes_per_parameter", KIND_NUMBER, AT(model, bytes_per_parameter),
     .meaning = "2 for bf16, 1 for fp8, about 0.53 for mxfp4"},
    {"kv", KIND_CUSTOM, .read = read_kv, .shape = "a number of bytes, such as `72 KiB`",
     .meaning = "KV cache that one token of context takes"},
    {"layers", KIND_COUNT, AT(model, layers), .meaning = "layers"},
    {"experts", KIND_COUNT, AT(model, experts), .fallback = "none",
     .meaning = "experts of a layer (mixture of experts)"},
    {"experts_active", KIND_COUNT, AT(model, experts_active),
     .meaning = "and of them those that a token wakes"},
    {"kv_heads", KIND_COUNT, AT(model, kv_heads), .fallback = "any",
     .meaning = "heads of the KV cache, by which chips can share it; 1 for MLA"},
    {"context", KIND_COUNT, AT(model, context_tok),
     .meaning = "tokens of prompt and answer together, at most"},
    {"created", KIND_CUSTOM, .read = read_created, .shape = "a date, or seconds since 1970",
     .fallback = "when caudal was started", .meaning = "what `/v1/models` says"},
    {.key = NULL},
};

void read_group(struct reader *r, const struct yaml_node *node, struct group *group)
{
    static const struct field row = {"NAME", KIND_REFS, AT(group, models), AT(group, n_models),
                                     .unit = SECTION_MODELS};
    read_field(r, node, &row, group);
    for (int32_t i = 0; i < group->n_models; i++)
        for (int32_t j = 0; j < i; j++)
            if (group->models[i] == group->models[j]) {
                bad(r, node->place, "names the same model twice");
                return;
            }
}
