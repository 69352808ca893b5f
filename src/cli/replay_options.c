#include "cli/replay_options.h"

#include "base/units.h"
#include "cli/options.h"

// --- values -----------------------------------------------------------------------------------

static enum err read_rate(void *to, struct str value, struct diag *diag)
{
    double *rate = to;
    struct str number = str_starts(value, STR("x")) ? str_skip(value, 1) : value;
    if (str_to_double(number, rate) && *rate > 0 && *rate <= 1e9)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected a factor above 0, such as x3",
                    STR_ARG(value));
}

static enum err read_factor(void *to, struct str value, struct diag *diag)
{
    double *v = to;
    if (str_to_double(value, v) && *v >= 0 && *v <= 100)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected a number from 0 to 100",
                    STR_ARG(value));
}

static enum err read_duration(void *to, struct str value, struct diag *diag)
{
    double us;
    enum err e = unit_parse(&us, UNIT_DURATION, value, diag);
    if (!e)
        *(int64_t *)to = (int64_t)us;
    return e;
}

static enum err read_tokens(void *to, struct str value, struct diag *diag)
{
    double tok;
    enum err e = unit_parse(&tok, UNIT_TOKENS, value, diag);
    if (!e)
        *(int64_t *)to = (int64_t)tok;
    return e;
}

static enum err read_instant(void *to, struct str value, struct diag *diag)
{
    return unit_instant(to, value, diag);
}

static enum err read_seed(void *to, struct str value, struct diag *diag)
{
    struct replay_options *o = to;
    if (o->many_seeds)
        return diag_set(diag, ERR_INVALID, "is given beside --seeds");
    o->n_seeds = 1;
    if (str_to_i64(value, &o->seeds[0]) && o->seeds[0] >= 0)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected a whole number from 0 on",
                    STR_ARG(value));
}

static enum err add_seed(struct replay_options *o, int64_t seed, struct diag *diag)
{
    for (int32_t i = 0; i < o->n_seeds; i++)
        if (o->seeds[i] == seed)
            return diag_set(diag, ERR_INVALID, "names %lld twice", (long long)seed);
    if (o->n_seeds == REPLAY_SEEDS)
        return diag_set(diag, ERR_LIMIT, "names more than %d", REPLAY_SEEDS);
    o->seeds[o->n_seeds++] = seed;
    return ERR_NONE;
}

// "3", or "1..8".
static bool read_range(struct str part, int64_t *from, int64_t *last)
{
    size_t at;
    struct str first = part, second = part;
    if (str_find(part, STR(".."), &at)) {
        first.n = at;
        second = str_skip(part, at + 2);
    }
    return str_to_i64(first, from) && str_to_i64(second, last) && *from >= 0 && *last >= *from;
}

static enum err read_seeds(void *to, struct str value, struct diag *diag)
{
    struct replay_options *o = to;
    struct str rest = value, part;
    if (o->n_seeds)
        return diag_set(diag, ERR_INVALID, "is given beside --seed, or twice");
    o->many_seeds = true;
    while (str_cut(&rest, ',', &part)) {
        int64_t from, last;
        if (!read_range(part, &from, &last))
            break;
        enum err e = add_seed(o, from, diag);
        for (int64_t i = from; !e && i < last;)
            e = add_seed(o, ++i, diag);
        if (e)
            return e;
        if (!rest.n && value.p[value.n - 1] != ',')
            return ERR_NONE;
    }
    return diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected seeds such as 1..8 or 1,2,5",
                    STR_ARG(value));
}

static enum err read_map(void *to, struct str value, struct diag *diag)
{
    struct replay_options *o = to;
    size_t at;
    if (o->n_maps == ARRIVALS_MAPS)
        return diag_set(diag, ERR_LIMIT, "is given more than %d times", ARRIVALS_MAPS);
    if (!str_find(value, STR("="), &at) || at == 0 || at + 1 == value.n)
        return diag_set(diag, ERR_INVALID,
                        "is \"" STR_FMT "\", expected the trace's name = the portfolio's",
                        STR_ARG(value));
    o->maps[o->n_maps++] = value;
    return ERR_NONE;
}

