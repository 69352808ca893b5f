// portfolio.h - what was bought, from whom, where it stands, and who may use it.
//
// Plain data, filled by wire/config.h (or by a test), checked by portfolio/check.h, read by all.
// Everything lives in one arena, as long as the portfolio; indices are int32_t into its arrays, and
// -1 is "none". Nothing in here changes after portfolio_seal(). Quantities are in the program's
// units: us, tokens, nano-dollars per million tokens, W, doubles for rates and shares.

#ifndef CAUDAL_PORTFOLIO_H
#define CAUDAL_PORTFOLIO_H

#include "base/arena.h"
#include "base/err.h"
#include "base/table.h"
#include "portfolio/place.h"
#include "portfolio/prices.h"
#include "portfolio/serve_config.h"

// Where a figure comes from: `source:` beside it, or the comment-like note in `note:`.
struct source {
    struct str text;
};

enum api {  // the dialect a supplier speaks
    API_OPENAI,
    API_CEREBRAS,
    API_LLAMA_CPP,
    API_VLLM,
    API_SGLANG,
    API_TENSORRT_LLM,
    API_NIM,
    API_COREWEAVE,
    API_ANTHROPIC,
    API_AZURE,
    API_BEDROCK,
    API_SAGEMAKER,
    API_VERTEX,
    API_GEMINI,
    API_OCI,
    API_SIM,
    API_COUNT
};
const char *api_name(enum api api);    // as the portfolio file writes it: "llama.cpp"
bool api_speaks_openai(enum api api);  // chat/completions over HTTP with a bearer key

// The calls that a pool may answer; a set of bits.
enum surface {
    SURFACE_CHAT = 1,
    SURFACE_COMPLETIONS = 2,
    SURFACE_EMBEDDINGS = 4,
    SURFACE_RESPONSES = 8,
    SURFACE_MESSAGES = 16
};
uint32_t
api_surfaces(enum api api);  // what a supplier of this dialect answers unless told otherwise

enum status {
    STATUS_TALKS,
    STATUS_LETTER,
    STATUS_ASSUMED,
    STATUS_SIGNED,
    STATUS_LIVE,
    STATUS_ENDED,
    STATUS_COUNT
};
const char *status_name(enum status s);

enum purpose { PURPOSE_INFERENCE = 1, PURPOSE_TRAINING = 2 };

enum commitment_unit {
    COMMIT_USD,
    COMMIT_TOKENS,
    COMMIT_ACCELERATOR_HOURS,
    COMMIT_MW_MONTHS,
    COMMIT_PTU
};
enum period { PERIOD_NONE, PERIOD_MONTH, PERIOD_QUARTER, PERIOD_YEAR, PERIOD_TERM };

// A rate of money that changes with the time waited: from `from_us` on, `nusd_per_us`.
struct value_step {
    int64_t from_us;
    double nusd_per_us;  // 1 USD/h is 1e9 / 3.6e9 nano-dollars per microsecond
};
struct value_curve {
    struct value_step *steps;  // by from_us, ascending; before the first: 0
    int32_t n;
};
// Integral of the curve from 0 to `us`, in nano-dollars (design section 3).
double value_curve_cost(const struct value_curve *c, int64_t us);

struct class
{
    struct str name;
    struct place place;
    int64_t ttft_us, per_token_us;  // targets; NEVER: none
    int64_t deadline_us;            // from arrival; NEVER: none
    bool deferred;  // may wait until near its deadline for capacity that is paid for
    struct value_curve ttft_value, per_token_value;
    int64_t unserved_nusd;  // what not answering one request costs; -1: never refused for its price
};

struct engine_config {  // `run:`, an engine that caudal starts and watches itself
    struct str *argv;   // [n_argv], with ${PORT} still in it
    int32_t n_argv;     // 0: not run by caudal
    struct str health;  // path that answers 200 when the engine is ready; default /health
    struct str log;     // file for its output; empty: <state>/NAME.log
    int64_t start_us;   // how long it may take to become ready
    int32_t port;       // 0: any free one
};

struct supplier {
    struct str name;
    struct place place;
    enum api api;
    struct str url;      // what comes before the path after /v1; empty for engines caudal runs
    struct str key;      // secret: never printed
    struct str ca_file;  // PEM of the authorities to trust instead of the system's
    struct str proxy;    // http://host:port; empty: HTTPS_PROXY's say; "none": no proxy
    bool insecure;       // verification off: loopback tests only
    int64_t connect_us, first_byte_us, idle_us;  // timeouts
    struct engine_config run;
    uint32_t surfaces;  // 0: api_surfaces(api)
};

