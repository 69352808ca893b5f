#include "wire/config.h"

#include "base/units.h"
#include "lib/test.h"

#include <inttypes.h>
#include <math.h>

// A file or two, an environment of four variables, one secret file.

struct load {
    struct arena a;
    struct portfolio p;
    struct problems problems;
    struct buf text;  // all problems, a line each
    enum err e;
};

static bool env_get(void *ctx, struct str name, struct str *value)
{
    static const char *const set[][2] = {{"OPENAI_API_KEY", "sk-verysecret"},
                                         {"MODEL", "/models/tiny.gguf"},
                                         {"EMPTY", ""},
                                         {"PORT", "1"}};
    (void)ctx;
    for (size_t i = 0; i < COUNTOF(set); i++)
        if (str_eq(name, str_of(set[i][0]))) {
            *value = str_of(set[i][1]);
            return true;
        }
    return false;
}

static enum err env_read(void *ctx, struct arena *a, struct str path, struct str *text,
                         struct diag *diag)
{
    (void)ctx;
    if (!str_eq(path, STR("conf/cerebras.key")))
        return diag_set(diag, ERR_SYSTEM, "No such file");
    *text = arena_str(a, STR("csk-fromfile\n"));
    return ERR_NONE;
}

static const struct config_env env = {NULL, env_get, env_read};

static void load_files(struct load *l, const char *const *texts, int32_t n, size_t limit)
{
    static const char *const names[] = {"conf/a.yaml", "conf/b.yaml"};
    struct config_file files[2] = {{{0}, {0}}};
    *l = (struct load){0};
    arena_init(&l->a, limit);
    problems_init(&l->problems, &l->a);
    for (int32_t i = 0; i < n; i++)
        files[i] = (struct config_file){str_of(names[i]), str_of(texts[i])};
    l->e = config_load(&l->p, &l->a, files, n, &env, &l->problems);
    buf_init(&l->text, 1 << 20);
    for (const struct problem *x = l->problems.first; x; x = x->next) {
        problem_print(&l->text, x);
        buf_lit(&l->text, "\n");
    }
    buf_add(&l->text, "", 1);  // so that it is a C string
}

static void load(struct load *l, const char *text)
{
    load_files(l, &text, 1, 16 << 20);
}

static void drop(struct load *l)
{
    buf_release(&l->text);
    arena_release(&l->a);
}

static const char *said(const struct load *l)
{
    return l->text.p;
}

static bool says(const struct load *l, const char *what)
{
    return strstr(said(l), what) != NULL;
}

#define POOLS "caudal: 1\npools:\n  p: {url: http://127.0.0.1:1, serves: [m]}\n"

static void the_smallest_file_is_enough(void)
{
    struct load l;
    load(&l, "caudal: 1\n"
             "pools:\n"
             "  openai: {api: openai, url: https://api.openai.com/v1, key: \"${OPENAI_API_KEY}\", "
             "serves: [gpt-5-mini]}\n");
    EXPECT(!l.e, "%s", said(&l));
    NEED(l.p.n_pools == 1 && l.p.n_suppliers == 1 && l.p.n_models == 1);
    const struct pool *pool = &l.p.pools[0];
    EXPECT(pool->supplier == 0 && str_eq(l.p.suppliers[0].name, STR("openai")), "own supplier");
    EXPECT(str_eq(pool->key, STR("sk-verysecret")), "the key is the pool's too");
    EXPECT(str_eq(pool->url, STR("https://api.openai.com/v1")), "and the url");
    EXPECT(str_eq(l.p.models[pool->serves[0].model].name, STR("gpt-5-mini")), "the model");
    EXPECT(!l.p.models[0].listed && !pool->serves[0].price.said, "not listed, no price");
    EXPECT(l.p.serve.port == 8080 && l.p.n_tenants == 0, "defaults");
    drop(&l);
}

#define HASH "sha256:00000000000000000000000000000000000000000000000000000000000000ff"

static void who_reads_the_metrics_is_said(void)
{
    static const struct {
        const char *said;
        enum metrics_access access;
        int32_t n_keys;
    } good[] = {
        {"{threads: 1}", METRICS_CLIENTS_KEY, 0},
        {"{metrics: clients}", METRICS_CLIENTS_KEY, 0},
        {"{metrics: open}", METRICS_OPEN, 0},
        {"{metrics: {keys: [\"" HASH "\"]}}", METRICS_OWN_KEY, 1},
        {"{metrics: {keys: {prometheus: \"" HASH "\"}}}", METRICS_OWN_KEY, 1},
    };
    struct load l;
    char text[400];
    for (size_t i = 0; i < COUNTOF(good); i++) {
        snprintf(text, sizeof text, POOLS "serve: %s\n", good[i].said);
        load(&l, text);
        EXPECT(!l.e && l.p.serve.metrics.access == good[i].access, "%s: %s", good[i].said,
               said(&l));
        EXPECT(l.p.serve.metrics.n_keys == good[i].n_keys, "%s", good[i].said);
        drop(&l);
    }
    load(&l, POOLS "serve: {metrics: closed}\n");
    EXPECT(says(&l, "serve.metrics: does not say who may read the metrics, got \"closed\", "
                    "expected `clients`, `open`, or {keys: [...]}"),
           "%s", said(&l));
    drop(&l);
    load(&l, POOLS "serve: {metrics: {keys: [sk-plain]}}\n");
    EXPECT(says(&l, "serve.metrics.keys[1]: is not the hash of a key"), "%s", said(&l));
    drop(&l);
}

static void whole_numbers_are_whole(void)
{
    struct load l;
    load(&l, POOLS "serve: {threads: 2.5, limits: {connections: many, headers: 64k}}\n");
    EXPECT(says(&l, "serve.threads: is not a whole number below two thousand million, got \"2.5\", "
                    "expected a count"),
           "%s", said(&l));
    EXPECT(says(&l, "serve.limits.connections: is not a whole number, got \"many\", expected a "
                    "whole number such as 16 or 64k"),
           "%s", said(&l));
    EXPECT(says(&l, "serve.limits.headers: is out of bounds, got \"64k\", "
                    "expected 4 to 10000"),
           "%s", said(&l));
    EXPECT(l.problems.errors == 3, "%d: %s", l.problems.errors, said(&l));
    drop(&l);
}

