// sim.h - a supplier that is not there: an HTTP/1.1 server that answers in the OpenAI dialect at
// the speed of its chip, and fails on request. The test supplier of the whole repo.
//
//   listener -> client.c  HTTP, one request after the other
//                  |         -> request.c  what is asked: checks, token counts, length, faults
//                  v
//               reply.c   the life of an answer -> answer.c, events.c, embed.c (bytes)
//                  ^
//               pace: steps of the service model (steps.c), a timer of its own, or at once
//
//   pages.c: /sim/..., /v1/models, /health      faults.h, cache.h, record.h: plain state
//
// One sim belongs to one loop and its thread. Every answer says that it is simulated.

#ifndef CAUDAL_SIM_H
#define CAUDAL_SIM_H

#include "io/loop.h"
#include "portfolio/service.h"
#include "sim/faults.h"

enum { SIM_MODELS_MAX = 256 };

struct sim_speed {    // of one model, when no chip says it
    int64_t ttft_us;  // P0 of service.h
    double prefill_tok_s;
    double step_us, step_per_seq_us;
    int32_t slots;  // over all replicas
    double kv_tok;  // over all replicas; 0: no bound
    int32_t replicas;
};

struct sim_model_config {
    struct str name;  // borrowed until sim_new() returns
    struct service service;
    int32_t context_tok;  // 0: no bound but the KV cache
};

struct sim_config {
    struct sim_model_config *models;  // [n_models]; borrowed until sim_new() returns
    int32_t n_models;
    bool any_model;       // the first model answers to every name
    bool cerebras;        // dialect: usage and time_info on the finish chunk, flat errors
    bool instant;         // no service time: everything at once, or one token each pace_us
    int64_t pace_us;      // with `instant`; 0: at once
    int32_t chunk_bytes;  // length of a token's text; 0: words
    int32_t output_tok;   // mean length of an answer that the request does not bound
    bool output_exact;    // always that length, not drawn
    double cache_tok;     // of the prefix cache; 0: none
    int32_t queue;        // sequences of a model at once, waiting included
    int32_t dimensions;   // of an embedding that asks for none
    uint64_t seed;
    int64_t body_bytes_max;
    struct str key;  // empty: everybody may ask; borrowed until sim_new() returns
};

void sim_speed_defaults(struct sim_speed *s);
struct service sim_speed_service(const struct sim_speed *s);
void sim_config_defaults(struct sim_config *c);

struct sim;

// The sim lives until sim_free(), which must come before loop_free() and drops all connections.
struct sim *sim_new(struct loop *l, const struct sim_config *c);
void sim_free(struct sim *s);
// ERR_EXISTS: the port is taken.
MUST_USE enum err sim_listen(struct sim *s, struct str host, int32_t port, struct diag *diag);
int32_t sim_port(const struct sim *s);
struct sim_faults *sim_faults_of(struct sim *s);  // to add faults before the loop runs

#endif
