#include "portfolio/check.h"

#include "base/units.h"
#include "lib/test.h"
#include "portfolio/committed.h"

#include <math.h>

// A portfolio of three pools of two suppliers serving one model; the tests change it.
struct fleet {
    struct arena a;
    struct portfolio p;
    struct supplier suppliers[2];
    struct pool pools[3];
    struct serving serves[3];
    struct model models[1];
    struct contract contracts[3];
    struct phase phases[3];
    struct tenant tenants[1];
    struct tenant_key key;
    struct problems problems;
};

static int64_t day(int32_t year, int32_t month, int32_t dom)
{
    return civil_us((struct civil){.year = year, .month = month, .day = dom});
}

static void fleet_init(struct fleet *f)
{
    *f = (struct fleet){0};
    arena_init(&f->a, 1 << 20);
    problems_init(&f->problems, &f->a);
    f->p = (struct portfolio){.arena = &f->a,
                              .suppliers = f->suppliers,
                              .pools = f->pools,
                              .models = f->models,
                              .contracts = f->contracts,
                              .tenants = f->tenants,
                              .n_suppliers = 2,
                              .n_pools = 3,
                              .n_models = 1};
    serve_config_defaults(&f->p.serve);
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 2; i++) {
        supplier_defaults(&f->suppliers[i]);
        f->suppliers[i].name = str_of(names[i]);
        f->suppliers[i].url = STR("https://h/v1");
    }
    for (int i = 0; i < 3; i++) {
        pool_defaults(&f->pools[i]);
        f->pools[i].name = str_of(names[i]);
        f->pools[i].supplier = i % 2;
        f->pools[i].url = STR("https://h/v1");
        f->pools[i].key = STR("sk-of-h");
        f->serves[i] = (struct serving){.price = {.said = true}, .as = STR("m")};
        f->pools[i].serves = &f->serves[i];
        f->pools[i].n_serves = 1;
        f->contracts[i] = (struct contract){.name = str_of(names[i]),
                                            .supplier = 0,
                                            .part_of = -1,
                                            .status = STATUS_SIGNED,
                                            .until_us = NEVER,
                                            .purpose = PURPOSE_INFERENCE};
        f->phases[i] = (struct phase){.until_us = NEVER, .status = STATUS_SIGNED};
    }
    f->models[0].name = STR("m");
    tenant_defaults(&f->tenants[0]);
    f->tenants[0].name = STR("t");
    f->tenants[0].keys = &f->key;
    f->tenants[0].n_keys = 1;
}

// Whether a problem with this path and words is found.
static bool finds(struct fleet *f, const char *path, const char *words)
{
    struct diag diag = {0};
    NEED(!portfolio_seal(&f->p, &diag));
    problems_init(&f->problems, &f->a);
    check_portfolio(&f->p, day(2026, 6, 1), &f->problems);
    for (const struct problem *x = f->problems.first; x; x = x->next)
        if (str_eq(x->path, str_of(path)) && strstr(x->text.p, words))
            return true;
    return false;
}

static void a_good_portfolio_has_no_problems(void)
{
    struct fleet f;
    fleet_init(&f);
    finds(&f, "", "");
    EXPECT(!f.problems.first, STR_FMT, STR_ARG(f.problems.first->path));
    arena_release(&f.a);
}

static void listening_for_all_without_keys_is_an_error(void)
{
    struct fleet f;
    fleet_init(&f);
    f.p.serve.host = STR("0.0.0.0");
    EXPECT(finds(&f, "serve.listen", "no tenant has a key"), "0.0.0.0");
    EXPECT(f.problems.errors == 1, "%d", f.problems.errors);
    f.p.n_tenants = 1;
    EXPECT(!finds(&f, "serve.listen", ""), "with a key it is right");
    f.tenants[0].n_keys = 0;
    EXPECT(finds(&f, "serve.listen", "no tenant has a key") && f.problems.errors == 1,
           "a lone tenant");
    EXPECT(!finds(&f, "tenants.t.keys", ""), "without keys the first tenant is everybody");
    f.p.serve.host = STR("::1");
    EXPECT(!finds(&f, "serve.listen", ""), "loopback");
    arena_release(&f.a);
}