static struct str share_of_used(struct str value)
{
    size_t at;
    return str_find(value, STR("="), &at) ? str_skip(value, at + 1) : value;
}

static enum err read_used(void *to, struct str value, struct diag *diag)
{
    struct replay_options *o = to;
    double share;
    if (o->n_used == ARRIVALS_MAPS)
        return diag_set(diag, ERR_LIMIT, "is given more than %d times", ARRIVALS_MAPS);
    if (unit_parse(&share, UNIT_SHARE, share_of_used(value), NULL) || !(share >= 0 && share <= 1))
        return diag_set(diag, ERR_INVALID,
                        "is \"" STR_FMT "\", expected a share such as 40%%, or CONTRACT=40%%",
                        STR_ARG(value));
    o->used[o->n_used++] = value;
    return ERR_NONE;
}

static const struct command replay_command = {
    .name = "replay",
    .usage = "PORTFOLIO... --trace FILE [OPTIONS]\n       caudal replay PORTFOLIO... "
             "--decisions FILE [--json]\n       caudal replay convert [--sort] "
             "[--skip-bad N] IN OUT",
    .about =
        "Sends yesterday's requests, or a hundred times as many, through the code that routes\n"
        "in 'caudal serve', in virtual time, and says how they were answered and what it "
        "cost.\n"
        "'convert' writes a trace in our own form, which is read fastest.",
    .more = "The same trace, portfolio, policy and seed give the same report to the byte.\n"
            "docs/simulation.md explains each column.\n"
            "Exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.",
    .operands_min = 1,
    .operands_max = INT32_MAX,
    .operand = "a portfolio file",
};

// Something beside --decisions and --json that is not as replay_options_read() begins.
static bool says_how_to_play(const struct replay_options *o)
{
    return o->trace.n || o->lengths.n || o->demand || o->policies.n || o->model.n || o->class.n ||
           o->events.n || o->prices.n || o->prices_write.n || o->bound_write.n || o->bound ||
           o->html || o->many_seeds || o->seeds[0] != 1 || o->sort || o->n_maps || o->n_used ||
           o->skip_bad || o->learn_us || o->from_us || o->until_us != NEVER || o->at_us != -1 ||
           o->cache_tok != -1 || o->rate != 1 || o->cv != 1 || o->spread != 1 || o->repeat != 1;
}

// NULL: the options make sense together.
static const char *wrong(const struct replay_options *o)
{
    if (o->decisions.n && says_how_to_play(o))
        return "--decisions goes with nothing but --json";
    if (o->decisions.n)
        return NULL;
    if (!o->trace.n == !o->demand)
        return "say either --trace FILE or --demand";
    if (o->lengths.n && (!o->trace.n || o->sort || o->repeat > 1))
        return "--lengths goes with --trace, and neither --sort nor --repeat";
    if (o->demand && o->until_us == NEVER)
        return "--demand needs an end: say --to TIME";
    if (o->json && o->html)
        return "say either --json or --html";
    if (o->bound_write.n && !o->bound)
        return "--bound-write needs --bound";
    if (o->prices_write.n && !o->bound)
        return "--write-prices needs --bound";
    if (o->learn_us > o->from_us || (o->learn_us && o->demand))
        return "--learn needs as much of a --trace before --from";
    if (o->until_us <= o->from_us)
        return "--to is not behind --from";
    return NULL;
}

