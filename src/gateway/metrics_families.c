#include "gateway/metrics_grid.h"

#include <stdio.h>

// OpenTelemetry's boundaries lie between 10 ms and 82 s; a long answer takes minutes, a cached one
// a millisecond, and a wafer writes a token in less than that.
static const struct ladder seconds = {18,
                                      {MS(1), US(2500), MS(5), MS(10), MS(25), MS(50), MS(100),
                                       MS(250), MS(500), S(1), MS(2500), S(5), S(10), S(30), S(60),
                                       S(120), S(300), S(600)}};
static const struct ladder token_seconds = {16,
                                            {US(100), US(250), US(500), MS(1), US(2500), MS(5),
                                             MS(10), MS(20), MS(35), MS(50), MS(75), MS(100),
                                             MS(200), MS(500), S(1), MS(2500)}};
static const struct ladder tokens = {  // OpenTelemetry's
    14,
    {1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}};

static const char requests_help[] =
    "Requests that are over, by the status their clients got (499: went away).";
static const char tokens_help[] =
    "Tokens of answers; input is what no cache had, so that the types add up.";
static const char list_help[] = "Price of answers at the suppliers' list prices, in US dollars.";
static const char ttft_help[] = "From the request to its first content, failed attempts included.";
static const char per_token_help[] = "Time per token after the first, of streams.";
static const char duration_help[] =
    "From the request to the end of its answer, of requests that a pool answered.";
static const char usage_help[] =
    "Tokens of a request (those that a cache had too) and of its answer.";