static void all_problems_are_told_at_once_with_place_and_path(void)
{
    struct load l;
    load(&l, "caudal: 2\n"
             "serve: {polcy: x, listen: nowhere}\n"
             "pools:\n"
             "  a: {api: openia, url: https://x, limits: {in_flight: -1, requests: 9 MW}}\n"
             "  b: {supplier: a1, serves: [m]}\n"
             "groups: {g: [mm]}\n");
    EXPECT(l.e == ERR_INVALID, "%s", err_name(l.e));
    EXPECT(says(&l, "conf/a.yaml:1:9: caudal: "), "%s", said(&l));
    EXPECT(says(&l, "conf/a.yaml:2:9: serve.polcy: is not a known key here, did you mean "
                    "\"policy\"?"),
           "%s", said(&l));
    EXPECT(says(&l, ":2:27: serve.listen: is not an address to listen at, got \"nowhere\""), "%s",
           said(&l));
    EXPECT(says(&l, "pools.a.api: is not known, got \"openia\", did you mean \"openai\"?"), "%s",
           said(&l));
    EXPECT(says(&l, "pools.a.limits.in_flight: is negative, got \"-1\", expected 0 or more"), "%s",
           said(&l));
    EXPECT(says(&l, "pools.a.limits.requests: "), "%s", said(&l));
    EXPECT(says(&l, "pools.b.supplier: is not known"), "%s", said(&l));
    EXPECT(says(&l, "groups.g[1]: is not known, got \"mm\""), "%s", said(&l));
    EXPECT(l.problems.errors == 8, "%d: %s", l.problems.errors, said(&l));
    drop(&l);
}

static void secrets_are_in_no_message(void)
{
    static const char *const files[] = {
        "caudal: 1\npools: {p: {url: https://x, key: [sk-verysecret], serves: [m]}}\n",
        "caudal: 1\npools: {p: {url: https://x, kye: sk-verysecret, serves: [m]}}\n",
        "caudal: 1\npools: {p: {url: sk-verysecret, key: https://x, serves: [m]}}\n",
        "caudal: 1\npools: {p: {url: 'https://me:sk-verysecret@:1/v1', serves: [m]}}\n",
        "caudal: 1\npools: {p: {url: 'https://h/v1?key=sk-verysecret', serves: [m]}}\n",
        "caudal: 1\npools: {p: {url: https://x, chips: \"${OPENAI_API_KEY}\", serves: [m]}}\n",
        "caudal: 1\npools: {p: {url: https://x, site: \"${OPENAI_API_KEY}\", serves: [m]}}\n",
        "caudal: 1\npools: {p: {url: https://x, connect: \"${OPENAI_API_KEY}\", serves: [m]}}\n",
        "caudal: 1\npools: {p: {url: https://x, api: \"${OPENAI_API_KEY}\", serves: [m]}}\n",
        "caudal: 1\npools: {p: {url: https://x, enabled: \"${OPENAI_API_KEY}\"}}\n",
        "caudal: 1\nserve: {listen: \"${OPENAI_API_KEY}\"}\n" POOLS,
        "caudal: 1\ntenants: {t: {keys: [sk-verysecret]}}\n" POOLS,
        "caudal: 1\ntenants: {t: {budget: \"${OPENAI_API_KEY}\"}}\n" POOLS,
        "caudal: 1\nserve: {limits: {body: \"${OPENAI_API_KEY}\"}}\n" POOLS,
    };
    for (size_t i = 0; i < COUNTOF(files); i++) {
        struct load l;
        load(&l, files[i]);
        EXPECT(l.e == ERR_INVALID, "%zu is wrong: %s", i, said(&l));
        EXPECT(!says(&l, "verysecret"), "%zu: %s", i, said(&l));
        drop(&l);
    }
}

static void a_secret_that_would_end_its_header_is_refused(void)
{
    struct load l;
    load(&l, "caudal: 1\npools:\n  a: {api: openai, url: 'http://x/v1', serves: [m], "
             "key: \"abc\\r\\nX-Evil: 1\"}\n");
    EXPECT(l.e && says(&l, "3:58: pools.a.key: holds a line break"), "%s", said(&l));
    EXPECT(!says(&l, "abc"), "%s", said(&l));
    drop(&l);
}

static void secrets_are_listed_to_be_hidden(void)
{
    struct load l;
    load(&l, "caudal: 1\n"
             "pools:\n"
             "  a: {url: 'https://me:pass1234@h/v1', key: !file cerebras.key, serves: [m]}\n"
             "  b: {url: https://h, key: sk-inline, serves: [m], proxy: \"${OPENAI_API_KEY}\"}\n");
    EXPECT(!l.e, "%s", said(&l));
    EXPECT(str_eq(l.p.pools[0].key, STR("csk-fromfile")), "read, without its line end");
    struct buf out;
    buf_init(&out, 1 << 10);
    EXPECT(secrets_hide(&out, &l.p,
                        STR("1 csk-fromfile 2 sk-inline 3 me:pass1234 4 sk-verysecret 5 pass1234")),
           "fits");
    EXPECT(str_eq(buf_str(&out), STR("1 *** 2 *** 3 *** 4 *** 5 ***")), STR_FMT,
           STR_ARG(buf_str(&out)));
    buf_release(&out);
    drop(&l);
}

static void here_is_the_folder_of_the_file(void)
{
    struct load l;
    load(&l, "caudal: 1\npools:\n"
             "  a: {api: llama.cpp, run: [\"${HERE}/../engine\", \"${PORT}\"], serves: [m]}\n");
    EXPECT(!l.e, "%s", said(&l));
    EXPECT(str_eq(l.p.suppliers[0].run.argv[0], STR("conf/../engine")), STR_FMT,
           STR_ARG(l.p.suppliers[0].run.argv[0]));
    drop(&l);
}

