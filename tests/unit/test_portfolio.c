#include "portfolio/portfolio.h"
#include "lib/test.h"

#include <inttypes.h>

// A small portfolio that holds one of everything; each test breaks or asks one thing.
struct fixture {
    struct arena arena;
    struct portfolio p;
    struct class classes[2];
    struct supplier suppliers[1];
    struct site sites[1];
    struct round_trip round_trips[1];
    struct chip chips[1];
    struct point points[1];
    struct contract contracts[1];
    struct phase phases[3];
    struct model models[2];
    struct group groups[1];
    int32_t group_models[2];
    struct pool pools[2];
    struct serving serves[2];
    struct tenant tenants[1];
    struct demand demands[1];
    struct value_step steps[3];
    struct diag diag;
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    arena_init(&f->arena, 1 << 20);
    serve_config_defaults(&f->p.serve);
    f->p.arena = &f->arena;
#define PUT(array) f->p.array = f->array, f->p.n_##array = (int32_t)COUNTOF(f->array)
    PUT(classes);
    PUT(suppliers);
    PUT(sites);
    PUT(chips);
    PUT(contracts);
    PUT(models);
    PUT(groups);
    PUT(pools);
    PUT(tenants);
    PUT(demands);
#undef PUT
    class_defaults(&f->classes[0]);
    class_defaults(&f->classes[1]);
    f->classes[0].name = STR("chat");
    f->classes[1].name = STR("batch");
    f->steps[0] = (struct value_step){MS(400), 2};
    f->steps[1] = (struct value_step){0, 1};
    f->steps[2] = (struct value_step){MS(200), 0.5};
    f->classes[0].ttft_value = (struct value_curve){f->steps, 3};
    supplier_defaults(&f->suppliers[0]);
    f->suppliers[0].name = STR("cerebras");
    f->suppliers[0].api = API_CEREBRAS;
    f->round_trips[0].region = STR("eu");
    f->round_trips[0].us = MS(90);
    f->sites[0] = (struct site){
        .name = STR("west"), .pue = 1.2, .round_trips = f->round_trips, .n_round_trips = 1};
    f->points[0].model = -1;
    f->chips[0] = (struct chip){.name = STR("wse-3"), .points = f->points, .n_points = 1};
    f->phases[0] = (struct phase){S(200), NEVER, .adds_w = 10, .status = STATUS_ASSUMED};
    f->phases[1] = (struct phase){S(100), NEVER, .adds_w = 5, .status = STATUS_SIGNED};
    f->phases[2] = (struct phase){S(300), NEVER, .adds_w = -15, .status = STATUS_SIGNED};
    f->contracts[0] = (struct contract){
        .name = STR("c"), .supplier = 0, .part_of = -1, .phases = f->phases, .n_phases = 3};
    f->models[0] = (struct model){.name = STR("large"), .context_tok = 8192};
    f->models[1] = (struct model){.name = STR("small")};
    f->group_models[1] = 1;
    f->groups[0] = (struct group){.name = STR("g"), .models = f->group_models, .n_models = 2};
    f->serves[0] = (struct serving){.model = 1};
    f->serves[1] = (struct serving){.model = 0};
    for (int i = 0; i < 2; i++) {
        pool_defaults(&f->pools[i]);
        f->pools[i].name = i ? STR("two") : STR("one");
        f->pools[i].supplier = 0;
    }
    f->pools[0].site = f->pools[0].chip = f->pools[0].contract = 0;
    f->pools[0].serves = f->serves;
    f->pools[0].n_serves = 2;
    tenant_defaults(&f->tenants[0]);
    f->tenants[0].name = STR("app");
    f->demands[0] = (struct demand){.name = STR("d"), .tenant = 0, .model = -1, .class = 1};
}

static void sealing_sorts_and_names(void)
{
    struct fixture f;
    fixture_init(&f);
    enum err e = portfolio_seal(&f.p, &f.diag);
    EXPECT(!e, "%s", f.diag.text);
    int32_t v = -1;
    EXPECT(table_get(f.p.model_names, STR("small"), &v) && v == 1, "%d", v);
    EXPECT(table_get(f.p.pool_names, STR("two"), &v) && v == 1, "%d", v);
    EXPECT(table_get(f.p.class_names, STR("chat"), &v) && v == 0, "%d", v);
    EXPECT(!table_get(f.p.model_names, STR("huge"), &v), "unknown");
    EXPECT(f.phases[0].from_us == S(100) && f.phases[2].from_us == S(300), "phases");
    EXPECT(f.steps[0].from_us == 0 && f.steps[2].from_us == MS(400), "value curve");
    arena_release(&f.arena);
}

static void an_empty_portfolio_is_sealed_too(void)
{
    struct arena a;
    arena_init(&a, 1 << 16);
    struct portfolio p = {.arena = &a};
    serve_config_defaults(&p.serve);
    EXPECT(!portfolio_seal(&p, NULL), "nothing is valid");
    EXPECT(table_len(p.pool_names) == 0, "no pools");
    arena_release(&a);
}

