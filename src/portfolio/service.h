// service.h - how fast a pool answers: the one model of service time that `sim`, `route`, `replay`
// and `plan` share, so that they agree (design section 6).
//
//   prefill_us(u, m) = P0 + R m + (P1 + Q m) u + P2 u^2    u uncached prompt tokens, m others
//   step_us(n, c)    = W + H n + S sqrt(n) + X (1 - a^n) + K c  n sequences, c context in all
//   join_us(u)       = M u                                 of it on the step that a prompt joins
//   power_w(n)       = idle + (busy - idle) * n / slots    of one replica, IT load
//
// W: weights read once a step; H: work per sequence; S: what grows slower than the batch (experts
// that one more sequence wakes, messages between chips); K: KV cache read per context token. Every
// sequence gets one token a step. X reads all experts, of which each sequence leaves the share a
// asleep: known from the shape of a model (roofline.h), never fitted. An engine that prefills in
// chunks between its steps makes both slower: R and Q are what a prefill loses to those who decode
// beside it, M what they lose to it: the part of a prefill that is read on a step, which is so much
// longer for all, and not before it. Where chunks are known to ride on steps, a prefill takes some
// steps, and some for each token, more. Parameters come from measured operating points, else from
// the chip's bandwidth and compute with a stated efficiency; `basis` says which.

#ifndef CAUDAL_SERVICE_H
#define CAUDAL_SERVICE_H

#include "portfolio/portfolio.h"

struct service {
    double prefill_us, prefill_us_per_tok, prefill_us_per_tok2;          // P0, P1, P2
    double prefill_us_per_seq, prefill_us_per_tok_seq;                   // R, Q
    double step_us, step_us_per_seq, step_us_per_root, step_us_per_ctx;  // W, H, S, K
    double step_us_experts, log_asleep;                                  // X, log a
    double join_us_per_tok;                                              // M
    double prefill_steps, prefill_steps_per_tok;  // of the length that they have without context
    int32_t slots;                                // sequences at once, over all replicas
    double kv_tok;  // context tokens at once, over all replicas; 0: no bound known
    int32_t replicas;
    // The most that points of it were measured with, over all replicas: beyond it times are
    // extrapolated.
    double seen_batch, seen_prompt_tok;  // 0: not said
    double idle_w, busy_w;               // IT, over all replicas
    double pue;
    // Measured at prompts of one length: how much of a prefill is there however short the prompt is
    // was not, and is taken from the roofline or else for half.
    bool prefill_split;
    enum basis basis;  // BASIS_NONE: nothing is known, everything above is a plain guess
    const char *why;   // static text: how the parameters were found
};

// Whether prompts from `least` to `most` tokens tell what each token of one costs. Lengths of which
// one is not a quarter longer than the other do not.
bool service_lengths_tell(double least, double most);

// Parameters of `pool` answering `model`. Never fails: with nothing known it gives a stated guess
// with BASIS_NONE. O(points of the chip).
void service_of(struct service *out, const struct portfolio *p, const struct pool *pool,
                int32_t model);

// Time to prefill `uncached_tok` while `others` hold a slot (over all replicas): us + (per_tok +
// per_tok2 u) u. More others than there are slots beside its own count as so many.
struct service_prefill {
    double us, per_tok, per_tok2;
};
struct service_prefill service_prefill_of(const struct service *s, double others);
double service_prefill_us(const struct service *s, double uncached_tok, double others);
// What of it is over before the step that the prompt joins.
double service_beside_us(const struct service *s, double uncached_tok, double others);
// Length of a decode step with `n` sequences (over all replicas) holding `ctx_tok` context tokens.
double service_step_us(const struct service *s, double n, double ctx_tok);
// How much longer the step is that so many prompt tokens join: the replicas share one clock, and a
// prompt slows one of them.
double service_join_us(const struct service *s, double uncached_tok);
// Whether `n` sequences, or a prompt so long, lie outside of what was measured. Never where nothing
// was measured, as `basis` says then.
bool service_is_beyond(const struct service *s, double n, double prompt_tok);
// What `n` users see who ask again as soon as they are answered, all with `prompt_tok` tokens for
// `output_tok`; without the queue in front, which depends on how they fall. Per token: the mean
// from the first token to the last.
double service_ttft_us(const struct service *s, double n, double prompt_tok);
double service_per_token_us(const struct service *s, double n, double prompt_tok,
                            double output_tok);
// Power that one more sequence adds at the wall, PUE included: what stands idle is there anyhow.
double service_more_watts(const struct service *s);
// Energy of one request in joules at the wall: its share of the replica's power, PUE included, when
// `n` sequences are in the batch. An estimate; say so wherever it is shown.
double service_joules(const struct service *s, double uncached_tok, double output_tok, double n,
                      double ctx_tok);

// What `pool` keeps of prompts with one model, as said of that or else of the pool. Where nothing
// is said of `tok` it is the KV room, or -1 if that is not known: no bound; where nothing is said
// of `ttl_us` it is NEVER, or 5 min without a bound: what suppliers do who say nothing.
struct prefix_cache prefix_cache_of(const struct pool *pool, const struct serving *serving,
                                    const struct service *s);

// The moving state of a pool in virtual time: queue, prefill, batch, one clock of steps. Used by
// the simulated supplier in real time and by replay in virtual time; neither clock nor chance in
// here. A sequence waits for a slot and KV room (for its prompt and all its output, so that it
// never has to give way), is prefilled (one at a time per replica, decode going on beside it), then
// gets one token a step until its last. Waiting is first come, first served. Where nobody decodes,
// a step begins with the end of a prefill: alone, n tokens take the prefill and n steps. O(log n)
// for a sequence, O(1) for a token, a bit per id for a step.
struct service_sim;  // opaque

// Every event is one token: its first, one between, its last. Of one token in all there is only a
// SERVICE_LAST; of none, a SERVICE_LAST with token 0 when the prefill ends.
enum service_event_kind { SERVICE_NONE, SERVICE_FIRST, SERVICE_TOKEN, SERVICE_LAST };
struct service_event {
    int64_t at_us;
    enum service_event_kind kind;
    int32_t id;     // of the sequence
    int32_t token;  // 1-based number of the token
};

// Storage from the system, freed by service_sim_free(). `max` sequences at once, waiting included.
struct service_sim *service_sim_new(const struct service *s, int32_t max);
void service_sim_free(struct service_sim *sim);
// A request comes in at `now_us`. Returns its id, reused after its last event or cancel, or -1:
// full.
int32_t service_sim_add(struct service_sim *sim, int32_t prompt_tok, int32_t cached_tok,
                        int32_t output_tok, int64_t now_us);
// Wherever it is. Adding and cancelling are told the time they happen at: take all events up to
// then first, or what they change begins only after those.
void service_sim_cancel(struct service_sim *sim, int32_t id, int64_t now_us);
// When service_sim_next() should be called: at the latest when it has an event to tell, sometimes
// earlier (a prefill ends, and its first step begins); NEVER when idle. O(1).
int64_t service_sim_due(const struct service_sim *sim);
// Takes the next event with at_us <= now_us; SERVICE_NONE when there is none. Events of one step
// come in order of id. Step lengths are set when the step begins.
struct service_event service_sim_next(struct service_sim *sim, int64_t now_us);
int32_t service_sim_running(const struct service_sim *sim);  // who hold a slot: prefill and decode
int32_t service_sim_waiting(const struct service_sim *sim);
void service_sim_slow(struct service_sim *sim,
                      double factor);  // 2: twice as slow, from the next step

#endif