static void references_are_expanded_everywhere_but_the_port_of_an_engine(void)
{
    struct load l;
    load(&l, "caudal: 1\n"
             "suppliers:\n"
             "  e: {api: llama.cpp, run: [llama-server, --port, \"${PORT}\", -m, \"${MODEL}\", "
             "\"x${NONE:-y}z${EMPTY:-e}$${q}\"]}\n"
             "pools: {p: {supplier: e, serves: [\"${PORT}\"]}}\n");
    EXPECT(!l.e, "%s", said(&l));
    const struct engine_config *run = &l.p.suppliers[0].run;
    NEED(run->n_argv == 6);
    EXPECT(str_eq(run->argv[2], STR("${PORT}")), "stays");
    EXPECT(str_eq(run->argv[4], STR("/models/tiny.gguf")), "expanded");
    EXPECT(str_eq(run->argv[5], STR("xyze${q}")), STR_FMT, STR_ARG(run->argv[5]));
    EXPECT(str_eq(l.p.models[0].name, STR("1")), "elsewhere PORT is a name like others");
    drop(&l);
    load(&l, "caudal: 1\npools: {p: {url: \"${NOWHERE}\", key: \"${\", serves: [m]}}\n");
    EXPECT(says(&l, "${NOWHERE} is not set"), "%s", said(&l));
    EXPECT(l.problems.errors == 2, "no errors after the first of a value: %s", said(&l));
    drop(&l);
}

static void engines_must_say_where_the_port_goes(void)
{
    struct load l;
    load(&l, "caudal: 1\npools: {p: {run: [engine], serves: [m]}, q: {run: [e, '${PORT}'], "
             "url: http://h, serves: [m]}}\n");
    EXPECT(says(&l, "pools.p.run: does not say where the port goes"), "%s", said(&l));
    EXPECT(says(&l, "pools.q.run: stands beside url"), "%s", said(&l));
    drop(&l);
    load(&l,
         "caudal: 1\npools: {p: {run: {argv: [e, '--port=${PORT}'], start: 9 s}, serves: [m]}}\n");
    EXPECT(!l.e && l.p.suppliers[0].run.start_us == S(9), "%s", said(&l));
    drop(&l);
}

static void files_are_merged(void)
{
    const char *two[] = {
        POOLS "serve: {threads: 2, log: {level: info}}\n",
        "caudal: 1\nserve: {log: {format: json}, threads: 2}\nmodels: {m: {context: 8k}}\n"
        "---\nclasses: {c: {}}\n"};
    struct load l;
    load_files(&l, two, 2, 16 << 20);
    EXPECT(!l.e, "%s", said(&l));
    EXPECT(l.p.serve.threads == 2 && str_eq(l.p.serve.log_format, STR("json")), "both");
    EXPECT(l.p.n_classes == 1 && l.p.models[0].context_tok == 8000, "second file");
    drop(&l);
    two[1] = "serve: {threads: 3}\n";
    load_files(&l, two, 2, 16 << 20);
    EXPECT(says(&l, "conf/b.yaml:1:18: serve.threads: is said twice and differs, here and at "
                    "conf/a.yaml:4:18"),
           "%s", said(&l));
    drop(&l);
}

static void duplicates_name_both_places(void)
{
    struct load l;
    load(&l, POOLS "serve: {threads: 1, threads: 2}\n");
    EXPECT(says(&l, ":4:21: serve.threads: stands twice, first at line 4, column 9"), "%s",
           said(&l));
    drop(&l);
}

static void serves_has_three_forms(void)
{
    struct load l;
    load(&l, "caudal: 1\n"
             "pools:\n"
             "  a: {url: http://h, serves: [m1, {m2: {as: x, price: {input: 1 USD/Mtok, output: 2 "
             "USD/Mtok, cached_input: 0.1 USD/Mtok}, surfaces: [chat]}}, m3]}\n"
             "  b: {supplier: a, serves: {m2: , m4: name-there}}\n"
             "  c: {supplier: a, serves: m1}\n");
    EXPECT(!l.e, "%s", said(&l));
    NEED(l.p.n_models == 4 && l.p.pools[0].n_serves == 3 && l.p.pools[1].n_serves == 2);
    const struct serving *s = &l.p.pools[0].serves[1];
    EXPECT(str_eq(s->as, STR("x")) && s->price.said && s->surfaces == SURFACE_CHAT, "detail");
    EXPECT(s->price.input == 1000000000 && s->price.cached_input == 100000000, "%" PRId64,
           s->price.input);
    EXPECT(s->price.cache_write == -1, "as input");
    EXPECT(str_eq(l.p.pools[1].serves[1].as, STR("name-there")), "short for as");
    drop(&l);
    load(&l, "caudal: 1\npools: {a: {url: http://h, serves: [m, m]}}\n");
    EXPECT(says(&l, "pools.a.serves.m: is served twice"), "%s", said(&l));
    drop(&l);
}