static void a_name_that_stands_twice_is_named_with_its_place(void)
{
    struct fixture f;
    fixture_init(&f);
    f.pools[1].name = STR("one");
    f.pools[1].place = (struct place){STR("fleet.yaml"), 12, 3};
    EXPECT(portfolio_seal(&f.p, &f.diag) == ERR_INVALID, "refused");
    EXPECT(str_eq(str_of(f.diag.text), STR("fleet.yaml:12:3: pool one: the name stands twice")),
           "%s", f.diag.text);
    arena_release(&f.arena);
}

static void an_index_out_of_range_is_refused(void)
{
    for (int which = 0; which < 17; which++) {
        struct fixture f;
        fixture_init(&f);
        int32_t bad = which % 2 ? 2 : -2,
                *at[] = {
                    &f.pools[0].supplier,      &f.pools[0].site,
                    &f.pools[0].chip,          &f.pools[0].contract,
                    &f.serves[1].model,        &f.points[0].model,
                    &f.contracts[0].supplier,  &f.contracts[0].part_of,
                    &f.group_models[0],        &f.tenants[0].default_class,
                    &f.tenants[0].passthrough, &f.demands[0].tenant,
                    &f.demands[0].model,       &f.demands[0].class,
                    &f.p.serve.default_class,
                };
        if (which < (int)COUNTOF(at))
            *at[which] = bad;
        else if (which == 15)
            f.pools[1].supplier = -1;  // none is none too few
        else
            f.serves[0].model = 0;  // served twice
        EXPECT(portfolio_seal(&f.p, &f.diag) == ERR_INVALID && f.diag.text[0], "%d", which);
        arena_release(&f.arena);
    }
}

static void a_full_arena_is_an_error(void)
{
    bool done = false;
    for (size_t limit = 0; !done && limit < 1 << 16; limit += 64) {
        struct fixture f;
        fixture_init(&f);
        arena_init(&f.arena, limit);
        enum err e = portfolio_seal(&f.p, &f.diag);
        EXPECT(e == ERR_NONE || (e == ERR_LIMIT && f.diag.e == e), "%d", (int)e);
        done = e == ERR_NONE;
        arena_release(&f.arena);
    }
    EXPECT(done, "it succeeds at last");
}

static void waiting_costs_the_integral_of_its_curve(void)
{
    struct fixture f;
    fixture_init(&f);
    NEED(!portfolio_seal(&f.p, NULL));
    const struct value_curve *c = &f.classes[0].ttft_value;
    EXPECT(value_curve_cost(c, 0) == 0 && value_curve_cost(c, -5) == 0, "no time");
    EXPECT(value_curve_cost(c, MS(100)) == 1e5, "%g", value_curve_cost(c, MS(100)));
    EXPECT(value_curve_cost(c, MS(200)) == 2e5, "%g", value_curve_cost(c, MS(200)));
    EXPECT(value_curve_cost(c, MS(300)) == 2.5e5, "%g", value_curve_cost(c, MS(300)));
    EXPECT(value_curve_cost(c, MS(500)) == 5e5, "%g", value_curve_cost(c, MS(500)));
    struct value_curve late = {(struct value_step[]){{MS(100), 3}}, 1}, none = {NULL, 0};
    EXPECT(value_curve_cost(&late, MS(100)) == 0, "before the first step");
    EXPECT(value_curve_cost(&late, MS(101)) == 3e3, "after it");
    EXPECT(value_curve_cost(&none, S(100)) == 0, "no curve");
    arena_release(&f.arena);
}

static void phases_give_capacity_in_their_time(void)
{
    struct fixture f;
    fixture_init(&f);
    NEED(!portfolio_seal(&f.p, NULL));
    const struct pool *pool = &f.pools[0];
    EXPECT(!pool_active(&f.p, pool, S(100) - 1), "before");
    EXPECT(pool_active(&f.p, pool, S(100)) && pool_active(&f.p, pool, S(250)), "from the first on");
    EXPECT(!pool_active(&f.p, pool, S(300)), "all taken back");
    EXPECT(pool_active(&f.p, &f.pools[1], 0), "a pool without a contract");
    f.phases[0].status = STATUS_TALKS;
    EXPECT(!pool_active(&f.p, pool, S(150)), "talks give nothing");
    f.phases[0] = (struct phase){S(100), S(120), .status = STATUS_LIVE};
    EXPECT(pool_active(&f.p, pool, S(110)) && !pool_active(&f.p, pool, S(120)), "a size not said");
    f.contracts[0].n_phases = 0;
    EXPECT(pool_active(&f.p, pool, 0), "no phases");
    arena_release(&f.arena);
}

