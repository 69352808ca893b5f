#include "cli/bench_options.h"

#include "cli/bench_values.h"
#include "cli/options.h"

#include <math.h>
#include <stdlib.h>

enum {
    REQUESTS_MAX = 1000000,
    ACCELERATORS_MAX = 1000000,
    ROWS_MAX = 64,
    OUTPUT_TOK = 64,
    AGREE_OUTPUT_TOK = 1024
};

static const int32_t users_by_default[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
static const int32_t prompts_by_default[] = {128, 1024};

static void defaults(struct bench_options *o)
{
    *o = (struct bench_options){
        .tok_max = INFINITY,
        .budget_nusd = INFINITY,
        .timeout_us = S(120),
        .power_every_us = S(1),
        .power_idle_us = S(5),
        .seed = 1,
        .sweep = {.cold = true, .requests = 16, .warm_up = 1, .repeats = 1, .time_us = S(300)}};
    struct sweep_config *c = &o->sweep;
    c->n_users = COUNTOF(users_by_default);
    memcpy(c->users, users_by_default, sizeof users_by_default);
    c->n_prompts = COUNTOF(prompts_by_default);
    memcpy(c->prompts, prompts_by_default, sizeof prompts_by_default);
    for (int32_t i = 0; i < BENCH_SIDES; i++) {
        o->sides[i].key = str_of(getenv("CAUDAL_KEY"));
        o->sides[i].accelerators = 1;
    }
    o->sides[0].surface = SURFACE_CHAT;
}

// --- the table --------------------------------------------------------------------------------

struct table {
    struct option_row rows[ROWS_MAX];
    int32_t n;
};

static void add(struct table *t, const struct option_row *rows, size_t n)
{
    CHECK(n <= (size_t)(ROWS_MAX - t->n));
    memcpy(t->rows + t->n, rows, n * sizeof *rows);
    t->n += (int32_t)n;
}

static void add_load(struct table *t, struct bench_options *o)
{
    struct sweep_config *c = &o->sweep;
    const struct option_row rows[] = {
        option_text("--model", "NAME", &o->sides[0].model, "the model that is measured"),
        option_custom("--users", "N,N", c, bench_read_users,
                      "closed loop: so many at once, one level after the\nother; 1,2,4 ... 256; 0: "
                      "none"),
        option_custom("--rates", "R,R", c, bench_read_rates,
                      "open loop: Poisson at these rates, such as 1/s,2/s"),
        option_custom("--prompt", "N,N", c, bench_read_prompts,
                      "lengths of prompts in tokens; 128,1024"),
        option_custom("--output", "N,N", c, bench_read_outputs, "lengths of answers in tokens; 64"),
        option_flag("--vary", &c->vary,
                    "answers of half to one and a half times that length, so\nthat users do not "
                    "fall into step"),
        option_custom("--prefix", "cold|warm|both", c, bench_read_prefix,
                      "is the beginning of a prompt new, or one that was\nsent before; cold"),
        option_count("--requests", "N", &c->requests, 1, REQUESTS_MAX,
                     "that count at each level; 16, two a user at least"),
        option_count("--warm-up", "N", &c->warm_up, 0, REQUESTS_MAX,
                     "answers of each user that do not count; 1"),
        option_count("--repeat", "N", &c->repeats, 1, SWEEP_REPEATS, "each level so often; 1"),
        option_flag("--whole", &c->whole, "do not stop at saturation"),
        option_custom("--time", "DURATION", &c->time_us, bench_read_time,
                      "no new request of a level after so long; 5 min"),
        option_custom("--timeout", "DURATION", &o->timeout_us, bench_read_time,
                      "for one answer; 2 min"),
        option_custom("--seed", "N", &o->seed, bench_read_seed, "of prompts and of arrivals; 1"),
        option_flag(
            "--plain", &o->plain,
            "do not ask for answers of full length (ignore_eos),\nwhich some suppliers refuse"),
    };
    add(t, rows, COUNTOF(rows));
}

static void add_bounds(struct table *t, struct bench_options *o)
{
    const struct option_row rows[] = {
        option_custom("--tokens", "N", &o->tok_max, bench_read_token_bound,
                      "spend no more of each supplier, such as 100k tok"),
        option_custom("--budget", "MONEY", &o->budget_nusd, bench_read_money,
                      "the same in money, such as 2 USD"),
        option_custom(
            "--price", "IN,OUT", &o->sides[0].price, bench_read_price,
            "of a prompt's and an answer's token, such as\n\"0.35 USD/Mtok,0.75 USD/Mtok\""),
        option_custom("--cost", "RATE", &o->sides[0].price.usd_per_h, bench_read_hourly,
                      "of the whole supplier however much is used, such as\n\"24 USD/h\""),
    };
    add(t, rows, COUNTOF(rows));
}

static void add_suppliers(struct table *t, struct bench_options *o)
{
    struct bench_side *first = &o->sides[0], *second = &o->sides[1];
    const struct option_row rows[] = {
        option_text("--key", "KEY", &first->key, "sent to the supplier; $CAUDAL_KEY"),
        option_custom("--surface", "NAME", &first->surface, bench_read_surface,
                      "the calls to measure: chat, completions, responses or\nmessages; chat"),
        option_text("--against-model", "NAME", &second->model, "the second supplier's; the same"),
        option_text("--against-key", "KEY", &second->key, "the second supplier's; $CAUDAL_KEY"),
        option_custom("--against-surface", "NAME", &second->surface, bench_read_surface,
                      "the second supplier's; the same"),
        option_custom("--against-price", "IN,OUT", &second->price, bench_read_price,
                      "the second supplier's"),
        option_custom("--against-cost", "RATE", &second->price.usd_per_h, bench_read_hourly,
                      "the second supplier's"),
        WEB_TRUST_OPTIONS(&o->trust),
    };
    add(t, rows, COUNTOF(rows));
}

static void add_power(struct table *t, struct bench_options *o)
{
    struct bench_side *first = &o->sides[0], *second = &o->sides[1];
    const struct option_row rows[] = {
        option_text("--power", "SOURCE", &first->power,
                    "reads watts meanwhile: rapl, nvidia-smi[:0,1], ipmi,\na command that prints "
                    "them, or URL[#METRIC]"),
        option_custom("--power-every", "DURATION", &o->power_every_us, bench_read_time,
                      "so often; 1 s"),
        option_custom("--power-idle", "DURATION", &o->power_idle_us, bench_read_time,
                      "for so long before anybody asks; 5 s"),
        option_text("--against-power", "SOURCE", &second->power, "the second supplier's"),
        option_count("--accelerators", "N", &first->accelerators, 1, ACCELERATORS_MAX,
                     "that it runs on; 1"),
        option_count("--against-accelerators", "N", &second->accelerators, 1, ACCELERATORS_MAX,
                     "the second supplier's; 1"),
    };
    add(t, rows, COUNTOF(rows));
}

static void add_agree(struct table *t, struct bench_options *o)
{
    const struct option_row rows[] = {
        option_text("--agree", "FILE", &o->agree,
                    "how often do two suppliers give the same answer? Asks both\nthe questions of "
                    "FILE (JSON lines), greedy, and no levels"),
        option_text("--diff", "FILE", &o->diff, "of --agree: where they differ, as JSON lines"),
    };
    add(t, rows, COUNTOF(rows));
}

static void add_output(struct table *t, struct bench_options *o)
{
    const struct option_row rows[] = {
        option_text("--points", "FILE", &o->points,
                    "writes operating points for the portfolio, as YAML;\n- is standard output"),
        option_text("--table", "FILE", &o->table,
                    "writes a table that caudal bench fit reads, as CSV"),
        option_text("--html", "FILE", &o->html, "writes one page with charts"),
        option_flag("--json", &o->json, "all figures, one JSON object"),
    };
    add(t, rows, COUNTOF(rows));
}

// --- all of them ------------------------------------------------------------------------------

static enum err check_side(const struct bench_options *o, int32_t i, struct diag *diag)
{
    const struct bench_side *s = &o->sides[i];
    if (isfinite(o->budget_nusd) && !s->price.listed)
        return diag_set(diag, ERR_INVALID, "--budget needs to know what a token costs: say %s",
                        i ? "--against-price" : "--price");
    if (!http1_value_ok(s->key))
        return diag_set(diag, ERR_INVALID, "the key holds a character that no header may");
    return ERR_NONE;
}

// What is said of a second supplier that is not there is a mistake, or its URL is missing.
static enum err check_second(const struct bench_options *o, struct diag *diag)
{
    const struct bench_side *s = &o->sides[1];
    if (o->n_sides == BENCH_SIDES ||
        !(s->model.n || s->surface || s->price.listed || s->price.usd_per_h > 0 || s->power.n))
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID, "--against-%s is of a second supplier: say its URL too",
                    s->model.n               ? "model"
                    : s->surface             ? "surface"
                    : s->price.listed        ? "price"
                    : s->price.usd_per_h > 0 ? "cost"
                                             : "power");
}

