#include "cli/bench_options.h"

#include "base/units.h"
#include "cli/options.h"

#include <math.h>
#include <stdlib.h>

enum { USERS_MAX = 4096, LENGTH_MAX = 10 * 1000 * 1000, REQUESTS_MAX = 1000000 };

static const int32_t users_by_default[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
static const int32_t prompts_by_default[] = {128, 1024};

// --- values -----------------------------------------------------------------------------------

// Whole numbers between commas. Returns how many; 0: not that.
static int32_t read_numbers(int32_t *to, int32_t room, int32_t most, struct str value)
{
    struct str part;
    int32_t n = 0;
    while (str_cut(&value, ',', &part)) {
        int64_t v;
        if (n == room || !str_to_i64(str_trim(part), &v) || v < 1 || v > most)
            return 0;
        to[n++] = (int32_t)v;
    }
    return n;
}

static enum err read_users(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    c->n_users = 0;
    if (str_eq(value, STR("0")))
        return ERR_NONE;
    c->n_users = read_numbers(c->users, SWEEP_LEVELS, USERS_MAX, value);
    for (int32_t i = 1; i < c->n_users; i++)
        if (c->users[i] <= c->users[i - 1])
            c->n_users = 0;
    if (c->n_users)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID,
                    "is \"" STR_FMT
                    "\", expected at most %d rising numbers of users, such as 1,4,16",
                    STR_ARG(value), SWEEP_LEVELS);
}

static enum err read_rates(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    struct str part, rest = value;
    while (str_cut(&rest, ',', &part)) {
        double rate;
        if (c->n_rates == SWEEP_LEVELS || unit_parse(&rate, UNIT_RATE, str_trim(part), NULL) ||
            !(rate > 0) || (c->n_rates && rate <= c->rates[c->n_rates - 1]))
            return diag_set(diag, ERR_INVALID,
                            "is \"" STR_FMT "\", expected at most %d rising rates, such as 1/s,2/s",
                            STR_ARG(value), SWEEP_LEVELS);
        c->rates[c->n_rates++] = rate;
    }
    return ERR_NONE;
}

static enum err lengths(int32_t *to, int32_t *n, struct str value, struct diag *diag)
{
    *n = read_numbers(to, SWEEP_LENGTHS, LENGTH_MAX, value);
    if (*n)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID,
                    "is \"" STR_FMT "\", expected at most %d lengths in tokens, such as 128,1024",
                    STR_ARG(value), SWEEP_LENGTHS);
}

static enum err read_prompts(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    return lengths(c->prompts, &c->n_prompts, value, diag);
}

static enum err read_outputs(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    return lengths(c->outputs, &c->n_outputs, value, diag);
}

static enum err read_prefix(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    bool both = str_eq(value, STR("both"));
    c->cold = both || str_eq(value, STR("cold"));
    c->warm = both || str_eq(value, STR("warm"));
    if (c->cold || c->warm)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected cold, warm or both",
                    STR_ARG(value));
}

static enum err read_price(void *to, struct str value, struct diag *diag)
{
    struct bench_price *price = to;
    struct str input, rest = value;
    double in, out;
    if (!str_cut(&rest, ',', &input) || !rest.n)
        return diag_set(diag, ERR_INVALID,
                        "is \"" STR_FMT "\", expected prices of prompt and answer, such as "
                        "\"0.35 USD/Mtok,0.75 USD/Mtok\"",
                        STR_ARG(value));
    enum err e = unit_parse(&in, UNIT_TOKEN_PRICE, str_trim(input), diag);
    if (!e)
        e = unit_parse(&out, UNIT_TOKEN_PRICE, str_trim(rest), diag);
    if (!e)
        *price = (struct bench_price){true, in / 1e6, out / 1e6};
    return e;
}

static enum err read_money(void *to, struct str value, struct diag *diag)
{
    double uusd;
    enum err e = unit_parse(&uusd, UNIT_MONEY, value, diag);
    if (!e)
        *(double *)to = uusd * 1e3;
    return e;
}

static enum err read_token_bound(void *to, struct str value, struct diag *diag)
{
    return unit_parse(to, UNIT_TOKENS, value, diag);
}

static enum err read_time(void *to, struct str value, struct diag *diag)
{
    double us;
    enum err e = unit_parse(&us, UNIT_DURATION, value, diag);
    if (!e && us < 1000)
        e = diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected 1 ms or more",
                     STR_ARG(value));
    if (!e)
        *(int64_t *)to = us < 1e15 ? (int64_t)us : (int64_t)1e15;
    return e;
}

static enum err read_seed(void *to, struct str value, struct diag *diag)
{
    if (str_to_i64(value, to) && *(int64_t *)to >= 0)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected a whole number from 0 on",
                    STR_ARG(value));
}

// --- all of them ------------------------------------------------------------------------------

static void defaults(struct bench_options *o)
{
    *o = (struct bench_options){
        .tok_max = INFINITY,
        .budget_nusd = INFINITY,
        .timeout_us = S(120),
        .seed = 1,
        .sweep = {.cold = true, .requests = 16, .warm_up = 1, .repeats = 1, .time_us = S(300)}};
    struct sweep_config *c = &o->sweep;
    c->n_users = COUNTOF(users_by_default);
    memcpy(c->users, users_by_default, sizeof users_by_default);
    c->n_prompts = COUNTOF(prompts_by_default);
    memcpy(c->prompts, prompts_by_default, sizeof prompts_by_default);
    c->outputs[c->n_outputs++] = 64;
    o->sides[0].key = o->sides[1].key = str_of(getenv("CAUDAL_KEY"));
}

