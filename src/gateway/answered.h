// answered.h - what an answer came to: its tokens and its energy, of a request's as of a shadow's.

#ifndef CAUDAL_ANSWERED_H
#define CAUDAL_ANSWERED_H

#include "gateway/core.h"
#include "gateway/relay.h"

// The tokens of an answer of `model`: the supplier's usage or, where it said none, what was relayed
// and `prompt_tok`, the estimate of the prompt. True: they are estimated. `stream`: it came event
// by event.
bool answered_tokens(struct core *c, const struct generation *g, int32_t model,
                     const struct relay_said *said, bool stream, int32_t prompt_tok,
                     struct openai_usage *out);
// Estimated; 0 where nothing is known of the chip. `d` says the pool and the model.
double answered_joules(struct core *c, struct generation *g, const struct route_decision *d,
                       const struct openai_usage *u, int64_t now_us);
// Of an answer that came whole only its time shows: into `seen` as the pool's own times, which `t`
// expected, would split it. Nothing where they expected nothing.
void answered_split(struct route_seen *seen, const struct route_terms *t, int64_t total_us,
                    int32_t output_tok);

#endif