static void each_oddity_is_said(void)
{
    struct fleet f;
    fleet_init(&f);
    f.serves[2].price.said = false;
    EXPECT(finds(&f, "pools.c.serves", "no price"), "price");
    f.suppliers[1].api = API_ANTHROPIC;
    EXPECT(finds(&f, "suppliers.b.api", "cannot call yet"), "dialect");
    f.suppliers[0].key = STR("k");
    f.suppliers[0].url = f.pools[0].url = f.pools[2].url = STR("http://example.com/v1");
    EXPECT(finds(&f, "suppliers.a.url", "plain http"), "plain http with a key");
    f.suppliers[0].url = STR("http://127.0.0.1:1/v1");
    EXPECT(!finds(&f, "suppliers.a.url", "plain http"), "not on this machine");
    f.pools[1].enabled = false;
    EXPECT(finds(&f, "models.m", "one supplier only (a)"), "one supplier");
    f.pools[0].enabled = f.pools[2].enabled = false;
    EXPECT(finds(&f, "models.m", "no pool"), "no pool");
    arena_release(&f.a);
}

static void calls_that_will_be_refused_are_said(void)
{
    struct fleet f;
    fleet_init(&f);
    f.pools[0].key = STR("");
    EXPECT(finds(&f, "pools.a.key", "is empty"), "https without a key");
    f.pools[0].url = STR("https://localhost/v1");
    EXPECT(!finds(&f, "pools.a.key", ""), "on this machine");
    f.pools[1].url = STR("https://u:p@h");
    EXPECT(finds(&f, "pools.b.url", "\"https://***@h/chat/completions\" will be called"),
           "no path");
    f.pools[1].url = STR("https://h/");
    EXPECT(finds(&f, "pools.b.url", "most suppliers want \"https://h/v1\""), "a slash alone");
    f.pools[1].enabled = false;
    EXPECT(!finds(&f, "pools.b.url", ""), "not called");
    f.p.n_pools = 0;
    EXPECT(finds(&f, "pools", "names none"), "no pool");
    arena_release(&f.a);
}

static void limits_of_tenants_that_contradict_each_other_are_said(void)
{
    struct fleet f;
    fleet_init(&f);
    struct tenant *t = f.tenants;
    struct tenant pair[2] = {t[0], t[0]};
    struct allowance *above = &pair[0].allowance, *below = &pair[1].allowance;
    f.p.tenants = pair;
    f.p.n_tenants = 2;
    pair[0].n_keys = 0;
    pair[1].name = STR("u");
    pair[1].of = 0;
    f.key.allowance = t->allowance;
    EXPECT(!finds(&f, "tenants.t.keys", "") && !finds(&f, "tenants.u.keys", ""),
           "one above another needs no key");
    above->budget_day_nusd = 5000000000;
    below->budget_day_nusd = 6000000000;
    EXPECT(finds(&f, "tenants.u.budget.day", "is more than t above it may use"), "budget");
    below->budget_day_nusd = 5000000000;
    EXPECT(!finds(&f, "tenants.u.budget.day", ""), "the same");
    below->budget_month_uusd = 4000000;
    EXPECT(finds(&f, "tenants.u.budget.day", "is more than the month's budget"), "day and month");
    below->budget_month_uusd = 0;
    EXPECT(finds(&f, "tenants.u.budget.month", "is nothing"), "nothing to spend");
    f.key.allowance.in_flight = 9;
    below->in_flight = 8;
    EXPECT(finds(&f, "tenants.u.keys[1].limits.in_flight", "is more than u"), "a key's limit");
    f.key.allowance.until_us = day(2026, 5, 31);
    EXPECT(finds(&f, "tenants.u.keys[1].until", "has passed"), "an old key");
    struct class classes[2] = {{.name = STR("chat")}, {.name = STR("batch")}};
    int32_t batch = 1;
    class_defaults(&classes[0]);
    class_defaults(&classes[1]);
    classes[0].name = STR("chat");
    f.p.classes = classes;
    f.p.n_classes = 2;
    f.p.serve.default_class = 0;
    pair[1].classes = &batch;
    pair[1].n_classes = 1;
    EXPECT(finds(&f, "tenants.u.classes", "requests that name none (chat)"), "its default class");
    arena_release(&f.a);
}