struct site {
    struct str name;
    struct place place;
    struct str region;             // "us", "eu"; where data may reside
    double power_w;                // limit; 0: not said
    double pue;                    // facility over IT; 1 when not said
    double energy_nusd_per_joule;  // 62 USD/MWh is 62e9 / 3.6e9
    double carbon_g_per_joule;
    struct round_trip {
        struct str region;
        int64_t us;
    } * round_trips;  // [n_round_trips]
    int32_t n_round_trips;
    struct source source;
};

enum basis { BASIS_NONE, BASIS_MEASURED, BASIS_CLAIMED, BASIS_ROOFLINE, BASIS_ASSUMED };
const char *basis_name(enum basis b);

// One operating point of a chip: how fast it answers, so full. A point may instead (or also) state
// the parameters of service.h themselves; what is not stated is 0.
struct point {
    int32_t model;            // index; -1: any
    int32_t chips;            // that work together on one replica; 0: 1
    double per_user_tok_s;    // decode speed one user sees
    double throughput_tok_s;  // decode tokens per second of one replica
    double batch;             // sequences at once at this point
    double prefill_tok_s;     // uncached prompt tokens per second of one replica
    double prompt_tok;        // prompt length at which ttft was read
    int64_t ttft_us;
    // W, H, S, K and M of service.h; P0, P2, R and Q, which count beside prefill_tok_s.
    double step_us, step_per_sequence_us, step_per_root_us, step_per_context_us, step_per_prompt_us;
    double prefill_start_us, prefill_per_token2_us, prefill_per_sequence_us;
    double prefill_per_token_sequence_us;
    int32_t slots;   // sequences a replica holds at most; 0: not said
    double kv_tok;   // context tokens a replica holds at most; 0: not said
    double power_w;  // of one replica at this point, IT
    enum basis basis;
    struct source source;
};

struct chip {
    struct str name;
    struct place place;
    double memory_bytes, bandwidth_bytes_s, compute_flop_s;
    double power_w, idle_w;  // of one chip, IT
    double efficiency;       // of the roofline; 0: service.h's default
    struct point *points;    // [n_points]
    int32_t n_points;
    struct source source;
};

struct phase {
    int64_t from_us, until_us;  // NEVER: open
    double adds_w;              // facility load unless load_is_it
    double adds_accelerators;
    double adds_ptu;
    double adds_token_rate;  // tok/s
    double min_w, max_w;     // bounds of an adjustable phase; 0: fixed
    enum status status;
    bool load_is_it;
    struct source source;
    struct place place;
};

struct contract_option {
    struct str name;
    int64_t exercise_by_us, from_us;
    double adds_w, adds_accelerators;
    int64_t price_uusd;  // of exercising it
    struct source source;
};

struct commitment {
    double amount;  // in `unit`: USD, tokens, accelerator-hours, MW-months, PTU; 0: none
    enum commitment_unit unit;
    enum period per;
    bool beyond_never;            // nothing may be used beyond it
    double beyond_nusd_per_unit;  // price beyond; 0: the list price
    struct str make_up;           // rights to use later what was not used, as written
};

struct contract {
    struct str name;
    struct place place;
    int32_t supplier, part_of;  // -1: none
    enum status status;
    bool value_is_bound;  // "more than" or "up to": see value_note
    int64_t value_uusd;   // 0: not stated
    struct str value_note;
    int64_t signed_us, from_us, until_us;  // 0: not said; until NEVER: open
    uint32_t purpose;                      // bits of enum purpose; both when not said
    struct commitment commitment;
    struct phase *phases;  // [n_phases], by from_us
    struct contract_option *options;
    int32_t n_phases, n_options;
    bool exclusive, first_refusal;
    double power_ceiling_w;  // 0: not stated
    struct str *chips;       // names as the contract states them
    int32_t n_chips;
    struct source source;
    struct str note;
};

struct model {
    struct str name;
    struct place place;
    double parameters, active_parameters;  // 0: not said
    double bytes_per_parameter, kv_bytes_per_tok;
    int32_t layers;
    int32_t experts, experts_active;  // of a layer, and of them those that a token wakes; 0: none
    int32_t kv_heads;                 // that the KV cache can be split by; 0: any number
    int32_t context_tok;              // 0: not said
    bool listed;                      // said under `models:`, not only served
    int64_t created_s;                // for /v1/models
};

struct group {  // models that may stand in for each other, the first preferred
    struct str name;
    struct place place;
    int32_t *models;  // [n_models]
    int32_t n_models;
};

struct token_price {  // nano-dollars per million tokens
    bool said;
    int64_t input, cached_input, cache_write, output;  // cached_input, cache_write -1: as input
};