static void contracts_are_read_in_their_units(void)
{
    struct load l;
    load(&l, POOLS
         "suppliers: {s: {}}\n"
         "contracts:\n"
         "  whole:\n"
         "    supplier: s\n"
         "    status: signed\n"
         "    value: {at_least: 10 GUSD}\n"
         "    signed: 2026-01-14\n"
         "    term: 7 y\n"
         "    purpose: [inference]\n"
         "    commitment: {amount: 250 MW-months, per: month, beyond: never}\n"
         "    ceiling: 750 MW\n"
         "    phases:\n"
         "      - {from: 2027-12-31, adds: 250 MW, status: assumed}\n"
         "      - {from: 2026-12-31, adds: [250 MW, 1k accelerators]}\n"
         "      - {adds: 50 PTU, between: [1 MW, 2 MW], load: it}\n"
         "      - {from: 2028-01-01, adds: 1M tok/s}\n"
         "    options: [{name: more, by: 2027-01-01, adds: 10k accelerators, price: 1 MUSD}]\n"
         "  part: {part_of: whole, value: 3 GUSD, commitment: {amount: 5 Gtok, per: year, beyond: "
         "0.5 USD/Mtok}}\n"
         "  hours: {commitment: {amount: 1000 accelerator-hours, beyond: 2 USD/h}}\n"
         "  money: {commitment: {amount: 10 GUSD, per: quarter}}\n");
    EXPECT(!l.e, "%s", said(&l));
    NEED(l.p.n_contracts == 4);
    const struct contract *c = &l.p.contracts[0];
    EXPECT(c->value_uusd == 10000000000000000 && c->value_is_bound, "%" PRId64, c->value_uusd);
    EXPECT(c->from_us == c->signed_us &&
               c->until_us == civil_us((struct civil){2033, 1, 14, 0, 0, 0}),
           "seven years to the day");
    EXPECT(c->purpose == PURPOSE_INFERENCE && c->power_ceiling_w == 750e6, "ceiling");
    EXPECT(c->commitment.amount == 250 && c->commitment.unit == COMMIT_MW_MONTHS &&
               c->commitment.per == PERIOD_MONTH && c->commitment.beyond_never,
           "%g", c->commitment.amount);
    NEED(c->n_phases == 4);
    EXPECT(c->phases[0].adds_ptu == 50 && c->phases[0].max_w == 2e6 && c->phases[0].load_is_it,
           "sorted: the one that begins with the contract is first");
    EXPECT(c->phases[1].adds_w == 250e6 && c->phases[1].adds_accelerators == 1000 &&
               c->phases[1].status == STATUS_SIGNED,
           "two amounts, the contract's status");
    EXPECT(c->phases[2].status == STATUS_ASSUMED, "its own status");
    EXPECT(c->phases[3].adds_token_rate == 1e6, "%g", c->phases[3].adds_token_rate);
    EXPECT(c->n_options == 1 && c->options[0].adds_accelerators == 10000, "option");
    c = &l.p.contracts[1];
    EXPECT(c->part_of == 0 && c->status == STATUS_ASSUMED && c->until_us == NEVER, "part");
    EXPECT(c->commitment.amount == 5e9 && fabs(c->commitment.beyond_nusd_per_unit - 500) < 1e-9,
           "%g", c->commitment.beyond_nusd_per_unit);
    EXPECT(l.p.contracts[2].commitment.beyond_nusd_per_unit == 2e9, "an hour for 2 USD");
    EXPECT(l.p.contracts[3].commitment.amount == 10e9, "USD");
    drop(&l);
    load(&l, POOLS "contracts: {a: {part_of: b}, b: {part_of: a}}\n");
    EXPECT(says(&l, "is part of itself"), "%s", said(&l));
    drop(&l);
}

static void classes_sites_and_chips_are_read_in_their_units(void)
{
    struct load l;
    load(&l, POOLS
         "classes:\n"
         "  chat: {ttft: 400 ms, per_token: 15 ms, unserved: 0.05 USD, time_value: {ttft: [[0 ms, "
         "1 USD/h], [400 ms, 8 USD/h]], per_token: 3.6 USD/h}}\n"
         "sites: {s: {pue: 1.2, energy: 62 USD/MWh, carbon: 402 g/kWh, round_trip: {us: 12 ms}}}\n"
         "chips: {c: {memory: 80 GB, power: 700 W, points: [{model: m, step: 0.5 ms, batch: 32, "
         "kv: 700k tok, basis: measured}]}}\n"
         "models: {m: {parameters: 120G, kv: 72 KiB, created: 2025-08-05}}\n");
    EXPECT(!l.e, "%s", said(&l));
    const struct class *c = &l.p.classes[0];
    EXPECT(c->ttft_us == MS(400) && c->deadline_us == NEVER && c->unserved_nusd == 50000000,
           "%" PRId64, c->unserved_nusd);
    EXPECT(c->ttft_value.n == 2 && c->ttft_value.steps[1].from_us == MS(400), "curve");
    EXPECT(fabs(value_curve_cost(&c->per_token_value, S(1)) - 1e6) < 1, "0.001 USD a second");
    const struct site *s = &l.p.sites[0];
    EXPECT(fabs(s->energy_nusd_per_joule - 62e9 / 3.6e9) < 1e-9, "%g", s->energy_nusd_per_joule);
    EXPECT(fabs(s->carbon_g_per_joule - 402 / 3.6e6) < 1e-12, "%g", s->carbon_g_per_joule);
    EXPECT(s->n_round_trips == 1 && s->round_trips[0].us == MS(12), "round trip");
    const struct point *x = &l.p.chips[0].points[0];
    EXPECT(x->model == 0 && x->step_us == 500 && x->batch == 32 && x->kv_tok == 700e3 &&
               x->basis == BASIS_MEASURED,
           "point");
    EXPECT(l.p.models[0].kv_bytes_per_tok == 72 * 1024 && l.p.models[0].parameters == 120e9 &&
               l.p.models[0].listed && l.p.models[0].created_s == 1754352000,
           "model");
    drop(&l);
}

static void tenants_and_demand_are_read(void)
{
    struct load l;
    load(&l, POOLS
         "classes: {c: {}}\n"
         "tenants:\n"
         "  a: {keys: [sha256:00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff], "
         "budget: 500 USD/day, models: [m], expose: [decision], limits: {tokens: 60k/min}}\n"
         "  b: {budget: {month: 1 kUSD, mode: hard}, regions: [eu], passthrough: p}\n"
         "demand: {d: {tenant: a, model: m, class: c, rate: 72/h, prompt: 1k tok, output: 10, "
         "hours: "
         "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,5]}}\n");
    EXPECT(!l.e, "%s", said(&l));
    const struct tenant *t = l.p.tenants;
    EXPECT(t[0].n_keys == 1 && t[0].keys[0].sha256[1] == 0xff && t[0].n_models == 1 &&
               t[0].n_classes == -1,
           "a");
    EXPECT(t[0].allowance.budget_day_nusd == 500000000000 && !t[0].allowance.budget_hard &&
               t[0].expose_decision,
           "%" PRId64, t[0].allowance.budget_day_nusd);
    EXPECT(fabs(t[0].allowance.tokens_per_s - 1000) < 1e-9, "%g", t[0].allowance.tokens_per_s);
    EXPECT(t[1].allowance.budget_day_nusd == -1 && t[1].allowance.budget_month_uusd == 1000000000 &&
               t[1].allowance.budget_hard && t[1].n_regions == 1 && t[1].passthrough == 0,
           "b");
    const struct demand *d = l.p.demands;
    EXPECT(fabs(d->rate_per_s - 0.02) < 1e-12 && d->prompt_tok == 1000 && d->hours[23] == 24 &&
               d->tenant == 0,
           "%g", d->hours[23]);
    drop(&l);
}