static enum err check_options(struct bench_options *o, struct diag *diag)
{
    enum err e = ERR_NONE;
    if (!o->sides[0].model.n)
        return diag_set(diag, ERR_INVALID, "--model is missing: the model that is measured");
    if (!o->sides[1].model.n)
        o->sides[1].model = o->sides[0].model;
    if (!o->sweep.n_users && !o->sweep.n_rates)
        return diag_set(diag, ERR_INVALID, "--users 0 leaves nothing to measure: say --rates");
    for (int32_t i = 0; i < o->n_sides && !e; i++) {
        struct bench_side *s = &o->sides[i];
        e = url_parse(&s->url, s->url_text, diag);
        if (!e && isfinite(o->budget_nusd) && !s->price.said)
            e = diag_set(diag, ERR_INVALID, "--budget needs to know what a token costs: say %s",
                         i ? "--against-price" : "--price");
        if (!e && !http1_value_ok(s->key))
            e = diag_set(diag, ERR_INVALID, "the key holds a character that no header may");
    }
    return e;
}

static const char more[] =
    "\nEach level of users is measured in turn until more of them give no more tokens. What may "
    "be\n"
    "spent is bounded by --tokens and --budget: a request is sent only if the most that it can\n"
    "cost is left.\n\n"
    "  caudal bench http://127.0.0.1:9000/v1 --model m --points m.yaml\n"
    "  caudal bench https://a.example/v1 https://b.example/v1 --model m --tokens 200k\n\n"
    "Exit status: 0 measured, 1 not, 2 wrong usage.\n";

int bench_options_read(struct bench_options *o, int argc, char **argv)
{
    defaults(o);
    struct sweep_config *c = &o->sweep;
    const struct option_row rows[] = {
        option_text("--model", "NAME", &o->sides[0].model, "the model that is measured"),
        option_custom("--users", "N,N", c, read_users,
                      "closed loop: so many at once, one level after the\nother; 1,2,4 ... 256; 0: "
                      "none"),
        option_custom("--rates", "R,R", c, read_rates,
                      "open loop: Poisson at these rates, such as 1/s,2/s"),
        option_custom("--prompt", "N,N", c, read_prompts, "lengths of prompts in tokens; 128,1024"),
        option_custom("--output", "N,N", c, read_outputs, "lengths of answers in tokens; 64"),
        option_custom("--prefix", "cold|warm|both", c, read_prefix,
                      "is the beginning of a prompt new, or one that was\nsent before; cold"),
        option_count("--requests", "N", &c->requests, 1, REQUESTS_MAX,
                     "that count at each level; 16, two a user at least"),
        option_count("--warm-up", "N", &c->warm_up, 0, REQUESTS_MAX,
                     "answers of each user that do not count; 1"),
        option_count("--repeat", "N", &c->repeats, 1, 100, "each level so often; 1"),
        option_flag("--whole", &c->whole, "do not stop at saturation"),
        option_custom("--time", "DURATION", &c->time_us, read_time,
                      "no new request of a level after so long; 5 min"),
        option_custom("--timeout", "DURATION", &o->timeout_us, read_time, "for one answer; 2 min"),
        option_custom("--tokens", "N", &o->tok_max, read_token_bound,
                      "spend no more of each supplier, such as 100k tok"),
        option_custom("--budget", "MONEY", &o->budget_nusd, read_money,
                      "the same in money, such as 2 USD"),
        option_custom(
            "--price", "IN,OUT", &o->sides[0].price, read_price,
            "of a prompt's and an answer's token, such as\n\"0.35 USD/Mtok,0.75 USD/Mtok\""),
        option_custom("--seed", "N", &o->seed, read_seed, "of prompts and of arrivals; 1"),
        option_flag(
            "--plain", &o->plain,
            "do not ask for answers of full length (ignore_eos),\nwhich some suppliers refuse"),
        option_text("--key", "KEY", &o->sides[0].key, "sent as a bearer; $CAUDAL_KEY"),
        option_text("--against-model", "NAME", &o->sides[1].model,
                    "the second supplier's; the same"),
        option_text("--against-key", "KEY", &o->sides[1].key, "the second supplier's; $CAUDAL_KEY"),
        option_custom("--against-price", "IN,OUT", &o->sides[1].price, read_price,
                      "the second supplier's"),
        WEB_TRUST_OPTIONS(&o->trust),
        option_text("--points", "FILE", &o->points,
                    "writes operating points for the portfolio, as YAML;\n- is standard output"),
        option_text("--table", "FILE", &o->table,
                    "writes a table that caudal bench fit reads, as CSV"),
        option_flag("--json", &o->json, "all figures, one JSON object"),
    };
    const struct command command = {
        .name = "bench",
        .usage = "[OPTIONS] --model NAME URL [URL]",
        .about =
            "Measures a supplier of language models from outside: time to the first token, time\n"
            "per token, tokens a second, at level after level of load; or two side by side.",
        .more = more,
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_min = 1,
        .operands_max = 2,
        .operand = "the supplier's URL, such as http://127.0.0.1:9000/v1",
    };
    int n_operands;
    int status = options_begin(&command, argc, argv, &n_operands);
    if (status != OPTIONS_GO)
        return status;
    struct diag diag = {0};
    o->n_sides = n_operands;
    for (int i = 0; i < n_operands; i++)
        o->sides[i].url_text = str_of(argv[1 + i]);
    c->seed = (uint64_t)o->seed;
    return check_options(o, &diag) ? options_wrong("bench", diag.text) : OPTIONS_GO;
}