int replay_options_read(struct replay_options *o, int argc, char **argv)
{
    *o = (struct replay_options){.rate = 1,
                                 .cache_tok = -1,
                                 .cv = 1,
                                 .spread = 1,
                                 .until_us = NEVER,
                                 .at_us = -1,
                                 .repeat = 1,
                                 .jobs = 1,
                                 .paths = argv + 1};
    const struct option_row rows[] = {
        option_text("--trace", "FILE", &o->trace,
                    "requests to replay: CSV, JSON lines or our own\nform, also gzip or zstd; - is "
                    "standard input"),
        option_text("--lengths", "FILE", &o->lengths,
                    "--trace is ServeGen's table of rates, and this\nits table of lengths"),
        option_flag("--demand", &o->demand, "made up from the portfolio's demand: section instead"),
        option_text("--decisions", "FILE", &o->decisions,
                    "an event log of 'caudal serve': does a fresh core decide\nthe same?"),
        option_text("--policy", "A,B", &o->policies, "policies to compare; the portfolio's own"),
        option_custom("--seed", "N", o, read_seed, "of everything that is left to chance; 1"),
        option_custom("--seeds", "A..B|A,B", o, read_seeds,
                      "one run with each, and the mean and the spread of\nwhat they come to"),
        option_custom("--rate", "xN", &o->rate, read_rate,
                      "so many times as many in the same time"),
        option_custom("--from", "TIME", &o->from_us, read_duration,
                      "of the trace: leave out what is before"),
        option_custom("--to", "TIME", &o->until_us, read_duration, "and what is not before this"),
        option_custom("--learn", "TIME", &o->learn_us, read_duration,
                      "what came so long before --from teaches what is asked and how\nlong "
                      "answers are, and is not played"),
        option_count("--repeat", "N", &o->repeat, 1, 1000000,
                     "the trace so often, one after the other"),
        option_text("--model", "NAME", &o->model, "of requests that name none"),
        option_custom("--map", "A=B", o, read_map, "the trace's model A is the portfolio's B"),
        option_text("--class", "NAME", &o->class, "of all requests"),
        option_custom("--at", "DATE", &o->at_us, read_instant, "when the trace's time 0 was"),
        option_flag("--sort", &o->sort, "put the trace in order first, in memory"),
        option_count("--skip-bad", "N", &o->skip_bad, 0, INT32_MAX,
                     "pass over so many faulty lines"),
        option_custom("--cv", "X", &o->cv, read_factor, "of --demand: variation of the gaps; 1"),
        option_custom("--spread", "X", &o->spread, read_factor,
                      "of --demand: sigma of log lengths; 1"),
        option_custom("--prefix-cache", "TOKENS", &o->cache_tok, read_tokens,
                      "each pool keeps so much of prompts with each\nmodel; as the portfolio says"),
        option_text("--events", "FILE", &o->events,
                    "what befalls the pools, and what changes: AT POOL\ndies|heals|slow "
                    "X|derate X%|stalls, AT WHO\nmaintenance|phase|price|beyond|energy|carbon ..."),
        option_flag(
            "--bound", &o->bound,
            "beside the least that any routing could have\ncost, with hindsight: twice the time"),
        option_text("--bound-write", "FILE", &o->bound_write,
                    "that bound's linear program, as MPS"),
        option_text("--prices", "FILE", &o->prices,
                    "what a plan says things are worth, instead of\nserve.prices"),
        option_custom("--used", "[NAME=]SHARE", o, read_used,
                      "of a commitment's amount when the trace begins within\nits period; as an "
                      "even pace would have used"),
        option_text("--write-prices", "FILE", &o->prices_write,
                    "such a file, as the bound finds it for this\ntrace"),
        option_count("--jobs", "N", &o->jobs, 1, 64, "policies and seeds at once; 1"),
        option_flag("--json", &o->json, "the same for programs, one JSON object"),
        option_flag("--html", &o->html, "the same as one page with charts"),
        option_flag("--stats", &o->stats, "on standard error: how fast it went"),
    };
    struct command command = replay_command;
    command.options = rows;
    command.n_options = COUNTOF(rows);
    int status = options_begin(&command, argc, argv, &o->n_paths);
    if (status != OPTIONS_GO)
        return status;
    if (!o->n_seeds)
        o->seeds[o->n_seeds++] = 1;
    const char *why = wrong(o);
    return why ? options_wrong("replay", why) : OPTIONS_GO;
}

// --- names ------------------------------------------------------------------------------------

static enum err unknown(const struct table *names, const char *what, struct str name,
                        struct diag *diag)
{
    struct str near;
    if (table_nearest(names, name, &near))
        return diag_set(diag, ERR_INVALID,
                        "the portfolio has no %s \"" STR_FMT "\"; did you mean \"" STR_FMT "\"?",
                        what, STR_ARG(name), STR_ARG(near));
    return diag_set(diag, ERR_INVALID, "the portfolio has no %s \"" STR_FMT "\"", what,
                    STR_ARG(name));
}