// In the order of the page.
const struct family metrics_families[] = {
    {.what = WHAT_REQUESTS,
     .splits = SPLIT_NONE,
     .name = "caudal_requests_total",
     .help = requests_help,
     .labels = {LABEL_MODEL, LABEL_CLASS, LABEL_TENANT, LABEL_CODE}},
    {.what = WHAT_REQUESTS,
     .splits = SPLIT_SOME,
     .name = "caudal_requests_total",
     .help = requests_help,
     .labels = {LABEL_MODEL, LABEL_CLASS, LABEL_CODE}},
    {.what = WHAT_REQUESTS,
     .splits = SPLIT_ALL,
     .name = "caudal_requests_total",
     .help = requests_help,
     .labels = {LABEL_MODEL, LABEL_CODE}},
    {.what = WHAT_REQUESTS,
     .splits = SPLIT_SOME | SPLIT_ALL,
     .name = "caudal_tenant_requests_total",
     .help = requests_help,
     .labels = {LABEL_TENANT, LABEL_CODE}},
    {.what = WHAT_ATTEMPTS,
     .splits = SPLIT_NONE,
     .name = "caudal_attempts_total",
     .help = "Calls of suppliers that are over, by how they ended.",
     .labels = {LABEL_POOL, LABEL_OUTCOME}},
    {.what = WHAT_TOKENS,
     .splits = SPLIT_NONE,
     .name = "caudal_tokens_total",
     .help = tokens_help,
     .labels = {LABEL_TENANT, LABEL_MODEL, LABEL_POOL, LABEL_TYPE}},
    {.what = WHAT_TOKENS,
     .splits = SPLIT_SOME,
     .name = "caudal_tokens_total",
     .help = tokens_help,
     .labels = {LABEL_MODEL, LABEL_POOL, LABEL_TYPE}},
    {.what = WHAT_TOKENS,
     .splits = SPLIT_ALL,
     .name = "caudal_tokens_total",
     .help = tokens_help,
     .labels = {LABEL_POOL, LABEL_TYPE}},
    {.what = WHAT_TOKENS,
     .splits = SPLIT_ALL,
     .name = "caudal_model_tokens_total",
     .help = tokens_help,
     .labels = {LABEL_MODEL, LABEL_TYPE}},
    {.what = WHAT_TOKENS,
     .splits = SPLIT_SOME | SPLIT_ALL,
     .name = "caudal_tenant_tokens_total",
     .help = tokens_help,
     .labels = {LABEL_TENANT, LABEL_TYPE}},
    {.what = WHAT_ESTIMATED,
     .splits = SPLIT_NONE,
     .name = "caudal_estimated_requests_total",
     .help = "Answered requests whose tokens were estimated, since the supplier did not say them.",
     .labels = {LABEL_POOL}},
    {.what = WHAT_LIST_USD,
     .splits = SPLIT_NONE,
     .measure = MEASURE_NUSD,
     .name = "caudal_list_usd_total",
     .help = list_help,
     .labels = {LABEL_TENANT, LABEL_POOL}},
    {.what = WHAT_LIST_USD,
     .splits = SPLIT_SOME,
     .measure = MEASURE_NUSD,
     .name = "caudal_list_usd_total",
     .help = list_help,
     .labels = {LABEL_POOL}},
    {.what = WHAT_LIST_USD,
     .splits = SPLIT_SOME,
     .measure = MEASURE_NUSD,
     .name = "caudal_tenant_list_usd_total",
     .help = list_help,
     .labels = {LABEL_TENANT}},
    {.what = WHAT_ENERGY,
     .splits = SPLIT_NONE,
     .measure = MEASURE_JOULES,
     .name = "caudal_energy_joules_total",
     .help = "Energy of answers, estimated from the operating points of the chips.",
     .labels = {LABEL_POOL},
     .fixed = "basis=\"estimated\""},
    {.what = WHAT_CUT,
     .splits = SPLIT_NONE,
     .name = "caudal_streams_cut_total",
     .help = "Streams that ended with an error event after content had gone out."},
    {.what = WHAT_BAD,
     .splits = SPLIT_NONE,
     .name = "caudal_bad_requests_total",
     .help = "Heads that were refused before they were a request."},
    {.what = WHAT_TTFT,
     .splits = SPLIT_NONE,
     .measure = MEASURE_US,
     .name = "gen_ai_server_time_to_first_token_seconds",
     .help = ttft_help,
     .labels = {LABEL_GEN_AI_OPERATION, LABEL_GEN_AI_MODEL},
     .ladder = &seconds},
    {.what = WHAT_TTFT,
     .splits = SPLIT_SOME,
     .measure = MEASURE_US,
     .name = "gen_ai_server_time_to_first_token_seconds",
     .help = ttft_help,
     .labels = {LABEL_GEN_AI_OPERATION},
     .ladder = &seconds},
    {.what = WHAT_PER_TOKEN,
     .splits = SPLIT_NONE,
     .measure = MEASURE_US,
     .name = "gen_ai_server_time_per_output_token_seconds",
     .help = per_token_help,
     .labels = {LABEL_GEN_AI_OPERATION, LABEL_GEN_AI_MODEL},
     .ladder = &token_seconds},
    {.what = WHAT_PER_TOKEN,
     .splits = SPLIT_SOME,
     .measure = MEASURE_US,
     .name = "gen_ai_server_time_per_output_token_seconds",
     .help = per_token_help,
     .labels = {LABEL_GEN_AI_OPERATION},
     .ladder = &token_seconds},
    {.what = WHAT_DURATION,
     .splits = SPLIT_NONE,
     .measure = MEASURE_US,
     .name = "gen_ai_server_request_duration_seconds",
     .help = duration_help,
     .labels = {LABEL_GEN_AI_OPERATION, LABEL_GEN_AI_MODEL},
     .ladder = &seconds},
    {.what = WHAT_DURATION,
     .splits = SPLIT_SOME,
     .measure = MEASURE_US,
     .name = "gen_ai_server_request_duration_seconds",
     .help = duration_help,
     .labels = {LABEL_GEN_AI_OPERATION},
     .ladder = &seconds},
    {.what = WHAT_USAGE,
     .splits = SPLIT_NONE,
     .name = "gen_ai_client_token_usage",
     .help = usage_help,
     .labels = {LABEL_GEN_AI_OPERATION, LABEL_GEN_AI_MODEL, LABEL_GEN_AI_TYPE},
     .ladder = &tokens},
    {.what = WHAT_USAGE,
     .splits = SPLIT_SOME,
     .name = "gen_ai_client_token_usage",
     .help = usage_help,
     .labels = {LABEL_GEN_AI_OPERATION, LABEL_GEN_AI_TYPE},
     .ladder = &tokens},
    {.what = WHAT_ATTEMPT_TTFT,
     .splits = SPLIT_NONE,
     .measure = MEASURE_US,
     .name = "caudal_attempt_time_to_first_token_seconds",
     .help = "From the call of a supplier to its first content.",
     .labels = {LABEL_POOL},
     .ladder = &seconds},
    {.what = WHAT_SHADOW,
     .splits = SPLIT_NONE,
     .name = "caudal_shadow_requests_total",
     .help = "Copies for pools that shadow another that are over, by how they ended.",
     .labels = {LABEL_POOL, LABEL_OUTCOME}},
    {.what = WHAT_SHADOW_SKIPPED,
     .splits = SPLIT_NONE,
     .name = "caudal_shadow_skipped_total",
     .help = "Copies that were drawn and not sent, by why.",
     .labels = {LABEL_POOL, LABEL_WHY}},
    {.what = WHAT_SHADOW_TOKENS,
     .splits = SPLIT_NONE,
     .name = "caudal_shadow_tokens_total",
     .help = "Tokens of copies; input is what no cache had.",
     .labels = {LABEL_POOL, LABEL_TYPE}},
    {.what = WHAT_SHADOW_USD,
     .splits = SPLIT_NONE,
     .measure = MEASURE_NUSD,
     .name = "caudal_shadow_list_usd_total",
     .help = "Price of copies at the suppliers' list prices, in US dollars.",
     .labels = {LABEL_POOL}},
    {.what = WHAT_SHADOW_TTFT,
     .splits = SPLIT_NONE,
     .measure = MEASURE_US,
     .name = "caudal_shadow_time_to_first_token_seconds",
     .help = "From sending a copy that streams to its first content.",
     .labels = {LABEL_POOL},
     .ladder = &seconds},
    {.what = WHAT_SHADOW_PER_TOKEN,
     .splits = SPLIT_NONE,
     .measure = MEASURE_US,
     .name = "caudal_shadow_time_per_output_token_seconds",
     .help = "Time per token after the first, of copies that stream.",
     .labels = {LABEL_POOL},
     .ladder = &token_seconds},
};
const int32_t metrics_n_families = COUNTOF(metrics_families);

