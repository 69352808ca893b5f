// What was agreed: contracts with their commitments, phases and options.

#include "portfolio/commitment.h"
#include "wire/config_read.h"

#include <math.h>

#define AT(type, member) offsetof(struct type, member)

static const char *status_word(int i)
{
    return i < STATUS_COUNT ? status_name((enum status)i) : NULL;
}

static const char *period_word(int i)
{
    static const char *const words[] = {"none", "month", "quarter", "year", "term"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

static bool is_unit(struct str unit, const char *one, const char *many, double *factor)
{
    struct str words[] = {str_of(one), str_of(many)};
    for (size_t i = 0; i < COUNTOF(words); i++)
        if (str_ends(unit, words[i])) {
            unit.n -= words[i].n;
            return si_prefix(str_trim(unit), factor);
        }
    return false;
}

// The amount of "1000 accelerators" or "10k accelerators".
static bool parse_count(struct str text, const char *one, const char *many, double *out)
{
    double v, factor;
    struct str unit;
    if (!split_quantity(text, &v, &unit) || !is_unit(unit, one, many, &factor))
        return false;
    *out = v * factor;
    return true;
}

static bool ends_with_rate(struct str text)
{
    size_t at;
    return str_find(text, STR("/"), &at);
}

// What a phase or an option adds: watts, accelerators, PTU or tokens per second, by its unit.
struct adds {
    double w, accelerators, ptu, token_rate;
};

static void read_adds_one(struct reader *r, const struct yaml_node *node, struct adds *adds)
{
    static const char expected[] = "250 MW, 1000 accelerators, 50 PTU or 1M tok/s";
    struct diag diag = {0};
    double v = 0;
    if (node->broken || !is_scalar(r, node, expected))
        return;
    if (parse_count(node->text, "accelerator", "accelerators", &v))
        adds->accelerators = v;
    else if (parse_count(node->text, "PTU", "PTUs", &v))
        adds->ptu = v;
    else if (ends_with_rate(node->text) && !unit_parse(&v, UNIT_TOKEN_RATE, node->text, &diag))
        adds->token_rate = v;
    else if (!unit_parse(&v, UNIT_POWER, node->text, &diag))
        adds->w = v;
    else
        bad_value(r, node, "is no amount of power, accelerators, PTU or tokens", expected);
    if (v < 0)
        bad_value(r, node, "is negative", expected);
}

static void read_adds(struct reader *r, const struct yaml_node *node, struct adds *adds)
{
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c))
        read_adds_one(r, c, adds);
}

static void read_phase_adds(struct reader *r, const struct yaml_node *node, void *object)
{
    struct phase *phase = object;
    struct adds adds = {0};
    read_adds(r, node, &adds);
    phase->adds_w = adds.w;
    phase->adds_accelerators = adds.accelerators;
    phase->adds_ptu = adds.ptu;
    phase->adds_token_rate = adds.token_rate;
}

static void read_between(struct reader *r, const struct yaml_node *node, void *object)
{
    static const char expected[] = "two amounts such as [100 MW, 250 MW]";
    struct phase *phase = object;
    double least, most;
    if (node->kind != YAML_LIST || node->n != 2) {
        bad_value(r, node, "is not a pair", expected);
        return;
    }
    if (node->first->broken || node->last->broken ||
        !read_unit(r, node->first, UNIT_POWER, &least) ||
        !read_unit(r, node->last, UNIT_POWER, &most))
        return;
    if (least < 0 || most < least) {
        bad(r, node->place, "is not in order, expected the smaller first");
        return;
    }
    phase->min_w = least;
    phase->max_w = most;
}

static const char *load_word(int i)
{
    static const char *const words[] = {"facility", "it"};
    return i < (int)COUNTOF(words) ? words[i] : NULL;
}

static void read_load(struct reader *r, const struct yaml_node *node, void *object)
{
    int it;
    if (read_word(r, node, load_word, &it))
        ((struct phase *)object)->load_is_it = it;
}