// Beginnings of prompts that a pool keeps, so that the same need not be computed again.
struct prefix_cache {
    bool said;
    double tok;      // at most; 0: none; -1: not said
    int64_t ttl_us;  // since they were used last; -1: not said
};

struct serving {  // one model that a pool serves
    int32_t model;
    struct str as;  // what the supplier calls it
    struct token_price price;
    int32_t context_tok;               // 0: the model's
    int32_t output_tok_max;            // 0: not said
    uint32_t surfaces;                 // 0: the supplier's
    struct prefix_cache prefix_cache;  // unless said: the pool's
    struct place place;
};

struct maintenance {
    int64_t from_us, until_us;
    struct place place;
};

struct pool_limits {
    int32_t in_flight;      // 0: none
    double requests_per_s;  // a bucket of one minute; 0: none
    double tokens_per_s;
    int32_t waiting;  // how many may wait for a slot here; 0: the default
};

// A pool that enters in steps (route/share.h); n_steps 0: it has all it may from the start.
enum { POOL_STEPS_MAX = 16 };
struct pool_share {
    double steps[POOL_STEPS_MAX];  // of the requests that it may have, rising, above 0 up to 1
    int32_t n_steps;
    int64_t every_us;  // at least so long in a step
    // While this holds: errors of the answers; means of TTFT and time per token over the target of
    // the request's class.
    double errors, ttft, per_token;
    int32_t at_least;  // answers that say something
};

// A pool that only gets copies of requests that another pool has answered.
struct pool_shadow {
    bool on;
    int32_t of;            // the pool that answers
    double share;          // of what that one answers
    int64_t at_most_nusd;  // at list price in a day of UTC; -1: not said
};

struct pool {
    struct str name;
    struct place place;
    int32_t supplier, site, chip, contract;  // supplier is never -1 after sealing
    struct str url;                          // the supplier's unless said here
    struct str key;                          // secret
    struct serving *serves;                  // [n_serves]
    int32_t n_serves;
    struct pool_limits limits;
    struct pool_share share;
    struct prefix_cache prefix_cache;  // of each model that it serves
    struct pool_shadow shadow;
    int32_t first_shadow;  // of those that shadow it; -1: none. After portfolio_seal()
    int32_t next_shadow;   // of those that shadow the same pool as this one; -1: the last
    double chips;          // accelerators behind it; 0: not said
    int32_t replicas;      // of the operating point; 0: 1
    int32_t priority;      // lower is first, for priority-spill
    double weight;         // for ties and splits; 1
    double derate;         // share of its capacity that may be used; 1
    bool enabled;
    uint32_t purpose;
    struct maintenance *maintenance;
    int32_t n_maintenance;
    double sim_speed;  // API_SIM: run by tests; 0: not simulated
};

struct net {                    // a range of addresses
    unsigned char address[16];  // IPv6; of IPv4 ::ffff:a.b.c.d
    int32_t bits;               // of 128 that must be the same
};

// What one who asks may use: a tenant, or one of its keys. Whoever stands above it (the key's
// tenant, the tenants it is `of`) must have room too.
struct allowance {
    double requests_per_s, tokens_per_s;         // buckets of one minute; 0: none
    int32_t in_flight;                           // 0: none
    int64_t budget_day_nusd, budget_month_uusd;  // charged money; -1: none
    bool budget_hard;       // the largest possible answer is reserved, else the expected one
    int64_t zone_us;        // its days begin so much before those of UTC
    int64_t until_us;       // since 1970: nothing from here on; NEVER
    struct net *addresses;  // where it may ask from, [n_addresses]; n_addresses -1: anywhere
    int32_t n_addresses;
};

struct tenant_key {
    unsigned char sha256[32];
    struct str name;  // empty: the hash's first digits stand for it
    struct place place;
    struct allowance allowance;
    struct str *models, *classes;  // names, of those that its tenant may use; n -1: all
    int32_t n_models, n_classes;
};

enum { TENANT_ABOVE_MAX = 3 };  // tenants above a tenant

struct tenant {
    struct str name;
    struct place place;
    int32_t of;               // the tenant above it; -1: none
    struct tenant_key *keys;  // [n_keys]
    int32_t n_keys;
    int32_t *models;  // allowed, [n_models]; n_models -1: all
    int32_t n_models;
    int32_t *classes;  // allowed; n_classes -1: all
    int32_t n_classes;
    int32_t default_class;  // -1: the portfolio's
    int32_t passthrough;    // supplier; -1: none
    struct str *regions;    // where its data may go; n_regions -1: anywhere
    int32_t n_regions;
    struct str region;     // where its users are; empty: the portfolio's
    bool expose_decision;  // x-caudal-decision
    struct allowance allowance;
    double markup;  // charged = list x markup; -1 before sealing: as the tenant above, or 1
    struct tenant_price {
        int32_t model;
        struct token_price price;
    } * prices;        // [n_prices], instead
    int32_t n_prices;  // of list x markup
};

