// What it stands on, and what is asked: sites, chips, demand.

#include "wire/config_read.h"

#include <math.h>

#define AT(type, member) offsetof(struct type, member)

#define JOULES_PER_MWH 3.6e9
#define JOULES_PER_KWH 3.6e6

static const char *basis_word(int i)
{
    return i <= BASIS_ASSUMED ? basis_name((enum basis)i) : NULL;
}

// sites

static void read_round_trips(struct reader *r, const struct yaml_node *node, void *object)
{
    struct site *s = object;
    if (!is_map(r, node, "a map such as {us: 12 ms, eu: 95 ms}"))
        return;
    s->round_trips = read_new(r, struct round_trip, node->n);
    if (!s->round_trips)
        return;
    for (const struct yaml_node *c = node->first; c; c = c->next) {
        struct round_trip *trip = &s->round_trips[s->n_round_trips];
        FIRST_STEP(r, entry, c->key, 0);
        trip->region = c->key;
        if (!c->broken && read_i64(r, c, UNIT_DURATION, 1, &trip->us)) {
            if (trip->us < 0)
                bad_value(r, c, "is negative", "0 or more");
            else
                s->n_round_trips++;
        }
        LAST_STEP(r, entry);
    }
}

const struct field site_fields[] = {
    {"region", KIND_TEXT, AT(site, region), .meaning = "where data is when it is there"},
    {"power", KIND_UNIT, AT(site, power_w), .unit = UNIT_POWER,
     .meaning = "limit of the whole site, at the grid"},
    {"pue", KIND_NUMBER, AT(site, pue), .lo = 1, .hi = 10, .fallback = "1",
     .meaning = "power of the site over power of its machines"},
    {"energy", KIND_UNIT, AT(site, energy_nusd_per_joule), .unit = UNIT_ENERGY_PRICE,
     .scale = 1 / JOULES_PER_MWH, .lo = -1e6, .meaning = "price of energy; may be negative"},
    {"carbon", KIND_UNIT, AT(site, carbon_g_per_joule), .unit = UNIT_CARBON,
     .scale = 1 / JOULES_PER_KWH, .meaning = "carbon dioxide for energy from its grid"},
    {"round_trip", KIND_CUSTOM, .read = read_round_trips, .shape = "map REGION: a duration",
     .meaning = "network time to users of a region and back"},
    {"source", KIND_SOURCE, AT(site, source), .meaning = "where the figures come from"},
    {.key = NULL},
};

// chips

static const struct field point_fields[] = {
    {"model", KIND_REF, AT(point, model), .unit = SECTION_MODELS, .fallback = "any",
     .meaning = "the model it was measured with"},
    {"chips", KIND_COUNT, AT(point, chips), .fallback = "1",
     .meaning = "that work together on one replica"},
    {"per_user", KIND_UNIT, AT(point, per_user_tok_s), .unit = UNIT_TOKEN_RATE,
     .meaning = "decode speed that one user sees"},
    {"throughput", KIND_UNIT, AT(point, throughput_tok_s), .unit = UNIT_TOKEN_RATE,
     .meaning = "decode speed of one replica"},
    {"batch", KIND_NUMBER, AT(point, batch), .meaning = "sequences at once at this point"},
    {"prefill", KIND_UNIT, AT(point, prefill_tok_s), .unit = UNIT_TOKEN_RATE,
     .meaning = "uncached prompt tokens that one replica reads"},
    {"prompt", KIND_TOKENS, AT(point, prompt_tok), .meaning = "length of prompt that ttft is of"},
    {"ttft", KIND_UNIT_I64, AT(point, ttft_us), .unit = UNIT_DURATION,
     .meaning = "time to the first token, alone"},
    {"step", KIND_UNIT, AT(point, step_us), .unit = UNIT_DURATION,
     .meaning = "a decode step of an empty batch (W of the service model)"},
    {"step_per_sequence", KIND_UNIT, AT(point, step_per_sequence_us), .unit = UNIT_DURATION,
     .meaning = "and for each sequence in it (H)"},
    {"step_per_root", KIND_UNIT, AT(point, step_per_root_us), .unit = UNIT_DURATION,
     .meaning = "and for the square root of their number (S)"},
    {"step_per_context", KIND_UNIT, AT(point, step_per_context_us), .unit = UNIT_DURATION,
     .meaning = "and for each token of context in it (K)"},
    {"step_per_prompt", KIND_UNIT, AT(point, step_per_prompt_us), .unit = UNIT_DURATION,
     .meaning = "and for each prompt token that joins at it (M), a part of its prefill"},
    {"prefill_start", KIND_UNIT, AT(point, prefill_start_us), .unit = UNIT_DURATION,
     .meaning = "a prefill of no tokens (P0); else what is left of ttft"},
    {"prefill_per_token2", KIND_UNIT, AT(point, prefill_per_token2_us), .unit = UNIT_DURATION,
     .meaning = "and for the square of its tokens (P2)"},
    {"prefill_per_sequence", KIND_UNIT, AT(point, prefill_per_sequence_us), .unit = UNIT_DURATION,
     .meaning = "and for each other sequence that holds a slot meanwhile (R)"},
    {"prefill_per_token_sequence", KIND_UNIT, AT(point, prefill_per_token_sequence_us),
     .unit = UNIT_DURATION, .meaning = "and for each token beside each such sequence (Q)"},
    {"slots", KIND_COUNT, AT(point, slots), .meaning = "sequences that one replica holds at most"},
    {"kv", KIND_TOKENS, AT(point, kv_tok), .meaning = "tokens of context that one replica holds"},
    {"power", KIND_UNIT, AT(point, power_w), .unit = UNIT_POWER,
     .meaning = "of one replica at this point, without the site's part"},
    {"basis", KIND_WORD, AT(point, basis), .word = basis_word, .meaning = "how it is known"},
    {"source", KIND_SOURCE, AT(point, source), .meaning = "where the figures come from"},
    {.key = NULL},
};