static void phases_that_nobody_uses_are_said(void)
{
    struct fleet f;
    fleet_init(&f);
    f.p.n_contracts = 1;
    f.contracts[0].phases = f.phases;
    f.contracts[0].n_phases = 1;
    f.phases[0].from_us = day(2026, 1, 1);
    f.phases[0].adds_w = 1e6;
    EXPECT(finds(&f, "contracts.a.phases", "no pool uses it"), "begun");
    f.pools[0].contract = 0;
    EXPECT(!finds(&f, "contracts.a.phases", ""), "used");
    f.phases[0].from_us = day(2027, 1, 1);
    EXPECT(finds(&f, "pools.a.contract", "no phase that gives capacity today"), "not yet");
    bool callable;
    struct str now = pool_now(&f.a, &f.p, &f.pools[0], day(2026, 6, 1), &callable);
    EXPECT(!callable && str_eq(now, STR("no: from 2027-01-01T00:00:00Z")), STR_FMT, STR_ARG(now));
    now = pool_now(&f.a, &f.p, &f.pools[0], day(2027, 6, 1), &callable);
    EXPECT(callable && str_eq(now, STR("yes")), STR_FMT, STR_ARG(now));
    f.contracts[0].power_ceiling_w = 1e5;
    EXPECT(finds(&f, "contracts.a.ceiling", "less than"), "ceiling");
    arena_release(&f.a);
}

static const struct committed_cell *cell(const struct committed *k, int32_t year, enum status s)
{
    NEED(year >= k->first_year && year < k->first_year + k->n_years);
    return &k->cells[(year - k->first_year) * STATUS_COUNT + (int32_t)s];
}

static void statuses_are_never_added_and_parts_count_once(void)
{
    struct fleet f;
    struct committed k;
    fleet_init(&f);
    f.p.n_contracts = 3;
    for (int i = 0; i < 3; i++) {
        f.contracts[i].from_us = day(2026, 1, 1);
        f.contracts[i].until_us = day(2028, 1, 1);
        f.contracts[i].phases = &f.phases[i];
        f.contracts[i].n_phases = 1;
        f.phases[i].from_us = day(2026, 7, 1);
    }
    f.contracts[0].value_uusd = 500 * 1000000;
    f.contracts[0].status = f.phases[0].status = STATUS_LETTER;
    f.phases[0].adds_w = 10e6;
    f.contracts[1].value_uusd = 300 * 1000000;
    f.contracts[1].part_of = 0;
    f.phases[1].adds_w = 4e6;
    f.contracts[2].value_uusd = 70 * 1000000;
    f.contracts[2].status = f.phases[2].status = STATUS_TALKS;
    f.phases[2].min_w = 1e6;
    f.phases[2].max_w = 3e6;
    f.contracts[2].value_is_bound = true;
    f.contracts[2].value_note = STR("up to");
    NEED(!committed_of(&k, &f.a, &f.p));
    EXPECT(k.first_year == 2026 && k.n_years == 2, "%d years", k.n_years);
    double usd[] = {cell(&k, 2026, STATUS_LETTER)->usd + cell(&k, 2027, STATUS_LETTER)->usd,
                    cell(&k, 2026, STATUS_SIGNED)->usd + cell(&k, 2027, STATUS_SIGNED)->usd,
                    cell(&k, 2026, STATUS_TALKS)->usd + cell(&k, 2027, STATUS_TALKS)->usd};
    EXPECT(fabs(usd[0] - 200) < 1e-6 && fabs(usd[1] - 300) < 1e-6 && fabs(usd[2] - 70) < 1e-6,
           "%g %g %g", usd[0], usd[1], usd[2]);
    EXPECT(fabs(cell(&k, 2027, STATUS_LETTER)->w - 6e6) < 1e-3, "the rest of the whole: %g",
           cell(&k, 2027, STATUS_LETTER)->w);
    EXPECT(cell(&k, 2027, STATUS_SIGNED)->w == 4e6, "%g", cell(&k, 2027, STATUS_SIGNED)->w);
    EXPECT(cell(&k, 2026, STATUS_TALKS)->w == 1e6, "its least");
    EXPECT(cell(&k, 2026, STATUS_TALKS)->up_to && !cell(&k, 2026, STATUS_SIGNED)->up_to, "bound");
    f.contracts[1].until_us = NEVER;
    NEED(!committed_of(&k, &f.a, &f.p));
    EXPECT(fabs(k.undated[STATUS_SIGNED].usd - 300) < 1e-6, "without an end");
    arena_release(&f.a);
}

