// roofline.h - how fast a chip answers where nobody has measured it: from its data sheet and the
// shape of the model. Pure.
//
// A decode step starts its kernels layer by layer, reads the weights that its tokens need and the
// KV cache of each sequence, and passes messages between the chips of a replica; of n tokens each
// of which wakes k of E experts, 1 - (1 - k/E)^n of the experts are read. A prefill computes 2
// operations per active parameter and token, in chunks that ride on decode steps. How much of the
// data sheet that reaches is a few numbers, fitted to what was measured on other systems.
//
// The roofline is Williams, Waterman and Patterson's (2009); 2 operations are a multiplication and
// an addition (Kaplan et al., 2020, section 2.1).

#ifndef CAUDAL_ROOFLINE_H
#define CAUDAL_ROOFLINE_H

#include "portfolio/service.h"

enum roofline_engine { ENGINE_VLLM, ENGINE_SGLANG, ENGINE_TENSORRT_LLM, ENGINE_COUNT };
enum roofline_engine roofline_engine_of(enum api api);  // those that are none of these: as vLLM

struct roofline_machine {  // one replica
    const struct chip *chip;
    const struct model *model;
    double chips, bytes_per_parameter;
    enum roofline_engine engine;
};

// What a step and a first token are made of; a time is the sum of each times its weight, in us.
enum {
    ROOF_LAYER,          // us per layer: starting its kernels
    ROOF_LAYER_CHIPS,    // us per layer and doubling of the chips: messages between them
    ROOF_LAYER_EXPERTS,  // us per layer: choosing experts, where there are some
    ROOF_MEMORY,         // of the time that memory needs by the data sheet
    ROOF_LAYER_ROOT,     // us per layer and square root of the sequences
    ROOF_JOIN,           // of the time that the prompts of others need by the data sheet
    ROOF_STEP_TERMS
};
enum {
    ROOF_LAYER_OTHERS,    // us per layer and other sequence
    ROOF_PREFILL,         // of the time that the prompt needs by the data sheet; 1 at least
    ROOF_PREFILL_OTHERS,  // and for each other sequence
    ROOF_STEPS,           // decode steps before it, for each engine
    ROOF_STEPS_TOK = ROOF_STEPS + ENGINE_COUNT,  // and for each 1,000 tokens of prompt
    ROOF_FIRST_TERMS = ROOF_STEPS_TOK + ENGINE_COUNT
};
struct roofline {
    double step[ROOF_STEP_TERMS], first[ROOF_FIRST_TERMS];
};

// Fitted to measurements of H100, H200, B200 and GB200 by `caudal bench fit --shapes`;
// docs/benchmarks.md has the command, and how far off it is on a system that it has not seen.
extern const struct roofline roofline_fitted;

// The decode step, or the prefill, of one replica: with `roofline_fitted` where roofline_knows()
// and the chip has no efficiency of its own; else the plain share of the data sheet that is its
// efficiency, a half where it has none. False: too little is known.
bool roofline_decode(struct service *out, const struct roofline_machine *m);
bool roofline_prefill(struct service *out, const struct roofline_machine *m);
// As many chips as the weights need, with a fifth of the memory left for the KV cache.
int32_t roofline_chips(const struct chip *c, const struct model *m);
double model_bytes_per_parameter(const struct model *m);  // as stated, else those of bf16

// Whether machine and model are known well enough: bandwidth, compute, parameters and layers.
bool roofline_knows(const struct roofline_machine *m);
// Terms of the time per token of n sequences, and of the time to the first token beyond the step
// and the join that service_ttft_us() counts; `service` has the times of the step.
void roofline_step_terms(double out[ROOF_STEP_TERMS], const struct roofline_machine *m, double n,
                         double prompt, double output);
void roofline_first_terms(double out[ROOF_FIRST_TERMS], const struct roofline_machine *m,
                          const struct service *service, double n, double prompt);
// The times of `out` for one replica; slots, replicas and power are the caller's.
void roofline_service(struct service *out, const struct roofline_machine *m,
                      const struct roofline *r);
// Bytes of all weights.
double roofline_weights(const struct roofline_machine *m);

#endif