static const struct field phase_fields[] = {
    {"from", KIND_INSTANT, AT(phase, from_us), .fallback = "the contract's",
     .meaning = "when it comes"},
    {"until", KIND_INSTANT, AT(phase, until_us), .fallback = "open", .meaning = "when it ends"},
    {"adds", KIND_CUSTOM, .read = read_phase_adds,
     .shape = "`250 MW`, `1000 accelerators`, `50 PTU`, `1M tok/s`, or a list of such",
     .meaning = "what it adds to the phases before it"},
    {"between", KIND_CUSTOM, .read = read_between, .shape = "`[MIN, MAX]` power",
     .fallback = "fixed", .meaning = "how far an adjustable phase may go"},
    {"status", KIND_WORD, AT(phase, status), .word = status_word, .fallback = "the contract's",
     .meaning = "how sure it is"},
    {"load", KIND_CUSTOM, .read = read_load, .shape = "`facility` or `it`", .fallback = "facility",
     .meaning = "whether its power is measured at the grid or at the machines"},
    {"source", KIND_SOURCE, AT(phase, source), .meaning = "where the figures come from"},
    {.key = NULL},
};

static void read_phases(struct reader *r, const struct yaml_node *node, struct contract *contract)
{
    int32_t i = 0;
    contract->phases = read_new(r, struct phase, list_len(node));
    if (!contract->phases)
        return;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        struct phase *phase = &contract->phases[contract->n_phases++];
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        *phase = (struct phase){.from_us = contract->from_us,
                                .until_us = NEVER,
                                .status = contract->status,
                                .place = c->place};
        read_fields(r, c, phase_fields, phase);
        if (phase->until_us <= phase->from_us)
            bad(r, c->place, "ends before it begins");
        LAST_STEP(r, entry);
    }
}

static void read_option_adds(struct reader *r, const struct yaml_node *node, void *object)
{
    struct contract_option *option = object;
    struct adds adds = {0};
    read_adds(r, node, &adds);
    option->adds_w = adds.w;
    option->adds_accelerators = adds.accelerators;
    if (adds.ptu > 0 || adds.token_rate > 0)
        bad_value(r, node, "is not what an option can add", "power or accelerators");
}

static const struct field option_fields[] = {
    {"name", KIND_TEXT, AT(contract_option, name), .meaning = "what it is called"},
    {"by", KIND_INSTANT, AT(contract_option, exercise_by_us), .fallback = "open",
     .meaning = "the last moment to take it"},
    {"from", KIND_INSTANT, AT(contract_option, from_us), .meaning = "when what it adds comes"},
    {"adds", KIND_CUSTOM, .read = read_option_adds, .shape = "`250 MW` or `1000 accelerators`",
     .meaning = "what it adds"},
    {"price", KIND_UNIT_I64, AT(contract_option, price_uusd), .unit = UNIT_MONEY,
     .meaning = "of taking it"},
    {"source", KIND_SOURCE, AT(contract_option, source), .meaning = "where the figures come from"},
    {.key = NULL},
};

static void read_options(struct reader *r, const struct yaml_node *node, void *object)
{
    struct contract *contract = object;
    int32_t i = 0;
    contract->options = read_new(r, struct contract_option, list_len(node));
    if (!contract->options)
        return;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        struct contract_option *option = &contract->options[contract->n_options++];
        option->exercise_by_us = NEVER;
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        read_fields(r, c, option_fields, option);
        LAST_STEP(r, entry);
    }
}

static void read_at_least(struct reader *r, const struct yaml_node *node, void *object)
{
    struct contract *c = object;
    if (read_i64(r, node, UNIT_MONEY, 1, &c->value_uusd)) {
        c->value_is_bound = true;
        c->value_note = STR("at least");
    }
}

static void read_up_to(struct reader *r, const struct yaml_node *node, void *object)
{
    struct contract *c = object;
    if (read_i64(r, node, UNIT_MONEY, 1, &c->value_uusd)) {
        c->value_is_bound = true;
        c->value_note = STR("up to");
    }
}

static const struct field value_fields[] = {
    {"at_least", KIND_CUSTOM, .read = read_at_least, .shape = "money",
     .meaning = "the source says \"more than\""},
    {"up_to", KIND_CUSTOM, .read = read_up_to, .shape = "money",
     .meaning = "the source says \"up to\""},
    {.key = NULL},
};

static void read_value(struct reader *r, const struct yaml_node *node, void *object)
{
    struct contract *c = object;
    if (node->kind != YAML_MAP)
        read_i64(r, node, UNIT_MONEY, 1, &c->value_uusd);
    else if (node->n != 1)
        bad_value(r, node, "does not say one value", "10 GUSD, {at_least: ...} or {up_to: ...}");
    else
        read_fields(r, node, value_fields, c);
    if (c->value_uusd < 0)
        bad_value(r, node, "is negative", "0 or more");
}