// Certificates come with their keys; the first is the one without a name.
static void certificates_are_read(void)
{
    static const char file[] =
        "caudal: 1\npools: {a: {api: openai, url: 'https://a.example/v1', serves: [m]}}\n"
        "serve: {log: {file: /l}, tls: {certificate: c, key: k, minimum: 1.3,\n"
        "  named: [{certificate: c2, key: k2}]}, admin: {tls: {certificate: d, key: e,\n"
        "  client_ca: f}}}\n";
    struct load l;
    load(&l, file);
    const struct serve_config *s = &l.p.serve;
    EXPECT(!l.e && s->tls.on && s->tls.n_identities == 2, "%s", said(&l));
    NEED(s->tls.n_identities == 2);
    EXPECT(str_eq(s->tls.identities[0].key, STR("k")), "the first");
    EXPECT(str_eq(s->tls.identities[1].certificate, STR("c2")), "the second");
    EXPECT(str_eq(s->tls.minimum, STR("1.3")) && str_eq(s->log_file, STR("/l")), "the rest");
    EXPECT(s->admin.tls.on && str_eq(s->admin.tls.client_ca, STR("f")), "of operators");
    drop(&l);

    static const struct {
        const char *tls, *says;
    } bad[] = {
        {"{certificate: c}", "serve.tls: has no key"},
        {"{key: k}", "serve.tls: has no certificate"},
        {"{certificate: c, key: k, minimum: 1.1}", "serve.tls.minimum"},
        {"{certificate: c, key: k, named: [{key: x}]}", "serve.tls.named[1]: has no certificate"},
        {"yes", "serve.tls"},
    };
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        char text[400];
        snprintf(text, sizeof text,
                 "caudal: 1\npools: {a: {api: openai, url: 'https://a.example/v1', serves: [m]}}\n"
                 "serve: {tls: %s}\n",
                 bad[i].tls);
        load(&l, text);
        EXPECT(l.e && strstr(said(&l), bad[i].says), "%s: %s", bad[i].tls, said(&l));
        drop(&l);
    }
}

static void deferred_work_has_a_deadline(void)
{
    struct load l;
    load(&l, POOLS "classes: {batch: {deadline: 24 h, deferred: true}, chat: {}}\n");
    EXPECT(!l.e && l.p.classes[0].deferred && !l.p.classes[1].deferred, "%s", said(&l));
    drop(&l);
    load(&l, POOLS "classes: {batch: {deferred: true}}\n");
    EXPECT(l.e && strstr(said(&l), "classes.batch: is deferred without an end"), "%s", said(&l));
    drop(&l);
    load(&l, POOLS "classes: {batch: {deadline: 24 h, deferred: later}}\n");
    EXPECT(l.e && strstr(said(&l), "classes.batch.deferred"), "%s", said(&l));
    drop(&l);
}

static void a_pool_without_a_supplier_is_refused(void)
{
    struct load l;
    load(&l, "caudal: 1\nsuppliers: {s: {url: http://s}}\ncontracts: {k: {supplier: s}, n: {}}\n"
             "pools: {a: {serves: [m]}, b: {contract: k}, c: {contract: n}, s: {api: vllm}, d: "
             "{supplier: s, api: vllm}, e: {contract: k, url: http://e}}\n");
    EXPECT(says(&l, "pools.a: has no supplier, expected supplier:"), "%s", said(&l));
    EXPECT(says(&l, "pools.c: has no supplier, and its contract has none"), "%s", said(&l));
    EXPECT(says(&l, "pools.s: brings a supplier of its own"), "%s", said(&l));
    EXPECT(says(&l, "pools.d.api: belongs to the supplier"), "%s", said(&l));
    EXPECT(l.problems.errors == 4, "each once: %s", said(&l));
    EXPECT(l.p.pools[1].supplier == 0 && str_eq(l.p.pools[1].url, STR("http://s")), "b");
    EXPECT(l.p.pools[5].supplier == 0 && str_eq(l.p.pools[5].url, STR("http://e")), "e");
    drop(&l);
}

static void traces_are_read(void)
{
    struct load l;
    load(&l, POOLS "serve: {traces: {to: http://127.0.0.1:4318/v1/traces, sample: 5 %, "
                   "headers: {authorization: 'Bearer hidden'}}}\n");
    EXPECT(!l.e, "%s", said(&l));
    const struct traces_config *t = &l.p.serve.traces;
    EXPECT(str_eq(t->to, STR("http://127.0.0.1:4318/v1/traces")), STR_FMT, STR_ARG(t->to));
    EXPECT(t->sample > 0.0499 && t->sample < 0.0501, "%g", t->sample);
    EXPECT(t->n_headers == 1 && str_eq(t->headers[0].value, STR("Bearer hidden")), "headers");
    EXPECT(l.p.n_secrets > 0, "a header is a secret");
    drop(&l);
    static const char *const wrong[][2] = {
        {"serve: {traces: {sample: 5 %}}\n", "does not say `to`"},
        {"serve: {traces: {to: ftp://x/}}\n", "serve.traces.to"},
        {"serve: {traces: {to: http://x/t, sample: 2}}\n", "serve.traces.sample"},
        {"serve: {traces: {to: http://x/t, headers: {'a b': c}}}\n", "is not the name of a header"},
        {"serve: {traces: {to: http://x/t, headers: {a: \"b\\nc\"}}}\n", "line break"},
    };
    for (size_t i = 0; i < COUNTOF(wrong); i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s", POOLS, wrong[i][0]);
        load(&l, text);
        EXPECT(l.e && strstr(said(&l), wrong[i][1]), "%s: %s", wrong[i][0], said(&l));
        drop(&l);
    }
}

