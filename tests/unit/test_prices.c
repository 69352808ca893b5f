#include "lib/test.h"
#include "wire/config.h"
#include "wire/prices.h"

#include <math.h>

static struct arena arena;

static bool no_variable(void *ctx, struct str name, struct str *value)
{
    (void)ctx, (void)name, (void)value;
    return false;
}

static const char fleet[] =
    "caudal: 1\n"
    "suppliers: {s: {api: vllm, url: \"http://127.0.0.1:1/v1\"}}\n"
    "contracts:\n"
    "  c: {supplier: s, status: signed, from: 2026-01-05, until: 2026-02-05,\n"
    "      commitment: {amount: 5 USD, per: term}}\n"
    "  free: {supplier: s, status: signed}\n"
    "pools: {a: {supplier: s, contract: c, serves: [m]}, 'b\"x\"': {supplier: s, serves: [m]}}\n";

static struct portfolio load(void)
{
    struct portfolio p;
    struct problems problems;
    const struct config_file file = {STR("fleet.yaml"), str_of(fleet)};
    const struct config_env env = {.get = no_variable};
    arena_release(&arena);
    arena_init(&arena, 64 << 20);
    problems_init(&problems, &arena);
    enum err e = config_load(&p, &arena, &file, 1, &env, &problems);
    struct str why = problems.first ? problems.first->text : STR("");
    EXPECT(!e, STR_FMT, STR_ARG(why));
    NEED(!e);
    return p;
}

// The first problem's text with its place; empty: none.
static const char *read_str(const struct portfolio *p, struct str text,
                            const struct planned_prices **out)
{
    static char shown[1024];
    struct problems problems;
    struct buf line;
    problems_init(&problems, &arena);
    enum err e = prices_read(out, &arena, p, STR("p.yaml"), text, &problems);
    shown[0] = 0;
    if (problems.first) {
        buf_init(&line, sizeof shown - 1);
        problem_print(&line, problems.first);
        memcpy(shown, buf_str(&line).p, buf_len(&line));
        shown[buf_len(&line)] = 0;
        buf_release(&line);
    }
    EXPECT(!e == !problems.errors, "%s", shown);
    return shown;
}

static const char *read(const struct portfolio *p, const char *text,
                        const struct planned_prices **out)
{
    return read_str(p, str_of(text), out);
}

#define DAY "[1, 1, 1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 2, 1, 1, 0.5]"
#define HEAD "caudal_prices: 1\nuntil: 2026-01-14T12:00:00Z\n"

static void what_is_written_is_read(void)
{
    struct portfolio p = load();
    struct planned_contract contracts[2] = {{.said = true, .worth = 0.25}};
    struct planned_pool pools[2] = {{.share = 0.5}, {.share = 0, .scarce = true}};
    for (int32_t i = 0; i < TYPICAL_HOURS; i++) {
        contracts[0].pace[i] = i + 1;
        pools[1].slot_nusd_per_us[i] = i % 5 * 0.25;
    }
    const struct planned_prices one = {INT64_C(1768392000000000), contracts, pools}, *two = NULL;
    struct buf text;
    buf_init(&text, 1 << 16);
    EXPECT(prices_write(&text, &p, &one, STR("by hand")), "room");
    const char *why = read_str(&p, buf_str(&text), &two);
    NEED(!why[0]);
    EXPECT(two->until_us == one.until_us && two->contracts[0].said && !two->contracts[1].said,
           "said");
    EXPECT(fabs(two->contracts[0].worth - 0.25) < 1e-9, "%g", two->contracts[0].worth);
    EXPECT(two->pools[0].share == 0.5 && two->pools[1].share == 0, "shares");
    EXPECT(!two->pools[0].scarce && two->pools[1].scarce, "scarce");
    for (int32_t i = 0; i < TYPICAL_HOURS; i++) {
        EXPECT(fabs(two->contracts[0].pace[i] / (i + 1) - 1) < 1e-5, "hour %d", i);
        double slot = two->pools[1].slot_nusd_per_us[i] - pools[1].slot_nusd_per_us[i];
        EXPECT(fabs(slot) < 1e-5, "hour %d", i);
    }
    struct buf small;
    buf_init(&small, 64);
    EXPECT(!prices_write(&small, &p, &one, STR("by hand")), "no room");
    buf_release(&small);
    buf_release(&text);
}