static void what_is_not_said_comes_from_above(void)
{
    struct fixture f;
    fixture_init(&f);
    const struct pool *pool = &f.pools[0];
    EXPECT(pool_serving(pool, 0) == &f.serves[1] && pool_serving(pool, 1) == &f.serves[0],
           "serving");
    EXPECT(!pool_serving(pool, 7) && !pool_serving(&f.pools[1], 0), "not served");
    EXPECT(serving_context(&f.p, &f.serves[1]) == 8192 && !serving_context(&f.p, &f.serves[0]),
           "model's");
    f.serves[1].context_tok = 4096;
    EXPECT(serving_context(&f.p, &f.serves[1]) == 4096, "its own");
    EXPECT(serving_surfaces(&f.p, pool, &f.serves[0]) == api_surfaces(API_CEREBRAS), "dialect's");
    f.suppliers[0].surfaces = SURFACE_CHAT;
    EXPECT(serving_surfaces(&f.p, pool, &f.serves[0]) == SURFACE_CHAT, "supplier's");
    f.serves[0].surfaces = SURFACE_EMBEDDINGS;
    EXPECT(serving_surfaces(&f.p, pool, &f.serves[0]) == SURFACE_EMBEDDINGS, "its own");
    EXPECT(pool_round_trip_us(&f.p, pool, STR("eu")) == MS(90), "said");
    EXPECT(pool_round_trip_us(&f.p, pool, STR("us")) == 0, "not said");
    EXPECT(pool_round_trip_us(&f.p, &f.pools[1], STR("eu")) == 0, "no site");
    arena_release(&f.arena);
}

static void every_value_has_a_name(void)
{
    for (int i = 0; i < API_COUNT; i++)
        EXPECT(api_name((enum api)i) && api_surfaces((enum api)i), "%d", i);
    for (int i = 0; i < STATUS_COUNT; i++)
        EXPECT(status_name((enum status)i), "%d", i);
    for (int i = 0; i <= BASIS_ASSUMED; i++)
        EXPECT(basis_name((enum basis)i), "%d", i);
    EXPECT(str_eq(str_of(api_name(API_LLAMA_CPP)), STR("llama.cpp")), "as in the file");
    EXPECT(api_speaks_openai(API_SIM) && !api_speaks_openai(API_ANTHROPIC), "dialects");
}

static void a_call_is_rounded_once_half_up(void)
{
    // 0.35 and 0.75 USD/Mtok: 350 and 750 nano-dollars a token.
    struct token_price p = {true, 350000000, -1, 0, 750000000};
    EXPECT(price_of(&p, 1000, 0, 200) == 500000, "%" PRId64, price_of(&p, 1000, 0, 200));
    EXPECT(price_of(&p, 1000, 400, 0) == 350000, "cached is as input where nothing is said");
    p.cached_input = 35000000;
    EXPECT(price_of(&p, 1000, 400, 0) == 600 * 350 + 400 * 35, "cached");
    EXPECT(price_of(&p, 1000, 5000, 0) == 1000 * 35, "no more cached than asked");
    EXPECT(price_of(&p, -5, -5, -5) == 0, "nothing below 0");
    struct token_price half = {true, 500000, 0, 0, 0};
    EXPECT(price_of(&half, 1, 0, 0) == 1 && price_of(&half, 3, 0, 0) == 2, "half up");
    struct token_price thirds = {true, 333333, 333333, 0, 333333};
    EXPECT(price_of(&thirds, 2, 1, 2) == 1, "once: 4 x 0.333 is 1.33, and not 0");
    p.said = false;
    EXPECT(price_of(&p, 1000, 0, 1000) == 0, "not said");
    struct token_price dear = {true, INT64_MAX, 0, 0, INT64_MAX};
    EXPECT(price_of(&dear, INT64_MAX, 0, INT64_MAX) == INT64_MAX, "stays at the end");
}

static void defaults_are_as_written(void)
{
    struct pool pool;
    pool_defaults(&pool);
    EXPECT(pool.supplier == -1 && pool.contract == -1 && pool.enabled && pool.weight == 1, "pool");
    EXPECT(pool.purpose == PURPOSE_INFERENCE && pool.derate == 1, "pool");
    struct tenant t;
    tenant_defaults(&t);
    EXPECT(t.n_models == -1 && t.n_classes == -1 && t.n_regions == -1 && t.markup == -1, "tenant");
    EXPECT(t.allowance.budget_day_nusd == -1 && t.allowance.budget_month_uusd == -1 &&
               t.passthrough == -1,
           "tenant");
    struct class c;
    class_defaults(&c);
    EXPECT(c.ttft_us == NEVER && c.deadline_us == NEVER && c.unserved_nusd == -1, "class");
    struct serve_config s;
    serve_config_defaults(&s);
    EXPECT(s.port == 8080 && s.body_bytes == 20971520 && s.default_class == -1, "serve");
    struct supplier u;
    supplier_defaults(&u);
    EXPECT(u.first_byte_us == S(60) && str_eq(u.run.health, STR("/health")), "supplier");
}

int main(void)
{
    TEST(sealing_sorts_and_names);
    TEST(an_empty_portfolio_is_sealed_too);
    TEST(a_name_that_stands_twice_is_named_with_its_place);
    TEST(an_index_out_of_range_is_refused);
    TEST(a_full_arena_is_an_error);
    TEST(waiting_costs_the_integral_of_its_curve);
    TEST(phases_give_capacity_in_their_time);
    TEST(what_is_not_said_comes_from_above);
    TEST(every_value_has_a_name);
    TEST(a_call_is_rounded_once_half_up);
    TEST(defaults_are_as_written);
    return test_end();
}
