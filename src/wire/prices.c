#include "wire/prices.h"

#include "wire/config_read.h"

#include <stddef.h>

enum { VERSION = 1 };
#define AT(type, member) offsetof(struct type, member)
#define USD_PER_HOUR (1e9 / 3600e6)  // in nano-dollars a us

// --- reading ----------------------------------------------------------------------------------

static bool read_day(struct reader *r, const struct yaml_node *node, double *day)
{
    if (node->kind != YAML_LIST || node->n != TYPICAL_DAY) {
        bad(r, node->place, "is no list of 24 numbers, one for each hour in UTC");
        return false;
    }
    int32_t i = 0;
    for (const struct yaml_node *c = node->first; c; c = c->next, i++) {
        FIRST_STEP(r, entry, STR(""), i + 1);
        bool ok = read_number(r, c, &day[i]);
        if (ok && !(day[i] >= 0 && day[i] <= 1e12))
            bad_value(r, c, "is out of range", "a number from 0 to 1e12");
        LAST_STEP(r, entry);
        if (!ok)
            return false;
    }
    return true;
}

// {weekday: [24 numbers], weekend: [24 numbers]}; one stands for the other where that is not said.
static void read_hours(struct reader *r, const struct yaml_node *node, double *hours)
{
    bool said[2] = {false, false};
    if (!is_map(r, node, "{weekday: [24 numbers], weekend: [24 numbers]}"))
        return;
    for (const struct yaml_node *c = node->first; c; c = c->next) {
        FIRST_STEP(r, entry, c->key, 0);
        int kind = str_eq(c->key, STR("weekday")) ? 0 : str_eq(c->key, STR("weekend")) ? 1 : -1;
        if (kind < 0)
            bad(r, c->key_place, "is not a known key, expected weekday or weekend");
        else
            said[kind] = read_day(r, c, &hours[kind * TYPICAL_DAY]);
        LAST_STEP(r, entry);
    }
    if (!node->n)
        bad(r, node->place, "says no hours, expected {weekday: [24 numbers]}");
    for (int k = 0; k < 2; k++)
        if (!said[k])
            memcpy(&hours[k * TYPICAL_DAY], &hours[(1 - k) * TYPICAL_DAY],
                   TYPICAL_DAY * sizeof *hours);
}

static void read_pace(struct reader *r, const struct yaml_node *node, void *object)
{
    struct planned_contract *c = object;
    double sum = 0;
    read_hours(r, node, c->pace);
    for (int32_t i = 0; i < TYPICAL_HOURS; i++)
        sum += c->pace[i];
    if (!(sum > 0))
        bad(r, node->place, "plans no use in any hour, expected a number above 0 in one");
}

static void read_slot(struct reader *r, const struct yaml_node *node, void *object)
{
    struct planned_pool *pool = object;
    read_hours(r, node, pool->slot_nusd_per_us);
    for (int32_t i = 0; i < TYPICAL_HOURS; i++) {
        pool->slot_nusd_per_us[i] *= USD_PER_HOUR;
        pool->scarce = pool->scarce || pool->slot_nusd_per_us[i] > 0;
    }
}

static const struct field contract_rows[] = {
    {"worth", KIND_UNIT, AT(planned_contract, worth), .unit = UNIT_SHARE, .hi = 1},
    {"pace", KIND_CUSTOM, .read = read_pace},
    {.key = NULL},
};
static const struct field pool_rows[] = {
    {"share", KIND_UNIT, AT(planned_pool, share), .unit = UNIT_SHARE, .hi = 1},
    {"slot", KIND_CUSTOM, .read = read_slot},
    {.key = NULL},
};

static void read_contracts(struct reader *r, const struct yaml_node *node,
                           struct planned_prices *out)
{
    if (!is_map(r, node, "a map of contracts"))
        return;
    for (const struct yaml_node *c = node->first; c; c = c->next) {
        FIRST_STEP(r, entry, c->key, 0);
        int32_t i = portfolio_contract(r->p, c->key);
        if (i < 0) {
            bad(r, c->key_place, "is no contract of this portfolio: these prices are of another");
        } else if (!(r->p->contracts[i].commitment.amount > 0)) {
            bad(r, c->key_place,
                "commits to nothing in this portfolio, so nothing is to be priced");
        } else if (is_map(r, c, "{worth: 20 %, pace: {weekday: [24 numbers]}}")) {
            struct planned_contract *planned = &out->contracts[i];
            planned->said = true;
            read_fields(r, c, contract_rows, planned);
            if (!yaml_get(c, STR("worth")) || !yaml_get(c, STR("pace")))
                bad(r, c->key_place, "is not whole, expected worth and pace");
        }
        LAST_STEP(r, entry);
    }
}

static void read_pools(struct reader *r, const struct yaml_node *node, struct planned_prices *out)
{
    if (!is_map(r, node, "a map of pools"))
        return;
    for (const struct yaml_node *c = node->first; c; c = c->next) {
        FIRST_STEP(r, entry, c->key, 0);
        int32_t i;
        if (!table_get(r->p->pool_names, c->key, &i))
            bad(r, c->key_place, "is no pool of this portfolio: these prices are of another");
        else if (is_map(r, c, "{share: 30 %, slot: {weekday: [24 numbers]}}"))
            read_fields(r, c, pool_rows, &out->pools[i]);
        LAST_STEP(r, entry);
    }
}

