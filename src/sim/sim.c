#include "sim/inside.h"

#include "base/arena.h"

#include <stdlib.h>

void sim_speed_defaults(struct sim_speed *s)
{
    *s = (struct sim_speed){
        .ttft_us = MS(50),
        .prefill_tok_s = 20000,
        .step_us = (double)MS(5),
        .step_per_seq_us = 20,
        .slots = 64,
        .kv_tok = 2e6,
        .replicas = 1,
    };
}

struct service sim_speed_service(const struct sim_speed *s)
{
    struct service service = {
        .prefill_us = (double)s->ttft_us,
        .prefill_us_per_tok = s->prefill_tok_s > 0 ? 1e6 / s->prefill_tok_s : 0,
        .step_us = s->step_us,
        .step_us_per_seq = s->step_per_seq_us,
        .slots = s->slots,
        .kv_tok = s->kv_tok,
        .replicas = s->replicas,
        .pue = 1,
        .basis = BASIS_ASSUMED,
        .why = "as told on the command line",
    };
    return service;
}

void sim_config_defaults(struct sim_config *c)
{
    *c = (struct sim_config){
        .output_tok = 64,
        .cache_tok = 1e6,
        .queue = 16384,
        .dimensions = 256,
        .seed = 1,
        .body_bytes_max = 32 << 20,
    };
}

static void init_model(struct sim *s, struct sim_model *m, const struct sim_model_config *config)
{
    CHECK(config->name.n > 0 && config->name.n < sizeof m->name);
    m->sim = s;
    memcpy(m->name, config->name.p, config->name.n);
    m->service = config->service;
    m->context_tok = config->context_tok;
    m->salt = str_hash(config->name, s->config.seed);
    m->slow = 1;
    if (!s->config.instant)
        steps_init(m, s->config.queue);
}

static char *make_filler(int32_t n)
{
    static const char text[] = "simulated ";
    if (n <= 0)
        return NULL;
    char *filler = take((size_t)n + 1);
    for (int32_t i = 0; i < n; i++)
        filler[i] = text[(size_t)i % (sizeof text - 1)];
    return filler;
}

struct sim *sim_new(struct loop *l, const struct sim_config *config)
{
    CHECK(config->n_models > 0 && config->n_models <= SIM_MODELS_MAX);
    CHECK(config->output_tok > 0 && config->dimensions <= SIM_DIMENSIONS_MAX);
    struct sim *s = take(sizeof *s);
    s->config = *config;
    s->config.models = NULL;
    s->config.key = (struct str){NULL, 0};
    s->loop = l;
    buf_init(&s->out, 2 * SIM_OUT_MAX);
    buf_init(&s->event, SIM_OUT_MAX);
    buf_init(&s->key, 4096);
    buf_add_str(&s->key, config->key);
    s->cache = sim_cache_new(config->cache_tok);
    sim_faults_init(&s->faults, config->seed);
    s->filler = make_filler(config->chunk_bytes);
    s->models = take_n(sizeof *s->models, (size_t)config->n_models);
    for (int32_t i = 0; i < config->n_models; i++)
        init_model(s, &s->models[i], &config->models[i]);
    return s;
}

void sim_free(struct sim *s)
{
    if (!s)
        return;
    if (s->listener)
        listener_close(s->listener);
    while (s->clients)
        client_drop(s->clients);
    for (int32_t i = 0; i < s->config.n_models; i++)
        steps_release(&s->models[i]);
    free(s->models);
    free(s->filler);
    sim_faults_release(&s->faults);
    sim_cache_free(s->cache);
    sim_record_release(&s->record);
    buf_release(&s->out);
    buf_release(&s->event);
    buf_release(&s->key);
    free(s);
}

enum err sim_listen(struct sim *s, struct str host, int32_t port, struct diag *diag)
{
    return listener_new(&s->listener, s->loop, host, port, true, client_accept, s, diag);
}

int32_t sim_port(const struct sim *s)
{
    return listener_port(s->listener);
}

struct sim_faults *sim_faults_of(struct sim *s)
{
    return &s->faults;
}