static enum err check_output(const struct bench_options *o, struct diag *diag)
{
    int n = o->json + str_eq(o->points, STR("-")) + str_eq(o->table, STR("-")) +
            str_eq(o->html, STR("-"));
    return n < 2 ? ERR_NONE
                 : diag_set(diag, ERR_INVALID,
                            "standard output holds one of --json, --points -, --table - and "
                            "--html -: give the others a file");
}

static enum err check_options(struct bench_options *o, struct diag *diag)
{
    enum err e = check_second(o, diag);
    if (!e)
        e = check_output(o, diag);
    if (e)
        return e;
    if (!o->sides[0].model.n)
        return diag_set(diag, ERR_INVALID, "--model is missing: the model that is measured");
    if (!o->sides[1].model.n)
        o->sides[1].model = o->sides[0].model;
    if (!o->sides[1].surface)
        o->sides[1].surface = o->sides[0].surface;
    if (!o->sweep.n_outputs)
        o->sweep.outputs[o->sweep.n_outputs++] = o->agree.n ? AGREE_OUTPUT_TOK : OUTPUT_TOK;
    if (o->agree.n && o->n_sides != BENCH_SIDES)
        return diag_set(diag, ERR_INVALID, "--agree needs two suppliers' URLs");
    if (o->agree.n && (o->sides[0].power.n || o->sides[1].power.n))
        return diag_set(diag, ERR_INVALID, "--power goes with levels of load, not with --agree");
    if (o->diff.n && !o->agree.n)
        return diag_set(diag, ERR_INVALID, "--diff needs --agree");
    if (o->agree.n && !o->sweep.n_users)
        return diag_set(diag, ERR_INVALID, "--users 0 leaves nobody to ask the questions");
    if (!o->sweep.n_users && !o->sweep.n_rates)
        return diag_set(diag, ERR_INVALID, "--users 0 leaves nothing to measure: say --rates");
    for (int32_t i = 0; i < o->n_sides && !e; i++) {
        struct diag why = {0};
        e = url_parse(&o->sides[i].url, o->sides[i].url_text, &why);
        if (e)
            return diag_set(diag, e, "\"" STR_FMT "\": %s", STR_ARG(o->sides[i].url_text),
                            why.text);
        e = check_side(o, i, diag);
    }
    return e;
}