static void read_top(struct reader *r, const struct yaml_node *top, struct planned_prices *out)
{
    const struct yaml_node *version = yaml_get(top, STR("caudal_prices"));
    double v;
    if (!version) {
        bad(r, top->place, "is no file of prices, expected `caudal_prices: 1`");
        return;
    }
    if (!read_number(r, version, &v))
        return;
    if (v != VERSION) {
        bad(r, version->place, "is of version %g, expected %d", v, VERSION);
        return;
    }
    for (const struct yaml_node *c = top->first; c; c = c->next) {
        FIRST_STEP(r, entry, c->key, 0);
        if (str_eq(c->key, STR("until")))
            read_instant(r, c, &out->until_us);
        else if (str_eq(c->key, STR("contracts")))
            read_contracts(r, c, out);
        else if (str_eq(c->key, STR("pools")))
            read_pools(r, c, out);
        else if (c != version)
            bad(r, c->key_place,
                "is not a known key, expected caudal_prices, until, contracts or pools");
        LAST_STEP(r, entry);
    }
    if (!yaml_get(top, STR("until")))
        bad(r, top->place, "does not say `until`, expected when the plan ends");
}

enum err prices_read(const struct planned_prices **out, struct arena *a, const struct portfolio *p,
                     struct str name, struct str text, struct problems *problems)
{
    struct portfolio borrowed = *p;  // the reader adds secrets to one; here are none
    struct reader r = {.p = &borrowed, .a = a, .problems = problems};
    int32_t before = problems->errors;
    struct yaml_node *docs;
    struct place at;
    struct diag diag = {0};
    if (yaml_parse(&docs, a, name, text, &at, &diag)) {
        bad(&r, at, "%s", diag.text);
        return ERR_INVALID;
    }
    struct planned_prices *prices = read_new(&r, struct planned_prices, 1);
    if (prices)
        prices->contracts = read_new(&r, struct planned_contract, p->n_contracts + 1);
    if (prices)
        prices->pools = read_new(&r, struct planned_pool, p->n_pools + 1);
    if (!prices || !prices->contracts || !prices->pools)
        return ERR_LIMIT;
    for (int32_t i = 0; i < p->n_pools; i++)
        prices->pools[i].share = -1;
    const struct yaml_node *top = docs->first;
    if (docs->n != 1 || top->kind != YAML_MAP)
        bad(&r, (struct place){name, 1, 1}, "is no file of prices, expected `caudal_prices: 1`");
    else
        read_top(&r, top, prices);
    if (r.full)
        return ERR_LIMIT;
    *out = prices;
    return problems->errors > before ? ERR_INVALID : ERR_NONE;
}

// --- writing ----------------------------------------------------------------------------------

static void write_hours(struct buf *out, const char *key, const double *hours, double unit)
{
    buf_printf(out, "    %s:\n", key);
    for (int k = 0; k < 2; k++) {
        const double *day = &hours[k * TYPICAL_DAY];
        bool same = k == 1 && memcmp(day, hours, TYPICAL_DAY * sizeof *day) == 0;
        for (int32_t i = 0; i < TYPICAL_DAY && !same; i++)
            buf_printf(out, "%s%.6g",
                       i   ? ", "
                       : k ? "      weekend: ["
                           : "      weekday: [",
                       day[i] / unit);
        if (!same)
            buf_lit(out, "]\n");
    }
}

// Names may be anything; quoted, every one is YAML.
static void write_name(struct buf *out, struct str name)
{
    buf_lit(out, "  \"");
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] == '"' || name.p[i] == '\\')
            buf_lit(out, "\\");
        buf_add(out, &name.p[i], 1);
    }
    buf_lit(out, "\":\n");
}

bool prices_write(struct buf *out, const struct portfolio *p, const struct planned_prices *prices,
                  struct str made)
{
    char date[UNIT_TEXT];
    buf_printf(out, "caudal_prices: %d\n# " STR_FMT "\nuntil: %s\n", VERSION, STR_ARG(made),
               unit_text_instant(date, prices->until_us));
    const char *head = "contracts:\n";
    for (int32_t i = 0; i < p->n_contracts; i++) {
        const struct planned_contract *c = &prices->contracts[i];
        if (!c->said)
            continue;
        buf_printf(out, "%s", head);
        head = "";
        write_name(out, p->contracts[i].name);
        buf_printf(out, "    worth: %.4g %%  # of the price beyond the commitment\n",
                   100 * c->worth);
        write_hours(out, "pace", c->pace, 1);
    }
    head = "pools:\n";
    for (int32_t i = 0; i < p->n_pools; i++) {
        const struct planned_pool *pool = &prices->pools[i];
        if (pool->share < 0 && !pool->scarce)
            continue;
        buf_printf(out, "%s", head);
        head = "";
        write_name(out, p->pools[i].name);
        if (pool->share >= 0)
            buf_printf(out, "    share: %.4g %%\n", 100 * pool->share);
        if (pool->scarce)
            write_hours(out, "slot", pool->slot_nusd_per_us, USD_PER_HOUR);
    }
    return !out->overflow;
}
