// config.h - the portfolio file: text to struct portfolio.
//
// Pure: files come as text, the environment and secret files through functions of the caller.
//
//   texts -> yaml.c (trees) -> config.c (${NAME}, !file, merge: one tree) -> config_top.c (names,
//   then each section) -> the tables of config_sections, _supply, _contracts, _pools and _tenants,
//   each row of which config_read.c turns into one member -> portfolio_seal()
//
// The tables are also the reference of docs/portfolio.md: config_reference_section() writes
// it, and a test compares.

#ifndef CAUDAL_CONFIG_H
#define CAUDAL_CONFIG_H

#include "base/buf.h"
#include "portfolio/check.h"
#include "portfolio/portfolio.h"

struct config_file {
    struct str name;  // as messages show it; its folder is where `!file` looks
    struct str text;
};

struct config_env {
    void *ctx;
    // The value of an environment variable, borrowed until config_load() returns. False: not set.
    bool (*get)(void *ctx, struct str name, struct str *value);
    // The whole of a file, in memory of `a`. On failure the diag says why and names no content.
    enum err (*read)(void *ctx, struct arena *a, struct str path, struct str *text,
                     struct diag *diag);
};

// Reads `files`, which are merged in order: maps by key; anything else said twice must be the same.
// Every problem found goes to `problems`, none of them with a secret in it.
//   Memory  all from `a`; names of files are borrowed as long as `out`
//   Errors  ERR_INVALID  problems->errors > 0
//           ERR_LIMIT    `a` is full (also said in `problems`)
// `*out` is complete and sealed on success. On failure only its secrets may be used, to hide them.
MUST_USE enum err config_load(struct portfolio *out, struct arena *a,
                              const struct config_file *files, int32_t n_files,
                              const struct config_env *env, struct problems *problems);

// One key of a tenant as a JSON object says it, with the words of tenants.NAME.keys: for keys that
// are made at run time. All from `a`; whether its models and classes exist is the caller's
// question.
//   Errors  ERR_INVALID  `diag` says which member and why; ERR_LIMIT `a` is full
MUST_USE enum err config_key(struct tenant_key *out, struct arena *a, struct str text,
                             struct diag *diag);

// The keys of one section as a Markdown table; nothing for `groups`, which has none.
void config_reference_section(struct buf *out, const char *section);
// Calls `each` with every key of the tables: "pools", "limits.in_flight".
void config_keys(void (*each)(void *ctx, const char *section, const char *path), void *ctx);

#endif
