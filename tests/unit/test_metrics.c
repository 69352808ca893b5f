#include "gateway/metrics.h"
#include "lib/test.h"

#include <inttypes.h>
#include <pthread.h>
#include <time.h>

enum { TENANTS = 2, MODELS = 3, POOLS = 2, WORKERS = 4, PAGE_MAX = 64 << 20 };

struct fixture {
    struct portfolio p;
    struct class classes[1];
    struct tenant tenants[TENANTS];
    struct model models[MODELS];
    struct pool pools[POOLS];
    struct names *names;
    struct arena arena;
    struct names_map map;
    struct metrics *m;
    struct metrics_pool views[POOLS];
    struct buf page;
};

static void fixture_init(struct fixture *f, int32_t workers)
{
    *f = (struct fixture){
        .classes = {{.name = STR("interactive")}},
        .tenants = {{.name = STR("acme")}, {.name = STR("a \"b\"\\\nc")}},
        .models = {{.name = STR("llama")}, {.name = STR("org/q:1")}, {.name = STR("other")}},
        .pools = {{.name = STR("wafer")}, {.name = STR("gpu")}},
        .views = {{.in_flight = 7, .ready = true, .ttft_us = 12500}, {.cooling = true}},
    };
    f->p = (struct portfolio){.classes = f->classes,
                              .tenants = f->tenants,
                              .models = f->models,
                              .pools = f->pools,
                              .n_classes = 1,
                              .n_tenants = TENANTS,
                              .n_models = MODELS,
                              .n_pools = POOLS};
    f->names = names_new();
    arena_init(&f->arena, 1 << 20);
    NEED(names_map(f->names, &f->p, &f->arena, &f->map) == ERR_NONE);
    f->m = metrics_new(f->names, workers);
    buf_init(&f->page, PAGE_MAX);
}

static void fixture_release(struct fixture *f)
{
    metrics_free(f->m);
    names_free(f->names);
    arena_release(&f->arena);
    buf_release(&f->page);
}

static void fixture_page(struct fixture *f)
{
    buf_clear(&f->page);
    NEED(metrics_write(f->m, &f->page, &f->p, f->views, 3, S(5)));
}

static bool has(const struct fixture *f, const char *line)
{
    size_t at;
    struct str s = buf_str(&f->page);
    return str_find(s, str_of(line), &at) && (at == 0 || s.p[at - 1] == '\n');
}

static const struct metrics_request answered = {.tenant = 0,
                                                .model = 1,
                                                .class = 0,
                                                .pool = 0,
                                                .status = 200,
                                                .surface = SURFACE_CHAT,
                                                .stream = true,
                                                .ttft_us = 40000,
                                                .total_us = 2000000,
                                                .per_token_us = 8000,
                                                .prompt_tok = 100,
                                                .cached_tok = 60,
                                                .output_tok = 250,
                                                .list_nusd = 1234,
                                                .joules = 12.5,
                                                .attempts = 1};