static void read_amount(struct reader *r, const struct yaml_node *node, void *object)
{
    static const char expected[] =
        "250 MW-months, 10 GUSD, 5 Gtok, 1000 accelerator-hours or 50 PTU";
    struct commitment *m = &((struct contract *)object)->commitment;
    struct diag diag = {0};
    double v;
    if (!is_scalar(r, node, expected))
        return;
    if (parse_count(node->text, "W-month", "W-months", &v)) {
        m->amount = v / 1e6;
        m->unit = COMMIT_MW_MONTHS;
    } else if (parse_count(node->text, "accelerator-hour", "accelerator-hours", &v)) {
        m->amount = v;
        m->unit = COMMIT_ACCELERATOR_HOURS;
    } else if (parse_count(node->text, "PTU", "PTUs", &v)) {
        m->amount = v;
        m->unit = COMMIT_PTU;
    } else if (parse_count(node->text, "tok", "tokens", &v)) {
        m->amount = v;
        m->unit = COMMIT_TOKENS;
    } else if (!unit_parse(&v, UNIT_MONEY, node->text, &diag)) {
        m->amount = v / 1e6;
        m->unit = COMMIT_USD;
    } else {
        bad_value(r, node, "is not an amount that can be committed", expected);
        return;
    }
    if (!(m->amount > 0))
        bad_value(r, node, "is nothing", expected);
}

// Read after the amount, whose unit it needs: see read_commitment.
static void read_later(struct reader *r, const struct yaml_node *node, void *object)
{
    (void)r, (void)node, (void)object;
}

static const struct field commitment_fields[] = {
    {"amount", KIND_CUSTOM, .read = read_amount,
     .shape = "`250 MW-months`, `10 GUSD`, `5 Gtok`, `1000 accelerator-hours`, `50 PTU`",
     .meaning = "paid in each period whether used or not"},
    {"per", KIND_WORD, AT(contract, commitment.per), .word = period_word, .fallback = "term",
     .meaning = "the period"},
    {"beyond", KIND_CUSTOM, .read = read_later,
     .shape = "`list`, `never`, or a price such as `0.5 USD/Mtok`, `2 USD/h`, `9 kUSD/MW-month`, "
              "`300 USD/PTU`",
     .fallback = "list", .meaning = "what more than the amount costs; never: there is no more"},
    {"make_up", KIND_TEXT, AT(contract, commitment.make_up),
     .meaning = "rights to use later what was not used"},
    {.key = NULL},
};

static void read_beyond(struct reader *r, const struct yaml_node *node, struct commitment *m)
{
    double price;
    if (!is_scalar(r, node, "list, never or a price"))
        return;
    if (str_eq(node->text, STR("never")))
        m->beyond_never = true;
    else if (str_eq(node->text, STR("price")) || str_eq(node->text, STR("list")))
        m->beyond_nusd_per_unit = 0;
    else if (commitment_price_read(m, node->text, &price) && price > 0)
        m->beyond_nusd_per_unit = price;
    else
        bad_value(r, node, "is not a price for more of the amount",
                  "list, never or a price per unit such as 0.5 USD/Mtok");
}

static void read_commitment(struct reader *r, const struct yaml_node *node, void *object)
{
    struct commitment *m = &((struct contract *)object)->commitment;
    m->per = PERIOD_TERM;
    read_fields(r, node, commitment_fields, object);
    if (node->kind != YAML_MAP)
        return;
    const struct yaml_node *amount = yaml_get(node, STR("amount"));
    const struct yaml_node *beyond = yaml_get(node, STR("beyond"));
    if (!amount || yaml_is_null(amount))
        bad(r, node->place, "says no amount");
    if (beyond && m->amount > 0 && !beyond->broken && !yaml_is_null(beyond)) {
        FIRST_STEP(r, entry, STR("beyond"), 0);
        read_beyond(r, beyond, m);
        LAST_STEP(r, entry);
    }
}

