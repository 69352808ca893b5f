// import.h - inside of `caudal import`: what another gateway's configuration says, in our words.
//
//   YAML tree -> import_models.c (deployments) and import_settings.c (the rest) -> struct import
//             -> import_write.c (a portfolio with comments)
//
// What cannot be carried over, and what means something else here, becomes a note with its line.
// Notes and the portfolio never hold a secret: keys are named by their environment variable.

#ifndef CAUDAL_IMPORT_H
#define CAUDAL_IMPORT_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/yaml.h"

// One dialect of the other gateway, by the prefix of its models' names.
struct import_provider {
    const char *prefix;    // "groq"
    const char *api;       // of the portfolio; NULL: caudal has nothing for it
    const char *url;       // when the file gives none; NULL: it must be given
    const char *key;       // variable that holds the key when the file gives none; NULL: no key
    const char *beneath;   // comes behind a url of the file that does not end so; NULL: nothing
    const char *surfaces;  // "chat"; NULL: what the api has
    const char *note;      // what else should be known; NULL: nothing
};

// The provider that serves `model` ("groq/llama-3.3-70b"), or the one called `custom` when that is
// said; `*name` is what the supplier calls the model. NULL: unknown.
const struct import_provider *import_provider_of(struct str model, struct str custom,
                                                 struct str *name);

struct import_note {
    int32_t line;
    struct str what, why;  // the key, and what became of it
    struct import_note *next;
};

struct import_alias {  // also the steps of a fallback: `from`, else `to`
    struct str from, to;
    int32_t line;
    struct import_alias *next;
};

// Money in USD for a token, as the file says it; below 0: not said.
struct import_prices {
    double input, output, cached_input, cache_write;
};

struct import_deployment {
    struct str model, as;  // what clients ask for, and what the supplier calls it
    int32_t line;
    const struct import_provider *provider;
    struct str url, key;          // as the portfolio writes them; an empty key: none
    double first_byte_s, idle_s;  // 0: not said
    double requests_per_min, tokens_per_min, in_flight;  // 0: not said
    double weight, order;                                // below 0: not said
    double context, output_max;                          // 0: not said
    struct import_prices prices;
    const char *surfaces;  // NULL: what the provider has
    int32_t supplier;      // these two are made by import_pools_make()
    double share;          // its part of the model; below 0: not said
    struct import_deployment *next;
};

struct import {
    struct arena *a;
    struct str file;  // its name as messages show it
    struct import_deployment *first, **last;
    int32_t n;
    struct import_note *notes;     // by line
    struct import_alias *aliases;  // in the order of the file
    struct import_alias *fallbacks;
    const struct yaml_node *credentials;                   // NULL: none
    struct str policy;                                     // empty: the default
    double retries, failures, open_s, timeout_s, body_mb;  // below 0: not said
    bool price_speed;  // waiting gets a price, so that the faster is chosen
    bool log_json, log_debug;
    char master[72];  // "sha256:..."; empty: none
    bool full;        // the arena is
};

// A line of the list of what was not carried over. Both texts are copied.
void import_note(struct import *im, const struct yaml_node *at, const char *what, const char *why,
                 ...) PRINTF_LIKE(4, 5);

// One key that a map of the file may have. `take` NULL: it is not carried over, for the reason
// `why`; both NULL: nothing is lost without it.
struct import_key {
    const char *key;
    void (*take)(struct import *im, const struct yaml_node *node, void *object);
    const char *why;
};
// Goes through `map`, those it merges with `<<` too. `path` stands in front of keys in notes.
void import_keys(struct import *im, const struct yaml_node *map, const char *path,
                 const struct import_key *keys, void *object);

// Values. A text `os.environ/NAME` becomes `${NAME}`; numbers from the environment are noted and
// false is returned, as for what is no number.
struct str import_text(struct import *im, const struct yaml_node *node);
bool import_number(struct import *im, const struct yaml_node *node, double *out);
bool import_true(const struct yaml_node *node);
// The key's variable; a key that stands in the file itself is named `fallback`, and noted.
struct str import_secret(struct import *im, const struct yaml_node *node, const char *fallback,
                         bool may_be_empty);

// The tree of a LiteLLM configuration into `*im`, which import_init() made.
void import_init(struct import *im, struct arena *a, struct str file);
void import_litellm(struct import *im, const struct yaml_node *top);
void import_model_list(struct import *im, const struct yaml_node *list);

// The portfolio; notes go in front of it as comments.
void import_write(struct buf *out, struct import *im);

#endif