static void a_request_is_counted_under_its_names(void)
{
    struct fixture f;
    fixture_init(&f, 1);
    metrics_request(f.m, 0, &answered);
    metrics_attempt(f.m, 0, NULL, 0, FAULT_NONE, 39000);
    metrics_attempt(f.m, 0, NULL, 1, FAULT_BUSY, -1);
    metrics_bad_head(f.m, 0);
    fixture_page(&f);
    const char *lines[] = {
        "caudal_requests_total{model=\"org/"
        "q:1\",class=\"interactive\",tenant=\"acme\",code=\"200\"} 1\n",
        "caudal_attempts_total{pool=\"wafer\",outcome=\"ok\"} 1\n",
        "caudal_attempts_total{pool=\"gpu\",outcome=\"busy\"} 1\n",
        "caudal_tokens_total{tenant=\"acme\",model=\"org/q:1\",pool=\"wafer\",type=\"input\"} 40\n",
        "caudal_tokens_total{tenant=\"acme\",model=\"org/"
        "q:1\",pool=\"wafer\",type=\"cached_input\"} 60\n",
        "caudal_tokens_total{tenant=\"acme\",model=\"org/q:1\",pool=\"wafer\",type=\"output\"} "
        "250\n",
        "caudal_list_usd_total{tenant=\"acme\",pool=\"wafer\"} 0.000001234\n",
        "caudal_energy_joules_total{pool=\"wafer\",basis=\"estimated\"} 12.5\n",
        "caudal_streams_cut_total 0\n",
        "caudal_bad_requests_total 1\n",
        "# TYPE gen_ai_server_time_to_first_token_seconds histogram\n",
        "gen_ai_server_time_to_first_token_seconds_bucket{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\",le=\"0.025\"} 0\n",
        "gen_ai_server_time_to_first_token_seconds_bucket{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\",le=\"0.05\"} 1\n",
        "gen_ai_server_time_to_first_token_seconds_bucket{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\",le=\"10.0\"} 1\n",
        "gen_ai_server_time_to_first_token_seconds_bucket{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\",le=\"+Inf\"} 1\n",
        "gen_ai_server_time_to_first_token_seconds_sum{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\"} 0.040000\n",
        "gen_ai_server_request_duration_seconds_count{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\"} 1\n",
        "gen_ai_client_token_usage_bucket{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\",gen_ai_token_type=\"input\",le=\"256.0\"} 1\n",
        "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\",gen_ai_token_type=\"output\"} 250\n",
        "caudal_pool_in_flight{pool=\"wafer\"} 7\n",
        "caudal_pool_ready{pool=\"gpu\"} 0\n",
        "caudal_pool_cooling{pool=\"gpu\"} 1\n",
        "caudal_pool_ttft_seconds{pool=\"wafer\"} 0.0125\n",
        "caudal_waiting 3\n",
        "caudal_up_seconds 5.000\n",
        "caudal_build_info{version=\"" CAUDAL_VERSION "\"} 1\n",
    };
    for (size_t i = 0; i < COUNTOF(lines); i++)
        EXPECT(has(&f, lines[i]), "%s", lines[i]);
    EXPECT(!has(&f, "caudal_pool_ttft_seconds{pool=\"gpu\"}"), "what is not known is left out");
    fixture_release(&f);
}

static void what_has_no_name_is_other(void)
{
    struct fixture f;
    fixture_init(&f, 1);
    struct metrics_request r = {
        .tenant = -1, .model = -1, .class = 99, .pool = -1, .status = 418, .ttft_us = -1};
    metrics_request(f.m, 0, &r);
    r.model = 2;  // the model that is called "other": still one series
    metrics_request(f.m, 0, &r);
    metrics_attempt(f.m, 0, NULL, 5, (enum fault)99, -1);
    fixture_page(&f);
    EXPECT(has(&f, "caudal_requests_total{model=\"other\",class=\"other\",tenant=\"other\",code="
                   "\"other\"} 2\n"),
           STR_FMT, STR_ARG(buf_str(&f.page)));
    EXPECT(has(&f, "caudal_attempts_total{pool=\"other\",outcome=\"other\"} 1\n"), "attempts");
    EXPECT(!has(&f, "gen_ai_server_request_duration_seconds_count"), "nothing was answered");
    fixture_release(&f);
}

static void label_values_are_escaped(void)
{
    struct fixture f;
    fixture_init(&f, 1);
    struct metrics_request r = answered;
    r.tenant = 1;
    r.cut = true;
    metrics_request(f.m, 0, &r);
    fixture_page(&f);
    EXPECT(
        has(&f,
            "caudal_list_usd_total{tenant=\"a \\\"b\\\"\\\\\\nc\",pool=\"wafer\"} 0.000001234\n"),
        STR_FMT, STR_ARG(buf_str(&f.page)));
    EXPECT(has(&f, "caudal_streams_cut_total 1\n"), "cut");
    fixture_release(&f);
}

