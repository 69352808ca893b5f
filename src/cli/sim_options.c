#include "cli/sim_options.h"

#include "base/units.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum value {
    LISTEN,
    MODEL,
    PORTFOLIO,
    POOL,
    FAULT,
    SCHEDULE,
    PORT_FILE,
    API,
    KEY,
    OUTPUT,
    THREADS,
    HELP,
    DURATION,
    DURATION_DOUBLE,
    RATE,
    TOKENS,
    COUNT,
    SEED,
    FLAG,
};

#define AT(member) offsetof(struct sim_options, member)

struct row {
    const char *name, *arg;  // arg NULL: none
    enum value value;
    size_t at;
    int64_t low, high;  // of COUNT
    const char *meaning;
};

static const struct row rows[] = {
    {"listen", "HOST:PORT", LISTEN, 0, 0, 0, "where to listen (127.0.0.1:0: any free port)"},
    {"model", "NAME[=K=V,...]", MODEL, 0, 0, 0,
     "a model that it has, with a speed of its own: ttft, per-token,\nstep-per-sequence, prefill, "
     "slots, kv, replicas, context.\nMay be said often; without it every name is answered"},
    {"portfolio", "FILE", PORTFOLIO, 0, 0, 0,
     "take models and their speed from a portfolio's pool"},
    {"pool", "NAME", POOL, 0, 0, 0, "which pool of the portfolio"},
    {"ttft", "DURATION", DURATION, AT(speed.ttft_us), 0, 0,
     "prefill of an empty prompt (50ms); prefills of a replica go\none after the other"},
    {"prefill", "RATE", RATE, AT(speed.prefill_tok_s), 0, 0, "uncached prompt tokens (20000tok/s)"},
    {"per-token", "DURATION", DURATION_DOUBLE, AT(speed.step_us), 0, 0,
     "a step with nobody in it (5ms)"},
    {"step-per-sequence", "DURATION", DURATION_DOUBLE, AT(speed.step_per_seq_us), 0, 0,
     "what each sequence adds to a step (20us)"},
    {"slots", "N", COUNT, AT(speed.slots), 1, 1 << 20, "sequences at once (64)"},
    {"kv", "TOKENS", TOKENS, AT(speed.kv_tok), 0, 0,
     "context tokens at once (2Mtok; 0tok: no bound)"},
    {"replicas", "N", COUNT, AT(speed.replicas), 1, 1 << 16,
     "that slots and steps are spread over (1)"},
    {"context", "N", COUNT, AT(context_tok), 0, 1 << 30,
     "longest prompt and answer together in tokens; longer: 400"},
    {"queue", "N", COUNT, AT(config.queue), 1, 1 << 20,
     "requests of a model at once, waiting ones included (16384); more: 503"},
    {"instant", NULL, FLAG, AT(config.instant), 0, 0,
     "no service time: answer at once, for benchmarks"},
    {"pace", "DURATION", DURATION, AT(config.pace_us), 0, 0,
     "instead of a service time one token each so often (implies --instant)"},
    {"output", "N", OUTPUT, 0, 0, 0,
     "mean length of an answer in tokens, drawn by the seed (64); =N: exactly N"},
    {"chunks", "N", COUNT, 0, 1, 1 << 20, "the same as --output =N"},
    {"chunk-bytes", "N", COUNT, AT(config.chunk_bytes), 0, 16384,
     "length of a token's text (a word)"},
    {"prefix-cache", "TOKENS", TOKENS, AT(config.cache_tok), 0, 0,
     "prompt beginnings that are kept (1Mtok; 0tok: none)"},
    {"dimensions", "N", COUNT, AT(config.dimensions), 1, 4096,
     "of an embedding that asks for none (256)"},
    {"seed", "N", SEED, 0, 0, 0, "of lengths, words and faults (1)"},
    {"fault", "SPEC", FAULT, 0, 0, 0, "what goes wrong, see below; may be said often"},
    {"schedule", "FILE", SCHEDULE, 0, 0, 0,
     "faults by time: lines 'AT DURATION SPEC', as '10s 20s 503'"},
    {"api", "NAME", API, 0, 0, 0,
     "dialect: openai (also /v1/responses and /v1/messages) or cerebras"},
    {"key", "SECRET", KEY, 0, 0, 0, "answer 401 to requests without it"},
    {"port-file", "FILE", PORT_FILE, 0, 0, 0, "write the port there when ready"},
    {"threads", "N", THREADS, 0, 0, 0, "1; for more run more processes"},
    {"help", NULL, HELP, 0, 0, 0, "this text"},
};