static void every_lack_of_memory_is_an_error(void)
{
    const char *text = POOLS "contracts: {k: {value: 1 USD, phases: [{adds: 1 MW}]}}\n"
                             "tenants: {t: {models: [m]}}\nunknown: {}\n";
    const char *right = POOLS "contracts: {k: {value: 1 USD, phases: [{adds: 1 MW}]}}\n"
                              "tenants: {t: {models: [m]}}\n";
    bool done = false;
    for (size_t limit = 0; !done && limit < 1 << 20; limit += 64) {
        struct load l;
        load_files(&l, &text, 1, limit);
        EXPECT(l.e, "%zu: an unknown key passed", limit);
        drop(&l);
        load_files(&l, &right, 1, limit);
        EXPECT(!l.e || l.e == ERR_LIMIT || l.e == ERR_INVALID, "%zu: %s", limit, err_name(l.e));
        done = !l.e;
        drop(&l);
    }
    EXPECT(done, "never enough");
}

static void tenants_stand_above_one_another(void)
{
    struct load l;
    load(&l, POOLS
         "tenants:\n"
         "  firm: {budget: {month: 1 kUSD, kind: hard, time_zone: \"+05:30\"}, until: 2027-01-01, "
         "models: [m], markup: 1.5}\n"
         "  team: {of: firm, requests: 600/min, in_flight: 4, addresses: [10.0.0.0/8, \"::1\"]}\n"
         "  user: {of: team, prices: {m: {input: 1 USD/Mtok, output: 2 USD/Mtok}}, keys: [{sha256: "
         "\"sha256:00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff\", name: ci, "
         "tokens: 60k/min, models: [m]}]}\n");
    if (l.e)
        printf("%s\n", said(&l));
    NEED(!l.e);
    const struct tenant *t = l.p.tenants;
    EXPECT(t[0].of == -1 && t[1].of == 0 && t[2].of == 1, "above");
    EXPECT(t[0].allowance.zone_us == S(19800) && t[0].allowance.budget_hard, "zone");
    EXPECT(t[0].allowance.until_us == civil_us((struct civil){.year = 2027, .month = 1, .day = 1}),
           "until");
    EXPECT(fabs(t[1].allowance.requests_per_s - 10) < 1e-9 && t[1].allowance.in_flight == 4,
           "team");
    static const unsigned char ten[16] = {[10] = 0xff, 0xff, 10, 1, 2, 3}, one[16] = {[15] = 1};
    const struct net *net = t[1].allowance.addresses;
    NEED(t[1].allowance.n_addresses == 2);
    EXPECT(net_holds(&net[0], ten) && !net_holds(&net[0], one) && net_holds(&net[1], one), "nets");
    EXPECT(t[2].n_models == 1 && t[2].models[0] == 0, "models come down");
    EXPECT(t[1].markup == 1.5 && t[2].markup == 1 && t[2].n_prices == 1, "prices come down");
    EXPECT(charged_of(&t[1], 0, 1000, 1, 0, 1) == 1500, "markup");
    EXPECT(charged_of(&t[2], 0, 1000, 1000, 0, 1000) == 3000000, "own price");
    EXPECT(charged_of(NULL, 0, 1000, 1, 0, 1) == 1000, "list");
    const struct tenant_key *k = t[2].keys;
    EXPECT(t[2].n_keys == 1 && str_eq(k->name, STR("ci")) && k->n_models == 1 &&
               fabs(k->allowance.tokens_per_s - 1000) < 1e-9,
           "key");
    drop(&l);
}

static void what_cannot_limit_is_refused(void)
{
    static const struct {
        const char *tenant, *expected;
    } bad[] = {
        {"budget: {day: 5 USD, kind: soft}", "tenants.t.budget.kind"},
        {"budget: {day: 5 USD, time_zone: Europe/Berlin}", "no time zone"},
        {"addresses: [10.0.0.1/8]", "no range of addresses"},
        {"addresses: [10.0.0.0/33]", "no range of addresses"},
        {"until: tomorrow", "tenants.t.until"},
        {"requests: -1/min", "tenants.t.requests"},
        {"of: nobody", "tenants.t.of"},
        {"of: t", "above itself"},
        {"keys: [{name: ci}]", "no sha256:"},
        {"keys: [{sha256: abc}]", "not the hash of a key"},
        {"prices: {nothing: {input: 1 USD/Mtok}}", "tenants.t.prices"},
        {"prices: {m: {input: 1 USD}}", "tenants.t.prices.m.input"},
    };
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        struct load l;
        char text[512];
        snprintf(text, sizeof text, POOLS "tenants: {t: {%s}}\n", bad[i].tenant);
        load(&l, text);
        EXPECT(l.e && strstr(said(&l), bad[i].expected), "%s: %s", bad[i].tenant, said(&l));
        drop(&l);
    }
    struct load l;
    load(&l, POOLS "tenants: {a: {}, b: {of: a}, c: {of: b}, d: {of: c}, e: {of: d}}\n");
    EXPECT(l.e && strstr(said(&l), "more than 3"), "%s", said(&l));
    drop(&l);
}