const struct field contract_fields[] = {
    {"supplier", KIND_REF, AT(contract, supplier), .unit = SECTION_SUPPLIERS,
     .meaning = "who sells"},
    {"part_of", KIND_REF, AT(contract, part_of), .unit = SECTION_CONTRACTS,
     .meaning = "the contract that holds this one, so that sums count it once"},
    {"status", KIND_WORD, AT(contract, status), .word = status_word, .fallback = "assumed",
     .meaning = "how sure it is; sums never add one status to another"},
    {"value", KIND_CUSTOM, .read = read_value, .sub = value_fields,
     .shape = "money, or a map of one bound", .meaning = "what it is worth over its term"},
    {"signed", KIND_INSTANT, AT(contract, signed_us), .meaning = "when it was signed"},
    {"from", KIND_INSTANT, AT(contract, from_us), .fallback = "signed",
     .meaning = "when it begins"},
    {"until", KIND_INSTANT, AT(contract, until_us), .fallback = "open", .meaning = "when it ends"},
    {"term", KIND_CUSTOM, .read = read_later, .shape = "`7 y`, `18 months`, or a duration",
     .meaning = "instead of until: how long it lasts from its beginning, by the calendar"},
    {"purpose", KIND_BITS, AT(contract, purpose), .word = purpose_word, .fallback = "both",
     .meaning = "what it may be used for"},
    {"commitment", KIND_CUSTOM, .read = read_commitment, .sub = commitment_fields, .shape = "map",
     .meaning = "what is paid whether used or not"},
    {"phases", KIND_CUSTOM, .read = read_later, .sub = phase_fields, .shape = "list of maps",
     .meaning = "what comes when; each adds to the ones before"},
    {"options", KIND_CUSTOM, .read = read_options, .sub = option_fields, .shape = "list of maps",
     .meaning = "what may be taken in addition"},
    {"exclusive", KIND_BOOL, AT(contract, exclusive), .fallback = "false",
     .meaning = "nobody else may be bought from while it lasts"},
    {"first_refusal", KIND_BOOL, AT(contract, first_refusal), .fallback = "false",
     .meaning = "the supplier must be asked first"},
    {"ceiling", KIND_UNIT, AT(contract, power_ceiling_w), .unit = UNIT_POWER,
     .meaning = "power that all its phases together may reach"},
    {"chips", KIND_TEXTS, AT(contract, chips), AT(contract, n_chips),
     .meaning = "what it runs on, as the contract says it"},
    {"source", KIND_SOURCE, AT(contract, source), .meaning = "where the figures come from"},
    {"note", KIND_TEXT, AT(contract, note), .meaning = "what else should be known"},
    {.key = NULL},
};

// Calendar years and months where the unit says so, so that seven years end on the same day.
static int64_t after_term(struct reader *r, const struct yaml_node *node, int64_t from_us)
{
    static const char expected[] = "a time such as 7 y or 18 months";
    double n, factor;
    struct str unit;
    int64_t us;
    if (!is_scalar(r, node, expected))
        return NEVER;
    bool split = split_quantity(node->text, &n, &unit);
    double months = 0;
    if (split && (str_eq(unit, STR("y")) || is_unit(unit, "year", "years", &factor)))
        months = n * 12;
    else if (split && is_unit(unit, "month", "months", &factor))
        months = n;
    if (months > 0 && months <= 12000 && months == floor(months)) {
        struct civil c = civil_of(from_us);
        int32_t month = c.month - 1 + (int32_t)months;
        c.year += month / 12;
        c.month = month % 12 + 1;
        return civil_us(c);
    }
    if (!read_i64(r, node, UNIT_DURATION, 1, &us))
        return NEVER;
    if (us <= 0 || from_us > INT64_MAX - us) {
        bad_value(r, node, "is not a time that a contract lasts", expected);
        return NEVER;
    }
    return from_us + us;
}

static void read_term(struct reader *r, const struct yaml_node *node, struct contract *contract)
{
    const struct yaml_node *term = yaml_get(node, STR("term"));
    if (!term || term->broken || yaml_is_null(term))
        return;
    FIRST_STEP(r, entry, STR("term"), 0);
    if (contract->until_us != NEVER)
        bad(r, term->place, "stands beside until: one of them says when it ends");
    else if (!contract->from_us)
        bad(r, term->place, "needs from: or signed: to count from");
    else
        contract->until_us = after_term(r, term, contract->from_us);
    LAST_STEP(r, entry);
}

void read_contract(struct reader *r, const struct yaml_node *node, struct contract *contract)
{
    read_fields(r, node, contract_fields, contract);
    if (node->kind != YAML_MAP)
        return;
    if (!contract->from_us)
        contract->from_us = contract->signed_us;
    read_term(r, node, contract);
    if (contract->until_us <= contract->from_us)
        bad(r, node->place, "ends before it begins");
    const struct yaml_node *phases = yaml_get(node, STR("phases"));
    if (phases && !phases->broken) {
        FIRST_STEP(r, entry, STR("phases"), 0);
        read_phases(r, phases, contract);
        LAST_STEP(r, entry);
    }
}