// The name of a sample is that of the TYPE line above it, of a histogram with its suffix; no series
// stands twice, and no family begins twice.
static void the_page_is_well_formed(void)
{
    struct fixture f;
    fixture_init(&f, 2);
    for (int32_t i = 0; i < 200; i++) {
        struct metrics_request r = answered;
        r.model = i % MODELS;
        r.tenant = i % 3 - 1;
        r.status = 200 + i * 7 % 350;
        r.surface = (enum surface)(1 << i % 5);
        r.total_us = i * i * i * 100;
        metrics_request(f.m, i % 2, &r);
        metrics_attempt(f.m, i % 2, NULL, i % POOLS, (enum fault)(i % FAULT_COUNT), i * 1000);
    }
    fixture_page(&f);
    struct arena a;
    arena_init(&a, 64 << 20);
    struct table *seen;
    NEED(table_new(&seen, &a, 20000, 1) == ERR_NONE);
    struct str rest = buf_str(&f.page), line, family = {0}, type = {0};
    EXPECT(str_ends(rest, STR("\n")), "the last line ends");
    while (str_cut(&rest, '\n', &line) && rest.p) {
        if (str_starts(line, STR("# HELP ")))
            continue;
        if (str_starts(line, STR("# TYPE "))) {
            type = str_skip(line, 7);
            NEED(str_cut(&type, ' ', &family));
            EXPECT(table_add(seen, family, 0) == ERR_NONE, STR_FMT " twice", STR_ARG(family));
            EXPECT(!str_eq(type, STR("counter")) || str_ends(family, STR("_total")), STR_FMT,
                   STR_ARG(family));
            continue;
        }
        size_t at = line.n;
        while (at && line.p[at - 1] != ' ')
            at--;
        struct str series = {line.p, at ? at - 1 : 0}, name = {line.p, 0},
                   value = str_skip(line, at);
        while (name.n < series.n && series.p[name.n] != '{')
            name.n++;
        double d;
        EXPECT(str_to_double(value, &d), STR_FMT, STR_ARG(line));
        bool histogram = str_eq(type, STR("histogram"));
        struct str suffix = str_skip(name, family.n);
        EXPECT(str_starts(name, family) &&
                   (histogram ? str_eq(suffix, STR("_bucket")) || str_eq(suffix, STR("_sum")) ||
                                    str_eq(suffix, STR("_count"))
                              : suffix.n == 0),
               STR_FMT " under " STR_FMT, STR_ARG(line), STR_ARG(family));
        enum err e = series.n == family.n ? ERR_NONE : table_add(seen, series, 0);
        EXPECT(e == ERR_NONE, STR_FMT " twice", STR_ARG(series));
    }
    arena_release(&a);
    fixture_release(&f);
}

struct counting {
    struct fixture *f;
    int32_t worker;
};

enum { REQUESTS_EACH = 50000 };

static void *count(void *arg)
{
    struct counting *c = arg;
    for (int32_t i = 0; i < REQUESTS_EACH; i++) {
        metrics_add(c->f->m, c->worker, METRICS_REQUESTS, 1);
        metrics_request(c->f->m, c->worker, &answered);
        metrics_attempt(c->f->m, c->worker, NULL, 0, FAULT_NONE, 100);
        if (i % 2)
            metrics_add(c->f->m, c->worker, METRICS_REQUESTS, -1);
    }
    return NULL;
}