static const struct {
    const char *name;
    enum axis axis;
} labels[LABEL_COUNT] = {
    [LABEL_TENANT] = {"tenant", AXIS_TENANT},
    [LABEL_MODEL] = {"model", AXIS_MODEL},
    [LABEL_CLASS] = {"class", AXIS_CLASS},
    [LABEL_POOL] = {"pool", AXIS_POOL},
    [LABEL_CODE] = {"code", AXIS_CODE},
    [LABEL_OUTCOME] = {"outcome", AXIS_OUTCOME},
    [LABEL_TYPE] = {"type", AXIS_TYPE},
    [LABEL_WHY] = {"why", AXIS_SKIP},
    [LABEL_GEN_AI_OPERATION] = {"gen_ai_operation_name", AXIS_OPERATION},
    [LABEL_GEN_AI_MODEL] = {"gen_ai_request_model", AXIS_MODEL},
    [LABEL_GEN_AI_TYPE] = {"gen_ai_token_type", AXIS_SIDE},
};

const char *metrics_label_name(enum label label)
{
    return labels[label].name;
}

enum axis metrics_label_axis(enum label label)
{
    return labels[label].axis;
}

const int32_t metrics_codes[CODE_COUNT] = {
    200, 400, 401, 403, 404, 429, 499, 500, 502, 503, 504, 201, 202, 204, 206, 301, 302, 304, 402,
    405, 406, 408, 409, 410, 411, 413, 414, 415, 416, 417, 422, 424, 426, 431, 501, 505, 529};

// The first two are OpenTelemetry's, which knows of no cache: its input is the whole prompt.
static const char *const types[TYPE_COUNT] = {"input", "output", "cached_input"};
static const char *const operations[OPERATION_COUNT] = {"chat", "text_completion", "embeddings"};

static const char *const skips[METRICS_SKIPS] = {"in_flight", "money",  "limits", "failing",
                                                 "inactive",  "unable", "ledger", "ending"};

struct str metrics_slot_name(const struct metrics *m, enum axis axis, int32_t slot,
                             char number[SLOT_NAME_BYTES])
{
    if (slot == m->other[axis])
        return STR("other");
    switch (axis) {
    case AXIS_TENANT: return m->names[NAMES_TENANT][slot];
    case AXIS_MODEL: return m->names[NAMES_MODEL][slot];
    case AXIS_CLASS: return m->names[NAMES_CLASS][slot];
    case AXIS_POOL: return m->names[NAMES_POOL][slot];
    case AXIS_CODE:
        snprintf(number, SLOT_NAME_BYTES, "%d", (int)metrics_codes[slot]);
        return str_of(number);
    case AXIS_OUTCOME: return str_of(slot == FAULT_NONE ? "ok" : fault_name((enum fault)slot));
    case AXIS_OPERATION: return str_of(operations[slot]);
    case AXIS_TYPE:
    case AXIS_SIDE: return str_of(types[slot]);
    case AXIS_SKIP: return str_of(skips[slot]);
    case AXIS_COUNT: break;
    }
    return STR("other");
}