static void defaults(struct sim_options *o)
{
    *o = (struct sim_options){.host = STR("127.0.0.1")};
    sim_config_defaults(&o->config);
    sim_speed_defaults(&o->speed);
}

static void write_rows(struct buf *out)
{
    for (size_t i = 0; i < COUNTOF(rows); i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s %s", rows[i].name, rows[i].arg ? rows[i].arg : "");
        buf_printf(out, "  %-30s ", left);
        for (const char *p = rows[i].meaning; *p; p++) {
            buf_add(out, p, 1);
            if (*p == '\n')
                buf_printf(out, "%33s", "");
        }
        buf_lit(out, "\n");
    }
}

void sim_options_help(struct buf *out)
{
    buf_lit(out,
            "usage: caudal sim [OPTIONS]\n\n"
            "A supplier that is not there: an HTTP server that answers in the OpenAI dialect at\n"
            "the speed of a chip, and fails on request. Every answer says that it is simulated.\n"
            "When ready it prints 'listening on http://HOST:PORT/v1'.\n\n");
    write_rows(out);
    buf_lit(out, "\nfaults: SPEC[,p=SHARE][,count=N][,model=NAME][,after=TOKENS]\n");
    const char *spec, *meaning;
    for (int32_t i = 0; sim_fault_help(i, &spec, &meaning); i++)
        buf_printf(out, "  %-30s %s\n", spec, meaning);
    buf_lit(
        out,
        "\nFor one request the first fault that fits decides; delay, drip, no-done and no-usage "
        "add\n"
        "to it. `refuse` keeps the port open, so that /sim/ still answers, and drops every other\n"
        "connection when its request has come.\n\n"
        "pages for tests: GET /sim/calls (counts), GET /sim/last (the last 32 requests whole),\n"
        "GET and POST /sim/faults (one SPEC a line, in place of all others), POST /sim/reset\n\n"
        "example:\n"
        "  caudal sim --model small --ttft 20ms --per-token 2ms --fault 503,p=0.1\n\n"
        "Exit status: 0 stopped by a signal, 1 could not serve, 2 wrong usage.\n");
}

// --- values -----------------------------------------------------------------------------------

static enum err read_unit(double *out, enum unit_kind kind, struct str value, struct diag *diag)
{
    double v;
    enum err e = unit_parse(&v, kind, value, diag);
    if (e)
        return e;
    if (!(v >= 0) || v > 1e15)
        return diag_set(diag, ERR_INVALID, "'" STR_FMT "' is out of range", STR_ARG(value));
    *out = v;
    return ERR_NONE;
}

static enum err read_count(int64_t *out, struct str value, int64_t low, int64_t high,
                           struct diag *diag)
{
    if (!str_to_i64(value, out) || *out < low || *out > high)
        return diag_set(diag, ERR_INVALID,
                        "a whole number from %lld to %lld is expected, not '" STR_FMT "'",
                        (long long)low, (long long)high, STR_ARG(value));
    return ERR_NONE;
}