static void commitments_in_money_count_without_a_value(void)
{
    struct contract c = {.from_us = day(2026, 1, 1),
                         .until_us = day(2028, 1, 1),
                         .commitment = {.amount = 10, .unit = COMMIT_USD, .per = PERIOD_MONTH}};
    EXPECT(fabs(contract_usd(&c) - 240) < 0.5, "%g", contract_usd(&c));
    c.value_uusd = 1000000;
    EXPECT(contract_usd(&c) == 1, "the value goes first");
}

static void hosts_are_told_apart(void)
{
    static const struct {
        const char *url, *host;
        bool loopback;
    } cases[] = {{"http://127.0.0.1:80/v1", "127.0.0.1", true},
                 {"http://LOCALHOST", "LOCALHOST", true},
                 {"https://[::1]:8/x", "[::1]", true},
                 {"https://u:p@h.example:1/v1@x", "h.example", false},
                 {"https://127.0.0.1.example.com", "127.0.0.1.example.com", false},
                 {"https://[2001:db8::1]", "[2001:db8::1]", false},
                 {"nonsense", "", false}};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct str host = url_host(str_of(cases[i].url));
        EXPECT(str_eq(host, str_of(cases[i].host)), "%s: " STR_FMT, cases[i].url, STR_ARG(host));
        EXPECT(host_is_loopback(host) == cases[i].loopback, "%s", cases[i].url);
    }
}

static void urls_are_shown_without_secrets(void)
{
    static const char *const cases[][2] = {
        {"https://u:p@h/v1", "https://***@h/v1"},
        {"https://h/v1?key=1", "https://h/v1?***"},
        {"https://h/v1", "https://h/v1"},
        {"plain text", "plain text"},
    };
    struct arena a;
    arena_init(&a, 1 << 16);
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct str out = url_shown(&a, str_of(cases[i][0]));
        EXPECT(str_eq(out, str_of(cases[i][1])), STR_FMT, STR_ARG(out));
    }
    arena_release(&a);
}

static void many_problems_are_counted_and_not_all_kept(void)
{
    struct arena a;
    struct problems list;
    int32_t kept = 0;
    arena_init(&a, 1 << 20);
    problems_init(&list, &a);
    for (int32_t i = 0; i < 3 * PROBLEMS_MAX; i++)
        problems_add(&list, SEVERITY_ERROR, (struct place){0}, STR("x"), "number %d", i);
    for (const struct problem *x = list.first; x; x = x->next)
        kept++;
    EXPECT(kept == PROBLEMS_MAX && list.errors == 3 * PROBLEMS_MAX, "%d of %d", kept, list.errors);
    arena_release(&a);
}

int main(void)
{
    TEST(a_good_portfolio_has_no_problems);
    TEST(listening_for_all_without_keys_is_an_error);
    TEST(each_oddity_is_said);
    TEST(calls_that_will_be_refused_are_said);
    TEST(limits_of_tenants_that_contradict_each_other_are_said);
    TEST(phases_that_nobody_uses_are_said);
    TEST(statuses_are_never_added_and_parts_count_once);
    TEST(commitments_in_money_count_without_a_value);
    TEST(hosts_are_told_apart);
    TEST(urls_are_shown_without_secrets);
    TEST(many_problems_are_counted_and_not_all_kept);
    return test_end();
}
