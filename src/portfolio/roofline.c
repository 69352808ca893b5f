#include "portfolio/roofline.h"

#include "base/rng.h"

#include <math.h>

const struct roofline roofline_fitted = {
    .step = {[ROOF_LAYER] = 30.4,
             [ROOF_LAYER_CHIPS] = 11.7,
             [ROOF_LAYER_EXPERTS] = 38.7,
             [ROOF_MEMORY] = 1.273,
             [ROOF_LAYER_ROOT] = 3.98,
             [ROOF_JOIN] = 2.61},
    .first = {[ROOF_LAYER_OTHERS] = 13.5,
              [ROOF_PREFILL] = 1,
              [ROOF_PREFILL_OTHERS] = 0.093,
              [ROOF_STEPS + ENGINE_VLLM] = 3.92,
              [ROOF_STEPS + ENGINE_SGLANG] = 22.3,
              [ROOF_STEPS + ENGINE_TENSORRT_LLM] = 7.91,
              [ROOF_STEPS_TOK + ENGINE_VLLM] = 2.41,
              [ROOF_STEPS_TOK + ENGINE_SGLANG] = 3.96,
              [ROOF_STEPS_TOK + ENGINE_TENSORRT_LLM] = 3.36},
};

// Of what shape is not said: in the middle of what serving engines reach.
static const double DEFAULT_EFFICIENCY = 0.5;
static const double DEFAULT_BYTES_PER_PARAMETER = 2;  // bf16
static const double US_PER_S = 1e6, TOK_PER_STEPS = 1000;

enum roofline_engine roofline_engine_of(enum api api)
{
    switch (api) {
    case API_SGLANG: return ENGINE_SGLANG;
    case API_TENSORRT_LLM:
    case API_NIM: return ENGINE_TENSORRT_LLM;
    default: return ENGINE_VLLM;
    }
}

bool roofline_knows(const struct roofline_machine *m)
{
    return m->chip && m->model && m->chip->bandwidth_bytes_s > 0 && m->chip->compute_flop_s > 0 &&
           m->model->parameters > 0 && m->model->layers > 0;
}

double model_bytes_per_parameter(const struct model *m)
{
    return m->bytes_per_parameter > 0 ? m->bytes_per_parameter : DEFAULT_BYTES_PER_PARAMETER;
}

int32_t roofline_chips(const struct chip *c, const struct model *m)
{
    double bytes = m->parameters * model_bytes_per_parameter(m);
    double need = c->memory_bytes > 0 ? bytes / (c->memory_bytes * 0.8) : 1;
    if (need > 4096)
        need = 4096;
    int32_t chips = (int32_t)need;
    return (double)chips < need ? chips + 1 : chips > 1 ? chips : 1;
}

static double active_of(const struct model *m)
{
    return m->active_parameters > 0 ? m->active_parameters : m->parameters;
}

// The share of the experts that one token wakes; 0: there are none.
static double woken(const struct model *m)
{
    bool some = m->experts > 0 && m->experts_active > 0 && m->experts_active < m->experts;
    return some ? (double)m->experts_active / m->experts : 0;
}

// Parameters of all experts: what is not active is the part of them that sleeps.
static double expert_parameters(const struct model *m)
{
    double share = woken(m), all = share > 0 ? (m->parameters - active_of(m)) / (1 - share) : 0;
    return all < m->parameters ? all : m->parameters;
}

double roofline_weights(const struct roofline_machine *m)
{
    return m->model->parameters * m->bytes_per_parameter;
}

static double memory_us(const struct roofline_machine *m, double bytes)
{
    return US_PER_S * bytes / (m->chip->bandwidth_bytes_s * m->chips);
}

static double weights_us(const struct roofline_machine *m)
{
    double all = m->model->parameters - expert_parameters(m->model);
    return memory_us(m, all * m->bytes_per_parameter);
}

static double experts_us(const struct roofline_machine *m)
{
    return memory_us(m, expert_parameters(m->model) * m->bytes_per_parameter);
}

// A head of the KV cache lies on one chip; with more chips than heads they hold copies.
static double context_us(const struct roofline_machine *m)
{
    double heads = m->model->kv_heads,
           copies = heads > 0 && heads < m->chips ? m->chips / heads : 1;
    return memory_us(m, m->model->kv_bytes_per_tok) * copies;
}

static double prompt_us(const struct roofline_machine *m)
{
    return US_PER_S * 2 * active_of(m->model) / (m->chip->compute_flop_s * m->chips);
}

static double doublings(const struct roofline_machine *m)
{
    return m->chips > 1 ? det_log(m->chips) / det_log(2) : 0;
}