static void a_pool_may_enter_in_steps(void)
{
    static const struct {
        const char *share, *expected;
    } bad[] = {
        {"{}", "says no steps"},
        {"{every: 5 min}", "says no steps"},
        {"{steps: [10%, 5%]}", "no step up"},
        {"{steps: [0, 50%]}", "no step up"},
        {"{steps: [50%, 150%]}", "no step up"},
        {"{steps: [x]}", "pools.b.share.steps"},
        {"{steps: [1%], while: {errors: 200%}}", "pools.b.share.while.errors"},
        {"{steps: [1%], while: {ttft: 0}}", "pools.b.share.while.ttft"},
        {"{steps: [1%], at_least: 0}", "pools.b.share.at_least"},
        {"{steps: [1%], every: 0 s}", "pools.b.share.every"},
        {"{steps: [1%, 2%, 3%, 4%, 5%, 6%, 7%, 8%, 9%, 10%, 11%, 12%, 13%, 14%, 15%, 16%, 17%]}",
         "one step too many"},
    };
    char text[1024];
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        struct load l;
        snprintf(
            text, sizeof text,
            "caudal: 1\npools: {b: {api: openai, url: \"http://h\", serves: [m], share: %s}}\n",
            bad[i].share);
        load(&l, text);
        EXPECT(l.e && strstr(said(&l), bad[i].expected), "%s: %s", bad[i].share, said(&l));
        drop(&l);
    }
    struct load l;
    load(&l, "caudal: 1\npools: {b: {api: openai, url: \"http://h\", serves: [m], "
             "share: {steps: [1%, 0.5], every: 5 min, while: {errors: 5%, per_token: 2}, at_least: "
             "200}}}\n");
    EXPECT(!l.e, "%s", said(&l));
    const struct pool_share *s = &l.p.pools[0].share;
    EXPECT(s->n_steps == 2 && s->steps[0] == 0.01 && s->steps[1] == 0.5, "steps");
    EXPECT(s->every_us == S(300) && s->errors == 0.05 && s->at_least == 200, "rules");
    EXPECT(s->ttft == 1.2 && s->per_token == 2, "%g %g", s->ttft, s->per_token);
    drop(&l);
}

// Said of a model it counts there, instead of what is said of its pool.
static void pools_and_models_say_what_they_keep_of_prompts(void)
{
    static const struct {
        const char *cache, *expected;
    } bad[] = {
        {"{tokens: -1}", "pools.b.prefix_cache.tokens"},
        {"{tokens: 5 min}", "pools.b.prefix_cache.tokens"},
        {"{ttl: 0 s}", "pools.b.prefix_cache.ttl"},
        {"{size: 5}", "pools.b.prefix_cache.size"},
        {"5 min", "pools.b.prefix_cache"},
    };
    char text[512];
    struct load l;
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        snprintf(text, sizeof text,
                 "caudal: 1\npools: {b: {api: openai, url: \"http://h\", serves: [m], "
                 "prefix_cache: %s}}\n",
                 bad[i].cache);
        load(&l, text);
        EXPECT(l.e && strstr(said(&l), bad[i].expected), "%s: %s", bad[i].cache, said(&l));
        drop(&l);
    }
    load(&l,
         "caudal: 1\npools: {b: {api: openai, url: \"http://h\", prefix_cache: {tokens: 2M tok}, "
         "serves: {m: {prefix_cache: {ttl: 1 h}}, n: {prefix_cache: {tokens: 0}}, o: {}}}}\n");
    EXPECT(!l.e, "%s", said(&l));
    const struct pool *p = &l.p.pools[0];
    EXPECT(p->prefix_cache.tok == 2e6 && p->prefix_cache.ttl_us == -1, "%g", p->prefix_cache.tok);
    EXPECT(p->serves[0].prefix_cache.tok == -1 && p->serves[0].prefix_cache.ttl_us == S(3600), "m");
    EXPECT(p->serves[1].prefix_cache.said && p->serves[1].prefix_cache.tok == 0, "n keeps nothing");
    EXPECT(!p->serves[2].prefix_cache.said, "o is as the pool says");
    drop(&l);
}

static void carbon_has_a_price(void)
{
    struct load l;
    load(&l, "caudal: 1\nserve: {carbon_price: 80 USD/t}\npools: {b: {api: openai, url: "
             "\"http://h\", serves: [m]}}\n");
    EXPECT(!l.e && l.p.serve.carbon_nusd_per_g == 80e3, "%s: %g", said(&l),
           l.p.serve.carbon_nusd_per_g);
    drop(&l);
    static const char *const bad[] = {"80", "80 USD/MWh", "-1 USD/t"};
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        char text[256];
        snprintf(text, sizeof text,
                 "caudal: 1\nserve: {carbon_price: %s}\npools: {b: {api: openai, url: "
                 "\"http://h\", serves: [m]}}\n",
                 bad[i]);
        load(&l, text);
        EXPECT(l.e && strstr(said(&l), "serve.carbon_price"), "%s: %s", bad[i], said(&l));
        drop(&l);
    }
}

static void a_key_is_described_by_json(void)
{
    struct arena a;
    struct tenant_key k;
    struct diag diag = {0};
    arena_init(&a, 1 << 20);
    enum err e =
        config_key(&k, &a,
                   STR("{\"name\": \"ci\", \"budget\": \"5 USD/day\", \"models\": [\"m\"], "
                       "\"addresses\": \"::1\"}"),
                   &diag);
    EXPECT(!e && k.allowance.budget_day_nusd == 5000000000 && k.n_models == 1 &&
               k.allowance.n_addresses == 1 && k.n_classes == -1,
           "%s", diag.text);
    e = config_key(&k, &a, STR("{\"budget\": \"5 USD\"}"), &diag);
    EXPECT(e == ERR_INVALID && strstr(diag.text, "budget"), "%s", diag.text);
    EXPECT(config_key(&k, &a, STR("{\"name\":\"a\",\"name\":\"b\"}"), &diag), "twice");
    EXPECT(config_key(&k, &a, STR("[]"), &diag) && config_key(&k, &a, STR("{"), &diag), "shape");
    arena_release(&a);
}

// The reference in docs/portfolio.md is the tables' own.

static char *read_whole(const char *path)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return NULL;
    char *text = calloc(1, 1 << 20);
    size_t n = fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    text[n] = 0;
    return text;
}

static int keys_seen;

static void expect_key(void *ctx, const char *section, const char *path)
{
    char row[160];
    snprintf(row, sizeof row, "| `%s` |", path);
    keys_seen++;
    EXPECT(strstr(ctx, row), "%s: %s is not in docs/portfolio.md", section, path);
}

static const char *const sections[] = {"serve",     "classes", "suppliers", "sites",   "chips",
                                       "contracts", "models",  "pools",     "tenants", "demand"};