enum { STREAM_HOURS = 24 };
struct demand {  // forecast of one stream: who asks what, how much, when
    struct str name;
    struct place place;
    int32_t tenant, model, class;  // -1: not said
    struct str region;
    double rate_per_s;              // mean over the day
    double prompt_tok, output_tok;  // means
    double growth_per_year;         // 1.5: half as much again a year later; 1
    double hours[STREAM_HOURS];     // shape of a weekday, mean 1
    double weekend;                 // weekend over weekday; 1
    int64_t from_us, until_us;
    struct source source;
};

struct portfolio {
    struct arena *arena;  // where all of it lives; not owned
    struct serve_config serve;
    struct class *classes;
    struct supplier *suppliers;
    struct site *sites;
    struct chip *chips;
    struct contract *contracts;
    struct model *models;
    struct group *groups;
    struct pool *pools;
    struct tenant *tenants;
    struct demand *demands;
    int32_t n_classes, n_suppliers, n_sites, n_chips, n_contracts, n_models, n_groups, n_pools,
        n_tenants, n_demands;
    const struct planned_prices *prices;  // NULL: nothing is planned
    struct table *model_names, *class_names, *pool_names, *tenant_names;
    struct str *secrets;   // every secret value that the files or the environment gave, so that no
    int32_t n_secrets;     // output can hold one
    uint64_t fingerprint;  // of the files' texts, as they stand: the same for the same portfolio
};

void class_defaults(struct class *c);
void supplier_defaults(struct supplier *s);
void pool_defaults(struct pool *p);
void tenant_defaults(struct tenant *t);
void allowance_defaults(struct allowance *a);

// Builds the name tables and sorts what must be sorted, after all arrays are filled. A tenant's
// models, classes and regions become those that all above it have too; its markup and prices those
// of the nearest above it that says them, where it says none.
//   Errors  ERR_LIMIT    the arena is full
//           ERR_INVALID  an index is out of range or a name stands twice; `diag` names it
MUST_USE enum err portfolio_seal(struct portfolio *p, struct diag *diag);

// What a pool serves under this model; NULL: it does not.
const struct serving *pool_serving(const struct pool *p, int32_t model);
// It answers clients that ask for this model: it serves it, and shadows nobody.
bool pool_answers(const struct pool *p, int32_t model);
uint32_t serving_surfaces(const struct portfolio *p, const struct pool *pool,
                          const struct serving *s);
int32_t serving_context(const struct portfolio *p, const struct serving *s);  // 0: not said
// How long a request that states no patience of its own may wait for its first content: until its
// class's deadline, else as `serve` says. `class` -1: none.
int64_t class_patience_us(const struct portfolio *p, int32_t class);
// The place of what has this name; -1: nothing has.
int32_t portfolio_site(const struct portfolio *p, struct str name);
int32_t portfolio_contract(const struct portfolio *p, struct str name);
// Phases of the pool's contract give it capacity at this time; a pool without phases always may.
bool pool_active(const struct portfolio *p, const struct pool *pool, int64_t wall_us);
// The first of the portfolio's windows that the pool is in at this time; NULL: none.
static inline const struct maintenance *pool_maintenance(const struct pool *pool, int64_t wall_us)
{
    for (int32_t i = 0; i < pool->n_maintenance; i++)
        if (wall_us >= pool->maintenance[i].from_us && wall_us < pool->maintenance[i].until_us)
            return &pool->maintenance[i];
    return NULL;
}
// Round trip from users in `region` to the pool's site; 0 when nothing is said.
int64_t pool_round_trip_us(const struct portfolio *p, const struct pool *pool, struct str region);
// List price of a call in nano-dollars, rounded half up once; 0 without a price.
int64_t price_of(const struct token_price *price, int64_t prompt_tok, int64_t cached_tok,
                 int64_t output_tok);

// What `t` is charged for a call, in nano-dollars: its own price of the model, or `list_nusd` times
// its markup, rounded half up. `t` may be NULL: the list price.
int64_t charged_of(const struct tenant *t, int32_t model, int64_t list_nusd, int64_t prompt_tok,
                   int64_t cached_tok, int64_t output_tok);
bool allowance_counts(const struct allowance *a);  // some of it must be counted, not only compared
bool net_holds(const struct net *net, const unsigned char address[16]);

#endif