void roofline_step_terms(double out[ROOF_STEP_TERMS], const struct roofline_machine *m, double n,
                         double prompt, double output)
{
    double layers = m->model->layers, share = woken(m->model);
    double read = share > 0 ? 1 - det_exp(n * det_log(1 - share)) : 0;
    out[ROOF_LAYER] = layers;
    out[ROOF_LAYER_CHIPS] = layers * doublings(m);
    out[ROOF_LAYER_EXPERTS] = share > 0 ? layers : 0;
    out[ROOF_MEMORY] =
        weights_us(m) + experts_us(m) * read + n * (prompt + output / 2) * context_us(m);
    out[ROOF_LAYER_ROOT] = layers * sqrt(n);
    out[ROOF_JOIN] = n > 1 && output > 0 ? (n - 1) / output * prompt * prompt_us(m) : 0;
}

void roofline_first_terms(double out[ROOF_FIRST_TERMS], const struct roofline_machine *m,
                          const struct service *service, double n, double prompt)
{
    double compute_us = prompt * prompt_us(m), step_us = service_step_us(service, n, 0);
    for (int i = 0; i < ROOF_FIRST_TERMS; i++)
        out[i] = 0;
    out[ROOF_LAYER_OTHERS] = n > 1 ? m->model->layers * (n - 1) : 0;
    out[ROOF_PREFILL] = compute_us;
    out[ROOF_PREFILL_OTHERS] = n > 1 ? (n - 1) * compute_us : 0;
    out[ROOF_STEPS + (int)m->engine] = step_us;
    out[ROOF_STEPS_TOK + (int)m->engine] = step_us * prompt / TOK_PER_STEPS;
}

void roofline_service(struct service *out, const struct roofline_machine *m,
                      const struct roofline *r)
{
    double layers = m->model->layers, share = woken(m->model);
    double per_layer = r->step[ROOF_LAYER] + r->step[ROOF_LAYER_CHIPS] * doublings(m) +
                       (share > 0 ? r->step[ROOF_LAYER_EXPERTS] : 0);
    out->step_us = layers * per_layer + r->step[ROOF_MEMORY] * weights_us(m);
    out->step_us_per_seq = 0;
    out->step_us_per_root = layers * r->step[ROOF_LAYER_ROOT];
    out->step_us_per_ctx = r->step[ROOF_MEMORY] * context_us(m);
    out->step_us_experts = r->step[ROOF_MEMORY] * experts_us(m);
    out->log_asleep = share > 0 ? det_log(1 - share) : 0;
    out->join_us_per_tok = r->step[ROOF_JOIN] * prompt_us(m);
    out->prefill_us = 0;
    out->prefill_us_per_tok = r->first[ROOF_PREFILL] * prompt_us(m) + out->join_us_per_tok;
    out->prefill_us_per_tok2 = 0;
    out->prefill_us_per_seq = r->first[ROOF_LAYER_OTHERS] * layers;
    out->prefill_us_per_tok_seq = r->first[ROOF_PREFILL_OTHERS] * prompt_us(m);
    out->prefill_steps = r->first[ROOF_STEPS + (int)m->engine];
    out->prefill_steps_per_tok = r->first[ROOF_STEPS_TOK + (int)m->engine] / TOK_PER_STEPS;
}

static bool fitted(const struct roofline_machine *m)
{
    return roofline_knows(m) && !(m->chip->efficiency > 0);
}

static double reach_of(const struct roofline_machine *m)
{
    return m->chip->efficiency > 0 ? m->chip->efficiency : DEFAULT_EFFICIENCY;
}

bool roofline_decode(struct service *out, const struct roofline_machine *m)
{
    if (!m->model || !(roofline_weights(m) > 0) || !(m->chip->bandwidth_bytes_s > 0))
        return false;
    if (fitted(m)) {
        struct service s;
        roofline_service(&s, m, &roofline_fitted);
        out->step_us = s.step_us;
        out->step_us_per_seq = s.step_us_per_seq;
        out->step_us_per_root = s.step_us_per_root;
        out->step_us_per_ctx = s.step_us_per_ctx;
        out->step_us_experts = s.step_us_experts;
        out->log_asleep = s.log_asleep;
        out->join_us_per_tok = s.join_us_per_tok;
        return true;
    }
    double reach = reach_of(m);
    out->step_us = memory_us(m, roofline_weights(m)) / reach;
    out->step_us_per_seq = m->chip->compute_flop_s > 0 ? prompt_us(m) / reach : 0;
    out->step_us_per_ctx = memory_us(m, m->model->kv_bytes_per_tok) / reach;
    return true;
}

bool roofline_prefill(struct service *out, const struct roofline_machine *m)
{
    if (!m->model || !(active_of(m->model) > 0) || !(m->chip->compute_flop_s > 0))
        return false;
    if (!fitted(m)) {
        out->prefill_us_per_tok = prompt_us(m) / reach_of(m);
        return true;
    }
    struct service s;
    roofline_service(&s, m, &roofline_fitted);
    out->prefill_us_per_seq = s.prefill_us_per_seq;
    out->prefill_us_per_tok = s.prefill_us_per_tok;
    out->prefill_us_per_tok_seq = s.prefill_us_per_tok_seq;
    out->prefill_steps = s.prefill_steps;
    out->prefill_steps_per_tok = s.prefill_steps_per_tok;
    return true;
}