static void shards_of_all_threads_add_up(void)
{
    struct fixture f;
    fixture_init(&f, WORKERS);
    pthread_t threads[WORKERS];
    struct counting c[WORKERS];
    for (int32_t i = 0; i < WORKERS; i++) {
        c[i] = (struct counting){&f, i};
        NEED(pthread_create(&threads[i], NULL, count, &c[i]) == 0);
    }
    for (int32_t i = 0; i < 20; i++)
        fixture_page(&f);  // a scrape in the middle of it
    for (int32_t i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    fixture_page(&f);
    const char *lines[] = {
        "caudal_requests_total{model=\"org/"
        "q:1\",class=\"interactive\",tenant=\"acme\",code=\"200\"} 200000\n",
        "caudal_attempts_total{pool=\"wafer\",outcome=\"ok\"} 200000\n",
        "caudal_energy_joules_total{pool=\"wafer\",basis=\"estimated\"} 2500000\n",
        "caudal_list_usd_total{tenant=\"acme\",pool=\"wafer\"} 0.246800000\n",
        "gen_ai_server_request_duration_seconds_sum{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\"} 400000.000000\n",
        "caudal_requests_in_progress 100000\n",
    };
    for (size_t i = 0; i < COUNTOF(lines); i++)
        EXPECT(has(&f, lines[i]), "%s", lines[i]);
    EXPECT(metrics_value(f.m, METRICS_REQUESTS) == 100000, "%" PRId64,
           metrics_value(f.m, METRICS_REQUESTS));
    fixture_release(&f);
}

// A portfolio of thousands of names does not multiply: labels are split off instead, and nothing is
// lost.
static void many_names_split_the_families(void)
{
    enum { MANY = 3000 };
    static struct tenant tenants[MANY];
    static struct model models[MANY];
    static struct pool pools[MANY];
    static char names[MANY][16];
    static struct metrics_pool views[MANY];
    for (int32_t i = 0; i < MANY; i++) {
        struct str name = {names[i], (size_t)snprintf(names[i], sizeof names[i], "n%" PRId32, i)};
        tenants[i].name = models[i].name = pools[i].name = name;
    }
    struct fixture f;
    fixture_init(&f, 1);
    metrics_free(f.m);
    f.p.tenants = tenants;
    f.p.models = models;
    f.p.pools = pools;
    f.p.n_tenants = f.p.n_models = f.p.n_pools = MANY;
    names_free(f.names);
    f.names = names_new();
    NEED(names_map(f.names, &f.p, &f.arena, &f.map) == ERR_NONE);
    f.m = metrics_new(f.names, 2);
    struct metrics_request r = answered;
    r.tenant = r.model = r.pool = MANY - 1;
    metrics_request(f.m, 1, &r);
    NEED(metrics_write(f.m, &f.page, &f.p, views, 0, 0));
    const char *lines[] = {
        "caudal_requests_total{model=\"n2999\",code=\"200\"} 1\n",
        "caudal_tenant_requests_total{tenant=\"n2999\",code=\"200\"} 1\n",
        "caudal_tokens_total{pool=\"n2999\",type=\"output\"} 250\n",
        "caudal_model_tokens_total{model=\"n2999\",type=\"output\"} 250\n",
        "caudal_tenant_tokens_total{tenant=\"n2999\",type=\"output\"} 250\n",
        "caudal_list_usd_total{pool=\"n2999\"} 0.000001234\n",
        "caudal_tenant_list_usd_total{tenant=\"n2999\"} 0.000001234\n",
        "gen_ai_server_request_duration_seconds_count{gen_ai_operation_name=\"chat\"} 1\n",
    };
    for (size_t i = 0; i < COUNTOF(lines); i++)
        EXPECT(has(&f, lines[i]), "%s", lines[i]);
    fixture_release(&f);
}

// Reloads that bring other tenants each time: a name has its number for the life of the process,
// and there are NAMES_MAX of them.
static void names_are_bounded_and_what_comes_later_is_other(void)
{
    enum { MANY = 8192, RELOADS = NAMES_MAX / MANY + 1 };
    static struct tenant tenants[MANY];
    static char names[MANY][16];
    struct fixture f;
    fixture_init(&f, 1);
    metrics_free(f.m);
    f.p.tenants = tenants;
    f.p.n_tenants = MANY;
    for (int32_t n = 0; n < RELOADS; n++) {
        for (int32_t i = 0; i < MANY; i++)
            tenants[i].name = (struct str){
                names[i], (size_t)snprintf(names[i], sizeof names[i], "t%" PRId32, n * MANY + i)};
        arena_reset(&f.arena);
        NEED(names_map(f.names, &f.p, &f.arena, &f.map) == ERR_NONE);
    }
    EXPECT(names_n(f.names, NAMES_TENANT) == NAMES_MAX, "%d", names_n(f.names, NAMES_TENANT));
    EXPECT(names_of(&f.map, NAMES_TENANT, MANY - 1) == -1, "one too many has none");
    f.m = metrics_new(f.names, 1);
    struct metrics_request r = answered;
    r.names = &f.map;
    r.tenant = MANY - 1;
    metrics_request(f.m, 0, &r);
    fixture_page(&f);
    EXPECT(has(&f, "caudal_tenant_requests_total{tenant=\"other\",code=\"200\"} 1\n"), "other");
    fixture_release(&f);
}

static void a_page_that_does_not_fit_says_so(void)
{
    struct fixture f;
    fixture_init(&f, 1);
    struct buf small;
    buf_init(&small, 1000);
    EXPECT(!metrics_write(f.m, &small, &f.p, f.views, 0, 0), "%zu bytes", buf_len(&small));
    buf_release(&small);
    fixture_release(&f);
}

// A reload turns the order round, takes a tenant away and brings a pool.
static void what_was_counted_goes_on_under_its_name(void)
{
    struct fixture f;
    fixture_init(&f, 2);
    metrics_request(f.m, 0, &answered);
    metrics_request(f.m, 1, &answered);
    metrics_add(f.m, 1, METRICS_STREAMS, 3);
    struct pool pools[] = {{.name = STR("new")}, {.name = STR("gpu")}, {.name = STR("wafer")}};
    struct tenant tenants[] = {{.name = STR("fresh")}, {.name = STR("acme")}};
    struct metrics_pool views[3] = {{0}};
    struct portfolio next = f.p;
    struct names_map map;
    next.pools = pools;
    next.n_pools = 3;
    next.tenants = tenants;
    NEED(names_map(f.names, &next, &f.arena, &map) == ERR_NONE);
    struct metrics *grown = metrics_grown(f.m, f.names);
    NEED(grown);
    metrics_move(grown, 1);
    buf_clear(&f.page);
    NEED(metrics_write(grown, &f.page, &next, views, 0, 0));
    const char *two = "caudal_requests_total{model=\"org/q:1\",class=\"interactive\","
                      "tenant=\"acme\",code=\"200\"} 2\n";
    EXPECT(has(&f, two), "while one worker has not moved, nothing is missing");
    metrics_move(grown, 0);
    metrics_settle(grown);
    f.m = grown;
    struct metrics_request r = answered;
    r.names = &map;
    r.tenant = 1;
    r.pool = 2;
    metrics_request(f.m, 0, &r);
    r.tenant = 0;
    r.pool = 0;
    metrics_request(f.m, 1, &r);
    metrics_request(f.m, 0, &answered);  // of a request that began before
    buf_clear(&f.page);
    NEED(metrics_write(f.m, &f.page, &next, views, 0, 0));
    const char *lines[] = {
        "caudal_requests_total{model=\"org/q:1\",class=\"interactive\",tenant=\"acme\","
        "code=\"200\"} 4\n",
        "caudal_requests_total{model=\"org/q:1\",class=\"interactive\",tenant=\"fresh\","
        "code=\"200\"} 1\n",
        "caudal_tokens_total{tenant=\"acme\",model=\"org/q:1\",pool=\"wafer\","
        "type=\"output\"} 1000\n",
        "caudal_energy_joules_total{pool=\"wafer\",basis=\"estimated\"} 50\n",
        "caudal_energy_joules_total{pool=\"new\",basis=\"estimated\"} 12.5\n",
        "gen_ai_server_request_duration_seconds_count{gen_ai_operation_name=\"chat\","
        "gen_ai_request_model=\"org/q:1\"} 5\n",
        "caudal_streams_open 3\n",
    };
    for (size_t i = 0; i < COUNTOF(lines); i++)
        EXPECT(has(&f, lines[i]), "%s", lines[i]);
    EXPECT(!metrics_grown(f.m, f.names), "nothing new");
    fixture_release(&f);
}

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void counting_a_request_is_cheap(void)
{
    struct fixture f;
    fixture_init(&f, 1);
    double begin = cpu_ns();
    for (int32_t i = 0; i < 200000; i++)
        metrics_request(f.m, 0, &answered);
    double ns = (cpu_ns() - begin) / 200000;
    printf("  %.0f ns a request (target 300)\n", ns);
    EXPECT(ns < 10000, "%g ns", ns);  // sanitizers and busy machines pass too
    fixture_release(&f);
}

int main(void)
{
    TEST(a_request_is_counted_under_its_names);
    TEST(what_has_no_name_is_other);
    TEST(label_values_are_escaped);
    TEST(the_page_is_well_formed);
    TEST(shards_of_all_threads_add_up);
    TEST(many_names_split_the_families);
    TEST(names_are_bounded_and_what_comes_later_is_other);
    TEST(a_page_that_does_not_fit_says_so);
    TEST(what_was_counted_goes_on_under_its_name);
    TEST(counting_a_request_is_cheap);
    return test_end();
}