static void every_key_is_documented(void)
{
    char *docs = read_whole(SOURCE_ROOT "/docs/portfolio.md");
    NEED(docs);
    config_keys(expect_key, docs);
    EXPECT(keys_seen > 150, "%d keys", keys_seen);
    for (size_t i = 0; i < COUNTOF(sections); i++) {
        struct buf table;
        buf_init(&table, 1 << 20);
        config_reference_section(&table, sections[i]);
        buf_add(&table, "", 1);
        EXPECT(strstr(docs, table.p),
               "the table of %s differs; `test_config --reference %s` prints it", sections[i],
               sections[i]);
        buf_release(&table);
    }
    free(docs);
}

// What the reference says about defaults of `serve` is what holds.
static void documented_defaults_of_serve_are_the_defaults(void)
{
    struct load l, d;
    load(&l, POOLS
         "serve: {listen: 127.0.0.1:8080, policy: caudal, log: {format: text, level: info}, "
         "limits: {head: 32 KiB, body: 20 MiB, answer: 64 MiB, head_time: 15 s, body_time: 60 s, "
         "idle: 75 s, write_time: 60 s, connections: 20000, headers: 100, pipelined: 16, "
         "stream_buffer: 256 KiB}, attempts: {max: 4, retry_budget: 20 %, stand_in_after: 3 s, "
         "silence: 15 s, patience: 3 s, deadline: 10 min}, drain: 30 s, breaker: {failures: 5, "
         "open: 5 s, "
         "open_max: 60 s}, band: 2 %}\n");
    load(&d, POOLS);
    EXPECT(!l.e && !d.e, "%s", said(&l));
    const struct serve_config *a = &l.p.serve, *b = &d.p.serve;
    EXPECT(a->head_bytes == b->head_bytes && a->body_bytes == b->body_bytes &&
               a->answer_bytes == b->answer_bytes &&
               a->stream_buffer_bytes == b->stream_buffer_bytes,
           "bytes");
    EXPECT(a->head_us == b->head_us && a->body_us == b->body_us && a->idle_us == b->idle_us &&
               a->write_us == b->write_us && a->drain_us == b->drain_us,
           "times");
    EXPECT(a->connections == b->connections && a->headers == b->headers &&
               a->pipelined == b->pipelined && a->attempts == b->attempts &&
               a->breaker_failures == b->breaker_failures,
           "counts");
    EXPECT(a->retry_budget == b->retry_budget && a->band == b->band, "shares");
    EXPECT(a->stand_in_after_us == b->stand_in_after_us && a->silence_us == b->silence_us &&
               a->patience_us == b->patience_us && a->deadline_us == b->deadline_us &&
               a->breaker_open_us == b->breaker_open_us &&
               a->breaker_open_us_max == b->breaker_open_us_max,
           "attempts");
    EXPECT(str_eq(a->host, b->host) && a->port == b->port && str_eq(a->policy, b->policy) &&
               str_eq(a->log_format, b->log_format) && str_eq(a->log_level, b->log_level),
           "texts");
    drop(&l);
    drop(&d);
}

// All examples of docs/portfolio.md together are one right portfolio.
static void the_examples_of_the_reference_are_right(void)
{
    char *docs = read_whole(SOURCE_ROOT "/docs/portfolio.md");
    NEED(docs);
    struct buf all;
    buf_init(&all, 1 << 20);
    int n = 0;
    for (char *at = strstr(docs, "```yaml\n"); at; at = strstr(at, "```yaml\n")) {
        char *text = at + 8, *end = strstr(text, "\n```");
        NEED(end);
        buf_add(&all, text, (size_t)(end - text));
        buf_lit(&all, "\n---\n");
        at = end + 4;
        n++;
    }
    buf_add(&all, "", 1);
    struct load l;
    load(&l, all.p);
    EXPECT(!l.e, "%s", said(&l));
    EXPECT(n >= (int)COUNTOF(sections), "an example for each section: %d", n);
    drop(&l);
    buf_release(&all);
    free(docs);
}

static void the_examples_are_right(void)
{
    static const char *const examples[] = {SOURCE_ROOT "/examples/fleet.yaml"};
    for (size_t i = 0; i < COUNTOF(examples); i++) {
        char *text = read_whole(examples[i]);
        NEED(text);
        struct load l;
        load(&l, text);
        EXPECT(!l.e, "%s: %s", examples[i], said(&l));
        drop(&l);
        free(text);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--reference") == 0) {
        struct buf table;
        buf_init(&table, 1 << 20);
        config_reference_section(&table, argv[2]);
        printf(STR_FMT, STR_ARG(buf_str(&table)));
        buf_release(&table);
        return 0;
    }
    TEST(the_smallest_file_is_enough);
    TEST(who_reads_the_metrics_is_said);
    TEST(whole_numbers_are_whole);
    TEST(all_problems_are_told_at_once_with_place_and_path);
    TEST(secrets_are_in_no_message);
    TEST(a_secret_that_would_end_its_header_is_refused);
    TEST(secrets_are_listed_to_be_hidden);
    TEST(here_is_the_folder_of_the_file);
    TEST(references_are_expanded_everywhere_but_the_port_of_an_engine);
    TEST(engines_must_say_where_the_port_goes);
    TEST(files_are_merged);
    TEST(duplicates_name_both_places);
    TEST(serves_has_three_forms);
    TEST(contracts_are_read_in_their_units);
    TEST(classes_sites_and_chips_are_read_in_their_units);
    TEST(tenants_and_demand_are_read);
    TEST(certificates_are_read);
    TEST(deferred_work_has_a_deadline);
    TEST(deferred_work_has_a_deadline);
    TEST(a_pool_without_a_supplier_is_refused);
    TEST(traces_are_read);
    TEST(every_lack_of_memory_is_an_error);
    TEST(every_key_is_documented);
    TEST(documented_defaults_of_serve_are_the_defaults);
    TEST(tenants_stand_above_one_another);
    TEST(what_cannot_limit_is_refused);
    TEST(a_pool_may_enter_in_steps);
    TEST(pools_and_models_say_what_they_keep_of_prompts);
    TEST(carbon_has_a_price);
    TEST(a_key_is_described_by_json);
    TEST(the_examples_of_the_reference_are_right);
    TEST(the_examples_are_right);
    return test_end();
}
