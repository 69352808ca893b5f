// score.h - what candidates cost, several at once.
//
// One formula, written once (score.c), for LANES candidates side by side, in the vector types that
// gcc and clang share. Each element is computed by itself with + - * / in a fixed order and the
// least is exact, so neither the width of the machine's vectors nor the compiler changes a result.
//
//   each    = prompt + answer                      answer: at most what the pool gives
//   step    = W + C each                           of a decode step, with this request in the batch
//   fresh   = prompt - warm                        warm: of it, expected in the pool's cache
//   prefill = P0 + (P1 + P2 fresh) fresh
//   hold    = prefill + answer step                of a slot
//   queue   = read - now, at least 0, + (full + over(each)) hold     prefills before it, slots, KV
//   ttft    = (prefill + round trip + step + queue) * observed over expected
//   list    = prompt * in + answer * out - warm * what it costs less + hold * capacity price
//   energy  = hold * price of the power it has a share in
//   total   = list + energy + worth(ttft) + answer * worth(step * observed over expected)
//
// W, C, read, full, over and all prices hold the pool's load and what was learnt; they are worked
// out when those change (lanes.c), not for each request.

#ifndef CAUDAL_SCORE_H
#define CAUDAL_SCORE_H

#include "portfolio/portfolio.h"

enum { LANES = 8 };

// Times in us, money in nano-dollars. What every decision reads.
struct candidates {
    double free_us[LANES];  // nobody may have it before, whoever asks; INFINITY: not by time
    double step[LANES], step_ctx[LANES];
    double prefill[LANES], prefill_tok[LANES];
    double read_us[LANES];  // when the prefills that it was sent are through
    double full[LANES];
    double ttft_ratio[LANES], step_ratio[LANES];
    double input[LANES], output[LANES];  // of a token
    double energy[LANES];                // of a us of hold
};

// What some lists or some requests need; read only when `bends` or `bars` of the scoring say so.
struct candidates_more {
    double answer_max[LANES];   // INFINITY: not said
    double context_max[LANES];  // as above
    double tokens_most[LANES];  // a full bucket; as above
    double bucket_at[LANES];    // in 1/1024 us since the list's `fresh_us`; -INFINITY: no limit
    double bucket_tok[LANES];   // us for a token
    double least_ratio[LANES];  // how much faster than the model it has been; 0: not known
    double prefill_tok2[LANES];
    double kv[LANES], kv_tok[LANES];  // over(each) = kv + kv_tok each, at least 0
    double capacity[LANES];           // price of a us of hold
    double cached_less[LANES];        // what a cached token of the prompt costs less than another
};

// What money waiting costs: rate t + sum of delta max(0, t - from), the integral of a value_curve.
struct worth {
    double rate;
    const double *delta, *from;  // [knees]
    int32_t knees;
};
// ERR_LIMIT: `a` is full.
MUST_USE enum err worth_of(struct worth *out, struct arena *a, const struct value_curve *c);

struct scoring {  // one request, in doubles
    double prompt, answer;
    double need_tok;      // of the token bucket
    double context;       // must be at most context_max
    double ttft_most_us;  // the least possible TTFT must be below; INFINITY: no deadline
    double now_us, bucket_now;
    const struct worth *ttft, *per_token;
    const double *warm;  // [length, whole blocks of LANES]; NULL: nobody has any of the prompt
    bool bends;          // some candidate has a bound on answers or KV, P2, or a price of capacity
    bool bars;  // some candidate may have to give way to its bucket, its context or the deadline
};

// Doubles in a vector of this machine: 2, 4 or 8.
int32_t score_width(void);

// Rows of terms, for lists so short that keeping all is cheaper than working out the winner's
// again.
enum { TERMS_KEPT = 64 };
struct terms_kept {
    double list[TERMS_KEPT], energy[TERMS_KEPT], wait_ttft[TERMS_KEPT], wait_tokens[TERMS_KEPT];
    double total[TERMS_KEPT], ttft[TERMS_KEPT], per_token[TERMS_KEPT];
    double model_ttft[TERMS_KEPT], model_per_token[TERMS_KEPT];
};

struct score_best {
    double least;
    int32_t usable;  // scores below INFINITY
    int32_t within;  // how many are at most least + least * band
};

struct score_room {   // to work in, for lists of up to some length rounded up to LANES
    int32_t width;    // of vectors
    double *scores;   // [length]
    int32_t *within;  // [length]
    struct terms_kept *kept;
};

// The totals of `n` candidates into room->scores, INFINITY for those that may not have it, and
// their terms into room->kept when `n` is at most TERMS_KEPT. With `best`, as score_best().
void score_list(const struct candidates *c, const struct candidates_more *m,
                const double *round_trip_us, const struct scoring *s, int32_t n,
                const struct score_room *room, double band, struct score_best *best);
// The best of the first `n` of room->scores; room->within gets which are within the band, in order.
void score_best(const struct score_room *room, int32_t n, double band, struct score_best *best);
// All terms of candidate `i`, whether it may have it or not, into the first row of `kept`.
void score_terms(const struct candidates *c, const struct candidates_more *m,
                 const double *round_trip_us, const struct scoring *s, int32_t i,
                 struct terms_kept *kept);

#endif
