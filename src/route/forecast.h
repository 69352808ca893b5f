// forecast.h - how long the answer will be, and how many tokens are in these bytes: learnt, said
// so.
//
// Output length is an exponentially weighted mean of what was seen, capped by max_tokens: of the
// end user who asks, drawn towards that of (tenant, model) the more the less of him was seen, and
// that towards the model's. What is not known of a user goes by the length of the prompt: answers
// to prompts like it, over those to all, of the model. Prompt tokens are bytes times a ratio learnt
// per model. Fixed memory, under the same lock as the router.

#ifndef CAUDAL_FORECAST_H
#define CAUDAL_FORECAST_H

#include "base/arena.h"
#include "base/err.h"

struct forecast;

enum { FORECAST_USERS = 32768 };  // remembered; who was not heard of for longest is forgotten

struct forecast_who {
    int32_t tenant, model;
    uint64_t user;       // a hash, keyed by what makes users of two tenants two; 0: not said
    int32_t prompt_tok;  // as far as it is known; 0: not
};

// All from `a`: 1 MiB for the users, of which the system backs what is used, about 32 bytes for
// each (tenant, model), of which there are at most 65,536, and 400 for each model.
MUST_USE enum err forecast_new(struct forecast **out, struct arena *a, int32_t n_tenants,
                               int32_t n_models);
// Does it have room for so many?
bool forecast_holds(const struct forecast *f, int32_t n_tenants, int32_t n_models);
// Into `f`, which nothing was learnt in yet and is not smaller, all that `from` has learnt.
void forecast_move(struct forecast *f, const struct forecast *from);
// `max_tok` 0: the client set no limit. At least 1. Before anything was seen: 256.
int32_t forecast_output_tok(const struct forecast *f, const struct forecast_who *who,
                            int32_t max_tok);
// Before anything was seen: 4 bytes a token.
int32_t forecast_prompt_tok(const struct forecast *f, int32_t model, int64_t prompt_bytes);
double forecast_bytes_per_tok(const struct forecast *f, int32_t model);
// The same of answers, whose text is shorter or longer than that of prompts in their templates; 0:
// no supplier has said its tokens yet.
double forecast_answer_bytes_per_tok(const struct forecast *f, int32_t model);
void forecast_learn_answer(struct forecast *f, int32_t model, int64_t bytes, int32_t tok);
void forecast_learn(struct forecast *f, const struct forecast_who *who, int64_t prompt_bytes,
                    int32_t prompt_tok, int32_t output_tok);

#endif