static const char more[] =
    "Each level of users is measured in turn until more of them give no more tokens. What may be\n"
    "spent is bounded by --tokens and --budget: a request is sent only if the most that it can\n"
    "cost is left. Ctrl-C ends it and shows what was measured so far.\n\n"
    "  caudal bench http://127.0.0.1:9000/v1 --model m --points m.yaml\n"
    "  caudal bench https://a.example/v1 https://b.example/v1 --model m --tokens 200ktok\n\n"
    "Exit status: 0 measured, 1 not, 2 wrong usage, 130 stopped before the end.";

int bench_options_read(struct bench_options *o, int argc, char **argv)
{
    struct table t = {.n = 0};
    defaults(o);
    add_load(&t, o);
    add_bounds(&t, o);
    add_suppliers(&t, o);
    add_power(&t, o);
    add_agree(&t, o);
    add_output(&t, o);
    const struct command command = {
        .name = "bench",
        .usage = "[OPTIONS] --model NAME URL [URL]\n"
                 "       caudal bench fit [OPTIONS] TABLE...",
        .about =
            "Measures a supplier of language models from outside: time to the first token, time\n"
            "per token, tokens a second, at level after level of load; or two side by side.\n"
            "`fit` says how well the model of service time foretells measurements; see its --help.",
        .more = more,
        .options = t.rows,
        .n_options = t.n,
        .operands_min = 1,
        .operands_max = BENCH_SIDES,
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
    o->sweep.seed = (uint64_t)o->seed;
    return check_options(o, &diag) ? options_wrong("bench", diag.text) : OPTIONS_GO;
}