static void a_fault_is_named_with_its_place(void)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"pools: {}", "expected `caudal_prices: 1`"},
        {"caudal_prices: 2\nuntil: 2026-01-14", "p.yaml:1:16: is of version 2, expected 1"},
        {"caudal_prices: 1\n", "does not say `until`"},
        {HEAD "contract: {}", "p.yaml:3:1: contract: is not a known key"},
        {HEAD "contracts: {d: {worth: 1 %}}", "contracts.d: is no contract of this portfolio"},
        {HEAD "contracts: {free: {worth: 1 %}}", "commits to nothing"},
        {HEAD "contracts: {c: {worth: 20 %}}", "expected worth and pace"},
        {HEAD "contracts: {c: {worth: 120 %, pace: {weekday: " DAY "}}}", "contracts.c.worth"},
        {HEAD "contracts: {c: {worth: 20 %, pace: {weekday: [1, 2]}}}", "is no list of 24 numbers"},
        {HEAD "contracts: {c: {worth: 20 %, pace: {sunday: " DAY "}}}",
         "expected weekday or weekend"},
        {HEAD "contracts: {c: {worth: 20 %, pace: {}}}", "says no hours"},
        {HEAD "contracts: {c: {worth: 20 %, pace: {weekday: "
              "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}}}",
         "plans no use"},
        {HEAD "pools: {z: {share: 1 %}}", "pools.z: is no pool of this portfolio"},
        {HEAD "pools: {a: {slot: {weekday: "
              "[-1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}}}",
         "pools.a.slot.weekday"},
        {HEAD "pools: {a: {price: 1}}", "price"},
        {"- 1", "expected `caudal_prices: 1`"},
        {"{", "p.yaml:"},
    };
    struct portfolio p = load();
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        const struct planned_prices *out = NULL;
        const char *why = read(&p, rows[i].text, &out);
        EXPECT(strstr(why, rows[i].why), "%d: %s", (int)i, why);
    }
    const struct planned_prices *out = NULL;
    const char *why =
        read(&p, HEAD "contracts: {c: {worth: 20 %, pace: {weekend: " DAY "}}}", &out);
    EXPECT(!why[0] && out->contracts[0].pace[23] == 0.5, "one kind of day stands for both: %s",
           why);
}

// 2026-01-05 is a Monday.
static void planned_use_follows_the_typical_hours(void)
{
    const int64_t monday = S(1767571200), hour = S(3600), day = S(86400);
    EXPECT(typical_hour(monday) == 0 && typical_hour(monday - 1) == 47, "%d", typical_hour(monday));
    EXPECT(typical_hour(monday + 4 * day + 23 * hour) == 23, "Friday's last");
    EXPECT(typical_hour(monday + 5 * day) == 24 && typical_hour(-1) == 23, "Saturday, and 1969");
    struct planned_contract c = {.said = true};
    for (int32_t i = 0; i < TYPICAL_HOURS; i++)
        c.pace[i] = i < TYPICAL_DAY ? i % 2 : 0.25;
    double at = 0;
    for (int64_t h = 0; h <= 7 * 24; h++) {
        double share = planned_share(&c, monday, monday + 7 * day, monday + h * hour);
        EXPECT(fabs(share - at / 72) < 1e-12, "hour %d: %g, expected %g", (int)h, share, at / 72);
        at += c.pace[typical_hour(monday + h * hour)];
    }
    EXPECT(planned_share(&c, monday, monday + day, monday - 1) == 0, "before");
    EXPECT(planned_share(&c, monday, monday + day, monday + day) == 1, "behind");
    EXPECT(planned_share(&c, monday, monday + hour, monday + hour / 4) == 0.25,
           "with nothing planned in it the calendar says");
}

int main(void)
{
    TEST(what_is_written_is_read);
    TEST(a_fault_is_named_with_its_place);
    TEST(planned_use_follows_the_typical_hours);
    arena_release(&arena);
    return test_end();
}