void replay_options_keep(const struct replay_options *o, struct portfolio *p)
{
    for (int32_t i = 0; o->cache_tok >= 0 && i < p->n_pools; i++) {
        struct pool *pool = &p->pools[i];
        pool->prefix_cache = (struct prefix_cache){true, (double)o->cache_tok, -1};
        for (int32_t k = 0; k < pool->n_serves; k++)
            pool->serves[k].prefix_cache.said = false;
    }
}

// One --used: of all commitments, or of the one it names.
static enum err apply_used(struct str said, const struct portfolio *p, double *used,
                           struct diag *diag)
{
    size_t at = 0;
    bool named = str_find(said, STR("="), &at), found = false;
    struct str name = {said.p, at};
    double share;
    enum err e = unit_parse(&share, UNIT_SHARE, share_of_used(said), diag);
    for (int32_t i = 0; i < p->n_contracts && !e; i++) {
        const struct contract *c = &p->contracts[i];
        if (!(c->commitment.amount > 0) || (named && !str_eq(c->name, name)))
            continue;
        used[i] = share;
        found = true;
    }
    if (e || found)
        return e;
    return diag_set(diag, ERR_INVALID, "--used: the portfolio has no commitment%s" STR_FMT "%s",
                    named ? " \"" : "", STR_ARG(name), named ? "\"" : "");
}

// What is said of one contract counts before what is said of all.
static enum err apply_all_used(const struct replay_options *o, struct arena *a,
                               const struct portfolio *p, const double **out, struct diag *diag)
{
    double *used = arena_new(a, double, p->n_contracts + 1);
    if (!used)
        return diag_set(diag, ERR_LIMIT, "the portfolio is too large");
    for (int32_t i = 0; i < p->n_contracts; i++)
        used[i] = -1;
    for (int named = 0; named < 2; named++) {
        for (int32_t k = 0; k < o->n_used; k++) {
            size_t at;
            if (str_find(o->used[k], STR("="), &at) != named)
                continue;
            enum err e = apply_used(o->used[k], p, used, diag);
            if (e)
                return e;
        }
    }
    *out = used;
    return ERR_NONE;
}

enum err replay_options_apply(const struct replay_options *o, struct arena *arena,
                              const struct portfolio *p, struct replay_config *out,
                              struct diag *diag)
{
    *out = (struct replay_config){
        .p = p, .seed = (uint64_t)o->seeds[0], .whole = o->bound, .learn_us = o->learn_us};
    struct arrivals_config *a = &out->arrivals;
    *a = (struct arrivals_config){.p = p,
                                  .path = o->trace.n ? o->trace.p : NULL,
                                  .lengths = o->lengths.n ? o->lengths.p : NULL,
                                  .model = -1,
                                  .class = -1,
                                  .rate = o->rate,
                                  .from_us = o->from_us,
                                  .until_us = o->until_us,
                                  .repeat = o->repeat,
                                  .skip_bad = o->skip_bad,
                                  .sort = o->sort,
                                  .wall_us = o->at_us,
                                  .seed = (uint64_t)o->seeds[0],
                                  .cv = o->cv,
                                  .spread = o->spread};
    if (o->model.n && !table_get(p->model_names, o->model, &a->model))
        return unknown(p->model_names, "model", o->model, diag);
    if (o->class.n && !table_get(p->class_names, o->class, &a->class))
        return unknown(p->class_names, "class", o->class, diag);
    for (int32_t i = 0; i < o->n_maps; i++) {
        size_t at = 0;
        str_find(o->maps[i], STR("="), &at);
        struct str to = str_skip(o->maps[i], at + 1);
        a->maps[i].from = (struct str){o->maps[i].p, at};
        if (!table_get(p->model_names, to, &a->maps[i].model))
            return unknown(p->model_names, "model", to, diag);
        a->n_maps++;
    }
    return o->n_used ? apply_all_used(o, arena, p, &out->used, diag) : ERR_NONE;
}