// "127.0.0.1:8080", "[::1]:8080", ":8080", "8080"
static enum err read_listen(struct sim_options *o, struct str value, struct diag *diag)
{
    size_t colon = value.n;
    while (colon && value.p[colon - 1] != ':')
        colon--;
    struct str host = {value.p, colon ? colon - 1 : 0};
    if (host.n > 1 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = (struct str){host.p + 1, host.n - 2};
    int64_t port;
    if (!str_to_i64(str_skip(value, colon), &port) || port < 0 || port > 65535)
        return diag_set(diag, ERR_INVALID,
                        "HOST:PORT is expected, such as 127.0.0.1:8080, not '" STR_FMT "'",
                        STR_ARG(value));
    if (host.n)
        o->host = host;
    o->port = (int32_t)port;
    return ERR_NONE;
}

static enum err read_output(struct sim_options *o, struct str value, struct diag *diag)
{
    bool exact = str_starts(value, STR("="));
    int64_t v;
    enum err e = read_count(&v, str_skip(value, exact ? 1 : 0), 1, 1 << 20, diag);
    if (e)
        return e;
    o->config.output_tok = (int32_t)v;
    o->config.output_exact = exact;
    return ERR_NONE;
}

static enum err read_api(struct sim_options *o, struct str value, struct diag *diag)
{
    o->config.cerebras = str_eq(value, STR("cerebras"));
    if (!o->config.cerebras && !str_eq(value, STR("openai")))
        return diag_set(diag, ERR_INVALID, "openai or cerebras is expected, not '" STR_FMT "'",
                        STR_ARG(value));
    return ERR_NONE;
}

static enum err read_quantity(struct sim_options *o, const struct row *row, struct str value,
                              struct diag *diag)
{
    void *at = (char *)o + row->at;
    double v = 0;
    int64_t whole = 0;
    enum err e = ERR_NONE;
    switch (row->value) {
    case DURATION:
        e = read_unit(&v, UNIT_DURATION, value, diag);
        if (!e)
            *(int64_t *)at = (int64_t)v;
        return e;
    case DURATION_DOUBLE: return read_unit(at, UNIT_DURATION, value, diag);
    case RATE: return read_unit(at, UNIT_TOKEN_RATE, value, diag);
    case TOKENS: return read_unit(at, UNIT_TOKENS, value, diag);
    default:
        e = read_count(&whole, value, row->low, row->high, diag);
        if (!e)
            *(int32_t *)at = (int32_t)whole;
        return e;
    }
}

static enum err add(struct str *list, int32_t *n, int32_t max, struct str value, struct diag *diag)
{
    if (*n == max)
        return diag_set(diag, ERR_INVALID, "it may be said %d times", max);
    list[(*n)++] = value;
    return ERR_NONE;
}

static enum err read_seed(struct sim_options *o, struct str value, struct diag *diag)
{
    int64_t v;
    enum err e = read_count(&v, value, 0, INT64_MAX, diag);
    if (!e)
        o->config.seed = (uint64_t)v;
    return e;
}

static enum err read_row(struct sim_options *o, const struct row *row, const char *text,
                         struct diag *diag)
{
    struct str value = str_of(text);
    int64_t one;
    switch (row->value) {
    case LISTEN: return read_listen(o, value, diag);
    case MODEL: return add(o->models, &o->n_models, SIM_MODELS_MAX, value, diag);
    case FAULT: return add(o->faults, &o->n_faults, SIM_OPTION_FAULTS, value, diag);
    case PORTFOLIO: o->portfolio = text; return ERR_NONE;
    case POOL: o->pool = text; return ERR_NONE;
    case SCHEDULE: o->schedule = text; return ERR_NONE;
    case PORT_FILE: o->port_file = text; return ERR_NONE;
    case KEY: o->config.key = value; return ERR_NONE;
    case API: return read_api(o, value, diag);
    case OUTPUT: return read_output(o, value, diag);
    case SEED: return read_seed(o, value, diag);
    case THREADS: return read_count(&one, value, 1, 1, diag);
    case HELP: o->help = true; return ERR_NONE;
    case FLAG: *((bool *)o + row->at) = true; return ERR_NONE;
    default: break;
    }
    if (str_eq(str_of(row->name), STR("chunks"))) {
        enum err e = read_count(&one, value, row->low, row->high, diag);
        o->config.output_tok = e ? 1 : (int32_t)one;
        o->config.output_exact = true;
        return e;
    }
    return read_quantity(o, row, value, diag);
}

static enum err read_named(struct sim_options *o, const struct row *row, const char *text,
                           struct diag *diag)
{
    struct diag why = {.e = ERR_NONE};
    enum err e = read_row(o, row, text, &why);
    return e ? diag_set(diag, ERR_INVALID, "--%s: %s", row->name, why.text) : ERR_NONE;
}

static enum err agree(struct sim_options *o, struct diag *diag)
{
    if (o->help)
        return ERR_NONE;
    if (!o->portfolio != !o->pool)
        return diag_set(diag, ERR_INVALID, "--portfolio and --pool go together");
    if (o->pool && o->n_models)
        return diag_set(diag, ERR_INVALID,
                        "--model does not go with --pool, which says the models");
    if (o->speed.prefill_tok_s <= 0)
        return diag_set(diag, ERR_INVALID, "--prefill: a rate above 0 is expected");
    if (o->config.cache_tok > 1e9)
        return diag_set(diag, ERR_INVALID, "--prefix-cache: at most 1000Mtok are kept");
    o->config.any_model = !o->n_models && !o->pool;
    o->config.instant = o->config.instant || o->config.pace_us > 0;
    return ERR_NONE;
}

enum err sim_options_read(struct sim_options *out, int argc, char **argv, struct diag *diag)
{
    struct option longs[COUNTOF(rows) + 1] = {{NULL, 0, NULL, 0}};
    for (size_t i = 0; i < COUNTOF(rows); i++)
        longs[i] = (struct option){rows[i].name, rows[i].arg ? required_argument : no_argument,
                                   NULL, (int)i + 1};
    defaults(out);
    opterr = 0;
    optind = 1;
    for (;;) {
        int at = optind ? optind : 1;
        int got = getopt_long(argc, argv, ":h", longs, NULL);
        if (got == -1)
            break;
        if (got == 'h') {
            out->help = true;
        } else if (got == ':') {
            return diag_set(diag, ERR_INVALID, "%s needs a value", argv[at]);
        } else if (got == '?' || got > (int)COUNTOF(rows)) {
            return diag_set(diag, ERR_INVALID, "%s is not an option", argv[at]);
        } else {
            enum err e = read_named(out, &rows[got - 1], optarg, diag);
            if (e)
                return e;
        }
    }
    if (optind < argc)
        return diag_set(diag, ERR_INVALID, "'%s' is not an option", argv[optind]);
    return agree(out, diag);
}

// --- a model ----------------------------------------------------------------------------------

static const struct row *model_row(struct str key)
{
    static const char *const keys[] = {"ttft",  "prefill", "per-token", "step-per-sequence",
                                       "slots", "kv",      "replicas",  "context"};
    for (size_t k = 0; k < COUNTOF(keys); k++)
        if (str_eq(key, str_of(keys[k])))
            for (size_t i = 0; i < COUNTOF(rows); i++)
                if (str_eq(key, str_of(rows[i].name)))
                    return &rows[i];
    return NULL;
}

enum err sim_options_model(const struct sim_options *o, struct str text,
                           struct sim_model_config *out, struct diag *diag)
{
    struct sim_options *own = malloc(sizeof *own);
    CHECK(own != NULL);
    *own = *o;
    struct str rest = text, name = {NULL, 0}, part = {NULL, 0};
    str_cut(&rest, '=', &name);
    enum err e = ERR_NONE;
    if (!name.n || name.n > 255)
        e = diag_set(diag, ERR_INVALID, "--model: a name of 1 to 255 bytes is expected");
    while (!e && str_cut(&rest, ',', &part)) {
        struct str value = str_trim(part), key = {NULL, 0};
        str_cut(&value, '=', &key);
        const struct row *row = model_row(str_trim(key));
        struct diag why = {.e = ERR_NONE};
        if (!row)
            e = diag_set(diag, ERR_INVALID, "--model " STR_FMT ": '" STR_FMT "' is not known",
                         STR_ARG(name), STR_ARG(key));
        else if (read_quantity(own, row, str_trim(value), &why))
            e = diag_set(diag, ERR_INVALID, "--model " STR_FMT ": %s: %s", STR_ARG(name), row->name,
                         why.text);
    }
    if (!e)
        *out = (struct sim_model_config){name, sim_speed_service(&own->speed), own->context_tok};
    free(own);
    return e;
}