static void read_points(struct reader *r, const struct yaml_node *node, void *object)
{
    struct chip *chip = object;
    int32_t i = 0;
    chip->points = read_new(r, struct point, list_len(node));
    if (!chip->points)
        return;
    for (const struct yaml_node *c = list_first(node); c; c = list_next(node, c)) {
        struct point *point = &chip->points[chip->n_points++];
        point->model = -1;
        FIRST_STEP(r, entry, ((struct str){NULL, 0}), ++i);
        read_fields(r, c, point_fields, point);
        LAST_STEP(r, entry);
    }
}

const struct field chip_fields[] = {
    {"memory", KIND_UNIT, AT(chip, memory_bytes), .unit = UNIT_BYTES, .meaning = "of one chip"},
    {"bandwidth", KIND_UNIT, AT(chip, bandwidth_bytes_s), .unit = UNIT_BANDWIDTH,
     .meaning = "of its memory"},
    {"compute", KIND_UNIT, AT(chip, compute_flop_s), .unit = UNIT_COMPUTE,
     .meaning = "dense, at the precision that is served"},
    {"power", KIND_UNIT, AT(chip, power_w), .unit = UNIT_POWER, .meaning = "of one chip at work"},
    {"idle", KIND_UNIT, AT(chip, idle_w), .unit = UNIT_POWER,
     .meaning = "of one chip without work"},
    {"efficiency", KIND_UNIT, AT(chip, efficiency), .unit = UNIT_SHARE, .hi = 1,
     .meaning = "share of bandwidth and compute that is reached, where nothing is measured"},
    {"points", KIND_CUSTOM, .read = read_points, .sub = point_fields, .shape = "list of maps",
     .meaning = "operating points: how fast it answers, so full"},
    {"source", KIND_SOURCE, AT(chip, source), .meaning = "where the figures come from"},
    {.key = NULL},
};

// demand

static void read_hours(struct reader *r, const struct yaml_node *node, void *object)
{
    static const char expected[] = "24 numbers, one for each hour of the day (UTC)";
    struct demand *d = object;
    double sum = 0, hours[STREAM_HOURS];
    int32_t n = 0;
    if (node->kind != YAML_LIST || node->n != STREAM_HOURS) {
        bad_value(r, node, "is not the shape of a day", expected);
        return;
    }
    for (const struct yaml_node *c = node->first; c; c = c->next) {
        if (c->broken || !read_number(r, c, &hours[n]))
            return;
        if (!(hours[n] >= 0)) {
            bad_value(r, c, "is negative", "0 or more");
            return;
        }
        sum += hours[n++];
    }
    if (!(sum > 0) || !isfinite(sum)) {
        bad_value(r, node, "is a day without work", expected);
        return;
    }
    for (int32_t h = 0; h < STREAM_HOURS; h++)
        d->hours[h] = hours[h] * STREAM_HOURS / sum;
}

const struct field demand_fields[] = {
    {"tenant", KIND_REF, AT(demand, tenant), .unit = SECTION_TENANTS, .meaning = "who asks"},
    {"model", KIND_REF, AT(demand, model), .unit = SECTION_MODELS, .meaning = "for what"},
    {"class", KIND_REF, AT(demand, class), .unit = SECTION_CLASSES, .meaning = "how to answer"},
    {"region", KIND_TEXT, AT(demand, region), .meaning = "where its users are"},
    {"rate", KIND_UNIT, AT(demand, rate_per_s), .unit = UNIT_RATE,
     .meaning = "requests, mean over a weekday"},
    {"prompt", KIND_TOKENS, AT(demand, prompt_tok), .meaning = "mean length of a prompt"},
    {"output", KIND_TOKENS, AT(demand, output_tok), .meaning = "mean length of an answer"},
    {"growth", KIND_NUMBER, AT(demand, growth_per_year), .fallback = "1",
     .meaning = "a year later there is so many times as much"},
    {"hours", KIND_CUSTOM, .read = read_hours, .shape = "list of 24 numbers",
     .fallback = "all alike",
     .meaning = "shape of a weekday in hours of UTC; only their proportions count"},
    {"weekend", KIND_NUMBER, AT(demand, weekend), .fallback = "1",
     .meaning = "a day of the weekend over a weekday"},
    {"from", KIND_INSTANT, AT(demand, from_us), .fallback = "always", .meaning = "when it begins"},
    {"until", KIND_INSTANT, AT(demand, until_us), .fallback = "open", .meaning = "when it ends"},
    {"source", KIND_SOURCE, AT(demand, source), .meaning = "where the figures come from"},
    {.key = NULL},
};

void read_demand(struct reader *r, const struct yaml_node *node, struct demand *d)
{
    read_fields(r, node, demand_fields, d);
    if (d->until_us <= d->from_us)
        bad(r, node->place, "ends before it begins");
}
